//! The network around an engine: clients at one end of their lines, the event loop at the other.
//!
//! ```text
//!   client ---- input ---->  engine.receive / filled         one read: at most `read_len` bytes
//!   client <--- output ----  engine.output, engine.wrote     as much as there is room for
//! ```
//!
//! The steps of a tick are those of `net::reactor`, and in its order.

use std::collections::VecDeque;
use std::io::IoSlice;
use std::net::SocketAddr;

use switchboard::config::Deflate;
use switchboard::engine::{Action, Door, Engine, Flow, Space};
use switchboard::protocol::Endpoint;
use switchboard::timer::{Millis, UnixMillis};
use switchboard::{ConnId, Limits};

use super::deflate::{Agreed, Voice, offer};
use super::handler::{Ledger, Watched};
use super::script::{Behaviour, CLIENTS, Coding, Operation, Script};
use crate::naive::{self, End, Event, Role};
use crate::subject::frame_with;

/// An engine, its clients, and the time.
pub struct Network<H> {
    engine: Engine<Watched<H>>,
    limits: Limits,
    read_len: usize,
    has_offers: bool,
    /// What clients compress with.
    compressing: Endpoint,
    now: Millis,
    /// Each client's line, if it has one.
    lines: [Option<Line>; CLIENTS],
    serial: usize,
    /// Bytes that clients may still send: or a script would take seconds.
    allowance: usize,
}

/// A TCP connection.
struct Line {
    /// `None` until it is accepted.
    id: Option<ConnId>,
    /// From the client, not read yet.
    input: VecDeque<u8>,
    /// FIN follows the input.
    has_fin: bool,
    /// FIN was read.
    is_read: bool,
    /// What the client has read.
    output: Vec<u8>,
    /// How much more it takes.
    room: usize,
    /// The server has sent FIN: all that was queued is here.
    is_shut: bool,
    /// What the client sent as it should, and whether it ever sent something else.
    sent: Vec<Event>,
    is_honest: bool,
    /// It has sent its request.
    has_asked: bool,
    voice: Voice,
}

impl Line {
    /// The socket takes what it has room for.
    fn take(&mut self, slices: &[IoSlice<'_>]) -> usize {
        let offered = slices.iter().map(|slice| slice.len()).sum::<usize>();
        let written = offered.min(self.room);
        self.output.extend(slices.iter().flat_map(|slice| slice.iter()).take(written));
        self.room -= if self.room == usize::MAX { 0 } else { written };
        written
    }
}

impl<H: Ledger> Network<H> {
    /// An engine without clients.
    pub fn new(limits: Limits, script: &Script, handler: H) -> Network<H> {
        let mut engine = Engine::new(limits, Watched::new(handler));
        // Messages are small here.
        engine.set_lend_min_bytes(16);
        let mut compressing = Endpoint::server();
        compressing.deflate_min_bytes = 0;
        Network {
            engine,
            limits,
            read_len: script.read_len(),
            has_offers: script.has_offers(),
            compressing,
            now: Millis(0),
            lines: [const { None }; CLIENTS],
            serial: 0,
            // The plain inflater is slow: what takes 6 s for an input is reported as a hang where
            // the machine is busy.
            allowance: if script.has_offers() { 15_000 } else { 150_000 },
        }
    }

    /// The application.
    pub fn handler(&self) -> &H {
        &self.engine.handler().inner
    }

    // ---- what happens --------------------------------------------------------------------------

