//! The file: opening it as a database, and what it says about itself.
//!
//! ```text
//!   format 1             what this version reads
//!   epoch  9f…           what the numbers in it belong to
//!   run    interval      a server has it open, or has not closed it
//!   device, inode        where it was when it was opened last: a copy is somewhere else
//! ```
//!
//! This module does not know users or messages.

use std::panic::{AssertUnwindSafe, catch_unwind};

use redb::backends::FileBackend;
use redb::{Database, Durability as Sync, ReadableDatabase, WriteTransaction};

use super::error::OpenError;
use super::place::{Place, Whereabouts};
use super::tables::{COUNTER, FLOOR, JOURNAL, JOURNALED, NUMBERS, STAMP, TEXTS, Tables};
use crate::config::Durability;

/// What a file says about itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Label {
    pub epoch: String,
    pub run: String,
    pub whereabouts: Whereabouts,
}

/// How the file is held by whoever writes it: what an end without goodbye means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Run {
    /// Nobody has it open, and everything is in it.
    Closed,
    /// Everything that was said is in it.
    Synced,
    /// Something that was said may not be.
    Unsynced,
}

impl Run {
    /// The run of a server that syncs like this.
    pub fn of(durability: Durability) -> Run {
        match durability {
            Durability::Commit => Run::Synced,
            Durability::Interval { .. } => Run::Unsynced,
        }
    }

    /// As it is written.
    pub fn text(self) -> &'static str {
        match self {
            Run::Closed => "closed",
            Run::Synced => "synced",
            Run::Unsynced => "unsynced",
        }
    }
}

/// Makes a store with nothing in it.
pub(super) fn create(place: &Place) -> Result<(), OpenError> {
    let path = place.file();
    let fail = |error| OpenError::io(&path, error);
    let file = place.begin().map_err(fail)?;
    let made = guarded(|| {
        let database = builder().create_with_backend(FileBackend::new(file)?)?;
        initialize(&database)?;
        Ok(database.close()?)
    });
    made.map_err(|error| OpenError::of(place.dir(), &path, error))?;
    place.finish().map_err(fail)
}

/// Makes the tables of a store with nothing in it.
pub(super) fn initialize(database: &Database) -> Result<(), redb::Error> {
    let txn = database.begin_write()?;
    {
        let mut tables = Tables::open(&txn)?;
        for name in [COUNTER, FLOOR, JOURNALED, STAMP, DEVICE, INODE] {
            tables.numbers.insert(name, 0)?;
        }
        tables.numbers.insert(FORMAT, FORMAT_NUMBER)?;
        let mut texts = txn.open_table(TEXTS)?;
        texts.insert(EPOCH, "")?;
        texts.insert(RUN, Run::Closed.text())?;
        txn.open_table(JOURNAL)?;
    }
    Ok(txn.commit()?)
}

/// Opens a file that is there, after looking at every page of it.
pub(super) fn open(path: &std::path::Path) -> Result<Database, redb::Error> {
    guarded(|| Ok(builder().open(path)?))
}

/// How redb is set up here.
pub(super) fn builder() -> redb::Builder {
    let mut builder = Database::builder();
    builder.set_cache_size(CACHE_BYTES);
    // It is read as a whole anyway. Without this, a page that was altered is taken as it is.
    builder.set_check_integrity_on_open(true);
    builder
}

/// Reads what a file says about itself.
pub(super) fn label(database: &Database, place: &Place) -> Result<Label, OpenError> {
    let path = place.file();
    let read = guarded(|| {
        let txn = database.begin_read()?;
        let (numbers, texts) = match (txn.open_table(NUMBERS), txn.open_table(TEXTS)) {
            (Ok(numbers), Ok(texts)) => (numbers, texts),
            // A database, but none of ours.
            _ => return Ok(None),
        };
        let Some(format) = numbers.get(FORMAT)?.map(|number| number.value()) else {
            return Ok(None);
        };
        let number = |name| -> Result<u64, redb::Error> {
            Ok(numbers.get(name)?.map_or(0, |number| number.value()))
        };
        let text = |name| -> Result<String, redb::Error> {
            Ok(texts.get(name)?.map_or_else(String::new, |text| text.value().to_owned()))
        };
        let whereabouts = Whereabouts { device: number(DEVICE)?, inode: number(INODE)? };
        Ok(Some((format, Label { epoch: text(EPOCH)?, run: text(RUN)?, whereabouts })))
    });
    match read.map_err(|error| OpenError::of(place.dir(), &path, error))? {
        None => Err(OpenError::Foreign(path)),
        Some((format, _)) if format > FORMAT_NUMBER => Err(OpenError::Newer { path, format }),
        Some((_, label)) => Ok(label),
    }
}

/// Writes what a file says about itself, and syncs it.
pub(super) fn set_label(database: &Database, label: &Label) -> Result<(), redb::Error> {
    guarded(|| {
        let txn = begin(database, Sync::Immediate)?;
        {
            let mut numbers = txn.open_table(NUMBERS)?;
            numbers.insert(DEVICE, label.whereabouts.device)?;
            numbers.insert(INODE, label.whereabouts.inode)?;
            let mut texts = txn.open_table(TEXTS)?;
            texts.insert(EPOCH, &*label.epoch)?;
            texts.insert(RUN, &*label.run)?;
        }
        Ok(txn.commit()?)
    })
}

/// Writes how the file is held. Nothing has changed by that, so it also shows whether it can be
/// written.
pub(super) fn set_run(txn: &WriteTransaction, run: Run) -> Result<(), redb::Error> {
    txn.open_table(TEXTS)?.insert(RUN, run.text())?;
    Ok(())
}

/// Begins to write.
pub(super) fn begin(database: &Database, sync: Sync) -> Result<WriteTransaction, redb::Error> {
    let mut txn = database.begin_write()?;
    txn.set_durability(sync)?;
    Ok(txn)
}

/// Does something with a database that may be damaged, or whose disk may be failing, in ways that
/// its library did not foresee.
pub(super) fn guarded<T>(
    action: impl FnOnce() -> Result<T, redb::Error>,
) -> Result<T, redb::Error> {
    // Whoever gets the error lets go of the database, so nothing broken is looked at again.
    catch_unwind(AssertUnwindSafe(action)).unwrap_or_else(|_| {
        Err(redb::Error::Corrupted("reading it failed in an unforeseen way".to_owned()))
    })
}

/// The format that this version writes, and the highest it reads.
pub(super) const FORMAT_NUMBER: u64 = 1;
const FORMAT: &str = "format";
const DEVICE: &str = "device";
const INODE: &str = "inode";
const EPOCH: &str = "epoch";
const RUN: &str = "run";
/// What redb may keep of the file in memory. Everything that is read again is in the logs' own
/// memory; here are the pages that are about to change.
const CACHE_BYTES: usize = 32 << 20;
