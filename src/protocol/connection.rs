//! The state machine of one connection, from the end of the opening handshake to its own end.
//!
//! RFC 6455 §7: the life of a connection, as this file sees it.
//!
//! ```text
//!            we send Close               the peer's Close
//!   Open ------------------> Closing --------------------> Ended
//!     |                                                      ^
//!     +-- the peer's Close (answered with ours) -------------+
//!     +-- the peer breaks a rule (Close with the rule's code)+
//! ```
//!
//! A rule can be broken while `Closing` too; that ends the connection the same way, but no endpoint
//! sends a second Close. Once `Ended`, nothing that arrives is looked at any more: ignoring is a
//! state, not a condition.
//!
//! A frame, as it is consumed. Everything that can be judged by its header is judged before a byte
//! of payload is kept:
//!
//! ```text
//!   81 85 37 fa 21 3d 7f 9f 4d 51 58
//!   |  |  +--key----+ +--payload---+---- whole in the input: unmasked there, borrowed from there
//!   |  +-- mask bit right for our role? length minimal, within the limits?
//!   +----- reserved bits? known opcode? does it fit the fragments before it?
//! ```
//!
//! What this module does not know: sockets, users, clocks, and what the messages mean.

mod compressed;
mod direct;

use std::borrow::Cow;

use super::deflate::{Context, Terms};
use super::endpoint::{Endpoint, Role};
use super::input::Input;
use super::message::{Assembled, Coding, Message, MessageKind};
use crate::outbox::Outbox;
use crate::wire::utf8::validate;
use crate::wire::{
    CloseCode, ClosePayload, FrameHeader, MaskingKey, Opcode, Parsed, ProtocolError,
};

