//! Answers in HTTP, for every request that does not become a WebSocket connection.
//!
//! ```text
//! HTTP/1.1 405 Method Not Allowed CR LF
//! Connection: close CR LF
//! X-Content-Type-Options: nosniff CR LF
//! Content-Length: 9 CR LF
//! Content-Type: text/plain; charset=utf-8 CR LF
//! Allow: GET CR LF
//! CR LF
//! use GET.\n
//! ```
//!
//! A response closes its connection unless it is told otherwise ([`Persistence`]): then whatever
//! the client sent after its request is not read as another one. There is no `Date`: this ring has
//! no clock, and RFC 9110 §6.6.1 does not ask it of a server without one.

use std::borrow::Cow;
use std::fmt;

use crate::wire::extension::is_token;
use crate::wire::handshake::HandshakeError;

/// A response, complete with its body.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Response {
    status: u16,
    headers: Vec<(&'static str, Cow<'static, [u8]>)>,
    body: Cow<'static, [u8]>,
}

impl Response {
    /// A response with a body of a content type, such as `application/json`.
    ///
    /// `status` is an HTTP status code that allows a body, so none of 1xx, 204, 304: with these the
    /// body is left out.
    pub fn new(
        status: u16,
        content_type: &'static str,
        body: impl Into<Cow<'static, [u8]>>,
    ) -> Response {
        let headers = vec![("Content-Type", Cow::Borrowed(content_type.as_bytes()))];
        Response { status, headers, body: body.into() }
    }

    /// A response without a body, such as 204.
    pub fn empty(status: u16) -> Response {
        Response { status, headers: Vec::new(), body: Cow::Borrowed(&[]) }
    }

    /// A response of plain text in UTF-8.
    pub fn text(status: u16, text: impl Into<Cow<'static, str>>) -> Response {
        let body = match text.into() {
            Cow::Borrowed(text) => Cow::Borrowed(text.as_bytes()),
            Cow::Owned(text) => Cow::Owned(text.into_bytes()),
        };
        Response::new(status, "text/plain; charset=utf-8", body)
    }

    /// A page: 200 and HTML in UTF-8.
    pub fn html(page: &'static str) -> Response {
        Response::new(200, "text/html; charset=utf-8", page.as_bytes())
    }

    /// The same response with one more header line.
    ///
    /// A line that [`write_header`] refuses is left out when the response is written.
    #[must_use]
    pub fn with_header(
        mut self,
        name: &'static str,
        value: impl Into<Cow<'static, [u8]>>,
    ) -> Response {
        self.headers.push((name, value.into()));
        self
    }

    /// The HTTP status code.
    pub fn status(&self) -> u16 {
        self.status
    }

    /// The body.
    pub fn body(&self) -> &[u8] {
        &self.body
    }

    /// Appends the response to `out`; the connection is closed after it.
    ///
    /// A header line with a name that is no token, or with CR, LF, NUL or another control
    /// character in its value, is left out whole: a peer's text in a value can then neither add a
    /// line to the head nor begin a body, and there is always an answer.
    pub fn write(&self, out: &mut Vec<u8>, body: Body) {
        self.write_to(out, body, Persistence::Close);
    }

    /// The same, and says whether another request may follow on the connection.
    pub fn write_to(&self, out: &mut Vec<u8>, body: Body, persistence: Persistence) {
        out.extend_from_slice(format!("HTTP/1.1 {:03} ", self.status).as_bytes());
        out.extend_from_slice(reason_phrase(self.status).as_bytes());
        out.extend_from_slice(b"\r\n");
        // RFC 9110 §7.8: who sends Upgrade names it in Connection too.
        let upgrade = self.headers.iter().any(|(name, _)| name.eq_ignore_ascii_case("Upgrade"));
        let connection: &[u8] = match (persistence, upgrade) {
            (Persistence::Close, true) => b"close, Upgrade",
            (Persistence::Close, false) => b"close",
            (Persistence::KeepAlive, true) => b"keep-alive, Upgrade",
            // HTTP/1.0 has to be told.
            (Persistence::KeepAlive, false) => b"keep-alive",
        };
        let len = self.body.len().to_string();
        let always: [(&str, &[u8]); 2] =
            [("Connection", connection), ("X-Content-Type-Options", b"nosniff")];
        let len = self.has_length().then_some(("Content-Length", len.as_bytes()));
        let own = self.headers.iter().map(|(name, value)| (*name, value.as_ref()));
        for (name, value) in always.into_iter().chain(len).chain(own) {
            // Refused means left out, as promised above.
            let _ = write_header(out, name, value);
        }
        out.extend_from_slice(b"\r\n");
        match body {
            Body::Included if self.has_length() => out.extend_from_slice(&self.body),
            Body::Included | Body::HeadOnly => {}
        }
    }

