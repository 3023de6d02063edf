//! The engine's state: connections, and the lists that one tick works off.
//!
//! Everything here only changes state and queues. The [`Context`](super::Context) of a callback is
//! a view of it; the phases that call back are in the parent module.

use std::collections::VecDeque;

use log::warn;

use super::handler::{Cause, Counts, Delivery, Verdict};
use super::peer::Peer;
use super::remote::{Door, Remote};
use super::slot::{Slot, Stage};
use super::totals::Totals;
use crate::config::Limits;
use crate::hub::{ConnId, Slots};
use crate::outbox::{Frame, Outbox, Source};
use crate::protocol::{Clocks, Connection, Deadlines, Endpoint, Message, MessageKind, NEVER};
use crate::timer::{Millis, Tick, UnixMillis, Wheel};
use crate::wire::CloseCode;

/// What the event loop must do to a socket at the end of the tick.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// Send FIN: shut down the writing side.
    Shutdown(ConnId),
    /// Release the socket; the id is stale already.
    Release(ConnId),
}

#[derive(Debug)]
pub(super) struct Core {
    pub limits: Limits,
    pub deadlines: Deadlines,
    pub endpoint: Endpoint,
    pub slots: Slots<Slot>,
    pub now: Millis,
    /// The time by the calendar, which may jump.
    pub wall: UnixMillis,
    /// `now`, as [`Clocks`] keep it: rounded up.
    pub tick: Tick,
    /// The latest tick that has come: rounded down.
    pub reached: Tick,
    /// Up to where the wheels were turned.
    pub turned: Tick,
    /// The connections' deadlines.
    pub wheel: Wheel<ConnId>,
    /// The handler's timers, apart so that an entry for a connection stays small.
    pub timers: Wheel<u64>,
    dirty: VecDeque<ConnId>,
    /// Those of them that this tick's flush takes, until it has named them all.
    flushing: VecDeque<ConnId>,
    is_flushing: bool,
    /// Opened connections whose `on_close` is owed at the end of the tick.
    pub ended: Vec<ConnId>,
    /// What callbacks have decided about pending connections, to be taken up when they are over.
    pub decided: Vec<(ConnId, Verdict)>,
    /// Whether the handler has work left that it cut short.
    pub again: bool,
    /// Connections that ended while they were pending, whose `on_abandoned` is owed.
    pub abandoned: Vec<ConnId>,
    /// Connections to be released at the end of the tick.
    pub gone: Vec<ConnId>,
    pub actions: Vec<Action>,
    /// Paused connections that may be read again.
    pub resumed: Vec<ConnId>,
    /// Connections whose handler is owed `on_drained`.
    pub drained: Vec<ConnId>,
    /// Where the message lies that the handler is looking at, if what is sent on of it need not be
    /// copied, and to whom not: a read buffer lends to the connection that was read alone, for its
    /// replies leave before anything else is read.
    pub passing: Option<(Source, Option<ConnId>)>,
    pub lend_min_bytes: usize,
    /// Messages that were sent or refused since the start: the work that input has caused.
    pub sends: u64,
    /// At which count of `sends` this tick has done enough.
    pub sends_until: u64,
    /// When spare buffers are given back next; [`NEVER`] if there are few.
    trim_at: Tick,
    /// Where frames for many are encoded.
    pub scratch: Outbox,
    /// Sum of `Slot::accounted`.
    pub buffered: usize,
    pub surplus: usize,
    /// Connections at [`Door::Admin`].
    admins: usize,
    pub stopping: bool,
    /// What is counted as it happens; [`Core::totals`] adds what can be looked up.
    pub totals: Totals,
}

impl Core {
    pub fn new(mut limits: Limits) -> Core {
        // 0 asks for what the machine has, which only the event loop can find out.
        for (limit, fallback) in [
            (&mut limits.outbox_total_bytes, BUFFERED_FALLBACK_BYTES),
            (&mut limits.connections_max, CONNECTIONS_FALLBACK_MAX),
        ] {
            *limit = if *limit == 0 { fallback } else { *limit };
        }
        let mut endpoint = Endpoint::server();
        endpoint.message_max_bytes = limits.message_max_bytes;
        endpoint.message_frames_max = limits.message_frames_max;
        endpoint.deflate_min_bytes = limits.deflate_min_bytes;
        Core {
            deadlines: Deadlines {
                head_timeout_ms: limits.head_timeout_ms,
                http_idle_timeout_ms: limits.http_idle_timeout_ms,
                ping_interval_ms: limits.ping_interval_ms,
                ping_timeout_ms: limits.ping_timeout_ms,
                close_timeout_ms: limits.close_timeout_ms,
                write_timeout_ms: limits.write_timeout_ms,
            },
            limits,
            endpoint,
            slots: Slots::new(),
            now: Millis(0),
            wall: UnixMillis(0),
            tick: Tick::of(Millis(0)),
            reached: Tick::reached(Millis(0)),
            turned: NEVER,
            wheel: Wheel::new(),
            timers: Wheel::new(),
            dirty: VecDeque::new(),
            flushing: VecDeque::new(),
            is_flushing: false,
            ended: Vec::new(),
            decided: Vec::new(),
            again: false,
            abandoned: Vec::new(),
            gone: Vec::new(),
            actions: Vec::new(),
            resumed: Vec::new(),
            drained: Vec::new(),
            passing: None,
            lend_min_bytes: LEND_MIN_BYTES,
            sends: 0,
            sends_until: 0,
            trim_at: NEVER,
            scratch: Outbox::new(),
            buffered: 0,
            surplus: 0,
            admins: 0,
            stopping: false,
            totals: Totals::default(),
        }
    }

