//! "Who is it": credentials at the real binary, from every place and of every kind.
//!
//! The contract is `src/relay/PROTOCOL.md`, "Credentials". Each server here logs at level trace,
//! and when it ends its log is searched for every secret that a test has used.

#![cfg(feature = "cli")]

#[path = "../common/mod.rs"]
mod common;

mod application;
mod endpoint;
mod hangup;
mod lying;
mod mint;
mod origins;
mod places;
mod sessions;
mod signed;
mod speaking;
mod strangers;
mod world;
