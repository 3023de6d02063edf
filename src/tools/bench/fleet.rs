//! The connections of a run: opened, read, written, closed.

use std::collections::hash_map::RandomState;
use std::hash::BuildHasher;
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use super::intake::{Control, Deaf, Expected, Fragments, Intake, Tally};
use super::ledger::Ledger;
use super::outgoing::{Outgoing, append_frame};
use super::pace::Pace;
use super::recorder::Recorder;
use super::scanner::Scanner;
use super::settings::Settings;
use super::template::{Route, User, fill_id};
use super::{BenchError, Progress};
use crate::net::Io;
use crate::net::client::{Clients, Ready, Wake, connections_possible, resolve};
use crate::wire::handshake::AnswerError;
use crate::wire::{ClientHandshake, CloseCode, ClosePayload, MaskingKey, Opcode, Parsed};

/// What a connection is for.
#[derive(Clone, Copy, Debug)]
pub struct Part {
    /// Who it is.
    pub user: User,
    /// The stream that it sends, and whom its messages are from and to.
    pub sends: Option<(u32, Route)>,
    /// The stream that it receives.
    pub receives: Option<u32>,
}

/// One connection.
#[derive(Debug)]
pub struct Conn {
    /// What it is for.
    pub part: Part,
    /// Whether messages can be exchanged.
    pub is_open: bool,
    scanner: Scanner,
    ledger: Ledger,
    fragments: Fragments,
    control: Control,
    /// The sequence number of the message that is to be written next, or the rest of it.
    next: u64,
    /// How many messages it may write now.
    credit: u64,
    /// How much of the next message's frame has been written.
    offset: usize,
}

/// All connections of a run.
#[derive(Debug)]
pub struct Fleet {
    /// Where they are read, written and waited for.
    pub clients: Clients,
    /// The connections, by the number that `clients` gave them.
    pub conns: Vec<Conn>,
    /// What has come.
    pub tally: Tally,
    /// Connections that the server ended.
    pub lost: u32,
    /// What the first of them has to say.
    pub first_loss: Option<String>,
    /// Whether the run has been interrupted.
    pub interrupted: bool,
    buffer: Vec<u8>,
    outgoing: Outgoing,
    key: MaskingKey,
    closing: bool,
}

impl Fleet {
    /// No connection yet. They will send what `outgoing` makes, under this key.
    pub fn new(clients: Clients, outgoing: Outgoing, key: MaskingKey) -> Fleet {
        Fleet {
            clients,
            conns: Vec::new(),
            tally: Tally::default(),
            lost: 0,
            first_loss: None,
            interrupted: false,
            buffer: vec![0; BUFFER_BYTES],
            outgoing,
            key,
            closing: false,
        }
    }

    /// Opens a connection for each of the parts, and lets the server settle.
    ///
    /// # Errors
    ///
    /// Unless all of them open: what went wrong with the first that did not.
    pub fn open(
        &mut self,
        settings: &Settings,
        parts: &[Part],
        progress: &mut Progress<'_>,
    ) -> Result<(), BenchError> {
        let possible = connections_possible();
        if parts.len() as u64 > possible {
            return Err(BenchError::Descriptors { asked: parts.len() as u64, possible });
        }
        let addr = resolve(settings.url.bare_host(), settings.url.port)?;
        let host = settings.url.authority();
        let targets: Vec<String> = parts.iter().map(|part| target(settings, part.user)).collect();
        Opening::new(self, settings, addr, &host, &targets, parts).run(progress)?;
        self.settle(settings.settle)
    }

    /// Reads and forgets for a while.
    fn settle(&mut self, duration: Duration) -> Result<(), BenchError> {
        let mut ready = Vec::new();
        let until = self.clients.now().after(duration);
        while self.clients.now() < until && !self.interrupted {
            let left = until.since(self.clients.now());
            self.wait(&mut ready, left)?;
            for event in &ready {
                self.ignore(*event);
            }
        }
        self.check_all_open()
    }

    fn check_all_open(&self) -> Result<(), BenchError> {
        match &self.first_loss {
            Some(reason) => Err(BenchError::Closed { reason: reason.clone() }),
            None if self.interrupted => Err(BenchError::Interrupted),
            None => Ok(()),
        }
    }

