//! The headings under which limits stand in the help text.
//!
//! ```text
//! Deadlines:
//!       --head-timeout <TIME>
//!       --ping-interval <TIME>
//! ```
//!
//! This module does not know which limits there are.

/// Under which heading of the help text a limit stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Group {
    /// Connections and their opening handshakes.
    Listening,
    /// Who may come, and what he may do; the relay has it.
    Access,
    /// The push API, which the relay has.
    Push,
    /// What only the relay has: users, groups, JSON.
    Relay,
    /// The logs of switchboard.v1, and the sessions that read them; the relay has them.
    Logs,
    /// What one WebSocket message may be.
    Messages,
    /// Everything with a clock.
    Deadlines,
    /// Buffers, queues and budgets.
    Memory,
}

impl Group {
    /// The heading itself.
    pub const fn heading(self) -> &'static str {
        match self {
            Group::Listening => "Listening",
            Group::Access => "Access",
            Group::Push => "Push API",
            Group::Relay => "Relay",
            Group::Logs => "Logs (switchboard.v1)",
            Group::Messages => "Messages",
            Group::Deadlines => "Deadlines",
            Group::Memory => "Memory",
        }
    }

    /// Whether `echo` has no use for what stands under it.
    pub const fn is_for_relay(self) -> bool {
        matches!(self, Group::Access | Group::Push | Group::Relay | Group::Logs)
    }
}
