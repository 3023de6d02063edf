//! Taking JSON apart by one level, so that every value keeps the bytes it was written in.
//!
//! ```text
//!   {"receiver":"alice", "content":{"n": 1.0e2}}
//!    key  value          key  value
//!    "receiver" -> `"alice"`      "content" -> `{"n": 1.0e2}`
//! ```
//!
//! This module does not know what the keys mean.

use std::borrow::Cow;
use std::fmt;

use serde::de::{Deserializer, IgnoredAny, SeqAccess, Visitor};
use serde_json::value::RawValue;

use crate::relay::name::unescape;
use crate::relay::object;

/// The members of an object in their order, values as they were written.
pub(super) struct Members<'a>(pub(super) Vec<(Cow<'a, str>, &'a str)>);

/// The elements of an array, as they were written.
pub(super) struct Elements<'a> {
    /// As many as were asked for, or all if there are fewer.
    pub(super) kept: Vec<&'a str>,
    /// How many there are.
    pub(super) count: usize,
}

/// Why a text cannot be taken apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum JsonError {
    /// It is no JSON, from this place on.
    Syntax {
        /// Counted from 1.
        line: usize,
        /// In bytes, counted from 1.
        column: usize,
    },
    /// It is JSON, but another kind of value.
    WrongKind,
}

impl<'a> Members<'a> {
    /// Reads an object. Whatever knows fewer keys than [`MEMBERS_KEPT`] finds an unknown or a
    /// repeated one among those that are kept, if there are more than that.
    pub(super) fn read(text: &'a str) -> Result<Members<'a>, JsonError> {
        let mut members = Vec::new();
        let read = object::walk(text, |key, value| {
            if members.len() < MEMBERS_KEPT {
                // Half of a surrogate pair may be escaped in JSON: then the key is as written,
                // with its quotes, which is no key that anybody knows.
                members.push((unescape(key).unwrap_or(Cow::Borrowed(key)), value));
            }
        });
        finish(text, "{", read.map(|()| Members(members)))
    }
}

impl<'a> Elements<'a> {
    /// Reads an array of which `N` elements are wanted.
    pub(super) fn read(text: &'a str, kept_max: usize) -> Result<Elements<'a>, JsonError> {
        let mut json = serde_json::Deserializer::from_str(text);
        let elements = json.deserialize_seq(ElementsVisitor { kept_max });
        finish(text, "[", elements.and_then(|elements| json.end().map(|()| elements)))
    }
}

/// Tells what is no JSON from what is JSON of another kind.
fn finish<T>(text: &str, opening: &str, read: serde_json::Result<T>) -> Result<T, JsonError> {
    read.map_err(|error| {
        let is_json = || serde_json::from_str::<IgnoredAny>(text).is_ok();
        if !text.trim_ascii_start().starts_with(opening) && is_json() {
            JsonError::WrongKind
        } else {
            JsonError::Syntax { line: error.line(), column: error.column() }
        }
    })
}

struct ElementsVisitor {
    kept_max: usize,
}

impl<'de> Visitor<'de> for ElementsVisitor {
    type Value = Elements<'de>;

    fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("an array")
    }

    fn visit_seq<S: SeqAccess<'de>>(self, mut sequence: S) -> Result<Elements<'de>, S::Error> {
        let mut elements = Elements { kept: Vec::new(), count: 0 };
        while let Some(element) = sequence.next_element::<&'de RawValue>()? {
            elements.count += 1;
            if elements.kept.len() < self.kept_max {
                elements.kept.push(element.get());
            }
        }
        Ok(elements)
    }
}

/// Members that are kept of an object; a longer one is still read to its end.
pub(super) const MEMBERS_KEPT: usize = 16;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_keep_the_bytes_they_were_written_in() {
        let text = r#" {"a" : 1.0e2 , "\u0062":{"x":[ ]},"a":null, "\ud800":""} "#;
        let members = Members::read(text).ok().unwrap().0;
        let members: Vec<(&str, &str)> =
            members.iter().map(|(key, value)| (&**key, *value)).collect();
        assert_eq!(
            members,
            [("a", "1.0e2"), ("b", r#"{"x":[ ]}"#), ("a", "null"), (r#""\ud800""#, r#""""#)]
        );
        let elements = Elements::read(r#"[1, "two",{} ]"#, 2).ok().unwrap();
        assert_eq!((elements.kept, elements.count), (vec!["1", r#""two""#], 3));
    }

    #[test]
    fn what_is_no_json_is_told_from_json_of_another_kind() {
        let object = |text| Members::read(text).err().unwrap();
        for text in ["[1]", "1", "\"x\"", "null", " true"] {
            assert_eq!(object(text), JsonError::WrongKind, "{text}");
        }
        for text in ["", "{", "{}x", "{\"a\":}", "[1", "nul", "{'a':1}", "\u{feff}{}"] {
            assert!(matches!(object(text), JsonError::Syntax { line: 1, .. }), "{text}");
        }
        assert_eq!(Elements::read("{}", 1).err().unwrap(), JsonError::WrongKind);
        assert!(matches!(Elements::read("[1] 2", 1).err().unwrap(), JsonError::Syntax { .. }));
    }
}
