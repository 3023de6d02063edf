//! Members: which users are in which group.
//!
//! ```text
//!   "room1" -> group 4 -> [ alice, bob, eve ]
//!                             ^
//!   bob: { group 4: position 1 }     so that leaving moves one member and searches none
//! ```
//!
//! This module does not know what a membership is for, nor which of them are kept.

use std::collections::HashMap;
use std::rc::Rc;

use foldhash::quality::RandomState;
use slab::Slab;

use super::UserKey;

/// The name of a group for as long as it has members.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct GroupKey(usize);

/// Where a user stands in each of the user's groups.
pub(super) type Places = HashMap<GroupKey, usize, RandomState>;

/// All groups with at least one member.
#[derive(Debug, Default)]
pub struct Members {
    groups: Slab<Group>,
    keys: HashMap<Rc<str>, GroupKey, RandomState>,
}

#[derive(Debug)]
struct Group {
    name: Rc<str>,
    members: Vec<UserKey>,
}

/// A member took the place of one that left, and has to be told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Moved {
    pub user: UserKey,
    pub group: GroupKey,
    pub place: usize,
}

impl Members {
    /// The group of this name, if it has members.
    pub fn find(&self, name: &str) -> Option<GroupKey> {
        self.keys.get(name).copied()
    }

    /// The name of a group.
    pub fn name(&self, group: GroupKey) -> &Rc<str> {
        &self.groups[group.0].name
    }

    /// The members of a group, in no order.
    pub fn members(&self, group: GroupKey) -> &[UserKey] {
        &self.groups[group.0].members
    }

    /// How many groups there are.
    pub fn len(&self) -> usize {
        self.groups.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.groups.is_empty()
    }

    /// Adds a member who is not one yet; says in which group and where.
    pub(super) fn add(&mut self, user: UserKey, name: &str) -> (GroupKey, usize) {
        let group = match self.find(name) {
            Some(group) => group,
            None => {
                let name: Rc<str> = Rc::from(name);
                let group = Group { name: Rc::clone(&name), members: Vec::new() };
                let key = GroupKey(self.groups.insert(group));
                self.keys.insert(name, key);
                key
            }
        };
        let members = &mut self.groups[group.0].members;
        members.push(user);
        (group, members.len() - 1)
    }

    /// Takes out the member at a place, and the group with the last one.
    pub(super) fn take(&mut self, group: GroupKey, place: usize) -> Option<Moved> {
        let members = &mut self.groups[group.0].members;
        members.swap_remove(place);
        if members.is_empty() {
            let gone = self.groups.remove(group.0);
            self.keys.remove(&gone.name);
            return None;
        }
        members.get(place).map(|&user| Moved { user, group, place })
    }
}
