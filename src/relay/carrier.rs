//! Carrier: between the connections that speak switchboard.v1 and the [sessions](super::v1).
//!
//! ```text
//!   on_message   {"id":17,"receiver":"alice",...}       before_flush
//!        |                                                   |
//!        v                                                   v
//!   may bob? how fast? ---> Sessions::frame       Sessions::flush, pump ---> effects
//!                                                                              |
//!     alice's v1 connections   {"seq":58,...}  <-------------------------------+
//!     alice's plain ones       {"sender":"bob","content":"hi"}  <--------------+
//!     bob                      {"type":"ok","id":17}  <------------------------'
//! ```
//!
//! The sessions decide what is said, and when; here it is given to the engine, as much as each
//! connection has room for. What is owed to a connection is never skipped: if the server has no
//! room for it, the connection ends, and its client goes on where it was.
//!
//! This module does not know the rules of the dialect.

mod clock;
mod effects;

use std::collections::{BTreeSet, VecDeque};
use std::mem;
use std::rc::Rc;

pub(super) use self::clock::{BEAT_TIMER, SWEEP_TIMER};
use super::Relay;
use super::access::policy::Action;
use super::envelope::Events;
use super::log::{Book, Entry, LogLimits, Memory, Stamp, Store, Stored, UserKey as LogKey};
use super::name::Name;
use super::narrow;
use super::presence::write_names;
use super::reply::{Refusal, Target};
use super::session::Excess;
use super::v1::{
    Closing, Destination, Effect, Facts, Frame, Hello, Outgoing, PlainSender, Refused, Ruling,
    SessionCounts, SessionLimits, Sessions, Sight, Standing,
};
use crate::config::Limits;
use crate::engine::Context;
use crate::hub::routes::{Standing as Naming, UserKey};
use crate::hub::{ConnId, ConnMap};
use crate::outbox;
use crate::protocol::Message;
use crate::timer::Millis;
use crate::wire::CloseCode;

/// Where the logs of a relay are kept, and what is in them when it starts.
#[derive(Debug)]
pub struct Logs {
    /// Where they are kept.
    pub store: Box<dyn Store>,
    /// What is in them.
    pub stored: Stored,
    /// The epoch: at least 64 random bits, as text that needs no escaping in JSON.
    pub epoch: String,
}

impl Logs {
    /// Logs in memory alone, empty and in an epoch of their own.
    pub fn in_memory() -> Logs {
        Logs { store: Box::new(Memory), stored: Stored::default(), epoch: random_epoch() }
    }
}

impl Default for Logs {
    fn default() -> Logs {
        Logs::in_memory()
    }
}

/// An epoch that was never before: 128 bits of the seeds that the operating system gives to hash
/// tables.
// R8: at least 64 random bits.
pub fn random_epoch() -> String {
    use std::hash::{BuildHasher, RandomState};
    let half = || RandomState::new().hash_one(0);
    format!("{:016x}{:016x}", half(), half())
}

/// What is known about the connections that speak switchboard.v1.
pub(super) struct Carrier {
    sessions: Sessions<Box<dyn Store>>,
    conns: ConnMap<Talk>,
    /// When to look after each connection next.
    beats: BTreeSet<(Millis, ConnId)>,
    is_timed: bool,
    /// Whether the sessions know what time it is.
    is_started: bool,
    is_sweeping: bool,
    /// What is being carried out.
    effects: Vec<Effect>,
    /// Messages to groups that were compressed in this tick, for who gets them next.
    frames: VecDeque<(Entry, outbox::Frame)>,
    text: Vec<u8>,
    hello_timeout_ms: u64,
    /// Since when the server is about to stop.
    stopping: Option<Millis>,
}

/// How far a connection is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Talk {
    stage: Stage,
    /// When it is looked after next.
    beat: Millis,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    /// It has not said hello.
    Silent,
    /// It has, and belongs to the sessions.
    Greeted,
}

