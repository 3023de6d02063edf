//! Whoever does not read what he is sent.

use std::io::Write;
use std::net::TcpStream;

use crate::common::client::{Client, Event, frame};
use crate::common::process::eventually;
use crate::victim::{MIB, Victim, narrow, next_text, stuff, stuff_until_ended};
use switchboard::wire::Opcode;

const CONGESTED: &str =
    r#"{"type":"error","code":503,"reason":"receiver_congested","receiver":"stalled"}"#;

/// The sender is told what does not arrive, the receiver what he has missed, and nothing is lost
/// in between.
#[test]
fn a_reader_that_stalls_while_it_is_flooded_costs_one_outbox() {
    let mut victim = Victim::relay(&["--outbox-high", "256k", "--outbox-low", "64k"]);
    let addr = victim.server.addr;
    let mut stalled = Client::try_connect(addr, "/?user=stalled").unwrap();
    let mut flooder = Client::try_connect(addr, "/?user=flooder").unwrap();
    let content = "x".repeat(10_000);
    let (mut refused, mut number) = (0, 0);
    while refused < 1_000 {
        flooder.send_text(&format!(r#"{{"receiver":"stalled","content":[{number},"{content}"]}}"#));
        // The answer to this is behind an answer to that, if there is one.
        flooder.send_text(r#"{"type":"ping"}"#);
        number += 1;
        let answer = next_text(&mut flooder);
        if answer == CONGESTED {
            refused += 1;
            assert_eq!(next_text(&mut flooder), r#"{"type":"pong"}"#);
        }
        assert!(number < 10_000, "nothing is ever refused");
    }
    victim.disturbs_nobody();
    for received in 0..number - refused {
        let wanted = format!(r#"{{"sender":"flooder","content":[{received},"{content}"]}}"#);
        assert!(next_text(&mut stalled) == wanted, "message {received}");
    }
    // The flooder was told, so this is no gap.
    flooder.send_text(r#"{"receiver":"stalled","content":"again"}"#);
    assert_eq!(next_text(&mut stalled), r#"{"sender":"flooder","content":"again"}"#);
    drop((stalled, flooder));
    victim.after();
}

/// A room of forty who do not read, and one who writes to all of them.
#[test]
fn a_room_that_stalls_is_held_within_the_total_and_ended_by_the_write_deadline() {
    let limits = ["--outbox-total", "16m", "--write-timeout", "1s"];
    let mut victim = Victim::relay(&limits).allowing(40 * MIB);
    let room: Vec<Client> = (0..40).map(|_| narrow(victim.server.addr, "/room")).collect();
    let mut writer = Client::try_connect(victim.server.addr, "/room").unwrap();
    let message = frame(Opcode::Binary, &[7; 100_000]);
    for _ in 0..100 {
        writer.send_raw(&message);
    }
    writer.send_text(r#"{"type":"ping"}"#);
    assert_eq!(next_text(&mut writer), r#"{"type":"pong"}"#);
    victim.disturbs_nobody();
    let log = || victim.server.log();
    eventually("the total is reached", || log().contains("memory_full"));
    eventually("those who are left are ended by the deadline", || {
        room.iter().all(|client| (&client.stream).write_all(&frame(Opcode::Pong, b"")).is_err())
    });
    drop(writer);
    // They are still open on this side.
    victim.after();
    drop(room);
}

/// Each asks for a megabyte again and again and takes nothing of it.
#[test]
fn echoes_that_nobody_takes_stop_the_reading_and_then_the_connection() {
    let mut victim =
        Victim::echo(&["--write-timeout", "1s", "--close-timeout", "300ms"]).allowing(40 * MIB);
    let clients: Vec<Client> = (0..10).map(|_| Client::connect(victim.server.addr)).collect();
    let message = frame(Opcode::Binary, &vec![1; MIB as usize]);
    let streams: Vec<&TcpStream> = clients.iter().map(|client| &client.stream).collect();
    let mut taken: Vec<usize> = streams.iter().map(|stream| stuff(stream, &message)).collect();
    victim.disturbs_nobody();
    stuff_until_ended(&streams, &message, &mut taken);
    let most = taken.iter().max();
    assert!(most < Some(&(64 * MIB as usize)), "{most:?} bytes are taken");
    victim.after();
    drop(clients);
}

/// What a stalled reader misses of a room is counted and told, and nothing else is.
#[test]
fn a_gap_is_told_to_who_reads_again() {
    let victim = Victim::relay(&["--outbox-high", "64k", "--outbox-low", "16k"]);
    let addr = victim.server.addr;
    let mut stalled = Client::try_connect(addr, "/gap").unwrap();
    let mut writer = Client::try_connect(addr, "/gap").unwrap();
    let count = 2_000;
    for number in 0..count {
        writer.send_text(&format!("{number:05}{}", "x".repeat(10_000)));
    }
    writer.send_text(r#"{"type":"ping"}"#);
    assert_eq!(next_text(&mut writer), r#"{"type":"pong"}"#);
    let (mut received, mut dropped) = (0, 0);
    while received + dropped < count {
        let Event::Text(text) = stalled.receive() else { panic!("the end") };
        match text.strip_prefix(r#"{"type":"gap","dropped":"#) {
            Some(rest) => dropped += rest.strip_suffix('}').unwrap().parse::<usize>().unwrap(),
            None => {
                assert_eq!(text[..5].parse::<usize>().unwrap(), received + dropped);
                received += 1;
            }
        }
    }
    assert!(dropped > 0, "the outbox takes anything");
    drop((stalled, writer));
    victim.after();
}
