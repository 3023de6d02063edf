//! Spare queues and buffers of all connections of one endpoint.
//!
//! ```text
//!   outbox written --> queues:  [q][q][q]     each with one small vector
//!   message sent on -> buffers: [64K][1M]     64 KiB and more, the latest used last
//!                      ^ trimmed from here
//! ```
//!
//! What this module does not know: who has what it lent, and when to trim.

use super::CHUNK_MAX_BYTES;
use super::queue::Queue;

/// Queues that no connection uses at the moment, so that a message costs no allocation.
#[derive(Debug)]
pub struct Pool {
    // Boxed, because a queue moves between the pool and an outbox as one pointer.
    #[allow(clippy::vec_box)]
    pub(super) queues: Vec<Box<Queue>>,
    /// Buffers of [`CHUNK_MAX_BYTES`] and more, the latest used last.
    buffers: Vec<Vec<u8>>,
    /// What all of them own. Invariant: at most `max_bytes`.
    pub(super) bytes: usize,
    max_bytes: usize,
}

impl Pool {
    /// A pool whose idle queues own at most `max_bytes` together, so that it keeps many small ones
    /// or a few large ones, of at most [`SMALL_MAX_BYTES`] each.
    pub fn new(max_bytes: usize) -> Pool {
        Pool { queues: Vec::new(), buffers: Vec::new(), bytes: 0, max_bytes }
    }

    /// Bytes that the pool owns.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// A buffer with room for `len` bytes, and for [`CHUNK_MAX_BYTES`] at least. What is in it is
    /// left over from its last use: it is handed out as it is so that nobody has to clear it.
    pub fn take_buffer(&mut self, len: usize) -> Vec<u8> {
        let len = len.max(CHUNK_MAX_BYTES);
        self.take_spare(len).unwrap_or_else(|| Vec::with_capacity(len))
    }

    /// The same, if there is one at hand.
    pub fn take_spare(&mut self, len: usize) -> Option<Vec<u8>> {
        // Neither too small nor so large that somebody else will miss it.
        let fits = len..=len.saturating_mul(2);
        let found = self.buffers.iter().rposition(|buffer| fits.contains(&buffer.capacity()))?;
        let buffer = self.buffers.remove(found);
        self.bytes -= buffer.capacity();
        Some(buffer)
    }

    /// Keeps a buffer for the next who needs one, if it is large enough to be worth it and the
    /// pool has room for it.
    pub fn keep_buffer(&mut self, buffer: Vec<u8>) {
        let capacity = buffer.capacity();
        if capacity >= CHUNK_MAX_BYTES && capacity <= self.max_bytes - self.bytes {
            self.bytes += capacity;
            self.buffers.push(buffer);
        }
    }

    /// Gives half of what it owns back, of the queues and of the buffers, or all of it if that
    /// leaves no more than `idle_bytes`: the last little one may be what keeps the allocator from
    /// giving back what lies below it.
    pub fn trim(&mut self, idle_bytes: usize) {
        if self.bytes / 2 <= idle_bytes {
            *self = Pool::new(self.max_bytes);
            return;
        }
        // Those that were used the longest time ago.
        let queues = self.queues.drain(..self.queues.len().div_ceil(2));
        self.bytes -= queues.map(|queue| queue.footprint()).sum::<usize>();
        let buffers = self.buffers.drain(..self.buffers.len().div_ceil(2));
        self.bytes -= buffers.map(|buffer| buffer.capacity()).sum::<usize>();
    }

    #[inline]
    pub(super) fn take(&mut self) -> Option<Box<Queue>> {
        let queue = self.queues.pop()?;
        self.bytes -= queue.footprint();
        Some(queue)
    }

    #[inline]
    pub(super) fn keep(&mut self, queue: Box<Queue>) {
        let footprint = queue.footprint();
        if footprint <= self.max_bytes - self.bytes {
            self.bytes += footprint;
            self.queues.push(queue);
        }
    }
}
