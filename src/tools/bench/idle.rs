//! `idle`: what a connection costs the server while nothing happens.
//!
//! ```text
//! memory of --pid:  before -> all open -> after traffic -> in the end
//!                      |         |             |              |
//!                      0    N connections   --active of    --duration
//!                                           them carried   later
//!                                           a message
//! ```

use std::collections::VecDeque;
use std::time::Duration;

use super::fleet::{Fleet, Part};
use super::histogram::Histogram;
use super::load::fleet;
use super::pace::Pace;
use super::process::resident_bytes;
use super::recorder::Recorder;
use super::report::{Flow, Memory, Outcome, Report};
use super::settings::{PaceSetting, Settings};
use super::template::{Route, User};
use super::{BenchError, Progress};
use crate::net::client::{Clients, Nanos};

/// Opens the connections, sends a message over some of them, holds all open, closes.
///
/// # Errors
///
/// If they cannot be opened.
pub fn run(
    settings: &Settings,
    clients: Clients,
    progress: &mut Progress<'_>,
) -> Result<Report, BenchError> {
    let parts = parts(settings);
    let (mut fleet, expected) = fleet(settings, clients, &parts);
    let mut memory = Memory { connections: settings.connections, ..Memory::default() };
    let resident = || settings.pid.and_then(resident_bytes);

    memory.before = resident();
    let started = fleet.clients.now();
    fleet.open(settings, &parts, progress)?;
    memory.open_seconds =
        fleet.clients.now().since(started).saturating_sub(settings.settle).as_secs_f64();
    memory.open = resident();

    let each = match settings.pace {
        PaceSetting::Pipeline(each) => each,
        PaceSetting::Rate(_) => 1,
    };
    let pace = Pace::closed(each, parts.len());
    let now = fleet.clients.now();
    let mut traffic = Traffic {
        each: each.into(),
        waiting: (0..(settings.active as usize).min(parts.len())).collect(),
        outstanding: 0,
        sent: 0,
        recorder: Recorder::new(now, FOREVER),
        pace,
    };
    let mut ready = Vec::new();
    let mut last = now;
    while (traffic.outstanding > 0 || !traffic.waiting.is_empty()) && !fleet.interrupted {
        traffic.send(&mut fleet);
        fleet.wait(&mut ready, STEP)?;
        let now = fleet.clients.now();
        for event in &ready {
            let advanced = traffic.receive(&mut fleet, *event, &expected, parts.len());
            if advanced {
                last = now;
            }
        }
        progress.show(now, || format!("{} messages received", fleet.tally.received));
        if now.since(last) > settings.drain {
            break;
        }
    }
    hold(&mut fleet, SETTLE, progress)?;
    memory.after_traffic = resident();
    hold(&mut fleet, settings.duration, progress)?;
    memory.end = resident();
    let outcome = Outcome::new(&fleet, traffic.sent, traffic.sent);
    fleet.close()?;
    Ok(Report {
        settings: settings.clone(),
        outcome,
        flow: Flow::default(),
        latency: Histogram::new(),
        answers: None,
        lag: None,
        intervals: Vec::new(),
        server: None,
        own: None,
        memory: Some(memory),
        compression: fleet.compression.map(|shared| shared.volume),
    })
}

/// With users who are registered, each writes to the next one; without, to itself.
fn parts(settings: &Settings) -> Vec<Part> {
    let count = settings.connections;
    let neighbour = |number: u32| match settings.register {
        Some(_) => (number + 1) % count,
        None => number,
    };
    let part = |number: u32| {
        let user = |number| User { role: b'u', number };
        let route = Route { from: user(number), to: user(neighbour(number)) };
        // Whose message comes is the inverse of to whom it goes.
        let receives = match settings.register {
            Some(_) => (number + count - 1) % count,
            None => number,
        };
        Part { user: user(number), sends: Some((number, route)), receives: Some(receives) }
    };
    (0..count).map(part).collect()
}

/// The messages of idle connections, a few at a time.
struct Traffic {
    /// How many each connection sends.
    each: u64,
    waiting: VecDeque<usize>,
    outstanding: u64,
    sent: u64,
    pace: Pace,
    recorder: Recorder,
}

impl Traffic {
    fn send(&mut self, fleet: &mut Fleet) {
        while self.outstanding < OUTSTANDING_MAX
            && let Some(id) = self.waiting.pop_front()
        {
            self.outstanding += self.each;
            self.sent += self.each;
            fleet.grant(id, self.each);
            fleet.flush(id);
        }
    }

    fn receive(
        &mut self,
        fleet: &mut Fleet,
        event: crate::net::client::Ready,
        expected: &super::intake::Expected,
        count: usize,
    ) -> bool {
        if event.writable {
            fleet.flush(event.id);
        }
        let sender = fleet.conns[event.id].part.receives.map_or(event.id, |from| from as usize);
        let sent = fleet.granted(sender % count);
        let advanced = fleet.receive(event, sent, expected, &self.pace, &mut self.recorder);
        self.outstanding = self.outstanding.saturating_sub(advanced);
        advanced > 0
    }
}

/// Holds all connections open for a while, answering pings.
fn hold(
    fleet: &mut Fleet,
    duration: Duration,
    progress: &mut Progress<'_>,
) -> Result<(), BenchError> {
    let mut ready = Vec::new();
    let until: Nanos = fleet.clients.now().after(duration);
    loop {
        let now = fleet.clients.now();
        if now >= until || fleet.interrupted {
            return Ok(());
        }
        let left = until.since(now);
        let seconds = left.as_secs_f64().ceil();
        progress.show(now, || format!("holding them open, {seconds:.0} s left"));
        fleet.wait(&mut ready, left.min(STEP))?;
        for event in &ready {
            fleet.ignore(*event);
        }
        fleet.acknowledge();
    }
}

const OUTSTANDING_MAX: u64 = 100;
const STEP: Duration = Duration::from_millis(100);

/// From the last message to the look at the memory.
const SETTLE: Duration = Duration::from_millis(200);

const FOREVER: Duration = Duration::from_secs(u32::MAX as u64);