    /// Takes in a new TCP connection; `None` if even a refusal would be one too many.
    pub fn accept(&mut self, peer: Remote, door: Door) -> Option<ConnId> {
        let admitted = self.slots.len() - self.surplus;
        let full = admitted as u64 >= self.limits.connections_max;
        // However many there are, or while it stops: the operator gets to the server.
        let surplus = match door {
            Door::Public => full || self.stopping,
            Door::Admin => full && self.admins >= ADMINS_RESERVED,
        };
        if surplus && self.surplus >= SURPLUS_MAX {
            self.totals.turned_away += 1;
            return None;
        }
        self.totals.accepted += 1;
        self.surplus += usize::from(surplus);
        self.admins += usize::from(door == Door::Admin);
        let id = self.slots.insert(Slot {
            stage: Stage::Head,
            dirty: false,
            congested: false,
            refused: false,
            paused: false,
            eof: false,
            opened: false,
            surplus,
            door,
            restricted: false,
            large: false,
            connection: Connection::new(),
            outbox: Outbox::new(),
            clocks: Clocks::start(self.tick),
            wheel_at: NEVER,
            peer: Peer::from(peer),
            opened_at: self.now,
            counts: Counts::default(),
            accounted: 0,
            cold: None,
        });
        self.schedule(id);
        Some(id)
    }

    /// Forgets a connection, and what it held.
    pub fn remove(&mut self, id: ConnId) -> Option<Slot> {
        let slot = self.slots.remove(id)?;
        self.surplus -= usize::from(slot.surplus);
        self.admins -= usize::from(slot.door == Door::Admin);
        self.buffered -= slot.accounted;
        self.totals.counts.add(&slot.counts);
        Some(slot)
    }

    // ---- sending -------------------------------------------------------------------------------

    /// A message in one piece, as nearly all are: worth code of its own at each caller.
    #[inline]
    pub fn send(&mut self, to: ConnId, message: Message<'_>) -> Delivery {
        self.send_inlined(to, message.kind(), &[message.as_bytes()], Congestion::Refuses)
    }

    pub fn send_parts(&mut self, to: ConnId, kind: MessageKind, parts: &[&[u8]]) -> Delivery {
        self.send_inlined(to, kind, parts, Congestion::Refuses)
    }

    #[inline(always)]
    fn send_inlined(
        &mut self,
        to: ConnId,
        kind: MessageKind,
        parts: &[&[u8]],
        congestion: Congestion,
    ) -> Delivery {
        let len = parts.iter().map(|part| part.len()).sum();
        self.send_with(to, len, congestion, |endpoint, passing, slot| {
            let Slot { connection, outbox, .. } = slot;
            if connection.compresses() && connection.write_compressed(endpoint, kind, parts, outbox)
            {
                return;
            }
            let opcode = kind.opcode();
            match passing {
                Some((source, only)) if only.is_none_or(|only| only == to) => {
                    endpoint.pass_frame(opcode, parts, source, outbox);
                }
                _ => endpoint.write_frame(opcode, parts, outbox),
            }
        })
    }

    pub fn send_owed(&mut self, to: ConnId, kind: MessageKind, parts: &[&[u8]]) -> Delivery {
        self.send_inlined(to, kind, parts, Congestion::Ignored)
    }

    /// How many bytes are wanted for a connection now.
    pub fn room(&mut self, to: ConnId) -> usize {
        let Some(slot) = self.slots.get_mut(to) else { return 0 };
        let room = WINDOW_BYTES.saturating_sub(slot.outbox.len());
        if slot.stage != Stage::Open || slot.congested || room == 0 {
            slot.refused = true;
            return 0;
        }
        room
    }

    #[inline]
    pub fn send_frame(&mut self, to: ConnId, frame: &Frame) -> Delivery {
        self.send_encoded(to, frame, Congestion::Refuses)
    }

    pub fn send_frame_owed(&mut self, to: ConnId, frame: &Frame) -> Delivery {
        self.send_encoded(to, frame, Congestion::Ignored)
    }

