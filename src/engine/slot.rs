//! One connection, as the engine keeps it: ten thousand of these lie in the slab.
//!
//! ```text
//!   Head --> Body --> Pending    the handler decides later
//!    ^ |      |          |
//!    | +------+----------+
//!    |        +----------101-----> Open ----our Close----> Closing
//!   Idle <----+ answered, and      | peer's Close or FIN,   | peer's Close or FIN
//!             | another may follow v a broken rule, a panic v
//!             +-------------> Draining ---all written, our FIN---> Lingering --peer's FIN--> Gone
//! ```
//!
//! A reset, or a deadline that passes, leads to `Gone` from anywhere; a ping without an answer to
//! `Draining`, as a broken rule does.
//!
//! What this file does not know: other connections.

use std::borrow::Cow;

use super::handler::{Cause, Closed, Counts};
use super::peer::Peer;
use super::remote::Door;
use crate::outbox::{Buffer, CHUNK_MAX_BYTES, Outbox, Pool};
use crate::protocol::{Clocks, Connection, Deadline, Deadlines, Phase};
use crate::timer::{Millis, Tick};
use crate::wire::{BodyDecoder, CloseCode, HeadScanner};

/// One connection.
#[derive(Debug)]
pub(super) struct Slot {
    pub stage: Stage,
    /// On the dirty list.
    pub dirty: bool,
    /// Above high water, and not below low water since.
    pub congested: bool,
    /// Refused something while congested: the handler waits for `on_drained`.
    pub refused: bool,
    /// Not read until it is resumed. Invariant: only a paused or pending connection holds input, so
    /// that nothing is delivered before what was read earlier.
    pub paused: bool,
    /// The peer's FIN was read.
    pub eof: bool,
    /// `on_open` was called, so `on_close` is owed.
    pub opened: bool,
    /// One too many: its request will be answered 503.
    pub surplus: bool,
    /// By which kind of listener it came in.
    pub door: Door,
    /// Its messages are limited to `auth_message_max_bytes`, and what is read to a little more.
    pub restricted: bool,
    /// Its last message was large; so will the next one be, as a rule.
    pub large: bool,
    pub connection: Connection,
    pub outbox: Outbox,
    pub clocks: Clocks,
    /// The earliest entry in the wheel.
    pub wheel_at: Tick,
    pub peer: Peer,
    /// When it was accepted, and then when it was opened.
    pub opened_at: Millis,
    pub counts: Counts,
    /// What counts against the total: outbox, held input, the head or message being collected.
    pub accounted: usize,
    pub cold: Option<Box<Cold>>,
}

impl Slot {
    #[inline]
    pub fn is_congested(&mut self, high: u64) -> bool {
        if self.outbox.len() as u64 >= high {
            self.congested = true;
        }
        self.congested
    }

    /// Bytes that are held for it: queued output, held input, an unfinished head or message.
    #[inline]
    pub fn holds(&self) -> usize {
        let held = self.cold.as_ref().map_or(0, |cold| cold.holds());
        self.outbox.len() + self.connection.collected() + held
    }

    pub fn cold(&mut self) -> &mut Cold {
        self.cold.get_or_insert_default()
    }

    /// Holds input that is not to be consumed yet.
    pub fn hold(&mut self, input: &[u8], pool: &mut Pool) {
        let held = &mut self.cold().held;
        if held.capacity() == 0 && input.len() >= CHUNK_MAX_BYTES {
            *held = pool.take_buffer(input.len());
        }
        held.extend_from_slice(input);
    }

    /// Whether it has neither begun a request nor is one being answered.
    pub fn is_waiting(&self) -> bool {
        match self.stage {
            Stage::Head => self.cold.as_ref().is_none_or(|cold| cold.head.is_empty()),
            Stage::Idle => self.outbox.is_empty() && self.cold.is_none(),
            Stage::Lingering | Stage::Gone => true,
            _ => false,
        }
    }

    /// How much is to be read at once, if it is not for an open connection. Of a pending one no
    /// more than is to be held.
    pub fn room(&self) -> usize {
        match (self.stage, &self.cold) {
            (Stage::Pending(_), Some(cold)) => {
                HELD_MAX_BYTES.saturating_sub(cold.held.len()).max(1)
            }
            _ => usize::MAX,
        }
    }

    /// Takes out the input that was held, and with it the box, if nothing else is in it.
    pub fn take_held(&mut self) -> Buffer {
        let Some(cold) = &mut self.cold else { return Buffer::new() };
        let held = std::mem::take(&mut cold.held);
        self.drop_bare();
        held
    }

