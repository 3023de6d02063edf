//! What clients of switchboard.v1 say, in whatever order, while the store takes its time.
//!
//! ```text
//! input, line by line
//! 0 {"type":"hello","client":"x"}              a frame of connection 0, which is user a's
//! 2 {"type":"hello","client":"y","seq":0}      2 and 3 are b's, 4 and 5 c's, 6 and 7 guests
//! 0 {"id":1,"receiver":"b","content":1}
//! p {"receiver":"b","content":2}               from a plain connection of user d
//! .                                            the tick ends: batches, deliveries
//! =                                            the store has committed what it was handed
//! 0-                                           connection 0 is lost; its next frame is a new one
//! ~30000                                       so many milliseconds go by
//! ```
//!
//! A hello is read as one where a connection has said none. What must hold:
//!
//! * No panic, and no assertion of the library's fails.
//! * Whatever is sent is JSON; a welcome comes first, and what has a `seq` comes in ascending order
//!   and is committed.
//! * A message's content arrives byte for byte.
//! * The logs keep their limits, and when everybody has gone for long enough, nothing is left.

use std::collections::BTreeMap;
use std::rc::Rc;

use serde_json::Value;
use switchboard::hub::{ConnId, Slots};
use switchboard::relay::envelope::EnvelopeLimits;
use switchboard::relay::log::{
    BatchNumber, Change, Entry, Handed, LogLimits, Outcome, Seq, Stamp, Store, Stored, To,
};
use switchboard::relay::v1::{
    Copies, Effect, Frame, PlainSender, Pumped, Reply, Ruling, SessionLimits, Sessions, Sight,
    Standing,
};
use switchboard::timer::Millis;

/// Holds the rules above for one input.
pub fn check(input: &[u8]) {
    let Ok(text) = std::str::from_utf8(input) else { return };
    let mut world = World::new();
    for line in text.lines().take(LINES_MAX) {
        world.perform(line);
    }
    world.finish();
}

/// Everything there is.
struct World {
    sessions: Sessions<Slow>,
    slots: Slots<()>,
    lines: [Option<Line>; 8],
    /// Contents that were sent, each as it was written.
    sent: Vec<String>,
    plain: ConnId,
    now: Millis,
}

/// A connection.
#[derive(Clone, Copy)]
struct Line {
    id: ConnId,
    has_greeted: bool,
    is_welcome: bool,
    /// The highest seq it was told.
    told: Seq,
}

/// A store that commits when it is told to.
#[derive(Debug, Default)]
struct Slow {
    handed: BatchNumber,
    committed: BatchNumber,
}

impl Store for Slow {
    fn note(&mut self, _change: Change<'_>) {}

    fn commit(&mut self, number: BatchNumber) -> Handed {
        assert!(number > self.handed, "batches ascend");
        self.handed = number;
        Handed::Pending
    }

    fn read_back(&mut self, _users: &[Rc<str>]) {
        unreachable!("nothing fails here");
    }

    fn poll(&mut self) -> Option<Outcome> {
        let is_new = self.handed > self.committed;
        self.committed = self.handed;
        is_new.then_some(Outcome::Committed(self.handed))
    }
}

impl World {
    fn new() -> World {
        let limits = SessionLimits {
            log: LogLimits {
                entries_max: 4,
                bytes_max: 2_000,
                total_bytes_max: 5_000,
                age_max_ms: AGE_MAX_MS,
                records_max: 3,
                clients_max: 2,
                groups_max: 2,
                memberships_max: 4,
            },
            ring_max_bytes: 300,
            held_max: 40,
            ..SessionLimits::default()
        };
        let stored = Stored::default();
        let mut slots = Slots::new();
        World {
            sessions: Sessions::new(Slow::default(), stored, "e", Stamp(1), limits),
            plain: slots.insert(()),
            slots,
            lines: [None; 8],
            sent: Vec::new(),
            now: Millis(0),
        }
    }

