//! Token buckets: how fast somebody may go on, with some haste allowed at first.
//!
//! ```text
//!   20 per second, burst 40
//!
//!   40 |####                        #      40 at once, and then one each 50 ms;
//!      |    ##      ####          ##       what is not used is there later, but never more than 40
//!    0 |______######____##########______
//! ```
//!
//! A bucket holds thousandths, and a rate per second is as many thousandths per millisecond: whole
//! numbers throughout, and nothing is ever rounded but the time to wait, which is rounded up. A
//! bucket that says "after 250 ms" passes after 250 ms and not after 249.
//!
//! What costs more than the bucket can hold passes when it is full and leaves it owing; so it is
//! not refused for ever, and the rate is kept all the same.
//!
//! This module does not know what is counted, and has no clock: time is an argument.

use crate::timer::Millis;

/// How fast a bucket fills, and what it holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    /// How much is added in a second; at most [`RATE_MAX`].
    pub per_second: u64,
    /// How much it holds when full; at least 1, at most [`RATE_MAX`].
    pub burst: u64,
}

/// The highest rate and the greatest burst; thousandths of it are far from the end of 64 bits.
pub const RATE_MAX: u64 = 1_000_000_000_000;

impl Rate {
    fn capacity(self) -> i64 {
        thousandths(self.burst)
    }
}

/// What is left, and since when.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bucket {
    /// In thousandths; less than 0 if it owes.
    level: i64,
    at: Millis,
}

impl Bucket {
    /// A bucket that is full, whatever it holds.
    pub fn full(now: Millis) -> Bucket {
        Bucket { level: i64::MAX, at: now }
    }

    /// How many milliseconds from now on `cost` passes, if nothing else does before; 0: it passes
    /// now.
    pub fn wait(&mut self, rate: Rate, now: Millis, cost: u64) -> u64 {
        self.refill(rate, now);
        // Not more than it will ever hold.
        let needed = thousandths(cost).min(rate.capacity());
        let lacking = needed.saturating_sub(self.level);
        match u64::try_from(lacking) {
            Ok(lacking) => lacking.div_ceil(rate.per_second.max(1)),
            Err(_) => 0,
        }
    }

    /// Takes `cost` out; the caller has waited for it.
    pub fn take(&mut self, cost: u64) {
        self.level = self.level.saturating_sub(thousandths(cost));
    }

    fn refill(&mut self, rate: Rate, now: Millis) {
        let elapsed_ms = now.since(self.at);
        let added = elapsed_ms.saturating_mul(rate.per_second);
        let added = i64::try_from(added).unwrap_or(i64::MAX);
        self.level = self.level.saturating_add(added).min(rate.capacity());
        self.at = now;
    }
}

fn thousandths(amount: u64) -> i64 {
    i64::try_from(amount).unwrap_or(i64::MAX).saturating_mul(1_000)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pass(bucket: &mut Bucket, rate: Rate, now: u64, cost: u64) -> Result<(), u64> {
        match bucket.wait(rate, Millis(now), cost) {
            0 => {
                bucket.take(cost);
                Ok(())
            }
            wait => Err(wait),
        }
    }

    #[test]
    fn the_burst_passes_and_not_one_more_until_there_was_time_for_it() {
        for (per_second, burst) in [(1, 1), (3, 1), (20, 40), (7, 3), (1_000, 5), (2_500, 10)] {
            let rate = Rate { per_second, burst };
            let mut bucket = Bucket::full(Millis(0));
            for _ in 0..burst {
                assert_eq!(pass(&mut bucket, rate, 0, 1), Ok(()), "{rate:?}");
            }
            let wait = 1_000_u64.div_ceil(per_second);
            assert_eq!(pass(&mut bucket, rate, 0, 1), Err(wait), "{rate:?}");
            if wait > 1 {
                assert_eq!(pass(&mut bucket, rate, wait - 1, 1), Err(1), "{rate:?}");
            }
            assert_eq!(pass(&mut bucket, rate, wait, 1), Ok(()), "{rate:?}");
        }
    }

    #[test]
    fn nothing_is_lost_by_asking_often() {
        // Three per second do not divide a second's milliseconds: thousandths remember the rest.
        let rate = Rate { per_second: 3, burst: 1 };
        let mut bucket = Bucket::full(Millis(0));
        let passed = (0..10_000).filter(|&now| pass(&mut bucket, rate, now, 1).is_ok()).count();
        // The first at once, the others at 334, 667, 1,000 ... and the last before 10,000 at 9,667.
        assert_eq!(passed, 30);
    }

    #[test]
    fn what_is_not_used_is_kept_up_to_the_burst() {
        let rate = Rate { per_second: 10, burst: 20 };
        let mut bucket = Bucket::full(Millis(0));
        for now in [0, 1_000_000_000, u64::MAX] {
            for _ in 0..20 {
                assert_eq!(pass(&mut bucket, rate, now, 1), Ok(()), "{now}");
            }
            assert_eq!(pass(&mut bucket, rate, now, 1), Err(100), "{now}");
        }
    }

    #[test]
    fn a_clock_that_jumps_back_gives_nothing() {
        let rate = Rate { per_second: 10, burst: 1 };
        let mut bucket = Bucket::full(Millis(5_000));
        assert_eq!(pass(&mut bucket, rate, 5_000, 1), Ok(()));
        assert_eq!(pass(&mut bucket, rate, 4_000, 1), Err(100));
        assert_eq!(pass(&mut bucket, rate, 4_100, 1), Ok(()));
    }

    #[test]
    fn what_the_bucket_cannot_hold_passes_when_it_is_full_and_is_paid_off() {
        let rate = Rate { per_second: 100, burst: 100 };
        let mut bucket = Bucket::full(Millis(0));
        assert_eq!(pass(&mut bucket, rate, 0, 1), Ok(()));
        assert_eq!(pass(&mut bucket, rate, 0, 1_000), Err(10), "it is not full");
        assert_eq!(pass(&mut bucket, rate, 10, 1_000), Ok(()));
        assert_eq!(pass(&mut bucket, rate, 10, 1), Err(9_010), "900 are owed");
        assert_eq!(pass(&mut bucket, rate, 9_019, 1), Err(1));
        assert_eq!(pass(&mut bucket, rate, 9_020, 1), Ok(()));
    }

    #[test]
    fn a_bucket_of_another_rate_goes_on_with_what_is_left() {
        let (slow, fast) =
            (Rate { per_second: 1, burst: 1 }, Rate { per_second: 100, burst: 1_000 });
        let mut bucket = Bucket::full(Millis(0));
        assert_eq!(pass(&mut bucket, slow, 0, 1), Ok(()));
        assert_eq!(pass(&mut bucket, fast, 0, 1), Err(10));
        assert_eq!(pass(&mut bucket, fast, 1_000_000, 1_000), Ok(()));
    }

    #[test]
    fn the_ends_of_the_numbers_are_not_passed() {
        let rate = Rate { per_second: RATE_MAX, burst: RATE_MAX };
        let mut bucket = Bucket::full(Millis(0));
        assert_eq!(pass(&mut bucket, rate, u64::MAX, u64::MAX), Ok(()));
        assert!(pass(&mut bucket, rate, u64::MAX, 1).is_err());
        assert!(pass(&mut bucket, rate, u64::MAX, u64::MAX).is_err());
    }
}
