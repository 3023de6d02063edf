//! Stores whose rows do not agree with each other: what is found, and what is dropped.

use std::path::Path;

use super::batch::Batch;
use super::check::{Action, Checked, Dropped, check};
use super::row::UserRow;
use super::samples::{Folder, entry};
use super::start_tests::outcome;
use super::*;
use crate::relay::log::ServerState;

/// A store in which alice and bob have 1 to 5, and alice 6 alone.
fn sound(dir: &Path) -> String {
    let opened = Durable::open(dir, Durability::Commit, || {}).unwrap();
    let mut store = opened.store;
    for user in ["alice", "bob"] {
        store.note(Change::Create { user, dropped: Seq(0) });
        store.note(Change::Join { user, group: "room1", seq: Seq(1) });
    }
    for seq in 1..=6 {
        let message = entry(seq, "hi");
        for user in if seq < 6 { &["alice", "bob"][..] } else { &["alice"] } {
            store.note(Change::Append { user, entry: &message });
        }
    }
    store.note(Change::Server(ServerState { counter: Seq(6), ..ServerState::default() }));
    let _ = store.commit(BatchNumber(1));
    assert_eq!(outcome(&mut store), Outcome::Committed(BatchNumber(1)));
    opened.epoch
}

/// Breaks something.
fn with(dir: &Path, change: impl FnOnce(&mut tables::Tables<'_>)) {
    let database = file::open(&dir.join("switchboard.redb")).unwrap();
    let txn = database.begin_write().unwrap();
    change(&mut tables::Tables::open(&txn).unwrap());
    txn.commit().unwrap();
}

fn run(dir: &Path, action: Action) -> Checked {
    check(dir, action, &mut |_| {}).unwrap()
}

/// Something that breaks a store, and what is found then, and dropped.
struct Break {
    change: fn(&mut tables::Tables<'_>),
    problems: &'static [&'static str],
    dropped: Dropped,
}

const BREAKS: &[Break] = &[
    Break {
        change: |tables| drop(tables.entries.remove(6).unwrap()),
        problems: &["the log of \"alice\" names message 6, which is not there"],
        dropped: Dropped { entries: 0, places: 1, strays: 0, answers: 0, batches: 0 },
    },
    Break {
        change: |tables| drop(tables.entries.insert(3, &b"rubbish"[..]).unwrap()),
        problems: &["message 3 cannot be read"],
        dropped: Dropped { entries: 1, places: 2, strays: 0, answers: 0, batches: 0 },
    },
    Break {
        change: |tables| drop(tables.entries.insert(6, entry(5, "hi").as_bytes()).unwrap()),
        problems: &["message 6 cannot be read"],
        dropped: Dropped { entries: 1, places: 1, strays: 0, answers: 0, batches: 0 },
    },
    Break {
        change: |tables| drop(tables.log.remove(("alice", 6)).unwrap()),
        problems: &["message 6 is in no log"],
        dropped: Dropped { entries: 1, places: 0, strays: 0, answers: 0, batches: 0 },
    },
    Break {
        change: |tables| drop(tables.log.remove(("alice", 5)).unwrap()),
        problems: &["message 5 is counted in 2 logs and is in 1"],
        dropped: Dropped { entries: 0, places: 0, strays: 0, answers: 0, batches: 0 },
    },
    Break {
        change: |tables| drop(tables.answers.insert("7f3a", &b"rubbish"[..]).unwrap()),
        problems: &["the answer to the request \"7f3a\" cannot be read"],
        dropped: Dropped { entries: 0, places: 0, strays: 0, answers: 1, batches: 0 },
    },
    Break {
        change: |tables| drop(tables.holders.remove(5).unwrap()),
        problems: &["message 5 is counted in 1 logs and is in 2"],
        dropped: Dropped { entries: 0, places: 0, strays: 0, answers: 0, batches: 0 },
    },
    Break {
        change: |tables| drop(tables.users.remove("bob").unwrap()),
        problems: &[
            "table log has rows of \"bob\", who has no record",
            "table groups has rows of \"bob\", who has no record",
            "message 1 is counted in 2 logs and is in 1",
            "message 2 is counted in 2 logs and is in 1",
            "message 3 is counted in 2 logs and is in 1",
            "message 4 is counted in 2 logs and is in 1",
            "message 5 is counted in 2 logs and is in 1",
        ],
        dropped: Dropped { entries: 0, places: 5, strays: 1, answers: 0, batches: 0 },
    },
    Break {
        change: |tables| {
            let row = UserRow { dropped: Seq(2), ..UserRow::default() };
            drop(tables.users.insert("bob", row).unwrap());
        },
        problems: &[
            "message 1 is in the log of \"bob\" though it was discarded there",
            "message 2 is in the log of \"bob\" though it was discarded there",
        ],
        dropped: Dropped { entries: 0, places: 2, strays: 0, answers: 0, batches: 0 },
    },
    Break {
        change: |tables| drop(tables.numbers.insert("counter", 5).unwrap()),
        problems: &["seq 6 is above 5, the newest that was issued"],
        dropped: Dropped { entries: 0, places: 0, strays: 0, answers: 0, batches: 0 },
    },
];

#[test]
fn what_does_not_belong_together_is_found_refused_and_repaired() {
    for Break { change, problems, dropped } in BREAKS {
        let folder = Folder::new();
        let dir = folder.path();
        let epoch = sound(dir);
        let before = run(dir, Action::Look);
        assert_eq!((before.problems.count, &before.epoch), (0, &epoch));
        assert_eq!((before.tally.entries, before.tally.places, before.tally.groups), (6, 11, 1));
        with(dir, change);
        let found = run(dir, Action::Look);
        let words: Vec<String> = found.problems.first.iter().map(ToString::to_string).collect();
        assert_eq!(words, *problems);
        let refused = Durable::open(dir, Durability::Commit, || {}).unwrap_err();
        assert!(refused.to_string().contains(problems[0]), "{refused}");
        let repaired = run(dir, Action::Repair);
        assert_eq!(repaired.problems, found.problems);
        assert_eq!(repaired.dropped, Some(*dropped), "{problems:?}");
        assert_ne!(repaired.epoch, epoch);
        let after = run(dir, Action::Look);
        assert_eq!((after.problems.count, &after.epoch), (0, &repaired.epoch), "{problems:?}");
        let opened = Durable::open(dir, Durability::Commit, || {}).unwrap();
        assert_eq!((opened.report.new_epoch, opened.epoch), (None, repaired.epoch));
    }
}

#[test]
fn repairing_what_is_whole_changes_nothing() {
    let folder = Folder::new();
    let epoch = sound(folder.path());
    let repaired = run(folder.path(), Action::Repair);
    assert_eq!((repaired.dropped, &repaired.epoch), (Some(Dropped::default()), &epoch));
    let opened = Durable::open(folder.path(), Durability::Commit, || {}).unwrap();
    assert_eq!((opened.epoch, opened.report.tally), (epoch, repaired.tally));
}

/// Alice gets another message, and that is in the journal still.
fn batch(seq: u64) -> Vec<u8> {
    let mut batch = Batch::default();
    batch.push(Change::Append { user: "alice", entry: &entry(seq, "ho") });
    batch.push(Change::Server(ServerState { counter: Seq(seq), ..ServerState::default() }));
    batch.bytes().to_vec()
}

fn journal(dir: &Path, batches: &[&[u8]]) {
    let database = file::open(&dir.join("switchboard.redb")).unwrap();
    let txn = database.begin_write().unwrap();
    let mut extent = journal::Extent::of(&txn).unwrap();
    extent.append(&txn, batches.iter().copied()).unwrap();
    txn.commit().unwrap();
}

fn seqs(opened: &Opened) -> Vec<u64> {
    let record = opened.stored.users[0].1.as_ref().unwrap();
    record.entries.iter().map(|entry| entry.seq().0).collect()
}

#[test]
fn what_is_in_the_journal_is_counted_and_taken_in_once() {
    let folder = Folder::new();
    let dir = folder.path();
    let epoch = sound(dir);
    journal(dir, &[&batch(7), &batch(8)]);
    let before = std::fs::read(dir.join("switchboard.redb")).unwrap();
    let found = run(dir, Action::Look);
    assert_eq!((found.problems.count, found.journaled, found.tally.entries), (0, 4, 8));
    assert_eq!(found.server.counter, Seq(8));
    assert_eq!(std::fs::read(dir.join("switchboard.redb")).unwrap(), before);
    for _ in 0..2 {
        let opened = Durable::open(dir, Durability::Commit, || {}).unwrap();
        assert_eq!((seqs(&opened), &opened.epoch), ((1..=8).collect(), &epoch));
        assert_eq!(opened.report.tally, found.tally);
    }
    assert_eq!(run(dir, Action::Look).journaled, 0);
    // What comes later gets another number.
    journal(dir, &[&batch(9)]);
    let repaired = run(dir, Action::Repair);
    assert_eq!((repaired.dropped, repaired.epoch), (Some(Dropped::default()), epoch));
    assert_eq!((repaired.journaled, repaired.tally.entries), (2, 9));
    assert_eq!(run(dir, Action::Look).journaled, 0);
}

#[test]
fn a_damaged_journal_is_refused_and_repaired_up_to_where_it_can_be_read() {
    let cut = &batch(8)[..30];
    let alien = {
        let mut batch = Batch::default();
        // An entry that is another one than the log says.
        batch.push(Change::Append { user: "alice", entry: &entry(8, "ho") });
        let mut bytes = batch.bytes().to_vec();
        // Behind the kind, and the name behind its length.
        bytes[1 + 1 + 5] = 9;
        bytes
    };
    for damaged in [cut, &[99], &alien] {
        let folder = Folder::new();
        let dir = folder.path();
        let epoch = sound(dir);
        let first = {
            let database = file::open(&dir.join("switchboard.redb")).unwrap();
            let txn = database.begin_write().unwrap();
            journal::Extent::of(&txn).unwrap().next
        };
        journal(dir, &[&batch(7), damaged, &batch(9)]);
        let said = format!("batch {} of the journal cannot be read", first + 1);
        let refused = Durable::open(dir, Durability::Commit, || {}).unwrap_err();
        assert!(refused.to_string().contains(&said), "{refused}");
        let found = run(dir, Action::Look);
        assert_eq!((found.problems.count, found.tally.entries), (1, 7));
        assert_eq!(found.problems.first[0].to_string(), said);
        assert_eq!(run(dir, Action::NewEpoch).problems, found.problems);
        assert_eq!(run(dir, Action::Look).problems, found.problems, "nothing was dropped");
        let repaired = run(dir, Action::Repair);
        assert_eq!(repaired.problems, found.problems);
        assert_eq!(repaired.dropped, Some(Dropped { batches: 2, ..Dropped::default() }));
        assert_ne!(repaired.epoch, epoch);
        let opened = Durable::open(dir, Durability::Commit, || {}).unwrap();
        assert_eq!((seqs(&opened), opened.epoch), ((1..=7).collect(), repaired.epoch));
    }
}

#[test]
fn a_store_that_was_made_before_there_was_a_journal_opens() {
    let folder = Folder::new();
    let dir = folder.path();
    sound(dir);
    let database = file::open(&dir.join("switchboard.redb")).unwrap();
    let txn = database.begin_write().unwrap();
    assert!(txn.delete_table(tables::JOURNAL).unwrap());
    txn.open_table(tables::NUMBERS).unwrap().remove(tables::JOURNALED).unwrap();
    txn.commit().unwrap();
    drop(database);
    assert_eq!(run(dir, Action::Look).problems.count, 0);
    let mut opened = Durable::open(dir, Durability::Commit, || {}).unwrap();
    opened.store.note(Change::Append { user: "alice", entry: &entry(7, "ho") });
    let server = ServerState { counter: Seq(7), ..ServerState::default() };
    opened.store.note(Change::Server(server));
    let _ = opened.store.commit(BatchNumber(1));
    assert_eq!(outcome(&mut opened.store), Outcome::Committed(BatchNumber(1)));
    drop(opened);
    let opened = Durable::open(dir, Durability::Commit, || {}).unwrap();
    assert_eq!(seqs(&opened), (1..=7).collect::<Vec<_>>());
}

#[test]
fn where_there_is_no_store_none_is_made() {
    let folder = Folder::new();
    let checked = check(folder.path(), Action::Repair, &mut |_| {});
    assert!(matches!(checked, Err(OpenError::Missing(_))));
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
}
