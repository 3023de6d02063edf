//! Who may ask, and what the operator's tools read: health, numbers, description.

use crate::common::client::Event;
use crate::common::process::eventually;
use crate::server::{BILLING, JSON, Server, key};

const OPEN: [&str; 4] = ["/livez", "/readyz", "/metrics", "/openapi.json"];

#[test]
fn everything_but_health_needs_a_key_and_says_nothing_without() {
    let server = Server::start(&[]);
    let paths = [
        ("POST", "/v1/messages"),
        ("POST", "/v1/messages:batch"),
        ("GET", "/v1/users/alice"),
        ("DELETE", "/v1/users/alice/connections"),
        ("GET", "/v1/groups/g"),
        ("PUT", "/v1/groups/g/members/alice"),
        ("GET", "/v1/stats"),
        ("GET", "/nothing/here"),
    ];
    let wrong = [
        "X-Nothing: here".to_owned(),
        key("billing-0123456789abcdeF"),
        key(""),
        key(&BILLING[1..]),
        format!("Authorization: Basic {BILLING}"),
        format!("{}\r\n{}", key(BILLING), key(BILLING)),
    ];
    for (method, path) in paths {
        let first = server.ask(method, path, &[&wrong[0]], "");
        first.expect_failure(401, "unauthorized");
        assert_eq!(first.header("WWW-Authenticate"), Some("Bearer"));
        for wrong in &wrong {
            let answer = server.ask(method, path, &[wrong], "");
            assert_eq!((answer.status, &answer.body), (401, &first.body), "{wrong}");
        }
    }
    for path in OPEN {
        assert_eq!(server.ask("GET", path, &[], "").status, 200, "{path}");
    }
    let lower = key(BILLING).replace("Bearer", "bearer");
    assert_eq!(server.ask("GET", "/v1/stats", &[&lower], "").status, 200, "schemes have no case");
}

#[test]
fn pages_are_refused_whatever_they_know_and_names_from_elsewhere_need_a_key() {
    let server = Server::start(&[]);
    for origin in ["Origin: null", "Origin: http://localhost", "Origin: https://example.org"] {
        for path in OPEN {
            let answer = server.ask("GET", path, &[origin, &key(BILLING)], "");
            answer.expect_failure(403, "origin_refused");
        }
    }
    // As a page does whose own name was pointed to this machine.
    let ask = |path: &str, headers: &str| {
        let mut stream = crate::common::client::connect(server.admin);
        let head = format!("GET {path} HTTP/1.1\r\nHost: evil.example\r\nConnection: close\r\n");
        let bytes = format!("{head}{headers}\r\n");
        std::io::Write::write_all(&mut stream, bytes.as_bytes()).expect("a server that reads");
        let answer = crate::common::client::read_to_end(&mut stream);
        crate::common::client::status(&answer)
    };
    for path in OPEN {
        assert_eq!(ask(path, ""), Some(401), "{path}");
        assert_eq!(ask(path, &format!("{}\r\n", key(BILLING))), Some(200), "{path}");
    }
}

#[test]
fn another_method_is_told_which_there_are() {
    let server = Server::start(&[]);
    let table = [
        ("DELETE", "/v1/messages", "POST"),
        ("GET", "/v1/groups/g/members/alice", "PUT, DELETE"),
        ("POST", "/v1/users/alice", "GET, HEAD"),
        ("POST", "/livez", "GET, HEAD"),
    ];
    for (method, path, allow) in table {
        let answer = server.with_key(method, path, "");
        answer.expect_failure(405, "method_not_allowed");
        assert_eq!(answer.header("Allow"), Some(allow), "{method} {path}");
    }
    server.with_key("GET", "/v1/nothing", "").expect_failure(404, "unknown_path");
}

