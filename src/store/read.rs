//! Reading: from tables to records, and what is wrong with the tables.
//!
//! ```text
//!   users "alice" ----> log ("alice", 57) ("alice", 59) ----> entries 57, 59
//!                                                                  59 again for bob: the same
//!   left over: an entry in no log, a log of nobody, a count that is not so   = damage
//! ```
//!
//! Pages are checked by redb, with checksums, when a file is opened. What is looked at here is
//! whether the rows agree with each other, which a mistake of ours would break, or somebody who
//! wrote into the file.
//!
//! This module does not know what is done about damage.

use std::collections::{HashMap, HashSet};
use std::fmt;
use std::rc::Rc;

use foldhash::quality::RandomState;
use redb::{ReadOnlyTable, ReadTransaction, ReadableTable, ReadableTableMetadata};

use super::row::{ClientRow, UserRow, read_answer};
use super::tables::{
    ANSWERS, CLIENTS, COUNTER, ENTRIES, FLOOR, GROUPS, HOLDERS, LOG, NUMBERS, STAMP, USERS,
};
use crate::relay::log::{Entry, Seq, ServerState, Stamp, StoredAnswer};

/// What is kept about one user.
#[derive(Clone, Debug)]
pub(super) struct Found<E> {
    pub row: UserRow,
    pub entries: Vec<E>,
    pub clients: Vec<(String, ClientRow)>,
    pub groups: Vec<String>,
}

/// How much there is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Users with a record.
    pub users: u64,
    /// Clients of theirs.
    pub clients: u64,
    /// Memberships in groups.
    pub memberships: u64,
    /// Groups that have a member.
    pub groups: u64,
    /// Messages.
    pub entries: u64,
    /// Places in logs: a message to a group has several.
    pub places: u64,
    /// Bytes of the messages, each once.
    pub bytes: u64,
    /// Answers to requests of backends.
    pub answers: u64,
    /// When the oldest message was taken in.
    pub oldest: Option<Stamp>,
    /// The newest message.
    pub newest: Option<Seq>,
}

/// Something that no server of ours has written like this.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Problem {
    /// A seq is above the newest one that was issued.
    AboveCounter {
        /// The seq.
        seq: Seq,
        /// The newest one that was issued, as the file says.
        counter: Seq,
    },
    /// A message is in a log though it was discarded there.
    Discarded {
        /// Whose log.
        user: String,
        /// Which message.
        seq: Seq,
    },
    /// A message is in another number of logs than is written down.
    Miscounted {
        /// Which message.
        seq: Seq,
        /// As it is written down.
        says: u64,
        /// As it is.
        found: u64,
    },
    /// A log names a message that is not there.
    Missing {
        /// Whose log.
        user: String,
        /// Which message.
        seq: Seq,
    },
    /// A message is in no log.
    Orphan {
        /// Which message.
        seq: Seq,
    },
    /// There are rows about a user who has no record.
    Stray {
        /// In which table.
        table: &'static str,
        /// About whom.
        user: String,
    },
    /// The answer to a request of a backend cannot be read.
    UnreadableAnswer {
        /// What the request is known by.
        request: String,
    },
    /// A message cannot be read.
    Unreadable {
        /// Which message.
        seq: Seq,
    },
    /// A batch in the journal cannot be read, and so what came behind it cannot be used.
    UnreadableBatch {
        /// Its number.
        number: u64,
    },
}

/// What is wrong: the first ones in words, and how many there are.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Problems {
    /// The first ones.
    pub first: Vec<Problem>,
    /// How many there are in all.
    pub count: u64,
}

