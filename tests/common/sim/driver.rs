//! The event loop of a fake network: the steps of `net::reactor` in its order, with [`Link`]s for
//! sockets and a number for the time. What reads, writes and closes is the server's own
//! [`Sockets`]; accepting, and the queue of edges, are this module's.
//!
//! At the end of every tick it checks what must hold at any time.

use std::collections::VecDeque;
use std::io::IoSlice;
use std::net::SocketAddr;
use std::ops::{Deref, DerefMut};

use switchboard::engine::{Door, Engine, Handler, Remote};
use switchboard::net::{Edge, Io, Network, Sockets};
use switchboard::outbox::Outbox;
use switchboard::timer::{Millis, UnixMillis};
use switchboard::{ConnId, Limits};

use super::link::Link;
use super::random::Random;

/// The fake connections, as the server's sockets: each is its place here.
#[derive(Default)]
pub struct Links(Vec<Link>);

pub struct Driver<H> {
    pub engine: Engine<H>,
    pub limits: Limits,
    pub now: Millis,
    /// The time by the calendar at the start; it is moved when somebody sets the clock.
    pub epoch: UnixMillis,
    pub links: Links,
    sockets: Sockets<Links>,
    backlog: VecDeque<usize>,
    events: VecDeque<usize>,
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
        let mut sockets = Sockets::new(&limits);
        sockets.set_early_flush_bytes(EARLY_FLUSH_BYTES);
        Driver {
            engine,
            limits,
            now: Millis(0),
            epoch: UnixMillis(1_800_000_000_000),
            links: Links::default(),
            sockets,
            backlog: VecDeque::new(),
            events: VecDeque::new(),
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
            && !self.sockets.has_ready()
            && !self.engine.has_work()
    }

    // ---- the loop ------------------------------------------------------------------------------

    pub fn tick(&mut self) {
        let before = self.progress;
        let busy = !self.is_idle();
        let edges = self.wait();
        self.engine.begin_tick(self.now, self.epoch.after(self.now.0));
        self.accept();
        self.read(edges);
        self.engine.run_timers();
        self.engine.before_flush();
        self.progress += self.sockets.flush(&mut self.engine, &mut self.links) as u64;
        self.progress += self.sockets.reap(&mut self.engine, &mut self.links) as u64;
        self.check(busy && before == self.progress);
    }

    pub fn stop(&mut self) {
        self.listening = false;
        let links = &mut self.links;
        self.backlog.retain(|link| {
            let link = &mut links[*link];
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
            self.sockets.insert(id, link);
            self.links[link].id = Some(id);
            // Registering a socket that is ready gives an edge.
            self.edge(link);
        }
    }

    /// What has changed, as the event queue says it when somebody waits for it.
    fn wait(&mut self) -> Vec<(usize, Edge)> {
        let links = &mut self.links;
        let edges = self.events.drain(..).filter_map(|link| {
            let link = &mut links[link];
            link.queued = false;
            let edge = Edge {
                readable: link.is_readable(),
                writable: link.is_writable(),
                finishing: link.is_read_closed() || link.is_error(),
            };
            // A descriptor that is closed gives no edges any more.
            let id = link.id.filter(|_| !link.is_released())?;
            Some((id.index(), edge))
        });
        edges.collect()
    }

    fn read(&mut self, edges: Vec<(usize, Edge)>) {
        let turns = self.sockets.read(&mut self.engine, &mut self.links, edges);
        self.progress += turns as u64;
    }

    // ---- what must hold at any time ------------------------------------------------------------

    fn check(&mut self, stuck: bool) {
        let open: Vec<ConnId> = self.sockets.ids().collect();
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

impl Deref for Links {
    type Target = Vec<Link>;

    fn deref(&self) -> &Vec<Link> {
        &self.0
    }
}

impl DerefMut for Links {
    fn deref_mut(&mut self) -> &mut Vec<Link> {
        &mut self.0
    }
}

impl Network for Links {
    type Socket = usize;

    fn read(&mut self, socket: &mut usize, buffer: &mut [u8]) -> Io {
        self[*socket].read(buffer)
    }

    fn write(&mut self, socket: &mut usize, outbox: &Outbox) -> (Io, usize) {
        self[*socket].write(outbox)
    }

    fn write_slices(&mut self, socket: &mut usize, slices: &[IoSlice<'_>]) -> Io {
        self[*socket].write_slices(slices)
    }

    fn shut_down(&mut self, socket: &mut usize) {
        self[*socket].shut_down();
    }

    fn release(&mut self, socket: usize) {
        self[socket].release();
    }
}

/// Control frames and headers come on top of a limit.
const SLACK_BYTES: u64 = 1024;

/// Less than the real event loop's, as all sizes are here.
const EARLY_FLUSH_BYTES: usize = 512;

/// Less than the engine's own, for the same reason.
const LEND_MIN_BYTES: usize = 64;
