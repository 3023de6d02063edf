//! tungstenite, in the words of the reference decoder.
//!
//! ```text
//! Err(Capacity(MessageTooLong { .. }))     Failed(1009)
//! Ok(Message::Close(Some(frame)))          Close(code, reason), Closed
//! ```
//!
//! This module does not know what is right.

use std::io::{self, Read, Write};

use tungstenite::error::{CapacityError, Error};
use tungstenite::protocol::{self, Message, WebSocketConfig, WebSocketContext};

use super::Verdict;
use crate::naive::{Event, Limits, Role, decode};

/// A connection of tungstenite's, and what came of it.
pub struct Other {
    context: WebSocketContext,
    pipe: Pipe,
    role: Role,
    events: Vec<Event>,
    verdict: Verdict,
}

impl Other {
    /// An open connection with the same limits, as far as it has them.
    pub fn new(role: Role, limits: &Limits) -> Other {
        let max = usize::try_from(limits.message_bytes_max).ok();
        let config = WebSocketConfig::default()
            // Or each would take 128 KiB.
            .read_buffer_size(512)
            .write_buffer_size(0)
            .max_message_size(max)
            .max_frame_size(max);
        let side = match role {
            Role::Server => protocol::Role::Server,
            Role::Client => protocol::Role::Client,
        };
        Other {
            context: WebSocketContext::new(side, Some(config)),
            pipe: Pipe::default(),
            role,
            events: Vec::new(),
            verdict: Verdict::Open,
        }
    }

    /// Reads all of it, unless the connection is over.
    pub fn receive(&mut self, bytes: &[u8]) {
        self.pipe.input.extend_from_slice(bytes);
        while self.verdict == Verdict::Open {
            match self.context.read(&mut self.pipe) {
                Ok(message) => self.note(message),
                Err(Error::Io(error)) if error.kind() == io::ErrorKind::WouldBlock => return,
                Err(error) => self.verdict = Verdict::Failed(close_code(&error)),
            }
        }
    }

    fn note(&mut self, message: Message) {
        self.events.push(match message {
            Message::Text(text) => Event::Text(text.as_str().to_owned()),
            Message::Binary(bytes) => Event::Binary(bytes.to_vec()),
            Message::Ping(payload) => Event::Ping(payload.to_vec()),
            Message::Pong(payload) => Event::Pong(payload.to_vec()),
            Message::Close(close) => {
                self.verdict = Verdict::Closed;
                let named = |close: protocol::CloseFrame| {
                    (u16::from(close.code), close.reason.as_str().to_owned())
                };
                Event::Close(close.map(named))
            }
            Message::Frame(frame) => panic!("never read: {frame}"),
        });
    }

    /// What came since the last time, and how things stand.
    pub fn take(&mut self) -> (Vec<Event>, Verdict) {
        (std::mem::take(&mut self.events), self.verdict.clone())
    }

    /// The Pongs that it sent.
    pub fn pongs(&mut self) -> Vec<Event> {
        let peer = match self.role {
            Role::Server => Role::Client,
            Role::Client => Role::Server,
        };
        // The last one may not be out yet.
        let _ = self.context.flush(&mut self.pipe);
        let no_limits = Limits { message_bytes_max: u64::MAX, message_frames_max: u64::MAX };
        let (said, _) = decode(&self.pipe.output, peer, &no_limits);
        said.into_iter().filter(|event| matches!(event, Event::Pong(_))).collect()
    }
}

/// The close code that goes with an error (RFC 6455 §7.4.1).
fn close_code(error: &Error) -> u16 {
    match error {
        Error::Capacity(CapacityError::MessageTooLong { .. }) => 1009,
        Error::Utf8(_) => 1007,
        Error::Protocol(_) => 1002,
        other => panic!("{other:?} from a pipe in memory"),
    }
}

/// What the peer has sent, and what it will read.
#[derive(Default)]
struct Pipe {
    input: Vec<u8>,
    read: usize,
    output: Vec<u8>,
}

impl Read for Pipe {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let rest = &self.input[self.read..];
        if rest.is_empty() {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        let len = rest.len().min(buffer.len());
        buffer[..len].copy_from_slice(&rest[..len]);
        self.read += len;
        Ok(len)
    }
}

impl Write for Pipe {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.output.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