    /// RFC 9110 §8.6: a server MUST NOT send Content-Length with 1xx and 204, nor a body with these
    /// and 304.
    fn has_length(&self) -> bool {
        !matches!(self.status, 100..200 | 204 | 304)
    }
}

/// The answer to a request that cannot become a WebSocket connection: status, needed header lines,
/// and a line of text that names the rule.
impl From<HandshakeError> for Response {
    fn from(error: HandshakeError) -> Response {
        let text = format!("{error} ({})\n", error.section());
        let response = Response::text(error.status(), text);
        error
            .headers()
            .iter()
            .fold(response, |response, (name, value)| response.with_header(name, value.as_bytes()))
    }
}

/// Whether the body of a response follows its head.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Body {
    /// The body follows.
    Included,
    /// The answer to HEAD: `Content-Length` tells of a body that does not follow (RFC 9110 §9.3.2).
    HeadOnly,
}

/// Whether another request may follow on the connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Persistence {
    /// No: the server closes it after the response.
    Close,
    /// Yes.
    KeepAlive,
}

/// The one place where a header line is written: `name: value` CR LF.
///
/// # Errors
///
/// [`InvalidHeader`], with nothing written, if the name is not a token or the value contains a
/// control character other than a tab (RFC 9110 §5.5). A CR LF in a value would end the line, and
/// what follows would be a header line or a body of somebody else's making: response splitting.
pub fn write_header(out: &mut Vec<u8>, name: &str, value: &[u8]) -> Result<(), InvalidHeader> {
    let control = value.iter().any(|byte| byte.is_ascii_control() && *byte != b'\t');
    if control || !is_token(name.as_bytes()) {
        return Err(InvalidHeader);
    }
    out.extend_from_slice(name.as_bytes());
    out.extend_from_slice(b": ");
    out.extend_from_slice(value);
    out.extend_from_slice(b"\r\n");
    Ok(())
}

/// A header line that must not be written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InvalidHeader;

impl fmt::Display for InvalidHeader {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("header line with an octet that it must not contain")
    }
}

impl std::error::Error for InvalidHeader {}

