//! The real server over real sockets: what the network, its peers and signals do to it.
#![cfg(all(unix, feature = "cli"))]
#![allow(clippy::unwrap_used)] // a helper of a test may fail the test

mod common;

use std::io::Write;
use std::net::Shutdown;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use common::client::{
    Client, Event, WAIT, connect, frame, handshake, header, read_to_end, status, wait_for_bytes,
};
use common::process::{Process, command, eventually, logging};
use switchboard::wire::Opcode;

const MIB: usize = 1 << 20;

// ---- messages ----------------------------------------------------------------------------------

#[test]
fn rfc6455_5_2_messages_of_every_length_form_come_back() {
    let server = Process::echo(&[]);
    let mut client = Client::connect(server.addr);
    for len in [0, 1, 125, 126, 127, 128, 65_535, 65_536, MIB] {
        let text = "x".repeat(len);
        client.round_trip(&text);
        let bytes: Vec<u8> = (0..len).map(|i| (i % 251) as u8).collect();
        client.send_binary(&bytes);
        assert_eq!(client.receive(), Event::Binary(bytes), "{len} bytes");
    }
    client.round_trip("Grüße, 你好, 🌍");
}

#[test]
fn rfc6455_10_4_a_message_at_the_limit_passes_and_one_byte_more_is_1009() {
    let server = Process::echo(&[]);
    let mut client = Client::connect(server.addr);
    let bytes = vec![0xA5; 16 * MIB];
    client.send_binary(&bytes);
    assert!(client.receive() == Event::Binary(bytes), "another message came back");
    // The header is enough: the payload need not arrive to be refused.
    client.send_raw(&header(Opcode::Binary, true, 16 * MIB as u64 + 1));
    client.expect_close(1009);
}

#[test]
fn a_thousand_frames_in_one_write_come_back_in_order() {
    let server = Process::echo(&[]);
    let mut client = Client::connect(server.addr);
    let texts: Vec<String> = (0..1_000).map(|i| format!("message {i}")).collect();
    let frames: Vec<u8> =
        texts.iter().flat_map(|text| frame(Opcode::Text, text.as_bytes())).collect();
    client.send_raw(&frames);
    for text in texts {
        assert_eq!(client.receive(), Event::Text(text));
    }
}

#[test]
fn frames_in_the_segment_of_the_handshake_are_answered() {
    let server = Process::echo(&[]);
    let mut stream = connect(server.addr);
    let mut bytes = handshake(server.addr, "/");
    bytes.extend_from_slice(&frame(Opcode::Text, b"early"));
    bytes.extend_from_slice(&frame(Opcode::Ping, b"bird"));
    bytes.extend_from_slice(&frame(Opcode::Text, b"cut")[..5]);
    stream.write_all(&bytes).unwrap();
    let mut client = Client::after_handshake(stream, server.addr).unwrap();
    assert_eq!(client.receive(), Event::Text("early".into()));
    assert_eq!(client.receive(), Event::Pong(b"bird".into()));
    client.send_raw(&frame(Opcode::Text, b"cut")[5..]);
    assert_eq!(client.receive(), Event::Text("cut".into()));
}

#[test]
fn everything_may_come_byte_by_byte() {
    let server = Process::echo(&[]);
    let mut stream = connect(server.addr);
    for byte in handshake(server.addr, "/") {
        stream.write_all(&[byte]).unwrap();
    }
    let mut client = Client::after_handshake(stream, server.addr).unwrap();
    let long = "0123456789".repeat(20);
    for text in ["", "a", "héllo 🌍", &long] {
        for byte in frame(Opcode::Text, text.as_bytes()) {
            client.send_raw(&[byte]);
        }
        assert_eq!(client.receive(), Event::Text(text.into()));
    }
    for byte in frame(Opcode::Close, &[0x03, 0xE8]) {
        client.send_raw(&[byte]);
    }
    client.expect_close(1000);
}

// ---- ends of every kind ------------------------------------------------------------------------

#[test]
fn after_a_half_close_everything_that_was_sent_is_still_answered() {
    let server = Process::echo(&[]);
    let mut client = Client::connect(server.addr);
    let mut frames = frame(Opcode::Text, b"last words");
    frames.extend_from_slice(&header(Opcode::Text, true, 100)); // a frame that never ends
    client.send_raw(&frames);
    client.shut_down();
    assert_eq!(client.receive(), Event::Text("last words".into()));
    assert_eq!(client.receive(), Event::Fin);
    server.expect_idle();
}

