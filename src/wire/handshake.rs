//! The opening handshake: an HTTP request that asks for WebSocket, and the answer (RFC 6455 §1.3,
//! §4).
//!
//! ```text
//! client                                             server
//!   GET /chat HTTP/1.1
//!   Host: server.example.com
//!   Upgrade: websocket
//!   Connection: Upgrade
//!   Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==  ──►
//!   Origin: http://example.com
//!   Sec-WebSocket-Protocol: chat, superchat
//!   Sec-WebSocket-Version: 13
//!
//!                                                    HTTP/1.1 101 Switching Protocols
//!                                                    Upgrade: websocket
//!                                                ◄── Connection: Upgrade
//!                                                    Sec-WebSocket-Accept:
//!                                                      s3pPLMBiTxaQ9kYGzzhZRbK+xOo=
//!                                                    Sec-WebSocket-Protocol: chat
//! ```
//!
//! The key proves nothing about the client. It proves to the client that the server read *this*
//! handshake and knows WebSocket, which neither a cache nor a server of another protocol does:
//!
//! ```text
//! key                    dGhlIHNhbXBsZSBub25jZQ==
//! key and GUID           dGhlIHNhbXBsZSBub25jZQ==258EAFA5-E914-47DA-95CA-C5AB0DC85B11
//! their SHA-1            B3 7A 4F 2C C0 62 4F 16 90 F6 46 06 CF 38 59 45 B2 BE C4 EA
//! in base64              s3pPLMBiTxaQ9kYGzzhZRbK+xOo=
//! ```
//!
//! [`Upgrade::check`] is the server's half, [`ClientHandshake`] the client's. Never is anything
//! but a complete and correct handshake answered with 101: a proxy in between would believe that
//! a tunnel begins there.
//!
//! This module does not know which paths, origins and subprotocols the server has: that is the
//! application's part of RFC 6455 §4.2.2.

mod client;
mod error;

use std::fmt;

use base64::Engine as _;
use base64::alphabet;
use base64::engine::general_purpose::{GeneralPurpose, PAD, STANDARD};
use sha1::{Digest, Sha1};

pub use client::{AnswerError, ClientHandshake, InvalidRequest, ServerAnswer};
pub use error::HandshakeError;

use super::extension::{self, Extension};
use super::http::{HttpVersion, RequestHead, write_header};

/// Whether a request asks for WebSocket at all, rightly or not.
///
/// True if `Upgrade` names `websocket`, or a `Sec-WebSocket-Key` or `Sec-WebSocket-Version` is
/// there. A half-right handshake is then told its mistake by [`Upgrade::check`], while an ordinary
/// request, also one that offers to upgrade to something else, remains one.
pub fn is_upgrade(head: &RequestHead<'_, '_>) -> bool {
    extension::list_contains(head.headers_named("Upgrade"), "websocket")
        || head.header("Sec-WebSocket-Key").is_some()
        || head.header("Sec-WebSocket-Version").is_some()
}

/// A client's opening handshake that fulfils RFC 6455 §4.2.1. Nothing else can make one.
#[derive(Clone)]
pub struct Upgrade<'b> {
    key: &'b [u8],
    /// The web page on whose behalf a browser asks; other clients need not send it.
    pub origin: Option<&'b [u8]>,
    protocols: Vec<&'b str>,
    extensions: Vec<Extension<'b>>,
}

