//! Ring 2: the whole server minus I/O.
//!
//! An event loop drives an [`Engine`]; a test can do it as well, with a network and a clock of its
//! own. The engine turns bytes into callbacks of a [`Handler`], and the handler's wishes into
//! bytes. One turn of the loop is a **tick**, and this is its contract:
//!
//! ```text
//!   poll -> 1 accept             Engine::begin_tick, accept
//!           2 read and deliver   Engine::space, receive, resume, end_of_input, reset
//!           3 inject             Engine::with (other threads)
//!           4 timers             Engine::run_timers
//!           5 before_flush       Engine::before_flush             decisions, the last word
//!           6 flush              Engine::next_dirty, output, wrote    one write per connection
//!           7 reap               Engine::reap                         on_close, release
//! ```
//!
//! * Nothing is written while reading. A send appends to the outbox of its destination and puts
//!   that on the dirty list once; so whatever a tick brings to a connection leaves in one write.
//!   The one exception was measured: what a connection is sent in answer to its own read leaves
//!   right after that read if it is 16 KiB or more, while the cache still has it, and messages of
//!   8 KiB and more straight from the read buffer ([`Engine::receive_and_reply`]).
//! * Steps 1, 2 and 6 have budgets: bytes read, and messages sent for what was read, per connection
//!   and per tick. What is left over waits for the next tick, without waiting for the network.
//! * **A [`Context`] call only queues; no callback is ever entered from another; closing is a mark,
//!   reaping happens at the end of the tick; `on_close` runs exactly once and last.**
//! * A connection whose outbox is above high water is not read until it is below low water; what
//!   was read already and not consumed is held.
//! * A request may be decided later ([`Verdict::Pending`], [`Context::decide`]). Until then little
//!   more is read of its connection, and that is held; the deadline of the request goes on.
//! * A panic in a callback closes the connection it was called for, and nobody else notices.
//!
//! What this ring does not know: sockets and the real time. `now` is an argument.

mod context;
mod core;
mod delivery;
mod ending;
mod handler;
mod opening;
mod peer;
mod remote;
mod requests;
mod restricted;
mod slot;
mod totals;

use std::io::IoSlice;
use std::panic::{AssertUnwindSafe, catch_unwind};

use log::{debug, error, info};

pub use self::context::Context;
pub use self::core::Action;
use self::core::{BUSY_PER_TICK, Core};
pub use self::handler::{Cause, Closed, Counts, Delivery, Farewell, Handler, Request, Verdict};
use self::peer::Peer;
pub use self::remote::{Door, Remote};
use self::slot::{Stage, Wish};
pub use self::totals::Totals;
use crate::config::Limits;
use crate::hub::ConnId;
use crate::outbox::{Outbox, Source};
use crate::protocol::NEVER;
use crate::timer::{Millis, Tick, UnixMillis};
use crate::wire::{Body, CloseCode, HandshakeError, Quoted, Response};

/// Whether a connection is to be read further.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub enum Flow {
    /// Yes, as long as there is something.
    Read,
    /// Not until [`Engine::take_resumed`] names it.
    Paused,
    /// No: it is gone.
    Gone,
}

/// Where what is read next belongs.
#[derive(Debug)]
pub enum Space<'a> {
    /// Into the shared read buffer, at most so many bytes; then [`Engine::receive`].
    ReadBuffer(usize),
    /// Here; then [`Engine::filled`].
    Message(&'a mut [u8]),
}

/// The server minus I/O; see the [module](self).
#[derive(Debug)]
pub struct Engine<H> {
    core: Core,
    handler: H,
}

impl<H: Handler> Engine<H> {
    /// An engine without connections, at time 0.
    pub fn new(limits: Limits, handler: H) -> Engine<H> {
        Engine { core: Core::new(limits), handler }
    }

    /// The application.
    pub fn handler(&self) -> &H {
        &self.handler
    }

    /// How many TCP connections there are.
    pub fn connections(&self) -> usize {
        self.core.slots.len()
    }

    /// Bytes that are held for all connections: queued output, held input, unfinished heads and
    /// messages.
    pub fn buffered(&self) -> usize {
        self.core.buffered
    }

    /// The same, counted afresh from what is there: for tests, which compare the two.
    pub fn recount(&self) -> usize {
        self.core.slots.iter().map(|(_, slot)| slot.holds()).sum()
    }

