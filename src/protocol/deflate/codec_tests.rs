//! The codec alone: RFC 7692 §7.2 by its examples, and what a peer may do to it.

use super::*;
use crate::wire::DeflateAgreement;

const MAX_BYTES: u64 = 100_000;

/// No context takeover, as the server answers by default.
const SHARED: DeflateAgreement = DeflateAgreement {
    server_no_context_takeover: true,
    client_no_context_takeover: true,
    server_max_window_bits: None,
    client_max_window_bits: None,
};

/// Context takeover in both directions.
const OWN: DeflateAgreement = DeflateAgreement {
    server_no_context_takeover: false,
    client_no_context_takeover: false,
    server_max_window_bits: None,
    client_max_window_bits: None,
};

/// One end of a connection.
struct End {
    codec: Codec,
    terms: Terms,
    context: Option<Box<Context>>,
}

impl End {
    fn new(role: Role, agreed: &DeflateAgreement) -> End {
        let mut codec = Codec::default();
        let (terms, context) = codec.agree(role, agreed);
        End { codec, terms, context }
    }

    fn server(agreed: &DeflateAgreement) -> End {
        End::new(Role::Server, agreed)
    }

    fn compress(&mut self, parts: &[&[u8]]) -> Option<Vec<u8>> {
        let len: usize = parts.iter().map(|part| part.len()).sum();
        let mut space = vec![0; space_for(len)];
        let context = self.context.as_deref_mut();
        let len = self.codec.compress(self.terms, context, parts, len, &mut space)?;
        space.truncate(len);
        Some(space)
    }

    fn inflate(&mut self, kind: MessageKind, bytes: &[u8]) -> Result<Vec<u8>, ProtocolError> {
        let mut pool = Pool::new(1 << 20);
        let context = self.context.as_deref_mut();
        let codec = &mut self.codec;
        let message = codec.inflate(self.terms, context, kind, bytes, MAX_BYTES, &mut pool)?;
        Ok(message.message().as_bytes().to_vec())
    }

    fn binary(&mut self, bytes: &[u8]) -> Result<Vec<u8>, ProtocolError> {
        self.inflate(MessageKind::Binary, bytes)
    }
}

/// Bytes that no compressor makes shorter.
fn noise(len: usize) -> Vec<u8> {
    let mut state = 0x9E37_79B9_7F4A_7C15_u64;
    let next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state as u8
    };
    std::iter::repeat_with(next).take(len).collect()
}

/// Text as it is sent, of this many bytes: words that come again, and numbers that do not.
fn chatter(len: usize) -> Vec<u8> {
    let line =
        |number: usize| format!("{{\"to\":\"user-{number}\",\"text\":\"hello {number}\"}}\n");
    (0..).flat_map(|number| line(number * 7919 % 10_007).into_bytes()).take(len).collect()
}

#[test]
fn rfc7692_7_2_3_1_one_block() {
    for agreed in [SHARED, OWN] {
        let mut end = End::server(&agreed);
        assert_eq!(end.binary(b"\xf2\x48\xcd\xc9\xc9\x07\x00").unwrap(), b"Hello");
        // Five bytes do not become fewer than five; ten do.
        assert_eq!(end.compress(&[b"Hello"]), None);
    }
}

#[test]
fn rfc7692_7_2_3_2_a_second_message_refers_to_the_first_if_it_may() {
    let second = b"\xf2\x00\x11\x00\x00";
    let mut end = End::server(&OWN);
    assert_eq!(end.binary(b"\xf2\x48\xcd\xc9\xc9\x07\x00").unwrap(), b"Hello");
    assert_eq!(end.binary(second).unwrap(), b"Hello");
    let mut end = End::server(&SHARED);
    assert_eq!(end.binary(b"\xf2\x48\xcd\xc9\xc9\x07\x00").unwrap(), b"Hello");
    assert_eq!(end.binary(second), Err(ProtocolError::CompressedDataInvalid));
    assert_eq!(end.binary(b"\xf2\x48\xcd\xc9\xc9\x07\x00").unwrap(), b"Hello");
}

#[test]
fn rfc7692_7_2_3_3_a_block_without_compression() {
    for agreed in [SHARED, OWN] {
        let stored = b"\x00\x05\x00\xfa\xff\x48\x65\x6c\x6c\x6f\x00";
        assert_eq!(End::server(&agreed).binary(stored).unwrap(), b"Hello");
    }
}

