//! Honest and hostile clients together, for as long as you like: `tests/soak MINUTES`.
//!
//! ```text
//!     5 s    19.1 MiB   24 descriptors   199 attacks   21472 messages   p50 2.1 p99 15.9 max 92 ms
//! ```
//!
//! The load comes in rounds of equal length. Honest users write to each other all the time; in each
//! round every attacker does what it can, and then rests, so that the server can be measured. The
//! first rounds are the warm-up, of which the most memory is the bound for all that follow. Without
//! `SOAK_MINUTES` it is a short soak, which shows that the soak itself works.

use std::io::Write;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Barrier, Mutex};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use crate::common::client::{
    Client, Event, WAIT, connect, fragment, frame, handshake, header, read_to_end,
};
use crate::common::process::Process;
#[cfg(feature = "deflate")]
use crate::deflate::{OFFER, bomb, compressed};
use crate::random::Random;
#[cfg(feature = "deflate")]
use crate::victim::upgrade;
use crate::victim::{MIB, narrow, reset, server as command, stuff};
use switchboard::wire::Opcode;

#[test]
fn soak() {
    let minutes = std::env::var("SOAK_MINUTES").ok();
    let minutes = minutes.map(|text| text.parse::<f64>().expect("SOAK_MINUTES is a number"));
    let length = minutes.map_or(SHORT, |minutes| Duration::from_secs_f64(minutes * 60.0));
    let round = (length / ROUNDS_MIN).min(ROUND_MAX);
    let server = Process::start(command(&[&["serve"], &LIMITS[..]].concat(), "warn"));
    let shared = Arc::new(Shared::default());
    let open = Arc::new(Barrier::new(PAIRS + 1));
    let honest: Vec<JoinHandle<()>> = (0..PAIRS)
        .map(|pair| {
            let (addr, shared, open) = (server.addr, Arc::clone(&shared), Arc::clone(&open));
            thread::spawn(move || talk(pair, addr, &open, &shared))
        })
        .collect();
    open.wait();
    let before = server.descriptors();

    let started = Instant::now();
    let (mut bound, mut rounds, mut reported) = (0, 0, started);
    while started.elapsed() < length || rounds <= WARM_UP {
        let attackers: Vec<JoinHandle<()>> = (0..ATTACKERS)
            .map(|attacker| {
                let (addr, shared) = (server.addr, Arc::clone(&shared));
                let random = Random::new(rounds * ATTACKERS + attacker);
                let until = Instant::now() + round;
                thread::spawn(move || attack(addr, random, until, &shared))
            })
            .collect();
        while attackers.iter().any(|attacker| !attacker.is_finished()) {
            thread::sleep(Duration::from_millis(50));
            if reported.elapsed() >= REPORT.min(round) {
                reported = Instant::now();
                shared.report(&server, started);
            }
        }
        attackers.into_iter().for_each(|attacker| attacker.join().expect("an attacker"));
        rounds += 1;
        server.expect_descriptors(before);
        let resident = server.memory_bytes().unwrap_or(0);
        if rounds <= WARM_UP {
            bound = bound.max(resident + GROWTH_MAX_BYTES);
        }
        assert!(resident <= bound, "{resident} bytes after {rounds} rounds, {bound} at most");
        assert!(honest.iter().all(|pair| !pair.is_finished()), "an honest pair has ended");
    }
    shared.stop.store(true, Ordering::Relaxed);
    honest.into_iter().for_each(|pair| pair.join().expect("an honest pair"));
    server.expect_idle();
    let resident = server.memory_bytes().unwrap_or(0);
    shared.report(&server, started);
    println!(
        "soak ok: {rounds} rounds in {:.0} s, {} messages, 0 lost, {} attacks; \
         {:.1} MiB at the end, bound {:.1} MiB",
        started.elapsed().as_secs_f64(),
        shared.messages.load(Ordering::Relaxed),
        shared.attacks.load(Ordering::Relaxed),
        resident as f64 / MIB as f64,
        bound as f64 / MIB as f64,
    );
}

/// What the threads count.
#[derive(Default)]
struct Shared {
    stop: AtomicBool,
    attacks: AtomicU64,
    messages: AtomicU64,
    /// Since the last report, in microseconds.
    latencies: Mutex<Vec<u32>>,
}

