//! What to measure: everything that the command line says, checked.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

pub use super::dialect::Dialect;
use super::outgoing::Filler;
use super::stamp::{STAMP_LEN, STREAM_MAX};
use super::template::{self, TemplateError};
use crate::protocol::DEFLATE_AVAILABLE;
pub use crate::tools::url::{Url, UrlError};

/// One run of the load generator.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// The server.
    pub url: Url,
    /// Who sends to whom.
    pub mode: Mode,
    /// What is spoken on the connections.
    pub protocol: Protocol,
    /// What is spoken in it.
    pub dialect: Dialect,
    /// How many: connections, pairs (`Direct`) or subscribers (`Fanout`).
    pub connections: u32,
    /// Length of the content of each message in bytes.
    pub size: usize,
    /// What the content is made of, and with it the kind of message.
    pub filler: Filler,
    /// Whether permessage-deflate is offered. Messages are chat then, each another one, and
    /// `filler` is not looked at.
    pub deflate: bool,
    /// When messages are sent.
    pub pace: PaceSetting,
    /// From the first message to the beginning of the measurement.
    pub warmup: Duration,
    /// The measurement; for `Idle`, how long connections are held open after the traffic.
    pub duration: Duration,
    /// From the last handshake to the first message; what comes in that time is ignored.
    pub settle: Duration,
    /// How long the end waits for messages that are still missing, while none comes.
    pub drain: Duration,
    /// Appended to the URL, a template.
    pub register: Option<String>,
    /// The first message of each connection, a template.
    pub hello: Option<String>,
    /// What a message looks like, a template; without one, it is the content and nothing else.
    pub message: Option<String>,
    /// Over how many connections `Idle` sends messages, as many each as the pipeline has.
    pub active: u32,
    /// How many messages `Resume` has kept for each receiver.
    pub kept: u32,
    /// The process whose processor time and memory are read.
    pub pid: Option<u32>,
    /// What is checked of a message.
    pub verify: Verify,
    /// The form of the result on stdout.
    pub output: OutputForm,
    /// Where to draw the result: `.svg` or `.html`.
    pub plot: Option<PathBuf>,
}

/// Who sends to whom.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// Pairs: a sender and a receiver each.
    Direct,
    /// Everybody gets back what he sends.
    Echo,
    /// One publisher, many subscribers.
    Fanout,
    /// Connections that are held open.
    Idle,
    /// Receivers that come back for what was kept for them.
    Resume,
}

impl Mode {
    /// All of them with their names, in the order of the help text.
    pub const ALL: [(&'static str, Mode); 5] = [
        ("echo", Mode::Echo),
        ("direct", Mode::Direct),
        ("fanout", Mode::Fanout),
        ("idle", Mode::Idle),
        ("resume", Mode::Resume),
    ];

    /// The name on the command line.
    pub fn name(self) -> &'static str {
        Mode::ALL.iter().find(|(_, mode)| *mode == self).map_or("", |(name, _)| name)
    }
}

/// What is spoken on the connections.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    /// Nothing: the bytes of the same frames, without a handshake and unread, to a server that
    /// passes bytes on. What that costs is the physical limit of every WebSocket server.
    Raw,
    /// RFC 6455.
    WebSocket,
}

impl Protocol {
    /// The name in reports.
    pub fn name(self) -> &'static str {
        match self {
            Protocol::Raw => "raw",
            Protocol::WebSocket => "websocket",
        }
    }
}

/// When messages are sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PaceSetting {
    /// Closed loop: each sender keeps so many messages outstanding.
    Pipeline(u32),
    /// Open loop: all senders together send so many messages per second, whatever comes back.
    Rate(u32),
}

/// What is checked of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verify {
    /// Its number, and every byte of its content.
    Content,
    /// Its number.
    Sequence,
}

/// The form of the result on stdout.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OutputForm {
    /// One line of JSON.
    Json,
    /// A table to read.
    Table,
}

impl Settings {
    /// `echo` with everything at its default.
    pub fn new(url: Url) -> Settings {
        Settings {
            url,
            mode: Mode::Echo,
            protocol: Protocol::WebSocket,
            dialect: Dialect::Plain,
            connections: 64,
            size: 125,
            filler: Filler::Binary,
            deflate: false,
            pace: PaceSetting::Pipeline(1),
            warmup: Duration::from_secs(1),
            duration: Duration::from_secs(5),
            settle: Duration::from_millis(100),
            drain: Duration::from_secs(2),
            register: None,
            hello: None,
            message: None,
            active: 0,
            kept: 1_000,
            pid: None,
            verify: Verify::Content,
            output: OutputForm::Table,
            plot: None,
        }
    }

