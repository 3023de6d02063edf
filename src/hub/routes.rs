//! Routes: from a user id to the connections of that user, and back.
//!
//! ```text
//!   "alice" --hash--> UserKey 7 --slab--> User { name: "alice",
//!                                                connections: [ c3, c9 ] }
//!                         ^                                      |   |
//!                         |                                      v   v
//!                         +----- Device { user: 7, position: 0 }   Device { user: 7, position: 1 }
//!                                found by ConnId c3                found by ConnId c9
//! ```
//!
//! A message to one user costs one hash. A message *from* a connection costs none: its `ConnId`
//! is an index. Every step is O(1): connecting, disconnecting and changing a name, whatever the
//! number of users and whatever the number of connections one user has.
//!
//! Most users have one connection, and that one is kept inside the record; only the second one
//! makes a list. A user without connections has no record.
//!
//! This module does not know what a good name is, who may use it, or what is sent.

use std::collections::HashMap;
use std::rc::Rc;
use std::slice;

use slab::Slab;

use super::dense;
use super::hash::KeyedHash;
use super::{ConnId, ConnMap};

/// A user who is online, by number. Valid until the user's last connection is gone; the number
/// is used again for somebody else after that.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct UserKey(u32);

/// Whether somebody chose the name of a user.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// Nobody did: a connection that has not said who it is, known by its number.
    Guest,
    /// The name was given with the connection, or claimed later.
    Named,
}

/// What became of a connection that took a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Renamed {
    /// The name was free: the record kept its key and got the name.
    Record(UserKey),
    /// Somebody of that name was online: the connection is now one of theirs. `from` had no other
    /// connection and is gone when `is_gone` says so; its groups are the caller's to move.
    Moved {
        /// Whose connection it was.
        from: UserKey,
        /// Whose connection it is.
        into: UserKey,
        /// Whether `from` has no connection any more: the key is free from now on.
        is_gone: bool,
    },
}

/// What became of a user one of whose connections is gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Departed {
    /// It was the last one: the record is removed and the key is free from now on.
    Last(UserKey),
    /// The user has other connections.
    Remaining(UserKey),
}

/// Who is online, by name, by key and by connection.
#[derive(Default)]
pub struct Routes {
    keys: HashMap<Rc<str>, UserKey, KeyedHash>,
    users: Slab<User>,
    devices: ConnMap<Device>,
}

impl Routes {
    /// Nobody is online.
    pub fn new() -> Routes {
        Routes::default()
    }

    /// The user of this name, if online.
    pub fn find(&self, name: &str) -> Option<UserKey> {
        self.keys.get(name).copied()
    }

    /// The user whose connection this is.
    pub fn user_of(&self, id: ConnId) -> Option<UserKey> {
        self.devices.get(id).map(|device| device.user)
    }

    /// The user whose connection this is, the name, and whether it was chosen: all in one look.
    #[inline]
    pub fn speaker(&self, id: ConnId) -> Option<(UserKey, &str, Standing)> {
        let user = self.user_of(id)?;
        let record = &self.users[user.0 as usize];
        Some((user, &record.name, record.standing))
    }

    /// The name of a user.
    ///
    /// # Panics
    ///
    /// If the key is no longer valid: keys do not outlive the call that removed the user.
    pub fn name(&self, user: UserKey) -> &str {
        &self.users[user.0 as usize].name
    }

    /// The same, to be kept when the user is gone.
    ///
    /// # Panics
    ///
    /// If the key is no longer valid.
    pub fn shared_name(&self, user: UserKey) -> &Rc<str> {
        &self.users[user.0 as usize].name
    }

    /// Whether the user's name was chosen.
    ///
    /// # Panics
    ///
    /// If the key is no longer valid.
    pub fn standing(&self, user: UserKey) -> Standing {
        self.users[user.0 as usize].standing
    }

    /// All connections of a user, in no order; never empty.
    ///
    /// # Panics
    ///
    /// If the key is no longer valid.
    pub fn connections(&self, user: UserKey) -> &[ConnId] {
        self.users[user.0 as usize].connections.as_slice()
    }

    /// How many users are online.
    pub fn len(&self) -> usize {
        self.users.len()
    }

    /// Whether nobody is online.
    pub fn is_empty(&self) -> bool {
        self.users.is_empty()
    }

