//! Starting on what is found: nothing, a store, a copy, something else.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::time::{Duration, Instant};

use super::check::{Action, Checked, check};
use super::samples::{Folder, entry};
use super::*;
use crate::relay::log::{Experience, Numbers, ServerState, Stamp};

fn open(dir: &Path) -> Result<Opened, OpenError> {
    Durable::open(dir, Durability::Commit, || {})
}

fn look(dir: &Path) -> Checked {
    check(dir, Action::Look, &mut |_| {}).unwrap()
}

/// What the store says next.
pub fn outcome(store: &mut Durable) -> Outcome {
    let end = Instant::now() + Duration::from_secs(30);
    loop {
        if let Some(outcome) = store.poll() {
            return outcome;
        }
        assert!(Instant::now() < end, "the store says nothing");
        std::thread::sleep(Duration::from_micros(200));
    }
}

/// A user with a message, a client and a group; what is in the store then.
fn fill(store: &mut Durable) -> Stored {
    let numbers = Numbers::restored(16, 0b101, Experience::Some);
    let message = entry(58, "hi");
    store.note(Change::Create { user: "alice", dropped: Seq(3) });
    store.note(Change::Seen { user: "alice", at: Stamp(77) });
    store.note(Change::Client { user: "alice", client: "d001", numbers, seen: Stamp(78) });
    store.note(Change::Join { user: "alice", group: "room1", seq: Seq(57) });
    store.note(Change::Append { user: "alice", entry: &message });
    let server = ServerState { counter: Seq(58), floor: Seq(2), stamp: Stamp(90) };
    store.note(Change::Server(server));
    assert_eq!(store.commit(BatchNumber(1)), Handed::Pending);
    assert_eq!(outcome(store), Outcome::Committed(BatchNumber(1)));
    let record = StoredRecord {
        dropped: Seq(3),
        acked: Seq(0),
        seen: Stamp(77),
        entries: vec![message],
        clients: vec![(Rc::from("d001"), numbers, Stamp(78))],
        groups: vec![Rc::from("room1")],
    };
    Stored { server, users: vec![(Rc::from("alice"), Some(record))], answers: vec![] }
}

#[test]
fn what_was_committed_is_there_at_the_next_start_in_the_same_epoch() {
    let folder = Folder::new();
    let dir = folder.path().join("a/b");
    let mut first = open(&dir).unwrap();
    assert_eq!(first.report.new_epoch, Some(NewEpoch::First));
    assert_eq!((first.epoch.len(), first.stored.users.len()), (32, 0));
    let stored = fill(&mut first.store);
    drop(first.store);
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!((mode(&dir), mode(&dir.join("switchboard.redb"))), (0o700, 0o600));
    let second = open(&dir).unwrap();
    assert_eq!((second.epoch, second.report.new_epoch), (first.epoch, None));
    assert_eq!(second.stored, stored);
    assert_eq!(second.report.tally.entries, 1);
}

#[test]
fn epochs_are_never_the_same() {
    let epochs: std::collections::HashSet<String> = (0..100).map(|_| random_epoch()).collect();
    assert_eq!(epochs.len(), 100);
    assert!(epochs.iter().all(|epoch| epoch.len() == 32));
}

#[test]
fn one_directory_is_for_one_server() {
    let folder = Folder::new();
    let first = open(folder.path()).unwrap();
    assert!(matches!(open(folder.path()), Err(OpenError::InUse(_))));
    let checked = check(folder.path(), Action::Look, &mut |_| {});
    assert!(matches!(checked, Err(OpenError::InUse(_))));
    drop(first);
    open(folder.path()).unwrap();
}

// R8: a copy may be behind the original, and what its numbers mean is not known.
#[test]
fn a_copied_file_gets_a_new_epoch_once() {
    let folder = Folder::new();
    let (here, there) = (folder.path().join("here"), folder.path().join("there"));
    let mut first = open(&here).unwrap();
    let stored = fill(&mut first.store);
    drop(first.store);
    fs::create_dir(&there).unwrap();
    fs::copy(here.join("switchboard.redb"), there.join("switchboard.redb")).unwrap();
    assert_eq!(look(&there).next_epoch, Some(NewEpoch::Moved));
    let copy = open(&there).unwrap();
    assert_eq!(copy.report.new_epoch, Some(NewEpoch::Moved));
    assert_ne!(copy.epoch, first.epoch);
    assert_eq!(copy.stored, stored);
    drop(copy.store);
    assert_eq!(open(&there).unwrap().epoch, copy.epoch);
    // The directory may be moved: the file is the same one.
    let moved = folder.path().join("moved");
    fs::rename(&here, &moved).unwrap();
    assert_eq!(open(&moved).unwrap().epoch, first.epoch);
}

