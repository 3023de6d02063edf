//! Request bodies: where they end, and what is refused since nobody can be sure (RFC 9112 §6, §7).
#![allow(clippy::unwrap_used)] // a helper of a test may fail the test

use switchboard::wire::http::{
    BodyDecoder, BodyError, BodyLength, HeaderSlots, RequestHead, expects_continue,
};
use switchboard::wire::{Parsed, Response};

/// What the header lines say about the body.
fn length(version: &str, lines: &[&str]) -> Result<BodyLength, BodyError> {
    with_head(version, lines, BodyLength::of)
}

fn with_head<T>(version: &str, lines: &[&str], look: impl Fn(&RequestHead<'_, '_>) -> T) -> T {
    let lines: String = lines.iter().map(|line| format!("{line}\r\n")).collect();
    let head = format!("POST / HTTP/{version}\r\nHost: h\r\n{lines}\r\n");
    look(&RequestHead::parse(head.as_bytes(), &mut HeaderSlots::new()).unwrap())
}

/// Decodes, cut at every place and into single bytes: the same each time. What follows is left.
fn decode(
    length: BodyLength,
    max: u64,
    bytes: &[u8],
) -> Result<(Vec<u8>, Option<usize>), BodyError> {
    let whole = decode_pieces(length, max, &[bytes]);
    for cut in 0..=bytes.len() {
        let (front, back) = bytes.split_at(cut);
        assert_eq!(decode_pieces(length, max, &[front, back]), whole, "cut at {cut}");
    }
    let singles: Vec<&[u8]> = bytes.chunks(1).collect();
    assert_eq!(decode_pieces(length, max, &singles), whole, "in single bytes");
    whole
}

fn decode_pieces(
    length: BodyLength,
    max: u64,
    pieces: &[&[u8]],
) -> Result<(Vec<u8>, Option<usize>), BodyError> {
    let mut decoder = BodyDecoder::new(length, max)?;
    let (mut body, mut before) = (Vec::new(), 0);
    for piece in pieces {
        if let Parsed::Complete { len, .. } = decoder.decode(piece, &mut body)? {
            return Ok((body, Some(before + len)));
        }
        before += piece.len();
    }
    Ok((body, None))
}

fn chunked(bytes: &[u8]) -> Result<(Vec<u8>, Option<usize>), BodyError> {
    decode(BodyLength::Chunked, 1_000, bytes)
}

#[test]
fn rfc9112_6_3_the_length_is_said_by_one_field_or_there_is_no_body() {
    assert_eq!(length("1.1", &[]), Ok(BodyLength::Known(0)));
    assert_eq!(length("1.1", &["Content-Length: 0"]), Ok(BodyLength::Known(0)));
    assert_eq!(length("1.0", &["content-length:  0017 "]), Ok(BodyLength::Known(17)));
    assert_eq!(length("1.1", &["Transfer-Encoding: Chunked"]), Ok(BodyLength::Chunked));
    let long = "Content-Length: 18446744073709551616";
    assert_eq!(length("1.1", &[long]), Ok(BodyLength::Known(u64::MAX)));
}

#[test]
fn rfc9112_6_3_lengths_that_leave_a_doubt_are_refused() {
    for value in ["", "+5", "-5", "5,", "5, 5", "5 5", "0x5", "5.0", "five", "\u{660}", "5;"] {
        let line = format!("Content-Length: {value}");
        assert_eq!(length("1.1", &[&line]), Err(BodyError::LengthMalformed), "{value:?}");
    }
    for second in ["5", "6"] {
        let second = format!("Content-Length: {second}");
        let both = ["Content-Length: 5", &second];
        assert_eq!(length("1.1", &both), Err(BodyError::LengthRepeated), "{second}");
    }
    for coding in ["chunked", "gzip", "identity", "x"] {
        let coding = format!("Transfer-Encoding: {coding}");
        for both in [["Content-Length: 5", &coding], [&coding, "Content-Length: 5"]] {
            assert_eq!(length("1.1", &both), Err(BodyError::LengthAndCoding), "{both:?}");
        }
    }
}

