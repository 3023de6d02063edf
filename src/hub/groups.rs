//! Groups: which users are members of what, by name.
//!
//! ```text
//!   "room1" --hash--> GroupKey 2 --slab--> Group { members: [ u7, u3, u9 ] }
//!                                                              ^
//!   (u3, g2) --hash--> Places { in_group: 1, in_user: 0 } -----+
//!                                              |
//!                                              v
//!   u3 --hash--> groups of u3:               [ g2, g5 ]
//! ```
//!
//! A membership is in two dense lists, the group's and the user's, and knows its place in both.
//! So joining, leaving and asking "is she a member?" cost O(1), and a user who goes offline
//! costs O(groups of that user): ten thousand users leaving one group at once are ten thousand
//! steps. A group without members does not exist.
//!
//! This module does not know what a good name is, who is online, or what is sent.

use std::collections::HashMap;
use std::rc::Rc;

use slab::Slab;

use super::dense;
use super::hash::KeyedHash;
use super::routes::UserKey;

/// A group with at least one member, by number. Valid until its last member has left.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct GroupKey(u32);

/// What came of a wish to join.
#[must_use]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Joined {
    /// The user was a member already.
    Already(GroupKey),
    /// The user is a member from now on.
    Now(GroupKey),
    /// The user is in as many groups as one may be.
    TooMany,
}

/// Who is a member of what.
pub struct Groups {
    keys: HashMap<Rc<str>, GroupKey, KeyedHash>,
    groups: Slab<Group>,
    groups_of: HashMap<UserKey, Vec<GroupKey>, KeyedHash>,
    memberships: HashMap<(UserKey, GroupKey), Places, KeyedHash>,
    groups_per_user_max: usize,
}

impl Groups {
    /// No groups; one user may join `groups_per_user_max` of them.
    pub fn new(groups_per_user_max: usize) -> Groups {
        Groups {
            keys: HashMap::default(),
            groups: Slab::new(),
            groups_of: HashMap::default(),
            memberships: HashMap::default(),
            groups_per_user_max,
        }
    }

    /// The user becomes a member of the group of this name, which exists from then on.
    pub fn join(&mut self, user: UserKey, name: &str) -> Joined {
        self.join_within(user, name, self.groups_per_user_max)
    }

    /// The same for a user who may be in `groups_max` groups, and in no more than everybody.
    pub fn join_within(&mut self, user: UserKey, name: &str, groups_max: usize) -> Joined {
        let groups_max = groups_max.min(self.groups_per_user_max);
        let existing = self.keys.get(name).copied();
        if let Some(group) = existing
            && self.is_member(user, group)
        {
            return Joined::Already(group);
        }
        if self.groups_of(user).len() >= groups_max {
            return Joined::TooMany;
        }
        Joined::Now(self.put(user, name, existing))
    }

    /// The same without a limit: for what was granted and not asked for.
    pub fn grant(&mut self, user: UserKey, name: &str) -> Joined {
        match self.keys.get(name).copied() {
            Some(group) if self.is_member(user, group) => Joined::Already(group),
            existing => Joined::Now(self.put(user, name, existing)),
        }
    }

    /// The user is no longer a member. Not having been one is no error.
    pub fn leave(&mut self, user: UserKey, name: &str) {
        let Some(&group) = self.keys.get(name) else { return };
        let Some(places) = self.memberships.remove(&(user, group)) else { return };
        self.strike_from_user(user, places.in_user);
        self.strike_from_group(group, places.in_group);
        dense::shrink_map(&mut self.memberships);
    }

    /// The user is gone, and with the user all memberships.
    pub fn leave_all(&mut self, user: UserKey) {
        for group in self.groups_of.remove(&user).unwrap_or_default() {
            let places = self.memberships.remove(&(user, group));
            let places = places.expect("invariant: every listed membership has its places");
            self.strike_from_group(group, places.in_group);
        }
        dense::shrink_map(&mut self.memberships);
        dense::shrink_map(&mut self.groups_of);
    }

    /// All memberships of `from` become memberships of `into`, those beyond the limit too:
    /// nothing that was granted is taken away.
    pub fn merge(&mut self, from: UserKey, into: UserKey) {
        for group in self.groups_of.remove(&from).unwrap_or_default() {
            // First in, then out: the group is never without members in between.
            if !self.is_member(into, group) {
                self.enroll(into, group);
            }
            let places = self.memberships.remove(&(from, group));
            let places = places.expect("invariant: every listed membership has its places");
            self.strike_from_group(group, places.in_group);
        }
        dense::shrink_map(&mut self.memberships);
        dense::shrink_map(&mut self.groups_of);
    }

    /// The group of this name, if it has a member.
    pub fn find(&self, name: &str) -> Option<GroupKey> {
        self.keys.get(name).copied()
    }

