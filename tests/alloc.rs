//! What a message costs in memory, counted by a global allocator that counts.
//!
//! In steady state one message from one connection to another allocates nothing, and one to
//! everybody allocates once (the shared frame) however many they are. A connection that is open and
//! silent owns no memory but its place.
#![cfg(feature = "relay")]
#![allow(clippy::unwrap_used, reason = "a helper of a test is a test")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::net::SocketAddr;

use switchboard::echo::Echo;
use switchboard::engine::{Action, Context, Door, Engine, Flow, Handler};
use switchboard::relay::access::{Access, Policy};
use switchboard::relay::{Relay, RelayConfig};
use switchboard::timer::{Millis, UnixMillis};
use switchboard::wire::{FrameHeader, MaskingKey, Opcode, Rsv};
use switchboard::{ConnId, Limits, Message, MessageKind};

struct Counting;

thread_local! {
    // Tests run side by side, each on a thread of its own.
    static ALLOCATIONS: Cell<usize> = const { Cell::new(0) };
    static LIVE_BYTES: Cell<isize> = const { Cell::new(0) };
}

fn count(allocations: usize, bytes: isize) {
    ALLOCATIONS.with(|counted| counted.set(counted.get() + allocations));
    LIVE_BYTES.with(|live| live.set(live.get() + bytes));
}

// SAFETY: every call goes to the system's allocator unchanged; the counters are plain numbers.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(1, layout.size() as isize);
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, bytes: *mut u8, layout: Layout) {
        count(0, -(layout.size() as isize));
        unsafe { System.dealloc(bytes, layout) }
    }

    unsafe fn realloc(&self, bytes: *mut u8, layout: Layout, len: usize) -> *mut u8 {
        count(1, len as isize - layout.size() as isize);
        unsafe { System.realloc(bytes, layout, len) }
    }
}

#[global_allocator]
static COUNTING: Counting = Counting;

/// An engine, and a network that takes everything at once.
struct Server<H> {
    engine: Engine<H>,
    actions: Vec<Action>,
    buffer: Vec<u8>,
    written: usize,
    now: Millis,
}

impl<H: Handler> Server<H> {
    fn new(handler: H) -> Server<H> {
        let engine = Engine::new(Limits::relay(), handler);
        let (buffer, now) = (vec![0; 1 << 16], Millis(0));
        Server { engine, actions: Vec::new(), buffer, written: 0, now }
    }

    fn tick(&mut self) {
        self.engine.run_timers();
        self.engine.before_flush();
        while let Some(id) = self.engine.next_dirty() {
            let len = self.engine.output(id).map_or(0, |outbox| outbox.len());
            self.engine.wrote(id, len, len);
            self.written += len;
        }
        self.engine.reap(&mut self.actions);
        self.actions.clear();
    }

    fn receive(&mut self, id: ConnId, bytes: &[u8]) {
        self.engine.begin_tick(self.now, UnixMillis(0));
        self.buffer[..bytes.len()].copy_from_slice(bytes);
        assert_eq!(self.engine.receive(id, &mut self.buffer[..bytes.len()]), Flow::Read);
        self.tick();
    }

    /// Lets time go by with nothing to do.
    fn pass(&mut self, seconds: u64) {
        for _ in 0..seconds {
            self.now = self.now.after(1_000);
            self.engine.begin_tick(self.now, UnixMillis(0));
            self.tick();
        }
    }

    fn open(&mut self, target: &str) -> ConnId {
        let request = format!(
            "GET {target} HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\n\
             Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\n\
             Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
        );
        let id = self.engine.accept(SocketAddr::from(([127, 0, 0, 1], 9)), Door::Public).unwrap();
        self.receive(id, request.as_bytes());
        id
    }

    fn lose(&mut self, id: ConnId) {
        self.engine.reset(id);
        self.tick();
    }

    /// Allocations for 100 times these bytes, when the engine has warmed up.
    fn cost(&mut self, id: ConnId, bytes: &[u8]) -> usize {
        for _ in 0..20 {
            self.receive(id, bytes);
        }
        let (before, written) = (ALLOCATIONS.get(), self.written);
        for _ in 0..100 {
            self.receive(id, bytes);
        }
        assert!(self.written >= written + 100, "something was sent");
        ALLOCATIONS.get() - before
    }
}

fn frame(payload: &[u8]) -> Vec<u8> {
    let key = MaskingKey(*b"mask");
    let header = FrameHeader {
        fin: true,
        rsv: Rsv::NONE,
        opcode: Opcode::Text,
        masking_key: Some(key),
        payload_len: payload.len() as u64,
    };
    let mut bytes = Vec::new();
    header.write(&mut bytes);
    let start = bytes.len();
    bytes.extend_from_slice(payload);
    key.apply(&mut bytes[start..]);
    bytes
}

