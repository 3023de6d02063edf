//! The writer: the thread that waits for the disk.
//!
//! ```text
//!   jobs     7 8 9 | 10 11 12 13 |  14 15          what came while one commit ran is the next
//!   commits  [ 7 ][   8   9   ][ 10 11 12 13 ][
//!
//!   Up ----- a commit failed: say so ----> Void ------ what do you have? -----> Asked
//!    ^                        what comes is thrown away                           |
//!    '--- opened again, written, read: that is what I have -----------------------'
//! ```
//!
//! What is committed goes into the journal. When that is long enough, and whoever waited has been
//! told, it is put into the tables: a checkpoint.
//!
//! A batch of acknowledgements alone waits a moment for the next one, so that a dialogue costs one
//! commit per message, not two. It is not said to be committed before it is.
//!
//! A database whose write failed is good for nothing more: it is closed, opened again, which undoes
//! what was not committed, and written to as a trial, before anybody is told what is there. While
//! that does not work it is tried again, with longer and longer pauses.
//!
//! With `interval`, commits are answered before they are synced. They are kept in memory until they
//! are, so that a failure takes back nothing that was said.
//!
//! This module does not know what the changes mean.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender};
use std::time::{Duration, Instant};

use redb::{Database, Durability as Sync, ReadableDatabase};

use super::Raw;
use super::batch::{Batch, Urgency};
use super::file::{self, Run, guarded};
use super::journal::{self, Damage, Extent};
use super::pending::Pending;
use super::read::{Found, Reader};
use super::trouble::Trouble;
use crate::config::Durability;
use crate::relay::log::{BatchNumber, ServerState};

/// What the writer is told.
#[derive(Debug)]
pub(super) enum Job {
    /// These changes are to be committed.
    Commit(BatchNumber, Batch),
    /// So much waits that no more was handed over.
    Overflow,
    /// What is there about these users?
    ReadBack(Vec<String>),
}

/// What the writer says.
#[derive(Debug)]
pub(super) enum Said {
    /// All batches up to this one are committed; here are the empty ones.
    Committed(BatchNumber, Vec<Batch>),
    /// A batch failed, or is in doubt, and what came behind it was thrown away.
    Failed,
    /// What is there about the users in question.
    Restored(Answer),
}

/// What there is about some users.
#[derive(Debug)]
pub(super) struct Answer {
    pub server: ServerState,
    pub users: Vec<(String, Option<Found<Raw>>)>,
}

/// How the writer goes about it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Habits {
    pub durability: Durability,
    /// From how many bytes on the journal is put into the tables. The longer it is, the fewer pages
    /// are written in all, the longer a checkpoint lasts, for which commits wait, and the longer a
    /// start after a crash. Messages of 125 bytes, 64 senders: 2.2 kB are written for each with an
    /// eighth of a mebibyte, 1.8 with half of one, 1.6 with one, two and four.
    pub journal_max: u64,
    /// How long acknowledgements wait for something else to be committed with: longer than the
    /// other side takes to answer on a machine or in a house, and about as long as one sync. What
    /// is held back behind them, receipts above all, comes so much later at most.
    pub later: Duration,
    /// The first pause when the disk fails.
    pub pause_min: Duration,
}

impl Default for Habits {
    fn default() -> Habits {
        Habits {
            durability: Durability::Commit,
            journal_max: 1 << 20,
            later: Duration::from_millis(5),
            pause_min: Duration::from_millis(100),
        }
    }
}

/// The thread's state.
pub(super) struct Writer {
    /// Opens the file again.
    pub opener: Box<dyn Fn() -> Result<Database, redb::Error> + Send>,
    /// Whether the file is where it was opened: one that was removed takes what is written to it
    /// along.
    pub is_there: Box<dyn Fn() -> io::Result<()> + Send>,
    /// `None` after a failure.
    pub database: Option<Database>,
    pub habits: Habits,
    pub jobs: Receiver<Job>,
    pub said: Sender<Said>,
    /// Has the loop ask what was said.
    pub wake: Box<dyn Fn() + Send>,
    /// Bytes that were handed over and not taken.
    pub waiting: Arc<AtomicUsize>,
    pub unsynced: Unsynced,
    /// How far the journal is; `None` if the file has to be asked.
    pub extent: Option<Extent>,
    /// From how many bytes on the journal is put into the tables.
    pub checkpoint_at: u64,
    pub trouble: Trouble,
    /// A job that was taken and is not a batch.
    pub next: Option<Job>,
}

