//! What can be wrong with a value, or with two of them together.
//!
//! ```text
//! out of range: 10ms to 1d, or 0 (off)
//! not a number of bytes such as 65536, 64k, 64KiB or 1MiB; allowed: 1 to 1GiB
//! outbox_low_bytes (1MiB) must be below outbox_high_bytes (1MiB)
//! ```
//!
//! This module does not know where a value came from.

use std::fmt;

use super::Limit;

/// Why a value, or a set of values, is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LimitError {
    /// Two limits contradict each other: `lower` has to stay below `upper`, or not above it.
    Order {
        /// The limit that is too large for the other.
        lower: &'static Limit,
        /// Its value.
        lower_value: u64,
        /// Whether the two may be equal.
        rule: Order,
        /// The limit that is too small for the other.
        upper: &'static Limit,
        /// Its value.
        upper_value: u64,
    },
    /// A number, but not an allowed one.
    OutOfRange {
        /// The limit.
        limit: &'static Limit,
    },
    /// Not a number of the limit's unit.
    Unreadable {
        /// The limit.
        limit: &'static Limit,
    },
}

/// How two limits have to stand to each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// The first may equal the second, but not pass it.
    AtMost,
    /// The first has to be less than the second.
    Below,
}

impl Order {
    /// The rule in words, to stand between the two names.
    pub const fn text(self) -> &'static str {
        match self {
            Order::AtMost => "must not be above",
            Order::Below => "must be below",
        }
    }

    pub(super) const fn holds(self, lower: u64, upper: u64) -> bool {
        match self {
            Order::AtMost => lower <= upper,
            Order::Below => lower < upper,
        }
    }
}

impl LimitError {
    /// What to write instead, without the name of the limit: whoever read the value knows
    /// whether it came from a flag or from the environment, and says so before it.
    pub fn advice(&self) -> String {
        match *self {
            LimitError::Order { rule, upper, upper_value, .. } => {
                format!("{} {} ({})", rule.text(), upper.field, upper.show(upper_value))
            }
            LimitError::OutOfRange { limit } => format!("out of range: {}", limit.range()),
            LimitError::Unreadable { limit } => {
                format!("not {}; allowed: {}", limit.unit.wanted(), limit.range())
            }
        }
    }
}

impl fmt::Display for LimitError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            LimitError::Order { lower, lower_value, .. } => {
                write!(f, "{} ({}) {}", lower.field, lower.show(lower_value), self.advice())
            }
            LimitError::OutOfRange { limit } | LimitError::Unreadable { limit } => {
                write!(f, "{}: {}", limit.field, self.advice())
            }
        }
    }
}

impl std::error::Error for LimitError {}
