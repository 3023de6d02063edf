//! How many instructions the hot paths take, counted by callgrind: the same number on a busy
//! machine and an idle one, so that a regression is a number and not a matter of opinion.
//!
//! `benches/instructions.sh` runs every path twice, with different counts, and divides the
//! difference: what a start-up costs cancels out. By itself:
//!
//! ```text
//! cargo bench --bench instructions -- PATH COUNT
//! ```
//!
//! runs one path, and without arguments lists them.

mod deflated;

use std::hint::black_box;
use std::io::IoSlice;
use std::net::SocketAddr;

use switchboard::echo::Echo;
use switchboard::engine::{Door, Engine, Flow, Handler};
use switchboard::hub::Slots;
use switchboard::hub::routes::{Routes, Standing};
use switchboard::outbox::Outbox;
use switchboard::protocol::{Connection, Endpoint, Input, Message, Step};
use switchboard::relay::envelope::{Envelope, EnvelopeLimits};
use switchboard::relay::{Relay, RelayConfig};
use switchboard::timer::{Millis, UnixMillis};
use switchboard::wire::utf8::validate;
use switchboard::wire::{CloseCode, FrameHeader, MaskingKey};
use switchboard::{ConnId, Limits};

use deflated::{Compressed, Receiver, Room, Sender, Way};

/// A name, what one of its counts is, and how to run it.
struct Path(&'static str, &'static str, fn(usize));

