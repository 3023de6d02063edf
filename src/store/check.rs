//! Checking: what is in a store, whether it is whole, and what can be done about it.
//!
//! ```text
//!   look      reads every page, through an overlay: nothing is written. The journal is put into
//!             the tables there
//!   repair    drops what does not belong together; new epoch if that was anything
//!   epoch     gives a new one: for a copy that was restored
//! ```
//!
//! This module does not know how it is said.

use std::path::{Path, PathBuf};

use redb::{Database, Durability as Sync, ReadableDatabase, WriteTransaction};

use super::error::OpenError;
use super::file::{self, Run, guarded};
use super::journal::{self, Damage};
pub use super::mend::Dropped;
use super::mend::mend;
use super::overlay::Overlay;
use super::place::Place;
use super::read::{Problems, Tally};
use super::{NewEpoch, Survey, survey, why_new};
use crate::relay::log::ServerState;
use crate::relay::random_epoch;

/// What is to be done with a store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// Nothing: it is only looked at.
    Look,
    /// It gets a new epoch.
    NewEpoch,
    /// What does not belong together is dropped.
    Repair,
}

/// What was found, after what was done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Checked {
    /// The file.
    pub file: PathBuf,
    /// Its length, in bytes.
    pub file_bytes: u64,
    /// The format of what is in it.
    pub format: u64,
    /// The epoch; empty in a store that no server has opened.
    pub epoch: String,
    /// Why the next server will begin a new epoch; `None` if it will not.
    pub next_epoch: Option<NewEpoch>,
    /// The server's own numbers.
    pub server: ServerState,
    /// How much there is.
    pub tally: Tally,
    /// How many changes were in the journal: the tally has them.
    pub journaled: u64,
    /// What is wrong with it, before it was repaired.
    pub problems: Problems,
    /// What was dropped, if it was repaired.
    pub dropped: Option<Dropped>,
}

/// Looks at a store, and does something about it. `progress` is told what is done at the moment.
///
/// # Errors
///
/// That it cannot be opened: because a server has it open, because there is none, or because its
/// pages are damaged, which nothing here can repair.
pub fn check(
    dir: &Path,
    action: Action,
    progress: &mut dyn FnMut(&str),
) -> Result<Checked, OpenError> {
    let place = Place::lock(dir)?;
    if !place.has_file()? {
        return Err(OpenError::Missing(dir.to_owned()));
    }
    let path = place.file();
    let fail = |error| OpenError::of(dir, &path, error);
    progress("reading every page");
    let database = match action {
        Action::Look => {
            let overlay = Overlay::open(&path).map_err(|error| OpenError::io(&path, error))?;
            guarded(|| Ok(file::builder().create_with_backend(overlay)?))
        }
        Action::NewEpoch | Action::Repair => file::open(&path),
    };
    let database = database.map_err(fail)?;
    let mut label = file::label(&database, &place)?;
    progress("following every log");
    let Survey { server, tally, problems, journal } = take_in(&database, action).map_err(fail)?;
    let whereabouts = place.whereabouts().map_err(|error| OpenError::io(&path, error))?;
    let mut dropped = None;
    if action == Action::Repair {
        progress("repairing");
        let repaired = repair(&database, &problems).map_err(fail)?;
        dropped = Some(Dropped { batches: journal.lost, ..repaired });
    }
    let is_changed = problems.count > 0 && dropped.is_some();
    if action == Action::NewEpoch || is_changed {
        label.epoch = random_epoch();
        label.whereabouts = whereabouts;
        label.run = Run::Closed.text().to_owned();
        file::set_label(&database, &label).map_err(fail)?;
    }
    let checked = Checked {
        file_bytes: std::fs::metadata(&path).map_or(0, |metadata| metadata.len()),
        file: path.clone(),
        format: file::FORMAT_NUMBER,
        next_epoch: why_new(&label, whereabouts),
        epoch: label.epoch,
        server,
        tally,
        journaled: journal.changes,
        problems,
        dropped,
    };
    guarded(|| Ok(database.close()?)).map_err(fail)?;
    Ok(checked)
}

/// Puts the journal into the tables, as the next start would, and goes through everything.
fn take_in(database: &Database, action: Action) -> Result<Survey, redb::Error> {
    let mut problems = Problems::default();
    let journal = guarded(|| journal::survey(&database.begin_read()?, &mut problems))?;
    // Nothing is dropped that nobody wants to have dropped.
    if journal.batches == 0 || (journal.lost > 0 && action == Action::NewEpoch) {
        return survey(database);
    }
    guarded(|| {
        let txn = file::begin(database, Sync::Immediate)?;
        journal::replay(&txn, Damage::Drop)?;
        if journal.lost > 0 {
            doubt(&txn)?;
        }
        Ok(txn.commit()?)
    })?;
    let found = survey(database)?;
    problems.append(found.problems);
    Ok(Survey { problems, journal, ..found })
}

fn repair(database: &Database, problems: &Problems) -> Result<Dropped, redb::Error> {
    guarded(|| {
        let txn = file::begin(database, Sync::Immediate)?;
        let dropped = mend(&txn)?;
        if problems.count > 0 {
            doubt(&txn)?;
        }
        txn.commit()?;
        Ok(dropped)
    })
}

/// If this is as far as it comes, the next server begins a new epoch.
fn doubt(txn: &WriteTransaction) -> Result<(), redb::Error> {
    file::set_run(txn, Run::Unsynced)
}
