//! Idempotency: a request that is repeated takes effect once.
//!
//! ```text
//!   POST /v1/messages   Idempotency-Key: 7f3a   {"receiver":"alice",…}   sent, 200 {"online":2}
//!        (the answer is lost on its way, the backend tries again)
//!   POST /v1/messages   Idempotency-Key: 7f3a   {"receiver":"alice",…}   not sent, the same answer
//!   POST /v1/messages   Idempotency-Key: 7f3a   {"receiver":"bob",…}     422: this is another one
//!                       (while the first is still being worked off)      409: wait for it
//! ```
//!
//! What is kept is the answer to a request that took effect, and of its body a digest. A request
//! that failed sent nothing, so nothing is kept of it and it may come again. What is kept is kept
//! for its whole time: when there is no room for more, a new key is refused and none forgotten,
//! because a forgotten key would let a message be sent twice.
//!
//! With a store, it has a copy of every answer, and what is in it when the server starts is taken
//! up again: a server that was killed knows what it was asked.
//!
//! This module does not know what a request does, nor the store.

use std::collections::{HashMap, VecDeque};
use std::rc::Rc;
use std::sync::Arc;

use sha2::{Digest, Sha256};

use super::failure::{Failure, Problem};
use super::route::Place;
use crate::relay::log::{Stamp, StoredAnswer};
use crate::timer::Millis;

/// What a request is known by.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct RequestKey {
    /// Whose key of the API it came with.
    pub(super) caller: Arc<str>,
    /// The path.
    pub(super) place: &'static str,
    /// What `Idempotency-Key` says.
    pub(super) id: Box<str>,
}

impl RequestKey {
    /// As it is written down: `7f3a /v1/messages billing`.
    pub(super) fn text(&self) -> String {
        format!("{} {} {}", self.id, self.place, self.caller)
    }

    /// What was written down; `None` if it was something else.
    fn from_text(text: &str) -> Option<RequestKey> {
        // Only the last of them may have spaces in it.
        let mut parts = text.splitn(3, ' ');
        let (id, place, caller) = (parts.next()?, parts.next()?, parts.next()?);
        let places = [Place::Messages.template(), Place::Batch.template()];
        let place = places.into_iter().find(|known| *known == place)?;
        Some(RequestKey { caller: Arc::from(caller), place, id: id.into() })
    }
}

/// What to do with a request.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Known {
    /// It is the first of its kind.
    New,
    /// It was answered with this.
    Answered(Answer),
}

/// What a request was answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Answer {
    /// The status code.
    pub(super) status: u16,
    /// The body, JSON.
    pub(super) body: Rc<str>,
}

impl Answer {
    pub(super) fn new(status: u16, body: &str) -> Answer {
        Answer { status, body: Rc::from(body) }
    }
}

/// The requests that took effect, and their answers.
#[derive(Debug)]
pub(super) struct Table {
    entries: HashMap<Rc<RequestKey>, Entry>,
    /// The answered ones, the oldest first; they all stay equally long.
    due: VecDeque<(Millis, Rc<RequestKey>)>,
    /// What the entries take, about.
    bytes: usize,
    bytes_max: usize,
    ttl_ms: u64,
}

#[derive(Debug)]
struct Entry {
    digest: [u8; 32],
    state: State,
    bytes: usize,
}

#[derive(Debug)]
enum State {
    Running,
    Answered(Answer),
}

impl Table {
    /// An empty table, of about `bytes_max` bytes at most; entries stay for `ttl_ms`.
    pub(super) fn new(bytes_max: usize, ttl_ms: u64) -> Table {
        Table { entries: HashMap::new(), due: VecDeque::new(), bytes: 0, bytes_max, ttl_ms }
    }

    /// Takes up what the store has; `stamp` is what is written down of `now`. `gone` is told which
    /// of it is of no use any more.
    ///
    /// If that is more than there is room for, because there was more, nothing new is taken until
    /// it is not.
    pub(super) fn restore(
        &mut self,
        now: Millis,
        stamp: Stamp,
        mut stored: Vec<(Rc<str>, StoredAnswer)>,
        mut gone: impl FnMut(&str),
    ) {
        stored.sort_by_key(|(_, stored)| stored.at);
        for (request, stored) in stored {
            let age_ms = stamp.0.saturating_sub(stored.at.0);
            let left_ms = self.ttl_ms.saturating_sub(age_ms);
            let Some(key) = RequestKey::from_text(&request).filter(|_| left_ms > 0) else {
                gone(&request);
                continue;
            };
            let StoredAnswer { digest, status, body, .. } = stored;
            let bytes = ENTRY_BYTES + key.id.len() + body.len();
            let key = Rc::new(key);
            let state = State::Answered(Answer { status, body });
            self.bytes += bytes;
            self.due.push_back((now.after(left_ms), Rc::clone(&key)));
            self.entries.insert(key, Entry { digest, state, bytes });
        }
    }