/// What is committed, and said to be, but not synced.
#[derive(Debug, Default)]
pub(super) struct Unsynced {
    /// By their numbers in the journal.
    batches: Vec<(u64, Batch)>,
    bytes: usize,
    /// When it is to be.
    due: Option<Instant>,
}

/// Batches that are committed together.
#[derive(Debug)]
struct Taken {
    last: BatchNumber,
    batches: Vec<Batch>,
    bytes: usize,
}

/// What the writer is about to do.
#[derive(Debug)]
enum Phase {
    /// Say what is there about these.
    Asked(Vec<String>),
    /// Nothing: nobody will ask any more.
    Over,
    /// Commit.
    Up,
    /// Throw away what comes until it is asked what it has.
    Void,
}

impl Writer {
    /// Works until the other end of the jobs is gone, and closes the file then.
    pub fn run(mut self) {
        let mut phase = Phase::Up;
        loop {
            phase = match phase {
                Phase::Asked(users) => self.restore(&users),
                Phase::Over => break,
                Phase::Up => self.work(),
                Phase::Void => self.wait_for_question(),
            };
        }
        self.close();
    }

    fn work(&mut self) -> Phase {
        let job = match self.next.take() {
            Some(job) => job,
            None => match self.wait() {
                Ok(job) => job,
                Err(RecvTimeoutError::Timeout) => return self.sync(),
                Err(RecvTimeoutError::Disconnected) => return Phase::Over,
            },
        };
        match job {
            Job::Commit(number, batch) => self.commit(number, batch),
            Job::Overflow => {
                self.trouble.note(&"the disk is slower than what is sent");
                self.say(Said::Failed);
                Phase::Void
            }
            Job::ReadBack(users) => Phase::Asked(users),
        }
    }

    fn wait(&self) -> Result<Job, RecvTimeoutError> {
        let Some(due) = self.unsynced.due else {
            return self.jobs.recv().map_err(|_| RecvTimeoutError::Disconnected);
        };
        match due.checked_duration_since(Instant::now()) {
            None => Err(RecvTimeoutError::Timeout),
            Some(left) => self.jobs.recv_timeout(left),
        }
    }

    /// Commits this batch and all that wait behind it.
    fn commit(&mut self, number: BatchNumber, batch: Batch) -> Phase {
        let Taken { last, mut batches, bytes } = self.gather(number, batch);
        let sync = match self.habits.durability {
            Durability::Commit => Sync::Immediate,
            Durability::Interval { .. } => Sync::None,
        };
        let first = match self.write(&batches, sync) {
            Ok(first) => first,
            Err(error) => return self.fail(&error),
        };
        self.trouble.end();
        match self.habits.durability {
            Durability::Commit => {
                batches.iter_mut().for_each(Batch::clear);
                self.say(Said::Committed(last, batches));
            }
            Durability::Interval { ms } => {
                self.unsynced.batches.extend((first..).zip(batches));
                self.unsynced.bytes += bytes;
                let due = Instant::now() + Duration::from_millis(ms);
                self.unsynced.due.get_or_insert(due);
                self.say(Said::Committed(last, Vec::new()));
            }
        }
        if self.extent.is_some_and(|extent| extent.bytes >= self.checkpoint_at) {
            return self.checkpoint();
        }
        // It is all in memory, so there is a limit to it.
        if self.unsynced.bytes < UNSYNCED_MAX_BYTES { Phase::Up } else { self.sync() }
    }

