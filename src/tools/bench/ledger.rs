//! What a receiver has had of a stream, and so what is lost, doubled or out of order.
//!
//! ```text
//! arrives   0   1   4   4   2   5        sent: 0 to 5
//!           |   |   |   |   |   '- in order
//!           |   |   |   |   '- late: out of order, and not missing any longer
//!           |   |   |   '- a duplicate
//!           |   |   '- a gap: 2 and 3 are missing
//!           '---'- in order                        left in the end: 3 is lost
//! ```
//!
//! The last 64 numbers are remembered one by one. Of what is older it is known only how many are
//! missing: it counts as late while any are, then as a duplicate.

/// How a message fits what came before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Arrival {
    /// The next one, or one after a gap of some that are missing for now.
    New,
    /// One of those that were missing: out of order.
    Late,
    /// One that has come already.
    Duplicate,
}

/// One stream as one receiver sees it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Ledger {
    /// The number after the highest that has come.
    next: u64,
    /// Bit n: number `next - 1 - n` has come.
    recent: u64,
    missing: u64,
}

impl Ledger {
    /// The number that is expected: one more than the highest that has come.
    #[inline]
    pub fn next(&self) -> u64 {
        self.next
    }

    /// How many numbers below [`next`](Ledger::next) have not come.
    pub fn missing(&self) -> u64 {
        self.missing
    }

    /// The expected number has come.
    #[inline]
    pub fn advance(&mut self) {
        self.next += 1;
        self.recent = self.recent << 1 | 1;
    }

    /// Some number has come.
    pub fn arrive(&mut self, number: u64) -> Arrival {
        if number >= self.next {
            let skipped = number - self.next;
            let shift = u32::try_from(skipped + 1).unwrap_or(u32::MAX);
            self.recent = self.recent.checked_shl(shift).unwrap_or(0) | 1;
            self.missing += skipped;
            self.next = number + 1;
            return Arrival::New;
        }
        let age = self.next - 1 - number;
        let known_missing = match age {
            0..64 => self.recent >> age & 1 == 0,
            _ => self.missing > 0,
        };
        if !known_missing {
            return Arrival::Duplicate;
        }
        if age < 64 {
            self.recent |= 1 << age;
        }
        self.missing = self.missing.saturating_sub(1);
        Arrival::Late
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_example_of_the_module_doc() {
        let mut ledger = Ledger::default();
        let arrivals = [0, 1, 4, 4, 2, 5].map(|number| ledger.arrive(number));
        use Arrival::{Duplicate, Late, New};
        assert_eq!(arrivals, [New, New, New, Duplicate, Late, New]);
        assert_eq!((ledger.next(), ledger.missing()), (6, 1));
    }

    #[test]
    fn advancing_is_arriving_in_order() {
        let (mut fast, mut plain) = (Ledger::default(), Ledger::default());
        for number in 0..200 {
            fast.advance();
            assert_eq!(plain.arrive(number), Arrival::New);
            assert_eq!(fast, plain);
        }
        assert_eq!(fast.arrive(199), Arrival::Duplicate);
        assert_eq!(fast.arrive(0), Arrival::Duplicate);
    }

    #[test]
    fn beyond_the_memory_it_goes_by_what_is_missing() {
        let mut ledger = Ledger::default();
        assert_eq!(ledger.arrive(1000), Arrival::New);
        assert_eq!(ledger.missing(), 1000);
        assert_eq!(ledger.arrive(3), Arrival::Late);
        assert_eq!(ledger.missing(), 999);
        assert_eq!(ledger.arrive(999), Arrival::Late);
        assert_eq!(ledger.arrive(999), Arrival::Duplicate);
        assert_eq!(ledger.arrive(1000), Arrival::Duplicate);
    }
}
