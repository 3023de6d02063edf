//! The client of switchboard.v1: its machine against the server's machine, and `switchboard
//! connect` against the real binary.

#![cfg(all(unix, feature = "cli"))]

mod machine;
#[path = "../common/random.rs"]
mod random;