    /// Takes what waits behind this batch. If nobody waits for any of it, something that somebody
    /// waits for is probably on its way: whoever gets a message acknowledges it and answers.
    fn gather(&mut self, number: BatchNumber, batch: Batch) -> Taken {
        let mut urgency = match self.habits.durability {
            Durability::Commit => batch.urgency(),
            // A commit that is not synced costs too little to be saved.
            Durability::Interval { .. } => Urgency::Now,
        };
        let until = Instant::now() + self.habits.later;
        let bytes = self.taken(&batch);
        let mut taken = Taken { last: number, batches: vec![batch], bytes };
        while taken.bytes < COMMIT_MAX_BYTES {
            let left = match urgency {
                Urgency::Later => until.saturating_duration_since(Instant::now()),
                Urgency::Now => Duration::ZERO,
            };
            match self.jobs.recv_timeout(left) {
                Ok(Job::Commit(number, batch)) => {
                    if batch.urgency() == Urgency::Now {
                        urgency = Urgency::Now;
                    }
                    taken.last = number;
                    taken.bytes += self.taken(&batch);
                    taken.batches.push(batch);
                }
                Ok(other) => {
                    self.next = Some(other);
                    break;
                }
                Err(_) => break,
            }
        }
        taken
    }

    fn sync(&mut self) -> Phase {
        match self.write(&[], Sync::Immediate) {
            Ok(_) => {
                self.unsynced = Unsynced::default();
                Phase::Up
            }
            Err(error) => self.fail(&error),
        }
    }

    /// Writes batches into the journal. Returns the number of the first one there.
    fn write(&mut self, batches: &[Batch], sync: Sync) -> Result<u64, redb::Error> {
        let Some(database) = &self.database else { return Err(redb::Error::DatabaseClosed) };
        let (first, extent) = guarded(|| {
            let txn = file::begin(database, sync)?;
            let mut extent = self.extent.map_or_else(|| Extent::of(&txn), Ok)?;
            let first = extent.next;
            extent.append(&txn, batches.iter().map(Batch::bytes))?;
            txn.commit()?;
            Ok((first, extent))
        })?;
        (self.is_there)()?;
        self.extent = Some(extent);
        Ok(first)
    }

    /// Puts the journal into the tables. Whoever waited for what is in it has been told.
    fn checkpoint(&mut self) -> Phase {
        // If it fails, as on a full disk, commits may still succeed: not each of them should try.
        self.checkpoint_at = self.checkpoint_at.saturating_add(self.habits.journal_max);
        match self.replay() {
            Ok(()) => Phase::Up,
            Err(error) => self.fail(&error),
        }
    }

    fn replay(&mut self) -> Result<(), redb::Error> {
        let Some(database) = &self.database else { return Err(redb::Error::DatabaseClosed) };
        guarded(|| {
            let txn = file::begin(database, Sync::Immediate)?;
            journal::replay(&txn, Damage::Refuse)?;
            Ok(txn.commit()?)
        })?;
        self.extent = self.extent.map(|Extent { next, .. }| Extent { next, bytes: 0 });
        self.checkpoint_at = self.habits.journal_max;
        self.unsynced = Unsynced::default();
        Ok(())
    }

    /// What was handed over since the last commit never was.
    fn fail(&mut self, error: &redb::Error) -> Phase {
        self.trouble.note(error);
        self.trouble.suspect(error);
        self.let_go();
        self.say(Said::Failed);
        Phase::Void
    }

    fn wait_for_question(&mut self) -> Phase {
        loop {
            match self.next.take().map_or_else(|| self.jobs.recv(), Ok) {
                Ok(Job::Commit(_, batch)) => drop(self.taken(&batch)),
                Ok(Job::Overflow) => {}
                Ok(Job::ReadBack(users)) => return Phase::Asked(users),
                Err(_) => return Phase::Over,
            }
        }
    }

    /// Tries until it can be said what is there.
    fn restore(&mut self, users: &[String]) -> Phase {
        loop {
            if self.pause().is_err() {
                return Phase::Over;
            }
            let restored = self.reopen().and_then(|()| self.read(users));
            match restored {
                Ok(answer) => {
                    self.say(Said::Restored(answer));
                    return Phase::Up;
                }
                Err(error) => {
                    self.trouble.note(&error);
                    self.trouble.suspect(&error);
                    self.let_go();
                }
            }
        }
    }

