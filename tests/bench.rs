//! `switchboard bench` as a process: against our own servers, and against one that misbehaves.
//!
//! Nothing here asserts that anything is fast: bounds of time are lower ones.
#![cfg(all(unix, feature = "cli"))]

mod common;

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use common::process::{BINARY, Process, clean, command, eventually};
use serde_json::Value;
use switchboard::wire::handshake::accept_key;
use switchboard::wire::{FrameHeader, Opcode, Parsed, Rsv};

// ---- against our own servers -------------------------------------------------------------------

#[test]
fn echo_gives_everything_back_in_every_form() {
    let server = Process::echo(&[]);
    let forms = [
        "",
        "--pipeline 16",
        "--size 0",
        "--size 1 --pipeline 3",
        "--size 15",
        "--size 126 --text",
        "--size 70000 --utf8 --pipeline 2",
        "--size 1m",
        "--rate 500",
        "--no-verify",
        "--register ?room={id} --hello hello",
    ];
    for form in forms {
        let report = measured(server.addr, &format!("--connections 5 {form}"));
        assert_eq!(report["sent"], report["received"], "{form}: {report}");
        assert!(report["messages"].as_u64() > Some(0), "{form}: {report}");
        assert!(report["latency_us"]["count"].as_u64() > Some(0), "{form}: {report}");
    }
}

#[test]
fn direct_goes_from_senders_to_receivers() {
    let server = Process::start(command(&["serve"]));
    for form in ["", "--pipeline 8", "--rate 500", "--size 16", "--size 300 --utf8"] {
        let report = measured(server.addr, &format!("--mode direct --connections 7 {form}"));
        assert_eq!(report["sent"], report["received"], "{form}: {report}");
        assert!(report["messages"].as_u64() > Some(0), "{form}: {report}");
        assert_eq!(report["foreign"], 0, "{form}: {report}");
    }
    // Nobody is registered: every message is refused to its sender, and that shows.
    let line = "--mode direct --connections 3 --register ?nobody={id} --drain 200ms";
    let (output, report) = run(server.addr, line);
    assert_eq!(output.status.code(), Some(1), "{report}");
    assert_eq!((&report["received"], &report["lost"]), (&0.into(), &report["sent"]), "{report}");
    assert!(report["foreign"].as_u64() > Some(0), "{report}");
}

#[test]
fn fanout_is_counted_at_every_subscriber() {
    let server = Process::start(command(&["serve"]));
    let group = "--hello {\"type\":\"join\",\"group\":\"g\"} \
                 --message {\"group\":\"g\",\"content\":\"{content}\"}";
    for form in ["", "--pipeline 4", "--rate 100", group] {
        let report = measured(server.addr, &format!("--mode fanout --connections 9 {form}"));
        let sent = report["sent"].as_u64().expect("a number");
        assert_eq!(report["received"], sent * 9, "{form}: {report}");
        assert!(sent > 0, "{form}: {report}");
    }
}

#[test]
fn idle_holds_connections_open_and_reads_the_memory() {
    let server = Process::echo(&[]);
    let line = format!("--mode idle --connections 300 --active 200 --pid {}", server.id());
    if !PathBuf::from("/proc/self/status").exists() {
        return;
    }
    let report = measured(server.addr, &line);
    assert_eq!((&report["sent"], &report["received"]), (&200.into(), &200.into()), "{report}");
    for field in ["before", "open", "after_traffic", "end"] {
        assert!(report["memory"][field].as_u64() > Some(0), "{field}: {report}");
    }
    for field in ["per_connection_open", "per_connection_after_traffic", "per_connection_end"] {
        assert!(report["memory"][field].is_number(), "{field}: {report}");
    }
    // With users who are registered, each writes to the next.
    let server = Process::start(command(&["serve"]));
    let report = measured(server.addr, "--mode idle --connections 20 --register ?user={id}");
    assert_eq!(report["received"], 20, "{report}");
}

