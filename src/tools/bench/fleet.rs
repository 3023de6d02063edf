//! The connections of a run: opened, read, written, closed.

use std::io;
use std::time::Duration;

use super::compressed::{Compression, Talk};
use super::dialect::{Duty, hello};
use super::intake::{Control, Deaf, Expected, Fragments, Intake, Tally};
use super::ledger::Ledger;
use super::opening::{Opening, target};
use super::outgoing::{Outgoing, append_frame};
use super::pace::Pace;
use super::recorder::Recorder;
use super::scanner::Scanner;
use super::settings::{Protocol, Settings};
use super::template::{Route, User};
use super::{BenchError, Progress};
use crate::net::Io;
use crate::net::client::{Clients, Ready, Wake, connections_possible, resolve};
use crate::tools::random::random;
use crate::wire::{CloseCode, ClosePayload, MaskingKey, Opcode, ProtocolError};

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
    pub(super) scanner: Scanner,
    ledger: Ledger,
    fragments: Fragments,
    /// `Protocol::Raw`: how many bytes have come of a message that has not come whole.
    cut: usize,
    pub(super) control: Control,
    /// The sequence number of the message that is to be written next, or the rest of it.
    pub(super) next: u64,
    /// How many messages it may write now.
    pub(super) credit: u64,
    /// How much of the next message's frame has been written.
    offset: usize,
    /// `--deflate`: what speaks for it once it is open.
    pub(super) talk: Option<Box<Talk>>,
    /// `--v1`: what it owes the server.
    pub(super) duty: Option<Box<Duty>>,
}

impl Conn {
    /// A connection that is not open yet.
    pub(super) fn new(part: Part) -> Conn {
        Conn {
            part,
            is_open: false,
            scanner: Scanner::default(),
            ledger: Ledger::default(),
            fragments: Fragments::default(),
            cut: 0,
            control: Control::default(),
            next: 0,
            credit: 0,
            offset: 0,
            talk: None,
            duty: None,
        }
    }
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
    pub(super) buffer: Vec<u8>,
    pub(super) outgoing: Outgoing,
    pub(super) key: MaskingKey,
    pub(super) protocol: Protocol,
    /// With `--deflate`.
    pub(super) compression: Option<Compression>,
    /// With `--v1`, the first frame of each connection, if it is said when the connection opens.
    pub(super) greeting: Option<String>,
    /// With `--v1`, when messages were answered.
    pub(super) answers: Option<Recorder>,
    closing: bool,
}

