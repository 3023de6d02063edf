//! Identities: what a credential says about whoever brings it.
//!
//! ```text
//!   {"user": "alice", "roles": ["member"], "groups": "staff", "expires": 1893456000}
//!    Name             names, 64 at most     one is a list too  seconds since 1970
//! ```
//!
//! A tokens file, the claims of a JWT and the answer of an endpoint say the same things, under
//! names of their own: they are read here, by one rule.
//!
//! This module does not know where the JSON came from, or whether to believe it.

use std::fmt;

use super::json::{Json, Object};
use crate::relay::name::{Name, NameError};
use crate::timer::UnixMillis;

/// Who somebody is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// The user id.
    pub user: Box<str>,
    /// What he is: the policy says what that allows.
    pub roles: Vec<Box<str>>,
    /// Groups he is a member of as long as he is connected.
    pub groups: Vec<Box<str>>,
    /// When he is nobody again.
    pub expires_at: Option<UnixMillis>,
}

impl Identity {
    /// Reads `user`, `roles`, `groups` and `expires`, under these names or others; a key that is
    /// not there leaves its list empty, or its identity without end. Names have `name_max` bytes
    /// at most.
    pub(super) fn read(
        object: &mut Object,
        keys: &Keys,
        name_max: usize,
    ) -> Result<Identity, IdentityError> {
        let user = take(object, keys.user)?.ok_or(IdentityError::Missing(keys.user))?;
        let user = read_user(user, name_max).map_err(|why| why.of(keys.user))?;
        let roles = read_names(object, keys.roles, ROLES_MAX, name_max)?;
        let groups = read_names(object, keys.groups, GROUPS_MAX, name_max)?;
        let expires_at = read_time(object, keys.expires)?;
        Ok(Identity { user, roles, groups, expires_at })
    }
}

/// Under which names an identity is written.
pub(super) struct Keys {
    pub(super) user: &'static str,
    pub(super) roles: &'static str,
    pub(super) groups: &'static str,
    pub(super) expires: &'static str,
}

/// Why something is no identity.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IdentityError {
    /// A value is of the wrong kind.
    Kind {
        /// Its key.
        key: &'static str,
        /// What it should be.
        wanted: &'static str,
    },
    /// A key that must be there is not.
    Missing(&'static str),
    /// A name breaks a rule.
    Name {
        /// Its key.
        key: &'static str,
        /// The rule.
        error: NameError,
    },
    /// A key is there twice.
    Repeated(&'static str),
    /// A list is too long.
    TooMany {
        /// Its key.
        key: &'static str,
        /// How many there may be.
        max: usize,
    },
}

impl fmt::Display for IdentityError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            IdentityError::Kind { key, wanted } => write!(f, "{key} is not {wanted}"),
            IdentityError::Missing(key) => write!(f, "{key} is missing"),
            IdentityError::Name { key, error } => write!(f, "{key}: {error}"),
            IdentityError::Repeated(key) => write!(f, "{key} is there twice"),
            IdentityError::TooMany { key, max } => write!(f, "{key} has more than {max} entries"),
        }
    }
}

impl std::error::Error for IdentityError {}

/// Takes out the value of a key.
pub(super) fn take(object: &mut Object, key: &'static str) -> Result<Option<Json>, IdentityError> {
    object.take(key).map_err(|_| IdentityError::Repeated(key))
}

/// A point in time, in seconds since 1970; fractions count (RFC 7519 §2, NumericDate).
pub(super) fn read_time(
    object: &mut Object,
    key: &'static str,
) -> Result<Option<UnixMillis>, IdentityError> {
    match take(object, key)? {
        None => Ok(None),
        Some(Json::Integer(seconds)) => Ok(Some(UnixMillis(seconds.saturating_mul(1000)))),
        // What is before 1970, or after all time, becomes the beginning, or the end, of it.
        Some(Json::Number(seconds)) => Ok(Some(UnixMillis((seconds * 1000.0) as u64))),
        Some(_) => Err(IdentityError::Kind { key, wanted: "a number of seconds since 1970" }),
    }
}

/// What a user's name is not.
enum NotAName {
    Name(NameError),
    Kind,
}

impl NotAName {
    fn of(self, key: &'static str) -> IdentityError {
        match self {
            NotAName::Name(error) => IdentityError::Name { key, error },
            NotAName::Kind => IdentityError::Kind { key, wanted: "a string" },
        }
    }
}

/// A user id is a string, or a number as in messages: `1001` and `"1001"` are one user.
fn read_user(value: Json, name_max: usize) -> Result<Box<str>, NotAName> {
    match value {
        Json::Integer(number) => read_name(Json::String(number.to_string()), name_max)
            .and_then(|name| if name.len() <= 16 { Ok(name) } else { Err(NotAName::Kind) }),
        other => read_name(other, name_max),
    }
}

fn read_name(value: Json, name_max: usize) -> Result<Box<str>, NotAName> {
    let Json::String(text) = value else { return Err(NotAName::Kind) };
    match Name::new(&text[..], name_max) {
        Ok(_) => Ok(text.into()),
        Err(error) => Err(NotAName::Name(error)),
    }
}

