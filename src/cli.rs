//! The command line: arguments and environment in, a [`Task`] or an [`Exit`] out.
//!
//! ```text
//! switchboard [serve] [SETTINGS] [LIMITS]
//! switchboard echo    [SETTINGS] [LIMITS]
//! switchboard bench   [OPTIONS] URL
//! switchboard check-config [SETTINGS] [LIMITS]
//! switchboard check-data   [OPTIONS] DIR
//! switchboard send    [OPTIONS] TEXT
//! switchboard connect [OPTIONS] URL
//! ```
//!
//! For every setting a flag goes before its environment variable, that before the configuration
//! file, and that before the default. What cannot be understood is refused, wherever it stands;
//! an empty variable is not the same as none. Only `RUST_LOG`, which is not ours, is ignored then,
//! with a warning.
//!
//! ```
//! use switchboard::cli::{self, Mode, Surroundings, Task};
//!
//! let args = ["switchboard", "echo", "--listen", "127.0.0.1:0", "--max-message", "64k"];
//! let around = Surroundings::empty(); // or `system()`: the environment, and files
//! let task = cli::plan(args.map(Into::into).into_iter(), around).expect("a task");
//! let Task::Serve(plan) = task else { panic!("a server") };
//! assert_eq!(plan.mode, Mode::Echo);
//! assert_eq!(plan.limits.message_max_bytes, 65_536);
//!
//! let args = ["switchboard", "--max-message", "64 potatoes"];
//! let exit = cli::plan(args.map(Into::into).into_iter(), around).expect_err("no plan");
//! assert_eq!(exit.code, 2);
//! ```
//!
//! This module opens no socket, reads what it is given to read, and never ends the process.

mod auth;
mod bench;
#[cfg(feature = "durable")]
pub mod check_data;
mod command;
pub mod connect;
mod endpoint;
mod environment;
mod file;
mod listen;
mod load;
mod plan;
mod print;
mod reload;
pub mod send;
mod setting;
mod text_file;
mod token;
mod value;

use std::ffi::OsString;
use std::fmt;

use clap::ArgMatches;
use clap::error::{ContextKind, ContextValue};

use crate::config::Durability;
use crate::net::ListenAddress;
use crate::tools::bench::Settings;
pub use auth::Auth;
pub use endpoint::Courier;
pub use environment::unknown_variables;
pub use load::{Loaded, load};
pub use plan::{AccessPlan, Effective, KeysPlan, Plan, Surroundings};
pub use reload::{Reloaded, reload};
pub use setting::{Kind, Reload, SETTINGS, Scope, Setting, markdown_table};
pub use text_file::{Exposure, FileText, read_file};
pub use token::TokenSettings;
pub use value::{Place, Secret, Source};

/// What to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Task {
    /// `switchboard bench`: put load on a server.
    Bench(Box<Settings>),
    /// `switchboard check-data`: look at a store, and repair it.
    #[cfg(feature = "durable")]
    CheckData(Box<check_data::Settings>),
    /// `switchboard connect`: be a client.
    Connect(Box<connect::Settings>),
    /// `switchboard send`: send one message by way of the push API.
    Send(Box<send::Settings>),
    /// Be a server.
    Serve(Box<Plan>),
    /// `switchboard token`: print a signed token.
    Token(Box<TokenSettings>),
}

/// The two servers in the binary.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// `switchboard echo`: every message goes back where it came from.
    Echo,
    /// `switchboard serve`, or no command: the relay.
    Serve,
}

/// Why nothing is started: help or a check that was asked for, or a mistake.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Exit {
    /// The exit code: 0, or 2 for what is wrong in arguments and environment; `send` and `connect`
    /// have others.
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

/// Reads the arguments, the first of which is the program's name, and what is around them.
///
/// # Errors
///
/// [`Exit`] with code 0 for `--help` and `--version`, with code 2 for everything that is unknown,
/// unreadable, out of range, contradictory, or reaches beyond this machine without authentication
/// or `--open`.
pub fn plan(args: impl Iterator<Item = OsString>, around: Surroundings<'_>) -> Result<Task, Exit> {
    let root = command::command().try_get_matches_from(args).map_err(from_clap)?;
    let (what, matches) = what(&root);
    let mode = match what {
        What::Bench => return Ok(Task::Bench(Box::new(bench::settings(matches)?))),
        #[cfg(feature = "durable")]
        What::CheckData => {
            return Ok(Task::CheckData(Box::new(check_data::settings(matches)?)));
        }
        What::Check => {
            let (plan, problems) = plan::read(Mode::Serve, matches, around);
            return Err(load::check(&plan, problems, around.read));
        }
        What::Connect => {
            return Ok(Task::Connect(Box::new(connect::settings(matches, around)?)));
        }
        What::Send => return Ok(Task::Send(Box::new(send::settings(matches, around)?))),
        What::Token => return Ok(Task::Token(Box::new(token::settings(matches, around)?))),
        What::Be(mode) => mode,
    };
    let (plan, problems) = plan::read(mode, matches, around);
    if !problems.is_empty() {
        return Err(usage_errors(&problems));
    }
    if matches.get_flag(command::PRINT) {
        return Err(Exit { code: 0, text: print::toml(&plan), stream: Stream::Stdout });
    }
    Ok(Task::Serve(Box::new(plan)))
}

