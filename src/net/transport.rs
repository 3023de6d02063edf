//! One connected socket, whatever its kind.
//!
//! Today that is TCP and Unix. TLS comes in here and nowhere else.

use std::io::{self, IoSlice, Read, Write};
use std::net::Shutdown;

use mio::net::{TcpStream, UnixStream};
use mio::{Interest, Registry, Token};

use super::sockets::Network;
use crate::outbox::Outbox;

/// A connected, non-blocking socket.
#[derive(Debug)]
pub(super) enum Transport {
    Tcp(TcpStream),
    Unix(UnixStream),
}

/// What one system call came to.
#[derive(Debug)]
pub enum Io {
    /// So many bytes were moved.
    Moved(usize),
    /// The socket has nothing, or takes nothing, for now.
    Blocked,
    /// The socket is broken.
    Broken(io::Error),
}

impl Transport {
    /// Makes the event queue watch it: registered once, for everything, and never again.
    pub fn register(&mut self, registry: &Registry, token: Token) -> io::Result<()> {
        let interest = Interest::READABLE | Interest::WRITABLE;
        match self {
            Transport::Tcp(stream) => {
                // A message is complete when it is written: there is nothing to wait for.
                stream.set_nodelay(true)?;
                registry.register(stream, token, interest)
            }
            Transport::Unix(stream) => registry.register(stream, token, interest),
        }
    }

    /// One `read`. `Moved(0)` is the peer's FIN.
    pub fn read(&mut self, buffer: &mut [u8]) -> Io {
        loop {
            let result = match self {
                Transport::Tcp(stream) => stream.read(buffer),
                Transport::Unix(stream) => stream.read(buffer),
            };
            match result {
                Ok(read) => return Io::Moved(read),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Io::Blocked,
                Err(error) => return Io::Broken(error),
            }
        }
    }

    /// One `write`.
    pub fn write_bytes(&mut self, bytes: &[u8]) -> Io {
        loop {
            let result = match self {
                Transport::Tcp(stream) => stream.write(bytes),
                Transport::Unix(stream) => stream.write(bytes),
            };
            match result {
                Ok(written) => return Io::Moved(written),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Io::Blocked,
                Err(error) => return Io::Broken(error),
            }
        }
    }

    /// One `writev`.
    pub fn write_slices(&mut self, slices: &[IoSlice<'_>]) -> Io {
        loop {
            // Rust's runtime ignores SIGPIPE, which `writev` cannot suppress by a flag.
            let result = match self {
                Transport::Tcp(stream) => stream.write_vectored(slices),
                Transport::Unix(stream) => stream.write_vectored(slices),
            };
            match result {
                Ok(written) => return Io::Moved(written),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Io::Blocked,
                Err(error) => return Io::Broken(error),
            }
        }
    }

    /// Sends FIN. The socket may be broken already; then there is nothing to do.
    pub fn shut_down(&self) {
        let _ = match self {
            Transport::Tcp(stream) => stream.shutdown(Shutdown::Write),
            Transport::Unix(stream) => stream.shutdown(Shutdown::Write),
        };
    }
}

/// The kernel's sockets, as [`Sockets`](super::sockets::Sockets) uses them.
#[derive(Debug, Default)]
pub(super) struct Kernel {
    /// Where frames are put together for a `write`.
    scratch: Vec<u8>,
}

impl Network for Kernel {
    type Socket = Transport;

    fn read(&mut self, socket: &mut Transport, buffer: &mut [u8]) -> Io {
        socket.read(buffer)
    }

    /// A few frames for many are put together in `scratch`: they are warm, since they have just
    /// been written to somebody else, and copying them costs less than the slices of a `writev`.
    fn write(&mut self, socket: &mut Transport, outbox: &Outbox) -> (Io, usize) {
        if outbox.is_contiguous() {
            let bytes = outbox.front();
            return (socket.write_bytes(bytes), bytes.len());
        }
        if outbox.len() <= GATHERED_MAX_BYTES {
            let mut slices = [IoSlice::new(&[]); GATHERED_MAX_SLICES];
            let filled = outbox.io_slices(&mut slices);
            self.scratch.clear();
            slices[..filled].iter().for_each(|slice| self.scratch.extend_from_slice(slice));
            return (socket.write_bytes(&self.scratch), self.scratch.len());
        }
        let mut slices = [IoSlice::new(&[]); SLICES_MAX];
        let filled = outbox.io_slices(&mut slices);
        let offered = slices[..filled].iter().map(|slice| slice.len()).sum();
        (socket.write_slices(&slices[..filled]), offered)
    }

    fn write_slices(&mut self, socket: &mut Transport, slices: &[IoSlice<'_>]) -> Io {
        socket.write_slices(slices)
    }

    fn shut_down(&mut self, socket: &mut Transport) {
        socket.shut_down();
    }

    fn release(&mut self, socket: Transport) {
        // That closes the descriptor, and takes it out of the event queue.
        drop(socket);
    }
}

/// Up to this, chunks are put together rather than written as slices.
const GATHERED_MAX_BYTES: usize = 16 * 1024;

/// Shared frames have 1 KiB at least, and between them there may be others: what is more is written
/// in the next tick.
const GATHERED_MAX_SLICES: usize = 32;

/// Slices per `writev`.
const SLICES_MAX: usize = 64;
