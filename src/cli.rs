//! The command line: arguments and environment in, a [`Task`] or an [`Exit`] out.
//!
//! ```text
//! switchboard [serve] [--listen ADDR]... [--open] [--broadcast WHOM] [--log FILTER] [LIMITS]
//! switchboard echo    [--listen ADDR]... [--open]                    [--log FILTER] [LIMITS]
//! switchboard bench   [OPTIONS] URL
//! ```
//!
//! For every setting a flag goes before its environment variable, and that before the default.
//! What cannot be understood is refused, whether it was typed or inherited; an empty variable is
//! not the same as none. Only `RUST_LOG`, which is not ours, is ignored then, with a warning.
//!
//! ```
//! use switchboard::cli::{self, Mode, Task};
//!
//! let args = ["switchboard", "echo", "--listen", "127.0.0.1:0", "--max-message", "64k"];
//! let task = cli::plan(args.map(Into::into).into_iter(), &|_name| None).expect("a task");
//! let Task::Serve(plan) = task else { panic!("a server") };
//! assert_eq!(plan.mode, Mode::Echo);
//! assert_eq!(plan.limits.message_max_bytes, 65_536);
//!
//! let args = ["switchboard", "--max-message", "64 potatoes"];
//! let exit = cli::plan(args.map(Into::into).into_iter(), &|_name| None).expect_err("no plan");
//! assert_eq!(exit.code, 2);
//! ```
//!
//! This module opens no socket, reads no environment of its own and never ends the process.

mod bench;
mod command;
mod environment;
mod listen;

use std::ffi::OsString;
use std::fmt;
use std::net::SocketAddr;

use clap::ArgMatches;
use clap::error::{ContextKind, ContextValue};

use crate::config::{Broadcast, LIMITS, Limit, LimitError, Limits, Reach};
use crate::logger::{BareTarget, Filter};
use crate::tools::bench::Settings;
pub use environment::unknown_variables;

/// What to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Task {
    /// `switchboard bench`: put load on a server.
    Bench(Box<Settings>),
    /// Be a server.
    Serve(Box<Plan>),
}

/// What to start, complete and checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    /// Which server.
    pub mode: Mode,
    /// Where it listens: at least one address, none twice.
    pub listen: Vec<SocketAddr>,
    /// Every limit, valid together.
    pub limits: Limits,
    /// `Loopback` only if every address of `listen` is a loopback address.
    pub reach: Reach,
    /// Who gets what names no receiver; `echo` has no use for it.
    pub broadcast: Broadcast,
    /// What is logged.
    pub log: Filter,
    /// What was given and is ignored, in words for the log.
    pub warnings: Vec<String>,
}

/// The two servers in the binary.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// `switchboard echo`: every message goes back where it came from.
    Echo,
    /// `switchboard serve`, or no command: the relay.
    Serve,
}

/// Why nothing is started: help that was asked for, or a mistake.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Exit {
    /// The exit code: 0, or 2 for what is wrong in arguments and environment.
    pub code: u8,
    /// What to print, line ends included.
    pub text: String,
    /// Where to print it.
    pub stream: Stream,
}

/// Where a text is printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stream {
    /// Standard error.
    Stderr,
    /// Standard output.
    Stdout,
}

/// Reads the arguments, the first of which is the program's name, and the environment.
///
/// # Errors
///
/// [`Exit`] with code 0 for `--help` and `--version`, with code 2 for everything that is unknown,
/// unreadable, out of range, contradictory, or reaches beyond this machine without `--open`.
pub fn plan(
    args: impl Iterator<Item = OsString>,
    env: &dyn Fn(&str) -> Option<OsString>,
) -> Result<Task, Exit> {
    let root = command::command().try_get_matches_from(args).map_err(from_clap)?;
    let (mode, matches) = match root.subcommand() {
        Some(("bench", matches)) => {
            return Ok(Task::Bench(Box::new(bench::settings(matches)?)));
        }
        Some(("echo", matches)) => (Mode::Echo, matches),
        Some((_, matches)) => (Mode::Serve, matches),
        None => (Mode::Serve, &root),
    };
    let input = Input { matches, env };
    let reach = input.reach()?;
    let (log, warning) = input.log()?;
    Ok(Task::Serve(Box::new(Plan {
        mode,
        listen: input.listen(reach)?,
        limits: input.limits(mode)?,
        reach,
        broadcast: match mode {
            Mode::Echo => Broadcast::default(),
            Mode::Serve => input.broadcast()?,
        },
        log,
        warnings: warning.into_iter().collect(),
    })))
}

