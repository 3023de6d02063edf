//! Whether a client comes back after its connection ended, and when.
//!
//! ```text
//!   4401, 4403, 4409, 1008 ...   never: the same would happen again
//!   4408, 4429, 45xx, 1006 ...   after a random part of 0.5 s, 1 s, 2 s, 4 s ... 30 s
//!   1012 after drain{after}      when the server said
//! ```
//!
//! The wait is drawn from all of the interval ("full jitter"): clients that lost their connections
//! in one moment do not come back in one.
//!
//! This module does not know what time it is, and draws no random numbers.

/// How a connection ended, or why there was none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum End {
    /// By a Close frame with this code.
    Closed(u16),
    /// It was not opened: this HTTP status.
    Refused(u16),
    /// Without a word.
    Lost,
}

impl End {
    /// Whether it may go better another time.
    ///
    /// 4000 and an HTTP status: 44xx means not to come back unchanged, but for 4408 and 4429; 45xx
    /// after a while. RFC 6455 §7.4.1 for the others: what says that this client did wrong is not
    /// tried again.
    pub fn is_worth_a_try(&self) -> bool {
        match self {
            End::Closed(code) => match code {
                1000 | 1002 | 1003 | 1007..=1010 => false,
                4408 | 4429 => true,
                4400..=4499 => false,
                _ => true,
            },
            End::Refused(status) => matches!(status, 408 | 429 | 500..=599),
            End::Lost => true,
        }
    }
}

/// The waits of one client.
#[derive(Debug, Default)]
pub struct Backoff {
    /// Attempts since the last one that succeeded.
    failed: u32,
}

impl Backoff {
    /// Somebody is welcome: the next wait is short again.
    pub fn succeeded(&mut self) {
        self.failed = 0;
    }

    /// How long to wait now, in milliseconds; `random` is any number.
    pub fn next_ms(&mut self, random: u64) -> u64 {
        let ceiling = FIRST_MS.saturating_mul(1 << self.failed.min(16)).min(LONGEST_MS);
        self.failed = self.failed.saturating_add(1);
        random % (ceiling + 1)
    }
}

const FIRST_MS: u64 = 500;
const LONGEST_MS: u64 = 30_000;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn close_codes_are_obeyed() {
        for code in [1000, 1002, 1003, 1007, 1008, 1009, 4400, 4401, 4403, 4404, 4409] {
            assert!(!End::Closed(code).is_worth_a_try(), "{code}");
        }
        for code in [1001, 1005, 1006, 1011, 1012, 1013, 4408, 4429, 4500, 4503, 3000] {
            assert!(End::Closed(code).is_worth_a_try(), "{code}");
        }
        for (status, is_worth_a_try) in [(400, false), (401, false), (429, true), (503, true)] {
            assert_eq!(End::Refused(status).is_worth_a_try(), is_worth_a_try, "{status}");
        }
        assert!(End::Lost.is_worth_a_try());
    }

    #[test]
    fn waits_grow_to_their_limit_and_are_drawn_from_all_of_it() {
        let mut backoff = Backoff::default();
        for ceiling in [500, 1_000, 2_000, 4_000, 8_000, 16_000, 30_000, 30_000] {
            let mut drawn = [0, ceiling / 2, ceiling, ceiling + 1]
                .map(|random| Backoff { failed: backoff.failed }.next_ms(random));
            drawn.sort_unstable();
            assert_eq!(drawn, [0, 0, ceiling / 2, ceiling]);
            backoff.next_ms(0);
        }
        backoff.succeeded();
        assert_eq!(backoff.next_ms(501), 0);
    }
}