/// More echoes than the outbox may hold, so the server pauses, and the FIN is behind it all.
#[test]
fn after_a_half_close_a_paused_connection_is_still_answered_in_full() {
    let server = Process::echo(&["--outbox-high", "64k", "--outbox-low", "16k"]);
    let mut client = Client::connect(server.addr);
    let messages = numbered(400, 64 * 1024);
    let mut writer = client.stream.try_clone().unwrap();
    let frames: Vec<u8> = messages.iter().flat_map(|bytes| frame(Opcode::Binary, bytes)).collect();
    let writing = thread::spawn(move || {
        writer.write_all(&frames).unwrap();
        writer.shutdown(Shutdown::Write).unwrap();
    });
    // Until the server's and the client's buffers are full and nothing moves any more.
    thread::sleep(Duration::from_millis(500));
    for (number, bytes) in messages.iter().enumerate() {
        assert!(client.receive() == Event::Binary(bytes.clone()), "message {number}");
    }
    assert_eq!(client.receive(), Event::Fin);
    writing.join().unwrap();
    server.expect_idle();
}

#[test]
fn a_fin_in_the_middle_of_anything_ends_the_connection() {
    let server = Process::echo(&[]);
    let before = server.descriptors();
    let request = handshake(server.addr, "/");
    for cut in [0, 1, request.len() / 2, request.len() - 1] {
        let mut stream = connect(server.addr);
        stream.write_all(&request[..cut]).unwrap();
        stream.shutdown(Shutdown::Write).unwrap();
        assert_eq!(read_to_end(&mut stream), b"", "a head cut at {cut}");
    }
    let bytes = frame(Opcode::Binary, &[7; 200]);
    for cut in [0, 1, 2, 3, 7, 8, 9, 207] {
        let mut client = Client::connect(server.addr);
        client.send_raw(&bytes[..cut]);
        client.shut_down();
        assert_eq!(client.receive(), Event::Fin, "a frame cut at {cut}");
    }
    server.expect_descriptors(before);
    server.expect_idle();
}

/// Closing a socket that holds unread bytes sends RST; the server is then in the middle of a
/// `write`, which would raise SIGPIPE in a program that does not expect it.
#[test]
fn a_reset_in_the_middle_of_a_large_reply_harms_nobody() {
    let server = Process::echo(&[]);
    let before = server.descriptors();
    let mut neighbour = Client::connect(server.addr);
    for _ in 0..10 {
        let mut client = Client::connect(server.addr);
        client.send_binary(&vec![1; 8 * MIB]);
        // The reply has begun.
        wait_for_bytes(&client.stream);
        drop(client);
        neighbour.round_trip("still here");
    }
    drop(neighbour);
    server.expect_descriptors(before);
    server.expect_idle();
}

#[test]
fn a_thousand_abrupt_disconnects_leave_nothing_behind() {
    let server = Process::echo(&[]);
    let before = server.descriptors();
    let mut neighbour = Client::connect(server.addr);
    for i in 0..1_000 {
        let mut stream = connect(server.addr);
        let mut bytes = handshake(server.addr, "/");
        bytes.extend_from_slice(&frame(Opcode::Text, b"is anybody there?"));
        // Each ends at another place: before, in and behind the handshake and a frame.
        stream.write_all(&bytes[..i % (bytes.len() + 1)]).unwrap();
        drop(stream);
        if i % 100 == 0 {
            neighbour.round_trip("still here");
        }
    }
    neighbour.round_trip("still here");
    drop(neighbour);
    server.expect_descriptors(before);
    server.expect_idle();
}

// ---- the closing handshake ---------------------------------------------------------------------

/// RFC 6455 §7.1.1: the server closes first. With a deadline of an hour, no timer helps.
#[test]
fn rfc6455_7_1_1_the_server_closes_promptly_after_both_closes() {
    let server = Process::echo(&["--close-timeout", "1h"]);
    let before = server.descriptors();
    let mut client = Client::connect(server.addr);
    client.send_raw(&[frame(Opcode::Text, b"bye"), frame(Opcode::Close, b"\x03\xE8ok")].concat());
    // RFC 6455 §5.5.1: what follows a Close is not looked at.
    client.send_raw(&[frame(Opcode::Ping, b"?"), frame(Opcode::Text, b"?")].concat());
    assert_eq!(client.receive(), Event::Text("bye".into()));
    assert_eq!(client.receive(), Event::Close(1000, String::new()));
    assert_eq!(client.receive(), Event::Fin);
    drop(client);
    server.expect_descriptors(before);

    // The server closes because of an error, the client answers: the same.
    let mut client = Client::connect(server.addr);
    client.send_raw(&[0xC1, 0x80, 0, 0, 0, 0]);
    assert!(matches!(client.receive(), Event::Close(1002, _)));
    assert_eq!(client.receive(), Event::Fin);
    drop(client);
    server.expect_descriptors(before);
    server.expect_idle();
}

