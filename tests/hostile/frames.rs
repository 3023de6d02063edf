//! Frames that lie about their length, that are nothing but overhead, or that are not text.

use std::thread;
use std::time::Duration;

use crate::common::client::{Client, Event, fragment, frame, header};
use crate::victim::{MIB, Victim, reset, stuff};
use switchboard::wire::Opcode;

/// The longest length there is is refused by its header; the longest allowed one is believed, but
/// no memory is taken for it.
#[test]
fn declared_lengths_take_no_memory_for_what_does_not_come() {
    let victim = Victim::echo(&[]).allowing(24 * MIB);
    let addr = victim.server.addr;
    for opcode in [Opcode::Text, Opcode::Binary] {
        let mut client = Client::connect(addr);
        client.send_raw(&header(opcode, true, u64::MAX >> 1));
        client.expect_close(1009);
        let mut client = Client::connect(addr);
        client.send_raw(&fragment(opcode, false, b"begun"));
        client.send_raw(&header(Opcode::Continuation, true, u64::MAX >> 1));
        client.expect_close(1009);
    }
    // 100 times 16 MiB are 1.6 GB. A connection takes 64 KiB ahead of what has come; and what is
    // given back serves the next, so that the third time costs no more than the first.
    for _ in 0..3 {
        let open = |_| {
            let mut client = Client::connect(addr);
            client.send_raw(&header(Opcode::Binary, true, 16 * MIB));
            client.send_raw(b"x");
            thread::sleep(Duration::from_millis(1));
            client.send_raw(b"x");
            client
        };
        let clients: Vec<Client> = (0..100).map(open).collect();
        drop(clients);
    }
    victim.after();
}

#[test]
fn a_million_empty_fragments_are_one_empty_message_or_a_close() {
    let victim = Victim::echo(&["--max-frames", "1000002"]);
    let mut client = Client::connect(victim.server.addr);
    let thousand = fragment(Opcode::Continuation, false, b"").repeat(1_000);
    for last in [Event::Text("end".into()), Event::Close(1008, String::new())] {
        client.send_raw(&fragment(Opcode::Text, false, b""));
        (0..1_000).for_each(|_| client.send_raw(&thousand));
        if matches!(last, Event::Close(..)) {
            client.send_raw(&thousand[..6]);
        }
        client.send_raw(&fragment(Opcode::Continuation, true, b"end"));
        match (client.receive(), last) {
            (Event::Close(code, _), Event::Close(wanted, _)) => assert_eq!(code, wanted),
            (event, last) => assert_eq!(event, last),
        }
    }
    drop(client);
    victim.after();
}

/// ws needed about a hundred bytes for each of these; here they are the bytes of one message.
#[test]
fn a_million_fragments_of_one_byte_cost_a_million_bytes() {
    let victim = Victim::echo(&["--max-frames", "2000000"]);
    let mut client = Client::connect(victim.server.addr);
    client.send_raw(&fragment(Opcode::Binary, false, b""));
    let thousand = fragment(Opcode::Continuation, false, b"x").repeat(1_000);
    (0..1_000).for_each(|_| client.send_raw(&thousand));
    client.send_raw(&fragment(Opcode::Continuation, true, b""));
    assert!(client.receive() == Event::Binary(vec![b'x'; 1_000_000]), "another message");
    // And never finished, by many.
    let clients: Vec<Client> = (0..50)
        .map(|_| {
            let mut client = Client::connect(victim.server.addr);
            client.send_raw(&fragment(Opcode::Binary, false, b""));
            (0..10).for_each(|_| client.send_raw(&thousand));
            client
        })
        .collect();
    drop((client, clients));
    victim.after();
}

