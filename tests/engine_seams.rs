//! What the engine tells its handler of the outside: where a connection comes from, by which door,
//! and what the calendar says. And what the handler says of it counts only while it is there.
#![cfg(feature = "server")]
#![allow(clippy::unwrap_used)] // a helper of a test may fail the test

use switchboard::engine::{Counts, Delivery, Door, Engine, Flow, Remote, Space, Totals};
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

/// Lets nobody say much before he has said who he is.
struct Strict;

impl Handler for Strict {
    fn on_open(&mut self, cx: &mut Context<'_>, id: ConnId) {
        cx.restrict(id);
    }

    fn on_message(&mut self, cx: &mut Context<'_>, id: ConnId, _: Message<'_>) {
        cx.release(id);
    }
}

/// Also for what comes in one read with the request, whole or with its end to come.
#[test]
fn a_restriction_holds_from_the_moment_it_is_made() {
    let limit = Limits::relay().auth_message_max_bytes as usize;
    let frame = |len: usize| {
        let len_bytes = (len as u16).to_be_bytes();
        [&b"\x82\xFE"[..], &len_bytes, &[0; 4], &vec![0; len]].concat()
    };
    // Sizes of the first message and of the second, and whether that is too much.
    let long = limit + 1;
    for (first, second, closes) in [(long, 0, true), (0, long, false)] {
        for cut in [0, 20, long] {
            let mut engine = Engine::new(Limits::relay(), Strict);
            engine.begin_tick(Millis(1), UnixMillis(0));
            let id = engine.accept(Remote::Unix, Door::Public).unwrap();
            let short = b"\x82\x80\0\0\0\0".to_vec();
            let messages =
                [first, second].map(|len| if len == 0 { short.clone() } else { frame(len) });
            let messages = messages.concat();
            let (front, back) = messages.split_at(cut.min(messages.len()));
            let _ = engine.receive(id, &mut [&upgrade("")[..], front].concat());
            read(&mut engine, id, back);
            let mut is_open = false;
            engine.inject(|_, cx| is_open = cx.is_open(id));
            assert_eq!(is_open, !closes, "{first} and {second} bytes, cut at {cut}");
        }
    }
}

/// Whatever frames they are, however they are cut up, and also what was held in between.
#[test]
fn of_a_restricted_connection_512_bytes_are_read_beside_the_longest_message() {
    let limit = Limits::relay().auth_message_max_bytes as usize;
    let ping = |len: usize| {
        [&[0x89, 0x80 | (len - 6) as u8, 0, 0, 0, 0], &vec![b'x'; len - 6][..]].concat()
    };
    let message = |len: usize| {
        let header = [0x82, 0xFE, (len >> 8) as u8, len as u8, 0, 0, 0, 0];
        [&header[..], &vec![0; len]].concat()
    };
    let flood = ping(128).repeat((limit + 512) / 128);
    assert_eq!(flood.len(), limit + 512);
    let few = [ping(128).repeat(3), ping(120)].concat();
    // And the messages that are heard, and whether it is open at the end.
    for (sent, messages, is_open_after) in [
        (flood.clone(), 0, true),
        ([&flood[..], b"\x89"].concat(), 0, false),
        ([few.clone(), message(limit), message(20_000)].concat(), 2, true),
        ([ping(128).repeat(4), message(limit), message(20_000)].concat(), 0, false),
        ([ping(128).repeat(20), message(200), message(20_000)].concat(), 2, true),
    ] {
        for (cut, high) in [(0, 1), (300, 1), (0, 64), (300, 64), (4_605, 64), (sent.len(), 1)] {
            let limits = Limits { outbox_high_bytes: high * 1024, ..Limits::relay() };
            let mut engine = Engine::new(Limits { outbox_low_bytes: 512, ..limits }, Strict);
            engine.begin_tick(Millis(1), UnixMillis(0));
            let id = engine.accept(Remote::Unix, Door::Public).unwrap();
            let (front, back) = sent.split_at(cut);
            let _ = engine.receive(id, &mut [&upgrade("")[..], front].concat());
            settle(&mut engine);
            read(&mut engine, id, back);
            settle(&mut engine);
            let mut found = (0, false);
            engine.inject(|_, cx| found = (cx.totals().counts.messages_in, cx.is_open(id)));
            let case = format!("{} bytes, cut at {cut}, {high} KiB", sent.len());
            assert_eq!(found, (messages, is_open_after), "{case}");
            assert_eq!(engine.buffered(), engine.recount());
        }
    }
}

/// Writes everything, and reads what was held until then.
fn settle<H: Handler>(engine: &mut Engine<H>) {
    let mut resumed = Vec::new();
    loop {
        while let Some(id) = engine.next_dirty() {
            let len = engine.output(id).unwrap().len();
            engine.wrote(id, len, len);
        }
        engine.take_resumed(&mut resumed);
        if resumed.is_empty() {
            return;
        }
        for id in resumed.drain(..) {
            let _ = engine.resume(id);
        }
    }
}

/// Reads as the event loop does.
fn read<H: Handler>(engine: &mut Engine<H>, id: ConnId, mut bytes: &[u8]) {
    while !bytes.is_empty() {
        let len = match engine.space(id) {
            Space::ReadBuffer(max) => {
                let len = bytes.len().min(max);
                let _ = engine.receive(id, &mut bytes[..len].to_vec());
                len
            }
            Space::Message(space) => {
                let len = bytes.len().min(space.len());
                space[..len].copy_from_slice(&bytes[..len]);
                let _ = engine.filled(id, len);
                len
            }
        };
        bytes = &bytes[len..];
    }
}

