//! The push API, end to end: the real binary, raw HTTP, and clients who hear what was pushed.
//!
//! Those that need more than Rust (PHP, curl, promtool, schemathesis) are ignored by
//! `cargo test`; `tests/push/run` gets what they need and runs them too.

#![cfg(all(unix, feature = "cli"))]

mod api;
#[path = "../common/mod.rs"]
mod common;
mod groups;
mod http;
mod idempotency;
mod operation;
mod send;
mod server;
mod tools;
