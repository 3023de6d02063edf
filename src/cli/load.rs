//! Loading: what the files of a plan say, as the relay takes it.
//!
//! ```text
//! auth    tokens:/etc/switchboard/tokens.json   a table of tokens   \
//! origin  https://app.example.org                                     > Access
//! policy  /etc/switchboard/policy.json          roles               /
//!
//! /etc/switchboard/policy.json: line 3: roles.member.allow[1]: unknown permission "sned:*"; ...
//! ```
//!
//! Everything is read before anything is used, so that a file that is broken changes nothing. This
//! module does not know what the contents mean, only who does.

use std::fmt::Display;
use std::io;
use std::path::Path;

use super::endpoint::Courier;
use super::plan::{AccessPlan, KeysPlan, Plan};
use super::text_file::{Exposure, FileText};
use super::value::Source;
use super::{Auth, Exit, Stream, setting, usage_errors};
use crate::net::ask::AskUrl;
use crate::relay::access::jwt::{Algorithm, Demands};
use crate::relay::access::{Access, Authentication, Origins, Policy, Tokens, Verifier};
use crate::relay::push::keys::Keys;

/// What the files of a plan say.
#[derive(Debug)]
pub struct Loaded {
    /// Who may come, and what he may do.
    pub access: Access,
    /// What asks the authentication endpoint, if there is one; to be started with the server.
    pub courier: Option<Courier>,
    /// Who may use the push API.
    pub keys: Keys,
    /// What is not safe, in words for the log.
    pub warnings: Vec<String>,
}

/// Reads the files of a plan.
///
/// # Errors
///
/// Everything that is wrong, each with its file and the place in it.
pub fn load(
    plan: &Plan,
    read: &dyn Fn(&Path) -> io::Result<FileText>,
) -> Result<Loaded, Vec<String>> {
    let mut loader = Loader {
        plan,
        read,
        courier: None,
        name_max: usize::try_from(plan.limits.user_id_max_bytes).unwrap_or(usize::MAX),
        problems: Vec::new(),
        warnings: Vec::new(),
    };
    let access = loader.access(&plan.access);
    let keys = loader.keys(&plan.keys);
    match (access, keys) {
        (Some(access), Some(keys)) if loader.problems.is_empty() => {
            Ok(Loaded { access, courier: loader.courier, keys, warnings: loader.warnings })
        }
        _ => Err(loader.problems),
    }
}

/// Reads every file of a plan, and says what is wrong with it and with the plan.
pub(super) fn check(
    plan: &Plan,
    mut problems: Vec<String>,
    read: &dyn Fn(&Path) -> io::Result<FileText>,
) -> Exit {
    match load(plan, read) {
        Err(more) => problems.extend(more),
        Ok(loaded) if problems.is_empty() => {
            let mut text = String::new();
            for warning in plan.warnings.iter().chain(&loaded.warnings) {
                text.push_str(&format!("warning: {warning}\n"));
            }
            text.push_str("the configuration is valid\n");
            return Exit { code: 0, text, stream: Stream::Stdout };
        }
        Ok(_) => {}
    }
    usage_errors(&problems)
}

struct Loader<'a> {
    plan: &'a Plan,
    read: &'a dyn Fn(&Path) -> io::Result<FileText>,
    courier: Option<Courier>,
    name_max: usize,
    problems: Vec<String>,
    warnings: Vec<String>,
}

