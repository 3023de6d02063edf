//! The lists in the opening handshake: `Sec-WebSocket-Extensions`, `Sec-WebSocket-Protocol`, and
//! the tokens of `Connection` and `Upgrade`.
//!
//! ```text
//! Sec-WebSocket-Extensions = extension-list
//! extension-list = 1#extension
//! extension = extension-token *( ";" extension-param )
//! extension-token = registered-token
//! registered-token = token
//! extension-param = token [ "=" (token | quoted-string) ]
//!     ;When using the quoted-string syntax variant, the value
//!     ;after quoted-string unescaping MUST conform to the
//!     ;'token' ABNF.
//! ```
//!
//! (RFC 6455 §9.1; `1#` is a list with commas and at least one element.) An example:
//!
//! ```text
//! Sec-WebSocket-Extensions: foo, bar; baz="2"; x
//!                           ^1   ^2   ^param  ^param without value
//! ```
//!
//! A list may be spread over several header lines; they are read as if joined by commas. The
//! parsers look at each byte once, and each list has a limit, because a peer chooses its length.
//!
//! This module does not know any extension or subprotocol; what an offer means is decided above.

use std::borrow::Cow;

/// How many subprotocols one handshake may offer.
pub const PROTOCOLS_MAX: usize = 32;

/// How many extensions one handshake may offer.
pub const EXTENSIONS_MAX: usize = 16;

/// How many parameters one extension may have.
pub const PARAMETERS_MAX: usize = 16;

/// One extension, as offered by a client or accepted by a server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Extension<'b> {
    /// Its registered name, such as `permessage-deflate`.
    pub name: &'b str,
    /// Its parameters, in their order. Names may repeat; the extension judges that.
    pub parameters: Vec<Parameter<'b>>,
}

/// A parameter of an extension: `name` or `name=value`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Parameter<'b> {
    /// Its name, a token.
    pub name: &'b str,
    /// Its value, a token, with the quotes and backslashes removed.
    pub value: Option<Cow<'b, str>>,
}

/// A header value that does not follow its grammar, or exceeds a limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InvalidList;

/// Reads the values of all `Sec-WebSocket-Extensions` lines of a handshake.
///
/// No lines, no extensions. Lines without any element between their commas are an error.
///
/// # Errors
///
/// [`InvalidList`] as the grammar of the module's comment says, for more than [`EXTENSIONS_MAX`]
/// extensions, and for more than [`PARAMETERS_MAX`] parameters of one.
pub fn parse_extensions<'b>(
    lines: impl Iterator<Item = &'b [u8]>,
) -> Result<Vec<Extension<'b>>, InvalidList> {
    let mut extensions = Vec::new();
    for line in lines {
        let mut cursor = Cursor { rest: line };
        loop {
            // RFC 9110 §5.6.1.2: a recipient MUST ignore empty elements, within reason.
            while cursor.take(b',') {}
            if cursor.is_at_end() {
                break;
            }
            if extensions.len() == EXTENSIONS_MAX {
                return Err(InvalidList);
            }
            extensions.push(cursor.extension()?);
            if !cursor.is_at_end() && !cursor.take(b',') {
                return Err(InvalidList);
            }
        }
        if extensions.is_empty() {
            return Err(InvalidList);
        }
    }
    Ok(extensions)
}

/// Reads the values of all `Sec-WebSocket-Protocol` lines of a client's handshake, in the client's
/// order of preference.
///
/// # Errors
///
/// [`InvalidList`] for an element that is not a token, for one that stands there twice, for a line
/// without any, and for more than [`PROTOCOLS_MAX`].
pub fn parse_protocols<'b>(
    lines: impl Iterator<Item = &'b [u8]>,
) -> Result<Vec<&'b str>, InvalidList> {
    let mut protocols: Vec<&str> = Vec::new();
    for line in lines {
        for item in list_items(line) {
            let protocol = token(item).ok_or(InvalidList)?;
            // RFC 6455 §4.1: the names MUST all be unique. The search is short: see the limit.
            if protocols.len() == PROTOCOLS_MAX || protocols.contains(&protocol) {
                return Err(InvalidList);
            }
            protocols.push(protocol);
        }
        if protocols.is_empty() {
            return Err(InvalidList);
        }
    }
    Ok(protocols)
}

/// Whether a list of tokens, spread over any number of header lines, contains this one.
///
/// Tokens are compared without regard to the case of ASCII letters, as RFC 6455 §4.2.1 asks for
/// `Upgrade` and `Connection`.
pub fn list_contains<'b>(lines: impl Iterator<Item = &'b [u8]>, wanted: &str) -> bool {
    let mut items = lines.flat_map(list_items);
    items.any(|item| item.eq_ignore_ascii_case(wanted.as_bytes()))
}

