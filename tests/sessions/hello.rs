//! The beginning: who may say hello, and what is said then.

use super::asking::with_policy;
use super::*;

#[test]
fn a_hello_is_welcomed_and_a_message_acknowledged_and_delivered() {
    let world = World::new();
    let (alice, welcome) = greeted(&world, "alice", "d001", "");
    assert_eq!((&welcome["user"], &welcome["last"]), (&"alice".into(), &Value::Null));
    assert_eq!(welcome["limits"]["inflight"], 64);
    assert!(welcome["epoch"].as_str().is_some_and(|epoch| epoch.len() == 32), "{welcome}");
    let bob = here(&world, "bob", "c8f3");
    bob.say(&to(1, "alice", r#"{"n": 1.0}"#));
    assert_eq!(texts(&bob), [r#"{"type":"ok","id":1,"online":1}"#]);
    let delivered = texts(&alice).remove(0);
    let (head, tail) = delivered.split_once(r#","sender""#).expect("a sender");
    assert!(head.starts_with(r#"{"seq":"#), "{delivered}");
    assert_eq!(tail, r#":"bob","receiver":"alice","content":{"n": 1.0},"mid":"c8f3:1"}"#);
}

#[test]
fn what_comes_before_a_hello_and_what_is_no_frame_closes_4400() {
    for first in ["{}", "no json", r#"{"id":1,"receiver":"a","content":1}"#, r#"{"type":"ping"}"#] {
        let world = World::new();
        let peer = silent(&world, "/?user=bob");
        peer.say(first);
        assert_eq!(peer.heard(), [Heard::Closed(4400)], "{first}");
    }
    let world = World::new();
    let bob = here(&world, "bob", "c8f3");
    bob.say(r#"{"type":"hello","client":"c8f3"}"#);
    assert_eq!(bob.heard(), [Heard::Closed(4400)]);
    let peer = silent(&world, "/");
    peer.say_binary(b"{}");
    assert_eq!(peer.heard(), [Heard::Closed(1003)]);
}

#[test]
fn nobody_waits_longer_than_the_time_for_a_hello() {
    let world = World::new();
    let peer = silent(&world, "/?user=bob");
    world.pass(9_900);
    assert_eq!(peer.heard(), []);
    world.pass(1_200);
    assert_eq!(peer.heard(), [Heard::Closed(4408)]);
}

#[test]
fn the_outbox_of_one_user_is_not_sent_as_another() {
    let world = World::new();
    let peer = silent(&world, "/?user=bob");
    peer.say(r#"{"type":"hello","client":"c8f3","user":"eve"}"#);
    assert_eq!(peer.heard(), [Heard::Closed(4403)]);
}

#[test]
fn where_nobody_is_asked_who_he_is_the_hello_of_the_readme_names_the_user() {
    let world = World::new();
    let readme = include_str!("../../README.md");
    let said = readme.lines().find_map(|line| line.strip_prefix("> {\"type\":\"hello\""));
    let hello = format!(r#"{{"type":"hello"{}"#, said.expect("a hello"));
    let peer = silent(&world, "/");
    peer.say(&hello);
    let welcome = frames(&peer).remove(0);
    assert_eq!((&welcome["type"], &welcome["user"]), (&"welcome".into(), &"bob".into()));
    assert!(welcome["epoch"].is_string(), "bob has a log: {welcome}");
    let plain = world.connect("/", Some("bob"));
    let alice = here(&world, "alice", "d001");
    alice.say(&to(1, "bob", "1"));
    assert_eq!(frames(&alice)[0]["online"], 2);
    assert_eq!((contents(&peer), plain.heard().len()), (vec![1.into()], 1));
    // Who comes back by the URL is the same, and goes on where the hello was.
    peer.hang_up();
    let again = silent(&world, "/?user=bob");
    let position = format!(r#","epoch":{},"seq":{}"#, welcome["epoch"], welcome["seq"]);
    again.say(&format!(r#"{{"type":"hello","client":"c8f3"{position}}}"#));
    let heard = frames(&again);
    assert_eq!((&heard[0]["resumed"], &heard[1]["content"]), (&true.into(), &1.into()));
    assert_eq!(world.counts().users, 2, "the number of the guest is nobody's any more");
}

#[test]
fn a_name_that_cannot_be_had_closes_4403_or_4429() {
    let world =
        with_policy(r#"{"roles":{"*":{"allow":["room:*"],"limits":{"connections-per-user":1}}}}"#);
    let guest = silent(&world, "/");
    guest.say(r#"{"type":"hello","client":"c8f3"}"#);
    let number = frames(&guest)[0]["user"].clone();
    let other = silent(&world, "/");
    other.say(&format!(r#"{{"type":"hello","client":"d001","user":{number}}}"#));
    assert_eq!(other.heard(), [Heard::Closed(4403)]);
    let _bob = here(&world, "bob", "c8f3");
    let second = silent(&world, "/");
    second.say(r#"{"type":"hello","client":"d001","user":"bob"}"#);
    assert_eq!(second.heard(), [Heard::Closed(4429)]);
    let eve = silent(&world, "/");
    eve.say(r#"{"type":"hello","client":"d001","user":"eve"}"#);
    assert_eq!(frames(&eve)[0]["user"], "eve");
}

#[test]
fn the_same_client_again_replaces_the_older_connection() {
    let world = World::new();
    let older = here(&world, "bob", "c8f3");
    let newer = here(&world, "bob", "c8f3");
    assert_eq!(older.heard(), [Heard::Closed(4409)]);
    let other = here(&world, "bob", "e777");
    assert_eq!((newer.heard(), other.heard()), (vec![], vec![]));
}

#[test]
fn a_guest_has_no_log_and_is_reached_all_the_same() {
    let world = World::new();
    let guest = silent(&world, "/");
    guest.say(r#"{"type":"hello","client":"c8f3"}"#);
    let welcome = frames(&guest).remove(0);
    assert_eq!((&welcome["resumed"], &welcome["epoch"]), (&false.into(), &Value::Null));
    let name = welcome["user"].as_str().expect("a name").to_owned();
    let bob = here(&world, "bob", "c8f3");
    bob.say(&to(1, &name, "1"));
    assert_eq!(frames(&bob)[0]["logged"], false);
    assert_eq!(contents(&guest), [1]);
    guest.say(&to(1, "bob", "2"));
    assert_eq!(frames(&guest)[0]["type"], "ok");
    assert_eq!(contents(&bob), [2]);
}

#[test]
fn a_silent_session_is_pinged_and_closed_when_nothing_comes_back() {
    let world = World::new();
    let bob = here(&world, "bob", "c8f3");
    world.pass(26_500);
    let ping = frames(&bob).remove(0);
    assert_eq!(ping["type"], "ping");
    bob.say(&format!(r#"{{"type":"ack","seq":{}}}"#, ping["seq"]));
    world.pass(26_500);
    assert_eq!(frames(&bob)[0]["type"], "ping");
    world.pass(25_000);
    assert_eq!(bob.heard().pop(), Some(Heard::Closed(4408)));
}

#[test]
fn a_server_that_stops_says_when_to_come_back_and_closes_1012() {
    let world = World::new();
    let bob = here(&world, "bob", "c8f3");
    let plain = world.connect("/", Some("alice"));
    let unwelcome = silent(&world, "/?user=carol");
    world.stop();
    assert_eq!(plain.heard(), [Heard::Closed(1001)]);
    assert_eq!(unwelcome.heard(), [Heard::Closed(1012)]);
    let heard = bob.heard();
    let [Heard::Text(drain), Heard::Closed(1012)] = &heard[..] else { panic!("{heard:?}") };
    assert!(drain.starts_with(r#"{"type":"drain","after":"#), "{drain}");
}

#[test]
fn origins_and_hosts_from_elsewhere_are_http_403_before_anything_else() {
    let world = World::new();
    let offer = ("Sec-WebSocket-Protocol", "switchboard.v1");
    for header in [("Origin", "https://evil.example.org"), ("Host", "evil.example.org")] {
        let refused = world.upgrade("/?user=bob", &[offer, header]);
        assert_eq!(refused.err().map(|answer| answer.status), Some(403), "{header:?}");
    }
}
