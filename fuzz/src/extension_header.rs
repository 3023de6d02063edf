//! The lists in the opening handshake: extensions, subprotocols, tokens.
//!
//! ```text
//! input                          the values of some header lines, one per line
//! foo, bar; baz="2"; x
//! permessage-deflate; client_max_window_bits
//! ```
//!
//! * What is read agrees with the grammar of RFC 6455 §9.1 and §11.3.4 written down once more, by
//!   splitting at separators.
//! * Written anew, it is read as the same; so is the same list on one line.
//! * What is agreed of offers of permessage-deflate is what RFC 7692 §7.1 written down once more
//!   says, and our client takes that answer for an offer of its own.
//! * The limits hold, and a list of 64 KiB is read in time: with a parser that is not linear, the
//!   fuzzer reports a slow input.

use switchboard::wire::deflate::{ClientWindow, negotiate};
use switchboard::wire::extension::{
    EXTENSIONS_MAX, Extension, InvalidList, PARAMETERS_MAX, PROTOCOLS_MAX, Parameter, is_token,
    list_contains, parse_extensions, parse_protocols,
};
use switchboard::wire::{ContextTakeover, DeflateAgreement, DeflateOffer, WindowBits};

/// Holds the rules above for one input.
pub fn check(input: &[u8]) {
    let lines: Vec<&[u8]> = input.split(|byte| *byte == b'\n').collect();
    check_extensions(&lines);
    check_protocols(&lines);
    for wanted in ["upgrade", "websocket"] {
        let found = lines.iter().any(|line| {
            let mut items = line.split(|byte| *byte == b',').map(trim);
            items.any(|item| item.eq_ignore_ascii_case(wanted.as_bytes()))
        });
        assert_eq!(list_contains(lines.iter().copied(), wanted), found);
    }
    // Not each time, for it is slow even if it is linear.
    if input.len() % 16 == 1 {
        let long = input.repeat(65_536 / input.len());
        let _ = parse_extensions([&long[..]].into_iter());
        let _ = parse_protocols([&long[..]].into_iter());
        list_contains([&long[..]].into_iter(), "upgrade");
    }
}

fn check_extensions(lines: &[&[u8]]) {
    let parsed = parse_extensions(lines.iter().copied());
    assert_eq!(parsed.as_ref().ok(), plain_extensions(lines).as_ref());
    let Ok(extensions) = parsed else { return };
    assert!(extensions.len() <= EXTENSIONS_MAX);
    for takeover in [ContextTakeover::Allowed, ContextTakeover::Refused] {
        check_agreement(&extensions, takeover);
    }
    let mut written = Vec::new();
    for Extension { name, parameters } in &extensions {
        assert!(is_token(name.as_bytes()) && parameters.len() <= PARAMETERS_MAX);
        let mut text = (*name).to_owned();
        for Parameter { name, value } in parameters {
            assert!(is_token(name.as_bytes()));
            text += "; ";
            text += name;
            if let Some(value) = value {
                assert!(is_token(value.as_bytes()));
                text += &format!("=\"{value}\"");
            }
        }
        written.push(text);
    }
    let again = written.iter().map(|line| line.as_bytes());
    assert_eq!(parse_extensions(again).as_ref(), Ok(&extensions), "a line for each");
    if !extensions.is_empty() {
        let line = written.join(",");
        assert_eq!(parse_extensions([line.as_bytes()].into_iter()), Ok(extensions), "one line");
    }
}

