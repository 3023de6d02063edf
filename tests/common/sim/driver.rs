//! The event loop of a fake network: the steps of `net::reactor`, one by one and in its order, with
//! [`Link`]s for sockets and a number for the time. Whoever changes one changes the other.
//!
//! At the end of every tick it checks what must hold at any time.

use std::collections::VecDeque;
use std::net::SocketAddr;

use switchboard::engine::{Action, Door, Engine, Flow, Handler, Remote, Space};
use switchboard::timer::{Millis, UnixMillis};
use switchboard::{ConnId, Limits};

use super::link::{Io, Link};
use super::random::Random;

struct Socket {
    id: ConnId,
    link: usize,
    finishing: bool,
    /// In `ready`.
    ready: bool,
}

pub struct Driver<H> {
    pub engine: Engine<H>,
    pub limits: Limits,
    pub now: Millis,
    /// The time by the calendar at the start; it is moved when somebody sets the clock.
    pub epoch: UnixMillis,
    pub links: Vec<Link>,
    sockets: Vec<Option<Socket>>,
    backlog: VecDeque<usize>,
    events: VecDeque<usize>,
    ready: Vec<ConnId>,
    buffer: Vec<u8>,
    listening: bool,
    /// What was found wrong, in words.
    pub faults: Vec<String>,
    /// Counts everything that happens, to see when nothing does.
    pub progress: u64,
    idle_ticks: usize,
}

impl<H: Handler> Driver<H> {
    pub fn new(limits: Limits, handler: H) -> Driver<H> {
        let mut engine = Engine::new(limits, handler);
        engine.set_lend_min_bytes(LEND_MIN_BYTES);
        Driver {
            engine,
            limits,
            now: Millis(0),
            epoch: UnixMillis(1_800_000_000_000),
            links: Vec::new(),
            sockets: Vec::new(),
            backlog: VecDeque::new(),
            events: VecDeque::new(),
            ready: Vec::new(),
            buffer: vec![0; limits.read_buffer_bytes as usize],
            listening: true,
            faults: Vec::new(),
            progress: 0,
            idle_ticks: 0,
        }
    }

    // ---- the network ---------------------------------------------------------------------------

    /// A client connects; its link's place.
    pub fn connect(&mut self, buffer_max: usize, short_writes: usize, random: Random) -> usize {
        self.connect_to(Door::Public, buffer_max, short_writes, random)
    }

    /// The same, to a listener of this kind.
    pub fn connect_to(
        &mut self,
        door: Door,
        buffer_max: usize,
        short_writes: usize,
        random: Random,
    ) -> usize {
        let link = self.links.len();
        let ip = [10, 0, (link >> 8) as u8, link as u8];
        let peer = Remote::Tcp(SocketAddr::from((ip, 40_000)));
        let mut new = Link::new(peer, buffer_max, short_writes, random);
        new.door = door;
        if self.listening || door == Door::Admin {
            self.backlog.push_back(link);
        } else {
            new.refuse();
        }
        self.links.push(new);
        link
    }

    /// Something changed at this link: epoll would report it once.
    pub fn edge(&mut self, link: usize) {
        let known = self.links[link].id.is_some() && !self.links[link].is_released();
        if known && !self.links[link].queued {
            self.links[link].queued = true;
            self.events.push_back(link);
        }
    }

    /// Whether the loop would sleep.
    pub fn is_idle(&self) -> bool {
        self.events.is_empty()
            && self.backlog.is_empty()
            && self.ready.is_empty()
            && !self.engine.has_work()
    }

    // ---- the loop ------------------------------------------------------------------------------

    pub fn tick(&mut self) {
        let before = self.progress;
        let busy = !self.is_idle();
        let events: Vec<usize> = self.events.drain(..).collect();
        self.engine.begin_tick(self.now, self.epoch.after(self.now.0));
        self.accept();
        self.read(&events);
        self.engine.run_timers();
        self.engine.before_flush();
        self.flush();
        self.reap();
        self.check(busy && before == self.progress);
    }

