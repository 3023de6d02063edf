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

mod renewal;
mod strangers;

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::sync::Arc;

use log::{info, warn};

use super::Relay;
use super::access::credentials::{self, Credential, Value};
use super::access::endpoint::{
    Answer, Cache, Header, NotAsked, Ticket, Unanswered, forwarded, question,
};
use super::access::secret::Fingerprint;
use super::access::{Access, Authentication, Denied, Identity};
use super::admission::{self, Dialect, Handshake};
use super::arrivals::{Arrival, Arrivals, Stranger, Who};
use super::bearers::{Bearer, Bearers, Proof};
use super::rejection::Rejection;
use super::session::Denial;
use crate::config::Limits;
use crate::engine::{Context, Remote, Request, Verdict};
use crate::hub::routes::UserKey;
use crate::hub::{ConnId, ConnMap};
use crate::timer::Millis;
use crate::wire::{Quoted, RequestHead, Response, Upgrade};

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

    /// Whether there is a user of this name, though perhaps never seen.
    pub(super) fn names(&self, user: &str) -> bool {
        match &self.access.authentication {
            Authentication::Tokens(tokens) => tokens.name(user),
            _ => false,
        }
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
            return Ok(self.admit_anybody(id, handshake, request.peer.ip()));
        };
        let is_listed = upgrade.origin.is_some_and(|origin| access.origins.contains(origin));
        let credential = credentials::find(request.head, upgrade, wanted, is_listed);
        match credential.map_err(Response::from)? {
            Some(credential) => Ok(self.admit_bearer(cx, id, handshake, &credential, request)),
            None => Ok(self.admit_stranger(id, handshake, request.head, request.peer)),
        }
    }

    fn admit_anybody(&mut self, id: ConnId, handshake: Handshake, ip: Option<IpAddr>) -> Verdict {
        let claim = handshake.claim.as_deref();
        // The number of a guest is not to be taken: its owner did not choose it.
        if claim.is_some_and(|name| self.identities.check_free(name).is_err()) {
            return self.turn_away(id, &handshake, Barred::Rejected(Rejection::Taken));
        }
        let permissions = self.sessions.guest();
        let connections = claim.map_or(0, |name| self.connections_of(name));
        let arriving = self.gate.arrivals.addresses();
        let admitted =
            self.sessions.admit(&permissions, &handshake.path, connections, ip, arriving);
        if let Err(denial) = admitted {
            return self.turn_away(id, &handshake, Barred::Policy(denial));
        }
        let Handshake { path, claim, dialect, protocol } = handshake;
        self.gate.arrivals.push(Arrival { id, path, ip, dialect, who: Who::Anybody(claim) });
        Verdict::Upgrade { protocol }
    }

    /// Refuses a handshake. A program in a browser is not told the status of an answer, so those
    /// of switchboard.v1, who have to know whether to come again, are let in and closed.
    fn turn_away(&mut self, id: ConnId, handshake: &Handshake, barred: Barred<'_>) -> Verdict {
        if handshake.dialect == Dialect::Plain {
            return Verdict::Respond(match barred {
                Barred::Policy(denial) => denial.response(),
                Barred::Rejected(rejection) => rejection.response(),
            });
        }
        let rejection = match barred {
            Barred::Policy(Denial::Forbidden(_)) => Rejection::Forbidden,
            Barred::Policy(Denial::TooManyOfAddress | Denial::TooManyOfUser) => {
                Rejection::TooManyConnections
            }
            Barred::Rejected(rejection) => rejection,
        };
        // 4409 is for who was replaced, and takes another name for the client: no help here.
        let code = match rejection {
            Rejection::Taken => Rejection::WrongUser.close_code(),
            _ => rejection.close_code(),
        };
        let who = Who::TurnedAway(code, rejection.reason());
        let (dialect, path) = (handshake.dialect, Box::default());
        self.gate.arrivals.push(Arrival { id, path, ip: None, dialect, who });
        Verdict::Upgrade { protocol: handshake.protocol }
    }

    fn admit_stranger(
        &mut self,
        id: ConnId,
        handshake: Handshake,
        head: &RequestHead<'_, '_>,
        peer: Remote,
    ) -> Verdict {
        let ip = peer.ip();
        if let Err(denial) = self.sessions.admit_stranger(ip) {
            return self.turn_away(id, &handshake, Barred::Policy(denial));
        }
        let forwarded = match self.gate.access.authentication {
            Authentication::Endpoint(_) => forwarded(head, peer),
            _ => Vec::new(),
        };
        let Handshake { path, claim, dialect, protocol } = handshake;
        let who = Who::Stranger(Stranger {
            path: path.clone(),
            claim,
            dialect,
            hello: None,
            ip,
            forwarded,
            // Its time begins when it is open, which is at once: none comes between.
            until: Millis(0),
        });
        self.gate.arrivals.push(Arrival { id, path, ip, dialect, who });
        Verdict::Upgrade { protocol }
    }

    fn admit_bearer(
        &mut self,
        cx: &mut Context<'_>,
        id: ConnId,
        handshake: Handshake,
        credential: &Credential<'_>,
        request: &Request<'_, '_>,
    ) -> Verdict {
        let forwarded = match self.gate.access.authentication {
            Authentication::Endpoint(_) => forwarded(request.head, request.peer),
            _ => Vec::new(),
        };
        match self.identify(cx, id, credential, &forwarded) {
            Finding::Asked => {
                let asked = Asked::Handshake(handshake, request.peer);
                self.gate.asked.insert(id, Box::new(asked));
                Verdict::Pending
            }
            Finding::Known(bearer) => self.conclude(id, handshake, bearer, request.peer),
            Finding::Rejected(rejection) => {
                self.turn_away(id, &handshake, Barred::Rejected(rejection))
            }
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
        let (path, claim) = (&handshake.path, handshake.claim.as_deref());
        match self.check_entry(path, claim, &bearer.identity, peer.ip()) {
            Ok(()) => {
                let Handshake { path, dialect, protocol, .. } = handshake;
                let who = Who::Bearer(bearer);
                self.gate.arrivals.push(Arrival { id, path, ip: peer.ip(), dialect, who });
                Verdict::Upgrade { protocol }
            }
            Err(barred) => self.turn_away(id, &handshake, barred),
        }
    }

    /// The upgrade is done.
    pub(super) fn arrive(&mut self, cx: &mut Context<'_>, id: ConnId) {
        let arrival = self.gate.arrivals.take(id);
        let Arrival { path, dialect, who, .. } =
            arrival.expect("invariant: each Upgrade is preceded by its arrival");
        match who {
            Who::TurnedAway(code, reason) => cx.close(id, code, reason),
            Who::Anybody(claim) => {
                let user = self.arrive_as(id, claim.as_deref());
                self.begin(cx, id, &path, dialect, user);
                let ip = cx.peer(id).and_then(Remote::ip);
                self.sessions.open(id, self.sessions.guest(), ip, cx.now());
            }
            Who::Bearer(bearer) => self.enter(cx, id, &path, dialect, bearer),
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

    /// A connection is one of its user's from now on. The room is for those who speak plain.
    fn begin(
        &mut self,
        cx: &mut Context<'_>,
        id: ConnId,
        path: &str,
        dialect: Dialect,
        user: UserKey,
    ) {
        match dialect {
            Dialect::Plain => self.rooms.enter(id, path),
            Dialect::V1 => self.carrier.open(cx, id),
        }
        if self.carrier.is_used() {
            self.acquaint(cx, user);
        }
    }

    fn arrive_as(&mut self, id: ConnId, name: Option<&str>) -> UserKey {
        let Relay { identities, carrier, .. } = self;
        identities.arrive(id, name, |number| carrier.knows(number))
    }

    /// Somebody who has shown who he is comes in.
    fn enter(
        &mut self,
        cx: &mut Context<'_>,
        id: ConnId,
        path: &str,
        dialect: Dialect,
        bearer: Bearer,
    ) {
        let identity = Arc::clone(&bearer.identity);
        let user = self.arrive_as(id, Some(&identity.user));
        for group in &identity.groups {
            self.identities.enroll(user, group);
        }
        self.begin(cx, id, path, dialect, user);
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
            (Asked::Handshake(handshake, _), Err(rejection)) => {
                let verdict = self.turn_away(id, &handshake, Barred::Rejected(rejection));
                cx.decide(id, verdict);
            }
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

/// The key of the timer for strangers.
pub(super) const STRANGERS_TIMER: u64 = u64::MAX - 2;

const WARN_EVERY_MS: u64 = 10_000;
