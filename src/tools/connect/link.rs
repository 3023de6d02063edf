//! One connection: an opening handshake and then messages, without a socket.
//!
//! ```text
//!   new -> out: GET / ...        feed: HTTP/1.1 101 ... -> Opened("switchboard.v1")
//!   send -> out: masked frames   feed: frames           -> Text, Binary, Closed
//! ```
//!
//! This module does not know what the messages mean.

use crate::outbox::Outbox;
use crate::protocol::{Connection, Endpoint, Input, Message, Step};
use crate::wire::handshake::{AnswerError, InvalidRequest};
use crate::wire::{ClientHandshake, CloseCode, Parsed};

/// What a handshake asks for.
#[derive(Clone, Debug)]
pub(super) struct Request {
    /// The value of `Host`.
    pub host: String,
    /// Path and query.
    pub target: String,
    /// Subprotocols and credentials, in the order of preference.
    pub protocols: Vec<String>,
    /// Random.
    pub nonce: [u8; 16],
}

/// What came.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Heard {
    /// The connection stands, with this subprotocol.
    Opened(Option<String>),
    /// The server refused, or is none. With an HTTP status, and what its body begins with.
    Refused {
        status: Option<u16>,
        why: String,
    },
    Text(String),
    Binary(Vec<u8>),
    /// The answer to a ping of ours.
    Pong(Vec<u8>),
    /// A ping, which is answered.
    Ping,
    /// The peer's Close.
    Closed {
        code: u16,
        reason: String,
    },
    /// The peer broke a rule of RFC 6455.
    Failed(String),
}

/// A connection, from the first byte of its handshake on.
#[derive(Debug)]
pub(super) struct Link {
    request: Request,
    /// What came of the answer; none once the connection stands.
    answer: Option<Vec<u8>>,
    endpoint: Endpoint,
    connection: Connection,
    out: Outbox,
}

impl Link {
    /// A connection that begins with this request.
    pub fn new(request: Request) -> Result<Link, InvalidRequest> {
        let mut endpoint = Endpoint::client();
        endpoint.message_max_bytes = MESSAGE_MAX_BYTES;
        let mut out = Outbox::new();
        let mut bytes = Vec::new();
        with_handshake(&request, |handshake| handshake.write(&mut bytes))?;
        out.push(&bytes);
        Ok(Link { request, answer: Some(Vec::new()), endpoint, connection: Connection::new(), out })
    }

    /// Takes bytes of the server, and appends what they are.
    pub fn feed(&mut self, bytes: &mut [u8], heard: &mut Vec<Heard>) {
        let Some(answer) = &mut self.answer else { return self.frames(bytes, heard) };
        answer.extend_from_slice(bytes);
        let checked = with_handshake(&self.request, |handshake| {
            let checked = handshake.check_response(answer);
            checked.map(|parsed| match parsed {
                Parsed::Partial => None,
                Parsed::Complete { value, len } => Some((value.protocol.map(str::to_owned), len)),
            })
        });
        match checked {
            Ok(Ok(None)) => {}
            Ok(Ok(Some((protocol, len)))) => {
                let mut rest = answer.split_off(len);
                self.answer = None;
                heard.push(Heard::Opened(protocol));
                self.frames(&mut rest, heard);
            }
            Ok(Err(AnswerError::Refused(status))) => {
                let why = first_line_of_body(answer);
                heard.push(Heard::Refused { status: Some(status), why });
            }
            Ok(Err(error)) => {
                heard.push(Heard::Refused { status: None, why: error.to_string() });
            }
            Err(error) => heard.push(Heard::Refused { status: None, why: error.to_string() }),
        }
    }