#[test]
fn json_has_every_documented_field() {
    let server = Process::echo(&[]);
    let report = measured(server.addr, &format!("--pid {}", server.id()));
    let source = include_str!("../src/tools/bench/report.rs");
    let rows = source.lines().filter(|line| line.starts_with("//! | `"));
    let fields: Vec<&str> = rows
        .filter_map(|row| row.split('|').nth(1))
        .flat_map(|cell| cell.split('`').skip(1).step_by(2))
        .collect();
    assert!(fields.len() > 25, "{fields:?}");
    let object = report.as_object().expect("an object");
    for field in &fields {
        assert!(object.contains_key(*field), "{field} is documented");
    }
    for field in object.keys() {
        assert!(fields.contains(&field.as_str()), "{field} is not documented");
    }
    for field in ["count", "mean", "min", "p50", "p90", "p99", "p999", "max"] {
        assert!(report["latency_us"][field].is_number(), "{field}: {report}");
    }
    assert_eq!(report["ok"], true);
    if PathBuf::from("/proc/self/status").exists() {
        assert!(report["server"]["resident_bytes"].as_u64() > Some(0), "{report}");
        assert!(report["client"]["cpu"].as_f64() > Some(0.0), "{report}");
    }
}

#[test]
fn the_table_and_the_plots_are_whole() {
    let server = Process::echo(&[]);
    for (name, pace) in [("bench.svg", "--pipeline 2"), ("bench.html", "--rate 300")] {
        let path = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(name);
        let url = url(server.addr);
        let mut command = bench(&[&url, "--connections", "3", "--plot"]);
        let output = command.arg(&path).args(SHORT).args(pace.split(' ')).output().unwrap();
        let table = String::from_utf8(output.stdout).unwrap();
        assert_eq!(output.status.code(), Some(0), "{table}");
        for wanted in ["received ", "latency ", "p99.9 ", " 0 lost", "no faults", &url] {
            assert!(table.contains(wanted), "{wanted}: {table}");
        }
        // No terminal, no progress line.
        assert_eq!(String::from_utf8_lossy(&output.stderr), "");
        let plot = std::fs::read_to_string(&path).unwrap();
        assert_well_formed(&plot);
        assert_eq!(plot.matches("<polyline").count(), 4, "{plot}");
        let plot = plot.replace("xmlns=\"http://www.w3.org/2000/svg\"", "");
        for outside in ["http:", "https:", "src=", "href", "url(", "@import", "<script"] {
            assert!(!plot.contains(outside), "{outside}: {plot}");
        }
    }
}

// ---- against a server that misbehaves ----------------------------------------------------------

/// What the server does with its tenth message; all others it sends back.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Fault {
    None,
    Close,
    Damage,
    Drop,
    Duplicate,
    Fragment,
    Stall,
    Swap,
}

#[test]
fn faults_are_found_and_nothing_else() {
    let cases = [
        (Fault::None, ""),
        (Fault::Fragment, ""),
        (Fault::Drop, "lost"),
        (Fault::Duplicate, "duplicates"),
        (Fault::Swap, "disorder"),
        (Fault::Damage, "damaged"),
    ];
    for (fault, found) in cases {
        for size in ["8", "100", "5000"] {
            let server = Faulty::start(fault);
            let line = format!("--connections 1 --pipeline 4 --drain 1s --size {size}");
            let (output, report) = run(server.addr, &line);
            let code = if found.is_empty() { 0 } else { 1 };
            assert_eq!(output.status.code(), Some(code), "{fault:?} {size}: {report}");
            for field in ["lost", "duplicates", "disorder", "damaged", "misdelivered", "foreign"] {
                let wanted = u64::from(field == found);
                // Of eight bytes all are the number: if one is changed, it is lost as well.
                if !(size == "8" && fault == Fault::Damage && field == "lost") {
                    assert_eq!(report[field], wanted, "{fault:?} {size} {field}: {report}");
                }
            }
        }
    }
}

#[test]
fn a_changed_content_goes_unseen_only_if_that_was_asked_for() {
    let server = Faulty::start(Fault::Damage);
    let report = measured(server.addr, "--connections 1 --no-verify");
    assert_eq!(report["damaged"], 0, "{report}");
}

