//! Ring 1: bytes in, values out. No state, no I/O, no clock.

pub mod extension;
pub mod handshake;
pub mod http;
pub mod quoted;

/// What a parser says when it is asked for a value at the start of some bytes.
///
/// Incompleteness is not an error: a network hands out bytes as it likes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Parsed<T> {
    /// The value, and how many bytes of the input it took.
    Complete {
        /// The value.
        value: T,
        /// How many bytes of the input the value occupies.
        len: usize,
    },
    /// The bytes are a good beginning; more are needed.
    Partial,
}