    fn perform(&mut self, line: &str) {
        match line.as_bytes() {
            b"." => self.tick(),
            b"=" => self.commit(),
            [b'~', ..] => self.pass(line[1..].parse().unwrap_or(0)),
            [b'p', b' ', ..] => self.post(&line[2..]),
            [place @ b'0'..=b'7', b'-'] => self.hang_up(usize::from(place - b'0')),
            [place @ b'0'..=b'7', b' ', ..] => self.say(usize::from(place - b'0'), &line[2..]),
            _ => {}
        }
    }

    fn say(&mut self, place: usize, text: &str) {
        let limits = EnvelopeLimits::default();
        let frame = Frame::read(text, &limits);
        if let Ok(Frame::Message(outgoing)) = &frame {
            self.sent.push(outgoing.content.to_owned());
        }
        let slots = &mut self.slots;
        let line = self.lines[place].get_or_insert_with(|| Line {
            id: slots.insert(()),
            has_greeted: false,
            is_welcome: false,
            told: Seq(0),
        });
        let (id, now) = (line.id, self.now);
        match frame {
            Ok(Frame::Hello(hello)) if !line.has_greeted => {
                line.has_greeted = true;
                let (user, standing) = match place {
                    0 | 1 => ("a", Standing::Recorded),
                    2 | 3 => ("b", Standing::Recorded),
                    4 | 5 => ("c", Standing::Recorded),
                    6 => ("6", Standing::Guest),
                    _ => ("7", Standing::Guest),
                };
                self.sessions.hello(id, user, &hello, standing, now);
            }
            Ok(frame) => {
                let sight = if place.is_multiple_of(2) { Sight::Shown } else { Sight::Hidden };
                self.sessions.frame(id, &frame, Ruling::Allowed(sight), now);
            }
            Err(unreadable) => self.sessions.unreadable(id, unreadable, now),
        }
        self.carry();
    }

    fn post(&mut self, text: &str) {
        let Ok(Frame::Message(outgoing)) = Frame::read(text, &EnvelopeLimits::default()) else {
            return;
        };
        self.sent.push(outgoing.content.to_owned());
        self.sessions.plain_connections("d", 1, self.now);
        let sender = PlainSender { conn: self.plain, user: "d", copies: Copies::Others };
        let _ = self.sessions.post_plain(sender, &outgoing, self.now);
        self.carry();
    }

    fn hang_up(&mut self, place: usize) {
        if let Some(line) = self.lines[place].take() {
            self.sessions.closed(line.id, self.now);
            self.slots.remove(line.id);
        }
    }

    fn tick(&mut self) {
        self.sessions.flush(self.now);
        self.carry();
        while let Some(id) = self.sessions.next_ready() {
            // In pieces, as a connection has room for.
            while self.sessions.pump(id, 1) == Pumped::More {
                self.carry();
            }
            self.carry();
        }
        let book = self.sessions.book();
        let limits = book.limits();
        assert!(book.records() <= limits.records_max);
        let mut bytes = 0;
        for (_, user) in book.users() {
            let Some(record) = user.record() else { continue };
            assert!(record.mailbox().len() <= limits.entries_max, "{}", record.mailbox().len());
            bytes += record.mailbox().bytes();
        }
        assert_eq!(bytes, book.bytes(), "the sum is what is counted");
        assert!(bytes <= limits.total_bytes_max, "{bytes}");
    }

    fn commit(&mut self) {
        while let Some(outcome) = self.sessions.store_mut().poll() {
            let Outcome::Committed(number) = outcome else { unreachable!() };
            self.sessions.committed(number);
        }
        self.carry();
    }

    fn pass(&mut self, ms: u64) {
        self.now = self.now.after(ms.min(AGE_MAX_MS));
        for place in 0..self.lines.len() {
            if let Some(line) = self.lines[place]
                && let Some(next) = self.sessions.heartbeat(line.id, self.now)
            {
                assert!(next > self.now, "a heart beats later and not now");
            }
            self.carry();
        }
        self.sessions.sweep(self.now, 100);
    }

