//! Disks that fail: at every operation, in every way, and what is said about it.

use super::failing::{FailingDisk, HABITS};
use super::samples::{Folder, entry};
use super::start_tests::outcome;
use super::*;
use crate::relay::log::{ServerState, Stamp};

const NO_SPACE: i32 = 28;
const IO: i32 = 5;

/// A message for alice, in a batch of its own.
fn send(store: &mut Durable, seq: u64) {
    store.note(Change::Append { user: "alice", entry: &entry(seq, &"x".repeat(2_000)) });
    store.note(Change::Server(ServerState { counter: Seq(seq), ..ServerState::default() }));
    let _ = store.commit(BatchNumber(seq));
}

fn greet(store: &mut Durable) {
    store.note(Change::Create { user: "alice", dropped: Seq(0) });
    send(store, 1);
    assert_eq!(outcome(store), Outcome::Committed(BatchNumber(1)));
}

fn seqs(stored: &Stored) -> Vec<u64> {
    let record = stored.users[0].1.as_ref().unwrap();
    record.entries.iter().map(|entry| entry.seq().0).collect()
}

fn alice() -> [Rc<str>; 1] {
    [Rc::from("alice")]
}

/// Fails at one operation after the other, until none is left that could.
fn fail_everywhere(habits: Habits, error: i32) -> u32 {
    let mut failures = 0;
    for operations in 0.. {
        let disk = FailingDisk::empty();
        let mut store = disk.start_with(habits);
        greet(&mut store);
        disk.fail_after(operations, error);
        let mut committed = 1;
        let mut failed = false;
        for seq in 2..=4 {
            send(&mut store, seq);
            match outcome(&mut store) {
                Outcome::Committed(number) => committed = number.0,
                Outcome::Failed => {
                    failed = true;
                    break;
                }
                Outcome::Restored(_) => panic!("nobody asked"),
            }
        }
        if !failed {
            return failures;
        }
        failures += 1;
        // What comes now is void, whoever is faster.
        send(&mut store, 9);
        disk.heal();
        store.read_back(&alice());
        let Outcome::Restored(restored) = outcome(&mut store) else { panic!("no answer") };
        let (least, most): (Vec<u64>, Vec<u64>) =
            ((1..=committed).collect(), (1..=committed + 1).collect());
        let read = seqs(&restored);
        assert!(read == least || read == most, "{operations}: {read:?} with {committed}");
        let next = restored.server.counter.0 + 1;
        send(&mut store, next + 10);
        assert_eq!(outcome(&mut store), Outcome::Committed(BatchNumber(next + 10)));
        drop(store);
        let stored = disk.stored();
        assert_eq!(seqs(&stored), [&read[..], &[next + 10]].concat(), "{operations}");
    }
    failures
}

#[test]
fn a_full_disk_voids_what_was_handed_over_and_nothing_else() {
    assert!(fail_everywhere(HABITS, NO_SPACE) > 5);
}

#[test]
fn a_broken_disk_voids_what_was_handed_over_and_nothing_else() {
    assert!(fail_everywhere(HABITS, IO) > 5);
}

// The journal is put into the tables after every commit, and that fails, too.
#[test]
fn a_checkpoint_that_fails_voids_nothing_that_was_committed() {
    for error in [NO_SPACE, IO] {
        for durability in [Durability::Commit, Durability::Interval { ms: 3_600_000 }] {
            let habits = Habits { journal_max: 1, durability, ..HABITS };
            assert!(fail_everywhere(habits, error) > 10);
        }
    }
}

// With an interval, what was said to be committed is not on the disk, and has to survive its
// failing nevertheless.
#[test]
fn what_was_said_before_a_failing_sync_is_written_again() {
    let interval = Durability::Interval { ms: 3_600_000 };
    let disk = FailingDisk::empty();
    let mut store = disk.start(interval);
    greet(&mut store);
    send(&mut store, 2);
    assert_eq!(outcome(&mut store), Outcome::Committed(BatchNumber(2)));
    disk.fail_after(0, NO_SPACE);
    // Large enough to be synced at once.
    for seq in 3.. {
        let long = entry(seq, &"x".repeat(8 << 20));
        store.note(Change::Append { user: "alice", entry: &long });
        store.note(Change::Server(ServerState { counter: Seq(seq), ..ServerState::default() }));
        let _ = store.commit(BatchNumber(seq));
        if outcome(&mut store) == Outcome::Failed {
            break;
        }
        assert!(seq < 20, "it is never synced");
    }
    disk.heal();
    store.read_back(&alice());
    let Outcome::Restored(restored) = outcome(&mut store) else { panic!("no answer") };
    let read = seqs(&restored);
    assert!(read.starts_with(&[1, 2]), "{read:?}");
    assert_eq!(seqs(&FailingDisk::with(disk.synced()).stored()), read);
}