    /// Begins a tick: the one time that it has, by the clock that only goes forward and by the
    /// calendar.
    pub fn begin_tick(&mut self, now: Millis, wall: UnixMillis) {
        self.core.wall = wall;
        self.core.again = false;
        // A clock that jumps back would make deadlines overflow into the future.
        if now > self.core.now {
            self.core.now = now;
            self.core.tick = Tick::of(now);
            self.core.reached = Tick::reached(now);
        }
        let budget = self.core.limits.send_budget_max.saturating_mul(BUSY_PER_TICK);
        self.core.sends_until = self.core.sends + budget;
    }

    /// Step 1: a connection was accepted, by a listener of this kind. `None`: there is no place
    /// for it, not even for a 503; release the socket.
    pub fn accept(&mut self, peer: impl Into<Remote>, door: Door) -> Option<ConnId> {
        let peer = peer.into();
        let id = self.core.accept(peer, door)?;
        debug!("accepted conn={id} peer={peer}");
        Some(id)
    }

    /// Step 2: bytes were read. They are unmasked in place.
    pub fn receive(&mut self, id: ConnId, bytes: &mut [u8]) -> Flow {
        let now = self.core.tick;
        let Some(slot) = self.core.slots.get_mut(id) else { return Flow::Gone };
        let answers_ping = slot.clocks.hear(now);
        slot.counts.bytes_in += bytes.len() as u64;
        // One look is enough, and one that found nothing at all was none.
        slot.large = false;
        let (stage, restricted) = (slot.stage, slot.restricted);
        if answers_ping {
            self.core.schedule(id);
        }
        match restricted {
            true => self.serve_restricted(id, stage, bytes),
            false => self.serve(id, stage, bytes),
        }
        self.flow(id)
    }

    #[inline]
    fn serve(&mut self, id: ConnId, stage: Stage, bytes: &mut [u8]) {
        let served = match stage {
            Stage::Open | Stage::Closing => self.guarded(id, |engine| engine.deliver(id, bytes)),
            Stage::Head | Stage::Body | Stage::Idle => {
                self.guarded(id, |engine| engine.receive_requests(id, bytes))
            }
            Stage::Pending(_) => self.guarded(id, |engine| engine.hold(id, bytes)),
            Stage::Draining | Stage::Lingering | Stage::Gone => Some(()),
        };
        if served.is_none() {
            self.fail(id);
        }
    }

