//! The application's endpoint: who somebody is, by what the application says about his cookie.
//!
//! ```text
//!   the opening handshake                      the question (GET, asked elsewhere)
//!     Cookie: PHPSESSID=91c0f2          --->     Cookie: PHPSESSID=91c0f2
//!     Origin: https://app.example.org            Origin: https://app.example.org
//!     GET /chat?user=alice                       X-Forwarded-Uri: /chat
//!     Host: chat.example.org                     X-Forwarded-Host: chat.example.org
//!     from 192.0.2.7                             X-Forwarded-For: 192.0.2.7
//!
//!   the answer                                 what it means
//!     200 {"user":"alice","roles":["member"],    alice, until then
//!          "groups":["staff"],"expires":1893456000}
//!     401, 403                                   refused, with the same status
//!     anything else, or nothing                  503: nobody knows
//! ```
//!
//! One credential is passed on, the first one found; a token from any place goes as
//! `Authorization: Bearer`. A good answer is kept for some seconds, by a digest of all that was
//! asked, so that a page which reconnects does not ask anew; a refusal is not, because whoever has
//! just signed in should not have to wait.
//!
//! This module does not know how the question gets there: see [`Ask`].

use std::collections::{HashMap, VecDeque};
use std::fmt;
use std::sync::Arc;

use super::Identity;
use super::credentials::Value;
use super::identity::Keys;
use super::json::Json;
use super::secret::Fingerprint;
use crate::engine::Remote;
use crate::hub::ConnId;
use crate::timer::{Millis, UnixMillis};
use crate::wire::RequestHead;

/// What takes a question to the endpoint, without waiting. What comes of it is told to
/// [`Relay::answered`](crate::relay::Relay::answered).
pub trait Ask: fmt::Debug + Send {
    /// Asks; the ticket says later who it was about.
    ///
    /// # Errors
    ///
    /// [`NotAsked`], and nothing will be heard of it.
    fn ask(&mut self, ticket: Ticket, headers: Vec<Header>) -> Result<(), NotAsked>;
}

/// Who a question is about.
#[derive(Clone, Copy, Debug)]
pub struct Ticket {
    pub(in crate::relay) id: ConnId,
    pub(in crate::relay) fingerprint: Fingerprint,
}

/// A header line of a question.
#[derive(Clone, PartialEq, Eq)]
pub struct Header {
    /// Its name.
    pub name: &'static str,
    /// Its value, which may be a secret.
    pub value: Vec<u8>,
}

/// Only the name.
impl fmt::Debug for Header {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: ***", self.name)
    }
}

/// Why a question is not asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NotAsked {
    /// Too many others wait.
    Busy,
    /// The credential has a character that no header can have.
    Unsendable,
}

/// What came of a question.
#[derive(Clone)]
pub enum Answer {
    /// Nothing, and why.
    Nothing(Box<str>),
    /// A reply.
    Reply {
        /// Its status code.
        status: u16,
        /// Its body.
        body: Vec<u8>,
    },
}

/// Without the body: it is about somebody.
impl fmt::Debug for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Answer::Nothing(why) => write!(f, "Nothing({why:?})"),
            Answer::Reply { status, body } => write!(f, "Reply({status}, {} bytes)", body.len()),
        }
    }
}

/// Why an answer names nobody.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::relay) enum Unanswered {
    /// The endpoint does not want him: 401.
    Unauthorized,
    /// The endpoint does not want him: 403.
    Forbidden,
    /// It was somebody, whose time is over.
    Expired,
    /// Nobody knows; the text says why, for the log.
    Failed(String),
}

impl Answer {
    /// Who it names.
    pub(in crate::relay) fn identity(
        &self,
        wall: UnixMillis,
        name_max: usize,
    ) -> Result<Arc<Identity>, Unanswered> {
        let failed = |why: &dyn fmt::Display| Unanswered::Failed(why.to_string());
        let body = match self {
            Answer::Nothing(why) => return Err(failed(why)),
            Answer::Reply { status: 200..=299, body } => body,
            Answer::Reply { status: 401, .. } => return Err(Unanswered::Unauthorized),
            Answer::Reply { status: 403, .. } => return Err(Unanswered::Forbidden),
            Answer::Reply { status, .. } => return Err(failed(&format_args!("status {status}"))),
        };
        let text = str::from_utf8(body).map_err(|_| failed(&"the body is not UTF-8"))?;
        let json = Json::parse(text).map_err(|error| failed(&error))?;
        let mut object = json.into_object().ok_or_else(|| failed(&"the body is no object"))?;
        let identity =
            Identity::read(&mut object, &KEYS, name_max).map_err(|error| failed(&error))?;
        if identity.expires_at.is_some_and(|expires_at| expires_at <= wall) {
            return Err(Unanswered::Expired);
        }
        Ok(Arc::new(identity))
    }
}

