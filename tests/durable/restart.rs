//! What was accepted is there after the server was killed, or stopped, and started again.

use std::fs;

use super::server::{Folder, Position, Session, kill, stop};
use crate::common::process::{Process, eventually};

const TO_ALICE: &str = r#""receiver":"alice""#;

/// Alice has been here, and bob has sent her three messages since.
fn away(process: &Process) -> (Position, Session) {
    let position = Session::open(process, "alice", None).position();
    let mut bob = Session::open(process, "bob", None);
    for content in ["one", "two", "three"] {
        assert_eq!(bob.send(TO_ALICE, content)["type"], "ok");
    }
    (position, bob)
}

fn hears(alice: &mut Session, contents: &[&str]) {
    for content in contents {
        assert_eq!(alice.message().0, *content);
    }
}

#[test]
fn what_was_accepted_is_resumed_after_the_server_was_killed() {
    let folder = Folder::new();
    let first = folder.serve(&[]);
    let (position, mut bob) = away(&first);
    kill(first);
    let second = folder.serve(&[]);
    let mut alice = Session::open(&second, "alice", Some(&position));
    assert_eq!(alice.welcome["resumed"], true, "{}", alice.welcome);
    assert_eq!(alice.welcome["epoch"], bob.welcome["epoch"]);
    hears(&mut alice, &["one", "two", "three"]);
    // It is known what was decided of bob's frames, and numbers are not given twice.
    bob = Session::open(&second, "bob", None);
    assert_eq!(bob.welcome["last"], 3, "{}", bob.welcome);
    assert_eq!(bob.send(TO_ALICE, "four")["type"], "ok");
    let (content, seq) = alice.message();
    assert!(content == "four" && seq > position.seq + 3, "{seq}");
    bob.say(r#"{"id":2,"receiver":"alice","content":"two"}"#);
    assert_eq!(bob.hear()["dup"], true);
}

#[test]
fn groups_and_their_messages_are_kept() {
    let folder = Folder::new();
    let first = folder.serve(&[]);
    let mut positions = Vec::new();
    for user in ["alice", "carol"] {
        let mut session = Session::open(&first, user, None);
        positions.push(session.position());
        session.join("room1");
    }
    let mut bob = Session::open(&first, "bob", None);
    bob.join("room1");
    assert_eq!(bob.send(r#""group":"room1""#, "to all")["type"], "ok");
    kill(first);
    assert!(folder.check_json(&[])["journaled"].as_u64() > Some(0));
    let said = String::from_utf8(folder.check(&[]).stdout).expect("UTF-8");
    assert!(said.contains(" changes in the journal, counted above\n"), "{said}");
    assert_eq!(folder.check_json(&[])["messages"], 1);
    assert_eq!(folder.check_json(&[])["places"], 2);
    let second = folder.serve(&[]);
    let mut bob = Session::open(&second, "bob", None);
    assert_eq!(bob.send(r#""group":"room1""#, "again")["type"], "ok");
    for (user, position) in ["alice", "carol"].iter().zip(&positions) {
        let mut session = Session::open(&second, user, Some(position));
        hears(&mut session, &["to all", "again"]);
    }
}

#[test]
fn a_server_that_is_asked_to_stop_closes_its_store() {
    let folder = Folder::new();
    for durability in ["commit", "interval:1h"] {
        let first = folder.serve(&["--durability", durability]);
        let (position, bob) = away(&first);
        drop(bob);
        stop(first);
        let checked = folder.check_json(&[]);
        assert_eq!(
            (&checked["problems"], &checked["next_epoch_is_new"]),
            (&0.into(), &false.into())
        );
        let second = folder.serve(&[]);
        let mut alice = Session::open(&second, "alice", Some(&position));
        assert_eq!(alice.welcome["resumed"], true, "{}", alice.welcome);
        hears(&mut alice, &["one", "two", "three"]);
        drop(alice);
        stop(second);
    }
}

// R8: after an unclean stop with less than synced commits the numbers may mean something else.
#[test]
fn with_an_interval_a_killed_server_begins_a_new_epoch_and_says_so() {
    let folder = Folder::new();
    let first = folder.serve(&["--durability", "interval:1h"]);
    let (position, _bob) = away(&first);
    kill(first);
    let second = folder.serve(&["--durability", "interval:1ms"]);
    eventually("it is said", || second.log().contains("did not end cleanly"));
    let alice = Session::open(&second, "alice", Some(&position));
    assert_eq!(alice.welcome["resumed"], false, "{}", alice.welcome);
    assert_eq!(alice.welcome["gap"]["reason"], "epoch", "{}", alice.welcome);
    assert_ne!(alice.welcome["epoch"], position.epoch);
}

#[test]
fn a_copied_directory_is_another_epoch() {
    let folder = Folder::new();
    let first = folder.serve(&[]);
    let (position, bob) = away(&first);
    drop(bob);
    stop(first);
    let copy = Folder::new();
    fs::create_dir(copy.data()).expect("a folder");
    fs::copy(folder.file(), copy.file()).expect("a copy");
    let second = copy.serve(&[]);
    let mut alice = Session::open(&second, "alice", Some(&position));
    assert_eq!(alice.welcome["gap"]["reason"], "epoch", "{}", alice.welcome);
    hears(&mut alice, &["one", "two", "three"]);
}

// `check-data --new-epoch`: for a copy that was put back in its old place.
#[test]
fn a_restored_backup_gets_its_epoch_by_hand() {
    let folder = Folder::new();
    let first = folder.serve(&[]);
    let (position, bob) = away(&first);
    drop(bob);
    stop(first);
    let backup = fs::read(folder.file()).expect("a file");
    let first = folder.serve(&[]);
    let mut bob = Session::open(&first, "bob", None);
    assert_eq!(bob.send(TO_ALICE, "lost")["type"], "ok");
    drop(bob);
    stop(first);
    fs::write(folder.file(), backup).expect("the same file");
    let output = folder.check(&["--new-epoch"]);
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success() && said.contains("the epoch is a new one"), "{output:?}");
    let second = folder.serve(&[]);
    let alice = Session::open(&second, "alice", Some(&position));
    assert_eq!(alice.welcome["gap"]["reason"], "epoch", "{}", alice.welcome);
}

#[test]
fn a_killed_server_loses_nothing_it_has_accepted_whenever_it_was_killed() {
    let folder = Folder::new();
    let mut accepted: Vec<String> = Vec::new();
    let mut position = None;
    for round in 0..4 {
        let server = folder.serve(&[]);
        if round == 0 {
            position = Some(Session::open(&server, "alice", None).position());
        }
        let mut bob = Session::open(&server, "bob", None);
        let id = server.id();
        // Killed in the middle of whatever it does then.
        let killer = std::thread::spawn(move || {
            std::thread::sleep(std::time::Duration::from_millis(60 + 30 * round));
            let kill = format!("kill -KILL {id}");
            let _ = std::process::Command::new("sh").args(["-c", &kill]).status();
        });
        let sent = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            for number in 0.. {
                let content = format!("{round}.{number}");
                assert_eq!(bob.send(TO_ALICE, &content)["type"], "ok");
                accepted.push(content);
            }
        }));
        assert!(sent.is_err());
        killer.join().expect("a thread that kills");
        drop(server);
    }
    let server = folder.serve(&[]);
    let mut alice = Session::open(&server, "alice", position.as_ref());
    assert_eq!(alice.welcome["resumed"], true, "{}", alice.welcome);
    // One that was not answered may have been accepted all the same.
    let mut heard: Vec<String> = Vec::new();
    let last = accepted.last().expect("some were sent").clone();
    while heard.last() != Some(&last) {
        heard.push(alice.message().0);
    }
    heard.retain(|content| accepted.contains(content));
    assert_eq!(heard, accepted);
}
