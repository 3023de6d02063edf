//! `switchboard bench URL`: a load generator for any WebSocket server.
//!
//! | mode | who sends | who receives |
//! |---|---|---|
//! | `echo` | every connection | the same connection |
//! | `direct` | half of the connections | each its partner in the other half |
//! | `fanout` | one publisher | all subscribers, every message |
//! | `idle` | every connection once, or none | the same connection, or the next |
//! | `resume` | half of the connections | each its partner, who was away and comes back |
//!
//! # What can be trusted
//!
//! * Every message has a number ([`stamp`]), and every receiver keeps a book of them ([`ledger`]):
//!   what is lost, doubled, late, damaged or delivered to somebody else is counted, and makes the
//!   exit code 1.
//! * With a fixed rate, latency counts from the moment a message was due ([`pace`]), so a server
//!   that stalls cannot hide it. How late the load generator itself was is shown too (`lag`).
//! * Whether the server or the load generator was at its limit shows in the processor time of both
//!   ([`process`]). Messages per second of server CPU are nearly the same on a busy machine and
//!   on a quiet one.
//!
//! # How it keeps up
//!
//! One thread, one edge-triggered `epoll`, one read buffer for all connections, frames that are
//! masked beforehand ([`outgoing`]), and messages that are compared where they were read
//! ([`scanner`], [`intake`]). A message costs no allocation and no system call of its own: one read
//! and one write per connection that is ready.
//!
//! With `--deflate` this is not possible ([`compressed`]): each message is compressed and
//! decompressed here as well, and each is another text ([`chat`]).
//!
//! # The physical limit
//!
//! With `--raw` the same frames go to a server that does not know WebSocket and passes on what it
//! reads (`benches/compare/rawecho`). They come back as they went, so they are counted by their
//! length and not looked at; a missing byte shows as a lost message.
//!
//! # Switchboard
//!
//! What its users and messages look like is a [`template`] like any other's. Only with `--v1` do
//! clients do what `switchboard.v1` asks of them ([`dialect`]): they say hello, number their
//! messages and acknowledge what comes, and an answer that is missing is a fault as well.

pub mod chat;
pub mod compressed;
pub mod dialect;
pub mod fleet;
pub mod histogram;
pub mod idle;
pub mod intake;
pub mod ledger;
pub mod load;
mod opening;
pub mod outgoing;
pub mod pace;
pub mod plot;
pub mod process;
pub mod recorder;
pub mod report;
mod resume;
pub mod scanner;
pub mod settings;
pub mod stamp;
pub mod template;

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::time::Duration;

pub use self::report::Report;
pub use self::settings::Settings;
use self::settings::{BARE, Dialect, Mode};
use crate::net::client::{ClientError, Clients, Nanos};
use crate::wire::handshake::{AnswerError, InvalidRequest};

/// Runs it, to the end or until SIGINT or SIGTERM, and tells what was measured.
///
/// `progress` is told now and then how far it is.
///
/// # Errors
///
/// [`BenchError`] if there is nothing to tell: the server cannot be reached or does not want us.
pub fn run(settings: &Settings, progress: &mut dyn FnMut(&str)) -> Result<Report, BenchError> {
    if let Some(pid) = settings.pid
        && process::resident_bytes(pid).is_none()
    {
        return Err(BenchError::Process { pid });
    }
    let clients = Clients::new()?.with_signals()?;
    let mut progress = Progress { print: progress, next: Nanos::default() };
    match settings.mode {
        Mode::Idle => idle::run(settings, clients, &mut progress),
        Mode::Direct | Mode::Echo | Mode::Fanout => load::run(settings, clients, &mut progress),
        Mode::Resume => resume::run(settings, clients, &mut progress),
    }
}

/// The message of a run: as the settings say, or what its mode needs with Switchboard.
fn message_template(settings: &Settings) -> &str {
    match (&settings.message, settings.mode) {
        (Some(message), _) => message,
        (None, Mode::Fanout) if settings.dialect == Dialect::V1 => dialect::GROUP_MESSAGE,
        (None, _) if settings.dialect == Dialect::V1 => dialect::DIRECT_MESSAGE,
        (None, Mode::Direct) => DIRECT_MESSAGE,
        (None, Mode::Idle) if settings.register.is_some() => DIRECT_MESSAGE,
        (None, _) => BARE,
    }
}

