//! What the engine tells its handler of the outside: where a connection comes from, by which door,
//! and what the calendar says. And what the handler says of it counts only while it is there.
#![cfg(feature = "server")]
#![allow(clippy::unwrap_used)] // a helper of a test may fail the test

use switchboard::engine::{Delivery, Door, Engine, Flow, Remote};
use switchboard::timer::{Millis, UnixMillis};
use switchboard::wire::Response;
use switchboard::{Closed, ConnId, Context, Handler, Limits, Message, Request, Verdict};

/// Writes down what it is told.
#[derive(Default)]
struct Clerk {
    asked: Vec<(Remote, Door, UnixMillis)>,
}

impl Handler for Clerk {
    fn on_request(
        &mut self,
        cx: &mut Context<'_>,
        id: ConnId,
        request: &Request<'_, '_>,
    ) -> Verdict {
        assert_eq!(cx.peer(id), Some(request.peer));
        assert_eq!(cx.door(id), Some(request.door));
        self.asked.push((request.peer, request.door, cx.wall()));
        Verdict::Respond(Response::text(200, ""))
    }

    fn on_message(&mut self, _: &mut Context<'_>, _: ConnId, _: Message<'_>) {}
}

/// Sends the first connection what needs more memory than there is without the one that asks.
struct Spender {
    first: Option<ConnId>,
    opened: usize,
    closed: usize,
}

impl Handler for Spender {
    fn on_request(&mut self, cx: &mut Context<'_>, id: ConnId, _: &Request<'_, '_>) -> Verdict {
        match self.first {
            None => self.first = Some(id),
            Some(first) => {
                let sent = cx.send(first, Message::Binary(&[0; 60_000]));
                assert_eq!(sent, Delivery::Queued);
            }
        }
        Verdict::Upgrade { protocol: None }
    }

    fn on_open(&mut self, _: &mut Context<'_>, _: ConnId) {
        self.opened += 1;
    }

    fn on_message(&mut self, _: &mut Context<'_>, _: ConnId, _: Message<'_>) {}

    fn on_close(&mut self, _: &mut Context<'_>, _: ConnId, _: &Closed) {
        self.closed += 1;
    }
}

#[test]
fn a_connection_that_is_closed_for_its_memory_while_it_asks_is_not_opened() {
    let limits = Limits { outbox_total_bytes: 65_536, ..Limits::relay() };
    let handler = Spender { first: None, opened: 0, closed: 0 };
    let mut engine = Engine::new(limits, handler);
    let _ = engine.accept(Remote::Unix, Door::Public).map(|id| {
        let _ = engine.receive(id, &mut upgrade(""));
        while let Some(id) = engine.next_dirty() {
            let len = engine.output(id).unwrap().len();
            engine.wrote(id, len, len);
        }
    });
    // A long head in two reads: the first is accounted for.
    let id = engine.accept(Remote::Unix, Door::Public).unwrap();
    let mut request = upgrade(&"x".repeat(10_000));
    let _ = engine.receive(id, &mut request[..9_000]);
    assert_eq!(engine.receive(id, &mut request[9_000..]), Flow::Gone);
    engine.reap(&mut Vec::new());
    assert_eq!((engine.handler().opened, engine.handler().closed), (1, 0));
    assert_eq!(engine.connections(), 1);
}

fn upgrade(filler: &str) -> Vec<u8> {
    let head = "GET / HTTP/1.1\r\nHost: h\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
        Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";
    format!("{head}X: {filler}\r\n\r\n").into_bytes()
}

#[test]
fn a_request_says_where_it_comes_from_and_the_tick_what_the_calendar_says() {
    let mut engine = Engine::new(Limits::relay(), Clerk::default());
    let tcp = Remote::Tcp("192.0.2.1:50000".parse().unwrap());
    // The calendar may go back; the other clock does not.
    let ticks =
        [(Remote::Unix, Door::Admin, 2_000_000), (tcp, Door::Public, 1_000), (tcp, Door::Admin, 0)];
    for (now, (remote, door, wall)) in ticks.into_iter().enumerate() {
        engine.begin_tick(Millis(now as u64), UnixMillis(wall));
        let id = engine.accept(remote, door).unwrap();
        let _ = engine.receive(id, &mut b"GET / HTTP/1.1\r\nHost: h\r\n\r\n".to_owned());
    }
    let wanted = ticks.map(|(remote, door, wall)| (remote, door, UnixMillis(wall)));
    assert_eq!(engine.handler().asked, wanted);
}