/// What the endpoint is told about a handshake beside its credential.
pub(in crate::relay) fn forwarded(head: &RequestHead<'_, '_>, peer: Remote) -> Vec<Header> {
    let mut headers = Vec::new();
    let mut push = |name, value| headers.push(Header { name, value });
    if let Some(origin) = head.header("Origin") {
        push("Origin", origin.to_vec());
    }
    // The query stays here: it may have a token in it.
    push("X-Forwarded-Uri", head.path().as_bytes().to_vec());
    if let Some(host) = head.header("Host") {
        push("X-Forwarded-Host", host.to_vec());
    }
    // What a proxy says comes first, and who connected here last: only that is known.
    let ip = peer.ip().map(|ip| ip.to_string().into_bytes());
    let hops: Vec<&[u8]> = head.headers_named("X-Forwarded-For").chain(ip.as_deref()).collect();
    if !hops.is_empty() {
        push("X-Forwarded-For", hops.join(&b", "[..]));
    }
    headers
}

/// The headers of a question, and what its answer is kept by.
pub(in crate::relay) fn question(
    credential: &Value<'_>,
    forwarded: &[Header],
) -> (Fingerprint, Vec<Header>) {
    let own = match credential {
        Value::Authorization(value) => Header { name: "Authorization", value: value.to_vec() },
        Value::Cookies(value) => Header { name: "Cookie", value: value.to_vec() },
        Value::Token(token) => {
            Header { name: "Authorization", value: [b"Bearer ", &**token].concat() }
        }
    };
    let headers: Vec<Header> = std::iter::once(own).chain(forwarded.iter().cloned()).collect();
    let parts = headers.iter().flat_map(|header| [header.name.as_bytes(), &header.value]);
    (Fingerprint::of_all(parts), headers)
}

/// Good answers of the last seconds.
pub(in crate::relay) struct Cache {
    identities: HashMap<Fingerprint, Arc<Identity>>,
    /// In the order in which they came, which is the order in which they end.
    ends: VecDeque<(Millis, Fingerprint)>,
    ttl_ms: u64,
    /// Invariant: `ends` has no more entries than this, and one for each identity.
    entries_max: usize,
}

impl Cache {
    pub(in crate::relay) fn new(ttl_ms: u64, entries_max: usize) -> Cache {
        Cache { identities: HashMap::new(), ends: VecDeque::new(), ttl_ms, entries_max }
    }

    /// Whom the endpoint named when it was asked the same just now.
    pub(in crate::relay) fn find(
        &mut self,
        fingerprint: Fingerprint,
        now: Millis,
        wall: UnixMillis,
    ) -> Option<Arc<Identity>> {
        self.forget(now);
        let identity = self.identities.get(&fingerprint)?;
        let is_over = identity.expires_at.is_some_and(|expires_at| expires_at <= wall);
        (!is_over).then(|| Arc::clone(identity))
    }

    /// Keeps a good answer; the oldest one goes if there are too many.
    pub(in crate::relay) fn keep(
        &mut self,
        fingerprint: Fingerprint,
        identity: &Arc<Identity>,
        now: Millis,
    ) {
        self.forget(now);
        if self.ttl_ms == 0 || self.entries_max == 0 {
            return;
        }
        // Asked twice at once: the first answer's time counts for both.
        if self.identities.insert(fingerprint, Arc::clone(identity)).is_some() {
            return;
        }
        if self.ends.len() == self.entries_max {
            self.forget_first();
        }
        self.ends.push_back((now.after(self.ttl_ms), fingerprint));
    }

    pub(in crate::relay) fn clear(&mut self) {
        self.identities.clear();
        self.ends.clear();
    }

    fn forget(&mut self, now: Millis) {
        while self.ends.front().is_some_and(|(end, _)| *end <= now) {
            self.forget_first();
        }
    }

    fn forget_first(&mut self) {
        if let Some((_, fingerprint)) = self.ends.pop_front() {
            self.identities.remove(&fingerprint);
        }
    }
}

const KEYS: Keys = Keys { user: "user", roles: "roles", groups: "groups", expires: "expires" };

#[cfg(test)]
mod tests {
    use super::*;

    const WALL: UnixMillis = UnixMillis(1_800_000_000_000);

    fn answer(status: u16, body: &str) -> Result<Arc<Identity>, Unanswered> {
        Answer::Reply { status, body: body.into() }.identity(WALL, 128)
    }