#[test]
fn a_connection_that_the_server_ends_is_a_fault_with_its_reason() {
    let server = Faulty::start(Fault::Close);
    let (output, report) = run(server.addr, "--connections 1 --pipeline 4");
    assert_eq!(output.status.code(), Some(1), "{report}");
    assert_eq!(report["closed_early"], 1, "{report}");
    let reason = report["first_close"].as_str().expect("a reason");
    assert!(reason.contains("1008") && reason.contains("enough"), "{reason}");
}

#[test]
fn a_stall_cannot_hide_from_a_fixed_rate() {
    let server = Faulty::start(Fault::Stall);
    let url = url(server.addr);
    let line = "--connections 1 --rate 200 --warmup 0 --duration 1s --settle 0 --json";
    let output = bench(&[&url]).args(line.split(' ')).output().unwrap();
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(report["ok"], true, "{report}");
    // About 200 messages; 60 of them were due while the server slept for 300 ms, and each of these
    // counts from when it was due. A load generator that waits would have one late message.
    let latency = |field: &str| report["latency_us"][field].as_f64().expect("a number");
    assert!(latency("max") >= 290_000.0, "{report}");
    assert!(latency("p99") >= 250_000.0, "{report}");
    assert!(latency("p90") >= 100_000.0, "{report}");
    assert_eq!(report["latency_us"]["count"], report["sent"], "{report}");
}

#[test]
fn an_interrupt_ends_it_with_the_results_so_far() {
    let server = Faulty::start(Fault::None);
    let mut command = bench(&[&url(server.addr)]);
    command.args("--connections 1 --warmup 0 --duration 1h --json".split(' '));
    let child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    eventually("messages flow", || server.echoed.load(Ordering::Relaxed) > 100);
    let kill = format!("kill -INT {}", child.id());
    assert!(Command::new("sh").args(["-c", &kill]).status().unwrap().success());
    let output = child.wait_with_output().unwrap();
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!((output.status.code(), &report["ok"]), (Some(0), &true.into()), "{report}");
    assert_eq!(report["interrupted"], true, "{report}");
    assert_eq!(report["sent"], report["received"], "{report}");
    assert!(report["messages"].as_u64() > Some(0), "{report}");
}

// ---- without WebSocket -------------------------------------------------------------------------

#[test]
fn raw_counts_the_bytes_of_the_same_messages() {
    let addr = raw_server(RawServer::Echo);
    let forms = ["", "--pipeline 16", "--size 0", "--size 70000 --text --pipeline 2", "--rate 500"];
    for form in forms {
        let report = measured(addr, &format!("--raw --connections 5 {form}"));
        assert_eq!(report["protocol"], "raw", "{form}: {report}");
        assert_eq!(report["sent"], report["received"], "{form}: {report}");
        assert!(report["messages"].as_u64() > Some(0), "{form}: {report}");
        assert!(report["latency_us"]["count"].as_u64() > Some(0), "{form}: {report}");
    }
    let report = measured(addr, "--raw --mode idle --connections 20");
    assert_eq!(report["received"], 20, "{report}");
}

#[test]
fn raw_fanout_is_counted_at_every_subscriber() {
    let addr = raw_server(RawServer::Room);
    let report = measured(addr, "--raw --mode fanout --connections 7 --pipeline 4");
    let sent = report["sent"].as_u64().expect("a number");
    assert_eq!(report["received"], sent * 7, "{report}");
    assert!(sent > 0, "{report}");
}

#[test]
fn raw_misses_what_did_not_come_back() {
    let addr = raw_server(RawServer::Swallow);
    let (output, report) = run(addr, "--raw --connections 1 --drain 200ms");
    assert_eq!((output.status.code(), &report["lost"]), (Some(1), &1.into()), "{report}");
}

// ---- exit codes --------------------------------------------------------------------------------

