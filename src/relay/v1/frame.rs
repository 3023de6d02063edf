//! Frames: what a client of the dialect switchboard.v1 says.
//!
//! ```text
//!   {"id":17, "receiver":"alice", "content": {"n": 1.0, "n": 2} }      has content: a message
//!         ^^              ^^^^^             ^^^^^^^^^^^^^^^^^^
//!         a number        a Name            passed on byte for byte, never looked into
//!   {"type":"join","group":"room1","id":19}                            otherwise by its type
//! ```
//!
//! [`Frame::read`] is one pure function. The object is walked once and the values of the known
//! keys are kept as they were written, as in the plain dialect's envelope: by the scanner if it
//! takes the text, otherwise by `serde_json`. Unknown keys are ignored. What can be answered under
//! its id is refused; what cannot closes the connection, because a client that waits for an answer
//! that never comes would wait for ever.
//!
//! This module does not know what was decided about an id, nor who may do what.

#[cfg(test)]
mod reading_tests;

use super::effect::Closing;
use super::reply::Refused;
use crate::relay::envelope::{EnvelopeLimits, Events};
use crate::relay::log::{Echo, Receipt, Seq, UserKey};
use crate::relay::name::{Name, unescape};
use crate::relay::{object, scan};

/// What a client says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Frame<'a> {
    /// Everything up to here is processed.
    Ack(Seq),
    /// The first frame.
    Hello(Hello<'a>),
    /// A wish to be a member of a group.
    Join {
        /// Its number.
        id: Option<u64>,
        /// The group.
        group: Name<'a>,
        /// Whether this connection wants to hear who comes and goes.
        events: Events,
        /// In how many groups the user may be, beside what everybody may: whoever knows it fills it
        /// in.
        groups_max: usize,
    },
    /// A wish to be a member no longer.
    Leave {
        /// Its number.
        id: Option<u64>,
        /// The group.
        group: Name<'a>,
    },
    /// A question who is in a group.
    Members {
        /// Its number.
        id: u64,
        /// The group.
        group: Name<'a>,
    },
    /// A message.
    Message(Outgoing<'a>),
    /// Nothing but a number to be answered.
    Ping {
        /// Its number.
        id: Option<u64>,
    },
    /// A question whether somebody is online.
    Presence {
        /// Its number.
        id: u64,
        /// About whom.
        user: Name<'a>,
    },
}

/// The first frame of a client.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hello<'a> {
    /// What the client calls itself: 1 to 32 of `A-Za-z0-9_-`.
    pub client: &'a str,
    /// The lowest id it may still send; `None` if it sends no numbered frames.
    pub next: Option<u64>,
    /// Higher at each attempt of this client to connect; 0 if it does not say.
    pub attempt: u64,
    /// From where it goes on.
    pub position: Position<'a>,
    /// Whose position and outbox these are: who the connection is, or wants to be.
    pub user: Option<Name<'a>>,
    /// A credential, as written: a JSON string.
    pub token: Option<&'a str>,
}

/// From where a client goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Position<'a> {
    /// From a place of an epoch.
    At(&'a str, Seq),
    /// From the oldest that is kept.
    Kept,
    /// From now.
    Live,
}

/// A message to be sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outgoing<'a> {
    /// Its number.
    pub id: Option<u64>,
    /// Who it says it is from, if it does.
    pub sender: Option<Name<'a>>,
    /// Whom it is for.
    pub to: Destination<'a>,
    /// Any JSON value, as written.
    pub content: &'a str,
    /// Whether the client that sends it gets it as well.
    pub echo: Echo,
    /// Whether a receipt is wanted.
    pub receipt: Receipt,
    /// How long it is kept.
    pub life: Life,
    /// Who the receiver is in the book, if whoever asked there whether it knows him filled it in.
    pub receiver: Option<UserKey>,
    /// To how many plain connections a group message goes besides, its own excepted: whoever
    /// knows them fills it in.
    pub beside: u32,
}

