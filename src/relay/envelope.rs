//! Envelopes: what a text message of the plain dialect is, and for whom.
//!
//! ```text
//!   {"sender":"bob", "receiver":"alice", "content": {"n": 1.0, "n": 2} }
//!             ^^^^^             ^^^^^^^             ^^^^^^^^^^^^^^^^^^
//!             a Name            a Name              passed on byte for byte, never looked into
//! ```
//!
//! [`Envelope::read`] is one pure function, and the first rule that matches decides (see the
//! plain dialect's text, "What a frame is"). The object is walked once, and the values of eight
//! keys are kept as they were written; content is never parsed into a tree and never written
//! anew, so big numbers, escapes, the order of keys and keys that occur twice inside it reach the
//! receiver as they left the sender.
//!
//! The walk is the scanner's (`scan.rs`) for the usual message, and `serde_json`'s for whatever
//! the scanner does not take: the scanner is fast, the parser is right, and a test holds the one
//! to the other. The parser's visitor is written by hand because a derived struct would also
//! accept an array (`["bob","alice","hi"]`), copy every optional string, and stop at a repeated
//! key with the same error as at a syntax error.
//!
//! This module does not know who is online, who the sender is, or what is allowed.

use serde::de::IgnoredAny;

use super::name::{Name, unescape};
use super::object;
use super::reply::{Refusal, Target};
use super::scan::{self, Collect};

/// What a text message is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Envelope<'a> {
    /// For every connection of one user.
    Direct {
        /// Who the message says it is from, if it does.
        sender: Option<Name<'a>>,
        /// Whom it is for.
        receiver: Name<'a>,
        /// The content as written: any JSON value.
        content: &'a str,
    },
    /// For the members of a group.
    Group {
        /// Who the message says it is from, if it does.
        sender: Option<Name<'a>>,
        /// The group it is for.
        group: Name<'a>,
        /// The content as written: any JSON value.
        content: &'a str,
    },
    /// A wish to be a member of a group.
    Join {
        /// Who the message says it is from, if it does.
        sender: Option<Name<'a>>,
        /// The group.
        group: Name<'a>,
        /// Whether this connection wants to hear who comes and goes.
        events: Events,
    },
    /// A wish to be a member no longer.
    Leave {
        /// Who the message says it is from, if it does.
        sender: Option<Name<'a>>,
        /// The group.
        group: Name<'a>,
    },
    /// A question who is a member of a group.
    Members {
        /// Who the message says it is from, if it does.
        sender: Option<Name<'a>>,
        /// The group.
        group: Name<'a>,
    },
    /// A question whether somebody is online.
    Presence {
        /// Who the message says it is from, if it does.
        sender: Option<Name<'a>>,
        /// Who is asked after.
        user: Name<'a>,
    },
    /// A question whether the server is there.
    Ping,
    /// Credentials.
    Auth {
        /// The token as written: a JSON string.
        token: &'a str,
    },
    /// For everybody in the room, unchanged.
    Broadcast {
        /// Who the message says it is from, if it is an object that does: any JSON value, as
        /// written.
        sender: Option<&'a str>,
    },
}

/// What a `join` says about the group's presence events.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Events {
    /// Nothing: it stays as it is, which is off at first.
    Unchanged,
    /// This connection does not want them any more.
    Off,
    /// This connection wants them.
    On,
}

/// The limits an envelope is read under.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EnvelopeLimits {
    /// How many JSON objects and arrays may be inside one another; the envelope is the first.
    pub depth_max: usize,
    /// How many bytes a user id or group name may have.
    pub name_max: usize,
}

impl Default for EnvelopeLimits {
    fn default() -> EnvelopeLimits {
        EnvelopeLimits { depth_max: 128, name_max: 128 }
    }
}

impl<'a> Envelope<'a> {
    /// Says what a text message is. Allocates only for keys and names with escapes in them.
    ///
    /// # Errors
    ///
    /// A [`Refusal`] for what is not understood, or ambiguous: it is told to the sender and
    /// delivered to nobody.
    #[inline]
    pub fn read(text: &'a str, limits: &EnvelopeLimits) -> Result<Envelope<'a>, Refusal> {
        // The second look is for those who begin with white space.
        if text.starts_with('{') || text.trim_start_matches(scan::WHITE).starts_with('{') {
            read_object(text, limits)
        } else {
            read_other(text, limits)
        }
    }
}

impl Envelope<'_> {
    /// Whom it is for or about, as a refusal repeats it.
    pub fn target(&self) -> Target<'_> {
        match self {
            Envelope::Direct { receiver, .. } => Target::Receiver(receiver),
            Envelope::Group { group, .. }
            | Envelope::Join { group, .. }
            | Envelope::Leave { group, .. }
            | Envelope::Members { group, .. } => Target::Group(group),
            Envelope::Presence { user, .. } => Target::User(user),
            Envelope::Ping | Envelope::Auth { .. } | Envelope::Broadcast { .. } => Target::Nobody,
        }
    }
}

