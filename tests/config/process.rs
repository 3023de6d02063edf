//! The real binary: files on a disk, sockets, and SIGHUP.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::process::{Command, Output};

use super::common::client::{Client, Event};
use super::common::process::{Process, eventually, logging};
use super::folder::{Folder, hang_up};

fn answer(client: &mut Client, text: &str) -> String {
    client.send_text(text);
    match client.receive() {
        Event::Text(text) => text,
        event => panic!("{event:?} instead of an answer to {text}"),
    }
}

const PING: &str = r#"{"type":"ping"}"#;

#[test]
fn hangup_changes_the_log_level_and_drops_nobody() {
    let folder = Folder::new();
    folder.write("a.toml", "listen = 0\nlog = 'warn'");
    let server = folder.start();
    let mut early = Client::connect(server.addr);
    answer(&mut early, PING);
    folder.write("a.toml", "listen = 0\nlog = 'info'");
    hang_up(&server, "info reloaded", 1);
    let opened = || server.log().matches(" opened ").count();
    let mut seen = Client::connect(server.addr);
    eventually("a newcomer is logged", || opened() == 1);
    // The second line is there for its warning, which says that the first is in effect.
    folder.write("a.toml", "log = 'warn'\nmax-frames = 6\nlisten = 0");
    hang_up(&server, "max-frames has changed", 1);
    answer(&mut Client::connect(server.addr), PING);
    folder.write("a.toml", "listen = 0\nlog = 'info'");
    hang_up(&server, "info reloaded", 2);
    assert_eq!(opened(), 1, "{}", server.log());
    for client in [&mut early, &mut seen] {
        assert!(answer(client, PING).contains("pong"));
    }
}

