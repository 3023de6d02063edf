//! A light-weight reader of a server's frames.
//!
//! `protocol::Connection` assembles messages and validates text, which is what a client needs. A
//! load generator needs to know where messages begin and end, at the lowest price: a message that
//! lies whole in the read buffer is handed on where it lies, one that does not is handed on in
//! pieces, and nothing is copied but cut headers and control frames.
//!
//! ```text
//! one read:  ... 5d e2 | 82 7d [125 bytes] | 82 7d [125 bytes] | 82 7d [80 bytes
//!            '-piece-'   '---- whole ----'   '---- whole ----'   '---- piece ----
//! ```

use crate::wire::{FrameHeader, Opcode, Parsed, ProtocolError};

/// Who is told what comes.
pub trait Sink {
    /// A message, in one frame and whole.
    fn whole(&mut self, opcode: Opcode, payload: &[u8]);

    /// A part of a message. `offset` is its place in the message.
    fn piece(&mut self, offset: u64, payload: &[u8]);

    /// The end of a message that came in pieces, and its length in bytes.
    fn end(&mut self, opcode: Opcode, len: u64);

    /// A control frame, whole.
    fn control(&mut self, opcode: Opcode, payload: &[u8]);
}

/// Where one connection is within its frames.
#[derive(Debug, Default)]
pub struct Scanner {
    /// A header that was cut by the end of a read.
    cut: [u8; FrameHeader::LEN_MAX],
    cut_len: u8,
    frame: Option<Frame>,
    /// The kind of message that has begun and not ended, and how much of it has been handed on.
    message: Option<(Opcode, u64)>,
    /// The payload of the control frame that is under way.
    control: Vec<u8>,
}

/// A frame whose payload has not come whole.
#[derive(Clone, Copy, Debug)]
struct Frame {
    opcode: Opcode,
    fin: bool,
    left: u64,
}

impl Scanner {
    /// Goes through the next bytes that a connection received.
    ///
    /// # Errors
    ///
    /// The rule that the server's frames break; the connection is of no use afterwards.
    #[inline]
    pub fn feed(&mut self, mut bytes: &[u8], sink: &mut impl Sink) -> Result<(), ProtocolError> {
        loop {
            if let Some(frame) = self.frame {
                self.payload(frame, &mut bytes, sink);
                if self.frame.is_some() {
                    return Ok(());
                }
            }
            if self.cut_len == 0 && self.message.is_none() {
                while let Some((opcode, payload, rest)) = whole(bytes) {
                    sink.whole(opcode, payload);
                    bytes = rest;
                }
            }
            let Some(header) = self.header(&mut bytes)? else { return Ok(()) };
            let starts = matches!(header.opcode, Opcode::Text | Opcode::Binary);
            let simple = starts && header.fin && self.message.is_none() && is_plain(&header);
            if simple && header.payload_len <= bytes.len() as u64 {
                let (payload, rest) = bytes.split_at(header.payload_len as usize);
                sink.whole(header.opcode, payload);
                bytes = rest;
            } else {
                self.begin(&header)?;
            }
        }
    }

    /// The next header, if it has come whole.
    #[inline]
    fn header(&mut self, bytes: &mut &[u8]) -> Result<Option<FrameHeader>, ProtocolError> {
        if self.cut_len == 0 {
            return match FrameHeader::parse(bytes)? {
                Parsed::Complete { value, len } => {
                    *bytes = &bytes[len..];
                    Ok(Some(value))
                }
                Parsed::Partial => {
                    self.cut[..bytes.len()].copy_from_slice(bytes);
                    self.cut_len = bytes.len() as u8;
                    Ok(None)
                }
            };
        }
        while let Some((first, rest)) = bytes.split_first() {
            // Invariant: a header is complete with its 14th byte, so there is room for this one.
            self.cut[usize::from(self.cut_len)] = *first;
            self.cut_len += 1;
            *bytes = rest;
            let cut = &self.cut[..usize::from(self.cut_len)];
            if let Parsed::Complete { value, .. } = FrameHeader::parse(cut)? {
                self.cut_len = 0;
                return Ok(Some(value));
            }
        }
        Ok(None)
    }

    /// The start of a frame that is not simply a whole message.
    fn begin(&mut self, header: &FrameHeader) -> Result<(), ProtocolError> {
        // RFC 6455 §5.1: a server MUST NOT mask any frames that it sends.
        if header.masking_key.is_some() {
            return Err(ProtocolError::MaskForbidden);
        }
        // RFC 6455 §5.2: no extension was negotiated that could give them a meaning.
        if !header.rsv.is_none() {
            return Err(ProtocolError::ReservedBits);
        }
        // RFC 6455 §5.4: fragments of a message MUST NOT be interleaved with those of another.
        match (header.opcode, self.message) {
            (Opcode::Continuation, None) => return Err(ProtocolError::UnexpectedContinuation),
            (Opcode::Text | Opcode::Binary, Some(_)) => {
                return Err(ProtocolError::ExpectedContinuation);
            }
            (Opcode::Text | Opcode::Binary, None) => self.message = Some((header.opcode, 0)),
            _ => {}
        }
        let FrameHeader { opcode, fin, payload_len: left, .. } = *header;
        self.frame = Some(Frame { opcode, fin, left });
        Ok(())
    }

