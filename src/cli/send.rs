//! `switchboard send`: a message from the shell, by way of the push API.
//!
//! ```text
//! $ export SWITCHBOARD_ADMIN_KEY_FILE=/etc/switchboard/cron.key
//! $ switchboard send --to alice "the backup is done"
//! sent to 2 connections                                                  exit code 0
//! $ switchboard send --to carol "the backup is done"
//! kept until somebody comes                                              exit code 0
//! $ switchboard send --to bob "the backup is done"
//! nobody there: bob is not online, and the message is not kept           exit code 3
//! $ switchboard send --to bob "the backup is done" --url unix:/nowhere
//! error: unix:/nowhere: cannot connect: No such file or directory        exit code 1
//! ```
//!
//! The key is read from a file or the environment and never from the command line, which every
//! user of the machine may see.
//!
//! This module does not know what the server does with a message.

use std::ffi::OsString;
use std::fmt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::builder::OsStringValueParser;
use clap::{Arg, ArgAction, ArgGroup, ArgMatches, Command};
use serde_json::Value;

use super::{Exit, Source, Stream, Surroundings, given, refuse, usage_error};
use crate::net::exchange::{Destination, exchange};

/// A message to be sent, and where.
#[derive(Clone, PartialEq, Eq)]
pub struct Settings {
    url: AdminUrl,
    key: Option<String>,
    /// The destination, as the API names it.
    field: &'static str,
    to: String,
    body: String,
}

/// Where the push API is: `http://HOST:PORT` or `unix:/PATH`.
#[derive(Clone, Debug, PartialEq, Eq)]
struct AdminUrl {
    /// As it was given.
    text: String,
    destination: Destination,
    /// What `Host` says.
    host: String,
}

/// The subcommand.
pub(super) fn command() -> Command {
    let value = |name: &'static str, placeholder: &'static str, help: String| {
        Arg::new(name)
            .long(name)
            .value_name(placeholder)
            .value_parser(OsStringValueParser::new())
            .help(help)
    };
    let url_help = format!(
        "where the server's --admin listens: http://HOST:PORT or unix:/PATH\n\
         [default: {URL_DEFAULT}]"
    );
    let key_help = format!(
        "a file with the key in it, alone on its line\n[env: {KEY_FILE_ENV}, or {KEY_ENV} with \
         the key itself]"
    );
    Command::new("send")
        .about("Sends one message by way of the push API of a running server")
        .next_line_help(true)
        .after_help(NOTES)
        .arg(value(TO, "USER", "to every connection of this user".to_owned()))
        .arg(value(GROUP, "GROUP", "to every member of this group".to_owned()))
        .arg(value(ROOM, "PATH", "to everybody who connected on this URL path".to_owned()))
        .group(ArgGroup::new("destination").args([TO, GROUP, ROOM]).required(true))
        .arg(value(SENDER, "USER", "who it is from, for a key that may impersonate".to_owned()))
        .arg(
            Arg::new(JSON)
                .long(JSON)
                .action(ArgAction::SetTrue)
                .help("TEXT is JSON, and is sent as it is; otherwise it is sent as a string"),
        )
        .arg(value(URL, "URL", url_help))
        .arg(value(KEY_FILE, "FILE", key_help))
        .arg(
            Arg::new(TEXT)
                .value_name("TEXT")
                .required(true)
                .value_parser(OsStringValueParser::new())
                .allow_hyphen_values(true)
                .help("what is sent"),
        )
}

