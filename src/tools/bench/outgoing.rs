//! The frames that go out: prebuilt and masked, with the digits that change put in before each
//! write.
//!
//! ```text
//! 82 fe 00 7d | 5b a1 c3 0e | stamp ^ key | filler ^ key | 82 fe 00 7d | 5b a1 c3 0e | stamp ^ ...
//! '---------------- frame, copy 0 ----------------------' '---------- frame, copy 1 ----------
//! ```
//!
//! What a connection sends is a function of its sequence numbers alone. So nothing is kept for a
//! connection that could write a part only: the rest is made again when it takes more. All
//! connections share the one run of copies, however many messages each has outstanding.

use std::rc::Rc;

use super::chat::Chat;
use super::dialect::number_digits;
use super::stamp::{STAMP_LEN, stamp};
use super::template::{Party, Rendered, Route};
use crate::wire::{FrameHeader, MaskingKey, Opcode, Rsv};

/// A run of copies of one frame.
#[derive(Debug)]
pub struct Outgoing {
    run: Vec<u8>,
    frame_len: usize,
    copies: usize,
    key: MaskingKey,
    /// The key as it meets a stamp.
    stamp_key: u128,
    /// Where in a frame the stamp is, and how many of its digits.
    stamp_at: usize,
    stamp_len: usize,
    names_at: Vec<(usize, Party)>,
    numbers_at: Vec<usize>,
    /// What follows the stamp, if it is another in each message.
    chat: Option<Rc<Chat>>,
}

impl Outgoing {
    /// Frames for a message, as many as go into one write of reasonable length and at most
    /// `copies_max`. `content_len` is the length of its content.
    ///
    /// Deviation: RFC 6455 §5.3 wants a new masking key for each frame. Its purpose is to keep
    /// pages from choosing what appears on the wire, and here nobody but us chooses. The key is not
    /// zero, which some servers take for no masking at all.
    pub fn new(
        message: &Rendered,
        content_len: usize,
        opcode: Opcode,
        key: MaskingKey,
        copies_max: usize,
    ) -> Outgoing {
        let mut frame = Vec::new();
        append_frame(&mut frame, opcode, key, &message.payload);
        let header_len = frame.len() - message.payload.len();
        let copies = (RUN_BYTES / frame.len()).clamp(1, copies_max.max(1));
        let stamp_len = content_len.min(STAMP_LEN);
        // A short stamp is the end of a whole one.
        let mut stamp_key = [0; STAMP_LEN];
        key_at(key, message.content_at + stamp_len).apply(&mut stamp_key);
        Outgoing {
            frame_len: frame.len(),
            run: frame.repeat(copies),
            copies,
            key,
            stamp_key: u128::from_ne_bytes(stamp_key),
            stamp_at: header_len + message.content_at,
            stamp_len,
            names_at: message
                .names_at
                .iter()
                .map(|(at, party)| (header_len + at, *party))
                .collect(),
            numbers_at: message.numbers_at.iter().map(|at| header_len + at).collect(),
            chat: None,
        }
    }

    /// Messages that are not framed here but compressed first: each has a text of its own after
    /// its stamp, which must be whole.
    pub fn unframed(message: &Rendered, content_len: usize, chat: Rc<Chat>) -> Outgoing {
        // A key of zeros masks nothing.
        let plain = Outgoing::new(message, content_len, Opcode::Text, MaskingKey([0; 4]), 1);
        Outgoing { chat: Some(chat), ..plain }
    }

    /// The payload of one message, of [`unframed`](Outgoing::unframed) ones.
    pub fn payload(&mut self, route: &Route, stream: u32, sequence: u64) -> &[u8] {
        self.frames(route, stream, sequence, 1);
        if let Some(chat) = &self.chat {
            let text = chat.message(stream, sequence);
            self.run[self.stamp_at + self.stamp_len..][..text.len()].copy_from_slice(text);
        }
        let payload_at = self.header_len();
        &self.run[payload_at..]
    }

    /// The length of a frame in bytes.
    pub fn frame_len(&self) -> usize {
        self.frame_len
    }

