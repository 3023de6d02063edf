//! Envelopes: what a text message of the relay is, and for whom.
//!
//! ```text
//! input                                                        a text message, any bytes
//! {"sender":"bob","receiver":"alice","content":{"n":1.0}}
//! ```
//!
//! `Envelope::read` says the same as the rules of `src/relay/PROTOCOL.md` written down once more
//! over `serde_json`: the scanner is fast and hand-made, and here it has no say. Content is a piece
//! of the message, byte for byte; and a reply with any name in it is JSON that says so.

use std::fmt;

use serde::de::{Deserializer, IgnoredAny, MapAccess, Visitor};
use serde_json::value::RawValue;
use switchboard::relay::envelope::{Envelope, EnvelopeLimits, Events};
use switchboard::relay::name::Name;
use switchboard::relay::reply::{Pieces, Refusal, Target};

/// Holds the rules above for one input.
pub fn check(input: &[u8]) {
    let Ok(text) = std::str::from_utf8(input) else { return };
    for (depth_max, name_max) in [(128, 128), (2, 5)] {
        let limits = EnvelopeLimits { depth_max, name_max };
        let read = Envelope::read(text, &limits);
        assert_eq!(read, plain(text, &limits), "{limits:?}: {text:?}");
        if let Ok(envelope) = read {
            check_names(&envelope, name_max);
            check_content(&envelope, text);
        }
    }
}

fn check_content(envelope: &Envelope<'_>, text: &str) {
    if let Envelope::Direct { content, .. } | Envelope::Group { content, .. } = envelope {
        let range = text.as_bytes().as_ptr_range();
        assert!(range.contains(&content.as_ptr()), "content is where it came");
        assert!(serde_json::from_str::<IgnoredAny>(content).is_ok(), "{content:?}");
        // What the receiver gets.
        let forwarded = format!(r#"{{"sender":"bob","content":{content}}}"#);
        assert!(serde_json::from_str::<IgnoredAny>(&forwarded).is_ok(), "{forwarded:?}");
    }
}

fn check_names(envelope: &Envelope<'_>, name_max: usize) {
    let (first, second) = match envelope {
        Envelope::Direct { sender, receiver, .. } => (sender.as_ref(), Some(receiver)),
        Envelope::Group { sender, group, .. }
        | Envelope::Join { sender, group, .. }
        | Envelope::Leave { sender, group }
        | Envelope::Members { sender, group } => (sender.as_ref(), Some(group)),
        Envelope::Presence { sender, user } => (sender.as_ref(), Some(user)),
        Envelope::Ping | Envelope::Auth { .. } | Envelope::Broadcast { .. } => (None, None),
    };
    for name in first.into_iter().chain(second) {
        assert!(!name.is_empty() && name.len() <= name_max && !name.contains(char::is_control));
        let mut scratch = String::new();
        let target = Target::Receiver(name);
        let reply = Pieces::error(Refusal::ReceiverOffline, target, &mut scratch);
        let value: serde_json::Value =
            serde_json::from_slice(&reply.as_parts().concat()).expect("a reply is JSON");
        assert_eq!(value["receiver"], **name);
    }
}

// ---- the rules once more, in their order -------------------------------------------------------

fn plain<'a>(text: &'a str, limits: &EnvelopeLimits) -> Result<Envelope<'a>, Refusal> {
    // Half of rule 4: what was meant for one is never broadcast.
    if serde_json::from_str::<IgnoredAny>(text).is_err() {
        let meant_for_one = quoted(text).any(|key| key == "receiver" || key == "group");
        let broadcast = Envelope::Broadcast { sender: None };
        return if meant_for_one { Err(Refusal::InvalidJson) } else { Ok(broadcast) };
    }
    // Rule 0.
    if depth(text) > limits.depth_max {
        return Err(Refusal::NestingTooDeep);
    }
    let Some(entries) = entries(text) else { return Ok(Envelope::Broadcast { sender: None }) };
    let known = ["sender", "receiver", "group", "content", "type", "token", "user", "presence"];
    let count = |key: &str| entries.iter().filter(|(name, _)| name == key).count();
    if known.iter().any(|key| count(key) > 1) {
        return Err(Refusal::RepeatedKey);
    }
    let value = |key: &str| entries.iter().find(|(name, _)| name == key).map(|(_, value)| *value);
    let name = |key: &str, refusal| match value(key) {
        Some(value) => plain_name(value, limits.name_max).ok_or(refusal).map(Some),
        None => Ok(None),
    };
    let sender = || name("sender", Refusal::InvalidSender);
    let group = || name("group", Refusal::InvalidGroup).map(|name| name.expect("it is there"));

    // Rule 1.
    if value("receiver").is_some() {
        if value("group").is_some() {
            return Err(Refusal::ReceiverAndGroup);
        }
        let content = value("content").ok_or(Refusal::ContentMissing)?;
        let receiver = name("receiver", Refusal::InvalidReceiver)?.expect("it is there");
        return Ok(Envelope::Direct { receiver, sender: sender()?, content });
    }
    // Rule 2.
    if let Some(control) = control(&entries, limits.name_max)? {
        return Ok(control);
    }
    // Rule 3.
    if value("group").is_some() {
        let content = value("content").ok_or(Refusal::ContentMissing)?;
        return Ok(Envelope::Group { group: group()?, sender: sender()?, content });
    }
    // Rules 4 and 5.
    if value("sender").is_some() && value("content").is_some() {
        return Err(Refusal::ReceiverMissing);
    }
    Ok(Envelope::Broadcast { sender: value("sender") })
}

