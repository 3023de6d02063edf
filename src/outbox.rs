//! The send queue of one connection.
//!
//! Sending never writes to a socket: it appends to the outbox of the destination, and once per tick
//! the event loop writes each outbox that has something, in one system call ([`Outbox::io_slices`],
//! then [`Outbox::advance_into`] by what the kernel took). Messages leave in the order in which
//! they were queued.
//!
//! ```text
//!   small frames: [tail                ]                  copied one behind the other: one `write`
//!   large ones:   [own ][shared ][own ][passed   ][tail]  by reference, no copy: one `writev`
//! ```
//!
//! An idle outbox is one null pointer: its queue goes back to the endpoint's [`Pool`] when the
//! last byte is written, so ten thousand silent connections own no buffer. What a small buffer
//! cannot hold goes to [large ones](Buffer) of 64 KiB and more, which are not on the heap, and
//! which the pool has as well.
//!
//! What this module does not know: frames, sockets, and whether it is full. The water marks are
//! rules of the engine, which compares [`Outbox::len`] with them.

mod buffer;
mod pool;
mod queue;

use std::cell::{OnceCell, RefCell};
use std::io::IoSlice;
use std::ops::Range;
use std::rc::Rc;

pub use self::buffer::Buffer;
pub use self::pool::Pool;
use self::queue::{Chunk, Queue};

/// One encoded frame, header included, that many outboxes refer to without copying it.
///
/// Made once for a broadcast, or part of something that is kept anyway; cloning it costs one
/// counter.
#[derive(Clone, Debug)]
pub struct Frame {
    bytes: Rc<[u8]>,
    /// Where in the bytes it begins. It goes to their end.
    start: usize,
    /// The same message in other encodings, or that it has none, as far as somebody asked.
    encodings: Option<Rc<[OnceCell<Option<Frame>>; ENCODINGS_MAX]>>,
}

impl Frame {
    /// Takes the bytes of a whole encoded frame: the one allocation of a broadcast.
    pub fn new(encoded: &[u8]) -> Frame {
        Frame { bytes: Rc::from(encoded), start: 0, encodings: None }
    }

    /// Takes a whole encoded frame that is the end of something longer, from `start` on: no
    /// allocation. Whatever is in front of it lives as long.
    ///
    /// # Panics
    ///
    /// If there is nothing from `start` on: the caller's bug.
    pub fn end_of(bytes: Rc<[u8]>, start: usize) -> Frame {
        assert!(start < bytes.len(), "invariant: no frame is empty");
        Frame { bytes, start, encodings: None }
    }

    /// The same frame, which will remember its other encodings. Another is encoded anew for each.
    pub fn with_encodings(self) -> Frame {
        Frame { encodings: Some(Rc::default()), ..self }
    }

    /// The same message in the encoding with this number, made when it is first asked for. `None`
    /// if there is none, or the frame does not remember any.
    ///
    /// # Panics
    ///
    /// For a number of 16 or more: the caller's bug.
    pub fn encoding(&self, number: u8, make: impl FnOnce() -> Option<Frame>) -> Option<&Frame> {
        let encodings = self.encodings.as_ref()?;
        encodings[usize::from(number)].get_or_init(make).as_ref()
    }

    /// The encoded frame: header and payload.
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes[self.start..]
    }

    /// Whether outboxes refer to it; a short one is copied.
    pub fn is_shared(&self) -> bool {
        self.bytes.len() - self.start >= SHARE_MIN_BYTES
    }

    /// Whether it remembers its other encodings.
    pub fn has_encodings(&self) -> bool {
        self.encodings.is_some()
    }
}

/// The bytes of a received message that outboxes may refer to while it is passed on.
///
/// A message that did not fit one read owns its buffer already; sending it on (an echo, a direct
/// message, a broadcast) then costs a counter and no copy.
#[derive(Clone, Debug)]
pub struct Payload(Rc<Buffer>);

impl Payload {
    /// Takes over a buffer.
    pub fn new(buffer: Buffer) -> Payload {
        Payload(Rc::new(buffer))
    }

