//! Both dialects at once: everybody is reached, whatever he speaks.

use super::*;
use world::text;

#[test]
fn plain_and_v1_talk_to_each_other() {
    let world = World::new();
    let alice = here(&world, "alice", "d001");
    let bob = world.connect("/", Some("bob"));
    bob.say(r#"{"sender":"bob","receiver":"alice","content":"hi"}"#);
    let delivered = frames(&alice).remove(0);
    assert_eq!((&delivered["sender"], &delivered["mid"]), (&"bob".into(), &Value::Null));
    assert!(delivered["seq"].is_u64(), "{delivered}");
    alice.say(&to(1, "bob", "\"ho\""));
    assert_eq!(bob.heard(), [text(r#"{"sender":"alice","content":"ho"}"#)]);
    assert_eq!(texts(&alice), [r#"{"type":"ok","id":1,"online":1,"logged":false}"#]);
}

#[test]
fn to_an_absent_user_with_a_log_a_plain_message_is_kept_and_to_another_it_is_404() {
    let world = World::new();
    let (alice, welcome) = greeted(&world, "alice", "d001", "");
    alice.hang_up();
    let bob = world.connect("/", Some("bob"));
    bob.say(r#"{"receiver":"alice","content":1}"#);
    assert_eq!(bob.heard(), []);
    bob.say(r#"{"receiver":"nobody","content":1}"#);
    let refused = r#"{"type":"error","code":404,"reason":"receiver_offline","receiver":"nobody"}"#;
    assert_eq!(bob.heard(), [text(refused)]);
    let position = format!(r#","epoch":{},"seq":{}"#, welcome["epoch"], welcome["seq"]);
    let alice = silent(&world, "/?user=alice");
    alice.say(&format!(r#"{{"type":"hello","client":"d001"{position}}}"#));
    let heard = frames(&alice);
    assert_eq!((&heard[0]["resumed"], &heard[1]["content"]), (&true.into(), &1.into()));
}

#[test]
fn a_user_with_both_kinds_of_connections_gets_a_message_once_on_each() {
    let world = World::new();
    let desk = here(&world, "alice", "d001");
    let old = world.connect("/", Some("alice"));
    let bob = here(&world, "bob", "c8f3");
    bob.say(&to(1, "alice", "1"));
    assert_eq!(frames(&bob)[0]["online"], 2);
    assert_eq!((contents(&desk), old.heard()), (vec![1.into()], vec![text(FROM_BOB)]));
    // What alice says on one of them is on her others, and not on that one.
    old.say(r#"{"receiver":"bob","content":2}"#);
    assert_eq!((contents(&bob), contents(&desk)), (vec![2.into()], vec![2.into()]));
    assert_eq!(old.heard(), []);
    desk.say(&to(1, "bob", "3"));
    assert_eq!((contents(&bob), frames(&desk)[0]["type"].clone()), (vec![3.into()], "ok".into()));
}

#[test]
fn a_group_reaches_members_of_both_dialects_once_and_no_others() {
    let world = World::new();
    let (alice, eve) = (here(&world, "alice", "d001"), here(&world, "eve", "e777"));
    let (bob, carol) = (world.connect("/", Some("bob")), world.connect("/", Some("carol")));
    alice.say(r#"{"type":"join","group":"g","id":1}"#);
    assert_eq!(texts(&alice), [r#"{"type":"ok","id":1}"#]);
    bob.say(r#"{"type":"join","group":"g"}"#);
    assert_eq!(bob.heard().len(), 1);
    bob.say(r#"{"group":"g","content":1}"#);
    assert_eq!((contents(&alice), bob.heard()), (vec![1.into()], vec![]));
    alice.say(r#"{"id":2,"group":"g","content":2}"#);
    assert_eq!(bob.heard(), [text(r#"{"sender":"alice","group":"g","content":2}"#)]);
    assert_eq!(frames(&alice)[0]["online"], 1);
    eve.say(r#"{"id":1,"group":"g","content":3}"#);
    assert_eq!(frames(&eve)[0]["reason"], "not_a_member");
    carol.say(r#"{"group":"g","content":3}"#);
    assert_eq!(carol.heard().len(), 1);
    assert_eq!((alice.heard(), bob.heard()), (vec![], vec![]));
    // A membership of a session stays when its connection ends, that of a plain one does not.
    alice.hang_up();
    bob.say(r#"{"group":"g","content":4}"#);
    let alice = silent(&world, "/?user=alice");
    alice.say(r#"{"type":"hello","client":"d001","seq":0}"#);
    assert_eq!(contents(&alice).pop(), Some(4.into()));
    bob.hang_up();
    let bob = world.connect("/", Some("bob"));
    bob.say(r#"{"group":"g","content":5}"#);
    assert_eq!(bob.heard().len(), 1, "not a member any more");
    alice.say(r#"{"type":"leave","group":"g","id":3}"#);
    assert_eq!(frames(&alice)[0]["type"], "ok");
}

#[test]
fn a_message_to_everyone_reaches_both_dialects_and_the_room_stays_plain() {
    let world = World::new();
    let (alice, bob) = (here(&world, "alice", "d001"), here(&world, "bob", "c8f3"));
    let plain = world.connect("/", Some("carol"));
    bob.say(r#"{"id":1,"group":"*","content":1}"#);
    assert_eq!(contents(&alice), [1]);
    assert_eq!(plain.heard(), [text(r#"{"sender":"bob","group":"*","content":1}"#)]);
    plain.say("hello, room");
    assert_eq!((frames(&bob).len(), alice.heard()), (1, vec![]));
}

const FROM_BOB: &str = r#"{"sender":"bob","content":1}"#;
