//! Every limit and deadline of the server, in one table.
//!
//! The table is at the end of this file: one entry per limit, and from it come the fields of
//! [`Limits`], the two sets of defaults, the command line's flags, the environment variables,
//! the help text, the table in the README ([`markdown_table`]) and the tests of all of these.
//! Whoever adds a limit adds one entry.
//!
//! A worked example, the way a value of a flag or of an environment variable is read:
//!
//! ```
//! use switchboard::config::{Limit, Limits};
//!
//! let message_max = Limit::by_flag("max-message").expect("a flag of the table");
//! assert_eq!(message_max.parse("64k"), Ok(65_536));
//! assert_eq!(message_max.parse("64KiB"), Ok(65_536));
//! assert_eq!(message_max.parse("65536"), Ok(65_536));
//! assert!(message_max.parse("64 potatoes").is_err());
//!
//! let mut limits = Limits::relay();
//! message_max.set(&mut limits, 65_536);
//! assert_eq!(limits.message_max_bytes, 65_536);
//! assert_eq!(limits.validate(), Ok(()));
//! ```
//!
//! This module does not know the command line, the environment, or what a limit does when it is
//! reached; it knows names, numbers and reasons.

mod deflate;
mod durability;
mod error;
mod group;
mod unit;

pub use deflate::Deflate;
pub use durability::Durability;
pub use error::{LimitError, Order};
pub use group::Group;
pub use unit::Unit;
use unit::{DAY, GIB, KIB, MIB, SECOND};

/// One entry of the table: everything there is to say about a limit but its present value.
#[derive(Debug)]
pub struct Limit {
    /// The field of [`Limits`], its unit last: `message_max_bytes`.
    pub field: &'static str,
    /// The flag without its two dashes: `max-message`.
    pub flag: &'static str,
    /// The environment variable: `SWITCHBOARD_MAX_MESSAGE`.
    pub env: &'static str,
    /// What its values count.
    pub unit: Unit,
    /// Its heading in the help text.
    pub group: Group,
    /// The default of `switchboard serve`.
    pub relay: u64,
    /// The default of `switchboard echo`.
    pub echo: u64,
    /// The smallest allowed value, apart from a `0` that `zero` gives a meaning.
    pub min: u64,
    /// The largest allowed value.
    pub max: u64,
    /// What `0` means where it is not a number but a word: `off`, `25 % of memory`.
    pub zero: Option<&'static str>,
    /// The section of RFC 6455 that the limit is about, without the sign: `10.4`.
    pub section: Option<&'static str>,
    /// What is limited, in one line.
    pub reason: &'static str,
    read: fn(&Limits) -> u64,
    write: fn(&mut Limits, u64),
}

impl Limit {
    /// Finds an entry by its flag, without the dashes.
    pub fn by_flag(flag: &str) -> Option<&'static Limit> {
        LIMITS.iter().find(|limit| limit.flag == flag)
    }

    /// The present value in a set of limits.
    pub fn value(&self, limits: &Limits) -> u64 {
        (self.read)(limits)
    }

    /// Stores a value as it is; [`Limits::validate`] judges it.
    pub fn set(&self, limits: &mut Limits, value: u64) {
        (self.write)(limits, value);
    }

    /// Whether a value is within the allowed range, or a `0` that has a meaning.
    pub const fn allows(&self, value: u64) -> bool {
        (value == 0 && self.zero.is_some()) || (value >= self.min && value <= self.max)
    }

    /// Reads a value as a flag or an environment variable holds it.
    ///
    /// # Errors
    ///
    /// [`LimitError::Unreadable`] where it is not a number of this limit's unit,
    /// [`LimitError::OutOfRange`] where the number is not allowed.
    pub fn parse(&'static self, text: &str) -> Result<u64, LimitError> {
        let value = self.unit.parse(text).ok_or(LimitError::Unreadable { limit: self })?;
        if self.allows(value) { Ok(value) } else { Err(LimitError::OutOfRange { limit: self }) }
    }

    /// Writes a value so that [`Limit::parse`] reads it back: `1MiB`, `10s`, `0`.
    pub fn show(&self, value: u64) -> String {
        self.unit.show(value)
    }

    /// Writes a value for people: as [`Limit::show`], and a `0` with its meaning, `0 (off)`.
    pub fn describe(&self, value: u64) -> String {
        match self.zero {
            Some(meaning) if value == 0 => format!("0 ({meaning})"),
            _ => self.show(value),
        }
    }

    /// The allowed values in words: `10ms to 1d, or 0 (off)`; or the words themselves.
    pub fn range(&self) -> String {
        if self.unit == Unit::Mode {
            return Deflate::WORDS.join(", ");
        }
        let range = format!("{} to {}", self.show(self.min), self.show(self.max));
        match self.zero {
            Some(meaning) => format!("{range}, or 0 ({meaning})"),
            None => range,
        }
    }
}

