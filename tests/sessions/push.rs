//! What backends push to those who have a log, and when they are answered.

use super::*;
use crate::shelf::Shelf;
use switchboard::ConnId;
use switchboard::relay::push::keys::Keys;
use switchboard::relay::{Logs, RelayConfig};
use world::{Answer, config, text};

const KEYS: &str = r#"{"keys":[{"name":"billing","key":"billing-0123456789abcdef"}]}"#;
const KEY: (&str, &str) = ("Authorization", "Bearer billing-0123456789abcdef");

/// A world with a store that obeys, and a key.
pub fn kept() -> (World, Shelf) {
    kept_with(config())
}

pub fn kept_with(config: RelayConfig) -> (World, Shelf) {
    let shelf = Shelf::default();
    let logs = Logs { store: Box::new(shelf.clone()), ..Logs::in_memory() };
    let world = World::with(RelayConfig { logs, ..config });
    world.with_relay(|relay, _| relay.set_keys(Keys::parse(KEYS, 128).expect("keys")));
    (world, shelf)
}

fn begin(world: &World, id: &str, body: &str) -> ConnId {
    let headers = [KEY, ("Idempotency-Key", id)];
    let path = if body.contains("messages") { "/v1/messages:batch" } else { "/v1/messages" };
    world.begin_ask("POST", path, if id.is_empty() { &headers[..1] } else { &headers }, body)
}

fn post(world: &World, id: &str, body: &str) -> Answer {
    let asked = begin(world, id, body);
    world.finish_ask(asked).expect("an answer")
}

pub fn ask(world: &World, method: &str, path: &str) -> Answer {
    world.finish_ask(world.begin_ask(method, path, &[KEY], "")).expect("an answer")
}

#[track_caller]
fn expect(answer: &Answer, status: u16, body: &str) {
    assert_eq!((answer.status, &*answer.body), (status, body));
}

const ALICE: &str = r#"{"receiver":"alice","content":1}"#;