fn check_agreement(extensions: &[Extension<'_>], takeover: ContextTakeover) {
    let agreed = negotiate(extensions, takeover);
    let plain = extensions.iter().find_map(plain_offer);
    let Some(offer) = plain else { return assert_eq!(agreed, None) };
    let refused = takeover == ContextTakeover::Refused;
    let window = |at: usize| offer[at].flatten().and_then(|bits| bits.parse().ok());
    let wanted = DeflateAgreement {
        server_no_context_takeover: offer[0].is_some() || refused,
        client_no_context_takeover: offer[1].is_some() || refused,
        server_max_window_bits: window(2).and_then(WindowBits::new),
        client_max_window_bits: window(3).and_then(WindowBits::new),
    };
    assert_eq!(agreed, Some(wanted));

    let text = wanted.to_string();
    let answer = parse_extensions([text.as_bytes()].into_iter()).expect("an answer is a list");
    let made = extensions.iter().find_map(DeflateOffer::parse).expect("it was accepted");
    assert_eq!(DeflateAgreement::parse(&answer[0], &made), Some(wanted), "{made}: {text}");
    // What was not asked for must not be told (RFC 7692 §7.1.2.2).
    if wanted.client_max_window_bits.is_some() {
        let other = DeflateOffer { client_max_window_bits: ClientWindow::Fixed, ..made };
        assert_eq!(DeflateAgreement::parse(&answer[0], &other), None, "{other}: {text}");
    }
}

fn check_protocols(lines: &[&[u8]]) {
    let parsed = parse_protocols(lines.iter().copied());
    assert_eq!(parsed, plain_protocols(lines).ok_or(InvalidList));
    let Ok(protocols) = parsed else { return };
    assert!(protocols.len() <= PROTOCOLS_MAX);
    for (at, protocol) in protocols.iter().enumerate() {
        assert!(is_token(protocol.as_bytes()) && !protocols[..at].contains(protocol));
    }
    let line = protocols.join(" ,\t");
    assert_eq!(parse_protocols([line.as_bytes()].into_iter()), Ok(protocols));
}

// ---- the same once more ------------------------------------------------------------------------

/// The four parameters of an offer, each with its value; `None` for what must be declined.
fn plain_offer<'e>(extension: &'e Extension<'_>) -> Option<[Option<Option<&'e str>>; 4]> {
    if extension.name != "permessage-deflate" {
        return None;
    }
    let mut offer = [None; 4];
    for Parameter { name, value } in &extension.parameters {
        let value = value.as_deref();
        let is_window = value
            .is_some_and(|bits| ["8", "9", "10", "11", "12", "13", "14", "15"].contains(&bits));
        let (at, is_good) = match *name {
            "server_no_context_takeover" => (0, value.is_none()),
            "client_no_context_takeover" => (1, value.is_none()),
            "server_max_window_bits" => (2, is_window),
            "client_max_window_bits" => (3, is_window || value.is_none()),
            _ => return None,
        };
        if !is_good || offer[at].replace(value).is_some() {
            return None;
        }
    }
    Some(offer)
}

/// No separator may stand within a value, not even within quotes, since a value is a token once it
/// is unescaped. So the lists can be split first and judged piece by piece.
fn plain_extensions<'b>(lines: &[&'b [u8]]) -> Option<Vec<Extension<'b>>> {
    let mut extensions = Vec::new();
    for line in lines {
        for item in line.split(|byte| *byte == b',').map(trim).filter(|item| !item.is_empty()) {
            let mut parts = item.split(|byte| *byte == b';').map(trim);
            let name = plain_token(parts.next()?)?;
            let parameters: Option<Vec<_>> = parts.map(plain_parameter).collect();
            extensions.push(Extension { name, parameters: parameters? });
        }
        if extensions.is_empty() {
            return None;
        }
    }
    let fits = extensions.len() <= EXTENSIONS_MAX
        && extensions.iter().all(|extension| extension.parameters.len() <= PARAMETERS_MAX);
    fits.then_some(extensions)
}

fn plain_parameter(text: &[u8]) -> Option<Parameter<'_>> {
    let Some(at) = text.iter().position(|byte| *byte == b'=') else {
        return Some(Parameter { name: plain_token(text)?, value: None });
    };
    let name = plain_token(trim(&text[..at]))?;
    let value = trim(&text[at + 1..]);
    let value = match value {
        [b'"', inner @ .., b'"'] => unescape(inner)?,
        _ => plain_token(value)?.to_owned(),
    };
    Some(Parameter { name, value: Some(value.into()) })
}

fn unescape(mut inner: &[u8]) -> Option<String> {
    let mut text = Vec::new();
    while let Some((first, rest)) = inner.split_first() {
        let (octet, after) = match first {
            b'\\' => rest.split_first()?,
            _ => (first, rest),
        };
        text.push(*octet);
        inner = after;
    }
    plain_token(&text).map(str::to_owned)
}

fn plain_protocols<'b>(lines: &[&'b [u8]]) -> Option<Vec<&'b str>> {
    let mut protocols = Vec::new();
    for line in lines {
        for item in line.split(|byte| *byte == b',').map(trim).filter(|item| !item.is_empty()) {
            protocols.push(plain_token(item)?);
        }
        if protocols.is_empty() {
            return None;
        }
    }
    let mut sorted = protocols.clone();
    sorted.sort_unstable();
    sorted.dedup();
    (sorted.len() == protocols.len() && sorted.len() <= PROTOCOLS_MAX).then_some(protocols)
}

/// RFC 9110 §5.6.2.
fn plain_token(bytes: &[u8]) -> Option<&str> {
    let text = std::str::from_utf8(bytes).ok()?;
    let is_separator = |c: char| "\"(),/:;<=>?@[\\]{}".contains(c);
    let is_token =
        !text.is_empty() && text.chars().all(|c| c.is_ascii_graphic() && !is_separator(c));
    is_token.then_some(text)
}

/// RFC 9110 §5.6.3.
fn trim(bytes: &[u8]) -> &[u8] {
    let is_text = |byte: &u8| *byte != b' ' && *byte != b'\t';
    let start = bytes.iter().position(is_text).unwrap_or(bytes.len());
    let end = bytes.iter().rposition(is_text).map_or(start, |last| last + 1);
    &bytes[start..end]
}
