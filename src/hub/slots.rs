//! Where connections live: a slab, and a name for each that is never used twice.
//!
//! ```text
//!   ConnId { index: 3, serial: 71 }          a slab hands a freed place out again at once, so the
//!              |          |                  index alone could name a successor: whoever kept the
//!              v          v                  id of connection 71 would write to connection 72
//!   slab: [..][..][..][71: Slot][..]
//! ```
//!
//! So an id is the place *and* the serial number of the connection, counted from the start of the
//! server; an id whose serial is not the one in the place is stale, and finds nothing.

use std::fmt;

use slab::Slab;

/// The name of one connection for as long as the server runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ConnId {
    index: u32,
    serial: u32,
}

impl ConnId {
    /// The name of the connection with this serial number in this place.
    pub(crate) fn new(index: usize, serial: u32) -> ConnId {
        // Descriptors are numbered by an int, so there are never more connections than that.
        let index = u32::try_from(index).expect("invariant: fewer connections than descriptors");
        ConnId { index, serial }
    }

    /// The place in the slab; reused after the connection is gone, so never a name by itself.
    pub fn index(self) -> usize {
        self.index as usize
    }

    /// The serial number of the connection, counted from 1 in the order in which the server
    /// accepted TCP connections, those that never became WebSockets among them. Log lines say
    /// `conn=` and this number.
    pub fn serial(self) -> u32 {
        self.serial
    }
}

/// The connection's serial number: what log lines say.
impl fmt::Display for ConnId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.serial.fmt(f)
    }
}

/// A slab whose keys are [`ConnId`]s.
#[derive(Debug)]
pub struct Slots<T> {
    slab: Slab<(u32, T)>,
    next_serial: u32,
}

impl<T> Slots<T> {
    /// No connections.
    pub fn new() -> Slots<T> {
        Slots { slab: Slab::new(), next_serial: 1 }
    }

    /// Puts a value in and names it.
    ///
    /// Serial numbers wrap after four thousand million connections; an id would have to be kept
    /// over all of those, and the place be the same, to be mistaken.
    pub fn insert(&mut self, value: T) -> ConnId {
        let serial = self.next_serial;
        self.next_serial = serial.checked_add(1).unwrap_or(1);
        let index = self.slab.insert((serial, value));
        ConnId::new(index, serial)
    }

    /// The value, unless the id is stale.
    #[inline]
    pub fn get(&self, id: ConnId) -> Option<&T> {
        match self.slab.get(id.index()) {
            Some((serial, value)) if *serial == id.serial => Some(value),
            _ => None,
        }
    }

    /// The value to change, unless the id is stale.
    #[inline]
    pub fn get_mut(&mut self, id: ConnId) -> Option<&mut T> {
        match self.slab.get_mut(id.index()) {
            Some((serial, value)) if *serial == id.serial => Some(value),
            _ => None,
        }
    }

    /// Takes the value out; the id is stale from now on.
    pub fn remove(&mut self, id: ConnId) -> Option<T> {
        self.get(id)?;
        Some(self.slab.remove(id.index()).1)
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.slab.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.slab.is_empty()
    }

    /// All of them, in the order of their places.
    pub fn iter(&self) -> impl Iterator<Item = (ConnId, &T)> {
        self.slab.iter().map(|(index, (serial, value))| {
            (ConnId { index: index as u32, serial: *serial }, value)
        })
    }
}

impl<T> Default for Slots<T> {
    fn default() -> Slots<T> {
        Slots::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stale_id_never_reaches_a_reused_slot() {
        let mut slots = Slots::new();
        let old = slots.insert("old");
        assert_eq!(slots.remove(old), Some("old"));
        let new = slots.insert("new");
        assert_eq!(new.index(), old.index(), "the slab reuses the place");
        assert_ne!(new, old);
        assert_eq!(slots.get(old), None);
        assert_eq!(slots.get_mut(old), None);
        assert_eq!(slots.remove(old), None);
        assert_eq!(slots.get(new), Some(&"new"));
    }
}
