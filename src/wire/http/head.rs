//! The head of a request, parsed.
//!
//! ```text
//! GET http://server.example.com:80/chat?user=alice HTTP/1.1
//! method     authority            path  query      version
//! ```
//!
//! `httparse` splits the lines. What it forgives and RFC 9112 does not is checked here before it
//! runs (line ends, folded lines) or after (the target).

use std::borrow::Cow;
use std::fmt::{self, Debug, Formatter};

use super::{Authority, HeadScanner};
use crate::wire::extension::list_contains;
use crate::wire::handshake::HandshakeError;
use crate::wire::quoted::Quoted;

/// How many header lines a request may have at most.
pub const HEADERS_MAX: usize = 100;

/// Room for the header lines of one head, for the caller's stack.
pub struct HeaderSlots<'b> {
    slots: [httparse::Header<'b>; HEADERS_MAX],
    /// Invariant: `max <= HEADERS_MAX`.
    max: usize,
}

impl HeaderSlots<'_> {
    /// Empty slots for [`HEADERS_MAX`] lines.
    pub fn new() -> Self {
        HeaderSlots::at_most(HEADERS_MAX)
    }

    /// Empty slots for `max` lines, or for [`HEADERS_MAX`] if that is less.
    pub fn at_most(max: usize) -> Self {
        let slots = [httparse::EMPTY_HEADER; HEADERS_MAX];
        HeaderSlots { slots, max: max.min(HEADERS_MAX) }
    }
}

impl<'b> HeaderSlots<'b> {
    /// The slots themselves, for `httparse`.
    pub(crate) fn as_mut(&mut self) -> &mut [httparse::Header<'b>] {
        &mut self.slots[..self.max]
    }
}

impl Default for HeaderSlots<'_> {
    fn default() -> Self {
        HeaderSlots::new()
    }
}

/// The head of an HTTP/1 request. Its parts lie where the network put them.
pub struct RequestHead<'h, 'b> {
    method: &'b str,
    target: &'b str,
    parts: TargetParts<'b>,
    version: HttpVersion,
    headers: &'h [httparse::Header<'b>],
}