/// A store that has been used, whose commit fails because its file is away, and the file.
fn bereft(folder: &Folder) -> (Durable, PathBuf) {
    let mut opened = open(&folder.path().join("data")).unwrap();
    fill(&mut opened.store);
    let file = folder.path().join("data/switchboard.redb");
    fs::rename(&file, folder.path().join("away")).unwrap();
    opened.store.note(Change::Seen { user: "alice", at: Stamp(79) });
    let _ = opened.store.commit(BatchNumber(2));
    assert_eq!(outcome(&mut opened.store), Outcome::Failed);
    (opened.store, file)
}

#[test]
fn a_file_that_comes_back_is_gone_on_with() {
    let folder = Folder::new();
    let (mut store, file) = bereft(&folder);
    fs::rename(folder.path().join("away"), &file).unwrap();
    store.read_back(&[Rc::from("alice")]);
    let Outcome::Restored(restored) = outcome(&mut store) else { panic!("no answer") };
    assert_eq!(restored.server.counter, Seq(58));
    drop(store);
    assert_eq!(look(&folder.path().join("data")).next_epoch, None);
}

// R8: what is in another file are not the numbers that were said here, were it a copy.
#[test]
fn another_file_in_the_place_of_its_own_is_left_alone() {
    let folder = Folder::new();
    let fresh = folder.path().join("fresh");
    drop(open(&fresh).unwrap());
    let fresh = fs::read(fresh.join("switchboard.redb")).unwrap();
    let away = folder.path().join("away");
    let copy_of = |file: &Path| fs::read(file).unwrap();
    for other in [|_, fresh| fresh, |own, _| own] as [fn(Vec<u8>, Vec<u8>) -> Vec<u8>; 2] {
        let (mut store, file) = bereft(&folder);
        let other = other(copy_of(&away), fresh.clone());
        // If nobody held it, its inode would be free for the other.
        fs::remove_file(&away).unwrap();
        fs::write(&file, &other).unwrap();
        store.read_back(&[Rc::from("alice")]);
        drop(store);
        assert!(copy_of(&file) == other);
        fs::remove_dir_all(folder.path().join("data")).unwrap();
    }
}

#[test]
fn a_file_that_was_overwritten_where_it_was_is_another() {
    let folder = Folder::new();
    let (here, there) = (folder.path().join("here"), folder.path().join("there"));
    let Opened { store, epoch, .. } = open(&here).unwrap();
    drop((store, open(&there).unwrap()));
    let place = Arc::new(Place::prepare(&here).unwrap());
    let (whereabouts, held) = (place.whereabouts().unwrap(), place.hold().unwrap());
    let own = Own { place, epoch, whereabouts, _held: held };
    drop(own.reopen().unwrap());
    let name = "switchboard.redb";
    fs::write(here.join(name), fs::read(there.join(name)).unwrap()).unwrap();
    let error = own.reopen().unwrap_err();
    assert!(error.to_string().contains("replaced while the server was using it"), "{error}");
}

// R8: after an unclean stop with less than synced commits.
#[test]
fn an_unclean_end_gets_a_new_epoch_if_not_every_commit_was_synced() {
    let interval = Durability::Interval { ms: 1 };
    for (durability, new_epoch) in
        [(Durability::Commit, None), (interval, Some(NewEpoch::Unsynced))]
    {
        let folder = Folder::new();
        let first = Durable::open(folder.path(), durability, || {}).unwrap();
        let file = folder.path().join("switchboard.redb");
        let unclean = fs::read(&file).unwrap();
        drop(first.store);
        assert_eq!(look(folder.path()).next_epoch, None);
        // In place, so that it is the same file.
        fs::write(&file, unclean).unwrap();
        assert_eq!(look(folder.path()).next_epoch, new_epoch);
        let second = open(folder.path()).unwrap();
        assert_eq!(second.report.new_epoch, new_epoch);
        assert_eq!(second.epoch == first.epoch, new_epoch.is_none());
    }
}

#[test]
fn a_new_epoch_can_be_wanted() {
    let folder = Folder::new();
    let first = open(folder.path()).unwrap();
    drop(first.store);
    let checked = check(folder.path(), Action::NewEpoch, &mut |_| {}).unwrap();
    assert_ne!(checked.epoch, first.epoch);
    assert_eq!(open(folder.path()).unwrap().epoch, checked.epoch);
}

