//! Batches: changes on their way to the store's thread, as the bytes they are kept as.
//!
//! ```text
//!   note(Append alice 58)  note(Append bob 58)  note(Seen bob)
//!
//!   bytes  Append{alice, 58, [ entry ]}  AppendSame{bob}  Seen{same user}      see op.rs
//! ```
//!
//! An entry is counted by reference on one thread, so it cannot go to another: its bytes are
//! copied, once per batch, however many logs it is in. A batch comes back when it is committed,
//! and is filled again without allocating.
//!
//! This module does not know where the changes go.

use std::ops::Range;

use redb::Value;

use super::op::{self, put_bytes, put_number};
use super::row::{ClientRow, write_answer};
use crate::relay::log::{Change, Entry, Seq, ServerState, StoredAnswer};

/// Changes that take effect together.
#[derive(Debug, Default)]
pub(super) struct Batch {
    bytes: Vec<u8>,
    /// The entry that was appended last, which is probably the next one too.
    last_entry: Option<Seq>,
    /// Likewise the user, whose name is here.
    last_user: Option<Range<usize>>,
    urgency: Urgency,
    /// The newest seq that was issued, as it says itself.
    counter: Seq,
    /// The row of an answer, whose length comes first.
    row: Vec<u8>,
}

/// Whether somebody waits for a commit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Urgency {
    /// Nobody but those who wait for the news that something was processed.
    #[default]
    Later,
    /// Somebody waits for an answer.
    Now,
}

impl Batch {
    /// Notes a change.
    pub fn push(&mut self, change: Change<'_>) {
        self.consider(change);
        match change {
            Change::Acknowledge { user, acked } => self.about(op::ACKNOWLEDGE, user, acked.0),
            Change::Answer { request, answer } => self.answer(request, answer),
            Change::Append { user, entry } => self.append(user, entry),
            Change::Client { user, client, numbers, seen } => {
                self.named(op::CLIENT, user, client);
                self.bytes.extend(ClientRow::as_bytes(&ClientRow { numbers, seen }));
            }
            Change::Create { user, dropped } => self.about(op::CREATE, user, dropped.0),
            Change::Discard { user, dropped } => self.about(op::DISCARD, user, dropped.0),
            Change::ForgetAnswer { request } => {
                self.bytes.push(op::FORGET_ANSWER);
                put_bytes(request.as_bytes(), &mut self.bytes);
            }
            Change::ForgetClient { user, client } => self.named(op::FORGET_CLIENT, user, client),
            Change::Join { user, group, seq } => {
                self.named(op::JOIN, user, group);
                put_number(seq.0, &mut self.bytes);
            }
            Change::Leave { user, group, .. } => self.named(op::LEAVE, user, group),
            Change::Remove { user } => {
                self.bytes.push(op::REMOVE);
                self.user(user);
            }
            Change::Seen { user, at } => self.about(op::SEEN, user, at.0),
            Change::Server(ServerState { counter, floor, stamp }) => {
                self.bytes.push(op::SERVER);
                for number in [counter.0, floor.0, stamp.0] {
                    put_number(number, &mut self.bytes);
                }
            }
        }
    }

    /// Begins as the batch behind this one.
    pub fn follow(&mut self, before: &Batch) {
        self.counter = before.counter;
    }

    /// Whether somebody waits for it.
    pub fn urgency(&self) -> Urgency {
        self.urgency
    }

    /// The changes, in order.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// How much it is, in bytes.
    pub fn len(&self) -> usize {
        self.bytes.len()
    }

    /// Empties it. It keeps its memory, unless that is more than is usually needed.
    pub fn clear(&mut self) {
        self.bytes.clear();
        self.bytes.shrink_to(SPARE_MAX_BYTES);
        self.last_entry = None;
        self.last_user = None;
        self.urgency = Urgency::Later;
    }

    fn consider(&mut self, change: Change<'_>) {
        match change {
            Change::Acknowledge { .. } | Change::Seen { .. } => {}
            Change::Server(ServerState { counter, .. }) if counter == self.counter => {}
            // A seq was issued, perhaps to something that is in no log.
            Change::Server(ServerState { counter, .. }) => {
                self.counter = counter;
                self.urgency = Urgency::Now;
            }
            _ => self.urgency = Urgency::Now,
        }
    }

    fn append(&mut self, user: &str, entry: &Entry) {
        // One counter for the whole server: the same seq is the same entry.
        if self.last_entry == Some(entry.seq()) {
            self.bytes.push(op::APPEND_SAME);
            self.user(user);
        } else {
            self.about(op::APPEND, user, entry.seq().0);
            put_bytes(entry.as_bytes(), &mut self.bytes);
            self.last_entry = Some(entry.seq());
        }
    }

    fn answer(&mut self, request: &str, answer: &StoredAnswer) {
        self.bytes.push(op::ANSWER);
        put_bytes(request.as_bytes(), &mut self.bytes);
        self.row.clear();
        write_answer(answer, &mut self.row);
        put_bytes(&self.row, &mut self.bytes);
    }

    /// A change of a user and a number.
    fn about(&mut self, kind: u8, user: &str, number: u64) {
        self.bytes.push(kind);
        self.user(user);
        put_number(number, &mut self.bytes);
    }

    /// A change of a user and another name.
    fn named(&mut self, kind: u8, user: &str, name: &str) {
        self.bytes.push(kind);
        self.user(user);
        put_bytes(name.as_bytes(), &mut self.bytes);
    }

