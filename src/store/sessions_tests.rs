//! Real sessions on a real store whose disk fails now and then: what is in memory and what is on
//! the disk are the same whenever the store has caught up.

use std::time::{Duration, Instant};

use super::failing::{FailingDisk, HABITS};
use super::samples::Chance;
use super::*;
use crate::hub::{ConnId, Slots};
use crate::relay::envelope::EnvelopeLimits;
use crate::relay::log::{LogLimits, Numbers, Stamp};
use crate::relay::v1::{
    Effect, Frame, Pumped, Reply, Ruling, SessionLimits, Sessions, Sight, Standing,
};
use crate::timer::Millis;

struct Server {
    disk: FailingDisk,
    sessions: Option<Sessions<Durable>>,
    slots: Slots<()>,
    conns: Vec<Conn>,
    chance: Chance,
    now: Millis,
    is_down: bool,
    failures: u32,
}

struct Conn {
    id: ConnId,
    user: &'static str,
    client: &'static str,
    /// The highest seq it was given.
    heard: u64,
    is_welcome: bool,
}

/// What is kept of a user, as memory and disk both know it.
#[derive(Debug, PartialEq)]
struct Kept {
    user: String,
    dropped: Seq,
    acked: Seq,
    entries: Vec<Entry>,
    clients: Vec<(String, Numbers)>,
    groups: Vec<String>,
}

const USERS: [&str; 4] = ["alice", "bob", "carol", "dave"];
const CLIENTS: [&str; 3] = ["c1", "c2", "c3"];
const GROUPS: [&str; 2] = ["room1", "room2"];

impl Server {
    fn new(seed: u64) -> Server {
        let mut server = Server {
            disk: FailingDisk::empty(),
            sessions: None,
            slots: Slots::new(),
            conns: Vec::new(),
            chance: Chance(seed),
            now: Millis(1),
            is_down: false,
            failures: 0,
        };
        server.start();
        server
    }

    fn start(&mut self) {
        let log = LogLimits {
            entries_max: 12,
            bytes_max: 4_000,
            age_max_ms: 20_000,
            clients_max: 2,
            groups_max: 2,
            ..LogLimits::default()
        };
        let limits = SessionLimits { log, ..SessionLimits::default() };
        // One after the other: a disk is for one database.
        let stored = self.disk.stored();
        // Each start with another length of the journal: some have many checkpoints.
        let journal_max = [1, 2_000, 1 << 20][self.chance.below(3)];
        let store = self.disk.start_with(Habits { journal_max, ..HABITS });
        self.sessions = Some(Sessions::new(store, stored, "e1", Stamp(1_000), limits));
    }

    fn sessions(&mut self) -> &mut Sessions<Durable> {
        self.sessions.as_mut().unwrap()
    }

    fn step(&mut self) {
        self.now = self.now.after(self.chance.below(40) as u64);
        match self.chance.below(24) {
            0..=2 => self.hello(),
            3 if !self.conns.is_empty() => {
                let at = self.chance.below(self.conns.len());
                let (conn, now) = (self.conns.swap_remove(at).id, self.now);
                self.sessions().closed(conn, now);
            }
            4 => {
                let now = self.now;
                self.sessions().sweep(now, 100);
            }
            5 => self.disk.fail_after(self.chance.below(20) as u32, [28, 5][self.chance.below(2)]),
            6..=7 => self.disk.heal(),
            8 => self.now = self.now.after(3_000),
            9..=13 => self.tick(),
            _ if !self.conns.is_empty() => self.speak(),
            _ => {}
        }
    }

