//! A server with a directory for its messages, and a client that speaks switchboard.v1.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::atomic::{AtomicUsize, Ordering};

use serde_json::Value;

use crate::common::client::{Client, Event, connect};
use crate::common::process::{BINARY, Process, clean};

/// A directory that goes when it goes.
pub struct Folder(PathBuf);

impl Folder {
    pub fn new() -> Folder {
        static COUNT: AtomicUsize = AtomicUsize::new(0);
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let name = format!("switchboard-durable-{}-{number}", std::process::id());
        let path = std::env::temp_dir().join(name);
        let _ = fs::remove_dir_all(&path);
        fs::create_dir_all(&path).expect("a folder for temporary files");
        Folder(path)
    }

    pub fn path(&self) -> &Path {
        &self.0
    }

    /// Where the messages are.
    pub fn data(&self) -> PathBuf {
        self.0.join("data")
    }

    pub fn file(&self) -> PathBuf {
        self.data().join("switchboard.redb")
    }

    /// A server that keeps them.
    pub fn serve(&self, args: &[&str]) -> Process {
        Process::start(serve(&self.data(), args))
    }

    /// `switchboard check-data`.
    pub fn check(&self, args: &[&str]) -> Output {
        let mut command = clean(Command::new(BINARY));
        command.arg("check-data").args(args).arg(self.data()).output().expect("the binary")
    }

    /// The same in JSON.
    pub fn check_json(&self, args: &[&str]) -> Value {
        let output = self.check(&[args, &["--json"]].concat());
        serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {output:?}"))
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// The command of a server with this directory.
pub fn serve(data: &Path, args: &[&str]) -> Command {
    let mut command = clean(Command::new(BINARY));
    command.args(["serve", "--listen", "127.0.0.1:0", "--log", "warn,switchboard::store=info"]);
    command.arg("--data").arg(data).args(args);
    command
}

/// What a command that ends by itself says on stderr; it ends with 1.
pub fn refusal(mut command: Command) -> String {
    let output = command.output().expect("the binary");
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// Where a client is in its log.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Position {
    pub epoch: String,
    pub seq: u64,
}

/// A client that speaks switchboard.v1.
pub struct Session {
    client: Client,
    pub welcome: Value,
    next: u64,
}

impl Session {
    /// Says hello, from a position if there is one.
    pub fn open(process: &Process, user: &str, position: Option<&Position>) -> Session {
        let mut stream = connect(process.addr);
        let host = process.addr;
        let upgrade = format!(
            "GET /?user={user} HTTP/1.1\r\nHost: {host}\r\nUpgrade: websocket\r\nConnection: \
             Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: \
             dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Protocol: switchboard.v1\r\n\r\n"
        );
        stream.write_all(upgrade.as_bytes()).expect("a server that reads");
        let offered = ["switchboard.v1"];
        let client = Client::after_offering(stream, process.addr, &offered).expect("a 101");
        let from = position.map_or_else(String::new, |Position { epoch, seq }| {
            format!(r#","epoch":"{epoch}","seq":{seq}"#)
        });
        let mut session = Session { client, welcome: Value::Null, next: 1 };
        session.say(&format!(r#"{{"type":"hello","client":"c-{user}"{from}}}"#));
        session.welcome = session.hear();
        assert_eq!(session.welcome["type"], "welcome", "{}", session.welcome);
        session.next = session.welcome["last"].as_u64().unwrap_or(0) + 1;
        session
    }

    pub fn say(&mut self, text: &str) {
        self.client.send_text(text);
    }

    /// The next frame.
    pub fn hear(&mut self) -> Value {
        match self.client.receive() {
            Event::Text(text) => serde_json::from_str(&text).expect("JSON"),
            other => panic!("{other:?}"),
        }
    }

    /// The next message: what it says, and its seq.
    pub fn message(&mut self) -> (String, u64) {
        let frame = self.hear();
        let content = frame["content"].as_str().unwrap_or_else(|| panic!("{frame}"));
        (content.to_owned(), frame["seq"].as_u64().expect("a seq"))
    }

    /// Sends a message and returns the answer to it.
    pub fn send(&mut self, to: &str, content: &str) -> Value {
        let (id, content) = (self.next, Value::from(content));
        self.say(&format!(r#"{{"id":{id},{to},"content":{content}}}"#));
        let answer = self.hear();
        if answer["retry"] != true {
            self.next += 1;
        }
        answer
    }

    /// Joins a group.
    pub fn join(&mut self, group: &str) {
        let id = self.next;
        self.say(&format!(r#"{{"type":"join","group":"{group}","id":{id}}}"#));
        assert_eq!(self.hear()["type"], "ok");
        self.next += 1;
    }

    /// Where it was when it was welcome.
    pub fn position(&self) -> Position {
        let epoch = self.welcome["epoch"].as_str().expect("an epoch").to_owned();
        Position { epoch, seq: self.welcome["seq"].as_u64().expect("a seq") }
    }
}

/// Ends a server as a power cut would, but for the disk.
pub fn kill(mut process: Process) {
    process.signal("KILL");
    process.wait();
}

/// Asks a server to stop.
pub fn stop(mut process: Process) {
    process.signal("TERM");
    let status = process.wait();
    assert!(status.success(), "{status}: {}", process.log());
}
