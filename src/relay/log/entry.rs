//! Entries: one message as a log holds it, written once for everybody who gets it.
//!
//! ```text
//!   | seq 8 | at 8 | id 8 | content: at 4, len 4 | lens 2+2+1 | flags 3 | names          | frame
//!                                                                        bob alice c8f3
//!   frame: 81 52 {"seq":58,"sender":"bob","receiver":"alice","content":"hi","mid":"c8f3:17"}
//!          header                                                      |--|  byte for byte
//! ```
//!
//! An entry is one shared run of bytes: what the rules ask about it first (little-endian, so that
//! a store can keep the bytes as they are), then the frame as a server's wire carries it (RFC 6455
//! §5.2: unmasked, so the same for everybody). Making one is the only allocation of a logged
//! message, and the only copy of it but the one into the buffer of a socket, which a long one is
//! spared too: every log, cursor and outbox that holds it holds a counted reference.
//!
//! This module does not know what a log is, nor who is a member of what.

use std::fmt;
use std::iter;
use std::rc::Rc;

use super::{Seq, Stamp};
use crate::outbox::Frame;
use crate::relay::decimal::Decimal;
use crate::relay::reply::escape;
use crate::wire::{FrameHeader, Opcode, Parsed, Rsv};

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
    /// Writes an entry.
    ///
    /// # Panics
    ///
    /// If content or names are longer than 4 GiB or 64 KiB, which no limit of the server allows.
    pub fn new(draft: &Draft<'_>) -> Entry {
        let (target, group) = match draft.to {
            To::Group(name) => (name, GROUP),
            To::User(name) => (name, 0),
        };
        let echo = if draft.echo == Echo::Yes { ECHO } else { 0 };
        let receipt = if draft.receipt == Receipt::Wanted { RECEIPT } else { 0 };
        let (mut escaped_sender, mut escaped_target) = (String::new(), String::new());
        let text = Text {
            draft,
            seq: Decimal::of(draft.seq.map_or(0, |seq| seq.0)),
            id: Decimal::of(draft.id),
            sender: escape(draft.sender, &mut escaped_sender),
            target: escape(target, &mut escaped_target),
        };
        let names_len = draft.sender.len() + target.len() + draft.client.len();
        let (mut before_len, mut behind_len) = (0, 0);
        text.put_before(|part| before_len += part.len());
        text.put_behind(|part| behind_len += part.len());
        let text_len = before_len + draft.content.len() + behind_len;
        let header = frame_header(text_len);
        let content_at = HEAD_LEN + names_len + header.len() + before_len;
        // Written in place: zeros are cheaper than another copy.
        let whole_len = HEAD_LEN + names_len + header.len() + text_len;
        let mut bytes: Rc<[u8]> = iter::repeat_n(0, whole_len).collect();
        let space = Rc::get_mut(&mut bytes).expect("invariant: nobody else refers to it yet");
        let mut at = 0;
        let mut put = |part: &[u8]| {
            space[at..at + part.len()].copy_from_slice(part);
            at += part.len();
        };
        let mut head = [0; HEAD_LEN];
        head[..8].copy_from_slice(&draft.seq.map_or(0, |seq| seq.0).to_le_bytes());
        head[8..16].copy_from_slice(&draft.at.0.to_le_bytes());
        head[16..24].copy_from_slice(&draft.id.to_le_bytes());
        head[24..28].copy_from_slice(&narrow::<u32>(content_at).to_le_bytes());
        head[28..32].copy_from_slice(&narrow::<u32>(draft.content.len()).to_le_bytes());
        head[32..34].copy_from_slice(&narrow::<u16>(draft.sender.len()).to_le_bytes());
        head[34..36].copy_from_slice(&narrow::<u16>(target.len()).to_le_bytes());
        head[36] = narrow(draft.client.len());
        head[37] = group | echo | receipt;
        head[38] = header.len() as u8;
        put(&head);
        put(draft.sender.as_bytes());
        put(target.as_bytes());
        put(draft.client.as_bytes());
        header.put(&mut put);
        text.put_before(&mut put);
        put(draft.content.as_bytes());
        text.put_behind(&mut put);
        Entry(bytes)
    }

    /// Takes back what [`Entry::as_bytes`] gave to a store. `None` if it is not an entry.
    pub fn from_bytes(bytes: Rc<[u8]>) -> Option<Entry> {
        let entry = Entry(bytes);
        let len = entry.0.len();
        let text_at = (len >= HEAD_LEN).then(|| entry.text_at())?;
        let content_end = entry.content_at().checked_add(entry.u32_at(28) as usize)?;
        let is_whole =
            text_at <= entry.content_at() && content_end < len && entry.0[RESERVED_AT] == 0;
        // What goes to the wire as it is must be the header of this very text.
        let header = entry.0.get(entry.frame_at()..text_at).filter(|_| is_whole)?;
        let header_len = header.len();
        let wanted = Parsed::Complete { value: frame_header(len - text_at), len: header_len };
        (FrameHeader::parse(header) == Ok(wanted)).then_some(())?;
        let parts = [
            HEAD_LEN..entry.target_at(),
            entry.target_at()..entry.client_at(),
            entry.client_at()..entry.frame_at(),
            text_at..entry.content_at(),
            entry.content_at()..content_end,
            content_end..len,
        ];
        let is_text = |part| std::str::from_utf8(&entry.0[part]).is_ok();
        parts.into_iter().all(is_text).then_some(entry)
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

    /// Whether it is for the members of a group.
    pub fn is_for_group(&self) -> bool {
        self.has(GROUP)
    }

    /// The sender's client, empty for those that have none.
    pub fn client(&self) -> &str {
        self.str_at(self.client_at(), self.frame_at())
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

    /// The whole frame, as a server sends it.
    pub fn frame(&self) -> Frame {
        Frame::end_of(Rc::clone(&self.0), self.frame_at())
    }

    /// The same, in the place of the entry: the reference is handed on.
    pub fn into_frame(self) -> Frame {
        let start = self.frame_at();
        Frame::end_of(self.0, start)
    }

    /// How long the frame is, in bytes.
    pub fn frame_len(&self) -> usize {
        self.0.len() - self.frame_at()
    }

    /// Whether this client of this user is the one that sent it, and does not want to see it.
    // R11: an entry remembers its (user, client), and that client is skipped, on resume too.
    pub fn is_own(&self, user: &str, client: &str) -> bool {
        let is = |from, end, name: &str| self.0.get(from..end) == Some(name.as_bytes());
        !self.has(ECHO)
            && !client.is_empty()
            && is(self.client_at(), self.frame_at(), client)
            && is(HEAD_LEN, self.target_at(), user)
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

    fn frame_at(&self) -> usize {
        self.client_at() + usize::from(self.0[36])
    }

    fn text_at(&self) -> usize {
        self.frame_at() + usize::from(self.0[38])
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

/// The text of a frame around its content, handed out in a row: once to be measured and once to be
/// written. Inlined, for a part whose length is known is one store or two, where another is a call.
struct Text<'a> {
    draft: &'a Draft<'a>,
    seq: Decimal,
    id: Decimal,
    /// Both escaped.
    sender: &'a str,
    target: &'a str,
}

impl Text<'_> {
    #[inline(always)]
    fn put_before(&self, mut out: impl FnMut(&[u8])) {
        match self.draft.seq {
            Some(_) => {
                out(b"{\"seq\":");
                out(self.seq.as_bytes());
                out(b",\"sender\":\"");
            }
            None => out(b"{\"sender\":\""),
        }
        out(self.sender.as_bytes());
        match self.draft.to {
            To::Group(_) => out(b"\",\"group\":\""),
            To::User(_) => out(b"\",\"receiver\":\""),
        }
        out(self.target.as_bytes());
        out(b"\",\"content\":");
    }

    #[inline(always)]
    fn put_behind(&self, mut out: impl FnMut(&[u8])) {
        if self.draft.id == 0 {
            return out(b"}");
        }
        out(b",\"mid\":\"");
        out(self.draft.client.as_bytes());
        out(b":");
        out(self.id.as_bytes());
        out(b"\"}");
    }
}

// RFC 6455 §5.1: a server MUST NOT mask.
fn frame_header(text_len: usize) -> FrameHeader {
    FrameHeader {
        fin: true,
        rsv: Rsv::NONE,
        opcode: Opcode::Text,
        masking_key: None,
        payload_len: text_len as u64,
    }
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
/// A byte of the head that says nothing yet.
const RESERVED_AT: usize = 39;
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
        let entry = Entry::new(&draft(r#"{"n": 1.0}"#));
        assert_eq!(
            entry.text(),
            r#"{"seq":58,"sender":"b\"ob","receiver":"alice","content":{"n": 1.0},"mid":"c8f3:17"}"#
        );
        let unlogged = Draft { seq: None, id: 0, to: To::Group("g"), ..draft("null") };
        let entry = Entry::new(&unlogged);
        assert_eq!(entry.text(), r#"{"sender":"b\"ob","group":"g","content":null}"#);
        assert_eq!(entry.seq(), Seq(0));
    }

    #[test]
    fn an_entry_answers_what_it_was_made_of_and_comes_back_from_its_bytes() {
        let entry = Entry::new(&draft("\"hé\""));
        let read = Entry::from_bytes(Rc::from(entry.as_bytes())).unwrap();
        for entry in [&entry, &read] {
            assert_eq!((entry.seq(), entry.at(), entry.id()), (Seq(58), Stamp(7), 17));
            assert_eq!((entry.sender(), entry.client()), ("b\"ob", "c8f3"));
            assert_eq!((entry.to(), entry.content()), (To::User("alice"), "\"hé\""));
            assert!(entry.is_receipt_due("alice") && !entry.is_receipt_due("bob"));
            assert!(entry.is_own("b\"ob", "c8f3") && !entry.is_own("b\"ob", "other"));
        }
        let echoed = Draft { echo: Echo::Yes, ..draft("1") };
        assert!(!Entry::new(&echoed).is_own("b\"ob", "c8f3"));
    }

    #[test]
    fn an_entry_is_a_whole_frame_of_any_length() {
        for (len, header) in [(1, 2), (300, 4), (70_000, 10)] {
            let entry = Entry::new(&draft(&format!("\"{}\"", "x".repeat(len))));
            let frame = entry.frame();
            let text = entry.text().as_bytes();
            let mut wanted = frame_header(text.len()).encode().to_vec();
            assert_eq!(wanted.len(), header);
            wanted.extend(text);
            assert_eq!(frame.as_bytes(), wanted);
            assert_eq!(entry.frame_len(), wanted.len());
            let read = Entry::from_bytes(Rc::from(entry.as_bytes())).unwrap();
            assert_eq!(read, entry);
            let longer = [entry.as_bytes(), b" "].concat();
            assert_eq!(Entry::from_bytes(Rc::from(longer)), None, "of another length");
        }
    }

    #[test]
    fn damaged_bytes_are_no_entry_or_harmless() {
        let entry = Entry::new(&draft("\"hé\""));
        let len = entry.as_bytes().len();
        for at in 0..len {
            assert!(
                Entry::from_bytes(Rc::from(&entry.as_bytes()[..at]))
                    .is_none_or(|e| { e.content().len() + e.text().len() < 200 })
            );
            for bit in 0..8 {
                let mut bytes = entry.as_bytes().to_vec();
                bytes[at] ^= 1 << bit;
                let Some(read) = Entry::from_bytes(Rc::from(bytes)) else { continue };
                let _ = (read.to(), read.content(), read.client(), read.text(), read.at());
                // Whatever is kept, what goes to the wire is one whole frame of text.
                assert_eq!(read.frame().as_bytes()[..2], [0x81, read.text().len() as u8]);
                assert_eq!(read.frame_len(), 2 + read.text().len());
            }
        }
    }
}
