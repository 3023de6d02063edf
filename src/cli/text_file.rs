//! Files with settings in them: configuration, tokens, keys, policies.
//!
//! ```text
//! /etc/switchboard/tokens.json   -rw-r-----   read; for its owner and his group alone
//! /etc/switchboard/tokens.json   -rw-r--r--   read; a secret in it is everybody's
//! /etc/switchboard/              not a file
//! ```
//!
//! This module does not know what stands in a file.

use std::fs::{self, Metadata};
use std::io;
use std::path::Path;

/// A file's text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileText {
    /// What is in it.
    pub text: String,
    /// Who may read it.
    pub exposure: Exposure,
}

/// Who may read a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exposure {
    /// Every user of the machine.
    Everybody,
    /// Its owner, and his group at most.
    Owner,
}

/// Reads a file of text.
///
/// # Errors
///
/// What the system says; and for what is no file, is longer than 64 MiB, or is not UTF-8.
pub fn read_file(path: &Path) -> io::Result<FileText> {
    // Before it is opened: a pipe that nobody writes to would be waited for.
    check(&fs::metadata(path)?)?;
    let file = fs::File::open(path)?;
    let metadata = file.metadata()?;
    check(&metadata)?;
    match io::read_to_string(file) {
        Ok(text) => Ok(FileText { text, exposure: exposure(&metadata) }),
        Err(error) if error.kind() == io::ErrorKind::InvalidData => {
            Err(io::Error::new(io::ErrorKind::InvalidData, "not UTF-8"))
        }
        Err(error) => Err(error),
    }
}

fn check(metadata: &Metadata) -> io::Result<()> {
    if !metadata.is_file() {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "not a file"));
    }
    if metadata.len() > FILE_MAX_BYTES {
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, "longer than 64 MiB"));
    }
    Ok(())
}

#[cfg(unix)]
fn exposure(metadata: &Metadata) -> Exposure {
    use std::os::unix::fs::PermissionsExt;
    const OTHERS_READ: u32 = 0o004;
    match metadata.permissions().mode() & OTHERS_READ {
        0 => Exposure::Owner,
        _ => Exposure::Everybody,
    }
}

/// Elsewhere permissions are no three digits, and nothing is said about them.
#[cfg(not(unix))]
fn exposure(_metadata: &Metadata) -> Exposure {
    Exposure::Owner
}

/// A million tokens.
const FILE_MAX_BYTES: u64 = 64 << 20;