    #[test]
    fn an_answer_names_somebody_refuses_or_says_nothing() {
        let body = r#"{"user":"alice","roles":["member"],"csrf":"ignored"}"#;
        for status in [200, 201, 299] {
            assert_eq!(&*answer(status, body).unwrap().user, "alice");
        }
        assert_eq!(answer(401, body), Err(Unanswered::Unauthorized));
        assert_eq!(answer(403, "<html>"), Err(Unanswered::Forbidden));
        for status in [100, 204, 301, 302, 304, 400, 404, 429, 500, 503] {
            let body = if status == 204 { "" } else { body };
            assert!(matches!(answer(status, body), Err(Unanswered::Failed(_))), "{status}");
        }
        for body in [
            "",
            "<!doctype html><p>Please sign in",
            "null",
            "[]",
            "\"alice\"",
            "{}",
            r#"{"user":null}"#,
            r#"{"user":""}"#,
            r#"{"user":"alice","user":"eve"}"#,
            r#"{"user":{"name":"alice"}}"#,
            r#"{"user":"alice","roles":"a","roles":"b"}"#,
            r#"{"user":"alice"} {"user":"eve"}"#,
        ] {
            assert!(matches!(answer(200, body), Err(Unanswered::Failed(_))), "{body}");
        }
        let expires = |seconds: u64| answer(200, &format!(r#"{{"user":"a","expires":{seconds}}}"#));
        assert_eq!(expires(1_800_000_000), Err(Unanswered::Expired));
        assert!(expires(1_800_000_001).is_ok());
        let latin = Answer::Reply { status: 200, body: b"{\"user\":\"al\xEFce\"}".to_vec() };
        assert!(matches!(latin.identity(WALL, 128), Err(Unanswered::Failed(_))));
    }

    fn identity() -> Arc<Identity> {
        answer(200, r#"{"user":"alice"}"#).unwrap()
    }

    #[test]
    fn an_answer_is_kept_for_its_time_and_the_oldest_goes_first() {
        let prints: Vec<Fingerprint> = (0..4_u8).map(|byte| Fingerprint::of(&[byte])).collect();
        let mut cache = Cache::new(1000, 3);
        for (at, print) in prints.iter().enumerate() {
            cache.keep(*print, &identity(), Millis(at as u64 * 10));
        }
        let found = |cache: &mut Cache, now| {
            let found = |print: &&Fingerprint| cache.find(**print, Millis(now), WALL).is_some();
            prints.iter().filter(found).count()
        };
        assert_eq!((found(&mut cache, 40), cache.ends.len()), (3, 3));
        assert!(cache.find(prints[0], Millis(40), WALL).is_none());
        assert_eq!(found(&mut cache, 1009), 3);
        assert_eq!(found(&mut cache, 1010), 2);
        // The same again does not live longer for it.
        cache.keep(prints[3], &identity(), Millis(1020));
        assert_eq!((found(&mut cache, 1030), cache.ends.len()), (0, 0));
        cache.keep(prints[3], &identity(), Millis(1030));
        cache.clear();
        assert_eq!(found(&mut cache, 1030), 0);
    }

    #[test]
    fn nothing_is_kept_of_what_is_over_or_where_it_is_off() {
        let print = Fingerprint::of(b"a");
        let body = r#"{"user":"alice","expires":1800000001}"#;
        let mut cache = Cache::new(60_000, 3);
        cache.keep(print, &answer(200, body).unwrap(), Millis(0));
        assert!(cache.find(print, Millis(500), WALL).is_some());
        assert!(cache.find(print, Millis(500), UnixMillis(WALL.0 + 1000)).is_none());
        for mut cache in [Cache::new(0, 3), Cache::new(1000, 0)] {
            cache.keep(print, &identity(), Millis(0));
            assert!(cache.find(print, Millis(0), WALL).is_none() && cache.ends.is_empty());
        }
    }

    #[test]
    fn every_part_of_a_question_counts_for_what_is_kept() {
        let header = |name, value: &str| Header { name, value: value.into() };
        let token = |text: &'static str| Value::Token(text.as_bytes().into());
        let base = [header("Origin", "https://a"), header("X-Forwarded-Uri", "/")];
        let (first, headers) = question(&token("s3cret"), &base);
        assert_eq!(headers[0], header("Authorization", "Bearer s3cret"));
        assert_eq!(headers[1..], base);
        assert!(!format!("{headers:?}").contains("s3cret"));
        assert_eq!(question(&token("s3cret"), &base).0, first);
        let others = [
            question(&token("s3cres"), &base).0,
            question(&Value::Cookies(b"Bearer s3cret"[..].into()), &base).0,
            question(&token("s3cret"), &base[..1]).0,
            question(&token("s3cret"), &[base[0].clone(), header("X-Forwarded-Uri", "/b")]).0,
        ];
        assert!(others.iter().all(|other| *other != first));
        let same = question(&Value::Authorization(b"Bearer s3cret"), &base).0;
        assert_eq!(same, first);
    }
}
