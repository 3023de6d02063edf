//! The command line of `switchboard connect`.
//!
//! ```text
//! $ switchboard connect ws://127.0.0.1:8080/ --user bob
//! /to alice hi
//! -- ok 1
//! alice: hello, bob
//!
//! $ echo '{"receiver":"alice","content":"hi","tag":7}' | \
//!       switchboard connect ws://127.0.0.1:8080/ --user bob --json
//! {"event":"ok","tag":7,"type":"ok","id":1}                              exit code 0
//! ```
//!
//! This module does not know what is said on a connection.

use std::ffi::OsString;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use clap::builder::OsStringValueParser;
use clap::{Arg, ArgAction, ArgMatches, Command};

use super::{Exit, Source, Stream, Surroundings, given, refuse, usage_error, value};
use crate::tools::client::{Identity, Snapshot, Start};
pub use crate::tools::connect::Settings;
use crate::tools::connect::{Choice, Form, InputEnd, Reconnect, run as run_client};
use crate::tools::random::random;
use crate::tools::url::Url;

/// The subcommand.
pub(super) fn command() -> Command {
    let url = Arg::new(URL)
        .value_name("URL")
        .required(true)
        .value_parser(OsStringValueParser::new())
        .help("the server: ws://HOST[:PORT][/PATH]; there is no TLS, so no wss://");
    Command::new(CONNECT)
        .about("A client for people and for programs: sends what it reads, shows what comes")
        .next_line_help(true)
        .after_help(NOTES)
        .arg(url)
        .args(FLAGS.iter().map(argument))
}

/// The name of the subcommand.
pub(super) const CONNECT: &str = "connect";

struct Flag(&'static str, Option<&'static str>, &'static str);

fn argument(flag: &Flag) -> Arg {
    let Flag(name, placeholder, help) = *flag;
    let arg = Arg::new(name).long(name).help(help);
    match placeholder {
        Some(placeholder) => arg.value_name(placeholder).value_parser(OsStringValueParser::new()),
        None => arg.action(ArgAction::SetTrue),
    }
}

/// Reads what was typed, the token and the state. How things are shown to people depends on where;
/// see [`for_terminal`].
pub(super) fn settings(matches: &ArgMatches, around: Surroundings<'_>) -> Result<Settings, Exit> {
    let text = |name: &'static str| -> Result<Option<String>, Exit> {
        let value = matches.get_one::<OsString>(name);
        value.map(|value| given(Source::Flag(name), value).map(|given| given.text)).transpose()
    };
    let is_set = |name| matches.get_flag(name);
    let url = text(URL)?.unwrap_or_default();
    let mut url = Url::parse(&url).map_err(|error| {
        let start = url.chars().take(value::SHOWN_MAX);
        let shown: String = start.flat_map(char::escape_debug).collect();
        usage_error(&format!("URL '{shown}': {error}"))
    })?;
    let user = text(USER)?;
    if let Some(user) = &user {
        add_user(&mut url, user)?;
    }
    let state = text(STATE)?.map(PathBuf::from);
    let start = match text(FROM)?.as_deref() {
        None | Some("live") => Start::Live,
        Some("kept") => Start::Kept,
        Some(other) => return Err(refuse(Source::Flag(FROM), other, "allowed: kept, live")),
    };
    // Who asks for what only switchboard.v1 has does not want less.
    let needs_v1 = [STATE, FROM, CLIENT].into_iter().find(|name| matches.contains_id(name));
    let needs_v1 = needs_v1.or(is_set(RECEIPTS).then_some(RECEIPTS));
    let dialect = match (is_set(PLAIN), needs_v1) {
        (true, Some(name)) => {
            return Err(usage_error(&format!("--{name}: the plain dialect has nothing like it")));
        }
        (true, None) => Choice::Plain,
        (false, Some(_)) => Choice::V1,
        (false, None) => Choice::Any,
    };
    let reconnect = match (is_set(NO_RECONNECT), is_set(WAIT)) {
        (true, true) => return Err(usage_error("--wait contradicts --no-reconnect")),
        (true, false) => Reconnect::Never,
        (false, true) => Reconnect::Always,
        (false, false) => Reconnect::Once,
    };
    let form = Form::People { is_dim: false, is_shared: false };
    Ok(Settings {
        url,
        dialect,
        token: token(text(TOKEN)?, text(TOKEN_FILE)?, around)?,
        client: client(text(CLIENT)?, user, state.as_deref(), around)?,
        state,
        start,
        receipts: is_set(RECEIPTS),
        form: if is_set(JSON) { Form::Json } else { form },
        reconnect,
        input_end: if is_set(STAY) { InputEnd::Stay } else { InputEnd::Finish },
    })
}

