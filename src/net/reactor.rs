//! The event loop: `epoll`, and the seven steps of a tick.
//!
//! Every socket is registered once, edge-triggered, for reading and writing. An edge comes once:
//! whoever does not read a socket until it is empty must remember that there is more. A read that
//! does not fill the buffer has emptied the socket (Linux and the BSDs guarantee an edge for what
//! comes later), so a message costs one `read` and one `write` and no `epoll_ctl`.

use std::fmt;
use std::io;
use std::sync::mpsc::Receiver;
use std::time::{Duration, Instant, SystemTime};

use log::{debug, info, warn};
use mio::event::Event;
use mio::{Events, Interest, Poll, Token};
use signal_hook::consts::SIGHUP;
use signal_hook_mio::v1_0::Signals;

use super::Call;
use super::listener::Listener;
use super::signals::SecondSignal;
use super::tally::Tally;
use super::transport::{Io, Transport};
use crate::config::Limits;
use crate::engine::{Action, Door, Engine, Flow, Handler, Remote, Space};
use crate::hub::ConnId;
use crate::timer::{Millis, UnixMillis};

/// A connection's socket, in the place that its id names.
#[derive(Debug)]
struct Socket {
    /// With the place, the connection's [`ConnId`].
    serial: u32,
    transport: Transport,
    /// The kernel has seen the peer's FIN or RST: read on until it shows, for no edge follows.
    finishing: bool,
    /// On the ready list, once.
    ready: bool,
}

pub(super) struct Reactor<H: Handler> {
    poll: Poll,
    engine: Engine<H>,
    /// Each in the place that its token names; `None` if it is closed.
    listeners: Vec<Option<Listener>>,
    sockets: Vec<Option<Socket>>,
    calls: Receiver<Call<H>>,
    signals: Option<(Signals, SecondSignal)>,
    /// The one read buffer.
    buffer: Vec<u8>,
    /// Where frames are put together for a `write`.
    scratch: Vec<u8>,
    /// Connections to be read without waiting for an edge.
    ready: Vec<ConnId>,
    /// `accept` failed; not before this is it tried again.
    accept_after: Option<Millis>,
    /// Newcomers for whom there was no place, not even for a 503.
    turned_away: Tally,
    read_budget: usize,
    accept_budget: usize,
    started: Instant,
    /// The time of this tick: the clock is read once in each.
    now: Millis,
    stop_by: Option<Millis>,
    stop_timeout_ms: u64,
}

impl<H: Handler> Reactor<H> {
    pub fn new(
        poll: Poll,
        engine: Engine<H>,
        mut listeners: Vec<Listener>,
        calls: Receiver<Call<H>>,
        limits: &Limits,
    ) -> io::Result<Reactor<H>> {
        for (i, listener) in listeners.iter_mut().enumerate() {
            let token = Token(LISTENER_FIRST - i);
            listener.register(poll.registry(), token)?;
        }
        Ok(Reactor {
            poll,
            engine,
            listeners: listeners.into_iter().map(Some).collect(),
            sockets: Vec::new(),
            calls,
            signals: None,
            buffer: vec![0; limits.read_buffer_bytes as usize],
            scratch: Vec::new(),
            ready: Vec::new(),
            accept_after: None,
            turned_away: Tally::new(),
            read_budget: limits.read_budget_bytes as usize,
            accept_budget: limits.accept_budget_max as usize,
            started: Instant::now(),
            now: Millis(0),
            stop_by: None,
            stop_timeout_ms: limits.shutdown_timeout_ms,
        })
    }

    pub fn watch_signals(&mut self, mut signals: Signals, second: SecondSignal) -> io::Result<()> {
        self.poll.registry().register(&mut signals, SIGNALS, Interest::READABLE)?;
        self.signals = Some((signals, second));
        Ok(())
    }

