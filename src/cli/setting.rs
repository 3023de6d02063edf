//! Every setting that is not a limit, in one table; the limits are in [`config`](crate::config).
//!
//! ```text
//! --admin-keys FILE            flag
//! SWITCHBOARD_ADMIN_KEYS=FILE  environment
//! admin-keys = "FILE"          configuration file
//!   \______________ one name, written in three ways
//! ```
//!
//! From the table come the flags, the help text, the names of the environment, the keys of the
//! configuration file, the table in the README and the tests of all of these.
//!
//! This module does not know what a value means.

use super::Mode;
use crate::config::{LIMITS, Limit};

/// What stands in the table about one setting.
#[derive(Debug)]
pub struct Setting {
    /// The flag without its two dashes, and the key in the file: `admin-keys`.
    pub name: &'static str,
    /// The environment variable: `SWITCHBOARD_ADMIN_KEYS`.
    pub env: &'static str,
    /// What is written for its value in the help text: `FILE`.
    pub placeholder: &'static str,
    /// The heading of the help text it stands under.
    pub heading: &'static str,
    /// What it does.
    pub help: &'static str,
    /// What it is where nobody says anything, in words.
    pub default: &'static str,
    /// Which values there are, in words.
    pub allowed: &'static str,
    /// How many values it has, and of what kind.
    pub kind: Kind,
    /// Which servers have a use for it.
    pub scope: Scope,
    /// When a change of it takes effect.
    pub reload: Reload,
}

/// How many values a setting has, and of what kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Any number of addresses: the flag may be repeated, the variable has commas, the file an
    /// array. A number alone is a port.
    Addresses,
    /// One address. A number alone is a port.
    Address,
    /// Any number of texts, written as addresses are.
    Texts,
    /// One text that nobody may see: it is never shown, and may be in a file of its own, named by
    /// the variable with `_FILE` at its end.
    Secret,
    /// On or off: the flag has no value.
    Switch,
    /// One text.
    Text,
}

/// Which servers have a use for a setting.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    /// `serve` and `echo`.
    Both,
    /// `serve`.
    Relay,
}

/// When a change of a setting takes effect.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reload {
    /// At the next start.
    AtStart,
    /// On SIGHUP.
    OnHangup,
}

impl Setting {
    /// Whether a server of this mode has a use for it.
    pub(super) fn is_for(&self, mode: Mode) -> bool {
        mode == Mode::Serve || self.scope == Scope::Both
    }

    /// The variable that names a file with the value in it, where there is such a one.
    pub(super) fn env_file(&self) -> Option<String> {
        (self.kind == Kind::Secret).then(|| format!("{}_FILE", self.env))
    }
}

/// Every name that a configuration file may have: settings and limits.
pub(super) fn names() -> impl Iterator<Item = &'static str> {
    let settings = SETTINGS.iter().filter(|setting| setting.name != CONFIG.name);
    settings.map(|setting| setting.name).chain(LIMITS.iter().map(|limit| limit.flag))
}

/// The variables of the environment: settings, files of secrets, limits.
pub(super) fn variables() -> impl Iterator<Item = String> {
    let settings = SETTINGS.iter().map(|setting| setting.env.to_owned());
    let files = SETTINGS.iter().filter_map(|setting| setting.env_file());
    settings.chain(files).chain(LIMITS.iter().map(|limit: &Limit| limit.env.to_owned()))
}

/// The settings as a Markdown table, as the README has it between `<!-- settings -->` and
/// `<!-- /settings -->`.
pub fn markdown_table() -> String {
    let mut text = String::from("| flag | default | what it does |\n|---|---|---|\n");
    for setting in SETTINGS {
        let value = match setting.kind {
            Kind::Switch => String::new(),
            _ => format!(" {}", setting.placeholder),
        };
        let reload = match setting.reload {
            Reload::AtStart => "",
            Reload::OnHangup => " (read again on HUP)",
        };
        let help = setting.help.replace('\n', " ");
        let (name, default) = (setting.name, setting.default);
        text.push_str(&format!("| `--{name}{value}` | {default} | {help}{reload} |\n"));
    }
    text
}

macro_rules! settings {
    ($(
        $constant:ident: $kind:ident for $scope:ident, $reload:ident, $heading:literal,
        $name:literal, $env:literal, $placeholder:literal,
        default $default:literal, allowed $allowed:literal, $help:literal;
    )*) => {
        $(
            pub(super) static $constant: Setting = Setting {
                name: $name,
                env: $env,
                placeholder: $placeholder,
                heading: $heading,
                help: $help,
                default: $default,
                allowed: $allowed,
                kind: Kind::$kind,
                scope: Scope::$scope,
                reload: Reload::$reload,
            };
        )*

        /// The table, in the order of the help text.
        pub static SETTINGS: &[&Setting] = &[$(&$constant,)*];
    };
}

