//! Clients that break HTTP, or bend it: nobody waits for them, and nothing of theirs is done twice.

use std::io::Write;

use crate::common::client::{connect, read_to_end, status};
use crate::server::{Answer, BILLING, JSON, Server, key, request, text};

const ALICE: &str = r#"{"receiver":"alice","content":1}"#;

fn message(body: &str) -> Vec<u8> {
    request("POST", "/v1/messages", &[&key(BILLING), JSON], body)
}

#[test]
fn half_a_request_is_answered_at_its_deadline_and_does_nothing() {
    let server = Server::start(&["--head-timeout", "300ms"]);
    let mut alice = server.user("alice");
    let whole = message(ALICE);
    let in_the_body = whole.len() - 3;
    for cut in [1, 40, whole.len() - ALICE.len(), in_the_body] {
        let mut stream = connect(server.admin);
        stream.write_all(&whole[..cut]).expect("a server that reads");
        let answer = read_to_end(&mut stream);
        assert_eq!(status(&answer), Some(408), "{cut}: {}", String::from_utf8_lossy(&answer));
    }
    // The same when the client ends its half instead.
    let mut stream = connect(server.admin);
    stream.write_all(&whole[..in_the_body]).expect("a server that reads");
    stream.shutdown(std::net::Shutdown::Write).expect("a connected socket");
    assert!(!read_to_end(&mut stream).starts_with(b"HTTP/1.1 200"));
    server.post(r#"{"receiver":"alice","content":"whole"}"#).expect(200, r#"{"online":1}"#);
    assert_eq!(alice.receive(), text(r#"{"sender":"billing","content":"whole"}"#));
}

#[test]
fn a_request_that_drips_ends_at_its_deadline_however_much_comes() {
    let server = Server::start(&["--head-timeout", "300ms"]);
    for from in [0, message(ALICE).len() - ALICE.len()] {
        let mut stream = connect(server.admin);
        stream.write_all(&message(ALICE)[..from]).expect("a server that reads");
        for byte in message(ALICE)[from..].chunks(1).take(25) {
            std::thread::sleep(std::time::Duration::from_millis(50));
            if stream.write_all(byte).is_err() {
                break;
            }
        }
        let answer = read_to_end(&mut stream);
        assert!(matches!(status(&answer), Some(408) | None), "{from}");
    }
    server.post(ALICE).expect(200, r#"{"online":0}"#);
}

#[test]
fn a_length_that_is_wrong_is_nobody_elses_request() {
    let server = Server::start(&["--head-timeout", "300ms"]);
    let head = |headers: &str| {
        format!(
            "POST /v1/messages HTTP/1.1\r\nHost: localhost\r\n{}\r\n{JSON}\r\n{headers}\r\n\r\n",
            key(BILLING)
        )
    };
    let table = [
        // Too long: the rest is waited for. Too short: JSON that is cut, and then no HTTP.
        (head(&format!("Content-Length: {}", ALICE.len() + 1)), 408),
        (head(&format!("Content-Length: {}", ALICE.len() - 1)), 400),
        (head("Content-Length: -1"), 400),
        (head("Content-Length: 32, 32"), 400),
        (head("Content-Length: 32\r\nContent-Length: 33"), 400),
        (head("Content-Length: 32\r\nTransfer-Encoding: chunked"), 400),
        (head("Transfer-Encoding: gzip"), 501),
        (head("Content-Length: 99999999999999999999999"), 400),
    ];
    for (head, wanted) in table {
        let mut stream = connect(server.admin);
        stream.write_all(format!("{head}{ALICE}").as_bytes()).expect("a server that reads");
        let answer = read_to_end(&mut stream);
        let found = status(&answer);
        let too_long = head.contains("9999") && found == Some(413);
        assert!(found == Some(wanted) || too_long, "{head}{}", String::from_utf8_lossy(&answer));
    }
}

#[test]
fn a_gibibyte_is_refused_when_it_is_announced_and_when_it_is_sent() {
    let server = Server::start(&[]);
    let before = server.process.memory_bytes();
    let head = |length: &str| {
        format!(
            "POST /v1/messages HTTP/1.1\r\nHost: localhost\r\n{}\r\n{JSON}\r\n{length}\r\n\r\n",
            key(BILLING)
        )
    };
    for length in ["Content-Length: 1073741824", "Transfer-Encoding: chunked"] {
        let mut stream = connect(server.admin);
        stream.write_all(head(length).as_bytes()).expect("a server that reads");
        let chunk = [b"10000\r\n", &[b' '; 65_536][..], b"\r\n"].concat();
        let piece = if length.starts_with("Content") { &chunk[7..65_543] } else { &chunk[..] };
        // It reads on for a while, so that the answer arrives, but keeps nothing of it.
        let mut sent = 0;
        while sent < 1 << 30 && stream.write_all(piece).is_ok() {
            sent += piece.len();
        }
        let answer = read_to_end(&mut stream);
        // A reset may overtake the answer when more is sent than was asked for.
        assert!(matches!(status(&answer), Some(413) | None), "{length}");
    }
    if let (Some(before), Some(peak)) = (before, server.process.memory_peak_bytes()) {
        assert!(peak < before + (16 << 20), "{before} and then {peak} bytes");
    }
    server.post(ALICE).expect(200, r#"{"online":0}"#);
}

#[test]
fn requests_on_one_connection_are_answered_one_after_the_other() {
    let server = Server::start(&[]);
    let mut alice = server.user("alice");
    let mut stream = connect(server.admin);
    let mut buffer = Vec::new();
    // Pipelined, in pieces that end anywhere.
    let all: Vec<u8> = (0..100)
        .flat_map(|n| message(&format!(r#"{{"receiver":"alice","content":{n}}}"#)))
        .collect();
    for piece in all.chunks(997) {
        stream.write_all(piece).expect("a server that reads");
    }
    for n in 0..100 {
        Answer::read(&mut stream, &mut buffer).expect(200, r#"{"online":1}"#);
        assert_eq!(alice.receive(), text(&format!(r#"{{"sender":"billing","content":{n}}}"#)));
    }
    // An error of the API does not end the connection, HEAD has no body.
    stream.write_all(&message("{}")).expect("a server that reads");
    Answer::read(&mut stream, &mut buffer).expect_failure(400, "content_missing");
    stream.write_all(&request("GET", "/livez", &[], "")).expect("a server that reads");
    Answer::read(&mut stream, &mut buffer).expect(200, r#"{"status":"live"}"#);
}

#[test]
fn a_body_in_chunks_is_a_body() {
    let server = Server::start(&[]);
    let mut alice = server.user("alice");
    let headers = [&*key(BILLING), JSON, "Transfer-Encoding: chunked", "Connection: close"];
    let mut bytes = request("POST", "/v1/messages", &headers, "");
    let (first, last) = ALICE.split_at(7);
    let chunks = [first, last].map(|part| format!("{:X};x=y\r\n{part}\r\n", part.len())).concat();
    bytes.extend_from_slice(format!("{chunks}0\r\nTrailer: ignored\r\n\r\n").as_bytes());
    let mut stream = connect(server.admin);
    for piece in bytes.chunks(5) {
        stream.write_all(piece).expect("a server that reads");
    }
    let (answer, _) = Answer::parse(&read_to_end(&mut stream)).expect("an answer");
    answer.expect(200, r#"{"online":1}"#);
    assert_eq!(alice.receive(), text(r#"{"sender":"billing","content":1}"#));
}

#[test]
fn a_client_that_asks_first_is_told_to_go_on() {
    let server = Server::start(&[]);
    let headers = [&*key(BILLING), JSON, "Expect: 100-continue", "Connection: close"];
    let whole = request("POST", "/v1/messages", &headers, ALICE);
    let (head, body) = whole.split_at(whole.len() - ALICE.len());
    let mut stream = connect(server.admin);
    stream.write_all(head).expect("a server that reads");
    let mut go_on = [0; 25];
    std::io::Read::read_exact(&mut stream, &mut go_on).expect("100 before the body");
    assert_eq!(&go_on, b"HTTP/1.1 100 Continue\r\n\r\n");
    stream.write_all(body).expect("a server that reads");
    let (answer, _) = Answer::parse(&read_to_end(&mut stream)).expect("an answer");
    answer.expect(200, r#"{"online":0}"#);
}
