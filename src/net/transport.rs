//! One connected socket, whatever its kind.
//!
//! Today that is TCP and Unix. TLS comes in here and nowhere else.

use std::io::{self, IoSlice, Read, Write};
use std::net::Shutdown;

use mio::net::{TcpStream, UnixStream};
use mio::{Interest, Registry, Token};

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

    /// One `write` or `writev` of what an outbox has; also says how many bytes were offered.
    ///
    /// A few frames for many are put together in `scratch`: they are warm, since they have just
    /// been written to somebody else, and copying them costs less than the slices of a `writev`.
    pub fn write(&mut self, outbox: &Outbox, scratch: &mut Vec<u8>) -> (Io, usize) {
        if outbox.is_contiguous() {
            let bytes = outbox.front();
            return (self.write_bytes(bytes), bytes.len());
        }
        if outbox.len() <= GATHERED_MAX_BYTES {
            let mut slices = [IoSlice::new(&[]); GATHERED_MAX_SLICES];
            let filled = outbox.io_slices(&mut slices);
            scratch.clear();
            slices[..filled].iter().for_each(|slice| scratch.extend_from_slice(slice));
            return (self.write_bytes(scratch), scratch.len());
        }
        let mut slices = [IoSlice::new(&[]); SLICES_MAX];
        let filled = outbox.io_slices(&mut slices);
        let offered = slices[..filled].iter().map(|slice| slice.len()).sum();
        (self.write_slices(&slices[..filled]), offered)
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

/// Up to this, chunks are put together rather than written as slices.
const GATHERED_MAX_BYTES: usize = 16 * 1024;

/// Shared frames have 1 KiB at least, and between them there may be others: what is more is written
/// in the next tick.
const GATHERED_MAX_SLICES: usize = 32;

/// Slices per `writev`.
const SLICES_MAX: usize = 64;
