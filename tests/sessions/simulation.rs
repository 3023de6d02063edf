//! Clients that keep their rules on a network that has none: nothing lost, nothing twice, in order.
//!
//! ```text
//!   three users, two clients each, one plain connection       one relay on the engine
//!   each step one of: say something, lose the connection with all that is on its way in either
//!   direction, come back, stop reading, read again, let time go by
//!   in the end: everybody comes back and reads; then every message is accounted for
//! ```
//!
//! The clients are those of `switchboard connect`. The logs are long enough for everything, so
//! there is no gap to be announced; `src/relay/v1/model` has the others.
//!
//! `SWITCHBOARD_SEEDS=1000` runs more seeds than 40; `SEED=7` runs one.

use std::collections::{BTreeMap, BTreeSet};

use switchboard::timer::Millis;
use switchboard::tools::client::{Event, Identity, Session, Start, Wish};

use super::random::Random;
use super::*;

const USERS: [&str; 3] = ["alice", "bob", "carol"];

/// A client, whether it has a connection or not.
struct Client {
    user: usize,
    session: Session,
    peer: Option<Peer>,
    is_stalled: bool,
    heard: Vec<Arrived>,
}

/// A message that arrived.
#[derive(Clone, Copy)]
struct Arrived {
    number: u64,
    /// Whose client it was from, if it was numbered there.
    from: Option<usize>,
}

/// Whom a message was for.
#[derive(Clone, Copy, PartialEq, Eq)]
enum For {
    Group,
    User(usize),
}

struct Run {
    world: World,
    random: Random,
    clients: Vec<Client>,
    plain: Peer,
    now: u64,
    /// By number: whose client said it, whom it is for, whether that client gets it as well.
    said: BTreeMap<u64, (usize, For, bool)>,
    accepted: BTreeSet<u64>,
    refused: BTreeSet<u64>,
    next: u64,
}

#[test]
fn whatever_the_network_does_nothing_is_lost_or_comes_twice() {
    let seeds = match std::env::var("SEED").ok().and_then(|seed| seed.parse().ok()) {
        Some(seed) => seed..seed + 1,
        None => {
            let count =
                std::env::var("SWITCHBOARD_SEEDS").ok().and_then(|seeds| seeds.parse().ok());
            0..count.unwrap_or(40)
        }
    };
    let mut totals = [0; 3];
    for seed in seeds {
        let run = std::panic::AssertUnwindSafe(|| Run::new(seed).run());
        match std::panic::catch_unwind(run) {
            Ok(counts) => totals.iter_mut().zip(counts).for_each(|(total, count)| *total += count),
            Err(panic) => {
                eprintln!("SEED={seed} cargo test --test sessions simulation");
                std::panic::resume_unwind(panic);
            }
        }
    }
    let [accepted, lost_connections, delivered] = totals;
    println!("{accepted} accepted, {delivered} delivered, {lost_connections} connections lost");
    assert!(accepted > 0 && lost_connections > 0 && delivered > accepted);
}

