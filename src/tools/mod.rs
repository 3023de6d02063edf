//! What is run against a server, ours or any other: programs in the client's role.
//!
//! They are written against [`net::client`](crate::net::client) and [`wire`](crate::wire), and know
//! nothing of the engine or the relay.

pub mod bench;
pub mod client;
pub mod connect;
pub(crate) mod random;
pub mod url;
