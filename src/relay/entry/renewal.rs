//! Those who are in: the ends of their credentials, and another configuration.
//!
//! ```text
//!   exp passes       4401 token_expired
//!   SIGHUP           a token that is gone: 4401; other groups and roles: in force at once
//! ```
//!
//! This module does not know how files are read.

use std::mem;
use std::sync::Arc;

use super::{Asked, Barred};
use crate::engine::{Context, Remote};
use crate::hub::ConnId;
use crate::relay::Relay;
use crate::relay::access::{Access, Authentication};
use crate::relay::bearers::{Bearer, Proof};
use crate::relay::rejection::Rejection;
use crate::wire::CloseCode;

impl Relay {
    /// The timer for the ends of credentials is due.
    pub(in crate::relay) fn end_bearers(&mut self, cx: &mut Context<'_>) {
        for id in self.gate.bearers.ended(cx) {
            self.dismiss(cx, id, Rejection::TokenExpired);
        }
    }

    /// Another configuration of who may come in and do what, from now on.
    ///
    /// Nobody is dropped whose credential is as good as before, and everybody has the permissions
    /// and limits that the policy gives to his roles. A token that is not in the file any more, or
    /// another user's, closes its connections (4401); so does another kind of authentication.
    /// Tokens that are signed, and what the application said, stay good until they expire, with
    /// whatever key. Who is just being asked about is refused (503, 4503) and may come again.
    pub fn reconfigure(&mut self, cx: &mut Context<'_>, mut access: Access) {
        self.names_are_proven = access.authentication.proves_names();
        let policy = mem::take(&mut access.policy);
        self.gate.access = access;
        self.gate.cache.clear();
        for (id, asked) in mem::take(&mut self.gate.asked).iter() {
            match **asked {
                Asked::Handshake(ref handshake, _) => {
                    let barred = Barred::Rejected(Rejection::CheckFailed);
                    let verdict = self.turn_away(id, handshake, barred);
                    cx.decide(id, verdict);
                }
                Asked::Message => self.reject(cx, id, Rejection::CheckFailed),
            }
        }
        let everybody = self.rooms.connections().chain(self.carrier.connections());
        let everybody = everybody.map(|id| (id, cx.peer(id).and_then(Remote::ip)));
        self.sessions.reconfigure(policy, everybody, cx.now());
        if !self.names_are_proven {
            // Who was waiting to be asked is asked no more; he may come in by the other way.
            for (id, _) in self.gate.strangers.iter() {
                cx.close(id, CloseCode::SERVICE_RESTART, "access was configured anew");
            }
            return self.stop_forbidden_hearing();
        }
        let everybody = self.rooms.connections().chain(self.carrier.connections());
        for id in everybody.collect::<Vec<_>>() {
            self.check_bearer(cx, id);
        }
        self.stop_forbidden_hearing();
    }

    /// Whether somebody who is here may stay, and as what.
    fn check_bearer(&mut self, cx: &mut Context<'_>, id: ConnId) {
        let before = self.gate.bearers.get(id).cloned();
        let now = before.as_ref().and_then(|bearer| {
            match (bearer.proof, &self.gate.access.authentication) {
                (Proof::Token(fingerprint), Authentication::Tokens(tokens)) => {
                    let identity = tokens.find(fingerprint, cx.wall()).ok();
                    identity.filter(|identity| identity.user == bearer.identity.user)
                }
                (Proof::Signature, Authentication::Jwt(_))
                | (Proof::Endpoint, Authentication::Endpoint(_)) => {
                    Some(Arc::clone(&bearer.identity))
                }
                _ => None,
            }
        });
        let (Some(before), Some(identity)) = (before, now) else {
            return self.dismiss(cx, id, Rejection::TokenRefused);
        };
        if *before.identity == *identity {
            return;
        }
        if let Some(user) = self.identities.routes().user_of(id) {
            let (old, new) = (&before.identity.groups, &identity.groups);
            for group in old.iter().filter(|group| !new.contains(group)) {
                // What is kept does not come from here, and what is not is nothing to the store.
                let name = self.identities.routes().name(user);
                let book = self.carrier.book();
                if !book.find(name).is_some_and(|key| book.is_kept(key, group)) {
                    let _ = self.carrier.sessions().strike(name, group);
                    self.identities.leave(user, group);
                }
            }
            for group in new.iter().filter(|group| !old.contains(group)) {
                self.identities.enroll(user, group);
            }
            self.acquaint(cx, user);
        }
        let permissions = self.sessions.permissions(&identity.roles);
        let ip = cx.peer(id).and_then(Remote::ip);
        self.sessions.open(id, permissions, ip, cx.now());
        self.gate.bearers.insert(cx, id, Bearer { identity, proof: before.proof });
    }
}
