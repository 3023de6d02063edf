//! Connections that end at the worst moment, and more of them than anybody wants.

use std::io::{Read, Write};
use std::thread;

use crate::common::client::{Client, Event, connect, frame, handshake, wait_for_bytes};
use crate::random::Random;
use crate::victim::{MIB, Victim, reset};
use switchboard::wire::Opcode;

/// RST after any number of bytes, at any time: in the head, in a frame, with answers under way.
#[test]
fn thousands_of_resets_at_random_points_leave_nothing_behind() {
    let mut victim = Victim::echo(&[]);
    let addr = victim.server.addr;
    let mut bytes = handshake(addr, "/");
    for len in [0, 1, 125, 126, 1_000, 65_535, 65_536, 100_000] {
        bytes.extend_from_slice(&frame(Opcode::Binary, &vec![1; len]));
        bytes.extend_from_slice(&frame(Opcode::Ping, b"?"));
    }
    let attackers: Vec<_> = (0..4)
        .map(|seed| {
            let bytes = bytes.clone();
            thread::spawn(move || {
                let mut random = Random::new(seed);
                for _ in 0..1_000 {
                    let mut stream = connect(addr);
                    // Short beginnings as often as long ones.
                    let most = [200, 2_000, bytes.len()][random.below(3)];
                    let len = random.below(most);
                    let (begin, end) = bytes[..len].split_at(random.below(len + 1));
                    stream.write_all(begin).unwrap();
                    stream.write_all(end).unwrap();
                    if random.below(2) == 0 && len > 200 {
                        // Some of the answer, but not all.
                        wait_for_bytes(&stream);
                        let _ = stream.read(&mut vec![0; random.below(1_000) + 1]);
                    }
                    reset(stream);
                }
            })
        })
        .collect();
    while attackers.iter().any(|attacker| !attacker.is_finished()) {
        victim.disturbs_nobody();
    }
    attackers.into_iter().for_each(|attacker| attacker.join().unwrap());
    victim.after();
}

/// The server is writing when the RST comes: EPIPE and ECONNRESET, and no SIGPIPE that ends it.
#[test]
fn resets_in_the_middle_of_a_large_reply_end_nothing_else() {
    let mut victim = Victim::echo(&[]).allowing(96 * MIB);
    let message = frame(Opcode::Binary, &vec![9; 8 * MIB as usize]);
    let mut random = Random::new(7);
    for round in 0..60 {
        let mut client = Client::connect(victim.server.addr);
        client.send_raw(&message);
        wait_for_bytes(&client.stream);
        let _ = client.stream.read(&mut vec![0; random.below(MIB as usize) + 1]);
        if round % 3 == 0 {
            // FIN and then, because nobody reads any more, RST.
            drop(client);
        } else {
            reset(client.stream);
        }
        victim.disturbs_nobody();
    }
    victim.after();
}

/// The relay writes to somebody who is reset by then.
#[test]
fn a_receiver_that_is_reset_while_it_is_written_to_disturbs_no_sender() {
    let mut victim = Victim::relay(&[]);
    let addr = victim.server.addr;
    let mut sender = Client::try_connect(addr, "/?user=sender").unwrap();
    let text = format!(r#"{{"receiver":"target","content":"{}"}}"#, "x".repeat(200_000));
    for _ in 0..200 {
        let target = Client::try_connect(addr, "/?user=target").unwrap();
        (0..3).for_each(|_| sender.send_text(&text));
        reset(target.stream);
        sender.send_text(r#"{"type":"ping"}"#);
        // Before it comes 404 or 503, as far as the target was gone or full already.
        loop {
            let Event::Text(text) = sender.receive() else { panic!("the end") };
            if text == r#"{"type":"pong"}"# {
                break;
            }
            assert!(text.contains("receiver_offline") || text.contains("congested"), "{text}");
        }
    }
    victim.disturbs_nobody();
    drop(sender);
    victim.after();
}

/// As fast as the machine can, from as many threads as it has processors, and once more.
#[test]
fn connecting_and_dropping_at_full_speed_leaves_nothing_behind() {
    let mut victim = Victim::echo(&[]);
    let addr = victim.server.addr;
    let attackers: Vec<_> = (0..4)
        .map(|kind| {
            thread::spawn(move || {
                let bytes = handshake(addr, "/");
                for _ in 0..3_000 {
                    let mut stream = connect(addr);
                    if kind % 2 == 1 {
                        stream.write_all(&bytes).unwrap();
                    }
                    // By RST, so that this machine has its ports back.
                    reset(stream);
                }
            })
        })
        .collect();
    while attackers.iter().any(|attacker| !attacker.is_finished()) {
        victim.disturbs_nobody();
    }
    attackers.into_iter().for_each(|attacker| attacker.join().unwrap());
    victim.after();
}
