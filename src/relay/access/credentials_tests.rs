//! Every place a credential may be at, alone and against the others.

use super::*;
use crate::wire::HeaderSlots;

const TOKEN: Wanted<'_> = Wanted::Token { cookie: Some("token") };

/// What is found in a handshake with this target and these header lines.
fn look(
    wanted: Wanted<'_>,
    listed: bool,
    target: &str,
    lines: &[&str],
) -> Result<Option<(Place, String)>, CredentialError> {
    let lines: String = lines.iter().map(|line| format!("{line}\r\n")).collect();
    let bytes = format!(
        "GET {target} HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n{lines}\r\n"
    );
    let mut slots = HeaderSlots::new();
    let head = RequestHead::parse(bytes.as_bytes(), &mut slots).unwrap();
    let upgrade = Upgrade::check(&head).unwrap();
    let found = find(&head, &upgrade, wanted, listed)?;
    Ok(found.map(|credential| {
        assert!(!format!("{credential:?}").contains("s3cret"));
        let (kind, value) = match &credential.value {
            Value::Authorization(value) => ("authorization ", *value),
            Value::Cookies(value) => ("cookies ", &**value),
            Value::Token(value) => ("", &**value),
        };
        (credential.place, format!("{kind}{}", String::from_utf8_lossy(value)))
    }))
}

fn found(place: Place, value: &str) -> Result<Option<(Place, String)>, CredentialError> {
    Ok(Some((place, value.to_owned())))
}

const HEADER: &str = "Authorization: Bearer from-header";
const ENTRY: &str = "Sec-WebSocket-Protocol: switchboard.plain, bearer.ZnJvbS1lbnRyeQ";
const COOKIE: &str = "Cookie: theme=dark; token=from-cookie; x=1";

#[test]
fn each_place_alone() {
    assert_eq!(look(TOKEN, true, "/", &[HEADER]), found(Place::Authorization, "from-header"));
    assert_eq!(look(TOKEN, true, "/", &[ENTRY]), found(Place::Subprotocol, "from-entry"));
    assert_eq!(look(TOKEN, true, "/", &[COOKIE]), found(Place::Cookie, "from-cookie"));
    assert_eq!(look(TOKEN, true, "/?token=from%2Dquery", &[]), found(Place::Query, "from-query"));
    assert_eq!(look(TOKEN, true, "/?user=alice", &[]), Ok(None));
}

#[test]
fn the_first_place_decides() {
    let query = "/?token=from-query";
    let all = [COOKIE, ENTRY, HEADER];
    assert_eq!(look(TOKEN, true, query, &all), found(Place::Authorization, "from-header"));
    assert_eq!(look(TOKEN, true, query, &all[..2]), found(Place::Subprotocol, "from-entry"));
    assert_eq!(look(TOKEN, true, query, &all[..1]), found(Place::Cookie, "from-cookie"));
    // Something empty is something.
    let empty = "Authorization: Bearer";
    assert_eq!(look(TOKEN, true, query, &[empty]), found(Place::Authorization, ""));
    assert_eq!(look(TOKEN, true, "/?token", &[]), found(Place::Query, ""));
    assert_eq!(look(TOKEN, true, query, &["Cookie: token="]), found(Place::Cookie, ""));
}

#[test]
fn a_cookie_counts_only_with_an_origin_on_the_list() {
    assert_eq!(look(TOKEN, false, "/", &[COOKIE]), Ok(None));
    let query = "/?token=from-query";
    assert_eq!(look(TOKEN, false, query, &[COOKIE]), found(Place::Query, "from-query"));
    assert_eq!(look(Wanted::Anything, false, "/", &[COOKIE]), Ok(None));
    let none = Wanted::Token { cookie: None };
    assert_eq!(look(none, true, "/", &[COOKIE]), Ok(None), "no cookie is configured");
}

