//! permessage-deflate (RFC 7692): messages, compressed and decompressed.
//!
//! ```text
//!   "Hello" -> compress -> f2 48 cd c9 c9 07 00 00 00 ff ff -> without its last four bytes:
//!
//!   c1 07 f2 48 cd c9 c9 07 00     a frame with RSV1 (0xc1 = FIN, RSV1, Text) and 7 bytes
//! ```
//!
//! A compressed message is collected as it comes, and decompressed when its last frame is complete:
//! until then a connection holds what the peer has sent, and not the hundred times larger state of
//! an inflater that a few bytes would have begun. Then it is decompressed into pieces of at most as
//! much again as is there, and each piece is judged before the next: the limit of a message counts
//! what comes out, and text that is not UTF-8 ends the work at its first bad octet.
//!
//! Without context takeover every message begins with an empty window, so that one compressor (for
//! each size of window) and one inflater serve all connections of an [`Endpoint`], and none of
//! them owns anything. With context takeover a connection owns a compressor, an inflater, or both:
//! hundreds of times what it needs otherwise, hence the limit of how many may.
//!
//! Three things may surprise a peer:
//!
//! * Text that is not UTF-8 is an error at its first bad octet (1007), but not before the last
//!   frame of its message has come: RFC 6455 §8.1 asks for no more, and until then nobody knows.
//! * A message that is cut is an error, too (1007): the four octets `00 00 ff ff` that RFC 7692
//!   §7.2.2 puts back must end a block, at a whole byte, and nothing may come out of them.
//! * A block with BFINAL ends a stream, not the window (RFC 7692 §7.2.3.4). An inflater forgets its
//!   window with the stream, so that it is put back from what came out: of this message, and with
//!   context takeover of all messages from the first one on in which a stream ended. Data that
//!   refers to what was before that is an error (1007).
//!
//! What this module does not know: frames, sockets, and what was said in the handshake.
//!
//! [`Endpoint`]: super::Endpoint

#[cfg_attr(not(feature = "deflate"), path = "deflate/absent.rs")]
mod zlib;

use std::cell::Cell;
use std::fmt;
use std::rc::Rc;

use self::zlib::{Compressor, Inflater, space_for};
use super::endpoint::{Endpoint, Role};
use super::message::{Assembled, Coding, MessageKind};
use crate::outbox::{Buffer, Frame, Outbox, Pool};
use crate::wire::{DeflateAgreement, FrameHeader, Opcode, Parsed, ProtocolError, Rsv, WindowBits};

/// Whether this build can compress: the feature `deflate`.
pub const DEFLATE_AVAILABLE: bool = zlib::AVAILABLE;

/// What one connection has agreed, as its own end sees it. One byte.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Terms(u8);

impl Terms {
    /// Nothing is compressed.
    pub const NONE: Terms = Terms(0);

    /// The window's bits: 8 to 15. Zero where nothing was agreed.
    const WINDOW: u8 = 0b0000_1111;
    const KEEPS_SENT: u8 = 0b0001_0000;
    const KEEPS_RECEIVED: u8 = 0b0010_0000;

    fn new(role: Role, agreed: &DeflateAgreement) -> Terms {
        let server = (agreed.server_max_window_bits, agreed.server_no_context_takeover);
        let client = (agreed.client_max_window_bits, agreed.client_no_context_takeover);
        let ((window, forgets_sent), (_, forgets_received)) = match role {
            Role::Server => (server, client),
            Role::Client => (client, server),
        };
        let keeps_sent = if forgets_sent { 0 } else { Terms::KEEPS_SENT };
        let keeps_received = if forgets_received { 0 } else { Terms::KEEPS_RECEIVED };
        Terms(window.unwrap_or_default().bits() | keeps_sent | keeps_received)
    }

    /// Whether messages may be compressed.
    #[inline]
    pub fn is_agreed(self) -> bool {
        self != Terms::NONE
    }

    /// Our window. Two connections with the same, and neither with a context, share what is
    /// compressed for many.
    pub fn window(self) -> WindowBits {
        WindowBits::new(self.0 & Terms::WINDOW).unwrap_or_default()
    }

