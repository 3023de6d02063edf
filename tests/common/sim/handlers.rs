//! Applications to run: one that echoes, and one that routes.

use std::collections::{BTreeMap, BTreeSet};

use switchboard::echo::Echo;
use switchboard::engine::{Closed, Context, Delivery, Handler, Request, Verdict};
use switchboard::wire::CloseCode;
use switchboard::{ConnId, Message, MessageKind};

use super::random::Random;
use super::watch::{Ledger, Payload, Queued};
use super::world::USERS;

impl Ledger for Echo {
    fn queued(&self, _: ConnId) -> Queued<'_> {
        Queued::Echo
    }
}

/// Routes messages by their first bytes, and notes what was taken and what was not.
///
/// ```text
///   3|...    to every connection of user 3, copied
///   *|...    to everybody, encoded once
///   =|...    back
///   x3|...   closes every connection of user 3 with 4001
///   !        panics
///   t|...    sets a timer, which broadcasts
/// ```
#[derive(Debug, Default)]
pub struct Switch {
    users: BTreeMap<ConnId, u8>,
    queued: BTreeMap<ConnId, Vec<Payload>>,
    /// Who refused something, and so owes `on_drained`.
    pub congested: BTreeSet<ConnId>,
    pub refused: usize,
    pub dropped: usize,
    /// What was found wrong.
    pub faults: Vec<String>,
}

impl Switch {
    fn note(&mut self, cx: &Context<'_>, to: ConnId, was_open: bool, delivery: Delivery) -> bool {
        match delivery {
            Delivery::Queued if was_open => return true,
            Delivery::Congested if was_open => {
                self.refused += 1;
                self.congested.insert(to);
            }
            Delivery::Dropped if was_open => self.dropped += 1,
            Delivery::Gone if !was_open || !cx.is_open(to) => {}
            _ => self.faults.push(format!("conn {to}: {delivery:?}, open before: {was_open}")),
        }
        false
    }

    fn send(&mut self, cx: &mut Context<'_>, to: ConnId, message: Message<'_>) {
        let was_open = cx.is_open(to);
        let (head, tail) = message.as_bytes().split_at(message.len() / 2);
        let delivery = cx.send_parts(to, message.kind(), &[head, tail]);
        if self.note(cx, to, was_open, delivery) {
            self.queued.entry(to).or_default().push(message.into());
        }
    }

    fn broadcast(&mut self, cx: &mut Context<'_>, message: Message<'_>) {
        let frame = cx.frame(message.kind(), &[message.as_bytes()]);
        let all: Vec<ConnId> = self.users.keys().copied().collect();
        for to in all {
            let was_open = cx.is_open(to);
            let delivery = cx.send_frame(to, &frame);
            if self.note(cx, to, was_open, delivery) {
                self.queued.entry(to).or_default().push(message.into());
            }
        }
    }

    fn of_user(&self, user: u8) -> Vec<ConnId> {
        self.users.iter().filter(|(_, own)| **own == user).map(|(id, _)| *id).collect()
    }
}

impl Ledger for Switch {
    fn queued(&self, id: ConnId) -> Queued<'_> {
        Queued::Known(self.queued.get(&id).map_or(&[], |queued| &queued[..]))
    }
}

impl Handler for Switch {
    fn on_request(
        &mut self,
        _: &mut Context<'_>,
        id: ConnId,
        request: &Request<'_, '_>,
    ) -> Verdict {
        if request.upgrade.is_none() {
            return Verdict::Respond(switchboard::wire::Response::text(200, "a page"));
        }
        let user = request.head.path().as_bytes().get(1).copied().unwrap_or(b'0');
        self.users.insert(id, user);
        Verdict::Upgrade { protocol: None }
    }

    fn on_open(&mut self, cx: &mut Context<'_>, id: ConnId) {
        self.send(cx, id, Message::Text("welcome"));
    }

    fn on_message(&mut self, cx: &mut Context<'_>, from: ConnId, message: Message<'_>) {
        match message.as_bytes() {
            [b'!', ..] => panic!("{}", super::PANIC),
            [b'*', b'|', ..] => self.broadcast(cx, message),
            [b't', b'|', ..] => cx.set_timer(message.len() as u64 * 10, 1),
            [b'x', user, b'|', ..] => {
                for id in self.of_user(*user) {
                    let code = CloseCode::application(4001).unwrap_or(CloseCode::NORMAL);
                    cx.close(id, code, "told to");
                    self.send(cx, id, message);
                }
            }
            [user, b'|', ..] if user.is_ascii_digit() => {
                for id in self.of_user(*user) {
                    self.send(cx, id, message);
                }
            }
            _ => self.send(cx, from, message),
        }
    }

    fn on_close(&mut self, cx: &mut Context<'_>, id: ConnId, _: &Closed) {
        self.users.remove(&id);
        self.congested.remove(&id);
        // What others do when somebody leaves.
        self.broadcast(cx, Message::Text("somebody left"));
    }

