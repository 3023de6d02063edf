//! Where an endpoint is.
//!
//! ```text
//! http://127.0.0.1:9000/check?app=chat     TCP        host and port, target
//! http:unix:/run/app.sock:/check           Unix       path of the socket, target
//! ```
//!
//! This module does not know whether anybody listens there.

use std::fmt;
use std::path::{Path, PathBuf};

/// The URL of an endpoint.
#[derive(Clone, PartialEq, Eq)]
pub struct AskUrl {
    place: Place,
    target: String,
}

#[derive(Clone, PartialEq, Eq)]
enum Place {
    Tcp {
        /// An IPv6 address with its brackets.
        host: String,
        port: u16,
    },
    Unix(PathBuf),
}

impl AskUrl {
    /// Reads a URL, with or without another `http:` before it.
    ///
    /// # Errors
    ///
    /// What is wrong with it.
    pub fn parse(text: &str) -> Result<AskUrl, AskUrlError> {
        let text = match text.strip_prefix("http:") {
            Some(rest) if rest.starts_with("http://") || rest.starts_with("unix:") => rest,
            _ => text,
        };
        let (place, target) = if let Some(rest) = text.strip_prefix("unix:") {
            let (path, target) = match rest.rfind(":/") {
                Some(at) => (&rest[..at], &rest[at + 1..]),
                None => (rest, "/"),
            };
            if !path.starts_with('/') || path.len() > SOCKET_PATH_MAX {
                return Err(AskUrlError::SocketPath);
            }
            (Place::Unix(path.into()), target.to_owned())
        } else if let Some(rest) = text.strip_prefix("http://") {
            let (authority, target) = rest.split_at(rest.find(['/', '?']).unwrap_or(rest.len()));
            let target = if target.starts_with('/') { target.into() } else { format!("/{target}") };
            (tcp(authority)?, target)
        } else {
            return Err(AskUrlError::Scheme);
        };
        // RFC 3986 §2: visible ASCII; a fragment stays with whoever has the URL.
        if target.bytes().any(|byte| !byte.is_ascii_graphic() || byte == b'#') {
            return Err(AskUrlError::Target);
        }
        Ok(AskUrl { place, target })
    }

    /// Path and query.
    pub(super) fn target(&self) -> &str {
        &self.target
    }

    /// The value of `Host`.
    pub(super) fn host(&self) -> String {
        match &self.place {
            Place::Tcp { host, port: 80 } => host.clone(),
            Place::Tcp { host, port } => format!("{host}:{port}"),
            // RFC 9112 §3.2: there must be one, and a Unix socket has none.
            Place::Unix(_) => "localhost".to_owned(),
        }
    }

    /// The path of a Unix socket.
    pub(super) fn socket_path(&self) -> Option<&Path> {
        match &self.place {
            Place::Tcp { .. } => None,
            Place::Unix(path) => Some(path),
        }
    }

    /// Host and port.
    pub(super) fn address(&self) -> (&str, u16) {
        match &self.place {
            Place::Tcp { host, port } => {
                let bare = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
                (bare.unwrap_or(host), *port)
            }
            Place::Unix(_) => ("localhost", 80),
        }
    }
}

/// Where it is, without the query: some keep a key there.
impl fmt::Display for AskUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let path = self.target.split('?').next().unwrap_or("/");
        match &self.place {
            Place::Tcp { .. } => write!(f, "http://{}{path}", self.host()),
            Place::Unix(socket) => write!(f, "http:unix:{}:{path}", socket.display()),
        }
    }
}

impl fmt::Debug for AskUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "AskUrl({self})")
    }
}

/// What is wrong with the URL of an endpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AskUrlError {
    /// What is before the path is not a host and perhaps a port.
    Authority,
    /// It begins with something else than `http://` or `http:unix:`.
    Scheme,
    /// The path of the Unix socket is not absolute, or too long.
    SocketPath,
    /// There is white space, a fragment or something else that a URL cannot have.
    Target,
}

impl fmt::Display for AskUrlError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            AskUrlError::Authority => "not a host and perhaps a port: http://127.0.0.1:9000/check",
            AskUrlError::Scheme => {
                "an endpoint is asked by http://127.0.0.1:9000/check or \
                 http:unix:/run/app.sock:/check; there is no TLS"
            }
            AskUrlError::SocketPath => {
                "the path of the socket begins with / and has at most 107 bytes: \
                 http:unix:/run/app.sock:/check"
            }
            AskUrlError::Target => "a character that a URL cannot have",
        })
    }
}

