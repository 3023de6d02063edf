//! Every limit of the real server, reached: descriptors, connections, deadlines, lengths, queues.
#![cfg(all(unix, feature = "cli"))]
#![allow(clippy::unwrap_used)] // a helper of a test may fail the test

mod common;

use std::io::Write;
use std::net::TcpStream;
use std::thread;
use std::time::{Duration, Instant};

use common::client::{
    Client, Event, connect, fragment, frame, handshake, header, read_to_end, status,
};
use common::process::{Process, command, eventually, logging};
use switchboard::wire::Opcode;

const MIB: usize = 1 << 20;

// ---- descriptors and connections ---------------------------------------------------------------

#[test]
fn the_soft_descriptor_limit_is_raised_and_the_connection_limit_printed() {
    let server = Process::echo_after("ulimit -Sn 256", &[]);
    let (_, hard) = rlimit::Resource::NOFILE.get().unwrap();
    assert_eq!(server.connections_max as u64, hard - 64);
    let count = 400.min(server.connections_max);
    let mut clients: Vec<Client> = (0..count).map(|_| Client::connect(server.addr)).collect();
    clients.iter_mut().for_each(|client| client.round_trip("hello"));
}

#[test]
fn at_the_hard_descriptor_limit_newcomers_get_503_and_the_others_nothing() {
    let server = Process::echo_after("ulimit -Sn 256 && ulimit -Hn 256", &[]);
    assert_eq!(server.connections_max, 256 - 64);
    fill_to_the_limit(&server);
}

#[test]
fn with_hardly_any_descriptors_one_connection_is_served() {
    let server = Process::echo_after("ulimit -Sn 20 && ulimit -Hn 20", &[]);
    assert_eq!(server.connections_max, 1);
    fill_to_the_limit(&server);
}

#[test]
fn at_max_connections_newcomers_get_503_and_the_others_nothing() {
    let server = Process::echo(&["--max-connections", "3"]);
    assert_eq!(server.connections_max, 3);
    fill_to_the_limit(&server);
}

#[test]
fn more_connections_than_descriptors_cannot_be_asked_for() {
    let server =
        Process::echo_after("ulimit -Sn 256 && ulimit -Hn 256", &["--max-connections", "5000"]);
    assert_eq!(server.connections_max, 256 - 64);
    let lowered = "connections_max=5000 descriptors=256 lowered_to=192";
    eventually("the warning", || server.log().contains(lowered));
}

fn fill_to_the_limit(server: &Process) {
    let before = server.descriptors();
    let mut inside: Vec<Client> =
        (0..server.connections_max).map(|_| Client::connect(server.addr)).collect();
    for round in 0..3 {
        for _ in 0..5 {
            assert_eq!(Client::try_connect(server.addr, "/").err(), Some(Some(503)));
        }
        inside.iter_mut().for_each(|client| client.round_trip("inside"));
        // After one has left, a newcomer gets in.
        let mut leaving = inside.swap_remove(round % inside.len());
        leaving.send_close(1000);
        leaving.expect_close(1000);
        drop(leaving);
        inside.push(let_in(server));
    }
    // A crowd that says nothing, more than is let in for a 503: neither spins nor dies.
    let crowd: Vec<TcpStream> = (0..60).map(|_| connect(server.addr)).collect();
    inside.iter_mut().for_each(|client| client.round_trip("crowded"));
    server.expect_idle();
    drop(crowd);
    inside.pop();
    inside.push(let_in(server));
    inside.iter_mut().for_each(|client| client.round_trip("inside"));
    drop(inside);
    server.expect_descriptors(before);
    server.expect_idle();
}

/// 32 newcomers at a time are told 503; of those beyond them a line is logged for the first, and
/// then one per second.
#[test]
fn a_crowd_that_is_dropped_is_counted_and_no_flood_of_lines() {
    let server = Process::echo(&["--max-connections", "1"]);
    let mut inside = Client::connect(server.addr);
    let began = Instant::now();
    let crowd: Vec<TcpStream> = (0..232).map(|_| connect(server.addr)).collect();
    let counts = || -> Vec<usize> {
        let log = server.log();
        let counts = log.split(" warn dropped connections=").skip(1);
        counts.map(|rest| rest.split(' ').next().unwrap().parse().unwrap()).collect()
    };
    eventually("all of them are counted", || counts().iter().sum::<usize>() == 200);
    let seconds = began.elapsed().as_secs() as usize;
    assert!(counts().len() <= 2 + seconds, "{}", server.log());
    inside.round_trip("inside");
    drop(crowd);
    server.expect_idle();
}

