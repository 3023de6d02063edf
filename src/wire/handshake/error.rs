//! Why a request cannot become a WebSocket connection: one table.

use std::fmt;

macro_rules! handshake_errors {
    ($($(#[doc = $doc:literal])* $name:ident $status:literal $section:literal $text:literal;)*) => {
        /// Why a request is refused. It knows its HTTP status and the header lines that go with
        /// it, so that `Response::from(error)` is the whole answer.
        ///
        /// First what breaks HTTP itself, then RFC 6455 §4.2.1 and §4.2.2 in their order, then the
        /// server's own reasons.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum HandshakeError {
            $(
                $(#[doc = $doc])*
                #[doc = ""]
                #[doc = concat!("Status ", $status, ", ", $section, ".")]
                $name,
            )*
        }

        impl HandshakeError {
            /// Every error there is, in the order of the table.
            pub const ALL: &[HandshakeError] = &[$(HandshakeError::$name,)*];

            /// The HTTP status code of the answer.
            pub const fn status(self) -> u16 {
                match self { $(HandshakeError::$name => $status,)* }
            }

            /// The section of the standard that is broken, or that allows the refusal.
            pub const fn section(self) -> &'static str {
                match self { $(HandshakeError::$name => $section,)* }
            }

            /// What is wrong, in a few words.
            pub const fn text(self) -> &'static str {
                match self { $(HandshakeError::$name => $text,)* }
            }
        }
    };
}

handshake_errors! {
    /// The head does not end within its limit.
    HeadTooLarge 431 "RFC 6585 §5" "request head too large";
    /// More header lines than [`HEADERS_MAX`](crate::wire::http::HEADERS_MAX).
    HeadersTooMany 431 "RFC 6585 §5" "too many header fields";
    /// The head did not arrive in time.
    HeadTimeout 408 "RFC 9110 §15.5.9" "request head not received in time";
    /// A CR without LF, or a LF without CR.
    LineEndMalformed 400 "RFC 9112 §2.2" "line end other than CR LF";
    /// A header line that begins with white space, which once continued the line before it.
    LineFolded 400 "RFC 9112 §5.2" "header line begins with white space";
    /// A control character other than a tab.
    ControlCharacter 400 "RFC 9110 §5.5" "control character in the request head";
    /// The first line is not `method SP target SP HTTP-version`.
    RequestLineMalformed 400 "RFC 9112 §3" "malformed request line";
    /// The target is neither a path nor an absolute http or https URI in ASCII, or it has a
    /// fragment.
    TargetMalformed 400 "RFC 9112 §3.2" "malformed request target";
    /// An HTTP version other than 1.0 and 1.1.
    HttpVersionUnknown 505 "RFC 9110 §15.6.6" "http version not supported";
    /// A header line that is not `name: value`.
    HeaderMalformed 400 "RFC 9112 §5" "malformed header field";
    /// A `%` in the query without two hexadecimal digits.
    QueryMalformed 400 "RFC 3986 §2.1" "malformed percent-encoding in the query";
    /// A parameter that may be given once stands twice in the query.
    QueryRepeated 400 "RFC 3986 §3.4" "query parameter given twice";
    /// A request that came without asking for WebSocket to a place where there is nothing else.
    UpgradeRequired 426 "RFC 9110 §15.5.22" "this place speaks websocket only";
    /// A handshake by another method than GET.
    MethodNotAllowed 405 "RFC 6455 §4.2.1" "websocket handshake by a method other than GET";
    /// A handshake in HTTP/1.0.
    HttpVersionTooOld 400 "RFC 6455 §4.2.1" "websocket handshake below http/1.1";
    /// No `Host`.
    HostMissing 400 "RFC 6455 §4.2.1" "no Host header field";
    /// Two or more of `Host`.
    HostRepeated 400 "RFC 9112 §3.2" "more than one Host header field";
    /// A `Host` that is not a host and perhaps a port.
    HostMalformed 400 "RFC 9112 §3.2" "malformed Host header field";
    /// `Upgrade` is missing or does not contain `websocket`.
    UpgradeMissing 400 "RFC 6455 §4.2.1" "no Upgrade header field with websocket";
    /// `Connection` is missing or does not contain `Upgrade`.
    ConnectionMissing 400 "RFC 6455 §4.2.1" "no Connection header field with Upgrade";
    /// No `Sec-WebSocket-Key`.
    KeyMissing 400 "RFC 6455 §4.2.1" "no Sec-WebSocket-Key header field";
    /// Two or more of `Sec-WebSocket-Key`.
    KeyRepeated 400 "RFC 6455 §11.3.1" "more than one Sec-WebSocket-Key header field";
    /// `Sec-WebSocket-Key` is not the base64 form of 16 bytes.
    KeyMalformed 400 "RFC 6455 §4.2.1" "Sec-WebSocket-Key is not 16 bytes in base64";
    /// No `Sec-WebSocket-Version`.
    VersionMissing 400 "RFC 6455 §4.2.1" "no Sec-WebSocket-Version header field";
    /// Two or more of `Sec-WebSocket-Version`.
    VersionRepeated 400 "RFC 6455 §11.3.5" "more than one Sec-WebSocket-Version header field";
    /// `Sec-WebSocket-Version` is not 13.
    VersionUnknown 426 "RFC 6455 §4.2.2" "Sec-WebSocket-Version is not 13";
    /// Two or more of `Origin`.
    OriginRepeated 400 "RFC 6454 §7.3" "more than one Origin header field";
    /// `Sec-WebSocket-Protocol` is not a list of different tokens, or a very long one.
    ProtocolMalformed 400 "RFC 6455 §4.1" "malformed Sec-WebSocket-Protocol header field";
    /// `Sec-WebSocket-Extensions` breaks its grammar, or is very long.
    ExtensionMalformed 400 "RFC 6455 §9.1" "malformed Sec-WebSocket-Extensions header field";
    /// A handshake with a body, which would be read as frames.
    BodyForbidden 400 "RFC 6455 §4.1" "websocket handshake with a body";
    /// The server does not take connections from this origin.
    OriginForbidden 403 "RFC 6455 §4.2.2" "origin not allowed";
    /// The server is not known by the name in `Host`.
    HostForbidden 403 "RFC 9110 §7.4" "host name not allowed";
    /// There is nothing under this path.
    NotFound 404 "RFC 6455 §4.2.2" "not found";
    /// None of the subprotocols offered is spoken here.
    ProtocolUnknown 400 "RFC 6455 §4.2.2" "no known subprotocol offered";
    /// The server could not find out in time whether the client may come in.
    Undecided 503 "RFC 9110 §15.6.4" "could not be decided in time";
    /// The server takes no more connections for now.
    Overloaded 503 "RFC 9110 §15.6.4" "too many connections";
}