impl<'h, 'b> RequestHead<'h, 'b> {
    /// Parses exactly one complete head, as long as [`HeadScanner`] said.
    ///
    /// # Errors
    ///
    /// Whatever breaks HTTP, with its status. Nothing is judged here that only a WebSocket
    /// handshake must fulfil; a `Host` that is missing, repeated or malformed is refused because
    /// every HTTP/1.1 server must (RFC 9112 §3.2).
    pub fn parse(
        bytes: &'b [u8],
        slots: &'h mut HeaderSlots<'b>,
    ) -> Result<RequestHead<'h, 'b>, HandshakeError> {
        check_lines(bytes)?;
        let mut request = httparse::Request::new(slots.as_mut());
        match request.parse(bytes) {
            Ok(httparse::Status::Complete(_)) => {}
            Ok(httparse::Status::Partial) => return Err(HandshakeError::RequestLineMalformed),
            Err(httparse::Error::Version) => return Err(version_error(bytes)),
            Err(error) => return Err(head_error(error)),
        }
        let (Some(method), Some(target), Some(version)) =
            (request.method, request.path, request.version)
        else {
            return Err(HandshakeError::RequestLineMalformed);
        };
        let version = if version == 0 { HttpVersion::Http10 } else { HttpVersion::Http11 };
        let headers: &'h [httparse::Header<'b>] = request.headers;
        let host = host(headers, version)?;
        let mut parts = TargetParts::parse(method, target)?;
        // RFC 9112 §3.2.2: with an absolute target, Host MUST be ignored.
        parts.authority = parts.authority.or(host);
        Ok(RequestHead { method, target, parts, version, headers })
    }

    /// The method, such as `GET`. Methods are case-sensitive (RFC 9110 §9.1).
    pub fn method(&self) -> &'b str {
        self.method
    }

    /// The target as sent.
    pub fn target(&self) -> &'b str {
        self.target
    }

    /// The path as sent, not decoded and without the query. `*` for the target `*`.
    pub fn path(&self) -> &'b str {
        self.parts.path
    }

    /// What follows the first `?` of the target, as sent.
    pub fn query(&self) -> Option<&'b str> {
        self.parts.query
    }

    /// Whom the client wanted to reach: from an absolute target, otherwise from `Host`.
    ///
    /// `None` only in HTTP/1.0, where `Host` may be missing.
    pub fn authority(&self) -> Option<Authority<'b>> {
        self.parts.authority
    }

    /// The version of HTTP.
    pub fn version(&self) -> HttpVersion {
        self.version
    }

    /// Whether the client would send another request on the same connection (RFC 9112 §9.3).
    pub fn is_persistent(&self) -> bool {
        let has = |option| list_contains(self.headers_named("Connection"), option);
        match self.version {
            HttpVersion::Http10 => has("keep-alive") && !has("close"),
            HttpVersion::Http11 => !has("close"),
        }
    }

    /// The value of a query parameter: `alice` for `user` in `?user=alice&x=1`.
    ///
    /// The query is read as a form (`application/x-www-form-urlencoded`), because that is what a
    /// browser's `URLSearchParams` writes: `name=value` pairs between `&`, with `+` for a space
    /// and `%` escapes for anything else, decoded once, in names as in values. A `+` itself is
    /// written `%2B`. A name without `=` has the empty value.
    ///
    /// # Errors
    ///
    /// [`HandshakeError::QueryMalformed`] for a bad escape in any name or in the value wanted,
    /// [`HandshakeError::QueryRepeated`] for a name given twice: two readers would not agree on
    /// which one counts.
    pub fn query_value(&self, name: &str) -> Result<Option<Cow<'b, [u8]>>, HandshakeError> {
        let decode =
            |text: &'b str| percent_decode(text, Plus::Space).ok_or(HandshakeError::QueryMalformed);
        let mut found = None;
        for pair in self.query().unwrap_or_default().split('&') {
            let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
            if pair.is_empty() || *decode(key)? != *name.as_bytes() {
                continue;
            }
            if found.replace(decode(value)?).is_some() {
                return Err(HandshakeError::QueryRepeated);
            }
        }
        Ok(found)
    }

    /// The value of the first header line with this name, without white space around it.
    ///
    /// Names are compared without regard to case (RFC 9110 §5.1).
    pub fn header(&self, name: &str) -> Option<&'b [u8]> {
        self.headers.iter().find(|header| header.name.eq_ignore_ascii_case(name)).map(|h| h.value)
    }

    /// The values of all header lines with this name, in their order.
    pub fn headers_named(&self, name: &str) -> impl Iterator<Item = &'b [u8]> {
        headers_named(self.headers, name)
    }
}

/// The request line, quoted and without its query, in which tokens travel. No header values.
impl Debug for RequestHead<'_, '_> {
    fn fmt(&self, formatter: &mut Formatter<'_>) -> fmt::Result {
        let path = Quoted(self.path().as_bytes());
        write!(formatter, "{} {path} {:?}", self.method, self.version)
    }
}

/// The versions of HTTP whose heads can be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HttpVersion {
    /// HTTP/1.0, in which health checks like to ask; no upgrade is possible.
    Http10,
    /// HTTP/1.1.
    Http11,
}

/// Decodes `%41` to `A` and so on, once (RFC 3986 §2.1).
///
/// Borrows if there is nothing to decode. `None` if a `%` is not followed by two hexadecimal
/// digits. The result is bytes: nothing promises UTF-8.
pub fn percent_decode(text: &str, plus: Plus) -> Option<Cow<'_, [u8]>> {
    let needs_work = |byte: &u8| *byte == b'%' || (*byte == b'+' && plus == Plus::Space);
    let bytes = text.as_bytes();
    if !bytes.iter().any(needs_work) {
        return Some(Cow::Borrowed(bytes));
    }
    let mut decoded = Vec::with_capacity(bytes.len());
    let mut rest = bytes;
    while let Some((&byte, after)) = rest.split_first() {
        rest = after;
        decoded.push(match byte {
            b'%' => {
                let (&[high, low], after) = rest.split_first_chunk()?;
                rest = after;
                hex_digit(high)? << 4 | hex_digit(low)?
            }
            b'+' if plus == Plus::Space => b' ',
            _ => byte,
        });
    }
    Some(Cow::Owned(decoded))
}

