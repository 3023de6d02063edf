//! The physical limit: a server that passes bytes on and knows nothing about them.
//!
//! ```text
//! rawecho echo PORT    what a connection sends goes back to it
//! rawecho room PORT    what a connection sends goes to all others
//! ```
//!
//! One thread, one edge-triggered `epoll`, one read buffer for all connections, one read and one
//! write per connection that is ready. Every WebSocket server on this kernel has this to do, and
//! the rest of its time goes into WebSocket. `switchboard bench --raw` is the other side.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{Ipv4Addr, SocketAddr};

use mio::event::Event;
use mio::net::{TcpListener, TcpStream};
use mio::{Events, Interest, Poll, Token};
use slab::Slab;

fn main() -> io::Result<()> {
    let mut args = std::env::args().skip(1);
    let kind = match args.next().as_deref() {
        Some("echo") => Kind::Echo,
        Some("room") => Kind::Room,
        _ => usage(),
    };
    let port = args.next().and_then(|port| port.parse().ok()).unwrap_or_else(|| usage());
    Server::bind(kind, port)?.run()
}

fn usage() -> ! {
    eprintln!("usage: rawecho echo|room PORT");
    std::process::exit(2);
}

/// To whom bytes go.
#[derive(Clone, Copy, PartialEq)]
enum Kind {
    /// Back.
    Echo,
    /// To all others.
    Room,
}

/// All connections, and what they share.
struct Server {
    kind: Kind,
    poll: Poll,
    listener: TcpListener,
    conns: Slab<Conn>,
    buffer: Vec<u8>,
}

struct Conn {
    stream: TcpStream,
    /// What the socket did not take, and how much of that it has taken since.
    unsent: Vec<u8>,
    sent: usize,
    /// Reading stopped because of `unsent`; there may be more without a further edge.
    paused: bool,
}

impl Server {
    fn bind(kind: Kind, port: u16) -> io::Result<Server> {
        let poll = Poll::new()?;
        let mut listener = TcpListener::bind(SocketAddr::from((Ipv4Addr::LOCALHOST, port)))?;
        poll.registry().register(&mut listener, LISTENER, Interest::READABLE)?;
        Ok(Server { kind, poll, listener, conns: Slab::new(), buffer: vec![0; BUFFER_BYTES] })
    }

    fn run(mut self) -> io::Result<()> {
        let mut events = Events::with_capacity(EVENTS_MAX);
        loop {
            match self.poll.poll(&mut events, None) {
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                result => result?,
            }
            for event in &events {
                match event.token() {
                    LISTENER => self.accept()?,
                    Token(id) => self.serve(id, event),
                }
            }
        }
    }

    fn accept(&mut self) -> io::Result<()> {
        loop {
            let mut stream = match self.listener.accept() {
                Ok((stream, _)) => stream,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
                Err(error) => return Err(error),
            };
            stream.set_nodelay(true)?;
            let entry = self.conns.vacant_entry();
            let interest = Interest::READABLE | Interest::WRITABLE;
            self.poll.registry().register(&mut stream, Token(entry.key()), interest)?;
            entry.insert(Conn { stream, unsent: Vec::new(), sent: 0, paused: false });
        }
    }

    fn serve(&mut self, id: usize, event: &Event) {
        let Some(conn) = self.conns.get_mut(id) else { return };
        let mut goes_on = event.is_readable() || event.is_read_closed();
        if event.is_writable() && !conn.unsent.is_empty() {
            conn.drain();
            goes_on |= conn.unsent.is_empty() && std::mem::take(&mut conn.paused);
        }
        // After the peer's FIN no edge follows: read up to the end.
        if goes_on && self.read(id, event.is_read_closed() || event.is_error()) == Peer::Gone {
            self.conns.remove(id);
        }
    }

    /// Reads a connection until it is empty, and passes on what it said.
    fn read(&mut self, id: usize, closing: bool) -> Peer {
        loop {
            let Some(conn) = self.conns.get_mut(id) else { return Peer::Gone };
            // Who does not take what it asked for does not ask for more.
            if self.kind == Kind::Echo && !conn.unsent.is_empty() {
                conn.paused = true;
                return Peer::There;
            }
            let read = match conn.stream.read(&mut self.buffer) {
                Ok(0) => return Peer::Gone,
                Ok(read) => read,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Peer::There,
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                Err(_) => return Peer::Gone,
            };
            let bytes = &self.buffer[..read];
            match self.kind {
                Kind::Echo => conn.send(bytes),
                Kind::Room => {
                    for (other, conn) in &mut self.conns {
                        if other != id {
                            conn.send(bytes);
                        }
                    }
                }
            }
            // A read that does not fill the buffer has emptied the socket.
            if read < self.buffer.len() && !closing {
                return Peer::There;
            }
        }
    }
}

impl Conn {
    /// Writes, and keeps what the socket does not take.
    fn send(&mut self, bytes: &[u8]) {
        let taken = if self.unsent.is_empty() { write(&mut self.stream, bytes) } else { 0 };
        self.unsent.extend_from_slice(&bytes[taken..]);
    }

    fn drain(&mut self) {
        while self.sent < self.unsent.len() {
            match write(&mut self.stream, &self.unsent[self.sent..]) {
                0 => return,
                taken => self.sent += taken,
            }
        }
        (self.unsent, self.sent) = (Vec::new(), 0);
    }
}

/// How much the socket takes. A broken one takes everything: that it is broken shows when it is
/// read.
fn write(stream: &mut TcpStream, bytes: &[u8]) -> usize {
    match stream.write(bytes) {
        Ok(taken) => taken,
        Err(error) if error.kind() == ErrorKind::WouldBlock => 0,
        Err(_) => bytes.len(),
    }
}

#[derive(PartialEq)]
enum Peer {
    There,
    Gone,
}

const LISTENER: Token = Token(usize::MAX - 1);
const EVENTS_MAX: usize = 1024;

/// Smaller reads cost throughput at large messages, larger ones bring nothing.
const BUFFER_BYTES: usize = 512 * 1024;
