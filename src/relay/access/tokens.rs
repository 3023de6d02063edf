//! The tokens file: whose each token is.
//!
//! ```json
//! {"tokens": [
//!   {"token": "b7c1b0f0f3a94e0e", "user": "alice", "roles": ["member"], "groups": ["staff"]},
//!   {"sha256": "ba78...15ad", "user": "bob", "expires": 1893456000}
//! ]}
//! ```
//!
//! A token is found by its [`Fingerprint`]: one look-up however many there are, whose time says
//! nothing about the tokens there are. A file with `sha256` instead of `token` may be read by
//! somebody without giving anything away.
//!
//! This module does not know where the file is, or when it is read again.

use std::collections::{HashMap, HashSet};
use std::fmt;
use std::sync::Arc;

use super::Denied;
use super::identity::{Identity, IdentityError, Keys, take};
use super::json::{Json, Object, SyntaxError};
use super::secret::Fingerprint;
use crate::timer::UnixMillis;

/// The tokens of a file.
#[derive(Default)]
pub struct Tokens {
    /// The map is seeded at random, and so the place of a fingerprint says nothing about it.
    identities: HashMap<Fingerprint, Arc<Identity>>,
    /// Whose they are.
    users: HashSet<Box<str>>,
    short: usize,
    plain: usize,
}

impl Tokens {
    /// Reads the text of a file. User ids, roles and groups have `name_max` bytes at most.
    ///
    /// # Errors
    ///
    /// What is wrong and where; never what a token is.
    pub fn parse(text: &str, name_max: usize) -> Result<Tokens, TokensError> {
        let root = Json::parse(text).map_err(TokensError::Syntax)?;
        let mut root = root.into_object().ok_or(TokensError::NoList)?;
        let list = root.take("tokens").map_err(|_| TokensError::RepeatedKey)?;
        let Some(Json::Array(list)) = list else { return Err(TokensError::NoList) };
        if let Some(key) = root.rest() {
            return Err(TokensError::UnknownKey { entry: None, key: key.to_owned() });
        }
        let mut tokens =
            Tokens { identities: HashMap::with_capacity(list.len()), ..Tokens::default() };
        for (at, entry) in list.into_iter().enumerate() {
            let entry = entry.into_object().ok_or(TokensError::NotAnObject { entry: at })?;
            tokens.add(at, entry, name_max)?;
        }
        Ok(tokens)
    }

    fn add(&mut self, at: usize, mut entry: Object, name_max: usize) -> Result<(), TokensError> {
        let wrong = |error| TokensError::Entry { entry: at, error };
        let token = take(&mut entry, "token").map_err(wrong)?;
        let digest = take(&mut entry, "sha256").map_err(wrong)?;
        let fingerprint = match (token, digest) {
            (Some(Json::String(token)), None) => {
                if token.is_empty() {
                    return Err(TokensError::NoToken { entry: at });
                }
                self.plain += 1;
                self.short += usize::from(token.len() < TOKEN_LEN_ADVISED);
                Fingerprint::of(token.as_bytes())
            }
            (None, Some(Json::String(digest))) => {
                Fingerprint::from_hex(&digest).ok_or(TokensError::NotADigest { entry: at })?
            }
            _ => return Err(TokensError::NoToken { entry: at }),
        };
        let identity = Identity::read(&mut entry, &KEYS, name_max).map_err(wrong)?;
        if let Some(key) = entry.rest() {
            return Err(TokensError::UnknownKey { entry: Some(at), key: key.to_owned() });
        }
        if !self.users.contains(&identity.user) {
            self.users.insert(identity.user.clone());
        }
        match self.identities.insert(fingerprint, Arc::new(identity)) {
            None => Ok(()),
            Some(_) => Err(TokensError::RepeatedToken { entry: at }),
        }
    }

    /// Whose a token is.
    ///
    /// # Errors
    ///
    /// [`Denied::Unknown`] or [`Denied::Expired`].
    pub fn check(&self, token: &[u8], wall: UnixMillis) -> Result<Arc<Identity>, Denied> {
        self.find(Fingerprint::of(token), wall)
    }

