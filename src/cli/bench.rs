//! The command line of `switchboard bench`.
//!
//! None of its flags has an environment variable: what a measurement means should stand in the
//! command that made it.

use std::ffi::OsString;
use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use clap::builder::OsStringValueParser;
use clap::{Arg, ArgAction, ArgMatches, Command};

use super::{Exit, Source, given, refuse, usage_error};
use crate::config::Unit;
use crate::tools::bench::DIRECT_REGISTER;
use crate::tools::bench::dialect::GROUP_HELLO;
use crate::tools::bench::outgoing::Filler;
use crate::tools::bench::plot::PlotForm;
use crate::tools::bench::settings::{
    Dialect, Mode, OutputForm, PaceSetting, Protocol, Settings, Url, UrlError, Verify,
};

/// A flag: its name, the placeholder of its value (none for a switch), heading and help.
struct Flag(&'static str, Option<&'static str>, &'static str, &'static str);

/// The subcommand.
pub(super) fn command() -> Command {
    let url = Arg::new(URL)
        .value_name("URL")
        .required(true)
        .value_parser(OsStringValueParser::new())
        .help("the server: ws://HOST[:PORT][/PATH][?QUERY]; {id} in it becomes the user's name");
    Command::new("bench")
        .about("Puts load on a WebSocket server, any, and checks and measures what comes back")
        .next_line_help(true)
        .after_help(NOTES)
        .arg(url)
        .args(FLAGS.iter().map(argument))
}

fn argument(Flag(name, placeholder, heading, help): &Flag) -> Arg {
    let arg = Arg::new(*name).long(*name).help_heading(*heading).help(*help);
    let Some(placeholder) = placeholder else {
        let arg = arg.action(ArgAction::SetTrue);
        return match *name {
            "utf8" => arg.conflicts_with("text"),
            "deflate" => arg.conflicts_with_all(["text", "utf8", "raw"]),
            "v1" => arg.conflicts_with_all(["deflate", "raw"]),
            _ => arg,
        };
    };
    let arg = if *name == "rate" { arg.conflicts_with("pipeline") } else { arg };
    arg.value_name(*placeholder)
        .value_parser(OsStringValueParser::new())
        .allow_negative_numbers(true)
}

/// Reads what was typed.
pub(super) fn settings(matches: &ArgMatches) -> Result<Settings, Exit> {
    let input = Typed(matches);
    let url = input.text(URL)?.unwrap_or_default();
    let url = Url::parse(&url).map_err(|error: UrlError| refuse_url(&url, error))?;
    let mut settings = Settings::new(url);
    settings.mode = input.mode()?;
    if matches.get_flag("raw") {
        settings.protocol = Protocol::Raw;
    }
    if matches.get_flag("v1") {
        settings.dialect = Dialect::V1;
    }
    let pairs_or_more = match settings.mode {
        Mode::Idle => 1_000,
        Mode::Resume => 1,
        _ => settings.connections,
    };
    settings.connections = input.count("connections", 1, u32::MAX)?.unwrap_or(pairs_or_more);
    settings.active = input.count("active", 0, u32::MAX)?.unwrap_or(settings.connections);
    settings.kept = input.count("kept", 1, 1_000_000)?.unwrap_or(settings.kept);
    settings.size = input.size()?.unwrap_or(settings.size);
    settings.filler = match (matches.get_flag("utf8"), matches.get_flag("text")) {
        (true, _) => Filler::MultiByte,
        (false, true) => Filler::Ascii,
        (false, false) if matches.get_flag("deflate") => Filler::Ascii,
        (false, false) if settings.mode == Mode::Direct => Filler::Ascii,
        (false, false) if settings.dialect == Dialect::V1 => Filler::Ascii,
        (false, false) => Filler::Binary,
    };
    settings.deflate = matches.get_flag("deflate");
    settings.pace = match input.count("rate", 1, 100_000_000)? {
        Some(rate) => PaceSetting::Rate(rate),
        None => PaceSetting::Pipeline(input.count("pipeline", 1, 1_000_000)?.unwrap_or(1)),
    };
    let times = [
        ("warmup", &mut settings.warmup),
        ("duration", &mut settings.duration),
        ("settle", &mut settings.settle),
        ("drain", &mut settings.drain),
    ];
    for (name, place) in times {
        if let Some(time) = input.time(name)? {
            *place = time;
        }
    }
    if settings.duration.is_zero() && settings.mode != Mode::Idle {
        return Err(usage_error("--duration '0': nothing can be measured in no time"));
    }
    let register = input.text("register")?;
    // Nothing is kept for guests.
    let is_v1 = settings.dialect == Dialect::V1;
    let has_users = settings.mode == Mode::Direct || is_v1;
    let by_default = has_users && !settings.url.target.contains("{id}");
    settings.register = register.or_else(|| by_default.then(|| DIRECT_REGISTER.to_owned()));
    let joins = is_v1 && settings.mode == Mode::Fanout;
    let hello = input.text("hello")?;
    settings.hello = hello.or_else(|| joins.then(|| GROUP_HELLO.to_owned()));
    settings.message = input.text("message")?;
    settings.pid = input.count("pid", 1, u32::MAX)?;
    settings.verify =
        if matches.get_flag("no-verify") { Verify::Sequence } else { Verify::Content };
    settings.output = if matches.get_flag("json") { OutputForm::Json } else { OutputForm::Table };
    settings.plot = input.plot()?;
    settings.check().map_err(|error| usage_error(&error.to_string()))?;
    Ok(settings)
}

