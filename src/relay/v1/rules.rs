//! The rules that the model test switches off one by one, to see that it misses them.
//!
//! ```text
//!   if holds(Rule::R7) { announce the gap }      shipped: always; in a test: unless switched off
//! ```
//!
//! This module does not know what the rules say; `PROTOCOL.md` does.

/// A rule of the dialect, by its number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Rule {
    /// A repeated id has no effect.
    R2,
    /// `next` in a hello raises `last`.
    R2Next,
    /// After a temporary refusal, later frames are discarded unanswered.
    R4,
    /// A new log begins at the server's floor.
    R6,
    /// What a cursor is overtaken by is announced.
    R7,
    /// A position of another epoch is not gone on from.
    R8,
    /// Nothing is shown before it is committed.
    R12,
    /// A gap is announced in the welcome itself, not behind it.
    WelcomeGap,
}

/// Whether a rule holds.
#[cfg(not(test))]
pub(crate) const fn holds(_rule: Rule) -> bool {
    true
}

/// Whether a rule holds in this thread.
#[cfg(test)]
pub(crate) fn holds(rule: Rule) -> bool {
    OFF.get() != Some(rule)
}

#[cfg(test)]
thread_local! {
    /// The rule that is switched off in this thread.
    pub(crate) static OFF: std::cell::Cell<Option<Rule>> = const { std::cell::Cell::new(None) };
}
