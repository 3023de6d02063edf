//! What a logged message costs in memory: one allocation, the entry, whoever it is for.
#![cfg(feature = "relay")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

use switchboard::hub::{ConnId, Slots};
use switchboard::relay::envelope::EnvelopeLimits;
use switchboard::relay::log::{LogLimits, Memory, Stamp, Stored};
use switchboard::relay::v1::{Frame, Pumped, Ruling, SessionLimits, Sessions, Sight, Standing};
use switchboard::timer::Millis;

struct Counting;

thread_local! {
    // Tests run side by side, each on a thread of its own.
    static ALLOCATIONS: Cell<usize> = const { Cell::new(0) };
}

// SAFETY: every call goes to the system's allocator unchanged; the counter is a plain number.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.with(|counted| counted.set(counted.get() + 1));
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, bytes: *mut u8, layout: Layout) {
        unsafe { System.dealloc(bytes, layout) }
    }

    unsafe fn realloc(&self, bytes: *mut u8, layout: Layout, len: usize) -> *mut u8 {
        ALLOCATIONS.with(|counted| counted.set(counted.get() + 1));
        unsafe { System.realloc(bytes, layout, len) }
    }
}

#[global_allocator]
static COUNTING: Counting = Counting;

/// Sessions, and a network that takes everything at once.
struct Server {
    sessions: Sessions<Memory>,
    slots: Slots<()>,
}

impl Server {
    fn new() -> Server {
        // A log that is full and stays so, as in steady state.
        let log = LogLimits { entries_max: 50, ..LogLimits::default() };
        let limits = SessionLimits { log, ..SessionLimits::default() };
        let sessions = Sessions::new(Memory, Stored::default(), "e", Stamp(0), limits);
        Server { sessions, slots: Slots::new() }
    }

    fn hello(&mut self, user: &str) -> ConnId {
        let conn = self.slots.insert(());
        let text = r#"{"type":"hello","client":"c1"}"#;
        let Ok(Frame::Hello(hello)) = Frame::read(text, &EnvelopeLimits::default()) else {
            panic!("{text}")
        };
        self.sessions.hello(conn, user, &hello, Standing::Recorded, Millis(0));
        self.tick();
        conn
    }

    /// Takes frames in one tick, and returns how many effects they had.
    fn say(&mut self, from: ConnId, texts: &[String]) -> usize {
        for text in texts {
            let frame = Frame::read(text, &EnvelopeLimits::default());
            let frame = frame.unwrap_or_else(|error| panic!("{text}: {error:?}"));
            self.sessions.frame(from, &frame, Ruling::Allowed(Sight::Shown), Millis(0));
        }
        self.tick()
    }

    fn tick(&mut self) -> usize {
        self.sessions.flush(Millis(0));
        while let Some(conn) = self.sessions.next_ready() {
            assert_eq!(self.sessions.pump(conn, usize::MAX), Pumped::Done);
        }
        self.sessions.effects().count()
    }
}

fn allocations_of(run: impl FnOnce()) -> usize {
    let before = ALLOCATIONS.get();
    run();
    ALLOCATIONS.get() - before
}

#[test]
fn a_logged_message_to_one_is_one_allocation() {
    let mut server = Server::new();
    let bob = server.hello("bob");
    server.hello("alice");
    let message =
        |id: u64| [format!(r#"{{"id":{id},"receiver":"alice","content":"hello, alice"}}"#)];
    for id in 1..=200 {
        server.say(bob, &message(id));
    }
    let messages: Vec<[String; 1]> = (201..=300).map(message).collect();
    let counted = allocations_of(|| {
        for message in &messages {
            assert_eq!(server.say(bob, message), 2, "an answer and a delivery");
        }
    });
    assert_eq!(counted, 100);
}

#[test]
fn a_logged_message_to_a_thousand_is_one_allocation() {
    let mut server = Server::new();
    let join = [r#"{"type":"join","group":"g","id":1}"#.to_owned()];
    for at in 0..1_000 {
        let member = server.hello(&format!("user {at}"));
        server.say(member, &join);
    }
    let bob = server.hello("bob");
    server.say(bob, &join);
    let message = |id: u64| [format!(r#"{{"id":{id},"group":"g","content":"hello, all"}}"#)];
    for id in 2..=100 {
        server.say(bob, &message(id));
    }
    let messages: Vec<[String; 1]> = (101..=110).map(message).collect();
    let counted = allocations_of(|| {
        for message in &messages {
            assert_eq!(server.say(bob, message), 1_001, "an answer and the deliveries");
        }
    });
    assert_eq!(counted, 10);
}