impl Loader<'_> {
    fn access(&mut self, plan: &AccessPlan) -> Option<Access> {
        let authentication = self.authentication(plan);
        let origins = Origins::parse(plan.origins.iter().map(String::as_str));
        let origins = origins.map_err(|error| self.wrong_setting(&setting::ORIGIN, error)).ok();
        let policy = match &plan.policy {
            None => Some(Policy::open()),
            Some(file) => self.parse(file, Policy::parse).map(|(policy, _)| policy),
        };
        Some(Access {
            authentication: authentication?,
            cookie: plan.cookie.as_deref().map(Box::from),
            origins: origins?,
            policy: policy?,
        })
    }

    fn authentication(&mut self, plan: &AccessPlan) -> Option<Authentication> {
        let name_max = self.name_max;
        match &plan.auth {
            Auth::Open => Some(Authentication::Open),
            Auth::Tokens(file) => {
                let (tokens, exposure) = self.parse(file, |text| Tokens::parse(text, name_max))?;
                if exposure == Exposure::Everybody && tokens.plain() > 0 {
                    self.warn(file, "every user here may read the tokens in it");
                }
                if tokens.short() > 0 {
                    let count = tokens.short();
                    self.warn(
                        file,
                        format!("tokens below 16 bytes, which might be guessed: {count}"),
                    );
                }
                Some(Authentication::Tokens(tokens))
            }
            Auth::Jwt { algorithm, key } => {
                let demands = Demands {
                    audience: plan.audience.as_deref().map(Box::from),
                    issuer: plan.issuer.as_deref().map(Box::from),
                };
                let verifier =
                    |key: &str| Verifier::new(*algorithm, key.as_bytes(), demands, name_max);
                let verifier = match (key, &plan.secret) {
                    (Some(file), _) if *algorithm == Algorithm::Hs256 => {
                        self.parse_secret(file, verifier)
                    }
                    // A public key is nobody's secret.
                    (Some(file), _) => self.parse(file, verifier).map(|(verifier, _)| verifier),
                    (None, Some(secret)) => verifier(secret.reveal())
                        .map_err(|error| self.wrong_setting(&setting::AUTH_SECRET, error))
                        .ok(),
                    // The plan says already that the secret is missing.
                    (None, None) => None,
                };
                verifier.map(Authentication::Jwt)
            }
            Auth::Endpoint(url) => {
                let url = AskUrl::parse(url);
                let url = url.map_err(|error| self.wrong_setting(&setting::AUTH, error)).ok()?;
                let courier = Courier::new(url, &self.plan.limits);
                self.courier = Some(courier.clone());
                Some(Authentication::Endpoint(Box::new(courier)))
            }
        }
    }

    fn keys(&mut self, plan: &KeysPlan) -> Option<Keys> {
        let name_max = self.name_max;
        match (&plan.file, &plan.key) {
            (Some(file), _) => self.parse_secret(file, |text| Keys::parse(text, name_max)),
            (None, Some(key)) => {
                let keys = Keys::single("admin", key.reveal());
                keys.map_err(|error| self.wrong_setting(&setting::ADMIN_KEY, error)).ok()
            }
            (None, None) => Some(Keys::none()),
        }
    }

    fn parse<T, E: Display>(
        &mut self,
        file: &Path,
        parse: impl FnOnce(&str) -> Result<T, E>,
    ) -> Option<(T, Exposure)> {
        let FileText { text, exposure } =
            (self.read)(file).map_err(|error| self.wrong_file(file, error)).ok()?;
        let parsed = parse(&text).map_err(|error| self.wrong_file(file, error)).ok()?;
        Some((parsed, exposure))
    }

    /// The same for what nobody else may know.
    fn parse_secret<T, E: Display>(
        &mut self,
        file: &Path,
        parse: impl FnOnce(&str) -> Result<T, E>,
    ) -> Option<T> {
        let (parsed, exposure) = self.parse(file, parse)?;
        if exposure == Exposure::Everybody {
            self.warn(file, "every user here may read the secrets in it");
        }
        Some(parsed)
    }

    fn warn(&mut self, file: &Path, what: impl Display) {
        self.warnings.push(format!("{}: {what}", file.display()));
    }

    fn wrong_file(&mut self, file: &Path, why: impl Display) {
        self.problems.push(format!("{}: {why}", file.display()));
    }

    /// What is wrong with a setting itself, found only now.
    fn wrong_setting(&mut self, setting: &setting::Setting, why: impl Display) {
        let given = self.plan.settings.iter().find(|given| given.name == setting.name);
        let place = match given.map(|given| &given.source) {
            Some(Source::File(place)) => format!("{place}: {}", setting.name),
            Some(source) => source.to_string(),
            None => setting.name.to_owned(),
        };
        self.problems.push(format!("{place}: {why}"));
    }
}
