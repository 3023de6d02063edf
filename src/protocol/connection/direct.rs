//! The way around the read buffer: the payload of a large frame is read to where it belongs.
//!
//! ```text
//!   82 ff 0000000000100000 key | payload ...         the header, by `advance`; 1 MiB announced
//!                              +-- space() -> read(2) -> filled(n) -> ... -> Assembled
//! ```
//!
//! What this file does not know: who reads.

use super::{Connection, State, Step};
use crate::outbox::Outbox;
use crate::protocol::endpoint::Endpoint;
use crate::wire::ProtocolError;

impl Connection {
    /// Where the payload of a large cut frame belongs, so that whoever reads the socket can put it
    /// there at once, without the detour of an [`Input`](crate::protocol::Input); then
    /// [`filled`](Connection::filled).
    ///
    /// `None` if the rest of the frame is not worth it, or something else comes next.
    pub fn space(&mut self, endpoint: &Endpoint) -> Option<&mut [u8]> {
        let frame = self.cut_frame().filter(|frame| !frame.opcode.is_control())?;
        let rest = frame.payload_len - frame.done;
        if rest < SPACE_MIN_BYTES || self.state == State::Ended {
            return None;
        }
        Some(self.message_begun(frame.opcode, frame.coding).space(rest, &mut endpoint.pool()))
    }

    /// Consumes the first `len` bytes of the [`space`](Connection::space), as
    /// [`advance`](Connection::advance) consumes input. [`Step::NeedInput`] if more is to come.
    ///
    /// # Panics
    ///
    /// If `len` is more than the space had: the caller's bug, never the peer's.
    pub fn filled(&mut self, endpoint: &Endpoint, len: usize, out: &mut Outbox) -> Step<'static> {
        match self.try_filled(endpoint, len) {
            Ok(step) => step.unwrap_or(Step::NeedInput),
            Err(error) => {
                self.fail(endpoint, error, out);
                Step::Failed(error)
            }
        }
    }

    fn try_filled(
        &mut self,
        endpoint: &Endpoint,
        len: usize,
    ) -> Result<Option<Step<'static>>, ProtocolError> {
        let Some(mut frame) = self.cut_frame() else { return Ok(None) };
        let message = self.message_begun(frame.opcode, frame.coding);
        if let Some(key) = frame.key {
            key.apply_at(frame.done, message.unfilled(len));
        }
        message.fill(len).map_err(|_| ProtocolError::TextNotUtf8)?;
        frame.done += len as u64;
        let complete = frame.done == frame.payload_len;
        self.cut.get_or_insert_default().frame = (!complete).then_some(frame);
        if complete { self.end_of_data_frame(endpoint, frame.fin) } else { Ok(None) }
    }
}

/// Less than this is not worth a read of its own: the next frames come with it.
const SPACE_MIN_BYTES: u64 = 32 * 1024;
