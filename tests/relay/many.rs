//! Ten thousand at once.

use super::*;
use crate::world::World;
use switchboard::relay::Counts;

#[test]
fn plain_ten_thousand_connect_join_leave_and_hang_up_at_once() {
    let world = World::new();
    let count = 10_000;
    let peers: Vec<Peer> = (0..count)
        .map(|index| match index % 3 {
            0 => world.connect("/big", None),
            1 => world.connect("/big", Some(&format!("user{index}"))),
            _ => world.connect(&format!("/room{index}"), Some("everybody")),
        })
        .collect();
    for peer in &peers {
        peer.say(r#"{"type":"join","group":"g"}"#);
        peer.say(r#"{"type":"join","group":"h"}"#);
    }
    assert_eq!(world.counts().groups, 2);
    for peer in &peers {
        peer.say(r#"{"type":"leave","group":"h"}"#);
    }
    assert_eq!(world.counts().groups, 1);
    peers[0].heard();
    peers[1].heard();
    peers[0].say(r#"{"group":"g","content":1}"#);
    assert_eq!(peers[1].heard(), [from_group("1", "g", "1")]);
    for peer in peers {
        peer.hang_up();
    }
    assert_eq!(world.counts(), Counts { users: 0, groups: 0, rooms: 0, kept: 0, hearing: 0 });
}