    fn keeps_sent(self) -> bool {
        self.0 & Terms::KEEPS_SENT != 0
    }

    fn keeps_received(self) -> bool {
        self.0 & Terms::KEEPS_RECEIVED != 0
    }
}

/// What a connection with context takeover keeps between messages.
pub(super) struct Context {
    /// Made for the first message that is compressed.
    compressor: Option<Compressor>,
    /// Our compressor and the peer's inflater have not seen the same: it must begin anew.
    is_stale: bool,
    /// Made for the first message that is decompressed.
    inflater: Option<Inflater>,
    /// What was decompressed, as far back as a window goes, once the peer has ended a stream: the
    /// inflater does not keep it over that.
    past: Option<Vec<u8>>,
    /// Counts the contexts of an endpoint.
    permit: Rc<Cell<usize>>,
}

impl Context {
    /// A message that was compressed elsewhere is sent: the two windows differ from here on.
    pub fn forget_sent(&mut self) {
        self.is_stale = true;
    }
}

impl Drop for Context {
    fn drop(&mut self) {
        self.permit.set(self.permit.get() - 1);
    }
}

impl fmt::Debug for Context {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let compresses = self.compressor.is_some();
        let inflates = self.inflater.is_some();
        write!(formatter, "Context {{ compresses: {compresses}, inflates: {inflates} }}")
    }
}

impl Endpoint {
    /// How many of its connections keep windows between messages.
    pub fn deflate_contexts(&self) -> usize {
        self.codec.borrow().contexts.get()
    }

    /// How many bytes came out of compressed messages since this was last asked, and how many of a
    /// window were put back where a stream had ended: what they have cost, as opposed to what was
    /// received.
    pub fn take_inflated_bytes(&self) -> u64 {
        std::mem::take(&mut self.codec.borrow_mut().inflated_bytes)
    }

    /// Whether any of its connections has agreed to compress.
    pub fn is_deflating(&self) -> bool {
        self.codec.borrow().is_agreed
    }

    /// The most that a compressed message may have, as it comes. A compressor makes what it cannot
    /// compress longer by an eighth at most; and each fragment may end with a flush.
    pub(super) fn compressed_max_bytes(&self) -> u64 {
        let flushes = self.message_frames_max.saturating_mul(FLUSH_BYTES);
        self.message_max_bytes.saturating_add(self.message_max_bytes / 8).saturating_add(flushes)
    }

    pub(super) fn agree(&self, agreed: &DeflateAgreement) -> (Terms, Option<Box<Context>>) {
        self.codec.borrow_mut().agree(self.role(), agreed)
    }

    /// Appends a message as one compressed frame, if it is long enough to try, and that is shorter.
    pub(super) fn write_compressed(
        &self,
        terms: Terms,
        context: Option<&mut Context>,
        opcode: Opcode,
        parts: &[&[u8]],
        out: &mut Outbox,
    ) -> bool {
        let len: usize = parts.iter().map(|part| part.len()).sum();
        let Some((buffer, len)) = self.compress(terms, context, parts, len) else { return false };
        self.write_compressed_frame(opcode, &buffer[..len], out);
        self.pool().keep_buffer(buffer);
        true
    }

    /// Queues an encoded frame, compressed if that makes it shorter; `false` if it is to be sent
    /// as it is.
    pub(super) fn compress_for_one(
        &self,
        terms: Terms,
        context: Option<&mut Context>,
        frame: &Frame,
        out: &mut Outbox,
    ) -> bool {
        let Ok(Parsed::Complete { value, len }) = FrameHeader::parse(frame.as_bytes()) else {
            return false;
        };
        self.write_compressed(terms, context, value.opcode, &[&frame.as_bytes()[len..]], out)
    }

