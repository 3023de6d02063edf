//! Entries: one message as a log holds it, written once for everybody who gets it.
//!
//! ```text
//!   | seq 8 | at 8 | id 8 | content: at 4, len 4 | lens 2+2+1 | flags 3 | names         | text
//!                                                                        bob alice c8f3
//!   text:  {"seq":58,"sender":"bob","receiver":"alice","content":"hi","mid":"c8f3:17"}
//!                                                                |--|  content, byte for byte
//! ```
//!
//! An entry is one shared run of bytes: what the rules ask about it first (little-endian, so that
//! a store can keep the bytes as they are), then the frame's text as the wire carries it. Making
//! one is the only allocation of a logged message; every log, cursor and outbox that holds it
//! holds a counted reference of two words.
//!
//! This module does not know what a log is, nor who is a member of what.

use std::fmt;
use std::rc::Rc;

use super::{Seq, Stamp};
use crate::relay::reply::escape;

/// A message, shared by everybody who gets it.
#[derive(Clone, PartialEq, Eq)]
pub struct Entry(Rc<[u8]>);

/// Whom a message is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum To<'a> {
    /// The members of a group at its place in the order of messages; `*` is everyone.
    Group(&'a str),
    /// One user.
    User(&'a str),
}

/// Whether the client that sent a message gets it as well.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Echo {
    /// It does not, not even when it resumes.
    #[default]
    No,
    /// It does.
    Yes,
}

/// Whether the sender wants to hear that a message was acknowledged.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Receipt {
    /// It does not.
    #[default]
    Unasked,
    /// It does.
    Wanted,
}

/// What an entry is made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Draft<'a> {
    /// Its place in the order of everything; `None` for what is not logged.
    pub seq: Option<Seq>,
    /// When it was taken in.
    pub at: Stamp,
    /// Who it is from.
    pub sender: &'a str,
    /// The sender's client, empty for those that have none.
    pub client: &'a str,
    /// The number the client gave it, 0 for none.
    pub id: u64,
    /// Whom it is for.
    pub to: To<'a>,
    /// Any JSON value, as written.
    pub content: &'a str,
    /// Whether the sender's client gets it.
    pub echo: Echo,
    /// Whether the sender wants a receipt.
    pub receipt: Receipt,
}

impl Entry {
    /// Writes an entry. `scratch` is where it is put together, and keeps its capacity: the one
    /// allocation is the entry.
    ///
    /// # Panics
    ///
    /// If content or names are longer than 4 GiB or 64 KiB, which no limit of the server allows.
    pub fn new(draft: &Draft<'_>, scratch: &mut Vec<u8>) -> Entry {
        let (target, group) = match draft.to {
            To::Group(name) => (name, GROUP),
            To::User(name) => (name, 0),
        };
        let echo = if draft.echo == Echo::Yes { ECHO } else { 0 };
        let receipt = if draft.receipt == Receipt::Wanted { RECEIPT } else { 0 };
        scratch.clear();
        scratch.extend(draft.seq.map_or(0, |seq| seq.0).to_le_bytes());
        scratch.extend(draft.at.0.to_le_bytes());
        scratch.extend(draft.id.to_le_bytes());
        scratch.extend([0; 4]); // where the content begins, known below
        scratch.extend(narrow::<u32>(draft.content.len()).to_le_bytes());
        scratch.extend(narrow::<u16>(draft.sender.len()).to_le_bytes());
        scratch.extend(narrow::<u16>(target.len()).to_le_bytes());
        scratch.extend([narrow::<u8>(draft.client.len()), group | echo | receipt, 0, 0]);
        for name in [draft.sender, target, draft.client] {
            scratch.extend(name.as_bytes());
        }
        let content_at = narrow::<u32>(write_text(draft, scratch));
        scratch[CONTENT_AT..][..4].copy_from_slice(&content_at.to_le_bytes());
        Entry(Rc::from(&scratch[..]))
    }

    /// Takes back what [`Entry::as_bytes`] gave to a store. `None` if it is not an entry.
    pub fn from_bytes(bytes: Rc<[u8]>) -> Option<Entry> {
        let entry = Entry(bytes);
        let len = entry.0.len();
        let names = (len >= HEAD_LEN).then(|| entry.text_at())?;
        let content = entry.content_at().checked_add(entry.u32_at(28) as usize)?;
        let is_whole = names <= entry.content_at() && content < len && entry.0[39] == 0;
        (is_whole && std::str::from_utf8(&entry.0[HEAD_LEN..]).is_ok()).then_some(())?;
        let strings = [HEAD_LEN, entry.target_at(), entry.client_at(), entry.content_at(), content];
        let body = entry.str_at(HEAD_LEN, len);
        strings.iter().all(|at| body.is_char_boundary(at - HEAD_LEN)).then_some(entry)
    }

