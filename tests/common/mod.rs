//! What the tests of the real process share.

pub mod client;
pub mod process;
