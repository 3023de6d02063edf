//! Switchboard, a WebSocket message server.
#![forbid(unsafe_code)]

#[cfg(feature = "cli")]
pub mod cli;
pub mod config;
#[cfg(feature = "server")]
pub mod echo;
#[cfg(feature = "server")]
pub mod engine;
#[cfg(feature = "server")]
pub mod hub;
#[cfg(feature = "cli")]
pub mod logger;
#[cfg(feature = "server")]
pub mod net;
pub mod outbox;
pub mod protocol;
#[cfg(feature = "relay")]
pub mod relay;
pub mod timer;
pub mod wire;

pub use config::Limits;
#[cfg(feature = "server")]
pub use engine::{Closed, Context, Delivery, Handler, Request, Verdict};
#[cfg(feature = "server")]
pub use hub::ConnId;
#[cfg(feature = "server")]
pub use net::Server;
pub use protocol::{Message, MessageKind};
#[cfg(feature = "relay")]
pub use relay::{Relay, RelayConfig};
