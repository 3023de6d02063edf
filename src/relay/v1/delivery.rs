//! Delivery: from the log to a connection, as far as it takes it.
//!
//! ```text
//!   log of alice   [57]  [58]  [60]  [61]        committed = 60
//!                    ^cursor      ^ as far as pump goes
//!   room for one more: 58 leaves, the cursor moves; the next pump goes on from there
//! ```
//!
//! A slow reader needs no queue of its own: its cursor waits. If the log moves past it, it is told
//! what it may have missed and goes on behind that (R7).
//!
//! This module does not know how much room there is, nor who measures it.

use std::collections::VecDeque;

use super::effect::Effect;
use super::reply::{Gap, GapReason, Reply};
use super::rules::{Rule, holds};
use super::{Conn, Sessions, Standing};
use crate::hub::ConnId;
use crate::relay::log::{Book, Entry, Seq, Store, UserKey};

/// How a connection stands after it was pumped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub enum Pumped {
    /// It has everything.
    Done,
    /// There is more: to be pumped again when it has room.
    More,
}

/// What comes next on a connection.
enum Next {
    Dropped(u64),
    Gap(Gap),
    Live(Entry),
    Logged(Entry),
    Nothing,
    /// An entry the client itself sent.
    Own(Seq),
}

impl<S: Store> Sessions<S> {
    /// The next connection that may have something to read.
    pub fn next_ready(&mut self) -> Option<ConnId> {
        let id = self.ready.pop_front()?;
        if let Some(conn) = self.conns.get_mut(id) {
            conn.is_ready = false;
        }
        Some(id)
    }

    /// Sends a connection what it has not got, until `room` bytes are used up; the last frame may
    /// go beyond, so that one that is longer than all room there ever is still leaves.
    pub fn pump(&mut self, id: ConnId, mut room: usize) -> Pumped {
        let Some(conn) = self.conns.get_mut(id) else { return Pumped::Done };
        if let Some(pumped) = pump_log(&self.book, id, conn, room, &mut self.effects) {
            return pumped;
        }
        loop {
            let Some(conn) = self.conns.get_mut(id) else { return Pumped::Done };
            if conn.greeting.is_some() {
                return Pumped::Done;
            }
            let next = next(&self.book, conn);
            if matches!(next, Next::Nothing) {
                // Gaps in the numbers are normal: there is nothing more for this user below.
                conn.cursor = conn.cursor.max(self.book.committed());
                return Pumped::Done;
            }
            if let Next::Own(seq) = next {
                conn.cursor = seq;
                continue;
            }
            if room == 0 {
                conn.restore(next);
                return Pumped::More;
            }
            let len = match &next {
                Next::Live(entry) | Next::Logged(entry) => entry.frame_len(),
                _ => REPLY_LEN,
            };
            room = room.saturating_sub(len);
            self.send(id, next);
        }
    }

    fn send(&mut self, to: ConnId, next: Next) {
        let Some(conn) = self.conns.get_mut(to) else { return };
        if matches!(next, Next::Dropped(_) | Next::Gap(_)) {
            self.tally.gaps += 1;
        }
        match next {
            Next::Dropped(count) => self.reply(to, Reply::Dropped(count)),
            Next::Gap(gap) => {
                conn.cursor = gap.until;
                conn.written = gap.until;
                if holds(Rule::R7) {
                    self.reply(to, Reply::Gap(gap));
                }
            }
            Next::Live(entry) => self.effects.push(Effect::Deliver { to, entry }),
            Next::Logged(entry) => {
                conn.cursor = entry.seq();
                conn.written = entry.seq();
                self.effects.push(Effect::Deliver { to, entry });
            }
            Next::Nothing | Next::Own(_) => {}
        }
    }

    /// An unlogged message may go, behind what was logged before it.
    pub(super) fn live_released(&mut self, to: ConnId, after: Seq, entry: Entry) {
        let bytes_max = self.limits.ring_max_bytes;
        let Some(conn) = self.conns.get_mut(to) else { return };
        conn.ring.push(after, entry, bytes_max);
        self.set_ready(to);
    }

