//! The client's side: many connections to one server, driven by whoever owns them.
//!
//! [`Server`](super::Server) calls its handler; a load generator is better off the other way round:
//! it decides itself when it reads, writes and looks at the clock.
//!
//! ```text
//! connect, connect, ... -> wait -> for each Ready: read until it blocks, write -> wait -> ...
//! ```
//!
//! Sockets are registered once, edge-triggered, for reading and writing. An edge comes once: a read
//! that fills the buffer is repeated, one that does not has emptied the socket, unless the peer is
//! [`closing`](Ready::closing); then it is repeated until it moves nothing.
//!
//! This module does not know WebSocket.

use std::fmt;
use std::io;
use std::net::{IpAddr, SocketAddr, ToSocketAddrs};
use std::sync::Arc;
use std::time::{Duration, Instant};

use mio::net::TcpStream;
use mio::{Events, Poll, Token, Waker};
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook_mio::v1_0::Signals;
use socket2::{Domain, Protocol, Socket, Type};

use super::machine;
use super::transport::{Io, Transport};

/// Nanoseconds since the [`Clients`] were made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Nanos(pub u64);

impl Nanos {
    /// This much later.
    pub const fn after(self, duration: Duration) -> Nanos {
        Nanos(self.0.saturating_add(duration.as_nanos() as u64))
    }

    /// How long ago `earlier` was; nothing if it is still to come.
    pub const fn since(self, earlier: Nanos) -> Duration {
        Duration::from_nanos(self.0.saturating_sub(earlier.0))
    }
}

/// What a socket has become, since the last [`Clients::wait`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ready {
    /// The connection, as [`Clients::connect`] numbered it.
    pub id: usize,
    /// There is something to read.
    pub readable: bool,
    /// It takes bytes again, or has just been connected.
    pub writable: bool,
    /// The peer's FIN or RST is here: what is to be read comes before it, and no edge follows.
    pub closing: bool,
}

/// Why waiting ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wake {
    /// Sockets are ready, or the time is up.
    Events,
    /// SIGINT or SIGTERM came. Another one ends the process.
    Interrupted,
}

/// Ends the waiting of [`Clients`], from any thread.
#[derive(Clone, Debug)]
pub struct Alarm(Arc<Waker>);

impl Alarm {
    /// Ends it, or keeps the next one from beginning.
    pub fn ring(&self) {
        // It fails only where the event queue is gone, and then nobody waits.
        let _ = self.0.wake();
    }
}

/// Connections to servers, numbered from 0 in the order they were begun. No number is reused.
pub struct Clients {
    poll: Poll,
    events: Events,
    sockets: Vec<Option<Transport>>,
    signals: Option<Signals>,
    interrupted: bool,
    started: Instant,
}

impl Clients {
    /// No connection yet.
    ///
    /// # Errors
    ///
    /// If the operating system has no event queue for us.
    pub fn new() -> Result<Clients, ClientError> {
        Ok(Clients {
            poll: Poll::new().map_err(ClientError::Poll)?,
            events: Events::with_capacity(EVENTS_MAX),
            sockets: Vec::new(),
            signals: None,
            interrupted: false,
            started: Instant::now(),
        })
    }

    /// Turns the first SIGINT or SIGTERM into [`Wake::Interrupted`]; a second one ends the process
    /// at once, with status 130 or 143.
    ///
    /// # Errors
    ///
    /// If the signals cannot be caught.
    pub fn with_signals(mut self) -> Result<Clients, ClientError> {
        let mut signals = Signals::new([SIGINT, SIGTERM]).map_err(ClientError::Poll)?;
        let registry = self.poll.registry();
        mio::Registry::register(registry, &mut signals, SIGNALS, mio::Interest::READABLE)
            .map_err(ClientError::Poll)?;
        self.signals = Some(signals);
        Ok(self)
    }

    /// What ends a [`wait`](Clients::wait) from another thread. There is one; it may be cloned.
    ///
    /// # Errors
    ///
    /// If the operating system has none for us.
    pub fn alarm(&self) -> Result<Alarm, ClientError> {
        let waker = Waker::new(self.poll.registry(), ALARM).map_err(ClientError::Poll)?;
        Ok(Alarm(Arc::new(waker)))
    }

