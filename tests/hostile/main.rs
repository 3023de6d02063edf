//! Everything that somebody can do to a server with a socket and bad intent.
//!
//! ```text
//!   attackers --- raw bytes --->  switchboard  <--- echo, in time ---  a neighbour
//!                                 /proc/PID: memory, descriptors, processor time
//! ```
//!
//! Each test is one attack on the real binary. A [`Victim`](victim::Victim) is the server with a
//! well-behaved neighbour; its `after` checks that the neighbour and a newcomer still get their
//! echo in time, that memory never passed its bound and is back, that the server does nothing when
//! there is nothing to do, and that every descriptor is closed. A test that forgets `after` fails.
//!
//! What stands in `malformed.rs` (each malformed input by itself, with its documented answer) and
//! in `limits_process.rs` (each limit from both sides) is not repeated here.
#![cfg(all(unix, feature = "cli"))]
#![allow(clippy::unwrap_used)] // a helper of a test may fail the test

#[path = "../common/mod.rs"]
mod common;
#[path = "../common/random.rs"]
mod random;

#[cfg(feature = "deflate")]
mod deflate;
mod descriptors;
mod frames;
mod heads;
mod json;
mod logs;
mod readers;
mod resets;
mod slow;
mod soak;

mod victim;
