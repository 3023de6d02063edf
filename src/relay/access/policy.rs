//! Policy: what the users of each role may do, and how much of it.
//!
//! ```text
//!   file:  "*":       broadcast
//!          "member":  send:*  join:*  group:*
//!          "support": presence:*
//!                             |
//!   a user with the roles member, support (and `*`, as everybody):
//!          broadcast  send:*  join:*  group:*  presence:*       Permissions
//!                             |
//!   {"receiver":"alice",…}    v
//!          send:alice?       yes
//! ```
//!
//! Permissions only add up: there is nothing that a role takes away. The text of the file is
//! described in [`POLICY.md`](self#the-policy-file), below.
//!
//! This module does not know who has which roles, or who exists.
#![doc = include_str!("POLICY.md")]

pub mod bucket;
mod file;
pub mod limits;
mod nearest;
pub mod pattern;

use std::fmt;
use std::rc::Rc;

pub use self::file::{Fault, PolicyError};
use self::limits::{RoleLimits, StatedLimits};
use self::pattern::{Pattern, Patterns};

/// A permission table by role.
#[derive(Clone, Debug)]
pub struct Policy {
    /// Sorted by name. `None`: everything but `impersonate` is allowed to everybody.
    roles: Option<Box<[Role]>>,
}

#[derive(Clone, Debug)]
struct Role {
    name: Box<str>,
    allow: Vec<Permission>,
    limits: StatedLimits,
}

/// What a permission is about, as the policy file names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Right {
    Broadcast,
    Group,
    Impersonate,
    Join,
    Members,
    Presence,
    Room,
    Send,
}

/// One permission of a role.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Permission {
    /// For everything.
    Plain(Right),
    /// For the names that a pattern is for.
    For(Right, Pattern),
}

