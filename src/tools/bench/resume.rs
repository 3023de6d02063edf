//! `resume`: how fast what was kept for users comes when they are back.
//!
//! ```text
//! receivers say hello, and go          now they have logs, and a place in them
//! senders send --kept to each          64 unanswered at most, and each is answered
//! receivers are back, and say hello    here the measurement begins
//! all has come, and in order           here it ends
//! ```
//!
//! The latency of a receiver is from the beginning to its last message. Who wants to know what
//! others wait meanwhile runs another load generator beside this one.

use std::time::Duration;

use super::dialect::{Position, resume};
use super::fleet::{Conn, Fleet, Part};
use super::histogram::Histogram;
use super::intake::Expected;
use super::load::{fleet, parts};
use super::pace::Pace;
use super::process::{self, Usage};
use super::recorder::Recorder;
use super::report::{Flow, Outcome, Report, Side};
use super::settings::Settings;
use super::{BenchError, Progress};
use crate::net::client::{Clients, Nanos};
use crate::tools::random::random;

/// Sends what is to be kept, has it fetched, and tells how long that took.
///
/// # Errors
///
/// If there is nothing to measure.
pub fn run(
    settings: &Settings,
    clients: Clients,
    progress: &mut Progress<'_>,
) -> Result<Report, BenchError> {
    let pairs = parts(settings.mode, settings.connections);
    let (senders, receivers): (Vec<Part>, Vec<Part>) =
        pairs.into_iter().partition(|part| part.sends.is_some());
    // Signals go to the senders, who are there all the time.
    let (mut away, _) = fleet(settings, Clients::new()?, &receivers);
    away.open(settings, &receivers, progress)?;
    let places: Vec<Position> = away.conns.iter().map(welcome).collect();
    away.close()?;
    let (mut posting, _) = fleet(settings, clients, &senders);
    posting.open(settings, &senders, progress)?;
    post(settings, &mut posting, progress)?;

    let (mut back, expected) = fleet(settings, Clients::new()?, &receivers);
    // What comes while others open would be ignored.
    back.greeting = None;
    back.open_only(settings, &receivers, progress)?;
    let mut fetch = Fetch::new(settings, &back);
    let client = random() as u32;
    for (id, place) in places.iter().enumerate() {
        back.say(id, &resume(client, place));
    }
    fetch.run(settings, &mut back, &expected, &mut posting, progress)?;

    let kept = u64::from(settings.kept) * u64::from(settings.connections);
    let mut outcome = Outcome::new(&back, kept, kept);
    outcome.tally.answered = posting.tally.answered;
    let refused = posting.conns.iter().filter_map(|conn| conn.duty.as_ref());
    outcome.tally.refused += refused.map(|duty| duty.refused).sum::<u64>();
    outcome.interrupted = posting.interrupted;
    outcome.closed_early += posting.lost;
    let report = fetch.report(settings, &back, outcome);
    back.close()?;
    posting.close()?;
    Ok(report)
}

/// Where a receiver was when it went.
fn welcome(conn: &Conn) -> Position {
    conn.duty.as_ref().and_then(|duty| duty.welcome.clone()).unwrap_or_default()
}

/// Every sender sends what is to be kept.
fn post(
    settings: &Settings,
    fleet: &mut Fleet,
    progress: &mut Progress<'_>,
) -> Result<(), BenchError> {
    let kept = u64::from(settings.kept);
    let mut ready = Vec::new();
    let mut last = (0, fleet.clients.now());
    loop {
        let mut answered = 0;
        for id in 0..fleet.conns.len() {
            let done = fleet.conns[id].duty.as_ref().map_or(0, |duty| duty.answered);
            answered += done;
            let may_have_sent = kept.min(done + INFLIGHT_MAX);
            let more = may_have_sent.saturating_sub(fleet.granted(id));
            if more > 0 {
                fleet.grant(id, more);
                fleet.flush(id);
            }
        }
        let now = fleet.clients.now();
        if answered > last.0 {
            last = (answered, now);
        }
        let all = kept * fleet.conns.len() as u64;
        if answered >= all || fleet.interrupted || now.since(last.1) > settings.drain {
            // What the senders were told: their books go into the report.
            fleet.tally.answered = answered;
            return fleet.check_all_open();
        }
        progress.show(now, || format!("{answered} of {all} messages kept"));
        fleet.wait(&mut ready, STEP)?;
        for event in &ready {
            fleet.ignore(*event);
        }
    }
}

