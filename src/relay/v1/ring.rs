//! The ring: messages that are not logged, waiting until what was logged before them is written.
//!
//! ```text
//!   log of alice      [57]  [58]           [61]
//!                      ^ written   A        B
//!   ring                     (after 58: A) (after 61: B)
//! ```
//!
//! A `ttl:0` message carries no seq and moves no cursor, but it keeps its place in the order. A
//! connection that reads slowly holds it up, and up to 64 KiB wait; what comes then is
//! dropped, counted and announced.
//!
//! This module does not know what is written.

use std::collections::VecDeque;

use crate::relay::log::{Entry, Seq};

/// The waiting messages of one connection.
#[derive(Debug, Default)]
pub(super) struct Ring {
    waiting: VecDeque<(Seq, Entry)>,
    bytes: u64,
    dropped: u64,
}

impl Ring {
    /// Puts a message behind what has a seq up to `after`.
    pub(super) fn push(&mut self, after: Seq, entry: Entry, bytes_max: u64) {
        // R13: overflow drops the newest. A message alone always fits: the limit is for heaps.
        if !self.waiting.is_empty() && self.bytes + entry.cost() > bytes_max {
            self.dropped += 1;
            return;
        }
        self.bytes += entry.cost();
        self.waiting.push_back((after, entry));
    }

    /// The next message, if everything up to `written` is written and that is enough for it.
    pub(super) fn pop(&mut self, written: Seq) -> Option<Entry> {
        let (after, _) = self.waiting.front()?;
        if *after > written {
            return None;
        }
        let (_, entry) = self.waiting.pop_front()?;
        self.bytes -= entry.cost();
        Some(entry)
    }

    /// Puts back what [`Ring::pop`] gave.
    pub(super) fn unpop(&mut self, after: Seq, entry: Entry) {
        self.bytes += entry.cost();
        self.waiting.push_front((after, entry));
    }

    /// How many were dropped, once the others are gone; asking forgets them.
    pub(super) fn take_dropped(&mut self) -> Option<u64> {
        let is_due = self.waiting.is_empty() && self.dropped > 0;
        is_due.then(|| std::mem::take(&mut self.dropped))
    }

    /// Puts back what [`Ring::take_dropped`] gave.
    pub(super) fn undrop(&mut self, count: u64) {
        self.dropped += count;
    }

    /// Whether there is anything to be said.
    pub(super) fn is_idle(&self) -> bool {
        self.waiting.is_empty() && self.dropped == 0
    }
}
