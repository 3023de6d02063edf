//! What RFC 6455 demands of frames, masking, close payloads and UTF-8, as far as bytes alone can
//! show it. Each test is named after the section; each header is parsed *and* written back.
//!
//! The reference decoder of `common/naive.rs` is tested here too, on streams that are short enough
//! to be judged by eye, since other tests trust it.

#[path = "common/naive.rs"]
mod naive;
#[path = "common/random.rs"]
mod random;
#[path = "common/utf8.rs"]
mod utf8;

use naive::{End, Event, Limits, Role, could_become_text, decode};
use random::Random;
use switchboard::wire::utf8::validate;
use switchboard::wire::{
    CloseCode, ClosePayload, FrameHeader, InvalidUtf8, MaskingKey, Opcode, Parsed, ProtocolError,
    Rsv, Utf8Validator,
};
use utf8::{INVALID, VALID};

const OPCODES: [Opcode; 6] =
    [Opcode::Continuation, Opcode::Text, Opcode::Binary, Opcode::Close, Opcode::Ping, Opcode::Pong];
const CONTROL: [u8; 3] = [0x8, 0x9, 0xA];
const KEY: MaskingKey = MaskingKey([0x37, 0xfa, 0x21, 0x3d]);
const LIMITS: Limits = Limits { message_bytes_max: 1000, message_frames_max: 10 };

/// Every header that may be written: all opcodes, lengths on both sides of each boundary, masks,
/// FIN and reserved bits.
fn valid_headers() -> Vec<FrameHeader> {
    let mut headers = Vec::new();
    for opcode in OPCODES {
        let payload_lens: &[u64] = if opcode.is_control() {
            &[0, 1, 124, 125]
        } else {
            &[0, 1, 125, 126, 127, 65535, 65536, 65537, 1 << 32, (1 << 63) - 1]
        };
        for &payload_len in payload_lens {
            for masking_key in [None, Some(KEY), Some(MaskingKey([0; 4]))] {
                for rsv in (0..8).map(Rsv::from_bits) {
                    for fin in [true, false] {
                        if fin || !opcode.is_control() {
                            headers.push(FrameHeader {
                                fin,
                                rsv,
                                opcode,
                                masking_key,
                                payload_len,
                            });
                        }
                    }
                }
            }
        }
    }
    headers
}

/// The header at the start of `bytes`, and its length.
fn parse_complete(bytes: &[u8]) -> (FrameHeader, usize) {
    match FrameHeader::parse(bytes) {
        Ok(Parsed::Complete { value, len }) => (value, len),
        other => panic!("{other:?} from {bytes:02x?}"),
    }
}

/// Fourteen octets, many of which are the interesting ones.
fn random_header(random: &mut Random) -> [u8; FrameHeader::LEN_MAX] {
    let mut bytes = [0; FrameHeader::LEN_MAX];
    for octet in &mut bytes {
        *octet = match random.below(4) {
            0 => [0x00, 0x7D, 0x7E, 0x7F, 0x80, 0xFD, 0xFE, 0xFF][random.below(8)],
            1 => 0,
            _ => random.next() as u8,
        };
    }
    bytes
}

// §5.2: the base framing protocol.

#[test]
fn rfc6455_5_2_header_of_every_kind_round_trips() {
    for header in valid_headers() {
        let mut bytes = Vec::new();
        header.write(&mut bytes);
        assert_eq!(*header.encode(), bytes[..]);
        assert_eq!(header.len(), bytes.len(), "{header}");
        assert!((2..=FrameHeader::LEN_MAX).contains(&bytes.len()), "{header}");
        for payload in [&b""[..], b"\x00", b"\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF"] {
            let stream = [&bytes, payload].concat();
            assert_eq!(parse_complete(&stream), (header, bytes.len()), "{header}");
        }
    }
}

#[test]
fn rfc6455_5_2_every_prefix_of_a_good_header_is_partial() {
    for header in valid_headers() {
        let bytes = header.encode();
        for len in 0..bytes.len() {
            assert_eq!(FrameHeader::parse(&bytes[..len]), Ok(Parsed::Partial), "{header}: {len}");
        }
    }
}

