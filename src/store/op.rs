//! Changes as bytes: one encoding for the way to the store's thread and for the journal.
//!
//! ```text
//!   Append alice 58 "…"   kind | user "alice" | seq 58 | bytes of the entry
//!   Append bob 58 "…"     kind | user "bob"                    "the same entry as before"
//!   Seen bob 90           kind | user: the same | 90
//!
//!   number  7 bits to a byte, the lowest first; the highest bit says that more follow
//!   text    its length, the bytes        user  0 for the same as before, or length + 1, the bytes
//! ```
//!
//! What was written by others, or altered, is an error for whoever reads it, whatever it is.
//!
//! This module does not know what the changes mean.

use redb::Value;

use super::read::{Head, Kept};
use super::row::{ClientRow, read_answer};
use crate::relay::log::{Seq, ServerState, Stamp};

/// A [`Change`](crate::relay::log::Change) as it is read from bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Op<'a> {
    Acknowledge { user: &'a str, acked: Seq },
    Answer { request: &'a str, row: &'a [u8] },
    Append { user: &'a str, seq: Seq, entry: &'a [u8], copy: Occurrence },
    Client { user: &'a str, client: &'a str, row: ClientRow },
    Create { user: &'a str, dropped: Seq },
    Discard { user: &'a str, dropped: Seq },
    ForgetAnswer { request: &'a str },
    ForgetClient { user: &'a str, client: &'a str },
    Join { user: &'a str, group: &'a str, seq: Seq },
    Leave { user: &'a str, group: &'a str },
    Remove { user: &'a str },
    Seen { user: &'a str, at: Stamp },
    Server(ServerState),
}

/// Whether an entry comes for the first time in its batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Occurrence {
    Again,
    First,
}

/// These bytes are no changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Unreadable;

/// The changes in some bytes. Behind what cannot be read there is nothing.
#[derive(Clone, Debug)]
pub(super) struct Ops<'a> {
    rest: &'a [u8],
    user: Option<&'a str>,
    entry: Option<(Seq, &'a [u8])>,
}

impl<'a> Ops<'a> {
    /// The changes in these bytes.
    pub fn of(bytes: &'a [u8]) -> Ops<'a> {
        Ops { rest: bytes, user: None, entry: None }
    }

    fn op(&mut self) -> Option<Op<'a>> {
        let (&kind, rest) = self.rest.split_first()?;
        self.rest = rest;
        Some(match kind {
            ACKNOWLEDGE => Op::Acknowledge { user: self.user()?, acked: self.seq()? },
            ANSWER => Op::Answer { request: self.text()?, row: self.bytes()? },
            APPEND => {
                let user = self.user()?;
                let (seq, entry) = (self.seq()?, self.bytes()?);
                self.entry = Some((seq, entry));
                Op::Append { user, seq, entry, copy: Occurrence::First }
            }
            APPEND_SAME => {
                let user = self.user()?;
                let (seq, entry) = self.entry?;
                Op::Append { user, seq, entry, copy: Occurrence::Again }
            }
            CLIENT => {
                let (user, client) = (self.user()?, self.text()?);
                let (row, rest) = self.rest.split_at_checked(CLIENT_LEN)?;
                self.rest = rest;
                Op::Client { user, client, row: ClientRow::from_bytes(row) }
            }
            CREATE => Op::Create { user: self.user()?, dropped: self.seq()? },
            DISCARD => Op::Discard { user: self.user()?, dropped: self.seq()? },
            FORGET_ANSWER => Op::ForgetAnswer { request: self.text()? },
            FORGET_CLIENT => Op::ForgetClient { user: self.user()?, client: self.text()? },
            JOIN => Op::Join { user: self.user()?, group: self.text()?, seq: self.seq()? },
            LEAVE => Op::Leave { user: self.user()?, group: self.text()? },
            REMOVE => Op::Remove { user: self.user()? },
            SEEN => Op::Seen { user: self.user()?, at: Stamp(self.number()?) },
            SERVER => {
                let (counter, floor) = (self.seq()?, self.seq()?);
                Op::Server(ServerState { counter, floor, stamp: Stamp(self.number()?) })
            }
            _ => return None,
        })
    }

    fn user(&mut self) -> Option<&'a str> {
        if let Some(len) = self.number()?.checked_sub(1) {
            self.user = Some(self.text_of(len)?);
        }
        self.user
    }

    fn text(&mut self) -> Option<&'a str> {
        let len = self.number()?;
        self.text_of(len)
    }

    fn text_of(&mut self, len: u64) -> Option<&'a str> {
        std::str::from_utf8(self.bytes_of(len)?).ok()
    }

    fn bytes(&mut self) -> Option<&'a [u8]> {
        let len = self.number()?;
        self.bytes_of(len)
    }

    fn bytes_of(&mut self, len: u64) -> Option<&'a [u8]> {
        let (bytes, rest) = self.rest.split_at_checked(usize::try_from(len).ok()?)?;
        self.rest = rest;
        Some(bytes)
    }

    fn seq(&mut self) -> Option<Seq> {
        self.number().map(Seq)
    }

    fn number(&mut self) -> Option<u64> {
        let mut number = 0_u64;
        for shift in (0..64).step_by(7) {
            let (&byte, rest) = self.rest.split_first()?;
            self.rest = rest;
            let bits = u64::from(byte & 0x7F);
            if shift == 63 && bits > 1 {
                return None;
            }
            number |= bits << shift;
            if byte & 0x80 == 0 {
                return Some(number);
            }
        }
        None
    }
}