/// What a connection wants to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action<'a> {
    /// Send to everybody in its room.
    Broadcast,
    /// Send to this group.
    SendGroup(&'a str),
    /// Send as somebody else.
    Impersonate,
    /// Become a member of this group.
    Join(&'a str),
    /// Hear who is a member of this group, comes and goes.
    Members(&'a str),
    /// Hear whether this user is online.
    Presence(&'a str),
    /// Come in on this URL path.
    Enter(&'a str),
    /// Send to this user.
    Send(&'a str),
}

/// What a user may do: the permissions and limits of all of the user's roles together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Permissions {
    /// Those that were looked up.
    roles: Box<[Box<str>]>,
    patterns: [Patterns; RIGHTS.len()],
    may_broadcast: bool,
    may_impersonate: bool,
    limits: RoleLimits,
}

impl Policy {
    /// The policy where no file says anything: all is allowed but `impersonate`, without limits
    /// beside the server's own.
    pub const fn open() -> Policy {
        Policy { roles: None }
    }

    /// Whether this is [`Policy::open`]: then nothing has to be asked of anybody's roles.
    pub fn is_open(&self) -> bool {
        self.roles.is_none()
    }

    /// Reads the text of a policy file.
    ///
    /// # Errors
    ///
    /// The first thing in it that is not understood, with its line and place.
    pub fn parse(json: &str) -> Result<Policy, PolicyError> {
        let mut roles = file::read(json)?;
        roles.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(Policy { roles: Some(roles.into_boxed_slice()) })
    }

    /// What a user with these roles may do. [`EVERYBODY`] is added; roles that the policy does not
    /// name add nothing.
    pub fn permissions(&self, roles: &[Box<str>]) -> Rc<Permissions> {
        let mut names = roles.to_vec();
        names.sort_unstable();
        names.dedup();
        let Some(known) = &self.roles else { return Rc::new(Permissions::open(names)) };
        let asked = names.iter().map(|role| &**role).chain([EVERYBODY]);
        let find = |name| known.binary_search_by(|role| (*role.name).cmp(name)).ok();
        let mut places: Vec<usize> = asked.filter_map(find).collect();
        places.sort_unstable();
        places.dedup();
        let roles: Vec<&Role> = places.into_iter().map(|place| &known[place]).collect();
        Rc::new(Permissions::union(names, &roles))
    }

    /// The limits of somebody who had all of the roles.
    pub(crate) fn most_generous(&self) -> RoleLimits {
        let mut stated = StatedLimits::nothing();
        for role in self.roles.iter().flatten() {
            stated.add(&role.limits);
        }
        stated.resolve()
    }
}

impl Default for Policy {
    fn default() -> Policy {
        Policy::open()
    }
}

impl Permissions {
    fn open(names: Vec<Box<str>>) -> Permissions {
        Permissions {
            roles: names.into_boxed_slice(),
            patterns: std::array::from_fn(|_| Patterns::all()),
            may_broadcast: true,
            may_impersonate: false,
            limits: RoleLimits::default(),
        }
    }

    fn union(names: Vec<Box<str>>, roles: &[&Role]) -> Permissions {
        let allowed = || roles.iter().flat_map(|role| &role.allow);
        let patterns = RIGHTS.map(|right| {
            Patterns::union(allowed().filter_map(move |permission| match permission {
                Permission::For(own, pattern) if *own == right => Some(pattern),
                _ => None,
            }))
        });
        let has = |right| allowed().any(|permission| *permission == Permission::Plain(right));
        let mut limits = StatedLimits::nothing();
        for role in roles {
            limits.add(&role.limits);
        }
        Permissions {
            roles: names.into_boxed_slice(),
            patterns,
            may_broadcast: has(Right::Broadcast),
            may_impersonate: has(Right::Impersonate),
            limits: limits.resolve(),
        }
    }

    /// Whether the user may do this, whether or not whom it concerns exists.
    #[inline]
    pub fn allows(&self, action: Action<'_>) -> bool {
        match action.parts() {
            (Right::Broadcast, _) => self.may_broadcast,
            (Right::Impersonate, _) => self.may_impersonate,
            (right, name) => self.patterns[right as usize].matches(name),
        }
    }

    /// The roles that the permissions are those of, each once and sorted; without [`EVERYBODY`].
    pub fn roles(&self) -> &[Box<str>] {
        &self.roles
    }

    /// How much the user may do, and how fast.
    pub fn limits(&self) -> &RoleLimits {
        &self.limits
    }
}

impl<'a> Action<'a> {
    /// The permission that this needs, as a refusal names it: up to the name, and the name.
    pub fn needs(self) -> (&'static str, &'a str) {
        let (right, name) = self.parts();
        (right.word(), name)
    }

    #[inline]
    fn parts(self) -> (Right, &'a str) {
        match self {
            Action::Broadcast => (Right::Broadcast, ""),
            Action::SendGroup(group) => (Right::Group, group),
            Action::Impersonate => (Right::Impersonate, ""),
            Action::Join(group) => (Right::Join, group),
            Action::Members(group) => (Right::Members, group),
            Action::Presence(user) => (Right::Presence, user),
            Action::Enter(path) => (Right::Room, path),
            Action::Send(user) => (Right::Send, user),
        }
    }
}

/// The permission that it needs: `send:bob`, `broadcast`.
impl fmt::Display for Action<'_> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (word, name) = self.needs();
        write!(out, "{word}{name}")
    }
}

impl Right {
    /// As the policy file has it, up to the pattern if one follows.
    const fn word(self) -> &'static str {
        match self {
            Right::Broadcast => "broadcast",
            Right::Group => "group:",
            Right::Impersonate => "impersonate",
            Right::Join => "join:",
            Right::Members => "members:",
            Right::Presence => "presence:",
            Right::Room => "room:",
            Right::Send => "send:",
        }
    }
}

/// The role that everybody has.
pub const EVERYBODY: &str = "*";

/// The role of those who did not have to say who they are: everybody, without credentials.
pub const GUEST: &str = "guest";

/// All of them, each in the place of its number.
const RIGHTS: [Right; 8] = [
    Right::Broadcast,
    Right::Group,
    Right::Impersonate,
    Right::Join,
    Right::Members,
    Right::Presence,
    Right::Room,
    Right::Send,
];

#[cfg(test)]
#[path = "policy/policy_tests.rs"]
mod tests;
