//! Environment variables that look like ours and are not: `SWITCHBOARD_MAX_MESAGE`.
//!
//! A misspelled flag stops the program; a misspelled variable cannot, because the environment is
//! shared with others (a container platform makes variables named after services). So it is
//! reported, with the name that was probably meant.

use std::ffi::OsString;

use strsim::levenshtein;

use super::setting;

/// One text per name that begins as ours do and is none of them, in the order of the alphabet.
pub fn unknown_variables(names: impl Iterator<Item = OsString>) -> Vec<String> {
    let known: Vec<String> = setting::variables().collect();
    let names = names.map(|name| name.to_string_lossy().into_owned());
    let mut unknown: Vec<String> =
        names.filter(|name| name.starts_with(PREFIX) && !known.contains(name)).collect();
    unknown.sort();
    unknown.iter().map(|name| warning(name, &known)).collect()
}

fn warning(name: &str, known: &[String]) -> String {
    let shown: String = name.escape_debug().take(SHOWN_MAX).collect();
    // What all have in common is no likeness.
    let rest = &name[PREFIX.len()..];
    let known = known.iter().filter_map(|known| known.strip_prefix(PREFIX));
    match nearest(rest, known) {
        Some(known) => {
            format!("environment variable {shown} is unknown: is it {PREFIX}{known}?")
        }
        None => format!("environment variable {shown} is unknown and has no effect"),
    }
}

/// The known name with the fewest edits, if these are few for its length.
pub(super) fn nearest<'a>(name: &str, known: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    if name.len() > SHOWN_MAX {
        return None;
    }
    let (_, known) = known.map(|known| (levenshtein(name, known), known)).min()?;
    is_near(name, known).then_some(known)
}

/// Whether one text may be a misspelling of the other: few edits for its length.
pub(super) fn is_near(from: &str, to: &str) -> bool {
    from.len() <= SHOWN_MAX && levenshtein(from, to) <= 1 + from.len() / 5
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
            assert_eq!(levenshtein(from, to), wanted, "{from} {to}");
        }
    }

    #[test]
    fn unknown_names_are_reported_with_what_was_meant() {
        let names = ["PATH", "SWITCHBOARD_MAX_MESAGE", "SWITCHBOARD_LOG", "SWITCHBOARD_COLOUR"];
        let texts = unknown_variables(names.into_iter().map(OsString::from));
        assert_eq!(texts.len(), 2);
        assert!(texts[0].contains("SWITCHBOARD_COLOUR is unknown and has no effect"));
        assert!(texts[1].ends_with("is it SWITCHBOARD_MAX_MESSAGE?"), "{}", texts[1]);
        assert_eq!(
            unknown_variables(setting::variables().map(OsString::from)),
            Vec::<String>::new()
        );
    }

    #[test]
    fn names_that_are_long_or_odd_do_no_harm() {
        let long = format!("SWITCHBOARD_{}", "X".repeat(100_000));
        let odd = "SWITCHBOARD_\n\x1b[2J".to_owned();
        let texts = unknown_variables([long, odd].into_iter().map(OsString::from));
        assert!(texts.iter().all(|text| text.len() < 160 && !text.contains(['\n', '\x1b'])));
    }
}
