//! The policy file: JSON, read strictly.
//!
//! ```text
//!   {"roles": {"member": {"allow": ["send:*", "sned:bob"], "limits": {"message": 4096}}}}
//!                                             ^^^^^^^^^^
//!   line 1: roles.member.allow[1]: unknown permission "sned:bob"; did you mean "send:bob"?
//! ```
//!
//! Whatever is not understood is an error, since a permission that is misspelt is missing, and a
//! limit that is misspelt limits nothing. Keys that occur twice are an error as well: two readers
//! would read two policies. Values stay pieces of the text until they are needed, and a piece knows
//! its line.
//!
//! This module does not know what roles add up to.

use std::borrow::Cow;
use std::fmt;

use serde::de::IgnoredAny;
use serde_json::value::RawValue;

use super::limits::{LimitKey, Stated, StatedLimits};
use super::nearest::nearest;
use super::pattern::{Pattern, PatternError};
use super::{EVERYBODY, Permission, RIGHTS, Right, Role};
use crate::relay::name::{Name, NameError, unescape};
use crate::relay::object;

/// Why a text is not a policy: what, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PolicyError {
    /// The line, counted from 1.
    pub line: usize,
    /// The keys on the way to it, as `roles.member.allow[1]`; empty for the text as a whole.
    pub place: Box<str>,
    /// What is wrong there.
    pub fault: Fault,
}

/// What can be wrong with a policy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fault {
    /// Something else was expected here.
    Expected(&'static str),
    /// A pattern for names that nobody can have.
    Name(NameError),
    /// The text is not JSON; in the words of the parser.
    NotJson(Box<str>),
    /// A number is not in its range.
    OutOfRange {
        /// The lowest it may be.
        min: u64,
        /// The highest.
        max: u64,
    },
    /// A pattern is none.
    Pattern(PatternError),
    /// A path that no room can have: it does not begin with a slash.
    Path,
    /// The same key twice.
    Repeated(Box<str>),
    /// The text has more bytes than a policy may have.
    TooLong,
    /// A key that nobody knows.
    UnknownKey {
        /// The key.
        key: Box<str>,
        /// The one that was probably meant.
        nearest: Option<&'static str>,
    },
    /// A permission that nobody knows.
    UnknownPermission {
        /// The permission.
        permission: Box<str>,
        /// The one that was probably meant.
        nearest: Option<Box<str>>,
    },
    /// A limit that has no meaning without another one.
    Without(&'static str),
}

impl fmt::Display for PolicyError {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "line {}: ", self.line)?;
        if !self.place.is_empty() {
            write!(out, "{}: ", self.place)?;
        }
        self.fault.fmt(out)
    }
}

impl std::error::Error for PolicyError {}

impl fmt::Display for Fault {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Fault::Expected(what) => write!(out, "expected {what}"),
            Fault::Name(error) => write!(out, "{error}"),
            Fault::NotJson(error) => write!(out, "not JSON: {error}"),
            Fault::OutOfRange { min, max } => write!(out, "out of range: {min} to {max}"),
            Fault::Pattern(error) => write!(out, "{error}"),
            Fault::Path => out.write_str("a room is a URL path, which begins with `/`"),
            Fault::Repeated(key) => write!(out, "key {key:?} occurs twice"),
            Fault::TooLong => write!(out, "text is longer than {TEXT_MAX_BYTES} bytes"),
            Fault::UnknownKey { key, nearest: None } => write!(out, "unknown key {key:?}"),
            Fault::UnknownKey { key, nearest: Some(nearest) } => {
                write!(out, "unknown key {key:?}; did you mean {nearest:?}?")
            }
            Fault::UnknownPermission { permission, nearest: None } => {
                write!(out, "unknown permission {permission:?}; there are")?;
                for (at, right) in RIGHTS.into_iter().enumerate() {
                    let star = if right.word().ends_with(':') { "*" } else { "" };
                    write!(out, "{} {}{star}", if at == 0 { "" } else { "," }, right.word())?;
                }
                Ok(())
            }
            Fault::UnknownPermission { permission, nearest: Some(nearest) } => {
                write!(out, "unknown permission {permission:?}; did you mean {nearest:?}?")
            }
            Fault::Without(other) => write!(out, "has no meaning without {other:?} as a number"),
        }
    }
}

