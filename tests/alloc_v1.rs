//! What switchboard.v1 costs in memory: a logged message is one allocation, the entry, however many
//! get it; whatever else is said is none. Through the whole relay, on the engine.
#![cfg(feature = "relay")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::net::SocketAddr;

use switchboard::engine::{Action, Door, Engine, Flow};
use switchboard::relay::{Relay, RelayConfig};
use switchboard::timer::{Millis, UnixMillis};
use switchboard::wire::{FrameHeader, MaskingKey, Opcode, Rsv};
use switchboard::{ConnId, Limits};

struct Counting;

thread_local! {
    // Tests run side by side, each on a thread of its own.
    static ALLOCATIONS: Cell<usize> = const { Cell::new(0) };
}

// SAFETY: every call goes to the system's allocator unchanged; the counter is a plain number.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.with(|counted| counted.set(counted.get() + 1));
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, bytes: *mut u8, layout: Layout) {
        unsafe { System.dealloc(bytes, layout) }
    }

    unsafe fn realloc(&self, bytes: *mut u8, layout: Layout, len: usize) -> *mut u8 {
        ALLOCATIONS.with(|counted| counted.set(counted.get() + 1));
        unsafe { System.realloc(bytes, layout, len) }
    }
}

#[global_allocator]
static COUNTING: Counting = Counting;

/// A relay, and a network that takes everything at once.
struct Server {
    engine: Engine<Relay>,
    actions: Vec<Action>,
    buffer: Vec<u8>,
    /// Messages, to all connections together.
    sent: usize,
}

impl Server {
    fn new() -> Server {
        // Logs that are full and stay so, as in steady state.
        let limits = Limits { log_messages_max: 50, ..Limits::relay() };
        let relay = Relay::new(RelayConfig { limits, ..RelayConfig::default() });
        let (buffer, actions) = (vec![0; 1 << 16], Vec::new());
        Server { engine: Engine::new(limits, relay), actions, buffer, sent: 0 }
    }

    fn open(&mut self, user: &str, extra: &str) -> ConnId {
        let request = format!(
            "GET /?user={user} HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\n\
             Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\n{extra}\
             Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
        );
        let peer = SocketAddr::from(([127, 0, 0, 1], 9));
        let id = self.engine.accept(peer, Door::Public).expect("room for all");
        self.receive(id, request.as_bytes());
        id
    }