    /// Lets one thing happen.
    pub fn perform(&mut self, operation: &Operation, to_relay: bool) {
        match *operation {
            Operation::Connect(client) | Operation::Dial(client) => {
                let line = self.lines[usize::from(client)].get_or_insert_with(Line::new);
                if matches!(operation, Operation::Connect(_)) && line.output.is_empty() {
                    let request = request(client, offer(client).filter(|_| self.has_offers));
                    // A second request would be taken for frames.
                    let is_first = !std::mem::replace(&mut line.has_asked, true);
                    line.is_honest &= is_first && line.input.is_empty();
                    line.input.extend(request);
                }
            }
            Operation::Message { client, behaviour, binary, coding, len, cuts } => {
                let event = self.compose(client, behaviour, binary, len, to_relay);
                let Some(line) = &mut self.lines[usize::from(client)] else { return };
                line.send(event, coding, cuts, &self.compressing);
            }
            Operation::Wait(steps) => self.now.0 += u64::from(steps) * 50,
            Operation::Tick => self.tick(),
            Operation::ShutDown => self.engine.shut_down(),
            Operation::Inject(client, len) => {
                let Some(id) = self.line(client).and_then(|line| line.id) else { return };
                let len = usize::from(len).min(INJECTED_MAX_BYTES);
                self.engine.inject(|handler, cx| handler.inner.wish(cx, id, len));
            }
            Operation::Reset(client) => {
                let id = self.line(client).and_then(|line| line.id);
                if let Some(id) = id {
                    self.engine.reset(id);
                } else {
                    self.lines[usize::from(client)] = None;
                }
            }
            Operation::Bytes(client, ref bytes) => {
                let Some(line) = self.line(client).filter(|line| !line.has_fin) else { return };
                line.is_honest &= bytes.is_empty();
                line.input.extend(bytes);
            }
            Operation::Control(client, kind) => {
                let Some(line) = self.line(client).filter(|line| !line.has_fin) else { return };
                line.control(kind);
            }
            Operation::Room(client, len) => {
                let Some(line) = self.line(client) else { return };
                line.room = usize::from(len);
            }
            Operation::Drink(client) => {
                let Some(line) = self.line(client) else { return };
                line.room = usize::MAX;
            }
            Operation::Finish(client) => {
                let Some(line) = self.line(client) else { return };
                line.has_fin = true;
            }
        }
    }

    fn line(&mut self, client: u8) -> Option<&mut Line> {
        self.lines[usize::from(client)].as_mut()
    }

    /// A message that asks for something, with a number that no other has.
    fn compose(
        &mut self,
        client: u8,
        behaviour: Behaviour,
        binary: bool,
        len: u16,
        to_relay: bool,
    ) -> Event {
        self.serial += 1;
        let len = usize::from(len).min(self.limits.message_max_bytes as usize);
        let len = len.min(self.allowance.max(16));
        self.allowance = self.allowance.saturating_sub(len);
        let place = Behaviour::ALL.iter().position(|other| *other == behaviour).unwrap_or(0);
        let mut text = match (to_relay, behaviour) {
            (false, _) => format!("{}{} ", char::from(b'a' + place as u8), self.serial),
            (true, behaviour) => envelope(behaviour, client, self.serial, len),
        };
        if !to_relay {
            text.truncate(len);
            text.push_str(&filler(self.serial, len - text.len()));
        }
        text.truncate(self.limits.message_max_bytes as usize);
        if binary { Event::Binary(text.into_bytes()) } else { Event::Text(text) }
    }

    // ---- the event loop ------------------------------------------------------------------------

    /// One turn; whether anything moved.
    fn tick(&mut self) {
        self.engine.begin_tick(self.now, UnixMillis(0));
        let mut resumed = Vec::new();
        self.engine.take_resumed(&mut resumed);
        for client in 0..CLIENTS {
            self.accept(client);
            self.read(client);
        }
        for id in resumed {
            let client = self
                .lines
                .iter()
                .position(|line| line.as_ref().is_some_and(|line| line.id == Some(id)));
            if self.engine.resume(id) == Flow::Read
                && let Some(client) = client
            {
                self.read(client);
            }
        }
        self.engine.run_timers();
        self.engine.before_flush();
        while let Some(id) = self.engine.next_dirty() {
            self.flush(id);
        }
        self.reap();
        self.check();
    }

    fn accept(&mut self, client: usize) {
        let Some(line) = &mut self.lines[client] else { return };
        if line.id.is_none() {
            let peer = SocketAddr::from(([127, 0, 0, 1], 50_000 + client as u16));
            line.id = self.engine.accept(peer, Door::Public);
            if line.id.is_none() {
                self.lines[client] = None;
            }
        }
    }

    fn read(&mut self, client: usize) {
        let Some(line) = &mut self.lines[client] else { return };
        let Some(id) = line.id else { return };
        if line.room > 0 && self.engine.is_blocked(id) {
            self.engine.writable(id);
        }
        let mut budget = 65_536_usize;
        while self.engine.flow(id) == Flow::Read && budget > 0 {
            if line.input.is_empty() {
                if line.has_fin && !std::mem::replace(&mut line.is_read, true) {
                    self.engine.end_of_input(id);
                }
                return;
            }
            let mut len = line.input.len().min(self.read_len);
            budget = budget.saturating_sub(len);
            let _ = match self.engine.space(id) {
                Space::Message(space) => {
                    len = len.min(space.len());
                    line.input.drain(..len).zip(space).for_each(|(byte, place)| *place = byte);
                    self.engine.filled(id, len)
                }
                Space::ReadBuffer(max) => {
                    let mut bytes: Vec<u8> = line.input.drain(..len.min(max)).collect();
                    self.engine.receive_and_reply(id, &mut bytes, |slices| Some(line.take(slices)))
                }
            };
        }
    }

