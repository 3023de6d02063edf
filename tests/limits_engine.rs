//! Limits that only a clock and a network of our own can reach exactly: deadlines to the
//! millisecond, queues to the byte.
#![cfg(feature = "server")]
#![allow(clippy::unwrap_used)] // a helper of a test may fail the test

use std::cell::Cell;
use std::net::SocketAddr;

use switchboard::engine::{Action, Context, Delivery, Door, Engine, Flow, Handler, Space};
use switchboard::timer::{Millis, UnixMillis};
use switchboard::wire::CloseCode;
use switchboard::{ConnId, Limits, Message};

/// Counts what it is told; does nothing by itself.
#[derive(Default)]
struct Quiet {
    drained: usize,
}

impl Handler for Quiet {
    fn on_message(&mut self, _: &mut Context<'_>, _: ConnId, _: Message<'_>) {}

    fn on_drained(&mut self, _: &mut Context<'_>, _: ConnId) {
        self.drained += 1;
    }
}

/// An engine and the one connection that it has.
struct One {
    engine: Engine<Quiet>,
    id: ConnId,
}

impl One {
    /// Accepted at [`START`].
    fn accepted(limits: Limits) -> One {
        let mut engine = Engine::new(limits, Quiet::default());
        engine.begin_tick(START, UnixMillis(0));
        let id = engine.accept(SocketAddr::from(([127, 0, 0, 1], 50_000)), Door::Public).unwrap();
        One { engine, id }
    }

    /// Accepted, and open, at [`START`].
    fn open(limits: Limits) -> One {
        let mut one = One::accepted(limits);
        let mut request = b"GET / HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\n\
            Connection: Upgrade\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
            Sec-WebSocket-Version: 13\r\n\r\n"
            .to_vec();
        assert_eq!(one.engine.receive(one.id, &mut request), Flow::Read);
        assert!(one.taken().starts_with(b"HTTP/1.1 101 "));
        one
    }

    fn send(&mut self, len: usize) -> Delivery {
        let (id, delivery) = (self.id, Cell::new(None));
        self.engine.inject(|_, cx| {
            delivery.set(Some(cx.send(id, Message::Binary(&vec![0; len]))));
        });
        delivery.get().unwrap()
    }

    fn queued(&self) -> usize {
        self.engine.output(self.id).map_or(0, |outbox| outbox.len())
    }

    /// The end of a tick whose network takes all: what it took.
    fn taken(&mut self) -> Vec<u8> {
        let mut taken = Vec::new();
        while let Some(id) = self.engine.next_dirty() {
            while self.engine.output(id).is_some_and(|outbox| !outbox.is_empty()) {
                let front = self.engine.output(id).unwrap().front().to_vec();
                self.engine.wrote(id, front.len(), front.len());
                taken.extend_from_slice(&front);
            }
        }
        taken
    }

    /// The tick at `now`: what is sent in it.
    fn at(&mut self, now: Millis) -> Vec<u8> {
        self.engine.begin_tick(now, UnixMillis(0));
        self.engine.run_timers();
        self.taken()
    }

    fn actions(&mut self) -> Vec<Action> {
        let mut actions = Vec::new();
        self.engine.reap(&mut actions);
        actions
    }
}

#[test]
fn head_timeout_is_over_at_its_end_and_not_before() {
    let limits = Limits::relay();
    let end = START.after(limits.head_timeout_ms);
    let mut one = One::accepted(limits);
    let _ = one.engine.receive(one.id, &mut b"GET / HTTP".to_vec());
    assert_eq!(one.at(Millis(end.0 - 1)), b"");
    // What drips in extends nothing.
    let _ = one.engine.receive(one.id, &mut b"/".to_vec());
    assert!(one.at(end).starts_with(b"HTTP/1.1 408 "));
}

#[test]
fn ping_interval_is_over_at_its_end_and_not_before() {
    let limits = Limits::relay();
    let end = START.after(limits.ping_interval_ms);
    let mut one = One::open(limits);
    assert_eq!(one.at(Millis(end.0 - 1)), b"");
    assert_eq!(one.at(end), b"\x89\x00");
}

#[test]
fn ping_timeout_is_over_at_its_end_and_not_before() {
    let limits = Limits::relay();
    let pinged = START.after(limits.ping_interval_ms);
    let end = pinged.after(limits.ping_timeout_ms);
    let ping = |one: &mut One| assert_eq!(one.at(pinged), b"\x89\x00");
    let mut dead = One::open(limits);
    ping(&mut dead);
    assert_eq!(dead.at(Millis(end.0 - 1)), b"");
    // A Close with the code 4408.
    assert_eq!(dead.at(end)[2..4], 4408_u16.to_be_bytes());

    let mut living = One::open(limits);
    ping(&mut living);
    assert_eq!(living.at(Millis(end.0 - 1)), b"");
    let _ = living.engine.receive(living.id, &mut b"\x8A\x80\0\0\0\0".to_vec());
    assert_eq!(living.at(end), b"");
}

