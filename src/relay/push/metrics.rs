//! Metrics: the numbers of the server as Prometheus reads them.
//!
//! ```text
//! # HELP switchboard_connections TCP connections, those that open or close included.
//! # TYPE switchboard_connections gauge
//! switchboard_connections 2
//! # HELP switchboard_push_messages_total Messages of the push API, by what became of them.
//! # TYPE switchboard_push_messages_total counter
//! switchboard_push_messages_total{to="user",result="sent"} 17
//! ```
//!
//! The form is Prometheus' text format 0.0.4. Names follow its conventions: base units (seconds,
//! bytes), `_total` behind what only grows, one unit and one meaning per name. Label values come
//! from tables in the source and never from a client, so their number has an end.
//!
//! This module does not know where the numbers come from.

use std::collections::BTreeMap;
use std::fmt::{Display, Write as _};

/// What the push API itself counts.
#[derive(Debug, Default)]
pub(super) struct Tally {
    /// Answers, by path and status.
    pub(super) answers: BTreeMap<(&'static str, u16), u64>,
    /// Messages, by kind of destination and what became of them.
    pub(super) messages: BTreeMap<(&'static str, &'static str), u64>,
}

impl Tally {
    /// Counts an answer; `template` is of the table of places, or [`NO_PLACE`].
    pub(super) fn answered(&mut self, template: &'static str, status: u16) {
        *self.answers.entry((template, status)).or_insert(0) += 1;
    }

    /// Counts a message that was understood.
    pub(super) fn message(&mut self, to: &'static str, result: &'static str) {
        *self.messages.entry((to, result)).or_insert(0) += 1;
    }
}

/// What a number is to Prometheus.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// Only grows, until the process ends.
    Counter,
    /// Goes up and down.
    Gauge,
}

/// A page of metrics that is being written.
#[derive(Debug, Default)]
pub(super) struct Page {
    text: String,
    /// Of the metric that was begun last, whole.
    name: String,
}

impl Page {
    /// Begins a metric. `name` is without `switchboard_` before and `_total` behind, `help` is
    /// plain ASCII without a backslash.
    pub(super) fn metric(&mut self, kind: Kind, name: &str, help: &str) {
        let (kind, ending) = match kind {
            Kind::Counter => ("counter", "_total"),
            Kind::Gauge => ("gauge", ""),
        };
        self.name = format!("switchboard_{name}{ending}");
        let head = format!("# HELP {0} {help}\n# TYPE {0} {kind}\n", self.name);
        self.text.push_str(&head);
    }

    /// A value of the metric that was begun last.
    pub(super) fn value(&mut self, labels: &[(&str, &dyn Display)], value: impl Display) {
        self.text.push_str(&self.name);
        for (index, (label, text)) in labels.iter().enumerate() {
            let opening = if index == 0 { '{' } else { ',' };
            // Values come from tables in the source: nothing in them has to be escaped.
            self.push(format_args!("{opening}{label}=\"{text}\""));
        }
        let closing = if labels.is_empty() { "" } else { "}" };
        self.push(format_args!("{closing} {value}\n"));
    }

    /// A metric with one value.
    pub(super) fn single(&mut self, kind: Kind, name: &str, help: &str, value: u64) {
        self.metric(kind, name, help);
        self.value(&[], value);
    }

    /// The page.
    pub(super) fn finish(self) -> String {
        self.text
    }

    fn push(&mut self, text: std::fmt::Arguments<'_>) {
        self.text.write_fmt(text).expect("invariant: a String takes what is written to it");
    }
}

/// In the place of a path on which there is nothing.
pub(super) const NO_PLACE: &str = "none";

/// What a page of metrics is, for `Content-Type`.
pub(super) const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_example_of_the_module_documentation() {
        let mut page = Page::default();
        let help = "TCP connections, those that open or close included.";
        page.single(Kind::Gauge, "connections", help, 2);
        let help = "Messages of the push API, by what became of them.";
        page.metric(Kind::Counter, "push_messages", help);
        page.value(&[("to", &"user"), ("result", &"sent")], 17);
        let page = page.finish();
        let documentation = include_str!("metrics.rs");
        for line in page.lines() {
            assert!(documentation.contains(&format!("//! {line}\n")), "{line}");
        }
        assert_eq!(page.lines().count(), 6);
    }
}