/// More bytes never change a verdict: Partial may become anything, all else stays as it is.
#[test]
fn rfc6455_5_2_verdict_on_a_prefix_is_final() {
    let mut random = Random::new(6455);
    for _ in 0..200_000 {
        let bytes = random_header(&mut random);
        let verdict = FrameHeader::parse(&bytes);
        assert_ne!(verdict, Ok(Parsed::Partial), "fourteen bytes are enough: {bytes:02x?}");
        let mut decided = false;
        for len in 0..=bytes.len() {
            let early = FrameHeader::parse(&bytes[..len]);
            assert!(early == verdict || (!decided && early == Ok(Parsed::Partial)), "{bytes:02x?}");
            decided |= early == verdict;
        }
        if let Ok(Parsed::Complete { value, len }) = verdict {
            assert_eq!(*value.encode(), bytes[..len], "only the canonical form is accepted");
        }
    }
}

#[test]
fn rfc6455_5_2_reserved_opcode_fails_at_the_first_byte() {
    for opcode in [0x3, 0x4, 0x5, 0x6, 0x7, 0xB, 0xC, 0xD, 0xE, 0xF] {
        for flags in (0x00..=0xF0).step_by(0x10) {
            let refused = FrameHeader::parse(&[flags | opcode]);
            assert_eq!(refused, Err(ProtocolError::ReservedOpcode), "{:02x}", flags | opcode);
        }
    }
}

#[test]
fn rfc6455_5_2_payload_length_is_in_network_byte_order() {
    assert_eq!(parse_complete(&[0x82, 126, 0x12, 0x34]).0.payload_len, 0x1234);
    let (header, len) =
        parse_complete(&[0x82, 127, 0x01, 0x23, 0x45, 0x67, 0x89, 0xAB, 0xCD, 0xEF]);
    assert_eq!((header.payload_len, len), (0x0123_4567_89AB_CDEF, 10));
}

#[test]
fn rfc6455_5_2_length_not_minimal_is_refused() {
    for payload_len in [0_u16, 1, 124, 125] {
        let [high, low] = payload_len.to_be_bytes();
        let refused = FrameHeader::parse(&[0x82, 126, high, low]);
        assert_eq!(refused, Err(ProtocolError::LengthNotMinimal), "{payload_len} in 16 bits");
    }
    assert_eq!(parse_complete(&[0x82, 126, 0, 126]).0.payload_len, 126);
    for payload_len in [0_u64, 125, 126, 65535] {
        let bytes = [&[0x82, 127][..], &payload_len.to_be_bytes()].concat();
        let refused = FrameHeader::parse(&bytes);
        assert_eq!(refused, Err(ProtocolError::LengthNotMinimal), "{payload_len} in 64 bits");
    }
}

#[test]
fn rfc6455_5_2_length_with_its_top_bit_set_is_refused() {
    for payload_len in [1_u64 << 63, (1 << 63) + 1, u64::MAX] {
        let bytes = [&[0x82, 0xFF][..], &payload_len.to_be_bytes()].concat();
        assert_eq!(FrameHeader::parse(&bytes), Err(ProtocolError::LengthTooLarge));
    }
}

#[test]
fn rfc6455_5_2_reserved_bits_are_read_one_by_one() {
    for (first, rsv) in [(0x81, Rsv::NONE), (0xC1, Rsv::RSV1), (0xA1, Rsv::RSV2), (0x91, Rsv::RSV3)]
    {
        assert_eq!(parse_complete(&[first, 0]).0.rsv, rsv);
    }
}

// §5.3: masking.

#[test]
fn rfc6455_5_3_masking_twice_gives_the_payload_back() {
    let original: Vec<u8> = (0..200).collect();
    let mut payload = original.clone();
    KEY.apply(&mut payload);
    assert!(payload.iter().zip(&original).all(|(masked, plain)| masked != plain));
    KEY.apply(&mut payload);
    assert_eq!(payload, original);
}

