//! Public keys: signatures that this server can check and cannot make.
//!
//! ```text
//!   -----BEGIN PUBLIC KEY-----             SubjectPublicKeyInfo (RFC 5280 §4.1)
//!   MCowBQYDK2VwAyEA11qYAYKxCrfVS...        SEQUENCE {
//!   -----END PUBLIC KEY-----                  SEQUENCE { OID 1.3.101.112 }      which algorithm
//!                                             BIT STRING 00 D7 5A 98 01 ...     the key itself
//!                                           }
//! ```
//!
//! The signatures are checked by `ring`, and only with the feature `jwt-asymmetric`; without it no
//! key can be made here.
//!
//! This module does not know what is signed.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::jwt::Algorithm;

/// A public key of one algorithm.
#[derive(Clone)]
pub(super) struct PublicKey {
    algorithm: Algorithm,
    /// As `ring` takes it: a point, or for RSA the DER of RSAPublicKey (RFC 8017 A.1.1).
    #[cfg_attr(not(feature = "jwt-asymmetric"), expect(dead_code))]
    bytes: Vec<u8>,
}

impl PublicKey {
    /// Reads a key in PEM.
    pub(super) fn parse(algorithm: Algorithm, pem: &[u8]) -> Result<PublicKey, PublicKeyError> {
        if cfg!(not(feature = "jwt-asymmetric")) {
            return Err(PublicKeyError::NotBuiltIn);
        }
        let der = from_pem(pem)?;
        let (found, bytes) = from_info(&der).ok_or(PublicKeyError::Malformed)?;
        if found != algorithm {
            return Err(PublicKeyError::Another { found, wanted: algorithm });
        }
        let is_good = match algorithm {
            Algorithm::EdDsa => bytes.len() == 32,
            // SEC 1 §2.3.3: 04, and both coordinates.
            Algorithm::Es256 => bytes.len() == 65 && bytes[0] == 0x04,
            Algorithm::Rs256 => rsa_bits(bytes).is_some_and(|bits| RSA_BITS.contains(&bits)),
            Algorithm::Hs256 => false,
        };
        match is_good {
            true => Ok(PublicKey { algorithm, bytes: bytes.to_vec() }),
            false => Err(PublicKeyError::Weak),
        }
    }

    pub(super) fn algorithm(&self) -> Algorithm {
        self.algorithm
    }

    /// Whether somebody with the private key has signed this.
    #[cfg(feature = "jwt-asymmetric")]
    pub(super) fn verify(&self, signed: &[u8], signature: &[u8]) -> bool {
        use ring::signature::{self, UnparsedPublicKey, VerificationAlgorithm};
        let algorithm: &dyn VerificationAlgorithm = match self.algorithm {
            Algorithm::EdDsa => &signature::ED25519,
            // RFC 7518 §3.4: the two numbers in a row, not the DER of them.
            Algorithm::Es256 => &signature::ECDSA_P256_SHA256_FIXED,
            Algorithm::Rs256 => &signature::RSA_PKCS1_2048_8192_SHA256,
            Algorithm::Hs256 => return false,
        };
        UnparsedPublicKey::new(algorithm, &self.bytes).verify(signed, signature).is_ok()
    }

    /// Nobody has: there is no key to call this on.
    #[cfg(not(feature = "jwt-asymmetric"))]
    pub(super) fn verify(&self, _signed: &[u8], _signature: &[u8]) -> bool {
        false
    }
}

/// Why a public key cannot be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PublicKeyError {
    /// It is a key of another algorithm.
    Another {
        /// The algorithm that it is for.
        found: Algorithm,
        /// The algorithm that is configured.
        wanted: Algorithm,
    },
    /// It is a certificate.
    Certificate,
    /// It is PEM, and inside there is no key of a kind that is known here.
    Malformed,
    /// This build checks HS256 only.
    NotBuiltIn,
    /// It is not PEM.
    NotPem,
    /// It is a private key.
    Private,
    /// It is an RSA key in the older form.
    RsaForm,
    /// Its length is not one that is taken: RSA keys have 2048 to 8192 bits.
    Weak,
}

impl fmt::Display for PublicKeyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            PublicKeyError::Another { found, wanted } => {
                let (found, wanted) = (found.name(), wanted.name());
                return write!(f, "a key for {found}, where {wanted} is configured");
            }
            PublicKeyError::Certificate => {
                "a certificate; its key is printed by: openssl x509 -pubkey -noout -in FILE"
            }
            PublicKeyError::Malformed => "not a public key for RS256, ES256 (P-256) or EdDSA",
            PublicKeyError::NotBuiltIn => {
                "this build checks HS256 only; build with --features jwt-asymmetric"
            }
            PublicKeyError::NotPem => "not a key in PEM: -----BEGIN PUBLIC KEY-----",
            PublicKeyError::Private => {
                "a private key, which this server must not have; its public one is printed by: \
                 openssl pkey -pubout -in FILE"
            }
            PublicKeyError::RsaForm => {
                "an RSA key in the older form; the usual one is printed by: \
                 openssl rsa -RSAPublicKey_in -pubout -in FILE"
            }
            PublicKeyError::Weak => "a key of a length that is not taken",
        })
    }
}