    pub fn stop(&mut self) {
        self.listening = false;
        self.backlog.retain(|link| {
            let link = &mut self.links[*link];
            if link.door == Door::Public {
                link.refuse();
            }
            link.door == Door::Admin
        });
        self.engine.shut_down();
    }

    pub fn is_stopped(&self) -> bool {
        !self.listening
    }

    fn accept(&mut self) {
        for _ in 0..self.limits.accept_budget_max {
            let Some(link) = self.backlog.pop_front() else { return };
            self.progress += 1;
            let Some(id) = self.engine.accept(self.links[link].peer, self.links[link].door) else {
                self.links[link].release();
                continue;
            };
            if self.sockets.len() <= id.index() {
                self.sockets.resize_with(id.index() + 1, || None);
            }
            if self.sockets[id.index()].is_some() {
                self.faults.push(format!("conn {id} was given a place that is taken"));
            }
            self.sockets[id.index()] = Some(Socket { id, link, finishing: false, ready: false });
            self.links[link].id = Some(id);
            // Registering a socket that is ready gives an edge.
            self.edge(link);
        }
    }

    fn read(&mut self, events: &[usize]) {
        let mut resumed = Vec::new();
        self.engine.take_resumed(&mut resumed);
        let ready = std::mem::take(&mut self.ready);
        for &link in events {
            self.serve(link);
        }
        for id in ready {
            if let Some(Some(socket)) = self.sockets.get_mut(id.index())
                && socket.id == id
            {
                socket.ready = false;
                self.read_socket(id);
            }
        }
        for id in resumed {
            self.progress += 1;
            if self.engine.resume(id) == Flow::Read {
                self.read_socket(id);
            }
        }
    }

    fn serve(&mut self, link: usize) {
        self.links[link].queued = false;
        let Some(id) = self.links[link].id else { return };
        let Some(Some(socket)) = self.sockets.get_mut(id.index()) else { return };
        if socket.id != id {
            return;
        }
        self.progress += 1;
        let link = &self.links[link];
        socket.finishing |= link.is_read_closed() || link.is_error();
        let finishing = socket.finishing;
        if link.is_writable() {
            self.engine.writable(id);
        }
        if link.is_readable() || finishing {
            self.read_socket(id);
        }
    }

    fn read_socket(&mut self, id: ConnId) {
        if self.engine.flow(id) != Flow::Read {
            return;
        }
        let mut budget = self.limits.read_budget_bytes as usize;
        loop {
            let Some(Some(socket)) = self.sockets.get_mut(id.index()) else { return };
            if socket.id != id || socket.ready {
                return;
            }
            let before = self.engine.output(id).map_or(0, |outbox| outbox.len());
            let (buffer, direct) = match self.engine.space(id) {
                Space::Message(space) => (space, true),
                Space::ReadBuffer(max) => {
                    let len = max.min(self.buffer.len());
                    (&mut self.buffer[..len], false)
                }
            };
            let offered = buffer.len();
            match self.links[socket.link].read(buffer) {
                Io::Moved(0) => return self.engine.end_of_input(id),
                Io::Moved(read) => {
                    self.progress += 1;
                    let emptied = read < offered && !socket.finishing;
                    let flow = if direct {
                        self.engine.filled(id, read)
                    } else {
                        let (bytes, link) = (&mut self.buffer[..read], socket.link);
                        self.engine.receive_and_reply(id, bytes, |slices| {
                            match self.links[link].write_slices(slices) {
                                Io::Moved(written) => Some(written),
                                Io::Blocked => Some(0),
                                Io::Broken => None,
                            }
                        })
                    };
                    self.flush_large(id, before);
                    match flow {
                        Flow::Read if emptied => return,
                        Flow::Read => {}
                        Flow::Paused | Flow::Gone => return,
                    }
                    budget = budget.saturating_sub(read);
                    if budget == 0 {
                        if let Some(Some(socket)) = self.sockets.get_mut(id.index()) {
                            socket.ready = true;
                        }
                        self.ready.push(id);
                        return;
                    }
                }
                Io::Blocked => return,
                Io::Broken => return self.engine.reset(id),
            }
        }
    }

