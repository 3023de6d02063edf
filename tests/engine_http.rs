//! HTTP at the operator's listener: bodies, one request after another, and clients that do neither
//! as they should. At the public one nothing of it is there.
#![cfg(feature = "server")]
#![allow(clippy::unwrap_used)] // a helper of a test may fail the test

use switchboard::engine::{Action, Door, Engine, Flow, Remote};
use switchboard::timer::{Millis, UnixMillis};
use switchboard::wire::Response;
use switchboard::{ConnId, Context, Handler, Limits, Message, Request, Verdict};

/// Answers with method, path and body; what it does besides, the path says.
#[derive(Default)]
struct Api {
    asked: Vec<String>,
    pending: Vec<ConnId>,
    abandoned: usize,
    opened: usize,
}

impl Handler for Api {
    fn on_request(
        &mut self,
        cx: &mut Context<'_>,
        id: ConnId,
        request: &Request<'_, '_>,
    ) -> Verdict {
        let head = request.head;
        let text = format!("{} {} ", head.method(), head.path());
        self.asked.push(text.clone() + &String::from_utf8_lossy(request.body));
        match head.path() {
            "/pending" => {
                self.pending.push(id);
                Verdict::Pending
            }
            "/hasty" => {
                cx.decide(id, answer("decided before"));
                answer("hasty")
            }
            "/open" => Verdict::Upgrade { protocol: None },
            "/large" => Verdict::Respond(Response::text(200, "x".repeat(LARGE))),
            "/none" => Verdict::Respond(Response::empty(204)),
            "/panic" => panic!("told to panic"),
            _ => Verdict::Respond(Response::text(200, format!("<{text}{}>", request.body.len()))),
        }
    }

    fn on_open(&mut self, _: &mut Context<'_>, _: ConnId) {
        self.opened += 1;
    }

    fn on_abandoned(&mut self, _: &mut Context<'_>, _: ConnId) {
        self.abandoned += 1;
    }

    fn on_message(&mut self, cx: &mut Context<'_>, id: ConnId, message: Message<'_>) {
        let _ = cx.send(id, message);
    }
}

/// An engine, one connection, and a client that reads what there is room for.
struct Line {
    engine: Engine<Api>,
    id: ConnId,
    now: Millis,
    room: usize,
    actions: Vec<Action>,
}

impl Line {
    fn new(door: Door) -> Line {
        Line::with(Limits::relay(), door)
    }

    fn admin() -> Line {
        Line::new(Door::Admin)
    }

    fn with(limits: Limits, door: Door) -> Line {
        let mut engine = Engine::new(limits, Api::default());
        let now = Millis(1_000);
        engine.begin_tick(now, UnixMillis(0));
        let id = engine.accept(Remote::Unix, door).unwrap();
        Line { engine, id, now, room: usize::MAX, actions: Vec::new() }
    }

    /// Sends it in one piece, as far as it is read; then what comes back.
    fn say(&mut self, bytes: impl AsRef<[u8]>) -> String {
        let _ = self.engine.receive(self.id, &mut bytes.as_ref().to_vec());
        self.hear()
    }

    /// Runs until there is nothing left to do; what was written.
    fn hear(&mut self) -> String {
        let (mut written, mut resumed) = (Vec::new(), Vec::new());
        loop {
            self.engine.run_timers();
            self.engine.before_flush();
            while let Some(id) = self.engine.next_dirty() {
                let outbox = self.engine.output(id).unwrap();
                let front = outbox.front();
                let taken = front.len().min(self.room);
                written.extend_from_slice(&front[..taken]);
                let offered = front.len();
                self.room -= taken;
                self.engine.wrote(id, taken, offered);
            }
            self.engine.reap(&mut self.actions);
            assert_eq!(self.engine.buffered(), self.engine.recount());
            if !self.engine.has_work() {
                return String::from_utf8(written).unwrap();
            }
            self.engine.begin_tick(self.now, UnixMillis(0));
            self.engine.take_resumed(&mut resumed);
            for id in resumed.drain(..) {
                let _ = self.engine.resume(id);
            }
        }
    }

