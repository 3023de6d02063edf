#![doc = include_str!("PROTOCOL.md")]

pub mod access;
mod admission;
pub mod envelope;
mod gap;
mod identity;
pub mod name;
mod page;
pub mod push;
pub mod reply;
mod routing;
mod scan;

use crate::config::{Broadcast, Limits, Reach};
use crate::engine::{Closed, Context, Delivery, Door, Handler, Request, Verdict};
use crate::hub::ConnId;
use crate::hub::rooms::Rooms;
use crate::protocol::Message;

use self::admission::Arrival;
use self::envelope::{Envelope, EnvelopeLimits};
use self::gap::Gaps;
use self::identity::Identities;
use self::push::{Call, Push};
use self::reply::{Pieces, Refusal, Target};

/// What a relay is told at its start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RelayConfig {
    /// The limits of the server; those of the heading "Relay" are this module's.
    pub limits: Limits,
    /// Who gets a message that is for nobody in particular.
    pub broadcast: Broadcast,
    /// Who can come: decides which `Host` and `Origin` are accepted.
    pub reach: Reach,
}

impl Default for RelayConfig {
    fn default() -> RelayConfig {
        RelayConfig {
            limits: Limits::relay(),
            broadcast: Broadcast::default(),
            reach: Reach::default(),
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
        let RelayConfig { limits, broadcast, reach } = config;
        Relay {
            broadcast,
            reach,
            envelope_limits: EnvelopeLimits {
                depth_max: narrow(limits.json_depth_max),
                name_max: narrow(limits.user_id_max_bytes),
            },
            identities: Identities::new(narrow(limits.groups_per_user_max)),
            rooms: Rooms::new(),
            gaps: Gaps::new(),
            push: Push::new(&limits),
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
        }
    }
}

impl Handler for Relay {
    fn on_request(
        &mut self,
        cx: &mut Context<'_>,
        id: ConnId,
        request: &Request<'_, '_>,
    ) -> Verdict {
        if request.door == Door::Admin {
            return self.push(cx, id, &Call::new(request));
        }
        if let Err(response) = admission::check_host(self.reach, request.head) {
            return Verdict::Respond(response);
        }
        let Some(upgrade) = request.upgrade else {
            return Verdict::Respond(page::respond(request.head));
        };
        let (reach, name_max) = (self.reach, self.envelope_limits.name_max);
        let admitted = admission::admit(id, request.head, upgrade, reach, name_max)
            .and_then(|admitted| admitted.check_free(&self.identities));
        match admitted {
            Ok(admitted) => {
                self.arrival = Some(admitted.arrival);
                Verdict::Upgrade { protocol: admitted.protocol }
            }
            Err(response) => Verdict::Respond(response),
        }
    }

    fn on_open(&mut self, _cx: &mut Context<'_>, id: ConnId) {
        let arrival = self.arrival.take().filter(|arrival| arrival.id == id);
        let arrival = arrival.expect("invariant: on_open follows its on_request at once");
        self.identities.arrive(id, arrival.user.as_deref());
        self.rooms.enter(id, &arrival.path);
    }

    fn on_message(&mut self, cx: &mut Context<'_>, id: ConnId, message: Message<'_>) {
        let Message::Text(text) = message else { return self.broadcast(cx, id, message) };
        let envelope = Envelope::read(text, &self.envelope_limits);
        match &envelope {
            Ok(Envelope::Direct { sender, receiver, content }) => {
                self.direct(cx, id, sender.as_ref(), receiver, content);
            }
            Ok(Envelope::Group { sender, group, content }) => {
                self.group(cx, id, sender.as_ref(), group, content);
            }
            Ok(Envelope::Join { sender, group }) => self.join(cx, id, sender.as_ref(), group),
            Ok(Envelope::Leave { sender, group }) => self.leave(cx, id, sender.as_ref(), group),
            Ok(Envelope::Ping) => self.reply(cx, id, &Pieces::pong()),
            Ok(Envelope::Auth { .. }) => {
                self.refuse(cx, id, Refusal::AuthNotConfigured, Target::Nobody);
            }
            Ok(Envelope::Broadcast) => self.broadcast(cx, id, message),
            Err(refusal) => self.refuse(cx, id, *refusal, Target::Nobody),
        }
    }

    fn on_close(&mut self, _cx: &mut Context<'_>, id: ConnId, _closed: &Closed) {
        self.identities.depart(id);
        self.rooms.leave(id);
        self.gaps.forget(id);
    }

    fn on_drained(&mut self, cx: &mut Context<'_>, id: ConnId) {
        self.gaps.announce(cx, id);
    }

    fn on_timer(&mut self, cx: &mut Context<'_>, key: u64) {
        if key == push::TIMER {
            self.work_off_batches(cx);
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
