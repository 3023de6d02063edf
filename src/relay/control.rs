//! Control: what a client says to the server and not to others.
//!
//! ```text
//!   {"type":"join","group":"g","presence":true}   {"type":"ok","group":"g"}
//!   {"type":"leave","group":"g"}                  {"type":"ok","group":"g"}
//!   {"type":"members","group":"g"}                {"type":"members","group":"g",
//!                                                  "members":["bob"],"count":1}
//!   {"type":"presence","user":"bob"}              {"type":"presence","user":"bob","online":2}
//! ```
//!
//! And what a backend says about memberships. Whether somebody may is asked before anything is
//! looked up.
//!
//! This module does not know how messages are routed.

use super::access::policy::Action;
use super::envelope::Events;
use super::membership::MembershipError;
use super::name::Name;
use super::presence::write_members;
use super::reply::{Pieces, Refusal, Target};
use super::v1::Refused;
use super::{Relay, narrow};
use crate::engine::Context;
use crate::hub::ConnId;
use crate::hub::groups::Joined;
use crate::hub::routes::Standing;
use crate::protocol::MessageKind;

impl Relay {
    pub(super) fn join(
        &mut self,
        cx: &mut Context<'_>,
        from: ConnId,
        sender: Option<&Name<'_>>,
        group: &str,
        events: Events,
    ) {
        let target = Target::Group(group);
        let Some(speaker) = self.speaker(cx, from, sender, target) else { return };
        if !self.may(cx, from, Action::Join(group)) {
            return;
        }
        if events == Events::On && !self.may(cx, from, Action::Members(group)) {
            return;
        }
        let groups_max = self.sessions.limits(from).groups_max.map_or(usize::MAX, narrow);
        let joined = self.identities.join(from, speaker, group, groups_max, events);
        if let (Joined::Now(_), true) = (joined, self.carrier.is_used()) {
            let name = self.identities.routes().name(speaker);
            self.carrier.sessions().enroll(name, group);
        }
        match joined {
            Joined::TooMany => self.refuse(cx, from, Refusal::TooManyGroups, target),
            Joined::Already(_) | Joined::Now(_) => self.confirm(cx, from, group),
        }
    }

    pub(super) fn leave(
        &mut self,
        cx: &mut Context<'_>,
        from: ConnId,
        sender: Option<&Name<'_>>,
        group: &str,
    ) {
        let Some(speaker) = self.speaker(cx, from, sender, Target::Group(group)) else { return };
        if self.carrier.is_used() {
            let name = self.identities.routes().name(speaker);
            if self.carrier.sessions().leave_plain(from, name, group).is_err() {
                return self.refuse(cx, from, Refusal::Store, Target::Group(group));
            }
        }
        self.identities.leave(speaker, group);
        self.confirm(cx, from, group);
    }

    /// Names the members of a group, to one of them.
    pub(super) fn members(
        &mut self,
        cx: &mut Context<'_>,
        from: ConnId,
        sender: Option<&Name<'_>>,
        group: &str,
    ) {
        let target = Target::Group(group);
        let Some(speaker) = self.speaker(cx, from, sender, target) else { return };
        if !self.may(cx, from, Action::Members(group)) {
            return;
        }
        let (routes, groups) = (self.identities.routes(), self.identities.groups());
        let Some(key) = groups.membership(speaker, group) else {
            return self.refuse(cx, from, Refusal::NotAMember, target);
        };
        let members = groups.members(key);
        let names = members.iter().take(self.members_max).map(|&user| routes.name(user));
        write_members(group, names, members.len(), &mut self.scratch);
        let parts = [self.scratch.as_bytes()];
        let delivery = self.gaps.send_parts(cx, from, MessageKind::Text, &parts);
        self.gaps.note(from, delivery);
        if self.scratch.capacity() > SCRATCH_MAX_BYTES {
            self.scratch = String::new();
        }
    }

    /// Says over how many connections a user is online.
    pub(super) fn presence(
        &mut self,
        cx: &mut Context<'_>,
        from: ConnId,
        sender: Option<&Name<'_>>,
        user: &str,
    ) {
        let target = Target::User(user);
        if self.speaker(cx, from, sender, target).is_none()
            || !self.may(cx, from, Action::Presence(user))
        {
            return;
        }
        let routes = self.identities.routes();
        let online = routes.find(user).map_or(0, |key| routes.connections(key).len());
        let pieces = Pieces::online(user, online, &mut self.scratch);
        super::routing::reply(cx, &mut self.gaps, from, &pieces);
    }

    /// Who may not ask any more who is in a group does not hear it either.
    pub(super) fn stop_forbidden_hearing(&mut self) {
        if self.identities.membership().hearing() == 0 {
            return;
        }
        let Relay { identities, sessions, carrier, rooms, .. } = self;
        for id in rooms.connections().chain(carrier.connections()) {
            if let Some(user) = identities.routes().user_of(id) {
                let may = |group: &str| sessions.permits(id, Action::Members(group));
                identities.membership().ignore_unless(id, user, may);
            }
        }
    }

    // ---- what a backend decides ----------------------------------------------------------------

    /// Makes a user a member of a group, until the user leaves or has no record any more, or
    /// [`remove_member`](Relay::remove_member). The user has a record from now on, and need not be
    /// here. Both are names that keep the rules of [`Name`]. It is kept when the store has
    /// committed it, as everything else that happens in this tick.
    ///
    /// A guest has no record, and is a member for as long as he is a guest and here.
    ///
    /// # Errors
    ///
    /// [`MembershipError`]; then nothing has changed.
    pub fn add_member(
        &mut self,
        cx: &Context<'_>,
        user: &str,
        group: &str,
    ) -> Result<(), MembershipError> {
        self.carrier.start(cx);
        let here = self.identities.routes().find(user);
        if let Some(key) = here
            && self.identities.routes().standing(key) == Standing::Guest
        {
            self.identities.enroll(key, group);
            self.carrier.sessions().enroll(user, group);
            return Ok(());
        }
        if here.is_some() {
            self.count_plain(cx, user);
        }
        self.carrier.sessions().grant(user, group, cx.now()).map_err(unkept)?;
        if let Some(key) = here {
            self.acquaint(cx, key);
        }
        Ok(())
    }

    /// Ends a membership, whoever wanted it. Whether there was one.
    ///
    /// # Errors
    ///
    /// [`MembershipError`]; then nothing has changed.
    pub fn remove_member(
        &mut self,
        cx: &Context<'_>,
        user: &str,
        group: &str,
    ) -> Result<bool, MembershipError> {
        self.carrier.start(cx);
        let book = self.carrier.sessions().book();
        let was_kept = book.find(user).is_some_and(|key| book.is_member(key, group));
        self.carrier.sessions().strike(user, group).map_err(unkept)?;
        let Some(user) = self.identities.routes().find(user) else { return Ok(was_kept) };
        let was_member = self.identities.groups().membership(user, group).is_some();
        self.identities.leave(user, group);
        Ok(was_kept || was_member)
    }
}

/// Why a membership could not be begun or ended.
fn unkept(refused: Refused) -> MembershipError {
    match refused {
        Refused::DRAINING => MembershipError::Stopping,
        Refused::MEMBERSHIPS_FULL => MembershipError::Full,
        Refused::TOO_MANY_GROUPS => MembershipError::TooManyGroups,
        Refused::TOO_MANY_USERS => MembershipError::TooManyUsers,
        _ => MembershipError::Store,
    }
}

/// A list of members may be long, and is rare.
const SCRATCH_MAX_BYTES: usize = 16 * 1024;
