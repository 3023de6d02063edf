//! The store beside a plain map: the same changes leave the same, also after a crash at any moment.

use std::collections::BTreeMap;
use std::sync::Mutex;

use super::failing::{FailingDisk, HABITS};
use super::samples::{Chance, entry};
use super::start_tests::outcome;
use super::*;
use crate::relay::log::{Experience, Numbers, ServerState, Stamp, StoredAnswer};

/// What should be kept.
#[derive(Clone, Debug, Default, PartialEq)]
struct Reference {
    server: ServerState,
    users: BTreeMap<Rc<str>, StoredRecord>,
    answers: BTreeMap<Rc<str>, StoredAnswer>,
}

impl Reference {
    fn apply(&mut self, change: Change<'_>) {
        let user = match change {
            Change::Server(server) => {
                self.server = server;
                return;
            }
            Change::Answer { request, answer } => {
                self.answers.insert(Rc::from(request), answer.clone());
                return;
            }
            Change::ForgetAnswer { request } => {
                self.answers.remove(request);
                return;
            }
            Change::Create { user, dropped } => {
                let record = StoredRecord { dropped, ..StoredRecord::default() };
                self.users.insert(Rc::from(user), record);
                return;
            }
            Change::Remove { user } => {
                self.users.remove(user);
                return;
            }
            Change::Acknowledge { user, .. }
            | Change::Append { user, .. }
            | Change::Client { user, .. }
            | Change::Discard { user, .. }
            | Change::ForgetClient { user, .. }
            | Change::Join { user, .. }
            | Change::Leave { user, .. }
            | Change::Seen { user, .. } => user,
        };
        let Some(record) = self.users.get_mut(user) else { return };
        match change {
            Change::Acknowledge { acked, .. } => record.acked = acked,
            Change::Append { entry, .. } => record.entries.push(entry.clone()),
            Change::Client { client, numbers, seen, .. } => {
                record.clients.retain(|(name, ..)| &**name != client);
                record.clients.push((Rc::from(client), numbers, seen));
                record.clients.sort_by(|a, b| a.0.cmp(&b.0));
            }
            Change::Discard { dropped, .. } => {
                record.dropped = dropped;
                record.entries.retain(|entry| entry.seq() > dropped);
            }
            Change::ForgetClient { client, .. } => {
                record.clients.retain(|(name, ..)| &**name != client);
            }
            Change::Join { group, .. } => {
                record.groups.retain(|name| &**name != group);
                record.groups.push(Rc::from(group));
                record.groups.sort();
            }
            Change::Leave { group, .. } => record.groups.retain(|name| &**name != group),
            Change::Seen { at, .. } => record.seen = at,
            Change::Answer { .. }
            | Change::Create { .. }
            | Change::ForgetAnswer { .. }
            | Change::Remove { .. }
            | Change::Server(_) => {}
        }
    }

    fn stored(&self) -> Stored {
        let users = self.users.iter();
        let users = users.map(|(name, record)| (Rc::clone(name), Some(record.clone())));
        let answers = self.answers.iter();
        let answers = answers.map(|(request, answer)| (Rc::clone(request), answer.clone()));
        Stored { server: self.server, users: users.collect(), answers: answers.collect() }
    }

    /// What is to be answered about everybody who may be in it.
    fn about(&self, users: &[Rc<str>]) -> Stored {
        let users = users.iter();
        let users = users.map(|user| (Rc::clone(user), self.users.get(user).cloned())).collect();
        Stored { server: self.server, users, answers: Vec::new() }
    }
}

/// Makes changes at random.
struct Changes {
    chance: Chance,
    counter: u64,
    batches: u64,
}

impl Changes {
    fn new(seed: u64) -> Changes {
        Changes { chance: Chance(seed), counter: 0, batches: 0 }
    }

