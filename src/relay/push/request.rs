//! Requests: what the head of one says beside method and path.
//!
//! ```text
//!   Authorization: Bearer 3q2-7wAsiXwMuJb9z4hXrw    the key
//!   Content-Type: application/json                  415 if a body is anything else
//!   Idempotency-Key: 7f3a                           1 to 128 visible ASCII characters
//!   Origin: https://example.org                     403: a page in a browser asks
//! ```
//!
//! This module does not know which keys there are.

use crate::engine::{Remote, Request};
use crate::wire::RequestHead;

use super::failure::{Failure, Problem};
use super::idempotency::RequestKey;
use super::keys::Key;

/// Where a request comes from, as far as that decides something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Caller {
    /// From this machine, and meant for this machine.
    Local,
    /// From elsewhere, or perhaps.
    Remote,
}

/// One request, whole.
pub(in crate::relay) struct Call<'a> {
    pub(super) head: &'a RequestHead<'a, 'a>,
    pub(super) body: &'a [u8],
    pub(super) caller: Caller,
}

impl<'a> Call<'a> {
    /// Takes from the engine's request what matters here.
    pub(in crate::relay) fn new(request: &Request<'a, 'a>) -> Call<'a> {
        let head = request.head;
        // A page whose own name points to this machine (DNS rebinding) sends no Origin when it
        // reads, for its browser thinks it asks the page's own server; but it sends that name.
        let names_this_machine = || head.authority().is_none_or(|host| host.is_loopback());
        let caller = match request.peer {
            Remote::Unix => Caller::Local,
            Remote::Tcp(peer) if peer.ip().to_canonical().is_loopback() && names_this_machine() => {
                Caller::Local
            }
            Remote::Tcp(_) => Caller::Remote,
        };
        Call { head, body: request.body, caller }
    }

    /// A browser says from which page a request comes, a backend does not: what a page in
    /// somebody's browser sends to this machine is refused, whatever it knows.
    pub(super) fn check_origin(&self) -> Result<(), Failure> {
        match self.head.header("Origin") {
            Some(_) => Err(Problem::OriginRefused.into()),
            None => Ok(()),
        }
    }

    /// The key that was presented, if one was.
    pub(super) fn bearer(&self) -> Result<Option<&'a [u8]>, Failure> {
        let mut values = self.head.headers_named("Authorization");
        let (Some(value), None) = (values.next(), values.next()) else {
            return match self.head.header("Authorization") {
                Some(_) => Err(Problem::Unauthorized.into()),
                None => Ok(None),
            };
        };
        // RFC 9110 §11.1: the name of a scheme is compared without regard to case.
        match value.split_at_checked(SCHEME.len()) {
            Some((scheme, key)) if scheme.eq_ignore_ascii_case(SCHEME) => Ok(Some(key)),
            _ => Ok(None),
        }
    }

    /// What the request is known by when it is repeated, if it says so.
    pub(super) fn request_key(
        &self,
        key: &Key,
        place: &'static str,
    ) -> Result<Option<RequestKey>, Failure> {
        let mut values = self.head.headers_named("Idempotency-Key");
        let Some(id) = values.next() else { return Ok(None) };
        let id = std::str::from_utf8(id).ok().filter(|id| {
            let is_visible = id.bytes().all(|byte| byte.is_ascii_graphic());
            (1..=IDEMPOTENCY_KEY_LEN_MAX).contains(&id.len()) && is_visible
        });
        match (id, values.next()) {
            (Some(id), None) => {
                Ok(Some(RequestKey { caller: key.name().clone(), place, id: id.into() }))
            }
            _ => Err(Problem::InvalidIdempotencyKey.into()),
        }
    }

    /// The body as text, if it is declared as JSON.
    pub(super) fn json(&self) -> Result<&'a str, Failure> {
        let declared = self.head.header("Content-Type").unwrap_or_default();
        let kind = declared.split(|byte| *byte == b';').next().unwrap_or_default();
        if !kind.trim_ascii().eq_ignore_ascii_case(b"application/json") {
            return Err(Problem::NotJson.into());
        }
        if self.body.is_empty() {
            return Err(Failure::saying(Problem::InvalidJson, "the body is empty"));
        }
        std::str::from_utf8(self.body)
            .map_err(|_| Failure::saying(Problem::InvalidJson, "the body is not UTF-8"))
    }
}

const SCHEME: &[u8] = b"Bearer ";

/// Longer than any identifier that is made to be unique.
const IDEMPOTENCY_KEY_LEN_MAX: usize = 128;
