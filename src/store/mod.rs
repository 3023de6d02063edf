//! The store: the log on disk, and a thread that waits for it.
//!
//! ```text
//!   event loop                                 thread "store"
//!   note, note, commit 7  --- Job::Commit -->  write, sync      one file, by redb
//!   note, commit 8        --------------->     (waits with 9)
//!   poll: Committed(7)    <-- Said -- wake --  7 is on the disk
//!   poll: Failed          <-----------------   8 and 9 never were: the disk is full
//!   read_back [alice]     --------------->     opens the file again, tries to write
//!   poll: Restored        <-----------------   that is what is kept of alice
//! ```
//!
//! The logs are in memory as they are without a store: what is on the disk is read at the start,
//! and after a failure. While one commit runs, batches collect; the next takes all of them, so the
//! slower the disk, the more messages share one sync.
//!
//! A commit adds what changed to a journal in the file, and nothing else; now and then the journal
//! is put into the tables (`journal.rs`).
//!
//! What is in the file is in `tables.rs`; how a crash, a copy and a full disk are told apart is in
//! `file.rs` and `trouble.rs`.
//!
//! This module does not know sessions, frames or sockets.

mod batch;
pub mod check;
mod error;
mod file;
mod journal;
mod mend;
mod op;
mod overlay;
mod pending;
mod place;
mod read;
mod row;
mod tables;
mod trouble;
mod writer;

#[cfg(test)]
mod check_tests;
#[cfg(test)]
mod failing;
#[cfg(test)]
mod failing_tests;
#[cfg(test)]
mod reference_tests;
#[cfg(test)]
mod samples;
#[cfg(test)]
mod sessions_tests;
#[cfg(test)]
mod start_tests;

use std::collections::HashMap;
use std::fmt;
use std::fs::File;
use std::io;
use std::mem;
use std::path::Path;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::{self, JoinHandle};

use foldhash::quality::RandomState;
use redb::{Database, Durability as Sync, ReadableDatabase};

use self::batch::Batch;
pub use self::error::OpenError;
use self::file::{Label, Run, guarded};
use self::journal::Damage;
pub use self::place::Openness;
use self::place::Place;
use self::read::{Found, Head, Kept, Reader};
pub use self::read::{Problem, Problems, Tally};
use self::trouble::Trouble;
use self::writer::{Answer, Habits, Job, Said, Unsynced, Writer};
use crate::config::Durability;
use crate::relay::log::{
    BatchNumber, Change, Entry, Handed, Outcome, Seq, ServerState, Store, Stored, StoredRecord,
};
use crate::relay::random_epoch;

/// The bytes of an entry, on their way from the store's thread.
#[derive(Clone, Debug)]
struct Raw {
    seq: Seq,
    bytes: Arc<[u8]>,
}

/// A store on disk. When it is dropped, it waits until everything that was handed over is written,
/// and closes the file.
#[derive(Debug)]
pub struct Durable {
    /// `None` at the end.
    jobs: Option<Sender<Job>>,
    said: Receiver<Said>,
    /// What is being collected.
    open: Batch,
    /// Empty ones.
    spare: Vec<Batch>,
    /// Bytes that were handed over and not taken.
    waiting: Arc<AtomicUsize>,
    /// Whether what is handed over is void.
    is_void: bool,
    thread: Option<JoinHandle<()>>,
}

/// A store that was opened, and what is in it.
#[derive(Debug)]
pub struct Opened {
    /// The store.
    pub store: Durable,
    /// What it has.
    pub stored: Stored,
    /// The epoch of its numbers: 32 hexadecimal digits.
    pub epoch: String,
    /// What was found.
    pub report: Report,
}

/// What was found when a store was opened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    /// How much there is.
    pub tally: Tally,
    /// Who may put another file in its place.
    pub openness: Openness,
    /// Why the epoch is a new one; `None` if it is not.
    pub new_epoch: Option<NewEpoch>,
}

/// Why an epoch is a new one: clients that were here before are told that they may have missed
/// something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NewEpoch {
    /// The store was made just now.
    First,
    /// The file is not where it was: a copy of it, while the original may have gone on.
    Moved,
    /// Somebody asked for it.
    Wanted,
    /// It was not closed, by a server that did not sync each commit.
    Unsynced,
}