/// The same settings where people read, or type and read, on a terminal.
pub fn for_terminal(
    settings: Settings,
    reads: bool,
    types: bool,
    env: &dyn Fn(&str) -> Option<OsString>,
) -> Settings {
    // https://no-color.org: set and not empty.
    let wants_none = env("NO_COLOR").is_some_and(|value| !value.is_empty());
    let is_dumb = env("TERM").is_some_and(|value| value == "dumb");
    let form = match settings.form {
        Form::Json => Form::Json,
        Form::People { .. } => Form::People {
            is_dim: reads && !wants_none && !is_dumb,
            is_shared: reads && types && !is_dumb,
        },
    };
    Settings { form, ..settings }
}

/// Speaks with the server until there is an end.
pub fn run(settings: &Settings) -> Exit {
    let (code, sentence) = match run_client(settings) {
        Ok(ending) => (ending.code, ending.sentence),
        Err(error) => (NO_CONNECTION, Some(error.to_string())),
    };
    let text = sentence.map(|sentence| format!("error: {sentence}\n")).unwrap_or_default();
    Exit { code, text, stream: Stream::Stderr }
}

/// Who the client is: as the state file says, or as it was typed, or somebody new.
fn client(
    typed: Option<String>,
    user: Option<String>,
    state: Option<&Path>,
    around: Surroundings<'_>,
) -> Result<Snapshot, Exit> {
    let is_good = |client: &String| {
        (1..=32).contains(&client.len())
            && client.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_-".contains(&byte))
    };
    if let Some(client) = typed.as_ref().filter(|client| !is_good(client)) {
        return Err(refuse(Source::Flag(CLIENT), client, "allowed: 1 to 32 of A-Za-z0-9_-"));
    }
    if let Some(path) = state
        && let Some(mut kept) = kept(path, around)?
    {
        let differs = |typed: &Option<String>, kept: Option<&String>| {
            typed.is_some() && kept.is_some() && typed.as_ref() != kept
        };
        if differs(&typed, Some(&kept.client)) || differs(&user, kept.user.as_ref()) {
            let path = path.display();
            return Err(usage_error(&format!("{path} is the state of another client or user")));
        }
        let user = kept.user.clone().or(user);
        kept.user = user;
        return Ok(kept);
    }
    let client = typed.unwrap_or_else(|| format!("{:016x}", random() as u64));
    Ok(Snapshot::new(Identity { client, user }))
}

fn kept(path: &Path, around: Surroundings<'_>) -> Result<Option<Snapshot>, Exit> {
    let shown = path.display();
    match (around.read)(path) {
        Ok(file) => match Snapshot::from_json(&file.text) {
            Ok(snapshot) => Ok(Some(snapshot)),
            Err(error) => Err(usage_error(&format!("{shown}: {error}"))),
        },
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(usage_error(&format!("cannot read {shown}: {error}"))),
    }
}

