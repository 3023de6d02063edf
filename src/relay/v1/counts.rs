//! Counts: how much there is, and how much there was, for whoever watches a server.
//!
//! ```text
//!   connections 2   commits_pending 1   logged 1,204   gaps 3
//! ```
//!
//! This module does not know who asks.

use super::Sessions;
use crate::relay::log::Store;

/// How much there is at the moment, and how much there was since the start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SessionCounts {
    /// Connections that have said hello.
    pub connections: usize,
    /// Batches that the store has not decided about.
    pub commits_pending: usize,
    /// Messages that were committed to a log, those to a group counted once.
    pub logged: u64,
    /// Gaps that were announced to clients.
    pub gaps: u64,
}

/// What is counted on the way.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Tally {
    /// Messages in the batch that is being collected.
    pub open: u64,
    pub logged: u64,
    pub gaps: u64,
}

impl<S: Store> Sessions<S> {
    /// How much there is, and was.
    pub fn counts(&self) -> SessionCounts {
        SessionCounts {
            connections: self.conns.len(),
            commits_pending: self.in_flight.len(),
            logged: self.tally.logged,
            gaps: self.tally.gaps,
        }
    }
}
