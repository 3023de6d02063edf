//! Messages, and the assembling of those that did not arrive in one piece.
//!
//! RFC 6455 §5.4: a message is one frame, or a first frame without FIN, continuation frames, and a
//! last one with FIN. Control frames may stand between them:
//!
//! ```text
//!   01 03 48 65 6c      Text, no FIN       "Hel"
//!   89 00               Ping               answered at once, before the message is complete
//!   80 02 6c 6f         Continuation, FIN  "lo"      -> the message "Hello"
//! ```
//!
//! What this module does not know: frames. It is given payloads, already unmasked.

use crate::outbox::{Buffer, CHUNK_MAX_BYTES, Pool};
use crate::wire::utf8::validate;
use crate::wire::{InvalidUtf8, Opcode, Utf8Validator};

/// What a data message carries: text is UTF-8, binary is any bytes (RFC 6455 §5.6).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum MessageKind {
    /// Opcode 0x1; the payload is valid UTF-8.
    Text,
    /// Opcode 0x2.
    Binary,
}

impl MessageKind {
    /// The opcode of its first frame.
    #[inline]
    pub fn opcode(self) -> Opcode {
        match self {
            MessageKind::Text => Opcode::Text,
            MessageKind::Binary => Opcode::Binary,
        }
    }
}

/// What the payloads of a message are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Coding {
    /// The message itself.
    Plain,
    /// What permessage-deflate has made of it (RFC 7692).
    Compressed,
}

/// A whole data message, borrowed from where it lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Message<'b> {
    /// Text, checked to be UTF-8.
    Text(&'b str),
    /// Binary.
    Binary(&'b [u8]),
}

impl<'b> Message<'b> {
    /// The payload.
    pub fn as_bytes(&self) -> &'b [u8] {
        match self {
            Message::Text(text) => text.as_bytes(),
            Message::Binary(bytes) => bytes,
        }
    }

    /// Text or binary.
    pub fn kind(&self) -> MessageKind {
        match self {
            Message::Text(_) => MessageKind::Text,
            Message::Binary(_) => MessageKind::Binary,
        }
    }

    /// Length of the payload in bytes.
    pub fn len(&self) -> usize {
        self.as_bytes().len()
    }

    /// Whether the payload is empty, which is a message like any other.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// A message that arrived in more than one piece, and so owns its bytes.
#[derive(Debug)]
pub struct Assembled {
    kind: MessageKind,
    /// Invariant: `filled <= buffer.len()`; behind `filled` lies space to be filled.
    buffer: Buffer,
    filled: usize,
    utf8: Utf8Validator,
    coding: Coding,
}

impl Assembled {
    pub(super) fn new(kind: MessageKind, coding: Coding) -> Assembled {
        Assembled { kind, buffer: Buffer::new(), filled: 0, utf8: Utf8Validator::default(), coding }
    }

    /// How it comes over the wire.
    pub(super) fn coding(&self) -> Coding {
        self.coding
    }

    /// Bytes collected so far.
    pub(super) fn len(&self) -> usize {
        self.filled
    }

    /// What is collected so far.
    pub(super) fn bytes(&self) -> &[u8] {
        &self.buffer[..self.filled]
    }

    /// Bytes that were written to, whether they are collected yet or not.
    pub(super) fn taken(&self) -> usize {
        self.buffer.len()
    }

    /// Appends a piece. `rest` is how many bytes the message lacks after it; `None` if nobody
    /// knows, because this fragment is not the last.
    ///
    /// Memory is taken for bytes that have arrived, not for those that a header promised: at most
    /// as much again as is there (or a little at the start), and no more than the message will
    /// fill. Nor is it taken by the piece: each byte is moved once or twice on average, into
    /// however many fragments the peer has cut the message.
    pub(super) fn push(
        &mut self,
        piece: &[u8],
        rest: Option<u64>,
        pool: &mut Pool,
    ) -> Result<(), InvalidUtf8> {
        self.validate_next(piece)?;
        let needed = self.filled + piece.len();
        if needed > self.buffer.capacity() {
            match rest {
                Some(rest) => self.grow_towards(needed, rest, needed.max(RESERVE_MIN_BYTES), pool),
                None => self.grow(2 * needed, pool),
            }
        }
        self.buffer.truncate(self.filled);
        self.buffer.extend_from_slice(piece);
        self.filled = needed;
        Ok(())
    }

    /// Room for the next of `rest` bytes, to be filled by whoever reads the socket. As much as the
    /// buffer has, but no more than is there already, or [`CHUNK_MAX_BYTES`].
    pub(super) fn space(&mut self, rest: u64, pool: &mut Pool) -> &mut [u8] {
        if self.filled == self.buffer.capacity() {
            self.grow_towards(self.filled, rest, self.filled.max(CHUNK_MAX_BYTES), pool);
        }
        let rest = usize::try_from(rest).unwrap_or(usize::MAX);
        let end = self.buffer.capacity().min(self.filled.saturating_add(rest));
        self.buffer.extend_to(end);
        &mut self.buffer[self.filled..end]
    }

    /// The first `len` bytes of the [`space`](Assembled::space) were filled, and are unmasked.
    pub(super) fn fill(&mut self, len: usize) -> Result<(), InvalidUtf8> {
        let (start, end) = (self.filled, self.filled + len);
        self.filled = end;
        if self.is_checked_text() {
            self.utf8.push(&self.buffer[start..end])?;
        }
        Ok(())
    }

    /// What was read into the space but is not counted yet.
    pub(super) fn unfilled(&mut self, len: usize) -> &mut [u8] {
        &mut self.buffer[self.filled..self.filled + len]
    }

    /// RFC 6455 §8.1: text must be whole code points when the message ends.
    pub(super) fn finish(&self) -> Result<(), InvalidUtf8> {
        match self.kind {
            MessageKind::Text => self.utf8.finish(),
            MessageKind::Binary => Ok(()),
        }
    }

    /// The message, borrowed.
    pub fn message(&self) -> Message<'_> {
        borrow(self.kind, &self.buffer[..self.filled])
    }

    /// The kind, the buffer, and how many bytes of it are the message.
    pub fn into_parts(self) -> (MessageKind, Buffer, usize) {
        (self.kind, self.buffer, self.filled)
    }

    fn validate_next(&mut self, piece: &[u8]) -> Result<(), InvalidUtf8> {
        if self.is_checked_text() { self.utf8.push(piece) } else { Ok(()) }
    }

    /// Compressed text is checked when it is decompressed.
    fn is_checked_text(&self) -> bool {
        self.kind == MessageKind::Text && self.coding == Coding::Plain
    }

    /// Moves to a buffer for `needed` bytes and those of the `rest` that may come before the next
    /// move: all of them if the pool has such a buffer, for that is memory taken already; else
    /// `ahead` at most.
    fn grow_towards(&mut self, needed: usize, rest: u64, ahead: usize, pool: &mut Pool) {
        let rest = usize::try_from(rest).unwrap_or(usize::MAX);
        match pool.take_spare(needed.saturating_add(rest)) {
            Some(buffer) => self.move_to(buffer, pool),
            None => self.grow(needed + rest.min(ahead), pool),
        }
    }

    /// Moves to a buffer of `capacity` bytes: one of the pool's if it is large.
    fn grow(&mut self, capacity: usize, pool: &mut Pool) {
        if capacity < CHUNK_MAX_BYTES {
            self.buffer.reserve_exact(capacity - self.buffer.len());
            return;
        }
        let buffer = pool.take_buffer(capacity);
        self.move_to(buffer, pool);
    }

    fn move_to(&mut self, mut buffer: Buffer, pool: &mut Pool) {
        buffer.extend_from_slice(&self.buffer[..self.filled]);
        pool.keep_buffer(std::mem::replace(&mut self.buffer, buffer));
    }
}

