//! What a backend was told is so, is so after the server was killed.

use std::fs;
use std::io::Write;
use std::os::unix::fs::PermissionsExt;

use serde_json::{Value, json};

use super::server::{Folder, Position, Session, kill};
use crate::common::client::{Client, connect, read_to_end};
use crate::common::process::Process;

const KEYS: &str = r#"{"keys":[{"name":"billing","key":"billing-0123456789abcdef"}]}"#;

fn serve(folder: &Folder) -> Process {
    let keys = folder.path().join("keys.json");
    fs::write(&keys, KEYS).expect("a writable folder");
    fs::set_permissions(&keys, PermissionsExt::from_mode(0o600)).expect("our own file");
    folder.serve(&["--admin", "127.0.0.1:0", "--admin-keys", &keys.to_string_lossy()])
}

/// Status and body of an answer of the push API.
fn ask(process: &Process, method: &str, path: &str, body: &str) -> (u16, Value) {
    let (status, body, _) = ask_with(process, method, path, "", body);
    (status, body)
}

/// Posts with a key; the last says whether this is an answer that was given before.
fn once(process: &Process, path: &str, key: &str, body: &str) -> (u16, Value, bool) {
    ask_with(process, "POST", path, &format!("Idempotency-Key: {key}\r\n"), body)
}

fn ask_with(
    process: &Process,
    method: &str,
    path: &str,
    header: &str,
    body: &str,
) -> (u16, Value, bool) {
    let mut stream = connect(process.admin.expect("a listener for the push API"));
    let len = body.len();
    let request = format!(
        "{method} {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nAuthorization: Bearer \
         billing-0123456789abcdef\r\nContent-Type: application/json\r\nContent-Length: \
         {len}\r\n{header}\r\n{body}"
    );
    stream.write_all(request.as_bytes()).expect("a server that reads");
    let answer = String::from_utf8(read_to_end(&mut stream)).expect("UTF-8");
    let (head, body) = answer.split_once("\r\n\r\n").expect("an answer");
    let status = head.split(' ').nth(1).and_then(|status| status.parse().ok());
    let body = serde_json::from_str(body).expect("JSON");
    (status.expect("a status"), body, head.contains("Idempotent-Replayed: true"))
}

#[test]
fn memberships_and_messages_of_a_backend_outlast_the_server() {
    let folder = Folder::new();
    let member = "/v1/groups/team/members/alice";
    let first = serve(&folder);
    let (status, body) = ask(&first, "PUT", member, "");
    assert_eq!((status, &body["member"]), (200, &json!(true)));
    let (status, direct) = ask(&first, "POST", "/v1/messages", &to(r#""receiver":"alice""#, "one"));
    assert_eq!((status, &direct["online"]), (202, &json!(0)));
    let (status, group) = ask(&first, "POST", "/v1/messages", &to(r#""group":"team""#, "two"));
    assert_eq!((status, &group["online"]), (202, &json!(0)));
    assert!(direct["seq"].as_u64() < group["seq"].as_u64(), "{direct} {group}");
    kill(first);
    let second = serve(&folder);
    let (_, about) = ask(&second, "GET", "/v1/users/alice", "");
    assert_eq!((&about["groups"], &about["log"]["entries"]), (&json!(["team"]), &json!(2)));
    let plain = Client::try_connect(second.addr, "/?user=alice").expect("a 101");
    let (_, listed) = ask(&second, "GET", "/v1/groups/team", "");
    assert_eq!(listed["members"], json!(["alice"]), "whoever comes is enrolled");
    drop(plain);
    let epoch = Session::open(&second, "alice", None).position().epoch;
    let mut alice = Session::open(&second, "alice", Some(&Position { epoch, seq: 0 }));
    assert_eq!([alice.message().0, alice.message().0], ["one", "two"]);
    assert_eq!(ask(&second, "DELETE", member, "").0, 200);
    kill(second);
    let third = serve(&folder);
    let (_, about) = ask(&third, "GET", "/v1/users/alice", "");
    assert_eq!((&about["groups"], &about["record"]), (&json!([]), &json!(true)));
}

#[test]
fn a_request_that_is_repeated_at_the_next_server_takes_effect_once() {
    let folder = Folder::new();
    let (messages, batch) = ("/v1/messages", "/v1/messages:batch");
    let first = serve(&folder);
    assert_eq!(ask(&first, "PUT", "/v1/groups/team/members/alice", "").0, 200);
    let one = to(r#""receiver":"alice""#, "one");
    let two = to(r#""group":"team""#, "two");
    // One to a plain dialect that nobody hears, and one that is refused, between those that are
    // kept.
    let nobody = to(r#""receiver":"nobody""#, "-");
    let several = format!(r#"{{"messages":[{two},{nobody},{{}},{two}]}}"#);
    let single = once(&first, messages, "k1", &one);
    let results = once(&first, batch, "k1", &several);
    let absent = once(&first, messages, "k2", &nobody);
    assert_eq!((single.0, results.0, absent.0), (202, 200, 200));
    assert!(!single.2 && !results.2 && !absent.2, "{single:?} {results:?} {absent:?}");
    // What waits for no commit is on the disk with the next that is waited for.
    assert_eq!(ask(&first, "POST", messages, &one).0, 202);
    kill(first);
    assert_eq!(folder.check_json(&[])["answers"], 3);
    let second = serve(&folder);
    let replayed = |(status, body, _): &(u16, Value, bool)| (*status, body.clone(), true);
    assert_eq!(once(&second, messages, "k1", &one), replayed(&single));
    assert_eq!(once(&second, batch, "k1", &several), replayed(&results));
    assert_eq!(once(&second, messages, "k2", &nobody), replayed(&absent));
    assert_eq!(once(&second, messages, "k1", &two).0, 422);
    let (_, about) = ask(&second, "GET", "/v1/users/alice", "");
    assert_eq!(about["log"]["entries"], 4, "{about}");
    kill(second);
    // A server that keeps none of them for so long drops them from the disk, too.
    let keys = folder.path().join("keys.json");
    let args = ["--admin", "127.0.0.1:0", "--admin-keys", &keys.to_string_lossy()];
    let third = folder.serve(&[&args[..], &["--idempotency-ttl", "10ms"]].concat());
    let (status, _, is_replayed) = once(&third, messages, "k1", &one);
    assert_eq!((status, is_replayed), (202, false));
    kill(third);
    assert_eq!(folder.check_json(&[])["answers"], 1);
}

fn to(whom: &str, content: &str) -> String {
    format!(r#"{{{whom},"content":"{content}"}}"#)
}