    /// Waits for something to do.
    ///
    /// # Errors
    ///
    /// If waiting itself fails.
    pub fn wait(&mut self, ready: &mut Vec<Ready>, timeout: Duration) -> Result<(), BenchError> {
        if self.clients.wait(ready, timeout)? == Wake::Interrupted {
            self.interrupted = true;
        }
        Ok(())
    }

    /// How many messages a connection has been told to send, written or not.
    #[inline]
    pub fn granted(&self, id: usize) -> u64 {
        self.conns[id].next + self.conns[id].credit
    }

    /// How far the stream has come that a connection receives.
    #[inline]
    pub fn received(&self, id: usize) -> u64 {
        self.conns[id].ledger.next()
    }

    /// Tells a connection to send `count` more messages. They are written by the next
    /// [`flush`](Fleet::flush).
    #[inline]
    pub fn grant(&mut self, id: usize, count: u64) {
        self.conns[id].credit += count;
    }

    /// Writes what a connection has to say, as far as it is taken.
    #[inline]
    pub fn flush(&mut self, id: usize) {
        let Some((stream, route)) = self.conns[id].part.sends else {
            return self.flush_replies(id);
        };
        loop {
            // Replies go between two frames.
            if self.conns[id].offset == 0 {
                self.flush_replies(id);
            }
            let conn = &mut self.conns[id];
            let replies_wait = !conn.control.replies.is_empty();
            if !conn.is_open || conn.credit == 0 || replies_wait && conn.offset == 0 {
                return;
            }
            let count = if replies_wait { 1 } else { conn.credit.min(COUNT_MAX) as usize };
            let bytes = self.outgoing.frames(&route, stream, conn.next, count);
            let frames = bytes.len();
            match self.clients.write(id, &bytes[conn.offset..]) {
                Io::Moved(written) => {
                    let end = conn.offset + written;
                    let whole = end / self.outgoing.frame_len();
                    conn.offset = end % self.outgoing.frame_len();
                    conn.next += whole as u64;
                    conn.credit -= whole as u64;
                    if end < frames {
                        return;
                    }
                }
                Io::Blocked => return,
                Io::Broken(error) => return self.end(id, &broken(&error)),
            }
        }
    }

    /// Writes Pongs and the answer to a Close frame.
    #[inline]
    fn flush_replies(&mut self, id: usize) {
        let conn = &mut self.conns[id];
        while !conn.control.replies.is_empty() {
            match self.clients.write(id, &conn.control.replies) {
                Io::Moved(written) => drop(conn.control.replies.drain(..written)),
                Io::Blocked => return,
                Io::Broken(error) => return self.end(id, &broken(&error)),
            }
        }
    }

    /// Reads what a connection has received into the books. Returns how far its stream has come
    /// since, which may be less than what was received, if that was out of order.
    #[inline]
    pub fn receive(
        &mut self,
        event: Ready,
        sent: u64,
        expected: &Expected,
        pace: &Pace,
        recorder: &mut Recorder,
    ) -> u64 {
        let id = event.id;
        let before = self.conns[id].ledger.next();
        while let Some(read) = self.read(id) {
            let conn = &mut self.conns[id];
            self.tally.bytes += read as u64;
            let mut intake = Intake {
                expected,
                stream: conn.part.receives,
                sent,
                ledger: &mut conn.ledger,
                fragments: &mut conn.fragments,
                control: &mut conn.control,
                tally: &mut self.tally,
                pace,
                recorder,
                now: self.clients.now(),
                key: self.key,
            };
            let fed = conn.scanner.feed(&self.buffer[..read], &mut intake);
            if let Err(error) = fed {
                self.end(id, &format!("broke RFC 6455 §{}: {error}", error.section()));
            }
            if !self.goes_on(event, read) {
                break;
            }
        }
        self.conns[id].ledger.next() - before
    }