#[test]
fn wrong_usage_exits_2_and_says_why() {
    let cases = [
        ("", "<URL>"),
        ("localhost:80", "not a URL such as ws://"),
        ("wss://localhost/", "there is no TLS"),
        ("ws://h/ --mode ehco", "--mode 'ehco': allowed: echo, direct, fanout, idle"),
        ("ws://h/ --connections 0", "--connections '0': not a plain number from 1"),
        ("ws://h/ --size 1x", "--size '1x': not a number of bytes"),
        ("ws://h/ --duration 0", "--duration '0'"),
        ("ws://h/ --warmup -1", "--warmup '-1': not a time"),
        ("ws://h/ --rate 5 --pipeline 2", "cannot be used with"),
        ("ws://h/ --text --utf8", "cannot be used with"),
        ("ws://h/ --deflate --raw", "cannot be used with"),
        ("ws://h/ --mode idle --rate 5", "--rate: "),
        ("ws://h/ --mode direct --size 15", "--size: at least 16"),
        ("ws://h/ --mode direct --raw", "--raw: a server that reads nothing has no users"),
        ("ws://h/ --message hello", "--message: {content} must be there once"),
        ("ws://h/ --plot a.png", "--plot 'a.png': the name must end in .svg or .html"),
        ("ws://h/ --conections 5", "a similar argument exists: '--connections'"),
    ];
    for (line, wanted) in cases {
        let output = bench(&line.split_whitespace().collect::<Vec<_>>()).output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!((output.status.code(), output.stdout.len()), (Some(2), 0), "{line}: {said}");
        assert!(said.contains(wanted), "{line}\nwanted: {wanted}\nsaid: {said}");
    }
    let help = bench(&["--help"]).output().unwrap();
    let text = String::from_utf8(help.stdout).unwrap();
    assert_eq!(help.status.code(), Some(0));
    assert!(text.lines().all(|line| line.chars().count() <= 110), "{text}");
    for wanted in ["Load:", "Times:", "Users and messages:", "Result:", "Exit codes:"] {
        assert!(text.contains(wanted), "{wanted}: {text}");
    }
}

#[test]
fn a_server_that_cannot_be_had_exits_1_and_says_why() {
    let fails = |addr: SocketAddr, line: &str| {
        let words: Vec<&str> = line.split_whitespace().collect();
        let output = bench(&[&url(addr)]).args(SHORT).args(words).output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!((output.status.code(), output.stdout.len()), (Some(1), 0), "{said}");
        said
    };
    // A port that nobody listens on any longer.
    let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    for protocol in ["", "--raw"] {
        let said = fails(free, protocol);
        assert!(said.contains(&format!("cannot connect to {free}: ")), "{said}");
    }
    // A server that is full.
    let server = Process::echo(&["--max-connections", "3"]);
    let said = fails(server.addr, "--connections 9");
    assert!(said.contains("handshake refused with status 503"), "{said}");
    // One that does not speak what is wanted.
    let server = Process::echo(&[]);
    let said = fails(server.addr, "--v1 --mode direct --connections 2");
    assert!(said.contains("--v1: no welcome"), "{said}");
    // A server of another kind.
    let other = TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = other.local_addr().unwrap();
    thread::spawn(move || {
        for stream in other.incoming().flatten() {
            let _ = (&stream).write_all(b"220 mail.example.org ESMTP\r\n\r\n");
            let _ = (&stream).read(&mut [0; 1024]);
        }
    });
    let said = fails(addr, "");
    assert!(said.contains("does not open a WebSocket: malformed response head"), "{said}");
    let said = fails(server.addr, "--pid 4294967295");
    assert!(said.contains("--pid 4294967295"), "{said}");
    let said = fails(server.addr, "--plot /nonexistent/plot.svg");
    assert!(said.contains("cannot write /nonexistent/plot.svg"), "{said}");
}

// ---- helpers -----------------------------------------------------------------------------------

fn bench(args: &[&str]) -> Command {
    let mut command = clean(Command::new(BINARY));
    command.arg("bench").args(args).stdin(Stdio::null());
    command
}

fn url(addr: SocketAddr) -> String {
    format!("ws://{addr}/")
}

fn run(addr: SocketAddr, line: &str) -> (Output, Value) {
    let mut command = bench(&[&url(addr), "--json"]);
    let output = command.args(SHORT).args(line.split_whitespace()).output();
    let output = output.expect("the binary is built");
    let report = serde_json::from_slice(&output.stdout).unwrap_or_else(|error| {
        panic!("{line}: {error}: {}", String::from_utf8_lossy(&output.stderr))
    });
    (output, report)
}

