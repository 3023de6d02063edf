//! Durability: when a message counts as kept.
//!
//! ```text
//! commit          write, sync, write, sync            an ok is a promise
//! interval:500ms  write, write, write, ..., sync      what is lost in a crash is announced
//! ```

use std::fmt;

use super::unit::Unit;

/// When what the store has written is synced to the disk (`--durability`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Durability {
    /// Before anything is said about it.
    #[default]
    Commit,
    /// At the latest so many milliseconds after something was said about it. What comes in between
    /// is lost if the process is killed or the machine fails; all clients are told then.
    Interval {
        /// How long.
        ms: u64,
    },
}

impl Durability {
    /// Reads `commit` or `interval:TIME`, with the time as every limit has it: `500ms`, `2s`.
    ///
    /// # Errors
    ///
    /// What is allowed, in words.
    pub fn parse(text: &str) -> Result<Durability, &'static str> {
        if text == "commit" {
            return Ok(Durability::Commit);
        }
        let time = text.strip_prefix("interval:").and_then(|time| Unit::Milliseconds.parse(time));
        let ms = time.filter(|ms| (INTERVAL_MIN_MS..=INTERVAL_MAX_MS).contains(ms));
        ms.map(|ms| Durability::Interval { ms }).ok_or(ALLOWED)
    }
}

impl fmt::Display for Durability {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Durability::Commit => out.write_str("commit"),
            Durability::Interval { ms } => write!(out, "interval:{}", Unit::Milliseconds.show(*ms)),
        }
    }
}

const ALLOWED: &str = "allowed: commit; interval:TIME, from 1ms to 1h";
const INTERVAL_MIN_MS: u64 = 1;
const INTERVAL_MAX_MS: u64 = 3_600_000;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_ways_are_read_and_shown_alike() {
        let interval = |ms| Durability::Interval { ms };
        for (text, durability) in [
            ("commit", Durability::Commit),
            ("interval:500ms", interval(500)),
            ("interval:2s", interval(2_000)),
            ("interval:1h", interval(3_600_000)),
        ] {
            assert_eq!(Durability::parse(text), Ok(durability));
            assert_eq!(Durability::parse(&durability.to_string()), Ok(durability));
        }
        for wrong in ["", "Commit", "none", "interval", "interval:", "interval:0ms", "interval:2h"]
        {
            assert_eq!(Durability::parse(wrong), Err(ALLOWED), "{wrong}");
        }
    }
}