impl Durable {
    /// Opens the store in a directory, and makes one if there is none. `wake` is called on the
    /// store's thread when there is something to [`poll`](Store::poll).
    ///
    /// Files of others, of newer versions and damaged ones are left as they are.
    ///
    /// A file may be as large as the system lets it be: beyond that, the signal `SIGXFSZ` would end
    /// the process. It is caught from here on.
    ///
    /// # Errors
    ///
    /// Why it cannot be opened, in words for whoever started the server.
    pub fn open(
        dir: &Path,
        durability: Durability,
        wake: impl Fn() + Send + 'static,
    ) -> Result<Opened, OpenError> {
        let place = Place::prepare(dir)?;
        catch_file_size_signal().map_err(|error| OpenError::io(dir, error))?;
        if !place.has_file()? {
            file::create(&place)?;
        }
        let path = place.file();
        let fail = |error| OpenError::of(place.dir(), &path, error);
        let database = file::open(&path).map_err(fail)?;
        let mut label = file::label(&database, &place)?;
        let (stored, tally) = load(&database, &place)?;
        let whereabouts = place.whereabouts().map_err(|error| OpenError::io(&path, error))?;
        let new_epoch = why_new(&label, whereabouts);
        if new_epoch.is_some() {
            label.epoch = random_epoch();
        }
        label.whereabouts = whereabouts;
        label.run = Run::of(durability).text().to_owned();
        file::set_label(&database, &label).map_err(fail)?;
        let openness = place.openness().map_err(|error| OpenError::io(dir, error))?;
        let held = place.hold().map_err(|error| OpenError::io(&path, error))?;
        let place = Arc::new(place);
        let same = Arc::clone(&place);
        let is_there = move || same.is_still(whereabouts);
        let own = Own { place, epoch: label.epoch.clone(), whereabouts, _held: held };
        let opener = move || own.reopen();
        let habits = Habits { durability, ..Habits::default() };
        let store = Durable::start(database, habits, opener, is_there, wake);
        let store = store.map_err(|error| OpenError::io(dir, error))?;
        Ok(Opened {
            store,
            stored,
            epoch: label.epoch,
            report: Report { tally, openness, new_epoch },
        })
    }

    /// Starts the thread.
    fn start(
        database: Database,
        habits: Habits,
        opener: impl Fn() -> Result<Database, redb::Error> + Send + 'static,
        is_there: impl Fn() -> io::Result<()> + Send + 'static,
        wake: impl Fn() + Send + 'static,
    ) -> io::Result<Durable> {
        let (jobs, todo) = channel();
        let (says, said) = channel();
        let waiting = Arc::new(AtomicUsize::new(0));
        let writer = Writer {
            opener: Box::new(opener),
            is_there: Box::new(is_there),
            database: Some(database),
            habits,
            jobs: todo,
            said: says,
            wake: Box::new(wake),
            waiting: Arc::clone(&waiting),
            unsynced: Unsynced::default(),
            extent: None,
            checkpoint_at: habits.journal_max,
            trouble: Trouble::with_pause(habits.pause_min),
            next: None,
        };
        let thread = thread::Builder::new().name("store".to_owned());
        let thread = Some(thread.spawn(move || writer.run())?);
        let (open, spare) = (Batch::default(), Vec::new());
        Ok(Durable { jobs: Some(jobs), said, open, spare, waiting, is_void: false, thread })
    }

    fn tell(&self, job: Job) {
        if let Some(jobs) = &self.jobs {
            // The thread ends after this end of the channel.
            let _ = jobs.send(job);
        }
    }

    fn recycle(&mut self, batches: Vec<Batch>) {
        self.spare.extend(batches);
        self.spare.truncate(SPARE_MAX);
    }
}

impl Store for Durable {
    fn note(&mut self, change: Change<'_>) {
        self.open.push(change);
    }

