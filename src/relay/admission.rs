//! Admission: which opening handshakes may become connections of the relay, whoever comes.
//!
//! ```text
//!   GET /chat?user=bob HTTP/1.1
//!       ^^^^^      ^^^ 400 not a name
//!       the room
//!   Host: localhost:8080                       403 if not a loopback name, on loopback
//!   Origin: http://localhost:3000              403 if such pages may not come
//!   Sec-WebSocket-Protocol: switchboard.v1     400 if it names only what is not spoken here
//! ```
//!
//! This module does not know how a handshake is parsed or answered, nor who comes.

use std::borrow::Cow;

use super::access::Access;
use super::name::Name;
use crate::config::Reach;
use crate::engine::Remote;
use crate::wire::{RequestHead, Response, Upgrade};

/// What a handshake asks for that may succeed.
pub(super) struct Handshake {
    /// The room.
    pub(super) path: Box<str>,
    /// Who the client says it is.
    pub(super) claim: Option<Box<str>>,
    /// What will be spoken.
    pub(super) dialect: Dialect,
    /// What is echoed of what it offers.
    pub(super) protocol: Option<&'static str>,
}

/// What a connection speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Dialect {
    /// The dialect of the usual tutorials: at most once, live.
    Plain,
    /// switchboard.v1: acknowledged and resumable.
    V1,
}

impl Handshake {
    /// Reads a handshake that RFC 6455 finds nothing wrong with.
    pub(super) fn read(
        head: &RequestHead<'_, '_>,
        upgrade: &Upgrade<'_>,
        name_max: usize,
    ) -> Result<Handshake, Response> {
        let protocol = choose_protocol(upgrade.protocols())?;
        let claim = match head.query_value("user").map_err(Response::from)? {
            Some(user) => Some(read_user(user, name_max)?),
            None => None,
        };
        let dialect = if protocol == Some(V1) { Dialect::V1 } else { Dialect::Plain };
        Ok(Handshake { path: head.path().into(), claim, dialect, protocol })
    }
}

/// On loopback a page of some other site may have its own name point here (DNS rebinding), and
/// the browser would take it for the same origin; but it still sends its own name as `Host`. No
/// browser is at the other end of a Unix socket.
pub(super) fn check_host(
    reach: Reach,
    peer: Remote,
    head: &RequestHead<'_, '_>,
) -> Result<(), Response> {
    match (reach, peer) {
        (Reach::Open, _) | (_, Remote::Unix) => Ok(()),
        _ if head.authority().is_some_and(|host| host.is_loopback()) => Ok(()),
        _ => Err(Response::text(
            403,
            "forbidden: this server listens on this machine alone, and Host is another name\n",
        )),
    }
}

// RFC 6455 §10.2: a server that is not meant for every web page verifies the origin.
pub(super) fn check_origin(
    access: &Access,
    reach: Reach,
    origin: Option<&[u8]>,
) -> Result<(), Response> {
    if access.origins.admits(origin, reach, access.stake()) {
        return Ok(());
    }
    let text = match access.authentication.proves_names() || !access.origins.is_empty() {
        true => "forbidden: pages of this origin may not come\n",
        false => "forbidden: this server is for pages from this machine alone\n",
    };
    Err(Response::text(403, text))
}

// RFC 6455 §4.2.2, /subprotocol/: the server names one of those offered, or none.
fn choose_protocol<'b>(
    offered: impl Iterator<Item = &'b str>,
) -> Result<Option<&'static str>, Response> {
    let mut offered = offered.peekable();
    if offered.peek().is_none() {
        return Ok(None);
    }
    // RFC 6455 §4.1: in the order of the client's preference. A browser that offers anything fails
    // the connection unless one of its offers is echoed.
    let known = |name: &str| [PLAIN, V1].into_iter().find(|known| *known == name);
    let unknown = "no known subprotocol: this server speaks switchboard.plain and switchboard.v1\n";
    offered.find_map(known).map(Some).ok_or_else(|| Response::text(400, unknown))
}

fn read_user(user: Cow<'_, [u8]>, name_max: usize) -> Result<Box<str>, Response> {
    let user = match user {
        Cow::Borrowed(bytes) => std::str::from_utf8(bytes).ok().map(Cow::Borrowed),
        Cow::Owned(bytes) => String::from_utf8(bytes).ok().map(Cow::Owned),
    };
    let user = user.ok_or_else(|| Response::text(400, "bad user: name is not UTF-8\n"))?;
    match Name::new(user, name_max) {
        Ok(name) => Ok(Box::from(&*name)),
        Err(error) => Err(Response::text(400, format!("bad user: {error}\n"))),
    }
}

/// The name of the plain dialect as a subprotocol.
const PLAIN: &str = "switchboard.plain";
/// The name of the dialect that loses nothing.
const V1: &str = "switchboard.v1";
