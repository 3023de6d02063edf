//! Requests with bodies: where a body ends, and what is in it.
//!
//! ```text
//! input
//! POST / HTTP/1.1 CR LF
//! Host: a CR LF
//! Transfer-Encoding: chunked CR LF
//! CR LF
//! 5 CR LF Hello CR LF 0 CR LF CR LF         and whatever follows is left
//! ```
//!
//! * Whether there is a body, and how long it is, agrees with RFC 9112 §6 written down once more,
//!   by splitting lines; so does what is in it, with §7.
//! * However the bytes are cut, the result is the same: the body, where it ends, or the error.
//! * The body is within its limit. Written anew in chunks, it is read as the same.

use switchboard::wire::http::{BodyDecoder, BodyError, BodyLength};
use switchboard::wire::{HeadScanner, HeaderSlots, Parsed, RequestHead};

use crate::handshake::plain;

/// Holds the rules above for one input.
pub fn check(input: &[u8]) {
    let Ok(Some(end)) = HeadScanner::default().find_end(input, 2048) else { return };
    let (head, rest) = input.split_at(end);
    let mut slots = HeaderSlots::new();
    let Ok(parsed) = RequestHead::parse(head, &mut slots) else { return };
    let length = BodyLength::of(&parsed);
    assert_eq!(length.ok(), plain_length(head), "{length:?}");
    let Ok(length) = length else { return };

    let whole = decode(length, rest, rest.len().max(1));
    for piece in [1, 2, 3, 7, 64] {
        assert_eq!(decode(length, rest, piece), whole, "in pieces of {piece}");
    }
    let complete = match &whole {
        Ok((body, Some(end))) => Some((body.clone(), *end)),
        _ => None,
    };
    assert_eq!(complete, plain_body(length, rest), "{whole:?}");
    let Some((body, _)) = complete else { return };
    assert!(body.len() as u64 <= MAX);
    let mut chunks = Vec::new();
    for (at, chunk) in body.chunks(1 + body.len() / 3).enumerate() {
        let extension = ["", ";", " ;a=\"b\""][at % 3];
        chunks.extend_from_slice(format!("{:x}{extension}\r\n", chunk.len()).as_bytes());
        chunks.extend_from_slice(chunk);
        chunks.extend_from_slice(b"\r\n");
    }
    chunks.extend_from_slice(b"0\r\nA: b\r\n\r\nGET");
    let end = chunks.len() - 3;
    assert_eq!(decode(BodyLength::Chunked, &chunks, 5), Ok((body, Some(end))));
}

/// The body, and where it ends, if it does.
fn decode(
    length: BodyLength,
    bytes: &[u8],
    piece: usize,
) -> Result<(Vec<u8>, Option<usize>), BodyError> {
    let mut decoder = BodyDecoder::new(length, MAX)?;
    let (mut body, mut before) = (Vec::new(), 0);
    // What needs no byte is complete without one.
    for piece in std::iter::once(&bytes[..0]).chain(bytes.chunks(piece)) {
        match decoder.decode(piece, &mut body)? {
            Parsed::Complete { len, .. } => return Ok((body, Some(before + len))),
            Parsed::Partial => before += piece.len(),
        }
    }
    Ok((body, None))
}

// ---- once more, by splitting -------------------------------------------------------------------

fn plain_length(head: &[u8]) -> Option<BodyLength> {
    let head = plain::Head::split(head)?;
    let lengths: Vec<&[u8]> = head.all("Content-Length").collect();
    let codings: Vec<&[u8]> = head.all("Transfer-Encoding").collect();
    match (&lengths[..], &codings[..]) {
        ([], []) => Some(BodyLength::Known(0)),
        ([length], []) => {
            let text = str::from_utf8(length).ok()?;
            let digits = !text.is_empty() && text.chars().all(|c| c.is_ascii_digit());
            digits.then(|| BodyLength::Known(text.parse().unwrap_or(u64::MAX)))
        }
        ([], [coding]) => {
            let known = coding.eq_ignore_ascii_case(b"chunked") && head.first.ends_with(b"/1.1");
            known.then_some(BodyLength::Chunked)
        }
        _ => None,
    }
}

fn plain_body(length: BodyLength, bytes: &[u8]) -> Option<(Vec<u8>, usize)> {
    match length {
        BodyLength::Known(len) if len > MAX => None,
        BodyLength::Known(len) => bytes.get(..len as usize).map(|body| (body.to_vec(), body.len())),
        BodyLength::Chunked => plain_chunks(bytes),
    }
}

fn plain_chunks(bytes: &[u8]) -> Option<(Vec<u8>, usize)> {
    let (mut body, mut rest, mut extra) = (Vec::new(), bytes, 0);
    loop {
        let line = plain_line(&mut rest)?;
        let digits = line.iter().take_while(|byte| byte.is_ascii_hexdigit()).count();
        let (size, extension) = line.split_at(digits);
        if digits > 16 || !matches!(extension, [] | [b';' | b' ' | b'\t', ..]) {
            return None;
        }
        extra += extension.len();
        let size = u64::from_str_radix(str::from_utf8(size).ok()?, 16).ok()?;
        if size == 0 {
            break;
        }
        if size > MAX - body.len() as u64 {
            return None;
        }
        let (chunk, behind) = rest.split_at_checked(size as usize)?;
        body.extend_from_slice(chunk);
        rest = behind.strip_prefix(b"\r\n")?;
    }
    loop {
        let line = plain_line(&mut rest)?;
        if line.is_empty() {
            let end = bytes.len() - rest.len();
            return (extra <= 16 * 1024).then_some((body, end));
        }
        let colon = line.iter().position(|byte| *byte == b':')?;
        if !plain::is_token(&line[..colon]) {
            return None;
        }
        extra += line.len();
    }
}

/// Takes a line of text off the front, without its CR LF.
fn plain_line<'b>(rest: &mut &'b [u8]) -> Option<&'b [u8]> {
    let end = rest.iter().position(|byte| *byte == b'\n')?;
    let line = rest[..end].strip_suffix(b"\r")?;
    *rest = &rest[end + 1..];
    let is_text = |byte: &u8| !byte.is_ascii_control() || *byte == b'\t';
    line.iter().all(is_text).then_some(line)
}

/// How long a body may be here.
const MAX: u64 = 1_000;