/// What is asked for.
enum What {
    Bench,
    Be(Mode),
    Check,
    #[cfg(feature = "durable")]
    CheckData,
    Connect,
    Send,
    Token,
}

/// What is asked for, and the arguments of that.
fn what(root: &ArgMatches) -> (What, &ArgMatches) {
    match root.subcommand() {
        Some(("bench", matches)) => (What::Bench, matches),
        Some((command::CHECK, matches)) => (What::Check, matches),
        #[cfg(feature = "durable")]
        Some((check_data::CHECK_DATA, matches)) => (What::CheckData, matches),
        Some((connect::CONNECT, matches)) => (What::Connect, matches),
        Some(("send", matches)) => (What::Send, matches),
        Some((token::TOKEN, matches)) => (What::Token, matches),
        Some(("echo", matches)) => (What::Be(Mode::Echo), matches),
        Some((_, matches)) => (What::Be(Mode::Serve), matches),
        None => (What::Be(Mode::Serve), root),
    }
}

/// What is printed on stdout once the server listens: where, and what to open.
///
/// `public` and `admin` are the real addresses, where the plan may have port 0.
pub fn greeting(
    plan: &Plan,
    public: &[ListenAddress],
    admin: &[ListenAddress],
    connections_max: u64,
) -> String {
    let version = env!("CARGO_PKG_VERSION");
    let mode = match plan.mode {
        Mode::Echo => " echo",
        Mode::Serve => "",
    };
    let mut text = String::new();
    for (what, scheme, addresses) in [("listening", "ws", public), ("push API", "http", admin)] {
        for address in addresses {
            let scheme = match address {
                ListenAddress::Tcp(_) => format!("{scheme}://"),
                ListenAddress::Unix(_) => String::new(),
            };
            text.push_str(&format!("switchboard {version}{mode} {what} on {scheme}{address}\n"));
        }
    }
    let is_open = plan.mode == Mode::Serve && plan.access.auth == Auth::Open;
    let mut pages = public.iter().filter_map(|address| match address {
        ListenAddress::Tcp(address) => Some(listen::reachable(*address)),
        ListenAddress::Unix(_) => None,
    });
    if let Some(page) = pages.next().filter(|_| is_open) {
        text.push_str(&format!("  open http://{page}/ in two windows\n"));
    }
    if plan.mode == Mode::Serve {
        text.push_str(&kept(plan));
    }
    text.push_str(&format!("  up to {connections_max} connections at once\n"));
    text
}

/// Where messages are kept, for whoever believes that they are.
fn kept(plan: &Plan) -> String {
    let Some(dir) = &plan.data else {
        return "  messages are kept in memory only; --data DIR keeps them on disk\n".to_owned();
    };
    let dir = dir.display();
    match plan.durability {
        Durability::Commit => format!("  messages are kept in {dir}, each commit synced\n"),
        Durability::Interval { .. } => {
            format!("  messages are kept in {dir}, synced by {}\n", plan.durability)
        }
    }
}

// For the subcommands that are no servers.

fn given(source: Source, value: &OsString) -> Result<value::Given, Exit> {
    match value::text_of(value) {
        Ok(text) => {
            let secrecy = value::Secrecy::Public;
            Ok(value::Given { name: "", source, text: text.to_owned(), secrecy })
        }
        Err(why) => Err(refuse(source, &value.to_string_lossy(), why)),
    }
}

fn refuse(source: Source, text: &str, why: impl fmt::Display) -> Exit {
    usage_error(&value::problem(&source.to_string(), text, why))
}

fn usage_error(text: &str) -> Exit {
    usage_errors(&[text.to_owned()])
}

/// What is said where nothing is started, whatever is wrong.
pub fn usage_errors(problems: &[String]) -> Exit {
    let mut text = String::new();
    for problem in problems {
        text.push_str(&format!("error: {problem}\n"));
    }
    text.push_str("\nFor more information, try '--help'.\n");
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