#[test]
fn rfc9112_6_1_codings_other_than_chunked_are_not_known_or_malformed() {
    let table = [
        ("gzip", BodyError::CodingUnknown),
        ("gzip, chunked", BodyError::CodingUnknown),
        ("chunked, gzip", BodyError::CodingUnknown),
        ("identity", BodyError::CodingUnknown),
        ("xchunked", BodyError::CodingUnknown),
        ("chunked, chunked", BodyError::CodingMalformed),
        ("chunked,", BodyError::CodingMalformed),
        (",chunked", BodyError::CodingMalformed),
        ("chunked;q=1", BodyError::CodingMalformed),
        ("\"chunked\"", BodyError::CodingMalformed),
        ("", BodyError::CodingMalformed),
    ];
    for (value, error) in table {
        let line = format!("Transfer-Encoding: {value}");
        assert_eq!(length("1.1", &[&line]), Err(error), "{value:?}");
    }
    let line = "Transfer-Encoding: chunked";
    assert_eq!(length("1.1", &[line, line]), Err(BodyError::CodingMalformed));
    assert_eq!(length("1.1", &[line, "Transfer-Encoding: x"]), Err(BodyError::CodingUnknown));
    assert_eq!(length("1.0", &[line]), Err(BodyError::CodingTooNew));
}

#[test]
fn rfc9110_10_1_1_only_100_continue_can_be_expected_and_in_http_1_0_nothing() {
    let expects = |version, lines: &[&str]| with_head(version, lines, expects_continue);
    assert_eq!(expects("1.1", &[]), Ok(false));
    assert_eq!(expects("1.1", &["Expect: 100-Continue"]), Ok(true));
    assert_eq!(expects("1.0", &["Expect: 100-continue"]), Ok(false));
    assert_eq!(expects("1.0", &["Expect: x"]), Ok(false));
    for value in ["", "x", "100-continue, x", "100-continue=1"] {
        let line = format!("Expect: {value}");
        assert_eq!(expects("1.1", &[&line]), Err(BodyError::ExpectationUnknown), "{value:?}");
    }
    let both = ["Expect: 100-continue", "Expect: x"];
    assert_eq!(expects("1.1", &both), Err(BodyError::ExpectationUnknown));
}

#[test]
fn rfc9112_6_2_a_body_of_known_length_ends_there_and_what_follows_is_left() {
    let decode = |len, bytes| decode(BodyLength::Known(len), 10, bytes);
    assert_eq!(decode(0, b"GET"), Ok((vec![], Some(0))));
    assert_eq!(decode(5, b"HelloGET"), Ok((b"Hello".to_vec(), Some(5))));
    assert_eq!(decode(5, b"Hell"), Ok((b"Hell".to_vec(), None)));
    assert_eq!(decode(10, b"0123456789"), Ok((b"0123456789".to_vec(), Some(10))));
    assert_eq!(decode(11, b""), Err(BodyError::TooLarge));
    assert_eq!(decode(u64::MAX, b""), Err(BodyError::TooLarge));
}

#[test]
fn rfc9112_7_1_chunks_are_put_together_and_what_is_beside_them_is_discarded() {
    let table: [(&[u8], &[u8], usize); 8] = [
        (b"0\r\n\r\n", b"", 0),
        (b"5\r\nHello\r\n0\r\n\r\nGET / HTTP/1.1", b"Hello", 14),
        (b"3;note=x\r\nHel\r\n2 ; a=\"b;c\"\r\nlo\r\n0\r\nExpires: never\r\n\r\n", b"Hello", 0),
        (b"00000000000000A\r\n0123456789\r\n000\r\n\r\n", b"0123456789", 0),
        (b"1\r\n\r\r\n1\r\n\n\r\n0\r\n\r\n", b"\r\n", 0),
        (b"2\r\n\r\n\r\n0;last\r\n\r\n", b"\r\n", 0),
        (b"a\r\n0\r\n\r\n0\r\n\r\n\r\n0\r\n\r\n", b"0\r\n\r\n0\r\n\r\n", 0),
        (b"1\r\nx\r\n0\r\nA:\r\nB: \xFF\t\r\n\r\n", b"x", 0),
    ];
    for (bytes, body, rest) in table {
        let wanted = (body.to_vec(), Some(bytes.len() - rest));
        assert_eq!(chunked(bytes), Ok(wanted), "{}", bytes.escape_ascii());
    }
}

