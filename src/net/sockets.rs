//! The connections' sockets, between the event queue and the [`Engine`]: steps 2, 6 and 7 of a
//! tick.
//!
//! ```text
//!   place     0            1           2
//!          [ socket #7 ][ free      ][ socket #9 ]      a ConnId is a place and a serial number
//!
//!   read      edges, the ready list, resumed   until empty, paused, or the budget is used up
//!   flush     dirty                            one write each
//!   reap      actions                          FIN, or gone
//! ```
//!
//! What moves the bytes is a [`Network`]: the kernel in a server, a simulated one in the tests. So
//! what is tested under every order of edges and short writes is the code that serves.
//!
//! This module knows neither mio nor any kind of socket, and does not accept.

use std::fmt;
use std::io::IoSlice;

use log::debug;

use super::transport::Io;
use crate::config::Limits;
use crate::engine::{Action, Engine, Flow, Handler, Space};
use crate::hub::ConnId;
use crate::outbox::Outbox;

/// What moves bytes in and out of non-blocking sockets.
pub trait Network {
    /// A connected, non-blocking socket.
    type Socket;

    /// One `read`. `Moved(0)` is the peer's FIN.
    fn read(&mut self, socket: &mut Self::Socket, buffer: &mut [u8]) -> Io;

    /// One `write` of what an outbox has; also says how many bytes were offered.
    fn write(&mut self, socket: &mut Self::Socket, outbox: &Outbox) -> (Io, usize);

    /// One `writev`.
    fn write_slices(&mut self, socket: &mut Self::Socket, slices: &[IoSlice<'_>]) -> Io;

    /// Sends FIN. The socket may be broken already.
    fn shut_down(&mut self, socket: &mut Self::Socket);

    /// Closes it.
    fn release(&mut self, socket: Self::Socket);
}

/// What an edge-triggered event queue says of a socket: what has changed since it said so last.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Edge {
    /// There is something to read.
    pub readable: bool,
    /// There is room to write.
    pub writable: bool,
    /// The peer's FIN or RST was seen: no edge comes behind it.
    pub finishing: bool,
}

/// The sockets of an engine's connections.
pub struct Sockets<N: Network> {
    /// Each in the place that its connection's id names.
    places: Vec<Option<Place<N::Socket>>>,
    /// The one read buffer.
    buffer: Vec<u8>,
    /// Connections to be read without waiting for an edge.
    ready: Vec<ConnId>,
    /// To be filled anew in each tick.
    resumed: Vec<ConnId>,
    /// Likewise.
    actions: Vec<Action>,
    read_budget: usize,
    early_flush: usize,
}

/// A connection's socket.
struct Place<S> {
    /// With the place, the connection's [`ConnId`].
    serial: u32,
    socket: S,
    /// The kernel has seen the peer's FIN or RST: read on until it shows, for no edge follows.
    finishing: bool,
    /// On the ready list, once.
    ready: bool,
}

impl<N: Network> Sockets<N> {
    /// None yet. `limits` has the length of the read buffer, and what one connection may take of
    /// a tick.
    pub fn new(limits: &Limits) -> Sockets<N> {
        Sockets {
            places: Vec::new(),
            buffer: vec![0; limits.read_buffer_bytes as usize],
            ready: Vec::new(),
            resumed: Vec::new(),
            actions: Vec::new(),
            read_budget: limits.read_budget_bytes as usize,
            early_flush: EARLY_FLUSH_BYTES,
        }
    }

    /// What a connection's own replies must come to, in bytes, for leaving before the end of the
    /// tick. Tests make it small.
    pub fn set_early_flush_bytes(&mut self, bytes: usize) {
        self.early_flush = bytes;
    }

    /// The socket of a connection that was just accepted.
    pub fn insert(&mut self, id: ConnId, socket: N::Socket) {
        if self.places.len() <= id.index() {
            self.places.resize_with(id.index() + 1, || None);
        }
        let place = &mut self.places[id.index()];
        debug_assert!(place.is_none(), "connection {id} was given a place that is taken");
        *place = Some(Place { serial: id.serial(), socket, finishing: false, ready: false });
    }

