//! The body of a message: how long it is said to be, and the bytes themselves.
//!
//! ```text
//! Content-Length: 5 CR LF              Transfer-Encoding: chunked CR LF
//! CR LF                                CR LF
//! Hello                                3;note=x CR LF      size in hexadecimal, extensions
//!                                      Hel CR LF
//!                                      2 CR LF
//!                                      lo CR LF
//!                                      0 CR LF             the last chunk has no bytes
//!                                      Expires: never CR LF    trailers
//!                                      CR LF
//! ```
//!
//! The decoder of chunks walks over single bytes; every byte that is not on the way is an error:
//!
//! ```text
//!                     ;          CR           LF           all its bytes
//!   Size --hex digits--> Extension --> SizeEnd --> Data ----------------> DataEnd --CR LF--> Size
//!                                         | size 0
//!                                         v     CR LF
//!                                     TrailerStart --> Complete
//!                                         ^ | name ":" value CR LF
//!                                         +-+
//! ```
//!
//! Two parsers that disagree about where a body ends see different requests in the same bytes, and
//! whoever sits between them can smuggle one past the other. So nothing is forgiven here: both
//! header fields at once, a length said twice, a coding that is not known, a line end of LF alone.
//!
//! Extensions and trailers are discarded, and bounded: nobody needs them, and a peer could send
//! them for ever. What this module does *not* know: what a body says, and who asked for it.

use std::fmt;

use super::{HttpVersion, RequestHead, Response};
use crate::wire::Parsed;
use crate::wire::extension::is_token;

/// How long a body is said to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BodyLength {
    /// This many bytes, by `Content-Length`; 0 if there is no body.
    Known(u64),
    /// As many as come until the last chunk, by `Transfer-Encoding: chunked`.
    Chunked,
}

impl BodyLength {
    /// The length of a request's body (RFC 9112 §6.3).
    ///
    /// # Errors
    ///
    /// Whatever leaves a doubt about where the body ends, and codings other than `chunked`.
    pub fn of(head: &RequestHead<'_, '_>) -> Result<BodyLength, BodyError> {
        let lengths = head.headers_named("Content-Length");
        let codings = head.headers_named("Transfer-Encoding");
        let length = BodyLength::from_fields(lengths, codings, head.version())?;
        // RFC 9112 §6.3: a request with neither field has no body.
        Ok(length.unwrap_or(BodyLength::Known(0)))
    }

    /// The length by the values of `Content-Length` and `Transfer-Encoding`, of a request or of a
    /// response; `None` if there is neither.
    ///
    /// # Errors
    ///
    /// As [`of`](BodyLength::of).
    pub fn from_fields<'f>(
        mut lengths: impl Iterator<Item = &'f [u8]>,
        codings: impl Iterator<Item = &'f [u8]>,
        version: HttpVersion,
    ) -> Result<Option<BodyLength>, BodyError> {
        let length = lengths.next();
        let mut is_coded = false;
        for coding in codings {
            // RFC 9112 §6.1: Transfer-Encoding in HTTP/1.0 is a faulty message.
            if version == HttpVersion::Http10 {
                return Err(BodyError::CodingTooNew);
            }
            // RFC 9112 §6.3: both fields may be an attempt at smuggling, and ought to be an error.
            if length.is_some() {
                return Err(BodyError::LengthAndCoding);
            }
            check_coding(coding)?;
            // RFC 9112 §7.1: chunked MUST NOT be applied more than once.
            if std::mem::replace(&mut is_coded, true) {
                return Err(BodyError::CodingMalformed);
            }
        }
        // RFC 9110 §8.6: a length said more than once is invalid, or may be taken for one if it is
        // the same each time. We take none.
        if lengths.next().is_some() {
            return Err(BodyError::LengthRepeated);
        }
        match length {
            Some(length) => Ok(Some(BodyLength::Known(parse_length(length)?))),
            None => Ok(is_coded.then_some(BodyLength::Chunked)),
        }
    }
}

