//! The send queue of one connection.
//!
//! Sending never writes to a socket: it appends to the outbox of the destination, and once per tick
//! the event loop writes each outbox that has something, in one system call ([`Outbox::io_slices`],
//! then [`Outbox::advance_into`] by what the kernel took). Messages leave in the order in which
//! they were queued.
//!
//! ```text
//!            sent                     queue.len
//!        |--------->|<------------------------------------------->|
//!        +---------------------+----------------------+-----------+
//! chunks | Own: small frames,  | Shared: one frame of | Own ...   |
//!        | one after the other | a broadcast, or      |           |
//!        |                     | Passed: a received   |           |
//!        |                     | message, by Rc       |           |
//!        +---------------------+----------------------+-----------+
//!        ^ front                                            back ^
//! ```
//!
//! An idle outbox is one null pointer: its queue goes back to the endpoint's [`Pool`] when the last
//! byte is written, so ten thousand silent connections own no buffer at all. What a small vector
//! cannot hold goes to buffers of 64 KiB, which the pool has as well.
//!
//! What this module does not know: frames, sockets, and whether it is full. The water marks are
//! rules of the engine, which compares [`Outbox::len`] with them.

use std::collections::VecDeque;
use std::io::IoSlice;
use std::ops::Range;
use std::rc::Rc;

/// One encoded frame, header included, that many outboxes refer to without copying it.
///
/// Made once for a broadcast; cloning it costs one counter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frame(Rc<[u8]>);

impl Frame {
    /// Takes the bytes of a whole encoded frame: the one allocation of a broadcast.
    pub fn new(encoded: &[u8]) -> Frame {
        Frame(Rc::from(encoded))
    }

    /// The encoded frame: header and payload.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// Whether outboxes refer to it; a short one is copied.
    pub fn is_shared(&self) -> bool {
        self.0.len() >= SHARE_MIN_BYTES
    }
}

/// The bytes of a received message that outboxes may refer to while it is passed on.
///
/// A message that did not fit one read owns its buffer already; sending it on (an echo, a direct
/// message, a broadcast) then costs a counter and no copy.
#[derive(Clone, Debug)]
pub struct Payload(Rc<Vec<u8>>);

impl Payload {
    /// Takes over a buffer.
    pub fn new(buffer: Vec<u8>) -> Payload {
        Payload(Rc::new(buffer))
    }

    /// The whole buffer.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// Where in the buffer `part` lies, if it lies there at all: the very same memory, not merely
    /// equal bytes.
    fn place(&self, part: &[u8]) -> Option<Range<usize>> {
        let start = (part.as_ptr() as usize).checked_sub(self.0.as_ptr() as usize)?;
        let end = start.checked_add(part.len())?;
        (end <= self.0.len()).then_some(start..end)
    }

    /// Gives the buffer to the pool, if nobody else refers to it.
    pub fn recycle(self, pool: &mut Pool) {
        if let Some(bytes) = Rc::into_inner(self.0) {
            pool.keep_buffer(bytes);
        }
    }
}

/// The send queue of one connection; see the [module](self).
#[derive(Debug, Default)]
pub struct Outbox {
    queue: Option<Box<Queue>>,
}

impl Outbox {
    /// An empty outbox, which owns no memory.
    pub fn new() -> Outbox {
        Outbox::default()
    }

    /// Bytes queued and not yet written.
    pub fn len(&self) -> usize {
        self.queue.as_ref().map_or(0, |queue| queue.len)
    }

    /// Whether everything has been written.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Appends bytes by copying them.
    #[inline]
    pub fn push(&mut self, bytes: &[u8]) {
        let queue = self.queue.get_or_insert_default();
        queue.len += bytes.len();
        queue.own(bytes.len()).extend_from_slice(bytes);
    }

    /// Appends `len` bytes that `write` must append to the vector it is given, so that a payload
    /// can be built in place (a client masks while it copies).
    pub fn push_with(&mut self, len: usize, write: impl FnOnce(&mut Vec<u8>)) {
        let queue = self.queue.get_or_insert_default();
        let own = queue.own(len);
        let before = own.len();
        write(own);
        queue.len += own.len() - before;
    }

