//! Batches: changes on their way to the store's thread, as owned bytes.
//!
//! ```text
//!   note(Append alice 58)  note(Append bob 58)  note(Seen bob)
//!
//!   names    alicebob                     each name once while it repeats
//!   entries  [ entry 58 ]                 once, however many logs it is in
//!   ops      Append{alice, 58, First}  Append{bob, 58, Again}  Seen{bob}
//! ```
//!
//! An entry is counted by reference on one thread, so it cannot go to another: its bytes are
//! copied, once per batch. A batch comes back when it is committed, and is filled again without
//! allocating.
//!
//! This module does not know where the changes go.

use super::row::write_answer;
use crate::relay::log::{Change, Numbers, Seq, ServerState, Stamp};

/// Changes that take effect together.
#[derive(Debug, Default)]
pub(super) struct Batch {
    names: String,
    entries: Vec<u8>,
    ops: Vec<Op>,
    /// The entry that was appended last, which is probably the next one too.
    last_entry: Option<(Seq, Span)>,
    /// Likewise the user.
    last_user: Span,
    urgency: Urgency,
    /// The newest seq that was issued, as it says itself.
    counter: Seq,
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

/// A place in the names or the entries of a batch.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Span {
    at: usize,
    len: usize,
}

/// Whether an entry comes for the first time in its batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Occurrence {
    Again,
    First,
}

/// A [`Change`] without references.
#[derive(Clone, Copy, Debug)]
pub(super) enum Op {
    Acknowledge { user: Span, acked: Seq },
    Answer { request: Span, row: Span },
    Append { user: Span, seq: Seq, entry: Span, copy: Occurrence },
    Client { user: Span, client: Span, numbers: Numbers, seen: Stamp },
    Create { user: Span, dropped: Seq },
    Discard { user: Span, dropped: Seq },
    ForgetAnswer { request: Span },
    ForgetClient { user: Span, client: Span },
    Join { user: Span, group: Span, seq: Seq },
    Leave { user: Span, group: Span },
    Remove { user: Span },
    Seen { user: Span, at: Stamp },
    Server(ServerState),
}

impl Batch {
    /// Notes a change.
    pub fn push(&mut self, change: Change<'_>) {
        let op = match change {
            Change::Acknowledge { user, acked } => Op::Acknowledge { user: self.user(user), acked },
            Change::Answer { request, answer } => {
                let at = self.entries.len();
                write_answer(answer, &mut self.entries);
                let row = Span { at, len: self.entries.len() - at };
                Op::Answer { request: self.name(request), row }
            }
            Change::Append { user, entry } => {
                let user = self.user(user);
                let seq = entry.seq();
                let (entry, copy) = match self.last_entry {
                    // One counter for the whole server: the same seq is the same entry.
                    Some((last, span)) if last == seq => (span, Occurrence::Again),
                    _ => (self.entry(entry.as_bytes()), Occurrence::First),
                };
                self.last_entry = Some((seq, entry));
                Op::Append { user, seq, entry, copy }
            }
            Change::Client { user, client, numbers, seen } => {
                Op::Client { user: self.user(user), client: self.name(client), numbers, seen }
            }
            Change::Create { user, dropped } => Op::Create { user: self.user(user), dropped },
            Change::Discard { user, dropped } => Op::Discard { user: self.user(user), dropped },
            Change::ForgetAnswer { request } => Op::ForgetAnswer { request: self.name(request) },
            Change::ForgetClient { user, client } => {
                Op::ForgetClient { user: self.user(user), client: self.name(client) }
            }
            Change::Join { user, group, seq } => {
                Op::Join { user: self.user(user), group: self.name(group), seq }
            }
            Change::Leave { user, group, .. } => {
                Op::Leave { user: self.user(user), group: self.name(group) }
            }
            Change::Remove { user } => Op::Remove { user: self.user(user) },
            Change::Seen { user, at } => Op::Seen { user: self.user(user), at },
            Change::Server(state) => Op::Server(state),
        };
        match op {
            Op::Acknowledge { .. } | Op::Seen { .. } => {}
            Op::Server(ServerState { counter, .. }) if counter == self.counter => {}
            // A seq was issued, perhaps to something that is in no log.
            Op::Server(ServerState { counter, .. }) => {
                self.counter = counter;
                self.urgency = Urgency::Now;
            }
            _ => self.urgency = Urgency::Now,
        }
        self.ops.push(op);
    }

    /// Begins as the batch behind this one.
    pub fn follow(&mut self, before: &Batch) {
        self.counter = before.counter;
    }

    /// Whether somebody waits for it.
    pub fn urgency(&self) -> Urgency {
        self.urgency
    }

    /// What is to be done, in order.
    pub fn ops(&self) -> &[Op] {
        &self.ops
    }

    /// A name of this batch, or what a request is known by.
    pub fn str(&self, span: Span) -> &str {
        &self.names[span.at..][..span.len]
    }

    /// An entry of this batch, or the row of an answer.
    pub fn bytes(&self, span: Span) -> &[u8] {
        &self.entries[span.at..][..span.len]
    }

    /// What it holds in memory, in bytes.
    pub fn len(&self) -> usize {
        self.names.len() + self.entries.len() + self.ops.len() * size_of::<Op>()
    }

    /// Empties it. It keeps its memory, unless that is more than is usually needed.
    pub fn clear(&mut self) {
        self.names.clear();
        self.entries.clear();
        self.ops.clear();
        self.names.shrink_to(SPARE_MAX_BYTES);
        self.entries.shrink_to(SPARE_MAX_BYTES);
        self.ops.shrink_to(SPARE_MAX_BYTES / size_of::<Op>());
        self.last_entry = None;
        self.last_user = Span::default();
        self.urgency = Urgency::Later;
    }

    fn user(&mut self, name: &str) -> Span {
        if self.str(self.last_user) != name || self.last_user.len == 0 {
            self.last_user = self.name(name);
        }
        self.last_user
    }

    fn name(&mut self, name: &str) -> Span {
        let span = Span { at: self.names.len(), len: name.len() };
        self.names.push_str(name);
        span
    }

    fn entry(&mut self, bytes: &[u8]) -> Span {
        let span = Span { at: self.entries.len(), len: bytes.len() };
        self.entries.extend_from_slice(bytes);
        span
    }
}

/// What an empty batch keeps of each of its buffers.
const SPARE_MAX_BYTES: usize = 1 << 20;

#[cfg(test)]
mod tests {
    use super::super::samples::entry;
    use super::*;

    #[test]
    fn an_entry_for_many_is_copied_once() {
        let mut batch = Batch::default();
        let (first, second) = (entry(58, "hi"), entry(59, "ho"));
        for user in ["alice", "bob", "carol"] {
            batch.push(Change::Append { user, entry: &first });
        }
        batch.push(Change::Append { user: "carol", entry: &second });
        assert_eq!(batch.entries.len(), first.as_bytes().len() + second.as_bytes().len());
        assert_eq!(batch.names, "alicebobcarol");
        let read: Vec<(&str, &[u8], Occurrence)> = batch
            .ops()
            .iter()
            .map(|op| match *op {
                Op::Append { user, entry, copy, .. } => (batch.str(user), batch.bytes(entry), copy),
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
        assert!(batch.ops().is_empty() && batch.len() == 0);
        batch.push(Change::Append { user: "carol", entry: &second });
        assert!(matches!(batch.ops(), [Op::Append { copy: Occurrence::First, .. }]));
    }
}
