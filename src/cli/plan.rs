//! The plan: what to start, made of all that was said, with every mistake that is in it.
//!
//! ```text
//! flag > variable > configuration file > default       for each setting by itself
//! ```
//!
//! A value that is not used is not judged. What contradicts itself is refused with both places.
//!
//! This module opens no file but through the function that it is given. What a value means is in
//! the module below it.

mod meaning;

use std::ffi::OsString;
use std::io;
use std::path::{Path, PathBuf};

use clap::ArgMatches;

use super::Mode;
use super::auth::Auth;
use super::file::ConfigFile;
use super::setting::{self, Kind, Setting};
use super::text_file::{Exposure, FileText, read_file};
use super::value::{Given, Secrecy, Secret, Source, problem, text_of};
use crate::config::{Broadcast, Durability, Limits, Reach};
use crate::logger::Filter;
use crate::net::ListenAddress;

/// What to start, complete and checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    /// Which server.
    pub mode: Mode,
    /// Where it listens: at least one address, none twice.
    pub listen: Vec<ListenAddress>,
    /// Where backends push: the listener of the push API.
    pub admin: Option<ListenAddress>,
    /// Every limit, valid together.
    pub limits: Limits,
    /// `Loopback` only if every address of `listen` is one of this machine.
    pub reach: Reach,
    /// Who gets what names no receiver; `echo` has no use for it.
    pub broadcast: Broadcast,
    /// Who may come, and what he may do.
    pub access: AccessPlan,
    /// The keys of the push API.
    pub keys: KeysPlan,
    /// Where messages are kept; `None` for in memory only.
    pub data: Option<PathBuf>,
    /// When a message that is kept there counts as kept.
    pub durability: Durability,
    /// What is logged.
    pub log: Filter,
    /// Every setting with its value and where that came from, in the order of the help text.
    pub settings: Vec<Effective>,
    /// What was given and is ignored, or is not safe, in words for the log.
    pub warnings: Vec<String>,
}

/// Who may come, and what he may do; the files are named and not read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AccessPlan {
    /// Who says who somebody is.
    pub auth: Auth,
    /// The secret of `jwt:hs256` where that names no file.
    pub secret: Option<Secret>,
    /// What `aud` of a JWT has to be.
    pub audience: Option<String>,
    /// What `iss` of a JWT has to be.
    pub issuer: Option<String>,
    /// The cookie that a token may be in.
    pub cookie: Option<String>,
    /// Whose pages may connect.
    pub origins: Vec<String>,
    /// The file with the permissions of each role.
    pub policy: Option<PathBuf>,
}

/// Where the keys of the push API are.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct KeysPlan {
    /// A file of keys.
    pub file: Option<PathBuf>,
    /// One key by itself.
    pub key: Option<Secret>,
}

/// A setting as it is in effect.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Effective {
    /// Its name.
    pub name: &'static str,
    /// Its values as they are written; none if it is not set; `***` where it is a secret.
    pub texts: Vec<String>,
    /// Where they came from.
    pub source: Source,
}

/// Where everything is looked up that is not typed.
#[derive(Clone, Copy)]
pub struct Surroundings<'a> {
    /// A variable of the environment.
    pub env: &'a dyn Fn(&str) -> Option<OsString>,
    /// A file.
    pub read: &'a dyn Fn(&Path) -> io::Result<FileText>,
}

impl Surroundings<'static> {
    /// The environment and the files of this process.
    pub fn system() -> Surroundings<'static> {
        Surroundings { env: &|name| std::env::var_os(name), read: &read_file }
    }

    /// Nothing at all.
    pub fn empty() -> Surroundings<'static> {
        let read = &|_: &Path| Err(io::Error::from(io::ErrorKind::NotFound));
        Surroundings { env: &|_name| None, read }
    }
}

/// Makes the plan, and says everything that is wrong with it; with a mistake, it is not to be
/// followed.
pub(super) fn read(
    mode: Mode,
    matches: &ArgMatches,
    around: Surroundings<'_>,
) -> (Plan, Vec<String>) {
    let mut reader = Reader {
        mode,
        matches,
        around,
        file: ConfigFile::default(),
        settings: Vec::new(),
        problems: Vec::new(),
        warnings: Vec::new(),
    };
    reader.read_file();
    let listen = reader.addresses();
    let open = reader.open();
    let access = reader.access();
    let admin = reader.admin();
    let keys = reader.keys(admin.as_ref());
    let broadcast = reader.broadcast();
    let (data, durability) = reader.data();
    let limits = reader.limits();
    let log = reader.log();
    let reach = reader.reach(&listen, open, &access);
    let plan = Plan {
        mode,
        listen: listen.into_iter().map(|(_, address)| address).collect(),
        admin,
        limits,
        reach,
        broadcast,
        access,
        keys,
        data,
        durability,
        log,
        settings: reader.settings,
        warnings: reader.warnings,
    };
    (plan, reader.problems)
}

/// The parsed arguments and what is behind them.
struct Reader<'a> {
    mode: Mode,
    matches: &'a ArgMatches,
    around: Surroundings<'a>,
    file: ConfigFile,
    settings: Vec<Effective>,
    problems: Vec<String>,
    warnings: Vec<String>,
}

