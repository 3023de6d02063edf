//! Messages that outlive the process: the real binary with `--data`, killed, restarted, copied,
//! and on a disk that is full.

#![cfg(all(unix, feature = "cli", feature = "durable"))]

mod backend;
mod check;
#[path = "../common/mod.rs"]
mod common;
mod full;
mod refused;
mod restart;
mod server;
