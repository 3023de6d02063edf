//! Judging what comes: is it the message that was sent, and is it its turn?
//!
//! The common case is a message that lies whole in the read buffer and is the next one: sixteen
//! bytes of stamp and the filler are compared with what they should be. Everything else takes the
//! slow way, which finds out what it is instead.

use std::rc::Rc;

use super::chat::Chat;
use super::dialect::{Duty, Said};
use super::ledger::{Arrival, Ledger};
use super::outgoing::append_frame;
use super::pace::Pace;
use super::recorder::Recorder;
use super::scanner::Sink;
use super::settings::Verify;
use super::stamp::{NAME_DIGITS, SEQUENCE_MAX, STAMP_LEN, number, parse, stamp};
use crate::net::client::Nanos;
use crate::wire::{CloseCode, ClosePayload, MaskingKey, Opcode, Quoted};

/// What messages are to look like when they come.
#[derive(Debug)]
pub struct Expected {
    /// The content, with any stamp.
    pub content: Vec<u8>,
    /// What follows the stamp, if it is another in each message; contents have a whole stamp then.
    pub chat: Option<Rc<Chat>>,
    /// The kind of message that was sent.
    pub opcode: Opcode,
    /// Where the content is.
    pub layout: Layout,
    /// What is compared.
    pub verify: Verify,
}

impl Expected {
    /// What follows the stamp of this message.
    #[inline]
    fn filler(&self, stream: u32, sequence: u64) -> &[u8] {
        match &self.chat {
            None => &self.content[self.content.len().min(STAMP_LEN)..],
            Some(chat) => chat.message(stream, sequence),
        }
    }

    /// The same, as far as the stamp says which message it is.
    fn filler_of(&self, digits: &[u8]) -> &[u8] {
        let (stream, sequence) = parse(digits).unwrap_or_default();
        self.filler(stream, sequence)
    }
}

/// Where the content is in a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Layout {
    /// It is the message.
    Bare,
    /// Somewhere in it, as the server likes.
    Within,
}

/// What came, in all.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Messages that were sent, once for each receiver; duplicates are not among them.
    pub received: u64,
    /// Messages that came again.
    pub duplicates: u64,
    /// Messages that came after one that was sent later.
    pub disorder: u64,
    /// Messages of ours with another content or kind than was sent.
    pub damaged: u64,
    /// Messages that came to somebody they were not meant for.
    pub misdelivered: u64,
    /// Messages that are none of ours: greetings, notices, errors.
    pub foreign: u64,
    /// With `--v1`: messages that the server said it has taken.
    pub answered: u64,
    /// With `--v1`: messages that were refused, and gaps.
    pub refused: u64,
    /// Bytes received, headers and all.
    pub bytes: u64,
    /// Bytes sent, likewise.
    pub sent_bytes: u64,
}

/// The part of a message that came in earlier reads.
#[derive(Debug, Default)]
pub struct Fragments {
    /// `Layout::Bare`: the stamp as far as it has come, and whether all else was right.
    stamp: [u8; STAMP_LEN],
    differs: bool,
    /// `Layout::Within`: everything.
    bytes: Vec<u8>,
    /// Where the content was in the last message.
    content_at: usize,
}

/// What the connection has to answer, or its end.
#[derive(Debug, Default)]
pub struct Control {
    /// Frames to be sent back.
    pub replies: Vec<u8>,
    /// What the server's Close frame says.
    pub closed: Option<String>,
}

/// One read of one connection, on its way into the books.
pub struct Intake<'a> {
    /// What is to come.
    pub expected: &'a Expected,
    /// The stream that this connection receives.
    pub stream: Option<u32>,
    /// How many messages of that stream have been sent.
    pub sent: u64,
    /// What has come of it.
    pub ledger: &'a mut Ledger,
    /// A message that has come in part.
    pub fragments: &'a mut Fragments,
    /// What is to be said back.
    pub control: &'a mut Control,
    /// The books.
    pub tally: &'a mut Tally,
    /// When messages were sent.
    pub pace: &'a Pace,
    /// Latencies.
    pub recorder: &'a mut Recorder,
    /// With `--v1`: what the connection owes the server, and the stream that it sends.
    pub duty: Option<(&'a mut Duty, Option<u32>)>,
    /// Latencies of answers.
    pub answers: Option<&'a mut Recorder>,
    /// When this read returned.
    pub now: Nanos,
    /// For replies.
    pub key: MaskingKey,
}

