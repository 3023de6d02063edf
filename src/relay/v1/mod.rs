//! Sessions: the dialect switchboard.v1, as a machine without input and output.
//!
//! ```text
//!   frames, events            Sessions                                   effects
//!   hello, frame, ack --->  gate: is this id its turn?                ---> replies, in order of id
//!                           post: whose logs, whose connections?
//!   flush -------------->   batch ----------> Store
//!   committed, failed -->   releases <-------'                        ---> answers, live messages
//!   next_ready, pump ---->  cursor -> log -> up to what is committed  ---> deliveries
//! ```
//!
//! A connection is a cursor into the log of its user. Whatever a frame causes is noted in the
//! batch that is being collected, and what is to be said about it is *held back* with that batch:
//! answers, welcomes, live messages, receipts leave when the batch is committed, in their order; if
//! it fails they never happened, and the clients are asked to send again (R12).
//!
//! The driver calls [`Sessions::frame`] and the other inputs as things happen, once per tick
//! [`Sessions::flush`], then pumps every connection that [`Sessions::next_ready`] names, and
//! carries out the [`Effect`]s in order.
//!
//! This module does not know sockets, JSON beyond [`Frame`] and [`Reply`], or who may do what: the
//! driver brings a [`Ruling`] with each frame. Time is an argument.

mod commit;
mod counts;
mod delivery;
mod effect;
mod frame;
mod greeting;
mod numbering;
mod posting;
mod reply;
mod ring;
pub(crate) mod rules;
mod upkeep;

#[cfg(test)]
mod example_tests;
#[cfg(test)]
mod limit_tests;
#[cfg(test)]
mod model;
#[cfg(test)]
mod talk_tests;
#[cfg(test)]
mod text_tests;

use std::collections::VecDeque;
use std::rc::Rc;

pub use self::counts::SessionCounts;
pub use self::delivery::Pumped;
pub use self::effect::{Closing, Effect, Posted};
pub use self::frame::{Destination, Frame, Hello, Life, Outgoing, Position, Unreadable};
pub use self::numbering::{Ruling, Sight};
pub use self::posting::{Copies, PlainSender, Push};
pub use self::reply::{Facts, Gap, GapReason, Logged, Refused, Reply, Welcome};

use self::commit::{InFlight, Release};
use self::counts::Tally;
use self::greeting::Greeting;
use self::ring::Ring;
use super::log::{Book, Joining, LogLimits, Numbers, Seq, Stamp, Store, Stored, UserKey};
use crate::hub::{ConnId, ConnMap};
use crate::timer::Millis;

/// What the sessions are told at the start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SessionLimits {
    /// The limits of the logs.
    pub log: LogLimits,
    /// A connection is pinged after this much silence.
    pub ping_ms: u64,
    /// A connection of which nothing was heard and which took nothing for this long is closed.
    pub silence_max_ms: u64,
    /// How long a client waits that was refused for now.
    pub retry_ms: u64,
    /// What waits on one connection without being logged, in bytes.
    pub ring_max_bytes: u64,
    /// How many answers and messages may wait for commits; beyond that, all are refused for now.
    pub held_max: usize,
    /// The longest message, which the welcome names.
    pub message_max_bytes: u64,
}

impl Default for SessionLimits {
    fn default() -> SessionLimits {
        SessionLimits {
            log: LogLimits::default(),
            ping_ms: 25_000,
            silence_max_ms: 45_000,
            retry_ms: 500,
            ring_max_bytes: 64 << 10,
            held_max: 100_000,
            message_max_bytes: 1 << 20,
        }
    }
}

/// Whether a record is kept for whoever says hello.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// It is not: the name is good for this connection only.
    Guest,
    /// It is.
    Recorded,
}

/// All connections of the dialect, and the logs they read from.
#[derive(Debug)]
pub struct Sessions<S> {
    book: Book<S>,
    conns: ConnMap<Conn>,
    epoch: Rc<str>,
    limits: SessionLimits,
    /// What the wall said when the monotonic clock said 0, or later.
    started: Stamp,
    /// What waits for the batch that is being collected.
    open: Vec<Release>,
    in_flight: VecDeque<InFlight>,
    /// How much waits for the batches in flight.
    held: usize,
    /// An empty list with room.
    spare: Vec<Release>,
    health: Health,
    is_draining: bool,
    /// Connections that may have something to read.
    ready: VecDeque<ConnId>,
    effects: Vec<Effect>,
    /// Where the members of a group are listed while their logs change.
    everybody: Vec<UserKey>,
    /// How many users messages to groups have gone to.
    fanned_out: u64,
    tally: Tally,
}