/// The tables of one moment.
pub(super) struct Reader<E> {
    users: ReadOnlyTable<&'static str, UserRow>,
    clients: ReadOnlyTable<(&'static str, &'static str), ClientRow>,
    groups: ReadOnlyTable<(&'static str, &'static str), u64>,
    log: ReadOnlyTable<(&'static str, u64), ()>,
    entries: ReadOnlyTable<u64, &'static [u8]>,
    holders: ReadOnlyTable<u64, u64>,
    answers: ReadOnlyTable<&'static str, &'static [u8]>,
    /// Entries that are in several logs, and in how many they were met.
    shared: HashMap<u64, (E, u64), RandomState>,
    /// Entries that are in one.
    single: HashSet<u64, RandomState>,
    /// Entries that are no entries.
    unreadable: HashSet<u64, RandomState>,
    group_names: HashSet<String, RandomState>,
    server: ServerState,
    pub tally: Tally,
    pub problems: Problems,
}

/// What is kept of an entry when it is read: all, or what is needed.
pub(super) trait Kept: Clone {
    /// Reads it; `None` if these bytes are no entry.
    fn read(bytes: &[u8]) -> Option<(Self, Head)>;
}

impl Kept for Entry {
    fn read(bytes: &[u8]) -> Option<(Entry, Head)> {
        let entry = Entry::from_bytes(Rc::from(bytes))?;
        let head = Head { seq: entry.seq(), at: entry.at() };
        Some((entry, head))
    }
}

/// Nothing but what was asked.
impl Kept for Head {
    fn read(bytes: &[u8]) -> Option<(Head, Head)> {
        let (_, head) = <Entry as Kept>::read(bytes)?;
        Some((head, head))
    }
}

/// What is asked about an entry here.
#[derive(Clone, Copy, Debug)]
pub(super) struct Head {
    pub seq: Seq,
    pub at: Stamp,
}

impl<E: Kept> Reader<E> {
    /// Opens the tables of a moment.
    pub fn new(txn: &ReadTransaction) -> Result<Reader<E>, redb::Error> {
        let numbers = txn.open_table(NUMBERS)?;
        let number = |name| -> Result<u64, redb::Error> {
            Ok(numbers.get(name)?.map_or(0, |number| number.value()))
        };
        let (counter, floor) = (Seq(number(COUNTER)?), Seq(number(FLOOR)?));
        let server = ServerState { counter, floor, stamp: Stamp(number(STAMP)?) };
        Ok(Reader {
            users: txn.open_table(USERS)?,
            clients: txn.open_table(CLIENTS)?,
            groups: txn.open_table(GROUPS)?,
            log: txn.open_table(LOG)?,
            entries: txn.open_table(ENTRIES)?,
            holders: txn.open_table(HOLDERS)?,
            answers: txn.open_table(ANSWERS)?,
            shared: HashMap::default(),
            single: HashSet::default(),
            unreadable: HashSet::default(),
            group_names: HashSet::default(),
            server,
            tally: Tally::default(),
            problems: Problems::default(),
        })
    }

    /// The server's own numbers.
    pub fn server(&self) -> ServerState {
        self.server
    }

    /// What is kept about one user.
    pub fn user(&mut self, name: &str) -> Result<Option<Found<E>>, redb::Error> {
        let Some(row) = self.users.get(name)?.map(|row| row.value()) else { return Ok(None) };
        self.found(name, row).map(Some)
    }

    /// Goes through everything, user by user, and then looks for what was not met on the way.
    /// `each` is given every user.
    pub fn everybody(&mut self, mut each: impl FnMut(&str, Found<E>)) -> Result<(), redb::Error> {
        // The iterator holds on to its table by itself.
        let users = self.users.range::<&str>(..)?;
        for user in users {
            let (name, row) = user?;
            let found = self.found(name.value(), row.value())?;
            self.tally.users += 1;
            each(name.value(), found);
        }
        self.below_counter(self.server.floor);
        self.tally.groups = self.group_names.len() as u64;
        self.strays()?;
        self.counts()
    }

    /// Goes through the answers to requests of backends.
    pub fn answers(&mut self, mut each: impl FnMut(&str, StoredAnswer)) -> Result<(), redb::Error> {
        for answer in self.answers.range::<&str>(..)? {
            let (request, row) = answer?;
            let request = request.value();
            match read_answer(row.value()) {
                Some(answer) => {
                    self.tally.answers += 1;
                    each(request, answer);
                }
                None => {
                    let request = request.to_owned();
                    self.problems.add(Problem::UnreadableAnswer { request });
                }
            }
        }
        Ok(())
    }

    fn found(&mut self, name: &str, row: UserRow) -> Result<Found<E>, redb::Error> {
        let mut found = Found { row, entries: Vec::new(), clients: vec![], groups: vec![] };
        for seq in [row.dropped, row.acked] {
            self.below_counter(seq);
        }
        let log = self.log.range((name, 0)..=(name, u64::MAX))?;
        for place in log {
            let seq = place?.0.value().1;
            self.tally.places += 1;
            if seq <= row.dropped.0 {
                self.problems.add(Problem::Discarded { user: name.to_owned(), seq: Seq(seq) });
            }
            found.entries.extend(self.entry(name, seq)?);
        }
        // No text is between a name and the same with a zero behind it.
        let beyond = format!("{name}\0");
        for client in self.clients.range((name, "")..(&*beyond, ""))? {
            let (key, row) = client?;
            self.tally.clients += 1;
            found.clients.push((key.value().1.to_owned(), row.value()));
        }
        let groups = self.groups.range((name, "")..(&*beyond, ""))?;
        for group in groups {
            let (key, since) = group?;
            self.below_counter(Seq(since.value()));
            self.tally.memberships += 1;
            let group = key.value().1;
            if !self.group_names.contains(group) {
                self.group_names.insert(group.to_owned());
            }
            found.groups.push(group.to_owned());
        }
        Ok(found)
    }

