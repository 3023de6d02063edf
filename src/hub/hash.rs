//! Hashing names: what the tables of the hub use in the place of the standard library's SipHash.
//!
//! ```text
//!   "alice"    its length 5, and 61 6C 69 63 65      seven bytes are one digit of a polynomial
//!   hash = 5 * key^2 + 0x6563696C61 * key mod p      p = 2^61 - 1, and the key is random per table
//! ```
//!
//! Peers choose the names, so nobody must be able to choose names that meet. This is the
//! polynomial hash over a prime field at a secret point. The difference of two names of at most n
//! digits is a polynomial without a constant term, which has any one value at no more than n + 1
//! of the 2^61 points; so the last b bits of their hashes are equal with a chance of no more than
//! about 2n in 2^b, whatever the names are. This is proven, not hoped for, of all who do not know
//! the point; and neither a hash nor the order of a table ever leaves the process.
//!
//! This module does not know whose names they are.

use std::collections::hash_map::RandomState;
use std::hash::{BuildHasher, Hasher};

/// The hash function of one table: its secret point.
#[derive(Clone, Copy, Debug)]
pub(super) struct KeyedHash {
    /// Invariant: less than [`PRIME`].
    key: u64,
}

impl Default for KeyedHash {
    /// A random one.
    fn default() -> KeyedHash {
        // The standard library's random state is the system's randomness, hashed.
        KeyedHash { key: RandomState::new().hash_one(0) % PRIME }
    }
}

impl BuildHasher for KeyedHash {
    type Hasher = KeyedHasher;

    #[inline]
    fn build_hasher(&self) -> KeyedHasher {
        #[cfg(test)]
        HASHES.set(HASHES.get() + 1);
        KeyedHasher { key: self.key, sum: 0 }
    }
}

/// A hash that is being computed.
#[derive(Debug)]
pub(super) struct KeyedHasher {
    key: u64,
    /// Invariant: less than [`PRIME`].
    sum: u64,
}

impl KeyedHasher {
    /// One more digit, less than [`PRIME`].
    #[inline]
    fn push(&mut self, digit: u64) {
        let product = u128::from(reduce(self.sum + digit)) * u128::from(self.key);
        // 2^61 is 1 in this field: the two digits of the product to the base of it are added up.
        self.sum = reduce((product as u64 & PRIME) + (product >> 61) as u64);
    }
}

/// Of a number below twice the prime.
#[inline]
fn reduce(number: u64) -> u64 {
    if number >= PRIME { number - PRIME } else { number }
}

impl Hasher for KeyedHasher {
    #[inline]
    fn write(&mut self, mut bytes: &[u8]) {
        // With its length in front no string is the beginning of another.
        self.push(bytes.len() as u64);
        while let Some(word) = bytes.first_chunk() {
            self.push(u64::from_le_bytes(*word) & DIGIT);
            bytes = &bytes[DIGIT_BYTES..];
        }
        if !bytes.is_empty() {
            self.push(last_digit(bytes));
        }
    }

    /// What `str` writes behind its bytes; they say themselves how many they are.
    #[inline]
    fn write_u8(&mut self, _: u8) {}

    #[inline]
    fn write_u32(&mut self, number: u32) {
        self.push(u64::from(number));
    }

    #[inline]
    fn finish(&self) -> u64 {
        // The tables take the lowest bits for the place, which an odd factor leaves as good as they
        // are, and the highest for a first comparison, which it fills: the sum has but 61.
        self.sum.wrapping_mul(SPREAD)
    }
}

/// One to seven bytes as a number, a different one for each string of the same length.
#[inline]
fn last_digit(bytes: &[u8]) -> u64 {
    if let (Some(first), Some(last)) = (bytes.first_chunk(), bytes.last_chunk()) {
        // Bytes that are in both halves come to lie on themselves.
        let [first, last] = [first, last].map(|half| u64::from(u32::from_le_bytes(*half)));
        return first | last << (8 * (bytes.len() - 4));
    }
    let [first, middle, last] =
        [0, bytes.len() / 2, bytes.len() - 1].map(|at| u64::from(bytes[at]));
    first | middle << 8 | last << 16
}

