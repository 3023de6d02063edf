//! What needs more than Rust: the examples of the README run as printed, a PHP application that
//! vouches for its users, Prometheus' own linter, and an HTTP fuzzer that reads the description.
//!
//! `cargo test` ignores them; `tests/push/run` runs them.

use std::env;
use std::fs;
use std::io::Write;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};

use crate::common::client::{Client, connect, handshake, read_to_end};
use crate::common::process::{BINARY, eventually};
use crate::server::{BILLING, PORTAL, Server, key, text};

#[test]
#[ignore = "needs curl and PHP: tests/push/run"]
fn the_examples_of_the_readme_run_as_printed() {
    let server = Server::start(&[]);
    let (mut desk, mut phone) = (server.user("alice"), server.user("alice"));
    let invoice = text(r#"{"sender":"billing","content":{"invoice":17}}"#);
    let backup = text(r#"{"sender":"billing","content":"the backup is done"}"#);
    let mut run = 0;
    for (language, code) in examples() {
        let output = match (&*language, code.starts_with("<?php")) {
            ("sh", _) => with_environment(&server, Command::new("sh").args(["-euc", &code])),
            ("php", true) => {
                let file = server.file("example.php", &code);
                with_environment(&server, Command::new(php()).arg(file))
            }
            // Of the framework, only that it is PHP can be said without the framework.
            ("php", false) => {
                let file = server.file("part.php", &format!("<?php\n{code}"));
                let output = with_environment(&server, Command::new(php()).args(["-l", &file]));
                assert!(output.status.success(), "{code}{output:?}");
                continue;
            }
            _ => continue,
        };
        assert!(output.status.success(), "{code}{output:?}");
        let printed = String::from_utf8(output.stdout).expect("text");
        let promised = code.lines().rev().find_map(|line| {
            line.strip_prefix("# ").or_else(|| line.split_once("; // ").map(|(_, said)| said))
        });
        assert_eq!(Some(printed.trim()), promised, "{code}");
        let heard = if code.contains("backup") { &backup } else { &invoice };
        assert_eq!([desk.receive(), phone.receive()], [heard.clone(), heard.clone()]);
        run += 1;
    }
    assert_eq!(run, 3, "curl, PHP and the shell");
}

/// A small PHP application stands in for the framework: a session of its own, the two routes of
/// the recipe.
#[test]
#[ignore = "needs PHP: tests/push/run"]
fn a_php_application_vouches_for_its_users_and_pushes_to_one() {
    let php = PhpServer::start();
    let check = format!("http://{}/switchboard/check", php.addr);
    let server = Server::start(&["--auth", &check, "--origin", "https://app.example.org"]);
    let cookie = |user: &str| {
        let login = php.ask(&format!("/login?user={user}"), "");
        let cookie = login.lines().find_map(|line| line.strip_prefix("Set-Cookie: "));
        cookie.and_then(|cookie| cookie.split(';').next()).expect("a session").to_owned()
    };
    let (alice, bob) = (cookie("7"), cookie("8"));
    let open = |cookie: &str, origin: &str| {
        let mut bytes = handshake(server.process.addr, "/ws");
        bytes.truncate(bytes.len() - 2);
        bytes.extend_from_slice(format!("Cookie: {cookie}\r\nOrigin: {origin}\r\n\r\n").as_bytes());
        let mut stream = connect(server.process.addr);
        stream.write_all(&bytes).expect("a server that reads");
        Client::after_handshake(stream, server.process.addr)
    };
    let app = "https://app.example.org";
    let (mut window, mut other) =
        (open(&alice, app).expect("101"), open(&alice, app).expect("101"));
    let mut eve = open(&bob, app).expect("101");
    assert_eq!(open("PHPSESSID=0123456789abcdef", app).err(), Some(Some(401)));
    assert_eq!(open(&alice, "https://evil.example").err(), Some(Some(403)));
    let paid = php.ask_with(&server, "/pay?user=7", &bob);
    assert!(paid.ends_with(r#"{"online":2}"#), "{paid}");
    let heard = text(r#"{"sender":"billing","content":{"type":"invoice.paid","id":17}}"#);
    assert_eq!([window.receive(), other.receive()], [heard.clone(), heard]);
    let paid = php.ask_with(&server, "/pay?user=8", &bob);
    assert!(paid.ends_with(r#"{"online":1}"#), "{paid}");
    assert_eq!(
        eve.receive(),
        text(r#"{"sender":"billing","content":{"type":"invoice.paid","id":17}}"#)
    );
}

#[test]
#[ignore = "needs promtool: tests/push/run"]
fn the_metrics_pass_prometheus_own_linter() {
    let server = Server::start(&[]);
    let alice = server.user("alice");
    server.post(r#"{"receiver":"alice","content":1}"#);
    server.with_key("GET", "/v1/nothing", "");
    let metrics = server.ask("GET", "/metrics", &[], "").body;
    let promtool = env::var("PROMTOOL").unwrap_or_else(|_| "promtool".to_owned());
    let mut child = Command::new(promtool)
        .args(["check", "metrics"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("promtool");
    let mut stdin = child.stdin.take().expect("a pipe");
    stdin.write_all(metrics.as_bytes()).expect("promtool reads");
    drop(stdin);
    let output = child.wait_with_output().expect("promtool ends");
    // It also says what it would have otherwise, on either stream, and ends with 0.
    let silent = output.stdout.is_empty() && output.stderr.is_empty();
    assert!(output.status.success() && silent, "{output:?}\n{metrics}");
    drop(alice);
}

#[test]
#[ignore = "needs schemathesis: tests/push/run"]
fn the_server_does_what_its_description_says() {
    let server = Server::start(&[]);
    let alice = server.user("alice");
    let schemathesis = env::var("SCHEMATHESIS").unwrap_or_else(|_| "schemathesis".to_owned());
    let examples = env::var("SWITCHBOARD_PUSH_EXAMPLES").unwrap_or_else(|_| "100".to_owned());
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/push");
    let output = Command::new(schemathesis)
        .arg("--config-file")
        .arg(folder.join("schemathesis.toml"))
        .args(["run", &format!("http://{}/openapi.json", server.admin)])
        .args(["--header", &key(PORTAL), "--max-examples", &examples])
        .env("SCHEMATHESIS_HOOKS", folder.join("hooks.py"))
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .current_dir(env!("CARGO_TARGET_TMPDIR"))
        .output()
        .expect("schemathesis");
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{said}{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(server.ask("GET", "/livez", &[], "").status, 200);
    drop(alice);
}

/// The code blocks between the marks in the README, with their languages.
fn examples() -> Vec<(String, String)> {
    let readme = Path::new(env!("CARGO_MANIFEST_DIR")).join("README.md");
    let readme = fs::read_to_string(readme).expect("the README");
    let (_, rest) = readme.split_once("<!-- push -->").expect("where the examples begin");
    let (section, _) = rest.split_once("<!-- /push -->").expect("where the examples end");
    let blocks = section.split("```").skip(1).step_by(2);
    blocks
        .map(|block| block.split_once('\n').expect("a language and lines"))
        .map(|(language, code)| (language.to_owned(), code.to_owned()))
        .collect()
}

fn with_environment(server: &Server, command: &mut Command) -> Output {
    let folder = Path::new(BINARY).parent().expect("a folder");
    let path = env::var("PATH").unwrap_or_default();
    command
        .env("PUSH", format!("http://{}", server.admin))
        .env("KEY", BILLING)
        .env("PATH", format!("{}:{path}", folder.display()))
        .output()
        .expect("the program of the example")
}

fn php() -> String {
    env::var("PHP").unwrap_or_else(|_| "php".to_owned())
}

/// PHP's own web server with the stand-in; killed when dropped.
struct PhpServer {
    child: Child,
    addr: SocketAddr,
}

impl PhpServer {
    fn start() -> PhpServer {
        let free = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let addr = free.local_addr().expect("a bound socket");
        drop(free);
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/push/application.php");
        let sessions = format!("session.save_path={}", env!("CARGO_TARGET_TMPDIR"));
        let child = Command::new(php())
            .args(["-d", &sessions, "-S", &addr.to_string()])
            .arg(script)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("PHP");
        let server = PhpServer { child, addr };
        eventually("PHP listens", || TcpStream::connect(addr).is_ok());
        server
    }

    fn ask(&self, target: &str, headers: &str) -> String {
        let mut stream = connect(self.addr);
        let head = format!("GET {target} HTTP/1.0\r\nHost: localhost\r\n{headers}\r\n");
        stream.write_all(head.as_bytes()).expect("PHP reads");
        let answer = read_to_end(&mut stream);
        assert_eq!(&answer[9..12], b"200", "{target}: {}", String::from_utf8_lossy(&answer));
        String::from_utf8(answer).expect("text")
    }

    /// Tells the application where to push to, as its configuration would.
    fn ask_with(&self, server: &Server, target: &str, cookie: &str) -> String {
        let push = format!("X-Push: http://{}\r\nX-Key: {BILLING}\r\n", server.admin);
        self.ask(target, &format!("{push}Cookie: {cookie}\r\n"))
    }
}

impl Drop for PhpServer {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
