//! Sessions: what each connection may do, and what it has used up of it.
//!
//! ```text
//!   c4 --index--> Session { permissions ---+    buckets: 12 messages, 3,000 bytes left }
//!   c9 --index--> Session { permissions ---+--> Permissions of the roles [member]: send:*, ...
//!   c7   none: no policy, and no credentials: everything but `impersonate`, at any rate
//! ```
//!
//! Where nobody has to say who he is and no policy says what he may do, there are no sessions, and
//! a question costs one look at an empty list. With a policy, who has no session may do nothing.
//!
//! This module does not know who is online, or how roles come to be.

use std::collections::HashMap;
use std::net::IpAddr;
use std::rc::{Rc, Weak};

use super::access::policy::bucket::Bucket;
use super::access::policy::limits::RoleLimits;
use super::access::policy::{Action, GUEST, Permissions, Policy};
use crate::hub::{ConnId, ConnMap};
use crate::timer::Millis;
use crate::wire::Response;

/// The sessions of all connections, and the policy that they follow.
pub(super) struct Sessions {
    policy: Policy,
    guest: Rc<Permissions>,
    /// Permissions that somebody has, by roles: ten thousand members share one.
    known: HashMap<Box<[Box<str>]>, Weak<Permissions>>,
    /// At how many of those to look for some that nobody has any more.
    sweep_at: usize,
    sessions: ConnMap<Box<Session>>,
    /// Connections with a session, and strangers, by address.
    addresses: HashMap<Address, Places>,
    strangers_max: Option<StrangersMax>,
}

/// The connections of one address.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Places {
    known: u32,
    strangers: u32,
}

/// What an address may have, for one more stranger to come in.
#[derive(Clone, Copy, Debug)]
struct StrangersMax {
    /// Strangers: what the policy gives to everybody, for more is known of none of them.
    strangers: u64,
    /// Connections: what it gives to any role, for that is what a stranger may turn out to have.
    /// `None`: no limit.
    all: Option<u64>,
}

struct Session {
    permissions: Rc<Permissions>,
    messages: Bucket,
    bytes: Bucket,
    address: Option<Address>,
}

/// Why a message is too much.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Excess {
    /// It passes later.
    Rate { after_ms: u64 },
    /// It is too long and never passes.
    TooLarge { max_bytes: u64 },
}

/// Why somebody may not come in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Denial<'a> {
    /// The policy does not allow it.
    Forbidden(Action<'a>),
    /// There are enough connections from this address.
    TooManyOfAddress,
    /// The user has enough connections.
    TooManyOfUser,
}

impl Sessions {
    pub(super) fn new(policy: Policy) -> Sessions {
        let guest = policy.permissions(&[Box::from(GUEST)]);
        Sessions {
            strangers_max: StrangersMax::of(&policy),
            policy,
            guest,
            known: HashMap::new(),
            sweep_at: SWEEP_MIN,
            sessions: ConnMap::new(),
            addresses: HashMap::new(),
        }
    }

    // ---- coming and going ----------------------------------------------------------------------

    /// What somebody may do who did not have to say who he is.
    pub(super) fn guest(&self) -> Rc<Permissions> {
        Rc::clone(&self.guest)
    }

    /// What somebody with these roles may do.
    pub(super) fn permissions(&mut self, roles: &[Box<str>]) -> Rc<Permissions> {
        let mut roles = roles.to_vec();
        roles.sort_unstable();
        roles.dedup();
        if let Some(known) = self.known.get(&roles[..]).and_then(Weak::upgrade) {
            return known;
        }
        if self.known.len() >= self.sweep_at {
            self.known.retain(|_, known| known.strong_count() > 0);
            self.known.shrink_to_fit();
            self.sweep_at = SWEEP_MIN.max(2 * self.known.len());
        }
        let permissions = self.policy.permissions(&roles);
        self.known.insert(roles.into_boxed_slice(), Rc::downgrade(&permissions));
        permissions
    }