    /// The compressed form of a frame that is for many; `None` if it is to be sent as it is.
    pub(super) fn compress_frame(&self, window: WindowBits, frame: &Frame) -> Option<Frame> {
        let Ok(Parsed::Complete { value, len }) = FrameHeader::parse(frame.as_bytes()) else {
            return None;
        };
        let payload = &frame.as_bytes()[len..];
        let terms = Terms(window.bits());
        let (buffer, len) = self.compress(terms, None, &[payload], payload.len())?;
        let header = FrameHeader { rsv: Rsv::RSV1, payload_len: len as u64, ..value }.encode();
        let compressed = Frame::new(&[&header, &buffer[..len]].concat());
        self.pool().keep_buffer(buffer);
        Some(compressed)
    }

    /// A buffer with what the parts become, and how many bytes of it that are.
    fn compress(
        &self,
        terms: Terms,
        context: Option<&mut Context>,
        parts: &[&[u8]],
        len: usize,
    ) -> Option<(Buffer, usize)> {
        if len == 0 || (len as u64) < self.deflate_min_bytes {
            return None;
        }
        let space = space_for(len);
        let mut buffer = self.pool().take_buffer(space);
        buffer.extend_to(space);
        let compressed =
            self.codec.borrow_mut().compress(terms, context, parts, len, &mut buffer[..space]);
        match compressed {
            Some(len) => Some((buffer, len)),
            None => {
                self.pool().keep_buffer(buffer);
                None
            }
        }
    }

    /// Decompresses a message.
    pub(super) fn inflate(
        &self,
        terms: Terms,
        context: Option<&mut Context>,
        kind: MessageKind,
        compressed: &[u8],
    ) -> Result<Assembled, ProtocolError> {
        let max_bytes = self.message_max_bytes;
        let (mut codec, mut pool) = (self.codec.borrow_mut(), self.pool());
        codec.inflate(terms, context, kind, compressed, max_bytes, &mut pool)
    }
}

/// What all connections of an endpoint share.
#[derive(Default)]
pub(super) struct Codec {
    /// By the bits of their windows, from [`WindowBits::MIN`] on. Made when they are needed.
    compressors: [Option<Box<Compressor>>; WINDOWS],
    inflater: Option<Inflater>,
    contexts: Rc<Cell<usize>>,
    /// Since somebody asked.
    inflated_bytes: u64,
    is_agreed: bool,
}

impl Codec {
    /// What an agreement means for our end of the connection.
    pub fn agree(
        &mut self,
        role: Role,
        agreed: &DeflateAgreement,
    ) -> (Terms, Option<Box<Context>>) {
        self.is_agreed = true;
        let terms = Terms::new(role, agreed);
        let keeps = terms.keeps_sent() || terms.keeps_received();
        (terms, keeps.then(|| Box::new(self.context())))
    }

    fn context(&self) -> Context {
        self.contexts.set(self.contexts.get() + 1);
        let permit = Rc::clone(&self.contexts);
        Context { compressor: None, is_stale: false, inflater: None, past: None, permit }
    }

    /// Compresses a message of `len` bytes into `space`, which has the length that [`space_for`]
    /// says. How many bytes it became, or `None` if that are not fewer: it is to be sent as it is.
    pub fn compress(
        &mut self,
        terms: Terms,
        context: Option<&mut Context>,
        parts: &[&[u8]],
        len: usize,
        space: &mut [u8],
    ) -> Option<usize> {
        let window = terms.window();
        let context = context.filter(|_| terms.keeps_sent());
        let Some(context) = context else {
            let place = usize::from(window.bits() - WindowBits::MIN.bits());
            let shared = &mut self.compressors[place];
            let compressor = shared.get_or_insert_with(|| Box::new(Compressor::shared(window)));
            let compressed = compressor.compress(parts, space);
            match compressed {
                // RFC 7692 §7.1.1.1: the next one refers to nothing before it.
                Some(_) => compressor.reset(),
                None => *shared = None,
            }
            return compressed.filter(|compressed| *compressed < len);
        };
        let compressor = context.compressor.get_or_insert_with(|| Compressor::own(window));
        if std::mem::take(&mut context.is_stale) {
            compressor.reset();
        }
        let compressed = compressor.compress(parts, space);
        if compressed.is_none() {
            context.compressor = None;
        }
        let shorter = compressed.filter(|compressed| *compressed < len);
        // What is sent as it is does not pass through the peer's inflater: our compressor must not
        // refer to it.
        context.is_stale = shorter.is_none() && context.compressor.is_some();
        shorter
    }