    /// Step 2: the same, and large messages that the handler sends back to the connection leave at
    /// once, straight from `bytes`: the one exception to "nothing is written while reading".
    ///
    /// `write` is called at most once. It returns how many bytes the kernel took, or `None` if the
    /// socket is broken. What it does not take is copied.
    pub fn receive_and_reply(
        &mut self,
        id: ConnId,
        bytes: &mut [u8],
        write: impl FnOnce(&[IoSlice<'_>]) -> Option<usize>,
    ) -> Flow {
        if bytes.len() < self.core.lend_min_bytes {
            return self.receive(id, bytes);
        }
        let source = Source::lent(bytes, self.core.lend_min_bytes);
        self.core.passing = Some((source, Some(id)));
        let _ = self.receive(id, bytes);
        self.core.passing = None;
        self.reply(id, bytes, write);
        self.flow(id)
    }

    fn reply(
        &mut self,
        id: ConnId,
        read_buffer: &[u8],
        write: impl FnOnce(&[IoSlice<'_>]) -> Option<usize>,
    ) {
        let Some(slot) = self.core.slots.get_mut(id) else { return };
        if !slot.outbox.is_lent() {
            return;
        }
        if slot.clocks.blocked == NEVER {
            let mut slices = [IoSlice::new(&[]); REPLY_SLICES_MAX];
            let filled = slot.outbox.io_slices_in(&mut slices, read_buffer);
            let offered = slices[..filled].iter().map(|slice| slice.len()).sum();
            match write(&slices[..filled]) {
                Some(written) => self.wrote(id, written, offered),
                None => self.reset(id),
            }
        }
        if let Some(slot) = self.core.slots.get_mut(id) {
            slot.outbox.keep_lent(read_buffer, &mut self.core.endpoint.pool());
        }
    }

    /// From which length on messages are sent back as [`receive_and_reply`] does, in bytes: a
    /// shorter one costs less to copy than a slice of the `writev`. For tests, whose messages are
    /// small.
    ///
    /// [`receive_and_reply`]: Engine::receive_and_reply
    pub fn set_lend_min_bytes(&mut self, bytes: usize) {
        self.core.lend_min_bytes = bytes;
    }

    /// Step 2: where what is read next belongs.
    ///
    /// The payload of a large message is read to where it stays; that saves the copy out of the
    /// read buffer. Its beginning does not, since nobody knows yet what comes: so where the last
    /// message was large, only a little is read to see whether another one begins.
    pub fn space(&mut self, id: ConnId) -> Space<'_> {
        let high = self.core.limits.outbox_high_bytes;
        let Some(slot) = self.core.slots.get_mut(id) else { return Space::ReadBuffer(usize::MAX) };
        // Its message would be complete before anybody asked whether its answers can be queued:
        // what is read the other way is held.
        if slot.stage != Stage::Open || slot.congested {
            return Space::ReadBuffer(slot.room());
        }
        if slot.is_congested(high) {
            return Space::ReadBuffer(usize::MAX);
        }
        match slot.connection.space(&self.core.endpoint) {
            Some(space) => {
                slot.large |= space.len() >= LARGE_MIN_BYTES;
                Space::Message(space)
            }
            None if slot.large => Space::ReadBuffer(PROBE_BYTES),
            None => Space::ReadBuffer(usize::MAX),
        }
    }

    /// Step 2: `len` bytes were read into the [`space`](Engine::space).
    pub fn filled(&mut self, id: ConnId, len: usize) -> Flow {
        let now = self.core.tick;
        let Some(slot) = self.core.slots.get_mut(id) else { return Flow::Gone };
        let answers_ping = slot.clocks.hear(now);
        slot.counts.bytes_in += len as u64;
        let step = slot.connection.filled(&self.core.endpoint, len, &mut slot.outbox);
        if answers_ping {
            self.core.schedule(id);
        }
        if self.guarded(id, |engine| engine.step(id, step, true)).is_none() {
            self.fail(id);
        }
        self.settle_account(id);
        self.flow(id)
    }

    /// Step 2, for a connection that [`take_resumed`](Engine::take_resumed) named: delivers the
    /// input that was held.
    pub fn resume(&mut self, id: ConnId) -> Flow {
        let Some(slot) = self.core.slots.get_mut(id) else { return Flow::Gone };
        slot.paused = false;
        let (stage, restricted) = (slot.stage, slot.restricted);
        let mut held = slot.take_held();
        if !held.is_empty() {
            match restricted {
                true => self.serve_restricted(id, stage, &mut held),
                false => self.serve(id, stage, &mut held),
            }
        }
        self.core.endpoint.pool().keep_buffer(held);
        self.flow(id)
    }

    /// Step 2: the peer's FIN was read. What is queued still leaves.
    pub fn end_of_input(&mut self, id: ConnId) {
        let Some(slot) = self.core.slots.get_mut(id) else { return };
        slot.eof = true;
        match slot.stage {
            Stage::Lingering => self.core.drop_now(id, CloseCode::ABNORMAL, "", Cause::Lost),
            Stage::Head | Stage::Body | Stage::Idle => self.end_if_over(id),
            Stage::Open | Stage::Closing => {
                slot.note_closed(CloseCode::ABNORMAL, "".into(), Cause::Lost);
                self.core.drain(id);
            }
            // A WebSocket is of no use to it any more, an answer is.
            Stage::Pending(Wish::Upgrade) => {
                self.core.drop_now(id, CloseCode::ABNORMAL, "", Cause::Lost);
            }
            Stage::Pending(Wish::Answer) | Stage::Gone => {}
            Stage::Draining => self.core.mark_dirty(id),
        }
    }

    /// Steps 2 and 6: the socket reported an error.
    pub fn reset(&mut self, id: ConnId) {
        self.core.drop_now(id, CloseCode::ABNORMAL, "", Cause::Lost);
    }

    /// Step 2: the socket takes bytes again.
    pub fn writable(&mut self, id: ConnId) {
        self.core.writable(id);
    }

    /// Step 3: lets somebody else speak to the handler. A panic in `call` ends with `call`.
    pub fn inject(&mut self, call: impl FnOnce(&mut H, &mut Context<'_>)) {
        self.callback(None, call);
    }

    /// Step 3: the operator means that what can be read anew should be (SIGHUP).
    pub fn hang_up(&mut self) {
        self.callback(None, |handler, cx| handler.on_hangup(cx));
    }

    /// Step 4: acts on the deadlines that have passed.
    pub fn run_timers(&mut self) {
        self.core.trim();
        if self.core.turned != self.core.reached {
            self.turn_wheels();
        }
    }

    fn turn_wheels(&mut self) {
        let now = self.core.reached;
        self.core.turned = now;
        let (mut connections, mut keys) = (Vec::new(), Vec::new());
        self.core.wheel.turn(now, &mut connections);
        for id in connections {
            self.core.expire(id);
        }
        self.core.timers.turn(now, &mut keys);
        for key in keys {
            self.callback(None, |handler, cx| handler.on_timer(cx, key));
        }
    }

    /// Step 5: what was decided about pending requests, and the handler's last word before the
    /// flush.
    pub fn before_flush(&mut self) {
        if !self.core.decided.is_empty() {
            self.take_decisions();
        }
        self.callback(None, |handler, cx| handler.before_flush(cx));
        if !self.core.decided.is_empty() {
            self.take_decisions();
        }
    }

    /// Step 6: the next connection that has something to write, each once per tick.
    pub fn next_dirty(&mut self) -> Option<ConnId> {
        self.core.next_dirty()
    }

    /// Step 6: what to write to it.
    pub fn output(&self, id: ConnId) -> Option<&Outbox> {
        self.core.slots.get(id).map(|slot| &slot.outbox)
    }

    /// Whether its socket took less than it was offered, and has not said since that it takes more.
    pub fn is_blocked(&self, id: ConnId) -> bool {
        self.core.slots.get(id).is_some_and(|slot| slot.clocks.blocked != NEVER)
    }

    /// Step 6: the kernel took `written` bytes of the `offered`. Fewer means that it takes no more
    /// until [`writable`](Engine::writable).
    pub fn wrote(&mut self, id: ConnId, written: usize, offered: usize) {
        self.core.wrote(id, written, offered);
        while let Some(id) = self.core.drained.pop() {
            self.callback(Some(id), |handler, cx| handler.on_drained(cx, id));
        }
    }

    /// Step 7: tells the handler what is over, and the event loop what to do to which socket.
    pub fn reap(&mut self, actions: &mut Vec<Action>) {
        while let Some(id) = self.core.abandoned.pop() {
            debug!("abandoned conn={id}");
            self.callback(None, |handler, cx| handler.on_abandoned(cx, id));
        }
        while let Some(id) = self.core.ended.pop() {
            let Some(slot) = self.core.slots.get(id) else { continue };
            let (closed, peer) = (slot.closed(self.core.now), slot.peer);
            self.core.totals.count_closed(closed.cause);
            self.callback(None, |handler, _| log_closed(id, handler.user(id), peer, &closed));
            self.callback(Some(id), |handler, cx| handler.on_close(cx, id, &closed));
        }
        actions.append(&mut self.core.actions);
        while let Some(id) = self.core.gone.pop() {
            if let Some(slot) = self.core.remove(id) {
                debug!("released conn={id} peer={}", slot.peer);
                actions.push(Action::Release(id));
            }
        }
    }

    /// Whether a further tick is due at once, without waiting for the network.
    pub fn has_work(&self) -> bool {
        self.core.has_dirty()
            || !self.core.resumed.is_empty()
            || !self.core.gone.is_empty()
            || !self.core.ended.is_empty()
            || !self.core.abandoned.is_empty()
            || !self.core.decided.is_empty()
            || self.core.again
    }

    /// When the next deadline may pass.
    pub fn next_deadline(&self) -> Option<Millis> {
        self.core.next_deadline()
    }

    /// Names the connections to be read again: first [`resume`](Engine::resume), then the socket.
    pub fn take_resumed(&mut self, into: &mut Vec<ConnId>) {
        into.append(&mut self.core.resumed);
    }

    /// Whether nobody is left, but for those at [`Door::Admin`] who ask nothing: after
    /// [`shut_down`](Engine::shut_down) there is nothing to wait for then.
    pub fn is_drained(&self) -> bool {
        self.core.slots.iter().all(|(_, slot)| slot.door == Door::Admin && slot.is_waiting())
    }

    /// Closes every connection with 1001 and lets nobody in any more by [`Door::Public`].
    pub fn shut_down(&mut self) {
        self.core.stopping = true;
        let all: Vec<ConnId> = self.core.slots.iter().map(|(id, _)| id).collect();
        for id in all {
            match self.core.slots.get(id).map(|slot| slot.stage) {
                Some(Stage::Open) => self.say_farewell(id),
                Some(Stage::Head | Stage::Body) if !self.core.may_finish(id) => {
                    self.core.drop_now(id, CloseCode::GOING_AWAY, "", Cause::Shutdown);
                }
                // Requests that are there already are answered; the last answer ends it.
                Some(Stage::Idle) if !self.core.may_finish(id) => self.core.drain(id),
                // What an answer tells may have been done already: it is still waited for.
                Some(Stage::Pending(Wish::Upgrade)) => {
                    self.core.refuse(id, HandshakeError::Undecided);
                }
                _ => {}
            }
        }
    }

    fn say_farewell(&mut self, id: ConnId) {
        let mut farewell = Farewell::Close;
        self.callback(Some(id), |handler, cx| farewell = handler.on_stopping(cx, id));
        if farewell == Farewell::Close {
            let reason = "server is shutting down";
            self.core.close(id, CloseCode::GOING_AWAY, reason, Cause::Shutdown);
        }
    }

    /// Whether the connection is to be read now.
    pub fn flow(&self, id: ConnId) -> Flow {
        match self.core.slots.get(id) {
            None => Flow::Gone,
            Some(slot) if slot.stage == Stage::Gone => Flow::Gone,
            Some(slot) if slot.paused => Flow::Paused,
            Some(_) => Flow::Read,
        }
    }

    // ---- panics --------------------------------------------------------------------------------

    /// Runs something that calls back; `None` if it panicked, which the panic hook has reported
    /// with its place.
    fn guarded<R>(&mut self, id: ConnId, call: impl FnOnce(&mut Self) -> R) -> Option<R> {
        // The engine's own state is changed by small steps that do not panic; what the handler
        // makes of its state after a panic is the handler's.
        match catch_unwind(AssertUnwindSafe(|| call(self))) {
            Ok(value) => Some(value),
            Err(_) => {
                self.core.passing = None;
                error!("panicked conn={id} closing=1011");
                None
            }
        }
    }

    fn callback(&mut self, id: Option<ConnId>, call: impl FnOnce(&mut H, &mut Context<'_>)) {
        let handler = &mut self.handler;
        let mut cx = Context { core: &mut self.core };
        if catch_unwind(AssertUnwindSafe(|| call(handler, &mut cx))).is_err() {
            let Some(id) = id else { return error!("panicked callback") };
            error!("panicked conn={id} closing=1011");
            self.fail(id);
        }
    }

    /// Ends the connection for which a callback panicked: 1011, or 500 if it is not open yet.
    fn fail(&mut self, id: ConnId) {
        if self.core.slots.get(id).is_some_and(|slot| slot.stage.is_asking()) {
            let response = Response::text(500, "internal error");
            return self.core.respond(id, &response, Body::Included);
        }
        self.core.abort(id, CloseCode::INTERNAL_ERROR, "internal error", Cause::Panicked);
    }
}

fn log_closed(id: ConnId, user: Option<&str>, peer: Peer, closed: &Closed) {
    let Counts { messages_in, messages_out, bytes_in, bytes_out } = closed.counts;
    info!(
        "closed conn={id} peer={peer} user={} code={} reason={} cause={} duration_ms={} \
         messages_in={messages_in} messages_out={messages_out} bytes_in={bytes_in} \
         bytes_out={bytes_out}",
        Quoted(user.unwrap_or("-").as_bytes()),
        closed.code.as_u16(),
        Quoted(closed.reason.as_bytes()),
        closed.cause,
        closed.lasted_ms,
    );
}

/// Two slices a message, header and payload: as many messages as a read buffer has of them.
const REPLY_SLICES_MAX: usize = 128;

/// A message of which so much is still to come is worth a look whether another one begins. One of
/// 64 KiB, cut by chance, is not: most of its kind lie whole in a read.
const LARGE_MIN_BYTES: usize = 128 * 1024;

/// What is read to see whether a large message begins.
const PROBE_BYTES: usize = 16 * 1024;
