//! A server with authentication, and clients that show who they are in every way.

use std::io::Write;
use std::path::PathBuf;
use std::process::Command;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use switchboard::relay::access::jwt;

use crate::common::client::{Client, Event, connect, handshake, read_to_end, status};
use crate::common::process::{BINARY, Process, clean};

/// What a good tokens file looks like; `GONE` expired long ago.
pub const ALICE: &str = "s3cret-of-alice-0001";
pub const BOB: &str = "s3cret-of-bob-000002";
pub const GONE: &str = "s3cret-of-carol-0003";

/// The secret of HS256.
pub const KEY: &str = "s3cret-key-s3cret-key-s3cret-key-0";

/// A running server.
pub struct World {
    pub process: Process,
    folder: PathBuf,
    /// What must not be in the log, beside everything that begins with `s3cret`.
    secrets: Mutex<Vec<String>>,
}

impl World {
    /// With the tokens of [`ALICE`], [`BOB`] and [`GONE`].
    pub fn tokens(args: &[&str]) -> World {
        World::start(&[("tokens.json", &tokens_file())], "tokens:FOLDER/tokens.json", args)
    }

    /// With tokens signed with [`KEY`].
    pub fn signed(args: &[&str]) -> World {
        World::start(&[("key", &format!("{KEY}\n"))], "jwt:hs256:FOLDER/key", args)
    }

    /// With other files, in the folder that `FOLDER` stands for.
    pub fn start(files: &[(&str, &str)], auth: &str, args: &[&str]) -> World {
        let folder = folder();
        for (name, text) in files {
            std::fs::write(folder.join(name), text).expect("a folder to write to");
        }
        let place = folder.display().to_string();
        let mut command = clean(Command::new(BINARY));
        command.args(["serve", "--listen", "127.0.0.1:0", "--log", "trace", "--auth"]);
        command.arg(auth.replace("FOLDER", &place));
        command.args(args.iter().map(|arg| arg.replace("FOLDER", &place)));
        let process = Process::start(command);
        World { process, folder, secrets: Mutex::default() }
    }

    /// Replaces a file and has the server read it.
    pub fn change(&self, file: &str, text: &str) {
        std::fs::write(self.folder.join(file), text).expect("a folder to write to");
        let before = self.process.log().matches("reloaded").count();
        self.process.signal("HUP");
        crate::common::process::eventually("the files are read", || {
            self.process.log().matches("reloaded").count() > before
        });
    }