impl Carrier {
    pub(super) fn new(logs: Logs, limits: &Limits) -> Carrier {
        let Logs { store, stored, epoch } = logs;
        let limits_of_sessions = SessionLimits {
            log: LogLimits {
                entries_max: narrow(limits.log_messages_max),
                bytes_max: limits.log_max_bytes,
                total_bytes_max: limits.log_total_bytes,
                age_max_ms: limits.log_age_ms,
                records_max: narrow(limits.log_users_max),
                clients_max: narrow(limits.log_clients_max),
                groups_max: narrow(limits.groups_per_user_max),
                memberships_max: narrow(limits.memberships_max),
            },
            ping_ms: limits.session_ping_ms,
            silence_max_ms: limits.session_silence_ms,
            retry_ms: limits.session_retry_ms,
            ring_max_bytes: limits.session_ring_bytes,
            held_max: narrow(limits.session_held_max),
            message_max_bytes: limits.message_max_bytes,
        };
        Carrier {
            // The wall's time is known when the first connection comes.
            sessions: Sessions::new(store, stored, &epoch, Stamp(0), limits_of_sessions),
            conns: ConnMap::new(),
            beats: BTreeSet::new(),
            is_timed: false,
            is_started: false,
            is_sweeping: false,
            effects: Vec::new(),
            frames: VecDeque::new(),
            text: Vec::new(),
            hello_timeout_ms: limits.auth_timeout_ms,
            stopping: None,
        }
    }

    /// Tells the sessions what time it is, once.
    pub(super) fn start(&mut self, cx: &Context<'_>) {
        if !mem::replace(&mut self.is_started, true) {
            self.sessions.start(Stamp(cx.wall().0.saturating_sub(cx.now().0)));
        }
    }

    /// Whether anybody speaks this dialect or is kept something for: otherwise all that is here
    /// can be passed by.
    #[inline(always)]
    pub(super) fn is_used(&self) -> bool {
        !self.sessions.book().is_empty()
    }

    /// Whether there is anything to be done at the end of a tick.
    #[inline(always)]
    pub(super) fn is_awake(&self) -> bool {
        self.is_used() || !self.conns.is_empty() || !self.sessions.is_settled()
    }

    /// Whether all connections speak the plain dialect: for who asks about many.
    #[inline(always)]
    pub(super) fn is_all_plain(&self) -> bool {
        self.conns.is_empty()
    }

    /// Whether a connection speaks the plain dialect.
    #[inline(always)]
    pub(super) fn is_plain(&self, id: ConnId) -> bool {
        self.conns.is_empty() || self.conns.get(id).is_none()
    }

    /// Whether somebody is known to the sessions.
    pub(super) fn knows(&self, user: &str) -> bool {
        self.sessions.book().find(user).is_some()
    }

    /// The logs.
    pub(super) fn book(&self) -> &Book<Box<dyn Store>> {
        self.sessions.book()
    }

    /// How much there is, and was.
    pub(super) fn counts(&self) -> SessionCounts {
        self.sessions.counts()
    }

    /// The sessions themselves.
    pub(super) fn sessions(&mut self) -> &mut Sessions<Box<dyn Store>> {
        &mut self.sessions
    }

    /// All connections that speak it.
    pub(super) fn connections(&self) -> impl Iterator<Item = ConnId> {
        self.conns.iter().map(|(id, _)| id)
    }

    /// A connection that speaks it is open.
    pub(super) fn open(&mut self, cx: &mut Context<'_>, id: ConnId) {
        let beat = cx.now().after(self.hello_timeout_ms);
        self.conns.insert(id, Talk { stage: Stage::Silent, beat });
        self.beats.insert((beat, id));
        self.set_timer(cx);
    }
}

// ---- what clients say --------------------------------------------------------------------------

impl Relay {
    /// A message of a connection that speaks switchboard.v1, and has shown who it is.
    pub(super) fn hear_session(&mut self, cx: &mut Context<'_>, id: ConnId, message: Message<'_>) {
        let Message::Text(text) = message else {
            let reason = "frames of switchboard.v1 are text";
            return self.sever(cx, id, CloseCode::UNSUPPORTED_DATA, reason);
        };
        let limits = self.envelope_limits;
        let stage = self.carrier.conns.get(id).map(|talk| talk.stage);
        match Frame::read(text, &limits) {
            Ok(Frame::Hello(hello)) if stage == Some(Stage::Silent) => self.greet(cx, id, &hello),
            // Nothing can be answered before it is known who is there.
            _ if stage == Some(Stage::Silent) => close(cx, id, Closing::MALFORMED),
            Ok(mut frame) => {
                // Its answer leaves at the end of the tick, and is work all the same.
                cx.owe_sends(1);
                self.carry_frame(cx, id, &mut frame, text.len());
            }
            Err(unreadable) => {
                let now = cx.now();
                self.carrier.sessions.unreadable(id, unreadable, now);
            }
        }
    }