    /// The names of the groups a user is a member of, in no order.
    pub fn names_of(&self, user: UserKey) -> impl Iterator<Item = &str> {
        let keys = self.groups_of.get(&user).map_or(&[][..], Vec::as_slice);
        keys.iter().map(|key| &*self.groups[key.0 as usize].name)
    }

    /// The groups a user is a member of, in no order.
    pub fn groups_of(&self, user: UserKey) -> &[GroupKey] {
        self.groups_of.get(&user).map_or(&[], Vec::as_slice)
    }

    /// The name of a group.
    ///
    /// # Panics
    ///
    /// If the key is no longer valid.
    pub fn name(&self, group: GroupKey) -> &str {
        &self.groups[group.0 as usize].name
    }

    /// The group of this name, if the user is a member of it. Whether it exists for others is
    /// not told.
    pub fn membership(&self, user: UserKey, name: &str) -> Option<GroupKey> {
        let group = self.keys.get(name).copied()?;
        self.is_member(user, group).then_some(group)
    }

    /// All members of a group, in no order; never empty.
    ///
    /// # Panics
    ///
    /// If the key is no longer valid: keys do not outlive the call in which the last member left.
    pub fn members(&self, group: GroupKey) -> &[UserKey] {
        &self.groups[group.0 as usize].members
    }

    /// How many groups there are.
    pub fn len(&self) -> usize {
        self.groups.len()
    }

    /// Whether there are no groups.
    pub fn is_empty(&self) -> bool {
        self.groups.is_empty()
    }

    /// How many memberships there are in all groups together.
    pub fn memberships(&self) -> usize {
        self.memberships.len()
    }

    /// Whether the user is a member of a group.
    pub fn is_member(&self, user: UserKey, group: GroupKey) -> bool {
        self.memberships.contains_key(&(user, group))
    }

    fn put(&mut self, user: UserKey, name: &str, existing: Option<GroupKey>) -> GroupKey {
        let group = existing.unwrap_or_else(|| self.create(name));
        self.enroll(user, group);
        group
    }

    fn create(&mut self, name: &str) -> GroupKey {
        let name: Rc<str> = Rc::from(name);
        let group = Group { name: Rc::clone(&name), members: Vec::new() };
        let key = GroupKey(dense::narrow(self.groups.insert(group)));
        self.keys.insert(name, key);
        key
    }

    fn enroll(&mut self, user: UserKey, group: GroupKey) {
        let members = &mut self.groups[group.0 as usize].members;
        let groups = self.groups_of.entry(user).or_default();
        let places =
            Places { in_group: dense::narrow(members.len()), in_user: dense::narrow(groups.len()) };
        members.push(user);
        groups.push(group);
        self.memberships.insert((user, group), places);
    }

    /// Takes a group out of a user's list; the caller has removed the membership.
    fn strike_from_user(&mut self, user: UserKey, position: u32) {
        let groups = self.groups_of.get_mut(&user);
        let groups = groups.expect("invariant: a user with a membership has a list of groups");
        let moved = dense::take(groups, position as usize);
        if groups.is_empty() {
            self.groups_of.remove(&user);
            dense::shrink_map(&mut self.groups_of);
        }
        if let Some(moved) = moved {
            self.places(user, moved).in_user = position;
        }
    }

    /// Takes a user out of a group's list; the caller has removed the membership.
    fn strike_from_group(&mut self, group: GroupKey, position: u32) {
        let members = &mut self.groups[group.0 as usize].members;
        let moved = dense::take(members, position as usize);
        if members.is_empty() {
            let group = self.groups.remove(group.0 as usize);
            self.keys.remove(&group.name);
            dense::shrink_map(&mut self.keys);
            if self.groups.is_empty() {
                self.groups.shrink_to_fit();
            }
        } else if let Some(moved) = moved {
            self.places(moved, group).in_group = position;
        }
    }

    fn places(&mut self, user: UserKey, group: GroupKey) -> &mut Places {
        let places = self.memberships.get_mut(&(user, group));
        places.expect("invariant: every listed membership has its places")
    }
}

struct Group {
    name: Rc<str>,
    members: Vec<UserKey>,
}

/// Where a membership stands in the group's list of members and in the user's list of groups.
struct Places {
    in_group: u32,
    in_user: u32,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hub::Slots;
    use crate::hub::routes::{Routes, Standing};

    /// User keys come from routes alone.
    fn users(count: usize) -> Vec<UserKey> {
        let (mut slots, mut routes) = (Slots::new(), Routes::new());
        let mut connect =
            |index| routes.connect(slots.insert(()), &format!("user {index}"), Standing::Named);
        (0..count).map(&mut connect).collect()
    }

    fn join(groups: &mut Groups, user: UserKey, name: &str) -> GroupKey {
        match groups.join(user, name) {
            Joined::Already(group) | Joined::Now(group) => group,
            Joined::TooMany => panic!("too many groups"),
        }
    }

