//! Greeting: hello and welcome.
//!
//! ```text
//!   hello  client c8f3, next 17, epoch 9f, seq 41        the client: here I am
//!     same client here already?   the older gets 4409
//!     its frames still pending?   wait for the commit    (R12)
//!     epoch 9f is ours, 41 is not above what we issued, nothing above 41 was discarded?
//!       yes: resumed, from 41
//!       no:  a gap in the same frame, from the oldest that is kept    (R6, R8)
//!   welcome  last 16, refused 13 15                      how its frames fared (R3)
//! ```
//!
//! This module does not know how entries get from the log to the connection.

use std::rc::Rc;

use super::commit::Release;
use super::effect::{Closing, Effect};
use super::frame::{Hello, Position};
use super::reply::{Gap, GapReason, Reply, Welcome};
use super::ring::Ring;
use super::rules::{Rule, holds};
use super::{Conn, Health, Sessions, Standing};
use crate::hub::ConnId;
use crate::relay::log::{Numbers, Seq, Store};
use crate::timer::Millis;

/// What a connection said that is not welcome yet.
#[derive(Clone, Debug)]
pub(super) struct Greeting(Resume);

/// From where a client goes on; a [`Position`] that owns its epoch.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Resume {
    At(Rc<str>, Seq),
    Kept,
    Live,
}

/// Whether a user has a record now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Recording {
    /// Whoever is to have one has it.
    Done,
    /// There are as many as there may be.
    Full,
}

impl<S: Store> Sessions<S> {
    /// A connection says hello. The driver has seen to its credentials, and that `hello.user`, if
    /// there is one, is the user.
    pub fn hello(
        &mut self,
        id: ConnId,
        user: &str,
        hello: &Hello<'_>,
        standing: Standing,
        now: Millis,
    ) {
        if self.conns.get(id).is_some() {
            return self.close(id, Closing::MALFORMED, now);
        }
        let key = self.book.enter(user);
        let mut devices = self.book.user(key).devices().iter();
        let other = devices.find(|device| *device.client == *hello.client);
        if let Some(other) = other.map(|device| device.conn) {
            // A hello that was delayed on its way must not push out a connection that its client
            // opened later and is using.
            let attempt = self.conns.get(other).map_or(0, |conn| conn.attempt);
            let is_late = hello.attempt != 0 && attempt > hello.attempt;
            let older = if is_late { id } else { other };
            self.effects.push(Effect::Close { conn: older, closing: Closing::REPLACED });
            if is_late {
                return;
            }
            // Not `close`: the user may have no other connection, and must stay in the book.
            self.conns.remove(other);
            let stamp = self.stamp(now);
            self.book.depart(key, other, stamp);
        }
        let resume = match hello.position {
            Position::At(epoch, seq) => Resume::At(Rc::from(epoch), seq),
            Position::Kept => Resume::Kept,
            Position::Live => Resume::Live,
        };
        let client: Rc<str> = Rc::from(hello.client);
        self.book.arrive(key, id, &client);
        let conn = Conn {
            user: key,
            name: Rc::clone(self.book.user(key).name()),
            client,
            standing,
            greeting: Some(Greeting(resume)),
            next: hello.next.unwrap_or(1),
            attempt: hello.attempt,
            cursor: Seq(0),
            written: Seq(0),
            expect: None,
            numbers: Numbers::default(),
            ring: Ring::default(),
            told_bytes: 0,
            heard: now,
            pinged: now,
            is_ready: false,
        };
        self.conns.insert(id, conn);
        if self.health != Health::Down {
            self.greet(id, now);
        }
    }

    /// Prepares the welcome; again, if what was prepared was not committed.
    pub(super) fn greet(&mut self, id: ConnId, now: Millis) {
        if self.see_to_record(id, now) == Recording::Full {
            return self.close(id, Closing::TOO_MANY_USERS, now);
        }
        // R12: the welcome waits for the commits its own client has pending, which are in a batch
        // that has changed something about the user.
        self.open.push(Release::Welcome(id));
    }

    /// Sees to it that a connection has what it needs in the book.
    fn see_to_record(&mut self, id: ConnId, now: Millis) -> Recording {
        let stamp = self.stamp(now);
        let Some(conn) = self.conns.get_mut(id) else { return Recording::Done };
        let settled = if holds(Rule::R2Next) { conn.next } else { 1 };
        if conn.standing == Standing::Guest {
            conn.numbers.settle_below(settled);
            return Recording::Done;
        }
        let (key, client) = (conn.user, Rc::clone(&conn.client));
        if !self.book.open_record(key, stamp) {
            return Recording::Full;
        }
        let kept = self.book.user(key).record().and_then(|record| record.client(&client));
        let known = kept.map(|kept| kept.numbers());
        let mut numbers = known.unwrap_or_default();
        // R2: at hello `last` becomes max(`last`, `next` - 1).
        if numbers.settle_below(settled) || known.is_none() {
            self.book.keep_numbers(key, &client, numbers, stamp);
        }
        Recording::Done
    }

    /// Says welcome, when whatever the client had pending is committed.
    pub(super) fn welcome(&mut self, id: ConnId) {
        let committed = self.book.committed();
        let Some(conn) = self.conns.get_mut(id) else { return };
        let Some(Greeting(resume)) = conn.greeting.take() else { return };
        let record = match conn.standing {
            Standing::Guest => None,
            Standing::Recorded => self.book.user(conn.user).record(),
        };
        let dropped = record.map_or(committed, |record| record.mailbox().dropped());
        // What pushes entries out may itself not be committed: a number above is not to be shown.
        let oldest = dropped.min(committed);
        let (cursor, lost) = match &resume {
            _ if record.is_none() => (committed, None),
            Resume::Live => (committed, None),
            Resume::Kept => (oldest, None),
            Resume::At(epoch, _) if holds(Rule::R8) && *epoch != self.epoch => {
                (oldest, Some(GapReason::Epoch))
            }
            Resume::At(_, seq) if *seq > committed && holds(Rule::R8) => {
                (oldest, Some(GapReason::Ahead))
            }
            Resume::At(_, seq) if *seq < oldest => (oldest, Some(GapReason::Overflow)),
            Resume::At(_, seq) => (*seq, None),
        };
        let after = if let Resume::At(_, seq) = resume { seq } else { cursor };
        let mut gap = lost.map(|reason| Gap { after, until: cursor, reason });
        let numbers = record.and_then(|record| record.client(&conn.client));
        let numbers = numbers.map_or(conn.numbers, |client| client.numbers());
        conn.cursor = cursor;
        conn.written = cursor;
        let late = if holds(Rule::WelcomeGap) { None } else { gap.take() };
        let welcome = Welcome {
            user: Rc::clone(&conn.name),
            position: record.map(|_| (Rc::clone(&self.epoch), cursor)),
            resumed: record.is_some() && lost.is_none() && matches!(resume, Resume::At(..)),
            last: numbers.known_last(),
            refused: numbers.refused().collect(),
            gap,
            ping_secs: self.limits.ping_ms / 1_000,
            message_max: self.limits.message_max_bytes,
        };
        self.tally.gaps += u64::from(lost.is_some());
        self.reply(id, Reply::Welcome(Box::new(welcome)));
        if let Some(gap) = late {
            self.reply(id, Reply::Gap(gap));
        }
        self.set_ready(id);
    }
}
