//! A mailbox: the bounded log of one user, into which each of the user's connections is a cursor.
//!
//! ```text
//!     discarded       acknowledged          waiting
//!   . . . . . . . | [41] [44] [45] [52] | [57] [58] |
//!               dropped              acked        newest
//!                 40                   52            58
//!                        ^ a phone's cursor: 44      ^ a desk's cursor: 58
//! ```
//!
//! Entries are in the order of their seq, with holes: the numbers are the server's, not the
//! user's. They go at the front only, and `dropped` is the newest that went: whoever stood below it
//! may have missed something and is told (R6, R7).
//!
//! This module does not know which entries are committed, nor who is connected.

use std::collections::VecDeque;

use super::entry::Entry;
use super::{Seq, Stamp};

/// The log of one user.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Mailbox {
    entries: VecDeque<Entry>,
    bytes: u64,
    dropped: Seq,
    acked: Seq,
}

impl Mailbox {
    /// An empty log, of which everything up to `dropped` is gone.
    // R6: a user without a log has `dropped` = `floor`.
    pub fn new(dropped: Seq) -> Mailbox {
        Mailbox { entries: VecDeque::new(), bytes: 0, dropped, acked: Seq(0) }
    }

    /// A log as a store kept it.
    pub fn restored(dropped: Seq, acked: Seq, entries: Vec<Entry>) -> Mailbox {
        let bytes = entries.iter().map(Entry::cost).sum();
        Mailbox { entries: entries.into(), bytes, dropped, acked }
    }

    /// Puts an entry behind all others.
    pub fn push(&mut self, entry: Entry) {
        debug_assert!(entry.seq() > self.newest(), "seq ascends");
        self.bytes += entry.cost();
        self.entries.push_back(entry);
    }

    /// Discards the oldest entry.
    pub fn discard(&mut self) -> Option<Entry> {
        let entry = self.entries.pop_front()?;
        self.bytes -= entry.cost();
        self.dropped = entry.seq();
        if self.entries.len() * 4 < self.entries.capacity() {
            self.entries.shrink_to(self.entries.len() * 2);
        }
        Some(entry)
    }

    /// Notes that an entry never had room here: as if it had come and gone at once.
    pub fn miss(&mut self, seq: Seq) {
        debug_assert!(self.entries.is_empty(), "only an empty log has no room");
        self.dropped = self.dropped.max(seq);
    }

    /// Raises what is acknowledged; says whether it rose.
    // R9: the highest `ack` of any device of a user is kept.
    pub fn acknowledge(&mut self, seq: Seq) -> bool {
        let rises = seq > self.acked;
        self.acked = self.acked.max(seq);
        rises
    }

    /// The oldest entry.
    pub fn oldest(&self) -> Option<&Entry> {
        self.entries.front()
    }

    /// The entries above `seq`, oldest first.
    #[inline]
    pub fn above(&self, seq: Seq) -> impl Iterator<Item = &Entry> {
        self.entries.range(self.place(seq)..)
    }

    /// The oldest entry above `seq`.
    #[inline]
    pub fn next(&self, seq: Seq) -> Option<&Entry> {
        // Most cursors stand at the end.
        match self.entries.back() {
            Some(last) if last.seq() > seq => self.entries.get(self.place(seq)),
            _ => None,
        }
    }

    /// The newest seq that was ever in this log.
    pub fn newest(&self) -> Seq {
        self.entries.back().map_or(self.dropped, |entry| entry.seq().max(self.dropped))
    }

    /// The newest seq this log discarded.
    pub fn dropped(&self) -> Seq {
        self.dropped
    }

    /// Up to where some device of the user has acknowledged.
    pub fn acked(&self) -> Seq {
        self.acked
    }

    /// How many entries there are.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// What the entries cost, in bytes.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Whether the oldest entry was taken in before `moment`.
    pub fn has_older_than(&self, moment: Stamp) -> bool {
        self.oldest().is_some_and(|entry| entry.at() < moment)
    }