/// The one value of `Transfer-Encoding` that is known: `chunked`, in any case of letters.
fn check_coding(value: &[u8]) -> Result<(), BodyError> {
    if value.eq_ignore_ascii_case(b"chunked") {
        return Ok(());
    }
    // RFC 9112 §6.3: without chunked at the end, nobody can tell where a request ends. Before it,
    // any other coding is one that is not known.
    let mut names = value.split(|byte| *byte == b',').map(|name| name.trim_ascii());
    let is_chunked = |name: &[u8]| name.eq_ignore_ascii_case(b"chunked");
    match names.find(|name| !is_chunked(name)) {
        // RFC 9112 §6.1: a coding that a server does not understand is answered with 501.
        Some(name) if is_token(name) => Err(BodyError::CodingUnknown),
        _ => Err(BodyError::CodingMalformed),
    }
}

/// RFC 9110 §8.6: one or more digits, and nothing else. What no number can hold is very long.
fn parse_length(value: &[u8]) -> Result<u64, BodyError> {
    if value.is_empty() || !value.iter().all(u8::is_ascii_digit) {
        return Err(BodyError::LengthMalformed);
    }
    let digits = str::from_utf8(value).unwrap_or_default();
    Ok(digits.parse().unwrap_or(u64::MAX))
}

/// Whether a client waits for `100 Continue` before it sends the body.
///
/// # Errors
///
/// [`BodyError::ExpectationUnknown`] if it expects anything else.
pub fn expects_continue(head: &RequestHead<'_, '_>) -> Result<bool, BodyError> {
    // RFC 9110 §10.1.1: a server MUST ignore the expectation in HTTP/1.0.
    if head.version() == HttpVersion::Http10 {
        return Ok(false);
    }
    let mut expectations = head.headers_named("Expect").peekable();
    let expects = expectations.peek().is_some();
    match expectations.all(|value| value.eq_ignore_ascii_case(b"100-continue")) {
        true => Ok(expects),
        false => Err(BodyError::ExpectationUnknown),
    }
}

/// The interim response that lets a client send its body (RFC 9110 §15.2.1).
pub const CONTINUE: &[u8] = b"HTTP/1.1 100 Continue\r\n\r\n";

/// Takes a body out of the bytes that carry it, however the network cuts them.
///
/// ```
/// use switchboard::wire::Parsed;
/// use switchboard::wire::http::{BodyDecoder, BodyLength};
///
/// let mut decoder = BodyDecoder::new(BodyLength::Chunked, 1_000)?;
/// let mut body = Vec::new();
/// assert_eq!(decoder.decode(b"5\r\nHel", &mut body), Ok(Parsed::Partial));
/// let rest = b"lo\r\n0\r\n\r\nGET / HTTP/1.1\r\n";
/// assert_eq!(decoder.decode(rest, &mut body), Ok(Parsed::Complete { value: (), len: 9 }));
/// assert_eq!(body, b"Hello");
/// # Ok::<(), switchboard::wire::http::BodyError>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BodyDecoder {
    place: Place,
    /// How many more bytes the body may have, in chunks.
    left: u64,
    /// Bytes of extensions and trailers so far.
    extra: usize,
}

impl BodyDecoder {
    /// A decoder for a body of at most `max` bytes.
    ///
    /// # Errors
    ///
    /// [`BodyError::TooLarge`] if it is said to be longer.
    pub fn new(length: BodyLength, max: u64) -> Result<BodyDecoder, BodyError> {
        let place = match length {
            BodyLength::Known(len) if len > max => return Err(BodyError::TooLarge),
            BodyLength::Known(0) => Place::Complete,
            BodyLength::Known(len) => Place::Whole(len),
            BodyLength::Chunked => Place::Size { value: 0, digits: 0 },
        };
        Ok(BodyDecoder { place, left: max, extra: 0 })
    }

