//! "The dialect and its promise", as far as it is settled before a connection opens, and
//! "HTTP on the same port".

use super::*;
use crate::world::{Answer, World};
use switchboard::config::Reach;
use switchboard::relay::Counts;

// The dialect and its promise

#[test]
fn plain_is_spoken_without_an_offer_and_echoed_when_offered() {
    let world = World::new();
    assert_eq!(world.upgrade("/", &[]).unwrap().protocol, None);
    for offer in
        ["switchboard.plain", "switchboard.v9, switchboard.plain", "bearer.eA, switchboard.plain"]
    {
        let peer = world.upgrade("/", &[("Sec-WebSocket-Protocol", offer)]).unwrap();
        assert_eq!(peer.protocol.as_deref(), Some("switchboard.plain"), "{offer}");
    }
}

#[test]
fn plain_offers_without_a_known_name_are_answered_400_naming_the_known() {
    let world = World::new();
    for offer in ["switchboard.v2", "chat", "Switchboard.Plain", "bearer.eA"] {
        let Answer { status, body, .. } =
            world.upgrade("/", &[("Sec-WebSocket-Protocol", offer)]).err().unwrap();
        assert_eq!(status, 400, "{offer}");
        assert!(body.contains("switchboard.plain"), "{offer}: {body}");
    }
    assert_eq!(world.counts(), Counts { users: 0, groups: 0, rooms: 0, kept: 0, hearing: 0 });
}

#[test]
fn plain_a_client_may_send_at_once_with_no_registration() {
    let world = World::new();
    let (alice, guest) = (world.connect("/", Some("alice")), world.connect("/", None));
    guest.say(&to("alice", "\"hi\""));
    assert_eq!(alice.heard(), [from("2", "\"hi\"")]);
}

// HTTP on the same port

#[test]
fn plain_page_is_served_at_the_root() {
    let world = World::new();
    for method in ["GET", "HEAD"] {
        let answer = world.request(method, "/?lang=zh", &[]);
        assert_eq!(answer.status, 200);
        assert!(answer.head.contains("text/html; charset=utf-8"), "{}", answer.head);
        assert!(answer.head.contains("Content-Security-Policy: default-src 'none'"));
    }
    let icon = world.request("GET", "/favicon.ico", &[]);
    assert_eq!(icon.status, 200);
    assert!(icon.head.contains("image/svg+xml"));
}

#[test]
fn the_client_is_served_to_pages_of_every_origin() {
    let world = World::new();
    let answer = world.request("GET", "/switchboard.js", &[]);
    assert_eq!(answer.status, 200);
    for line in [
        "Content-Type: text/javascript; charset=utf-8\r\n",
        "X-Content-Type-Options: nosniff\r\n",
        "Access-Control-Allow-Origin: *\r\n",
        "Cache-Control: no-cache",
    ] {
        assert!(answer.head.contains(line), "{line}: {}", answer.head);
    }
    assert!(answer.body.contains("export function connect("));
    let page = world.request("GET", "/", &[]);
    assert!(page.head.contains("script-src 'self' 'unsafe-inline';"), "{}", page.head);
}

#[test]
fn plain_other_paths_and_methods_are_refused_helpfully() {
    let world = World::new();
    let answer = world.request("GET", "/chat", &[]);
    assert_eq!(answer.status, 404);
    assert!(answer.body.contains("/ is the chat page"), "{}", answer.body);
    for method in ["POST", "PUT", "DELETE", "OPTIONS", "BREW"] {
        let answer = world.request(method, "/", &[]);
        assert_eq!(answer.status, 405, "{method}");
        assert!(answer.head.contains("Allow: GET, HEAD"), "{}", answer.head);
    }
}

#[test]
fn plain_on_loopback_the_host_must_be_a_loopback_name() {
    let world = World::new();
    for host in ["evil.example", "evil.example:8080", "192.168.1.7:8080", "localhost.evil.example"]
    {
        assert_eq!(world.request("GET", "/", &[("Host", host)]).status, 403, "{host}");
        assert_eq!(world.upgrade("/", &[("Host", host)]).err().unwrap().status, 403, "{host}");
    }
    for host in ["localhost", "localhost:8080", "127.0.0.1:8080", "[::1]:8080"] {
        assert_eq!(world.request("GET", "/", &[("Host", host)]).status, 200, "{host}");
        assert!(world.upgrade("/", &[("Host", host)]).is_ok(), "{host}");
    }
}

#[test]
fn plain_on_loopback_the_origin_must_be_of_this_machine() {
    let world = World::new();
    for origin in
        ["http://evil.example", "https://localhost.evil.example", "http://192.168.1.7:8080"]
    {
        let answer = world.upgrade("/", &[("Origin", origin)]).err().unwrap();
        assert_eq!(answer.status, 403, "{origin}");
    }
    for origin in
        ["http://localhost:3000", "https://127.0.0.1", "http://[::1]:5173", "null", "file://"]
    {
        assert!(world.upgrade("/", &[("Origin", origin)]).is_ok(), "{origin}");
    }
}

#[test]
fn plain_open_to_everybody_takes_any_host_and_origin() {
    let world = World::with(RelayConfig { reach: Reach::Open, ..config() });
    let headers = [("Host", "chat.example"), ("Origin", "https://other.example")];
    assert!(world.upgrade("/", &headers).is_ok());
    assert_eq!(world.request("GET", "/", &headers).status, 200);
}
