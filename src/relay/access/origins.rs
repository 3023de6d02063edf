//! Origins: which web pages may open a connection (RFC 6455 §10.2).
//!
//! ```text
//!   --origin https://app.example.org           that page's origin, and no other
//!   --origin https://*.example.org             a.example.org and a.b.example.org,
//!                                              neither example.org nor evilexample.org
//!   --origin capacitor://localhost             an app that is a page
//! ```
//!
//! A browser tells on the page it acts for, and only a browser has anything to tell: a program may
//! write what it likes, and is nobody's deputy. So a handshake without `Origin` passes, and what is
//! asked of one with it depends on what a page could abuse:
//!
//! | | pages that may come |
//! |---|---|
//! | a list | those on the list |
//! | no list, credentials asked for | all: a page has to bring a token, and other pages have none |
//! | no list, a cookie is a credential | none: the browser would bring it for any page |
//! | no list, no credentials, on loopback | those of this machine, `null`, `file://` |
//! | no list, no credentials, `--open` | all |
//!
//! This module does not know what a credential is worth.

use std::fmt;

use crate::config::Reach;
use crate::wire::http::{Authority, origin_is_loopback};

/// The allow-list of origins; empty without `--origin`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Origins {
    patterns: Vec<Pattern>,
}

/// What a page that comes could use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stake {
    /// A cookie that the browser sends by itself.
    Cookie,
    /// Nothing but the connection: nobody is asked who he is.
    Nothing,
    /// A token, which a page has to have.
    Token,
}

impl Origins {
    /// No list.
    pub fn unlisted() -> Origins {
        Origins::default()
    }

    /// Reads the entries of a list.
    ///
    /// # Errors
    ///
    /// The first entry that is no origin, and why.
    pub fn parse<'a>(entries: impl IntoIterator<Item = &'a str>) -> Result<Origins, OriginError> {
        let mut patterns = Vec::new();
        for entry in entries {
            let refuse = |reason| OriginError { entry: entry.to_owned(), reason };
            if patterns.len() == ORIGINS_MAX {
                return Err(refuse(OriginReason::TooMany));
            }
            patterns.push(Pattern::parse(entry).map_err(refuse)?);
        }
        Ok(Origins { patterns })
    }

    /// Whether there is no list.
    pub fn is_empty(&self) -> bool {
        self.patterns.is_empty()
    }

    /// Whether an origin is on the list.
    pub fn contains(&self, origin: &[u8]) -> bool {
        let Some(origin) = Origin::parse(origin) else { return false };
        self.patterns.iter().any(|pattern| pattern.matches(&origin))
    }

    /// Whether a page of this origin may open a connection.
    pub fn admits(&self, origin: Option<&[u8]>, reach: Reach, stake: Stake) -> bool {
        let Some(origin) = origin else { return true };
        if !self.is_empty() {
            return self.contains(origin);
        }
        match (stake, reach) {
            (Stake::Cookie, _) => false,
            (Stake::Token, _) | (Stake::Nothing, Reach::Open) => true,
            (Stake::Nothing, Reach::Loopback) => {
                matches!(origin, b"null" | b"file://") || origin_is_loopback(origin)
            }
        }
    }
}

/// One entry.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Pattern {
    /// In lower case.
    scheme: String,
    host: HostPattern,
    port: Option<u16>,
}

/// In lower case.
#[derive(Clone, Debug, PartialEq, Eq)]
enum HostPattern {
    Exactly(String),
    /// Any host that ends with it: `.example.org`, its dot included.
    Below(String),
}

impl Pattern {
    fn parse(entry: &str) -> Result<Pattern, OriginReason> {
        match entry {
            "*" => return Err(OriginReason::Anything),
            "null" | "file://" => return Err(OriginReason::Nobody),
            _ => {}
        }
        let Some((scheme, rest)) = entry.split_once("://") else {
            return Err(OriginReason::NoScheme);
        };
        if rest.contains(['/', '?', '#']) {
            return Err(OriginReason::Path);
        }
        let (text, below) = match rest.strip_prefix("*.") {
            Some(below) => (format!("{scheme}://{below}"), true),
            None => (entry.to_owned(), false),
        };
        let origin = Origin::parse(text.as_bytes()).ok_or(OriginReason::Unreadable)?;
        if origin.host.contains('*') {
            return Err(OriginReason::Wildcard);
        }
        let host = origin.host.to_ascii_lowercase();
        let is_address = host.starts_with('[') || host.parse::<std::net::Ipv4Addr>().is_ok();
        if below && (is_address || host.starts_with('.')) {
            return Err(OriginReason::Wildcard);
        }
        Ok(Pattern {
            scheme: origin.scheme.to_ascii_lowercase(),
            host: match below {
                true => HostPattern::Below(format!(".{host}")),
                false => HostPattern::Exactly(host),
            },
            port: origin.port,
        })
    }

