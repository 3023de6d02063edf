//! Numbering: each numbered frame takes effect once, in the order of the numbers, and is answered.
//!
//! ```text
//!   last = 16      17 ok            18 (rate: 429 retry, expect 18)    19  20   18 ok   19 ok
//!                  last = 17        last stays 17                       discarded
//! ```
//!
//! A temporary refusal does not advance, and everything behind it is discarded unanswered until
//! the client has gone back: one refusal costs one round trip, not one for each frame that was
//! on its way (R4).
//!
//! This module does not know what the frames do.

use super::commit::Release;
use super::effect::Closing;
use super::reply::{Facts, Logged, Refused, Reply};
use super::rules::{Rule, holds};
use super::{Conn, Health, Posted, Sessions, Standing, joined};
use crate::hub::ConnId;
use crate::relay::log::{Decided, Numbers, Seq, Store, Turn};
use crate::relay::name::Name;
use crate::timer::Millis;

/// What the driver decided about a frame: what its sender may do, and how fast.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ruling {
    /// It may go on.
    Allowed(Sight),
    /// No role of the sender's allows it.
    Forbidden {
        /// The permission that it needs, as the policy writes it.
        missing: Box<str>,
    },
    /// It may go on later.
    Later {
        /// Why not now.
        refused: Refused,
        /// When, in milliseconds.
        after_ms: u64,
    },
    /// It may not.
    Refused(Refused),
    /// The message is longer than the sender's roles allow.
    TooLarge {
        /// How long it may be, in bytes.
        max_bytes: u64,
    },
}

/// Whether a sender may know if the receiver is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sight {
    /// It may not: no `online`, no receipts.
    Hidden,
    /// It may.
    Shown,
}

/// What became of a frame that had its turn.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    /// It is done.
    Done,
    /// The message was taken.
    Posted(Posted, Sight),
    /// The question is answered.
    Told(Facts),
}