    /// The connections that have a socket.
    pub fn ids(&self) -> impl Iterator<Item = ConnId> {
        let places = self.places.iter().enumerate();
        places.filter_map(|(index, place)| Some(ConnId::new(index, place.as_ref()?.serial)))
    }

    /// Whether there is something to read of which no edge will tell.
    pub fn has_ready(&self) -> bool {
        !self.ready.is_empty()
    }

    // ---- 2: read and deliver -------------------------------------------------------------------

    /// Reads what has come, and hands it to the engine. Edges are said of places; those of other
    /// things are passed over. Returns how many connections had a turn.
    pub fn read<H: Handler>(
        &mut self,
        engine: &mut Engine<H>,
        network: &mut N,
        edges: impl IntoIterator<Item = (usize, Edge)>,
    ) -> usize {
        let mut resumed = std::mem::take(&mut self.resumed);
        engine.take_resumed(&mut resumed);
        let ready = std::mem::take(&mut self.ready);
        let mut turns = ready.len() + resumed.len();
        for (index, edge) in edges {
            turns += usize::from(self.serve(engine, network, index, edge));
        }
        for id in ready {
            if let Some(place) = self.place(id) {
                place.ready = false;
                self.read_socket(engine, network, id);
            }
        }
        for id in resumed.drain(..) {
            if engine.resume(id) == Flow::Read {
                self.read_socket(engine, network, id);
            }
        }
        self.resumed = resumed;
        turns
    }

    fn serve<H: Handler>(
        &mut self,
        engine: &mut Engine<H>,
        network: &mut N,
        index: usize,
        edge: Edge,
    ) -> bool {
        // A socket is released only at the end of a tick, when all events of its batch are
        // handled, and a closed descriptor gives no further ones: the place names the connection.
        let Some(Some(place)) = self.places.get_mut(index) else { return false };
        let id = ConnId::new(index, place.serial);
        place.finishing |= edge.finishing;
        let finishing = place.finishing;
        if edge.writable {
            engine.writable(id);
        }
        if edge.readable || finishing {
            self.read_socket(engine, network, id);
        }
        true
    }

    /// Reads until the socket is empty, the connection pauses, or the budget is used up.
    fn read_socket<H: Handler>(&mut self, engine: &mut Engine<H>, network: &mut N, id: ConnId) {
        // A paused connection is not read; when it resumes it is read without an edge.
        if engine.flow(id) != Flow::Read {
            return;
        }
        let mut budget = self.read_budget;
        loop {
            let Some(Some(place)) = self.places.get_mut(id.index()) else { return };
            // On the ready list it has its turn there: one budget per tick, whatever edges come.
            if place.serial != id.serial() || place.ready {
                return;
            }
            // A large message is read to where it belongs, all else into the shared buffer.
            let before = engine.output(id).map_or(0, |outbox| outbox.len());
            let (buffer, direct) = match engine.space(id) {
                Space::Message(space) => (space, true),
                Space::ReadBuffer(max) => {
                    let len = max.min(self.buffer.len());
                    (&mut self.buffer[..len], false)
                }
            };
            let offered = buffer.len();
            match network.read(&mut place.socket, buffer) {
                Io::Moved(0) => return engine.end_of_input(id),
                Io::Moved(read) => {
                    let emptied = read < offered && !place.finishing;
                    let flow = if direct {
                        engine.filled(id, read)
                    } else {
                        let bytes = &mut self.buffer[..read];
                        engine.receive_and_reply(id, bytes, |slices| {
                            match network.write_slices(&mut place.socket, slices) {
                                Io::Moved(written) => Some(written),
                                Io::Blocked => Some(0),
                                Io::Broken(error) => {
                                    debug!("write_failed conn={id} error=\"{error}\"");
                                    None
                                }
                            }
                        })
                    };
                    self.flush_large(engine, network, id, before);
                    match flow {
                        Flow::Read if emptied => return,
                        Flow::Read => {}
                        // What is left in the socket is read when the engine resumes.
                        Flow::Paused | Flow::Gone => return,
                    }
                    budget = budget.saturating_sub(read);
                    if budget == 0 {
                        // The others first; no edge will come for what is left.
                        if let Some(Some(place)) = self.places.get_mut(id.index()) {
                            place.ready = true;
                        }
                        self.ready.push(id);
                        return;
                    }
                }
                Io::Blocked => return,
                Io::Broken(error) => {
                    debug!("read_failed conn={id} error=\"{error}\"");
                    return engine.reset(id);
                }
            }
        }
    }