#[test]
fn rfc9112_7_1_what_is_no_chunk_is_refused() {
    let table: [&[u8]; 26] = [
        b"\r\n",
        b";x\r\n",
        b" 5\r\n",
        b"g\r\n",
        b"-1\r\n",
        b"+1\r\n",
        b"0x1\r\n",
        b"1_0\r\n",
        b"5\n",
        b"5\rH",
        b"5;a\nHello\r\n",
        b"5;a\rb\r\n",
        b"5;\0\r\n",
        b"5\x0b\r\n",
        b"5\r\nHello\n",
        b"5\r\nHello!",
        b"5\r\nHello\r5",
        b"5\r\nHello0\r\n",
        b"00000000000000005\r\n",
        b"FFFFFFFFFFFFFFFFF\r\n",
        b"0\r\n\n",
        b"0\r\n\rx",
        b"0\r\n a: b\r\n",
        b"0\r\nGET / HTTP/1.1\r\n",
        b"0\r\na: b\nc: d\r\n\r\n",
        b"0\r\na: \0\r\n",
    ];
    for bytes in table {
        assert_eq!(chunked(bytes), Err(BodyError::ChunkMalformed), "{}", bytes.escape_ascii());
    }
}

#[test]
fn a_chunked_body_may_be_as_long_as_the_limit_and_not_a_byte_longer() {
    let decode = |bytes: &str| decode(BodyLength::Chunked, 10, bytes.as_bytes());
    assert!(decode("A\r\n0123456789\r\n0\r\n\r\n").is_ok());
    assert!(decode("5\r\n01234\r\n5\r\n56789\r\n0\r\n\r\n").is_ok());
    assert_eq!(decode("B\r\n"), Err(BodyError::TooLarge), "before a byte of it came");
    assert_eq!(decode("5\r\n01234\r\n6\r\n"), Err(BodyError::TooLarge));
    assert_eq!(decode("5\r\n01234\r\nFFFFFFFFFFFFFFFF\r\n"), Err(BodyError::TooLarge));
}

/// In one extension or many, before the body and after it: 16 KiB, and no more.
#[test]
fn rfc9112_7_1_1_extensions_and_trailers_are_bounded_together() {
    let decode = |bytes: &str| decode_pieces(BodyLength::Chunked, 1 << 20, &[bytes.as_bytes()]);
    let most = 16 * 1024;
    let extension = |len: usize| format!("1{}\r\nx\r\n0\r\n\r\n", ";".repeat(len));
    assert!(decode(&extension(most)).is_ok());
    assert_eq!(decode(&extension(most + 1)), Err(BodyError::ExtraTooLong));
    let trailer = |len: usize| format!("0\r\n{}:\r\n\r\n", "a".repeat(len - 1));
    assert!(decode(&trailer(most)).is_ok());
    assert_eq!(decode(&trailer(most + 1)), Err(BodyError::ExtraTooLong));
    let many = |chunks: usize| format!("{}0\r\n\r\n", "1;\r\nx\r\n".repeat(chunks));
    assert_eq!(decode(&many(most)).map(|(body, _)| body.len()), Ok(most));
    assert_eq!(decode(&many(most + 1)), Err(BodyError::ExtraTooLong));
    let both = format!("1;;\r\nx\r\n{}", trailer(most - 1));
    assert_eq!(decode(&both), Err(BodyError::ExtraTooLong));
}

#[test]
fn every_error_has_an_answer() {
    for error in BodyError::ALL {
        let response = Response::from(*error);
        assert_eq!(response.status(), error.status());
        assert!([400, 413, 417, 501].contains(&error.status()), "{error:?}");
        assert!(error.section().starts_with("RFC 911"), "{error:?}");
        assert!(!error.text().ends_with('.') && error.text().is_ascii(), "{error:?}");
    }
    assert_eq!(size_of::<BodyError>(), 1);
}
