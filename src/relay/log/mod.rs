//! The log: what is kept for users who are away, slow, or connected with several devices.
//!
//! ```text
//!   seq      57      58      59      60      61          one counter for the whole server
//!          bob>    eve>    bob>    room1   alice>
//!          alice   bob     alice   (all)   eve
//!
//!   alice  [57]-----------[59]----[60]                   one bounded mailbox per user, of
//!   bob            [58]-----------[60]                   references to shared entries
//!   eve    . . . .                [60]----[61]
//!          discarded: dropped = 56                ^ committed: nothing above it is shown
//! ```
//!
//! A message is one [`Entry`], appended to the [`Mailbox`] of everybody it is for: of one user, of
//! the members of a group, of the sender if another of the sender's clients wants the copy. The
//! [`Book`] holds the mailboxes with what is kept beside them (the numbers of each client, the
//! memberships), issues `seq`, and keeps the limits. What it changes it notes in the [`Store`].
//!
//! This module does not know connections' cursors, frames, or who may do what.

mod book;
mod entry;
mod joining;
mod mailbox;
mod members;
mod numbers;
mod store;
mod user;

use std::fmt;

pub use self::book::{Appended, Book, Keep, Sealed};
pub use self::entry::{Draft, Echo, Entry, Receipt, To};
pub use self::joining::Joining;
pub use self::mailbox::Mailbox;
pub use self::members::{GroupKey, Members};
pub use self::numbers::{Decided, Experience, INFLIGHT_MAX, Numbers, Turn};
pub use self::store::{
    BatchNumber, Change, Handed, Memory, Outcome, ServerState, Store, Stored, StoredAnswer,
    StoredRecord,
};
pub use self::user::{Client, Device, Record, Touched, User, UserKey};

/// A place in the order of everything the server took in. Strictly ascending, with holes; 0 is
/// before the first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Seq(pub u64);

impl fmt::Display for Seq {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(out)
    }
}

/// A moment that is written down: milliseconds since 1970, counted on by the monotonic clock from
/// what the wall said at the start, and never before the newest one that is stored.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Stamp(pub u64);

impl Stamp {
    /// The moment `ms` milliseconds after this one.
    pub const fn after(self, ms: u64) -> Stamp {
        Stamp(self.0.saturating_add(ms))
    }

    /// The moment `ms` milliseconds before this one.
    pub const fn before(self, ms: u64) -> Stamp {
        Stamp(self.0.saturating_sub(ms))
    }
}

/// How much is kept, and how long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LogLimits {
    /// Entries in one user's log.
    pub entries_max: usize,
    /// Bytes in one user's log.
    pub bytes_max: u64,
    /// Bytes in all logs. An entry counts in every log that holds it, though it is in memory once.
    pub total_bytes_max: u64,
    /// How long an entry is kept, and the record of a user who does not come, in milliseconds.
    pub age_max_ms: u64,
    /// Users with a record.
    pub records_max: usize,
    /// Clients of one user.
    pub clients_max: usize,
    /// Groups of one user.
    pub groups_max: usize,
    /// Memberships that are kept, of all users together.
    pub memberships_max: usize,
}

impl Default for LogLimits {
    fn default() -> LogLimits {
        LogLimits {
            entries_max: 1_000,
            bytes_max: 1 << 20,
            total_bytes_max: 1 << 30,
            age_max_ms: 7 * 24 * 3_600_000,
            records_max: 1_000_000,
            clients_max: 64,
            groups_max: 1_000,
            memberships_max: 1_000_000,
        }
    }
}