/// What `+` means in percent-encoded text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Plus {
    /// Itself, as in a path.
    Literal,
    /// A space, as in a form.
    Space,
}

/// The values of all header lines with this name.
pub(crate) fn headers_named<'b>(
    headers: &[httparse::Header<'b>],
    name: &str,
) -> impl Iterator<Item = &'b [u8]> {
    let named = move |header: &&httparse::Header<'b>| header.name.eq_ignore_ascii_case(name);
    headers.iter().filter(named).map(|header| header.value)
}

/// Refuses what `httparse` would forgive: line ends other than CR LF, and bytes after the head.
pub(crate) fn check_lines(bytes: &[u8]) -> Result<(), HandshakeError> {
    let end = HeadScanner::default().find_end(bytes, usize::MAX)?;
    if end == Some(bytes.len()) { Ok(()) } else { Err(HandshakeError::RequestLineMalformed) }
}

/// What `httparse` found wrong with the lines.
pub(crate) fn head_error(error: httparse::Error) -> HandshakeError {
    match error {
        httparse::Error::TooManyHeaders => HandshakeError::HeadersTooMany,
        httparse::Error::HeaderName | httparse::Error::HeaderValue => {
            HandshakeError::HeaderMalformed
        }
        _ => HandshakeError::RequestLineMalformed,
    }
}

/// Tells a version that is not ours from a line that names no version.
fn version_error(bytes: &[u8]) -> HandshakeError {
    let line = bytes.trim_ascii_start().split(|byte| *byte == b'\r').next().unwrap_or_default();
    let mut words = line.split(|byte| *byte == b' ').skip(2);
    // Deviation: RFC 6455 §4.2.1 asks for HTTP/1.1 or higher. There is no HTTP/1.2, and later
    // versions begin differently, so a higher number is refused.
    match (words.next(), words.next()) {
        (Some([b'H', b'T', b'T', b'P', b'/', major, b'.', minor]), None)
            if major.is_ascii_digit() && minor.is_ascii_digit() =>
        {
            HandshakeError::HttpVersionUnknown
        }
        _ => HandshakeError::RequestLineMalformed,
    }
}

/// RFC 9112 §3.2: a server MUST answer 400 to a request in HTTP/1.1 without Host, to more than
/// one, and to an invalid one.
fn host<'b>(
    headers: &[httparse::Header<'b>],
    version: HttpVersion,
) -> Result<Option<Authority<'b>>, HandshakeError> {
    let mut hosts = headers_named(headers, "Host");
    match (hosts.next(), hosts.next()) {
        (None, _) if version == HttpVersion::Http10 => Ok(None),
        (None, _) => Err(HandshakeError::HostMissing),
        (Some(_), Some(_)) => Err(HandshakeError::HostRepeated),
        (Some(host), None) => Authority::parse(host).map(Some).ok_or(HandshakeError::HostMalformed),
    }
}

/// The parts of a target.
struct TargetParts<'b> {
    authority: Option<Authority<'b>>,
    path: &'b str,
    query: Option<&'b str>,
}

