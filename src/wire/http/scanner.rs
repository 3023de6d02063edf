//! Finding the end of a head while its bytes arrive.
//!
//! ```text
//!            CR         LF
//!   Line ───────► LineEnd ───► LineStart ──── CR ───► HeadEnd ── LF ──► found
//!    ▲                             │
//!    └───────── any text ──────────┘
//! ```
//!
//! Everything else is an error at the very byte where it happens: a LF without its CR, a CR without
//! its LF, a line that begins with white space, a control character. Parsers that forgive these
//! disagree about where a request ends, and whoever sits between two such parsers can smuggle a
//! request past one of them.

use crate::wire::handshake::HandshakeError;

/// Finds the empty line that ends a head, and begins where the last search stopped.
///
/// The whole cost is one step per byte of the head, however the network cuts it: a scanner that
/// began at the front each time would take minutes over a long head sent byte by byte.
#[derive(Clone, Copy, Debug, Default)]
pub struct HeadScanner {
    /// Invariant: every byte before this one has been judged.
    searched: usize,
    place: Place,
}

impl HeadScanner {
    /// Looks for the end of the head in `bytes`, which holds everything received so far.
    ///
    /// Each call must be given the same bytes as the call before, and more. The answer is the
    /// length of the head with its final CR LF CR LF; `None` asks for more bytes.
    ///
    /// # Errors
    ///
    /// [`HandshakeError::HeadTooLarge`] as soon as the head cannot end within `max` bytes, and
    /// the errors of the module's picture. An error stays: the next call gives it again.
    pub fn find_end(&mut self, bytes: &[u8], max: usize) -> Result<Option<usize>, HandshakeError> {
        let end = bytes.len().min(max);
        while self.searched < end {
            self.place = match (self.place, bytes[self.searched]) {
                (Place::LineEnd, b'\n') => Place::LineStart,
                (Place::HeadEnd, b'\n') => return Ok(Some(self.searched + 1)),
                // RFC 9112 §2.2: a bare CR is invalid, and a server may be lenient with a bare
                // LF. We are not: see the module's comment.
                (Place::LineEnd | Place::HeadEnd, _) | (_, b'\n') => {
                    return Err(HandshakeError::LineEndMalformed);
                }
                (Place::LineStart, b'\r') => Place::HeadEnd,
                (Place::Line, b'\r') => Place::LineEnd,
                // RFC 9112 §5.2: a server MUST reject a folded line or unfold it. We reject.
                (Place::LineStart, b' ' | b'\t') => return Err(HandshakeError::LineFolded),
                (_, b'\t' | b' '..=b'~' | 0x80..) => Place::Line,
                // RFC 9110 §5.5: CR, LF and NUL in a field value are dangerous, other control
                // characters are invalid.
                _ => return Err(HandshakeError::ControlCharacter),
            };
            self.searched += 1;
        }
        if bytes.len() >= max { Err(HandshakeError::HeadTooLarge) } else { Ok(None) }
    }
}

/// Where in the head the next byte stands.
#[derive(Clone, Copy, Debug, Default)]
enum Place {
    /// In a line. A head begins here, so that one empty line before the request line is skipped:
    /// RFC 9112 §2.2 asks servers for that much patience.
    #[default]
    Line,
    /// After the CR of a line.
    LineEnd,
    /// After the LF of a line.
    LineStart,
    /// After the CR of an empty line.
    HeadEnd,
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEAD: &[u8] = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n";

    #[test]
    fn the_end_is_found_and_found_again() {
        let mut scanner = HeadScanner::default();
        let mut bytes = HEAD.to_vec();
        bytes.extend_from_slice(&[0x81, 0x00]); // a frame sent without waiting for the answer
        assert_eq!(scanner.find_end(&bytes, 100), Ok(Some(HEAD.len())));
        assert_eq!(scanner.find_end(&bytes, 100), Ok(Some(HEAD.len())));
    }

    #[test]
    fn every_split_gives_none_and_then_the_same_end() {
        for split in 0..HEAD.len() {
            let mut scanner = HeadScanner::default();
            assert_eq!(scanner.find_end(&HEAD[..split], 100), Ok(None), "split at {split}");
            assert_eq!(scanner.find_end(HEAD, 100), Ok(Some(HEAD.len())), "split at {split}");
        }
    }

    #[test]
    fn one_byte_reads_judge_each_byte_once() {
        let mut scanner = HeadScanner::default();
        for len in 0..HEAD.len() {
            assert_eq!(scanner.find_end(&HEAD[..len], 100), Ok(None));
            assert_eq!(scanner.searched, len);
        }
    }

    #[test]
    fn a_head_of_exactly_the_limit_passes_and_one_byte_more_does_not() {
        let len = HEAD.len();
        assert_eq!(HeadScanner::default().find_end(HEAD, len), Ok(Some(len)));
        let error = Err(HandshakeError::HeadTooLarge);
        assert_eq!(HeadScanner::default().find_end(HEAD, len - 1), error);
        // Without the last byte the head cannot end within the limit any more.
        assert_eq!(HeadScanner::default().find_end(&HEAD[..len - 1], len - 1), error);
        assert_eq!(HeadScanner::default().find_end(&HEAD[..len - 1], len), Ok(None));
    }

    #[test]
    fn a_bad_byte_is_an_error_at_once() {
        use HandshakeError::{ControlCharacter, LineEndMalformed, LineFolded};
        let table: [(&[u8], HandshakeError); 8] = [
            (b"GET / HTTP/1.1\n", LineEndMalformed),
            (b"GET / HTTP/1.1\rH", LineEndMalformed),
            (b"GET / HTTP/1.1\r\nHost: a\r\n\rx", LineEndMalformed),
            (b"GET / HTTP/1.1\r\nHost: a\r\n\n", LineEndMalformed),
            (b"GET / HTTP/1.1\r\n Host", LineFolded),
            (b"GET / HTTP/1.1\r\nHost: a\r\n\t", LineFolded),
            (b"GET /\0", ControlCharacter),
            (b"\x16\x03\x01", ControlCharacter), // the first bytes of a TLS client
        ];
        for (bytes, error) in table {
            let mut scanner = HeadScanner::default();
            assert_eq!(scanner.find_end(bytes, 100), Err(error));
            assert_eq!(scanner.find_end(bytes, 100), Err(error), "an error stays");
        }
    }
}