const PATHS: &[Path] = &[
    Path("header", "a frame header parsed", header),
    Path("mask_125", "125 bytes unmasked", |count| mask(count, 125)),
    Path("mask_16k", "16 KiB unmasked", |count| mask(count, 16 << 10)),
    Path("utf8_125", "125 bytes of ASCII validated", |count| utf8(count, "x", 125)),
    Path("utf8_mixed_1k", "1 KiB of multi-byte text validated", |count| utf8(count, "żó你", 146)),
    Path("message_20", "a frame of 20 bytes, 16 in one read", message),
    Path("envelope_64", "a direct message understood", envelope),
    Path("echo_20", "an echo of 20 bytes, alone in its tick", |count| echo(count, 1, 20)),
    Path("echo_20_p16", "an echo of 20 bytes, 16 in one read", |count| echo(count, 16, 20)),
    Path("echo_1k_p16", "an echo of 1 KiB, 16 in one read", |count| echo(count, 16, 1 << 10)),
    Path("echo_20_c1000", "an echo of 20 bytes, beside 1,000 idle connections", echo_among),
    Path("relay_64", "a direct message of 64 bytes, alone in its tick", |count| {
        relay(count, 1, 0, 64);
    }),
    Path("relay_64_p16", "a direct message of 64 bytes, 16 in one read", |count| {
        relay(count, 16, 0, 64);
    }),
    Path("relay_1k_p16", "a direct message of 1 KiB, 16 in one read", |count| {
        relay(count, 16, 0, 1 << 10);
    }),
    Path("relay_64_u10k", "a direct message of 64 bytes, among 10,000 other users", |count| {
        relay(count, 1, 10_000, 64);
    }),
    Path("fanout_125", "a delivery of 125 bytes, in a room of 100 others", |count| {
        fanout(count, 125);
    }),
    Path("fanout_1k", "a delivery of 1 KiB, in a room of 100 others", |count| {
        fanout(count, 1 << 10);
    }),
    Path("open_close", "a connection, from accept to the end of the closing handshake", open_close),
    // Not among ten: the tables are seeded at random, and only many names even that out.
    Path("route_10k", "a name looked up among 10,000", |count| route(count, 10_000)),
    Path("room_100", "a message to a room of 101", |count| many(count, 100, 1)),
    Path("group_100", "a message to a group of 101", |count| many(count, 100, 2)),
    Path("groups_10k", "the same, and 10,000 other groups", |count| many(count, 100, 10_000)),
    Path("churn", "one of all who come, join a group and go at once", churn),
    Path("v1_direct", "a direct message of 64 bytes in switchboard.v1, and its ok", |count| {
        v1_direct(count, 1, 64);
    }),
    Path("v1_direct_p16", "the same, 16 in one read", |count| v1_direct(count, 16, 64)),
    Path("v1_1k_p16", "one of 1 KiB and its ok, 16 in one read", |count| {
        v1_direct(count, 16, 1 << 10);
    }),
    Path("v1_direct_16k", "1 KiB of one of 16 KiB, and its ok", v1_direct_16k),
    Path("v1_group_100", "a message to a group of 101 in switchboard.v1", v1_group),
    Path("v1_ack", "a message acknowledged", v1_ack),
    Path("v1_resume_1k", "one of 1,000 messages of 64 bytes that are resumed", v1_resume),
    Path("send_125_off", "a message of 125 bytes, sent as it is", |count| {
        send(count, 125, Way::Off)
    }),
    Path("send_125_on", "a message of 125 bytes, sent compressed", |count| {
        send(count, 125, Way::On)
    }),
    Path("send_125_own", "a message of 125 bytes, sent compressed with takeover", |count| {
        send(count, 125, Way::Takeover)
    }),
    Path("send_1k_off", "a message of 1 KiB, sent as it is", |count| {
        send(count, 1 << 10, Way::Off)
    }),
    Path("send_1k_on", "a message of 1 KiB, sent compressed", |count| {
        send(count, 1 << 10, Way::On)
    }),
    Path("send_1k_own", "a message of 1 KiB, sent compressed with takeover", |count| {
        send(count, 1 << 10, Way::Takeover)
    }),
    Path("send_16k_off", "1 KiB of a message of 16 KiB, sent as it is", |count| {
        send(count, 16 << 10, Way::Off)
    }),
    Path("send_16k_on", "1 KiB of a message of 16 KiB, sent compressed", |count| {
        send(count, 16 << 10, Way::On)
    }),
    Path("send_16k_own", "1 KiB of a message of 16 KiB, sent compressed with takeover", |count| {
        send(count, 16 << 10, Way::Takeover)
    }),
    Path("recv_125_off", "a message of 125 bytes, received as it is", |count| {
        recv(count, 125, Way::Off)
    }),
    Path("recv_125_on", "a message of 125 bytes, received compressed", |count| {
        recv(count, 125, Way::On)
    }),
    Path("recv_125_own", "a message of 125 bytes, received compressed with takeover", |count| {
        recv(count, 125, Way::Takeover)
    }),
    Path("recv_1k_off", "a message of 1 KiB, received as it is", |count| {
        recv(count, 1 << 10, Way::Off)
    }),
    Path("recv_1k_on", "a message of 1 KiB, received compressed", |count| {
        recv(count, 1 << 10, Way::On)
    }),
    Path("recv_1k_own", "a message of 1 KiB, received compressed with takeover", |count| {
        recv(count, 1 << 10, Way::Takeover)
    }),
    Path("recv_16k_off", "1 KiB of a message of 16 KiB, received as it is", |count| {
        recv(count, 16 << 10, Way::Off)
    }),
    Path("recv_16k_on", "1 KiB of a message of 16 KiB, received compressed", |count| {
        recv(count, 16 << 10, Way::On)
    }),
    Path(
        "recv_16k_own",
        "1 KiB of a message of 16 KiB, received compressed with takeover",
        |count| recv(count, 16 << 10, Way::Takeover),
    ),
    Path("fan_1k_off", "a delivery of 1 KiB, in a room of 1,000 others, not compressed", |count| {
        fan(count, Compressed::Never)
    }),
    Path(
        "fan_1k_once",
        "a delivery of 1 KiB, in a room of 1,000 others, compressed once for all",
        |count| fan(count, Compressed::Once),
    ),
    Path(
        "fan_1k_each",
        "a delivery of 1 KiB, in a room of 1,000 others, compressed for each",
        |count| fan(count, Compressed::Each),
    ),
];

fn main() {
    // `cargo bench` and `cargo test` add flags of their own.
    let args: Vec<String> = std::env::args().skip(1).filter(|arg| !arg.starts_with('-')).collect();
    let [path, count] = args.as_slice() else {
        for Path(name, what, run) in PATHS {
            run(ONCE);
            println!("{name}: {what}");
        }
        return;
    };
    let count = count.parse().expect("a count");
    let found = PATHS.iter().find(|Path(name, ..)| name == path).expect("a path of the list");
    found.2(count);
}

fn header(count: usize) {
    let bytes = black_box(*b"\x82\xfe\x01\x00\x37\xfa\x21\x3d........");
    for _ in 0..count {
        let _ = black_box(FrameHeader::parse(black_box(&bytes)));
    }
}

