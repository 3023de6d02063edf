//! How many connections a user and an address may have.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use switchboard::engine::Remote;
use switchboard::relay::access::Authentication;
use switchboard::relay::access::endpoint::{Answer, Ask, Header, NotAsked, Ticket};

use super::*;

fn address(text: &str) -> Remote {
    Remote::Tcp(text.parse::<SocketAddr>().unwrap())
}

#[test]
fn one_connection_more_than_a_user_may_have_is_answered_429() {
    let world = world(&limited(r#""connections-per-user": 2"#));
    let first = world.connect("/", Some("bob"));
    world.connect("/x", Some("bob"));
    let answer = world.upgrade("/?user=bob", &[]).err().unwrap();
    assert_eq!((answer.status, &*answer.body), (429, "too many connections of this user\n"));
    world.connect("/", Some("alice"));
    for _ in 0..5 {
        world.connect("/", None);
    }
    first.hang_up();
    world.connect("/", Some("bob"));
    assert_eq!(world.upgrade("/?user=bob", &[]).err().unwrap().status, 429);
}

#[test]
fn a_guest_does_not_become_a_user_who_has_as_many_as_allowed() {
    let world = world(&limited(r#""connections-per-user": 1"#));
    let bob = world.connect("/", Some("bob"));
    let guest = world.connect("/", None);
    guest.say(r#"{"sender":"bob","type":"join","group":"g"}"#);
    let refusal = r#"{"type":"error","code":429,"reason":"too_many_connections","group":"g"}"#;
    assert_eq!(guest.heard(), [text(refusal)]);
    assert_eq!(world.counts().users, 2);
    bob.hang_up();
    guest.say(r#"{"sender":"bob","type":"join","group":"g"}"#);
    assert_eq!((guest.heard(), guest.user().as_deref()), (vec![ok("g")], Some("bob")));
}

#[test]
fn one_connection_more_than_an_address_may_have_is_answered_429() {
    let world = world(&limited(r#""connections-per-address": 2"#));
    world.come_from(address("192.0.2.1:1000"));
    let first = world.connect("/", Some("bob"));
    world.come_from(address("192.0.2.1:2000"));
    world.connect("/", None);
    for _ in 0..2 {
        let answer = world.upgrade("/?user=eve", &[]).err().unwrap();
        let wanted = "too many connections from this address\n";
        assert_eq!((answer.status, &*answer.body), (429, wanted));
    }
    // A page is no connection, and the others are not concerned.
    assert_eq!(world.request("GET", "/", &[]).status, 200);
    world.come_from(address("192.0.2.2:1000"));
    world.connect("/", None);
    world.come_from(address("192.0.2.1:3000"));
    first.hang_up();
    world.connect("/", Some("bob"));
    assert_eq!(world.upgrade("/", &[]).err().unwrap().status, 429);
}

#[test]
fn connections_over_a_unix_socket_are_from_no_address() {
    let world = world(&limited(r#""connections-per-address": 1"#));
    world.come_from(Remote::Unix);
    for _ in 0..5 {
        world.connect("/", None);
    }
}

/// An application that takes its time.
#[derive(Clone, Debug, Default)]
struct Slow(Arc<Mutex<Vec<Ticket>>>);

impl Ask for Slow {
    fn ask(&mut self, ticket: Ticket, _headers: Vec<Header>) -> Result<(), NotAsked> {
        self.0.lock().unwrap().push(ticket);
        Ok(())
    }
}

#[test]
fn who_is_let_in_at_the_same_time_is_counted() {
    for limit in ["connections-per-user", "connections-per-address"] {
        let application = Slow::default();
        let access = Access {
            authentication: Authentication::Endpoint(Box::new(application.clone())),
            ..access(&limited(&format!(r#""{limit}": 2"#)))
        };
        let world = World::with(RelayConfig { access, ..config() });
        let fields = [("Authorization", "Bearer x")];
        let asked: Vec<_> = (0..5).map(|_| world.begin_upgrade("/", &fields)).collect();
        // All the answers come in one tick.
        world.with_relay(|relay, cx| {
            for ticket in application.0.lock().unwrap().drain(..) {
                let answer = Answer::Reply { status: 200, body: br#"{"user":"bob"}"#.to_vec() };
                relay.answered(cx, ticket, &answer);
            }
        });
        let status = |id| world.finish_upgrade(id).err().map_or(101, |answer| answer.status);
        let answers: Vec<u16> = asked.into_iter().map(status).collect();
        assert_eq!(answers, [101, 101, 429, 429, 429], "{limit}");
    }
}
