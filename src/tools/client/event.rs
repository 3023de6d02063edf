//! What a client of switchboard.v1 is told, and the server's frames as far as it looks into them.
//!
//! This module does not know what a client does about a frame.

use std::collections::BTreeMap;
use std::rc::Rc;

use serde_json::value::RawValue;

/// Something that whoever uses a client has to see. Texts are frames of the server, byte for byte,
/// or what it would have said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// A frame that was wished for was accepted or refused.
    Answer {
        /// Whether it was accepted.
        accepted: bool,
        /// The keys that came with the wish and were not sent.
        given: String,
        /// `ok` or `error`.
        text: String,
    },
    /// Messages may be missing.
    Gap(String),
    /// A message.
    Message {
        /// The epoch of its `seq`; none if it was not logged.
        epoch: Option<Rc<str>>,
        /// The frame.
        text: String,
    },
    /// Everything else: `receipt`, `drain`, `presence`, and errors that answer no frame.
    Notice(String),
    /// The server's welcome.
    Welcome {
        /// The frame.
        text: String,
        /// So many frames are sent again although they may have been accepted: the server knows
        /// nothing of them any more.
        uncertain: usize,
    },
}

/// A place in the log: up to where messages are processed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Position {
    /// What `seq` is good for.
    pub epoch: Rc<str>,
    /// The number.
    pub seq: u64,
}

/// The members of an object, as written.
pub(super) struct Fields<'a>(BTreeMap<String, &'a RawValue>);

impl<'a> Fields<'a> {
    pub fn read(text: &'a str) -> Option<Fields<'a>> {
        serde_json::from_str(text).ok().map(Fields)
    }

    pub fn has(&self, key: &str) -> bool {
        self.0.contains_key(key)
    }

    pub fn raw(&self, key: &str) -> Option<&'a str> {
        self.0.get(key).map(|raw| raw.get())
    }

    pub fn number(&self, key: &str) -> Option<u64> {
        serde_json::from_str(self.raw(key)?).ok()
    }

    pub fn numbers(&self, key: &str) -> Vec<u64> {
        self.raw(key).and_then(|raw| serde_json::from_str(raw).ok()).unwrap_or_default()
    }

    pub fn text(&self, key: &str) -> Option<String> {
        serde_json::from_str(self.raw(key)?).ok()
    }

    pub fn is_set(&self, key: &str) -> bool {
        self.raw(key) == Some("true")
    }
}