    #[inline(always)]
    fn send_encoded(&mut self, to: ConnId, frame: &Frame, congestion: Congestion) -> Delivery {
        let len = frame.as_bytes().len();
        self.send_with(to, len, congestion, |endpoint, _, slot| {
            let Slot { connection, outbox, .. } = slot;
            match connection.compresses() {
                true => connection.write_for_many(endpoint, frame, outbox),
                false => endpoint.queue_frame(frame, outbox),
            }
        })
    }

    /// Queues `len` bytes by `write`, if the connection takes them now.
    #[inline]
    fn send_with(
        &mut self,
        to: ConnId,
        len: usize,
        congestion: Congestion,
        write: impl FnOnce(&Endpoint, Option<&(Source, Option<ConnId>)>, &mut Slot),
    ) -> Delivery {
        self.sends += 1;
        if self.buffered.saturating_add(len) as u64 > self.limits.outbox_total_bytes
            && let Some(refused) = self.make_room(to, len, congestion)
        {
            return refused;
        }
        let Some(slot) = self.slots.get_mut(to) else { return Delivery::Gone };
        if slot.stage != Stage::Open {
            return Delivery::Gone;
        }
        if congestion == Congestion::Refuses && slot.is_congested(self.limits.outbox_high_bytes) {
            slot.refused = true;
            self.totals.congested += 1;
            return Delivery::Congested;
        }
        let before = slot.outbox.len();
        write(&self.endpoint, self.passing.as_ref(), slot);
        slot.counts.messages_out += 1;
        let queued = slot.outbox.len() - before;
        slot.accounted += queued;
        self.buffered += queued;
        // A blocked socket says so itself when it takes bytes again.
        if !slot.dirty && slot.clocks.blocked == NEVER {
            slot.dirty = true;
            self.dirty.push_back(to);
        }
        Delivery::Queued
    }

    /// Room for `len` bytes to `to`, where the total is used up; `Some` if there can be none.
    #[cold]
    fn make_room(&mut self, to: ConnId, len: usize, congestion: Congestion) -> Option<Delivery> {
        // Judged before the total: nobody is closed to make room for what is refused anyway.
        let slot = self.slots.get_mut(to).filter(|slot| slot.stage == Stage::Open);
        let Some(slot) = slot else { return Some(Delivery::Gone) };
        let is_refused =
            congestion == Congestion::Refuses && slot.is_congested(self.limits.outbox_high_bytes);
        let fits = is_refused || self.relieve(len);
        self.totals.dropped += u64::from(!fits);
        (!fits).then_some(Delivery::Dropped)
    }

    /// Puts a connection that has something to write on the dirty list, once, and accounts for it.
    #[inline]
    pub fn mark_dirty(&mut self, id: ConnId) {
        self.account(id);
        let Some(slot) = self.slots.get_mut(id) else { return };
        // A blocked socket says so itself when it takes bytes again.
        if !slot.dirty && slot.clocks.blocked == NEVER {
            slot.dirty = true;
            self.dirty.push_back(id);
        }
    }

    /// Brings the total of buffered bytes up to date with this connection.
    #[inline]
    pub fn account(&mut self, id: ConnId) {
        let Some(slot) = self.slots.get_mut(id) else { return };
        let now = slot.holds();
        self.buffered = self.buffered - slot.accounted + now;
        slot.accounted = now;
    }

    /// Makes room for `len` bytes by closing the connections that hold most; `false` if there is
    /// none that holds anything.
    #[cold]
    pub fn relieve(&mut self, len: usize) -> bool {
        // What could never fit is no reason to close anybody.
        if len as u64 > self.limits.outbox_total_bytes {
            return false;
        }
        while self.buffered.saturating_add(len) as u64 > self.limits.outbox_total_bytes {
            let alive = self.slots.iter().filter(|(_, slot)| slot.stage != Stage::Gone);
            let largest = alive.max_by_key(|(_, slot)| slot.accounted);
            let Some((id, slot)) = largest.filter(|(_, slot)| slot.accounted > 0) else {
                return false;
            };
            warn!(
                "memory_full conn={id} peer={} closing=largest bytes={} limit={}",
                slot.peer, slot.accounted, self.limits.outbox_total_bytes
            );
            let code = CloseCode::application(4503).unwrap_or(CloseCode::TRY_AGAIN_LATER);
            self.drop_now(id, code, "too much is buffered", Cause::Overloaded);
        }
        true
    }

    // ---- flushing ------------------------------------------------------------------------------