    fn carry(&mut self) {
        let effects: Vec<Effect> = self.sessions.effects().collect();
        for effect in effects {
            match effect {
                Effect::Close { conn, .. } => {
                    let place = self.place(conn);
                    // The engine says so later; meanwhile the connection may go on talking.
                    if let Some(place) = place {
                        self.lines[place] = None;
                        self.sessions.closed(conn, self.now);
                        self.slots.remove(conn);
                    }
                }
                Effect::Deliver { to, entry } => self.delivered(to, &entry),
                Effect::Reply { to, reply } => self.replied(to, &reply),
                Effect::Plain { entry, .. } | Effect::PlainGroup { entry, .. } => {
                    self.check_entry(&entry);
                }
                Effect::Pushed { .. } | Effect::Unsent { .. } => {}
            }
        }
    }

    fn place(&self, conn: ConnId) -> Option<usize> {
        self.lines.iter().position(|line| line.is_some_and(|line| line.id == conn))
    }

    fn delivered(&mut self, to: ConnId, entry: &Entry) {
        self.check_entry(entry);
        let Some(place) = self.place(to) else { return };
        let line = self.lines[place].as_mut().expect("it is there");
        assert!(line.is_welcome, "a welcome comes first");
        if entry.seq() != Seq(0) {
            assert!(entry.seq() > line.told, "in ascending order: {entry:?}");
            assert!(entry.seq() <= self.sessions.book().committed(), "not committed: {entry:?}");
            line.told = entry.seq();
        }
    }

    fn check_entry(&self, entry: &Entry) {
        let frame: Value = serde_json::from_str(entry.text()).expect("a delivery is JSON");
        assert_eq!(frame["sender"], entry.sender());
        match entry.to() {
            To::Group(name) => assert_eq!(frame["group"], name),
            To::User(name) => assert_eq!(frame["receiver"], name),
        }
        assert!(self.sent.iter().any(|sent| sent == entry.content()), "{:?}", entry.content());
    }

    fn replied(&mut self, to: ConnId, reply: &Reply) {
        let mut text = Vec::new();
        reply.write(&mut text);
        let text = String::from_utf8(text).expect("a reply is text");
        let frame: Value = serde_json::from_str(&text).expect("a reply is JSON");
        let Some(place) = self.place(to) else { return };
        let committed = self.sessions.book().committed();
        let line = self.lines[place].as_mut().expect("it is there");
        if let Reply::Welcome(welcome) = reply {
            assert!(!line.is_welcome, "one welcome");
            line.is_welcome = true;
            line.told = welcome.position.as_ref().map_or(Seq(0), |(_, seq)| *seq);
            assert!(line.told <= committed, "{text}");
        }
        if let Reply::Gap(gap) = reply {
            assert!(gap.after == line.told && gap.until > gap.after, "{text}");
            assert!(gap.until <= committed, "{text}");
            line.told = gap.until;
        }
        let keys = frame.as_object().expect("an object");
        let types: BTreeMap<_, _> = keys.iter().filter(|(key, _)| *key == "type").collect();
        assert_eq!(types.len(), 1, "{text}");
    }

    /// Everybody goes, and so does what was kept.
    fn finish(&mut self) {
        for place in 0..self.lines.len() {
            self.hang_up(place);
        }
        self.sessions.plain_connections("d", 0, self.now);
        // The entries first, then, after as long again, the records.
        for _ in 0..3 {
            self.tick();
            self.commit();
            self.pass(AGE_MAX_MS);
            self.pass(1);
        }
        self.tick();
        self.commit();
        let book = self.sessions.book();
        assert_eq!((book.bytes(), book.records(), book.users().count()), (0, 0, 0));
        assert!(book.members().is_empty() && self.sessions.is_settled());
    }
}

const AGE_MAX_MS: u64 = 3_600_000;

/// A script that is longer shows nothing more.
const LINES_MAX: usize = 200;