/// Entries are the same when they are of the same field: there is one entry per field.
impl PartialEq for Limit {
    fn eq(&self, other: &Limit) -> bool {
        self.field == other.field
    }
}

impl Eq for Limit {}

/// What the relay does with text that is meant for nobody in particular (`--broadcast`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Broadcast {
    /// To everybody in the room, the sender too.
    All,
    /// To nobody; the sender gets an error.
    Off,
    /// To everybody in the room but the sender.
    #[default]
    Others,
}

/// From where the server may be reached (`--open`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Reach {
    /// From this machine only: every listening address is a loopback address.
    #[default]
    Loopback,
    /// From anywhere: whoever started the server said so.
    Open,
}

impl Limits {
    /// Checks every limit against its range, and those that depend on each other.
    ///
    /// # Errors
    ///
    /// The first [`LimitError::OutOfRange`] in the order of the table, or else the first
    /// [`LimitError::Order`].
    pub fn validate(&self) -> Result<(), LimitError> {
        for limit in LIMITS {
            if !limit.allows(limit.value(self)) {
                return Err(LimitError::OutOfRange { limit });
            }
        }
        for &(lower, rule, upper) in ORDERS {
            let find = |field| LIMITS.iter().find(|limit| limit.field == field);
            let (Some(lower), Some(upper)) = (find(lower), find(upper)) else { continue };
            let (lower_value, upper_value) = (lower.value(self), upper.value(self));
            // A word instead of a number (`0 (off)`) contradicts nothing.
            let is_word = upper_value == 0 && upper.zero.is_some();
            if !is_word && !rule.holds(lower_value, upper_value) {
                return Err(LimitError::Order { lower, lower_value, rule, upper, upper_value });
            }
        }
        Ok(())
    }
}

/// The limits as a Markdown table, as the README has it between `<!-- limits -->` and
/// `<!-- /limits -->`.
pub fn markdown_table() -> String {
    let mut text = String::from(
        "| flag | default | `echo` | allowed | what it limits |\n|---|---|---|---|---|\n",
    );
    for limit in LIMITS {
        let echo =
            if limit.echo == limit.relay { "=".to_owned() } else { limit.describe(limit.echo) };
        let section = limit.section.map(|section| format!(" (RFC 6455 §{section})"));
        text.push_str(&format!(
            "| `--{}` | {} | {} | {} | {}{} |\n",
            limit.flag,
            limit.describe(limit.relay),
            echo,
            limit.range(),
            limit.reason,
            section.unwrap_or_default(),
        ));
    }
    text
}

/// The rules between limits: the first stands to the second as the rule says.
const ORDERS: &[(&str, Order, &str)] = &[
    // Or a connection that was paused at high water would never be below low water again.
    ("outbox_low_bytes", Order::Below, "outbox_high_bytes"),
    // Or the total would refuse what one connection alone may queue.
    ("outbox_high_bytes", Order::AtMost, "outbox_total_bytes"),
    // Or the longest allowed message could never be delivered to anybody.
    ("message_max_bytes", Order::AtMost, "outbox_total_bytes"),
];

macro_rules! limits {
    ($(
        $field:ident: $unit:ident in $group:ident, $flag:literal, $env:literal,
        relay $relay:expr, echo $echo:expr, from $min:expr, to $max:expr, zero $zero:expr,
        section $section:expr, $reason:literal;
    )*) => {
        /// The value of every limit. The suffix of a field names its unit: `_bytes`, `_ms`
        /// (milliseconds), `_max` (a count), `_mode` (see [`Deflate`]).
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub struct Limits {
            $(
                #[doc = concat!($reason, " (`--", $flag, "`, `", $env, "`).")]
                pub $field: u64,
            )*
        }

        impl Limits {
            /// The defaults of the relay, `switchboard serve`.
            pub const fn relay() -> Limits {
                Limits { $($field: $relay,)* }
            }

            /// The defaults of `switchboard echo`.
            pub const fn echo() -> Limits {
                Limits { $($field: $echo,)* }
            }
        }

        /// The table: one entry per field of [`Limits`], in the same order.
        pub static LIMITS: &[Limit] = &[$(
            Limit {
                field: stringify!($field),
                flag: $flag,
                env: $env,
                unit: Unit::$unit,
                group: Group::$group,
                relay: $relay,
                echo: $echo,
                min: $min,
                max: $max,
                zero: $zero,
                section: $section,
                reason: $reason,
                read: |limits| limits.$field,
                write: |limits, value| limits.$field = value,
            },
        )*];
    };
}

