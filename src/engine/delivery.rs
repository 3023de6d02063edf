//! Delivering: what was read becomes messages, and each a call of the handler.
//!
//! ```text
//!   bytes --> advance --> Message    --> on_message         lies in the read buffer
//!               |     --> Assembled  --> on_message         owns its bytes
//!               |     --> Ping, Pong, Close                 answered already
//!               +--> paused: the rest is held               outbox above high water, budget spent
//! ```
//!
//! What this file does not know: how bytes become messages (`protocol`), and when it is called.

use super::Engine;
use super::context::Context;
use super::core::INFLATED_BYTES_PER_SEND;
use super::handler::{Cause, Handler};
use super::slot::Stage;
use crate::hub::ConnId;
use crate::outbox::{Payload, Source};
use crate::protocol::{Assembled, Input, Step, borrow};

impl<H: Handler> Engine<H> {
    /// Delivers what the bytes hold, frame by frame in their order.
    pub(super) fn deliver(&mut self, id: ConnId, bytes: &mut [u8]) {
        let high = self.core.limits.outbox_high_bytes;
        // One message may be for ten thousand: what counts is what it causes, not its length.
        let sends_until = self
            .core
            .sends_until
            .min(self.core.sends.saturating_add(self.core.limits.send_budget_max));
        let mut first = true;
        let mut input = Input::new(bytes);
        while let Some(slot) = self.core.slots.get_mut(id) {
            let open = match slot.stage {
                Stage::Open => true,
                Stage::Closing => false,
                _ => return,
            };
            let spent = self.core.sends >= sends_until && !first && !input.is_empty();
            first = false;
            // Also while closing: Pongs are still queued then.
            if slot.is_congested(high) || spent {
                slot.paused = true;
                if !slot.congested {
                    // The others first.
                    self.core.resumed.push(id);
                }
                let rest = input.take_all();
                if !rest.is_empty() {
                    slot.hold(rest, &mut self.core.endpoint.pool());
                }
                break;
            }
            if input.is_empty() {
                break;
            }
            let step = slot.connection.advance(&self.core.endpoint, &mut input, &mut slot.outbox);
            let Step::Message(message) = step else {
                self.step(id, step, open);
                continue;
            };
            // It owns nothing, and dropping it would be a call.
            std::mem::forget(step);
            if open {
                slot.counts.messages_in += 1;
                self.handler.on_message(&mut Context { core: &mut self.core }, id, message);
            }
        }
        self.settle_account(id);
    }

    /// What a connection holds has changed: the total counts.
    pub(super) fn settle_account(&mut self, id: ConnId) {
        self.core.account(id);
        if self.core.buffered as u64 > self.core.limits.outbox_total_bytes {
            self.core.relieve(0);
        }
    }

    /// Everything but a message that lay whole in the input.
    pub(super) fn step(&mut self, id: ConnId, step: Step<'_>, open: bool) {
        match step {
            Step::Assembled(message) if open => self.assembled(id, message),
            Step::NeedInput | Step::Message(_) | Step::Assembled(_) | Step::Pong(_) => {}
            // Its Pong is queued.
            Step::Ping(_) => self.core.mark_dirty(id),
            Step::Closed { code, reason } => {
                let reason = reason.into_owned().into();
                if let Some(slot) = self.core.slots.get_mut(id) {
                    slot.note_closed(code, reason, Cause::Peer);
                }
                self.core.drain(id);
            }
            Step::Failed(error) => {
                if let Some(slot) = self.core.slots.get_mut(id) {
                    let cause = Cause::Protocol(error);
                    slot.note_closed(error.close_code(), error.to_string().into(), cause);
                }
                self.core.drain(id);
            }
        }
    }

    /// A message that owns its bytes: what the handler sends on of it is not copied.
    fn assembled(&mut self, id: ConnId, message: Assembled) {
        // A little that was received may have become much: that is work too.
        let inflated_bytes = self.core.endpoint.take_inflated_bytes();
        self.core.sends += inflated_bytes / INFLATED_BYTES_PER_SEND;
        let (kind, buffer, len) = message.into_parts();
        let payload = Payload::new(buffer);
        let source = (Source::Payload(payload.clone()), None);
        let before = self.core.passing.replace(source);
        if let Some(slot) = self.core.slots.get_mut(id) {
            slot.counts.messages_in += 1;
        }
        let message = borrow(kind, &payload.as_bytes()[..len]);
        self.handler.on_message(&mut Context { core: &mut self.core }, id, message);
        self.core.passing = before;
        payload.recycle(&mut self.core.endpoint.pool());
    }
}