    /// Whoever is at the other end of this connection says hello.
    pub(super) fn greet(&mut self, cx: &mut Context<'_>, id: ConnId, hello: &Hello<'_>) {
        // A name in it is a claim like a first `sender`. Who has one already may only repeat it: an
        // outbox and a position are of one user, and of no use to another.
        let connections_max = || self.sessions.limits(id).connections_per_user_max;
        match self.identities.speaker(id, hello.user.as_ref(), connections_max) {
            None => return,
            Some(Ok(user)) => {
                if let Some(number) = self.identities.take_claim() {
                    self.rename(cx, &number, user);
                }
            }
            Some(Err(refusal)) => return close(cx, id, closing(refusal)),
        }
        let routes = self.identities.routes();
        let Some((user, _, naming)) = routes.speaker(id) else { return };
        let standing = match naming {
            Naming::Guest => Standing::Guest,
            Naming::Named => Standing::Recorded,
        };
        let (name, now) = (Rc::clone(routes.shared_name(user)), cx.now());
        let Carrier { sessions, conns, .. } = &mut self.carrier;
        if let Some(talk) = conns.get_mut(id) {
            talk.stage = Stage::Greeted;
        }
        sessions.hello(id, &name, hello, standing, now);
        self.carrier.set_beat(id, now.after(1));
        self.carrier.set_timer(cx);
        self.acquaint(cx, user);
    }

    /// Closes a connection whose user is here no more over it from now on, however long the closing
    /// handshake takes.
    pub(super) fn sever(
        &mut self,
        cx: &mut Context<'_>,
        id: ConnId,
        code: CloseCode,
        reason: &str,
    ) {
        cx.close(id, code, reason);
        if !self.carrier.is_plain(id) {
            self.carrier.sessions.closed(id, cx.now());
        } else if self.carrier.is_used() {
            let routes = self.identities.routes();
            let user = routes.user_of(id).map(|user| Rc::clone(routes.shared_name(user)));
            if let Some(user) = user.filter(|user| self.carrier.knows(user)) {
                self.count_plain(cx, &user);
            }
        }
    }

    /// What is known about a user here and there is made the same: how many plain connections there
    /// are, and which groups the user is in.
    pub(super) fn acquaint(&mut self, cx: &Context<'_>, user: UserKey) {
        let routes = self.identities.routes();
        let name = Rc::clone(routes.shared_name(user));
        if !self.carrier.knows(&name) {
            return;
        }
        self.count_plain(cx, &name);
        for group in self.identities.groups().names_of(user) {
            self.carrier.sessions.enroll(&name, group);
        }
        let book = self.carrier.sessions.book();
        let Some(key) = book.find(&name) else { return };
        for group in book.groups(key) {
            self.identities.enroll(user, group);
        }
    }

    /// A guest has become somebody.
    pub(super) fn rename(&mut self, cx: &Context<'_>, number: &str, user: UserKey) {
        if self.carrier.knows(number) {
            self.count_plain(cx, number);
        }
        self.acquaint(cx, user);
    }

    /// Tells the sessions over how many plain connections somebody is here whom they know.
    pub(super) fn count_plain(&mut self, cx: &Context<'_>, name: &str) {
        let routes = self.identities.routes();
        let connections = routes.find(name).map_or(&[][..], |user| routes.connections(user));
        // One that is being closed is here no more, though it may take a while to be gone.
        let is_here = |&&id: &&ConnId| self.carrier.is_plain(id) && cx.is_open(id);
        let plain = connections.iter().filter(is_here).count();
        let plain = u32::try_from(plain).unwrap_or(u32::MAX);
        self.carrier.sessions.plain_connections(name, plain, cx.now());
    }

    fn carry_frame(&mut self, cx: &mut Context<'_>, id: ConnId, frame: &mut Frame<'_>, len: usize) {
        let ruling = self.rule(cx, id, frame, len);
        match frame {
            Frame::Join { groups_max, .. } => {
                *groups_max = self.sessions.limits(id).groups_max.map_or(usize::MAX, narrow);
            }
            Frame::Members { id: number, .. } | Frame::Presence { id: number, .. } => {
                let number = *number;
                return self.answer(cx, id, (number, frame), ruling);
            }
            Frame::Message(outgoing) if matches!(ruling, Ruling::Allowed(_)) => {
                self.address(cx, id, outgoing);
            }
            _ => {}
        }
        let before = self.carrier.sessions.fanned_out();
        let is_allowed = matches!(ruling, Ruling::Allowed(_));
        self.carrier.sessions.frame(id, frame, ruling, cx.now());
        // What goes to ten thousand costs its sender as much here as in the plain dialect.
        cx.owe_sends(self.carrier.sessions.fanned_out() - before);
        match &*frame {
            Frame::Join { group, events, .. } if is_allowed => {
                self.follow_membership(id, group, *events);
            }
            Frame::Leave { group, .. } => self.follow_membership(id, group, Events::Unchanged),
            _ => {}
        }
    }