impl Run {
    fn new(seed: u64) -> Run {
        let mut config = world::config();
        config.limits.log_messages_max = 100_000;
        config.limits.log_max_bytes = 1 << 30;
        config.limits.outbox_high_bytes = 8_192;
        config.limits.outbox_low_bytes = 1_024;
        let world = World::with(config);
        let clients = (0..6).map(|at| {
            let user = at / 2;
            let identity =
                Identity { client: format!("c{at}"), user: Some(USERS[user].to_owned()) };
            let session = Session::new(identity, Start::Kept);
            Client { user, session, peer: None, is_stalled: false, heard: Vec::new() }
        });
        let mut run = Run {
            clients: clients.collect(),
            plain: world.connect("/", Some("dave")),
            world,
            random: Random::new(seed),
            now: 0,
            said: BTreeMap::new(),
            accepted: BTreeSet::new(),
            refused: BTreeSet::new(),
            next: 1,
        };
        run.plain.say(r#"{"type":"join","group":"g"}"#);
        for at in 0..run.clients.len() {
            run.clients[at].session.want(Wish::join("g"));
            run.come(at);
        }
        run.settle();
        run
    }

    fn run(mut self) -> [usize; 3] {
        let mut lost = 0;
        for _ in 0..400 {
            let at = self.random.below(self.clients.len());
            match self.random.below(16) {
                0..=6 => self.say(at),
                7 => self.say_plainly(),
                8 => lost += usize::from(self.lose(at)),
                9 | 10 => self.come(at),
                11 => self.stall(at),
                12 => self.read_again(at),
                13 => self.pass(),
                _ => drop(self.exchange(at)),
            }
        }
        for at in 0..self.clients.len() {
            self.read_again(at);
        }
        self.settle();
        self.judge();
        let delivered = self.clients.iter().map(|client| client.heard.len()).sum();
        [self.accepted.len(), lost, delivered]
    }

    fn say(&mut self, at: usize) {
        let number = self.next;
        self.next += 1;
        let to = match self.random.below(3) {
            0 => For::Group,
            _ => For::User(self.random.below(USERS.len())),
        };
        let echo = self.random.below(4) == 0;
        let padding = "x".repeat([0, 900, 30_000][self.random.below(3)]);
        let whom = match to {
            For::Group => r#""group":"g""#.to_owned(),
            For::User(user) => format!(r#""receiver":"{}""#, USERS[user]),
        };
        let wish = format!(
            r#"{{{whom},"content":[{number},{at},"{padding}"],"echo":{echo},"tag":{number}}}"#
        );
        self.said.insert(number, (at, to, echo));
        let client = &mut self.clients[at];
        client.session.want(Wish::read(&wish).unwrap());
    }

    /// At most once, and nobody says whether it was accepted: only that it comes once if at all.
    fn say_plainly(&mut self) {
        let number = self.next;
        self.next += 1;
        let user = USERS[self.random.below(USERS.len())];
        self.plain.say(&format!(r#"{{"receiver":"{user}","content":[{number},-1,""]}}"#));
    }

    fn come(&mut self, at: usize) {
        let client = &mut self.clients[at];
        // One that took nothing for too long was dropped, without a word.
        if let Some(peer) = client.peer.take_if(|peer| self.world.has_dropped(peer)) {
            client.session.lost();
            peer.hang_up();
        }
        if client.peer.is_some() {
            return;
        }
        client.peer = Some(silent(&self.world, &format!("/?user={}", USERS[client.user])));
        client.session.opened();
        client.is_stalled = false;
        self.exchange(at);
    }

    /// Everything that is on its way is lost, in both directions.
    fn lose(&mut self, at: usize) -> bool {
        let client = &mut self.clients[at];
        let Some(peer) = client.peer.take() else { return false };
        if self.random.below(2) == 0 {
            // It thinks that it has sent these.
            for _ in 0..self.random.below(4) {
                client.session.next_text();
            }
        }
        client.session.lost();
        peer.hang_up();
        true
    }

    fn stall(&mut self, at: usize) {
        let client = &mut self.clients[at];
        if let Some(peer) = &client.peer {
            peer.stop_reading();
            client.is_stalled = true;
        }
    }

    fn read_again(&mut self, at: usize) {
        let client = &mut self.clients[at];
        if let (Some(peer), true) = (&client.peer, client.is_stalled) {
            peer.read_again();
            client.is_stalled = false;
        }
    }

    fn pass(&mut self) {
        let ms = [10, 300, 3_000][self.random.below(3)];
        self.now += ms;
        self.world.pass(ms);
        for client in &mut self.clients {
            client.session.tick(Millis(self.now));
        }
    }

    /// A client sends what it may and takes what has come, until there is nothing more.
    fn exchange(&mut self, at: usize) -> bool {
        let now = Millis(self.now);
        let mut has_worked = false;
        loop {
            let client = &mut self.clients[at];
            let Some(peer) = &client.peer else { return has_worked };
            let before = has_worked;
            has_worked = false;
            if let Some(text) = client.session.next_text() {
                peer.say(&text);
                has_worked = true;
            }
            for heard in peer.heard() {
                has_worked = true;
                match heard {
                    Heard::Text(text) => client.session.hear(&text, now).unwrap(),
                    Heard::Closed(4408 | 4503) => {
                        client.session.lost();
                        client.peer.take().unwrap().hang_up();
                        return true;
                    }
                    other => panic!("{at}: {other:?}"),
                }
            }
            self.take_events(at);
            if !has_worked {
                return before;
            }
        }
    }

    fn take_events(&mut self, at: usize) {
        let client = &mut self.clients[at];
        let mut count = 0;
        while let Some(event) = client.session.next_event() {
            count += 1;
            match event {
                Event::Answer { accepted, given, .. } => {
                    let Some(tag) = given.strip_prefix("\"tag\":") else { continue };
                    let number = tag.parse().unwrap();
                    let answered = if accepted { &mut self.accepted } else { &mut self.refused };
                    assert!(answered.insert(number), "{number} is answered once");
                }
                Event::Gap(text) => panic!("nothing is pushed out: {text}"),
                Event::Message { text, .. } => {
                    let frame: Value = serde_json::from_str(&text).unwrap();
                    let number = frame["content"][0].as_u64().unwrap();
                    let from = frame["content"][1].as_u64().map(|from| from as usize);
                    client.heard.push(Arrived { number, from });
                }
                Event::Welcome { uncertain, .. } => assert_eq!(uncertain, 0),
                Event::Notice(text) => assert!(!text.contains("error"), "{text}"),
            }
        }
        client.session.processed(count, Millis(self.now));
    }

    /// Everybody comes back, and talks until all is said.
    fn settle(&mut self) {
        for _ in 0..1_000 {
            let mut has_worked = false;
            for at in 0..self.clients.len() {
                self.come(at);
                has_worked |= self.exchange(at);
            }
            self.now += 300;
            self.world.pass(300);
            for client in &mut self.clients {
                client.session.tick(Millis(self.now));
                has_worked |= client.session.unanswered().0 > 0;
            }
            if !has_worked {
                return;
            }
        }
        panic!("there is no end to it");
    }

    fn judge(&self) {
        assert_eq!(self.refused, BTreeSet::new(), "there is no reason to refuse anything");
        for (&number, &(from, to, echo)) in &self.said {
            assert!(self.accepted.contains(&number), "{number} was never answered");
            for (at, client) in self.clients.iter().enumerate() {
                let is_its_own = at == from;
                let is_meant = match to {
                    For::Group => true,
                    // The sender's other client has a copy.
                    For::User(user) => {
                        client.user == user || self.clients[from].user == client.user
                    }
                };
                let wanted = usize::from(is_meant && (!is_its_own || echo));
                let came = client.heard.iter().filter(|heard| heard.number == number).count();
                assert_eq!(came, wanted, "{number} of {from} at {at}, echo {echo}");
            }
        }
        for (at, client) in self.clients.iter().enumerate() {
            let numbers: BTreeSet<u64> = client.heard.iter().map(|heard| heard.number).collect();
            assert_eq!(numbers.len(), client.heard.len(), "nothing comes twice to {at}");
            for from in 0..self.clients.len() {
                let its = client.heard.iter().filter(|heard| heard.from == Some(from));
                assert!(its.is_sorted_by_key(|heard| heard.number), "{from} at {at}");
            }
        }
    }
}
