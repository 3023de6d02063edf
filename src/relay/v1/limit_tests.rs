//! That everything has a limit, and what happens at it.

use super::talk_tests::{Silent, Talk, talk, talk_with, to};
use super::*;
use crate::hub::Slots;
use crate::relay::envelope::EnvelopeLimits;
use crate::relay::log::Memory;

#[test]
fn there_is_a_limit_to_everything_that_is_kept() {
    let mut talk = talk_with(LogLimits {
        clients_max: 2,
        groups_max: 1,
        records_max: 2,
        age_max_ms: 1_000,
        ..LogLimits::default()
    });
    let one = talk.hello("bob", "one", "");
    talk.say(one, r#"{"type":"join","group":"a","id":1}"#);
    talk.say(one, r#"{"type":"join","group":"b","id":2}"#);
    let many = r#"{"type":"error","id":2,"code":429,"reason":"too_many_groups"}"#;
    assert_eq!(talk.heard(one)[2..], [many]);
    talk.sessions.closed(one, talk.now);
    talk.now = Millis(10);
    talk.hello("bob", "two", "");
    talk.hello("bob", "three", "");
    let names = |talk: &Talk<Memory>| {
        let book = talk.sessions.book();
        let record = book.user(book.find("bob").expect("bob")).record().expect("a record");
        record.clients().iter().map(|client| client.name().to_string()).collect::<Vec<_>>()
    };
    assert_eq!(names(&talk), ["two", "three"], "the longest absent went");
    talk.hello("alice", "one", "");
    let eve = talk.hello("eve", "one", "");
    assert_eq!(talk.heard(eve), ["closed 4429"]);
    talk.now = Millis(5_000);
    let ids: Vec<ConnId> = talk.sessions.conns.iter().map(|(id, _)| id).collect();
    for id in ids {
        talk.sessions.closed(id, talk.now);
    }
    talk.now = Millis(7_000);
    talk.sessions.sweep(talk.now, 100);
    assert_eq!((talk.sessions.book().records(), talk.sessions.book().bytes()), (0, 0));
    assert!(talk.sessions.book().members().is_empty());
    assert!(talk.sessions.book().find("bob").is_none());
}

#[test]
fn the_log_of_a_user_who_only_ever_speaks_plain_is_not_full_for_good() {
    let mut talk = talk_with(LogLimits { entries_max: 3, ..LogLimits::default() });
    let bob = talk.hello("bob", "c8f3", "");
    talk.sessions.keep("alice", talk.now);
    talk.sessions.plain_connections("alice", 1, talk.now);
    for id in 1..=9 {
        talk.say(bob, &format!(r#"{{"id":{id},"receiver":"alice","content":{id}}}"#));
    }
    talk.sessions.plain_connections("alice", 0, talk.now);
    // All nine went to her plain connection; three more are kept for whatever she comes with.
    for id in 10..=13 {
        talk.say(bob, &format!(r#"{{"id":{id},"receiver":"alice","content":{id}}}"#));
    }
    let heard = talk.heard(bob);
    assert_eq!(heard[heard.len() - 2], r#"{"type":"ok","id":12,"online":0}"#);
    assert!(heard[heard.len() - 1].contains("mailbox_full"), "{heard:?}");
}

#[test]
fn a_server_that_stops_says_nothing_before_welcome() {
    let mut sessions =
        Sessions::new(Silent, Stored::default(), "e", Stamp(0), SessionLimits::default());
    let id = Slots::new().insert(());
    let Ok(Frame::Hello(hello)) =
        Frame::read(r#"{"type":"hello","client":"x"}"#, &EnvelopeLimits::default())
    else {
        panic!("a hello")
    };
    sessions.hello(id, "bob", &hello, Standing::Recorded, Millis(0));
    sessions.flush(Millis(0));
    sessions.drain(1_000);
    assert_eq!(sessions.effects().count(), 0);
}

#[test]
fn who_stays_for_long_is_known_to_have_been_here_lately() {
    let mut talk = talk_with(LogLimits { age_max_ms: 8_000, ..LogLimits::default() });
    talk.hello("bob", "c8f3", "");
    let seen = |talk: &Talk<Memory>| {
        let book = talk.sessions.book();
        book.user(book.find("bob").expect("bob")).record().expect("a record").seen()
    };
    let first = seen(&talk);
    talk.now = Millis(900);
    talk.sessions.sweep(talk.now, 100);
    assert_eq!(seen(&talk), first, "not for every second");
    talk.now = Millis(1_100);
    talk.sessions.sweep(talk.now, 100);
    assert!(seen(&talk) > first);
}

#[test]
fn a_full_house_lets_go_of_what_was_acknowledged() {
    let mut talk = talk_with(LogLimits { total_bytes_max: 1_200, ..LogLimits::default() });
    let alice = talk.hello("alice", "d001", "");
    talk.hello("carol", "k1", "");
    let bob = talk.hello("bob", "c8f3", "");
    for id in 1..=7 {
        talk.say(bob, &format!(r#"{{"id":{id},"receiver":"alice","content":{id}}}"#));
    }
    talk.say(alice, r#"{"type":"ack","seq":7}"#);
    let before = talk.sessions.book().bytes();
    assert!(before > 1_050 && before <= 1_200, "{before}");
    talk.sessions.sweep(talk.now, 100);
    assert_eq!(talk.sessions.book().bytes(), 0);
}

#[test]
fn nothing_is_pushed_out_that_nobody_can_have_read() {
    let mut talk = talk_with(LogLimits { entries_max: 2, bytes_max: 200, ..LogLimits::default() });
    let alice = talk.hello("alice", "d001", "");
    let bob = talk.hello("bob", "c8f3", "");
    talk.said.clear();
    let allowed = || Ruling::Allowed(Sight::Hidden);
    let long = "x".repeat(1_000);
    talk.say_ruled(bob, &format!(r#"{{"id":1,"receiver":"alice","content":"{long}"}}"#), allowed());
    talk.say_ruled(bob, r#"{"id":2,"receiver":"alice","content":2}"#, allowed());
    talk.say_ruled(bob, r#"{"id":3,"receiver":"alice","content":3}"#, allowed());
    talk.tick();
    assert!(talk.heard(alice)[0].contains(&long), "one entry of any length has room");
    let heard = talk.heard(bob);
    let retry = r#"{"type":"error","id":2,"code":503,"reason":"receiver_congested","retry":true"#;
    assert!(heard.len() == 2 && heard[1].starts_with(retry), "{heard:?}");
    talk.say(bob, r#"{"id":2,"receiver":"alice","content":2}"#);
    assert_eq!(talk.heard(bob), [r#"{"type":"ok","id":2,"online":1}"#]);
    assert_eq!(talk.heard(alice).len(), 1, "and no gap");
}

#[test]
fn those_who_never_come_do_not_keep_the_others_from_talking() {
    let mut talk = talk_with(LogLimits { total_bytes_max: 1_600, ..LogLimits::default() });
    for user in ["alice", "carol"] {
        let conn = talk.hello(user, "d001", "");
        talk.sessions.closed(conn, talk.now);
    }
    let bob = talk.hello("bob", "c8f3", "");
    talk.said.clear();
    for id in 1..=20 {
        let user = if id % 2 == 0 { "alice" } else { "carol" };
        talk.say(bob, &format!(r#"{{"id":{id},"receiver":"{user}","content":1}}"#));
    }
    let bytes = talk.sessions.book().bytes();
    assert!(bytes > 1_200 && bytes <= 1_400, "{bytes}");
    let full = r#"{"type":"error","id":20,"code":507,"reason":"mailbox_full"}"#;
    assert_eq!(talk.heard(bob).last().map(String::as_str), Some(full));
    let eve = talk.hello("eve", "e001", "");
    talk.said.clear();
    for id in 21..=30 {
        talk.say(bob, &format!(r#"{{"id":{id},"receiver":"eve","content":1}}"#));
    }
    assert_eq!(talk.heard(eve).len(), 10);
    assert!(talk.sessions.book().bytes() <= 1_600);
}

#[test]
fn a_long_log_leaves_as_the_connection_takes_it() {
    let mut talk =
        talk_with(LogLimits { entries_max: 10_000, bytes_max: 1 << 30, ..LogLimits::default() });
    let alice = talk.hello("alice", "d001", "");
    talk.sessions.closed(alice, talk.now);
    let plain = PlainSender { conn: talk.slots.insert(()), user: "eve", copies: Copies::Others };
    for _ in 0..10_000 {
        let posted = talk.sessions.post_plain(plain, &to("alice", "\"hello\""), talk.now);
        assert!(posted.is_ok(), "{posted:?}");
    }
    talk.sessions.flush(talk.now);
    let text = r#"{"type":"hello","client":"d001","epoch":"e1","seq":0}"#;
    let Ok(Frame::Hello(hello)) = Frame::read(text, &EnvelopeLimits::default()) else {
        panic!("{text}")
    };
    let alice = talk.slots.insert(());
    talk.sessions.hello(alice, "alice", &hello, Standing::Recorded, talk.now);
    talk.sessions.flush(talk.now);
    talk.sessions.effects().for_each(drop);
    let (mut pumps, mut seq) = (0, 0);
    loop {
        let pumped = talk.sessions.pump(alice, 16 << 10);
        for effect in talk.sessions.effects() {
            let Effect::Deliver { entry, .. } = effect else { panic!("{effect:?}") };
            seq += 1;
            assert_eq!(entry.seq(), Seq(seq));
        }
        pumps += 1;
        if pumped == Pumped::Done {
            break;
        }
    }
    assert_eq!(seq, 10_000);
    assert!(pumps > 30, "{pumps} pumps");
}

#[test]
fn a_store_that_is_slow_holds_up_its_users_and_not_the_memory() {
    let limits = SessionLimits { held_max: 10, ..SessionLimits::default() };
    let sessions = Sessions::new(Silent, Stored::default(), "e1", Stamp(0), limits);
    let (slots, said) = (Slots::new(), Vec::new());
    let mut talk = Talk { sessions, slots, said, now: Millis(0), sight: Sight::Shown };
    let bob = talk.hello("bob", "c8f3", "");
    talk.sessions.committed(crate::relay::log::BatchNumber(1));
    let plain = PlainSender { conn: talk.slots.insert(()), user: "eve", copies: Copies::Others };
    for _ in 0..10 {
        assert!(talk.sessions.post_plain(plain, &to("bob", "1"), talk.now).is_ok());
        talk.sessions.flush(talk.now);
    }
    let refused = talk.sessions.post_plain(plain, &to("bob", "1"), talk.now);
    assert_eq!(refused, Err(Refused::STORE));
    talk.collect();
    talk.said.clear();
    talk.say(bob, r#"{"type":"ping","id":1}"#);
    talk.say(bob, r#"{"type":"ping","id":2}"#);
    talk.say(bob, r#"{"receiver":"bob","content":1}"#);
    talk.sessions.committed(crate::relay::log::BatchNumber(100));
    talk.tick();
    let heard = talk.heard(bob);
    let answers: Vec<&String> = heard.iter().filter(|text| text.contains("type")).collect();
    assert!(answers[0].contains(r#""code":503,"reason":"store"}"#), "{answers:?}");
    assert!(answers[1].contains(r#""id":1,"code":503,"reason":"store","retry":true"#));
    assert_eq!(answers.len(), 2, "{answers:?}");
    talk.say(bob, r#"{"type":"ping","id":1}"#);
    talk.sessions.committed(crate::relay::log::BatchNumber(200));
    talk.collect();
    assert_eq!(talk.heard(bob), [r#"{"type":"ok","id":1}"#]);
}

#[test]
fn who_has_nothing_new_is_not_looked_at() {
    let mut talk = talk();
    let bob = talk.hello("bob", "c8f3", "");
    let alice = talk.hello("alice", "d001", "");
    let allowed = || Ruling::Allowed(Sight::Shown);
    talk.say_ruled(bob, r#"{"id":1,"receiver":"alice","content":1}"#, allowed());
    talk.sessions.flush(talk.now);
    assert_eq!(talk.sessions.next_ready(), Some(alice));
    assert_eq!(talk.sessions.next_ready(), None, "only the numbers of bob have changed");
    assert_eq!(talk.sessions.pump(alice, usize::MAX), Pumped::Done);
    talk.say_ruled(alice, r#"{"type":"ack","seq":1}"#, allowed());
    talk.sessions.flush(talk.now);
    assert_eq!(talk.sessions.next_ready(), None, "what was acknowledged had been read");
}