    fn pass(&mut self, ms: u64) -> String {
        self.now = self.now.after(ms);
        self.engine.begin_tick(self.now, UnixMillis(0));
        self.hear()
    }

    fn asked(&self) -> &[String] {
        &self.engine.handler().asked
    }

    fn decide(&mut self, verdict: Verdict) -> String {
        let id = self.id;
        self.engine.inject(|_, cx| cx.decide(id, verdict));
        self.hear()
    }

    /// Whether the server has ended the connection, or its side of it.
    fn is_over(&self) -> bool {
        !self.actions.is_empty()
    }
}

/// The bodies of the answers, each of which must be 200 and keep the connection.
fn bodies(mut answers: &str) -> Vec<String> {
    let mut bodies = Vec::new();
    while !answers.is_empty() {
        let (head, rest) = answers.split_once("\r\n\r\n").unwrap();
        assert!(head.starts_with("HTTP/1.1 200 "), "{head}");
        assert!(head.contains("\r\nConnection: keep-alive\r\n"), "{head}");
        let len = head.split("Content-Length: ").nth(1).unwrap().lines().next().unwrap();
        let (body, rest) = rest.split_at(len.parse().unwrap());
        bodies.push(body.to_owned());
        answers = rest;
    }
    bodies
}

fn get(path: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nHost: h\r\n\r\n")
}

fn post(path: &str, lines: &str, body: &str) -> String {
    format!("POST {path} HTTP/1.1\r\nHost: h\r\n{lines}\r\n{body}")
}

/// Four requests of every kind, cut at every place: the same four, and the same answers.
#[test]
fn requests_follow_one_another_however_the_network_cuts_them() {
    let text = [
        get("/1"),
        post("/2", "Content-Length: 5\r\n", "Hello"),
        post("/3", "Transfer-Encoding: chunked\r\n", "3;x\r\nabc\r\n2\r\nde\r\n0\r\nA: b\r\n\r\n"),
        "\r\n".to_owned() + &get("/4"),
    ]
    .concat();
    let asked = ["GET /1 ", "POST /2 Hello", "POST /3 abcde", "GET /4 "];
    let answers = ["<GET /1 0>", "<POST /2 5>", "<POST /3 5>", "<GET /4 0>"];
    for cut in 0..text.len() {
        let mut line = Line::admin();
        let written = line.say(&text[..cut]) + &line.say(&text[cut..]);
        assert_eq!(line.asked(), asked, "cut at {cut}");
        assert_eq!(bodies(&written), answers, "cut at {cut}");
        assert!(!line.is_over());
        assert_eq!(line.engine.buffered(), 0);
    }
    let mut line = Line::admin();
    let written: String = text.chars().map(|c| line.say(c.to_string())).collect();
    assert_eq!(bodies(&written), answers);
}

#[test]
fn the_client_decides_whether_its_connection_stays() {
    for (version, lines, stays) in [
        ("1.1", "", true),
        ("1.1", "Connection: close\r\n", false),
        ("1.0", "", false),
        ("1.0", "Connection: keep-alive\r\n", true),
    ] {
        let mut line = Line::admin();
        let text = format!("GET / HTTP/{version}\r\nHost: h\r\n{lines}\r\n");
        let written = line.say(text.repeat(2));
        assert_eq!(line.asked().len(), if stays { 2 } else { 1 }, "{version} {lines:?}");
        assert_eq!(line.is_over(), !stays);
        assert_eq!(written.contains("Connection: close"), !stays, "{written}");
    }
}