/// How one user writes to another.
pub const DIRECT_MESSAGE: &str = r#"{"sender":"{from}","receiver":"{to}","content":"{content}"}"#;

/// How a user registers unless told otherwise.
pub const DIRECT_REGISTER: &str = "?user={id}";

/// Where it is told how far a run is.
pub struct Progress<'a> {
    print: &'a mut dyn FnMut(&str),
    next: Nanos,
}

impl Progress<'_> {
    /// Tells it if the last time was long enough ago.
    #[inline]
    pub fn show(&mut self, now: Nanos, text: impl FnOnce() -> String) {
        if now >= self.next {
            self.next = now.after(PROGRESS_INTERVAL);
            (self.print)(&text());
        }
    }
}

impl fmt::Debug for Progress<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Progress").field("next", &self.next).finish_non_exhaustive()
    }
}

/// Why there is no report.
#[derive(Debug)]
pub enum BenchError {
    /// Waiting for events failed, or there is no such name.
    Client(ClientError),
    /// The server does not speak `switchboard.v1`, or has not welcomed all.
    Unwelcome {
        /// How many connections were welcome.
        welcome: u64,
    },
    /// The server closed a connection before the first message.
    Closed {
        /// Which, and what it said.
        reason: String,
    },
    /// The server cannot be reached.
    Connect {
        /// Where it should be.
        addr: SocketAddr,
        /// How many connections were open by then.
        open: u64,
        /// What the operating system says.
        source: io::Error,
    },
    /// The machine does not allow so many connections.
    Descriptors {
        /// How many were asked for.
        asked: u64,
        /// How many are possible.
        possible: u64,
    },
    /// A signal came before anything could be measured.
    Interrupted,
    /// There is no such process, or nothing is known about it.
    Process {
        /// Its id.
        pid: u32,
    },
    /// The server did not complete the opening handshake.
    Refused {
        /// Where the server is.
        addr: SocketAddr,
        /// How many connections were open by then.
        open: u64,
        /// The rule that its answer breaks.
        error: AnswerError,
    },
    /// There is no valid request for this URL.
    Request(InvalidRequest),
    /// The server does not answer.
    Silent {
        /// Where it is.
        addr: SocketAddr,
        /// How many connections were open by then.
        open: u64,
    },
}

impl fmt::Display for BenchError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let after = |open: &u64| match open {
            0 => String::new(),
            open => format!(" (after {open} connections)"),
        };
        match self {
            BenchError::Client(error) => error.fmt(f),
            BenchError::Closed { reason } => {
                write!(f, "the server closed before the first message: {reason}")
            }
            BenchError::Connect { addr, open, source } => {
                write!(f, "cannot connect to {addr}{}: {source}", after(open))
            }
            BenchError::Descriptors { asked, possible } => write!(
                f,
                "{asked} connections need as many descriptors, and {possible} are possible: \
                 raise the hard limit (ulimit -Hn)"
            ),
            BenchError::Interrupted => f.write_str("interrupted before the first message"),
            BenchError::Process { pid } => {
                write!(f, "--pid {pid}: nothing is known of such a process (/proc/{pid})")
            }
            BenchError::Refused { addr, open, error } => {
                write!(f, "{addr} does not open a WebSocket{}: {error}", after(open))
            }
            BenchError::Request(error) => write!(f, "the URL cannot be requested: {error}"),
            BenchError::Unwelcome { welcome } => {
                write!(f, "--v1: no welcome (after {welcome} of them)")
            }
            BenchError::Silent { addr, open } => {
                write!(f, "{addr} does not answer{}", after(open))
            }
        }
    }
}

impl std::error::Error for BenchError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            BenchError::Client(error) => Some(error),
            BenchError::Connect { source, .. } => Some(source),
            BenchError::Refused { error, .. } => Some(error),
            BenchError::Request(error) => Some(error),
            _ => None,
        }
    }
}

impl From<ClientError> for BenchError {
    fn from(error: ClientError) -> BenchError {
        BenchError::Client(error)
    }
}

const PROGRESS_INTERVAL: Duration = Duration::from_millis(250);