/// Knocks until there is a place.
fn let_in(server: &Process) -> Client {
    let mut inside = None;
    eventually("a newcomer gets in", || {
        inside = Client::try_connect(server.addr, "/").ok();
        inside.is_some()
    });
    inside.unwrap()
}

/// The limit falls below what is open, as if something else in the process had used them up.
#[cfg(target_os = "linux")]
#[test]
fn accept_without_descriptors_neither_spins_nor_dies() {
    let server = Process::echo(&[]);
    let before = server.descriptors();
    let mut inside: Vec<Client> = (0..20).map(|_| Client::connect(server.addr)).collect();
    inside.iter_mut().for_each(|client| client.round_trip("inside"));
    let (_, hard) = rlimit::Resource::NOFILE.get().unwrap();
    let set_limit = |soft| {
        let id = i32::try_from(server.id()).unwrap();
        rlimit::prlimit(id, rlimit::Resource::NOFILE, Some((soft, hard)), None).unwrap();
    };
    set_limit(server.descriptors().unwrap() as u64);

    // The kernel completes them; nobody accepts them.
    let mut waiting: Vec<TcpStream> = (0..10).map(|_| connect(server.addr)).collect();
    for stream in &mut waiting {
        stream.write_all(&handshake(server.addr, "/")).unwrap();
    }
    eventually("accept has failed", || server.log().contains("accept_failed"));
    inside.iter_mut().for_each(|client| client.round_trip("undisturbed"));
    server.expect_idle();

    // Whoever leaves makes place for one of those who wait, in their order.
    for stream in waiting.drain(..3) {
        inside.remove(0);
        let mut client = Client::after_handshake(stream, server.addr).unwrap();
        client.round_trip("at last");
        inside.push(client);
    }
    server.expect_idle();
    set_limit(hard);
    for stream in waiting {
        let mut client = Client::after_handshake(stream, server.addr).unwrap();
        client.round_trip("at last");
        inside.push(client);
    }
    inside.iter_mut().for_each(|client| client.round_trip("undisturbed"));
    drop(inside);
    server.expect_descriptors(before);
    server.expect_idle();
}

// ---- deadlines ---------------------------------------------------------------------------------

#[test]
fn head_timeout_ends_a_request_that_drips_and_one_that_never_begins() {
    let server = Process::start(logging("debug", &["--head-timeout", "400ms"]));
    let before = server.descriptors();
    let mut dripping = connect(server.addr);
    dripping.write_all(b"G").unwrap();
    let mut silent = connect(server.addr);
    for byte in b"ET /" {
        // It may be ended already.
        let _ = dripping.write_all(&[*byte]);
        thread::sleep(Duration::from_millis(10));
    }
    assert!(read_to_end(&mut dripping).starts_with(b"HTTP/1.1 408 "), "what drips is told why");
    assert_eq!(read_to_end(&mut silent), b"");
    let peer = |stream: &TcpStream| stream.local_addr().unwrap();
    let refused = format!("peer={} status=408 reason=\"", peer(&dripping));
    let debug = format!("peer={} reason=\"", peer(&silent));
    for (level, begin, rest) in [("info", "refused", refused), ("debug", "silent", debug)] {
        let begin = format!(" {level} {begin} conn=");
        let is_wanted = |line: &str| line.contains(&begin) && line.contains(&rest);
        eventually("it is logged", || server.log().lines().any(is_wanted));
    }
    // Whoever is open is not concerned.
    let mut client = Client::connect(server.addr);
    thread::sleep(Duration::from_millis(500));
    client.round_trip("still here");
    drop((silent, dripping, client));
    server.expect_descriptors(before);
    server.expect_idle();
}

