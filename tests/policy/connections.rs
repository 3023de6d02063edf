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

/// What somebody says first who came without a credential.
const AUTH: &str = r#"{"type":"auth","token":"x"}"#;

/// Everything is allowed, to so many connections from an address: anybody's, and a member's.
fn by_role(anybody: u64, member: u64) -> (World, Slow) {
    let policy = limited(&format!(r#""connections-per-address": {anybody}"#));
    let member = format!(r#","member":{{"limits":{{"connections-per-address":{member}}}}}}}}}"#);
    let policy = format!("{}{member}", policy.strip_suffix("}}").unwrap());
    let application = Slow::default();
    let authentication = Authentication::Endpoint(Box::new(application.clone()));
    let access = Access { authentication, ..access(&policy) };
    (World::with(RelayConfig { access, ..config() }), application)
}

/// The application knows everybody who was asked about since the last time, as a member.
fn vouch(world: &World, application: &Slow) {
    world.with_relay(|relay, cx| {
        for ticket in application.0.lock().unwrap().drain(..) {
            let body = br#"{"user":"bob","roles":["member"]}"#.to_vec();
            relay.answered(cx, ticket, &Answer::Reply { status: 200, body });
        }
    });
}

#[track_caller]
fn refused(world: &World) {
    let answer = world.upgrade("/", &[]).err().unwrap();
    let wanted = "too many connections from this address\n";
    assert_eq!((answer.status, &*answer.body), (429, wanted));
}

#[test]
fn who_has_not_said_who_he_is_has_a_place_of_his_address() {
    let (world, application) = by_role(2, 3);
    let [first, second] = [(); 2].map(|()| world.connect("/", None));
    refused(&world);
    refused(&world);
    world.come_from(address("192.0.2.2:1000"));
    world.connect("/", None);
    world.come_from(Remote::Unix);
    for _ in 0..5 {
        world.connect("/", None);
    }
    world.come_from(address("127.0.0.1:1000"));
    // Who is known counts in another place, and makes room for a stranger.
    first.say(AUTH);
    vouch(&world, &application);
    assert_eq!(first.heard(), [text(r#"{"type":"ok"}"#)]);
    let third = world.connect("/", None);
    // One is known and two are not: no more than three for anybody.
    second.hang_up();
    world.connect("/", None);
    let fields = [("Authorization", "Bearer x")];
    let member = world.begin_upgrade("/", &fields);
    vouch(&world, &application);
    assert_eq!(world.finish_upgrade(member).err().unwrap().status, 429);
    // Each gives back what he had, once.
    first.hang_up();
    third.hang_up();
    world.connect("/", None);
    refused(&world);
}

#[test]
fn strangers_come_in_as_long_as_they_could_be_somebody_who_may() {
    let (world, application) = by_role(1, 3);
    let fields = [("Authorization", "Bearer x")];
    for _ in 0..3 {
        // Also beside as many as anybody may have: it may be a member.
        world.connect("/", None).hang_up();
        let member = world.begin_upgrade("/", &fields);
        vouch(&world, &application);
        assert!(world.finish_upgrade(member).is_ok());
    }
    refused(&world);
}

#[test]
fn a_stranger_is_not_counted_twice_when_he_says_who_he_is() {
    let (world, application) = by_role(1, 1);
    for _ in 0..3 {
        let peer = world.connect("/", None);
        peer.say(AUTH);
        refused(&world);
        vouch(&world, &application);
        assert_eq!(peer.heard(), [text(r#"{"type":"ok"}"#)]);
        refused(&world);
        peer.hang_up();
    }
}

#[test]
fn a_stranger_who_is_refused_has_his_place_until_he_is_gone() {
    let (world, application) = by_role(1, 1);
    let peer = world.connect("/?user=eve", None);
    peer.say(AUTH);
    vouch(&world, &application);
    let error = r#"{"type":"error","code":403,"reason":"wrong_user"}"#;
    assert_eq!(peer.heard(), [text(error), Heard::Closed(4403)]);
    refused(&world);
    peer.hang_up();
    world.connect("/", None);
}

#[test]
fn strangers_are_not_limited_by_what_is_stated_for_others() {
    let policy = r#"{"roles":{"member":{"limits":{"connections-per-address":1}}}}"#;
    let authentication = Authentication::Endpoint(Box::<Slow>::default());
    let access = Access { authentication, ..access(policy) };
    let world = World::with(RelayConfig { access, ..config() });
    for _ in 0..5 {
        world.connect("/", None);
    }
}

#[test]
fn another_policy_counts_the_strangers_who_are_here() {
    let (world, application) = by_role(3, 3);
    let peers = [(); 2].map(|()| world.connect("/", None));
    world.with_relay(|relay, cx| {
        let policy = limited(r#""connections-per-address": 2"#);
        let authentication = Authentication::Endpoint(Box::new(application.clone()));
        relay.reconfigure(cx, Access { authentication, ..access(&policy) });
    });
    refused(&world);
    let [first, second] = peers;
    first.hang_up();
    world.connect("/", None);
    refused(&world);
    second.hang_up();
    world.connect("/", None);
}