    /// The whole buffer.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// Gives the buffer to the pool, if nobody else refers to it.
    pub fn recycle(self, pool: &mut Pool) {
        if let Some(bytes) = Rc::into_inner(self.0) {
            pool.keep_buffer(bytes);
        }
    }
}

/// Where the bytes of a message lie that is being passed on, if they need not be copied.
#[derive(Clone, Debug)]
pub enum Source {
    /// In a read buffer at this address and of this length, for as long as nothing else is read.
    Lent {
        /// Where it begins; compared, never followed.
        start: usize,
        /// Its length in bytes.
        len: usize,
        /// How long a part must be to be worth a slice of its own.
        min_bytes: usize,
    },
    /// In a buffer of the message's own.
    Payload(Payload),
}

impl Source {
    /// A read buffer, for parts of at least `min_bytes` bytes.
    pub fn lent(read_buffer: &[u8], min_bytes: usize) -> Source {
        Source::Lent { start: read_buffer.as_ptr() as usize, len: read_buffer.len(), min_bytes }
    }

    /// Whether there is a part that need not be copied.
    pub fn has_any(&self, parts: &[&[u8]]) -> bool {
        parts.iter().any(|part| self.place(part).is_some())
    }

    /// The reference to a part that lies there and is worth it.
    ///
    /// What is queued keeps the whole of a payload's buffer alive, and a peer must not be able to
    /// make much of it wait behind little: of that, a part has to be a quarter.
    fn place(&self, part: &[u8]) -> Option<Chunk> {
        match self {
            Source::Lent { start, len, min_bytes } if part.len() >= *min_bytes => {
                within(*start, *len, part).map(Chunk::Lent)
            }
            Source::Payload(payload)
                if part.len() >= PASS_MIN_BYTES.max(payload.0.capacity() / 4) =>
            {
                let place = within(payload.0.as_ptr() as usize, payload.0.len(), part)?;
                Some(Chunk::Passed(payload.clone(), place))
            }
            _ => None,
        }
    }
}

fn copy(bytes: &[u8], space: &mut [u8]) -> usize {
    space.copy_from_slice(bytes);
    bytes.len()
}