#[test]
fn with_an_interval_the_sync_comes_by_itself() {
    let disk = FailingDisk::empty();
    let mut store = disk.start(Durability::Interval { ms: 1 });
    greet(&mut store);
    let end = std::time::Instant::now() + std::time::Duration::from_secs(30);
    loop {
        let stored = FailingDisk::with(disk.synced()).stored();
        if !stored.users.is_empty() && seqs(&stored) == [1] {
            break;
        }
        assert!(std::time::Instant::now() < end, "it is not synced");
    }
}

#[test]
fn it_is_tried_again_until_the_disk_can_be_written() {
    let disk = FailingDisk::empty();
    let mut store = disk.start(Durability::Commit);
    greet(&mut store);
    disk.fail_after(0, NO_SPACE);
    send(&mut store, 2);
    assert_eq!(outcome(&mut store), Outcome::Failed);
    store.read_back(&alice());
    std::thread::sleep(std::time::Duration::from_millis(250));
    assert_eq!(store.poll(), None);
    disk.heal();
    let Outcome::Restored(restored) = outcome(&mut store) else { panic!("no answer") };
    assert_eq!(seqs(&restored), [1]);
}

// A disk that fails for good must not keep the server from ending.
#[test]
fn a_store_is_dropped_though_its_disk_fails() {
    let disk = FailingDisk::empty();
    let mut store = disk.start(Durability::Commit);
    greet(&mut store);
    disk.fail_after(0, IO);
    send(&mut store, 2);
    assert_eq!(outcome(&mut store), Outcome::Failed);
    store.read_back(&alice());
    drop(store);
    disk.heal();
    assert_eq!(seqs(&disk.stored()), [1]);
    let folder = Folder::new();
    let place = Place::prepare(folder.path()).unwrap();
    assert_eq!(file::label(&disk.open().unwrap(), &place).unwrap().run, Run::Closed.text());
}

#[test]
fn more_than_may_wait_is_refused() {
    let disk = FailingDisk::empty();
    let mut store = disk.start(Durability::Commit);
    greet(&mut store);
    // As if the thread had not taken anything yet.
    store.waiting.fetch_add(WAITING_MAX_BYTES, Ordering::Relaxed);
    send(&mut store, 2);
    send(&mut store, 3);
    assert_eq!(outcome(&mut store), Outcome::Failed);
    store.waiting.fetch_sub(WAITING_MAX_BYTES, Ordering::Relaxed);
    store.read_back(&alice());
    let Outcome::Restored(restored) = outcome(&mut store) else { panic!("no answer") };
    assert_eq!(seqs(&restored), [1]);
    send(&mut store, 4);
    assert_eq!(outcome(&mut store), Outcome::Committed(BatchNumber(4)));
}

/// Alice has read something.
fn acknowledge(store: &mut Durable, number: u64) {
    store.note(Change::Acknowledge { user: "alice", acked: Seq(1) });
    store.note(Change::Seen { user: "alice", at: Stamp(number) });
    store.note(Change::Server(ServerState { counter: Seq(1), ..ServerState::default() }));
    let _ = store.commit(BatchNumber(number));
}

fn slow(disk: &FailingDisk) -> Durable {
    let later = std::time::Duration::from_secs(3_600);
    let mut store = disk.start_with(Habits { later, ..HABITS });
    greet(&mut store);
    store
}

#[test]
fn acknowledgements_are_committed_with_what_comes_behind_them() {
    let disk = FailingDisk::empty();
    let mut store = slow(&disk);
    acknowledge(&mut store, 2);
    // The thread has it, and might commit it.
    while store.waiting.load(Ordering::Relaxed) > 0 {
        std::thread::yield_now();
    }
    acknowledge(&mut store, 3);
    send(&mut store, 4);
    assert_eq!(outcome(&mut store), Outcome::Committed(BatchNumber(4)));
    // A seq was issued, and may be in a message that is in no log.
    let counter = Seq(5);
    store.note(Change::Server(ServerState { counter, ..ServerState::default() }));
    let _ = store.commit(BatchNumber(5));
    assert_eq!(outcome(&mut store), Outcome::Committed(BatchNumber(5)));
}

#[test]
fn acknowledgements_are_committed_at_the_end_or_after_a_moment() {
    let disk = FailingDisk::empty();
    let mut store = slow(&disk);
    acknowledge(&mut store, 2);
    drop(store);
    assert_eq!(disk.stored().users[0].1.as_ref().unwrap().acked, Seq(1));
    let disk = FailingDisk::empty();
    let mut store = disk.start(Durability::Commit);
    greet(&mut store);
    // And alone, after a moment.
    acknowledge(&mut store, 2);
    assert_eq!(outcome(&mut store), Outcome::Committed(BatchNumber(2)));
}