impl Shared {
    fn report(&self, server: &Process, started: Instant) {
        let mut latencies = std::mem::take(&mut *self.latencies.lock().unwrap());
        latencies.sort_unstable();
        let quantile = |part: f64| {
            let place = ((latencies.len() as f64 * part) as usize).min(latencies.len() - 1);
            f64::from(latencies[place]) / 1_000.0
        };
        let times = match latencies.len() {
            0 => "nothing received".to_owned(),
            _ => format!(
                "p50 {:.1} p99 {:.1} max {:.1} ms",
                quantile(0.5),
                quantile(0.99),
                quantile(1.0)
            ),
        };
        println!(
            "{:5.0} s {:7.1} MiB {:5} descriptors {:9} attacks {:10} messages   {times}",
            started.elapsed().as_secs_f64(),
            server.memory_bytes().unwrap_or(0) as f64 / MIB as f64,
            server.descriptors().unwrap_or(0),
            self.attacks.load(Ordering::Relaxed),
            self.messages.load(Ordering::Relaxed),
        );
    }
}

// ---- the honest --------------------------------------------------------------------------------

/// One writes, the other answers, with numbers: whatever is lost, doubled or changed is noticed.
fn talk(pair: usize, addr: SocketAddr, open: &Barrier, shared: &Shared) {
    let join = |role| Client::try_connect(addr, &format!("/honest?user={role}{pair}"));
    let joined = (join("a"), join("b"));
    open.wait();
    let (mut a, mut b) = (joined.0.unwrap(), joined.1.unwrap());
    let mut number = 0_u64;
    while !shared.stop.load(Ordering::Relaxed) {
        // Several under way, of all lengths.
        let started = Instant::now();
        let content = |number: u64| "x".repeat((number * 37 % 3_000) as usize);
        let window = number..number + 8;
        for number in window.clone() {
            let text = content(number);
            a.send_text(&format!(r#"{{"receiver":"b{pair}","content":[{number},"{text}"]}}"#));
        }
        for number in window.clone() {
            let wanted =
                format!(r#"{{"sender":"a{pair}","content":[{number},"{}"]}}"#, content(number));
            assert!(honest_text(&mut b) == wanted, "message {number} of pair {pair}");
            b.send_text(&format!(r#"{{"receiver":"a{pair}","content":{number}}}"#));
        }
        for number in window.clone() {
            let wanted = format!(r#"{{"sender":"b{pair}","content":{number}}}"#);
            assert_eq!(honest_text(&mut a), wanted);
            let micros = u32::try_from(started.elapsed().as_micros()).unwrap_or(u32::MAX);
            shared.latencies.lock().unwrap().push(micros);
        }
        number = window.end;
        shared.messages.fetch_add(16, Ordering::Relaxed);
        thread::sleep(Duration::from_millis(5));
    }
}

/// The next text that is not from an attacker: those write to everybody.
fn honest_text(client: &mut Client) -> String {
    loop {
        match client.receive() {
            Event::Ping(_) => {}
            Event::Text(text) if text.starts_with(r#"{"sender":"evil"#) => {}
            Event::Text(text) => return text,
            event => panic!("{event:?} instead of a text"),
        }
    }
}

// ---- the hostile -------------------------------------------------------------------------------

fn attack(addr: SocketAddr, mut random: Random, until: Instant, shared: &Shared) {
    while Instant::now() < until {
        match random.below(11) {
            0 => drip(addr, &mut random),
            1 => cut(addr, &mut random),
            2 => lie(addr, &mut random),
            3 => flood_and_never_read(addr, &mut random),
            4 => write_to_everybody(addr, &mut random),
            5 => nest(addr),
            6 => drop(connect(addr)),
            7 => (0..50).for_each(|_| reset(connect(addr))),
            8 => go_silent(addr, &mut random),
            #[cfg(feature = "deflate")]
            9 => explode(addr, &mut random),
            _ => stall_in_a_room(addr),
        }
        shared.attacks.fetch_add(1, Ordering::Relaxed);
    }
}

fn drip(addr: SocketAddr, random: &mut Random) {
    let mut stream = connect(addr);
    for byte in &handshake(addr, "/")[..random.below(100)] {
        if stream.write_all(&[*byte]).is_err() {
            return;
        }
        thread::sleep(Duration::from_millis(3));
    }
}

/// Bytes of a good connection up to anywhere, then RST or FIN.
fn cut(addr: SocketAddr, random: &mut Random) {
    for _ in 0..20 {
        let mut bytes = handshake(addr, "/?user=evil");
        for len in [10, 200, 70_000] {
            bytes.extend_from_slice(&frame(Opcode::Text, &vec![b'x'; len]));
        }
        let most = [200, bytes.len()][random.below(2)];
        bytes.truncate(random.below(most));
        let mut stream = connect(addr);
        let _ = stream.write_all(&bytes);
        if random.below(2) == 0 {
            reset(stream);
        }
    }
}

fn lie(addr: SocketAddr, random: &mut Random) {
    let lies = [
        header(Opcode::Text, true, u64::MAX >> 1),
        header(Opcode::Binary, true, MIB),
        [0x81, 0x05, b'H'].to_vec(),
        header(Opcode::Ping, false, 0),
        frame(Opcode::Text, b"\xFF"),
        frame(Opcode::Close, &[0]),
        [
            fragment(Opcode::Text, false, b""),
            fragment(Opcode::Continuation, false, b"").repeat(20_000),
        ]
        .concat(),
        vec![0xFF; 1_000],
    ];
    let mut stream = connect(addr);
    let _ =
        stream.write_all(&[handshake(addr, "/"), lies[random.below(lies.len())].clone()].concat());
    let _ = stream.shutdown(std::net::Shutdown::Write);
    read_to_end(&mut stream);
}

fn flood_and_never_read(addr: SocketAddr, random: &mut Random) {
    let mut stream = connect(addr);
    let _ = stream.write_all(&handshake(addr, "/flood?user=evil"));
    let one = match random.below(2) {
        0 => frame(Opcode::Ping, &[1; 125]),
        _ => frame(Opcode::Text, br#"{"receiver":"nobody","content":1}"#),
    };
    stuff(&stream, &one.repeat(1_000));
    reset(stream);
}

fn write_to_everybody(addr: SocketAddr, random: &mut Random) {
    let Ok(mut client) = Client::try_connect(addr, "/?user=evil") else { return };
    for _ in 0..100 {
        let (pair, role) = (random.below(PAIRS), ["a", "b"][random.below(2)]);
        let text = format!(r#"{{"receiver":"{role}{pair}","content":{}}}"#, "1".repeat(1_000));
        if client.stream.write_all(&frame(Opcode::Text, text.as_bytes())).is_err() {
            return;
        }
    }
    let _ = client.receive_within(Duration::from_millis(50));
}

fn nest(addr: SocketAddr) {
    let Ok(mut client) = Client::try_connect(addr, "/?user=evil") else { return };
    let deep = format!(r#"{{"receiver":"a0","content":{}"#, "[".repeat(100_000));
    let _ = client.stream.write_all(&frame(Opcode::Text, deep.as_bytes()));
    let _ = client.receive_within(WAIT);
}

/// Until the server has had enough of it, or for a moment.
fn go_silent(addr: SocketAddr, random: &mut Random) {
    let mut stream = connect(addr);
    let bytes = handshake(addr, "/?user=evil");
    let _ = stream.write_all(&bytes[..[0, 50, bytes.len()][random.below(3)]]);
    thread::sleep(Duration::from_millis(random.below(1_000) as u64));
}

/// Bombs beyond the limit and within it, and what is no compressed data, in a room of its own.
#[cfg(feature = "deflate")]
fn explode(addr: SocketAddr, random: &mut Random) {
    let room = format!("/exploding-{}?user=evil", random.below(1_000_000));
    let charges = [bomb(2 * MIB), bomb(MIB / 2).repeat(20), compressed(true, &[0xFF; 1_000])];
    let mut stream = connect(addr);
    let _ = stream.write_all(upgrade(&room, OFFER).as_bytes());
    let _ = stream.write_all(&charges[random.below(charges.len())]);
    let _ = stream.shutdown(std::net::Shutdown::Write);
    read_to_end(&mut stream);
}

fn stall_in_a_room(addr: SocketAddr) {
    let stalled: Vec<Client> = (0..5).map(|_| narrow(addr, "/stalled?user=evil")).collect();
    let Ok(mut writer) = Client::try_connect(addr, "/stalled?user=evil2") else { return };
    let message = frame(Opcode::Binary, &[0; 50_000]);
    for _ in 0..100 {
        if writer.stream.write_all(&message).is_err() {
            break;
        }
    }
    drop((stalled, writer));
}

/// Deadlines that are reached within a round, and little room.
const LIMITS: [&str; 14] = [
    "--head-timeout",
    "500ms",
    "--close-timeout",
    "500ms",
    "--write-timeout",
    "2s",
    "--ping-interval",
    "500ms",
    "--ping-timeout",
    "5s",
    "--outbox-high",
    "512k",
    "--outbox-total",
    "64m",
];

const PAIRS: usize = 4;
const ATTACKERS: u64 = 8;

/// Rounds before memory is compared with what it was.
const WARM_UP: u64 = 2;
const ROUNDS_MIN: u32 = 6;
const ROUND_MAX: Duration = Duration::from_secs(10);
const SHORT: Duration = Duration::from_secs(6);
const REPORT: Duration = Duration::from_secs(5);

/// What the allocator may keep more from one round than from another.
const GROWTH_MAX_BYTES: u64 = 24 * MIB;
