//! The seam between the engine and an application: [`Handler`], and the values that cross it.

use std::borrow::Cow;
use std::fmt;

use log::info;

use super::context::Context;
use super::remote::{Door, Remote};
use crate::hub::ConnId;
use crate::protocol::{Deadline, Message};
use crate::wire::{CloseCode, HandshakeError, ProtocolError, RequestHead, Response, Upgrade};

/// An application: Ratchet's callbacks, statically dispatched.
///
/// Only [`on_message`](Handler::on_message) must be written. A call on the [`Context`] only
/// queues; no callback is ever entered from another, and a panic in one closes the connection it
/// was called for (1011) and nothing else.
pub trait Handler: Sized {
    /// A complete and well-formed request head arrived. Decides whether a WebSocket connection is
    /// opened, or answers an ordinary HTTP request.
    ///
    /// A malformed opening handshake never gets here: the engine refuses it (RFC 6455 §4.2.1).
    /// The default opens whatever asks for WebSocket and answers everything else with 426.
    ///
    /// With [`Verdict::Pending`] the decision comes later, by [`Context::decide`], or
    /// [`on_abandoned`](Handler::on_abandoned) says that it is not needed any more. The request is
    /// borrowed, so a handler keeps what it needs of it.
    fn on_request(
        &mut self,
        cx: &mut Context<'_>,
        id: ConnId,
        request: &Request<'_, '_>,
    ) -> Verdict {
        let _ = (cx, id);
        match request.upgrade {
            Some(_) => Verdict::Upgrade { protocol: None },
            None => Verdict::Respond(HandshakeError::UpgradeRequired.into()),
        }
    }

    /// The connection is open: the 101 is queued. Follows the [`Verdict::Upgrade`] of
    /// [`on_request`](Handler::on_request) at once, and one given to [`Context::decide`] when the
    /// callback that gave it is over.
    fn on_open(&mut self, cx: &mut Context<'_>, id: ConnId) {
        let _ = (cx, id);
    }

    /// A connection ended while its [`Verdict::Pending`] stood: its client left, its deadline
    /// passed, the server stops or has no memory left. The last call for this connection.
    fn on_abandoned(&mut self, cx: &mut Context<'_>, id: ConnId) {
        let _ = (cx, id);
    }

    /// A message arrived. It is borrowed from where the read put it.
    fn on_message(&mut self, cx: &mut Context<'_>, id: ConnId, message: Message<'_>);

    /// The connection is over: called exactly once for each that was opened, and last.
    fn on_close(&mut self, cx: &mut Context<'_>, id: ConnId, closed: &Closed) {
        let _ = (cx, id, closed);
    }

    /// A connection that refused something ([`Delivery::Congested`]) takes messages again.
    fn on_drained(&mut self, cx: &mut Context<'_>, id: ConnId) {
        let _ = (cx, id);
    }

    /// A timer set by [`Context::set_timer`] is due.
    fn on_timer(&mut self, cx: &mut Context<'_>, key: u64) {
        let _ = (cx, key);
    }

    /// The operator has changed something that can be read anew: SIGHUP came.
    fn on_hangup(&mut self, cx: &mut Context<'_>) {
        let _ = cx;
        info!("hangup ignored reason=\"there is nothing to reload\"");
    }

    /// The server is about to stop: asked once for each connection that is open, before it is
    /// closed with 1001. The default has nothing against that.
    fn on_stopping(&mut self, cx: &mut Context<'_>, id: ConnId) -> Farewell {
        let _ = (cx, id);
        Farewell::Close
    }

    /// All input of this tick is delivered and nothing of it is written yet.
    fn before_flush(&mut self, cx: &mut Context<'_>) {
        let _ = cx;
    }

    /// Who the connection belongs to, for log lines.
    fn user(&self, id: ConnId) -> Option<&str> {
        let _ = id;
        None
    }
}

