//! Switchboard, a WebSocket message server.
#![forbid(unsafe_code)]
#[cfg(feature = "cli")]
pub mod cli;
pub mod config;
#[cfg(feature = "cli")]
pub mod logger;
pub mod wire;
