//! What another process needs to go on: outbox, position, and answers that nobody was told of.
//!
//! ```json
//! {"switchboard":1,"client":"c8f3","user":"bob","attempt":9,"own":18,"known":true,
//!  "epoch":"9f…","seq":41,"groups":["room1"],
//!  "outbox":[{"id":17,"frame":{"receiver":"alice","content":"hi"},"given":{"tag":7}}],
//!  "answers":[{"accepted":true,"given":{},"frame":{"type":"ok","id":16}}]}
//! ```
//!
//! This module does not know where it is kept.

use std::fmt;
use std::rc::Rc;

use serde_json::Value;
use serde_json::value::RawValue;

use super::event::{Fields, Position};
use super::session::Identity;
use super::wish::Wish;

/// A client at rest. It goes to and from JSON.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Snapshot {
    /// What the client calls itself.
    pub client: String,
    /// Whose outbox and position these are.
    pub user: Option<String>,
    pub(super) attempt: u64,
    pub(super) own: u64,
    pub(super) is_known: bool,
    pub(super) position: Option<Position>,
    pub(super) groups: Vec<String>,
    pub(super) items: Vec<(Option<u64>, Wish)>,
    /// Whether it was accepted, the keys that were not sent, and the frame.
    pub(super) answers: Vec<(bool, String, String)>,
}

impl Snapshot {
    /// A client that has done nothing yet.
    pub fn new(identity: Identity) -> Snapshot {
        Snapshot {
            client: identity.client,
            user: identity.user,
            attempt: 0,
            own: 0,
            is_known: false,
            position: None,
            groups: Vec::new(),
            items: Vec::new(),
            answers: Vec::new(),
        }
    }

    /// The keys that came with each unanswered frame and are not sent, as members of an object.
    pub fn unanswered(&self) -> impl Iterator<Item = &str> {
        self.items.iter().map(|(_, wish)| wish.given())
    }