    pub fn run(mut self) -> io::Result<()> {
        let mut events = Events::with_capacity(EVENTS_MAX);
        let mut actions = Vec::new();
        loop {
            self.wait(&mut events)?;
            self.now = Millis(self.started.elapsed().as_millis() as u64);
            self.engine.begin_tick(self.now, wall());
            self.note_listeners(&events);
            self.accept();
            self.report_turned_away(self.now);
            self.read(&events);
            self.run_calls();
            self.take_signals(&events);
            self.engine.run_timers();
            self.engine.before_flush();
            self.flush();
            self.reap(&mut actions);
            if let Some(stop_by) = self.stop_by
                && (self.engine.is_drained() || self.now >= stop_by)
            {
                self.report_turned_away(Millis(u64::MAX));
                info!("stopped connections_left={}", self.engine.connections());
                // The handler is told of the end of every connection, even of these.
                for (index, socket) in self.sockets.iter().enumerate() {
                    if let Some(socket) = socket {
                        self.engine.reset(ConnId::new(index, socket.serial));
                    }
                }
                self.engine.reap(&mut actions);
                return Ok(());
            }
        }
    }

    /// Sleeps until something happens, or is due.
    fn wait(&mut self, events: &mut Events) -> io::Result<()> {
        let accepting = self.listeners.iter().flatten().any(|listener| listener.pending);
        let idle = self.ready.is_empty() && !self.engine.has_work();
        let timeout = if !idle || (accepting && self.accept_after.is_none()) {
            Some(Duration::ZERO)
        } else {
            let accept = self.accept_after.filter(|_| accepting);
            let next = [self.engine.next_deadline(), self.stop_by, accept, self.turned_away.due()];
            let next = next.into_iter().flatten().min();
            next.map(|at| Duration::from_millis(at.since(self.now)))
        };
        match self.poll.poll(events, timeout) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {
                events.clear();
                Ok(())
            }
            result => result,
        }
    }

    // ---- 1: accept -----------------------------------------------------------------------------

    fn note_listeners(&mut self, events: &Events) {
        for event in events {
            let place = LISTENER_FIRST.wrapping_sub(event.token().0);
            if let Some(Some(listener)) = self.listeners.get_mut(place) {
                listener.pending = true;
            }
        }
    }

    fn accept(&mut self) {
        if self.accept_after.is_some_and(|after| self.now < after) {
            return;
        }
        self.accept_after = None;
        let mut budget = self.accept_budget;
        for i in 0..self.listeners.len() {
            while let Some(listener) = &mut self.listeners[i]
                && listener.pending
                && budget > 0
            {
                budget -= 1;
                match listener.accept() {
                    Ok((transport, peer)) => {
                        let door = listener.listen.door;
                        self.admit(transport, peer, door);
                    }
                    Err(error) => match error.kind() {
                        io::ErrorKind::WouldBlock => listener.pending = false,
                        // The client gave up before we came, or a signal: the next one.
                        io::ErrorKind::Interrupted | io::ErrorKind::ConnectionAborted => {}
                        // Out of descriptors or memory. The edge is spent, so it is on us to try
                        // again, but not at once: that would spin.
                        _ => {
                            warn!("accept_failed error=\"{error}\" retry_ms={ACCEPT_RETRY_MS}");
                            self.accept_after = Some(self.now.after(ACCEPT_RETRY_MS));
                            return;
                        }
                    },
                }
            }
        }
    }

    fn admit(&mut self, mut transport: Transport, peer: Remote, door: Door) {
        let Some(id) = self.engine.accept(peer, door) else {
            self.turned_away.add(peer);
            return;
        };
        match transport.register(self.poll.registry(), Token(id.index())) {
            Ok(()) => {
                if self.sockets.len() <= id.index() {
                    self.sockets.resize_with(id.index() + 1, || None);
                }
                let serial = id.serial();
                self.sockets[id.index()] =
                    Some(Socket { serial, transport, finishing: false, ready: false });
            }
            Err(error) => {
                debug!("register_failed conn={id} error=\"{error}\"");
                self.engine.reset(id);
            }
        }
    }

    fn report_turned_away(&mut self, now: Millis) {
        if let Some((connections, last_peer)) = self.turned_away.take(now) {
            warn!(
                "dropped connections={connections} last_peer={last_peer} \
                 reason=\"too many connections, no place for a 503\""
            );
        }
    }

    // ---- 2: read and deliver -------------------------------------------------------------------

    fn read(&mut self, events: &Events) {
        let mut resumed = Vec::new();
        self.engine.take_resumed(&mut resumed);
        let ready = std::mem::take(&mut self.ready);
        for event in events {
            self.serve(event);
        }
        for id in ready {
            if let Some(Some(socket)) = self.sockets.get_mut(id.index())
                && socket.serial == id.serial()
            {
                socket.ready = false;
                self.read_socket(id);
            }
        }
        for id in resumed {
            if self.engine.resume(id) == Flow::Read {
                self.read_socket(id);
            }
        }
    }

    fn serve(&mut self, event: &Event) {
        // A socket is released only at the end of a tick, when all events of its batch are
        // handled, and a closed descriptor gives no further ones: the place names the connection.
        let index = event.token().0;
        let Some(Some(socket)) = self.sockets.get_mut(index) else { return };
        let id = ConnId::new(index, socket.serial);
        socket.finishing |= event.is_read_closed() || event.is_error();
        let finishing = socket.finishing;
        if event.is_writable() {
            self.engine.writable(id);
        }
        if event.is_readable() || finishing {
            self.read_socket(id);
        }
    }

    /// Reads until the socket is empty, the connection pauses, or the budget is used up.
    fn read_socket(&mut self, id: ConnId) {
        // A paused connection is not read; when it resumes it is read without an edge.
        if self.engine.flow(id) != Flow::Read {
            return;
        }
        let mut budget = self.read_budget;
        loop {
            let Some(Some(socket)) = self.sockets.get_mut(id.index()) else { return };
            // On the ready list it has its turn there: one budget per tick, whatever edges come.
            if socket.serial != id.serial() || socket.ready {
                return;
            }
            // A large message is read to where it belongs, all else into the shared buffer.
            let before = self.engine.output(id).map_or(0, |outbox| outbox.len());
            let (buffer, direct) = match self.engine.space(id) {
                Space::Message(space) => (space, true),
                Space::ReadBuffer(max) => {
                    let len = max.min(self.buffer.len());
                    (&mut self.buffer[..len], false)
                }
            };
            let offered = buffer.len();
            match socket.transport.read(buffer) {
                Io::Moved(0) => return self.engine.end_of_input(id),
                Io::Moved(read) => {
                    let emptied = read < offered && !socket.finishing;
                    let flow = if direct {
                        self.engine.filled(id, read)
                    } else {
                        let bytes = &mut self.buffer[..read];
                        self.engine.receive_and_reply(id, bytes, |slices| {
                            match socket.transport.write_slices(slices) {
                                Io::Moved(written) => Some(written),
                                Io::Blocked => Some(0),
                                Io::Broken(error) => {
                                    debug!("write_failed conn={id} error=\"{error}\"");
                                    None
                                }
                            }
                        })
                    };
                    self.flush_large(id, before);
                    match flow {
                        Flow::Read if emptied => return,
                        Flow::Read => {}
                        // What is left in the socket is read when the engine resumes.
                        Flow::Paused | Flow::Gone => return,
                    }
                    budget = budget.saturating_sub(read);
                    if budget == 0 {
                        // The others first; no edge will come for what is left.
                        if let Some(Some(socket)) = self.sockets.get_mut(id.index()) {
                            socket.ready = true;
                        }
                        self.ready.push(id);
                        return;
                    }
                }
                Io::Blocked => return,
                Io::Broken(error) => {
                    debug!("read_failed conn={id} error=\"{error}\"");
                    return self.engine.reset(id);
                }
            }
        }
    }

    /// What a connection was sent during its own read leaves at once if it is much: the cache still
    /// has it, and its buffer serves the next connection of this tick. All else waits, so that it
    /// can leave in one write; `before` of it was there already.
    fn flush_large(&mut self, id: ConnId, before: usize) {
        let len = self.engine.output(id).map_or(0, |outbox| outbox.len());
        if len.saturating_sub(before) >= EARLY_FLUSH_BYTES && !self.engine.is_blocked(id) {
            self.flush_one(id);
        }
    }

    // ---- 3: inject -----------------------------------------------------------------------------

    fn run_calls(&mut self) {
        // As many as there may be waiting, so that a busy thread cannot keep the loop here.
        for _ in 0..super::CALLS_MAX {
            match self.calls.try_recv() {
                Ok(Call::Run(call)) => self.engine.inject(call),
                Ok(Call::Stop) => self.stop(),
                Err(_) => return,
            }
        }
        // The waker's edge is spent.
    }

    fn take_signals(&mut self, events: &Events) {
        if !events.iter().any(|event| event.token() == SIGNALS) {
            return;
        }
        let Some((signals, _)) = &mut self.signals else { return };
        let caught: Vec<i32> = signals.pending().collect();
        for signal in caught {
            if signal == SIGHUP {
                self.engine.hang_up();
                continue;
            }
            // `SecondSignal` is quicker where a signal was the first; this is for a `Handle`.
            if self.stop_by.is_some() {
                warn!("signal={signal} second=true exiting now");
                log::logger().flush();
                std::process::exit(128 + signal);
            }
            info!("signal={signal} stopping connections={}", self.engine.connections());
            self.stop();
        }
    }

    fn stop(&mut self) {
        if self.stop_by.is_none() {
            self.stop_by = Some(self.now.after(self.stop_timeout_ms));
            // Who watches the server, or waits for what it is doing, may still ask.
            for place in &mut self.listeners {
                if place.as_ref().is_some_and(|listener| listener.listen.door == Door::Public) {
                    *place = None;
                }
            }
            self.engine.shut_down();
        }
    }

    // ---- 6 and 7: flush, reap ------------------------------------------------------------------

    fn flush(&mut self) {
        while let Some(id) = self.engine.next_dirty() {
            self.flush_one(id);
        }
    }

    fn flush_one(&mut self, id: ConnId) {
        let Some(Some(socket)) = self.sockets.get_mut(id.index()) else { return };
        let Some(outbox) = self.engine.output(id) else { return };
        if outbox.is_empty() {
            return self.engine.wrote(id, 0, 0);
        }
        match socket.transport.write(outbox, &mut self.scratch) {
            (Io::Moved(written), offered) => self.engine.wrote(id, written, offered),
            (Io::Blocked, offered) => self.engine.wrote(id, 0, offered),
            (Io::Broken(error), _) => {
                debug!("write_failed conn={id} error=\"{error}\"");
                self.engine.reset(id);
            }
        }
    }

    fn reap(&mut self, actions: &mut Vec<Action>) {
        self.engine.reap(actions);
        for action in actions.drain(..) {
            match action {
                Action::Shutdown(id) => {
                    if let Some(Some(socket)) = self.sockets.get(id.index())
                        && socket.serial == id.serial()
                    {
                        socket.transport.shut_down();
                    }
                }
                Action::Release(id) => {
                    if let Some(place) = self.sockets.get_mut(id.index()) {
                        *place = None;
                        // There is a descriptor again.
                        self.accept_after = None;
                    }
                }
            }
        }
    }
}

