//! What one end of a connection knows in advance: its role and its limits.
//!
//! RFC 6455 §5.1: a client masks every frame, a server none; each side fails the connection when
//! the other does not keep to that. One `Endpoint` serves all connections of a server.

use std::cell::{RefCell, RefMut};
use std::hash::{BuildHasher, RandomState};
use std::sync::atomic::{AtomicU64, Ordering};

use super::deflate::Codec;
use crate::outbox::{Frame, Outbox, Pool, SHARE_MIN_BYTES, Source};
use crate::wire::{FrameHeader, MaskingKey, Opcode, Rsv};

/// Which end of the connection we are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// Receives masked frames, sends unmasked ones.
    Server,
    /// Receives unmasked frames, sends masked ones.
    Client,
}

/// One end's role and limits, shared by all its connections.
#[derive(Debug)]
pub struct Endpoint {
    role: Role,
    /// The largest message that is accepted, in bytes, inclusive.
    pub message_max_bytes: u64,
    /// The most frames that one message may be cut into; one is always allowed.
    pub message_frames_max: u64,
    /// A message shorter than this is not compressed, in bytes.
    pub deflate_min_bytes: u64,
    masks: MaskSource,
    /// Spare buffers of all its connections.
    pool: RefCell<Pool>,
    /// What compresses for all its connections.
    pub(super) codec: RefCell<Codec>,
}

impl Endpoint {
    /// A server's end; messages of at most 1 MiB and 16,384 frames.
    pub fn server() -> Endpoint {
        Endpoint::new(Role::Server)
    }

    /// A client's end with the same limits.
    pub fn client() -> Endpoint {
        Endpoint::new(Role::Client)
    }

    fn new(role: Role) -> Endpoint {
        Endpoint {
            role,
            message_max_bytes: MESSAGE_MAX_BYTES,
            message_frames_max: MESSAGE_FRAMES_MAX,
            deflate_min_bytes: DEFLATE_MIN_BYTES,
            masks: MaskSource::default(),
            pool: RefCell::new(Pool::new(POOL_MAX_BYTES)),
            codec: RefCell::default(),
        }
    }

    /// Server or client.
    pub fn role(&self) -> Role {
        self.role
    }

    /// The buffers that no connection uses at the moment. Do not hold it across another call.
    #[inline]
    pub fn pool(&self) -> RefMut<'_, Pool> {
        self.pool.borrow_mut()
    }

    /// Appends one whole frame (FIN set) whose payload is `parts` in a row, masked if we are a
    /// client.
    #[inline(always)] // for a single part half of it goes away
    pub fn write_frame(&self, opcode: Opcode, parts: &[&[u8]], out: &mut Outbox) {
        if self.role == Role::Client {
            return self.write_masked(header(opcode, parts), parts, out);
        }
        let header = header(opcode, parts);
        let len = FrameHeader::LEN_MAX + header.payload_len as usize;
        out.push_pooled(len, &self.pool, |space| fill(&header, parts, space).1);
    }

    /// The same for a compressed message: with RSV1. Apart, so that what is written most often is
    /// written by code of its own.
    #[cold]
    pub(super) fn write_compressed_frame(&self, opcode: Opcode, payload: &[u8], out: &mut Outbox) {
        let header = FrameHeader { rsv: Rsv::RSV1, ..header(opcode, &[payload]) };
        if self.role == Role::Client {
            return self.write_masked(header, &[payload], out);
        }
        let len = FrameHeader::LEN_MAX + payload.len();
        out.push_pooled(len, &self.pool, |space| fill(&header, &[payload], space).1);
    }

    fn write_masked(&self, header: FrameHeader, parts: &[&[u8]], out: &mut Outbox) {
        let key = self.masks.next();
        let header = FrameHeader { masking_key: Some(key), ..header };
        let len = FrameHeader::LEN_MAX + header.payload_len as usize;
        out.push_pooled(len, &self.pool, |space| {
            let (start, end) = fill(&header, parts, space);
            key.apply(&mut space[start..end]);
            end
        });
    }

    /// Appends one whole frame as [`write_frame`](Endpoint::write_frame) does, but takes what lies
    /// in `source` by reference. A client masks, so it copies all the same.
    pub fn pass_frame(&self, opcode: Opcode, parts: &[&[u8]], source: &Source, out: &mut Outbox) {
        if self.role == Role::Client || !source.has_any(parts) {
            return self.write_frame(opcode, parts, out);
        }
        out.reserve(0, &mut self.pool());
        out.push_from(source, &header(opcode, parts).encode(), parts);
    }

    /// Appends an encoded frame, by reference if it is shared.
    #[inline]
    pub fn queue_frame(&self, frame: &Frame, out: &mut Outbox) {
        let bytes = frame.as_bytes();
        if bytes.len() < SHARE_MIN_BYTES {
            return self.queue_bytes(bytes, out);
        }
        out.reserve(0, &mut self.pool());
        out.push_frame(frame);
    }

    /// Appends bytes as they are: a whole frame, or the answer to the opening handshake.
    #[inline]
    pub fn queue_bytes(&self, bytes: &[u8], out: &mut Outbox) {
        out.push_pooled(bytes.len(), &self.pool, |space| {
            space.copy_from_slice(bytes);
            bytes.len()
        });
    }
}

/// Puts a frame at the front of the space; says where its payload begins and ends.
#[inline(always)]
fn fill(header: &FrameHeader, parts: &[&[u8]], space: &mut [u8]) -> (usize, usize) {
    let mut end = 0;
    let mut put = |octets: &[u8]| {
        space[end..end + octets.len()].copy_from_slice(octets);
        end += octets.len();
    };
    header.put(&mut put);
    for part in parts {
        put(part);
    }
    (end - header.payload_len as usize, end)
}

/// The header of an unmasked frame that is a whole message, or a control frame.
#[inline]
fn header(opcode: Opcode, parts: &[&[u8]]) -> FrameHeader {
    let payload_len: usize = parts.iter().map(|part| part.len()).sum();
    let payload_len = payload_len as u64;
    FrameHeader { fin: true, rsv: Rsv::NONE, opcode, masking_key: None, payload_len }
}

/// Masking keys that a script in a browser cannot foresee.
///
/// RFC 6455 §5.3: the key must come from a strong source of entropy, or else whoever chooses the
/// payload chooses the bytes on the wire. A counter under SipHash, keyed by the operating system's
/// randomness through the standard library, is such a source and needs no dependency.
#[derive(Debug, Default)]
struct MaskSource {
    secret: RandomState,
    counter: AtomicU64,
}

impl MaskSource {
    fn next(&self) -> MaskingKey {
        let count = self.counter.fetch_add(1, Ordering::Relaxed);
        let [a, b, c, d, ..] = self.secret.hash_one(count).to_le_bytes();
        MaskingKey([a, b, c, d])
    }
}

/// The default of [`Endpoint::message_max_bytes`]: 1 MiB.
pub const MESSAGE_MAX_BYTES: u64 = 1 << 20;

/// The default of [`Endpoint::message_frames_max`].
pub const MESSAGE_FRAMES_MAX: u64 = 16_384;

/// The default of [`Endpoint::deflate_min_bytes`]. Shorter messages shrink little by themselves.
pub const DEFLATE_MIN_BYTES: u64 = 256;

/// What the spare buffers of an endpoint own together, at most: enough for a small message to
/// thousands of connections in one tick, or for some dozens of large ones.
const POOL_MAX_BYTES: usize = 32 << 20;
