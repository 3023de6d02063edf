//! The loop behind `echo`, `direct` and `fanout`.
//!
//! ```text
//! open -> settle -> warm-up -> measurement -> drain -> close
//!                   '-- messages are sent --' '- those under way are waited for
//! ```

use std::ops::Range;
use std::rc::Rc;
use std::time::Duration;

use super::chat::{Chat, Form};
use super::compressed::Compression;
use super::fleet::{Fleet, Part};
use super::histogram::Histogram;
use super::intake::{Expected, Layout};
use super::opening::random_key;
use super::outgoing::{Filler, Outgoing, content};
use super::pace::Pace;
use super::process::{self, Usage};
use super::recorder::Recorder;
use super::report::{Flow, Outcome, Report, Side};
use super::settings::{BARE, Dialect, Mode, PaceSetting, Settings};
use super::stamp::STAMP_LEN;
use super::template::{Route, User, render};
use super::{BenchError, Progress, message_template};
use crate::net::client::{Clients, Nanos, Ready};

/// Opens the connections, sends, measures, closes.
///
/// # Errors
///
/// If there is nothing to measure.
pub fn run(
    settings: &Settings,
    clients: Clients,
    progress: &mut Progress<'_>,
) -> Result<Report, BenchError> {
    let parts = parts(settings.mode, settings.connections);
    let (mut fleet, expected) = fleet(settings, clients, &parts);
    fleet.open(settings, &parts, progress)?;
    let mut load = Load::new(settings, fleet, expected, &parts);
    load.run(progress)?;
    load.fleet.close()?;
    Ok(load.report())
}

/// No connection yet, the messages of a run, and what is to come of them.
pub(super) fn fleet(settings: &Settings, clients: Clients, parts: &[Part]) -> (Fleet, Expected) {
    let template = message_template(settings);
    let bare = template == BARE;
    let layout = if bare { Layout::Bare } else { Layout::Within };
    // What stands within a text is text.
    let filler = match settings.filler {
        Filler::Binary if !bare => Filler::Ascii,
        filler => filler,
    };
    let content = content(settings.size, filler);
    let route = parts.iter().find_map(|part| part.sends).map_or(NOBODY, |(_, route)| route);
    let message = render(template, route, &content);
    let message = message.expect("invariant: Settings::check has rendered it");
    let (len, key) = (content.len(), random_key());
    let (verify, opcode) = (settings.verify, filler.opcode());
    if settings.deflate {
        let form = if bare { Form::Json } else { Form::Prose };
        let chat = Rc::new(Chat::new(len.saturating_sub(STAMP_LEN), form));
        let outgoing = Outgoing::unframed(&message, len, Rc::clone(&chat));
        let expected = Expected { content, chat: Some(chat), opcode, layout, verify };
        let fleet = Fleet::new(clients, outgoing, key, settings.protocol);
        return (fleet.with_compression(Some(Compression::new())), expected);
    }
    let copies = match settings.pace {
        PaceSetting::Pipeline(pipeline) => pipeline as usize,
        PaceSetting::Rate(_) => usize::MAX,
    };
    let outgoing = Outgoing::new(&message, len, opcode, key, copies);
    let expected = Expected { content, chat: None, opcode, layout, verify };
    (Fleet::new(clients, outgoing, key, settings.protocol), expected)
}

/// Who does what.
pub(super) fn parts(mode: Mode, count: u32) -> Vec<Part> {
    let user = |role, number| User { role, number };
    match mode {
        Mode::Direct | Mode::Resume => (0..count)
            .flat_map(|pair| {
                let (from, to) = (user(b's', pair), user(b'r', pair));
                let sends = Some((pair, Route { from, to }));
                let receiver = Part { user: to, sends: None, receives: Some(pair) };
                [Part { user: from, sends, receives: None }, receiver]
            })
            .collect(),
        Mode::Fanout => {
            let from = user(b's', 0);
            let sends = Some((0, Route { from, to: from }));
            let subscriber =
                |number| Part { user: user(b'r', number), sends: None, receives: Some(0) };
            let publisher = Part { user: from, sends, receives: None };
            std::iter::once(publisher).chain((0..count).map(subscriber)).collect()
        }
        Mode::Echo | Mode::Idle => (0..count)
            .map(|number| {
                let from = user(b'u', number);
                let sends = Some((number, Route { from, to: from }));
                Part { user: from, sends, receives: Some(number) }
            })
            .collect(),
    }
}

