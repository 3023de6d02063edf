//! The world: a server, its disk, clients, and a network that loses what it can.
//!
//! ```text
//!   client u0c0  ==to_server==>  Sessions  --notes-->  Disk
//!                <=to_client===            <-outcomes--
//!   cut: a prefix of what is on its way still arrives, in either direction, now or later
//! ```
//!
//! Every step is one number, so that a run is a list of numbers, and a shorter list that still
//! fails is a smaller counterexample.
//!
//! This module does not know what is right.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::rc::Rc;

use serde_json::Value;

use super::client::{Client, Fault, Wish};
use super::disk::{Disk, DiskState, Kind, Tables};
use super::judge::{Judge, Lineage};
use crate::hub::{ConnId, Slots};
use crate::relay::envelope::EnvelopeLimits;
use crate::relay::log::{LogLimits, Seq, Stamp, Stored};
use crate::relay::v1::rules::OFF;
use crate::relay::v1::{
    Effect, Frame, Pumped, Refused, Reply, Ruling, SessionLimits, Sessions, Sight, Standing,
};
use crate::timer::Millis;

#[derive(Debug)]
struct Link {
    conn: ConnId,
    client: usize,
    to_server: VecDeque<String>,
    to_client: VecDeque<String>,
    /// Which ends have not noticed that it is over.
    is_open_at_client: bool,
    is_open_at_server: bool,
}

pub struct World {
    slots: Slots<()>,
    server: Sessions<Disk>,
    disk: Rc<RefCell<DiskState>>,
    limits: SessionLimits,
    epoch: u32,
    now: Millis,
    clients: Vec<Client>,
    links: Vec<Link>,
    waiting: Vec<ConnId>,
    copy: Option<(Tables, Lineage)>,
    next_token: u64,
    users: usize,
    /// Whether failures and crashes are all there is between two messages.
    is_restless: bool,
    pub judge: Judge,
    pub story: Story,
}

/// What happened, in words, if anybody is going to read it.
#[derive(Default)]
pub struct Story {
    pub lines: Option<Vec<String>>,
}

impl Story {
    fn tell(&mut self, line: impl FnOnce() -> String) {
        if let Some(lines) = &mut self.lines {
            lines.push(line());
        }
    }
}

/// A step: what, and three numbers that say how.
struct Step {
    what: u64,
    a: usize,
    b: usize,
    c: usize,
}

impl World {
    /// A world of a kind that the seed decides.
    pub fn new(seed: u64, fault: Fault) -> World {
        let seed = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 32;
        let kind = if seed.is_multiple_of(4) { Kind::Volatile } else { Kind::Durable };
        let users = 2 + (seed >> 2) as usize % 2;
        let log = LogLimits {
            entries_max: [2, 4, 16, 1_000][(seed >> 4) as usize % 4],
            bytes_max: [400, 1_000, 1 << 20][(seed >> 6) as usize % 3],
            total_bytes_max: [1_500, 1 << 20][(seed >> 8) as usize % 2],
            age_max_ms: 10_000,
            records_max: 100,
            clients_max: 64,
            groups_max: 2,
            memberships_max: 1_000,
        };
        let limits = SessionLimits { log, ring_max_bytes: 500, ..SessionLimits::default() };
        let client = |at: usize| Client::new(at % users, format!("u{}c{at}", at % users), fault);
        let disk = Disk::new(kind);
        let state = Rc::clone(&disk.0);
        let mut judge = Judge::default();
        judge.begin("e1", &Tables::default(), Lineage::default());
        World {
            slots: Slots::new(),
            server: Sessions::new(disk, Stored::default(), "e1", Stamp(0), limits),
            disk: state,
            limits,
            epoch: 1,
            now: Millis(0),
            clients: (0..users + 2).map(client).collect(),
            links: Vec::new(),
            waiting: Vec::new(),
            copy: None,
            next_token: 1,
            users,
            is_restless: (seed >> 9).is_multiple_of(2),
            judge,
            story: Story::default(),
        }
    }

