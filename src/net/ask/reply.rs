//! A reply of HTTP/1, put together from what is read.
//!
//! ```text
//!   HTTP/1.1 200 OK CR LF                      head, at most 16 KiB
//!   Transfer-Encoding: chunked CR LF           how the body ends: chunks, a length, or with
//!   CR LF                                      the connection
//!   10 CR LF {"user":"alice"} CR LF            body, at most 64 KiB
//!   0 CR LF CR LF
//! ```
//!
//! This module does not know sockets.

use super::{AskError, Reply};

/// Collects one reply.
pub(super) struct ReplyReader {
    bytes: Vec<u8>,
    head: Option<Head>,
}

/// What the head says.
struct Head {
    status: u16,
    /// Where the body begins.
    len: usize,
    body: Body,
}

/// How the body ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Body {
    Chunked,
    Counted(usize),
    UntilEnd,
}

impl ReplyReader {
    pub(super) fn new() -> ReplyReader {
        ReplyReader { bytes: Vec::new(), head: None }
    }

    /// Takes what was read; the reply, when it is complete.
    pub(super) fn receive(&mut self, bytes: &[u8]) -> Result<Option<Reply>, AskError> {
        let searched = self.bytes.len().saturating_sub(3);
        self.bytes.extend_from_slice(bytes);
        if self.head.is_none() {
            self.find_head(searched)?;
        }
        let Some(head) = &self.head else { return Ok(None) };
        let body = &self.bytes[head.len..];
        let body = match head.body {
            Body::Counted(len) => body.get(..len).map(<[u8]>::to_vec),
            // A chunk ends with a line, so there is nothing new to see before it does.
            Body::Chunked if body.ends_with(b"\r\n") => chunks(body)?,
            Body::Chunked | Body::UntilEnd => None,
        };
        // The frame of a chunk takes no more than what is in it, or the sender is playing.
        let max = if head.body == Body::Chunked { 8 * BODY_MAX } else { BODY_MAX };
        if self.bytes.len() - head.len > max && body.is_none() {
            return Err(AskError::TooLarge);
        }
        Ok(body.map(|body| Reply { status: head.status, body }))
    }

    /// The connection has ended: so may have the reply.
    pub(super) fn finish(self) -> Result<Reply, AskError> {
        match self.head {
            Some(Head { status, len, body: Body::UntilEnd }) => {
                Ok(Reply { status, body: self.bytes[len..].to_vec() })
            }
            _ => Err(AskError::Cut),
        }
    }

    fn find_head(&mut self, mut searched: usize) -> Result<(), AskError> {
        loop {
            let rest = &self.bytes[searched..];
            let Some(at) = rest.windows(4).position(|four| four == b"\r\n\r\n") else {
                let is_long = self.bytes.len() > HEAD_MAX;
                return if is_long { Err(AskError::TooLarge) } else { Ok(()) };
            };
            let len = searched + at + 4;
            if len > HEAD_MAX {
                return Err(AskError::TooLarge);
            }
            let head = parse(&self.bytes[..len])?;
            // RFC 9110 §15.2: an interim reply comes before the one that counts.
            if head.status >= 200 {
                self.head = Some(head);
                return Ok(());
            }
            self.bytes.drain(..len);
            searched = 0;
        }
    }
}

/// Reads a complete head.
fn parse(bytes: &[u8]) -> Result<Head, AskError> {
    let mut slots = [httparse::EMPTY_HEADER; HEADERS_MAX];
    let mut response = httparse::Response::new(&mut slots);
    let status = match response.parse(bytes) {
        Ok(httparse::Status::Complete(len)) if len == bytes.len() => response.code,
        _ => None,
    };
    let status = status.filter(|status| *status >= 100).ok_or(AskError::Malformed)?;
    let body = body(status, response.headers)?;
    Ok(Head { status, len: bytes.len(), body })
}

