//! The client's half of the opening handshake (RFC 6455 §4.1).
//!
//! ```text
//! new ──► write ──► check_response ──► ServerAnswer, then frames
//!                     │    ▲
//!                     └────┘ Partial: read more
//! ```

use std::fmt;

use super::{accept_key, encode_base64};
use crate::wire::deflate::{DeflateAgreement, DeflateOffer};
use crate::wire::extension::{self, PROTOCOLS_MAX};
use crate::wire::http::{
    Authority, HeadScanner, HeaderSlots, check_lines, headers_named, write_header,
};
use crate::wire::{Parsed, deflate};

/// A handshake that this client has begun.
#[derive(Clone)]
pub struct ClientHandshake<'a> {
    host: &'a str,
    target: &'a str,
    key: [u8; 24],
    origin: Option<&'a str>,
    protocols: &'a [&'a str],
    deflate: Option<DeflateOffer>,
    scanner: HeadScanner,
}

impl<'a> ClientHandshake<'a> {
    /// Prepares a handshake.
    ///
    /// `host` is the value of `Host`: the server's name and, unless it is the scheme's default,
    /// its port. `target` is the path with its query. `nonce` must be chosen at random for each
    /// connection. `protocols` are in the order of preference.
    ///
    /// # Errors
    ///
    /// [`InvalidRequest`] says which of them cannot be sent.
    pub fn new(
        host: &'a str,
        target: &'a str,
        nonce: [u8; 16],
        protocols: &'a [&'a str],
    ) -> Result<ClientHandshake<'a>, InvalidRequest> {
        if Authority::parse(host.as_bytes()).is_none() {
            return Err(InvalidRequest::Host);
        }
        // RFC 6455 §3: a resource name begins with "/", and has no fragment.
        let visible = |byte: u8| byte.is_ascii_graphic() && byte != b'#';
        if !target.starts_with('/') || !target.bytes().all(visible) {
            return Err(InvalidRequest::Target);
        }
        // RFC 6455 §4.1 (10): tokens, and all of them different.
        let repeated = |(at, protocol): (usize, &&str)| protocols[..at].contains(protocol);
        if protocols.len() > PROTOCOLS_MAX
            || !protocols.iter().all(|protocol| extension::is_token(protocol.as_bytes()))
            || protocols.iter().enumerate().any(repeated)
        {
            return Err(InvalidRequest::Protocol);
        }
        // RFC 6455 §4.1 (7): a nonce of 16 bytes in base64.
        let mut key = [0; 24];
        encode_base64(&nonce, &mut key);
        let scanner = HeadScanner::default();
        Ok(ClientHandshake { host, target, key, origin: None, protocols, deflate: None, scanner })
    }

    /// The same handshake on behalf of a web page, as a browser makes it.
    ///
    /// # Errors
    ///
    /// [`InvalidRequest::Origin`] for anything but visible ASCII characters.
    pub fn with_origin(mut self, origin: &'a str) -> Result<ClientHandshake<'a>, InvalidRequest> {
        if origin.is_empty() || !origin.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(InvalidRequest::Origin);
        }
        self.origin = Some(origin);
        Ok(self)
    }

    /// The same handshake with an offer of permessage-deflate (RFC 7692).
    pub fn with_deflate(mut self, offer: DeflateOffer) -> ClientHandshake<'a> {
        self.deflate = Some(offer);
        self
    }

    /// Appends the request to `out`.
    pub fn write(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(b"GET ");
        out.extend_from_slice(self.target.as_bytes());
        out.extend_from_slice(b" HTTP/1.1\r\n");
        let protocols = self.protocols.join(", ");
        let extensions = self.deflate.map(|offer| offer.to_string());
        let lines: [(&str, Option<&[u8]>); 8] = [
            ("Host", Some(self.host.as_bytes())),
            ("Upgrade", Some(b"websocket")),
            ("Connection", Some(b"Upgrade")),
            ("Sec-WebSocket-Key", Some(&self.key)),
            ("Origin", self.origin.map(str::as_bytes)),
            ("Sec-WebSocket-Protocol", Some(protocols.as_bytes()).filter(|list| !list.is_empty())),
            ("Sec-WebSocket-Extensions", extensions.as_deref().map(str::as_bytes)),
            ("Sec-WebSocket-Version", Some(b"13")),
        ];
        for (name, value) in lines {
            if let Some(value) = value {
                // `new` has let in nothing that could be refused here.
                let _ = write_header(out, name, value);
            }
        }
        out.extend_from_slice(b"\r\n");
    }

    /// Checks the server's answer, in the order of RFC 6455 §4.1.
    ///
    /// `bytes` is everything received so far; each call needs the same bytes as the one before,
    /// and more. The length of the answer is where the first frame begins.
    ///
    /// # Errors
    ///
    /// The first rule that is broken. The client must then fail the connection.
    pub fn check_response(
        &mut self,
        bytes: &[u8],
    ) -> Result<Parsed<ServerAnswer<'a>>, AnswerError> {
        let end = self.scanner.find_end(bytes, ANSWER_MAX).map_err(|_| AnswerError::Malformed)?;
        let Some(len) = end else {
            return Ok(Parsed::Partial);
        };
        let mut slots = HeaderSlots::new();
        let mut response = httparse::Response::new(slots.as_mut());
        check_lines(&bytes[..len]).map_err(|_| AnswerError::Malformed)?;
        match response.parse(&bytes[..len]) {
            Ok(httparse::Status::Complete(_)) => {}
            _ => return Err(AnswerError::Malformed),
        }
        // RFC 6455 §4.1 (1): any other status is HTTP's business, not ours.
        match response.code {
            Some(101) => {}
            Some(status) => return Err(AnswerError::Refused(status)),
            None => return Err(AnswerError::Malformed),
        }
        // RFC 9110 §7.8: an upgrade is a matter of HTTP/1.1.
        if response.version != Some(1) {
            return Err(AnswerError::Malformed);
        }
        let value = self.check_headers(response.headers)?;
        Ok(Parsed::Complete { value, len })
    }

    fn check_headers(
        &self,
        headers: &[httparse::Header<'_>],
    ) -> Result<ServerAnswer<'a>, AnswerError> {
        // RFC 6455 §4.1 (2): exactly "websocket", in any case of letters.
        let upgrade = only(headers, "Upgrade")?.ok_or(AnswerError::UpgradeMissing)?;
        if !upgrade.eq_ignore_ascii_case(b"websocket") {
            return Err(AnswerError::UpgradeMissing);
        }
        // RFC 6455 §4.1 (3): a token "Upgrade", in any case.
        if !extension::list_contains(headers_named(headers, "Connection"), "upgrade") {
            return Err(AnswerError::ConnectionMissing);
        }
        // RFC 6455 §4.1 (4): the proof that the server has read our key.
        if only(headers, "Sec-WebSocket-Accept")? != Some(&accept_key(&self.key)) {
            return Err(AnswerError::AcceptWrong);
        }
        let deflate = self.check_extensions(headers)?;
        // RFC 6455 §4.1 (6): no subprotocol that was not requested.
        let Some(chosen) = only(headers, "Sec-WebSocket-Protocol")? else {
            return Ok(ServerAnswer { protocol: None, deflate });
        };
        let requested = self.protocols.iter().find(|protocol| protocol.as_bytes() == chosen);
        let protocol = Some(*requested.ok_or(AnswerError::ProtocolNotRequested)?);
        Ok(ServerAnswer { protocol, deflate })
    }

    /// RFC 6455 §4.1 (5): no extension that was not requested, and each at most once.
    fn check_extensions(
        &self,
        headers: &[httparse::Header<'_>],
    ) -> Result<Option<DeflateAgreement>, AnswerError> {
        let lines = headers_named(headers, "Sec-WebSocket-Extensions");
        let accepted =
            extension::parse_extensions(lines).map_err(|_| AnswerError::ExtensionMalformed)?;
        match (&accepted[..], &self.deflate) {
            ([], _) => Ok(None),
            ([extension], Some(offer)) if extension.name == deflate::NAME => {
                let agreed = DeflateAgreement::parse(extension, offer);
                agreed.map(Some).ok_or(AnswerError::ExtensionMalformed)
            }
            _ => Err(AnswerError::ExtensionNotRequested),
        }
    }
}

