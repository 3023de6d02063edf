//! Membership: who is a member of what, by whose will, and who hears of it.
//!
//! ```text
//!   {"type":"join","group":"g"}      until `leave`, or the user's last connection
//!   PUT /v1/groups/g/members/bob     kept in the log's book: bob comes, and is enrolled
//! ```
//!
//! Members are users who are online. What lasts longer than that is kept in the
//! [log](super::log), and whoever comes is enrolled here.
//!
//! This module does not know what is sent to a group, who may ask for what, or what is kept.

use std::rc::Rc;

use super::envelope::Events;
use super::presence::{Change, Presence};
use crate::hub::ConnId;
use crate::hub::groups::{Groups, Joined};
use crate::hub::routes::UserKey;

/// All memberships.
pub(super) struct Membership {
    groups: Groups,
    presence: Presence,
}

/// Why a membership that lasts could not be begun or ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MembershipError {
    /// As many memberships are kept as may be (`--max-memberships`).
    Full,
    /// The server is about to stop.
    Stopping,
    /// The store takes nothing now: later it may.
    Store,
    /// The user is in as many groups as one may be (`--max-groups-per-user`).
    TooManyGroups,
    /// As many users have a log as may (`--log-users`).
    TooManyUsers,
}

impl Membership {
    pub(super) fn new(groups: Groups, presence: Presence) -> Membership {
        Membership { groups, presence }
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

    /// A user who is online leaves a group.
    pub(super) fn leave(
        &mut self,
        user: UserKey,
        name: &Rc<str>,
        connections: &[ConnId],
        group: &str,
    ) {
        let Some(key) = self.groups.membership(user, group) else { return };
        for &id in connections {
            self.presence.ignore(id, key);
        }
        // Whoever hears it is a member: so the group goes on, and the key is good.
        self.presence.note(key, name, Change::Left);
        self.groups.leave(user, group);
    }

    // ---- by coming and going -------------------------------------------------------------------

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