// ---- signals -----------------------------------------------------------------------------------

#[test]
fn rfc6455_7_4_1_a_signal_closes_every_connection_with_1001_and_exits_0() {
    for signal in ["TERM", "INT"] {
        let mut server = Process::echo(&["--close-timeout", "1h", "--shutdown-timeout", "1h"]);
        let mut clients: Vec<Client> = (0..50).map(|_| Client::connect(server.addr)).collect();
        clients.iter_mut().for_each(|client| client.round_trip("hello"));
        // Neither a silent TCP connection nor half a handshake keeps the server.
        let mut silent = connect(server.addr);
        let mut half = connect(server.addr);
        half.write_all(b"GET / HTTP/1.1\r\n").unwrap();
        // One in the middle of a message.
        clients[0].send_raw(&header(Opcode::Text, true, 100));
        server.signal(signal);
        for client in &mut clients {
            assert!(matches!(client.receive(), Event::Close(1001, _)), "{signal}");
        }
        // The first cannot answer in the middle of its frame; it goes.
        clients[0].shut_down();
        clients.iter_mut().for_each(Client::expect_end);
        assert_eq!(read_to_end(&mut silent), b"");
        assert_eq!(read_to_end(&mut half), b"");
        drop(clients);
        assert_eq!(server.wait().code(), Some(0), "{signal}: {}", server.log());
    }
}

#[test]
fn a_signal_flushes_what_is_queued_before_it_closes() {
    let mut server = Process::echo(&["--close-timeout", "1h", "--shutdown-timeout", "1h"]);
    let mut client = Client::connect(server.addr);
    let bytes = vec![3; 16 * MIB];
    client.send_binary(&bytes);
    wait_for_bytes(&client.stream);
    server.signal("TERM");
    assert!(client.receive() == Event::Binary(bytes), "another message");
    client.expect_close(1001);
    drop(client);
    assert_eq!(server.wait().code(), Some(0), "{}", server.log());
}

#[test]
fn a_client_that_never_answers_does_not_keep_the_server() {
    let mut server = Process::echo(&["--close-timeout", "1h", "--shutdown-timeout", "300ms"]);
    let mut client = Client::connect(server.addr).silent();
    client.round_trip("hello");
    server.signal("TERM");
    assert!(matches!(client.receive(), Event::Close(1001, _)));
    assert_eq!(server.wait().code(), Some(0), "{}", server.log());
}

#[test]
fn a_client_that_never_reads_does_not_keep_the_server() {
    let mut server = Process::echo(&["--close-timeout", "300ms", "--shutdown-timeout", "1h"]);
    let client = Client::connect(server.addr);
    let mut writer = client.stream.try_clone().unwrap();
    writer.set_write_timeout(Some(Duration::from_millis(200))).unwrap();
    let bytes = frame(Opcode::Binary, &vec![1; MIB]);
    while writer.write_all(&bytes).is_ok() {}
    server.signal("TERM");
    assert_eq!(server.wait().code(), Some(0), "{}", server.log());
    drop(client);
}

#[test]
fn a_second_signal_exits_now() {
    for (signal, code) in [("TERM", 128 + 15), ("INT", 128 + 2)] {
        let mut server = Process::echo(&["--close-timeout", "1h", "--shutdown-timeout", "1h"]);
        let mut client = Client::connect(server.addr).silent();
        client.round_trip("hello");
        server.signal("TERM");
        // The first one was seen.
        assert!(matches!(client.receive(), Event::Close(1001, _)));
        server.signal(signal);
        assert_eq!(server.wait().code(), Some(code), "{}", server.log());
    }
}