#[test]
fn rfc6455_5_3_each_octet_is_masked_by_its_place_in_the_payload() {
    let zeros = vec![0; 23];
    for first in 0..zeros.len() {
        for second in first..zeros.len() {
            let mut payload = zeros.clone();
            KEY.apply_at(0, &mut payload[..first]);
            KEY.apply_at(first as u64, &mut payload[first..second]);
            KEY.apply_at(second as u64, &mut payload[second..]);
            for (i, octet) in payload.iter().enumerate() {
                assert_eq!(*octet, KEY.0[i % 4], "octet {i}, cut at {first} and {second}");
            }
        }
    }
}

// §5.5: control frames.

#[test]
fn rfc6455_5_5_control_payload_of_125_is_accepted() {
    for opcode in CONTROL {
        for second in [0x00, 0x7D, 0x80, 0xFD] {
            let bytes = [0x80 | opcode, second, 1, 2, 3, 4];
            assert_eq!(parse_complete(&bytes).0.payload_len, u64::from(second & 0x7F));
        }
    }
}

#[test]
fn rfc6455_5_5_control_payload_over_125_fails_at_the_second_byte() {
    for opcode in CONTROL {
        for second in [0x7E, 0x7F, 0xFE, 0xFF] {
            let refused = FrameHeader::parse(&[0x80 | opcode, second]);
            assert_eq!(refused, Err(ProtocolError::ControlTooLong), "{opcode:x} {second:02x}");
        }
    }
}

#[test]
fn rfc6455_5_5_fragmented_control_frame_fails_at_the_first_byte() {
    for opcode in CONTROL {
        assert_eq!(FrameHeader::parse(&[opcode]), Err(ProtocolError::ControlFragmented));
    }
}

// §5.5.1 and §7.4: the payload of a Close frame.

#[test]
fn rfc6455_5_5_1_empty_close_payload_means_no_code() {
    assert_eq!(ClosePayload::parse(b""), Ok(None));
}

#[test]
fn rfc6455_5_5_1_close_payload_of_one_byte_is_refused() {
    for byte in 0..=255 {
        assert_eq!(ClosePayload::parse(&[byte]), Err(ProtocolError::ClosePayloadTooShort));
    }
}

#[test]
fn rfc6455_5_5_1_close_reason_of_any_length_round_trips() {
    for len in 0..=ClosePayload::REASON_LEN_MAX {
        let reason = "r".repeat(len);
        let payload = [&[0x03, 0xE8], reason.as_bytes()].concat();
        let close = ClosePayload::parse(&payload).unwrap().unwrap();
        assert_eq!(close, ClosePayload { code: CloseCode::NORMAL, reason: &reason });
        let mut written = Vec::new();
        close.write(&mut written);
        assert_eq!(written, payload);
    }
}

#[test]
fn rfc6455_5_5_1_close_reason_not_utf8_fails_with_1007() {
    for vector in INVALID {
        let refused = ClosePayload::parse(&[&[0x03, 0xE8], *vector].concat()).unwrap_err();
        assert_eq!(refused, ProtocolError::CloseReasonNotUtf8, "{vector:02x?}");
        assert_eq!(refused.close_code(), CloseCode::INVALID_PAYLOAD);
    }
}

#[test]
fn rfc6455_7_4_1_defined_codes_are_accepted() {
    for code in (1000..=1003).chain(1007..=1014) {
        assert_eq!(close_code_of(code), Ok(code));
    }
}

#[test]
fn rfc6455_7_4_1_codes_never_sent_are_refused() {
    for code in [1004, 1005, 1006, 1015] {
        assert_eq!(close_code_of(code), Err(ProtocolError::CloseCodeInvalid), "{code}");
    }
}

#[test]
fn rfc6455_7_4_2_codes_of_libraries_and_applications_are_accepted() {
    for code in 3000..=4999 {
        assert_eq!(close_code_of(code), Ok(code));
    }
}

