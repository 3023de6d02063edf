//! What compression costs: a message sent and received, and a message to many.
//!
//! `cargo bench --bench deflate` measures; `cargo bench --bench deflate -- --test` only runs each
//! once. `off` beside `on` and `takeover` is the same chat without compression.

mod deflated;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};

use deflated::{Compressed, OTHERS, Receiver, Room, Sender, Way};

const LENGTHS: [usize; 5] = [125, 256, 1 << 10, 4 << 10, 16 << 10];

/// A message compressed and queued.
fn send(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("send");
    for len in LENGTHS {
        group.throughput(Throughput::Bytes(len as u64));
        for (name, way) in Way::ALL {
            let mut sender = Sender::server(len, way);
            group.bench_function(BenchmarkId::new(name, len), |bencher| {
                bencher.iter(|| sender.send());
            });
        }
    }
    group.finish();
}

/// A frame unmasked and its message decompressed and checked.
fn receive(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("receive");
    for len in LENGTHS {
        group.throughput(Throughput::Bytes(len as u64));
        for (name, way) in Way::ALL {
            let mut receiver = Receiver::new(len, way, MESSAGES);
            group.bench_function(BenchmarkId::new(name, len), |bencher| {
                bencher.iter(|| receiver.receive());
            });
        }
    }
    group.finish();
}

/// A message to 1,000: compressed once, beside one compression for each, and none.
fn fan_out(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("fan-out to 1,000");
    group.throughput(Throughput::Elements(OTHERS as u64));
    group.sample_size(10);
    for len in [1 << 10, 16 << 10] {
        for (name, compressed) in [
            ("never", Compressed::Never),
            ("once", Compressed::Once),
            ("for each", Compressed::Each),
        ] {
            let mut room = Room::new(len, compressed);
            group.bench_function(BenchmarkId::new(name, len), |bencher| {
                bencher.iter(|| room.say());
            });
        }
    }
    group.finish();
}

const MESSAGES: usize = 1_000;

criterion_group!(benches, send, receive, fan_out);
criterion_main!(benches);
