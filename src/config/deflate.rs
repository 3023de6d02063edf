//! Whether messages are compressed (`--deflate`).
//!
//! ```text
//! off         nothing is agreed, whatever a client offers
//! on          windows are empty at the start of each message: a connection costs nothing
//! takeover    windows are kept from message to message, for as many connections as is allowed
//! ```
//!
//! This module does not know how to compress.

use super::Limits;

/// What is agreed with a client that offers permessage-deflate (RFC 7692).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Deflate {
    /// Nothing: its offers are declined.
    Off,
    /// Compression without context takeover, in both directions.
    #[default]
    On,
    /// Compression with context takeover as far as the client wants it, for at most
    /// [`Limits::deflate_takeover_max`] connections at once; the others get [`Deflate::On`].
    Takeover,
}

impl Deflate {
    /// As they are written, in the order of their numbers.
    pub(super) const WORDS: [&str; 3] = ["off", "on", "takeover"];

    /// The value of [`Limits::deflate_mode`].
    pub const fn as_number(self) -> u64 {
        self as u64
    }
}

impl Limits {
    /// The meaning of [`Limits::deflate_mode`].
    pub const fn deflate(&self) -> Deflate {
        match self.deflate_mode {
            0 => Deflate::Off,
            1 => Deflate::On,
            _ => Deflate::Takeover,
        }
    }
}
