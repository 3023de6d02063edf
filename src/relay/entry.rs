//! Entry: from an opening handshake to somebody who is here.
//!
//! ```text
//!   nobody is asked who he is            a claim, or a guest ---------------------> in
//!   a credential in the handshake   -->  checked here -------- good --------------> in
//!                                   -->  the endpoint is asked, Verdict::Pending     ^
//!                                            answered: good -----------------------> |
//!                                            refused: 401, 403; no answer: 503       |
//!   none                            -->  a stranger: upgraded, in no room,           |
//!                                        has one message and ten seconds             |
//!                                            {"type":"auth","token":...}  good ------'
//!                                            anything else: 4401; too late: 4408
//! ```
//!
//! A stranger is on no list: nothing reaches him, what is read of him is limited to 4 KiB and a
//! little, he has a place of his address, and all that is kept of him is what he asked for.
//! `Relay::reconfigure` asks again about everybody.
//!
//! This module does not know what a good credential is.

use std::collections::BTreeSet;
use std::mem;
use std::net::IpAddr;
use std::sync::Arc;

use log::{info, warn};

use super::Relay;
use super::access::credentials::{self, Credential, Place, Value};
use super::access::endpoint::{
    Answer, Cache, Header, NotAsked, Ticket, Unanswered, forwarded, question,
};
use super::access::secret::Fingerprint;
use super::access::{Access, Authentication, Denied, Identity};
use super::admission::{self, Handshake};
use super::arrivals::{Arrival, Arrivals, Stranger, Who};
use super::bearers::{Bearer, Bearers, Proof};
use super::envelope::Envelope;
use super::name::unescape;
use super::rejection::Rejection;
use super::reply::Pieces;
use super::session::Denial;
use crate::config::Limits;
use crate::engine::{Context, Remote, Request, Verdict};
use crate::hub::{ConnId, ConnMap};
use crate::protocol::{Message, MessageKind};
use crate::timer::Millis;
use crate::wire::{CloseCode, Quoted, RequestHead, Response, Upgrade};

/// What is known about those who come.
pub(super) struct Gate {
    access: Access,
    pub(super) bearers: Bearers,
    strangers: ConnMap<Box<Stranger>>,
    /// Until when each stranger may be one.
    patience: BTreeSet<(Millis, ConnId)>,
    /// Whether a timer is set for the first of them.
    is_timed: bool,
    /// Those about whom the endpoint is asked.
    asked: ConnMap<Box<Asked>>,
    cache: Cache,
    /// Who is between a `Verdict::Upgrade` and its `on_open`.
    arrivals: Arrivals,
    timeout_ms: u64,
    warned_at: Option<Millis>,
}

/// What was going on when the endpoint was asked.
enum Asked {
    Handshake(Handshake, Remote),
    Message,
}

/// What a credential comes to.
enum Finding {
    /// The endpoint is asked.
    Asked,
    Known(Bearer),
    Rejected(Rejection),
}

/// Why somebody who is known does not come in.
enum Barred<'a> {
    Policy(Denial<'a>),
    Rejected(Rejection),
}

impl Gate {
    pub(super) fn new(access: Access, limits: &Limits) -> Gate {
        let entries_max = super::narrow(limits.auth_cache_max);
        Gate {
            access,
            bearers: Bearers::new(),
            strangers: ConnMap::new(),
            patience: BTreeSet::new(),
            is_timed: false,
            asked: ConnMap::new(),
            cache: Cache::new(limits.auth_cache_ttl_ms, entries_max),
            arrivals: Arrivals::default(),
            timeout_ms: limits.auth_timeout_ms,
            warned_at: None,
        }
    }

    /// Whether a connection has still to say who it is.
    #[inline]
    pub(super) fn is_stranger(&self, id: ConnId) -> bool {
        !self.strangers.is_empty() && self.strangers.get(id).is_some()
    }

