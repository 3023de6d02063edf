//! What was measured, as a table and as JSON.
//!
//! The fields of the JSON object; a field that was not measured is `null`:
//!
//! | field | what it is |
//! |---|---|
//! | `url`, `mode`, `connections`, `size` | what was asked for |
//! | `protocol`, `dialect`, `kind`, `pipeline`, `rate` | likewise |
//! | `seconds` | the measured time |
//! | `messages` | messages received in it; with `fanout`, deliveries |
//! | `messages_per_s`, `bytes_per_s` | the same per second; bytes with their frame headers |
//! | `received_bytes_per_message`, `sent_bytes_per_message` | all on the wire, by the messages |
//! | `latency_us` | latencies of messages that were sent (with a rate: due) in it; see below |
//! | `answer_us` | with `--v1`: from a message to the server's `ok`; likewise |
//! | `lag_us` | with a rate: how late the load generator sent; likewise |
//! | `sent` | messages sent in the whole run, warm-up and all |
//! | `expected` | how often they should have come; with `fanout`, once to each subscriber |
//! | `received` | how often they did; `expected` = `received` + `lost` |
//! | `lost`, `duplicates`, `disorder` | faults |
//! | `damaged`, `misdelivered` | faults |
//! | `answered`, `unanswered` | with `--v1`: messages with an `ok`, and those without: faults |
//! | `refused` | with `--v1`: refusals and gaps: faults |
//! | `foreign` | messages that are none of ours: greetings, notices, errors |
//! | `closed_early`, `first_close` | connections that the server ended; what the first one said |
//! | `interrupted` | whether a signal ended the run |
//! | `ok` | no fault: the exit code is 0 |
//! | `server`, `client` | the processes `--pid` and this one; see below |
//! | `memory` | `idle` with `--pid`: see below |
//! | `compression` | with `--deflate`: see below |
//! | `timeline` | about a hundred intervals; see below |
//!
//! * Latencies, in microseconds: `count`, `mean`, `min`, `p50`, `p90`, `p99`, `p999`, `max`.
//! * Processes: `cpu` and `wait` (running, and waiting for a processor, as a share of one),
//!   `messages_per_cpu_s`, `resident_bytes`.
//! * Memory: resident bytes `before`, `open`, `after_traffic` and at the `end`;
//!   `per_connection_open`, `per_connection_after_traffic`, `per_connection_end`: what is more than
//!   before; `open_seconds`.
//! * Compression, of the whole run: `agreed` (each `response` of the server, `null` if it declined,
//!   and on how many `connections`); `sent_bytes` on the wire for `sent_payload_bytes`, and
//!   `sent_ratio`, the one divided by the other; the same as `received_...`.
//! * Intervals: `end_s`, `messages_per_s`, `p50_us`, `p99_us`.

use std::fmt::Write;

use serde_json::{Value, json};

use super::compressed::Volume;
use super::dialect;
use super::fleet::Fleet;
use super::histogram::Histogram;
use super::intake::Tally;
use super::outgoing::Filler;
use super::process::Usage;
use super::recorder::Interval;
use super::settings::{Dialect, Mode, PaceSetting, Protocol, Settings};

/// The result of a run.
#[derive(Clone, Debug)]
pub struct Report {
    /// What was asked for.
    pub settings: Settings,
    /// What became of the messages.
    pub outcome: Outcome,
    /// Throughput in the measured time.
    pub flow: Flow,
    /// Latencies in the measured time, in nanoseconds.
    pub latency: Histogram,
    /// With `--v1`: from messages to their answers, in nanoseconds.
    pub answers: Option<Histogram>,
    /// How late an open loop sent, in nanoseconds.
    pub lag: Option<Histogram>,
    /// The measured time in pieces.
    pub intervals: Vec<Interval>,
    /// The process under test.
    pub server: Option<Side>,
    /// This process.
    pub own: Option<Side>,
    /// What connections cost.
    pub memory: Option<Memory>,
    /// What went over the wire, if compression was offered.
    pub compression: Option<Volume>,
}

