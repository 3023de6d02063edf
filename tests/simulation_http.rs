//! HTTP at the operator's listener under a seeded fake network and clock: see `common/sim/mod.rs`.
//!
//! Clients send requests of every kind, as many as they like before the answers, cut as chance has
//! it; the application decides at once or later. Whoever keeps to the rules gets his answers, in
//! order; whoever does not gets none that is not his.
#![cfg(feature = "relay")]
#![allow(clippy::unwrap_used, reason = "a helper of a test is a test")]

#[path = "common/sim/mod.rs"]
mod sim;

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use sim::{Driver, Random, for_each_seed};
use switchboard::engine::Door;
use switchboard::wire::Response;
use switchboard::{ConnId, Context, Handler, Limits, Message, Request, Verdict};

#[test]
fn chaos_with_requests() {
    for_each_seed("chaos_with_requests", |seed| {
        let mut world = World::new(seed);
        for _ in 0..150 {
            world.step();
            world.judge()?;
        }
        world.finish()
    });
}

/// Answers with what it was asked; by chance it decides later.
struct Clerk {
    random: Random,
    /// Undecided, with the answer.
    waiting: BTreeMap<ConnId, String>,
    /// Decided, and not known to have been taken up.
    decided: BTreeSet<ConnId>,
    abandoned: usize,
    faults: Vec<String>,
}

impl Clerk {
    /// Decides about some of those that wait, and about some that do not.
    fn decide_some(&mut self, cx: &mut Context<'_>, percent: usize) {
        let waiting: Vec<ConnId> = self.waiting.keys().copied().collect();
        for id in waiting {
            if self.random.percent(percent)
                && let Some(text) = self.waiting.remove(&id)
            {
                cx.decide(id, Verdict::Pending);
                cx.decide(id, Verdict::Respond(Response::text(200, text)));
                cx.decide(id, Verdict::Respond(Response::text(500, "the second decision")));
                self.decided.insert(id);
            }
        }
    }
}

impl Handler for Clerk {
    fn on_request(
        &mut self,
        cx: &mut Context<'_>,
        id: ConnId,
        request: &Request<'_, '_>,
    ) -> Verdict {
        self.decided.remove(&id);
        if self.waiting.contains_key(&id) {
            self.faults.push(format!("conn {id}: asked before the answer"));
        }
        let text = answer(request.head.path(), request.body);
        if self.random.percent(50) {
            return Verdict::Respond(Response::text(200, text));
        }
        self.waiting.insert(id, text);
        cx.set_timer(self.random.below(4_000) as u64, 1);
        if self.random.percent(10) {
            self.decide_some(cx, 50);
        }
        Verdict::Pending
    }

    fn on_message(&mut self, _: &mut Context<'_>, _: ConnId, _: Message<'_>) {}

    fn on_timer(&mut self, cx: &mut Context<'_>, _: u64) {
        self.decide_some(cx, 60);
    }

    fn before_flush(&mut self, cx: &mut Context<'_>) {
        // What is pending is there; of what is not, the end was told.
        let lost: Vec<_> = self.waiting.keys().filter(|id| cx.peer(**id).is_none()).collect();
        if !lost.is_empty() {
            self.faults.push(format!("{lost:?} died pending, and nobody told"));
        }
        self.decide_some(cx, 10);
        let totals = cx.totals();
        if totals.connections != cx.connections() as u64 {
            self.faults.push(format!("{totals:?}"));
        }
    }

    fn on_abandoned(&mut self, _: &mut Context<'_>, id: ConnId) {
        let waited = self.waiting.remove(&id).is_some();
        if !waited && !self.decided.remove(&id) {
            self.faults.push(format!("conn {id}: abandoned, and was not pending"));
        }
        self.abandoned += 1;
    }
}

fn answer(path: &str, body: &[u8]) -> String {
    let sum: u64 = body.iter().zip(1..).map(|(byte, at)| u64::from(*byte) * at).sum();
    format!("{path} {} {sum} {}", body.len(), "x".repeat(body.len() % 700))
}

struct Client {
    link: usize,
    outgoing: VecDeque<u8>,
    finishing: bool,
    /// Keeps to the rules.
    honest: bool,
    /// May have been too slow for a deadline.
    slow: bool,
    stalled: bool,
    /// Sends nothing more: it said so, or has seen the end.
    done: bool,
    /// The answers that are owed, in order, and whether each has a body.
    owed: VecDeque<(String, bool)>,
    received: Vec<u8>,
    /// An answer other than 200 came: the last one.
    refused: Option<u16>,
    closed: bool,
    fault: Option<String>,
}

