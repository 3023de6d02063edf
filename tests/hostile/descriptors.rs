//! More connections than there are descriptors.

use std::net::TcpStream;

use crate::common::client::{Client, connect, read_to_end, status};
use crate::common::process::eventually;
use crate::victim::{Victim, reset, sent, upgrade};

/// The attacker takes every place and then knocks five hundred times more. Who is inside is served
/// meanwhile; when the crowd has gone, everybody is let in again.
#[test]
fn a_crowd_that_takes_every_descriptor_is_outlived() {
    let mut victim = Victim::echo_with_descriptors(128);
    let places = victim.server.connections_max - 1;
    for _ in 0..3 {
        let addr = victim.server.addr;
        let mut inside = Vec::new();
        eventually("every place is taken", || {
            inside.extend(Client::try_connect(addr, "/").ok());
            inside.len() == places
        });
        let crowd: Vec<TcpStream> = (0..500).map(|_| connect(addr)).collect();
        victim.disturbs_nobody();
        inside.iter_mut().for_each(|client| client.round_trip("inside"));
        victim.server.expect_idle();
        victim.disturbs_nobody();
        crowd.into_iter().for_each(reset);
        drop(inside);
    }
    victim.after();
}

/// Those beyond the limit who do ask for something get 503 as long as there are places for it, and
/// then nothing; nobody of them gets in, and nobody inside is thrown out for them.
#[test]
fn whoever_is_one_too_many_is_told_503_or_dropped() {
    let mut victim = Victim::echo(&["--max-connections", "10"]);
    let inside: Vec<Client> = (0..9).map(|_| Client::connect(victim.server.addr)).collect();
    let mut answers = [0, 0];
    for _ in 0..20 {
        let request = upgrade("/", "");
        let crowd: Vec<TcpStream> =
            (0..100).map(|_| sent(&victim.server, request.as_bytes())).collect();
        for mut stream in crowd {
            let answer = read_to_end(&mut stream);
            match status(&answer) {
                Some(503) => answers[0] += 1,
                None => answers[1] += 1,
                other => panic!("{other:?}: {}", String::from_utf8_lossy(&answer)),
            }
        }
        victim.disturbs_nobody();
    }
    assert_eq!(answers[0] + answers[1], 2_000);
    assert!(answers[0] >= 32, "{answers:?}");
    drop(inside);
    victim.after();
}
