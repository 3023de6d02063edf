//! The judge: what is true, what clients were told, and whether the two agree.
//!
//! ```text
//!   durable notes -> Reference: whose logs should this frame be in, by the rules? -> truth
//!   seen by clients -> marks: up to where does this client believe to have everything?
//!
//!   mark 41 ----- processed 58        is there anything for this client between? then it is lost,
//!           gap (41, 57]              unless a gap covered it
//! ```
//!
//! This module does not know how the server works.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use super::client::{Item, Seen, Wish};
use super::disk::{Note, Tables};
use crate::relay::log::Entry;

/// Everything that is rolled back with a restored copy.
#[derive(Clone, Debug, Default)]
pub struct Lineage {
    /// Who has which message in the log, now or before.
    alive: HashSet<(String, u64)>,
    /// The newest id of each client in each log.
    newest: HashMap<(String, String), u64>,
    reference: Reference,
}

/// The rules, as small as can be: who should get what.
#[derive(Clone, Debug, Default)]
struct Reference {
    clients: BTreeMap<String, BTreeMap<String, u64>>,
    members: BTreeMap<usize, BTreeSet<String>>,
    /// What was noted since the last frame.
    appended: Vec<(String, u64)>,
    discarded: BTreeMap<String, u64>,
}

#[derive(Debug)]
struct Sent {
    wish: Wish,
    /// What was decided, in any lineage.
    accepted: bool,
    refused: bool,
}

#[derive(Debug, Default)]
pub struct Judge {
    sent: HashMap<u64, Sent>,
    tokens: HashMap<(String, u64), u64>,
    /// Logs by epoch and user.
    logs: HashMap<(String, String), BTreeMap<u64, Entry>>,
    /// What never had room in a log: by seq, with its sender.
    missed: HashMap<(String, String), BTreeMap<u64, (String, String)>>,
    lineage: Lineage,
    /// Frames whose results the server has honestly forgotten.
    amnesty: HashSet<u64>,
    marks: HashMap<String, (String, u64)>,
    processed: Vec<(String, String, u64, u64)>,
    settled: Vec<(u64, bool)>,
    /// Below which ids each client has all answers, as far as a server has heard.
    settled_below: HashMap<String, u64>,
    /// The first answer that says that ids are missing.
    hole: Option<String>,
    epoch: String,
    pub wrong: Option<String>,
    pub deliveries: u64,
    pub gaps: u64,
    pub resumed: u64,
    pub again: u64,
    pub retries: u64,
    pub full: u64,
}

impl Judge {
    pub fn complain(&mut self, text: String) {
        self.wrong.get_or_insert(text);
    }

    pub fn snapshot(&self) -> Lineage {
        self.lineage.clone()
    }

    /// A new epoch begins with what is in the tables.
    pub fn begin(&mut self, epoch: &str, tables: &Tables, lineage: Lineage) {
        epoch.clone_into(&mut self.epoch);
        self.lineage = lineage;
        for (user, record) in &tables.users {
            let log = record.entries.iter().map(|entry| (entry.seq().0, entry.clone()));
            self.logs.insert((self.epoch.clone(), user.to_string()), log.collect());
        }
    }

    /// A client sends a frame.
    pub fn sent(&mut self, client: &str, item: &Item) {
        let id = item.id.unwrap_or_default();
        self.tokens.insert((client.to_owned(), id), item.token);
        let sent = Sent { wish: item.wish.clone(), accepted: false, refused: false };
        self.sent.entry(item.token).or_insert(sent);
    }

    /// A hello has arrived.
    pub fn heard_next(&mut self, client: &str, next: u64) {
        let settled = self.settled_below.entry(client.to_owned()).or_default();
        *settled = next.max(*settled);
    }

    /// Something has become durable.
    pub fn applied(&mut self, note: &Note) {
        match note {
            Note::Append(user, entry) => self.appended(user, entry),
            Note::Client(user, client, numbers, _) => {
                let is_refused = numbers.refused_bits() & 1 == 1;
                self.frame(user, client, numbers.last(), is_refused);
            }
            Note::Create(user, _) => {
                self.lineage.reference.clients.insert(user.to_string(), BTreeMap::new());
            }
            Note::Discard(user, dropped) => {
                self.lineage.reference.discarded.insert(user.to_string(), dropped.0);
            }
            Note::ForgetClient(user, client) => {
                let clients = self.lineage.reference.clients.get_mut(&**user);
                clients.map(|clients| clients.remove(&**client));
            }
            Note::Remove(user) => self.lineage.reference.remove(user),
            Note::Server(_) => {
                let left = std::mem::take(&mut self.lineage.reference.appended);
                if !left.is_empty() {
                    self.complain(format!("appended for no frame: {left:?}"));
                }
            }
            Note::Acknowledge(..)
            | Note::Answer(..)
            | Note::ForgetAnswer(_)
            | Note::Join(..)
            | Note::Leave(..)
            | Note::Seen(..) => {}
        }
    }

