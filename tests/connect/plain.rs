//! `switchboard connect` where the plain dialect is spoken, and what holds in both.

use std::fs;
use std::io::{Read, Write};
use std::net::TcpListener;
use std::process::{Command, Stdio};

use switchboard::outbox::Outbox;
use switchboard::protocol::{Connection, Endpoint, Input, Step};
use switchboard::wire::handshake::accept_key;

use super::common::process::{BINARY, Process, clean, command, eventually};
use super::terminal::{Terminal, event};

fn server() -> (Process, String) {
    let server = Process::start(command(&["serve"]));
    let url = format!("ws://{}/", server.addr);
    (server, url)
}

#[test]
fn people_write_to_each_other_and_control_characters_do_nothing() {
    let (_server, url) = server();
    let mut bob = Terminal::start(&[&url, "--plain", "--user", "bob"]);
    bob.wait_for_text("-- connected to");
    let mut alice = Terminal::start(&[&url, "--plain", "--user", "alice b"]);
    alice.wait_for_text("-- connected to");
    alice.say("/to bob hi\u{1b}[2J there");
    assert_eq!(bob.wait_for_text("alice"), "alice b: hi\\u{1b}[2J there");
    alice.say("and more");
    assert_eq!(bob.wait_for_text("more"), "alice b: and more");
    bob.say(r#"/to "alice b" //hello"#);
    assert_eq!(alice.wait_for_text("hello"), "bob: //hello");
    bob.say("/join room1");
    bob.wait_for_text("-- ok room1");
    alice.say("/join room1");
    alice.wait_for_text("-- ok room1");
    alice.say("/group room1 all");
    assert_eq!(bob.wait_for_text("all"), "alice b @room1: all");
    alice.say("/presence bob");
    alice.wait_for_text("-- bob is online over 1 connections");
    alice.say("/room to the room");
    assert_eq!(bob.wait_for_text("to the room"), "to the room");
    alice.say("/nope");
    alice.wait_for_text("no such command");
    alice.say("/quit");
    // Not all that was asked for was done.
    assert_eq!(alice.end().0, Some(1));
    bob.signal("INT");
    assert_eq!(bob.end().0, Some(0));
}

#[test]
fn programs_get_events_and_the_exit_code_says_what_was_refused() {
    let (_server, url) = server();
    let mut bob = Terminal::json(&[&url, "--plain", "--user", "bob"]);
    bob.event("state");
    bob.event("state");
    bob.say(r#"{"receiver":"nobody","content":1}"#);
    assert_eq!(bob.event("error")["reason"], "receiver_offline");
    bob.say(r#"{"receiver":"bob","content":{"n": 1.0}}"#);
    assert_eq!(bob.event("error")["code"], 404);
    bob.say(r#"{"type":"ping"}"#);
    bob.event("pong");
    bob.end_input();
    let (code, _, seen) = bob.end();
    assert_eq!((code, event(&seen[seen.len() - 1])["code"].as_u64()), (Some(1), Some(1000)));
}

#[test]
fn at_the_end_of_input_everything_that_was_said_has_arrived() {
    let (_server, url) = server();
    let mut bob = Terminal::json(&[&url, "--plain", "--user", "bob", "--stay"]);
    bob.event("state");
    bob.event("state");
    bob.end_input();
    let mut alice = Terminal::json(&[&url, "--plain", "--user", "alice"]);
    (1..=500).for_each(|n| alice.say(&format!(r#"{{"receiver":"bob","content":{n}}}"#)));
    assert_eq!(alice.end().0, Some(0));
    (1..=500).for_each(|n| assert_eq!(bob.event("message")["content"], n));
}

/// The rest of a text without its end is another text: what a file holds must be read to its end.
#[test]
fn input_may_be_a_file() {
    let (_server, url) = server();
    let path = std::env::temp_dir().join(format!("switchboard-connect-{}", std::process::id()));
    fs::write(&path, r#"{"receiver":"nobody","content":1}"#).expect("a temporary file");
    let input = fs::File::open(&path).expect("the file");
    let mut command = clean(Command::new(BINARY));
    let output = command.args(["connect", &url, "--plain", "--json"]).stdin(input).output();
    fs::remove_file(&path).expect("the file is there");
    let output = output.expect("it runs");
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&output.stdout).contains("receiver_offline"));
}

#[test]
fn a_reader_that_goes_ends_it() {
    let (server, url) = server();
    let mut child = clean(Command::new(BINARY));
    child.args(["connect", &url, "--plain", "--json", "--stay"]);
    let mut child =
        child.stdin(Stdio::null()).stdout(Stdio::piped()).spawn().expect("the binary is built");
    let mut first = [0; 16];
    let mut stdout = child.stdout.take().expect("a pipe");
    stdout.read_exact(&mut first).expect("it prints");
    drop(stdout);
    // It notices with the next event.
    let mut other = Terminal::json(&[&url, "--plain"]);
    eventually("the client ends", || {
        other.say("hello, room");
        child.try_wait().expect("our own child").is_some()
    });
    assert_eq!(child.wait().expect("it ended").code(), Some(0));
    drop(server);
}

#[test]
fn it_comes_back_after_the_server_was_killed_and_joins_again() {
    let (server, url) = server();
    let addr = server.addr.to_string();
    let mut bob = Terminal::json(&[&url, "--plain", "--user", "bob"]);
    bob.say(r#"{"type":"join","group":"g"}"#);
    bob.event("ok");
    server.signal("KILL");
    drop(server);
    let closed = bob.event("closed");
    assert!(closed["after"].as_u64().is_some_and(|after| after <= 500), "{closed}");
    let mut again = clean(Command::new(BINARY));
    again.args(["serve", "--listen", &addr, "--log", "warn"]);
    let _server = Process::start(again);
    bob.wait_for_text(r#""state":"open""#);
    bob.event("ok");
    bob.say(r#"{"type":"members","group":"g"}"#);
    assert_eq!(bob.event("members")["members"][0], "bob");
}

#[test]
fn without_a_server_it_says_so_unless_it_is_to_wait() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let addr = listener.local_addr().expect("it is bound").to_string();
    drop(listener);
    let url = format!("ws://{addr}/");
    let (code, stderr, _) = Terminal::json(&[&url]).end();
    assert_eq!(code, Some(3));
    assert!(stderr.starts_with(&format!("error: {url}: ")), "{stderr}");
    let mut waiting = Terminal::json(&[&url, "--plain", "--wait"]);
    waiting.event("closed");
    let mut server = clean(Command::new(BINARY));
    server.args(["serve", "--listen", &addr, "--log", "warn"]);
    let server = Process::start(server);
    waiting.wait_for_text(r#""state":"open""#);
    server.signal("TERM");
    // 1001: it goes away, and may come back.
    assert_eq!(waiting.event("closed")["code"], 1001);
    let mut never = Terminal::json(&[&url, "--no-reconnect"]);
    assert_eq!(never.event("closed").get("after"), None);
    assert_eq!(never.end().0, Some(3));
}

#[test]
fn any_websocket_server_will_do() {
    let server = Process::echo(&[]);
    let url = format!("ws://{}/", server.addr);
    let mut client = Terminal::start(&[&url]);
    client.wait_for_text("speaks only the plain dialect");
    client.say("hello");
    client.wait_for("an echo", |line| line == "hello");
    assert_eq!(client.end().0, Some(0));
}

/// A server may take its time for what it was sent. Whoever said Close first would not wait for it.
#[test]
fn the_end_of_input_waits_until_the_server_has_worked_off_everything() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let url = format!("ws://{}/", listener.local_addr().expect("it is bound"));
    let mut client = Terminal::json(&[&url, "--plain"]);
    client.say("one");
    client.end_input();
    let (mut stream, _) = listener.accept().expect("it connects");
    let mut request = Vec::new();
    while !request.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        stream.read_exact(&mut byte).expect("a request");
        request.push(byte[0]);
    }
    let request = String::from_utf8(request).expect("a head");
    let key = request.lines().find_map(|line| line.strip_prefix("Sec-WebSocket-Key: "));
    let accept = accept_key(key.expect("a key").as_bytes());
    let accept = String::from_utf8_lossy(&accept).into_owned();
    let head = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade";
    let answer = format!("{head}\r\nSec-WebSocket-Accept: {accept}\r\n\r\n");
    stream.write_all(answer.as_bytes()).expect("it reads");
    let (endpoint, mut connection) = (Endpoint::server(), Connection::new());
    let (mut out, mut heard) = (Outbox::new(), Vec::new());
    while heard.last().is_none_or(|last| last != "close") {
        let mut bytes = [0; 1_000];
        let read = stream.read(&mut bytes).expect("it writes");
        let mut input = Input::new(&mut bytes[..read]);
        loop {
            heard.push(match connection.advance(&endpoint, &mut input, &mut out) {
                Step::NeedInput => break,
                Step::Message(message) => String::from_utf8_lossy(message.as_bytes()).into(),
                Step::Ping(_) => "ping".to_owned(),
                Step::Closed { .. } => "close".to_owned(),
                step => panic!("{step:?}"),
            });
        }
        stream.write_all(out.front()).expect("it reads");
        out.advance(out.front().len());
    }
    assert_eq!(heard, ["one", "ping", "close"]);
    assert_eq!(client.end().0, Some(0));
}
