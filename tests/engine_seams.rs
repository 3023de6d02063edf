//! What the engine tells its handler of the outside: where a connection comes from, by which door,
//! and what the calendar says.
#![cfg(feature = "server")]
#![allow(clippy::unwrap_used)] // a helper of a test may fail the test

use switchboard::engine::{Door, Engine, Remote};
use switchboard::timer::{Millis, UnixMillis};
use switchboard::wire::Response;
use switchboard::{ConnId, Context, Handler, Limits, Message, Request, Verdict};

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
