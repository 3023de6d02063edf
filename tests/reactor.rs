//! Nobody keeps the event loop to himself: what one turn reads from one connection, and how many
//! newcomers it lets in, have an end. Shown by the order in which a handler is called.
#![cfg(all(unix, feature = "server"))]
#![allow(clippy::unwrap_used)] // a helper of a test may fail the test

#[path = "common/client.rs"]
mod client;

use std::io::Write;
use std::net::{SocketAddr, TcpStream};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;

use client::{Client, Event, WAIT, connect, frame, handshake};
use switchboard::net::Handle;
use switchboard::wire::Opcode;
use switchboard::{ConnId, Context, Handler, Limits, Message, Server};

/// A message that the handler was given.
struct Call {
    /// Its first byte.
    from: u8,
    /// How many TCP connections had been accepted by then.
    connections: usize,
}

/// Echoes, and tells of every message in the order of the calls.
struct Witness(Sender<Call>);

impl Handler for Witness {
    fn on_message(&mut self, cx: &mut Context<'_>, id: ConnId, message: Message<'_>) {
        let call = Call { from: message.as_bytes()[0], connections: cx.connections() };
        self.0.send(call).unwrap();
        let _ = cx.send(id, message);
    }
}

struct Running {
    addr: SocketAddr,
    handle: Handle<Witness>,
    calls: Receiver<Call>,
}

/// Runs a server until the test ends. What `before` does, the first tick finds.
fn run(limits: Limits, before: impl FnOnce(SocketAddr)) -> Running {
    let (witness, calls) = channel();
    let (bound, is_bound) = channel();
    let (open, gate) = channel();
    // A server stays on the thread that made it.
    thread::spawn(move || {
        let any = "127.0.0.1:0".parse().unwrap();
        let server = Server::bind(limits, &[any], Witness(witness)).unwrap();
        bound.send((server.local_addrs()[0], server.handle())).unwrap();
        gate.recv().unwrap();
        server.run().unwrap();
    });
    let (addr, handle) = is_bound.recv_timeout(WAIT).unwrap();
    before(addr);
    open.send(()).unwrap();
    Running { addr, handle, calls }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.handle.stop();
    }
}

/// Exactly: what is in the first so many bytes comes before the others, what is behind comes after.
#[test]
fn one_connection_is_read_up_to_its_budget_before_the_others_have_their_turn() {
    for budget in [LEAST_BYTES, 2 * LEAST_BYTES] {
        let limits =
            Limits { read_buffer_bytes: LEAST_BYTES, read_budget_bytes: budget, ..quiet() };
        assert_eq!(bytes_before_the_others(limits), budget);
    }
}

/// A budget ends between reads; a read is as long as the buffer is.
#[test]
fn one_read_takes_what_the_buffer_holds() {
    for buffer in [LEAST_BYTES, 3 * LEAST_BYTES] {
        let limits =
            Limits { read_buffer_bytes: buffer, read_budget_bytes: LEAST_BYTES, ..quiet() };
        assert_eq!(bytes_before_the_others(limits), buffer);
    }
}

/// Two have sent before the server runs: how much of the first is delivered before the second has
/// its turn, rounded down to whole frames and up to [`LEAST_BYTES`].
fn bytes_before_the_others(limits: Limits) -> u64 {
    let flood = frame(Opcode::Text, &[b'f'; 100]);
    let flood_len = LEAST_BYTES as usize * 8 / flood.len();
    let mut streams = Vec::new();
    let mut head = 0;
    let server = run(limits, |addr| {
        // Both are whole in the kernel before the server runs, the flood first.
        head = handshake(addr, "/").len();
        streams.push(queue(addr, &flood.repeat(flood_len)));
        streams.push(queue(addr, &frame(Opcode::Text, b"small")));
    });
    let calls: Vec<u8> =
        (0..=flood_len).map(|_| server.calls.recv_timeout(WAIT).unwrap().from).collect();
    let small = calls.iter().position(|from| *from == b's').unwrap();
    let bytes = head + small * flood.len();
    let whole = (bytes + flood.len()) as u64 / LEAST_BYTES * LEAST_BYTES;
    assert!(bytes as u64 <= whole && whole - (bytes as u64) < flood.len() as u64, "{bytes} bytes");
    whole
}

#[test]
fn newcomers_are_let_in_up_to_the_budget_before_the_others_have_their_turn() {
    let limits = Limits { accept_budget_max: 1, ..quiet() };
    let server = run(limits, |_| {});
    let mut early = Client::connect(server.addr);
    early.round_trip("early");
    assert_eq!(server.calls.recv_timeout(WAIT).unwrap().connections, 1);

    // The loop stands still while everything below arrives.
    let (stopped, is_stopped) = channel();
    let (open, gate) = channel::<()>();
    let hold = move |_: &mut Witness, _: &mut Context<'_>| {
        stopped.send(()).unwrap();
        gate.recv().unwrap();
    };
    server.handle.call(hold).unwrap();
    is_stopped.recv_timeout(WAIT).unwrap();
    let newcomers: Vec<TcpStream> =
        (0..NEWCOMERS).map(|_| queue(server.addr, &frame(Opcode::Text, b"new"))).collect();
    early.send_text("again");
    open.send(()).unwrap();

    let call = server.calls.recv_timeout(WAIT).unwrap();
    assert_eq!((call.from, call.connections), (b'a', 2), "one newcomer, then those who are there");
    assert_eq!(early.receive(), Event::Text("again".into()));
    // The others come in as well, though no further edge announces them.
    for stream in newcomers {
        let mut newcomer = Client::after_handshake(stream, server.addr).unwrap();
        assert_eq!(newcomer.receive(), Event::Text("new".into()));
    }
}

/// No limit of these is reached.
fn quiet() -> Limits {
    Limits { connections_max: 1_000, outbox_total_bytes: 1 << 30, ..Limits::echo() }
}

/// Connects and sends all at once; the kernel completes the connection for a server that is busy.
fn queue(addr: SocketAddr, frames: &[u8]) -> TcpStream {
    let mut stream = connect(addr);
    stream.write_all(&[&handshake(addr, "/"), frames].concat()).unwrap();
    stream
}

/// The least there may be; eight of them fit in every socket's buffers.
const LEAST_BYTES: u64 = 4096;

/// Fewer than the smallest backlog that kernels allow by default, 128.
const NEWCOMERS: usize = 100;