/// A run under way.
struct Load<'a> {
    settings: &'a Settings,
    fleet: Fleet,
    expected: Expected,
    pace: Pace,
    recorder: Recorder,
    /// How late messages of an open loop were sent.
    lag: Histogram,
    /// How many receivers each message has.
    copies: u64,
    /// How many messages the senders were told to send, and how far the streams have come.
    granted: u64,
    advanced: u64,
    fanout: Fanout,
    /// Senders that have been told to send since the last write.
    dirty: Vec<usize>,
    begun: Option<Mark>,
    ended: Option<Mark>,
    /// When something came last.
    last: Nanos,
    /// Whether the measurement is over.
    draining: bool,
    /// With `--v1`: when everybody has acknowledged what had come.
    acknowledged: Nanos,
}

/// The books at one moment.
#[derive(Clone, Copy)]
struct Mark {
    at: Nanos,
    received: u64,
    bytes: u64,
    sent_bytes: u64,
    server: Option<Usage>,
    own: Option<Usage>,
}

/// How many subscribers each message that is under way has reached.
struct Fanout {
    /// By sequence number, modulo their count: a power of two, and at least the pipeline.
    reached: Vec<u64>,
    /// Every message below this has reached all.
    done: u64,
}

impl Fanout {
    /// One more of `copies` subscribers has these messages.
    #[inline]
    fn reach(&mut self, messages: Range<u64>, copies: u64) {
        // The remainder of a division by a power of two, without the division.
        let last = self.reached.len() as u64 - 1;
        for sequence in messages {
            self.reached[(sequence & last) as usize] += 1;
        }
        while self.reached[(self.done & last) as usize] == copies {
            self.reached[(self.done & last) as usize] = 0;
            self.done += 1;
        }
    }
}

