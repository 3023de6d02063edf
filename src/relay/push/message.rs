//! Messages as a backend writes them.
//!
//! ```text
//!   {"receiver":"alice","content":{"due": 12.50}}     to every connection of one user
//!   {"group":"team","content":"hi"}                   to every member of a group
//!   {"room":"/chat","content":"hi"}                   to everybody on that URL path
//!   {..., "sender":"bob"}                             as somebody else, for keys that may
//!
//!   {"messages":[{...},{...}]}                        several at once
//! ```
//!
//! Unlike a frame of the plain dialect, a message with a key that is not known is refused: a
//! program wrote it, and whoever wrote the program wants to know.
//!
//! This module does not know who is online, or what a key of the API may do.

use super::failure::{Failure, Problem};
use super::json::{Elements, JsonError, Members};
use crate::relay::envelope::nesting_exceeds;
use crate::relay::name::{Name, unescape};

/// The limits a message is read under.
#[derive(Clone, Copy, Debug)]
pub(super) struct MessageLimits {
    /// Bytes of a user id or a group name.
    pub(super) name_max: usize,
    /// Arrays and objects within each other, the message itself being the first.
    pub(super) depth_max: usize,
    /// Bytes of the content.
    pub(super) content_max: usize,
    /// Messages of a batch.
    pub(super) batch_max: usize,
}

/// One message to be sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct PushMessage<'a> {
    pub(super) to: Destination<'a>,
    /// Who it is said to be from, if anybody.
    pub(super) sender: Option<Name<'a>>,
    /// The content as written: any JSON value.
    pub(super) content: &'a str,
}

/// Whom a message is for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Destination<'a> {
    /// The members of a group.
    Group(Name<'a>),
    /// Everybody on a URL path.
    Room(Name<'a>),
    /// A user.
    User(Name<'a>),
}

impl Destination<'_> {
    /// What kind of destination it is, as a label.
    pub(super) fn kind(&self) -> &'static str {
        match self {
            Destination::Group(_) => "group",
            Destination::Room(_) => "room",
            Destination::User(_) => "user",
        }
    }
}

impl<'a> PushMessage<'a> {
    /// Reads one message.
    ///
    /// # Errors
    ///
    /// Everything that a message can be refused for before it is known who is there.
    pub(super) fn read(text: &'a str, limits: &MessageLimits) -> Result<PushMessage<'a>, Failure> {
        let Members(members) =
            Members::read(text).map_err(|error| no_object("a message", error))?;
        let mut fields = Fields::default();
        for (key, value) in members {
            let (known, place) = match &*key {
                "content" => ("content", &mut fields.content),
                "group" => ("group", &mut fields.group),
                "receiver" => ("receiver", &mut fields.receiver),
                "room" => ("room", &mut fields.room),
                "sender" => ("sender", &mut fields.sender),
                _ => return Err(unknown_key(&key, "receiver, group, room, content and sender")),
            };
            if place.replace(value).is_some() {
                let text = format!("`{known}` is given twice");
                return Err(Failure::saying(Problem::RepeatedKey, text));
            }
        }
        let content = fields.content.ok_or(Problem::ContentMissing)?;
        // The message is one object around the content.
        if nesting_exceeds(content, limits.depth_max.saturating_sub(1)) {
            return Err(Problem::NestingTooDeep.into());
        }
        if content.len() > limits.content_max {
            return Err(Problem::ContentTooLong.into());
        }
        let sender = fields.sender.map(|sender| name("sender", sender, limits.name_max));
        Ok(PushMessage { to: fields.to(limits.name_max)?, sender: sender.transpose()?, content })
    }
}

/// Reads the body of a batch: its messages, each as written and not looked at.
pub(super) fn read_batch<'a>(
    text: &'a str,
    limits: &MessageLimits,
) -> Result<Vec<&'a str>, Failure> {
    let Members(members) = Members::read(text).map_err(|error| no_object("a batch", error))?;
    let mut messages = None;
    for (key, value) in members {
        if key != "messages" {
            return Err(unknown_key(&key, "messages"));
        }
        if messages.replace(value).is_some() {
            return Err(Failure::saying(Problem::RepeatedKey, "`messages` is given twice"));
        }
    }
    let wanted = "a batch is {\"messages\":[…]}";
    let messages = messages.ok_or_else(|| Failure::saying(Problem::InvalidJson, wanted))?;
    let elements = Elements::read(messages, limits.batch_max)
        .map_err(|_| Failure::saying(Problem::InvalidJson, wanted))?;
    if elements.count > limits.batch_max {
        let text = format!("a batch has at most {} messages", limits.batch_max);
        return Err(Failure::saying(Problem::TooManyMessages, text));
    }
    Ok(elements.kept)
}

/// The values of a message, as written.
#[derive(Default)]
struct Fields<'a> {
    content: Option<&'a str>,
    group: Option<&'a str>,
    receiver: Option<&'a str>,
    room: Option<&'a str>,
    sender: Option<&'a str>,
}

impl<'a> Fields<'a> {
    fn to(&self, name_max: usize) -> Result<Destination<'a>, Failure> {
        match (self.receiver, self.group, self.room) {
            (Some(user), None, None) => name("receiver", user, name_max).map(Destination::User),
            (None, Some(group), None) => name("group", group, name_max).map(Destination::Group),
            (None, None, Some(path)) => room(path).map(Destination::Room),
            _ => Err(Problem::Destination.into()),
        }
    }
}

fn name<'a>(what: &'static str, value: &'a str, name_max: usize) -> Result<Name<'a>, Failure> {
    Name::from_json(value, name_max)
        .map_err(|error| Failure::saying(Problem::InvalidName, format!("{what}: {error}")))
}

