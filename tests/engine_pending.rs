//! Requests that are decided later: what happens to their connections meanwhile, and in the end.
#![cfg(feature = "server")]
#![allow(clippy::unwrap_used)] // a helper of a test may fail the test

use switchboard::engine::{Action, Door, Engine, Flow, Remote, Space};
use switchboard::timer::{Millis, UnixMillis};
use switchboard::wire::{CloseCode, Response};
use switchboard::{Closed, ConnId, Context, Handler, Limits, Message, Request, Verdict};

/// What a handler was told, in order.
#[derive(Debug, PartialEq, Eq)]
enum Told {
    Request(ConnId),
    Open(ConnId),
    Message(ConnId, String),
    Abandoned(ConnId),
    Close(ConnId, CloseCode),
}

/// Decides nothing by itself, but for what its script says.
#[derive(Default)]
struct Undecided {
    told: Vec<Told>,
    /// Decisions that are given at the next callback of each kind.
    in_request: Vec<Verdict>,
    in_open: Vec<(ConnId, Verdict)>,
    in_flush: Vec<(ConnId, Verdict)>,
    /// Panics at the next `on_open`, or when abandoned.
    panics: bool,
    closes: Option<u16>,
}

impl Handler for Undecided {
    fn on_request(&mut self, cx: &mut Context<'_>, id: ConnId, _: &Request<'_, '_>) -> Verdict {
        self.told.push(Told::Request(id));
        for verdict in self.in_request.drain(..) {
            cx.decide(id, verdict);
        }
        Verdict::Pending
    }

    fn on_open(&mut self, cx: &mut Context<'_>, id: ConnId) {
        self.told.push(Told::Open(id));
        assert!(cx.is_open(id) && !std::mem::take(&mut self.panics), "told to panic");
        for (id, verdict) in self.in_open.drain(..) {
            cx.decide(id, verdict);
        }
        if let Some(code) = self.closes {
            cx.close(id, CloseCode::application(code).unwrap(), "");
        }
    }

    fn on_abandoned(&mut self, cx: &mut Context<'_>, id: ConnId) {
        self.told.push(Told::Abandoned(id));
        cx.decide(id, upgrade());
        assert!(!std::mem::take(&mut self.panics), "told to panic");
    }

    fn on_message(&mut self, _: &mut Context<'_>, id: ConnId, message: Message<'_>) {
        let Message::Text(text) = message else { panic!("a text") };
        self.told.push(Told::Message(id, text.to_owned()));
    }

    fn on_close(&mut self, _: &mut Context<'_>, id: ConnId, closed: &Closed) {
        self.told.push(Told::Close(id, closed.code));
    }

    fn before_flush(&mut self, cx: &mut Context<'_>) {
        for (id, verdict) in self.in_flush.drain(..) {
            cx.decide(id, verdict);
        }
    }
}

fn upgrade() -> Verdict {
    Verdict::Upgrade { protocol: None }
}

fn answer(status: u16) -> Verdict {
    Verdict::Respond(Response::text(status, "said so"))
}

/// An engine whose network takes everything.
struct World {
    engine: Engine<Undecided>,
    now: Millis,
}

impl World {
    fn new() -> World {
        World::with(Limits::relay())
    }

    fn with(limits: Limits) -> World {
        let mut engine = Engine::new(limits, Undecided::default());
        let now = Millis(1_000);
        engine.begin_tick(now, UnixMillis(0));
        World { engine, now }
    }

    /// A connection that asks for a WebSocket, and says `behind` without waiting for the answer.
    fn ask(&mut self, behind: &[u8]) -> ConnId {
        self.request(UPGRADE, behind)
    }

    fn request(&mut self, head: &[u8], behind: &[u8]) -> ConnId {
        let id = self.engine.accept(Remote::Unix, Door::Public).unwrap();
        let _ = self.engine.receive(id, &mut [head, behind].concat());
        id
    }

    fn decide(&mut self, id: ConnId, verdict: Verdict) {
        self.engine.inject(|_, cx| cx.decide(id, verdict));
    }

