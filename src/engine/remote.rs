//! Where a connection comes from: the other end, and the listener that let it in.
//!
//! ```text
//!   browser --- Tcp(192.0.2.1:50000) ---> [ Public ]--+
//!   proxy ----- Unix ------------------->  [ Public ]--+--> one engine, one Handler
//!   backend --- Tcp(127.0.0.1:50001) ---> [ Admin  ]--+
//! ```
//!
//! What this file does not know: sockets, and whether a TCP address is the client's own or that of
//! a proxy before it.

use std::fmt;
use std::net::{IpAddr, SocketAddr};

/// The other end of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Remote {
    /// A TCP connection, from this address and port.
    Tcp(SocketAddr),
    /// A Unix socket, whose other end has no name: who may connect, the file's mode decides.
    Unix,
}

impl Remote {
    /// The address without its port; `None` for a Unix socket.
    pub fn ip(self) -> Option<IpAddr> {
        match self {
            Remote::Tcp(addr) => Some(addr.ip()),
            Remote::Unix => None,
        }
    }
}

impl From<SocketAddr> for Remote {
    fn from(addr: SocketAddr) -> Remote {
        Remote::Tcp(addr)
    }
}

/// The address and port, or `unix`: as in log lines, after `peer=`.
impl fmt::Display for Remote {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Remote::Tcp(addr) => addr.fmt(f),
            Remote::Unix => f.write_str("unix"),
        }
    }
}

/// By which kind of listener a connection came in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Door {
    /// The one for everybody: WebSocket, and pages for browsers. One request per connection.
    #[default]
    Public,
    /// The one for the operator's own programs: HTTP requests with bodies, one after another.
    Admin,
}
