//! A world of clients around one relay, for tests that speak in messages.
//!
//! ```text
//! let world = World::new();
//! let alice = world.connect("/", Some("alice"));
//! let bob = world.connect("/", Some("bob"));
//! bob.say(r#"{"receiver":"alice","content":"hi"}"#);
//! assert_eq!(alice.heard(), [text(r#"{"sender":"bob","content":"hi"}"#)]);
//! ```
//!
//! Behind it is the real engine, driven tick by tick without sockets or a clock, and a client's
//! end of each connection. Whatever somebody says has arrived everywhere when `say` returns.
#![allow(dead_code, reason = "no test uses all of it")]

use std::cell::RefCell;
use std::collections::HashMap;
use std::io::IoSlice;
use std::net::SocketAddr;
use std::rc::Rc;

use switchboard::ConnId;
use switchboard::config::Limits;
use switchboard::engine::{Action, Context, Door, Engine, Flow, Handler, Remote};
use switchboard::outbox::Outbox;
use switchboard::protocol::{Connection, Endpoint, Input, Message, MessageKind, Step};
use switchboard::relay::{Counts, Relay, RelayConfig};
use switchboard::timer::{Millis, UnixMillis};

/// What a client heard.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Heard {
    Text(String),
    Binary(Vec<u8>),
    /// The server closed the connection, with this code.
    Closed(u16),
}

/// A text message.
pub fn text(text: impl Into<String>) -> Heard {
    Heard::Text(text.into())
}

/// A binary message.
pub fn binary(bytes: impl Into<Vec<u8>>) -> Heard {
    Heard::Binary(bytes.into())
}

/// An opening handshake that did not succeed, or a request that wanted none.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub head: String,
    pub body: String,
}

/// The limits of a world: the relay's own, but for outboxes that are soon full.
pub fn config() -> RelayConfig {
    let limits = Limits { outbox_high_bytes: 4_096, outbox_low_bytes: 1_024, ..Limits::relay() };
    RelayConfig { limits, ..RelayConfig::default() }
}

/// What makes a request an opening handshake.
const UPGRADE: [(&str, &str); 4] = [
    ("Upgrade", "websocket"),
    ("Connection", "Upgrade"),
    ("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ=="),
    ("Sec-WebSocket-Version", "13"),
];

/// One relay and its clients.
#[derive(Clone)]
pub struct World(Rc<RefCell<Inner>>);

struct Inner {
    engine: Engine<Relay>,
    lines: HashMap<ConnId, Line>,
    actions: Vec<Action>,
    resumed: Vec<ConnId>,
    client: Endpoint,
    now: Millis,
    /// Where connections come from.
    remote: Remote,
}

/// The network between the server and one client.
struct Line {
    connection: Connection,
    /// Bytes that the server has written and the client has not read.
    arrived: Vec<u8>,
    is_stalled: bool,
}

/// One client.
pub struct Peer {
    world: World,
    id: ConnId,
    pub protocol: Option<String>,
}

impl World {
    pub fn new() -> World {
        World::with(config())
    }

    pub fn with(config: RelayConfig) -> World {
        World(Rc::new(RefCell::new(Inner {
            engine: Engine::new(config.limits, Relay::new(config)),
            lines: HashMap::new(),
            actions: Vec::new(),
            resumed: Vec::new(),
            client: Endpoint::client(),
            now: Millis(0),
            remote: Remote::Tcp(SocketAddr::from(([127, 0, 0, 1], 50_000))),
        })))
    }

    /// Stops the server.
    pub fn stop(&self) {
        let inner = &mut *self.0.borrow_mut();
        inner.engine.shut_down();
        inner.tick();
    }

    /// How many bytes the server holds for a client.
    pub fn queued(&self, peer: &Peer) -> usize {
        self.0.borrow().engine.output(peer.id).map_or(0, Outbox::len)
    }