impl<'b> TargetParts<'b> {
    /// Splits a path, an absolute URI, or `*` (RFC 9112 §3.2).
    fn parse(method: &str, target: &'b str) -> Result<TargetParts<'b>, HandshakeError> {
        // RFC 6455 §3: a fragment has no meaning here and MUST NOT be used.
        // RFC 3986 §2: a URI is ASCII.
        if !target.is_ascii() || target.contains('#') {
            return Err(HandshakeError::TargetMalformed);
        }
        let (before_query, query) = match target.split_once('?') {
            Some((before, query)) => (before, Some(query)),
            None => (target, None),
        };
        // RFC 9112 §3.2.4: `*` is for OPTIONS only.
        if before_query.starts_with('/') || (target == "*" && method == "OPTIONS") {
            return Ok(TargetParts { authority: None, path: before_query, query });
        }
        // RFC 6455 §4.1: the Request-URI may be an absolute http or https URI.
        let malformed = HandshakeError::TargetMalformed;
        let (scheme, rest) = before_query.split_once("://").ok_or(malformed)?;
        if !scheme.eq_ignore_ascii_case("http") && !scheme.eq_ignore_ascii_case("https") {
            return Err(malformed);
        }
        let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
        let authority = Some(Authority::parse(authority.as_bytes()).ok_or(malformed)?);
        // RFC 9112 §3.2.1: an empty path means "/".
        Ok(TargetParts { authority, path: if path.is_empty() { "/" } else { path }, query })
    }
}

fn hex_digit(byte: u8) -> Option<u8> {
    match byte {
        b'0'..=b'9' => Some(byte - b'0'),
        b'a'..=b'f' => Some(byte - b'a' + 10),
        b'A'..=b'F' => Some(byte - b'A' + 10),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Parses a head made of a request line and header lines.
    fn check<T>(
        line: &str,
        headers: &str,
        look: impl FnOnce(Result<RequestHead<'_, '_>, HandshakeError>) -> T,
    ) -> T {
        let bytes = format!("{line}\r\n{headers}\r\n");
        look(RequestHead::parse(bytes.as_bytes(), &mut HeaderSlots::new()))
    }

    fn query_value(query: &str, name: &str) -> Result<Option<Vec<u8>>, HandshakeError> {
        check(&format!("GET /?{query} HTTP/1.1"), "Host: a\r\n", |head| {
            head.unwrap().query_value(name).map(|value| value.map(Cow::into_owned))
        })
    }

    #[test]
    fn the_example_of_the_module_documentation() {
        let line = "GET http://server.example.com:80/chat?user=alice HTTP/1.1";
        check(line, "Host: ignored\r\n", |head| {
            let head = head.unwrap();
            assert_eq!(head.method(), "GET");
            assert_eq!(head.target(), "http://server.example.com:80/chat?user=alice");
            assert_eq!(head.authority().unwrap().host, "server.example.com");
            assert_eq!(head.authority().unwrap().port, Some(80));
            assert_eq!(head.path(), "/chat");
            assert_eq!(head.query(), Some("user=alice"));
            assert_eq!(head.version(), HttpVersion::Http11);
        });
    }

    #[test]
    fn targets_are_split() {
        let table = [
            ("/", "/", None),
            ("/chat", "/chat", None),
            ("/chat?", "/chat", Some("")),
            ("/a/b?c=d?e/f", "/a/b", Some("c=d?e/f")),
            ("//host/x", "//host/x", None),
            ("/%2e%2E", "/%2e%2E", None),
            ("http://h", "/", None),
            ("http://h?q", "/", Some("q")),
            ("HTTPS://h:1/p?q=http://x", "/p", Some("q=http://x")),
        ];
        for (target, path, query) in table {
            check(&format!("GET {target} HTTP/1.1"), "Host: a\r\n", |head| {
                let head = head.unwrap();
                assert_eq!((head.path(), head.query()), (path, query), "{target}");
            });
        }
    }

    #[test]
    fn bad_targets_are_refused() {
        let targets = [
            "/#",
            "/a#b",
            "/?a#b",
            "chat",
            "",
            "?q",
            "*",
            "*a",
            "*?q",
            "ws://h/",
            "ftp://h/",
            "http:///p",
            "http://",
            "http://u@h/",
            "http://h:x/",
            "h:80",
            "/caf\u{e9}",
        ];
        for target in targets {
            check(&format!("GET {target} HTTP/1.1"), "Host: a\r\n", |head| {
                assert_eq!(head.unwrap_err().status(), 400, "{target}");
            });
        }
    }

    #[test]
    fn the_asterisk_is_for_options() {
        check("OPTIONS * HTTP/1.1", "Host: a\r\n", |head| {
            assert_eq!(head.unwrap().path(), "*");
        });
        check("GET * HTTP/1.1", "Host: a\r\n", |head| assert!(head.is_err()));
    }

    #[test]
    fn headers_are_found_whatever_their_case_and_number() {
        check("GET / HTTP/1.1", "Host: a\r\nX: 1\r\nx:\t2 \r\nY:\r\nZ: \u{e9}\r\n", |head| {
            let head = head.unwrap();
            assert_eq!(head.header("x"), Some(&b"1"[..]));
            let all: Vec<&[u8]> = head.headers_named("X").collect();
            assert_eq!(all, [b"1", b"2"]);
            assert_eq!(head.header("y"), Some(&b""[..]));
            assert_eq!(head.header("z"), Some("\u{e9}".as_bytes()));
            assert_eq!(head.header("absent"), None);
        });
    }

    #[test]
    fn rfc9112_9_3_a_connection_persists_unless_somebody_says_otherwise() {
        let table = [
            ("1.1", "", true),
            ("1.1", "Connection: keep-alive\r\n", true),
            ("1.1", "Connection: Close\r\n", false),
            ("1.1", "Connection: te\r\nConnection: x, close\r\n", false),
            ("1.0", "", false),
            ("1.0", "Connection: Keep-Alive\r\n", true),
            ("1.0", "Connection: keep-alive, close\r\n", false),
        ];
        for (version, lines, persists) in table {
            let lines = format!("Host: a\r\n{lines}");
            check(&format!("GET / HTTP/{version}"), &lines, |head| {
                assert_eq!(head.unwrap().is_persistent(), persists, "{version} {lines:?}");
            });
        }
    }

    #[test]
    fn query_values_are_decoded_once() {
        let table: [(&str, &[u8]); 8] = [
            ("user=alice", b"alice"),
            ("a=b&user=alice&c=%zz", b"alice"),
            ("user=%61l%69ce", b"alice"),
            ("%75ser=alice", b"alice"),
            ("user=a%2520b", b"a%20b"),
            ("user=a+b%2Bc%20d", b"a b+c d"),
            ("user=%FF%00", b"\xFF\0"),
            ("user=a=b", b"a=b"),
        ];
        for (query, value) in table {
            assert_eq!(query_value(query, "user"), Ok(Some(value.to_vec())), "{query}");
        }
        for query in ["user", "user=", "&user&"] {
            assert_eq!(query_value(query, "user"), Ok(Some(Vec::new())), "{query}");
        }
        for query in ["", "User=a", "users=a", "a=user"] {
            assert_eq!(query_value(query, "user"), Ok(None), "{query}");
        }
    }

    #[test]
    fn bad_and_repeated_query_values_are_refused() {
        for query in ["user=%", "user=%4", "user=%4g", "user=%+1", "%=a", "user=a&%g=1"] {
            assert_eq!(query_value(query, "user"), Err(HandshakeError::QueryMalformed), "{query}");
        }
        for query in ["user=a&user=a", "user&user=", "user=a&%75ser=b"] {
            assert_eq!(query_value(query, "user"), Err(HandshakeError::QueryRepeated), "{query}");
        }
    }

    #[test]
    fn plus_is_itself_outside_a_form() {
        assert_eq!(percent_decode("a+b%2B", Plus::Literal).unwrap(), &b"a+b+"[..]);
        assert!(matches!(percent_decode("a+b", Plus::Literal), Some(Cow::Borrowed(b"a+b"))));
    }

    #[test]
    fn the_debug_form_shows_no_query_and_no_header() {
        check("GET /a?token=t HTTP/1.1", "Host: a\r\nAuthorization: b\r\n", |head| {
            assert_eq!(format!("{:?}", head.unwrap()), r#"GET "/a" Http11"#);
        });
    }

    #[test]
    fn a_hundred_headers_pass_and_one_more_does_not() {
        let headers = |count: usize| format!("Host: a\r\n{}", "A: b\r\n".repeat(count - 1));
        check("GET / HTTP/1.1", &headers(HEADERS_MAX), |head| assert!(head.is_ok()));
        check("GET / HTTP/1.1", &headers(HEADERS_MAX + 1), |head| {
            assert_eq!(head.unwrap_err(), HandshakeError::HeadersTooMany);
        });
    }
}
