//! The part of a connection that is about permessage-deflate (RFC 7692).
//!
//! ```text
//!   c1 87 37fa213d ..    FIN, RSV1, Text: a compressed message in one frame
//!   41 83 37fa213d ..    RSV1, Text: the first fragment of one ...
//!   80 84 37fa213d ..    FIN, Continuation: ... and its last. RSV1 is set on the first alone
//! ```
//!
//! Nothing here is on the way of a connection that has agreed nothing, but for one look at
//! [`Terms`] when it sends, and at the reserved bits of what it receives.
//!
//! What this file does not know: how a message is compressed.

use super::{Connection, Step, judge_mask};
use crate::outbox::{Frame, Outbox};
use crate::protocol::deflate::Terms;
use crate::protocol::endpoint::Endpoint;
use crate::protocol::input::Input;
use crate::protocol::message::{Assembled, Coding, MessageKind};
use crate::wire::{DeflateAgreement, FrameHeader, Opcode, ProtocolError, Rsv};

impl Connection {
    /// What the opening handshake has agreed about compression; to be told before the first frame.
    ///
    /// With context takeover in a direction, memory for its window is taken with the first message
    /// that is compressed: [`Endpoint::deflate_contexts`] counts the connections that may.
    pub fn agree(&mut self, endpoint: &Endpoint, agreed: &DeflateAgreement) {
        (self.terms, self.context) = endpoint.agree(agreed);
    }

    /// Whether messages that are sent may be compressed.
    #[inline]
    pub fn compresses(&self) -> bool {
        self.terms.is_agreed()
    }

    /// Queues one message whose payload is `parts` in a row, compressed, if that was agreed and
    /// makes it shorter; `false` if it is to be sent as it is. Whoever calls knows that it may be
    /// sent at all.
    #[cold]
    pub fn write_compressed(
        &mut self,
        endpoint: &Endpoint,
        kind: MessageKind,
        parts: &[&[u8]],
        out: &mut Outbox,
    ) -> bool {
        let context = self.context.as_deref_mut();
        self.terms.is_agreed()
            && endpoint.write_compressed(self.terms, context, kind.opcode(), parts, out)
    }

    /// Queues a frame that is encoded already, or its compressed form, which it remembers for all
    /// connections that have agreed to the same. One that remembers nothing is for few, and
    /// compressed as a message of this connection alone.
    #[cold]
    pub fn write_for_many(&mut self, endpoint: &Endpoint, frame: &Frame, out: &mut Outbox) {
        if !frame.has_encodings() {
            let context = self.context.as_deref_mut();
            if !endpoint.compress_for_one(self.terms, context, frame, out) {
                endpoint.queue_frame(frame, out);
            }
            return;
        }
        let window = self.terms.window();
        let compressed = frame.encoding(window.bits(), || endpoint.compress_frame(window, frame));
        if let (Some(_), Some(context)) = (compressed, &mut self.context) {
            context.forget_sent();
        }
        endpoint.queue_frame(compressed.unwrap_or(frame), out);
    }

    /// A frame with reserved bits: the first of a compressed message, or an error.
    #[cold]
    pub(super) fn compressed_frame<'b>(
        &mut self,
        endpoint: &Endpoint,
        header: &FrameHeader,
        input: &mut Input<'b>,
    ) -> Result<Option<Step<'b>>, ProtocolError> {
        judge_mask(endpoint, header)?;
        // RFC 6455 §5.2: reserved bits MUST be 0 unless an extension is negotiated.
        if header.rsv != Rsv::RSV1 || !self.terms.is_agreed() {
            return Err(ProtocolError::ReservedBits);
        }
        // RFC 7692 §6: MUST NOT be set on control frames and on other fragments than the first.
        let kind = match header.opcode {
            Opcode::Text => MessageKind::Text,
            Opcode::Binary => MessageKind::Binary,
            _ => return Err(ProtocolError::CompressedBitMisplaced),
        };
        if self.cut.is_some() {
            return Err(ProtocolError::ExpectedContinuation);
        }
        if header.payload_len > endpoint.compressed_max_bytes() {
            return Err(ProtocolError::MessageTooBig);
        }
        if header.payload_len > input.len() as u64 {
            self.begin_payload(header);
            return Ok(None);
        }
        let payload = input.take(header.payload_len as usize);
        if let Some(key) = header.masking_key {
            key.apply(payload);
        }
        if header.fin {
            return self.inflate(endpoint, kind, payload).map(Step::Assembled).map(Some);
        }
        self.collect(endpoint, header.opcode, Coding::Compressed, payload, None)?;
        Ok(None)
    }

    /// How many bytes the message in progress may still grow by, as it comes.
    pub(super) fn room(&self, endpoint: &Endpoint) -> u64 {
        let Some(message) = self.message_in_progress() else { return endpoint.message_max_bytes };
        let max_bytes = match message.coding() {
            Coding::Plain => endpoint.message_max_bytes,
            Coding::Compressed => endpoint.compressed_max_bytes(),
        };
        // Less than nothing if the limit was lowered meanwhile.
        max_bytes.saturating_sub(message.len() as u64)
    }

    /// A message whose last frame is complete, as the application gets it.
    pub(super) fn finished(
        &mut self,
        endpoint: &Endpoint,
        message: Assembled,
    ) -> Result<Assembled, ProtocolError> {
        if message.coding() == Coding::Plain {
            message.finish().map_err(|_| ProtocolError::TextNotUtf8)?;
            return Ok(message);
        }
        let (kind, buffer, len) = message.into_parts();
        let message = self.inflate(endpoint, kind, &buffer[..len]);
        endpoint.pool().keep_buffer(buffer);
        message
    }

    fn inflate(
        &mut self,
        endpoint: &Endpoint,
        kind: MessageKind,
        compressed: &[u8],
    ) -> Result<Assembled, ProtocolError> {
        endpoint.inflate(self.terms, self.context.as_deref_mut(), kind, compressed)
    }

    /// Nothing is compressed any more.
    pub(super) fn forget_agreement(&mut self) {
        self.terms = Terms::NONE;
        self.context = None;
    }
}
