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

/// The word of the list that is fewest steps away, if those are at most a third of its letters.
pub(super) fn nearest(
    word: &str,
    words: impl IntoIterator<Item = &'static str>,
) -> Option<&'static str> {
    // What is longer than any of them by far is none of them.
    if word.len() > LEN_MAX {
        return None;
    }
    let counted = words.into_iter().map(|known| (steps(word, known), known));
    let (steps, known) = counted.min_by_key(|(steps, _)| *steps)?;
    (steps <= known.len().div_ceil(3)).then_some(known)
}

fn steps(from: &str, to: &str) -> usize {
    let to: Vec<char> = to.chars().collect();
    // A row for each letter of `from`: the steps to the first letters of `to`, and the row before.
    let mut before: Vec<usize> = Vec::new();
    let mut last: Vec<usize> = (0..=to.len()).collect();
    let mut previous = None;
    for (row, letter) in from.chars().enumerate() {
        let mut next = vec![row + 1];
        for (column, &other) in to.iter().enumerate() {
            let changed = last[column] + usize::from(letter != other);
            let mut fewest = changed.min(last[column + 1] + 1).min(next[column] + 1);
            if column > 0 && previous == Some(other) && letter == to[column - 1] {
                fewest = fewest.min(before[column - 1] + 1);
            }
            next.push(fewest);
        }
        before = std::mem::replace(&mut last, next);
        previous = Some(letter);
    }
    last[to.len()]
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
            assert_eq!(steps(from, to), wanted, "{from} {to}");
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
