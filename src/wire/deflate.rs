//! permessage-deflate (RFC 7692): what two endpoints agree on before they compress.
//!
//! The client offers, in its order of preference; the server takes the first offer that it can
//! keep, and its response says what was agreed (§5.1, §7.1):
//!
//! ```text
//! client  Sec-WebSocket-Extensions: permessage-deflate; server_max_window_bits=10,
//!                                   permessage-deflate; client_max_window_bits
//! server  Sec-WebSocket-Extensions: permessage-deflate; server_no_context_takeover;
//!                                   server_max_window_bits=10
//! ```
//!
//! | parameter | in an offer | in a response |
//! |---|---|---|
//! | `server_no_context_takeover` | the server must not take over | it will not |
//! | `client_no_context_takeover` | the client will not take over | it must not |
//! | `server_max_window_bits=8` to `=15` | the server's largest window | the same, or less |
//! | `client_max_window_bits` | the client can be told | (not without a value) |
//! | `client_max_window_bits=8` to `=15` | and will use no more | its largest window |
//!
//! A window is what the compressor may refer back to: 2^bits bytes. "Context takeover" is to begin
//! a message with the window of the one before it, rather than with an empty one.
//!
//! This module does not know how to compress, nor any other extension.

use std::fmt;

use super::extension::{Extension, Parameter};

/// The name under which the extension is registered (RFC 7692 §9.1).
pub const NAME: &str = "permessage-deflate";

/// The base-2 logarithm of an LZ77 window in bytes: 8 to 15 (RFC 7692 §7.1.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct WindowBits(u8);

impl WindowBits {
    /// 256 bytes, the smallest.
    pub const MIN: WindowBits = WindowBits(8);
    /// 32 KiB, the largest, and what counts where nothing is said.
    pub const MAX: WindowBits = WindowBits(15);

    /// 8 to 15.
    pub const fn new(bits: u8) -> Option<WindowBits> {
        if bits >= Self::MIN.0 && bits <= Self::MAX.0 { Some(WindowBits(bits)) } else { None }
    }

    /// The number itself.
    pub const fn bits(self) -> u8 {
        self.0
    }

    /// RFC 7692 §7.1.2.1: a decimal integer without leading zeroes, 8 to 15.
    fn parse(text: &str) -> Option<WindowBits> {
        match *text.as_bytes() {
            [digit @ b'8'..=b'9'] => Some(WindowBits(digit - b'0')),
            [b'1', digit @ b'0'..=b'5'] => Some(WindowBits(10 + digit - b'0')),
            _ => None,
        }
    }
}

impl Default for WindowBits {
    fn default() -> WindowBits {
        WindowBits::MAX
    }
}

impl fmt::Display for WindowBits {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, formatter)
    }
}

/// One offer of a client.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DeflateOffer {
    /// The server must begin each message with an empty window.
    pub server_no_context_takeover: bool,
    /// The client will begin each message with an empty window, even if it is not told to.
    pub client_no_context_takeover: bool,
    /// The largest window that the server may use.
    pub server_max_window_bits: Option<WindowBits>,
    /// Whether the client's window may be limited.
    pub client_max_window_bits: ClientWindow,
}

/// What an offer says of `client_max_window_bits`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ClientWindow {
    /// Nothing: the server must not limit the client's window (RFC 7692 §7.1.2.2).
    #[default]
    Fixed,
    /// The name without a value: the server may.
    Limitable,
    /// The name with a value: the server may, and the client will use no more than this anyway.
    AtMost(WindowBits),
}

/// What is agreed: the server's response.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DeflateAgreement {
    /// The server begins each message with an empty window.
    pub server_no_context_takeover: bool,
    /// The client begins each message with an empty window.
    pub client_no_context_takeover: bool,
    /// The server's largest window; 15 if nothing was said.
    pub server_max_window_bits: Option<WindowBits>,
    /// The client's largest window; 15 if nothing was said.
    pub client_max_window_bits: Option<WindowBits>,
}

/// Whether a server is willing to keep the windows of a connection between messages. They are its
/// largest part by far.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ContextTakeover {
    /// If the client is willing too.
    Allowed,
    /// No: each message begins with an empty window, in both directions.
    Refused,
}

impl DeflateOffer {
    /// Reads an offer; `None` if it must be declined (RFC 7692 §7.1): it is of another extension,
    /// or has a parameter that is unknown, stands there twice, or has a value that it may not have.
    pub fn parse(extension: &Extension<'_>) -> Option<DeflateOffer> {
        let mut offer = DeflateOffer::default();
        for (name, value) in parameters(extension)? {
            match (name, value) {
                (Name::ServerNoContextTakeover, None) => offer.server_no_context_takeover = true,
                (Name::ClientNoContextTakeover, None) => offer.client_no_context_takeover = true,
                // RFC 7692 §7.1.2.1: in an offer too it has a value.
                (Name::ServerMaxWindowBits, Some(bits)) => {
                    offer.server_max_window_bits = Some(bits);
                }
                (Name::ClientMaxWindowBits, None) => {
                    offer.client_max_window_bits = ClientWindow::Limitable;
                }
                (Name::ClientMaxWindowBits, Some(bits)) => {
                    offer.client_max_window_bits = ClientWindow::AtMost(bits);
                }
                _ => return None,
            }
        }
        Some(offer)
    }

