//! A server to talk to in the words of the wire.

use super::*;
use crate::hub::Slots;
use crate::relay::envelope::EnvelopeLimits;
use crate::relay::log::{Handed, Memory};

/// A server and what it has said to each connection.
pub(super) struct Talk<S: Store> {
    pub sessions: Sessions<S>,
    pub slots: Slots<()>,
    pub said: Vec<(ConnId, String)>,
    pub now: Millis,
    pub sight: Sight,
}

pub(super) fn talk() -> Talk<Memory> {
    talk_with(LogLimits::default())
}

pub(super) fn talk_with(log: LogLimits) -> Talk<Memory> {
    let limits = SessionLimits { log, ring_max_bytes: 400, ..SessionLimits::default() };
    let sessions = Sessions::new(Memory, Stored::default(), "e1", Stamp(1_000), limits);
    Talk { sessions, slots: Slots::new(), said: Vec::new(), now: Millis(0), sight: Sight::Shown }
}

impl<S: Store> Talk<S> {
    /// A connection says hello; `more` goes into it.
    pub fn hello(&mut self, user: &str, client: &str, more: &str) -> ConnId {
        self.hello_as(user, client, more, Standing::Recorded)
    }

    pub fn hello_as(&mut self, user: &str, client: &str, more: &str, standing: Standing) -> ConnId {
        let conn = self.slots.insert(());
        let text = format!(r#"{{"type":"hello","client":"{client}"{more}}}"#);
        let Ok(Frame::Hello(hello)) = Frame::read(&text, &EnvelopeLimits::default()) else {
            panic!("{text}")
        };
        self.sessions.hello(conn, user, &hello, standing, self.now);
        self.tick();
        conn
    }

    pub fn say(&mut self, from: ConnId, text: &str) {
        self.say_ruled(from, text, Ruling::Allowed(self.sight));
        self.tick();
    }

    pub fn say_ruled(&mut self, from: ConnId, text: &str, ruling: Ruling) {
        match Frame::read(text, &EnvelopeLimits::default()) {
            Ok(frame) => self.sessions.frame(from, &frame, ruling, self.now),
            Err(error) => self.sessions.unreadable(from, error, self.now),
        }
    }

    pub fn tick(&mut self) {
        self.sessions.flush(self.now);
        while let Some(conn) = self.sessions.next_ready() {
            assert_eq!(self.sessions.pump(conn, usize::MAX), Pumped::Done);
        }
        self.collect();
    }

    pub fn collect(&mut self) {
        for effect in self.sessions.effects() {
            self.said.push(match effect {
                Effect::Close { conn, closing } => (conn, format!("closed {}", closing.code)),
                Effect::Deliver { to, entry } => (to, entry.text().to_owned()),
                Effect::Plain { user, entry, .. } => {
                    (self.slots.insert(()), format!("plain {user}: {}", entry.content()))
                }
                Effect::PlainGroup { entry, .. } => {
                    (self.slots.insert(()), format!("plain {:?}: {}", entry.to(), entry.content()))
                }
                Effect::Pushed { token, outcome } => {
                    (self.slots.insert(()), format!("push {token}: {outcome:?}"))
                }
                Effect::Reply { to, reply } => {
                    let mut text = Vec::new();
                    reply.write(&mut text);
                    (to, String::from_utf8(text).unwrap())
                }
                Effect::Unsent { to, refused } => (to, format!("unsent {}", refused.code)),
            });
        }
    }

    /// What a connection was told since it was last asked.
    pub fn heard(&mut self, conn: ConnId) -> Vec<String> {
        let all = std::mem::take(&mut self.said);
        let (its, others) = all.into_iter().partition(|(to, _)| *to == conn);
        self.said = others;
        its.into_iter().map(|(_, text)| text).collect()
    }

    /// What nobody with an id was told: plain connections and the push API.
    pub fn rest(&mut self) -> Vec<String> {
        std::mem::take(&mut self.said).into_iter().map(|(_, text)| text).collect()
    }
}

pub(super) fn group(text: &str) -> String {
    text.replace('\'', "\"")
}

/// A message to one user.
pub(super) fn to<'a>(receiver: &'a str, content: &'a str) -> Outgoing<'a> {
    let text = receiver;
    Outgoing {
        id: None,
        sender: None,
        to: Destination::User(crate::relay::name::Name::new(text, 128).expect("a name")),
        content,
        echo: Default::default(),
        receipt: Default::default(),
        life: Life::Logged,
        receiver: None,
        beside: 0,
    }
}

/// A store that never says anything.
#[derive(Debug)]
pub(super) struct Silent;

impl Store for Silent {
    fn note(&mut self, _change: crate::relay::log::Change<'_>) {}

    fn commit(&mut self, _number: crate::relay::log::BatchNumber) -> Handed {
        Handed::Pending
    }

    fn read_back(&mut self, _users: &[Rc<str>]) {}
}