    /// Appends a shared frame: by reference from [`SHARE_MIN_BYTES`] on, else by copying.
    #[inline]
    pub fn push_frame(&mut self, frame: &Frame) {
        if !frame.is_shared() {
            return self.push(&frame.0);
        }
        let queue = self.queue.get_or_insert_default();
        queue.len += frame.0.len();
        queue.drop_empty_back();
        queue.chunks.push_back(Chunk::Shared(frame.clone()));
    }

    /// Appends `part` by reference if it lies in `payload` and is at least [`SHARE_MIN_BYTES`] long
    /// and a quarter of that buffer, else by copying: what is queued keeps the whole buffer alive,
    /// and a peer must not be able to make much of it wait behind little.
    pub fn push_part(&mut self, part: &[u8], payload: Option<&Payload>) {
        let place = match payload {
            Some(payload) if part.len() >= SHARE_MIN_BYTES.max(payload.0.capacity() / 4) => {
                payload.place(part)
            }
            _ => None,
        };
        let (Some(payload), Some(place)) = (payload, place) else { return self.push(part) };
        let queue = self.queue.get_or_insert_default();
        queue.len += part.len();
        queue.drop_empty_back();
        queue.chunks.push_back(Chunk::Passed(payload.clone(), place));
    }

    /// Fills `slices` with what to write next and returns how many were filled.
    pub fn io_slices<'a>(&'a self, slices: &mut [IoSlice<'a>]) -> usize {
        let Some(queue) = &self.queue else { return 0 };
        let mut skip = queue.sent;
        let mut filled = 0;
        for (slot, chunk) in slices.iter_mut().zip(&queue.chunks) {
            *slot = IoSlice::new(&chunk.bytes()[skip..]);
            skip = 0;
            filled += 1;
        }
        filled
    }

    /// The first contiguous run of bytes to write: what a single `write` can take.
    pub fn front(&self) -> &[u8] {
        match &self.queue {
            Some(queue) if queue.len > 0 => &queue.chunks[0].bytes()[queue.sent..],
            _ => &[],
        }
    }

    /// Whether [`front`](Outbox::front) is all there is, so that a plain `write` will do.
    pub fn is_contiguous(&self) -> bool {
        self.queue.as_ref().is_none_or(|queue| queue.chunks.len() <= 1)
    }

    /// Forgets the first `written` bytes, which the kernel has taken.
    ///
    /// # Panics
    ///
    /// If `written` is more than [`len`](Outbox::len): the caller's bug, never the peer's.
    pub fn advance(&mut self, written: usize) {
        self.advance_into(written, &mut Pool::new(0));
    }

    /// The same, and buffers that become free go to the pool.
    ///
    /// # Panics
    ///
    /// As [`advance`](Outbox::advance).
    pub fn advance_into(&mut self, written: usize, pool: &mut Pool) {
        let Some(queue) = &mut self.queue else {
            assert!(written == 0, "invariant: nothing was queued, so nothing was written");
            return;
        };
        assert!(written <= queue.len, "invariant: written <= queued");
        queue.len -= written;
        queue.sent += written;
        if queue.len == 0 {
            queue.reset(pool);
            return;
        }
        while let Some(front) = queue.chunks.front() {
            let len = front.bytes().len();
            if queue.sent < len {
                break;
            }
            queue.sent -= len;
            if let Some(chunk) = queue.chunks.pop_front() {
                chunk.recycle(pool);
            }
        }
    }

    /// Drops everything queued.
    pub fn clear(&mut self) {
        self.queue = None;
    }

    /// Provides for `len` bytes to be pushed, from the pool if it has what is needed; call it
    /// before pushing. Without it the outbox allocates by itself.
    #[inline]
    pub fn reserve(&mut self, len: usize, pool: &mut Pool) {
        if self.queue.is_none() {
            self.queue = pool.take();
        }
        self.queue.get_or_insert_default().make_room(len, pool);
    }

    /// Gives the queue back to the pool, if the outbox is empty; call it after a flush.
    #[inline]
    pub fn give_back(&mut self, pool: &mut Pool) {
        if self.is_empty()
            && let Some(queue) = self.queue.take()
        {
            pool.keep(queue);
        }
    }
}