/// Text that begins like an object: scanned, or if it is in any way unusual, parsed.
#[inline]
fn read_object<'a>(text: &'a str, limits: &EnvelopeLimits) -> Result<Envelope<'a>, Refusal> {
    // Filled in place, for moving it costs as much as finding two keys.
    let mut fields = Fields::default();
    if scan::fields(text, limits.depth_max, &mut fields).is_some() {
        return fields.envelope(limits.name_max);
    }
    parse_object(text, limits)
}

/// What the scanner does not take.
#[cold]
fn parse_object<'a>(text: &'a str, limits: &EnvelopeLimits) -> Result<Envelope<'a>, Refusal> {
    let Some(fields) = parse_fields(text) else { return not_json(text) };
    if nesting_exceeds(text, limits.depth_max) {
        return Err(Refusal::NestingTooDeep);
    }
    fields.envelope(limits.name_max)
}

/// The values of the known keys; `None` if the text is not exactly one JSON object.
pub(super) fn parse_fields(text: &str) -> Option<Fields<'_>> {
    let mut fields = Fields::default();
    // Half of a surrogate pair may be escaped in JSON; a key with one is none of ours.
    let each = |key, value| match unescape(key).and_then(|key| Key::named(&key)) {
        Some(key) => fields.set(key, value),
        None => fields.set_other(),
    };
    object::walk(text, each).ok()?;
    Some(fields)
}

/// Text that does not begin like an object: chat text, or some other JSON value.
#[inline(never)]
fn read_other<'a>(text: &'a str, limits: &EnvelopeLimits) -> Result<Envelope<'a>, Refusal> {
    let deep = nesting_exceeds(text, limits.depth_max);
    if !deep && !names_a_destination(text) {
        return Ok(Envelope::Broadcast { sender: None });
    }
    // The rare case: only valid JSON has a nesting, and only text that is not JSON can be a
    // broken message to one user.
    match serde_json::from_str::<IgnoredAny>(text) {
        Ok(_) if deep => Err(Refusal::NestingTooDeep),
        Ok(_) => Ok(Envelope::Broadcast { sender: None }),
        Err(_) => not_json(text),
    }
}

/// What was meant for one is never broadcast, not even when it is broken.
fn not_json<'a>(text: &str) -> Result<Envelope<'a>, Refusal> {
    match names_a_destination(text) {
        true => Err(Refusal::InvalidJson),
        false => Ok(Envelope::Broadcast { sender: None }),
    }
}

/// A key that means something here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Key {
    Sender,
    Receiver,
    Group,
    Content,
    Type,
    Token,
    User,
    Presence,
}

impl Key {
    /// All of them, each in the place of its number.
    const ALL: [Key; 8] = [
        Key::Sender,
        Key::Receiver,
        Key::Group,
        Key::Content,
        Key::Type,
        Key::Token,
        Key::User,
        Key::Presence,
    ];

    /// The key of this name, unescaped.
    fn named(name: &str) -> Option<Key> {
        match name {
            "sender" => Some(Key::Sender),
            "receiver" => Some(Key::Receiver),
            "group" => Some(Key::Group),
            "content" => Some(Key::Content),
            "type" => Some(Key::Type),
            "token" => Some(Key::Token),
            "user" => Some(Key::User),
            "presence" => Some(Key::Presence),
            _ => None,
        }
    }
}

/// The values of the known keys, as written.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Fields<'a> {
    /// By [`Key`].
    values: [Option<&'a str>; 8],
    is_repeated: bool,
    /// Whether there are keys that mean nothing here.
    has_others: bool,
}

impl<'a> scan::Collect<'a> for Fields<'a> {
    type Key = Key;

    #[inline]
    fn read_key(text: &'a str) -> Option<(Key, &'a str)> {
        let (key, rest) = match text.as_bytes() {
            [b's', ..] => (Key::Sender, text.strip_prefix("sender\"")),
            [b'r', ..] => (Key::Receiver, text.strip_prefix("receiver\"")),
            [b'g', ..] => (Key::Group, text.strip_prefix("group\"")),
            [b'c', ..] => (Key::Content, text.strip_prefix("content\"")),
            [b't', b'y', ..] => (Key::Type, text.strip_prefix("type\"")),
            [b't', ..] => (Key::Token, text.strip_prefix("token\"")),
            [b'u', ..] => (Key::User, text.strip_prefix("user\"")),
            [b'p', ..] => (Key::Presence, text.strip_prefix("presence\"")),
            _ => return None,
        };
        Some((key, rest?))
    }

    /// A repeated key is noted, not an error: whether the text is JSON at all is known only at its
    /// end, and comes first.
    #[inline]
    fn set(&mut self, key: Key, value: &'a str) {
        self.is_repeated |= self.values[key as usize].replace(value).is_some();
    }

    #[inline]
    fn set_other(&mut self) {
        self.has_others = true;
    }
}

