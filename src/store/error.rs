//! Why a store cannot be opened.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

/// Why a store cannot be opened. Nothing in it was changed.
#[derive(Debug)]
#[non_exhaustive]
pub enum OpenError {
    /// The file is damaged; the text says how.
    Damaged {
        /// The directory.
        dir: PathBuf,
        /// What is wrong.
        what: String,
    },
    /// There is a file of the store's name that is none.
    Foreign(PathBuf),
    /// Another server, or a check, has it open.
    InUse(PathBuf),
    /// The system says no.
    Io {
        /// Where.
        path: PathBuf,
        /// Why.
        error: io::Error,
    },
    /// There is no store in this directory.
    Missing(PathBuf),
    /// A newer version has written it.
    Newer {
        /// The file.
        path: PathBuf,
        /// The format it has.
        format: u64,
    },
    /// It is to be a directory, and is something else.
    NotADirectory(PathBuf),
}

impl OpenError {
    pub(super) fn io(path: &Path, error: io::Error) -> OpenError {
        OpenError::Io { path: path.to_owned(), error }
    }

    pub(super) fn damaged(dir: &Path, what: impl fmt::Display) -> OpenError {
        OpenError::Damaged { dir: dir.to_owned(), what: what.to_string() }
    }

    /// What redb says about the file of this directory.
    pub(super) fn of(dir: &Path, file: &Path, error: redb::Error) -> OpenError {
        match error {
            redb::Error::DatabaseAlreadyOpen | redb::Error::LockProtocolMismatch => {
                OpenError::InUse(dir.to_owned())
            }
            redb::Error::UpgradeRequired(_) => OpenError::Foreign(file.to_owned()),
            redb::Error::Io(error) if error.kind() == io::ErrorKind::InvalidData => {
                OpenError::Foreign(file.to_owned())
            }
            // The file is shorter than it says it is.
            redb::Error::Io(error) if error.kind() == io::ErrorKind::UnexpectedEof => {
                OpenError::damaged(dir, "the file ends too early")
            }
            redb::Error::Io(error) => OpenError::io(file, error),
            error => OpenError::damaged(dir, error),
        }
    }
}

impl fmt::Display for OpenError {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            OpenError::Damaged { dir, what } => {
                let dir = dir.display();
                write!(
                    out,
                    "{dir}: the store is damaged: {what}; `switchboard check-data {dir}` says what \
                     is there"
                )
            }
            OpenError::Foreign(path) => {
                write!(out, "{}: is not a store of switchboard, and is left alone", path.display())
            }
            OpenError::InUse(dir) => {
                write!(out, "{}: another process has this store open", dir.display())
            }
            OpenError::Io { path, error } => write!(out, "{}: {error}", path.display()),
            OpenError::Missing(dir) => write!(out, "{}: there is no store here", dir.display()),
            OpenError::Newer { path, format } => write!(
                out,
                "{}: a newer version of switchboard has written this (format {format})",
                path.display()
            ),
            OpenError::NotADirectory(path) => {
                write!(out, "{}: is not a directory", path.display())
            }
        }
    }
}

impl std::error::Error for OpenError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            OpenError::Io { error, .. } => Some(error),
            _ => None,
        }
    }
}