impl Client {
    /// Asks something, in one of the ways in which it can be asked.
    fn ask(&mut self, serial: usize, body_max: usize, random: &mut Random) {
        let len = random.pick(&[0, 1, 10, 100, 1_000, body_max]).min(body_max);
        let body = random.bytes(len);
        let path = format!("/{serial}");
        let has_body = !random.percent(20);
        let method = if has_body { "POST" } else { "HEAD" };
        let closes = random.percent(4);
        let mut text = format!("{method} {path} HTTP/1.1\r\nHost: h\r\n").into_bytes();
        if closes {
            text.extend(b"Connection: close\r\n");
        }
        if random.percent(10) {
            text.extend(b"Expect: 100-continue\r\n");
        }
        if random.percent(50) {
            text.extend(format!("Content-Length: {len}\r\n\r\n").bytes());
            text.extend(&body);
        } else {
            text.extend(b"Transfer-Encoding: chunked\r\n\r\n");
            let mut rest = &body[..];
            while !rest.is_empty() {
                let (chunk, left) = rest.split_at(random.between(1, rest.len()));
                let extension = if random.percent(20) { ";a=b" } else { "" };
                text.extend(format!("{:X}{extension}\r\n", chunk.len()).bytes());
                text.extend(chunk);
                text.extend(b"\r\n");
                rest = left;
            }
            let trailer = if random.percent(20) { "Sum: 1\r\n" } else { "" };
            text.extend(format!("0\r\n{trailer}\r\n").bytes());
        }
        self.outgoing.extend(text);
        if self.honest {
            self.owed.push_back((answer(&path, &body), has_body));
        }
        self.done |= closes;
    }

    fn misbehave(&mut self, body_max: usize, random: &mut Random) {
        self.honest = false;
        let garbage = random.between(1, 300);
        let raw = match random.below(6) {
            0 => random.bytes(garbage),
            1 => b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\n"
                .to_vec(),
            2 => format!("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: {}\r\n\r\n", body_max + 1)
                .into(),
            3 => b"POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\nzz".to_vec(),
            4 => b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 9\r\n\r\n".to_vec(),
            _ => b"GET / HTTP/1.1\r\nHost: h".to_vec(),
        };
        self.outgoing.extend(raw);
    }

    /// Reads answers: each is the one that is owed next, or one that refuses, and the last.
    fn read(&mut self) {
        while let Some(end) = self.received.windows(4).position(|four| four == b"\r\n\r\n") {
            let head = String::from_utf8_lossy(&self.received[..end]).into_owned();
            let status: u16 = head[9..12].parse().unwrap();
            let len = head.split("Content-Length: ").nth(1).and_then(|rest| rest.lines().next());
            let len = len.map_or(0, |len| len.parse().unwrap());
            let expected = self.owed.front().map(|(text, has_body)| (text.clone(), *has_body));
            let body_len = match (status, &expected) {
                (100, _) => 0,
                (200, Some((_, false))) => 0,
                _ => len,
            };
            if self.received.len() < end + 4 + body_len {
                return;
            }
            let message: Vec<u8> = self.received.drain(..end + 4 + body_len).collect();
            if status == 100 {
                continue;
            }
            if self.refused.is_some() {
                self.fault = Some(format!("another answer after {:?}: {head}", self.refused));
            }
            match (status, expected) {
                (200, Some((text, has_body))) => {
                    let body = String::from_utf8_lossy(&message[end + 4..]);
                    if has_body && body != text || len != text.len() {
                        self.fault = Some(format!("{body} instead of {text}"));
                    }
                    self.owed.pop_front();
                }
                // What a dishonest one may make of its bytes is its own matter.
                (200, None) if !self.honest => {}
                (200, None) => self.fault = Some(format!("an answer to nothing: {head}")),
                (500, _) => self.fault = Some(head),
                _ => self.refused = Some(status),
            }
        }
    }
}

struct World {
    driver: Driver<Clerk>,
    clients: Vec<Client>,
    random: Random,
    chunk: usize,
    buffer_max: usize,
    short_writes: usize,
    jumps: bool,
    serial: usize,
}

impl World {
    fn new(seed: u64) -> World {
        let mut random = Random::new(seed);
        let chunk = random.pick(&[1, 7, 100, 1_000, 100_000]);
        let mut limits = Limits::relay();
        limits.head_timeout_ms = 3_000;
        limits.http_idle_timeout_ms = 5_000;
        limits.close_timeout_ms = 1_000;
        limits.write_timeout_ms = 2_000;
        limits.http_body_max_bytes = if chunk < 100 { 100 } else { 5_000 };
        limits.outbox_high_bytes = random.pick(&[1_024, 4_096, 100_000]);
        limits.outbox_low_bytes = random.pick(&[0, 1_000]);
        limits.outbox_total_bytes = random.pick(&[65_536, 1 << 30, 1 << 30, 1 << 30]);
        limits.connections_max = random.pick(&[2, 100, 100, 100]);
        limits.head_max_bytes = 512;
        limits.read_buffer_bytes = if chunk == 1 { 1 } else { random.pick(&[3, 100, 65_536]) };
        limits.read_budget_bytes = random.pick(&[1, 200, 100_000]);
        let clerk = Clerk {
            random: random.fork(),
            waiting: BTreeMap::new(),
            decided: BTreeSet::new(),
            abandoned: 0,
            faults: Vec::new(),
        };
        World {
            driver: Driver::new(limits, clerk),
            clients: Vec::new(),
            chunk,
            buffer_max: random.pick(&[50, 1_000, 20_000, 100_000]),
            short_writes: random.pick(&[0, 30, 90]),
            jumps: random.percent(20),
            serial: 0,
            random,
        }
    }

