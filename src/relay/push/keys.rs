//! Keys: which backends may use the push API, and under which name.
//!
//! ```json
//! {"keys":[
//!   {"name":"billing","key":"3q2-7wAsiXwMuJb9z4hXrw","impersonate":true},
//!   {"name":"cron","key":"a key has 16 to 512 visible ASCII characters"}
//! ]}
//! ```
//!
//! (The second key is refused: a blank is not visible.) Of each key its SHA-256 digest is kept and
//! nothing else, so that no log line and no core dump can have it. A key that is presented is
//! hashed and compared with all digests, each to its last byte: how long that takes depends on how
//! many keys there are and on nothing that the client can choose.
//!
//! This module does not know where the text comes from, or what a key allows.

use std::fmt;
use std::sync::Arc;

use super::json::{Elements, JsonError, Members};
use crate::relay::access::secret::Fingerprint;
use crate::relay::name::{Name, NameError, unescape};

/// The keys of the push API.
#[derive(Clone, Debug, Default)]
pub struct Keys(Arc<[Key]>);

/// One key: who uses it, and as whom.
#[derive(Clone)]
pub struct Key {
    name: Arc<str>,
    fingerprint: Fingerprint,
    /// Whether its messages may be from somebody else.
    impersonation: Impersonation,
}

/// Whether messages may name another sender than the key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Impersonation {
    /// They may.
    Allowed,
    /// They are from the key's name.
    Refused,
}

impl Keys {
    /// No keys: everything that needs one is refused.
    pub fn none() -> Keys {
        Keys::default()
    }

    /// Reads the text of a keys file. A name has at most `name_max` bytes.
    ///
    /// # Errors
    ///
    /// The first thing that is wrong, and with which key; never the key itself.
    pub fn parse(text: &str, name_max: usize) -> Result<Keys, KeysError> {
        let whole = |problem| KeysError { at: None, problem };
        let Members(members) = Members::read(text).map_err(|error| whole(error.into()))?;
        let list = match &members[..] {
            [(key, list)] if key == "keys" => list,
            [] => return Err(whole(KeysProblem::Missing("keys"))),
            [(key, _), ..] if key != "keys" => return Err(whole(KeysProblem::unknown(key))),
            [_, (key, _), ..] if key != "keys" => return Err(whole(KeysProblem::unknown(key))),
            [..] => return Err(whole(KeysProblem::Repeated("keys"))),
        };
        let elements = Elements::read(list, KEYS_MAX);
        let elements = elements.map_err(|_| whole(KeysProblem::WrongKind("keys", "an array")))?;
        if elements.count > KEYS_MAX {
            return Err(whole(KeysProblem::TooMany));
        }
        let mut keys: Vec<Key> = Vec::with_capacity(elements.count);
        for (index, element) in elements.kept.into_iter().enumerate() {
            let place = |problem| KeysError { at: Some(index), problem };
            let key = Key::parse(element, name_max).map_err(place)?;
            if keys.iter().any(|other| other.name == key.name) {
                return Err(place(KeysProblem::SameName));
            }
            if keys.iter().any(|other| other.fingerprint == key.fingerprint) {
                return Err(place(KeysProblem::SameKey));
            }
            keys.push(key);
        }
        Ok(Keys(keys.into()))
    }

    /// One key without a file: it may not speak for others.
    ///
    /// # Errors
    ///
    /// What is wrong with it; never the key itself.
    pub fn single(name: &str, secret: &str) -> Result<Keys, KeysError> {
        let key = Key::new(name, secret, Impersonation::Refused);
        key.map(|key| Keys([key].into())).map_err(|problem| KeysError { at: None, problem })
    }

