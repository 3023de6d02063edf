//! Rooms: which connections came in on the same URL path.
//!
//! ```text
//!   "/chat" --hash--> RoomKey 1 --slab--> Room { seats: [ c3, c9, c4 ] }
//!                                                              ^
//!   c4 --index--> Seat { room: 1, position: 2 } ---------------+
//! ```
//!
//! A connection is in exactly one room from its opening handshake to its end, and knows its
//! seat, so leaving is one move of the last connection, whatever the size of the room. A room
//! without connections does not exist.
//!
//! This module does not know who is behind a connection, or what is sent.

use std::collections::HashMap;
use std::rc::Rc;

use slab::Slab;

use super::dense;
use super::hash::KeyedHash;
use super::{ConnId, ConnMap};

/// Who is in which room.
#[derive(Default)]
pub struct Rooms {
    keys: HashMap<Rc<str>, RoomKey, KeyedHash>,
    rooms: Slab<Room>,
    seats: ConnMap<Seat>,
}

impl Rooms {
    /// No rooms.
    pub fn new() -> Rooms {
        Rooms::default()
    }

    /// A connection came in on `path`, compared byte for byte.
    pub fn enter(&mut self, id: ConnId, path: &str) {
        debug_assert!(self.seats.get(id).is_none(), "invariant: a connection enters once");
        let key = match self.keys.get(path) {
            Some(&key) => key,
            None => self.open(path),
        };
        let members = &mut self.rooms[key.0 as usize].members;
        self.seats.insert(id, Seat { room: key, position: dense::narrow(members.len()) });
        members.push(id);
    }

    /// A connection is gone. Nothing happens if it never came.
    pub fn leave(&mut self, id: ConnId) {
        let Some(seat) = self.seats.remove(id) else { return };
        let members = &mut self.rooms[seat.room.0 as usize].members;
        let moved = dense::take(members, seat.position as usize);
        if members.is_empty() {
            let room = self.rooms.remove(seat.room.0 as usize);
            self.keys.remove(&room.path);
            dense::shrink_map(&mut self.keys);
            if self.rooms.is_empty() {
                self.rooms.shrink_to_fit();
            }
        } else if let Some(moved) = moved {
            let moved = self.seats.get_mut(moved);
            moved.expect("invariant: every listed connection has a seat").position = seat.position;
        }
    }

    /// All connections in the same room as this one, itself among them, in no order; empty only
    /// if it never came.
    pub fn around(&self, id: ConnId) -> &[ConnId] {
        match self.seats.get(id) {
            Some(seat) => &self.rooms[seat.room.0 as usize].members,
            None => &[],
        }
    }

    /// All connections that came in on `path`, in no order; empty if there are none.
    pub fn on(&self, path: &str) -> &[ConnId] {
        match self.keys.get(path) {
            Some(key) => &self.rooms[key.0 as usize].members,
            None => &[],
        }
    }

    /// All connections in all rooms.
    pub fn connections(&self) -> impl Iterator<Item = ConnId> + Clone {
        self.seats.iter().map(|(id, _)| id)
    }

    /// How many connections are in all rooms.
    pub fn population(&self) -> usize {
        self.seats.len()
    }

    /// How many rooms there are.
    pub fn len(&self) -> usize {
        self.rooms.len()
    }

    /// Whether there are no rooms.
    pub fn is_empty(&self) -> bool {
        self.rooms.is_empty()
    }

    fn open(&mut self, path: &str) -> RoomKey {
        let path: Rc<str> = Rc::from(path);
        let room = Room { path: Rc::clone(&path), members: Vec::new() };
        let key = RoomKey(dense::narrow(self.rooms.insert(room)));
        self.keys.insert(path, key);
        key
    }
}

#[derive(Clone, Copy)]
struct RoomKey(u32);

struct Room {
    path: Rc<str>,
    members: Vec<ConnId>,
}

/// Where a connection stands in its room's list.
struct Seat {
    room: RoomKey,
    position: u32,
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
    fn a_room_is_there_while_somebody_is_in_it() {
        let id = ids(10);
        let mut rooms = Rooms::new();
        rooms.enter(id(1), "/chat");
        rooms.enter(id(2), "/chat");
        rooms.enter(id(3), "/Chat");
        assert_eq!(rooms.around(id(1)), [id(1), id(2)]);
        assert_eq!(rooms.around(id(3)), [id(3)], "paths are compared byte for byte");
        assert_eq!(rooms.around(id(4)), []);
        rooms.leave(id(1));
        rooms.leave(id(1));
        assert_eq!(rooms.around(id(2)), [id(2)]);
        assert_eq!(rooms.len(), 2);
        rooms.leave(id(2));
        rooms.leave(id(3));
        assert!(rooms.is_empty());
    }

    #[test]
    fn ten_thousand_leave_in_any_order_and_every_seat_stays_right() {
        let id = ids(10_000);
        let mut rooms = Rooms::new();
        for index in 0..10_000 {
            rooms.enter(id(index), if index % 3 == 0 { "/a" } else { "/b" });
        }
        for step in 0..10_000 {
            // 7,919 is prime and does not divide 10,000: every connection once.
            let gone = id(step * 7_919 % 10_000);
            rooms.leave(gone);
            if step % 500 == 0 {
                for (_, room) in &rooms.rooms {
                    for (position, &member) in room.members.iter().enumerate() {
                        let seat = rooms.seats.get(member).unwrap();
                        assert_eq!(seat.position as usize, position);
                    }
                }
            }
        }
        assert!(rooms.is_empty());
        assert_eq!(rooms.keys.capacity(), 0);
        assert_eq!(rooms.rooms.capacity(), 0);
    }
}
