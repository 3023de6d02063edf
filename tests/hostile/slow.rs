//! Whoever takes his time: slowloris in the request head and in a frame, connections of which
//! nothing more is heard, and bytes that come one by one.

use std::io::Write;
use std::net::TcpStream;
use std::thread;
use std::time::Duration;

use crate::common::client::{
    Client, Event, connect, frame, handshake, header, read_to_end, status,
};
use crate::common::process::eventually;
use crate::victim::{MIB, Victim, next_text, sent, upgrade};
use switchboard::wire::Opcode;

/// Each sends a byte now and then, some within the request line, some one header after another.
#[test]
fn request_heads_that_drip_end_at_their_deadline() {
    let mut victim = Victim::echo(&["--head-timeout", "500ms", "--close-timeout", "200ms"]);
    let begin: [&[u8]; 3] = [b"", b"GET /", b"GET / HTTP/1.1\r\nHost: a\r\n"];
    let drips: [&[u8]; 3] = [b"G", b"x", b"a: b\r\n"];
    let server = &victim.server;
    let mut streams: Vec<TcpStream> = (0..300).map(|i| sent(server, begin[i % 3])).collect();
    let mut ended = vec![false; streams.len()];
    eventually("all of them are ended though they drip", || {
        for (i, stream) in streams.iter_mut().enumerate() {
            ended[i] |= stream.write_all(drips[i % 3]).is_err();
        }
        thread::sleep(Duration::from_millis(20));
        victim.disturbs_nobody();
        ended.iter().all(|ended| *ended)
    });
    for stream in &mut streams {
        assert_eq!(status(&read_to_end(stream)), Some(408));
    }
    victim.after();
}

/// A frame may drip: it costs the bytes that came, whatever it declares, and an honest sender on a
/// bad line is served all the same.
#[test]
fn frames_that_drip_cost_what_has_come_of_them() {
    // 100 times 16 MiB are declared. 100 times 64 KiB are what a connection may take ahead.
    let mut victim = Victim::echo(&[]);
    let mut clients: Vec<Client> = (0..100).map(|_| Client::connect(victim.server.addr)).collect();
    for (i, client) in clients.iter_mut().enumerate() {
        let opcode = [Opcode::Text, Opcode::Binary][i % 2];
        client.send_raw(&header(opcode, true, 16 * MIB));
    }
    let rounds = 60;
    for _ in 0..rounds {
        clients.iter_mut().for_each(|client| client.send_raw(&[KEY[0] ^ b'x']));
        // The masking key goes on where it was, so every fourth byte is the same letter.
        clients.iter_mut().for_each(|client| client.send_raw(&[KEY[1] ^ b'x']));
        clients.iter_mut().for_each(|client| client.send_raw(&[KEY[2] ^ b'x', KEY[3] ^ b'x']));
        thread::sleep(Duration::from_millis(20));
        victim.disturbs_nobody();
    }
    let mut honest = clients.swap_remove(0);
    let came = rounds * 4;
    let rest = frame(Opcode::Text, "x".repeat(16 * MIB as usize - came).as_bytes());
    honest.send_raw(&rest[14..]);
    assert!(next_text(&mut honest) == "x".repeat(16 * MIB as usize), "another text");
    drop((honest, clients));
    victim.allowing(80 * MIB).after();
}

/// Neither the heads nor the messages of a crowd are ever complete: all of them together have one
/// bound, and who holds most goes first.
#[test]
fn what_a_crowd_never_completes_counts_against_the_total() {
    // A message takes 64 KiB ahead of what comes if its header comes alone, and a quarter of that
    // if bytes come with it, as on a busy machine: 500 times that are 8 MB.
    let limits = ["--outbox-total", "6m", "--max-message", "4m", "--max-head", "128k"];
    let head = [b"GET /", &[b'x'; 100_000][..]].concat();
    let begun = header(Opcode::Binary, true, 4 * MIB);
    for is_open in [false, true] {
        // A server of its own: no line in its log is another crowd's.
        let mut victim = Victim::echo(&limits).allowing(24 * MIB);
        let server = &victim.server;
        let open = [&handshake(server.addr, "/")[..], &begun].concat();
        let crowd = if is_open { &open } else { &head };
        let mut streams: Vec<TcpStream> = (0..500).map(|_| sent(server, crowd)).collect();
        eventually("the total is reached", || {
            // Another piece, which is read to where it belongs, if it did not come with the first.
            for stream in &mut streams {
                let _ = stream.write_all(b"x");
            }
            server.log().contains("memory_full")
        });
        eventually("somebody is ended", || {
            streams.iter_mut().any(|stream| stream.write_all(b"x").is_err())
        });
        victim.disturbs_nobody();
        drop(streams);
        victim.after();
    }
}

