//! Each place for a credential, with every kind of it.

use crate::world::*;

const ORIGIN: &str = "https://app.example.org";
const COOKIES: &[&str] = &["--origin", ORIGIN, "--auth-cookie", "session"];

/// The target and the header lines that carry a token at each place.
fn places(token: &str) -> [(&'static str, String, Vec<String>); 4] {
    let origin = format!("Origin: {ORIGIN}");
    [
        ("header", "/".to_owned(), vec![bearer(token)]),
        ("entry", "/".to_owned(), vec![entry(token)]),
        ("cookie", "/".to_owned(), vec![origin, format!("Cookie: a=b; session={token}")]),
        ("query", format!("/?token={token}"), vec![]),
    ]
}

fn lines(lines: &[String]) -> Vec<&str> {
    lines.iter().map(String::as_str).collect()
}

#[test]
fn a_good_token_is_good_at_each_place() {
    let world = World::tokens(COOKIES);
    for (place, target, headers) in places(ALICE) {
        let opened = world.open(&target, &lines(&headers));
        let mut client = opened.unwrap_or_else(|status| panic!("{place}: {status:?}"));
        expect_user(&world, &mut client, "alice");
    }
}

#[test]
fn a_bad_token_is_refused_at_each_place_and_nothing_says_how_bad_it_is() {
    let world = World::tokens(COOKIES);
    let long = "s3cret".repeat(2000);
    for token in ["s3cret-of-nobody", "s3cret-of-alice-0002", "s3cret-of-alice-000", "", &long] {
        for (place, target, headers) in places(token) {
            let answer = world.refusal(&target, &lines(&headers));
            let head = "HTTP/1.1 401 Unauthorized\r\n";
            assert!(answer.starts_with(head), "{place}: {answer}");
            let challenge = "\r\nWWW-Authenticate: Bearer error=\"invalid_token\"\r\n";
            assert!(answer.contains(challenge), "{place}: {answer}");
            assert!(answer.ends_with("\r\n\r\ntoken_refused: this token is nobody's here\n"));
            assert!(!answer.contains("s3cret"));
        }
    }
}

#[test]
fn an_expired_token_is_refused_and_says_so() {
    let world = World::tokens(COOKIES);
    for (place, target, headers) in places(GONE) {
        let answer = world.refusal(&target, &lines(&headers));
        assert!(answer.starts_with("HTTP/1.1 401 "), "{place}: {answer}");
        assert!(answer.contains("token_expired") && answer.contains("expired\"\r\n"), "{answer}");
    }
}

#[test]
fn an_oversized_head_is_refused_before_anybody_looks_for_a_token() {
    let world = World::tokens(COOKIES);
    let long = "s3cret".repeat(4000);
    for (place, target, headers) in places(&long) {
        assert_eq!(world.status(&target, &lines(&headers)), 431, "{place}");
    }
}

#[test]
fn two_tokens_at_one_place_are_refused_even_if_both_are_good() {
    let world = World::tokens(COOKIES);
    let twice = format!("/?token={ALICE}&token={ALICE}");
    let origin = format!("Origin: {ORIGIN}");
    let cookies = format!("Cookie: session={ALICE}; session={BOB}");
    let second = entry(BOB).replace("switchboard.plain, ", "");
    let alice = bearer(ALICE);
    for (target, headers) in [
        (&twice[..], vec![]),
        ("/", vec![&alice[..], &alice]),
        ("/", vec![&entry(ALICE)[..], &second]),
        ("/", vec![&origin[..], &cookies]),
    ] {
        let answer = world.refusal(target, &headers);
        assert!(answer.starts_with("HTTP/1.1 400 "), "{answer}");
        assert!(answer.contains("bad credential: two credentials in "), "{answer}");
    }
}

#[test]
fn the_first_place_decides_and_a_better_one_after_it_does_not_help() {
    let world = World::tokens(COOKIES);
    let all = |tokens: [&str; 4]| {
        let mut headers = Vec::new();
        for (at, token) in tokens.iter().enumerate().take(3) {
            if !token.is_empty() {
                headers.extend(places(token)[at].2.clone());
            }
        }
        let target = match tokens[3] {
            "" => "/".to_owned(),
            token => format!("/?token={token}"),
        };
        (target, headers)
    };
    for (tokens, user) in [
        ([ALICE, BOB, BOB, BOB], Some("alice")),
        (["", ALICE, BOB, BOB], Some("alice")),
        (["", "", ALICE, BOB], Some("alice")),
        (["s3cret-wrong", ALICE, ALICE, ALICE], None),
        (["", "s3cret-wrong", ALICE, ALICE], None),
        (["", "", "s3cret-wrong", ALICE], None),
    ] {
        let (target, headers) = all(tokens);
        match (world.open(&target, &lines(&headers)), user) {
            (Ok(mut client), Some(user)) => expect_user(&world, &mut client, user),
            (Err(Some(401)), None) => {}
            (opened, _) => panic!("{tokens:?}: {:?}", opened.map(|_| ())),
        }
    }
}

#[test]
fn a_cookie_counts_only_for_a_page_on_the_list() {
    let world = World::tokens(COOKIES);
    let cookie = format!("Cookie: session={ALICE}");
    // Another page's request is not even looked at.
    for origin in ["https://evil.example", "null", "file://", "http://localhost:3000"] {
        assert_eq!(world.status("/", &[&format!("Origin: {origin}"), &cookie]), 403, "{origin}");
    }
    // A program has no Origin, and for it the cookie is none: it has to say who it is.
    let mut client = world.open("/", &[&cookie]).unwrap_or_else(|status| panic!("{status:?}"));
    client.send_text(r#"{"type":"ping"}"#);
    expect_rejection(&mut client, 401, "authentication_required");
    // Where no cookie is configured there is none.
    let world = World::tokens(&[]);
    let origin = format!("Origin: {ORIGIN}");
    let opened = world.open("/", &[&origin, &cookie]);
    let mut client = opened.unwrap_or_else(|status| panic!("{status:?}"));
    client.send_text("hello");
    expect_rejection(&mut client, 401, "authentication_required");
}

#[test]
fn the_entry_is_never_echoed_and_offers_no_subprotocol() {
    let world = World::tokens(&[]);
    let answer = {
        let mut client = world.open("/", &[&entry(ALICE)]).unwrap_or_else(|_| panic!("refused"));
        expect_user(&world, &mut client, "alice");
        let alone = entry(ALICE).replace("switchboard.plain, ", "");
        world.refusal("/", &[&alone])
    };
    assert!(answer.starts_with("HTTP/1.1 400 "), "{answer}");
    assert!(answer.contains("no known subprotocol") && !answer.contains("bearer"), "{answer}");
    let line = "Sec-WebSocket-Protocol: switchboard.plain, bearer.s3cret=";
    assert_eq!(world.status("/", &[line]), 400);
    let line = "Sec-WebSocket-Protocol: switchboard.plain, bearer.s3cre";
    let answer = world.refusal("/", &[line]);
    assert!(answer.contains("bad credential: what follows bearer. is not base64url"), "{answer}");
}

#[test]
fn a_name_in_the_query_must_be_the_credentials() {
    let world = World::tokens(COOKIES);
    for (place, target, headers) in places(ALICE) {
        let with =
            |name: &str| format!("{target}{}user={name}", if target.len() > 1 { '&' } else { '?' });
        assert!(world.open(&with("alice"), &lines(&headers)).is_ok(), "{place}");
        let answer = world.refusal(&with("bob"), &lines(&headers));
        assert!(answer.starts_with("HTTP/1.1 403 "), "{place}: {answer}");
        assert!(answer.contains("wrong_user: "), "{answer}");
        assert_eq!(world.status(&with("*"), &lines(&headers)), 400, "{place}");
    }
}

#[test]
fn a_password_for_a_proxy_is_not_for_us() {
    let world = World::tokens(&[]);
    let target = format!("/?token={ALICE}");
    let opened = world.open(&target, &["Authorization: Basic YTpi"]);
    let mut client = opened.unwrap_or_else(|status| panic!("{status:?}"));
    expect_user(&world, &mut client, "alice");
}
