//! What an outbox that is not empty owns.
//!
//! ```text
//!            chunks: finished                   tail: grows
//!         +---------------------+-------------+------------+
//!         | Own: a full buffer, | Shared,     | small      |
//!         | or what stood here  | Passed or   | frames one |
//!         | before the next     | Lent: by    | by one     |
//!         | Short: a header     | reference   |            |
//!         +---------------------+-------------+------------+
//!   sent ---->|<------------------- len ------------------>|
//! ```
//!
//! Nearly always there are no chunks: a few small frames lie in the tail, and leave in one write.
//!
//! What this module does not know: frames, sockets and water marks.

use std::collections::VecDeque;
use std::io::IoSlice;
use std::ops::Range;
use std::rc::Rc;

use super::buffer::Buffer;
use super::pool::Pool;
use super::{CHUNK_MAX_BYTES, Payload, SMALL_MAX_BYTES};

#[derive(Debug, Default)]
pub(super) struct Queue {
    /// Before the tail, in their order. Invariant: none is empty.
    chunks: VecDeque<Chunk>,
    /// Copied bytes, behind all chunks.
    tail: Buffer,
    /// Bytes of the first chunk that are written already; of the tail, if there is no chunk.
    /// Invariant: less than that has, or 0.
    sent: usize,
    /// Bytes in all chunks and the tail, less `sent`.
    len: usize,
    /// The small buffer, while the tail is a larger one.
    small: Buffer,
    /// Invariant: true if there is a `Chunk::Lent`.
    is_lent: bool,
}

impl Queue {
    #[inline]
    pub fn len(&self) -> usize {
        self.len
    }

    /// Appends what `write` puts at the front of `len` bytes, and returns the length of.
    #[inline]
    pub fn push_with(&mut self, len: usize, write: impl FnOnce(&mut [u8]) -> usize) {
        if !self.has_room(len) && self.tail.len() + len > CHUNK_MAX_BYTES {
            self.seal();
        }
        self.len += self.tail.extend_with(len, write);
    }

    /// The same where it has room for `len` bytes.
    #[inline]
    pub fn fill_with(&mut self, len: usize, write: impl FnOnce(&mut [u8]) -> usize) {
        self.len += self.tail.fill_with(len, write);
    }

    /// Appends a chunk, which must not be empty.
    pub fn push_chunk(&mut self, chunk: Chunk) {
        self.seal();
        self.len += chunk.len();
        self.is_lent |= matches!(chunk, Chunk::Lent(_));
        self.chunks.push_back(chunk);
    }

    /// Appends at most [`SHORT_MAX_BYTES`] bytes that something by reference follows.
    pub fn push_short(&mut self, bytes: &[u8]) {
        let mut short = [0; SHORT_MAX_BYTES];
        short[..bytes.len()].copy_from_slice(bytes);
        self.push_chunk(Chunk::Short(short, bytes.len() as u8));
    }

    /// Whether something in it lies in a read buffer.
    #[inline]
    pub fn is_lent(&self) -> bool {
        self.is_lent
    }

    /// Copies what still lies in the read buffer, which is to be used anew.
    pub fn keep_lent(&mut self, read_buffer: &[u8], pool: &mut Pool) {
        self.is_lent = false;
        let mut sent = self.sent;
        for chunk in &mut self.chunks {
            if let Chunk::Lent(place) = chunk {
                let unsent = &read_buffer[place.start + sent..place.end];
                // A little does not make a large buffer wait with it.
                let mut own = match unsent.len() {
                    len @ ..=SMALL_MAX_BYTES => Buffer::with_capacity(len),
                    len => pool.take_buffer(len),
                };
                own.extend_from_slice(unsent);
                *chunk = Chunk::Own(own);
                // Only the first chunk can be written in part.
                self.sent -= sent;
            }
            sent = 0;
        }
    }

    /// Provides for `len` bytes to be appended without an allocation: a small buffer as long as
    /// little is queued, then those of the pool.
    #[inline]
    pub fn reserve(&mut self, len: usize, pool: &mut Pool) {
        let end = self.tail.len() + len;
        if end <= self.tail.capacity() {
            return;
        }
        if end > SMALL_MAX_BYTES {
            return self.add_buffer(len, pool);
        }
        // Never more than a small vector may have, which doubling would come to.
        let capacity = end.next_power_of_two().min(SMALL_MAX_BYTES);
        self.tail.reserve_exact(capacity - self.tail.len());
    }

    /// Whether `len` bytes can be appended to what is there.
    #[inline]
    pub fn has_room(&self, len: usize) -> bool {
        self.tail.capacity() - self.tail.len() >= len
    }

    /// Fills `slices` with what to write next; `read_buffer` is where lent chunks lie.
    pub fn io_slices<'a>(&'a self, slices: &mut [IoSlice<'a>], read_buffer: &'a [u8]) -> usize {
        let mut skip = self.sent;
        let mut filled = 0;
        let tail = (!self.tail.is_empty()).then_some(&self.tail[..]);
        let parts = self.chunks.iter().map(|chunk| chunk.bytes(read_buffer)).chain(tail);
        for (slot, part) in slices.iter_mut().zip(parts) {
            *slot = IoSlice::new(&part[skip..]);
            skip = 0;
            filled += 1;
        }
        filled
    }

