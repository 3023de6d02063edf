//! Tokens in the real binary: added and removed while it runs.

use super::common::client::{Client, Event};
use super::common::process::Process;
use super::folder::{Folder, hang_up};

#[test]
fn hangup_adds_and_removes_tokens_and_keeps_whoever_still_has_one() {
    let folder = Folder::new();
    let tokens = |users: &[&str]| {
        let entry = |user| format!(r#"{{"token":"token-of-{user}-0123","user":"{user}"}}"#);
        let entries: Vec<String> = users.iter().map(entry).collect();
        format!(r#"{{"tokens":[{}]}}"#, entries.join(","))
    };
    let come = |server: &Process, user: &str| {
        let target = format!("/?token=token-of-{user}-0123");
        Client::try_connect(server.addr, &target).map_err(|status| status.unwrap_or(0))
    };
    folder.write("a.toml", "listen = 0\nauth = 'tokens:t.json'");
    folder.write("t.json", &tokens(&["alice", "bob"]));
    let server = folder.start();
    let mut alice = come(&server, "alice").expect("a token of the file");
    let mut bob = come(&server, "bob").expect("a token of the file");
    assert_eq!(come(&server, "carol").err(), Some(401));

    folder.write("t.json", &tokens(&["bob", "carol"]));
    hang_up(&server, "info reloaded", 1);
    let mut carol = come(&server, "carol").expect("a token of the file");
    assert_eq!(come(&server, "alice").err(), Some(401));
    assert!(matches!(alice.receive(), Event::Close(4401, _)));
    carol.send_text(r#"{"receiver":"bob","content":1}"#);
    assert_eq!(bob.receive(), Event::Text(r#"{"sender":"carol","content":1}"#.to_owned()));

    folder.write("t.json", "{\"tokens\":[\n{}]}");
    hang_up(&server, "error not reloaded: ", 1);
    assert!(server.log().contains(&format!("{}: token 1: ", folder.path("t.json"))));
    carol.send_text(r#"{"receiver":"bob","content":2}"#);
    assert_eq!(bob.receive(), Event::Text(r#"{"sender":"carol","content":2}"#.to_owned()));
    assert!(come(&server, "bob").is_ok());
    assert!(!server.log().contains("token-of"), "{}", server.log());
}
