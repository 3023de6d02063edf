//! RFC 6455 §4.1 and §4.2.1 once more: lines are split, and nothing is forgiven.
//!
//! ```text
//! GET /chat HTTP/1.1 CR LF        first
//! Host: a CR LF                   fields[0] = ("Host", "a")
//! CR LF
//! ```
//!
//! This module does not know why a request is refused: it is asked about those that are accepted.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use sha1::{Digest, Sha1};

/// A head of either kind.
#[derive(Debug)]
pub struct Head<'b> {
    /// The request line or the status line.
    pub first: &'b [u8],
    /// Names and values, without white space around them.
    pub fields: Vec<(&'b [u8], &'b [u8])>,
}

impl<'b> Head<'b> {
    /// Splits exactly one head; `None` if a line is not ended by CR LF, is not `name: value`, or
    /// has a control character in it. One empty line may stand before it (RFC 9112 §2.2).
    pub fn split(bytes: &'b [u8]) -> Option<Head<'b>> {
        let bytes = bytes.strip_prefix(b"\r\n").unwrap_or(bytes);
        let mut rest = bytes.strip_suffix(b"\r\n\r\n")?;
        let mut lines = Vec::new();
        while let Some(end) = rest.windows(2).position(|pair| pair == b"\r\n") {
            lines.push(&rest[..end]);
            rest = &rest[end + 2..];
        }
        lines.push(rest);
        if lines.iter().any(|line| line.iter().any(|b| b.is_ascii_control() && *b != b'\t')) {
            return None;
        }
        let (first, lines) = lines.split_first()?;
        let fields = lines.iter().map(|line| {
            let colon = line.iter().position(|byte| *byte == b':')?;
            let (name, value) = (&line[..colon], &line[colon + 1..]);
            is_token(name).then(|| (name, value.trim_ascii()))
        });
        Some(Head { first, fields: fields.collect::<Option<_>>()? })
    }

    /// The values of the fields with this name, in any case of letters.
    pub fn all(&self, name: &str) -> impl Iterator<Item = &'b [u8]> {
        let is_named = |field: &&(&[u8], &[u8])| field.0.eq_ignore_ascii_case(name.as_bytes());
        self.fields.iter().filter(is_named).map(|field| field.1)
    }

    /// The value of the field with this name, if there is exactly one.
    pub fn only(&self, name: &str) -> Option<&'b [u8]> {
        let mut values = self.all(name);
        values.next().filter(|_| values.next().is_none())
    }

    /// Whether a list of tokens contains this one, in any case of letters.
    fn lists(&self, name: &str, token: &str) -> bool {
        let mut items = self.all(name).flat_map(|value| value.split(|byte| *byte == b','));
        items.any(|item| item.trim_ascii().eq_ignore_ascii_case(token.as_bytes()))
    }
}

/// RFC 6455 §4.2.1, (1) to (9), and that nothing but a head was sent (§4.1).
pub fn check_request(bytes: &[u8]) -> Result<(), &'static str> {
    let head = Head::split(bytes).ok_or("it is no head")?;
    let words: Vec<&[u8]> = head.first.split(|byte| *byte == b' ').collect();
    let &[method, target, version] = &words[..] else { return Err("the line has not 3 words") };
    hold(method == b"GET" && version == b"HTTP/1.1", "(1) it is no GET of HTTP/1.1")?;
    let absolute = ["http://", "https://"].iter().any(|scheme| {
        target.get(..scheme.len()).is_some_and(|it| it.eq_ignore_ascii_case(scheme.as_bytes()))
    });
    hold(target.starts_with(b"/") || absolute, "(1) the target is no resource name")?;
    hold(target.iter().all(|byte| byte.is_ascii_graphic()), "(1) the target is not ASCII")?;
    hold(!target.contains(&b'#'), "(1) the target has a fragment")?;
    hold(head.only("Host").is_some_and(|host| !host.is_empty()), "(2) there is no Host")?;
    hold(head.lists("Upgrade", "websocket"), "(3) Upgrade has no websocket")?;
    hold(head.lists("Connection", "upgrade"), "(4) Connection has no Upgrade")?;
    let key = head.only("Sec-WebSocket-Key").ok_or("(5) there is no key, or two")?;
    hold(nonce(key).is_some(), "(5) the key has not 16 bytes")?;
    hold(head.only("Sec-WebSocket-Version") == Some(b"13"), "(6) the version is not 13")?;
    hold(head.all("Origin").count() <= 1, "(7) there are two origins")?;
    let mut names: Vec<&[u8]> = Vec::new();
    for item in head.all("Sec-WebSocket-Protocol").flat_map(|list| list.split(|b| *b == b',')) {
        let item = item.trim_ascii();
        hold(item.is_empty() || is_token(item), "(8) a subprotocol is no token")?;
        hold(!names.contains(&item), "(8) a subprotocol stands there twice")?;
        names.extend(Some(item).filter(|item| !item.is_empty()));
    }
    let printable = |value: &[u8]| value.iter().all(|b| b.is_ascii_graphic() || b" \t".contains(b));
    hold(head.all("Sec-WebSocket-Extensions").all(printable), "(9) extensions are not ASCII")?;
    hold(head.all("Transfer-Encoding").next().is_none(), "it has a body")?;
    let zero = |len: &[u8]| !len.is_empty() && len.iter().all(|digit| *digit == b'0');
    hold(head.all("Content-Length").all(zero), "it has a body")
}

