//! Links: pairs of two kinds of things, found from either side.
//!
//! ```text
//!   (c4, g2) --hash--> Places { in_left: 1, in_right: 2 }
//!                               |            |
//!               c4: [ g5, g2 ] -+            +-- g2: [ c1, c9, c4 ]
//! ```
//!
//! Each pair is in two dense lists and knows its place in both: to make it, to end it and to ask
//! for it is O(1), and whoever goes costs as many steps as it has links, however many the others
//! have. What has no links is not there.
//!
//! This module does not know what is linked, or why.

use std::collections::HashMap;
use std::hash::Hash;

use super::dense;
use super::hash::KeyedHash;

/// A relation of many to many.
pub struct Links<L, R> {
    of_left: HashMap<L, Vec<R>, KeyedHash>,
    of_right: HashMap<R, Vec<L>, KeyedHash>,
    places: HashMap<(L, R), Places, KeyedHash>,
}

impl<L: Copy + Eq + Hash, R: Copy + Eq + Hash> Links<L, R> {
    /// Nothing is linked.
    pub fn new() -> Links<L, R> {
        Links {
            of_left: HashMap::default(),
            of_right: HashMap::default(),
            places: HashMap::default(),
        }
    }

    /// Links the two. To be linked already is no error.
    pub fn link(&mut self, left: L, right: R) {
        if self.places.contains_key(&(left, right)) {
            return;
        }
        let rights = self.of_left.entry(left).or_default();
        let lefts = self.of_right.entry(right).or_default();
        let (in_left, in_right) = (dense::narrow(rights.len()), dense::narrow(lefts.len()));
        rights.push(right);
        lefts.push(left);
        self.places.insert((left, right), Places { in_left, in_right });
    }

    /// The two are linked no longer. Not to have been is no error.
    pub fn unlink(&mut self, left: L, right: R) {
        let Some(places) = self.places.remove(&(left, right)) else { return };
        let rights = self.of_left.get_mut(&left);
        let rights = rights.expect("invariant: whatever is linked has a list");
        let moved = dense::take(rights, places.in_left as usize);
        if rights.is_empty() {
            self.of_left.remove(&left);
            dense::shrink_map(&mut self.of_left);
        }
        if let Some(moved) = moved {
            self.places_of(left, moved).in_left = places.in_left;
        }
        self.strike_from_right(right, places.in_right);
        dense::shrink_map(&mut self.places);
    }

    /// Ends all links of one on the left, and names those it was linked with.
    pub fn unlink_left(&mut self, left: L) -> Vec<R> {
        let rights = self.of_left.remove(&left).unwrap_or_default();
        for &right in &rights {
            let places = self.places.remove(&(left, right));
            let places = places.expect("invariant: every link has its places");
            self.strike_from_right(right, places.in_right);
        }
        dense::shrink_map(&mut self.places);
        dense::shrink_map(&mut self.of_left);
        rights
    }

    /// All that this one is linked with, in no order.
    pub fn of_right(&self, right: R) -> &[L] {
        self.of_right.get(&right).map_or(&[], Vec::as_slice)
    }

    /// How many links there are.
    pub fn len(&self) -> usize {
        self.places.len()
    }

    /// Whether nothing is linked.
    pub fn is_empty(&self) -> bool {
        self.places.is_empty()
    }

    /// Takes one out of a list of the right; the caller has removed the places.
    fn strike_from_right(&mut self, right: R, position: u32) {
        let lefts = self.of_right.get_mut(&right);
        let lefts = lefts.expect("invariant: whatever is linked has a list");
        let moved = dense::take(lefts, position as usize);
        if lefts.is_empty() {
            self.of_right.remove(&right);
            dense::shrink_map(&mut self.of_right);
        }
        if let Some(moved) = moved {
            self.places_of(moved, right).in_right = position;
        }
    }

    fn places_of(&mut self, left: L, right: R) -> &mut Places {
        let places = self.places.get_mut(&(left, right));
        places.expect("invariant: every link has its places")
    }
}

impl<L: Copy + Eq + Hash, R: Copy + Eq + Hash> Default for Links<L, R> {
    fn default() -> Links<L, R> {
        Links::new()
    }
}

/// Where a link stands in the list of either side.
struct Places {
    in_left: u32,
    in_right: u32,
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    fn check(links: &Links<u8, char>, wanted: &BTreeSet<(u8, char)>) {
        let of_right = |right| {
            let mut all = links.of_right(right).to_vec();
            all.sort_unstable();
            all
        };
        for right in 'a'..='f' {
            let lefts: Vec<u8> =
                wanted.iter().filter(|pair| pair.1 == right).map(|pair| pair.0).collect();
            assert_eq!(of_right(right), lefts);
        }
        assert_eq!(links.len(), wanted.len());
        let listed = |lists: Vec<usize>| {
            assert!(!lists.contains(&0), "a list without links");
            lists.iter().sum::<usize>()
        };
        assert_eq!(listed(links.of_left.values().map(Vec::len).collect()), wanted.len());
        assert_eq!(listed(links.of_right.values().map(Vec::len).collect()), wanted.len());
    }

    #[test]
    fn any_order_of_links_keeps_both_sides_right() {
        let mut links = Links::new();
        let mut wanted: BTreeSet<(u8, char)> = BTreeSet::new();
        let mut seed = 0x2545_F491_4F6C_DD1D_u64;
        for round in 0..20_000 {
            seed ^= seed << 13;
            seed ^= seed >> 7;
            seed ^= seed << 17;
            let left = (seed >> 8) as u8 % 9;
            let right = char::from(b'a' + (seed >> 24) as u8 % 6);
            match seed >> 60 {
                0 => {
                    let mut rights = links.unlink_left(left);
                    rights.sort_unstable();
                    let gone: Vec<char> =
                        wanted.iter().filter(|&&(of, _)| of == left).map(|pair| pair.1).collect();
                    assert_eq!(rights, gone);
                    wanted.retain(|pair| pair.0 != left);
                }
                1..=7 => {
                    links.unlink(left, right);
                    wanted.remove(&(left, right));
                }
                _ => {
                    links.link(left, right);
                    wanted.insert((left, right));
                }
            }
            if round % 100 == 0 {
                check(&links, &wanted);
            }
        }
        for left in 0..9 {
            links.unlink_left(left);
        }
        assert!(links.is_empty());
        assert_eq!(links.places.capacity() + links.of_left.capacity(), 0);
        assert_eq!(links.of_right.capacity(), 0);
    }
}
