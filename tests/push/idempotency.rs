//! Requests that come twice, and large batches while they are worked off.

use std::io::Write;

use crate::common::client::connect;
use crate::common::process::eventually;
use crate::server::{Answer, BILLING, JSON, PORTAL, Server, key, request, text};

const ALICE: &str = r#"{"receiver":"alice","content":1}"#;

fn post(server: &Server, caller: &str, id: &str, body: &str) -> Answer {
    let id = format!("Idempotency-Key: {id}");
    server.ask("POST", "/v1/messages", &[&key(caller), JSON, &id], body)
}

#[test]
fn a_repeated_request_is_sent_once_and_answered_twice() {
    let server = Server::start(&[]);
    let mut alice = server.user("alice");
    let first = post(&server, BILLING, "7f3a", ALICE);
    first.expect(200, r#"{"online":1}"#);
    assert_eq!(first.header("Idempotent-Replayed"), None);
    let phone = server.user("alice");
    let again = post(&server, BILLING, "7f3a", ALICE);
    again.expect(200, r#"{"online":1}"#);
    assert_eq!(again.header("Idempotent-Replayed"), Some("true"));
    let other = r#"{"receiver":"alice","content":2}"#;
    post(&server, BILLING, "7f3a", other).expect_failure(422, "idempotency_reused");
    // Somebody else's key of the same name, and another path, are other keys.
    post(&server, PORTAL, "7f3a", other).expect(200, r#"{"online":2}"#);
    let batch = r#"{"messages":[{"receiver":"alice","content":3}]}"#;
    let headers = [&*key(BILLING), JSON, "Idempotency-Key: 7f3a"];
    for replayed in [None, Some("true")] {
        let answer = server.ask("POST", "/v1/messages:batch", &headers, batch);
        answer.expect(200, r#"{"results":[{"online":2}]}"#);
        assert_eq!(answer.header("Idempotent-Replayed"), replayed);
    }
    for heard in [
        r#"{"sender":"billing","content":1}"#,
        r#"{"sender":"portal","content":2}"#,
        r#"{"sender":"billing","content":3}"#,
    ] {
        assert_eq!(alice.receive(), text(heard));
    }
    drop(phone);
}

#[test]
fn a_request_that_failed_may_come_again_corrected() {
    let server = Server::start(&[]);
    let mut alice = server.user("alice");
    post(&server, BILLING, "a", r#"{"receiver":"alice"}"#).expect_failure(400, "content_missing");
    post(&server, BILLING, "a", ALICE).expect(200, r#"{"online":1}"#);
    post(&server, BILLING, "a", ALICE).expect(200, r#"{"online":1}"#);
    server.post(r#"{"receiver":"alice","content":"last"}"#).expect(200, r#"{"online":1}"#);
    assert_eq!(alice.receive(), text(r#"{"sender":"billing","content":1}"#));
    assert_eq!(alice.receive(), text(r#"{"sender":"billing","content":"last"}"#), "once");
}

#[test]
fn a_key_is_known_again_for_its_time_and_no_longer() {
    let server = Server::start(&["--idempotency-ttl", "50ms"]);
    post(&server, BILLING, "a", ALICE).expect(200, r#"{"online":0}"#);
    let other = r#"{"receiver":"alice","content":2}"#;
    eventually("the key is forgotten", || post(&server, BILLING, "a", other).status == 200);
}

#[test]
fn a_full_table_refuses_new_keys_keeps_the_old_ones_and_lets_the_others_pass() {
    let server = Server::start(&["--idempotency-table", "4k"]);
    let mut kept = 0;
    let refused = loop {
        let answer = post(&server, BILLING, &format!("k{kept}"), ALICE);
        if answer.status != 200 {
            break answer;
        }
        kept += 1;
        assert!(kept < 100, "it is never full");
    };
    refused.expect_failure(503, "idempotency_full");
    assert!(kept >= 8, "{kept} keys in 4 KiB");
    for n in 0..kept {
        let again = post(&server, BILLING, &format!("k{n}"), ALICE);
        assert_eq!(again.header("Idempotent-Replayed"), Some("true"), "k{n}");
    }
    server.post(ALICE).expect(200, r#"{"online":0}"#);
}

#[test]
fn a_key_has_1_to_128_visible_characters() {
    let server = Server::start(&[]);
    post(&server, BILLING, &"k".repeat(128), ALICE).expect(200, r#"{"online":0}"#);
    for id in ["", "a b", "\u{e9}", &"k".repeat(129)] {
        let answer = post(&server, BILLING, id, ALICE);
        answer.expect_failure(400, "invalid_idempotency_key");
    }
    let twice = [&*key(BILLING), JSON, "Idempotency-Key: a", "Idempotency-Key: a"];
    let answer = server.ask("POST", "/v1/messages", &twice, ALICE);
    answer.expect_failure(400, "invalid_idempotency_key");
}

/// A thousand messages to a group take many turns; meanwhile others are served.
#[test]
fn a_large_batch_is_worked_off_in_turns_and_answered_at_its_end() {
    let server = Server::start(&["--send-budget", "100"]);
    let mut members: Vec<_> = (0..20).map(|n| server.user(&format!("m{n}"))).collect();
    for n in 0..20 {
        server.with_key("PUT", &format!("/v1/groups/g/members/m{n}"), "");
    }
    let one = r#"{"group":"g","content":1}"#;
    let batch = format!(r#"{{"messages":[{}]}}"#, vec![one; 1_000].join(","));
    let headers = [&*key(BILLING), JSON, "Idempotency-Key: large"];
    let bytes = request("POST", "/v1/messages:batch", &headers, &batch);
    let mut stream = connect(server.admin);
    stream.write_all(&bytes).expect("a server that reads");
    // It goes on while somebody else is answered, and is not begun twice.
    eventually("the batch is under way", || {
        let again = server.ask("POST", "/v1/messages:batch", &headers, &batch);
        if again.status == 409 {
            again.expect_failure(409, "idempotency_running");
        }
        again.status == 409
    });
    server.ask("GET", "/livez", &[], "").expect(200, r#"{"status":"live"}"#);
    let mut buffer = Vec::new();
    let answer = Answer::read(&mut stream, &mut buffer);
    let json = answer.json();
    let results = json["results"].as_array().expect("results");
    assert!(results.len() == 1_000 && results.iter().all(|result| result["online"] == 20));
    for member in &mut members {
        for _ in 0..1_000 {
            let heard = r#"{"sender":"billing","group":"g","content":1}"#;
            assert_eq!(member.receive(), text(heard));
        }
    }
    let again = server.ask("POST", "/v1/messages:batch", &headers, &batch);
    assert_eq!(again.header("Idempotent-Replayed"), Some("true"));
    assert_eq!(again.body, answer.body);
}