#[test]
fn hangup_changes_the_policy_for_those_who_are_there() {
    let folder = Folder::new();
    let policy = |allow: &str| format!(r#"{{"roles":{{"*":{{"allow":["room:*",{allow}]}}}}}}"#);
    folder.write("a.toml", "listen = 0\npolicy = 'p.json'");
    folder.write("p.json", &policy(r#""send:*""#));
    let server = folder.start();
    let (mut bob, mut other) = (Client::connect(server.addr), Client::connect(server.addr));
    answer(&mut bob, PING);
    answer(&mut other, PING);
    let refused = answer(&mut bob, "hello");
    assert!(refused.contains(r#""code":403"#) && refused.contains("broadcast"), "{refused}");

    folder.write("p.json", &policy(r#""send:*","broadcast""#));
    hang_up(&server, "info reloaded", 1);
    bob.send_text("hello");
    assert_eq!(other.receive(), Event::Text("hello".to_owned()));

    folder.write("p.json", &policy(r#""sned:*""#));
    hang_up(&server, "error not reloaded: ", 1);
    let place = folder.path("p.json");
    assert!(server.log().contains(&format!("{place}: line 1: roles.*.allow[1]: ")));
    bob.send_text("still allowed");
    assert_eq!(other.receive(), Event::Text("still allowed".to_owned()));
    assert!(answer(&mut bob, PING).contains("pong"));
}

#[test]
fn hangup_names_what_waits_for_the_next_start_and_what_is_broken() {
    let folder = Folder::new();
    folder.write("a.toml", "listen = 0");
    let server = folder.start();
    folder.write("a.toml", "listen = 0\nmax-message = '2KiB'");
    hang_up(&server, "info reloaded", 1);
    let place = folder.path("a.toml");
    let warning = format!("max-message has changed from '1MiB' to '2KiB' ({place}:2:15), which");
    assert!(server.log().contains(&warning), "{}", server.log());
    let mut client = Client::connect(server.addr);
    let long = format!(r#"{{"receiver":"x","content":"{}"}}"#, "x".repeat(3_000));
    assert!(answer(&mut client, &long).contains("receiver_offline"));

    folder.write("a.toml", "listen = 0\n\nlog = loud");
    hang_up(&server, "error not reloaded: ", 1);
    assert!(server.log().contains(&format!("error not reloaded: {place}:3:7: ")));
    fs::remove_file(folder.path("a.toml")).unwrap();
    hang_up(&server, "error not reloaded: ", 2);
    assert!(answer(&mut client, PING).contains("pong"));
}

/// A crowd of signals is one reload or a few, and none is lost: the last one reads what is there.
#[test]
fn hangups_in_a_row_end_with_what_was_written_last() {
    let folder = Folder::new();
    folder.write("a.toml", "listen = 0\npolicy = 'p.json'");
    let policy = |allow: &str| format!(r#"{{"roles":{{"*":{{"allow":["room:*"{allow}]}}}}}}"#);
    folder.write("p.json", &policy(""));
    let server = folder.start();
    let mut client = Client::connect(server.addr);
    for round in 0..50 {
        folder.write("p.json", &policy(if round == 49 { r#","send:*""# } else { "" }));
        server.signal("HUP");
    }
    eventually("the last policy is in effect", || {
        answer(&mut client, r#"{"receiver":"x","content":1}"#).contains("receiver_offline")
    });
}

#[test]
fn echo_has_nothing_to_reload_and_stays() {
    let mut server = Process::start(logging("info", &[]));
    hang_up(&server, "hangup ignored", 1);
    Client::connect(server.addr).round_trip("still here");
    server.signal("TERM");
    assert!(server.wait().success());
}

#[test]
fn every_listener_has_its_line_and_every_insecure_choice_its_warning() {
    let folder = Folder::new();
    let socket = folder.path("s.sock");
    folder.write("a.toml", &format!("listen = [0, 0, 'unix:{socket}']\nadmin-keys = 'k.json'"));
    folder.write("k.json", r#"{"keys":[{"name":"a","key":"0123456789abcdef"}]}"#);
    fs::set_permissions(folder.path("k.json"), fs::Permissions::from_mode(0o644)).unwrap();
    let mut command = folder.command(&["--admin", "0", "--log", "warn"]);
    let mut child = command
        .stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = Vec::new();
    let mut stdout = std::io::BufReader::new(child.stdout.take().unwrap());
    while !lines.last().is_some_and(|line: &String| line.contains("up to")) {
        let mut line = String::new();
        assert_ne!(std::io::BufRead::read_line(&mut stdout, &mut line).unwrap(), 0, "{lines:?}");
        lines.push(line);
    }
    let count = |words: &str| lines.iter().filter(|line| line.contains(words)).count();
    assert_eq!(count(" listening on ws://127.0.0.1:"), 2, "{lines:?}");
    assert_eq!(count(&format!(" listening on unix:{socket}\n")), 1, "{lines:?}");
    assert_eq!(count(" push API on http://127.0.0.1:"), 1, "{lines:?}");
    assert!(std::os::unix::net::UnixStream::connect(&socket).is_ok());
    // Not a kill: what is logged is written by a thread of its own, and this waits for it.
    let term = std::process::Command::new("kill").arg(child.id().to_string()).status();
    assert!(term.unwrap().success());
    let Output { stderr, .. } = child.wait_with_output().unwrap();
    let warnings = String::from_utf8(stderr).unwrap();
    for wanted in [
        "there is no authentication: user names are claims, not identities",
        "k.json: every user here may read the secrets in it",
    ] {
        assert_eq!(warnings.matches(wanted).count(), 1, "{warnings}");
    }
    assert_eq!(warnings.lines().count(), 2, "{warnings}");
}

#[test]
fn a_broken_file_is_no_start_and_the_check_says_the_same() {
    let folder = Folder::new();
    folder.write("a.toml", "listen = 0\nauth = 'tokens:t.json'\npolicy = 'p.json'");
    folder.write("t.json", "{");
    let run = |args: &[&str]| {
        let Output { status, stdout, stderr } = folder.command(args).output().unwrap();
        let text = |bytes| String::from_utf8(bytes).unwrap();
        (status.code(), text(stdout), text(stderr))
    };
    let (code, out, said) = run(&[]);
    assert_eq!((code, out.as_str()), (Some(2), ""));
    assert!(said.contains(&format!("error: {}: ", folder.path("t.json"))), "{said}");
    assert!(said.contains(&format!("error: {}: ", folder.path("p.json"))), "{said}");
    assert_eq!(run(&["check-config"]), (Some(2), String::new(), said));

    folder.write("t.json", r#"{"tokens":[{"token":"0123456789abcdef","user":"alice"}]}"#);
    folder.write("p.json", r#"{"roles":{}}"#);
    let right = "the configuration is valid\n".to_owned();
    assert_eq!(run(&["check-config"]), (Some(0), right, String::new()));
    let (code, printed, said) = run(&["--print-config"]);
    assert_eq!((code, said.as_str()), (Some(0), ""));
    assert!(printed.contains(&format!("auth = \"tokens:{}\"", folder.path("t.json"))), "{printed}");
}

/// What is no file is not waited for, and a huge one is not read.
#[test]
fn what_is_no_text_file_is_refused_at_once() {
    let folder = Folder::new();
    folder.write("a.toml", "listen = 0");
    let pipe = folder.path("pipe");
    assert!(Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    let huge = fs::File::create(folder.path("huge")).unwrap();
    huge.set_len(65 << 20).unwrap();
    fs::write(folder.path("bytes"), b"log = \"\xff\"").unwrap();
    for (file, wanted) in [
        (pipe, "not a file"),
        (folder.path("."), "not a file"),
        (folder.path("huge"), "longer than 64 MiB"),
        (folder.path("bytes"), "not UTF-8"),
        (folder.path("none"), "No such file"),
    ] {
        let output = folder.command(&["check-config", "--config", &file]).output().unwrap();
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(2), "{said}");
        assert!(said.starts_with("error: --config '") && said.contains(wanted), "{said}");
    }
}