    /// As JSON, in one line.
    pub fn to_json(&self) -> String {
        let Snapshot { client, user, attempt, own, is_known, .. } = self;
        let (client, user) = (Value::from(&**client), Value::from(user.as_deref()));
        let mut json = format!(
            r#"{{"switchboard":{VERSION},"client":{client},"user":{user},"attempt":{attempt},"#
        );
        json.push_str(&format!(r#""own":{own},"known":{is_known}"#));
        if let Some(Position { epoch, seq }) = &self.position {
            json.push_str(&format!(r#","epoch":{},"seq":{seq}"#, Value::from(&**epoch)));
        }
        json.push_str(&format!(r#","groups":{}"#, Value::from(self.groups.clone())));
        let items = self.items.iter().map(|(id, Wish { body, given, .. })| {
            let id = id.map(|id| format!(r#""id":{id},"#)).unwrap_or_default();
            format!(r#"{{{id}"frame":{{{body}}},"given":{{{given}}}}}"#)
        });
        json.push_str(&format!(r#","outbox":[{}]"#, items.collect::<Vec<_>>().join(",")));
        let answers = self.answers.iter().map(|(accepted, given, text)| {
            format!(r#"{{"accepted":{accepted},"given":{{{given}}},"frame":{text}}}"#)
        });
        json.push_str(&format!(r#","answers":[{}]}}"#, answers.collect::<Vec<_>>().join(",")));
        // Of what was passed on as it was written, only white space between values can break lines.
        json.replace(['\n', '\r'], " ")
    }

    /// Reads what [`to_json`](Snapshot::to_json) wrote.
    ///
    /// # Errors
    ///
    /// [`SnapshotError`] for anything else.
    pub fn from_json(text: &str) -> Result<Snapshot, SnapshotError> {
        let fields = Fields::read(text).ok_or(SnapshotError::Damaged)?;
        match fields.number("switchboard") {
            Some(VERSION) => read(&fields).ok_or(SnapshotError::Damaged),
            Some(_) => Err(SnapshotError::Newer),
            None => Err(SnapshotError::Damaged),
        }
    }
}

fn read(fields: &Fields<'_>) -> Option<Snapshot> {
    let list = |key| -> Option<Vec<&RawValue>> { serde_json::from_str(fields.raw(key)?).ok() };
    let mut items = Vec::new();
    for item in list("outbox")? {
        let item = Fields::read(item.get())?;
        let mut wish = Wish::read(item.raw("frame")?).ok()?;
        wish.given = inside(item.raw("given")?)?.to_owned();
        items.push((item.number("id"), wish));
    }
    let mut answers = Vec::new();
    for answer in list("answers")? {
        let answer = Fields::read(answer.get())?;
        let given = inside(answer.raw("given")?)?.to_owned();
        answers.push((answer.is_set("accepted"), given, answer.raw("frame")?.to_owned()));
    }
    let position = match (fields.text("epoch"), fields.number("seq")) {
        (Some(epoch), Some(seq)) => Some(Position { epoch: Rc::from(epoch), seq }),
        _ => None,
    };
    Some(Snapshot {
        client: fields.text("client")?,
        user: fields.text("user"),
        attempt: fields.number("attempt")?,
        own: fields.number("own")?,
        is_known: fields.is_set("known"),
        position,
        groups: serde_json::from_str(fields.raw("groups")?).ok()?,
        items,
        answers,
    })
}

/// An object without its braces.
fn inside(object: &str) -> Option<&str> {
    object.strip_prefix('{')?.strip_suffix('}')
}

/// Why a text is no client at rest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SnapshotError {
    /// It is none, or not whole.
    Damaged,
    /// Another version wrote it.
    Newer,
}

impl fmt::Display for SnapshotError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            SnapshotError::Damaged => "not the state of a client, or not all of it",
            SnapshotError::Newer => "written by another version of this program",
        })
    }
}

impl std::error::Error for SnapshotError {}

const VERSION: u64 = 1;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tools::client::WishKind;

    #[test]
    fn a_client_at_rest_goes_to_json_and_back() {
        let identity = Identity { client: "c8f3".to_owned(), user: Some("b\"b".to_owned()) };
        let empty = Snapshot::new(identity);
        assert_eq!(Snapshot::from_json(&empty.to_json()), Ok(empty.clone()));
        let wish = Wish::read(r#"{"receiver":"é","content":{"a": 1.0},"tag":[1,2],"b":"}"}"#);
        let full = Snapshot {
            attempt: 9,
            own: 17,
            is_known: true,
            position: Some(Position { epoch: Rc::from("9f"), seq: 41 }),
            groups: vec!["room1".to_owned()],
            items: vec![(Some(17), wish.unwrap()), (None, Wish::join("room2"))],
            answers: vec![(true, String::new(), r#"{"type":"ok","id":16}"#.to_owned())],
            ..empty
        };
        assert_eq!(Snapshot::from_json(&full.to_json()), Ok(full.clone()));
        let json = full.to_json();
        for len in 0..json.len() {
            if let Some(cut) = json.get(..len) {
                assert_eq!(Snapshot::from_json(cut), Err(SnapshotError::Damaged), "{cut}");
            }
        }
        let newer = json.replace(r#""switchboard":1"#, r#""switchboard":2"#);
        assert_eq!(Snapshot::from_json(&newer), Err(SnapshotError::Newer));
    }

    #[test]
    fn what_follows_from_a_wish_is_known_again() {
        let wish = Wish::join("g");
        let snapshot = Snapshot {
            items: vec![(Some(1), wish)],
            ..Snapshot::new(Identity { client: "c".to_owned(), user: None })
        };
        let read = Snapshot::from_json(&snapshot.to_json()).unwrap();
        assert_eq!(read.items[0].1.kind, WishKind::Join("g".to_owned()));
    }
}
