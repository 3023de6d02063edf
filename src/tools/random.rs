//! Random numbers, for nonces and waits.

use std::collections::hash_map::RandomState;
use std::hash::BuildHasher;

/// The standard library's source of randomness, which it keeps for its hash maps.
pub(crate) fn random() -> u128 {
    let state = RandomState::new();
    u128::from(state.hash_one(0)) << 64 | u128::from(state.hash_one(1))
}