/// Reads the roles of a policy.
pub(super) fn read(text: &str) -> Result<Vec<Role>, PolicyError> {
    let root = Piece { text, value: text, place: String::new() };
    if text.len() > TEXT_MAX_BYTES {
        return Err(root.fault(Fault::TooLong));
    }
    // Once for all: every piece of it is JSON from here on.
    if let Err(error) = serde_json::from_str::<IgnoredAny>(text) {
        let line = error.line().max(1);
        let words = error.to_string();
        let words = words.split(" at line ").next().unwrap_or_default();
        let fault = Fault::NotJson(format!("{words} (column {})", error.column()).into());
        return Err(PolicyError { line, place: Box::from(""), fault });
    }
    let mut roles = None;
    for (key, value) in root.entries("an object with the key \"roles\"")? {
        match &*key {
            "roles" => roles = Some(read_roles(&value)?),
            _ => return Err(value.unknown(&key, ["roles"])),
        }
    }
    roles.ok_or_else(|| root.fault(Fault::Expected("the key \"roles\"")))
}

fn read_roles(piece: &Piece<'_>) -> Result<Vec<Role>, PolicyError> {
    let entries = piece.entries("an object with a role for each key")?;
    entries.into_iter().map(|(name, value)| read_role(&name, &value)).collect()
}

fn read_role(name: &str, piece: &Piece<'_>) -> Result<Role, PolicyError> {
    if name != EVERYBODY {
        Name::new(name, ROLE_NAME_MAX_BYTES).map_err(|error| piece.fault(Fault::Name(error)))?;
    }
    let (mut allow, mut limits) = (Vec::new(), StatedLimits::nothing());
    for (key, value) in piece.entries("an object with the keys \"allow\" and \"limits\"")? {
        match &*key {
            "allow" => {
                let items = value.items("a list of permissions")?;
                allow = items.iter().map(read_permission).collect::<Result<_, _>>()?;
            }
            "limits" => limits = read_limits(&value)?,
            _ => return Err(value.unknown(&key, ["allow", "limits"])),
        }
    }
    Ok(Role { name: name.into(), allow, limits })
}

fn read_permission(piece: &Piece<'_>) -> Result<Permission, PolicyError> {
    let text = piece.string("a permission, as \"send:*\"")?;
    let found = RIGHTS.into_iter().find_map(|right| match right.word().strip_suffix(':') {
        None => (*text == *right.word()).then_some((right, None)),
        Some(_) => text.strip_prefix(right.word()).map(|pattern| (right, Some(pattern))),
    });
    match found {
        None => Err(piece.fault(unknown_permission(&text))),
        Some((right, None)) => Ok(Permission::Plain(right)),
        Some((right, Some(pattern))) => {
            let pattern = Pattern::parse(pattern);
            let pattern = pattern.map_err(|error| piece.fault(Fault::Pattern(error)))?;
            check_pattern(right, &pattern).map_err(|fault| piece.fault(fault))?;
            Ok(Permission::For(right, pattern))
        }
    }
}

/// A pattern that can match nothing is a mistake, and so is found here and not by its absence.
fn check_pattern(right: Right, pattern: &Pattern) -> Result<(), Fault> {
    match (right, pattern) {
        (_, Pattern::Prefix(prefix)) if prefix.is_empty() => Ok(()),
        (Right::Room, _) if pattern.stem().starts_with('/') => Ok(()),
        (Right::Room, _) => Err(Fault::Path),
        (_, Pattern::Exact(name)) => match Name::new(&**name, NAME_MAX_BYTES) {
            Ok(_) => Ok(()),
            Err(error) => Err(Fault::Name(error)),
        },
        // Whatever it is that follows, the name ends visibly then.
        (_, Pattern::Prefix(prefix)) => match Name::new(format!("{prefix}x"), NAME_MAX_BYTES) {
            Ok(_) => Ok(()),
            Err(error) => Err(Fault::Name(error)),
        },
    }
}

fn unknown_permission(text: &str) -> Fault {
    let (word, pattern) = match text.split_once(':') {
        Some((word, pattern)) => (word, Some(pattern)),
        None => (text, None),
    };
    let bare = |right: Right| right.word().trim_end_matches(':');
    let near = nearest(word, RIGHTS.map(bare));
    let near = RIGHTS.into_iter().find(|right| Some(bare(*right)) == near);
    let nearest = near.map(|right| {
        let is_plain = !right.word().ends_with(':');
        let pattern = if is_plain { "" } else { pattern.unwrap_or("*") };
        format!("{}{pattern}", right.word()).into()
    });
    Fault::UnknownPermission { permission: text.into(), nearest }
}

fn read_limits(piece: &Piece<'_>) -> Result<StatedLimits, PolicyError> {
    let mut limits = StatedLimits::nothing();
    let mut places = [None; LimitKey::ALL.len()];
    let entries = piece.entries("an object with a limit for each key")?;
    for (key, value) in &entries {
        let found = LimitKey::ALL.into_iter().find(|known| known.word() == *key);
        let Some(key) = found else {
            return Err(value.unknown(key, LimitKey::ALL.map(LimitKey::word)));
        };
        limits.set(key, value.limit(key)?);
        places[key as usize] = Some(value);
    }
    for (burst, rate) in [
        (LimitKey::Burst, LimitKey::MessagesPerSecond),
        (LimitKey::BurstBytes, LimitKey::BytesPerSecond),
    ] {
        let is_rate = matches!(limits.at(rate), Stated::AtMost(_));
        match places[burst as usize] {
            Some(value) if !is_rate => return Err(value.fault(Fault::Without(rate.word()))),
            // Said here and not where roles are added up, so that the burst of one role is not
            // that of another one, whose rate is lower.
            None if is_rate => limits.set(burst, limits.at(rate)),
            _ => {}
        }
    }
    Ok(limits)
}