    /// How many entries are not above `seq`.
    fn place(&self, seq: Seq) -> usize {
        // Most cursors stand near the end, so the search begins there, and each step doubles what
        // is behind it: it looks at few entries, each of which is somewhere else in memory.
        let len = self.entries.len();
        let (mut step, mut end) = (1, len);
        while end > 0 {
            let at = end.saturating_sub(step);
            if self.entries[at].seq() <= seq {
                let (mut from, mut end) = (at + 1, end);
                while from < end {
                    let middle = from + (end - from) / 2;
                    match self.entries[middle].seq() <= seq {
                        true => from = middle + 1,
                        false => end = middle,
                    }
                }
                return from;
            }
            (step, end) = (len - at, at);
        }
        0
    }
}

#[cfg(test)]
mod tests {
    use super::super::entry::{Draft, Echo, Receipt, To};
    use super::*;

    fn entry(seq: u64) -> Entry {
        let draft = Draft {
            seq: Some(Seq(seq)),
            at: Stamp(seq * 10),
            sender: "bob",
            client: "",
            id: 0,
            to: To::User("alice"),
            content: "1",
            echo: Echo::No,
            receipt: Receipt::Unasked,
        };
        Entry::new(&draft)
    }

    fn seqs<'a>(entries: impl Iterator<Item = &'a Entry>) -> Vec<u64> {
        entries.map(|entry| entry.seq().0).collect()
    }

    #[test]
    fn a_cursor_sees_what_is_above_it() {
        let mut log = Mailbox::new(Seq(40));
        for seq in [41, 44, 58] {
            log.push(entry(seq));
        }
        assert_eq!(seqs(log.above(Seq(41))), [44, 58]);
        assert_eq!(seqs(log.above(Seq(43))), [44, 58]);
        assert_eq!(seqs(log.above(Seq(0))), [41, 44, 58]);
        assert_eq!(log.next(Seq(44)).map(Entry::seq), Some(Seq(58)));
        assert_eq!(log.next(Seq(58)), None);
    }

    #[test]
    fn a_cursor_finds_its_place_in_a_log_of_any_length() {
        let mut log = Mailbox::new(Seq(0));
        for len in 0..70_u64 {
            for seq in 0..=2 * len + 1 {
                let above = seqs(log.above(Seq(seq)));
                let wanted: Vec<u64> =
                    (1..=len).map(|at| 2 * at).filter(|own| *own > seq).collect();
                assert_eq!(above, wanted, "above {seq} of {len}");
                assert_eq!(log.next(Seq(seq)).map(|entry| entry.seq().0), above.first().copied());
            }
            log.push(entry(2 * (len + 1)));
        }
    }

    #[test]
    fn what_goes_at_the_front_is_remembered_as_dropped() {
        let mut log = Mailbox::new(Seq(40));
        assert_eq!((log.newest(), log.dropped()), (Seq(40), Seq(40)));
        log.push(entry(41));
        log.push(entry(44));
        assert_eq!(log.bytes(), 2 * entry(41).cost());
        assert!(log.has_older_than(Stamp(411)) && !log.has_older_than(Stamp(410)));
        assert_eq!(log.discard().map(|entry| entry.seq()), Some(Seq(41)));
        assert_eq!((log.newest(), log.dropped()), (Seq(44), Seq(41)));
        log.discard();
        assert_eq!((log.newest(), log.dropped(), log.bytes()), (Seq(44), Seq(44), 0));
        log.miss(Seq(50));
        assert_eq!((log.newest(), log.dropped()), (Seq(50), Seq(50)));
    }

    #[test]
    fn the_highest_acknowledgement_stays() {
        let mut log = Mailbox::new(Seq(0));
        assert!(log.acknowledge(Seq(5)));
        assert!(!log.acknowledge(Seq(3)));
        assert_eq!(log.acked(), Seq(5));
    }
}