/// Whether numbered frames are taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Health {
    /// They are refused for now: the server is about to stop.
    Draining,
    /// They are refused for now: the store has not said yet what it has.
    Down,
    /// They are taken.
    Up,
}

/// One connection.
#[derive(Debug)]
struct Conn {
    user: UserKey,
    name: Rc<str>,
    client: Rc<str>,
    standing: Standing,
    /// What it said, until it is welcome.
    greeting: Option<Greeting>,
    /// The lowest id it may send, by its hello.
    next: u64,
    /// Which attempt of its client to connect it is, by its hello.
    attempt: u64,
    /// Up to here the log has been passed.
    cursor: Seq,
    /// The highest seq it has been told.
    written: Seq,
    /// After a temporary refusal: the id from which it is to send again.
    expect: Option<u64>,
    /// What was decided of a guest's frames.
    numbers: Numbers,
    ring: Ring,
    /// What the answers to its questions take that have not left.
    told_bytes: u64,
    heard: Millis,
    pinged: Millis,
    is_ready: bool,
}

impl<S: Store> Sessions<S> {
    /// Sessions on what the store has kept. `started` is the wall's time when the monotonic clock
    /// said 0; `epoch` is at least 64 random bits as text that needs no escaping.
    // R8: when a new epoch is due is known to whoever opens the store.
    pub fn new(
        store: S,
        stored: Stored,
        epoch: &str,
        started: Stamp,
        limits: SessionLimits,
    ) -> Sessions<S> {
        // Time is never before the newest stored stamp, or entries would seem to be younger.
        let started = started.max(stored.server.stamp);
        Sessions {
            book: Book::new(store, limits.log, stored),
            conns: ConnMap::new(),
            epoch: Rc::from(epoch),
            limits,
            started,
            open: Vec::new(),
            in_flight: VecDeque::new(),
            held: 0,
            spare: Vec::new(),
            health: Health::Up,
            is_draining: false,
            ready: VecDeque::new(),
            effects: Vec::new(),
            everybody: Vec::new(),
            fanned_out: 0,
            tally: Tally::default(),
        }
    }

    /// Says what the wall says when the monotonic clock says 0, for a driver that did not know it
    /// when it made the sessions: before anything else happens.
    pub fn start(&mut self, started: Stamp) {
        self.started = self.started.max(started);
    }

    /// Exchanges what is to be done, in order, for an empty list with room.
    pub fn swap_effects(&mut self, with: &mut Vec<Effect>) {
        std::mem::swap(&mut self.effects, with);
    }

    /// How much is to be done.
    pub fn pending(&self) -> usize {
        self.effects.len()
    }