fn refuse_url(url: &str, error: UrlError) -> Exit {
    // Not through `Source`: it has no flag.
    let shown: String =
        url.chars().take(super::value::SHOWN_MAX).flat_map(char::escape_debug).collect();
    usage_error(&format!("URL '{shown}': {error}"))
}

/// The values as they were typed.
struct Typed<'a>(&'a ArgMatches);

impl Typed<'_> {
    fn text(&self, name: &'static str) -> Result<Option<String>, Exit> {
        let value = self.0.get_one::<OsString>(name);
        value.map(|value| given(Source::Flag(name), value).map(|given| given.text)).transpose()
    }

    fn refused(name: &'static str, text: &str, why: impl fmt::Display) -> Exit {
        refuse(Source::Flag(name), text, why)
    }

    fn count(&self, name: &'static str, min: u32, max: u32) -> Result<Option<u32>, Exit> {
        let Some(text) = self.text(name)? else { return Ok(None) };
        // `u32::from_str` takes a sign.
        let digits = text.bytes().all(|byte| byte.is_ascii_digit());
        match u32::from_str(&text) {
            Ok(count) if digits && (min..=max).contains(&count) => Ok(Some(count)),
            _ => {
                let why = format_args!("not a plain number from {min} to {max}");
                Err(Self::refused(name, &text, why))
            }
        }
    }

    fn size(&self) -> Result<Option<usize>, Exit> {
        let Some(text) = self.text("size")? else { return Ok(None) };
        match Unit::Bytes.parse(&text) {
            Some(size @ 0..=SIZE_MAX) => Ok(Some(size as usize)),
            _ => Err(Self::refused("size", &text, "not a number of bytes from 0 to 1GiB")),
        }
    }

    fn time(&self, name: &'static str) -> Result<Option<Duration>, Exit> {
        let Some(text) = self.text(name)? else { return Ok(None) };
        match Unit::Milliseconds.parse(&text) {
            Some(milliseconds @ 0..=TIME_MAX_MS) => Ok(Some(Duration::from_millis(milliseconds))),
            _ => Err(Self::refused(name, &text, "not a time such as 500ms, 10s or 2m, up to 24h")),
        }
    }

    fn mode(&self) -> Result<Mode, Exit> {
        let Some(text) = self.text("mode")? else { return Ok(Mode::Echo) };
        let mode = Mode::ALL.iter().find(|(name, _)| *name == text).map(|(_, mode)| *mode);
        mode.ok_or_else(|| {
            Self::refused("mode", &text, "allowed: echo, direct, fanout, idle, resume")
        })
    }

    fn plot(&self) -> Result<Option<PathBuf>, Exit> {
        let Some(text) = self.text("plot")? else { return Ok(None) };
        let path = PathBuf::from(&text);
        match PlotForm::of(&path) {
            Some(_) => Ok(Some(path)),
            None => Err(Self::refused("plot", &text, "the name must end in .svg or .html")),
        }
    }
}

const URL: &str = "url";
const SIZE_MAX: u64 = 1 << 30;
const TIME_MAX_MS: u64 = 24 * 60 * 60 * 1_000;

const LOAD: &str = "Load";
const TIMES: &str = "Times";
const TEMPLATES: &str = "Users and messages";
const RESULT: &str = "Result";