    /// What a connection was sent during its own read leaves at once if it is much: the cache still
    /// has it, and its buffer serves the next connection of this tick. All else waits, so that it
    /// can leave in one write; `before` of it was there already.
    fn flush_large<H: Handler>(
        &mut self,
        engine: &mut Engine<H>,
        network: &mut N,
        id: ConnId,
        before: usize,
    ) {
        let len = engine.output(id).map_or(0, |outbox| outbox.len());
        if len.saturating_sub(before) >= self.early_flush && !engine.is_blocked(id) {
            self.flush_one(engine, network, id);
        }
    }

    // ---- 6: flush ------------------------------------------------------------------------------

    /// Writes what is to be sent, once for each connection that has something. Returns how many
    /// there were.
    pub fn flush<H: Handler>(&mut self, engine: &mut Engine<H>, network: &mut N) -> usize {
        let mut flushed = 0;
        while let Some(id) = engine.next_dirty() {
            self.flush_one(engine, network, id);
            flushed += 1;
        }
        flushed
    }

    fn flush_one<H: Handler>(&mut self, engine: &mut Engine<H>, network: &mut N, id: ConnId) {
        let Some(Some(place)) = self.places.get_mut(id.index()) else { return };
        let Some(outbox) = engine.output(id) else { return };
        if outbox.is_empty() {
            return engine.wrote(id, 0, 0);
        }
        match network.write(&mut place.socket, outbox) {
            (Io::Moved(written), offered) => engine.wrote(id, written, offered),
            (Io::Blocked, offered) => engine.wrote(id, 0, offered),
            (Io::Broken(error), _) => {
                debug!("write_failed conn={id} error=\"{error}\"");
                engine.reset(id);
            }
        }
    }

    // ---- 7: reap -------------------------------------------------------------------------------

    /// Ends what the engine has done with. Returns how many sockets were closed.
    pub fn reap<H: Handler>(&mut self, engine: &mut Engine<H>, network: &mut N) -> usize {
        let mut released = 0;
        let mut actions = std::mem::take(&mut self.actions);
        engine.reap(&mut actions);
        for action in actions.drain(..) {
            let (Action::Shutdown(id) | Action::Release(id)) = action;
            debug_assert!(self.place(id).is_some(), "{action:?} of a socket that is not there");
            match action {
                Action::Shutdown(_) => {
                    if let Some(place) = self.place(id) {
                        network.shut_down(&mut place.socket);
                    }
                }
                Action::Release(_) => {
                    if let Some(place) = self.places.get_mut(id.index()).and_then(Option::take) {
                        network.release(place.socket);
                        released += 1;
                    }
                }
            }
        }
        self.actions = actions;
        released
    }

    fn place(&mut self, id: ConnId) -> Option<&mut Place<N::Socket>> {
        let place = self.places.get_mut(id.index())?.as_mut()?;
        (place.serial == id.serial()).then_some(place)
    }
}

impl<N: Network> fmt::Debug for Sockets<N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sockets = self.places.iter().flatten().count();
        f.debug_struct("Sockets").field("sockets", &sockets).finish_non_exhaustive()
    }
}

/// What a connection's own replies must come to for leaving before the end of the tick.
const EARLY_FLUSH_BYTES: usize = 16 * 1024;

#[cfg(all(test, target_pointer_width = "64"))]
mod tests {
    use super::super::transport::Transport;
    use super::*;

    #[test]
    fn a_socket_is_16_bytes_in_its_place() {
        // A debug build of mio remembers with each socket where it is registered.
        let bytes = if cfg!(debug_assertions) { 32 } else { 16 };
        assert_eq!(size_of::<Option<Place<Transport>>>(), bytes);
    }
}
