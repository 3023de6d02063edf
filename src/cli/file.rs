//! The configuration file: a flat list of settings in TOML, under the names of their flags.
//!
//! ```toml
//! listen = ["127.0.0.1:8080", "unix:/run/switchboard.sock"]
//! max-message = "64KiB"      # or 65536
//! ping-interval = 25         # seconds, as on the command line
//! open = true
//! ```
//!
//! This module does not know what a value means: it makes of each what would stand behind the
//! flag. It reads no file.

use std::ops::Range;
use std::path::Path;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::environment::nearest;
use super::setting::{self, Kind, SETTINGS};
use super::value::{Given, Place, Secrecy, Source, shown};
use crate::config::{Limit, Unit};

/// What a configuration file says.
#[derive(Debug, Default)]
pub(super) struct ConfigFile {
    values: Vec<Given>,
}

impl ConfigFile {
    /// Reads a file's text, and says everything that is wrong with it.
    pub fn parse(path: &Path, text: &str) -> (ConfigFile, Vec<String>) {
        let (table, errors) = DeTable::parse_recoverable(text);
        let mut reading = Reading { path, text, values: Vec::new(), problems: Vec::new() };
        for error in errors {
            reading.problem(error.span().unwrap_or(0..0), error.message());
        }
        // What is left of a broken table is half of what was meant.
        if reading.problems.is_empty() {
            let mut entries: Vec<_> = table.get_ref().iter().collect();
            entries.sort_by_key(|(key, _)| key.span().start);
            for (key, value) in entries {
                reading.entry(key.get_ref(), key.span(), value);
            }
        }
        (ConfigFile { values: reading.values }, reading.problems)
    }

    /// The values of a setting.
    pub fn values(&self, name: &str) -> Vec<Given> {
        self.values.iter().filter(|value| value.name == name).cloned().collect()
    }
}

struct Reading<'a> {
    path: &'a Path,
    text: &'a str,
    values: Vec<Given>,
    problems: Vec<String>,
}

impl Reading<'_> {
    fn entry(&mut self, key: &str, span: Range<usize>, value: &Spanned<DeValue<'_>>) {
        let Some(entry) = Entry::find(key) else {
            let key_shown = shown(key);
            let why = match nearest(key, setting::names()) {
                _ if key == setting::CONFIG.name => {
                    "a configuration file cannot name another one".to_owned()
                }
                Some(known) => format!("unknown setting '{key_shown}': is it {known}?"),
                None if value.get_ref().is_table() => {
                    format!("unknown section '{key_shown}': the file is a flat list of settings")
                }
                None => format!("unknown setting '{key_shown}'"),
            };
            return self.problem(span, &why);
        };
        match value.get_ref() {
            DeValue::Array(items) if entry.is_list() => {
                if items.is_empty() {
                    let why = format!("{key} is empty: give it a value or leave it out");
                    self.problem(value.span(), &why);
                }
                items.iter().for_each(|item| self.value(&entry, item));
            }
            _ => self.value(&entry, value),
        }
    }

    fn value(&mut self, entry: &Entry, value: &Spanned<DeValue<'_>>) {
        let text = match value.get_ref() {
            DeValue::String(text) if text.is_empty() => {
                let why = format!("{} is empty: give it a value or leave it out", entry.name);
                return self.problem(value.span(), &why);
            }
            DeValue::String(text) => text.clone().into_owned(),
            DeValue::Integer(number) if entry.takes_number() => {
                match i128::from_str_radix(number.as_str(), number.radix()) {
                    Ok(number) => number.to_string(),
                    // It has digits: it is only too large.
                    Err(_) => u64::MAX.to_string(),
                }
            }
            DeValue::Boolean(on) if entry.kind == Kind::Switch => on.to_string(),
            other => {
                let (name, wanted) = (entry.name, entry.wanted());
                let why = format!("{name} is {wanted}, not {}", article(other.type_str()));
                return self.problem(value.span(), &why);
            }
        };
        let source = Source::File(self.place(value.span()));
        let secrecy = if entry.kind == Kind::Secret { Secrecy::Secret } else { Secrecy::Public };
        self.values.push(Given { name: entry.name, source, text, secrecy });
    }

    fn problem(&mut self, span: Range<usize>, why: &str) {
        self.problems.push(format!("{}: {why}", self.place(span)));
    }

    fn place(&self, span: Range<usize>) -> Place {
        let before = self.text.get(..span.start).unwrap_or(self.text);
        let line_start = before.rfind('\n').map_or(0, |at| at + 1);
        Place {
            path: self.path.to_owned(),
            line: before.matches('\n').count() + 1,
            column: before[line_start..].chars().count() + 1,
        }
    }
}

/// A name that is known, and what may stand behind it.
struct Entry {
    name: &'static str,
    kind: Kind,
    /// Of a limit.
    unit: Option<Unit>,
}

impl Entry {
    fn find(key: &str) -> Option<Entry> {
        if key == setting::CONFIG.name {
            return None;
        }
        if let Some(setting) = SETTINGS.iter().find(|setting| setting.name == key) {
            return Some(Entry { name: setting.name, kind: setting.kind, unit: None });
        }
        let limit = Limit::by_flag(key)?;
        Some(Entry { name: limit.flag, kind: Kind::Text, unit: Some(limit.unit) })
    }

    fn is_list(&self) -> bool {
        matches!(self.kind, Kind::Addresses | Kind::Texts)
    }

    fn takes_number(&self) -> bool {
        matches!(self.kind, Kind::Address | Kind::Addresses)
            || self.unit.is_some_and(|unit| unit != Unit::Mode)
    }

    fn wanted(&self) -> &'static str {
        match (self.kind, self.unit) {
            (Kind::Switch, _) => "true or false",
            (Kind::Addresses | Kind::Texts, _) => "a string or an array of strings",
            (_, Some(Unit::Count)) => "a number",
            (_, Some(Unit::Bytes | Unit::Milliseconds)) => "a number, or a string with a unit",
            _ => "a string",
        }
    }
}

fn article(type_name: &str) -> String {
    let article = if type_name.starts_with(['a', 'e', 'i', 'o']) { "an" } else { "a" };
    format!("{article} {type_name}")
}