/// Whom it is for, and nothing in which a token may travel.
impl fmt::Debug for ClientHandshake<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "ClientHandshake with {}", self.host)
    }
}

/// What the server said to a handshake that succeeded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ServerAnswer<'a> {
    /// The subprotocol it chose, one of ours. Without one, the connection has none.
    pub protocol: Option<&'a str>,
    /// What was agreed about compression. Without it, nothing is compressed.
    pub deflate: Option<DeflateAgreement>,
}

/// Why a client cannot send a handshake.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum InvalidRequest {
    /// The host is not a host and perhaps a port.
    Host,
    /// The target does not begin with `/`, has a fragment, or is not visible ASCII.
    Target,
    /// The origin is not visible ASCII.
    Origin,
    /// A subprotocol is not a token, is there twice, or there are too many.
    Protocol,
}

impl fmt::Display for InvalidRequest {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            InvalidRequest::Host => "malformed host",
            InvalidRequest::Target => "malformed resource name",
            InvalidRequest::Origin => "malformed origin",
            InvalidRequest::Protocol => "malformed list of subprotocols",
        })
    }
}

impl std::error::Error for InvalidRequest {}

/// Why a client must not use a connection: RFC 6455 §4.1, what follows the request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AnswerError {
    /// The answer is no HTTP response head, or one that is too long.
    Malformed,
    /// The server answered with this status instead of 101.
    Refused(u16),
    /// `Upgrade` is missing or not `websocket`.
    UpgradeMissing,
    /// `Connection` does not contain `Upgrade`.
    ConnectionMissing,
    /// `Sec-WebSocket-Accept` is missing or does not match our key.
    AcceptWrong,
    /// `Sec-WebSocket-Extensions` breaks its grammar, or accepts something else than was offered.
    ExtensionMalformed,
    /// An extension that was not requested.
    ExtensionNotRequested,
    /// A subprotocol that was not requested.
    ProtocolNotRequested,
    /// A header field that may stand there once stands there twice.
    HeaderRepeated,
}

