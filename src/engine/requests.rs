//! Requests in HTTP: collecting head and body, asking the handler, answering.
//!
//! ```text
//!   bytes --> head complete? --> body complete? --> on_request --> 101: see `opening`
//!              | no: kept         | no: kept         | ^  respond
//!              v                  v                  v |     |
//!             wait               wait          Pending |     v
//!                                  Context::decide ----+    Idle: the next request, or FIN
//! ```
//!
//! At [`Door::Public`] there is one request without a body; whatever follows it is either a message
//! of the WebSocket that it opened, or discarded. At [`Door::Admin`] requests may have bodies, and
//! may follow one another, also before their answers; they are taken one at a time, so answers
//! leave in the order of the requests. None is taken while its client does not read the answers.
//!
//! What this file does not know: what makes a request right (`wire`), and what it asks for (the
//! handler).

use log::debug;

use super::Engine;
use super::context::Context;
use super::handler::{Cause, Handler, Request, Verdict};
use super::remote::Door;
use super::slot::{HELD_MAX_BYTES, Stage, Wish};
use crate::hub::ConnId;
use crate::wire::http::{CONTINUE, expects_continue};
use crate::wire::{
    Body, BodyDecoder, BodyError, BodyLength, CloseCode, HandshakeError, HeaderSlots, Parsed,
    Quoted, RequestHead, Response, Upgrade, is_upgrade,
};

impl<H: Handler> Engine<H> {
    /// Works off requests, and whatever follows them.
    // What a request needs on the stack is not for every message.
    #[cold]
    pub(super) fn receive_requests(&mut self, id: ConnId, mut bytes: &mut [u8]) {
        let high = self.core.limits.outbox_high_bytes;
        let mut budget = REQUESTS_PER_TURN;
        while !bytes.is_empty() {
            let Some(slot) = self.core.slots.get_mut(id) else { return };
            let stage = slot.stage;
            if stage == Stage::Idle && (budget == 0 || slot.is_congested(high)) {
                self.pause(id, bytes);
                break;
            }
            let used = match stage {
                Stage::Head => self.receive_head(id, bytes),
                Stage::Body => self.receive_body(id, bytes),
                Stage::Idle => {
                    budget -= 1;
                    self.begin_request(id);
                    0
                }
                Stage::Pending(_) => return self.hold(id, bytes),
                // It may have been restricted when it was opened, a moment ago.
                Stage::Open if slot.restricted => {
                    self.core.restrict_early(id, bytes.len());
                    return self.serve_restricted(id, stage, bytes);
                }
                Stage::Open | Stage::Closing => return self.deliver(id, bytes),
                Stage::Draining | Stage::Lingering | Stage::Gone => break,
            };
            bytes = &mut bytes[used..];
        }
        self.settle_account(id);
        self.end_if_over(id);
    }

    /// The others first, or until the client reads.
    fn pause(&mut self, id: ConnId, bytes: &[u8]) {
        let Some(slot) = self.core.slots.get_mut(id) else { return };
        slot.paused = true;
        slot.hold(bytes, &mut self.core.endpoint.pool());
        if !slot.congested {
            self.core.resumed.push(id);
        }
    }

    /// The first byte of another request is here: its time runs.
    fn begin_request(&mut self, id: ConnId) {
        let Some(slot) = self.core.slots.get_mut(id) else { return };
        slot.stage = Stage::Head;
        slot.clocks.since = self.core.tick;
        self.core.schedule(id);
    }

    /// The client sends nothing more, and what it sent is worked off: what is queued still leaves.
    pub(super) fn end_if_over(&mut self, id: ConnId) {
        let Some(slot) = self.core.slots.get(id).filter(|slot| slot.eof && !slot.paused) else {
            return;
        };
        match slot.stage {
            Stage::Head | Stage::Body | Stage::Idle if slot.outbox.is_empty() => {
                self.core.drop_now(id, CloseCode::ABNORMAL, "", Cause::Lost);
            }
            Stage::Head | Stage::Body | Stage::Idle => self.core.drain(id),
            _ => {}
        }
    }

    // ---- collecting ----------------------------------------------------------------------------

    /// Looks for the end of the request head from where the last search stopped, and parses once.
    /// Says how many bytes it took.
    fn receive_head(&mut self, id: ConnId, bytes: &[u8]) -> usize {
        let max = self.core.limits.head_max_bytes as usize;
        let Some(slot) = self.core.slots.get_mut(id) else { return bytes.len() };
        let cold = slot.cold();
        // Not more is kept than a head may have, however much one read brings.
        let before = cold.head.len();
        let kept = bytes.len().min((max + 1).saturating_sub(before));
        cold.head.extend_from_slice(&bytes[..kept]);
        match cold.scanner.find_end(&cold.head, max) {
            Ok(None) => kept,
            Err(error) => {
                self.core.refuse(id, error);
                kept
            }
            Ok(Some(len)) => {
                let mut head = std::mem::take(&mut cold.head);
                head.truncate(len);
                slot.cold = None;
                if let Err(refusal) = self.head_complete(id, head) {
                    refusal.answer(self, id);
                }
                len - before
            }
        }
    }