#[test]
fn rfc6455_7_4_2_codes_outside_the_ranges_are_refused() {
    for code in (0..1000).chain(1016..3000).chain(5000..=u16::MAX) {
        assert_eq!(close_code_of(code), Err(ProtocolError::CloseCodeInvalid), "{code}");
    }
}

/// The code that a Close frame with this number has.
fn close_code_of(number: u16) -> Result<u16, ProtocolError> {
    match ClosePayload::parse(&number.to_be_bytes())? {
        Some(close) => Ok(close.code.as_u16()),
        None => panic!("two bytes are not empty"),
    }
}

// §8.1: text is UTF-8.

/// The vectors by themselves and inside long text, where another validator takes over.
fn vectors() -> impl Iterator<Item = Vec<u8>> {
    let ascii = "x".repeat(150);
    let multi_byte = "\u{20ac}\u{1f980}\u{e4}".repeat(20);
    let surroundings = ["".to_owned(), ascii, multi_byte];
    surroundings.into_iter().flat_map(|around| {
        let vectors = VALID.iter().chain(INVALID);
        vectors.map(move |vector| [around.as_bytes(), vector, around.as_bytes()].concat())
    })
}

#[test]
fn rfc6455_8_1_vectors_are_what_they_claim() {
    assert!(VALID.iter().all(|vector| validate(vector).is_ok()));
    assert!(INVALID.iter().all(|vector| validate(vector) == Err(InvalidUtf8)));
}

#[test]
fn rfc6455_8_1_whole_message_is_judged_like_the_standard_library_does() {
    for vector in vectors() {
        assert_eq!(validate(&vector).ok(), std::str::from_utf8(&vector).ok(), "{vector:02x?}");
    }
}

/// Cut in two at every place: each piece fails if, and only if, no text begins like this; and what
/// has not failed is a text if the standard library says so.
#[test]
fn rfc6455_8_1_message_in_two_pieces_is_judged_as_early_as_possible() {
    for vector in vectors() {
        for split in 0..=vector.len() {
            let mut validator = Utf8Validator::default();
            let (head, tail) = vector.split_at(split);
            let head_passes = validator.push(head).is_ok();
            assert_eq!(head_passes, could_become_text(head), "{head:02x?}");
            if !head_passes {
                continue;
            }
            let at_split = std::str::from_utf8(head).is_ok();
            assert_eq!(validator.finish().is_ok(), at_split, "{head:02x?}");
            let passes = validator.push(tail).is_ok();
            assert_eq!(passes, could_become_text(&vector), "{vector:02x?} cut at {split}");
            let is_text = passes && validator.finish().is_ok();
            assert_eq!(is_text, std::str::from_utf8(&vector).is_ok(), "{vector:02x?} at {split}");
        }
    }
}

#[test]
fn rfc6455_8_1_octet_by_octet_fails_at_the_first_impossible_octet() {
    for vector in vectors() {
        let mut validator = Utf8Validator::default();
        for (index, octet) in vector.iter().enumerate() {
            let passes = validator.push(&[*octet]).is_ok();
            assert_eq!(passes, could_become_text(&vector[..=index]), "{vector:02x?} at {index}");
            if !passes {
                break;
            }
        }
    }
}

#[test]
fn rfc6455_8_1_random_octets_in_random_pieces_are_judged_like_the_whole() {
    let mut random = Random::new(3629);
    for _ in 0..20_000 {
        let mut bytes = "a\u{e4}\u{20ac}\u{1f980}".repeat(1 + random.below(20)).into_bytes();
        if random.below(2) == 0 {
            let at = random.below(bytes.len());
            bytes[at] = random.next() as u8;
        }
        bytes.truncate(random.below(bytes.len() + 1));
        let mut validator = Utf8Validator::default();
        let mut rest = &bytes[..];
        let mut passes = true;
        while passes && !rest.is_empty() {
            let (piece, after) = rest.split_at(1 + random.below(rest.len()));
            passes = validator.push(piece).is_ok();
            rest = after;
            let so_far = &bytes[..bytes.len() - rest.len()];
            assert_eq!(passes, could_become_text(so_far), "{bytes:02x?}");
        }
        let is_text = passes && validator.finish().is_ok();
        assert_eq!(is_text, std::str::from_utf8(&bytes).is_ok(), "{bytes:02x?}");
    }
}

