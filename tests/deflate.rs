//! Compression in the whole server: what it agrees to, what it costs, and who shares what.
#![cfg(all(feature = "server", feature = "deflate"))]
#![allow(clippy::unwrap_used)] // a helper of a test may fail the test

use std::net::SocketAddr;

use switchboard::config::Deflate;
use switchboard::engine::{Action, Context, Door, Engine, Flow, Handler};
use switchboard::outbox::Outbox;
use switchboard::protocol::{Connection, Endpoint, Input, MessageKind, Step};
use switchboard::timer::{Millis, UnixMillis};
use switchboard::wire::deflate::ClientWindow;
use switchboard::wire::{
    ClientHandshake, DeflateAgreement, DeflateOffer, FrameHeader, Parsed, Rsv, WindowBits,
};
use switchboard::{ConnId, Limits, Message};

/// Answers to the sender, and sends what begins with "all" to everybody, as one frame.
#[derive(Default)]
struct Board {
    all: Vec<ConnId>,
    heard: Vec<usize>,
}

impl Handler for Board {
    fn on_open(&mut self, _: &mut Context<'_>, id: ConnId) {
        self.all.push(id);
    }

    fn on_message(&mut self, cx: &mut Context<'_>, from: ConnId, message: Message<'_>) {
        self.heard.push(message.len());
        if message.as_bytes().starts_with(b"all") {
            let frame = cx.frame(MessageKind::Text, &[message.as_bytes()]);
            for &to in &self.all {
                let _ = cx.send_frame(to, &frame);
            }
        } else {
            let _ = cx.send(from, message);
        }
    }
}

/// A client, and its connection in the server.
struct Client {
    id: ConnId,
    endpoint: Endpoint,
    connection: Connection,
    agreed: Option<DeflateAgreement>,
}

impl Client {
    /// Opens a connection with this offer.
    fn open(engine: &mut Engine<Board>, offer: Option<DeflateOffer>) -> Client {
        let id = engine.accept(SocketAddr::from(([127, 0, 0, 1], 50_000)), Door::Public).unwrap();
        let mut handshake = ClientHandshake::new("localhost", "/", [7; 16], &[]).unwrap();
        if let Some(offer) = offer {
            handshake = handshake.with_deflate(offer);
        }
        let mut request = Vec::new();
        handshake.write(&mut request);
        assert_eq!(engine.receive(id, &mut request), Flow::Read);
        let response = output(engine, id);
        let Ok(Parsed::Complete { value, .. }) = handshake.check_response(&response) else {
            panic!("{}", response.escape_ascii());
        };
        let mut endpoint = Endpoint::client();
        endpoint.deflate_min_bytes = 0;
        let mut connection = Connection::new();
        if let Some(agreed) = &value.deflate {
            connection.agree(&endpoint, agreed);
        }
        Client { id, endpoint, connection, agreed: value.deflate }
    }

    fn say(&mut self, engine: &mut Engine<Board>, text: &str) -> Flow {
        let mut out = Outbox::new();
        assert!(self.connection.send(&self.endpoint, Message::Text(text), &mut out));
        engine.receive(self.id, &mut out.front().to_vec())
    }

    /// What the server has written to it: the reserved bits of each frame, and the messages.
    fn hear(&mut self, engine: &mut Engine<Board>) -> (Vec<Rsv>, Vec<String>) {
        let mut bytes = output(engine, self.id);
        let (mut rsv, mut texts) = (Vec::new(), Vec::new());
        let mut rest = &bytes[..];
        while let Ok(Parsed::Complete { value, len }) = FrameHeader::parse(rest) {
            rsv.push(value.rsv);
            rest = &rest[len + value.payload_len as usize..];
        }
        let (mut input, mut out) = (Input::new(&mut bytes), Outbox::new());
        loop {
            match self.connection.advance(&self.endpoint, &mut input, &mut out) {
                Step::NeedInput => return (rsv, texts),
                Step::Message(Message::Text(text)) => texts.push(text.to_owned()),
                Step::Assembled(message) => {
                    texts.push(str::from_utf8(message.message().as_bytes()).unwrap().to_owned());
                }
                step => panic!("{step:?}"),
            }
        }
    }
}