/// What became of the messages of a whole run.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Outcome {
    /// Messages sent.
    pub sent: u64,
    /// How often they should have been received.
    pub expected: u64,
    /// What was received.
    pub tally: Tally,
    /// Connections that the server ended.
    pub closed_early: u32,
    /// What it said to the first of them.
    pub first_close: Option<String>,
    /// Whether a signal ended the run.
    pub interrupted: bool,
    /// Whether every message is answered in this dialect.
    pub is_answered: bool,
}

impl Outcome {
    /// The books of a run in which so many messages were sent.
    pub fn new(fleet: &Fleet, sent: u64, expected: u64) -> Outcome {
        Outcome {
            sent,
            expected,
            tally: fleet.tally,
            closed_early: fleet.lost,
            first_close: fleet.first_loss.clone(),
            interrupted: fleet.interrupted,
            is_answered: fleet.conns.iter().any(|conn| conn.duty.is_some()),
        }
    }

    /// Messages that never came.
    pub fn lost(&self) -> u64 {
        self.expected.saturating_sub(self.tally.received)
    }

    /// Messages of which the server never said that it has taken them, though it should have.
    pub fn unanswered(&self) -> u64 {
        if self.is_answered { self.sent.saturating_sub(self.tally.answered) } else { 0 }
    }

    /// Whether every message came once, in order, unchanged, and no connection was ended.
    pub fn is_clean(&self) -> bool {
        let Tally { duplicates, disorder, damaged, misdelivered, refused, .. } = self.tally;
        let faults = [self.lost(), duplicates, disorder, damaged, misdelivered];
        let more = [self.unanswered(), refused, self.closed_early.into()];
        faults.iter().chain(&more).all(|faults| *faults == 0)
    }
}

/// What was received in the measured time.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Flow {
    /// Its length in seconds.
    pub seconds: f64,
    /// Messages.
    pub messages: u64,
    /// Bytes, with frame headers.
    pub bytes: u64,
    /// Bytes that were sent in that time, likewise.
    pub sent_bytes: u64,
}

impl Flow {
    fn per_message(&self, bytes: u64) -> f64 {
        if self.messages > 0 { bytes as f64 / self.messages as f64 } else { 0.0 }
    }

    fn per_second(&self, count: u64) -> f64 {
        if self.seconds > 0.0 { count as f64 / self.seconds } else { 0.0 }
    }
}

/// What a process used in the measured time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Side {
    usage: Usage,
    resident_bytes: Option<u64>,
}

impl Side {
    /// Processor time in the measured time, and memory at its end.
    pub fn new(usage: Usage, resident_bytes: Option<u64>) -> Side {
        Side { usage, resident_bytes }
    }

    fn cpu(&self, flow: &Flow) -> f64 {
        flow.per_second(self.usage.run_ns) / 1e9
    }

    fn wait(&self, flow: &Flow) -> Option<f64> {
        self.usage.wait_ns.map(|wait_ns| flow.per_second(wait_ns) / 1e9)
    }

    fn per_cpu_second(&self, flow: &Flow) -> f64 {
        if self.usage.run_ns == 0 {
            return 0.0;
        }
        flow.messages as f64 * 1e9 / self.usage.run_ns as f64
    }

    fn json(&self, flow: &Flow) -> Value {
        json!({
            "cpu": rounded(self.cpu(flow)),
            "wait": self.wait(flow).map(rounded),
            "messages_per_cpu_s": rounded(self.per_cpu_second(flow)),
            "resident_bytes": self.resident_bytes,
        })
    }

    fn lines(&self, name: &str, flow: &Flow, table: &mut Table) {
        let (cpu, rate) = (self.cpu(flow) * 100.0, grouped(self.per_cpu_second(flow)));
        table.line(name, &format!("{rate} messages per second of CPU; {cpu:.0} % of a core"));
        let wait = self.wait(flow).map(|wait| {
            let wait = wait * 100.0;
            format!("waited for a core {wait:.1} % of the time")
        });
        let memory = self.resident_bytes.map(|count| format!("{} resident", bytes(count as f64)));
        let more: Vec<String> = wait.into_iter().chain(memory).collect();
        if !more.is_empty() {
            table.line("", &more.join("; "));
        }
    }
}

/// Resident memory of the process under test in bytes, where it could be read.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Memory {
    /// How many connections were opened.
    pub connections: u32,
    /// How long that took.
    pub open_seconds: f64,
    /// Before the first connection.
    pub before: Option<u64>,
    /// When all were open.
    pub open: Option<u64>,
    /// When some had carried a message.
    pub after_traffic: Option<u64>,
    /// After `--duration`.
    pub end: Option<u64>,
}

