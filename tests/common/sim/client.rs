//! A fake client: the client role of the library, plus every bad habit.

use std::collections::VecDeque;

use switchboard::MessageKind;
use switchboard::outbox::Outbox;
use switchboard::protocol::{Connection, Endpoint, Input, Step};
use switchboard::wire::deflate::ClientWindow;
use switchboard::wire::handshake::AnswerError;
use switchboard::wire::{
    ClientHandshake, CloseCode, ClosePayload, DeflateOffer, FrameHeader, MaskingKey, Opcode,
    Parsed, Rsv, WindowBits,
};

use super::Payload;
use super::link::Link;
use super::random::Random;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    Connecting,
    Open,
    /// Close was received or sent, or the handshake was refused.
    Closed,
}

pub struct Client {
    pub link: usize,
    pub target: &'static str,
    pub stage: Stage,
    handshake: ClientHandshake<'static>,
    answer: Vec<u8>,
    endpoint: Endpoint,
    connection: Connection,
    /// Bytes on their way out.
    pub outgoing: VecDeque<u8>,
    /// FIN follows when they are out.
    pub finishing: bool,
    /// Keeps to the protocol. What follows from it is promised to those only.
    pub honest: bool,
    /// Takes nothing from the network for now.
    pub stalled: bool,
    /// Neither reads nor writes any more.
    pub dead: bool,
    /// Was ever stalled or dead, so that the server may lose patience.
    pub slow: bool,
    pub sent: Vec<Payload>,
    pub received: Vec<Payload>,
    pub pings: usize,
    pub pongs: usize,
    pub status: Option<u16>,
    pub close: Option<CloseCode>,
    pub fault: Option<String>,
}

impl Client {
    pub fn new(link: usize, target: &'static str, random: &mut Random) -> Client {
        let mut client = Client::silent(link, target, random);
        let mut request = Vec::new();
        client.handshake.write(&mut request);
        client.outgoing.extend(request);
        client
    }

    /// A client that has not even asked.
    pub fn silent(link: usize, target: &'static str, random: &mut Random) -> Client {
        let nonce = random.bytes(16);
        let nonce = nonce.try_into().unwrap_or([0; 16]);
        let handshake = ClientHandshake::new("localhost", target, nonce, &[]);
        Client {
            link,
            target,
            stage: Stage::Connecting,
            handshake: handshake.expect("a host, a target"),
            answer: Vec::new(),
            endpoint: Endpoint::client(),
            connection: Connection::new(),
            outgoing: VecDeque::new(),
            finishing: false,
            honest: true,
            stalled: false,
            dead: false,
            slow: false,
            sent: Vec::new(),
            received: Vec::new(),
            pings: 0,
            pongs: 0,
            status: None,
            close: None,
            fault: None,
        }
    }

    /// Whether messages may still be sent.
    pub fn may_send(&self) -> bool {
        self.stage != Stage::Closed && !self.finishing && !self.dead
    }

    /// The same client, which offers to compress.
    pub fn offer_deflate(&mut self, random: &mut Random) {
        let window = |random: &mut Random| WindowBits::new(8 + random.below(8) as u8);
        let offer = DeflateOffer {
            server_no_context_takeover: random.percent(30),
            client_no_context_takeover: random.percent(30),
            server_max_window_bits: window(random).filter(|_| random.percent(50)),
            client_max_window_bits: match window(random).filter(|_| random.percent(50)) {
                Some(bits) => ClientWindow::AtMost(bits),
                None => ClientWindow::Limitable,
            },
        };
        self.handshake = self.handshake.clone().with_deflate(offer);
        self.endpoint.deflate_min_bytes = 0;
        let mut request = Vec::new();
        self.handshake.write(&mut request);
        self.outgoing.clear();
        self.outgoing.extend(request);
    }

    // ---- the network ---------------------------------------------------------------------------