    /// Answers a question about who is here, when it has its turn.
    fn answer(
        &mut self,
        cx: &Context<'_>,
        from: ConnId,
        (number, frame): (u64, &Frame<'_>),
        ruling: Ruling,
    ) {
        let Relay { identities, carrier, members_max, .. } = self;
        let (routes, groups) = (identities.routes(), identities.groups());
        let look_up = || match frame {
            Frame::Presence { user, .. } => {
                let user = routes.find(user);
                Ok(Facts::Online(user.map_or(0, |user| routes.connections(user).len())))
            }
            Frame::Members { group, .. } => {
                let group = routes.user_of(from).and_then(|user| groups.membership(user, group));
                let members = groups.members(group.ok_or(Refused::NOT_A_MEMBER)?);
                let mut names = String::new();
                let shown = members.iter().take(*members_max);
                write_names(shown.map(|&user| routes.name(user)), &mut names);
                Ok(Facts::Members { names: names.into(), count: members.len() })
            }
            _ => Err(Refused::REFUSED),
        };
        carrier.sessions.ask(from, number, ruling, cx.now(), look_up);
    }

    /// Sees to it that the sessions know whom a message is for.
    fn address(&mut self, cx: &Context<'_>, from: ConnId, outgoing: &mut Outgoing<'_>) {
        match &outgoing.to {
            Destination::User(receiver) => outgoing.receiver = self.introduce(cx, receiver),
            Destination::Group(group) => {
                outgoing.beside = self.plain_members(cx, group, Some(from))
            }
            Destination::Everyone => {
                outgoing.beside = u32::try_from(self.rooms.population()).unwrap_or(u32::MAX);
            }
        }
    }

    /// Has the sessions know a user to whom they are to send: one who is here with plain
    /// connections alone, or of whom the token file says that there is such a user. Returns who
    /// that is in the book, if anybody.
    pub(super) fn introduce(&mut self, cx: &Context<'_>, user: &str) -> Option<LogKey> {
        let known = self.carrier.book().find(user);
        if known.is_some() {
            return known;
        }
        // Who can come in by a token exists, and is kept for what is meant for him.
        if self.gate.names(user) {
            self.carrier.sessions.keep(user, cx.now());
        }
        if let Some(key) = self.identities.routes().find(user) {
            self.count_plain(cx, user);
            self.acquaint(cx, key);
        }
        self.carrier.book().find(user)
    }

    /// Whether what is for a user goes by the log: it does for who has one, or may have one by a
    /// token, and for who speaks switchboard.v1.
    pub(super) fn goes_by_log(&mut self, cx: &Context<'_>, user: &str) -> bool {
        let known = match self.gate.names(user) {
            true => self.introduce(cx, user),
            false => self.carrier.book().find(user),
        };
        known.is_some_and(|key| {
            let user = self.carrier.book().user(key);
            user.record().is_some() || !user.devices().is_empty()
        })
    }

    /// To how many plain connections a message to a group goes, but for the one it comes from.
    pub(super) fn plain_members(&self, cx: &Context<'_>, group: &str, from: Option<ConnId>) -> u32 {
        let (routes, groups) = (self.identities.routes(), self.identities.groups());
        let members = groups.find(group).map_or(&[][..], |key| groups.members(key));
        let connections = members.iter().flat_map(|&user| routes.connections(user));
        let is_meant =
            |&&to: &&ConnId| Some(to) != from && self.carrier.is_plain(to) && cx.is_open(to);
        u32::try_from(connections.filter(is_meant).count()).unwrap_or(u32::MAX)
    }

    /// What a session has joined or left, its user has in the plain dialect, too.
    fn follow_membership(&mut self, id: ConnId, group: &str, events: Events) {
        let routes = self.identities.routes();
        let Some(user) = routes.user_of(id) else { return };
        let book = self.carrier.sessions.book();
        let known = book.find(routes.name(user));
        let is_member = known.is_some_and(|key| book.is_member(key, group));
        match is_member {
            true => drop(self.identities.join(id, user, group, usize::MAX, events)),
            false => self.identities.leave(user, group),
        }
    }

    /// What a sender may do, and how fast.
    fn rule(&mut self, cx: &mut Context<'_>, id: ConnId, frame: &Frame<'_>, len: usize) -> Ruling {
        // An answer to the server is neither counted nor forbidden.
        if matches!(frame, Frame::Ack(_) | Frame::Hello(_) | Frame::Ping { .. }) {
            return Ruling::Allowed(Sight::Hidden);
        }
        if self.sessions.counts() {
            match self.sessions.charge(id, cx.now(), len) {
                Ok(()) => {}
                Err(Excess::TooLarge { max_bytes }) => return Ruling::TooLarge { max_bytes },
                Err(Excess::Rate { after_ms }) => {
                    return Ruling::Later { refused: Refused::RATE, after_ms };
                }
            }
        }
        let (action, sight) = match frame {
            Frame::Join { group, events: Events::On, .. }
                if !self.sessions.permits(id, Action::Members(group)) =>
            {
                return forbidden(Action::Members(group));
            }
            Frame::Join { group, .. } => (Some(Action::Join(group)), None),
            Frame::Members { group, .. } => (Some(Action::Members(group)), None),
            Frame::Presence { user, .. } => (Some(Action::Presence(user)), None),
            Frame::Message(Outgoing { to, .. }) => match to {
                Destination::Everyone => (Some(Action::Broadcast), None),
                Destination::Group(group) => {
                    (Some(Action::SendGroup(group)), Some(Action::Members(group)))
                }
                Destination::User(user) => (Some(Action::Send(user)), Some(Action::Presence(user))),
            },
            _ => (None, None),
        };
        // Permission is decided before existence is looked at.
        if let Some(action) = action.filter(|&action| !self.sessions.permits(id, action)) {
            return forbidden(action);
        }
        match sight.is_none_or(|action| self.sessions.permits(id, action)) {
            true => Ruling::Allowed(Sight::Shown),
            false => Ruling::Allowed(Sight::Hidden),
        }
    }
}

// ---- what plain connections say to those who are known here ------------------------------------

impl Relay {
    /// A plain message to somebody the sessions know, or from somebody with devices there.
    pub(super) fn direct_by_log(
        &mut self,
        cx: &mut Context<'_>,
        from: ConnId,
        sender: PlainSender<'_>,
        receiver: &Name<'_>,
        content: &str,
    ) {
        let known = self.introduce(cx, receiver);
        let outgoing = Outgoing::plain(Destination::User(receiver.clone()), content, 0);
        let outgoing = Outgoing { receiver: known, ..outgoing };
        if let Err(refused) = self.carrier.sessions.post_plain(sender, &outgoing, cx.now()) {
            self.refuse(cx, from, plain_refusal(refused), Target::Receiver(receiver));
        }
    }

