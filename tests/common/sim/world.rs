//! What happens in one run: clients come, talk, misbehave and go, as the seed decides.

use std::fmt::Write;

use switchboard::Limits;
use switchboard::config::Deflate;
use switchboard::engine::{Cause, Handler};
use switchboard::protocol::Deadline;
use switchboard::wire::CloseCode;

use super::client::{Client, Stage};
use super::driver::Driver;
use super::random::Random;
use super::watch::{Books, Ledger, Payload, Phase, Queued, Watched};

/// How bytes and time move.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pace {
    /// The most bytes that move at once.
    pub chunk: usize,
    /// The clock jumps by minutes now and then, or stands still, or goes on by milliseconds.
    pub clock: Clock,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Clock {
    Still,
    Fine,
    Jumpy,
}

pub struct World<H> {
    pub driver: Driver<Watched<H>>,
    pub clients: Vec<Client>,
    pub random: Random,
    pub pace: Pace,
    buffer_max: usize,
    short_writes: usize,
    message_max: usize,
    /// What user 0, 1 ... asks for.
    /// How many clients of a hundred offer to compress.
    pub offering: usize,
    pub targets: [&'static str; USERS],
    /// How a message is made, from its serial number, the client's place and the length at most.
    pub compose: Compose,
    serial: usize,
}

type Compose = fn(&mut Random, usize, usize, usize) -> Payload;

impl<H: Handler + Ledger> World<H> {
    /// A world whose limits and habits are the seed's.
    pub fn new(seed: u64, handler: H) -> World<H> {
        let mut random = Random::new(seed);
        let chunk = random.pick(&[1, 7, 64, 700, 100_000]);
        let clock = random.pick(&[Clock::Still, Clock::Fine, Clock::Fine, Clock::Jumpy]);
        let limits = limits(&mut random, chunk);
        let buffer_max = random.pick(&[50, 1000, 10_000]);
        let short_writes = random.pick(&[0, 0, 30, 90]);
        let mut world = World::with(limits, handler, random);
        world.pace = Pace { chunk, clock };
        world.buffer_max = buffer_max;
        world.short_writes = short_writes;
        world.offering = world.random.pick(&[0, 50, 100]);
        world.message_max = if chunk < 64 { 300 } else { limits.message_max_bytes as usize };
        world
    }

    /// A calm world: nothing is cut, nobody is slow, and the clock goes only when told.
    pub fn with(limits: Limits, handler: H, random: Random) -> World<H> {
        World {
            driver: Driver::new(limits, Watched::new(handler)),
            clients: Vec::new(),
            random,
            pace: Pace { chunk: usize::MAX, clock: Clock::Still },
            buffer_max: 1 << 20,
            short_writes: 0,
            message_max: limits.message_max_bytes as usize,
            offering: 0,
            targets: ["/0", "/1", "/2", "/3", "/4", "/5", "/6", "/7"],
            compose: super::handlers::compose,
            serial: 0,
        }
    }

    pub fn books(&self) -> &Books {
        &self.driver.engine.handler().books
    }

    pub fn inner(&self) -> &H {
        &self.driver.engine.handler().inner
    }

    // ---- one step ------------------------------------------------------------------------------

    /// Lets a client in whose request is on its way; its place.
    pub fn connect(&mut self, user: usize) -> usize {
        let link = self.link();
        let mut client = Client::new(link, self.targets[user], &mut self.random);
        if self.random.percent(self.offering) {
            client.offer_deflate(&mut self.random);
        }
        self.clients.push(client);
        self.clients.len() - 1
    }

    pub fn link(&mut self) -> usize {
        let random = self.random.fork();
        self.driver.connect(self.buffer_max, self.short_writes, random)
    }

    pub fn set_buffers(&mut self, buffer_max: usize) {
        self.buffer_max = buffer_max;
    }

    /// Chance decides what happens, then there is a tick.
    pub fn step(&mut self) {
        for _ in 0..self.random.between(1, 3) {
            self.happen();
        }
        for client in 0..self.clients.len() {
            let max = self.random.between(1, self.pace.chunk);
            self.pump(client, max);
        }
        self.driver.now.0 += match self.pace.clock {
            Clock::Still => 0,
            Clock::Jumpy if self.random.percent(3) => self.random.below(300_000) as u64,
            Clock::Fine | Clock::Jumpy => self.random.below(6) as u64,
        };
        if self.pace.clock == Clock::Jumpy && self.random.percent(1) {
            self.driver.epoch.0 = self.random.below(1 << 41) as u64;
        }
        self.driver.tick();
    }

