//! `switchboard token`, and the server that takes what it prints.

use std::process::{Command, Output};

use crate::common::client::Event;
use crate::common::process::{BINARY, clean};
use crate::world::*;

fn token(args: &[&str], env: &[(&str, &str)]) -> Output {
    let mut command = clean(Command::new(BINARY));
    command.arg("token").args(args).envs(env.iter().copied());
    command.output().expect("the binary is built")
}

#[track_caller]
fn good(output: Output) -> String {
    let error = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(0), "{error}");
    let text = String::from_utf8(output.stdout).expect("a token in UTF-8");
    let token = text.strip_suffix('\n').expect("a line");
    assert!(!token.contains(char::is_whitespace), "{token}");
    token.to_owned()
}

#[test]
fn what_is_minted_is_let_in() {
    let world = World::signed(&["--auth-audience", "chat", "--auth-issuer", "tests"]);
    let key = world.file("key").display().to_string();
    let auth = format!("jwt:hs256:{key}");
    let claims = ["--user", "alice", "--group", "staff", "--audience", "chat", "--issuer", "tests"];
    let by_flag = token(&[&claims[..], &["--role", "member", "--secret", &key]].concat(), &[]);
    for output in [
        by_flag,
        token(&claims, &[("SWITCHBOARD_AUTH", &auth)]),
        token(&claims, &[("SWITCHBOARD_AUTH_SECRET_FILE", &key)]),
        token(&claims, &[("SWITCHBOARD_AUTH_SECRET", KEY)]),
    ] {
        let token = good(output);
        world.keep_secret(token.rsplit('.').next().unwrap());
        let mut client = world.bearer("/?user=alice", &token);
        client.send_text(r#"{"group":"staff","content":1}"#);
        expect_nothing(&mut client);
    }
    let (end, mut client) = in_time(|seconds| {
        let (end, ttl) = (now() + seconds, format!("{seconds}s"));
        let output = token(&[&claims[..], &["--ttl", &ttl, "--secret", &key]].concat(), &[]);
        let client = world.bearer("/", &good(output));
        (now() < end).then_some((end, client))
    });
    assert_eq!(client.receive(), Event::Close(4401, "token_expired".to_owned()));
    assert!(now() >= end, "too early");
}

#[test]
fn what_cannot_be_minted_is_refused_with_its_reason() {
    let world = World::signed(&[]);
    let key = world.file("key").display().to_string();
    std::fs::write(world.file("short"), "s3cret").unwrap();
    let short = world.file("short").display().to_string();
    for (args, wanted) in [
        (&["--secret", &key][..], "--user is missing"),
        (&["--user", "*", "--secret", &key], "--user '*': name is `*`, which means everyone"),
        (&["--user", "a", "--role", " b", "--secret", &key], "name begins or ends with white"),
        (&["--user", "a", "--ttl", "0", "--secret", &key], "--ttl '0': not a time"),
        (&["--user", "a", "--ttl", "1y", "--secret", &key], "--ttl '1y': not a time"),
        (&["--user", "a"], "--secret is missing"),
        (&["--user", "a", "--secret", "/nowhere"], "/nowhere: "),
        (&["--user", "a", "--secret", &short], "at least 32 bytes"),
    ] {
        let output = token(args, &[]);
        let text = String::from_utf8(output.stderr).unwrap();
        assert_eq!((output.status.code(), &output.stdout[..]), (Some(2), &b""[..]), "{args:?}");
        assert!(text.contains(wanted) && !text.contains("s3cret"), "{args:?}: {text}");
    }
}
