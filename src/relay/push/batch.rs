//! Batches: several messages in one request, sent in order, with a result each.
//!
//! ```text
//!   {"messages":[ m0, m1, m2, ... ]}
//!                  |   |   +---- next turn: others are served in between
//!                  +---+-------- this turn, until the send budget is spent
//!   {"results":[ {"seq":58,"online":2}, {"error":{...}}, ... ]}    when the last is committed
//! ```
//!
//! A thousand messages to a group of ten thousand are ten million sends. Nobody may keep the loop
//! for that long, so a batch is worked off in turns, and its answer is due when it is done. If the
//! backend goes away meanwhile it is done nevertheless: the answer is kept for whoever repeats the
//! request with its `Idempotency-Key`.
//!
//! This module does not know what a message is.

use std::collections::{HashMap, VecDeque};
use std::ops::Range;

use super::deliver::{Delivered, Sending};
use super::failure::{Failure, Problem};
use super::idempotency::{Answer, Known, RequestKey};
use super::keys::Key;
use super::message::read_batch;
use super::questions::Question;
use super::request::Call;
use super::route::Place;
use super::{Outcome, json_response, posted, replayed};
use crate::engine::{Context, Verdict};
use crate::hub::ConnId;
use crate::relay::Relay;
use crate::timer::Millis;

/// The batches that are not answered yet.
#[derive(Default)]
pub(super) struct Batches {
    all: HashMap<u64, Box<Batch>>,
    /// Those of which some is not sent, in the order of their turns.
    turns: VecDeque<u64>,
    /// The last number that was given out.
    last: u64,
}

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
    /// Of each message that was sent; what the log has not answered, as it is expected.
    results: Vec<Result<Delivered, Failure>>,
    /// How many the log has not answered.
    asked: usize,
    /// Whether the store has the answer, or will when it has what is expected.
    is_stored: bool,
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
        if let Some(request_key) = &request_key
            && let answer_max = ANSWER_LEN_MIN + messages.len() * RESULT_LEN_MAX
            && let Known::Answered(answer) =
                self.begin_once(cx.now(), request_key, call.body, answer_max)?
        {
            return Ok(Outcome::Now(replayed(&answer)));
        }
        if self.push.batches.all.len() >= BATCHES_MAX {
            if let Some(request_key) = &request_key {
                self.push.table.forget(request_key);
            }
            return Err(Problem::TooManyBatches.into());
        }
        let start = text.as_ptr().addr();
        let place = |message: &&str| {
            let at = message.as_ptr().addr() - start;
            at..at + message.len()
        };
        let left: VecDeque<Range<usize>> = messages.iter().map(place).collect();
        let results = Vec::with_capacity(left.len());
        let text = text.into();
        let (asked, is_stored) = (0, false);
        let batch = Batch { from, key, request_key, text, left, results, asked, is_stored };
        let batch = Box::new(batch);
        self.push.batches.last += 1;
        let number = self.push.batches.last;
        match self.work(cx, number, batch, &mut self.push.send_budget.clone()) {
            Some(answer) => Ok(Outcome::Now(json_response(200, answer))),
            None => Ok(Outcome::Later),
        }
    }

    /// Goes on with the batches that are not sent: called once per tick.
    pub(in crate::relay) fn work_off_batches(&mut self, cx: &mut Context<'_>) {
        let mut budget = self.push.send_budget;
        while budget > 0
            && let Some(number) = self.push.batches.turns.pop_front()
        {
            let Some(batch) = self.push.batches.all.remove(&number) else { continue };
            let from = batch.from;
            if let Some(answer) = self.work(cx, number, batch, &mut budget) {
                self.answer_batch(cx, from, answer);
            }
        }
        if !self.push.batches.turns.is_empty() {
            cx.tick_again();
        }
    }

    /// Sends until everything is sent or the budget is spent. The answer, if the batch is done;
    /// else it is kept.
    fn work(
        &mut self,
        cx: &mut Context<'_>,
        number: u64,
        mut batch: Box<Batch>,
        budget: &mut usize,
    ) -> Option<String> {
        while *budget > 0
            && let Some(span) = batch.left.pop_front()
        {
            let at = batch.results.len();
            let question = |kind| Question::Part { batch: number, at, kind };
            let (result, sends) = match self.send_one(cx, &batch.key, &batch.text[span], question) {
                Ok(Sending::Done(delivered)) => {
                    (Ok(delivered), delivered.online + delivered.missed)
                }
                Ok(Sending::Asked { sends, expected }) => {
                    batch.asked += 1;
                    (expected, usize::try_from(sends).unwrap_or(usize::MAX))
                }
                Err(failure) => (Err(failure), 0),
            };
            batch.results.push(result);
            *budget = budget.saturating_sub(1 + sends);
        }
        if batch.left.is_empty() && batch.asked == 0 {
            return Some(self.finish_batch(cx.now(), *batch));
        }
        if batch.left.is_empty() {
            // With the last message, and behind all others.
            self.store_results(cx.now(), &mut batch);
        } else {
            // Behind the others, so that all of them come forward.
            self.push.batches.turns.push_back(number);
            cx.tick_again();
        }
        self.push.batches.all.insert(number, batch);
        None
    }

    /// The log has answered for one message of a batch.
    pub(super) fn conclude_part(
        &mut self,
        cx: &mut Context<'_>,
        number: u64,
        at: usize,
        result: Result<Delivered, Failure>,
    ) {
        let batches = &mut self.push.batches.all;
        let Some(batch) = batches.get_mut(&number) else { return };
        // What was not committed may have taken the answer along.
        batch.is_stored &= result.is_ok() || batch.results[at].is_err();
        batch.results[at] = result;
        batch.asked -= 1;
        if batch.asked == 0
            && batch.left.is_empty()
            && let Some(batch) = batches.remove(&number)
        {
            let from = batch.from;
            let answer = self.finish_batch(cx.now(), *batch);
            self.answer_batch(cx, from, answer);
        }
    }

    /// Has the store keep the answer to a batch of which everything is sent.
    fn store_results(&mut self, now: Millis, batch: &mut Batch) {
        if let Some(request_key) = &batch.request_key
            && !std::mem::replace(&mut batch.is_stored, true)
        {
            self.store_answer(now, request_key, &Answer::new(200, &batch.answer()));
        }
    }

    /// The answer to a batch that is done.
    fn finish_batch(&mut self, now: Millis, mut batch: Batch) -> String {
        self.store_results(now, &mut batch);
        let answer = batch.answer();
        if let Some(request_key) = &batch.request_key {
            self.push.table.finish(now, request_key, Answer::new(200, &answer));
        }
        answer
    }

    fn answer_batch(&mut self, cx: &mut Context<'_>, from: ConnId, answer: String) {
        self.push.tally.answered(Place::Batch.template(), 200);
        cx.decide(from, Verdict::Respond(json_response(200, answer)));
    }
}

impl Batch {
    fn answer(&self) -> String {
        let mut answer = String::from(OPENING);
        for (at, result) in self.results.iter().enumerate() {
            if at > 0 {
                answer.push(',');
            }
            match result {
                Ok(delivered) => delivered.write(&mut answer),
                Err(failure) => failure.write(&mut answer),
            }
        }
        answer.push_str("]}");
        answer
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