    fn flush_large(&mut self, id: ConnId, before: usize) {
        let len = self.engine.output(id).map_or(0, |outbox| outbox.len());
        if len.saturating_sub(before) >= EARLY_FLUSH_BYTES && !self.engine.is_blocked(id) {
            self.flush_one(id);
        }
    }

    fn flush(&mut self) {
        while let Some(id) = self.engine.next_dirty() {
            self.flush_one(id);
        }
    }

    fn flush_one(&mut self, id: ConnId) {
        let Some(Some(socket)) = self.sockets.get_mut(id.index()) else { return };
        let Some(outbox) = self.engine.output(id) else { return };
        self.progress += 1;
        if outbox.is_empty() {
            return self.engine.wrote(id, 0, 0);
        }
        match self.links[socket.link].write(outbox) {
            (Io::Moved(written), offered) => self.engine.wrote(id, written, offered),
            (Io::Blocked, offered) => self.engine.wrote(id, 0, offered),
            (Io::Broken, _) => self.engine.reset(id),
        }
    }

    fn reap(&mut self) {
        let mut actions = Vec::new();
        self.engine.reap(&mut actions);
        for action in actions {
            self.progress += 1;
            let (Action::Shutdown(id) | Action::Release(id)) = action;
            let place = self.sockets.get_mut(id.index());
            let Some(socket) = place.filter(|place| place.as_ref().is_some_and(|s| s.id == id))
            else {
                self.faults.push(format!("{action:?} for a socket that is not there"));
                continue;
            };
            let link = socket.as_ref().map_or(0, |socket| socket.link);
            match action {
                Action::Shutdown(_) => self.links[link].shut_down(),
                Action::Release(_) => {
                    self.links[link].release();
                    *socket = None;
                }
            }
        }
    }

    // ---- what must hold at any time ------------------------------------------------------------

    fn check(&mut self, stuck: bool) {
        let open: Vec<ConnId> = self.sockets.iter().flatten().map(|socket| socket.id).collect();
        if open.len() != self.engine.connections() {
            let counted = self.engine.connections();
            self.faults.push(format!("{} sockets, {counted} connections", open.len()));
        }
        let limits = &self.limits;
        let high = limits.outbox_high_bytes + limits.message_max_bytes + SLACK_BYTES;
        let mut queued = 0;
        for id in open {
            let len = self.engine.output(id).map_or(0, |outbox| outbox.len());
            queued += len;
            // An HTTP response is as long as it is; only messages are held to the mark.
            let mut is_open = false;
            self.engine.inject(|_, cx| is_open = cx.is_open(id));
            if is_open && len as u64 > high {
                self.faults.push(format!("conn {id}: outbox of {len} bytes"));
            }
        }
        let buffered = self.engine.buffered();
        let counted = self.engine.recount();
        if buffered != counted || buffered < queued {
            let text = format!("buffered {buffered}, counted {counted}, queued {queued}");
            self.faults.push(text);
        }
        let total = limits.outbox_total_bytes + limits.read_buffer_bytes + SLACK_BYTES;
        if buffered as u64 > total {
            self.faults.push(format!("{buffered} bytes buffered, {total} allowed"));
        }
        self.idle_ticks = if stuck { self.idle_ticks + 1 } else { 0 };
        if self.idle_ticks > 3 {
            self.faults.push("busy, and nothing happens".to_owned());
        }
        if self.engine.next_deadline().is_some_and(|at| at <= self.now) {
            self.faults.push("a deadline that has passed is still to come".to_owned());
        }
    }
}

/// Control frames and headers come on top of a limit.
const SLACK_BYTES: u64 = 1024;

/// Less than the real event loop's, as all sizes are here.
const EARLY_FLUSH_BYTES: usize = 512;

/// Less than the engine's own, for the same reason.
const LEND_MIN_BYTES: usize = 64;
