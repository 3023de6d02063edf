//! Limits of a role: how much and how fast.
//!
//! ```text
//!   "*":      {"limits": {"messages-per-second": 5}}
//!   "member": {"limits": {"messages-per-second": 20, "burst": 40}}
//!   "robot":  {"limits": {"messages-per-second": "unlimited"}}
//!
//!   a member:            20 per second, 40 at once     the most generous of what is stated
//!   a member and robot:  no limit
//!   connections, size:   no limit                      nobody said anything
//! ```
//!
//! This module does not know what is counted against the limits, or where they were written.

use super::bucket::{RATE_MAX, Rate};

/// What the roles of a user allow. `None`: no more than the server's own limits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RoleLimits {
    /// Messages that one connection may send.
    pub messages: Option<Rate>,
    /// Bytes of messages that one connection may send.
    pub bytes: Option<Rate>,
    /// Bytes of one message.
    pub message_max_bytes: Option<u64>,
    /// Connections of one user at once.
    pub connections_per_user_max: Option<u64>,
    /// Connections from one address at once.
    pub connections_per_address_max: Option<u64>,
    /// Groups that a user may have joined.
    pub groups_max: Option<u64>,
}

/// A limit that a role may state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LimitKey {
    /// Messages at once.
    Burst,
    /// Bytes at once.
    BurstBytes,
    /// Bytes in a second.
    BytesPerSecond,
    /// Connections of an address.
    ConnectionsPerAddress,
    /// Connections of a user.
    ConnectionsPerUser,
    /// Groups of a user.
    Groups,
    /// Bytes of a message.
    Message,
    /// Messages in a second.
    MessagesPerSecond,
}

impl LimitKey {
    /// All of them, in the order of their names.
    pub const ALL: [LimitKey; 8] = [
        LimitKey::Burst,
        LimitKey::BurstBytes,
        LimitKey::BytesPerSecond,
        LimitKey::ConnectionsPerAddress,
        LimitKey::ConnectionsPerUser,
        LimitKey::Groups,
        LimitKey::Message,
        LimitKey::MessagesPerSecond,
    ];

    /// As the policy file has it.
    pub const fn word(self) -> &'static str {
        match self {
            LimitKey::Burst => "burst",
            LimitKey::BurstBytes => "burst-bytes",
            LimitKey::BytesPerSecond => "bytes-per-second",
            LimitKey::ConnectionsPerAddress => "connections-per-address",
            LimitKey::ConnectionsPerUser => "connections-per-user",
            LimitKey::Groups => "groups",
            LimitKey::Message => "message",
            LimitKey::MessagesPerSecond => "messages-per-second",
        }
    }

    /// The lowest and the highest value it may have.
    pub const fn range(self) -> (u64, u64) {
        match self {
            LimitKey::Groups => (0, RATE_MAX),
            _ => (1, RATE_MAX),
        }
    }
}

/// One limit, as a role states it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Stated {
    /// The role says nothing about it.
    Nothing,
    /// At most so many.
    AtMost(u64),
    /// As many as the server allows.
    Unlimited,
}

/// All limits, as a role states them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StatedLimits([Stated; LimitKey::ALL.len()]);

impl StatedLimits {
    /// Nothing is stated.
    pub const fn nothing() -> StatedLimits {
        StatedLimits([Stated::Nothing; LimitKey::ALL.len()])
    }

    /// What is stated about one of them.
    pub fn at(&self, key: LimitKey) -> Stated {
        self.0[key as usize]
    }

    /// States one of them.
    pub fn set(&mut self, key: LimitKey, stated: Stated) {
        self.0[key as usize] = stated;
    }

    /// Adds what another role states: the more generous of the two.
    pub fn add(&mut self, other: &StatedLimits) {
        for (own, other) in self.0.iter_mut().zip(&other.0) {
            // The order of the variants.
            *own = (*own).max(*other);
        }
    }

    /// What all of it comes to.
    pub fn resolve(&self) -> RoleLimits {
        RoleLimits {
            messages: self.rate(LimitKey::MessagesPerSecond, LimitKey::Burst),
            bytes: self.rate(LimitKey::BytesPerSecond, LimitKey::BurstBytes),
            message_max_bytes: self.number(LimitKey::Message),
            connections_per_user_max: self.number(LimitKey::ConnectionsPerUser),
            connections_per_address_max: self.number(LimitKey::ConnectionsPerAddress),
            groups_max: self.number(LimitKey::Groups),
        }
    }

    fn number(&self, key: LimitKey) -> Option<u64> {
        match self.at(key) {
            Stated::AtMost(number) => Some(number),
            Stated::Nothing | Stated::Unlimited => None,
        }
    }

    /// A burst that nobody states is what comes in a second.
    fn rate(&self, rate: LimitKey, burst: LimitKey) -> Option<Rate> {
        let per_second = self.number(rate)?;
        Some(Rate { per_second, burst: self.number(burst).unwrap_or(per_second) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stated(limits: &[(LimitKey, Stated)]) -> StatedLimits {
        let mut all = StatedLimits::nothing();
        for &(key, stated) in limits {
            all.set(key, stated);
        }
        all
    }

    #[test]
    fn the_most_generous_of_what_is_stated_counts() {
        use LimitKey::*;
        use Stated::*;
        let everybody = stated(&[(MessagesPerSecond, AtMost(5)), (Groups, AtMost(0))]);
        let member =
            stated(&[(MessagesPerSecond, AtMost(20)), (Burst, AtMost(40)), (Message, AtMost(100))]);
        let robot = stated(&[(MessagesPerSecond, Unlimited), (ConnectionsPerUser, AtMost(1))]);

        let mut sum = everybody;
        let only = Rate { per_second: 5, burst: 5 };
        assert_eq!(
            sum.resolve(),
            RoleLimits { messages: Some(only), groups_max: Some(0), ..RoleLimits::default() }
        );
        sum.add(&member);
        assert_eq!(sum.resolve().messages, Some(Rate { per_second: 20, burst: 40 }));
        assert_eq!(sum.resolve().message_max_bytes, Some(100), "nothing is not unlimited");
        sum.add(&robot);
        assert_eq!(sum.resolve().messages, None);
        assert_eq!(sum.resolve().connections_per_user_max, Some(1));
        assert_eq!(sum.resolve().groups_max, Some(0));
    }

    #[test]
    fn keys_lie_where_their_numbers_say_and_are_in_order() {
        for (at, key) in LimitKey::ALL.into_iter().enumerate() {
            assert_eq!(key as usize, at);
        }
        assert!(LimitKey::ALL.is_sorted_by_key(|key| key.word()));
    }
}
