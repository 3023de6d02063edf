//! Where a connection comes from, as small as it goes: ten thousand of these lie in the slab.
//!
//! ```text
//!   V4   c0 00 02 01 | 1f 90                              192.0.2.1:8080
//!   V6   fe 80 ...01 | 1f 90 | 00 00 00 02                [fe80::1%2]:8080
//!        address       port    scope: the interface that a link-local address belongs to
//!   Unix                                                  a Unix socket
//! ```
//!
//! What this file does not know: sockets, and whether the address is the client's own or a proxy's.

use std::fmt;
use std::net::{SocketAddr, SocketAddrV6};

use super::remote::Remote;

/// A [`Remote`] in bytes, which lie without gaps between other small fields.
///
/// The flow label of IPv6 is left out: it says how packets travel, not who sends them, and `accept`
/// reports none.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Peer {
    V4 { ip: [u8; 4], port: [u8; 2] },
    V6 { ip: [u8; 16], port: [u8; 2], scope: [u8; 4] },
    Unix,
}

impl Peer {
    /// The same as everybody else has it.
    pub fn remote(self) -> Remote {
        match self {
            Peer::V4 { ip, port } => SocketAddr::from((ip, u16::from_be_bytes(port))).into(),
            Peer::V6 { ip, port, scope } => {
                let (port, scope) = (u16::from_be_bytes(port), u32::from_be_bytes(scope));
                Remote::Tcp(SocketAddrV6::new(ip.into(), port, 0, scope).into())
            }
            Peer::Unix => Remote::Unix,
        }
    }
}

impl From<Remote> for Peer {
    fn from(remote: Remote) -> Peer {
        let Remote::Tcp(addr) = remote else { return Peer::Unix };
        let port = addr.port().to_be_bytes();
        match addr {
            SocketAddr::V4(addr) => Peer::V4 { ip: addr.ip().octets(), port },
            SocketAddr::V6(addr) => {
                let scope = addr.scope_id().to_be_bytes();
                Peer::V6 { ip: addr.ip().octets(), port, scope }
            }
        }
    }
}

impl fmt::Display for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.remote().fmt(f)
    }
}

impl fmt::Debug for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_of_address_comes_back_as_it_was() {
        for text in [
            "0.0.0.0:0",
            "192.0.2.1:8080",
            "255.255.255.255:65535",
            "[::]:0",
            "[::1]:1",
            "[2001:db8::1:2]:8080",
            // A client of IPv4 at a listener for both: it stays what the listener says.
            "[::ffff:192.0.2.1]:443",
            "[fe80::1%2]:8080",
            "[fe80::1%4294967295]:65535",
        ] {
            let remote = Remote::Tcp(text.parse().unwrap());
            assert_eq!(Peer::from(remote).remote(), remote, "{text}");
            assert_eq!(Peer::from(remote).to_string(), text);
        }
        assert_eq!(Peer::from(Remote::Unix).remote(), Remote::Unix);
        assert_eq!(Peer::from(Remote::Unix).to_string(), "unix");
    }

    #[test]
    fn a_peer_is_23_bytes_without_alignment() {
        assert_eq!((size_of::<Peer>(), align_of::<Peer>()), (23, 1));
    }
}
