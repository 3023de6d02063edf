//! Delivering: from one message of a backend to the connections it is for.
//!
//! ```text
//!   {"receiver":"alice","content":1}  with the key "billing"
//!
//!   alice's connections   c3: queued    c9: no room
//!                         online: 1     missed: 1, and c9 is told once it reads again
//! ```
//!
//! What arrives is a message of the plain dialect like any other, so clients need not know that
//! it was not another client who wrote. A message that nobody took is nobody's loss: the backend
//! is told, and may send it again.
//!
//! This module does not know HTTP.

use super::failure::{Failure, Problem};
use super::keys::{Impersonation, Key};
use super::message::{Destination, PushMessage};
use crate::engine::{Context, Delivery};
use crate::hub::ConnId;
use crate::protocol::MessageKind;
use crate::relay::Relay;
use crate::relay::gap::Gaps;
use crate::relay::reply::escape;

/// What became of a message that was sent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Delivered {
    /// Connections that it is on its way to.
    pub(super) online: usize,
    /// Connections that are there and had no room for it.
    pub(super) missed: usize,
}

impl Delivered {
    /// `{"online":2}`, and `,"missed":1` if anybody missed it.
    pub(super) fn write(self, out: &mut String) {
        let Delivered { online, missed } = self;
        match missed {
            0 => out.push_str(&format!(r#"{{"online":{online}}}"#)),
            _ => out.push_str(&format!(r#"{{"online":{online},"missed":{missed}}}"#)),
        }
    }
}

impl Relay {
    /// Sends one message to all it is for. `Ok` with nobody online if there is nobody.
    ///
    /// # Errors
    ///
    /// [`Problem::SenderRefused`]; [`Problem::ReceiverCongested`] or [`Problem::ServerCongested`]
    /// if somebody is there and nobody took it.
    pub(super) fn deliver(
        &mut self,
        cx: &mut Context<'_>,
        key: &Key,
        message: &PushMessage<'_>,
    ) -> Result<Delivered, Failure> {
        let sender: &str = match &message.sender {
            Some(sender) if **sender == **key.name() => sender,
            Some(_) if key.impersonation() == Impersonation::Refused => {
                return Err(Problem::SenderRefused.into());
            }
            Some(sender) => sender,
            None => key.name(),
        };
        let Relay { identities, rooms, gaps, missed, scratch, .. } = self;
        let (routes, groups) = (identities.routes(), identities.groups());
        let name = escape(sender, scratch);
        let content = message.content;
        let mut outgoing = Outgoing { cx, gaps, missed };
        match &message.to {
            Destination::User(user) => {
                let connections = routes.find(user).map_or(&[][..], |key| routes.connections(key));
                let parts = [r#"{"sender":""#, name, r#"","content":"#, content, "}"];
                outgoing.send(connections.iter().copied(), &parts.map(str::as_bytes))
            }
            Destination::Group(group) => {
                let members = groups.find(group).map_or(&[][..], |key| groups.members(key));
                let connections = members.iter().flat_map(|&user| routes.connections(user));
                let mut scratch = String::new();
                let group = escape(group, &mut scratch);
                let head = [r#"{"sender":""#, name, r#"","group":""#, group];
                let parts = [head[0], head[1], head[2], head[3], r#"","content":"#, content, "}"];
                outgoing.send(connections.copied(), &parts.map(str::as_bytes))
            }
            Destination::Room(path) => {
                let connections = rooms.on(path).iter().copied();
                let parts = [r#"{"sender":""#, name, r#"","content":"#, content, "}"];
                outgoing.send(connections, &parts.map(str::as_bytes))
            }
        }
    }
}

/// What sending takes.
struct Outgoing<'a, 'cx> {
    cx: &'a mut Context<'cx>,
    gaps: &'a mut Gaps,
    missed: &'a mut Vec<(ConnId, Delivery)>,
}

impl Outgoing<'_, '_> {
    /// Queues one message, encoded once. If anybody took it, those without room missed it and
    /// will be told; otherwise nobody missed anything, for it may come again.
    fn send(
        &mut self,
        recipients: impl Iterator<Item = ConnId> + Clone,
        parts: &[&[u8]],
    ) -> Result<Delivered, Failure> {
        self.missed.clear();
        let mut online = 0;
        let mut first_two = recipients.clone();
        let is_single = first_two.next().is_some() && first_two.next().is_none();
        let frame = (!is_single).then(|| self.cx.frame(MessageKind::Text, parts));
        for to in recipients {
            let delivery = match &frame {
                Some(frame) => self.gaps.send_frame(self.cx, to, frame),
                None => self.gaps.send_parts(self.cx, to, MessageKind::Text, parts),
            };
            match delivery {
                Delivery::Queued => online += 1,
                Delivery::Congested | Delivery::Dropped => self.missed.push((to, delivery)),
                Delivery::Gone => {}
            }
        }
        let missed = std::mem::take(self.missed);
        if online == 0 && !missed.is_empty() {
            let congested = missed.iter().any(|(_, delivery)| *delivery == Delivery::Congested);
            let problem =
                if congested { Problem::ReceiverCongested } else { Problem::ServerCongested };
            return Err(problem.into());
        }
        for &(to, delivery) in &missed {
            self.gaps.note(to, delivery);
        }
        Ok(Delivered { online, missed: missed.len() })
    }
}