    /// The head is complete. The handler is asked at once, or when there is the body.
    fn head_complete(&mut self, id: ConnId, bytes: Vec<u8>) -> Result<(), Refusal> {
        let mut slots = HeaderSlots::at_most(self.core.limits.head_headers_max as usize);
        let (head, upgrade) = parse(&bytes, &mut slots)?;
        let Some(slot) = self.core.slots.get_mut(id) else { return Ok(()) };
        if slot.surplus {
            return Err(HandshakeError::Overloaded.into());
        }
        // RFC 6455 §4.1: a handshake has no body; one that has was refused with its head.
        if slot.door == Door::Admin && upgrade.is_none() {
            let length = BodyLength::of(&head)?;
            let expects = expects_continue(&head)?;
            let decoder = BodyDecoder::new(length, self.core.limits.http_body_max_bytes)?;
            if length != BodyLength::Known(0) {
                let cold = slot.cold();
                (cold.head, cold.decoder) = (bytes, Some(decoder));
                slot.stage = Stage::Body;
                if expects {
                    self.core.endpoint.queue_bytes(CONTINUE, &mut slot.outbox);
                    self.core.mark_dirty(id);
                }
                return Ok(());
            }
        }
        if let Some(wish) = self.ask(id, &head, upgrade.as_ref(), &[]) {
            self.suspend(id, bytes, wish);
        }
        Ok(())
    }

    /// Collects the body. Says how many bytes it took.
    fn receive_body(&mut self, id: ConnId, bytes: &[u8]) -> usize {
        let Some(slot) = self.core.slots.get_mut(id) else { return bytes.len() };
        let cold = slot.cold();
        let Some(decoder) = &mut cold.decoder else { return bytes.len() };
        let len = match decoder.decode(bytes, &mut cold.body) {
            Ok(Parsed::Partial) => return bytes.len(),
            Err(error) => {
                self.core.refuse(id, error);
                return bytes.len();
            }
            Ok(Parsed::Complete { len, .. }) => len,
        };
        let (head, body) = (std::mem::take(&mut cold.head), std::mem::take(&mut cold.body));
        slot.cold = None;
        slot.stage = Stage::Head;
        let mut slots = HeaderSlots::at_most(self.core.limits.head_headers_max as usize);
        let wish = match parse(&head, &mut slots) {
            Ok((parsed, upgrade)) => self.ask(id, &parsed, upgrade.as_ref(), &body),
            Err(error) => {
                self.core.refuse(id, error);
                None
            }
        };
        if let Some(wish) = wish {
            self.suspend(id, head, wish);
        }
        len
    }

    // ---- asking and answering ------------------------------------------------------------------

    /// Asks the handler, and does what it says; what it will decide about if it does not know yet.
    fn ask(
        &mut self,
        id: ConnId,
        head: &RequestHead<'_, '_>,
        upgrade: Option<&Upgrade<'_>>,
        body: &[u8],
    ) -> Option<Wish> {
        let slot = self.core.slots.get(id)?;
        let (peer, door) = (slot.peer.remote(), slot.door);
        let request = Request { head, upgrade, peer, door, body };
        let mut cx = Context { core: &mut self.core };
        let verdict = self.handler.on_request(&mut cx, id, &request);
        if let Verdict::Pending = verdict {
            return Some(if upgrade.is_some() { Wish::Upgrade } else { Wish::Answer });
        }
        // What it said before about this request does not count, nor for the next one.
        self.core.decided.retain(|(decided, _)| *decided != id);
        self.conclude(id, head, upgrade, verdict);
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
        let keeps = !self.core.stopping && head.is_persistent();
        let door = self.core.slots.get(id).map(|slot| slot.door);
        if door == Some(Door::Admin) && keeps {
            self.core.respond_and_keep(id, response, body);
        } else {
            self.core.respond(id, response, body);
        }
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
    // Out of the way of those ticks in which nothing is decided, which are nearly all.
    #[cold]
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
        let stage = self.core.slots.get(id).map(|slot| slot.stage);
        if matches!(stage, Some(Stage::Open | Stage::Idle)) {
            self.core.unpause(id);
        }
        self.settle_account(id);
        self.end_if_over(id);
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

/// A request that the handler is not asked about.
enum Refusal {
    Handshake(HandshakeError),
    Body(BodyError),
}

impl Refusal {
    fn answer<H: Handler>(self, engine: &mut Engine<H>, id: ConnId) {
        match self {
            Refusal::Handshake(error) => engine.core.refuse(id, error),
            Refusal::Body(error) => engine.core.refuse(id, error),
        }
    }
}

impl From<HandshakeError> for Refusal {
    fn from(error: HandshakeError) -> Refusal {
        Refusal::Handshake(error)
    }
}

impl From<BodyError> for Refusal {
    fn from(error: BodyError) -> Refusal {
        Refusal::Body(error)
    }
}

/// Further requests of one connection before the others have their turn.
const REQUESTS_PER_TURN: usize = 16;
