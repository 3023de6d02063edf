//! A disk in memory that fails when a test wants it to, and remembers what a crash would leave.
//!
//! ```text
//!   write write sync | write write sync | write -> error       "fail at the 7th operation"
//!                    ^ a power cut leaves this; a killed process leaves everything
//! ```

use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use redb::{Database, StorageBackend};

use super::writer::Habits;
use super::{Durable, file, recover};
use crate::config::Durability;
use crate::relay::log::Stored;

/// The disk; clones are the same one.
#[derive(Clone, Debug, Default)]
pub struct FailingDisk(Arc<Mutex<State>>);

#[derive(Debug, Default)]
struct State {
    bytes: Vec<u8>,
    /// What is there for sure.
    synced: Vec<u8>,
    /// What the file looked like after each operation that changed it, if that is wanted.
    history: Option<Vec<Vec<u8>>>,
    /// How many of these there were at each sync.
    syncs: Vec<usize>,
    /// How many there were whenever the store said something.
    said: Vec<usize>,
    /// How many operations are left before they fail.
    left: Option<u32>,
    error: i32,
    /// Whether a database is on it.
    is_taken: bool,
}

/// As patient as a test.
pub const HABITS: Habits = Habits {
    durability: Durability::Commit,
    journal_max: 1 << 20,
    later: Duration::from_millis(5),
    pause_min: Duration::from_millis(1),
};

impl FailingDisk {
    /// One with these bytes on it.
    pub fn with(bytes: Vec<u8>) -> FailingDisk {
        let state = State { synced: bytes.clone(), bytes, ..State::default() };
        FailingDisk(Arc::new(Mutex::new(state)))
    }

    /// One with an empty store on it.
    pub fn empty() -> FailingDisk {
        let disk = FailingDisk::default();
        let database =
            file::builder().create_with_backend(disk.clone()).expect("a disk that works");
        file::initialize(&database).expect("a disk that works");
        disk
    }

    /// Starts a store on it.
    pub fn start(&self, durability: Durability) -> Durable {
        self.start_with(Habits { durability, ..HABITS })
    }

    /// Starts a store with its own habits.
    pub fn start_with(&self, habits: Habits) -> Durable {
        let disk = self.clone();
        let database = disk.open().expect("a disk that works");
        let opener = move || disk.open();
        let disk = self.clone();
        let wake = move || {
            let mut state = disk.state();
            let changes = state.history.as_ref().map(Vec::len);
            state.said.extend(changes);
        };
        Durable::start(database, habits, opener, || Ok(()), wake).expect("a thread")
    }

    /// What a server would find on it.
    pub fn stored(&self) -> Stored {
        let (stored, _, problems) =
            recover(&self.open().expect("a disk that works")).expect("a disk that works");
        assert_eq!(problems.count, 0, "{problems:?}");
        stored
    }

    /// After so many more operations, all fail with this error of the system.
    pub fn fail_after(&self, operations: u32, error: i32) {
        let mut state = self.state();
        state.left = Some(operations);
        state.error = error;
    }

    /// It works again.
    pub fn heal(&self) {
        self.state().left = None;
    }

    /// From now on, every state of the file is kept.
    pub fn remember(&self) {
        self.state().history = Some(Vec::new());
    }

    /// How many states there were whenever the store said something.
    pub fn said(&self) -> Vec<usize> {
        self.state().said.clone()
    }

    /// How many states there were whenever all was synced.
    pub fn syncs(&self) -> Vec<usize> {
        self.state().syncs.clone()
    }

    /// The states of the file.
    pub fn history(&self) -> Vec<Vec<u8>> {
        self.state().history.take().unwrap_or_default()
    }

    /// What is on it now: what a process that is killed leaves.
    pub fn bytes(&self) -> Vec<u8> {
        self.state().bytes.clone()
    }

    /// What a power cut leaves at least.
    pub fn synced(&self) -> Vec<u8> {
        self.state().synced.clone()
    }

    /// Opens the database on it.
    pub fn open(&self) -> Result<Database, redb::Error> {
        let disk = self.clone();
        // Two on the same disk would overwrite each other; files are locked against that.
        let is_taken = std::mem::replace(&mut disk.state().is_taken, true);
        assert!(!is_taken, "a disk is for one database");
        file::guarded(|| Ok(file::builder().create_with_backend(disk)?))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn change(&self) -> io::Result<MutexGuard<'_, State>> {
        let mut state = self.state();
        match &mut state.left {
            Some(0) => return Err(io::Error::from_raw_os_error(state.error)),
            Some(left) => *left -= 1,
            None => {}
        }
        Ok(state)
    }
}

impl State {
    fn changed(&mut self) {
        let bytes = &self.bytes;
        if let Some(history) = &mut self.history {
            history.push(bytes.clone());
        }
    }
}

impl StorageBackend for FailingDisk {
    fn len(&self) -> io::Result<u64> {
        Ok(self.state().bytes.len() as u64)
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        let state = self.state();
        let bytes = state.bytes.get(offset as usize..).and_then(|rest| rest.get(..out.len()));
        let bytes = bytes.ok_or(io::ErrorKind::UnexpectedEof)?;
        out.copy_from_slice(bytes);
        Ok(())
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        let mut state = self.change()?;
        state.bytes.resize(len as usize, 0);
        state.changed();
        Ok(())
    }

    fn sync_data(&self) -> io::Result<()> {
        let mut state = self.change()?;
        state.synced = state.bytes.clone();
        let changes = state.history.as_ref().map(Vec::len);
        state.syncs.extend(changes);
        Ok(())
    }

    fn close(&self) -> io::Result<()> {
        self.state().is_taken = false;
        Ok(())
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        let mut state = self.change()?;
        let end = offset as usize + data.len();
        // As a file does: it grows.
        let len = state.bytes.len().max(end);
        state.bytes.resize(len, 0);
        state.bytes[offset as usize..end].copy_from_slice(data);
        state.changed();
        Ok(())
    }
}