#[test]
fn rfc7692_7_2_3_4_a_block_with_bfinal_ends_a_stream_and_not_the_connection() {
    for agreed in [SHARED, OWN] {
        let mut end = End::server(&agreed);
        for _ in 0..3 {
            assert_eq!(end.binary(b"\xf3\x48\xcd\xc9\xc9\x07\x00\x00").unwrap(), b"Hello");
            // Without the octet that RFC 7692 asks for: there is no doubt what is meant.
            assert_eq!(end.binary(b"\xf3\x48\xcd\xc9\xc9\x07\x00").unwrap(), b"Hello");
            // Another stream behind the first, in one message.
            let two = b"\xf3\x48\xcd\xc9\xc9\x07\x00\xf2\x48\xcd\xc9\xc9\x07\x00";
            assert_eq!(end.binary(two).unwrap(), b"HelloHello");
        }
        // ... and refers to it.
        let back = b"\xf3\x48\xcd\xc9\xc9\x07\x00\xf2\x00\x11\x00\x00";
        assert_eq!(end.binary(back).unwrap(), b"HelloHello");
    }
}

#[test]
fn rfc7692_7_1_1_a_kept_window_reaches_back_over_a_stream_that_was_ended() {
    let (hello, hello_again) = (b"\xf3\x48\xcd\xc9\xc9\x07\x00\x00", b"\xf2\x00\x11\x00\x00");
    let ended_by_the_tail = b"\x01";
    let mut end = End::server(&OWN);
    for _ in 0..3 {
        assert_eq!(end.binary(hello).unwrap(), b"Hello");
        assert_eq!(end.binary(hello_again).unwrap(), b"Hello");
        assert_eq!(end.binary(ended_by_the_tail).unwrap(), b"");
        assert_eq!(end.binary(hello_again).unwrap(), b"Hello");
    }
    let mut end = End::server(&SHARED);
    assert_eq!(end.binary(hello).unwrap(), b"Hello");
    assert_eq!(end.binary(hello_again), Err(ProtocolError::CompressedDataInvalid));
    // What came before the first stream that was ended is not there any more: an error.
    let mut end = End::server(&OWN);
    assert_eq!(end.binary(b"\xf2\x48\xcd\xc9\xc9\x07\x00").unwrap(), b"Hello");
    assert_eq!(end.binary(b"\x03\x00").unwrap(), b"");
    assert_eq!(end.binary(hello_again), Err(ProtocolError::CompressedDataInvalid));
}

#[test]
fn a_window_that_is_restored_is_as_large_as_a_window() {
    let (mut server, mut client) = (End::server(&OWN), End::new(Role::Client, &OWN));
    // The last octet of a flush has the header of a block without compression: with BFINAL in it
    // the stream ends with this message, and the client goes on as if nothing had been.
    for len in [20_000, 10_000, 50_000, 500, 2_000, 40_000] {
        let text = chatter(len);
        let mut sent = server.compress(&[&text]).unwrap();
        sent.extend(b"\x00\x00\xff\xff\x01");
        assert!(client.binary(&sent).unwrap() == text);
        assert!(client.context.as_ref().unwrap().past.as_ref().unwrap().len() <= WINDOW_BYTES);
    }
    // Two bytes, 32,768 back: the last and the first of what a window holds.
    let mut end = End::server(&OWN);
    let past = noise(WINDOW_BYTES);
    for (piece, last) in [(&past[..20_000], 1), (&past[20_000..], 1)] {
        let len = piece.len() as u16;
        let stored = [&[last], &len.to_le_bytes()[..], &(!len).to_le_bytes(), piece].concat();
        assert!(end.binary(&stored).unwrap() == piece);
    }
    // RFC 1951 §3.2.6: BTYPE 01, length 3 (7 bits), distance code 29 (5 bits), 13 extra bits.
    let back = bits(&["010", "0000001", "11101", "1111111111111", "0000000", "000"]);
    assert_eq!(end.binary(&back).unwrap(), past[..3]);
}

/// Octets of bits, in the order in which they are read.
fn bits(groups: &[&str]) -> Vec<u8> {
    let all = groups.concat();
    let octet = |bits: &[u8]| bits.iter().rev().fold(0, |octet, bit| octet << 1 | (bit - b'0'));
    all.as_bytes().chunks(8).map(octet).collect()
}

#[test]
fn rfc7692_7_2_3_5_two_blocks() {
    for agreed in [SHARED, OWN] {
        let two = b"\xf2\x48\x05\x00\x00\x00\xff\xff\xca\xc9\xc9\x07\x00";
        assert_eq!(End::server(&agreed).binary(two).unwrap(), b"Hello");
    }
}

#[test]
fn rfc7692_7_2_3_6_an_empty_message_is_one_octet() {
    for agreed in [SHARED, OWN] {
        let mut end = End::server(&agreed);
        for kind in [MessageKind::Text, MessageKind::Binary] {
            assert_eq!(end.inflate(kind, b"\x00").unwrap(), b"");
            assert_eq!(end.inflate(kind, b"\x02\x00").unwrap(), b"");
        }
        let error = Err(ProtocolError::CompressedDataInvalid);
        assert_eq!(end.binary(b""), error, "no octets are not a message");
    }
}

