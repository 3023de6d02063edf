//! The two ends of a DEFLATE stream, over zlib-rs.
//!
//! "Hello", compressed and flushed, and what of it travels (RFC 7692 §7.2.3.1):
//!
//! ```text
//!   f2 48 cd c9 c9 07 00 | 00 00 ff ff
//!   +-- the message ---+   removed by the sender, put back by the receiver
//! ```
//!
//! The four bytes end an empty block without compression: that is how a compressor is made to hand
//! over all that it has, up to a whole byte.
//!
//! This module does not know frames and limits of messages; where its output goes, the caller says.

use zlib_rs::{Deflate, DeflateConfig, DeflateFlush, Inflate, InflateFlush, Status};

use super::WindowBits;
use crate::wire::ProtocolError;

/// Whether this build can compress.
pub(crate) const AVAILABLE: bool = true;

/// Compresses messages, one after the other.
pub(super) struct Compressor(Deflate);

impl Compressor {
    /// A compressor for many connections, which refers back to no more than the window.
    pub fn shared(window: WindowBits) -> Compressor {
        Compressor::new(window, DeflateConfig::default().mem_level)
    }

    /// One that a single connection keeps: 165,000 bytes. With a window of 32 KiB and its usual
    /// buffers it would be twice as large, and chat of 125 bytes would become 41 % of itself rather
    /// than 45 %. A smaller window is no gain: 128 KiB of it are a table of zlib-rs that has always
    /// this size, and moving the window costs a walk through that. No peer minds a window that is
    /// smaller than what it was told.
    pub fn own(window: WindowBits) -> Compressor {
        Compressor::new(window.min(OWN_WINDOW), OWN_MEM_LEVEL)
    }

    fn new(window: WindowBits, mem_level: i32) -> Compressor {
        // zlib knows no window of 256 bytes for raw streams. With 512 bytes it never refers back
        // to more than 250, because it keeps 262 for what it looks ahead; a test reads that out of
        // its output.
        let window_bits = -i32::from(window.bits().max(9));
        let level = LEVEL;
        let config = DeflateConfig { level, window_bits, mem_level, ..DeflateConfig::default() };
        Compressor(Deflate::new_with_config(config))
    }

    /// Forgets what was compressed before: whole messages.
    pub fn reset(&mut self) {
        self.0.reset();
    }

    /// Compresses `parts` in a row into `space` and returns how many bytes of it were filled,
    /// without the last four that RFC 7692 §7.2.1 takes off.
    ///
    /// `None` if it did not come to the end. The compressor must then be dropped: zlib-rs 0.6.8
    /// does not put all of itself right when it is reset in the middle of a block, and panics some
    /// messages later. In [`space_for`] a message comes to its end.
    pub fn compress(&mut self, parts: &[&[u8]], space: &mut [u8]) -> Option<usize> {
        let begun = self.0.total_out();
        let mut filled = 0;
        for (parts, flush) in [(parts, DeflateFlush::NoFlush), (&[&[]], DeflateFlush::SyncFlush)] {
            for part in parts {
                let before = self.0.total_in();
                let compressed = self.0.compress(part, &mut space[filled..], flush);
                filled = (self.0.total_out() - begun) as usize;
                let consumed = (self.0.total_in() - before) as usize;
                // A space that is full may be too short: the flush is complete when some is left.
                if compressed.is_err() || consumed < part.len() || filled == space.len() {
                    return None;
                }
            }
        }
        space[..filled].strip_suffix(&TAIL).map(<[u8]>::len)
    }
}

/// Decompresses messages, one after the other.
pub(super) struct Inflater(Inflate);

/// What came of a call of [`Inflater::inflate`].
#[derive(Clone, Copy, Debug)]
pub(super) struct Inflated {
    /// Bytes of the input that were used.
    pub consumed: usize,
    /// Bytes of the space that were filled.
    pub produced: usize,
    /// The block that has just ended said that it is the last one.
    pub ended: bool,
}

impl Inflater {
    /// An inflater for windows of any size: what fits a small one fits a large one.
    pub fn new() -> Inflater {
        Inflater(Inflate::new(false, WindowBits::MAX.bits()))
    }

    /// Forgets what was decompressed before.
    pub fn reset(&mut self) {
        self.0.reset(false);
    }

    /// Lets what follows refer to these bytes, behind those that it may refer to already.
    pub fn remember(&mut self, bytes: &[u8]) {
        let remembered = self.0.set_dictionary(bytes);
        debug_assert!(remembered.is_ok(), "a raw stream takes a dictionary at any time");
    }

    /// Decompresses as much as there is of the input, or of the space.
    pub fn inflate(&mut self, input: &[u8], space: &mut [u8]) -> Result<Inflated, ProtocolError> {
        self.run(input, space, InflateFlush::SyncFlush)
    }

    /// The same, no further than to the end of a block. Whether that block was the last of its
    /// stream shows in the call after it.
    pub fn inflate_block(
        &mut self,
        input: &[u8],
        space: &mut [u8],
    ) -> Result<Inflated, ProtocolError> {
        self.run(input, space, InflateFlush::Block)
    }

    fn run(
        &mut self,
        input: &[u8],
        space: &mut [u8],
        flush: InflateFlush,
    ) -> Result<Inflated, ProtocolError> {
        let (total_in, total_out) = (self.0.total_in(), self.0.total_out());
        let status = self
            .0
            .decompress(input, space, flush)
            .map_err(|_| ProtocolError::CompressedDataInvalid)?;
        Ok(Inflated {
            consumed: (self.0.total_in() - total_in) as usize,
            produced: (self.0.total_out() - total_out) as usize,
            ended: status == Status::StreamEnd,
        })
    }
}

/// How long a space must be for a message of `len` bytes to come to its end. At worst a byte
/// becomes nine bits; then there is the frame of a block, what ends it, and a byte that stays free.
pub(super) const fn space_for(len: usize) -> usize {
    len + len / 8 + 64
}

/// RFC 7692 §7.2.1: what ends the output of a flush, and is not sent.
const TAIL: [u8; 4] = [0x00, 0x00, 0xff, 0xff];

/// How hard the compressor tries, 1 to 9. From 1 to 2, 1 KiB of chat shrinks to 44 % rather than
/// 57 % and takes 2.2 times the instructions; 16 KiB to 33 % rather than 42 %, for 1.9 times. From
/// 2 to 6 there is little more to gain: 43 % and 31 %.
const LEVEL: i32 = 1;

/// The largest window of a compressor that one connection keeps: 4 KiB.
const OWN_WINDOW: WindowBits = match WindowBits::new(12) {
    Some(window) => window,
    None => WindowBits::MAX,
};

/// How large its other buffers are, 1 to 9; 8 is usual.
const OWN_MEM_LEVEL: i32 = 5;