    /// A batch, noted in the store and in the reference.
    fn batch(&mut self, store: &mut Durable, reference: &mut Reference) {
        let mut both = |change: Change<'_>| {
            store.note(change);
            reference.apply(change);
        };
        for _ in 0..self.chance.below(12) {
            let user = USERS[self.chance.below(USERS.len())];
            let other = ["one", "two", "three"][self.chance.below(3)];
            let dropped = Seq(self.counter.saturating_sub(self.chance.below(9) as u64));
            match self.chance.below(17) {
                0..=1 => both(Change::Create { user, dropped }),
                2 => both(Change::Remove { user }),
                3 => both(Change::Acknowledge { user, acked: dropped }),
                4 => both(Change::Discard { user, dropped }),
                5 => {
                    let bits = self.chance.below(99) as u64;
                    let numbers = Numbers::restored(bits * 7, bits, Experience::Some);
                    let seen = Stamp(bits);
                    both(Change::Client { user, client: other, numbers, seen });
                }
                6 => both(Change::ForgetClient { user, client: other }),
                7 => both(Change::Join { user, group: other, seq: Seq(self.counter) }),
                8 => both(Change::Leave { user, group: other, seq: Seq(self.counter) }),
                9 => both(Change::Seen { user, at: Stamp(self.counter * 3) }),
                10..=11 => {
                    let status = self.chance.below(999) as u16;
                    let body = Rc::from("x".repeat([0, 90, 5_000][self.chance.below(3)]));
                    let digest = [self.chance.below(256) as u8; 32];
                    let at = Stamp(self.counter * 2);
                    let answer = StoredAnswer { at, digest, status, body };
                    both(Change::Answer { request: other, answer: &answer });
                }
                12 => both(Change::ForgetAnswer { request: other }),
                _ => {
                    self.counter += 1 + self.chance.below(2) as u64;
                    let len = [3, 80, 3_000][self.chance.below(3)];
                    let message = entry(self.counter, &"x".repeat(len));
                    let count = 1 + self.chance.below(USERS.len());
                    for user in USERS.iter().cycle().skip(self.chance.below(9)).take(count) {
                        both(Change::Append { user, entry: &message });
                    }
                }
            }
        }
        self.batches += 1;
        // It tells batches apart that change nothing else of what is read back, as answers.
        let (counter, stamp) = (Seq(self.counter), Stamp(self.batches * 10));
        both(Change::Server(ServerState { counter, floor: Seq(self.counter / 2), stamp }));
    }
}

const USERS: [&str; 7] = ["a", "a\u{1}", "aa", "alice", "bob", "carol", "é"];

fn everybody() -> Vec<Rc<str>> {
    USERS.map(Rc::from).to_vec()
}

/// The journal is put into the tables after every commit, after some, or at the end.
fn habits(seed: u64) -> Habits {
    Habits { journal_max: [1, 4_000, 1 << 20][seed as usize % 3], ..HABITS }
}

/// A fifth of what is asked for: each is dozens of commits.
fn seeds() -> std::ops::Range<u64> {
    let count = std::env::var("SWITCHBOARD_SEEDS").ok().and_then(|count| count.parse().ok());
    0..count.map_or(40, |count: u64| (count / 5).max(20))
}

#[test]
fn the_store_keeps_what_a_plain_map_keeps() {
    for seed in seeds() {
        let disk = FailingDisk::empty();
        let (mut changes, mut reference) = (Changes::new(seed), Reference::default());
        let mut number = BatchNumber(0);
        for round in 0..3 {
            let mut store = disk.start_with(habits(seed + round));
            for _ in 0..15 {
                changes.batch(&mut store, &mut reference);
                number.0 += 1;
                let _ = store.commit(number);
            }
            // They are committed in groups, or one by one: that is nobody's business.
            while outcome(&mut store) != Outcome::Committed(number) {}
            store.read_back(&everybody());
            let restored = Outcome::Restored(reference.about(&everybody()));
            assert_eq!(outcome(&mut store), restored, "seed {seed}");
            drop(store);
            assert_eq!(disk.stored(), reference.stored(), "seed {seed}");
        }
    }
}

#[test]
fn entries_are_shared_again_after_a_start_and_after_a_failure() {
    let disk = FailingDisk::empty();
    let mut store = disk.start(Durability::Commit);
    let message = entry(1, "to all");
    for user in USERS {
        store.note(Change::Create { user, dropped: Seq(0) });
    }
    for user in USERS {
        store.note(Change::Append { user, entry: &message });
    }
    store.note(Change::Server(ServerState { counter: Seq(1), ..ServerState::default() }));
    let _ = store.commit(BatchNumber(1));
    assert_eq!(outcome(&mut store), Outcome::Committed(BatchNumber(1)));
    store.read_back(&everybody());
    let Outcome::Restored(restored) = outcome(&mut store) else { panic!("no answer") };
    drop(store);
    for stored in [restored, disk.stored()] {
        let bytes = |at: usize| {
            let record = stored.users[at].1.as_ref().unwrap();
            record.entries[0].as_bytes().as_ptr()
        };
        assert!((1..USERS.len()).all(|at| bytes(at) == bytes(0)));
    }
}

