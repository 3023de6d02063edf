//! What all connections came to, for whoever watches a server: metrics, a health page.
//!
//! ```text
//!   accepted --+-- connections (now)          counts: what those that are gone carried,
//!              +-- gone                               and those that are here, at the call
//! ```
//!
//! A message costs nothing here: each connection counts for itself, and is added up when it goes or
//! when somebody asks.
//!
//! What this file does not know: how the numbers are shown.

use super::core::Core;
use super::handler::{Cause, Counts};
use super::slot::Stage;

/// Numbers about all connections; without a word to the contrary they count from the start of the
/// server.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Totals {
    /// Connections at the moment, of both doors: those that ask, are open, or are closing.
    pub connections: u64,
    /// WebSocket connections at the moment to which messages may be sent.
    pub open: u64,
    /// Bytes held at the moment: queued output, held input, unfinished requests and messages.
    pub buffered_bytes: u64,
    /// Connections that were accepted.
    pub accepted: u64,
    /// Connections that were dropped without an answer, since there was no place even for a 503.
    pub turned_away: u64,
    /// Requests that the engine refused by itself: malformed ones, those that came too late, those
    /// of too many connections, those that nobody decided about.
    pub refused: u64,
    /// WebSocket connections that were opened.
    pub opened: u64,
    /// What they all carried, those that are open included; and as bytes, HTTP too.
    pub counts: Counts,
    /// Messages that were not queued because their receiver does not read fast enough.
    pub congested: u64,
    /// Messages that were not queued because the server holds as many bytes as it may.
    pub dropped: u64,
    closed: [u64; CAUSES.len()],
}

impl Totals {
    /// How many WebSocket connections have ended, by their [`Cause`] in the words of the log.
    pub fn closed(&self) -> impl Iterator<Item = (&'static str, u64)> {
        CAUSES.into_iter().zip(self.closed)
    }

    /// A WebSocket connection has ended.
    pub(super) fn count_closed(&mut self, cause: Cause) {
        if let Some(place) = CAUSES.iter().position(|label| *label == cause.label()) {
            self.closed[place] += 1;
        }
    }
}

impl Counts {
    pub(super) fn add(&mut self, other: &Counts) {
        self.messages_in += other.messages_in;
        self.messages_out += other.messages_out;
        self.bytes_in += other.bytes_in;
        self.bytes_out += other.bytes_out;
    }
}

impl Core {
    /// The totals of this moment. Looks at every connection: for every few seconds, not for every
    /// message.
    pub fn totals(&self) -> Totals {
        let mut totals = self.totals;
        totals.connections = self.slots.len() as u64;
        totals.buffered_bytes = self.buffered as u64;
        for (_, slot) in self.slots.iter() {
            totals.open += u64::from(slot.stage == Stage::Open);
            totals.counts.add(&slot.counts);
        }
        totals
    }
}

/// What ends an open connection; [`Cause`] has more.
const CAUSES: [&str; 10] = [
    "application",
    "peer",
    "lost",
    "panicked",
    "protocol",
    "shutdown",
    "overloaded",
    "ping_timeout",
    "close_timeout",
    "write_timeout",
];
