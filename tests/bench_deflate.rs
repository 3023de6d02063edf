//! `switchboard bench --deflate` as a process: compressed messages are checked like any others.
#![cfg(all(unix, feature = "cli", feature = "deflate"))]
#![allow(clippy::unwrap_used)] // a helper of a test may fail the test

mod common;

use std::net::SocketAddr;
use std::process::Command;
use std::thread;

use common::process::{BINARY, Process, clean, command};
use serde_json::Value;
use switchboard::config::Deflate;
use switchboard::protocol::MessageKind;
use switchboard::{ConnId, Context, Handler, Limits, Message, Server};

#[test]
fn messages_come_back_whatever_the_server_agrees_to() {
    for mode in ["off", "on", "takeover"] {
        let server = Process::echo(&["--deflate", mode, "--deflate-min", "0"]);
        let forms = ["", "--size 16", "--size 1k --pipeline 16", "--size 70000", "--rate 500"];
        for form in forms.into_iter().chain(["--mode idle --size 1k", "--no-verify"]) {
            let report = measured(server.addr, &format!("--connections 5 {form}"));
            assert_eq!(report["kind"], "chat", "{mode} {form}: {report}");
            let bytes = &report["compression"];
            let response = &bytes["agreed"][0]["response"];
            assert_eq!(response.is_null(), mode == "off", "{mode} {form}: {report}");
            assert_eq!(bytes["agreed"][0]["connections"], 5, "{mode} {form}: {report}");
            assert_eq!(bytes["sent_payload_bytes"], bytes["received_payload_bytes"], "{report}");
            for field in ["sent_ratio", "received_ratio"] {
                let ratio = bytes[field].as_f64().unwrap();
                match (mode, form) {
                    // Frame headers, and nothing saved.
                    ("off", _) => assert!((1.0..1.5).contains(&ratio), "{form}: {report}"),
                    (_, "--size 1k --pipeline 16") => {
                        assert!((0.1..0.7).contains(&ratio), "{mode} {form}: {report}");
                    }
                    _ => assert!(ratio > 0.1, "{mode} {form}: {report}"),
                }
            }
        }
    }
}

#[test]
fn what_is_written_to_others_comes_to_them() {
    let server = Process::start(command(&["serve", "--deflate-min", "0"]));
    let group = "--mode fanout --hello {\"type\":\"join\",\"group\":\"g\"} \
                 --message {\"group\":\"g\",\"content\":\"{content}\"}";
    for form in ["--mode direct --pipeline 8", "--mode fanout --pipeline 4", group] {
        let report = measured(server.addr, &format!("--size 600 --connections 9 {form}"));
        assert!(report["received"].as_u64() > Some(0), "{form}: {report}");
        let ratio = report["compression"]["received_ratio"].as_f64();
        // The fewer messages there is time for, the more the answers to the first ones count.
        assert!(ratio < Some(0.9), "{form}: {report}");
    }
}

#[test]
fn each_agreement_is_counted() {
    let server = Process::echo(&["--deflate", "takeover", "--max-deflate-takeover", "3"]);
    let report = measured(server.addr, "--mode idle --size 1k --connections 5");
    let agreed = report["compression"]["agreed"].as_array().unwrap();
    let mut counts: Vec<(u64, bool)> = agreed
        .iter()
        .map(|agreed| {
            let response = agreed["response"].as_str().unwrap();
            (agreed["connections"].as_u64().unwrap(), response.contains("no_context_takeover"))
        })
        .collect();
    counts.sort_unstable();
    assert_eq!(counts, [(2, true), (3, false)], "{report}");
}

#[test]
fn the_table_says_what_was_on_the_wire() {
    let server = Process::echo(&[]);
    let mut command = bench(server.addr, "--connections 3 --size 1k");
    let table = String::from_utf8(command.output().unwrap().stdout).unwrap();
    for wanted in [
        "bytes chat, ",
        "compression   3 connections: permessage-deflate; server_no_context_takeover; client_no",
        "on the wire   sent ",
        " of payload: ",
        "                received ",
    ] {
        assert!(table.contains(wanted), "{wanted}: {table}");
    }
}

