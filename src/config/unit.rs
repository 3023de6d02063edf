//! Numbers with a unit, as people write them: `64KiB`, `10s`, `100`.
//!
//! ```text
//! 6 4 K i B      digits, then a unit; no sign, no fraction, no space
//! \_/ \___/
//!  64 * 1024  =  65536
//! ```
//!
//! This module does not know which values are allowed.

use super::Deflate;

/// What the values of a limit count, and so how they are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unit {
    /// Octets: `65536`, `64k` or `64KiB`, `1m` or `1MiB`, `1g` or `1GiB` (1k is 1024).
    Bytes,
    /// A plain number: `100`.
    Count,
    /// Time, kept in milliseconds: `500ms`, `10s`, `2m`, `1h`; a bare number is seconds.
    Milliseconds,
    /// One of the words of [`Deflate`], kept as its number.
    Mode,
}

impl Unit {
    /// The placeholder of a value in a usage line.
    pub const fn placeholder(self) -> &'static str {
        match self {
            Unit::Bytes => "BYTES",
            Unit::Count => "COUNT",
            Unit::Milliseconds => "TIME",
            Unit::Mode => "MODE",
        }
    }

    /// Writes a value with the largest unit that divides it, so that [`Unit::parse`] reads it back.
    pub fn show(self, value: u64) -> String {
        if self == Unit::Mode
            && let Some(word) = Deflate::WORDS.get(usize::try_from(value).unwrap_or(usize::MAX))
        {
            return (*word).to_owned();
        }
        let unit = self
            .suffixes()
            .iter()
            .find(|(_, scale)| value >= *scale && value.is_multiple_of(*scale));
        match unit {
            Some((suffix, scale)) => format!("{}{suffix}", value / scale),
            None => value.to_string(),
        }
    }

    /// Reads a value; `None` for anything but ASCII digits followed by a unit of this kind, or a
    /// word where there are words.
    /// A number that is too large for its unit comes back as `u64::MAX`, which no range allows.
    pub fn parse(self, text: &str) -> Option<u64> {
        if self == Unit::Mode {
            let place = Deflate::WORDS.iter().position(|word| *word == text);
            return place.map(|place| place as u64);
        }
        let digits_len = text.bytes().take_while(u8::is_ascii_digit).count();
        let (digits, unit) = text.split_at(digits_len);
        if digits.is_empty() {
            return None;
        }
        // All digits: the only way left to fail is that the number is too large.
        let number = digits.parse::<u64>().unwrap_or(u64::MAX);
        Some(number.saturating_mul(self.scale(unit)?))
    }

    /// How many milliseconds, bytes or pieces one of the unit is.
    fn scale(self, unit: &str) -> Option<u64> {
        match (self, unit.to_ascii_lowercase().as_str()) {
            (Unit::Milliseconds, "") => Some(SECOND),
            (_, "") => Some(1),
            (Unit::Bytes, "k") => Some(KIB),
            (Unit::Bytes, "m") => Some(MIB),
            (Unit::Bytes, "g") => Some(GIB),
            (Unit::Bytes, "t") => Some(TIB),
            (_, lower) => {
                let mut suffixes = self.suffixes().iter();
                let (_, scale) = suffixes.find(|(name, _)| name.eq_ignore_ascii_case(lower))?;
                Some(*scale)
            }
        }
    }

    /// The units as they are written, largest first.
    const fn suffixes(self) -> &'static [(&'static str, u64)] {
        match self {
            Unit::Bytes => &[("TiB", TIB), ("GiB", GIB), ("MiB", MIB), ("KiB", KIB)],
            Unit::Count | Unit::Mode => &[],
            Unit::Milliseconds => {
                &[("d", DAY), ("h", HOUR), ("m", MINUTE), ("s", SECOND), ("ms", 1)]
            }
        }
    }

    /// What a readable value looks like, for error texts.
    pub(super) const fn wanted(self) -> &'static str {
        match self {
            Unit::Bytes => "a number of bytes such as 65536, 64k, 64KiB or 1MiB",
            Unit::Count => "a plain number such as 100",
            Unit::Mode => "one of the words",
            Unit::Milliseconds => "a time such as 500ms, 10s or 2m (a bare number is seconds)",
        }
    }
}

pub(super) const KIB: u64 = 1024;
pub(super) const MIB: u64 = 1024 * KIB;
pub(super) const GIB: u64 = 1024 * MIB;
const TIB: u64 = 1024 * GIB;
pub(super) const SECOND: u64 = 1_000;
const MINUTE: u64 = 60 * SECOND;
const HOUR: u64 = 60 * MINUTE;
pub(super) const DAY: u64 = 24 * HOUR;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_read_in_every_unit() {
        let cases = [
            (Unit::Bytes, "65536", Some(65_536)),
            (Unit::Bytes, "64k", Some(65_536)),
            (Unit::Bytes, "64K", Some(65_536)),
            (Unit::Bytes, "64KiB", Some(65_536)),
            (Unit::Bytes, "64kib", Some(65_536)),
            (Unit::Bytes, "1m", Some(1_048_576)),
            (Unit::Bytes, "1MiB", Some(1_048_576)),
            (Unit::Bytes, "1g", Some(1_073_741_824)),
            (Unit::Bytes, "1TiB", Some(1_099_511_627_776)),
            (Unit::Bytes, "99999999999999999999", Some(u64::MAX)),
            (Unit::Bytes, "99999999999999999g", Some(u64::MAX)),
            (Unit::Milliseconds, "10", Some(10_000)),
            (Unit::Milliseconds, "10s", Some(10_000)),
            (Unit::Milliseconds, "500ms", Some(500)),
            (Unit::Milliseconds, "2m", Some(120_000)),
            (Unit::Milliseconds, "1h", Some(3_600_000)),
            (Unit::Milliseconds, "7d", Some(604_800_000)),
            (Unit::Milliseconds, "0", Some(0)),
            (Unit::Count, "100", Some(100)),
            (Unit::Count, "007", Some(7)),
        ];
        for (unit, text, wanted) in cases {
            assert_eq!(unit.parse(text), wanted, "{unit:?} {text}");
        }
        let bad =
            ["", " 1", "1 ", "+1", "-1", "1.5", "1e3", "k", "0x10", "1_000", "1 k", "1kk", "٣"];
        for text in bad.into_iter().chain(["10KB", "10s", "1mb", "5 MiB"]) {
            assert_eq!(Unit::Bytes.parse(text), None, "{text}");
        }
        for text in bad.into_iter().chain(["10k", "1w", "1m30s"]) {
            assert_eq!(Unit::Milliseconds.parse(text), None, "{text}");
        }
        for text in bad.into_iter().chain(["10k", "10s"]) {
            assert_eq!(Unit::Count.parse(text), None, "{text}");
        }
    }
}