#[test]
fn what_is_compressed_is_decompressed_whatever_was_agreed() {
    for flags in 0..4 {
        for bits in 8..=15 {
            let agreed = DeflateAgreement {
                server_no_context_takeover: flags & 1 != 0,
                client_no_context_takeover: flags & 2 != 0,
                server_max_window_bits: WindowBits::new(bits),
                client_max_window_bits: WindowBits::new(23 - bits),
            };
            let (mut server, mut client) = (End::server(&agreed), End::new(Role::Client, &agreed));
            for len in [20, 200, 3_000, 70_000, 30, 100_000, 20, 500] {
                let text = chatter(len);
                let (head, tail) = text.split_at(len / 3);
                for (from, to) in [(0, 1), (1, 0)] {
                    let ends = [&mut server, &mut client];
                    let sent = ends[from].compress(&[head, b"", tail]);
                    if let Some(sent) = sent {
                        assert!(sent.len() < len);
                        assert!(ends[to].inflate(MessageKind::Text, &sent).unwrap() == text);
                    } else {
                        assert!(len <= 30, "{len} bytes of text, {bits} bits");
                    }
                }
            }
        }
    }
}

#[test]
fn what_would_not_become_shorter_is_sent_as_it_is_and_the_next_message_is_whole() {
    for agreed in [SHARED, OWN] {
        let (mut server, mut client) = (End::server(&agreed), End::new(Role::Client, &agreed));
        for round in 0..3 {
            let text = chatter(2_000 + round);
            let sent = server.compress(&[&text]).unwrap();
            assert!(client.binary(&sent).unwrap() == text);
            // The client's inflater never sees it. As many as fill a compressor's own buffer.
            for len in [1, 2, 10, 40_000].into_iter().chain([1_000; 100]) {
                assert_eq!(server.compress(&[&noise(len)]), None, "{len} bytes");
            }
            assert_eq!(server.compress(&[]), None);
        }
    }
}

#[test]
fn a_message_compressed_for_many_does_not_confuse_the_context_of_one() {
    let (mut server, mut client) = (End::server(&OWN), End::new(Role::Client, &OWN));
    for len in [500, 600, 700] {
        let text = chatter(len);
        let sent = server.compress(&[&text]).unwrap();
        assert!(client.binary(&sent).unwrap() == text);
        let many = chatter(5_000);
        let sent = End::server(&SHARED).compress(&[&many]).unwrap();
        server.context.as_mut().unwrap().forget_sent();
        assert!(client.binary(&sent).unwrap() == many);
    }
}

#[test]
fn rfc7692_7_2_2_a_message_cut_short_is_corrupt_at_every_place() {
    for agreed in [SHARED, OWN] {
        for len in [100, 300, 1_500] {
            let text = chatter(len);
            let mut whole = End::server(&SHARED).compress(&[&text]).unwrap();
            whole.pop();
            for end in 0..whole.len() {
                let cut = End::server(&agreed).binary(&whole[..end]);
                assert_eq!(cut, Err(ProtocolError::CompressedDataInvalid), "{end} of {len}");
            }
        }
        // One octet alone is an empty message.
        for end in [0, 2, 3, 4, 5, 6, 7, 8, 9] {
            let stored = &b"\x00\x05\x00\xfa\xff\x48\x65\x6c\x6c\x6f"[..end];
            let cut = End::server(&agreed).binary(stored);
            assert_eq!(cut, Err(ProtocolError::CompressedDataInvalid), "{end} of a stored block");
        }
    }
}

#[test]
fn rfc7692_7_2_2_a_message_cut_inside_a_header_is_corrupt_whatever_bits_are_left() {
    // The four octets that are put back complete the header of a block, or that and its end, and
    // what is left of the last of them passes for the beginning of a block. Fuzzing found the
    // first; after the second two bits are left, and after the third one.
    let two_left = b"\x04\xd9\x01\x05\x00\x00\x00\xc0\xb0\xbd\x7f\xe9\x03";
    let one_left = [b"\x04\xd5\x01\x04\x00\x00\x00\xc2\xb0\x3d", &[0; 31][..], b"\x10"].concat();
    let found: [&[u8]; 3] = [b"\x5d\x21", two_left, &one_left];
    for agreed in [SHARED, OWN] {
        for cut in found {
            let inflated = End::server(&agreed).binary(cut);
            assert_eq!(inflated, Err(ProtocolError::CompressedDataInvalid), "{cut:02x?}");
        }
    }
}