impl Memory {
    fn per_connection(&self, bytes: Option<u64>) -> Option<f64> {
        let more = bytes? as f64 - self.before? as f64;
        Some((more / f64::from(self.connections)).round())
    }

    fn json(&self) -> Value {
        json!({
            "open_seconds": rounded(self.open_seconds),
            "before": self.before,
            "open": self.open,
            "after_traffic": self.after_traffic,
            "end": self.end,
            "per_connection_open": self.per_connection(self.open),
            "per_connection_after_traffic": self.per_connection(self.after_traffic),
            "per_connection_end": self.per_connection(self.end),
        })
    }

    fn lines(&self, table: &mut Table) {
        let opened = format!("{} in {:.2} s", grouped(self.connections.into()), self.open_seconds);
        table.line("opened", &opened);
        let moments = [
            ("all open", self.open),
            ("after traffic", self.after_traffic),
            ("in the end", self.end),
        ];
        let Some(before) = self.before else { return };
        table.line("memory before", &format!("{} resident", bytes(before as f64)));
        for (name, resident) in moments {
            if let (Some(resident), Some(each)) = (resident, self.per_connection(resident)) {
                let text = format!(
                    "{} resident, {} bytes more per connection",
                    bytes(resident as f64),
                    grouped(each)
                );
                table.line(name, &text);
            }
        }
    }
}

impl Report {
    /// One line of JSON, without a line end.
    pub fn json(&self) -> String {
        let Report { settings, outcome, flow, .. } = self;
        let Tally { received, duplicates, disorder, damaged, misdelivered, foreign, .. } =
            outcome.tally;
        let (pipeline, rate) = match settings.pace {
            PaceSetting::Pipeline(pipeline) => (Some(pipeline), None),
            PaceSetting::Rate(rate) => (None, Some(rate)),
        };
        let timeline = |interval: &Interval| {
            json!({
                "end_s": rounded(interval.end_s),
                "messages_per_s": rounded(interval.per_second),
                "p50_us": microseconds(interval.p50),
                "p99_us": microseconds(interval.p99),
            })
        };
        json!({
            "url": settings.url.to_string(),
            "mode": settings.mode.name(),
            "protocol": settings.protocol.name(),
            "dialect": match settings.dialect {
                Dialect::Plain => None,
                Dialect::V1 => Some(dialect::V1),
            },
            "connections": settings.connections,
            "size": settings.size,
            "kind": if settings.deflate { "chat" } else { kind(settings.filler) },
            "pipeline": pipeline,
            "rate": rate,
            "seconds": rounded(flow.seconds),
            "messages": flow.messages,
            "messages_per_s": rounded(flow.per_second(flow.messages)),
            "bytes_per_s": rounded(flow.per_second(flow.bytes)),
            "received_bytes_per_message": rounded(flow.per_message(flow.bytes)),
            "sent_bytes_per_message": rounded(flow.per_message(flow.sent_bytes)),
            "latency_us": latency_json(&self.latency),
            "answer_us": self.answers.as_ref().map(latency_json),
            "lag_us": self.lag.as_ref().map(latency_json),
            "sent": outcome.sent,
            "expected": outcome.expected,
            "received": received,
            "lost": outcome.lost(),
            "duplicates": duplicates,
            "disorder": disorder,
            "damaged": damaged,
            "misdelivered": misdelivered,
            "answered": outcome.is_answered.then_some(outcome.tally.answered),
            "unanswered": outcome.is_answered.then(|| outcome.unanswered()),
            "refused": outcome.is_answered.then_some(outcome.tally.refused),
            "foreign": foreign,
            "closed_early": outcome.closed_early,
            "first_close": outcome.first_close,
            "interrupted": outcome.interrupted,
            "ok": outcome.is_clean(),
            "server": self.server.map(|side| side.json(flow)),
            "client": self.own.map(|side| side.json(flow)),
            "memory": self.memory.map(|memory| memory.json()),
            "compression": self.compression.as_ref().map(Volume::json),
            "timeline": self.intervals.iter().map(timeline).collect::<Vec<_>>(),
        })
        .to_string()
    }

