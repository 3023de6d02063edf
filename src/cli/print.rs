//! The configuration in effect, as a configuration file that gives the same again.
//!
//! ```toml
//! # Listening
//! listen = ["127.0.0.1:9000"]  # --listen
//! open = false  # default
//! # auth-secret = "***"  # SWITCHBOARD_AUTH_SECRET
//! ```
//!
//! Each value has the place it came from behind it. What is not set, and what is a secret, is a
//! comment: a secret has to be given again in the way it was given.
//!
//! This module does not know what a value means.

use std::fmt::Write as _;

use super::plan::{Effective, Plan};
use super::setting::{self, Kind, SETTINGS, Setting};
use super::value::Source;
use crate::config::LIMITS;

/// The whole configuration in TOML.
pub(super) fn toml(plan: &Plan) -> String {
    let settings = SETTINGS.iter().map(|setting| (setting.heading, setting.name, Some(*setting)));
    let limits = LIMITS.iter().map(|limit| (limit.group.heading(), limit.flag, None));
    let mut entries: Vec<_> = settings.chain(limits).collect();
    // Limits stand under the headings of settings: each heading once, where it comes first.
    let headings: Vec<&str> = entries.iter().map(|(heading, ..)| *heading).collect();
    entries.sort_by_key(|(heading, ..)| headings.iter().position(|other| other == heading));
    let mut text = String::from("# The configuration in effect, and where each value came from.\n");
    let mut last = "";
    for (heading, name, setting) in entries {
        let Some(effective) = plan.settings.iter().find(|effective| effective.name == name) else {
            continue; // `echo` has no use for it
        };
        if heading != last {
            text.push_str(&format!("\n# {heading}\n"));
            last = heading;
        }
        text.push_str(&line(effective, setting));
    }
    text
}

fn line(effective: &Effective, setting: Option<&Setting>) -> String {
    let Effective { name, texts, source } = effective;
    let kind = setting.map_or(Kind::Text, |setting| setting.kind);
    let Some(first) = texts.first() else { return format!("# {name} is not set\n") };
    let value = match kind {
        Kind::Addresses | Kind::Texts => {
            let items: Vec<String> = texts.iter().map(|text| quoted(text)).collect();
            format!("[{}]", items.join(", "))
        }
        Kind::Switch => first.clone(),
        _ => quoted(first),
    };
    let hidden = kind == Kind::Secret || *name == setting::CONFIG.name;
    let comment = if hidden { "# " } else { "" };
    format!("{comment}{name} = {value}  # {}\n", place(source))
}

/// In one line, whatever the name of a file is.
fn place(source: &Source) -> String {
    source.to_string().chars().flat_map(char::escape_debug).collect()
}

/// A basic string of TOML.
fn quoted(text: &str) -> String {
    let mut quoted = String::from("\"");
    for letter in text.chars() {
        match letter {
            '"' | '\\' => quoted.extend(['\\', letter]),
            letter if letter.is_control() => {
                // Writing into a `String` does not fail.
                let _ = write!(quoted, "\\u{:04X}", u32::from(letter));
            }
            letter => quoted.push(letter),
        }
    }
    quoted + "\""
}

#[cfg(test)]
mod tests {
    use toml::de::DeTable;

    use super::*;

    #[test]
    fn every_text_is_read_back() {
        for text in
            ["", "a b", "\"\\\"", "\u{0}\n\t\r\u{7f}\u{85}", "\u{2028}é你\u{1F600}", "\\u0041"]
        {
            let line = format!("a = {}", quoted(text));
            let table = DeTable::parse(&line).expect("a document");
            let value = table.get_ref().values().next().expect("a value");
            assert_eq!(value.get_ref().as_str(), Some(text), "{line}");
        }
    }

    #[test]
    fn a_place_stays_in_its_line() {
        let source = Source::SecretFile("A_FILE".to_owned(), "/a\nb = 1".into());
        assert_eq!(place(&source), "A_FILE (/a\\nb = 1)");
    }
}
