//! "Who a connection is".

use super::*;
use crate::world::World;
use switchboard::relay::Counts;

#[test]
fn plain_user_in_the_url_is_percent_decoded_once() {
    let world = World::new();
    for (query, user) in [
        ("alice", "alice"),
        ("%E7%94%A8%E6%88%B7", "用户"),
        ("a%20b", "a b"),
        ("a+b", "a b"),
        ("%2541", "%41"),
        ("%22%5C", "\"\\"),
        ("1001", "1001"),
    ] {
        assert_eq!(world.connect("/", Some(query)).user().as_deref(), Some(user));
    }
}

#[test]
fn plain_user_in_the_url_that_is_no_name_is_answered_400() {
    let world = World::new();
    let long = "a".repeat(129);
    for query in [
        "",
        "*",
        "%20a",
        "a%20",
        "%00",
        "%0a",
        "%FF",
        "%E2%80%AEa",
        "%ED%A0%80",
        "%4",
        "a&user=a",
        &long,
    ] {
        let answer = world.upgrade(&format!("/?user={query}"), &[]).err().unwrap();
        assert_eq!(answer.status, 400, "{query}");
    }
    assert_eq!(world.counts().users, 0);
}

#[test]
fn plain_guests_are_known_by_the_number_of_their_connection() {
    let world = World::new();
    let first = world.connect("/", None);
    let alice = world.connect("/", Some("alice"));
    let third = world.connect("/", None);
    assert_eq!(first.user().as_deref(), Some("1"));
    assert_eq!(third.user().as_deref(), Some("3"));
    alice.say(r#"{"receiver":3,"content":"hi"}"#);
    assert_eq!(third.heard(), [from("alice", "\"hi\"")]);
    first.hang_up();
    assert_eq!(world.connect("/", None).user().as_deref(), Some("4"), "no number twice");
    world.request("GET", "/", &[]);
    let sixth = world.connect("/", None);
    assert_eq!(sixth.user().as_deref(), Some("6"), "whatever was accepted counts");
    assert_eq!(sixth.user(), Some(sixth.id().serial().to_string()));
    assert_eq!(sixth.user(), Some(sixth.id().to_string()), "as log lines have it");
}

#[test]
fn plain_guest_numbers_that_name_somebody_online_are_skipped() {
    let world = World::new();
    let guest = || world.connect("/", None).user();
    let taken: Vec<Peer> = ["5", "6", "8", "4294967297"]
        .iter()
        .map(|number| world.connect("/", Some(number)))
        .collect();
    // The fifth to the ninth connection. Whoever loses his number takes nobody else's.
    assert_eq!(guest().as_deref(), Some("4294967296"));
    assert_eq!(guest().as_deref(), Some("4294967298"), "skipped too");
    assert_eq!(guest().as_deref(), Some("7"));
    assert_eq!(guest().as_deref(), Some("4294967299"));
    assert_eq!(guest().as_deref(), Some("9"));
    drop(taken);
}

#[test]
fn plain_first_routed_sender_is_claimed_and_the_number_released() {
    let world = World::new();
    let (alice, guest) = (world.connect("/", Some("alice")), world.connect("/", None));
    guest.say(r#"{"sender":"bob","receiver":"alice","content":1}"#);
    assert_eq!(alice.heard(), [from("bob", "1")]);
    assert_eq!(guest.user().as_deref(), Some("bob"));
    alice.say(&to("bob", "2"));
    assert_eq!(guest.heard(), [from("alice", "2")]);
    alice.say(&to("2", "3"));
    assert_eq!(alice.heard(), [error_for(Refusal::ReceiverOffline, "receiver", "2")]);
    let eve = world.connect("/", Some("2"));
    assert_eq!(eve.user().as_deref(), Some("2"), "released at once");
}

#[test]
fn plain_a_claim_holds_even_if_nobody_is_reached() {
    let world = World::new();
    let guest = world.connect("/", None);
    guest.say(r#"{"sender":"bob","receiver":"alice","content":1}"#);
    assert_eq!(guest.heard(), [error_for(Refusal::ReceiverOffline, "receiver", "alice")]);
    assert_eq!(guest.user().as_deref(), Some("bob"));
    let other = world.connect("/", None);
    other.say(r#"{"sender":"eve","group":"g","content":1}"#);
    assert_eq!(other.heard(), [error_for(Refusal::NotAMember, "group", "g")]);
    assert_eq!(other.user().as_deref(), Some("eve"));
}

#[test]
fn plain_a_refused_frame_or_a_broadcast_claims_nothing() {
    let world = World::new();
    let guest = world.connect("/", None);
    for said in [
        r#"{"sender":"bob","receiver":"alice"}"#,
        r#"{"sender":"bob","content":1}"#,
        r#"{"sender":"bob","msg":"hi"}"#,
        r#"{"sender":"bob","type":"ping"}"#,
        r#"{"sender":"","receiver":"alice","content":1}"#,
    ] {
        guest.say(said);
        assert_eq!(guest.user().as_deref(), Some("1"), "{said}");
    }
}

#[test]
fn plain_a_guest_that_sends_without_sender_stays_a_guest() {
    let world = World::new();
    let (alice, guest) = (world.connect("/", Some("alice")), world.connect("/", None));
    guest.say(&to("alice", "1"));
    guest.say(r#"{"sender":"bob","receiver":"alice","content":2}"#);
    assert_eq!(alice.heard(), [from("2", "1"), from("bob", "2")]);
}

#[test]
fn plain_another_sender_is_refused_and_not_delivered() {
    let world = World::new();
    let (alice, bob) = (world.connect("/", Some("alice")), world.connect("/", Some("bob")));
    bob.say(r#"{"sender":"eve","receiver":"alice","content":1}"#);
    assert_eq!(bob.heard(), [error_for(Refusal::SenderMismatch, "receiver", "alice")]);
    bob.say(r#"{"sender":"eve","group":"g","content":1}"#);
    assert_eq!(bob.heard(), [error_for(Refusal::SenderMismatch, "group", "g")]);
    bob.say(r#"{"type":"join","sender":"eve","group":"g"}"#);
    assert_eq!(bob.heard(), [error_for(Refusal::SenderMismatch, "group", "g")]);
    bob.say(r#"{"type":"leave","sender":"eve","group":"g"}"#);
    assert_eq!(bob.heard(), [error_for(Refusal::SenderMismatch, "group", "g")]);
    bob.say(r#"{"sender":"b\u006fb","receiver":"alice","content":2}"#);
    assert_eq!(alice.heard(), [from("bob", "2")], "compared unescaped");
    let guest = world.connect("/", None);
    guest.say(r#"{"sender":"carol","receiver":"alice","content":3}"#);
    guest.say(r#"{"sender":"dave","receiver":"alice","content":4}"#);
    assert_eq!(alice.heard(), [from("carol", "3")]);
    assert_eq!(guest.heard(), [error_for(Refusal::SenderMismatch, "receiver", "alice")]);
}

#[test]
fn plain_the_number_of_a_connected_guest_cannot_be_taken() {
    let world = World::new();
    let (first, second) = (world.connect("/", None), world.connect("/", None));
    second.say(r#"{"sender":1,"receiver":"1","content":"hi"}"#);
    assert_eq!(second.heard(), [error_for(Refusal::Taken, "receiver", "1")]);
    assert_eq!(second.user().as_deref(), Some("2"));
    silent(&[&first]);
    second.say(r#"{"type":"join","sender":"1","group":"g"}"#);
    assert_eq!(second.heard(), [error_for(Refusal::Taken, "group", "g")]);
    let answer = world.upgrade("/?user=1", &[]).err().unwrap();
    assert_eq!(answer.status, 409);
    assert!(answer.body.contains("taken"), "{}", answer.body);
    first.hang_up();
    assert_eq!(world.connect("/", Some("1")).user().as_deref(), Some("1"));
}

#[test]
fn plain_a_guest_may_confirm_its_own_number() {
    let world = World::new();
    let (alice, guest) = (world.connect("/", Some("alice")), world.connect("/", None));
    guest.say(r#"{"sender":"2","receiver":"alice","content":1}"#);
    assert_eq!(alice.heard(), [from("2", "1")]);
    guest.say(r#"{"sender":"bob","receiver":"alice","content":2}"#);
    assert_eq!(guest.heard(), [error_for(Refusal::SenderMismatch, "receiver", "alice")]);
    let device = world.connect("/", Some("2"));
    alice.say(&to("2", "3"));
    assert_eq!(
        (guest.heard(), device.heard()),
        (vec![from("alice", "3")], vec![from("alice", "3")])
    );
}

#[test]
fn plain_claiming_the_name_of_somebody_online_makes_another_device() {
    let world = World::new();
    let (alice, bob, guest) = (
        world.connect("/", Some("alice")),
        world.connect("/", Some("bob")),
        world.connect("/", None),
    );
    guest.say(r#"{"sender":"bob","receiver":"alice","content":1}"#);
    assert_eq!(alice.heard(), [from("bob", "1")]);
    alice.say(&to("bob", "2"));
    assert_eq!(bob.heard(), [from("alice", "2")]);
    assert_eq!(guest.heard(), [from("alice", "2")]);
    assert_eq!(world.counts().users, 2);
}

#[test]
fn plain_groups_joined_as_a_guest_stay_joined_after_the_claim() {
    let world = World::new();
    let (alice, guest) = (world.connect("/", Some("alice")), world.connect("/", None));
    joined(&alice, "g");
    joined(&guest, "g");
    guest.say(r#"{"sender":"bob","group":"g","content":1}"#);
    assert_eq!(alice.heard(), [from_group("bob", "g", "1")]);
    // The name of somebody online takes the groups along too.
    let other = world.connect("/", None);
    joined(&other, "h");
    other.say(r#"{"sender":"alice","group":"h","content":2}"#);
    assert_eq!(alice.heard(), [from_group("alice", "h", "2")]);
    assert_eq!(world.counts(), Counts { users: 2, groups: 2, rooms: 1, kept: 0, hearing: 0 });
}

#[test]
fn plain_a_join_claims_its_sender_first() {
    let world = World::new();
    let guest = world.connect("/", None);
    guest.say(r#"{"type":"join","sender":"bob","group":"g"}"#);
    assert_eq!(guest.heard(), [ok("g")]);
    assert_eq!(guest.user().as_deref(), Some("bob"));
}