    /// Decompresses a message, of at most `max_bytes`.
    ///
    /// # Errors
    ///
    /// [`ProtocolError::CompressedDataInvalid`], [`ProtocolError::MessageTooBig`] and
    /// [`ProtocolError::TextNotUtf8`], whichever shows first.
    pub fn inflate(
        &mut self,
        terms: Terms,
        context: Option<&mut Context>,
        kind: MessageKind,
        compressed: &[u8],
        max_bytes: u64,
        pool: &mut Pool,
    ) -> Result<Assembled, ProtocolError> {
        let context = context.filter(|_| terms.keeps_received());
        let mut nothing = None;
        let (inflater, past) = match context {
            Some(context) => {
                (context.inflater.get_or_insert_with(Inflater::new), &mut context.past)
            }
            None => {
                let inflater = self.inflater.get_or_insert_with(Inflater::new);
                // Whatever the message before it was, and whosever.
                inflater.reset();
                (inflater, &mut nothing)
            }
        };
        let message = Assembled::new(kind, Coding::Plain);
        let mut message = Inflating { inflater, past, message, max_bytes, restored_bytes: 0, pool };
        match message.run(compressed) {
            Ok(()) => {
                if terms.keeps_received() {
                    message.keep_past();
                }
                self.inflated_bytes += message.message.len() as u64 + message.restored_bytes;
                Ok(message.message)
            }
            Err(error) => {
                let (_, buffer, _) = message.message.into_parts();
                pool.keep_buffer(buffer);
                Err(error)
            }
        }
    }
}

impl fmt::Debug for Codec {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let compressors = self.compressors.iter().flatten().count();
        let contexts = self.contexts.get();
        write!(formatter, "Codec {{ compressors: {compressors}, contexts: {contexts} }}")
    }
}

/// A message that is being decompressed.
struct Inflating<'a> {
    inflater: &'a mut Inflater,
    /// What came before it, where the inflater does not know that by itself.
    past: &'a mut Option<Vec<u8>>,
    message: Assembled,
    max_bytes: u64,
    /// What windows were put back.
    restored_bytes: u64,
    pool: &'a mut Pool,
}

