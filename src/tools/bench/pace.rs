//! When messages are sent, and from when their latency counts.
//!
//! ```text
//! closed loop, pipeline 2      send  send        answer   send        answer
//!                                1     2            1       3            2       time ->
//!                                '---- latency 1 ---'
//!
//! open loop, 4 per second      due 1      due 2      due 3      due 4
//!                                |          |  stall   |          |
//!                              sent 1       |~~~~~~~~~~~~~ sent 2, 3, 4
//!                                           '--- latency 2 counts from here
//! ```
//!
//! A closed loop asks a slow server less: while it waits, it sends nothing, and what it would have
//! sent is missing from its latencies (coordinated omission). An open loop has a schedule, and the
//! latency of a message counts from the moment it was due, whenever it could be sent.

use std::time::Duration;

use crate::net::client::Nanos;

/// The clock of messages.
#[derive(Debug)]
pub enum Pace {
    /// Each stream keeps so many messages outstanding.
    Closed {
        /// As a power of two, not less: how many places each stream has.
        places: u64,
        /// When the message was sent that has this place. A place is used again when its message
        /// has been answered.
        sent_at: Vec<Nanos>,
    },
    /// All streams together follow one schedule: message n of all is due at `start + n * interval`.
    Open {
        /// When the first one is due.
        start: Nanos,
        /// Nanoseconds from one to the next.
        interval: f64,
        /// How many streams take turns.
        streams: u64,
        /// The number of the next one that is due.
        next: u64,
    },
}

impl Pace {
    /// A closed loop.
    pub fn closed(pipeline: u32, streams: usize) -> Pace {
        let places = u64::from(pipeline).next_power_of_two();
        Pace::Closed { places, sent_at: vec![Nanos::default(); places as usize * streams] }
    }

    /// An open loop.
    pub fn open(per_second: u32, streams: usize, start: Nanos) -> Pace {
        let interval = 1e9 / f64::from(per_second);
        Pace::Open { start, interval, streams: streams as u64, next: 0 }
    }

    /// The moment from which the latency of a message counts.
    #[inline]
    pub fn since(&self, stream: u32, sequence: u64) -> Nanos {
        match self {
            Pace::Closed { places, sent_at } => sent_at[place(*places, stream, sequence)],
            Pace::Open { streams, .. } => self.due(sequence * streams + u64::from(stream)),
        }
    }

    /// A closed loop sends a message now.
    #[inline]
    pub fn sent(&mut self, stream: u32, sequence: u64, now: Nanos) {
        if let Pace::Closed { places, sent_at } = self {
            sent_at[place(*places, stream, sequence)] = now;
        }
    }

    /// The stream whose turn it is in an open loop, if a message is due, and since when.
    #[inline]
    pub fn release(&mut self, now: Nanos) -> Option<(u32, Nanos)> {
        let due = self.next_due()?;
        let Pace::Open { streams, next, .. } = self else { return None };
        if due > now {
            return None;
        }
        let stream = (*next % *streams) as u32;
        *next += 1;
        Some((stream, due))
    }

    /// When an open loop has the next message.
    pub fn next_due(&self) -> Option<Nanos> {
        match self {
            Pace::Closed { .. } => None,
            Pace::Open { next, .. } => Some(self.due(*next)),
        }
    }

    fn due(&self, number: u64) -> Nanos {
        match self {
            Pace::Closed { .. } => Nanos::default(),
            Pace::Open { start, interval, .. } => {
                start.after(Duration::from_nanos((number as f64 * interval) as u64))
            }
        }
    }
}

#[inline]
fn place(places: u64, stream: u32, sequence: u64) -> usize {
    // The remainder of a division by a power of two, without the division.
    (u64::from(stream) * places + (sequence & (places - 1))) as usize
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_open_loop_takes_turns_and_counts_from_the_due_time() {
        let mut pace = Pace::open(4, 2, Nanos(1_000));
        let quarter = 250_000_000;
        assert_eq!(pace.release(Nanos(999)), None);
        assert_eq!(pace.release(Nanos(1_000)), Some((0, Nanos(1_000))));
        assert_eq!(pace.release(Nanos(1_000)), None);
        assert_eq!(pace.next_due(), Some(Nanos(1_000 + quarter)));
        // Late by two messages: both count from when they were due.
        let late = Nanos(1_000 + 2 * quarter);
        assert_eq!(pace.release(late), Some((1, Nanos(1_000 + quarter))));
        assert_eq!(pace.release(late), Some((0, late)));
        assert_eq!(pace.release(late), None);
        assert_eq!(pace.since(0, 0), Nanos(1_000));
        assert_eq!(pace.since(1, 0), Nanos(1_000 + quarter));
        assert_eq!(pace.since(0, 1), late);
    }

    #[test]
    fn a_closed_loop_remembers_what_is_outstanding() {
        let mut pace = Pace::closed(2, 2);
        pace.sent(1, 0, Nanos(5));
        pace.sent(1, 1, Nanos(6));
        pace.sent(1, 2, Nanos(7));
        assert_eq!((pace.since(1, 1), pace.since(1, 2)), (Nanos(6), Nanos(7)));
        assert_eq!(pace.release(Nanos(u64::MAX)), None);
    }
}