/// Whom a message is for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Destination<'a> {
    /// Everyone: the group `*`.
    Everyone,
    /// The members of a group.
    Group(Name<'a>),
    /// One user.
    User(Name<'a>),
}

/// How long a message is kept.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Life {
    /// Not at all: `"ttl":0`.
    Live,
    /// In the log.
    #[default]
    Logged,
}

/// What to do about a frame that cannot be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unreadable {
    /// Close the connection.
    Close(Closing),
    /// Answer it.
    Refuse {
        /// Under this number, which is consumed.
        id: Option<u64>,
        /// With this reason.
        refused: Refused,
    },
}

impl<'a> Outgoing<'a> {
    /// What a program or a plain connection sends: without a number or a wish.
    pub fn plain(to: Destination<'a>, content: &'a str, beside: u32) -> Outgoing<'a> {
        Outgoing {
            id: None,
            sender: None,
            to,
            content,
            echo: Echo::No,
            receipt: Receipt::Unasked,
            life: Life::Logged,
            receiver: None,
            beside,
        }
    }
}

impl<'a> Frame<'a> {
    /// Says what a text message is. Allocates only for keys and names with escapes in them.
    ///
    /// # Errors
    ///
    /// What to do about a frame that is not understood.
    pub fn read(text: &'a str, limits: &EnvelopeLimits) -> Result<Frame<'a>, Unreadable> {
        // Filled in place, for moving it costs as much as finding two keys.
        let mut fields = Fields::default();
        match scan::fields(text, limits.depth_max, &mut fields) {
            Some(()) => fields.read(limits),
            None => read_unusual(text, limits),
        }
    }
}

/// What the scanner does not take.
#[cold]
fn read_unusual<'a>(text: &'a str, limits: &EnvelopeLimits) -> Result<Frame<'a>, Unreadable> {
    let mut fields = parse_fields(text).ok_or(Unreadable::Close(Closing::MALFORMED))?;
    // Nothing is deeper than it is long.
    fields.is_too_deep = text.len() > limits.depth_max && depth(text) > limits.depth_max;
    fields.read(limits)
}

/// The values of the known keys; `None` if the text is not exactly one JSON object.
fn parse_fields(text: &str) -> Option<Fields<'_>> {
    let mut fields = Fields::default();
    let each = |key, value| {
        if let Some(key) = unescape(key).and_then(|key| Key::named(&key)) {
            scan::Collect::set(&mut fields, key, value);
        }
    };
    object::walk(text, each).ok()?;
    Some(fields)
}

/// A key that means something here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Key {
    Attempt,
    Client,
    Content,
    Echo,
    Epoch,
    Group,
    Id,
    Next,
    Presence,
    Receipt,
    Receiver,
    Sender,
    Seq,
    Token,
    Ttl,
    Type,
    User,
}

impl Key {
    fn named(name: &str) -> Option<Key> {
        Some(match name {
            "attempt" => Key::Attempt,
            "client" => Key::Client,
            "content" => Key::Content,
            "echo" => Key::Echo,
            "epoch" => Key::Epoch,
            "group" => Key::Group,
            "id" => Key::Id,
            "next" => Key::Next,
            "presence" => Key::Presence,
            "receipt" => Key::Receipt,
            "receiver" => Key::Receiver,
            "sender" => Key::Sender,
            "seq" => Key::Seq,
            "token" => Key::Token,
            "ttl" => Key::Ttl,
            "type" => Key::Type,
            "user" => Key::User,
            _ => return None,
        })
    }
}

/// The values of the known keys, as written.
#[derive(Debug, Default, PartialEq, Eq)]
struct Fields<'a> {
    /// By [`Key`].
    values: [Option<&'a str>; 17],
    repeated: Option<Key>,
    is_too_deep: bool,
}