    /// Moves bytes between a client and its link, and tells the loop what epoll would.
    pub fn pump(&mut self, client: usize, max: usize) -> bool {
        let client = &mut self.clients[client];
        let link = &mut self.driver.links[client.link];
        let fin = link.has_sent_fin();
        let sent = client.outgoing.len();
        let mut moved = client.pump(link, max);
        let mut edge = link.has_sent_fin() != fin || client.outgoing.len() < sent;
        if link.owes_edge() {
            (edge, moved) = (true, true);
        }
        if edge {
            self.driver.edge(client.link);
        }
        moved
    }

    fn happen(&mut self) {
        if self.clients.len() < 8 && self.random.percent(20) {
            self.newcomer();
        }
        if self.clients.is_empty() {
            return;
        }
        let client = self.random.below(self.clients.len());
        match self.random.below(200) {
            0..120 => self.talk(client),
            120..130 if self.clients[client].may_send() => {
                self.clients[client].ping(&mut self.random);
            }
            130..140 => {
                let client = &mut self.clients[client];
                client.stalled = !client.stalled;
                client.slow = true;
            }
            140..143 => self.leave(client),
            143..145 => {
                self.clients[client].dead = true;
                self.clients[client].slow = true;
            }
            145..148 if self.clients[client].may_send() => {
                let max = self.driver.limits.message_max_bytes;
                self.clients[client].misbehave(max, &mut self.random);
            }
            150 if !self.driver.is_stopped() && self.random.percent(30) => {
                self.driver.stop();
            }
            _ => {}
        }
    }

    fn newcomer(&mut self) {
        let user = self.random.below(USERS);
        let client = self.connect(user);
        if self.random.percent(10) {
            self.clients[client].bad_request(&mut self.random);
        } else if self.random.percent(5) {
            // Never asks.
            self.clients[client].outgoing.clear();
            self.clients[client].honest = false;
        }
    }

    fn talk(&mut self, client: usize) {
        if !self.clients[client].may_send() || self.clients[client].outgoing.len() > 20_000 {
            return;
        }
        self.serial += 1;
        let random = &mut self.random;
        let len = random.pick(&[0, 10, 100, 130, 1000, 5000, self.message_max]);
        let len = random.below(len.min(self.message_max) + 1);
        let payload = (self.compose)(random, self.serial, client, len);
        let pieces = if random.percent(30) { random.between(2, 5) } else { 1 };
        self.clients[client].send(payload, pieces, &mut self.random);
    }

    fn leave(&mut self, client: usize) {
        let link = self.clients[client].link;
        let client = &mut self.clients[client];
        match self.random.below(4) {
            0 if client.may_send() => {
                let code = self.random.pick(&[None, Some(CloseCode::NORMAL)]);
                client.close(code, &mut self.random);
            }
            // FIN, perhaps in the middle of a frame.
            1 => {
                if self.random.percent(50) {
                    let left = self.random.below(client.outgoing.len() + 1);
                    client.outgoing.truncate(left);
                    client.honest = false;
                }
                client.finishing = true;
            }
            2 => {
                self.driver.links[link].reset();
                client.outgoing.clear();
                client.stage = Stage::Closed;
                client.honest = false;
                self.driver.edge(link);
            }
            _ => {}
        }
    }

    // ---- to the end ----------------------------------------------------------------------------

    /// Runs `steps` random steps, then checks that everything comes to rest, and to an end.
    pub fn run(&mut self, steps: usize) -> Result<(), String> {
        self.live(steps)?;
        self.outlast()?;
        self.check_delivery()?;
        self.finish()
    }

    /// Random steps, then rest.
    pub fn live(&mut self, steps: usize) -> Result<(), String> {
        for _ in 0..steps {
            self.step();
            self.judge()?;
        }
        for client in &mut self.clients {
            client.stalled = false;
        }
        self.settle()?;
        self.check_delivery()
    }

    /// Runs until nothing moves, without the clock moving far.
    pub fn settle(&mut self) -> Result<(), String> {
        for _ in 0..20_000 {
            let mut moved = false;
            for client in 0..self.clients.len() {
                moved |= self.pump(client, self.pace.chunk.max(4096));
            }
            if !moved && self.driver.is_idle() {
                return self.judge();
            }
            self.driver.tick();
            self.judge()?;
        }
        Err(self.report("it never comes to rest".to_owned()))
    }

