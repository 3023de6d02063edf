//! Commit: what is held back until it has really happened.
//!
//! ```text
//!   open        [ ok 17 to bob | live to eve ]      collected in this tick
//!   in flight   batch 8 [ ok 4 to alice ]  batch 9 [ welcome carol | receipt to dave ]
//!                  |
//!     committed 8: "ok 4" leaves, the entries of batch 8 may be read
//!     failed 8:    8, 9 and open never were; alice is asked to send from 4 again,
//!                  carol's welcome is prepared anew, from what the store says it has
//! ```
//!
//! Rule R12: the log decides. Whatever carries a seq, and whatever says that something was
//! taken, exists only when it is committed.
//!
//! This module does not know what the changes in a batch are.

use std::rc::Rc;

use super::effect::{Effect, Posted};
use super::reply::{Refused, Reply};
use super::rules::{Rule, holds};
use super::{Health, Sessions};
use crate::hub::ConnId;
use crate::relay::log::{BatchNumber, Entry, Handed, Sealed, Seq, Store, Stored, Touched};
use crate::timer::Millis;

/// Something that waits for a commit.
#[derive(Debug)]
pub(super) enum Release {
    /// The answer to a numbered frame.
    Answer {
        to: ConnId,
        /// From where on the client has no answer, if this one never leaves.
        id: u64,
        reply: Reply,
    },
    /// An unlogged message, behind all logged ones up to `after`.
    Live { to: ConnId, after: Seq, entry: Entry },
    /// Nothing: but the batch is to be handed over, whoever is here.
    Noted,
    /// A message for the plain connections of a user.
    Plain { user: Rc<str>, except: Option<ConnId>, entry: Entry },
    /// A message for the plain connections of the members of a group.
    PlainGroup { except: Option<ConnId>, entry: Entry },
    /// Nothing, unless it fails.
    PlainUnsent(ConnId),
    /// The answer to the push API.
    Pushed { token: u64, posted: Posted },
    /// News for the sender of an entry.
    Receipt(Entry),
    /// Nothing, unless it fails.
    Unnumbered(ConnId),
    /// A welcome.
    Welcome(ConnId),
}

/// A batch that the store has not decided about.
#[derive(Debug)]
pub(super) struct InFlight {
    sealed: Sealed,
    releases: Vec<Release>,
    /// How many messages it puts into logs.
    logged: u64,
}

impl<S: Store> Sessions<S> {
    /// Hands over what was collected. To be called once per tick, after its frames.
    pub fn flush(&mut self, now: Millis) {
        if self.health == Health::Down {
            return;
        }
        let stamp = self.stamp(now);
        let releases = std::mem::replace(&mut self.open, std::mem::take(&mut self.spare));
        self.held += releases.len();
        if let Some(sealed) = self.book.seal(stamp) {
            let number = sealed.number;
            let logged = std::mem::take(&mut self.tally.open);
            self.in_flight.push_back(InFlight { sealed, releases, logged });
            let handed = self.book.store_mut().commit(number);
            if handed == Handed::Committed || !holds(Rule::R12) {
                self.committed(number);
            }
        } else if let Some(last) = self.in_flight.back_mut() {
            // Nothing changed, but what is said must not overtake what is held back.
            last.releases.extend(releases);
        } else {
            self.release_all(releases);
        }
    }

    /// The store has committed all batches up to this one.
    pub fn committed(&mut self, number: BatchNumber) {
        while self.in_flight.front().is_some_and(|batch| batch.sealed.number <= number) {
            let Some(batch) = self.in_flight.pop_front() else { return };
            self.book.commit(batch.sealed.counter);
            self.tally.logged += batch.logged;
            for touched in &batch.sealed.touched {
                if let Some(key) = self.book.find_touched(touched) {
                    self.wake(key);
                }
            }
            self.release_all(batch.releases);
            self.book.recycle(batch.sealed.touched);
        }
    }

    /// A batch has failed, or is in doubt, and with it all that were handed over since. The store
    /// is asked what it has; until it answers, numbered frames are refused for now.
    pub fn failed(&mut self) {
        if self.health == Health::Down {
            return;
        }
        let mut touched = self.book.abandon();
        let mut void = Vec::new();
        for batch in self.in_flight.drain(..) {
            touched.extend(batch.sealed.touched);
            void.extend(batch.releases);
        }
        void.append(&mut self.open);
        self.tally.open = 0;
        self.held = 0;
        self.health = Health::Down;
        let mut unanswered = Vec::new();
        for release in void {
            self.void(release, &mut unanswered);
        }
        self.send_all_again(unanswered);
        let mut names: Vec<Rc<str>> = touched.into_iter().map(Touched::into_name).collect();
        names.sort_unstable();
        names.dedup();
        self.book.store_mut().read_back(&names);
    }