    /// The time.
    #[inline]
    pub fn now(&self) -> Nanos {
        Nanos(self.started.elapsed().as_nanos() as u64)
    }

    /// Begins a connection, from a certain address of this machine if `source` names one, and
    /// returns its number. When it is [`writable`](Ready::writable), it stands.
    ///
    /// # Errors
    ///
    /// What can be known at once: no descriptor, no port or no route is left. What the peer says
    /// is said by the first [`write`](Clients::write).
    pub fn connect(&mut self, to: SocketAddr, source: Option<IpAddr>) -> io::Result<usize> {
        let stream = match source {
            None => TcpStream::connect(to)?,
            Some(source) => connect_from(to, source)?,
        };
        let id = self.sockets.len();
        let mut transport = Transport::Tcp(stream);
        transport.register(self.poll.registry(), Token(id))?;
        self.sockets.push(Some(transport));
        Ok(id)
    }

    /// Waits until something is ready, `timeout` is over or a signal comes, and replaces the
    /// contents of `ready`. The granularity of `timeout` is a millisecond.
    ///
    /// # Errors
    ///
    /// Only if waiting itself fails.
    pub fn wait(&mut self, ready: &mut Vec<Ready>, timeout: Duration) -> Result<Wake, ClientError> {
        ready.clear();
        match self.poll.poll(&mut self.events, Some(timeout)) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => return Ok(Wake::Events),
            result => result.map_err(ClientError::Poll)?,
        }
        let mut wake = Wake::Events;
        for event in &self.events {
            if event.token() == SIGNALS {
                wake = Wake::Interrupted;
                continue;
            }
            if event.token() == ALARM {
                continue;
            }
            ready.push(Ready {
                id: event.token().0,
                readable: event.is_readable(),
                writable: event.is_writable(),
                closing: event.is_read_closed() || event.is_error(),
            });
        }
        if wake == Wake::Interrupted {
            self.take_signals();
        }
        Ok(wake)
    }

    fn take_signals(&mut self) {
        let Some(signals) = &mut self.signals else { return };
        for signal in signals.pending() {
            if self.interrupted {
                std::process::exit(128 + signal);
            }
            self.interrupted = true;
        }
    }

    /// One `read` of a connection. `Moved(0)` is the peer's FIN; so is a connection that was
    /// [closed](Clients::close).
    #[inline]
    pub fn read(&mut self, id: usize, buffer: &mut [u8]) -> Io {
        match self.sockets.get_mut(id) {
            Some(Some(transport)) => transport.read(buffer),
            _ => Io::Moved(0),
        }
    }

    /// One `write` of some bytes, of which it may take the first few only. A connection that was
    /// [closed](Clients::close) takes none.
    #[inline]
    pub fn write(&mut self, id: usize, bytes: &[u8]) -> Io {
        match self.sockets.get_mut(id) {
            Some(Some(transport)) => transport.write_bytes(bytes),
            _ => Io::Blocked,
        }
    }

    /// Sends FIN; what the peer has sent can still be read.
    pub fn shut_down(&mut self, id: usize) {
        if let Some(Some(transport)) = self.sockets.get(id) {
            transport.shut_down();
        }
    }

    /// Lets go of a connection.
    pub fn close(&mut self, id: usize) {
        if let Some(place) = self.sockets.get_mut(id) {
            *place = None;
        }
    }
}

impl fmt::Debug for Clients {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Clients").field("connections", &self.sockets.len()).finish_non_exhaustive()
    }
}

/// Raises the soft limit of open descriptors to the hard one; returns how many connections fit.
pub fn connections_possible() -> u64 {
    machine::raise_descriptor_limit().saturating_sub(DESCRIPTORS_RESERVED)
}

/// Looks up a name, or reads an address (an IPv6 address without brackets); IPv4 goes first.
///
/// # Errors
///
/// [`ClientError::Resolve`] if there is no such name.
pub fn resolve(host: &str, port: u16) -> Result<SocketAddr, ClientError> {
    let error = |source| ClientError::Resolve { host: host.to_owned(), source };
    let mut addrs: Vec<SocketAddr> = (host, port).to_socket_addrs().map_err(error)?.collect();
    addrs.sort_by_key(SocketAddr::is_ipv6);
    addrs.first().copied().ok_or_else(|| error(io::Error::from(io::ErrorKind::NotFound)))
}