    /// Whether the server has dropped a client's connection.
    pub fn has_dropped(&self, peer: &Peer) -> bool {
        self.0.borrow().engine.flow(peer.id) == Flow::Gone
    }

    /// Connections come from here from now on.
    pub fn come_from(&self, remote: Remote) {
        self.0.borrow_mut().remote = remote;
    }

    /// So many milliseconds go by. Nothing else in a world takes any time.
    pub fn pass(&self, ms: u64) {
        let inner = &mut *self.0.borrow_mut();
        inner.now = inner.now.after(ms);
        inner.engine.begin_tick(inner.now, UnixMillis(inner.now.0));
        inner.engine.run_timers();
        inner.tick();
    }

    /// Speaks to the relay itself, as the server's own program does.
    pub fn with_relay<T>(&self, call: impl FnOnce(&mut Relay, &mut Context<'_>) -> T) -> T {
        let inner = &mut *self.0.borrow_mut();
        let mut result = None;
        inner.engine.inject(|relay, cx| result = Some(call(relay, cx)));
        inner.tick();
        result.expect("the call did not panic")
    }

    /// All these connections are lost in one tick.
    pub fn lose(&self, peers: Vec<Peer>) {
        let inner = &mut *self.0.borrow_mut();
        for peer in peers {
            inner.engine.reset(peer.id);
        }
        inner.tick();
    }

    /// Connects as the user, or as a guest.
    pub fn connect(&self, path: &str, user: Option<&str>) -> Peer {
        let target = match user {
            Some(user) => format!("{path}?user={user}"),
            None => path.to_owned(),
        };
        match self.upgrade(&target, &[]) {
            Ok(peer) => peer,
            Err(answer) => panic!("{target}: {answer:?}"),
        }
    }

    /// Asks for a WebSocket with these header fields beside the needed ones.
    pub fn upgrade(&self, target: &str, headers: &[(&str, &str)]) -> Result<Peer, Answer> {
        self.finish_upgrade(self.begin_upgrade(target, headers))
    }

    /// The same, for a handshake that may be answered later.
    pub fn begin_upgrade(&self, target: &str, headers: &[(&str, &str)]) -> ConnId {
        self.begin("GET", target, &[&UPGRADE, headers].concat())
    }

    /// What became of it.
    pub fn finish_upgrade(&self, id: ConnId) -> Result<Peer, Answer> {
        self.opened(id, self.answer(id))
    }

    fn opened(&self, id: ConnId, answer: Answer) -> Result<Peer, Answer> {
        if answer.status != 101 {
            return Err(answer);
        }
        let protocol = answer
            .head
            .lines()
            .find_map(|line| line.strip_prefix("Sec-WebSocket-Protocol: ").map(str::to_owned));
        Ok(Peer { world: self.clone(), id, protocol })
    }

    /// Sends an HTTP request.
    pub fn request(&self, method: &str, target: &str, headers: &[(&str, &str)]) -> Answer {
        self.answer(self.begin(method, target, headers))
    }

    /// How much the relay holds.
    pub fn counts(&self) -> Counts {
        self.0.borrow().engine.handler().counts()
    }

    fn begin(&self, method: &str, target: &str, headers: &[(&str, &str)]) -> ConnId {
        self.begin_at(Door::Public, method, target, headers, "")
    }

    /// Asks the push API something with a body.
    pub fn begin_ask(
        &self,
        method: &str,
        target: &str,
        headers: &[(&str, &str)],
        body: &str,
    ) -> ConnId {
        let len = body.len().to_string();
        let own = [("Content-Type", "application/json"), ("Content-Length", &*len)];
        self.begin_at(Door::Admin, method, target, &[&own, headers].concat(), body)
    }

    /// What it has answered, if it has.
    pub fn finish_ask(&self, id: ConnId) -> Option<Answer> {
        let is_answered = !self.0.borrow().lines.get(&id).expect("connected").arrived.is_empty();
        is_answered.then(|| self.answer(id))
    }

    /// The connection is gone before an answer.
    pub fn abandon(&self, id: ConnId) {
        let inner = &mut *self.0.borrow_mut();
        inner.engine.reset(id);
        inner.tick();
        inner.lines.remove(&id);
    }

    /// Turns once, for whoever waits for something outside.
    pub fn turn(&self) {
        self.pass(0);
    }

    fn begin_at(
        &self,
        door: Door,
        method: &str,
        target: &str,
        headers: &[(&str, &str)],
        body: &str,
    ) -> ConnId {
        let inner = &mut *self.0.borrow_mut();
        let id = inner.engine.accept(inner.remote, door);
        let id = id.expect("there is room for a connection");
        let line = Line { connection: Connection::new(), arrived: Vec::new(), is_stalled: false };
        inner.lines.insert(id, line);
        let mut request = format!("{method} {target} HTTP/1.1\r\n");
        if !headers.iter().any(|(name, _)| *name == "Host") {
            request.push_str("Host: localhost:8080\r\n");
        }
        for (name, value) in headers {
            request.push_str(&format!("{name}: {value}\r\n"));
        }
        request.push_str("\r\n");
        request.push_str(body);
        let _ = inner.engine.receive(id, &mut request.into_bytes());
        inner.tick();
        id
    }

    fn answer(&self, id: ConnId) -> Answer {
        let inner = &mut *self.0.borrow_mut();
        let line = inner.lines.get_mut(&id).expect("connected");
        let bytes = String::from_utf8_lossy(&std::mem::take(&mut line.arrived)).into_owned();
        let (head, body) = bytes.split_once("\r\n\r\n").expect("an answer");
        let status = head.split(' ').nth(1).and_then(|status| status.parse().ok());
        let status = status.expect("a status line");
        if status != 101 {
            inner.engine.end_of_input(id);
            inner.tick();
        }
        Answer { status, head: head.to_owned(), body: body.to_owned() }
    }

    fn send(&self, id: ConnId, kind: MessageKind, payload: &[u8]) {
        let inner = &mut *self.0.borrow_mut();
        let line = inner.lines.get_mut(&id).expect("a line of this client");
        let mut out = Outbox::new();
        assert!(line.connection.send_parts(&inner.client, kind, &[payload], &mut out));
        inner.receive(id, &out);
    }
}

impl Inner {
    /// What a client sent arrives, and all that follows from it happens.
    fn receive(&mut self, id: ConnId, out: &Outbox) {
        let mut slices = [IoSlice::new(&[]); 8];
        let filled = out.io_slices(&mut slices);
        let mut bytes: Vec<u8> =
            slices[..filled].iter().flat_map(|slice| slice.iter()).copied().collect();
        assert_eq!(bytes.len(), out.len());
        let _ = self.engine.receive(id, &mut bytes);
        self.tick();
    }

