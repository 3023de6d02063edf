//! Nearest: which word was probably meant.
//!
//! ```text
//!   "sned"    of send, group, join: send     two letters changed places: 1 step
//!   "messages-per-secnd"                     one letter is missing: 1 step
//!   "kick"    of send, group, join: nothing is near
//! ```
//!
//! A step is a letter that is wrong, missing, too many, or has changed places with the next one.
//!
//! This module does not know what the words mean.

use strsim::osa_distance;

/// The word of the list that is fewest steps away, if those are at most a third of its letters.
pub(super) fn nearest(
    word: &str,
    words: impl IntoIterator<Item = &'static str>,
) -> Option<&'static str> {
    // What is longer than any of them by far is none of them.
    if word.len() > LEN_MAX {
        return None;
    }
    let counted = words.into_iter().map(|known| (osa_distance(word, known), known));
    let (steps, known) = counted.min_by_key(|(steps, _)| *steps)?;
    (steps <= known.len().div_ceil(3)).then_some(known)
}

/// Longer than any word there is.
const LEN_MAX: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_are_letters_wrong_missing_too_many_or_swapped() {
        for (from, to, wanted) in [
            ("", "", 0),
            ("send", "send", 0),
            ("", "send", 4),
            ("send", "", 4),
            ("sned", "send", 1),
            ("snd", "send", 1),
            ("sendd", "send", 1),
            ("sand", "send", 1),
            ("esnd", "send", 1),
            ("dnes", "send", 3),
            ("éa", "aé", 1),
        ] {
            assert_eq!(osa_distance(from, to), wanted, "{from} {to}");
        }
    }

    #[test]
    fn what_is_far_from_all_is_none_of_them() {
        let words = ["broadcast", "group", "join", "send"];
        assert_eq!(nearest("brodcats", words), Some("broadcast"));
        assert_eq!(nearest("Send", words), Some("send"));
        assert_eq!(nearest("kick", words), None);
        assert_eq!(nearest("", words), None);
        assert_eq!(nearest(&"send".repeat(100), words), None);
        assert_eq!(nearest("send", []), None);
    }
}
