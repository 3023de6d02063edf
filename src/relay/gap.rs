//! Gaps: how many messages a connection missed because it does not read.
//!
//! ```text
//!   outbox   ....|=========|high
//!                           x x x          three messages skipped and counted
//!            ..|===|low                    it reads again
//!            ..|===|{"type":"gap","dropped":3}|...
//! ```
//!
//! The plain dialect keeps nothing for a connection that does not read, but it says so: what was
//! skipped is announced as soon as there is room, before anything else is queued.
//!
//! This module does not know what was skipped.

use std::collections::HashMap;

use super::reply::Pieces;
use crate::engine::{Context, Delivery};
use crate::hub::ConnId;
use crate::outbox::Frame;
use crate::protocol::MessageKind;

/// Connections that missed something and have not been told. Nearly always empty.
#[derive(Default)]
pub struct Gaps {
    dropped: HashMap<ConnId, u64>,
    scratch: String,
}

impl Gaps {
    /// Nobody missed anything.
    pub fn new() -> Gaps {
        Gaps::default()
    }

    /// Queues one message, given in pieces, behind the announcement of what was missed before it.
    pub fn send_parts(
        &mut self,
        cx: &mut Context<'_>,
        to: ConnId,
        kind: MessageKind,
        parts: &[&[u8]],
    ) -> Delivery {
        self.announce(cx, to);
        cx.send_parts(to, kind, parts)
    }

    /// Queues one encoded message behind the announcement of what was missed before it.
    pub fn send_frame(&mut self, cx: &mut Context<'_>, to: ConnId, frame: &Frame) -> Delivery {
        self.announce(cx, to);
        cx.send_frame(to, frame)
    }

    /// Notes that a message did not reach a connection, if `delivery` says that it could not.
    pub fn note(&mut self, to: ConnId, delivery: Delivery) {
        match delivery {
            Delivery::Congested | Delivery::Dropped => *self.dropped.entry(to).or_insert(0) += 1,
            Delivery::Queued | Delivery::Gone => {}
        }
    }

    /// Tells a connection what it missed, if it missed anything and there is room for the news.
    pub fn announce(&mut self, cx: &mut Context<'_>, to: ConnId) {
        if self.dropped.is_empty() {
            return;
        }
        let Some(&dropped) = self.dropped.get(&to) else { return };
        let pieces = Pieces::gap(dropped, &mut self.scratch);
        match cx.send_parts(to, MessageKind::Text, &pieces.as_parts()) {
            Delivery::Queued | Delivery::Gone => self.forget(to),
            Delivery::Congested | Delivery::Dropped => {}
        }
    }

    /// A connection is gone, or has been told.
    pub fn forget(&mut self, id: ConnId) {
        if self.dropped.remove(&id).is_some() && self.dropped.is_empty() {
            self.dropped = HashMap::new();
        }
    }
}