/// Queues that no connection uses at the moment, so that a message costs no allocation.
#[derive(Debug)]
pub struct Pool {
    // Boxed, because a queue moves between the pool and an outbox as one pointer.
    #[allow(clippy::vec_box)]
    queues: Vec<Box<Queue>>,
    /// Buffers of [`CHUNK_MAX_BYTES`] and more, the latest used last.
    buffers: Vec<Vec<u8>>,
    /// What all of them own. Invariant: at most `max_bytes`.
    bytes: usize,
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
        // Neither too small nor so large that somebody else will miss it.
        let fits = len..=len.saturating_mul(2);
        let found = self.buffers.iter().rposition(|buffer| fits.contains(&buffer.capacity()));
        match found.map(|place| self.buffers.remove(place)) {
            Some(buffer) => {
                self.bytes -= buffer.capacity();
                buffer
            }
            None => Vec::with_capacity(len),
        }
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

    /// Gives half of the buffers back, then of the queues, or all if at most `idle_bytes` stay.
    pub fn trim(&mut self, idle_bytes: usize) {
        if self.bytes / 2 <= idle_bytes {
            return *self = Pool::new(self.max_bytes);
        }
        // The longest unused; queues last: allocated anew, they would pin the buffers below.
        self.bytes -= if self.buffers.iter().map(Vec::capacity).sum::<usize>() > idle_bytes {
            let half = self.buffers.drain(..self.buffers.len().div_ceil(2));
            half.map(|buffer| buffer.capacity()).sum::<usize>()
        } else {
            let half = self.queues.drain(..self.queues.len().div_ceil(2));
            half.map(|queue| queue.footprint()).sum::<usize>()
        };
    }

    #[inline]
    fn take(&mut self) -> Option<Box<Queue>> {
        let queue = self.queues.pop()?;
        self.bytes -= queue.footprint();
        Some(queue)
    }

    #[inline]
    fn keep(&mut self, queue: Box<Queue>) {
        let footprint = queue.footprint();
        if footprint <= self.max_bytes - self.bytes {
            self.bytes += footprint;
            self.queues.push(queue);
        }
    }
}

#[derive(Debug, Default)]
struct Queue {
    chunks: VecDeque<Chunk>,
    /// Bytes of the first chunk that are written already.
    /// Invariant: `sent < chunks[0].len()`, or 0 if there is no chunk.
    sent: usize,
    /// Bytes in all chunks, less `sent`.
    len: usize,
    /// The small vector, while larger ones are in use.
    small: Vec<u8>,
}

impl Queue {
    /// The vector to append `len` more bytes to: the last chunk if it is ours and has not grown
    /// large, so that appending never moves more than [`CHUNK_MAX_BYTES`].
    #[inline]
    fn own(&mut self, len: usize) -> &mut Vec<u8> {
        let fits = match self.chunks.back() {
            Some(Chunk::Own(bytes)) => {
                bytes.is_empty() || bytes.len() + len <= CHUNK_MAX_BYTES.max(bytes.capacity())
            }
            _ => false,
        };
        if !fits {
            self.chunks.push_back(Chunk::Own(Vec::with_capacity(len)));
        }
        match self.chunks.back_mut() {
            Some(Chunk::Own(bytes)) => bytes,
            _ => unreachable!("invariant: the last chunk is ours, it was just looked at or pushed"),
        }
    }

    /// Makes the last chunk one that takes `len` more bytes without allocating: a small vector as
    /// long as little is queued, then buffers of the pool.
    #[inline]
    fn make_room(&mut self, len: usize, pool: &mut Pool) {
        if let Some(Chunk::Own(bytes)) = self.chunks.back()
            && (bytes.capacity() - bytes.len() >= len || bytes.len() + len <= SMALL_MAX_BYTES)
        {
            return;
        }
        let overflows = matches!(self.chunks.back(), Some(Chunk::Own(bytes)) if !bytes.is_empty());
        if len > SMALL_MAX_BYTES || overflows {
            self.add_buffer(len, pool);
        }
    }

    fn add_buffer(&mut self, len: usize, pool: &mut Pool) {
        let mut buffer = pool.take_buffer(len);
        buffer.clear();
        if let Some(Chunk::Own(bytes)) = self.chunks.back_mut()
            && bytes.capacity() <= SMALL_MAX_BYTES
        {
            // What is there moves along, so that all of it leaves in one plain write.
            buffer.extend_from_slice(bytes);
            bytes.clear();
            self.small = std::mem::take(bytes);
            self.chunks.pop_back();
        }
        self.chunks.push_back(Chunk::Own(buffer));
    }

