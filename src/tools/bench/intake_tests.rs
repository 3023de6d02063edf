//! One receiver, messages as a server may send them.

use std::time::Duration;

use super::super::outgoing::{Filler, content};
use super::super::scanner::Scanner;
use super::*;
use crate::wire::{FrameHeader, Rsv};

/// A connection that receives stream 3, of which `sent` messages were sent.
struct Subject {
    expected: Expected,
    sent: u64,
    scanner: Scanner,
    ledger: Ledger,
    fragments: Fragments,
    control: Control,
    tally: Tally,
}

impl Subject {
    fn new(size: usize, layout: Layout) -> Subject {
        let (content, opcode) = (content(size, Filler::Ascii), Opcode::Text);
        Subject {
            expected: Expected { content, chat: None, opcode, layout, verify: Verify::Content },
            sent: 1_000,
            scanner: Scanner::default(),
            ledger: Ledger::default(),
            fragments: Fragments::default(),
            control: Control::default(),
            tally: Tally::default(),
        }
    }

    /// The content of a message of stream 3.
    fn content(&self, sequence: u64) -> Vec<u8> {
        let mut content = self.expected.content.clone();
        let len = content.len().min(STAMP_LEN);
        content[..len].copy_from_slice(&stamp(STREAM, sequence)[STAMP_LEN - len..]);
        content
    }

    fn receive(&mut self, bytes: &[u8]) {
        let pace = Pace::closed(1, STREAM as usize + 1);
        let mut recorder = Recorder::new(Nanos(0), Duration::from_secs(1));
        let mut intake = Intake {
            expected: &self.expected,
            stream: Some(STREAM),
            sent: self.sent,
            ledger: &mut self.ledger,
            fragments: &mut self.fragments,
            control: &mut self.control,
            tally: &mut self.tally,
            pace: &pace,
            recorder: &mut recorder,
            duty: None,
            answers: None,
            now: Nanos(9),
            key: MaskingKey([1; 4]),
        };
        self.scanner.feed(bytes, &mut intake).unwrap();
    }

    /// Once whole and once in pieces.
    fn both(size: usize, layout: Layout, frames: impl Fn(&Subject) -> Vec<u8>) -> Tally {
        let mut whole = Subject::new(size, layout);
        let bytes = frames(&whole);
        whole.receive(&bytes);
        for cut in [1, 5, 17] {
            let mut pieces = Subject::new(size, layout);
            for piece in bytes.chunks(cut) {
                pieces.receive(piece);
            }
            assert_eq!((pieces.tally, pieces.ledger), (whole.tally, whole.ledger), "cut {cut}");
        }
        whole.tally
    }
}

fn framed<'a>(opcode: Opcode, payloads: impl IntoIterator<Item = &'a [u8]>) -> Vec<u8> {
    let mut out = Vec::new();
    for payload in payloads {
        let payload_len = payload.len() as u64;
        let (rsv, masking_key) = (Rsv::NONE, None);
        FrameHeader { fin: true, rsv, opcode, masking_key, payload_len }.write(&mut out);
        out.extend_from_slice(payload);
    }
    out
}

fn numbered(subject: &Subject, sequences: &[u64]) -> Vec<u8> {
    let payloads: Vec<Vec<u8>> =
        sequences.iter().map(|sequence| subject.content(*sequence)).collect();
    framed(Opcode::Text, payloads.iter().map(Vec::as_slice))
}

const STREAM: u32 = 3;

#[test]
fn the_books_are_the_same_for_every_length_of_content() {
    for size in [2, 5, 8, 15, 16, 17, 125] {
        let tally =
            Subject::both(size, Layout::Bare, |subject| numbered(subject, &[0, 1, 4, 4, 2, 5]));
        let wanted = Tally { received: 5, duplicates: 1, disorder: 1, ..Tally::default() };
        assert_eq!(tally, wanted, "{size}");
    }
}

#[test]
fn short_stamps_come_round_and_are_still_told_apart() {
    for size in [0, 1, 2] {
        let numbers: Vec<u64> = (0..700).collect();
        let tally = Subject::both(size, Layout::Bare, |subject| numbered(subject, &numbers));
        assert_eq!(tally, Tally { received: 700, ..Tally::default() }, "{size}");
    }
    // Without any digit, a message too many is one too many.
    let mut subject = Subject::new(0, Layout::Bare);
    subject.sent = 2;
    subject.receive(&numbered(&subject, &[0, 0, 0]));
    assert_eq!(subject.tally, Tally { received: 2, duplicates: 1, ..Tally::default() });
}

#[test]
fn what_was_changed_on_its_way_is_damaged() {
    let damaged = |change: fn(&mut Vec<u8>)| {
        Subject::both(40, Layout::Bare, |subject| {
            let mut content = subject.content(0);
            change(&mut content);
            framed(Opcode::Text, [content.as_slice()])
        })
    };
    // The filler: it has come, but not as it was sent.
    let tally = damaged(|content| content[39] ^= 1);
    assert_eq!((tally.received, tally.damaged), (1, 1));
    // The stamp: which one has come cannot be told.
    let tally = damaged(|content| content[9] = b'?');
    assert_eq!((tally.received, tally.damaged), (0, 1));
    // A number that was never sent.
    let tally = damaged(|content| content[6] = b'f');
    assert_eq!((tally.received, tally.damaged), (0, 1));
    // Another stream.
    let tally = damaged(|content| content[0] = b'f');
    assert_eq!((tally.received, tally.misdelivered), (0, 1));
    // Another length: that is none of ours.
    let tally = damaged(|content| content.push(b'!'));
    assert_eq!((tally.received, tally.foreign), (0, 1));
    // Another kind of message.
    let binary = Subject::both(40, Layout::Bare, |subject| {
        framed(Opcode::Binary, [subject.content(0).as_slice()])
    });
    assert_eq!((binary.received, binary.damaged), (1, 1));
}

#[test]
fn content_is_found_wherever_the_server_puts_it() {
    let message = |prefix: &str, content: Vec<u8>| {
        format!(r#"{{"x":"{prefix}","content":"{}"}}"#, String::from_utf8(content).unwrap())
    };
    for size in [16, 30] {
        let tally = Subject::both(size, Layout::Within, |subject| {
            let texts = [
                message("a", subject.content(0)),
                message("a", subject.content(1)),
                message("much further", subject.content(2)),
                message("", subject.content(3)),
                r#"{"type":"error","code":404,"reason":"receiver_offline"}"#.to_owned(),
                message("", subject.content(3)),
            ];
            framed(Opcode::Text, texts.iter().map(|text| text.as_bytes()))
        });
        let wanted = Tally { received: 4, foreign: 1, duplicates: 1, ..Tally::default() };
        assert_eq!(tally, wanted, "{size}");
    }
}

#[test]
fn pings_and_close_frames_are_answered() {
    let mut subject = Subject::new(16, Layout::Bare);
    subject.receive(&framed(Opcode::Ping, [&b"hi"[..]]));
    let mut wanted = Vec::new();
    append_frame(&mut wanted, Opcode::Pong, MaskingKey([1; 4]), b"hi");
    assert_eq!(subject.control.replies, wanted);
    subject.receive(&framed(Opcode::Close, [&b"\x03\xE9bye"[..]]));
    append_frame(&mut wanted, Opcode::Close, MaskingKey([1; 4]), b"\x03\xE9");
    assert_eq!(subject.control.replies, wanted);
    let text = subject.control.closed.expect("closed");
    assert!(text.starts_with("closed with 1001") && text.ends_with("\"bye\""), "{text}");
}