impl Reader<'_> {
    fn read_file(&mut self) {
        let Some(given) = self.one(&setting::CONFIG) else {
            return self.is_default(&setting::CONFIG);
        };
        let path = PathBuf::from(&given.text);
        match (self.around.read)(&path) {
            Ok(file) => {
                let (parsed, problems) = ConfigFile::parse(&path, &file.text);
                self.problems.extend(problems);
                self.file = parsed;
            }
            Err(error) => self.problems.push(given.problem(error)),
        }
        self.is_set(&given, vec![given.text.clone()]);
    }

    /// Every value of a setting from the first place that has one.
    fn all(&mut self, setting: &'static Setting) -> Vec<Given> {
        let secrecy = if setting.kind == Kind::Secret { Secrecy::Secret } else { Secrecy::Public };
        let mut given = self.find(setting.name, setting.env, secrecy);
        if matches!(setting.kind, Kind::Addresses | Kind::Texts) {
            given = given.into_iter().flat_map(items).collect();
        }
        let Some(variable) = setting.env_file() else { return given };
        let Some(path) = (self.around.env)(&variable) else { return given };
        match given.first().map(|given| &given.source) {
            // A flag goes before the environment, whichever of its variables.
            Some(Source::Flag(_)) => given,
            Some(Source::Environment(name)) => {
                self.problems.push(format!("{name} and {variable}: only one of them can be meant"));
                given
            }
            _ => self.secret_file(setting, variable, &path).into_iter().collect(),
        }
    }

    fn secret_file(
        &mut self,
        setting: &'static Setting,
        variable: String,
        path: &OsString,
    ) -> Option<Given> {
        let path = match text_of(path) {
            Ok(path) => PathBuf::from(path),
            Err(why) => {
                self.problems.push(problem(&variable, &path.to_string_lossy(), why));
                return None;
            }
        };
        let text = match (self.around.read)(&path) {
            Ok(file) => {
                if file.exposure == Exposure::Everybody {
                    let path = path.display();
                    self.warnings.push(format!("{path}: every user here may read this secret"));
                }
                // Editors end a file with a line end; a secret has none.
                file.text.trim_end_matches(['\r', '\n']).to_owned()
            }
            Err(error) => {
                self.problems.push(problem(&variable, &path.to_string_lossy(), error));
                return None;
            }
        };
        if text.is_empty() {
            self.problems.push(problem(&variable, &path.to_string_lossy(), "is empty"));
            return None;
        }
        let source = Source::SecretFile(variable, path);
        Some(Given { name: setting.name, source, text, secrecy: Secrecy::Secret })
    }

    fn find(&mut self, name: &'static str, env: &'static str, secrecy: Secrecy) -> Vec<Given> {
        let typed = self.matches.try_get_many::<OsString>(name).ok().flatten();
        let (source, values): (Source, Vec<OsString>) = match typed {
            Some(values) => (Source::Flag(name), values.cloned().collect()),
            None => {
                let value = (self.around.env)(env);
                (Source::Environment(env.to_owned()), value.into_iter().collect())
            }
        };
        if values.is_empty() {
            return self.file.values(name);
        }
        let mut given = Vec::new();
        for value in &values {
            let source = source.clone();
            match text_of(value) {
                Ok(text) => given.push(Given { name, source, text: text.to_owned(), secrecy }),
                Err(why) => {
                    let text = value.to_string_lossy();
                    let text = if secrecy == Secrecy::Secret { "***" } else { &*text };
                    self.problems.push(problem(&source.to_string(), text, why));
                }
            }
        }
        given
    }

    fn one(&mut self, setting: &'static Setting) -> Option<Given> {
        self.all(setting).pop()
    }

    fn is_default(&mut self, setting: &'static Setting) {
        let texts = Vec::new();
        self.settings.push(Effective { name: setting.name, texts, source: Source::Default });
    }

    fn is_default_text(&mut self, setting: &'static Setting, text: String) {
        let (name, texts) = (setting.name, vec![text]);
        self.settings.push(Effective { name, texts, source: Source::Default });
    }

    fn is_set(&mut self, given: &Given, texts: Vec<String>) {
        let texts = match given.secrecy {
            Secrecy::Public => texts,
            Secrecy::Secret => vec!["***".to_owned()],
        };
        self.settings.push(Effective { name: given.name, texts, source: given.source.clone() });
    }

    /// A setting that is one text.
    fn text(&mut self, setting: &'static Setting) -> Option<String> {
        let Some(given) = self.one(setting) else {
            self.is_default(setting);
            return None;
        };
        self.is_set(&given, vec![given.text.clone()]);
        Some(given.text)
    }

    /// A setting that is the name of a file.
    fn path(&mut self, setting: &'static Setting) -> Option<PathBuf> {
        let Some(given) = self.one(setting) else {
            self.is_default(setting);
            return None;
        };
        let path = given.path(&given.text);
        self.is_set(&given, vec![absolute(&path)]);
        Some(path)
    }

    fn secret(&mut self, setting: &'static Setting) -> Option<Secret> {
        let given = self.one(setting);
        let Some(given) = given else {
            self.is_default(setting);
            return None;
        };
        if let Source::Flag(name) = given.source {
            self.warnings.push(format!(
                "--{name} on the command line is shown to every user here: {} is not",
                setting.env
            ));
        }
        self.is_set(&given, Vec::new());
        Some(Secret::new(given.text))
    }
}

/// As it can be written into a file that lies anywhere.
fn absolute(path: &Path) -> String {
    let absolute = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    absolute.to_str().map_or_else(|| path.display().to_string(), str::to_owned)
}

/// The environment separates with commas what the command line repeats.
fn items(given: Given) -> Vec<Given> {
    let Source::Environment(_) = given.source else { return vec![given] };
    let items = given.text.split(',').map(str::trim);
    items.map(|item| Given { text: item.to_owned(), ..given.clone() }).collect()
}
