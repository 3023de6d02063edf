//! Admission: which opening handshakes become connections of the relay, and as whom.
//!
//! ```text
//!   GET /chat?user=bob HTTP/1.1
//!       ^^^^^      ^^^ 400 not a name, 409 the number of a guest who is connected
//!       the room
//!   Host: localhost:8080                       403 if not a loopback name, on loopback
//!   Origin: http://localhost:3000              403 if not from this machine, on loopback
//!   Sec-WebSocket-Protocol: switchboard.plain  400 if it names only what is not spoken here
//! ```
//!
//! This module does not know how a handshake is parsed or answered, only whether it may succeed.

use std::borrow::Cow;

use super::identity::Identities;
use super::name::Name;
use crate::config::Reach;
use crate::hub::ConnId;
use crate::wire::http::origin_is_loopback;
use crate::wire::{RequestHead, Response, Upgrade};

/// A connection that is about to open.
pub(super) struct Arrival {
    pub(super) id: ConnId,
    pub(super) path: Box<str>,
    pub(super) user: Option<Box<str>>,
}

/// An opening handshake that may succeed.
pub(super) struct Admitted {
    pub(super) arrival: Arrival,
    pub(super) protocol: Option<&'static str>,
}

impl Admitted {
    /// Whether the name is nobody's number. The number of a guest is not to be taken: its owner
    /// did not choose it, and could not know.
    pub(super) fn check_free(self, identities: &Identities) -> Result<Admitted, Response> {
        match &self.arrival.user {
            Some(user) if identities.check_free(user).is_err() => Err(Response::text(
                409,
                "taken: this user id is the number of a guest who is connected\n",
            )),
            _ => Ok(self),
        }
    }
}

/// On loopback a page of some other site may have its own name point here (DNS rebinding), and
/// the browser would take it for the same origin; but it still sends its own name as `Host`.
pub(super) fn check_host(reach: Reach, head: &RequestHead<'_, '_>) -> Result<(), Response> {
    match reach {
        Reach::Open => Ok(()),
        Reach::Loopback if head.authority().is_some_and(|host| host.is_loopback()) => Ok(()),
        Reach::Loopback => Err(Response::text(
            403,
            "forbidden: this server listens on this machine alone, and Host is another name\n",
        )),
    }
}

/// Judges an opening handshake that RFC 6455 finds nothing wrong with.
pub(super) fn admit(
    id: ConnId,
    head: &RequestHead<'_, '_>,
    upgrade: &Upgrade<'_>,
    reach: Reach,
    name_max: usize,
) -> Result<Admitted, Response> {
    check_origin(reach, upgrade.origin)?;
    let protocol = choose_protocol(upgrade.protocols())?;
    let user = match head.query_value("user").map_err(Response::from)? {
        Some(user) => Some(read_user(user, name_max)?),
        None => None,
    };
    Ok(Admitted { arrival: Arrival { id, path: head.path().into(), user }, protocol })
}

// RFC 6455 §10.2: a server that is not meant for every web page verifies the origin. Without
// credentials every page in the user's browser could speak here, so only pages from this
// machine may: from a server on it (any port), from a file, or from a sandboxed frame. Programs
// that are no browsers send no Origin.
fn check_origin(reach: Reach, origin: Option<&[u8]>) -> Result<(), Response> {
    let may = match (reach, origin) {
        (Reach::Open, _) | (Reach::Loopback, None) => true,
        (Reach::Loopback, Some(b"null" | b"file://")) => true,
        (Reach::Loopback, Some(origin)) => origin_is_loopback(origin),
    };
    if may {
        return Ok(());
    }
    Err(Response::text(403, "forbidden: this server is for pages from this machine alone\n"))
}

// RFC 6455 §4.2.2, /subprotocol/: the server names one of those offered, or none.
fn choose_protocol<'b>(
    mut offered: impl Iterator<Item = &'b str>,
) -> Result<Option<&'static str>, Response> {
    // A browser that offers anything fails the connection unless one of its offers is echoed.
    match offered.next() {
        None => Ok(None),
        Some(first) if first == PLAIN || offered.any(|name| name == PLAIN) => Ok(Some(PLAIN)),
        Some(_) => {
            Err(Response::text(400, "no known subprotocol: this server speaks switchboard.plain\n"))
        }
    }
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
