//! The client of switchboard.v1: its machine against the server's machine, and `switchboard
//! connect` against the real binary.

#![cfg(all(unix, feature = "cli"))]

#[path = "../common/mod.rs"]
mod common;
mod machine;
mod plain;
#[path = "../common/random.rs"]
mod random;
mod sessions;
mod terminal;