/// Receivers on their way to the end of their logs.
struct Fetch {
    begun: Nanos,
    ended: Nanos,
    server: Option<(Usage, Option<Usage>)>,
    own: Option<(Usage, Option<Usage>)>,
    latency: Histogram,
}

impl Fetch {
    fn new(settings: &Settings, fleet: &Fleet) -> Fetch {
        let now = fleet.clients.now();
        Fetch {
            begun: now,
            ended: now,
            server: settings.pid.and_then(process::usage).map(|usage| (usage, None)),
            own: process::own_usage().map(|usage| (usage, None)),
            latency: Histogram::new(),
        }
    }

    fn run(
        &mut self,
        settings: &Settings,
        fleet: &mut Fleet,
        expected: &Expected,
        posting: &mut Fleet,
        progress: &mut Progress<'_>,
    ) -> Result<(), BenchError> {
        let kept = u64::from(settings.kept);
        let all = kept * u64::from(settings.connections);
        let pace = Pace::closed(1, fleet.conns.len());
        // Nothing is recorded message by message: none was sent in the measured time.
        let mut recorder = Recorder::new(Nanos(u64::MAX), Duration::ZERO);
        let (mut ready, mut last) = (Vec::new(), self.begun);
        while fleet.tally.received < all && !posting.interrupted && fleet.any_open() {
            fleet.wait(&mut ready, STEP)?;
            let now = fleet.clients.now();
            for event in &ready {
                let before = fleet.received(event.id);
                let advanced = fleet.receive(*event, kept, expected, &pace, &mut recorder);
                if event.writable {
                    fleet.flush(event.id);
                }
                if advanced > 0 {
                    last = fleet.clients.now();
                }
                if before < kept && before + advanced >= kept {
                    self.latency.record(last.since(self.begun).as_nanos() as u64);
                }
            }
            progress.show(now, || format!("{} of {all} messages received", fleet.tally.received));
            if now.since(last) > settings.drain {
                break;
            }
            if ready.is_empty() {
                fleet.acknowledge();
            }
        }
        self.ended = last;
        for (side, pid) in
            [(&mut self.server, settings.pid), (&mut self.own, Some(std::process::id()))]
        {
            if let Some((_, after)) = side {
                *after = pid.and_then(process::usage);
            }
        }
        Ok(())
    }

    fn report(self, settings: &Settings, fleet: &Fleet, outcome: Outcome) -> Report {
        let side = |side: Option<(Usage, Option<Usage>)>, pid: Option<u32>| {
            let (before, after) = side?;
            Some(Side::new(after?.since(before), pid.and_then(process::resident_bytes)))
        };
        Report {
            settings: settings.clone(),
            outcome,
            flow: Flow {
                seconds: self.ended.since(self.begun).as_secs_f64(),
                messages: fleet.tally.received,
                bytes: fleet.tally.bytes,
                sent_bytes: fleet.tally.sent_bytes,
            },
            latency: self.latency,
            answers: None,
            lag: None,
            intervals: Vec::new(),
            server: side(self.server, settings.pid),
            own: side(self.own, Some(std::process::id())),
            memory: None,
            compression: None,
        }
    }
}

/// So many messages of one sender may be unanswered.
const INFLIGHT_MAX: u64 = 64;
const STEP: Duration = Duration::from_millis(20);