    /// How many frames one call of [`frames`](Outgoing::frames) makes at most.
    pub fn copies(&self) -> usize {
        self.copies
    }

    /// The frames of the messages from `sequence` on, `count` of them or as many as there are
    /// copies.
    #[inline]
    pub fn frames(&mut self, route: &Route, stream: u32, sequence: u64, count: usize) -> &[u8] {
        let len = count.min(self.copies()) * self.frame_len;
        let frames = self.run[..len].chunks_exact_mut(self.frame_len);
        for (number, frame) in (sequence..).zip(frames) {
            let masked = u128::from_ne_bytes(stamp(stream, number)) ^ self.stamp_key;
            let masked = masked.to_ne_bytes();
            let place = &mut frame[self.stamp_at..self.stamp_at + self.stamp_len];
            // A copy of a known length is two instructions.
            match <&mut [u8; STAMP_LEN]>::try_from(&mut *place) {
                Ok(place) => *place = masked,
                // The last digits are what fits.
                Err(_) => place.copy_from_slice(&masked[STAMP_LEN - self.stamp_len..]),
            }
        }
        for place in 0..self.numbers_at.len() {
            let at = self.numbers_at[place];
            let key = key_at(self.key, at - self.header_len());
            let frames = self.run[..len].chunks_exact_mut(self.frame_len);
            for (number, frame) in (sequence..).zip(frames) {
                let mut masked = number_digits(number);
                key.apply(&mut masked);
                frame[at..at + masked.len()].copy_from_slice(&masked);
            }
        }
        for place in 0..self.names_at.len() {
            let (at, party) = self.names_at[place];
            let mut masked = route.digits(party);
            key_at(self.key, at - self.header_len()).apply(&mut masked);
            for frame in self.run[..len].chunks_exact_mut(self.frame_len) {
                frame[at..at + masked.len()].copy_from_slice(&masked);
            }
        }
        &self.run[..len]
    }

    fn header_len(&self) -> usize {
        match self.run[1] & 0x7F {
            126 => 8,
            127 => 14,
            _ => 6,
        }
    }
}

/// The key as seen from this place of a payload (RFC 6455 §5.3).
fn key_at(key: MaskingKey, at: usize) -> MaskingKey {
    let MaskingKey(mut octets) = key;
    octets.rotate_left(at % 4);
    MaskingKey(octets)
}

/// Appends a masked frame: what a client sends.
pub fn append_frame(out: &mut Vec<u8>, opcode: Opcode, key: MaskingKey, payload: &[u8]) {
    let payload_len = payload.len() as u64;
    let masking_key = Some(key);
    FrameHeader { fin: true, rsv: Rsv::NONE, opcode, masking_key, payload_len }.write(out);
    let start = out.len();
    out.extend_from_slice(payload);
    key.apply(&mut out[start..]);
}

/// Content of this many bytes: room for the stamp, then filler.
pub fn content(len: usize, filler: Filler) -> Vec<u8> {
    let stamp_len = len.min(STAMP_LEN);
    let mut content = vec![b'0'; stamp_len];
    match filler {
        // Every value of a byte, and no two neighbours alike.
        Filler::Binary => content.extend((stamp_len..len).map(|at| (at * 31 % 256) as u8)),
        Filler::Ascii => content.extend(ASCII.bytes().cycle().take(len - stamp_len)),
        Filler::MultiByte => {
            let mut letters = MULTI_BYTE.chars().cycle();
            while let Some(letter) = letters.next()
                && content.len() + letter.len_utf8() <= len
            {
                content.extend_from_slice(letter.encode_utf8(&mut [0; 4]).as_bytes());
            }
            content.resize(len, b'.');
        }
    }
    content
}

/// What messages are filled with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Filler {
    /// Bytes of every value, in binary messages.
    Binary,
    /// Letters, in text messages.
    Ascii,
    /// Characters of one to four bytes, in text messages.
    MultiByte,
}

impl Filler {
    /// What kind of message it goes into.
    pub fn opcode(self) -> Opcode {
        match self {
            Filler::Binary => Opcode::Binary,
            Filler::Ascii | Filler::MultiByte => Opcode::Text,
        }
    }
}

