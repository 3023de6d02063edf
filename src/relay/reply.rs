//! Replies: what the relay itself says to a connection.
//!
//! ```text
//!   {"type":"error","code":404,"reason":"receiver_offline","receiver":"bob"}
//!   |----------------- one static piece ----------------||---- whom ----|
//! ```
//!
//! Every reply is a few static pieces and at most one name, so replying allocates nothing.
//! All refusals are in one table below: code, reason, and what it means to whoever reads it.
//!
//! This module does not know when a reply is due.

use std::fmt::Write as _;

/// One table, from which everything about a refusal comes.
macro_rules! refusals {
    ($( $(#[doc = $doc:literal])+ $variant:ident = $code:literal $reason:literal; )+) => {
        /// Why a frame was refused. The connection stays open in each case.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum Refusal { $( $(#[doc = $doc])+ $variant, )+ }

        impl Refusal {
            /// All of them, in the order of their codes.
            pub const ALL: &[Refusal] = &[ $( Refusal::$variant, )+ ];

            /// The code, in the manner of HTTP's.
            pub const fn code(self) -> u16 {
                match self { $( Refusal::$variant => $code, )+ }
            }

            /// The reason, for programs.
            pub const fn reason(self) -> &'static str {
                match self { $( Refusal::$variant => $reason, )+ }
            }

            /// The reply up to where a name may follow, without the closing brace.
            const fn opening(self) -> &'static str {
                match self { $( Refusal::$variant => concat!(
                    r#"{"type":"error","code":"#, $code, r#","reason":""#, $reason, "\"",
                ), )+ }
            }
        }
    };
}

refusals! {
    /// `type` is `auth`, but this server asks nobody for credentials.
    AuthNotConfigured = 400 "auth_not_configured";
    /// A `receiver` or a `group`, but no `content`.
    ContentMissing = 400 "content_missing";
    /// `type` is `join` or `leave`, but `group` is not a string.
    GroupNotAString = 400 "group_not_a_string";
    /// `group` is not a name.
    InvalidGroup = 400 "invalid_group";
    /// Not valid JSON, though it names a receiver or a group.
    InvalidJson = 400 "invalid_json";
    /// `receiver` is not a name.
    InvalidReceiver = 400 "invalid_receiver";
    /// `sender` is not a name.
    InvalidSender = 400 "invalid_sender";
    /// JSON nested deeper than allowed.
    NestingTooDeep = 400 "nesting_too_deep";
    /// Both `receiver` and `group`.
    ReceiverAndGroup = 400 "receiver_and_group";
    /// `sender` and `content`, but neither `receiver` nor `group`.
    ReceiverMissing = 400 "receiver_missing";
    /// A known key twice.
    RepeatedKey = 400 "repeated_key";
    /// Broadcasts are switched off.
    BroadcastOff = 403 "broadcast_off";
    /// To a group the sender is not a member of, whether or not it exists.
    NotAMember = 403 "not_a_member";
    /// `sender` is not who this connection is.
    SenderMismatch = 403 "sender_mismatch";
    /// The receiver has no connection but the one the message came from.
    ReceiverOffline = 404 "receiver_offline";
    /// The name is the number of a guest who is connected.
    Taken = 409 "taken";
    /// The user is in as many groups as one may be.
    TooManyGroups = 429 "too_many_groups";
    /// None of the receiver's connections reads fast enough to take more.
    ReceiverCongested = 503 "receiver_congested";
    /// The server holds as many unsent bytes as it may.
    ServerCongested = 503 "server_congested";
}

/// Whom a refused message was for, repeated in the reply so that a client knows which one it was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Target<'a> {
    /// Nobody that was understood.
    Nobody,
    /// A user.
    Receiver(&'a str),
    /// A group.
    Group(&'a str),
}

/// The text of a reply: pieces to be sent in a row.
pub struct Pieces<'a>([&'a str; 4]);

