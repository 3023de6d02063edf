//! Connections that are dropped without a word, counted so that a flood of them is not one of log
//! lines.
//!
//! ```text
//!   add add add        add add              add
//!    |                          |                    |
//!   take: 1 at once            take: 4, a second    take: 1
//!                              later
//! ```
//!
//! This module does not know why they are dropped, nor where it is reported.

use crate::engine::Remote;
use crate::timer::Millis;

/// A count that is reported at once, and then at most once per [`REPORT_INTERVAL_MS`].
#[derive(Debug)]
pub(super) struct Tally {
    count: u64,
    /// The latest one.
    peer: Option<Remote>,
    not_before: Millis,
}

impl Tally {
    pub fn new() -> Tally {
        Tally { count: 0, peer: None, not_before: Millis(0) }
    }

    pub fn add(&mut self, peer: Remote) {
        self.count += 1;
        self.peer = Some(peer);
    }

    /// When there is something to report; `None` if there is nothing.
    pub fn due(&self) -> Option<Millis> {
        self.peer.map(|_| self.not_before)
    }

    /// How many there were since the last report, and the latest, if it is time to report.
    pub fn take(&mut self, now: Millis) -> Option<(u64, Remote)> {
        if now < self.not_before {
            return None;
        }
        let peer = self.peer.take()?;
        self.not_before = now.after(REPORT_INTERVAL_MS);
        Some((std::mem::take(&mut self.count), peer))
    }
}

const REPORT_INTERVAL_MS: u64 = 1_000;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_is_reported_at_once_and_the_others_once_per_second() {
        let peer = |port: u16| Remote::Tcp(([127, 0, 0, 1], port).into());
        let mut tally = Tally::new();
        assert_eq!((tally.due(), tally.take(Millis(7))), (None, None));
        tally.add(peer(1));
        assert_eq!(tally.due(), Some(Millis(0)));
        assert_eq!(tally.take(Millis(7)), Some((1, peer(1))));
        assert_eq!(tally.due(), None);
        for port in 2..=5 {
            tally.add(peer(port));
            assert_eq!(tally.take(Millis(1_006)), None);
        }
        assert_eq!(tally.due(), Some(Millis(1_007)));
        assert_eq!(tally.take(Millis(1_007)), Some((4, peer(5))));
        assert_eq!(tally.take(Millis(9_000)), None);
        tally.add(peer(6));
        assert_eq!(tally.take(Millis(9_000)), Some((1, peer(6))));
    }
}