/// Whoever floods the public listener does not lock out the operator.
#[test]
fn eight_connections_are_let_in_at_the_door_of_the_operator_when_there_is_room_for_nobody() {
    let limits = Limits { connections_max: 2, ..Limits::relay() };
    let mut engine = Engine::new(limits, Clerk::default());
    let mut status = |door| {
        let id = engine.accept(Remote::Unix, door).unwrap();
        let _ = engine.receive(id, &mut b"GET / HTTP/1.1\r\nHost: h\r\n\r\n".to_owned());
        let answer = engine.output(id).unwrap().front();
        String::from_utf8_lossy(&answer[9..12]).into_owned()
    };
    let public: Vec<String> = (0..3).map(|_| status(Door::Public)).collect();
    assert_eq!(public, ["200", "200", "503"]);
    let admin: Vec<String> = (0..9).map(|_| status(Door::Admin)).collect();
    assert_eq!(admin[..8], ["200"; 8]);
    assert_eq!(admin[8], "503");
    assert_eq!(status(Door::Public), "503");
}

/// Echoes, reloads, and panics when told to.
#[derive(Default)]
struct Reloading {
    hangups: usize,
    panics: bool,
}

impl Handler for Reloading {
    fn on_message(&mut self, cx: &mut Context<'_>, id: ConnId, message: Message<'_>) {
        let _ = cx.send(id, message);
        let _ = cx.send(id, message);
    }

    fn on_hangup(&mut self, cx: &mut Context<'_>) {
        assert!(!cx.is_stopping());
        self.hangups += 1;
        assert!(!self.panics, "told to panic");
    }
}

#[test]
fn a_hangup_is_told_and_a_panic_in_it_ends_nothing() {
    let mut engine = Engine::new(Limits::relay(), Reloading::default());
    engine.hang_up();
    engine.inject(|handler, _| handler.panics = true);
    engine.hang_up();
    assert_eq!(engine.handler().hangups, 2);
    engine.shut_down();
    engine.inject(|_, cx| assert!(cx.is_stopping()));
    assert_eq!(engine.handler().hangups, 2);
}

/// Totals are what the parts come to, also when the parts are gone.
#[test]
fn totals_add_up_what_is_here_and_what_is_gone() {
    let limits = Limits { connections_max: 4, outbox_high_bytes: 1_024, ..Limits::echo() };
    let mut engine = Engine::new(limits, Reloading::default());
    let totals = |engine: &mut Engine<Reloading>| {
        let mut found = Totals::default();
        engine.inject(|_, cx| found = cx.totals());
        found
    };
    let accept = |engine: &mut Engine<Reloading>| engine.accept(Remote::Unix, Door::Public);
    let (asks, refused) = (upgrade(""), b"nonsense\r\n\r\n");
    let ids: Vec<ConnId> = (0..3).map(|_| accept(&mut engine).unwrap()).collect();
    for id in &ids[..2] {
        let _ = engine.receive(*id, &mut asks.clone());
    }
    let _ = engine.receive(ids[2], &mut refused.to_vec());
    let frame = [&b"\x82\xFE\x02\x58\0\0\0\0"[..], &[0; 600]].concat();
    let _ = engine.receive(ids[0], &mut frame.clone());
    engine.before_flush();
    let mut written = 0;
    while let Some(id) = engine.next_dirty() {
        let len = engine.output(id).unwrap().len();
        engine.wrote(id, len, len);
        written += len;
    }
    let now = totals(&mut engine);
    assert_eq!((now.connections, now.open, now.accepted, now.opened), (3, 2, 3, 2));
    assert_eq!((now.refused, now.congested, now.turned_away), (1, 0, 0));
    let (bytes_in, bytes_out) = (2 * asks.len() + refused.len() + frame.len(), written);
    let counts = Counts {
        messages_in: 1,
        messages_out: 2,
        bytes_in: bytes_in as u64,
        bytes_out: bytes_out as u64,
    };
    assert_eq!(now.counts, counts);

    // What is queued for it is above high water then.
    let _ = engine.receive(ids[1], &mut frame.clone());
    let full = ids[1];
    engine.inject(|_, cx| assert_eq!(cx.send(full, Message::Text("")), Delivery::Congested));
    assert_eq!(totals(&mut engine).congested, 1);
    assert_eq!(totals(&mut engine).buffered_bytes as usize, engine.buffered());
    engine.reset(ids[0]);
    engine.end_of_input(ids[2]);
    engine.reset(ids[1]);
    engine.reap(&mut Vec::new());
    let gone = totals(&mut engine);
    assert_eq!((gone.connections, gone.open, gone.opened), (0, 0, 2));
    assert_eq!(gone.counts.bytes_in, (bytes_in + frame.len()) as u64);
    assert_eq!(gone.closed().filter(|(_, count)| *count > 0).collect::<Vec<_>>(), [("lost", 2)]);

    // Four are let in, 32 more are told that they are too many.
    for _ in 0..40 {
        let _ = accept(&mut engine);
    }
    let full = totals(&mut engine);
    assert_eq!((full.accepted, full.turned_away), (3 + 36, 4));
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