    /// Moves up to `max` bytes each way; whether anything moved.
    pub fn pump(&mut self, link: &mut Link, max: usize) -> bool {
        if self.dead {
            return false;
        }
        let mut moved = link.arrive(&mut self.outgoing, max) > 0;
        if self.finishing && self.outgoing.is_empty() && !link.has_sent_fin() {
            link.fin();
            moved = true;
        }
        if self.stalled {
            return moved;
        }
        let bytes = link.take(max);
        moved |= !bytes.is_empty();
        self.receive(bytes);
        if link.is_over() && !self.finishing {
            // The server has ended the TCP connection, so do we. What is not out yet is lost.
            self.outgoing.clear();
            self.finishing = true;
            moved = true;
        }
        moved
    }

    fn receive(&mut self, mut bytes: Vec<u8>) {
        if bytes.is_empty() || self.status.is_some_and(|status| status != 101) {
            return;
        }
        if self.status.is_none() {
            self.answer.append(&mut bytes);
            match self.handshake.check_response(&self.answer) {
                Ok(Parsed::Partial) => return,
                Ok(Parsed::Complete { len, value }) => {
                    if let Some(agreed) = &value.deflate {
                        self.connection.agree(&self.endpoint, agreed);
                    }
                    bytes = self.answer.split_off(len);
                    self.status = Some(101);
                    if self.stage == Stage::Connecting {
                        self.stage = Stage::Open;
                    }
                }
                Err(AnswerError::Refused(status)) => {
                    self.status = Some(status);
                    self.stage = Stage::Closed;
                    return;
                }
                Err(error) => {
                    self.fault = Some(error.to_string());
                    return;
                }
            }
        }
        self.advance(&mut bytes);
    }

    fn advance(&mut self, bytes: &mut [u8]) {
        let mut input = Input::new(bytes);
        let mut outbox = Outbox::new();
        loop {
            match self.connection.advance(&self.endpoint, &mut input, &mut outbox) {
                Step::NeedInput => break,
                Step::Message(message) => self.received.push(message.into()),
                Step::Assembled(message) => self.received.push(message.message().into()),
                Step::Ping(_) => self.pings += 1,
                Step::Pong(_) => self.pongs += 1,
                Step::Closed { code, .. } => {
                    self.close = Some(code);
                    self.stage = Stage::Closed;
                }
                Step::Failed(error) => self.fault = Some(format!("the server broke: {error}")),
            }
        }
        if !self.finishing {
            self.outgoing.extend(outbox.front());
        }
    }

    // ---- good habits ---------------------------------------------------------------------------

    /// Sends a message, cut into up to `pieces` fragments.
    pub fn send(&mut self, payload: Payload, pieces: usize, random: &mut Random) {
        let opcode = match payload.kind {
            MessageKind::Text => Opcode::Text,
            MessageKind::Binary => Opcode::Binary,
        };
        let (rsv, bytes) = self.encoded(&payload);
        let mut rest = &bytes[..];
        for piece in 0..pieces {
            let last = piece + 1 == pieces;
            let len = if last { rest.len() } else { random.below(rest.len() + 1) };
            let opcode = if piece == 0 { opcode } else { Opcode::Continuation };
            let rsv = if piece == 0 { rsv } else { Rsv::NONE };
            self.frame_with(last, rsv, opcode, &rest[..len], random);
            rest = &rest[len..];
            if !last && random.percent(20) {
                self.frame(true, Opcode::Ping, b"between", random);
            }
        }
        if self.honest {
            self.sent.push(payload);
        }
    }

    /// A message as the connection would send it in one frame, compressed if that was agreed.
    fn encoded(&mut self, payload: &Payload) -> (Rsv, Vec<u8>) {
        let mut out = Outbox::new();
        self.connection.send_parts(&self.endpoint, payload.kind, &[&payload.bytes], &mut out);
        match FrameHeader::parse(out.front()) {
            Ok(Parsed::Complete { value, len }) if !value.rsv.is_none() => {
                let mut bytes = out.front()[len..].to_vec();
                value.masking_key.unwrap_or(MaskingKey([0; 4])).apply(&mut bytes);
                (value.rsv, bytes)
            }
            _ => (Rsv::NONE, payload.bytes.clone()),
        }
    }

    pub fn text(&mut self, text: &str, random: &mut Random) {
        self.send(Payload::text(text), 1, random);
    }

    pub fn ping(&mut self, random: &mut Random) {
        self.frame(true, Opcode::Ping, b"there?", random);
    }