/// Where in the `len` bytes at `start` `part` lies, if it lies there at all: the very same memory,
/// not merely equal bytes.
fn within(start: usize, len: usize, part: &[u8]) -> Option<Range<usize>> {
    let first = (part.as_ptr() as usize).checked_sub(start)?;
    let end = first.checked_add(part.len())?;
    (end <= len).then_some(first..end)
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
    #[inline]
    pub fn len(&self) -> usize {
        self.queue.as_ref().map_or(0, |queue| queue.len())
    }

    /// Whether everything has been written.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Appends bytes by copying them.
    #[inline]
    pub fn push(&mut self, bytes: &[u8]) {
        self.push_with(bytes.len(), |space| copy(bytes, space));
    }

    /// Appends what `write` puts at the front of the `len` bytes it is given, and returns the
    /// length of, so that a frame can be built in place (a client masks where it has copied to).
    #[inline]
    pub fn push_with(&mut self, len: usize, write: impl FnOnce(&mut [u8]) -> usize) {
        self.queue.get_or_insert_default().push_with(len, write);
    }

    /// The same, with buffers of the pool: no allocation if that has what is needed.
    #[inline]
    pub fn push_pooled(
        &mut self,
        len: usize,
        pool: &RefCell<Pool>,
        write: impl FnOnce(&mut [u8]) -> usize,
    ) {
        match &mut self.queue {
            Some(queue) if queue.has_room(len) => queue.fill_with(len, write),
            _ => {
                self.reserve(len, &mut pool.borrow_mut());
                self.push_with(len, write);
            }
        }
    }

    /// Appends a shared frame: by reference from [`SHARE_MIN_BYTES`] on, else by copying.
    #[inline]
    pub fn push_frame(&mut self, frame: &Frame) {
        if !frame.is_shared() {
            return self.push(frame.as_bytes());
        }
        let chunk = Chunk::Shared(Rc::clone(&frame.bytes), frame.start);
        self.queue.get_or_insert_default().push_chunk(chunk);
    }

    /// Appends a frame whose payload is `parts` in a row: those that `source` lends or shares by
    /// reference, the others and the header (at most 14 bytes) by copying them.
    pub fn push_from(&mut self, source: &Source, header: &[u8], parts: &[&[u8]]) {
        let queue = self.queue.get_or_insert_default();
        queue.push_short(header);
        for part in parts {
            match source.place(part) {
                Some(chunk) => queue.push_chunk(chunk),
                None => queue.push_with(part.len(), |space| copy(part, space)),
            }
        }
    }

    /// Whether something in it lies in a read buffer: then it must be written by
    /// [`io_slices_in`](Outbox::io_slices_in), and [`keep_lent`](Outbox::keep_lent) be called,
    /// before that buffer is used anew.
    #[inline]
    pub fn is_lent(&self) -> bool {
        self.queue.as_ref().is_some_and(|queue| queue.is_lent())
    }

    /// Copies what still lies in the read buffer, which is to be used anew.
    pub fn keep_lent(&mut self, read_buffer: &[u8], pool: &mut Pool) {
        if let Some(queue) = &mut self.queue {
            queue.keep_lent(read_buffer, pool);
        }
    }

    /// Fills `slices` with what to write next and returns how many were filled.
    pub fn io_slices<'a>(&'a self, slices: &mut [IoSlice<'a>]) -> usize {
        self.io_slices_in(slices, &[])
    }

    /// The same where something of it [is lent](Outbox::is_lent) by `read_buffer`.
    ///
    /// # Panics
    ///
    /// If it is not that buffer.
    pub fn io_slices_in<'a>(&'a self, slices: &mut [IoSlice<'a>], read_buffer: &'a [u8]) -> usize {
        self.queue.as_ref().map_or(0, |queue| queue.io_slices(slices, read_buffer))
    }

    /// The first contiguous run of bytes to write: what a single `write` can take.
    #[inline]
    pub fn front(&self) -> &[u8] {
        self.queue.as_ref().map_or(&[], |queue| queue.front())
    }

    /// Whether [`front`](Outbox::front) is all there is, so that a plain `write` will do.
    #[inline]
    pub fn is_contiguous(&self) -> bool {
        self.queue.as_ref().is_none_or(|queue| queue.is_contiguous())
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
    #[inline]
    pub fn advance_into(&mut self, written: usize, pool: &mut Pool) {
        match &mut self.queue {
            Some(queue) => queue.advance(written, pool),
            None => assert!(written == 0, "invariant: nothing was queued, so nothing was written"),
        }
    }

    /// Drops everything queued.
    pub fn clear(&mut self) {
        self.queue = None;
    }

    /// Provides for `len` bytes to be pushed, from the pool if it has what is needed; call it
    /// before pushing. Without it the outbox allocates by itself.
    pub fn reserve(&mut self, len: usize, pool: &mut Pool) {
        if self.queue.is_none() {
            self.queue = pool.take();
        }
        self.queue.get_or_insert_default().reserve(len, pool);
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

/// How many other encodings a frame may have: as many as there are sizes of windows, and what
/// counting them from 0 wastes.
const ENCODINGS_MAX: usize = 16;

/// A shared frame shorter than this is copied. Its bytes are warm, since they go to many, and those
/// of as many queues would not be: already from here on a slice of the `writev` is cheaper.
pub const SHARE_MIN_BYTES: usize = 1024;

/// A part of a received message shorter than this is copied: a copy is cheaper than one more slice
/// in the `writev`.
pub const PASS_MIN_BYTES: usize = 4096;

/// A chunk of copied bytes grows to this, then another is begun.
pub const CHUNK_MAX_BYTES: usize = buffer::MAP_MIN_BYTES;

/// The largest buffer that an idle queue keeps; a queue that needs more gets it from the pool.
pub const SMALL_MAX_BYTES: usize = 4096;

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
        let kept: usize = outbox.queue.iter().map(|queue| queue.footprint()).sum();
        assert!(kept <= SMALL_MAX_BYTES + 1024, "{kept} bytes kept");
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
        let mut buffer = Buffer::new();
        buffer.extend_from_slice(&vec![7; 1 << 20]);
        let payload = Payload::new(buffer);
        let source = Source::Payload(payload.clone());
        let mut outbox = Outbox::new();
        for (len, references) in [(1 << 20, 3), (1 << 18, 4), ((1 << 18) - 1, 4), (5_000, 4)] {
            outbox.push_from(&source, &[7; 2], &[&payload.as_bytes()[..len]]);
            assert_eq!(Rc::strong_count(&payload.0), references, "{len} bytes");
        }
        // Equal bytes elsewhere are not the same bytes.
        outbox.push_from(&source, &[7; 2], &[&vec![7; 1 << 20]]);
        assert_eq!(Rc::strong_count(&payload.0), 4);
        let all = drain(&mut outbox, 100_000);
        assert_eq!(all.len(), (2 << 20) + (2 << 18) - 1 + 5_000 + 10);
        assert!(all.iter().all(|byte| *byte == 7));
        assert_eq!(Rc::strong_count(&payload.0), 2);
    }

    #[test]
    fn what_a_read_buffer_lends_is_copied_before_that_is_used_anew_and_not_sooner() {
        for written in [0, 1, 2, 3, 50, 101, 102, 103, 150, 204] {
            let mut read_buffer: Vec<u8> = (0..=255).collect();
            let source = Source::lent(&read_buffer, 100);
            let mut outbox = Outbox::new();
            outbox.push_from(&source, b"h1", &[&read_buffer[10..110]]);
            outbox.push_from(&source, b"h2", &[&read_buffer[20..119], b"!"]);
            let mut wanted = b"h1".to_vec();
            wanted.extend(10..110);
            wanted.extend(b"h2");
            wanted.extend(20..119);
            wanted.extend(b"!");
            assert!(outbox.is_lent());
            let mut slices = [IoSlice::new(&[]); 8];
            let filled = outbox.io_slices_in(&mut slices, &read_buffer);
            assert_eq!(
                slices[..filled].iter().flat_map(|s| s.to_vec()).collect::<Vec<u8>>(),
                wanted
            );
            assert_eq!(slices[1].as_ptr(), read_buffer[10..].as_ptr(), "no copy");
            outbox.advance(written);
            outbox.keep_lent(&read_buffer, &mut Pool::new(1 << 20));
            read_buffer.fill(0);
            assert!(!outbox.is_lent());
            assert_eq!(drain(&mut outbox, 7), wanted[written..], "after {written} bytes");
        }
    }

    #[test]
    fn a_queue_that_lent_bytes_were_written_from_is_a_queue_like_any_other() {
        let mut pool = Pool::new(1 << 20);
        let read_buffer = vec![7; 20_000];
        let mut outbox = Outbox::new();
        outbox.push_from(&Source::lent(&read_buffer, 100), b"h1", &[&read_buffer]);
        outbox.advance_into(outbox.len(), &mut pool);
        outbox.give_back(&mut pool);
        outbox.reserve(0, &mut pool);
        outbox.push(b"small");
        assert!(!outbox.is_lent());
    }

    #[test]
    fn a_little_that_was_lent_and_is_not_written_holds_no_large_buffer() {
        let mut pool = Pool::new(1 << 20);
        pool.keep_buffer(Buffer::with_capacity(CHUNK_MAX_BYTES));
        let read_buffer = vec![7; 20_000];
        let source = Source::lent(&read_buffer, 100);
        for (left, spare) in [(1, CHUNK_MAX_BYTES), (SMALL_MAX_BYTES + 1, 0)] {
            let mut outbox = Outbox::new();
            outbox.push_from(&source, b"h1", &[&read_buffer]);
            outbox.advance_into(outbox.len() - left, &mut pool);
            outbox.keep_lent(&read_buffer, &mut pool);
            assert_eq!(pool.bytes(), spare, "{left} bytes left");
            assert_eq!(outbox.front(), &read_buffer[..left]);
        }
    }

    #[test]
    #[should_panic(expected = "written <= queued")]
    fn writing_more_than_was_queued_is_our_bug() {
        let mut outbox = Outbox::new();
        outbox.push(b"abc");
        outbox.advance(4);
    }
}
