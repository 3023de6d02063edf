//! A small blocking WebSocket client, and raw bytes where a test wants to misbehave.
//!
//! Built on the client role of `wire` and `protocol`, so it fails at once if the server breaks a
//! rule. Every wait has an end: [`WAIT`].

#![allow(dead_code)] // each test binary uses its own part of this file

use std::collections::VecDeque;
use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use switchboard::outbox::Outbox;
use switchboard::protocol::{Connection, Endpoint, Input, Message, Step};
use switchboard::wire::handshake::AnswerError;
use switchboard::wire::{ClientHandshake, FrameHeader, MaskingKey, Opcode, Parsed, Rsv};

/// How long anything may take before the test fails: no measure of speed, only an end.
pub const WAIT: Duration = Duration::from_secs(30);

/// What came from the server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    Text(String),
    Binary(Vec<u8>),
    Ping(Vec<u8>),
    Pong(Vec<u8>),
    /// Close: its code (1005 if it had none) and reason.
    Close(u16, String),
    /// The TCP connection ended, by FIN.
    Fin,
    /// The TCP connection ended, by RST.
    Reset,
}

/// Whether a client answers Ping and Close, as RFC 6455 demands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Manners {
    Answers,
    Silent,
}

/// One open WebSocket connection.
pub struct Client {
    pub stream: TcpStream,
    pub manners: Manners,
    connection: Connection,
    endpoint: Endpoint,
    outbox: Outbox,
    events: VecDeque<Event>,
}

impl Client {
    pub fn connect(addr: SocketAddr) -> Client {
        Client::try_connect(addr, "/").unwrap_or_else(|error| panic!("{addr}: {error:?}"))
    }

    /// Opens a connection, or says with which status it was refused.
    ///
    /// `Err(None)`: the TCP connection ended without an answer.
    pub fn try_connect(addr: SocketAddr, target: &str) -> Result<Client, Option<u16>> {
        let mut stream = connect(addr);
        let _ = stream.write_all(&handshake(addr, target));
        Client::after_handshake(stream, addr)
    }

    /// Reads the answer to a [`handshake`] that was sent already, with or without frames behind it.
    pub fn after_handshake(stream: TcpStream, addr: SocketAddr) -> Result<Client, Option<u16>> {
        Client::after_offering(stream, addr, &[])
    }

    /// The same after a handshake that offered these subprotocols.
    pub fn after_offering(
        mut stream: TcpStream,
        addr: SocketAddr,
        protocols: &[&str],
    ) -> Result<Client, Option<u16>> {
        let host = addr.to_string();
        let handshake = ClientHandshake::new(&host, "/", NONCE, protocols);
        let mut handshake = handshake.expect("a good request");
        let mut answer = Vec::new();
        let len = loop {
            let mut bytes = [0; 4096];
            match read(&mut stream, &mut bytes) {
                Ok(0) => return Err(None),
                Ok(read) => answer.extend_from_slice(&bytes[..read]),
                Err(error) if is_reset(&error) => return Err(None),
                Err(error) => panic!("waiting for the answer to a handshake: {error}"),
            }
            match handshake.check_response(&answer) {
                Ok(Parsed::Complete { len, .. }) => break len,
                Ok(Parsed::Partial) => {}
                Err(AnswerError::Refused(status)) => return Err(Some(status)),
                Err(error) => panic!("{error}: {}", String::from_utf8_lossy(&answer)),
            }
        };
        let mut endpoint = Endpoint::client();
        endpoint.message_max_bytes = u64::MAX;
        let mut client = Client {
            stream,
            manners: Manners::Answers,
            connection: Connection::new(),
            endpoint,
            outbox: Outbox::new(),
            events: VecDeque::new(),
        };
        client.take_in(&mut answer[len..]);
        Ok(client)
    }

    pub fn silent(mut self) -> Client {
        self.manners = Manners::Silent;
        self
    }

    pub fn send_text(&mut self, text: &str) {
        self.send_raw(&frame(Opcode::Text, text.as_bytes()));
    }

    pub fn send_binary(&mut self, bytes: &[u8]) {
        self.send_raw(&frame(Opcode::Binary, bytes));
    }

