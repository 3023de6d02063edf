//! Replies: what the relay itself says to a connection.
//!
//! ```text
//!   {"type":"error","code":404,"reason":"receiver_offline","receiver":"bob"}
//!   |----------------- one static piece ----------------||---- whom ----|
//! ```
//!
//! Every reply is a few static pieces, at most one name and at most one number, so replying
//! allocates nothing.
//! All refusals are in one table below: code, reason, and what it means to whoever reads it.
//!
//! This module does not know when a reply is due.

use std::fmt::Write as _;

use super::access::policy::Action;

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
    /// `user` is not a name.
    InvalidUser = 400 "invalid_user";
    /// JSON nested deeper than allowed.
    NestingTooDeep = 400 "nesting_too_deep";
    /// `type` is `join`, but `presence` is neither `true` nor `false`.
    PresenceNotABoolean = 400 "presence_not_a_boolean";
    /// Both `receiver` and `group`.
    ReceiverAndGroup = 400 "receiver_and_group";
    /// `sender` and `content`, but neither `receiver` nor `group`.
    ReceiverMissing = 400 "receiver_missing";
    /// A known key twice.
    RepeatedKey = 400 "repeated_key";
    /// Broadcasts are switched off.
    BroadcastOff = 403 "broadcast_off";
    /// No role of the sender's allows it, whether or not whom it concerns is there.
    Forbidden = 403 "forbidden";
    /// To a group the sender is not a member of, whether or not it exists.
    NotAMember = 403 "not_a_member";
    /// `sender` is not who this connection is.
    SenderMismatch = 403 "sender_mismatch";
    /// The receiver has no connection but the one the message came from.
    ReceiverOffline = 404 "receiver_offline";
    /// `type` is `auth`, and the connection is somebody's already.
    AlreadyAuthenticated = 409 "already_authenticated";
    /// The name is the number of a guest who is connected.
    Taken = 409 "taken";
    /// The message is longer than the sender's roles allow.
    MessageTooLarge = 413 "message_too_large";
    /// Too much at once: the same message passes later.
    Rate = 429 "rate";
    /// The user whose name this is has as many connections as allowed.
    TooManyConnections = 429 "too_many_connections";
    /// The user is in as many groups as one may be.
    TooManyGroups = 429 "too_many_groups";
    /// None of the receiver's connections reads fast enough to take more.
    ReceiverCongested = 503 "receiver_congested";
    /// The server holds as many unsent bytes as it may.
    ServerCongested = 503 "server_congested";
    /// What is kept for the receiver could not be written: the same message passes later.
    Store = 503 "store";
    /// The receiver is away, and the log of what is kept for him is full.
    MailboxFull = 507 "mailbox_full";
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
    /// A user who was asked after.
    User(&'a str),
}