impl fmt::Display for AnswerError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = match self {
            AnswerError::Refused(status) => {
                return write!(formatter, "handshake refused with status {status}");
            }
            AnswerError::Malformed => "malformed response head",
            AnswerError::UpgradeMissing => "no Upgrade header field with websocket",
            AnswerError::ConnectionMissing => "no Connection header field with Upgrade",
            AnswerError::AcceptWrong => "Sec-WebSocket-Accept does not match the key",
            AnswerError::ExtensionMalformed => "extension accepted otherwise than it was offered",
            AnswerError::ExtensionNotRequested => "extension that was not requested",
            AnswerError::ProtocolNotRequested => "subprotocol that was not requested",
            AnswerError::HeaderRepeated => "header field given more than once",
        };
        formatter.write_str(text)
    }
}

impl std::error::Error for AnswerError {}

/// The only value of this header field, if there is one. RFC 6455 §11.3: in a response, each of
/// the fields read with this MUST NOT appear more than once.
fn only<'b>(headers: &[httparse::Header<'b>], name: &str) -> Result<Option<&'b [u8]>, AnswerError> {
    let mut values = headers_named(headers, name);
    let first = values.next();
    if values.next().is_some() { Err(AnswerError::HeaderRepeated) } else { Ok(first) }
}

/// How long a server's answer may be, in bytes.
const ANSWER_MAX: usize = 16 * 1024;

#[cfg(test)]
mod tests {
    use super::*;

    const ANSWER: &[u8] = b"HTTP/1.1 101 Switching Protocols\r\n\
        Upgrade: websocket\r\n\
        Connection: Upgrade\r\n\
        Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\
        Sec-WebSocket-Protocol: chat\r\n\r\n";

    #[test]
    fn the_handshake_of_rfc_6455_1_3() {
        let protocols = ["chat", "superchat"];
        let mut handshake =
            ClientHandshake::new("server.example.com", "/chat", *b"the sample nonce", &protocols)
                .unwrap()
                .with_origin("http://example.com")
                .unwrap();
        let mut out = Vec::new();
        handshake.write(&mut out);
        let request = "GET /chat HTTP/1.1\r\n\
            Host: server.example.com\r\n\
            Upgrade: websocket\r\n\
            Connection: Upgrade\r\n\
            Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
            Origin: http://example.com\r\n\
            Sec-WebSocket-Protocol: chat, superchat\r\n\
            Sec-WebSocket-Version: 13\r\n\r\n";
        assert_eq!(String::from_utf8(out).unwrap(), request);
        let value = ServerAnswer { protocol: Some("chat"), deflate: None };
        let complete = Ok(Parsed::Complete { value, len: ANSWER.len() });
        assert_eq!(handshake.check_response(ANSWER), complete);
    }
}
