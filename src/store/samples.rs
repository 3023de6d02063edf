//! Samples for the tests of this module: entries, and changes at random.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use crate::relay::log::{Draft, Echo, Entry, Receipt, Seq, Stamp, To};

/// An entry from bob to alice.
pub fn entry(seq: u64, content: &str) -> Entry {
    let content = format!("\"{content}\"");
    let draft = Draft {
        seq: Some(Seq(seq)),
        at: Stamp(1_000 + seq),
        sender: "bob",
        client: "c8f3",
        id: seq,
        to: To::User("alice"),
        content: &content,
        echo: Echo::No,
        receipt: Receipt::Unasked,
    };
    Entry::new(&draft)
}

/// A directory that goes when it goes.
#[derive(Debug)]
pub struct Folder(PathBuf);

impl Folder {
    /// An empty one.
    pub fn new() -> Folder {
        static COUNT: AtomicU64 = AtomicU64::new(0);
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let name = format!("switchboard-store-{}-{number}", std::process::id());
        let path = std::env::temp_dir().join(name);
        let _ = std::fs::remove_dir_all(&path);
        std::fs::create_dir_all(&path).expect("a directory for temporary files");
        Folder(path)
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// Numbers that look random and come again with the same seed.
#[derive(Debug)]
pub struct Chance(pub u64);

impl Chance {
    /// A number below a limit.
    pub fn below(&mut self, limit: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        ((mixed ^ (mixed >> 31)) % limit as u64) as usize
    }
}
