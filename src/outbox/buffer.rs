//! Bytes in one piece, of which the large ones stay off the heap.
//!
//! ```text
//!   less than 64 KiB   a vector                       grows as vectors do
//!   64 KiB and more    a mapping of its own           |content      |0 or left over |
//!                      straight from the kernel,      0            len       capacity
//!                      straight back when dropped
//! ```
//!
//! On the heap a freed megabyte stays resident as long as something small lies above it, and which
//! size an allocator maps by itself depends on what was freed before. A mapping depends on nothing.
//!
//! What this module does not know: who recycles buffers; see the pool.

use std::ops::{Deref, DerefMut};

use memmap2::MmapMut;

/// Bytes that can be appended to; empty, it owns nothing.
#[derive(Debug)]
pub struct Buffer(Memory);

#[derive(Debug)]
enum Memory {
    /// A small one; a large one only where the system refuses another mapping.
    Heap(Vec<u8>),
    /// All of it is readable from the start. Invariant: `len <= map.len()`.
    Mapped { map: MmapMut, len: usize },
}

impl Buffer {
    /// An empty one, which owns no memory.
    pub const fn new() -> Buffer {
        Buffer(Memory::Heap(Vec::new()))
    }

    /// An empty one with room for `capacity` bytes, mapped from [`MAP_MIN_BYTES`] on.
    pub fn with_capacity(capacity: usize) -> Buffer {
        if capacity >= MAP_MIN_BYTES
            && let Ok(map) = MmapMut::map_anon(capacity)
        {
            return Buffer(Memory::Mapped { map, len: 0 });
        }
        Buffer(Memory::Heap(Vec::with_capacity(capacity)))
    }

    /// How many bytes it can hold without taking more memory.
    #[inline]
    pub fn capacity(&self) -> usize {
        match &self.0 {
            Memory::Heap(bytes) => bytes.capacity(),
            Memory::Mapped { map, .. } => map.len(),
        }
    }

    /// How many bytes are in it.
    #[inline]
    pub fn len(&self) -> usize {
        match &self.0 {
            Memory::Heap(bytes) => bytes.len(),
            Memory::Mapped { len, .. } => *len,
        }
    }

    /// Whether nothing is in it.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Appends bytes, and moves to larger memory if there is no room.
    #[inline]
    pub fn extend_from_slice(&mut self, bytes: &[u8]) {
        match &mut self.0 {
            Memory::Heap(own) if bytes.len() <= own.capacity() - own.len() => {
                own.extend_from_slice(bytes);
            }
            _ => self.extend_slowly(bytes),
        }
    }

    /// Forgets all bytes behind the first `len`.
    #[inline]
    pub fn truncate(&mut self, len: usize) {
        match &mut self.0 {
            Memory::Heap(bytes) => bytes.truncate(len),
            Memory::Mapped { len: before, .. } => *before = len.min(*before),
        }
    }

    /// Forgets all bytes, and keeps the memory.
    #[inline]
    pub fn clear(&mut self) {
        self.truncate(0);
    }

    /// Adds bytes up to a length of `len`, which must not be more than the capacity. Their values
    /// are any: they are there to be overwritten, and nobody has to clear a mapping for that.
    pub fn extend_to(&mut self, len: usize) {
        assert!(len <= self.capacity(), "invariant: the caller has provided for {len} bytes");
        match &mut self.0 {
            Memory::Heap(bytes) if bytes.len() < len => bytes.resize(len, 0),
            Memory::Heap(_) => {}
            Memory::Mapped { len: before, .. } => *before = len.max(*before),
        }
    }

    /// Sees to it that there is room for `additional` bytes, and for no more if that takes memory.
    pub fn reserve_exact(&mut self, additional: usize) {
        let end = self.len() + additional;
        if end <= self.capacity() {
            return;
        }
        match &mut self.0 {
            Memory::Heap(bytes) if end < MAP_MIN_BYTES => bytes.reserve_exact(additional),
            _ => {
                let mut larger = Buffer::with_capacity(end);
                larger.extend_within(self);
                *self = larger;
            }
        }
    }

    #[inline(never)]
    fn extend_slowly(&mut self, bytes: &[u8]) {
        let len = self.len();
        if bytes.len() > self.capacity() - len {
            self.reserve_exact(bytes.len().max(2 * self.capacity() - len));
        }
        self.extend_within(bytes);
    }

    /// Appends bytes for which there is room.
    fn extend_within(&mut self, bytes: &[u8]) {
        match &mut self.0 {
            Memory::Heap(own) => own.extend_from_slice(bytes),
            Memory::Mapped { map, len } => {
                map[*len..*len + bytes.len()].copy_from_slice(bytes);
                *len += bytes.len();
            }
        }
    }
}

impl Default for Buffer {
    fn default() -> Buffer {
        Buffer::new()
    }
}

impl Deref for Buffer {
    type Target = [u8];

    #[inline]
    fn deref(&self) -> &[u8] {
        match &self.0 {
            Memory::Heap(bytes) => bytes,
            Memory::Mapped { map, len } => &map[..*len],
        }
    }
}

impl DerefMut for Buffer {
    #[inline]
    fn deref_mut(&mut self) -> &mut [u8] {
        match &mut self.0 {
            Memory::Heap(bytes) => bytes,
            Memory::Mapped { map, len } => &mut map[..*len],
        }
    }
}

/// The smallest that is mapped: sixteen pages of 4 KiB, so that rounding up to pages wastes little.
pub const MAP_MIN_BYTES: usize = 64 * 1024;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_buffer_holds_what_was_appended_whatever_memory_it_is_in() {
        for step in [1, 1000, MAP_MIN_BYTES - 1, MAP_MIN_BYTES, 3 * MAP_MIN_BYTES] {
            let mut buffer = Buffer::new();
            let mut wanted = Vec::new();
            while wanted.len() < 2 * MAP_MIN_BYTES {
                let piece: Vec<u8> = (0..step).map(|i| (i + wanted.len()) as u8).collect();
                buffer.extend_from_slice(&piece);
                wanted.extend_from_slice(&piece);
                assert_eq!(buffer.len(), wanted.len());
            }
            assert!(buffer[..] == wanted[..], "by {step} bytes");
            buffer.truncate(7);
            assert_eq!(buffer[..], wanted[..7]);
            buffer.extend_from_slice(b"end");
            assert_eq!(buffer[7..], *b"end");
        }
    }

    #[test]
    fn a_large_buffer_is_a_mapping_and_a_small_one_is_not() {
        for (capacity, is_mapped) in [(0, false), (MAP_MIN_BYTES - 1, false), (MAP_MIN_BYTES, true)]
        {
            let buffer = Buffer::with_capacity(capacity);
            assert_eq!(matches!(buffer.0, Memory::Mapped { .. }), is_mapped, "{capacity} bytes");
        }
        // One that grew from small beginnings as well.
        let mut buffer = Buffer::with_capacity(16);
        buffer.extend_from_slice(&[1; MAP_MIN_BYTES]);
        assert!(matches!(buffer.0, Memory::Mapped { .. }));
    }

    #[test]
    fn it_can_be_extended_to_its_capacity_and_what_is_there_stays() {
        for capacity in [100, MAP_MIN_BYTES] {
            let mut buffer = Buffer::with_capacity(capacity);
            buffer.extend_from_slice(b"head");
            buffer.extend_to(100);
            buffer.extend_to(50);
            assert_eq!((buffer.len(), &buffer[..4]), (100, &b"head"[..]));
            buffer[99] = 9;
            assert_eq!(buffer.capacity(), capacity);
        }
    }
}
