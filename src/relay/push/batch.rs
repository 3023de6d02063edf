//! Batches: several messages in one request, sent in order, with a result each.
//!
//! ```text
//!   {"messages":[ m0, m1, m2, ... ]}
//!                  |   |   +---- next turn: others are served in between
//!                  +---+-------- this turn, until the send budget is spent
//!   {"results":[ {"online":2}, {"error":{...}}, ... ]}
//! ```
//!
//! A thousand messages to a group of ten thousand are ten million sends. Nobody may keep the loop
//! for that long, so a batch is worked off in turns, and its answer is due when it is done. If the
//! backend goes away meanwhile it is done nevertheless: the answer is kept for whoever repeats the
//! request with its `Idempotency-Key`.
//!
//! This module does not know what a message is.

use std::collections::VecDeque;
use std::ops::Range;

use super::failure::{Failure, Problem};
use super::idempotency::{Known, RequestKey};
use super::keys::Key;
use super::message::read_batch;
use super::request::Call;
use super::route::Place;
use super::{Outcome, json_response, posted, replayed};
use crate::engine::{Context, Verdict};
use crate::hub::ConnId;
use crate::relay::Relay;

/// The batches that are not done yet, each with what is left of it.
#[derive(Default)]
pub(super) struct Batches(VecDeque<Box<Batch>>);

/// One batch.
struct Batch {
    /// Where the answer goes.
    from: ConnId,
    key: Key,
    request_key: Option<RequestKey>,
    /// The body.
    text: Box<str>,
    /// Where in it the messages are that have not been sent.
    left: VecDeque<Range<usize>>,
    answer: String,
}

impl Relay {
    pub(super) fn post_batch(
        &mut self,
        cx: &mut Context<'_>,
        from: ConnId,
        call: &Call<'_>,
        key: Key,
    ) -> Result<Outcome, Failure> {
        let text = posted(cx, call)?;
        let messages = read_batch(text, &self.push.limits)?;
        let request_key = call.request_key(&key, Place::Batch.template())?;
        if self.push.batches.0.len() >= BATCHES_MAX {
            return Err(Problem::TooManyBatches.into());
        }
        if let Some(request_key) = &request_key
            && let Known::Answered(answer) = self.push.table.begin(
                cx.now(),
                request_key.clone(),
                call.body,
                ANSWER_LEN_MIN + messages.len() * RESULT_LEN_MAX,
            )?
        {
            return Ok(Outcome::Now(replayed(&answer)));
        }
        let start = text.as_ptr().addr();
        let place = |message: &&str| {
            let at = message.as_ptr().addr() - start;
            at..at + message.len()
        };
        let left = messages.iter().map(place).collect();
        let answer = String::from(OPENING);
        let text = text.into();
        let batch = Box::new(Batch { from, key, request_key, text, left, answer });
        match self.work(cx, batch, &mut self.push.send_budget.clone()) {
            Ok(answer) => Ok(Outcome::Now(json_response(200, answer))),
            Err(rest) => {
                self.push.batches.0.push_back(rest);
                cx.tick_again();
                Ok(Outcome::Later)
            }
        }
    }

    /// Goes on with the batches that are not done: called once per tick.
    pub(in crate::relay) fn work_off_batches(&mut self, cx: &mut Context<'_>) {
        let mut budget = self.push.send_budget;
        while let Some(batch) = self.push.batches.0.pop_front() {
            let from = batch.from;
            match self.work(cx, batch, &mut budget) {
                Ok(answer) => {
                    self.push.tally.answered(Place::Batch.template(), 200);
                    cx.decide(from, Verdict::Respond(json_response(200, answer)));
                }
                Err(rest) => {
                    // Behind the others, so that all of them come forward.
                    self.push.batches.0.push_back(rest);
                    cx.tick_again();
                    return;
                }
            }
        }
    }

    /// Sends until the batch is done (then its answer) or the budget is spent (then the rest).
    fn work(
        &mut self,
        cx: &mut Context<'_>,
        mut batch: Box<Batch>,
        budget: &mut usize,
    ) -> Result<String, Box<Batch>> {
        while let Some(span) = batch.left.front().cloned() {
            if *budget == 0 {
                return Err(batch);
            }
            batch.left.pop_front();
            if batch.answer.len() > OPENING.len() {
                batch.answer.push(',');
            }
            let result = self.send_one(cx, &batch.key, &batch.text[span]);
            let sends = match result {
                Ok(delivered) => {
                    delivered.write(&mut batch.answer);
                    delivered.online + delivered.missed
                }
                Err(failure) => {
                    failure.write(&mut batch.answer);
                    0
                }
            };
            *budget = budget.saturating_sub(1 + sends);
        }
        batch.answer.push_str("]}");
        if let Some(request_key) = &batch.request_key {
            self.push.table.finish(cx.now(), request_key, &batch.answer);
        }
        Ok(batch.answer)
    }
}

const OPENING: &str = r#"{"results":["#;

/// The answer to a batch without messages.
const ANSWER_LEN_MIN: usize = 14;

/// More than any result: the longest is a failure that shows 32 characters of an unknown key, each
/// escaped twice.
const RESULT_LEN_MAX: usize = 640;

/// Batches that may be under way at once; each keeps its body.
const BATCHES_MAX: usize = 16;
