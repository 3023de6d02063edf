//! The loop: network, standard streams, clock and state file, tied together.
//!
//! ```text
//!   wait -> read -> lines -> clock -> what is to be said -> STORE -> write -> print -> wait
//! ```
//!
//! This module does not know the dialects.

use std::io;
use std::path::Path;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::Value;

use super::ending::{Ending, Left};
use super::link::{Heard, Link, Request};
use super::settings::{Choice, InputEnd, Reconnect, Settings};
use super::show::Form;
use super::talk::{Dialect, Printed, Talk};
use crate::net::Io;
use crate::net::client::{ClientError, Clients, Ready, Wake, resolve};
use crate::net::keep::replace_file;
use crate::net::streams::{Line, Lines, Printer};
use crate::timer::Millis;
use crate::tools::client::{Backoff, End};
use crate::tools::random::random;
use crate::wire::CloseCode;

/// Speaks with the server until the end of input, a signal, or an end for good.
///
/// # Errors
///
/// If the operating system has no event queue or no signals for us.
pub fn run(settings: &Settings) -> Result<Ending, ClientError> {
    let clients = Clients::new()?.with_signals()?;
    let alarm = clients.alarm()?;
    let mut driver = Driver {
        settings,
        talk: Talk::new(settings),
        clients,
        lines: Lines::start(alarm.clone()),
        printer: Printer::start(alarm),
        line: None,
        dial_at: Some(Millis(0)),
        backoff: Backoff::default(),
        has_stood: false,
        is_input_over: false,
        is_interrupted: false,
        stage: Stage::Running,
        is_busy: false,
        buffer: vec![0; READ_BYTES],
        heard: Vec::new(),
    };
    if let Form::People { is_shared: true, .. } = settings.form {
        driver.talk.note("help", "", "/help says what can be typed");
    }
    driver.run()
}

struct Driver<'a> {
    settings: &'a Settings,
    talk: Talk,
    clients: Clients,
    lines: Lines,
    printer: Printer,
    line: Option<Wire>,
    /// When to connect, if there is no connection.
    dial_at: Option<Millis>,
    backoff: Backoff,
    /// Some connection has been of use.
    has_stood: bool,
    is_input_over: bool,
    is_interrupted: bool,
    stage: Stage,
    /// The last turn did something that makes another one useful.
    is_busy: bool,
    buffer: Vec<u8>,
    heard: Vec<Heard>,
}

/// A connection and its socket.
struct Wire {
    id: usize,
    link: Link,
    begun: Millis,
    /// When anything came last.
    heard: Millis,
    /// Since then it was asked whether somebody is there.
    is_pinged: bool,
    may_have_more: bool,
    /// The server was asked to say when it has worked off everything.
    barrier: Barrier,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Barrier {
    None,
    Sent,
    Passed,
}

/// What became of what was to be said.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Filled {
    /// There was nothing, or no room.
    Nothing,
    Some,
    /// It could not be stored, and must not leave.
    Stopped,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Stage {
    Running,
    /// A Close was sent; the server's is waited for until then.
    Closing(Millis),
    /// It is over, perhaps because of this.
    Over(Option<String>),
}

impl Driver<'_> {
    fn run(mut self) -> Result<Ending, ClientError> {
        let mut ready = Vec::new();
        loop {
            self.turn();
            if let Stage::Over(why) = &self.stage {
                let why = why.clone();
                return self.finish(why);
            }
            let timeout = if self.is_busy { Duration::ZERO } else { self.timeout() };
            let wake = self.clients.wait(&mut ready, timeout)?;
            if wake == Wake::Interrupted {
                self.is_interrupted = true;
                self.quit();
            }
            for event in &ready {
                self.ready(*event);
            }
        }
    }

    fn now(&self) -> Millis {
        Millis(self.clients.now().0 / 1_000_000)
    }