#[test]
fn rfc6455_5_5_2_a_silent_client_that_answers_pings_is_kept_and_a_dead_one_closed() {
    // The next Ping is due an interval after the answer, however long an answer may take.
    let server = Process::echo(&["--ping-interval", "100ms", "--ping-timeout", "1h"]);
    let mut living = Client::connect(server.addr);
    for _ in 0..5 {
        assert_eq!(living.receive(), Event::Ping(Vec::new()));
    }
    living.round_trip_between_pings("still here");

    let server = Process::echo(&["--ping-interval", "100ms", "--ping-timeout", "100ms"]);
    let before = server.descriptors();
    let mut dead = Client::connect(server.addr).silent();
    assert_eq!(dead.receive(), Event::Ping(Vec::new()));
    dead.expect_close(4408);
    drop(dead);
    server.expect_descriptors(before);
    server.expect_idle();
}

/// Both Closes are sent, or one and an error; but the client never ends its side.
#[test]
fn close_timeout_ends_a_closing_handshake_that_the_client_does_not() {
    let server = Process::echo(&["--close-timeout", "200ms"]);
    let before = server.descriptors();
    let mut clients: Vec<Client> = (0..3).map(|_| Client::connect(server.addr).silent()).collect();
    clients[0].send_close(1000);
    assert_eq!(clients[0].receive(), Event::Close(1000, String::new()));
    for client in &mut clients[1..] {
        client.send_raw(&header(Opcode::Ping, false, 0));
        assert!(matches!(client.receive(), Event::Close(1002, _)));
    }
    clients.iter_mut().for_each(|client| assert_eq!(client.receive(), Event::Fin));
    // What drips in extends nothing.
    eventually("the server ends what drips", || clients[2].stream.write_all(b"x").is_err());
    server.expect_descriptors(before);
    server.expect_idle();
    drop(clients);
}

#[test]
fn write_timeout_drops_a_client_that_takes_nothing() {
    let server = Process::echo(&["--write-timeout", "200ms"]);
    let before = server.descriptors();
    let mut neighbour = Client::connect(server.addr);
    let client = Client::connect(server.addr);
    let mut writer = client.stream.try_clone().unwrap();
    let bytes = frame(Opcode::Binary, &vec![1; MIB]);
    eventually("the server drops it", || writer.write_all(&bytes).is_err());
    neighbour.round_trip("still here");
    // Its socket is still open here; the server's is gone.
    drop(neighbour);
    server.expect_descriptors(before);
    server.expect_idle();
    drop(client);
}

#[test]
fn write_timeout_keeps_a_client_that_takes_little() {
    let server = Process::echo(&["--write-timeout", "2s"]);
    let client = Client::connect(server.addr);
    let (mut reader, mut writer) = (client.stream.try_clone().unwrap(), client.stream);
    let writing = thread::spawn(move || {
        let bytes = frame(Opcode::Binary, &vec![1; MIB]);
        (0..64).for_each(|_| writer.write_all(&bytes).unwrap());
        writer
    });
    let until = Instant::now() + Duration::from_secs(5);
    let mut left = 64 * (MIB + 10);
    let mut bytes = vec![0; 256 * 1024];
    while left > 0 {
        if Instant::now() < until {
            thread::sleep(Duration::from_millis(20));
        }
        let read = common::client::read(&mut reader, &mut bytes).unwrap();
        assert!(read > 0, "{left} bytes are missing");
        left -= read;
    }
    writing.join().unwrap();
}

#[test]
fn shutdown_timeout_waits_for_those_who_answer_in_time_and_for_nobody_else() {
    for (timeout, answers) in [("1h", true), ("300ms", false)] {
        let args = ["--close-timeout", "1h", "--shutdown-timeout", timeout];
        let mut server = Process::start(logging("info", &args));
        let mut client = Client::connect(server.addr).silent();
        client.round_trip("hello");
        server.signal("TERM");
        assert!(matches!(client.receive(), Event::Close(1001, _)));
        if answers {
            thread::sleep(Duration::from_millis(600));
            client.send_close(1001);
            client.expect_end();
            drop(client);
        }
        assert_eq!(server.wait().code(), Some(0), "{timeout}: {}", server.log());
        let left = format!("stopped connections_left={}", usize::from(!answers));
        eventually("the last line", || server.log().contains(&left));
    }
}

// ---- lengths -----------------------------------------------------------------------------------

