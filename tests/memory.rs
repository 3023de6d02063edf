//! What large messages needed is given back: read from the resident memory of the real server.
#![cfg(all(target_os = "linux", feature = "cli"))]

mod common;

use common::client::{Client, Event, fragment, frame, header};
use common::process::{Process, eventually};
use switchboard::wire::Opcode;

/// Small memory that is taken while the large is in use, and stays, holds none of it back.
#[test]
fn memory_of_large_messages_is_given_back_whatever_small_was_allocated_meanwhile() {
    let server = Process::echo(&["--max-message", "1m"]);
    let mut neighbours: Vec<Client> = (0..CLIENTS).map(|_| Client::connect(server.addr)).collect();
    let mut clients: Vec<Client> = (0..CLIENTS).map(|_| Client::connect(server.addr)).collect();
    // A message that is not finished: allocators learn from what is freed how large large is.
    let mut first = Client::connect(server.addr);
    send_half(&mut first);
    drop(first);
    neighbours[0].round_trip("hello");
    let before = server.memory_bytes().expect("Linux says so");

    for (client, neighbour) in clients.iter_mut().zip(&mut neighbours) {
        send_half(client);
        // The beginning of a small message, for which the server needs a little from now on.
        neighbour.send_raw(&header(Opcode::Binary, true, 1_000));
        neighbour.send_raw(&[0; 500]);
    }
    let during = server.memory_bytes().expect("Linux says so");
    assert!(during - before > 8 * LEFT_MAX_BYTES, "{during} bytes, {before} before");
    for client in &mut clients {
        client.send_raw(&fragment(Opcode::Continuation, true, &vec![2; HALF]));
        let Event::Binary(message) = client.receive() else { panic!("a message is missing") };
        assert!(message.len() == 2 * HALF && message[0] == 1 && message[HALF] == 2);
    }
    eventually("its memory is given back", || {
        server.memory_bytes().is_some_and(|now| now < before + LEFT_MAX_BYTES)
    });
}

/// Sends half a message, and waits until the server has all of it.
fn send_half(client: &mut Client) {
    client.send_raw(&fragment(Opcode::Binary, false, &vec![1; HALF]));
    client.send_raw(&frame(Opcode::Ping, b"arrived"));
    assert_eq!(client.receive(), Event::Pong(b"arrived".to_vec()));
}

const CLIENTS: usize = 100;

/// Of a message.
const HALF: usize = 512 * 1024;

/// Of more than 50 MiB.
const LEFT_MAX_BYTES: u64 = 4 << 20;