/// A path as the request line of an opening handshake has it: visible ASCII, and not decoded, for
/// rooms are compared as they are sent.
fn room(value: &str) -> Result<Name<'_>, Failure> {
    let path = unescape(value).filter(|path| {
        path.starts_with('/')
            && path.bytes().all(|byte| byte.is_ascii_graphic() && !matches!(byte, b'?' | b'#'))
    });
    let path = path.and_then(|path| Name::new(path, ROOM_LEN_MAX).ok());
    path.ok_or_else(|| Problem::InvalidRoom.into())
}

fn unknown_key(key: &str, known: &str) -> Failure {
    let shown: String = key.chars().take(KEY_SHOWN).collect();
    Failure::saying(Problem::UnknownKey, format!("unknown key {shown:?}: known are {known}"))
}

fn no_object(what: &str, error: JsonError) -> Failure {
    let text = match error {
        JsonError::Syntax { line, column } => {
            format!("no JSON from line {line}, column {column} on")
        }
        JsonError::WrongKind => format!("{what} is a JSON object"),
    };
    Failure::saying(Problem::InvalidJson, text)
}

/// A request head has at most 1 MiB (`--max-head`), and a path is in it.
const ROOM_LEN_MAX: usize = 1 << 20;

/// Characters of an unknown key that an answer shows.
const KEY_SHOWN: usize = 32;

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: MessageLimits =
        MessageLimits { name_max: 128, depth_max: 4, content_max: 20, batch_max: 3 };

    fn problem(text: &str) -> Problem {
        PushMessage::read(text, &LIMITS).unwrap_err().problem
    }

    #[test]
    fn a_message_has_one_destination_and_its_content_as_written() {
        let name = |text: &'static str| Name::new(text, 128).unwrap();
        let table = [
            (r#"{"receiver":1001,"content":{"a": 1.0e2}}"#, Destination::User(name("1001"))),
            (r#"{"content":{"a": 1.0e2},"gr\u006fup":"\u0061"}"#, Destination::Group(name("a"))),
            (r#"{"room":"/a/%20b","content":{"a": 1.0e2}}"#, Destination::Room(name("/a/%20b"))),
        ];
        for (text, to) in table {
            let message = PushMessage::read(text, &LIMITS).unwrap();
            assert_eq!(message, PushMessage { to, sender: None, content: r#"{"a": 1.0e2}"# });
        }
        let text = r#"{"receiver":"a","content":null,"sender":"bob"}"#;
        assert_eq!(PushMessage::read(text, &LIMITS).unwrap().sender, Some(name("bob")));
    }

    #[test]
    fn what_is_no_message_is_refused_for_what_it_lacks() {
        let table = [
            ("", Problem::InvalidJson),
            ("[]", Problem::InvalidJson),
            (r#"{"receiver":"a","content":}"#, Problem::InvalidJson),
            (r#"{"content":1}"#, Problem::Destination),
            (r#"{"receiver":"a","group":"b","content":1}"#, Problem::Destination),
            (r#"{"receiver":"a","room":"/b","content":1}"#, Problem::Destination),
            (r#"{"receiver":"a"}"#, Problem::ContentMissing),
            (r#"{"receiver":"*","content":1}"#, Problem::InvalidName),
            (r#"{"receiver":null,"content":1}"#, Problem::InvalidName),
            (r#"{"receiver":"a","content":1,"sender":1.5}"#, Problem::InvalidName),
            (r#"{"receiver":"a","content":1,"content":1}"#, Problem::RepeatedKey),
            (r#"{"receiver":"a","content":1,"ttl":0}"#, Problem::UnknownKey),
            (r#"{"receiver":"a","content":[[[[1]]]]}"#, Problem::NestingTooDeep),
            (r#"{"receiver":"a","content":"1234567890123456789"}"#, Problem::ContentTooLong),
        ];
        for (text, wanted) in table {
            assert_eq!(problem(text), wanted, "{text}");
        }
        assert!(PushMessage::read(r#"{"receiver":"a","content":[[[1]]]}"#, &LIMITS).is_ok());
        let longest = r#"{"receiver":"a","content":"123456789012345678"}"#;
        assert!(PushMessage::read(longest, &LIMITS).is_ok());
        for room in ["\"\"", "\"chat\"", "\"/a?b\"", "\"/a b\"", "\"/\\u00e9\"", "\"/#\"", "7"] {
            let text = format!(r#"{{"room":{room},"content":1}}"#);
            assert_eq!(problem(&text), Problem::InvalidRoom, "{text}");
        }
    }

    #[test]
    fn a_batch_is_taken_apart_and_not_looked_into() {
        assert_eq!(
            read_batch(r#"{"messages":[{"x": 1}, 2]}"#, &LIMITS),
            Ok(vec![r#"{"x": 1}"#, "2"])
        );
        assert_eq!(read_batch(r#"{"messages":[]}"#, &LIMITS), Ok(vec![]));
        let table = [
            ("[]", Problem::InvalidJson),
            ("{}", Problem::InvalidJson),
            (r#"{"messages":{}}"#, Problem::InvalidJson),
            (r#"{"messages":[],"x":1}"#, Problem::UnknownKey),
            (r#"{"messages":[],"messages":[]}"#, Problem::RepeatedKey),
            (r#"{"messages":[1,2,3,4]}"#, Problem::TooManyMessages),
        ];
        for (text, wanted) in table {
            assert_eq!(read_batch(text, &LIMITS).unwrap_err().problem, wanted, "{text}");
        }
    }
}