settings! {
    CONFIG: Text for Both, AtStart, "Configuration",
    "config", "SWITCHBOARD_CONFIG", "FILE",
    default "none", allowed "a file in TOML; its keys are the names of the flags",
    "read settings from this file, below flags and environment";

    LISTEN: Addresses for Both, AtStart, "Listening",
    "listen", "SWITCHBOARD_LISTEN", "ADDR",
    default "127.0.0.1:8080",
    allowed "IP:PORT, localhost:PORT, PORT, unix:/PATH; port 0 is any free one",
    "where to listen; may be repeated (in the environment: with commas)";

    OPEN: Switch for Both, AtStart, "Listening",
    "open", "SWITCHBOARD_OPEN", "",
    default "off", allowed "",
    "allow addresses that other machines reach though there is no authentication";

    AUTH: Text for Relay, OnHangup, "Access",
    "auth", "SWITCHBOARD_AUTH", "HOW",
    default "none: a name is a claim",
    allowed "tokens:FILE; jwt:hs256[:FILE], jwt:rs256:FILE, jwt:es256:FILE,\n\
             jwt:eddsa:FILE; http://HOST:PORT/PATH, http:unix:/SOCKET:/PATH",
    "who somebody is: by a table of tokens, by signed tokens (JWT), or by what your\n\
     application answers";

    AUTH_SECRET: Secret for Relay, OnHangup, "Access",
    "auth-secret", "SWITCHBOARD_AUTH_SECRET", "SECRET",
    default "none", allowed "at least 32 bytes; better in the environment than on the command line",
    "the key of --auth jwt:hs256 where that names no file";

    AUTH_AUDIENCE: Text for Relay, OnHangup, "Access",
    "auth-audience", "SWITCHBOARD_AUTH_AUDIENCE", "NAME",
    default "any", allowed "a text", "what `aud` of a JWT has to be, or to contain";

    AUTH_ISSUER: Text for Relay, OnHangup, "Access",
    "auth-issuer", "SWITCHBOARD_AUTH_ISSUER", "NAME",
    default "any", allowed "a text", "what `iss` of a JWT has to be";

    AUTH_COOKIE: Text for Relay, OnHangup, "Access",
    "auth-cookie", "SWITCHBOARD_AUTH_COOKIE", "NAME",
    default "none", allowed "the name of a cookie; needs --origin",
    "the cookie that a token may be in";

    ORIGIN: Texts for Relay, OnHangup, "Access",
    "origin", "SWITCHBOARD_ORIGIN", "ORIGIN",
    default "any with authentication; without it, those of this machine",
    allowed "https://app.example.org, https://*.example.org",
    "whose pages may connect; may be repeated (in the environment: with commas)";

    POLICY: Text for Relay, OnHangup, "Access",
    "policy", "SWITCHBOARD_POLICY", "FILE",
    default "none: everybody may do everything", allowed "a file in JSON",
    "what each role may do, and how much of it";

    ADMIN: Address for Relay, AtStart, "Push API",
    "admin", "SWITCHBOARD_ADMIN", "ADDR",
    default "off", allowed "as --listen",
    "where backends push messages and metrics are read: a listener of its own";

    ADMIN_KEYS: Text for Relay, OnHangup, "Push API",
    "admin-keys", "SWITCHBOARD_ADMIN_KEYS", "FILE",
    default "none", allowed "a file in JSON", "the keys that backends have";

    ADMIN_KEY: Secret for Relay, OnHangup, "Push API",
    "admin-key", "SWITCHBOARD_ADMIN_KEY", "KEY",
    default "none", allowed "a text; better in the environment than on the command line",
    "one key without a file; its name is `admin`, and it may not speak as others";

    BROADCAST: Text for Relay, AtStart, "Relay",
    "broadcast", "SWITCHBOARD_BROADCAST", "WHOM",
    default "others", allowed "others, all, off",
    "who gets a message that names no receiver: the others in the room (same URL path),\n\
     all of it with the sender, or nobody";

    DATA: Text for Relay, AtStart, "Logs (switchboard.v1)",
    "data", "SWITCHBOARD_DATA", "DIR",
    default "none: in memory only", allowed "a directory, which is made if there is none",
    "keep messages in this directory, so that they outlive the process";

    DURABILITY: Text for Relay, AtStart, "Logs (switchboard.v1)",
    "durability", "SWITCHBOARD_DURABILITY", "WHEN",
    default "commit", allowed "commit; interval:TIME, from 1ms to 1h",
    "when a message counts as kept: synced to the disk by each commit, or at the latest so\n\
     much later, with a new epoch for all clients if the server does not end cleanly";

    LOG: Text for Both, OnHangup, "Logging",
    "log", "SWITCHBOARD_LOG", "FILTER",
    default "info", allowed "off, error, warn, info, debug, trace",
    "what is logged on stderr: a level, or levels by module as in warn,switchboard=debug;\n\
     RUST_LOG is read where nothing else says it";
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_follow_their_rules() {
        for setting in SETTINGS {
            let env = format!("SWITCHBOARD_{}", setting.name.to_uppercase().replace('-', "_"));
            assert_eq!(setting.env, env);
            assert_eq!(setting.kind == Kind::Switch, setting.placeholder.is_empty(), "{env}");
            assert!(!setting.help.ends_with('.') && !setting.default.is_empty(), "{env}");
        }
    }

    #[test]
    fn no_name_is_given_twice() {
        let mut variables: Vec<String> = variables().collect();
        let count = variables.len();
        variables.sort();
        variables.dedup();
        assert_eq!(variables.len(), count);
        assert!(names().all(|name| name != "config"));
    }
}
