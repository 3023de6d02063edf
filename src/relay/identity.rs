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

use std::rc::Rc;

use log::info;

use super::envelope::Events;
use super::membership::Membership;
use super::name::Name;
use super::narrow;
use super::presence::Presence;
use super::reply::Refusal;
use crate::config::Limits;
use crate::hub::ConnId;
use crate::hub::groups::{Groups, Joined};
use crate::hub::routes::{Departed, Renamed, Routes, Standing, UserKey};
use crate::wire::Quoted;

/// Everybody who is online, their connections and their groups.
pub struct Identities {
    routes: Routes,
    membership: Membership,
    /// The number of a guest who has become somebody, until somebody asks.
    claimed: Option<Rc<str>>,
    /// The next number for a guest whose own is taken. Never goes back.
    next_spare: u64,
}

impl Identities {
    /// Nobody is online.
    pub fn new(limits: &Limits) -> Identities {
        let names_max = narrow(limits.presence_names_max);
        Identities {
            routes: Routes::new(),
            membership: Membership::new(
                Groups::new(narrow(limits.groups_per_user_max)),
                Presence::new(limits.presence_interval_ms, names_max),
            ),
            claimed: None,
            next_spare: SPARE_FIRST,
        }
    }

    /// Users by name and connection.
    pub fn routes(&self) -> &Routes {
        &self.routes
    }

    /// Groups and their members.
    pub fn groups(&self) -> &Groups {
        self.membership.groups()
    }

    /// How many connections hear a group, of all groups together.
    pub fn hearing(&self) -> usize {
        self.membership.hearing()
    }

    /// Memberships, and what is to be told about them.
    pub(super) fn membership(&mut self) -> &mut Membership {
        &mut self.membership
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

    /// A connection came: as the user of this name, or as a guest, whose number is none that
    /// `is_known` for the name of somebody who is away.
    pub fn arrive(
        &mut self,
        id: ConnId,
        name: Option<&str>,
        is_known: impl Fn(&str) -> bool,
    ) -> UserKey {
        if let Some(name) = name {
            return self.routes.connect(id, name, Standing::Named);
        }
        let mut number = id.serial().to_string();
        // Somebody may have called himself by the number before it came. Whoever loses it gets one
        // that is no connection's, so that no guest to come loses his in turn; and because these
        // are counted on, each name that is in the way costs one step once.
        while self.routes.find(&number).is_some() || is_known(&number) {
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
    /// [`Refusal::Taken`] if a guest names the number of another guest who is connected;
    /// [`Refusal::TooManyConnections`] if a guest names somebody with `connections_max` of them.
    #[inline]
    pub fn speaker(
        &mut self,
        id: ConnId,
        sender: Option<&Name<'_>>,
        connections_max: impl FnOnce() -> Option<u64>,
    ) -> Option<Result<UserKey, Refusal>> {
        let (user, name, standing) = self.routes.speaker(id)?;
        let Some(sender) = sender else { return Some(Ok(user)) };
        let is_own = name == &**sender;
        match standing {
            Standing::Named if is_own => Some(Ok(user)),
            Standing::Named => Some(Err(Refusal::SenderMismatch)),
            Standing::Guest => Some(self.claim(id, is_own, sender, connections_max())),
        }
    }

    /// The number of a guest who has become somebody since this was last asked.
    #[inline]
    pub(super) fn take_claim(&mut self) -> Option<Rc<str>> {
        self.claimed.take()
    }

    /// A connection is gone. Nothing happens if it never came.
    pub fn depart(&mut self, id: ConnId) {
        let Some(user) = self.routes.user_of(id) else { return };
        let name = Rc::clone(self.routes.shared_name(user));
        self.membership.disconnected(id);
        if let Some(Departed::Last(user)) = self.routes.disconnect(id) {
            self.membership.gone(user, &name);
        }
    }

    /// A user joins a group over one of the user's connections.
    pub fn join(
        &mut self,
        id: ConnId,
        user: UserKey,
        group: &str,
        groups_max: usize,
        events: Events,
    ) -> Joined {
        let name = self.routes.shared_name(user);
        self.membership.join(user, name, group, groups_max, (id, events))
    }

    /// A user becomes a member of a group without having asked, for as long as the user is there.
    pub fn enroll(&mut self, user: UserKey, group: &str) {
        self.membership.enroll(user, self.routes.shared_name(user), group);
    }

    /// A user leaves a group.
    pub fn leave(&mut self, user: UserKey, group: &str) {
        let connections = self.routes.connections(user);
        self.membership.leave(user, self.routes.shared_name(user), connections, group);
    }

    fn claim(
        &mut self,
        id: ConnId,
        is_own: bool,
        name: &str,
        connections_max: Option<u64>,
    ) -> Result<UserKey, Refusal> {
        if !is_own {
            self.check_free(name)?;
            let others =
                self.routes.find(name).map_or(0, |user| self.routes.connections(user).len());
            if connections_max.is_some_and(|max| others as u64 >= max) {
                return Err(Refusal::TooManyConnections);
            }
        }
        info!("claimed conn={id} user={}", Quoted(name.as_bytes()));
        let user = self.routes.user_of(id);
        let user = user.expect("invariant: the caller has found the connection's user");
        let own_name = Rc::clone(self.routes.shared_name(user));
        self.claimed = Some(Rc::clone(&own_name));
        let renamed = self.routes.rename(id, name);
        Ok(match renamed.expect("invariant: the caller has found the connection's user") {
            Renamed::Record(user) => {
                let name = self.routes.shared_name(user);
                if !is_own {
                    self.membership.renamed(user, &own_name, name);
                }
                user
            }
            Renamed::Moved { from, into, is_gone } => {
                let name = self.routes.shared_name(into);
                if is_gone {
                    self.membership.merged((from, &own_name), (into, name));
                } else {
                    // What it hears are the groups of somebody else.
                    self.membership.disconnected(id);
                }
                into
            }
        })
    }
}

/// The first number that is no connection's: serial numbers have 32 bits.
const SPARE_FIRST: u64 = 1 << 32;