impl<S: Store> Sessions<S> {
    pub(super) fn join(
        &mut self,
        from: ConnId,
        id: Option<u64>,
        (group, groups_max): (&Name<'_>, usize),
        ruling: Ruling,
        now: Millis,
    ) {
        let Some(_) = self.gate(from, id, ruling, now) else { return };
        let Some(conn) = self.conns.get(from) else { return };
        let outcome = joined(self.book.join(conn.user, group, groups_max));
        let outcome = outcome.map(|()| Outcome::Done);
        self.settle(from, id, outcome, now);
    }

    pub(super) fn leave(
        &mut self,
        from: ConnId,
        id: Option<u64>,
        group: &Name<'_>,
        ruling: Ruling,
        now: Millis,
    ) {
        let Some(_) = self.gate(from, id, ruling, now) else { return };
        let Some(conn) = self.conns.get(from) else { return };
        self.book.leave(conn.user, group);
        self.settle(from, id, Ok(Outcome::Done), now);
    }

    /// A question, which `look_up` answers when it has its turn.
    pub fn ask(
        &mut self,
        from: ConnId,
        id: u64,
        ruling: Ruling,
        now: Millis,
        look_up: impl FnOnce() -> Result<Facts, Refused>,
    ) {
        let Some(conn) = self.conns.get_mut(from) else { return };
        conn.heard = now;
        let Some(_) = self.gate(from, Some(id), ruling, now) else { return };
        let Some(conn) = self.conns.get_mut(from) else { return };
        // A short question may have a long answer, and many questions fit into one read.
        if conn.told_bytes > self.limits.ring_max_bytes {
            let after_ms = self.limits.retry_ms;
            self.send_again(from, id, Refused::RATE, id, after_ms);
            return;
        }
        let facts = look_up();
        conn.told_bytes += facts.as_ref().map_or(0, Facts::cost);
        self.settle(from, Some(id), facts.map(Outcome::Told), now);
    }

    /// A frame without any effect but its answer.
    pub(super) fn ping(&mut self, from: ConnId, id: Option<u64>, ruling: Ruling, now: Millis) {
        let Some(_) = self.gate(from, id, ruling, now) else { return };
        self.settle(from, id, Ok(Outcome::Done), now);
    }

    /// Whether a frame takes effect now; if not, it has been answered or is to be discarded.
    pub(super) fn gate(
        &mut self,
        from: ConnId,
        id: Option<u64>,
        ruling: Ruling,
        now: Millis,
    ) -> Option<Sight> {
        let Some(id) = id else { return self.unnumbered_gate(from, ruling) };
        let is_held_up = self.is_held_up();
        let conn = self.conns.get_mut(from)?;
        if conn.greeting.is_some() {
            // R1: ids are given after the welcome, which says where they begin.
            self.close(from, Closing::MALFORMED, now);
            return None;
        }
        // R4: later frames are discarded unanswered until the expected one comes.
        let is_early = conn.expect.is_some_and(|expect| id > expect);
        if is_early && holds(Rule::R4) {
            return None;
        }
        let retry_ms = self.limits.retry_ms;
        match self.health {
            Health::Down => return self.send_again(from, id, Refused::STORE, id, retry_ms),
            Health::Draining => return self.send_again(from, id, Refused::DRAINING, id, retry_ms),
            Health::Up if is_held_up => {
                return self.send_again(from, id, Refused::STORE, id, retry_ms);
            }
            Health::Up => {}
        }
        if conn.expect == Some(id) {
            conn.expect = None;
        }
        match numbers_of(&self.book, conn).turn(id) {
            Turn::Next => {}
            Turn::Accepted if !holds(Rule::R2) => {}
            Turn::Accepted => return self.answer(from, id, Reply::OkAgain { id }),
            Turn::Refused => return self.answer(from, id, Reply::ErrorAgain { id }),
            Turn::Ahead(expect) => {
                return self.send_again(from, id, Refused::EXPECTED, expect, retry_ms);
            }
            Turn::Forgotten => {
                self.close(from, Closing::FORGOTTEN_ID, now);
                return None;
            }
        }
        match ruling {
            Ruling::Allowed(sight) => Some(sight),
            Ruling::Later { refused, after_ms } => self.send_again(from, id, refused, id, after_ms),
            Ruling::Refused(refused) => {
                self.settle(from, Some(id), Err(refused), now);
                None
            }
            Ruling::Forbidden { missing } => {
                self.decide(from, id, Decided::Refused, now)?;
                self.answer(from, id, Reply::Forbidden { id: Some(id), missing })
            }
            Ruling::TooLarge { max_bytes } => {
                self.decide(from, id, Decided::Refused, now)?;
                self.answer(from, id, Reply::TooLarge { id: Some(id), max_bytes })
            }
        }
    }

    /// A frame without a number is taken or refused, and nobody waits for an answer.
    fn unnumbered_gate(&mut self, from: ConnId, ruling: Ruling) -> Option<Sight> {
        let refused = match (self.health, ruling) {
            (Health::Down, _) => Refused::STORE,
            (Health::Up, _) if self.is_held_up() => Refused::STORE,
            (Health::Draining, _) => Refused::DRAINING,
            (Health::Up, Ruling::Allowed(sight)) => return Some(sight),
            (Health::Up, Ruling::Later { refused, .. } | Ruling::Refused(refused)) => refused,
            (Health::Up, Ruling::Forbidden { missing }) => {
                self.reply(from, Reply::Forbidden { id: None, missing });
                return None;
            }
            (Health::Up, Ruling::TooLarge { max_bytes }) => {
                self.reply(from, Reply::TooLarge { id: None, max_bytes });
                return None;
            }
        };
        self.refuse(from, refused);
        None
    }

    /// Refuses for now.
    fn send_again(
        &mut self,
        to: ConnId,
        id: u64,
        refused: Refused,
        expect: u64,
        after_ms: u64,
    ) -> Option<Sight> {
        let conn = self.conns.get_mut(to)?;
        conn.expect = Some(expect);
        let reply = Reply::Retry { id, refused, expect, after_ms };
        if self.health == Health::Down {
            // Nothing is pending that it could overtake: what was is void, and said to be.
            self.reply(to, reply);
            return None;
        }
        self.answer(to, expect, reply)
    }

    /// Says something about a number behind what is being said about those before it.
    // R12: answers leave in id order.
    fn answer(&mut self, to: ConnId, id: u64, reply: Reply) -> Option<Sight> {
        self.open.push(Release::Answer { to, id, reply });
        None
    }

    /// Decides about a frame that had its turn.
    pub(super) fn settle(
        &mut self,
        from: ConnId,
        id: Option<u64>,
        outcome: Result<Outcome, Refused>,
        now: Millis,
    ) {
        let Some(id) = id else {
            return match outcome {
                // What was not committed in the end is announced to its sender (R12).
                Ok(_) => self.open.push(Release::Unnumbered(from)),
                Err(refused) => self.refuse(from, refused),
            };
        };
        if outcome == Err(Refused::RECEIVER_CONGESTED) {
            // R4: a temporary refusal does not advance.
            let (refused, after_ms) = (Refused::RECEIVER_CONGESTED, self.limits.retry_ms);
            self.send_again(from, id, refused, id, after_ms);
            return;
        }
        let decided = if outcome.is_ok() { Decided::Accepted } else { Decided::Refused };
        let Some(()) = self.decide(from, id, decided, now) else { return };
        let reply = match outcome {
            Ok(Outcome::Done) => Reply::Ok { id, online: None, logged: None },
            Ok(Outcome::Posted(posted, sight)) => Reply::Ok {
                id,
                online: (sight == Sight::Shown).then_some(posted.online),
                logged: Some(posted.seq.map_or(Logged::No, |_| Logged::Yes)),
            },
            Ok(Outcome::Told(facts)) => Reply::Told { id, facts },
            Err(refused) => Reply::Error { id: Some(id), refused },
        };
        self.answer(from, id, reply);
    }

    /// Keeps what was decided about a number that had its turn.
    fn decide(&mut self, from: ConnId, id: u64, decided: Decided, now: Millis) -> Option<()> {
        let stamp = self.stamp(now);
        let conn = self.conns.get_mut(from)?;
        let mut numbers = numbers_of(&self.book, conn);
        if numbers.turn(id) == Turn::Next {
            numbers.decide(decided);
        }
        match conn.standing {
            Standing::Guest => conn.numbers = numbers,
            Standing::Recorded => {
                self.book.keep_numbers(conn.user, &conn.client, numbers, stamp);
            }
        }
        Some(())
    }

    /// Some device has processed everything up to `seq`.
    pub(super) fn acknowledge(&mut self, from: ConnId, seq: Seq) {
        let Some(conn) = self.conns.get(from) else { return };
        // R9: nobody has processed what was not written to it.
        if seq > conn.written {
            return self.refuse(from, Refused::ACK_AHEAD);
        }
        if self.health == Health::Down || conn.standing == Standing::Guest {
            return;
        }
        let (key, name) = (conn.user, conn.name.clone());
        let Some((above, until)) = self.book.acknowledge(key, &conn.client, seq) else { return };
        let Some(record) = self.book.user(key).record() else { return };
        for entry in record.mailbox().above(above).take_while(|entry| entry.seq() <= until) {
            if entry.is_receipt_due(&name) {
                self.open.push(Release::Receipt(entry.clone()));
            }
        }
    }
}

/// What was decided of the frames of a connection's client.
fn numbers_of<S: Store>(book: &crate::relay::log::Book<S>, conn: &Conn) -> Numbers {
    if conn.standing == Standing::Guest {
        return conn.numbers;
    }
    let record = book.user(conn.user).record();
    let client = record.and_then(|record| record.client(&conn.client));
    client.map(|client| client.numbers()).unwrap_or_default()
}