    fn flush(&mut self, id: ConnId) {
        let Some(outbox) = self.engine.output(id) else { return };
        let mut lines = self.lines.iter_mut().flatten();
        let line = lines.find(|line| line.id == Some(id)).expect("a line for every connection");
        let mut slices = [IoSlice::new(&[]); 8];
        let filled = outbox.io_slices(&mut slices);
        let offered: usize = slices[..filled].iter().map(|slice| slice.len()).sum();
        assert_eq!(offered == 0, outbox.is_empty());
        let written = line.take(&slices[..filled]);
        self.engine.wrote(id, written, offered);
    }

    fn reap(&mut self) {
        let mut actions = Vec::new();
        self.engine.reap(&mut actions);
        for action in actions {
            let (Action::Shutdown(id) | Action::Release(id)) = action;
            let of_line = |line: &Option<Line>| line.as_ref().is_some_and(|l| l.id == Some(id));
            let client = self.lines.iter().position(of_line).expect("a line for every action");
            match action {
                Action::Shutdown(_) => {
                    if let Some(line) = &mut self.lines[client] {
                        line.is_shut = true;
                        // The client has read to the end: it ends its side too.
                        line.has_fin = true;
                    }
                }
                Action::Release(_) => {
                    self.check_line(client);
                    self.lines[client] = None;
                }
            }
        }
    }

    // ---- what must hold ------------------------------------------------------------------------

    /// After every tick.
    fn check(&mut self) {
        assert_eq!(self.engine.handler().unreturned, 0, "an assertion in the handler failed");
        let accepted = self.lines.iter().flatten().filter(|line| line.id.is_some());
        let ids: Vec<ConnId> = accepted.filter_map(|line| line.id).collect();
        assert_eq!(ids.len(), self.engine.connections());
        // Whatever is sent below high water is queued whole.
        let last = self.limits.message_max_bytes.max(INJECTED_MAX_BYTES as u64);
        let high = self.limits.outbox_high_bytes + last + SLACK_BYTES;
        let mut contexts = 0;
        for id in ids {
            let len = self.engine.output(id).map_or(0, |outbox| outbox.len());
            let is_open = self.is_open(id);
            assert!(!is_open || len as u64 <= high, "an outbox of {len} bytes");
            contexts += u64::from(is_open && self.agreed(id).is_some_and(|agreed| agreed.keeps()));
        }
        let is_kept = self.limits.deflate() == Deflate::Takeover;
        let contexts_max = if is_kept { self.limits.deflate_takeover_max } else { 0 };
        assert!(contexts <= contexts_max, "{contexts} connections keep windows");
        let buffered = self.engine.buffered();
        assert_eq!(buffered, self.engine.recount(), "said and counted");
        let total = self.limits.outbox_total_bytes + 65_536 + SLACK_BYTES;
        assert!(buffered as u64 <= total, "{buffered} bytes are held");
        assert!(self.engine.next_deadline().is_none_or(|at| at > self.now), "a deadline passed");
    }

    /// What was agreed with a connection, as far as its client knows.
    fn agreed(&self, id: ConnId) -> Option<Agreed> {
        let mut lines = self.lines.iter().flatten();
        Agreed::read(&lines.find(|line| line.id == Some(id))?.output)
    }

    /// Everybody reads; turns until nothing is left to do but to wait.
    pub fn settle(&mut self) {
        self.lines.iter_mut().flatten().for_each(|line| line.room = usize::MAX);
        for _ in 0..100_000 {
            let before: usize = self.lines.iter().flatten().map(|line| line.progress()).sum();
            self.tick();
            let after: usize = self.lines.iter().flatten().map(|line| line.progress()).sum();
            if before == after && !self.engine.has_work() {
                return;
            }
        }
        panic!("it never comes to rest");
    }

    /// Of every line that is still there.
    pub fn check_delivery(&mut self) {
        (0..CLIENTS).for_each(|client| self.check_line(client));
    }

    fn is_open(&mut self, id: ConnId) -> bool {
        let mut is_open = false;
        self.engine.inject(|_, cx| is_open = cx.is_open(id));
        is_open
    }

