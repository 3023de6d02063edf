//! Scripts for an engine: each shows one thing that can happen to it.

use super::{Seed, table};
use crate::engine_operations::{Behaviour, Coding, Operation, Script};
use crate::subject::frame_with;
use Behaviour::{Close, CloseNext, Echo, Everybody, Later, Next, Parts, Swallow};
use Operation::{
    Bytes, Connect, Control, Dial, Drink, Finish, Inject, Reset, Room, ShutDown, Tick, Wait,
};

/// The seeds of `engine_operations`.
pub fn seeds() -> Vec<Seed> {
    let rows: Vec<(&str, Vec<u8>)> = rows()
        .into_iter()
        .map(|(name, setting, operations)| (name, Script { setting, operations }.to_bytes()))
        .collect();
    table("engine_operations", &rows)
}

/// A text message in one frame.
fn say(client: u8, behaviour: Behaviour, len: u16) -> Operation {
    coded(client, behaviour, Coding::Plain, len)
}

/// The same, compressed if that is agreed.
fn coded(client: u8, behaviour: Behaviour, coding: Coding, len: u16) -> Operation {
    Operation::Message { client, behaviour, binary: false, coding, len, cuts: 0 }
}

/// A binary message in fragments.
fn cut(client: u8, behaviour: Behaviour, len: u16, cuts: u8) -> Operation {
    Operation::Message { client, behaviour, binary: true, coding: Coding::Plain, len, cuts }
}

const ROOMY: u8 = 0;
const FEW_CONNECTIONS: u8 = 1 << 1;
const NARROW: u8 = 2 << 1;
const TINY: u8 = 3 << 1;
const RELAY: u8 = 1;
const READS_OF_7: u8 = 1 << 3;
const LARGE_READS: u8 = 3 << 3;
const DECLINED: u8 = 1 << 5;
const DEFLATE: u8 = 2 << 5;
const TAKEOVER: u8 = 3 << 5;

fn rows() -> Vec<(&'static str, u8, Vec<Operation>)> {
    [messages(), fan_outs(), stalls(), timeouts(), endings(), relayed(), compressed(), takeovers()]
        .concat()
}

/// Clients 0 and 1 are connected, and then something happens.
fn two(rest: &[Operation]) -> Vec<Operation> {
    [&[Connect(0), Connect(1), Tick], rest].concat()
}

/// Messages that are sent back.
fn messages() -> Vec<(&'static str, u8, Vec<Operation>)> {
    vec![
        ("echo-one-message", ROOMY, vec![Connect(0), say(0, Echo, 5), Tick]),
        ("echo-in-reads-of-seven-bytes", READS_OF_7, vec![Connect(0), say(0, Echo, 500), Tick]),
        ("echo-fragments-with-pings", ROOMY, vec![Connect(0), cut(0, Echo, 300, 5), Tick]),
        ("echo-too-many-fragments", ROOMY, vec![Connect(0), cut(0, Echo, 300, 17), Tick]),
        ("echo-large-read-in-place", ROOMY, vec![Connect(0), cut(0, Echo, 60_000, 0), Tick]),
        ("echo-large-in-one-read", LARGE_READS, vec![Connect(0), cut(0, Echo, 60_000, 0), Tick]),
    ]
}

/// Messages for others.
fn fan_outs() -> Vec<(&'static str, u8, Vec<Operation>)> {
    vec![
        ("one-to-one", ROOMY, two(&[say(0, Next, 20), say(1, Next, 30), Tick])),
        ("fan-out-shared", ROOMY, two(&[say(0, Everybody, 4_000), Tick])),
        ("fan-out-in-parts", ROOMY, two(&[cut(1, Parts, 1_001, 1), Tick])),
        ("timer-sends-later", ROOMY, two(&[say(0, Later, 300), Tick, Wait(10), Tick])),
        ("another-thread-sends", ROOMY, two(&[Inject(0, 800), Tick])),
        (
            "budget-of-sends",
            FEW_CONNECTIONS,
            two(&[
                say(0, Everybody, 9),
                say(0, Everybody, 9),
                say(0, Everybody, 9),
                say(0, Everybody, 9),
                say(1, Echo, 9),
                Tick,
                Tick,
            ]),
        ),
    ]
}

