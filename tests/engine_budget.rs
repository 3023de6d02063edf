//! What one connection says is worked off in turns, so that whoever says it to ten thousand does
//! not keep the others waiting.
#![cfg(feature = "server")]
#![allow(clippy::unwrap_used)] // a helper of a test may fail the test

use std::net::SocketAddr;

use switchboard::engine::{Action, Context, Door, Engine, Flow, Handler, Space};
use switchboard::outbox::Outbox;
use switchboard::protocol::{Connection, Endpoint};
use switchboard::timer::{Millis, UnixMillis};
use switchboard::{ConnId, Limits, Message};

/// Sends everything to everybody, and remembers who said what.
#[derive(Default)]
struct Shout {
    all: Vec<ConnId>,
    said: Vec<(ConnId, String)>,
}

impl Handler for Shout {
    fn on_open(&mut self, _: &mut Context<'_>, id: ConnId) {
        self.all.push(id);
    }

    fn on_message(&mut self, cx: &mut Context<'_>, from: ConnId, message: Message<'_>) {
        if let Message::Text(text) = message {
            self.said.push((from, text.to_owned()));
        }
        for &to in &self.all {
            let _ = cx.send(to, message);
        }
    }
}

fn open(engine: &mut Engine<Shout>) -> ConnId {
    let id = engine.accept(SocketAddr::from(([127, 0, 0, 1], 50_000)), Door::Public).unwrap();
    let mut request = b"GET / HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\n\
        Connection: Upgrade\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
        Sec-WebSocket-Version: 13\r\n\r\n"
        .to_vec();
    assert_eq!(engine.receive(id, &mut request), Flow::Read);
    flush(engine);
    id
}

/// The end of a tick, with a network that takes everything, and the beginning of the next.
fn flush(engine: &mut Engine<Shout>) {
    while let Some(id) = engine.next_dirty() {
        let len = engine.output(id).unwrap().len();
        engine.wrote(id, len, len);
    }
    let mut actions: Vec<Action> = Vec::new();
    engine.reap(&mut actions);
    engine.begin_tick(Millis(0), UnixMillis(0));
}

fn texts(range: std::ops::Range<usize>) -> Vec<u8> {
    let (mut connection, client, mut out) = (Connection::new(), Endpoint::client(), Outbox::new());
    let mut bytes = Vec::new();
    for number in range {
        connection.send(&client, Message::Text(&number.to_string()), &mut out);
        bytes.extend_from_slice(out.front());
        out.advance(out.len());
    }
    bytes
}

#[test]
fn a_flood_to_many_is_worked_off_in_turns_and_in_order() {
    let mut limits = Limits::relay();
    limits.send_budget_max = 1_000;
    let mut engine = Engine::new(limits, Shout::default());
    engine.begin_tick(Millis(0), UnixMillis(0));
    let members: Vec<ConnId> = (0..100).map(|_| open(&mut engine)).collect();
    let (flooder, other) = (members[0], members[1]);

    assert_eq!(engine.receive(flooder, &mut texts(0..500)), Flow::Paused);
    // Ten messages to a hundred are a thousand sends.
    assert_eq!(engine.handler().said.len(), 10);
    assert_eq!(engine.receive(other, &mut texts(0..1)), Flow::Read);
    assert_eq!(engine.handler().said.last(), Some(&(other, "0".to_owned())));
    assert!(engine.has_work(), "nobody else wakes the loop for what is held");

    for tick in 1..50 {
        flush(&mut engine);
        let mut resumed = Vec::new();
        engine.take_resumed(&mut resumed);
        assert_eq!(resumed, [flooder], "tick {tick}");
        let _ = engine.resume(flooder);
    }
    let said: Vec<_> = engine.handler().said.iter().filter(|(id, _)| *id == flooder).collect();
    assert_eq!(said.len(), 500);
    assert!(said.iter().enumerate().all(|(i, (_, text))| *text == i.to_string()), "in order");
    flush(&mut engine);
    assert_eq!(engine.buffered(), 0);
    assert_eq!(engine.flow(flooder), Flow::Read);
}

#[test]
fn many_floods_in_one_tick_share_what_a_tick_may_do() {
    let mut limits = Limits::relay();
    limits.send_budget_max = 1_000;
    let mut engine = Engine::new(limits, Shout::default());
    engine.begin_tick(Millis(0), UnixMillis(0));
    let members: Vec<ConnId> = (0..100).map(|_| open(&mut engine)).collect();
    for &flooder in &members {
        let _ = engine.receive(flooder, &mut texts(0..50));
    }
    // Sixteen use up their budget of ten messages each; everybody else has one turn.
    assert_eq!(engine.handler().said.len(), 16 * 10 + 84);
}

#[test]
fn behind_a_large_message_is_a_short_look_whether_another_begins() {
    let mut engine = Engine::new(Limits::relay(), Shout::default());
    engine.begin_tick(Millis(0), UnixMillis(0));
    let id = open(&mut engine);
    assert!(matches!(engine.space(id), Space::ReadBuffer(usize::MAX)));

    // 500,000 bytes, the key 0, of which the first is here; the others come by 70,000.
    let mut begun = b"\x82\xff\0\0\0\0\0\x07\xa1\x20\0\0\0\0x".to_vec();
    assert_eq!(engine.receive(id, &mut begun), Flow::Read);
    while let Space::Message(space) = engine.space(id) {
        let len = space.len().min(70_000);
        assert_eq!(engine.filled(id, len), Flow::Read);
    }
    // Twice, since a read may find nothing.
    for _ in 0..2 {
        assert!(matches!(engine.space(id), Space::ReadBuffer(len) if len <= 16_384));
    }
    assert_eq!(engine.receive(id, &mut texts(0..1)), Flow::Read);
    assert!(matches!(engine.space(id), Space::ReadBuffer(usize::MAX)));
}

#[test]
fn a_large_message_of_a_congested_connection_is_held_like_any_other() {
    let mut limits = Limits::relay();
    limits.outbox_high_bytes = 10_000;
    limits.outbox_low_bytes = 1_000;
    let mut engine = Engine::new(limits, Shout::default());
    engine.begin_tick(Millis(0), UnixMillis(0));
    let (slow, other) = (open(&mut engine), open(&mut engine));

    // A text of 100,000 bytes, the key 0, of which the first byte is here.
    let mut begun = b"\x81\xff\0\0\0\0\0\x01\x86\xa0\0\0\0\0x".to_vec();
    assert_eq!(engine.receive(slow, &mut begun), Flow::Read);
    assert!(
        matches!(engine.space(slow), Space::Message(_)),
        "the rest is read to where it belongs"
    );
    let _ = engine.receive(other, &mut texts(0..5_000));
    assert!(engine.output(slow).unwrap().len() >= 10_000);
    assert!(matches!(engine.space(slow), Space::ReadBuffer(_)));
    assert_eq!(engine.receive(slow, &mut vec![b'x'; 99_999]), Flow::Paused);
    assert!(engine.handler().said.iter().all(|(from, _)| *from == other), "not delivered yet");
}
