//! Hashing names: what the tables of the hub use in the place of the standard library's SipHash.
//!
//! A message is routed by one look-up. SipHash took 167 instructions for the name "alice" alone;
//! the whole look-up takes 126 now (`benches/instructions.sh route_10k`). Peers choose the names,
//! so they must not be able to choose names that meet: foldhash is keyed by a random seed for each
//! table, and neither a hash nor the order of a table ever leaves the process. It makes no
//! cryptographic promise; a table of names is bounded by the number of connections.
//!
//! This module does not know whose names they are.

use std::hash::BuildHasher;

use foldhash::quality::RandomState;

/// The hash function of one table, with a random seed of its own.
#[derive(Clone, Debug, Default)]
pub(super) struct KeyedHash(RandomState);

impl BuildHasher for KeyedHash {
    type Hasher = <RandomState as BuildHasher>::Hasher;

    #[inline]
    fn build_hasher(&self) -> Self::Hasher {
        #[cfg(test)]
        HASHES.set(HASHES.get() + 1);
        self.0.build_hasher()
    }
}

#[cfg(test)]
thread_local! {
    /// What the tables have cost: they hash to find, to put in, to grow and to shrink.
    pub(super) static HASHES: std::cell::Cell<usize> = const { std::cell::Cell::new(0) };
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_table_has_a_seed_of_its_own() {
        let hashes: Vec<u64> = (0..8).map(|_| KeyedHash::default().hash_one("alice")).collect();
        for (at, hash) in hashes.iter().enumerate() {
            assert!(!hashes[..at].contains(hash), "{hashes:x?}");
        }
    }
}
