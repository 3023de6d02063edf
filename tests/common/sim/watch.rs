//! A handler around a handler, which holds the engine to its contract and keeps the books.

use std::collections::{BTreeMap, BTreeSet};

use switchboard::engine::{Closed, Context, Delivery, Handler, Remote, Request, Verdict};
use switchboard::protocol::MessageKind;
use switchboard::timer::Millis;
use switchboard::{ConnId, Message};

/// A message with its own bytes.
#[derive(Clone, PartialEq, Eq)]
pub struct Payload {
    pub kind: MessageKind,
    pub bytes: Vec<u8>,
}

impl Payload {
    pub fn text(text: &str) -> Payload {
        Payload { kind: MessageKind::Text, bytes: text.as_bytes().to_vec() }
    }
}

impl From<Message<'_>> for Payload {
    fn from(message: Message<'_>) -> Payload {
        Payload { kind: message.kind(), bytes: message.as_bytes().to_vec() }
    }
}

impl std::fmt::Debug for Payload {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let shown = &self.bytes[..self.bytes.len().min(24)];
        write!(f, "{}:{:?}", self.bytes.len(), String::from_utf8_lossy(shown))
    }
}

/// What a handler has queued, as it knows itself.
pub trait Ledger {
    /// Messages queued to this connection, in order.
    fn queued(&self, id: ConnId) -> Queued<'_>;
}

pub enum Queued<'a> {
    Known(&'a [Payload]),
    /// Whatever it sent.
    Echo,
    /// It does not tell.
    Unknown,
}

/// Where a connection stands, by the callbacks that came.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Phase {
    Asked,
    Open,
    Closed(Closed),
}

/// The books of one run.
#[derive(Debug, Default)]
pub struct Books {
    pub phases: BTreeMap<ConnId, Phase>,
    pub by_peer: BTreeMap<Remote, ConnId>,
    /// Messages delivered to the handler, by the connection they came from.
    pub handled: BTreeMap<ConnId, Vec<Payload>>,
    /// Connections that refused a message and have not told since that they take more.
    pub congested: BTreeSet<ConnId>,
    pub drained: usize,
    pub timers: usize,
    pub faults: Vec<String>,
    last_closed: Option<ConnId>,
    now: Millis,
}

impl Books {
    /// The connection's place and how it ended, if it did.
    pub fn closed(&self, id: ConnId) -> Option<&Closed> {
        match self.phases.get(&id) {
            Some(Phase::Closed(closed)) => Some(closed),
            _ => None,
        }
    }

    pub fn is_open(&self, id: ConnId) -> bool {
        self.phases.get(&id) == Some(&Phase::Open)
    }

    fn fault(&mut self, id: ConnId, text: &str) {
        let phase = self.phases.get(&id);
        self.faults.push(format!("conn {id}: {text} ({phase:?})"));
    }

    /// What every callback for an open connection can count on.
    fn expect_open(&mut self, cx: &Context<'_>, id: ConnId, callback: &str) {
        if !self.is_open(id) || !cx.is_open(id) {
            self.fault(id, callback);
        }
        self.tell_time(cx);
    }

    fn tell_time(&mut self, cx: &Context<'_>) {
        if cx.now() < self.now {
            self.faults.push(format!("time went back to {:?}", cx.now()));
        }
        self.now = cx.now();
    }

    /// Sending to a connection that has ended is refused, always.
    fn try_stale(&mut self, cx: &mut Context<'_>) {
        if let Some(id) = self.last_closed
            && cx.send(id, Message::Text("stale")) != Delivery::Gone
        {
            self.fault(id, "took a message after its end");
        }
    }
}

#[derive(Debug)]
pub struct Watched<H> {
    pub inner: H,
    pub books: Books,
}

impl<H> Watched<H> {
    pub fn new(inner: H) -> Watched<H> {
        Watched { inner, books: Books::default() }
    }
}

impl<H: Handler> Handler for Watched<H> {
    fn on_request(
        &mut self,
        cx: &mut Context<'_>,
        id: ConnId,
        request: &Request<'_, '_>,
    ) -> Verdict {
        self.books.tell_time(cx);
        if self.books.phases.insert(id, Phase::Asked).is_some() {
            self.books.fault(id, "asked again");
        }
        self.books.by_peer.insert(request.peer, id);
        self.inner.on_request(cx, id, request)
    }

    fn on_open(&mut self, cx: &mut Context<'_>, id: ConnId) {
        if self.books.phases.insert(id, Phase::Open) != Some(Phase::Asked) || !cx.is_open(id) {
            self.books.fault(id, "opened");
        }
        self.books.handled.insert(id, Vec::new());
        self.inner.on_open(cx, id);
    }

    fn on_abandoned(&mut self, cx: &mut Context<'_>, id: ConnId) {
        self.books.tell_time(cx);
        if self.books.phases.remove(&id) != Some(Phase::Asked) || cx.is_open(id) {
            self.books.fault(id, "abandoned");
        }
        self.books.last_closed = Some(id);
        self.inner.on_abandoned(cx, id);
    }

    fn on_message(&mut self, cx: &mut Context<'_>, id: ConnId, message: Message<'_>) {
        self.books.expect_open(cx, id, "message");
        self.books.handled.entry(id).or_default().push(message.into());
        self.inner.on_message(cx, id, message);
    }

    fn on_close(&mut self, cx: &mut Context<'_>, id: ConnId, closed: &Closed) {
        self.books.tell_time(cx);
        let before = self.books.phases.insert(id, Phase::Closed(closed.clone()));
        if before != Some(Phase::Open) || cx.is_open(id) {
            self.books.fault(id, "closed");
        }
        let handled = self.books.handled.get(&id).map_or(0, Vec::len);
        if closed.counts.messages_in != handled as u64 {
            self.books.fault(id, "counted other messages than were delivered");
        }
        self.books.last_closed = Some(id);
        self.books.congested.remove(&id);
        self.books.try_stale(cx);
        self.inner.on_close(cx, id, closed);
    }

    fn on_drained(&mut self, cx: &mut Context<'_>, id: ConnId) {
        self.books.expect_open(cx, id, "drained");
        self.books.drained += 1;
        self.inner.on_drained(cx, id);
    }

    fn on_timer(&mut self, cx: &mut Context<'_>, key: u64) {
        self.books.tell_time(cx);
        self.books.timers += 1;
        self.inner.on_timer(cx, key);
    }

    fn before_flush(&mut self, cx: &mut Context<'_>) {
        self.books.try_stale(cx);
        self.inner.before_flush(cx);
    }

    fn user(&self, id: ConnId) -> Option<&str> {
        self.inner.user(id)
    }
}