// Nothing that JSON would have to escape.
const ASCII: &str = "the quick brown fox jumps over the lazy dog, ";
const MULTI_BYTE: &str = "grüße, żółć, привет, 你好, 🦊 ";

/// How long a write may be: what a socket buffer takes at once on most systems.
const RUN_BYTES: usize = 64 * 1024;

#[cfg(test)]
mod tests {
    use super::super::chat::Form;
    use super::super::template::{User, render};
    use super::*;
    use crate::wire::Parsed;

    const KEY: MaskingKey = MaskingKey([0x37, 0xfa, 0x21, 0x3d]);

    fn route(number: u32) -> Route {
        Route { from: User { role: b's', number }, to: User { role: b'r', number } }
    }

    /// What the server unmasks.
    fn payloads(mut bytes: &[u8]) -> Vec<String> {
        let mut payloads = Vec::new();
        while let Ok(Parsed::Complete { value, len }) = FrameHeader::parse(bytes) {
            let end = len + value.payload_len as usize;
            let mut payload = bytes[len..end].to_vec();
            value.masking_key.unwrap().apply_bytewise(0, &mut payload);
            payloads.push(String::from_utf8_lossy(&payload).into_owned());
            bytes = &bytes[end..];
        }
        assert!(bytes.is_empty());
        payloads
    }

    #[test]
    fn frames_carry_their_numbers_and_names() {
        let template = r#"{"to":"{to}","id":{number},"from":"{from}","content":"{content}"}"#;
        for size in [16, 17, 100, 200, 70_000] {
            let body = content(size, Filler::Ascii);
            let message = render(template, route(0), &body).unwrap();
            let mut outgoing = Outgoing::new(&message, size, Opcode::Text, KEY, 3);
            let bytes = outgoing.frames(&route(7), 7, 254, 3).to_vec();
            let filler = String::from_utf8(body[16..].to_vec()).unwrap();
            for (number, payload) in (254..).zip(payloads(&bytes)) {
                let wanted = format!(
                    r#"{{"to":"r000007","id":{},"from":"s000007","content":"{}{filler}"}}"#,
                    10_000_000 + number,
                    format_args!("000007{number:010x}"),
                );
                assert_eq!(payload, wanted, "{size}");
            }
            assert_eq!(bytes.len(), outgoing.frame_len() * outgoing.copies().min(3));
        }
    }

    #[test]
    fn short_contents_carry_the_last_digits() {
        for size in 0..16 {
            let message = render("{content}", route(0), &content(size, Filler::Binary)).unwrap();
            let mut outgoing = Outgoing::new(&message, size, Opcode::Binary, KEY, 2);
            let found = payloads(outgoing.frames(&route(1), 1, 0x9_8765_43fe, 2));
            let whole =
                ["0000010987654_3fe", "0000010987654_3ff"].map(|text| text.replace('_', ""));
            let wanted: Vec<&str> = whole.iter().map(|text| &text[16 - size..]).collect();
            assert_eq!(found, wanted);
        }
    }

    #[test]
    fn unframed_messages_have_a_text_of_their_own() {
        let size = 300;
        let chat = Rc::new(Chat::new(size - STAMP_LEN, Form::Prose));
        let message = render("-{content}+{to}", route(0), &content(size, Filler::Ascii)).unwrap();
        let mut outgoing = Outgoing::unframed(&message, size, Rc::clone(&chat));
        for sequence in [0, 1, 99] {
            let text = str::from_utf8(chat.message(7, sequence)).unwrap();
            let wanted = format!("-000007{sequence:010x}{text}+r000007");
            assert_eq!(outgoing.payload(&route(7), 7, sequence), wanted.as_bytes());
        }
    }

    #[test]
    fn contents_have_their_length_and_are_text_where_they_should_be() {
        for len in 0..300 {
            for filler in [Filler::Binary, Filler::Ascii, Filler::MultiByte] {
                let content = content(len, filler);
                assert_eq!(content.len(), len);
                assert!(filler == Filler::Binary || str::from_utf8(&content).is_ok());
            }
        }
    }
}
