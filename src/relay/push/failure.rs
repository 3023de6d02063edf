//! Failures: what the push API answers where it does not do what it was asked.
//!
//! ```text
//!   HTTP/1.1 404 Not Found
//!   Content-Type: application/json
//!
//!   {"error":{"code":404,"reason":"unknown_path","message":"there is nothing on this path"}}
//!             |--------|  for programs ---------|  for people ---------------------------|
//! ```
//!
//! All of them are in one table below: code, reason, and what it means. The description of the
//! API (`openapi.json`) and `PROTOCOL.md` list the same reasons, and tests hold them to it.
//!
//! This module does not know when something fails.

use std::borrow::Cow;

use crate::wire::Response;

/// One table, from which everything about a failure comes.
macro_rules! problems {
    ($( $(#[doc = $doc:literal])+ $variant:ident = $code:literal $reason:literal $text:literal; )+)
    => {
        /// What was wrong.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum Problem { $( $(#[doc = $doc])+ $variant, )+ }

        impl Problem {
            /// All of them, in the order of their codes.
            pub const ALL: &[Problem] = &[ $( Problem::$variant, )+ ];

            /// The HTTP status code.
            pub const fn code(self) -> u16 {
                match self { $( Problem::$variant => $code, )+ }
            }

            /// The reason, for programs.
            pub const fn reason(self) -> &'static str {
                match self { $( Problem::$variant => $reason, )+ }
            }

            /// What it means, for people, where there is nothing more exact to say.
            const fn text(self) -> &'static str {
                match self { $( Problem::$variant => $text, )+ }
            }
        }
    };
}

problems! {
    /// A message without `content`.
    ContentMissing = 400 "content_missing" "a message has a `content`";
    /// Not exactly one of `receiver`, `group` and `room`.
    Destination = 400 "destination" "a message has exactly one of `receiver`, `group` and `room`";
    /// A `%` in the path that no two hexadecimal digits follow.
    InvalidEscape = 400 "invalid_escape" "a `%` in the path is followed by two hexadecimal digits";
    /// `Idempotency-Key` is empty, too long, or not visible ASCII; or there are two.
    InvalidIdempotencyKey = 400 "invalid_idempotency_key"
        "an Idempotency-Key is 1 to 128 visible ASCII characters, given once";
    /// The body is not what it has to be: UTF-8, JSON, an object.
    InvalidJson = 400 "invalid_json" "the body is a JSON object in UTF-8";
    /// A user id or a group name that is none.
    InvalidName = 400 "invalid_name" "not a name";
    /// A query parameter that cannot be read.
    InvalidQuery = 400 "invalid_query" "a query parameter cannot be read";
    /// `room` is not a path.
    InvalidRoom = 400 "invalid_room" "a room is a URL path, as in \"/chat\", without a query";
    /// JSON nested deeper than allowed.
    NestingTooDeep = 400 "nesting_too_deep"
        "the JSON has too many arrays and objects in each other";
    /// A known key twice: two readers would read two messages.
    RepeatedKey = 400 "repeated_key" "a key is given twice";
    /// A key that is not known here, and would otherwise be ignored in silence.
    UnknownKey = 400 "unknown_key" "a key is not known";
    /// No key, or none of those in the file; which of the two is not told.
    Unauthorized = 401 "unauthorized" "this needs Authorization: Bearer and a key of the keys file";
    /// A page in a browser asks.
    OriginRefused = 403 "origin_refused"
        "this API is for backends: a request with an Origin is refused";
    /// `sender` is somebody else than the key, which may not speak for others.
    SenderRefused = 403 "sender_refused"
        "this key may not impersonate: leave `sender` away";
    /// There is nothing on this path.
    UnknownPath = 404 "unknown_path"
        "there is nothing on this path; GET /openapi.json lists what there is";
    /// There is something on this path, but not for this method.
    MethodNotAllowed = 405 "method_not_allowed" "not with this method: see Allow";
    /// The first request with this key is not answered yet.
    IdempotencyRunning = 409 "idempotency_running"
        "the first request with this Idempotency-Key is not answered yet";
    /// The user is in as many groups as one may be.
    TooManyGroups = 409 "too_many_groups" "the user is in as many groups as one may be";
    /// `content` is longer than a message may be.
    ContentTooLong = 413 "content_too_long" "the message is longer than one may be (--max-message)";
    /// More messages than one batch may have.
    TooManyMessages = 413 "too_many_messages" "the batch has more messages than one may have";
    /// The body is not declared as JSON.
    NotJson = 415 "not_json" "send the body with Content-Type: application/json";
    /// The key was used with another body.
    IdempotencyReused = 422 "idempotency_reused"
        "this Idempotency-Key was used with another body; nothing was sent";
    /// As many keys are remembered as there is room for.
    IdempotencyFull = 503 "idempotency_full"
        "as many Idempotency-Keys are remembered as there is room for; nothing was sent";
    /// None of those who are there reads fast enough to take more.
    ReceiverCongested = 503 "receiver_congested"
        "nobody of those who are there reads fast enough; nothing was sent";
    /// The server holds as many unsent bytes as it may.
    ServerCongested = 503 "server_congested"
        "the server holds as many unsent bytes as it may; nothing was sent";
    /// The server shuts down.
    Stopping = 503 "stopping" "the server shuts down; nothing was done";
    /// The store has not committed it, or cannot say.
    Store = 503 "store" "it was not committed, as far as is known: it may come again";
    /// As many batches are being worked off as may be at once.
    TooManyBatches = 503 "too_many_batches"
        "as many batches are being worked off as may be at once; nothing was sent";
    /// The receiver is away, and the log is full of what the receiver was promised.
    MailboxFull = 507 "mailbox_full" "the receiver is away and has no room left; nothing was sent";
    /// There is no room for another membership.
    MembershipsFull = 507 "memberships_full"
        "the server keeps as many memberships as it may (--max-memberships)";
    /// As many users have a record as may.
    TooManyUsers = 507 "too_many_users" "as many users have a log as may (--log-users)";
}

/// Why a request, or one message of a batch, was refused: nothing of it took effect.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Failure {
    pub(super) problem: Problem,
    /// In the place of the problem's own text.
    text: Option<Cow<'static, str>>,
    /// The methods that a path has, where the one asked for is not among them.
    allow: Option<&'static str>,
}