/// What [`Connection::advance`] came to.
#[derive(Debug)]
#[must_use]
pub enum Step<'b> {
    /// The input is used up; the rest of what it began must arrive first.
    NeedInput,
    /// A message that lay whole in the input.
    Message(Message<'b>),
    /// A message that was cut by reads or into fragments.
    Assembled(Assembled),
    /// A Ping; the Pong is queued already.
    Ping(Cow<'b, [u8]>),
    /// A Pong, asked for or not.
    Pong(Cow<'b, [u8]>),
    /// The peer's Close ([`CloseCode::NO_STATUS`] if it carried none). The answer, if one was due,
    /// is queued; flush it, then end the TCP connection.
    Closed {
        /// The close code as received.
        code: CloseCode,
        /// The close reason as received, at most 123 bytes.
        reason: Cow<'b, str>,
    },
    /// The peer broke a rule. The Close that says so is queued, unless one was before; flush it,
    /// then end the TCP connection (RFC 6455 §7.1.7, "fail the WebSocket connection").
    Failed(ProtocolError),
}

/// Where a connection stands in its life.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum State {
    /// Messages flow both ways.
    #[default]
    Open,
    /// We have sent Close and wait for the peer's.
    Closing,
    /// Nothing is read or sent any more.
    Ended,
}

/// The state machine of one connection; see the [module](super).
#[derive(Debug, Default)]
pub struct Connection {
    state: State,
    /// What was agreed about compression.
    terms: Terms,
    /// What is kept of cut frames and fragmented messages; none between whole messages.
    cut: Option<Box<Cut>>,
    /// The windows that are kept between messages, with context takeover.
    context: Option<Box<Context>>,
}

/// A frame of which some payload is still to come.
#[derive(Clone, Copy, Debug)]
struct CutFrame {
    opcode: Opcode,
    coding: Coding,
    fin: bool,
    key: Option<MaskingKey>,
    payload_len: u64,
    /// Payload bytes consumed. Invariant: `done < payload_len`.
    done: u64,
}

/// What few connections have at any time, so that an idle one is small.
/// Invariant: between two frames there is a message in progress, or else no `Cut`.
#[derive(Debug, Default)]
struct Cut {
    /// A header that the end of a read cut: its first `header_len` bytes.
    header: [u8; FrameHeader::LEN_MAX],
    header_len: u8,
    /// The frame whose payload the end of a read cut.
    frame: Option<CutFrame>,
    /// Frames of the message in progress, the first one included.
    frames: u64,
    /// The data message in progress.
    message: Option<Assembled>,
    /// The control frame in progress, which may stand between its fragments.
    control: Vec<u8>,
}

impl Connection {
    /// A connection that has just been opened.
    pub fn new() -> Connection {
        Connection::default()
    }

    /// Where it stands.
    pub fn state(&self) -> State {
        self.state
    }

    /// Bytes that the message in progress takes here: those that came of it, and the
    /// [`space`](Connection::space) for those that come next.
    #[inline]
    pub fn collected(&self) -> usize {
        self.message_in_progress().map_or(0, Assembled::taken)
    }

    /// Consumes input up to the next event, and queues what the protocol answers by itself.
    ///
    /// Call it until it returns [`Step::NeedInput`]: then all of `input` is consumed.
    #[inline]
    pub fn advance<'b>(
        &mut self,
        endpoint: &Endpoint,
        input: &mut Input<'b>,
        out: &mut Outbox,
    ) -> Step<'b> {
        match self.try_advance(endpoint, input, out) {
            Ok(step) => step,
            Err(error) => {
                self.fail(endpoint, error, out);
                Step::Failed(error)
            }
        }
    }

    /// Queues a message; `false` if a Close was sent already, after which RFC 6455 §5.5.1 allows
    /// no more data frames.
    #[inline]
    pub fn send(&mut self, endpoint: &Endpoint, message: Message<'_>, out: &mut Outbox) -> bool {
        self.send_parts(endpoint, message.kind(), &[message.as_bytes()], out)
    }

    /// Queues one message whose payload is `parts` in a row; text parts must be UTF-8 together.
    #[inline]
    pub fn send_parts(
        &mut self,
        endpoint: &Endpoint,
        kind: MessageKind,
        parts: &[&[u8]],
        out: &mut Outbox,
    ) -> bool {
        let open = self.state == State::Open;
        if open {
            let compressed = self.compresses() && self.write_compressed(endpoint, kind, parts, out);
            if !compressed {
                endpoint.write_frame(kind.opcode(), parts, out);
            }
        }
        open
    }

    /// Queues a Ping with at most 125 bytes of payload (more are cut off).
    pub fn ping(&self, endpoint: &Endpoint, payload: &[u8], out: &mut Outbox) {
        if self.state == State::Open {
            let len = payload.len().min(CONTROL_MAX_BYTES);
            endpoint.write_frame(Opcode::Ping, &[&payload[..len]], out);
        }
    }

    /// Begins the closing handshake (RFC 6455 §7.1.2): queues Close and waits for the peer's.
    /// Without effect if one was sent before.
    pub fn close(&mut self, endpoint: &Endpoint, code: CloseCode, reason: &str, out: &mut Outbox) {
        if self.state == State::Open {
            write_close(endpoint, code, reason, out);
            self.state = State::Closing;
        }
    }

    /// Fails the connection with a code of our own choice: queues Close, and looks at nothing that
    /// arrives from now on.
    pub fn abort(&mut self, endpoint: &Endpoint, code: CloseCode, reason: &str, out: &mut Outbox) {
        if self.state == State::Open {
            write_close(endpoint, code, reason, out);
        }
        self.end();
    }

    #[cold]
    fn fail(&mut self, endpoint: &Endpoint, error: ProtocolError, out: &mut Outbox) {
        self.abort(endpoint, error.close_code(), &error.to_string(), out);
    }

    fn end(&mut self) {
        self.state = State::Ended;
        self.cut = None;
        self.forget_agreement();
    }

    #[inline]
    fn try_advance<'b>(
        &mut self,
        endpoint: &Endpoint,
        input: &mut Input<'b>,
        out: &mut Outbox,
    ) -> Result<Step<'b>, ProtocolError> {
        loop {
            if self.state == State::Ended {
                input.take_all();
                return Ok(Step::NeedInput);
            }
            if let Some(frame) = self.cut_frame() {
                if input.is_empty() {
                    return Ok(Step::NeedInput);
                }
                if let Some(step) = self.continue_payload(endpoint, frame, input, out)? {
                    return Ok(step);
                }
                continue;
            }
            let header = if !self.has_cut_header() {
                match FrameHeader::parse(input.as_bytes())? {
                    Parsed::Complete { value, len } => {
                        input.take(len);
                        value
                    }
                    Parsed::Partial => {
                        self.keep_header(input.take_all());
                        return Ok(Step::NeedInput);
                    }
                }
            } else {
                let Some(header) = self.rest_of_header(input)? else { return Ok(Step::NeedInput) };
                header
            };
            if !header.rsv.is_none() {
                match self.compressed_frame(endpoint, &header, input)? {
                    Some(step) => return Ok(step),
                    None => continue,
                }
            }
            self.judge(endpoint, &header)?;
            if header.payload_len > input.len() as u64 {
                self.begin_payload(&header);
                continue;
            }
            let payload = input.take(header.payload_len as usize);
            if let Some(key) = header.masking_key {
                key.apply(payload);
            }
            match header.opcode {
                // Nearly always: a message of one frame, which lies whole in the input.
                Opcode::Binary if header.fin => return Ok(Step::Message(Message::Binary(payload))),
                Opcode::Text if header.fin => {
                    // RFC 6455 §8.1: text that is not UTF-8 fails the connection.
                    let text = validate(payload).map_err(|_| ProtocolError::TextNotUtf8)?;
                    return Ok(Step::Message(Message::Text(text)));
                }
                _ => {
                    if let Some(step) = self.whole_frame(endpoint, &header, payload, out)? {
                        return Ok(step);
                    }
                }
            }
        }
    }

    /// Keeps what the end of a read has left of a header.
    fn keep_header(&mut self, start: &[u8]) {
        if !start.is_empty() {
            let cut = self.cut.get_or_insert_default();
            cut.header[..start.len()].copy_from_slice(start);
            cut.header_len = start.len() as u8;
        }
    }

    /// The header of which the start was kept; `None` if more is needed.
    #[cold]
    fn rest_of_header(
        &mut self,
        input: &mut Input<'_>,
    ) -> Result<Option<FrameHeader>, ProtocolError> {
        let Some(cut) = &mut self.cut else { return Ok(None) };
        while !input.is_empty() {
            // As many bytes as the longest header has would have been one.
            cut.header[usize::from(cut.header_len)] = input.take(1)[0];
            cut.header_len += 1;
            let bytes = &cut.header[..usize::from(cut.header_len)];
            if let Parsed::Complete { value, .. } = FrameHeader::parse(bytes)? {
                cut.header_len = 0;
                self.drop_empty_cut();
                return Ok(Some(value));
            }
        }
        Ok(None)
    }

    /// Judges a frame without reserved bits by its header, before any payload is kept.
    #[inline]
    fn judge(&mut self, endpoint: &Endpoint, header: &FrameHeader) -> Result<(), ProtocolError> {
        judge_mask(endpoint, header)?;
        if header.opcode.is_control() {
            // Their length and FIN were judged with the header itself.
            return Ok(());
        }
        // RFC 6455 §5.4: a continuation needs something to continue, and the fragments of one
        // message may not be interleaved with those of another.
        let room = match (header.opcode, &self.cut) {
            (Opcode::Continuation, None) => return Err(ProtocolError::UnexpectedContinuation),
            (Opcode::Continuation, Some(_)) => self.room(endpoint),
            (_, Some(_)) => return Err(ProtocolError::ExpectedContinuation),
            (_, None) => endpoint.message_max_bytes,
        };
        // Compared with what is left, so that no sum can overflow.
        if header.payload_len > room {
            return Err(ProtocolError::MessageTooBig);
        }
        // The first frame is counted where something is collected: most are whole messages.
        if let Some(cut) = &mut self.cut {
            cut.frames += 1;
            if cut.frames > endpoint.message_frames_max {
                return Err(ProtocolError::TooManyFrames);
            }
        }
        Ok(())
    }

    /// A fragment or a control frame whose payload is complete, unmasked and in the input.
    fn whole_frame<'b>(
        &mut self,
        endpoint: &Endpoint,
        header: &FrameHeader,
        payload: &'b [u8],
        out: &mut Outbox,
    ) -> Result<Option<Step<'b>>, ProtocolError> {
        if header.opcode.is_control() {
            return self.control(endpoint, header.opcode, Cow::Borrowed(payload), out).map(Some);
        }
        self.collect(endpoint, header.opcode, Coding::Plain, payload, header.fin.then_some(0))?;
        self.end_of_data_frame(endpoint, header.fin)
    }

    /// A frame whose payload is not complete in the input: from here on it is collected.
    fn begin_payload(&mut self, header: &FrameHeader) {
        self.cut.get_or_insert_default().frame = Some(CutFrame {
            opcode: header.opcode,
            coding: if header.rsv.is_none() { Coding::Plain } else { Coding::Compressed },
            fin: header.fin,
            key: header.masking_key,
            payload_len: header.payload_len,
            done: 0,
        });
    }

    #[cold]
    fn continue_payload<'b>(
        &mut self,
        endpoint: &Endpoint,
        mut frame: CutFrame,
        input: &mut Input<'b>,
        out: &mut Outbox,
    ) -> Result<Option<Step<'b>>, ProtocolError> {
        let piece = input.take_up_to(frame.payload_len - frame.done);
        if let Some(key) = frame.key {
            key.apply_at(frame.done, piece);
        }
        frame.done += piece.len() as u64;
        let complete = frame.done == frame.payload_len;
        let cut = self.cut.get_or_insert_default();
        cut.frame = (!complete).then_some(frame);

        if frame.opcode.is_control() {
            cut.control.extend_from_slice(piece);
            if !complete {
                return Ok(None);
            }
            let payload = std::mem::take(&mut cut.control);
            self.drop_empty_cut();
            return self.control(endpoint, frame.opcode, Cow::Owned(payload), out).map(Some);
        }
        let rest = frame.payload_len - frame.done;
        self.collect(endpoint, frame.opcode, frame.coding, piece, frame.fin.then_some(rest))?;
        if complete { self.end_of_data_frame(endpoint, frame.fin) } else { Ok(None) }
    }

    /// Appends payload to the message in progress, beginning one if there is none. `rest` is what
    /// the message lacks after it, if this is its last frame.
    fn collect(
        &mut self,
        endpoint: &Endpoint,
        opcode: Opcode,
        coding: Coding,
        piece: &[u8],
        rest: Option<u64>,
    ) -> Result<(), ProtocolError> {
        let message = self.message_begun(opcode, coding);
        // RFC 6455 §8.1, at the first octet that makes it invalid: this also sees the payload of a
        // frame that is not complete yet.
        let pushed = message.push(piece, rest, &mut endpoint.pool());
        pushed.map_err(|_| ProtocolError::TextNotUtf8)
    }

    fn message_begun(&mut self, opcode: Opcode, coding: Coding) -> &mut Assembled {
        let kind = if opcode == Opcode::Text { MessageKind::Text } else { MessageKind::Binary };
        let cut = self.cut.get_or_insert_default();
        cut.message.get_or_insert_with(|| {
            cut.frames = 1;
            Assembled::new(kind, coding)
        })
    }

    fn end_of_data_frame<'b>(
        &mut self,
        endpoint: &Endpoint,
        fin: bool,
    ) -> Result<Option<Step<'b>>, ProtocolError> {
        if !fin {
            return Ok(None);
        }
        let message = self.cut.as_mut().and_then(|cut| cut.message.take());
        let message = message.expect("invariant: collect() was called for this frame");
        self.drop_empty_cut();
        self.finished(endpoint, message).map(Step::Assembled).map(Some)
    }

    #[cold]
    fn control<'b>(
        &mut self,
        endpoint: &Endpoint,
        opcode: Opcode,
        payload: Cow<'b, [u8]>,
        out: &mut Outbox,
    ) -> Result<Step<'b>, ProtocolError> {
        match opcode {
            Opcode::Ping => {
                // RFC 6455 §5.5.2: an endpoint MUST answer with a Pong of the same payload, unless
                // it has received a Close; having sent one is no excuse. §5.5.3 would let us answer
                // the latest of several only. We answer each, in order; memory stays bounded
                // because a connection that does not read its Pongs is not read either.
                endpoint.write_frame(Opcode::Pong, &[&payload], out);
                Ok(Step::Ping(payload))
            }
            Opcode::Pong => Ok(Step::Pong(payload)),
            _ => self.closed(endpoint, payload, out),
        }
    }

    /// RFC 6455 §5.5.1: the peer's Close is answered with its own code, unless ours was first.
    fn closed<'b>(
        &mut self,
        endpoint: &Endpoint,
        payload: Cow<'b, [u8]>,
        out: &mut Outbox,
    ) -> Result<Step<'b>, ProtocolError> {
        let (code, reason) = match payload {
            Cow::Borrowed(bytes) => {
                let (code, reason) = code_and_reason(bytes)?;
                (code, Cow::Borrowed(reason))
            }
            Cow::Owned(bytes) => {
                let (code, reason) = code_and_reason(&bytes)?;
                (code, Cow::Owned(reason.to_owned()))
            }
        };
        if self.state == State::Open {
            write_close(endpoint, code, "", out);
        }
        self.end();
        Ok(Step::Closed { code, reason })
    }

    #[inline]
    fn cut_frame(&self) -> Option<CutFrame> {
        self.cut.as_ref().and_then(|cut| cut.frame)
    }

    #[inline]
    fn message_in_progress(&self) -> Option<&Assembled> {
        self.cut.as_ref().and_then(|cut| cut.message.as_ref())
    }

    #[inline]
    fn has_cut_header(&self) -> bool {
        self.cut.as_ref().is_some_and(|cut| cut.header_len > 0)
    }

    /// Called where a frame is complete, or its header is that was cut.
    fn drop_empty_cut(&mut self) {
        if self.cut.as_ref().is_some_and(|cut| cut.message.is_none() && cut.control.is_empty()) {
            self.cut = None;
        }
    }
}