    /// Gives the box back if nothing is in it.
    pub fn drop_bare(&mut self) {
        let is_bare = |cold: &Cold| {
            cold.head.is_empty()
                && cold.held.is_empty()
                && cold.decoder.is_none()
                && cold.closed.is_none()
        };
        if !self.restricted
            && matches!(self.stage, Stage::Open | Stage::Idle)
            && self.cold.as_deref().is_some_and(is_bare)
        {
            self.cold = None;
        }
    }

    /// The first reason counts: what follows from it is no reason.
    pub fn note_closed(&mut self, code: CloseCode, reason: Cow<'static, str>, cause: Cause) {
        let cold = self.cold();
        if cold.closed.is_none() {
            cold.closed = Some((code, reason, cause));
        }
    }

    pub fn closed(&self, now: Millis) -> Closed {
        let noted = self.cold.as_ref().and_then(|cold| cold.closed.clone());
        let (code, reason, cause) =
            noted.unwrap_or((CloseCode::ABNORMAL, Cow::Borrowed(""), Cause::Lost));
        let lasted_ms = now.since(self.opened_at);
        Closed { code, reason, cause, counts: self.counts, lasted_ms }
    }

    pub fn deadline(&self, deadlines: &Deadlines) -> Option<(Tick, Deadline)> {
        let phase = match self.stage {
            Stage::Head | Stage::Body | Stage::Pending(_) => Phase::Head,
            Stage::Idle => Phase::Idle,
            Stage::Open => Phase::Open,
            Stage::Closing | Stage::Draining | Stage::Lingering => Phase::Closing,
            Stage::Gone => return None,
        };
        self.clocks.next(phase, deadlines)
    }
}

/// What few connections have at any time.
#[derive(Debug, Default)]
pub(super) struct Cold {
    /// The request head so far, if it did not come in one read; or all of it, while the handler
    /// decides.
    pub head: Vec<u8>,
    pub scanner: HeadScanner,
    /// The request body so far.
    pub body: Vec<u8>,
    pub decoder: Option<BodyDecoder>,
    /// Input that a paused or pending connection has not consumed.
    pub held: Buffer,
    /// Up to which byte it is read as long as it is restricted.
    pub restricted_until: u64,
    /// How the connection ended.
    pub closed: Option<(CloseCode, Cow<'static, str>, Cause)>,
}

impl Cold {
    fn holds(&self) -> usize {
        self.head.len() + self.body.len() + self.held.len()
    }

    /// Forgets what is not to be worked off any more.
    pub fn clear(&mut self) {
        (self.head, self.body, self.held) = (Vec::new(), Vec::new(), Buffer::new());
    }
}

/// What a client asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Wish {
    /// An answer in HTTP.
    Answer,
    /// A WebSocket.
    Upgrade,
}

/// The life of a connection from accept to the release of its descriptor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stage {
    /// The request head is not complete.
    Head,
    /// The request body is not complete.
    Body,
    /// The request is complete, and the handler has not decided yet.
    Pending(Wish),
    /// The request was answered, and the next one has not begun.
    Idle,
    /// WebSocket messages flow.
    Open,
    /// Our Close is queued or sent; the peer's is to come.
    Closing,
    /// Nothing is read any more; what is queued is being written.
    Draining,
    /// All is written and FIN is sent; the peer's FIN is to come. What arrives is discarded, for
    /// closing a socket with unread input makes the kernel send RST, which can overtake our Close.
    Lingering,
    /// To be released at the end of the tick.
    Gone,
}

impl Stage {
    /// Whether there is no verdict about the request yet.
    pub fn is_asking(self) -> bool {
        matches!(self, Stage::Head | Stage::Body | Stage::Pending(_))
    }
}

/// What is held behind a request that is not decided yet, if it did not come in one read with it.
pub(super) const HELD_MAX_BYTES: usize = 16 * 1024;

#[cfg(all(test, target_pointer_width = "64"))]
mod tests {
    use super::*;

    /// As the slab keeps it, with the serial number.
    #[allow(dead_code)]
    enum Entry {
        Vacant(usize),
        Occupied((u32, Slot)),
    }

    /// Whoever adds a field that most connections do not need finds a place for it in [`Cold`].
    #[test]
    fn a_connection_is_152_bytes_in_the_slab() {
        assert_eq!(size_of::<Entry>(), 152);
    }
}
