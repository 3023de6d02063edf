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
use mio::{Events, Interest, Poll, Token};
use signal_hook::consts::SIGHUP;
use signal_hook_mio::v1_0::Signals;

use super::Call;
use super::listener::Listener;
use super::signals::SecondSignal;
use super::sockets::{Edge, Sockets};
use super::tally::Tally;
use super::transport::{Kernel, Transport};
use crate::config::Limits;
use crate::engine::{Door, Engine, Handler, Remote};
use crate::timer::{Millis, UnixMillis};

pub(super) struct Reactor<H: Handler> {
    poll: Poll,
    engine: Engine<H>,
    /// Each in the place that its token names; `None` if it is closed.
    listeners: Vec<Option<Listener>>,
    sockets: Sockets<Kernel>,
    kernel: Kernel,
    calls: Receiver<Call<H>>,
    signals: Option<(Signals, SecondSignal)>,
    /// `accept` failed; not before this is it tried again.
    accept_after: Option<Millis>,
    /// Newcomers for whom there was no place, not even for a 503.
    turned_away: Tally,
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
            sockets: Sockets::new(limits),
            kernel: Kernel::default(),
            calls,
            signals: None,
            accept_after: None,
            turned_away: Tally::new(),
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
            self.sockets.flush(&mut self.engine, &mut self.kernel);
            self.reap();
            if let Some(stop_by) = self.stop_by
                && (self.engine.is_drained() || self.now >= stop_by)
            {
                self.report_turned_away(Millis(u64::MAX));
                info!("stopped connections_left={}", self.engine.connections());
                // The handler is told of the end of every connection, even of these.
                for id in self.sockets.ids() {
                    self.engine.reset(id);
                }
                self.reap();
                return Ok(());
            }
        }
    }

    /// Sleeps until something happens, or is due.
    fn wait(&mut self, events: &mut Events) -> io::Result<()> {
        let accepting = self.listeners.iter().flatten().any(|listener| listener.pending);
        let idle = !self.sockets.has_ready() && !self.engine.has_work();
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
        let registered = transport.register(self.poll.registry(), Token(id.index()));
        self.sockets.insert(id, transport);
        if let Err(error) = registered {
            debug!("register_failed conn={id} error=\"{error}\"");
            self.engine.reset(id);
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
        let edges = events.iter().map(|event| {
            let edge = Edge {
                readable: event.is_readable(),
                writable: event.is_writable(),
                finishing: event.is_read_closed() || event.is_error(),
            };
            (event.token().0, edge)
        });
        self.sockets.read(&mut self.engine, &mut self.kernel, edges);
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

    // ---- 7: reap -------------------------------------------------------------------------------

    fn reap(&mut self) {
        if self.sockets.reap(&mut self.engine, &mut self.kernel) > 0 {
            // There is a descriptor again.
            self.accept_after = None;
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

/// How long `accept` rests when the machine has no descriptor or memory for it.
const ACCEPT_RETRY_MS: u64 = 100;
