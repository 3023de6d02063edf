//! The journal: batches as they came, until there are enough of them to be worth the tables' pages.
//!
//! ```text
//!   commit       journal + 18                       one or two pages, whatever it is about
//!   commit       journal + 19, 20
//!   checkpoint   users, log, entries, … <- 17 18 19 20, numbers "journaled" = 20, journal empty
//!
//!   what is kept = the tables, changed by what is in the journal, in its order
//! ```
//!
//! A message touches pages all over the file: two users, a client, a log, the entries. Written at
//! once that is half a dozen pages of 4 KiB per message, and a busy page is written in every
//! commit. In a checkpoint a page is written once for all that changes in it.
//!
//! A batch leaves the journal in the transaction that puts it into the tables, so it is in one of
//! both, always. Its number tells whether it is in the file at all.
//!
//! This module does not know when a checkpoint is due.

use redb::{ReadTransaction, ReadableTable, TableError, WriteTransaction};

use super::op::{self, Ops};
use super::read::{Problem, Problems};
use super::tables::{JOURNAL, JOURNALED, NUMBERS, Tables};

/// How far a journal is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Extent {
    /// The number of the next batch.
    pub next: u64,
    /// How much is in it, in bytes.
    pub bytes: u64,
}

/// What is in a journal.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Content {
    pub batches: u64,
    /// Changes in the batches that can be read.
    pub changes: u64,
    /// Batches from the first one on that cannot be read.
    pub lost: u64,
}

/// What to do with a batch that cannot be read, and all behind it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Damage {
    Drop,
    Refuse,
}

impl Extent {
    /// How far the journal of this file is.
    pub fn of(txn: &WriteTransaction) -> Result<Extent, redb::Error> {
        let taken = txn.open_table(NUMBERS)?.get(JOURNALED)?.map_or(0, |number| number.value());
        let mut extent = Extent { next: taken + 1, bytes: 0 };
        for batch in txn.open_table(JOURNAL)?.iter()? {
            let (number, bytes) = batch?;
            extent.next = number.value().saturating_add(1);
            extent.bytes += bytes.value().len() as u64;
        }
        Ok(extent)
    }

    /// Puts batches at the end.
    pub fn append<'a>(
        &mut self,
        txn: &WriteTransaction,
        batches: impl Iterator<Item = &'a [u8]>,
    ) -> Result<(), redb::Error> {
        let mut journal = txn.open_table(JOURNAL)?;
        for batch in batches {
            journal.insert(self.next, batch)?;
            self.next += 1;
            self.bytes += batch.len() as u64;
        }
        Ok(())
    }
}

/// Does what the journal says to the tables, and empties it.
pub(super) fn replay(txn: &WriteTransaction, damage: Damage) -> Result<(), redb::Error> {
    let mut tables = Tables::open(txn)?;
    let mut last = None;
    {
        let journal = txn.open_table(JOURNAL)?;
        for batch in journal.iter()? {
            let (number, bytes) = batch?;
            let (number, bytes) = (number.value(), bytes.value());
            last = Some(number);
            if damage == Damage::Drop && op::verify(bytes).is_err() {
                // What comes behind it may build on it.
                last = journal.last()?.map(|(number, _)| number.value());
                break;
            }
            for op in Ops::of(bytes) {
                let op = op.map_err(|_| unreadable(number))?;
                tables.apply(op)?;
            }
        }
    }
    let Some(last) = last else { return Ok(()) };
    tables.numbers.insert(JOURNALED, last)?;
    tables.finish()?;
    // A table is faster to throw away than to empty.
    txn.delete_table(JOURNAL)?;
    txn.open_table(JOURNAL)?;
    Ok(())
}

/// Looks at every batch.
pub(super) fn survey(
    txn: &ReadTransaction,
    problems: &mut Problems,
) -> Result<Content, redb::Error> {
    let mut content = Content::default();
    each(txn, |number, bytes| {
        content.batches += 1;
        match op::verify(bytes) {
            Ok(changes) if content.lost == 0 => content.changes += changes,
            Ok(_) => content.lost += 1,
            Err(_) => {
                content.lost += 1;
                problems.add(Problem::UnreadableBatch { number });
            }
        }
        Ok(())
    })?;
    Ok(content)
}

/// Goes through the batches. A file that was made before there was a journal has none.
pub(super) fn each(
    txn: &ReadTransaction,
    mut each: impl FnMut(u64, &[u8]) -> Result<(), redb::Error>,
) -> Result<(), redb::Error> {
    let journal = match txn.open_table(JOURNAL) {
        Err(TableError::TableDoesNotExist(_)) => return Ok(()),
        journal => journal?,
    };
    for batch in journal.iter()? {
        let (number, bytes) = batch?;
        each(number.value(), bytes.value())?;
    }
    Ok(())
}

/// What is said of a batch that cannot be read.
pub(super) fn unreadable(number: u64) -> redb::Error {
    redb::Error::Corrupted(Problem::UnreadableBatch { number }.to_string())
}