/// RFC 6455 §4.1, what a client checks; the subprotocol.
pub fn check_answer<'b>(bytes: &'b [u8], accept: &str) -> Result<Option<&'b [u8]>, &'static str> {
    let head = Head::split(bytes).ok_or("it is no head")?;
    let first = head.first;
    hold(first.starts_with(b"HTTP/1.1 101"), "(1) the status is not 101")?;
    hold(matches!(first.get(12), None | Some(b' ')), "(1) the status is not 101")?;
    let upgrade = head.only("Upgrade").ok_or("(2) there is no Upgrade, or two")?;
    hold(upgrade.eq_ignore_ascii_case(b"websocket"), "(2) Upgrade is not websocket")?;
    hold(head.lists("Connection", "upgrade"), "(3) Connection has no Upgrade")?;
    let accepted = head.only("Sec-WebSocket-Accept").ok_or("(4) there is no accept key, or two")?;
    hold(accepted == accept.as_bytes(), "(4) the accept key is wrong")?;
    let extensions = head.all("Sec-WebSocket-Extensions").next();
    hold(extensions.is_none(), "(5) an extension was not requested")?;
    let mut protocols = head.all("Sec-WebSocket-Protocol");
    let protocol = protocols.next();
    hold(protocols.next().is_none(), "(6) there are two subprotocols")?;
    let requested = |name: &[u8]| [&b"chat"[..], b"superchat"].contains(&name);
    hold(protocol.is_none_or(requested), "(6) the subprotocol was not requested")?;
    Ok(protocol)
}

/// The 16 bytes of a `Sec-WebSocket-Key`. The bits of its last character that say nothing are not
/// looked at: RFC 4648 §3.5 leaves that to the reader.
pub fn nonce(key: &[u8]) -> Option<[u8; 16]> {
    let digits = key.strip_suffix(b"==").filter(|digits| digits.len() == 22)?;
    let mut bits = 0_u128;
    for (at, digit) in digits.iter().enumerate() {
        let value = match digit {
            b'A'..=b'Z' => digit - b'A',
            b'a'..=b'z' => digit - b'a' + 26,
            b'0'..=b'9' => digit - b'0' + 52,
            b'+' => 62,
            b'/' => 63,
            _ => return None,
        };
        // 21 characters are 126 bits; of the last one two count.
        bits = if at < 21 {
            bits << 6 | u128::from(value)
        } else {
            bits << 2 | u128::from(value >> 4)
        };
    }
    Some(bits.to_be_bytes())
}

/// RFC 6455 §4.2.2 (5): the value of `Sec-WebSocket-Accept`.
pub fn accept(key: &[u8]) -> [u8; 28] {
    let mut hashed = key.to_vec();
    hashed.extend_from_slice(b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11");
    let text = STANDARD.encode(Sha1::digest(&hashed));
    text.into_bytes().try_into().expect("20 bytes are 28 characters")
}

fn hold(rule: bool, broken: &'static str) -> Result<(), &'static str> {
    if rule { Ok(()) } else { Err(broken) }
}

/// RFC 9110 §5.6.2.
pub fn is_token(bytes: &[u8]) -> bool {
    !bytes.is_empty()
        && bytes.iter().all(|b| b.is_ascii_graphic() && !b"\"(),/:;<=>?@[\\]{}".contains(b))
}
