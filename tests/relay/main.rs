//! The plain dialect, rule by rule: what is said, and who hears it.
//!
//! The contract is `src/relay/PROTOCOL.md`; its sections are the modules here.

#![cfg(feature = "relay")]

mod broadcast;
mod congestion;
mod direct;
mod groups;
mod http;
mod identity;
mod many;
mod refusals;
#[path = "../common/world.rs"]
mod world;

use switchboard::config::Limits;
use switchboard::relay::RelayConfig;
use switchboard::relay::reply::Refusal;
use world::{Heard, Peer, config, text};

/// The reply that refuses something for nobody in particular.
fn error(refusal: Refusal) -> Heard {
    let (code, reason) = (refusal.code(), refusal.reason());
    text(format!(r#"{{"type":"error","code":{code},"reason":"{reason}"}}"#))
}

/// The reply that refuses something for a `receiver` or a `group`.
fn error_for(refusal: Refusal, key: &str, name: &str) -> Heard {
    let (code, reason) = (refusal.code(), refusal.reason());
    text(format!(r#"{{"type":"error","code":{code},"reason":"{reason}","{key}":"{name}"}}"#))
}

fn ok(group: &str) -> Heard {
    text(format!(r#"{{"type":"ok","group":"{group}"}}"#))
}

fn to(receiver: &str, content: &str) -> String {
    format!(r#"{{"receiver":"{receiver}","content":{content}}}"#)
}

fn from(sender: &str, content: &str) -> Heard {
    text(format!(r#"{{"sender":"{sender}","content":{content}}}"#))
}

fn from_group(sender: &str, group: &str, content: &str) -> Heard {
    text(format!(r#"{{"sender":"{sender}","group":"{group}","content":{content}}}"#))
}

fn with_groups(groups_per_user_max: u64) -> RelayConfig {
    RelayConfig { limits: Limits { groups_per_user_max, ..config().limits }, ..config() }
}

#[track_caller]
fn silent(peers: &[&Peer]) {
    for peer in peers {
        assert_eq!(peer.heard(), [], "{:?}", peer.user());
    }
}

#[track_caller]
fn joined(peer: &Peer, group: &str) {
    peer.say(&format!(r#"{{"type":"join","group":"{group}"}}"#));
    assert_eq!(peer.heard(), [ok(group)]);
}
