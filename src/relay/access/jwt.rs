//! JSON Web Tokens (RFC 7519), signed (RFC 7515).
//!
//! ```text
//!   eyJhbGciOiJIUzI1NiJ9 . eyJzdWIiOiJhbGljZSIsImV4cCI6MTg5MzQ1NjAwMH0 . 1_5CeRiW...
//!   {"alg":"HS256"}        {"sub":"alice","exp":1893456000}              HMAC-SHA-256 of what
//!   a claim of the token,  believed if the signature is right            is before the second dot
//!   never believed
//! ```
//!
//! The algorithm is fixed by the configuration. A token that names another one is refused before
//! anything else happens: with `none` it would be signed by nobody, and with HS256 where a public
//! key is configured it would be signed by everybody, since that key is no secret. Keys and
//! addresses of keys in the header are not looked at.
//!
//! | claim | meaning |
//! |---|---|
//! | `sub` | the user id, must be there |
//! | `exp`, `nbf` | until and from when it is good, each 60 s forgiven |
//! | `aud` | must name the configured audience; without one there is none (RFC 7519 §4.1.3) |
//! | `iss` | must be the configured issuer, if there is one |
//! | `roles`, `groups` | lists of names, or one name |
//!
//! This module does not know where a token or a key comes from.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

use super::Denied;
use super::asymmetric::{PublicKey, PublicKeyError};
use super::identity::{Identity, Keys, read_time, take};
use super::json::{Json, Object};
use crate::timer::UnixMillis;

/// What checks tokens: a key, and what must be said under it.
#[derive(Clone)]
pub struct Verifier {
    key: Key,
    demands: Demands,
    name_max: usize,
}

impl Verifier {
    /// A verifier for one algorithm. `key` is the secret of HS256, or a public key in PEM; user
    /// ids, roles and groups have `name_max` bytes at most.
    ///
    /// The line end at the end of a secret is not a part of it: editors write it, and generators
    /// of secrets that print.
    ///
    /// # Errors
    ///
    /// What is wrong with the key.
    pub fn new(
        algorithm: Algorithm,
        key: &[u8],
        demands: Demands,
        name_max: usize,
    ) -> Result<Verifier, KeyError> {
        let key = match algorithm {
            Algorithm::Hs256 => Key::Secret(hmac(secret(key)?)),
            other => Key::Public(PublicKey::parse(other, key).map_err(KeyError::Public)?),
        };
        Ok(Verifier { key, demands, name_max })
    }

    /// Whose a token is.
    ///
    /// # Errors
    ///
    /// Why it is refused. No claim is looked at before the signature is found right.
    pub fn check(&self, token: &[u8], wall: UnixMillis) -> Result<Identity, Denied> {
        let parts = Parts::split(token).ok_or(Denied::Malformed)?;
        let header = object(parts.header).ok_or(Denied::Malformed)?;
        self.check_header(header)?;
        let signature = decode(parts.signature).ok_or(Denied::Malformed)?;
        if !self.key.verify(parts.signed, &signature) {
            return Err(Denied::Signature);
        }
        self.read_claims(object(parts.claims).ok_or(Denied::Malformed)?, wall)
    }

    fn check_header(&self, mut header: Object) -> Result<(), Denied> {
        let alg = take(&mut header, "alg").map_err(|_| Denied::Malformed)?;
        if alg != Some(Json::String(self.key.algorithm().name().to_owned())) {
            return Err(Denied::Algorithm);
        }
        // RFC 7515 §4.1.11: a header parameter that is critical and not understood makes the
        // token invalid; we understand none.
        match header.take("crit") {
            Ok(None) => Ok(()),
            _ => Err(Denied::Malformed),
        }
    }

    fn read_claims(&self, mut claims: Object, wall: UnixMillis) -> Result<Identity, Denied> {
        let audience = take(&mut claims, "aud").map_err(Denied::Claims)?;
        self.demands.check_audience(audience)?;
        let issuer = take(&mut claims, "iss").map_err(Denied::Claims)?;
        self.demands.check_issuer(issuer)?;
        let not_before = read_time(&mut claims, "nbf").map_err(Denied::Claims)?;
        let mut identity =
            Identity::read(&mut claims, &KEYS, self.name_max).map_err(Denied::Claims)?;
        if not_before.is_some_and(|from| from.0 > wall.0.saturating_add(LEEWAY_MS)) {
            return Err(Denied::NotYet);
        }
        if let Some(until) = &mut identity.expires_at {
            let late = UnixMillis(until.0.saturating_add(LEEWAY_MS));
            if late <= wall {
                return Err(Denied::Expired);
            }
            // Who is let in by the leeway alone has to have some of it.
            if *until <= wall {
                *until = late;
            }
        }
        Ok(identity)
    }
}

/// The algorithm and the demands; no key.
impl fmt::Debug for Verifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Verifier({}, {:?})", self.key.algorithm().name(), self.demands)
    }
}

/// What a token must say to be meant for this server.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Demands {
    /// What must be in `aud` (`--auth-audience`).
    pub audience: Option<Box<str>>,
    /// What `iss` must be (`--auth-issuer`).
    pub issuer: Option<Box<str>>,
}

impl Demands {
    // RFC 7519 §4.1.3: who is not named by an `aud` that is there MUST refuse the token.
    fn check_audience(&self, audience: Option<Json>) -> Result<(), Denied> {
        let is_good = match (audience.map(Json::into_strings), &self.audience) {
            (None, None) => true,
            (Some(Some(named)), Some(own)) => named.iter().any(|name| **name == **own),
            _ => false,
        };
        if is_good { Ok(()) } else { Err(Denied::Audience) }
    }