fn token(
    typed: Option<String>,
    file: Option<String>,
    around: Surroundings<'_>,
) -> Result<Option<String>, Exit> {
    let token = match (typed, file) {
        (Some(_), Some(_)) => return Err(usage_error("--token contradicts --token-file")),
        (Some(token), None) => token,
        (None, Some(file)) => {
            let text = (around.read)(Path::new(&file))
                .map_err(|error| usage_error(&format!("cannot read {file}: {error}")))?;
            text.text.trim().to_owned()
        }
        (None, None) => return Ok(None),
    };
    // Nothing of it is shown.
    if token.is_empty() || !token.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err(usage_error("the token is empty, or not one line of visible ASCII"));
    }
    Ok(Some(token))
}

fn add_user(url: &mut Url, user: &str) -> Result<(), Exit> {
    let query = url.target.split_once('?').map_or("", |(_, query)| query);
    if query.split('&').any(|pair| pair == "user" || pair.starts_with("user=")) {
        return Err(usage_error("--user: the URL names a user already"));
    }
    url.target.push(if url.target.contains('?') { '&' } else { '?' });
    url.target.push_str("user=");
    for byte in user.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => {
                url.target.push(char::from(byte));
            }
            _ => url.target.push_str(&format!("%{byte:02X}")),
        }
    }
    Ok(())
}

const URL: &str = "url";
const PLAIN: &str = "plain";
const USER: &str = "user";
const TOKEN: &str = "token";
const TOKEN_FILE: &str = "token-file";
const CLIENT: &str = "client";
const STATE: &str = "state";
const FROM: &str = "from";
const RECEIPTS: &str = "receipts";
const JSON: &str = "json";
const STAY: &str = "stay";
const NO_RECONNECT: &str = "no-reconnect";
const WAIT: &str = "wait";

const NO_CONNECTION: u8 = 3;

#[rustfmt::skip]
const FLAGS: &[Flag] = &[
    Flag(USER, Some("NAME"),
        "who you are, as ?user=NAME: a claim, or what the credential says anyway"),
    Flag(TOKEN, Some("TOKEN"),
        "a credential; other users of the machine can see it, so better:"),
    Flag(TOKEN_FILE, Some("FILE"),
        "a file with the credential in it, alone on its line"),
    Flag(PLAIN, None,
        "the plain dialect: nothing is acknowledged, kept or repeated; without this flag, it is\n\
         spoken only if the server has no other, and that is said"),
    Flag(STATE, Some("FILE"),
        "keep what is unanswered and how far was read in this file: the next run goes on there,\n\
         also after kill -9; for one process at a time"),
    Flag(CLIENT, Some("ID"),
        "the name of this device, 1 to 32 of A-Za-z0-9_-\n\
         [default: drawn, and kept with --state]"),
    Flag(FROM, Some("PLACE"),
        "from where messages come if there is no state: kept (the oldest that the server has) or\n\
         live (from now on)\n[default: live]"),
    Flag(RECEIPTS, None,
        "ask for a receipt for each message to a user"),
    Flag(JSON, None,
        "for programs: one JSON object per line, in both directions"),
    Flag(STAY, None,
        "go on receiving at the end of input, until a signal comes or nobody reads"),
    Flag(WAIT, None,
        "if the first attempt to connect fails, go on trying; later ones are repeated anyway"),
    Flag(NO_RECONNECT, None,
        "end when the connection does"),
];

const NOTES: &str = "\
Lines that are typed:
  /to bob hi there   to a user; the lines that follow go there too
  /group room1 hi    to a group; /join room1 and /leave room1
  /help              all the others

