#![doc = include_str!("PROTOCOL.md")]

pub mod access;
mod admission;
mod arrivals;
mod bearers;
mod carrier;
mod control;
mod decimal;
mod entry;
pub mod envelope;
mod gap;
mod identity;
pub mod log;
mod membership;
pub mod name;
mod object;
mod page;
mod presence;
pub mod push;
pub mod rejection;
pub mod reply;
mod routing;
mod scan;
mod session;
pub mod v1;

use std::mem;
use std::rc::Rc;

use crate::config::{Broadcast, Limits, Reach};
use crate::engine::{Closed, Context, Delivery, Door, Farewell, Handler, Request, Verdict};
use crate::hub::ConnId;
use crate::hub::rooms::Rooms;
use crate::protocol::Message;

use self::access::Access;
use self::bearers::EXPIRY_TIMER;
use self::carrier::{BEAT_TIMER, Carrier, SWEEP_TIMER};
pub use self::carrier::{Logs, random_epoch};
use self::entry::{Gate, STRANGERS_TIMER};
use self::envelope::{Envelope, EnvelopeLimits};
use self::gap::Gaps;
use self::identity::Identities;
pub use self::membership::MembershipError;
use self::presence::PRESENCE_TIMER;
use self::push::{Call, Push};
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
    /// What decides who may come in and do what.
    pub access: Access,
    /// Where messages are kept that switchboard.v1 is not to lose.
    pub logs: Logs,
}

impl Default for RelayConfig {
    fn default() -> RelayConfig {
        RelayConfig {
            limits: Limits::relay(),
            broadcast: Broadcast::default(),
            reach: Reach::default(),
            access: Access::open(),
            logs: Logs::in_memory(),
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
    /// Memberships that are kept, of users online or not.
    pub kept: usize,
    /// How many connections hear who comes to a group and goes, of all groups together.
    pub hearing: usize,
}

/// The application: one user's message reaches exactly one other user.
pub struct Relay {
    broadcast: Broadcast,
    reach: Reach,
    envelope_limits: EnvelopeLimits,
    identities: Identities,
    rooms: Rooms,
    gaps: Gaps,
    push: Push,
    sessions: Sessions,
    carrier: Carrier,
    gate: Gate,
    /// Whether a connection's name is more than a claim.
    names_are_proven: bool,
    /// How many members of a group are named to who asks.
    members_max: usize,
    /// What may be sent at once for what nobody is waiting for.
    sends_max: usize,
    /// Devices that could not take a message which another device of the same user may take.
    missed: Vec<(ConnId, Delivery)>,
    /// What SIGHUP calls: whoever reads the files again.
    reload: Option<Box<dyn Fn() + Send>>,
    /// Where a name is escaped, in the rare case that it has to be.
    scratch: String,
}

impl Relay {
    /// A relay with nobody online.
    pub fn new(config: RelayConfig) -> Relay {
        let RelayConfig { limits, broadcast, reach, mut access, mut logs } = config;
        let policy = mem::take(&mut access.policy);
        let answers = mem::take(&mut logs.stored.answers);
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
            push: Push::new(&limits, answers),
            names_are_proven: access.authentication.proves_names(),
            sessions: Sessions::new(policy),
            carrier: Carrier::new(logs, &limits),
            gate: Gate::new(access, &limits),
            members_max: narrow(limits.members_shown_max),
            sends_max: narrow(limits.send_budget_max),
            missed: Vec::new(),
            reload: None,
            scratch: String::new(),
        }
    }

    /// Has this called on SIGHUP, in the event loop: it must not wait for anything.
    pub fn set_reload(&mut self, reload: impl Fn() + Send + 'static) {
        self.reload = Some(Box::new(reload));
    }

    /// How much the relay holds at the moment.
    pub fn counts(&self) -> Counts {
        Counts {
            users: self.identities.routes().len(),
            groups: self.identities.groups().len(),
            rooms: self.rooms.len(),
            kept: self.carrier.book().kept(),
            hearing: self.identities.hearing(),
        }
    }

    /// A connection is none of its user's any more.
    fn depart(&mut self, cx: &Context<'_>, id: ConnId) {
        let routes = self.identities.routes();
        let user = match self.carrier.is_used() {
            true => routes.user_of(id).map(|user| Rc::clone(routes.shared_name(user))),
            false => None,
        };
        self.identities.depart(id);
        if let Some(user) = user.filter(|user| self.carrier.knows(user)) {
            self.count_plain(cx, &user);
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
        cx: &mut Context<'_>,
        id: ConnId,
        request: &Request<'_, '_>,
    ) -> Verdict {
        self.carrier.start(cx);
        if request.door == Door::Admin {
            return self.push(cx, id, &Call::new(request));
        }
        if let Err(response) = admission::check_host(self.reach, request.peer, request.head) {
            return Verdict::Respond(response);
        }
        let Some(upgrade) = request.upgrade else {
            return Verdict::Respond(page::respond(request.head));
        };
        self.admit(cx, id, request, upgrade).unwrap_or_else(Verdict::Respond)
    }

    fn on_open(&mut self, cx: &mut Context<'_>, id: ConnId) {
        self.arrive(cx, id);
    }

    fn on_abandoned(&mut self, _cx: &mut Context<'_>, id: ConnId) {
        self.gate.forget(id);
    }

    fn on_message(&mut self, cx: &mut Context<'_>, id: ConnId, message: Message<'_>) {
        if self.gate.is_stranger(id) {
            return self.hear_stranger(cx, id, message);
        }
        if !self.carrier.is_plain(id) {
            return self.hear_session(cx, id, message);
        }
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
                let refusal = match self.names_are_proven {
                    true => Refusal::AlreadyAuthenticated,
                    false => Refusal::AuthNotConfigured,
                };
                self.refuse(cx, id, refusal, Target::Nobody);
            }
            Ok(Envelope::Broadcast { sender }) => self.broadcast(cx, id, message, *sender),
            Err(refusal) => self.refuse(cx, id, *refusal, Target::Nobody),
        }
    }