/// Sends to the next one, or to everybody.
#[derive(Default)]
struct Forward {
    all: Vec<ConnId>,
    to_all: bool,
}

impl Handler for Forward {
    fn on_open(&mut self, _: &mut Context<'_>, id: ConnId) {
        self.all.push(id);
    }

    fn on_message(&mut self, cx: &mut Context<'_>, _: ConnId, message: Message<'_>) {
        if self.to_all {
            let frame = cx.frame(MessageKind::Text, &[message.as_bytes()]);
            for &to in &self.all {
                let _ = cx.send_frame(to, &frame);
            }
        } else {
            let _ = cx.send(self.all[1], message);
        }
    }
}

#[test]
fn an_echo_allocates_nothing() {
    let mut server = Server::new(Echo);
    let id = server.open("/");
    for len in [0, 5, 125, 126, 4_096, 40_000] {
        assert_eq!(server.cost(id, &frame(&vec![b'x'; len])), 0, "{len} bytes");
    }
}

#[test]
fn a_message_to_one_other_allocates_nothing() {
    let mut server = Server::new(Forward::default());
    let from = server.open("/");
    server.open("/");
    for len in [0, 5, 1_000, 40_000] {
        assert_eq!(server.cost(from, &frame(&vec![b'x'; len])), 0, "{len} bytes");
    }
    // Ten in one read leave in one write.
    assert_eq!(server.cost(from, &frame(b"hello").repeat(10)), 0);
}

#[test]
fn a_message_to_everybody_allocates_once_however_many_they_are() {
    for members in [2, 100, 1_000, 5_000] {
        let mut server = Server::new(Forward { to_all: true, ..Forward::default() });
        let from = server.open("/");
        for _ in 1..members {
            server.open("/");
        }
        for len in [5, 1_000, 20_000] {
            let cost = server.cost(from, &frame(&vec![b'x'; len]));
            assert!(cost <= 100, "{cost} for 100 times {len} bytes to {members}");
        }
    }
}

fn opened_and_used(server: &mut Server<Echo>) -> ConnId {
    let id = server.open("/");
    server.receive(id, &frame(b"hello"));
    // Cut by a read, and so collected for a while.
    let message = frame(&[b'x'; 3_000]);
    server.receive(id, &message[..7]);
    server.receive(id, &message[7..2_000]);
    server.receive(id, &message[2_000..]);
    id
}

#[test]
fn an_open_connection_that_is_silent_owns_nothing() {
    let mut server = Server::new(Echo);
    // Tables grow once; what is measured is a connection.
    let early: Vec<ConnId> = (0..300).map(|_| opened_and_used(&mut server)).collect();
    for id in early {
        server.lose(id);
    }
    let before = LIVE_BYTES.get();
    for _ in 0..100 {
        opened_and_used(&mut server);
    }
    assert_eq!(LIVE_BYTES.get() - before, 0, "bytes owned by 100 connections");
    assert_eq!(server.engine.connections(), 100);
}

#[test]
fn what_a_burst_needed_is_given_back_a_few_seconds_later() {
    let mut server = Server::new(Forward { to_all: true, ..Forward::default() });
    let from = server.open("/");
    for _ in 1..3_000 {
        server.open("/");
    }
    server.pass(2);
    let before = LIVE_BYTES.get();
    server.receive(from, &frame(&[b'x'; 1_000]));
    let kept = LIVE_BYTES.get() - before;
    assert!(kept > 2 << 20, "{kept} bytes are kept for the next message");
    server.pass(4);
    let kept = LIVE_BYTES.get() - before;
    assert!(kept < 64 << 10, "{kept} bytes are still kept");
}