    fn matches(&self, origin: &Origin<'_>) -> bool {
        let host = origin.host;
        let is_host = match &self.host {
            HostPattern::Exactly(own) => host.eq_ignore_ascii_case(own),
            // Something must be before the dot, and it must be no dot.
            HostPattern::Below(suffix) => host.len().checked_sub(suffix.len()).is_some_and(|len| {
                let (before, end) = host.as_bytes().split_at(len);
                end.eq_ignore_ascii_case(suffix.as_bytes())
                    && before.split(|byte| *byte == b'.').all(|label| !label.is_empty())
            }),
        };
        is_host && origin.scheme.eq_ignore_ascii_case(&self.scheme) && origin.port == self.port
    }
}

/// `scheme://host[:port]`, without the port that the scheme has anyway (RFC 6454 §6.2).
struct Origin<'a> {
    scheme: &'a str,
    host: &'a str,
    port: Option<u16>,
}

impl<'a> Origin<'a> {
    fn parse(origin: &'a [u8]) -> Option<Origin<'a>> {
        let (scheme, rest) = str::from_utf8(origin).ok()?.split_once("://")?;
        let mut letters = scheme.bytes();
        // RFC 3986 §3.1: a letter, then letters, digits and three signs.
        let is_scheme = letters.next().is_some_and(|byte| byte.is_ascii_alphabetic())
            && letters.all(|byte| byte.is_ascii_alphanumeric() || b"+-.".contains(&byte));
        let Authority { host, port } = Authority::parse(rest.as_bytes())?;
        let usual = DEFAULT_PORTS.iter().find(|(name, _)| scheme.eq_ignore_ascii_case(name));
        let port = port.filter(|port| usual.is_none_or(|(_, usual)| usual != port));
        is_scheme.then_some(Origin { scheme, host, port })
    }
}

/// An entry of a list of origins that is none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OriginError {
    /// The entry as given.
    pub entry: String,
    /// What is wrong with it.
    pub reason: OriginReason,
}

/// What is wrong with an entry of a list of origins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OriginReason {
    /// It is `*`.
    Anything,
    /// It is `null` or `file://`, which any page can be.
    Nobody,
    /// It names no scheme.
    NoScheme,
    /// There is a path, a query or a fragment.
    Path,
    /// There are too many entries before it.
    TooMany,
    /// What follows the scheme is no host.
    Unreadable,
    /// An asterisk that is not a whole first label before a domain.
    Wildcard,
}

impl fmt::Display for OriginReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            OriginReason::Anything => {
                "a list of everything is no list; where tokens are asked for, every page may \
                 come without one"
            }
            OriginReason::Nobody => "every sandboxed frame and every file is that",
            OriginReason::NoScheme => "the scheme is missing: https://app.example.org",
            OriginReason::Path => "an origin ends with host and port: https://app.example.org",
            OriginReason::TooMany => "more than 1000 origins",
            OriginReason::Unreadable => "not scheme://host or scheme://host:port",
            OriginReason::Wildcard => {
                "an asterisk stands for whole labels before a domain: https://*.example.org"
            }
        })
    }
}

impl fmt::Display for OriginError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} is no origin: {}", self.entry, self.reason)
    }
}

impl std::error::Error for OriginError {}

/// Each is looked at for each handshake with an `Origin`.
const ORIGINS_MAX: usize = 1000;

const DEFAULT_PORTS: [(&str, u16); 4] = [("http", 80), ("https", 443), ("ws", 80), ("wss", 443)];

#[cfg(test)]
mod tests {
    use super::*;

    fn list(entries: &[&str]) -> Origins {
        Origins::parse(entries.iter().copied()).unwrap()
    }

    #[test]
    fn an_exact_entry_is_that_origin_and_no_other() {
        let origins = list(&["https://App.example.org", "http://localhost:3000"]);
        for good in [
            "https://app.example.org",
            "HTTPS://APP.EXAMPLE.ORG",
            "https://app.example.org:443",
            "http://localhost:3000",
        ] {
            assert!(origins.contains(good.as_bytes()), "{good}");
        }
        for bad in [
            "http://app.example.org",
            "https://app.example.org:8443",
            "https://app.example.org:80",
            "https://app.example.org.evil.example",
            "https://evil.example/https://app.example.org",
            "https://a.app.example.org",
            "https://example.org",
            "https://app.example.org/",
            "https://user@app.example.org",
            "https://app.example.org https://evil.example",
            "http://localhost",
            "http://localhost:3001",
            "http://127.0.0.1:3000",
            "null",
            "file://",
            "",
            "app.example.org",
            "https://app.example.org\u{0}",
        ] {
            assert!(!origins.contains(bad.as_bytes()), "{bad}");
        }
        assert!(!origins.contains(b"https://app.example.org\xFF"));
    }