impl HandshakeError {
    /// The header lines that the answer must have besides the usual ones: names and values.
    pub const fn headers(self) -> &'static [(&'static str, &'static str)] {
        match self {
            // RFC 9110 §15.5.6: a 405 MUST list the methods that are allowed.
            HandshakeError::MethodNotAllowed => &[("Allow", "GET")],
            // RFC 6455 §4.2.2: a 426 MUST list the versions that the server speaks.
            // RFC 9110 §15.5.22: and it MUST name the protocol to upgrade to.
            HandshakeError::UpgradeRequired | HandshakeError::VersionUnknown => {
                &[("Upgrade", "websocket"), ("Sec-WebSocket-Version", "13")]
            }
            HandshakeError::VersionMissing => &[("Sec-WebSocket-Version", "13")],
            HandshakeError::Undecided | HandshakeError::Overloaded => &[("Retry-After", "5")],
            _ => &[],
        }
    }
}

impl fmt::Display for HandshakeError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.text())
    }
}

impl std::error::Error for HandshakeError {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_status_has_what_http_demands_beside_it() {
        for error in HandshakeError::ALL {
            let names: Vec<&str> = error.headers().iter().map(|(name, _)| *name).collect();
            match error.status() {
                400 | 403 | 404 | 408 | 431 | 505 => {}
                405 => assert_eq!(names, ["Allow"]),
                426 => assert_eq!(names, ["Upgrade", "Sec-WebSocket-Version"]),
                503 => assert_eq!(names, ["Retry-After"]),
                status => panic!("{error:?} has the status {status}"),
            }
        }
    }

    #[test]
    fn every_text_is_plain() {
        for error in HandshakeError::ALL {
            assert!(!error.text().ends_with('.') && error.text().is_ascii(), "{error:?}");
            assert!(error.section().starts_with("RFC "), "{error:?}");
        }
        assert_eq!(size_of::<HandshakeError>(), 1);
    }
}