    /// Waits as long as is due after so many failures. `Err` if nobody asks any more.
    fn pause(&mut self) -> Result<(), ()> {
        let until = Instant::now() + self.trouble.pause();
        loop {
            let left = until.saturating_duration_since(Instant::now());
            match self.jobs.recv_timeout(left) {
                // Nothing is handed over before the answer is there.
                Ok(Job::Commit(_, batch)) => drop(self.taken(&batch)),
                Ok(Job::Overflow | Job::ReadBack(_)) => {}
                Err(RecvTimeoutError::Timeout) => return Ok(()),
                Err(RecvTimeoutError::Disconnected) => return Err(()),
            }
        }
    }

    /// Opens the file if it is not open, puts in what was said to be in it, and syncs it.
    fn reopen(&mut self) -> Result<(), redb::Error> {
        if self.database.is_none() {
            self.database = Some((self.opener)()?);
        }
        let run = match self.trouble.is_doubtful() {
            // Whoever starts the next server should not trust that everything is there.
            true => Run::Unsynced,
            false => Run::of(self.habits.durability),
        };
        self.settle(run)
    }

    /// Commits and syncs what was said to be committed, and how the file is held.
    fn settle(&mut self, run: Run) -> Result<(), redb::Error> {
        let Some(database) = &self.database else { return Err(redb::Error::DatabaseClosed) };
        let batches = &self.unsynced.batches;
        let extent = guarded(|| {
            let txn = file::begin(database, Sync::Immediate)?;
            let mut extent = Extent::of(&txn)?;
            // What is in the file is in it, in the journal or in the tables.
            let next = extent.next;
            let behind = batches.iter().filter(|(number, _)| *number >= next);
            extent.append(&txn, behind.map(|(_, batch)| batch.bytes()))?;
            file::set_run(&txn, run)?;
            txn.commit()?;
            Ok(extent)
        })?;
        self.extent = Some(extent);
        self.unsynced = Unsynced::default();
        Ok(())
    }

    fn read(&self, users: &[String]) -> Result<Answer, redb::Error> {
        let Some(database) = &self.database else { return Err(redb::Error::DatabaseClosed) };
        guarded(|| {
            let txn = database.begin_read()?;
            let mut reader = Reader::new(&txn)?;
            let mut pending = Pending::new(reader.server());
            for user in users {
                pending.users.insert(user.clone(), reader.user(user)?);
            }
            pending.read(&txn)?;
            let Pending { server, users: mut found, .. } = pending;
            let found = users.iter().map(|user| (user.clone(), found.remove(user).flatten()));
            match reader.problems.first.first() {
                // Better no answer than one with holes that nobody is told of.
                Some(problem) => Err(redb::Error::Corrupted(problem.to_string())),
                None => Ok(Answer { server, users: found.collect() }),
            }
        })
    }

    /// Commits what is left, and closes the file.
    fn close(&mut self) {
        let closed = (|| {
            if self.database.is_none() {
                self.database = Some((self.opener)()?);
            }
            self.settle(Run::Closed)?;
            // The next start is faster by that, and need not.
            if self.extent.is_some_and(|extent| extent.bytes > 0) {
                self.replay()?;
            }
            let Some(database) = self.database.take() else { return Ok(()) };
            guarded(|| Ok(database.close()?))
        })();
        if let Err(error) = closed {
            self.trouble.close(&error);
        }
    }

    /// Closes what cannot be used any more.
    fn let_go(&mut self) {
        let database = self.database.take();
        self.extent = None;
        // It may try to write once more, and fail.
        let _ = guarded(|| {
            drop(database);
            Ok(())
        });
    }

    fn taken(&self, batch: &Batch) -> usize {
        self.waiting.fetch_sub(batch.len(), Ordering::Relaxed);
        batch.len()
    }

    fn say(&self, said: Said) {
        // At the end nobody listens any more.
        if self.said.send(said).is_ok() {
            (self.wake)();
        }
    }
}

/// How much one commit takes together, beyond which the rest waits for the next.
const COMMIT_MAX_BYTES: usize = 16 << 20;
/// How much is kept in memory because it is not synced.
const UNSYNCED_MAX_BYTES: usize = 64 << 20;
