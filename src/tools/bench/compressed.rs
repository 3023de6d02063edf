//! Connections that offer permessage-deflate (RFC 7692), and what goes over the wire for them.
//!
//! ```text
//! message -> compress -> mask -> outbox -> wire -> read -> inflate -> whole message -> the books
//! '--- payload bytes ---'        '---- bytes on the wire ----'        '--- payload bytes ---'
//! ```
//!
//! A compressed frame cannot be made beforehand, nor can one be compared where it was read. So
//! these connections speak through [`Connection`], as any client would, and each message costs this
//! tool about what it costs the server: it takes more than one core of it to keep up with one of
//! the server's. Messages per second of the server's processor time tell the truth all the same.
//!
//! If the server declines, the same messages travel as they are, through the same code: that is
//! what to compare with.
//!
//! This file does not know how a message is compressed, and what is expected of it.

use std::fmt::Write;

use serde_json::{Value, json};

use super::fleet::{Fleet, broken};
use super::intake::close_reason;
use super::report::{bytes, grouped, rounded};
use super::scanner::Sink;
use crate::net::Io;
use crate::outbox::Outbox;
use crate::protocol::{Connection, Endpoint, Input, Message, MessageKind, Step};
use crate::wire::deflate::ClientWindow;
use crate::wire::{CloseCode, DeflateAgreement, DeflateOffer, ProtocolError};

/// The offer: what browsers send.
pub(super) const OFFER: DeflateOffer = DeflateOffer {
    server_no_context_takeover: false,
    client_no_context_takeover: false,
    server_max_window_bits: None,
    client_max_window_bits: ClientWindow::Limitable,
};

/// What the connections of a run share.
#[derive(Debug)]
pub struct Compression {
    pub(super) endpoint: Endpoint,
    /// What went over the wire.
    pub(super) volume: Volume,
}

impl Compression {
    /// Nothing agreed, nothing sent.
    pub(super) fn new() -> Compression {
        let mut endpoint = Endpoint::client();
        // What is too long is found out by its content, not by a limit.
        endpoint.message_max_bytes = MESSAGE_MAX_BYTES;
        endpoint.message_frames_max = MESSAGE_MAX_BYTES;
        // As browsers do: whatever becomes shorter.
        endpoint.deflate_min_bytes = 0;
        Compression { endpoint, volume: Volume::default() }
    }
}

/// One connection of them.
#[derive(Debug, Default)]
pub(super) struct Talk {
    pub connection: Connection,
    pub out: Outbox,
}

impl Talk {
    /// A connection that has just been opened, and what the server has answered to the offer.
    pub fn new(compression: &mut Compression, agreed: Option<&DeflateAgreement>) -> Talk {
        let mut talk = Talk::default();
        if let Some(agreed) = agreed {
            talk.connection.agree(&compression.endpoint, agreed);
        }
        compression.volume.add_agreement(agreed);
        talk
    }

    /// Queues a text message.
    pub fn say(&mut self, compression: &mut Compression, payload: &[u8]) {
        let Compression { endpoint, volume } = compression;
        self.connection.send_parts(endpoint, MessageKind::Text, &[payload], &mut self.out);
        volume.sent_payload_bytes += payload.len() as u64;
    }

    /// Goes through the next bytes that the connection received.
    ///
    /// Returns what the server's Close frame says, if it has come.
    ///
    /// # Errors
    ///
    /// The rule that the server's frames break; the connection is of no use afterwards.
    pub fn feed(
        &mut self,
        compression: &mut Compression,
        bytes: &mut [u8],
        sink: &mut impl Sink,
    ) -> Result<Option<String>, ProtocolError> {
        let Compression { endpoint, volume } = compression;
        volume.received_bytes += bytes.len() as u64;
        let mut input = Input::new(bytes);
        let mut hear = |message: Message<'_>| {
            volume.received_payload_bytes += message.len() as u64;
            sink.whole(message.kind().opcode(), message.as_bytes());
        };
        loop {
            match self.connection.advance(endpoint, &mut input, &mut self.out) {
                Step::NeedInput => return Ok(None),
                Step::Message(message) => hear(message),
                Step::Assembled(message) => {
                    hear(message.message());
                    let (_, buffer, _) = message.into_parts();
                    endpoint.pool().keep_buffer(buffer);
                }
                Step::Ping(_) | Step::Pong(_) => {}
                Step::Closed { code, reason } => {
                    let code = (code != CloseCode::NO_STATUS).then_some(code);
                    return Ok(Some(close_reason(code, &reason)));
                }
                Step::Failed(error) => return Err(error),
            }
        }
    }
}

impl Fleet {
    /// Writes what a connection has to say, as far as it is taken.
    pub(super) fn flush_compressed(&mut self, id: usize) {
        loop {
            if !self.write_out(id) {
                return;
            }
            let conn = &mut self.conns[id];
            let (Some(talk), Some(compression)) = (&mut conn.talk, &mut self.compression) else {
                return;
            };
            let Some((stream, route)) = conn.part.sends else { return };
            if conn.credit == 0 {
                return;
            }
            while conn.credit > 0 && talk.out.len() < WRITE_BYTES {
                let payload = self.outgoing.payload(&route, stream, conn.next);
                talk.say(compression, payload);
                conn.next += 1;
                conn.credit -= 1;
            }
        }
    }