#[test]
fn answers_to_head_and_with_204_have_no_body() {
    let mut line = Line::admin();
    let written = line.say("HEAD / HTTP/1.1\r\nHost: h\r\n\r\n".to_owned() + &get("/none"));
    let (first, second) = written.split_once("\r\n\r\n").unwrap();
    assert!(first.contains("Content-Length: 10"), "{written}");
    assert!(second.starts_with("HTTP/1.1 204 No Content\r\n"), "{written}");
    assert!(second.ends_with("\r\n\r\n") && !second.contains("Content-Length"), "{written}");
}

#[test]
fn a_client_that_waits_for_100_continue_gets_it_and_one_that_is_refused_does_not() {
    let mut line = Line::admin();
    let expect = "Expect: 100-continue\r\nContent-Length: ";
    assert_eq!(line.say(post("/", &format!("{expect}2\r\n"), "")), "HTTP/1.1 100 Continue\r\n\r\n");
    assert_eq!(bodies(&line.say("hi")), ["<POST / 2>"]);
    // Nothing is to come: nothing to wait for.
    assert_eq!(bodies(&line.say(post("/", &format!("{expect}0\r\n"), ""))), ["<POST / 0>"]);
    let written = line.say(post("/", &format!("{expect}9999999\r\n"), ""));
    assert!(written.starts_with("HTTP/1.1 413 ") && line.is_over(), "{written}");
    let mut line = Line::admin();
    let written = line.say(post("/", "Expect: more\r\nContent-Length: 2\r\n", ""));
    assert!(written.starts_with("HTTP/1.1 417 ") && line.is_over(), "{written}");
}

#[test]
fn a_body_of_all_that_is_allowed_arrives_and_one_more_byte_gets_413() {
    let limits = Limits { http_body_max_bytes: 100, ..Limits::relay() };
    let body = "x".repeat(100);
    let chunk = "Transfer-Encoding: chunked\r\n";
    let mut line = Line::with(limits, Door::Admin);
    assert_eq!(bodies(&line.say(post("/", "Content-Length: 100\r\n", &body))), ["<POST / 100>"]);
    let chunked = format!("63\r\n{}\r\n1\r\nx\r\n0\r\n\r\n", &body[..99]);
    assert_eq!(bodies(&line.say(post("/", chunk, &chunked))), ["<POST / 100>"]);

    for text in [
        post("/", "Content-Length: 101\r\n", ""),
        post("/", "Content-Length: 99999999999999999999999\r\n", ""),
        post("/", chunk, &format!("64\r\n{body}\r\n1\r\n")),
        post("/", chunk, "65\r\n"),
    ] {
        let mut line = Line::with(limits, Door::Admin);
        let written = line.say(&text);
        assert!(written.starts_with("HTTP/1.1 413 Content Too Large\r\n"), "{text}: {written}");
        assert!(line.is_over() && line.asked().is_empty());
        // What it sends yet is read, so that it gets to read the answer, and kept nowhere.
        assert_eq!(line.engine.flow(line.id), Flow::Read);
        assert_eq!((line.say(&body), line.engine.buffered()), (String::new(), 0));
    }
}

