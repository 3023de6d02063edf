//! Ring 2: many connections. Where they live, and how they are found.
//!
//! What this ring does not know: sockets, and what the application means by a user.

mod conn_map;
mod dense;
pub mod groups;
mod hash;
pub mod links;
pub mod rooms;
pub mod routes;
mod slots;

pub use conn_map::ConnMap;
pub use slots::{ConnId, Slots};

#[cfg(test)]
mod tests {
    use super::groups::Groups;
    use super::hash::HASHES;
    use super::links::Links;
    use super::rooms::Rooms;
    use super::routes::{Routes, Standing};
    use super::*;

    /// How often something is hashed per user, of those who all come, join and go at once.
    fn hashes_per_user(users: usize, stride: usize) -> usize {
        HASHES.set(0);
        let (mut slots, mut routes) = (Slots::new(), Routes::new());
        let (mut rooms, mut groups) = (Rooms::new(), Groups::new(10));
        let mut hearers = Links::new();
        let mut all = Vec::new();
        for index in 0..users {
            let id = slots.insert(());
            let user = routes.connect(id, &format!("user{index}"), Standing::Named);
            rooms.enter(id, &format!("/{}", index % 100));
            let _ = groups.join(user, "everybody");
            hearers.link(id, groups.find("everybody"));
            let _ = groups.join(user, &format!("{index}'s own"));
            let _ = groups.join(user, "some");
            all.push((id, user));
        }
        for index in 0..users {
            let (id, user) = all[index * stride % users];
            groups.leave(user, "some");
            hearers.unlink_left(id);
            routes.disconnect(id);
            rooms.leave(id);
            groups.leave_all(user);
        }
        assert!(routes.is_empty() && rooms.is_empty() && groups.is_empty());
        assert!(hearers.is_empty());
        HASHES.get() / users
    }

    #[test]
    fn nobody_pays_for_the_others_who_come_and_go_at_once() {
        // First in, first out; and in no order: 7,919 is prime and divides neither.
        for stride in [1, 7_919] {
            let (few, many) = (hashes_per_user(1_000, stride), hashes_per_user(10_000, stride));
            assert!(few <= 60 && many <= few + few / 4, "{few} and {many} hashes per user");
        }
    }
}
