//! The same against the real binary: a policy from a file, and another one on SIGHUP.

use std::fs;
use std::path::PathBuf;
use std::process::Stdio;
use std::thread;
use std::time::{Duration, Instant};

use super::common::client::{Client, Event, WAIT};
use super::common::process::{Process, command, eventually};

/// A file of this test alone.
struct File(PathBuf);

impl File {
    fn new(name: &str, text: &str) -> File {
        let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR"));
        let file = File(folder.join(format!("policy-{}-{name}.json", std::process::id())));
        file.write(text);
        file
    }

    fn write(&self, text: &str) {
        fs::write(&self.0, text).expect("a folder for files of tests");
    }

    fn path(&self) -> &str {
        self.0.to_str().expect("a path in UTF-8")
    }
}

impl Drop for File {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.0);
    }
}

fn connect(server: &Process, target: &str) -> Client {
    Client::try_connect(server.addr, target).unwrap_or_else(|error| panic!("{target}: {error:?}"))
}

#[track_caller]
fn hears(client: &mut Client, text: &str) {
    assert_eq!(client.receive(), Event::Text(text.to_owned()));
}

/// The refusal of a message to this user.
fn forbidden(receiver: &str) -> String {
    let start = r#"{"type":"error","code":403,"reason":"forbidden""#;
    format!(r#"{start},"missing":"send:{receiver}","receiver":"{receiver}"}}"#)
}

const LOBBY: &str = r#"{"roles": {
    "*": {"allow": ["room:/lobby", "send:support-*", "join:team", "members:team"],
          "limits": {"message": 1000, "connections-per-user": 2}}
}}"#;

#[test]
fn a_policy_file_holds_from_the_first_handshake_on() {
    let file = File::new("holds", LOBBY);
    let server = Process::start(command(&["serve", "--policy", file.path()]));
    let mut support = connect(&server, "/lobby?user=support-1");
    let mut bob = connect(&server, "/lobby?user=bob");
    assert_eq!(Client::try_connect(server.addr, "/?user=eve").err(), Some(Some(403)));
    let second = connect(&server, "/lobby?user=bob");
    assert_eq!(Client::try_connect(server.addr, "/lobby?user=bob").err(), Some(Some(429)));
    drop(second);

    bob.send_text(r#"{"receiver":"support-1","content":"help"}"#);
    hears(&mut support, r#"{"sender":"bob","content":"help"}"#);
    bob.send_text(r#"{"receiver":"alice","content":"hi"}"#);
    hears(&mut bob, &forbidden("alice"));
    bob.send_text("hello, room");
    hears(&mut bob, r#"{"type":"error","code":403,"reason":"forbidden","missing":"broadcast"}"#);
    bob.send_text(&"x".repeat(1_001));
    hears(&mut bob, r#"{"type":"error","code":413,"reason":"message_too_large","max":1000}"#);

    support.send_text(r#"{"type":"join","group":"team","presence":true}"#);
    hears(&mut support, r#"{"type":"ok","group":"team"}"#);
    let came = r#"{"type":"presence","group":"team","joined":["support-1"],"left":[]}"#;
    hears(&mut support, came);
    bob.send_text(r#"{"type":"join","group":"team"}"#);
    hears(&mut bob, r#"{"type":"ok","group":"team"}"#);
    hears(&mut support, r#"{"type":"presence","group":"team","joined":["bob"],"left":[]}"#);
    drop(bob);
    hears(&mut support, r#"{"type":"presence","group":"team","joined":[],"left":["bob"]}"#);
}

#[test]
fn on_hangup_the_next_message_is_judged_by_the_new_file_unless_it_is_wrong() {
    let file = File::new("reload", LOBBY);
    let server = Process::start(command(&["serve", "--policy", file.path()]));
    let mut bob = connect(&server, "/lobby?user=bob");
    let said = r#"{"receiver":"nobody","content":1}"#;
    let forbidden = forbidden("nobody");
    bob.send_text(said);
    hears(&mut bob, &forbidden);

    file.write("{\n\"roles\": {\"*\": {\"allow\": [\"sned:*\"]}}}");
    server.signal("HUP");
    let wanted = r#"line 2: roles.*.allow[0]: unknown permission "sned:*"; did you mean "send:*"?"#;
    eventually("the mistake is logged", || server.log().replace("\\\"", "\"").contains(wanted));
    bob.send_text(said);
    hears(&mut bob, &forbidden);

    file.write(r#"{"roles": {"*": {"allow": ["send:*"]}}}"#);
    server.signal("HUP");
    let offline = r#"{"type":"error","code":404,"reason":"receiver_offline","receiver":"nobody"}"#;
    eventually("it is reloaded", || {
        bob.send_text(said);
        match bob.receive() {
            Event::Text(heard) if heard == forbidden => false,
            heard => {
                assert_eq!(heard, Event::Text(offline.to_owned()));
                true
            }
        }
    });
    assert_eq!(Client::try_connect(server.addr, "/lobby").err(), Some(Some(403)));
}

#[test]
fn a_policy_that_is_wrong_is_named_with_its_line_and_nothing_starts() {
    let file = File::new("wrong", "{\"roles\": {\n\"*\": {\"alow\": []}}}");
    let mut command = command(&["serve", "--policy", file.path()]);
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
    let mut child = command.spawn().expect("the binary is built");
    let until = Instant::now() + WAIT;
    while child.try_wait().expect("our own child").is_none() && Instant::now() < until {
        thread::sleep(Duration::from_millis(10));
    }
    // Without effect on what has ended.
    let _ = child.kill();
    let output = child.wait_with_output().expect("our own child");
    assert_eq!(output.status.code(), Some(2));
    let said = String::from_utf8_lossy(&output.stderr);
    let wanted = r#"line 2: roles.*.alow: unknown key "alow"; did you mean "allow"?"#;
    assert!(said.contains(wanted) && said.contains(file.path()), "{said}");
}
