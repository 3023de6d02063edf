//! What is said and heard in either dialect: lines in, texts out, and the other way round.
//!
//! ```text
//!   line --> Talk --> Session (switchboard.v1) --> text      numbered, stored, answered
//!                \--> a queue (plain) -----------> text      sent once, and that is it
//! ```
//!
//! This module does not know sockets or files.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use serde_json::Value;
use serde_json::value::RawValue;

use super::settings::{Choice, Settings};
use super::show::Form;
use super::typed::{Target, Typed};
use crate::timer::Millis;
use crate::tools::client::{Event, Session, Wish};

/// What is spoken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Dialect {
    Plain,
    V1,
}

/// Something to print, and how many events of the session it shows.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Printed {
    pub text: String,
    pub events: usize,
}

/// Both dialects, of which one is spoken.
#[derive(Debug)]
pub(super) struct Talk {
    form: Form,
    receipts: bool,
    /// Not known before the first connection, if there is a choice.
    pub dialect: Option<Dialect>,
    pub session: Session,
    /// What waits to be sent in the plain dialect.
    queue: VecDeque<String>,
    /// Groups to be joined again on each connection of the plain dialect.
    groups: BTreeSet<String>,
    target: Target,
    line_number: u64,
    printed: VecDeque<Printed>,
    /// Keys that came with frames which are in the outbox and not stored.
    unqueued: Vec<String>,
    /// Whether somebody wants to know when they are.
    is_stored: bool,
    /// How much was refused.
    pub refused: u64,
    pub has_quit: bool,
}

