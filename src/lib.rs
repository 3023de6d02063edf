//! Switchboard, a WebSocket message server.
#![forbid(unsafe_code)]
pub mod config;
pub mod wire;
