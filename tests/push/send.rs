//! `switchboard send`: what it prints, and how it ends.

use std::process::{Command, Output};

use crate::common::process::{BINARY, clean};
use crate::server::{BILLING, PORTAL, Server, text};

fn send(server: &Server, key: &str, args: &[&str]) -> Output {
    let url = format!("http://{}", server.admin);
    let mut command = clean(Command::new(BINARY));
    command.args(["send", "--url", &url]).args(args).env("SWITCHBOARD_ADMIN_KEY", key);
    command.output().expect("the binary is built")
}

#[track_caller]
fn expect(output: &Output, code: i32, out: &str, err: &str) {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    assert_eq!(
        (output.status.code(), text(&output.stdout), text(&output.stderr)),
        (Some(code), out.to_owned(), err.to_owned())
    );
}

#[test]
fn it_says_to_how_many_it_was_sent_or_that_nobody_is_there() {
    let server = Server::start(&[]);
    let (mut alice, mut phone) = (server.user("alice"), server.user("alice"));
    let one = send(&server, BILLING, &["--to", "alice", "it's \"done\""]);
    expect(&one, 0, "sent to 2 connections\n", "");
    let heard = text(r#"{"sender":"billing","content":"it's \"done\""}"#);
    assert_eq!([alice.receive(), phone.receive()], [heard.clone(), heard]);
    let json = ["--room", "/", "--json", r#"{"n":1.50}"#, "--sender", "bob"];
    expect(&send(&server, PORTAL, &json), 0, "sent to 2 connections\n", "");
    assert_eq!(alice.receive(), text(r#"{"sender":"bob","content":{"n":1.50}}"#));
    let absent = send(&server, BILLING, &["--to", "bob", "hi"]);
    expect(&absent, 3, "", "nobody there: bob is not online, and the message is not kept\n");
    let absent = send(&server, BILLING, &["--group", "g", "-hi"]);
    let wanted = "nobody there: nobody of the group g is online, and the message is not kept\n";
    expect(&absent, 3, "", wanted);
}

#[test]
fn what_is_refused_is_said_with_its_reason() {
    let server = Server::start(&[]);
    let url = format!("http://{}", server.admin);
    let refused = send(&server, BILLING, &["--to", "a", "hi", "--sender", "bob"]);
    let wanted = format!(
        "error: {url}: refused with 403 sender_refused: this key may not impersonate: leave \
         `sender` away\n"
    );
    expect(&refused, 1, "", &wanted);
    let refused = send(&server, "not-the-key-at-all", &["--to", "a", "hi"]);
    let wanted = format!(
        "error: {url}: refused with 401 unauthorized: this needs Authorization: Bearer and a key \
         of the keys file\n"
    );
    expect(&refused, 1, "", &wanted);
    let public = format!("http://{}", server.process.addr);
    let mistaken = send(&server, BILLING, &["--to", "a", "hi", "--url", &public]);
    assert_eq!(mistaken.status.code(), Some(2), "a flag twice: {mistaken:?}");
}

#[test]
fn the_key_comes_from_a_file_and_never_from_the_command_line() {
    let server = Server::start(&[]);
    let mut alice = server.user("alice");
    let file = server.file("billing.key", &format!("{BILLING}\n"));
    let with_file =
        send(&server, "another-key-of-16", &["--key-file", &file, "--to", "alice", "1"]);
    expect(&with_file, 0, "sent to 1 connection\n", "");
    assert_eq!(alice.receive(), text(r#"{"sender":"billing","content":"1"}"#));
    let missing = send(&server, BILLING, &["--key-file", "/nowhere/key", "--to", "alice", "1"]);
    assert_eq!(missing.status.code(), Some(2));
    let two_lines = server.file("two.key", "one\nand another");
    let broken = send(&server, BILLING, &["--key-file", &two_lines, "--to", "alice", "1"]);
    assert_eq!(broken.status.code(), Some(2));
    assert!(!String::from_utf8_lossy(&broken.stderr).contains("another"), "{broken:?}");
}

#[test]
fn mistakes_are_found_before_anything_is_sent() {
    let server = Server::start(&[]);
    for args in [
        &["hi"][..],
        &["--to", "a"],
        &["--to", "a", "--group", "g", "hi"],
        &["--to", "a", "--json", "{1}"],
        &["--to", "a", "hi", "--url", "https://127.0.0.1:1"],
    ] {
        let mut command = clean(Command::new(BINARY));
        command.arg("send").args(args).env("SWITCHBOARD_ADMIN_KEY", BILLING);
        let output = command.output().expect("the binary is built");
        assert_eq!(output.status.code(), Some(2), "{args:?}: {output:?}");
    }
    drop(server);
    let nobody = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
    let url = format!("http://{}", nobody.local_addr().expect("a bound socket"));
    drop(nobody);
    let mut command = clean(Command::new(BINARY));
    let output = command.args(["send", "--to", "a", "hi", "--url", &url]).output();
    let output = output.expect("the binary is built");
    assert_eq!(output.status.code(), Some(1));
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(said.starts_with(&format!("error: {url}: cannot connect: ")), "{said}");
}

#[test]
fn over_a_unix_socket_health_needs_no_key_and_everything_else_does() {
    let place = Server::start(&[]);
    let socket = place.file("admin.sock", "");
    std::fs::remove_file(&socket).expect("our own file");
    let url = format!("unix:{socket}");
    let server = Server::start(&["--admin", &url]);
    let mut alice = server.user("alice");
    let send = |key: Option<&str>| {
        let mut command = clean(Command::new(BINARY));
        command.args(["send", "--url", &url, "--to", "alice", "hi"]);
        command.envs(key.map(|key| ("SWITCHBOARD_ADMIN_KEY", key)));
        command.output().expect("the binary is built")
    };
    expect(&send(Some(BILLING)), 0, "sent to 1 connection\n", "");
    assert_eq!(alice.receive(), text(r#"{"sender":"billing","content":"hi"}"#));
    assert_eq!(send(None).status.code(), Some(1));
    let mut stream = std::os::unix::net::UnixStream::connect(&socket).expect("a listener");
    let request = b"GET /readyz HTTP/1.1\r\nHost: anything.example\r\nConnection: close\r\n\r\n";
    std::io::Write::write_all(&mut stream, request).expect("a server that reads");
    let answer = std::io::read_to_string(stream).expect("an answer");
    assert!(answer.ends_with(r#"{"status":"ready"}"#), "{answer}");
}