    /// A connection is gone, before it was open or after. Says what stranger it was.
    pub(super) fn forget(&mut self, id: ConnId) -> Option<Box<Stranger>> {
        self.bearers.remove(id);
        self.asked.remove(id);
        self.arrivals.take(id);
        let stranger = self.strangers.remove(id)?;
        self.patience.remove(&(stranger.until, id));
        Some(stranger)
    }
}

// ---- the opening handshake ---------------------------------------------------------------------

impl Relay {
    /// Decides about an opening handshake.
    pub(super) fn admit(
        &mut self,
        cx: &mut Context<'_>,
        id: ConnId,
        request: &Request<'_, '_>,
        upgrade: &Upgrade<'_>,
    ) -> Result<Verdict, Response> {
        let access = &self.gate.access;
        admission::check_origin(access, self.reach, upgrade.origin)?;
        let handshake = Handshake::read(request.head, upgrade, self.envelope_limits.name_max)?;
        let Some(wanted) = access.wanted() else {
            return self.admit_anybody(id, handshake, request.peer.ip());
        };
        let is_listed = upgrade.origin.is_some_and(|origin| access.origins.contains(origin));
        let credential = credentials::find(request.head, upgrade, wanted, is_listed);
        match credential.map_err(Response::from)? {
            Some(credential) => self.admit_bearer(cx, id, handshake, &credential, request),
            None => self.admit_stranger(id, handshake, request.head, request.peer),
        }
    }

    fn admit_anybody(
        &mut self,
        id: ConnId,
        handshake: Handshake,
        ip: Option<IpAddr>,
    ) -> Result<Verdict, Response> {
        let Handshake { path, claim, protocol } = handshake;
        // The number of a guest is not to be taken: its owner did not choose it.
        if claim.as_deref().is_some_and(|name| self.identities.check_free(name).is_err()) {
            return Err(Response::text(
                409,
                "taken: this user id is the number of a guest who is connected\n",
            ));
        }
        let permissions = self.sessions.guest();
        let connections = claim.as_deref().map_or(0, |name| self.connections_of(name));
        let arriving = self.gate.arrivals.addresses();
        let admitted = self.sessions.admit(&permissions, &path, connections, ip, arriving);
        admitted.map_err(Denial::response)?;
        self.gate.arrivals.push(Arrival { id, path, ip, who: Who::Anybody(claim) });
        Ok(Verdict::Upgrade { protocol })
    }

    fn admit_stranger(
        &mut self,
        id: ConnId,
        handshake: Handshake,
        head: &RequestHead<'_, '_>,
        peer: Remote,
    ) -> Result<Verdict, Response> {
        let Handshake { path, claim, protocol } = handshake;
        let ip = peer.ip();
        self.sessions.admit_stranger(ip).map_err(Denial::response)?;
        let forwarded = match self.gate.access.authentication {
            Authentication::Endpoint(_) => forwarded(head, peer),
            _ => Vec::new(),
        };
        // Its time begins when it is open, which is at once: none comes between.
        let until = Millis(0);
        let who = Who::Stranger(Stranger { path: path.clone(), claim, ip, forwarded, until });
        self.gate.arrivals.push(Arrival { id, path, ip, who });
        Ok(Verdict::Upgrade { protocol })
    }

    fn admit_bearer(
        &mut self,
        cx: &mut Context<'_>,
        id: ConnId,
        handshake: Handshake,
        credential: &Credential<'_>,
        request: &Request<'_, '_>,
    ) -> Result<Verdict, Response> {
        let forwarded = match self.gate.access.authentication {
            Authentication::Endpoint(_) => forwarded(request.head, request.peer),
            _ => Vec::new(),
        };
        match self.identify(cx, id, credential, &forwarded) {
            Finding::Asked => {
                let asked = Asked::Handshake(handshake, request.peer);
                self.gate.asked.insert(id, Box::new(asked));
                Ok(Verdict::Pending)
            }
            Finding::Known(bearer) => Ok(self.conclude(id, handshake, bearer, request.peer)),
            Finding::Rejected(rejection) => Err(rejection.response()),
        }
    }

