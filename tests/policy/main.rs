//! What a policy allows, at what rate, and who hears of it: against the relay in the real engine,
//! with a clock of its own, and against the real binary.
//!
//! The contract is `src/relay/access/POLICY.md` and the sections "Groups and presence" and
//! "Permissions" of `src/relay/PROTOCOL.md`.

#![cfg(feature = "relay")]
#![allow(clippy::unwrap_used, reason = "a helper of a test is a test")]

#[cfg(feature = "cli")]
#[path = "../common/mod.rs"]
mod common;
mod connections;
mod crowd;
mod granted;
mod matrix;
mod presence;
#[cfg(all(feature = "cli", unix))]
mod process;
mod rates;
mod reload;
#[path = "../common/world.rs"]
mod world;

use switchboard::relay::RelayConfig;
use switchboard::relay::access::Access;
use switchboard::relay::access::policy::Policy;
use world::{Heard, Peer, World, config, text};

/// The configuration of a world with this policy.
fn access(policy: &str) -> Access {
    match Policy::parse(policy) {
        Ok(policy) => Access { policy, ..Access::open() },
        Err(error) => panic!("{error}: {policy}"),
    }
}

fn world(policy: &str) -> World {
    World::with(RelayConfig { access: access(policy), ..config() })
}

/// A policy that allows everything, with limits for everybody.
fn limited(limits: &str) -> String {
    let allow = r#"["room:*","send:*","group:*","join:*","members:*","presence:*","broadcast"]"#;
    format!(r#"{{"roles":{{"*":{{"allow":{allow},"limits":{{{limits}}}}}}}}}"#)
}

fn to(receiver: &str) -> String {
    format!(r#"{{"receiver":"{receiver}","content":1}}"#)
}

fn from(sender: &str) -> Heard {
    text(format!(r#"{{"sender":"{sender}","content":1}}"#))
}

fn ok(group: &str) -> Heard {
    text(format!(r#"{{"type":"ok","group":"{group}"}}"#))
}

fn offline(receiver: &str) -> Heard {
    text(format!(
        r#"{{"type":"error","code":404,"reason":"receiver_offline","receiver":"{receiver}"}}"#
    ))
}

fn forbidden(missing: &str, key: &str, name: &str) -> Heard {
    let start = r#"{"type":"error","code":403,"reason":"forbidden","missing":""#;
    text(format!(r#"{start}{missing}","{key}":"{name}"}}"#))
}

#[track_caller]
fn joined(peer: &Peer, group: &str) {
    peer.say(&format!(r#"{{"type":"join","group":"{group}"}}"#));
    assert_eq!(peer.heard(), [ok(group)]);
}

/// Joins, and hears who comes and goes from then on.
#[track_caller]
fn hearing(peer: &Peer, group: &str) {
    peer.say(&format!(r#"{{"type":"join","group":"{group}","presence":true}}"#));
    assert_eq!(peer.heard(), [ok(group)]);
}

/// A presence frame, with the lists as they are in JSON.
fn came_and_went(group: &str, joined: &str, left: &str) -> Heard {
    text(format!(r#"{{"type":"presence","group":"{group}","joined":{joined},"left":{left}}}"#))
}