/// Pongs that cannot leave are no reason to read on.
#[test]
fn a_flood_of_pings_from_somebody_who_never_reads_is_not_read_on() {
    // For each of eight: the outbox, one read that is held, and as much for the allocator.
    let limits = ["--outbox-high", "256k", "--outbox-low", "64k", "--read-buffer", "64k"];
    let mut victim = Victim::echo(&limits);
    let pings = frame(Opcode::Ping, &[b'p'; 125]).repeat(1_000);
    let mut clients: Vec<Client> = (0..8).map(|_| Client::connect(victim.server.addr)).collect();
    for client in &clients {
        let taken = stuff(&client.stream, &pings);
        assert!(taken < 64 * MIB as usize, "{taken} bytes are taken and the end is not near");
    }
    victim.disturbs_nobody();
    // Who reads at last has all of his answers: those Pings were taken.
    let mut last = clients.pop().unwrap();
    let mut pongs = 0;
    while let Some(event) = last.receive_within(Duration::from_millis(500)) {
        assert_eq!(event, Event::Pong(vec![b'p'; 125]));
        pongs += 1;
    }
    assert!(pongs >= 2_000, "{pongs}");
    drop((last, clients));
    victim.after();
}

/// Nothing has to be answered, nothing is kept.
#[test]
fn floods_of_pongs_and_of_empty_messages_are_worked_off() {
    let mut victim = Victim::echo(&[]);
    let addr = victim.server.addr;
    let attackers: Vec<_> = (0..4)
        .map(|i| {
            thread::spawn(move || {
                let mut client = Client::connect(addr);
                let pongs = frame(Opcode::Pong, &[b'p'; 125]).repeat(1_000);
                let empty = frame(Opcode::Text, b"").repeat(1_000);
                for _ in 0..100 {
                    client.send_raw(if i % 2 == 0 { &pongs } else { &empty });
                    let answers = if i % 2 == 0 { 0 } else { 1_000 };
                    for _ in 0..answers {
                        assert_eq!(client.receive(), Event::Text(String::new()));
                    }
                }
                client.round_trip("still here");
            })
        })
        .collect();
    victim.disturbs_nobody();
    attackers.into_iter().for_each(|attacker| attacker.join().unwrap());
    victim.after();
}

/// 0xFF at every position of a text of one-, two-, three- and four-byte letters, whole, and in two
/// fragments cut before and behind it.
#[test]
fn invalid_utf_8_at_every_position_is_1007() {
    let mut victim = Victim::echo(&[]);
    let text = "Aé€🦀".repeat(4);
    for position in 0..text.len() {
        let mut bytes = text.clone().into_bytes();
        bytes[position] = 0xFF;
        let cut = [position, (position + 1).min(bytes.len())];
        let parts = cut.map(|cut| {
            let (begin, end) = bytes.split_at(cut);
            let begin = fragment(Opcode::Text, false, begin);
            [begin, fragment(Opcode::Continuation, true, end)].concat()
        });
        for stream in [&frame(Opcode::Text, &bytes), &parts[0], &parts[1]] {
            let mut client = Client::connect(victim.server.addr);
            client.send_raw(stream);
            client.expect_close(1007);
        }
    }
    // At the places where a long text is cut by reads and buffers.
    for position in [4_095, 65_535, 65_536, 524_287, 524_288, 1_048_575] {
        let mut bytes = vec![b'x'; MIB as usize];
        bytes[position] = 0xFF;
        let mut client = Client::connect(victim.server.addr);
        // What comes behind it may find the connection closed.
        let _ = std::io::Write::write_all(&mut client.stream, &frame(Opcode::Text, &bytes));
        client.expect_close(1007);
    }
    victim.disturbs_nobody();
    victim.after();
}

/// Everything that two bytes can begin, on a connection of its own: no answer but a Close, a Pong
/// or an echo, and no crash.
#[test]
fn every_pair_of_first_bytes_is_survived() {
    let mut victim = Victim::echo(&["--close-timeout", "200ms"]);
    for first in 0..=255u8 {
        for second in [0x00, 0x01, 0x7D, 0x7E, 0x7F, 0x80, 0x81, 0xFD, 0xFE, 0xFF] {
            let mut client = Client::connect(victim.server.addr);
            client.send_raw(&[first, second, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF]);
            reset(client.stream);
        }
        victim.disturbs_nobody();
    }
    victim.after();
}
