//! Tables: what the file has in it, and what each change does to it.
//!
//! ```text
//!   numbers   "counter" -> 60   "floor" -> 12   "stamp" -> …   "format" -> 1   …
//!   texts     "epoch" -> 9f…    "run" -> commit
//!   users     "alice" -> dropped 56, acked 57, seen …
//!   clients   ("alice", "d001") -> last 16, refused 0b101, …
//!   groups    ("alice", "room1") -> since 31
//!   log       ("alice", 57)  ("alice", 59)  ("bob", 59)
//!   entries   57 -> bytes    59 -> bytes                    once, whoever has it
//!   holders   59 -> 2                                       only of those that several have
//!   answers   "7f3a /v1/messages billing" -> at, 202, {"seq":58,…}      to requests of backends
//!   journal   17 -> changes   18 -> changes       batches that are not in the tables above yet
//! ```
//!
//! A message is written once, at the end of `entries`, and named in the log of everybody who gets
//! it. The last log that lets go of it takes it along.
//!
//! Rows of users and clients change with nearly every message, so they are read once and written
//! once, in their order, whatever happens to them in between.
//!
//! This module does not know when something is committed, nor what damaged tables look like.

use std::collections::{BTreeMap, HashMap};

use foldhash::quality::RandomState;
use redb::{ReadableTable, StorageError, Table, TableDefinition, TableError, WriteTransaction};

use super::op::{Occurrence, Op};
use super::row::{ClientRow, UserRow};
use crate::relay::log::{Seq, ServerState};

pub(super) const NUMBERS: TableDefinition<&str, u64> = TableDefinition::new("numbers");
pub(super) const TEXTS: TableDefinition<&str, &str> = TableDefinition::new("texts");
pub(super) const USERS: TableDefinition<&str, UserRow> = TableDefinition::new("users");
pub(super) const CLIENTS: TableDefinition<(&str, &str), ClientRow> =
    TableDefinition::new("clients");
pub(super) const GROUPS: TableDefinition<(&str, &str), u64> = TableDefinition::new("groups");
pub(super) const LOG: TableDefinition<(&str, u64), ()> = TableDefinition::new("log");
pub(super) const ENTRIES: TableDefinition<u64, &[u8]> = TableDefinition::new("entries");
pub(super) const HOLDERS: TableDefinition<u64, u64> = TableDefinition::new("holders");
pub(super) const JOURNAL: TableDefinition<u64, &[u8]> = TableDefinition::new("journal");
pub(super) const ANSWERS: TableDefinition<&str, &[u8]> = TableDefinition::new("answers");

/// In `numbers`: the newest seq that was issued.
pub(super) const COUNTER: &str = "counter";
/// In `numbers`: the highest seq that a removed record knew of.
pub(super) const FLOOR: &str = "floor";
/// In `numbers`: the last batch that was taken out of the journal.
pub(super) const JOURNALED: &str = "journaled";
/// In `numbers`: the newest moment that was written.
pub(super) const STAMP: &str = "stamp";

/// The tables, open to be changed.
pub(super) struct Tables<'txn> {
    pub numbers: Table<'txn, &'static str, u64>,
    pub users: Table<'txn, &'static str, UserRow>,
    pub clients: Table<'txn, (&'static str, &'static str), ClientRow>,
    pub groups: Table<'txn, (&'static str, &'static str), u64>,
    pub log: Table<'txn, (&'static str, u64), ()>,
    pub entries: Table<'txn, u64, &'static [u8]>,
    pub holders: Table<'txn, u64, u64>,
    pub answers: Table<'txn, &'static str, &'static [u8]>,
    /// Users whose rows were looked at.
    known: HashMap<String, Known, RandomState>,
    /// The entry that is being appended to log after log, and to how many it was.
    run: Option<(Seq, u64)>,
    server: Option<ServerState>,
}

/// What is to be in the tables about a user.
#[derive(Debug, Default)]
struct Known {
    /// `None` for somebody without a record.
    row: Option<UserRow>,
    is_changed: bool,
    /// The clients about which something changed; `None` for one that is gone.
    clients: BTreeMap<String, Option<ClientRow>>,
}