    fn check_line(&mut self, client: usize) {
        let Some(id) = self.lines[client].as_ref().and_then(|line| line.id) else { return };
        let is_open = self.is_open(id);
        let Some(line) = &self.lines[client] else { return };
        let Some(life) = self.engine.handler().lives.get(&id) else {
            assert!(!line.output.starts_with(b"HTTP/1.1 101"), "opened without on_open");
            return;
        };
        // From the client to the handler.
        let max = self.limits.message_max_bytes as usize;
        let longest = life.delivered.iter().map(payload_len).max().unwrap_or(0);
        assert!(longest <= max, "a message of {longest} bytes was delivered");
        let common = life.delivered.len().min(line.sent.len());
        assert_eq!(life.delivered[..common], line.sent[..common], "delivered as it was sent");
        assert!(life.delivered.len() == common || !line.is_honest, "more than was sent");
        let is_calm = is_open && line.is_honest && line.input.is_empty() && !line.has_fin;
        assert!(!is_calm || self.engine.has_work() || common == line.sent.len(), "lost");

        // From the handler to the client.
        let end = line.output.windows(4).position(|window| window == b"\r\n\r\n");
        let Some(end) = end else {
            assert!(!line.is_shut, "a response is cut");
            return;
        };
        let no_limits = naive::Limits { message_bytes_max: u64::MAX, message_frames_max: u64::MAX };
        let agreed = Agreed::read(&line.output);
        let is_offered = self.has_offers && offer(client as u8).is_some();
        let is_due = is_offered && self.limits.deflate() != Deflate::Off;
        assert!(agreed.is_some() == is_due || !line.is_honest, "offered and agreed: {agreed:?}");
        let frames = &line.output[end + 4..];
        let frames = agreed.map_or_else(|| frames.to_vec(), |agreed| agreed.plain(frames));
        let (events, end) = naive::decode(&frames, Role::Client, &no_limits);
        assert!(!matches!(end, End::Failed(_)), "we broke a rule: {end:?}");
        let is_blame = |event: &Event| matches!(event, Event::Close(Some((1002 | 1007 | 1009, _))));
        assert!(!line.is_honest || !events.iter().any(is_blame), "blamed, and honest: {events:?}");
        let is_data = |event: &Event| matches!(event, Event::Text(_) | Event::Binary(_));
        let received: Vec<Event> = events.into_iter().filter(is_data).collect();
        let Some(queued) = self.handler().queued(id) else { return };
        let common = received.len().min(queued.len());
        assert_eq!(received, queued[..common], "received as it was queued");
        let is_closed = end == End::Closed;
        let is_owed = line.is_shut || is_closed || (is_open && line.room == usize::MAX);
        let has_rest = self.engine.output(id).is_some_and(|outbox| !outbox.is_empty());
        assert!(!is_owed || (has_rest && !is_closed) || common == queued.len(), "queued and lost");
    }

    /// With nobody there, the next client may keep its windows.
    fn check_windows_are_given_back(&mut self) {
        self.perform(&Operation::Connect(0), false);
        self.settle();
        let id = self.line(0).and_then(|line| line.id);
        // There is no agreement if the server is to stop.
        let agreed = id.and_then(|id| self.agreed(id));
        let is_kept = self.limits.deflate() == Deflate::Takeover;
        assert!(agreed.is_none_or(|agreed| agreed.keeps() == is_kept), "windows are still kept");
        self.lines.iter_mut().flatten().for_each(|line| line.has_fin = true);
        self.settle();
    }

    /// Everybody leaves, and time goes by: nothing must be left.
    pub fn finish(&mut self) {
        self.lines.iter_mut().flatten().for_each(|line| line.has_fin = true);
        self.settle();
        let timeouts = self.limits.head_timeout_ms
            + self.limits.ping_interval_ms
            + self.limits.ping_timeout_ms
            + self.limits.close_timeout_ms
            + self.limits.write_timeout_ms;
        for _ in 0..4 {
            self.now.0 += timeouts;
            self.settle();
        }
        self.check_windows_are_given_back();
        assert_eq!(self.engine.handler().unreturned, 0, "an assertion in the handler failed");
        assert_eq!((self.engine.connections(), self.engine.buffered()), (0, 0), "what is left");
        let lives = &self.engine.handler().lives;
        assert!(lives.values().all(|life| life.is_closed), "on_close is owed");
    }
}

impl Line {
    fn new() -> Line {
        Line {
            id: None,
            input: VecDeque::new(),
            has_fin: false,
            is_read: false,
            output: Vec::new(),
            room: usize::MAX,
            is_shut: false,
            sent: Vec::new(),
            is_honest: true,
            has_asked: false,
            voice: Voice::default(),
        }
    }

    /// Changes whenever something moves.
    fn progress(&self) -> usize {
        self.input.len() + self.output.len() * 3 + usize::from(self.is_read)
    }

