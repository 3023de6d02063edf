//! Configuration: the file, where values come from, and what the real binary makes of them.
#![cfg(all(unix, feature = "cli"))]
#![allow(clippy::unwrap_used)] // a helper of a test may fail the test

#[path = "../common/mod.rs"]
mod common;

mod access;
mod check;
mod file;
mod folder;
mod keys;
mod print;
mod process;
mod readme;
mod reload;
mod tokens;
mod world;