    fn commit(&mut self, number: BatchNumber) -> Handed {
        let next = self.spare.pop().unwrap_or_default();
        let mut batch = mem::replace(&mut self.open, next);
        self.open.follow(&batch);
        let (len, waiting) = (batch.len(), self.waiting.load(Ordering::Relaxed));
        if self.is_void {
            batch.clear();
            self.spare.push(batch);
        } else if waiting > 0 && waiting + len > WAITING_MAX_BYTES {
            // The disk is that much slower than the network: the senders have to wait.
            self.is_void = true;
            self.tell(Job::Overflow);
        } else {
            self.waiting.fetch_add(len, Ordering::Relaxed);
            self.tell(Job::Commit(number, batch));
        }
        Handed::Pending
    }

    fn read_back(&mut self, users: &[Rc<str>]) {
        self.open.clear();
        self.is_void = false;
        self.tell(Job::ReadBack(users.iter().map(|user| user.as_ref().to_owned()).collect()));
    }

    fn poll(&mut self) -> Option<Outcome> {
        match self.said.try_recv().ok()? {
            Said::Committed(number, spent) => {
                self.recycle(spent);
                Some(Outcome::Committed(number))
            }
            Said::Failed => {
                self.is_void = true;
                Some(Outcome::Failed)
            }
            Said::Restored(answer) => Some(Outcome::Restored(stored(answer))),
        }
    }
}

impl Drop for Durable {
    fn drop(&mut self) {
        self.jobs = None;
        if let Some(thread) = self.thread.take() {
            // It ends with its file closed; if it panicked, the next start looks at the file.
            let _ = thread.join();
        }
    }
}

impl fmt::Display for NewEpoch {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(match self {
            NewEpoch::First => "the store is new",
            NewEpoch::Moved => "the file is not where it was, so it is taken for a copy",
            NewEpoch::Wanted => "that was asked for",
            NewEpoch::Unsynced => "the last server did not end cleanly, nor sync each commit",
        })
    }
}

impl Kept for Raw {
    fn read(bytes: &[u8]) -> Option<(Raw, Head)> {
        let (head, _) = <Head as Kept>::read(bytes)?;
        Some((Raw { seq: head.seq, bytes: Arc::from(bytes) }, head))
    }
}

/// The file that this server is using, whatever is in its place meanwhile.
struct Own {
    place: Arc<Place>,
    epoch: String,
    whereabouts: place::Whereabouts,
    /// As long as it is open, no other file gets its inode.
    _held: File,
}

impl Own {
    /// Opens it again, and no other: what is in a store that somebody else has put there are not
    /// the numbers that were said here.
    fn reopen(&self) -> Result<Database, redb::Error> {
        let Own { place, epoch, whereabouts, .. } = self;
        // Opening a database may write to it.
        place.is_still(*whereabouts)?;
        let database = file::open(&place.file())?;
        let label = file::label(&database, place);
        let label = label.map_err(|error| io::Error::other(error.to_string()))?;
        // It may have been overwritten where it was.
        if label.epoch != *epoch || label.whereabouts != *whereabouts {
            return Err(redb::Error::Io(place::replaced()));
        }
        Ok(database)
    }
}

// R8: an epoch is new whenever the numbers may mean something else.
fn why_new(label: &Label, whereabouts: place::Whereabouts) -> Option<NewEpoch> {
    if label.epoch.is_empty() {
        Some(NewEpoch::First)
    } else if label.run == Run::Unsynced.text() {
        Some(NewEpoch::Unsynced)
    } else if label.whereabouts != whereabouts {
        Some(NewEpoch::Moved)
    } else {
        None
    }
}

/// Reads everything, on the loop's thread.
fn load(database: &Database, place: &Place) -> Result<(Stored, Tally), OpenError> {
    let path = place.file();
    let (stored, tally, problems) =
        recover(database).map_err(|error| OpenError::of(place.dir(), &path, error))?;
    match (problems.first.first(), problems.count) {
        (None, _) => Ok((stored, tally)),
        (Some(problem), 1) => Err(OpenError::damaged(place.dir(), problem)),
        (Some(problem), count) => {
            let what = format!("{problem}, and {} more such things", count - 1);
            Err(OpenError::damaged(place.dir(), what))
        }
    }
}