    /// Those connections of a user that stand below the newest entry may have something to read.
    pub(super) fn wake(&mut self, key: UserKey) {
        let user = self.book.user(key);
        // What a batch changed may be the numbers of a sender alone, and then nobody is to read.
        let Some(newest) = user.record().map(|record| record.mailbox().newest()) else { return };
        for device in user.devices() {
            if let Some(conn) = self.conns.get_mut(device.conn)
                && conn.cursor < newest
            {
                conn.set_ready(device.conn, &mut self.ready);
            }
        }
    }

    /// A connection that was pumped, and has room again, may have something to read.
    pub fn set_ready(&mut self, id: ConnId) {
        if let Some(conn) = self.conns.get_mut(id) {
            conn.set_ready(id, &mut self.ready);
        }
    }
}

impl Conn {
    fn set_ready(&mut self, id: ConnId, ready: &mut VecDeque<ConnId>) {
        if !self.is_ready && self.greeting.is_none() {
            self.is_ready = true;
            ready.push_back(id);
        }
    }

    /// There was no room for it after all.
    fn restore(&mut self, next: Next) {
        match next {
            Next::Live(entry) => self.ring.unpop(self.cursor, entry),
            Next::Dropped(count) => self.ring.undrop(count),
            Next::Gap(_) | Next::Logged(_) | Next::Nothing | Next::Own(_) => {}
        }
    }
}

/// The usual: there is nothing but the log to read from, and the cursor stands in it. `None` if
/// there is something else, and nothing was done.
fn pump_log<S: Store>(
    book: &Book<S>,
    to: ConnId,
    conn: &mut Conn,
    mut room: usize,
    effects: &mut Vec<Effect>,
) -> Option<Pumped> {
    let committed = book.committed();
    let is_usual = conn.standing == Standing::Recorded
        && conn.greeting.is_none()
        && conn.ring.is_idle()
        && holds(Rule::R7);
    let mailbox = book.user(conn.user).record().filter(|_| is_usual)?.mailbox();
    if mailbox.dropped().min(committed) > conn.cursor {
        return None;
    }
    for entry in mailbox.above(conn.cursor) {
        let seq = entry.seq();
        if seq > committed {
            break;
        }
        // R11: the client that sent it is skipped, on resume too.
        if !entry.is_own(&conn.name, &conn.client) {
            if room == 0 {
                return Some(Pumped::More);
            }
            room = room.saturating_sub(entry.frame_len());
            conn.written = seq;
            effects.push(Effect::Deliver { to, entry: entry.clone() });
        }
        conn.cursor = seq;
    }
    // Gaps in the numbers are normal: there is nothing more for this user below.
    conn.cursor = conn.cursor.max(committed);
    Some(Pumped::Done)
}

fn next<S: Store>(book: &Book<S>, conn: &mut Conn) -> Next {
    let committed = book.committed();
    let record = match conn.standing {
        Standing::Guest => None,
        Standing::Recorded => book.user(conn.user).record(),
    };
    let mailbox = record.map(|record| record.mailbox());
    // R7: what was discarded above the cursor is announced. What discarded it may not be
    // committed, and may come to nothing: then more was announced than was lost.
    let dropped = mailbox.map_or(Seq(0), |mailbox| mailbox.dropped()).min(committed);
    if dropped > conn.cursor {
        let (after, until) = (conn.cursor, dropped);
        return Next::Gap(Gap { after, until, reason: GapReason::Overflow });
    }
    let logged = mailbox.and_then(|mailbox| mailbox.next(conn.cursor));
    let logged = logged.filter(|entry| entry.seq() <= committed);
    // R13: an unlogged message waits for what was logged before it, and not for what came later.
    if !conn.ring.is_idle() {
        let written = logged.map_or(committed, |entry| Seq(entry.seq().0 - 1));
        if let Some(entry) = conn.ring.pop(written) {
            return Next::Live(entry);
        }
    }
    match logged {
        // R11: the client that sent it is skipped, on resume too.
        Some(entry) if entry.is_own(&conn.name, &conn.client) => Next::Own(entry.seq()),
        Some(entry) => Next::Logged(entry.clone()),
        None => conn.ring.take_dropped().map_or(Next::Nothing, Next::Dropped),
    }
}

/// What a reply counts against the room: none is longer by much.
const REPLY_LEN: usize = 64;
