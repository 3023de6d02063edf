#![doc = include_str!("PROTOCOL.md")]

pub mod access;
mod admission;
mod control;
pub mod envelope;
mod gap;
mod identity;
mod membership;
pub mod name;
mod page;
mod presence;
pub mod reply;
mod routing;
mod scan;
mod session;

use std::net::IpAddr;

use crate::config::{Broadcast, Limits, Reach};
use crate::engine::{Closed, Context, Delivery, Handler, Remote, Request, Verdict};
use crate::hub::ConnId;
use crate::hub::rooms::Rooms;
use crate::protocol::Message;
use crate::wire::Response;

use self::access::Access;
use self::admission::{Admitted, Arrival};
use self::envelope::{Envelope, EnvelopeLimits};
use self::gap::Gaps;
use self::identity::Identities;
pub use self::membership::GrantError;
use self::presence::PRESENCE_TIMER;
use self::reply::{Pieces, Refusal, Target};
use self::session::{Excess, Sessions};

/// What a relay is told at its start.
#[derive(Debug)]
pub struct RelayConfig {
    /// The limits of the server; those of the heading "Relay" are this module's.
    pub limits: Limits,
    /// Who gets a message that is for nobody in particular.
    pub broadcast: Broadcast,
    /// Who can come: decides which `Host` and `Origin` are accepted.
    pub reach: Reach,
    /// What decides who may do what.
    pub access: Access,
}

impl Default for RelayConfig {
    fn default() -> RelayConfig {
        RelayConfig {
            limits: Limits::relay(),
            broadcast: Broadcast::default(),
            reach: Reach::default(),
            access: Access::open(),
        }
    }
}

/// How much the relay holds at the moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Counts {
    /// Users online, guests among them.
    pub users: usize,
    /// Groups with at least one member.
    pub groups: usize,
    /// Rooms with at least one connection.
    pub rooms: usize,
    /// Memberships that a backend granted, of users online or not.
    pub granted: usize,
}

/// The application: one user's message reaches exactly one other user.
pub struct Relay {
    broadcast: Broadcast,
    reach: Reach,
    envelope_limits: EnvelopeLimits,
    identities: Identities,
    rooms: Rooms,
    gaps: Gaps,
    sessions: Sessions,
    /// Whether a connection's name is more than a claim.
    names_are_proven: bool,
    /// How many members of a group are named to who asks.
    members_max: usize,
    /// What may be sent at once for what nobody is waiting for.
    sends_max: usize,
    /// Who is between `on_request` and `on_open`, which follow one another.
    arrival: Option<Arrival>,
    /// Devices that could not take a message which another device of the same user may take.
    missed: Vec<(ConnId, Delivery)>,
    /// Where a name is escaped, in the rare case that it has to be.
    scratch: String,
}

impl Relay {
    /// A relay with nobody online.
    pub fn new(config: RelayConfig) -> Relay {
        let RelayConfig { limits, broadcast, reach, access } = config;
        Relay {
            broadcast,
            reach,
            envelope_limits: EnvelopeLimits {
                depth_max: narrow(limits.json_depth_max),
                name_max: narrow(limits.user_id_max_bytes),
            },
            identities: Identities::new(&limits),
            rooms: Rooms::new(),
            gaps: Gaps::new(),
            names_are_proven: access.authentication.proves_names(),
            sessions: Sessions::new(access.policy),
            members_max: narrow(limits.members_shown_max),
            sends_max: narrow(limits.send_budget_max),
            arrival: None,
            missed: Vec::new(),
            scratch: String::new(),
        }
    }

    /// How much the relay holds at the moment.
    pub fn counts(&self) -> Counts {
        Counts {
            users: self.identities.routes().len(),
            groups: self.identities.groups().len(),
            rooms: self.rooms.len(),
            granted: self.identities.granted(),
        }
    }

    /// Another configuration of who may do what, from now on: nobody is dropped, and everybody has
    /// the permissions and limits that it gives to his roles.
    pub fn reconfigure(&mut self, cx: &mut Context<'_>, access: Access) {
        self.names_are_proven = access.authentication.proves_names();
        let everybody = self.rooms.connections();
        let everybody = everybody.map(|id| (id, cx.peer(id).and_then(Remote::ip)));
        self.sessions.reconfigure(access.policy, everybody, cx.now());
    }

    /// Whether somebody may come in on the path, and once more.
    fn check_policy(&self, admitted: Admitted, ip: Option<IpAddr>) -> Result<Admitted, Response> {
        let routes = self.identities.routes();
        let user = admitted.arrival.user.as_deref().and_then(|user| routes.find(user));
        let connections = user.map_or(0, |user| routes.connections(user).len());
        let permissions = self.sessions.guest();
        match self.sessions.admit(&permissions, &admitted.arrival.path, connections, ip) {
            Ok(()) => Ok(admitted),
            Err(denial) => Err(denial.response()),
        }
    }

    /// Counts a message; `None` if it is too much, which the sender has been told.
    #[inline(never)]
    fn charge(&mut self, cx: &mut Context<'_>, from: ConnId, message: Message<'_>) -> Option<()> {
        match self.sessions.charge(from, cx.now(), message.as_bytes().len()) {
            Ok(()) => Some(()),
            Err(excess) => {
                self.refuse_excess(cx, from, message, excess);
                None
            }
        }
    }

