//! Sending: who hears what, and what the backend is told.

use crate::common::client::Event;
use crate::server::{BILLING, JSON, PORTAL, Server, key, text};

#[test]
fn a_user_hears_exactly_sender_and_content_on_every_connection() {
    let server = Server::start(&[]);
    let (mut desk, mut phone) = (server.user("alice"), server.user("alice"));
    let mut eve = server.user("eve");
    let content = "{\"n\": 1.0e2,\"big\":9007199254740993,\"\\u0061\":[ ],\n\"n\":null}";
    let answer = server.post(&format!(r#"{{"receiver":"alice","content":{content}}}"#));
    answer.expect(200, r#"{"online":2}"#);
    assert_eq!(answer.header("Cache-Control"), Some("no-store"));
    let heard = text(&format!(r#"{{"sender":"billing","content":{content}}}"#));
    assert_eq!([desk.receive(), phone.receive()], [heard.clone(), heard]);
    server.post(r#"{"receiver":"eve","content":"last"}"#).expect(200, r#"{"online":1}"#);
    assert_eq!(eve.receive(), text(r#"{"sender":"billing","content":"last"}"#), "and not before");
}

#[test]
fn groups_and_rooms_hear_it_and_nobody_else() {
    let server = Server::start(&[]);
    let (mut member, mut bystander) = (server.client("/a%20b?user=m"), server.client("/?user=n"));
    member.send_text(r#"{"type":"join","group":"team \"1\""}"#);
    assert_eq!(member.receive(), text(r#"{"type":"ok","group":"team \"1\""}"#));
    server.post(r#"{"group":"team \"1\"","content":[1]}"#).expect(200, r#"{"online":1}"#);
    let heard = r#"{"sender":"billing","group":"team \"1\"","content":[1]}"#;
    assert_eq!(member.receive(), text(heard));
    server.post(r#"{"room":"/a%20b","content":2}"#).expect(200, r#"{"online":1}"#);
    assert_eq!(member.receive(), text(r#"{"sender":"billing","content":2}"#));
    server.post(r#"{"room":"/","content":3}"#).expect(200, r#"{"online":1}"#);
    assert_eq!(bystander.receive(), text(r#"{"sender":"billing","content":3}"#));
}

#[test]
fn nobody_online_is_an_answer_and_no_error() {
    let server = Server::start(&[]);
    for to in [r#""receiver":"nobody""#, r#""group":"none""#, r#""room":"/nowhere""#] {
        server.post(&format!(r#"{{{to},"content":1}}"#)).expect(200, r#"{"online":0}"#);
    }
    let nobody =
        r#"{"user":"nobody","online":0,"sessions":0,"plain":0,"groups":[],"record":false}"#;
    server.with_key("GET", "/v1/users/nobody", "").expect(200, nobody);
}

#[test]
fn only_a_key_that_may_speaks_for_others() {
    let server = Server::start(&[]);
    let mut alice = server.user("alice");
    let message = r#"{"receiver":"alice","content":1,"sender":"bob \\ co"}"#;
    server.post(message).expect_failure(403, "sender_refused");
    let own = r#"{"receiver":"alice","content":2,"sender":"billing"}"#;
    server.post(own).expect(200, r#"{"online":1}"#);
    let answer = server.ask("POST", "/v1/messages", &[&key(PORTAL), JSON], message);
    answer.expect(200, r#"{"online":1}"#);
    assert_eq!(alice.receive(), text(r#"{"sender":"billing","content":2}"#));
    assert_eq!(alice.receive(), text(r#"{"sender":"bob \\ co","content":1}"#));
}

#[test]
fn what_is_no_message_is_refused_with_its_reason() {
    let server = Server::start(&["--max-message", "1k"]);
    let long = format!(r#"{{"receiver":"a","content":"{}"}}"#, "x".repeat(1_023));
    let deep = format!(r#"{{"receiver":"a","content":{}{}}}"#, "[".repeat(128), "]".repeat(128));
    let table = [
        ("", 400, "invalid_json"),
        ("receiver=a&content=1", 400, "invalid_json"),
        (r#"["a"]"#, 400, "invalid_json"),
        (r#"{"content":1}"#, 400, "destination"),
        (r#"{"receiver":"a"}"#, 400, "content_missing"),
        (r#"{"receiver":"","content":1}"#, 400, "invalid_name"),
        (r#"{"receiver":"\u202e","content":1}"#, 400, "invalid_name"),
        (r#"{"room":"chat","content":1}"#, 400, "invalid_room"),
        (r#"{"receiver":"a","content":1,"receiver":"b"}"#, 400, "repeated_key"),
        (r#"{"receiver":"a","contents":1}"#, 400, "unknown_key"),
        (&deep, 400, "nesting_too_deep"),
        (&long, 413, "content_too_long"),
    ];
    for (body, status, reason) in table {
        server.post(body).expect_failure(status, reason);
    }
    let kinds = ["", "Content-Type: text/plain", "Content-Type: application/x-www-form-urlencoded"];
    for kind in kinds {
        let headers = [&*key(BILLING), kind];
        let headers = if kind.is_empty() { &headers[..1] } else { &headers[..] };
        let answer = server.ask("POST", "/v1/messages", headers, r#"{"room":"/","content":1}"#);
        answer.expect_failure(415, "not_json");
    }
    let with_charset = "Content-Type: Application/JSON; charset=utf-8";
    let headers = [&*key(BILLING), with_charset];
    server
        .ask("POST", "/v1/messages", &headers, r#"{"room":"/","content":1}"#)
        .expect(200, r#"{"online":0}"#);
}

#[test]
fn a_batch_is_sent_in_order_and_has_a_result_for_each() {
    let server = Server::start(&["--max-batch", "4"]);
    let mut alice = server.user("alice");
    let batch = r#"{"messages":[{"receiver":"alice","content":1},{"receiver":"bob","content":2},
        {"receiver":"alice"},{"content":3,"receiver":"alice"}]}"#;
    let answer = server.with_key("POST", "/v1/messages:batch", batch);
    let json = answer.json();
    let results = json["results"].as_array().expect("results");
    assert_eq!((answer.status, results.len()), (200, 4));
    assert_eq!(results[0], serde_json::json!({"online": 1}));
    assert_eq!(results[1], serde_json::json!({"online": 0}));
    assert_eq!(results[2]["error"]["reason"], "content_missing");
    assert_eq!(results[3], serde_json::json!({"online": 1}));
    for content in [1, 3] {
        let heard = format!(r#"{{"sender":"billing","content":{content}}}"#);
        assert_eq!(alice.receive(), text(&heard));
    }
    let none = server.with_key("POST", "/v1/messages:batch", r#"{"messages":[]}"#);
    none.expect(200, r#"{"results":[]}"#);
    let five = format!(r#"{{"messages":[{}]}}"#, ["{}"; 5].join(","));
    server.with_key("POST", "/v1/messages:batch", &five).expect_failure(413, "too_many_messages");
    server.with_key("POST", "/v1/messages:batch", "[]").expect_failure(400, "invalid_json");
}

#[test]
fn who_is_kicked_is_closed_with_4403_on_every_connection() {
    let server = Server::start(&[]);
    let (mut desk, mut phone) = (server.user("a%2Fb"), server.user("a%2Fb"));
    let mut bob = server.user("bob");
    let here = r#"{"user":"a/b","online":2,"sessions":0,"plain":2,"groups":[],"record":false}"#;
    server.with_key("GET", "/v1/users/a%2Fb", "").expect(200, here);
    server.post(r#"{"receiver":"a/b","content":"bye"}"#).expect(200, r#"{"online":2}"#);
    server.with_key("DELETE", "/v1/users/a%2Fb/connections", "").expect(200, r#"{"closed":2}"#);
    for client in [&mut desk, &mut phone] {
        assert_eq!(client.receive(), text(r#"{"sender":"billing","content":"bye"}"#));
        assert_eq!(client.receive(), Event::Close(4403, "kicked".to_owned()));
        client.expect_end();
    }
    server.with_key("DELETE", "/v1/users/a%2Fb/connections", "").expect(200, r#"{"closed":0}"#);
    bob.send_text(r#"{"type":"ping"}"#);
    assert_eq!(bob.receive(), text(r#"{"type":"pong"}"#), "nobody else is");
}

#[test]
fn a_receiver_who_does_not_read_is_503_and_told_nothing_happened() {
    let server = Server::start(&["--outbox-high", "64k", "--outbox-low", "1k"]);
    let mut slow = server.user("slow").silent();
    let message = format!(r#"{{"receiver":"slow","content":"{}"}}"#, "x".repeat(60_000));
    // What the kernel takes comes on top of the outbox, and differs.
    let mut taken = 0;
    let refused = loop {
        let answer = server.post(&message);
        if answer.status != 200 {
            break answer;
        }
        taken += 1;
        assert!(taken < 10_000, "it is taken without an end");
    };
    refused.expect_failure(503, "receiver_congested");
    assert_eq!(refused.header("Retry-After"), Some("1"));
    for _ in 0..taken {
        assert!(matches!(slow.receive(), Event::Text(text) if text.len() > 60_000));
    }
    server.post(r#"{"receiver":"slow","content":1}"#).expect(200, r#"{"online":1}"#);
    assert_eq!(slow.receive(), text(r#"{"sender":"billing","content":1}"#), "no gap: it was told");
}

#[test]
fn who_has_no_room_among_others_misses_it_and_is_told() {
    let server = Server::start(&["--outbox-high", "64k", "--outbox-low", "1k"]);
    let mut slow = server.user("alice").silent();
    let mut quick = server.user("alice");
    let message = format!(r#"{{"receiver":"alice","content":"{}"}}"#, "x".repeat(60_000));
    let is_large = |event: Event| matches!(event, Event::Text(text) if text.len() > 60_000);
    let mut taken = 0;
    loop {
        let answer = server.post(&message);
        assert!(is_large(quick.receive()));
        if answer.body != r#"{"online":2}"# {
            answer.expect(200, r#"{"online":1,"missed":1}"#);
            break;
        }
        taken += 1;
        assert!(taken < 10_000, "it is taken without an end");
    }
    for _ in 0..taken {
        assert!(is_large(slow.receive()));
    }
    assert_eq!(slow.receive(), text(r#"{"type":"gap","dropped":1}"#));
}