impl std::error::Error for AskUrlError {}

fn tcp(authority: &str) -> Result<Place, AskUrlError> {
    let is_host = |host: &str| match host.strip_prefix('[') {
        Some(address) => {
            let address = address.strip_suffix(']').unwrap_or_default();
            address.parse::<std::net::Ipv6Addr>().is_ok()
        }
        None => {
            let is_good = |byte: u8| byte.is_ascii_alphanumeric() || b"-._".contains(&byte);
            !host.is_empty() && host.bytes().all(is_good)
        }
    };
    let (host, port) = match authority.rsplit_once(':') {
        Some((host, port)) if !port.ends_with(']') => {
            let is_number = port.bytes().all(|byte| byte.is_ascii_digit());
            let port = port.parse().ok().filter(|port| is_number && *port != 0);
            (host, port.ok_or(AskUrlError::Authority)?)
        }
        _ => (authority, 80),
    };
    if !is_host(host) {
        return Err(AskUrlError::Authority);
    }
    Ok(Place::Tcp { host: host.to_owned(), port })
}

/// `sun_path` with the zero at its end has 108 bytes on Linux.
const SOCKET_PATH_MAX: usize = 107;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_endpoint_is_at_an_address_or_a_socket() {
        for (text, shown, host, target) in [
            (
                "http://127.0.0.1:9000/check",
                "http://127.0.0.1:9000/check",
                "127.0.0.1:9000",
                "/check",
            ),
            ("http:http://app/", "http://app/", "app", "/"),
            ("http://app", "http://app/", "app", "/"),
            ("http://app:80?a=b", "http://app/", "app", "/?a=b"),
            ("http://[::1]:9/x?key=s3cret", "http://[::1]:9/x", "[::1]:9", "/x?key=s3cret"),
            ("http://[::1]", "http://[::1]/", "[::1]", "/"),
            ("http:unix:/a:b/c.sock:/check", "http:unix:/a:b/c.sock:/check", "localhost", "/check"),
            ("unix:/run/app.sock", "http:unix:/run/app.sock:/", "localhost", "/"),
        ] {
            let url = AskUrl::parse(text).expect(text);
            assert_eq!(
                (&url.to_string()[..], &url.host()[..], url.target()),
                (shown, host, target)
            );
        }
        assert_eq!(AskUrl::parse("http://[::1]:9").map(|url| url.address().1), Ok(9));
        let url = AskUrl::parse("http://[::1]:9").unwrap();
        assert_eq!(url.address(), ("::1", 9));
        let url = AskUrl::parse("unix:/run/app.sock:/x").unwrap();
        assert_eq!(url.socket_path(), Some(Path::new("/run/app.sock")));
    }

    #[test]
    fn anything_else_is_refused_with_its_reason() {
        let long = format!("unix:/{}", "a".repeat(107));
        for (text, error) in [
            ("https://app.example.org/check", AskUrlError::Scheme),
            ("http:https://app/check", AskUrlError::Scheme),
            ("ftp://app", AskUrlError::Scheme),
            ("127.0.0.1:9000", AskUrlError::Scheme),
            ("http:", AskUrlError::Scheme),
            ("", AskUrlError::Scheme),
            ("http://", AskUrlError::Authority),
            ("http:///check", AskUrlError::Authority),
            ("http://user:pass@app/", AskUrlError::Authority),
            ("http://app:0/", AskUrlError::Authority),
            ("http://app:/", AskUrlError::Authority),
            ("http://app:65536/", AskUrlError::Authority),
            ("http://app:+80/", AskUrlError::Authority),
            ("http://::1/", AskUrlError::Authority),
            ("http://[::1/", AskUrlError::Authority),
            ("http://a b/", AskUrlError::Authority),
            ("http://app/a b", AskUrlError::Target),
            ("http://app/\r\nX: y", AskUrlError::Target),
            ("http://app/#x", AskUrlError::Target),
            ("http://app/é", AskUrlError::Target),
            ("unix:run/app.sock", AskUrlError::SocketPath),
            ("unix:", AskUrlError::SocketPath),
            (&long, AskUrlError::SocketPath),
        ] {
            assert_eq!(AskUrl::parse(text), Err(error), "{text:?}");
        }
    }
}
