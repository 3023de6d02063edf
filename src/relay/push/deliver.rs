//! Delivering: from one message of a backend to the connections it is for.
//!
//! ```text
//!   {"receiver":"alice","content":1}  with the key "billing"
//!
//!   alice's connections   c3: queued    c9: no room
//!                         online: 1     missed: 1, and c9 is told once it reads again
//! ```
//!
//! What arrives is a message like any other, so clients need not know that it was not another
//! client who wrote. For whoever has a log, or speaks switchboard.v1, it goes through the log, and
//! its answer waits for the commit. Else it goes to the plain connections that are there: one that
//! nobody took is nobody's loss, for the backend is told, and may send it again.
//!
//! This module does not know HTTP.

use super::failure::{Failure, Problem};
use super::keys::{Impersonation, Key};
use super::message::{Destination, PushMessage};
use super::questions::Question;
use crate::engine::{Context, Delivery};
use crate::hub::ConnId;
use crate::protocol::MessageKind;
use crate::relay::Relay;
use crate::relay::gap::Gaps;
use crate::relay::log::Seq;
use crate::relay::reply::escape;
use crate::relay::v1::{self, Posted, Push, Refused};

/// What became of a message that was sent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Delivered {
    /// Its place in the log, if it is in one.
    pub(super) seq: Option<Seq>,
    /// Connections that it is on its way to.
    pub(super) online: usize,
    /// Connections that are there and had no room for it.
    pub(super) missed: usize,
}

impl Delivered {
    /// `{"seq":58,"online":2}`, without `seq` if it is in no log, and with `,"missed":1` if anybody
    /// missed it.
    pub(super) fn write(self, out: &mut String) {
        let Delivered { seq, online, missed } = self;
        out.push('{');
        if let Some(seq) = seq {
            out.push_str(&format!(r#""seq":{seq},"#));
        }
        out.push_str(&format!(r#""online":{online}"#));
        if missed > 0 {
            out.push_str(&format!(r#","missed":{missed}"#));
        }
        out.push('}');
    }

    /// The status of the answer: 202 for what waits for somebody who is not there.
    pub(super) fn status(self) -> u16 {
        if self.seq.is_some() && self.online == 0 { 202 } else { 200 }
    }

    /// What became of it, as a label.
    pub(super) fn label(self) -> &'static str {
        match self {
            Delivered { online: 1.., .. } => "sent",
            Delivered { seq: Some(_), .. } => "kept",
            Delivered { .. } => "absent",
        }
    }
}

/// How far a message is.
pub(super) enum Sending {
    /// It is sent.
    Done(Delivered),
    /// The log says later what became of it.
    Asked {
        /// So many sends are under way.
        sends: u64,
        /// What it will say unless the commit fails.
        expected: Result<Delivered, Failure>,
    },
}

/// What the log made of a message.
pub(super) fn delivered(outcome: Result<Posted, Refused>) -> Result<Delivered, Failure> {
    match outcome {
        Ok(Posted { seq, online }) => {
            Ok(Delivered { seq, online: usize::try_from(online).unwrap_or(usize::MAX), missed: 0 })
        }
        // Nobody is there, and nothing is kept: that is an answer.
        Err(Refused::RECEIVER_OFFLINE) => Ok(Delivered::default()),
        Err(refused) => Err(problem(refused).into()),
    }
}

/// How a refusal is said here.
pub(super) fn problem(refused: Refused) -> Problem {
    match refused {
        Refused::DRAINING => Problem::Stopping,
        Refused::MAILBOX_FULL => Problem::MailboxFull,
        Refused::MEMBERSHIPS_FULL => Problem::MembershipsFull,
        Refused::RECEIVER_CONGESTED => Problem::ReceiverCongested,
        Refused::TOO_MANY_GROUPS => Problem::TooManyGroups,
        Refused::TOO_MANY_USERS => Problem::TooManyUsers,
        _ => Problem::Store,
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
        question: impl FnOnce() -> Question,
    ) -> Result<Sending, Failure> {
        let sender: &str = match &message.sender {
            Some(sender) if **sender == **key.name() => sender,
            Some(_) if key.impersonation() == Impersonation::Refused => {
                return Err(Problem::SenderRefused.into());
            }
            Some(sender) => sender,
            None => key.name(),
        };
        if let Some(outgoing) = self.for_the_log(cx, message) {
            let token = self.push.questions.keep(question());
            let work = 1 + u64::from(outgoing.beside);
            let sessions = self.carrier.sessions();
            let before = sessions.fanned_out();
            let expected = delivered(sessions.push(Push { sender, token }, &outgoing, cx.now()));
            let sends = work + sessions.fanned_out() - before;
            return Ok(Sending::Asked { sends, expected });
        }
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
        .map(Sending::Done)
    }

    /// What the log is to make of a message, if it is for the log.
    fn for_the_log<'m>(
        &mut self,
        cx: &Context<'_>,
        message: &PushMessage<'m>,
    ) -> Option<v1::Outgoing<'m>> {
        let (to, beside) = match &message.to {
            Destination::User(user) if self.goes_by_log(cx, user) => {
                (v1::Destination::User(user.clone()), 0)
            }
            Destination::Group(group) if self.is_logged_group(group) => {
                let beside = self.plain_members(cx, group, None);
                (v1::Destination::Group(group.clone()), beside)
            }
            _ => return None,
        };
        Some(v1::Outgoing::plain(to, message.content, beside))
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
        Ok(Delivered { seq: None, online, missed: missed.len() })
    }
}
