//! What the values mean: addresses, limits, and what may not stand together.

use std::path::PathBuf;

use super::{AccessPlan, Auth, Effective, KeysPlan, Reader, absolute};
use crate::cli::Mode;
use crate::cli::listen;
use crate::cli::setting;
use crate::cli::value::{Given, Secrecy, Source, shown};
use crate::config::{Broadcast, Durability, LIMITS, Limit, LimitError, Limits, Reach};
use crate::logger::{BareTarget, Filter};
use crate::net::ListenAddress;
use crate::relay::access::jwt::Algorithm;

impl Reader<'_> {
    pub(super) fn addresses(&mut self) -> Vec<(Option<Given>, ListenAddress)> {
        let mut addresses: Vec<(Option<Given>, ListenAddress)> = Vec::new();
        let values = self.all(&setting::LISTEN);
        match values.first() {
            Some(first) => {
                let texts = values.iter().map(|value| value.text.clone()).collect();
                self.is_set(&first.clone(), texts);
            }
            None => {
                let address = ListenAddress::Tcp(listen::DEFAULT);
                self.is_default_text(&setting::LISTEN, address.to_string());
                addresses.push((None, address));
            }
        }
        for value in values {
            match listen::parse(&value.text) {
                Ok(address) if is_fixed(&address) && has(&addresses, &address) => {
                    self.problems.push(value.problem("this address is given twice"));
                }
                Ok(address) => addresses.push((Some(value), address)),
                Err(error) => self.problems.push(value.problem(error)),
            }
        }
        addresses
    }

    /// Whether somebody said that others may reach the server.
    pub(super) fn open(&mut self) -> Reach {
        let open = &setting::OPEN;
        let (reach, source) = if self.matches.get_flag(open.name) {
            (Reach::Open, Source::Flag(open.name))
        } else if let Some(given) = self.one(open) {
            let reach = match given.text.to_ascii_lowercase().as_str() {
                "1" | "true" | "yes" | "on" => Reach::Open,
                "0" | "false" | "no" | "off" => Reach::Loopback,
                _ => {
                    let why = "allowed: 1, true, yes or on; 0, false, no or off";
                    self.problems.push(given.problem(why));
                    Reach::Loopback
                }
            };
            (reach, given.source)
        } else {
            (Reach::Loopback, Source::Default)
        };
        let text = if reach == Reach::Open { "true" } else { "false" };
        let given =
            Given { name: open.name, source, text: text.to_owned(), secrecy: Secrecy::Public };
        self.is_set(&given, vec![given.text.clone()]);
        reach
    }

    /// Who can come, from the addresses and from what was said about them.
    pub(super) fn reach(
        &mut self,
        listen: &[(Option<Given>, ListenAddress)],
        open: Reach,
        access: &AccessPlan,
    ) -> Reach {
        let beyond: Vec<_> =
            listen.iter().filter(|(_, address)| !listen::is_local(address)).collect();
        if open == Reach::Loopback && access.auth == Auth::Open {
            for (given, _) in &beyond {
                let problem = given.as_ref().map(|given| given.problem(BEYOND_LOOPBACK));
                self.problems.extend(problem);
            }
        }
        if self.mode == Mode::Serve && access.auth == Auth::Open {
            self.warnings.push(match beyond.first() {
                None => {
                    "there is no authentication: user names are claims, not identities".to_owned()
                }
                Some((_, address)) => format!(
                    "there is no authentication, and other machines reach {address}: anybody \
                     there can claim to be any user"
                ),
            });
        }
        if open == Reach::Open || !beyond.is_empty() { Reach::Open } else { Reach::Loopback }
    }

    pub(super) fn access(&mut self) -> AccessPlan {
        if self.mode == Mode::Echo {
            return AccessPlan::default();
        }
        let auth = self.one(&setting::AUTH);
        let mut plan = AccessPlan::default();
        match &auth {
            None => self.is_default(&setting::AUTH),
            Some(given) => match Auth::read(given) {
                Ok(read) => {
                    self.is_set(given, vec![read.show(absolute)]);
                    plan.auth = read;
                }
                Err(why) => self.problems.push(given.problem(why)),
            },
        }
        plan.secret = self.secret(&setting::AUTH_SECRET);
        plan.audience = self.text(&setting::AUTH_AUDIENCE);
        plan.issuer = self.text(&setting::AUTH_ISSUER);
        plan.cookie = self.text(&setting::AUTH_COOKIE);
        let origins = self.all(&setting::ORIGIN);
        plan.origins = origins.iter().map(|given| given.text.clone()).collect();
        match origins.first() {
            Some(first) => self.is_set(first, plan.origins.clone()),
            None => self.is_default(&setting::ORIGIN),
        }
        plan.policy = self.path(&setting::POLICY);
        // What cannot be read contradicts nothing.
        if auth.is_none() || plan.auth != Auth::Open {
            self.check_access(&plan);
        }
        plan
    }

    /// A setting of authentication that has no effect is a mistake: somebody relies on it.
    fn check_access(&mut self, plan: &AccessPlan) {
        let is_jwt = matches!(plan.auth, Auth::Jwt { .. });
        let takes_secret =
            matches!(plan.auth, Auth::Jwt { algorithm: Algorithm::Hs256, key: None });
        let reads_cookies = plan.cookie.is_some() || matches!(plan.auth, Auth::Endpoint(_));
        let asks = matches!(plan.auth, Auth::Tokens(_) | Auth::Jwt { .. });
        let rules = [
            (
                takes_secret && plan.secret.is_none(),
                "--auth jwt:hs256 needs a secret: jwt:hs256:FILE, SWITCHBOARD_AUTH_SECRET, or \
                 SWITCHBOARD_AUTH_SECRET_FILE",
            ),
            (
                !takes_secret && plan.secret.is_some(),
                "--auth-secret is for --auth jwt:hs256 without a file, and has no effect here",
            ),
            (
                !is_jwt && plan.audience.is_some(),
                "--auth-audience is for --auth jwt:..., and has no effect here",
            ),
            (
                !is_jwt && plan.issuer.is_some(),
                "--auth-issuer is for --auth jwt:..., and has no effect here",
            ),
            (
                !asks && plan.cookie.is_some(),
                "--auth-cookie is for --auth tokens:... and jwt:..., and has no effect here",
            ),
            (
                reads_cookies && plan.origins.is_empty(),
                "a browser sends cookies for every page that asks: name the pages that may, with \
                 --origin https://app.example.org",
            ),
        ];
        let broken = rules.into_iter().filter(|(is_broken, _)| *is_broken);
        self.problems.extend(broken.map(|(_, why)| why.to_owned()));
    }

    pub(super) fn admin(&mut self) -> Option<ListenAddress> {
        if self.mode == Mode::Echo {
            return None;
        }
        let Some(given) = self.one(&setting::ADMIN) else {
            self.is_default(&setting::ADMIN);
            return None;
        };
        match listen::parse(&given.text) {
            Ok(address) => {
                self.is_set(&given, vec![given.text.clone()]);
                if !listen::is_local(&address) {
                    self.warnings.push(format!(
                        "the push API on {address} is reached by other machines, and its keys \
                         travel without TLS"
                    ));
                }
                Some(address)
            }
            Err(error) => {
                self.problems.push(given.problem(error));
                None
            }
        }
    }

    pub(super) fn keys(&mut self, admin: Option<&ListenAddress>) -> KeysPlan {
        if self.mode == Mode::Echo {
            return KeysPlan::default();
        }
        let file = self.path(&setting::ADMIN_KEYS);
        let key = self.secret(&setting::ADMIN_KEY);
        let has_keys = file.is_some() || key.is_some();
        if file.is_some() && key.is_some() {
            self.problems.push("--admin-keys and --admin-key: only one can be meant".to_owned());
        }
        match (admin, has_keys) {
            (Some(_), false) => self.warnings.push(
                "the push API has no keys: nothing but /livez, /readyz and /metrics answers"
                    .to_owned(),
            ),
            (None, true) => self.warnings.push(
                "there are keys of the push API but no --admin: nobody can use them".to_owned(),
            ),
            _ => {}
        }
        KeysPlan { file, key }
    }

    pub(super) fn broadcast(&mut self) -> Broadcast {
        if self.mode == Mode::Echo {
            return Broadcast::default();
        }
        let Some(given) = self.one(&setting::BROADCAST) else {
            self.is_default_text(&setting::BROADCAST, "others".to_owned());
            return Broadcast::default();
        };
        self.is_set(&given, vec![given.text.clone()]);
        match given.text.as_str() {
            "others" => Broadcast::Others,
            "all" => Broadcast::All,
            "off" => Broadcast::Off,
            _ => {
                self.problems.push(given.problem("allowed: others, all, off"));
                Broadcast::default()
            }
        }
    }

    pub(super) fn data(&mut self) -> (Option<PathBuf>, Durability) {
        if self.mode == Mode::Echo {
            return (None, Durability::default());
        }
        let data = self.path(&setting::DATA);
        if data.is_some() && cfg!(not(feature = "durable")) {
            self.problems.push("--data: this program was built without the store".to_owned());
        }
        let Some(given) = self.one(&setting::DURABILITY) else {
            let durability = Durability::default();
            match data {
                None => self.is_default(&setting::DURABILITY),
                Some(_) => self.is_default_text(&setting::DURABILITY, durability.to_string()),
            }
            return (data, durability);
        };
        let durability = Durability::parse(&given.text).unwrap_or_else(|why| {
            self.problems.push(given.problem(why));
            Durability::default()
        });
        self.is_set(&given, vec![durability.to_string()]);
        if data.is_none() {
            // Somebody relies on it.
            let why = "--durability is for what --data keeps, and has no effect here";
            self.problems.push(why.to_owned());
        }
        (data, durability)
    }

    pub(super) fn limits(&mut self) -> Limits {
        let mut limits = match self.mode {
            Mode::Echo => Limits::echo(),
            Mode::Serve => Limits::relay(),
        };
        let problems_before = self.problems.len();
        let mut places = Vec::new();
        for limit in LIMITS {
            let given = self.find(limit.flag, limit.env, Secrecy::Public).pop();
            if let Some(given) = &given {
                match limit.parse(&given.text) {
                    Ok(number) => limit.set(&mut limits, number),
                    Err(error) => self.problems.push(given.problem(error.advice())),
                }
            }
            let text = limit.show(limit.value(&limits));
            places.push(match &given {
                Some(given) => format!("{} ({text})", given.named()),
                None => format!("--{} (default {text})", limit.flag),
            });
            let source = given.map_or(Source::Default, |given| given.source);
            self.settings.push(Effective { name: limit.flag, texts: vec![text], source });
        }
        // A value that could not be read contradicts nothing.
        if self.problems.len() == problems_before
            && let Err(error) = limits.validate()
        {
            self.problems.push(contradiction(error, &places));
        }
        limits
    }

    /// The filter; an `RUST_LOG` that cannot be read is ignored with a warning.
    pub(super) fn log(&mut self) -> Filter {
        if let Some(given) = self.one(&setting::LOG) {
            let filter = Filter::parse(&given.text, BareTarget::Refused).unwrap_or_else(|error| {
                self.problems.push(given.problem(error));
                Filter::default()
            });
            self.is_set(&given, vec![filter.to_string()]);
            return filter;
        }
        let mut source = Source::Default;
        let mut filter = Filter::default();
        if let Some(value) = (self.around.env)(RUST_LOG).filter(|value| !value.is_empty()) {
            // Set for all programs of a machine, it may be written for another one: no mistake.
            let value = value.to_string_lossy();
            match Filter::parse(&value, BareTarget::Everything) {
                Ok(read) => {
                    source = Source::Environment(RUST_LOG.to_owned());
                    filter = read;
                }
                Err(error) => {
                    let shown = shown(&value);
                    self.warnings.push(format!("{RUST_LOG} '{shown}' is ignored: {error}"));
                }
            }
        }
        let texts = vec![filter.to_string()];
        self.settings.push(Effective { name: setting::LOG.name, texts, source });
        filter
    }
}

/// Two limits that do not fit together, with the places that their values came from.
fn contradiction(error: LimitError, places: &[String]) -> String {
    let LimitError::Order { lower, rule, upper, .. } = error else {
        return error.to_string();
    };
    let place = |wanted: &Limit| {
        let at = LIMITS.iter().position(|limit| limit == wanted);
        at.and_then(|at| places.get(at)).map_or(wanted.flag, String::as_str)
    };
    format!("{} {} {}", place(lower), rule.text(), place(upper))
}

/// Port 0 is another port each time.
fn is_fixed(address: &ListenAddress) -> bool {
    !matches!(address, ListenAddress::Tcp(address) if address.port() == 0)
}

fn has(addresses: &[(Option<Given>, ListenAddress)], wanted: &ListenAddress) -> bool {
    addresses.iter().any(|(_, address)| address == wanted)
}

/// The usual variable of Rust programs; it is not ours, so being empty is no mistake.
const RUST_LOG: &str = "RUST_LOG";
const BEYOND_LOOPBACK: &str = "\
other machines can reach this address
and there is no authentication: anybody there could connect, and claim to be any user.
Add --auth, or --open (SWITCHBOARD_OPEN=1) if that is meant, or listen on 127.0.0.1 or [::1]";