#[cfg(test)]
thread_local! {
    /// What the tables have cost: they hash to find, to put in, to grow and to shrink.
    pub(super) static HASHES: std::cell::Cell<usize> = const { std::cell::Cell::new(0) };
}

/// 2^61 - 1, a prime.
const PRIME: u64 = (1 << 61) - 1;

const DIGIT_BYTES: usize = 7;
const DIGIT: u64 = (1 << (8 * DIGIT_BYTES)) - 1;

/// Odd, and otherwise of no meaning: 2^64 divided by the golden ratio.
const SPREAD: u64 = 0x9E37_79B9_7F4A_7C15;

#[cfg(test)]
mod tests {
    use super::*;

    /// The formula as it stands above, one step at a time.
    fn plain(key: u64, name: &[u8]) -> u64 {
        let mut sum = name.len() as u128 * u128::from(key) % u128::from(PRIME);
        for digit in name.chunks(DIGIT_BYTES) {
            let mut word = [0; 8];
            word[..digit.len()].copy_from_slice(digit);
            let digit = match digit {
                [first, middle, last] => {
                    u64::from_le_bytes([*first, *middle, *last, 0, 0, 0, 0, 0])
                }
                // Short ones are spelled with bytes twice, and differ all the same.
                [first, second] => u64::from_le_bytes([*first, *second, *second, 0, 0, 0, 0, 0]),
                [only] => u64::from_le_bytes([*only, *only, *only, 0, 0, 0, 0, 0]),
                _ => u64::from_le_bytes(word),
            };
            sum = (sum + u128::from(digit)) * u128::from(key) % u128::from(PRIME);
        }
        (sum as u64).wrapping_mul(SPREAD)
    }

    #[test]
    fn the_quick_hash_is_the_polynomial() {
        let name: Vec<u8> = (0..200_u8).map(|at| at.wrapping_mul(151)).collect();
        for key in [0, 1, 2, PRIME - 1, 0x0123_4567_89AB_CDEF & PRIME] {
            for len in 0..name.len() {
                let mut hasher = KeyedHash { key }.build_hasher();
                hasher.write(&name[..len]);
                hasher.write_u8(0xFF);
                assert_eq!(hasher.finish(), plain(key, &name[..len]), "{len} bytes, key {key}");
            }
        }
    }

    #[test]
    fn every_table_has_a_point_of_its_own() {
        let hashes: Vec<u64> = (0..8).map(|_| KeyedHash::default().hash_one("alice")).collect();
        for (at, hash) in hashes.iter().enumerate() {
            assert!(!hashes[..at].contains(hash), "{hashes:x?}");
        }
    }

    /// How many of 4,096 names come to the fullest of as many places, and how many are alike in
    /// the seven highest bits, which are compared first.
    fn fullest(key: u64, name: impl Fn(usize) -> String) -> (u32, u32) {
        let (mut low, mut high) = ([0; 4096], [0; 128]);
        for index in 0..4096 {
            let hash = KeyedHash { key }.hash_one(name(index).as_str());
            low[hash as usize % 4096] += 1;
            high[(hash >> 57) as usize] += 1;
        }
        (low.into_iter().max().unwrap(), high.into_iter().max().unwrap())
    }

    #[test]
    fn names_that_are_alike_do_not_meet_more_than_others() {
        let mut key = 0x2545_F491_4F6C_DD1D_u64;
        for _ in 0..20 {
            key ^= key << 13;
            key ^= key >> 7;
            key ^= key << 17;
            // Random names would come to about 7 and 50.
            for affix in ["", "user", "somebody's name of several digits "] {
                for (low, high) in [
                    fullest(key % PRIME, |index| format!("{affix}{index}")),
                    fullest(key % PRIME, |index| format!("{index:04}{affix}")),
                    fullest(key % PRIME, |index| format!("{affix}{:04x}", index << 4)),
                ] {
                    assert!(low <= 16 && high <= 512, "{affix}: {low} and {high} together");
                }
            }
        }
    }
}