fn engine(mode: Deflate) -> Engine<Board> {
    let mut limits = Limits::relay();
    limits.deflate_mode = mode.as_number();
    let mut engine = Engine::new(limits, Board::default());
    engine.begin_tick(Millis(0), UnixMillis(0));
    engine
}

/// Everything that is queued to a connection; the network takes it.
fn output(engine: &mut Engine<Board>, id: ConnId) -> Vec<u8> {
    let mut all = Vec::new();
    while let Some(front) = engine.output(id).map(|out| out.front().to_vec()) {
        if front.is_empty() {
            break;
        }
        engine.wrote(id, front.len(), front.len());
        all.extend(front);
    }
    all
}

/// The end of a tick, and the beginning of the next.
fn tick(engine: &mut Engine<Board>) {
    while engine.next_dirty().is_some() {}
    let mut actions: Vec<Action> = Vec::new();
    engine.reap(&mut actions);
    engine.begin_tick(Millis(0), UnixMillis(0));
}

fn offer() -> Option<DeflateOffer> {
    Some(DeflateOffer {
        client_max_window_bits: ClientWindow::Limitable,
        ..DeflateOffer::default()
    })
}

fn long(text: &str) -> String {
    format!("{text} {}", "hello hello ".repeat(50))
}

#[test]
fn what_is_agreed_is_what_the_configuration_says() {
    let agreed = |mode| Client::open(&mut engine(mode), offer()).agreed;
    assert_eq!(agreed(Deflate::Off), None);
    let on = agreed(Deflate::On).unwrap();
    assert!(on.server_no_context_takeover && on.client_no_context_takeover);
    assert_eq!(agreed(Deflate::Takeover), Some(DeflateAgreement::default()));
    for mode in [Deflate::Off, Deflate::On, Deflate::Takeover] {
        assert_eq!(Client::open(&mut engine(mode), None).agreed, None, "nothing was offered");
    }
}

#[test]
fn messages_are_compressed_from_the_configured_length_on() {
    for mode in [Deflate::On, Deflate::Takeover] {
        let mut engine = engine(mode);
        let mut client = Client::open(&mut engine, offer());
        for (len, rsv) in [(0, Rsv::NONE), (255, Rsv::NONE), (256, Rsv::RSV1), (9_000, Rsv::RSV1)] {
            let text = "a".repeat(len);
            assert_eq!(client.say(&mut engine, &text), Flow::Read);
            assert_eq!(client.hear(&mut engine), (vec![rsv], vec![text]), "{len} bytes");
        }
    }
}

#[test]
fn no_more_connections_than_allowed_keep_windows_and_the_others_do_without() {
    let mut limits = Limits::relay();
    limits.deflate_mode = Deflate::Takeover.as_number();
    limits.deflate_takeover_max = 2;
    let mut engine = Engine::new(limits, Board::default());
    engine.begin_tick(Millis(0), UnixMillis(0));
    let keeps = |client: &Client| !client.agreed.unwrap().server_no_context_takeover;
    let mut clients: Vec<Client> = (0..4).map(|_| Client::open(&mut engine, offer())).collect();
    assert_eq!(clients.iter().map(keeps).collect::<Vec<_>>(), [true, true, false, false]);
    for round in 0..5 {
        for client in &mut clients {
            let text = long(&format!("round {round}"));
            let _ = client.say(&mut engine, &text);
            assert_eq!(client.hear(&mut engine).1, [text]);
        }
    }
    // One leaves, and a newcomer has its place.
    engine.reset(clients[0].id);
    tick(&mut engine);
    assert!(keeps(&Client::open(&mut engine, offer())));
    assert!(!keeps(&Client::open(&mut engine, offer())));
}

