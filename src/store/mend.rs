//! Mending: what does not belong together is dropped, what is counted is counted again.
//!
//! ```text
//!   log ("alice", 57), entry 57 unreadable        both go
//!   log ("eve", 60), no record of eve             goes
//!   entry 61 in no log                            goes
//!   holders 59 -> 3, and two logs have it         2
//!   seq 70, counter 60                            counter 70
//!   an answer to a backend, unreadable            goes
//! ```
//!
//! Nothing is invented. Whoever missed something by that is told by a new epoch, which is not made
//! here.

use std::collections::HashMap;

use foldhash::quality::RandomState;
use redb::{ReadableTable, StorageError, WriteTransaction};

use super::read::{Head, Kept};
use super::row::read_answer;
use super::tables::{COUNTER, FLOOR, Tables};

/// How much was dropped.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Dropped {
    /// Messages.
    pub entries: u64,
    /// Places in logs.
    pub places: u64,
    /// Clients and memberships of users without a record.
    pub strays: u64,
    /// Answers to requests of backends.
    pub answers: u64,
    /// Batches of the journal: those that cannot be read, and what came behind them.
    pub batches: u64,
}

/// Makes the tables agree with each other.
pub(super) fn mend(txn: &WriteTransaction) -> Result<Dropped, redb::Error> {
    let mut tables = Tables::open(txn)?;
    let mut mender = Mender { highest: 0, dropped: Dropped::default() };
    mender.unreadable(&mut tables)?;
    let counts = mender.log(&mut tables)?;
    mender.counted(&mut tables, &counts)?;
    mender.strays(&mut tables)?;
    mender.numbers(&mut tables)?;
    mender.answers(&mut tables)?;
    Ok(mender.dropped)
}

struct Mender {
    /// The highest seq that is mentioned.
    highest: u64,
    dropped: Dropped,
}

impl Mender {
    /// Entries that are none, or others than they are kept as.
    fn unreadable(&mut self, tables: &mut Tables<'_>) -> Result<(), StorageError> {
        let mut gone = 0;
        let is_good =
            |seq: u64, bytes: &[u8]| Head::read(bytes).is_some_and(|(_, head)| head.seq.0 == seq);
        tables.entries.retain(|seq, bytes| {
            let is_kept = is_good(seq, bytes);
            gone += u64::from(!is_kept);
            is_kept
        })?;
        self.dropped.entries += gone;
        Ok(())
    }

    /// Places in the logs of nobody, of entries that are not there or were discarded. Returns in
    /// how many logs each entry is.
    fn log(
        &mut self,
        tables: &mut Tables<'_>,
    ) -> Result<HashMap<u64, u64, RandomState>, StorageError> {
        let mut counts: HashMap<u64, u64, RandomState> = HashMap::default();
        let mut failed = Ok(());
        let (users, entries) = (&tables.users, &tables.entries);
        let keep = |user: &str, seq: u64| -> Result<bool, StorageError> {
            let Some(row) = users.get(user)?.map(|row| row.value()) else { return Ok(false) };
            Ok(seq > row.dropped.0 && entries.get(seq)?.is_some())
        };
        let mut gone = 0;
        tables.log.retain(|(user, seq), ()| match keep(user, seq) {
            Ok(true) => {
                *counts.entry(seq).or_default() += 1;
                true
            }
            Ok(false) => {
                gone += 1;
                false
            }
            Err(error) => {
                failed = Err(error);
                true
            }
        })?;
        self.dropped.places += gone;
        failed.map(|()| counts)
    }

    /// Entries in no log, and counts.
    fn counted(
        &mut self,
        tables: &mut Tables<'_>,
        counts: &HashMap<u64, u64, RandomState>,
    ) -> Result<(), StorageError> {
        let mut gone = 0;
        tables.entries.retain(|seq, _| {
            let is_kept = counts.contains_key(&seq);
            gone += u64::from(!is_kept);
            is_kept
        })?;
        self.dropped.entries += gone;
        tables.holders.retain(|_, _| false)?;
        for (&seq, &count) in counts {
            self.highest = self.highest.max(seq);
            if count > 1 {
                tables.holders.insert(seq, count)?;
            }
        }
        Ok(())
    }

    /// Clients and memberships of users who have no record.
    fn strays(&mut self, tables: &mut Tables<'_>) -> Result<(), StorageError> {
        let mut failed = Ok(());
        let mut gone = 0;
        let users = &tables.users;
        let mut keep = |user: &str| match users.get(user) {
            Ok(row) => {
                gone += u64::from(row.is_none());
                row.is_some()
            }
            Err(error) => {
                failed = Err(error);
                true
            }
        };
        tables.clients.retain(|(user, _), _| keep(user))?;
        let mut highest = self.highest;
        tables.groups.retain(|(user, _), since| {
            highest = highest.max(since);
            keep(user)
        })?;
        self.highest = highest;
        self.dropped.strays += gone;
        failed
    }

    /// Answers that are none.
    fn answers(&mut self, tables: &mut Tables<'_>) -> Result<(), StorageError> {
        let mut gone = 0;
        tables.answers.retain(|_, row| {
            let is_kept = read_answer(row).is_some();
            gone += u64::from(!is_kept);
            is_kept
        })?;
        self.dropped.answers += gone;
        Ok(())
    }

    /// The counter is above all that is mentioned.
    fn numbers(&mut self, tables: &mut Tables<'_>) -> Result<(), StorageError> {
        let mut highest = self.highest;
        for user in tables.users.iter()? {
            let row = user?.1.value();
            highest = highest.max(row.dropped.0).max(row.acked.0);
        }
        for name in [FLOOR, COUNTER] {
            highest = highest.max(tables.numbers.get(name)?.map_or(0, |number| number.value()));
        }
        tables.numbers.insert(COUNTER, highest)?;
        Ok(())
    }
}