    /// What has come of the payload of a frame.
    fn payload(&mut self, frame: Frame, bytes: &mut &[u8], sink: &mut impl Sink) {
        let taken = usize::try_from(frame.left).unwrap_or(usize::MAX).min(bytes.len());
        let (payload, rest) = bytes.split_at(taken);
        *bytes = rest;
        let left = frame.left - taken as u64;
        self.frame = (left > 0).then_some(Frame { left, ..frame });
        if frame.opcode.is_control() {
            self.control.extend_from_slice(payload);
            if left == 0 {
                sink.control(frame.opcode, &self.control);
                self.control = Vec::new();
            }
            return;
        }
        let Some((opcode, offset)) = self.message else { return };
        if !payload.is_empty() {
            sink.piece(offset, payload);
        }
        let offset = offset + taken as u64;
        self.message = Some((opcode, offset));
        if left == 0 && frame.fin {
            self.message = None;
            sink.end(opcode, offset);
        }
    }
}

/// The common case, at a fraction of the price: a message in one frame of at most 65,535 bytes that
/// has come whole, and what is behind it. Everything else is `None`, right or wrong.
#[inline]
fn whole(bytes: &[u8]) -> Option<(Opcode, &[u8], &[u8])> {
    let [first, second, rest @ ..] = bytes else { return None };
    // FIN, and no reserved bit.
    let opcode = match first {
        0x81 => Opcode::Text,
        0x82 => Opcode::Binary,
        _ => return None,
    };
    let (payload_len, rest) = match second {
        0..=125 => (usize::from(*second), rest),
        126 => {
            let (len, rest) = rest.split_first_chunk()?;
            (usize::from(u16::from_be_bytes(*len)), rest)
        }
        // A mask is among the others.
        _ => return None,
    };
    // RFC 6455 §5.2: the minimal number of bytes MUST be used; the general case says so.
    if *second == 126 && payload_len < 126 {
        return None;
    }
    let (payload, rest) = rest.split_at_checked(payload_len)?;
    Some((opcode, payload, rest))
}

/// Neither masked nor with a reserved bit set.
fn is_plain(header: &FrameHeader) -> bool {
    header.masking_key.is_none() && header.rsv.is_none()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::{MaskingKey, Rsv};

    #[derive(Debug, Default, PartialEq)]
    struct Heard {
        open: Vec<u8>,
        messages: Vec<(Opcode, Vec<u8>)>,
        controls: Vec<(Opcode, Vec<u8>)>,
    }

    impl Sink for Heard {
        fn whole(&mut self, opcode: Opcode, payload: &[u8]) {
            assert!(self.open.is_empty());
            self.messages.push((opcode, payload.to_vec()));
        }

        fn piece(&mut self, offset: u64, payload: &[u8]) {
            assert_eq!(offset, self.open.len() as u64);
            self.open.extend_from_slice(payload);
        }

        fn end(&mut self, opcode: Opcode, len: u64) {
            assert_eq!(len, self.open.len() as u64);
            self.messages.push((opcode, std::mem::take(&mut self.open)));
        }

        fn control(&mut self, opcode: Opcode, payload: &[u8]) {
            self.controls.push((opcode, payload.to_vec()));
        }
    }

    fn frame(out: &mut Vec<u8>, fin: bool, opcode: Opcode, payload: &[u8]) {
        let payload_len = payload.len() as u64;
        FrameHeader { fin, rsv: Rsv::NONE, opcode, masking_key: None, payload_len }.write(out);
        out.extend_from_slice(payload);
    }

    #[test]
    fn messages_are_the_same_however_the_bytes_are_cut() {
        let (mut bytes, mut wanted) = (Vec::new(), Heard::default());
        for len in [0, 1, 125, 126, 300, 65_535, 65_536, 70_000, 0, 5] {
            let payload: Vec<u8> = (0..len).map(|at| at as u8).collect();
            frame(&mut bytes, true, Opcode::Binary, &payload);
            wanted.messages.push((Opcode::Binary, payload));
        }
        frame(&mut bytes, false, Opcode::Text, b"one, ");
        frame(&mut bytes, true, Opcode::Ping, b"there?");
        frame(&mut bytes, false, Opcode::Continuation, b"");
        frame(&mut bytes, true, Opcode::Continuation, b"two");
        frame(&mut bytes, true, Opcode::Close, &[0x03, 0xE8]);
        wanted.messages.push((Opcode::Text, b"one, two".to_vec()));
        wanted.controls.push((Opcode::Ping, b"there?".to_vec()));
        wanted.controls.push((Opcode::Close, vec![0x03, 0xE8]));
        for cut in [1, 2, 3, 7, 9, 10, 11, 1000, 65_536, bytes.len()] {
            let (mut scanner, mut heard) = (Scanner::default(), Heard::default());
            for chunk in bytes.chunks(cut) {
                scanner.feed(chunk, &mut heard).unwrap();
            }
            assert!(heard == wanted, "cut {cut}");
        }
    }

    #[test]
    fn broken_rules_are_named() {
        let masked = FrameHeader {
            fin: true,
            rsv: Rsv::NONE,
            opcode: Opcode::Text,
            masking_key: Some(MaskingKey([1, 2, 3, 4])),
            payload_len: 0,
        };
        let cases: [(&[u8], ProtocolError); 6] = [
            (&masked.encode(), ProtocolError::MaskForbidden),
            (&[0xC1, 0x00], ProtocolError::ReservedBits),
            (&[0x80, 0x00], ProtocolError::UnexpectedContinuation),
            (&[0x01, 0x00, 0x81, 0x00], ProtocolError::ExpectedContinuation),
            (&[0x83, 0x00], ProtocolError::ReservedOpcode),
            (&[0x82, 0x7E, 0x00, 0x01, 0x00], ProtocolError::LengthNotMinimal),
        ];
        for (bytes, wanted) in cases {
            let error = Scanner::default().feed(bytes, &mut Heard::default());
            assert_eq!(error, Err(wanted), "{bytes:02x?}");
        }
    }
}