fn mask(count: usize, len: usize) {
    let mut payload = vec![b'x'; len];
    for _ in 0..count {
        MaskingKey([0x37, 0xfa, 0x21, 0x3d]).apply(black_box(&mut payload));
    }
}

fn utf8(count: usize, letters: &str, times: usize) {
    let text = letters.repeat(times);
    for _ in 0..count {
        let _ = black_box(validate(black_box(text.as_bytes())));
    }
}

fn message(count: usize) {
    let server = Endpoint::server();
    let (mut connection, mut out) = (Connection::new(), Outbox::new());
    let read = frame(&[b'x'; 20]).repeat(16);
    for _ in 0..count / 16 {
        let mut bytes = black_box(read.clone());
        let mut input = Input::new(&mut bytes);
        while let Step::Message(message) = connection.advance(&server, &mut input, &mut out) {
            black_box(message);
        }
    }
}

fn envelope(count: usize) {
    let limits = EnvelopeLimits::default();
    let text = direct(64);
    for _ in 0..count {
        let _ = black_box(Envelope::read(black_box(&text), &limits));
    }
}

fn echo(count: usize, depth: usize, len: usize) {
    let mut server = Server::new(Echo);
    let id = server.open("/");
    server.run(id, &frame(&vec![b'x'; len]), count, depth);
}

fn echo_among(count: usize) {
    let mut server = Server::new(Echo);
    let id = server.open("/");
    for _ in 0..1_000 {
        server.open("/");
    }
    server.run(id, &frame(&[b'x'; 20]), count, 1);
}

fn relay(count: usize, depth: usize, others: usize, len: usize) {
    let mut server = Server::new(Relay::new(RelayConfig::default()));
    for number in 0..others {
        server.open(&format!("/?user=user{number}"));
    }
    let bob = server.open("/?user=bob");
    server.open("/?user=alice");
    server.run(bob, &text_frame(&direct(len)), count, depth);
}

/// `count` deliveries.
fn fanout(count: usize, len: usize) {
    let mut server = Server::new(Relay::new(RelayConfig::default()));
    let sender = server.open("/");
    for _ in 0..OTHERS {
        server.open("/");
    }
    server.run(sender, &frame(&vec![b'x'; len]), count / OTHERS, 1);
}

fn open_close(count: usize) {
    let mut server = Server::new(Relay::new(RelayConfig::default()));
    let close = frame_of(|connection, client, out| {
        connection.close(client, CloseCode::NORMAL, "", out);
    });
    for _ in 0..count {
        let id = server.open("/?user=alice");
        let _ = server.engine.receive(id, &mut close.clone());
        server.tick();
        server.engine.end_of_input(id);
        server.tick();
    }
    assert_eq!(server.engine.connections(), 0);
}

fn route(count: usize, users: usize) {
    let (mut slots, mut routes) = (Slots::new(), Routes::new());
    let names: Vec<String> = (0..users).map(|index| format!("user{index}")).collect();
    for name in &names {
        routes.connect(slots.insert(()), name, Standing::Named);
    }
    for index in 0..count {
        black_box(routes.find(black_box(&names[index * 7_919 % users])));
    }
}

