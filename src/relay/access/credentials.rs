//! Credentials: where in an opening handshake somebody may show who he is.
//!
//! ```text
//!   GET /chat?token=s3cret HTTP/1.1                              4  ?token=
//!   Authorization: Bearer s3cret                                 1  the header
//!   Sec-WebSocket-Protocol: switchboard.plain, bearer.czNjcmV0   2  a subprotocol entry, base64url
//!   Cookie: theme=dark; token=s3cret                             3  a cookie, from a listed Origin
//!
//!   {"type":"auth","token":"s3cret"}                             5  the first message
//! ```
//!
//! A program sends the header. A page in a browser cannot; its script can make the entry, whose
//! characters have to be those of a subprotocol's name. A cookie the browser sends by itself, for
//! whatever page asks, so it says something only together with an Origin that is on the list. The
//! query is for what can do nothing else: URLs are copied and logged on the way, though never here.
//! **The first one found decides**: if it is refused, the others are not tried, because who shows
//! two passports should not have the better one counted.
//!
//! This module does not know whether a credential is good.

use std::borrow::Cow;
use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use crate::wire::{HandshakeError, RequestHead, Response, Upgrade};

/// What is a credential here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wanted<'a> {
    /// Whatever the application may understand: any `Authorization`, any cookie.
    Anything,
    /// A token.
    Token {
        /// The name of the cookie that may carry it.
        cookie: Option<&'a str>,
    },
}

/// A credential as it was found.
#[derive(Clone, PartialEq, Eq)]
pub struct Credential<'b> {
    /// Where.
    pub place: Place,
    /// What.
    pub value: Value<'b>,
}

/// What a credential consists of.
#[derive(Clone, PartialEq, Eq)]
pub enum Value<'b> {
    /// The value of `Authorization` with a scheme that is not Bearer.
    Authorization(&'b [u8]),
    /// All cookies.
    Cookies(Cow<'b, [u8]>),
    /// A token.
    Token(Cow<'b, [u8]>),
}

/// Where a credential is found, the first place first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// `Authorization`.
    Authorization,
    /// An entry `bearer.…` of `Sec-WebSocket-Protocol`.
    Subprotocol,
    /// `Cookie`.
    Cookie,
    /// `?token=`.
    Query,
    /// `{"type":"auth"}`, after the handshake.
    Message,
}

/// Finds the one credential of an opening handshake. `origin_is_listed`: whether there is an
/// Origin, and it is on the list.
///
/// # Errors
///
/// [`CredentialError`] where two readers could find two credentials, or none.
pub fn find<'b>(
    head: &RequestHead<'_, 'b>,
    upgrade: &Upgrade<'b>,
    wanted: Wanted<'_>,
    origin_is_listed: bool,
) -> Result<Option<Credential<'b>>, CredentialError> {
    let at = |place| move |value| Credential { place, value };
    if let Some(value) = authorization(head, wanted)? {
        return Ok(Some(at(Place::Authorization)(value)));
    }
    if let Some(value) = subprotocol(upgrade)? {
        return Ok(Some(at(Place::Subprotocol)(value)));
    }
    if origin_is_listed && let Some(value) = cookie(head, wanted)? {
        return Ok(Some(at(Place::Cookie)(value)));
    }
    Ok(query(head)?.map(at(Place::Query)))
}

// RFC 9110 §11.6.2: Authorization is one value; two lines of it are two opinions.
fn authorization<'b>(
    head: &RequestHead<'_, 'b>,
    wanted: Wanted<'_>,
) -> Result<Option<Value<'b>>, CredentialError> {
    let mut lines = head.headers_named("Authorization");
    let (Some(line), rest) = (lines.next(), lines.next()) else { return Ok(None) };
    if rest.is_some() {
        return Err(CredentialError::Repeated(Place::Authorization));
    }
    let (scheme, token) = match line.iter().position(|byte| *byte == b' ') {
        Some(at) => (&line[..at], line[at..].trim_ascii()),
        None => (line, &line[line.len()..]),
    };
    // RFC 9110 §11.1: the scheme in any case of letters.
    if scheme.eq_ignore_ascii_case(b"Bearer") {
        return Ok(Some(Value::Token(Cow::Borrowed(token))));
    }
    match wanted {
        Wanted::Anything => Ok(Some(Value::Authorization(line))),
        // A proxy that asks for a password leaves it here; it is not for us.
        Wanted::Token { .. } => Ok(None),
    }
}

