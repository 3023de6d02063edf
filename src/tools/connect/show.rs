//! What is shown: lines for people, or one JSON object per line for programs.
//!
//! ```text
//!   {"seq":58,"sender":"alice","receiver":"bob","content":"hi","mid":"d001:4"}       a frame
//!   alice: hi                                                              for people
//!   {"event":"message","epoch":"9f","seq":58,"sender":"alice",...}         for programs
//! ```
//!
//! For programs the members of a frame are passed on byte for byte; only line breaks between them
//! become spaces. For people nothing that a terminal would obey is passed on.
//!
//! This module does not know where it is shown.

use std::borrow::Cow;
use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;
use serde_json::value::RawValue;

use crate::tools::client::Event;

/// How things are shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// One JSON object per line.
    Json,
    /// Lines of text; what is no message is dim on a terminal that knows how.
    People {
        /// Whether it does.
        is_dim: bool,
        /// Whether somebody types on the same terminal.
        is_shared: bool,
    },
}

impl Form {
    /// Something that happened to a client of switchboard.v1.
    pub(super) fn event(self, event: &Event) -> String {
        match event {
            Event::Answer { given, text, accepted } => {
                let name = if *accepted { "ok" } else { "error" };
                self.frame(name, given, None, text)
            }
            Event::Gap(text) => self.frame("gap", "", None, text),
            Event::Message { epoch, text } => self.frame("message", "", epoch.as_deref(), text),
            Event::Notice(text) => self.frame(kind(text).unwrap_or("notice"), "", None, text),
            Event::Welcome { text, uncertain: 0 } => self.frame("welcome", "", None, text),
            Event::Welcome { text, uncertain } => {
                self.frame("welcome", &format!(r#""uncertain":{uncertain}"#), None, text)
            }
        }
    }

    /// A text message in the plain dialect.
    pub(super) fn plain(self, text: &str) -> String {
        let fields = serde_json::from_str::<BTreeMap<String, &RawValue>>(text);
        let is_message = fields.as_ref().is_ok_and(|fields| {
            let is_text = |key| fields.get(key).is_some_and(|raw| raw.get().starts_with('"'));
            is_text("sender") && fields.contains_key("content") && !fields.contains_key("type")
        });
        match (is_message, kind(text), self) {
            (true, ..) => self.frame("message", "", None, text),
            (_, Some(name), _) => self.frame(name, "", None, text),
            (_, None, Form::Json) if fields.is_ok() => {
                self.line(&format!(r#"{{"event":"message","room":{text}}}"#))
            }
            (_, None, Form::Json) => {
                self.line(&format!(r#"{{"event":"message","text":{}}}"#, Value::from(text)))
            }
            (_, None, Form::People { .. }) => self.line(&clean(text)),
        }
    }

    /// A binary message.
    pub(super) fn binary(self, bytes: &[u8]) -> String {
        match self {
            Form::Json => {
                let text = STANDARD.encode(bytes);
                self.line(&format!(r#"{{"event":"message","base64":"{text}"}}"#))
            }
            Form::People { .. } => self.dim(&format!("{} bytes, no text", bytes.len())),
        }
    }

    /// Something about this program itself: `members` for programs, without braces; `sentence` for
    /// people.
    pub(super) fn note(self, name: &str, members: &str, sentence: &str) -> String {
        match self {
            Form::Json => {
                let comma = if members.is_empty() { "" } else { "," };
                self.line(&format!(r#"{{"event":"{name}"{comma}{members}}}"#))
            }
            Form::People { .. } if sentence.is_empty() => String::new(),
            Form::People { .. } => self.dim(sentence),
        }
    }

    /// A frame of the server.
    fn frame(self, name: &str, given: &str, epoch: Option<&str>, text: &str) -> String {
        match self {
            Form::Json => {
                let inside = text.trim().strip_prefix('{').unwrap_or_default();
                let mut line = format!(r#"{{"event":"{name}","#);
                if let Some(epoch) = epoch {
                    line.push_str(&format!(r#""epoch":{},"#, Value::from(epoch)));
                }
                line.push_str(&without_collisions(given, text));
                self.line(&(line + inside))
            }
            Form::People { .. } => {
                let mut frame = serde_json::from_str(text).unwrap_or(Value::Null);
                if name == "welcome" {
                    let more = serde_json::from_str(&format!("{{{given}}}"));
                    let more: Value = more.unwrap_or(Value::Null);
                    frame["uncertain"] = more["uncertain"].clone();
                }
                match name {
                    "message" => self.line(&message(&frame)),
                    _ => self.dim(&control(name, &frame, text)),
                }
            }
        }
    }

    /// What is no message, for people.
    fn dim(self, text: &str) -> String {
        match self {
            Form::People { is_dim: true, .. } => {
                self.line(&format!("\x1b[2m-- {}\x1b[0m", clean(text)))
            }
            _ => self.line(&format!("-- {}", clean(text))),
        }
    }

    fn line(self, text: &str) -> String {
        match self {
            Form::Json => text.replace(['\n', '\r'], " ") + "\n",
            // What is being typed makes room; the terminal still has it.
            Form::People { is_shared: true, .. } => format!("\r\x1b[K{text}\n"),
            Form::People { .. } => format!("{text}\n"),
        }
    }
}

/// The `type` of a frame that has one the client knows.
fn kind(text: &str) -> Option<&'static str> {
    let fields = serde_json::from_str::<BTreeMap<String, &RawValue>>(text).ok()?;
    let kind: String = serde_json::from_str(fields.get("type")?.get()).ok()?;
    KINDS.iter().find(|name| **name == kind).copied()
}

/// The keys that came with a frame, followed by a comma, without those that its answer has too.
fn without_collisions(given: &str, text: &str) -> String {
    let object = format!("{{{given}}}");
    let read = |text| serde_json::from_str::<BTreeMap<String, Value>>(text).unwrap_or_default();
    let answer = read(text);
    let mut kept = String::new();
    // Not as a `Value`: numbers are to come back as they were written.
    let given: BTreeMap<String, &RawValue> = serde_json::from_str(&object).unwrap_or_default();
    for (key, raw) in given {
        if key != "event" && !answer.contains_key(&key) {
            kept.push_str(&format!("{}:{},", Value::from(key), raw.get()));
        }
    }
    kept
}

fn message(frame: &Value) -> String {
    let sender = frame["sender"].as_str().unwrap_or("?");
    let content = match &frame["content"] {
        Value::String(text) => text.clone(),
        content => content.to_string(),
    };
    match frame["group"].as_str() {
        Some(group) => clean(&format!("{sender} @{group}: {content}")).into_owned(),
        None => clean(&format!("{sender}: {content}")).into_owned(),
    }
}

fn control(name: &str, frame: &Value, text: &str) -> String {
    let shown = |key: &str| match &frame[key] {
        Value::String(text) => text.clone(),
        Value::Null => String::new(),
        value => value.to_string(),
    };
    let list = |key: &str| {
        let names = frame[key].as_array().into_iter().flatten().filter_map(Value::as_str);
        names.collect::<Vec<_>>().join(", ")
    };
    match name {
        "ok" if frame["members"].is_array() => {
            format!("ok {}, {} members: {}", shown("id"), shown("count"), list("members"))
        }
        "ok" => match (shown("id"), shown("group"), shown("online")) {
            (id, group, online) if online.is_empty() => format!("ok {id}{group}"),
            (id, _, online) => format!("ok {id}, {online} online"),
        },
        "error" => {
            let for_now = if frame["retry"] == true { ", for now" } else { "" };
            let whom = ["receiver", "group", "user"].map(&shown).concat();
            let id = shown("id");
            format!("refused{for_now}: {} {} {id}{whom}", shown("code"), shown("reason"))
        }
        "gap" if frame.get("dropped").is_some() => {
            format!("{} messages are missing", shown("dropped"))
        }
        "gap" => format!(
            "messages after {} up to {} may be missing ({})",
            shown("after"),
            shown("until"),
            shown("reason")
        ),
        "members" => format!("{} in {}: {}", shown("count"), shown("group"), list("members")),
        "presence" if frame.get("online").is_some() => {
            format!("{} is online over {} connections", shown("user"), shown("online"))
        }
        "presence" => {
            format!("{}: came {}; went {}", shown("group"), list("joined"), list("left"))
        }
        "receipt" => format!("{} has {}", shown("user"), shown("mid")),
        "drain" => "the server is about to stop".to_owned(),
        "welcome" => match frame["uncertain"].as_u64() {
            Some(count) => format!("welcome, {}; {count} frames go again", shown("user")),
            None => format!("welcome, {}", shown("user")),
        },
        "pong" => "pong".to_owned(),
        _ => text.to_owned(),
    }
}

/// Nothing that a terminal would obey, and nothing that turns the direction of writing.
fn clean(text: &str) -> Cow<'_, str> {
    let is_bad = |letter: char| {
        letter.is_control()
            || matches!(letter, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}')
            || matches!(letter, '\u{2066}'..='\u{2069}')
    };
    if !text.contains(is_bad) {
        return Cow::Borrowed(text);
    }
    let escaped = |letter: char| match letter {
        letter if is_bad(letter) => letter.escape_default().to_string(),
        letter => letter.to_string(),
    };
    Cow::Owned(text.chars().map(escaped).collect())
}

/// What a server says that has a name of its own among the events.
const KINDS: &[&str] =
    &["drain", "error", "gap", "members", "ok", "pong", "presence", "receipt", "welcome"];

#[cfg(test)]
mod tests {
    use std::rc::Rc;

    use super::*;

    const PEOPLE: Form = Form::People { is_dim: false, is_shared: false };

    #[test]
    fn programs_get_the_frame_byte_for_byte_and_their_own_keys() {
        let text = "{\"seq\":58,\"sender\":\"a\",\"content\":{\"n\": 1.0,\n\"n\":2}}".to_owned();
        let event = Event::Message { epoch: Some(Rc::from("9f")), text };
        let wanted = concat!(
            r#"{"event":"message","epoch":"9f","seq":58,"sender":"a","content":"#,
            "{\"n\": 1.0, \"n\":2}}\n"
        );
        assert_eq!(Form::Json.event(&event), wanted);
        let given = r#""tag":1.0,"id":"mine","event":"mine""#.to_owned();
        let text = r#"{"type":"ok","id":17}"#.to_owned();
        let wanted = "{\"event\":\"ok\",\"tag\":1.0,\"type\":\"ok\",\"id\":17}\n";
        let answer = Event::Answer { accepted: true, given, text };
        assert_eq!(Form::Json.event(&answer), wanted);
    }

    #[test]
    fn the_plain_dialect_is_told_apart_for_programs() {
        for (text, wanted) in [
            (
                r#"{"sender":"bob","content":1}"#,
                r#"{"event":"message","sender":"bob","content":1}"#,
            ),
            (r#"{"type":"pong"}"#, r#"{"event":"pong","type":"pong"}"#),
            (r#"{"type":"mine"}"#, r#"{"event":"message","room":{"type":"mine"}}"#),
            ("a\"b", r#"{"event":"message","text":"a\"b"}"#),
            ("[1]", r#"{"event":"message","text":"[1]"}"#),
        ] {
            assert_eq!(Form::Json.plain(text), format!("{wanted}\n"));
        }
        assert_eq!(Form::Json.binary(b"\xff"), "{\"event\":\"message\",\"base64\":\"/w==\"}\n");
    }

    #[test]
    fn people_get_sentences_and_no_terminal_obeys_them() {
        for (text, wanted) in [
            (r#"{"sender":"bob","content":"hi"}"#, "bob: hi\n"),
            (r#"{"sender":"bob","group":"g","content":{"a":1}}"#, "bob @g: {\"a\":1}\n"),
            (r#"{"sender":"b","content":"\u001b[2Jx\ny"}"#, "b: \\u{1b}[2Jx\\ny\n"),
            ("\u{202e}room", "\\u{202e}room\n"),
            (
                r#"{"type":"error","code":404,"reason":"receiver_offline","receiver":"bob"}"#,
                "-- refused: 404 receiver_offline bob\n",
            ),
            (r#"{"type":"gap","dropped":12}"#, "-- 12 messages are missing\n"),
            (
                r#"{"type":"presence","user":"bob","online":2}"#,
                "-- bob is online over 2 connections\n",
            ),
        ] {
            assert_eq!(PEOPLE.plain(text), wanted);
        }
        let dim = Form::People { is_dim: true, is_shared: true };
        assert_eq!(dim.plain(r#"{"type":"pong"}"#), "\r\x1b[K\x1b[2m-- pong\x1b[0m\n");
    }
}