    pub fn send_raw(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).expect("the server takes what is sent");
    }

    /// Sends Close; the answer comes as an event.
    pub fn send_close(&mut self, code: u16) {
        self.send_raw(&frame(Opcode::Close, &code.to_be_bytes()));
    }

    /// Sends FIN, and goes on reading.
    pub fn shut_down(&self) {
        self.stream.shutdown(Shutdown::Write).expect("a connected socket");
    }

    /// The next thing that comes.
    pub fn receive(&mut self) -> Event {
        self.receive_within(WAIT).expect("something from the server")
    }

    /// The next thing that comes, or `None` if nothing does.
    pub fn receive_within(&mut self, wait: Duration) -> Option<Event> {
        let until = Instant::now() + wait;
        loop {
            if let Some(event) = self.events.pop_front() {
                return Some(event);
            }
            // A timeout of zero would mean none.
            let left = until.saturating_duration_since(Instant::now());
            self.stream.set_read_timeout(Some(left.max(MOMENT))).expect("a timeout above zero");
            let mut bytes = [0; 64 * 1024];
            match read(&mut self.stream, &mut bytes) {
                Ok(0) => return Some(Event::Fin),
                Ok(read) => self.take_in(&mut bytes[..read]),
                Err(error) if is_reset(&error) => return Some(Event::Reset),
                Err(error)
                    if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) =>
                {
                    if Instant::now() >= until {
                        return None;
                    }
                }
                Err(error) => panic!("reading from the server: {error}"),
            }
        }
    }

    /// Sends a text and waits for the same text.
    pub fn round_trip(&mut self, text: &str) {
        self.send_text(text);
        assert_eq!(self.receive(), Event::Text(text.to_owned()));
    }

    /// The same where the server pings: Pings may come first.
    pub fn round_trip_between_pings(&mut self, text: &str) {
        self.send_text(text);
        loop {
            match self.receive() {
                Event::Ping(_) => {}
                event => return assert_eq!(event, Event::Text(text.to_owned())),
            }
        }
    }

    /// Waits for a Close with this code, and then for the end of the TCP connection.
    pub fn expect_close(&mut self, code: u16) {
        match self.receive() {
            Event::Close(received, _) if received == code => self.expect_end(),
            event => panic!("{event:?} instead of a Close with {code}"),
        }
    }

    /// Waits for the end of the TCP connection.
    pub fn expect_end(&mut self) {
        let event = self.receive();
        assert!(matches!(event, Event::Fin | Event::Reset), "{event:?} instead of the end");
    }

    fn take_in(&mut self, bytes: &mut [u8]) {
        let mut input = Input::new(bytes);
        loop {
            let event = match self.connection.advance(&self.endpoint, &mut input, &mut self.outbox)
            {
                Step::NeedInput => break,
                Step::Message(message) => message.into(),
                Step::Assembled(message) => message.message().into(),
                Step::Ping(payload) => Event::Ping(payload.into_owned()),
                Step::Pong(payload) => Event::Pong(payload.into_owned()),
                Step::Closed { code, reason } => Event::Close(code.as_u16(), reason.into_owned()),
                Step::Failed(error) => panic!("the server broke a rule: {error}"),
            };
            self.events.push_back(event);
        }
        if self.manners == Manners::Answers {
            // The server may be gone already; then the next read says so.
            let _ = self.stream.write_all(self.outbox.front());
        }
        self.outbox.clear();
    }
}

impl From<Message<'_>> for Event {
    fn from(message: Message<'_>) -> Event {
        match message {
            Message::Text(text) => Event::Text(text.to_owned()),
            Message::Binary(bytes) => Event::Binary(bytes.to_vec()),
        }
    }
}

/// A TCP connection with timeouts.
pub fn connect(addr: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect_timeout(&addr, WAIT).expect("a server that listens");
    stream.set_nodelay(true).expect("a connected socket");
    stream.set_read_timeout(Some(WAIT)).expect("a timeout above zero");
    stream.set_write_timeout(Some(WAIT)).expect("a timeout above zero");
    stream
}

/// A good opening handshake.
pub fn handshake(addr: SocketAddr, target: &str) -> Vec<u8> {
    let host = addr.to_string();
    let mut request = Vec::new();
    let handshake = ClientHandshake::new(&host, target, NONCE, &[]).expect("a good request");
    handshake.write(&mut request);
    request
}

/// One whole masked frame.
pub fn frame(opcode: Opcode, payload: &[u8]) -> Vec<u8> {
    fragment(opcode, true, payload)
}

/// One masked frame, with or without FIN.
pub fn fragment(opcode: Opcode, fin: bool, payload: &[u8]) -> Vec<u8> {
    let mut bytes = header(opcode, fin, payload.len() as u64);
    let start = bytes.len();
    bytes.extend_from_slice(payload);
    KEY.apply(&mut bytes[start..]);
    bytes
}

/// The header of a masked frame, with whatever payload length.
pub fn header(opcode: Opcode, fin: bool, payload_len: u64) -> Vec<u8> {
    let mut bytes = Vec::new();
    let header = FrameHeader { fin, rsv: Rsv::NONE, opcode, masking_key: Some(KEY), payload_len };
    header.write(&mut bytes);
    bytes
}

/// Reads to the end of the TCP connection, by FIN or RST.
pub fn read_to_end(stream: &mut TcpStream) -> Vec<u8> {
    let mut all = Vec::new();
    let mut bytes = [0; 16 * 1024];
    loop {
        match read(stream, &mut bytes) {
            Ok(0) => return all,
            Ok(read) => all.extend_from_slice(&bytes[..read]),
            Err(error) if is_reset(&error) => return all,
            Err(error) => panic!("reading to the end: {error}"),
        }
    }
}

/// One `read`. With a timeout set, Linux interrupts it when the process is stopped and goes on.
pub fn read(stream: &mut TcpStream, bytes: &mut [u8]) -> std::io::Result<usize> {
    loop {
        match stream.read(bytes) {
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            result => return result,
        }
    }
}

/// Waits until something has come, and leaves it there.
pub fn wait_for_bytes(stream: &TcpStream) {
    loop {
        match stream.peek(&mut [0]) {
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            result => return assert_eq!(result.expect("something from the server"), 1),
        }
    }
}

/// The status of an HTTP answer.
pub fn status(answer: &[u8]) -> Option<u16> {
    let rest = answer.strip_prefix(b"HTTP/1.1 ")?;
    std::str::from_utf8(rest.get(..3)?).ok()?.parse().ok()
}

fn is_reset(error: &std::io::Error) -> bool {
    matches!(error.kind(), ErrorKind::ConnectionReset | ErrorKind::BrokenPipe)
}

const NONCE: [u8; 16] = *b"the sample nonce";
const KEY: MaskingKey = MaskingKey([0x37, 0xFA, 0x21, 0x3D]);
const MOMENT: Duration = Duration::from_millis(1);