    /// What was to happen will not, as far as anybody is told.
    fn void(&mut self, release: Release, unanswered: &mut Vec<(ConnId, u64)>) {
        match release {
            Release::Answer { to, id, .. } => unanswered.push((to, id)),
            Release::PlainUnsent(to) => {
                self.effects.push(Effect::Unsent { to, refused: Refused::STORE });
            }
            Release::Pushed { token, .. } => {
                self.effects.push(Effect::Pushed { token, outcome: Err(Refused::STORE) });
            }
            Release::Unnumbered(to) => self.refuse(to, Refused::STORE),
            // Their senders are asked to send again, or the greeting is repeated.
            Release::Live { .. }
            | Release::Noted
            | Release::Plain { .. }
            | Release::PlainGroup { .. }
            | Release::Receipt(_)
            | Release::Welcome(_) => {}
        }
    }

    /// Asks whoever has frames without an answer to send again from the first of them on. Whether
    /// that one took effect is not known, and need not be: it comes with the same id, and by then
    /// the store has said what was decided.
    fn send_all_again(&mut self, mut unanswered: Vec<(ConnId, u64)>) {
        // Those of one connection are in the order of their ids, and stay in it.
        unanswered.sort_by_key(|(to, _)| *to);
        unanswered.dedup_by_key(|(to, _)| *to);
        let after_ms = self.limits.retry_ms;
        for (to, first) in unanswered {
            let Some(conn) = self.conns.get_mut(to) else { continue };
            conn.told_bytes = 0;
            // R4: what is on its way behind it is discarded.
            conn.expect = Some(first);
            conn.numbers.rewind(first - 1);
            let refused = Refused::STORE;
            self.reply(to, Reply::Retry { id: first, refused, expect: first, after_ms });
        }
    }

    /// The store has said what it has about those it was asked about.
    pub fn restored(&mut self, stored: Stored, now: Millis) {
        let names: Vec<Rc<str>> = stored.users.iter().map(|(name, _)| Rc::clone(name)).collect();
        self.book.restore(stored);
        self.health = if self.is_draining { Health::Draining } else { Health::Up };
        let ids: Vec<ConnId> = self.conns.iter().map(|(id, _)| id).collect();
        for id in ids {
            // Whoever is welcome has a record and a client there: the welcome waited for them.
            if self.conns.get(id).is_some_and(|conn| conn.greeting.is_some()) {
                self.greet(id, now);
            }
        }
        for name in &names {
            if let Some(key) = self.book.find(name) {
                self.wake(key);
            }
        }
    }

    fn release_all(&mut self, mut releases: Vec<Release>) {
        self.held -= releases.len();
        for release in releases.drain(..) {
            self.release(release);
        }
        // The next batch needs a list again, so nothing is allocated for it.
        self.spare = releases;
    }

    /// Whether as much is held back as may be: the store is slower than its users.
    pub(super) fn is_held_up(&self) -> bool {
        self.held + self.open.len() >= self.limits.held_max
    }

    fn release(&mut self, release: Release) {
        match release {
            // Whoever was replaced meanwhile, or has gone, learns it from its next welcome.
            Release::Answer { to, reply, .. } => {
                let Some(conn) = self.conns.get_mut(to) else { return };
                if let Reply::Told { facts, .. } = &reply {
                    conn.told_bytes -= facts.cost();
                }
                self.reply(to, reply);
            }
            Release::Live { to, after, entry } => self.live_released(to, after, entry),
            Release::Plain { user, except, entry } => {
                self.make_do(&user, &entry);
                self.effects.push(Effect::Plain { user, except, entry });
            }
            Release::PlainGroup { except, entry } => {
                self.effects.push(Effect::PlainGroup { except, entry });
            }
            Release::Pushed { token, posted } => {
                self.effects.push(Effect::Pushed { token, outcome: Ok(posted) });
            }
            Release::Receipt(entry) => self.receipt(entry),
            Release::Welcome(id) => self.welcome(id),
            Release::Noted | Release::PlainUnsent(_) | Release::Unnumbered(_) => {}
        }
    }

    /// Of a user who has never had a session, nobody acknowledges anything: what goes to a plain
    /// connection may make room from then on, or the log would be full for good one day.
    fn make_do(&mut self, user: &str, entry: &Entry) {
        let Some(key) = self.book.find(user) else { return };
        let never_said_hello =
            self.book.user(key).record().is_some_and(|record| record.clients().is_empty());
        if never_said_hello && self.book.user(key).plain() > 0 {
            self.book.acknowledge(key, "", entry.seq());
        }
    }

    /// Tells the client that sent a message that it was acknowledged, if it is here.
    fn receipt(&mut self, entry: Entry) {
        let Some(key) = self.book.find(entry.sender()) else { return };
        let devices = self.book.user(key).devices();
        let device = devices.iter().find(|device| *device.client == *entry.client());
        let Some(to) = device.map(|device| device.conn) else { return };
        if self.conns.get(to).is_some_and(|conn| conn.greeting.is_none()) {
            self.reply(to, Reply::Receipt { entry });
        }
    }
}
