//! switchboard.v1 as the server speaks it: sessions on the real engine and the real relay.
//!
//! The rules themselves are held by the tests beside `src/relay/v1`, and by its model; here it is
//! shown that they hold for connections.

#![cfg(feature = "cli")]
#![allow(clippy::unwrap_used, reason = "a helper of a test is a test")]

mod asking;
mod attacks;
mod dialects;
mod hello;
mod limits;
mod push;
#[path = "../common/random.rs"]
mod random;
mod resume;
mod shelf;
mod simulation;
#[path = "../common/world.rs"]
mod world;

use serde_json::Value;
use world::{Heard, Peer, World};

/// A connection that speaks switchboard.v1, and has said nothing.
fn silent(world: &World, target: &str) -> Peer {
    let offer = [("Sec-WebSocket-Protocol", "switchboard.v1")];
    let peer = world.upgrade(target, &offer).expect("upgraded");
    assert_eq!(peer.protocol.as_deref(), Some("switchboard.v1"));
    peer
}

/// A client of a user that has said hello, with `more` in it, and what it was told then.
fn greeted(world: &World, user: &str, client: &str, more: &str) -> (Peer, Value) {
    let peer = silent(world, &format!("/?user={user}"));
    peer.say(&format!(r#"{{"type":"hello","client":"{client}"{more}}}"#));
    let welcome = frames(&peer).remove(0);
    assert_eq!(welcome["type"], "welcome", "{welcome}");
    (peer, welcome)
}

/// A client of a user that is there live.
fn here(world: &World, user: &str, client: &str) -> Peer {
    greeted(world, user, client, "").0
}

/// The frames that came since the last time.
fn frames(peer: &Peer) -> Vec<Value> {
    let heard = peer.heard().into_iter();
    heard
        .map(|heard| match heard {
            Heard::Text(text) => serde_json::from_str(&text).expect("JSON"),
            other => panic!("{other:?}"),
        })
        .collect()
}

/// What came since the last time, as it was written.
fn texts(peer: &Peer) -> Vec<String> {
    let heard = peer.heard().into_iter();
    heard
        .map(|heard| match heard {
            Heard::Text(text) => text,
            other => panic!("{other:?}"),
        })
        .collect()
}

/// The contents of the messages that came since the last time.
fn contents(peer: &Peer) -> Vec<Value> {
    frames(peer).into_iter().map(|frame| frame["content"].clone()).collect()
}

fn to(id: u64, receiver: &str, content: &str) -> String {
    format!(r#"{{"id":{id},"receiver":"{receiver}","content":{content}}}"#)
}
