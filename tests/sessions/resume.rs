//! Coming back: what was missed arrives once, in order, and without harm to others.

use super::*;

fn position(welcome: &Value) -> String {
    format!(r#","epoch":{},"seq":{}"#, welcome["epoch"], welcome["seq"])
}

#[test]
fn ten_thousand_messages_are_resumed_in_order_as_far_as_the_connection_takes_them() {
    let mut config = world::config();
    config.limits.log_messages_max = 20_000;
    config.limits.log_max_bytes = 64 << 20;
    let world = World::with(config);
    let (alice, welcome) = greeted(&world, "alice", "d001", "");
    alice.hang_up();
    let bob = here(&world, "bob", "c8f3");
    for id in 1..=10_000 {
        bob.say(&to(id, "alice", &format!(r#""{id} {}""#, "x".repeat(100))));
        assert_eq!(frames(&bob)[0]["type"], "ok");
    }
    let alice = silent(&world, "/?user=alice");
    alice.stop_reading();
    alice.say(&format!(r#"{{"type":"hello","client":"d001"{}}}"#, position(&welcome)));
    // What waits for her is in her log, and not in her connection.
    let queued = world.queued(&alice);
    assert!((32_768..=131_072).contains(&queued), "{queued}");
    alice.read_again();
    let heard = frames(&alice);
    assert_eq!(heard[0]["resumed"], true);
    let seqs: Vec<u64> = heard[1..].iter().map(|frame| frame["seq"].as_u64().unwrap()).collect();
    assert!(seqs.is_sorted() && seqs.len() == 10_000, "{}", seqs.len());
    let last = heard.last().unwrap()["content"].as_str().unwrap();
    assert!(last.starts_with("10000 "));
}

#[test]
fn what_a_slow_reader_does_not_take_waits_in_the_log_and_what_is_pushed_out_is_announced() {
    let mut config = world::config();
    config.limits.log_messages_max = 50;
    let world = World::with(config);
    let alice = here(&world, "alice", "d001");
    let bob = here(&world, "bob", "c8f3");
    alice.stop_reading();
    for id in 1..=200 {
        bob.say(&to(id, "alice", &format!(r#""{}""#, "x".repeat(4_000))));
        assert_eq!(frames(&bob)[0]["type"], "ok");
    }
    assert!(world.queued(&alice) < 131_072, "{}", world.queued(&alice));
    alice.read_again();
    let heard = frames(&alice);
    let gaps: Vec<&Value> = heard.iter().filter(|frame| frame["type"] == "gap").collect();
    let [gap] = gaps[..] else { panic!("{gaps:?}") };
    let (after, until) = (gap["after"].as_u64().unwrap(), gap["until"].as_u64().unwrap());
    let seqs: Vec<u64> = heard.iter().filter_map(|frame| frame["seq"].as_u64()).collect();
    assert_eq!(seqs.len() as u64 + (until - after), 200);
    assert!(seqs.is_sorted() && seqs.iter().all(|seq| *seq <= after || *seq > until));
}