    /// A request came. If it is [new](Known::New), [`finish`](Table::finish) or
    /// [`forget`](Table::forget) has to follow; until then, others with its key are refused. Room
    /// for an answer of `answer_max` bytes is taken at once. To be called after
    /// [`expire`](Table::expire).
    ///
    /// # Errors
    ///
    /// [`Problem::IdempotencyReused`], [`Problem::IdempotencyRunning`],
    /// [`Problem::IdempotencyFull`].
    pub(super) fn begin(
        &mut self,
        key: RequestKey,
        body: &[u8],
        answer_max: usize,
    ) -> Result<Known, Failure> {
        let digest: [u8; 32] = Sha256::digest(body).into();
        if let Some(entry) = self.entries.get(&key) {
            return match &entry.state {
                _ if entry.digest != digest => Err(Problem::IdempotencyReused.into()),
                State::Running => Err(Problem::IdempotencyRunning.into()),
                State::Answered(answer) => Ok(Known::Answered(answer.clone())),
            };
        }
        let bytes = ENTRY_BYTES + key.id.len() + answer_max;
        if bytes > self.bytes_max.saturating_sub(self.bytes) {
            return Err(Problem::IdempotencyFull.into());
        }
        self.bytes += bytes;
        self.entries.insert(Rc::new(key), Entry { digest, state: State::Running, bytes });
        Ok(Known::New)
    }

    /// What a store has to keep of the answer to this request, which takes effect at `at`.
    pub(super) fn stored(
        &self,
        key: &RequestKey,
        answer: &Answer,
        at: Stamp,
    ) -> Option<StoredAnswer> {
        let Entry { digest, .. } = self.entries.get(key)?;
        let Answer { status, body } = answer.clone();
        Some(StoredAnswer { at, digest: *digest, status, body })
    }

    /// The request took effect and was answered so.
    pub(super) fn finish(&mut self, now: Millis, key: &RequestKey, answer: Answer) {
        let Some((key, entry)) = self.entries.remove_entry(key) else { return };
        let bytes = ENTRY_BYTES + key.id.len() + answer.body.len();
        self.bytes = self.bytes - entry.bytes + bytes;
        self.due.push_back((now.after(self.ttl_ms), Rc::clone(&key)));
        let state = State::Answered(answer);
        self.entries.insert(key, Entry { state, bytes, ..entry });
    }

    /// The request had no effect: it may come again.
    pub(super) fn forget(&mut self, key: &RequestKey) {
        if let Some(entry) = self.entries.remove(key) {
            self.bytes -= entry.bytes;
        }
    }

    /// How many are remembered.
    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }

    /// Forgets those whose time is over, and tells `gone` of each: once, so that it costs every
    /// request about one.
    pub(super) fn expire(&mut self, now: Millis, mut gone: impl FnMut(&RequestKey)) {
        while let Some((until, _)) = self.due.front()
            && *until <= now
            && let Some((_, key)) = self.due.pop_front()
        {
            self.forget(&key);
            gone(&key);
        }
        if self.entries.is_empty() && self.entries.capacity() > 0 {
            (self.entries, self.due) = (HashMap::new(), VecDeque::new());
        }
    }
}

/// What an entry takes beside its texts, about: two counted pointers, the key's parts, digest,
/// state, and a place in a table that is half full.
const ENTRY_BYTES: usize = 320;

#[cfg(test)]
mod tests {
    use super::*;

    fn key(id: &str) -> RequestKey {
        RequestKey { caller: Arc::from("billing"), place: "/v1/messages", id: id.into() }
    }

    fn begin(
        table: &mut Table,
        now: Millis,
        key: RequestKey,
        body: &[u8],
        answer_max: usize,
    ) -> Result<Known, Failure> {
        table.expire(now, |_| {});
        table.begin(key, body, answer_max)
    }

    fn problem(result: Result<Known, Failure>) -> Problem {
        result.unwrap_err().problem
    }

    #[test]
    fn the_example_of_the_module_documentation() {
        let mut table = Table::new(10_000, 300_000);
        let now = Millis(0);
        assert_eq!(begin(&mut table, now, key("7f3a"), b"alice", 100), Ok(Known::New));
        let while_it_runs = begin(&mut table, now, key("7f3a"), b"alice", 100);
        assert_eq!(problem(while_it_runs), Problem::IdempotencyRunning);
        table.finish(now, &key("7f3a"), Answer::new(202, "online 2"));
        let again = begin(&mut table, Millis(299_999), key("7f3a"), b"alice", 100);
        assert_eq!(again, Ok(Known::Answered(Answer::new(202, "online 2"))));
        let other = begin(&mut table, now, key("7f3a"), b"bob", 100);
        assert_eq!(problem(other), Problem::IdempotencyReused);
        // Another caller's key, and the same key on another path, are other keys.
        let callers = RequestKey { caller: Arc::from("cron"), ..key("7f3a") };
        let places = RequestKey { place: "/v1/messages:batch", ..key("7f3a") };
        for other in [callers, places] {
            assert_eq!(begin(&mut table, now, other.clone(), b"bob", 100), Ok(Known::New));
            table.forget(&other);
        }
    }

