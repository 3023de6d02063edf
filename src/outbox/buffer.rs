//! Bytes in one piece, of which the large ones stay off the heap.
//!
//! ```text
//!   less than 64 KiB   on the heap                    |content      |left over |
//!   64 KiB and more    a mapping of its own:          |content      |left over |
//!                      straight from the kernel,      0            len     capacity
//!                      straight back when dropped
//! ```
//!
//! On the heap a freed megabyte stays resident as long as something small lies above it, and which
//! size an allocator maps by itself depends on what was freed before. A mapping depends on nothing.
//!
//! All of the memory holds bytes from the start, zeros or what an earlier use has left: so the next
//! bytes can be written where they belong, by whoever has them, without `unsafe`.
//!
//! What this module does not know: who recycles buffers; see the pool.

use std::ops::{Deref, DerefMut};

use memmap2::MmapMut;

/// Bytes that can be appended to; empty, it owns nothing.
#[derive(Debug)]
pub struct Buffer {
    memory: Memory,
    /// Invariant: no more than the memory has.
    len: usize,
}

#[derive(Debug)]
enum Memory {
    /// A small one; a large one only where the system refuses another mapping.
    Heap(Vec<u8>),
    /// Content begins at [`LEAD_BYTES`].
    Mapped(MmapMut),
}

impl Memory {
    fn with_capacity(capacity: usize) -> Memory {
        if capacity >= MAP_MIN_BYTES
            && let Ok(map) = MmapMut::map_anon(LEAD_BYTES + capacity)
        {
            return Memory::Mapped(map);
        }
        Memory::Heap(vec![0; capacity])
    }

    #[inline]
    fn bytes(&self) -> &[u8] {
        match self {
            Memory::Heap(bytes) => bytes,
            Memory::Mapped(map) => &map[LEAD_BYTES..],
        }
    }

    #[inline]
    fn bytes_mut(&mut self) -> &mut [u8] {
        match self {
            Memory::Heap(bytes) => bytes,
            Memory::Mapped(map) => &mut map[LEAD_BYTES..],
        }
    }
}

impl Buffer {
    /// An empty one, which owns no memory.
    pub const fn new() -> Buffer {
        Buffer { memory: Memory::Heap(Vec::new()), len: 0 }
    }

    /// An empty one with room for `capacity` bytes, mapped from 64 KiB on.
    pub fn with_capacity(capacity: usize) -> Buffer {
        Buffer { memory: Memory::with_capacity(capacity), len: 0 }
    }

    /// How many bytes it can hold without taking more memory.
    #[inline]
    pub fn capacity(&self) -> usize {
        self.memory.bytes().len()
    }

    /// How many bytes are in it.
    #[inline]
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether nothing is in it.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Appends bytes, and moves to larger memory if there is no room.
    #[inline]
    pub fn extend_from_slice(&mut self, bytes: &[u8]) {
        self.extend_with(bytes.len(), |space| {
            space.copy_from_slice(bytes);
            bytes.len()
        });
    }

    /// Appends what `write` puts at the front of the `len` bytes it is given, whose values are any,
    /// and returns the length of.
    ///
    /// # Panics
    ///
    /// If `write` returns more than `len`.
    #[inline]
    pub fn extend_with(&mut self, len: usize, write: impl FnOnce(&mut [u8]) -> usize) -> usize {
        if self.memory.bytes().len() - self.len < len {
            self.grow(len);
        }
        let space = &mut self.memory.bytes_mut()[self.len..self.len + len];
        let written = write(space);
        assert!(written <= len, "invariant: what was written lies in the space");
        self.len += written;
        written
    }

    /// Forgets all bytes behind the first `len`.
    #[inline]
    pub fn truncate(&mut self, len: usize) {
        self.len = len.min(self.len);
    }

    /// Forgets all bytes, and keeps the memory.
    #[inline]
    pub fn clear(&mut self) {
        self.len = 0;
    }

    /// Adds bytes up to a length of `len`, which must not be more than the capacity. Their values
    /// are any: they are there to be overwritten.
    pub fn extend_to(&mut self, len: usize) {
        assert!(len <= self.capacity(), "invariant: the caller has provided for {len} bytes");
        self.len = len.max(self.len);
    }

    /// Sees to it that there is room for `additional` bytes, and for no more if that takes memory.
    pub fn reserve_exact(&mut self, additional: usize) {
        let end = self.len + additional;
        if end <= self.capacity() {
            return;
        }
        match &mut self.memory {
            Memory::Heap(bytes) if end < MAP_MIN_BYTES => {
                bytes.reserve_exact(end - bytes.len());
                bytes.resize(end, 0);
            }
            _ => {
                let mut larger = Memory::with_capacity(end);
                larger.bytes_mut()[..self.len].copy_from_slice(self);
                self.memory = larger;
            }
        }
    }

    /// Room for `len` bytes more, and for so many that the next ones seldom need to move.
    #[cold]
    fn grow(&mut self, len: usize) {
        self.reserve_exact(len.max(2 * self.capacity() - self.len));
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
        &self.memory.bytes()[..self.len]
    }
}

impl DerefMut for Buffer {
    #[inline]
    fn deref_mut(&mut self) -> &mut [u8] {
        &mut self.memory.bytes_mut()[..self.len]
    }
}

/// The smallest that is mapped: sixteen pages of 4 KiB, so that rounding up to pages wastes little.
pub const MAP_MIN_BYTES: usize = 64 * 1024;

/// How far behind the beginning of a page the content of a mapping begins. The kernel copies a
/// payload behind the few bytes of its header, and where the one begins a page and the other is a
/// few bytes into one, each load waits for the store before it: on an AMD EPYC a `writev` of 1 MiB
/// took 561 µs from the beginning of a page, and 254 µs from here.
const LEAD_BYTES: usize = 256;

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
            let mapped = matches!(buffer.memory, Memory::Mapped(_));
            assert_eq!((mapped, buffer.capacity()), (is_mapped, capacity));
        }
        // One that grew from small beginnings as well.
        let mut buffer = Buffer::with_capacity(16);
        buffer.extend_from_slice(&[1; MAP_MIN_BYTES]);
        assert!(matches!(buffer.memory, Memory::Mapped(_)));
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