    /// Carries out the steps, then lets everything come to rest.
    pub fn run(&mut self, steps: &[u64]) {
        for step in steps {
            self.step(*step);
            if self.judge.wrong.is_some() {
                return;
            }
        }
        self.come_to_rest();
    }

    fn step(&mut self, number: u64) {
        let field = |shift: u32| (number >> shift & 0xFFFF) as usize;
        let step = Step { what: number & 0xFF, a: field(8), b: field(24), c: field(40) };
        let client = step.a % self.clients.len();
        let link = step.a.checked_rem(self.links.len());
        match (step.what, link) {
            (0..45, _) => self.wish(client, &step),
            (45..48, _) if self.is_restless => self.crash(step.b),
            (48..52, _) if self.is_restless => {
                self.fail(step.b);
                self.answer();
            }
            (52..54, _) if self.is_restless && self.link_of(client).is_none() => {
                self.clients[client].forget_position();
            }
            (45..65, _) => self.connect(client),
            (65..90, _) => self.send(client, 1 + step.b % 8),
            (90..120, Some(link)) => self.arrive(link, 1 + step.b % 8, step.c),
            (120..140, _) => self.flush(),
            (140..155, _) => self.pump(1 + step.b % 3, step.c % 300),
            (155..175, Some(link)) => self.hear(link, 1 + step.b % 8),
            (175..200, Some(link)) => self.flow(link, &step),
            (200..216, _) => self.complete(),
            (216..221, _) => self.fail(step.b),
            (221..228, _) => self.answer(),
            (228..236, _) => self.acknowledge(client),
            (236..245, Some(link)) => self.cut(link, &step),
            (245, _) => self.crash(step.b),
            (246, _) => self.copy = Some(self.snapshot()),
            (247, _) => self.restore_copy(step.b),
            (248, _) => self.pass_time(11_000),
            (249..251, _) => self.pass_time(2_000),
            (_, Some(link)) => self.notice(link),
            (_, None) => self.connect(client),
        }
    }

    fn wish(&mut self, client: usize, step: &Step) {
        let (group, to) = (step.b / 16 % 2, step.b / 16 % self.users);
        let echo = step.c.is_multiple_of(8);
        let wish = match step.b % 16 {
            0..=7 => Wish::Direct { to, echo, live: step.c % 16 == 1 },
            8..=11 => Wish::Group { group, echo },
            12..=13 => Wish::Join(group),
            14 => Wish::Leave(group),
            _ => Wish::Ping,
        };
        self.clients[client].want(self.next_token, wish);
        self.next_token += 1;
        self.send(client, 1 + step.c % 3);
    }

    fn link_of(&self, client: usize) -> Option<usize> {
        self.links.iter().position(|link| link.client == client && link.is_open_at_client)
    }

    fn connect(&mut self, client: usize) {
        if self.link_of(client).is_some() {
            return;
        }
        let conn = self.slots.insert(());
        let hello = self.clients[client].hello();
        self.links.push(Link {
            conn,
            client,
            to_server: VecDeque::from([hello]),
            to_client: VecDeque::new(),
            is_open_at_client: true,
            is_open_at_server: true,
        });
    }

    fn send(&mut self, client: usize, count: usize) {
        let Some(link) = self.link_of(client) else { return };
        for _ in 0..count {
            let Some((text, item)) = self.clients[client].send() else { return };
            self.judge.sent(&self.clients[client].name, &item);
            self.links[link].to_server.push_back(text);
        }
    }

    fn acknowledge(&mut self, client: usize) {
        let Some(link) = self.link_of(client) else { return };
        if let Some(text) = self.clients[client].ack() {
            self.links[link].to_server.push_back(text);
        }
    }