    fn turn(&mut self) {
        let now = self.now();
        let units = self.printer.take_units();
        self.talk.session.processed(units, now);
        if self.dial_at.is_some_and(|at| at <= now) && self.has_output_room() {
            self.dial(now);
        }
        self.read(now);
        let has_read = self.take_lines();
        self.talk.session.tick(now);
        self.check_silence(now);
        self.check_end(now);
        let filled = self.fill();
        if filled != Filled::Stopped {
            self.write(now);
        }
        self.print();
        if self.printer.is_broken() {
            self.quit();
        }
        // What made room here is followed by no event.
        self.is_busy = has_read || filled == Filled::Some;
    }

    fn has_output_room(&self) -> bool {
        self.printer.waiting_bytes() < OUTPUT_MAX_BYTES
    }

    /// Begins a connection.
    fn dial(&mut self, now: Millis) {
        self.dial_at = None;
        let url = &self.settings.url;
        self.talk.note("state", r#""state":"connecting""#, "");
        let request = Request {
            host: url.authority(),
            target: url.target.clone(),
            protocols: self.protocols(),
            nonce: random().to_be_bytes(),
        };
        let link = match Link::new(request) {
            Ok(link) => link,
            Err(error) => return self.end_for_good(format!("{url}: {error}")),
        };
        let connected = resolve(url.bare_host(), url.port)
            .map_err(|error| error.to_string())
            .and_then(|addr| self.clients.connect(addr, None).map_err(|error| error.to_string()));
        match connected {
            Ok(id) => {
                let (begun, heard, barrier) = (now, now, Barrier::None);
                let (is_pinged, may_have_more) = (false, false);
                let wire = Wire { id, link, begun, heard, is_pinged, may_have_more, barrier };
                self.line = Some(wire);
            }
            Err(why) => self.ended(&End::Lost, "", &why, now),
        }
    }

    fn protocols(&self) -> Vec<String> {
        let dialect = match self.talk.dialect {
            // What was spoken once is spoken again.
            Some(Dialect::V1) => Choice::V1,
            Some(Dialect::Plain) => Choice::Plain,
            None => self.settings.dialect,
        };
        let token = self.settings.token.as_ref();
        let token = token.map(|token| format!("bearer.{}", URL_SAFE_NO_PAD.encode(token)));
        let names: &[&str] = match dialect {
            Choice::Any => &[V1, PLAIN],
            Choice::V1 => &[V1],
            // Any server takes a handshake that offers nothing.
            Choice::Plain if token.is_none() => &[],
            Choice::Plain => &[PLAIN],
        };
        names.iter().map(|name| (*name).to_owned()).chain(token).collect()
    }

    fn ready(&mut self, event: Ready) {
        if let Some(wire) = self.line.as_mut().filter(|wire| wire.id == event.id) {
            wire.may_have_more |= event.readable || event.closing;
        }
    }

    /// Reads until it blocks, or until nobody takes what comes.
    fn read(&mut self, now: Millis) {
        while self.has_output_room() {
            let Some(wire) = self.line.as_mut().filter(|wire| wire.may_have_more) else { return };
            let read = match self.clients.read(wire.id, &mut self.buffer) {
                Io::Moved(0) => return self.ended(&End::Lost, "", "the connection ended", now),
                Io::Moved(read) => read,
                Io::Blocked => {
                    wire.may_have_more = false;
                    return;
                }
                Io::Broken(error) => return self.ended(&End::Lost, "", &error.to_string(), now),
            };
            (wire.heard, wire.is_pinged) = (now, false);
            let mut heard = std::mem::take(&mut self.heard);
            wire.link.feed(&mut self.buffer[..read], &mut heard);
            for item in heard.drain(..) {
                // What follows the end is nobody's.
                if self.line.is_some() {
                    self.hear(item, now);
                }
            }
            self.heard = heard;
            self.print();
        }
    }

    fn hear(&mut self, heard: Heard, now: Millis) {
        match heard {
            Heard::Opened(protocol) => self.opened(protocol.as_deref()),
            Heard::Refused { status, why } => {
                let end = status.map_or(End::Closed(1002), End::Refused);
                let status = status.map(|status| format!("status {status} ")).unwrap_or_default();
                self.ended(&end, "", &format!("refused: {status}{why}"), now);
            }
            Heard::Text(text) => {
                let was_welcome = self.talk.session.is_welcome();
                if let Err(why) = self.talk.hear(&text, now) {
                    return self.fail(&format!("the server breaks the rules: {why}"), now);
                }
                if self.talk.session.is_welcome() && !was_welcome {
                    self.has_stood = true;
                    self.backoff.succeeded();
                    // From where it goes on is stored before anybody hears that it does.
                    self.store();
                }
            }
            Heard::Binary(_) if self.talk.dialect == Some(Dialect::V1) => {
                self.fail("the server breaks the rules: a binary message", now);
            }
            Heard::Binary(bytes) => self.talk.hear_binary(&bytes),
            Heard::Pong(payload) => {
                let wire = self.line.as_mut().filter(|wire| wire.barrier == Barrier::Sent);
                if let Some(wire) = wire.filter(|_| payload == BARRIER) {
                    wire.barrier = Barrier::Passed;
                }
            }
            Heard::Ping => {}
            Heard::Closed { code, reason } => {
                // The answering Close leaves, if it can at once.
                let _ = self.flush();
                let members = format!(r#""code":{code},"reason":{}"#, Value::from(&*reason));
                // Who hears the answer to a Close of his own has closed the connection himself.
                let is_own =
                    matches!(self.stage, Stage::Closing(_)) && code == CloseCode::NORMAL.as_u16();
                let who = if is_own { "this client" } else { "the server" };
                let why = format!("closed by {who}: {code} {reason}");
                self.ended(&End::Closed(code), &members, why.trim_end(), now);
            }
            Heard::Failed(why) => self.fail(&why, now),
        }
    }

    fn opened(&mut self, protocol: Option<&str>) {
        let dialect = if protocol == Some(V1) { Dialect::V1 } else { Dialect::Plain };
        let url = &self.settings.url;
        let (name, sentence) = match (dialect, self.settings.dialect) {
            (Dialect::V1, _) => (V1, format!("connected to {url}")),
            (Dialect::Plain, Choice::Any) => (
                PLAIN,
                format!(
                    "connected to {url}, which speaks only the plain dialect: nothing is \
                     acknowledged, and nothing is kept for who is away"
                ),
            ),
            (Dialect::Plain, Choice::V1) => {
                return self.end_for_good(format!("{url} does not speak {V1}"));
            }
            (Dialect::Plain, Choice::Plain) => (PLAIN, format!("connected to {url}")),
        };
        if dialect == Dialect::Plain {
            self.has_stood = true;
            self.backoff.succeeded();
        }
        self.talk.note("state", &format!(r#""state":"open","dialect":"{name}""#), &sentence);
        self.talk.opened(dialect);
    }

    /// Leaves a server that cannot be understood, and comes back.
    fn fail(&mut self, why: &str, now: Millis) {
        if let Some(wire) = &mut self.line {
            wire.link.close(CloseCode::PROTOCOL_ERROR, "");
        }
        let _ = self.flush();
        self.ended(&End::Lost, "", why, now);
    }

    /// A connection is over, or did not come to be; `members` says more about it to programs.
    fn ended(&mut self, end: &End, members: &str, why: &str, now: Millis) {
        if let Some(wire) = self.line.take() {
            self.clients.close(wire.id);
        }
        self.talk.session.lost();
        let comma = if members.is_empty() { "" } else { "," };
        let why_shown = Value::from(why);
        if self.stage != Stage::Running {
            self.talk.note("closed", &format!(r#"{members}{comma}"why":{why_shown}"#), "");
            self.stage = Stage::Over(None);
            return;
        }
        let may_come_back = match self.settings.reconnect {
            Reconnect::Never => false,
            Reconnect::Once => self.has_stood,
            Reconnect::Always => true,
        };
        if !may_come_back || !end.is_worth_a_try() {
            self.talk.note("closed", &format!(r#"{members}{comma}"why":{why_shown}"#), "");
            return self.end_for_good(format!("{}: {why}", self.settings.url));
        }
        let drawn = self.backoff.next_ms(random() as u64);
        let after = self.talk.session.take_drain_ms().unwrap_or(drawn);
        self.dial_at = Some(now.after(after));
        let members = format!(r#"{members}{comma}"why":{why_shown},"after":{after}"#);
        let seconds = after as f64 / 1_000.0;
        self.talk.note("closed", &members, &format!("{why}; again in {seconds:.1} s"));
    }

    fn end_for_good(&mut self, why: String) {
        self.stage = Stage::Over(Some(why));
    }

    /// Whether there were any.
    fn take_lines(&mut self) -> bool {
        let mut has_read = false;
        while self.stage == Stage::Running
            && !self.is_input_over
            && self.talk.has_room()
            && self.has_output_room()
        {
            match self.lines.take() {
                None => return has_read,
                Some(Line::Text(text)) => self.talk.line(Some(&text)),
                Some(Line::Unreadable) => self.talk.line(None),
                Some(Line::End) => self.is_input_over = true,
            }
            has_read = true;
            if self.talk.has_quit {
                self.quit();
            }
        }
        has_read
    }

    /// Puts what is to be said into the outbox of the connection, and stores what has to be stored
    /// before it leaves.
    fn fill(&mut self) -> Filled {
        let mut filled = Filled::Nothing;
        let is_running = self.stage == Stage::Running;
        if let Some(wire) = self.line.as_mut().filter(|wire| is_running && wire.link.is_open()) {
            while wire.link.out().len() < OUT_MAX_BYTES {
                let Some(text) = self.talk.next_text() else { break };
                wire.link.send(&text);
                filled = Filled::Some;
            }
        }
        if self.store() { filled } else { Filled::Stopped }
    }

    /// Stores what has changed; if that fails it is the end.
    fn store(&mut self) -> bool {
        let Some(path) = &self.settings.state else { return true };
        let stored = store(path, &mut self.talk);
        if let Err(error) = &stored {
            self.stage = Stage::Over(Some(format!("cannot write {}: {error}", path.display())));
        }
        stored.is_ok()
    }

    fn write(&mut self, now: Millis) {
        if let Err(error) = self.flush() {
            self.ended(&End::Lost, "", &error.to_string(), now);
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        let Some(wire) = &mut self.line else { return Ok(()) };
        let out = wire.link.out();
        while !out.is_empty() {
            match self.clients.write(wire.id, out.front()) {
                Io::Moved(written) => out.advance(written),
                Io::Blocked => return Ok(()),
                Io::Broken(error) => return Err(error),
            }
        }
        Ok(())
    }

    fn print(&mut self) {
        while let Some(Printed { text, events }) = self.talk.next_printed() {
            self.printer.print(text, events);
        }
    }

    /// A connection over which nothing comes is asked, and then given up.
    fn check_silence(&mut self, now: Millis) {
        let Some(wire) = &mut self.line else { return };
        if wire.may_have_more {
            // It is we who do not read.
            wire.heard = now;
        }
        let silence = now.since(wire.heard);
        if !wire.link.is_open() && now.since(wire.begun) >= HANDSHAKE_MS {
            self.ended(&End::Lost, "", "no answer to the handshake", now);
        } else if silence >= SILENCE_MS {
            self.ended(&End::Lost, "", "nothing is heard any more", now);
        } else if silence >= SILENCE_MS / 2 && !wire.is_pinged && wire.link.is_open() {
            wire.is_pinged = true;
            wire.link.ping(b"");
        }
    }

    fn check_end(&mut self, now: Millis) {
        if matches!(self.stage, Stage::Closing(until) if until <= now) {
            self.stage = Stage::Over(None);
        }
        let is_last = self.is_input_over && self.settings.input_end == InputEnd::Finish;
        if self.stage != Stage::Running || !is_last || !self.has_stood || !self.talk.is_settled() {
            return;
        }
        if self.talk.dialect == Some(Dialect::V1) {
            return self.quit();
        }
        // The plain dialect does not answer what it takes. But a Ping is answered after all that
        // came before it.
        let Some(wire) = self.line.as_mut().filter(|wire| wire.link.is_open()) else { return };
        match wire.barrier {
            Barrier::None => {
                wire.barrier = Barrier::Sent;
                wire.link.ping(BARRIER);
            }
            Barrier::Sent => {}
            Barrier::Passed => self.quit(),
        }
    }

    /// Ends in good order.
    fn quit(&mut self) {
        if self.stage != Stage::Running {
            return;
        }
        let until = self.now().after(CLOSE_MS);
        self.talk.session.settle_acks();
        let may_leave = self.fill() != Filled::Stopped;
        match self.line.as_mut().filter(|wire| may_leave && wire.link.is_open()) {
            Some(wire) => {
                wire.link.close(CloseCode::NORMAL, "");
                self.stage = Stage::Closing(until);
                let _ = self.flush();
            }
            None if matches!(self.stage, Stage::Over(_)) => {}
            None => self.stage = Stage::Over(None),
        }
    }

    /// Waits until everything is printed, and stores what that means.
    fn finish(mut self, why: Option<String>) -> Result<Ending, ClientError> {
        let mut ready = Vec::new();
        self.print();
        let until = self.now().after(CLOSE_MS);
        while self.printer.waiting_bytes() > 0 && !self.printer.is_broken() {
            // Whoever ends it does not wait for somebody who may never read.
            if self.is_interrupted && self.now() >= until {
                break;
            }
            let wake = self.clients.wait(&mut ready, Duration::from_secs(1))?;
            self.is_interrupted |= wake == Wake::Interrupted;
        }
        let (units, now) = (self.printer.take_units(), self.now());
        self.talk.session.processed(units, now);
        let stored = match &self.settings.state {
            Some(path) => store(path, &mut self.talk),
            None => Ok(()),
        };
        let failed = stored.err().map(|error| format!("the state could not be stored: {error}"));
        let left = Left {
            frames: self.talk.waiting(),
            // Nothing is taken before it is known what the server speaks. What comes after /quit
            // is nobody's.
            lines: if self.talk.has_quit { 0 } else { self.lines.left() },
            refused: self.talk.refused,
            state: self.settings.state.as_deref(),
        };
        Ok(left.ending(why.or(failed)))
    }

    /// How long nothing has to be done.
    fn timeout(&self) -> Duration {
        let now = self.now();
        let closing = match self.stage {
            Stage::Closing(until) => Some(until),
            _ => None,
        };
        let silence = self.line.as_ref().map(|wire| {
            let step = if wire.is_pinged { SILENCE_MS } else { SILENCE_MS / 2 };
            let opening = (!wire.link.is_open()).then(|| wire.begun.after(HANDSHAKE_MS));
            opening.unwrap_or(Millis(u64::MAX)).min(wire.heard.after(step))
        });
        // Who waits for room in the output is woken by it.
        let dial_at = self.dial_at.filter(|_| self.has_output_room());
        let deadlines = [self.talk.session.deadline(), dial_at, closing, silence];
        let next = deadlines.into_iter().flatten().min().unwrap_or(now.after(IDLE_MS));
        Duration::from_millis(next.since(now).clamp(1, IDLE_MS))
    }
}

/// Stores what has changed, if something has.
fn store(path: &Path, talk: &mut Talk) -> io::Result<()> {
    if talk.session.take_changed() {
        replace_file(path, &talk.session.snapshot().to_json())?;
    }
    talk.stored();
    Ok(())
}

const V1: &str = "switchboard.v1";
const PLAIN: &str = "switchboard.plain";
const BARRIER: &[u8] = b"end of input";

const READ_BYTES: usize = 64 << 10;
/// How much waits for standard output before the network is not read any more.
const OUTPUT_MAX_BYTES: usize = 1 << 20;
/// How much waits for the network before no more frames are made.
const OUT_MAX_BYTES: usize = 256 << 10;

const HANDSHAKE_MS: u64 = 10_000;
const SILENCE_MS: u64 = 60_000;
/// How long the server has for its Close.
const CLOSE_MS: u64 = 2_000;
const IDLE_MS: u64 = 60_000;