limits! {
    connections_max: Count in Listening, "max-connections", "SWITCHBOARD_MAX_CONNECTIONS",
    relay 0, echo 0, from 1, to 16_777_216, zero Some("descriptor limit - 64"),
    section None, "connections at once; a newcomer beyond them gets 503";

    head_max_bytes: Bytes in Listening, "max-head", "SWITCHBOARD_MAX_HEAD",
    relay 16 * KIB, echo 16 * KIB, from 512, to MIB, zero None,
    section Some("4.2.1"), "HTTP request head: request line and headers together";

    // The upper end is `wire::http::HEADERS_MAX`: the parser has so many slots on its stack.
    head_headers_max: Count in Listening, "max-headers", "SWITCHBOARD_MAX_HEADERS",
    relay 100, echo 100, from 1, to 100, zero None,
    section Some("4.2.1"), "header lines of a request";

    http_body_max_bytes: Bytes in Listening, "max-http-body", "SWITCHBOARD_MAX_HTTP_BODY",
    relay MIB, echo MIB, from 1, to GIB, zero None,
    section None, "body of an HTTP request to the operator's listener; a longer one gets 413";

    accept_budget_max: Count in Listening, "accept-budget", "SWITCHBOARD_ACCEPT_BUDGET",
    relay 256, echo 256, from 1, to 65_536, zero None,
    section None, "connections accepted before the others have their turn";

    auth_timeout_ms: Milliseconds in Access, "auth-timeout", "SWITCHBOARD_AUTH_TIMEOUT",
    relay 10 * SECOND, echo 10 * SECOND, from 10, to DAY, zero None,
    section None, "until the first message says whose a connection is; closed with 4408";

    auth_message_max_bytes: Bytes in Access, "max-auth-message", "SWITCHBOARD_MAX_AUTH_MESSAGE",
    relay 4 * KIB, echo 4 * KIB, from 64, to MIB, zero None,
    section None, "the message that says whose a connection is";

    auth_endpoint_timeout_ms: Milliseconds in Access, "auth-endpoint-timeout",
    "SWITCHBOARD_AUTH_ENDPOINT_TIMEOUT",
    relay 5 * SECOND, echo 5 * SECOND, from 10, to DAY, zero None,
    section None, "from a question to the authentication endpoint to its answer";

    auth_endpoint_asks_max: Count in Access, "max-auth-endpoint-asks",
    "SWITCHBOARD_MAX_AUTH_ENDPOINT_ASKS",
    relay 8, echo 8, from 1, to 256, zero None,
    section None, "questions to the authentication endpoint at once, a thread each";

    auth_endpoint_queue_max: Count in Access, "max-auth-endpoint-queue",
    "SWITCHBOARD_MAX_AUTH_ENDPOINT_QUEUE",
    relay 256, echo 256, from 0, to 65_536, zero None,
    section None, "questions that wait until they can be asked; one more gets 503";

    auth_cache_ttl_ms: Milliseconds in Access, "auth-cache-ttl", "SWITCHBOARD_AUTH_CACHE_TTL",
    relay 5 * SECOND, echo 5 * SECOND, from 10, to DAY, zero Some("off"),
    section None, "how long a good answer of the authentication endpoint is kept";

    auth_cache_max: Count in Access, "max-auth-cache", "SWITCHBOARD_MAX_AUTH_CACHE",
    relay 1024, echo 1024, from 1, to 1_000_000, zero None,
    section None, "good answers that are kept";

    user_id_max_bytes: Bytes in Relay, "max-user-id", "SWITCHBOARD_MAX_USER_ID",
    relay 128, echo 128, from 1, to KIB, zero None,
    section None, "user id or group name, in UTF-8";

    groups_per_user_max: Count in Relay, "max-groups-per-user", "SWITCHBOARD_MAX_GROUPS_PER_USER",
    relay 1_000, echo 1_000, from 1, to 1_000_000, zero None,
    section None, "groups that one user is a member of";

    members_shown_max: Count in Relay, "max-members-shown", "SWITCHBOARD_MAX_MEMBERS_SHOWN",
    relay 1_000, echo 1_000, from 0, to 100_000, zero None,
    section None, "members of a group that a client who asks is named";

    memberships_max: Count in Relay, "max-memberships", "SWITCHBOARD_MAX_MEMBERSHIPS",
    relay 1_000_000, echo 1_000_000, from 0, to 100_000_000, zero None,
    section None, "memberships that are kept, of all users together";

    presence_names_max: Count in Relay, "max-presence-names", "SWITCHBOARD_MAX_PRESENCE_NAMES",
    relay 100, echo 100, from 0, to 10_000, zero None,
    section None, "names in a presence frame; if more have changed it has a number instead";

    presence_interval_ms: Milliseconds in Relay, "presence-interval",
    "SWITCHBOARD_PRESENCE_INTERVAL",
    relay 100, echo 100, from 100, to DAY, zero None,
    section None, "what changes in a group meanwhile is told in one presence frame";

    json_depth_max: Count in Relay, "max-json-depth", "SWITCHBOARD_MAX_JSON_DEPTH",
    relay 128, echo 128, from 1, to 128, zero None,
    section None, "arrays and objects within each other in a JSON message";

    batch_max: Count in Relay, "max-batch", "SWITCHBOARD_MAX_BATCH",
    relay 1_000, echo 1_000, from 1, to 100_000, zero None,
    section None, "messages in one batch of the push API";

    idempotency_ttl_ms: Milliseconds in Relay, "idempotency-ttl", "SWITCHBOARD_IDEMPOTENCY_TTL",
    relay 300 * SECOND, echo 300 * SECOND, from 10, to DAY, zero None,
    section None, "how long the push API knows an Idempotency-Key again";

    idempotency_table_bytes: Bytes in Relay, "idempotency-table", "SWITCHBOARD_IDEMPOTENCY_TABLE",
    relay 64 * MIB, echo 64 * MIB, from KIB, to GIB, zero None,
    section None, "Idempotency-Keys and their answers; with it full, new ones get 503";

    log_messages_max: Count in Logs, "log-messages", "SWITCHBOARD_LOG_MESSAGES",
    relay 1_000, echo 1_000, from 1, to 10_000_000, zero None,
    section None, "messages in one user's log";

    log_max_bytes: Bytes in Logs, "log-bytes", "SWITCHBOARD_LOG_BYTES",
    relay MIB, echo MIB, from KIB, to GIB, zero None,
    section None, "bytes in one user's log; one message always fits";

    log_total_bytes: Bytes in Logs, "log-total", "SWITCHBOARD_LOG_TOTAL",
    relay GIB, echo GIB, from KIB, to 1024 * GIB, zero None,
    section None, "bytes in all logs; a group message counts in full for each member";

    log_age_ms: Milliseconds in Logs, "log-age", "SWITCHBOARD_LOG_AGE",
    relay 7 * DAY, echo 7 * DAY, from 10, to 3_650 * DAY, zero None,
    section None, "how long a message is kept, and the log of a user who does not come";

    log_users_max: Count in Logs, "log-users", "SWITCHBOARD_LOG_USERS",
    relay 1_000_000, echo 1_000_000, from 0, to 100_000_000, zero None,
    section None, "users who have a log; one more is closed with 4429";

    log_clients_max: Count in Logs, "log-clients", "SWITCHBOARD_LOG_CLIENTS",
    relay 64, echo 64, from 1, to 1_024, zero None,
    section None, "clients of one user whose frames are known again; the longest absent goes";

    session_ping_ms: Milliseconds in Logs, "session-ping", "SWITCHBOARD_SESSION_PING",
    relay 25 * SECOND, echo 25 * SECOND, from 1_000, to DAY, zero None,
    section None, "silence before a session's ping, which its client answers at once";

    session_silence_ms: Milliseconds in Logs, "session-silence", "SWITCHBOARD_SESSION_SILENCE",
    relay 45 * SECOND, echo 45 * SECOND, from 10, to DAY, zero None,
    section None, "silence after which a session is closed with 4408";

    session_retry_ms: Milliseconds in Logs, "session-retry", "SWITCHBOARD_SESSION_RETRY",
    relay 500, echo 500, from 10, to DAY, zero None,
    section None, "after how long a client is told to send again what could not be taken";

    session_ring_bytes: Bytes in Logs, "session-ring", "SWITCHBOARD_SESSION_RING",
    relay 64 * KIB, echo 64 * KIB, from 0, to GIB, zero None,
    section None, "what waits on one connection unlogged: messages, and answers to questions";

    session_held_max: Count in Logs, "session-held", "SWITCHBOARD_SESSION_HELD",
    relay 100_000, echo 100_000, from 1, to 100_000_000, zero None,
    section None, "answers and messages that wait for commits; with more all is refused for now";

    message_max_bytes: Bytes in Messages, "max-message", "SWITCHBOARD_MAX_MESSAGE",
    relay MIB, echo 16 * MIB, from 1, to GIB, zero None,
    section Some("10.4"), "one message, its fragments together; a longer one is closed with 1009";

    message_frames_max: Count in Messages, "max-frames", "SWITCHBOARD_MAX_FRAMES",
    relay 16_384, echo 131_072, from 1, to 1_073_741_824, zero None,
    section Some("10.4"), "frames of one message, empty ones too; more are closed with 1008";

    deflate_mode: Mode in Messages, "deflate", "SWITCHBOARD_DEFLATE",
    relay Deflate::On.as_number(), echo Deflate::On.as_number(), from 0, to 2, zero None,
    section None, "compression of messages (RFC 7692), if the client offers it";

    deflate_min_bytes: Bytes in Messages, "deflate-min", "SWITCHBOARD_DEFLATE_MIN",
    relay 256, echo 256, from 0, to GIB, zero None,
    section None, "a shorter message is sent without compression";

    head_timeout_ms: Milliseconds in Deadlines, "head-timeout", "SWITCHBOARD_HEAD_TIMEOUT",
    relay 10 * SECOND, echo 10 * SECOND, from 10, to DAY, zero None,
    section Some("4.2.1"), "from accept to the end of the request head, however it drips";

    http_idle_timeout_ms: Milliseconds in Deadlines, "http-idle-timeout",
    "SWITCHBOARD_HTTP_IDLE_TIMEOUT",
    relay 60 * SECOND, echo 60 * SECOND, from 10, to DAY, zero None,
    section None, "from an HTTP answer to the next request at the operator's listener";

    ping_interval_ms: Milliseconds in Deadlines, "ping-interval", "SWITCHBOARD_PING_INTERVAL",
    relay 25 * SECOND, echo 0, from 10, to DAY, zero Some("off"),
    section Some("5.5.2"), "silence of the peer after which it is pinged";

    ping_timeout_ms: Milliseconds in Deadlines, "ping-timeout", "SWITCHBOARD_PING_TIMEOUT",
    relay 20 * SECOND, echo 20 * SECOND, from 10, to DAY, zero None,
    section Some("5.5.3"), "silence after a ping that ends the connection";

    close_timeout_ms: Milliseconds in Deadlines, "close-timeout", "SWITCHBOARD_CLOSE_TIMEOUT",
    relay 5 * SECOND, echo 5 * SECOND, from 10, to DAY, zero None,
    section Some("7.1.1"), "the closing handshake, from our Close frame to the end";

    write_timeout_ms: Milliseconds in Deadlines, "write-timeout", "SWITCHBOARD_WRITE_TIMEOUT",
    relay 20 * SECOND, echo 20 * SECOND, from 10, to DAY, zero None,
    section None, "a connection that takes nothing of what is queued for it";

    shutdown_timeout_ms: Milliseconds in Deadlines, "shutdown-timeout",
    "SWITCHBOARD_SHUTDOWN_TIMEOUT",
    relay 10 * SECOND, echo 10 * SECOND, from 10, to DAY, zero None,
    section Some("7.4.1"), "from INT or TERM to the exit; every connection is closed with 1001";

    outbox_high_bytes: Bytes in Memory, "outbox-high", "SWITCHBOARD_OUTBOX_HIGH",
    relay MIB, echo MIB, from KIB, to GIB, zero None,
    section None, "queued for one connection: above it, no more is taken and it is not read";

    outbox_low_bytes: Bytes in Memory, "outbox-low", "SWITCHBOARD_OUTBOX_LOW",
    relay 256 * KIB, echo 256 * KIB, from 0, to 512 * MIB, zero None,
    section None, "queued for one connection: below it, all goes on";

    outbox_total_bytes: Bytes in Memory, "outbox-total", "SWITCHBOARD_OUTBOX_TOTAL",
    relay 0, echo 0, from 64 * KIB, to 1024 * GIB, zero Some("25 % of memory"),
    section None, "held for all connections together: queues, unfinished heads and messages";

    read_buffer_bytes: Bytes in Memory, "read-buffer", "SWITCHBOARD_READ_BUFFER",
    relay 512 * KIB, echo 512 * KIB, from 4 * KIB, to 64 * MIB, zero None,
    section None, "the one buffer that all connections are read into";

    read_budget_bytes: Bytes in Memory, "read-budget", "SWITCHBOARD_READ_BUDGET",
    relay MIB, echo MIB, from 4 * KIB, to GIB, zero None,
    section None, "read from one connection before the others have their turn";

    send_budget_max: Count in Memory, "send-budget", "SWITCHBOARD_SEND_BUDGET",
    relay 16_384, echo 16_384, from 1, to 16_777_216, zero None,
    section None, "messages sent for what one connection says before the others have their turn";

    deflate_takeover_max: Count in Memory, "max-deflate-takeover",
    "SWITCHBOARD_MAX_DEFLATE_TAKEOVER",
    relay 256, echo 256, from 0, to 1_000_000, zero None,
    section None, "connections with windows of their own under `--deflate takeover`";
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_follow_their_rules() {
        for limit in LIMITS {
            let env = format!("SWITCHBOARD_{}", limit.flag.to_uppercase().replace('-', "_"));
            assert_eq!(limit.env, env);
            let suffix = match limit.unit {
                Unit::Bytes => "_bytes",
                Unit::Count => "_max",
                Unit::Milliseconds => "_ms",
                Unit::Mode => "_mode",
            };
            assert!(limit.field.ends_with(suffix), "{}", limit.field);
            assert!(!limit.reason.ends_with('.') && limit.reason.len() <= 80, "{}", limit.reason);
        }
        for (lower, _, upper) in ORDERS {
            for name in [lower, upper] {
                assert!(LIMITS.iter().any(|limit| limit.field == *name), "{name}");
            }
        }
    }

    #[test]
    fn the_defaults_are_allowed_and_are_the_tables() {
        for limits in [Limits::relay(), Limits::echo()] {
            assert_eq!(limits.validate(), Ok(()));
        }
        for limit in LIMITS {
            assert_eq!(limit.value(&Limits::relay()), limit.relay);
            assert_eq!(limit.value(&Limits::echo()), limit.echo);
        }
    }

    #[test]
    fn set_changes_its_own_field_and_no_other() {
        for limit in LIMITS {
            let mut limits = Limits::relay();
            limit.set(&mut limits, 77);
            for other in LIMITS {
                let wanted = if other == limit { 77 } else { other.relay };
                assert_eq!(other.value(&limits), wanted, "{}", other.field);
            }
        }
    }

    #[test]
    fn what_is_shown_is_read_back() {
        for limit in LIMITS {
            for value in [limit.min, limit.max, limit.relay, limit.echo, limit.min + 1] {
                assert_eq!(limit.parse(&limit.show(value)), Ok(value), "{}", limit.field);
            }
        }
    }

    #[test]
    fn ranges_end_where_the_table_says() {
        for limit in LIMITS {
            assert_eq!(limit.allows(0), limit.zero.is_some() || limit.min == 0, "{}", limit.field);
            assert!(limit.allows(limit.min) && limit.allows(limit.max), "{}", limit.field);
            assert!(!limit.allows(limit.max + 1) && !limit.allows(u64::MAX), "{}", limit.field);
            assert!(limit.min < 2 || !limit.allows(limit.min - 1), "{}", limit.field);
        }
    }

    #[test]
    fn limits_that_contradict_each_other_are_refused() {
        let mut limits = Limits::relay();
        limits.outbox_low_bytes = limits.outbox_high_bytes;
        let error = limits.validate().expect_err("low water at high water");
        let text = "outbox_low_bytes (1MiB) must be below outbox_high_bytes (1MiB)";
        assert_eq!(error.to_string(), text);

        let mut limits = Limits::echo();
        limits.outbox_total_bytes = 8 * MIB;
        let error = limits.validate().expect_err("no room for one message");
        let text = "message_max_bytes (16MiB) must not be above outbox_total_bytes (8MiB)";
        assert_eq!(error.to_string(), text);
        limits.outbox_total_bytes = 0;
        assert_eq!(limits.validate(), Ok(()));

        limits.close_timeout_ms = 1;
        let error = limits.validate().expect_err("out of range");
        assert_eq!(error.to_string(), "close_timeout_ms: out of range: 10ms to 1d");
    }
}
