//! Effects: what the sessions want done, given to the engine.
//!
//! ```text
//!   Deliver 58 to c9   {"seq":58,"sender":"bob",...}       the entry's own bytes, for everybody
//!   Plain alice        {"sender":"bob","content":"hi"}     to her connections that speak plain
//!   Reply to c3        {"type":"ok","id":17}
//! ```
//!
//! What is owed to a connection is never skipped: if the server has no room for it, the connection
//! ends, and its client goes on where it was.
//!
//! This module does not know why something is done.

use std::mem;
use std::rc::Rc;

use super::{FRAMES_MAX, close, plain_refusal};
use crate::engine::{Context, Delivery};
use crate::hub::ConnId;
use crate::hub::routes::UserKey;
use crate::outbox::Frame;
use crate::protocol::MessageKind;
use crate::relay::Relay;
use crate::relay::log::{Entry, Outcome, Store, Stored, To};
use crate::relay::reply::{Target, escape};
use crate::relay::routing::to_everybody;
use crate::relay::v1::{Closing, Effect, Pumped, Reply};

impl Relay {
    /// Once per tick, when all input is delivered.
    pub(in crate::relay) fn carry(&mut self, cx: &mut Context<'_>) {
        while let Some(outcome) = self.carrier.sessions.store_mut().poll() {
            match outcome {
                Outcome::Committed(number) => self.carrier.sessions.committed(number),
                Outcome::Failed => self.carrier.sessions.failed(),
                Outcome::Restored(stored) => self.restored(cx, stored),
            }
        }
        self.carrier.sessions.flush(cx.now());
        // What that says stands in front of what is read now, and is carried out with it.
        let mut more = Vec::new();
        while let Some(id) = self.carrier.sessions.next_ready() {
            if self.pump(cx, id) == Pumped::More {
                more.push(id);
            }
        }
        self.carry_out(cx);
        for id in more {
            self.carrier.sessions.set_ready(id);
            cx.tick_again();
        }
        self.carrier.frames.clear();
        self.carrier.go_on_sweeping(cx);
        self.stop_sessions(cx);
    }

    fn restored(&mut self, cx: &Context<'_>, stored: Stored) {
        let names: Vec<Rc<str>> = stored.users.iter().map(|(name, _)| Rc::clone(name)).collect();
        self.carrier.sessions.restored(stored, cx.now());
        // A membership that was not committed has ended with that.
        for name in names {
            if let Some(user) = self.identities.routes().find(&name) {
                self.realign(cx, user);
            }
        }
    }

    /// What the book says of a user's groups is so.
    fn realign(&mut self, cx: &Context<'_>, user: UserKey) {
        let book = self.carrier.book();
        let Some(key) = book.find(self.identities.routes().name(user)) else { return };
        let here = self.identities.groups().names_of(user);
        let gone: Vec<Box<str>> =
            here.filter(|group| !book.is_member(key, group)).map(Box::from).collect();
        for group in gone {
            self.identities.leave(user, &group);
        }
        self.acquaint(cx, user);
    }

    /// A connection has room again.
    pub(in crate::relay) fn session_drained(&mut self, cx: &mut Context<'_>, id: ConnId) {
        self.carrier.sessions.took(id, cx.now());
        if self.pump(cx, id) == Pumped::More {
            self.carrier.sessions.set_ready(id);
            cx.tick_again();
        }
        self.carry_out(cx);
    }

    /// Has given to a connection what it has room for, sooner or later: what is to be done may
    /// remain to be carried out. `More` if it has room left in spite of it.
    fn pump(&mut self, cx: &mut Context<'_>, id: ConnId) -> Pumped {
        let room = cx.room(id);
        if room == 0 {
            return Pumped::Done; // `on_drained` follows
        }
        let pumped = self.carrier.sessions.pump(id, room);
        // A little for each of many is carried out together, and never much is put off.
        if pumped == Pumped::More || self.carrier.sessions.pending() >= EFFECTS_MAX {
            self.carry_out(cx);
        }
        match pumped {
            Pumped::More if cx.room(id) > 0 => Pumped::More,
            _ => Pumped::Done,
        }
    }

    pub(super) fn carry_out(&mut self, cx: &mut Context<'_>) {
        let mut effects = mem::take(&mut self.carrier.effects);
        self.carrier.sessions.swap_effects(&mut effects);
        for effect in effects.drain(..) {
            self.carry_effect(cx, effect);
        }
        self.carrier.effects = effects;
    }

