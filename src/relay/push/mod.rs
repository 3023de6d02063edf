//! The push API: how a backend sends to users, over HTTP and its own listener.
//!
//! ```text
//!   POST /v1/messages HTTP/1.1
//!   Authorization: Bearer 3q2-7wAsiXwMuJb9z4hXrw             who: a key of the keys file
//!   Content-Type: application/json
//!   Idempotency-Key: 7f3a                                    once, however often it is sent
//!
//!   {"receiver":"alice","content":{"invoice":17}}
//!                 |
//!                 v
//!   alice hears   {"sender":"billing","content":{"invoice":17}}
//!                 |
//!                 v
//!   HTTP/1.1 200 OK        {"online":2}                      on two connections
//!   HTTP/1.1 202 Accepted  {"seq":58,"online":0}             kept until alice comes
//! ```
//!
//! What goes into a log is answered when it is committed: until then nobody can know. With it, the
//! answer itself is committed if the request may be repeated: both are on the disk, or neither.
//!
//! [`PROTOCOL.md`](super#a-way-in-for-backends) says what each request does, `openapi.json` says it
//! to programs. A request is judged in this order: origin, key, path, method, body. Nothing is
//! told to somebody without a key but that a key is needed.
//!
//! This module does not know sockets, or how HTTP is framed: it is given a head and a whole body.

mod batch;
mod deliver;
mod failure;
mod idempotency;
mod json;
pub mod keys;
mod message;
mod metrics;
mod openapi;
mod questions;
mod request;
mod route;
mod state;

use std::borrow::Cow;
use std::rc::Rc;

use crate::config::Limits;
use crate::engine::{Context, Verdict};
use crate::hub::ConnId;
use crate::timer::Millis;
use crate::wire::Response;

use self::batch::Batches;
use self::deliver::{Delivered, Sending, delivered, problem};
use self::failure::Failure;
pub use self::failure::Problem;
use self::idempotency::{Answer, Known, RequestKey, Table};
use self::keys::{Key, Keys};
use self::message::{MessageLimits, PushMessage};
use self::metrics::{NO_PLACE, Tally};
use self::questions::{Question, Questions};
pub(super) use self::request::Call;
use self::request::Caller;
use self::route::{Guard, Place, Route};
use super::log::StoredAnswer;
use super::v1::{Posted, Refused};
use super::{Relay, narrow};

/// What the push API keeps between requests.
pub(super) struct Push {
    keys: Keys,
    table: Table,
    /// What the store had for the table, until somebody says what time it is.
    stored: Vec<(Rc<str>, StoredAnswer)>,
    tally: Tally,
    batches: Batches,
    questions: Questions,
    limits: MessageLimits,
    /// Messages that one batch may send before the others have their turn.
    send_budget: usize,
}

impl Push {
    /// Nothing was pushed yet but what the store says, and there is no key to do it with.
    pub(super) fn new(limits: &Limits, stored: Vec<(Rc<str>, StoredAnswer)>) -> Push {
        Push {
            keys: Keys::none(),
            table: Table::new(narrow(limits.idempotency_table_bytes), limits.idempotency_ttl_ms),
            stored,
            tally: Tally::default(),
            batches: Batches::default(),
            questions: Questions::default(),
            limits: MessageLimits {
                name_max: narrow(limits.user_id_max_bytes),
                depth_max: narrow(limits.json_depth_max),
                content_max: narrow(limits.message_max_bytes),
                batch_max: narrow(limits.batch_max),
            },
            send_budget: narrow(limits.send_budget_max),
        }
    }
}

/// A request that is answered now, or later.
enum Outcome {
    Now(Response),
    Later,
}

impl Relay {
    /// Replaces the keys of the push API, of which there are none at first: for a server that
    /// starts, or reads its keys file again. What is under way with an old key goes on.
    pub fn set_keys(&mut self, keys: Keys) {
        self.push.keys = keys;
    }

    /// Answers one request of the push API.
    pub(super) fn push(&mut self, cx: &mut Context<'_>, id: ConnId, call: &Call<'_>) -> Verdict {
        let place = Place::find(call.head.path());
        let template = place.as_ref().map_or(NO_PLACE, Place::template);
        let outcome = self.judge(cx, id, call, place);
        match outcome.unwrap_or_else(|failure| Outcome::Now(failure.response())) {
            Outcome::Now(response) => {
                self.push.tally.answered(template, response.status());
                Verdict::Respond(response)
            }
            Outcome::Later => Verdict::Pending,
        }
    }

