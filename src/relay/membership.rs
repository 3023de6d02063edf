//! Membership: who is a member of what, by whose will, and who hears of it.
//!
//! ```text
//!   {"type":"join","group":"g"}      until `leave`, or the user's last connection
//!   PUT /v1/groups/g/members/bob     until `leave` or DELETE, whether bob is there or not
//!                                    |
//!                                    v
//!                     granted: "bob" -> [ "g" ]    bob comes: a member of g at once
//! ```
//!
//! Members are users who are online. What the application's backend grants is kept by name, so
//! that it is there when the user comes; there is a limit to how much of that is kept.
//!
//! This module does not know what is sent to a group, or who may ask for what.

use std::collections::HashMap;
use std::rc::Rc;

use super::envelope::Events;
use super::presence::{Change, Presence};
use crate::hub::ConnId;
use crate::hub::groups::{Groups, Joined};
use crate::hub::routes::UserKey;

/// All memberships.
pub(super) struct Membership {
    groups: Groups,
    granted: Granted,
    presence: Presence,
}

/// Why a membership was not granted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GrantError {
    /// As many memberships are kept as may be (`--max-memberships`).
    Full,
    /// The user was granted as many groups as one may be in (`--max-groups-per-user`).
    TooManyGroups,
}

impl Membership {
    pub(super) fn new(groups: Groups, granted: Granted, presence: Presence) -> Membership {
        Membership { groups, granted, presence }
    }

    pub(super) fn groups(&self) -> &Groups {
        &self.groups
    }

    pub(super) fn presence_mut(&mut self) -> &mut Presence {
        &mut self.presence
    }

    /// The groups, and what is to be told about them.
    pub(super) fn parts(&mut self) -> (&Groups, &mut Presence) {
        (&self.groups, &mut self.presence)
    }

    /// The groups that a user is to be a member of whenever online.
    pub(super) fn granted_to(&self, user: &str) -> &[Box<str>] {
        self.granted.by_user.get(user).map_or(&[], Vec::as_slice)
    }

    /// How many memberships are kept by name.
    pub(super) fn granted(&self) -> usize {
        self.granted.len
    }

    /// How many connections hear a group, of all groups together.
    pub(super) fn hearing(&self) -> usize {
        self.presence.hearing()
    }

    /// The connection hears of a group of its user only as long as `may` says so of its name.
    pub(super) fn ignore_unless(&mut self, id: ConnId, user: UserKey, may: impl Fn(&str) -> bool) {
        for &group in self.groups.groups_of(user) {
            if !may(self.groups.name(group)) {
                self.presence.ignore(id, group);
            }
        }
    }

    // ---- by the will of somebody ---------------------------------------------------------------

    /// A user joins a group, as one of at most `groups_max`, over a connection that may want to
    /// hear who comes and goes.
    pub(super) fn join(
        &mut self,
        user: UserKey,
        name: &Rc<str>,
        group: &str,
        groups_max: usize,
        (id, events): (ConnId, Events),
    ) -> Joined {
        let joined = self.groups.join_within(user, group, groups_max);
        let (Joined::Already(key) | Joined::Now(key)) = joined else { return joined };
        // First, to hear oneself come as all others do who hear it: the frame is the same for all.
        match events {
            Events::Unchanged => {}
            Events::Off => self.presence.ignore(id, key),
            Events::On => self.presence.hear(id, key),
        }
        if let Joined::Now(key) = joined {
            self.presence.note(key, name, Change::Joined);
        }
        joined
    }

    /// The same for a group that was not asked for, whatever the limits.
    pub(super) fn enroll(&mut self, user: UserKey, name: &Rc<str>, group: &str) {
        if let Joined::Now(group) = self.groups.grant(user, group) {
            self.presence.note(group, name, Change::Joined);
        }
    }

    /// A user who is online leaves a group, also one that was granted.
    pub(super) fn leave(
        &mut self,
        user: UserKey,
        name: &Rc<str>,
        connections: &[ConnId],
        group: &str,
    ) {
        self.granted.remove(name, group);
        let Some(key) = self.groups.membership(user, group) else { return };
        for &id in connections {
            self.presence.ignore(id, key);
        }
        // Whoever hears it is a member: so the group goes on, and the key is good.
        self.presence.note(key, name, Change::Left);
        self.groups.leave(user, group);
    }

    /// A user is to be a member of a group whenever online; the caller enrolls who is.
    pub(super) fn grant(
        &mut self,
        user: &str,
        group: &str,
        groups_max: usize,
    ) -> Result<(), GrantError> {
        self.granted.add(user, group, groups_max)
    }

