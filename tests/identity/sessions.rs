//! The same questions in switchboard.v1: a refusal is a Close, which a page can see.

use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use crate::application::{Application, Reply};
use crate::common::client::{Client, Event, frame};
use crate::world::*;
use switchboard::wire::Opcode;

const V1: &str = "Sec-WebSocket-Protocol: switchboard.v1";
const HELLO: &str = r#"{"type":"hello","client":"c8f3"}"#;

/// Upgraded, whoever it is.
#[track_caller]
fn open(world: &World, target: &str, lines: &[&str]) -> Client {
    let lines = [&[V1], lines].concat();
    world.open(target, &lines).unwrap_or_else(|status| panic!("refused: {status:?}"))
}

/// Somebody who has said hello, and is welcome.
#[track_caller]
fn welcome(world: &World, token: &str) -> Client {
    let mut client = open(world, "/", &[&bearer(token)]);
    client.send_text(HELLO);
    expect_welcome(&mut client);
    client
}

#[track_caller]
fn expect_welcome(client: &mut Client) -> String {
    match client.receive() {
        Event::Text(text) if text.starts_with(r#"{"type":"welcome""#) => text,
        other => panic!("{other:?}"),
    }
}

/// A Close and nothing else.
#[track_caller]
fn expect_close(client: &mut Client, code: u16, reason: &str) {
    assert_eq!(client.receive(), Event::Close(code, reason.to_owned()));
    client.expect_end();
}

/// A hello with a token.
fn hello(token: &str) -> String {
    serde_json::json!({"type": "hello", "client": "c8f3", "token": token}).to_string()
}

#[test]
fn a_refused_token_in_the_handshake_is_an_upgrade_and_a_close() {
    let world = World::tokens(&[]);
    for (target, lines, code, reason) in [
        ("/", vec![bearer("s3cret-of-nobody")], 4401, "token_refused"),
        ("/", vec![bearer(GONE)], 4401, "token_expired"),
        ("/?token=s3cret-of-nobody", vec![], 4401, "token_refused"),
        ("/?user=bob", vec![bearer(ALICE)], 4403, "wrong_user"),
        ("/?user=bob", vec![bearer(BOB), "Origin: null".to_owned()], 0, ""),
    ] {
        let lines: Vec<&str> = lines.iter().map(|line| &**line).collect();
        let mut client = open(&world, target, &lines);
        if code > 0 {
            expect_close(&mut client, code, reason);
        } else {
            client.send_text(HELLO);
            expect_welcome(&mut client);
        }
    }
    // A token beside the name, as pages send it; only the name is echoed.
    let entry = URL_SAFE_NO_PAD.encode(ALICE);
    let line = format!("Sec-WebSocket-Protocol: switchboard.v1, bearer.{entry}");
    let mut alice = world.open("/", &[&line]).unwrap_or_else(|status| panic!("{status:?}"));
    alice.send_text(HELLO);
    assert!(expect_welcome(&mut alice).contains(r#""user":"alice""#));
    let bad = URL_SAFE_NO_PAD.encode("s3cret-of-nobody");
    let line = format!("Sec-WebSocket-Protocol: bearer.{bad}, switchboard.v1");
    let mut nobody = world.open("/", &[&line]).unwrap_or_else(|status| panic!("{status:?}"));
    expect_close(&mut nobody, 4401, "token_refused");
}

#[test]
fn a_hello_may_bring_the_token_and_nothing_else_comes_before_it() {
    let world = World::tokens(&[]);
    let mut alice = open(&world, "/", &[]);
    alice.send_text(&hello(ALICE));
    assert!(expect_welcome(&mut alice).contains(r#""user":"alice""#));
    for (said, code, reason) in [
        (hello("s3cret-of-nobody"), 4401, "token_refused"),
        (hello(GONE), 4401, "token_expired"),
        (HELLO.to_owned(), 4401, "authentication_required"),
        (auth(ALICE), 4401, "authentication_required"),
        (r#"{"type":"ping"}"#.to_owned(), 4401, "authentication_required"),
        (r#"{"id":1,"receiver":"bob","content":1}"#.to_owned(), 4401, "authentication_required"),
    ] {
        let mut client = open(&world, "/", &[]);
        client.send_text(&said);
        expect_close(&mut client, code, reason);
    }
    let mut client = open(&world, "/?user=bob", &[]);
    client.send_text(&hello(ALICE));
    expect_close(&mut client, 4403, "wrong_user");
    let mut client = open(&world, "/", &[]);
    client.send_binary(hello(ALICE).as_bytes());
    expect_close(&mut client, 4401, "authentication_required");
    // A token that nobody asks for is not looked at, and whoever is here signs in no more.
    let mut client = open(&world, "/", &[&bearer(ALICE)]);
    client.send_text(&hello("s3cret-of-nobody"));
    assert!(expect_welcome(&mut client).contains(r#""user":"alice""#));
    client.send_text(&auth(BOB));
    let unknown = r#"{"type":"error","code":400,"reason":"unknown_type"}"#;
    assert_eq!(client.receive(), Event::Text(unknown.to_owned()));
    let twice = world.open("/", &[V1, &bearer(ALICE), &bearer(BOB)]);
    assert_eq!(twice.err(), Some(Some(400)));
    // The outbox of one user is not sent as another, whatever the token says.
    let mut client = open(&world, "/", &[&bearer(ALICE)]);
    client.send_text(r#"{"type":"hello","client":"c8f3","user":"bob"}"#);
    expect_close(&mut client, 4403, "wrong_user");
}

#[test]
fn a_hello_that_comes_late_or_never_is_4408() {
    let world = World::tokens(&["--auth-timeout", "50ms"]);
    for lines in [vec![], vec![bearer(ALICE)]] {
        let lines: Vec<&str> = lines.iter().map(|line| &**line).collect();
        let mut client = open(&world, "/", &lines);
        assert!(matches!(client.receive(), Event::Close(4408, _)));
    }
}

#[test]
fn too_many_connections_are_4429() {
    let policy = r#"{"roles":{"*":{"allow":["room:*"],"limits":{"connections-per-user":1}}}}"#;
    let tokens = tokens_file();
    let files = [("tokens.json", &*tokens), ("policy.json", policy)];
    let args = ["--policy", "FOLDER/policy.json"];
    let world = World::start(&files, "tokens:FOLDER/tokens.json", &args);
    let _one = welcome(&world, ALICE);
    let mut two = open(&world, "/", &[&bearer(ALICE)]);
    expect_close(&mut two, 4429, "too_many_connections");
    let mut three = open(&world, "/", &[]);
    three.send_text(&hello(ALICE));
    expect_close(&mut three, 4429, "too_many_connections");
}

#[test]
fn an_endpoint_that_is_down_is_4503_and_one_that_says_no_4401_or_4403() {
    let answers = |head: &str| match head {
        head if head.contains("s3cret-slow") => Reply::Hang,
        head if head.contains("s3cret-broken") => Reply::http(500, "{}"),
        head if head.contains("s3cret-banned") => Reply::http(403, "{}"),
        head if head.contains("s3cret-alice") => Reply::http(200, r#"{"user":"alice"}"#),
        _ => Reply::http(401, "{}"),
    };
    let application = Application::start(answers);
    let within = |timeout: &str| {
        let args = ["--origin", "https://app.example.org", "--auth-endpoint-timeout", timeout];
        World::start(&[], &application.auth(), &args)
    };
    let (short, world) = (within("200ms"), within("10m"));
    for (world, token, code, reason) in [
        (&short, "s3cret-slow", 4503, "check_failed"),
        (&world, "s3cret-broken", 4503, "check_failed"),
        (&world, "s3cret-banned", 4403, "forbidden"),
        (&world, "s3cret-nobody", 4401, "token_refused"),
    ] {
        let mut client = open(world, "/", &[&bearer(token)]);
        expect_close(&mut client, code, reason);
        let mut client = open(world, "/", &[]);
        client.send_text(&hello(token));
        expect_close(&mut client, code, reason);
    }
    // The hello is answered when the endpoint has answered; what comes meanwhile is too early.
    let mut alice = open(&world, "/", &[]);
    alice.send_text(&hello("s3cret-alice"));
    assert!(expect_welcome(&mut alice).contains(r#""user":"alice""#));
    let mut early = open(&world, "/", &[]);
    early.send_text(&hello("s3cret-slow"));
    early.send_text(r#"{"id":1,"receiver":"alice","content":"psst"}"#);
    expect_close(&mut early, 4401, "authentication_required");
}

#[test]
fn where_pages_may_not_come_from_is_http_403_in_every_dialect() {
    let world = World::tokens(&["--origin", "https://app.example.org"]);
    let origin = "Origin: https://evil.example.org";
    assert_eq!(world.status("/", &[V1, &bearer(ALICE), origin]), 403);
    let mut alice = open(&world, "/", &[&bearer(ALICE), "Origin: https://app.example.org"]);
    alice.send_text(HELLO);
    expect_welcome(&mut alice);
    assert_eq!(world.status("/", &["Sec-WebSocket-Protocol: switchboard.v2"]), 400);
}

#[test]
fn a_credential_ends_for_sessions_as_for_others() {
    let world = World::signed(&[]);
    // Good for some seconds of the leeway of a minute.
    let (end, mut alice, welcome_or_end) = in_time(|seconds| {
        let end = now() + seconds;
        let token = world.sign(&format!(r#"{{"sub":"alice","exp":{}}}"#, end - 60));
        let mut alice = open(&world, "/", &[&bearer(&token)]);
        alice.send_text(HELLO);
        let heard = alice.receive();
        (now() < end).then_some((end, alice, heard))
    });
    let is_welcome = matches!(&welcome_or_end, Event::Text(text) if text.contains("welcome"));
    assert!(is_welcome, "{welcome_or_end:?}");
    expect_close(&mut alice, 4401, "token_expired");
    assert!(now() >= end, "too early");
    // What comes later is in the log.
    let bob = world.sign(r#"{"sub":"bob"}"#);
    let mut bob = welcome(&world, &bob);
    bob.send_text(r#"{"id":1,"receiver":"alice","content":1}"#);
    assert_eq!(bob.receive(), Event::Text(r#"{"type":"ok","id":1,"online":0}"#.to_owned()));
}

#[test]
fn hangup_closes_sessions_whose_token_is_gone_and_gives_the_others_their_groups() {
    let world = World::tokens(&[]);
    let (mut alice, mut bob) = (welcome(&world, ALICE), welcome(&world, BOB));
    let groups = r#"{"tokens":[{"token":"s3cret-of-bob-000002","user":"bob","groups":["g"]}]}"#;
    world.change("tokens.json", groups);
    expect_close(&mut alice, 4401, "token_refused");
    bob.send_text(r#"{"id":1,"group":"g","content":1,"echo":true}"#);
    let heard = [bob.receive(), bob.receive()];
    assert!(
        heard.iter().any(|event| matches!(event, Event::Text(text) if text.contains(
            r#""group":"g","content":1"#
        ))),
        "{heard:?}"
    );
    world.change("tokens.json", &tokens_file());
    bob.send_text(r#"{"id":2,"group":"g","content":2}"#);
    let refused = r#"{"type":"error","id":2,"code":403,"reason":"not_a_member"}"#;
    assert_eq!(bob.receive(), Event::Text(refused.to_owned()));
}

#[test]
fn a_policy_that_is_replaced_holds_for_sessions() {
    let all = r#"{"roles":{"*":{"allow":["room:*","send:*"]}}}"#;
    let tokens = tokens_file();
    let files = [("tokens.json", &*tokens), ("policy.json", all)];
    let args = ["--policy", "FOLDER/policy.json"];
    let world = World::start(&files, "tokens:FOLDER/tokens.json", &args);
    let mut alice = welcome(&world, ALICE);
    alice.send_text(r#"{"id":1,"receiver":"bob","content":1}"#);
    assert_eq!(alice.receive(), Event::Text(r#"{"type":"ok","id":1}"#.to_owned()));
    world.change("policy.json", r#"{"roles":{"*":{"allow":["room:*"]}}}"#);
    alice.send_text(r#"{"id":2,"receiver":"bob","content":1}"#);
    let refused = r#"{"type":"error","id":2,"code":403,"reason":"forbidden","missing":"send:bob"}"#;
    assert_eq!(alice.receive(), Event::Text(refused.to_owned()));
    let limits = r#"{"allow":["room:*","send:*"],"limits":{"message":64,"messages-per-second":1}}"#;
    world.change("policy.json", &format!(r#"{{"roles":{{"*":{limits}}}}}"#));
    let long = format!(r#"{{"id":3,"receiver":"bob","content":"{}"}}"#, "x".repeat(64));
    // Both in one second, for they are in one segment.
    let next = r#"{"id":4,"receiver":"bob","content":1}"#;
    let both = [long.as_bytes(), next.as_bytes()].map(|text| frame(Opcode::Text, text));
    alice.send_raw(&both.concat());
    let refused = r#"{"type":"error","id":3,"code":413,"reason":"message_too_large","max":64}"#;
    assert_eq!(alice.receive(), Event::Text(refused.to_owned()));
    let Event::Text(rate) = alice.receive() else { panic!("no answer") };
    assert!(rate.contains(r#""reason":"rate","retry":true,"expect":4"#), "{rate}");
    std::thread::sleep(Duration::from_millis(1_100));
    alice.send_text(r#"{"id":4,"receiver":"bob","content":1}"#);
    assert_eq!(alice.receive(), Event::Text(r#"{"type":"ok","id":4}"#.to_owned()));
}
