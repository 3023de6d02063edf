//! Lists without order and without holes: the shape of every member list in the hub.
//!
//! ```text
//!   position   0   1   2   3   4              0   1   2   3
//!            | a | b | c | d | e |          | a | e | c | d |
//!                  ^ b leaves                     ^ e took b's place
//! ```
//!
//! Whoever sits in the list knows its position, so leaving costs one move of the last element,
//! whatever the length; walking the list to send to everybody walks plain memory. Shrinking
//! happens at a quarter of the capacity and to half of it, so a list can be filled and emptied
//! at its boundary without copying each time.
//!
//! This module does not know what its elements are, nor who keeps their positions.

use std::collections::HashMap;
use std::hash::{BuildHasher, Hash};

/// Takes the element at `position` out and returns the one that now stands there, if the last
/// element had to move; the caller owes it its new position.
pub(crate) fn take<T: Copy>(list: &mut Vec<T>, position: usize) -> Option<T> {
    list.swap_remove(position);
    let moved = list.get(position).copied();
    if has_room_to_spare(list.len(), list.capacity()) {
        list.shrink_to(list.len() * 2);
    }
    moved
}

/// Gives memory back after a removal. Call it after every `remove`.
pub(crate) fn shrink_map<K: Eq + Hash, V, S: BuildHasher>(map: &mut HashMap<K, V, S>) {
    if has_room_to_spare(map.len(), map.capacity()) {
        map.shrink_to(map.len() * 2);
    }
}

/// Positions and keys are held in four bytes each: every element of every list stands for a
/// connection or a user, and connections are counted in `u32`.
pub(crate) fn narrow(position: usize) -> u32 {
    u32::try_from(position).expect("invariant: fewer than 2^32 connections, users and groups")
}

fn has_room_to_spare(len: usize, capacity: usize) -> bool {
    len == 0 || (capacity > SMALL && len < capacity / 4)
}

/// Below this many elements a list is not worth a reallocation.
const SMALL: usize = 16;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_element_takes_the_place_of_the_one_that_leaves() {
        let mut list = vec!['a', 'b', 'c', 'd', 'e'];
        assert_eq!(take(&mut list, 1), Some('e'));
        assert_eq!(list, ['a', 'e', 'c', 'd']);
        assert_eq!(take(&mut list, 3), None, "the last one left, nobody moved");
        assert_eq!(list, ['a', 'e', 'c']);
    }

    #[test]
    fn an_emptied_list_holds_no_memory() {
        let mut list: Vec<u32> = (0..10_000).collect();
        while !list.is_empty() {
            take(&mut list, 0);
            let capacity = list.capacity();
            assert!(capacity <= SMALL || list.len() >= capacity / 4, "{}", list.len());
        }
        assert_eq!(list.capacity(), 0);
    }

    #[test]
    fn a_map_that_empties_gives_its_table_back() {
        let mut map: HashMap<u32, u32> = (0..10_000).map(|key| (key, key)).collect();
        let full = map.capacity();
        for key in 0..9_000 {
            map.remove(&key);
            shrink_map(&mut map);
        }
        assert!(map.capacity() < full / 2, "{} of {full}", map.capacity());
        for key in 9_000..10_000 {
            map.remove(&key);
            shrink_map(&mut map);
        }
        assert_eq!(map.capacity(), 0);
    }
}
