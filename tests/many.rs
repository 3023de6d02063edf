//! Ten thousand connections open at once: the server is one process, this test another.
#![cfg(all(unix, feature = "cli"))]

mod common;

use std::io::{ErrorKind, Write};
use std::net::TcpStream;
use std::time::Instant;

use common::client::{Client, Event, connect, handshake};
use common::process::Process;

#[test]
fn ten_thousand_connections_open_at_once_and_none_is_disturbed() {
    let started = Instant::now();
    // The server inherits this limit, and would raise it itself.
    let descriptors = rlimit::increase_nofile_limit(u64::MAX).expect("a limit that can be raised");
    let server = Process::echo(&[]);
    let before = server.descriptors();
    let memory_before = server.memory_peak_bytes();
    let own = usize::try_from(descriptors).unwrap_or(usize::MAX).saturating_sub(OWN_DESCRIPTORS);
    let count = WANTED.min(own).min(server.connections_max);
    if count < WANTED {
        let why = format!("{count} connections of {WANTED}: {descriptors} descriptors are allowed");
        println!("{why}");
        // A machine that is there to show ten thousand has to show them.
        let is_ci = std::env::var_os("CI").is_some_and(|value| value == "true");
        assert!(!is_ci || count >= CI_MIN, "{why}, and CI=true asks for {CI_MIN} at least");
    }

    let mut clients = Vec::with_capacity(count);
    while clients.len() < count {
        let batch = BATCH.min(count - clients.len());
        let streams: Vec<TcpStream> = (0..batch).map(|_| begin(&server)).collect();
        clients.extend(streams.into_iter().map(|stream| finish(&server, stream)));
    }
    assert_eq!(server.descriptors(), before.map(|before| before + count));
    println!("{count} open after {:?}", started.elapsed());

    // All send before the first one reads.
    for (number, client) in clients.iter_mut().enumerate() {
        client.send_text(&format!("message of client {number}"));
    }
    for (number, client) in clients.iter_mut().enumerate() {
        assert_eq!(client.receive(), Event::Text(format!("message of client {number}")));
    }
    println!("{count} echoes after {:?}", started.elapsed());
    server.expect_idle();
    for (number, client) in clients.iter().enumerate() {
        assert_silent(number, &client.stream);
    }
    if let (Some(before), Some(peak)) = (memory_before, server.memory_peak_bytes()) {
        let each = (peak - before) / count as u64;
        println!("{each} bytes each");
        assert!(each <= EACH_MAX_BYTES, "{each} bytes of memory for each connection");
    }

    // All but one go at once; he notices nothing.
    let mut last = clients.pop().expect("at least one");
    drop(clients);
    last.round_trip("still here");
    drop(last);
    server.expect_descriptors(before);
    Client::connect(server.addr).round_trip("one more");
    server.expect_idle();
    println!("all gone after {:?}", started.elapsed());
}

fn begin(server: &Process) -> TcpStream {
    let mut stream = connect(server.addr);
    stream.write_all(&handshake(server.addr, "/")).expect("the server takes what is sent");
    stream
}

fn finish(server: &Process, stream: TcpStream) -> Client {
    match Client::after_handshake(stream, server.addr) {
        Ok(client) => client,
        Err(status) => panic!("refused: {status:?}"),
    }
}

/// Neither a message nor an end has come.
fn assert_silent(number: usize, stream: &TcpStream) {
    stream.set_nonblocking(true).expect("a connected socket");
    let came = stream.peek(&mut [0]);
    let kind = came.as_ref().err().map(std::io::Error::kind);
    assert_eq!(kind, Some(ErrorKind::WouldBlock), "client {number}: {came:?}");
    stream.set_nonblocking(false).expect("a connected socket");
}

const WANTED: usize = 10_000;

/// With `CI=true`, fewer are a failure; elsewhere the machine's limit is no fault of the server.
const CI_MIN: usize = 9_000;

/// What this process needs besides.
const OWN_DESCRIPTORS: usize = 64;

/// Handshakes under way at once.
const BATCH: usize = 500;

/// An idle connection owns no buffer.
const EACH_MAX_BYTES: u64 = 4096;