fn subprotocol<'b>(upgrade: &Upgrade<'b>) -> Result<Option<Value<'b>>, CredentialError> {
    let mut entries = upgrade.protocols().filter_map(|name| name.strip_prefix(BEARER));
    let Some(entry) = entries.next() else { return Ok(None) };
    if entries.next().is_some() {
        return Err(CredentialError::Repeated(Place::Subprotocol));
    }
    match URL_SAFE_NO_PAD.decode(entry) {
        Ok(token) => Ok(Some(Value::Token(Cow::Owned(token)))),
        Err(_) => Err(CredentialError::NotBase64),
    }
}

fn cookie<'b>(
    head: &RequestHead<'_, 'b>,
    wanted: Wanted<'_>,
) -> Result<Option<Value<'b>>, CredentialError> {
    match wanted {
        Wanted::Anything => Ok(all_cookies(head).map(Value::Cookies)),
        Wanted::Token { cookie: Some(name) } => {
            let mut values = cookies_named(head, name);
            match (values.next(), values.next()) {
                (_, Some(_)) => Err(CredentialError::Repeated(Place::Cookie)),
                (first, None) => Ok(first.map(|value| Value::Token(Cow::Borrowed(value)))),
            }
        }
        Wanted::Token { cookie: None } => Ok(None),
    }
}

/// The cookies in one line. RFC 9113 §8.2.3: a proxy that splits them for HTTP/2 may hand them on
/// in several.
fn all_cookies<'b>(head: &RequestHead<'_, 'b>) -> Option<Cow<'b, [u8]>> {
    let mut lines = head.headers_named("Cookie").filter(|line| !line.is_empty());
    let first = lines.next()?;
    let Some(second) = lines.next() else { return Some(Cow::Borrowed(first)) };
    let mut all = first.to_vec();
    for line in std::iter::once(second).chain(lines) {
        all.extend_from_slice(b"; ");
        all.extend_from_slice(line);
    }
    Some(Cow::Owned(all))
}

/// The values of all cookies of a name, without the quotes that may be around each (RFC 6265
/// §4.1.1).
fn cookies_named<'b>(head: &RequestHead<'_, 'b>, name: &str) -> impl Iterator<Item = &'b [u8]> {
    let pairs = head.headers_named("Cookie").flat_map(|line| line.split(|byte| *byte == b';'));
    pairs.filter_map(move |pair| {
        let at = pair.iter().position(|byte| *byte == b'=')?;
        let (key, value) = (pair[..at].trim_ascii(), pair[at + 1..].trim_ascii());
        let inner = value.strip_prefix(b"\"").and_then(|value| value.strip_suffix(b"\""));
        (key == name.as_bytes()).then_some(inner.unwrap_or(value))
    })
}

fn query<'b>(head: &RequestHead<'_, 'b>) -> Result<Option<Value<'b>>, CredentialError> {
    match head.query_value("token") {
        Ok(token) => Ok(token.map(Value::Token)),
        Err(HandshakeError::QueryRepeated) => Err(CredentialError::Repeated(Place::Query)),
        Err(error) => Err(CredentialError::Query(error)),
    }
}

/// Why nobody can say what the credential of a handshake is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CredentialError {
    /// What follows `bearer.` is not base64url.
    NotBase64,
    /// The query cannot be read.
    Query(HandshakeError),
    /// There are two at one place.
    Repeated(Place),
}

impl fmt::Display for CredentialError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let place = match self {
            CredentialError::NotBase64 => {
                return f.write_str("what follows bearer. is not base64url without padding");
            }
            CredentialError::Query(error) => return write!(f, "{error}"),
            CredentialError::Repeated(place) => place,
        };
        write!(f, "two credentials in {place}")
    }
}

impl std::error::Error for CredentialError {}

impl From<CredentialError> for Response {
    fn from(error: CredentialError) -> Response {
        match error {
            CredentialError::Query(error) => Response::from(error),
            error => Response::text(400, format!("bad credential: {error}\n")),
        }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Place::Authorization => "authorization",
            Place::Subprotocol => "subprotocol",
            Place::Cookie => "cookie",
            Place::Query => "query",
            Place::Message => "message",
        })
    }
}

/// Where, and never what.
impl fmt::Debug for Credential<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Credential({}, ***)", self.place)
    }
}

/// What the entry of `Sec-WebSocket-Protocol` begins with that is no subprotocol.
const BEARER: &str = "bearer.";

#[cfg(test)]
#[path = "credentials_tests.rs"]
mod tests;
