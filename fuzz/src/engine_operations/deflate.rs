//! permessage-deflate (RFC 7692) as a client sees it.
//!
//! ```text
//! Sec-WebSocket-Extensions: permessage-deflate; server_no_context_takeover     -> Agreed
//! c1 07 f2 48 cd c9 c9 07 00   -> plain   -> 81 05 48 65 6c 6c 6f
//! 48 65 6c 6c 6f               -> stored  -> 00 05 00 fa ff 48 65 6c 6c 6f 00
//! ```
//!
//! What is agreed is read by splitting, and what comes is inflated by the plain inflater. What a
//! client compresses, the library compresses for it; blocks without compression are made by hand.
//! This module does not know the engine.

use switchboard::MessageKind;
use switchboard::outbox::Outbox;
use switchboard::protocol::{Connection, Endpoint};
use switchboard::wire::{DeflateAgreement, FrameHeader, Opcode, Parsed, Rsv, WindowBits};

use super::script::Coding;
use crate::plain_inflate::inflate_message;
use crate::subject::frame_with;

/// What each client offers, if clients offer anything: one of them does not.
pub fn offer(client: u8) -> Option<&'static str> {
    match client {
        0 => Some("permessage-deflate"),
        1 => Some("permessage-deflate; client_max_window_bits=9"),
        2 => Some("permessage-deflate; server_max_window_bits=9"),
        3 => None,
        4 => Some("permessage-deflate; server_no_context_takeover"),
        _ => Some("permessage-deflate; client_no_context_takeover"),
    }
}

/// What one end has agreed to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Terms {
    /// Its messages may refer to those before them.
    keeps: bool,
    /// How far back, as a power of two.
    window: u8,
}

/// What a server has agreed to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Agreed {
    server: Terms,
    client: Terms,
}

impl Agreed {
    /// Reads the response, as soon as the whole head of it is there.
    pub fn read(output: &[u8]) -> Option<Agreed> {
        let end = output.windows(4).position(|window| window == b"\r\n\r\n")?;
        let head = std::str::from_utf8(&output[..end]).expect("a head is ASCII");
        let name = "Sec-WebSocket-Extensions: ";
        let value = head.split("\r\n").find_map(|line| line.strip_prefix(name))?;
        let (mut server, mut client) =
            (Terms { keeps: true, window: 15 }, Terms { keeps: true, window: 15 });
        let mut words = value.split("; ");
        assert_eq!(words.next(), Some("permessage-deflate"));
        for word in words {
            match word.split_once('=') {
                None if word == "server_no_context_takeover" => server.keeps = false,
                None if word == "client_no_context_takeover" => client.keeps = false,
                Some(("server_max_window_bits", bits)) => server.window = bits.parse().unwrap_or(0),
                Some(("client_max_window_bits", bits)) => client.window = bits.parse().unwrap_or(0),
                _ => panic!("{word} is no parameter"),
            }
        }
        Some(Agreed { server, client })
    }

    /// Whether the server keeps a window for this connection.
    pub fn keeps(&self) -> bool {
        self.server.keeps || self.client.keeps
    }

    /// The frames of a server with nothing compressed in them. What it must not do is left as it
    /// is: the reference decoder refuses RSV1.
    pub fn plain(&self, frames: &[u8]) -> Vec<u8> {
        let (mut rest, mut plain, mut history) = (frames, Vec::new(), Vec::new());
        while let Ok(Parsed::Complete { value, len }) = FrameHeader::parse(rest) {
            let payload_len = value.payload_len as usize;
            let Some(payload) = rest.get(len..len + payload_len) else { break };
            let is_data = matches!(value.opcode, Opcode::Text | Opcode::Binary);
            if value.rsv == Rsv::RSV1 && value.fin && is_data {
                let message = self.inflate(&mut history, payload);
                plain.extend(frame_with(rest[0] & !0x40, None, &message));
            } else {
                plain.extend_from_slice(&rest[..len + payload_len]);
            }
            rest = &rest[len + payload_len..];
        }
        // A compressed message of which a part has come says nothing yet.
        if rest.first().is_none_or(|first| first & 0x70 != 0x40) {
            plain.extend_from_slice(rest);
        }
        plain
    }

    fn inflate(&self, history: &mut Vec<u8>, payload: &[u8]) -> Vec<u8> {
        let inflated = inflate_message(history, payload).expect("what the server sends inflates");
        assert!(inflated.bytes.len() > payload.len(), "compressed, and no shorter");
        assert!(inflated.distance_max <= 1 << self.server.window, "beyond the window");
        if self.server.keeps {
            history.extend_from_slice(&inflated.bytes);
            // RFC 1951 §2: no distance is larger.
            history.drain(..history.len().saturating_sub(32_768));
        }
        inflated.bytes
    }
}

/// A client's end, as far as it compresses.
#[derive(Default)]
pub struct Voice {
    /// What refers to earlier messages; `None` if the next one refers to nothing.
    connection: Option<Connection>,
}

impl Voice {
    /// What a message becomes; `None` if it is sent as it is.
    pub fn encode(
        &mut self,
        endpoint: &Endpoint,
        agreed: &Agreed,
        coding: Coding,
        payload: &[u8],
    ) -> Option<Vec<u8>> {
        match coding {
            Coding::Plain => None,
            Coding::Deflated => self.deflate(endpoint, agreed, payload),
            Coding::Stored | Coding::Final => {
                // The server's window gets what our compressor has not seen.
                self.connection = None;
                Some(stored(payload, coding))
            }
        }
    }

    fn deflate(&mut self, endpoint: &Endpoint, agreed: &Agreed, payload: &[u8]) -> Option<Vec<u8>> {
        let connection = self.connection.get_or_insert_with(|| {
            let mut connection = Connection::new();
            connection.agree(endpoint, &agreed.mirrored());
            connection
        });
        let mut out = Outbox::new();
        assert!(connection.send_parts(endpoint, MessageKind::Binary, &[payload], &mut out));
        let mut frame = Vec::new();
        while !out.is_empty() {
            frame.extend_from_slice(out.front());
            out.advance(out.front().len());
        }
        let Ok(Parsed::Complete { value, len }) = FrameHeader::parse(&frame) else {
            panic!("a frame: {frame:02x?}");
        };
        (value.rsv == Rsv::RSV1).then(|| frame.split_off(len))
    }
}

impl Agreed {
    /// The client's part as if it were a server's: those do not mask what they send.
    fn mirrored(&self) -> DeflateAgreement {
        DeflateAgreement {
            server_no_context_takeover: !self.client.keeps,
            client_no_context_takeover: !self.server.keeps,
            server_max_window_bits: WindowBits::new(self.client.window),
            client_max_window_bits: None,
        }
    }
}

/// RFC 7692 §7.2.3.3: blocks without compression, and the first octet of the empty one that a
/// sender cuts off. RFC 7692 §7.2.3.4: the last of them may say that the stream ends.
fn stored(payload: &[u8], coding: Coding) -> Vec<u8> {
    let mut blocks = Vec::new();
    let mut rest = payload;
    loop {
        let (block, later) = rest.split_at(rest.len().min(0xFFFF));
        rest = later;
        let is_final = rest.is_empty() && coding == Coding::Final;
        let len = block.len() as u16;
        blocks.push(u8::from(is_final));
        blocks.extend(len.to_le_bytes());
        blocks.extend((!len).to_le_bytes());
        blocks.extend_from_slice(block);
        if rest.is_empty() {
            blocks.push(0);
            return blocks;
        }
    }
}