impl Fleet {
    /// No connection yet. They will send what `outgoing` makes, under this key.
    pub fn new(clients: Clients, outgoing: Outgoing, key: MaskingKey, protocol: Protocol) -> Fleet {
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
            protocol,
            compression: None,
            greeting: Some(hello(random() as u32)),
            answers: None,
            closing: false,
        }
    }

    /// The same, and all connections offer to compress.
    pub(super) fn with_compression(mut self, compression: Option<Compression>) -> Fleet {
        self.compression = compression;
        self
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
        self.open_only(settings, parts, progress)?;
        self.settle(settings.settle)?;
        self.await_welcomes()
    }

    /// The same, and what comes then is for whoever reads next.
    ///
    /// # Errors
    ///
    /// As [`open`](Fleet::open).
    pub(super) fn open_only(
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
        Opening::new(self, settings, addr, &host, &targets, parts).run(progress)
    }

    /// With `--v1` nothing may be sent before the welcome.
    fn await_welcomes(&mut self) -> Result<(), BenchError> {
        let until = self.clients.now().after(WELCOME_TIMEOUT);
        let is_waiting =
            |conn: &&Conn| conn.duty.as_ref().is_some_and(|duty| duty.welcome.is_none());
        let mut ready = Vec::new();
        loop {
            let waiting = self.conns.iter().filter(is_waiting).count();
            if waiting == 0 {
                return Ok(());
            }
            if self.clients.now() >= until {
                let welcome = (self.conns.len() - waiting) as u64;
                return Err(BenchError::Unwelcome { welcome });
            }
            self.wait(&mut ready, CLOSE_STEP)?;
            for event in &ready {
                self.ignore(*event);
            }
            self.check_all_open()?;
        }
    }

    /// Says something on a connection.
    pub(super) fn say(&mut self, id: usize, text: &str) {
        let replies = &mut self.conns[id].control.replies;
        append_frame(replies, Opcode::Text, self.key, text.as_bytes());
        self.flush(id);
    }

    /// With `--v1`, acknowledges what has come and has not been acknowledged.
    pub fn acknowledge(&mut self) {
        for id in 0..self.conns.len() {
            let conn = &mut self.conns[id];
            let Some(duty) = &mut conn.duty else { continue };
            duty.acknowledge_rest(&mut conn.control, self.key);
            if !self.conns[id].control.replies.is_empty() {
                self.flush(id);
            }
        }
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

    pub(super) fn check_all_open(&self) -> Result<(), BenchError> {
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
        if self.conns[id].talk.is_some() {
            return self.flush_compressed(id);
        }
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
                    self.tally.sent_bytes += written as u64;
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
    pub(super) fn flush_replies(&mut self, id: usize) {
        let conn = &mut self.conns[id];
        while !conn.control.replies.is_empty() {
            match self.clients.write(id, &conn.control.replies) {
                Io::Moved(written) => {
                    self.tally.sent_bytes += written as u64;
                    conn.control.replies.drain(..written);
                }
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
                duty: conn
                    .duty
                    .as_deref_mut()
                    .map(|duty| (duty, conn.part.sends.map(|(stream, _)| stream))),
                answers: self.answers.as_mut(),
            };
            let bytes = &mut self.buffer[..read];
            let fed = match (self.protocol, &mut conn.talk, &mut self.compression) {
                (Protocol::WebSocket, Some(talk), Some(compression)) => {
                    talk.feed(compression, bytes, &mut intake)
                }
                (Protocol::WebSocket, _, _) => conn.scanner.feed(bytes, &mut intake).map(|()| None),
                (Protocol::Raw, _, _) => {
                    conn.cut += read;
                    intake.count(conn.cut / self.outgoing.frame_len());
                    conn.cut %= self.outgoing.frame_len();
                    Ok(None)
                }
            };
            self.judge(id, fed);
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
            let duty = conn.duty.as_deref_mut();
            let mut deaf = Deaf { control: &mut conn.control, key: self.key, duty };
            let bytes = &mut self.buffer[..read];
            let fed = match (self.protocol, &mut conn.talk, &mut self.compression) {
                (Protocol::WebSocket, Some(talk), Some(compression)) => {
                    talk.feed(compression, bytes, &mut deaf)
                }
                (Protocol::WebSocket, _, _) => conn.scanner.feed(bytes, &mut deaf).map(|()| None),
                (Protocol::Raw, _, _) => Ok(None),
            };
            self.judge(id, fed);
            if !self.goes_on(event, read) {
                break;
            }
        }
        self.flush(id);
    }

    /// What the frames of a read came to: nothing special, a Close and its reason, an error.
    #[inline]
    pub(super) fn judge(&mut self, id: usize, fed: Result<Option<String>, ProtocolError>) {
        match fed {
            Ok(None) => {}
            Ok(reason) => self.conns[id].control.closed = reason,
            Err(error) => {
                self.end(id, &format!("broke RFC {} §{}: {error}", error.rfc(), error.section()));
            }
        }
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
        let talk = &self.conns[event.id].talk;
        if !control.replies.is_empty() || talk.as_ref().is_some_and(|talk| !talk.out.is_empty()) {
            self.flush(event.id);
        }
        read == self.buffer.len() || event.closing
    }

    /// A connection is over, by the server's doing unless we are closing.
    pub(super) fn end(&mut self, id: usize, reason: &str) {
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
        self.acknowledge();
        self.closing = true;
        if self.protocol == Protocol::Raw {
            return Ok(());
        }
        let mut payload = Vec::new();
        ClosePayload { code: CloseCode::NORMAL, reason: "" }.write(&mut payload);
        for id in 0..self.conns.len() {
            let conn = &mut self.conns[id];
            // What could not be sent will not be; half a frame is not followed by a Close frame.
            conn.credit = 0;
            if conn.talk.is_some() {
                self.close_compressed(id);
            } else if conn.is_open && conn.offset == 0 {
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

pub(super) fn broken(error: &io::Error) -> String {
    format!("connection failed: {error}")
}

/// One buffer, for all connections. As large as the server's, for the same reason: with less, a
/// large message is read in many pieces.
const BUFFER_BYTES: usize = 512 * 1024;

/// More messages than any write holds.
const COUNT_MAX: u64 = 1 << 20;

/// How long a welcome may take.
const WELCOME_TIMEOUT: Duration = Duration::from_secs(10);
const CLOSE_TIMEOUT: Duration = Duration::from_secs(1);
const CLOSE_STEP: Duration = Duration::from_millis(20);
