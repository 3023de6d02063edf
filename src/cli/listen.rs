//! Addresses to listen on, as people write them.
//!
//! ```text
//! 127.0.0.1:9000    this machine, IPv4
//! [::1]:9000        this machine, IPv6
//! localhost:9000    127.0.0.1:9000
//! 9000              127.0.0.1:9000
//! 127.0.0.1:0       a free port; the start-up line names it
//! 0.0.0.0:9000      every interface, where that is allowed
//! unix:/run/s.sock  a socket in the file system
//! ```
//!
//! No name is looked up: what a name means depends on the machine, and a server that listens
//! somewhere else than its operator thinks is reachable by somebody else than he thinks.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, SocketAddrV4};
use std::path::Path;

use crate::net::ListenAddress;

/// Where both servers listen unless told otherwise.
pub(super) const DEFAULT: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 8080);

/// Why a text is not an address to listen on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ListenError {
    /// A port alone, after a colon or an asterisk: some read it as this machine, some as all.
    Ambiguous,
    /// An IPv4 address in IPv6's clothes, `::ffff:127.0.0.1`: an IPv6 listener takes IPv6 only.
    Mapped(SocketAddrV4),
    /// An address alone.
    NoPort,
    /// A number that is no port.
    PortTooLarge,
    /// A socket's path that depends on where the server is started.
    RelativePath,
    /// Anything else.
    Unreadable,
}

impl fmt::Display for ListenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = match self {
            ListenError::Mapped(plain) => {
                return write!(f, "an IPv4 address written as IPv6: write {plain}");
            }
            ListenError::Ambiguous => {
                "on which address? 127.0.0.1 and [::1] are this machine, 0.0.0.0 and [::] are \
                 every interface"
            }
            ListenError::NoPort => "the port is missing: write 127.0.0.1:8080 or [::1]:8080",
            ListenError::PortTooLarge => "a port is a number from 0 (any free one) to 65535",
            ListenError::RelativePath => "the path of a socket begins with a slash: unix:/PATH",
            ListenError::Unreadable => {
                "not an address and a port such as 127.0.0.1:8080, [::1]:8080, localhost:8080 or \
                 8080 (other names are not looked up), nor unix:/PATH"
            }
        };
        f.write_str(text)
    }
}

/// Reads one address.
pub(super) fn parse(text: &str) -> Result<ListenAddress, ListenError> {
    match text.strip_prefix("unix:") {
        Some(path) if Path::new(path).is_absolute() => Ok(ListenAddress::Unix(path.into())),
        Some(_) => Err(ListenError::RelativePath),
        None => parse_tcp(text).map(ListenAddress::Tcp),
    }
}

fn parse_tcp(text: &str) -> Result<SocketAddr, ListenError> {
    if let Ok(address) = text.parse::<SocketAddr>() {
        return match address.ip().to_canonical() {
            IpAddr::V4(ip) if address.is_ipv6() => {
                Err(ListenError::Mapped(SocketAddrV4::new(ip, address.port())))
            }
            _ => Ok(address),
        };
    }
    if text.parse::<IpAddr>().is_ok() || text.eq_ignore_ascii_case("localhost") {
        return Err(ListenError::NoPort);
    }
    let (host, port) = text.rsplit_once(':').unwrap_or(("localhost", text));
    if port.is_empty() || !port.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(ListenError::Unreadable);
    }
    let port = port.parse::<u16>().map_err(|_| ListenError::PortTooLarge)?;
    match host {
        "" | "*" => Err(ListenError::Ambiguous),
        _ if host.eq_ignore_ascii_case("localhost") => {
            Ok(SocketAddr::new(Ipv4Addr::LOCALHOST.into(), port))
        }
        _ => Err(ListenError::Unreadable),
    }
}

/// Whether only this machine reaches the address.
pub(super) fn is_local(address: &ListenAddress) -> bool {
    match address {
        ListenAddress::Tcp(address) => address.ip().is_loopback(),
        ListenAddress::Unix(_) => true,
    }
}

/// The address to open on this machine for one that is listened on: `0.0.0.0` listens, but
/// nobody can go there.
pub(super) fn reachable(address: SocketAddr) -> SocketAddr {
    let ip = match address.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => std::net::Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    };
    SocketAddr::new(ip, address.port())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_read_in_every_form() {
        let cases = [
            ("127.0.0.1:9000", "127.0.0.1:9000"),
            ("9000", "127.0.0.1:9000"),
            ("0", "127.0.0.1:0"),
            ("localhost:9000", "127.0.0.1:9000"),
            ("LOCALHOST:0", "127.0.0.1:0"),
            ("[::1]:9000", "[::1]:9000"),
            ("0.0.0.0:80", "0.0.0.0:80"),
            ("[::]:80", "[::]:80"),
            ("unix:/run/a b.sock", "unix:/run/a b.sock"),
        ];
        for (text, wanted) in cases {
            assert_eq!(parse(text).map(|address| address.to_string()), Ok(wanted.to_owned()));
        }
    }

    #[test]
    fn what_is_no_address_is_refused_with_its_reason() {
        let cases = [
            (":8080", ListenError::Ambiguous),
            ("*:8080", ListenError::Ambiguous),
            ("[::ffff:10.0.0.1]:80", ListenError::Mapped("10.0.0.1:80".parse().unwrap())),
            ("127.0.0.1", ListenError::NoPort),
            ("::1", ListenError::NoPort),
            ("localhost", ListenError::NoPort),
            ("65536", ListenError::PortTooLarge),
            ("localhost:99999999999999999999", ListenError::PortTooLarge),
            ("", ListenError::Unreadable),
            ("example.org:80", ListenError::Unreadable),
            ("127.0.0.1:", ListenError::Unreadable),
            ("127.0.0.1:+80", ListenError::Unreadable),
            ("127.0.0.1:http", ListenError::Unreadable),
            ("127.1:80", ListenError::Unreadable),
            ("::1:zz", ListenError::Unreadable),
            ("ws://127.0.0.1:8080", ListenError::Unreadable),
            ("unix:a.sock", ListenError::RelativePath),
            ("unix:", ListenError::RelativePath),
            (" 8080", ListenError::Unreadable),
            ("8080 ", ListenError::Unreadable),
        ];
        for (text, wanted) in cases {
            assert_eq!(parse(text), Err(wanted), "{text:?}");
        }
    }

    #[test]
    fn loopback_is_told_from_the_rest() {
        for text in ["127.0.0.1:1", "127.8.9.10:1", "[::1]:1", "unix:/a"] {
            assert!(is_local(&parse(text).unwrap()), "{text}");
        }
        for text in ["0.0.0.0:1", "[::]:1", "192.168.0.1:1"] {
            assert!(!is_local(&parse(text).unwrap()), "{text}");
        }
        assert_eq!(reachable(parse_tcp("0.0.0.0:7").unwrap()), parse_tcp("127.0.0.1:7").unwrap());
        assert_eq!(reachable(parse_tcp("[::]:7").unwrap()), parse_tcp("[::1]:7").unwrap());
        assert_eq!(reachable(parse_tcp("10.0.0.1:7").unwrap()), parse_tcp("10.0.0.1:7").unwrap());
    }
}
