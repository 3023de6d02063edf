//! What messages cost in system calls, counted in the real binary: the contract of the event loop.
//!
//! `strace` writes down every call of the server, and the test reads that. From one `epoll_wait` to
//! the next is a tick:
//!
//! ```text
//! epoll_wait(0x3, 0x55d0, 0x400, 0x3c6) = 0x2               two connections are ready
//! recvfrom(0x9, 0x7f7a, 0x80000, 0, 0, 0) = 0x20c           each is read once
//! recvfrom(0xa, 0x7f7a, 0x80000, 0, 0, 0) = 0x20c
//! sendto(0xb, 0x55d2, 0x3e0, 0x4000, 0, 0) = 0x3e0          all for the third leaves at once
//! ```
//!
//! Counts do not depend on how fast anything is: every client waits for the answer before it goes
//! on. Ignored by default, because not every machine has `strace`: `tests/run syscalls`.
#![cfg(all(target_os = "linux", feature = "cli"))]

mod common;

use std::collections::HashMap;
use std::path::PathBuf;
use std::process::Command;

use common::client::{Client, Event, connect, frame, handshake};
use common::process::{BINARY, Process, clean, eventually};
use switchboard::wire::Opcode;

#[test]
#[ignore = "needs strace: tests/run syscalls"] // which installs it; not every machine has it
fn an_echo_is_one_read_and_one_write_however_many_messages_come_at_once() {
    for depth in [1, 16] {
        let traced = Traced::start("echo", &["echo"]);
        let mut clients: Vec<Client> = (0..3).map(|_| traced.client("/")).collect();
        let section = traced.measure(|| {
            for _ in 0..ROUNDS {
                for client in &mut clients {
                    client.send_raw(&frame(Opcode::Text, b"hello").repeat(depth));
                    expect(client, "hello", depth);
                }
            }
        });
        section.assert_counts(Counts { ticks: 3 * ROUNDS, reads: 3 * ROUNDS, writes: 3 * ROUNDS });
    }
}

#[test]
#[ignore = "needs strace: tests/run syscalls"] // which installs it; not every machine has it
fn a_direct_message_is_one_read_and_one_write_however_many_come_at_once() {
    for depth in [1, 16] {
        let traced = Traced::start("direct", &["serve"]);
        let mut bob = traced.client("/?user=bob");
        let mut alice = traced.client("/?user=alice");
        let section = traced.measure(|| {
            for _ in 0..ROUNDS {
                bob.send_raw(&frame(Opcode::Text, TO_ALICE).repeat(depth));
                expect(&mut alice, FROM_BOB, depth);
            }
        });
        section.assert_counts(Counts { ticks: ROUNDS, reads: ROUNDS, writes: ROUNDS });
    }
}

#[test]
#[ignore = "needs strace: tests/run syscalls"] // which installs it; not every machine has it
fn fan_out_is_one_read_and_one_write_per_receiver_however_many_messages_come_at_once() {
    for depth in [1, 16] {
        let traced = Traced::start("fanout", &["serve"]);
        let mut sender = traced.client("/room");
        let mut others: Vec<Client> = (0..OTHERS).map(|_| traced.client("/room")).collect();
        let section = traced.measure(|| {
            for _ in 0..ROUNDS {
                sender.send_raw(&frame(Opcode::Text, b"to all").repeat(depth));
                for other in &mut others {
                    expect(other, "to all", depth);
                }
            }
        });
        section.assert_counts(Counts { ticks: ROUNDS, reads: ROUNDS, writes: ROUNDS * OTHERS });
    }
}

#[test]
#[ignore = "needs strace: tests/run syscalls"] // which installs it; not every machine has it
fn what_many_send_to_one_in_a_tick_leaves_in_one_write() {
    let traced = Traced::start("many", &["serve"]);
    let mut alice = traced.client("/?user=alice");
    let mut bobs: Vec<Client> = (0..OTHERS).map(|_| traced.client("/?user=bob")).collect();
    let section = traced.measure(|| {
        for round in 1..=ROUNDS {
            // Held, the server finds all of them ready when it goes on.
            traced.server.signal("STOP");
            eventually("the server is held", || traced.stops() >= round);
            for bob in &mut bobs {
                bob.send_raw(&frame(Opcode::Text, TO_ALICE).repeat(16));
            }
            traced.server.signal("CONT");
            expect(&mut alice, FROM_BOB, OTHERS * 16);
        }
    });
    section.assert_counts(Counts { ticks: ROUNDS, reads: ROUNDS * OTHERS, writes: ROUNDS });
}

