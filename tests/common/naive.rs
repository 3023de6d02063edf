//! A reference decoder for RFC 6455: the rules once more, as plainly as they can be written.
//!
//! It sees everything that the peer has sent so far as one piece, keeps no state between calls,
//! copies freely and reads from top to bottom. It shares nothing with `switchboard::wire` but the
//! names of the errors. Whoever builds a fast decoder compares it with this one: same stream, in
//! pieces of any size, same events, same end.
//!
//! # Which error is reported when several apply
//!
//! Streams are judged frame by frame; the first bad frame decides, and the events before it stand.
//! Within a frame:
//!
//! 1. The header by itself, in the order of its bytes and as soon as they are there:
//!    `ReservedOpcode`, `ControlFragmented` (first byte), `ControlTooLong` (second byte),
//!    `LengthTooLarge`, `LengthNotMinimal` (last byte of the extended payload length).
//! 2. The header against the connection, in the order of the RFC, once the header is complete (with
//!    its masking key) and before any octet of the payload is looked at: `MaskRequired` or
//!    `MaskForbidden` (§5.1), `ReservedBits` (§5.2), `UnexpectedContinuation` or
//!    `ExpectedContinuation` (§5.4), `MessageTooBig` (§7.4.1, from the announced length),
//!    `TooManyFrames` (§10.4).
//! 3. The payload of a text message, as far as it has come: `TextNotUtf8` at the first octet that
//!    no text can have there, also in the middle of a frame; and at the end of the message, if it
//!    ends inside a code point.
//! 4. The payload of a Close frame, once it is complete: `ClosePayloadTooShort`,
//!    `CloseCodeInvalid`, `CloseReasonNotUtf8`.
//!
//! Control frames do not count for the limits of a message, which is what surrounds them. Whatever
//! follows a Close frame is ignored (§5.5.1), also in the middle of a fragmented message.

use switchboard::wire::ProtocolError;

/// On which side of the connection the decoder stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// It reads what a client has sent: every frame is masked.
    Server,
    /// It reads what a server has sent: no frame is masked.
    Client,
}

/// What a message may be at most, inclusive.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Bytes of payload, over all its frames.
    pub message_bytes_max: u64,
    /// Frames, the empty ones too.
    pub message_frames_max: u64,
}

/// What came: unmasked, and put together if it was fragmented.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// A text message.
    Text(String),
    /// A binary message.
    Binary(Vec<u8>),
    /// A ping, with its application data.
    Ping(Vec<u8>),
    /// A pong, with its application data.
    Pong(Vec<u8>),
    /// A Close frame: its code and reason, if it has a payload. Always the last event.
    Close(Option<(u16, String)>),
}

/// How things stand at the end of the stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// More frames may come; perhaps the last one is incomplete.
    Open,
    /// A Close frame came.
    Closed,
    /// The peer broke a rule; the connection is failed with the close code of the error.
    Failed(ProtocolError),
}

/// Reads everything that a peer has sent since the opening handshake.
pub fn decode(stream: &[u8], role: Role, limits: &Limits) -> (Vec<Event>, End) {
    let mut events = Vec::new();
    let end = read_frames(stream, role, limits, &mut events).unwrap_or_else(End::Failed);
    (events, end)
}

/// A message of which some frames have come.
struct Message {
    is_text: bool,
    frames: u64,
    payload: Vec<u8>,
}

fn read_frames(
    stream: &[u8],
    role: Role,
    limits: &Limits,
    events: &mut Vec<Event>,
) -> Result<End, ProtocolError> {
    let mut at = 0;
    let mut message: Option<Message> = None;
    loop {
        // 1. The header by itself (§5.2, §5.5).
        let Some(header) = read_header(&stream[at..])? else { return Ok(End::Open) };
        at += header.len;
        let is_control = header.opcode >= 0x8;

        // 2. The header against the connection.
        check_header(&header, role, message.is_some())?;
        if !is_control {
            let is_text = header.opcode == 0x1;
            let begun =
                message.get_or_insert_with(|| Message { is_text, frames: 0, payload: Vec::new() });
            begun.frames += 1;
            // Wide enough for any sum.
            let total = begun.payload.len() as u128 + u128::from(header.payload_len);
            if total > u128::from(limits.message_bytes_max) {
                return Err(ProtocolError::MessageTooBig);
            }
            if begun.frames > limits.message_frames_max {
                return Err(ProtocolError::TooManyFrames);
            }
        }

        // The payload, as far as it has come (§5.3).
        let payload = read_payload(&header, &stream[at..]);
        at += payload.len();
        let is_complete = payload.len() as u64 == header.payload_len;

        // 3. Data frames (§5.4, §5.6, §8.1).
        if let (false, Some(begun)) = (is_control, &mut message) {
            begun.payload.extend(payload);
            if begun.is_text && !could_become_text(&begun.payload) {
                return Err(ProtocolError::TextNotUtf8);
            }
            if !is_complete {
                return Ok(End::Open);
            }
            if header.fin {
                events.extend(message.take().map(finish_message).transpose()?);
            }
            continue;
        }

        // 4. Control frames (§5.5), also between the frames of a message.
        if !is_complete {
            return Ok(End::Open);
        }
        match header.opcode {
            0x9 => events.push(Event::Ping(payload)),
            0xA => events.push(Event::Pong(payload)),
            _ => {
                events.push(Event::Close(read_close(&payload)?));
                return Ok(End::Closed);
            }
        }
    }
}

