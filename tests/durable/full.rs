//! A disk that is full: a limit of the file's size, which the system enforces with a signal.

use super::server::{Folder, Session, kill, serve};
use crate::common::process::{BINARY, Process, clean, eventually};

const TO_ALICE: &str = r#""receiver":"alice""#;

/// A server whose files may have so many KiB.
fn limited(folder: &Folder, kibibytes: u32) -> Process {
    let mut command = clean(std::process::Command::new("bash"));
    let inner = serve(&folder.data(), &["--log-bytes", "64MiB"]);
    let shell = format!("ulimit -S -f {kibibytes} && exec \"$0\" \"$@\"");
    command.args(["-c", &shell, BINARY]).args(inner.get_args());
    Process::start(command)
}

#[test]
fn a_full_disk_refuses_for_now_and_what_was_accepted_stays() {
    let folder = Folder::new();
    let server = limited(&folder, 1_024);
    let alice = Session::open(&server, "alice", None).position();
    let mut bob = Session::open(&server, "bob", None);
    let long = "x".repeat(40_000);
    let mut accepted = 0;
    let refused = loop {
        let answer = bob.send(TO_ALICE, &format!("{accepted} {long}"));
        if answer["type"] != "ok" {
            break answer;
        }
        accepted += 1;
        assert!(accepted < 200, "it is never full");
    };
    assert_eq!((&refused["code"], &refused["reason"]), (&503.into(), &"store".into()));
    assert_eq!((&refused["retry"], &refused["expect"]), (&true.into(), &(accepted + 1).into()));
    eventually("it is said", || server.log().contains("messages cannot be kept"));
    // Who comes is told what is there, and what can still be read is read.
    let mut away = Session::open(&server, "alice", Some(&alice));
    for number in 0..accepted {
        assert!(away.message().0.starts_with(&format!("{number} ")));
    }
    // Once there is room again, the same frame is taken.
    kill(server);
    let server = folder.serve(&["--log-bytes", "64MiB"]);
    let mut bob = Session::open(&server, "bob", None);
    assert_eq!(bob.welcome["last"], accepted);
    assert_eq!(bob.send(TO_ALICE, &format!("{accepted} {long}"))["type"], "ok");
    let mut alice = Session::open(&server, "alice", Some(&alice));
    assert_eq!(alice.welcome["resumed"], true);
    for number in 0..=accepted {
        assert!(alice.message().0.starts_with(&format!("{number} ")));
    }
}

#[test]
fn when_there_is_room_again_the_server_goes_on_by_itself() {
    let folder = Folder::new();
    let server = limited(&folder, 1_024);
    let mut bob = Session::open(&server, "bob", None);
    Session::open(&server, "alice", None);
    let long = "x".repeat(40_000);
    while bob.send(TO_ALICE, &long)["type"] == "ok" {}
    let id = server.id();
    let raise = format!("prlimit --fsize=unlimited --pid {id}");
    let status = std::process::Command::new("sh").args(["-c", &raise]).status();
    if !status.is_ok_and(|status| status.success()) {
        return eprintln!("skipped: prlimit is not here");
    }
    eventually("the message is taken", || {
        let answer = bob.send(TO_ALICE, &long);
        answer["type"] == "ok"
    });
    eventually("it is said", || server.log().contains("the store is well again"));
}

#[test]
fn nothing_is_accepted_into_a_file_that_was_removed() {
    let folder = Folder::new();
    let server = folder.serve(&[]);
    Session::open(&server, "alice", None);
    let mut bob = Session::open(&server, "bob", None);
    assert_eq!(bob.send(TO_ALICE, "1")["type"], "ok");
    std::fs::remove_file(folder.file()).expect("a file");
    // Nobody can say any more what is there: no `ok` for this one, and everybody is told, those
    // whose message it was, too.
    let second = r#"{"id":2,"receiver":"alice","content":2}"#;
    for _ in 0..2 {
        bob.say(second);
        let answer = bob.hear();
        assert_eq!((&answer["id"], &answer["code"]), (&2.into(), &503.into()), "{answer}");
        assert_eq!((&answer["retry"], &answer["expect"]), (&true.into(), &2.into()), "{answer}");
    }
    eventually("it is said", || server.log().contains("messages cannot be kept"));
    assert!(!folder.file().exists(), "and no empty file takes its place");
}