    /// The same for what is kept of a token.
    ///
    /// # Errors
    ///
    /// [`Denied::Unknown`] or [`Denied::Expired`].
    pub fn find(
        &self,
        fingerprint: Fingerprint,
        wall: UnixMillis,
    ) -> Result<Arc<Identity>, Denied> {
        let identity = self.identities.get(&fingerprint).ok_or(Denied::Unknown)?;
        match identity.expires_at {
            Some(expires_at) if expires_at <= wall => Err(Denied::Expired),
            _ => Ok(Arc::clone(identity)),
        }
    }

    /// Whether somebody has a token, good or expired.
    pub fn name(&self, user: &str) -> bool {
        self.users.contains(user)
    }

    /// How many tokens there are.
    pub fn len(&self) -> usize {
        self.identities.len()
    }

    /// Whether nobody can come in.
    pub fn is_empty(&self) -> bool {
        self.identities.is_empty()
    }

    /// How many tokens are given as they are, which nobody else may read then.
    pub fn plain(&self) -> usize {
        self.plain
    }

    /// How many tokens are so short (below 16 bytes) that they might be guessed; of those that
    /// are given as digests nobody knows.
    pub fn short(&self) -> usize {
        self.short
    }
}

/// How many there are, not what they are.
impl fmt::Debug for Tokens {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Tokens({})", self.len())
    }
}

/// What is wrong with a tokens file. Entries are counted from 0 and shown from 1.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TokensError {
    /// An entry says nothing sensible about its user.
    Entry {
        /// Which entry.
        entry: usize,
        /// What is wrong.
        error: IdentityError,
    },
    /// The file is no object with a list `tokens`.
    NoList,
    /// An entry has neither or both of `token` and `sha256`, or an empty one, or no string.
    NoToken {
        /// Which entry.
        entry: usize,
    },
    /// `sha256` is not 64 hexadecimal digits.
    NotADigest {
        /// Which entry.
        entry: usize,
    },
    /// An entry is no object.
    NotAnObject {
        /// Which entry.
        entry: usize,
    },
    /// `tokens` is there twice.
    RepeatedKey,
    /// A token is there a second time.
    RepeatedToken {
        /// The second of the two entries.
        entry: usize,
    },
    /// The file is not JSON.
    Syntax(SyntaxError),
    /// A key that means nothing here.
    UnknownKey {
        /// In which entry; `None` beside the list.
        entry: Option<usize>,
        /// The key.
        key: String,
    },
}

impl fmt::Display for TokensError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            TokensError::Entry { entry, error } => write!(f, "token {}: {error}", entry + 1),
            TokensError::NoList => f.write_str("not an object with a list: {\"tokens\": [...]}"),
            TokensError::NoToken { entry } => {
                write!(f, "token {}: needs a string, either `token` or `sha256`", entry + 1)
            }
            TokensError::NotADigest { entry } => {
                write!(f, "token {}: sha256 is not 64 hexadecimal digits", entry + 1)
            }
            TokensError::NotAnObject { entry } => write!(f, "token {}: not an object", entry + 1),
            TokensError::RepeatedKey => f.write_str("`tokens` is there twice"),
            TokensError::RepeatedToken { entry } => {
                write!(f, "token {}: an entry before it has the same token", entry + 1)
            }
            TokensError::Syntax(error) => write!(f, "{error}"),
            TokensError::UnknownKey { entry: None, key } => {
                write!(f, "unknown key {key:?} beside `tokens`")
            }
            TokensError::UnknownKey { entry: Some(entry), key } => {
                let known = "token, sha256, user, roles, groups, expires";
                write!(f, "token {}: unknown key {key:?}; known are {known}", entry + 1)
            }
        }
    }
}

impl std::error::Error for TokensError {}

const KEYS: Keys = Keys { user: "user", roles: "roles", groups: "groups", expires: "expires" };