fn check_header(header: &Header, role: Role, is_in_message: bool) -> Result<(), ProtocolError> {
    match (role, header.key) {
        (Role::Server, None) => return Err(ProtocolError::MaskRequired),
        (Role::Client, Some(_)) => return Err(ProtocolError::MaskForbidden),
        _ => {}
    }
    if header.rsv != 0 {
        return Err(ProtocolError::ReservedBits);
    }
    if header.opcode == 0x0 && !is_in_message {
        return Err(ProtocolError::UnexpectedContinuation);
    }
    if (header.opcode == 0x1 || header.opcode == 0x2) && is_in_message {
        return Err(ProtocolError::ExpectedContinuation);
    }
    Ok(())
}

/// What has come of the payload, unmasked.
fn read_payload(header: &Header, rest: &[u8]) -> Vec<u8> {
    let mut payload = Vec::new();
    while (payload.len() as u64) < header.payload_len && payload.len() < rest.len() {
        let key_octet = header.key.map_or(0, |key| key[payload.len() % 4]);
        payload.push(rest[payload.len()] ^ key_octet);
    }
    payload
}

struct Header {
    fin: bool,
    rsv: u8,
    opcode: u8,
    key: Option<[u8; 4]>,
    payload_len: u64,
    /// Of the header itself.
    len: usize,
}

/// RFC 6455 §5.2. `None` if the header is incomplete.
fn read_header(bytes: &[u8]) -> Result<Option<Header>, ProtocolError> {
    let Some(first) = bytes.first() else { return Ok(None) };
    let fin = first & 0x80 != 0;
    let rsv = first >> 4 & 0x7;
    let opcode = first & 0xF;
    if ![0x0, 0x1, 0x2, 0x8, 0x9, 0xA].contains(&opcode) {
        return Err(ProtocolError::ReservedOpcode);
    }
    if opcode >= 0x8 && !fin {
        return Err(ProtocolError::ControlFragmented);
    }

    let Some(second) = bytes.get(1) else { return Ok(None) };
    let is_masked = second & 0x80 != 0;
    let short_len = second & 0x7F;
    if opcode >= 0x8 && short_len > 125 {
        return Err(ProtocolError::ControlTooLong);
    }

    let mut len = 2;
    let mut payload_len = u64::from(short_len);
    if short_len >= 126 {
        let (octets, smallest) = if short_len == 126 { (2, 126) } else { (8, 65536) };
        payload_len = 0;
        for _ in 0..octets {
            let Some(octet) = bytes.get(len) else { return Ok(None) };
            payload_len = payload_len << 8 | u64::from(*octet);
            len += 1;
        }
        if payload_len >= 1 << 63 {
            return Err(ProtocolError::LengthTooLarge);
        }
        if payload_len < smallest {
            return Err(ProtocolError::LengthNotMinimal);
        }
    }

    let mut key = None;
    if is_masked {
        let Some(octets) = bytes.get(len..len + 4) else { return Ok(None) };
        key = Some([octets[0], octets[1], octets[2], octets[3]]);
        len += 4;
    }
    Ok(Some(Header { fin, rsv, opcode, key, payload_len, len }))
}

fn finish_message(message: Message) -> Result<Event, ProtocolError> {
    if !message.is_text {
        return Ok(Event::Binary(message.payload));
    }
    match String::from_utf8(message.payload) {
        Ok(text) => Ok(Event::Text(text)),
        Err(_) => Err(ProtocolError::TextNotUtf8),
    }
}

/// RFC 6455 §5.5.1, §7.4.
fn read_close(payload: &[u8]) -> Result<Option<(u16, String)>, ProtocolError> {
    if payload.is_empty() {
        return Ok(None);
    }
    if payload.len() == 1 {
        return Err(ProtocolError::ClosePayloadTooShort);
    }
    let code = u16::from(payload[0]) << 8 | u16::from(payload[1]);
    if ![1000..=1003, 1007..=1014, 3000..=4999].iter().any(|range| range.contains(&code)) {
        return Err(ProtocolError::CloseCodeInvalid);
    }
    match String::from_utf8(payload[2..].to_vec()) {
        Ok(reason) => Ok(Some((code, reason))),
        Err(_) => Err(ProtocolError::CloseReasonNotUtf8),
    }
}

/// Whether some text begins with these octets: whether they are UTF-8, or would be after the rest
/// of one code point. Every incomplete code point that can be completed at all can be completed by
/// one of these: 80 fits everywhere but as second octet after E0 (which takes A0) and F0 (which
/// takes 90).
pub fn could_become_text(octets: &[u8]) -> bool {
    let rests: [&[u8]; 6] =
        [b"", b"\x80", b"\x80\x80", b"\x80\x80\x80", b"\xA0\x80", b"\x90\x80\x80"];
    // The rest concerns the last code point only, so only the last octets need be tried with it.
    let settled = match std::str::from_utf8(octets) {
        Ok(_) => return true,
        Err(error) => error.valid_up_to(),
    };
    rests.iter().any(|rest| std::str::from_utf8(&[&octets[settled..], rest].concat()).is_ok())
}