// The reference decoder itself.

/// A masked frame (key 01 02 03 04) with the given first byte.
fn masked(first: u8, payload: &[u8]) -> Vec<u8> {
    assert!(payload.len() <= 125);
    let mut frame = vec![first, 0x80 | payload.len() as u8, 1, 2, 3, 4];
    frame.extend(payload.iter().zip([1, 2, 3, 4].iter().cycle()).map(|(octet, key)| octet ^ key));
    frame
}

fn text(text: &str) -> Event {
    Event::Text(text.to_owned())
}

#[test]
fn rfc6455_5_7_examples_are_decoded_by_the_reference() {
    let unmasked = b"\x81\x05Hello\x01\x03Hel\x80\x02lo\x89\x05Hello\x82\x7e\x01\x00";
    let stream = [&unmasked[..], &[7; 256]].concat();
    let (events, end) = decode(&stream, Role::Client, &LIMITS);
    let ping = Event::Ping(b"Hello".to_vec());
    assert_eq!(events, [text("Hello"), text("Hello"), ping, Event::Binary(vec![7; 256])]);
    assert_eq!(end, End::Open);

    let stream = b"\x81\x85\x37\xfa\x21\x3d\x7f\x9f\x4d\x51\x58\
                   \x8a\x85\x37\xfa\x21\x3d\x7f\x9f\x4d\x51\x58";
    let (events, end) = decode(stream, Role::Server, &LIMITS);
    assert_eq!(events, [text("Hello"), Event::Pong(b"Hello".to_vec())]);
    assert_eq!(end, End::Open);
}

#[test]
fn rfc6455_5_4_control_frame_between_fragments_comes_first() {
    let stream = [masked(0x01, b"a"), masked(0x89, b"?"), masked(0x00, b""), masked(0x80, b"b")];
    let (events, end) = decode(&stream.concat(), Role::Server, &LIMITS);
    assert_eq!(events, [Event::Ping(b"?".to_vec()), text("ab")]);
    assert_eq!(end, End::Open);
}

#[test]
fn rfc6455_5_5_1_whatever_follows_a_close_frame_is_ignored() {
    let close = masked(0x88, b"\x03\xe8bye");
    let stream = [masked(0x01, b"unfinished"), close, vec![0xFF; 20]].concat();
    let (events, end) = decode(&stream, Role::Server, &LIMITS);
    assert_eq!(events, [Event::Close(Some((1000, "bye".to_owned())))]);
    assert_eq!(end, End::Closed);
    let (events, end) = decode(&masked(0x88, b""), Role::Server, &LIMITS);
    assert_eq!((events, end), (vec![Event::Close(None)], End::Closed));
}