#[test]
fn a_push_to_a_user_with_a_log_has_a_seq_and_202_if_nobody_is_there() {
    let (world, _) = kept();
    let (alice, welcome) = greeted(&world, "alice", "d001", "");
    let plain = world.connect("/", Some("alice"));
    expect(&post(&world, "", ALICE), 200, r#"{"seq":1,"online":2}"#);
    let heard = r#"{"seq":1,"sender":"billing","receiver":"alice","content":1}"#;
    assert_eq!(texts(&alice), [heard]);
    assert_eq!(plain.heard(), [text(r#"{"sender":"billing","content":1}"#)]);
    alice.hang_up();
    plain.hang_up();
    expect(&post(&world, "", ALICE), 202, r#"{"seq":2,"online":0}"#);
    expect(&post(&world, "", r#"{"receiver":"bob","content":1}"#), 200, r#"{"online":0}"#);
    let more = format!(r#","epoch":{},"seq":1"#, welcome["epoch"]);
    let alice = silent(&world, "/?user=alice");
    alice.say(&format!(r#"{{"type":"hello","client":"d001"{more}}}"#));
    assert_eq!(frames(&alice)[1]["seq"], 2);
}

#[test]
fn a_guest_who_speaks_v1_is_reached_without_a_seq() {
    let (world, _) = kept();
    let guest = silent(&world, "/");
    guest.say(r#"{"type":"hello","client":"c8f3"}"#);
    let name = frames(&guest)[0]["user"].as_str().expect("a name").to_owned();
    let to_guest = format!(r#"{{"receiver":"{name}","content":1}}"#);
    expect(&post(&world, "", &to_guest), 200, r#"{"online":1}"#);
    assert_eq!(contents(&guest), [1]);
}

#[test]
fn r12_nothing_is_answered_or_delivered_before_it_is_committed() {
    let (world, shelf) = kept();
    let alice = here(&world, "alice", "d001");
    shelf.hold();
    let asked = begin(&world, "a", ALICE);
    assert!(world.finish_ask(asked).is_none() && alice.heard().is_empty());
    let running = post(&world, "a", ALICE);
    assert_eq!((running.status, running.body.contains("idempotency_running")), (409, true));
    shelf.go_on();
    world.turn();
    expect(&world.finish_ask(asked).expect("answered"), 200, r#"{"seq":1,"online":1}"#);
    assert_eq!(contents(&alice), [1]);
    let again = post(&world, "a", ALICE);
    expect(&again, 200, r#"{"seq":1,"online":1}"#);
    assert!(again.head.contains("Idempotent-Replayed: true"), "{again:?}");
    assert_eq!(alice.heard(), []);
}

#[test]
fn r12_what_failed_is_503_and_may_come_again_and_202_is_remembered() {
    let (world, shelf) = kept();
    here(&world, "alice", "d001").hang_up();
    shelf.hold();
    let asked = begin(&world, "a", ALICE);
    shelf.fail();
    world.turn();
    let failed = world.finish_ask(asked).expect("answered");
    assert!(failed.head.contains("Retry-After: 1"), "{failed:?}");
    assert_eq!((failed.status, failed.body.contains(r#""reason":"store""#)), (503, true));
    for replayed in [false, true] {
        let answer = post(&world, "a", ALICE);
        // No number that was issued is issued again.
        expect(&answer, 202, r#"{"seq":2,"online":0}"#);
        assert_eq!(answer.head.contains("Idempotent-Replayed"), replayed);
    }
    let log = ask(&world, "GET", "/v1/users/alice").body;
    assert!(log.contains(r#""record":true,"log":{"entries":1,"#), "{log}");
}

#[test]
fn a_batch_is_answered_when_its_last_message_is_committed_and_each_has_its_seq() {
    let (world, shelf) = kept();
    let alice = here(&world, "alice", "d001");
    let carol = here(&world, "carol", "k001");
    ask(&world, "PUT", "/v1/groups/g/members/carol");
    carol.hang_up();
    shelf.hold();
    let batch = r#"{"messages":[{"receiver":"alice","content":1},{"receiver":"nobody","content":2},
        {"receiver":"alice"},{"group":"g","content":3},{"receiver":"alice","content":4}]}"#;
    let (asked, gone) = (begin(&world, "a", batch), begin(&world, "b", batch));
    world.abandon(gone);
    assert!(world.finish_ask(asked).is_none() && alice.heard().is_empty());
    assert_eq!(post(&world, "b", batch).status, 409, "it goes on without its connection");
    shelf.go_on();
    world.turn();
    let seqs = |answer: &Answer| {
        let json: Value = serde_json::from_str(&answer.body).expect("JSON");
        let results = json["results"].as_array().expect("results").clone();
        assert_eq!(results[2]["error"]["reason"], "content_missing");
        results.iter().map(|result| result["seq"].as_u64()).collect::<Vec<_>>()
    };
    let answer = world.finish_ask(asked).expect("answered");
    assert_eq!(seqs(&answer), [Some(2), None, None, Some(3), Some(4)]);
    assert_eq!(contents(&alice), [1, 4, 1, 4]);
    assert_eq!(seqs(&post(&world, "b", batch)), [Some(5), None, None, Some(6), Some(7)]);
    assert_eq!(alice.heard(), []);
}

#[test]
fn too_many_batches_is_said_of_new_ones_alone() {
    let (world, shelf) = kept();
    here(&world, "alice", "d001");
    shelf.hold();
    let batch = |n: usize| format!(r#"{{"messages":[{{"receiver":"alice","content":{n}}}]}}"#);
    let asked: Vec<_> = (0..16).map(|n| begin(&world, &format!("k{n}"), &batch(n))).collect();
    assert!(post(&world, "k3", &batch(3)).body.contains("idempotency_running"));
    let refused = post(&world, "k16", &batch(16));
    assert_eq!((refused.status, refused.body.contains("too_many_batches")), (503, true));
    shelf.go_on();
    world.turn();
    for asked in asked {
        assert_eq!(world.finish_ask(asked).expect("answered").status, 200);
    }
    assert_eq!(post(&world, "k16", &batch(16)).status, 200, "its key was not kept");
}

#[test]
fn a_full_log_of_somebody_who_is_away_is_507() {
    let mut config = config();
    config.limits.log_messages_max = 2;
    let (world, _) = kept_with(config);
    here(&world, "alice", "d001").hang_up();
    for seq in 1..=2 {
        assert_eq!(post(&world, "", ALICE).body, format!(r#"{{"seq":{seq},"online":0}}"#));
    }
    let full = post(&world, "a", ALICE);
    assert_eq!((full.status, full.body.contains("mailbox_full")), (507, true));
    let batch = post(&world, "", &format!(r#"{{"messages":[{ALICE}]}}"#));
    assert_eq!((batch.status, batch.body.contains(r#""code":507"#)), (200, true));
    // Whoever is here makes room by being here, and what is lost is announced.
    let alice = here(&world, "alice", "d001");
    assert_eq!(post(&world, "a", ALICE).status, 200);
    assert_eq!(contents(&alice), [1]);
}

#[test]
fn a_membership_is_answered_when_it_is_committed_and_void_if_it_is_not() {
    let (world, shelf) = kept();
    let bob = world.connect("/", Some("bob"));
    shelf.hold();
    let asked = world.begin_ask("PUT", "/v1/groups/g/members/bob", &[KEY], "");
    assert!(world.finish_ask(asked).is_none());
    shelf.fail();
    world.turn();
    assert_eq!(world.finish_ask(asked).expect("answered").status, 503);
    bob.say(r#"{"group":"g","content":1}"#);
    let refused = r#"{"type":"error","code":403,"reason":"not_a_member","group":"g"}"#;
    assert_eq!(bob.heard(), [text(refused)]);
    assert_eq!(ask(&world, "PUT", "/v1/groups/g/members/bob").status, 200);
    bob.say(r#"{"group":"g","content":1}"#);
    assert_eq!((bob.heard(), world.counts().kept), (vec![], 1));
    shelf.hold();
    let asked = world.begin_ask("DELETE", "/v1/groups/g/members/bob", &[KEY], "");
    assert!(world.finish_ask(asked).is_none());
    shelf.fail();
    world.turn();
    assert_eq!(world.finish_ask(asked).expect("answered").status, 503);
    bob.say(r#"{"group":"g","content":1}"#);
    assert_eq!((bob.heard(), world.counts().kept), (vec![], 1), "still a member");
    assert_eq!(ask(&world, "DELETE", "/v1/groups/g/members/bob").status, 200);
    assert_eq!(world.counts().kept, 0);
}

#[test]
fn a_membership_by_a_backend_is_there_in_both_dialects_and_kept_for_who_is_away() {
    let (world, _) = kept();
    ask(&world, "PUT", "/v1/groups/g/members/alice");
    let to_group = r#"{"group":"g","content":1}"#;
    expect(&post(&world, "", to_group), 202, r#"{"seq":2,"online":0}"#);
    let alice = silent(&world, "/?user=alice");
    alice.say(r#"{"type":"hello","client":"d001","seq":0}"#);
    assert_eq!(frames(&alice)[1]["group"], "g");
    alice.say(r#"{"group":"g","content":2,"id":1}"#);
    assert_eq!(frames(&alice)[0]["type"], "ok");
    let plain = world.connect("/", Some("alice"));
    plain.say(to_group);
    assert_eq!((plain.heard(), contents(&alice)), (vec![], vec![1.into()]));
    // The user ends it in either dialect.
    plain.say(r#"{"type":"leave","group":"g"}"#);
    assert_eq!((plain.heard().len(), world.counts().kept), (1, 0));
    expect(&post(&world, "", to_group), 200, r#"{"online":0}"#);
}

#[test]
fn a_backend_is_told_what_is_in_a_log_and_how_much_in_all() {
    let (world, _) = kept();
    let alice = here(&world, "alice", "d001");
    let plain = world.connect("/", Some("alice"));
    post(&world, "", ALICE);
    post(&world, "", ALICE);
    alice.say(r#"{"type":"ack","seq":1}"#);
    ask(&world, "PUT", "/v1/groups/g/members/alice");
    let about = ask(&world, "GET", "/v1/users/alice").body;
    let head = r#"{"user":"alice","online":2,"sessions":1,"plain":1,"groups":["g"],"record":true"#;
    let log = r#","log":{"entries":2,"bytes":"#;
    assert!(
        about.starts_with(&format!("{head}{log}")) && about.ends_with(r#","acked":1}}"#),
        "{about}"
    );
    let stats: Value = serde_json::from_str(&ask(&world, "GET", "/v1/stats").body).expect("JSON");
    let numbers = ["sessions", "records", "memberships", "commits_pending", "messages_logged"];
    assert_eq!(numbers.map(|name| stats[name].as_u64().expect(name)), [1, 1, 1, 0, 2]);
    assert!(stats["log_bytes"].as_u64() > Some(0));
    assert_eq!(stats["gaps_announced"], 0);
    let metrics = ask(&world, "GET", "/metrics").body;
    for line in ["switchboard_records 1", "switchboard_messages_logged_total 2"] {
        assert!(metrics.lines().any(|own| own == line), "{metrics}");
    }
    plain.hang_up();
    alice.hang_up();
    let stale = silent(&world, "/?user=alice");
    stale.say(r#"{"type":"hello","client":"d001","epoch":"another","seq":7}"#);
    assert_eq!(frames(&stale)[0]["gap"]["reason"], "epoch");
    let stats = ask(&world, "GET", "/v1/stats").body;
    assert!(stats.contains(r#""gaps_announced":1"#), "{stats}");
}

#[test]
fn whoever_is_kicked_is_closed_4403_in_both_dialects_and_finds_the_log_later() {
    let (world, _) = kept();
    let (alice, welcome) = greeted(&world, "alice", "d001", "");
    let plain = world.connect("/", Some("alice"));
    let kicked = ask(&world, "DELETE", "/v1/users/alice/connections");
    expect(&kicked, 200, r#"{"closed":2}"#);
    for peer in [&alice, &plain] {
        assert_eq!(peer.heard(), [Heard::Closed(4403)]);
    }
    expect(&post(&world, "", ALICE), 202, r#"{"seq":1,"online":0}"#);
    let more = format!(r#","epoch":{},"seq":0"#, welcome["epoch"]);
    let (_, welcome) = greeted(&world, "alice", "d001", &more);
    assert_eq!(welcome["resumed"], true);
}

#[test]
fn a_server_that_stops_takes_nothing_more_and_answers_what_it_took() {
    let (world, shelf) = kept();
    let alice = here(&world, "alice", "d001");
    shelf.hold();
    let asked = begin(&world, "", ALICE);
    world.stop();
    shelf.go_on();
    world.turn();
    expect(&world.finish_ask(asked).expect("answered"), 200, r#"{"seq":1,"online":1}"#);
    let heard = alice.heard();
    assert_eq!(heard.last(), Some(&Heard::Closed(1012)), "{heard:?}");
}
