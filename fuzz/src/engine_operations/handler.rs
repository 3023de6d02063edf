//! A handler that does what messages ask for, and books that are kept on any handler.
//!
//! ```text
//! "b...."   -> Behaviour::ALL[1], Echo   -> cx.send -> Queued: written down
//! ```
//!
//! This module does not know the network.

use std::collections::HashMap;

use switchboard::engine::Request;
use switchboard::relay::Relay;
use switchboard::{Closed, ConnId, Context, Delivery, Handler, Message, Verdict};

use super::script::Behaviour;
use crate::naive::Event;

/// A handler that may know what it has sent.
pub trait Ledger: Handler {
    /// What was accepted for a connection, in its order; `None` if nobody knows.
    fn queued(&self, id: ConnId) -> Option<&[Event]>;

    /// Another thread wishes that something is sent to a connection.
    fn wish(&mut self, cx: &mut Context<'_>, to: ConnId, len: usize);
}

impl Ledger for Relay {
    fn queued(&self, _: ConnId) -> Option<&[Event]> {
        None
    }

    fn wish(&mut self, _: &mut Context<'_>, _: ConnId, _: usize) {}
}

/// Sends messages on as they ask for.
#[derive(Default)]
pub struct Router {
    open: Vec<ConnId>,
    queued: HashMap<ConnId, Vec<Event>>,
    timers: HashMap<u64, ConnId>,
}

impl Router {
    fn note(&mut self, to: ConnId, delivery: Delivery, event: Event) {
        let is_open = self.open.contains(&to);
        match delivery {
            Delivery::Queued => {
                assert!(is_open, "queued for {to}, which is not open");
                self.queued.entry(to).or_default().push(event);
            }
            Delivery::Congested | Delivery::Dropped => assert!(is_open, "{to} is gone"),
            Delivery::Gone => {}
        }
    }

    /// The one that was opened after this one, around the circle.
    fn next(&self, from: ConnId) -> ConnId {
        let place = self.open.iter().position(|id| *id == from).unwrap_or(0);
        self.open.get((place + 1) % self.open.len().max(1)).copied().unwrap_or(from)
    }

    fn send(&mut self, cx: &mut Context<'_>, to: ConnId, message: Message<'_>) {
        let delivery = cx.send(to, message);
        self.note(to, delivery, event(message));
    }

    fn everybody(&mut self, cx: &mut Context<'_>, message: Message<'_>) {
        let frame = cx.frame(message.kind(), &[message.as_bytes()]);
        for to in self.open.clone() {
            let delivery = cx.send_frame(to, &frame);
            self.note(to, delivery, event(message));
        }
    }

    fn parts(&mut self, cx: &mut Context<'_>, message: Message<'_>) {
        let (head, tail) = message.as_bytes().split_at(message.len() / 2);
        for to in self.open.clone() {
            let delivery = cx.send_parts(to, message.kind(), &[head, b"", tail]);
            self.note(to, delivery, event(message));
        }
    }
}

impl Handler for Router {
    fn on_open(&mut self, _: &mut Context<'_>, id: ConnId) {
        self.open.push(id);
    }

    fn on_message(&mut self, cx: &mut Context<'_>, from: ConnId, message: Message<'_>) {
        let letter = message.as_bytes().first().map_or(0, |byte| byte.wrapping_sub(b'a'));
        match Behaviour::ALL.get(usize::from(letter)) {
            Some(Behaviour::Echo) => self.send(cx, from, message),
            Some(Behaviour::Next) => self.send(cx, self.next(from), message),
            Some(Behaviour::Everybody) => self.everybody(cx, message),
            Some(Behaviour::Parts) => self.parts(cx, message),
            Some(Behaviour::Close) => cx.close(from, switchboard::wire::CloseCode::NORMAL, "asked"),
            Some(Behaviour::CloseNext) => {
                cx.close(self.next(from), switchboard::wire::CloseCode::POLICY_VIOLATION, "");
            }
            Some(Behaviour::Later) => {
                let key = self.timers.len() as u64;
                self.timers.insert(key, from);
                cx.set_timer(message.len() as u64, key);
            }
            Some(Behaviour::Swallow) | None => {}
        }
    }