    /// Bytes that an empty queue owns, itself included: its table and the one vector it kept.
    #[inline]
    fn footprint(&self) -> usize {
        let kept = match self.chunks.front() {
            Some(Chunk::Own(bytes)) => bytes.capacity(),
            _ => 0,
        };
        size_of::<Queue>() + self.chunks.capacity() * size_of::<Chunk>() + kept
    }

    fn drop_empty_back(&mut self) {
        if let Some(Chunk::Own(bytes)) = self.chunks.back_mut()
            && bytes.is_empty()
        {
            self.small = std::mem::take(bytes);
            self.chunks.pop_back();
        }
    }

    /// Empties the queue but keeps one small vector, so that the next message finds room.
    #[inline]
    fn reset(&mut self, pool: &mut Pool) {
        self.sent = 0;
        self.len = 0;
        if let [Chunk::Own(bytes)] = self.chunks.make_contiguous()
            && bytes.capacity() <= SMALL_MAX_BYTES
        {
            return bytes.clear();
        }
        for chunk in self.chunks.drain(..) {
            chunk.recycle(pool);
        }
        if self.chunks.capacity() > KEEP_MAX_CHUNKS {
            self.chunks.shrink_to(KEEP_MAX_CHUNKS);
        }
        let mut small = std::mem::take(&mut self.small);
        if small.capacity() > 0 && small.capacity() <= SMALL_MAX_BYTES {
            small.clear();
            self.chunks.push_back(Chunk::Own(small));
        }
    }
}

#[derive(Debug)]
enum Chunk {
    Own(Vec<u8>),
    Passed(Payload, Range<usize>),
    Shared(Frame),
}

impl Chunk {
    fn bytes(&self) -> &[u8] {
        match self {
            Chunk::Own(bytes) => bytes,
            Chunk::Passed(payload, place) => &payload.as_bytes()[place.clone()],
            Chunk::Shared(frame) => frame.as_bytes(),
        }
    }

    fn recycle(self, pool: &mut Pool) {
        match self {
            Chunk::Own(bytes) => pool.keep_buffer(bytes),
            Chunk::Passed(payload, _) => payload.recycle(pool),
            Chunk::Shared(_) => {}
        }
    }
}

/// A shared frame shorter than this is copied: below it, a copy is cheaper than one more slice in
/// the `writev` (see the `outbox` bench).
pub const SHARE_MIN_BYTES: usize = 4096;

/// A chunk of copied bytes grows to this, then another is begun.
pub const CHUNK_MAX_BYTES: usize = 64 * 1024;

/// The largest buffer that an idle queue keeps; a queue that needs more gets it from the pool.
pub const SMALL_MAX_BYTES: usize = 4096;

const KEEP_MAX_CHUNKS: usize = 16;

#[cfg(test)]
mod tests {
    use super::*;

    /// Writes as a socket that takes `step` bytes at a time would.
    fn drain(outbox: &mut Outbox, step: usize) -> Vec<u8> {
        let mut all = Vec::new();
        while !outbox.is_empty() {
            let mut slices = [IoSlice::new(&[]); 3];
            let filled = outbox.io_slices(&mut slices);
            let before = all.len();
            let bytes = slices[..filled].iter().flat_map(|slice| slice.iter().copied());
            all.extend(bytes.take(step));
            let n = all.len() - before;
            assert!(n > 0, "a queue with bytes offers bytes");
            outbox.advance(n);
        }
        all
    }

    fn big(byte: u8) -> Frame {
        Frame::new(&vec![byte; SHARE_MIN_BYTES + 5])
    }

    #[test]
    fn bytes_leave_in_the_order_they_were_queued_whatever_the_write_takes() {
        let mut wanted = Vec::new();
        for step in [1, 2, 7, 4096, 5000, 1 << 20] {
            let mut outbox = Outbox::new();
            wanted.clear();
            for i in 0..5u8 {
                outbox.push(&[i; 300]);
                wanted.extend_from_slice(&[i; 300]);
                outbox.push_frame(&big(100 + i));
                wanted.extend_from_slice(big(100 + i).as_bytes());
                outbox.push_frame(&Frame::new(b"small"));
                wanted.extend_from_slice(b"small");
            }
            outbox.push(&vec![9; CHUNK_MAX_BYTES + 1]);
            wanted.extend_from_slice(&vec![9; CHUNK_MAX_BYTES + 1]);
            assert_eq!(outbox.len(), wanted.len());
            assert_eq!(drain(&mut outbox, step), wanted, "writes of {step} bytes");
        }
    }

