//! What a handler knows about each connection, found by [`ConnId`] without hashing.

use super::slots::ConnId;

/// A map from connections to `T`: a vector by the connection's place, each entry with the id it
/// was made for, so that a stale id finds nothing.
#[derive(Debug)]
pub struct ConnMap<T> {
    entries: Vec<Option<(ConnId, T)>>,
    len: usize,
}

impl<T> ConnMap<T> {
    /// An empty map.
    pub fn new() -> ConnMap<T> {
        ConnMap { entries: Vec::new(), len: 0 }
    }

    /// Puts in the value for `id`, and returns what was in its place before, if anything.
    pub fn insert(&mut self, id: ConnId, value: T) -> Option<T> {
        if self.entries.len() <= id.index() {
            self.entries.resize_with(id.index() + 1, || None);
        }
        let before = self.entries[id.index()].replace((id, value));
        self.len += usize::from(before.is_none());
        before.map(|(_, value)| value)
    }

    /// The value for `id`.
    #[inline]
    pub fn get(&self, id: ConnId) -> Option<&T> {
        match self.entries.get(id.index()) {
            Some(Some((own, value))) if *own == id => Some(value),
            _ => None,
        }
    }

    /// The value for `id`, to change.
    #[inline]
    pub fn get_mut(&mut self, id: ConnId) -> Option<&mut T> {
        match self.entries.get_mut(id.index()) {
            Some(Some((own, value))) if *own == id => Some(value),
            _ => None,
        }
    }

    /// Takes out the value for `id`.
    pub fn remove(&mut self, id: ConnId) -> Option<T> {
        self.get(id)?;
        self.len -= 1;
        self.entries[id.index()].take().map(|(_, value)| value)
    }

    /// How many connections have a value.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether none has.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// All of them, in the order of their places.
    pub fn iter(&self) -> impl Iterator<Item = (ConnId, &T)> + Clone {
        self.entries.iter().flatten().map(|(id, value)| (*id, value))
    }
}

impl<T> Default for ConnMap<T> {
    fn default() -> ConnMap<T> {
        ConnMap::new()
    }
}

#[cfg(test)]
mod tests {
    use super::super::slots::Slots;
    use super::*;

    #[test]
    fn a_stale_id_finds_nothing() {
        let mut slots = Slots::new();
        let mut map = ConnMap::new();
        let old = slots.insert(());
        map.insert(old, 1);
        slots.remove(old);
        let new = slots.insert(());
        assert_eq!(map.get(new), None);
        assert_eq!(map.insert(new, 2), Some(1));
        assert_eq!(map.get(old), None);
        assert_eq!(map.remove(old), None);
        assert_eq!((map.get(new), map.len()), (Some(&2), 1));
        assert_eq!(map.remove(new), Some(2));
        assert!(map.is_empty());
    }
}
