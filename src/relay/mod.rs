#![doc = include_str!("PROTOCOL.md")]

mod admission;
pub mod envelope;
mod gap;
mod identity;
pub mod log;
pub mod name;
mod page;
pub mod reply;
mod scan;
pub mod session;

use crate::config::{Broadcast, Limits, Reach};
use crate::engine::{Closed, Context, Delivery, Handler, Request, Verdict};
use crate::hub::ConnId;
use crate::hub::groups::Joined;
use crate::hub::rooms::Rooms;
use crate::hub::routes::UserKey;
use crate::protocol::{Message, MessageKind};

use self::admission::Arrival;
use self::envelope::{Envelope, EnvelopeLimits};
use self::gap::Gaps;
use self::identity::Identities;
use self::name::Name;
use self::reply::{Pieces, Refusal, Target, escape};

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

    fn user(&self, id: ConnId) -> Option<&str> {
        let routes = self.identities.routes();
        routes.user_of(id).map(|user| routes.name(user))
    }
}

impl Relay {
    /// To every connection of one user, but never back to the one it came from.
    fn direct(
        &mut self,
        cx: &mut Context<'_>,
        from: ConnId,
        sender: Option<&Name<'_>>,
        receiver: &str,
        content: &str,
    ) {
        let target = Target::Receiver(receiver);
        let Some(speaker) = self.speaker(cx, from, sender, target) else { return };
        let routes = self.identities.routes();
        let name = escape(routes.name(speaker), &mut self.scratch);
        let parts = [r#"{"sender":""#, name, r#"","content":"#, content, "}"].map(str::as_bytes);
        let delivery = match routes.find(receiver).map(|user| routes.connections(user)) {
            None => Delivery::Gone,
            Some([only]) if *only == from => Delivery::Gone,
            Some([only]) => self.gaps.send_parts(cx, *only, MessageKind::Text, &parts),
            Some(devices) => {
                let others = devices.iter().copied().filter(|&to| to != from);
                to_any_device(cx, &mut self.gaps, &mut self.missed, others, &parts)
            }
        };
        match delivery {
            Delivery::Queued => {}
            Delivery::Congested => self.refuse(cx, from, Refusal::ReceiverCongested, target),
            Delivery::Dropped => self.refuse(cx, from, Refusal::ServerCongested, target),
            Delivery::Gone => self.refuse(cx, from, Refusal::ReceiverOffline, target),
        }
    }

    /// To every connection of every member, but never back to the one it came from.
    fn group(
        &mut self,
        cx: &mut Context<'_>,
        from: ConnId,
        sender: Option<&Name<'_>>,
        group: &str,
        content: &str,
    ) {
        let target = Target::Group(group);
        let Some(speaker) = self.speaker(cx, from, sender, target) else { return };
        let (routes, groups) = (self.identities.routes(), self.identities.groups());
        let Some(key) = groups.membership(speaker, group) else {
            return self.refuse(cx, from, Refusal::NotAMember, target);
        };
        let mut escaped_group = String::new();
        let name = escape(routes.name(speaker), &mut self.scratch);
        let group = escape(group, &mut escaped_group);
        let parts =
            [r#"{"sender":""#, name, r#"","group":""#, group, r#"","content":"#, content, "}"]
                .map(str::as_bytes);
        let members = groups.members(key).iter();
        let connections = members.flat_map(|&user| routes.connections(user)).copied();
        let others = connections.filter(|&to| to != from);
        to_everybody(cx, &mut self.gaps, others, MessageKind::Text, &parts);
    }

    /// To everybody in the room, unchanged.
    fn broadcast(&mut self, cx: &mut Context<'_>, from: ConnId, message: Message<'_>) {
        let to_itself = match self.broadcast {
            Broadcast::Others => false,
            Broadcast::All => true,
            Broadcast::Off => {
                return self.refuse(cx, from, Refusal::BroadcastOff, Target::Nobody);
            }
        };
        let around = self.rooms.around(from).iter().copied();
        let recipients = around.filter(|&to| to_itself || to != from);
        to_everybody(cx, &mut self.gaps, recipients, message.kind(), &[message.as_bytes()]);
    }

    fn join(&mut self, cx: &mut Context<'_>, from: ConnId, sender: Option<&Name<'_>>, group: &str) {
        let target = Target::Group(group);
        let Some(speaker) = self.speaker(cx, from, sender, target) else { return };
        match self.identities.groups_mut().join(speaker, group) {
            Joined::Member(_) => self.confirm(cx, from, group),
            Joined::TooMany => self.refuse(cx, from, Refusal::TooManyGroups, target),
        }
    }

    fn leave(
        &mut self,
        cx: &mut Context<'_>,
        from: ConnId,
        sender: Option<&Name<'_>>,
        group: &str,
    ) {
        let Some(speaker) = self.speaker(cx, from, sender, Target::Group(group)) else { return };
        self.identities.groups_mut().leave(speaker, group);
        self.confirm(cx, from, group);
    }

    /// Who a routed message is from; `None` if it was refused, which the sender has been told.
    fn speaker(
        &mut self,
        cx: &mut Context<'_>,
        from: ConnId,
        sender: Option<&Name<'_>>,
        target: Target<'_>,
    ) -> Option<UserKey> {
        match self.identities.speaker(from, sender)? {
            Ok(speaker) => Some(speaker),
            Err(refusal) => {
                self.refuse(cx, from, refusal, target);
                None
            }
        }
    }

    fn refuse(&mut self, cx: &mut Context<'_>, to: ConnId, refusal: Refusal, target: Target<'_>) {
        let pieces = Pieces::error(refusal, target, &mut self.scratch);
        reply(cx, &mut self.gaps, to, &pieces);
    }

    fn confirm(&mut self, cx: &mut Context<'_>, to: ConnId, group: &str) {
        let pieces = Pieces::ok(group, &mut self.scratch);
        reply(cx, &mut self.gaps, to, &pieces);
    }

    fn reply(&mut self, cx: &mut Context<'_>, to: ConnId, pieces: &Pieces<'_>) {
        reply(cx, &mut self.gaps, to, pieces);
    }
}

/// A limit as a length; what no length can reach is no limit.
fn narrow(limit: u64) -> usize {
    usize::try_from(limit).unwrap_or(usize::MAX)
}

/// A reply that its connection has no room for is a message it missed.
fn reply(cx: &mut Context<'_>, gaps: &mut Gaps, to: ConnId, pieces: &Pieces<'_>) {
    let delivery = gaps.send_parts(cx, to, MessageKind::Text, &pieces.as_parts());
    gaps.note(to, delivery);
}

/// Queues one message to everybody; who has no room for it misses it and will be told. It is
/// encoded once, and for a single recipient without the shared copy.
fn to_everybody(
    cx: &mut Context<'_>,
    gaps: &mut Gaps,
    recipients: impl Iterator<Item = ConnId> + Clone,
    kind: MessageKind,
    parts: &[&[u8]],
) {
    let mut first_two = recipients.clone();
    match (first_two.next(), first_two.next()) {
        (None, _) => {}
        (Some(only), None) => {
            let delivery = gaps.send_parts(cx, only, kind, parts);
            gaps.note(only, delivery);
        }
        (Some(_), Some(_)) => {
            let frame = cx.frame(kind, parts);
            for to in recipients {
                let delivery = gaps.send_frame(cx, to, &frame);
                gaps.note(to, delivery);
            }
        }
    }
}

/// Queues one message to the devices of one user and says what became of it: queued if any of
/// them took it, and then those that had no room missed it; otherwise nobody missed anything,
/// because the sender is told.
fn to_any_device(
    cx: &mut Context<'_>,
    gaps: &mut Gaps,
    missed: &mut Vec<(ConnId, Delivery)>,
    devices: impl Iterator<Item = ConnId>,
    parts: &[&[u8]],
) -> Delivery {
    let frame = cx.frame(MessageKind::Text, parts);
    let mut outcome = Delivery::Gone;
    missed.clear();
    for to in devices {
        let delivery = gaps.send_frame(cx, to, &frame);
        match (delivery, outcome) {
            (Delivery::Queued, _) => outcome = Delivery::Queued,
            (Delivery::Congested, Delivery::Dropped | Delivery::Gone)
            | (Delivery::Dropped, Delivery::Gone) => outcome = delivery,
            _ => {}
        }
        if delivery != Delivery::Queued {
            missed.push((to, delivery));
        }
    }
    if outcome == Delivery::Queued {
        for &(to, delivery) in &*missed {
            gaps.note(to, delivery);
        }
    }
    outcome
}
