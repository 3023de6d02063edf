//! The opening handshake, as far as the engine has a part in it: the answer that opens.
//!
//! ```text
//!   Upgrade --> what to agree about compression --> 101, Stage::Open --> on_open
//! ```
//!
//! What this file does not know: what makes a handshake right (`wire`), and who may come in (the
//! handler).

use log::info;

use super::Engine;
use super::context::Context;
use super::handler::Handler;
use super::slot::Stage;
use crate::config::Deflate;
use crate::hub::ConnId;
use crate::protocol::DEFLATE_AVAILABLE;
use crate::wire::{
    Accepted, ContextTakeover, DeflateAgreement, Quoted, RequestHead, Upgrade, deflate,
};

impl<H: Handler> Engine<H> {
    /// Opens a WebSocket connection.
    pub(super) fn open(
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
        self.core.totals.opened += 1;
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
}