/// How the body ends (RFC 9112 §6.3).
fn body(status: u16, headers: &[httparse::Header<'_>]) -> Result<Body, AskError> {
    if status < 200 || matches!(status, 204 | 304) {
        return Ok(Body::Counted(0));
    }
    let values = |name: &'static str| {
        let named = headers.iter().filter(move |header| header.name.eq_ignore_ascii_case(name));
        named.map(|header| header.value)
    };
    let mut codings = values("Transfer-Encoding");
    let mut lengths = values("Content-Length");
    let first_length = lengths.next();
    if let Some(coding) = codings.next() {
        // Both at once is how replies are smuggled.
        let is_alone = codings.next().is_none() && first_length.is_none();
        let is_chunked = coding.eq_ignore_ascii_case(b"chunked") && is_alone;
        return if is_chunked { Ok(Body::Chunked) } else { Err(AskError::Malformed) };
    }
    let Some(length) = first_length else { return Ok(Body::UntilEnd) };
    let is_number = !length.is_empty() && length.iter().all(u8::is_ascii_digit);
    if !is_number || lengths.any(|other| other != length) {
        return Err(AskError::Malformed);
    }
    // A number too long to read is a body too long to take.
    let length = str::from_utf8(length).ok().and_then(|text| text.parse::<usize>().ok());
    match length {
        Some(length) if length <= BODY_MAX => Ok(Body::Counted(length)),
        _ => Err(AskError::TooLarge),
    }
}

/// The body in chunks (RFC 9112 §7.1); `None` if it goes on.
fn chunks(mut bytes: &[u8]) -> Result<Option<Vec<u8>>, AskError> {
    let mut body = Vec::new();
    loop {
        let Some(end) = bytes.windows(2).position(|two| two == b"\r\n") else { return Ok(None) };
        // What follows a semicolon may be ignored.
        let digits = bytes[..end].split(|byte| *byte == b';').next().unwrap_or_default();
        let digits = str::from_utf8(digits.trim_ascii_end()).map_err(|_| AskError::Malformed)?;
        if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return Err(AskError::Malformed);
        }
        let len = usize::from_str_radix(digits, 16).map_err(|_| AskError::TooLarge)?;
        if len > BODY_MAX - body.len() {
            return Err(AskError::TooLarge);
        }
        bytes = &bytes[end + 2..];
        if len == 0 {
            // The trailer: lines up to an empty one.
            let is_over = bytes.starts_with(b"\r\n") || bytes.ends_with(b"\r\n\r\n");
            return Ok(is_over.then_some(body));
        }
        let Some((chunk, rest)) = bytes.split_at_checked(len) else { return Ok(None) };
        let Some((line_end, rest)) = rest.split_at_checked(2) else { return Ok(None) };
        if line_end != b"\r\n" {
            return Err(AskError::Malformed);
        }
        body.extend_from_slice(chunk);
        bytes = rest;
    }
}

const HEAD_MAX: usize = 16 * 1024;
const BODY_MAX: usize = 64 * 1024;
const HEADERS_MAX: usize = 100;

#[cfg(test)]
mod tests {
    use super::*;

    /// What comes of a reply that is read whole, and the same in pieces of every length.
    fn read(bytes: &[u8]) -> Result<(u16, String), AskError> {
        let whole = read_by(bytes, bytes.len().max(1));
        for len in (1..bytes.len().min(40)).chain([1000]) {
            assert_eq!(read_by(bytes, len), whole, "in pieces of {len}");
        }
        whole
    }

    fn read_by(bytes: &[u8], len: usize) -> Result<(u16, String), AskError> {
        let mut reader = ReplyReader::new();
        let readable = |reply: Reply| (reply.status, String::from_utf8(reply.body).unwrap());
        for piece in bytes.chunks(len) {
            if let Some(reply) = reader.receive(piece)? {
                return Ok(readable(reply));
            }
        }
        reader.finish().map(readable)
    }

    fn reply(head: &str, body: &str) -> Result<(u16, String), AskError> {
        read(format!("HTTP/1.1 {head}\r\n\r\n{body}").as_bytes())
    }

    fn good(status: u16, body: &str) -> Result<(u16, String), AskError> {
        Ok((status, body.to_owned()))
    }

