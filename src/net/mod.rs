//! Ring 3: the only code that knows mio, sockets and the real time.
//!
//! [`Server::bind`] opens the listeners, [`Server::run`] is the event loop: one thread, one
//! `epoll`, and the tick that [`engine`](crate::engine) describes. [`client`] is the other side,
//! for the tools.
//!
//! ```no_run
//! use switchboard::{ConnId, Context, Handler, Limits, Message, Server};
//!
//! struct Echo;
//! impl Handler for Echo {
//!     fn on_message(&mut self, cx: &mut Context<'_>, from: ConnId, message: Message<'_>) {
//!         let _ = cx.send(from, message);
//!     }
//! }
//!
//! let server = Server::bind(Limits::echo(), &["127.0.0.1:8080".parse()?], Echo)?;
//! println!("ws://{}", server.local_addrs()[0]);
//! server.run()?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

pub mod ask;
pub mod client;
pub mod exchange;
pub mod keep;
mod listener;
mod machine;
mod reactor;
mod signals;
mod sockets;
pub mod streams;
mod tally;
mod transport;

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::mpsc::{SyncSender, TrySendError, sync_channel};

use log::warn;
use mio::{Poll, Waker};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook_mio::v1_0::Signals;

use self::listener::Listener;
pub use self::listener::{Listen, ListenAddress};
use self::reactor::{Reactor, WAKER};
use self::signals::SecondSignal;
pub use self::sockets::{Edge, Network, Sockets};
pub use self::transport::Io;
use crate::config::Limits;
use crate::engine::{Context, Engine, Handler};

/// A server that is listening but not running yet.
#[derive(Debug)]
pub struct Server<H: Handler> {
    reactor: Reactor<H>,
    listeners: Vec<Listen>,
    /// Those of them that have an address.
    addrs: Vec<SocketAddr>,
    inbox: SyncSender<Call<H>>,
    waker: Arc<Waker>,
    connections_max: u64,
}

/// Listeners that are open before there is a server: whoever connects waits until it runs, or is
/// turned away if this value goes.
#[derive(Debug)]
pub struct Listening(Vec<Listener>);

impl Listening {
    /// Opens them, as [`Server::bind_listeners`] does.
    ///
    /// # Errors
    ///
    /// [`ServerError`] names the address that could not be listened on, and why.
    pub fn open(listen: &[Listen]) -> Result<Listening, ServerError> {
        let open = |listen: &Listen| {
            let address = listen.address.clone();
            Listener::open(listen).map_err(|source| ServerError::Listen { address, source })
        };
        listen.iter().map(open).collect::<Result<Vec<Listener>, ServerError>>().map(Listening)
    }
}