    /// What is to be done, in order; empty afterwards.
    pub fn effects(&mut self) -> std::vec::Drain<'_, Effect> {
        self.effects.drain(..)
    }

    /// The logs.
    pub fn book(&self) -> &Book<S> {
        &self.book
    }

    /// The store, to be spoken to.
    pub fn store_mut(&mut self) -> &mut S {
        self.book.store_mut()
    }

    /// How many users messages to groups have gone to since the start: a measure of the work that
    /// a frame has caused.
    pub fn fanned_out(&self) -> u64 {
        self.fanned_out
    }

    /// Takes a frame from a connection that has said hello, with what the driver decided about it.
    /// Questions are for [`ask`](Sessions::ask), and have no effect here.
    /// Frames of connections that are unknown here, because they were replaced, have no effect.
    pub fn frame(&mut self, from: ConnId, frame: &Frame<'_>, ruling: Ruling, now: Millis) {
        let Some(conn) = self.conns.get_mut(from) else { return };
        conn.heard = now;
        match frame {
            Frame::Ack(seq) => self.acknowledge(from, *seq),
            // The first frame is a hello, and no other is.
            Frame::Hello(_) => self.close(from, Closing::MALFORMED, now),
            Frame::Join { id, group, groups_max, .. } => {
                self.join(from, *id, (group, *groups_max), ruling, now);
            }
            Frame::Leave { id, group } => self.leave(from, *id, group, ruling, now),
            // What is not known here is asked of the driver: see `ask`.
            Frame::Members { .. } | Frame::Presence { .. } => {}
            Frame::Message(outgoing) => self.message(from, outgoing, ruling, now),
            Frame::Ping { id } => self.ping(from, *id, ruling, now),
        }
    }

    /// Takes a frame that could not be read.
    pub fn unreadable(&mut self, from: ConnId, unreadable: Unreadable, now: Millis) {
        let Some(conn) = self.conns.get_mut(from) else { return };
        conn.heard = now;
        match unreadable {
            Unreadable::Close(closing) => self.close(from, closing, now),
            Unreadable::Refuse { id, refused } => {
                self.ping(from, id, Ruling::Refused(refused), now);
            }
        }
    }

    /// A connection is gone.
    pub fn closed(&mut self, id: ConnId, now: Millis) {
        let Some(conn) = self.conns.remove(id) else { return };
        self.book.depart(conn.user, id, self.stamp(now));
        self.book.forget_idle(conn.user);
    }

    /// How many plain connections a user has now. With none, and nothing kept, the user is not
    /// known here.
    pub fn plain_connections(&mut self, user: &str, count: u32, now: Millis) {
        let stamp = self.stamp(now);
        let key = self.book.enter(user);
        self.book.set_plain(key, count, stamp);
        self.book.forget_idle(key);
    }

    /// A user who is known here is a member of a group for as long as some connection of the
    /// user's is here. Nothing happens to others.
    pub fn enroll(&mut self, user: &str, group: &str) {
        if let Some(key) = self.book.find(user) {
            self.book.enroll(key, group);
        }
    }

    /// A user is no member of a group any more, by whomever it was made one; of a membership that
    /// is kept the store knows when the next batch is committed.
    ///
    /// # Errors
    ///
    /// Why one that is kept cannot be ended now.
    pub fn strike(&mut self, user: &str, group: &str) -> Result<(), Refused> {
        let Some(key) = self.book.find(user) else { return Ok(()) };
        if self.book.is_kept(key, group) {
            self.check_up()?;
        }
        self.book.leave(key, group);
        Ok(())
    }

    /// The same by the will of a user who speaks plain, who is told by [`Effect::Unsent`] if it was
    /// not committed in the end.
    ///
    /// # Errors
    ///
    /// Why it cannot be ended now.
    pub fn leave_plain(&mut self, conn: ConnId, user: &str, group: &str) -> Result<(), Refused> {
        let key = self.book.find(user);
        let is_kept = key.is_some_and(|key| self.book.is_kept(key, group));
        self.strike(user, group)?;
        if is_kept {
            self.open.push(Release::PlainUnsent(conn));
        }
        Ok(())
    }

    /// A user has a record from now on, and is a member of a group until `leave`, or
    /// [`strike`](Sessions::strike); when the next batch is committed, the store knows it, too.
    ///
    /// # Errors
    ///
    /// What there is as much of as there may be, or why nothing is taken now.
    pub fn grant(&mut self, user: &str, group: &str, now: Millis) -> Result<(), Refused> {
        self.check_up()?;
        let known = self.book.find(user);
        if !known.is_some_and(|key| self.book.is_kept(key, group))
            && self.book.kept() >= self.book.limits().memberships_max
        {
            return Err(Refused::MEMBERSHIPS_FULL);
        }
        let stamp = self.stamp(now);
        let key = self.book.enter(user);
        let outcome = match self.book.open_record(key, stamp) {
            false => Err(Refused::TOO_MANY_USERS),
            true => joined(self.book.join(key, group, usize::MAX)),
        };
        self.book.forget_idle(key);
        outcome
    }

    /// Sees to it that a user has a record; nothing happens if there are as many as there may be,
    /// or if nothing is taken now.
    pub fn keep(&mut self, user: &str, now: Millis) {
        if self.health != Health::Up {
            return;
        }
        let stamp = self.stamp(now);
        let key = self.book.enter(user);
        self.book.open_record(key, stamp);
        self.book.forget_idle(key);
    }

    /// Closes a connection, and knows it no more.
    fn close(&mut self, id: ConnId, closing: Closing, now: Millis) {
        self.effects.push(Effect::Close { conn: id, closing });
        self.closed(id, now);
    }

    fn reply(&mut self, to: ConnId, reply: Reply) {
        self.effects.push(Effect::Reply { to, reply });
    }

    fn refuse(&mut self, to: ConnId, refused: Refused) {
        self.reply(to, Reply::Error { id: None, refused });
    }

    /// A moment as it is written down.
    pub fn stamp(&self, now: Millis) -> Stamp {
        self.started.after(now.0)
    }
}

/// What a wish to be a member comes to.
fn joined(joining: Joining) -> Result<(), Refused> {
    match joining {
        Joining::Full => Err(Refused::MEMBERSHIPS_FULL),
        Joining::Joined => Ok(()),
        Joining::TooMany => Err(Refused::TOO_MANY_GROUPS),
    }
}
