//! A small file that is replaced as a whole, so that whoever reads it finds all of one version.
//!
//! ```text
//!   FILE.new: write, fsync -> rename to FILE -> fsync of the folder
//! ```
//!
//! This module does not know what stands in it.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

/// Replaces a file, durably: when this returns, the new text survives a crash of the machine, and
/// before that the old one does. Only its owner may read the file.
///
/// # Errors
///
/// What the system says. The old text may be there, or the new one.
pub fn replace_file(path: &Path, text: &str) -> io::Result<()> {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(".new");
    let new = path.with_file_name(name);
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let mut file = options.open(&new)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()?;
    fs::rename(&new, path)?;
    sync_folder(path)
}

/// The name of a file is in its folder.
#[cfg(unix)]
fn sync_folder(path: &Path) -> io::Result<()> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    File::open(folder.map_or_else(|| PathBuf::from("."), Path::to_path_buf))?.sync_all()
}

/// Elsewhere folders cannot be opened.
#[cfg(not(unix))]
fn sync_folder(_path: &Path) -> io::Result<()> {
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_replaced_as_a_whole() {
        let path = std::env::temp_dir().join(format!("switchboard-keep-{}", std::process::id()));
        for text in ["a long text", "short"] {
            replace_file(&path, text).unwrap();
            assert_eq!(fs::read_to_string(&path).unwrap(), text);
        }
        assert!(!path.with_extension("new").exists());
        fs::remove_file(&path).unwrap();
        assert!(replace_file(Path::new("/nowhere/at/all"), "").is_err());
    }
}
