//! How long it takes to understand a message and to find its receiver.
//!
//! `cargo bench --bench relay` measures; `cargo bench --bench relay -- --test` only runs each once.
//! Beside the envelope stands `serde_json::Value`, which is what a relay in a hurry would use.

use std::hint::black_box;
use std::net::SocketAddr;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use switchboard::config::Limits;
use switchboard::engine::Engine;
use switchboard::hub::Slots;
use switchboard::hub::groups::Groups;
use switchboard::hub::routes::{Routes, Standing};
use switchboard::outbox::Outbox;
use switchboard::protocol::{Connection, Endpoint, MessageKind};
use switchboard::relay::envelope::{Envelope, EnvelopeLimits};
use switchboard::relay::{Relay, RelayConfig};

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
    }
    group.finish();
}

/// From a name to the connections behind it, and from a connection to its user.
fn route(criterion: &mut Criterion) {
    let (mut slots, mut routes) = (Slots::new(), Routes::new());
    let ids: Vec<_> = (0..10_000).map(|_| slots.insert(())).collect();
    for (index, &id) in ids.iter().enumerate() {
        routes.connect(id, &format!("user{index}"), Standing::Named);
    }
    let mut group = criterion.benchmark_group("route");
    group.bench_function("name to connections, 10,000 users", |bencher| {
        let names: Vec<String> = (0..10_000).map(|index| format!("user{index}")).collect();
        let mut next = 0;
        bencher.iter(|| {
            next = (next + 7_919) % names.len();
            routes.find(black_box(&names[next])).map(|user| routes.connections(user).len())
        });
    });
    group.bench_function("connection to name, 10,000 users", |bencher| {
        let mut next = 0;
        bencher.iter(|| {
            next = (next + 7_919) % ids.len();
            routes.user_of(black_box(ids[next])).map(|user| routes.name(user).len())
        });
    });
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

/// A direct message through the whole server but its sockets: parse the frame, unmask, understand,
/// route, encode, flush. Compare with "echo" of the same bytes to see what routing costs.
fn relay(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("relay");
    for len in [64, 1024] {
        let mut engine = Engine::new(Limits::relay(), Relay::new(RelayConfig::default()));
        let peer = SocketAddr::from(([127, 0, 0, 1], 50_000));
        let mut ids = ["alice", "bob"].map(|user| {
            let id = engine.accept(peer).expect("room for two");
            let request = format!(
                "GET /?user={user} HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\n\
                 Connection: Upgrade\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
                 Sec-WebSocket-Version: 13\r\n\r\n"
            );
            let _ = engine.receive(id, &mut request.into_bytes());
            id
        });
        ids.reverse();
        let mut out = Outbox::new();
        let text = direct(len);
        Connection::new().send_parts(
            &Endpoint::client(),
            MessageKind::Text,
            &[text.as_bytes()],
            &mut out,
        );
        let frame = out.front().to_vec();
        let mut bytes = frame.clone();
        group.throughput(Throughput::Elements(1));
        group.bench_function(BenchmarkId::new("direct", len), |bencher| {
            bencher.iter(|| {
                bytes.copy_from_slice(&frame);
                let _ = engine.receive(ids[0], black_box(&mut bytes));
                while let Some(id) = engine.next_dirty() {
                    let written = engine.output(id).map_or(0, Outbox::len);
                    engine.wrote(id, written, written);
                }
            });
        });
    }
    group.finish();
}

criterion_group!(benches, envelope, route, churn, relay);
criterion_main!(benches);