impl<'txn> Tables<'txn> {
    /// Opens the tables, which come into being by that.
    pub fn open(txn: &'txn WriteTransaction) -> Result<Tables<'txn>, TableError> {
        Ok(Tables {
            numbers: txn.open_table(NUMBERS)?,
            users: txn.open_table(USERS)?,
            clients: txn.open_table(CLIENTS)?,
            groups: txn.open_table(GROUPS)?,
            log: txn.open_table(LOG)?,
            entries: txn.open_table(ENTRIES)?,
            holders: txn.open_table(HOLDERS)?,
            answers: txn.open_table(ANSWERS)?,
            known: HashMap::default(),
            run: None,
            server: None,
        })
    }

    /// Carries out a change.
    pub fn apply(&mut self, op: Op<'_>) -> Result<(), StorageError> {
        match op {
            Op::Server(server) => self.server = Some(server),
            Op::Create { user, dropped } => self.create(user, dropped)?,
            Op::Remove { user } => self.remove(user)?,
            Op::Acknowledge { user, acked } => self.change(user, |row| row.acked = acked)?,
            Op::Seen { user, at } => self.change(user, |row| row.seen = at)?,
            Op::Discard { user, dropped } => self.discard(user, dropped)?,
            Op::Append { user, seq, entry, copy } => self.append(user, seq, entry, copy)?,
            Op::Client { user, client, row } => {
                let known = self.known(user)?;
                if known.row.is_some() {
                    known.set_client(client, Some(row));
                }
            }
            Op::ForgetClient { user, client } => self.known(user)?.set_client(client, None),
            Op::Answer { request, row } => drop(self.answers.insert(request, row)?),
            Op::ForgetAnswer { request } => drop(self.answers.remove(request)?),
            Op::Join { user, group, seq } => {
                if self.has(user)? {
                    self.groups.insert((user, group), seq.0)?;
                }
            }
            Op::Leave { user, group } => drop(self.groups.remove((user, group))?),
        }
        Ok(())
    }

    /// Writes down what was put off. To be called behind the last change.
    pub fn finish(mut self) -> Result<(), StorageError> {
        self.end_run()?;
        self.settle_users()?;
        // Only the last one counts.
        if let Some(ServerState { counter, floor, stamp }) = self.server {
            for (name, number) in [(COUNTER, counter.0), (FLOOR, floor.0), (STAMP, stamp.0)] {
                self.numbers.insert(name, number)?;
            }
        }
        Ok(())
    }

    /// Whether a user has a record. What is said about anybody else has no effect.
    fn has(&mut self, user: &str) -> Result<bool, StorageError> {
        Ok(self.known(user)?.row.is_some())
    }

    fn known(&mut self, user: &str) -> Result<&mut Known, StorageError> {
        if !self.known.contains_key(user) {
            let row = self.users.get(user)?.map(|row| row.value());
            self.known.insert(user.to_owned(), Known { row, ..Known::default() });
        }
        Ok(self.known.get_mut(user).expect("invariant: it is there, or was put there just now"))
    }

    fn change(
        &mut self,
        user: &str,
        change: impl FnOnce(&mut UserRow),
    ) -> Result<(), StorageError> {
        let known = self.known(user)?;
        if let Some(row) = &mut known.row {
            change(row);
            known.is_changed = true;
        }
        Ok(())
    }

    fn create(&mut self, user: &str, dropped: Seq) -> Result<(), StorageError> {
        self.remove(user)?;
        let known = self.known(user)?;
        known.row = Some(UserRow { dropped, ..UserRow::default() });
        known.is_changed = true;
        Ok(())
    }

    fn remove(&mut self, user: &str) -> Result<(), StorageError> {
        let known = self.known(user)?;
        if known.row.take().is_none() {
            return Ok(());
        }
        known.is_changed = true;
        known.clients.clear();
        self.release(user, u64::MAX)?;
        // No text is between a name and the same with a zero behind it.
        let beyond = format!("{user}\0");
        self.clients.retain_in((user, "")..(&*beyond, ""), |_, _| false)?;
        self.groups.retain_in((user, "")..(&*beyond, ""), |_, _| false)
    }

    fn discard(&mut self, user: &str, dropped: Seq) -> Result<(), StorageError> {
        if self.has(user)? {
            self.change(user, |row| row.dropped = dropped)?;
            self.release(user, dropped.0)?;
        }
        Ok(())
    }

    fn append(
        &mut self,
        user: &str,
        seq: Seq,
        bytes: &[u8],
        copy: Occurrence,
    ) -> Result<(), StorageError> {
        if !self.has(user)? || self.log.insert((user, seq.0), ())?.is_some() {
            return Ok(());
        }
        if let Some((run, held)) = &mut self.run
            && *run == seq
        {
            *held += 1;
            return Ok(());
        }
        self.end_run()?;
        // In the same batch it may have been here before, for somebody without a record.
        let is_new = copy == Occurrence::First || self.entries.get(seq.0)?.is_none();
        let held = if is_new && self.entries.insert(seq.0, bytes)?.is_none() {
            0
        } else {
            self.holders.get(seq.0)?.map_or(1, |count| count.value())
        };
        self.run = Some((seq, held + 1));
        Ok(())
    }

    /// Writes down in how many logs the last entry is.
    fn end_run(&mut self) -> Result<(), StorageError> {
        if let Some((seq, held)) = self.run.take()
            && held > 1
        {
            self.holders.insert(seq.0, held)?;
        }
        Ok(())
    }

    /// Writes down what is to be known of users and clients: in their order, so that every page is
    /// looked for once.
    fn settle_users(&mut self) -> Result<(), StorageError> {
        let mut known: Vec<(String, Known)> = self.known.drain().collect();
        known.sort_unstable_by(|(a, _), (b, _)| a.cmp(b));
        for (user, Known { row, is_changed, .. }) in &known {
            match row {
                Some(row) if *is_changed => drop(self.users.insert(&**user, row)?),
                None if *is_changed => drop(self.users.remove(&**user)?),
                _ => {}
            }
        }
        for (user, Known { clients, .. }) in &known {
            for (client, row) in clients {
                match row {
                    Some(row) => drop(self.clients.insert((&**user, &**client), row)?),
                    None => drop(self.clients.remove((&**user, &**client))?),
                }
            }
        }
        Ok(())
    }

    /// Takes everything up to `until` out of a user's log.
    fn release(&mut self, user: &str, until: u64) -> Result<(), StorageError> {
        self.end_run()?;
        let (holders, entries) = (&mut self.holders, &mut self.entries);
        for gone in self.log.extract_from_if((user, 0)..=(user, until), |_, ()| true)? {
            let seq = gone?.0.value().1;
            let held = holders.get(seq)?.map(|count| count.value());
            match held {
                Some(held @ 3..) => drop(holders.insert(seq, held - 1)?),
                Some(_) => drop(holders.remove(seq)?),
                None => drop(entries.remove(seq)?),
            }
        }
        Ok(())
    }
}

impl Known {
    fn set_client(&mut self, client: &str, row: Option<ClientRow>) {
        match self.clients.get_mut(client) {
            Some(known) => *known = row,
            None => drop(self.clients.insert(client.to_owned(), row)),
        }
    }
}