impl<'a> Fields<'a> {
    #[inline]
    fn value(&self, key: Key) -> Option<&'a str> {
        self.values[key as usize]
    }

    /// What the fields make. The usual message is recognised first, for most are.
    #[inline]
    fn envelope(&self, name_max: usize) -> Result<Envelope<'a>, Refusal> {
        match self.usual(name_max) {
            Some(direct) => Ok(direct),
            None => self.rules(name_max),
        }
    }

    /// A direct message with names that are good at a glance: what the rules make of it as well.
    #[inline(always)]
    fn usual(&self, name_max: usize) -> Option<Envelope<'a>> {
        if self.is_repeated || self.value(Key::Group).is_some() {
            return None;
        }
        let content = self.value(Key::Content)?;
        let receiver = Name::usual(self.value(Key::Receiver)?, name_max)?;
        let sender = match self.value(Key::Sender) {
            Some(sender) => Some(Name::usual(sender, name_max)?),
            None => None,
        };
        Some(Envelope::Direct { sender, receiver, content })
    }

    /// The rules in their order.
    #[inline(never)]
    fn rules(&self, name_max: usize) -> Result<Envelope<'a>, Refusal> {
        if self.is_repeated {
            return Err(Refusal::RepeatedKey);
        }
        if let Some(receiver) = self.value(Key::Receiver) {
            if self.value(Key::Group).is_some() {
                return Err(Refusal::ReceiverAndGroup);
            }
            let content = self.value(Key::Content).ok_or(Refusal::ContentMissing)?;
            let receiver = read_name(receiver, name_max, Refusal::InvalidReceiver)?;
            return Ok(Envelope::Direct { sender: self.sender(name_max)?, receiver, content });
        }
        if let Some(kind) = self.value(Key::Type)
            && let Some(control) = self.control(kind, name_max)
        {
            return control;
        }
        if let Some(group) = self.value(Key::Group) {
            let content = self.value(Key::Content).ok_or(Refusal::ContentMissing)?;
            let group = read_name(group, name_max, Refusal::InvalidGroup)?;
            return Ok(Envelope::Group { sender: self.sender(name_max)?, group, content });
        }
        if self.value(Key::Sender).is_some() && self.value(Key::Content).is_some() {
            return Err(Refusal::ReceiverMissing);
        }
        Ok(Envelope::Broadcast { sender: self.value(Key::Sender) })
    }

    /// `None` if `type` does not make this a control message: then it is a message whose content
    /// happens to have a `type` beside it.
    fn control(&self, kind: &str, name_max: usize) -> Option<Result<Envelope<'a>, Refusal>> {
        match &*unescape(kind)? {
            "ping" => Some(Ok(Envelope::Ping)),
            "auth" => {
                let token = self.value(Key::Token).filter(|token| token.starts_with('"'))?;
                Some(Ok(Envelope::Auth { token }))
            }
            "join" if self.value(Key::Content).is_none() => {
                let group = self.value(Key::Group)?;
                Some(self.membership(group, name_max).and_then(|(sender, group)| {
                    Ok(Envelope::Join { sender, group, events: self.events()? })
                }))
            }
            "leave" if self.value(Key::Content).is_none() => {
                let group = self.value(Key::Group)?;
                let named = self.membership(group, name_max);
                Some(named.map(|(sender, group)| Envelope::Leave { sender, group }))
            }
            "members" if self.value(Key::Content).is_none() => {
                let group = self.value(Key::Group)?;
                let named = self.membership(group, name_max);
                Some(named.map(|(sender, group)| Envelope::Members { sender, group }))
            }
            "presence" => self.presence(name_max),
            _ => None,
        }
    }

    /// Who, and which group.
    fn membership(
        &self,
        group: &'a str,
        name_max: usize,
    ) -> Result<(Option<Name<'a>>, Name<'a>), Refusal> {
        if !group.starts_with('"') {
            return Err(Refusal::GroupNotAString);
        }
        let group = read_name(group, name_max, Refusal::InvalidGroup)?;
        Ok((self.sender(name_max)?, group))
    }

    fn events(&self) -> Result<Events, Refusal> {
        match self.value(Key::Presence) {
            None => Ok(Events::Unchanged),
            Some("false") => Ok(Events::Off),
            Some("true") => Ok(Events::On),
            Some(_) => Err(Refusal::PresenceNotABoolean),
        }
    }

    /// A question who is online has these keys and no other. With more it is what some application
    /// says to the room in its own words, as `{"type":"presence","user":"bob","state":"away"}`.
    fn presence(&self, name_max: usize) -> Option<Result<Envelope<'a>, Refusal>> {
        let user = self.value(Key::User)?;
        let is_other = |key| !matches!(key, Key::Sender | Key::Type | Key::User);
        let has_others = self.has_others
            || Key::ALL.iter().any(|&key| is_other(key) && self.value(key).is_some());
        let is_name = user.starts_with(|first: char| matches!(first, '"' | '-' | '0'..='9'));
        if has_others || !is_name {
            return None;
        }
        let user = read_name(user, name_max, Refusal::InvalidUser);
        Some(user.and_then(|user| Ok(Envelope::Presence { sender: self.sender(name_max)?, user })))
    }

    #[inline]
    fn sender(&self, name_max: usize) -> Result<Option<Name<'a>>, Refusal> {
        match self.value(Key::Sender) {
            Some(sender) => read_name(sender, name_max, Refusal::InvalidSender).map(Some),
            None => Ok(None),
        }
    }
}