    fn frames(&mut self, bytes: &mut [u8], heard: &mut Vec<Heard>) {
        let mut input = Input::new(bytes);
        let message = |message: Message<'_>| match message {
            Message::Text(text) => Heard::Text(text.to_owned()),
            Message::Binary(bytes) => Heard::Binary(bytes.to_vec()),
        };
        loop {
            match self.connection.advance(&self.endpoint, &mut input, &mut self.out) {
                Step::NeedInput => return,
                Step::Message(whole) => heard.push(message(whole)),
                Step::Assembled(assembled) => {
                    heard.push(message(assembled.message()));
                    let (_, buffer, _) = assembled.into_parts();
                    self.endpoint.pool().keep_buffer(buffer);
                }
                Step::Ping(_) => heard.push(Heard::Ping),
                Step::Pong(payload) => heard.push(Heard::Pong(payload.into_owned())),
                Step::Closed { code, reason } => {
                    heard.push(Heard::Closed { code: code.as_u16(), reason: reason.into_owned() });
                    return;
                }
                Step::Failed(error) => {
                    heard.push(Heard::Failed(error.to_string()));
                    return;
                }
            }
        }
    }

    /// Whether the handshake is over.
    pub fn is_open(&self) -> bool {
        self.answer.is_none()
    }

    pub fn send(&mut self, text: &str) {
        self.connection.send(&self.endpoint, Message::Text(text), &mut self.out);
    }

    /// Asks for a Pong with this payload, behind whatever else the server has to say.
    pub fn ping(&mut self, payload: &[u8]) {
        self.connection.ping(&self.endpoint, payload, &mut self.out);
    }

    pub fn close(&mut self, code: CloseCode, reason: &str) {
        self.connection.close(&self.endpoint, code, reason, &mut self.out);
    }

    /// What is to be written, and how much of it was.
    pub fn out(&mut self) -> &mut Outbox {
        &mut self.out
    }
}

/// The same handshake at each call: it borrows what it asks for.
fn with_handshake<T>(
    request: &Request,
    act: impl FnOnce(&mut ClientHandshake<'_>) -> T,
) -> Result<T, InvalidRequest> {
    let protocols: Vec<&str> = request.protocols.iter().map(String::as_str).collect();
    let Request { host, target, nonce, .. } = request;
    Ok(act(&mut ClientHandshake::new(host, target, *nonce, &protocols)?))
}

/// What a refusal says, as far as it is here and can be shown.
fn first_line_of_body(answer: &[u8]) -> String {
    let text = String::from_utf8_lossy(answer);
    let body = text.split_once("\r\n\r\n").map_or("", |(_, body)| body);
    let line = body.lines().next().unwrap_or_default().trim();
    line.chars().filter(|letter| !letter.is_control()).take(SHOWN_MAX).collect()
}

/// The longest message that is taken, in bytes.
const MESSAGE_MAX_BYTES: u64 = 64 << 20;
/// How much of a refusal is shown, in characters.
const SHOWN_MAX: usize = 200;

#[cfg(test)]
mod tests {
    use super::*;

    fn link() -> Link {
        let text = str::to_owned;
        let protocols = vec![text("switchboard.v1"), text("bearer.eA")];
        let (host, target) = (text("localhost:1"), text("/"));
        Link::new(Request { host, target, protocols, nonce: *b"the sample nonce" }).unwrap()
    }

    fn fed(link: &mut Link, bytes: &[u8]) -> Vec<Heard> {
        let mut heard = Vec::new();
        for byte in bytes {
            link.feed(&mut [*byte], &mut heard);
        }
        heard
    }

    const ANSWER: &str = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\
        Connection: Upgrade\r\nSec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n";

    #[test]
    fn a_connection_opens_and_messages_come_however_they_are_cut() {
        let mut link = link();
        let request = String::from_utf8(link.out().front().to_vec()).unwrap();
        assert!(request.contains("Sec-WebSocket-Protocol: switchboard.v1, bearer.eA\r\n"));
        let head = format!("{ANSWER}Sec-WebSocket-Protocol: switchboard.v1\r\n\r\n");
        let bytes = [head.as_bytes(), b"\x81\x05Hello\x82\x01\xff\x89\x00\x88\x05\x0f\xa1bye"];
        let heard = fed(&mut link, &bytes.concat());
        let closed = Heard::Closed { code: 4001, reason: "bye".to_owned() };
        let opened = Heard::Opened(Some("switchboard.v1".to_owned()));
        let (text, binary) = (Heard::Text("Hello".to_owned()), Heard::Binary(vec![255]));
        assert_eq!(heard, [opened, text, binary, Heard::Ping, closed]);
        assert!(link.is_open());
    }

    #[test]
    fn a_refusal_says_why() {
        let mut heard = Vec::new();
        let mut answer = *b"HTTP/1.1 401 Unauthorized\r\n\r\ntoken_\x1brefused\nmore";
        link().feed(&mut answer, &mut heard);
        let why = "token_refused".to_owned();
        assert_eq!(heard, [Heard::Refused { status: Some(401), why }]);
        let other =
            fed(&mut link(), format!("{ANSWER}Sec-WebSocket-Protocol: x\r\n\r\n").as_bytes());
        assert!(matches!(&other[..], [Heard::Refused { status: None, .. }]), "{other:?}");
    }
}