    /// The bytes for a store to keep.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// Whether it is the same one: shared, and not only equal.
    pub fn is_same(&self, other: &Entry) -> bool {
        Rc::ptr_eq(&self.0, &other.0)
    }

    /// Its place in the order of everything; `Seq(0)` for what is not logged.
    pub fn seq(&self) -> Seq {
        Seq(self.u64_at(0))
    }

    /// When it was taken in.
    pub fn at(&self) -> Stamp {
        Stamp(self.u64_at(8))
    }

    /// The number the sender's client gave it, 0 for none.
    pub fn id(&self) -> u64 {
        self.u64_at(16)
    }

    /// Who it is from.
    pub fn sender(&self) -> &str {
        self.str_at(HEAD_LEN, self.target_at())
    }

    /// Whom it is for.
    pub fn to(&self) -> To<'_> {
        let name = self.str_at(self.target_at(), self.client_at());
        if self.has(GROUP) { To::Group(name) } else { To::User(name) }
    }

    /// The sender's client, empty for those that have none.
    pub fn client(&self) -> &str {
        self.str_at(self.client_at(), self.text_at())
    }

    /// The content as written.
    pub fn content(&self) -> &str {
        let at = self.content_at();
        self.str_at(at, at + self.u32_at(28) as usize)
    }

    /// The frame's text: what a v1 client gets.
    pub fn text(&self) -> &str {
        self.str_at(self.text_at(), self.0.len())
    }

    /// Whether this client of this user is the one that sent it, and does not want to see it.
    // R11: an entry remembers its (user, client), and that client is skipped, on resume too.
    pub fn is_own(&self, user: &str, client: &str) -> bool {
        !self.has(ECHO) && !client.is_empty() && self.client() == client && self.sender() == user
    }

    /// Whether the client that sent it gets it as well.
    pub fn is_echoed(&self) -> bool {
        self.has(ECHO)
    }

    /// Whether the sender wants to hear that this user has acknowledged it. Copies in the sender's
    /// own log, and messages to oneself, have nothing to tell.
    pub fn is_receipt_due(&self, user: &str) -> bool {
        self.has(RECEIPT) && self.id() != 0 && self.to() == To::User(user) && self.sender() != user
    }

    /// What it counts against the limits of a log, in bytes.
    pub fn cost(&self) -> u64 {
        (self.0.len() + ENTRY_OVERHEAD_BYTES) as u64
    }

    fn has(&self, flag: u8) -> bool {
        self.0[37] & flag != 0
    }

    fn target_at(&self) -> usize {
        HEAD_LEN + usize::from(self.u16_at(32))
    }

    fn client_at(&self) -> usize {
        self.target_at() + usize::from(self.u16_at(34))
    }

    fn text_at(&self) -> usize {
        self.client_at() + usize::from(self.0[36])
    }

    fn content_at(&self) -> usize {
        self.u32_at(CONTENT_AT) as usize
    }

    fn str_at(&self, from: usize, end: usize) -> &str {
        // Both ways of making an entry put only whole strings there; a wrong place is an empty one.
        std::str::from_utf8(self.0.get(from..end).unwrap_or_default()).unwrap_or_default()
    }

    fn u64_at(&self, at: usize) -> u64 {
        u64::from_le_bytes(self.array_at(at))
    }

    fn u32_at(&self, at: usize) -> u32 {
        u32::from_le_bytes(self.array_at(at))
    }

    fn u16_at(&self, at: usize) -> u16 {
        u16::from_le_bytes(self.array_at(at))
    }

    fn array_at<const LEN: usize>(&self, at: usize) -> [u8; LEN] {
        let field = self.0[at..].first_chunk::<LEN>();
        *field.expect("invariant: an entry has a whole head, which both constructors see to")
    }
}

impl fmt::Debug for Entry {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(self.text())
    }
}