    fn appended(&mut self, user: &str, entry: &Entry) {
        let token = token_of(entry);
        let seq = entry.seq().0;
        let log = self.logs.entry((self.epoch.clone(), user.to_owned())).or_default();
        if log.last_key_value().is_some_and(|(last, _)| *last >= seq) {
            self.wrong.get_or_insert(format!("seq {seq} of {user} issued again"));
        }
        log.insert(seq, entry.clone());
        let has_amnesty = self.amnesty.contains(&token);
        if !self.lineage.alive.insert((user.to_owned(), token)) && !has_amnesty {
            self.wrong.get_or_insert(format!("{token} applied twice for {user}"));
        }
        let key = (user.to_owned(), entry.client().to_owned());
        let newest = self.lineage.newest.entry(key).or_default();
        if *newest >= entry.id() && !has_amnesty {
            self.wrong.get_or_insert(format!("{token} behind a later one of its sender"));
        }
        *newest = (*newest).max(entry.id());
        self.lineage.reference.appended.push((user.to_owned(), token));
    }

    /// The server has decided a frame, or learned that it was decided.
    fn frame(&mut self, user: &str, client: &str, last: u64, is_refused: bool) {
        let reference = &mut self.lineage.reference;
        let appended = std::mem::take(&mut reference.appended);
        let discarded = std::mem::take(&mut reference.discarded);
        let before = reference.clients.entry(user.to_owned()).or_default();
        let before = before.insert(client.to_owned(), last);
        let token = self.tokens.get(&(client.to_owned(), last)).copied();
        let sent = token.and_then(|token| self.sent.get_mut(&token).map(|sent| (token, sent)));
        // A hello may have raised `last` up to what the client has an answer to.
        let settled = self.settled_below.get(client).copied().unwrap_or(0);
        let decided = sent.filter(|_| before == Some(last - 1) && last >= settled);
        let Some((token, sent)) = decided else {
            if !appended.is_empty() {
                self.complain(format!("{client}:{last} has no turn, but did {appended:?}"));
            }
            return;
        };
        sent.refused |= is_refused;
        sent.accepted |= !is_refused;
        let expected = reference.decide(user, client, &sent.wish, is_refused);
        let Some(expected) = expected else {
            return self.complain(format!("{client}:{last} accepted against the rules"));
        };
        let is_there = |user: &String| appended.contains(&(user.clone(), token));
        let is_missing = |user: &&String| !is_there(user) && !discarded.contains_key(*user);
        let missing: Vec<&String> = expected.iter().filter(is_missing).collect();
        let is_extra = |(user, other): &&(String, u64)| *other != token || !expected.contains(user);
        let extra: Vec<&(String, u64)> = appended.iter().filter(is_extra).collect();
        for missed in expected.iter().filter(|user| !is_there(user)) {
            // It came and went at once: as good as an entry that was pushed out.
            let log = self.missed.entry((self.epoch.clone(), missed.clone())).or_default();
            let seq = discarded.get(missed).copied().unwrap_or_default();
            log.insert(seq, (user.to_owned(), client.to_owned()));
        }
        if !missing.is_empty() || !extra.is_empty() {
            self.complain(format!("{client}:{last}: not in {missing:?}, wrongly in {extra:?}"));
        }
    }

    /// A client saw something.
    pub fn saw(&mut self, user: &str, client: &str, seen: Seen) {
        match seen {
            Seen::Forgotten(tokens) => self.amnesty.extend(tokens),
            Seen::Gap { after, until } => {
                self.gaps += 1;
                self.covered(user, client, after, until);
            }
            Seen::Hole(text) => {
                self.hole.get_or_insert(format!("{client} was told of a hole: {text}"));
            }
            Seen::Resumed => self.resumed += 1,
            Seen::Again => self.again += 1,
            Seen::Processed { epoch, seq, token } => {
                self.deliveries += 1;
                self.moved(user, client, seq);
                self.marks.insert(client.to_owned(), (epoch.clone(), seq));
                self.processed.push((user.to_owned(), epoch, seq, token));
            }
            Seen::Retry => self.retries += 1,
            Seen::Full => self.full += 1,
            Seen::Settled { token, accepted } => {
                self.settled.push((token, accepted));
            }
            Seen::Welcome { epoch, seq, had_position, gap } => {
                self.welcome(user, client, epoch, seq, had_position, gap);
            }
            Seen::Wrong(text) => self.complain(format!("{client}: {text}")),
        }
    }

    fn welcome(
        &mut self,
        user: &str,
        client: &str,
        epoch: String,
        seq: u64,
        had_position: bool,
        gap: Option<(u64, u64)>,
    ) {
        let mark = self.marks.get(client).cloned().filter(|_| had_position);
        let Some((marked, at)) = mark else {
            self.marks.insert(client.to_owned(), (epoch, seq));
            return;
        };
        if gap.is_some() {
            self.gaps += 1;
            self.marks.insert(client.to_owned(), (epoch, seq));
        } else if marked != epoch {
            // Nothing was announced: so nothing may be missing, in the old epoch or the new.
            self.nothing_between(user, client, &marked, at, u64::MAX);
            self.marks.insert(client.to_owned(), (epoch, 0));
        }
        // Otherwise the client goes on from its mark, whatever position it was given.
    }