/// RFC 6455 §5.1: a server MUST close the connection upon receiving a frame that is not masked; a
/// client MUST close it upon receiving one that is.
#[inline]
fn judge_mask(endpoint: &Endpoint, header: &FrameHeader) -> Result<(), ProtocolError> {
    match (endpoint.role(), header.masking_key) {
        (Role::Server, None) => Err(ProtocolError::MaskRequired),
        (Role::Client, Some(_)) => Err(ProtocolError::MaskForbidden),
        _ => Ok(()),
    }
}

/// RFC 6455 §7.1.5: a Close without a payload is taken for 1005, "no status received".
fn code_and_reason(payload: &[u8]) -> Result<(CloseCode, &str), ProtocolError> {
    let close = ClosePayload::parse(payload)?;
    Ok(close.map_or((CloseCode::NO_STATUS, ""), |close| (close.code, close.reason)))
}

/// Queues a Close; for [`CloseCode::NO_STATUS`] one without a payload, which is what it stands for.
fn write_close(endpoint: &Endpoint, code: CloseCode, reason: &str, out: &mut Outbox) {
    let mut payload = Vec::with_capacity(CONTROL_MAX_BYTES);
    ClosePayload { code, reason }.write(&mut payload);
    endpoint.write_frame(Opcode::Close, &[&payload], out);
}

