//! Restricted connections: how little is read of those who have not said who they are.
//!
//! ```text
//!   101 | ping  ping  {"type":"auth","token":"..."}  message  message ...
//!       |<-- auth_message_max_bytes + 512 -->|
//!                   released within: the rest is read like anybody's
//!                   still restricted: 1008, and nothing more is read
//! ```
//!
//! A message of `auth_message_max_bytes` fits with the header of its frame, or those of its
//! fragments, and a few control frames. What counts is what was consumed: what lies in one read
//! with the message that releases the connection may be longer.
//!
//! What this file does not know: who is restricted, and for how long (the handler).

use super::Engine;
use super::core::Core;
use super::handler::{Cause, Handler};
use super::slot::Stage;
use crate::hub::ConnId;
use crate::wire::CloseCode;

impl<H: Handler> Engine<H> {
    /// Serves what was read of a restricted connection: within its bounds while it is one, and
    /// the rest if it is none any more.
    #[cold]
    pub(super) fn serve_restricted(&mut self, id: ConnId, stage: Stage, bytes: &mut [u8]) {
        let left = self.core.restricted_left(id, bytes.len());
        let (within, beyond) = bytes.split_at_mut(left.min(bytes.len()));
        self.core.restrict_messages();
        self.serve(id, stage, within);
        self.core.release_messages();
        let Some(slot) = self.core.slots.get_mut(id).filter(|_| !beyond.is_empty()) else { return };
        if slot.paused {
            // Its turn comes after what is held already.
            slot.hold(beyond, &mut self.core.endpoint.pool());
            return self.settle_account(id);
        }
        let stage = slot.stage;
        if slot.restricted && matches!(stage, Stage::Open | Stage::Closing) {
            let code = CloseCode::POLICY_VIOLATION;
            return self.core.abort(id, code, "too much before authentication", Cause::Application);
        }
        self.serve(id, stage, beyond);
    }
}

impl Core {
    /// Begins to restrict a connection. What it holds was not consumed yet.
    pub fn restrict(&mut self, id: ConnId) {
        let max = self.auth_message_max_bytes() + HEADERS_MAX_BYTES;
        let Some(slot) = self.slots.get_mut(id) else { return };
        slot.restricted = true;
        let read = slot.counts.bytes_in;
        let cold = slot.cold();
        cold.restricted_until = (read + max).saturating_sub(cold.held.len() as u64);
    }

    /// It is restricted since a moment ago, when these were read already.
    pub fn restrict_early(&mut self, id: ConnId, len: usize) {
        if let Some(slot) = self.slots.get_mut(id) {
            let until = &mut slot.cold().restricted_until;
            *until = until.saturating_sub(len as u64);
        }
    }

    /// Ends what [`restrict`](Core::restrict) began.
    pub fn release(&mut self, id: ConnId) {
        let Some(slot) = self.slots.get_mut(id).filter(|slot| slot.restricted) else { return };
        slot.restricted = false;
        slot.drop_bare();
        self.release_messages();
    }

    /// How many bytes may be consumed of a restricted connection, of which `unserved` bytes
    /// were read and not consumed.
    fn restricted_left(&self, id: ConnId, unserved: usize) -> usize {
        let Some(slot) = self.slots.get(id) else { return 0 };
        let until = slot.cold.as_ref().map_or(0, |cold| cold.restricted_until);
        let consumed = slot.counts.bytes_in.saturating_sub(unserved as u64);
        usize::try_from(until.saturating_sub(consumed)).unwrap_or(usize::MAX)
    }

    /// The limit of messages is that of strangers, while one of them is served. What another
    /// connection has begun to send is not looked at meanwhile.
    fn restrict_messages(&mut self) {
        self.endpoint.message_max_bytes = self.auth_message_max_bytes();
    }

    /// The limit of messages is the usual one again.
    fn release_messages(&mut self) {
        self.endpoint.message_max_bytes = self.limits.message_max_bytes;
    }

    fn auth_message_max_bytes(&self) -> u64 {
        self.limits.auth_message_max_bytes.min(self.limits.message_max_bytes)
    }
}

/// What may be read of a restricted connection beside the payload of one message: headers of
/// frames, at most 14 bytes each, and control frames.
const HEADERS_MAX_BYTES: u64 = 512;