    /// Lets the clock run on for longer than any deadline.
    pub fn outlast(&mut self) -> Result<(), String> {
        let limits = self.driver.limits;
        let patience = limits.head_timeout_ms
            + limits.ping_interval_ms
            + limits.ping_timeout_ms
            + limits.close_timeout_ms
            + limits.write_timeout_ms
            + 2000;
        self.pass(patience)?;
        if limits.ping_interval_ms == 0 {
            return Ok(());
        }
        for client in &self.clients {
            let link = &self.driver.links[client.link];
            if client.dead && !link.is_released() {
                return Err(self.report(format!("client at {} is dead and kept", link.peer)));
            }
        }
        Ok(())
    }

    /// Lets `ms` milliseconds pass in the steps in which the loop would wake.
    pub fn pass(&mut self, ms: u64) -> Result<(), String> {
        let end = self.driver.now.0 + ms;
        for _ in 0..20_000 {
            self.settle()?;
            let next = self.driver.engine.next_deadline().map_or(end, |at| at.0.min(end));
            if next >= end && self.driver.now.0 >= end {
                return Ok(());
            }
            self.driver.now.0 = next.max(self.driver.now.0);
            self.driver.tick();
            self.judge()?;
        }
        Err(self.report("more wake-ups than deadlines".to_owned()))
    }

    /// Everybody leaves; nothing must remain.
    pub fn finish(&mut self) -> Result<(), String> {
        for client in 0..self.clients.len() {
            let link = self.clients[client].link;
            if self.clients[client].dead {
                self.driver.links[link].reset();
                self.driver.edge(link);
            } else if self.clients[client].may_send() && self.random.percent(50) {
                self.clients[client].close(Some(CloseCode::NORMAL), &mut self.random);
            } else {
                self.clients[client].finishing = true;
            }
        }
        self.settle()?;
        let limits = self.driver.limits;
        self.pass(limits.head_timeout_ms + 2 * limits.close_timeout_ms + 2000)?;
        let engine = &self.driver.engine;
        let (connections, buffered) = (engine.connections(), engine.buffered());
        if connections + buffered > 0 {
            let text = format!("{connections} connections and {buffered} bytes are left");
            return Err(self.report(text));
        }
        let open = self.books().phases.iter().find(|(_, phase)| **phase == Phase::Open);
        if let Some((id, _)) = open {
            return Err(self.report(format!("conn {id}: on_close never came")));
        }
        self.pass(400_000)?;
        match self.driver.engine.next_deadline() {
            Some(at) => Err(self.report(format!("nobody is left, but a deadline at {at:?}"))),
            None => Ok(()),
        }
    }

    // ---- judgement -----------------------------------------------------------------------------

    /// What was found wrong so far, if anything.
    pub fn judge(&mut self) -> Result<(), String> {
        let mut faults = std::mem::take(&mut self.driver.faults);
        faults.extend(self.books().faults.iter().cloned());
        faults.extend(self.clients.iter().filter_map(|client| client.fault.clone()));
        if faults.is_empty() { Ok(()) } else { Err(self.report(faults.join("\n"))) }
    }

    pub fn report(&self, faults: String) -> String {
        let mut text = faults;
        let limits = &self.driver.limits;
        let _ = write!(text, "\nat {:?}, {:?}, {limits:?}", self.driver.now, self.pace);
        for (id, phase) in &self.books().phases {
            let _ = write!(text, "\nconn {id}: {phase:?}");
        }
        text
    }

