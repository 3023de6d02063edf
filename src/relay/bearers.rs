//! Bearers: who came in by a credential, and until when.
//!
//! ```text
//!   ends, by the calendar                  one timer
//!   12:00:00 c4   12:00:00 c9   13:30 c7   at the first of them, or in ten seconds if that is
//!   |                                      sooner: the calendar may be set forward meanwhile
//!   v
//!   closed 4401 at noon
//! ```
//!
//! An entry is removed with its connection, so there are never more of them than connections. A
//! calendar that is set back gives everybody more time, as it does to whoever signs tokens.
//!
//! This module does not know what a credential looks like, or what happens to those it names.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::access::Identity;
use super::access::secret::Fingerprint;
use crate::engine::Context;
use crate::hub::{ConnId, ConnMap};
use crate::timer::{Millis, UnixMillis};

/// Everybody who came in by a credential.
pub(super) struct Bearers {
    bearers: ConnMap<Box<Bearer>>,
    ends: BTreeSet<(UnixMillis, ConnId)>,
    /// When the timer is due that looks for the next end. Others may be; they find nothing.
    looks_at: Option<Millis>,
}

/// Somebody who came in by a credential.
#[derive(Clone)]
pub(super) struct Bearer {
    pub(super) identity: Arc<Identity>,
    pub(super) proof: Proof,
}

/// What shows that somebody is who he is; kept for when the access is configured anew.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Proof {
    /// The application said so.
    Endpoint,
    /// A signature.
    Signature,
    /// A token of the file.
    Token(Fingerprint),
}

impl Bearers {
    pub(super) fn new() -> Bearers {
        Bearers { bearers: ConnMap::new(), ends: BTreeSet::new(), looks_at: None }
    }

    pub(super) fn get(&self, id: ConnId) -> Option<&Bearer> {
        self.bearers.get(id).map(|bearer| &**bearer)
    }

    /// Somebody came in, or is somebody else from now on.
    pub(super) fn insert(&mut self, cx: &mut Context<'_>, id: ConnId, bearer: Bearer) {
        self.remove(id);
        if let Some(end) = bearer.identity.expires_at {
            self.ends.insert((end, id));
        }
        self.bearers.insert(id, Box::new(bearer));
        self.set_timer(cx);
    }

    /// A connection is gone. Nothing happens if it came without a credential.
    pub(super) fn remove(&mut self, id: ConnId) {
        let Some(bearer) = self.bearers.remove(id) else { return };
        if let Some(end) = bearer.identity.expires_at {
            self.ends.remove(&(end, id));
        }
    }

    /// Those whose time is over, at most [`ENDS_PER_LOOK`]; called by the timer.
    pub(super) fn ended(&mut self, cx: &mut Context<'_>) -> Vec<ConnId> {
        if self.looks_at.is_some_and(|at| at <= cx.now()) {
            self.looks_at = None;
        }
        let mut ended = Vec::new();
        while let Some(&(end, id)) = self.ends.first() {
            if end > cx.wall() || ended.len() == ENDS_PER_LOOK {
                break;
            }
            self.ends.pop_first();
            ended.push(id);
        }
        self.set_timer(cx);
        ended
    }

    fn set_timer(&mut self, cx: &mut Context<'_>) {
        let Some((end, _)) = self.ends.first() else { return };
        let left_ms = end.0.saturating_sub(cx.wall().0).min(LOOK_EVERY_MS);
        let at = cx.now().after(left_ms);
        if self.looks_at.is_none_or(|looks_at| at < looks_at) {
            self.looks_at = Some(at);
            cx.set_timer(left_ms, EXPIRY_TIMER);
        }
    }
}

/// The key of the timer.
pub(super) const EXPIRY_TIMER: u64 = u64::MAX - 1;

/// How late a calendar that was set forward is noticed.
const LOOK_EVERY_MS: u64 = 10_000;

/// A hundred thousand tokens may end at once; each end is a Close frame.
const ENDS_PER_LOOK: usize = 4096;
