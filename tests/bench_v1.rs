//! `switchboard bench --v1` as a process: every message is numbered, answered and acknowledged.
//!
//! Nothing here asserts that anything is fast.
#![cfg(all(unix, feature = "cli"))]

mod common;

use std::net::SocketAddr;
use std::process::{Command, Output};

use common::process::{BINARY, Process, clean, command};
use serde_json::Value;

#[test]
fn v1_clients_number_answer_and_acknowledge() {
    let server = Process::start(command(&["serve", "--log-messages", "100"]));
    // One server for all: a client's numbers begin anew in each run.
    for form in [
        "--mode direct --connections 7",
        "--mode direct --connections 3 --pipeline 40 --size 300",
        "--mode direct --connections 3 --rate 40 --size 20000",
        "--mode fanout --connections 9 --pipeline 4",
        "--mode fanout --connections 9 --rate 100",
        "--mode idle --connections 20 --pipeline 10",
        "--mode resume --connections 3 --kept 90",
        "--mode resume --connections 3 --kept 90 --size 300",
    ] {
        let report = measured(server.addr, &format!("--v1 {form}"));
        let sent = report["sent"].as_u64().expect("a number");
        assert!(sent > 0, "{form}: {report}");
        assert_eq!(report["answered"], report["sent"], "{form}: {report}");
        assert_eq!(report["received"], report["expected"], "{form}: {report}");
        assert_eq!(report["foreign"], 0, "{form}: {report}");
        let is_timed = form.contains("direct") || form.contains("fanout");
        assert_eq!(report["answer_us"]["count"].as_u64() > Some(0), is_timed, "{form}: {report}");
    }
    // A log that has no room for all of it refuses the rest, and that shows.
    let line = "--v1 --mode resume --kept 101 --drain 200ms";
    let (output, report) = run(server.addr, line);
    assert_eq!(output.status.code(), Some(1), "{report}");
    assert!(report["refused"].as_u64() > Some(0), "{report}");
}

fn measured(addr: SocketAddr, line: &str) -> Value {
    let (output, report) = run(addr, line);
    assert_eq!((output.status.code(), &report["ok"]), (Some(0), &true.into()), "{line}: {report}");
    assert_eq!(report["expected"], report["received"], "{line}: {report}");
    assert_eq!(report["lost"], 0, "{line}: {report}");
    report
}

fn run(addr: SocketAddr, line: &str) -> (Output, Value) {
    let short = ["--warmup", "50ms", "--duration", "200ms", "--settle", "20ms"];
    let mut command = clean(Command::new(BINARY));
    command.arg("bench").arg(format!("ws://{addr}/")).arg("--json").args(short);
    let output = command.args(line.split_whitespace()).output().expect("the binary is built");
    let report = serde_json::from_slice(&output.stdout).unwrap_or_else(|error| {
        panic!("{line}: {error}: {}", String::from_utf8_lossy(&output.stderr))
    });
    (output, report)
}
