//! Keys of the push API in the real binary: added and removed while it runs.

use std::io::{Read, Write};
use std::net::TcpStream;

use super::common::process::Process;
use super::folder::{Folder, hang_up};

/// The status of a request with this key.
fn status(server: &Process, key: &str) -> u16 {
    let mut stream = TcpStream::connect(server.admin.expect("a push API")).unwrap();
    let head = "GET /v1/users/alice HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n";
    write!(stream, "{head}Authorization: Bearer {key}\r\n\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let code = answer.split(' ').nth(1).and_then(|code| code.parse().ok());
    code.unwrap_or_else(|| panic!("{answer}"))
}

fn keys(names: &[&str]) -> String {
    let entry = |name| format!(r#"{{"name":"{name}","key":"0123456789-key-of-{name}"}}"#);
    let entries: Vec<String> = names.iter().map(entry).collect();
    format!(r#"{{"keys":[{}]}}"#, entries.join(","))
}

#[test]
fn hangup_adds_and_removes_keys() {
    let folder = Folder::new();
    folder.write("a.toml", "listen = 0\nadmin = 0\nadmin-keys = 'k.json'");
    folder.write("k.json", &keys(&["a"]));
    let server = folder.start();
    let (a, b) = ("0123456789-key-of-a", "0123456789-key-of-b");
    assert_eq!((status(&server, a), status(&server, b)), (200, 401));
    folder.write("k.json", &keys(&["b"]));
    hang_up(&server, "info reloaded", 1);
    assert_eq!((status(&server, a), status(&server, b)), (401, 200));
    folder.write("k.json", r#"{"keys":[{"name":"a"}]}"#);
    hang_up(&server, "error not reloaded: ", 1);
    let place = folder.path("k.json");
    assert!(server.log().contains(&format!("{place}: keys[0]: ")), "{}", server.log());
    assert_eq!((status(&server, a), status(&server, b)), (401, 200));
}

#[test]
fn one_key_needs_no_file() {
    let folder = Folder::new();
    folder.write("a.toml", "listen = 0\nadmin = 0");
    folder.write("key", "0123456789-of-admin\n");
    let mut command = folder.command(&[]);
    command.env("SWITCHBOARD_ADMIN_KEY_FILE", folder.path("key"));
    let server = Process::start(command);
    assert_eq!(status(&server, "0123456789-of-admin"), 200);
    assert_eq!(status(&server, "0123456789-of-adm"), 401);
    folder.write("key", "another-0123456789\n");
    hang_up(&server, "info reloaded", 1);
    assert_eq!(status(&server, "0123456789-of-admin"), 401);
    assert_eq!(status(&server, "another-0123456789"), 200);
    assert!(!server.log().contains("0123456789"), "{}", server.log());
}
