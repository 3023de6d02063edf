//! Groups, by the API: members who are there, members who are not, and ten thousand of them.

use std::io::Write;

use serde_json::json;

use crate::common::client::{Client, connect};
use crate::common::process::eventually;
use crate::server::{Answer, BILLING, Server, key, request, text};

#[test]
fn a_membership_is_granted_and_ended_by_the_backend() {
    let server = Server::start(&[]);
    let mut alice = server.user("alice");
    let member = "/v1/groups/team%201/members/alice";
    for _ in 0..2 {
        server
            .with_key("PUT", member, "")
            .expect(200, r#"{"group":"team 1","user":"alice","member":true}"#);
    }
    let about = server.with_key("GET", "/v1/users/alice", "").json();
    assert_eq!((&about["groups"], &about["record"]), (&json!(["team 1"]), &json!(true)));
    server.post(r#"{"group":"team 1","content":1}"#).expect(200, r#"{"seq":2,"online":1}"#);
    assert_eq!(alice.receive(), text(r#"{"sender":"billing","group":"team 1","content":1}"#));
    for _ in 0..2 {
        server
            .with_key("DELETE", member, "")
            .expect(200, r#"{"group":"team 1","user":"alice","member":false}"#);
    }
    server.post(r#"{"group":"team 1","content":2}"#).expect(200, r#"{"online":0}"#);
}

#[test]
fn a_membership_waits_for_a_user_who_is_not_there() {
    let server = Server::start(&[]);
    let granted = server.with_key("PUT", "/v1/groups/team/members/alice", "");
    granted.expect(200, r#"{"group":"team","user":"alice","member":true}"#);
    server.post(r#"{"group":"team","content":1}"#).expect(202, r#"{"seq":2,"online":0}"#);
    let mut alice = server.user("alice");
    server.post(r#"{"group":"team","content":2}"#).expect(200, r#"{"seq":3,"online":1}"#);
    assert_eq!(alice.receive(), text(r#"{"sender":"billing","group":"team","content":2}"#));
    alice.send_close(1000);
    alice.expect_close(1000);
    let mut alice = server.user("alice");
    server.post(r#"{"group":"team","content":3}"#).expect(200, r#"{"seq":4,"online":1}"#);
    assert_eq!(alice.receive(), text(r#"{"sender":"billing","group":"team","content":3}"#));
}

/// As many as the machine has descriptors for, on both sides.
#[test]
fn ten_thousand_members_are_listed_in_pages_and_sent_to_at_once() {
    let descriptors = rlimit::increase_nofile_limit(u64::MAX).expect("a limit that can be raised");
    // Who comes first waits for the last without a word, which may take longer than the interval.
    let server = Server::start(&["--ping-interval", "0"]);
    let own = usize::try_from(descriptors).unwrap_or(usize::MAX).saturating_sub(200);
    let count = 10_000.min(own).min(server.process.connections_max - 10);
    // Memberships are granted before anybody is there, a hundred requests at a time.
    let (mut stream, mut buffer) = (connect(server.admin), Vec::new());
    let names: Vec<String> = (0..count).map(|n| format!("u{n:05}")).collect();
    for chunk in names.chunks(100) {
        let put = |name: &String| {
            let path = format!("/v1/groups/crowd/members/{name}");
            request("PUT", &path, &[&key(BILLING)], "")
        };
        let requests: Vec<u8> = chunk.iter().flat_map(put).collect();
        stream.write_all(&requests).expect("a server that reads");
        for _ in chunk {
            let answer = Answer::read(&mut stream, &mut buffer);
            assert_eq!(answer.status, 200, "{answer:?}");
        }
    }
    server
        .with_key("GET", "/v1/groups/crowd", "")
        .expect(200, r#"{"group":"crowd","count":0,"members":[]}"#);
    let open = |name: &String| {
        let target = format!("/?user={name}");
        Client::try_connect(server.process.addr, &target).expect("a place")
    };
    let mut clients: Vec<Client> = names.iter().map(open).collect();
    let first = server.with_key("GET", "/v1/groups/crowd", "").json();
    assert_eq!((&first["count"], &first["next"]), (&json!(count), &json!("u00099")));
    assert_eq!(first["members"].as_array().map(Vec::len), Some(100));
    assert_eq!(pages(&server), names);
    let sent = server.post(r#"{"group":"crowd","content":1}"#);
    assert_eq!((sent.status, &sent.json()["online"]), (200, &json!(count)));
    for client in &mut clients {
        let heard = r#"{"sender":"billing","group":"crowd","content":1}"#;
        assert_eq!(client.receive(), text(heard));
    }
    // All of them vanish at once.
    drop(clients);
    eventually("they are gone", || {
        let answer = server.post(r#"{"group":"crowd","content":2}"#);
        answer.status == 202 && answer.json()["online"] == 0
    });
}

/// All members of the group "crowd", a thousand at a time.
fn pages(server: &Server) -> Vec<String> {
    let (mut listed, mut after) = (Vec::new(), String::new());
    loop {
        let path = format!("/v1/groups/crowd?limit=1000{after}");
        let page = server.with_key("GET", &path, "").json();
        let members = page["members"].as_array().expect("members");
        listed.extend(members.iter().map(|name| name.as_str().expect("a name").to_owned()));
        match page["next"].as_str() {
            Some(next) => after = format!("&after={next}"),
            None => return listed,
        }
    }
}

#[test]
fn pages_are_asked_for_in_numbers_and_names() {
    let server = Server::start(&[]);
    let none = server.with_key("GET", "/v1/groups/none?limit=1&after=x", "");
    none.expect(200, r#"{"group":"none","count":0,"members":[]}"#);
    for query in ["limit=0", "limit=1001", "limit=+1", "limit=", "limit=1&limit=1", "limit=%"] {
        let path = format!("/v1/groups/none?{query}");
        server.with_key("GET", &path, "").expect_failure(400, "invalid_query");
    }
    server.with_key("GET", "/v1/groups/none?after=*", "").expect_failure(400, "invalid_name");
    for path in ["/v1/groups/*", "/v1/users/%00", "/v1/groups/g/members/%20"] {
        let method = if path.contains("members") { "PUT" } else { "GET" };
        server.with_key(method, path, "").expect_failure(400, "invalid_name");
    }
    server.with_key("GET", "/v1/users/%GG", "").expect_failure(400, "invalid_escape");
}
