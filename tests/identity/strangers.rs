//! Connections that say who they are by their first message, or do not.

use std::io::Write;
use std::time::{Duration, Instant};

use switchboard::wire::Opcode;

use crate::common::client::{Client, Event, connect, fragment, frame, handshake, header};
use crate::world::*;

fn stranger(world: &World, target: &str) -> Client {
    world.open(target, &[]).unwrap_or_else(|status| panic!("refused: {status:?}"))
}

#[test]
fn a_good_token_is_answered_and_lets_in() {
    let world = World::tokens(&[]);
    let mut client = stranger(&world, "/chat");
    client.send_text(&auth(ALICE));
    assert_eq!(client.receive(), Event::Text(r#"{"type":"ok"}"#.to_owned()));
    expect_user(&world, &mut client, "alice");
    // In the room it asked for.
    let mut bob = world.bearer("/chat", BOB);
    bob.send_text("hello, room");
    assert_eq!(client.receive(), Event::Text("hello, room".to_owned()));
    // Once is enough.
    client.send_text(&auth(BOB));
    let error = r#"{"type":"error","code":409,"reason":"already_authenticated"}"#;
    assert_eq!(client.receive(), Event::Text(error.to_owned()));
    expect_nothing(&mut bob);
}

#[test]
fn what_follows_a_good_token_at_once_is_heard() {
    let world = World::tokens(&[]);
    let mut bob = world.bearer("/", BOB);
    let mut client = stranger(&world, "/");
    // Longer than a stranger's messages may be.
    let content = "x".repeat(20_000);
    let mut bytes = frame(Opcode::Text, auth(ALICE).as_bytes());
    let message = format!(r#"{{"receiver":"bob","content":"{content}"}}"#);
    bytes.extend(frame(Opcode::Text, message.as_bytes()));
    client.send_raw(&bytes);
    assert_eq!(client.receive(), Event::Text(r#"{"type":"ok"}"#.to_owned()));
    let heard = Event::Text(format!(r#"{{"sender":"alice","content":"{content}"}}"#));
    assert_eq!(bob.receive(), heard);
}

#[test]
fn a_bad_token_is_answered_and_closed() {
    let world = World::tokens(&[]);
    for (token, reason) in [
        ("s3cret-of-nobody", "token_refused"),
        ("", "token_refused"),
        (GONE, "token_expired"),
        ("s3cret\u{0}\r\n", "token_refused"),
    ] {
        let mut client = stranger(&world, "/");
        client.send_text(&auth(token));
        expect_rejection(&mut client, 401, reason);
    }
    let mut client = stranger(&world, "/?user=bob");
    client.send_text(&auth(ALICE));
    expect_rejection(&mut client, 403, "wrong_user");
}

#[test]
fn nothing_else_is_allowed_before() {
    let world = World::tokens(&[]);
    let mut bob = world.bearer("/", BOB);
    for said in [
        r#"{"type":"ping"}"#,
        r#"{"receiver":"bob","content":"psst"}"#,
        r#"{"sender":"alice","receiver":"bob","content":"psst"}"#,
        r#"{"type":"join","group":"g"}"#,
        r#"{"type":"presence","user":"bob"}"#,
        r#"{"type":"auth"}"#,
        r#"{"type":"auth","token":7}"#,
        r#"{"type":"auth","token":"a","token":"b"}"#,
        r#"{"type":"auth","token":"\ud800"}"#,
        r#"["auth"]"#,
        "hello, room",
        "",
    ] {
        let mut client = stranger(&world, "/");
        client.send_text(said);
        expect_rejection(&mut client, 401, "authentication_required");
    }
    let mut client = stranger(&world, "/");
    client.send_binary(auth(ALICE).as_bytes());
    expect_rejection(&mut client, 401, "authentication_required");
    expect_nothing(&mut bob);
}

#[test]
fn a_stranger_hears_nothing_and_is_nobody() {
    let world = World::tokens(&[]);
    let mut strangers: Vec<Client> =
        ["/", "/?user=alice"].iter().map(|target| stranger(&world, target)).collect();
    let mut bob = world.bearer("/", BOB);
    bob.send_text("hello, room");
    bob.send_text(r#"{"receiver":"alice","content":"psst"}"#);
    let error = r#"{"type":"error","code":404,"reason":"receiver_offline","receiver":"alice"}"#;
    assert_eq!(bob.receive(), Event::Text(error.to_owned()));
    // Nor by the number of its connection.
    for number in 1..10 {
        bob.send_text(&format!(r#"{{"receiver":"{number}","content":"psst"}}"#));
        assert!(matches!(bob.receive(), Event::Text(text) if text.contains("receiver_offline")));
    }
    for client in &mut strangers {
        client.send_text(&auth(ALICE));
        assert_eq!(client.receive(), Event::Text(r#"{"type":"ok"}"#.to_owned()));
    }
}

#[test]
fn of_a_stranger_four_kibibytes_are_read() {
    let world = World::tokens(&[]);
    // As long as it may be: a token that is nobody's.
    let fits = auth(&"a".repeat(4096 - auth("").len()));
    assert_eq!(fits.len(), 4096);
    let mut client = stranger(&world, "/");
    client.send_text(&fits);
    expect_rejection(&mut client, 401, "token_refused");
    let too_long = auth(&"a".repeat(4097 - auth("").len()));
    let mut client = stranger(&world, "/");
    client.send_text(&too_long);
    client.expect_close(1009);
    // In fragments, and by the header of a frame alone.
    let mut client = stranger(&world, "/");
    let (first, second) = too_long.as_bytes().split_at(3000);
    client.send_raw(&fragment(Opcode::Text, false, first));
    client.send_raw(&fragment(Opcode::Continuation, true, second));
    client.expect_close(1009);
    let mut client = stranger(&world, "/");
    client.send_raw(&header(Opcode::Text, true, 4097));
    client.expect_close(1009);
    // In one piece with the handshake, when the server does not know yet who it will be.
    let addr = world.process.addr;
    let mut stream = connect(addr);
    let early = frame(Opcode::Text, too_long.as_bytes());
    stream.write_all(&[handshake(addr, "/"), early].concat()).unwrap();
    let client = Client::after_offering(stream, addr, &[]);
    client.unwrap_or_else(|status| panic!("refused: {status:?}")).expect_close(1009);
    let mut alice = world.bearer("/", ALICE);
    alice.send_text(&format!(r#"{{"type":"ping","x":"{}"}}"#, "y".repeat(100_000)));
    assert_eq!(alice.receive(), Event::Text(r#"{"type":"pong"}"#.to_owned()));
}

#[test]
fn control_frames_of_a_stranger_count_for_what_is_read() {
    let world = World::tokens(&[]);
    let ping = frame(Opcode::Ping, &[b'x'; 94]);
    assert_eq!(ping.len(), 100);
    // Together, and each for itself.
    for at_once in [true, false] {
        let mut client = stranger(&world, "/");
        match at_once {
            true => client.send_raw(&ping.repeat(2_000)),
            false => (0..60).for_each(|_| client.send_raw(&ping)),
        }
        let mut pongs = 0;
        let end = loop {
            match client.receive() {
                Event::Pong(_) => pongs += 1,
                end => break end,
            }
        };
        assert_eq!(end, Event::Close(1008, "too much before authentication".to_owned()));
        assert_eq!(pongs, (4096 + 512) / 100);
    }
    // Pongs are no better.
    let mut client = stranger(&world, "/");
    client.send_raw(&frame(Opcode::Pong, b"").repeat(4096));
    client.expect_close(1008);
    // A few may come before the longest message, and any number behind a good one.
    let mut client = stranger(&world, "/");
    let fits = auth(&"a".repeat(4096 - auth("").len()));
    client.send_raw(&[ping.repeat(5), frame(Opcode::Text, fits.as_bytes())].concat());
    for _ in 0..5 {
        assert!(matches!(client.receive(), Event::Pong(_)));
    }
    expect_rejection(&mut client, 401, "token_refused");
    let mut client = stranger(&world, "/");
    client.send_raw(&[frame(Opcode::Text, auth(ALICE).as_bytes()), ping.repeat(500)].concat());
    assert_eq!(client.receive(), Event::Text(r#"{"type":"ok"}"#.to_owned()));
    for _ in 0..500 {
        assert!(matches!(client.receive(), Event::Pong(_)));
    }
    expect_user(&world, &mut client, "alice");
}

#[test]
fn a_stranger_has_its_time_and_not_more() {
    let world = World::tokens(&["--auth-timeout", "500ms"]);
    let began = Instant::now();
    let mut slow = stranger(&world, "/").silent();
    // In one piece with the handshake, so not too late on any machine.
    let addr = world.process.addr;
    let mut stream = connect(addr);
    let said = frame(Opcode::Text, auth(ALICE).as_bytes());
    stream.write_all(&[handshake(addr, "/"), said].concat()).unwrap();
    let good = Client::after_handshake(stream, addr);
    let mut good = good.unwrap_or_else(|status| panic!("refused: {status:?}"));
    assert_eq!(good.receive(), Event::Text(r#"{"type":"ok"}"#.to_owned()));
    // A frame that drips extends nothing.
    slow.send_raw(&header(Opcode::Text, true, 100));
    slow.send_raw(b"x");
    let error = r#"{"type":"error","code":408,"reason":"authentication_timeout"}"#;
    assert_eq!(slow.receive(), Event::Text(error.to_owned()));
    assert_eq!(slow.receive(), Event::Close(4408, "authentication_timeout".to_owned()));
    // The server's clock has whole milliseconds, and the tick's began before ours.
    assert!(began.elapsed() >= Duration::from_millis(490));
    expect_user(&world, &mut good, "alice");
}

#[test]
fn strangers_that_leave_leave_nothing() {
    let world = World::tokens(&[]);
    let descriptors = world.process.descriptors();
    for _ in 0..50 {
        let mut client = stranger(&world, "/");
        client.send_raw(&frame(Opcode::Close, &1000_u16.to_be_bytes()));
        client.expect_close(1000);
        drop(stranger(&world, "/"));
    }
    world.process.expect_descriptors(descriptors);
    expect_user(&world, &mut world.bearer("/", ALICE), "alice");
}