    /// The table to read, line ends included.
    pub fn table(&self) -> String {
        let Report { settings, outcome, flow, .. } = self;
        let mut table = Table(format!("{}\n", self.title()));
        if flow.seconds > 0.0 {
            let rates = format!(
                "{} messages/s, {}/s, for {:.2} s",
                grouped(flow.per_second(flow.messages)),
                bytes(flow.per_second(flow.bytes)),
                flow.seconds,
            );
            table.line("received", &rates);
        }
        if self.latency.total() > 0 {
            table.line("latency", &latency_line(&self.latency));
        }
        if let Some(answers) = self.answers.as_ref().filter(|answers| answers.total() > 0) {
            table.line("answered in", &latency_line(answers));
        }
        if flow.messages > 0 {
            let (received, sent) =
                (flow.per_message(flow.bytes), flow.per_message(flow.sent_bytes));
            let wire = format!("{received:.1} bytes received and {sent:.1} sent per message");
            table.line("on the wire", &wire);
        }
        if let Some(lag) = &self.lag {
            table.line("sent late by", &latency_line(lag));
        }
        if let Some(memory) = &self.memory {
            memory.lines(&mut table);
        }
        for (name, side) in [("server", &self.server), ("this tool", &self.own)] {
            if let Some(side) = side {
                side.lines(name, flow, &mut table);
            }
        }
        for (name, text) in self.compression.iter().flat_map(Volume::lines) {
            table.line(name, &text);
        }
        if outcome.expected > 0 || settings.mode != Mode::Idle {
            outcome.lines(&mut table);
        }
        table.0
    }

    /// What was measured, in a line.
    pub fn title(&self) -> String {
        let Settings { mode, protocol, url, connections, size, filler, pace, .. } = &self.settings;
        let who = match mode {
            Mode::Direct | Mode::Resume => "pairs",
            Mode::Fanout => "subscribers",
            Mode::Echo | Mode::Idle => "connections",
        };
        let pace = match pace {
            PaceSetting::Pipeline(1) if *mode == Mode::Idle => String::new(),
            PaceSetting::Pipeline(each) if *mode == Mode::Idle => format!(", {each} messages each"),
            PaceSetting::Pipeline(_) if *mode == Mode::Resume => {
                format!(", {} kept for each", self.settings.kept)
            }
            PaceSetting::Pipeline(pipeline) => format!(", {pipeline} outstanding"),
            PaceSetting::Rate(rate) => format!(", {rate} messages/s"),
        };
        let kind = if self.settings.deflate { "chat" } else { kind(*filler) };
        let raw = match (protocol, self.settings.dialect) {
            (Protocol::Raw, _) => "raw ",
            (_, Dialect::V1) => "v1 ",
            _ => "",
        };
        format!("{raw}{} {url}: {connections} {who}, {size} bytes {kind}{pace}", mode.name())
    }
}

impl Outcome {
    fn lines(&self, table: &mut Table) {
        let Tally { received, duplicates, disorder, damaged, misdelivered, foreign, .. } =
            self.tally;
        let whole = |count: u64| grouped(count as f64);
        let books = format!(
            "{} sent, {} expected, {} received, {} lost",
            whole(self.sent),
            whole(self.expected),
            whole(received),
            whole(self.lost())
        );
        table.line("whole run", &books);
        let faults = format!(
            "{duplicates} duplicates, {disorder} out of order, {damaged} damaged, \
             {misdelivered} misdelivered"
        );
        table.line("", &faults);
        if self.is_answered {
            let (answered, refused) = (whole(self.tally.answered), self.tally.refused);
            let unanswered = self.unanswered();
            let answers = format!("{answered} answered, {unanswered} not, {refused} refused");
            table.line("", &answers);
        }
        if foreign > 0 {
            table.line("", &format!("{} messages that are none of ours", whole(foreign)));
        }
        if let Some(reason) = &self.first_close {
            let closed = format!("{} connections ended by the server", self.closed_early);
            table.line("", &format!("{closed}; {reason}"));
        }
        if self.interrupted {
            table.line("", "interrupted: the results so far");
        }
        table.line("", if self.is_clean() { "no faults" } else { "FAULTS" });
    }
}

/// Lines with a name each.
struct Table(String);