/// Rule 2; `None` if it does not apply.
fn control<'a>(
    entries: &[(String, &'a str)],
    name_max: usize,
) -> Result<Option<Envelope<'a>>, Refusal> {
    let value = |key: &str| entries.iter().find(|(name, _)| name == key).map(|(_, value)| *value);
    let name = |value: &str, refusal| plain_name(value, name_max).ok_or(refusal);
    let sender = || value("sender").map(|sender| name(sender, Refusal::InvalidSender)).transpose();
    let kind = value("type").and_then(|kind| serde_json::from_str::<String>(kind).ok());
    let Some(kind) = kind.as_deref() else { return Ok(None) };
    if kind == "ping" {
        return Ok(Some(Envelope::Ping));
    }
    if kind == "auth" {
        let token = value("token").filter(|token| token.starts_with('"'));
        return Ok(token.map(|token| Envelope::Auth { token }));
    }
    if kind == "presence" && asks_who_is_online(entries) {
        let user = name(value("user").expect("it is there"), Refusal::InvalidUser)?;
        return Ok(Some(Envelope::Presence { user, sender: sender()? }));
    }
    if !["join", "leave", "members"].contains(&kind) || value("content").is_some() {
        return Ok(None);
    }
    let Some(group) = value("group") else { return Ok(None) };
    if !group.starts_with('"') {
        return Err(Refusal::GroupNotAString);
    }
    let (group, sender) = (name(group, Refusal::InvalidGroup)?, sender()?);
    Ok(Some(match (kind, value("presence")) {
        ("leave", _) => Envelope::Leave { sender, group },
        ("members", _) => Envelope::Members { sender, group },
        (_, None) => Envelope::Join { sender, group, events: Events::Unchanged },
        (_, Some("true")) => Envelope::Join { sender, group, events: Events::On },
        (_, Some("false")) => Envelope::Join { sender, group, events: Events::Off },
        (_, Some(_)) => return Err(Refusal::PresenceNotABoolean),
    }))
}

/// `type`, `user` and perhaps `sender`, and nothing else.
fn asks_who_is_online(entries: &[(String, &str)]) -> bool {
    let user = entries.iter().find(|(key, _)| key == "user").map(|(_, user)| *user);
    let is_name = user.is_some_and(|user| user.starts_with(|c| "\"-0123456789".contains(c)));
    is_name && entries.iter().all(|(key, _)| ["sender", "type", "user"].contains(&&**key))
}

/// The rules of "Names".
fn plain_name(value: &str, name_max: usize) -> Option<Name<'static>> {
    let is_number = value.len() <= 16
        && value.bytes().all(|byte| byte.is_ascii_digit())
        && (value == "0" || !value.starts_with('0'));
    let name = if is_number { value.to_owned() } else { serde_json::from_str(value).ok()? };
    let turns = |c| "\u{61c}\u{200e}\u{200f}\u{202a}\u{202b}\u{202c}\u{202d}\u{202e}".contains(c);
    let isolates = |c: char| ('\u{2066}'..='\u{2069}').contains(&c);
    let good = !name.is_empty()
        && name.len() <= name_max
        && name.trim() == name
        && name != "*"
        && !name.contains(|c: char| c.is_control() || turns(c) || isolates(c));
    let name = good.then_some(name)?;
    Some(Name::new(name, name_max).expect("a name keeps the rules"))
}

/// The keys of an object, unescaped, with their values as written; `None` if it is no object.
fn entries(text: &str) -> Option<Vec<(String, &str)>> {
    struct Entries;

    impl<'de> Visitor<'de> for Entries {
        type Value = Vec<(String, &'de str)>;

        fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
            out.write_str("an object")
        }

        fn visit_map<M: MapAccess<'de>>(self, mut map: M) -> Result<Self::Value, M::Error> {
            let mut entries = Vec::new();
            while let Some((key, value)) = map.next_entry::<&'de RawValue, &'de RawValue>()? {
                // Half of a surrogate pair is in no key that a rule names.
                let key = serde_json::from_str(key.get()).unwrap_or_default();
                entries.push((key, value.get()));
            }
            Ok(entries)
        }
    }

    serde_json::Deserializer::from_str(text).deserialize_map(Entries).ok()
}

/// How many objects and arrays are inside one another, in valid JSON.
fn depth(text: &str) -> usize {
    let (mut depth, mut deepest, mut in_string, mut escaped) = (0, 0, false, false);
    for c in text.chars() {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            '"' => in_string = !in_string,
            '{' | '[' if !in_string => depth += 1,
            '}' | ']' if !in_string => depth -= 1,
            _ => {}
        }
        deepest = deepest.max(depth);
    }
    deepest
}

/// Whatever stands between a quote and the next one, with `\u00XX` unescaped.
fn quoted(text: &str) -> impl Iterator<Item = String> {
    text.split('"').skip(1).scan(text.matches('"').count(), |quotes, between| {
        *quotes -= 1;
        // The last piece has no quote behind it.
        Some(if *quotes > 0 { unescape(between) } else { String::new() })
    })
}

fn unescape(between: &str) -> String {
    let mut pieces = between.split("\\u00");
    let mut text = pieces.next().unwrap_or_default().to_owned();
    for piece in pieces {
        let code = piece.get(..2).filter(|hex| hex.bytes().all(|byte| byte.is_ascii_hexdigit()));
        match code.and_then(|hex| u8::from_str_radix(hex, 16).ok()) {
            Some(code) => {
                text.push(char::from(code));
                text += &piece[2..];
            }
            None => {
                text += "\\u00";
                text += piece;
            }
        }
    }
    text
}