/// Reads what was typed, and finds the key.
pub(super) fn settings(matches: &ArgMatches, around: Surroundings<'_>) -> Result<Settings, Exit> {
    let text = |name: &'static str| -> Result<Option<String>, Exit> {
        let value = matches.get_one::<OsString>(name);
        value.map(|value| given(Source::Flag(name), value).map(|given| given.text)).transpose()
    };
    let url = text(URL)?.unwrap_or_else(|| URL_DEFAULT.to_owned());
    let url = AdminUrl::parse(&url).map_err(|why| refuse(Source::Flag(URL), &url, why))?;
    let (user, group, room) = (text(TO)?, text(GROUP)?, text(ROOM)?);
    let (field, to) = match (user, group, room) {
        (Some(user), ..) => ("receiver", user),
        (_, Some(group), _) => ("group", group),
        (.., Some(room)) => ("room", room),
        (None, None, None) => return Err(usage_error("whom to? --to, --group or --room says it")),
    };
    let content = match matches.get_one::<OsString>(TEXT).and_then(|text| text.to_str()) {
        Some(text) if matches.get_flag(JSON) => {
            let checked = serde_json::from_str::<&serde_json::value::RawValue>(text);
            checked.map_err(|error| usage_error(&format!("TEXT is not JSON: {error}")))?;
            text.to_owned()
        }
        Some(text) => Value::from(text).to_string(),
        None => return Err(usage_error("TEXT is not UTF-8")),
    };
    let sender = text(SENDER)?.map(|sender| format!(r#""sender":{},"#, Value::from(sender)));
    let (sender, name) = (sender.unwrap_or_default(), Value::from(&*to));
    let body = format!(r#"{{{sender}"{field}":{name},"content":{content}}}"#);
    Ok(Settings { url, key: key(text(KEY_FILE)?, around)?, field, to, body })
}

/// Sends the message and says what became of it.
pub fn run(settings: &Settings) -> Exit {
    let fail = |why: &dyn fmt::Display| {
        let text = format!("error: {}: {why}\n", settings.url.text);
        Exit { code: FAILED, text, stream: Stream::Stderr }
    };
    let answer = exchange(&settings.url.destination, &settings.request(), ANSWER_LEN_MAX, TIMEOUT);
    let answer = match answer {
        Ok(answer) => answer,
        Err(error) => return fail(&error),
    };
    let Some((status, body)) = read_answer(&answer) else {
        return fail(&"the answer is not HTTP, or not whole: the message may have been sent");
    };
    let count = |key: &str| body.get(key).and_then(Value::as_u64);
    match (status, count("online")) {
        (200, Some(0)) => {
            let whom = match settings.field {
                "receiver" => format!("{} is not online", settings.to),
                "group" => format!("nobody of the group {} is online", settings.to),
                _ => format!("nobody is on {}", settings.to),
            };
            let text = format!("nobody there: {whom}, and the message is not kept\n");
            Exit { code: NOBODY_THERE, text, stream: Stream::Stderr }
        }
        (202, Some(_)) => {
            let text = "kept until somebody comes\n".to_owned();
            Exit { code: 0, text, stream: Stream::Stdout }
        }
        (200, Some(online)) => {
            let connections = if online == 1 { "connection" } else { "connections" };
            let missed =
                count("missed").map(|missed| format!("; {missed} more had no room for it"));
            let missed = missed.unwrap_or_default();
            let text = format!("sent to {online} {connections}{missed}\n");
            Exit { code: 0, text, stream: Stream::Stdout }
        }
        _ => {
            let said = |key| body["error"][key].as_str().unwrap_or_default();
            let (reason, message) = (said("reason"), said("message"));
            match (reason, message) {
                ("", _) => fail(&format!("refused with {status}")),
                _ => fail(&format!("refused with {status} {reason}: {message}")),
            }
        }
    }
}

impl Settings {
    fn request(&self) -> Vec<u8> {
        let authorization = self.key.as_ref().map(|key| format!("Authorization: Bearer {key}\r\n"));
        let (host, body) = (&self.url.host, &self.body);
        let (authorization, len) = (authorization.unwrap_or_default(), body.len());
        let head = format!(
            "POST /v1/messages HTTP/1.1\r\nHost: {host}\r\n{authorization}Content-Type: \
             application/json\r\nContent-Length: {len}\r\nConnection: close\r\n\r\n"
        );
        [head.as_bytes(), body.as_bytes()].concat()
    }
}

/// Without the key.
impl fmt::Debug for Settings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Settings").field("url", &self.url.text).field("body", &self.body).finish()
    }
}

impl AdminUrl {
    fn parse(text: &str) -> Result<AdminUrl, &'static str> {
        let url = |destination, host: &str| {
            Ok(AdminUrl { text: text.to_owned(), destination, host: host.to_owned() })
        };
        if let Some(path) = text.strip_prefix("unix:") {
            return match path {
                "" => Err("the path is missing: write unix:/PATH"),
                _ => url(Destination::Unix(PathBuf::from(path)), "localhost"),
            };
        }
        let rest = text.strip_prefix("http://").ok_or("allowed: http://HOST:PORT, unix:/PATH")?;
        let authority = rest.strip_suffix('/').unwrap_or(rest);
        if !authority.bytes().all(|byte| byte.is_ascii_graphic() && !b"/?#@\\".contains(&byte)) {
            return Err("write http://HOST:PORT and no more");
        }
        let (host, port) = authority.rsplit_once(':').ok_or("the port is missing")?;
        let port = port.parse().map_err(|_| "the port is not a number up to 65535")?;
        let name = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
        if name.is_empty() {
            return Err("the host is missing");
        }
        url(Destination::Tcp(name.to_owned(), port), authority)
    }
}

