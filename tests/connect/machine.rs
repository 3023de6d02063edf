//! The client's machine and the server's, with a network between them that loses what it can, and
//! clients that are killed.
//!
//! ```text
//!   Session --texts--> [ to_server ] --> Sessions        cut: a prefix still arrives, either way
//!      |      <------- [ to_client ] <--
//!   stored JSON: a killed client goes on from there, and whoever gave it frames that were not
//!   stored gives them again
//! ```

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use serde_json::Value;
use switchboard::hub::{ConnId, Slots};
use switchboard::relay::envelope::EnvelopeLimits;
use switchboard::relay::log::{LogLimits, Memory, Stamp, Stored};
use switchboard::relay::v1::{
    Closing, Effect, Frame, Pumped, Refused, Ruling, SessionLimits, Sessions, Sight, Standing,
};
use switchboard::timer::Millis;
use switchboard::tools::client::{Event, Identity, Session, Snapshot, Start, Wish};

use super::random::Random;

/// A client, and what whoever uses it saw.
struct Device {
    user: usize,
    session: Session,
    stored: String,
    link: Option<Link>,
    /// What was wished for and not stored: (number, frame).
    unstored: Vec<(u64, String)>,
    /// By number, whether it was accepted.
    answers: BTreeMap<u64, bool>,
    /// By `seq`, the number.
    messages: BTreeMap<u64, u64>,
    gaps: usize,
}

struct Link {
    conn: ConnId,
    to_server: VecDeque<String>,
    to_client: VecDeque<String>,
}

struct World {
    random: Random,
    now: Millis,
    slots: Slots<()>,
    server: Sessions<Memory>,
    devices: Vec<Device>,
    /// Connections that their client has given up, which the server does not know yet.
    dead: Vec<(usize, Link)>,
    next_token: u64,
    /// Nobody is killed or refused for now.
    is_calm: bool,
    kills: usize,
    cuts: usize,
}

impl World {
    fn new(seed: u64, entries_max: usize) -> World {
        let log = LogLimits { entries_max, ..LogLimits::default() };
        let limits = SessionLimits { log, ..SessionLimits::default() };
        let device = |at: usize| {
            let user = at % USERS;
            let identity = Identity { client: format!("c{at}"), user: Some(format!("u{user}")) };
            let session = Session::new(identity, Start::Kept);
            let stored = session.snapshot().to_json();
            Device {
                user,
                session,
                stored,
                link: None,
                unstored: Vec::new(),
                answers: BTreeMap::new(),
                messages: BTreeMap::new(),
                gaps: 0,
            }
        };
        World {
            random: Random::new(seed),
            now: Millis(0),
            slots: Slots::new(),
            server: Sessions::new(Memory, Stored::default(), "e1", Stamp(0), limits),
            devices: (0..DEVICES).map(device).collect(),
            dead: Vec::new(),
            next_token: 1,
            is_calm: false,
            kills: 0,
            cuts: 0,
        }
    }

    fn step(&mut self) {
        let at = self.random.below(DEVICES);
        match self.random.below(100) {
            0..25 => self.wish(at),
            25..45 => self.turn(at),
            45..60 => self.arrive(at, 1),
            60..70 => self.hear(at, 1),
            70..82 => self.serve(),
            82..87 => self.cut(at),
            87..89 => self.kill(at),
            89..93 => self.now = self.now.after(100),
            93..95 => self.bury(),
            _ => self.connect(at),
        }
    }