    /// What a handshake with a good credential comes to.
    fn conclude(
        &mut self,
        id: ConnId,
        handshake: Handshake,
        bearer: Bearer,
        peer: Remote,
    ) -> Verdict {
        let Handshake { path, claim, protocol } = handshake;
        match self.check_entry(&path, claim.as_deref(), &bearer.identity, peer.ip()) {
            Ok(()) => {
                let who = Who::Bearer(bearer);
                self.gate.arrivals.push(Arrival { id, path, ip: peer.ip(), who });
                Verdict::Upgrade { protocol }
            }
            Err(Barred::Policy(denial)) => Verdict::Respond(denial.response()),
            Err(Barred::Rejected(rejection)) => refuse_handshake(rejection),
        }
    }

    /// The upgrade is done.
    pub(super) fn arrive(&mut self, cx: &mut Context<'_>, id: ConnId) {
        let arrival = self.gate.arrivals.take(id);
        let Arrival { path, who, .. } =
            arrival.expect("invariant: each Upgrade is preceded by its arrival");
        match who {
            Who::Anybody(claim) => {
                self.identities.arrive(id, claim.as_deref());
                self.rooms.enter(id, &path);
                let ip = cx.peer(id).and_then(Remote::ip);
                self.sessions.open(id, self.sessions.guest(), ip, cx.now());
            }
            Who::Bearer(bearer) => self.enter(cx, id, &path, bearer),
            Who::Stranger(mut stranger) => {
                self.sessions.open_stranger(stranger.ip);
                let gate = &mut self.gate;
                cx.restrict(id);
                stranger.until = cx.now().after(gate.timeout_ms);
                gate.patience.insert((stranger.until, id));
                gate.strangers.insert(id, Box::new(stranger));
                self.time_strangers(cx);
            }
        }
    }

    /// Somebody who has shown who he is comes in.
    fn enter(&mut self, cx: &mut Context<'_>, id: ConnId, path: &str, bearer: Bearer) {
        let identity = Arc::clone(&bearer.identity);
        let user = self.identities.arrive(id, Some(&identity.user));
        for group in &identity.groups {
            self.identities.enroll(user, group);
        }
        self.rooms.enter(id, path);
        let permissions = self.sessions.permissions(&identity.roles);
        let ip = cx.peer(id).and_then(Remote::ip);
        self.sessions.open(id, permissions, ip, cx.now());
        self.gate.bearers.insert(cx, id, bearer);
    }
}

// ---- who it is ---------------------------------------------------------------------------------

impl Relay {
    /// Whose a credential is.
    fn identify(
        &mut self,
        cx: &mut Context<'_>,
        id: ConnId,
        credential: &Credential<'_>,
        forwarded: &[Header],
    ) -> Finding {
        let (place, wall) = (credential.place, cx.wall());
        let finding = match (&mut self.gate.access.authentication, &credential.value) {
            (Authentication::Endpoint(asker), value) => {
                let (fingerprint, headers) = question(value, forwarded);
                if let Some(identity) = self.gate.cache.find(fingerprint, cx.now(), wall) {
                    return Finding::Known(Bearer { identity, proof: Proof::Endpoint });
                }
                match asker.ask(Ticket { id, fingerprint }, headers) {
                    Ok(()) => return Finding::Asked,
                    Err(NotAsked::Unsendable) => Err(Denied::Malformed),
                    Err(NotAsked::Busy) => {
                        self.warn(cx, "too many questions wait");
                        return Finding::Rejected(Rejection::CheckFailed);
                    }
                }
            }
            (own, Value::Token(token)) => own.check(token, wall).map(|identity| {
                let proof = match own {
                    Authentication::Tokens(_) => Proof::Token(Fingerprint::of(token)),
                    _ => Proof::Signature,
                };
                Bearer { identity, proof }
            }),
            _ => Err(Denied::Malformed),
        };
        match finding {
            Ok(bearer) => Finding::Known(bearer),
            Err(denied) => {
                let peer = cx.peer(id).map(|peer| peer.to_string()).unwrap_or_default();
                info!("refused conn={id} peer={peer} status=401 at={place} reason=\"{denied}\"");
                Finding::Rejected(match denied {
                    Denied::Expired => Rejection::TokenExpired,
                    _ => Rejection::TokenRefused,
                })
            }
        }
    }