/// Each hides a request for `/hidden` in what another parser may take for the body.
#[test]
fn what_could_hide_a_request_is_refused_and_nothing_behind_it_is_read() {
    let hidden = get("/hidden");
    for (lines, status) in [
        ("Content-Length: 5\r\nTransfer-Encoding: chunked\r\n", 400),
        ("Transfer-Encoding: chunked\r\nContent-Length: 5\r\n", 400),
        ("Content-Length: 0\r\nContent-Length: 38\r\n", 400),
        ("Content-Length: 0\r\nContent-Length: 0\r\n", 400),
        ("Content-Length: 0, 38\r\n", 400),
        ("Content-Length: +0\r\n", 400),
        ("Content-Length : 0\r\n", 400),
        ("Transfer-Encoding: chunked, identity\r\n", 501),
        ("Transfer-Encoding: xchunked\r\n", 501),
        ("Transfer-Encoding: \"chunked\"\r\n", 400),
        ("Transfer-Encoding:\r\n chunked\r\n", 400),
        ("Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n", 501),
    ] {
        let mut line = Line::admin();
        let written = line.say(post("/", lines, &format!("0\r\n\r\n{hidden}")));
        assert!(written.starts_with(&format!("HTTP/1.1 {status} ")), "{lines:?}: {written}");
        assert_eq!(written.matches("HTTP/1.1").count(), 1, "{lines:?}: {written}");
        assert!(line.asked().is_empty() && line.is_over(), "{lines:?}");
    }
    // In HTTP/1.0 there is no coding; what came before is answered.
    let mut line = Line::admin();
    let old = "POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n";
    let written = line.say(get("/before") + old + &hidden);
    assert_eq!(line.asked(), ["GET /before "]);
    assert!(written.contains("HTTP/1.1 400 ") && line.is_over(), "{written}");
    // A chunk that is none.
    let mut line = Line::admin();
    let chunks = format!("2;\nxx\r\n0\r\n\r\n{hidden}");
    let written = line.say(post("/", "Transfer-Encoding: chunked\r\n", &chunks));
    assert!(written.starts_with("HTTP/1.1 400 ") && line.asked().is_empty(), "{written}");
}

#[test]
fn the_public_listener_takes_one_request_without_a_body() {
    let mut line = Line::new(Door::Public);
    let written = line.say(post("/", "Content-Length: 5\r\n", "Hello") + &get("/second"));
    assert!(written.contains("\r\nConnection: close\r\n"), "{written}");
    assert!(written.ends_with("<POST / 0>") && line.is_over(), "{written}");
    assert_eq!(line.asked(), ["POST / "]);
    let upgrade = UPGRADE.replace("\r\n\r\n", "\r\nContent-Length: 5\r\n\r\nHello");
    for door in [Door::Public, Door::Admin] {
        let mut line = Line::new(door);
        assert!(line.say(&upgrade).starts_with("HTTP/1.1 400 "));
        assert!(line.asked().is_empty());
    }
}

#[test]
fn pending_answers_leave_in_the_order_of_the_requests_one_at_a_time() {
    let mut line = Line::admin();
    let text = get("/1") + &get("/pending") + &post("/pending", "Content-Length: 2\r\n", "hi");
    assert_eq!(bodies(&line.say(text + &get("/4"))), ["<GET /1 0>"]);
    assert_eq!(line.asked(), ["GET /1 ", "GET /pending "]);
    assert_eq!(bodies(&line.decide(answer("two"))), ["two"]);
    assert_eq!(line.asked()[2..], ["POST /pending hi"]);
    assert_eq!(bodies(&line.decide(answer("three"))), ["three", "<GET /4 0>"]);
    assert_eq!(line.engine.buffered(), 0);
    assert_eq!(line.decide(answer("five")), "", "nothing is pending");
}

/// What is said about one request is not taken for the answer to the next.
#[test]
fn a_decision_about_an_answered_request_does_not_answer_the_next_one() {
    let mut line = Line::admin();
    assert_eq!(bodies(&line.say(get("/hasty") + &get("/pending"))), ["hasty"]);
    assert_eq!(bodies(&line.decide(answer("pending"))), ["pending"]);
}

/// FIN behind the last request, as from `nc -N`: everything is answered, and then it ends.
#[test]
fn fin_after_requests_leaves_them_to_be_answered() {
    let mut line = Line::admin();
    let _ = line.engine.receive(line.id, &mut (get("/1") + &get("/2")).into_bytes());
    line.engine.end_of_input(line.id);
    assert_eq!(bodies(&line.hear()), ["<GET /1 0>", "<GET /2 0>"]);
    assert_eq!(line.actions, [Action::Release(line.id)]);

    let mut line = Line::admin();
    line.say(get("/pending") + &get("/2"));
    line.engine.end_of_input(line.id);
    assert_eq!(line.hear(), "");
    assert!(!line.is_over());
    assert_eq!(bodies(&line.decide(answer("one"))), ["one", "<GET /2 0>"]);
    assert_eq!(line.actions, [Action::Release(line.id)]);

    let mut line = Line::admin();
    line.say(get("/pending"));
    line.engine.end_of_input(line.id);
    assert_eq!(bodies(&line.decide(answer("one"))), ["one"]);
    assert_eq!(line.actions, [Action::Release(line.id)]);

    // In the middle of one, and between them.
    for text in ["GET", &post("/", "Content-Length: 5\r\n", "Hell")] {
        let mut line = Line::admin();
        line.say(get("/1"));
        line.say(text);
        line.engine.end_of_input(line.id);
        assert_eq!(line.hear(), "");
        assert_eq!(line.actions, [Action::Release(line.id)]);
        assert_eq!(line.engine.buffered(), 0);
    }
}

