//! What stands in for compression in a build without the feature `deflate`: types that have no
//! values, so that nothing can be compressed and the rest of the crate need not ask.
//!
//! ```text
//! --no-default-features    AVAILABLE = false: every offer is declined, RSV1 is an error (1002)
//! ```
//!
//! This module does not know why it was chosen.

use super::WindowBits;
use crate::wire::ProtocolError;

/// Whether this build can compress.
pub(crate) const AVAILABLE: bool = false;

/// There is none.
pub(super) enum Compressor {}

impl Compressor {
    pub fn shared(_: WindowBits) -> Compressor {
        unreachable!("invariant: without the feature nothing is agreed")
    }

    pub fn own(_: WindowBits) -> Compressor {
        unreachable!("invariant: without the feature nothing is agreed")
    }

    pub fn reset(&mut self) {
        match *self {}
    }

    pub fn compress(&mut self, _: &[&[u8]], _: &mut [u8]) -> Option<usize> {
        match *self {}
    }
}

/// None is needed.
pub(super) const fn space_for(len: usize) -> usize {
    len
}

/// There is none.
pub(super) enum Inflater {}

/// What would come of an inflater.
#[derive(Clone, Copy, Debug)]
pub(super) struct Inflated {
    pub consumed: usize,
    pub produced: usize,
    pub ended: bool,
}

impl Inflater {
    pub fn new() -> Inflater {
        unreachable!("invariant: without the feature nothing is agreed")
    }

    pub fn reset(&mut self) {
        match *self {}
    }

    pub fn inflate(&mut self, _: &[u8], _: &mut [u8]) -> Result<Inflated, ProtocolError> {
        match *self {}
    }

    pub fn remember(&mut self, _: &[u8]) {
        match *self {}
    }

    pub fn inflate_block(&mut self, _: &[u8], _: &mut [u8]) -> Result<Inflated, ProtocolError> {
        match *self {}
    }
}