#[rustfmt::skip]
const FLAGS: &[Flag] = &[
    Flag("mode", Some("MODE"), LOAD,
        "who sends to whom: echo (everybody to himself), direct (pairs), fanout (one to all),\n\
         idle (connections held open), resume (with --v1: direct to users who are away, and how\n\
         fast what was kept comes when they are back)\n[default: echo]"),
    Flag("connections", Some("COUNT"), LOAD,
        "how many connections; with direct and resume pairs, with fanout subscribers\n\
         [default: 64; idle: 1000; resume: 1]"),
    Flag("size", Some("BYTES"), LOAD,
        "length of the content of a message\n[default: 125] [allowed: 0 to 1GiB]"),
    Flag("text", None, LOAD,
        "text messages in ASCII, instead of binary ones\n[default: off; direct: always]"),
    Flag("utf8", None, LOAD,
        "text messages with characters of one to four bytes\n[default: off]"),
    Flag("deflate", None, LOAD,
        "offer permessage-deflate (RFC 7692), as browsers do; messages are chat, each another\n\
         text, and bytes on the wire are shown beside those of the payload; this tool then\n\
         needs as much of a processor as the server\n[default: off]"),
    Flag("pipeline", Some("COUNT"), LOAD,
        "closed loop: how many messages each sender keeps outstanding; idle: how many each sends\n\
         [default: 1]"),
    Flag("rate", Some("PER-SECOND"), LOAD,
        "open loop: how many messages are sent per second, by all senders together, whatever\n\
         comes back; latency counts from the moment each was due; needs a core of its own\n\
         [default: off, a closed loop]"),
    Flag("v1", None, LOAD,
        "clients of switchboard.v1: messages are numbered, answered and acknowledged, and an\n\
         answer that is missing is a fault\n[default: off]"),
    Flag("raw", None, LOAD,
        "no WebSocket: the same bytes without handshakes, to a server that passes on what it\n\
         reads (echo, fanout, idle); messages are counted by their length and not looked at\n\
         [default: off]"),
    Flag("active", Some("COUNT"), LOAD,
        "idle: over how many of the connections messages are sent\n[default: all]"),
    Flag("kept", Some("COUNT"), LOAD,
        "resume: how many messages are kept for each receiver; the server has to allow for them\n\
         (--log-messages, --log-bytes)\n[default: 1000]"),
    Flag("warmup", Some("TIME"), TIMES,
        "from the first message to the beginning of the measurement\n[default: 1s]"),
    Flag("duration", Some("TIME"), TIMES,
        "the measurement; idle: how long connections are held after the traffic\n[default: 5s]"),
    Flag("settle", Some("TIME"), TIMES,
        "from the last handshake to the first message; what comes then is ignored\n\
         [default: 100ms]"),
    Flag("drain", Some("TIME"), TIMES,
        "how long to wait in the end for what is still missing, while nothing comes\n\
         [default: 2s]"),
    Flag("register", Some("TEMPLATE"), TEMPLATES,
        "how a user registers: appended to the URL\n[default: none; direct: ?user={id}]"),
    Flag("hello", Some("TEMPLATE"), TEMPLATES,
        "the first message of each connection, for example to join a group\n[default: none]"),
    Flag("message", Some("TEMPLATE"), TEMPLATES,
        "what a message looks like; {content} must be in it, once\n[default: {content}; direct: \
         {\"sender\":\"{from}\",\"receiver\":\"{to}\",\"content\":\"{content}\"}]"),
    Flag("pid", Some("PID"), RESULT,
        "the server's process, if it is on this machine: processor time and memory are shown\n\
         [default: none]"),
    Flag("no-verify", None, RESULT,
        "check the number of each message only, not its content\n[default: off]"),
    Flag("json", None, RESULT,
        "print one line of JSON instead of the table\n[default: off]"),
    Flag("plot", Some("FILE"), RESULT,
        "draw latency and throughput into this file, .svg or .html\n[default: none]"),
];

const NOTES: &str = "\
Templates:
  {id}       the name of the connection's user, such as u00002a
  {from}     the name of the user who sends a message, {to} of the one who is to receive it
  {number}   the number of the message, of its sender: from 10000000 on
  {content}  the content: a number by which it is recognised, then filler

Examples:
  switchboard bench ws://127.0.0.1:8080/ --pipeline 16 --pid $(pidof server)
          echo, 16 messages outstanding on each of 64 connections
  switchboard bench ws://127.0.0.1:8080/ --mode direct --connections 100
          100 pairs of users of `switchboard serve`
  switchboard bench ws://127.0.0.1:8080/ --mode fanout --connections 1000 \\
      --hello '{\"type\":\"join\",\"group\":\"all\"}' \\
      --message '{\"group\":\"all\",\"content\":\"{content}\"}'
          one member of a group to 1000 others
  switchboard bench ws://127.0.0.1:8080/ --mode direct --v1 --pipeline 16 --pid $(pidof server)
          the same pairs with numbers, answers and acknowledgements; how long an answer takes
  switchboard bench ws://127.0.0.1:8080/ --mode idle --deflate --size 1k --pid $(pidof server)
          1000 connections that have sent and received a compressed message: what each costs
  switchboard bench ws://127.0.0.1:8080/ --rate 20000 --plot latency.html
          20,000 messages per second, latency with nothing left out

Values:
  BYTES   65536, 64k or 64KiB, 1m or 1MiB (1k is 1024)
  TIME    500ms, 10s, 2m; a bare number is seconds

Exit codes:
  0  every message came once, in order and unchanged
  1  some did not; or the server cannot be reached or refuses
  2  a flag is wrong; nothing was started";
