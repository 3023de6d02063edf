//! Switchboard, a WebSocket message server.
#![forbid(unsafe_code)]
pub mod config;
#[cfg(feature = "cli")]
pub mod logger;
pub mod wire;