/// What is printed on stdout once the server listens: where, and what to open.
///
/// `addresses` are the real ones, where `plan.listen` may have port 0.
pub fn greeting(plan: &Plan, addresses: &[SocketAddr], connections_max: u64) -> String {
    let mode = match plan.mode {
        Mode::Echo => " echo",
        Mode::Serve => "",
    };
    let mut text = String::new();
    for address in addresses {
        let version = env!("CARGO_PKG_VERSION");
        text.push_str(&format!("switchboard {version}{mode} listening on ws://{address}\n"));
    }
    if let (Mode::Serve, Some(first)) = (plan.mode, addresses.first()) {
        let page = listen::reachable(*first);
        text.push_str(&format!("  open http://{page}/ in two windows\n"));
    }
    text.push_str(&format!("  up to {connections_max} connections at once\n"));
    text
}

/// One setting that is not a limit: its flag and its environment variable.
struct Setting {
    flag: &'static str,
    env: &'static str,
}

const BROADCAST: Setting = Setting { flag: "broadcast", env: "SWITCHBOARD_BROADCAST" };
const LISTEN: Setting = Setting { flag: "listen", env: "SWITCHBOARD_LISTEN" };
const LOG: Setting = Setting { flag: "log", env: "SWITCHBOARD_LOG" };
const OPEN: Setting = Setting { flag: "open", env: "SWITCHBOARD_OPEN" };
/// The usual variable of Rust programs; it is not ours, so being empty is no mistake.
const RUST_LOG: &str = "RUST_LOG";

/// Where a value came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Source {
    Default,
    Environment(&'static str),
    Flag(&'static str),
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Source::Default => f.write_str("default"),
            Source::Environment(name) => f.write_str(name),
            Source::Flag(name) => write!(f, "--{name}"),
        }
    }
}

/// One value as it was given.
struct Given {
    source: Source,
    text: String,
}

impl Given {
    fn refuse(&self, why: impl fmt::Display) -> Exit {
        refuse(self.source, &self.text, why)
    }
}

/// The parsed arguments and the environment behind them.
struct Input<'a> {
    matches: &'a ArgMatches,
    env: &'a dyn Fn(&str) -> Option<OsString>,
}

impl Input<'_> {
    /// Every value of a setting from the first place that has one.
    fn all(&self, flag: &'static str, env: &'static str) -> Result<Vec<Given>, Exit> {
        if let Some(values) = self.matches.get_many::<OsString>(flag) {
            return values.map(|value| given(Source::Flag(flag), value)).collect();
        }
        let value = (self.env)(env);
        value.iter().map(|value| given(Source::Environment(env), value)).collect()
    }

    fn one(&self, setting: &Setting) -> Result<Option<Given>, Exit> {
        Ok(self.all(setting.flag, setting.env)?.pop())
    }

    fn reach(&self) -> Result<Reach, Exit> {
        if self.matches.get_flag(OPEN.flag) {
            return Ok(Reach::Open);
        }
        let Some(value) = (self.env)(OPEN.env) else { return Ok(Reach::Loopback) };
        let value = given(Source::Environment(OPEN.env), &value)?;
        match value.text.to_ascii_lowercase().as_str() {
            "1" | "true" | "yes" | "on" => Ok(Reach::Open),
            "0" | "false" | "no" | "off" => Ok(Reach::Loopback),
            _ => Err(value.refuse("allowed: 1, true, yes or on; 0, false, no or off")),
        }
    }

    fn listen(&self, reach: Reach) -> Result<Vec<SocketAddr>, Exit> {
        let mut addresses = Vec::new();
        for value in self.all(LISTEN.flag, LISTEN.env)? {
            let items = match value.source {
                Source::Environment(_) => value.text.split(',').map(str::trim).collect(),
                _ => vec![value.text.as_str()],
            };
            for item in items {
                let refuse = |why: &dyn fmt::Display| refuse(value.source, item, why);
                let address = listen::parse(item).map_err(|error| refuse(&error))?;
                if reach == Reach::Loopback && !listen::is_loopback(&address) {
                    return Err(refuse(&BEYOND_LOOPBACK));
                }
                // Port 0 is another port each time.
                if address.port() != 0 && addresses.contains(&address) {
                    return Err(refuse(&"this address is given twice"));
                }
                addresses.push(address);
            }
        }
        if addresses.is_empty() {
            addresses.push(listen::DEFAULT);
        }
        Ok(addresses)
    }

    fn limits(&self, mode: Mode) -> Result<Limits, Exit> {
        let mut limits = match mode {
            Mode::Echo => Limits::echo(),
            Mode::Serve => Limits::relay(),
        };
        for limit in LIMITS {
            if let Some(value) = self.all(limit.flag, limit.env)?.pop() {
                let number = limit.parse(&value.text);
                let number = number.map_err(|error| value.refuse(error.advice()))?;
                limit.set(&mut limits, number);
            }
        }
        limits.validate().map_err(|error| self.contradiction(error))?;
        Ok(limits)
    }

    /// Two limits that do not fit together, with the places that their values came from.
    fn contradiction(&self, error: LimitError) -> Exit {
        let LimitError::Order { lower, lower_value, rule, upper, upper_value } = error else {
            return usage_error(&error.to_string());
        };
        let shown = |limit: &'static Limit, value| match self.source(limit) {
            source @ Source::Environment(_) => format!("{source} ({})", limit.show(value)),
            Source::Flag(flag) => format!("--{flag} ({})", limit.show(value)),
            Source::Default => format!("--{} (default {})", limit.flag, limit.show(value)),
        };
        let (lower, upper) = (shown(lower, lower_value), shown(upper, upper_value));
        usage_error(&format!("{lower} {} {upper}", rule.text()))
    }

    fn source(&self, limit: &'static Limit) -> Source {
        match self.all(limit.flag, limit.env) {
            Ok(values) => values.last().map_or(Source::Default, |value| value.source),
            Err(_) => Source::Default,
        }
    }

    fn broadcast(&self) -> Result<Broadcast, Exit> {
        let Some(value) = self.one(&BROADCAST)? else { return Ok(Broadcast::default()) };
        match value.text.as_str() {
            "others" => Ok(Broadcast::Others),
            "all" => Ok(Broadcast::All),
            "off" => Ok(Broadcast::Off),
            _ => Err(value.refuse("allowed: others, all, off")),
        }
    }

    /// The filter, and what is wrong with an `RUST_LOG` that would have made another.
    fn log(&self) -> Result<(Filter, Option<String>), Exit> {
        if let Some(value) = self.one(&LOG)? {
            let filter = Filter::parse(&value.text, BareTarget::Refused);
            return Ok((filter.map_err(|error| value.refuse(error))?, None));
        }
        let Some(value) = (self.env)(RUST_LOG).filter(|value| !value.is_empty()) else {
            return Ok((Filter::default(), None));
        };
        // Set for all programs of a machine, it may be written for another one: no mistake.
        match Filter::parse(&value.to_string_lossy(), BareTarget::Everything) {
            Ok(filter) => Ok((filter, None)),
            Err(error) => {
                let shown = shown(&value.to_string_lossy());
                let warning = format!("{RUST_LOG} '{shown}' is ignored: {error}");
                Ok((Filter::default(), Some(warning)))
            }
        }
    }
}