#[inline]
fn read_name(value: &str, name_max: usize, refusal: Refusal) -> Result<Name<'_>, Refusal> {
    Name::from_json(value, name_max).map_err(|_| refusal)
}

/// Whether valid JSON has more than `depth_max` objects and arrays inside one another.
/// `serde_json` skips values without recursion and so without a limit; the receiver's parser
/// may well recurse.
pub(super) fn nesting_exceeds(json: &str, depth_max: usize) -> bool {
    // Nothing is deeper than it has opening brackets, nor has more of them than bytes; so the
    // usual message costs one comparison here, and a large one a count that vectorises.
    json.len() > depth_max && opening_brackets(json) > depth_max && depth(json) > depth_max
}

fn opening_brackets(json: &str) -> usize {
    // `[` is 0x5B and `{` is 0x7B: one bit apart. Counted in a byte per block of 255, because
    // the compiler adds bytes sixteen or more at a time and wider integers two at a time.
    let blocks = json.as_bytes().chunks(u8::MAX as usize);
    let count = |block: &[u8]| block.iter().map(|byte| u8::from(byte | 0x20 == 0x7B)).sum::<u8>();
    blocks.map(|block| usize::from(count(block))).sum()
}

/// How many objects and arrays are inside one another, of valid JSON; brackets in strings do not
/// count. Of other text, some number.
fn depth(json: &str) -> usize {
    let (mut depth, mut deepest) = (0_usize, 0);
    let mut bytes = json.bytes();
    while let Some(byte) = bytes.next() {
        match byte {
            b'[' | b'{' => {
                depth += 1;
                deepest = deepest.max(depth);
            }
            b']' | b'}' => depth = depth.saturating_sub(1),
            b'"' => skip_string(&mut bytes),
            _ => {}
        }
    }
    deepest
}

/// Goes on behind the closing quote.
fn skip_string(bytes: &mut std::str::Bytes<'_>) {
    while let Some(byte) = bytes.next() {
        match byte {
            b'"' => return,
            b'\\' => {
                bytes.next();
            }
            _ => {}
        }
    }
}

/// Whether `"receiver"` or `"group"` is in the text, each letter plain or escaped: keys are
/// compared unescaped, in broken JSON too.
fn names_a_destination(text: &str) -> bool {
    text.match_indices('"').any(|(at, _)| {
        let rest = &text[at + 1..];
        begins_with_key(rest, "receiver") || begins_with_key(rest, "group")
    })
}

/// Whether the text goes on with these letters and a closing quote.
fn begins_with_key(text: &str, key: &str) -> bool {
    let mut rest = text.as_bytes();
    for letter in key.bytes() {
        rest = match rest {
            [first, rest @ ..] if *first == letter => rest,
            [b'\\', b'u', b'0', b'0', high, low, rest @ ..]
                if hex_pair(*high, *low) == Some(letter) =>
            {
                rest
            }
            _ => return false,
        };
    }
    rest.first() == Some(&b'"')
}

fn hex_pair(high: u8, low: u8) -> Option<u8> {
    let high = char::from(high).to_digit(16)?;
    let low = char::from(low).to_digit(16)?;
    u8::try_from(high * 16 + low).ok()
}

#[cfg(test)]
#[path = "envelope_tests.rs"]
mod tests;