    fn user(&mut self, name: &str) {
        let last = self.last_user.clone().map(|at| &self.bytes[at]);
        if last == Some(name.as_bytes()) {
            return put_number(0, &mut self.bytes);
        }
        put_number(name.len() as u64 + 1, &mut self.bytes);
        let at = self.bytes.len();
        self.bytes.extend_from_slice(name.as_bytes());
        self.last_user = Some(at..self.bytes.len());
    }
}

/// What an empty batch keeps of its buffer.
const SPARE_MAX_BYTES: usize = 1 << 20;

#[cfg(test)]
mod tests {
    use std::rc::Rc;

    use super::super::op::{Occurrence, Op, Ops, verify};
    use super::super::samples::entry;
    use super::*;
    use crate::relay::log::{Experience, Numbers, Stamp};

    #[test]
    fn an_entry_for_many_is_copied_once() {
        let mut batch = Batch::default();
        let (first, second) = (entry(58, "hi"), entry(59, "ho"));
        for user in ["alice", "bob", "carol"] {
            batch.push(Change::Append { user, entry: &first });
        }
        batch.push(Change::Append { user: "carol", entry: &second });
        // Kind and user, and once each seq, length and entry.
        let entries = first.as_bytes().len() + second.as_bytes().len() + 2 * 3;
        assert_eq!(batch.len(), entries + (2 + 5) + (2 + 3) + (2 + 5) + 2);
        let read: Vec<(&str, &[u8], Occurrence)> = Ops::of(batch.bytes())
            .map(|op| match op {
                Ok(Op::Append { user, entry, copy, .. }) => (user, entry, copy),
                _ => panic!("{op:?}"),
            })
            .collect();
        assert_eq!(
            read,
            [
                ("alice", first.as_bytes(), Occurrence::First),
                ("bob", first.as_bytes(), Occurrence::Again),
                ("carol", first.as_bytes(), Occurrence::Again),
                ("carol", second.as_bytes(), Occurrence::First),
            ]
        );
        batch.clear();
        assert_eq!(batch.len(), 0);
        batch.push(Change::Append { user: "carol", entry: &second });
        let read = Ops::of(batch.bytes()).next();
        assert!(matches!(read, Some(Ok(Op::Append { copy: Occurrence::First, .. }))));
    }

    /// Every kind of change, and what it is read as.
    fn everything() -> Batch {
        let mut batch = Batch::default();
        let numbers = Numbers::restored(u64::MAX, 5, Experience::Some);
        let (seq, at, body) = (Seq(300), Stamp(1 << 40), Rc::from("{}"));
        let answer = StoredAnswer { at, digest: [7; 32], status: 202, body };
        let server = ServerState { counter: seq, floor: Seq(2), stamp: at };
        let (user, client, group, request) = ("alice", "d001", "room1", "7f3a");
        for change in [
            Change::Create { user, dropped: seq },
            Change::Acknowledge { user, acked: seq },
            Change::Seen { user: "", at },
            Change::Append { user, entry: &entry(58, "hi") },
            Change::Append { user: "bob", entry: &entry(58, "hi") },
            Change::Client { user: "bob", client, numbers, seen: at },
            Change::Join { user, group, seq },
            Change::Leave { user, group, seq },
            Change::ForgetClient { user, client },
            Change::Discard { user, dropped: seq },
            Change::Remove { user },
            Change::Answer { request, answer: &answer },
            Change::ForgetAnswer { request },
            Change::Server(server),
        ] {
            batch.push(change);
        }
        batch
    }

    #[test]
    fn changes_are_read_as_they_were_noted() {
        let batch = everything();
        let (seq, at) = (Seq(300), Stamp(1 << 40));
        let (user, client, group) = ("alice", "d001", "room1");
        let numbers = Numbers::restored(u64::MAX, 5, Experience::Some);
        let read: Vec<Op<'_>> = Ops::of(batch.bytes()).map(Result::unwrap).collect();
        let (message, copy) = (entry(58, "hi"), Occurrence::First);
        let entry = message.as_bytes();
        assert_eq!(
            read[..4],
            [
                Op::Create { user, dropped: seq },
                Op::Acknowledge { user, acked: seq },
                Op::Seen { user: "", at },
                Op::Append { user, seq: Seq(58), entry, copy },
            ]
        );
        let copy = Occurrence::Again;
        let row = ClientRow { numbers, seen: at };
        assert_eq!(
            read[4..11],
            [
                Op::Append { user: "bob", seq: Seq(58), entry, copy },
                Op::Client { user: "bob", client, row },
                Op::Join { user, group, seq },
                Op::Leave { user, group },
                Op::ForgetClient { user, client },
                Op::Discard { user, dropped: seq },
                Op::Remove { user },
            ]
        );
        assert!(matches!(read[11], Op::Answer { request: "7f3a", row } if row.len() == 44));
        let server = ServerState { counter: seq, floor: Seq(2), stamp: at };
        assert_eq!(read[12..], [Op::ForgetAnswer { request: "7f3a" }, Op::Server(server)]);
        assert_eq!(verify(batch.bytes()), Ok(14));
    }

    #[test]
    fn bytes_that_were_cut_off_or_altered_are_never_more_than_unreadable() {
        let batch = everything();
        let bytes = batch.bytes();
        for len in 0..bytes.len() {
            assert!(verify(&bytes[..len]).unwrap_or(0) < 14, "{len}");
        }
        for at in 0..bytes.len() {
            for bit in 0..8 {
                let mut bytes = bytes.to_vec();
                bytes[at] ^= 1 << bit;
                let _ = verify(&bytes);
                assert!(Ops::of(&bytes).count() <= bytes.len());
            }
        }
    }
}
