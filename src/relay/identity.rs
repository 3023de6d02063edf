//! Identity: who a connection is, and how it came to be that.
//!
//! ```text
//!   opening handshake      /chat?user=bob            /chat
//!                               |                      |
//!                               v                      v
//!                           user "bob"          guest "7" (`conn=7` in the log)
//!                               |                      |
//!   {"sender":"bob",...}        | the same: goes on    | first: now user "bob", "7" is free
//!   {"sender":"eve",...}        | 403 sender_mismatch  | (409 taken if that is a guest's number)
//! ```
//!
//! Without credentials a name is a claim: whoever says "bob" is one of bob's connections. What is
//! protected is the number of a guest, because nobody chose it and its owner cannot know that
//! somebody else took it.
//!
//! This module does not know what a message looks like, or where it goes.

use log::info;

use super::name::Name;
use super::reply::Refusal;
use crate::hub::ConnId;
use crate::hub::groups::Groups;
use crate::hub::routes::{Departed, Renamed, Routes, Standing, UserKey};
use crate::wire::Quoted;

/// Everybody who is online, their connections and their groups.
pub struct Identities {
    routes: Routes,
    groups: Groups,
    /// The next number for a guest whose own is taken. Never goes back.
    next_spare: u64,
}

impl Identities {
    /// Nobody is online.
    pub fn new(groups_per_user_max: usize) -> Identities {
        Identities {
            routes: Routes::new(),
            groups: Groups::new(groups_per_user_max),
            next_spare: SPARE_FIRST,
        }
    }

    /// Users by name and connection.
    pub fn routes(&self) -> &Routes {
        &self.routes
    }

    /// Groups and their members.
    pub fn groups(&self) -> &Groups {
        &self.groups
    }

    /// Groups and their members, to be changed.
    pub fn groups_mut(&mut self) -> &mut Groups {
        &mut self.groups
    }

    /// Whether a new connection may have this name.
    ///
    /// # Errors
    ///
    /// [`Refusal::Taken`] if it is the number of a guest who is connected.
    pub fn check_free(&self, name: &str) -> Result<(), Refusal> {
        match self.routes.find(name) {
            Some(user) if self.routes.standing(user) == Standing::Guest => Err(Refusal::Taken),
            _ => Ok(()),
        }
    }

    /// A connection came: as the user of this name, or as a guest.
    pub fn arrive(&mut self, id: ConnId, name: Option<&str>) -> UserKey {
        if let Some(name) = name {
            return self.routes.connect(id, name, Standing::Named);
        }
        let mut number = id.serial().to_string();
        // Somebody may have called himself by the number before it came. Whoever loses it gets one
        // that is no connection's, so that no guest to come loses his in turn; and because these
        // are counted on, each name that is in the way costs one step once.
        while self.routes.find(&number).is_some() {
            number = self.next_spare.to_string();
            self.next_spare += 1;
        }
        self.routes.connect(id, &number, Standing::Guest)
    }

    /// The user a routed message is from. A guest whose message names a sender is that user from
    /// then on, with the groups it has joined. `None` if the connection never came.
    ///
    /// # Errors
    ///
    /// [`Refusal::SenderMismatch`] if the message names somebody else than the connection is;
    /// [`Refusal::Taken`] if a guest names the number of another guest who is connected.
    pub fn speaker(
        &mut self,
        id: ConnId,
        sender: Option<&Name<'_>>,
    ) -> Option<Result<UserKey, Refusal>> {
        let (user, name, standing) = self.routes.speaker(id)?;
        let Some(sender) = sender else { return Some(Ok(user)) };
        let is_own = name == &**sender;
        match standing {
            Standing::Named if is_own => Some(Ok(user)),
            Standing::Named => Some(Err(Refusal::SenderMismatch)),
            Standing::Guest => Some(self.claim(id, is_own, sender)),
        }
    }

    /// A connection is gone. Nothing happens if it never came.
    pub fn depart(&mut self, id: ConnId) {
        if let Some(Departed::Last(user)) = self.routes.disconnect(id) {
            self.groups.leave_all(user);
        }
    }

    fn claim(&mut self, id: ConnId, is_own: bool, name: &str) -> Result<UserKey, Refusal> {
        if !is_own {
            self.check_free(name)?;
        }
        info!("claimed conn={id} user={}", Quoted(name.as_bytes()));
        let renamed = self.routes.rename(id, name);
        Ok(match renamed.expect("invariant: the caller has found the connection's user") {
            Renamed::Record(user) => user,
            Renamed::Moved { from, into, is_gone } => {
                if is_gone {
                    self.groups.merge(from, into);
                }
                into
            }
        })
    }
}

/// The first number that is no connection's: serial numbers have 32 bits.
const SPARE_FIRST: u64 = 1 << 32;