#[test]
fn rfc6455_10_4_max_message_counts_all_fragments_together() {
    let server = Process::echo(&["--max-message", "1000"]);
    let mut client = Client::connect(server.addr);
    client.round_trip(&"x".repeat(1_000));
    let parts = [
        fragment(Opcode::Binary, false, &[1; 600]),
        frame(Opcode::Ping, &[2; 125]),
        fragment(Opcode::Continuation, true, &[1; 400]),
    ];
    client.send_raw(&parts.concat());
    assert_eq!(client.receive(), Event::Pong(vec![2; 125]));
    assert_eq!(client.receive(), Event::Binary(vec![1; 1_000]));
    client.send_raw(&fragment(Opcode::Binary, false, &[1; 600]));
    client.send_raw(&header(Opcode::Continuation, true, 401));
    client.expect_close(1009);

    let mut command = command(&["echo"]);
    command.env("SWITCHBOARD_MAX_MESSAGE", "10");
    let server = Process::start(command);
    let mut client = Client::connect(server.addr);
    client.round_trip("0123456789");
    client.send_text("0123456789a");
    client.expect_close(1009);
}

#[test]
fn rfc6455_10_4_max_frames_counts_empty_fragments_too() {
    let server = Process::echo(&["--max-frames", "4"]);
    let mut client = Client::connect(server.addr);
    let empty = fragment(Opcode::Continuation, false, b"");
    let first = fragment(Opcode::Text, false, b"a");
    let last = fragment(Opcode::Continuation, true, b"b");
    for _ in 0..3 {
        client.send_raw(&[&first[..], &empty, &empty, &last].concat());
        assert_eq!(client.receive(), Event::Text("ab".into()));
    }
    client.send_raw(&[&first[..], &empty, &empty, &empty, &last].concat());
    client.expect_close(1008);
}

#[test]
fn max_head_and_max_headers_end_in_431() {
    let server = Process::echo(&["--max-head", "1k", "--max-headers", "8"]);
    let request = handshake(server.addr, "/");
    let lines = |more: &str| {
        let head = String::from_utf8(request.clone()).unwrap();
        head.strip_suffix("\r\n").unwrap().to_owned() + more + "\r\n"
    };
    let answer = |request: &str| {
        let mut stream = connect(server.addr);
        stream.write_all(request.as_bytes()).unwrap();
        stream.shutdown(std::net::Shutdown::Write).unwrap();
        status(&read_to_end(&mut stream))
    };
    let padding = |len: usize| format!("X-Padding: {}\r\n", "x".repeat(len));
    let room = 1_024 - lines(&padding(0)).len();
    assert_eq!(answer(&lines(&padding(room))), Some(101));
    assert_eq!(answer(&lines(&padding(room + 1))), Some(431));
    assert_eq!(answer(&lines(&padding(100_000))), Some(431));
    // Without an end it is known all the same.
    assert_eq!(answer(&format!("GET /{}", "x".repeat(1_024))), Some(431));

    // The handshake has five header lines.
    assert_eq!(answer(&lines(&"A: b\r\n".repeat(3))), Some(101));
    assert_eq!(answer(&lines(&"A: b\r\n".repeat(4))), Some(431));
    Client::connect(server.addr).round_trip("still here");
}

// ---- the relay ---------------------------------------------------------------------------------

fn relay(args: &[&str]) -> Process {
    Process::start(command(&[&["serve"], args].concat()))
}

fn answer(client: &mut Client, text: &str) -> String {
    client.send_text(text);
    match client.receive() {
        Event::Text(text) => text,
        event => panic!("{event:?} instead of an answer to {text}"),
    }
}