impl<'a> scan::Collect<'a> for Fields<'a> {
    type Key = Key;

    #[inline]
    fn read_key(text: &'a str) -> Option<(Key, &'a str)> {
        // Told apart by their first letters, then compared.
        let (key, rest) = match text.as_bytes() {
            [b'a', ..] => (Key::Attempt, text.strip_prefix("attempt\"")),
            [b'c', b'l', ..] => (Key::Client, text.strip_prefix("client\"")),
            [b'c', ..] => (Key::Content, text.strip_prefix("content\"")),
            [b'e', b'c', ..] => (Key::Echo, text.strip_prefix("echo\"")),
            [b'e', ..] => (Key::Epoch, text.strip_prefix("epoch\"")),
            [b'g', ..] => (Key::Group, text.strip_prefix("group\"")),
            [b'i', ..] => (Key::Id, text.strip_prefix("id\"")),
            [b'n', ..] => (Key::Next, text.strip_prefix("next\"")),
            [b'p', ..] => (Key::Presence, text.strip_prefix("presence\"")),
            [b'r', _, _, _, _, b'p', ..] => (Key::Receipt, text.strip_prefix("receipt\"")),
            [b'r', ..] => (Key::Receiver, text.strip_prefix("receiver\"")),
            [b's', b'e', b'n', ..] => (Key::Sender, text.strip_prefix("sender\"")),
            [b's', ..] => (Key::Seq, text.strip_prefix("seq\"")),
            [b't', b'o', ..] => (Key::Token, text.strip_prefix("token\"")),
            [b't', b't', ..] => (Key::Ttl, text.strip_prefix("ttl\"")),
            [b't', ..] => (Key::Type, text.strip_prefix("type\"")),
            [b'u', ..] => (Key::User, text.strip_prefix("user\"")),
            _ => return None,
        };
        Some((key, rest?))
    }

    #[inline]
    fn set(&mut self, key: Key, value: &'a str) {
        if self.values[key as usize].replace(value).is_some() {
            // The id counts most: a frame whose id is not clear cannot be answered.
            let first = self.repeated.unwrap_or(key);
            self.repeated = Some(if key == Key::Id { key } else { first });
        }
    }

    /// Unknown keys are ignored.
    #[inline]
    fn set_other(&mut self) {}
}