    /// The first contiguous run of bytes.
    #[inline]
    pub fn front(&self) -> &[u8] {
        let first = self.chunks.front().map_or(&self.tail[..], |chunk| chunk.bytes(&[]));
        &first[self.sent..]
    }

    #[inline]
    pub fn is_contiguous(&self) -> bool {
        self.chunks.is_empty() || (self.chunks.len() == 1 && self.tail.is_empty())
    }

    /// Forgets the first `written` bytes; buffers that become free go to the pool.
    #[inline]
    pub fn advance(&mut self, written: usize, pool: &mut Pool) {
        assert!(written <= self.len, "invariant: written <= queued");
        self.len -= written;
        self.sent += written;
        if self.len == 0 && self.chunks.is_empty() && self.tail.capacity() <= SMALL_MAX_BYTES {
            self.sent = 0;
            self.tail.clear();
            return;
        }
        self.release(pool);
    }

    /// Bytes that an empty queue owns, itself included: its table and the one buffer it kept.
    #[inline]
    pub fn footprint(&self) -> usize {
        let table = self.chunks.capacity() * size_of::<Chunk>();
        size_of::<Queue>() + table + self.tail.capacity() + self.small.capacity()
    }

    /// Lets go of the chunks that are written, and of large buffers when nothing is left.
    fn release(&mut self, pool: &mut Pool) {
        while let Some(front) = self.chunks.front() {
            let len = front.len();
            if self.sent < len {
                return;
            }
            self.sent -= len;
            if let Some(chunk) = self.chunks.pop_front() {
                self.recycle(chunk, pool);
            }
        }
        if self.len > 0 {
            return;
        }
        self.sent = 0;
        self.is_lent = false;
        if self.chunks.capacity() > KEEP_MAX_CHUNKS {
            self.chunks.shrink_to(KEEP_MAX_CHUNKS);
        }
        self.tail.clear();
        if self.tail.capacity() > SMALL_MAX_BYTES {
            let small = std::mem::take(&mut self.small);
            pool.keep_buffer(std::mem::replace(&mut self.tail, small));
        }
    }

    fn recycle(&mut self, chunk: Chunk, pool: &mut Pool) {
        match chunk {
            Chunk::Own(mut bytes) if bytes.capacity() <= SMALL_MAX_BYTES => {
                // One is kept, so that the next message finds room.
                bytes.clear();
                if self.tail.capacity() == 0 {
                    self.tail = bytes;
                } else if self.small.capacity() == 0 {
                    self.small = bytes;
                }
            }
            Chunk::Own(bytes) => pool.keep_buffer(bytes),
            Chunk::Passed(payload, _) => payload.recycle(pool),
            Chunk::Lent(_) | Chunk::Shared(..) | Chunk::Short(..) => {}
        }
    }

    /// Ends the tail: what comes next stands behind it.
    fn seal(&mut self) {
        if !self.tail.is_empty() {
            let small = std::mem::take(&mut self.small);
            let sealed = std::mem::replace(&mut self.tail, small);
            self.chunks.push_back(Chunk::Own(sealed));
        }
    }

    #[cold]
    fn add_buffer(&mut self, len: usize, pool: &mut Pool) {
        let mut buffer = pool.take_buffer(self.tail.len().min(SMALL_MAX_BYTES) + len);
        if self.tail.capacity() <= SMALL_MAX_BYTES {
            // What is there moves along, so that all of it leaves in one plain write.
            buffer.extend_from_slice(&self.tail);
            self.tail.clear();
            self.small = std::mem::take(&mut self.tail);
        } else {
            self.seal();
            if self.tail.capacity() > 0 {
                self.small = std::mem::take(&mut self.tail);
            }
        }
        self.tail = buffer;
    }
}

#[derive(Debug)]
pub(super) enum Chunk {
    /// A place in a read buffer; it becomes `Own` before that is used anew.
    Lent(Range<usize>),
    Own(Buffer),
    Passed(Payload, Range<usize>),
    /// From there to the end.
    Shared(Rc<[u8]>, usize),
    /// So many of these bytes: the header of what follows by reference.
    Short([u8; SHORT_MAX_BYTES], u8),
}

impl Chunk {
    fn len(&self) -> usize {
        match self {
            Chunk::Lent(place) | Chunk::Passed(_, place) => place.len(),
            Chunk::Own(bytes) => bytes.len(),
            Chunk::Shared(bytes, start) => bytes.len() - start,
            Chunk::Short(_, len) => usize::from(*len),
        }
    }

    fn bytes<'a>(&'a self, read_buffer: &'a [u8]) -> &'a [u8] {
        match self {
            Chunk::Lent(place) => &read_buffer[place.clone()],
            Chunk::Own(bytes) => bytes,
            Chunk::Passed(payload, place) => &payload.as_bytes()[place.clone()],
            Chunk::Shared(bytes, start) => &bytes[*start..],
            Chunk::Short(bytes, len) => &bytes[..usize::from(*len)],
        }
    }
}

/// What a short chunk can hold: the header of a frame.
pub(super) const SHORT_MAX_BYTES: usize = 14;

/// As many as an idle queue keeps room for.
const KEEP_MAX_CHUNKS: usize = 64;
