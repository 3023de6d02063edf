//! What the dialect promises, one example each, in the words of the wire.

use super::talk_tests::{Silent, Talk, group, talk, talk_with, to};
use super::*;
use crate::hub::Slots;
use crate::relay::log::{Experience, StoredRecord};

#[test]
fn a_message_is_accepted_delivered_and_gone_on_from() {
    let mut talk = talk();
    let alice = talk.hello("alice", "d001", "");
    assert_eq!(
        talk.heard(alice),
        [group(
            "{'type':'welcome','user':'alice','epoch':'e1','seq':0,'resumed':false,'last':null,\
             'refused':[],'ping':25,'limits':{'inflight':64,'message':1048576}}"
        )]
    );
    let bob = talk.hello("bob", "c8f3", r#","next":17"#);
    talk.said.clear();
    talk.say(bob, r#"{"id":17,"receiver":"alice","content":"hi"}"#);
    assert_eq!(talk.heard(bob), [r#"{"type":"ok","id":17,"online":1}"#]);
    let delivery = r#"{"seq":1,"sender":"bob","receiver":"alice","content":"hi","mid":"c8f3:17"}"#;
    assert_eq!(talk.heard(alice), [delivery]);
    talk.sessions.closed(alice, talk.now);
    talk.say(bob, r#"{"id":18,"receiver":"alice","content":"bye"}"#);
    talk.say(bob, r#"{"id":17,"receiver":"alice","content":"hi"}"#);
    talk.say(bob, r#"{"id":20,"receiver":"alice","content":"too far"}"#);
    assert_eq!(
        talk.heard(bob),
        [
            r#"{"type":"ok","id":18,"online":0}"#,
            r#"{"type":"ok","id":17,"dup":true}"#,
            &group(
                "{'type':'error','id':20,'code':409,'reason':'expected','retry':true,\
                 'expect':19,'after':500}"
            ),
        ]
    );
    let alice = talk.hello("alice", "d001", r#","epoch":"e1","seq":1"#);
    let heard = talk.heard(alice);
    assert!(heard[0].contains(r#""seq":1,"resumed":true,"last":null"#), "{heard:?}");
    assert!(heard[1].contains(r#""seq":2,"sender":"bob""#) && heard.len() == 2, "{heard:?}");
}

#[test]
fn a_position_that_is_not_ours_comes_with_a_gap() {
    let mut talk = talk();
    for (position, reason) in [(r#""other","seq":41"#, "epoch"), (r#""e1","seq":41"#, "ahead")] {
        let alice = talk.hello("alice", "d001", &format!(r#","epoch":{position}"#));
        let gap = format!(r#""gap":{{"after":41,"until":0,"reason":"{reason}"}}}}"#);
        let heard = talk.heard(alice);
        assert!(heard[0].ends_with(&gap) && heard[0].contains(r#""resumed":false"#), "{heard:?}");
    }
    let late = talk.hello("alice", "d001", r#","seq":0"#);
    assert!(talk.heard(late)[0].contains(r#""seq":0,"resumed":false"#));
}

#[test]
fn r9_what_was_promised_stays_and_what_was_acknowledged_makes_room() {
    let mut talk = talk_with(LogLimits { entries_max: 2, ..LogLimits::default() });
    let alice = talk.hello("alice", "d001", "");
    let bob = talk.hello("bob", "c8f3", "");
    talk.say(bob, r#"{"id":1,"receiver":"alice","content":1}"#);
    talk.said.clear();
    talk.say(alice, r#"{"type":"ack","seq":2}"#);
    assert_eq!(talk.heard(alice), [r#"{"type":"error","code":400,"reason":"ack_ahead"}"#]);
    talk.say(alice, r#"{"type":"ack","seq":1}"#);
    talk.sessions.closed(alice, talk.now);
    for id in 2..=5 {
        talk.say(bob, &format!(r#"{{"id":{id},"receiver":"alice","content":{id}}}"#));
    }
    let full = |id, more| {
        let code = if more { r#"410,"reason":"refused","dup":true"# } else { FULL };
        format!(r#"{{"type":"error","id":{id},"code":{code}}}"#)
    };
    const FULL: &str = r#"507,"reason":"mailbox_full""#;
    let heard = talk.heard(bob);
    assert_eq!(heard[2..], [full(4, false), full(5, false)], "{heard:?}");
    talk.say(bob, r#"{"id":4,"receiver":"alice","content":4}"#);
    assert_eq!(talk.heard(bob), [full(4, true)]);
    // 1 was acknowledged and went silently: somebody who has it goes on without a gap.
    let alice = talk.hello("alice", "d001", r#","epoch":"e1","seq":1"#);
    let heard = talk.heard(alice);
    assert!(heard[0].contains(r#""resumed":true"#) && heard.len() == 3, "{heard:?}");
}

#[test]
fn r10_a_group_message_pushes_out_the_oldest_and_says_so() {
    let mut talk = talk_with(LogLimits { entries_max: 2, ..LogLimits::default() });
    let alice = talk.hello("alice", "d001", "");
    let bob = talk.hello("bob", "c8f3", "");
    talk.say(bob, r#"{"id":1,"group":"g","content":0}"#);
    talk.say(alice, r#"{"type":"join","group":"g","id":1}"#);
    talk.say(bob, r#"{"type":"join","group":"g","id":2}"#);
    assert_eq!(
        talk.heard(bob)[1..],
        [
            r#"{"type":"error","id":1,"code":403,"reason":"not_a_member"}"#,
            r#"{"type":"ok","id":2}"#
        ]
    );
    talk.sessions.closed(alice, talk.now);
    for id in 3..=5 {
        talk.say(bob, &format!(r#"{{"id":{id},"group":"g","content":{id}}}"#));
    }
    let alice = talk.hello("alice", "d001", r#","epoch":"e1","seq":0"#);
    let heard = talk.heard(alice);
    // The joins took 1 and 2, and 3 was pushed out.
    let gap = r#""resumed":false,"last":1,"refused":[],"#;
    assert!(heard[0].contains(gap), "{heard:?}");
    assert!(heard[0].ends_with(r#""gap":{"after":0,"until":3,"reason":"overflow"}}"#), "{heard:?}");
    assert!(heard[1].starts_with(r#"{"seq":4,"sender":"bob","group":"g","content":4"#));
    assert_eq!(heard.len(), 3);
}

#[test]
fn r11_the_sending_client_is_skipped_and_the_others_get_a_copy() {
    let mut talk = talk();
    let desk = talk.hello("bob", "desk", "");
    talk.hello("alice", "d001", "");
    talk.say(desk, r#"{"id":1,"receiver":"alice","content":1}"#);
    let phone = talk.hello("bob", "phone", r#","seq":0"#);
    talk.say(desk, r#"{"id":2,"receiver":"alice","content":2}"#);
    talk.say(desk, r#"{"id":3,"receiver":"alice","content":3,"echo":true}"#);
    let copies: Vec<String> = talk.heard(phone)[1..].to_vec();
    assert_eq!(copies.len(), 2, "1 had nobody to be copied for: {copies:?}");
    assert!(copies[0].contains(r#""content":2"#) && copies[1].contains(r#""content":3"#));
    let own: Vec<String> = talk.heard(desk).into_iter().filter(|t| t.contains("mid")).collect();
    assert!(own.len() == 1 && own[0].contains(r#""content":3"#), "{own:?}");
    // What the desk itself sent is acknowledged by having been sent.
    talk.say(desk, r#"{"type":"ack","seq":3}"#);
    let key = talk.sessions.book().find("bob").expect("bob is here");
    let mailbox = talk.sessions.book().user(key).record().expect("with a record").mailbox();
    assert_eq!(mailbox.acked(), Seq(3));
}

#[test]
fn r11_a_user_who_only_sends_does_not_fill_the_own_log() {
    let mut talk = talk_with(LogLimits { entries_max: 4, ..LogLimits::default() });
    let desk = talk.hello("bob", "desk", "");
    let phone = talk.hello("bob", "phone", "");
    let eve = talk.hello("eve", "e1", "");
    talk.hello("alice", "d001", "");
    talk.sessions.closed(phone, talk.now);
    for id in 1..=20 {
        talk.say(desk, &format!(r#"{{"id":{id},"receiver":"alice","content":{id}}}"#));
    }
    talk.say(desk, r#"{"type":"ack","seq":0}"#);
    talk.sessions.closed(desk, talk.now);
    talk.said.clear();
    talk.say(eve, r#"{"id":1,"receiver":"bob","content":"room?"}"#);
    assert_eq!(talk.heard(eve), [r#"{"type":"ok","id":1,"online":0}"#]);
}

#[test]
fn r13_what_is_not_logged_waits_for_what_was_logged_before_it() {
    let mut talk = talk();
    let alice = talk.hello("alice", "d001", "");
    let bob = talk.hello("bob", "c8f3", "");
    talk.said.clear();
    let allowed = || Ruling::Allowed(Sight::Hidden);
    talk.say_ruled(bob, r#"{"id":1,"receiver":"alice","content":1}"#, allowed());
    talk.say_ruled(bob, r#"{"id":2,"receiver":"alice","content":2,"ttl":0}"#, allowed());
    talk.say_ruled(bob, r#"{"id":3,"receiver":"alice","content":3}"#, allowed());
    for id in 4..10 {
        let text = format!(r#"{{"id":{id},"receiver":"alice","content":{id},"ttl":0}}"#);
        talk.say_ruled(bob, &text, allowed());
    }
    talk.sessions.flush(talk.now);
    talk.collect();
    assert!(talk.heard(alice).is_empty(), "nothing leaves before it is pumped");
    assert_eq!(talk.heard(bob)[1], r#"{"type":"ok","id":2,"logged":false}"#);
    assert_eq!(talk.sessions.pump(alice, 0), Pumped::More);
    assert_eq!(talk.sessions.pump(alice, 1), Pumped::More, "the last frame may go beyond");
    assert_eq!(talk.sessions.pump(alice, 1), Pumped::More);
    assert_eq!(talk.sessions.pump(alice, usize::MAX), Pumped::Done);
    talk.collect();
    let heard = talk.heard(alice);
    for (at, text) in heard[..3].iter().enumerate() {
        assert!(text.contains(&format!(r#""content":{}"#, at + 1)), "{heard:?}");
    }
    assert!(!heard[1].contains("seq"), "{heard:?}");
    assert_eq!(heard[heard.len() - 1], r#"{"type":"gap","dropped":5}"#, "{heard:?}");
}

#[test]
fn a_receipt_comes_once_to_the_client_that_asked_and_may_know() {
    let mut talk = talk();
    let alice = talk.hello("alice", "d001", "");
    let tablet = talk.hello("alice", "d002", "");
    let bob = talk.hello("bob", "c8f3", "");
    let phone = talk.hello("bob", "phone", "");
    talk.say(bob, r#"{"id":1,"receiver":"alice","content":1,"receipt":true}"#);
    talk.sight = Sight::Hidden;
    talk.say(bob, r#"{"id":2,"receiver":"alice","content":2,"receipt":true}"#);
    talk.said.clear();
    talk.say(phone, r#"{"type":"ack","seq":2}"#);
    assert!(talk.heard(bob).is_empty(), "that bob has his own copy is no news");
    talk.say(alice, r#"{"type":"ack","seq":2}"#);
    talk.say(tablet, r#"{"type":"ack","seq":2}"#);
    assert_eq!(talk.heard(bob), [r#"{"type":"receipt","mid":"c8f3:1","user":"alice"}"#]);
}

#[test]
fn the_newer_connection_of_a_client_wins_unless_it_is_really_the_older() {
    let mut talk = talk();
    let first = talk.hello("bob", "c8f3", r#","attempt":7"#);
    let second = talk.hello("bob", "c8f3", r#","attempt":8"#);
    assert_eq!(talk.heard(first).pop().as_deref(), Some("closed 4409"));
    talk.say(first, r#"{"id":1,"receiver":"bob","content":1}"#);
    assert!(talk.heard(first).is_empty(), "it is read no more");
    let delayed = talk.hello("bob", "c8f3", r#","attempt":6"#);
    assert_eq!(talk.heard(delayed), ["closed 4409"]);
    talk.heard(second);
    talk.say(second, r#"{"type":"ping","id":1}"#);
    assert_eq!(talk.heard(second), [r#"{"type":"ok","id":1}"#]);
    assert_eq!(talk.sessions.counts().connections, 1);
}

#[test]
fn what_breaks_the_rules_of_numbering_is_closed() {
    let mut talk = talk();
    let bob = talk.hello("bob", "c8f3", r#","next":100"#);
    talk.say(bob, r#"{"type":"ping","id":35}"#);
    assert_eq!(talk.heard(bob).pop().as_deref(), Some("closed 4400"));
    let bob = talk.hello("bob", "c8f3", "");
    talk.say(bob, r#"{"type":"hello","client":"c8f3"}"#);
    assert_eq!(talk.heard(bob).pop().as_deref(), Some("closed 4400"));
    let bob = talk.hello("bob", "c8f3", "");
    talk.say(bob, r#"{"id":100,"receiver":"","content":1}"#);
    let refused = r#"{"type":"error","id":100,"code":400,"reason":"invalid_receiver"}"#;
    assert_eq!(talk.heard(bob)[1..], [refused]);
    talk.say(bob, "[]");
    assert_eq!(talk.heard(bob), ["closed 4400"]);
}

#[test]
fn r4_one_refusal_is_one_retry() {
    let mut talk = talk();
    let bob = talk.hello("bob", "c8f3", "");
    talk.said.clear();
    let rate = Refused { code: 429, reason: "rate" };
    let later = Ruling::Later { refused: rate, after_ms: 250 };
    talk.say_ruled(bob, r#"{"type":"ping","id":1}"#, later);
    for id in 2..=64 {
        talk.say(bob, &format!(r#"{{"type":"ping","id":{id}}}"#));
    }
    let retry = group(
        "{'type':'error','id':1,'code':429,'reason':'rate','retry':true,'expect':1,'after':250}",
    );
    assert_eq!(talk.heard(bob), [retry]);
    talk.say(bob, r#"{"type":"ping","id":1}"#);
    talk.say(bob, r#"{"type":"ping","id":2}"#);
    assert_eq!(talk.heard(bob), [r#"{"type":"ok","id":1}"#, r#"{"type":"ok","id":2}"#]);
}

#[test]
fn guests_have_no_log_and_hear_what_is_live() {
    let mut talk = talk();
    let guest = talk.hello_as("7", "c1", "", Standing::Guest);
    let welcome = talk.heard(guest);
    assert!(welcome[0].contains(r#""user":"7","resumed":false,"last":null"#), "{welcome:?}");
    let bob = talk.hello("bob", "c8f3", "");
    talk.said.clear();
    talk.say(bob, r#"{"id":1,"receiver":"7","content":1}"#);
    assert_eq!(talk.heard(bob), [r#"{"type":"ok","id":1,"online":1,"logged":false}"#]);
    assert_eq!(
        talk.heard(guest),
        [r#"{"sender":"bob","receiver":"7","content":1,"mid":"c8f3:1"}"#]
    );
    talk.say(guest, r#"{"id":1,"receiver":"bob","content":2}"#);
    assert_eq!(talk.heard(guest), [r#"{"type":"ok","id":1,"online":1}"#]);
    talk.sessions.closed(guest, talk.now);
    talk.say(bob, r#"{"id":2,"receiver":"7","content":1}"#);
    let offline = r#"{"type":"error","id":2,"code":404,"reason":"receiver_offline"}"#;
    assert_eq!(talk.heard(bob)[1..], [offline]);
}

#[test]
fn plain_connections_and_backends_go_through_the_same_log() {
    let mut talk = talk();
    let alice = talk.hello("alice", "d001", "");
    talk.said.clear();
    talk.sessions.plain_connections("alice", 1, talk.now);
    talk.sessions.plain_connections("eve", 1, talk.now);
    let plain = PlainSender { conn: talk.slots.insert(()), user: "eve", copies: Copies::Others };
    let posted = talk.sessions.post_plain(plain, &to("alice", "1"), talk.now);
    assert_eq!(posted, Ok(Posted { seq: Some(Seq(1)), online: 2 }));
    let nobody = talk.sessions.post_plain(plain, &to("nobody", "1"), talk.now);
    assert_eq!(nobody, Err(Refused::RECEIVER_OFFLINE));
    let itself = talk.sessions.post_plain(plain, &to("eve", "1"), talk.now);
    assert_eq!(itself, Err(Refused::RECEIVER_OFFLINE), "to oneself with no other connection");
    let _ = talk.sessions.push(Push { sender: "billing", token: 5 }, &to("alice", "2"), talk.now);
    assert!(talk.sessions.effects().next().is_none(), "nothing before the commit");
    talk.tick();
    let heard = talk.heard(alice);
    assert_eq!(heard[0], r#"{"seq":1,"sender":"eve","receiver":"alice","content":1}"#);
    assert_eq!(heard[1], r#"{"seq":2,"sender":"billing","receiver":"alice","content":2}"#);
    let pushed = "push 5: Ok(Posted { seq: Some(Seq(2)), online: 2 })";
    assert_eq!(talk.rest(), ["plain alice: 1", "plain alice: 2", pushed]);
}

#[test]
fn r12_whoever_waits_for_a_commit_that_fails_is_told() {
    let sessions =
        Sessions::new(Silent, Stored::default(), "e1", Stamp(0), SessionLimits::default());
    let (slots, said) = (Slots::new(), Vec::new());
    let mut talk = Talk { sessions, slots, said, now: Millis(0), sight: Sight::Shown };
    let bob = talk.hello("bob", "c8f3", "");
    talk.sessions.committed(crate::relay::log::BatchNumber(1));
    talk.collect();
    assert_eq!(talk.heard(bob).len(), 1);
    let eve = talk.slots.insert(());
    let plain = PlainSender { conn: eve, user: "eve", copies: Copies::Others };
    assert!(talk.sessions.post_plain(plain, &to("bob", "1"), talk.now).is_ok());
    let _ = talk.sessions.push(Push { sender: "billing", token: 5 }, &to("bob", "2"), talk.now);
    talk.say(bob, r#"{"id":1,"receiver":"bob","content":1,"echo":true}"#);
    talk.say(bob, r#"{"receiver":"bob","content":1,"echo":true}"#);
    talk.say(bob, r#"{"id":2,"receiver":"bob","content":1,"echo":true}"#);
    assert!(talk.said.is_empty(), "{:?}", talk.said);
    talk.sessions.failed();
    talk.collect();
    assert_eq!(talk.heard(eve), ["unsent 503"]);
    // At once, though nobody knows yet what was committed.
    let retry = group(
        "{'type':'error','id':1,'code':503,'reason':'store','retry':true,'expect':1,'after':500}",
    );
    let unnumbered = r#"{"type":"error","code":503,"reason":"store"}"#;
    assert_eq!(talk.heard(bob), [unnumbered, &retry]);
    assert_eq!(talk.rest(), [r#"push 5: Err(Refused { code: 503, reason: "store" })"#]);
    talk.say(bob, r#"{"id":3,"receiver":"bob","content":1,"echo":true}"#);
    assert!(talk.heard(bob).is_empty());
    talk.say(bob, r#"{"id":1,"receiver":"bob","content":1,"echo":true}"#);
    assert_eq!(talk.heard(bob), [retry]);
    // The first of them was.
    let numbers = Numbers::restored(1, 0, Experience::Some);
    let record = StoredRecord {
        clients: vec![(Rc::from("c8f3"), numbers, Stamp(0))],
        ..StoredRecord::default()
    };
    let users = vec![(Rc::from("bob"), Some(record))];
    talk.sessions.restored(Stored { users, ..Stored::default() }, talk.now);
    talk.tick();
    assert!(talk.heard(bob).is_empty(), "it was said once");
    talk.say(bob, r#"{"id":1,"receiver":"bob","content":1,"echo":true}"#);
    assert_eq!(talk.heard(bob), [r#"{"type":"ok","id":1,"dup":true}"#]);
    talk.say(bob, r#"{"id":2,"receiver":"bob","content":1,"echo":true}"#);
    assert!(talk.heard(bob).is_empty(), "it waits for its commit");
}

#[test]
fn silence_is_pinged_and_then_ended() {
    let mut talk = talk();
    let bob = talk.hello("bob", "c8f3", "");
    talk.said.clear();
    assert_eq!(talk.sessions.heartbeat(bob, Millis(0)), Some(Millis(25_000)));
    assert_eq!(talk.sessions.heartbeat(bob, Millis(25_000)), Some(Millis(45_000)));
    talk.collect();
    assert_eq!(talk.heard(bob), [r#"{"type":"ping","seq":0}"#]);
    talk.sessions.took(bob, Millis(40_000));
    assert_eq!(talk.sessions.heartbeat(bob, Millis(45_000)), Some(Millis(65_000)));
    assert_eq!(talk.sessions.heartbeat(bob, Millis(65_000)), Some(Millis(85_000)));
    assert_eq!(talk.sessions.heartbeat(bob, Millis(85_000)), None);
    talk.collect();
    assert_eq!(talk.heard(bob), [r#"{"type":"ping","seq":0}"#, "closed 4408"]);
}

#[test]
fn draining_answers_what_is_pending_and_spreads_the_return() {
    let mut talk = talk();
    let bob = talk.hello("bob", "c8f3", "");
    let eve = talk.hello("eve", "c8f3", "");
    talk.said.clear();
    talk.say_ruled(bob, r#"{"type":"ping","id":1}"#, Ruling::Allowed(Sight::Hidden));
    talk.sessions.drain(4_000);
    assert!(!talk.sessions.is_settled());
    talk.say(bob, r#"{"type":"ping","id":2}"#);
    let retry = group(
        "{'type':'error','id':2,'code':503,'reason':'draining','retry':true,'expect':2,\
         'after':500}",
    );
    let drain = r#"{"type":"drain","after":0}"#;
    assert_eq!(talk.heard(bob), [drain, r#"{"type":"ok","id":1}"#, &retry]);
    assert!(talk.sessions.is_settled());
    talk.sessions.close_all(talk.now);
    talk.collect();
    assert_eq!(talk.heard(eve), [r#"{"type":"drain","after":2000}"#, "closed 1012"]);
}

#[test]
fn a_refusal_names_the_permission_or_the_length_and_is_kept_like_any_other() {
    let mut talk = talk();
    let bob = talk.hello("bob", "c8f3", "");
    talk.said.clear();
    let send = r#"{"id":1,"receiver":"a\"b","content":1}"#;
    talk.say_ruled(bob, send, Ruling::Forbidden { missing: "send:a\"b".into() });
    talk.say_ruled(bob, r#"{"type":"ping","id":2}"#, Ruling::TooLarge { max_bytes: 4_096 });
    talk.say_ruled(bob, r#"{"type":"ping"}"#, Ruling::TooLarge { max_bytes: 64 });
    talk.say(bob, send);
    let forbidden =
        r#"{"type":"error","id":1,"code":403,"reason":"forbidden","missing":"send:a\"b"}"#;
    let long = r#"{"type":"error","id":2,"code":413,"reason":"message_too_large","max":4096}"#;
    let unnumbered = r#"{"type":"error","code":413,"reason":"message_too_large","max":64}"#;
    let again = r#"{"type":"error","id":1,"code":410,"reason":"refused","dup":true}"#;
    assert_eq!(talk.heard(bob), [unnumbered, forbidden, long, again]);
    let bob = talk.hello("bob", "c8f3", "");
    assert!(talk.heard(bob)[0].contains(r#""last":2,"refused":[1,2]"#));
}