    /// Whether all of it goes together.
    ///
    /// # Errors
    ///
    /// [`SettingsError`]: the first thing that does not.
    pub fn check(&self) -> Result<(), SettingsError> {
        let user = template::User { role: b'u', number: 0 };
        let route = template::Route { from: user, to: user };
        let message = super::message_template(self);
        template::render(message, route, b"").map_err(SettingsError::Message)?;
        // A stamp that is cut could be any digits of the message around it.
        if message != BARE && self.size < STAMP_LEN {
            return Err(SettingsError::Short);
        }
        // Which text a message has, a cut stamp would not say.
        if self.deflate && self.size < STAMP_LEN {
            return Err(SettingsError::ShortChat);
        }
        if self.deflate && !DEFLATE_AVAILABLE {
            return Err(SettingsError::DeflateAbsent);
        }
        if self.connections >= STREAM_MAX {
            return Err(SettingsError::Connections);
        }
        let is_paced = !matches!(self.mode, Mode::Idle | Mode::Resume);
        if !is_paced && matches!(self.pace, PaceSetting::Rate(_)) {
            return Err(SettingsError::IdleRate);
        }
        if self.dialect == Dialect::V1 {
            if self.deflate || self.protocol == Protocol::Raw {
                return Err(SettingsError::V1Alone);
            }
            if self.mode == Mode::Echo {
                return Err(SettingsError::V1Echo);
            }
        } else if self.mode == Mode::Resume {
            return Err(SettingsError::ResumeV1);
        }
        let users = self.mode == Mode::Direct || self.register.is_some() || self.hello.is_some();
        if self.protocol == Protocol::Raw && users {
            return Err(SettingsError::RawUsers);
        }
        Ok(())
    }
}

/// What does not go together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SettingsError {
    /// More connections than stamps can tell apart.
    Connections,
    /// This build cannot compress.
    DeflateAbsent,
    /// Idle and resuming connections have no rate.
    IdleRate,
    /// Nothing is kept in other dialects.
    ResumeV1,
    /// This dialect is spoken on a WebSocket, and not compressed here.
    V1Alone,
    /// Nobody gets back there what he sends.
    V1Echo,
    /// The message has no place for its content.
    Message(TemplateError),
    /// A server that does not read what it passes on has no users.
    RawUsers,
    /// The content is too short to be found within a message.
    Short,
    /// The content is too short to say which text it has.
    ShortChat,
}

impl fmt::Display for SettingsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            SettingsError::Connections => write!(f, "--connections: at most {}", STREAM_MAX - 1),
            SettingsError::DeflateAbsent => {
                f.write_str("--deflate: this build has no compression (the feature deflate)")
            }
            SettingsError::IdleRate => {
                f.write_str("--rate: connections of --mode idle and resume have none")
            }
            SettingsError::ResumeV1 => f.write_str("--mode resume: needs --v1"),
            SettingsError::V1Alone => f.write_str("--v1: neither with --deflate nor with --raw"),
            SettingsError::V1Echo => {
                f.write_str("--v1: needs --mode direct, fanout, idle or resume")
            }
            SettingsError::Message(error) => write!(f, "--message: {error}"),
            SettingsError::RawUsers => f.write_str(
                "--raw: a server that reads nothing has no users (direct, --register, --hello)",
            ),
            SettingsError::ShortChat => {
                write!(f, "--size: at least {STAMP_LEN} with --deflate")
            }
            SettingsError::Short => {
                write!(f, "--size: at least {STAMP_LEN} where the content is part of a message")
            }
        }
    }
}

impl std::error::Error for SettingsError {}

/// A template that is nothing but the content.
pub(super) const BARE: &str = "{content}";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn contradictions_are_named() {
        let plain = Settings::new(Url::parse("ws://localhost/").unwrap());
        assert_eq!(plain.check(), Ok(()));
        let short = Settings { message: Some("-{content}".into()), size: 15, ..plain.clone() };
        assert_eq!(short.check(), Err(SettingsError::Short));
        let bare = Settings { message: Some("{content}".into()), size: 0, ..plain.clone() };
        assert_eq!(bare.check(), Ok(()));
        let chat = Settings { deflate: true, size: 15, ..plain.clone() };
        assert_eq!(chat.check(), Err(SettingsError::ShortChat));
        let none = Settings { message: Some("{id}".into()), ..plain.clone() };
        assert_eq!(none.check(), Err(SettingsError::Message(TemplateError)));
        let idle = Settings { mode: Mode::Idle, pace: PaceSetting::Rate(1), ..plain.clone() };
        assert_eq!(idle.check(), Err(SettingsError::IdleRate));
        let v1 = Settings { dialect: Dialect::V1, ..plain.clone() };
        assert_eq!(v1.check(), Err(SettingsError::V1Echo));
        let v1 = Settings { mode: Mode::Resume, ..v1 };
        assert_eq!(v1.check(), Ok(()));
        let raw = Settings { protocol: Protocol::Raw, ..v1.clone() };
        assert_eq!(raw.check(), Err(SettingsError::V1Alone));
        assert_eq!(Settings { deflate: true, ..v1.clone() }.check(), Err(SettingsError::V1Alone));
        let plain_resume = Settings { dialect: Dialect::Plain, ..v1 };
        assert_eq!(plain_resume.check(), Err(SettingsError::ResumeV1));
        let raw = Settings { protocol: Protocol::Raw, ..plain };
        assert_eq!(raw.check(), Ok(()));
        for mode in [Mode::Direct, Mode::Echo] {
            let users = Settings { mode, register: Some("?user={id}".into()), ..raw.clone() };
            assert_eq!(users.check(), Err(SettingsError::RawUsers));
        }
    }
}