/// A message to the room, or to one of several groups if there are.
fn many(count: usize, others: usize, groups: usize) {
    let mut server = Server::new(Relay::new(RelayConfig::default()));
    let bob = server.open("/?user=bob");
    let ids: Vec<ConnId> = (0..others).map(|at| server.open(&format!("/?user=u{at}"))).collect();
    let join = |group| text_frame(&format!(r#"{{"type":"join","group":"g{group}"}}"#));
    for &id in ids.iter().chain([&bob]) {
        server.run(id, &join(0), 1, 1);
    }
    for group in 1..groups {
        server.run(ids[group % others], &join(group), 1, 1);
    }
    let content = "The quick brown fox jumps over the lazy dog. The quick brown fox";
    let text = match groups {
        1 => content.to_owned(),
        _ => format!(r#"{{"group":"g0","content":"{content}"}}"#),
    };
    server.run(bob, &text_frame(&text), count, 1);
}

fn v1_direct(count: usize, depth: usize, len: usize) {
    let mut server = Server::new(Relay::new(RelayConfig::default()));
    let bob = server.open_v1("bob");
    server.open_v1("alice");
    server.run_all(bob, &to_alice(len, depth)[..count / depth]);
}

fn v1_direct_16k(count: usize) {
    let mut server = Server::new(Relay::new(RelayConfig::default()));
    let bob = server.open_v1("bob");
    server.open_v1("alice");
    server.run_all(bob, &to_alice(16 << 10, 1)[..count / 16]);
}

fn v1_group(count: usize) {
    let mut server = Server::new(Relay::new(RelayConfig::default()));
    let bob = server.open_v1("bob");
    let others: Vec<ConnId> = (0..100).map(|at| server.open_v1(&format!("u{at}"))).collect();
    for &id in others.iter().chain([&bob]) {
        server.run(id, &text_frame(r#"{"type":"join","group":"g","id":1}"#), 1, 1);
    }
    let content = content(64);
    let text = |id| format!(r#"{{"id":{},"group":"g","content":"{content}"}}"#, id + 1);
    server.run_all(bob, &numbered(COUNT_MAX, 1, text)[..count]);
}

fn v1_ack(count: usize) {
    let mut server = Server::with_long_logs();
    let bob = server.open_v1("bob");
    let alice = server.open_v1("alice");
    server.run_all(bob, &to_alice(64, 1));
    // The first seq is 1, and nobody else sends anything.
    let acks = numbered(COUNT_MAX, 1, |seq| format!(r#"{{"type":"ack","seq":{seq}}}"#));
    server.run_all(alice, &acks[..count]);
}

/// `count` deliveries.
fn v1_resume(count: usize) {
    let mut server = Server::with_long_logs();
    let bob = server.open_v1("bob");
    let alice = server.open_v1("alice");
    server.run_all(bob, &to_alice(64, 1)[..1_000]);
    server.engine.reset(alice);
    server.tick();
    let hello = text_frame(r#"{"type":"hello","client":"c1","next":1,"seq":0}"#);
    for _ in 0..count.div_ceil(1_000) {
        let alice = server.upgrade("/?user=alice", V1);
        let before = server.written;
        server.run(alice, &hello, 1, 1);
        while server.engine.has_work() {
            server.tick();
        }
        assert!(server.written - before > 100_000, "all are there");
        server.engine.reset(alice);
        server.tick();
    }
}

fn churn(count: usize) {
    let mut server = Server::new(Relay::new(RelayConfig::default()));
    let ids: Vec<ConnId> = (0..count).map(|at| server.open(&format!("/?user=u{at}"))).collect();
    for &id in &ids {
        server.run(id, &text_frame(r#"{"type":"join","group":"all"}"#), 1, 1);
    }
    for &id in &ids {
        server.engine.reset(id);
    }
    server.tick();
    assert_eq!(server.engine.handler().counts().users, 0);
}

/// `count` messages, or as many KiB.
fn send(count: usize, len: usize, way: Way) {
    let mut sender = Sender::server(len, way);
    for _ in 0..count / (len >> 10).max(1) {
        sender.send();
    }
}

/// The same.
fn recv(count: usize, len: usize, way: Way) {
    let shares = (len >> 10).max(1);
    let mut receiver = Receiver::new(len, way, COUNT_MAX / shares);
    for _ in 0..count / shares {
        receiver.receive();
    }
}

/// `count` deliveries.
fn fan(count: usize, compressed: Compressed) {
    let mut room = Room::new(1 << 10, compressed);
    for _ in 0..count.div_ceil(deflated::OTHERS) {
        room.say();
    }
}

fn direct(len: usize) -> String {
    let content = content(len);
    format!(r#"{{"sender":"bob","receiver":"alice","content":"{content}"}}"#)
}

fn content(len: usize) -> String {
    "The quick brown fox jumps over the lazy dog. ".repeat(len / 45 + 1)[..len].to_owned()
}

/// Numbered direct messages, as many as any count asks for.
fn to_alice(len: usize, depth: usize) -> Vec<Vec<u8>> {
    let content = content(len);
    let messages = COUNT_MAX / (len >> 10).max(1);
    let text = |id| format!(r#"{{"id":{id},"receiver":"alice","content":"{content}"}}"#);
    numbered(messages, depth, text)
}

/// `count` frames, `depth` in each read.
fn numbered(count: usize, depth: usize, text: impl Fn(usize) -> String) -> Vec<Vec<u8>> {
    let read = |at| (0..depth).flat_map(|of| text_frame(&text(at * depth + of + 1))).collect();
    (0..count / depth).map(read).collect()
}

/// A client's frame.
fn frame(payload: &[u8]) -> Vec<u8> {
    sent(Message::Binary(payload))
}

fn text_frame(payload: &str) -> Vec<u8> {
    sent(Message::Text(payload))
}

fn sent(message: Message<'_>) -> Vec<u8> {
    frame_of(|connection, client, out| {
        connection.send(client, message, out);
    })
}

fn frame_of(write: impl FnOnce(&mut Connection, &Endpoint, &mut Outbox)) -> Vec<u8> {
    let mut out = Outbox::new();
    write(&mut Connection::new(), &Endpoint::client(), &mut out);
    out.front().to_vec()
}

/// An engine, and a network that takes everything at once.
struct Server<H> {
    engine: Engine<H>,
    now: u64,
    /// Bytes.
    written: usize,
}

impl<H: Handler> Server<H> {
    fn new(handler: H) -> Server<H> {
        Server { engine: Engine::new(Limits::relay(), handler), now: 0, written: 0 }
    }

    fn open(&mut self, target: &str) -> ConnId {
        self.upgrade(target, "")
    }

    /// `extra` are lines of the head.
    fn upgrade(&mut self, target: &str, extra: &str) -> ConnId {
        let peer = SocketAddr::from(([127, 0, 0, 1], 50_000));
        let id = self.engine.accept(peer, Door::Public).expect("room for two");
        let mut request = format!(
            "GET {target} HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\n\
             Connection: Upgrade\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
             Sec-WebSocket-Version: 13\r\n{extra}\r\n"
        )
        .into_bytes();
        assert_eq!(self.engine.receive(id, &mut request), Flow::Read);
        self.tick();
        id
    }

    /// `count` messages, `depth` in each read and each tick.
    fn run(&mut self, from: ConnId, frame: &[u8], count: usize, depth: usize) {
        let read = frame.repeat(depth);
        let mut buffer = read.clone();
        for _ in 0..count / depth {
            buffer.copy_from_slice(&read);
            let _ = black_box(self.engine.receive(from, &mut buffer));
            self.tick();
        }
    }

    /// Each of these reads in a tick of its own.
    fn run_all(&mut self, from: ConnId, reads: &[Vec<u8>]) {
        // As the event loop has one for all: to allocate it is not the path.
        let mut buffer = Vec::with_capacity(reads.iter().map(Vec::len).max().unwrap_or(0));
        for read in reads {
            buffer.clear();
            buffer.extend_from_slice(read);
            let _ = black_box(self.engine.receive(from, &mut buffer));
            self.tick();
        }
    }

    fn tick(&mut self) {
        self.now += 1;
        self.engine.run_timers();
        self.engine.before_flush();
        while let Some(id) = self.engine.next_dirty() {
            let len = self.engine.output(id).map_or(0, offered);
            self.written += len;
            self.engine.wrote(id, len, len);
        }
        self.engine.reap(&mut Vec::new());
        self.engine.begin_tick(Millis(self.now / 16), UnixMillis(0));
    }
}

impl Server<Relay> {
    /// A server whose logs hold every message of a path.
    fn with_long_logs() -> Server<Relay> {
        let limits = Limits {
            log_messages_max: COUNT_MAX as u64,
            log_max_bytes: 1 << 30,
            ..Limits::relay()
        };
        Server::new(Relay::new(RelayConfig { limits, ..RelayConfig::default() }))
    }

    /// A client of switchboard.v1.
    fn open_v1(&mut self, user: &str) -> ConnId {
        let id = self.upgrade(&format!("/?user={user}"), V1);
        self.run(id, &text_frame(r#"{"type":"hello","client":"c1","next":1}"#), 1, 1);
        id
    }
}

const V1: &str = "Sec-WebSocket-Protocol: switchboard.v1\r\n";

/// What the event loop would hand to the kernel.
fn offered(outbox: &Outbox) -> usize {
    if outbox.is_contiguous() {
        return black_box(outbox.front()).len();
    }
    let mut slices = [IoSlice::new(&[]); 64];
    let filled = outbox.io_slices(&mut slices);
    black_box(&slices[..filled]).iter().map(|slice| slice.len()).sum()
}

/// Enough for each path to come round once: deliveries are counted, not messages.
const ONCE: usize = OTHERS;
const OTHERS: usize = 100;

/// The largest count that `instructions.sh` asks for: made beforehand for every count, so that
/// what making costs cancels out.
const COUNT_MAX: usize = 6_000;