/// A run without any fault, in which the sums are right.
fn measured(addr: SocketAddr, line: &str) -> Value {
    let (output, report) = run(addr, line);
    assert_eq!((output.status.code(), &report["ok"]), (Some(0), &true.into()), "{line}: {report}");
    assert_eq!(report["expected"], report["received"], "{line}: {report}");
    assert_eq!(report["lost"], 0, "{line}: {report}");
    report
}

/// Every element that begins ends, in the right order, and attributes are quoted.
fn assert_well_formed(text: &str) {
    let mut open: Vec<&str> = Vec::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('<') {
        assert!(!before.contains('>'), "{before}");
        let (tag, after) = after.split_once('>').expect("every tag ends");
        rest = after;
        assert_eq!(tag.matches('"').count() % 2, 0, "{tag}");
        let name = tag.split([' ', '/']).next().unwrap_or(tag);
        if tag.starts_with(['?', '!']) {
            continue;
        } else if let Some(name) = tag.strip_prefix('/') {
            assert_eq!(open.pop(), Some(name), "{tag}");
        } else if !tag.ends_with('/') {
            open.push(name);
        }
    }
    assert!(open.is_empty() && !rest.contains('>'), "{open:?} {rest}");
    let entities = text.split('&').skip(1);
    for entity in entities {
        let known = ["amp;", "lt;", "gt;", "quot;"].iter().any(|name| entity.starts_with(name));
        assert!(known, "{entity}");
    }
}

/// An echo server with a fault, on a thread of its own for each connection.
struct Faulty {
    addr: SocketAddr,
    echoed: Arc<AtomicU64>,
}

impl Faulty {
    fn start(fault: Fault) -> Faulty {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let addr = listener.local_addr().expect("a bound listener");
        let echoed = Arc::new(AtomicU64::new(0));
        let count = Arc::clone(&echoed);
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let count = Arc::clone(&count);
                thread::spawn(move || serve(stream, fault, &count));
            }
        });
        Faulty { addr, echoed }
    }
}

/// Echoes until the client goes.
fn serve(mut stream: TcpStream, fault: Fault, echoed: &AtomicU64) -> std::io::Result<()> {
    stream.set_nodelay(true)?;
    let mut input = read_until_blank_line(&mut stream)?;
    let head = String::from_utf8_lossy(&input).into_owned();
    let key = head.lines().find_map(|line| line.strip_prefix("Sec-WebSocket-Key: "));
    let accept = accept_key(key.unwrap_or_default().as_bytes());
    let answer = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
                  Sec-WebSocket-Accept: ";
    stream.write_all(&[answer.as_bytes(), &accept, b"\r\n\r\n"].concat())?;
    input.clear();
    let (mut number, mut held) = (0, None);
    loop {
        let mut out = Vec::new();
        while let Some((opcode, payload)) = take_frame(&mut input) {
            if opcode == Opcode::Close {
                return stream.write_all(&frame(true, opcode, &payload));
            }
            number += 1;
            echoed.fetch_add(1, Ordering::Relaxed);
            match fault {
                Fault::Stall if number == FAULT_AT => thread::sleep(Duration::from_millis(300)),
                Fault::Close if number == FAULT_AT => {
                    return stream.write_all(&frame(true, Opcode::Close, b"\x03\xF0enough"));
                }
                _ => {}
            }
            out.extend(answer_to(number, opcode, payload, fault, &mut held));
        }
        stream.write_all(&out)?;
        let mut chunk = [0; 65_536];
        match stream.read(&mut chunk)? {
            0 => return Ok(()),
            read => input.extend_from_slice(&chunk[..read]),
        }
    }
}