    /// The key that was presented, if it is one of these.
    pub fn find(&self, presented: &[u8]) -> Option<&Key> {
        let presented = Fingerprint::of(presented);
        let mut found = None;
        for key in &*self.0 {
            if key.fingerprint == presented {
                found = Some(key);
            }
        }
        found
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl Key {
    /// Who uses it, and who its messages are from.
    pub fn name(&self) -> &Arc<str> {
        &self.name
    }

    /// Whether its messages may be from somebody else.
    pub fn impersonation(&self) -> Impersonation {
        self.impersonation
    }

    fn parse(text: &str, name_max: usize) -> Result<Key, KeysProblem> {
        let Members(members) = Members::read(text)?;
        let (mut name, mut secret, mut impersonate) = (None, None, None);
        for (key, value) in members {
            let (known, place) = match &*key {
                "name" => ("name", &mut name),
                "key" => ("key", &mut secret),
                "impersonate" => ("impersonate", &mut impersonate),
                _ => return Err(KeysProblem::unknown(&key)),
            };
            if place.replace(value).is_some() {
                return Err(KeysProblem::Repeated(known));
            }
        }
        let name = name.ok_or(KeysProblem::Missing("name"))?;
        let name = Name::from_json(name, name_max).map_err(KeysProblem::Name)?;
        let secret = secret.ok_or(KeysProblem::Missing("key"))?;
        let secret = unescape(secret).ok_or(KeysProblem::WrongKind("key", "a string"))?;
        let impersonation = match impersonate {
            Some("true") => Impersonation::Allowed,
            Some("false") | None => Impersonation::Refused,
            Some(_) => return Err(KeysProblem::WrongKind("impersonate", "true or false")),
        };
        Key::new(&name, &secret, impersonation)
    }

    fn new(name: &str, secret: &str, impersonation: Impersonation) -> Result<Key, KeysProblem> {
        if !(KEY_LEN_MIN..=KEY_LEN_MAX).contains(&secret.len()) {
            return Err(KeysProblem::KeyLen);
        }
        if !secret.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(KeysProblem::KeyInvisible);
        }
        let fingerprint = Fingerprint::of(secret.as_bytes());
        Ok(Key { name: Arc::from(name), fingerprint, impersonation })
    }
}

/// The name, and no digest.
impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Key").field("name", &self.name).finish_non_exhaustive()
    }
}

/// What is wrong with a keys file, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeysError {
    /// Which key it is, counted from 0; `None` if it is the file as a whole.
    pub at: Option<usize>,
    /// What is wrong with it.
    pub problem: KeysProblem,
}

/// What is wrong with a keys file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KeysProblem {
    /// The key has a character that is not visible ASCII, and could not be sent.
    KeyInvisible,
    /// The key is so short that it can be guessed, or too long for a header.
    KeyLen,
    /// This has to be there.
    Missing(&'static str),
    /// The name is none.
    Name(NameError),
    /// No JSON, from this line and column on.
    NotJson {
        /// Counted from 1.
        line: usize,
        /// In bytes, counted from 1.
        column: usize,
    },
    /// Not an object where one has to be.
    NotAnObject,
    /// This is given twice.
    Repeated(&'static str),
    /// Another entry has the same key.
    SameKey,
    /// Another entry has the same name.
    SameName,
    /// There are more than 1,000.
    TooMany,
    /// This means nothing here.
    Unknown(Box<str>),
    /// This has to be a value of that kind.
    WrongKind(&'static str, &'static str),
}

impl KeysProblem {
    /// Cut: whatever it is, it is not to fill a screen.
    fn unknown(key: &str) -> KeysProblem {
        KeysProblem::Unknown(key.chars().take(UNKNOWN_SHOWN).collect())
    }
}

impl From<JsonError> for KeysProblem {
    fn from(error: JsonError) -> KeysProblem {
        match error {
            JsonError::Syntax { line, column } => KeysProblem::NotJson { line, column },
            JsonError::WrongKind => KeysProblem::NotAnObject,
        }
    }
}

impl fmt::Display for KeysError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.at {
            Some(index) => write!(f, "keys[{index}]: {}", self.problem),
            None => self.problem.fmt(f),
        }
    }
}

impl fmt::Display for KeysProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            KeysProblem::KeyInvisible => {
                f.write_str("`key` has a character other than visible ASCII")
            }
            KeysProblem::KeyLen => {
                write!(f, "`key` has to have {KEY_LEN_MIN} to {KEY_LEN_MAX} characters")
            }
            KeysProblem::Missing(key) => write!(f, "`{key}` is missing"),
            KeysProblem::Name(error) => error.fmt(f),
            KeysProblem::NotJson { line, column } => {
                write!(f, "not JSON at line {line}, column {column}")
            }
            KeysProblem::NotAnObject => f.write_str("not an object"),
            KeysProblem::Repeated(key) => write!(f, "`{key}` is given twice"),
            KeysProblem::SameKey => f.write_str("an entry before it has the same `key`"),
            KeysProblem::SameName => f.write_str("an entry before it has the same `name`"),
            KeysProblem::TooMany => write!(f, "more than {KEYS_MAX} keys"),
            KeysProblem::Unknown(key) => write!(
                f,
                "unknown key {key:?}: there is `keys`, and in each of them `name`, `key`, \
                 `impersonate`"
            ),
            KeysProblem::WrongKind(key, kind) => write!(f, "`{key}` is not {kind}"),
        }
    }
}