/// 16 letters and digits drawn at random are 95 bits.
const TOKEN_LEN_ADVISED: usize = 16;

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: UnixMillis = UnixMillis(1_800_000_000_000);

    fn parse(text: &str) -> Result<Tokens, TokensError> {
        Tokens::parse(text, 128)
    }

    #[test]
    fn a_token_is_its_user() {
        let tokens = parse(
            r#"{"tokens": [
                {"token": "0123456789abcdef", "user": "alice", "roles": ["member", "admin"]},
                {"token": "short", "user": "alice", "groups": ["staff"]},
                {"sha256": "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad",
                 "user": "bob"}
            ]}"#,
        );
        let tokens = tokens.unwrap();
        assert_eq!((tokens.len(), tokens.short()), (3, 1));
        let alice = tokens.check(b"0123456789abcdef", NOW).unwrap();
        assert_eq!(&*alice.user, "alice");
        assert_eq!(alice.roles, ["member".into(), "admin".into()]);
        assert_eq!(tokens.check(b"short", NOW).unwrap().groups, ["staff".into()]);
        assert_eq!(&*tokens.check(b"abc", NOW).unwrap().user, "bob");
        for wrong in
            [&b""[..], b"0123456789abcde", b"0123456789abcdef ", b"0123456789ABCDEF", b"\xFF"]
        {
            assert_eq!(tokens.check(wrong, NOW), Err(Denied::Unknown));
        }
    }

    #[test]
    fn a_token_is_good_until_it_expires() {
        let text = r#"{"tokens": [{"token": "t", "user": "alice", "expires": 1800000000}]}"#;
        let tokens = parse(text).unwrap();
        assert!(tokens.check(b"t", UnixMillis(NOW.0 - 1)).is_ok());
        assert_eq!(tokens.check(b"t", NOW), Err(Denied::Expired));
    }

    #[test]
    fn what_is_no_tokens_file_is_refused_with_its_place_and_without_a_token() {
        let entry =
            |text: &str| format!(r#"{{"tokens": [{{"token": "a", "user": "a"}}, {text}]}}"#);
        let digest = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        let cases = [
            ("{".to_owned(), "not valid JSON at line 1 column 1"),
            ("[]".to_owned(), "not an object with a list: {\"tokens\": [...]}"),
            ("{}".to_owned(), "not an object with a list: {\"tokens\": [...]}"),
            (
                r#"{"tokens": {"secret": "alice"}}"#.to_owned(),
                "not an object with a list: {\"tokens\": [...]}",
            ),
            (r#"{"tokens": [], "tokens": []}"#.to_owned(), "`tokens` is there twice"),
            (r#"{"tokens": [], "x": 1}"#.to_owned(), "unknown key \"x\" beside `tokens`"),
            (entry(r#""secret""#), "token 2: not an object"),
            (entry(r#"{"user": "b"}"#), "token 2: needs a string, either `token` or `sha256`"),
            (
                entry(r#"{"token": "", "user": "b"}"#),
                "token 2: needs a string, either `token` or `sha256`",
            ),
            (
                entry(r#"{"token": 5, "user": "b"}"#),
                "token 2: needs a string, either `token` or `sha256`",
            ),
            (
                entry(&format!(r#"{{"token": "secret", "sha256": "{digest}", "user": "b"}}"#)),
                "token 2: needs a string, either `token` or `sha256`",
            ),
            (
                entry(r#"{"sha256": "secret", "user": "b"}"#),
                "token 2: sha256 is not 64 hexadecimal digits",
            ),
            (
                entry(r#"{"token": "secret", "token": "secret", "user": "b"}"#),
                "token 2: token is there twice",
            ),
            (
                entry(r#"{"token": "a", "user": "b"}"#),
                "token 2: an entry before it has the same token",
            ),
            (entry(r#"{"token": "secret"}"#), "token 2: user is missing"),
            (entry(r#"{"token": "secret", "user": ""}"#), "token 2: user: name is empty"),
            (
                entry(r#"{"token": "secret", "user": "b", "role": "x"}"#),
                "token 2: unknown key \"role\"; \
                 known are token, sha256, user, roles, groups, expires",
            ),
        ];
        for (text, wanted) in cases {
            let error = parse(&text).expect_err(&text);
            assert_eq!(error.to_string(), wanted, "{text}");
            assert!(!format!("{error:?}").contains("secret"), "{error:?}");
        }
    }

    #[test]
    fn debug_output_shows_nothing() {
        let tokens = parse(r#"{"tokens": [{"token": "secret", "user": "alice"}]}"#).unwrap();
        assert_eq!(format!("{tokens:?}"), "Tokens(1)");
    }
}