/// The frames that go back for one message.
fn answer_to(
    number: u64,
    opcode: Opcode,
    mut payload: Vec<u8>,
    fault: Fault,
    held: &mut Option<Vec<u8>>,
) -> Vec<u8> {
    if number != FAULT_AT || fault == Fault::Stall {
        let own = frame(true, opcode, &payload);
        return [own, held.take().unwrap_or_default()].concat();
    }
    match fault {
        Fault::Damage => *payload.last_mut().expect("a content") ^= 0x40,
        Fault::Drop => return Vec::new(),
        Fault::Duplicate => return frame(true, opcode, &payload).repeat(2),
        Fault::Fragment => {
            let (first, rest) = payload.split_at(payload.len() / 2);
            let ping = frame(true, Opcode::Ping, b"?");
            let (first, rest) = (frame(false, opcode, first), frame(true, CONTINUATION, rest));
            return [first, ping, rest].concat();
        }
        Fault::Swap => {
            *held = Some(frame(true, opcode, &payload));
            return Vec::new();
        }
        Fault::None | Fault::Close | Fault::Stall => {}
    }
    frame(true, opcode, &payload)
}

/// What a server does that does not know WebSocket.
#[derive(Clone, Copy, Debug, PartialEq)]
enum RawServer {
    /// Sends everything back.
    Echo,
    /// Sends everything to all other connections.
    Room,
    /// Sends everything back but the first byte.
    Swallow,
}

fn raw_server(kind: RawServer) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let addr = listener.local_addr().expect("a bound listener");
    let others = Arc::new(Mutex::new(Vec::<(usize, TcpStream)>::new()));
    thread::spawn(move || {
        for (number, stream) in listener.incoming().flatten().enumerate() {
            let others = Arc::clone(&others);
            let writer = stream.try_clone().expect("a descriptor");
            others.lock().expect("no panic").push((number, writer));
            thread::spawn(move || pass_on(stream, number, kind, &others));
        }
    });
    addr
}

fn pass_on(
    mut stream: TcpStream,
    number: usize,
    kind: RawServer,
    all: &Mutex<Vec<(usize, TcpStream)>>,
) -> std::io::Result<()> {
    let (mut buffer, mut skip) = ([0; 65_536], usize::from(kind == RawServer::Swallow));
    loop {
        let read = stream.read(&mut buffer)?;
        if read == 0 {
            return Ok(());
        }
        if kind == RawServer::Room {
            let all = all.lock().expect("no panic");
            for (_, other) in all.iter().filter(|(other, _)| *other != number) {
                (&*other).write_all(&buffer[..read])?;
            }
        } else {
            stream.write_all(&buffer[skip..read])?;
            skip = 0;
        }
    }
}

fn read_until_blank_line(stream: &mut TcpStream) -> std::io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    while !bytes.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        match stream.read(&mut byte)? {
            0 => return Err(ErrorKind::UnexpectedEof.into()),
            _ => bytes.push(byte[0]),
        }
    }
    Ok(bytes)
}

/// Takes the first frame out of the input, unmasked, if it is there. Pongs are skipped.
fn take_frame(input: &mut Vec<u8>) -> Option<(Opcode, Vec<u8>)> {
    loop {
        let Ok(Parsed::Complete { value, len }) = FrameHeader::parse(input) else { return None };
        let end = len + value.payload_len as usize;
        if input.len() < end {
            return None;
        }
        let mut payload = input[len..end].to_vec();
        value.masking_key.expect("clients mask").apply_bytewise(0, &mut payload);
        assert_ne!(value.masking_key.expect("clients mask").0, [0; 4]);
        input.drain(..end);
        if value.opcode != Opcode::Pong {
            return Some((value.opcode, payload));
        }
    }
}

fn frame(fin: bool, opcode: Opcode, payload: &[u8]) -> Vec<u8> {
    let payload_len = payload.len() as u64;
    let header = FrameHeader { fin, rsv: Rsv::NONE, opcode, masking_key: None, payload_len };
    [&header.encode(), payload].concat()
}

/// Early enough to be reached on a slow machine.
const FAULT_AT: u64 = 10;

const CONTINUATION: Opcode = Opcode::Continuation;

/// Short runs.
const SHORT: [&str; 6] = ["--warmup", "50ms", "--duration", "200ms", "--settle", "20ms"];
