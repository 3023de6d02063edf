//! What a callback may do: the view of the engine that a [`Handler`](super::Handler) is given.

use super::core::Core;
use super::handler::{Cause, Delivery, Verdict};
use super::remote::{Door, Remote};
use super::slot::Stage;
use super::totals::Totals;
use crate::hub::ConnId;
use crate::outbox::Frame;
use crate::protocol::{Message, MessageKind};
use crate::timer::{Millis, Tick, UnixMillis};
use crate::wire::{CloseCode, Opcode};

/// What a callback may do. Every call only queues; nothing is written, and no other callback is
/// entered, before the one that runs has returned.
#[derive(Debug)]
pub struct Context<'a> {
    pub(super) core: &'a mut Core,
}

impl Context<'_> {
    /// The time of this tick.
    pub fn now(&self) -> Millis {
        self.core.now
    }

    /// The time of this tick by the calendar. It may jump, also back, when somebody sets the clock:
    /// for what is dated, not for what is waited for.
    pub fn wall(&self) -> UnixMillis {
        self.core.wall
    }

    /// How many TCP connections there are, opening and closing ones included.
    pub fn connections(&self) -> usize {
        self.core.slots.len()
    }

    /// Whether the server shuts down: nobody is let in any more, and connections are being closed.
    pub fn is_stopping(&self) -> bool {
        self.core.stopping
    }

    /// Numbers about all connections. Looks at each: for every few seconds, not for every message.
    pub fn totals(&self) -> Totals {
        self.core.totals()
    }

    /// Whether messages may be sent to the connection.
    pub fn is_open(&self, id: ConnId) -> bool {
        self.core.slots.get(id).is_some_and(|slot| slot.stage == Stage::Open)
    }

    /// Where the connection comes from; `None` if it is gone.
    pub fn peer(&self, id: ConnId) -> Option<Remote> {
        self.core.slots.get(id).map(|slot| slot.peer.remote())
    }

    /// By which kind of listener the connection came in; `None` if it is gone.
    pub fn door(&self, id: ConnId) -> Option<Door> {
        self.core.slots.get(id).map(|slot| slot.door)
    }

    /// Sends a message.
    #[inline]
    pub fn send(&mut self, to: ConnId, message: Message<'_>) -> Delivery {
        self.core.send(to, message)
    }

    /// Sends one message whose payload is `parts` in a row, without putting them together first.
    /// Parts of a text must be UTF-8 together (RFC 6455 §8.1); nothing checks it.
    #[inline]
    pub fn send_parts(&mut self, to: ConnId, kind: MessageKind, parts: &[&[u8]]) -> Delivery {
        self.core.send_parts(to, kind, parts)
    }

    /// The same for a message that the connection is owed: what is queued already is no reason to
    /// refuse it, only that the connection is gone or that the server holds as many bytes as it
    /// may. For as little as is bounded by what the peer said before.
    pub fn send_owed(&mut self, to: ConnId, kind: MessageKind, parts: &[&[u8]]) -> Delivery {
        self.core.send_owed(to, kind, parts)
    }

    /// The same for a message that is encoded already.
    pub fn send_frame_owed(&mut self, to: ConnId, frame: &Frame) -> Delivery {
        self.core.send_frame_owed(to, frame)
    }

    /// How many bytes are wanted for the connection now: what it would be unwise to queue beyond
    /// for somebody who can wait, 64 KiB at most. Where that is 0,
    /// [`Handler::on_drained`](super::Handler::on_drained) is called when more are wanted, unless
    /// the connection is gone.
    pub fn room(&mut self, to: ConnId) -> usize {
        self.core.room(to)
    }

    /// When something was last heard of the connection's peer, or its TCP took something after it
    /// had taken nothing; at most 100 ms late. `None` if it is gone.
    pub fn heard(&self, id: ConnId) -> Option<Millis> {
        self.core.slots.get(id).map(|slot| slot.clocks.heard.millis())
    }

    /// Notes that the message which is being handled causes as much work, later, as sending
    /// `sends` messages now: see
    /// [`Limits::send_budget_max`](crate::config::Limits::send_budget_max).
    pub fn owe_sends(&mut self, sends: u64) {
        self.core.sends += sends;
    }

    /// Encodes a message once, for [`send_frame`](Context::send_frame) to many.
    pub fn frame(&mut self, kind: MessageKind, parts: &[&[u8]]) -> Frame {
        let opcode = match kind {
            MessageKind::Text => Opcode::Text,
            MessageKind::Binary => Opcode::Binary,
        };
        let Core { endpoint, scratch, .. } = &mut *self.core;
        endpoint.write_frame(opcode, parts, scratch);
        let mut frame = Frame::new(scratch.front());
        scratch.advance_into(scratch.len(), &mut endpoint.pool());
        if endpoint.is_deflating() {
            frame = frame.with_encodings();
        }
        frame
    }

    /// Whether messages may be compressed for some connections: then a frame that is for many is
    /// worth remembering its [encodings](Frame::with_encodings).
    pub fn is_deflating(&self) -> bool {
        self.core.endpoint.is_deflating()
    }

    /// Sends an encoded message; all receivers share its bytes.
    #[inline]
    pub fn send_frame(&mut self, to: ConnId, frame: &Frame) -> Delivery {
        self.core.send_frame(to, frame)
    }

    /// Decides about a request whose [`Verdict`](super::Verdict) was `Pending`. It is taken up
    /// before this tick's flush, after all that was read, and `on_open` follows if the verdict is
    /// `Upgrade`.
    ///
    /// The first decision counts. It has no effect on a connection that is not pending, which is to
    /// say also on one that died meanwhile
    /// ([`on_abandoned`](super::Handler::on_abandoned) tells), and `Pending` decides nothing.
    pub fn decide(&mut self, id: ConnId, verdict: Verdict) {
        // In `on_request` it may be known already what its caller will not know before it returns.
        if self.core.slots.get(id).is_some_and(|slot| slot.stage.is_asking()) {
            self.core.decided.push((id, verdict));
        }
    }

    /// Limits the messages of a connection to `auth_message_max_bytes`, and all that is read of
    /// it from now on to 512 bytes more, until [`release`](Context::release): for those who have
    /// not said who they are. A message that is too long is answered with a Close with 1009, too
    /// many frames with one with 1008.
    pub fn restrict(&mut self, id: ConnId) {
        self.core.restrict(id);
    }

    /// Ends what [`restrict`](Context::restrict) began, also for what is read already.
    pub fn release(&mut self, id: ConnId) {
        self.core.release(id);
    }

    /// Begins the closing handshake; messages queued before it still leave. Without effect on a
    /// connection that is closing already. A reason longer than 123 bytes is cut.
    pub fn close(&mut self, id: ConnId, code: CloseCode, reason: &str) {
        self.core.close(id, code, reason, Cause::Application);
    }

    /// Asks for another tick after this one, without waiting for the network: for work that was cut
    /// short so that the others have their turn. It goes on in
    /// [`Handler::before_flush`](super::Handler::before_flush).
    pub fn tick_again(&mut self) {
        self.core.again = true;
    }

    /// Calls [`Handler::on_timer`](super::Handler::on_timer) with `key` in `after_ms`
    /// milliseconds, up to 100 ms late.
    pub fn set_timer(&mut self, after_ms: u64, key: u64) {
        let at = self.core.now.after(after_ms);
        self.core.timers.insert(Tick::due(at), key);
    }
}