/// Whether the bytes are a token (RFC 9110 §5.6.2): one or more of the visible ASCII characters
/// that are no separators.
pub fn is_token(bytes: &[u8]) -> bool {
    !bytes.is_empty() && bytes.iter().copied().all(is_token_byte)
}

/// The elements between the commas of a list without quoted strings, empty ones left out.
fn list_items(line: &[u8]) -> impl Iterator<Item = &[u8]> {
    line.split(|byte| *byte == b',').map(trim).filter(|item| !item.is_empty())
}

/// RFC 9110 §5.6.3: optional white space is spaces and tabs.
fn trim(mut bytes: &[u8]) -> &[u8] {
    while let [b' ' | b'\t', rest @ ..] | [rest @ .., b' ' | b'\t'] = bytes {
        bytes = rest;
    }
    bytes
}

fn token(bytes: &[u8]) -> Option<&str> {
    if is_token(bytes) { str::from_utf8(bytes).ok() } else { None }
}

fn is_token_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

/// What is left of one header value. Every method either takes bytes off the front or fails.
struct Cursor<'b> {
    rest: &'b [u8],
}

impl<'b> Cursor<'b> {
    fn extension(&mut self) -> Result<Extension<'b>, InvalidList> {
        let name = self.token()?;
        let mut parameters = Vec::new();
        while self.take(b';') {
            if parameters.len() == PARAMETERS_MAX {
                return Err(InvalidList);
            }
            let name = self.token()?;
            let value = if self.take(b'=') { Some(self.value()?) } else { None };
            parameters.push(Parameter { name, value });
        }
        Ok(Extension { name, parameters })
    }

    fn value(&mut self) -> Result<Cow<'b, str>, InvalidList> {
        if self.take(b'"') { self.quoted_string() } else { self.token().map(Cow::Borrowed) }
    }

    /// The rest of a quoted string, after its first quote (RFC 9110 §5.6.4).
    fn quoted_string(&mut self) -> Result<Cow<'b, str>, InvalidList> {
        let mut unescaped = String::new();
        loop {
            let (byte, rest) = match *self.rest {
                [b'"', ref rest @ ..] => {
                    self.rest = rest;
                    break;
                }
                [b'\\', byte, ref rest @ ..] | [byte, ref rest @ ..] => (byte, rest),
                [] => return Err(InvalidList),
            };
            // RFC 6455 §9.1: after unescaping, the value MUST be a token.
            if !is_token_byte(byte) {
                return Err(InvalidList);
            }
            unescaped.push(char::from(byte));
            self.rest = rest;
        }
        if unescaped.is_empty() { Err(InvalidList) } else { Ok(Cow::Owned(unescaped)) }
    }

    fn token(&mut self) -> Result<&'b str, InvalidList> {
        self.skip_white_space();
        let len = self.rest.iter().take_while(|byte| is_token_byte(**byte)).count();
        let (found, rest) = self.rest.split_at(len);
        self.rest = rest;
        token(found).ok_or(InvalidList)
    }

    /// Takes the byte if it is the next one after white space.
    fn take(&mut self, byte: u8) -> bool {
        self.skip_white_space();
        match self.rest.split_first() {
            Some((first, rest)) if *first == byte => {
                self.rest = rest;
                true
            }
            _ => false,
        }
    }

    fn is_at_end(&mut self) -> bool {
        self.skip_white_space();
        self.rest.is_empty()
    }

    fn skip_white_space(&mut self) {
        while let [b' ' | b'\t', rest @ ..] = self.rest {
            self.rest = rest;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `foo, bar; baz="2"; x` in a form that is easy to compare: `foo|bar;baz=2;x`.
    fn extensions(lines: &[&str]) -> Result<String, InvalidList> {
        let parsed = parse_extensions(lines.iter().map(|line| line.as_bytes()))?;
        let mut shown = Vec::new();
        for extension in parsed {
            let mut text = extension.name.to_owned();
            for Parameter { name, value } in extension.parameters {
                text += &value.map_or(format!(";{name}"), |value| format!(";{name}={value}"));
            }
            shown.push(text);
        }
        Ok(shown.join("|"))
    }

    fn protocols<'b>(lines: &[&'b str]) -> Result<Vec<&'b str>, InvalidList> {
        parse_protocols(lines.iter().map(|line| line.as_bytes()))
    }

    #[test]
    fn rfc6455_9_1_extension_lists_are_read() {
        let table: [(&[&str], &str); 12] = [
            (&[], ""),
            (&["foo, bar; baz=\"2\"; x"], "foo|bar;baz=2;x"),
            (&["foo", "bar; baz=2"], "foo|bar;baz=2"),
            (&["foo,bar;baz=2"], "foo|bar;baz=2"),
            (&[" foo\t;\ta = 1 , bar "], "foo;a=1|bar"),
            (&[",, foo ,, bar ,"], "foo|bar"),
            (&["foo", ""], "foo"),
            (&["foo; a=\"\\b\\c\""], "foo;a=bc"),
            (&["foo; a; a"], "foo;a;a"),
            (&["foo, foo"], "foo|foo"),
            (
                &["permessage-deflate; client_max_window_bits"],
                "permessage-deflate;client_max_window_bits",
            ),
            (&["constructor; __proto__=!#$%&'*+-.^_`|~"], "constructor;__proto__=!#$%&'*+-.^_`|~"),
        ];
        for (lines, shown) in table {
            assert_eq!(extensions(lines).as_deref(), Ok(shown), "{lines:?}");
        }
    }

    #[test]
    fn rfc6455_9_1_a_value_outside_the_grammar_is_refused() {
        let values = [
            "",
            " ",
            ",",
            ",,,",
            ";",
            "foo;",
            "foo;;a",
            "foo; a=",
            "foo; =1",
            "foo; a=1=2",
            "foo bar",
            "foo; a b",
            "foo; a=\"",
            "foo; a=\"b",
            "foo; a=\"\"",
            "foo; a=\"b c\"",
            "foo; a=\"b,c\"",
            "foo; a=\"\\\"\"",
            "foo; a=\"b\\",
            "foo; a=\"b\\\"",
            "foo; a=\"b\"c",
            "foo; a=b\"c\"",
            "\"foo\"",
            "foo=1",
            "f\u{f6}o",
            "foo; a=\u{f6}",
            "foo/bar",
            "(foo)",
            "foo; a='b c'",
        ];
        for value in values {
            assert_eq!(extensions(&[value]), Err(InvalidList), "{value:?}");
        }
    }

    #[test]
    fn extension_lists_have_limits() {
        let list = |count: usize| vec!["a"; count].join(",");
        assert!(extensions(&[&list(EXTENSIONS_MAX)]).is_ok());
        assert_eq!(extensions(&[&list(EXTENSIONS_MAX + 1)]), Err(InvalidList));
        assert_eq!(extensions(&[&list(EXTENSIONS_MAX), "a"]), Err(InvalidList));
        let parameters = |count: usize| format!("a{}", ";b".repeat(count));
        assert!(extensions(&[&parameters(PARAMETERS_MAX)]).is_ok());
        assert_eq!(extensions(&[&parameters(PARAMETERS_MAX + 1)]), Err(InvalidList));
    }

    #[test]
    fn rfc6455_11_3_4_protocol_lines_are_one_list() {
        assert_eq!(protocols(&[]), Ok(vec![]));
        assert_eq!(protocols(&["chat, superchat"]), Ok(vec!["chat", "superchat"]));
        assert_eq!(protocols(&["chat", " superchat,,x\t"]), Ok(vec!["chat", "superchat", "x"]));
        assert_eq!(protocols(&["chat, Chat"]), Ok(vec!["chat", "Chat"]), "case matters");
    }

    #[test]
    fn rfc6455_4_1_a_protocol_that_is_no_token_or_stands_twice_is_refused() {
        for value in ["", ",", "a b", "a/b", "\"a\"", "a;b", "\u{f6}", "a, a", "a=b", "a\tb"] {
            assert_eq!(protocols(&[value]), Err(InvalidList), "{value:?}");
        }
        assert_eq!(protocols(&["a", "b,a"]), Err(InvalidList));
    }

    #[test]
    fn protocol_lists_have_a_limit() {
        let names: Vec<String> = (0..=PROTOCOLS_MAX).map(|number| number.to_string()).collect();
        assert!(protocols(&[&names[..PROTOCOLS_MAX].join(",")]).is_ok());
        assert_eq!(protocols(&[&names.join(",")]), Err(InvalidList));
    }

    #[test]
    fn tokens_are_found_in_lists_whatever_their_case() {
        let contains = |lines: &[&str], wanted: &str| {
            list_contains(lines.iter().map(|line| line.as_bytes()), wanted)
        };
        assert!(contains(&["keep-alive, Upgrade"], "upgrade"));
        assert!(contains(&["keep-alive", "\tUPGRADE , x"], "upgrade"));
        assert!(contains(&["websocket"], "websocket"));
        for line in
            ["", "keep-alive", "upgraded", "up grade", "\"upgrade\"", "upgrade;x", "x=upgrade"]
        {
            assert!(!contains(&[line], "upgrade"), "{line}");
        }
    }

    #[test]
    fn tokens_are_the_fifteen_signs_the_digits_and_the_letters() {
        assert_eq!((0..=u8::MAX).filter(|byte| is_token(&[*byte])).count(), 15 + 10 + 52);
        assert!(!is_token(b""));
    }
}
