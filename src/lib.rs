//! Switchboard, a WebSocket message server.
#![forbid(unsafe_code)]
pub mod wire;