impl<'a> Fields<'a> {
    /// What the fields make. The usual message is recognised first, for most are.
    #[inline]
    fn read(&self, limits: &EnvelopeLimits) -> Result<Frame<'a>, Unreadable> {
        // An id that cannot be read cannot be answered.
        let id = match self.value(Key::Id) {
            None => None,
            Some(id) => match read_integer(id) {
                None | Some(0) => return Err(Unreadable::Close(Closing::MALFORMED)),
                _ if self.repeated == Some(Key::Id) => {
                    return Err(Unreadable::Close(Closing::MALFORMED));
                }
                id => id,
            },
        };
        match self.usual(id, limits.name_max) {
            Some(outgoing) => Ok(Frame::Message(outgoing)),
            None => self.rules(id, limits),
        }
    }

    /// A message to a user, without wishes, with names that are good at a glance: what the rules
    /// make of it as well.
    #[inline(always)]
    fn usual(&self, id: Option<u64>, name_max: usize) -> Option<Outgoing<'a>> {
        let unusual = [Key::Group, Key::Echo, Key::Receipt, Key::Ttl];
        if self.repeated.is_some()
            || self.is_too_deep
            || unusual.iter().any(|&key| self.value(key).is_some())
        {
            return None;
        }
        let content = self.value(Key::Content)?;
        let receiver = Name::usual(self.value(Key::Receiver)?, name_max)?;
        let sender = match self.value(Key::Sender) {
            Some(sender) => Some(Name::usual(sender, name_max)?),
            None => None,
        };
        Some(Outgoing { id, sender, ..Outgoing::plain(Destination::User(receiver), content, 0) })
    }

    /// The rules in their order.
    #[inline(never)]
    fn rules(&self, id: Option<u64>, limits: &EnvelopeLimits) -> Result<Frame<'a>, Unreadable> {
        self.frame(id, limits).map_err(|refused| match refused {
            Some(refused) => Unreadable::Refuse { id, refused },
            None => Unreadable::Close(Closing::MALFORMED),
        })
    }

    fn value(&self, key: Key) -> Option<&'a str> {
        self.values[key as usize]
    }

    /// `Err(None)`: it cannot be answered.
    fn frame(
        &self,
        id: Option<u64>,
        limits: &EnvelopeLimits,
    ) -> Result<Frame<'a>, Option<Refused>> {
        if self.repeated.is_some() {
            return Err(Some(bad("repeated_key")));
        }
        if self.is_too_deep {
            return Err(Some(bad("nesting_too_deep")));
        }
        if let Some(content) = self.value(Key::Content) {
            return Ok(Frame::Message(self.message(id, content, limits.name_max)?));
        }
        let kind = self.value(Key::Type).ok_or(bad("type_missing"))?;
        let kind = unescape(kind).ok_or(bad("unknown_type"))?;
        match &*kind {
            "ack" => Ok(Frame::Ack(self.seq()?.ok_or(bad("seq_missing"))?)),
            "hello" => self.hello(limits.name_max).map(Frame::Hello).ok_or(None),
            "join" => {
                let (group, events) = (self.group(limits.name_max)?, self.events()?);
                Ok(Frame::Join { id, group, events, groups_max: usize::MAX })
            }
            "leave" => Ok(Frame::Leave { id, group: self.group(limits.name_max)? }),
            "members" => {
                let id = id.ok_or(bad("id_missing"))?;
                Ok(Frame::Members { id, group: self.group(limits.name_max)? })
            }
            "ping" => Ok(Frame::Ping { id }),
            "presence" => {
                let id = id.ok_or(bad("id_missing"))?;
                let user = self.value(Key::User).ok_or(bad("user_missing"))?;
                let user = read_name(user, limits.name_max, "invalid_user")?;
                Ok(Frame::Presence { id, user })
            }
            _ => Err(Some(bad("unknown_type"))),
        }
    }

    fn message(
        &self,
        id: Option<u64>,
        content: &'a str,
        name_max: usize,
    ) -> Result<Outgoing<'a>, Refused> {
        let to = match (self.value(Key::Receiver), self.value(Key::Group)) {
            (Some(_), Some(_)) => return Err(bad("receiver_and_group")),
            (None, None) => return Err(bad("receiver_missing")),
            (Some(receiver), None) => {
                Destination::User(read_name(receiver, name_max, "invalid_receiver")?)
            }
            (None, Some("\"*\"")) => Destination::Everyone,
            (None, Some(_)) => Destination::Group(self.group(name_max)?),
        };
        let sender = self.value(Key::Sender);
        let sender = sender.map(|name| read_name(name, name_max, "invalid_sender")).transpose()?;
        let echo = if self.is_set(Key::Echo)? { Echo::Yes } else { Echo::No };
        let wanted = self.is_set(Key::Receipt)?;
        let receipt = if wanted { Receipt::Wanted } else { Receipt::Unasked };
        let life = match self.value(Key::Ttl) {
            None => Life::Logged,
            Some("0") => Life::Live,
            Some(_) => return Err(bad("invalid_ttl")),
        };
        let plain = Outgoing::plain(to, content, 0);
        Ok(Outgoing { id, sender, echo, receipt, life, ..plain })
    }

    /// `None`: without a good hello nothing can follow.
    fn hello(&self, name_max: usize) -> Option<Hello<'a>> {
        let client = self.value(Key::Client)?.strip_prefix('"')?.strip_suffix('"')?;
        let is_letter = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
        if client.is_empty() || client.len() > CLIENT_MAX_BYTES || !client.bytes().all(is_letter) {
            return None;
        }
        let next = match self.value(Key::Next) {
            Some(next) => Some(read_integer(next).filter(|next| *next > 0)?),
            None => None,
        };
        let attempt = match self.value(Key::Attempt) {
            Some(attempt) => read_integer(attempt)?,
            None => 0,
        };
        let epoch = match self.value(Key::Epoch) {
            Some(epoch) => Some(epoch.strip_prefix('"')?.strip_suffix('"')?),
            None => None,
        };
        let position = match (epoch, self.seq().ok()?) {
            (Some(epoch), Some(seq)) => Position::At(epoch, seq),
            (None, Some(Seq(0))) => Position::Kept,
            (None, None) => Position::Live,
            (Some(_), None) | (None, Some(_)) => return None,
        };
        let user = match self.value(Key::User) {
            Some(user) => Some(Name::from_json(user, name_max).ok()?),
            None => None,
        };
        let token = self.value(Key::Token);
        if token.is_some_and(|token| !token.starts_with('"')) {
            return None;
        }
        Some(Hello { client, next, attempt, position, user, token })
    }

    fn group(&self, name_max: usize) -> Result<Name<'a>, Refused> {
        let group = self.value(Key::Group).ok_or(bad("group_missing"))?;
        read_name(group, name_max, "invalid_group")
    }

    fn events(&self) -> Result<Events, Refused> {
        match self.value(Key::Presence) {
            None => Ok(Events::Unchanged),
            Some("false") => Ok(Events::Off),
            Some("true") => Ok(Events::On),
            Some(_) => Err(bad("presence_not_a_boolean")),
        }
    }

    fn seq(&self) -> Result<Option<Seq>, Refused> {
        let seq = self.value(Key::Seq);
        seq.map(|seq| read_integer(seq).map(Seq).ok_or(bad("invalid_seq"))).transpose()
    }

    fn is_set(&self, key: Key) -> Result<bool, Refused> {
        match self.value(key) {
            None | Some("false") => Ok(false),
            Some("true") => Ok(true),
            Some(_) => Err(bad("invalid_option")),
        }
    }
}