    #[test]
    fn a_body_ends_by_length_by_chunks_or_with_the_connection() {
        assert_eq!(reply("200 OK\r\nContent-Length: 2", "{}rest"), good(200, "{}"));
        assert_eq!(
            reply("200 OK\r\nContent-Length: 2\r\ncontent-length: 2", "{}"),
            good(200, "{}")
        );
        assert_eq!(reply("401 No", "why"), good(401, "why"));
        assert_eq!(read(b"HTTP/1.0 200\r\n\r\n{}"), good(200, "{}"));
        let chunked = "200 OK\r\nTransfer-Encoding: Chunked";
        assert_eq!(
            reply(chunked, "2\r\n{\"\r\n003;x=y\r\na\":\r\n3 \r\n1}\n\r\n0\r\n\r\n"),
            good(200, "{\"a\":1}\n")
        );
        assert_eq!(reply(chunked, "1\r\nx\r\n0\r\nTrailer: y\r\n\r\n"), good(200, "x"));
        assert_eq!(reply("204 No Content\r\nContent-Length: 5", ""), good(204, ""));
        assert_eq!(
            read(
                b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Hints\r\nA: b\r\n\r\n\
                HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nx"
            ),
            good(200, "x")
        );
    }

    #[test]
    fn what_is_cut_malformed_or_too_long_is_no_reply() {
        let chunked = "200 OK\r\nTransfer-Encoding: chunked";
        let max = "x".repeat(BODY_MAX);
        assert_eq!(reply("200 OK", &max).map(|reply| reply.1.len()), Ok(BODY_MAX));
        for (head, body, error) in [
            ("200 OK\r\nContent-Length: 3", "{}", AskError::Cut),
            (chunked, "5\r\nab", AskError::Cut),
            (chunked, "2\r\nab\r\n0\r\n", AskError::Cut),
            (chunked, "2\r\nabc\r\n0\r\n\r\n", AskError::Malformed),
            (chunked, "x\r\n", AskError::Malformed),
            (chunked, "+2\r\nab\r\n", AskError::Malformed),
            (chunked, "\r\n", AskError::Malformed),
            (chunked, "10001\r\n", AskError::TooLarge),
            (chunked, "ffffffffffffffffffff\r\n", AskError::TooLarge),
            ("200 OK\r\nTransfer-Encoding: gzip, chunked", "0\r\n\r\n", AskError::Malformed),
            ("200 OK\r\nTransfer-Encoding: chunked\r\nContent-Length: 1", "x", AskError::Malformed),
            ("200 OK\r\nContent-Length: 1\r\nContent-Length: 2", "xy", AskError::Malformed),
            ("200 OK\r\nContent-Length: +1", "x", AskError::Malformed),
            ("200 OK\r\nContent-Length: 1, 1", "x", AskError::Malformed),
            ("200 OK\r\nContent-Length:", "x", AskError::Malformed),
            ("200 OK\r\nContent-Length: 65537", "x", AskError::TooLarge),
            ("200 OK\r\nContent-Length: 99999999999999999999999", "x", AskError::TooLarge),
            ("OK", "", AskError::Malformed),
            ("200 OK\r\nbad header", "", AskError::Malformed),
            ("099 OK", "", AskError::Malformed),
        ] {
            assert_eq!(reply(head, body), Err(error), "{head} {body}");
        }
        assert_eq!(reply("200 OK", &(max + "x")), Err(AskError::TooLarge));
        assert_eq!(read(b""), Err(AskError::Cut));
        assert_eq!(read(b"<html>hello</html>\r\n\r\n"), Err(AskError::Malformed));
        assert_eq!(read(b"SSH-2.0-OpenSSH_9.6\r\n"), Err(AskError::Cut));
        let endless = format!("HTTP/1.1 200 OK\r\nA: {}", "b".repeat(HEAD_MAX));
        assert_eq!(read(endless.as_bytes()), Err(AskError::TooLarge));
        let lines = "A: b\r\n".repeat(HEADERS_MAX + 1);
        assert_eq!(reply(&format!("200 OK\r\n{lines}"), ""), Err(AskError::Malformed));
    }
}