    /// The server's side: what to answer to this offer. Any offer can be kept.
    pub fn accept(&self, takeover: ContextTakeover) -> DeflateAgreement {
        let refused = takeover == ContextTakeover::Refused;
        DeflateAgreement {
            // RFC 7692 §7.1.1.1: MUST be in the response if it is in the offer, and MAY if not.
            server_no_context_takeover: refused || self.server_no_context_takeover,
            // RFC 7692 §7.1.1.2: MAY be in the response even if the offer does not have it.
            client_no_context_takeover: refused || self.client_no_context_takeover,
            // RFC 7692 §7.1.2.1: the same or a smaller value accepts the offer's.
            server_max_window_bits: self.server_max_window_bits,
            // RFC 7692 §7.1.2.2: MUST NOT be in the response if the offer does not have it. A
            // window of any size can be read, so there is nothing to limit: a value is repeated.
            client_max_window_bits: match self.client_max_window_bits {
                ClientWindow::AtMost(bits) => Some(bits),
                ClientWindow::Fixed | ClientWindow::Limitable => None,
            },
        }
    }
}

/// The server's side of the negotiation: the first of the client's offers that is one, and what
/// to answer. `None`: none of them is, so nothing is compressed.
pub fn negotiate(offers: &[Extension<'_>], takeover: ContextTakeover) -> Option<DeflateAgreement> {
    // RFC 7692 §5: the client's order is its order of preference.
    offers.iter().find_map(DeflateOffer::parse).map(|offer| offer.accept(takeover))
}

impl DeflateAgreement {
    /// The client's side: reads the response to an offer. `None` if the client must fail the
    /// connection (RFC 7692 §7.1, §7.1.2): the response has a parameter that is unknown, stands
    /// there twice, has a value that it may not have, or does not fit the offer.
    pub fn parse(response: &Extension<'_>, offer: &DeflateOffer) -> Option<DeflateAgreement> {
        let mut agreed = DeflateAgreement::default();
        for (name, value) in parameters(response)? {
            match (name, value) {
                (Name::ServerNoContextTakeover, None) => agreed.server_no_context_takeover = true,
                (Name::ClientNoContextTakeover, None) => agreed.client_no_context_takeover = true,
                (Name::ServerMaxWindowBits, Some(bits)) => {
                    agreed.server_max_window_bits = Some(bits);
                }
                // RFC 7692 §7.1.2.2: in a response it has a value.
                (Name::ClientMaxWindowBits, Some(bits)) => {
                    agreed.client_max_window_bits = Some(bits);
                }
                _ => return None,
            }
        }
        agreed.fits(offer).then(|| agreed.with_promises(offer))
    }

    /// RFC 7692 §7.1.1.2, §7.1.2.2: what a client has offered to do without, it does without, even
    /// if the server does not repeat it.
    fn with_promises(mut self, offer: &DeflateOffer) -> DeflateAgreement {
        self.client_no_context_takeover |= offer.client_no_context_takeover;
        if let ClientWindow::AtMost(most) = offer.client_max_window_bits {
            self.client_max_window_bits = self.client_max_window_bits.or(Some(most));
        }
        self
    }

    fn fits(&self, offer: &DeflateOffer) -> bool {
        // RFC 7692 §7.1.1.1: a server that accepts it says so.
        let takeover = self.server_no_context_takeover || !offer.server_no_context_takeover;
        // RFC 7692 §7.1.2.1: the same or a smaller value.
        let server = offer
            .server_max_window_bits
            .is_none_or(|most| self.server_max_window_bits.is_some_and(|bits| bits <= most));
        // RFC 7692 §7.1.2.2: only for a client that can be told, and no more than it offered.
        let client = match (offer.client_max_window_bits, self.client_max_window_bits) {
            (ClientWindow::Fixed, Some(_)) => false,
            (ClientWindow::AtMost(most), Some(bits)) => bits <= most,
            (_, _) => true,
        };
        takeover && server && client
    }
}

/// As an element of `Sec-WebSocket-Extensions`.
impl fmt::Display for DeflateOffer {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let flags = (self.server_no_context_takeover, self.client_no_context_takeover);
        write(formatter, flags, self.server_max_window_bits)?;
        match self.client_max_window_bits {
            ClientWindow::Fixed => Ok(()),
            ClientWindow::Limitable => write!(formatter, "; {}", Name::ClientMaxWindowBits.text()),
            ClientWindow::AtMost(bits) => {
                write!(formatter, "; {}={bits}", Name::ClientMaxWindowBits.text())
            }
        }
    }
}