/// Appends the text of the frame, and returns where in `out` the content begins.
fn write_text(draft: &Draft<'_>, out: &mut Vec<u8>) -> usize {
    let mut escaped = String::new();
    out.push(b'{');
    if let Some(seq) = draft.seq {
        out.extend(b"\"seq\":");
        write_decimal(seq.0, out);
        out.push(b',');
    }
    out.extend(b"\"sender\":\"");
    out.extend(escape(draft.sender, &mut escaped).as_bytes());
    let (key, name) = match draft.to {
        To::Group(name) => ("\",\"group\":\"", name),
        To::User(name) => ("\",\"receiver\":\"", name),
    };
    out.extend(key.as_bytes());
    out.extend(escape(name, &mut escaped).as_bytes());
    out.extend(b"\",\"content\":");
    let content_at = out.len();
    out.extend(draft.content.as_bytes());
    if draft.id != 0 {
        out.extend(b",\"mid\":\"");
        out.extend(draft.client.as_bytes());
        out.push(b':');
        write_decimal(draft.id, out);
        out.push(b'"');
    }
    out.push(b'}');
    content_at
}

/// A number in digits, without the machinery of formatting and without an allocation.
fn write_decimal(mut number: u64, out: &mut Vec<u8>) {
    let mut digits = [0; 20];
    let mut at = digits.len();
    loop {
        at -= 1;
        digits[at] = b'0' + (number % 10) as u8;
        number /= 10;
        if number == 0 {
            break;
        }
    }
    out.extend(&digits[at..]);
}

/// # Panics
///
/// For what no limit allows to be as long.
fn narrow<N: TryFrom<usize>>(len: usize) -> N {
    let narrowed = N::try_from(len).ok();
    narrowed.expect("invariant: messages, names and client ids are shorter than their limits")
}

/// Bytes before the names.
const HEAD_LEN: usize = 40;
/// Where the head says where the content begins.
const CONTENT_AT: usize = 24;
/// What a log pays for an entry beside its bytes: the reference, and the counters of the sharing.
const ENTRY_OVERHEAD_BYTES: usize = 32;
const GROUP: u8 = 0b001;
const ECHO: u8 = 0b010;
const RECEIPT: u8 = 0b100;

#[cfg(test)]
mod tests {
    use super::*;

    fn draft<'a>(content: &'a str) -> Draft<'a> {
        Draft {
            seq: Some(Seq(58)),
            at: Stamp(7),
            sender: "b\"ob",
            client: "c8f3",
            id: 17,
            to: To::User("alice"),
            content,
            echo: Echo::No,
            receipt: Receipt::Wanted,
        }
    }

    #[test]
    fn an_entry_is_the_frame_that_is_delivered() {
        let entry = Entry::new(&draft(r#"{"n": 1.0}"#), &mut Vec::new());
        assert_eq!(
            entry.text(),
            r#"{"seq":58,"sender":"b\"ob","receiver":"alice","content":{"n": 1.0},"mid":"c8f3:17"}"#
        );
        let unlogged = Draft { seq: None, id: 0, to: To::Group("g"), ..draft("null") };
        let entry = Entry::new(&unlogged, &mut Vec::new());
        assert_eq!(entry.text(), r#"{"sender":"b\"ob","group":"g","content":null}"#);
        assert_eq!(entry.seq(), Seq(0));
    }

    #[test]
    fn an_entry_answers_what_it_was_made_of_and_comes_back_from_its_bytes() {
        let entry = Entry::new(&draft("\"hé\""), &mut Vec::new());
        let read = Entry::from_bytes(Rc::from(entry.as_bytes())).unwrap();
        for entry in [&entry, &read] {
            assert_eq!((entry.seq(), entry.at(), entry.id()), (Seq(58), Stamp(7), 17));
            assert_eq!((entry.sender(), entry.client()), ("b\"ob", "c8f3"));
            assert_eq!((entry.to(), entry.content()), (To::User("alice"), "\"hé\""));
            assert!(entry.is_receipt_due("alice") && !entry.is_receipt_due("bob"));
            assert!(entry.is_own("b\"ob", "c8f3") && !entry.is_own("b\"ob", "other"));
        }
        let echoed = Draft { echo: Echo::Yes, ..draft("1") };
        assert!(!Entry::new(&echoed, &mut Vec::new()).is_own("b\"ob", "c8f3"));
    }

    #[test]
    fn damaged_bytes_are_no_entry_or_harmless() {
        let entry = Entry::new(&draft("\"hé\""), &mut Vec::new());
        for at in 0..entry.as_bytes().len() {
            assert!(
                Entry::from_bytes(Rc::from(&entry.as_bytes()[..at]))
                    .is_none_or(|e| { e.content().len() + e.text().len() < 200 })
            );
            for bit in 0..8 {
                let mut bytes = entry.as_bytes().to_vec();
                bytes[at] ^= 1 << bit;
                if let Some(read) = Entry::from_bytes(Rc::from(bytes)) {
                    let _ = (read.to(), read.content(), read.client(), read.text(), read.at());
                }
            }
        }
    }
}