    /// Reads a connection and forgets the messages.
    pub fn ignore(&mut self, event: Ready) {
        let id = event.id;
        while let Some(read) = self.read(id) {
            let conn = &mut self.conns[id];
            let mut deaf = Deaf { control: &mut conn.control, key: self.key };
            if let Err(error) = conn.scanner.feed(&self.buffer[..read], &mut deaf) {
                self.end(id, &format!("broke RFC 6455 §{}: {error}", error.section()));
            }
            if !self.goes_on(event, read) {
                break;
            }
        }
        self.flush(id);
    }

    /// One read; `None` when there is nothing more.
    #[inline]
    fn read(&mut self, id: usize) -> Option<usize> {
        if !self.conns[id].is_open {
            return None;
        }
        match self.clients.read(id, &mut self.buffer) {
            Io::Moved(0) => self.end(id, "closed the connection without a Close frame"),
            Io::Moved(read) => return Some(read),
            Io::Blocked => {}
            Io::Broken(error) => self.end(id, &broken(&error)),
        }
        None
    }

    /// What follows a read: control frames are answered, and it is known whether to read again.
    #[inline]
    fn goes_on(&mut self, event: Ready, read: usize) -> bool {
        let control = &self.conns[event.id].control;
        if control.closed.is_some() {
            self.flush(event.id);
            if let Some(reason) = self.conns[event.id].control.closed.take() {
                self.end(event.id, &reason);
            }
            return false;
        }
        if !control.replies.is_empty() {
            self.flush(event.id);
        }
        read == self.buffer.len() || event.closing
    }

    /// A connection is over, by the server's doing unless we are closing.
    fn end(&mut self, id: usize, reason: &str) {
        let conn = &mut self.conns[id];
        if conn.is_open {
            conn.is_open = false;
            self.clients.close(id);
            if !self.closing {
                self.lost += 1;
                self.first_loss.get_or_insert_with(|| format!("connection {id}: {reason}"));
            }
        }
    }

    /// Whether any connection is left.
    pub fn any_open(&self) -> bool {
        self.lost < self.conns.len() as u32
    }

    /// Closes every connection with 1000, and waits a little for the server to agree.
    ///
    /// # Errors
    ///
    /// If waiting fails.
    pub fn close(&mut self) -> Result<(), BenchError> {
        self.closing = true;
        let mut payload = Vec::new();
        ClosePayload { code: CloseCode::NORMAL, reason: "" }.write(&mut payload);
        for id in 0..self.conns.len() {
            let conn = &mut self.conns[id];
            // What could not be sent will not be; half a frame is not followed by a Close frame.
            conn.credit = 0;
            if conn.is_open && conn.offset == 0 {
                append_frame(&mut conn.control.replies, Opcode::Close, self.key, &payload);
                self.flush_replies(id);
            }
        }
        let mut ready = Vec::new();
        let until = self.clients.now().after(CLOSE_TIMEOUT);
        while self.conns.iter().any(|conn| conn.is_open && conn.offset == 0)
            && self.clients.now() < until
        {
            self.wait(&mut ready, CLOSE_STEP)?;
            for event in &ready {
                self.ignore(*event);
            }
        }
        Ok(())
    }
}

/// The request target for a user.
fn target(settings: &Settings, user: User) -> String {
    let mut target = fill_id(&settings.url.target, user);
    if let Some(register) = &settings.register {
        let register = fill_id(register, user);
        match register.strip_prefix('?') {
            Some(more) if target.contains('?') => target.extend(["&", more]),
            _ => target.push_str(&register),
        }
    }
    target
}

fn broken(error: &io::Error) -> String {
    format!("connection failed: {error}")
}

/// The opening of all connections, a few handshakes at a time.
struct Opening<'a> {
    fleet: &'a mut Fleet,
    settings: &'a Settings,
    addr: SocketAddr,
    host: &'a str,
    targets: &'a [String],
    parts: &'a [Part],
    handshakes: Vec<Option<Box<Handshake<'a>>>>,
    open: usize,
}

/// A handshake under way.
struct Handshake<'a> {
    handshake: ClientHandshake<'a>,
    request: Vec<u8>,
    answer: Vec<u8>,
}

