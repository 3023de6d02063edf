//! When a connection must have done something, and what happens if it has not.
//!
//! ```text
//!   accepted      request head                        Close sent
//!      |---- 10 s -----|                                  |--- 5 s ---| dropped
//!                      |-- silence 25 s --> Ping -- 20 s -->| dead peer, closed 4408
//!                      a write would block ------ 20 s ---->| closed 4503
//! ```
//!
//! All of them are absolute but the silence: a peer that drips bytes extends nothing else. Where
//! HTTP requests follow one another on a connection, each has its time from its first byte on, and
//! there is a time for nothing to come between them.
//!
//! What this module does not know: what time it is, and timers. It says which deadline comes next.

use crate::timer::Tick;

/// What runs out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Deadline {
    /// The request is not complete, or not decided about.
    RequestHead,
    /// No further request has begun.
    Idle,
    /// Nothing was heard for the ping interval: a Ping is due (not a failure).
    Ping,
    /// Nothing was heard since the Ping: the peer is dead.
    Pong,
    /// The closing handshake, or the flushing of what was queued before it, is not complete.
    Close,
    /// The peer's TCP has taken nothing since a write would have blocked.
    Write,
}

/// How long each may take, in milliseconds. 0 turns `ping_interval_ms` off.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Deadlines {
    /// From accept to the complete request head.
    pub head_timeout_ms: u64,
    /// From an answer in HTTP to the first byte of the next request.
    pub http_idle_timeout_ms: u64,
    /// Silence before a Ping.
    pub ping_interval_ms: u64,
    /// Silence after a Ping before the connection is dead.
    pub ping_timeout_ms: u64,
    /// From our Close to the end of the TCP connection.
    pub close_timeout_ms: u64,
    /// From a write that blocked to the next one that does not.
    pub write_timeout_ms: u64,
}

/// Where a connection stands in its life, as far as deadlines go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// Accepted; the request is incomplete, or not decided about.
    Head,
    /// A request was answered, and another one may follow.
    Idle,
    /// Open: messages flow.
    Open,
    /// Our last bytes are queued; then the TCP connection ends.
    Closing,
}

/// The moments that deadlines are counted from, rounded up to a [`Tick`]: no deadline passes early.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Clocks {
    /// When the phase began.
    pub since: Tick,
    /// When the peer was last heard.
    pub heard: Tick,
    /// When a Ping was sent that nothing has been heard since; [`NEVER`] if none.
    pub pinged: Tick,
    /// Since when the socket takes nothing; [`NEVER`] if it does.
    pub blocked: Tick,
}

impl Clocks {
    /// All clocks of a connection accepted at `now`.
    pub fn start(now: Tick) -> Clocks {
        Clocks { since: now, heard: now, pinged: NEVER, blocked: NEVER }
    }

    /// Notes that the peer was heard. True if it had been pinged: then the next deadline is another
    /// one, which may come before the one that was waited for.
    #[inline]
    pub fn hear(&mut self, now: Tick) -> bool {
        self.heard = now;
        std::mem::replace(&mut self.pinged, NEVER) != NEVER
    }

    /// The deadline that comes first, if there is one.
    pub fn next(&self, phase: Phase, limits: &Deadlines) -> Option<(Tick, Deadline)> {
        let own = match phase {
            Phase::Head => Some((self.since.after(limits.head_timeout_ms), Deadline::RequestHead)),
            Phase::Idle => Some((self.since.after(limits.http_idle_timeout_ms), Deadline::Idle)),
            Phase::Closing => Some((self.since.after(limits.close_timeout_ms), Deadline::Close)),
            Phase::Open if limits.ping_interval_ms == 0 => None,
            Phase::Open if self.pinged != NEVER => {
                Some((self.pinged.after(limits.ping_timeout_ms), Deadline::Pong))
            }
            Phase::Open => Some((self.heard.after(limits.ping_interval_ms), Deadline::Ping)),
        };
        let write = (self.blocked != NEVER)
            .then(|| (self.blocked.after(limits.write_timeout_ms), Deadline::Write));
        match (own, write) {
            (Some(own), Some(write)) if write.0 < own.0 => Some(write),
            (None, write) => write,
            (own, _) => own,
        }
    }
}

/// The moment that never comes.
pub const NEVER: Tick = Tick::NEVER;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::timer::Millis;

    const LIMITS: Deadlines = Deadlines {
        head_timeout_ms: 10_000,
        http_idle_timeout_ms: 60_000,
        ping_interval_ms: 25_000,
        ping_timeout_ms: 20_000,
        close_timeout_ms: 5_000,
        write_timeout_ms: 20_000,
    };

    fn at(ms: u64) -> Tick {
        Tick::of(Millis(ms))
    }

    #[test]
    fn each_phase_has_its_deadline() {
        let mut clocks = Clocks::start(at(1_000));
        let next = |clocks: &Clocks, phase| clocks.next(phase, &LIMITS);
        assert_eq!(next(&clocks, Phase::Head), Some((at(11_000), Deadline::RequestHead)));
        assert_eq!(next(&clocks, Phase::Idle), Some((at(61_000), Deadline::Idle)));
        assert_eq!(next(&clocks, Phase::Open), Some((at(26_000), Deadline::Ping)));
        assert_eq!(next(&clocks, Phase::Closing), Some((at(6_000), Deadline::Close)));
        clocks.pinged = at(26_000);
        assert_eq!(next(&clocks, Phase::Open), Some((at(46_000), Deadline::Pong)));
        assert!(clocks.hear(at(30_000)), "it had been pinged");
        assert!(!clocks.hear(at(30_000)), "it has answered");
        assert_eq!(next(&clocks, Phase::Open), Some((at(55_000), Deadline::Ping)));
        clocks.blocked = at(31_000);
        assert_eq!(next(&clocks, Phase::Open), Some((at(51_000), Deadline::Write)));
    }

    #[test]
    fn dripping_bytes_extends_neither_the_head_nor_the_closing_handshake() {
        let mut clocks = Clocks::start(at(0));
        for now in 0..9 {
            clocks.hear(at(now * 1_000));
        }
        assert_eq!(clocks.next(Phase::Head, &LIMITS), Some((at(10_000), Deadline::RequestHead)));
        assert_eq!(clocks.next(Phase::Closing, &LIMITS), Some((at(5_000), Deadline::Close)));
    }

    #[test]
    fn without_pings_a_silent_connection_has_no_deadline() {
        let clocks = Clocks::start(at(0));
        let limits = Deadlines { ping_interval_ms: 0, ..LIMITS };
        assert_eq!(clocks.next(Phase::Open, &limits), None);
    }
}