/// Something that another thread wants done in the event loop.
enum Call<H> {
    #[allow(clippy::type_complexity)]
    Run(Box<dyn FnOnce(&mut H, &mut Context<'_>) + Send>),
    Stop,
}

impl<H: Handler> Server<H> {
    /// Opens listeners for everybody at these addresses; otherwise as
    /// [`bind_listeners`](Server::bind_listeners).
    ///
    /// # Errors
    ///
    /// [`ServerError`] names the address that could not be listened on, and why.
    pub fn bind(
        limits: Limits,
        listen: &[SocketAddr],
        handler: H,
    ) -> Result<Server<H>, ServerError> {
        let listen: Vec<Listen> = listen.iter().copied().map(Listen::public).collect();
        Server::bind_listeners(limits, &listen, handler)
    }

    /// Opens the listeners, and raises the soft limit of open descriptors to the hard one.
    ///
    /// Port 0 takes any free port; [`listeners`](Server::listeners) tells which. A limit of 0 for
    /// connections or buffered bytes is replaced by what the machine allows.
    ///
    /// The file of a Unix socket gets mode 0660, and is removed when the server stops. One that a
    /// killed server left behind is replaced.
    ///
    /// # Errors
    ///
    /// [`ServerError`] names the address that could not be listened on, and why.
    pub fn bind_listeners(
        limits: Limits,
        listen: &[Listen],
        handler: H,
    ) -> Result<Server<H>, ServerError> {
        Server::at(Listening::open(listen)?, limits, handler)
    }

    /// A server at listeners that are open; otherwise as
    /// [`bind_listeners`](Server::bind_listeners).
    ///
    /// # Errors
    ///
    /// If events cannot be waited for.
    pub fn at(
        listening: Listening,
        mut limits: Limits,
        handler: H,
    ) -> Result<Server<H>, ServerError> {
        let connections_max = connections_max(limits.connections_max);
        limits.connections_max = connections_max;
        if limits.outbox_total_bytes == 0 {
            // However small the machine is, one message must fit.
            let one = limits.message_max_bytes.saturating_add(limits.outbox_high_bytes);
            limits.outbox_total_bytes = (machine::memory_bytes() / 4).max(one);
        }
        let poll = Poll::new().map_err(ServerError::Poll)?;
        let waker = Waker::new(poll.registry(), WAKER).map_err(ServerError::Poll)?;
        let Listening(opened) = listening;
        let listeners: Vec<Listen> =
            opened.iter().map(|listener| listener.listen.clone()).collect();
        let addrs = listeners.iter().filter_map(|listen| listen.address.tcp()).collect();
        let (inbox, calls) = sync_channel(CALLS_MAX);
        let engine = Engine::new(limits, handler);
        let reactor = Reactor::new(poll, engine, opened, calls, &limits);
        let reactor = reactor.map_err(ServerError::Poll)?;
        Ok(Server { reactor, listeners, addrs, inbox, waker: Arc::new(waker), connections_max })
    }

    /// Closes every connection with 1001 and returns from [`run`](Server::run) on SIGINT or
    /// SIGTERM; a second one ends the process at once, with status 130 or 143, whatever the event
    /// loop is doing. SIGHUP, which would end the process, calls [`Handler::on_hangup`].
    ///
    /// # Errors
    ///
    /// If the signals cannot be caught.
    pub fn with_signals(mut self) -> Result<Server<H>, ServerError> {
        let signals = Signals::new([SIGHUP, SIGINT, SIGTERM]).map_err(ServerError::Poll)?;
        let second = SecondSignal::watch().map_err(ServerError::Poll)?;
        self.reactor.watch_signals(signals, second).map_err(ServerError::Poll)?;
        Ok(self)
    }

    /// What is really listened on, in the order it was given.
    pub fn listeners(&self) -> &[Listen] {
        &self.listeners
    }

    /// The TCP addresses that are really listened on, in the order they were given.
    pub fn local_addrs(&self) -> &[SocketAddr] {
        &self.addrs
    }

    /// How many connections are let in; a newcomer beyond them gets 503.
    pub fn connections_max(&self) -> u64 {
        self.connections_max
    }

    /// A way to reach the event loop from other threads.
    pub fn handle(&self) -> Handle<H> {
        Handle { inbox: self.inbox.clone(), waker: Arc::clone(&self.waker) }
    }

    /// Serves until it is told to stop, by a [`Handle`] or a signal.
    ///
    /// # Errors
    ///
    /// Only if waiting for events itself fails. Whatever happens to a connection is that
    /// connection's matter.
    pub fn run(self) -> Result<(), ServerError> {
        self.reactor.run().map_err(ServerError::Poll)
    }
}

/// Reaches a running server from another thread.
pub struct Handle<H> {
    inbox: SyncSender<Call<H>>,
    waker: Arc<Waker>,
}

impl<H> Handle<H> {
    /// Closes every connection with 1001, then lets [`Server::run`] return.
    ///
    /// # Errors
    ///
    /// [`HandleError`] if the server is gone or too many calls wait.
    pub fn stop(&self) -> Result<(), HandleError> {
        self.send(Call::Stop)
    }

    /// Runs `call` in the event loop, in step 3 of its next tick.
    ///
    /// # Errors
    ///
    /// [`HandleError`] if the server is gone or too many calls wait.
    pub fn call(
        &self,
        call: impl FnOnce(&mut H, &mut Context<'_>) + Send + 'static,
    ) -> Result<(), HandleError> {
        self.send(Call::Run(Box::new(call)))
    }

    fn send(&self, call: Call<H>) -> Result<(), HandleError> {
        self.inbox.try_send(call).map_err(|error| match error {
            TrySendError::Full(_) => HandleError::Full,
            TrySendError::Disconnected(_) => HandleError::Stopped,
        })?;
        self.waker.wake().map_err(|_| HandleError::Stopped)
    }
}

impl<H> Clone for Handle<H> {
    fn clone(&self) -> Handle<H> {
        Handle { inbox: self.inbox.clone(), waker: Arc::clone(&self.waker) }
    }
}

impl<H> fmt::Debug for Handle<H> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Handle")
    }
}

impl<H> fmt::Debug for Call<H> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Call::Run(_) => "Run",
            Call::Stop => "Stop",
        })
    }
}

/// Why a [`Handle`] could not reach its server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HandleError {
    /// So many calls wait already that the event loop cannot keep up; try again later.
    Full,
    /// The server has stopped.
    Stopped,
}

impl fmt::Display for HandleError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            HandleError::Full => "too many calls wait for the event loop",
            HandleError::Stopped => "the server has stopped",
        })
    }
}

impl std::error::Error for HandleError {}

/// Why a server could not start, or stopped by itself.
#[derive(Debug)]
pub enum ServerError {
    /// The address cannot be listened on.
    Listen {
        /// The address as asked for.
        address: ListenAddress,
        /// What the operating system says.
        source: io::Error,
    },
    /// The operating system's event queue failed.
    Poll(io::Error),
}

impl fmt::Display for ServerError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ServerError::Listen { address, source } => {
                write!(f, "cannot listen on {address}: {source}")
            }
            ServerError::Poll(source) => write!(f, "cannot wait for events: {source}"),
        }
    }
}

impl std::error::Error for ServerError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            ServerError::Listen { source, .. } | ServerError::Poll(source) => Some(source),
        }
    }
}

fn connections_max(asked: u64) -> u64 {
    let descriptors = machine::raise_descriptor_limit();
    let possible = descriptors.saturating_sub(DESCRIPTORS_RESERVED).max(1);
    if asked > possible {
        warn!("connections_max={asked} descriptors={descriptors} lowered_to={possible}");
    }
    if asked == 0 { possible } else { asked.min(possible) }
}

/// Descriptors that are not for connections: listeners, epoll, signals, logs, and those who are let
/// in only to be told that the server is full.
const DESCRIPTORS_RESERVED: u64 = 64;

/// Calls from other threads that may wait.
const CALLS_MAX: usize = 1024;
