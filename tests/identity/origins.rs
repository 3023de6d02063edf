//! Which pages may come, in each mode.

use std::process::Command;

use crate::common::client::{connect, handshake, read_to_end};
use crate::common::process::{BINARY, Process, clean};
use crate::world::*;
use std::io::Write;

const PAGES: [&str; 6] = [
    "https://app.example.org",
    "https://a.example.net",
    "https://evil.example",
    "http://localhost:3000",
    "null",
    "file://",
];

/// Which of the pages may come with a good token.
fn coming(world: &World) -> Vec<&'static str> {
    let may = |page: &&str| {
        let opened = world.open("/", &[&format!("Origin: {page}"), &bearer(ALICE)]);
        match opened {
            Ok(_) => true,
            Err(Some(403)) => false,
            Err(status) => panic!("{page}: {status:?}"),
        }
    };
    PAGES.into_iter().filter(may).collect()
}

#[test]
fn with_tokens_every_page_may_come() {
    assert_eq!(coming(&World::tokens(&[])), PAGES);
}

#[test]
fn with_a_list_those_on_it_may_come() {
    let args = ["--origin", "https://app.example.org", "--origin", "https://*.example.net"];
    let world = World::tokens(&args);
    assert_eq!(coming(&world), PAGES[..2]);
    assert!(world.open("/", &[&bearer(ALICE)]).is_ok(), "a program has no Origin");
    let answer = world.refusal("/", &["Origin: https://evil.example", &bearer(ALICE)]);
    assert!(answer.contains("forbidden: pages of this origin may not come"), "{answer}");
    // The Origin is looked at first: nobody learns there whether a token is good.
    assert_eq!(world.status("/", &["Origin: null", &bearer("s3cret-wrong")]), 403);
    // Two of them are none.
    let twice = ["Origin: https://app.example.org", "Origin: https://app.example.org"];
    assert_eq!(world.status("/", &twice), 400);
}

#[test]
fn the_host_must_be_this_machine_with_tokens_too() {
    let world = World::tokens(&[]);
    let mut request = handshake(world.process.addr, "/");
    let text = String::from_utf8(request).unwrap();
    let host = format!("Host: {}", world.process.addr);
    let line = format!("Host: evil.example\r\n{}", bearer(ALICE));
    request = text.replace(&host, &line).into_bytes();
    let mut stream = connect(world.process.addr);
    stream.write_all(&request).unwrap();
    let answer = String::from_utf8(read_to_end(&mut stream)).unwrap();
    assert!(answer.starts_with("HTTP/1.1 403 "), "{answer}");
}

#[test]
fn without_authentication_a_list_replaces_the_rule_of_loopback() {
    let mut command = clean(Command::new(BINARY));
    command.args(["serve", "--listen", "127.0.0.1:0", "--log", "info"]);
    command.args(["--origin", "https://app.example.org"]);
    let process = Process::start(command);
    let status = |origin: &str| {
        let mut request = handshake(process.addr, "/");
        request.truncate(request.len() - 2);
        request.extend_from_slice(format!("Origin: {origin}\r\n\r\n").as_bytes());
        let mut stream = connect(process.addr);
        stream.write_all(&request).unwrap();
        let mut bytes = [0; 12];
        std::io::Read::read_exact(&mut stream, &mut bytes).unwrap();
        crate::common::client::status(&[&bytes[..], b" "].concat())
    };
    assert_eq!(status("https://app.example.org"), Some(101));
    assert_eq!(status("http://localhost:3000"), Some(403));
    assert_eq!(status("null"), Some(403));
}

#[test]
fn what_cannot_be_a_list_is_refused_at_start() {
    for (args, wanted) in [
        (&["--origin", "app.example.org"][..], "the scheme is missing"),
        (&["--origin", "*"], "a list of everything is no list"),
        (&["--origin", "null"], "every sandboxed frame"),
    ] {
        let mut command = clean(Command::new(BINARY));
        let output =
            command.args(["serve", "--listen", "127.0.0.1:0"]).args(args).output().unwrap();
        let text = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(2), "{args:?}: {text}");
        assert!(text.contains(wanted), "{args:?}: {text}");
    }
}