impl<'a> Target<'a> {
    /// What comes before the name in a reply, and the name.
    fn parts(self) -> Option<(&'static str, &'a str)> {
        match self {
            Target::Nobody => None,
            Target::Receiver(name) => Some((r#","receiver":""#, name)),
            Target::Group(name) => Some((r#","group":""#, name)),
            Target::User(name) => Some((r#","user":""#, name)),
        }
    }
}

/// The text of a reply: pieces to be sent in a row.
pub struct Pieces<'a>([&'a str; 6]);

impl<'a> Pieces<'a> {
    /// `{"type":"error",…}`. `scratch` is used if the name in it has to be escaped.
    pub fn error(refusal: Refusal, target: Target<'a>, scratch: &'a mut String) -> Pieces<'a> {
        let opening = refusal.opening();
        match target.parts() {
            None => Pieces([opening, "}", "", "", "", ""]),
            Some((key, name)) => Pieces([opening, key, escape(name, scratch), "\"}", "", ""]),
        }
    }

    /// The same for an action that no role allows, with the permission that it needs.
    pub fn forbidden(action: Action<'a>, scratch: &'a mut String) -> Pieces<'a> {
        let (missing, key, name) = match action {
            Action::Broadcast => (r#","missing":"broadcast"}"#, "", ""),
            Action::Enter(path) => (r#","missing":"room:"#, r#"","path":""#, path),
            Action::Impersonate => (r#","missing":"impersonate"}"#, "", ""),
            Action::Join(group) => (r#","missing":"join:"#, r#"","group":""#, group),
            Action::Members(group) => (r#","missing":"members:"#, r#"","group":""#, group),
            Action::Presence(user) => (r#","missing":"presence:"#, r#"","user":""#, user),
            Action::Send(user) => (r#","missing":"send:"#, r#"","receiver":""#, user),
            Action::SendGroup(group) => (r#","missing":"group:"#, r#"","group":""#, group),
        };
        let (name, end) = if key.is_empty() { ("", "") } else { (escape(name, scratch), "\"}") };
        Pieces([Refusal::Forbidden.opening(), missing, name, key, name, end])
    }

    /// The same for what is too much now and is not in `after_ms` milliseconds.
    pub fn rate(after_ms: u64, target: Target<'a>, scratch: &'a mut String) -> Pieces<'a> {
        Pieces::numbered(Refusal::Rate, r#","after":"#, after_ms, target, scratch)
    }

    /// The same for a message of more than `max_bytes`.
    pub fn too_large(max_bytes: u64, scratch: &'a mut String) -> Pieces<'a> {
        let target = Target::Nobody;
        Pieces::numbered(Refusal::MessageTooLarge, r#","max":"#, max_bytes, target, scratch)
    }

    fn numbered(
        refusal: Refusal,
        key: &'static str,
        number: u64,
        target: Target<'a>,
        scratch: &'a mut String,
    ) -> Pieces<'a> {
        scratch.clear();
        write_number(number, scratch);
        let digits = scratch.len();
        let Some((name_key, name)) = target.parts() else {
            return Pieces([refusal.opening(), key, scratch, "}", "", ""]);
        };
        push_escaped(name, scratch);
        let (number, name) = scratch.split_at(digits);
        Pieces([refusal.opening(), key, number, name_key, name, "\"}"])
    }

    /// The answer to `join` and `leave`.
    pub fn ok(group: &'a str, scratch: &'a mut String) -> Pieces<'a> {
        Pieces([r#"{"type":"ok","group":""#, escape(group, scratch), "\"}", "", "", ""])
    }

    /// The answer to `auth`.
    pub fn authenticated() -> Pieces<'static> {
        Pieces([r#"{"type":"ok"}"#, "", "", "", "", ""])
    }

    /// The answer to `presence`: over how many connections a user is online.
    pub fn online(user: &'a str, connections: usize, scratch: &'a mut String) -> Pieces<'a> {
        scratch.clear();
        write_number(connections as u64, scratch);
        let digits = scratch.len();
        push_escaped(user, scratch);
        let (number, user) = scratch.split_at(digits);
        Pieces([r#"{"type":"presence","user":""#, user, r#"","online":"#, number, "}", ""])
    }

    /// The answer to `ping`.
    pub fn pong() -> Pieces<'static> {
        Pieces([r#"{"type":"pong"}"#, "", "", "", "", ""])
    }

    /// How many messages a connection missed because it did not read.
    pub fn gap(dropped: u64, scratch: &'a mut String) -> Pieces<'a> {
        scratch.clear();
        write_number(dropped, scratch);
        Pieces([r#"{"type":"gap","dropped":"#, scratch, "}", "", "", ""])
    }

    /// The pieces as bytes, for sending.
    pub fn as_parts(&self) -> [&'a [u8]; 6] {
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
    push_escaped(name, scratch);
    scratch
}

/// Appends a name as it stands between the quotes of a JSON string.
pub(super) fn push_escaped(name: &str, out: &mut String) {
    if !name.bytes().any(|byte| byte == b'"' || byte == b'\\') {
        return out.push_str(name);
    }
    for c in name.chars() {
        if c == '"' || c == '\\' {
            out.push('\\');
        }
        out.push(c);
    }
}

fn write_number(number: u64, out: &mut String) {
    write!(out, "{number}").expect("invariant: a String takes what is written to it");
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
                let targets = [Target::Receiver(name), Target::Group(name), Target::User(name)];
                for target in targets.into_iter().chain([Target::Nobody]) {
                    let reply = text(&Pieces::error(refusal, target, &mut scratch));
                    let value: serde_json::Value = serde_json::from_str(&reply).unwrap();
                    assert_eq!(value["code"], refusal.code());
                    assert_eq!(value["reason"], refusal.reason());
                    match target {
                        Target::Nobody => assert_eq!(value.as_object().unwrap().len(), 3),
                        Target::Receiver(name) => assert_eq!(value["receiver"], name),
                        Target::Group(name) => assert_eq!(value["group"], name),
                        Target::User(name) => assert_eq!(value["user"], name),
                    }
                }
            }
            let reply = text(&Pieces::ok(name, &mut scratch));
            let value: serde_json::Value = serde_json::from_str(&reply).unwrap();
            assert_eq!(value, serde_json::json!({"type": "ok", "group": name}));
            let reply = text(&Pieces::online(name, 17, &mut scratch));
            let value: serde_json::Value = serde_json::from_str(&reply).unwrap();
            assert_eq!(value, serde_json::json!({"type": "presence", "user": name, "online": 17}));
            let reply = text(&Pieces::rate(250, Target::Receiver(name), &mut scratch));
            let value: serde_json::Value = serde_json::from_str(&reply).unwrap();
            let wanted = serde_json::json!({
                "type": "error", "code": 429, "reason": "rate", "after": 250, "receiver": name
            });
            assert_eq!(value, wanted);
        }
        assert_eq!(text(&Pieces::pong()), r#"{"type":"pong"}"#);
        assert_eq!(text(&Pieces::gap(12, &mut scratch)), r#"{"type":"gap","dropped":12}"#);
    }

    #[test]
    fn a_refusal_names_the_permission_that_was_missing_as_the_policy_does() {
        let mut scratch = String::new();
        for name in ["bob", "a\"b\\c"] {
            for (action, key) in [
                (Action::Broadcast, ""),
                (Action::Enter(name), "path"),
                (Action::Impersonate, ""),
                (Action::Join(name), "group"),
                (Action::Members(name), "group"),
                (Action::Presence(name), "user"),
                (Action::Send(name), "receiver"),
                (Action::SendGroup(name), "group"),
            ] {
                let reply = text(&Pieces::forbidden(action, &mut scratch));
                let value: serde_json::Value = serde_json::from_str(&reply).unwrap();
                assert_eq!((&value["code"], &value["reason"]), (&403.into(), &"forbidden".into()));
                assert_eq!(value["missing"], action.to_string());
                if key.is_empty() {
                    assert_eq!(value.as_object().unwrap().len(), 4, "{reply}");
                } else {
                    assert_eq!(value[key], name);
                }
            }
        }
        let reply = text(&Pieces::forbidden(Action::Send("bob"), &mut scratch));
        let start = r#"{"type":"error","code":403,"reason":"forbidden""#;
        assert_eq!(reply, format!(r#"{start},"missing":"send:bob","receiver":"bob"}}"#));
        assert_eq!(
            text(&Pieces::too_large(4_096, &mut scratch)),
            r#"{"type":"error","code":413,"reason":"message_too_large","max":4096}"#
        );
        assert_eq!(
            text(&Pieces::rate(7, Target::Nobody, &mut scratch)),
            r#"{"type":"error","code":429,"reason":"rate","after":7}"#
        );
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
