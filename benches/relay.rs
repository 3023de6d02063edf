//! How long it takes to understand a message and to find its receiver.
//!
//! `cargo bench --bench relay` measures; `cargo bench --bench relay -- --test` only runs each once.
//!
//! Beside each stands its plain version or its limit: `serde_json` building a tree and building
//! nothing, a `HashMap<String, usize>` as it comes, a copy of the frame to each recipient.

use std::collections::HashMap;
use std::hint::black_box;
use std::net::SocketAddr;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use switchboard::config::Limits;
use switchboard::engine::{Door, Engine};
use switchboard::hub::groups::Groups;
use switchboard::hub::routes::{Routes, Standing};
use switchboard::hub::{ConnId, Slots};
use switchboard::outbox::Outbox;
use switchboard::protocol::{Connection, Endpoint, Message};
use switchboard::relay::envelope::{Envelope, EnvelopeLimits};
use switchboard::relay::{Relay, RelayConfig};
use switchboard::timer::{Millis, UnixMillis};

/// A direct message whose content is `len` bytes of text.
fn direct(len: usize) -> String {
    let text = "The quick brown fox jumps over the lazy dog. ".repeat(len / 45 + 1);
    format!(r#"{{"sender":"bob","receiver":"alice","content":"{}"}}"#, &text[..len])
}

/// One whole message of the sizes that chats have, understood.
fn envelope(criterion: &mut Criterion) {
    let limits = EnvelopeLimits::default();
    let mut group = criterion.benchmark_group("envelope");
    for (name, text) in [
        ("64 B", direct(64)),
        ("1 KiB", direct(1024)),
        ("16 KiB", direct(16 * 1024)),
        (
            "1 KiB of objects",
            format!(
                r#"{{"receiver":"alice","content":[{}]}}"#,
                [r#"{"x":1.5,"y":"text","z":null}"#; 34].join(",")
            ),
        ),
    ] {
        group.throughput(Throughput::Bytes(text.len() as u64));
        group.bench_function(BenchmarkId::new("read", name), |bencher| {
            bencher.iter(|| Envelope::read(black_box(&text), black_box(&limits)));
        });
        group.bench_function(BenchmarkId::new("serde_json::Value", name), |bencher| {
            bencher.iter(|| serde_json::from_str::<serde_json::Value>(black_box(&text)));
        });
        group.bench_function(BenchmarkId::new("serde_json::IgnoredAny", name), |bencher| {
            bencher.iter(|| serde_json::from_str::<serde::de::IgnoredAny>(black_box(&text)));
        });
    }
    group.finish();
}

/// From a name to the connections behind it, and from a connection to its user.
fn route(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("route");
    for users in [10, 10_000, 100_000] {
        let (mut slots, mut routes) = (Slots::new(), Routes::new());
        let ids: Vec<_> = (0..users).map(|_| slots.insert(())).collect();
        let names: Vec<String> = (0..users).map(|index| format!("user{index}")).collect();
        for (&id, name) in ids.iter().zip(&names) {
            routes.connect(id, name, Standing::Named);
        }
        let plain: HashMap<String, usize> = names.iter().cloned().zip(0..).collect();
        // 7,919 is prime and divides none of the sizes: everybody in turn, nobody's neighbour next.
        let mut next = 0;
        let mut step = || {
            next = (next + 7_919) % users;
            next
        };
        group.bench_function(BenchmarkId::new("name to connections", users), |bencher| {
            bencher.iter(|| {
                let user = routes.find(black_box(&names[step()]));
                user.map(|user| routes.connections(user).len())
            });
        });
        group.bench_function(BenchmarkId::new("HashMap<String, usize>", users), |bencher| {
            bencher.iter(|| plain.get(black_box(&names[step()])).copied());
        });
        group.bench_function(BenchmarkId::new("connection to name", users), |bencher| {
            bencher.iter(|| {
                let user = routes.user_of(black_box(ids[step()]));
                user.map(|user| routes.name(user).len())
            });
        });
    }
    group.finish();
}

/// Everybody joins, leaves, comes and goes: per user, with few and with many.
fn churn(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("churn");
    for users in [100_usize, 10_000] {
        let mut slots = Slots::new();
        let ids: Vec<_> = (0..users).map(|_| slots.insert(())).collect();
        let names: Vec<String> = (0..users).map(|index| format!("user{index}")).collect();
        group.throughput(Throughput::Elements(users as u64));
        group.bench_function(BenchmarkId::new("connect, join, disconnect", users), |bencher| {
            bencher.iter(|| {
                let (mut routes, mut groups) = (Routes::new(), Groups::new(1_000));
                let mut keys = Vec::with_capacity(users);
                for (&id, name) in ids.iter().zip(&names) {
                    let key = routes.connect(id, name, Standing::Named);
                    let _ = groups.join(key, "everybody");
                    keys.push(key);
                }
                for (&id, &key) in ids.iter().zip(&keys) {
                    routes.disconnect(id);
                    groups.leave_all(key);
                }
                (routes.len(), groups.len())
            });
        });
    }
    group.finish();
}

/// The whole server but its sockets: parse the frame, unmask, understand, route, encode, flush.
struct Server {
    engine: Engine<Relay>,
}

impl Server {
    fn new() -> Server {
        Server { engine: Engine::new(Limits::relay(), Relay::new(RelayConfig::default())) }
    }

    fn open(&mut self, target: &str) -> ConnId {
        let id = self
            .engine
            .accept(SocketAddr::from(([127, 0, 0, 1], 50_000)), Door::Public)
            .expect("room");
        let request = format!(
            "GET {target} HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\n\
             Connection: Upgrade\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
             Sec-WebSocket-Version: 13\r\n\r\n"
        );
        self.receive(id, &mut request.into_bytes());
        id
    }

    /// One tick, and a network that takes everything at once.
    fn receive(&mut self, id: ConnId, bytes: &mut [u8]) {
        self.engine.begin_tick(Millis(0), UnixMillis(0));
        let _ = self.engine.receive(id, bytes);
        while let Some(id) = self.engine.next_dirty() {
            let written = self.engine.output(id).map_or(0, Outbox::len);
            self.engine.wrote(id, written, written);
        }
    }
}

/// A client's frame.
fn frame(text: &str) -> Vec<u8> {
    let mut out = Outbox::new();
    Connection::new().send(&Endpoint::client(), Message::Text(text), &mut out);
    out.front().to_vec()
}

/// A direct message. Compare with "echo" of the same bytes to see what routing costs.
fn relay(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("relay");
    for len in [64, 1024] {
        let mut server = Server::new();
        server.open("/?user=alice");
        let bob = server.open("/?user=bob");
        let frame = frame(&direct(len));
        let mut bytes = frame.clone();
        group.throughput(Throughput::Elements(1));
        group.bench_function(BenchmarkId::new("direct", len), |bencher| {
            bencher.iter(|| {
                bytes.copy_from_slice(&frame);
                server.receive(bob, black_box(&mut bytes));
            });
        });
    }
    group.finish();
}

/// One message to the 1,000 in a room and to the 1,000 members of a group, beside the least that
/// has to be done: one copy for each into a buffer that is there already.
fn broadcast(criterion: &mut Criterion) {
    const MEMBERS: usize = 1_000;
    let mut group = criterion.benchmark_group("broadcast to 1,000");
    group.throughput(Throughput::Elements(MEMBERS as u64));
    for len in [64, 1024] {
        let text = "x".repeat(len);
        let mut server = Server::new();
        let ids: Vec<ConnId> =
            (0..=MEMBERS).map(|index| server.open(&format!("/?user=u{index}"))).collect();
        for &id in &ids {
            server.receive(id, &mut frame(r#"{"type":"join","group":"all"}"#));
        }
        let to_group = format!(r#"{{"group":"all","content":"{text}"}}"#);
        for (name, frame) in [("room", frame(&text)), ("group", frame(&to_group))] {
            let mut bytes = frame.clone();
            group.bench_function(BenchmarkId::new(name, len), |bencher| {
                bencher.iter(|| {
                    bytes.copy_from_slice(&frame);
                    server.receive(ids[0], black_box(&mut bytes));
                });
            });
        }
        let frame = frame(&text);
        let mut buffers: Vec<Vec<u8>> = ids.iter().map(|_| Vec::with_capacity(2048)).collect();
        group.bench_function(BenchmarkId::new("memcpy", len), |bencher| {
            bencher.iter(|| {
                for buffer in &mut buffers {
                    buffer.clear();
                    buffer.extend_from_slice(black_box(&frame));
                }
            });
        });
    }
    group.finish();
}

criterion_group!(benches, envelope, route, churn, relay, broadcast);
criterion_main!(benches);
