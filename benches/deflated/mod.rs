//! What `instructions` and `deflate` have in common: chat that is sent and received compressed, and
//! a room of 1,000 that hears it.
//!
//! ```text
//! Way::Off        plain                                a frame for all
//! Way::On         a window that begins empty           compressed once for all
//! Way::Takeover   a window that each connection keeps
//! ```

use std::hint::black_box;
use std::net::SocketAddr;

use switchboard::config::Deflate;
use switchboard::engine::{Context, Door, Engine, Flow, Handler};
use switchboard::outbox::Outbox;
use switchboard::protocol::{Connection, Endpoint, Input, Message, MessageKind, Step};
use switchboard::timer::{Millis, UnixMillis};
use switchboard::tools::bench::chat::{Chat, Form};
use switchboard::wire::DeflateAgreement;
use switchboard::{ConnId, Limits};

/// What is agreed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    Off,
    On,
    Takeover,
}

impl Way {
    #[allow(dead_code)] // not each bench needs them all
    pub const ALL: [(&str, Way); 3] =
        [("off", Way::Off), ("on", Way::On), ("takeover", Way::Takeover)];

    fn agree(self, connection: &mut Connection, endpoint: &Endpoint) {
        let fresh = self == Way::On;
        if self != Way::Off {
            let agreed = DeflateAgreement {
                server_no_context_takeover: fresh,
                client_no_context_takeover: fresh,
                ..DeflateAgreement::default()
            };
            connection.agree(endpoint, &agreed);
        }
    }
}

/// One end of a connection, and messages of one length to send.
pub struct Sender {
    chat: Chat,
    endpoint: Endpoint,
    connection: Connection,
    out: Outbox,
    next: u64,
}

impl Sender {
    /// A server's end.
    pub fn server(len: usize, way: Way) -> Sender {
        Sender::new(Endpoint::server(), len, way)
    }

    fn new(mut endpoint: Endpoint, len: usize, way: Way) -> Sender {
        endpoint.deflate_min_bytes = 0;
        let mut connection = Connection::new();
        way.agree(&mut connection, &endpoint);
        let chat = Chat::new(len, Form::Json);
        Sender { chat, endpoint, connection, out: Outbox::new(), next: 0 }
    }

    /// Sends the next message. Returns how many bytes it is on the wire.
    pub fn send(&mut self) -> usize {
        let text = self.chat.message(0, self.next);
        self.next += 1;
        self.connection.send_parts(&self.endpoint, MessageKind::Text, &[text], &mut self.out);
        let len = black_box(self.out.front()).len();
        self.out.clear();
        len
    }

    /// The next message as a client sends it.
    fn frame(&mut self) -> Vec<u8> {
        let text = self.chat.message(0, self.next);
        self.next += 1;
        self.connection.send_parts(&self.endpoint, MessageKind::Text, &[text], &mut self.out);
        let frame = self.out.front().to_vec();
        self.out.clear();
        frame
    }
}

/// A server's end, and what a client has sent it.
pub struct Receiver {
    frames: Vec<Vec<u8>>,
    way: Way,
    endpoint: Endpoint,
    connection: Connection,
    next: usize,
}

impl Receiver {
    /// As many messages are made as are given here; then they come round again.
    pub fn new(len: usize, way: Way, messages: usize) -> Receiver {
        let mut client = Sender::new(Endpoint::client(), len, way);
        let frames = std::iter::repeat_with(|| client.frame()).take(messages).collect();
        let endpoint = Endpoint::server();
        Receiver { frames, way, endpoint, connection: Connection::new(), next: usize::MAX }
    }

    /// Receives the next message.
    pub fn receive(&mut self) {
        if self.next >= self.frames.len() {
            // Another connection: its window must be that of the first message.
            self.next = 0;
            self.connection = Connection::new();
            self.way.agree(&mut self.connection, &self.endpoint);
        }
        let mut frame = self.frames[self.next].clone();
        self.next += 1;
        let (mut input, mut out) = (Input::new(&mut frame), Outbox::new());
        loop {
            match self.connection.advance(&self.endpoint, &mut input, &mut out) {
                Step::NeedInput => return,
                Step::Assembled(message) => {
                    let (_, buffer, _) = black_box(message).into_parts();
                    self.endpoint.pool().keep_buffer(buffer);
                }
                step => drop(black_box(step)),
            }
        }
    }
}

/// How a message gets to all others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Compressed {
    /// Not at all.
    Never,
    /// Once for all, as rooms and groups do it.
    Once,
    /// For each of them, as one message to each would.
    Each,
}

/// 1,001 connections; one of them writes to all others.
pub struct Room {
    engine: Engine<Board>,
    frame: Vec<u8>,
    sender: ConnId,
}

/// How many others there are.
pub const OTHERS: usize = 1_000;

impl Room {
    /// The message has `len` bytes.
    pub fn new(len: usize, compressed: Compressed) -> Room {
        let mut limits = Limits::relay();
        if compressed == Compressed::Never {
            limits.deflate_mode = Deflate::Off.as_number();
        }
        let mut engine = Engine::new(limits, Board { all: Vec::new(), compressed });
        engine.begin_tick(Millis(0), UnixMillis(0));
        let ids: Vec<ConnId> = (0..=OTHERS).map(|_| open(&mut engine)).collect();
        let mut client = Sender::new(Endpoint::client(), len, Way::Off);
        Room { engine, frame: client.frame(), sender: ids[0] }
    }

    /// One message to all others, and a network that takes everything. How many bytes it took.
    pub fn say(&mut self) -> usize {
        let _ = self.engine.receive(self.sender, &mut self.frame.clone());
        flush(&mut self.engine)
    }
}

/// Everybody hears what anybody says.
struct Board {
    all: Vec<ConnId>,
    compressed: Compressed,
}

impl Handler for Board {
    fn on_open(&mut self, _: &mut Context<'_>, id: ConnId) {
        self.all.push(id);
    }

    fn on_message(&mut self, cx: &mut Context<'_>, from: ConnId, message: Message<'_>) {
        let others = self.all.iter().filter(|id| **id != from);
        if self.compressed == Compressed::Each {
            for &to in others {
                let _ = cx.send(to, message);
            }
        } else {
            let frame = cx.frame(message.kind(), &[message.as_bytes()]);
            for &to in others {
                let _ = cx.send_frame(to, &frame);
            }
        }
    }
}

fn open(engine: &mut Engine<Board>) -> ConnId {
    let peer = SocketAddr::from(([127, 0, 0, 1], 50_000));
    let id = engine.accept(peer, Door::Public).expect("room for all");
    let mut request = b"GET / HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\n\
        Connection: Upgrade\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
        Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits\r\n\
        Sec-WebSocket-Version: 13\r\n\r\n"
        .to_vec();
    assert_eq!(engine.receive(id, &mut request), Flow::Read);
    flush(engine);
    id
}

/// The end of a tick, and the beginning of the next.
fn flush(engine: &mut Engine<Board>) -> usize {
    let mut total = 0;
    engine.before_flush();
    while let Some(id) = engine.next_dirty() {
        let len = engine.output(id).map_or(0, Outbox::len);
        engine.wrote(id, len, len);
        total += len;
    }
    engine.begin_tick(Millis(0), UnixMillis(0));
    total
}