impl<'a> Opening<'a> {
    fn new(
        fleet: &'a mut Fleet,
        settings: &'a Settings,
        addr: SocketAddr,
        host: &'a str,
        targets: &'a [String],
        parts: &'a [Part],
    ) -> Opening<'a> {
        let handshakes = Vec::with_capacity(parts.len());
        Opening { fleet, settings, addr, host, targets, parts, handshakes, open: 0 }
    }

    fn run(mut self, progress: &mut Progress<'_>) -> Result<(), BenchError> {
        let mut ready = Vec::new();
        let mut last = (self.open, self.fleet.clients.now());
        while self.open < self.parts.len() {
            while self.handshakes.len() < self.parts.len()
                && self.handshakes.len() - self.open < HANDSHAKES_MAX
            {
                self.begin()?;
            }
            self.fleet.wait(&mut ready, STEP)?;
            for event in &ready {
                self.serve(*event)?;
            }
            self.fleet.check_all_open()?;
            let now = self.fleet.clients.now();
            progress.show(now, || format!("{} of {} open", self.open, self.parts.len()));
            if self.open != last.0 {
                last = (self.open, now);
            } else if now.since(last.1) > OPEN_TIMEOUT {
                return Err(BenchError::Silent { addr: self.addr, open: self.open as u64 });
            }
        }
        Ok(())
    }

    fn begin(&mut self) -> Result<(), BenchError> {
        let number = self.handshakes.len();
        let handshake = ClientHandshake::new(self.host, &self.targets[number], nonce(), &[])
            .map_err(BenchError::Request)?;
        let source = source(self.addr.ip(), number);
        let connected = self.fleet.clients.connect(self.addr, source);
        connected.map_err(|source| self.connect_error(source))?;
        let (mut request, answer) = (Vec::new(), Vec::new());
        handshake.write(&mut request);
        self.handshakes.push(Some(Box::new(Handshake { handshake, request, answer })));
        self.fleet.conns.push(Conn {
            part: self.parts[number],
            is_open: false,
            scanner: Scanner::default(),
            ledger: Ledger::default(),
            fragments: Fragments::default(),
            control: Control::default(),
            next: 0,
            credit: 0,
            offset: 0,
        });
        Ok(())
    }

    fn connect_error(&self, source: io::Error) -> BenchError {
        BenchError::Connect { addr: self.addr, open: self.open as u64, source }
    }

    fn serve(&mut self, event: Ready) -> Result<(), BenchError> {
        let id = event.id;
        let Some(under_way) = self.handshakes[id].as_mut() else {
            self.fleet.ignore(event);
            return Ok(());
        };
        if event.writable && !under_way.request.is_empty() {
            match self.fleet.clients.write(id, &under_way.request) {
                Io::Moved(written) => drop(under_way.request.drain(..written)),
                Io::Blocked => {}
                Io::Broken(source) => return Err(self.connect_error(source)),
            }
        }
        if event.readable || event.closing { self.read(event) } else { Ok(()) }
    }

    fn read(&mut self, event: Ready) -> Result<(), BenchError> {
        let id = event.id;
        while let Some(under_way) = self.handshakes[id].as_mut() {
            let read = match self.fleet.clients.read(id, &mut self.fleet.buffer) {
                Io::Moved(0) => return Err(self.refused(AnswerError::Malformed)),
                Io::Moved(read) => read,
                Io::Blocked => return Ok(()),
                Io::Broken(source) => return Err(self.connect_error(source)),
            };
            under_way.answer.extend_from_slice(&self.fleet.buffer[..read]);
            match under_way.handshake.check_response(&under_way.answer) {
                Ok(Parsed::Partial) => {}
                Ok(Parsed::Complete { len, .. }) => {
                    let frames = under_way.answer.split_off(len);
                    self.handshakes[id] = None;
                    self.opened(id, &frames);
                }
                Err(error) => return Err(self.refused(error)),
            }
        }
        // It stands since the last read, and there may be more than that read has brought.
        self.fleet.ignore(event);
        Ok(())
    }

    fn refused(&self, error: AnswerError) -> BenchError {
        BenchError::Refused { addr: self.addr, open: self.open as u64, error }
    }

    fn opened(&mut self, id: usize, frames: &[u8]) {
        self.open += 1;
        let key = self.fleet.key;
        let conn = &mut self.fleet.conns[id];
        conn.is_open = true;
        if let Some(hello) = &self.settings.hello {
            let hello = fill_id(hello, conn.part.user);
            append_frame(&mut conn.control.replies, Opcode::Text, key, hello.as_bytes());
        }
        let mut deaf = Deaf { control: &mut conn.control, key };
        if let Err(error) = conn.scanner.feed(frames, &mut deaf) {
            self.fleet.end(id, &format!("broke RFC 6455 §{}: {error}", error.section()));
        }
        self.fleet.flush_replies(id);
    }
}