    fn check_issuer(&self, issuer: Option<Json>) -> Result<(), Denied> {
        match &self.issuer {
            Some(own) if issuer != Some(Json::String(own.to_string())) => Err(Denied::Issuer),
            _ => Ok(()),
        }
    }
}

/// How tokens are signed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Algorithm {
    /// Ed25519 (RFC 8037).
    EdDsa,
    /// ECDSA on the curve P-256 with SHA-256.
    Es256,
    /// HMAC with SHA-256: who can check can sign.
    Hs256,
    /// RSASSA-PKCS1-v1_5 with SHA-256.
    Rs256,
}

impl Algorithm {
    /// The algorithm that `--auth jwt:NAME:FILE` names in lower case.
    pub fn from_flag(name: &str) -> Option<Algorithm> {
        match name {
            "eddsa" => Some(Algorithm::EdDsa),
            "es256" => Some(Algorithm::Es256),
            "hs256" => Some(Algorithm::Hs256),
            "rs256" => Some(Algorithm::Rs256),
            _ => None,
        }
    }

    /// What a token has as `alg` (RFC 7518 §3.1).
    pub const fn name(self) -> &'static str {
        match self {
            Algorithm::EdDsa => "EdDSA",
            Algorithm::Es256 => "ES256",
            Algorithm::Hs256 => "HS256",
            Algorithm::Rs256 => "RS256",
        }
    }
}

/// Signs claims, the text of a JSON object, with HS256.
///
/// # Errors
///
/// What is wrong with the secret.
pub fn sign_hs256(key: &[u8], claims: &str) -> Result<String, KeyError> {
    let header = URL_SAFE_NO_PAD.encode(r#"{"alg":"HS256","typ":"JWT"}"#);
    let mut token = format!("{header}.{}", URL_SAFE_NO_PAD.encode(claims));
    let signature = hmac(secret(key)?).chain_update(token.as_bytes()).finalize();
    token.push('.');
    token.push_str(&URL_SAFE_NO_PAD.encode(signature.into_bytes()));
    Ok(token)
}

/// What is wrong with a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyError {
    /// A public key that cannot be used.
    Public(PublicKeyError),
    /// The secret is shorter than the digest it is for.
    SecretTooShort,
}

impl fmt::Display for KeyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            KeyError::Public(error) => write!(f, "{error}"),
            KeyError::SecretTooShort => f.write_str(
                "the secret of HS256 has at least 32 bytes (RFC 7518 §3.2): openssl rand -hex 32",
            ),
        }
    }
}

impl std::error::Error for KeyError {}

#[derive(Clone)]
enum Key {
    Public(PublicKey),
    Secret(Hmac<Sha256>),
}

impl Key {
    fn algorithm(&self) -> Algorithm {
        match self {
            Key::Public(key) => key.algorithm(),
            Key::Secret(_) => Algorithm::Hs256,
        }
    }

    fn verify(&self, signed: &[u8], signature: &[u8]) -> bool {
        match self {
            Key::Public(key) => key.verify(signed, signature),
            // In constant time.
            Key::Secret(mac) => mac.clone().chain_update(signed).verify_slice(signature).is_ok(),
        }
    }
}

/// The three parts of a token, in base64, and the first two with the dot between them.
struct Parts<'a> {
    header: &'a [u8],
    claims: &'a [u8],
    signature: &'a [u8],
    signed: &'a [u8],
}

impl<'a> Parts<'a> {
    fn split(token: &'a [u8]) -> Option<Parts<'a>> {
        if token.len() > TOKEN_LEN_MAX {
            return None;
        }
        let mut parts = token.split(|byte| *byte == b'.');
        let (header, claims, signature) = (parts.next()?, parts.next()?, parts.next()?);
        let signed = &token[..header.len() + 1 + claims.len()];
        parts.next().is_none().then_some(Parts { header, claims, signature, signed })
    }
}

fn decode(text: &[u8]) -> Option<Vec<u8>> {
    // RFC 7515 §2: base64url without padding; bits that mean nothing must be zero, so that a
    // token has one spelling.
    URL_SAFE_NO_PAD.decode(text).ok()
}

fn object(text: &[u8]) -> Option<Object> {
    let json = String::from_utf8(decode(text)?).ok()?;
    Json::parse(&json).ok()?.into_object()
}

// RFC 7518 §3.2: a key of the size of the hash output or larger MUST be used.
fn secret(key: &[u8]) -> Result<&[u8], KeyError> {
    let key = key.strip_suffix(b"\n").unwrap_or(key);
    let key = key.strip_suffix(b"\r").unwrap_or(key);
    if key.len() < SECRET_LEN_MIN { Err(KeyError::SecretTooShort) } else { Ok(key) }
}

fn hmac(key: &[u8]) -> Hmac<Sha256> {
    Hmac::new_from_slice(key).expect("invariant: HMAC takes a key of any length (RFC 2104 §2)")
}

const KEYS: Keys = Keys { user: "sub", roles: "roles", groups: "groups", expires: "exp" };

/// How far apart the clocks of who signs and who checks may be.
const LEEWAY_MS: u64 = 60_000;

/// A longer token is not looked at.
const TOKEN_LEN_MAX: usize = 8 * 1024;

const SECRET_LEN_MIN: usize = 32;

#[cfg(test)]
#[path = "jwt_tests.rs"]
mod tests;