/// Some commits, as the disk saw them.
struct Witness {
    before: Vec<u8>,
    /// The disk after each change.
    history: Vec<Vec<u8>>,
    /// After how many changes it was synced.
    syncs: Vec<usize>,
    /// What was committed for sure after so many changes.
    milestones: Vec<(usize, Stored)>,
}

fn witness(seed: u64) -> Witness {
    let disk = FailingDisk::empty();
    let mut store = disk.start_with(habits(seed));
    let (mut changes, mut reference) = (Changes::new(seed), Reference::default());
    let before = disk.bytes();
    disk.remember();
    let mut kept = vec![reference.stored()];
    for number in 1..=6 {
        changes.batch(&mut store, &mut reference);
        let _ = store.commit(BatchNumber(number));
        assert_eq!(outcome(&mut store), Outcome::Committed(BatchNumber(number)));
        kept.push(reference.stored());
    }
    // With the last checkpoint, which is written when everything has been said.
    drop(store);
    let said = [0].into_iter().chain(disk.said());
    let milestones = said.zip(kept).collect();
    Witness { before, syncs: disk.syncs(), history: disk.history(), milestones }
}

#[test]
fn a_process_that_is_killed_at_any_moment_leaves_what_was_committed() {
    for seed in 0..6 {
        let Witness { history, milestones, .. } = witness(seed);
        for (at, bytes) in history.into_iter().enumerate() {
            let stored = FailingDisk::with(bytes).stored();
            // What was said to be committed, or one commit more, which nobody was told of.
            let said = milestones.iter().rposition(|(changes, _)| *changes <= at + 1).unwrap();
            let may = &milestones[said..milestones.len().min(said + 2)];
            assert!(may.iter().any(|(_, may)| *may == stored), "seed {seed}, change {at}");
        }
    }
}

#[test]
fn a_power_cut_at_any_moment_leaves_what_was_committed() {
    let chance = Mutex::new(Chance(9));
    for seed in 0..6 {
        let Witness { before, history, syncs, milestones } = witness(seed);
        let ends = syncs.iter().copied().chain([history.len()]);
        let mut from = 0_usize;
        for until in ends {
            let base = from.checked_sub(1).map_or(&before, |last| &history[last]);
            for (at, now) in history.iter().enumerate().take(until).skip(from) {
                // Any of the blocks written since the last sync are on the disk, in any order.
                let mut bytes = base.clone();
                bytes.resize(now.len().max(base.len()), 0);
                for (old, new) in bytes.chunks_mut(4_096).zip(now.chunks(4_096)) {
                    if chance.lock().unwrap().below(2) == 0 {
                        old[..new.len()].copy_from_slice(new);
                    }
                }
                let stored = FailingDisk::with(bytes).stored();
                let said = milestones.iter().rposition(|(changes, _)| *changes <= from).unwrap();
                let may = &milestones[said..milestones.len().min(said + 2)];
                assert!(may.iter().any(|(_, may)| *may == stored), "seed {seed}, change {at}");
            }
            from = until;
        }
    }
}

/// Whatever fails in between, commits and checkpoints, with and without a sync of each: what was
/// said to be committed is there, once and in its order.
#[test]
fn failures_at_any_operation_leave_what_was_said() {
    let mut failures = 0;
    for seed in seeds() {
        let durability =
            [Durability::Commit, Durability::Interval { ms: 3_600_000 }][seed as usize % 2];
        let disk = FailingDisk::empty();
        let mut store = disk.start_with(Habits { durability, ..habits(seed / 2) });
        let (mut changes, mut reference) = (Changes::new(seed), Reference::default());
        for number in 1..=60 {
            if changes.chance.below(4) == 0 {
                let error = [28, 5][changes.chance.below(2)];
                disk.fail_after(changes.chance.below(30) as u32, error);
            }
            let mut next = reference.clone();
            changes.batch(&mut store, &mut next);
            let _ = store.commit(BatchNumber(number));
            if outcome(&mut store) == Outcome::Committed(BatchNumber(number)) {
                reference = next;
                continue;
            }
            failures += 1;
            disk.heal();
            store.read_back(&everybody());
            let Outcome::Restored(restored) = outcome(&mut store) else { panic!("no answer") };
            // It is in doubt what became of the last one, but it was all or nothing.
            if restored == next.about(&everybody()) && restored != reference.about(&everybody()) {
                reference = next;
            }
            assert_eq!(restored, reference.about(&everybody()), "seed {seed}, batch {number}");
        }
        disk.heal();
        drop(store);
        assert_eq!(disk.stored(), reference.stored(), "seed {seed}");
    }
    assert!(failures > 40, "{failures}");
}