    fn judge(
        &mut self,
        cx: &mut Context<'_>,
        id: ConnId,
        call: &Call<'_>,
        place: Result<Place<'_>, Failure>,
    ) -> Result<Outcome, Failure> {
        call.check_origin()?;
        let is_local = place.as_ref().is_ok_and(|place| place.guard() == Guard::Local);
        let key = match call.bearer()? {
            Some(presented) => self.push.keys.find(presented).cloned(),
            None => None,
        };
        let may = key.is_some() || (is_local && call.caller == Caller::Local);
        if !may {
            return Err(Problem::Unauthorized.into());
        }
        let route = place?.route(call.head.method(), self.push.limits.name_max)?;
        let now = |response| Ok(Outcome::Now(response));
        match (route, key) {
            (Route::Livez, _) => now(json_response(200, r#"{"status":"live"}"#)),
            (Route::Readyz, _) if cx.is_stopping() => Err(Problem::Stopping.into()),
            (Route::Readyz, _) => now(json_response(200, r#"{"status":"ready"}"#)),
            (Route::Metrics, _) => now(self.metrics(cx)),
            (Route::OpenApi, _) => now(openapi::respond()),
            (Route::Stats, Some(_)) => now(self.stats(cx)),
            (Route::User(user), Some(_)) => now(self.about_user(&user)),
            (Route::Group(group), Some(_)) => self.about_group(&group, call.head).map(Outcome::Now),
            (Route::Kick(user), Some(_)) => now(self.kick(cx, &user)),
            (Route::AddMember { group, user }, Some(_)) => self.add(cx, id, &group, &user),
            (Route::RemoveMember { group, user }, Some(_)) => self.remove(cx, id, &group, &user),
            (Route::Message, Some(key)) => self.post_message(cx, id, call, &key),
            (Route::Batch, Some(key)) => self.post_batch(cx, id, call, key),
            // Unreachable, for only what everybody may ask is asked without a key; and if it were
            // reached, this would be the answer.
            (_, None) => Err(Problem::Unauthorized.into()),
        }
    }

    fn post_message(
        &mut self,
        cx: &mut Context<'_>,
        from: ConnId,
        call: &Call<'_>,
        key: &Key,
    ) -> Result<Outcome, Failure> {
        let text = posted(cx, call)?;
        let request_key = call.request_key(key, Place::Messages.template())?;
        if let Some(request_key) = &request_key
            && let Known::Answered(answer) =
                self.begin_once(cx.now(), request_key, call.body, DELIVERED_LEN_MAX)?
        {
            return Ok(Outcome::Now(replayed(&answer)));
        }
        let own = request_key.clone();
        let question = move |kind| Question::Message { from, request_key: own, kind };
        let result = match self.send_one(cx, key, text, question) {
            Ok(Sending::Asked { sends, expected }) => {
                self.store_delivered(cx.now(), request_key.as_ref(), &expected);
                cx.owe_sends(sends);
                return Ok(Outcome::Later);
            }
            Ok(Sending::Done(delivered)) => Ok(delivered),
            Err(failure) => Err(failure),
        };
        // What is in no log waits for no commit, nor does its answer.
        self.store_delivered(cx.now(), request_key.as_ref(), &result);
        self.conclude_message(cx.now(), request_key.as_ref(), result).map(Outcome::Now)
    }

    /// A request came that may come again.
    fn begin_once(
        &mut self,
        now: Millis,
        key: &RequestKey,
        body: &[u8],
        answer_max: usize,
    ) -> Result<Known, Failure> {
        let sessions = self.carrier.sessions();
        let stored = std::mem::take(&mut self.push.stored);
        let table = &mut self.push.table;
        table.restore(now, sessions.stamp(now), stored, |key| sessions.forget_answer(key));
        table.expire(now, |key| sessions.forget_answer(&key.text()));
        table.begin(key.clone(), body, answer_max)
    }

    /// Has the store keep the answer to a message in a request of its own, with the message.
    fn store_delivered(
        &mut self,
        now: Millis,
        key: Option<&RequestKey>,
        result: &Result<Delivered, Failure>,
    ) {
        let (Some(key), Ok(delivered)) = (key, result) else { return };
        let mut body = String::new();
        delivered.write(&mut body);
        self.store_answer(now, key, &Answer::new(delivered.status(), &body));
    }

    /// Has the store keep the answer to a request.
    fn store_answer(&mut self, now: Millis, key: &RequestKey, answer: &Answer) {
        let sessions = self.carrier.sessions();
        if let Some(answer) = self.push.table.stored(key, answer, sessions.stamp(now)) {
            sessions.keep_answer(&key.text(), &answer);
        }
    }

    /// What became of a message in a request of its own.
    fn conclude_message(
        &mut self,
        now: Millis,
        request_key: Option<&RequestKey>,
        result: Result<Delivered, Failure>,
    ) -> Result<Response, Failure> {
        let mut body = String::new();
        if let Ok(delivered) = &result {
            delivered.write(&mut body);
        }
        match (&result, request_key) {
            (Ok(delivered), Some(key)) => {
                self.push.table.finish(now, key, Answer::new(delivered.status(), &body));
            }
            (Err(_), Some(key)) => self.push.table.forget(key),
            (_, None) => {}
        }
        result.map(|delivered| json_response(delivered.status(), body))
    }

    /// Reads, sends and counts one message; `question` is what it is to the log.
    fn send_one(
        &mut self,
        cx: &mut Context<'_>,
        key: &Key,
        text: &str,
        question: impl FnOnce(&'static str) -> Question,
    ) -> Result<Sending, Failure> {
        let message = PushMessage::read(text, &self.push.limits)?;
        let kind = message.to.kind();
        let sending = self.deliver(cx, key, &message, || question(kind));
        match &sending {
            Ok(Sending::Asked { .. }) => {}
            Ok(Sending::Done(delivered)) => self.push.tally.message(kind, delivered.label()),
            Err(failure) => self.push.tally.message(kind, failure.label()),
        }
        sending
    }

    /// The log has answered a question.
    pub(super) fn pushed(
        &mut self,
        cx: &mut Context<'_>,
        token: u64,
        outcome: Result<Posted, Refused>,
    ) {
        let Some(question) = self.push.questions.take(token) else { return };
        let (from, place, answer) = match question {
            Question::Part { batch, at, kind } => {
                let result = self.weigh(kind, outcome);
                return self.conclude_part(cx, batch, at, result);
            }
            Question::Message { from, request_key, kind } => {
                let result = self.weigh(kind, outcome);
                let answer = self.conclude_message(cx.now(), request_key.as_ref(), result);
                (from, Place::Messages.template(), answer)
            }
            Question::Membership { from, group, user, membership } => {
                let answer = match outcome {
                    Ok(_) => Ok(state::about_membership(&group, &user, membership)),
                    Err(refused) => Err(problem(refused).into()),
                };
                let member = Place::Member(Cow::default(), Cow::default());
                (from, member.template(), answer)
            }
        };
        let response = answer.unwrap_or_else(|failure| failure.response());
        self.push.tally.answered(place, response.status());
        cx.decide(from, Verdict::Respond(response));
    }

    /// Counts what the log made of a message.
    fn weigh(
        &mut self,
        kind: &'static str,
        outcome: Result<Posted, Refused>,
    ) -> Result<Delivered, Failure> {
        let result = delivered(outcome);
        let label = match &result {
            Ok(delivered) => delivered.label(),
            Err(failure) => failure.label(),
        };
        self.push.tally.message(kind, label);
        result
    }
}

/// What a POST brings: JSON, and not while the server shuts down.
fn posted<'a>(cx: &Context<'_>, call: &Call<'a>) -> Result<&'a str, Failure> {
    // Everybody is being sent away: "nobody online" would not be the truth.
    if cx.is_stopping() {
        return Err(Problem::Stopping.into());
    }
    call.json()
}

/// An answer in JSON, which nobody on the way may keep.
fn json_response(status: u16, body: impl Into<std::borrow::Cow<'static, str>>) -> Response {
    let body = match body.into() {
        std::borrow::Cow::Borrowed(text) => std::borrow::Cow::Borrowed(text.as_bytes()),
        std::borrow::Cow::Owned(text) => std::borrow::Cow::Owned(text.into_bytes()),
    };
    Response::new(status, "application/json", body)
        .with_header("Cache-Control", b"no-store".as_slice())
}

/// The answer that was given already.
fn replayed(answer: &Answer) -> Response {
    json_response(answer.status, answer.body.to_string())
        .with_header("Idempotent-Replayed", b"true".as_slice())
}

/// `{"seq":9007199254740991,"online":18446744073709551615,"missed":18446744073709551615}`
const DELIVERED_LEN_MAX: usize = 84;