/// What is between the lines of PEM (RFC 7468).
fn from_pem(pem: &[u8]) -> Result<Vec<u8>, PublicKeyError> {
    let text = str::from_utf8(pem).map_err(|_| PublicKeyError::NotPem)?;
    let (_, rest) = text.split_once("-----BEGIN ").ok_or(PublicKeyError::NotPem)?;
    let (label, rest) = rest.split_once("-----").ok_or(PublicKeyError::NotPem)?;
    match label {
        "PUBLIC KEY" => {}
        "RSA PUBLIC KEY" => return Err(PublicKeyError::RsaForm),
        "CERTIFICATE" => return Err(PublicKeyError::Certificate),
        label if label.ends_with("PRIVATE KEY") => return Err(PublicKeyError::Private),
        _ => return Err(PublicKeyError::NotPem),
    }
    let (base64, _) = rest.split_once("-----END PUBLIC KEY-----").ok_or(PublicKeyError::NotPem)?;
    let base64: String = base64.chars().filter(|c| !c.is_ascii_whitespace()).collect();
    STANDARD.decode(base64).map_err(|_| PublicKeyError::NotPem)
}

/// The algorithm of a SubjectPublicKeyInfo and its key.
fn from_info(der: &[u8]) -> Option<(Algorithm, &[u8])> {
    let (info, []) = der_value(der, DER_SEQUENCE)? else { return None };
    let (algorithm, rest) = der_value(info, DER_SEQUENCE)?;
    let (key, []) = der_value(rest, DER_BIT_STRING)? else { return None };
    // X.690 §8.6.2: how many bits of the last byte mean nothing; none.
    let key = key.strip_prefix(&[0])?;
    let (_, algorithm) = ALGORITHMS.iter().find(|(bytes, _)| *bytes == algorithm)?;
    Some((*algorithm, key))
}

/// How many bits the modulus of an RSAPublicKey has.
fn rsa_bits(der: &[u8]) -> Option<usize> {
    let (numbers, []) = der_value(der, DER_SEQUENCE)? else { return None };
    let (modulus, rest) = der_value(numbers, DER_INTEGER)?;
    let (_, []) = der_value(rest, DER_INTEGER)? else { return None };
    // A number whose first bit is set has a zero before it, or it would be negative.
    let modulus = modulus.strip_prefix(&[0]).unwrap_or(modulus);
    let first = modulus.first()?;
    Some(modulus.len() * 8 - first.leading_zeros() as usize)
}

/// The contents of a value with this tag, and what follows it (X.690 §8.1).
fn der_value(der: &[u8], tag: u8) -> Option<(&[u8], &[u8])> {
    let (&own, rest) = der.split_first()?;
    let (&first, rest) = rest.split_first()?;
    let (len, rest) = match first {
        0..=0x7F => (usize::from(first), rest),
        // No key has a length of more than two bytes.
        0x81 => (usize::from(*rest.first()?), &rest[1..]),
        0x82 => {
            let (len, rest) = rest.split_first_chunk::<2>()?;
            (usize::from(u16::from_be_bytes(*len)), rest)
        }
        _ => return None,
    };
    if own == tag { rest.split_at_checked(len) } else { None }
}

const DER_INTEGER: u8 = 0x02;
const DER_BIT_STRING: u8 = 0x03;
const DER_SEQUENCE: u8 = 0x30;

/// The contents of AlgorithmIdentifier (RFC 3279 §2.3.1, RFC 5480 §2.1.1, RFC 8410 §3).
const ALGORITHMS: [(&[u8], Algorithm); 3] = [
    // 1.3.101.112
    (b"\x06\x03\x2B\x65\x70", Algorithm::EdDsa),
    // 1.2.840.10045.2.1, with the curve 1.2.840.10045.3.1.7
    (
        b"\x06\x07\x2A\x86\x48\xCE\x3D\x02\x01\x06\x08\x2A\x86\x48\xCE\x3D\x03\x01\x07",
        Algorithm::Es256,
    ),
    // 1.2.840.113549.1.1.1, with NULL
    (b"\x06\x09\x2A\x86\x48\x86\xF7\x0D\x01\x01\x01\x05\x00", Algorithm::Rs256),
];

/// RFC 7518 §3.3 asks for 2048 at least; more than 8192 only costs time.
const RSA_BITS: std::ops::RangeInclusive<usize> = 2048..=8192;
