//! The command line as clap sees it: names, headings and help texts, made from the table of
//! limits. Values are not judged here, because an environment variable is judged the same way.

use clap::builder::OsStringValueParser;
use clap::{Arg, ArgAction, Command};

use super::setting::{Kind, SETTINGS, Setting};
use super::{Mode, bench, connect, send, token};
use crate::config::{LIMITS, Limit};

/// The whole command: the relay's arguments stand at the top too, because `serve` may be left out.
pub(super) fn command() -> Command {
    let root = with_arguments(Command::new("switchboard"), Mode::Serve)
        // Not from the program's path: the texts are the same wherever it lies.
        .bin_name("switchboard")
        .version(env!("CARGO_PKG_VERSION"))
        .propagate_version(true)
        .about(
            "A WebSocket message server: one user's message reaches exactly one other user.\n\
             Without a command it is the relay, as with `serve`.",
        )
        .after_help(format!("{EXAMPLES}\n\n{NOTES}"))
        .args_conflicts_with_subcommands(true);
    let serve = with_arguments(Command::new("serve"), Mode::Serve)
        .about("The relay: users, groups and rooms, and a chat page on the same port (default)")
        .after_help(NOTES);
    let echo = with_arguments(Command::new("echo"), Mode::Echo)
        .about("Sends every message back: for conformance suites, benchmarks and learning")
        .after_help(NOTES);
    let check = with_settings(Command::new(CHECK), Mode::Serve)
        .about("Reads the configuration of `serve` and every file in it, and says what is wrong")
        .after_help(NOTES);
    // As plain `switchboard` in `--version`, not as `switchboard-echo`.
    let (connect, send, token) = (connect::command(), send::command(), token::command());
    let commands = [serve, echo, connect, send, token, check];
    #[cfg(feature = "durable")]
    let commands = commands.into_iter().chain([super::check_data::command()]);
    commands
        .into_iter()
        .chain([bench::command()])
        .fold(root, |root, command| root.subcommand(command.display_name("switchboard")))
}

/// The subcommand that starts nothing.
pub(super) const CHECK: &str = "check-config";
/// The flag that starts nothing either.
pub(super) const PRINT: &str = "print-config";

fn with_arguments(command: Command, mode: Mode) -> Command {
    let print = Arg::new(PRINT)
        .long(PRINT)
        .action(ArgAction::SetTrue)
        .help_heading("Configuration")
        .help("print what is in effect, in TOML, with the place of each value; start nothing");
    with_settings(command, mode).arg(print)
}

fn with_settings(command: Command, mode: Mode) -> Command {
    let settings = SETTINGS.iter().filter(|setting| setting.is_for(mode));
    let (last, first): (Vec<_>, Vec<_>) = settings.partition(|setting| setting.heading == LAST);
    command
        .next_line_help(true)
        .args(first.into_iter().map(argument))
        .args(LIMITS.iter().map(|limit| limit_argument(limit, mode)))
        .args(last.into_iter().map(argument))
}

fn argument(setting: &'static Setting) -> Arg {
    let Setting { name, env, placeholder, heading, help, default, allowed, kind, .. } = *setting;
    let arg = Arg::new(name).long(name).help_heading(heading);
    let arg = match kind {
        Kind::Switch => {
            let help = format!("{help}\n[default: {default}] [env: {env}=1]");
            return arg.action(ArgAction::SetTrue).help(help);
        }
        Kind::Addresses | Kind::Texts => arg.action(ArgAction::Append),
        _ => arg,
    };
    let env_file = setting.env_file().map(|name| format!(", or a file by {name}"));
    let env_file = env_file.unwrap_or_default();
    let first_len = allowed.find('\n').unwrap_or(allowed.len());
    let between = if default.len() + first_len > ONE_LINE_MAX { '\n' } else { ' ' };
    arg.value_name(placeholder)
        .value_parser(OsStringValueParser::new())
        .allow_negative_numbers(true)
        .help(format!(
            "{help}\n[default: {default}]{between}[allowed: {allowed}]\n[env: {env}{env_file}]"
        ))
}

fn limit_argument(limit: &Limit, mode: Mode) -> Arg {
    let default = match mode {
        Mode::Echo => limit.echo,
        Mode::Serve => limit.relay,
    };
    let unused = mode == Mode::Echo && limit.group.is_for_relay();
    let note = if unused { " (not used by `echo`)" } else { "" };
    Arg::new(limit.flag)
        .long(limit.flag)
        .value_name(limit.unit.placeholder())
        .value_parser(OsStringValueParser::new())
        // `-5` is to be refused as a value that is out of place, not as an unknown flag.
        .allow_negative_numbers(true)
        .help_heading(limit.group.heading())
        .help(format!(
            "{}{note}\n[default: {}] [allowed: {}]\n[env: {}]",
            limit.reason,
            limit.describe(default),
            limit.range(),
            limit.env
        ))
}

/// How long default and allowed values may be to stand side by side.
const ONE_LINE_MAX: usize = 72;
/// What is logged stands behind all that is served.
const LAST: &str = "Logging";

const EXAMPLES: &str = "\
Examples:
  switchboard
          the relay on ws://127.0.0.1:8080, its chat page on http://127.0.0.1:8080/
  switchboard --listen 127.0.0.1:9000 --listen '[::1]:9000'
          another port, in IPv4 and IPv6
  switchboard --listen 0.0.0.0:8080 --open --max-message 64KiB
          reachable from other machines, with short messages
  SWITCHBOARD_PING_INTERVAL=10s switchboard serve --log debug
          pings after 10 seconds of silence, and a talkative log
  switchboard echo --listen 127.0.0.1:0
          an echo server on a free port; its first line says which";

const NOTES: &str = "\
Values:
  BYTES   65536, 64k or 64KiB, 1m or 1MiB, 1g or 1GiB (1k is 1024)
  TIME    500ms, 10s, 2m, 1h; a bare number is seconds
  A flag goes before its environment variable, that before the configuration file, and that
  before the default. In the file, a setting has the name of its flag: max-message = \"64KiB\"

Exit codes:
  0  asked to stop (INT, TERM), or help was shown
  1  the server failed, for example because the address is in use
  2  a setting is wrong; nothing was started";