    fn carry_effect(&mut self, cx: &mut Context<'_>, effect: Effect) {
        match effect {
            Effect::Close { conn, closing } => close(cx, conn, closing),
            Effect::Deliver { to, entry } => self.hand_over(cx, to, entry),
            Effect::Plain { user, except, entry } => self.reach_plain(cx, &user, except, &entry),
            Effect::PlainGroup { except, entry } => self.reach_plain_group(cx, except, &entry),
            Effect::Pushed { token, outcome } => self.pushed(cx, token, outcome),
            Effect::Reply { to, reply } => self.say(cx, to, &reply),
            Effect::Unsent { to, refused } => {
                self.refuse(cx, to, plain_refusal(refused), Target::Nobody);
            }
        }
    }

    /// A message for a connection that speaks switchboard.v1.
    fn hand_over(&mut self, cx: &mut Context<'_>, to: ConnId, entry: Entry) {
        let delivery = match cx.is_deflating() && entry.is_for_group() {
            false => cx.send_frame_owed(to, &entry.into_frame()),
            true => cx.send_frame_owed(to, self.remembering_frame(&entry)),
        };
        settle(cx, to, delivery);
    }

    /// The frame of a message to a group, which is compressed once for all who get it in this tick.
    fn remembering_frame(&mut self, entry: &Entry) -> &Frame {
        let frames = &mut self.carrier.frames;
        let found = frames.iter().position(|(known, _)| known.is_same(entry));
        let at = found.unwrap_or_else(|| {
            // The oldest goes: whoever is behind so far is served from a new one.
            if frames.len() == FRAMES_MAX {
                frames.pop_front();
            }
            frames.push_back((entry.clone(), entry.frame().with_encodings()));
            frames.len() - 1
        });
        &frames[at].1
    }

    fn say(&mut self, cx: &mut Context<'_>, to: ConnId, reply: &Reply) {
        let text = &mut self.carrier.text;
        text.clear();
        reply.write(text);
        // A receipt is a hint, and others decide how many there are.
        if let Reply::Receipt { .. } = reply {
            let _ = cx.send_parts(to, MessageKind::Text, &[text]);
            return;
        }
        let delivery = cx.send_owed(to, MessageKind::Text, &[text]);
        settle(cx, to, delivery);
    }

    fn reach_plain(
        &mut self,
        cx: &mut Context<'_>,
        user: &str,
        except: Option<ConnId>,
        entry: &Entry,
    ) {
        let routes = self.identities.routes();
        let connections = routes.find(user).map_or(&[][..], |user| routes.connections(user));
        let carrier = &self.carrier;
        let plain = connections.iter().copied();
        let plain = plain.filter(|&to| Some(to) != except && carrier.is_plain(to));
        let name = escape(entry.sender(), &mut self.scratch);
        let parts = [r#"{"sender":""#, name, r#"","content":"#, entry.content(), "}"];
        let parts = parts.map(str::as_bytes);
        to_everybody(cx, &mut self.gaps, plain, MessageKind::Text, &parts);
    }

    fn reach_plain_group(&mut self, cx: &mut Context<'_>, except: Option<ConnId>, entry: &Entry) {
        let To::Group(group) = entry.to() else { return };
        let mut escaped = String::new();
        let name = escape(entry.sender(), &mut self.scratch);
        let shown = escape(group, &mut escaped);
        let content = entry.content();
        let parts =
            [r#"{"sender":""#, name, r#"","group":""#, shown, r#"","content":"#, content, "}"]
                .map(str::as_bytes);
        let carrier = &self.carrier;
        let is_meant = |to: &ConnId| Some(*to) != except && carrier.is_plain(*to);
        if group == EVERYONE {
            let plain = self.rooms.connections().filter(is_meant);
            return to_everybody(cx, &mut self.gaps, plain, MessageKind::Text, &parts);
        }
        let (routes, groups) = (self.identities.routes(), self.identities.groups());
        let members = groups.find(group).map_or(&[][..], |key| groups.members(key));
        let plain = members.iter().flat_map(|&user| routes.connections(user)).copied();
        let plain = plain.filter(is_meant);
        to_everybody(cx, &mut self.gaps, plain, MessageKind::Text, &parts);
    }
}

/// What is owed and cannot be given ends the connection: its client learns on its next one what it
/// has not got.
fn settle(cx: &mut Context<'_>, to: ConnId, delivery: Delivery) {
    if matches!(delivery, Delivery::Congested | Delivery::Dropped) {
        close(cx, to, Closing::OVERLOADED);
    }
}

/// As many effects are put off until more have come together.
const EFFECTS_MAX: usize = 64;
/// The group of everyone.
const EVERYONE: &str = "*";