/// From where connection `number` goes: past what one address has ports for, loopback has more
/// addresses.
fn source(to: IpAddr, number: usize) -> Option<IpAddr> {
    let further = number / CONNECTIONS_PER_SOURCE;
    if further == 0 || !to.is_loopback() || to.is_ipv6() {
        return None;
    }
    let [third, last] = u16::try_from(further + 1).ok()?.to_be_bytes();
    Some(Ipv4Addr::new(127, 0, third, last).into())
}

fn nonce() -> [u8; 16] {
    random().to_be_bytes()
}

/// A key that nobody can know beforehand, without a zero in it.
pub fn random_key() -> MaskingKey {
    let [a, b, c, d, ..] = random().to_be_bytes();
    MaskingKey([a | 1, b | 1, c | 1, d | 1])
}

/// The standard library's source of randomness, which it keeps for its hash maps.
fn random() -> u128 {
    let state = RandomState::new();
    u128::from(state.hash_one(0)) << 64 | u128::from(state.hash_one(1))
}

/// One buffer, for all connections. As large as the server's, for the same reason: with less, a
/// large message is read in many pieces.
const BUFFER_BYTES: usize = 512 * 1024;

/// Handshakes under way at once: fewer than any server keeps waiting.
const HANDSHAKES_MAX: usize = 100;

/// Connections from one source address; an address has some 28,000 ports to connect from.
const CONNECTIONS_PER_SOURCE: usize = 20_000;

/// More messages than any write holds.
const COUNT_MAX: u64 = 1 << 20;

const STEP: Duration = Duration::from_millis(100);

/// How long the opening waits while no connection opens.
const OPEN_TIMEOUT: Duration = Duration::from_secs(10);

const CLOSE_TIMEOUT: Duration = Duration::from_secs(1);
const CLOSE_STEP: Duration = Duration::from_millis(20);

#[cfg(test)]
mod tests {
    use super::super::settings::Url;
    use super::*;

    #[test]
    fn loopback_has_more_addresses_than_one() {
        let loopback = "127.0.0.1".parse().unwrap();
        assert_eq!(source(loopback, 19_999), None);
        assert_eq!(source(loopback, 20_000), Some("127.0.0.2".parse().unwrap()));
        assert_eq!(source(loopback, 20_000 * 255), Some("127.0.1.0".parse().unwrap()));
        assert_eq!(source("10.0.0.1".parse().unwrap(), 20_000), None);
        assert_eq!(source("::1".parse().unwrap(), 20_000), None);
    }

    #[test]
    fn users_register_in_the_url() {
        let user = User { role: b's', number: 255 };
        let target = |url, register: Option<&str>| {
            let mut settings = Settings::new(Url::parse(url).unwrap());
            settings.register = register.map(str::to_owned);
            super::target(&settings, user)
        };
        assert_eq!(target("ws://host", Some("?user={id}")), "/?user=s0000ff");
        assert_eq!(target("ws://host/a?b=c", Some("?user={id}")), "/a?b=c&user=s0000ff");
        assert_eq!(target("ws://host/a/", Some("{id}")), "/a/s0000ff");
        assert_eq!(target("ws://host/{id}/b", None), "/s0000ff/b");
    }

    #[test]
    fn keys_have_no_zero_and_differ() {
        assert!(random_key().0.iter().all(|octet| *octet != 0));
        assert_ne!(nonce(), nonce());
    }
}
