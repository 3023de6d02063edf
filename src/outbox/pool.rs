//! Spare queues and buffers of all connections of one endpoint.
//!
//! ```text
//!   outbox written --> queues:  [q][q][q]     each with one small vector
//!   message sent on -> buffers: [64K][1M]     64 KiB and more, the latest used last
//!                      ^ trimmed from here, those that nobody has used since the last time
//! ```
//!
//! What this module does not know: who has what it lent, and when to trim.

use super::CHUNK_MAX_BYTES;
use super::buffer::Buffer;
use super::queue::Queue;

/// Queues that no connection uses at the moment, so that a message costs no allocation.
#[derive(Debug)]
pub struct Pool {
    // Boxed, because a queue moves between the pool and an outbox as one pointer.
    #[allow(clippy::vec_box)]
    pub(super) queues: Vec<Box<Queue>>,
    /// The fewest that were there since the last trim: so many were not needed.
    queues_unused: usize,
    /// Buffers of [`CHUNK_MAX_BYTES`] and more, empty, the latest used last.
    buffers: Vec<Buffer>,
    /// As [`queues_unused`](Pool::queues_unused).
    buffers_unused: usize,
    /// What all of them own. Invariant: at most `max_bytes`.
    pub(super) bytes: usize,
    max_bytes: usize,
}

impl Pool {
    /// A pool whose spare queues and buffers own at most `max_bytes` together, so that it keeps
    /// many small ones or a few large ones. The buffer of a queue has
    /// [`SMALL_MAX_BYTES`](super::SMALL_MAX_BYTES) at most.
    pub fn new(max_bytes: usize) -> Pool {
        Pool {
            queues: Vec::new(),
            queues_unused: 0,
            buffers: Vec::new(),
            buffers_unused: 0,
            bytes: 0,
            max_bytes,
        }
    }

    /// Bytes that the pool owns.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// An empty buffer with room for `len` bytes, and for [`CHUNK_MAX_BYTES`] at least.
    pub fn take_buffer(&mut self, len: usize) -> Buffer {
        let len = len.max(CHUNK_MAX_BYTES);
        self.take_spare(len).unwrap_or_else(|| Buffer::with_capacity(len))
    }

    /// The same, if there is one at hand.
    pub fn take_spare(&mut self, len: usize) -> Option<Buffer> {
        // Neither too small nor so large that somebody else will miss it.
        let fits = len..=len.saturating_mul(2);
        let found = self.buffers.iter().rposition(|buffer| fits.contains(&buffer.capacity()))?;
        let buffer = self.buffers.remove(found);
        self.buffers_unused = self.buffers_unused.min(self.buffers.len());
        self.bytes -= buffer.capacity();
        Some(buffer)
    }

    /// Keeps a buffer for the next who needs one, if it is large enough to be worth it and the
    /// pool has room for it.
    pub fn keep_buffer(&mut self, mut buffer: Buffer) {
        let capacity = buffer.capacity();
        if capacity >= CHUNK_MAX_BYTES && capacity <= self.max_bytes - self.bytes {
            buffer.clear();
            self.bytes += capacity;
            self.buffers.push(buffer);
        }
    }

    /// Gives back what nobody has used since the last time, so that what a burst needed is gone
    /// after the second call, and a steady load loses nothing.
    pub fn trim(&mut self) {
        // Those that were used the longest time ago.
        let queues = self.queues.drain(..self.queues_unused);
        self.bytes -= queues.map(|queue| queue.footprint()).sum::<usize>();
        let buffers = self.buffers.drain(..self.buffers_unused);
        self.bytes -= buffers.map(|buffer| buffer.capacity()).sum::<usize>();
        self.queues_unused = self.queues.len();
        self.buffers_unused = self.buffers.len();
        self.queues.shrink_to(2 * self.queues.len());
        self.buffers.shrink_to(2 * self.buffers.len());
    }

    #[inline]
    pub(super) fn take(&mut self) -> Option<Box<Queue>> {
        let queue = self.queues.pop()?;
        self.queues_unused = self.queues_unused.min(self.queues.len());
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_trim_takes_what_nobody_used_since_the_last_and_leaves_the_rest() {
        let mut pool = Pool::new(64 << 20);
        let burst: Vec<Buffer> = (0..20).map(|_| pool.take_buffer(1 << 20)).collect();
        burst.into_iter().for_each(|buffer| pool.keep_buffer(buffer));
        pool.trim();
        assert_eq!(pool.bytes(), 20 << 20, "all of it was in use since the last trim");
        for _ in 0..5 {
            // A steady load of three at a time, with others of another size.
            for _ in 0..10 {
                let three = [1, 1, 1].map(|mebibytes| pool.take_buffer(mebibytes << 20));
                let small = pool.take_buffer(1);
                three.into_iter().for_each(|buffer| pool.keep_buffer(buffer));
                pool.keep_buffer(small);
            }
            pool.trim();
            assert_eq!(pool.bytes(), (3 << 20) + CHUNK_MAX_BYTES);
        }
        pool.trim();
        assert_eq!((pool.bytes(), pool.buffers.capacity()), (0, 0));
    }
}