impl<'b> Upgrade<'b> {
    /// Checks a handshake, in the order of RFC 6455 §4.2.1.
    ///
    /// # Errors
    ///
    /// The first rule that is broken. The connection must then be closed after the answer: what
    /// follows a refused handshake may be frames, or the body of a request.
    pub fn check(head: &RequestHead<'_, 'b>) -> Result<Upgrade<'b>, HandshakeError> {
        // RFC 6455 §4.2.1 (1): an HTTP/1.1 or higher GET request.
        if head.method() != "GET" {
            return Err(HandshakeError::MethodNotAllowed);
        }
        // RFC 9110 §7.8 says the same: Upgrade is ignored in HTTP/1.0.
        if head.version() == HttpVersion::Http10 {
            return Err(HandshakeError::HttpVersionTooOld);
        }
        // RFC 6455 §4.2.1 (2): a Host; `RequestHead::parse` has found exactly one good one.
        if head.authority().is_none() {
            return Err(HandshakeError::HostMissing);
        }
        // RFC 6455 §4.2.1 (3): an Upgrade that contains "websocket", in any case of letters.
        if !extension::list_contains(head.headers_named("Upgrade"), "websocket") {
            return Err(HandshakeError::UpgradeMissing);
        }
        // RFC 6455 §4.2.1 (4): a Connection that includes the token "Upgrade", in any case.
        if !extension::list_contains(head.headers_named("Connection"), "upgrade") {
            return Err(HandshakeError::ConnectionMissing);
        }
        let key = check_key(head)?;
        check_version(head)?;
        let origin = at_most_one(head, "Origin", HandshakeError::OriginRepeated)?;
        let protocols = extension::parse_protocols(head.headers_named("Sec-WebSocket-Protocol"))
            .map_err(|_| HandshakeError::ProtocolMalformed)?;
        let extensions =
            extension::parse_extensions(head.headers_named("Sec-WebSocket-Extensions"))
                .map_err(|_| HandshakeError::ExtensionMalformed)?;
        check_no_body(head)?;
        Ok(Upgrade { key, origin, protocols, extensions })
    }

    /// The subprotocols the client offers, in its order of preference, each once.
    pub fn protocols(&self) -> impl Iterator<Item = &'b str> {
        self.protocols.iter().copied()
    }

    /// The extensions the client offers, in its order of preference.
    pub fn extensions(&self) -> &[Extension<'b>] {
        &self.extensions
    }

    /// The value of `Sec-WebSocket-Accept` that answers this handshake.
    pub fn accept_key(&self) -> [u8; 28] {
        accept_key(self.key)
    }

    /// Appends the 101 response to `out`. The very next byte belongs to the first frame.
    ///
    /// What the client did not offer is left out, whatever `accepted` says.
    pub fn write_response(&self, out: &mut Vec<u8>, accepted: &Accepted<'_>) {
        out.extend_from_slice(
            b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
              Sec-WebSocket-Accept: ",
        );
        out.extend_from_slice(&self.accept_key());
        out.extend_from_slice(b"\r\n");
        // RFC 6455 §4.2.2 (5) /subprotocol/: the value chosen MUST be one of the client's, and
        // without a choice the line MUST NOT be sent.
        let offered = |protocol: &&str| self.protocols.contains(protocol);
        if let Some(protocol) = accepted.protocol.filter(offered) {
            // An offered protocol is a token and so never refused.
            let _ = write_header(out, "Sec-WebSocket-Protocol", protocol.as_bytes());
        }
        // RFC 6455 §9.1: a server MUST NOT accept an extension that was not requested.
        if let Some(extensions) = accepted.extensions.filter(|_| !self.extensions.is_empty()) {
            let _ = write_header(out, "Sec-WebSocket-Extensions", extensions.as_bytes());
        }
        out.extend_from_slice(b"\r\n");
    }
}

/// How much is offered, not what: a token may travel among the subprotocols.
impl fmt::Debug for Upgrade<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (protocols, extensions) = (self.protocols.len(), self.extensions.len());
        write!(formatter, "Upgrade with {protocols} subprotocols, {extensions} extensions")
    }
}

/// What a server takes of a client's offers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Accepted<'a> {
    /// The subprotocol, one of [`Upgrade::protocols`].
    pub protocol: Option<&'a str>,
    /// The whole value of `Sec-WebSocket-Extensions`.
    pub extensions: Option<&'a str>,
}

/// The value of `Sec-WebSocket-Accept` for a value of `Sec-WebSocket-Key` (RFC 6455 §4.2.2 (5)).
pub fn accept_key(key: &[u8]) -> [u8; 28] {
    // The key is hashed as it was sent, without being decoded.
    let digest: [u8; 20] = Sha1::new().chain_update(key).chain_update(GUID).finalize().into();
    let mut accept = [0; 28];
    encode_base64(&digest, &mut accept);
    accept
}

/// Fills `out`, whose length must be that of the base64 form of `bytes`.
fn encode_base64(bytes: &[u8], out: &mut [u8]) {
    let written = STANDARD.encode_slice(bytes, out);
    // Every three bytes, or a rest of them, become four characters: 16 bytes 24, 20 bytes 28.
    written.expect("invariant: both callers bring room for 4 * ceil(n / 3) characters");
}

/// RFC 6455 §4.2.1 (5): a key that, decoded, has 16 bytes.
fn check_key<'b>(head: &RequestHead<'_, 'b>) -> Result<&'b [u8], HandshakeError> {
    // RFC 6455 §11.3.1: it MUST NOT appear more than once.
    let key = at_most_one(head, "Sec-WebSocket-Key", HandshakeError::KeyRepeated)?;
    let key = key.ok_or(HandshakeError::KeyMissing)?;
    let mut nonce = [0; 18]; // 24 characters decode to 18 bytes before their padding is known
    if key.len() == 24 && KEY_BASE64.decode_slice(key, &mut nonce) == Ok(16) {
        Ok(key)
    } else {
        Err(HandshakeError::KeyMalformed)
    }
}

/// RFC 6455 §4.2.1 (6): version 13.
fn check_version(head: &RequestHead<'_, '_>) -> Result<(), HandshakeError> {
    // RFC 6455 §11.3.5: it MUST NOT appear more than once.
    let version = at_most_one(head, "Sec-WebSocket-Version", HandshakeError::VersionRepeated)?;
    match version {
        Some(b"13") => Ok(()),
        // RFC 6455 §4.2.2 (4): a version we do not understand is answered with those we do.
        Some(_) => Err(HandshakeError::VersionUnknown),
        None => Err(HandshakeError::VersionMissing),
    }
}

