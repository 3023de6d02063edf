//! The value of `--auth`: who says who somebody is.
//!
//! ```text
//! tokens:FILE                   a table of tokens
//! jwt:hs256:FILE                signed tokens; the file holds the secret or the public key
//! jwt:hs256                     the same, with the secret of --auth-secret
//! http://127.0.0.1:9000/check   an endpoint of the application
//! http:unix:/run/app.sock:/check
//! ```
//!
//! This module does not know what is in a file, and whether an endpoint's address can be reached.

use std::path::{Path, PathBuf};

use super::value::Given;
use crate::relay::access::jwt::Algorithm;

/// Who says who somebody is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Auth {
    /// Nobody: a name is a claim.
    #[default]
    Open,
    /// A file with a table of tokens.
    Tokens(PathBuf),
    /// Signed tokens.
    Jwt {
        /// How they are signed.
        algorithm: Algorithm,
        /// The file of the secret or public key; `None` if the secret is that of `--auth-secret`.
        key: Option<PathBuf>,
    },
    /// An endpoint of the application: the URL as it was given.
    Endpoint(String),
}

impl Auth {
    /// Reads a value.
    pub(super) fn read(given: &Given) -> Result<Auth, &'static str> {
        let (how, rest) = given.text.split_once(':').unwrap_or((&given.text, ""));
        match how {
            "tokens" if rest.is_empty() => Err("the file is missing: write tokens:FILE"),
            "tokens" => Ok(Auth::Tokens(given.path(rest))),
            "jwt" => {
                let (word, file) = rest.split_once(':').unwrap_or((rest, ""));
                let algorithm = Algorithm::from_flag(word).ok_or(ALGORITHMS)?;
                let key = (!file.is_empty()).then(|| given.path(file));
                if key.is_none() && algorithm != Algorithm::Hs256 {
                    return Err("the file of the public key is missing behind another colon");
                }
                Ok(Auth::Jwt { algorithm, key })
            }
            "http" => Ok(Auth::Endpoint(given.text.clone())),
            "https" => Err("the endpoint is asked without TLS: http:// on a trusted network, or \
                            http:unix:"),
            _ => Err("allowed: tokens:FILE, jwt:ALGORITHM:FILE, http://HOST:PORT/PATH, \
                      http:unix:/SOCKET:/PATH"),
        }
    }

    /// Writes it so that [`Auth::read`] reads it back; `show` writes a path.
    pub(super) fn show(&self, show: impl Fn(&Path) -> String) -> String {
        match self {
            Auth::Open => String::new(),
            Auth::Tokens(file) => format!("tokens:{}", show(file)),
            Auth::Jwt { algorithm, key: Some(key) } => {
                format!("jwt:{}:{}", word(*algorithm), show(key))
            }
            Auth::Jwt { algorithm, key: None } => format!("jwt:{}", word(*algorithm)),
            Auth::Endpoint(url) => url.clone(),
        }
    }
}

fn word(algorithm: Algorithm) -> String {
    algorithm.name().to_ascii_lowercase()
}

const ALGORITHMS: &str = "which algorithm? jwt:hs256, jwt:rs256, jwt:es256 or jwt:eddsa";