    /// Turns until nothing is left to do but to wait for the clients.
    fn tick(&mut self) {
        loop {
            self.engine.before_flush();
            while let Some(id) = self.engine.next_dirty() {
                self.flush(id);
            }
            self.engine.reap(&mut self.actions);
            for action in self.actions.drain(..) {
                match action {
                    Action::Shutdown(id) => self.engine.end_of_input(id),
                    Action::Release(_) => {}
                }
            }
            self.engine.take_resumed(&mut self.resumed);
            for id in self.resumed.drain(..) {
                let _ = self.engine.resume(id);
            }
            if !self.engine.has_work() {
                return;
            }
            self.engine.begin_tick(self.now, UnixMillis(self.now.0));
        }
    }

    fn flush(&mut self, id: ConnId) {
        let Some(outbox) = self.engine.output(id) else { return };
        let mut slices = [IoSlice::new(&[]); 64];
        let filled = outbox.io_slices(&mut slices);
        let bytes: Vec<u8> =
            slices[..filled].iter().flat_map(|slice| slice.iter()).copied().collect();
        let line = self.lines.get_mut(&id).expect("connected");
        if line.is_stalled {
            self.engine.wrote(id, 0, bytes.len());
        } else {
            line.arrived.extend_from_slice(&bytes);
            self.engine.wrote(id, bytes.len(), bytes.len());
        }
    }
}

impl Peer {
    /// Sends a text message.
    pub fn say(&self, text: &str) {
        self.world.send(self.id, MessageKind::Text, text.as_bytes());
    }

