//! The plain echo server: what conformance suites, benchmarks and learners talk to.

use crate::engine::{Context, Handler};
use crate::hub::ConnId;
use crate::protocol::Message;

/// Sends every message back to where it came from, text as text and binary as binary.
#[derive(Clone, Copy, Debug, Default)]
pub struct Echo;

impl Handler for Echo {
    fn on_message(&mut self, cx: &mut Context<'_>, from: ConnId, message: Message<'_>) {
        // Always queued: a connection that does not read its echoes is not read either.
        let _ = cx.send(from, message);
    }
}