    /// Begins the closing handshake.
    pub fn close(&mut self, code: Option<CloseCode>, random: &mut Random) {
        let mut payload = Vec::new();
        if let Some(code) = code {
            ClosePayload { code, reason: "enough" }.write(&mut payload);
        }
        // The state machine must know, or it would answer the server's Close.
        let mut unused = Outbox::new();
        self.connection.close(&self.endpoint, CloseCode::NORMAL, "", &mut unused);
        self.frame(true, Opcode::Close, &payload, random);
        self.stage = Stage::Closed;
    }

    /// Appends one frame. Masking keys come from the seed, so that even what garbage amounts to
    /// is the same in every run.
    pub fn frame(&mut self, fin: bool, opcode: Opcode, payload: &[u8], random: &mut Random) {
        self.frame_with(fin, Rsv::NONE, opcode, payload, random);
    }

    fn frame_with(
        &mut self,
        fin: bool,
        rsv: Rsv,
        opcode: Opcode,
        payload: &[u8],
        random: &mut Random,
    ) {
        let [a, b, c, d, ..] = random.next().to_le_bytes();
        let key = MaskingKey([a, b, c, d]);
        let header = FrameHeader {
            fin,
            rsv,
            opcode,
            masking_key: Some(key),
            payload_len: payload.len() as u64,
        };
        let mut payload = payload.to_vec();
        key.apply(&mut payload);
        self.outgoing.extend(header.encode().iter());
        self.outgoing.extend(payload);
    }

    // ---- bad habits ----------------------------------------------------------------------------

    /// Breaks the protocol in one of many ways.
    pub fn misbehave(&mut self, message_max: u64, random: &mut Random) {
        self.honest = false;
        let raw: Vec<u8> = match random.below(13) {
            0 => {
                let len = random.between(1, 300);
                random.bytes(len)
            }
            1 => b"\x81\x02hi".to_vec(),
            2 => b"\x83\x80\0\0\0\0".to_vec(),
            3 => b"\xC1\x80\0\0\0\0".to_vec(),
            4 => b"\x82\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\0\0\0\0".to_vec(),
            5 => {
                let mut raw = b"\x82\xFF".to_vec();
                raw.extend((message_max.max(65_536) + 1).to_be_bytes());
                raw.extend([0; 4]);
                raw
            }
            6 => b"\x09\x80\0\0\0\0".to_vec(),
            7 => b"\x80\x80\0\0\0\0".to_vec(),
            8 => b"\x81\x82\0\0\0\0\xC3\x28".to_vec(),
            9 => b"\x88\x82\0\0\0\0\x03\xED".to_vec(),
            // Corrupt, if they were allowed to be compressed; and a bomb, of one byte a thousand.
            10 => b"\xC1\x83\0\0\0\0\xFF\xFF\xFF".to_vec(),
            11 => {
                self.endpoint.deflate_min_bytes = 0;
                let bomb = Payload::text(&"a".repeat(message_max as usize + 1));
                let (rsv, bytes) = self.encoded(&bomb);
                return self.frame_with(true, rsv, Opcode::Text, &bytes, random);
            }
            // More fragments than a message may have, all of them empty.
            _ => {
                let mut raw = b"\x01\x80\0\0\0\0".to_vec();
                raw.extend(b"\x00\x80\0\0\0\0".repeat(70));
                raw
            }
        };
        self.outgoing.extend(raw);
    }

    /// A request that is none, or one without an end.
    pub fn bad_request(&mut self, random: &mut Random) {
        self.honest = false;
        self.outgoing.clear();
        let raw: Vec<u8> = match random.below(6) {
            0 => {
                let len = random.between(1, 2000);
                random.bytes(len)
            }
            1 => b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n".to_vec(),
            2 => b"GET / HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\n\r\nmore".to_vec(),
            3 => [b"GET / HTTP/1.1\r\n".to_vec(), b"X: y\r\n".repeat(2000)].concat(),
            4 => b"GET / HTTP/1.1\r\nHost: sim".to_vec(),
            _ => b"\r\n\r\n\r\n".to_vec(),
        };
        self.outgoing.extend(raw);
    }
}