#[test]
fn a_request_that_does_not_come_to_its_end_in_time_gets_408() {
    let timeout = Limits::relay().head_timeout_ms;
    for text in ["GET /", &post("/", "Content-Length: 5\r\n", "Hell"), "\r\n"] {
        let mut line = Line::admin();
        // The second request has as much time as the first.
        line.pass(timeout / 2);
        line.say(get("/1"));
        line.pass(timeout / 2);
        assert_eq!(line.say(text), "");
        line.pass(timeout / 2);
        // What drips in extends nothing.
        line.say(if text == "\r\n" { "G" } else { "" });
        assert_eq!(line.pass(timeout / 2 - 1), "");
        let written = line.pass(1);
        assert!(written.starts_with("HTTP/1.1 408 ") && line.is_over(), "{text:?}: {written}");
        assert_eq!(line.engine.buffered(), 0);
    }
}

#[test]
fn http_idle_timeout_is_over_at_its_end_and_not_before() {
    let limits = Limits { http_idle_timeout_ms: 5_000, ..Limits::relay() };
    let mut line = Line::with(limits, Door::Admin);
    for _ in 0..3 {
        assert_eq!(bodies(&line.say(get("/"))).len(), 1);
        line.pass(4_900);
        assert!(!line.is_over());
    }
    assert_eq!(line.pass(100), "", "an end without a word: no request is lost");
    assert_eq!(line.actions, [Action::Shutdown(line.id)]);
    // It does not go either.
    line.pass(limits.close_timeout_ms);
    assert_eq!(line.actions[1..], [Action::Release(line.id)]);
}

#[test]
fn a_pending_answer_that_does_not_come_is_a_503_and_ends_it() {
    let mut line = Line::admin();
    line.say(get("/pending") + &get("/2"));
    let written = line.pass(Limits::relay().head_timeout_ms);
    assert!(written.starts_with("HTTP/1.1 503 ") && line.is_over(), "{written}");
    assert_eq!((line.asked().len(), line.engine.handler().abandoned), (1, 1));
    assert_eq!(line.decide(answer("late")), "");
}

/// Ten thousand requests for large answers, none of which is read.
#[test]
fn a_client_that_never_reads_is_bounded_in_memory_and_in_time() {
    let limits = Limits { outbox_high_bytes: 100_000, outbox_low_bytes: 0, ..Limits::relay() };
    let mut line = Line::with(limits, Door::Admin);
    line.room = 0;
    let text = get("/large").repeat(10_000);
    line.say(&text);
    assert_eq!(line.engine.flow(line.id), Flow::Paused);
    assert!(line.asked().len() <= 100_000 / LARGE + 1, "{} answered", line.asked().len());
    assert!(line.engine.buffered() <= 100_000 + 2 * LARGE + text.len());
    line.pass(limits.write_timeout_ms);
    assert_eq!(line.actions, [Action::Release(line.id)]);
    assert_eq!(line.engine.buffered(), 0);

    // One that reads late gets them all.
    let mut line = Line::with(limits, Door::Admin);
    line.room = 50_000;
    let mut written = line.say(get("/large").repeat(100));
    assert!(line.asked().len() < 100);
    line.room = usize::MAX;
    line.engine.writable(line.id);
    written += &line.hear();
    assert_eq!(bodies(&written).len(), 100);
}

