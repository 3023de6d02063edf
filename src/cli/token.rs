//! The command line of `switchboard token`: a signed token, for trying things out.
//!
//! ```text
//! switchboard token --user alice --role member --ttl 1h --secret chat.key
//!                        |             |             |             |
//!                       sub          roles     exp, from now    HS256
//! eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.eyJzdWIi...
//! ```
//!
//! The token is all that is printed on stdout, so that `$(switchboard token ...)` is it.
//!
//! This module does not know what time it is.

use std::ffi::OsString;
use std::fmt;
use std::path::{Path, PathBuf};

use clap::builder::OsStringValueParser;
use clap::{Arg, ArgAction, ArgMatches, Command};
use serde_json::json;

use super::plan::Surroundings;
use super::{Exit, Secret, Source, given, refuse, usage_error};
use crate::config::{Limits, Unit};
use crate::relay::access::jwt;
use crate::relay::name::Name;

/// The token that was asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TokenSettings {
    /// `sub`.
    pub user: String,
    /// `roles`.
    pub roles: Vec<String>,
    /// `groups`.
    pub groups: Vec<String>,
    /// From now to `exp`.
    pub ttl_ms: u64,
    /// `aud`.
    pub audience: Option<String>,
    /// `iss`.
    pub issuer: Option<String>,
    secret: Secret,
}

impl TokenSettings {
    /// The token, issued at a time in seconds since 1970.
    ///
    /// # Errors
    ///
    /// What is wrong with the secret.
    pub fn mint(&self, now: u64) -> Result<String, jwt::KeyError> {
        let expires = now.saturating_add(self.ttl_ms / 1000);
        let mut claims = json!({ "sub": self.user, "iat": now, "exp": expires });
        let lists = [("roles", &self.roles), ("groups", &self.groups)];
        for (name, list) in lists.into_iter().filter(|(_, list)| !list.is_empty()) {
            claims[name] = json!(list);
        }
        for (name, text) in [("aud", &self.audience), ("iss", &self.issuer)] {
            if let Some(text) = text {
                claims[name] = json!(text);
            }
        }
        jwt::sign_hs256(self.secret.reveal().as_bytes(), &claims.to_string())
    }
}

/// The subcommand.
pub(super) fn command() -> Command {
    Command::new(TOKEN)
        .about("Prints a token that a server with `--auth jwt:hs256:FILE` takes: for testing")
        .next_line_help(true)
        .after_help(NOTES)
        .args(FLAGS.iter().map(argument))
}

/// The name of the subcommand.
pub(super) const TOKEN: &str = "token";

/// Reads what was typed, and the secret.
pub(super) fn settings(
    matches: &ArgMatches,
    around: Surroundings<'_>,
) -> Result<TokenSettings, Exit> {
    let input = Typed(matches);
    let [user] = &input.names("user")?[..] else {
        return Err(usage_error("--user is missing: whose token is it to be?"));
    };
    let ttl_ms = match input.one("ttl")? {
        None => TTL_MS,
        Some(text) => match Unit::Milliseconds.parse(&text) {
            Some(ttl_ms @ 1000..=TTL_MAX_MS) => ttl_ms,
            _ => {
                let why = "not a time such as 90s, 15m or 1h, from 1s to 8760h";
                return Err(refuse(Source::Flag("ttl"), &text, why));
            }
        },
    };
    let secret = match input.one("secret")? {
        Some(file) => from_file(Path::new(&file), around)?,
        None => from_environment(around)?,
    };
    let settings = TokenSettings {
        user: user.clone(),
        roles: input.names("role")?,
        groups: input.names("group")?,
        ttl_ms,
        audience: input.one("audience")?,
        issuer: input.one("issuer")?,
        secret,
    };
    match settings.mint(0) {
        Ok(_) => Ok(settings),
        Err(error) => Err(usage_error(&error.to_string())),
    }
}

