//! Numbers: which of a client's frames have been decided, so that none is decided twice.
//!
//! ```text
//!   id      ... 11  12  13  14  15  16 | 17  18
//!   refused      .   .   x   .   x   . |
//!                                  last    next
//! ```
//!
//! A client numbers its frames 1, 2, 3 …; the server keeps the last one it decided, and which of
//! the 64 up to it were refused. So whatever is repeated is answered as it was (R2), and a
//! client that comes back learns in one line how its unanswered frames fared (R3).
//!
//! This module does not know what the frames were.

/// What a client may have sent without having an answer.
// R1: a constant of the protocol, because the client's ids and the server's memory have to agree.
pub const INFLIGHT_MAX: u64 = 64;

/// The decided frames of one client.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Numbers {
    last: u64,
    /// Bit `n` is id `last - n`.
    refused: u64,
    /// Whether any was decided since these numbers began.
    experience: Experience,
}

/// Whether a server has decided anything of a client.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Experience {
    /// It has not: `last` is only what the client has said, and what an earlier server decided,
    /// or this one before it let go of the user's record, is not known.
    #[default]
    None,
    /// It has.
    Some,
}

/// What an id means in the place where it comes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Turn {
    /// Some id before it has not come; the one that is expected.
    Ahead(u64),
    /// It has been accepted.
    Accepted,
    /// It is so old that nobody knows, which no client that keeps the rules sends.
    Forgotten,
    /// It is the next one.
    Next,
    /// It has been refused.
    Refused,
}

/// What was decided about a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decided {
    /// It took effect.
    Accepted,
    /// It had no effect, and never will.
    Refused,
}

impl Numbers {
    /// As a store kept them.
    pub fn restored(last: u64, refused: u64, experience: Experience) -> Numbers {
        Numbers { last, refused, experience }
    }

    /// The last id that was decided, if any was since these numbers began.
    // R3: a client is told that its frames are not known until one of them is, not only once: that
    // one welcome may be lost on its way.
    pub fn known_last(self) -> Option<u64> {
        (self.experience == Experience::Some).then_some(self.last)
    }

    /// The last id that was decided.
    pub fn last(self) -> u64 {
        self.last
    }

    /// The refused ones as bits, the lowest for [`Numbers::last`]: what a store keeps.
    pub fn refused_bits(self) -> u64 {
        self.refused
    }

    /// The refused ones among the last 64, in ascending order.
    pub fn refused(self) -> impl Iterator<Item = u64> {
        let ids = (0..INFLIGHT_MAX).rev().filter(move |bit| self.refused >> bit & 1 == 1);
        ids.filter_map(move |bit| self.last.checked_sub(bit))
    }

    /// What an id means now.
    pub fn turn(self, id: u64) -> Turn {
        match self.last.checked_sub(id) {
            None if id == self.last + 1 => Turn::Next,
            None => Turn::Ahead(self.last + 1),
            Some(age) if age >= INFLIGHT_MAX || id == 0 => Turn::Forgotten,
            Some(age) if self.refused >> age & 1 == 1 => Turn::Refused,
            Some(_) => Turn::Accepted,
        }
    }

    /// Decides about the next id.
    pub fn decide(&mut self, decided: Decided) {
        self.last += 1;
        self.experience = Experience::Some;
        self.refused = self.refused << 1 | u64::from(decided == Decided::Refused);
    }

    /// Everything above `last` never was.
    pub fn rewind(&mut self, last: u64) {
        let back = self.last.saturating_sub(last);
        self.refused =
            u32::try_from(back).ok().and_then(|n| self.refused.checked_shr(n)).unwrap_or(0);
        self.last -= back;
    }

    /// Nothing below `next` will come again; says whether that was news.
    // R2: otherwise a server that knows less than the client (a restored copy) would wait for
    // frames that the client has answers to, for ever.
    pub fn settle_below(&mut self, next: u64) -> bool {
        let Some(ahead) = next.checked_sub(1).and_then(|last| last.checked_sub(self.last)) else {
            return false;
        };
        self.refused =
            u32::try_from(ahead).ok().and_then(|n| self.refused.checked_shl(n)).unwrap_or(0);
        self.last += ahead;
        ahead > 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_id_is_decided_once_and_answered_alike_ever_after() {
        let mut numbers = Numbers::default();
        assert_eq!(numbers.turn(1), Turn::Next);
        assert_eq!(numbers.known_last(), None);
        assert_eq!(numbers.turn(2), Turn::Ahead(1));
        assert_eq!(numbers.turn(0), Turn::Forgotten);
        for id in 1..=100 {
            let decided = if id % 3 == 0 { Decided::Refused } else { Decided::Accepted };
            assert_eq!(numbers.turn(id), Turn::Next);
            numbers.decide(decided);
        }
        assert_eq!(numbers.turn(36), Turn::Forgotten);
        assert_eq!(numbers.known_last(), Some(100));
        for id in 37..=100 {
            let turn = if id % 3 == 0 { Turn::Refused } else { Turn::Accepted };
            assert_eq!(numbers.turn(id), turn, "{id}");
        }
        let refused: Vec<u64> = numbers.refused().collect();
        assert_eq!(refused, (37..=100).filter(|id| id % 3 == 0).collect::<Vec<u64>>());
    }

    #[test]
    fn what_the_client_has_settled_is_settled() {
        let mut numbers = Numbers::default();
        numbers.decide(Decided::Refused);
        assert!(!numbers.settle_below(0) && !numbers.settle_below(1) && !numbers.settle_below(2));
        assert_eq!(numbers.turn(1), Turn::Refused);
        assert!(numbers.settle_below(17));
        assert_eq!(numbers.turn(17), Turn::Next);
        assert_eq!(numbers.turn(16), Turn::Accepted);
        assert_eq!(numbers.turn(1), Turn::Refused);
        assert!(numbers.settle_below(1_000));
        assert_eq!(numbers.refused().count(), 0);
        assert!(numbers.settle_below(1 << 53));
    }
}