/// Clients that do not read.
fn stalls() -> Vec<(&'static str, u8, Vec<Operation>)> {
    vec![
        (
            "reader-stalls-and-goes-on",
            NARROW,
            two(&[
                Room(1, 10),
                say(0, Next, 900),
                say(0, Next, 900),
                say(0, Next, 900),
                Tick,
                Room(1, 700),
                Tick,
                Drink(1),
                Tick,
            ]),
        ),
        (
            "own-replies-not-read",
            NARROW,
            two(&[
                Room(0, 0),
                say(0, Echo, 2_000),
                say(0, Echo, 10),
                say(0, Echo, 10),
                Tick,
                Tick,
                Drink(0),
                Tick,
            ]),
        ),
        (
            "pings-and-nobody-reads-the-pongs",
            TINY,
            two(&[
                Room(0, 0),
                cut(0, Swallow, 100, 15),
                cut(0, Swallow, 100, 15),
                Tick,
                Tick,
                Tick,
            ]),
        ),
        (
            "total-is-used-up",
            NARROW,
            two(&[
                Room(0, 0),
                Room(1, 0),
                cut(0, Everybody, 39_000, 0),
                Tick,
                cut(1, Everybody, 39_000, 0),
                Tick,
            ]),
        ),
        ("write-timeout", NARROW, two(&[Room(1, 0), say(0, Next, 900), Tick, Wait(50), Tick])),
        (
            "reset-with-output-queued",
            NARROW,
            two(&[Room(1, 5), say(0, Next, 900), Tick, Reset(1), say(0, Next, 900), Tick]),
        ),
    ]
}

/// Deadlines that pass, or do not.
fn timeouts() -> Vec<(&'static str, u8, Vec<Operation>)> {
    vec![
        ("ping-timeout", ROOMY, two(&[Wait(51), Tick, Wait(41), Tick])),
        ("pong-in-time", ROOMY, two(&[Wait(51), Tick, Control(0, 2), Tick, Wait(41), Tick])),
        (
            "head-timeout",
            ROOMY,
            vec![Dial(0), Bytes(0, b"GET / HT".to_vec()), Tick, Wait(61), Tick],
        ),
        ("silent-until-the-timeout", ROOMY, vec![Dial(0), Tick, Wait(61), Tick]),
        ("close-timeout", ROOMY, two(&[Room(0, 0), say(0, Close, 9), Tick, Wait(30), Tick])),
    ]
}

/// Ways to come and to go.
fn endings() -> Vec<(&'static str, u8, Vec<Operation>)> {
    vec![
        ("peer-closes", ROOMY, two(&[Control(0, 3), Tick])),
        ("peer-closes-without-a-code", ROOMY, two(&[Control(0, 4), Tick])),
        ("handler-closes", ROOMY, two(&[say(0, Close, 9), say(0, Echo, 9), Tick])),
        ("handler-closes-another", ROOMY, two(&[say(0, CloseNext, 9), Tick, Wait(30), Tick])),
        (
            "fin-in-the-middle-of-a-frame",
            ROOMY,
            two(&[Bytes(0, b"\x82\x90\0\0\0\0half".to_vec()), Finish(0), Tick]),
        ),
        (
            "a-new-connection-in-an-old-place",
            ROOMY,
            two(&[Reset(0), Tick, Connect(0), say(0, Echo, 8), say(1, Next, 8), Tick]),
        ),
        (
            "protocol-broken",
            ROOMY,
            two(&[say(0, Echo, 5), Bytes(0, b"\x83\x80\0\0\0\0".to_vec()), say(0, Echo, 5), Tick]),
        ),
        (
            "one-connection-too-many",
            FEW_CONNECTIONS,
            vec![
                Connect(0),
                Connect(1),
                Connect(2),
                Connect(3),
                Dial(4),
                Tick,
                say(0, Everybody, 9),
                Tick,
            ],
        ),
        ("shut-down", ROOMY, two(&[say(0, Next, 50), Tick, ShutDown, Tick, Connect(2), Tick])),
    ]
}

