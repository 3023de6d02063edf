//! Strangers: whoever is upgraded, and has still to say who it is.
//!
//! ```text
//!   {"type":"auth","token":"..."}                  plain: answered {"type":"ok"}
//!   {"type":"hello","client":"c8f3","token":"..."} switchboard.v1: answered by the welcome
//!   anything else                                  4401
//!   nothing for ten seconds                        4408
//! ```
//!
//! This module does not know what a good credential is.

use std::borrow::Cow;

use log::info;

use super::{Asked, Barred, Finding, STRANGERS_TIMER};
use crate::engine::Context;
use crate::hub::ConnId;
use crate::protocol::{Message, MessageKind};
use crate::relay::Relay;
use crate::relay::access::credentials::{Credential, Place, Value};
use crate::relay::admission::Dialect;
use crate::relay::bearers::Bearer;
use crate::relay::envelope::Envelope;
use crate::relay::name::unescape;
use crate::relay::rejection::Rejection;
use crate::relay::reply::Pieces;
use crate::relay::session::Denial;
use crate::relay::v1::Frame;
use crate::wire::Quoted;

impl Relay {
    /// A message of somebody who has not said who he is.
    #[cold]
    pub(in crate::relay) fn hear_stranger(
        &mut self,
        cx: &mut Context<'_>,
        id: ConnId,
        message: Message<'_>,
    ) {
        let dialect = self.gate.strangers.get(id).map(|stranger| stranger.dialect);
        let hello = match (dialect, message) {
            (Some(Dialect::V1), Message::Text(text)) => Some(text),
            (Some(Dialect::V1), Message::Binary(_)) => Some(""),
            _ => None,
        };
        let token = match (hello, message) {
            (Some(hello), _) => self.token_of(hello),
            (None, Message::Text(text)) => match Envelope::read(text, &self.envelope_limits) {
                Ok(Envelope::Auth { token }) => unescape(token),
                _ => None,
            },
            (None, Message::Binary(_)) => None,
        };
        // Whoever is being asked about has to wait for the answer.
        let token = token.filter(|_| self.gate.asked.get(id).is_none());
        let Some(token) = token else {
            return self.reject(cx, id, Rejection::AuthenticationRequired);
        };
        let value = Value::Token(token.as_bytes().into());
        let credential = Credential { place: Place::Message, value };
        let stranger = self.gate.strangers.get_mut(id);
        let forwarded = stranger.map_or_else(Vec::new, |stranger| {
            stranger.hello = hello.map(Box::from);
            stranger.forwarded.clone()
        });
        match self.identify(cx, id, &credential, &forwarded) {
            Finding::Asked => {
                self.gate.asked.insert(id, Box::new(Asked::Message));
            }
            Finding::Known(bearer) => self.welcome(cx, id, bearer),
            Finding::Rejected(rejection) => self.reject(cx, id, rejection),
        }
    }

    /// A stranger is none any more.
    pub(super) fn welcome(&mut self, cx: &mut Context<'_>, id: ConnId, bearer: Bearer) {
        let Some(stranger) = self.gate.strangers.get(id) else { return };
        let (path, claim, ip) = (stranger.path.clone(), stranger.claim.clone(), stranger.ip);
        let (dialect, hello) = (stranger.dialect, stranger.hello.clone());
        // The place that he has is his, and he has it until the end if he may not come in.
        self.sessions.close_stranger(ip);
        let entry = self.check_entry(&path, claim.as_deref(), &bearer.identity, ip);
        if entry.is_err() {
            self.sessions.open_stranger(ip);
        }
        match entry {
            Ok(()) => {
                self.gate.forget(id);
                cx.release(id);
                info!("authenticated conn={id} user={}", Quoted(bearer.identity.user.as_bytes()));
                self.enter(cx, id, &path, dialect, bearer);
                match hello {
                    Some(hello) => self.hear_session(cx, id, Message::Text(&hello)),
                    None => self.reply(cx, id, &Pieces::authenticated()),
                }
            }
            Err(Barred::Rejected(rejection)) => self.reject(cx, id, rejection),
            Err(Barred::Policy(Denial::Forbidden(action))) => {
                if dialect == Dialect::V1 {
                    return self.dismiss(cx, id, Rejection::Forbidden);
                }
                let pieces = Pieces::forbidden(action, &mut self.scratch);
                let _ = cx.send_parts(id, MessageKind::Text, &pieces.as_parts());
                self.dismiss(cx, id, Rejection::Forbidden);
            }
            Err(Barred::Policy(Denial::TooManyOfAddress | Denial::TooManyOfUser)) => {
                self.reject(cx, id, Rejection::TooManyConnections);
            }
        }
    }

    /// Tells somebody why he has to leave, and closes.
    pub(super) fn reject(&mut self, cx: &mut Context<'_>, id: ConnId, rejection: Rejection) {
        // In switchboard.v1 the Close says it.
        let stranger = self.gate.strangers.get(id);
        if stranger.is_none_or(|stranger| stranger.dialect == Dialect::Plain) {
            let _ = cx.send_parts(id, MessageKind::Text, &[rejection.message().as_bytes()]);
        }
        self.dismiss(cx, id, rejection);
    }

    /// The token in a hello, if that is what it is.
    fn token_of<'a>(&self, hello: &'a str) -> Option<Cow<'a, str>> {
        match Frame::read(hello, &self.envelope_limits) {
            Ok(Frame::Hello(hello)) => hello.token.and_then(unescape),
            _ => None,
        }
    }

    /// Closes. A stranger stays one until the end, so that nothing reaches him.
    pub(super) fn dismiss(&mut self, cx: &mut Context<'_>, id: ConnId, rejection: Rejection) {
        self.sever(cx, id, rejection.close_code(), rejection.reason());
        self.gate.asked.remove(id);
    }

    /// The timer for strangers is due.
    pub(in crate::relay) fn lose_patience(&mut self, cx: &mut Context<'_>) {
        self.gate.is_timed = false;
        while let Some(&(until, id)) = self.gate.patience.first() {
            if until > cx.now() {
                break;
            }
            self.gate.patience.pop_first();
            self.reject(cx, id, Rejection::AuthenticationTimeout);
        }
        self.time_strangers(cx);
    }

    pub(super) fn time_strangers(&mut self, cx: &mut Context<'_>) {
        // All have the same time, so the first is due before whoever comes later.
        if let (Some((until, _)), false) = (self.gate.patience.first(), self.gate.is_timed) {
            cx.set_timer(until.since(cx.now()), STRANGERS_TIMER);
            self.gate.is_timed = true;
        }
    }
}