    /// Whether somebody with these permissions may come in: before the opening handshake is
    /// answered, and again when a connection says later who it is. `arriving` are from where those
    /// come who are let in and not here yet.
    pub(super) fn admit<'a>(
        &self,
        permissions: &Permissions,
        path: &'a str,
        connections_of_user: usize,
        ip: Option<IpAddr>,
        arriving: impl Iterator<Item = IpAddr>,
    ) -> Result<(), Denial<'a>> {
        if !permissions.allows(Action::Enter(path)) {
            return Err(Denial::Forbidden(Action::Enter(path)));
        }
        let limits = permissions.limits();
        if limits.connections_per_user_max.is_some_and(|max| connections_of_user as u64 >= max) {
            return Err(Denial::TooManyOfUser);
        }
        let (Some(max), Some(ip)) = (limits.connections_per_address_max, ip) else { return Ok(()) };
        let address = Address::of(ip);
        let arriving = arriving.filter(|&ip| Address::of(ip) == address).count() as u64;
        match self.places(address).all() + arriving >= max {
            true => Err(Denial::TooManyOfAddress),
            false => Ok(()),
        }
    }

    /// Whether somebody may come in who has still to say who he is, as far as others from the same
    /// address are concerned.
    pub(super) fn admit_stranger(&self, ip: Option<IpAddr>) -> Result<(), Denial<'static>> {
        let (Some(max), Some(ip)) = (self.strangers_max, ip) else { return Ok(()) };
        let places = self.places(Address::of(ip));
        let is_full = max.all.is_some_and(|all| places.all() >= all);
        match is_full || u64::from(places.strangers) >= max.strangers {
            true => Err(Denial::TooManyOfAddress),
            false => Ok(()),
        }
    }

    /// A stranger is here: he has a place of his address.
    pub(super) fn open_stranger(&mut self, ip: Option<IpAddr>) {
        if let Some(ip) = ip {
            self.addresses.entry(Address::of(ip)).or_default().strangers += 1;
        }
    }

    /// The same stranger is gone, or is none any more.
    pub(super) fn close_stranger(&mut self, ip: Option<IpAddr>) {
        if let Some(ip) = ip {
            self.give_back(Address::of(ip), |places| &mut places.strangers);
        }
    }

    fn places(&self, address: Address) -> Places {
        self.addresses.get(&address).copied().unwrap_or_default()
    }

    fn give_back(&mut self, address: Address, place: fn(&mut Places) -> &mut u32) {
        let Some(places) = self.addresses.get_mut(&address) else { return };
        *place(places) -= 1;
        if places.all() == 0 {
            self.addresses.remove(&address);
        }
        if self.addresses.is_empty() {
            self.addresses = HashMap::new();
        }
    }

    /// A connection is open, or somebody else's than before, or its user has other roles.
    pub(super) fn open(
        &mut self,
        id: ConnId,
        permissions: Rc<Permissions>,
        ip: Option<IpAddr>,
        now: Millis,
    ) {
        if !self.needs_session(&permissions) {
            return self.close(id);
        }
        if let Some(session) = self.sessions.get_mut(id) {
            // Of somebody who has other roles now. What was used up stays so.
            session.permissions = permissions;
            return;
        }
        let address = ip.map(Address::of);
        if let Some(address) = address {
            self.addresses.entry(address).or_default().known += 1;
        }
        let (messages, bytes) = (Bucket::full(now), Bucket::full(now));
        self.sessions.insert(id, Box::new(Session { permissions, messages, bytes, address }));
    }

    /// A connection is gone. Nothing happens if it had no session.
    pub(super) fn close(&mut self, id: ConnId) {
        let Some(session) = self.sessions.remove(id) else { return };
        if let Some(address) = session.address {
            self.give_back(address, |places| &mut places.known);
        }
    }

    /// Another policy from now on. Everybody who is connected has the permissions that it gives
    /// to his roles; `everybody` names those who are, and where they come from.
    pub(super) fn reconfigure(
        &mut self,
        policy: Policy,
        everybody: impl Iterator<Item = (ConnId, Option<IpAddr>)>,
        now: Millis,
    ) {
        self.guest = policy.permissions(&[Box::from(GUEST)]);
        self.strangers_max = StrangersMax::of(&policy);
        self.policy = policy;
        self.known = HashMap::new();
        self.sweep_at = SWEEP_MIN;
        for (id, ip) in everybody {
            let roles = match self.sessions.get(id) {
                Some(session) => session.permissions.roles().into(),
                None => Box::from([Box::from(GUEST)]),
            };
            let permissions = self.permissions(&roles);
            if !self.needs_session(&permissions) {
                self.close(id);
            } else if let Some(session) = self.sessions.get_mut(id) {
                session.permissions = permissions;
            } else {
                self.open(id, permissions, ip, now);
            }
        }
    }

    /// Guests need none where all are allowed the same; others do, for their roles.
    fn needs_session(&self, permissions: &Permissions) -> bool {
        let is_guest = matches!(permissions.roles(), [role] if **role == *GUEST);
        !(self.policy.is_open() && is_guest)
    }

    // ---- each message --------------------------------------------------------------------------

    /// Whether a connection may do something.
    #[inline(always)]
    pub(super) fn permits(&self, id: ConnId, action: Action<'_>) -> bool {
        // All that most servers ever ask: here nothing is looked up, and nothing is called.
        match self.policy.is_open() {
            true => !matches!(action, Action::Impersonate),
            false => self.look_up(id, action),
        }
    }

    #[inline(never)]
    fn look_up(&self, id: ConnId, action: Action<'_>) -> bool {
        self.sessions.get(id).is_some_and(|session| session.permissions.allows(action))
    }

    /// The limits of a connection beside the server's own.
    pub(super) fn limits(&self, id: ConnId) -> RoleLimits {
        self.sessions
            .get(id)
            .map_or_else(RoleLimits::default, |session| *session.permissions.limits())
    }

    /// Whether messages are counted at all.
    #[inline(always)]
    pub(super) fn counts(&self) -> bool {
        !self.policy.is_open()
    }

    /// Counts a message of `len` bytes.
    #[inline(never)]
    pub(super) fn charge(&mut self, id: ConnId, now: Millis, len: usize) -> Result<(), Excess> {
        match self.sessions.get_mut(id) {
            Some(session) => session.charge(now, len as u64),
            None => Ok(()),
        }
    }
}