/// Neither an end nor a byte: half a head, an open connection, half a frame.
#[test]
fn half_open_connections_are_released_though_nobody_closes_them() {
    let victim = Victim::echo(&[
        "--head-timeout",
        "300ms",
        "--ping-interval",
        "300ms",
        "--ping-timeout",
        "5s",
        "--close-timeout",
        "300ms",
    ]);
    let addr = victim.server.addr;
    let open = handshake(addr, "/");
    let half = [&open[..], &frame(Opcode::Text, &[b'x'; 100])[..50]].concat();
    let closed = [&open[..], &frame(Opcode::Close, &[3, 232])].concat();
    let kinds: [&[u8]; 5] = [b"", &open[..50], &open, &half, &closed];
    let streams: Vec<TcpStream> = (0..500).map(|i| sent(&victim.server, kinds[i % 5])).collect();
    // All are still open on this side.
    victim.after();
    drop(streams);
}

/// The FIN of a peer that never closes its own socket, wherever it comes.
#[test]
fn half_closed_connections_are_released_though_nobody_reads_them() {
    let victim = Victim::echo(&["--close-timeout", "300ms"]);
    let open = handshake(victim.server.addr, "/");
    let whole = [&open[..], &frame(Opcode::Text, &[b'x'; 100])].concat();
    let streams: Vec<TcpStream> = (0..=whole.len())
        .map(|len| {
            let stream = sent(&victim.server, &whole[..len]);
            stream.shutdown(std::net::Shutdown::Write).unwrap();
            stream
        })
        .collect();
    victim.after();
    drop(streams);
}

#[test]
fn what_comes_byte_by_byte_from_many_at_once_is_served() {
    let mut victim = Victim::echo(&[]);
    let addr = victim.server.addr;
    let mut bytes = handshake(addr, "/");
    bytes.extend_from_slice(&frame(Opcode::Text, "häppchenweise".as_bytes()));
    bytes.extend_from_slice(&frame(Opcode::Ping, b"?"));
    let mut streams: Vec<TcpStream> = (0..100).map(|_| connect(addr)).collect();
    for byte in bytes {
        streams.iter_mut().for_each(|stream| stream.write_all(&[byte]).unwrap());
    }
    for stream in streams {
        let mut client = Client::after_handshake(stream, addr).unwrap();
        assert_eq!(client.receive(), Event::Text("häppchenweise".into()));
        assert_eq!(client.receive(), Event::Pong(b"?".into()));
    }
    victim.disturbs_nobody();
    victim.after();
}

/// A head of a mebibyte in pieces of 128 bytes: a server that begins anew with each piece looks at
/// four billion bytes.
#[test]
fn a_long_head_in_small_pieces_is_looked_at_once() {
    let mut victim = Victim::echo(&["--max-head", "1m", "--head-timeout", "10m"]);
    let padding = "x".repeat(MIB as usize - upgrade("/", "X: \r\n").len());
    let head = upgrade("/", &format!("X: {padding}\r\n"));
    assert_eq!(head.len() as u64, MIB);
    let mut stream = connect(victim.server.addr);
    let before = victim.server.cpu();
    for piece in head.as_bytes().chunks(128) {
        stream.write_all(piece).unwrap();
        // The neighbour has his answer: the server has read this piece before the next one comes.
        victim.disturbs_nobody();
    }
    let mut client = Client::after_handshake(stream, victim.server.addr).unwrap();
    client.round_trip("at last");
    if let (Some(before), Some(after)) = (before, victim.server.cpu()) {
        println!("{:?}", after - before);
        assert!(after - before <= Duration::from_secs(3), "{:?}", after - before);
    }
    drop(client);
    victim.after();
}

/// What `common::client` masks with.
const KEY: [u8; 4] = [0x37, 0xFA, 0x21, 0x3D];