    /// Sends a message, in one frame or in fragments with a Ping between them.
    fn send(&mut self, event: Event, coding: Coding, cuts: u8, compressing: &Endpoint) {
        if self.has_fin {
            return;
        }
        let (opcode, payload) = match &event {
            Event::Text(text) => (0x1, text.as_bytes()),
            Event::Binary(bytes) => (0x2, &bytes[..]),
            _ => return,
        };
        // RFC 7692 §6.1: only once it is agreed, and RSV1 is on the first frame only.
        let compressed = Agreed::read(&self.output)
            .and_then(|agreed| self.voice.encode(compressing, &agreed, coding, payload));
        let rsv = if compressed.is_some() { 0x40 } else { 0 };
        let pieces = usize::from(cuts) + 1;
        let mut rest = compressed.as_deref().unwrap_or(payload);
        for piece in 0..pieces {
            let is_last = piece + 1 == pieces;
            let (now, later) = rest.split_at(if is_last { rest.len() } else { rest.len() / 2 });
            rest = later;
            let fin = if is_last { 0x80 } else { 0 };
            let opcode = if piece == 0 { rsv | opcode } else { 0x0 };
            self.input.extend(frame_with(fin | opcode, Some([0x37, 0xfa, 0x21, 0x3d]), now));
            if !is_last {
                self.control(0);
            }
        }
        if self.is_honest {
            // More fragments than a message may have end the connection.
            self.is_honest = pieces <= 16;
            self.sent.extend((pieces <= 16).then_some(event));
        }
    }

    fn control(&mut self, kind: u8) {
        let (first, payload): (u8, &[u8]) = match kind % 5 {
            0 | 1 => (0x89, b"between"),
            2 => (0x8A, b""),
            3 => (0x88, b"\x03\xe8enough"),
            _ => (0x88, b""),
        };
        self.input.extend(frame_with(first, Some([1, 2, 3, 4]), payload));
        if first == 0x88 {
            // RFC 6455 §5.5.1: no data follows a Close.
            self.has_fin = true;
        }
    }
}

fn request(client: u8, offer: Option<&str>) -> Vec<u8> {
    let target = match client {
        0..3 => format!("/?user=user{client}"),
        _ => "/room".to_owned(),
    };
    let offer = offer.map(|offer| format!("Sec-WebSocket-Extensions: {offer}\r\n"));
    let offer = offer.unwrap_or_default();
    format!(
        "GET {target} HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\n\
         Connection: Upgrade\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
         Sec-WebSocket-Version: 13\r\n{offer}\r\n"
    )
    .into_bytes()
}

fn payload_len(event: &Event) -> usize {
    match event {
        Event::Text(text) => text.len(),
        Event::Binary(bytes) => bytes.len(),
        Event::Ping(_) | Event::Pong(_) | Event::Close(_) => 0,
    }
}

/// Letters that other messages have too, but elsewhere: who refers to the wrong one is seen.
fn filler(serial: usize, len: usize) -> String {
    let letter = |place: usize| {
        let hash = (place % 1_021).pow(2).wrapping_mul(0x9E37_79B1) as u32;
        char::from(b'a' + (hash >> 28) as u8)
    };
    (serial * 7..).take(len).map(letter).collect()
}

/// What a client of the relay says.
fn envelope(behaviour: Behaviour, client: u8, serial: usize, len: usize) -> String {
    let filler = filler(serial, len);
    let content = format!("\"{serial} {filler}\"");
    let to = (client + 1) % 3;
    match behaviour {
        Behaviour::Swallow => r#"{"type":"ping"}"#.to_owned(),
        Behaviour::Echo => format!(r#"{{"receiver":"user{client}","content":{content}}}"#),
        Behaviour::Next => format!(r#"{{"receiver":"user{to}","content":{content}}}"#),
        Behaviour::Everybody => format!("{serial} {filler}"),
        Behaviour::Parts => format!(r#"{{"group":"g{}","content":{content}}}"#, client % 2),
        // Half of them hear who comes and goes.
        Behaviour::Close => {
            format!(r#"{{"type":"join","group":"g{}","presence":{}}}"#, client % 2, client % 4 < 2)
        }
        Behaviour::CloseNext => format!(r#"{{"type":"leave","group":"g{}"}}"#, client % 2),
        Behaviour::Later => {
            format!(r#"{{"sender":"n{client}","receiver":"user{to}","content":{content}}}"#)
        }
    }
}

/// Control frames and headers come on top of a limit.
const SLACK_BYTES: u64 = 1_024;

/// What the server says of itself may be longer than what a client may.
const INJECTED_MAX_BYTES: usize = 5_000;
