//! The corpus that has names: what a person would try first, written down once.
//!
//! ```text
//! cargo run --example seeds        writes corpus/TARGET/NAME for each
//! ```
//!
//! A name says what the input shows, and has a hyphen in it; what a fuzzer finds is named by its
//! hash and stays out of the repository until somebody gives it a name here.

mod deflate;
mod engine;
mod frames;
mod sessions;
mod text;

use std::path::{Path, PathBuf};

/// An input with a name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seed {
    /// Whose corpus it belongs to.
    pub target: &'static str,
    /// What it shows, in words with hyphens.
    pub name: &'static str,
    /// The input.
    pub bytes: Vec<u8>,
}

impl Seed {
    /// Where it is kept, in the folder of the corpora.
    pub fn path(&self, corpora: &Path) -> PathBuf {
        corpora.join(self.target).join(self.name)
    }
}

/// All of them.
pub fn all() -> Vec<Seed> {
    [frames::seeds(), deflate::seeds(), text::seeds(), sessions::seeds(), engine::seeds()].concat()
}

/// Seeds of one target, from a table of names and inputs.
fn table<B: AsRef<[u8]>>(target: &'static str, rows: &[(&'static str, B)]) -> Vec<Seed> {
    let seed =
        |(name, bytes): &(&'static str, B)| Seed { target, name, bytes: bytes.as_ref().to_vec() };
    rows.iter().map(seed).collect()
}