/// RFC 6455 §4.1: a handshake is a GET with its head and nothing more. If a body were let in, its
/// bytes would be read as frames; what a page may put into a body would then speak WebSocket.
fn check_no_body(head: &RequestHead<'_, '_>) -> Result<(), HandshakeError> {
    let empty = |value: &[u8]| !value.is_empty() && value.iter().all(|digit| *digit == b'0');
    let body = head.header("Transfer-Encoding").is_some()
        || !head.headers_named("Content-Length").all(empty);
    if body { Err(HandshakeError::BodyForbidden) } else { Ok(()) }
}

fn at_most_one<'b>(
    head: &RequestHead<'_, 'b>,
    name: &str,
    repeated: HandshakeError,
) -> Result<Option<&'b [u8]>, HandshakeError> {
    let mut values = head.headers_named(name);
    let first = values.next();
    if values.next().is_some() { Err(repeated) } else { Ok(first) }
}

/// RFC 6455 §1.3: this identifier is unlikely to be known to an endpoint that does not speak
/// WebSocket.
const GUID: &[u8] = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11";

/// Base64 for keys. 16 bytes leave four bits of the last character unused; RFC 4648 §3.5 allows
/// either to demand zeros there or not. Some clients write random characters, so we do not.
const KEY_BASE64: GeneralPurpose =
    GeneralPurpose::new(&alphabet::STANDARD, PAD.with_decode_allow_trailing_bits(true));

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::http::HeaderSlots;

    const EXAMPLE: &str = "GET /chat HTTP/1.1\r\n\
        Host: server.example.com\r\n\
        Upgrade: websocket\r\n\
        Connection: Upgrade\r\n\
        Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
        Origin: http://example.com\r\n\
        Sec-WebSocket-Protocol: chat, superchat\r\n\
        Sec-WebSocket-Version: 13\r\n\r\n";

    fn check<T>(bytes: &str, look: impl FnOnce(Result<Upgrade<'_>, HandshakeError>) -> T) -> T {
        let mut slots = HeaderSlots::new();
        let head = RequestHead::parse(bytes.as_bytes(), &mut slots).unwrap();
        look(Upgrade::check(&head))
    }

    #[test]
    fn the_example_of_the_module_documentation() {
        let digest = Sha1::new().chain_update(b"dGhlIHNhbXBsZSBub25jZQ==").chain_update(GUID);
        let digest: [u8; 20] = digest.finalize().into();
        assert_eq!(
            digest,
            [
                0xB3, 0x7A, 0x4F, 0x2C, 0xC0, 0x62, 0x4F, 0x16, 0x90, 0xF6, 0x46, 0x06, 0xCF, 0x38,
                0x59, 0x45, 0xB2, 0xBE, 0xC4, 0xEA
            ]
        );
        assert_eq!(&accept_key(b"dGhlIHNhbXBsZSBub25jZQ=="), b"s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
    }

    #[test]
    fn the_example_handshake_is_answered_as_in_the_rfc() {
        check(EXAMPLE, |upgrade| {
            let upgrade = upgrade.unwrap();
            assert_eq!(upgrade.origin, Some(&b"http://example.com"[..]));
            assert!(upgrade.protocols().eq(["chat", "superchat"]));
            let mut out = Vec::new();
            upgrade
                .write_response(&mut out, &Accepted { protocol: Some("chat"), extensions: None });
            assert_eq!(
                out.escape_ascii().to_string(),
                b"HTTP/1.1 101 Switching Protocols\r\n\
                  Upgrade: websocket\r\n\
                  Connection: Upgrade\r\n\
                  Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\
                  Sec-WebSocket-Protocol: chat\r\n\r\n"
                    .escape_ascii()
                    .to_string()
            );
        });
    }

    #[test]
    fn what_was_not_offered_is_not_accepted() {
        check(EXAMPLE, |upgrade| {
            let mut out = Vec::new();
            let accepted = Accepted { protocol: Some("other"), extensions: Some("x-deflate") };
            upgrade.unwrap().write_response(&mut out, &accepted);
            assert!(out.ends_with(b"Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n"));
        });
    }

    #[test]
    fn the_debug_form_shows_no_subprotocol() {
        check(EXAMPLE, |upgrade| {
            let shown = format!("{:?}", upgrade.unwrap());
            assert_eq!(shown, "Upgrade with 2 subprotocols, 0 extensions");
        });
    }

    #[test]
    fn an_ordinary_request_is_no_upgrade() {
        let table = [
            ("", false),
            ("Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\n", false),
            ("Upgrade: h2c, WebSocket\r\n", true),
            ("Sec-WebSocket-Key: x\r\n", true),
            ("sec-websocket-version: 8\r\n", true),
        ];
        for (lines, expected) in table {
            let bytes = format!("GET / HTTP/1.1\r\nHost: a\r\n{lines}\r\n");
            let mut slots = HeaderSlots::new();
            let head = RequestHead::parse(bytes.as_bytes(), &mut slots).unwrap();
            assert_eq!(is_upgrade(&head), expected, "{lines}");
        }
    }
}