    #[test]
    fn an_idle_outbox_is_one_pointer_and_gives_its_queue_back() {
        assert_eq!(size_of::<Outbox>(), size_of::<usize>());
        let mut pool = Pool::new(4096);
        let mut outbox = Outbox::new();
        outbox.push(b"hello");
        outbox.give_back(&mut pool);
        assert_eq!(outbox.len(), 5, "a queue with bytes in it stays");
        outbox.advance(5);
        outbox.give_back(&mut pool);
        assert!(outbox.queue.is_none());
        assert_eq!(pool.queues.len(), 1);
        outbox.reserve(0, &mut pool);
        outbox.push(b"again");
        assert_eq!(outbox.front(), b"again");
        assert!(outbox.is_contiguous());
    }

    #[test]
    fn a_large_buffer_is_not_kept_by_an_idle_queue() {
        let mut pool = Pool::new(1 << 20);
        let mut outbox = Outbox::new();
        outbox.push(&vec![0; SMALL_MAX_BYTES * 4]);
        drain(&mut outbox, usize::MAX);
        outbox.give_back(&mut pool);
        outbox.reserve(0, &mut pool);
        let kept: usize = outbox.queue.iter().flat_map(|q| &q.chunks).map(chunk_capacity).sum();
        assert!(kept <= SMALL_MAX_BYTES, "{kept} bytes kept");
    }

    #[test]
    fn the_pool_keeps_no_more_bytes_than_it_was_told_and_counts_what_it_lends() {
        let mut pool = Pool::new(10_000);
        let mut outboxes: Vec<Outbox> = (0..20).map(|_| Outbox::new()).collect();
        for _ in 0..3 {
            for outbox in &mut outboxes {
                outbox.reserve(0, &mut pool);
                outbox.push(&[0; 2_000]);
            }
            assert_eq!((pool.queues.len(), pool.bytes), (0, 0));
            for outbox in &mut outboxes {
                outbox.advance(2_000);
                outbox.give_back(&mut pool);
            }
            assert_eq!(pool.queues.len(), 4);
            let counted: usize = pool.queues.iter().map(|queue| queue.footprint()).sum();
            assert_eq!(pool.bytes, counted);
            assert!(pool.bytes <= 10_000, "{} bytes kept", pool.bytes);
        }
    }

    #[test]
    fn a_received_message_is_passed_on_by_reference_and_a_small_part_of_it_is_not() {
        let payload = Payload::new(vec![7; 1 << 20]);
        let mut outbox = Outbox::new();
        for (len, references) in [(1 << 20, 2), (1 << 18, 3), ((1 << 18) - 1, 3), (5_000, 3)] {
            outbox.push_part(&payload.as_bytes()[..len], Some(&payload));
            assert_eq!(Rc::strong_count(&payload.0), references, "{len} bytes");
        }
        // Equal bytes elsewhere are not the same bytes.
        outbox.push_part(&vec![7; 1 << 20], Some(&payload));
        assert_eq!(Rc::strong_count(&payload.0), 3);
        let all = drain(&mut outbox, 100_000);
        assert_eq!(all.len(), (2 << 20) + (2 << 18) - 1 + 5_000);
        assert!(all.iter().all(|byte| *byte == 7));
        assert_eq!(Rc::strong_count(&payload.0), 1);
    }

    #[test]
    #[should_panic(expected = "written <= queued")]
    fn writing_more_than_was_queued_is_our_bug() {
        let mut outbox = Outbox::new();
        outbox.push(b"abc");
        outbox.advance(4);
    }

    fn chunk_capacity(chunk: &Chunk) -> usize {
        match chunk {
            Chunk::Own(bytes) => bytes.capacity(),
            Chunk::Passed(..) | Chunk::Shared(_) => 0,
        }
    }
}
