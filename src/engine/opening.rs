//! The opening handshake, as far as the engine has a part in it: collecting the request head,
//! asking the handler, answering.
//!
//! ```text
//!   bytes --> head complete? --> parsed? --> on_request --> 101, Stage::Open, on_open
//!              | no: kept          | no          | respond
//!              v                   v             v
//!             wait               4xx, FIN      2xx to 5xx, FIN
//! ```
//!
//! What this file does not know: what makes a handshake right (`wire`), and who may come in (the
//! handler).

use log::{debug, info};

use super::Engine;
use super::context::Context;
use super::handler::{Handler, Request, Verdict};
use super::slot::Stage;
use crate::config::Deflate;
use crate::hub::ConnId;
use crate::protocol::DEFLATE_AVAILABLE;
use crate::wire::{
    Accepted, Body, ContextTakeover, DeflateAgreement, HandshakeError, HeaderSlots, Quoted,
    RequestHead, Response, Upgrade, deflate, is_upgrade,
};

impl<H: Handler> Engine<H> {
    /// Looks for the end of the request head from where the last search stopped, and parses once.
    pub(super) fn receive_head(&mut self, id: ConnId, bytes: &mut [u8]) {
        let max = self.core.limits.head_max_bytes as usize;
        let Some(slot) = self.core.slots.get_mut(id) else { return };
        let cold = slot.cold();
        // Not more is kept than a head may have, however much one read brings.
        let before = cold.head.len();
        let kept = bytes.len().min((max + 1).saturating_sub(before));
        cold.head.extend_from_slice(&bytes[..kept]);
        match cold.scanner.find_end(&cold.head, max) {
            Ok(None) => self.settle_account(id),
            Err(error) => self.refuse(id, error),
            Ok(Some(len)) => {
                let mut head = std::mem::take(&mut cold.head);
                head.truncate(len);
                slot.cold = None;
                self.request(id, &head);
                let rest = &mut bytes[len - before..];
                if !rest.is_empty() {
                    self.deliver(id, rest);
                }
            }
        }
    }

    fn request(&mut self, id: ConnId, bytes: &[u8]) {
        let mut slots = HeaderSlots::at_most(self.core.limits.head_headers_max as usize);
        let head = match RequestHead::parse(bytes, &mut slots) {
            Ok(head) => head,
            Err(error) => return self.refuse(id, error),
        };
        let Some(slot) = self.core.slots.get(id) else { return };
        if slot.surplus {
            return self.refuse(id, HandshakeError::Overloaded);
        }
        let (peer, door) = (slot.peer.remote(), slot.door);
        let upgrade = match is_upgrade(&head).then(|| Upgrade::check(&head)).transpose() {
            Ok(upgrade) => upgrade,
            Err(error) => return self.refuse(id, error),
        };
        let request = Request { head: &head, upgrade: upgrade.as_ref(), peer, door, body: &[] };
        let mut cx = Context { core: &mut self.core };
        match (self.handler.on_request(&mut cx, id, &request), &upgrade) {
            (Verdict::Upgrade { protocol }, Some(upgrade)) => {
                self.open(id, &head, upgrade, protocol);
            }
            (Verdict::Upgrade { .. }, None) => self.refuse(id, HandshakeError::UpgradeRequired),
            (Verdict::Respond(response), _) => {
                let body = if head.method() == "HEAD" { Body::HeadOnly } else { Body::Included };
                debug!("responded conn={id} path={}", Quoted(head.path().as_bytes()));
                self.respond(id, &response, body);
            }
        }
    }

    fn open(
        &mut self,
        id: ConnId,
        head: &RequestHead<'_, '_>,
        upgrade: &Upgrade<'_>,
        protocol: Option<&'static str>,
    ) {
        let now = self.core.now;
        let agreed = self.negotiate(upgrade);
        let extensions = agreed.map(|agreed| agreed.to_string());
        let Some(slot) = self.core.slots.get_mut(id) else { return };
        let mut response = Vec::with_capacity(256);
        let accepted = Accepted { protocol, extensions: extensions.as_deref() };
        upgrade.write_response(&mut response, &accepted);
        if let Some(agreed) = &agreed {
            slot.connection.agree(&self.core.endpoint, agreed);
        }
        self.core.endpoint.queue_bytes(&response, &mut slot.outbox);
        slot.stage = Stage::Open;
        slot.opened = true;
        slot.opened_at = now;
        let peer = slot.peer;
        self.core.mark_dirty(id);
        self.core.schedule(id);
        self.handler.on_open(&mut Context { core: &mut self.core }, id);
        let user = self.handler.user(id).unwrap_or("-");
        let path = Quoted(head.path().as_bytes());
        info!("opened conn={id} peer={peer} user={} path={path}", Quoted(user.as_bytes()));
    }

    /// What to agree about compression with a client that offers it.
    fn negotiate(&self, upgrade: &Upgrade<'_>) -> Option<DeflateAgreement> {
        let (limits, endpoint) = (&self.core.limits, &self.core.endpoint);
        let takeover = match limits.deflate() {
            Deflate::Off => return None,
            Deflate::On => ContextTakeover::Refused,
            Deflate::Takeover => {
                match (endpoint.deflate_contexts() as u64) < limits.deflate_takeover_max {
                    true => ContextTakeover::Allowed,
                    false => ContextTakeover::Refused,
                }
            }
        };
        deflate::negotiate(upgrade.extensions(), takeover).filter(|_| DEFLATE_AVAILABLE)
    }

    fn refuse(&mut self, id: ConnId, error: HandshakeError) {
        if let Some(slot) = self.core.slots.get(id) {
            let (peer, status) = (slot.peer, error.status());
            info!("refused conn={id} peer={peer} status={status} reason=\"{error}\"");
        }
        self.respond(id, &Response::from(error), Body::Included);
    }

    pub(super) fn respond(&mut self, id: ConnId, response: &Response, body: Body) {
        let Some(slot) = self.core.slots.get_mut(id) else { return };
        let mut bytes = Vec::new();
        response.write(&mut bytes, body);
        self.core.endpoint.queue_bytes(&bytes, &mut slot.outbox);
        self.core.drain(id);
    }
}
