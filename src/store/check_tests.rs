//! Stores whose rows do not agree with each other: what is found, and what is dropped.

use std::path::Path;

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
        dropped: Dropped { entries: 0, places: 1, strays: 0, answers: 0 },
    },
    Break {
        change: |tables| drop(tables.entries.insert(3, &b"rubbish"[..]).unwrap()),
        problems: &["message 3 cannot be read"],
        dropped: Dropped { entries: 1, places: 2, strays: 0, answers: 0 },
    },
    Break {
        change: |tables| drop(tables.entries.insert(6, entry(5, "hi").as_bytes()).unwrap()),
        problems: &["message 6 cannot be read"],
        dropped: Dropped { entries: 1, places: 1, strays: 0, answers: 0 },
    },
    Break {
        change: |tables| drop(tables.log.remove(("alice", 6)).unwrap()),
        problems: &["message 6 is in no log"],
        dropped: Dropped { entries: 1, places: 0, strays: 0, answers: 0 },
    },
    Break {
        change: |tables| drop(tables.log.remove(("alice", 5)).unwrap()),
        problems: &["message 5 is counted in 2 logs and is in 1"],
        dropped: Dropped { entries: 0, places: 0, strays: 0, answers: 0 },
    },
    Break {
        change: |tables| drop(tables.answers.insert("7f3a", &b"rubbish"[..]).unwrap()),
        problems: &["the answer to the request \"7f3a\" cannot be read"],
        dropped: Dropped { entries: 0, places: 0, strays: 0, answers: 1 },
    },
    Break {
        change: |tables| drop(tables.holders.remove(5).unwrap()),
        problems: &["message 5 is counted in 1 logs and is in 2"],
        dropped: Dropped { entries: 0, places: 0, strays: 0, answers: 0 },
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
        dropped: Dropped { entries: 0, places: 5, strays: 1, answers: 0 },
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
        dropped: Dropped { entries: 0, places: 2, strays: 0, answers: 0 },
    },
    Break {
        change: |tables| drop(tables.numbers.insert("counter", 5).unwrap()),
        problems: &["seq 6 is above 5, the newest that was issued"],
        dropped: Dropped { entries: 0, places: 0, strays: 0, answers: 0 },
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

#[test]
fn where_there_is_no_store_none_is_made() {
    let folder = Folder::new();
    let checked = check(folder.path(), Action::Repair, &mut |_| {});
    assert!(matches!(checked, Err(OpenError::Missing(_))));
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
}
