//! The whole engine under a seeded fake network and clock: see `common/sim/mod.rs`.
//!
//! `SWITCHBOARD_SEEDS=1000 cargo test --test simulation` runs more seeds than the default of 100;
//! a run that fails prints the command that repeats it.

#![cfg(feature = "relay")]

#[path = "common/sim/mod.rs"]
mod sim;

use sim::{Client, Random, Stage, Switch, World, expect_panics, for_each_seed};
use switchboard::Limits;
use switchboard::echo::Echo;
use switchboard::engine::{Cause, Handler};
use switchboard::protocol::Deadline;
use switchboard::wire::{CloseCode, Opcode};

#[test]
fn chaos_with_echo() {
    for_each_seed("chaos_with_echo", |seed| World::new(seed, Echo).run(120));
}

#[test]
fn chaos_with_a_switch() {
    for_each_seed("chaos_with_a_switch", |seed| {
        let mut world = World::new(seed, Switch::default());
        world.run(150)?;
        let faults = world.inner().faults.join("\n");
        if faults.is_empty() { Ok(()) } else { Err(faults) }
    });
}

// ---- directed: one rule each, on the same network --------------------------------------------------

/// A calm world of small limits, with these users connected.
fn world<H: Handler + sim::Ledger>(handler: H, users: &[usize]) -> World<H> {
    world_with(limits(), handler, users)
}

fn world_with<H: Handler + sim::Ledger>(limits: Limits, handler: H, users: &[usize]) -> World<H> {
    expect_panics();
    let mut world = World::with(limits, handler, Random::new(1));
    world.set_buffers(2_000);
    for &user in users {
        world.connect(user);
    }
    world.settle().unwrap();
    assert!(world.clients.iter().all(|client| client.stage == Stage::Open));
    world
}

fn limits() -> Limits {
    let mut limits = Limits::relay();
    limits.message_max_bytes = 10_000;
    limits.outbox_high_bytes = 10_000;
    limits.outbox_low_bytes = 2_000;
    limits.outbox_total_bytes = 1 << 20;
    limits.read_buffer_bytes = 4_096;
    limits
}

impl<H: Handler + sim::Ledger> World<H> {
    fn say(&mut self, client: usize, text: &str) {
        let mut random = self.random.fork();
        self.clients[client].text(text, &mut random);
    }

    /// Says it, and lets it have its effect.
    fn tell(&mut self, client: usize, text: &str) {
        self.say(client, text);
        self.settle().unwrap();
    }

    fn cause(&self, client: usize) -> Option<(CloseCode, Cause)> {
        let peer = self.driver.links[self.clients[client].link].peer;
        let id = self.books().by_peer.get(&peer)?;
        self.books().closed(*id).map(|closed| (closed.code, closed.cause))
    }

    /// Everybody else got what was theirs, and goes on.
    fn assert_undisturbed(&mut self, client: usize) {
        let before = self.clients[client].received.len();
        self.tell(client, "=|still here");
        assert_eq!(self.clients[client].received.len(), before + 1);
        self.check_delivery().unwrap();
    }
}

/// A message for `user` of `len` bytes.
fn long(user: usize, len: usize) -> String {
    format!("{user}|{}", "x".repeat(len - 2))
}

#[test]
fn a_connection_that_ends_while_it_is_congested_is_not_drained_afterwards() {
    let mut world = world(Switch::default(), &[0, 1]);
    world.clients[1].stalled = true;
    for _ in 0..4 {
        world.tell(0, &long(1, 6_000));
    }
    assert!(world.inner().refused > 0, "client 1 is congested");
    world.clients[1].finishing = true;
    world.settle().unwrap();
    assert!(world.cause(1).is_some(), "closed, though not all is written");
    world.clients[1].stalled = false;
    world.settle().unwrap();
    assert_eq!(world.books().drained, 0);
    world.assert_undisturbed(0);
}
