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

    /// How many bytes came out of compressed messages since this was last asked: what they have
    /// cost, as opposed to what was received.
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
        Context { compressor: None, is_stale: false, inflater: None, permit }
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
        let (inflater, probe) = match context {
            Some(context) => (context.inflater.get_or_insert_with(Inflater::new), &EMPTY_BLOCK),
            None => {
                let inflater = self.inflater.get_or_insert_with(Inflater::new);
                // Whatever the message before it was, and whosever.
                inflater.reset();
                (inflater, &LAST_EMPTY_BLOCK)
            }
        };
        let message = Assembled::new(kind, Coding::Plain);
        let mut message = Inflating { inflater, message, max_bytes, pool };
        match message.run(compressed, probe) {
            Ok(()) => {
                self.inflated_bytes += message.message.len() as u64;
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
    message: Assembled,
    max_bytes: u64,
    pool: &'a mut Pool,
}

impl Inflating<'_> {
    fn run(&mut self, compressed: &[u8], probe: &[u8]) -> Result<(), ProtocolError> {
        let fed = self.feed(compressed)?;
        // All that was compressed is out now. What follows makes no more of it, unless the message
        // has ended in the middle of something.
        let len = self.message.len();
        let corrupt = |_| ProtocolError::CompressedDataInvalid;
        // RFC 7692 §7.2.3.4: a sender may have ended its stream with the message. If it did not
        // add the octet that the next four bytes need, there is nothing to continue.
        if fed != Fed::Ended {
            // RFC 7692 §7.2.2: what the sender has taken off.
            self.feed(&TAIL).map_err(corrupt)?;
        }
        // Is there a whole byte and the beginning of a block now? Another, empty, tells: in the
        // middle of anything else it is taken for something else.
        let whole = match self.feed(probe).map_err(corrupt)? {
            Fed::Ended => true,
            Fed::More => probe == EMPTY_BLOCK,
        };
        if whole && self.message.len() == len {
            self.message.finish().map_err(|_| ProtocolError::TextNotUtf8)
        } else {
            Err(ProtocolError::CompressedDataInvalid)
        }
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
                // RFC 1951 §3.2.3: BFINAL marks the last block of a data set; what follows is
                // another one. No compressor refers back over that.
                self.inflater.reset();
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

/// RFC 7692 §7.2.2: what a receiver puts back.
const TAIL: [u8; 4] = [0x00, 0x00, 0xff, 0xff];

/// An empty block without compression, at the beginning of a byte.
const EMPTY_BLOCK: [u8; 5] = [0x00, 0x00, 0x00, 0xff, 0xff];

/// The same as the last block of its stream.
const LAST_EMPTY_BLOCK: [u8; 5] = [0x01, 0x00, 0x00, 0xff, 0xff];

#[cfg(all(test, feature = "deflate"))]
mod codec_tests;
