//! Environment variables that look like ours and are not: `SWITCHBOARD_MAX_MESAGE`.
//!
//! A misspelled flag stops the program; a misspelled variable cannot, because the environment is
//! shared with others (a container platform makes variables named after services). So it is
//! reported, with the name that was probably meant.

use std::ffi::OsString;

use super::{BROADCAST, LISTEN, LOG, OPEN};
use crate::config::LIMITS;

/// One text per name that begins as ours do and is none of them, in the order of the alphabet.
pub fn unknown_variables(names: impl Iterator<Item = OsString>) -> Vec<String> {
    let names = names.map(|name| name.to_string_lossy().into_owned());
    let mut unknown: Vec<String> = names
        .filter(|name| name.starts_with(PREFIX) && known().all(|known| known != name))
        .collect();
    unknown.sort();
    unknown.iter().map(|name| warning(name)).collect()
}

fn warning(name: &str) -> String {
    let shown: String = name.escape_debug().take(SHOWN_MAX).collect();
    match nearest(name) {
        Some(known) => format!("environment variable {shown} is unknown: is it {known}?"),
        None => format!("environment variable {shown} is unknown and has no effect"),
    }
}

/// The known name with the fewest edits, if these are few for its length.
fn nearest(name: &str) -> Option<&'static str> {
    let rest = name.strip_prefix(PREFIX)?;
    if rest.len() > SHOWN_MAX {
        return None;
    }
    let scored = known().map(|known| (edits(rest, &known[PREFIX.len()..]), known));
    let (_, known) = scored.min()?;
    is_near(rest, &known[PREFIX.len()..]).then_some(known)
}

/// Whether one text may be a misspelling of the other: few edits for its length.
pub(super) fn is_near(from: &str, to: &str) -> bool {
    from.len() <= SHOWN_MAX && edits(from, to) <= 1 + from.len() / 5
}

/// How many bytes have to be inserted, removed or replaced to make one text of the other
/// (Levenshtein distance, one row at a time).
fn edits(from: &str, to: &str) -> usize {
    let mut row: Vec<usize> = (0..=to.len()).collect();
    for (above, from_byte) in from.bytes().enumerate() {
        let mut diagonal = above;
        row[0] = above + 1;
        for (left, to_byte) in to.bytes().enumerate() {
            let replaced = diagonal + usize::from(from_byte != to_byte);
            diagonal = row[left + 1];
            row[left + 1] = replaced.min(row[left] + 1).min(diagonal + 1);
        }
    }
    row[to.len()]
}

fn known() -> impl Iterator<Item = &'static str> {
    let settings = [LISTEN.env, OPEN.env, BROADCAST.env, LOG.env];
    settings.into_iter().chain(LIMITS.iter().map(|limit| limit.env))
}

const PREFIX: &str = "SWITCHBOARD_";
/// Longer names are cut in the warning, and compared with nothing.
const SHOWN_MAX: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn edits_are_counted() {
        let cases = [("", "", 0), ("abc", "abc", 0), ("", "abc", 3), ("abc", "", 3)];
        for (from, to, wanted) in
            cases.into_iter().chain([("kitten", "sitting", 3), ("ab", "ba", 2)])
        {
            assert_eq!(edits(from, to), wanted, "{from} {to}");
        }
    }

    #[test]
    fn unknown_names_are_reported_with_what_was_meant() {
        let names = ["PATH", "SWITCHBOARD_MAX_MESAGE", "SWITCHBOARD_LOG", "SWITCHBOARD_COLOUR"];
        let texts = unknown_variables(names.into_iter().map(OsString::from));
        assert_eq!(texts.len(), 2);
        assert!(texts[0].contains("SWITCHBOARD_COLOUR is unknown and has no effect"));
        assert!(texts[1].ends_with("is it SWITCHBOARD_MAX_MESSAGE?"), "{}", texts[1]);
        assert_eq!(unknown_variables(known().map(OsString::from)), Vec::<String>::new());
    }

    #[test]
    fn names_that_are_long_or_odd_do_no_harm() {
        let long = format!("SWITCHBOARD_{}", "X".repeat(100_000));
        let odd = "SWITCHBOARD_\n\x1b[2J".to_owned();
        let texts = unknown_variables([long, odd].into_iter().map(OsString::from));
        assert!(texts.iter().all(|text| text.len() < 160 && !text.contains(['\n', '\x1b'])));
    }
}