impl Talk {
    pub fn new(settings: &Settings) -> Talk {
        let mut talk = Talk {
            form: settings.form,
            receipts: settings.receipts,
            dialect: match settings.dialect {
                Choice::Any => None,
                Choice::Plain => Some(Dialect::Plain),
                Choice::V1 => Some(Dialect::V1),
            },
            session: Session::restored(settings.client.clone(), settings.start),
            queue: VecDeque::new(),
            groups: BTreeSet::new(),
            target: Target::default(),
            line_number: 0,
            printed: VecDeque::new(),
            unqueued: Vec::new(),
            is_stored: settings.state.is_some(),
            refused: 0,
            has_quit: false,
        };
        for given in settings.client.unanswered() {
            let comma = if given.is_empty() { "" } else { "," };
            talk.note("queued", &format!(r#"{given}{comma}"restored":true"#), "");
        }
        talk
    }

    /// Whether another line may be read.
    pub fn has_room(&self) -> bool {
        let (count, bytes) = self.session.unanswered();
        self.dialect.is_some()
            && count < WAITING_MAX
            && bytes < WAITING_MAX_BYTES
            && self.queue.len() < WAITING_MAX
    }

    /// A line of input; `None` if it cannot be read.
    pub fn line(&mut self, line: Option<&str>) {
        self.line_number += 1;
        let Some(line) = line else { return self.refuse("not UTF-8, or too long") };
        if self.form == Form::Json {
            if !line.trim().is_empty() {
                self.frame(line);
            }
            return;
        }
        match self.target.read(line) {
            Typed::Frame(text) => self.frame(&text),
            Typed::Bare(text) if self.dialect == Some(Dialect::Plain) => self.frame(&text),
            Typed::Bare(text) if text.starts_with('{') => self.frame(&text),
            Typed::Bare(_) => self.refuse("whom to? /to NAME TEXT, /group NAME TEXT; see /help"),
            Typed::Say(text) => self.say(&text),
            Typed::Wrong(why) => self.refuse(&why),
            Typed::Nothing => {}
            Typed::Quit => self.has_quit = true,
        }
    }

    fn frame(&mut self, text: &str) {
        if self.dialect == Some(Dialect::Plain) {
            self.note_membership(text);
            self.queue.push_back(text.to_owned());
            return;
        }
        let with_receipt = self.receipts.then(|| with_receipt(text)).flatten();
        match Wish::read(with_receipt.as_deref().unwrap_or(text)) {
            Ok(wish) => {
                if self.is_stored {
                    self.unqueued.push(wish.given().to_owned());
                }
                self.session.want(wish);
            }
            Err(error) => self.refuse(&error.to_string()),
        }
    }

    /// A plain membership ends with the connection; who comes back is meant to be a member.
    fn note_membership(&mut self, text: &str) {
        let Ok(fields) = serde_json::from_str::<BTreeMap<String, &RawValue>>(text) else { return };
        let text = |key| -> Option<String> {
            fields.get(key).and_then(|raw| serde_json::from_str(raw.get()).ok())
        };
        match (text("type").as_deref(), text("group")) {
            (Some("join"), Some(group)) => drop(self.groups.insert(group)),
            (Some("leave"), Some(group)) => drop(self.groups.remove(&group)),
            _ => {}
        }
    }

    fn refuse(&mut self, why: &str) {
        self.refused += 1;
        let (line, shown) = (self.line_number, Value::from(why));
        let members = format!(r#""code":400,"reason":"unreadable","line":{line},"why":{shown}"#);
        self.note("error", &members, &format!("not sent: {why}"));
    }

    fn say(&mut self, text: &str) {
        for line in text.lines() {
            self.note("help", &format!(r#""text":{}"#, Value::from(line)), line);
        }
    }

    /// Shows something about this program itself.
    pub fn note(&mut self, name: &str, members: &str, sentence: &str) {
        self.take_events();
        let text = self.form.note(name, members, sentence);
        self.printed.push_back(Printed { text, events: 0 });
    }

    /// A connection stands.
    pub fn opened(&mut self, dialect: Dialect) {
        self.dialect = Some(dialect);
        match dialect {
            Dialect::V1 => self.session.opened(),
            Dialect::Plain => {
                let queued =
                    |group: &&String| !self.queue.iter().any(|text| text.contains(&**group));
                let again: Vec<String> = self.groups.iter().filter(queued).cloned().collect();
                for group in again.into_iter().rev() {
                    let join = format!(r#"{{"type":"join","group":{}}}"#, Value::from(group));
                    self.queue.push_front(join);
                }
            }
        }
    }

    /// A text message. `Err` says how the server breaks the rules.
    pub fn hear(&mut self, text: &str, now: Millis) -> Result<(), String> {
        if self.dialect == Some(Dialect::V1) {
            return self.session.hear(text, now).map_err(|violation| violation.0);
        }
        let shown = self.form.plain(text);
        let kind = serde_json::from_str::<Value>(text).unwrap_or(Value::Null);
        if kind["type"] == "error" && kind["code"].is_u64() {
            self.refused += 1;
        }
        self.printed.push_back(Printed { text: shown, events: 0 });
        Ok(())
    }

    pub fn hear_binary(&mut self, bytes: &[u8]) {
        let text = self.form.binary(bytes);
        self.printed.push_back(Printed { text, events: 0 });
    }

    /// The next text to send on a connection that stands.
    pub fn next_text(&mut self) -> Option<String> {
        match self.dialect? {
            Dialect::Plain => self.queue.pop_front(),
            Dialect::V1 => self.session.next_text(),
        }
    }

    /// What was read is stored: whoever wrote it need not keep it any more.
    pub fn stored(&mut self) {
        for given in std::mem::take(&mut self.unqueued) {
            self.note("queued", &given, "");
        }
    }

    /// The next thing to print.
    pub fn next_printed(&mut self) -> Option<Printed> {
        self.take_events();
        self.printed.pop_front()
    }

    fn take_events(&mut self) {
        while let Some(event) = self.session.next_event() {
            if matches!(event, Event::Answer { accepted: false, .. }) {
                self.refused += 1;
            }
            self.printed.push_back(Printed { text: self.form.event(&event), events: 1 });
        }
    }

    /// Whether nothing waits to be sent or answered.
    pub fn is_settled(&self) -> bool {
        self.waiting() == 0 && self.session.unprocessed() == 0 && self.printed.is_empty()
    }

    /// How much waits to be sent or answered.
    pub fn waiting(&self) -> usize {
        self.queue.len() + self.session.unanswered().0
    }
}

/// The frame with a wish for a receipt, if it is to a user and says nothing about one.
fn with_receipt(text: &str) -> Option<String> {
    let fields = serde_json::from_str::<BTreeMap<String, &RawValue>>(text).ok()?;
    let is_direct = fields.contains_key("receiver") && fields.contains_key("content");
    let open = text.trim_end().strip_suffix('}')?;
    (is_direct && !fields.contains_key("receipt")).then(|| format!(r#"{open},"receipt":true}}"#))
}

/// How many frames wait before no more lines are read, and how many bytes.
const WAITING_MAX: usize = 1_024;
const WAITING_MAX_BYTES: usize = 8 << 20;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_receipt_is_asked_for_where_there_can_be_one() {
        let wanted = r#"{"receiver":"b","content":"}","receipt":true}"#;
        assert_eq!(with_receipt(r#"{"receiver":"b","content":"}"} "#).as_deref(), Some(wanted));
        for text in [
            r#"{"group":"g","content":1}"#,
            r#"{"receiver":"b","content":1,"receipt":false}"#,
            r#"{"type":"ping"}"#,
            "{",
        ] {
            assert_eq!(with_receipt(text), None, "{text}");
        }
    }
}