    /// Whether somebody who is known may come in here, as whom he says he is.
    fn check_entry<'a>(
        &mut self,
        path: &'a str,
        claim: Option<&str>,
        identity: &Identity,
        ip: Option<IpAddr>,
    ) -> Result<(), Barred<'a>> {
        if claim.is_some_and(|claim| *claim != *identity.user) {
            return Err(Barred::Rejected(Rejection::WrongUser));
        }
        let permissions = self.sessions.permissions(&identity.roles);
        let connections = self.connections_of(&identity.user);
        let admitted = self.sessions.admit(
            &permissions,
            path,
            connections,
            ip,
            self.gate.arrivals.addresses(),
        );
        admitted.map_err(Barred::Policy)
    }

    /// Those that are let in count already: several may be in one tick.
    fn connections_of(&self, user: &str) -> usize {
        let routes = self.identities.routes();
        let here = routes.find(user).map_or(0, |user| routes.connections(user).len());
        here + self.gate.arrivals.of_user(user)
    }

    /// What the endpoint said, or that it said nothing. Called once for each question it was asked,
    /// by whoever took it there.
    pub fn answered(&mut self, cx: &mut Context<'_>, ticket: Ticket, answer: &Answer) {
        let Ticket { id, fingerprint } = ticket;
        let Some(asked) = self.gate.asked.remove(id) else { return };
        let found = match answer.identity(cx.wall(), self.envelope_limits.name_max) {
            Ok(identity) => {
                self.gate.cache.keep(fingerprint, &identity, cx.now());
                Ok(Bearer { identity, proof: Proof::Endpoint })
            }
            Err(Unanswered::Expired) => Err(Rejection::TokenExpired),
            Err(Unanswered::Forbidden) => Err(Rejection::Forbidden),
            Err(Unanswered::Unauthorized) => Err(Rejection::TokenRefused),
            Err(Unanswered::Failed(why)) => {
                self.warn(cx, &why);
                Err(Rejection::CheckFailed)
            }
        };
        if let Err(rejection) = found {
            let (status, reason) = (rejection.code(), rejection.reason());
            info!("refused conn={id} status={status} reason=\"{reason}\"");
        }
        match (*asked, found) {
            (Asked::Handshake(handshake, peer), Ok(bearer)) => {
                let verdict = self.conclude(id, handshake, bearer, peer);
                cx.decide(id, verdict);
            }
            (Asked::Handshake(..), Err(rejection)) => cx.decide(id, refuse_handshake(rejection)),
            (Asked::Message, Ok(bearer)) => self.welcome(cx, id, bearer),
            (Asked::Message, Err(rejection)) => self.reject(cx, id, rejection),
        }
    }

    /// Once in ten seconds at most: when the application is down, everybody comes back at once.
    fn warn(&mut self, cx: &Context<'_>, why: &str) {
        let now = cx.now();
        if self.gate.warned_at.is_some_and(|at| now.since(at) < WARN_EVERY_MS) {
            return;
        }
        self.gate.warned_at = Some(now);
        warn!("the authentication endpoint gives no answer: {}", Quoted(why.as_bytes()));
    }
}

// ---- strangers ---------------------------------------------------------------------------------

impl Relay {
    /// A message of somebody who has not said who he is.
    #[cold]
    pub(super) fn hear_stranger(&mut self, cx: &mut Context<'_>, id: ConnId, message: Message<'_>) {
        let token = match message {
            Message::Text(text) => match Envelope::read(text, &self.envelope_limits) {
                Ok(Envelope::Auth { token }) => unescape(token),
                _ => None,
            },
            Message::Binary(_) => None,
        };
        // Whoever is being asked about has to wait for the answer.
        let token = token.filter(|_| self.gate.asked.get(id).is_none());
        let Some(token) = token else {
            return self.reject(cx, id, Rejection::AuthenticationRequired);
        };
        let value = Value::Token(token.as_bytes().into());
        let credential = Credential { place: Place::Message, value };
        let stranger = self.gate.strangers.get(id);
        let forwarded = stranger.map_or_else(Vec::new, |stranger| stranger.forwarded.clone());
        match self.identify(cx, id, &credential, &forwarded) {
            Finding::Asked => {
                self.gate.asked.insert(id, Box::new(Asked::Message));
            }
            Finding::Known(bearer) => self.welcome(cx, id, bearer),
            Finding::Rejected(rejection) => self.reject(cx, id, rejection),
        }
    }

