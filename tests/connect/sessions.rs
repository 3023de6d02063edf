//! `switchboard connect` where switchboard.v1 is spoken: nothing lost, nothing twice.

use std::collections::BTreeSet;
use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::Value;

use super::common::process::{Process, clean, command};
use super::random::Random;
use super::terminal::{Terminal, event};

fn server() -> (Process, String) {
    let server = Process::start(command(&["serve"]));
    let url = format!("ws://{}/", server.addr);
    (server, url)
}

/// The same port again.
fn restarted(server: Process) -> Process {
    let addr = server.addr.to_string();
    server.signal("KILL");
    drop(server);
    let mut again = clean(Command::new(super::common::process::BINARY));
    again.args(["serve", "--listen", &addr, "--log", "warn"]);
    Process::start(again)
}

/// A file in a folder of its own, which goes with it.
struct Temporary(PathBuf);

impl Temporary {
    fn new(name: &str) -> Temporary {
        let folder = format!("switchboard-connect-{name}-{}", std::process::id());
        let folder = std::env::temp_dir().join(folder);
        fs::create_dir_all(&folder).expect("a temporary folder");
        Temporary(folder)
    }

    fn path(&self, name: &str) -> String {
        self.0.join(name).to_string_lossy().into_owned()
    }
}

impl Drop for Temporary {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn stored(path: &str) -> Value {
    event(&fs::read_to_string(Path::new(path)).expect("a state file"))
}

#[test]
fn programs_see_outcomes_under_their_own_keys() {
    let (_server, url) = server();
    let mut alice = Terminal::json(&[&url, "--user", "alice"]);
    alice.event("welcome");
    let mut bob = Terminal::json(&[&url, "--user", "bob", "--receipts", "--client", "laptop"]);
    bob.say(r#"{"receiver":"alice","content":{"n": 1.0},"tag":7}"#);
    let ok = bob.event("ok");
    assert_eq!((&ok["tag"], &ok["id"]), (&Value::from(7), &Value::from(1)));
    let line = alice.wait_for_text(r#""event":"message""#);
    assert!(line.contains(r#""content":{"n": 1.0},"mid":"laptop:1"}"#), "{line}");
    assert_eq!(bob.event("receipt")["user"], "alice");
    bob.say(r#"{"group":"g","content":1,"tag":"b"}"#);
    let error = bob.event("error");
    assert_eq!((&error["tag"], &error["reason"]), (&"b".into(), &"not_a_member".into()));
    bob.say(r#"{"type":"join","group":"g"}"#);
    bob.event("ok");
    bob.say(r#"{"id":9,"receiver":"alice","content":1}"#);
    assert_eq!(bob.event("error")["reason"], "unreadable");
    assert_eq!(bob.end().0, Some(1));
    assert_eq!(alice.end().0, Some(0));
}

#[test]
fn a_line_for_nobody_is_not_sent_and_shows_in_the_exit_code() {
    let (_server, url) = server();
    for line in ["for nobody", "/to", "/too bob hi"] {
        let mut bob = Terminal::start(&[&url, "--user", "bob"]);
        bob.say(line);
        bob.wait_for_text("-- not sent: ");
        assert_eq!(bob.end().0, Some(1), "{line}");
    }
}

#[test]
fn people_who_ask_for_members_are_shown_them() {
    let (_server, url) = server();
    let mut alice = Terminal::start(&[&url, "--user", "alice"]);
    alice.say("/join g");
    alice.wait_for_text("-- ok 1");
    let mut bob = Terminal::start(&[&url, "--user", "bob"]);
    bob.say("/join g");
    bob.wait_for_text("-- ok 1");
    alice.say("/members g");
    let line = alice.wait_for_text("-- ok 2");
    assert!(
        ["bob, alice", "alice, bob"]
            .iter()
            .any(|names| { line == format!("-- ok 2, 2 members: {names}") }),
        "{line}"
    );
    assert_eq!(alice.end().0, Some(0));
}

/// What was read and never sent has not been done.
#[cfg(target_os = "linux")]
#[test]
fn who_is_interrupted_before_it_is_connected_says_what_was_not_sent() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let url = format!("ws://{}/", listener.local_addr().expect("it is bound"));
    for (signal, count) in [("INT", 0), ("INT", 3), ("TERM", 3)] {
        let mut bob = Terminal::json(&[&url, "--user", "bob"]);
        bob.wait_for_text("connecting");
        let line = format!(r#"{{"receiver":"alice","content":"{}"}}"#, "x".repeat(50_000));
        (0..count).for_each(|_| bob.say(&line));
        // The last one is on its way to the thread that waits for it; the others have come.
        bob.wait_until_read(count * line.len());
        bob.signal(signal);
        let (code, stderr, _) = bob.end();
        match count {
            0 => assert_eq!((code, &*stderr), (Some(0), "")),
            _ => {
                assert_eq!(code, Some(3), "{stderr}");
                assert!(stderr.contains("lines that were read and not sent: "), "{stderr}");
            }
        }
    }
}

#[test]
fn at_the_end_of_input_everything_is_answered_and_the_connection_closed_with_1000() {
    let (_server, url) = server();
    let mut alice = Terminal::json(&[&url, "--user", "alice", "--stay"]);
    alice.event("welcome");
    alice.end_input();
    let mut bob = Terminal::json(&[&url, "--user", "bob"]);
    (1..=500).for_each(|n| bob.say(&format!(r#"{{"receiver":"alice","content":{n},"tag":{n}}}"#)));
    let (code, _, seen) = bob.end();
    assert_eq!(code, Some(0));
    let oks = seen.iter().map(|line| event(line)).filter(|event| event["event"] == "ok");
    let tags: Vec<u64> = oks.map(|ok| ok["tag"].as_u64().unwrap_or(0)).collect();
    assert_eq!(tags, (1..=500).collect::<Vec<u64>>());
    let closed = event(&seen[seen.len() - 1]);
    assert_eq!(
        (&closed["code"], &closed["why"]),
        (&1000.into(), &"closed by this client: 1000".into())
    );
    (1..=500).for_each(|n| assert_eq!(alice.event("message")["content"], n));
    alice.signal("INT");
    assert_eq!(alice.end().0, Some(0));
}

#[test]
fn what_came_while_it_was_away_comes_when_it_is_back() {
    let (_server, url) = server();
    let files = Temporary::new("away");
    let state = files.path("alice.json");
    let args = [url.as_str(), "--user", "alice", "--state", &state];
    let mut alice = Terminal::json(&args);
    alice.event("welcome");
    let mut bob = Terminal::json(&[&url, "--user", "bob"]);
    bob.say(r#"{"receiver":"alice","content":1}"#);
    alice.event("message");
    assert_eq!(alice.end().0, Some(0));
    bob.say(r#"{"receiver":"alice","content":2}"#);
    bob.event("ok");
    bob.event("ok");
    let mut alice = Terminal::json(&args);
    assert_eq!(alice.event("welcome")["resumed"], true);
    assert_eq!(alice.event("message")["content"], 2);
    assert_eq!(alice.end().0, Some(0));
    // All of it was acknowledged and stored: nothing comes twice.
    bob.say(r#"{"receiver":"alice","content":3}"#);
    bob.event("ok");
    let mut alice = Terminal::json(&args);
    assert_eq!(alice.event("message")["content"], 3);
    let mut late = Terminal::json(&[&url, "--user", "alice", "--from", "kept"]);
    (1..=3).for_each(|n| assert_eq!(late.event("message")["content"], n));
}

#[test]
fn it_comes_back_after_the_server_was_killed_and_says_what_may_be_missing() {
    let (server, url) = server();
    let mut alice = Terminal::json(&[&url, "--user", "alice"]);
    alice.event("welcome");
    alice.say(r#"{"type":"join","group":"g","tag":"mine"}"#);
    assert_eq!(alice.event("ok")["tag"], "mine");
    let mut bob = Terminal::json(&[&url, "--user", "bob"]);
    bob.say(r#"{"type":"join","group":"g"}"#);
    bob.say(r#"{"group":"g","content":1}"#);
    bob.event("ok");
    bob.event("ok");
    let epoch = alice.event("message")["epoch"].clone();
    let _server = restarted(server);
    bob.event("closed");
    bob.say(r#"{"group":"g","content":2,"tag":2}"#);
    // Another epoch: what it remembers of the last one means nothing.
    let welcome = alice.event("welcome");
    assert_ne!(welcome["epoch"], epoch);
    assert_eq!(alice.event("gap")["reason"], "epoch");
    // Both are members again without having said so; alice perhaps too late for the message.
    alice.event("ok");
    assert_eq!(bob.event("ok")["tag"], Value::Null);
    assert_eq!(bob.event("ok")["tag"], 2);
    bob.say(r#"{"group":"g","content":3}"#);
    while alice.event("message")["content"] != 3 {}
    assert_eq!(alice.end().0, Some(0));
}

#[test]
fn a_server_that_stops_is_left_and_waited_for() {
    let (server, url) = server();
    let addr = server.addr.to_string();
    let mut alice = Terminal::json(&[&url, "--user", "alice"]);
    alice.event("welcome");
    server.signal("TERM");
    let closed = alice.event("closed");
    assert!(closed["after"].is_u64(), "{closed}");
    alice.say(r#"{"receiver":"alice","content":1,"echo":true}"#);
    drop(server);
    let mut again = clean(Command::new(super::common::process::BINARY));
    again.args(["serve", "--listen", &addr, "--log", "warn"]);
    let _server = Process::start(again);
    alice.event("welcome");
    alice.event("message");
    assert_eq!(alice.end().0, Some(0));
}

#[test]
fn killed_again_and_again_it_sends_nothing_twice_and_loses_nothing_that_was_queued() {
    let (_server, url) = server();
    let files = Temporary::new("killed");
    let state = files.path("bob.json");
    let mut random = Random::new(7);
    let mut alice = Terminal::json(&[&url, "--user", "alice"]);
    alice.event("welcome");
    let (mut answered, mut queued) = (BTreeSet::new(), BTreeSet::new());
    let mut given = 0;
    for round in 0..12 {
        let mut bob = Terminal::json(&[&url, "--user", "bob", "--state", &state, "--stay"]);
        // Who resends what was not queued would not know what becomes of it in the meantime.
        bob.event("welcome");
        for _ in 0..100 {
            given += 1;
            bob.say(&format!(r#"{{"receiver":"alice","content":{given},"tag":{given}}}"#));
        }
        let until = random.below(60);
        for _ in 0..until {
            bob.wait_for("anything", |_| true);
        }
        for line in bob.kill() {
            let event = event(&line);
            let set = match event["event"].as_str() {
                Some("ok") => &mut answered,
                Some("queued") => &mut queued,
                _ => continue,
            };
            set.insert(event["tag"].as_u64().expect("a tag"));
        }
        // What was read and not queued is not his to send.
        assert!(queued.is_superset(&answered), "round {round}");
        given = queued.last().copied().unwrap_or(0).max(answered.last().copied().unwrap_or(0));
        let kept: Vec<u64> = stored(&state)["outbox"]
            .as_array()
            .expect("a list")
            .iter()
            .map(|item| item["given"]["tag"].as_u64().expect("a tag"))
            .collect();
        // Stored, and killed before it could say so.
        queued.extend(kept);
        given = given.max(queued.last().copied().unwrap_or(0));
    }
    let last = Terminal::json(&[&url, "--user", "bob", "--state", &state]);
    let (code, stderr, _) = last.end();
    assert_eq!(code, Some(0), "{stderr}");
    assert_eq!(stored(&state)["outbox"], Value::Array(Vec::new()));
    let count = queued.len() as u64;
    assert!(count > 100, "{count}");
    let mut messages = Vec::new();
    let mut bob = Terminal::json(&[&url, "--user", "bob"]);
    bob.say(r#"{"receiver":"alice","content":0}"#);
    loop {
        match alice.event("message")["content"].as_u64() {
            Some(0) => break,
            content => messages.push(content.expect("a number")),
        }
    }
    let queued: Vec<u64> = queued.into_iter().collect();
    assert_eq!(messages, queued);
}

#[test]
fn a_receiver_that_is_killed_misses_nothing_and_knows_what_comes_again() {
    let (_server, url) = server();
    let files = Temporary::new("receiver");
    let state = files.path("alice.json");
    let args = [url.as_str(), "--user", "alice", "--state", &state, "--stay"];
    let mut random = Random::new(8);
    let mut bob = Terminal::json(&[&url, "--user", "bob"]);
    let mut seen = Vec::new();
    Terminal::json(&args).event("welcome");
    for round in 0..10 {
        let mut alice = Terminal::json(&args);
        alice.event("welcome");
        for n in 1..=90 {
            bob.say(&format!(r#"{{"receiver":"alice","content":{}}}"#, round * 90 + n));
        }
        for _ in 0..random.below(90) {
            alice.event("message");
        }
        let lines = alice.kill();
        seen.extend(lines.iter().filter_map(|line| numbered(line)));
    }
    let mut alice = Terminal::json(&args);
    while seen.last().is_none_or(|(_, content)| *content < 900) {
        let message = alice.event("message").to_string();
        seen.extend(numbered(&message));
    }
    assert_eq!(once(seen), (1..=900).collect::<Vec<u64>>());
}

/// The `seq` and the content of a message.
fn numbered(line: &str) -> Option<(u64, u64)> {
    let message = event(line);
    let number = |key: &str| message[key].as_u64().expect("a number");
    (message["event"] == "message").then(|| (number("seq"), number("content")))
}

/// What whoever drops the numbers that are not above all before them has seen.
fn once(seen: Vec<(u64, u64)>) -> Vec<u64> {
    let (mut highest, mut contents) = (0, Vec::new());
    for (seq, content) in seen {
        if seq > highest {
            highest = seq;
            contents.push(content);
        }
    }
    contents
}

/// What nobody has read is not acknowledged, takes no memory without bound, and comes again.
#[test]
fn a_reader_that_is_stuck_is_waited_for_in_bounded_memory_and_misses_nothing() {
    let server = Process::start(command(&["serve", "--log-bytes", "128m", "--log-total", "1g"]));
    let url = format!("ws://{}/", server.addr);
    let files = Temporary::new("stuck");
    let state = files.path("alice.json");
    let args = [url.as_str(), "--user", "alice", "--state", &state, "--stay"];
    Terminal::json(&args).event("welcome");
    let mut stuck = clean(Command::new(super::common::process::BINARY));
    stuck.arg("connect").args(args).arg("--json").stdin(Stdio::null()).stdout(Stdio::piped());
    let mut stuck = stuck.spawn().expect("the binary is built");
    let mut stdout = BufReader::new(stuck.stdout.take().expect("a pipe"));
    let mut read = String::new();
    while !read.contains("welcome") {
        stdout.read_line(&mut read).expect("it prints");
    }
    let mut other = Terminal::json(&[&url, "--user", "alice", "--stay"]);
    other.event("welcome");
    let mut bob = Terminal::json(&[&url, "--user", "bob"]);
    let filler = "x".repeat(100_000);
    (1..=200).for_each(|n| {
        let to = r#""receiver":"alice","content""#;
        bob.say(&format!(r#"{{{to}:"{filler}"}}"#));
        bob.say(&format!(r#"{{{to}:{n}}}"#));
    });
    // What this one has got, the stuck one would have got too.
    other.wait_for("the last message", |line| line.contains(r#""content":200,"#));
    let status = fs::read_to_string(format!("/proc/{}/status", stuck.id())).unwrap_or_default();
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let peak = peak.and_then(|line| line.trim().strip_suffix("kB")?.trim().parse().ok());
    assert!(peak.is_none_or(|kilobytes: u64| kilobytes < 17_000), "{peak:?} kB");
    // It ends all the same, and stores no more than what was read.
    let term = Command::new("kill").arg(stuck.id().to_string()).status();
    assert!(term.is_ok_and(|status| status.success()));
    assert_eq!(stuck.wait().expect("our own child").code(), Some(0));
    let mut seen = Vec::new();
    // The last line may be cut.
    for line in stdout.lines().map_while(Result::ok).filter(|line| line.ends_with('}')) {
        seen.push(line);
    }
    let mut alice = Terminal::json(&args);
    loop {
        let line = alice.wait_for("a message", |line| line.contains(r#""event":"message""#));
        let is_last = event(&line)["content"] == 200;
        seen.push(line);
        if is_last {
            break;
        }
    }
    let is_numbered = |line: &&String| event(line)["content"].is_u64();
    let numbers = seen.iter().filter(is_numbered).filter_map(|line| numbered(line)).collect();
    assert_eq!(once(numbers), (1..=200).collect::<Vec<u64>>());
}

#[test]
fn who_is_refused_does_not_come_back() {
    let files = Temporary::new("refused");
    let tokens = files.path("tokens.json");
    let token = "b7c1b0f0f3a94e0e";
    let text = format!(r#"{{"tokens":[{{"token":"{token}","user":"alice"}}]}}"#);
    fs::write(&tokens, text).expect("a file");
    let server = Process::start(command(&["serve", "--auth", &format!("tokens:{tokens}")]));
    let url = format!("ws://{}/", server.addr);
    let token_file = files.path("token");
    fs::write(&token_file, format!("{token}\n")).expect("a file");
    let ending = |args: &[&str]| {
        let mut client = Terminal::json(&[&[url.as_str(), "--wait"], args].concat());
        let closed = client.event("closed");
        let (code, stderr, _) = client.end();
        (closed["code"].as_u64(), code, stderr)
    };
    let (closed, code, stderr) = ending(&["--token", "wrong"]);
    assert_eq!((closed, code), (Some(4401), Some(3)));
    assert!(stderr.contains("4401 token_refused") && !stderr.contains("wrong"), "{stderr}");
    let (closed, code, _) = ending(&["--token-file", &token_file, "--user", "bob"]);
    assert_eq!((closed, code), (Some(4403), Some(3)));
    let (_, code, stderr) = ending(&["--plain", "--token", "wrong"]);
    assert_eq!(code, Some(3));
    assert!(stderr.contains("401 token_refused"), "{stderr}");
    let mut alice = Terminal::json(&[&url, "--token-file", &token_file]);
    assert_eq!(alice.event("welcome")["user"], "alice");
}

#[test]
fn the_older_of_two_of_one_name_ends_and_does_not_come_back() {
    let (_server, url) = server();
    let args = [url.as_str(), "--user", "bob", "--client", "phone"];
    let mut older = Terminal::json(&args);
    older.event("welcome");
    let mut newer = Terminal::json(&args);
    newer.event("welcome");
    assert_eq!(older.event("closed")["code"], 4409);
    assert_eq!(older.end().0, Some(3));
    newer.say(r#"{"receiver":"bob","content":1,"echo":true}"#);
    newer.event("message");
}

#[test]
fn a_state_file_is_of_one_user_and_nothing_else_is_taken_for_one() {
    let (_server, url) = server();
    let files = Temporary::new("state");
    let state = files.path("bob.json");
    let end = |user: &str| {
        let client = Terminal::json(&[&url, "--user", user, "--state", &state]);
        let (code, stderr, _) = client.end();
        (code, stderr)
    };
    assert_eq!(end("bob").0, Some(0));
    let text = fs::read_to_string(&state).expect("a state file");
    let (code, stderr) = end("eve");
    assert_eq!(code, Some(2));
    assert!(stderr.contains("the state of another client or user"), "{stderr}");
    fs::write(&state, &text[..text.len() - 1]).expect("a file");
    let (code, stderr) = end("bob");
    assert_eq!(code, Some(2));
    assert!(stderr.contains("not the state of a client, or not all of it"), "{stderr}");
    fs::remove_file(&state).expect("it is there");
    fs::create_dir(files.path("bob.json.new")).expect("a folder in the way");
    let (code, stderr) = end("bob");
    assert_eq!(code, Some(3));
    assert!(stderr.contains("cannot write"), "{stderr}");
}

#[test]
fn who_asks_for_more_than_a_server_has_is_told() {
    let server = Process::echo(&[]);
    let url = format!("ws://{}/", server.addr);
    let (code, stderr, _) = Terminal::json(&[&url, "--from", "kept"]).end();
    assert_eq!(code, Some(3));
    assert!(stderr.contains("does not speak switchboard.v1"), "{stderr}");
}
