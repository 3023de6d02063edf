//! `switchboard check-data` as a command.

use std::fs;

use super::server::{Folder, Session, stop};

fn filled() -> Folder {
    let folder = Folder::new();
    let server = folder.serve(&[]);
    Session::open(&server, "alice", None).join("room1");
    let mut bob = Session::open(&server, "bob", None);
    assert_eq!(bob.send(r#""receiver":"alice""#, "hi")["type"], "ok");
    drop(bob);
    stop(server);
    folder
}

#[test]
fn it_says_what_is_there_and_writes_nothing() {
    let folder = filled();
    let before = fs::read(folder.file()).expect("a file");
    let output = folder.check(&[]);
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success() && output.stderr.is_empty(), "{output:?}");
    let lines: Vec<&str> = said.lines().collect();
    let [file, epoch, users, messages, answers, verdict] = lines[..] else { panic!("{said}") };
    assert!(file.starts_with(&folder.file().display().to_string()), "{file}");
    assert!(epoch.contains("newest seq ") && epoch.contains(", written until 2"), "{epoch}");
    assert_eq!(users, "  2 users with 2 clients, 1 membership in 1 group");
    assert!(messages.starts_with("  1 message of ") && messages.contains("in 1 place, the old"));
    assert_eq!((answers, verdict), ("  0 answers to backends", "nothing is wrong"));
    let json = folder.check_json(&[]);
    assert_eq!((&json["users"], &json["messages"]), (&2.into(), &1.into()));
    assert_eq!(folder.check(&["--repair"]).status.code(), Some(0));
    assert!(before == fs::read(folder.file()).expect("a file"), "nothing is written");
    // With nothing to drop, this one opens and closes the file, which may make it shorter.
    assert_eq!(folder.check(&["--repair", "--yes"]).status.code(), Some(0));
    let mut repaired = folder.check_json(&[]);
    repaired["file_bytes"] = json["file_bytes"].clone();
    assert_eq!(repaired, json);
}

#[test]
fn what_is_asked_for_wrongly_is_refused_with_2() {
    let folder = filled();
    for args in [&["--yes"][..], &["--repair", "--new-epoch"], &["--fix"]] {
        assert_eq!(folder.check(args).status.code(), Some(2), "{args:?}");
    }
    let empty = Folder::new();
    assert_eq!(empty.check(&[]).status.code(), Some(1));
    assert!(!empty.data().exists());
}
