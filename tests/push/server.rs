//! A server with a push API, and a client of it that speaks HTTP by hand.

use std::fs;
use std::io::Write;
use std::net::{SocketAddr, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::common::client::{Client, Event, connect, read, read_to_end};
use crate::common::process::{BINARY, Process, clean};

/// May not impersonate.
pub const BILLING: &str = "billing-0123456789abcdef";
/// May.
pub const PORTAL: &str = "portal-0123456789abcdef";

const KEYS: &str = r#"{"keys":[
    {"name":"billing","key":"billing-0123456789abcdef"},
    {"name":"portal","key":"portal-0123456789abcdef","impersonate":true}]}"#;

/// A running server; killed when dropped.
pub struct Server {
    pub process: Process,
    pub admin: SocketAddr,
    folder: PathBuf,
}

impl Server {
    pub fn start(args: &[&str]) -> Server {
        let folder = folder();
        let keys = folder.join("keys.json");
        fs::write(&keys, KEYS).expect("a writable folder");
        let mode = PermissionsExt::from_mode(0o600);
        fs::set_permissions(&keys, mode).expect("our own file");
        let keys = keys.to_string_lossy().into_owned();
        let own = ["serve", "--admin-keys", &keys];
        // A Unix socket, in the one test that has it, has no address to connect to.
        let own_listener = !args.contains(&"--admin");
        let admin: &[&str] = if own_listener { &["--admin", "127.0.0.1:0"] } else { &[] };
        let level: &[&str] = if args.contains(&"--log") { &[] } else { &["--log", "warn"] };
        let mut command = clean(Command::new(BINARY));
        command.args(own).args(admin).args(["--listen", "127.0.0.1:0"]).args(level).args(args);
        let process = Process::start(command);
        let admin = process.admin.unwrap_or_else(|| {
            assert!(!own_listener, "a listener for the push API");
            process.addr
        });
        Server { process, admin, folder }
    }

    /// Somebody who listens, and has been let in.
    pub fn user(&self, name: &str) -> Client {
        self.client(&format!("/?user={name}"))
    }

    pub fn client(&self, target: &str) -> Client {
        let mut client = Client::try_connect(self.process.addr, target).expect("a 101");
        client.send_text(r#"{"type":"ping"}"#);
        assert_eq!(client.receive(), Event::Text(r#"{"type":"pong"}"#.to_owned()));
        client
    }

    /// A request on a connection of its own.
    pub fn ask(&self, method: &str, path: &str, headers: &[&str], body: &str) -> Answer {
        let mut stream = connect(self.admin);
        let headers = [headers, &["Connection: close"]].concat();
        stream.write_all(&request(method, path, &headers, body)).expect("a server that reads");
        let bytes = read_to_end(&mut stream);
        let (answer, len) = Answer::parse(&bytes).expect("a whole answer");
        assert_eq!(len, bytes.len(), "one answer and no more");
        answer
    }

    /// The same with a key.
    pub fn with_key(&self, method: &str, path: &str, body: &str) -> Answer {
        self.ask(method, path, &[&key(BILLING), JSON], body)
    }

    /// Sends one message.
    pub fn post(&self, message: &str) -> Answer {
        self.with_key("POST", "/v1/messages", message)
    }

    /// A file in a folder of this server's own.
    pub fn file(&self, name: &str, text: &str) -> String {
        let path = self.folder.join(name);
        fs::write(&path, text).expect("a writable folder");
        path.to_string_lossy().into_owned()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.folder);
    }
}

pub const JSON: &str = "Content-Type: application/json";

pub fn key(key: &str) -> String {
    format!("Authorization: Bearer {key}")
}

/// The bytes of a request.
pub fn request(method: &str, path: &str, headers: &[&str], body: &str) -> Vec<u8> {
    let mut head = format!("{method} {path} HTTP/1.1\r\nHost: localhost\r\n");
    for header in headers {
        head.push_str(&format!("{header}\r\n"));
    }
    if !body.is_empty() {
        head.push_str(&format!("Content-Length: {}\r\n", body.len()));
    }
    format!("{head}\r\n{body}").into_bytes()
}

/// An answer of the server.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub head: String,
    pub body: String,
}

impl Answer {
    /// The answer that these bytes begin with, and its length; `None` if it is not whole.
    pub fn parse(bytes: &[u8]) -> Option<(Answer, usize)> {
        let end = bytes.windows(4).position(|four| four == b"\r\n\r\n")? + 4;
        let head = String::from_utf8(bytes[..end].to_vec()).expect("a head in ASCII");
        let status = crate::common::client::status(bytes).expect("a status line");
        let len = header(&head, "Content-Length").expect("every answer has a length");
        let len: usize = len.parse().expect("a number");
        let body = bytes.get(end..end + len)?;
        let body = String::from_utf8(body.to_vec()).expect("answers are UTF-8");
        Some((Answer { status, head, body }, end + len))
    }

    /// Reads one answer from a connection that stays open.
    pub fn read(stream: &mut TcpStream, buffer: &mut Vec<u8>) -> Answer {
        loop {
            if let Some((answer, len)) = Answer::parse(buffer) {
                buffer.drain(..len);
                return answer;
            }
            let mut bytes = [0; 16 * 1024];
            let read = read(stream, &mut bytes).expect("a server that answers");
            assert!(read > 0, "an answer instead of the end: {}", String::from_utf8_lossy(buffer));
            buffer.extend_from_slice(&bytes[..read]);
        }
    }

    pub fn header(&self, name: &str) -> Option<&str> {
        header(&self.head, name)
    }

    pub fn json(&self) -> serde_json::Value {
        assert_eq!(self.header("Content-Type"), Some("application/json"), "{self:?}");
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    /// Asserts status and body.
    #[track_caller]
    pub fn expect(&self, status: u16, body: &str) {
        assert_eq!((self.status, &*self.body), (status, body), "{}", self.head);
    }

    /// Asserts a failure, in the form of all failures.
    #[track_caller]
    pub fn expect_failure(&self, status: u16, reason: &str) {
        let json = self.json();
        assert_eq!((self.status, &json["error"]["reason"]), (status, &reason.into()), "{self:?}");
        assert_eq!(json["error"]["code"], status);
        assert!(json["error"]["message"].as_str().is_some_and(|text| text.len() > 5), "{json}");
    }
}

fn header<'a>(head: &'a str, name: &str) -> Option<&'a str> {
    head.lines().find_map(|line| {
        let (key, value) = line.split_once(": ")?;
        key.eq_ignore_ascii_case(name).then_some(value)
    })
}

pub fn text(text: &str) -> Event {
    Event::Text(text.to_owned())
}

fn folder() -> PathBuf {
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    let name = format!("push-{}-{number}", std::process::id());
    let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(name);
    fs::create_dir_all(&folder).expect("a writable target folder");
    folder
}