    fn wish(&mut self, at: usize) {
        let token = self.next_token;
        self.next_token += 1;
        let to = self.random.below(USERS);
        let text = match self.random.below(4) {
            0 => format!(r#"{{"group":"g","content":{token},"tag":{token}}}"#),
            _ => format!(r#"{{"receiver":"u{to}","content":{token},"tag":{token}}}"#),
        };
        self.devices[at].unstored.push((token, text.clone()));
        self.devices[at].session.want(Wish::read(&text).expect("a wish"));
    }

    /// What a driver does in a turn. Being killed may come anywhere between.
    fn turn(&mut self, at: usize) {
        let killed_at = match self.random.below(60) {
            place @ 0..3 if !self.is_calm => place,
            _ => usize::MAX,
        };
        let device = &mut self.devices[at];
        device.session.tick(self.now);
        let texts: Vec<String> = std::iter::from_fn(|| device.session.next_text()).collect();
        if killed_at == 0 {
            return self.kill(at);
        }
        if device.session.take_changed() {
            device.stored = device.session.snapshot().to_json();
            device.unstored.clear();
        }
        if killed_at == 1 {
            return self.kill(at);
        }
        if let Some(link) = &mut device.link {
            link.to_server.extend(texts);
        } else {
            assert!(texts.is_empty(), "{texts:?}");
        }
        let count = self.random.below(4);
        for _ in 0..count {
            let Some(event) = device.session.next_event() else { break };
            device.show(&event);
            device.session.processed(1, self.now);
        }
        if killed_at == 2 {
            self.kill(at);
        }
    }

    fn connect(&mut self, at: usize) {
        if self.devices[at].link.is_some() {
            return;
        }
        let conn = self.slots.insert(());
        let (to_server, to_client) = Default::default();
        self.devices[at].link = Some(Link { conn, to_server, to_client });
        self.devices[at].session.opened();
    }

    /// Frames arrive at the server.
    fn arrive(&mut self, at: usize, count: usize) {
        for _ in 0..count {
            let user = self.devices[at].user;
            let Some(link) = &mut self.devices[at].link else { return };
            let Some(text) = link.to_server.pop_front() else { return };
            let conn = link.conn;
            self.take(conn, user, &text);
        }
    }

    fn take(&mut self, conn: ConnId, user: usize, text: &str) {
        let ruling = match self.random.below(16) {
            _ if self.is_calm => Ruling::Allowed(Sight::Shown),
            0 => Ruling::Later { refused: Refused { code: 429, reason: "rate" }, after_ms: 50 },
            1 => Ruling::Refused(Refused { code: 403, reason: "forbidden" }),
            _ => Ruling::Allowed(Sight::Shown),
        };
        match Frame::read(text, &EnvelopeLimits::default()) {
            Ok(Frame::Hello(hello)) => {
                let user = format!("u{user}");
                self.server.hello(conn, &user, &hello, Standing::Recorded, self.now);
            }
            Ok(frame) => {
                // Whoever has not said hello first is closed.
                self.server.frame(conn, &frame, ruling, self.now);
            }
            Err(error) => panic!("{text}: {error:?}"),
        }
    }

    fn serve(&mut self) {
        self.server.flush(self.now);
        while let Some(conn) = self.server.next_ready() {
            while self.server.pump(conn, 10_000) == Pumped::More {}
        }
        let effects: Vec<Effect> = self.server.effects().collect();
        for effect in effects {
            let (to, text) = match effect {
                Effect::Deliver { to, entry } => (to, entry.text().to_owned()),
                Effect::Reply { to, reply } => {
                    let mut text = Vec::new();
                    reply.write(&mut text);
                    let text = String::from_utf8_lossy(&text).into_owned();
                    assert!(!text.contains("ack_ahead"), "{text}");
                    (to, text)
                }
                Effect::Close { conn, closing } => {
                    // Only connections that their clients gave up are replaced.
                    let is_used = |device: &&mut Device| {
                        device.link.as_ref().is_some_and(|link| link.conn == conn)
                    };
                    assert!(self.devices.iter_mut().find(is_used).is_none(), "{closing:?}");
                    assert_eq!(closing, Closing::REPLACED);
                    continue;
                }
                _ => continue,
            };
            let links = self.devices.iter_mut().filter_map(|device| device.link.as_mut());
            if let Some(link) = links.into_iter().find(|link| link.conn == to) {
                link.to_client.push_back(text);
            }
        }
    }

    fn hear(&mut self, at: usize, count: usize) {
        for _ in 0..count {
            let device = &mut self.devices[at];
            let Some(link) = &mut device.link else { return };
            let Some(text) = link.to_client.pop_front() else { return };
            let heard = device.session.hear(&text, self.now);
            assert!(heard.is_ok(), "{heard:?}");
        }
    }

    /// A connection ends; part of what is on its way still arrives.
    fn cut(&mut self, at: usize) {
        let arriving = self.random.below(8);
        self.hear(at, arriving);
        let Some(mut link) = self.devices[at].link.take() else { return };
        self.cuts += 1;
        self.devices[at].session.lost();
        let kept = self.random.below(link.to_server.len() + 1);
        link.to_server.truncate(kept);
        self.dead.push((self.devices[at].user, link));
    }

    /// What a client said before it was cut off arrives at last, and then its end is noticed.
    fn bury(&mut self) {
        if self.dead.is_empty() {
            return;
        }
        let at = self.random.below(self.dead.len());
        let (user, link) = self.dead.swap_remove(at);
        for text in &link.to_server {
            self.take(link.conn, user, text);
        }
        self.server.closed(link.conn, self.now);
    }

    fn kill(&mut self, at: usize) {
        self.cut(at);
        self.kills += 1;
        let device = &mut self.devices[at];
        let snapshot = Snapshot::from_json(&device.stored).expect("stored whole");
        device.session = Session::restored(snapshot, Start::Kept);
        for (_, text) in &device.unstored {
            device.session.want(Wish::read(text).expect("a wish"));
        }
    }

    /// Everybody is patient, and nothing is lost any more.
    fn come_to_rest(&mut self) {
        self.is_calm = true;
        for _ in 0..ROUNDS_MAX {
            self.bury();
            self.now = self.now.after(100);
            for at in 0..DEVICES {
                self.connect(at);
                self.turn(at);
                self.arrive(at, usize::MAX);
                self.serve();
                self.hear(at, usize::MAX);
            }
            if self.devices.iter().all(Device::is_at_rest) && self.dead.is_empty() {
                self.is_calm = false;
                return;
            }
        }
        panic!("does not come to rest");
    }

    fn run(&mut self, steps: usize) {
        // Everybody has a log, and is a member.
        for at in 0..DEVICES {
            self.connect(at);
            self.devices[at].session.want(Wish::join("g"));
            self.turn(at);
        }
        self.come_to_rest();
        (0..steps).for_each(|_| self.step());
        self.come_to_rest();
    }
}

impl Device {
    fn is_at_rest(&self) -> bool {
        let is_silent = |link: &Link| link.to_server.is_empty() && link.to_client.is_empty();
        self.session.is_welcome()
            && self.session.unanswered().0 == 0
            && self.session.unprocessed() == 0
            && self.session.deadline().is_none()
            && self.link.as_ref().is_some_and(is_silent)
    }

    fn show(&mut self, event: &Event) {
        match event {
            Event::Answer { accepted, given, .. } => {
                let Some(token) = given.strip_prefix(r#""tag":"#) else { return };
                let known = self.answers.insert(token.parse().expect("a number"), *accepted);
                assert!(known.is_none_or(|known| known == *accepted), "two answers to {token}");
            }
            Event::Gap(_) => self.gaps += 1,
            Event::Message { epoch, text } => {
                assert_eq!(epoch.as_deref(), Some("e1"));
                let frame: Value = serde_json::from_str(text).expect("JSON");
                let (seq, token) = (frame["seq"].as_u64(), frame["content"].as_u64());
                let (seq, token) = (seq.expect("a number"), token.expect("a number"));
                let known = self.messages.insert(seq, token);
                assert!(known.is_none_or(|known| known == token), "two messages {seq}");
            }
            Event::Notice(_) | Event::Welcome { .. } => {}
        }
    }

    fn tokens(&self) -> Vec<u64> {
        self.messages.values().copied().collect()
    }
}

/// Every message that was accepted is with everybody else exactly once, none that was refused is,
/// and each sender's are in order. Returns what happened: messages, refusals, kills, cuts, gaps.
fn run(seed: u64, entries_max: usize) -> [usize; 5] {
    let mut world = World::new(seed, entries_max);
    world.run(600);
    let mut refused = 0;
    let answered: usize = world.devices.iter().map(|device| device.answers.len()).sum();
    assert_eq!(answered as u64, world.next_token - 1, "seed {seed}");
    for (at, sender) in world.devices.iter().enumerate() {
        refused += sender.answers.values().filter(|accepted| !**accepted).count();
        let mine: BTreeSet<u64> = sender.answers.keys().copied().collect();
        let accepted: Vec<u64> = sender
            .answers
            .iter()
            .filter(|(_, accepted)| **accepted)
            .map(|(token, _)| *token)
            .collect();
        let mut found = BTreeSet::new();
        for (other_at, other) in world.devices.iter().enumerate() {
            let heard: Vec<u64> =
                other.tokens().into_iter().filter(|token| mine.contains(token)).collect();
            if other_at == at {
                assert!(heard.is_empty(), "seed {seed}: its own messages came back: {heard:?}");
                continue;
            }
            let mut once = heard.clone();
            once.sort_unstable();
            once.dedup();
            // Twice, or in another order than they were sent in, would show.
            assert_eq!(heard, once, "seed {seed}: {at} to {other_at}");
            assert!(heard.iter().all(|token| accepted.contains(token)), "seed {seed}: refused");
            // The other device of the sender has a copy of everything.
            if other.user == sender.user && other.gaps == 0 {
                assert_eq!(heard, accepted, "seed {seed}: {at} to its sister {other_at}");
            }
            found.extend(heard);
        }
        let gaps: usize = world.devices.iter().map(|device| device.gaps).sum();
        if gaps == 0 {
            assert_eq!(found.into_iter().collect::<Vec<_>>(), accepted, "seed {seed}: lost");
        }
    }
    let gaps = world.devices.iter().map(|device| device.gaps).sum();
    [answered, refused, world.kills, world.cuts, gaps]
}

#[test]
fn nothing_is_lost_or_doubled_by_cuts_and_kills() {
    let mut total = [0; 5];
    for seed in 0..40 {
        let counts = run(seed, 10_000);
        total.iter_mut().zip(counts).for_each(|(total, count)| *total += count);
        assert_eq!(counts[4], 0, "seed {seed}: a gap where there is room for everything");
    }
    let [messages, refused, kills, cuts, _] = total;
    assert!(messages > 5_000 && refused > 20 && kills > 500 && cuts > 600, "{total:?}");
}

#[test]
fn where_logs_are_tiny_what_is_gone_is_announced() {
    let gaps: usize = (0..30).map(|seed| run(seed, 8)[4]).sum();
    assert!(gaps > 30, "{gaps}");
}

const USERS: usize = 2;
const DEVICES: usize = 4;
const ROUNDS_MAX: usize = 2_000;
