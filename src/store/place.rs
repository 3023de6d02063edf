//! The place: a directory, the file in it, and who may have it.
//!
//! ```text
//!   /var/lib/switchboard/                  0700, locked by the server that uses it
//!     switchboard.redb                     0600
//!     switchboard.redb.new                 only while a store is made: it is renamed when whole
//! ```
//!
//! This module does not know what is in the file.

use std::fs::{self, DirBuilder, File, OpenOptions, TryLockError};
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};

use super::error::OpenError;

/// A directory for a store, locked until this value goes.
#[derive(Debug)]
pub(super) struct Place {
    dir: PathBuf,
    /// Held for its lock. `None` where directories cannot be locked: the file has a lock too.
    _lock: Option<File>,
}

/// Where a file really is: a copy of it is somewhere else.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Whereabouts {
    pub device: u64,
    pub inode: u64,
}

/// Who may put files into a store's directory, or take some away.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Openness {
    /// Every user of the machine; the mode of the directory.
    Everybody(u32),
    /// Its owner, and the owner's group at most.
    Owner,
}

impl Place {
    /// Makes the directory if there is none, and locks it.
    pub fn prepare(dir: &Path) -> Result<Place, OpenError> {
        match make_directory(dir) {
            Ok(()) => {}
            // In the way is something that is no directory.
            Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
            Err(error) => return Err(OpenError::io(dir, error)),
        }
        Place::lock(dir)
    }

    /// Locks a directory that is there.
    pub fn lock(dir: &Path) -> Result<Place, OpenError> {
        let metadata = fs::metadata(dir).map_err(|error| OpenError::io(dir, error))?;
        if !metadata.is_dir() {
            return Err(OpenError::NotADirectory(dir.to_owned()));
        }
        let lock = File::open(dir).map_err(|error| OpenError::io(dir, error))?;
        let lock = match lock.try_lock() {
            Ok(()) => Some(lock),
            Err(TryLockError::WouldBlock) => return Err(OpenError::InUse(dir.to_owned())),
            // Some network file systems have no locks for directories.
            Err(TryLockError::Error(_)) => None,
        };
        Ok(Place { dir: dir.to_owned(), _lock: lock })
    }

    /// The directory.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// The file.
    pub fn file(&self) -> PathBuf {
        self.dir.join(FILE)
    }

    /// Who may put files into the directory.
    pub fn openness(&self) -> io::Result<Openness> {
        fs::metadata(&self.dir).map(|metadata| openness(&metadata))
    }

    /// Whether there is a file.
    pub fn has_file(&self) -> Result<bool, OpenError> {
        let file = self.file();
        file.try_exists().map_err(|error| OpenError::io(&file, error))
    }

    /// An empty file for a store that is being made. One that was not finished goes.
    pub fn begin(&self) -> io::Result<File> {
        let path = self.unfinished();
        match fs::remove_file(&path) {
            Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let mut options = OpenOptions::new();
        options.read(true).write(true).create_new(true);
        private_file(&mut options);
        options.open(path)
    }

    /// Gives the file its name, now that it is whole.
    pub fn finish(&self) -> io::Result<()> {
        fs::rename(self.unfinished(), self.file())?;
        // Otherwise the name may be gone after a power cut, and with it what was committed since.
        File::open(&self.dir)?.sync_all()
    }

    /// Where the file is now.
    pub fn whereabouts(&self) -> io::Result<Whereabouts> {
        fs::metadata(self.file()).map(|metadata| whereabouts(&metadata))
    }

    /// That the file is where it was, and not another one.
    pub fn is_still(&self, whereabouts: Whereabouts) -> io::Result<()> {
        match self.whereabouts() {
            Ok(now) if now == whereabouts => Ok(()),
            Ok(_) => Err(replaced()),
            Err(error) => Err(error),
        }
    }

    /// The file, open, so that its inode is given to no other when it is removed.
    pub fn hold(&self) -> io::Result<File> {
        File::open(self.file())
    }

    fn unfinished(&self) -> PathBuf {
        self.dir.join(format!("{FILE}.new"))
    }
}

/// What is said if there is another file in the place of a server's own.
pub(super) fn replaced() -> io::Error {
    io::Error::other("the file was replaced while the server was using it")
}

#[cfg(unix)]
fn make_directory(dir: &Path) -> io::Result<()> {
    use std::os::unix::fs::DirBuilderExt;
    DirBuilder::new().recursive(true).mode(0o700).create(dir)
}

#[cfg(not(unix))]
fn make_directory(dir: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).create(dir)
}

#[cfg(unix)]
fn private_file(options: &mut OpenOptions) {
    use std::os::unix::fs::OpenOptionsExt;
    options.mode(0o600);
}

#[cfg(not(unix))]
fn private_file(_options: &mut OpenOptions) {}

#[cfg(unix)]
fn openness(metadata: &fs::Metadata) -> Openness {
    use std::os::unix::fs::PermissionsExt;
    const OTHERS_WRITE: u32 = 0o002;
    let mode = metadata.permissions().mode() & 0o7777;
    match mode & OTHERS_WRITE {
        0 => Openness::Owner,
        _ => Openness::Everybody(mode),
    }
}

/// Elsewhere permissions are no digits, and nothing is said about them.
#[cfg(not(unix))]
fn openness(_metadata: &fs::Metadata) -> Openness {
    Openness::Owner
}

#[cfg(unix)]
fn whereabouts(metadata: &fs::Metadata) -> Whereabouts {
    use std::os::unix::fs::MetadataExt;
    Whereabouts { device: metadata.dev(), inode: metadata.ino() }
}

/// Where nothing tells two places apart, none is another.
#[cfg(not(unix))]
fn whereabouts(_metadata: &fs::Metadata) -> Whereabouts {
    Whereabouts { device: 0, inode: 0 }
}

const FILE: &str = "switchboard.redb";