#[test]
#[ignore = "needs strace: tests/run syscalls"] // which installs it; not every machine has it
fn a_large_message_is_read_again_only_when_the_buffer_was_filled() {
    let traced = Traced::start("large", &["echo"]);
    let mut client = traced.client("/");
    let section = traced.measure(|| {
        for size in [16 << 10, 64 << 10, 512 << 10, 1 << 20, 5 << 20] {
            for depth in [1, 8] {
                let text = "x".repeat(size);
                let frames = frame(Opcode::Text, text.as_bytes()).repeat(depth);
                let mut stream = client.stream.try_clone().expect("a descriptor");
                // Both at once: neither side can hold as much as this.
                std::thread::scope(|scope| {
                    let sending = move || std::io::Write::write_all(&mut stream, &frames);
                    let sending = scope.spawn(sending);
                    expect(&mut client, &text, depth);
                    sending.join().expect("no panic").expect("the server takes what is sent");
                });
            }
        }
    });
    section.assert_contract();
    assert!(section.ticks.iter().any(|tick| tick.calls.len() > 2), "no buffer was ever filled");
}

/// The next messages, all with this text.
fn expect(client: &mut Client, text: &str, count: usize) {
    for _ in 0..count {
        let event = client.receive();
        assert!(matches!(&event, Event::Text(found) if found == text), "{event:.100?}");
    }
}

// ---- a server that is watched ------------------------------------------------------------------

struct Traced {
    server: Process,
    file: PathBuf,
}

impl Traced {
    /// The server is our child, and `strace` looks at it from outside (`-D`).
    fn start(name: &str, args: &[&str]) -> Traced {
        let file = format!("syscalls-{name}-{}.strace", std::process::id());
        let file = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(file);
        let mut command = clean(Command::new("strace"));
        command.args(["-D", "-f", "-q", "-e", "raw=all", "-o"]).arg(&file);
        command.arg(BINARY).args(args).args(["--listen", "127.0.0.1:0", "--log", "warn"]);
        Traced { server: Process::start(command), file }
    }

    fn client(&self, target: &str) -> Client {
        let mut stream = connect(self.server.addr);
        let request = handshake(self.server.addr, target);
        std::io::Write::write_all(&mut stream, &request).expect("the server takes what is sent");
        Client::after_handshake(stream, self.server.addr).expect("a handshake that is accepted")
    }

    /// What strace has written so far.
    fn text(&self) -> String {
        std::fs::read_to_string(&self.file).expect("a trace: is strace allowed here?")
    }

    /// How often the thread of the event loop was held; each thread has a line of its own.
    fn stops(&self) -> usize {
        let main = self.server.id().to_string();
        let is_stop = |line: &&str| line.contains("--- stopped by SIGSTOP");
        let text = self.text();
        let stops = text.lines().filter(is_stop);
        stops.filter(|line| line.split_whitespace().next() == Some(&*main)).count()
    }

    /// Does something, and returns what the server did for it. A connection before and one behind
    /// show in the trace where it begins and ends.
    fn measure(&self, work: impl FnOnce()) -> Section {
        let _before = self.client("/marker");
        work();
        let _behind = self.client("/marker");
        self.server.signal("KILL");
        let mut text = String::new();
        eventually("strace has written it all", || {
            text = self.text();
            of_process(&text, self.server.id()).any(|line| line.starts_with("+++ "))
        });
        let calls = Call::parse_all(&text, self.server.id());
        assert_registered_once(&calls);
        Section::between_the_last_two_newcomers(calls)
    }
}

impl Drop for Traced {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            let _ = std::fs::remove_file(&self.file);
        }
    }
}

/// One system call of the server's main thread: the log has a thread of its own, and is silent.
#[derive(Clone, Debug)]
struct Call {
    name: String,
    args: Vec<i64>,
    result: i64,
}

impl Call {
    fn parse_all(text: &str, pid: u32) -> Vec<Call> {
        let mut begun = String::new();
        let mut calls = Vec::new();
        for line in of_process(text, pid) {
            // What another thread did meanwhile cuts a line in two.
            if let Some(line) = line.strip_suffix(" <unfinished ...>") {
                begun = line.to_owned();
            } else if let Some((_, line)) = line.split_once(" resumed>") {
                calls.extend(Call::parse(&format!("{begun}{line}")));
            } else {
                calls.extend(Call::parse(line));
            }
        }
        calls
    }

    /// `name(0x1, 0x2) = 0x3`, or `= -1 EAGAIN (...)`.
    fn parse(line: &str) -> Option<Call> {
        let (call, result) = line.rsplit_once(" = ")?;
        let (name, args) = call.trim_end().strip_suffix(')')?.split_once('(')?;
        let args = args.split(", ").map(|arg| number(arg).unwrap_or(-1)).collect();
        let result = number(result.split(' ').next()?).unwrap_or(-1);
        Some(Call { name: name.to_owned(), args, result })
    }

    fn kind(&self) -> Kind {
        match self.name.as_str() {
            "read" | "readv" | "recvfrom" | "recvmsg" => Kind::Read,
            "sendmsg" | "sendto" | "write" | "writev" => Kind::Write,
            "epoll_pwait" | "epoll_pwait2" | "epoll_wait" => Kind::Wait,
            _ => Kind::Other,
        }
    }