    /// A connection came: one more of the user of this name, or the first. `standing` is for a
    /// new record; an existing one keeps its own.
    pub fn connect(&mut self, id: ConnId, name: &str, standing: Standing) -> UserKey {
        debug_assert!(self.devices.get(id).is_none(), "invariant: a connection comes once");
        if let Some(user) = self.find(name) {
            self.attach(id, user);
            return user;
        }
        let name: Rc<str> = Rc::from(name);
        let connections = Connections::One(id);
        let key = self.users.insert(User { name: Rc::clone(&name), connections, standing });
        let user = UserKey(dense::narrow(key));
        self.keys.insert(name, user);
        self.devices.insert(id, Device { user, position: 0 });
        user
    }

    /// A connection is gone. `None` if it never came.
    pub fn disconnect(&mut self, id: ConnId) -> Option<Departed> {
        let device = self.devices.remove(id)?;
        Some(match self.detach(device) {
            Emptied::Yes => Departed::Last(device.user),
            Emptied::No => Departed::Remaining(device.user),
        })
    }

    /// The user of this connection takes the name: the record is renamed if the name is free and
    /// this is its only connection, otherwise the connection alone moves to the user of that
    /// name. `None` if the connection never came.
    pub fn rename(&mut self, id: ConnId, name: &str) -> Option<Renamed> {
        let device = *self.devices.get(id)?;
        let from = device.user;
        let record = &mut self.users[from.0 as usize];
        if &*record.name == name {
            record.standing = Standing::Named;
            return Some(Renamed::Record(from));
        }
        let into = self.keys.get(name).copied();
        if into.is_none() && record.connections.as_slice().len() == 1 {
            let name: Rc<str> = Rc::from(name);
            self.keys.remove(&record.name);
            record.name = Rc::clone(&name);
            record.standing = Standing::Named;
            self.keys.insert(name, from);
            return Some(Renamed::Record(from));
        }
        self.devices.remove(id);
        let emptied = self.detach(device);
        // `from` is removed only if the name was online, and then nothing is inserted: the freed
        // key is not used again here, and `from` and `into` differ.
        let into = self.connect(id, name, Standing::Named);
        self.users[into.0 as usize].standing = Standing::Named;
        Some(Renamed::Moved { from, into, is_gone: matches!(emptied, Emptied::Yes) })
    }

    fn attach(&mut self, id: ConnId, user: UserKey) {
        let position = self.users[user.0 as usize].connections.push(id);
        self.devices.insert(id, Device { user, position: dense::narrow(position) });
    }

    /// Takes a connection out of its user's list; the caller has removed its `Device`.
    fn detach(&mut self, device: Device) -> Emptied {
        let user = &mut self.users[device.user.0 as usize];
        match user.connections.take(device.position as usize) {
            Taken::Last => {
                let user = self.users.remove(device.user.0 as usize);
                self.keys.remove(&user.name);
                dense::shrink_map(&mut self.keys);
                if self.users.is_empty() {
                    self.users.shrink_to_fit();
                }
                return Emptied::Yes;
            }
            Taken::Moved(moved) => {
                let moved = self.devices.get_mut(moved);
                moved.expect("invariant: every listed connection has a device").position =
                    device.position;
            }
            Taken::NobodyMoved => {}
        }
        Emptied::No
    }
}

struct User {
    name: Rc<str>,
    connections: Connections,
    standing: Standing,
}

/// Where a connection stands in its user's list.
#[derive(Clone, Copy)]
struct Device {
    user: UserKey,
    position: u32,
}

/// The connections of one user: never none, mostly one.
enum Connections {
    One(ConnId),
    // Invariant: at least two. Boxed because a record without it is 16 bytes smaller, and there
    // is a record for every idle guest.
    #[allow(clippy::box_collection)]
    Many(Box<Vec<ConnId>>),
}

impl Connections {
    fn as_slice(&self) -> &[ConnId] {
        match self {
            Connections::One(id) => slice::from_ref(id),
            Connections::Many(ids) => ids,
        }
    }

    /// Adds one and returns its position.
    fn push(&mut self, id: ConnId) -> usize {
        match self {
            Connections::One(first) => {
                *self = Connections::Many(Box::new(vec![*first, id]));
                1
            }
            Connections::Many(ids) => {
                ids.push(id);
                ids.len() - 1
            }
        }
    }

    fn take(&mut self, position: usize) -> Taken {
        let Connections::Many(ids) = self else { return Taken::Last };
        let moved = dense::take(ids, position);
        if let [only] = ids[..] {
            *self = Connections::One(only);
        }
        moved.map_or(Taken::NobodyMoved, Taken::Moved)
    }
}

enum Taken {
    Last,
    Moved(ConnId),
    NobodyMoved,
}