#[test]
fn close_timeout_is_over_at_its_end_and_not_before() {
    let limits = Limits::relay();
    let end = START.after(limits.close_timeout_ms);
    let mut one = One::open(limits);
    let id = one.id;
    one.engine.inject(|_, cx| cx.close(id, CloseCode::NORMAL, ""));
    assert_eq!(one.taken(), b"\x88\x02\x03\xE8");
    one.at(Millis(end.0 - 1));
    assert_eq!(one.actions(), []);
    one.at(end);
    assert_eq!(one.actions(), [Action::Release(id)]);
}

#[test]
fn write_timeout_is_over_at_its_end_and_not_before() {
    let limits = Limits { ping_interval_ms: 0, ..Limits::relay() };
    let end = START.after(limits.write_timeout_ms);
    let mut one = One::open(limits);
    assert_eq!(one.send(1_000), Delivery::Queued);
    assert_eq!(one.engine.next_dirty(), Some(one.id));
    one.engine.wrote(one.id, 1, one.queued());
    one.at(Millis(end.0 - 1));
    assert_eq!(one.actions(), []);
    one.at(end);
    assert_eq!(one.actions(), [Action::Release(one.id)]);
}

/// The last message that is taken may pass the mark: it began below it.
#[test]
fn outbox_high_is_congested_at_the_mark_and_not_a_byte_below() {
    let limits = Limits { outbox_high_bytes: 10_000, outbox_low_bytes: 0, ..Limits::relay() };
    let mut below = One::open(limits);
    assert_eq!(below.send(9_999 - HEADER), Delivery::Queued);
    assert_eq!(below.queued(), 9_999);
    assert_eq!(below.send(1), Delivery::Queued);

    let mut at = One::open(limits);
    assert_eq!(at.send(10_000 - HEADER), Delivery::Queued);
    assert_eq!(at.queued(), 10_000);
    assert_eq!(at.send(1), Delivery::Congested);
    // Nor is anything read.
    assert_eq!(at.engine.receive(at.id, &mut b"\x81\x80\0\0\0\0".to_vec()), Flow::Paused);
}

#[test]
fn outbox_low_takes_more_at_the_mark_and_not_a_byte_above() {
    let limits = Limits { outbox_high_bytes: 10_000, outbox_low_bytes: 1_000, ..Limits::relay() };
    let mut one = One::open(limits);
    assert_eq!(one.send(10_000 - HEADER), Delivery::Queued);
    assert_eq!(one.send(1), Delivery::Congested);
    one.engine.wrote(one.id, 8_999, 8_999);
    assert_eq!((one.queued(), one.engine.handler().drained), (1_001, 0));
    assert_eq!(one.send(1), Delivery::Congested);
    one.engine.wrote(one.id, 1, 1);
    assert_eq!((one.queued(), one.engine.handler().drained), (1_000, 1));
    assert_eq!(one.send(1), Delivery::Queued);
}

#[test]
fn outbox_total_takes_a_message_of_all_of_it_and_not_a_byte_more() {
    let limits = Limits { outbox_total_bytes: 65_536, ..Limits::relay() };
    let mut one = One::open(limits);
    assert_eq!(one.send(65_537), Delivery::Dropped);
    assert_eq!(one.queued(), 0);
    assert_eq!(one.send(65_536), Delivery::Queued);
    // With anything queued, there is too much: whoever holds most is closed.
    assert_eq!(one.send(65_536), Delivery::Gone);
    assert_eq!(one.actions(), [Action::Release(one.id)]);
}

/// Memory that peers make the server take is counted, whatever it is for: a total that forgets a
/// part of it is no bound.
#[test]
fn outbox_total_counts_request_heads_and_what_is_taken_ahead_for_large_messages() {
    let mut one = One::accepted(Limits::relay());
    let _ = one.engine.receive(one.id, &mut vec![b'x'; 5_000]);
    assert!(one.engine.buffered() >= 5_000, "{} bytes", one.engine.buffered());
    assert_eq!(one.engine.buffered(), one.engine.recount());

    // A mebibyte is announced; a byte has come, and another is read to where it belongs.
    let mut one = One::open(Limits::relay());
    let _ = one.engine.receive(one.id, &mut b"\x82\xFF\0\0\0\0\0\x10\0\0\0\0\0\0x".to_vec());
    let Space::Message(space) = one.engine.space(one.id) else { panic!("no space") };
    let ahead = space.len();
    let _ = one.engine.filled(one.id, 1);
    assert!(one.engine.buffered() >= ahead, "{} of {ahead} bytes", one.engine.buffered());
    assert_eq!(one.engine.buffered(), one.engine.recount());
    one.engine.reset(one.id);
    assert_eq!(one.engine.buffered(), 0);
}

/// A multiple of the timer wheel's grain, as all deadlines by default are.
const START: Millis = Millis(1_000);

/// Of a frame of 126 to 65,535 bytes without a mask.
const HEADER: usize = 4;
