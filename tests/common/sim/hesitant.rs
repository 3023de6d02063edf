//! A handler around a handler, which decides about requests at once, later, or never.

use std::collections::{BTreeMap, BTreeSet};

use switchboard::engine::{Closed, Context, Handler, Request, Verdict};
use switchboard::wire::Response;
use switchboard::{ConnId, Message};

use super::random::Random;
use super::watch::{Ledger, Queued};

pub struct Hesitant<H> {
    pub inner: H,
    random: Random,
    /// Undecided, with what the inner handler has decided.
    waiting: BTreeMap<ConnId, Verdict>,
    /// Decided, and not known to have been taken up.
    decided: BTreeSet<ConnId>,
    pub abandoned: usize,
    /// Opened by a late decision.
    pub opened: usize,
    /// What was found wrong.
    pub faults: Vec<String>,
}

impl<H> Hesitant<H> {
    pub fn new(inner: H, random: Random) -> Hesitant<H> {
        Hesitant {
            inner,
            random,
            waiting: BTreeMap::new(),
            decided: BTreeSet::new(),
            abandoned: 0,
            opened: 0,
            faults: Vec::new(),
        }
    }

    fn decide_some(&mut self, cx: &mut Context<'_>, percent: usize) {
        let waiting: Vec<ConnId> = self.waiting.keys().copied().collect();
        for id in waiting {
            if cx.peer(id).is_none() {
                self.faults.push(format!("conn {id}: died pending, and nobody told"));
            }
            if self.random.percent(percent)
                && let Some(verdict) = self.waiting.remove(&id)
            {
                cx.decide(id, verdict);
                cx.decide(id, Verdict::Respond(Response::text(500, "the second decision")));
                self.decided.insert(id);
            }
        }
    }
}

impl<H: Ledger> Ledger for Hesitant<H> {
    fn queued(&self, id: ConnId) -> Queued<'_> {
        self.inner.queued(id)
    }
}

impl<H: Handler> Handler for Hesitant<H> {
    fn on_request(
        &mut self,
        cx: &mut Context<'_>,
        id: ConnId,
        request: &Request<'_, '_>,
    ) -> Verdict {
        let verdict = self.inner.on_request(cx, id, request);
        if self.random.percent(30) {
            return verdict;
        }
        self.waiting.insert(id, verdict);
        if self.random.percent(80) {
            cx.set_timer(self.random.below(4_000) as u64, KEY);
        }
        if self.random.percent(20) {
            self.decide_some(cx, 50);
        }
        Verdict::Pending
    }

    fn on_open(&mut self, cx: &mut Context<'_>, id: ConnId) {
        if self.waiting.contains_key(&id) {
            self.faults.push(format!("conn {id}: opened before the decision"));
        }
        self.opened += usize::from(self.decided.remove(&id));
        self.inner.on_open(cx, id);
    }

    fn on_abandoned(&mut self, cx: &mut Context<'_>, id: ConnId) {
        let waited = self.waiting.remove(&id).is_some();
        if !waited && !self.decided.remove(&id) {
            self.faults.push(format!("conn {id}: abandoned, and was not pending"));
        }
        self.abandoned += 1;
        self.inner.on_abandoned(cx, id);
    }

    fn on_message(&mut self, cx: &mut Context<'_>, id: ConnId, message: Message<'_>) {
        self.decide_some(cx, 5);
        self.inner.on_message(cx, id, message);
    }

    fn on_close(&mut self, cx: &mut Context<'_>, id: ConnId, closed: &Closed) {
        self.inner.on_close(cx, id, closed);
        self.decide_some(cx, 5);
    }

    fn on_drained(&mut self, cx: &mut Context<'_>, id: ConnId) {
        self.inner.on_drained(cx, id);
        self.decide_some(cx, 5);
    }

    fn on_timer(&mut self, cx: &mut Context<'_>, key: u64) {
        match key {
            KEY => self.decide_some(cx, 60),
            _ => self.inner.on_timer(cx, key),
        }
    }

    fn before_flush(&mut self, cx: &mut Context<'_>) {
        self.decide_some(cx, 2);
        self.inner.before_flush(cx);
    }
}

/// Of its own timers.
const KEY: u64 = u64::MAX;
