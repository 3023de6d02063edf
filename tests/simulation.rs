//! The whole engine under a seeded fake network and clock: see `common/sim/mod.rs`.
//!
//! `SWITCHBOARD_SEEDS=1000 cargo test --test simulation` runs more seeds than the default of 100;
//! a run that fails prints the command that repeats it.

#![cfg(feature = "relay")]
#![allow(clippy::unwrap_used, reason = "a helper of a test is a test")]

#[path = "common/sim/mod.rs"]
mod sim;

use std::cell::Cell;

use sim::{
    Client, Fountain, Hesitant, Panicky, Payload, Random, Spot, Stage, Switch, World,
    expect_panics, for_each_seed,
};
use switchboard::Limits;
use switchboard::echo::Echo;
use switchboard::engine::{Cause, Handler};
use switchboard::protocol::Deadline;
use switchboard::relay::{Relay, RelayConfig};
use switchboard::timer::Millis;
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

#[test]
fn chaos_with_late_decisions() {
    let (opened, abandoned) = (Cell::new(0), Cell::new(0));
    for_each_seed("chaos_with_late_decisions", |seed| {
        let hesitant = Hesitant::new(Switch::default(), Random::new(seed ^ 1));
        let mut world = World::new(seed, hesitant);
        world.run(150)?;
        let hesitant = world.inner();
        opened.set(opened.get() + hesitant.opened);
        abandoned.set(abandoned.get() + hesitant.abandoned);
        let faults = [&hesitant.faults[..], &hesitant.inner.faults].concat().join("\n");
        if faults.is_empty() { Ok(()) } else { Err(faults) }
    });
    let both = opened.get() > 0 && abandoned.get() > 0;
    assert!(both || std::env::var_os("SEED").is_some(), "{opened:?} opened, {abandoned:?} not");
}

#[test]
fn chaos_with_the_relay() {
    for_each_seed("chaos_with_the_relay", |seed| {
        let mut world = World::new(seed, Relay::new(RelayConfig::default()));
        world.targets = sim::relay::RELAY_TARGETS;
        world.compose = sim::relay::compose;
        world.live(150)?;
        sim::relay::check(&world)?;
        world.outlast()?;
        world.check_delivery()?;
        sim::relay::check(&world)?;
        world.finish()?;
        let counts = world.inner().counts();
        let left = counts.users + counts.groups + counts.rooms;
        if left == 0 { Ok(()) } else { Err(world.report(format!("{counts:?} left"))) }
    });
}

