//! Access: who may do what.
//!
//! This module does not know how a message is read or where it goes.

pub mod policy;

use self::policy::Policy;

/// What decides who may come in and what they may do: what HUP replaces.
#[derive(Debug, Default)]
pub struct Access {
    /// What each role may do.
    pub policy: Policy,
}

impl Access {
    /// Everybody may do what everybody may do.
    pub fn open() -> Access {
        Access::default()
    }
}
