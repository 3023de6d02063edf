//! Loading: what the files of a plan say.
//!
//! This module does not know what the contents mean.

use std::io;
use std::path::{Path, PathBuf};

use super::plan::Plan;
use super::text_file::FileText;
use super::{Auth, Exit, Stream, usage_errors};

/// Reads every file of a plan, and says what is wrong with it and with the plan.
pub(super) fn check(
    plan: &Plan,
    mut problems: Vec<String>,
    read: &dyn Fn(&Path) -> io::Result<FileText>,
) -> Exit {
    let auth = match &plan.access.auth {
        Auth::Tokens(file) | Auth::Jwt { key: Some(file), .. } => Some(file),
        _ => None,
    };
    let files: Vec<&PathBuf> =
        auth.into_iter().chain(&plan.access.policy).chain(&plan.keys.file).collect();
    for file in files {
        if let Err(error) = read(file) {
            problems.push(format!("{}: {error}", file.display()));
        }
    }
    if !problems.is_empty() {
        return usage_errors(&problems);
    }
    let text = "the configuration is complete and valid\n".to_owned();
    Exit { code: 0, text, stream: Stream::Stdout }
}