// ---- against a server that misbehaves ----------------------------------------------------------

/// What the server does with its tenth message; all others it sends back.
#[derive(Clone, Copy, Debug)]
enum Fault {
    None,
    Damage,
    Drop,
    Duplicate,
    Swap,
}

#[test]
fn faults_are_found_in_compressed_messages_and_nothing_else() {
    let cases = [
        (Fault::None, ""),
        (Fault::Drop, "lost"),
        (Fault::Duplicate, "duplicates"),
        (Fault::Swap, "disorder"),
        (Fault::Damage, "damaged"),
    ];
    for (fault, found) in cases {
        for mode in [Deflate::On, Deflate::Takeover] {
            for size in ["100", "5000"] {
                let addr = faulty(fault, mode);
                let line = format!("--connections 1 --pipeline 4 --drain 1s --size {size}");
                let report = run(addr, &line);
                assert_eq!(report["ok"], found.is_empty(), "{fault:?} {size}: {report}");
                let ratio = report["compression"]["received_ratio"].as_f64();
                assert!(size == "100" || ratio < Some(0.8), "{fault:?} {size}: {report}");
                let fields = ["lost", "duplicates", "disorder", "damaged", "misdelivered"];
                for field in fields {
                    let wanted = u64::from(field == found);
                    assert_eq!(report[field], wanted, "{fault:?} {size} {field}: {report}");
                }
            }
        }
    }
}

/// An echo server with a fault.
struct Faulty {
    fault: Fault,
    number: u64,
    held: Vec<u8>,
}

impl Handler for Faulty {
    fn on_message(&mut self, cx: &mut Context<'_>, from: ConnId, message: Message<'_>) {
        self.number += 1;
        let mut bytes = message.as_bytes().to_vec();
        let mut send = |bytes: &[u8]| {
            let _ = cx.send_parts(from, MessageKind::Text, &[bytes]);
        };
        match (self.number, self.fault) {
            (10, Fault::Drop) => return,
            (10, Fault::Swap) => {
                self.held = bytes;
                return;
            }
            (10, Fault::Duplicate) => send(&bytes),
            (10, Fault::Damage) => *bytes.last_mut().unwrap() ^= 0x01,
            _ => {}
        }
        send(&bytes);
        if !self.held.is_empty() {
            send(&std::mem::take(&mut self.held));
        }
    }
}

/// It ends with the tests.
fn faulty(fault: Fault, mode: Deflate) -> SocketAddr {
    let mut limits = Limits::echo();
    limits.deflate_mode = mode.as_number();
    let (sender, receiver) = std::sync::mpsc::channel();
    thread::spawn(move || {
        let handler = Faulty { fault, number: 0, held: Vec::new() };
        let server = Server::bind(limits, &["127.0.0.1:0".parse().unwrap()], handler).unwrap();
        sender.send(server.local_addrs()[0]).unwrap();
        server.run()
    });
    receiver.recv().unwrap()
}

// ---- helpers -----------------------------------------------------------------------------------

fn bench(addr: SocketAddr, line: &str) -> Command {
    let mut command = clean(Command::new(BINARY));
    command.args(["bench", "--deflate", "--warmup", "50ms", "--duration", "200ms"]);
    // The answers to what is said first are no messages, and must have come before those.
    let settle = if line.contains("--hello") { "1s" } else { "20ms" };
    command.args(["--settle", settle, &format!("ws://{addr}/")]).args(line.split_whitespace());
    command
}

fn run(addr: SocketAddr, line: &str) -> Value {
    let output = bench(addr, line).arg("--json").output().expect("the binary is built");
    serde_json::from_slice(&output.stdout).unwrap_or_else(|error| {
        panic!("{line}: {error}: {}", String::from_utf8_lossy(&output.stderr))
    })
}

/// A run without any fault, in which the sums are right.
fn measured(addr: SocketAddr, line: &str) -> Value {
    let report = run(addr, line);
    assert_eq!(report["ok"], true, "{line}: {report}");
    assert_eq!(report["expected"], report["received"], "{line}: {report}");
    assert_eq!((&report["lost"], &report["foreign"]), (&0.into(), &0.into()), "{report}");
    report
}