impl Failure {
    /// The same with something more exact to say about it.
    pub(super) fn saying(problem: Problem, text: impl Into<Cow<'static, str>>) -> Failure {
        Failure { problem, text: Some(text.into()), allow: None }
    }

    /// A method that the path does not have; it has these.
    pub(super) fn allowing(methods: &'static str) -> Failure {
        Failure { problem: Problem::MethodNotAllowed, text: None, allow: Some(methods) }
    }

    /// What became of a message that failed so, as a label.
    pub(super) fn label(&self) -> &'static str {
        match self.problem.code() {
            503 => "congested",
            507 => "full",
            _ => "refused",
        }
    }

    /// `{"error":{"code":…,"reason":…,"message":…}}`
    pub(super) fn write(&self, out: &mut String) {
        let text = self.text.as_deref().unwrap_or(self.problem.text());
        let (code, reason) = (self.problem.code(), self.problem.reason());
        // Serialised as a value: escaped whatever a name in it has in it.
        let text = serde_json::Value::from(text);
        out.push_str(&format!(
            r#"{{"error":{{"code":{code},"reason":"{reason}","message":{text}}}}}"#
        ));
    }

    /// The answer to a request that failed.
    pub(super) fn response(&self) -> Response {
        let mut body = String::new();
        self.write(&mut body);
        let response = super::json_response(self.problem.code(), body);
        match self.problem.code() {
            // RFC 9110 §11.6.1: a 401 names how to authenticate.
            401 => response.with_header("WWW-Authenticate", b"Bearer".as_slice()),
            // RFC 9110 §15.5.6: a 405 lists what the path does have.
            405 => response.with_header("Allow", self.allow.unwrap_or_default().as_bytes()),
            503 => response.with_header("Retry-After", b"1".as_slice()),
            _ => response,
        }
    }
}

impl From<Problem> for Failure {
    fn from(problem: Problem) -> Failure {
        Failure { problem, text: None, allow: None }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_two_problems_share_a_reason_and_codes_ascend() {
        for (index, a) in Problem::ALL.iter().enumerate() {
            for b in &Problem::ALL[index + 1..] {
                assert_ne!(a.reason(), b.reason());
                assert!(a.code() <= b.code(), "{a:?} {b:?}");
            }
        }
    }

    #[test]
    fn the_protocol_lists_every_reason_under_its_code() {
        let text = include_str!("../PROTOCOL.md").split("# A way in for backends").nth(1).unwrap();
        let mut listed: Vec<(u16, &str)> = Vec::new();
        for row in text.lines().filter_map(|line| line.strip_prefix("| ")) {
            let Some((code, reasons)) = row.split_once(" | ") else { continue };
            let Ok(code) = code.parse() else { continue };
            let words = reasons.split('`').skip(1).step_by(2);
            listed.extend(
                words.filter(|word| !word.contains(char::is_uppercase)).map(|word| (code, word)),
            );
        }
        let known: Vec<(u16, &str)> =
            Problem::ALL.iter().map(|problem| (problem.code(), problem.reason())).collect();
        assert_eq!(listed, known);
    }

    #[test]
    fn every_failure_is_valid_json_whatever_is_said() {
        for &problem in Problem::ALL {
            for text in ["", "a \"quoted\" \\ \n\u{1b} 用户"] {
                let mut written = String::new();
                Failure::saying(problem, text).write(&mut written);
                let value: serde_json::Value = serde_json::from_str(&written).unwrap();
                assert_eq!(value["error"]["code"], problem.code());
                assert_eq!(value["error"]["reason"], problem.reason());
                assert_eq!(value["error"]["message"], text);
            }
        }
    }
}
