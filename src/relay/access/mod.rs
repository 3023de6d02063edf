//! Access: who may come in, and who that is then.
//!
//! ```text
//!   the opening handshake                          the application's configuration
//!     Host, Origin ------------- origins <-------- --origin https://app.example.org
//!     Authorization: Bearer ...
//!     bearer.<base64url>        credentials        --auth tokens:FILE      tokens
//!     Cookie: ...               finds one  ------> --auth jwt:hs256:FILE   jwt
//!     ?token=...                   |               --auth http://...       endpoint
//!     {"type":"auth",...}  --------'                    |
//!                                                       v
//!                                    Identity: user, roles, groups, until when
//! ```
//!
//! All of it is replaced at once on HUP ([`Access`]), and none of it opens a file: the parsers take
//! text. A token is seen by two functions, the one that finds it and the one that checks it; what
//! is kept of it is a [`Fingerprint`](secret::Fingerprint), and no error, log line or debug output
//! has room for more.
//!
//! This module does not know connections: what becomes of them is the relay's.

mod asymmetric;
pub mod credentials;
pub mod endpoint;
mod identity;
mod json;
pub mod jwt;
pub mod origins;
pub mod policy;
pub mod secret;
pub mod tokens;

use std::fmt;
use std::sync::Arc;

pub use self::credentials::{Credential, Place};
pub use self::endpoint::Ask;
pub use self::identity::{Identity, IdentityError};
pub use self::jwt::Verifier;
pub use self::origins::{Origins, Stake};
pub use self::policy::Policy;
pub use self::tokens::Tokens;

use self::credentials::Wanted;
use crate::timer::UnixMillis;

/// What decides who may come in and what they may do: what HUP replaces.
#[derive(Debug)]
pub struct Access {
    /// How somebody shows who he is.
    pub authentication: Authentication,
    /// The cookie that carries the token, if one does (`--auth-cookie`). With
    /// [`Authentication::Endpoint`] any cookie is a credential, and this is not looked at.
    pub cookie: Option<Box<str>>,
    /// The web pages that may come.
    pub origins: Origins,
    /// What each role may do.
    pub policy: Policy,
}

impl Access {
    /// Everybody may come in as whom he says he is, and do what everybody may do.
    pub fn open() -> Access {
        Access {
            authentication: Authentication::Open,
            cookie: None,
            origins: Origins::unlisted(),
            policy: Policy::open(),
        }
    }

    /// What a page could abuse.
    pub fn stake(&self) -> Stake {
        match (&self.authentication, &self.cookie) {
            (Authentication::Open, _) => Stake::Nothing,
            (Authentication::Endpoint(_), _) | (_, Some(_)) => Stake::Cookie,
            (_, None) => Stake::Token,
        }
    }

    /// What is a credential in an opening handshake; `None` if nobody is asked for one.
    pub fn wanted(&self) -> Option<Wanted<'_>> {
        match &self.authentication {
            Authentication::Open => None,
            Authentication::Endpoint(_) => Some(Wanted::Anything),
            _ => Some(Wanted::Token { cookie: self.cookie.as_deref() }),
        }
    }
}

impl Default for Access {
    fn default() -> Access {
        Access::open()
    }
}

/// How somebody shows who he is (`--auth`).
#[derive(Debug)]
pub enum Authentication {
    /// Not at all: a name is a claim.
    Open,
    /// By a token of a file.
    Tokens(Tokens),
    /// By a signed token.
    Jwt(Verifier),
    /// By what an endpoint of the application says. Asking takes its time: no token is good at
    /// once.
    Endpoint(Box<dyn Ask>),
}

impl Authentication {
    /// Whether a name is more than a claim.
    pub fn proves_names(&self) -> bool {
        !matches!(self, Authentication::Open)
    }

    /// Whose a token is.
    ///
    /// # Errors
    ///
    /// Why it is nobody's, or not now.
    pub fn check(&self, token: &[u8], wall: UnixMillis) -> Result<Arc<Identity>, Denied> {
        match self {
            Authentication::Open | Authentication::Endpoint(_) => Err(Denied::Unknown),
            Authentication::Tokens(tokens) => tokens.check(token, wall),
            Authentication::Jwt(verifier) => verifier.check(token, wall).map(Arc::new),
        }
    }
}

/// Why a token is refused: for the log of the server. Whoever brought the token is told whether
/// it has expired and nothing else.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Denied {
    /// It is signed with another algorithm than the configured one, or with none.
    Algorithm,
    /// It is for others: its `aud` is not the configured one, or there is one and none is
    /// configured.
    Audience,
    /// A claim is missing that must be there, or is not what it must be.
    Claims(IdentityError),
    /// It was good once.
    Expired,
    /// It is from others: its `iss` is not the configured one.
    Issuer,
    /// It is no token at all.
    Malformed,
    /// It is good later.
    NotYet,
    /// Nobody with the right key has signed it.
    Signature,
    /// It is not in the file.
    Unknown,
}

impl fmt::Display for Denied {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Denied::Algorithm => "signed with another algorithm than the configured one",
            Denied::Audience => "aud is not the configured audience",
            Denied::Claims(error) => return write!(f, "{error}"),
            Denied::Expired => "expired",
            Denied::Issuer => "iss is not the configured issuer",
            Denied::Malformed => "not a token",
            Denied::NotYet => "not valid yet",
            Denied::Signature => "wrong signature",
            Denied::Unknown => "unknown token",
        })
    }
}

impl std::error::Error for Denied {}
