//! How a connection ends, by whose will ever, and when it has waited long enough.
//!
//! ```text
//!   close    our Close, then the peer's          abort      a last Close, then FIN
//!   respond  an answer in HTTP, then FIN         drain      what is queued, then FIN
//!                                                drop_now   nothing more
//! ```
//!
//! What this file does not know: the handler. It notes to whom `on_close` is owed.

use std::borrow::Cow;
use std::fmt::Display;

use log::{debug, info};

use super::core::{Action, Core};
use super::handler::Cause;
use super::remote::Door;
use super::slot::Stage;
use crate::hub::ConnId;
use crate::protocol::{Connection, Deadline, NEVER};
use crate::wire::{Body, CloseCode, HandshakeError, Persistence, Response};

impl Core {
    // ---- answering -----------------------------------------------------------------------------

    /// Answers by the rules of HTTP alone, without asking the handler.
    pub fn refuse(&mut self, id: ConnId, error: impl Into<Response> + Display) {
        self.totals.refused += 1;
        let (reason, response) = (error.to_string(), error.into());
        if let Some(slot) = self.slots.get(id) {
            let (peer, status) = (slot.peer, response.status());
            info!("refused conn={id} peer={peer} status={status} reason=\"{reason}\"");
        }
        self.respond(id, &response, Body::Included);
    }

    /// Answers in HTTP, and another request may follow.
    pub fn respond_and_keep(&mut self, id: ConnId, response: &Response, body: Body) {
        let Some(slot) = self.slots.get_mut(id) else { return };
        let mut bytes = Vec::new();
        response.write_to(&mut bytes, body, Persistence::KeepAlive);
        self.endpoint.queue_bytes(&bytes, &mut slot.outbox);
        slot.stage = Stage::Idle;
        slot.clocks.since = self.tick;
        self.mark_dirty(id);
        self.schedule(id);
    }

    /// Answers in HTTP, and that is all.
    pub fn respond(&mut self, id: ConnId, response: &Response, body: Body) {
        let Some(slot) = self.slots.get_mut(id) else { return };
        let mut bytes = Vec::new();
        response.write(&mut bytes, body);
        self.endpoint.queue_bytes(&bytes, &mut slot.outbox);
        self.drain(id);
    }

    // ---- ending --------------------------------------------------------------------------------

    /// Begins the closing handshake (RFC 6455 §7.1.2).
    pub fn close(&mut self, id: ConnId, code: CloseCode, reason: &str, cause: Cause) {
        let Some(slot) = self.slots.get_mut(id) else { return };
        if slot.stage != Stage::Open {
            return;
        }
        slot.connection.close(&self.endpoint, code, reason, &mut slot.outbox);
        slot.stage = Stage::Closing;
        slot.clocks.since = self.tick;
        slot.note_closed(code, Cow::Owned(reason.to_owned()), cause);
        self.unpause(id);
        self.mark_dirty(id);
        self.schedule(id);
    }

    /// Fails the connection: a last Close, then the end.
    pub fn abort(&mut self, id: ConnId, code: CloseCode, reason: &'static str, cause: Cause) {
        let Some(slot) = self.slots.get_mut(id) else { return };
        if matches!(slot.stage, Stage::Open | Stage::Closing) {
            slot.connection.abort(&self.endpoint, code, reason, &mut slot.outbox);
            slot.note_closed(code, Cow::Borrowed(reason), cause);
        }
        self.drain(id);
    }

    /// Nothing is read any more; what is queued is written, then the TCP connection ends.
    pub fn drain(&mut self, id: ConnId) {
        let Some(slot) = self.slots.get_mut(id) else { return };
        if matches!(slot.stage, Stage::Draining | Stage::Lingering | Stage::Gone) {
            return;
        }
        // A Close of our own has its deadline already; nothing extends it.
        if slot.stage != Stage::Closing {
            slot.clocks.since = self.tick;
        }
        if let Stage::Pending(_) = std::mem::replace(&mut slot.stage, Stage::Draining) {
            self.abandoned.push(id);
        }
        if let Some(cold) = &mut slot.cold {
            cold.clear();
        }
        self.unpause(id);
        self.end(id);
        self.mark_dirty(id);
        self.schedule(id);
    }

