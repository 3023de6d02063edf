//! Messages through one connection, and through the engine, without a socket.
//!
//! Each is beside its plain version or physical limit: copying the same bytes.

#![allow(missing_docs)] // of what criterion_group! makes

use std::hint::black_box;
use std::io::IoSlice;

use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use switchboard::outbox::{Frame, Outbox};
use switchboard::protocol::{Connection, Endpoint, Input, Message, Step};
use switchboard::wire::Opcode;

/// `count` masked frames of `size` bytes each, as one read would bring them.
fn frames(count: usize, size: usize) -> Vec<u8> {
    let client = Endpoint::client();
    let (mut connection, mut outbox) = (Connection::new(), Outbox::new());
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

/// What a connection has to say is queued and drained. Beside it, the same bytes are copied into a
/// vector that is there already, which is the least that queueing by copying can cost.
fn outbox(c: &mut Criterion) {
    let server = Endpoint::server();
    let mut group = c.benchmark_group("outbox");
    for (name, size) in [("20B", 20), ("1KiB", 1 << 10), ("16KiB", 16 << 10)] {
        let payload = vec![b'x'; size];
        group.throughput(Throughput::Bytes(size as u64));
        group.bench_function(format!("{name}/queue_and_drain"), |b| {
            let mut out = Outbox::new();
            b.iter(|| {
                server.write_frame(Opcode::Binary, &[black_box(&payload)], &mut out);
                black_box(out.front());
                out.advance(out.len());
            });
        });
        group.bench_function(format!("{name}/limit_memcpy"), |b| {
            let mut copy = vec![0; size];
            b.iter(|| black_box(&mut copy).copy_from_slice(black_box(&payload)));
        });
    }
    group.finish();
}

/// A flush: own bytes and shared frames in turn are offered to a kernel that takes all or a part.
/// Beside it stands what the kernel itself does at least: copying the same bytes.
fn flush(c: &mut Criterion) {
    let mut group = c.benchmark_group("flush");
    for (name, size) in [("20B", 20), ("1KiB", 1 << 10), ("16KiB", 16 << 10)] {
        let (own, frame) = (vec![b'x'; size], Frame::new(&vec![b'y'; size]));
        let bytes = 2 * FRAMES * size;
        group.throughput(Throughput::Bytes(bytes as u64));
        let fill = || {
            let mut out = Outbox::new();
            for _ in 0..FRAMES {
                out.push(&own);
                out.push_frame(&frame);
            }
            out
        };
        for (how, writes) in [("whole", 1), ("in_four_writes", 4)] {
            group.bench_function(format!("{name}/{how}"), |b| {
                b.iter_batched_ref(fill, |out| drain(out, bytes / writes), BatchSize::SmallInput);
            });
        }
        group.bench_function(format!("{name}/limit_memcpy"), |b| {
            let (source, mut copy) = (vec![b'x'; bytes], vec![0; bytes]);
            b.iter(|| black_box(&mut copy).copy_from_slice(black_box(&source)));
        });
    }
    group.finish();
}

/// Writes that take so many bytes each, as far as the slices of one go.
fn drain(out: &mut Outbox, takes: usize) {
    while !out.is_empty() {
        let mut slices = [IoSlice::new(&[]); 64];
        let filled = out.io_slices(&mut slices);
        let offered: usize = black_box(&slices[..filled]).iter().map(|slice| slice.len()).sum();
        out.advance(offered.min(takes));
    }
}

/// One message to a thousand: encoded once, or for each of them. Beside it, a copy for each.
fn broadcast(c: &mut Criterion) {
    let server = Endpoint::server();
    let mut group = c.benchmark_group("broadcast");
    group.throughput(Throughput::Elements(MEMBERS as u64));
    for (name, size) in [("125B", 125), ("1KiB", 1 << 10), ("16KiB", 16 << 10)] {
        let payload = vec![b'x'; size];
        let mut members: Vec<Outbox> = (0..MEMBERS).map(|_| Outbox::new()).collect();
        group.bench_function(format!("{name}/encoded_once"), |b| {
            let mut scratch = Outbox::new();
            b.iter(|| {
                server.write_frame(Opcode::Binary, &[black_box(&payload)], &mut scratch);
                let frame = Frame::new(scratch.front());
                scratch.advance(scratch.len());
                members.iter_mut().for_each(|out| out.push_frame(&frame));
                members.iter_mut().for_each(|out| out.advance(out.len()));
            });
        });
        group.bench_function(format!("{name}/encoded_for_each"), |b| {
            b.iter(|| {
                for out in &mut members {
                    server.write_frame(Opcode::Binary, &[black_box(&payload)], out);
                }
                members.iter_mut().for_each(|out| out.advance(out.len()));
            });
        });
        group.bench_function(format!("{name}/limit_memcpy"), |b| {
            let mut copies = vec![vec![0; size]; MEMBERS];
            b.iter(|| {
                for copy in &mut copies {
                    black_box(copy).copy_from_slice(black_box(&payload));
                }
            });
        });
    }
    group.finish();
}

/// Of each kind, in one outbox.
const FRAMES: usize = 16;
const MEMBERS: usize = 1_000;

criterion_group!(benches, messages, outbox, flush, broadcast);
criterion_main!(benches);