fn given(source: Source, value: &OsString) -> Result<Given, Exit> {
    match value.to_str() {
        None => Err(refuse(source, &value.to_string_lossy(), "not UTF-8")),
        Some("") => Err(refuse(source, "", "is empty: give it a value or leave it out")),
        Some(text) => Ok(Given { source, text: text.to_owned() }),
    }
}

fn refuse(source: Source, text: &str, why: impl fmt::Display) -> Exit {
    usage_error(&format!("{source} '{}': {why}", shown(text)))
}

/// Escaped and cut: a value may be anything, the terminal is the user's.
fn shown(text: &str) -> String {
    let shown: String = text.chars().take(SHOWN_MAX).flat_map(char::escape_debug).collect();
    let cut = if text.chars().nth(SHOWN_MAX).is_some() { "..." } else { "" };
    shown + cut
}

fn usage_error(text: &str) -> Exit {
    let text = format!("error: {text}\n\nFor more information, try '--help'.\n");
    Exit { code: USAGE_ERROR, text, stream: Stream::Stderr }
}

fn from_clap(mut error: clap::Error) -> Exit {
    // It suggests whatever has letters in common, `--open` for `--nope`: no help but a guess.
    if let (Some(ContextValue::String(given)), Some(ContextValue::String(suggested))) =
        (error.get(ContextKind::InvalidArg), error.get(ContextKind::SuggestedArg))
        && !environment::is_near(given.trim_start_matches('-'), suggested.trim_start_matches('-'))
    {
        error.remove(ContextKind::SuggestedArg);
        error.remove(ContextKind::Usage); // made of the suggestion
    }
    let stream = if error.use_stderr() { Stream::Stderr } else { Stream::Stdout };
    // What clap prints on stdout was asked for; all else is a wrong command line.
    let code = if stream == Stream::Stdout { 0 } else { USAGE_ERROR };
    Exit { code, text: error.render().to_string(), stream }
}

const USAGE_ERROR: u8 = 2;
const SHOWN_MAX: usize = 64;
const BEYOND_LOOPBACK: &str = "\
other machines can reach this address
and there is no authentication: anybody there could connect, and claim to be any user.
Add --open (or SWITCHBOARD_OPEN=1) if that is meant, or listen on 127.0.0.1 or [::1]";