    /// The rest of the tick, and then the next ones, as long as there is work.
    fn settle(&mut self) -> (String, Vec<Action>) {
        let (mut written, mut actions, mut resumed) = (Vec::new(), Vec::new(), Vec::new());
        loop {
            self.engine.run_timers();
            self.engine.before_flush();
            while let Some(id) = self.engine.next_dirty() {
                let front = self.engine.output(id).unwrap().front().to_vec();
                self.engine.wrote(id, front.len(), front.len());
                written.extend_from_slice(&front);
            }
            self.engine.reap(&mut actions);
            assert_eq!(self.engine.buffered(), self.engine.recount());
            if !self.engine.has_work() {
                return (String::from_utf8_lossy(&written).into_owned(), actions);
            }
            self.engine.begin_tick(self.now, UnixMillis(0));
            self.engine.take_resumed(&mut resumed);
            for id in resumed.drain(..) {
                let _ = self.engine.resume(id);
            }
        }
    }

    fn pass(&mut self, ms: u64) -> (String, Vec<Action>) {
        self.now = self.now.after(ms);
        self.engine.begin_tick(self.now, UnixMillis(0));
        self.settle()
    }

    fn told(&mut self) -> Vec<Told> {
        let mut told = Vec::new();
        self.engine.inject(|handler, _| told = std::mem::take(&mut handler.told));
        told
    }
}

#[test]
fn a_decision_to_upgrade_opens_and_what_came_behind_the_head_is_delivered_in_order() {
    let mut world = World::new();
    let id = world.ask(&[&text("one")[..], &text("two")[..4]].concat());
    assert_eq!(world.settle().0, "");
    assert_eq!(world.engine.receive(id, &mut text("two")[4..].to_vec()), Flow::Read);
    assert_eq!(world.settle().0, "");
    assert_eq!(world.told(), [Told::Request(id)]);

    world.decide(id, upgrade());
    assert_eq!(world.told(), [], "no callback is entered from another");
    assert!(world.settle().0.starts_with("HTTP/1.1 101 "));
    let _ = world.engine.receive(id, &mut text("three"));
    let said = |text: &str| Told::Message(id, text.to_owned());
    assert_eq!(world.told(), [Told::Open(id), said("one"), said("two"), said("three")]);
}

/// What is read in the tick after the decision, before what was held has been delivered, waits.
#[test]
fn bytes_read_right_after_the_decision_do_not_overtake_those_that_were_held() {
    let mut world = World::new();
    let id = world.ask(&text("one"));
    world.decide(id, upgrade());
    world.engine.before_flush();
    world.engine.begin_tick(world.now, UnixMillis(0));
    assert_eq!(world.engine.flow(id), Flow::Paused);
    world.settle();
    assert_eq!(world.engine.flow(id), Flow::Read);
    assert_eq!(world.told()[2..], [Told::Message(id, "one".to_owned())]);
}

#[test]
fn a_decision_to_respond_answers_and_what_came_behind_the_head_is_discarded() {
    let mut world = World::new();
    let id = world.ask(&text("one"));
    world.decide(id, answer(401));
    let (written, actions) = world.settle();
    assert!(written.starts_with("HTTP/1.1 401 ") && written.ends_with("said so"), "{written}");
    assert_eq!(actions, [Action::Shutdown(id)]);
    assert_eq!((world.engine.buffered(), world.told()), (0, vec![Told::Request(id)]));
}

#[test]
fn a_decision_is_good_in_any_callback_and_the_first_one_counts() {
    // In `on_request` itself.
    let mut world = World::new();
    world.engine.inject(|handler, _| handler.in_request = vec![Verdict::Pending, upgrade()]);
    let first = world.ask(b"");
    assert_eq!(world.told(), [Told::Request(first)]);
    world.settle();
    assert_eq!(world.told(), [Told::Open(first)]);

    // In `before_flush`, and in the `on_open` that follows.
    let (second, third) = (world.ask(b""), world.ask(b""));
    world.engine.inject(|handler, _| {
        handler.in_flush = vec![(second, upgrade()), (second, answer(403))];
        handler.in_open = vec![(third, answer(404)), (third, upgrade()), (second, answer(500))];
    });
    let (written, _) = world.settle();
    assert!(written.contains(" 101 ") && written.contains(" 404 "), "{written}");
    assert!(!written.contains(" 403 ") && !written.contains(" 500 "), "{written}");
    let wanted = [Told::Request(second), Told::Request(third), Told::Open(second)];
    assert_eq!(world.told(), wanted);
}

