//! Access: who may do what.
//!
//! This module does not know how a message is read or where it goes.

pub mod policy;