/// However many requests one read brings, somebody else's is answered in between.
#[test]
fn a_flood_of_requests_is_worked_off_in_turns() {
    let mut line = Line::admin();
    let _ = line.engine.receive(line.id, &mut get("/").repeat(1_000).into_bytes());
    let first = line.asked().len();
    assert!((2..=32).contains(&first), "{first} in the first turn");
    assert!(line.engine.has_work());
    assert_eq!(bodies(&line.hear()).len(), 1_000);
}

#[test]
fn a_panic_is_answered_with_500_and_ends_that_connection() {
    let mut line = Line::admin();
    let written = line.say(get("/1") + &get("/panic") + &get("/3"));
    assert!(written.contains("HTTP/1.1 200 ") && written.contains("HTTP/1.1 500 "), "{written}");
    assert!(line.is_over());
    assert_eq!(line.asked(), ["GET /1 ", "GET /panic "]);
}

#[test]
fn a_websocket_may_follow_requests_on_their_connection() {
    let mut line = Line::admin();
    let hello = "\u{1}\u{5}Hello";
    let frame = [&b"\x81\x85\0\0\0\0Hello"[..]].concat();
    let text = [get("/1").as_bytes(), UPGRADE.as_bytes(), &frame].concat();
    let _ = line.engine.receive(line.id, &mut text.clone());
    line.engine.before_flush();
    let queued = line.engine.output(line.id).unwrap().front().to_vec();
    let queued = String::from_utf8_lossy(&queued).into_owned();
    assert!(queued.contains("<GET /1 0>HTTP/1.1 101 "), "{queued}");
    assert!(queued.ends_with(&hello[2..]), "{queued}");
    assert_eq!(line.engine.handler().opened, 1);
}

#[test]
fn while_the_server_stops_what_was_asked_is_answered_and_nothing_stays_open() {
    let mut engine = Engine::new(Limits::relay(), Api::default());
    engine.begin_tick(Millis(0), UnixMillis(0));
    let ids: Vec<ConnId> =
        (0..4).map(|_| engine.accept(Remote::Unix, Door::Admin).unwrap()).collect();
    let begun = post("/", "Content-Length: 5\r\n", "Hell");
    for (id, text) in ids.iter().zip([get("/1"), begun, get("/pending"), String::new()]) {
        let _ = engine.receive(*id, &mut text.into_bytes());
    }
    let mut line = Line { engine, id: ids[0], now: Millis(0), room: usize::MAX, actions: vec![] };
    line.hear();
    line.engine.shut_down();
    assert_eq!(line.hear(), "");
    assert!(!line.engine.is_drained());
    line.actions.sort_by_key(|action| format!("{action:?}"));
    assert_eq!(line.actions, [Action::Release(ids[3]), Action::Shutdown(ids[0])]);

    line.id = ids[1];
    let written = line.say("o");
    assert!(written.contains("Connection: close") && written.ends_with("<POST / 5>"), "{written}");
    assert!(!line.engine.is_drained());
    line.id = ids[2];
    assert!(line.decide(answer("done")).ends_with("done"));
    assert!(line.engine.is_drained());
}

#[test]
fn whatever_is_held_of_a_request_counts() {
    let mut line = Line::admin();
    line.say(post("/", "Content-Length: 100000\r\n", ""));
    let before = line.engine.buffered();
    line.say(vec![b'x'; 50_000]);
    assert_eq!(line.engine.buffered(), before + 50_000);
    line.engine.reset(line.id);
    line.hear();
    assert_eq!(line.engine.buffered(), 0);
}

fn answer(text: &'static str) -> Verdict {
    Verdict::Respond(Response::text(200, text))
}

/// Of an answer.
const LARGE: usize = 10_000;

const UPGRADE: &str = "GET /open HTTP/1.1\r\nHost: h\r\n\
    Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n\
    Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