const fn bad(reason: &'static str) -> Refused {
    Refused { code: 400, reason }
}

fn read_name<'a>(
    value: &'a str,
    name_max: usize,
    reason: &'static str,
) -> Result<Name<'a>, Refused> {
    match Name::usual(value, name_max) {
        Some(name) => Ok(name),
        None => Name::from_json(value, name_max).map_err(|_| bad(reason)),
    }
}

/// An integer of at most 2^53 - 1 in digits alone, which every JavaScript client holds exactly.
#[inline]
fn read_integer(value: &str) -> Option<u64> {
    // As many digits as the largest has overflow nothing.
    if value.len() > INTEGER_MAX_DIGITS {
        return None;
    }
    let mut number = 0;
    for byte in value.bytes() {
        let digit = byte.wrapping_sub(b'0');
        if digit > 9 {
            return None;
        }
        number = 10 * number + u64::from(digit);
    }
    (number <= INTEGER_MAX).then_some(number)
}

/// How many objects and arrays are inside one another, of valid JSON.
fn depth(json: &str) -> usize {
    let (mut depth, mut deepest) = (0_usize, 0);
    let mut bytes = json.bytes();
    while let Some(byte) = bytes.next() {
        match byte {
            b'[' | b'{' => depth += 1,
            b']' | b'}' => depth = depth.saturating_sub(1),
            b'"' => {
                while bytes.by_ref().find(|byte| matches!(byte, b'"' | b'\\')) == Some(b'\\') {
                    bytes.next();
                }
            }
            _ => {}
        }
        deepest = deepest.max(depth);
    }
    deepest
}

/// The longest name of a client.
const CLIENT_MAX_BYTES: usize = 32;
/// The largest integer that a JavaScript number holds with all below it.
const INTEGER_MAX: u64 = (1 << 53) - 1;
/// How many digits it has: 9007199254740991.
const INTEGER_MAX_DIGITS: usize = 16;