impl Intake<'_> {
    /// Whether it is the next message of the stream, byte for byte.
    #[inline]
    fn is_next(&self, stream: u32, content: &[u8]) -> bool {
        let expected = &self.expected.content;
        let stamp_len = expected.len().min(STAMP_LEN);
        if content.len() != expected.len() || self.ledger.next() >= self.sent {
            return false;
        }
        let (found, filler) = content.split_at(stamp_len);
        let whole = stamp(stream, self.ledger.next());
        // Two comparisons of a known length are two instructions.
        let same_stamp = match found.first_chunk::<STAMP_LEN>() {
            Some(found) => *found == whole,
            None => *found == whole[STAMP_LEN - stamp_len..],
        };
        same_stamp
            && (self.expected.verify == Verify::Sequence
                || *filler == *self.expected.filler(stream, self.ledger.next()))
    }

    #[inline]
    fn take_next(&mut self, stream: u32) {
        self.recorder.record(self.pace.since(stream, self.ledger.next()), self.now);
        self.ledger.advance();
        self.tally.received += 1;
    }

    /// Messages of which nothing is known but that their bytes have come: they are taken for the
    /// next ones, as far as there are any.
    pub fn count(&mut self, messages: usize) {
        for _ in 0..messages {
            match self.stream {
                Some(stream) if self.ledger.next() < self.sent => self.take_next(stream),
                Some(_) => self.tally.duplicates += 1,
                None => self.tally.misdelivered += 1,
            }
        }
    }

    /// A message that may not be the next one, if it has the length of ours.
    fn take_other(&mut self, digits: &[u8], intact: bool) {
        let Some((stream, sequence)) = self.read_stamp(digits) else {
            self.tally.damaged += 1;
            return;
        };
        if self.stream != Some(stream) {
            self.tally.misdelivered += 1;
            return;
        }
        if sequence >= self.sent {
            self.tally.damaged += 1;
            return;
        }
        self.tally.damaged += u64::from(!intact);
        let in_turn = sequence >= self.ledger.next();
        match self.ledger.arrive(sequence) {
            Arrival::New => self.tally.received += 1,
            Arrival::Late => {
                self.tally.received += 1;
                self.tally.disorder += 1;
            }
            Arrival::Duplicate => self.tally.duplicates += 1,
        }
        // When a late one was sent, a closed loop may have forgotten.
        if in_turn {
            self.recorder.record(self.pace.since(stream, sequence), self.now);
        }
    }

    /// Stream and sequence number. What a cut stamp does not say is taken to be what is nearest to
    /// the expected.
    fn read_stamp(&self, digits: &[u8]) -> Option<(u32, u64)> {
        if digits.len() == STAMP_LEN {
            return parse(digits);
        }
        let stream = self.stream?;
        let bits = 4 * digits.len().min(STAMP_LEN - NAME_DIGITS) as u32;
        let (rest, sequence) = digits.split_at(digits.len() - bits as usize / 4);
        number(rest)?;
        let modulus = 1_u64 << bits;
        let ahead = number(sequence)?.wrapping_sub(self.ledger.next()) & (modulus - 1);
        if ahead < modulus / 2 || modulus == 1 && self.ledger.next() < self.sent {
            return Some((stream, self.ledger.next() + ahead));
        }
        Some((stream, self.ledger.next().checked_sub(modulus - ahead)?))
    }

    /// A message was taken by the server.
    fn answered(&mut self, stream: Option<u32>, sequence: u64) {
        self.tally.answered += 1;
        if let (Some(stream), Some(answers)) = (stream, &mut self.answers) {
            answers.record(self.pace.since(stream, sequence), self.now);
        }
    }

    /// A message somewhere in which the content should be.
    fn take_within(&mut self, payload: &[u8]) {
        if let Some((duty, stream)) = &mut self.duty {
            let stream = *stream;
            match duty.hear(payload, self.control, self.key) {
                Said::Answer(sequence) => return self.answered(stream, sequence),
                Said::Notice => return,
                Said::Refusal => return self.tally.refused += 1,
                Said::Other => {}
            }
        }
        let len = self.expected.content.len();
        let at = self.fragments.content_at;
        if let Some(stream) = self.stream
            && let Some(content) = payload.get(at..at + len)
            && self.is_next(stream, content)
        {
            return self.take_next(stream);
        }
        let found = payload.windows(len).position(|window| {
            let (digits, filler) = window.split_at(STAMP_LEN);
            parse(digits).is_some() && *filler == *self.expected.filler_of(digits)
        });
        let at = found.unwrap_or(at);
        match payload.get(at..at + len) {
            Some(content) if found.is_some() || parse(&content[..STAMP_LEN]).is_some() => {
                self.fragments.content_at = at;
                self.take_other(&content[..STAMP_LEN], found.is_some() || self.trusts());
            }
            _ => self.tally.foreign += 1,
        }
    }

    fn trusts(&self) -> bool {
        self.expected.verify == Verify::Sequence
    }
}

