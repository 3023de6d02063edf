//! The command line as clap sees it: names, headings and help texts, made from the table of
//! limits. Values are not judged here, because an environment variable is judged the same way.

use clap::builder::OsStringValueParser;
use clap::{Arg, ArgAction, Command};

use super::{BROADCAST, LISTEN, LOG, Mode, OPEN, Setting, bench, listen};
use crate::config::{Group, LIMITS, Limit};

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
    // As plain `switchboard` in `--version`, not as `switchboard-echo`.
    [serve, echo, bench::command()]
        .into_iter()
        .fold(root, |root, command| root.subcommand(command.display_name("switchboard")))
}

fn with_arguments(command: Command, mode: Mode) -> Command {
    let broadcast = (mode == Mode::Serve).then(|| {
        value(&BROADCAST, "WHOM").help_heading(Group::Relay.heading()).help(help(
            &BROADCAST,
            BROADCAST_HELP,
            "others",
            "others, all, off",
        ))
    });
    let limits = LIMITS.iter().map(|limit| limit_argument(limit, mode));
    command
        .next_line_help(true)
        .arg(
            value(&LISTEN, "ADDR")
                .action(ArgAction::Append)
                .help_heading(Group::Listening.heading())
                .help(help(&LISTEN, LISTEN_HELP, &listen::DEFAULT.to_string(), LISTEN_FORMS)),
        )
        .arg(
            Arg::new(OPEN.flag)
                .long(OPEN.flag)
                .action(ArgAction::SetTrue)
                .help_heading(Group::Listening.heading())
                .help(format!("{OPEN_HELP}\n[default: off] [env: {}=1]", OPEN.env)),
        )
        .args(broadcast)
        .args(limits)
        .arg(value(&LOG, "FILTER").help_heading("Logging").help(help(
            &LOG,
            LOG_HELP,
            "info",
            "off, error, warn, info, debug, trace",
        )))
}

fn limit_argument(limit: &Limit, mode: Mode) -> Arg {
    let default = match mode {
        Mode::Echo => limit.echo,
        Mode::Serve => limit.relay,
    };
    let unused = mode == Mode::Echo && limit.group == Group::Relay;
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

fn value(setting: &Setting, placeholder: &'static str) -> Arg {
    Arg::new(setting.flag)
        .long(setting.flag)
        .value_name(placeholder)
        .value_parser(OsStringValueParser::new())
        .allow_negative_numbers(true)
}

fn help(setting: &Setting, text: &str, default: &str, allowed: &str) -> String {
    format!("{text}\n[default: {default}] [allowed: {allowed}]\n[env: {}]", setting.env)
}

const LISTEN_HELP: &str = "where to listen; may be repeated (in the environment: with commas)";
const LISTEN_FORMS: &str = "IP:PORT, localhost:PORT, PORT; port 0 is any free one";
const OPEN_HELP: &str = "allow addresses that other machines reach; there is no authentication";
const BROADCAST_HELP: &str = "who gets a message that names no receiver: the others in the room \
                              (same URL path),\nall of it with the sender, or nobody";
const LOG_HELP: &str = "what is logged on stderr: a level, or levels by module as in \
                        warn,switchboard=debug;\nRUST_LOG is read where neither is given";

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
  A flag goes before its environment variable, and that before the default.

Exit codes:
  0  asked to stop (INT, TERM), or help was shown
  1  the server failed, for example because the address is in use
  2  a flag or an environment variable is wrong; nothing was started";
