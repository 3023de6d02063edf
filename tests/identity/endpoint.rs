//! The application's endpoint, where it does what it should.

use crate::application::{Application, Reply};
use crate::common::client::Event;
use crate::world::*;

const ORIGIN: &str = "Origin: https://app.example.org";
const LIST: [&str; 2] = ["--origin", "https://app.example.org"];

/// Knows the sessions of alice and bob, by cookie or by token.
fn sessions(head: &str) -> Reply {
    for name in ["alice", "bob"] {
        let cookie = format!("\r\nCookie: lang=en; PHPSESSID=s3cret-{name}\r\n");
        let token = format!("\r\nAuthorization: Bearer s3cret-{name}\r\n");
        if head.contains(&cookie) || head.contains(&token) {
            return Reply::http(200, &format!(r#"{{"user":"{name}","roles":["member"]}}"#));
        }
    }
    match head.contains("s3cret-banned") {
        true => Reply::http(403, "banned"),
        false => Reply::http(401, "{}"),
    }
}

fn world(application: &Application, args: &[&str]) -> World {
    World::start(&[], &application.auth(), &[&LIST, args].concat())
}

fn cookie(name: &str) -> String {
    format!("Cookie: lang=en; PHPSESSID=s3cret-{name}")
}

#[test]
fn a_session_cookie_is_its_user() {
    let application = Application::start(sessions);
    let world = world(&application, &[]);
    let lines = [ORIGIN, &cookie("alice"), "X-Forwarded-For: 192.0.2.7"];
    let opened = world.open("/chat?user=alice&x=s3cret-query", &lines);
    let mut alice = opened.unwrap_or_else(|status| panic!("{status:?}"));
    let opened = world.open("/chat", &[ORIGIN, &cookie("bob")]);
    let mut bob = opened.unwrap_or_else(|status| panic!("{status:?}"));
    bob.send_text(r#"{"receiver":"alice","content":"hi"}"#);
    let heard = r#"{"sender":"bob","content":"hi"}"#;
    assert_eq!(alice.receive(), Event::Text(heard.to_owned()));

    let heads = application.heads();
    let host = format!("Host: {}", application.addr.unwrap());
    let forwarded_host = format!("X-Forwarded-Host: {}", world.process.addr);
    assert!(heads[0].starts_with("GET /check?app=chat HTTP/1.1\r\n"), "{}", heads[0]);
    for line in [
        &host[..],
        "Connection: close",
        &cookie("alice"),
        ORIGIN,
        "X-Forwarded-Uri: /chat",
        &forwarded_host,
        "X-Forwarded-For: 192.0.2.7, 127.0.0.1",
    ] {
        assert!(heads[0].contains(&format!("\r\n{line}\r\n")), "{line}: {}", heads[0]);
    }
    assert!(!heads[0].contains("s3cret-query") && !heads[0].contains("Sec-WebSocket"));
    assert!(heads[1].contains("\r\nX-Forwarded-For: 127.0.0.1\r\n"), "{}", heads[1]);
}

#[test]
fn a_token_from_any_place_is_asked_about_as_bearer() {
    let application = Application::start(sessions);
    let world = world(&application, &[]);
    let query = ("/?token=s3cret-alice", vec![]);
    let header = ("/", vec![bearer("s3cret-alice")]);
    for (target, lines) in [query, header, ("/", vec![entry("s3cret-alice")])] {
        let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
        assert!(world.open(target, &lines).is_ok(), "{target} {lines:?}");
    }
    let mut client = world.open("/", &[]).unwrap_or_else(|status| panic!("{status:?}"));
    client.send_text(&auth("s3cret-alice"));
    assert_eq!(client.receive(), Event::Text(r#"{"type":"ok"}"#.to_owned()));
    // No page and no cookie: the session of a page does not count for a program.
    let mut client = world.open("/", &[&cookie("alice")]).unwrap_or_else(|_| panic!("refused"));
    client.send_text("hello");
    expect_rejection(&mut client, 401, "authentication_required");
}

#[test]
fn what_the_application_refuses_is_refused_with_its_status() {
    let application = Application::start(sessions);
    let world = world(&application, &[]);
    for (name, status, reason) in [("nobody", 401, "token_refused"), ("banned", 403, "forbidden")] {
        let answer = world.refusal("/", &[ORIGIN, &cookie(name)]);
        assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{answer}");
        assert!(answer.contains(&format!("\r\n\r\n{reason}: ")), "{answer}");
        let mut client = world.open("/", &[]).unwrap_or_else(|status| panic!("{status:?}"));
        client.send_text(&auth(&format!("s3cret-{name}")));
        expect_rejection(&mut client, status, reason);
    }
    assert_eq!(world.status("/?user=bob", &[ORIGIN, &cookie("alice")]), 403);
    assert_eq!(world.status("/", &["Origin: https://evil.example", &cookie("alice")]), 403);
    assert_eq!(application.heads().len(), 5, "of another page nobody asks");
}

#[test]
fn a_good_answer_is_kept_for_a_while_and_a_refusal_is_not() {
    let application = Application::start(sessions);
    let world = world(&application, &["--auth-cache-ttl", "1h"]);
    for _ in 0..3 {
        assert!(world.open("/", &[ORIGIN, &cookie("alice")]).is_ok());
    }
    assert_eq!(application.heads().len(), 1);
    // The application may say something else about another room.
    assert!(world.open("/other", &[ORIGIN, &cookie("alice")]).is_ok());
    assert_eq!(application.heads().len(), 2);
    for _ in 0..3 {
        assert_eq!(world.status("/", &[ORIGIN, &cookie("nobody")]), 401);
    }
    assert_eq!(application.heads().len(), 5);
}

#[test]
fn without_a_cache_every_handshake_is_asked_about() {
    let application = Application::start(sessions);
    let world = world(&application, &["--auth-cache-ttl", "0"]);
    for _ in 0..3 {
        assert!(world.open("/", &[ORIGIN, &cookie("alice")]).is_ok());
    }
    assert_eq!(application.heads().len(), 3);
}

#[test]
fn no_more_answers_are_kept_than_allowed() {
    let application = Application::start(sessions);
    let world = world(&application, &["--auth-cache-ttl", "1h", "--max-auth-cache", "1"]);
    let ask = |name: &str| assert!(world.open("/", &[ORIGIN, &cookie(name)]).is_ok());
    for (name, asked) in [("alice", 1), ("alice", 1), ("bob", 2), ("bob", 2), ("alice", 3)] {
        ask(name);
        assert_eq!(application.heads().len(), asked);
    }
}

#[test]
fn who_expires_is_closed() {
    // A session is named after its end.
    let answer = |head: &str| {
        let (_, rest) = head.split_once("PHPSESSID=s3cret-").expect("a session");
        let end = rest.lines().next().expect("a line");
        Reply::http(200, &format!(r#"{{"user":"alice","expires":{end},"groups":["staff"]}}"#))
    };
    let application = Application::start(answer);
    let world = world(&application, &[]);
    let (end, mut client) = in_time(|seconds| {
        let end = now() + seconds;
        let opened = world.open("/", &[ORIGIN, &cookie(&end.to_string())]);
        (now() < end).then(|| (end, opened.unwrap_or_else(|status| panic!("{status:?}"))))
    });
    assert_eq!(client.receive(), Event::Close(4401, "token_expired".to_owned()));
    assert!(now() >= end);
    let answer = world.refusal("/", &[ORIGIN, &cookie(&end.to_string())]);
    assert!(answer.starts_with("HTTP/1.1 401 ") && answer.contains("token_expired"), "{answer}");
}

#[test]
fn an_endpoint_may_be_at_a_unix_socket() {
    let name = format!("switchboard-identity-{}.sock", std::process::id());
    let path = std::env::temp_dir().join(name);
    let application = Application::start_at(&path, sessions);
    let auth = format!("http:unix:{}:/check", path.display());
    let world = World::start(&[], &auth, &LIST);
    assert!(world.open("/", &[ORIGIN, &cookie("alice")]).is_ok());
    assert!(application.heads()[0].starts_with("GET /check HTTP/1.1\r\nHost: localhost\r\n"));
    std::fs::remove_file(path).unwrap();
    // It is gone for whoever comes next.
    let other = cookie("bob");
    assert!(world.open("/", &[ORIGIN, &other]).is_err());
}