#[test]
fn an_upgrade_that_nobody_asked_for_is_refused_when_it_is_decided_too() {
    let mut world = World::new();
    let id = world.request(b"GET / HTTP/1.1\r\nHost: h\r\n\r\n", b"");
    world.decide(id, upgrade());
    assert!(world.settle().0.starts_with("HTTP/1.1 426 "));
    assert_eq!(world.told(), [Told::Request(id)]);
}

#[test]
fn a_pending_head_request_is_answered_without_the_body() {
    let mut world = World::new();
    let id = world.request(b"HEAD / HTTP/1.1\r\nHost: h\r\n\r\n", b"");
    world.decide(id, answer(200));
    assert!(world.settle().0.ends_with("\r\n\r\n"));
}

#[test]
fn a_decision_for_a_connection_that_is_gone_or_was_answered_has_no_effect() {
    let mut world = World::new();
    let gone = world.ask(b"");
    world.engine.reset(gone);
    world.settle();
    let answered = world.ask(b"");
    assert_eq!(answered.index(), gone.index(), "the place is used again");
    world.decide(gone, upgrade());
    assert_eq!(world.settle().0, "");
    world.decide(answered, answer(403));
    world.settle();
    world.decide(answered, upgrade());
    assert_eq!(world.settle().0, "");
    let wanted = [Told::Request(gone), Told::Abandoned(gone), Told::Request(answered)];
    assert_eq!(world.told(), wanted);
}

/// A decision that came before the end, but was not taken up before it.
#[test]
fn a_connection_that_dies_between_the_decision_and_its_effect_is_abandoned_once() {
    let mut world = World::new();
    let id = world.ask(b"");
    world.decide(id, upgrade());
    world.engine.reset(id);
    assert_eq!(world.settle(), (String::new(), vec![Action::Release(id)]));
    assert_eq!(world.told(), [Told::Request(id), Told::Abandoned(id)]);
}

#[test]
fn fin_ends_a_pending_upgrade_at_once_and_leaves_a_pending_answer_to_be_given() {
    let mut world = World::new();
    let id = world.ask(&text("one"));
    world.engine.end_of_input(id);
    assert_eq!(world.settle(), (String::new(), vec![Action::Release(id)]));
    assert_eq!(world.told(), [Told::Request(id), Told::Abandoned(id)]);

    let id = world.request(b"GET / HTTP/1.1\r\nHost: h\r\n\r\n", b"");
    world.engine.end_of_input(id);
    assert_eq!(world.settle().1, []);
    world.decide(id, answer(200));
    let (written, actions) = world.settle();
    assert!(written.ends_with("said so"), "{written}");
    assert_eq!(actions, [Action::Release(id)]);
    assert_eq!(world.told(), [Told::Request(id)]);
}

#[test]
fn a_decision_that_does_not_come_is_a_503_when_the_deadline_of_the_head_is_over() {
    let timeout = Limits::relay().head_timeout_ms;
    let mut world = World::new();
    let id = world.ask(b"");
    assert_eq!(world.pass(timeout - 1).0, "");
    assert_eq!(world.told(), [Told::Request(id)]);
    let (written, _) = world.pass(1);
    assert!(written.starts_with("HTTP/1.1 503 "), "{written}");
    assert!(written.contains("\r\nRetry-After: "), "{written}");
    assert_eq!(world.told(), [Told::Abandoned(id)]);
    world.decide(id, upgrade());
    assert_eq!(world.settle().0, "");
}