    fn hello(&mut self) {
        let (user, client) = (USERS[self.chance.below(4)], CLIENTS[self.chance.below(3)]);
        let id = self.slots.insert(());
        let text = format!(r#"{{"type":"hello","client":"{client}","seq":0}}"#);
        let Ok(Frame::Hello(hello)) = Frame::read(&text, &EnvelopeLimits::default()) else {
            panic!("{text}")
        };
        let now = self.now;
        self.sessions().hello(id, user, &hello, Standing::Recorded, now);
        self.conns.push(Conn { id, user, client, heard: 0, is_welcome: false });
    }

    fn speak(&mut self) {
        let at = self.chance.below(self.conns.len());
        let Conn { id: conn, user, client, heard, is_welcome } = self.conns[at];
        if !is_welcome {
            return;
        }
        let book = self.sessions().book();
        let record = book.find(user).and_then(|key| book.user(key).record());
        let numbers =
            record.and_then(|record| record.client(client)).map(|client| client.numbers());
        let id = numbers.unwrap_or_default().last() + 1;
        let (to, group) = (USERS[self.chance.below(4)], GROUPS[self.chance.below(2)]);
        let long = "x".repeat([1, 30, 900][self.chance.below(3)]);
        let text = match self.chance.below(9) {
            0 => format!(r#"{{"type":"join","group":"{group}","id":{id}}}"#),
            1 => format!(r#"{{"type":"leave","group":"{group}","id":{id}}}"#),
            2..=3 => format!(r#"{{"id":{id},"group":"{group}","content":"{long}"}}"#),
            4..=5 => format!(r#"{{"type":"ack","seq":{heard}}}"#),
            _ => format!(r#"{{"id":{id},"receiver":"{to}","content":"{long}"}}"#),
        };
        let now = self.now;
        let frame = Frame::read(&text, &EnvelopeLimits::default()).unwrap();
        self.sessions().frame(conn, &frame, Ruling::Allowed(Sight::Hidden), now);
    }

    fn tick(&mut self) {
        // Sometimes the store has had time to say something by now, sometimes not.
        std::thread::sleep(Duration::from_micros(self.chance.below(3) as u64 * 150));
        let now = self.now;
        while let Some(outcome) = self.sessions().store_mut().poll() {
            match outcome {
                Outcome::Committed(number) => self.sessions().committed(number),
                Outcome::Failed => {
                    self.is_down = true;
                    self.failures += 1;
                    self.sessions().failed();
                }
                Outcome::Restored(stored) => {
                    self.is_down = false;
                    self.sessions().restored(stored, now);
                }
            }
        }
        self.sessions().flush(now);
        while let Some(conn) = self.sessions().next_ready() {
            assert_eq!(self.sessions().pump(conn, usize::MAX), Pumped::Done);
        }
        let effects: Vec<Effect> = self.sessions().effects().collect();
        for effect in effects {
            match effect {
                Effect::Close { conn, .. } => self.conns.retain(|known| known.id != conn),
                Effect::Deliver { to, entry } => {
                    let known = self.conns.iter_mut().find(|known| known.id == to);
                    known.unwrap().heard = entry.seq().0;
                }
                Effect::Reply { to, reply: Reply::Welcome(_) } => {
                    let known = self.conns.iter_mut().find(|known| known.id == to);
                    known.unwrap().is_welcome = true;
                }
                _ => {}
            }
        }
    }

    /// Until nothing is pending.
    fn catch_up(&mut self) {
        self.disk.heal();
        let end = Instant::now() + Duration::from_secs(60);
        self.tick();
        while self.is_down || !self.sessions().is_settled() {
            let is_settled = self.sessions().is_settled();
            assert!(Instant::now() < end, "down {}, settled {is_settled}", self.is_down);
            std::thread::sleep(Duration::from_micros(200));
            self.tick();
        }
    }

    fn in_memory(&mut self) -> Vec<Kept> {
        let book = self.sessions().book();
        let kept = book.users().filter_map(|(key, user)| {
            let record = user.record()?;
            let clients = record.clients().iter();
            let clients = clients.map(|client| (client.name().to_string(), client.numbers()));
            Some(Kept {
                user: user.name().to_string(),
                dropped: record.mailbox().dropped(),
                acked: record.mailbox().acked(),
                entries: record.mailbox().above(Seq(0)).cloned().collect(),
                clients: sorted(clients),
                groups: sorted(book.groups(key).map(ToString::to_string)),
            })
        });
        let mut kept: Vec<Kept> = kept.collect();
        kept.sort_by(|a, b| a.user.cmp(&b.user));
        kept
    }

    fn on_disk(&self) -> Vec<Kept> {
        let users = self.disk.stored().users.into_iter();
        let kept = users.map(|(user, record)| {
            let StoredRecord { dropped, acked, entries, clients, groups, .. } = record.unwrap();
            let clients = clients.into_iter().map(|(name, numbers, _)| (name.to_string(), numbers));
            let groups = sorted(groups.iter().map(ToString::to_string));
            Kept {
                user: user.to_string(),
                dropped,
                acked,
                entries,
                clients: clients.collect(),
                groups,
            }
        });
        kept.collect()
    }
}

fn sorted<T>(items: impl Iterator<Item = T>) -> Vec<T>
where
    T: PartialEq + Clone + std::fmt::Debug,
{
    let mut items: Vec<T> = items.collect();
    items.sort_by_key(|item| format!("{item:?}"));
    items
}

#[test]
fn memory_and_disk_are_the_same_whatever_fails() {
    let (mut failures, mut entries) = (0, 0);
    for seed in 0..25 {
        let mut server = Server::new(seed);
        for round in 0..6 {
            for _ in 0..150 {
                server.step();
            }
            server.catch_up();
            let before = server.in_memory();
            let counter = server.sessions().book().counter();
            // Closed, so that nothing but the disk knows it.
            server.sessions = None;
            server.conns.clear();
            assert_eq!(server.on_disk(), before, "seed {seed}, round {round}");
            server.start();
            assert_eq!(server.in_memory(), before, "seed {seed}, round {round}");
            assert!(server.sessions().book().counter() <= counter);
            entries += before.iter().map(|kept| kept.entries.len()).sum::<usize>();
        }
        failures += server.failures;
    }
    assert!(failures > 15 && entries > 200, "{failures} failures, {entries} entries");
}