    /// Frames arrive at the server; `fate` decides which of them are refused.
    fn arrive(&mut self, link: usize, count: usize, fate: usize) {
        for at in 0..count {
            let link = &mut self.links[link];
            let Some(text) = link.to_server.pop_front() else { break };
            if !link.is_open_at_server {
                continue;
            }
            self.story.tell(|| format!("{} <- {text}", link.conn));
            let (conn, user) = (link.conn, format!("u{}", self.clients[link.client].user));
            let ruling = match (fate % 8, fate / 8 % 4 == at) {
                (0, true) => {
                    Ruling::Later { refused: Refused { code: 429, reason: "rate" }, after_ms: 10 }
                }
                (1, true) => Ruling::Refused(Refused { code: 403, reason: "forbidden" }),
                _ => Ruling::Allowed(Sight::Shown),
            };
            match Frame::read(&text, &EnvelopeLimits::default()) {
                Ok(Frame::Hello(hello)) => {
                    self.judge.heard_next(hello.client, hello.next.unwrap_or(1));
                    self.server.hello(conn, &user, &hello, Standing::Recorded, self.now);
                }
                Ok(frame) => self.server.frame(conn, &frame, ruling, self.now),
                Err(error) => self.judge.complain(format!("{text}: {error:?}")),
            }
        }
        self.carry_out();
    }

    /// Nearly everything of one connection gets where it is going.
    fn flow(&mut self, link: usize, step: &Step) {
        self.arrive(link, step.b % 40, step.c);
        self.flush();
        self.complete();
        self.complete();
        self.pump(4, step.c % 3_000);
        if let Some(link) = link.checked_rem(self.links.len()) {
            self.hear(link, step.c % 40);
        }
    }

    fn flush(&mut self) {
        self.server.flush(self.now);
        self.carry_out();
    }

    fn pump(&mut self, count: usize, room: usize) {
        for _ in 0..count {
            let next = self.waiting.pop().or_else(|| self.server.next_ready());
            let Some(conn) = next else { break };
            if self.server.pump(conn, room) == Pumped::More {
                self.waiting.insert(0, conn);
            }
        }
        self.carry_out();
    }

    /// What became durable is true before what follows from it is seen.
    fn carry_out(&mut self) {
        for note in std::mem::take(&mut self.disk.borrow_mut().applied) {
            self.story.tell(|| format!("   durable: {note:?}"));
            self.judge.applied(&note);
        }
        let durable = self.disk.borrow().tables.server.counter;
        for effect in self.server.effects() {
            // Without some rule, what comes of it is to be seen, not this.
            if shown(&effect) > durable && OFF.get().is_none() {
                self.judge.complain(format!("shown, but not durable: {effect:?}"));
            }
            let (to, text) = match effect {
                Effect::Deliver { to, entry } => (to, entry.text().to_owned()),
                Effect::Reply { to, reply } => {
                    let mut text = Vec::new();
                    reply.write(&mut text);
                    (to, String::from_utf8_lossy(&text).into_owned())
                }
                Effect::Close { conn, closing } => {
                    let link = self.links.iter_mut().find(|link| link.conn == conn);
                    let Some(link) = link else { continue };
                    link.is_open_at_server = false;
                    if link.is_open_at_client {
                        self.judge.complain(format!("closed: {closing:?}"));
                    }
                    continue;
                }
                Effect::Plain { .. }
                | Effect::PlainGroup { .. }
                | Effect::Pushed { .. }
                | Effect::Unsent { .. } => continue,
            };
            let link = self.links.iter_mut().find(|link| link.conn == to);
            if let Some(link) = link.filter(|link| link.is_open_at_server) {
                self.story.tell(|| format!("{to} -> {text}"));
                link.to_client.push_back(text);
            }
        }
        self.forget_links();
    }

    /// Frames arrive at a client.
    fn hear(&mut self, at: usize, count: usize) {
        for _ in 0..count {
            let link = &mut self.links[at];
            if !link.is_open_at_client {
                return;
            }
            let Some(text) = link.to_client.pop_front() else {
                link.is_open_at_client &= link.is_open_at_server;
                break;
            };
            let client = &mut self.clients[link.client];
            self.story.tell(|| format!("   {} hears {text}", client.name));
            let user = format!("u{}", client.user);
            for seen in client.hear(&text) {
                self.judge.saw(&user, &client.name, seen);
            }
        }
        self.forget_links();
    }

