//! permessage-deflate: what a peer compressed, and what we compress.
//!
//! ```text
//! input
//! 00                bit 0: windows are kept between messages; bit 1: text; bits 2-3: the limit;
//!                   bits 4-6: our window, from 8 bits on
//! 07                how many bytes the first of two messages has
//! f2 48 cd c9 c9 07 00 ...   their payloads, as RFC 7692 §7.2.1 leaves them, without 00 00 ff ff
//! ```
//!
//! * What is decompressed is what a plain inflater (`tests/common/inflate.rs`) makes of it, within
//!   the limit of a message, and text is UTF-8.
//! * It is the same for every chunking, and for every number of frames.
//! * What one end compresses, the other decompresses, and the plain inflater too; and it refers no
//!   further back than was agreed.

use switchboard::outbox::Outbox;
use switchboard::protocol::{Connection, Endpoint, Input, Message, MessageKind, Role, State, Step};
use switchboard::wire::{
    DeflateAgreement, FrameHeader, Parsed, ProtocolError, Rsv, Utf8Validator, WindowBits,
};

use crate::plain_inflate::inflate_message;
use crate::subject::frame_with;

/// Holds the rules above for one input.
pub fn check(input: &[u8]) {
    let Some((&[flags, first_len], rest)) = input.split_first_chunk() else { return };
    let setting = Setting {
        keeps: flags & 1 != 0,
        is_text: flags & 2 != 0,
        max: [100_000, 300, 10, 0][usize::from(flags >> 2 & 3)],
        window: WindowBits::new(8 + (flags >> 4 & 7)).unwrap_or_default(),
    };
    let messages = rest.split_at(rest.len().min(usize::from(first_len)));
    check_received(&setting, [messages.0, messages.1]);
    check_sent(&setting, [messages.0, messages.1]);
}

/// What the two ends have agreed, and what one of them takes.
struct Setting {
    keeps: bool,
    is_text: bool,
    max: u64,
    window: WindowBits,
}

impl Setting {
    fn agreed(&self) -> DeflateAgreement {
        DeflateAgreement {
            server_no_context_takeover: !self.keeps,
            client_no_context_takeover: !self.keeps,
            server_max_window_bits: Some(self.window),
            client_max_window_bits: None,
        }
    }

    fn endpoint(&self, role: Role) -> Endpoint {
        let mut endpoint = match role {
            Role::Server => Endpoint::server(),
            Role::Client => Endpoint::client(),
        };
        endpoint.message_max_bytes = self.max;
        endpoint.deflate_min_bytes = 0;
        endpoint
    }
}

// ---- from the peer -----------------------------------------------------------------------------

fn check_received(setting: &Setting, messages: [&[u8]; 2]) {
    let opcode = if setting.is_text { 0x1 } else { 0x2 };
    let whole: Vec<u8> = messages
        .iter()
        .flat_map(|payload| frame_with(0xC0 | opcode, Some([0; 4]), payload))
        .collect();
    let halves: Vec<u8> = messages
        .iter()
        .flat_map(|payload| {
            let (head, tail) = payload.split_at(payload.len() / 2);
            let first = frame_with(0x40 | opcode, Some([0; 4]), head);
            [first, frame_with(0x80, Some([0; 4]), tail)].concat()
        })
        .collect();
    let heard = hear(setting, &mut [&whole[..]].into_iter());
    assert_eq!(hear(setting, &mut whole.chunks(1)), heard, "byte by byte");
    assert_eq!(hear(setting, &mut [&halves[..]].into_iter()), heard, "in two frames each");

    let (heard, error) = heard;
    let mut history = Vec::new();
    let mut streams_ended = 0;
    for (payload, heard) in messages.iter().zip(&heard) {
        let window = if setting.keeps { &history[..] } else { &[] };
        let plain = inflate_message(window, payload).expect("the plain inflater sees a message");
        assert_eq!(&plain.bytes, heard, "by the plain inflater");
        history.extend_from_slice(heard);
        streams_ended += plain.streams_ended;
    }
    // What failed: the message behind those that were heard.
    let Some(payload) = messages.get(heard.len()) else { return };
    let window = if setting.keeps { &history[..] } else { &[] };
    let plain = inflate_message(window, payload);
    match (error, plain) {
        (Some(ProtocolError::MessageTooBig), Some(plain)) => {
            let announced = payload.len() as u64 > setting.max;
            assert!(announced || plain.bytes.len() as u64 > setting.max, "it would fit");
        }
        (Some(ProtocolError::TextNotUtf8), Some(plain)) => {
            let mut utf8 = Utf8Validator::default();
            let is_text = utf8.push(&plain.bytes).and_then(|()| utf8.finish()).is_ok();
            assert!(setting.is_text && !is_text, "it is text");
        }
        (Some(ProtocolError::CompressedDataInvalid), Some(plain)) => {
            // A block with BFINAL ends a stream, and the inflater's window with it. That is put
            // back, but what came before the first message with such a block is not there any
            // more, nor is it done more than sixteen times within a message.
            let is_first = streams_ended == 0 && plain.streams_ended > 0;
            let is_lost = setting.keeps && !history.is_empty() && is_first;
            assert!(is_lost || streams_ended + plain.streams_ended > 16, "it is one: {plain:?}");
        }
        (Some(_), None) => {}
        (Some(error), Some(_)) => panic!("{error:?} of a message"),
        (None, _) => panic!("{} of two messages came, and no error", heard.len()),
    }
}

