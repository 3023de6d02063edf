//! The real relay in the simulation: what clients say to it, and what they must hear.
//!
//! The relay keeps no books of its own, so the messages carry them: each content is
//! `<serial> <client> <fill>`, and whoever hears it knows whose it was and what it must look like.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;
use switchboard::relay::Relay;
use switchboard::{ConnId, MessageKind};

use super::random::Random;
use super::watch::{Ledger, Payload, Queued};
use super::world::{USERS, World};

impl Ledger for Relay {
    fn queued(&self, _: ConnId) -> Queued<'_> {
        Queued::Unknown
    }
}

pub const RELAY_TARGETS: [&str; USERS] = [
    "/chat?user=u0",
    "/chat?user=u1",
    "/chat?user=u2",
    "/chat?user=u3",
    "/chat?user=u4",
    "/other?user=u5",
    "/other?user=u6",
    "/other",
];

/// A message in the plain dialect.
pub fn compose(random: &mut Random, serial: usize, client: usize, len: usize) -> Payload {
    let fill = "y".repeat(len.saturating_sub(80));
    let content = format!("{serial} {client} {fill}");
    let text = match random.below(10) {
        0..5 => {
            let user = random.below(USERS);
            format!(r#"{{"receiver":"u{user}","content":"{content}"}}"#)
        }
        5 => {
            let hears = ["", r#","presence":true"#, r#","presence":false"#][random.below(3)];
            format!(r#"{{"type":"join","group":"g{}"{hears}}}"#, random.below(2))
        }
        6 => format!(r#"{{"type":"leave","group":"g{}"}}"#, random.below(2)),
        7 => format!(r#"{{"group":"g{}","content":"{content}"}}"#, random.below(2)),
        8 => match random.below(3) {
            0 => r#"{"type":"ping"}"#.to_owned(),
            1 => format!(r#"{{"type":"members","group":"g{}"}}"#, random.below(2)),
            _ => format!(r#"{{"type":"presence","user":"u{}"}}"#, random.below(USERS)),
        },
        _ => {
            let kind = if random.percent(50) { MessageKind::Text } else { MessageKind::Binary };
            return Payload { kind, bytes: content.into_bytes() };
        }
    };
    Payload::text(&text)
}

/// What one client heard.
#[derive(Default)]
struct Heard {
    /// Direct messages, by their serial numbers.
    direct: BTreeSet<usize>,
    /// Refusals of direct messages, by the receiver's name.
    refused: BTreeMap<String, usize>,
    /// Messages it missed, as it was told.
    missed: usize,
}

/// Checks what everybody heard, against what everybody said.
pub fn check(world: &World<Relay>) -> Result<(), String> {
    let mut heard = Vec::new();
    for client in 0..world.clients.len() {
        let peer = world.driver.links[world.clients[client].link].peer;
        let one = listen(world, client)
            .map_err(|text| world.report(format!("client at {peer}: {text}")))?;
        heard.push(one);
    }
    for client in 0..world.clients.len() {
        account(world, client, &heard).map_err(|text| world.report(text))?;
    }
    Ok(())
}

/// Nothing altered, nothing twice, nothing out of order, nothing that was for somebody else.
fn listen(world: &World<Relay>, client: usize) -> Result<Heard, String> {
    let mut heard = Heard::default();
    let mut last: BTreeMap<usize, usize> = BTreeMap::new();
    for payload in &world.clients[client].received {
        let text = String::from_utf8_lossy(&payload.bytes);
        let value: Value = serde_json::from_slice(&payload.bytes).unwrap_or(Value::Null);
        if value["type"] == "error" {
            if let Some(receiver) = value["receiver"].as_str() {
                *heard.refused.entry(receiver.to_owned()).or_default() += 1;
            }
            continue;
        }
        if value["type"] == "gap" {
            heard.missed += value["dropped"].as_u64().unwrap_or(0) as usize;
            continue;
        }
        if value["type"].is_string() {
            continue;
        }
        let content = value["content"].as_str().unwrap_or(&text);
        let Some((serial, from)) = numbers(content) else {
            // Garbage may happen to be a frame.
            if world.books().handled.values().flatten().any(|handled| handled == payload) {
                continue;
            }
            return Err(format!("heard {payload:?}"));
        };
        let original = said(world, from, serial).ok_or(format!("nobody said {payload:?}"))?;
        let expected = expected(world, from, &original);
        if expected.as_bytes() != &payload.bytes[..] || original.kind != payload.kind {
            return Err(format!("heard {payload:?} of {original:?}"));
        }
        if from == client {
            return Err(format!("heard itself: {payload:?}"));
        }
        if last.insert(from, serial).is_some_and(|before| before >= serial) {
            return Err(format!("heard {payload:?} twice, or too late"));
        }
        if let Some(receiver) = receiver(&original) {
            heard.direct.insert(serial);
            if Some(receiver) != name(world, client) {
                return Err(format!("heard what was for another: {payload:?}"));
            }
        }
    }
    Ok(heard)
}

/// Every direct message that was delivered to the relay was heard or refused.
fn account(world: &World<Relay>, from: usize, heard: &[Heard]) -> Result<(), String> {
    if !is_settled(world, from) {
        return Ok(());
    }
    for user in 0..USERS {
        let user = format!("u{user}");
        let devices: Vec<usize> = (0..world.clients.len())
            .filter(|&client| name(world, client).as_ref() == Some(&user) && client != from)
            .collect();
        let unheard = world.clients[from].sent.iter().filter(|payload| {
            let for_user = receiver(payload).as_ref() == Some(&user);
            let serial = numbers_in(payload).map(|(serial, _)| serial);
            let is_heard =
                |serial| devices.iter().any(|&device| heard[device].direct.contains(&serial));
            for_user && !serial.is_some_and(is_heard)
        });
        let unheard = unheard.count();
        let refused = heard[from].refused.get(&user).copied().unwrap_or(0);
        if refused > unheard {
            return Err(format!("client {from} to {user}: {refused} refused, {unheard} unheard"));
        }
        // A connection that ended took with it what was on its way.
        let all_there = devices.iter().all(|&device| is_settled(world, device));
        if all_there && unheard > refused + heard[from].missed {
            let text = format!("{unheard} unheard, {refused} refused");
            return Err(format!("client {from} to {user}: {text}"));
        }
    }
    Ok(())
}

/// Whether the client is connected, well-behaved and up to date.
fn is_settled(world: &World<Relay>, client: usize) -> bool {
    let client = &world.clients[client];
    let peer = world.driver.links[client.link].peer;
    let id = world.books().by_peer.get(&peer);
    client.honest && !client.dead && id.is_some_and(|id| world.books().is_open(*id))
}

/// The name of a client that has one from the beginning.
fn name(world: &World<Relay>, client: usize) -> Option<String> {
    let target = world.clients[client].target;
    target.split_once("user=").map(|(_, user)| user.to_owned())
}

fn numbers(content: &str) -> Option<(usize, usize)> {
    let mut words = content.split(' ');
    Some((words.next()?.parse().ok()?, words.next()?.parse().ok()?))
}

fn numbers_in(payload: &Payload) -> Option<(usize, usize)> {
    let value: Value = serde_json::from_slice(&payload.bytes).unwrap_or(Value::Null);
    let text = String::from_utf8_lossy(&payload.bytes);
    numbers(value["content"].as_str().unwrap_or(&text))
}

fn said(world: &World<Relay>, client: usize, serial: usize) -> Option<Payload> {
    let sent = &world.clients.get(client)?.sent;
    sent.iter().find(|payload| numbers_in(payload) == Some((serial, client))).cloned()
}

fn receiver(payload: &Payload) -> Option<String> {
    let value: Value = serde_json::from_slice(&payload.bytes).unwrap_or(Value::Null);
    value["receiver"].as_str().map(str::to_owned)
}

/// What the others must hear, byte for byte.
fn expected(world: &World<Relay>, from: usize, original: &Payload) -> String {
    let text = String::from_utf8_lossy(&original.bytes).into_owned();
    let value: Value = serde_json::from_str(&text).unwrap_or(Value::Null);
    let Some(content) = value["content"].as_str() else { return text };
    let sender = name(world, from).unwrap_or_else(|| guest(world, from));
    match value["group"].as_str() {
        Some(group) => {
            format!(r#"{{"sender":"{sender}","group":"{group}","content":"{content}"}}"#)
        }
        None => format!(r#"{{"sender":"{sender}","content":"{content}"}}"#),
    }
}

/// A guest's number is its connection's, as long as nobody is called by it.
fn guest(world: &World<Relay>, client: usize) -> String {
    let peer = world.driver.links[world.clients[client].link].peer;
    world.books().by_peer.get(&peer).map_or(0, |id| id.serial()).to_string()
}