/// The greeting goes to a stdout that takes nothing: the event loop does not even begin.
#[cfg(target_os = "linux")]
#[test]
fn a_second_signal_exits_though_a_write_is_stuck() {
    let (mut stuck, _unread) = UnixStream::pair().unwrap();
    stuck.set_nonblocking(true).unwrap();
    while stuck.write(&[0; 4096]).is_ok() {}
    stuck.set_nonblocking(false).unwrap();
    let mut command = command(&["echo"]);
    command.stdin(Stdio::null()).stderr(Stdio::null()).stdout(OwnedFd::from(stuck));
    let mut child = command.spawn().unwrap();
    let id = child.id();
    drop(command);
    // A mask in hexadecimal: bit 14 is signal 15. A TERM is caught, and none waits to be.
    let has_term = |field: &str| {
        let text = std::fs::read_to_string(format!("/proc/{id}/status")).unwrap();
        let line = text.lines().find_map(|line| line.strip_prefix(field)).unwrap();
        u64::from_str_radix(line.trim(), 16).unwrap() & 1 << 14 != 0
    };
    let kill = || Command::new("sh").args(["-c", &format!("kill -TERM {id}")]).status();
    eventually("TERM is caught", || has_term("SigCgt:"));
    thread::sleep(Duration::from_millis(200));
    kill().unwrap();
    eventually("the first TERM is seen", || !has_term("ShdPnd:") && !has_term("SigPnd:"));
    thread::sleep(Duration::from_millis(200));
    assert_eq!(child.try_wait().unwrap(), None, "the first TERM waits for the loop");
    kill().unwrap();
    let mut status = None;
    let until = Instant::now() + Duration::from_secs(10);
    while status.is_none() && Instant::now() < until {
        thread::sleep(Duration::from_millis(10));
        status = child.try_wait().unwrap();
    }
    let _ = child.kill();
    assert_eq!(status.map(|status| status.code()), Some(Some(128 + 15)));
}

/// Whoever sends HUP means that a server should go on, with what it reads anew.
#[test]
fn a_hangup_is_logged_and_ends_nothing() {
    let mut server = Process::start(logging("info", &[]));
    let mut client = Client::connect(server.addr);
    client.round_trip("hello");
    for _ in 0..2 {
        server.signal("HUP");
        client.round_trip("still here");
    }
    eventually("it is logged", || server.log().contains(" info hangup ignored reason="));
    server.signal("TERM");
    client.expect_close(1001);
    drop(client);
    assert_eq!(server.wait().code(), Some(0), "{}", server.log());
}

#[test]
fn while_it_stops_nobody_is_let_in() {
    let mut server = Process::echo(&["--close-timeout", "1h", "--shutdown-timeout", "1h"]);
    let mut client = Client::connect(server.addr).silent();
    client.round_trip("hello");
    server.signal("TERM");
    assert!(matches!(client.receive(), Event::Close(1001, _)));
    let refused = std::net::TcpStream::connect_timeout(&server.addr, WAIT);
    assert!(refused.is_err(), "the listener is closed");
    server.expect_idle();
    drop(client);
    assert_eq!(server.wait().code(), Some(0), "{}", server.log());
}

#[test]
fn an_address_in_use_is_refused_and_its_owner_goes_on() {
    let server = Process::echo(&[]);
    let mut client = Client::connect(server.addr);
    let mut second = common::process::clean(std::process::Command::new(common::process::BINARY));
    let output = second.args(["echo", "--listen", &server.addr.to_string()]).output().unwrap();
    assert_eq!((output.status.code(), output.stdout.len()), (Some(1), 0));
    assert!(String::from_utf8_lossy(&output.stderr).contains(&server.addr.to_string()));
    client.round_trip("still here");
    Client::connect(server.addr).round_trip("and here");
}