// ---- directed: one rule each, on the same network -----------------------------------------------

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

    /// Moves bytes and ticks once.
    fn beat(&mut self) {
        for client in 0..self.clients.len() {
            self.pump(client, usize::MAX);
        }
        self.driver.tick();
        self.judge().unwrap();
    }

    fn is_released(&self, client: usize) -> bool {
        self.driver.links[self.clients[client].link].is_released()
    }

    fn cause(&self, client: usize) -> Option<(CloseCode, Cause)> {
        let peer = self.driver.links[self.clients[client].link].peer;
        let id = self.books().by_peer.get(&peer)?;
        self.books().closed(*id).map(|closed| (closed.code, closed.cause))
    }

    /// Everybody else got what was theirs, and goes on.
    fn assert_undisturbed(&mut self, client: usize) {
        let here = Payload::text("=|still here");
        let count = |client: &Client| client.received.iter().filter(|got| **got == here).count();
        let before = count(&self.clients[client]);
        self.tell(client, "=|still here");
        assert_eq!(count(&self.clients[client]), before + 1);
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

#[test]
fn a_panic_in_a_callback_closes_that_connection_and_the_others_go_on() {
    use Spot::{BeforeFlush, Close, Drained, Message, Open, Request, Timer, User};
    for spot in [Request, Open, Message, Close, Drained, Timer, BeforeFlush, User] {
        let mut world = world(Panicky::new(spot), &[0]);
        let victim = world.connect(1);
        world.beat();
        world.clients[victim].stalled = spot == Drained;
        for _ in 0..if spot == Drained { 4 } else { 0 } {
            world.tell(0, &long(1, 6_000));
        }
        world.clients[victim].stalled = false;
        world.say(0, "t|");
        if world.clients[victim].may_send() && spot != Drained {
            world.say(victim, "hello");
        }
        world.pass(200).unwrap();
        if spot == Close {
            world.clients[victim].finishing = true;
            world.settle().unwrap();
        }
        assert!(world.inner().panics.get() > 0, "{spot:?}");
        match spot {
            Request => assert_eq!(world.clients[victim].status, Some(500)),
            Open | Message | Drained | User => {
                assert_eq!(
                    world.cause(victim),
                    Some((CloseCode::INTERNAL_ERROR, Cause::Panicked)),
                    "{spot:?}"
                );
                assert_eq!(world.clients[victim].close, Some(CloseCode::INTERNAL_ERROR));
                assert!(world.is_released(victim));
            }
            Close => assert!(world.is_released(victim)),
            Timer | BeforeFlush => assert_eq!(world.cause(victim), None, "nobody's panic"),
        }
        let before = world.clients[0].received.len();
        world.tell(0, "still here");
        assert_eq!(world.clients[0].received.len(), before + 1, "{spot:?}");
    }
}

#[test]
fn a_slow_receiver_refuses_above_high_water_and_is_drained_once_below_low() {
    let mut world = world(Switch::default(), &[0, 1, 2]);
    world.clients[1].stalled = true;
    for _ in 0..6 {
        world.tell(0, &long(1, 6_000));
    }
    assert_eq!(world.inner().refused, 4, "two fit below and across high water");
    assert!(world.driver.engine.buffered() <= 10_000 + 6_004);
    world.assert_undisturbed(0);
    world.assert_undisturbed(2);
    world.clients[1].stalled = false;
    world.settle().unwrap();
    assert_eq!(world.books().drained, 1);
    let last = world.clients[1].received.last().unwrap();
    assert_eq!(last.bytes, b"you missed something");
    world.check_delivery().unwrap();
    world.tell(0, &long(1, 6_000));
    assert_eq!(world.inner().refused, 4, "it takes messages again");
    world.finish().unwrap();
}

#[test]
fn own_replies_over_high_water_pause_reading_and_what_is_held_comes_in_order() {
    // In one read lie many messages, so that the pause comes in the middle of it.
    let mut limits = limits();
    limits.outbox_high_bytes = 1_024;
    limits.outbox_low_bytes = 300;
    let mut world = world_with(limits, Echo, &[0, 1]);
    world.clients[0].stalled = true;
    for n in 0..400 {
        world.say(0, &format!("message {n:05} of a client that does not read"));
    }
    world.settle().unwrap();
    let held = world.driver.engine.buffered();
    assert!(held <= 1_024 + 100 + limits.read_buffer_bytes as usize, "{held} bytes");
    assert!(!world.clients[0].outgoing.is_empty(), "it is not read any more");
    world.assert_undisturbed(1);
    world.clients[0].stalled = false;
    world.settle().unwrap();
    assert_eq!(world.clients[0].received.len(), 400);
    world.check_delivery().unwrap();
    world.finish().unwrap();
}

#[test]
fn a_slow_reader_that_is_paused_is_not_taken_for_dead() {
    let mut world = world(Echo, &[0]);
    world.clients[0].stalled = true;
    for _ in 0..40 {
        world.say(0, &long(0, 6_000));
    }
    world.settle().unwrap();
    // It takes 500 bytes a second: in two minutes not even what the outbox holds.
    for _ in 0..120 {
        world.pass(1_000).unwrap();
        world.clients[0].stalled = false;
        world.pump(0, 500);
        world.clients[0].stalled = true;
    }
    assert_eq!(world.cause(0), None);
    world.clients[0].stalled = false;
    world.settle().unwrap();
    assert_eq!(world.clients[0].received.len(), 40);
}

#[test]
fn the_total_cap_closes_the_largest_and_nobody_in_vain() {
    let mut limits = limits();
    limits.outbox_high_bytes = 30_000;
    limits.outbox_total_bytes = 70_000;
    let mut world = world_with(limits, Switch::default(), &[0, 1, 2, 3]);
    for (receiver, times) in [(1, 4), (2, 3), (3, 1)] {
        world.clients[receiver].stalled = true;
        for _ in 0..times {
            world.tell(0, &long(receiver, 8_000));
        }
    }
    let buffered = world.driver.engine.buffered();
    assert!(buffered > 56_000, "{buffered}");
    world.tell(0, &long(1, 9_990));
    assert_eq!(world.cause(1), None, "congested, so there was no need of room");
    world.tell(0, &long(3, 9_990));
    assert_eq!(world.cause(1).map(|(_, cause)| cause), Some(Cause::Overloaded));
    assert_eq!((world.cause(2), world.cause(3)), (None, None));
    world.assert_undisturbed(0);
    for client in [2, 3] {
        world.clients[client].stalled = false;
    }
    world.settle().unwrap();
    world.check_delivery().unwrap();
    world.finish().unwrap();
}

#[test]
fn fin_in_the_middle_of_a_message_leaves_nothing_behind() {
    let mut world = world(Echo, &[0, 1]);
    world.say(0, &long(0, 9_000));
    world.clients[0].outgoing.truncate(5_000);
    world.clients[0].honest = false;
    world.settle().unwrap();
    assert_eq!(world.driver.engine.buffered(), 5_000 - 8, "all but the header");
    world.clients[0].finishing = true;
    world.settle().unwrap();
    assert_eq!(world.driver.engine.buffered(), 0);
    assert!(world.is_released(0));
    world.assert_undisturbed(1);
}

#[test]
fn what_was_sent_before_a_half_close_is_answered() {
    let mut world = world(Echo, &[0]);
    for n in 0..50 {
        world.say(0, &format!("message {n}"));
    }
    world.clients[0].finishing = true;
    world.settle().unwrap();
    assert_eq!(world.clients[0].received.len(), 50);
    assert_eq!(world.driver.engine.connections(), 0);
}

#[test]
fn a_dead_peer_is_pinged_and_closed_and_one_that_pongs_is_kept() {
    let mut world = world(Echo, &[0, 1]);
    world.clients[0].dead = true;
    world.pass(24_900).unwrap();
    assert_eq!(world.clients[1].pings, 0);
    world.pass(200).unwrap();
    assert_eq!(world.clients[1].pings, 1);
    world.pass(19_800).unwrap();
    assert_eq!(world.cause(0), None);
    world.pass(300).unwrap();
    let (code, cause) = world.cause(0).unwrap();
    assert_eq!((code.as_u16(), cause), (4408, Cause::Timeout(Deadline::Pong)));
    world.pass(600_000).unwrap();
    assert!(world.is_released(0));
    assert_eq!(world.cause(1), None);
    assert!((23..=26).contains(&world.clients[1].pings), "{}", world.clients[1].pings);
    world.assert_undisturbed(1);
}

#[test]
fn who_takes_nothing_of_what_is_queued_is_dropped() {
    let mut world = world(Switch::default(), &[0, 1]);
    world.clients[1].stalled = true;
    world.tell(0, &long(1, 6_000));
    for _ in 0..19 {
        // It is heard all the time, but that is not reading.
        world.say(1, "=|");
        world.pass(1_000).unwrap();
        assert_eq!(world.cause(1), None);
    }
    world.pass(1_200).unwrap();
    let (code, cause) = world.cause(1).unwrap();
    assert_eq!((code.as_u16(), cause), (4503, Cause::Timeout(Deadline::Write)));
    assert!(world.is_released(1));
    world.assert_undisturbed(0);
}

#[test]
fn chatter_extends_neither_the_request_head_nor_the_closing_handshake() {
    let mut world = world(Switch::default(), &[0, 1]);
    world.clients[1].stalled = true; // so that it does not answer
    let mut random = world.random.fork();
    let link = world.link();
    let mut dripping = Client::silent(link, "/2", &mut random);
    dripping.honest = false;
    world.clients.push(dripping);
    let start = world.driver.now;
    world.tell(0, "x1|");
    let mut gone_ms = [0; 3];
    for _ in 0..120 {
        for client in [1, 2] {
            if world.is_released(client) && gone_ms[client] == 0 {
                gone_ms[client] = world.driver.now.since(start);
            }
        }
        if world.clients[1].may_send() {
            world.clients[1].ping(&mut random);
        }
        world.clients[2].outgoing.extend(b"G");
        world.pass(100).unwrap();
    }
    assert!((5_000..=5_200).contains(&gone_ms[1]), "{gone_ms:?}");
    assert!((10_000..=10_200).contains(&gone_ms[2]), "{gone_ms:?}");
    assert_eq!(world.cause(1).map(|(code, _)| code.as_u16()), Some(4001));
    world.assert_undisturbed(0);
}

#[test]
fn a_shutdown_flushes_what_is_queued_and_closes_with_1001() {
    let mut world = world(Switch::default(), &[0, 1, 2]);
    let mut random = world.random.fork();
    let link = world.link();
    world.clients.push(Client::silent(link, "/3", &mut random));
    world.clients[1].stalled = true;
    world.tell(0, &long(1, 9_000));
    world.driver.stop();
    let late = world.connect(4);
    world.clients[1].stalled = false;
    world.settle().unwrap();
    for client in 0..3 {
        assert_eq!(world.clients[client].close, Some(CloseCode::GOING_AWAY));
        assert_eq!(world.cause(client), Some((CloseCode::GOING_AWAY, Cause::Shutdown)));
    }
    assert_eq!(world.clients[late].status, None);
    assert_eq!(world.clients[1].received.len(), 2, "the welcome and the message");
    assert_eq!(world.driver.engine.connections(), 0);
    world.check_delivery().unwrap();
}

#[test]
fn one_connection_too_many_gets_503_and_the_others_nothing() {
    let mut limits = limits();
    limits.connections_max = 2;
    let mut world = world_with(limits, Echo, &[0, 1]);
    for _ in 0..40 {
        world.connect(2);
    }
    world.settle().unwrap();
    let refused = |world: &World<Echo>, status| {
        world.clients[2..].iter().filter(|client| client.status == status).count()
    };
    assert_eq!(refused(&world, Some(503)), 32);
    assert_eq!(refused(&world, None), 8, "no place even for a refusal");
    assert_eq!(world.driver.engine.connections(), 2);
    world.assert_undisturbed(0);
    world.assert_undisturbed(1);
    // A place that becomes free is given away again.
    world.clients[0].finishing = true;
    world.settle().unwrap();
    let next = world.connect(3);
    world.settle().unwrap();
    assert_eq!(world.clients[next].status, Some(101));
    world.finish().unwrap();
}

#[test]
fn a_reused_place_has_a_new_name_and_the_old_one_reaches_nobody() {
    let mut world = world(Switch::default(), &[0]);
    for _ in 0..5 {
        let next = world.connect(1);
        world.settle().unwrap();
        world.clients[next].finishing = true;
        world.settle().unwrap();
    }
    let ids: Vec<_> = world.books().phases.keys().copied().collect();
    assert_eq!(ids.len(), 6);
    assert!(ids[1..].iter().all(|id| id.index() == ids[1].index()), "one place: {ids:?}");
    world.check_delivery().unwrap();
}

#[test]
fn without_pings_an_open_connection_has_no_timer() {
    let mut world = world_with(Limits::echo(), Echo, &[0]);
    world.pass(10_100).unwrap();
    assert_eq!(world.driver.engine.next_deadline(), None);
    world.driver.now = Millis(86_400_000);
    world.assert_undisturbed(0);
    assert_eq!(world.driver.engine.next_deadline(), None);
}

#[test]
fn a_peer_that_reads_as_fast_as_it_is_sent_to_does_not_keep_the_loop() {
    let mut world = world(Fountain::default(), &[]);
    world.set_buffers(1 << 30);
    world.connect(0);
    world.settle().unwrap();
    world.say(0, "begin");
    world.beat();
    // Once where large replies leave after the read, once in the flush.
    assert!(world.books().drained <= 2, "{} rounds in one tick", world.books().drained);
    world.settle().unwrap();
    assert_eq!(world.inner().sent, 10_000);
    assert_eq!(world.clients[0].received.len(), 10_000);
}

#[test]
fn whoever_breaks_the_protocol_is_closed_and_the_one_beside_it_does_not_notice() {
    let mut world = world(Switch::default(), &[0]);
    for _ in 0..200 {
        let hostile = world.connect(1);
        world.settle().unwrap();
        let mut random = world.random.fork();
        world.clients[hostile].misbehave(10_000, &mut random);
        world.settle().unwrap();
        world.pass(50).unwrap();
        let half = random.percent(50);
        if half && world.clients[hostile].may_send() {
            world.clients[hostile].frame(true, Opcode::Text, b"=|more", &mut random);
        }
        world.assert_undisturbed(0);
        world.clients[hostile].finishing = true;
        world.settle().unwrap();
    }
    let engine = &world.driver.engine;
    assert_eq!((engine.connections(), engine.buffered()), (1, 0));
    world.finish().unwrap();
}