#[test]
fn what_is_not_a_store_is_refused_and_left_alone() {
    let folder = Folder::new();
    let file = folder.path().join("switchboard.redb");
    let texts = [Vec::new(), b"dear diary".to_vec(), vec![0; 100_000]];
    for text in texts {
        fs::write(&file, &text).unwrap();
        let refused = open(folder.path()).unwrap_err();
        assert!(matches!(refused, OpenError::Foreign(_)), "{refused}");
        assert_eq!(fs::read(&file).unwrap(), text);
    }
    fs::remove_file(&file).unwrap();
    let other = Database::create(&file).unwrap();
    let txn = other.begin_write().unwrap();
    let mail: redb::TableDefinition<&str, &str> = redb::TableDefinition::new("mail");
    txn.open_table(mail).unwrap().insert("a", "b").unwrap();
    txn.commit().unwrap();
    drop(other);
    let refused = open(folder.path()).unwrap_err();
    assert!(matches!(refused, OpenError::Foreign(_)), "{refused}");
    assert!(matches!(open(&file), Err(OpenError::NotADirectory(_))));
    let inside = open(&file.join("x"));
    assert!(matches!(inside, Err(OpenError::Io { .. })), "{inside:?}");
}

#[test]
fn a_newer_format_is_refused() {
    let folder = Folder::new();
    drop(open(folder.path()).unwrap());
    let database = file::open(&folder.path().join("switchboard.redb")).unwrap();
    let txn = database.begin_write().unwrap();
    txn.open_table(tables::NUMBERS).unwrap().insert("format", 2).unwrap();
    txn.commit().unwrap();
    drop(database);
    let refused = open(folder.path()).unwrap_err();
    assert!(refused.to_string().ends_with("has written this (format 2)"), "{refused}");
}

#[test]
fn a_store_that_was_not_finished_is_made_anew() {
    let folder = Folder::new();
    fs::write(folder.path().join("switchboard.redb.new"), "half a").unwrap();
    assert_eq!(open(folder.path()).unwrap().report.new_epoch, Some(NewEpoch::First));
    let names: Vec<_> = fs::read_dir(folder.path()).unwrap().collect();
    assert_eq!(names.len(), 1);
}

#[test]
fn looking_at_a_store_changes_nothing_in_it() {
    let folder = Folder::new();
    let mut first = open(folder.path()).unwrap();
    fill(&mut first.store);
    let file = folder.path().join("switchboard.redb");
    let unclean = fs::read(&file).unwrap();
    drop(first.store);
    for bytes in [fs::read(&file).unwrap(), unclean] {
        fs::write(&file, &bytes).unwrap();
        let checked = look(folder.path());
        assert_eq!((checked.problems.count, checked.tally.entries), (0, 1));
        assert_eq!(checked.server.counter, Seq(58));
        assert_eq!((checked.tally.users, checked.tally.groups), (1, 1));
        assert_eq!(checked.tally.oldest, Some(entry(58, "hi").at()));
        assert_eq!(fs::read(&file).unwrap(), bytes);
    }
}

/// How many bytes are altered below.
const PLACES: usize = 1_000;

#[test]
fn an_altered_byte_is_an_error_or_has_no_effect() {
    let folder = Folder::new();
    let mut first = open(folder.path()).unwrap();
    let stored = fill(&mut first.store);
    let file = folder.path().join("switchboard.redb");
    let unclean = fs::read(&file).unwrap();
    drop(first.store);
    let clean = fs::read(&file).unwrap();
    let place = Place::lock(folder.path()).unwrap();
    let mut refused = 0;
    for (is_clean, bytes) in [(true, clean), (false, unclean)] {
        for at in (0..bytes.len()).step_by(bytes.len() / PLACES) {
            let mut bytes = bytes.clone();
            bytes[at] ^= 1 << (at % 8);
            let read = failing::FailingDisk::with(bytes).open().map(|database| {
                let read = load(&database, &place);
                assert!(read.is_err() || file::label(&database, &place).is_ok());
                read
            });
            match read {
                // After a crash, the last commit may be taken for one that was not finished.
                Ok(Ok((read, _))) => {
                    assert!(read == stored || (!is_clean && read.users.is_empty()), "{at}");
                }
                Ok(Err(_)) | Err(_) => refused += 1,
            }
        }
    }
    assert!(refused > 0);
}

#[test]
fn a_file_that_was_cut_off_is_an_error() {
    let folder = Folder::new();
    let mut first = open(folder.path()).unwrap();
    let stored = fill(&mut first.store);
    drop(first.store);
    let file = folder.path().join("switchboard.redb");
    let bytes = fs::read(&file).unwrap();
    for len in (0..bytes.len()).step_by(bytes.len() / 40) {
        fs::write(&file, &bytes[..len]).unwrap();
        match open(folder.path()) {
            Ok(read) => assert_eq!(read.stored, stored, "{len}"),
            Err(OpenError::Damaged { .. } | OpenError::Foreign(_)) => {}
            Err(other) => panic!("{len}: {other}"),
        }
    }
}