    fn complete(&mut self) {
        let number = self.disk.borrow_mut().apply_first();
        let Some(number) = number else { return };
        for note in std::mem::take(&mut self.disk.borrow_mut().applied) {
            self.story.tell(|| format!("   durable: {note:?}"));
            self.judge.applied(&note);
        }
        self.server.committed(number);
        self.carry_out();
    }

    /// The first batch fails, or it is in doubt: some may be durable without anybody knowing.
    fn fail(&mut self, doubt: usize) {
        self.story.tell(|| "== fail".to_owned());
        if self.disk.borrow().handed.is_empty() || self.disk.borrow().asked.is_some() {
            return;
        }
        self.apply_some(doubt);
        self.server.failed();
        self.carry_out();
        if OFF.get().is_some() {
            return;
        }
        for link in &self.links {
            let client = &self.clients[link.client];
            if let Some(id) = client.waits_for().filter(|id| link.is_silent_about(*id)) {
                self.judge.complain(format!("{} waits for the store to answer {id}", client.name));
                return;
            }
        }
    }

    fn apply_some(&mut self, doubt: usize) {
        let handed = self.disk.borrow().handed.len();
        for _ in 0..doubt % (handed + 1) {
            self.disk.borrow_mut().apply_first();
        }
    }

    fn answer(&mut self) {
        let stored = self.disk.borrow_mut().answer();
        if let Some(stored) = stored {
            self.story.tell(|| "== answer".to_owned());
            self.server.restored(stored, self.now);
            self.carry_out();
        }
    }

    fn cut(&mut self, at: usize, step: &Step) {
        let link = &mut self.links[at];
        link.to_server.truncate(step.b % (link.to_server.len() + 1));
        link.to_client.truncate(step.c % (link.to_client.len() + 1));
        let conn = link.conn;
        match step.b / 64 % 3 {
            0 => link.is_open_at_client = false,
            1 => self.end_at_server(at, conn),
            _ => {
                link.is_open_at_client = false;
                self.end_at_server(at, conn);
            }
        }
        self.forget_links();
    }

    fn end_at_server(&mut self, at: usize, conn: ConnId) {
        if std::mem::take(&mut self.links[at].is_open_at_server) {
            self.server.closed(conn, self.now);
        }
    }

    /// The server notices at last that a client is gone.
    fn notice(&mut self, at: usize) {
        if !self.links[at].is_open_at_client {
            let conn = self.links[at].conn;
            self.end_at_server(at, conn);
        }
        self.forget_links();
    }

    fn forget_links(&mut self) {
        self.links.retain(|link| link.is_open_at_client || link.is_open_at_server);
    }

    fn crash(&mut self, doubt: usize) {
        self.story.tell(|| "== crash".to_owned());
        self.apply_some(doubt);
        self.carry_out();
        let is_volatile = self.disk.borrow().kind == Kind::Volatile;
        if is_volatile {
            self.disk.borrow_mut().tables = Tables::default();
            self.begin_epoch(Lineage::default());
        }
        self.restart();
    }

    fn snapshot(&self) -> (Tables, Lineage) {
        (self.disk.borrow().tables.clone(), self.judge.snapshot())
    }

    fn restore_copy(&mut self, doubt: usize) {
        self.story.tell(|| "== restore_copy".to_owned());
        if self.disk.borrow().kind == Kind::Volatile {
            return;
        }
        let Some((tables, lineage)) = self.copy.clone() else { return };
        self.apply_some(doubt);
        self.carry_out();
        self.disk.borrow_mut().tables = tables;
        self.begin_epoch(lineage);
        self.restart();
    }