#[test]
fn while_it_is_pending_only_a_little_is_read_and_all_of_it_is_counted() {
    let mut world = World::new();
    let id = world.ask(b"");
    let before = world.engine.buffered();
    let mut read = 0;
    while world.engine.flow(id) == Flow::Read {
        let Space::ReadBuffer(len) = world.engine.space(id) else { panic!("the read buffer") };
        let len = len.min(1_000);
        let _ = world.engine.receive(id, &mut vec![0; len]);
        read += len;
        assert_eq!(world.engine.buffered(), before + read);
    }
    assert_eq!(read, 16 * 1024);
    world.engine.reset(id);
    world.settle();
    assert_eq!(world.engine.buffered(), 0);
    assert_eq!(world.told(), [Told::Request(id), Told::Abandoned(id)]);
}

#[test]
fn pending_connections_are_closed_when_memory_is_full_and_abandoned() {
    let limits = Limits {
        outbox_total_bytes: 64 << 10,
        outbox_high_bytes: 64 << 10,
        message_max_bytes: 1 << 10,
        ..Limits::relay()
    };
    let mut world = World::with(limits);
    let large = world.ask(&vec![0; 40 << 10]);
    let larger = world.ask(&vec![0; 50 << 10]);
    world.settle();
    assert!(world.engine.buffered() as u64 <= limits.outbox_total_bytes);
    let wanted = [Told::Request(large), Told::Request(larger), Told::Abandoned(larger)];
    assert_eq!(world.told(), wanted);
}

#[test]
fn shutting_down_refuses_a_pending_upgrade_and_waits_for_a_pending_answer() {
    let mut world = World::new();
    let upgrading = world.ask(b"");
    let asking = world.request(b"GET / HTTP/1.1\r\nHost: h\r\n\r\n", b"");
    world.engine.shut_down();
    let (written, actions) = world.settle();
    assert!(written.starts_with("HTTP/1.1 503 "), "{written}");
    assert_eq!(actions, [Action::Shutdown(upgrading)]);
    world.decide(asking, answer(200));
    assert!(world.settle().0.starts_with("HTTP/1.1 200 "));
    let wanted = [Told::Request(upgrading), Told::Request(asking), Told::Abandoned(upgrading)];
    assert_eq!(world.told(), wanted);
}

#[test]
fn a_panic_after_the_decision_closes_that_connection_and_no_other() {
    let mut world = World::new();
    let (bad, good) = (world.ask(b""), world.ask(b""));
    world.engine.inject(|handler, _| handler.panics = true);
    world.decide(bad, upgrade());
    world.decide(good, upgrade());
    world.settle();
    let wanted = [
        Told::Request(bad),
        Told::Request(good),
        Told::Open(bad),
        Told::Open(good),
        Told::Close(bad, CloseCode::INTERNAL_ERROR),
    ];
    assert_eq!(world.told(), wanted);

    let (bad, good) = (world.ask(b""), world.ask(b""));
    world.engine.inject(|handler, _| handler.panics = true);
    world.engine.reset(good);
    world.engine.reset(bad);
    world.settle();
    assert_eq!(world.told()[2..], [Told::Abandoned(bad), Told::Abandoned(good)]);
    assert_eq!(world.engine.buffered(), 0);
}

/// The way to refuse somebody whose client can see close codes only.
#[test]
fn closing_in_on_open_sends_the_101_and_the_close_and_discards_what_was_held() {
    let mut world = World::new();
    let id = world.ask(&text("one"));
    world.engine.inject(|handler, _| handler.closes = Some(4401));
    world.decide(id, upgrade());
    let (written, _) = world.settle();
    assert!(written.starts_with("HTTP/1.1 101 "), "{written}");
    assert_eq!(world.told(), [Told::Request(id), Told::Open(id)]);
    // The peer's Close ends it.
    let _ = world.engine.receive(id, &mut b"\x88\x80\0\0\0\0".to_owned());
    world.settle();
    assert_eq!(world.told(), [Told::Close(id, CloseCode::application(4401).unwrap())]);
    assert_eq!(world.engine.buffered(), 0);
}

fn text(text: &str) -> Vec<u8> {
    let mut frame = vec![0x81, 0x80 | text.len() as u8, 0, 0, 0, 0];
    frame.extend_from_slice(text.as_bytes());
    frame
}

const UPGRADE: &[u8] =
    b"GET /chat HTTP/1.1\r\nHost: h\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
    Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
