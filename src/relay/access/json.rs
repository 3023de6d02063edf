//! JSON as a tree, for what decides who somebody is: files, claims, answers of an endpoint.
//!
//! ```text
//!   {"sub": "alice", "sub": "eve"}        an object keeps both: `take` refuses the second
//!   {"sub": "alice", "rolles": []}        `rest` names what nobody asked for
//! ```
//!
//! `serde_json`'s own tree keeps the last of two equal keys, so that two readers could see two
//! users in one token. Its messages about types quote what they found, which here may be a secret;
//! those of this tree are about syntax and never quote anything.
//!
//! This module does not know what the keys mean.

use std::fmt;

use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};

/// A JSON value. Numbers are exact if they are integers below 2^64, and otherwise as near as
/// 64 bits of floating point come.
#[derive(Clone, PartialEq)]
pub enum Json {
    /// `null`
    Null,
    /// `true` or `false`
    Bool(bool),
    /// An integer that is not negative.
    Integer(u64),
    /// Any other number.
    Number(f64),
    /// A string, unescaped.
    String(String),
    /// An array.
    Array(Vec<Json>),
    /// An object, its keys as they were written.
    Object(Object),
}

impl Json {
    /// Parses exactly one JSON value, at most 128 objects and arrays inside one another.
    ///
    /// # Errors
    ///
    /// [`SyntaxError`] with the place, and nothing of the text.
    pub fn parse(text: &str) -> Result<Json, SyntaxError> {
        serde_json::from_str(text)
            .map_err(|error| SyntaxError { line: error.line(), column: error.column() })
    }

    /// The members, if this is an object.
    pub fn into_object(self) -> Option<Object> {
        match self {
            Json::Object(object) => Some(object),
            _ => None,
        }
    }

    /// A string, or an array of strings: what JWTs have as `aud`.
    pub fn into_strings(self) -> Option<Vec<String>> {
        let string = |item| match item {
            Json::String(text) => Some(text),
            _ => None,
        };
        match self {
            Json::Array(items) => items.into_iter().map(string).collect(),
            Json::String(text) => Some(vec![text]),
            _ => None,
        }
    }
}

/// The members of an object, in their order; a key may be there more than once.
#[derive(Clone, Default, PartialEq)]
pub struct Object(Vec<(String, Json)>);

impl Object {
    /// Takes out the value of a key. `Ok(None)`: there is none.
    ///
    /// # Errors
    ///
    /// [`Repeated`] if the key is there more than once: two readers would see two values.
    pub fn take(&mut self, key: &str) -> Result<Option<Json>, Repeated> {
        let Some(at) = self.0.iter().position(|(own, _)| own == key) else { return Ok(None) };
        let (_, value) = self.0.remove(at);
        if self.0.iter().any(|(own, _)| own == key) { Err(Repeated) } else { Ok(Some(value)) }
    }

    /// A key that was not taken out.
    pub fn rest(&self) -> Option<&str> {
        self.0.first().map(|(key, _)| &key[..])
    }
}

/// A key of an object is there more than once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Repeated;

/// Where a text stops being JSON, counted from 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SyntaxError {
    /// The line.
    pub line: usize,
    /// The column, in bytes.
    pub column: usize,
}

impl fmt::Display for SyntaxError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "not valid JSON at line {} column {}", self.line, self.column)
    }
}

impl std::error::Error for SyntaxError {}

impl<'de> Deserialize<'de> for Json {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Json, D::Error> {
        deserializer.deserialize_any(JsonVisitor)
    }
}

/// Takes whatever comes.
struct JsonVisitor;

impl<'de> Visitor<'de> for JsonVisitor {
    type Value = Json;

    fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("a JSON value")
    }

    fn visit_unit<E>(self) -> Result<Json, E> {
        Ok(Json::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Json, E> {
        Ok(Json::Bool(value))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Json, E> {
        Ok(Json::Integer(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Json, E> {
        Ok(Json::Number(value as f64))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Json, E> {
        Ok(Json::Number(value))
    }

    fn visit_str<E>(self, value: &str) -> Result<Json, E> {
        Ok(Json::String(value.to_owned()))
    }

    fn visit_string<E>(self, value: String) -> Result<Json, E> {
        Ok(Json::String(value))
    }

    fn visit_seq<S: SeqAccess<'de>>(self, mut items: S) -> Result<Json, S::Error> {
        let mut array = Vec::new();
        while let Some(item) = items.next_element()? {
            array.push(item);
        }
        Ok(Json::Array(array))
    }

    fn visit_map<M: MapAccess<'de>>(self, mut map: M) -> Result<Json, M::Error> {
        let mut members = Vec::new();
        while let Some(member) = map.next_entry()? {
            members.push(member);
        }
        Ok(Json::Object(Object(members)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn object(text: &str) -> Object {
        Json::parse(text).unwrap().into_object().unwrap()
    }

    #[test]
    fn every_kind_of_value_is_read() {
        let text = r#"[null, true, 7, -7, 1.5, "a\u0062", [], {"a": 1}]"#;
        let Ok(Json::Array(items)) = Json::parse(text) else { panic!("an array") };
        let inner = Object(vec![("a".to_owned(), Json::Integer(1))]);
        let wanted = [
            Json::Null,
            Json::Bool(true),
            Json::Integer(7),
            Json::Number(-7.0),
            Json::Number(1.5),
            Json::String("ab".to_owned()),
            Json::Array(Vec::new()),
            Json::Object(inner),
        ];
        assert!(items == wanted);
    }

    #[test]
    fn a_key_that_is_there_twice_is_refused_and_others_are_not() {
        let mut members = object(r#"{"a": 1, "b": 2, "\u0062": 3}"#);
        assert!(members.take("c") == Ok(None));
        assert!(members.take("a") == Ok(Some(Json::Integer(1))));
        assert!(members.take("a") == Ok(None));
        assert!(members.take("b") == Err(Repeated));
    }

    #[test]
    fn what_is_left_has_a_name() {
        let mut members = object(r#"{"a": 1, "b": 2}"#);
        assert_eq!(members.rest(), Some("a"));
        let _ = members.take("a");
        assert_eq!(members.rest(), Some("b"));
        let _ = members.take("b");
        assert_eq!(members.rest(), None);
    }

    #[test]
    fn errors_say_where_and_quote_nothing() {
        for text in ["", "{", "[1,]", "{\"a\" 1}", "\"secret", "{\"token\":\n \"secret\" secret}"] {
            let Err(error) = Json::parse(text) else { panic!("{text}") };
            assert!(!error.to_string().contains("secret"), "{error}");
        }
        let Err(error) = Json::parse("{\n  \"a\": x}") else { panic!("an error") };
        assert_eq!(error, SyntaxError { line: 2, column: 8 });
        let deep = "[".repeat(129) + &"]".repeat(129);
        assert!(Json::parse(&deep).is_err(), "nesting has a limit");
    }
}