Lines for programs (--json), for example:
  > {\"receiver\":\"bob\",\"content\":\"hi\",\"tag\":7}
  < {\"event\":\"ok\",\"tag\":7,\"type\":\"ok\",\"id\":1}
  A frame has no id: it is given here. A key that the dialect does not know, as tag, is not sent
  and comes back with the outcome. Events: state, welcome, queued, message, ok, error, gap,
  receipt, presence, members, pong, drain, closed. With --state, what is queued is sent even if
  this process is killed; a message may then come again, with the same epoch and seq.

Examples:
  switchboard connect ws://127.0.0.1:8080/ --user bob
          for people
  switchboard connect ws://127.0.0.1:8080/ --user bob --json --state bob.json --stay < /dev/null
          everything that comes for bob, and nothing twice
  echo '{\"receiver\":\"bob\",\"content\":\"done\"}' |
      switchboard connect ws://127.0.0.1:8080/ --user cron --json
          one message; the exit code says whether it was accepted

Exit codes:
  0  everything was answered and accepted
  1  something was refused, or a line could not be sent
  2  a flag or a file is wrong; nothing was started
  3  no connection, or something was not answered, or not sent";

#[cfg(test)]
mod tests {
    use super::*;

    fn read(line: &str) -> Result<Settings, Exit> {
        let args = std::iter::once(CONNECT).chain(line.split_whitespace());
        let matches = command().try_get_matches_from(args).map_err(super::super::from_clap)?;
        settings(&matches, Surroundings::empty())
    }

    #[test]
    fn flags_that_do_not_go_together_are_named() {
        for (line, wanted) in [
            ("", "required"),
            ("http://h", "URL 'http://h': not a URL such as ws://"),
            ("wss://h", "URL 'wss://h': there is no TLS: only ws:// is possible"),
            ("ws://h --from then", "--from 'then': allowed: kept, live"),
            ("ws://h --plain --state f", "--state: the plain dialect has nothing like it"),
            ("ws://h --plain --receipts", "--receipts: the plain dialect has nothing like it"),
            ("ws://h --wait --no-reconnect", "--wait contradicts --no-reconnect"),
            ("ws://h --client a.b", "--client 'a.b': allowed: 1 to 32 of A-Za-z0-9_-"),
            ("ws://h --token a --token-file b", "--token contradicts --token-file"),
            ("ws://h/?user=a --user b", "--user: the URL names a user already"),
            ("ws://h --once", "unexpected argument"),
        ] {
            let exit = read(line).expect_err(line);
            assert_eq!((exit.code, exit.stream), (2, Stream::Stderr), "{line}");
            assert!(exit.text.contains(wanted), "{line}: {}", exit.text);
        }
        assert_eq!(read("ws://h --json").map(|read| read.dialect), Ok(Choice::Any));
        assert_eq!(read("ws://h --receipts").map(|read| read.dialect), Ok(Choice::V1));
        let debug = format!("{:?}", read("ws://h --token hidden"));
        assert!(!debug.contains("hidden"), "{debug}");
    }

    #[test]
    fn a_terminal_is_written_to_as_it_wishes() {
        let plain = read("ws://h").unwrap();
        let form = |reads, types, name: &'static str, value: &'static str| {
            let env = move |asked: &str| (asked == name).then(|| OsString::from(value));
            for_terminal(plain.clone(), reads, types, &env).form
        };
        let people = |is_dim, is_shared| Form::People { is_dim, is_shared };
        assert_eq!(form(true, true, "TERM", "xterm"), people(true, true));
        assert_eq!(form(true, true, "NO_COLOR", "1"), people(false, true));
        assert_eq!(form(true, false, "NO_COLOR", ""), people(true, false));
        assert_eq!(form(true, true, "TERM", "dumb"), people(false, false));
        assert_eq!(form(false, true, "TERM", "xterm"), people(false, false));
    }

    #[test]
    fn a_user_stands_in_the_query_once_and_escaped() {
        let with_user = |text: &str, user: &str| {
            let mut url = Url::parse(text).unwrap();
            add_user(&mut url, user).map(|()| url.target)
        };
        assert_eq!(with_user("ws://h", "bob"), Ok("/?user=bob".to_owned()));
        let wanted = "/a?b=c&user=a%20b%26%C3%A9";
        assert_eq!(with_user("ws://h/a?b=c", "a b&é"), Ok(wanted.to_owned()));
        assert!(with_user("ws://h/?user=eve", "bob").is_err());
    }
}