/// RFC 9110 §15: the reason phrases of the status codes in use here. Others have none, which
/// RFC 9112 §4 permits.
fn reason_phrase(status: u16) -> &'static str {
    match status {
        100 => "Continue",
        101 => "Switching Protocols",
        200 => "OK",
        201 => "Created",
        202 => "Accepted",
        204 => "No Content",
        304 => "Not Modified",
        400 => "Bad Request",
        401 => "Unauthorized",
        403 => "Forbidden",
        404 => "Not Found",
        405 => "Method Not Allowed",
        408 => "Request Timeout",
        409 => "Conflict",
        410 => "Gone",
        411 => "Length Required",
        412 => "Precondition Failed",
        413 => "Content Too Large",
        414 => "URI Too Long",
        415 => "Unsupported Media Type",
        417 => "Expectation Failed",
        422 => "Unprocessable Content",
        426 => "Upgrade Required",
        429 => "Too Many Requests",
        431 => "Request Header Fields Too Large",
        500 => "Internal Server Error",
        501 => "Not Implemented",
        502 => "Bad Gateway",
        503 => "Service Unavailable",
        504 => "Gateway Timeout",
        505 => "HTTP Version Not Supported",
        507 => "Insufficient Storage",
        _ => "",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(response: &Response, body: Body) -> String {
        let mut out = Vec::new();
        response.write(&mut out, body);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn the_example_of_the_module_documentation() {
        let response = Response::text(405, "use GET.\n").with_header("Allow", &b"GET"[..]);
        let head = "HTTP/1.1 405 Method Not Allowed\r\n\
            Connection: close\r\n\
            X-Content-Type-Options: nosniff\r\n\
            Content-Length: 9\r\n\
            Content-Type: text/plain; charset=utf-8\r\n\
            Allow: GET\r\n\
            \r\n";
        assert_eq!(written(&response, Body::Included), format!("{head}use GET.\n"));
        assert_eq!(written(&response, Body::HeadOnly), head);
    }

    #[test]
    fn a_value_that_would_split_the_response_is_left_out() {
        let values: [&[u8]; 5] = [
            b"/\r\nSet-Cookie: a=b",
            b"/\nSet-Cookie: a=b",
            b"/\rSet-Cookie: a=b",
            b"/\0",
            b"/\x1B[2J",
        ];
        for value in values {
            let response = Response::text(200, "").with_header("Location", value);
            let text = written(&response, Body::Included);
            assert!(!text.contains("Location") && !text.contains("Set-Cookie"), "{text}");
            assert!(text.ends_with("\r\n\r\n"));
        }
        let response = Response::text(200, "").with_header("A: b\r\nC", &b"d"[..]);
        assert!(!written(&response, Body::Included).contains("A:"));
    }

    #[test]
    fn a_value_may_hold_any_other_octet() {
        let mut out = Vec::new();
        assert_eq!(write_header(&mut out, "A", b"\t \"~\x80\xFF"), Ok(()));
        assert_eq!(out, b"A: \t \"~\x80\xFF\r\n");
    }

    #[test]
    fn rfc9110_15_5_22_a_426_names_the_protocol_to_upgrade_to() {
        let text = written(&HandshakeError::VersionUnknown.into(), Body::Included);
        assert!(text.starts_with("HTTP/1.1 426 Upgrade Required\r\n"), "{text}");
        for line in
            ["Connection: close, Upgrade", "Upgrade: websocket", "Sec-WebSocket-Version: 13"]
        {
            assert!(text.contains(&format!("\r\n{line}\r\n")), "{text}");
        }
    }

    #[test]
    fn rfc9110_8_6_a_204_has_neither_length_nor_body() {
        let head = "HTTP/1.1 204 No Content\r\n\
            Connection: close\r\n\
            X-Content-Type-Options: nosniff\r\n\
            \r\n";
        assert_eq!(written(&Response::empty(204), Body::Included), head);
        let text = written(&Response::text(204, "lost"), Body::Included);
        assert!(!text.contains("Content-Length") && !text.contains("lost"), "{text}");
        let text = written(&Response::empty(202), Body::Included);
        assert!(text.ends_with("Content-Length: 0\r\n\r\n"), "{text}");
    }

    #[test]
    fn what_keeps_a_connection_says_so() {
        let mut out = Vec::new();
        Response::text(200, "a").write_to(&mut out, Body::Included, Persistence::KeepAlive);
        let text = String::from_utf8(out).unwrap();
        assert!(text.contains("\r\nConnection: keep-alive\r\n"), "{text}");
        assert!(text.ends_with("\r\n\r\na"), "{text}");
    }

    #[test]
    fn a_page_is_html() {
        let text = written(&Response::html("<!doctype html>"), Body::Included);
        assert!(text.starts_with("HTTP/1.1 200 OK\r\n"), "{text}");
        assert!(text.contains("\r\nContent-Type: text/html; charset=utf-8\r\n"), "{text}");
        assert!(text.ends_with("\r\n\r\n<!doctype html>"), "{text}");
    }

    #[test]
    fn an_unknown_status_has_an_empty_phrase() {
        assert!(written(&Response::text(299, ""), Body::Included).starts_with("HTTP/1.1 299 \r\n"));
    }
}
