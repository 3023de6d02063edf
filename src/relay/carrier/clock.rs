//! The clock: hearts that beat, what is too old, and the end.
//!
//! ```text
//!   open |-- hello_timeout --| 4408         heard |-- 25 s --| ping |-- 20 s --| 4408
//!   stop   drain ... pending commits answered ... 1012
//! ```
//!
//! This module does not know how long things take.

use super::{Carrier, Stage, Talk, close};
use crate::engine::{Context, Farewell};
use crate::hub::ConnId;
use crate::relay::Relay;
use crate::relay::v1::Closing;
use crate::timer::Millis;

impl Relay {
    /// A connection is gone.
    pub(in crate::relay) fn close_session(&mut self, cx: &mut Context<'_>, id: ConnId) {
        let Some(talk) = self.carrier.conns.remove(id) else { return };
        self.carrier.beats.remove(&(talk.beat, id));
        self.carrier.sessions.closed(id, cx.now());
        // `before_flush` of this tick is over, and others may hear of it.
        cx.tick_again();
    }

    /// The timer of the sessions is due.
    pub(in crate::relay) fn beat(&mut self, cx: &mut Context<'_>) {
        let now = cx.now();
        self.carrier.is_timed = false;
        while let Some(&(at, id)) = self.carrier.beats.first() {
            if at > now {
                break;
            }
            let stage = self.carrier.conns.get(id).map(|talk| talk.stage);
            if stage == Some(Stage::Silent) {
                close(cx, id, Closing::TIMEOUT);
            } else if let Some(heard) = cx.heard(id) {
                self.carrier.sessions.took(id, heard);
            }
            let next = self.carrier.sessions.heartbeat(id, now);
            // One that is being closed is looked after by the engine.
            self.carrier.set_beat(id, next.unwrap_or(NEVER));
        }
        self.carrier.set_timer(cx);
    }

    /// The timer for what is too old is due.
    pub(in crate::relay) fn sweep_logs(&mut self, cx: &mut Context<'_>) {
        self.carrier.is_sweeping = false;
        self.carrier.sessions.sweep(cx.now(), SWEEP_BUDGET);
        self.carrier.set_timer(cx);
    }

    /// The server is about to stop. Who speaks switchboard.v1 is told when to come back, and closed
    /// when everything that was taken is answered.
    pub(in crate::relay) fn bid_farewell(&mut self, cx: &mut Context<'_>, id: ConnId) -> Farewell {
        match self.carrier.conns.get(id) {
            Some(Talk { stage: Stage::Greeted, .. }) => {}
            Some(_) => {
                close(cx, id, Closing::RESTARTING);
                return Farewell::Later;
            }
            None => return Farewell::Close,
        }
        if self.carrier.stopping.is_none() {
            self.carrier.stopping = Some(cx.now());
            self.carrier.sessions.drain(RETURN_SPREAD_MS);
        }
        Farewell::Later
    }

    pub(super) fn stop_sessions(&mut self, cx: &mut Context<'_>) {
        if self.carrier.stopping.is_some() && self.carrier.sessions.is_settled() {
            let now = cx.now();
            self.carrier.sessions.close_all(now);
            self.carry_out(cx);
        }
    }
}

impl Carrier {
    pub(super) fn set_beat(&mut self, id: ConnId, beat: Millis) {
        let Some(talk) = self.conns.get_mut(id) else { return };
        self.beats.remove(&(talk.beat, id));
        talk.beat = beat;
        self.beats.insert((beat, id));
    }

    pub(super) fn set_timer(&mut self, cx: &mut Context<'_>) {
        let first = self.beats.first().filter(|(at, _)| *at != NEVER);
        if let (Some(&(at, _)), false) = (first, self.is_timed) {
            // A later one may come before it; nobody is closed early, and none is late by more.
            let wait_ms = at.since(cx.now()).min(LOOK_EVERY_MS);
            cx.set_timer(wait_ms, BEAT_TIMER);
            self.is_timed = true;
        }
        self.go_on_sweeping(cx);
    }

    /// Sees to it that what is too old is let go of, also if nobody speaks the dialect.
    pub(super) fn go_on_sweeping(&mut self, cx: &mut Context<'_>) {
        if !self.is_sweeping {
            cx.set_timer(SWEEP_EVERY_MS, SWEEP_TIMER);
            self.is_sweeping = true;
        }
    }
}

/// The keys of the timers.
pub(in crate::relay) const BEAT_TIMER: u64 = u64::MAX - 4;
pub(in crate::relay) const SWEEP_TIMER: u64 = u64::MAX - 5;

/// How often it is looked who has been silent for too long.
const LOOK_EVERY_MS: u64 = 1_000;
/// How often some users are looked at for what is too old, and how many.
const SWEEP_EVERY_MS: u64 = 1_000;
const SWEEP_BUDGET: usize = 4_096;
/// Within this time after a restart the clients come back, each at another moment.
const RETURN_SPREAD_MS: u64 = 5_000;
/// After every other moment.
const NEVER: Millis = Millis(u64::MAX);