    /// Every membership stands where it says, in both lists, and nothing else is listed.
    fn check(groups: &Groups) {
        let mut listed = 0;
        for (key, group) in &groups.groups {
            assert!(!group.members.is_empty(), "a group without members");
            for (position, &user) in group.members.iter().enumerate() {
                let key = GroupKey(dense::narrow(key));
                let places = &groups.memberships[&(user, key)];
                assert_eq!(places.in_group as usize, position);
                assert_eq!(groups.groups_of[&user][places.in_user as usize], key);
                listed += 1;
            }
        }
        assert_eq!(listed, groups.memberships.len());
        assert_eq!(listed, groups.groups_of.values().map(Vec::len).sum::<usize>());
        assert_eq!(groups.keys.len(), groups.groups.len());
    }

    #[test]
    fn a_group_is_there_while_it_has_members() {
        let user = users(2);
        let mut groups = Groups::new(1_000);
        let room = join(&mut groups, user[0], "room1");
        assert_eq!(join(&mut groups, user[1], "room1"), room);
        assert_eq!(join(&mut groups, user[1], "room1"), room, "joining twice is joining once");
        assert_eq!(groups.members(room), [user[0], user[1]]);
        assert_eq!(groups.membership(user[0], "room1"), Some(room));
        assert_eq!(groups.membership(user[0], "room2"), None);
        check(&groups);
        groups.leave(user[0], "room1");
        groups.leave(user[0], "room1");
        groups.leave(user[0], "nowhere");
        assert_eq!(groups.membership(user[0], "room1"), None);
        assert_eq!(groups.members(room), [user[1]]);
        check(&groups);
        groups.leave_all(user[1]);
        assert!(groups.is_empty());
        check(&groups);
    }

    #[test]
    fn the_limit_counts_the_groups_of_one_user() {
        let user = users(2);
        let mut groups = Groups::new(2);
        join(&mut groups, user[0], "a");
        join(&mut groups, user[0], "b");
        assert_eq!(groups.join(user[0], "c"), Joined::TooMany);
        assert_eq!(groups.len(), 2, "a refused join makes no group");
        join(&mut groups, user[0], "a");
        join(&mut groups, user[1], "c");
        groups.leave(user[0], "a");
        join(&mut groups, user[0], "c");
        check(&groups);
        // A lower limit of one's own counts, a higher one does not.
        assert_eq!(groups.join_within(user[1], "d", 1), Joined::TooMany);
        assert_eq!(groups.join_within(user[0], "d", 3), Joined::TooMany);
        assert!(matches!(groups.grant(user[0], "d"), Joined::Now(_)));
        assert!(matches!(groups.grant(user[0], "d"), Joined::Already(_)));
        assert_eq!(groups.names_of(user[0]).count(), 3);
        check(&groups);
    }

    #[test]
    fn merging_keeps_every_membership_once() {
        let user = users(2);
        let mut groups = Groups::new(2);
        for name in ["a", "b"] {
            join(&mut groups, user[0], name);
        }
        for name in ["b", "c"] {
            join(&mut groups, user[1], name);
        }
        groups.merge(user[0], user[1]);
        check(&groups);
        assert_eq!(groups.memberships(), 3, "a, b and c, beyond the limit of two");
        for name in ["a", "b", "c"] {
            assert!(groups.membership(user[1], name).is_some(), "{name}");
            assert!(groups.membership(user[0], name).is_none(), "{name}");
        }
        assert_eq!(groups.join(user[1], "d"), Joined::TooMany);
    }

    #[test]
    fn any_order_of_joins_and_leaves_keeps_both_lists_right() {
        let user = users(7);
        let names = ["a", "b", "c", "d", "e"];
        let mut groups = Groups::new(4);
        let mut seed = 0x2545_F491_4F6C_DD1Du64;
        for _ in 0..20_000 {
            seed ^= seed << 13;
            seed ^= seed >> 7;
            seed ^= seed << 17;
            let who = user[(seed >> 8) as usize % user.len()];
            let name = names[(seed >> 24) as usize % names.len()];
            match seed >> 60 {
                0 => groups.leave_all(who),
                1 => {
                    let into = user[(seed >> 40) as usize % user.len()];
                    if who != into {
                        groups.merge(who, into);
                    }
                }
                2..=7 => groups.leave(who, name),
                _ => {
                    let _ = groups.join(who, name);
                }
            }
        }
        check(&groups);
        for who in user {
            groups.leave_all(who);
        }
        assert!(groups.is_empty());
        assert_eq!(groups.memberships.capacity(), 0);
        assert_eq!(groups.groups_of.capacity(), 0);
        assert_eq!(groups.groups.capacity(), 0);
    }
}
