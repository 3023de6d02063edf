//! Tokens that are signed, and how they end.

use switchboard::relay::access::jwt::sign_hs256;

use crate::common::client::Event;
use crate::common::process::eventually;
use crate::world::*;

#[test]
fn a_signed_token_is_its_sub() {
    let world = World::signed(&[]);
    let claims = format!(r#"{{"sub":"alice","exp":{}}}"#, now() + 60);
    let mut alice = world.bearer("/", &world.sign(&claims));
    let mut bob = world.bearer("/", &world.sign(r#"{"sub":"bob","groups":"staff"}"#));
    bob.send_text(r#"{"receiver":"alice","content":"hi"}"#);
    let heard = r#"{"sender":"bob","content":"hi"}"#;
    assert_eq!(alice.receive(), Event::Text(heard.to_owned()));
}

#[test]
fn what_is_wrong_with_a_signed_token_stays_in_the_log() {
    let world = World::signed(&["--auth-audience", "chat", "--auth-issuer", "app"]);
    let other = sign_hs256(b"another-secret-another-secret-00", r#"{"sub":"eve","aud":"chat"}"#);
    let other = other.unwrap();
    world.keep_secret(other.rsplit('.').next().unwrap());
    let claims = |more: &str| world.sign(&format!(r#"{{"iss":"app","aud":"chat",{more}}}"#));
    let none = "eyJhbGciOiJub25lIn0.eyJzdWIiOiJhbGljZSJ9.";
    world.keep_secret("eyJzdWIiOiJhbGljZSJ9");
    let expired = format!(r#""sub":"alice","exp":{}"#, now() - 61);
    let early = format!(r#""sub":"alice","nbf":{}"#, now() + 120);
    for (token, reason, why) in [
        (other, "token_refused", "wrong signature"),
        (none.to_owned(), "token_refused", "another algorithm"),
        (claims(&expired), "token_expired", "expired"),
        (claims(&early), "token_refused", "not valid yet"),
        (claims(r#""roles":[]"#), "token_refused", "sub is missing"),
        (claims(r#""sub":"a\nb""#), "token_refused", "sub: name has a control"),
        (world.sign(r#"{"sub":"a","iss":"app"}"#), "token_refused", "aud is not"),
        (world.sign(r#"{"sub":"a","aud":"chat","iss":"x"}"#), "token_refused", "iss is not"),
        ("s3cret.s3cret.s3cret".to_owned(), "token_refused", "not a token"),
    ] {
        let answer = world.refusal("/", &[&bearer(&token)]);
        assert!(answer.starts_with("HTTP/1.1 401 "), "{why}: {answer}");
        assert!(answer.contains(&format!("\r\n\r\n{reason}: ")), "{why}: {answer}");
        eventually(why, || world.process.log().contains(why));
    }
    assert!(world.open("/", &[&bearer(&claims(r#""sub":"alice""#))]).is_ok());
}

#[test]
fn a_token_that_expires_closes_its_connections_at_that_moment() {
    let world = World::signed(&[]);
    // Whoever comes later than its end, within the leeway, is closed a minute later.
    let (end, mut first, mut second) = in_time(|seconds| {
        let end = now() + seconds;
        let token = world.sign(&format!(r#"{{"sub":"alice","exp":{end}}}"#));
        let first = world.bearer("/", &token);
        let mut second = world.open("/", &[]).unwrap_or_else(|_| panic!("refused"));
        second.send_text(&auth(&token));
        assert_eq!(second.receive(), Event::Text(r#"{"type":"ok"}"#.to_owned()));
        (now() < end).then_some((end, first, second))
    });
    let longer = world.sign(&format!(r#"{{"sub":"alice","exp":{}}}"#, end + 3600));
    let mut third = world.bearer("/", &longer);
    for client in [&mut first, &mut second] {
        assert_eq!(client.receive(), Event::Close(4401, "token_expired".to_owned()));
        assert!(now() >= end, "too early");
        client.expect_end();
    }
    expect_nothing(&mut third);
}

#[test]
fn the_leeway_lets_in_and_ends() {
    let world = World::signed(&[]);
    // Of the 60 seconds most are gone.
    let (end, mut client) = in_time(|seconds| {
        let end = now() + seconds;
        let token = world.sign(&format!(r#"{{"sub":"alice","exp":{}}}"#, end - 60));
        let opened = world.open("/", &[&bearer(&token)]);
        (now() < end).then(|| (end, opened.unwrap_or_else(|status| panic!("{status:?}"))))
    });
    assert_eq!(client.receive(), Event::Close(4401, "token_expired".to_owned()));
    assert!(now() >= end, "too early");
}

#[test]
fn a_key_that_cannot_be_used_is_refused_at_start() {
    use crate::common::process::{BINARY, clean};
    let folder = std::path::Path::new(env!("CARGO_TARGET_TMPDIR"));
    let file = folder.join(format!("identity-short-key-{}", std::process::id()));
    std::fs::write(&file, "s3cret\n").unwrap();
    for algorithm in ["hs256", "eddsa"] {
        let mut command = clean(std::process::Command::new(BINARY));
        command.args(["serve", "--listen", "127.0.0.1:0", "--auth"]);
        command.arg(format!("jwt:{algorithm}:{}", file.display()));
        let output = command.output().unwrap();
        let text = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(2), "{text}");
        assert!(text.contains("identity-short-key") && !text.contains("s3cret"), "{text}");
    }
    std::fs::remove_file(file).unwrap();
}