#[test]
fn max_user_id_counts_bytes_in_urls_and_in_json() {
    let server = relay(&["--max-user-id", "5"]);
    for (user, status) in [("abcde", None), ("abcdef", Some(400)), ("%C3%A9%C3%A9e", None)] {
        let answer = Client::try_connect(server.addr, &format!("/?user={user}"));
        assert_eq!(answer.err(), status.map(Some), "{user}");
    }
    assert_eq!(Client::try_connect(server.addr, "/?user=%C3%A9%C3%A9ee").err(), Some(Some(400)));
    let mut client = Client::connect(server.addr);
    for (key, reason) in [("receiver", "receiver_offline"), ("group", "not_a_member")] {
        let good = answer(&mut client, &format!(r#"{{"{key}":"ééx","content":1}}"#));
        assert!(good.contains(reason), "{good}");
        let bad = answer(&mut client, &format!(r#"{{"{key}":"ééxx","content":1}}"#));
        assert!(bad.contains(&format!(r#""reason":"invalid_{key}""#)), "{bad}");
    }
}

#[test]
fn max_groups_per_user_counts_what_one_user_is_in() {
    let server = relay(&["--max-groups-per-user", "3"]);
    let mut client = Client::connect(server.addr);
    let mut join =
        |group: &str| answer(&mut client, &format!(r#"{{"type":"join","group":"{group}"}}"#));
    for group in ["a", "b", "c", "a"] {
        assert_eq!(join(group), format!(r#"{{"type":"ok","group":"{group}"}}"#));
    }
    let refused = r#"{"type":"error","code":429,"reason":"too_many_groups","group":"d"}"#;
    assert_eq!(join("d"), refused);
    // Another user has groups of his own.
    let mut other = Client::connect(server.addr);
    assert!(answer(&mut other, r#"{"type":"join","group":"d"}"#).contains("ok"));
}

#[test]
fn max_json_depth_counts_the_outermost_too() {
    let server = relay(&["--max-json-depth", "4"]);
    let mut client = Client::connect(server.addr);
    let good = answer(&mut client, r#"{"receiver":"bob","content":[[{}]]}"#);
    assert!(good.contains("receiver_offline"), "{good}");
    let bad = answer(&mut client, r#"{"receiver":"bob","content":[[{"a":[]}]]}"#);
    assert_eq!(bad, r#"{"type":"error","code":400,"reason":"nesting_too_deep"}"#);
}

// ---- queues ------------------------------------------------------------------------------------

#[test]
fn outbox_total_closes_whoever_holds_most_and_spares_the_others() {
    let limits = ["--outbox-total", "4m", "--outbox-high", "2m", "--max-message", "1m"];
    let server = Process::echo(&limits);
    let before = server.descriptors();
    let mut neighbour = Client::connect(server.addr);
    neighbour.round_trip("hello");
    let memory_before = server.memory_peak_bytes();
    let slow: Vec<Client> = (0..8).map(|_| Client::connect(server.addr)).collect();
    let writing: Vec<_> = slow
        .iter()
        .map(|client| {
            let mut writer = client.stream.try_clone().unwrap();
            writer.set_write_timeout(Some(Duration::from_secs(2))).unwrap();
            thread::spawn(move || {
                let bytes = frame(Opcode::Binary, &vec![1; 512 * 1024]);
                while writer.write_all(&bytes).is_ok() {}
            })
        })
        .collect();
    eventually("the largest is closed", || {
        neighbour.round_trip("meanwhile");
        server.log().contains("memory_full")
    });
    writing.into_iter().for_each(|writing| writing.join().unwrap());
    neighbour.round_trip("still here");
    if let (Some(before), Some(peak)) = (memory_before, server.memory_peak_bytes()) {
        let grown = (peak - before) / MIB as u64;
        assert!(grown <= 16, "{grown} MiB more than before");
    }
    drop((slow, neighbour));
    server.expect_descriptors(before);
    server.expect_idle();
}

/// Budgets and buffers cost turns, not messages.
#[test]
fn with_the_smallest_budgets_everything_still_arrives() {
    let buffers = ["--read-buffer", "4k", "--read-budget", "4k", "--accept-budget", "1"];
    let queues = ["--outbox-high", "1k", "--outbox-low", "0"];
    let server = Process::echo(&[&buffers[..], &queues].concat());
    let clients: Vec<_> = (0..20u8)
        .map(|number| {
            let addr = server.addr;
            thread::spawn(move || {
                let mut client = Client::connect(addr);
                let bytes = vec![number; 300_000];
                for _ in 0..5 {
                    client.round_trip("small");
                    client.send_binary(&bytes);
                    assert!(client.receive() == Event::Binary(bytes.clone()), "{number}");
                }
            })
        })
        .collect();
    clients.into_iter().for_each(|client| client.join().unwrap());
    server.expect_idle();
}