    /// Whether all that waits was taken.
    fn write_out(&mut self, id: usize) -> bool {
        let conn = &mut self.conns[id];
        let (Some(talk), Some(compression)) = (&mut conn.talk, &mut self.compression) else {
            return false;
        };
        while conn.is_open && !talk.out.is_empty() {
            match self.clients.write(id, talk.out.front()) {
                Io::Moved(written) => {
                    talk.out.advance(written);
                    compression.volume.sent_bytes += written as u64;
                }
                Io::Blocked => return false,
                Io::Broken(error) => {
                    self.end(id, &broken(&error));
                    return false;
                }
            }
        }
        conn.is_open
    }

    /// Begins the closing handshake of a connection.
    pub(super) fn close_compressed(&mut self, id: usize) {
        let (Some(talk), Some(compression)) = (&mut self.conns[id].talk, &mut self.compression)
        else {
            return;
        };
        talk.connection.close(&compression.endpoint, CloseCode::NORMAL, "", &mut talk.out);
        self.flush_compressed(id);
    }
}

/// What was sent and received in a whole run, as payload and as bytes on the wire.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Volume {
    /// What the server has agreed to, and on how many connections; `None` where it declined.
    pub agreements: Vec<(Option<DeflateAgreement>, u32)>,
    /// Bytes written after the handshakes, with frame headers.
    pub sent_bytes: u64,
    /// Payload of the messages among them.
    pub sent_payload_bytes: u64,
    /// Bytes read after the handshakes, with frame headers.
    pub received_bytes: u64,
    /// Payload of the messages among them, decompressed.
    pub received_payload_bytes: u64,
}

impl Volume {
    fn add_agreement(&mut self, agreed: Option<&DeflateAgreement>) {
        let agreed = agreed.copied();
        match self.agreements.iter_mut().find(|(known, _)| *known == agreed) {
            Some((_, count)) => *count += 1,
            None => self.agreements.push((agreed, 1)),
        }
    }

    pub(super) fn json(&self) -> Value {
        let agreement = |(agreed, count): &(Option<DeflateAgreement>, u32)| {
            json!({
                "response": agreed.map(|agreed| agreed.to_string()),
                "connections": count,
            })
        };
        json!({
            "agreed": self.agreements.iter().map(agreement).collect::<Vec<_>>(),
            "sent_bytes": self.sent_bytes,
            "sent_payload_bytes": self.sent_payload_bytes,
            "sent_ratio": ratio(self.sent_bytes, self.sent_payload_bytes),
            "received_bytes": self.received_bytes,
            "received_payload_bytes": self.received_payload_bytes,
            "received_ratio": ratio(self.received_bytes, self.received_payload_bytes),
        })
    }

    /// Lines of the table: a name and a text.
    pub(super) fn lines(&self) -> Vec<(&'static str, String)> {
        let mut lines = Vec::new();
        for (agreed, count) in &self.agreements {
            let name = if lines.is_empty() { "compression" } else { "" };
            let mut text = format!("{} connections: ", grouped((*count).into()));
            let _ = match agreed {
                Some(agreed) => write!(text, "{agreed}"),
                None => write!(text, "declined by the server"),
            };
            lines.push((name, text));
        }
        let directions = [
            ("on the wire", "sent", self.sent_bytes, self.sent_payload_bytes),
            ("", "received", self.received_bytes, self.received_payload_bytes),
        ];
        for (name, direction, wire, payload) in directions {
            if let Some(ratio) = ratio(wire, payload) {
                let (wire, payload) = (bytes(wire as f64), bytes(payload as f64));
                let text =
                    format!("{direction} {wire} for {payload} of payload: {:.1} %", ratio * 100.0);
                lines.push((name, text));
            }
        }
        lines
    }
}

fn ratio(wire: u64, payload: u64) -> Option<f64> {
    (payload > 0).then(|| rounded(wire as f64 / payload as f64))
}

/// More than `--size` can ask for.
const MESSAGE_MAX_BYTES: u64 = 1 << 40;

/// How much is compressed before it is written.
const WRITE_BYTES: usize = 64 * 1024;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn agreements_are_counted_apart() {
        let mut volume = Volume::default();
        let agreed = DeflateAgreement { server_no_context_takeover: true, ..Default::default() };
        for agreed in [Some(&agreed), None, Some(&agreed)] {
            volume.add_agreement(agreed);
        }
        let json = volume.json();
        assert_eq!(json["agreed"][0]["connections"], 2);
        assert_eq!(json["agreed"][0]["response"], "permessage-deflate; server_no_context_takeover");
        assert!(json["agreed"][1]["response"].is_null() && json["sent_ratio"].is_null());
        volume.sent_bytes = 250;
        volume.sent_payload_bytes = 1_000;
        let lines = volume.lines();
        assert_eq!(lines[1], ("", "1 connections: declined by the server".to_owned()));
        assert_eq!(lines[2].1, "sent 250 B for 1000 B of payload: 25.0 %");
        assert_eq!(lines.len(), 3);
    }
}
