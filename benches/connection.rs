//! Messages through one connection, and through the engine, without a socket.
//!
//! Each is beside its plain version or physical limit: copying the same bytes.

#![allow(missing_docs)] // of what criterion_group! makes

use std::hint::black_box;

use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use switchboard::outbox::Outbox;
use switchboard::protocol::{Connection, Endpoint, Input, Message, Step};

/// `count` masked frames of `size` bytes each, as one read would bring them.
fn frames(count: usize, size: usize) -> Vec<u8> {
    let client = Endpoint::client();
    let (connection, mut outbox) = (Connection::new(), Outbox::new());
    let payload = vec![b'x'; size];
    let mut all = Vec::new();
    for _ in 0..count {
        connection.send(&client, Message::Binary(&payload), &mut outbox);
        all.extend_from_slice(outbox.front());
        outbox.advance(outbox.len());
    }
    all
}

fn consume(connection: &mut Connection, server: &Endpoint, bytes: &mut [u8], out: &mut Outbox) {
    let mut input = Input::new(bytes);
    loop {
        match connection.advance(server, &mut input, out) {
            Step::NeedInput => break,
            step => drop(black_box(step)),
        }
    }
}

fn messages(c: &mut Criterion) {
    let server = Endpoint::server();
    let mut group = c.benchmark_group("message");
    for (name, count, size) in [("20B", 1000, 20), ("125B", 1000, 125), ("16KiB", 16, 16 << 10)] {
        let bytes = frames(count, size);
        group.throughput(Throughput::Elements(count as u64));
        group.bench_function(format!("{name}/whole"), |b| {
            let (mut connection, mut out) = (Connection::new(), Outbox::new());
            b.iter_batched_ref(
                || bytes.clone(),
                |bytes| consume(&mut connection, &server, bytes, &mut out),
                BatchSize::LargeInput,
            );
        });
        group.bench_function(format!("{name}/cut_in_half_each"), |b| {
            let (mut connection, mut out) = (Connection::new(), Outbox::new());
            let half = bytes.len() / count / 2;
            b.iter_batched_ref(
                || bytes.clone(),
                |bytes| {
                    for piece in bytes.chunks_mut(half) {
                        consume(&mut connection, &server, piece, &mut out);
                    }
                },
                BatchSize::LargeInput,
            );
        });
        group.bench_function(format!("{name}/limit_memcpy"), |b| {
            let mut copy = vec![0; bytes.len()];
            b.iter_batched_ref(
                || bytes.clone(),
                |bytes| copy.copy_from_slice(black_box(bytes)),
                BatchSize::LargeInput,
            );
        });
    }
    group.finish();
}

fn outbox(c: &mut Criterion) {
    let server = Endpoint::server();
    let mut group = c.benchmark_group("outbox");
    for (name, size) in [("20B", 20), ("1KiB", 1 << 10), ("16KiB", 16 << 10)] {
        let payload = vec![b'x'; size];
        group.throughput(Throughput::Bytes(size as u64));
        group.bench_function(format!("{name}/queue_and_drain"), |b| {
            let mut out = Outbox::new();
            b.iter(|| {
                server.write_frame(
                    switchboard::wire::Opcode::Binary,
                    &[black_box(&payload)],
                    &mut out,
                );
                black_box(out.front());
                out.advance(out.len());
            });
        });
    }
    group.finish();
}

criterion_group!(benches, messages, outbox);
criterion_main!(benches);