/// Where the server has its own from, if it is configured by its environment.
fn from_environment(around: Surroundings<'_>) -> Result<Secret, Exit> {
    let variable = |name: &str| (around.env)(name).and_then(|value| value.into_string().ok());
    if let Some(secret) = variable("SWITCHBOARD_AUTH_SECRET") {
        return Ok(Secret::new(secret));
    }
    let file = variable("SWITCHBOARD_AUTH_SECRET_FILE").or_else(|| {
        let auth = variable("SWITCHBOARD_AUTH")?;
        auth.strip_prefix("jwt:hs256:").map(str::to_owned)
    });
    match file {
        Some(file) => from_file(Path::new(&file), around),
        None => Err(usage_error(
            "--secret is missing: the file with the secret that the server has in \
             --auth jwt:hs256:FILE",
        )),
    }
}

fn from_file(path: &Path, around: Surroundings<'_>) -> Result<Secret, Exit> {
    match (around.read)(path) {
        Ok(file) => Ok(Secret::new(file.text)),
        Err(error) => Err(usage_error(&format!("{}: {error}", PathBuf::from(path).display()))),
    }
}

/// The values as they were typed.
struct Typed<'a>(&'a ArgMatches);

impl Typed<'_> {
    fn all(&self, name: &'static str) -> Result<Vec<String>, Exit> {
        let values = self.0.get_many::<OsString>(name).into_iter().flatten();
        values.map(|value| given(Source::Flag(name), value).map(|given| given.text)).collect()
    }

    fn one(&self, name: &'static str) -> Result<Option<String>, Exit> {
        Ok(self.all(name)?.pop())
    }

    fn names(&self, name: &'static str) -> Result<Vec<String>, Exit> {
        let names = self.all(name)?;
        let name_max = usize::try_from(Limits::relay().user_id_max_bytes).unwrap_or(usize::MAX);
        for text in &names {
            let refused = |why: &dyn fmt::Display| refuse(Source::Flag(name), text, why);
            Name::new(&text[..], name_max).map_err(|error| refused(&error))?;
        }
        Ok(names)
    }
}

/// A flag: its name, the placeholder of its value, how often it may be given, and its help.
struct Flag(&'static str, &'static str, ArgAction, &'static str);

fn argument(Flag(name, placeholder, action, help): &Flag) -> Arg {
    Arg::new(*name)
        .long(*name)
        .value_name(*placeholder)
        .value_parser(OsStringValueParser::new())
        .allow_negative_numbers(true)
        .action(action.clone())
        .help(*help)
}

#[rustfmt::skip]
const FLAGS: &[Flag] = &[
    Flag("user", "NAME", ArgAction::Set, "whose token it is (`sub`)"),
    Flag("role", "NAME", ArgAction::Append,
        "a role, for the policy; may be repeated (`roles`)\n[default: none]"),
    Flag("group", "NAME", ArgAction::Append,
        "a group that the user is a member of; may be repeated (`groups`)\n[default: none]"),
    Flag("ttl", "TIME", ArgAction::Set,
        "how long it is good (`exp`)\n[default: 1h] [allowed: 1s to 8760h]"),
    Flag("secret", "FILE", ArgAction::Set,
        "the file with the secret: what the server has in --auth jwt:hs256:FILE\n\
         [default: as SWITCHBOARD_AUTH_SECRET, SWITCHBOARD_AUTH_SECRET_FILE or SWITCHBOARD_AUTH\n\
         say]"),
    Flag("audience", "NAME", ArgAction::Set,
        "whom it is for (`aud`): the server's --auth-audience\n[default: none]"),
    Flag("issuer", "NAME", ArgAction::Set,
        "whom it is from (`iss`): the server's --auth-issuer\n[default: none]"),
];

const TTL_MS: u64 = 60 * 60 * 1000;
const TTL_MAX_MS: u64 = 365 * 24 * TTL_MS;

const NOTES: &str = "\
Examples:
  openssl rand -hex 32 > chat.key
  switchboard --auth jwt:hs256:chat.key
  switchboard token --user alice --role member --ttl 1h --secret chat.key

Values:
  TIME    90s, 15m, 1h; a bare number is seconds

Exit codes:
  0  the token was printed
  2  a flag or the secret is wrong";