impl<H: Handler> fmt::Debug for Reactor<H> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reactor").field("listeners", &self.listeners).finish_non_exhaustive()
    }
}

/// The time by the calendar; 1970 itself where a clock says that it is earlier.
fn wall() -> UnixMillis {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    UnixMillis(since.as_millis() as u64)
}

pub(super) const WAKER: Token = Token(usize::MAX);
const SIGNALS: Token = Token(usize::MAX - 1);
/// Listeners count down from here, connections count up from 0.
const LISTENER_FIRST: usize = usize::MAX - 2;

/// Events per `epoll_wait`.
const EVENTS_MAX: usize = 1024;

/// What a connection's own replies must come to for leaving before the end of the tick.
const EARLY_FLUSH_BYTES: usize = 16 * 1024;

/// How long `accept` rests when the machine has no descriptor or memory for it.
const ACCEPT_RETRY_MS: u64 = 100;

#[cfg(all(test, target_pointer_width = "64"))]
mod tests {
    use super::*;

    #[test]
    fn a_socket_is_16_bytes_in_its_place() {
        // A debug build of mio remembers with each socket where it is registered.
        let bytes = if cfg!(debug_assertions) { 32 } else { 16 };
        assert_eq!(size_of::<Option<Socket>>(), bytes);
    }
}