impl Sink for Intake<'_> {
    #[inline]
    fn whole(&mut self, opcode: Opcode, payload: &[u8]) {
        if self.expected.layout == Layout::Within {
            return self.take_within(payload);
        }
        if let Some(stream) = self.stream
            && opcode == self.expected.opcode
            && self.is_next(stream, payload)
        {
            return self.take_next(stream);
        }
        let content = &self.expected.content;
        if payload.len() != content.len() {
            self.tally.foreign += 1;
            return;
        }
        let (digits, filler) = payload.split_at(content.len().min(STAMP_LEN));
        let same = self.trusts() || *filler == *self.expected.filler_of(digits);
        self.take_other(digits, same && opcode == self.expected.opcode);
    }

    fn piece(&mut self, offset: u64, payload: &[u8]) {
        if self.expected.layout == Layout::Within {
            self.fragments.bytes.extend_from_slice(payload);
            return;
        }
        let content = &self.expected.content;
        let offset = usize::try_from(offset).unwrap_or(usize::MAX).min(content.len());
        if offset == 0 {
            self.fragments.differs = false;
        }
        let stamp_len = content.len().min(STAMP_LEN);
        let digits = &payload[..payload.len().min(stamp_len.saturating_sub(offset))];
        if let Some(place) = self.fragments.stamp.get_mut(offset..offset + digits.len()) {
            place.copy_from_slice(digits);
        }
        let filler = &payload[digits.len()..];
        if self.expected.verify == Verify::Content {
            let wanted = content[offset + digits.len()..].get(..filler.len());
            self.fragments.differs |= wanted != Some(filler);
        }
    }

    fn end(&mut self, opcode: Opcode, len: u64) {
        if self.expected.layout == Layout::Within {
            let bytes = std::mem::take(&mut self.fragments.bytes);
            return self.take_within(&bytes);
        }
        let content = &self.expected.content;
        if len != content.len() as u64 {
            self.tally.foreign += 1;
            return;
        }
        let intact = !self.fragments.differs && opcode == self.expected.opcode;
        let stamp = self.fragments.stamp;
        self.take_other(&stamp[..content.len().min(STAMP_LEN)], intact);
    }

    fn control(&mut self, opcode: Opcode, payload: &[u8]) {
        take_control(self.control, self.key, opcode, payload);
    }
}

/// Listens to control frames alone, while connections settle and when they close.
pub struct Deaf<'a> {
    /// What is to be said back.
    pub control: &'a mut Control,
    /// For replies.
    pub key: MaskingKey,
    /// With `--v1`: what the connection owes the server all the same.
    pub duty: Option<&'a mut Duty>,
}

impl Sink for Deaf<'_> {
    fn whole(&mut self, _opcode: Opcode, payload: &[u8]) {
        if let Some(duty) = &mut self.duty {
            let _ = duty.hear(payload, self.control, self.key);
        }
    }

    fn piece(&mut self, _offset: u64, _payload: &[u8]) {}

    fn end(&mut self, _opcode: Opcode, _len: u64) {}

    fn control(&mut self, opcode: Opcode, payload: &[u8]) {
        take_control(self.control, self.key, opcode, payload);
    }
}

fn take_control(control: &mut Control, key: MaskingKey, opcode: Opcode, payload: &[u8]) {
    match opcode {
        // RFC 6455 §5.5.2: a Pong frame MUST be sent in response, with the same payload.
        Opcode::Ping => append_frame(&mut control.replies, Opcode::Pong, key, payload),
        // RFC 6455 §5.5.1: a Close frame MUST be sent in response; it may echo the status code.
        Opcode::Close => {
            append_frame(&mut control.replies, Opcode::Close, key, payload.get(..2).unwrap_or(&[]));
            control.closed = Some(match ClosePayload::parse(payload) {
                Ok(Some(ClosePayload { code, reason })) => close_reason(Some(code), reason),
                Ok(None) => close_reason(None, ""),
                Err(error) => format!("closed with a malformed Close frame: {error}"),
            });
        }
        _ => {}
    }
}

/// What a Close frame says, in words.
pub(super) fn close_reason(code: Option<CloseCode>, reason: &str) -> String {
    match (code, reason) {
        (Some(code), "") => format!("closed with {code}"),
        (Some(code), reason) => format!("closed with {code}, {}", Quoted(reason.as_bytes())),
        (None, _) => "closed without a close code".to_owned(),
    }
}

const _: () = assert!(SEQUENCE_MAX == 1 << (4 * (STAMP_LEN - NAME_DIGITS)));

#[cfg(test)]
#[path = "intake_tests.rs"]
mod tests;