#[test]
fn plain_http_beside_websocket_is_answered_and_ended() {
    let server = Process::start(command(&["echo"]));
    let mut stream = connect(server.addr);
    stream.write_all(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n").unwrap();
    let answer = read_to_end(&mut stream);
    assert_eq!(status(&answer), Some(426), "{}", String::from_utf8_lossy(&answer));
}

// ---- the log -----------------------------------------------------------------------------------

/// A supervisor that opens a pipe for stderr and forgets to read it must not stop the server.
#[test]
fn a_log_that_nobody_reads_disturbs_nobody() {
    let mut server = Process::start_unread(logging("debug", &[]));
    for _ in 0..1_000 {
        drop(Client::connect(server.addr));
    }
    Client::connect(server.addr).round_trip("still here");
    server.signal("TERM");
    assert_eq!(server.wait().code(), Some(0));
}

#[test]
fn a_log_that_is_read_late_says_what_was_dropped() {
    let mut server = Process::start_unread(logging("debug", &[]));
    // More than pipe and queue hold together: each of these logs a path of 200 bytes.
    let target = format!("/{}", "x".repeat(199));
    for _ in 0..3_000 {
        assert!(Client::try_connect(server.addr, &target).is_ok());
    }
    server.read_log();
    eventually("the dropped lines are counted", || server.log().contains(" dropped_lines="));
    Client::connect(server.addr).round_trip("still here");
    server.signal("TERM");
    assert_eq!(server.wait().code(), Some(0));
    eventually("the last line", || server.log().contains("info stopped"));
    let log = server.log();
    assert!(log.lines().all(|line| line.find("Z ") == Some(23)), "{log}");
    assert_eq!(log.matches(" dropped_lines=").count(), 1, "{log}");
}

// ---- slow readers ------------------------------------------------------------------------------

/// 64 MiB of echoes that nobody reads: the server stops reading that connection, its memory stays
/// what the limits say, the others notice nothing, and in the end everything arrives in order.
#[test]
fn a_slow_reader_costs_bounded_memory_and_disturbs_nobody() {
    let server = Process::echo(&["--max-message", "1m", "--write-timeout", "1h"]);
    let before = server.descriptors();
    let mut slow = Client::connect(server.addr);
    let mut fast: Vec<Client> = (0..3).map(|_| Client::connect(server.addr)).collect();
    fast.iter_mut().for_each(|client| client.round_trip("hello"));
    let memory_before = server.memory_peak_bytes();

    let messages = numbered(1_024, 64 * 1024);
    let mut writer = slow.stream.try_clone().unwrap();
    let sent = messages.clone();
    let writing = thread::spawn(move || {
        for bytes in sent {
            // Small writes: each arrives as an edge of its own at the paused connection.
            frame(Opcode::Binary, &bytes).chunks(4096).for_each(|c| writer.write_all(c).unwrap());
        }
    });
    let until = Instant::now() + Duration::from_secs(1);
    while Instant::now() < until {
        fast.iter_mut().for_each(|client| client.round_trip("meanwhile"));
    }
    server.expect_idle();
    for (number, bytes) in messages.iter().enumerate() {
        assert!(slow.receive() == Event::Binary(bytes.clone()), "message {number}");
        if number % 64 == 0 {
            fast.iter_mut().for_each(|client| client.round_trip("meanwhile"));
        }
    }
    writing.join().unwrap();

    // Outbox at high water and one more message, one read buffer of held input, one message in
    // assembly, and as much again for what an allocator keeps.
    if let (Some(before), Some(peak)) = (memory_before, server.memory_peak_bytes()) {
        let grown = (peak - before) / MIB as u64;
        assert!(grown <= 12, "{grown} MiB more than before");
    }
    drop((slow, fast));
    server.expect_descriptors(before);
    server.expect_idle();
}

/// A connection that is paused again and again, and written to at the same time: held input must
/// be delivered before what is read later.
#[test]
fn a_connection_that_is_paused_all_the_time_keeps_its_order() {
    let server = Process::echo(&["--outbox-high", "1k", "--outbox-low", "0"]);
    let mut client = Client::connect(server.addr);
    let messages = numbered(20_000, 1_000);
    let mut writer = client.stream.try_clone().unwrap();
    let frames: Vec<u8> = messages.iter().flat_map(|bytes| frame(Opcode::Binary, bytes)).collect();
    let writing = thread::spawn(move || {
        frames.chunks(1_777).for_each(|chunk| writer.write_all(chunk).unwrap());
    });
    for (number, bytes) in messages.iter().enumerate() {
        let event = client.receive();
        assert!(event == Event::Binary(bytes.clone()), "message {number}: {event:?}");
    }
    writing.join().unwrap();
    server.expect_idle();
}

/// A slow reader that gives up is noticed and released, though it is not read any more.
#[test]
fn a_paused_connection_that_ends_is_released() {
    let server = Process::echo(&["--outbox-high", "64k", "--outbox-low", "0"]);
    let before = server.descriptors();
    for _ in 0..5 {
        let client = Client::connect(server.addr);
        let mut writer = client.stream.try_clone().unwrap();
        writer.set_write_timeout(Some(Duration::from_millis(200))).unwrap();
        let bytes = frame(Opcode::Binary, &vec![1; 60 * 1024]);
        while writer.write_all(&bytes).is_ok() {}
        drop((client, writer));
    }
    eventually("all connections are released", || server.descriptors() == before);
    server.expect_idle();
}

/// Messages that are told apart by their first bytes.
fn numbered(count: usize, len: usize) -> Vec<Vec<u8>> {
    let number = |i: usize| {
        let mut bytes = vec![i as u8; len];
        bytes[..8].copy_from_slice(&(i as u64).to_be_bytes());
        bytes
    };
    (0..count).map(number).collect()
}