impl std::error::Error for KeysError {}

/// A request looks at all of them.
const KEYS_MAX: usize = 1_000;

/// 16 characters of base64 are 96 bits.
const KEY_LEN_MIN: usize = 16;
const KEY_LEN_MAX: usize = 512;

/// Characters of an unknown key that an error shows.
const UNKNOWN_SHOWN: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = "0123456789abcdef";

    fn parse(text: &str) -> Result<Keys, String> {
        Keys::parse(text, 128).map_err(|error| error.to_string())
    }

    #[test]
    fn a_key_is_found_by_all_of_its_bytes_and_by_nothing_else() {
        let text = format!(
            r#"{{"keys":[{{"name":"a","key":"{GOOD}"}},
                {{"name":1001,"impersonate":true,"key":"{GOOD}0"}}]}}"#
        );
        let keys = parse(&text).unwrap();
        let found = keys.find(GOOD.as_bytes()).unwrap();
        assert_eq!((&**found.name(), found.impersonation()), ("a", Impersonation::Refused));
        let found = keys.find(b"0123456789abcdef0").unwrap();
        assert_eq!((&**found.name(), found.impersonation()), ("1001", Impersonation::Allowed));
        for wrong in ["", "0123456789abcde", "0123456789abcdeF", "0123456789abcdef00", "a"] {
            assert!(keys.find(wrong.as_bytes()).is_none(), "{wrong}");
        }
        assert!(Keys::none().find(b"").is_none());
    }

    #[test]
    fn what_is_wrong_is_said_with_its_place_and_without_the_key() {
        let entry = |inner: &str| {
            format!(r#"{{"keys":[{{"name":"ok","key":"fedcba9876543210"}},{inner}]}}"#)
        };
        let one = format!(r#""key":"{GOOD}""#);
        let table = [
            ("[]".to_owned(), "not an object"),
            ("{}".to_owned(), "`keys` is missing"),
            ("{\n\"keys\":[}".to_owned(), "not JSON at line 2, column 9"),
            (r#"{"keys":[],"keys":[]}"#.to_owned(), "`keys` is given twice"),
            (r#"{"keys":{}}"#.to_owned(), "`keys` is not an array"),
            (r#"{"keys":[],"kesy":[]}"#.to_owned(), "unknown key \"kesy\""),
            (entry("7"), "keys[1]: not an object"),
            (entry(&format!("{{{one}}}")), "keys[1]: `name` is missing"),
            (entry(r#"{"name":"x"}"#), "keys[1]: `key` is missing"),
            (entry(&format!(r#"{{"name":"*",{one}}}"#)), "keys[1]: name is `*`"),
            (entry(&format!(r#"{{"name":"x",{one},{one}}}"#)), "keys[1]: `key` is given twice"),
            (
                entry(&format!(r#"{{"name":"ok",{one}}}"#)),
                "keys[1]: an entry before it has the same `name`",
            ),
            (entry(r#"{"name":"x","key":"fedcba9876543210"}"#), "the same `key`"),
            (entry(r#"{"name":"x","key":"short"}"#), "keys[1]: `key` has to have 16 to 512"),
            (entry(r#"{"name":"x","key":"with a blank 456"}"#), "other than visible ASCII"),
            (entry(r#"{"name":"x","key":12345678901234567}"#), "keys[1]: `key` is not a string"),
            (
                entry(&format!(r#"{{"name":"x",{one},"impersonate":"yes"}}"#)),
                "`impersonate` is not true",
            ),
            (
                entry(&format!(r#"{{"name":"x",{one},"admin":true}}"#)),
                "keys[1]: unknown key \"admin\"",
            ),
        ];
        for (text, wanted) in table {
            let error = parse(&text).unwrap_err();
            assert!(error.contains(wanted), "{text}: {error}");
            assert!(!error.contains(GOOD) && !error.contains("with a blank"), "{error}");
        }
        assert!(
            !format!("{:?}", parse(&entry(&format!(r#"{{"name":"x",{one}}}"#)))).contains(GOOD)
        );
    }

    #[test]
    fn there_are_a_thousand_keys_at_most() {
        let list = |count: usize| {
            let keys = (0..count).map(|n| format!(r#"{{"name":"k{n}","key":"{n:016}"}}"#));
            format!(r#"{{"keys":[{}]}}"#, keys.collect::<Vec<_>>().join(","))
        };
        assert_eq!(parse(&list(1_000)).unwrap().len(), 1_000);
        assert_eq!(parse(&list(1_001)).unwrap_err(), "more than 1000 keys");
    }
}