    /// A gap was announced: nothing more can be missed up to its end.
    fn covered(&mut self, user: &str, client: &str, after: u64, until: u64) {
        self.moved(user, client, after + 1);
        if let Some((_, at)) = self.marks.get_mut(client) {
            *at = until.max(*at);
        }
    }

    /// A client goes on from `seq`: it has whatever is below.
    fn moved(&mut self, user: &str, client: &str, seq: u64) {
        let Some((epoch, at)) = self.marks.get(client).cloned() else {
            return self.complain(format!("{client} got {seq} before a welcome"));
        };
        self.nothing_between(user, client, &epoch, at, seq);
    }

    fn nothing_between(&mut self, user: &str, client: &str, epoch: &str, above: u64, below: u64) {
        let key = (epoch.to_owned(), user.to_owned());
        let is_own = |sender: &(String, String)| sender.0 == user && sender.1 == client;
        let missed = self.missed.get(&key).into_iter().flatten();
        let missed =
            missed.filter(|(seq, sender)| **seq > above && **seq < below && !is_own(sender));
        if let Some((seq, _)) = missed.clone().next() {
            let text = format!("{client} lost {seq} of {epoch}, which had no room");
            self.wrong.get_or_insert(text);
        }
        let mut entries = self.logs.get(&key).into_iter().flatten();
        let lost = entries
            .find(|(seq, entry)| **seq > above && **seq < below && !entry.is_own(user, client));
        if let Some((seq, entry)) = lost {
            let text = format!("{client} lost {seq} ({}) of {epoch}", entry.content());
            self.complain(text);
        }
    }

    /// Everything has come to rest.
    pub fn rest(&mut self) {
        // R4: one retry per refusal, so nobody who keeps the rules is told of a hole.
        if let Some(hole) = self.hole.take() {
            self.complain(hole);
        }
        let marks: Vec<_> = self.marks.clone().into_iter().collect();
        for (client, (epoch, at)) in marks {
            let user = user_of(&client);
            if epoch != self.epoch {
                self.complain(format!("{client} is still in {epoch}"));
            }
            self.nothing_between(&user, &client, &epoch, at, u64::MAX);
        }
        for (user, epoch, seq, token) in std::mem::take(&mut self.processed) {
            let log = self.logs.get(&(epoch.clone(), user.clone()));
            let entry = log.and_then(|log| log.get(&seq));
            if entry.map(token_of) != Some(token) {
                self.complain(format!("{user} processed {seq} ({token}) of {epoch}: never was"));
            }
        }
        for (token, accepted) in std::mem::take(&mut self.settled) {
            let is_true = self
                .sent
                .get(&token)
                .is_some_and(|sent| (accepted && sent.accepted) || (!accepted && sent.refused));
            if !is_true {
                self.complain(format!("{token} was settled as {accepted}, which is not true"));
            }
        }
    }
}

impl Reference {
    /// Whose logs a frame goes to; `None` if it should have been refused.
    fn decide(
        &mut self,
        user: &str,
        client: &str,
        wish: &Wish,
        is_refused: bool,
    ) -> Option<BTreeSet<String>> {
        let mut logs = BTreeSet::new();
        if is_refused {
            return Some(logs);
        }
        let others = self.clients.get(user).into_iter().flatten();
        let has_others = others.filter(|(name, _)| *name != client).count() > 0;
        match wish {
            Wish::Direct { to, echo, live: false } => {
                let to = format!("u{to}");
                if self.clients.contains_key(&to) {
                    logs.insert(to);
                    if has_others || *echo {
                        logs.insert(user.to_owned());
                    }
                }
            }
            Wish::Group { group, echo } => {
                let members = self.members.get(group).filter(|members| members.contains(user))?;
                logs.extend(members.iter().cloned());
                if !has_others && !echo {
                    logs.remove(user);
                }
            }
            Wish::Join(group) => {
                self.members.entry(*group).or_default().insert(user.to_owned());
            }
            Wish::Leave(group) => {
                self.members.entry(*group).or_default().remove(user);
            }
            Wish::Direct { live: true, .. } | Wish::Ping => {}
        }
        Some(logs)
    }

    fn remove(&mut self, user: &str) {
        self.clients.remove(user);
        for members in self.members.values_mut() {
            members.remove(user);
        }
    }
}

/// `u3c1` is a client of `u3`.
fn user_of(client: &str) -> String {
    client.split('c').next().unwrap_or_default().to_owned()
}

fn token_of(entry: &Entry) -> u64 {
    entry.content().parse().unwrap_or(u64::MAX)
}