/// RFC 6455 §5.5: the longest payload of a control frame, in bytes.
const CONTROL_MAX_BYTES: usize = 125;

#[cfg(test)]
mod tests {
    use super::*;

    /// Masked with a key of zeros, so that they can be read here.
    const STREAM: &[u8] = b"\x81\x82\0\0\0\0Hi\
        \x89\x81\0\0\0\0?\
        \x01\x81\0\0\0\0a\
        \x89\x81\0\0\0\0?\
        \x80\x81\0\0\0\0b\
        \x8a\x80\0\0\0\0";

    #[test]
    fn connection_owns_heap_only_while_something_is_cut() {
        let server = Endpoint::server();
        for size in 1..=STREAM.len() {
            let (mut connection, mut out) = (Connection::new(), Outbox::new());
            let mut events = 0;
            for piece in STREAM.chunks(size) {
                let mut bytes = piece.to_vec();
                let mut input = Input::new(&mut bytes);
                loop {
                    match connection.advance(&server, &mut input, &mut out) {
                        Step::NeedInput => break,
                        // Between the fragments of the message.
                        Step::Ping(_) if events == 2 => assert!(connection.cut.is_some()),
                        step => assert!(connection.cut.is_none(), "after {step:?}"),
                    }
                    events += 1;
                }
            }
            assert_eq!(events, 5, "in reads of {size} bytes");
            assert!(connection.cut.is_none());
        }
    }
}