    /// Appends to `body` what `input` holds of it. `Partial`: all of the input was taken, more is
    /// needed. `Complete`: so many bytes were taken; what follows them is another message.
    ///
    /// # Errors
    ///
    /// [`BodyError`]; the decoder is of no use after it.
    pub fn decode(&mut self, input: &[u8], body: &mut Vec<u8>) -> Result<Parsed<()>, BodyError> {
        let mut at = 0;
        while self.place != Place::Complete {
            let Some(&byte) = input.get(at) else { return Ok(Parsed::Partial) };
            at += match self.place {
                Place::Whole(left) => {
                    let taken = take(&input[at..], left, body);
                    let left = left - taken as u64;
                    self.place = if left == 0 { Place::Complete } else { Place::Whole(left) };
                    taken
                }
                Place::Data(left) => {
                    let taken = take(&input[at..], left, body);
                    let left = left - taken as u64;
                    self.place = if left == 0 { Place::DataEnd } else { Place::Data(left) };
                    taken
                }
                _ => {
                    self.place = self.step(byte)?;
                    1
                }
            };
        }
        Ok(Parsed::Complete { value: (), len: at })
    }

    /// One byte that is no data.
    fn step(&mut self, byte: u8) -> Result<Place, BodyError> {
        match (self.place, byte) {
            (Place::Size { value, digits }, _) if byte.is_ascii_hexdigit() => {
                // RFC 9112 §7.1: a recipient MUST anticipate large numbers, and prevent overflow.
                if digits == SIZE_DIGITS_MAX {
                    return Err(BodyError::ChunkMalformed);
                }
                let digit = (byte as char).to_digit(16).map_or(0, u64::from);
                Ok(Place::Size { value: value << 4 | digit, digits: digits + 1 })
            }
            (Place::Size { digits: 0, .. }, _) => Err(BodyError::ChunkMalformed),
            (Place::Size { value, .. } | Place::Extension(value), b'\r') => {
                Ok(Place::SizeEnd(value))
            }
            // RFC 9112 §7.1.1: a recipient MUST ignore extensions that it does not know, and a
            // server ought to limit them.
            (Place::Size { value, .. }, b';' | b' ' | b'\t') => {
                self.discard(Place::Extension(value))
            }
            (Place::Extension(value), _) if is_text(byte) => self.discard(Place::Extension(value)),
            (Place::SizeEnd(0), b'\n') => Ok(Place::TrailerStart),
            (Place::SizeEnd(size), b'\n') => {
                self.left = self.left.checked_sub(size).ok_or(BodyError::TooLarge)?;
                Ok(Place::Data(size))
            }
            (Place::DataEnd, b'\r') => Ok(Place::DataLineEnd),
            (Place::DataLineEnd, b'\n') => Ok(Place::Size { value: 0, digits: 0 }),
            (Place::TrailerStart, b'\r') => Ok(Place::End),
            (Place::TrailerStart | Place::TrailerName, _) if is_token(&[byte]) => {
                self.discard(Place::TrailerName)
            }
            (Place::TrailerName, b':') => self.discard(Place::TrailerValue),
            (Place::TrailerValue, b'\r') => Ok(Place::TrailerEnd),
            (Place::TrailerValue, _) if is_text(byte) => self.discard(Place::TrailerValue),
            (Place::TrailerEnd, b'\n') => Ok(Place::TrailerStart),
            (Place::End, b'\n') => Ok(Place::Complete),
            _ => Err(BodyError::ChunkMalformed),
        }
    }

    /// Goes on behind a byte that nobody needs.
    fn discard(&mut self, next: Place) -> Result<Place, BodyError> {
        self.extra += 1;
        if self.extra > EXTRA_MAX_BYTES { Err(BodyError::ExtraTooLong) } else { Ok(next) }
    }
}