/// Why there is no client.
#[derive(Debug)]
pub enum ClientError {
    /// The operating system's event queue failed.
    Poll(io::Error),
    /// The server's name has no address.
    Resolve {
        /// The name.
        host: String,
        /// What the resolver says.
        source: io::Error,
    },
}

impl fmt::Display for ClientError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ClientError::Poll(source) => write!(f, "cannot wait for events: {source}"),
            ClientError::Resolve { host, source } => write!(f, "cannot find {host}: {source}"),
        }
    }
}

impl std::error::Error for ClientError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            ClientError::Poll(source) | ClientError::Resolve { source, .. } => Some(source),
        }
    }
}

/// Connects from a certain address. That is for loopback, where a connection stands at once, so it
/// is waited for.
fn connect_from(to: SocketAddr, source: IpAddr) -> io::Result<TcpStream> {
    let socket = Socket::new(Domain::for_address(to), Type::STREAM, Some(Protocol::TCP))?;
    socket.bind(&SocketAddr::new(source, 0).into())?;
    socket.connect_timeout(&to.into(), CONNECT_TIMEOUT)?;
    socket.set_nonblocking(true)?;
    Ok(TcpStream::from_std(socket.into()))
}

const SIGNALS: Token = Token(usize::MAX);
const ALARM: Token = Token(usize::MAX - 1);

/// Events per `epoll_wait`.
const EVENTS_MAX: usize = 1024;

const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// Descriptors that are not for connections: the event queue, signals, standard streams, files.
const DESCRIPTORS_RESERVED: u64 = 32;

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::TcpListener;

    fn wait_for(clients: &mut Clients, wanted: impl Fn(&Ready) -> bool) -> Ready {
        let mut ready = Vec::new();
        loop {
            clients.wait(&mut ready, Duration::from_secs(1)).unwrap();
            if let Some(event) = ready.iter().find(|event| wanted(event)) {
                return *event;
            }
        }
    }

    #[test]
    fn bytes_go_there_and_back_and_the_end_is_seen() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let mut clients = Clients::new().unwrap();
        let id = clients.connect(listener.local_addr().unwrap(), None).unwrap();
        let (mut peer, _) = listener.accept().unwrap();
        assert_eq!(wait_for(&mut clients, |event| event.writable).id, id);
        assert!(matches!(clients.write(id, b"ping"), Io::Moved(4)));
        let mut four = [0; 4];
        io::Read::read_exact(&mut peer, &mut four).unwrap();
        io::Write::write_all(&mut peer, b"pong").unwrap();
        wait_for(&mut clients, |event| event.readable);
        let mut buffer = [0; 10];
        assert!(matches!(clients.read(id, &mut buffer), Io::Moved(4)));
        assert_eq!((&four, &buffer[..4]), (b"ping", &b"pong"[..]));
        assert!(matches!(clients.read(id, &mut buffer), Io::Blocked));
        drop(peer);
        wait_for(&mut clients, |event| event.closing);
        assert!(matches!(clients.read(id, &mut buffer), Io::Moved(0)));
        clients.close(id);
        assert!(matches!(clients.write(id, b"ping"), Io::Blocked));
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn a_source_address_can_be_chosen() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let mut clients = Clients::new().unwrap();
        let source = "127.0.0.3".parse().unwrap();
        let id = clients.connect(listener.local_addr().unwrap(), Some(source)).unwrap();
        let (_, from) = listener.accept().unwrap();
        assert_eq!(from.ip(), source);
        wait_for(&mut clients, |event| event.id == id && event.writable);
    }

    #[test]
    fn addresses_are_resolved_without_a_resolver() {
        assert_eq!(resolve("127.0.0.1", 80).unwrap(), "127.0.0.1:80".parse().unwrap());
        assert_eq!(resolve("::1", 80).unwrap(), "[::1]:80".parse().unwrap());
    }
}
