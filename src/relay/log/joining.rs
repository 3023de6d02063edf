//! Joining: how users become members of groups, for good or for the time being.
//!
//! ```text
//!   join      bob has a record: kept, a place in the order of everything      until leave
//!             he has none                                                     while he is here
//!   enroll    by a token, or in the plain dialect                             while he is here
//! ```
//!
//! This module does not know who may join what.

use std::rc::Rc;

use super::book::Book;
use super::members::GroupKey;
use super::store::{Change, Store};
use super::user::UserKey;

/// What became of a wish to be a member.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub enum Joining {
    /// As many memberships are kept as may be, of all users together.
    Full,
    /// The user is a member.
    Joined,
    /// The user is in as many groups as one may be.
    TooMany,
}

impl<S: Store> Book<S> {
    /// Makes a user a member, of at most `groups_max` groups and no more than everybody may be in:
    /// for good if the user has a record, else for as long as the user is here.
    pub fn join(&mut self, key: UserKey, name: &str, groups_max: usize) -> Joining {
        let user = &self.users[key.0];
        let own = self.members.find(name).filter(|group| user.groups.contains_key(group));
        let passing = own.and_then(|group| user.passing.iter().position(|own| *own == group));
        let is_recorded = user.record.is_some();
        if own.is_some() && (passing.is_none() || !is_recorded) {
            return Joining::Joined;
        }
        if own.is_none() && user.groups.len() >= groups_max.min(self.limits.groups_max) {
            return Joining::TooMany;
        }
        if !is_recorded {
            self.enroll(key, name);
            return Joining::Joined;
        }
        if self.kept >= self.limits.memberships_max {
            return Joining::Full;
        }
        match passing {
            // One who was a member for the time being is one for good.
            Some(at) => drop(self.users[key.0].passing.swap_remove(at)),
            None => {
                let (group, place) = self.members.add(key, name);
                self.users[key.0].groups.insert(group, place);
            }
        }
        self.kept += 1;
        self.mark(key);
        // R10: who is a member at a message's seq gets it.
        let (seq, user) = (self.issue(), &self.users[key.0].name);
        self.store.note(Change::Join { user, group: name, seq });
        Joining::Joined
    }

    /// Makes a user a member for as long as the user is here: nothing of it is kept.
    pub fn enroll(&mut self, key: UserKey, name: &str) {
        if self.is_member(key, name) {
            return;
        }
        let (group, place) = self.members.add(key, name);
        let user = &mut self.users[key.0];
        user.groups.insert(group, place);
        user.passing.push(group);
    }

    /// Ends a membership, if there is one, whether or not it is kept.
    pub fn leave(&mut self, key: UserKey, name: &str) {
        let Some(group) = self.members.find(name) else { return };
        let passing = &mut self.users[key.0].passing;
        let passed = passing.iter().position(|passing| *passing == group);
        if let Some(at) = passed {
            passing.swap_remove(at);
        }
        if !self.strike(key, group) || passed.is_some() || self.users[key.0].record.is_none() {
            return;
        }
        self.kept -= 1;
        self.mark(key);
        let (seq, user) = (self.issue(), &self.users[key.0].name);
        self.store.note(Change::Leave { user, group: name, seq });
    }

    /// The groups a user is in.
    pub fn groups(&self, key: UserKey) -> impl Iterator<Item = &Rc<str>> {
        self.users[key.0].groups.keys().map(|group| self.members.name(*group))
    }

    /// Who is not here any more is no member of what was for the time being.
    pub(super) fn end_passing(&mut self, key: UserKey) {
        if self.users[key.0].online() > 0 {
            return;
        }
        for group in std::mem::take(&mut self.users[key.0].passing) {
            self.strike(key, group);
        }
    }

    /// Whether a user is in a group.
    pub fn is_member(&self, key: UserKey, group: &str) -> bool {
        let group = self.members.find(group);
        group.is_some_and(|group| self.users[key.0].groups.contains_key(&group))
    }

    /// Whether a user is in a group also when the user is away.
    pub fn is_kept(&self, key: UserKey, group: &str) -> bool {
        let user = &self.users[key.0];
        let group = self.members.find(group).filter(|group| user.groups.contains_key(group));
        user.record.is_some() && group.is_some_and(|group| !user.passing.contains(&group))
    }

    fn strike(&mut self, key: UserKey, group: GroupKey) -> bool {
        let Some(place) = self.users[key.0].groups.remove(&group) else { return false };
        if let Some(moved) = self.members.take(group, place) {
            self.users[moved.user.0].groups.insert(moved.group, moved.place);
        }
        true
    }

    pub(super) fn leave_all(&mut self, key: UserKey) {
        let user = &mut self.users[key.0];
        if user.record.is_some() {
            self.kept -= user.groups.len() - user.passing.len();
        }
        user.passing.clear();
        let groups: Vec<GroupKey> = self.users[key.0].groups.keys().copied().collect();
        for group in groups {
            self.strike(key, group);
        }
    }
}