/// A list of names, or one name. `null` is no list: who writes it may mean everything.
fn read_names(
    object: &mut Object,
    key: &'static str,
    max: usize,
    name_max: usize,
) -> Result<Vec<Box<str>>, IdentityError> {
    let Some(value) = take(object, key)? else { return Ok(Vec::new()) };
    let strings = value.into_strings();
    let strings = strings.ok_or(IdentityError::Kind { key, wanted: "a list of strings" })?;
    if strings.len() > max {
        return Err(IdentityError::TooMany { key, max });
    }
    let name = |text| read_name(Json::String(text), name_max).map_err(|why| why.of(key));
    strings.into_iter().map(name).collect()
}

/// Every role is looked up when somebody comes.
const ROLES_MAX: usize = 64;

/// Every group is joined when somebody comes.
const GROUPS_MAX: usize = 1000;

#[cfg(test)]
mod tests {
    use super::*;

    const KEYS: Keys = Keys { user: "user", roles: "roles", groups: "groups", expires: "expires" };

    fn read(text: &str) -> Result<Identity, IdentityError> {
        let mut object = Json::parse(text).unwrap().into_object().unwrap();
        Identity::read(&mut object, &KEYS, 128)
    }

    #[test]
    fn the_example_of_the_module_documentation() {
        let identity = read(
            r#"{"user": "alice", "roles": ["member"], "groups": "staff", "expires": 1893456000}"#,
        );
        let wanted = Identity {
            user: "alice".into(),
            roles: vec!["member".into()],
            groups: vec!["staff".into()],
            expires_at: Some(UnixMillis(1_893_456_000_000)),
        };
        assert_eq!(identity, Ok(wanted));
        let identity = read(r#"{"user": 1001}"#).unwrap();
        assert_eq!((&*identity.user, identity.roles.len()), ("1001", 0));
        assert_eq!((identity.groups.len(), identity.expires_at), (0, None));
    }

    #[test]
    fn times_are_seconds_and_never_overflow() {
        let expires = |text: &str| {
            let identity = read(&format!(r#"{{"user": "a", "expires": {text}}}"#));
            identity.map(|identity| identity.expires_at.unwrap().0)
        };
        assert_eq!(expires("1.5"), Ok(1500));
        assert_eq!(expires("-1"), Ok(0));
        assert_eq!(expires("18446744073709551615"), Ok(u64::MAX));
        assert_eq!(expires("1e300"), Ok(u64::MAX));
        let wanted = "a number of seconds since 1970";
        for text in ["\"1893456000\"", "null", "[]", "true"] {
            assert_eq!(
                expires(text),
                Err(IdentityError::Kind { key: "expires", wanted }),
                "{text}"
            );
        }
    }

    #[test]
    fn what_is_no_identity_is_refused_with_its_key() {
        let name = |key, error| IdentityError::Name { key, error };
        let kind = |key, wanted| IdentityError::Kind { key, wanted };
        let cases = [
            ("{}", IdentityError::Missing("user")),
            (r#"{"user": ""}"#, name("user", NameError::Empty)),
            (r#"{"user": "*"}"#, name("user", NameError::Star)),
            (r#"{"user": " bob"}"#, name("user", NameError::WhiteSpace)),
            (r#"{"user": "b\nb"}"#, name("user", NameError::Invisible)),
            (r#"{"user": "\u202Ebob"}"#, name("user", NameError::Invisible)),
            (r#"{"user": null}"#, kind("user", "a string")),
            (r#"{"user": ["bob"]}"#, kind("user", "a string")),
            (r#"{"user": {"name": "bob"}}"#, kind("user", "a string")),
            (r#"{"user": 1.5}"#, kind("user", "a string")),
            (r#"{"user": -1}"#, kind("user", "a string")),
            (r#"{"user": 12345678901234567}"#, kind("user", "a string")),
            (r#"{"user": "bob", "user": "eve"}"#, IdentityError::Repeated("user")),
            (r#"{"user": "bob", "roles": null}"#, kind("roles", "a list of strings")),
            (r#"{"user": "bob", "roles": ["a", 7]}"#, kind("roles", "a list of strings")),
            (r#"{"user": "bob", "roles": {"a": 1}}"#, kind("roles", "a list of strings")),
            (r#"{"user": "bob", "groups": [""]}"#, name("groups", NameError::Empty)),
            (r#"{"user": "bob", "roles": [], "roles": []}"#, IdentityError::Repeated("roles")),
        ];
        for (text, error) in cases {
            assert_eq!(read(text), Err(error), "{text}");
        }
        let long = format!(r#"{{"user": "{}"}}"#, "a".repeat(129));
        assert_eq!(read(&long), Err(name("user", NameError::TooLong)));
        for (key, max) in [("roles", ROLES_MAX), ("groups", GROUPS_MAX)] {
            let list =
                |len| format!(r#"{{"user": "a", "{key}": [{}]}}"#, vec!["\"r\""; len].join(","));
            assert!(read(&list(max)).is_ok());
            assert_eq!(read(&list(max + 1)), Err(IdentityError::TooMany { key, max }));
        }
    }
}
