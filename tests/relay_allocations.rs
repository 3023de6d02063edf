//! How often the heap is asked for memory while messages pass through the whole server but its
//! sockets: never for a message to one connection, once for a message to many.
//!
//! Counted per thread, so that tests beside one another do not disturb the count.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::net::SocketAddr;

use switchboard::ConnId;
use switchboard::config::{Broadcast, Limits};
use switchboard::engine::Engine;
use switchboard::outbox::Outbox;
use switchboard::protocol::{Connection, Endpoint, MessageKind};
use switchboard::relay::{Relay, RelayConfig};

struct Counting;

thread_local! {
    static ALLOCATIONS: Cell<u64> = const { Cell::new(0) };
}

fn count() {
    ALLOCATIONS.with(|allocations| allocations.set(allocations.get() + 1));
}

// SAFETY: every call is passed on unchanged to the system's allocator; counting touches a
// thread-local integer without a destructor, which allocates nothing.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count();
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        unsafe { System.dealloc(pointer, layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        count();
        unsafe { System.realloc(pointer, layout, size) }
    }
}

#[global_allocator]
static COUNTING: Counting = Counting;

/// A server with some users connected, in the order of the names.
struct Server {
    engine: Engine<Relay>,
    ids: Vec<ConnId>,
    flushed: usize,
}

impl Server {
    fn new(users: &[&str]) -> Server {
        let config = RelayConfig { broadcast: Broadcast::Others, ..RelayConfig::default() };
        let engine = Engine::new(Limits::relay(), Relay::new(config));
        let mut server = Server { engine, ids: Vec::new(), flushed: 0 };
        for user in users {
            let peer = SocketAddr::from(([127, 0, 0, 1], 50_000));
            let id = server.engine.accept(peer).expect("room for a few");
            let request = format!(
                "GET /?user={user} HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\n\
                 Connection: Upgrade\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
                 Sec-WebSocket-Version: 13\r\n\r\n"
            );
            let _ = server.engine.receive(id, &mut request.into_bytes());
            server.flush();
            server.ids.push(id);
        }
        server
    }

    /// All that a tick does when one read arrived.
    fn receive(&mut self, from: usize, bytes: &mut [u8]) {
        let _ = self.engine.receive(self.ids[from], bytes);
        self.flush();
    }

    fn flush(&mut self) {
        self.engine.before_flush();
        while let Some(id) = self.engine.next_dirty() {
            let written = self.engine.output(id).map_or(0, Outbox::len);
            self.engine.wrote(id, written, written);
            self.flushed += 1;
        }
    }

    /// Allocations per message, and connections written to, when the first user says `said` again
    /// and again. The first times do not count: then buffers find their size.
    fn say(&mut self, kind: MessageKind, said: &str) -> (f64, usize) {
        let mut out = Outbox::new();
        let client = Endpoint::client();
        Connection::new().send_parts(&client, kind, &[said.as_bytes()], &mut out);
        let frame = out.front().to_vec();
        assert_eq!(frame.len(), out.len());
        let mut bytes = frame.clone();
        for _ in 0..10 {
            bytes.copy_from_slice(&frame);
            self.receive(0, &mut bytes);
        }
        self.flushed = 0;
        let before = ALLOCATIONS.with(Cell::get);
        for _ in 0..MESSAGES {
            bytes.copy_from_slice(&frame);
            self.receive(0, &mut bytes);
        }
        let allocations = ALLOCATIONS.with(Cell::get) - before;
        (allocations as f64 / MESSAGES as f64, self.flushed / MESSAGES)
    }
}

const MESSAGES: usize = 1_000;

#[test]
fn allocations_are_counted() {
    let before = ALLOCATIONS.with(Cell::get);
    drop(std::hint::black_box(vec![1_u8; 100]));
    assert_eq!(ALLOCATIONS.with(Cell::get) - before, 1);
}

#[test]
fn a_message_to_one_connection_allocates_nothing() {
    let mut server = Server::new(&["bob", "alice", "%22%5C"]);
    let long = format!(r#"{{"receiver":"alice","content":"{}"}}"#, "x".repeat(10_000));
    for said in [
        r#"{"sender":"bob","receiver":"alice","content":"hi"}"#,
        r#"{"receiver":"alice","content":{"a":[1,{"b":null}],"\u0061":"\ud83d\ude00 \"用户\""}}"#,
        r#"{"x":{"y":[]},"receiver":"alice","content":"two\nlines","type":"chat"}"#,
        &long,
    ] {
        assert_eq!(server.say(MessageKind::Text, said), (0.0, 1), "{said}");
    }
}

#[test]
fn a_sender_whose_name_has_to_be_escaped_allocates_nothing() {
    let mut server = Server::new(&["%22%5C", "alice"]);
    let said = r#"{"receiver":"alice","content":"hi"}"#;
    assert_eq!(server.say(MessageKind::Text, said), (0.0, 1));
}

#[test]
fn a_reply_allocates_nothing() {
    let mut server = Server::new(&["bob", "alice"]);
    for said in [
        r#"{"type":"ping"}"#,
        r#"{"type":"join","group":"g"}"#,
        r#"{"receiver":"carol","content":"hi"}"#,
        r#"{"receiver":"bob","content":"hi"}"#,
        r#"{"receiver":"alice"}"#,
        r#"{"sender":"eve","receiver":"alice","content":"hi"}"#,
        r#"{"group":"h","content":"hi"}"#,
    ] {
        assert_eq!(server.say(MessageKind::Text, said), (0.0, 1), "{said}");
    }
}

#[test]
fn a_broadcast_to_one_connection_allocates_nothing() {
    let mut server = Server::new(&["bob", "alice"]);
    assert_eq!(server.say(MessageKind::Text, "hello"), (0.0, 1));
    assert_eq!(server.say(MessageKind::Binary, "hello"), (0.0, 1));
}

#[test]
fn a_message_to_many_allocates_once() {
    let mut users = vec!["bob", "alice", "alice", "alice"];
    users.resize(100, "carol");
    let mut server = Server::new(&users);
    let long = "x".repeat(10_000);
    let said = r#"{"receiver":"alice","content":"hi"}"#;
    assert_eq!(server.say(MessageKind::Text, said), (1.0, 3), "three devices");
    assert_eq!(server.say(MessageKind::Text, "hello"), (1.0, 99));
    assert_eq!(server.say(MessageKind::Binary, "hello"), (1.0, 99));
    assert_eq!(server.say(MessageKind::Text, &long), (1.0, 99));
    for user in [0, 1, 4] {
        let mut out = Outbox::new();
        let join = br#"{"type":"join","group":"g"}"#;
        Connection::new().send_parts(&Endpoint::client(), MessageKind::Text, &[join], &mut out);
        server.receive(user, &mut out.front().to_vec());
    }
    let said = r#"{"group":"g","content":"hi"}"#;
    assert_eq!(server.say(MessageKind::Text, said), (1.0, 99), "three members");
    let long = format!(r#"{{"group":"g","content":"{long}"}}"#);
    assert_eq!(server.say(MessageKind::Text, &long), (1.0, 99));
}