    /// Undoes that; the caller lets who is online leave. Whether it was granted.
    pub(super) fn revoke(&mut self, user: &str, group: &str) -> bool {
        self.granted.remove(user, group)
    }

    // ---- by coming and going -------------------------------------------------------------------

    /// A user came online, or has this name from now on.
    pub(super) fn came(&mut self, user: UserKey, name: &Rc<str>) {
        // One look that finds nothing, for nearly everybody.
        let Some(groups) = self.granted.by_user.get(&**name) else { return };
        for group in groups {
            if let Joined::Now(group) = self.groups.grant(user, group) {
                self.presence.note(group, name, Change::Joined);
            }
        }
    }

    /// A connection is gone; its user may have others.
    pub(super) fn disconnected(&mut self, id: ConnId) {
        self.presence.ignore_all(id);
    }

    /// A user is gone, and all connections of the user's with it.
    pub(super) fn gone(&mut self, user: UserKey, name: &Rc<str>) {
        for &group in self.groups.groups_of(user) {
            self.presence.note(group, name, Change::Left);
        }
        self.groups.leave_all(user);
    }

    /// A user has another name.
    pub(super) fn renamed(&mut self, user: UserKey, from: &Rc<str>, to: &Rc<str>) {
        for &group in self.groups.groups_of(user) {
            self.presence.note(group, from, Change::Left);
            self.presence.note(group, to, Change::Joined);
        }
        self.came(user, to);
    }

    /// A user turned out to be another one, who is online.
    pub(super) fn merged(
        &mut self,
        (from, from_name): (UserKey, &Rc<str>),
        (into, into_name): (UserKey, &Rc<str>),
    ) {
        for &group in self.groups.groups_of(from) {
            self.presence.note(group, from_name, Change::Left);
            if !self.groups.is_member(into, group) {
                self.presence.note(group, into_name, Change::Joined);
            }
        }
        self.groups.merge(from, into);
    }
}

/// What was granted, by the names of users, who may be offline.
pub(super) struct Granted {
    by_user: HashMap<Box<str>, Vec<Box<str>>>,
    /// Of all users together.
    len: usize,
    max: usize,
}

impl Granted {
    /// Nothing is granted, and at most `max` memberships will be.
    pub(super) fn new(max: usize) -> Granted {
        Granted { by_user: HashMap::new(), len: 0, max }
    }

    fn add(&mut self, user: &str, group: &str, groups_max: usize) -> Result<(), GrantError> {
        let groups = self.by_user.get(user).map_or(&[][..], Vec::as_slice);
        if groups.iter().any(|own| **own == *group) {
            return Ok(());
        }
        if groups.len() >= groups_max {
            return Err(GrantError::TooManyGroups);
        }
        if self.len >= self.max {
            return Err(GrantError::Full);
        }
        match self.by_user.get_mut(user) {
            Some(groups) => groups.push(group.into()),
            None => drop(self.by_user.insert(user.into(), vec![group.into()])),
        }
        self.len += 1;
        Ok(())
    }

    fn remove(&mut self, user: &str, group: &str) -> bool {
        let Some(groups) = self.by_user.get_mut(user) else { return false };
        let Some(at) = groups.iter().position(|own| **own == *group) else { return false };
        groups.swap_remove(at);
        self.len -= 1;
        if groups.is_empty() {
            self.by_user.remove(user);
            if self.by_user.is_empty() {
                self.by_user = HashMap::new();
            }
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn as_much_is_granted_as_may_be_and_again_when_there_is_room() {
        let mut granted = Granted::new(3);
        for (user, group, wanted) in [
            ("a", "g", Ok(())),
            ("a", "g", Ok(())),
            ("a", "h", Ok(())),
            ("a", "i", Err(GrantError::TooManyGroups)),
            ("b", "g", Ok(())),
            ("b", "h", Err(GrantError::Full)),
            ("a", "h", Ok(())),
        ] {
            assert_eq!(granted.add(user, group, 2), wanted, "{user} {group}");
        }
        assert!(granted.remove("a", "g") && !granted.remove("a", "g"));
        assert_eq!(granted.add("b", "h", 2), Ok(()));
        for (user, group) in [("a", "h"), ("b", "g"), ("b", "h")] {
            assert!(granted.remove(user, group));
        }
        assert_eq!((granted.len, granted.by_user.capacity()), (0, 0));
    }
}
