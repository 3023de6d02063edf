//! Routing: from one message to the connections it is for.
//!
//! ```text
//!   {"receiver":"alice",…}   alice's connections, but not the one it came from      direct
//!   {"group":"room1",…}      all connections of all members, likewise               group
//!   hello                    the connections on the same URL path                   broadcast
//! ```
//!
//! This module does not know how a message is read, or how it leaves.

use std::rc::Rc;

use super::Relay;
use super::access::policy::Action;
use super::gap::Gaps;
use super::name::Name;
use super::reply::{Pieces, Refusal, Target, escape};
use super::v1::{Copies, PlainSender};
use crate::config::Broadcast;
use crate::engine::{Context, Delivery};
use crate::hub::ConnId;
use crate::hub::routes::UserKey;
use crate::protocol::{Message, MessageKind};

impl Relay {
    /// To every connection of one user, but never back to the one it came from.
    pub(super) fn direct(
        &mut self,
        cx: &mut Context<'_>,
        from: ConnId,
        sender: Option<&Name<'_>>,
        receiver: &Name<'_>,
        content: &str,
    ) {
        let target = Target::Receiver(receiver);
        let Some((speaker, other)) = self.voice(cx, from, sender, target) else { return };
        if !self.may(cx, from, Action::Send(receiver)) {
            return;
        }
        if self.carrier.is_used() && self.is_logged(speaker, receiver) {
            let user = Rc::clone(self.identities.routes().shared_name(speaker));
            let sender = plain_sender(from, &user, other);
            return self.direct_by_log(cx, from, sender, receiver, content);
        }
        let (routes, carrier) = (self.identities.routes(), &self.carrier);
        let name = escape(other.unwrap_or_else(|| routes.name(speaker)), &mut self.scratch);
        let parts = [r#"{"sender":""#, name, r#"","content":"#, content, "}"].map(str::as_bytes);
        let delivery = match routes.find(receiver).map(|user| routes.connections(user)) {
            None => Delivery::Gone,
            Some([only]) if *only == from || !carrier.is_plain(*only) => Delivery::Gone,
            Some([only]) => self.gaps.send_parts(cx, *only, MessageKind::Text, &parts),
            Some(devices) => {
                let others = devices.iter().copied();
                let others = others.filter(|&to| to != from && carrier.is_plain(to));
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
    pub(super) fn group(
        &mut self,
        cx: &mut Context<'_>,
        from: ConnId,
        sender: Option<&Name<'_>>,
        group: &Name<'_>,
        content: &str,
    ) {
        let target = Target::Group(group);
        let Some((speaker, other)) = self.voice(cx, from, sender, target) else { return };
        if !self.may(cx, from, Action::SendGroup(group)) {
            return;
        }
        let (routes, groups) = (self.identities.routes(), self.identities.groups());
        let Some(key) = groups.membership(speaker, group) else {
            return self.refuse(cx, from, Refusal::NotAMember, target);
        };
        if self.is_logged_group(group) {
            let user = Rc::clone(routes.shared_name(speaker));
            let sender = plain_sender(from, &user, other);
            return self.group_by_log(cx, from, sender, group, content);
        }
        let mut escaped_group = String::new();
        let name = escape(other.unwrap_or_else(|| routes.name(speaker)), &mut self.scratch);
        let group = escape(group, &mut escaped_group);
        let parts =
            [r#"{"sender":""#, name, r#"","group":""#, group, r#"","content":"#, content, "}"]
                .map(str::as_bytes);
        let members = groups.members(key).iter();
        let connections = members.flat_map(|&user| routes.connections(user)).copied();
        let carrier = &self.carrier;
        let others = connections.filter(|&to| to != from && carrier.is_plain(to));
        to_everybody(cx, &mut self.gaps, others, MessageKind::Text, &parts);
    }

    /// Whether the sessions know one of the two, and so have a part in what one says to the other.
    #[cold]
    fn is_logged(&self, speaker: UserKey, receiver: &str) -> bool {
        self.carrier.knows(receiver) || self.carrier.knows(self.identities.routes().name(speaker))
    }

    /// To everybody in the room, unchanged. `sender` is what an object says it is from.
    pub(super) fn broadcast(
        &mut self,
        cx: &mut Context<'_>,
        from: ConnId,
        message: Message<'_>,
        sender: Option<&str>,
    ) {
        let to_itself = match self.broadcast {
            Broadcast::Others => false,
            Broadcast::All => true,
            Broadcast::Off => {
                return self.refuse(cx, from, Refusal::BroadcastOff, Target::Nobody);
            }
        };
        if !self.may(cx, from, Action::Broadcast) {
            return;
        }
        if sender.is_some_and(|sender| !self.may_call_itself(from, sender)) {
            return self.refuse(cx, from, Refusal::SenderMismatch, Target::Nobody);
        }
        let around = self.rooms.around(from).iter().copied();
        let recipients = around.filter(|&to| to_itself || to != from);
        to_everybody(cx, &mut self.gaps, recipients, message.kind(), &[message.as_bytes()]);
    }

    /// Whether a broadcast object may have this `sender`, a JSON value: where names are proven,
    /// nothing but the connection's own.
    fn may_call_itself(&self, id: ConnId, sender: &str) -> bool {
        if !self.names_are_proven || self.sessions.permits(id, Action::Impersonate) {
            return true;
        }
        let routes = self.identities.routes();
        let own = routes.user_of(id).map(|user| routes.name(user));
        let named = Name::from_json(sender, self.envelope_limits.name_max);
        named.is_ok_and(|named| own == Some(&*named))
    }

    /// Whether a connection may do something; if not, it has been told what was missing.
    #[inline(always)]
    pub(super) fn may(&mut self, cx: &mut Context<'_>, from: ConnId, action: Action<'_>) -> bool {
        let may = self.sessions.permits(from, action);
        if !may {
            self.forbid(cx, from, action);
        }
        may
    }

    #[cold]
    fn forbid(&mut self, cx: &mut Context<'_>, from: ConnId, action: Action<'_>) {
        let pieces = Pieces::forbidden(action, &mut self.scratch);
        reply(cx, &mut self.gaps, from, &pieces);
    }

    /// Who a message is from, and whose name it is to bear if that is another one's; `None` if it
    /// was refused, which the sender has been told.
    #[inline]
    fn voice<'m>(
        &mut self,
        cx: &mut Context<'_>,
        from: ConnId,
        sender: Option<&'m Name<'_>>,
        target: Target<'_>,
    ) -> Option<(UserKey, Option<&'m str>)> {
        let connections_max = || self.sessions.limits(from).connections_per_user_max;
        match self.identities.speaker(from, sender, connections_max)? {
            Ok(speaker) => {
                if let Some(number) = self.identities.take_claim() {
                    self.rename(cx, &number, speaker);
                }
                Some((speaker, None))
            }
            Err(refusal) => self.other_voice(cx, from, sender, target, refusal),
        }
    }

    /// The same for whom the name is not his, or cannot be.
    #[cold]
    fn other_voice<'m>(
        &mut self,
        cx: &mut Context<'_>,
        from: ConnId,
        sender: Option<&'m Name<'_>>,
        target: Target<'_>,
        refusal: Refusal,
    ) -> Option<(UserKey, Option<&'m str>)> {
        let is_other = refusal == Refusal::SenderMismatch;
        if is_other && self.sessions.permits(from, Action::Impersonate) {
            let speaker = self.identities.routes().user_of(from)?;
            return Some((speaker, sender.map(|sender| &**sender)));
        }
        self.refuse(cx, from, refusal, target);
        None
    }

    /// The same for what nobody does in the name of another.
    pub(super) fn speaker(
        &mut self,
        cx: &mut Context<'_>,
        from: ConnId,
        sender: Option<&Name<'_>>,
        target: Target<'_>,
    ) -> Option<UserKey> {
        let connections_max = || self.sessions.limits(from).connections_per_user_max;
        match self.identities.speaker(from, sender, connections_max)? {
            Ok(speaker) => {
                if let Some(number) = self.identities.take_claim() {
                    self.rename(cx, &number, speaker);
                }
                Some(speaker)
            }
            Err(refusal) => {
                self.refuse(cx, from, refusal, target);
                None
            }
        }
    }

    pub(super) fn refuse(
        &mut self,
        cx: &mut Context<'_>,
        to: ConnId,
        refusal: Refusal,
        target: Target<'_>,
    ) {
        let pieces = Pieces::error(refusal, target, &mut self.scratch);
        reply(cx, &mut self.gaps, to, &pieces);
    }

    pub(super) fn confirm(&mut self, cx: &mut Context<'_>, to: ConnId, group: &str) {
        let pieces = Pieces::ok(group, &mut self.scratch);
        reply(cx, &mut self.gaps, to, &pieces);
    }

    pub(super) fn reply(&mut self, cx: &mut Context<'_>, to: ConnId, pieces: &Pieces<'_>) {
        reply(cx, &mut self.gaps, to, pieces);
    }
}

/// Who a plain message is from, for the sessions.
fn plain_sender<'a>(conn: ConnId, user: &'a str, other: Option<&'a str>) -> PlainSender<'a> {
    match other {
        Some(user) => PlainSender { conn, user, copies: Copies::None },
        None => PlainSender { conn, user, copies: Copies::Others },
    }
}

/// A reply that its connection has no room for is a message it missed.
pub(super) fn reply(cx: &mut Context<'_>, gaps: &mut Gaps, to: ConnId, pieces: &Pieces<'_>) {
    let delivery = gaps.send_parts(cx, to, MessageKind::Text, &pieces.as_parts());
    gaps.note(to, delivery);
}

/// Queues one message to everybody; who has no room for it misses it and will be told. It is
/// encoded once, and for a single recipient without the shared copy.
pub(super) fn to_everybody(
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