impl Table {
    fn line(&mut self, name: &str, text: &str) {
        let _ = writeln!(self.0, "  {name:14}{text}");
    }
}

fn kind(filler: Filler) -> &'static str {
    match filler {
        Filler::Binary => "binary",
        Filler::Ascii => "text",
        Filler::MultiByte => "utf8",
    }
}

/// The quantiles that are reported.
pub(super) const QUANTILES: [(&str, f64); 4] =
    [("p50", 0.5), ("p90", 0.9), ("p99", 0.99), ("p999", 0.999)];

fn latency_json(latency: &Histogram) -> Value {
    if latency.total() == 0 {
        return Value::Null;
    }
    let mut fields = json!({
        "count": latency.total(),
        "mean": rounded(latency.mean() / 1e3),
        "min": microseconds(latency.min()),
        "max": microseconds(latency.max()),
    });
    for (name, quantile) in QUANTILES {
        fields[name] = json!(microseconds(latency.quantile(quantile)));
    }
    fields
}

fn latency_line(latency: &Histogram) -> String {
    let mut line = String::new();
    for (name, quantile) in QUANTILES {
        let name = if name == "p999" { "p99.9" } else { name };
        let _ = write!(line, "{name} {}, ", time(latency.quantile(quantile)));
    }
    line + "max " + &time(latency.max())
}

/// Nanoseconds with a unit and three digits.
pub(super) fn time(nanoseconds: u64) -> String {
    let (value, unit) = match nanoseconds {
        0..1_000_000 => (nanoseconds as f64 / 1e3, "µs"),
        1_000_000..1_000_000_000 => (nanoseconds as f64 / 1e6, "ms"),
        _ => (nanoseconds as f64 / 1e9, "s"),
    };
    let digits = if value < 10.0 { 2 } else { usize::from(value < 100.0) };
    format!("{value:.digits$} {unit}")
}

pub(super) fn bytes(count: f64) -> String {
    match count {
        0.0..1e4 => format!("{count:.0} B"),
        1e4..1e6 => format!("{:.1} kB", count / 1e3),
        _ => format!("{:.1} MB", count / 1e6),
    }
}

/// A whole number, its digits in groups of three.
pub(super) fn grouped(number: f64) -> String {
    let digits = format!("{:.0}", number.abs());
    let mut text = String::from(if number < 0.0 { "-" } else { "" });
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

fn microseconds(nanoseconds: u64) -> f64 {
    rounded(nanoseconds as f64 / 1e3)
}

/// Three digits behind the point are enough for everything here.
pub(super) fn rounded(value: f64) -> f64 {
    (value * 1e3).round() / 1e3
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_written_to_be_read() {
        let times = [(0, "0.00 µs"), (12_345, "12.3 µs"), (1_234_567, "1.23 ms")];
        for (nanoseconds, wanted) in times {
            assert_eq!(time(nanoseconds), wanted);
        }
        assert_eq!(time(300_000_000), "300 ms");
        assert_eq!(time(2_000_000_000), "2.00 s");
        let numbers = [(0.0, "0"), (999.0, "999"), (1_000.0, "1,000"), (1_234_567.0, "1,234,567")];
        for (number, wanted) in numbers {
            assert_eq!(grouped(number), wanted);
        }
        assert_eq!(grouped(-1_234.0), "-1,234");
        assert_eq!([bytes(125.0), bytes(2.5e6), bytes(1e8)], ["125 B", "2.5 MB", "100.0 MB"]);
    }

    #[test]
    fn any_fault_is_a_fault() {
        let tally = Tally { received: 5, foreign: 3, ..Tally::default() };
        let clean = Outcome { sent: 5, expected: 5, tally, ..Outcome::default() };
        assert!(clean.is_clean());
        let faults: [fn(&mut Outcome); 6] = [
            |outcome| outcome.expected += 1,
            |outcome| outcome.tally.duplicates += 1,
            |outcome| outcome.tally.disorder += 1,
            |outcome| outcome.tally.damaged += 1,
            |outcome| outcome.tally.misdelivered += 1,
            |outcome| outcome.closed_early += 1,
        ];
        for fault in faults {
            let mut outcome = clean.clone();
            fault(&mut outcome);
            assert!(!outcome.is_clean(), "{outcome:?}");
        }
    }
}