enum Emptied {
    Yes,
    No,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hub::Slots;

    /// Ids as the engine gives them.
    fn ids(count: usize) -> impl Fn(usize) -> ConnId {
        let mut slots = Slots::new();
        let all: Vec<ConnId> = (0..count).map(|_| slots.insert(())).collect();
        move |index| all[index]
    }

    #[test]
    fn a_user_is_found_by_name_and_by_connection_until_the_last_one_is_gone() {
        let id = ids(10);
        let mut routes = Routes::new();
        let alice = routes.connect(id(3), "alice", Standing::Named);
        assert_eq!(routes.connect(id(9), "alice", Standing::Named), alice);
        let bob = routes.connect(id(4), "bob", Standing::Named);
        assert_eq!(routes.find("alice"), Some(alice));
        assert_eq!(routes.user_of(id(9)), Some(alice));
        assert_eq!(routes.connections(alice), [id(3), id(9)]);
        assert_eq!(routes.connections(bob), [id(4)]);
        assert_eq!(routes.name(bob), "bob");
        assert_eq!(routes.disconnect(id(3)), Some(Departed::Remaining(alice)));
        assert_eq!(routes.connections(alice), [id(9)]);
        assert_eq!(routes.disconnect(id(9)), Some(Departed::Last(alice)));
        assert_eq!(routes.find("alice"), None);
        assert_eq!(routes.user_of(id(9)), None);
        assert_eq!(routes.disconnect(id(9)), None);
        assert_eq!(routes.len(), 1);
    }

    #[test]
    fn every_connection_keeps_its_position_whoever_leaves_first() {
        let id = ids(10);
        let mut routes = Routes::new();
        for index in 0..5 {
            routes.connect(id(index), "alice", Standing::Named);
        }
        let alice = routes.find("alice").unwrap();
        for gone in [1, 4, 0, 3] {
            assert_eq!(routes.disconnect(id(gone)), Some(Departed::Remaining(alice)));
            for &other in routes.connections(alice) {
                let position = routes.devices.get(other).unwrap().position;
                assert_eq!(routes.connections(alice)[position as usize], other);
            }
        }
        assert_eq!(routes.connections(alice), [id(2)]);
    }

    #[test]
    fn a_free_name_renames_the_record() {
        let id = ids(10);
        let mut routes = Routes::new();
        let guest = routes.connect(id(1), "1", Standing::Guest);
        assert_eq!(routes.rename(id(1), "bob"), Some(Renamed::Record(guest)));
        assert_eq!(routes.find("1"), None);
        assert_eq!(routes.find("bob"), Some(guest));
        assert_eq!(routes.standing(guest), Standing::Named);
        assert_eq!(routes.name(guest), "bob");
        assert_eq!(routes.rename(id(2), "eve"), None, "a connection that never came");
    }

    #[test]
    fn the_name_of_somebody_online_moves_the_connection() {
        let id = ids(10);
        let mut routes = Routes::new();
        let bob = routes.connect(id(1), "bob", Standing::Named);
        let guest = routes.connect(id(2), "2", Standing::Guest);
        let renamed = routes.rename(id(2), "bob");
        assert_eq!(renamed, Some(Renamed::Moved { from: guest, into: bob, is_gone: true }));
        assert_eq!(routes.connections(bob), [id(1), id(2)]);
        assert_eq!(routes.find("2"), None);
        assert_eq!(routes.len(), 1);
    }

    #[test]
    fn ones_own_name_is_only_confirmed() {
        let id = ids(10);
        let mut routes = Routes::new();
        let guest = routes.connect(id(7), "7", Standing::Guest);
        assert_eq!(routes.rename(id(7), "7"), Some(Renamed::Record(guest)));
        assert_eq!(routes.standing(guest), Standing::Named);
    }

    #[test]
    fn when_everybody_has_left_no_memory_is_held() {
        let id = ids(10_000);
        let mut routes = Routes::new();
        for index in 0..10_000 {
            routes.connect(id(index), &format!("user {}", index / 2), Standing::Named);
        }
        assert_eq!(routes.len(), 5_000);
        for index in 0..10_000 {
            routes.disconnect(id(index));
        }
        assert!(routes.is_empty());
        assert_eq!(routes.keys.capacity(), 0);
        assert_eq!(routes.users.capacity(), 0);
    }

    #[test]
    fn a_record_stays_small() {
        assert!(size_of::<User>() <= 40, "{}", size_of::<User>());
        assert!(size_of::<Device>() == 8);
    }
}