    fn hello(&mut self, user: &str) -> ConnId {
        let id = self.open(user, "Sec-WebSocket-Protocol: switchboard.v1\r\n");
        self.say(id, r#"{"type":"hello","client":"c1"}"#);
        id
    }

    fn say(&mut self, id: ConnId, text: &str) {
        self.receive(id, &frame(text));
    }

    fn receive(&mut self, id: ConnId, bytes: &[u8]) {
        self.engine.begin_tick(Millis(0), UnixMillis(0));
        self.buffer[..bytes.len()].copy_from_slice(bytes);
        assert_eq!(self.engine.receive(id, &mut self.buffer[..bytes.len()]), Flow::Read);
        self.engine.run_timers();
        self.engine.before_flush();
        while let Some(id) = self.engine.next_dirty() {
            let len = self.engine.output(id).map_or(0, |outbox| outbox.len());
            self.engine.wrote(id, len, len);
            self.sent += 1;
        }
        self.engine.reap(&mut self.actions);
        self.actions.clear();
    }

    /// Allocations for a hundred frames that follow two hundred like them, each of which makes the
    /// server write to so many connections.
    fn cost(
        &mut self,
        from: ConnId,
        first: u64,
        writes: usize,
        text: impl Fn(u64) -> String,
    ) -> usize {
        for number in first..first + 200 {
            self.say(from, &text(number));
        }
        let frames: Vec<Vec<u8>> =
            (first + 200..first + 300).map(|number| frame(&text(number))).collect();
        let (sent, before) = (self.sent, ALLOCATIONS.get());
        for frame in &frames {
            self.receive(from, frame);
        }
        let counted = ALLOCATIONS.get() - before;
        assert_eq!(self.sent - sent, 100 * writes, "{}", text(first));
        counted
    }
}

fn frame(text: &str) -> Vec<u8> {
    let key = MaskingKey(*b"mask");
    let header = FrameHeader {
        fin: true,
        rsv: Rsv::NONE,
        opcode: Opcode::Text,
        masking_key: Some(key),
        payload_len: text.len() as u64,
    };
    let mut bytes = header.encode().to_vec();
    let start = bytes.len();
    bytes.extend_from_slice(text.as_bytes());
    key.apply(&mut bytes[start..]);
    bytes
}

#[test]
fn a_logged_message_to_one_is_one_allocation_however_long() {
    for len in [12, 500, 3_000, 30_000] {
        let mut server = Server::new();
        let bob = server.hello("bob");
        server.hello("alice");
        let content = "x".repeat(len);
        let counted = server.cost(bob, 1, 2, |id| {
            format!(r#"{{"id":{id},"receiver":"alice","content":"{content}","receipt":true}}"#)
        });
        assert_eq!(counted, 100, "{len} bytes");
    }
}

#[test]
fn a_logged_message_to_many_is_one_allocation_however_many_and_however_long() {
    for (members, len) in [(100, 12), (100, 3_000), (1_000, 12)] {
        let mut server = Server::new();
        for at in 0..members {
            let member = server.hello(&format!("user{at}"));
            server.say(member, r#"{"type":"join","group":"g","id":1}"#);
        }
        let bob = server.hello("bob");
        server.say(bob, r#"{"type":"join","group":"g","id":1}"#);
        let content = "x".repeat(len);
        let counted = server.cost(bob, 2, members + 1, |id| {
            format!(r#"{{"id":{id},"group":"g","content":"{content}"}}"#)
        });
        assert_eq!(counted, 100, "{len} bytes to {members}");
    }
}

#[test]
fn a_message_that_is_not_logged_is_one_allocation() {
    let mut server = Server::new();
    let bob = server.hello("bob");
    server.hello("alice");
    let counted = server.cost(bob, 1, 2, |id| {
        format!(r#"{{"id":{id},"receiver":"alice","content":"typing","ttl":0}}"#)
    });
    assert_eq!(counted, 100);
}

#[test]
fn a_logged_message_between_the_dialects_is_one_allocation() {
    let mut server = Server::new();
    let bob = server.open("bob", "");
    server.hello("alice");
    server.open("alice", "");
    let text = |_| r#"{"receiver":"alice","content":"to both of your devices"}"#.to_owned();
    assert_eq!(server.cost(bob, 1, 2, text), 100);
}

#[test]
fn what_is_no_message_allocates_nothing() {
    let mut server = Server::new();
    let bob = server.hello("bob");
    let alice = server.hello("alice");
    for id in 1..=400 {
        let to = format!(r#"{{"id":{id},"receiver":"alice","content":1,"receipt":true}}"#);
        server.say(bob, &to);
    }
    // The log has room for fifty, but what was written may be acknowledged.
    let ack = |seq| format!(r#"{{"type":"ack","seq":{seq}}}"#);
    assert_eq!(server.cost(alice, 1, 0, ack), 0, "an ack");
    let ping = |id| format!(r#"{{"type":"ping","id":{}}}"#, 400 + id);
    assert_eq!(server.cost(bob, 1, 1, ping), 0, "a ping");
    let refused = |id| format!(r#"{{"id":{},"group":"h","content":1}}"#, 700 + id);
    assert_eq!(server.cost(bob, 1, 1, refused), 0, "a refusal");
    let ahead = |_| r#"{"type":"ack","seq":100000}"#.to_owned();
    assert_eq!(server.cost(alice, 1, 1, ahead), 0, "another");
}

#[test]
fn resuming_allocates_nothing_for_a_message() {
    let costs = [10, 40].map(|kept| {
        let mut server = Server::new();
        let bob = server.hello("bob");
        let alice = server.hello("alice");
        for id in 1..=kept {
            server.say(bob, &format!(r#"{{"id":{id},"receiver":"alice","content":"hi"}}"#));
        }
        server.engine.reset(alice);
        let resume = r#"{"type":"hello","client":"c1","seq":0}"#;
        for _ in 0..3 {
            let alice = server.open("alice", "Sec-WebSocket-Protocol: switchboard.v1\r\n");
            server.say(alice, resume);
            server.engine.reset(alice);
        }
        let alice = server.open("alice", "Sec-WebSocket-Protocol: switchboard.v1\r\n");
        let hello = frame(resume);
        let before = ALLOCATIONS.get();
        server.receive(alice, &hello);
        ALLOCATIONS.get() - before
    });
    assert!(costs[1] <= costs[0], "{costs:?}: forty cost more than ten");
}