    /// A stranger is none any more.
    fn welcome(&mut self, cx: &mut Context<'_>, id: ConnId, bearer: Bearer) {
        let Some(stranger) = self.gate.strangers.get(id) else { return };
        let (path, claim, ip) = (stranger.path.clone(), stranger.claim.clone(), stranger.ip);
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
                self.enter(cx, id, &path, bearer);
                self.reply(cx, id, &Pieces::authenticated());
            }
            Err(Barred::Rejected(rejection)) => self.reject(cx, id, rejection),
            Err(Barred::Policy(Denial::Forbidden(action))) => {
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
    fn reject(&mut self, cx: &mut Context<'_>, id: ConnId, rejection: Rejection) {
        let _ = cx.send_parts(id, MessageKind::Text, &[rejection.message().as_bytes()]);
        self.dismiss(cx, id, rejection);
    }

    /// Closes. A stranger stays one until the end, so that nothing reaches him.
    fn dismiss(&mut self, cx: &mut Context<'_>, id: ConnId, rejection: Rejection) {
        cx.close(id, rejection.close_code(), rejection.reason());
        self.gate.asked.remove(id);
    }

    /// The timer for strangers is due.
    pub(super) fn lose_patience(&mut self, cx: &mut Context<'_>) {
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

    fn time_strangers(&mut self, cx: &mut Context<'_>) {
        // All have the same time, so the first is due before whoever comes later.
        if let (Some((until, _)), false) = (self.gate.patience.first(), self.gate.is_timed) {
            cx.set_timer(until.since(cx.now()), STRANGERS_TIMER);
            self.gate.is_timed = true;
        }
    }
}

// ---- those who are in --------------------------------------------------------------------------

impl Relay {
    /// The timer for the ends of credentials is due.
    pub(super) fn end_bearers(&mut self, cx: &mut Context<'_>) {
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
                Asked::Handshake(..) => cx.decide(id, refuse_handshake(Rejection::CheckFailed)),
                Asked::Message => self.reject(cx, id, Rejection::CheckFailed),
            }
        }
        let everybody = self.rooms.connections();
        let everybody = everybody.map(|id| (id, cx.peer(id).and_then(Remote::ip)));
        self.sessions.reconfigure(policy, everybody, cx.now());
        if !self.names_are_proven {
            // Who was waiting to be asked is asked no more; he may come in by the other way.
            for (id, _) in self.gate.strangers.iter() {
                cx.close(id, CloseCode::SERVICE_RESTART, "access was configured anew");
            }
            return;
        }
        for id in self.rooms.connections().collect::<Vec<_>>() {
            self.check_bearer(cx, id);
        }
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
                self.identities.leave(user, group);
            }
            for group in new.iter().filter(|group| !old.contains(group)) {
                self.identities.enroll(user, group);
            }
        }
        let permissions = self.sessions.permissions(&identity.roles);
        let ip = cx.peer(id).and_then(Remote::ip);
        self.sessions.open(id, permissions, ip, cx.now());
        self.gate.bearers.insert(cx, id, Bearer { identity, proof: before.proof });
    }
}

/// The answer to a handshake that is refused. A dialect whose clients are programs that a browser
/// tells nothing of a status has its place here: upgraded, and then closed with the code.
fn refuse_handshake(rejection: Rejection) -> Verdict {
    Verdict::Respond(rejection.response())
}

/// The key of the timer for strangers.
pub(super) const STRANGERS_TIMER: u64 = u64::MAX - 2;

const WARN_EVERY_MS: u64 = 10_000;
