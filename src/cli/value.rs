//! Values as they were given, each with the place that it came from.
//!
//! ```text
//! --max-message '5x': not a number of bytes                      a flag
//! SWITCHBOARD_MAX_MESSAGE '5x': not a number of bytes            a variable
//! /etc/switchboard.toml:3:15: max-message '5x': not a number     the configuration file
//! ```
//!
//! This module does not know what a value means, only how to speak of it.

use std::ffi::OsString;
use std::fmt;
use std::path::{Path, PathBuf};

/// Where a value came from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// Nobody said anything.
    Default,
    /// A variable of the environment.
    Environment(String),
    /// The configuration file, at this place.
    File(Place),
    /// The command line: the flag without its dashes.
    Flag(&'static str),
    /// A file that holds a secret, and the variable that names it.
    SecretFile(String, PathBuf),
}

/// A place in the configuration file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// The file as it was named.
    pub path: PathBuf,
    /// The line, from 1 on.
    pub line: usize,
    /// The character in the line, from 1 on.
    pub column: usize,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}:{}", self.path.display(), self.line, self.column)
    }
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Source::Default => f.write_str("default"),
            Source::Environment(name) => f.write_str(name),
            Source::File(place) => place.fmt(f),
            Source::Flag(name) => write!(f, "--{name}"),
            Source::SecretFile(name, path) => write!(f, "{name} ({})", path.display()),
        }
    }
}

/// Whether a value may be shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Secrecy {
    Public,
    Secret,
}

/// One value as it was given.
#[derive(Clone, Debug)]
pub(super) struct Given {
    /// The setting's name.
    pub name: &'static str,
    pub source: Source,
    pub text: String,
    pub secrecy: Secrecy,
}

impl Given {
    /// What is wrong with it, beginning with its place.
    pub fn problem(&self, why: impl fmt::Display) -> String {
        match self.secrecy {
            Secrecy::Public => self.problem_of(&self.text, why),
            Secrecy::Secret => self.problem_of("***", why),
        }
    }

    /// The same about a part of it.
    pub fn problem_of(&self, part: &str, why: impl fmt::Display) -> String {
        problem(&self.named(), part, why)
    }

    /// The place together with the name.
    pub fn named(&self) -> String {
        match &self.source {
            Source::File(place) => format!("{place}: {}", self.name),
            source => source.to_string(),
        }
    }

    /// A path in it. In the configuration file, paths are relative to the file's folder, so that
    /// they mean the same wherever the server is started.
    pub fn path(&self, text: &str) -> PathBuf {
        match &self.source {
            Source::File(Place { path, .. }) => path.parent().unwrap_or(Path::new("")).join(text),
            _ => PathBuf::from(text),
        }
    }
}

/// A text that is never shown.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    pub(super) fn new(text: String) -> Secret {
        Secret(text)
    }

    /// The text itself.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

/// Reads what the system holds, which need not be text.
pub(super) fn text_of(value: &OsString) -> Result<&str, &'static str> {
    match value.to_str() {
        None => Err("not UTF-8"),
        Some("") => Err("is empty: give it a value or leave it out"),
        Some(text) => Ok(text),
    }
}

pub(super) fn problem(place: &str, text: &str, why: impl fmt::Display) -> String {
    format!("{place} '{}': {why}", shown(text))
}

/// Escaped and cut: a value may be anything, the terminal is the user's.
pub(super) fn shown(text: &str) -> String {
    let shown: String = text.chars().take(SHOWN_MAX).flat_map(char::escape_debug).collect();
    let cut = if text.chars().nth(SHOWN_MAX).is_some() { "..." } else { "" };
    shown + cut
}

pub(super) const SHOWN_MAX: usize = 64;
