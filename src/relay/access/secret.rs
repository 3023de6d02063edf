//! Secrets: what is kept of a token, and how two are compared.
//!
//! ```text
//!   the token           "s3cret-of-alice"                      never kept, never shown
//!   what is kept        SHA-256: 6D 5B 0F ... 32 bytes         Fingerprint
//!   what Debug shows    Fingerprint(***)
//! ```
//!
//! A server that holds digests has nothing to give away. They also take the clock from whoever
//! guesses: a table that compared tokens byte by byte would answer later the more of a token was
//! right. Digests of two tokens have nothing in common however much the tokens have, the table is
//! hashed with a random seed, and the last comparison takes the same time whatever it finds.
//!
//! This module does not know whose a secret is.

use std::fmt;
use std::hash::{Hash, Hasher};

use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

/// What is kept of a secret: its SHA-256.
#[derive(Clone, Copy)]
pub struct Fingerprint([u8; LEN]);

impl Fingerprint {
    /// The fingerprint of a secret.
    pub fn of(secret: &[u8]) -> Fingerprint {
        Fingerprint(Sha256::digest(secret).into())
    }

    /// The fingerprint of several values in a row. Where one ends and the next begins counts:
    /// `["ab", "c"]` and `["a", "bc"]` have two.
    pub fn of_all<'a>(values: impl IntoIterator<Item = &'a [u8]>) -> Fingerprint {
        let mut hash = Sha256::new();
        for value in values {
            hash.update((value.len() as u64).to_le_bytes());
            hash.update(value);
        }
        Fingerprint(hash.finalize().into())
    }

    /// Reads 64 hexadecimal digits, as `sha256sum` writes them.
    pub fn from_hex(text: &str) -> Option<Fingerprint> {
        let (pairs, []) = text.as_bytes().as_chunks::<2>() else { return None };
        let mut bytes = [0; LEN];
        if pairs.len() != bytes.len() {
            return None;
        }
        for (byte, pair) in bytes.iter_mut().zip(pairs) {
            let [high, low] = pair.map(|digit| char::from(digit).to_digit(16));
            *byte = u8::try_from(high? << 4 | low?).ok()?;
        }
        Some(Fingerprint(bytes))
    }
}

/// In constant time: how long it takes says nothing about how much of the two is the same.
impl PartialEq for Fingerprint {
    fn eq(&self, other: &Fingerprint) -> bool {
        self.0.ct_eq(&other.0).into()
    }
}

impl Eq for Fingerprint {}

impl Hash for Fingerprint {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.0.hash(state);
    }
}

/// Not even the digest: a weak token could be guessed from it.
impl fmt::Debug for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Fingerprint(***)")
    }
}

/// How many bytes a SHA-256 has.
const LEN: usize = 32;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fingerprints_are_sha256_and_compare_like_their_secrets() {
        // FIPS 180-2, appendix B.1.
        let abc = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        assert_eq!(Fingerprint::from_hex(abc), Some(Fingerprint::of(b"abc")));
        assert_eq!(
            Fingerprint::from_hex(&abc.to_uppercase()),
            Some(Fingerprint::of(b"abc")),
            "digits in either case"
        );
        assert_ne!(Fingerprint::of(b"abc"), Fingerprint::of(b"abd"));
        for bit in 0..8 * LEN {
            let mut other = Fingerprint::of(b"abc");
            other.0[bit / 8] ^= 1 << (bit % 8);
            assert_ne!(other, Fingerprint::of(b"abc"), "bit {bit}");
        }
    }

    #[test]
    fn what_is_no_digest_is_refused() {
        let abc = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        for text in ["", "ba", &abc[1..], &abc[2..], &format!("{abc}00"), &abc.replace('b', "g")] {
            assert_eq!(Fingerprint::from_hex(text), None, "{text}");
        }
        assert_eq!(Fingerprint::from_hex(&"é".repeat(32)), None);
    }

    #[test]
    fn values_in_a_row_are_told_apart() {
        let of = |values: &[&'static [u8]]| Fingerprint::of_all(values.iter().copied());
        assert_eq!(of(&[b"ab", b"c"]), of(&[b"ab", b"c"]));
        assert_ne!(of(&[b"ab", b"c"]), of(&[b"a", b"bc"]));
        assert_ne!(of(&[b"ab"]), of(&[b"ab", b""]));
    }

    #[test]
    fn debug_output_shows_nothing() {
        assert_eq!(format!("{:?}", Fingerprint::of(b"abc")), "Fingerprint(***)");
    }
}
