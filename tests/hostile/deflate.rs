//! Compressed messages that become more than they seem, or nothing at all.

use std::io::{Read, Write};
use std::net::TcpStream;

use crate::common::client::{fragment, read_to_end};
use crate::victim::{MIB, Victim, sent, stuff, stuff_until_ended, upgrade};
use switchboard::outbox::Outbox;
use switchboard::protocol::{Connection, Endpoint, Message};
use switchboard::wire::{DeflateAgreement, FrameHeader, Opcode, Parsed, Rsv};

pub const OFFER: &str = "Sec-WebSocket-Extensions: permessage-deflate\r\n";

/// As the server answers by default.
const AGREED: DeflateAgreement = DeflateAgreement {
    server_no_context_takeover: true,
    client_no_context_takeover: true,
    server_max_window_bits: None,
    client_max_window_bits: None,
};

/// A compressed frame of so many equal bytes: a thousandth of them, on the wire.
pub fn bomb(len: u64) -> Vec<u8> {
    let endpoint = Endpoint::client();
    let (mut connection, mut out) = (Connection::new(), Outbox::new());
    connection.agree(&endpoint, &AGREED);
    assert!(connection.send(&endpoint, Message::Binary(&vec![b'a'; len as usize]), &mut out));
    let mut frame = Vec::new();
    while !out.is_empty() {
        frame.extend_from_slice(out.front());
        out.advance(out.front().len());
    }
    assert!((frame.len() as u64) < len / 100, "{} bytes for {len}", frame.len());
    frame
}

/// A compressed frame with this payload, however wrong.
pub fn compressed(fin: bool, payload: &[u8]) -> Vec<u8> {
    let mut frame = fragment(Opcode::Binary, fin, payload);
    frame[0] |= 0x40;
    frame
}

/// A connection that has agreed to compress, with these bytes behind its handshake.
fn agreed(victim: &Victim, bytes: &[u8]) -> TcpStream {
    let mut stream = sent(&victim.server, upgrade("/", OFFER).as_bytes());
    let mut answer = Vec::new();
    while !answer.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        stream.read_exact(&mut byte).unwrap();
        answer.push(byte[0]);
    }
    let answer = String::from_utf8(answer).unwrap();
    assert!(answer.contains("permessage-deflate; "), "{answer}");
    // It may be refused before all of it is taken.
    let _ = stream.write_all(bytes);
    stream
}

/// The code of the Close that comes after other frames, if one does.
fn close_code(stream: &mut TcpStream) -> Option<u16> {
    let all = read_to_end(stream);
    let mut rest = &all[..];
    while let Ok(Parsed::Complete { value, len }) = FrameHeader::parse(rest) {
        let payload = rest.get(len..len + value.payload_len as usize)?;
        if value.opcode == Opcode::Close {
            assert_eq!(value.rsv, Rsv::NONE);
            return Some(u16::from_be_bytes([payload[0], payload[1]]));
        }
        rest = &rest[len + value.payload_len as usize..];
    }
    None
}

/// 64 MiB each, of which the server makes one message's worth and no more; as many at once as would
/// be 3 GiB.
#[test]
fn compressed_bombs_cost_no_more_than_their_limit() {
    let mut victim = Victim::echo(&["--max-message", "1m"]);
    let bomb = bomb(64 * MIB);
    for _ in 0..4 {
        let streams: Vec<TcpStream> = (0..12).map(|_| agreed(&victim, &bomb)).collect();
        victim.disturbs_nobody();
        for mut stream in streams {
            assert_eq!(close_code(&mut stream), Some(1009));
        }
    }
    victim.after();
}

/// Each is allowed, and a thousand of them fit into one read: a gibibyte that nobody takes.
#[test]
fn bombs_that_are_allowed_are_not_worked_off_for_somebody_who_never_reads() {
    let limits = ["--max-message", "1m", "--deflate-min", "2m", "--write-timeout", "1s"];
    let mut victim = Victim::echo(&limits).allowing(40 * MIB);
    let many = bomb(MIB).repeat(1_000);
    let streams: Vec<TcpStream> = (0..4).map(|_| agreed(&victim, b"")).collect();
    let all: Vec<&TcpStream> = streams.iter().collect();
    let mut taken: Vec<usize> = all.iter().map(|stream| stuff(stream, &many)).collect();
    victim.disturbs_nobody();
    stuff_until_ended(&all, &many, &mut taken);
    let most = taken.iter().max();
    assert!(most < Some(&(16 * MIB as usize)), "{most:?} bytes are taken");
    victim.after();
    drop(streams);
}

/// Streams that end and begin again every two bytes, blocks of nothing, tables for nothing: all is
/// allowed, nothing comes out. And what is none, in one frame and never finished.
#[test]
fn compressed_data_of_nothing_and_corrupt_data_end_where_they_should() {
    let mut victim = Victim::echo(&["--max-message", "1m"]);
    let mib = MIB as usize;
    let close = fragment(Opcode::Close, true, b"\x03\xe8");
    let streams_without_end = b"\x03\x00".repeat(mib / 2);
    let empty_blocks = [&b"\x00\x00\x00\xff\xff".repeat(mib / 5)[..], b"\x00"].concat();
    for (payload, wanted) in [
        (&streams_without_end[..], 1000),
        (&empty_blocks, 1000),
        (&vec![0xFF; mib], 1007),
        (&vec![0x00; mib], 1007),
        (b"\xf2\x48\xcd\xc9", 1007),
        (b"", 1007),
        (&vec![0x00; 2 * mib], 1009),
    ] {
        let bytes = [compressed(true, payload), close.clone()].concat();
        for _ in 0..3 {
            let mut stream = agreed(&victim, &bytes);
            let code = close_code(&mut stream);
            assert_eq!(code, Some(wanted), "{:02x?}", &payload[..payload.len().min(8)]);
        }
        victim.disturbs_nobody();
    }
    let begun = compressed(false, &b"\x00\x00\x00\xff\xff".repeat(1_000));
    let streams: Vec<TcpStream> = (0..200).map(|_| agreed(&victim, &begun)).collect();
    victim.disturbs_nobody();
    drop(streams);
    victim.after();
}