impl Inflating<'_> {
    fn run(&mut self, compressed: &[u8]) -> Result<(), ProtocolError> {
        let fed = self.feed(compressed)?;
        // RFC 7692 §7.2.3.4: a sender may have ended its stream with the message. If it did not
        // add the octet that the next four bytes need, there is nothing to continue.
        if fed != Fed::Ended {
            self.feed_tail()?;
        }
        self.message.finish().map_err(|_| ProtocolError::TextNotUtf8)
    }

    /// RFC 7692 §7.2.2: puts back what the sender has taken off.
    ///
    /// It must be the end of a block, at a whole byte, and nothing may come out; else the message
    /// was cut. What tells a whole byte is another empty block. Of a byte that is not whole some
    /// bits are left, and all of those are 1, since the last byte here is 0xff: `1` would make that
    /// block the last of its stream, `11` the same of another one, that ends within a byte, and
    /// `111` is no block at all.
    fn feed_tail(&mut self) -> Result<(), ProtocolError> {
        let corrupt = |_| ProtocolError::CompressedDataInvalid;
        let mut excess = [0];
        let tail = self.inflater.inflate_block(&TAIL, &mut excess).map_err(corrupt)?;
        if tail.consumed != TAIL_BYTES || tail.produced > 0 {
            return Err(ProtocolError::CompressedDataInvalid);
        }
        let rest = &TAIL[TAIL_BYTES..];
        let block = self.inflater.inflate(rest, &mut excess).map_err(corrupt)?;
        match (block.ended, block.consumed) {
            // The block that the tail has ended was the last of its stream.
            (true, 0) => {
                self.begin_stream();
                Ok(())
            }
            (false, consumed) if consumed == rest.len() => Ok(()),
            _ => Err(ProtocolError::CompressedDataInvalid),
        }
    }

    /// RFC 1951 §3.2.3: BFINAL marks the last block of a data set; what follows is another one.
    /// RFC 7692 §7.1.1: nevertheless the window is that of the message, or of all messages.
    ///
    /// To put it back costs more than the two bytes that ask for it: after
    /// [`RESTORED_MAX_BYTES`] the rest of the message refers to itself only.
    fn begin_stream(&mut self) {
        self.inflater.reset();
        let past = self.past.get_or_insert_default();
        if self.restored_bytes >= RESTORED_MAX_BYTES {
            return;
        }
        let message = window(self.message.bytes(), WINDOW_BYTES);
        let past = window(past, WINDOW_BYTES - message.len());
        self.inflater.remember(past);
        self.inflater.remember(message);
        self.restored_bytes += (past.len() + message.len()) as u64;
    }

    /// For a message after this one.
    fn keep_past(&mut self) {
        let Some(past) = self.past else { return };
        let message = window(self.message.bytes(), WINDOW_BYTES);
        let superfluous = (past.len() + message.len()).saturating_sub(WINDOW_BYTES);
        past.drain(..superfluous);
        past.reserve_exact(WINDOW_BYTES - past.len());
        past.extend_from_slice(message);
    }

    /// Decompresses all of `input`.
    fn feed(&mut self, mut input: &[u8]) -> Result<Fed, ProtocolError> {
        loop {
            let rest = self.max_bytes - self.message.len() as u64;
            // At the limit there is place for one byte more, which must not come.
            let mut excess = [0];
            let space = match rest {
                0 => &mut excess[..],
                // Little at first, for that has to be cleared; then as much again as is there.
                _ => {
                    let wanted = SPACE_MIN_BYTES.max(8 * input.len()).max(self.message.len());
                    self.message.space(rest.min(wanted as u64), self.pool)
                }
            };
            let room = space.len();
            let inflated = self.inflater.inflate(input, space)?;
            input = &input[inflated.consumed..];
            if rest == 0 && inflated.produced > 0 {
                return Err(ProtocolError::MessageTooBig);
            }
            self.message.fill(inflated.produced).map_err(|_| ProtocolError::TextNotUtf8)?;
            if inflated.ended {
                self.begin_stream();
                if input.is_empty() {
                    return Ok(Fed::Ended);
                }
            } else if input.is_empty() && inflated.produced < room {
                return Ok(Fed::More);
            } else if inflated.consumed == 0 && inflated.produced == 0 {
                return Err(ProtocolError::CompressedDataInvalid);
            }
        }
    }
}

/// Where a stream stands after some input.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fed {
    /// The input ended with a block that is the last of its stream.
    Ended,
    /// It goes on.
    More,
}

/// The least that is decompressed at once.
const SPACE_MIN_BYTES: usize = 4096;

/// What a flush adds, in bytes: the header of an empty block, up to a whole byte.
const FLUSH_BYTES: u64 = 5;

/// How many sizes of windows there are.
const WINDOWS: usize = (WindowBits::MAX.bits() - WindowBits::MIN.bits()) as usize + 1;

/// RFC 7692 §7.2.2: what a receiver puts back, and behind it an empty block at a whole byte.
const TAIL: [u8; 9] = [0x00, 0x00, 0xff, 0xff, 0x00, 0x00, 0x00, 0xff, 0xff];

/// How much of that is put back.
const TAIL_BYTES: usize = 4;

/// RFC 1951 §2: no distance is larger.
const WINDOW_BYTES: usize = 32_768;

/// How much of windows is put back within a message: sixteen whole ones take some 50 µs.
const RESTORED_MAX_BYTES: u64 = 16 * WINDOW_BYTES as u64;

/// The last bytes, `len` at most.
fn window(bytes: &[u8], len: usize) -> &[u8] {
    &bytes[bytes.len().saturating_sub(len)..]
}

#[cfg(all(test, feature = "deflate"))]
mod codec_tests;