/// As the value of `Sec-WebSocket-Extensions`.
impl fmt::Display for DeflateAgreement {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let flags = (self.server_no_context_takeover, self.client_no_context_takeover);
        write(formatter, flags, self.server_max_window_bits)?;
        match self.client_max_window_bits {
            None => Ok(()),
            Some(bits) => write!(formatter, "; {}={bits}", Name::ClientMaxWindowBits.text()),
        }
    }
}

/// What offers and responses have in common.
fn write(
    formatter: &mut fmt::Formatter<'_>,
    (server_no_context_takeover, client_no_context_takeover): (bool, bool),
    server_max_window_bits: Option<WindowBits>,
) -> fmt::Result {
    formatter.write_str(NAME)?;
    if server_no_context_takeover {
        write!(formatter, "; {}", Name::ServerNoContextTakeover.text())?;
    }
    if client_no_context_takeover {
        write!(formatter, "; {}", Name::ClientNoContextTakeover.text())?;
    }
    if let Some(bits) = server_max_window_bits {
        write!(formatter, "; {}={bits}", Name::ServerMaxWindowBits.text())?;
    }
    Ok(())
}

/// The four parameters, in the order of RFC 7692 §7.1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Name {
    ServerNoContextTakeover,
    ClientNoContextTakeover,
    ServerMaxWindowBits,
    ClientMaxWindowBits,
}

impl Name {
    const ALL: [Name; 4] = [
        Name::ServerNoContextTakeover,
        Name::ClientNoContextTakeover,
        Name::ServerMaxWindowBits,
        Name::ClientMaxWindowBits,
    ];

    const fn text(self) -> &'static str {
        match self {
            Name::ServerNoContextTakeover => "server_no_context_takeover",
            Name::ClientNoContextTakeover => "client_no_context_takeover",
            Name::ServerMaxWindowBits => "server_max_window_bits",
            Name::ClientMaxWindowBits => "client_max_window_bits",
        }
    }
}

/// The parameters of an offer or a response: known, each at most once, and if they have values,
/// window sizes. `None` for anything else, and for another extension.
fn parameters(extension: &Extension<'_>) -> Option<Vec<(Name, Option<WindowBits>)>> {
    if extension.name != NAME {
        return None;
    }
    let mut known: Vec<(Name, Option<WindowBits>)> = Vec::with_capacity(Name::ALL.len());
    for Parameter { name, value } in &extension.parameters {
        let name = Name::ALL.into_iter().find(|known| known.text() == *name)?;
        if known.iter().any(|(earlier, _)| *earlier == name) {
            return None;
        }
        let bits = match value {
            None => None,
            Some(text) => Some(WindowBits::parse(text)?),
        };
        known.push((name, bits));
    }
    Some(known)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::extension::parse_extensions;

    fn answer(value: &str, takeover: ContextTakeover) -> Option<String> {
        let offers = parse_extensions([value.as_bytes()].into_iter()).unwrap();
        negotiate(&offers, takeover).map(|agreed| agreed.to_string())
    }

    #[test]
    fn the_example_of_the_module_documentation() {
        let offers = "permessage-deflate; server_max_window_bits=10,\
                      permessage-deflate; client_max_window_bits";
        let wanted = "permessage-deflate; server_no_context_takeover; client_no_context_takeover; \
                      server_max_window_bits=10";
        assert_eq!(answer(offers, ContextTakeover::Refused).as_deref(), Some(wanted));
        let wanted = "permessage-deflate; server_max_window_bits=10";
        assert_eq!(answer(offers, ContextTakeover::Allowed).as_deref(), Some(wanted));
    }

    #[test]
    fn window_bits_are_the_numbers_from_8_to_15() {
        for bits in 0..=u8::MAX {
            let legal = (8..=15).contains(&bits);
            assert_eq!(WindowBits::new(bits).is_some(), legal, "{bits}");
            assert_eq!(WindowBits::parse(&bits.to_string()).is_some(), legal, "{bits}");
        }
        for bits in 8..=15 {
            let parsed = WindowBits::parse(&bits.to_string());
            assert_eq!(parsed.map(WindowBits::bits), Some(bits));
        }
    }

    #[test]
    fn what_is_written_is_read_back() {
        let windows = [None, Some(WindowBits::MIN), WindowBits::new(12), Some(WindowBits::MAX)];
        for flags in 0..4 {
            for server in windows {
                for client in windows {
                    let offer = DeflateOffer {
                        server_no_context_takeover: flags & 1 != 0,
                        client_no_context_takeover: flags & 2 != 0,
                        server_max_window_bits: server,
                        client_max_window_bits: client
                            .map_or(ClientWindow::Limitable, ClientWindow::AtMost),
                    };
                    let text = offer.to_string();
                    let read = parse_extensions([text.as_bytes()].into_iter()).unwrap();
                    assert_eq!(DeflateOffer::parse(&read[0]), Some(offer), "{text}");

                    let agreed = offer.accept(ContextTakeover::Allowed);
                    let text = agreed.to_string();
                    let read = parse_extensions([text.as_bytes()].into_iter()).unwrap();
                    assert_eq!(DeflateAgreement::parse(&read[0], &offer), Some(agreed), "{text}");
                }
            }
        }
    }
}