#[test]
fn a_message_through_the_relay_allocates_nothing() {
    let mut server = Server::new(Relay::new(RelayConfig::default()));
    let bob = server.open("/chat?user=bob");
    server.open("/chat?user=alice");
    for text in [
        r#"{"sender":"bob","receiver":"alice","content":"hello, alice"}"#,
        r#"{"receiver":"alice","content":"with \"escapes\" and \u00e9"}"#,
        r#"{"x":{"y":[]},"receiver":"alice","content":{"a":[1,{"\u0061":null}],"b":[[],{}]}}"#,
        "hello, the only other one in the room",
        r#"{"type":"ping"}"#,
        r#"{"type":"join","group":"g"}"#,
        r#"{"receiver":"nobody","content":"a refusal"}"#,
        r#"{"receiver":"alice"}"#,
        r#"{"sender":"eve","receiver":"alice","content":"a refusal"}"#,
        r#"{"group":"h","content":"a refusal"}"#,
    ] {
        assert_eq!(server.cost(bob, &frame(text.as_bytes())), 0, "{text}");
    }
    let long = format!(r#"{{"receiver":"alice","content":"{}"}}"#, "x".repeat(20_000));
    assert_eq!(server.cost(bob, &frame(long.as_bytes())), 0);
}

#[test]
fn a_message_that_a_policy_judges_allocates_nothing_allowed_or_refused() {
    let policy = r#"{"roles":{
        "*": {"allow":["room:*","send:a*","send:bob","join:g","group:g","members:g","presence:*"]},
        "guest": {"limits":{"messages-per-second":1000000,"bytes-per-second":1,
            "burst-bytes":1000000}}
    }}"#;
    let access = Access { policy: Policy::parse(policy).unwrap(), ..Access::open() };
    let mut server = Server::new(Relay::new(RelayConfig { access, ..RelayConfig::default() }));
    let bob = server.open("/chat?user=bob");
    server.open("/chat?user=alice");
    for text in [
        r#"{"receiver":"alice","content":"hello, alice"}"#,
        r#"{"receiver":"eve","content":"forbidden"}"#,
        "forbidden",
        r#"{"type":"join","group":"g"}"#,
        r#"{"type":"members","group":"g"}"#,
        r#"{"type":"presence","user":"alice"}"#,
    ] {
        assert_eq!(server.cost(bob, &frame(text.as_bytes())), 0, "{text}");
    }
    // Until the bytes are used up, and then as many times again.
    let long = format!(r#"{{"receiver":"alice","content":"{}"}}"#, "x".repeat(8_000));
    assert_eq!(server.cost(bob, &frame(long.as_bytes())), 0);
    assert_eq!(server.cost(bob, &frame(long.as_bytes())), 0);
}

#[test]
fn a_crowd_that_vanishes_allocates_no_more_for_having_heard_one_another() {
    let silent = vanishing(1_000, br#"{"type":"ping"}"#) / 1_000;
    for members in [1_000, 10_000] {
        let cost = vanishing(members, br#"{"type":"join","group":"g","presence":true}"#);
        // Tables that shrink by halves, and a frame.
        assert!(cost <= silent * members + 300, "{cost} allocations for {members}");
    }
}

/// Allocations of a crowd that is lost in one tick, after each has said something, while one is
/// left who has said the same.
fn vanishing(members: usize, said: &[u8]) -> usize {
    let mut server = Server::new(Relay::new(RelayConfig::default()));
    let said = frame(said);
    let open = |server: &mut Server<Relay>, name: &str| {
        let id = server.open(&format!("/?user={name}"));
        server.receive(id, &said);
        id
    };
    let crowd: Vec<ConnId> = (0..members).map(|n| open(&mut server, &format!("user{n}"))).collect();
    open(&mut server, "alice");
    server.pass(2);
    let before = ALLOCATIONS.get();
    for &id in &crowd {
        server.engine.reset(id);
    }
    server.tick();
    server.pass(1);
    ALLOCATIONS.get() - before
}

#[test]
fn a_sender_whose_name_has_to_be_escaped_allocates_nothing() {
    let mut server = Server::new(Relay::new(RelayConfig::default()));
    let quote = server.open("/?user=%22%5C");
    server.open("/?user=alice");
    let text = br#"{"receiver":"alice","content":"hello"}"#;
    assert_eq!(server.cost(quote, &frame(text)), 0);
}

#[test]
fn a_message_to_several_devices_allocates_once() {
    let mut server = Server::new(Relay::new(RelayConfig::default()));
    let bob = server.open("/?user=bob");
    for _ in 0..3 {
        server.open("/?user=alice");
    }
    let text = br#"{"receiver":"alice","content":"hello"}"#;
    assert_eq!(server.cost(bob, &frame(text)), 100);
}

#[test]
fn a_relayed_message_to_many_allocates_once_however_many_they_are() {
    for members in [3, 1_000] {
        let mut server = Server::new(Relay::new(RelayConfig::default()));
        let bob = server.open("/chat?user=bob");
        server.receive(bob, &frame(br#"{"type":"join","group":"g"}"#));
        for n in 1..members {
            let id = server.open(&format!("/chat?user=user{n}"));
            server.receive(id, &frame(br#"{"type":"join","group":"g"}"#));
        }
        for text in [r#"{"group":"g","content":"hello"}"#, "hello, room", r#"{"a":1}"#] {
            let cost = server.cost(bob, &frame(text.as_bytes()));
            assert!(cost <= 100, "{cost} for 100 times {text} to {members}");
        }
    }
}
