//! `Host` and `Origin`: who is meant, and on whose behalf the browser asks.
//!
//! ```text
//! Host: 127.0.0.1:8080                  host [ ":" port ]
//! Origin: http://localhost:3000         scheme "://" host [ ":" port ]
//! ```
//!
//! Both guard a server that listens on loopback only. A web page from anywhere can make a browser
//! connect to `127.0.0.1`; its `Origin` tells on it. A page may also have its own name resolve to
//! `127.0.0.1` (DNS rebinding); then `Origin` and `Host` agree, but on a name that is not ours. So
//! the comparison is made on parsed hosts, never on beginnings or ends of a string:
//! `http://localhost.evil.example` begins like a loopback origin and is none.
//!
//! This module does not know what a server decides from this; no name is looked up.

use std::net::{Ipv4Addr, Ipv6Addr};

/// The host and port of a `Host` header field, of an absolute target, or of an origin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Authority<'b> {
    /// A name, an IPv4 address, or an IPv6 address in brackets, as sent.
    pub host: &'b str,
    /// The port, if one was named.
    pub port: Option<u16>,
}

impl<'b> Authority<'b> {
    /// Reads `host [ ":" port ]` (RFC 3986 §3.2).
    ///
    /// `None` for an empty host, user information (`user@host`), a port that is no number up to
    /// 65,535, brackets around anything but an IPv6 address, and octets no host may contain.
    pub fn parse(bytes: &'b [u8]) -> Option<Authority<'b>> {
        let text = str::from_utf8(bytes).ok()?;
        // The colons of an IPv6 address are inside the brackets.
        let port_at = match text.rfind(']') {
            Some(bracket) => bracket + 1,
            None => text.find(':').unwrap_or(text.len()),
        };
        let (host, port) = text.split_at(port_at);
        let port = match port.strip_prefix(':') {
            // RFC 3986 §3.2.3: the port may be empty.
            Some("") => None,
            Some(digits) if digits.bytes().all(|byte| byte.is_ascii_digit()) => {
                Some(digits.parse().ok()?)
            }
            None if port.is_empty() => None,
            _ => return None,
        };
        let valid = match host.strip_prefix('[') {
            Some(address) => address.strip_suffix(']')?.parse::<Ipv6Addr>().is_ok(),
            None => !host.is_empty() && host.bytes().all(is_reg_name),
        };
        valid.then_some(Authority { host, port })
    }

    /// Whether the host is `localhost`, within 127.0.0.0/8, or `[::1]`.
    pub fn is_loopback(&self) -> bool {
        if let Some(address) = self.host.strip_prefix('[') {
            let address = address.trim_end_matches(']').parse::<Ipv6Addr>();
            return address.is_ok_and(|address| address.is_loopback());
        }
        self.host.eq_ignore_ascii_case("localhost")
            || self.host.parse::<Ipv4Addr>().is_ok_and(|address| address.is_loopback())
    }
}

/// Whether the value of a `Host` header field names this machine only, at any port.
///
/// True for `localhost`, addresses within 127.0.0.0/8, and `[::1]`.
pub fn is_loopback_host(host: &[u8]) -> bool {
    Authority::parse(host).is_some_and(|authority| authority.is_loopback())
}

/// Whether the value of an `Origin` header field is a page served by this machine, at any port.
///
/// True for `http://` or `https://` and a host as in [`is_loopback_host`], and nothing after it.
/// `null` and `file://` are other matters and false here.
pub fn origin_is_loopback(origin: &[u8]) -> bool {
    ["http://", "https://"].iter().any(|scheme| {
        origin.split_at_checked(scheme.len()).is_some_and(|(start, host)| {
            start.eq_ignore_ascii_case(scheme.as_bytes()) && is_loopback_host(host)
        })
    })
}

/// RFC 3986 §3.2.2: `reg-name`, of which an IPv4 address is a special case.
fn is_reg_name(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"-._~%!$&'()*+,;=".contains(&byte)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_authority_is_a_host_and_perhaps_a_port() {
        let table: [(&[u8], &str, Option<u16>); 7] = [
            (b"server.example.com", "server.example.com", None),
            (b"server.example.com:443", "server.example.com", Some(443)),
            (b"127.0.0.1:8080", "127.0.0.1", Some(8080)),
            (b"[::1]", "[::1]", None),
            (b"[2001:db8::7]:65535", "[2001:db8::7]", Some(65_535)),
            (b"localhost:", "localhost", None),
            (b"my_host", "my_host", None),
        ];
        for (bytes, host, port) in table {
            assert_eq!(Authority::parse(bytes), Some(Authority { host, port }));
        }
    }

    #[test]
    fn what_is_no_authority_is_refused() {
        let table: [&[u8]; 17] = [
            b"",
            b":80",
            b"a:65536",
            b"a:-1",
            b"a:+1",
            b"a:8o",
            b"a:1:2",
            b"::1",
            b"[::1",
            b"[::1]x",
            b"[]",
            b"[localhost]",
            b"x[::1]",
            b"user@host",
            b"a b",
            b"a/b",
            b"caf\xC3\xA9.example",
        ];
        for bytes in table {
            assert_eq!(Authority::parse(bytes), None, "{}", bytes.escape_ascii());
        }
    }

    #[test]
    fn loopback_hosts_are_recognised_whole() {
        let loopback: [&[u8]; 9] = [
            b"localhost",
            b"LOCALHOST",
            b"localhost:8080",
            b"127.0.0.1",
            b"127.0.0.1:1",
            b"127.255.255.254",
            b"[::1]",
            b"[::1]:8080",
            b"[0:0:0:0:0:0:0:1]",
        ];
        for host in loopback {
            assert!(is_loopback_host(host), "{}", host.escape_ascii());
        }
        let others: [&[u8]; 14] = [
            b"",
            b"localhost.evil.com",
            b"localhost.",
            b"evil-localhost",
            b"127.0.0.1.evil.com",
            b"128.0.0.1",
            b"127.1",
            b"0177.0.0.1",
            b"2130706433",
            b"0.0.0.0",
            b"::1",
            b"[::2]",
            b"[::ffff:127.0.0.1]",
            b"localhost@evil.com",
        ];
        for host in others {
            assert!(!is_loopback_host(host), "{}", host.escape_ascii());
        }
    }

    #[test]
    fn loopback_origins_are_recognised_whole() {
        let loopback: [&[u8]; 6] = [
            b"http://localhost",
            b"http://LOCALHOST",
            b"http://localhost:3000",
            b"https://127.0.0.1:8443",
            b"http://[::1]:8080",
            b"HTTP://localhost",
        ];
        for origin in loopback {
            assert!(origin_is_loopback(origin), "{}", origin.escape_ascii());
        }
        let others: [&[u8]; 19] = [
            b"",
            b"null",
            b"file://",
            b"http://",
            b"http:/",
            b"localhost",
            b"//localhost",
            b"ws://localhost",
            b"ftp://localhost",
            b"http:localhost",
            b"http://localhost.evil.com",
            b"http://127.0.0.1.evil.com",
            b"http://localhost@evil.com",
            b"http://localhost:80@evil.com",
            b"http://evil.com#localhost",
            b"http://localhost/",
            b"http://localhost evil.com",
            b"http://localhost, http://evil.com",
            b"http://\xFFlocalhost",
        ];
        for origin in others {
            assert!(!origin_is_loopback(origin), "{}", origin.escape_ascii());
        }
    }
}