    #[cold]
    fn refuse_excess(
        &mut self,
        cx: &mut Context<'_>,
        from: ConnId,
        message: Message<'_>,
        excess: Excess,
    ) {
        let pieces = match (excess, message) {
            (Excess::TooLarge { max_bytes }, _) => Pieces::too_large(max_bytes, &mut self.scratch),
            (Excess::Rate { after_ms }, Message::Binary(_)) => {
                Pieces::rate(after_ms, Target::Nobody, &mut self.scratch)
            }
            (Excess::Rate { after_ms }, Message::Text(text)) => {
                // Whom it was for says which message it was.
                let envelope = Envelope::read(text, &self.envelope_limits);
                let target = envelope.as_ref().map_or(Target::Nobody, Envelope::target);
                let pieces = Pieces::rate(after_ms, target, &mut self.scratch);
                return routing::reply(cx, &mut self.gaps, from, &pieces);
            }
        };
        routing::reply(cx, &mut self.gaps, from, &pieces);
    }
}

impl Handler for Relay {
    fn on_request(
        &mut self,
        _cx: &mut Context<'_>,
        id: ConnId,
        request: &Request<'_, '_>,
    ) -> Verdict {
        if let Err(response) = admission::check_host(self.reach, request.head) {
            return Verdict::Respond(response);
        }
        let Some(upgrade) = request.upgrade else {
            return Verdict::Respond(page::respond(request.head));
        };
        let (reach, name_max) = (self.reach, self.envelope_limits.name_max);
        let admitted = admission::admit(id, request.head, upgrade, reach, name_max)
            .and_then(|admitted| admitted.check_free(&self.identities));
        let admitted = admitted.and_then(|admitted| self.check_policy(admitted, request.peer.ip()));
        match admitted {
            Ok(admitted) => {
                self.arrival = Some(admitted.arrival);
                Verdict::Upgrade { protocol: admitted.protocol }
            }
            Err(response) => Verdict::Respond(response),
        }
    }

    fn on_open(&mut self, cx: &mut Context<'_>, id: ConnId) {
        let arrival = self.arrival.take().filter(|arrival| arrival.id == id);
        let arrival = arrival.expect("invariant: on_open follows its on_request at once");
        self.identities.arrive(id, arrival.user.as_deref());
        self.rooms.enter(id, &arrival.path);
        let ip = cx.peer(id).and_then(Remote::ip);
        self.sessions.open(id, self.sessions.guest(), ip, cx.now());
    }

    fn on_message(&mut self, cx: &mut Context<'_>, id: ConnId, message: Message<'_>) {
        if self.sessions.counts() && self.charge(cx, id, message).is_none() {
            return;
        }
        let Message::Text(text) = message else { return self.broadcast(cx, id, message, None) };
        let envelope = Envelope::read(text, &self.envelope_limits);
        match &envelope {
            Ok(Envelope::Direct { sender, receiver, content }) => {
                self.direct(cx, id, sender.as_ref(), receiver, content);
            }
            Ok(Envelope::Group { sender, group, content }) => {
                self.group(cx, id, sender.as_ref(), group, content);
            }
            Ok(Envelope::Join { sender, group, events }) => {
                self.join(cx, id, sender.as_ref(), group, *events);
            }
            Ok(Envelope::Leave { sender, group }) => self.leave(cx, id, sender.as_ref(), group),
            Ok(Envelope::Members { sender, group }) => self.members(cx, id, sender.as_ref(), group),
            Ok(Envelope::Presence { sender, user }) => self.presence(cx, id, sender.as_ref(), user),
            Ok(Envelope::Ping) => self.reply(cx, id, &Pieces::pong()),
            Ok(Envelope::Auth { .. }) => {
                self.refuse(cx, id, Refusal::AuthNotConfigured, Target::Nobody);
            }
            Ok(Envelope::Broadcast { sender }) => self.broadcast(cx, id, message, *sender),
            Err(refusal) => self.refuse(cx, id, *refusal, Target::Nobody),
        }
    }

    fn on_close(&mut self, cx: &mut Context<'_>, id: ConnId, _closed: &Closed) {
        self.identities.depart(id);
        self.rooms.leave(id);
        self.gaps.forget(id);
        self.sessions.close(id);
        // `before_flush` of this tick is over.
        self.identities.membership().presence_mut().set_timer(cx);
    }

    fn on_timer(&mut self, cx: &mut Context<'_>, key: u64) {
        if key == PRESENCE_TIMER {
            let Relay { identities, gaps, scratch, .. } = self;
            let (groups, presence) = identities.membership().parts();
            presence.announce(cx, groups, gaps, scratch, self.sends_max);
        }
    }

    fn before_flush(&mut self, cx: &mut Context<'_>) {
        self.identities.membership().presence_mut().set_timer(cx);
    }

    fn on_drained(&mut self, cx: &mut Context<'_>, id: ConnId) {
        self.gaps.announce(cx, id);
    }

    fn user(&self, id: ConnId) -> Option<&str> {
        let routes = self.identities.routes();
        routes.user_of(id).map(|user| routes.name(user))
    }
}

/// A limit as a length; what no length can reach is no limit.
fn narrow(limit: u64) -> usize {
    usize::try_from(limit).unwrap_or(usize::MAX)
}
