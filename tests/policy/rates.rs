//! Rates and sizes, at their edges: the clock is the test's.

use super::*;

fn rate(after: u64, receiver: &str) -> Heard {
    text(format!(
        r#"{{"type":"error","code":429,"reason":"rate","after":{after},"receiver":"{receiver}"}}"#
    ))
}

#[test]
fn the_burst_passes_and_the_next_message_does_after_the_time_it_was_told() {
    let world = world(&limited(r#""messages-per-second": 20, "burst": 40"#));
    let (alice, bob) = (world.connect("/", Some("alice")), world.connect("/", Some("bob")));
    for _ in 0..40 {
        bob.say(&to("alice"));
    }
    assert_eq!((alice.heard().len(), bob.heard()), (40, vec![]));
    for _ in 0..3 {
        bob.say(&to("alice"));
        assert_eq!(bob.heard(), [rate(50, "alice")], "being refused costs nothing");
    }
    world.pass(49);
    bob.say(&to("alice"));
    assert_eq!((alice.heard(), bob.heard()), (vec![], vec![rate(1, "alice")]));
    world.pass(1);
    bob.say(&to("alice"));
    assert_eq!((alice.heard(), bob.heard()), (vec![from("bob")], vec![]));
    bob.say(&to("alice"));
    assert_eq!(bob.heard(), [rate(50, "alice")]);
    // It is each connection's own.
    alice.say(&to("bob"));
    assert_eq!(bob.heard(), [from("alice")]);
}

#[test]
fn whatever_a_client_says_counts_and_the_refusal_says_what_it_was() {
    let world = world(&limited(r#""messages-per-second": 1"#));
    let start = r#"{"type":"error","code":429,"reason":"rate","after":1000"#;
    for (said, target) in [
        (r#"{"type":"ping"}"#, ""),
        ("hello", ""),
        (r#"{"receiver":"bob","content":1}"#, r#","receiver":"bob""#),
        (r#"{"group":"g","content":1}"#, r#","group":"g""#),
        (r#"{"type":"join","group":"g"}"#, r#","group":"g""#),
        (r#"{"type":"leave","group":"g"}"#, r#","group":"g""#),
        (r#"{"type":"members","group":"g"}"#, r#","group":"g""#),
        (r#"{"type":"presence","user":"b\"b"}"#, r#","user":"b\"b""#),
        (r#"{"receiver":"bob"}"#, ""),
        (r#"{"receiver":"#, ""),
    ] {
        let bob = world.connect("/", Some("bob"));
        bob.say(said);
        bob.heard();
        bob.say(said);
        assert_eq!(bob.heard(), [text(format!("{start}{target}}}"))], "{said}");
        bob.say_binary(said.as_bytes());
        assert_eq!(bob.heard(), [text(format!("{start}}}"))]);
        bob.hang_up();
    }
}

#[test]
fn bytes_pass_up_to_the_burst_and_not_one_more() {
    let said = to("alice");
    let len = said.len() as u64;
    let (burst, per_second) = (4 * len, len);
    let limits = format!(r#""bytes-per-second": {per_second}, "burst-bytes": {burst}"#);
    let world = world(&limited(&limits));
    let (alice, bob) = (world.connect("/", Some("alice")), world.connect("/", Some("bob")));
    for _ in 0..3 {
        bob.say(&said);
    }
    // What is left is just enough for the same, and not for one byte more.
    let longer = said.replace('1', "12");
    bob.say(&longer);
    let after = 1_000_u64.div_ceil(per_second);
    assert_eq!((alice.heard().len(), bob.heard()), (3, vec![rate(after, "alice")]));
    bob.say(&said);
    assert_eq!((alice.heard().len(), bob.heard()), (1, vec![]));
    world.pass(999);
    bob.say(&said);
    assert_eq!(bob.heard(), [rate(1, "alice")]);
    world.pass(1);
    bob.say(&said);
    assert_eq!((alice.heard().len(), bob.heard()), (1, vec![]));
}

#[test]
fn a_message_is_as_long_as_the_role_allows_and_not_a_byte_longer() {
    let world = world(&limited(r#""message": 100"#));
    let (alice, bob) = (world.connect("/", Some("alice")), world.connect("/", Some("bob")));
    let refusal = text(r#"{"type":"error","code":413,"reason":"message_too_large","max":100}"#);
    let of = |len: usize| {
        let empty = r#"{"receiver":"alice","content":""}"#;
        empty.replace("\"\"", &format!("\"{}\"", "x".repeat(len - empty.len())))
    };
    bob.say(&of(100));
    assert_eq!((alice.heard().len(), bob.heard()), (1, vec![]));
    bob.say(&of(101));
    assert_eq!((alice.heard(), bob.heard()), (vec![], vec![refusal.clone()]));
    bob.say_binary(&[0; 101]);
    assert_eq!((alice.heard(), bob.heard()), (vec![], vec![refusal]));
    bob.say_binary(&[0; 100]);
    assert_eq!((alice.heard().len(), bob.heard()), (1, vec![]));
    // In bytes, not in letters.
    bob.say(&"é".repeat(50));
    assert_eq!(alice.heard().len(), 1);
    bob.say(&"é".repeat(51));
    assert_eq!((alice.heard().len(), bob.heard().len()), (0, 1));
}

#[test]
fn a_user_joins_as_many_groups_as_the_role_allows_and_the_server_at_most() {
    for (limits, max) in [(r#""groups": 2"#, 2), (r#""groups": 0"#, 0), (r#""groups": 9"#, 3)] {
        let mut config = RelayConfig { access: access(&limited(limits)), ..config() };
        config.limits.groups_per_user_max = 3;
        let world = World::with(config);
        let bob = world.connect("/", Some("bob"));
        for index in 0..max {
            joined(&bob, &format!("g{index}"));
        }
        bob.say(r#"{"type":"join","group":"more"}"#);
        let refusal = r#"{"type":"error","code":429,"reason":"too_many_groups","group":"more"}"#;
        assert_eq!(bob.heard(), [text(refusal)]);
    }
}