#[test]
fn a_message_for_all_reaches_every_kind_of_client_and_confuses_none() {
    for mode in [Deflate::On, Deflate::Takeover] {
        let mut engine = engine(mode);
        let offers = [
            None,
            offer(),
            offer(),
            Some(DeflateOffer {
                server_max_window_bits: WindowBits::new(9),
                ..DeflateOffer::default()
            }),
            Some(DeflateOffer { server_no_context_takeover: true, ..DeflateOffer::default() }),
        ];
        let mut clients: Vec<Client> =
            offers.into_iter().map(|offer| Client::open(&mut engine, offer)).collect();
        for round in 0..4 {
            let for_all = long(&format!("all {round}"));
            let _ = clients[round].say(&mut engine, &for_all);
            for client in &mut clients {
                let rsv = if client.agreed.is_some() { Rsv::RSV1 } else { Rsv::NONE };
                assert_eq!(client.hear(&mut engine), (vec![rsv], vec![for_all.clone()]));
                // Its own conversation goes on.
                let own = long(&format!("own {round}"));
                let _ = client.say(&mut engine, &own);
                assert_eq!(client.hear(&mut engine), (vec![rsv], vec![own]));
            }
        }
    }
}

#[test]
fn bombs_are_worked_off_in_turns() {
    let mut engine = engine(Deflate::On);
    let mut attacker = Client::open(&mut engine, offer());
    let mut other = Client::open(&mut engine, offer());
    // Each becomes a megabyte, the most that is allowed.
    let bomb = "a".repeat(1 << 20);
    let mut out = Outbox::new();
    for _ in 0..10 {
        assert!(attacker.connection.send(&attacker.endpoint, Message::Text(&bomb), &mut out));
    }
    let mut bytes = Vec::new();
    while !out.is_empty() {
        bytes.extend_from_slice(out.front());
        out.advance(out.front().len());
    }
    assert!(bytes.len() < 200_000);
    assert_eq!(engine.receive(attacker.id, &mut bytes), Flow::Paused);
    assert_eq!(engine.handler().heard, [1 << 20]);
    assert_eq!(other.say(&mut engine, "me too"), Flow::Read);
    assert_eq!(other.hear(&mut engine).1, ["me too"]);
    for round in 2..=10 {
        output(&mut engine, attacker.id);
        tick(&mut engine);
        let mut resumed = Vec::new();
        engine.take_resumed(&mut resumed);
        assert_eq!(resumed, [attacker.id]);
        let _ = engine.resume(attacker.id);
        let bombs = engine.handler().heard.iter().filter(|len| **len == 1 << 20).count();
        assert_eq!(bombs, round);
    }
}

#[test]
fn a_broken_message_closes_its_connection_and_no_other() {
    for mode in [Deflate::On, Deflate::Takeover] {
        let mut engine = engine(mode);
        let mut honest = Client::open(&mut engine, offer());
        for payload in [&b"\xff\xff"[..], b"\xf2\x48\xcd", b"\x07"] {
            let mut attacker = Client::open(&mut engine, offer());
            let mut frame = vec![0xC1, 0x80 | payload.len() as u8, 0, 0, 0, 0];
            frame.extend_from_slice(payload);
            let _ = engine.receive(attacker.id, &mut frame);
            let (mut bytes, mut out) = (output(&mut engine, attacker.id), Outbox::new());
            let mut input = Input::new(&mut bytes);
            let step = attacker.connection.advance(&attacker.endpoint, &mut input, &mut out);
            let Step::Closed { code, .. } = step else { panic!("{step:?}") };
            assert_eq!(code.as_u16(), 1007);
            let text = long("still here");
            let _ = honest.say(&mut engine, &text);
            assert_eq!(honest.hear(&mut engine).1, [text]);
        }
    }
}
