//! Ring 2: many connections. Where they live, and how they are found.
//!
//! What this ring does not know: sockets, and what the application means by a user.

mod conn_map;
mod dense;
pub mod groups;
mod hash;
pub mod rooms;
pub mod routes;
mod slots;

pub use conn_map::ConnMap;
pub use slots::{ConnId, Slots};