    /// Sends text messages that arrive together.
    pub fn say_all(&self, texts: &[String]) {
        let inner = &mut *self.world.0.borrow_mut();
        let line = inner.lines.get_mut(&self.id).expect("a line of this client");
        let mut bytes = Vec::new();
        for text in texts {
            let mut out = Outbox::new();
            let parts = [text.as_bytes()];
            assert!(line.connection.send_parts(&inner.client, MessageKind::Text, &parts, &mut out));
            let mut slices = [IoSlice::new(&[]); 8];
            let filled = out.io_slices(&mut slices);
            bytes.extend(slices[..filled].iter().flat_map(|slice| slice.iter()));
        }
        inner.engine.begin_tick(inner.now, UnixMillis(inner.now.0));
        let _ = inner.engine.receive(self.id, &mut bytes);
        inner.tick();
    }

    /// Sends a binary message.
    pub fn say_binary(&self, bytes: &[u8]) {
        self.world.send(self.id, MessageKind::Binary, bytes);
    }

    /// What came since the last time.
    pub fn heard(&self) -> Vec<Heard> {
        let inner = &mut *self.world.0.borrow_mut();
        let line = inner.lines.get_mut(&self.id).expect("connected");
        let mut bytes = std::mem::take(&mut line.arrived);
        let mut input = Input::new(&mut bytes);
        let mut out = Outbox::new();
        let mut heard = Vec::new();
        loop {
            match line.connection.advance(&inner.client, &mut input, &mut out) {
                Step::NeedInput => return heard,
                Step::Message(Message::Text(text)) => heard.push(Heard::Text(text.to_owned())),
                Step::Message(Message::Binary(bytes)) => heard.push(binary(bytes)),
                Step::Assembled(message) => match message.message() {
                    Message::Text(text) => heard.push(Heard::Text(text.to_owned())),
                    Message::Binary(bytes) => heard.push(binary(bytes)),
                },
                Step::Ping(_) | Step::Pong(_) => {}
                Step::Closed { code, .. } => {
                    heard.push(Heard::Closed(code.as_u16()));
                    return heard;
                }
                Step::Failed(error) => panic!("the server broke the protocol: {error}"),
            }
        }
    }

    /// Lets everything sent to it pile up at the server.
    pub fn stop_reading(&self) {
        let inner = &mut *self.world.0.borrow_mut();
        inner.lines.get_mut(&self.id).expect("connected").is_stalled = true;
    }

    /// Takes what has piled up.
    pub fn read_again(&self) {
        let inner = &mut *self.world.0.borrow_mut();
        inner.lines.get_mut(&self.id).expect("connected").is_stalled = false;
        inner.engine.writable(self.id);
        inner.tick();
    }

    /// Who the server says this is.
    pub fn user(&self) -> Option<String> {
        self.world.0.borrow().engine.handler().user(self.id).map(str::to_owned)
    }

    /// The server's name for the connection.
    pub fn id(&self) -> ConnId {
        self.id
    }

    /// Ends the TCP connection.
    pub fn hang_up(self) {
        let inner = &mut *self.world.0.borrow_mut();
        inner.engine.end_of_input(self.id);
        inner.lines.get_mut(&self.id).expect("connected").is_stalled = false;
        inner.engine.writable(self.id);
        inner.tick();
        inner.lines.remove(&self.id);
    }
}