    fn on_close(&mut self, cx: &mut Context<'_>, id: ConnId, _closed: &Closed) {
        self.close_session(cx, id);
        self.depart(cx, id);
        self.rooms.leave(id);
        self.gaps.forget(id);
        self.sessions.close(id);
        if let Some(stranger) = self.gate.forget(id) {
            self.sessions.close_stranger(stranger.ip);
        }
        // `before_flush` of this tick is over.
        self.identities.membership().presence_mut().set_timer(cx);
    }

    fn on_timer(&mut self, cx: &mut Context<'_>, key: u64) {
        match key {
            EXPIRY_TIMER => self.end_bearers(cx),
            PRESENCE_TIMER => {
                let Relay { identities, gaps, scratch, .. } = self;
                let (groups, presence) = identities.membership().parts();
                presence.announce(cx, groups, gaps, scratch, self.sends_max);
            }
            STRANGERS_TIMER => self.lose_patience(cx),
            BEAT_TIMER => self.beat(cx),
            SWEEP_TIMER => self.sweep_logs(cx),
            _ => {}
        }
    }

    fn before_flush(&mut self, cx: &mut Context<'_>) {
        self.work_off_batches(cx);
        if self.carrier.is_awake() {
            self.carry(cx);
        }
        self.identities.membership().presence_mut().set_timer(cx);
    }

    fn on_drained(&mut self, cx: &mut Context<'_>, id: ConnId) {
        // Of a session it is who came and went, which is not in the log.
        self.gaps.announce(cx, id);
        if !self.carrier.is_plain(id) {
            self.session_drained(cx, id);
        }
    }

    fn on_stopping(&mut self, cx: &mut Context<'_>, id: ConnId) -> Farewell {
        self.bid_farewell(cx, id)
    }

    fn on_hangup(&mut self, _cx: &mut Context<'_>) {
        match &self.reload {
            Some(reload) => reload(),
            None => ::log::info!("hangup ignored reason=\"there is nothing to reload\""),
        }
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