#[test]
fn streams_without_end_cost_no_more_than_some_windows() {
    let text = chatter(40_000);
    for agreed in [SHARED, OWN] {
        let mut sent = End::server(&SHARED).compress(&[&text]).unwrap();
        sent.extend(b"\x00\x00\xff\xff");
        sent.extend(b"\x03\x00".repeat(10_000));
        let mut end = End::server(&agreed);
        assert!(end.binary(&sent).unwrap() == text);
        let cost = end.codec.inflated_bytes;
        assert_eq!(cost, text.len() as u64 + RESTORED_MAX_BYTES, "of 10,000 windows: 16");
        // One that refers back where nobody looked any more is an error, and not another's text.
        sent.extend(b"\x02\x00\x11\x00\x00");
        assert_eq!(end.binary(&sent), Err(ProtocolError::CompressedDataInvalid));
    }
}

#[test]
fn corrupt_data_is_an_error_or_other_data_and_never_more_than_the_limit() {
    let text = chatter(700);
    let whole = End::server(&SHARED).compress(&[&text]).unwrap();
    let (mut shared, mut errors) = (End::server(&SHARED), 0);
    for place in 0..whole.len() * 8 {
        let mut bytes = whole.clone();
        bytes[place / 8] ^= 1 << (place % 8);
        let mut own = End::server(&OWN);
        for end in [&mut shared, &mut own] {
            match end.inflate(MessageKind::Text, &bytes) {
                Ok(text) => assert!(text.len() as u64 <= MAX_BYTES),
                Err(_) => errors += 1,
            }
        }
        // The one after it is another's, and whole.
        assert!(shared.binary(&whole).unwrap() == text);
    }
    assert!(errors > whole.len(), "{errors} errors");
    for len in 1..300 {
        let _ = shared.binary(&noise(len));
        assert!(shared.binary(&whole).unwrap() == text);
    }
}

#[test]
fn a_bomb_holds_no_more_than_the_limit() {
    let limit = MAX_BYTES as usize;
    for agreed in [SHARED, OWN] {
        for (len, fits) in
            [(limit - 1, true), (limit, true), (limit + 1, false), (limit + 2, false)]
        {
            let sent = End::server(&SHARED).compress(&[&vec![b'a'; len]]).unwrap();
            let inflated = End::server(&agreed).inflate(MessageKind::Text, &sent);
            match fits {
                true => assert_eq!(inflated.map(|text| text.len()), Ok(len)),
                false => assert_eq!(inflated, Err(ProtocolError::MessageTooBig), "{len} bytes"),
            }
        }
        let bomb = End::server(&SHARED).compress(&[&vec![0; 4 << 20]]).unwrap();
        assert!(bomb.len() < 50_000, "{} bytes", bomb.len());
        let mut end = End::server(&agreed);
        let mut pool = Pool::new(16 << 20);
        let context = end.context.as_deref_mut();
        let kind = MessageKind::Binary;
        let failed = end.codec.inflate(end.terms, context, kind, &bomb, MAX_BYTES, &mut pool);
        assert_eq!(failed.err(), Some(ProtocolError::MessageTooBig));
        // All buffers that it was given are in the pool.
        assert!(pool.bytes() <= 4 * limit, "{} bytes", pool.bytes());
    }
}

#[test]
fn text_that_is_not_utf_8_ends_the_work_before_a_bomb_goes_off() {
    let mut bytes = vec![b'a'; 4 << 20];
    bytes[10] = 0xFF;
    let sent = End::server(&SHARED).compress(&[&bytes]).unwrap();
    for agreed in [SHARED, OWN] {
        let failed = End::server(&agreed).inflate(MessageKind::Text, &sent);
        assert_eq!(failed, Err(ProtocolError::TextNotUtf8));
        let text = ["aé".repeat(40).as_bytes(), b"\xC3"].concat();
        let sent = End::server(&SHARED).compress(&[&text]).unwrap();
        let failed = End::server(&agreed).inflate(MessageKind::Text, &sent);
        assert_eq!(failed, Err(ProtocolError::TextNotUtf8), "the end is inside of a code point");
    }
}

#[test]
fn contexts_are_counted_and_made_only_where_they_are_agreed() {
    let mut codec = Codec::default();
    let table = [(true, true, 0), (true, false, 1), (false, true, 1), (false, false, 1)];
    for (server, client, wanted) in table {
        let agreed = DeflateAgreement {
            server_no_context_takeover: server,
            client_no_context_takeover: client,
            ..SHARED
        };
        for role in [Role::Server, Role::Client] {
            let (terms, context) = codec.agree(role, &agreed);
            assert_eq!(codec.contexts.get(), wanted);
            assert!(terms.is_agreed());
            drop(context);
            assert_eq!(codec.contexts.get(), 0);
        }
    }
    assert_eq!(size_of::<Terms>(), 1);
    assert!(!Terms::default().is_agreed());
}