    /// A plain message to a group that has members whom the sessions know.
    pub(super) fn group_by_log(
        &mut self,
        cx: &mut Context<'_>,
        from: ConnId,
        sender: PlainSender<'_>,
        group: &Name<'_>,
        content: &str,
    ) {
        let beside = self.plain_members(cx, group, Some(from));
        let outgoing = Outgoing::plain(Destination::Group(group.clone()), content, beside);
        let before = self.carrier.sessions.fanned_out();
        if let Err(refused) = self.carrier.sessions.post_plain(sender, &outgoing, cx.now()) {
            self.refuse(cx, from, plain_refusal(refused), Target::Group(group));
        }
        cx.owe_sends(self.carrier.sessions.fanned_out() - before);
    }

    /// Whether a message to a group concerns the sessions.
    pub(super) fn is_logged_group(&self, group: &str) -> bool {
        self.carrier.is_used() && self.carrier.sessions.book().members().find(group).is_some()
    }
}

/// Closes a connection with one of the sessions' codes.
fn close(cx: &mut Context<'_>, id: ConnId, Closing { code, reason }: Closing) {
    let own = CloseCode::application(code);
    cx.close(id, own.unwrap_or(CloseCode::SERVICE_RESTART), reason);
}

/// What no role allows is refused with the permission that it needs.
#[cold]
fn forbidden(action: Action<'_>) -> Ruling {
    Ruling::Forbidden { missing: action.to_string().into() }
}

/// How a hello is answered whose name cannot be had.
fn closing(refusal: Refusal) -> Closing {
    match refusal {
        Refusal::Taken => Closing::TAKEN,
        Refusal::TooManyConnections => Closing::TOO_MANY_CONNECTIONS,
        _ => Closing::WRONG_USER,
    }
}

/// How a refusal is said in the plain dialect.
fn plain_refusal(refused: Refused) -> Refusal {
    match refused {
        Refused::MAILBOX_FULL => Refusal::MailboxFull,
        Refused::NOT_A_MEMBER => Refusal::NotAMember,
        Refused::RECEIVER_CONGESTED => Refusal::ReceiverCongested,
        Refused::RECEIVER_OFFLINE => Refusal::ReceiverOffline,
        _ => Refusal::Store,
    }
}

/// Compressed messages that are kept within a tick.
const FRAMES_MAX: usize = 32;