/// A message over bytes that have been validated.
///
/// Text was validated piece by piece as it arrived (so that it could fail at the first bad octet);
/// safe Rust asks for the proof once more here, at memory speed.
pub fn borrow(kind: MessageKind, bytes: &[u8]) -> Message<'_> {
    match kind {
        MessageKind::Text => match validate(bytes) {
            Ok(text) => Message::Text(text),
            Err(InvalidUtf8) => unreachable!("invariant: every piece and the end were checked"),
        },
        MessageKind::Binary => Message::Binary(bytes),
    }
}

/// The first reservation for a message that does not fit its read.
const RESERVE_MIN_BYTES: usize = 16 * 1024;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_taken_for_bytes_that_arrived_not_for_those_declared() {
        let mut pool = Pool::new(1 << 20);
        let mut message = Assembled::new(MessageKind::Binary, Coding::Plain);
        message.push(b"x", Some(u64::MAX >> 1), &mut pool).unwrap();
        assert!(
            message.buffer.capacity() <= 1 + RESERVE_MIN_BYTES,
            "{}",
            message.buffer.capacity()
        );
        let piece = vec![0; 100_000];
        message.push(&piece, Some(u64::MAX >> 1), &mut pool).unwrap();
        assert!(message.buffer.capacity() <= 2 * (message.len() + 1) + RESERVE_MIN_BYTES);
    }

    #[test]
    fn a_message_of_known_length_ends_in_a_buffer_of_that_length() {
        let total = 1 << 20;
        let mut pool = Pool::new(1 << 20);
        let mut message = Assembled::new(MessageKind::Binary, Coding::Plain);
        let mut rest = total;
        while rest > 0 {
            let n = rest.min(70_000);
            rest -= n;
            message.push(&vec![1; n], Some(rest as u64), &mut pool).unwrap();
        }
        assert_eq!(message.buffer.capacity(), total);
    }

    #[test]
    fn many_small_fragments_do_not_move_what_is_there_each_time() {
        let mut pool = Pool::new(1 << 20);
        let mut message = Assembled::new(MessageKind::Binary, Coding::Plain);
        let (mut moves, mut capacity) = (0, 0);
        for _ in 0..16_384 {
            message.push(&[0; 64], None, &mut pool).unwrap();
            moves += usize::from(message.buffer.capacity() != capacity);
            capacity = message.buffer.capacity();
        }
        assert!(moves <= 16, "{moves} reallocations");
        assert!(capacity <= 2 * message.len(), "{capacity}");
    }
}