/// The key: of the file that was named, or of the environment. Without one the server is asked all
/// the same, and says that it needs one.
fn key(file: Option<String>, around: Surroundings<'_>) -> Result<Option<String>, Exit> {
    let env = |name: &'static str| {
        (around.env)(name).map(|value| {
            given(Source::Environment(name.to_owned()), &value).map(|given| given.text)
        })
    };
    let file = match file {
        Some(file) => Some(file),
        None => env(KEY_FILE_ENV).transpose()?,
    };
    let key = match file {
        Some(file) => {
            let text = (around.read)(Path::new(&file))
                .map_err(|error| usage_error(&format!("cannot read {file}: {error}")))?;
            Some(text.text.trim().to_owned())
        }
        None => env(KEY_ENV).transpose()?,
    };
    match key {
        // It stands in a header line; nothing of it is shown.
        Some(key) if key.is_empty() || !key.bytes().all(|byte| byte.is_ascii_graphic()) => {
            Err(usage_error("the key is empty, or not one line of visible ASCII"))
        }
        key => Ok(key),
    }
}

/// Status and body of an answer after which the server closed; `None` if it is not whole.
fn read_answer(answer: &[u8]) -> Option<(u16, Value)> {
    let text = std::str::from_utf8(answer).ok()?;
    let (head, body) = text.split_once("\r\n\r\n")?;
    let mut lines = head.split("\r\n");
    let status = lines.next()?.strip_prefix("HTTP/1.1 ")?.get(..3)?.parse().ok()?;
    let len = lines.find_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.eq_ignore_ascii_case("Content-Length").then(|| value.trim().parse().ok())?
    });
    if len != Some(body.len()) {
        return None;
    }
    // What another server says in other words is known by its status.
    Some((status, serde_json::from_str(body).unwrap_or(Value::Null)))
}

const TO: &str = "to";
const GROUP: &str = "group";
const ROOM: &str = "room";
const SENDER: &str = "sender";
const JSON: &str = "json";
const URL: &str = "url";
const KEY_FILE: &str = "key-file";
const TEXT: &str = "text";

const KEY_ENV: &str = "SWITCHBOARD_ADMIN_KEY";
const KEY_FILE_ENV: &str = "SWITCHBOARD_ADMIN_KEY_FILE";
const URL_DEFAULT: &str = "http://127.0.0.1:8081";

/// For everything: a message to a large group takes the server milliseconds.
const TIMEOUT: Duration = Duration::from_secs(10);
/// The answers of the push API to one message are shorter than a kilobyte.
const ANSWER_LEN_MAX: usize = 64 * 1024;

const FAILED: u8 = 1;
const NOBODY_THERE: u8 = 3;

const NOTES: &str = "\
Examples:
  switchboard send --to alice \"the backup is done\"
          to alice, as {\"sender\":KEY'S NAME,\"content\":\"the backup is done\"}
  switchboard send --group ops --json '{\"disk\":\"full\"}' --url unix:/run/switchboard/admin.sock
          an object to a group, over a Unix socket

Exit codes:
  0  sent to at least one connection
  1  not sent: the server could not be reached, or refused
  2  a flag, an environment variable or the key's file is wrong; nothing was sent
  3  nobody is online whom it is for, and it is not kept";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_of_the_api_are_read_and_nothing_beside_them() {
        let tcp = |host: &str, port| Destination::Tcp(host.to_owned(), port);
        let table = [
            ("http://127.0.0.1:8081", tcp("127.0.0.1", 8081), "127.0.0.1:8081"),
            ("http://localhost:1/", tcp("localhost", 1), "localhost:1"),
            ("http://[::1]:8081", tcp("::1", 8081), "[::1]:8081"),
            ("unix:/run/a b.sock", Destination::Unix("/run/a b.sock".into()), "localhost"),
        ];
        for (text, destination, host) in table {
            let url = AdminUrl::parse(text).unwrap();
            assert_eq!((url.destination, &*url.host), (destination, host), "{text}");
        }
        for text in [
            "",
            "127.0.0.1:8081",
            "https://h:1",
            "http://h",
            "http://:1",
            "http://h:",
            "http://h:x",
            "http://h:1/v1",
            "http://u@h:1",
            "http://h:1?x",
            "http://h\r\nX: y:1",
            "unix:",
            "ws://h:1",
        ] {
            assert!(AdminUrl::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn an_answer_that_is_cut_is_none() {
        let whole = b"HTTP/1.1 200 OK\r\ncontent-length: 12\r\n\r\n{\"online\":2}";
        let (status, body) = read_answer(whole).unwrap();
        assert_eq!((status, body["online"].as_u64()), (200, Some(2)));
        for len in 0..whole.len() {
            assert_eq!(read_answer(&whole[..len]), None, "{len}");
        }
    }
}
