//! How long the wire functions take, each beside what it is measured against.
//!
//! `cargo bench --bench wire` measures; `cargo bench --bench wire -- --test` only runs each once.
//! `cargo bench --bench wire -- mask` selects.

use std::hint::black_box;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use switchboard::wire::utf8::validate;
use switchboard::wire::{FrameHeader, MaskingKey, Opcode, Rsv, Utf8Validator};

const KEY: MaskingKey = MaskingKey([0x37, 0xfa, 0x21, 0x3d]);

/// The three forms of the payload length: parsed as a client sends them, written as a server does.
/// `parse_plain` takes the same fields and checks nothing.
fn header(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("header");
    for payload_len in [125, 1024, 1 << 20] {
        let header = FrameHeader {
            fin: true,
            rsv: Rsv::NONE,
            opcode: Opcode::Text,
            masking_key: Some(KEY),
            payload_len,
        };
        let bytes = header.encode();
        group.bench_function(BenchmarkId::new("parse", payload_len), |bencher| {
            bencher.iter(|| FrameHeader::parse(black_box(&bytes)));
        });
        group.bench_function(BenchmarkId::new("parse_plain", payload_len), |bencher| {
            bencher.iter(|| plain(black_box(&bytes)));
        });
        let header = FrameHeader { masking_key: None, ..header };
        let mut out = Vec::with_capacity(64);
        group.bench_function(BenchmarkId::new("write", payload_len), |bencher| {
            bencher.iter(|| {
                out.clear();
                black_box(&header).write(black_box(&mut out));
            });
        });
    }
    group.finish();
}

/// The fields of a header that is known to be whole and right: no rule is checked.
fn plain(bytes: &[u8]) -> (u8, u64, [u8; 4]) {
    let big_endian = |bytes: &[u8]| bytes.iter().fold(0, |sum, byte| sum << 8 | u64::from(*byte));
    let (payload_len, at) = match bytes[1] & 0x7F {
        126 => (big_endian(&bytes[2..4]), 4),
        127 => (big_endian(&bytes[2..10]), 10),
        len => (len.into(), 2),
    };
    let mut key = [0; 4];
    key.copy_from_slice(&bytes[at..at + 4]);
    (bytes[0], payload_len, key)
}

/// `fast` is what the server does, `bytewise` the RFC's definition, `memcpy` the floor: it touches
/// the same bytes. The payload begins at an odd address, as it does behind a header of 6 bytes or
/// so.
fn mask(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("mask");
    for len in [16, 125, 1 << 10, 16 << 10, 1 << 20] {
        group.throughput(Throughput::Bytes(len as u64));
        let source = vec![0x5A; len + 1];
        let mut buffer = source.clone();
        group.bench_function(BenchmarkId::new("fast", len), |bencher| {
            bencher.iter(|| KEY.apply(black_box(&mut buffer[1..])));
        });
        group.bench_function(BenchmarkId::new("bytewise", len), |bencher| {
            bencher.iter(|| KEY.apply_bytewise(0, black_box(&mut buffer[1..])));
        });
        group.bench_function(BenchmarkId::new("memcpy", len), |bencher| {
            bencher.iter(|| black_box(&mut buffer[1..]).copy_from_slice(black_box(&source[1..])));
        });
    }
    group.finish();
}

/// `validate` is for messages in one piece, `push` for those that come in many; `std` is
/// `std::str::from_utf8`. Decides at which length simdutf8 is asked.
fn utf8(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("utf8");
    let ascii = "The quick brown fox jumps over the lazy dog. ";
    let multi_byte = "Съешь же ещё этих мягких французских булок, 世界 🦀. ";
    for (kind, sample) in [("ascii", ascii), ("multi-byte", multi_byte)] {
        for len in [32, 64, 96, 125, 256, 1 << 10, 16 << 10] {
            let text = text_of(sample, len);
            group.throughput(Throughput::Bytes(len as u64));
            group.bench_function(BenchmarkId::new(format!("{kind}/validate"), len), |bencher| {
                bencher.iter(|| validate(black_box(&text)).is_ok());
            });
            group.bench_function(BenchmarkId::new(format!("{kind}/push"), len), |bencher| {
                bencher.iter(|| {
                    let mut validator = Utf8Validator::default();
                    validator.push(black_box(&text)).is_ok() && validator.finish().is_ok()
                });
            });
            group.bench_function(BenchmarkId::new(format!("{kind}/std"), len), |bencher| {
                bencher.iter(|| std::str::from_utf8(black_box(&text)).is_ok());
            });
        }
    }
    group.finish();
}

/// Exactly `len` bytes of UTF-8: the sample again and again, filled up with full stops.
fn text_of(sample: &str, len: usize) -> Vec<u8> {
    let mut text = String::new();
    for letter in sample.chars().cycle() {
        if text.len() + letter.len_utf8() > len {
            break;
        }
        text.push(letter);
    }
    let mut bytes = text.into_bytes();
    bytes.resize(len, b'.');
    bytes
}

criterion_group!(benches, header, mask, utf8);
criterion_main!(benches);