impl<'a> Load<'a> {
    fn new(
        settings: &'a Settings,
        mut fleet: Fleet,
        expected: Expected,
        parts: &[Part],
    ) -> Load<'a> {
        let is_v1 = settings.dialect == Dialect::V1;
        let streams = parts.iter().filter(|part| part.sends.is_some()).count();
        let now = fleet.clients.now();
        let (pace, pipeline) = match settings.pace {
            PaceSetting::Pipeline(pipeline) => {
                // When a message was sent is asked for again when its answer comes, which may be
                // after the next was sent.
                let places = if is_v1 { pipeline.saturating_mul(4) } else { pipeline };
                (Pace::closed(places, streams), pipeline as usize)
            }
            PaceSetting::Rate(rate) => (Pace::open(rate, streams, now), 1),
        };
        let recorder = Recorder::new(now.after(settings.warmup), settings.duration);
        fleet.answers = is_v1.then(|| Recorder::new(now.after(settings.warmup), settings.duration));
        Load {
            settings,
            fleet,
            expected,
            pace,
            recorder,
            lag: Histogram::new(),
            copies: if settings.mode == Mode::Fanout { settings.connections.into() } else { 1 },
            granted: 0,
            advanced: 0,
            fanout: Fanout { reached: vec![0; pipeline.next_power_of_two()], done: 0 },
            dirty: Vec::new(),
            begun: None,
            ended: None,
            last: now,
            draining: false,
            acknowledged: now,
        }
    }

    fn run(&mut self, progress: &mut Progress<'_>) -> Result<(), BenchError> {
        let mut ready = Vec::new();
        self.begin();
        loop {
            let timeout = self.timeout(self.fleet.clients.now());
            self.fleet.wait(&mut ready, timeout)?;
            if self.turn(self.fleet.clients.now(), progress) {
                return Ok(());
            }
            for event in &ready {
                self.serve(*event);
            }
            self.release();
            while let Some(id) = self.dirty.pop() {
                self.fleet.flush(id);
            }
        }
    }

    /// The first messages of a closed loop.
    fn begin(&mut self) {
        let PaceSetting::Pipeline(pipeline) = self.settings.pace else { return };
        let now = self.fleet.clients.now();
        for id in 0..self.fleet.conns.len() {
            if self.fleet.conns[id].part.sends.is_some() {
                self.grant(id, pipeline.into(), now);
                self.fleet.flush(id);
            }
        }
    }

    /// How long to wait: until the next moment at which something is to be done.
    fn timeout(&self, now: Nanos) -> Duration {
        let mut next = now.after(TIMEOUT_MAX);
        for at in [self.recorder.from(), self.recorder.until(), self.recorder.next_tick()] {
            if at > now {
                next = next.min(at);
            }
        }
        // Waiting is exact to a millisecond only. The rest of the time to a due message is spun.
        match self.pace.next_due() {
            Some(due) if !self.draining => due.min(next).since(now).saturating_sub(SPIN),
            _ => next.since(now),
        }
    }

    /// What is to be done at certain times. Returns whether the run is over.
    fn turn(&mut self, now: Nanos, progress: &mut Progress<'_>) -> bool {
        let received = self.fleet.tally.received;
        if self.begun.is_none() && now >= self.recorder.from() {
            self.begun = Some(self.mark(now));
            self.recorder.begin(received, now);
        }
        if self.fleet.interrupted || !self.fleet.any_open() {
            self.recorder.stop(now);
        }
        if !self.draining && now >= self.recorder.until() {
            self.draining = true;
            self.ended = Some(self.mark(now));
            self.last = now;
            if self.begun.is_some() {
                self.recorder.tick(received, now);
            }
        } else if !self.draining && self.begun.is_some() && now >= self.recorder.next_tick() {
            self.recorder.tick(received, now);
        }
        if self.settings.dialect == Dialect::V1 && now.since(self.acknowledged) >= ACK_AFTER {
            self.acknowledged = now;
            self.fleet.acknowledge();
        }
        progress.show(now, || self.progress(now));
        let is_answered =
            self.settings.dialect == Dialect::Plain || self.fleet.tally.answered >= self.granted;
        self.draining
            && (self.advanced >= self.granted * self.copies && is_answered
                || now.since(self.last) >= self.settings.drain
                || !self.fleet.any_open())
    }

    fn progress(&self, now: Nanos) -> String {
        let received = self.fleet.tally.received;
        let left = self.recorder.until().since(now).as_secs_f64().ceil();
        let phase = match (&self.begun, self.draining) {
            (None, _) => "warming up",
            (_, true) => "waiting for the rest",
            _ => "measuring",
        };
        format!("{phase}: {received} messages received, {left:.0} s left")
    }

    fn mark(&self, at: Nanos) -> Mark {
        Mark {
            at,
            received: self.fleet.tally.received,
            bytes: self.fleet.tally.bytes,
            sent_bytes: self.fleet.tally.sent_bytes,
            server: self.settings.pid.and_then(process::usage),
            own: process::own_usage(),
        }
    }

    #[inline]
    fn serve(&mut self, event: Ready) {
        if event.readable || event.closing {
            let sender = self.sender(event.id);
            let sent = self.fleet.granted(sender);
            let fleet = &mut self.fleet;
            let before = fleet.tally.received;
            let recorder = &mut self.recorder;
            let advanced = fleet.receive(event, sent, &self.expected, &self.pace, recorder);
            if advanced > 0 {
                self.progressed(event.id, sender, advanced);
            } else if self.fleet.tally.received > before {
                self.last = self.fleet.clients.now();
            }
        }
        if event.writable {
            self.fleet.flush(event.id);
        }
    }

    /// The connection that sends what this one receives.
    #[inline]
    fn sender(&self, id: usize) -> usize {
        match self.settings.mode {
            Mode::Direct => id & !1,
            Mode::Fanout => 0,
            Mode::Echo | Mode::Idle | Mode::Resume => id,
        }
    }

    /// A receiver has come further: in a closed loop the sender may send as many again.
    #[inline]
    fn progressed(&mut self, receiver: usize, sender: usize, advanced: u64) {
        self.advanced += advanced;
        let now = self.fleet.clients.now();
        self.last = now;
        if self.draining || !matches!(self.pace, Pace::Closed { .. }) {
            return;
        }
        if self.settings.mode != Mode::Fanout {
            self.grant(sender, advanced, now);
            return self.fleet.flush(sender);
        }
        let next = self.fleet.received(receiver);
        let before = self.fanout.done;
        self.fanout.reach(next - advanced..next, self.copies);
        if self.fanout.done > before {
            self.grant(sender, self.fanout.done - before, now);
            self.dirty.push(sender);
        }
    }

    #[inline]
    fn grant(&mut self, id: usize, count: u64, now: Nanos) {
        let Some((stream, _)) = self.fleet.conns[id].part.sends else { return };
        let first = self.fleet.granted(id);
        for sequence in first..first + count {
            self.pace.sent(stream, sequence, now);
        }
        self.granted += count;
        self.fleet.grant(id, count);
    }

    /// Sends what is due in an open loop.
    fn release(&mut self) {
        if self.draining || self.pace.next_due().is_none() {
            return;
        }
        let now = self.fleet.clients.now();
        let now_or_end = now.min(Nanos(self.recorder.until().0.saturating_sub(1)));
        let stride = if self.settings.mode == Mode::Direct { 2 } else { 1 };
        // A budget: however late we are, what has come is read now and then.
        for _ in 0..RELEASES_MAX {
            let Some((stream, due)) = self.pace.release(now_or_end) else { return };
            let id = stream as usize * stride;
            if due >= self.recorder.from() {
                self.lag.record(now.since(due).as_nanos() as u64);
            }
            self.granted += 1;
            self.fleet.grant(id, 1);
            self.dirty.push(id);
        }
    }

    fn report(mut self) -> Report {
        let open_loop = matches!(self.pace, Pace::Open { .. });
        let (begun, ended) = (self.begun, self.ended);
        let between = |of: fn(&Mark) -> Option<Usage>, pid: Option<u32>| {
            let used = of(ended.as_ref()?)?.since(of(begun.as_ref()?)?);
            Some(Side::new(used, pid.and_then(process::resident_bytes)))
        };
        let server = between(|mark| mark.server, self.settings.pid);
        let own = between(|mark| mark.own, Some(std::process::id()));
        let flow = match (begun, ended) {
            (Some(begun), Some(ended)) => Flow {
                seconds: ended.at.since(begun.at).as_secs_f64(),
                messages: ended.received - begun.received,
                bytes: ended.bytes - begun.bytes,
                sent_bytes: ended.sent_bytes - begun.sent_bytes,
            },
            _ => Flow::default(),
        };
        let (latency, intervals) = self.recorder.finish();
        let answers = self.fleet.answers.take();
        let compression = self.fleet.compression.as_ref().map(|shared| shared.volume.clone());
        Report {
            settings: self.settings.clone(),
            outcome: Outcome::new(&self.fleet, self.granted, self.granted * self.copies),
            flow,
            latency,
            answers: answers.map(|answers| answers.finish().0),
            lag: open_loop.then_some(self.lag),
            intervals,
            server,
            own,
            memory: None,
            compression,
        }
    }
}

const NOBODY: Route =
    Route { from: User { role: b'u', number: 0 }, to: User { role: b'u', number: 0 } };

/// With `--v1`: after so long everything is acknowledged.
const ACK_AFTER: Duration = Duration::from_millis(250);

const TIMEOUT_MAX: Duration = Duration::from_millis(100);

/// How long before a message is due waiting turns into spinning.
const SPIN: Duration = Duration::from_millis(2);

/// Messages that an open loop sends between two looks at what has come.
const RELEASES_MAX: usize = 10_000;