impl<'a> Iterator for Ops<'a> {
    type Item = Result<Op<'a>, Unreadable>;

    fn next(&mut self) -> Option<Result<Op<'a>, Unreadable>> {
        if self.rest.is_empty() {
            return None;
        }
        let op = self.op().ok_or(Unreadable);
        if op.is_err() {
            self.rest = &[];
        }
        Some(op)
    }
}

/// How many changes are in these bytes, all of which can be read, with the entries and answers in
/// them.
pub(super) fn verify(bytes: &[u8]) -> Result<u64, Unreadable> {
    let mut count = 0;
    for op in Ops::of(bytes) {
        let is_whole = match op? {
            Op::Append { seq, entry, copy: Occurrence::First, .. } => {
                <Head as Kept>::read(entry).is_some_and(|(_, head)| head.seq == seq)
            }
            Op::Answer { row, .. } => read_answer(row).is_some(),
            _ => true,
        };
        if !is_whole {
            return Err(Unreadable);
        }
        count += 1;
    }
    Ok(count)
}

/// Adds a number.
pub(super) fn put_number(mut number: u64, out: &mut Vec<u8>) {
    while number >= 0x80 {
        out.push(number as u8 | 0x80);
        number >>= 7;
    }
    out.push(number as u8);
}

/// Adds bytes behind their length.
pub(super) fn put_bytes(bytes: &[u8], out: &mut Vec<u8>) {
    put_number(bytes.len() as u64, out);
    out.extend_from_slice(bytes);
}

pub(super) const ACKNOWLEDGE: u8 = 1;
pub(super) const ANSWER: u8 = 2;
pub(super) const APPEND: u8 = 3;
pub(super) const APPEND_SAME: u8 = 4;
pub(super) const CLIENT: u8 = 5;
pub(super) const CREATE: u8 = 6;
pub(super) const DISCARD: u8 = 7;
pub(super) const FORGET_ANSWER: u8 = 8;
pub(super) const FORGET_CLIENT: u8 = 9;
pub(super) const JOIN: u8 = 10;
pub(super) const LEAVE: u8 = 11;
pub(super) const REMOVE: u8 = 12;
pub(super) const SEEN: u8 = 13;
pub(super) const SERVER: u8 = 14;

/// The length of a [`ClientRow`].
const CLIENT_LEN: usize = 25;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_come_back_and_have_one_length_limit() {
        for number in [0, 1, 127, 128, 300, u64::from(u32::MAX), u64::MAX - 1, u64::MAX] {
            let mut bytes = Vec::new();
            put_number(number, &mut bytes);
            let mut ops = Ops::of(&bytes);
            assert_eq!((ops.number(), ops.rest.len()), (Some(number), 0));
        }
        for bytes in
            [&[0x80][..], &[0xFF; 11], &[0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 2]]
        {
            assert_eq!(Ops::of(bytes).number(), None, "{bytes:?}");
        }
    }

    #[test]
    fn what_is_no_change_is_unreadable_and_the_end() {
        let bytes: [&[u8]; 7] = [
            &[0],
            &[99],
            &[REMOVE],
            // The same user as before, and the same entry, where there is none.
            &[REMOVE, 0],
            &[APPEND_SAME, 2, b'a'],
            &[REMOVE, 2, 0xFF],
            &[REMOVE, 9, b'a'],
        ];
        for bytes in bytes {
            let read: Vec<_> = Ops::of(bytes).collect();
            assert_eq!(read, [Err(Unreadable)], "{bytes:?}");
            assert_eq!(verify(bytes), Err(Unreadable));
        }
        let behind = [&[REMOVE, 2, b'a'][..], &[99, 1, 2]].concat();
        let read: Vec<_> = Ops::of(&behind).collect();
        assert_eq!(read, [Ok(Op::Remove { user: "a" }), Err(Unreadable)]);
    }
}
