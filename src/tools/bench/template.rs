//! Texts with placeholders: how a user registers, and what a message looks like.
//!
//! ```text
//! ?user={id}                                                  ?user=u00002a
//! {"sender":"{from}","receiver":"{to}","content":"{content}"}
//! ```
//!
//! | placeholder | becomes |
//! |---|---|
//! | `{id}` | the user of the connection |
//! | `{from}` | the user who sends |
//! | `{to}` | the user who is to receive |
//! | `{number}` | the number of the message, of its sender: from 10000000 on, always eight digits |
//! | `{content}` | the content: a stamp, then filler up to `--size` |
//!
//! A user's name is a letter and six hex digits: `s` for senders, `r` for receivers, `u` for
//! everybody in modes without such roles. All names have one length, so that the frames of all
//! senders differ in some digits only. Any other brace is an ordinary character.

use std::fmt;

use super::dialect::number_digits;
use super::stamp::{NAME_DIGITS, name_digits};

/// A user of the server under test.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct User {
    /// `r`, `s` or `u`.
    pub role: u8,
    /// Which of that role.
    pub number: u32,
}

impl fmt::Display for User {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{:06x}", char::from(self.role), self.number & 0xFF_FFFF)
    }
}

/// Whom a message is from and to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Route {
    /// `{from}` and `{id}`.
    pub from: User,
    /// `{to}`.
    pub to: User,
}

/// Whose digits stand somewhere.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Party {
    /// The one whom the message is from.
    From,
    /// The one whom it is to.
    To,
}

impl Route {
    /// The digits in the name of one of the two.
    #[inline]
    pub fn digits(&self, party: Party) -> [u8; NAME_DIGITS] {
        match party {
            Party::From => name_digits(self.from.number),
            Party::To => name_digits(self.to.number),
        }
    }
}

/// One message, and where in it is what changes from one to the next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rendered {
    /// The payload.
    pub payload: Vec<u8>,
    /// Where the content begins.
    pub content_at: usize,
    /// Where the digits of names are, and whose.
    pub names_at: Vec<(usize, Party)>,
    /// Where the digits of its number are.
    pub numbers_at: Vec<usize>,
}

/// Replaces the placeholders of a message.
///
/// # Errors
///
/// [`TemplateError`] unless there is one `{content}`.
pub fn render(template: &str, route: Route, content: &[u8]) -> Result<Rendered, TemplateError> {
    let mut rendered = Rendered {
        payload: Vec::new(),
        content_at: 0,
        names_at: Vec::new(),
        numbers_at: Vec::new(),
    };
    let mut contents = 0;
    for part in Parts(template) {
        let payload = &mut rendered.payload;
        let party = match part {
            Part::Literal(text) => {
                payload.extend_from_slice(text.as_bytes());
                continue;
            }
            Part::Content => {
                contents += 1;
                rendered.content_at = payload.len();
                payload.extend_from_slice(content);
                continue;
            }
            Part::Number => {
                rendered.numbers_at.push(payload.len());
                payload.extend_from_slice(&number_digits(0));
                continue;
            }
            Part::From | Part::Id => Party::From,
            Part::To => Party::To,
        };
        let user = if party == Party::From { route.from } else { route.to };
        rendered.names_at.push((payload.len() + 1, party));
        payload.extend_from_slice(user.to_string().as_bytes());
    }
    if contents == 1 { Ok(rendered) } else { Err(TemplateError) }
}

/// Replaces the placeholders where there is no message: `{id}` and `{from}` become the user, all
/// others stay as they are.
pub fn fill_id(template: &str, user: User) -> String {
    let part = |part| match part {
        Part::Literal(text) => text.to_owned(),
        Part::From | Part::Id => user.to_string(),
        Part::To => TO.to_owned(),
        Part::Content => CONTENT.to_owned(),
        Part::Number => NUMBER.to_owned(),
    };
    Parts(template).map(part).collect()
}

/// Whether there is an `{id}` in it.
pub fn has_id(template: &str) -> bool {
    template.contains(ID)
}

/// A message without its content, or with two.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TemplateError;

impl fmt::Display for TemplateError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("{content} must be there once")
    }
}

impl std::error::Error for TemplateError {}

#[derive(Clone, Copy)]
enum Part<'t> {
    Literal(&'t str),
    Content,
    From,
    Id,
    Number,
    To,
}

/// The rest of a template, cut into parts.
struct Parts<'t>(&'t str);

impl<'t> Iterator for Parts<'t> {
    type Item = Part<'t>;

    fn next(&mut self) -> Option<Part<'t>> {
        if self.0.is_empty() {
            return None;
        }
        for (name, part) in PLACEHOLDERS {
            if let Some(rest) = self.0.strip_prefix(name) {
                self.0 = rest;
                return Some(*part);
            }
        }
        let braces = self.0.match_indices('{').map(|(at, _)| at);
        let mut starts = braces
            .filter(|&at| PLACEHOLDERS.iter().any(|(name, _)| self.0[at..].starts_with(name)));
        let (literal, rest) = self.0.split_at(starts.next().unwrap_or(self.0.len()));
        self.0 = rest;
        Some(Part::Literal(literal))
    }
}

const CONTENT: &str = "{content}";
const ID: &str = "{id}";
const NUMBER: &str = "{number}";
const TO: &str = "{to}";

const PLACEHOLDERS: &[(&str, Part<'static>)] = &[
    (CONTENT, Part::Content),
    ("{from}", Part::From),
    (ID, Part::Id),
    (NUMBER, Part::Number),
    (TO, Part::To),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_is_filled_and_its_places_are_known() {
        let route = Route {
            from: User { role: b's', number: 42 },
            to: User { role: b'r', number: 0xab_cdef },
        };
        let template = r#"{"sender":"{from}","receiver":"{to}","content":"{content}"}"#;
        let rendered = render(template, route, b"0123").unwrap();
        let text = String::from_utf8(rendered.payload.clone()).unwrap();
        assert_eq!(text, r#"{"sender":"s00002a","receiver":"rabcdef","content":"0123"}"#);
        assert_eq!(&text[rendered.content_at..][..4], "0123");
        let digits: Vec<&str> = rendered.names_at.iter().map(|(at, _)| &text[*at..][..6]).collect();
        assert_eq!(digits, ["00002a", "abcdef"]);
        for (at, party) in rendered.names_at {
            assert_eq!(&text.as_bytes()[at..][..6], route.digits(party));
        }
    }

    #[test]
    fn one_content_is_needed() {
        let user = User { role: b'u', number: 0 };
        let route = Route { from: user, to: user };
        for template in ["", "{}", "{id}", "{content}{content}", "{contents}"] {
            assert_eq!(render(template, route, b""), Err(TemplateError), "{template}");
        }
        assert!(render("{{content}}", route, b"").is_ok());
    }

    #[test]
    fn ids_are_filled_in_and_nothing_else() {
        let user = User { role: b'u', number: 1 };
        assert_eq!(fill_id("?user={id}&x={to}{", user), "?user=u000001&x={to}{");
        assert!(has_id("?user={id}") && !has_id("?user=id"));
    }
}