/// The messages that come of a stream, and the error that ends it, if one does.
fn hear(
    setting: &Setting,
    pieces: &mut dyn Iterator<Item = &[u8]>,
) -> (Vec<Vec<u8>>, Option<ProtocolError>) {
    let endpoint = setting.endpoint(Role::Server);
    let (mut connection, mut out) = (Connection::new(), Outbox::new());
    connection.agree(&endpoint, &setting.agreed());
    let (mut heard, mut error) = (Vec::new(), None);
    for piece in pieces {
        let mut bytes = piece.to_vec();
        let mut input = Input::new(&mut bytes);
        loop {
            match connection.advance(&endpoint, &mut input, &mut out) {
                Step::NeedInput => break,
                Step::Message(message) => heard.push(message.as_bytes().to_vec()),
                Step::Assembled(message) => heard.push(message.message().as_bytes().to_vec()),
                Step::Failed(found) => error = Some(found),
                step => panic!("{step:?} of two data frames"),
            }
        }
    }
    assert_eq!(error.is_some(), connection.state() == State::Ended);
    assert!(heard.iter().all(|message| message.len() as u64 <= setting.max));
    (heard, error)
}

// ---- to the peer -------------------------------------------------------------------------------

fn check_sent(setting: &Setting, messages: [&[u8]; 2]) {
    let setting = Setting { max: 1 << 20, ..*setting };
    let (server, client) = (setting.endpoint(Role::Server), setting.endpoint(Role::Client));
    let (mut here, mut there) = (Connection::new(), Connection::new());
    here.agree(&server, &setting.agreed());
    there.agree(&client, &setting.agreed());
    let mut history = Vec::new();
    for payload in messages {
        let mut out = Outbox::new();
        let kind = MessageKind::Binary;
        assert!(here.send_parts(&server, kind, &[payload], &mut out));
        let mut frame = Vec::new();
        while !out.is_empty() {
            frame.extend_from_slice(out.front());
            out.advance(out.front().len());
        }
        let Ok(Parsed::Complete { value, len }) = FrameHeader::parse(&frame) else {
            panic!("a frame: {frame:02x?}");
        };
        if value.rsv == Rsv::RSV1 {
            assert!(frame.len() - len < payload.len(), "compressed, and no shorter");
            let window = if setting.keeps { &history[..] } else { &[] };
            let plain = inflate_message(window, &frame[len..]).expect("inflates");
            assert_eq!(plain.bytes, payload);
            assert!(plain.distance_max <= 1 << setting.window.bits(), "beyond the window");
            history.extend_from_slice(payload);
        }
        let mut input = Input::new(&mut frame);
        let step = there.advance(&client, &mut input, &mut Outbox::new());
        match step {
            Step::Message(message) => assert_eq!(message, Message::Binary(payload)),
            Step::Assembled(message) => assert_eq!(message.message(), Message::Binary(payload)),
            step => panic!("{step:?} and not the message"),
        }
    }
}