impl Places {
    fn all(self) -> u64 {
        u64::from(self.known) + u64::from(self.strangers)
    }
}

impl StrangersMax {
    /// Where the policy states nothing for everybody, what a role states says nothing of others.
    fn of(policy: &Policy) -> Option<StrangersMax> {
        let max = |limits: RoleLimits| limits.connections_per_address_max;
        let strangers = max(*policy.permissions(&[]).limits())?;
        Some(StrangersMax { strangers, all: max(policy.most_generous()) })
    }
}

impl Session {
    fn charge(&mut self, now: Millis, len: u64) -> Result<(), Excess> {
        let RoleLimits { messages, bytes, message_max_bytes, .. } = *self.permissions.limits();
        let message_wait = messages.map_or(0, |rate| self.messages.wait(rate, now, 1));
        let bytes_wait = bytes.map_or(0, |rate| self.bytes.wait(rate, now, len));
        let after_ms = message_wait.max(bytes_wait);
        if after_ms > 0 {
            return Err(Excess::Rate { after_ms });
        }
        // A bucket that nothing limits stays full.
        if messages.is_some() {
            self.messages.take(1);
        }
        if bytes.is_some() {
            self.bytes.take(len);
        }
        match message_max_bytes {
            Some(max_bytes) if len > max_bytes => Err(Excess::TooLarge { max_bytes }),
            _ => Ok(()),
        }
    }
}

impl Denial<'_> {
    /// The answer to an opening handshake.
    pub(super) fn response(self) -> Response {
        match self {
            Denial::Forbidden(action) => {
                Response::text(403, format!("forbidden: no permission {action}\n"))
            }
            Denial::TooManyOfAddress => {
                Response::text(429, "too many connections from this address\n")
            }
            Denial::TooManyOfUser => Response::text(429, "too many connections of this user\n"),
        }
    }
}

/// Whose connections are counted together: an IPv4 address, or the first 64 bits of an IPv6
/// address, for whoever has one of those has all of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Address {
    V4([u8; 4]),
    V6([u8; 8]),
}

impl Address {
    fn of(ip: IpAddr) -> Address {
        match ip.to_canonical() {
            IpAddr::V4(ip) => Address::V4(ip.octets()),
            IpAddr::V6(ip) => {
                let [a, b, c, d, e, f, g, h, ..] = ip.octets();
                Address::V6([a, b, c, d, e, f, g, h])
            }
        }
    }
}

const SWEEP_MIN: usize = 64;

#[cfg(test)]
#[path = "session_tests.rs"]
mod tests;