/// The relay instead of the router.
fn relayed() -> Vec<(&'static str, u8, Vec<Operation>)> {
    vec![
        ("relay-direct", RELAY, two(&[say(0, Next, 5), say(1, Echo, 5), Tick])),
        (
            "relay-group",
            RELAY,
            two(&[
                say(0, Close, 0),
                say(0, Parts, 5),
                say(0, CloseNext, 0),
                say(0, Parts, 5),
                Tick,
            ]),
        ),
        (
            "relay-guest-takes-a-name",
            RELAY,
            vec![Connect(4), Connect(0), Tick, say(4, Later, 5), say(4, Everybody, 5), Tick],
        ),
        (
            "relay-receiver-congested",
            RELAY | NARROW,
            two(&[
                Room(1, 0),
                say(0, Next, 900),
                say(0, Next, 900),
                say(0, Next, 900),
                Tick,
                Drink(1),
                Tick,
            ]),
        ),
        (
            "relay-http-request",
            RELAY,
            vec![Dial(3), Bytes(3, b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n".to_vec()), Tick],
        ),
    ]
}

/// permessage-deflate: clients 0 to 2 offer it, client 3 does not.
fn compressed() -> Vec<(&'static str, u8, Vec<Operation>)> {
    // Of 15 bytes 1,808 come.
    let bomb = frame_with(0xC2, Some([0; 4]), super::deflate::ZEROS);
    vec![
        ("deflate-declined", DECLINED, two(&[coded(0, Everybody, Coding::Deflated, 300), Tick])),
        ("deflate-every-coding", DEFLATE, every_coding()),
        (
            "deflate-fan-out-with-and-without",
            DEFLATE,
            four(&[coded(0, Everybody, Coding::Deflated, 3_000), cut(3, Parts, 500, 1), Tick]),
        ),
        ("deflate-bomb", DEFLATE | TINY, two(&[Bytes(0, bomb), say(0, Echo, 9), Tick])),
        (
            "deflate-reader-stalls",
            TAKEOVER | NARROW,
            two(&[
                Room(1, 400),
                coded(0, Next, Coding::Stored, 30_000),
                coded(0, Next, Coding::Deflated, 20_000),
                coded(0, Everybody, Coding::Deflated, 9_000),
                Tick,
                Drink(1),
                Tick,
            ]),
        ),
        (
            "deflate-relay-group",
            TAKEOVER | RELAY,
            four(&[
                say(0, Close, 0),
                say(2, Close, 0),
                coded(0, Parts, Coding::Deflated, 300),
                coded(1, Next, Coding::Stored, 300),
                coded(0, Everybody, Coding::Final, 300),
                Tick,
            ]),
        ),
    ]
}

/// Windows that are kept: by two connections at most.
fn takeovers() -> Vec<(&'static str, u8, Vec<Operation>)> {
    let (behaviour, binary, len, cuts) = (Next, true, 900, 5);
    let in_fragments =
        |coding| Operation::Message { client: 0, behaviour, binary, coding, len, cuts };
    // It asks for an echo, and nothing makes it shorter.
    let dense: Vec<u8> = (0..90).map(|place: u8| place.wrapping_mul(167) ^ b'b').collect();
    let dense = frame_with(0x82, Some([0; 4]), &dense);
    vec![
        ("deflate-takeover-every-coding", TAKEOVER, every_coding()),
        (
            "deflate-takeover-fragments-in-small-reads",
            TAKEOVER | READS_OF_7,
            two(&[in_fragments(Coding::Stored), in_fragments(Coding::Deflated), Tick]),
        ),
        (
            "deflate-takeover-own-and-shared",
            TAKEOVER,
            four(&[
                say(0, Echo, 300),
                Tick,
                // Compressed for many: not by the compressor that the next one refers to.
                say(3, Everybody, 400),
                Tick,
                say(0, Echo, 350),
                // Too short to be compressed.
                say(0, Echo, 20),
                say(0, Parts, 400),
                say(1, Echo, 300),
                Tick,
            ]),
        ),
        (
            "deflate-takeover-cannot-be-shorter",
            TAKEOVER,
            two(&[say(0, Echo, 300), Bytes(0, dense), say(0, Echo, 320), Tick]),
        ),
        (
            "deflate-takeover-places-are-given-back",
            TAKEOVER,
            four(&[
                coded(0, Everybody, Coding::Deflated, 90),
                Tick,
                Reset(0),
                Tick,
                Connect(0),
                Tick,
                coded(0, Everybody, Coding::Deflated, 90),
                Tick,
            ]),
        ),
    ]
}

/// Clients 2 and 3 are connected as well.
fn four(rest: &[Operation]) -> Vec<Operation> {
    two(&[&[Connect(2), Connect(3), Tick], rest].concat())
}

/// A client that compresses begins anew behind what it did not compress by itself.
fn every_coding() -> Vec<Operation> {
    use Coding::{Deflated, Final, Stored};
    let codings = [Deflated, Deflated, Stored, Final, Deflated, Deflated];
    let echoes: Vec<Operation> =
        codings.into_iter().map(|coding| coded(0, Echo, coding, 700)).collect();
    two(&[&echoes[..], &[Tick]].concat())
}