    /// The TCP connection is of no use any more.
    pub fn drop_now(&mut self, id: ConnId, code: CloseCode, reason: &'static str, cause: Cause) {
        let Some(slot) = self.slots.get_mut(id) else { return };
        if slot.stage == Stage::Gone {
            return;
        }
        slot.note_closed(code, Cow::Borrowed(reason), cause);
        if let Stage::Pending(_) = std::mem::replace(&mut slot.stage, Stage::Gone) {
            self.abandoned.push(id);
        }
        slot.outbox.clear();
        slot.connection = Connection::new();
        if let Some(cold) = &mut slot.cold {
            cold.clear();
        }
        self.account(id);
        self.gone.push(id);
        self.end(id);
    }

    /// `on_close` is owed, once, if `on_open` was called.
    fn end(&mut self, id: ConnId) {
        let Some(slot) = self.slots.get_mut(id) else { return };
        if std::mem::take(&mut slot.opened) {
            self.ended.push(id);
        }
    }

    /// A draining connection whose outbox is empty sends FIN, and waits for the peer's.
    pub fn settle(&mut self, id: ConnId) {
        let Some(slot) = self.slots.get_mut(id) else { return };
        if slot.eof {
            slot.stage = Stage::Gone;
            self.gone.push(id);
        } else {
            slot.stage = Stage::Lingering;
            self.actions.push(Action::Shutdown(id));
        }
    }

    /// Whether a request that has begun may still come to its end when the server stops.
    pub fn may_finish(&self, id: ConnId) -> bool {
        self.slots.get(id).is_some_and(|slot| slot.door == Door::Admin && !slot.is_waiting())
    }

    /// A paused connection that is to end must be read, or its FIN is never seen.
    pub fn unpause(&mut self, id: ConnId) {
        if self.slots.get(id).is_some_and(|slot| slot.paused) {
            self.resumed.push(id);
        }
    }

    // ---- deadlines -----------------------------------------------------------------------------

    /// Sees to it that the wheel wakes us no later than the connection's next deadline.
    pub fn schedule(&mut self, id: ConnId) {
        let Some(slot) = self.slots.get_mut(id) else { return };
        let Some((at, _)) = slot.deadline(&self.deadlines) else { return };
        if at < slot.wheel_at {
            slot.wheel_at = at;
            self.wheel.insert(at, id);
        }
    }

    /// The wheel woke us for this connection: acts if its deadline has passed, else goes in again.
    pub fn expire(&mut self, id: ConnId) {
        let now = self.reached;
        let Some(slot) = self.slots.get_mut(id) else { return };
        if slot.wheel_at > now {
            return; // a later entry took over
        }
        slot.wheel_at = NEVER;
        if let Some((_, deadline)) = slot.deadline(&self.deadlines).filter(|(at, _)| *at <= now) {
            self.run_out(id, deadline);
        }
        self.schedule(id);
    }

    fn run_out(&mut self, id: ConnId, deadline: Deadline) {
        let timeout = CloseCode::application(4408).unwrap_or(CloseCode::POLICY_VIOLATION);
        let too_slow = CloseCode::application(4503).unwrap_or(CloseCode::TRY_AGAIN_LATER);
        let cause = Cause::Timeout(deadline);
        match deadline {
            Deadline::RequestHead => self.head_timeout(id),
            // What is queued may still leave.
            Deadline::Idle => self.drain(id),
            Deadline::Ping => {
                let now = self.tick;
                let Some(slot) = self.slots.get_mut(id) else { return };
                slot.connection.ping(&self.endpoint, b"", &mut slot.outbox);
                slot.clocks.pinged = now;
                self.mark_dirty(id);
            }
            Deadline::Pong => self.abort(id, timeout, "no answer to ping", cause),
            Deadline::Close => self.drop_now(id, CloseCode::ABNORMAL, "", cause),
            // A Close would wait behind what the peer does not take: there is no way to say it.
            Deadline::Write => self.drop_now(id, too_slow, "too slow", cause),
        }
    }

    /// Who has begun a request is told that it came too late, or the decision about it; who has
    /// said nothing, nothing.
    fn head_timeout(&mut self, id: ConnId) {
        let Some(slot) = self.slots.get_mut(id) else { return };
        let peer = slot.peer;
        let error = match slot.stage {
            Stage::Pending(_) => HandshakeError::Undecided,
            _ => HandshakeError::HeadTimeout,
        };
        if slot.counts.bytes_in == 0 {
            debug!("silent conn={id} peer={peer} reason=\"{error}\"");
            let cause = Cause::Timeout(Deadline::RequestHead);
            return self.drop_now(id, CloseCode::ABNORMAL, "", cause);
        }
        self.refuse(id, error);
    }
}