    fn step(&mut self) {
        for _ in 0..self.random.between(1, 3) {
            self.happen();
        }
        for client in 0..self.clients.len() {
            let max = self.random.between(1, self.chunk);
            self.pump(client, max);
        }
        let jump = self.jumps && self.random.percent(3);
        self.driver.now.0 += self.random.below(if jump { 20_000 } else { 6 }) as u64;
        self.driver.tick();
    }

    fn happen(&mut self) {
        if self.clients.len() < 12 && self.random.percent(10) {
            let random = self.random.fork();
            let (buffer_max, short) = (self.buffer_max, self.short_writes);
            let link = self.driver.connect_to(Door::Admin, buffer_max, short, random);
            self.clients.push(Client {
                link,
                outgoing: VecDeque::new(),
                finishing: false,
                honest: true,
                slow: self.jumps || self.chunk < 100 || buffer_max < 1_000,
                stalled: false,
                done: false,
                owed: VecDeque::new(),
                received: Vec::new(),
                refused: None,
                closed: false,
                fault: None,
            });
        }
        if self.clients.is_empty() {
            return;
        }
        let at = self.random.below(self.clients.len());
        let body_max = self.driver.limits.http_body_max_bytes as usize;
        let (random, client) = (&mut self.random, &mut self.clients[at]);
        let may_ask = !client.done && !client.finishing && client.outgoing.len() < 20_000;
        match random.below(300) {
            0..180 if may_ask => {
                self.serial += 1;
                client.ask(self.serial, body_max, random);
            }
            180..190 => {
                client.stalled = !client.stalled;
                client.slow = true;
            }
            190..193 if may_ask => {
                client.misbehave(body_max, random);
                client.done = true;
            }
            193..198 => (client.finishing, client.done) = (true, true),
            198 => {
                self.driver.links[client.link].reset();
                client.outgoing.clear();
                (client.honest, client.done, client.closed) = (false, true, true);
                self.driver.edge(client.link);
            }
            199 if random.percent(20) && !self.driver.is_stopped() => self.driver.stop(),
            200 => self.driver.engine.hang_up(),
            _ => {}
        }
    }

    fn pump(&mut self, at: usize, max: usize) -> bool {
        let client = &mut self.clients[at];
        let link = &mut self.driver.links[client.link];
        let mut moved = link.arrive(&mut client.outgoing, max) > 0;
        if client.finishing && client.outgoing.is_empty() && !link.has_sent_fin() {
            link.fin();
            moved = true;
        }
        if !client.stalled {
            let bytes = link.take(max);
            moved |= !bytes.is_empty();
            client.received.extend(bytes);
            client.read();
            if link.is_over() && !client.finishing {
                client.outgoing.clear();
                (client.finishing, client.done, client.closed) = (true, true, true);
                moved = true;
            }
        }
        moved |= link.owes_edge();
        if moved {
            self.driver.edge(client.link);
        }
        moved
    }

    fn settle(&mut self) -> Result<(), String> {
        for _ in 0..50_000 {
            let mut moved = false;
            for client in 0..self.clients.len() {
                moved |= self.pump(client, self.chunk.max(4_096));
            }
            if !moved && self.driver.is_idle() {
                return self.judge();
            }
            self.driver.tick();
            self.judge()?;
        }
        Err("it never comes to rest".to_owned())
    }

    /// Everybody reads, time goes by, and everything comes to its end.
    fn finish(&mut self) -> Result<(), String> {
        self.clients.iter_mut().for_each(|client| client.stalled = false);
        for _ in 0..200 {
            self.settle()?;
            let Some(next) = self.driver.engine.next_deadline() else { break };
            self.driver.now.0 = next.0.max(self.driver.now.0);
            self.driver.tick();
            self.judge()?;
        }
        let hurried = self.driver.is_stopped()
            || self.driver.limits.outbox_total_bytes < 1 << 30
            || self.driver.limits.connections_max < 100;
        for client in &self.clients {
            let left = client.owed.len();
            // The deadline of a request goes on while it waits for the decision: 503 then.
            let answered = left == 0 || client.refused.is_some() || client.slow || hurried;
            if client.honest && !answered {
                return Err(format!("{left} answers are owed to {:?}", client.link));
            }
        }
        let engine = &self.driver.engine;
        let (connections, buffered) = (engine.connections(), engine.buffered());
        let waiting = engine.handler().waiting.len();
        if connections + buffered + waiting > 0 {
            return Err(format!("{connections} connections, {buffered} bytes, {waiting} waiting"));
        }
        Ok(())
    }

    fn judge(&mut self) -> Result<(), String> {
        let mut faults = std::mem::take(&mut self.driver.faults);
        faults.extend(self.driver.engine.handler().faults.iter().cloned());
        faults.extend(self.clients.iter().filter_map(|client| client.fault.clone()));
        if faults.is_empty() { Ok(()) } else { Err(faults.join("\n")) }
    }
}