    /// The path of a file in its folder.
    pub fn file(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    /// Must not be in the log.
    pub fn keep_secret(&self, secret: &str) {
        self.secrets.lock().expect("no panic while locked").push(secret.to_owned());
    }

    /// A token of these claims, signed as it should be.
    pub fn sign(&self, claims: &str) -> String {
        let token = jwt::sign_hs256(KEY.as_bytes(), claims).expect("a long secret");
        for part in token.split('.').skip(1) {
            self.keep_secret(part);
        }
        token
    }

    /// Sends an opening handshake with these header lines, and reads what comes.
    pub fn open(&self, target: &str, lines: &[&str]) -> Result<Client, Option<u16>> {
        let addr = self.process.addr;
        let mut stream = connect(addr);
        stream.write_all(&self.request(target, lines)).expect("the server takes a request");
        let offered: Vec<&str> = lines
            .iter()
            .filter_map(|line| line.strip_prefix("Sec-WebSocket-Protocol: "))
            .flat_map(|names| names.split(", "))
            .filter(|name| !name.starts_with("bearer."))
            .collect();
        Client::after_offering(stream, addr, &offered)
    }

    /// Everything that is answered to a handshake which is refused.
    pub fn refusal(&self, target: &str, lines: &[&str]) -> String {
        let mut stream = connect(self.process.addr);
        stream.write_all(&self.request(target, lines)).expect("the server takes a request");
        String::from_utf8(read_to_end(&mut stream)).expect("an answer in UTF-8")
    }

    fn request(&self, target: &str, lines: &[&str]) -> Vec<u8> {
        let mut request = handshake(self.process.addr, target);
        request.truncate(request.len() - 2);
        for line in lines {
            request.extend_from_slice(line.as_bytes());
            request.extend_from_slice(b"\r\n");
        }
        request.extend_from_slice(b"\r\n");
        request
    }

    /// Somebody with a good token, who hears what is said to him.
    #[track_caller]
    pub fn bearer(&self, target: &str, token: &str) -> Client {
        let opened = self.open(target, &[&bearer(token)]);
        opened.unwrap_or_else(|status| panic!("refused: {status:?}"))
    }

    /// With which status a handshake is refused.
    #[track_caller]
    pub fn status(&self, target: &str, lines: &[&str]) -> u16 {
        let answer = self.refusal(target, lines);
        status(answer.as_bytes()).unwrap_or_else(|| panic!("{answer}"))
    }
}

/// The log is searched, whatever else the test was about.
impl Drop for World {
    fn drop(&mut self) {
        // The log comes through a pipe and two threads.
        let mut log = self.process.log();
        let until = Instant::now() + Duration::from_secs(10);
        loop {
            std::thread::sleep(Duration::from_millis(50));
            let longer = self.process.log();
            let is_quiet = longer.len() == log.len() && log.contains(" trace ");
            if is_quiet || Instant::now() > until {
                break;
            }
            log = longer;
        }
        let _ = std::fs::remove_dir_all(&self.folder);
        if std::thread::panicking() {
            return;
        }
        assert!(log.contains(" trace "), "not much of a log: {log}");
        let secrets = self.secrets.lock().expect("no panic while locked");
        for secret in secrets.iter().map(|secret| &secret[..]).chain(["s3cret", "czNjcmV0"]) {
            assert!(!log.contains(secret), "{secret} is in the log:\n{log}");
        }
    }
}

/// An `Authorization` line.
pub fn bearer(token: &str) -> String {
    format!("Authorization: Bearer {token}")
}

/// A subprotocol line with the token as an entry.
pub fn entry(token: &str) -> String {
    let token = URL_SAFE_NO_PAD.encode(token);
    format!("Sec-WebSocket-Protocol: switchboard.plain, bearer.{token}")
}

/// A message that says who somebody is.
pub fn auth(token: &str) -> String {
    serde_json::json!({"type": "auth", "token": token}).to_string()
}

/// What somebody sends to find out his own name: a message to himself, over another connection.
#[track_caller]
pub fn expect_user(world: &World, client: &mut Client, user: &str) {
    // Only alice and bob are on every list; whoever asks must not be the one who is asked after.
    let (other, name) = if user == "bob" { (ALICE, "alice") } else { (BOB, "bob") };
    let mut other = world.bearer("/asking", other);
    other.send_text(&format!(r#"{{"receiver":"{user}","content":"who?"}}"#));
    let asked = Event::Text(format!(r#"{{"sender":"{name}","content":"who?"}}"#));
    assert_eq!(client.receive(), asked);
}

/// What a ping is answered by: nothing else came before it.
#[track_caller]
pub fn expect_nothing(client: &mut Client) {
    client.send_text(r#"{"type":"ping"}"#);
    assert_eq!(client.receive(), Event::Text(r#"{"type":"pong"}"#.to_owned()));
}

/// An error, and the close code that goes with it.
#[track_caller]
pub fn expect_rejection(client: &mut Client, code: u16, reason: &str) {
    let error = format!(r#"{{"type":"error","code":{code},"reason":"{reason}"}}"#);
    assert_eq!(client.receive(), Event::Text(error));
    assert_eq!(client.receive(), Event::Close(4000 + code, reason.to_owned()));
    client.expect_end();
}

/// What must be done before an end that the server sees as well, in so many seconds. `None` says
/// that the machine was too slow for it, by the clock; then it is tried with more of them.
#[track_caller]
pub fn in_time<T>(attempt: impl FnMut(u64) -> Option<T>) -> T {
    [2, 8, 20].into_iter().find_map(attempt).expect("a machine that does it in 20 seconds")
}

/// Seconds since 1970.
pub fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).expect("a clock after 1970").as_secs()
}

pub fn tokens_file() -> String {
    tokens_of(&[(ALICE, "alice"), (BOB, "bob")], r#","expires":1000000000"#)
}

/// A tokens file of these, and of carol, who has something more.
pub fn tokens_of(tokens: &[(&str, &str)], carol: &str) -> String {
    let mut text = format!(r#"{{"tokens":[{{"token":"{GONE}","user":"carol"{carol}}}"#);
    for (token, user) in tokens {
        text.push_str(&format!(r#",{{"token":"{token}","user":"{user}","roles":["member"]}}"#));
    }
    text + "]}"
}

fn folder() -> PathBuf {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let number = COUNT.fetch_add(1, Ordering::Relaxed);
    let name = format!("identity-{}-{number}", std::process::id());
    let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(name);
    std::fs::create_dir_all(&folder).expect("a folder for temporary files");
    folder
}
