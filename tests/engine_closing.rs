//! A connection that closes still answers Pings (RFC 6455 §5.5.2), so it must still be held back if
//! it does not read; and the deadline of its closing handshake runs whatever it says.
#![cfg(feature = "server")]
#![allow(clippy::unwrap_used)] // a helper of a test may fail the test

use switchboard::engine::{Action, Door, Engine, Flow, Remote};
use switchboard::timer::{GRAIN_MS, Millis, UnixMillis};
use switchboard::{ConnId, Context, Handler, Limits, Message};

/// Closes as soon as somebody speaks.
struct Closer;

impl Handler for Closer {
    fn on_message(&mut self, cx: &mut Context<'_>, id: ConnId, _: Message<'_>) {
        cx.close(id, switchboard::wire::CloseCode::NORMAL, "");
    }
}

/// A connection that the server has begun to close in this tick.
fn closing(engine: &mut Engine<Closer>) -> ConnId {
    let id = engine.accept(Remote::Unix, Door::Public).unwrap();
    let mut request =
        *b"GET / HTTP/1.1\r\nHost: h\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
        Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
    assert_eq!(engine.receive(id, &mut request), Flow::Read);
    assert_eq!(engine.receive(id, &mut b"\x81\x80\0\0\0\0".to_owned()), Flow::Read);
    id
}

/// Writes whatever there is, and says what is to be done to sockets.
fn end_tick(engine: &mut Engine<Closer>) -> Vec<Action> {
    engine.run_timers();
    while let Some(id) = engine.next_dirty() {
        let written = engine.output(id).map_or(0, |outbox| outbox.len());
        engine.wrote(id, written, written);
    }
    let mut actions = Vec::new();
    engine.reap(&mut actions);
    actions
}

#[test]
fn flood_of_pings_while_closing_stops_at_high_water() {
    let limits = Limits::echo();
    let mut engine = Engine::new(limits, Closer);
    engine.begin_tick(Millis(1), UnixMillis(0));
    let id = closing(&mut engine);

    let pings = [&b"\x89\xfd\0\0\0\0"[..], &[b'p'; 125]].concat().repeat(100);
    let reads = (0..10_000).take_while(|_| engine.receive(id, &mut pings.clone()) == Flow::Read);
    let received = (reads.count() + 1) * pings.len();
    let held = engine.buffered() as u64;
    assert!(held <= limits.outbox_high_bytes + pings.len() as u64, "{held} bytes held");

    // It reads: all Pings are answered, and it is read again. They are 4 bytes longer than Pongs.
    let (mut taken, mut resumed, mut now) = (0, Vec::new(), 1);
    while engine.has_work() {
        now += 1;
        engine.begin_tick(Millis(now), UnixMillis(0));
        engine.take_resumed(&mut resumed);
        for id in resumed.drain(..) {
            assert_eq!(engine.resume(id), Flow::Read);
        }
        while let Some(id) = engine.next_dirty() {
            let written = engine.output(id).map_or(0, |outbox| outbox.len());
            taken += written;
            engine.wrote(id, written, written);
        }
    }
    let pongs = received / 131 * 127;
    assert!((pongs..pongs + 300).contains(&taken), "{taken} for {pongs}, with 101 and Close");
    assert_eq!(engine.buffered(), 0);
}

/// The peer answers our Close just before the deadline and then keeps the TCP connection open.
#[test]
fn a_late_answer_to_our_close_does_not_restart_its_deadline() {
    let limits = Limits::echo();
    let timeout = limits.close_timeout_ms;
    let mut engine = Engine::new(limits, Closer);
    engine.begin_tick(Millis(1_000), UnixMillis(0));
    let id = closing(&mut engine);
    assert_eq!(end_tick(&mut engine), []);

    engine.begin_tick(Millis(1_000 + timeout - 500), UnixMillis(0));
    let mut close = *b"\x88\x82\0\0\0\0\x03\xe8";
    assert_eq!(engine.receive(id, &mut close), Flow::Read);
    assert_eq!(end_tick(&mut engine), [Action::Shutdown(id)]);

    engine.begin_tick(Millis(1_000 + timeout - 1), UnixMillis(0));
    assert_eq!(end_tick(&mut engine), [], "not before its time");
    engine.begin_tick(Millis(1_000 + timeout + GRAIN_MS), UnixMillis(0));
    assert_eq!(end_tick(&mut engine), [Action::Release(id)]);
}