    #[test]
    fn an_answer_is_kept_for_its_time_and_no_longer() {
        let mut table = Table::new(10_000, 1_000);
        for (at, id) in [(0, "a"), (500, "b")] {
            assert_eq!(begin(&mut table, Millis(at), key(id), b"", 0), Ok(Known::New));
            table.finish(Millis(at), &key(id), Answer::new(200, id));
        }
        assert!(matches!(begin(&mut table, Millis(999), key("a"), b"", 0), Ok(Known::Answered(_))));
        assert_eq!(begin(&mut table, Millis(1_000), key("a"), b"another", 0), Ok(Known::New));
        table.forget(&key("a"));
        assert!(matches!(
            begin(&mut table, Millis(1_499), key("b"), b"", 0),
            Ok(Known::Answered(_))
        ));
        assert_eq!(begin(&mut table, Millis(1_500), key("b"), b"", 0), Ok(Known::New));
        table.forget(&key("b"));
        assert_eq!((table.len(), table.bytes), (0, 0));
    }

    #[test]
    fn a_full_table_refuses_new_keys_and_forgets_none() {
        let mut table = Table::new(10 * (ENTRY_BYTES + 2 + 8), 1_000);
        for n in 0..10 {
            let id = format!("{n:02}");
            assert_eq!(begin(&mut table, Millis(0), key(&id), b"", 8), Ok(Known::New), "{id}");
            table.finish(Millis(0), &key(&id), Answer::new(200, "12345678"));
        }
        let one_more = begin(&mut table, Millis(0), key("10"), b"", 8);
        assert_eq!(problem(one_more), Problem::IdempotencyFull);
        assert!(matches!(begin(&mut table, Millis(0), key("00"), b"", 8), Ok(Known::Answered(_))));
        assert_eq!(
            begin(&mut table, Millis(1_000), key("10"), b"", 8),
            Ok(Known::New),
            "they are gone"
        );
    }

    #[test]
    fn what_has_no_effect_leaves_nothing() {
        let mut table = Table::new(1_000, 1_000);
        for _ in 0..100 {
            assert_eq!(begin(&mut table, Millis(0), key("a"), b"1", 500), Ok(Known::New));
            table.forget(&key("a"));
            assert_eq!(begin(&mut table, Millis(0), key("a"), b"2", 500), Ok(Known::New));
            table.forget(&key("a"));
        }
        assert_eq!((table.len(), table.bytes, table.due.len()), (0, 0, 0));
    }

    #[test]
    fn what_was_stored_is_known_for_the_rest_of_its_time() {
        let mut before = Table::new(10_000, 1_000);
        let callers = RequestKey { caller: Arc::from("night shift"), ..key("a") };
        let mut stored = Vec::new();
        for (at, key) in [(5_600, key("b")), (5_200, callers.clone()), (4_500, key("c"))] {
            assert_eq!(begin(&mut before, Millis(0), key.clone(), b"1", 9), Ok(Known::New));
            let answer = Answer::new(202, "kept");
            let answer = before.stored(&key, &answer, Stamp(at)).unwrap();
            stored.push((Rc::from(key.text()), answer));
        }
        let rubbish = ("a /elsewhere billing", stored[0].1.clone());
        stored.push((Rc::from(rubbish.0), rubbish.1));
        let mut table = Table::new(10_000, 1_000);
        let mut gone = Vec::new();
        let now = Millis(20);
        table.restore(now, Stamp(6_000), stored, |request| gone.push(request.to_owned()));
        assert_eq!(gone, ["c /v1/messages billing", "a /elsewhere billing"]);
        let known = Ok(Known::Answered(Answer::new(202, "kept")));
        assert_eq!(begin(&mut table, Millis(219), callers.clone(), b"1", 9), known);
        let other = begin(&mut table, Millis(219), callers.clone(), b"2", 9);
        assert_eq!(problem(other), Problem::IdempotencyReused);
        let mut gone = Vec::new();
        table.expire(Millis(220), |key| gone.push(key.text()));
        assert_eq!(gone, ["a /v1/messages night shift"]);
        assert_eq!(begin(&mut table, Millis(619), key("b"), b"1", 9), known);
        table.expire(Millis(620), |_| {});
        assert_eq!((table.len(), table.bytes), (0, 0));
    }
}