impl<'a> Pieces<'a> {
    /// `{"type":"error",…}`. `scratch` is used if the name in it has to be escaped.
    pub fn error(refusal: Refusal, target: Target<'a>, scratch: &'a mut String) -> Pieces<'a> {
        let opening = refusal.opening();
        match target {
            Target::Nobody => Pieces([opening, "}", "", ""]),
            Target::Receiver(name) => {
                Pieces([opening, r#","receiver":""#, escape(name, scratch), "\"}"])
            }
            Target::Group(name) => Pieces([opening, r#","group":""#, escape(name, scratch), "\"}"]),
        }
    }

    /// The answer to `join` and `leave`.
    pub fn ok(group: &'a str, scratch: &'a mut String) -> Pieces<'a> {
        Pieces([r#"{"type":"ok","group":""#, escape(group, scratch), "\"}", ""])
    }

    /// The answer to `ping`.
    pub fn pong() -> Pieces<'static> {
        Pieces([r#"{"type":"pong"}"#, "", "", ""])
    }

    /// How many messages a connection missed because it did not read.
    pub fn gap(dropped: u64, scratch: &'a mut String) -> Pieces<'a> {
        scratch.clear();
        write!(scratch, "{dropped}").expect("invariant: a String takes what is written to it");
        Pieces([r#"{"type":"gap","dropped":"#, scratch, "}", ""])
    }

    /// The pieces as bytes, for sending.
    pub fn as_parts(&self) -> [&'a [u8]; 4] {
        self.0.map(str::as_bytes)
    }
}

/// A name as it stands between the quotes of a JSON string. Names have no control characters, so
/// only two characters need escaping, and nearly no name has them: then nothing is copied.
#[inline]
pub fn escape<'a>(name: &'a str, scratch: &'a mut String) -> &'a str {
    if name.bytes().any(|byte| byte == b'"' || byte == b'\\') {
        write_escaped(name, scratch)
    } else {
        name
    }
}

#[cold]
fn write_escaped<'a>(name: &str, scratch: &'a mut String) -> &'a str {
    scratch.clear();
    for c in name.chars() {
        if c == '"' || c == '\\' {
            scratch.push('\\');
        }
        scratch.push(c);
    }
    scratch
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(pieces: &Pieces<'_>) -> String {
        String::from_utf8(pieces.as_parts().concat()).unwrap()
    }

    #[test]
    fn an_error_is_written_as_the_protocol_shows_it() {
        let mut scratch = String::new();
        let reply = Pieces::error(Refusal::ReceiverOffline, Target::Receiver("bob"), &mut scratch);
        assert_eq!(
            text(&reply),
            r#"{"type":"error","code":404,"reason":"receiver_offline","receiver":"bob"}"#
        );
        let reply = Pieces::error(Refusal::BroadcastOff, Target::Nobody, &mut scratch);
        assert_eq!(text(&reply), r#"{"type":"error","code":403,"reason":"broadcast_off"}"#);
    }

    #[test]
    fn every_reply_is_valid_json_whatever_the_name() {
        let mut scratch = String::new();
        for name in ["bob", "\"", "\\", "a\"b\\c", "用户", "\u{2028}x", "😀"] {
            for &refusal in Refusal::ALL {
                for target in [Target::Nobody, Target::Receiver(name), Target::Group(name)] {
                    let reply = text(&Pieces::error(refusal, target, &mut scratch));
                    let value: serde_json::Value = serde_json::from_str(&reply).unwrap();
                    assert_eq!(value["code"], refusal.code());
                    assert_eq!(value["reason"], refusal.reason());
                    match target {
                        Target::Nobody => assert_eq!(value.as_object().unwrap().len(), 3),
                        Target::Receiver(name) => assert_eq!(value["receiver"], name),
                        Target::Group(name) => assert_eq!(value["group"], name),
                    }
                }
            }
            let reply = text(&Pieces::ok(name, &mut scratch));
            let value: serde_json::Value = serde_json::from_str(&reply).unwrap();
            assert_eq!(value, serde_json::json!({"type": "ok", "group": name}));
        }
        assert_eq!(text(&Pieces::pong()), r#"{"type":"pong"}"#);
        assert_eq!(text(&Pieces::gap(12, &mut scratch)), r#"{"type":"gap","dropped":12}"#);
    }

    #[test]
    fn no_two_refusals_share_a_reason_and_codes_ascend() {
        for (index, a) in Refusal::ALL.iter().enumerate() {
            for b in &Refusal::ALL[index + 1..] {
                assert_ne!(a.reason(), b.reason());
                assert!(a.code() <= b.code());
            }
        }
    }
}