#[test]
fn a_server_that_shuts_down_lives_is_not_ready_and_sends_nothing() {
    let server = Server::start(&["--shutdown-timeout", "20s", "--close-timeout", "20s"]);
    let mut silent = server.user("alice").silent();
    let ask = |method: &str, path: &str, body: &str| {
        server.ask(method, path, &[&key(BILLING), JSON], body)
    };
    ask("GET", "/readyz", "").expect(200, r#"{"status":"ready"}"#);
    server.process.signal("TERM");
    assert!(matches!(silent.receive(), Event::Close(1001, _)));
    eventually("it is not ready", || ask("GET", "/readyz", "").status == 503);
    ask("GET", "/readyz", "").expect_failure(503, "stopping");
    ask("GET", "/livez", "").expect(200, r#"{"status":"live"}"#);
    let message = r#"{"receiver":"alice","content":1}"#;
    ask("POST", "/v1/messages", message).expect_failure(503, "stopping");
    drop(silent);
    let mut server = server;
    assert!(server.process.wait().success());
}

#[test]
fn keys_are_read_again_on_hup_and_a_broken_file_changes_nothing() {
    let server = Server::start(&["--log", "info"]);
    let old = key(BILLING);
    let new = key("a-new-key-0123456789");
    let stats = |key: &str| server.ask("GET", "/v1/stats", &[key], "").status;
    server.file("keys.json", r#"{"keys":[{"name":"billing","key":"short"}]}"#);
    server.process.signal("HUP");
    let says = |what: &str| eventually(what, || server.process.log().contains(what));
    says("keys[0]: `key` has to have 16 to 512 characters");
    assert_eq!((stats(&old), stats(&new)), (200, 401));
    server.file("keys.json", r#"{"keys":[{"name":"billing","key":"a-new-key-0123456789"}]}"#);
    server.process.signal("HUP");
    eventually("the new key is taken", || stats(&new) == 200);
    assert_eq!(stats(&old), 401);
    assert!(!server.process.log().contains("a-new-key"), "{}", server.process.log());
}

#[test]
fn the_numbers_are_those_of_what_happened() {
    let server = Server::start(&[]);
    let alice = server.user("alice");
    server.post(r#"{"receiver":"alice","content":1}"#);
    server.post(r#"{"receiver":"bob","content":1}"#);
    server.post("{}");
    let metrics = server.ask("GET", "/metrics", &[], "");
    let kind = metrics.header("Content-Type");
    assert_eq!(kind, Some("text/plain; version=0.0.4; charset=utf-8"));
    for line in [
        "switchboard_users 1",
        "switchboard_rooms 1",
        r#"switchboard_push_messages_total{to="user",result="sent"} 1"#,
        r#"switchboard_push_messages_total{to="user",result="absent"} 1"#,
        r#"switchboard_push_answers_total{path="/v1/messages",code="200"} 2"#,
        r#"switchboard_push_answers_total{path="/v1/messages",code="400"} 1"#,
        "switchboard_messages_received_total 1",
    ] {
        assert!(metrics.body.lines().any(|found| found == line), "{line}\n{}", metrics.body);
    }
    let stats = server.with_key("GET", "/v1/stats", "").json();
    assert_eq!(
        (&stats["users"], &stats["version"]),
        (&1.into(), &env!("CARGO_PKG_VERSION").into())
    );
    drop(alice);
    eventually("she is gone", || {
        let metrics = server.ask("GET", "/metrics", &[], "");
        metrics.body.lines().any(|line| line == "switchboard_users 0")
    });
}

#[test]
fn no_key_is_in_any_log() {
    let server = Server::start(&["--log", "trace"]);
    server.post(r#"{"receiver":"alice","content":"a private matter"}"#);
    server.ask("GET", "/v1/stats", &[&key("wrong-0123456789abcdef")], "");
    server.ask("GET", "/metrics", &[&key(BILLING), "Idempotency-Key: secret-too"], "");
    eventually("something is logged", || server.process.log().contains("accepted"));
    let log = server.process.log();
    for secret in [BILLING, "wrong-0123456789abcdef", "a private matter"] {
        assert!(!log.contains(secret), "{secret} in\n{log}");
    }
}