    fn on_drained(&mut self, cx: &mut Context<'_>, id: ConnId) {
        if !self.congested.remove(&id) {
            self.faults.push(format!("conn {id}: drained, and had refused nothing"));
        }
        self.send(cx, id, Message::Text("you missed something"));
    }

    fn on_timer(&mut self, cx: &mut Context<'_>, _: u64) {
        self.broadcast(cx, Message::Text("a timer"));
    }
}

/// A message in the switch's language.
pub fn compose(random: &mut Random, serial: usize, client: usize, len: usize) -> Payload {
    let to = match random.below(40) {
        0..20 => format!("{}|", random.below(USERS)),
        20..30 => "*|".to_owned(),
        30 => format!("x{}|", random.below(USERS)),
        31 => "t|".to_owned(),
        32 if random.percent(30) => "!".to_owned(),
        _ => "=|".to_owned(),
    };
    let mut bytes = format!("{to}{serial} from {client} ").into_bytes();
    let fill = if random.percent(50) { "é" } else { "x" };
    while bytes.len() + fill.len() <= len {
        bytes.extend_from_slice(fill.as_bytes());
    }
    let kind = if random.percent(70) { MessageKind::Text } else { MessageKind::Binary };
    Payload { kind, bytes }
}

/// Where [`Panicky`] panics, for user 1 alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Spot {
    Request,
    Open,
    Message,
    Close,
    Drained,
    Timer,
    BeforeFlush,
    User,
}

/// Echoes, but panics in one callback. A message of user 0 that begins with `1|` goes to user 1.
#[derive(Debug)]
pub struct Panicky {
    pub spot: Spot,
    pub panics: std::cell::Cell<usize>,
    target: Option<ConnId>,
}

impl Panicky {
    pub fn new(spot: Spot) -> Panicky {
        Panicky { spot, panics: std::cell::Cell::new(0), target: None }
    }

    fn at(&self, spot: Spot, id: Option<ConnId>) {
        if spot == self.spot && self.target.is_some() && (id.is_none() || id == self.target) {
            self.panics.set(self.panics.get() + 1);
            panic!("{}", super::PANIC);
        }
    }
}

impl Ledger for Panicky {
    fn queued(&self, _: ConnId) -> Queued<'_> {
        Queued::Echo
    }
}

impl Handler for Panicky {
    fn on_request(
        &mut self,
        _: &mut Context<'_>,
        id: ConnId,
        request: &Request<'_, '_>,
    ) -> Verdict {
        if request.head.path() == "/1" {
            self.target = Some(id);
        }
        self.at(Spot::Request, Some(id));
        Verdict::Upgrade { protocol: None }
    }

    fn on_open(&mut self, _: &mut Context<'_>, id: ConnId) {
        self.at(Spot::Open, Some(id));
    }

    fn on_message(&mut self, cx: &mut Context<'_>, from: ConnId, message: Message<'_>) {
        self.at(Spot::Message, Some(from));
        match message.as_bytes() {
            [b'1', b'|', ..] => {
                let _ = self.target.map(|to| cx.send(to, message));
            }
            [b't', b'|', ..] => cx.set_timer(100, 1),
            _ => {
                let _ = cx.send(from, message);
            }
        }
    }

    fn on_close(&mut self, _: &mut Context<'_>, id: ConnId, _: &Closed) {
        self.at(Spot::Close, Some(id));
    }

    fn on_drained(&mut self, _: &mut Context<'_>, id: ConnId) {
        self.at(Spot::Drained, Some(id));
    }

    fn on_timer(&mut self, _: &mut Context<'_>, _: u64) {
        self.at(Spot::Timer, None);
    }

    fn before_flush(&mut self, _: &mut Context<'_>) {
        self.at(Spot::BeforeFlush, None);
    }

    fn user(&self, id: ConnId) -> Option<&str> {
        self.at(Spot::User, Some(id));
        None
    }
}

/// Sends without end as soon as there is room, which a peer that reads as fast would never stop.
#[derive(Debug, Default)]
pub struct Fountain {
    pub sent: usize,
}

impl Fountain {
    fn fill(&mut self, cx: &mut Context<'_>, to: ConnId) {
        while self.sent < 10_000 && cx.send(to, Message::Text("drop")) == Delivery::Queued {
            self.sent += 1;
        }
    }
}

impl Ledger for Fountain {
    fn queued(&self, _: ConnId) -> Queued<'_> {
        Queued::Unknown
    }
}

impl Handler for Fountain {
    fn on_message(&mut self, cx: &mut Context<'_>, from: ConnId, _: Message<'_>) {
        self.fill(cx, from);
    }

    fn on_drained(&mut self, cx: &mut Context<'_>, id: ConnId) {
        self.fill(cx, id);
    }
}
