//! Wishes: what is to be sent, before it has a number.
//!
//! ```text
//!   {"receiver":"bob","content":{"n":1.0},"tag":7}        what somebody wrote
//!      \__________ body _______________/   \given/
//!   {"id":17,"receiver":"bob","content":{"n":1.0}}        what is sent
//!   {"event":"ok","tag":7,"type":"ok","id":17}            what became of it
//! ```
//!
//! Keys that the dialect knows are sent, byte for byte; all others stay here and come back with the
//! outcome.
//!
//! This module does not know when a frame is sent, and judges no name.

use std::collections::BTreeMap;
use std::fmt;

use serde_json::Value;
use serde_json::value::RawValue;

/// A reliable frame of switchboard.v1, without its number.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wish {
    /// What is sent, without the braces and `id`.
    pub(super) body: String,
    /// The other keys, without braces; empty if there are none.
    pub(super) given: String,
    pub(super) kind: WishKind,
}

/// What follows from a wish once it is granted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum WishKind {
    /// The user is a member of this group.
    Join(String),
    /// The user is no member of this group.
    Leave(String),
    /// Nothing, for this client.
    Other,
}

impl Wish {
    /// Reads a JSON object.
    ///
    /// # Errors
    ///
    /// [`WishError`] for what cannot be a numbered frame. What a server would refuse is none.
    pub fn read(text: &str) -> Result<Wish, WishError> {
        let fields: BTreeMap<String, &RawValue> =
            serde_json::from_str(text).map_err(|_| WishError::NoObject)?;
        if fields.contains_key("id") {
            return Err(WishError::Numbered);
        }
        let string = |key| fields.get(key).and_then(|raw| serde_json::from_str(raw.get()).ok());
        let kind: Option<String> = string("type");
        let kind = match kind.as_deref().filter(|_| !fields.contains_key("content")) {
            None if fields.contains_key("content") => WishKind::Other,
            None => return Err(WishError::Untyped),
            Some("hello" | "ack") => return Err(WishError::Ours),
            Some("join") => string("group").map_or(WishKind::Other, WishKind::Join),
            Some("leave") => string("group").map_or(WishKind::Other, WishKind::Leave),
            Some(_) => WishKind::Other,
        };
        let (mut body, mut given) = (String::new(), String::new());
        for (key, raw) in &fields {
            let is_sent = SENT.contains(&key.as_str());
            let into = if is_sent { &mut body } else { &mut given };
            if !into.is_empty() {
                into.push(',');
            }
            into.push_str(&format!("{}:{}", Value::from(key.as_str()), raw.get()));
        }
        Ok(Wish { body, given, kind })
    }

    /// A wish to be a member of a group.
    pub fn join(group: &str) -> Wish {
        let body = format!(r#""group":{},"type":"join""#, Value::from(group));
        Wish { body, given: String::new(), kind: WishKind::Join(group.to_owned()) }
    }

    /// The frame, under its number.
    pub(super) fn text(&self, id: u64) -> String {
        format!(r#"{{"id":{id},{}}}"#, self.body)
    }

    /// The keys that stay here, as members of an object without its braces.
    pub fn given(&self) -> &str {
        &self.given
    }

    /// Roughly how much memory it takes, in bytes.
    pub(super) fn len(&self) -> usize {
        self.body.len() + self.given.len()
    }
}

/// Why something is no numbered frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WishError {
    /// It is no JSON object.
    NoObject,
    /// It has an `id`, which is for this client to give.
    Numbered,
    /// It is a frame that this client sends by itself.
    Ours,
    /// It has neither `content` nor a `type`.
    Untyped,
}

impl fmt::Display for WishError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            WishError::NoObject => "not a JSON object",
            WishError::Numbered => "there is an id: this client gives the numbers",
            WishError::Ours => "this client says hello and acknowledges by itself",
            WishError::Untyped => "neither content nor a type",
        })
    }
}

impl std::error::Error for WishError {}

/// Keys of the dialect, those that are numbers of this client's own left out.
const SENT: &[&str] = &[
    "content", "echo", "group", "presence", "receipt", "receiver", "sender", "ttl", "type", "user",
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn content_goes_byte_for_byte_and_other_keys_stay() {
        let text = r#" {"tag":[7],"receiver":"bob", "content": {"n": 1.0, "n":1e3} ,"why":"x"}"#;
        let wish = Wish::read(text).unwrap();
        let wanted = r#"{"id":17,"content":{"n": 1.0, "n":1e3},"receiver":"bob"}"#;
        assert_eq!((wish.text(17).as_str(), wish.given()), (wanted, r#""tag":[7],"why":"x""#));
        assert_eq!(wish.kind, WishKind::Other);
    }

    #[test]
    fn what_a_wish_is_shows_in_its_type_unless_it_has_content() {
        let kind = |text| Wish::read(text).map(|wish| wish.kind);
        assert_eq!(kind(r#"{"type":"join","group":"g"}"#), Ok(WishKind::Join("g".to_owned())));
        assert_eq!(kind(r#"{"type":"leave","group":"g"}"#), Ok(WishKind::Leave("g".to_owned())));
        assert_eq!(kind(r#"{"type":"join","group":"g","content":1}"#), Ok(WishKind::Other));
        assert_eq!(kind(r#"{"type":"ping"}"#), Ok(WishKind::Other));
        assert_eq!(
            Wish::join("a\"b"),
            Wish::read(&format!("{{{}}}", Wish::join("a\"b").body)).unwrap()
        );
    }

    #[test]
    fn what_cannot_be_numbered_is_refused() {
        for (text, error) in [
            ("", WishError::NoObject),
            ("[]", WishError::NoObject),
            (r#"{"receiver":"bob","content":1"#, WishError::NoObject),
            (r#"{"id":1,"receiver":"bob","content":1}"#, WishError::Numbered),
            (r#"{"type":"hello"}"#, WishError::Ours),
            (r#"{"type":"ack","seq":1}"#, WishError::Ours),
            (r#"{"receiver":"bob"}"#, WishError::Untyped),
            (r#"{"type":7}"#, WishError::Untyped),
        ] {
            assert_eq!(Wish::read(text), Err(error), "{text}");
        }
    }
}
