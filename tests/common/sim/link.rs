//! One fake TCP connection: two byte queues of limited length, FIN and RST.
//!
//! It behaves as a non-blocking socket under edge triggers does. A write takes what fits, or less
//! by chance; a short one is followed by an edge when there is room again, and by none before.

use std::collections::VecDeque;
use std::io::{Error, ErrorKind, IoSlice};

use switchboard::ConnId;
use switchboard::engine::{Door, Remote};
use switchboard::net::Io;
use switchboard::outbox::Outbox;

use super::random::Random;

#[derive(Debug)]
pub struct Link {
    pub peer: Remote,
    /// The listener that it came to.
    pub door: Door,
    /// The server's name for it, once accepted.
    pub id: Option<ConnId>,
    /// Arrived at the server and not read by it.
    inbound: VecDeque<u8>,
    inbound_max: usize,
    fin_from_client: bool,
    reset_by_client: bool,
    /// Written by the server and not read by the client.
    outbound: VecDeque<u8>,
    outbound_max: usize,
    fin_from_server: bool,
    released: bool,
    /// A write was short: an edge is owed when there is room.
    short: bool,
    /// In the event queue.
    pub queued: bool,
    /// How often a write takes less than would fit, in percent.
    short_writes: usize,
    random: Random,
    /// Bytes the server has read, and when it last did.
    pub read: u64,
}

impl Link {
    pub fn new(peer: Remote, buffer_max: usize, short_writes: usize, random: Random) -> Link {
        Link {
            peer,
            door: Door::Public,
            id: None,
            inbound: VecDeque::new(),
            inbound_max: buffer_max,
            fin_from_client: false,
            reset_by_client: false,
            outbound: VecDeque::new(),
            outbound_max: buffer_max,
            fin_from_server: false,
            released: false,
            short: false,
            queued: false,
            short_writes,
            random,
            read: 0,
        }
    }

    // ---- the server's end ----------------------------------------------------------------------

    pub fn read(&mut self, buffer: &mut [u8]) -> Io {
        if self.reset_by_client {
            return Io::Broken(Error::from(ErrorKind::ConnectionReset));
        }
        let len = buffer.len().min(self.inbound.len());
        if len == 0 {
            return if self.fin_from_client { Io::Moved(0) } else { Io::Blocked };
        }
        for (to, byte) in buffer.iter_mut().zip(self.inbound.drain(..len)) {
            *to = byte;
        }
        self.read += len as u64;
        Io::Moved(len)
    }

    /// One `write` or `writev`; also says how many bytes were offered.
    pub fn write(&mut self, outbox: &Outbox) -> (Io, usize) {
        let mut slices = [IoSlice::new(&[]); 4];
        let filled = if outbox.is_contiguous() {
            slices[0] = IoSlice::new(outbox.front());
            1
        } else {
            outbox.io_slices(&mut slices)
        };
        let offered: usize = slices[..filled].iter().map(|slice| slice.len()).sum();
        (self.write_slices(&slices[..filled]), offered)
    }

    pub fn write_slices(&mut self, slices: &[IoSlice<'_>]) -> Io {
        let offered: usize = slices.iter().map(|slice| slice.len()).sum();
        if self.reset_by_client {
            return Io::Broken(Error::from(ErrorKind::ConnectionReset));
        }
        let mut room = self.outbound_max - self.outbound.len();
        if self.random.percent(self.short_writes) {
            room = self.random.below(room + 1);
        }
        let written = room.min(offered);
        self.short = written < offered;
        let bytes = slices.iter().flat_map(|slice| slice.iter().copied());
        self.outbound.extend(bytes.take(written));
        if written == 0 { Io::Blocked } else { Io::Moved(written) }
    }

    pub fn shut_down(&mut self) {
        self.fin_from_server = true;
    }

    /// The server closes its socket. The kernel sends RST instead of FIN if input was left unread,
    /// and that overtakes what is in flight.
    pub fn release(&mut self) {
        if !self.inbound.is_empty() {
            self.outbound.clear();
        }
        self.released = true;
    }

    /// Nobody listens.
    pub fn refuse(&mut self) {
        self.reset();
        self.released = true;
    }

    pub fn is_readable(&self) -> bool {
        !self.inbound.is_empty() || self.is_read_closed()
    }

    pub fn is_read_closed(&self) -> bool {
        self.fin_from_client || self.reset_by_client
    }

    pub fn is_error(&self) -> bool {
        self.reset_by_client
    }

    pub fn is_writable(&self) -> bool {
        self.reset_by_client || self.outbound.len() < self.outbound_max
    }

    /// Whether an edge is owed for room that has come.
    pub fn owes_edge(&mut self) -> bool {
        let owed = self.short && self.is_writable();
        self.short &= !owed;
        owed
    }

    // ---- the client's end ----------------------------------------------------------------------

    /// Moves up to `max` bytes towards the server; how many found room.
    pub fn arrive(&mut self, from: &mut VecDeque<u8>, max: usize) -> usize {
        if self.released || self.is_read_closed() {
            return 0;
        }
        let len = from.len().min(max).min(self.inbound_max - self.inbound.len());
        self.inbound.extend(from.drain(..len));
        len
    }

    pub fn fin(&mut self) {
        self.fin_from_client = true;
    }

    pub fn reset(&mut self) {
        self.reset_by_client = true;
        self.inbound.clear();
        self.outbound.clear();
    }

    /// The client reads up to `max` bytes.
    pub fn take(&mut self, max: usize) -> Vec<u8> {
        let len = self.outbound.len().min(max);
        self.outbound.drain(..len).collect()
    }

    /// Whether the client has read all there will ever be.
    pub fn is_over(&self) -> bool {
        self.reset_by_client
            || (self.outbound.is_empty() && (self.fin_from_server || self.released))
    }

    pub fn is_released(&self) -> bool {
        self.released
    }

    pub fn has_sent_fin(&self) -> bool {
        self.fin_from_client || self.reset_by_client
    }
}