#[test]
fn two_at_one_place_are_refused() {
    let repeated = |place| Err(CredentialError::Repeated(place));
    for second in [HEADER, "authorization: bearer other", "Authorization: Basic YTpi"] {
        assert_eq!(look(TOKEN, true, "/", &[HEADER, second]), repeated(Place::Authorization));
    }
    let second = "Sec-WebSocket-Protocol: bearer.b3RoZXI";
    assert_eq!(look(TOKEN, true, "/", &[ENTRY, second]), repeated(Place::Subprotocol));
    for lines in [&[COOKIE, "Cookie: token=other"][..], &["Cookie: token=a; token=a"]] {
        assert_eq!(look(TOKEN, true, "/", lines), repeated(Place::Cookie));
        assert_eq!(look(TOKEN, false, "/", lines), Ok(None), "it is no credential");
    }
    assert_eq!(look(TOKEN, true, "/?token=a&t%6Fken=b", &[]), repeated(Place::Query));
    // What comes later is not even looked at.
    let lines = [HEADER, "Cookie: token=a; token=b"];
    assert_eq!(
        look(TOKEN, true, "/?token=a&token=b", &lines),
        found(Place::Authorization, "from-header")
    );
}

#[test]
fn a_header_of_another_scheme_is_for_somebody_else() {
    for line in ["Authorization: Basic YTpi", "Authorization: Bearers x", "Authorization:"] {
        assert_eq!(look(TOKEN, true, "/?token=q", &[line]), found(Place::Query, "q"), "{line}");
    }
    for line in ["Authorization: bearer s3cret", "Authorization: BEARER   s3cret  "] {
        assert_eq!(look(TOKEN, true, "/", &[line]), found(Place::Authorization, "s3cret"));
    }
    let basic = found(Place::Authorization, "authorization Basic YTpi");
    assert_eq!(look(Wanted::Anything, true, "/", &["Authorization: Basic YTpi"]), basic);
    let bearer = found(Place::Authorization, "from-header");
    assert_eq!(look(Wanted::Anything, true, "/", &[HEADER]), bearer);
}

#[test]
fn an_entry_is_base64url_without_padding() {
    for entry in ["bearer.!", "bearer.YQ+", "bearer.YR", "bearer.Y"] {
        let line = format!("Sec-WebSocket-Protocol: {entry}");
        assert_eq!(look(TOKEN, true, "/", &[&line]), Err(CredentialError::NotBase64), "{entry}");
    }
    let line = "Sec-WebSocket-Protocol: Bearer.YQ, xbearer.YQ";
    assert_eq!(look(TOKEN, true, "/", &[line]), Ok(None), "names are compared as they are");
    let line = "Sec-WebSocket-Protocol: bearer.";
    assert_eq!(look(TOKEN, true, "/", &[line]), found(Place::Subprotocol, ""));
    let line = "Sec-WebSocket-Protocol: bearer._-8";
    assert_eq!(look(TOKEN, true, "/", &[line]), found(Place::Subprotocol, "\u{FFFD}\u{FFFD}"));
}

#[test]
fn cookies_are_found_by_their_whole_name() {
    for line in ["Cookie: xtoken=a; tokenx=b; Token=c; token", "Cookie: x=token=a", "Cookie: ;;=;"]
    {
        assert_eq!(look(TOKEN, true, "/", &[line]), Ok(None), "{line}");
    }
    for line in ["Cookie:token=a=b", "Cookie: x=1;token = a=b ;y=2", "Cookie: token=\"a=b\""] {
        assert_eq!(look(TOKEN, true, "/", &[line]), found(Place::Cookie, "a=b"), "{line}");
    }
}

#[test]
fn an_endpoint_gets_all_cookies_in_one_line() {
    let all = found(Place::Cookie, "cookies theme=dark; token=from-cookie; x=1; y=2; y=3");
    let lines = [COOKIE, "Cookie:", "Cookie: y=2; y=3"];
    assert_eq!(look(Wanted::Anything, true, "/", &lines), all);
    assert_eq!(look(Wanted::Anything, true, "/", &["Cookie:"]), Ok(None));
}

#[test]
fn a_query_that_cannot_be_read_is_refused() {
    let error = look(TOKEN, true, "/?token=%2", &[]);
    assert_eq!(error, Err(CredentialError::Query(HandshakeError::QueryMalformed)));
    let response = Response::from(CredentialError::Repeated(Place::Cookie));
    assert_eq!(response.status(), 400);
    assert_eq!(response.body(), b"bad credential: two credentials in cookie\n");
}