    pub fn next_dirty(&mut self) -> Option<ConnId> {
        // What becomes dirty meanwhile has its turn in the next tick: a peer that reads as fast as
        // `on_drained` refills would keep the loop here for ever.
        if !self.is_flushing {
            std::mem::swap(&mut self.dirty, &mut self.flushing);
            self.is_flushing = true;
        }
        while let Some(id) = self.flushing.pop_front() {
            if let Some(slot) = self.slots.get_mut(id) {
                slot.dirty = false;
                // One that blocked earlier in this tick says so itself when it takes bytes again.
                if slot.stage != Stage::Gone && slot.clocks.blocked == NEVER {
                    return Some(id);
                }
            }
        }
        self.is_flushing = false;
        None
    }

    pub fn has_dirty(&self) -> bool {
        !self.dirty.is_empty() || !self.flushing.is_empty()
    }

    /// The kernel took `written` bytes of the `offered`.
    pub fn wrote(&mut self, id: ConnId, written: usize, offered: usize) {
        let (low, now) = (self.limits.outbox_low_bytes, self.tick);
        let Some(slot) = self.slots.get_mut(id) else { return };
        slot.outbox.advance_into(written, &mut self.endpoint.pool());
        slot.counts.bytes_out += written as u64;
        slot.accounted -= written;
        self.buffered -= written;
        // A blocked socket is not written to before it says that it takes bytes again: each time
        // it blocks, the deadline begins anew, for a slow reader is not a dead one.
        let blocked = written < offered;
        slot.clocks.blocked = if blocked { now } else { NEVER };
        let left = slot.outbox.len() as u64;
        if (slot.congested || slot.refused) && left <= low {
            // Nobody is told of a connection that takes nothing more: `on_close` comes last.
            if std::mem::take(&mut slot.refused) && slot.stage == Stage::Open {
                self.drained.push(id);
            }
            if std::mem::take(&mut slot.congested) && slot.paused {
                self.resumed.push(id);
            }
        }
        if left == 0 {
            slot.outbox.give_back(&mut self.endpoint.pool());
            if slot.stage == Stage::Draining {
                self.settle(id);
            }
        } else if blocked {
            self.schedule(id);
        } else {
            self.mark_dirty(id);
        }
    }

    /// The socket takes bytes again.
    pub fn writable(&mut self, id: ConnId) {
        let Some(slot) = self.slots.get_mut(id) else { return };
        if slot.clocks.blocked != NEVER {
            slot.clocks.blocked = NEVER;
            // Its TCP took something: it is alive, though we may not be reading it.
            if slot.clocks.hear(self.tick) {
                self.schedule(id);
            }
            self.mark_dirty(id);
        }
    }

    /// Each second that the pool owns much, gives back what nobody has used since the last time:
    /// what a burst needed is gone a few seconds later, and a steady load finds all of it again.
    pub fn trim(&mut self) {
        let mut pool = self.endpoint.pool();
        if self.trim_at <= self.reached {
            pool.trim();
            self.trim_at = NEVER;
        }
        if self.trim_at == NEVER && pool.bytes() > POOL_IDLE_BYTES {
            self.trim_at = self.tick.after(TRIM_INTERVAL_MS);
        }
    }

    /// When the next deadline may pass.
    pub fn next_deadline(&self) -> Option<Millis> {
        let trim = (self.trim_at != NEVER).then_some(self.trim_at);
        let next = [self.wheel.next(), self.timers.next(), trim].into_iter().flatten().min();
        next.map(Tick::millis)
    }
}

/// What it means that a connection is above high water.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Congestion {
    /// Nothing: the message is owed.
    Ignored,
    /// That it takes no message.
    Refuses,
}

/// The cap on buffered bytes where nobody knows the machine: 1 GiB.
const BUFFERED_FALLBACK_BYTES: u64 = 1 << 30;

/// The cap on connections where nobody knows the descriptor limit.
const CONNECTIONS_FALLBACK_MAX: u64 = 1_000_000;

/// Connections beyond the limit that are let in just to be told so.
const SURPLUS_MAX: usize = 32;

/// Connections at [`Door::Admin`] that are let in although there are as many as may be.
const ADMINS_RESERVED: usize = 8;

/// Spare buffers that are kept however long nothing happens.
const POOL_IDLE_BYTES: usize = 1 << 20;

const TRIM_INTERVAL_MS: u64 = 1_000;

/// What is queued to a connection that is given what it has room for: enough for the network to be
/// busy until the next tick, and little enough for ten thousand connections at once.
const WINDOW_BYTES: usize = 64 * 1024;

/// How many connections may use up their budget of sends in one tick; then each has one message
/// more, and the rest of what they say waits.
pub(super) const BUSY_PER_TICK: u64 = 16;

/// What decompressing counts for, in sends: a budget of 16,384 is used up by 1 MiB.
pub(super) const INFLATED_BYTES_PER_SEND: u64 = 64;

/// From this length on, sending a message back straight from the read buffer beats copying it.
const LEND_MIN_BYTES: usize = 8 * 1024;