    #[test]
    fn a_wildcard_is_whole_labels_before_a_domain() {
        let origins = list(&["https://*.example.org", "https://*.example.net:8443"]);
        for good in [
            "https://a.example.org",
            "https://a.b.EXAMPLE.org",
            "https://a.example.org:443",
            "https://a.example.net:8443",
        ] {
            assert!(origins.contains(good.as_bytes()), "{good}");
        }
        for bad in [
            "https://example.org",
            "https://.example.org",
            "https://a..example.org",
            "https://evilexample.org",
            "https://a.example.org.evil.example",
            "http://a.example.org",
            "https://a.example.org:8443",
            "https://a.example.net",
            "https://a.example.net:443",
        ] {
            assert!(!origins.contains(bad.as_bytes()), "{bad}");
        }
    }

    #[test]
    fn apps_that_are_pages_have_schemes_of_their_own() {
        let origins = list(&["capacitor://localhost", "chrome-extension://abcdef"]);
        assert!(origins.contains(b"capacitor://localhost"));
        assert!(origins.contains(b"chrome-extension://abcdef"));
        assert!(!origins.contains(b"chrome-extension://abcdeg"));
        assert!(!origins.contains(b"https://localhost"));
    }

    #[test]
    fn what_is_no_origin_is_refused_with_its_reason() {
        let cases = [
            ("*", OriginReason::Anything),
            ("null", OriginReason::Nobody),
            ("file://", OriginReason::Nobody),
            ("app.example.org", OriginReason::NoScheme),
            ("", OriginReason::NoScheme),
            ("https://app.example.org/", OriginReason::Path),
            ("https://app.example.org/chat", OriginReason::Path),
            ("https://app.example.org?x", OriginReason::Path),
            ("https://", OriginReason::Unreadable),
            ("https://a b", OriginReason::Unreadable),
            ("https://app.example.org:x", OriginReason::Unreadable),
            ("h ttps://app.example.org", OriginReason::Unreadable),
            ("https://*", OriginReason::Wildcard),
            ("https://*.*.org", OriginReason::Wildcard),
            ("https://a*.example.org", OriginReason::Wildcard),
            ("https://app.*.org", OriginReason::Wildcard),
            ("https://*.127.0.0.1", OriginReason::Wildcard),
            ("https://*..example.org", OriginReason::Wildcard),
        ];
        for (entry, reason) in cases {
            let error = OriginError { entry: entry.to_owned(), reason };
            assert_eq!(Origins::parse([entry]), Err(error), "{entry}");
        }
        let many: Vec<String> =
            (0..=ORIGINS_MAX).map(|n| format!("https://a{n}.example")).collect();
        let error = Origins::parse(many.iter().map(|entry| &entry[..])).unwrap_err();
        assert_eq!(error.reason, OriginReason::TooMany);
        assert_eq!(
            Origins::parse(["localhost"]).unwrap_err().to_string(),
            "\"localhost\" is no origin: the scheme is missing: https://app.example.org"
        );
    }

    #[test]
    fn the_rules_of_every_mode() {
        let listed = list(&["https://app.example.org"]);
        let none = Origins::unlisted();
        let local: Option<&[u8]> = Some(b"http://localhost:3000");
        let foreign: Option<&[u8]> = Some(b"https://evil.example");
        let app: Option<&[u8]> = Some(b"https://app.example.org");
        for reach in [Reach::Loopback, Reach::Open] {
            for stake in [Stake::Cookie, Stake::Nothing, Stake::Token] {
                assert!(none.admits(None, reach, stake) && listed.admits(None, reach, stake));
                assert!(listed.admits(app, reach, stake));
                for other in [local, foreign, Some(b"null"), Some(b"file://")] {
                    assert!(!listed.admits(other, reach, stake));
                    let unlisted = match (stake, reach) {
                        (Stake::Cookie, _) => false,
                        (Stake::Token, _) | (Stake::Nothing, Reach::Open) => true,
                        (Stake::Nothing, Reach::Loopback) => other != foreign,
                    };
                    assert_eq!(none.admits(other, reach, stake), unlisted);
                }
            }
        }
    }
}