/// One stream for every error, and for every pair whose order the reference's doc comment fixes.
#[test]
fn rfc6455_every_error_is_reported_by_the_reference_in_order_of_precedence() {
    let eleven_frames = [masked(0x01, b""), masked(0x00, b"").repeat(10)].concat();
    let streams: Vec<(Vec<u8>, ProtocolError)> = vec![
        (b"\x83".to_vec(), ProtocolError::ReservedOpcode),
        (b"\x0b\x7e".to_vec(), ProtocolError::ReservedOpcode),
        (b"\x09\x7e".to_vec(), ProtocolError::ControlFragmented),
        (b"\xf9\x7e".to_vec(), ProtocolError::ControlTooLong),
        (b"\x82\x7f\x80\0\0\0\0\0\0\0".to_vec(), ProtocolError::LengthTooLarge),
        (b"\x82\x7f\0\0\0\0\0\0\xff\xff".to_vec(), ProtocolError::LengthNotMinimal),
        (b"\xf0\x7e\0\x7d".to_vec(), ProtocolError::LengthNotMinimal),
        (b"\xf0\x00".to_vec(), ProtocolError::MaskRequired),
        (masked(0xC0, b""), ProtocolError::ReservedBits),
        (masked(0xA9, b""), ProtocolError::ReservedBits),
        (b"\x80\xfe\xff\xff\0\0\0\0".to_vec(), ProtocolError::UnexpectedContinuation),
        ([masked(0x01, b"a"), masked(0x81, b"\xff")].concat(), ProtocolError::ExpectedContinuation),
        (b"\x81\xfe\x03\xe9\0\0\0\0\xff".to_vec(), ProtocolError::MessageTooBig),
        ([eleven_frames.clone(), vec![0xFF]].concat(), ProtocolError::TooManyFrames),
        (masked(0x01, b"\xf4\x90"), ProtocolError::TextNotUtf8),
        (masked(0x81, b"\xf4"), ProtocolError::TextNotUtf8),
        (masked(0x81, b"a\xff-------")[..8].to_vec(), ProtocolError::TextNotUtf8),
        (masked(0x88, b"\x03"), ProtocolError::ClosePayloadTooShort),
        (masked(0x88, b"\x03\xed\xff"), ProtocolError::CloseCodeInvalid),
        (masked(0x88, b"\x03\xe8\xff"), ProtocolError::CloseReasonNotUtf8),
    ];
    for (stream, error) in &streams {
        let (events, end) = decode(stream, Role::Server, &LIMITS);
        assert_eq!((events, end), (vec![], End::Failed(*error)), "{stream:02x?}");
        let good = masked(0x81, b"good");
        let (events, end) = decode(&[&good[..], stream].concat(), Role::Server, &LIMITS);
        assert_eq!((events, end), (vec![text("good")], End::Failed(*error)), "{stream:02x?}");
    }
    let (events, end) = decode(&masked(0xF0, b""), Role::Client, &LIMITS);
    assert_eq!((events, end), (vec![], End::Failed(ProtocolError::MaskForbidden)));
    // The reference decoder knows no extension.
    for error in ProtocolError::ALL.iter().filter(|error| error.rfc() == 6455) {
        let seen = streams.iter().any(|(_, reported)| reported == error);
        assert!(seen || *error == ProtocolError::MaskForbidden, "{error:?} has no stream");
    }
}

#[test]
fn rfc6455_limits_are_inclusive_for_the_reference() {
    let message = [masked(0x02, &[0; 100]), masked(0x00, &[0; 100]).repeat(8)].concat();
    let (events, end) = decode(&[message, masked(0x80, &[0; 100])].concat(), Role::Server, &LIMITS);
    assert_eq!((events, end), (vec![Event::Binary(vec![0; 1000])], End::Open));
}

/// Random headers: the reference refuses exactly those that `FrameHeader::parse` refuses, with the
/// same error, and fails on others only for what a header cannot know.
#[test]
fn rfc6455_5_2_reference_and_parser_agree_on_every_header() {
    let mut random = Random::new(52);
    for _ in 0..200_000 {
        let bytes = random_header(&mut random);
        let bytes = &bytes[..random.below(bytes.len() + 1)];
        let (_, end) = decode(bytes, Role::Server, &LIMITS);
        match FrameHeader::parse(bytes) {
            Err(error) => assert_eq!(end, End::Failed(error), "{bytes:02x?}"),
            Ok(Parsed::Partial) => assert_eq!(end, End::Open, "{bytes:02x?}"),
            Ok(Parsed::Complete { value, .. }) if value.masking_key.is_none() => {
                assert_eq!(end, End::Failed(ProtocolError::MaskRequired), "{bytes:02x?}");
            }
            Ok(Parsed::Complete { value, .. }) if !value.rsv.is_none() => {
                assert_eq!(end, End::Failed(ProtocolError::ReservedBits), "{bytes:02x?}");
            }
            Ok(Parsed::Complete { .. }) => {}
        }
    }
}
