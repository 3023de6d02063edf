//! The opening handshake, as far as the engine has a part in it: collecting the request head,
//! asking the handler, answering.
//!
//! ```text
//!   bytes --> head complete? --> parsed? --> on_request --> 101, Stage::Open, on_open
//!              | no: kept          | no          | respond      ^         ^
//!              v                   v             v              | decide  |
//!             wait               4xx, FIN      2xx to 5xx, FIN  +-- Pending: head and what
//!                                                                   follows it are kept
//! ```
//!
//! What this file does not know: what makes a handshake right (`wire`), and who may come in (the
//! handler).

use log::{debug, info};

use super::Engine;
use super::context::Context;
use super::handler::{Handler, Request, Verdict};
use super::slot::{HELD_MAX_BYTES, Stage, Wish};
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
            Err(error) => self.core.refuse(id, error),
            Ok(Some(len)) => {
                let mut head = std::mem::take(&mut cold.head);
                head.truncate(len);
                slot.cold = None;
                if let Some(wish) = self.ask(id, &head) {
                    self.suspend(id, head, wish);
                }
                self.follow(id, &mut bytes[len - before..]);
            }
        }
    }

    /// What came behind the head.
    fn follow(&mut self, id: ConnId, rest: &mut [u8]) {
        match self.core.slots.get(id).map(|slot| slot.stage) {
            _ if rest.is_empty() => {}
            Some(Stage::Pending(_)) => self.hold(id, rest),
            _ => self.deliver(id, rest),
        }
    }

    /// Asks the handler, and does what it says; what it will decide about if it does not know yet.
    fn ask(&mut self, id: ConnId, bytes: &[u8]) -> Option<Wish> {
        let mut slots = HeaderSlots::at_most(self.core.limits.head_headers_max as usize);
        let (head, upgrade) = match parse(bytes, &mut slots) {
            Ok(parsed) => parsed,
            Err(error) => {
                self.core.refuse(id, error);
                return None;
            }
        };
        let slot = self.core.slots.get(id)?;
        if slot.surplus {
            self.core.refuse(id, HandshakeError::Overloaded);
            return None;
        }
        let (peer, door) = (slot.peer.remote(), slot.door);
        let request = Request { head: &head, upgrade: upgrade.as_ref(), peer, door, body: &[] };
        let mut cx = Context { core: &mut self.core };
        let verdict = self.handler.on_request(&mut cx, id, &request);
        if let Verdict::Pending = verdict {
            return Some(if upgrade.is_some() { Wish::Upgrade } else { Wish::Answer });
        }
        // What it said before about this request does not count, nor for the next one.
        self.core.decided.retain(|(decided, _)| *decided != id);
        self.conclude(id, &head, upgrade.as_ref(), verdict);
        None
    }

    fn conclude(
        &mut self,
        id: ConnId,
        head: &RequestHead<'_, '_>,
        upgrade: Option<&Upgrade<'_>>,
        verdict: Verdict,
    ) {
        // It may be gone: what the handler sent to others may have needed its memory.
        if self.core.slots.get(id).is_none_or(|slot| slot.stage != Stage::Head) {
            return;
        }
        match (verdict, upgrade) {
            (Verdict::Upgrade { protocol }, Some(upgrade)) => {
                self.open(id, head, upgrade, protocol);
            }
            (Verdict::Upgrade { .. }, None) => {
                self.core.refuse(id, HandshakeError::UpgradeRequired);
            }
            (Verdict::Respond(response), _) => self.respond(id, head, &response),
            (Verdict::Pending, _) => {}
        }
    }

    fn respond(&mut self, id: ConnId, head: &RequestHead<'_, '_>, response: &Response) {
        let body = if head.method() == "HEAD" { Body::HeadOnly } else { Body::Included };
        debug!("responded conn={id} path={}", Quoted(head.path().as_bytes()));
        self.core.respond(id, response, body);
    }

    // ---- pending -------------------------------------------------------------------------------

    /// The decision comes later: what it needs is kept.
    fn suspend(&mut self, id: ConnId, head: Vec<u8>, wish: Wish) {
        // It may be gone, as in `conclude`.
        let Some(slot) = self.core.slots.get_mut(id).filter(|slot| slot.stage == Stage::Head)
        else {
            return;
        };
        slot.cold().head = head;
        slot.stage = Stage::Pending(wish);
        self.settle_account(id);
    }

    /// Keeps what arrives behind a request that is not decided yet: a little, for it is read only
    /// to see the connection end.
    pub(super) fn hold(&mut self, id: ConnId, bytes: &[u8]) {
        let Some(slot) = self.core.slots.get_mut(id) else { return };
        slot.hold(bytes, &mut self.core.endpoint.pool());
        if slot.cold().held.len() >= HELD_MAX_BYTES {
            slot.paused = true;
        }
        self.settle_account(id);
    }

    /// Takes up what callbacks have decided; what is decided meanwhile waits for the next time.
    pub(super) fn take_decisions(&mut self) {
        for (id, verdict) in std::mem::take(&mut self.core.decided) {
            if self.guarded(id, |engine| engine.decide(id, verdict)).is_none() {
                self.fail(id);
            }
        }
    }

    fn decide(&mut self, id: ConnId, verdict: Verdict) {
        let Some(slot) = self.core.slots.get_mut(id) else { return };
        if !matches!(slot.stage, Stage::Pending(_)) || matches!(verdict, Verdict::Pending) {
            return;
        }
        slot.stage = Stage::Head;
        let cold = slot.cold();
        let bytes = std::mem::take(&mut cold.head);
        if cold.held.is_empty() {
            slot.cold = None;
        } else {
            // What was held comes before what is read from now on.
            slot.paused = true;
        }
        let mut slots = HeaderSlots::at_most(self.core.limits.head_headers_max as usize);
        match parse(&bytes, &mut slots) {
            Ok((head, upgrade)) => self.conclude(id, &head, upgrade.as_ref(), verdict),
            Err(error) => self.core.refuse(id, error),
        }
        if self.core.slots.get(id).is_some_and(|slot| slot.stage == Stage::Open) {
            self.core.unpause(id);
        }
        self.settle_account(id);
    }

    // ---- opening -------------------------------------------------------------------------------

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

fn parse<'h, 'b>(
    bytes: &'b [u8],
    slots: &'h mut HeaderSlots<'b>,
) -> Result<(RequestHead<'h, 'b>, Option<Upgrade<'b>>), HandshakeError> {
    let head = RequestHead::parse(bytes, slots)?;
    let upgrade = is_upgrade(&head).then(|| Upgrade::check(&head)).transpose()?;
    Ok((head, upgrade))
}
