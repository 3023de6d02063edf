//! URLs of WebSocket servers (RFC 6455 §3).
//!
//! ```text
//!   ws://localhost:8080/chat?user=bob
//!        host      port target
//! ```
//!
//! This module does not know TLS.

use std::fmt;

use crate::wire::http::Authority;

/// Where a server is: `ws://host:port/path?query`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Url {
    /// A name or an address, an IPv6 address in brackets.
    pub host: String,
    /// 80 if the URL names none.
    pub port: u16,
    /// Path and query.
    pub target: String,
}

impl Url {
    /// Reads a URL (RFC 6455 §3).
    ///
    /// # Errors
    ///
    /// [`UrlError`] for what is no `ws` URL.
    pub fn parse(text: &str) -> Result<Url, UrlError> {
        let (scheme, rest) = text.split_once("://").ok_or(UrlError::Scheme)?;
        match scheme.to_ascii_lowercase().as_str() {
            "ws" => {}
            "wss" => return Err(UrlError::Secure),
            _ => return Err(UrlError::Scheme),
        }
        let path_at = rest.find(['/', '?', '#']).unwrap_or(rest.len());
        let (authority, target) = rest.split_at(path_at);
        let authority = Authority::parse(authority.as_bytes()).ok_or(UrlError::Host)?;
        // RFC 6455 §3: fragment identifiers MUST NOT be used. A space would end the request line.
        if target.contains('#') || !target.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(UrlError::Target);
        }
        let slash = if target.starts_with('/') { "" } else { "/" };
        Ok(Url {
            host: authority.host.to_owned(),
            port: authority.port.unwrap_or(80),
            target: format!("{slash}{target}"),
        })
    }

    /// The host as a resolver wants it.
    pub fn bare_host(&self) -> &str {
        self.host.trim_start_matches('[').trim_end_matches(']')
    }

    /// The value of `Host`.
    pub fn authority(&self) -> String {
        if self.port == 80 { self.host.clone() } else { format!("{}:{}", self.host, self.port) }
    }
}

impl fmt::Display for Url {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ws://{}{}", self.authority(), self.target)
    }
}

/// Why a text is no URL of a WebSocket server that can be reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UrlError {
    /// It does not begin with `ws://`.
    Scheme,
    /// `wss://`: there is no TLS.
    Secure,
    /// No host, or none that there could be.
    Host,
    /// A fragment, a space, or something that is not ASCII.
    Target,
}

impl fmt::Display for UrlError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            UrlError::Scheme => "not a URL such as ws://127.0.0.1:8080/",
            UrlError::Secure => "there is no TLS: only ws:// is possible",
            UrlError::Host => "not a host and perhaps a port after ws://",
            UrlError::Target => {
                "path and query must be visible ASCII characters, without a fragment (#)"
            }
        })
    }
}

impl std::error::Error for UrlError {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_are_read() {
        let cases = [
            ("ws://127.0.0.1:9001", "127.0.0.1", 9001, "/"),
            ("WS://example.org", "example.org", 80, "/"),
            ("ws://[::1]:1/a/b?c=d", "[::1]", 1, "/a/b?c=d"),
            ("ws://localhost?user={id}", "localhost", 80, "/?user={id}"),
        ];
        for (text, host, port, target) in cases {
            let url = Url { host: host.into(), port, target: target.into() };
            assert_eq!(Url::parse(text), Ok(url), "{text}");
        }
        assert_eq!(Url::parse("ws://[::1]:1/").unwrap().bare_host(), "::1");
    }

    #[test]
    fn what_is_no_url_is_refused() {
        let cases = [
            ("127.0.0.1:9001", UrlError::Scheme),
            ("http://127.0.0.1", UrlError::Scheme),
            ("wss://127.0.0.1", UrlError::Secure),
            ("ws://", UrlError::Host),
            ("ws://user@host/", UrlError::Host),
            ("ws://host:99999/", UrlError::Host),
            ("ws://host/a b", UrlError::Target),
            ("ws://host/#a", UrlError::Target),
        ];
        for (text, wanted) in cases {
            assert_eq!(Url::parse(text), Err(wanted), "{text}");
        }
    }
}
