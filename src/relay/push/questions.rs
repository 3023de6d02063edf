//! Questions: what the log has not answered yet.
//!
//! ```text
//!   POST /v1/messages {"receiver":"alice",...}    question 5, Verdict::Pending
//!        ... the batch with it is committed ...   5 is answered
//!   HTTP/1.1 202 Accepted   {"seq":58,"online":0}
//! ```
//!
//! The connection may be gone by then; the question is answered nevertheless, for whoever repeats
//! it with its `Idempotency-Key`. There are never more than what the sessions hold back for
//! commits.
//!
//! This module does not know what becomes of anything.

use std::collections::HashMap;

use super::idempotency::RequestKey;
use crate::hub::ConnId;

/// Everything that waits for the log.
#[derive(Default)]
pub(super) struct Questions {
    waiting: HashMap<u64, Question>,
    /// The last number that was given out.
    last: u64,
}

/// Something that waits for the log.
pub(super) enum Question {
    /// Who is a member.
    Membership { from: ConnId, group: Box<str>, user: Box<str>, membership: Membership },
    /// A message in a request of its own.
    Message { from: ConnId, request_key: Option<RequestKey>, kind: &'static str },
    /// One of a batch, and which.
    Part { batch: u64, at: usize, kind: &'static str },
}

/// What is said of a user and a group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Membership {
    Member,
    None,
}

impl Questions {
    /// Keeps a question; returns the number to ask it under.
    pub(super) fn keep(&mut self, question: Question) -> u64 {
        self.last += 1;
        self.waiting.insert(self.last, question);
        self.last
    }

    /// The question of this number, which is answered.
    pub(super) fn take(&mut self, number: u64) -> Option<Question> {
        let question = self.waiting.remove(&number);
        if self.waiting.is_empty() && self.waiting.capacity() > EMPTY_MAX {
            self.waiting = HashMap::new();
        }
        question
    }
}

/// Of an empty table that is larger, the memory is given back.
const EMPTY_MAX: usize = 1_024;