    /// A read that left the socket empty, or found it so.
    fn left_room(&self) -> bool {
        self.result < self.args[2]
    }
}

/// The lines of one thread, without its id, which is padded.
fn of_process(text: &str, pid: u32) -> impl Iterator<Item = &str> {
    text.lines().filter_map(move |line| {
        let (id, line) = line.split_once(' ')?;
        (id.parse() == Ok(pid)).then(|| line.trim_start())
    })
}

fn number(text: &str) -> Option<i64> {
    match text.strip_prefix("0x") {
        Some(digits) => u64::from_str_radix(digits, 16).ok().map(u64::cast_signed),
        None => text.parse().ok(),
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Other,
    Read,
    Wait,
    Write,
}

/// From accept to close, a connection is registered once and never again.
fn assert_registered_once(calls: &[Call]) {
    let mut registered: HashMap<i64, usize> = HashMap::new();
    for call in calls.iter().filter(|call| call.name == "epoll_ctl") {
        assert_eq!(call.args[1], EPOLL_CTL_ADD, "{call:?}");
        *registered.entry(call.args[2]).or_default() += 1;
    }
    let accepted = calls.iter().filter(|call| is_newcomer(call));
    for call in accepted {
        assert_eq!(registered.get(&call.result), Some(&1), "descriptor {}", call.result);
    }
}

fn is_newcomer(call: &Call) -> bool {
    call.name.starts_with("accept") && call.result >= 0
}

/// The ticks of a part of a run.
struct Section {
    ticks: Vec<Tick>,
}

/// From one `epoll_wait` to the next.
struct Tick {
    /// How many sockets were ready.
    ready: i64,
    calls: Vec<Call>,
}

#[derive(Debug, PartialEq, Eq)]
struct Counts {
    ticks: usize,
    reads: usize,
    writes: usize,
}

impl Section {
    fn between_the_last_two_newcomers(calls: Vec<Call>) -> Section {
        let newcomers: Vec<usize> =
            (0..calls.len()).filter(|at| is_newcomer(&calls[*at])).collect();
        let [.., before, behind] = newcomers[..] else { panic!("no newcomers in the trace") };
        let descriptor = calls[before].result;
        let answered = |call: &Call| call.kind() == Kind::Write && call.args[0] == descriptor;
        let answer = calls[before..].iter().position(answered).expect("the handshake's answer");
        let mut ticks: Vec<Tick> = Vec::new();
        for call in &calls[before + answer + 1..behind] {
            if call.kind() == Kind::Wait {
                ticks.push(Tick { ready: call.result, calls: Vec::new() });
            } else if let Some(tick) = ticks.last_mut() {
                tick.calls.push(call.clone());
            }
        }
        // The tick of the newcomer behind, and those in which nothing was ready: a timeout, or a
        // signal.
        ticks.pop();
        ticks.retain(|tick| tick.ready > 0 || !tick.calls.is_empty());
        Section { ticks }
    }

    /// At most one read, unless that filled the buffer, and one write for each connection.
    fn assert_contract(&self) {
        for Tick { calls, .. } in &self.ticks {
            let mut by_descriptor: HashMap<i64, (Vec<&Call>, usize)> = HashMap::new();
            for call in calls {
                let (reads, writes) = by_descriptor.entry(call.args[0]).or_default();
                match call.kind() {
                    Kind::Read => reads.push(call),
                    Kind::Write => *writes += 1,
                    // The allocator grows as it likes; what is allocated is counted elsewhere.
                    Kind::Other => assert!(MEMORY.contains(&call.name.as_str()), "{call:?}"),
                    Kind::Wait => unreachable!("it would have begun a tick"),
                }
            }
            for (reads, writes) in by_descriptor.values() {
                let early = reads.split_last().map_or(&[][..], |(_, early)| early);
                assert!(!early.iter().any(|read| read.left_room()), "{calls:#?}");
                // What fills the buffer may be answered before the next read.
                assert!(*writes <= reads.len().max(1), "{calls:#?}");
            }
        }
    }

    /// The contract, and so many calls in all.
    fn assert_counts(&self, wanted: Counts) {
        self.assert_contract();
        let of = |kind| self.calls().filter(|call| call.kind() == kind).count();
        let (reads, writes) = (of(Kind::Read), of(Kind::Write));
        assert_eq!(Counts { ticks: self.ticks.len(), reads, writes }, wanted);
    }

    fn calls(&self) -> impl Iterator<Item = &Call> {
        self.ticks.iter().flat_map(|tick| &tick.calls)
    }
}

const ROUNDS: usize = 20;
const OTHERS: usize = 10;

const TO_ALICE: &[u8] = br#"{"receiver":"alice","content":"hi"}"#;
const FROM_BOB: &str = r#"{"sender":"bob","content":"hi"}"#;

const EPOLL_CTL_ADD: i64 = 1;
const MEMORY: [&str; 5] = ["brk", "madvise", "mmap", "mremap", "munmap"];
