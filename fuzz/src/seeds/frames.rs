//! Headers, streams and payloads of Close frames.
//!
//! Most frames of a client are masked with a key of zeros, so that their payloads can be read here
//! and a fuzzer that changes a byte changes a byte of the payload.

use super::{Seed, table};

/// The seeds of `frame_header`, `frame_stream`, `close_payload` and `differential`.
pub fn seeds() -> Vec<Seed> {
    let streams: Vec<_> = STREAMS.iter().chain(FAULTS).copied().collect();
    // What decides about the reader, the limits and the pieces stands in front.
    let server = |rows: &[(&'static str, &[u8])], front: &[u8]| -> Vec<(&'static str, Vec<u8>)> {
        rows.iter().map(|(name, stream)| (*name, [front, stream].concat())).collect()
    };
    let large = large();
    let with_large = |front: &[u8]| server(&[("large-payload-cut", &large)], front);
    [
        table("frame_header", HEADERS),
        table("close_payload", CLOSES),
        table("frame_stream", &server(&streams, b"\x00\x02\x01\x05")),
        table("frame_stream", &server(SERVER_STREAMS, b"\x01\x01\x03")),
        table("frame_stream", &server(LIMITS, b"\x04\x03\x00\x07\x02")),
        table("frame_stream", &with_large(b"\x08\x01\xff")),
        table("differential", &server(&streams, b"\x00")),
        table("differential", &server(SERVER_STREAMS, b"\x01")),
        table("differential", &server(LIMITS, b"\x04")),
        table("differential", &server(DIFFERENCES, b"\x00")),
    ]
    .concat()
}

/// RFC 6455 §5.2 and §5.7, and what is wrong in one place.
const HEADERS: &[(&str, &[u8])] = &[
    ("rfc-text-unmasked", b"\x81\x05Hello"),
    ("rfc-text-masked", b"\x81\x85\x37\xfa\x21\x3d\x7f\x9f\x4d\x51\x58"),
    ("rfc-fragment-first", b"\x01\x03Hel"),
    ("rfc-fragment-last", b"\x80\x02lo"),
    ("rfc-ping", b"\x89\x05Hello"),
    ("rfc-pong-masked", b"\x8a\x85\x37\xfa\x21\x3d\x7f\x9f\x4d\x51\x58"),
    ("rfc-binary-256-bytes", b"\x82\x7e\x01\x00"),
    ("rfc-binary-64-kib", b"\x82\x7f\x00\x00\x00\x00\x00\x01\x00\x00"),
    ("close-empty", b"\x88\x80\x00\x00\x00\x00"),
    ("all-reserved-bits", b"\xf1\x80\x00\x00\x00\x00"),
    ("length-125", b"\x82\x7d"),
    ("length-126-in-16-bits", b"\x82\x7e\x00\x7e"),
    ("length-125-in-16-bits-not-minimal", b"\x82\x7e\x00\x7d"),
    ("length-65535-in-16-bits", b"\x82\xfe\xff\xff\x01\x02\x03\x04"),
    ("length-65535-in-64-bits-not-minimal", b"\x82\x7f\x00\x00\x00\x00\x00\x00\xff\xff"),
    ("length-longest", b"\x82\xff\x7f\xff\xff\xff\xff\xff\xff\xff\x01\x02\x03\x04"),
    ("length-top-bit-set", b"\x82\xff\x80\x00\x00\x00\x00\x00\x00\x00\x01\x02\x03\x04"),
    ("opcode-3-reserved", b"\x83\x00"),
    ("opcode-b-reserved", b"\x8b\x80\x00\x00\x00\x00"),
    ("ping-fragmented", b"\x09\x80\x00\x00\x00\x00"),
    ("ping-126-bytes-too-long", b"\x89\xfe\x00\x7e\x00\x00\x00\x00"),
    ("cut-in-the-length", b"\x82\x7f\x00\x00\x00"),
    ("cut-in-the-masking-key", b"\x82\xfe\x01\x00\x37\xfa"),
];

/// What a client sends that keeps to the rules.
const STREAMS: &[(&str, &[u8])] = &[
    ("rfc-text-masked", b"\x81\x85\x37\xfa\x21\x3d\x7f\x9f\x4d\x51\x58"),
    ("text-then-binary", b"\x81\x82\0\0\0\0Hi\x82\x83\0\0\0\0\x00\xff\x7f"),
    ("empty-text-and-empty-binary", b"\x81\x80\0\0\0\0\x82\x80\0\0\0\0"),
    ("fragments-of-a-text", b"\x01\x83\0\0\0\0Hel\x00\x80\0\0\0\0\x80\x82\0\0\0\0lo"),
    ("ping-between-fragments", b"\x01\x83\0\0\0\0Hel\x89\x81\0\0\0\0?\x80\x82\0\0\0\0lo"),
    ("two-pings-and-a-pong", b"\x89\x81\0\0\0\x001\x89\x81\0\0\0\x002\x8a\x80\0\0\0\0"),
    (
        "code-point-cut-by-fragments",
        b"\x01\x81\0\0\0\0\xe2\x00\x81\0\0\0\0\x82\x80\x81\0\0\0\0\xac",
    ),
    (
        "text-of-every-length-of-code-point",
        b"\x81\x8a\0\0\0\0a\xc3\xa4\xe2\x82\xac\xf0\x9f\xa6\x80",
    ),
    ("close-1000-with-reason", b"\x88\x85\0\0\0\0\x03\xe8bye"),
    ("close-without-a-code", b"\x88\x80\0\0\0\0"),
    ("close-inside-a-message", b"\x02\x81\0\0\0\0x\x88\x82\0\0\0\0\x03\xe9"),
    ("frames-behind-a-close", b"\x88\x82\0\0\0\0\x03\xe8\x81\x81\0\0\0\0x\xff\xff"),
    ("header-cut-at-the-end", b"\x81\x81\0\0\0\0x\x82\xfe\x01"),
    ("payload-cut-at-the-end", b"\x81\x81\0\0\0\0x\x82\x90\0\0\0\0half"),
];

/// What a client sends that breaks one rule.
const FAULTS: &[(&str, &[u8])] = &[
    ("unmasked-frame", b"\x81\x05Hello"),
    ("reserved-bit-1", b"\xc1\x80\0\0\0\0"),
    ("reserved-opcode-3", b"\x83\x80\0\0\0\0"),
    ("length-not-minimal", b"\x82\xfe\x00\x01\0\0\0\0x"),
    ("length-top-bit", b"\x82\xff\x80\0\0\0\0\0\0\0\0\0\0\0"),
    ("continuation-of-nothing", b"\x80\x81\0\0\0\0x"),
    ("text-inside-a-message", b"\x01\x81\0\0\0\0a\x81\x81\0\0\0\0b"),
    ("ping-fragmented", b"\x09\x80\0\0\0\0"),
    ("ping-too-long", b"\x89\xfe\x00\x7e\0\0\0\0"),
    ("text-not-utf8", b"\x81\x82\0\0\0\0\xc3\x28"),
    ("text-not-utf8-in-an-incomplete-frame", b"\x81\x90\0\0\0\0\xff"),
    ("text-ends-inside-a-code-point", b"\x81\x82\0\0\0\0\xe2\x82"),
    ("surrogate-in-two-fragments", b"\x01\x81\0\0\0\0\xed\x80\x82\0\0\0\0\xa0\x80"),
    ("close-of-one-byte", b"\x88\x81\0\0\0\0\x03"),
    ("close-code-1005", b"\x88\x82\0\0\0\0\x03\xed"),
    ("close-reason-not-utf8", b"\x88\x83\0\0\0\0\x03\xe8\xff"),
];

/// What a server sends.
const SERVER_STREAMS: &[(&str, &[u8])] = &[
    ("from-a-server-text-and-ping", b"\x81\x05Hello\x89\x00"),
    ("from-a-server-fragments", b"\x01\x03Hel\x80\x02lo"),
    ("from-a-server-masked-frame", b"\x81\x81\0\0\0\0x"),
    ("from-a-server-close", b"\x88\x05\x03\xe9bye"),
];

/// For small limits: 10 bytes and one frame in `frame_stream`, 125 and 3 in `differential`.
const LIMITS: &[(&str, &[u8])] = &[
    ("limit-longest-message", b"\x82\x8a\0\0\0\x000123456789"),
    ("limit-announced-too-big", b"\x82\xfe\x01\x00\0\0\0\0"),
    ("limit-too-many-frames", b"\x02\x80\0\0\0\0\x00\x80\0\0\0\0\x00\x80\0\0\0\0\x80\x80\0\0\0\0"),
];

/// Where tungstenite differs.
const DIFFERENCES: &[(&str, &[u8])] = &[
    ("differs-close-code-1014", b"\x88\x82\0\0\0\0\x03\xf6"),
    ("differs-close-code-and-reason-bad", b"\x88\x83\0\0\0\0\x03\xed\xff"),
    ("differs-two-faults", b"\xc2\xff\0\0\0\x01\0\0\0\0\0\0\0\0"),
    ("differs-control-length-in-16-bits", b"\x89\xfe\x00\x01\0\0\0\0x"),
];

/// RFC 6455 §5.5.1 and §7.4.
const CLOSES: &[(&str, &[u8])] = &[
    ("nothing-at-all", b""),
    ("one-byte", b"\x03"),
    ("code-999-never", b"\x03\xe7"),
    ("code-1000", b"\x03\xe8"),
    ("code-1001-bye", b"\x03\xe9bye"),
    ("code-1004-reserved", b"\x03\xec"),
    ("code-1005-never-sent", b"\x03\xed"),
    ("code-1006-never-sent", b"\x03\xee"),
    ("code-1014-registered", b"\x03\xf6bad gateway"),
    ("code-1015-never-sent", b"\x03\xf7"),
    ("code-2999-undefined", b"\x0b\xb7"),
    ("code-3000-library", b"\x0b\xb8"),
    ("code-4999-private", b"\x13\x87\xe2\x82\xac"),
    ("code-5000-never", b"\x13\x88"),
    ("reason-not-utf8", b"\x03\xe8\xff"),
    ("reason-cut-inside-a-code-point", b"\x03\xe8\xf0\x9f\xa6"),
    ("reason-of-124-bytes-is-cut", &reason_of_124_bytes()),
];

/// Crabs of four bytes each: the 123rd byte is inside one.
const fn reason_of_124_bytes() -> [u8; 126] {
    let mut payload = [0; 126];
    (payload[0], payload[1]) = (0x03, 0xE8);
    let mut at = 2;
    while at < payload.len() {
        payload[at] = b"\xf0\x9f\xa6\x80"[(at - 2) % 4];
        at += 1;
    }
    payload
}

/// A message whose payload is worth being read to where it belongs, of which some has come; then
/// a Ping where the payload goes on.
fn large() -> Vec<u8> {
    let mut stream = b"\x02\xff\0\0\0\0\0\x01\x00\x00\0\0\0\0".to_vec();
    stream.extend([b'x'; 600]);
    stream.extend(b"\x89\x80\0\0\0\0");
    stream
}
