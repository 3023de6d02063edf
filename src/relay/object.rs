//! A JSON object, member by member, each as it is written.
//!
//! ```text
//!   {"receiver":"alice", "content":{"n": 1.0e2}}
//!    key  value          key  value
//!    "receiver" , "alice"         "content" , {"n": 1.0e2}
//! ```
//!
//! Envelopes, frames, policies and the bodies of the push API are read by this: a derived struct
//! would accept an array in the place of an object, read numbers that are only passed on, and say
//! of a key that occurs twice no more than that there is a syntax error.
//!
//! This module does not know what the keys mean, nor that they may be written in several ways.

use std::fmt;

use serde::de::{Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;

/// Calls `each` with the key and the value of each member, in order; the key still has its quotes.
///
/// # Errors
///
/// If the text is not exactly one object. `each` may have been called for what stands before.
pub(super) fn walk<'a>(
    text: &'a str,
    each: impl FnMut(&'a str, &'a str),
) -> Result<(), serde_json::Error> {
    let mut json = serde_json::Deserializer::from_str(text);
    json.deserialize_map(Walk(each))?;
    json.end()
}

struct Walk<F>(F);

impl<'de, F: FnMut(&'de str, &'de str)> Visitor<'de> for Walk<F> {
    type Value = ();

    fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("an object")
    }

    fn visit_map<M: MapAccess<'de>>(mut self, mut map: M) -> Result<(), M::Error> {
        while let Some((key, value)) = map.next_entry::<&'de RawValue, &'de RawValue>()? {
            (self.0)(key.get(), value.get());
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn members_come_in_order_and_as_they_are_written() {
        let mut seen = Vec::new();
        let text = r#" {"a": 1.0e2, "\u0061":{"b" :[ ]},"a":"\n"} "#;
        walk(text, |key, value| seen.push((key, value))).unwrap();
        let wanted = [(r#""a""#, "1.0e2"), (r#""\u0061""#, r#"{"b" :[ ]}"#), (r#""a""#, r#""\n""#)];
        assert_eq!(seen, wanted);
    }

    #[test]
    fn anything_but_one_object_is_an_error() {
        for text in ["", "[1]", "1", "null", "{", r#"{"a"}"#, r#"{"a":1,}"#, "{} {}", r#"{a:1}"#] {
            assert!(walk(text, |_, _| ()).is_err(), "{text}");
        }
        assert!(walk("{}", |_, _| panic!("there is none")).is_ok());
    }
}
