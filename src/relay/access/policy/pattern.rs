//! Patterns: which names a permission is for.
//!
//! ```text
//!   support-1     that name and no other
//!   support-*     all that begin with `support-`, and `support-` itself
//!   *             all
//! ```
//!
//! A star stands at the end, once, or nowhere. So two sorted lists are enough: a name is looked up
//! in the one, and the last prefix that is not behind it in the other is the only one that can be
//! its beginning. Matching costs the length of the name times the logarithm of the number of
//! patterns, whatever they are.
//!
//! This module does not know what the names are names of.

use std::fmt;

/// One pattern, as a policy has it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Pattern {
    /// Exactly this name.
    Exact(Box<str>),
    /// Every name that begins so.
    Prefix(Box<str>),
}

impl Pattern {
    /// Reads a pattern.
    ///
    /// # Errors
    ///
    /// If it is empty, or has a star anywhere but at its end.
    pub fn parse(text: &str) -> Result<Pattern, PatternError> {
        if text.is_empty() {
            return Err(PatternError::Empty);
        }
        let (stem, is_prefix) = match text.strip_suffix('*') {
            Some(stem) => (stem, true),
            None => (text, false),
        };
        if stem.contains('*') {
            return Err(PatternError::Star);
        }
        let stem = Box::from(stem);
        Ok(if is_prefix { Pattern::Prefix(stem) } else { Pattern::Exact(stem) })
    }

    /// The pattern without its star.
    pub fn stem(&self) -> &str {
        match self {
            Pattern::Exact(stem) | Pattern::Prefix(stem) => stem,
        }
    }
}

/// Why something is not a pattern.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PatternError {
    /// It has no characters.
    Empty,
    /// It has a star that is not its last character.
    Star,
}

impl fmt::Display for PatternError {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(match self {
            PatternError::Empty => "pattern is empty: `*` is for all names",
            PatternError::Star => "pattern has a `*` that is not at its end",
        })
    }
}

impl std::error::Error for PatternError {}

/// Many patterns, to be asked about one name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Patterns {
    // Invariant: both are sorted, no prefix begins with another one, and no name begins with any.
    prefixes: Box<[Box<str>]>,
    names: Box<[Box<str>]>,
}

impl Patterns {
    /// The pattern `*`.
    pub fn all() -> Patterns {
        Patterns { prefixes: Box::from([Box::from("")]), names: Box::default() }
    }

    /// All of these together.
    pub fn union<'a>(patterns: impl IntoIterator<Item = &'a Pattern>) -> Patterns {
        let (mut prefixes, mut names): (Vec<&str>, Vec<&str>) = (Vec::new(), Vec::new());
        for pattern in patterns {
            match pattern {
                Pattern::Exact(name) => names.push(name),
                Pattern::Prefix(prefix) => prefixes.push(prefix),
            }
        }
        prefixes.sort_unstable();
        // What a prefix covers follows it at once.
        prefixes.dedup_by(|longer, shorter| longer.starts_with(&**shorter));
        let prefixes: Box<[Box<str>]> = prefixes.into_iter().map(Box::from).collect();
        names.sort_unstable();
        names.dedup();
        names.retain(|name| !begins_with_any(&prefixes, name));
        Patterns { prefixes, names: names.into_iter().map(Box::from).collect() }
    }

    /// Whether one of the patterns is for this name.
    #[inline]
    pub fn matches(&self, name: &str) -> bool {
        begins_with_any(&self.prefixes, name) || self.contains(name)
    }

    fn contains(&self, name: &str) -> bool {
        self.names.binary_search_by(|own| (**own).cmp(name)).is_ok()
    }
}

/// Whether one of the prefixes, of which none begins with another, begins the name.
#[inline]
fn begins_with_any(prefixes: &[Box<str>], name: &str) -> bool {
    // A prefix of the name is not behind it, and what is between the two begins with that prefix
    // as well: so it is the last one that is not behind the name, or there is none.
    let at = prefixes.partition_point(|prefix| **prefix <= *name);
    at.checked_sub(1).is_some_and(|at| name.starts_with(&*prefixes[at]))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn patterns(texts: &[&str]) -> (Vec<Pattern>, Patterns) {
        let patterns: Vec<Pattern> =
            texts.iter().map(|text| Pattern::parse(text).unwrap()).collect();
        let union = Patterns::union(&patterns);
        (patterns, union)
    }

    /// One after the other.
    fn plain(patterns: &[Pattern], name: &str) -> bool {
        patterns.iter().any(|pattern| match pattern {
            Pattern::Exact(own) => **own == *name,
            Pattern::Prefix(prefix) => name.starts_with(&**prefix),
        })
    }

    #[test]
    fn a_star_at_the_end_is_for_whatever_follows() {
        let (_, union) = patterns(&["support-*", "bob"]);
        for name in ["support-1", "support-", "support-*", "bob"] {
            assert!(union.matches(name), "{name}");
        }
        for name in ["support", "Support-1", "bobby", "bo", "", "*", "x-support-1"] {
            assert!(!union.matches(name), "{name}");
        }
        assert!(!Patterns::default().matches("bob"));
        assert!(Patterns::all().matches("bob") && Patterns::all().matches(""));
        assert_eq!(Patterns::all(), patterns(&["a", "*", "b*"]).1);
    }

    #[test]
    fn a_star_elsewhere_is_refused() {
        for text in ["*a", "a*b", "**", "a**", "*a*"] {
            assert_eq!(Pattern::parse(text), Err(PatternError::Star), "{text}");
        }
        assert_eq!(Pattern::parse(""), Err(PatternError::Empty));
        assert_eq!(Pattern::parse("*"), Ok(Pattern::Prefix("".into())));
    }

    #[test]
    fn any_union_matches_what_one_of_its_patterns_matches() {
        let mut seed = 0x9E37_79B9_7F4A_7C15_u64;
        let mut random = |below: usize| {
            seed ^= seed << 13;
            seed ^= seed >> 7;
            seed ^= seed << 17;
            (seed >> 11) as usize % below
        };
        let (mut yes, mut no) = (0, 0);
        for _ in 0..2_000 {
            let mut word = |len_max| -> String {
                (0..random(len_max))
                    .map(|_| ["a", "b", "é", "-", "\u{10ffff}"][random(5)])
                    .collect()
            };
            let mut texts = Vec::new();
            for _ in 0..6 {
                let (name, prefix) = (word(5), word(5));
                texts.push(if name.is_empty() { "a".to_owned() } else { name });
                texts.push(if prefix.is_empty() { "ab*".to_owned() } else { prefix + "*" });
            }
            let names: Vec<String> = (0..20).map(|_| word(7)).collect();
            let texts: Vec<&str> = texts[random(12)..].iter().map(|text| &text[..]).collect();
            let (patterns, union) = patterns(&texts);
            for name in names.iter().map(|name| &name[..]).chain(texts.iter().copied()) {
                assert_eq!(union.matches(name), plain(&patterns, name), "{name} in {texts:?}");
                if union.matches(name) { yes += 1 } else { no += 1 }
            }
        }
        assert!(yes > 1_000 && no > 1_000, "{yes} yes, {no} no");
    }
}