    fn begin_epoch(&mut self, lineage: Lineage) {
        self.epoch += 1;
        let tables = self.disk.borrow().tables.clone();
        self.judge.begin(&format!("e{}", self.epoch), &tables, lineage);
    }

    fn restart(&mut self) {
        self.disk.borrow_mut().forget_pending();
        let stored = self.disk.borrow().stored();
        let disk = Disk(Rc::clone(&self.disk));
        let epoch = format!("e{}", self.epoch);
        self.server = Sessions::new(disk, stored, &epoch, Stamp(0), self.limits);
        self.waiting.clear();
        for link in &mut self.links {
            link.is_open_at_server = false;
        }
        self.forget_links();
    }

    fn pass_time(&mut self, ms: u64) {
        self.story.tell(|| "== pass_time".to_owned());
        self.now = self.now.after(ms);
        self.server.sweep(self.now, 64);
    }

    /// Nothing is lost or refused any more, and everybody is patient.
    fn come_to_rest(&mut self) {
        self.story.tell(|| "== come_to_rest".to_owned());
        for _ in 0..ROUNDS_MAX {
            self.answer();
            while !self.disk.borrow().handed.is_empty() {
                self.complete();
            }
            for client in 0..self.clients.len() {
                self.connect(client);
                self.send(client, usize::MAX);
            }
            for link in (0..self.links.len()).rev() {
                self.notice(link);
            }
            for link in (0..self.links.len()).rev() {
                let count = self.links[link].to_server.len();
                self.arrive(link, count, 7);
            }
            self.flush();
            self.pump(usize::MAX, usize::MAX);
            for link in (0..self.links.len()).rev() {
                let count = self.links[link].to_client.len() + 1;
                self.hear(link, count);
            }
            if self.judge.wrong.is_some() {
                return;
            }
            if self.is_at_rest() {
                return self.judge.rest();
            }
        }
        self.judge.complain("does not come to rest".to_owned());
    }

    fn is_at_rest(&self) -> bool {
        let is_empty = |link: &Link| link.to_server.is_empty() && link.to_client.is_empty();
        self.disk.borrow().handed.is_empty()
            && self.disk.borrow().asked.is_none()
            && self.server.is_settled()
            && self.links.iter().all(is_empty)
            && self.links.iter().all(|link| link.is_open_at_client && link.is_open_at_server)
            && (0..self.clients.len()).all(|client| self.link_of(client).is_some())
            && self.clients.iter().all(|client| client.is_welcome && client.outbox.is_empty())
    }
}

impl Link {
    /// Whether the frame of this id has arrived, and no answer to it is on its way.
    // R12: whatever has failed is answered before it is known what is kept.
    fn is_silent_about(&self, id: u64) -> bool {
        let has = |text: &String, key: &str, is_it: &dyn Fn(u64) -> bool| {
            let frame: Value = serde_json::from_str(text).unwrap_or_default();
            frame[key].as_u64().is_some_and(is_it)
        };
        self.is_open_at_client
            && self.is_open_at_server
            && !self.to_server.iter().any(|text| has(text, "id", &|own| own == id))
            && !self.to_client.iter().any(|text| has(text, "id", &|own| own == id))
            && !self.to_client.iter().any(|text| has(text, "expect", &|expect| expect <= id))
    }
}

/// The highest number that an effect shows to anybody.
fn shown(effect: &Effect) -> Seq {
    match effect {
        Effect::Deliver { entry, .. }
        | Effect::Plain { entry, .. }
        | Effect::PlainGroup { entry, .. } => entry.seq(),
        Effect::Reply { reply: Reply::Welcome(welcome), .. } => {
            let (_, at) = welcome.position.clone().unwrap_or_default();
            welcome.gap.map_or(at, |gap| gap.until.max(at))
        }
        Effect::Reply { reply: Reply::Gap(gap), .. } => gap.until,
        Effect::Reply { reply: Reply::Ping { seq }, .. } => seq.unwrap_or_default(),
        _ => Seq(0),
    }
}

const ROUNDS_MAX: usize = 100;
