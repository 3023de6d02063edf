//! Clients that do what they should not, and users who are more than one thing.

use super::*;
use crate::push::{ask, kept, kept_with};
use switchboard::relay::RelayConfig;
use switchboard::relay::access::Access;
use switchboard::relay::access::policy::Policy;
use world::{config, text};

fn number_of(world: &World, name: &str) -> u64 {
    let stats: Value = serde_json::from_str(&ask(world, "GET", "/v1/stats").body).expect("JSON");
    stats[name].as_u64().expect(name)
}

#[test]
fn a_flood_of_frames_without_numbers_is_answered_with_refusals_alone() {
    let (world, _) = kept();
    let (alice, bob) = (here(&world, "alice", "d001"), here(&world, "bob", "c8f3"));
    for _ in 0..1_000 {
        bob.say(r#"{"receiver":"nobody","content":1}"#);
    }
    assert_eq!(frames(&bob).len(), 1_000);
    for _ in 0..1_000 {
        bob.say(r#"{"receiver":"alice","content":1}"#);
    }
    assert_eq!((bob.heard(), contents(&alice).len()), (vec![], 1_000));
}

#[test]
fn who_floods_and_does_not_read_the_answers_is_not_read() {
    let (world, _) = kept();
    let bob = here(&world, "bob", "c8f3");
    bob.stop_reading();
    for _ in 0..20_000 {
        bob.say(r#"{"receiver":"nobody","content":1}"#);
    }
    let queued = world.queued(&bob);
    assert!(queued < 200_000, "{queued} bytes of answers are held");
}

#[test]
fn hellos_of_many_clients_leave_as_many_clients_and_connections_as_may_be() {
    let (world, _) = kept();
    for n in 0..500 {
        here(&world, "bob", &format!("c{n}")).hang_up();
    }
    assert_eq!((number_of(&world, "records"), number_of(&world, "sessions")), (1, 0));
    // Each pushes out the one before it, and none is welcome beside it.
    let peers: Vec<Peer> = (0..50).map(|_| here(&world, "bob", "same")).collect();
    let closed = peers.iter().filter(|peer| peer.heard() == [Heard::Closed(4409)]).count();
    assert_eq!((closed, number_of(&world, "sessions")), (49, 1));
}

#[test]
fn an_ack_above_what_was_written_has_no_effect_however_often() {
    let (world, _) = kept();
    let alice = here(&world, "alice", "d001");
    for seq in [1, 2, 9_007_199_254_740_991_u64] {
        alice.say(&format!(r#"{{"type":"ack","seq":{seq}}}"#));
        assert_eq!(frames(&alice)[0]["reason"], "ack_ahead");
    }
    here(&world, "bob", "c8f3").say(&to(1, "alice", "1"));
    let about = ask(&world, "GET", "/v1/users/alice").body;
    assert!(about.contains(r#""acked":0"#), "{about}");
}

#[test]
fn as_many_receipts_as_messages_and_none_that_fills_a_memory() {
    let (world, _) = kept();
    let (alice, bob) = (here(&world, "alice", "d001"), here(&world, "bob", "c8f3"));
    for id in 1..=60 {
        bob.say(&format!(r#"{{"id":{id},"receiver":"alice","content":1,"receipt":true}}"#));
    }
    let seq = frames(&alice).pop().expect("a message")["seq"].clone();
    assert_eq!(frames(&bob).len(), 60);
    for _ in 0..3 {
        alice.say(&format!(r#"{{"type":"ack","seq":{seq}}}"#));
    }
    let receipts = frames(&bob);
    assert_eq!(receipts.len(), 60);
    assert!(receipts.iter().all(|frame| frame["type"] == "receipt"));
}

#[test]
fn an_impersonated_message_is_no_message_of_the_one_it_names() {
    let policy = r#"{"roles":{"*":{"allow":["room:*","send:*","impersonate"]}}}"#;
    let policy = Policy::parse(policy).expect("a policy");
    let access = Access { policy, ..Access::open() };
    let (world, _) = kept_with(RelayConfig { access, ..config() });
    let (alice, bob) = (here(&world, "alice", "d001"), here(&world, "bob", "c8f3"));
    let eve = world.connect("/", Some("eve"));
    eve.say(r#"{"sender":"bob","receiver":"alice","content":1}"#);
    let heard = frames(&alice).remove(0);
    assert_eq!((&heard["sender"], &heard["mid"]), (&"bob".into(), &Value::Null));
    assert_eq!(bob.heard(), [], "no copy of what he did not say");
    // In switchboard.v1 nobody speaks as another: ids are of one user.
    bob.say(r#"{"id":1,"sender":"carol","receiver":"alice","content":1}"#);
    assert_eq!(frames(&bob)[0]["reason"], "sender_mismatch");
    assert_eq!(alice.heard(), []);
}

#[test]
fn a_number_that_names_somebody_with_a_log_is_no_guests() {
    let (world, _) = kept();
    // The connection that is going to be the next but one.
    let probe = world.connect("/", None);
    let number: u64 = probe.user().expect("a number").parse().expect("a number");
    let name = (number + 3).to_string();
    ask(&world, "PUT", &format!("/v1/groups/g/members/{name}"));
    let guests: Vec<Peer> = (0..4).map(|_| world.connect("/", None)).collect();
    assert!(guests.iter().all(|guest| guest.user().as_deref() != Some(&*name)));
    let sender = here(&world, "bob", "c8f3");
    sender.say(&to(1, &name, "1"));
    assert_eq!(frames(&sender)[0]["online"], 0);
    assert!(guests.iter().all(|guest| guest.heard().is_empty()));
}

#[test]
fn a_guest_who_becomes_somebody_is_reached_by_the_old_number_no_more() {
    let (world, _) = kept();
    let (guest, bob) = (world.connect("/", None), here(&world, "bob", "c8f3"));
    let number = guest.user().expect("a number");
    bob.say(&to(1, &number, "1"));
    assert_eq!((frames(&bob)[0]["online"].clone(), guest.heard().len()), (1.into(), 1));
    guest.say(r#"{"sender":"carol","receiver":"bob","content":2}"#);
    assert_eq!(contents(&bob), [2]);
    bob.say(&to(2, &number, "3"));
    assert_eq!(frames(&bob)[0]["reason"], "receiver_offline");
    bob.say(&to(3, "carol", "4"));
    assert_eq!(guest.heard(), [text(r#"{"sender":"bob","content":4}"#)]);
}

#[test]
fn a_guest_who_claims_the_name_of_somebody_with_a_log_has_his_groups() {
    let (world, _) = kept();
    ask(&world, "PUT", "/v1/groups/g/members/alice");
    let guest = world.connect("/", None);
    guest.say(r#"{"sender":"alice","group":"g","content":1}"#);
    let about = ask(&world, "GET", "/v1/users/alice").body;
    assert!(about.contains(r#""online":1,"sessions":0,"plain":1,"groups":["g"]"#), "{about}");
    assert_eq!(
        ask(&world, "GET", "/v1/groups/g").body,
        r#"{"group":"g","count":1,"members":["alice"]}"#
    );
    let bob = here(&world, "bob", "c8f3");
    bob.say(r#"{"type":"join","group":"g","id":1}"#);
    bob.say(r#"{"group":"g","content":2,"id":2}"#);
    assert_eq!(guest.heard().pop(), Some(text(r#"{"sender":"bob","group":"g","content":2}"#)));
}

#[test]
fn a_guest_is_a_member_for_as_long_as_the_connection_lasts_and_has_no_log() {
    let (world, _) = kept();
    let guest = world.connect("/", None);
    let number = guest.user().expect("a number");
    assert_eq!(ask(&world, "PUT", &format!("/v1/groups/g/members/{number}")).status, 200);
    guest.say(r#"{"group":"g","content":1}"#);
    assert_eq!((guest.heard(), world.counts().kept, number_of(&world, "records")), (vec![], 0, 0));
    guest.hang_up();
    assert_eq!(world.counts().groups, 0);
}

#[test]
fn a_session_of_a_guest_keeps_nothing_when_it_is_gone() {
    let (world, _) = kept();
    let guest = silent(&world, "/");
    guest.say(r#"{"type":"hello","client":"c8f3"}"#);
    guest.say(r#"{"type":"join","group":"g","id":1}"#);
    guest.say(r#"{"id":2,"group":"g","content":1,"echo":true}"#);
    assert_eq!(frames(&guest).iter().filter(|frame| frame["type"] == "ok").count(), 2);
    guest.hang_up();
    let numbers = ["records", "memberships", "sessions", "groups", "log_bytes"];
    assert_eq!(numbers.map(|name| number_of(&world, name)), [0; 5]);
}

#[test]
fn a_user_of_two_dialects_is_a_member_until_he_leaves_in_either() {
    let (world, _) = kept();
    let (desk, old) = (here(&world, "alice", "d001"), world.connect("/", Some("alice")));
    desk.say(r#"{"type":"join","group":"g","id":1}"#);
    old.say(r#"{"type":"join","group":"h"}"#);
    for group in ["g", "h"] {
        old.say(&format!(r#"{{"group":"{group}","content":1}}"#));
        assert_eq!(contents(&desk).pop(), Some(1.into()), "{group}");
    }
    assert_eq!(old.heard().len(), 1, "the answer to join");
    // What was joined plainly ends with the last connection of either dialect, not before.
    old.hang_up();
    desk.say(r#"{"id":2,"group":"h","content":2}"#);
    assert_eq!(frames(&desk)[0]["type"], "ok");
    desk.hang_up();
    let old = world.connect("/", Some("alice"));
    for (group, refusals) in [("g", 0), ("h", 1)] {
        old.say(&format!(r#"{{"group":"{group}","content":1}}"#));
        assert_eq!(old.heard().len(), refusals, "{group}");
    }
    old.say(r#"{"type":"leave","group":"g"}"#);
    let desk = here(&world, "alice", "d001");
    desk.say(r#"{"id":3,"group":"g","content":3}"#);
    assert_eq!(frames(&desk)[0]["reason"], "not_a_member");
}

#[test]
fn a_join_that_is_not_committed_is_not_heard_of_in_the_other_dialect_either() {
    let (world, shelf) = kept();
    let (desk, old) = (here(&world, "alice", "d001"), world.connect("/", Some("alice")));
    shelf.hold();
    desk.say(r#"{"type":"join","group":"g","id":1}"#);
    shelf.fail();
    world.turn();
    assert_eq!(frames(&desk)[0]["reason"], "store");
    old.say(r#"{"group":"g","content":1}"#);
    let refused = r#"{"type":"error","code":403,"reason":"not_a_member","group":"g"}"#;
    assert_eq!(old.heard(), [text(refused)]);
    desk.say(r#"{"type":"join","group":"g","id":1}"#);
    assert_eq!(texts(&desk), [r#"{"type":"ok","id":1}"#]);
    old.say(r#"{"group":"g","content":1}"#);
    assert_eq!(old.heard(), []);
}

#[test]
fn a_message_to_ten_thousand_is_written_once_and_counts_as_as_many_sends() {
    let (world, _) = kept();
    for n in 0..10_000 {
        world.with_relay(|relay, cx| relay.add_member(cx, &format!("u{n}"), "g").expect("room"));
    }
    let bob = here(&world, "bob", "c8f3");
    bob.say(r#"{"type":"join","group":"g","id":1}"#);
    for id in 2..=60 {
        bob.say(&format!(r#"{{"id":{id},"group":"g","content":1}}"#));
    }
    assert_eq!(frames(&bob).len(), 60);
    assert_eq!(number_of(&world, "messages_logged"), 59);
    let about = ask(&world, "GET", "/v1/users/u9999").body;
    assert!(about.contains(r#""entries":59,"#), "{about}");
    // Who leaves ten thousand times is no member, and costs no more than that.
    bob.say(r#"{"type":"leave","group":"g","id":61}"#);
    bob.say(r#"{"id":62,"group":"g","content":1}"#);
    assert_eq!(frames(&bob)[1]["reason"], "not_a_member");
}

#[test]
fn memberships_are_as_many_as_may_be_whoever_wants_them() {
    let mut config = config();
    config.limits.memberships_max = 2;
    let (world, _) = kept_with(config);
    let bob = here(&world, "bob", "c8f3");
    bob.say(r#"{"type":"join","group":"a","id":1}"#);
    assert_eq!(ask(&world, "PUT", "/v1/groups/a/members/alice").status, 200);
    let full = ask(&world, "PUT", "/v1/groups/a/members/carol");
    assert_eq!((full.status, full.body.contains("memberships_full")), (507, true));
    assert_eq!(number_of(&world, "records"), 2, "nothing of it is left");
    bob.say(r#"{"type":"join","group":"b","id":2}"#);
    let refused = r#"{"type":"error","id":2,"code":507,"reason":"memberships_full"}"#;
    assert_eq!(texts(&bob)[1], refused);
    let plain = world.connect("/", Some("bob"));
    plain.say(r#"{"type":"join","group":"b"}"#);
    assert_eq!(plain.heard(), [text(r#"{"type":"ok","group":"b"}"#)], "for the time being");
    assert_eq!(ask(&world, "DELETE", "/v1/groups/a/members/alice").status, 200);
    bob.say(r#"{"type":"join","group":"b","id":3}"#);
    assert_eq!((texts(&bob), world.counts().kept), (vec![r#"{"type":"ok","id":3}"#.into()], 2));
}

#[test]
fn short_questions_with_long_answers_are_answered_one_after_the_other() {
    let mut config = config();
    config.limits.session_ring_bytes = 10_000;
    let (world, _) = kept_with(config);
    let members: Vec<Peer> = (0..100)
        .map(|n| {
            let peer = world.connect("/", Some(&format!("{n}{}", "x".repeat(100))));
            peer.say(r#"{"type":"join","group":"g"}"#);
            peer
        })
        .collect();
    let bob = here(&world, "bob", "c8f3");
    bob.say(r#"{"type":"join","group":"g","id":1}"#);
    bob.heard();
    let question = |id: u64| format!(r#"{{"type":"members","group":"g","id":{id}}}"#);
    let flood: Vec<String> = (2..1_000).map(question).collect();
    bob.say_all(&flood);
    let heard = frames(&bob);
    assert_eq!((heard.len(), &heard[0]["count"]), (2, &(members.len() + 1).into()));
    assert_eq!((&heard[1]["reason"], &heard[1]["expect"]), (&"rate".into(), &3.into()));
    bob.say(&question(3));
    assert_eq!(frames(&bob)[0]["type"], "ok", "and again when that has left");
}