    /// Nothing lost, nothing twice, nothing in the wrong order, nothing to the wrong one.
    pub fn check_delivery(&self) -> Result<(), String> {
        for client in &self.clients {
            let peer = self.driver.links[client.link].peer;
            let fail = |text: String| Err(self.report(format!("client at {peer}: {text}")));
            let Some(&id) = self.books().by_peer.get(&peer) else {
                if !client.received.is_empty() {
                    return fail("never asked, and received something".to_owned());
                }
                continue;
            };
            let none = Vec::new();
            let handled = self.books().handled.get(&id).unwrap_or(&none);
            if let Some(text) = differ(handled, &client.sent, !client.honest) {
                return fail(format!("conn {id}: sent and delivered: {text}"));
            }
            let queued = match self.inner().queued(id) {
                Queued::Known(queued) => queued,
                Queued::Echo => handled,
                Queued::Unknown => &client.received,
            };
            if let Some(text) = differ(&client.received, queued, false) {
                return fail(format!("conn {id}: queued and received: {text}"));
            }
            let open = self.books().is_open(id);
            let reads = !client.dead && !client.stalled;
            if open && client.honest && reads && handled.len() < client.sent.len() {
                let text = format!("{} sent, {} delivered", client.sent.len(), handled.len());
                return fail(format!("conn {id}: {text}"));
            }
            // Whatever was queued leaves, if the connection is open, or was closed in order.
            let owed = (open && reads) || client.close.is_some();
            if owed && client.received.len() < queued.len() {
                let text = format!("{} queued, {} received", queued.len(), client.received.len());
                return fail(format!("conn {id}: {text}"));
            }
            if let Some(Phase::Closed(closed)) = self.books().phases.get(&id) {
                let counted = closed.counts.messages_out;
                let is_known = matches!(self.inner().queued(id), Queued::Known(_));
                let least = if is_known { queued.len() } else { client.received.len() };
                if counted < least as u64 || (is_known && counted > least as u64) {
                    return fail(format!("conn {id}: {counted} counted, {least} queued"));
                }
            }
            if let Some(Phase::Closed(closed)) = self.books().phases.get(&id)
                && !self.may_end(client, closed.cause)
            {
                return fail(format!("conn {id}: ended for no reason of its own, {closed:?}"));
            }
        }
        Ok(())
    }

    /// Whether a connection may end so, given what its client did.
    fn may_end(&self, client: &Client, cause: Cause) -> bool {
        let slow = client.slow || client.stalled || client.dead;
        let hurried = slow || self.pace.clock == Clock::Jumpy || self.pace.chunk < 700;
        match cause {
            Cause::Application | Cause::Panicked => true,
            Cause::Shutdown => self.driver.is_stopped(),
            Cause::Overloaded => true,
            Cause::Timeout(Deadline::Close) => true,
            Cause::Timeout(_) => hurried,
            Cause::Peer => client.stage == Stage::Closed,
            Cause::Lost => client.finishing || client.stage == Stage::Closed || client.dead,
            Cause::Protocol(_) => !client.honest,
        }
    }
}

/// How `had` differs from the beginning of `wanted`, if it does. `more` may follow.
fn differ(had: &[Payload], wanted: &[Payload], more: bool) -> Option<String> {
    for (at, pair) in had.iter().zip(wanted).enumerate() {
        if pair.0 != pair.1 {
            return Some(format!("message {at} is {:?} and not {:?}", pair.0, pair.1));
        }
    }
    if had.len() > wanted.len() && !more {
        return Some(format!("{} is one too many", had.len() - wanted.len()));
    }
    None
}

/// Small limits, so that a short run reaches them, and short deadlines in proportion.
fn limits(random: &mut Random, chunk: usize) -> Limits {
    let mut limits = Limits::relay();
    limits.head_timeout_ms = 3_000;
    limits.ping_interval_ms = if random.percent(20) { 0 } else { 2_500 };
    limits.ping_timeout_ms = 2_000;
    limits.close_timeout_ms = 1_000;
    limits.write_timeout_ms = 2_000;
    limits.message_max_bytes = random.pick(&[1_000, 9_000, 20_000]);
    limits.message_frames_max = 64;
    limits.outbox_high_bytes = random.pick(&[1_024, 4_096, 30_000]);
    limits.outbox_low_bytes = limits.outbox_high_bytes / random.pick(&[1, 2, 10, 5_000]) as u64;
    limits.outbox_low_bytes = limits.outbox_low_bytes.min(limits.outbox_high_bytes - 1);
    limits.outbox_total_bytes = random.pick(&[65_536, 1 << 20, 1 << 30]);
    limits.connections_max = random.pick(&[2, 5, 100]);
    limits.accept_budget_max = random.pick(&[1, 100]);
    limits.head_max_bytes = 1_024;
    limits.read_buffer_bytes = if chunk == 1 { 1 } else { random.pick(&[3, 100, 4_096, 65_536]) };
    limits.read_budget_bytes = random.pick(&[1, 200, 10_000]);
    limits.send_budget_max = random.pick(&[1, 5, 16_384]);
    limits.deflate_mode = random.pick(&[Deflate::On, Deflate::Takeover]).as_number();
    limits.deflate_min_bytes = random.pick(&[0, 20, 256]);
    limits.deflate_takeover_max = random.pick(&[1, 100]);
    limits
}

pub const USERS: usize = 8;