/// A value in the text, and the way to it.
struct Piece<'a> {
    text: &'a str,
    value: &'a str,
    place: String,
}

impl<'a> Piece<'a> {
    fn fault(&self, fault: Fault) -> PolicyError {
        let offset = (self.value.as_ptr() as usize).saturating_sub(self.text.as_ptr() as usize);
        let before = self.text.get(..offset).unwrap_or_default();
        let line = before.matches('\n').count() + 1;
        PolicyError { line, place: self.place.as_str().into(), fault }
    }

    /// The same for the key of this value.
    fn unknown<const N: usize>(&self, key: &str, known: [&'static str; N]) -> PolicyError {
        self.fault(Fault::UnknownKey { key: key.into(), nearest: nearest(key, known) })
    }

    fn part(&self, value: &'a str, place: String) -> Piece<'a> {
        Piece { text: self.text, value, place }
    }

    /// The members of an object, in their order.
    fn entries(&self, wanted: &'static str) -> Result<Vec<(String, Piece<'a>)>, PolicyError> {
        let wrong = || self.fault(Fault::Expected(wanted));
        let mut members = Vec::new();
        object::walk(self.value, |key, value| members.push((key, value))).map_err(|_| wrong())?;
        let mut entries: Vec<(String, Piece<'a>)> = Vec::with_capacity(members.len());
        for (key, value) in members {
            let key = unescape(key).ok_or_else(wrong)?.into_owned();
            let dot = if self.place.is_empty() { "" } else { "." };
            // A key may be any text, and this one is for a terminal.
            let shown: String = key.chars().take(PLACE_CHARS_MAX).flat_map(escaped).collect();
            entries.push((key, self.part(value, format!("{}{dot}{shown}", self.place))));
        }
        let mut keys: Vec<&str> = entries.iter().map(|(key, _)| &**key).collect();
        keys.sort_unstable();
        match keys.windows(2).find(|pair| pair[0] == pair[1]) {
            Some(pair) => Err(self.fault(Fault::Repeated(pair[0].into()))),
            None => Ok(entries),
        }
    }

    /// The elements of an array.
    fn items(&self, wanted: &'static str) -> Result<Vec<Piece<'a>>, PolicyError> {
        let values: Vec<&'a RawValue> =
            serde_json::from_str(self.value).map_err(|_| self.fault(Fault::Expected(wanted)))?;
        let part = |(at, value): (usize, &'a RawValue)| {
            self.part(value.get(), format!("{}[{at}]", self.place))
        };
        Ok(values.into_iter().enumerate().map(part).collect())
    }

    fn string(&self, wanted: &'static str) -> Result<Cow<'a, str>, PolicyError> {
        unescape(self.value).ok_or_else(|| self.fault(Fault::Expected(wanted)))
    }

    fn limit(&self, key: LimitKey) -> Result<Stated, PolicyError> {
        if unescape(self.value).as_deref() == Some("unlimited") {
            return Ok(Stated::Unlimited);
        }
        let wanted = "a whole number or \"unlimited\"";
        // Digits alone are a number that is too large, not something else.
        if self.value.is_empty() || !self.value.bytes().all(|byte| byte.is_ascii_digit()) {
            return Err(self.fault(Fault::Expected(wanted)));
        }
        let (min, max) = key.range();
        match self.value.parse() {
            Ok(number) if (min..=max).contains(&number) => Ok(Stated::AtMost(number)),
            _ => Err(self.fault(Fault::OutOfRange { min, max })),
        }
    }
}

fn escaped(c: char) -> impl Iterator<Item = char> {
    let (plain, shown) =
        if c.is_control() { (None, Some(c.escape_debug())) } else { (Some(c), None) };
    plain.into_iter().chain(shown.into_iter().flatten())
}

/// A policy has a few lines; what has so many bytes is some other file.
const TEXT_MAX_BYTES: usize = 1 << 20;

/// As long as a user id may be.
const ROLE_NAME_MAX_BYTES: usize = 128;

/// The longest that user ids and group names may be made by a limit of the server.
const NAME_MAX_BYTES: usize = 1024;

/// More of a key is not shown.
const PLACE_CHARS_MAX: usize = 40;