    /// The entry at a place in somebody's log.
    fn entry(&mut self, user: &str, seq: u64) -> Result<Option<E>, redb::Error> {
        if let Some((entry, met)) = self.shared.get_mut(&seq) {
            *met += 1;
            return Ok(Some(entry.clone()));
        }
        let Some(bytes) = self.entries.get(seq)? else {
            self.problems.add(Problem::Missing { user: user.to_owned(), seq: Seq(seq) });
            return Ok(None);
        };
        let made = E::read(bytes.value()).filter(|(_, head)| head.seq.0 == seq);
        let Some((entry, head)) = made else {
            if self.unreadable.insert(seq) {
                self.problems.add(Problem::Unreadable { seq: Seq(seq) });
            }
            return Ok(None);
        };
        self.below_counter(Seq(seq));
        if self.holders.get(seq)?.is_some() {
            self.shared.insert(seq, (entry.clone(), 1));
        } else if !self.single.insert(seq) {
            let problem = Problem::Miscounted { seq: Seq(seq), says: 1, found: 2 };
            self.problems.add(problem);
            return Ok(Some(entry));
        }
        let tally = &mut self.tally;
        tally.entries += 1;
        tally.bytes += bytes.value().len() as u64;
        tally.oldest = Some(tally.oldest.map_or(head.at, |oldest| oldest.min(head.at)));
        tally.newest = tally.newest.max(Some(head.seq));
        Ok(Some(entry))
    }

    fn below_counter(&mut self, seq: Seq) {
        let counter = self.server.counter;
        if seq > counter {
            self.problems.add(Problem::AboveCounter { seq, counter });
        }
    }

    /// Rows about users who have no record. They are looked for only if there are more rows than
    /// were met.
    fn strays(&mut self) -> Result<(), redb::Error> {
        let mut strays: Vec<(&'static str, String)> = Vec::new();
        let mut note = |table: &'static str, user: &str| {
            if strays.last().is_none_or(|(last, name)| *last != table || name != user) {
                strays.push((table, user.to_owned()));
            }
        };
        if self.log.len()? != self.tally.places {
            for place in self.log.iter()? {
                note("log", place?.0.value().0);
            }
        }
        if self.clients.len()? != self.tally.clients {
            for client in self.clients.iter()? {
                note("clients", client?.0.value().0);
            }
        }
        if self.groups.len()? != self.tally.memberships {
            for group in self.groups.iter()? {
                note("groups", group?.0.value().0);
            }
        }
        for (table, user) in strays {
            if self.users.get(&*user)?.is_none() {
                self.problems.add(Problem::Stray { table, user });
            }
        }
        Ok(())
    }

    /// Whether the counts are right, and whether every entry is in a log.
    fn counts(&mut self) -> Result<(), redb::Error> {
        for holder in self.holders.iter()? {
            let (seq, says) = holder?;
            let (seq, says) = (seq.value(), says.value());
            let found = self.shared.get(&seq).map_or(0, |(_, met)| *met);
            if (found != says || says < 2) && !self.unreadable.contains(&seq) {
                self.problems.add(Problem::Miscounted { seq: Seq(seq), says, found });
            }
        }
        if self.entries.len()? == self.tally.entries {
            return Ok(());
        }
        for entry in self.entries.iter()? {
            let seq = entry?.0.value();
            let is_met = self.single.contains(&seq)
                || self.shared.contains_key(&seq)
                || self.unreadable.contains(&seq);
            if !is_met {
                self.problems.add(Problem::Orphan { seq: Seq(seq) });
            }
        }
        Ok(())
    }
}

impl Problems {
    /// Adds others behind these.
    pub(super) fn append(&mut self, others: Problems) {
        let left = SHOWN_MAX.saturating_sub(self.first.len());
        self.count += others.count;
        self.first.extend(others.first.into_iter().take(left));
    }

    pub(super) fn add(&mut self, problem: Problem) {
        self.count += 1;
        if self.first.len() < SHOWN_MAX {
            self.first.push(problem);
        }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Problem::AboveCounter { seq, counter } => {
                write!(out, "seq {seq} is above {counter}, the newest that was issued")
            }
            Problem::Discarded { user, seq } => {
                write!(out, "message {seq} is in the log of {user:?} though it was discarded there")
            }
            Problem::Miscounted { seq, says, found } => {
                write!(out, "message {seq} is counted in {says} logs and is in {found}")
            }
            Problem::Missing { user, seq } => {
                write!(out, "the log of {user:?} names message {seq}, which is not there")
            }
            Problem::Orphan { seq } => write!(out, "message {seq} is in no log"),
            Problem::Stray { table, user } => {
                write!(out, "table {table} has rows of {user:?}, who has no record")
            }
            Problem::UnreadableAnswer { request } => {
                write!(out, "the answer to the request {request:?} cannot be read")
            }
            Problem::Unreadable { seq } => write!(out, "message {seq} cannot be read"),
            Problem::UnreadableBatch { number } => {
                write!(out, "batch {number} of the journal cannot be read")
            }
        }
    }
}

/// How many problems are kept in words.
const SHOWN_MAX: usize = 1_000;