/// Who closes a connection when the server stops.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Farewell {
    /// The engine, at once.
    Close,
    /// The handler, within the time that the server takes to stop
    /// ([`Limits::close_timeout_ms`](crate::config::Limits::close_timeout_ms)); then it is dropped.
    Later,
}

/// What a client asked for.
#[derive(Debug)]
pub struct Request<'h, 'b> {
    /// The request head.
    pub head: &'h RequestHead<'h, 'b>,
    /// The opening handshake, checked, if the client asks for WebSocket.
    pub upgrade: Option<&'h Upgrade<'b>>,
    /// Where the client connected from.
    pub peer: Remote,
    /// By which kind of listener it came in.
    pub door: Door,
    /// The request body, complete and decoded; empty if there is none, and always empty at
    /// [`Door::Public`].
    pub body: &'h [u8],
}

/// What [`Handler::on_request`] decides, or [`Context::decide`] after it.
#[derive(Debug)]
pub enum Verdict {
    /// Open a WebSocket connection, naming the subprotocol that was chosen from the offers.
    Upgrade {
        /// Must be one of the offered names.
        protocol: Option<&'static str>,
    },
    /// Answer; and end the connection, unless it came in by [`Door::Admin`] and the client would
    /// ask again.
    Respond(Response),
    /// Not known yet: [`Context::decide`] follows. The deadline of the request head goes on
    /// meanwhile; after it the answer is 503.
    Pending,
}

/// What became of something that was sent. Not an error: a connection may end or fall behind at
/// any time, and only the application knows what that means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub enum Delivery {
    /// It is in the connection's outbox and leaves with this tick's flush.
    Queued,
    /// Refused, nothing was queued: the connection does not read fast enough.
    /// [`Handler::on_drained`] tells when it does again.
    Congested,
    /// Refused, nothing was queued: the server holds as many bytes as it may.
    Dropped,
    /// The connection is closing or gone.
    Gone,
}

/// How a connection ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Closed {
    /// The close code: the peer's, if its Close came first, else ours.
    /// [`CloseCode::ABNORMAL`] if there was no Close at all.
    pub code: CloseCode,
    /// The close reason that goes with it.
    pub reason: Cow<'static, str>,
    /// Who ended it, and why.
    pub cause: Cause,
    /// What it carried.
    pub counts: Counts,
    /// How long it was open, in milliseconds.
    pub lasted_ms: u64,
}

/// Why a connection ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cause {
    /// The application closed it.
    Application,
    /// The peer sent Close.
    Peer,
    /// The peer's TCP connection ended without Close.
    Lost,
    /// A callback panicked.
    Panicked,
    /// The peer broke a rule of the protocol.
    Protocol(ProtocolError),
    /// The server shuts down.
    Shutdown,
    /// The server held as many bytes as it may, and this connection held most of them.
    Overloaded,
    /// A deadline passed.
    Timeout(Deadline),
}

impl Cause {
    /// The cause in one word, as log lines have it after `cause=`.
    pub const fn label(self) -> &'static str {
        match self {
            Cause::Application => "application",
            Cause::Peer => "peer",
            Cause::Lost => "lost",
            Cause::Panicked => "panicked",
            Cause::Protocol(_) => "protocol",
            Cause::Shutdown => "shutdown",
            Cause::Overloaded => "overloaded",
            Cause::Timeout(Deadline::RequestHead) => "head_timeout",
            Cause::Timeout(Deadline::Idle) => "idle_timeout",
            Cause::Timeout(Deadline::Ping | Deadline::Pong) => "ping_timeout",
            Cause::Timeout(Deadline::Close) => "close_timeout",
            Cause::Timeout(Deadline::Write) => "write_timeout",
        }
    }
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.label())
    }
}

/// What a connection carried.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Messages received and delivered to the handler.
    pub messages_in: u64,
    /// Messages queued to the connection.
    pub messages_out: u64,
    /// Bytes read, frames' headers and the request included.
    pub bytes_in: u64,
    /// Bytes written.
    pub bytes_out: u64,
}