/// Where in the body the next byte stands; see the picture of the module.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    /// In a body of known length, of which so much is to come.
    Whole(u64),
    Size {
        value: u64,
        digits: u8,
    },
    Extension(u64),
    SizeEnd(u64),
    /// In a chunk, of which so much is to come.
    Data(u64),
    DataEnd,
    DataLineEnd,
    TrailerStart,
    TrailerName,
    TrailerValue,
    TrailerEnd,
    /// After the CR of the empty line.
    End,
    Complete,
}

/// Appends as many of the bytes as there are, and as are wanted.
fn take(bytes: &[u8], wanted: u64, body: &mut Vec<u8>) -> usize {
    let len = usize::try_from(wanted).unwrap_or(usize::MAX).min(bytes.len());
    body.extend_from_slice(&bytes[..len]);
    len
}

/// RFC 9110 §5.5: what a field value may hold; in particular neither CR nor LF.
fn is_text(byte: u8) -> bool {
    matches!(byte, b'\t' | b' '..=b'~' | 0x80..)
}

/// Sixteen hexadecimal digits are all that 64 bits can hold.
const SIZE_DIGITS_MAX: u8 = 16;

/// Extensions and trailers of one body, together.
const EXTRA_MAX_BYTES: usize = 16 * 1024;

macro_rules! body_errors {
    ($($(#[doc = $doc:literal])* $name:ident $status:literal $section:literal $text:literal;)*) => {
        /// Why a body is refused. After any of these nobody knows where the next message begins:
        /// the connection must be closed.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum BodyError {
            $(
                $(#[doc = $doc])*
                #[doc = ""]
                #[doc = concat!("Status ", $status, ", ", $section, ".")]
                $name,
            )*
        }

        impl BodyError {
            /// Every error there is, in the order of the table.
            pub const ALL: &[BodyError] = &[$(BodyError::$name,)*];

            /// The HTTP status code of the answer.
            pub const fn status(self) -> u16 {
                match self { $(BodyError::$name => $status,)* }
            }

            /// The section of the standard that is broken, or that allows the refusal.
            pub const fn section(self) -> &'static str {
                match self { $(BodyError::$name => $section,)* }
            }

            /// What is wrong, in a few words.
            pub const fn text(self) -> &'static str {
                match self { $(BodyError::$name => $text,)* }
            }
        }
    };
}

body_errors! {
    /// A `Content-Length` that is no number.
    LengthMalformed 400 "RFC 9110 §8.6" "malformed Content-Length";
    /// Two or more of `Content-Length`.
    LengthRepeated 400 "RFC 9110 §8.6" "more than one Content-Length";
    /// `Content-Length` beside `Transfer-Encoding`.
    LengthAndCoding 400 "RFC 9112 §6.3" "both Content-Length and Transfer-Encoding";
    /// `Transfer-Encoding` in HTTP/1.0, which has none.
    CodingTooNew 400 "RFC 9112 §6.1" "Transfer-Encoding in http/1.0";
    /// `chunked` twice, or what is no coding.
    CodingMalformed 400 "RFC 9112 §6.3" "malformed Transfer-Encoding";
    /// A transfer coding other than `chunked`.
    CodingUnknown 501 "RFC 9112 §6.1" "transfer coding not known";
    /// A byte that does not belong where it stands.
    ChunkMalformed 400 "RFC 9112 §7.1" "malformed chunk";
    /// Extensions and trailers without end.
    ExtraTooLong 400 "RFC 9112 §7.1.1" "chunk extensions or trailers too long";
    /// More bytes than allowed, announced or received.
    TooLarge 413 "RFC 9110 §15.5.14" "body too large";
    /// An `Expect` of something other than `100-continue`.
    ExpectationUnknown 417 "RFC 9110 §10.1.1" "expectation not known";
}

impl fmt::Display for BodyError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.text())
    }
}

impl std::error::Error for BodyError {}

/// The answer to a request whose body is refused: status, and a line of text that names the rule.
impl From<BodyError> for Response {
    fn from(error: BodyError) -> Response {
        Response::text(error.status(), format!("{error} ({})\n", error.section()))
    }
}
