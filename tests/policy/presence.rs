//! Who hears who comes and goes, when, and in which words.

use super::*;

#[test]
fn what_happens_in_one_interval_is_one_frame_for_those_who_asked() {
    let world = World::new();
    let connect = |user| world.connect("/", Some(user));
    let (alice, bob, eve) = (connect("alice"), connect("bob"), connect("eve"));
    hearing(&alice, "g");
    world.pass(100);
    assert_eq!(alice.heard(), [came_and_went("g", r#"["alice"]"#, "[]")]);
    joined(&bob, "g");
    joined(&eve, "g");
    bob.say(r#"{"type":"leave","group":"g"}"#);
    assert_eq!(bob.heard(), [ok("g")]);
    joined(&bob, "h");
    assert_eq!(alice.heard(), [], "the interval is not over");
    world.pass(100);
    assert_eq!(alice.heard(), [came_and_went("g", r#"["eve"]"#, "[]")]);
    joined(&bob, "g");
    eve.hang_up();
    world.pass(100);
    assert_eq!(alice.heard(), [came_and_went("g", r#"["bob"]"#, r#"["eve"]"#)]);
    for _ in 0..3 {
        world.pass(100);
    }
    assert_eq!((alice.heard(), bob.heard()), (vec![], vec![]), "bob did not ask");
}

#[test]
fn presence_interval_is_over_at_its_end_and_not_before() {
    for (interval, before, rest) in [(100, 99, 1), (1_000, 999, 1)] {
        let mut config = config();
        config.limits.presence_interval_ms = interval;
        let world = World::with(config);
        let alice = world.connect("/", Some("alice"));
        hearing(&alice, "g");
        world.pass(before);
        assert_eq!(alice.heard(), [], "{interval}");
        world.pass(rest);
        assert_eq!(alice.heard().len(), 1, "{interval}");
    }
}

#[test]
fn max_presence_names_are_named_and_one_more_is_a_number() {
    let mut config = config();
    config.limits.presence_names_max = 3;
    let world = World::with(config);
    let alice = world.connect("/", Some("alice"));
    hearing(&alice, "g");
    world.pass(100);
    alice.heard();
    let others: Vec<Peer> =
        (0..4).map(|index| world.connect("/", Some(&format!("u{index}")))).collect();
    for peer in &others[..3] {
        joined(peer, "g");
    }
    world.pass(100);
    assert_eq!(alice.heard(), [came_and_went("g", r#"["u0","u1","u2"]"#, "[]")]);
    // The order in which the lost are found is nobody's business.
    world.lose(others.into_iter().rev().collect());
    world.pass(100);
    assert_eq!(alice.heard(), [came_and_went("g", "[]", r#"["u0","u1","u2"]"#)]);
    for index in 0..4 {
        world.with_relay(|relay, cx| relay.add_member(cx, &format!("v{index}"), "g").unwrap());
        world.connect("/", Some(&format!("v{index}")));
    }
    world.pass(100);
    let long = r#"{"type":"presence","group":"g","joined":[],"left":[],"members":5}"#;
    assert_eq!(alice.heard(), [text(long)]);
}

#[test]
fn max_members_shown_are_named_and_all_are_counted() {
    let mut config = config();
    config.limits.members_shown_max = 2;
    let world = World::with(config);
    let ask = r#"{"type":"members","group":"g"}"#;
    let (alice, bob) = (world.connect("/", Some("alice")), world.connect("/", Some("b%22b")));
    for peer in [&alice, &bob] {
        joined(peer, "g");
    }
    alice.say(ask);
    let both = r#"{"type":"members","group":"g","members":["alice","b\"b"],"count":2}"#;
    assert_eq!(alice.heard(), [text(both)]);
    let eve = world.connect("/", Some("eve"));
    eve.say(ask);
    let refusal = r#"{"type":"error","code":403,"reason":"not_a_member","group":"g"}"#;
    assert_eq!(eve.heard(), [text(refusal)]);
    joined(&eve, "g");
    eve.say(ask);
    let three = r#"{"type":"members","group":"g","members":["alice","b\"b"],"count":3}"#;
    assert_eq!(eve.heard(), [text(three)]);
}

#[test]
fn each_connection_asks_for_itself_and_may_stop() {
    let world = World::new();
    let (phone, laptop) = (world.connect("/", Some("alice")), world.connect("/", Some("alice")));
    let bob = world.connect("/", Some("bob"));
    hearing(&phone, "g");
    // Joining again without a word about it changes nothing.
    joined(&phone, "g");
    joined(&laptop, "g");
    world.pass(100);
    assert_eq!((phone.heard().len(), laptop.heard().len()), (1, 0));
    hearing(&laptop, "g");
    phone.say(r#"{"type":"join","group":"g","presence":false}"#);
    assert_eq!(phone.heard(), [ok("g")]);
    joined(&bob, "g");
    world.pass(100);
    assert_eq!((phone.heard().len(), laptop.heard().len()), (0, 1));
}

#[test]
fn who_is_not_a_member_any_more_hears_nothing_more() {
    let world = World::new();
    let (phone, laptop) = (world.connect("/", Some("alice")), world.connect("/", Some("alice")));
    let bob = world.connect("/", Some("bob"));
    hearing(&phone, "g");
    hearing(&laptop, "g");
    hearing(&bob, "g");
    world.pass(100);
    for peer in [&phone, &laptop, &bob] {
        peer.heard();
    }
    phone.say(r#"{"type":"leave","group":"g"}"#);
    assert_eq!(phone.heard(), [ok("g")]);
    world.pass(100);
    assert_eq!((phone.heard(), laptop.heard()), (vec![], vec![]));
    assert_eq!(bob.heard(), [came_and_went("g", "[]", r#"["alice"]"#)]);
    assert_eq!(world.counts().hearing, 1, "bob");
    // To be a member again is not to have asked again.
    joined(&laptop, "g");
    world.pass(100);
    assert_eq!((phone.heard(), laptop.heard(), bob.heard().len()), (vec![], vec![], 1));
}

#[test]
fn a_group_that_ends_and_begins_again_has_no_old_news() {
    let world = World::new();
    let (alice, bob) = (world.connect("/", Some("alice")), world.connect("/", Some("bob")));
    hearing(&alice, "g");
    alice.say(r#"{"type":"leave","group":"g"}"#);
    // It may well have the same key.
    hearing(&bob, "h");
    world.pass(100);
    assert_eq!(alice.heard(), [ok("g")]);
    assert_eq!(bob.heard(), [came_and_went("h", r#"["bob"]"#, "[]")]);
}

#[test]
fn a_guest_that_becomes_somebody_leaves_as_one_and_comes_as_the_other() {
    let world = World::new();
    let alice = world.connect("/", Some("alice"));
    hearing(&alice, "g");
    let guest = world.connect("/", None);
    hearing(&guest, "g");
    world.pass(100);
    assert_eq!(alice.heard(), [came_and_went("g", r#"["alice","2"]"#, "[]")]);
    guest.heard();
    guest.say(r#"{"sender":"bob","receiver":"nobody","content":1}"#);
    guest.heard();
    world.pass(100);
    for peer in [&alice, &guest] {
        assert_eq!(peer.heard(), [came_and_went("g", r#"["bob"]"#, r#"["2"]"#)]);
    }
    // One that turns out to be a user who is there already.
    let second = world.connect("/", None);
    joined(&second, "g");
    world.pass(100);
    assert_eq!(alice.heard(), [came_and_went("g", r#"["3"]"#, "[]")]);
    second.say(r#"{"sender":"bob","receiver":"nobody","content":1}"#);
    world.pass(100);
    assert_eq!(alice.heard(), [came_and_went("g", "[]", r#"["3"]"#)]);
}

#[test]
fn a_presence_frame_that_finds_no_room_is_announced_as_missed() {
    let world = World::new();
    let alice = world.connect("/", Some("alice"));
    hearing(&alice, "g");
    world.pass(100);
    alice.heard();
    alice.stop_reading();
    let bob = world.connect("/", Some("bob"));
    let long = "x".repeat(3_000);
    for _ in 0..2 {
        bob.say(&format!(r#"{{"receiver":"alice","content":"{long}"}}"#));
    }
    joined(&bob, "g");
    world.pass(100);
    alice.read_again();
    let heard = alice.heard();
    assert_eq!(heard.last(), Some(&text(r#"{"type":"gap","dropped":1}"#)), "{heard:?}");
}

#[test]
fn presence_says_over_how_many_connections_a_user_is_online() {
    let world = World::new();
    let bob = world.connect("/", Some("bob"));
    for online in 0..3 {
        bob.say(r#"{"type":"presence","user":"alice"}"#);
        let answer = format!(r#"{{"type":"presence","user":"alice","online":{online}}}"#);
        assert_eq!(bob.heard(), [text(answer)]);
        world.connect("/", Some("alice"));
    }
}