/// Puts what is in the journal where it belongs, if nothing is wrong, and reads everything.
fn recover(database: &Database) -> Result<(Stored, Tally, Problems), redb::Error> {
    let journal = guarded(|| journal::survey(&database.begin_read()?, &mut Problems::default()))?;
    if journal.batches > 0 {
        let Survey { tally, problems, .. } = survey(database)?;
        // Damaged files are left as they are.
        if problems.count > 0 {
            return Ok((Stored::default(), tally, problems));
        }
        guarded(|| {
            let txn = file::begin(database, Sync::Immediate)?;
            journal::replay(&txn, Damage::Refuse)?;
            Ok(txn.commit()?)
        })?;
    }
    guarded(|| {
        let txn = database.begin_read()?;
        let mut reader = Reader::new(&txn)?;
        let mut stored = Stored { server: reader.server(), ..Stored::default() };
        reader.everybody(|name, found| {
            stored.users.push((Rc::from(name), Some(record(found, Some))));
        })?;
        reader.answers(|request, answer| stored.answers.push((Rc::from(request), answer)))?;
        Ok((stored, reader.tally, reader.problems))
    })
}

/// What was found in a file.
struct Survey {
    /// As the tables say.
    server: ServerState,
    /// Of the tables.
    tally: Tally,
    /// Of the tables and the journal.
    problems: Problems,
    journal: journal::Content,
}

/// Goes through the tables as they are, and through the journal.
fn survey(database: &Database) -> Result<Survey, redb::Error> {
    guarded(|| {
        let txn = database.begin_read()?;
        let mut reader: Reader<Head> = Reader::new(&txn)?;
        reader.everybody(|_, _| {})?;
        reader.answers(|_, _| {})?;
        let journal = journal::survey(&txn, &mut reader.problems)?;
        let server = reader.server();
        Ok(Survey { server, tally: reader.tally, problems: reader.problems, journal })
    })
}

/// What the thread has read, as the loop takes it: an entry that several have is one entry.
fn stored(answer: Answer) -> Stored {
    let mut made: HashMap<Seq, Entry, RandomState> = HashMap::default();
    let mut entry = |raw: Raw| -> Option<Entry> {
        if let Some(entry) = made.get(&raw.seq) {
            return Some(entry.clone());
        }
        // The thread has looked: these bytes are an entry.
        let entry = Entry::from_bytes(Rc::from(&*raw.bytes))?;
        made.insert(raw.seq, entry.clone());
        Some(entry)
    };
    let users = answer.users.into_iter();
    let users = users
        .map(|(name, found)| (Rc::from(name), found.map(|found| record(found, &mut entry))))
        .collect();
    Stored { server: answer.server, users, answers: Vec::new() }
}

fn record<E>(found: Found<E>, entry: impl FnMut(E) -> Option<Entry>) -> StoredRecord {
    let clients = found.clients.into_iter();
    StoredRecord {
        dropped: found.row.dropped,
        acked: found.row.acked,
        seen: found.row.seen,
        entries: found.entries.into_iter().filter_map(entry).collect(),
        clients: clients.map(|(name, row)| (Rc::from(name), row.numbers, row.seen)).collect(),
        groups: found.groups.into_iter().map(Rc::from).collect(),
    }
}

#[cfg(unix)]
fn catch_file_size_signal() -> io::Result<()> {
    use std::sync::Once;
    use std::sync::atomic::AtomicBool;
    static CAUGHT: Once = Once::new();
    let mut result = Ok(());
    CAUGHT.call_once(|| {
        let signal = signal_hook::consts::SIGXFSZ;
        // Nobody looks at it: the write fails, and that says it.
        let flag = Arc::new(AtomicBool::new(false));
        result = signal_hook::flag::register(signal, flag).map(|_| ());
    });
    result
}

#[cfg(not(unix))]
fn catch_file_size_signal() -> io::Result<()> {
    Ok(())
}

/// How many bytes of changes may wait for the disk. Beyond that, their senders are asked to wait.
const WAITING_MAX_BYTES: usize = 64 << 20;
/// How many empty batches are kept to be filled again.
const SPARE_MAX: usize = 4;