    fn on_close(&mut self, _: &mut Context<'_>, id: ConnId, closed: &Closed) {
        self.open.retain(|open| *open != id);
        let queued = self.queued.get(&id).map_or(0, Vec::len) as u64;
        assert_eq!(closed.counts.messages_out, queued, "counted and queued for {id}");
    }

    fn on_drained(&mut self, cx: &mut Context<'_>, id: ConnId) {
        assert!(cx.is_open(id), "{id} is drained and not open");
        self.send(cx, id, Message::Text("drained"));
    }

    fn on_timer(&mut self, cx: &mut Context<'_>, key: u64) {
        let to = self.timers[&key];
        self.send(cx, to, Message::Binary(b"late"));
    }
}

impl Ledger for Router {
    fn queued(&self, id: ConnId) -> Option<&[Event]> {
        Some(self.queued.get(&id).map_or(&[], |queued| queued))
    }

    fn wish(&mut self, cx: &mut Context<'_>, to: ConnId, len: usize) {
        self.send(cx, to, Message::Text(&"w".repeat(len)));
    }
}

fn event(message: Message<'_>) -> Event {
    match message {
        Message::Text(text) => Event::Text(text.to_owned()),
        Message::Binary(bytes) => Event::Binary(bytes.to_vec()),
    }
}

// ---- the books ---------------------------------------------------------------------------------

/// A handler, and when it was called for whom.
pub struct Watched<H> {
    /// The handler itself.
    pub inner: H,
    /// Every connection that was ever opened.
    pub lives: HashMap<ConnId, Life>,
    /// Calls that did not return. The engine catches what panics in a handler, and so would hide
    /// an assertion that fails there.
    pub unreturned: usize,
}

/// What the handler was told of one connection.
#[derive(Default)]
pub struct Life {
    /// The messages that were delivered.
    pub delivered: Vec<Event>,
    /// `on_close` came.
    pub is_closed: bool,
}

impl<H> Watched<H> {
    /// Nothing was told yet.
    pub fn new(inner: H) -> Watched<H> {
        Watched { inner, lives: HashMap::new(), unreturned: 0 }
    }

    fn life(&mut self, id: ConnId) -> &mut Life {
        let life = self.lives.get_mut(&id).expect("on_open comes first");
        assert!(!life.is_closed, "{id}: on_close comes last");
        life
    }
}

impl<H> Watched<H> {
    fn watch<T>(&mut self, call: impl FnOnce(&mut Watched<H>) -> T) -> T {
        self.unreturned += 1;
        let result = call(self);
        self.unreturned -= 1;
        result
    }
}

impl<H: Handler> Handler for Watched<H> {
    fn on_request(&mut self, cx: &mut Context<'_>, id: ConnId, asked: &Request<'_, '_>) -> Verdict {
        self.watch(|this| this.inner.on_request(cx, id, asked))
    }

    fn on_open(&mut self, cx: &mut Context<'_>, id: ConnId) {
        self.watch(|this| {
            assert!(this.lives.insert(id, Life::default()).is_none(), "{id} is opened twice");
            this.inner.on_open(cx, id);
        });
    }

    fn on_message(&mut self, cx: &mut Context<'_>, id: ConnId, message: Message<'_>) {
        self.watch(|this| {
            this.life(id).delivered.push(event(message));
            this.inner.on_message(cx, id, message);
        });
    }

    fn on_close(&mut self, cx: &mut Context<'_>, id: ConnId, closed: &Closed) {
        self.watch(|this| {
            let life = this.life(id);
            life.is_closed = true;
            assert_eq!(closed.counts.messages_in, life.delivered.len() as u64);
            this.inner.on_close(cx, id, closed);
        });
    }

    fn on_drained(&mut self, cx: &mut Context<'_>, id: ConnId) {
        self.watch(|this| {
            this.life(id);
            this.inner.on_drained(cx, id);
        });
    }

    fn on_timer(&mut self, cx: &mut Context<'_>, key: u64) {
        self.watch(|this| this.inner.on_timer(cx, key));
    }

    fn before_flush(&mut self, cx: &mut Context<'_>) {
        self.watch(|this| this.inner.before_flush(cx));
    }

    fn user(&self, id: ConnId) -> Option<&str> {
        self.inner.user(id)
    }
}
