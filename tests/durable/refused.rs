//! What a server refuses to start on, and what it says then.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use super::server::{Folder, refusal, serve, stop};
use crate::common::process::{BINARY, clean};

#[test]
fn a_second_server_on_the_same_directory_does_not_start() {
    let folder = Folder::new();
    let first = folder.serve(&[]);
    let said = refusal(serve(&folder.data(), &[]));
    assert!(
        said.contains("error: ") && said.contains("another process has this store open"),
        "{said}"
    );
    let checked = folder.check(&["--repair", "--yes"]);
    let said = String::from_utf8_lossy(&checked.stderr).into_owned();
    assert_eq!(checked.status.code(), Some(1));
    assert!(said.contains("another process has this store open"), "{said}");
    stop(first);
    stop(folder.serve(&[]));
}

#[test]
fn what_is_no_store_is_refused_and_left_alone() {
    let folder = Folder::new();
    fs::write(folder.data(), "a file").expect("a file");
    let said = refusal(serve(&folder.data(), &[]));
    assert!(said.contains("data: is not a directory"), "{said}");
    fs::remove_file(folder.data()).expect("our own");
    fs::create_dir(folder.data()).expect("a folder");
    fs::write(folder.file(), "dear diary").expect("a file");
    let said = refusal(serve(&folder.data(), &[]));
    assert!(said.contains("is not a store of switchboard, and is left alone"), "{said}");
    assert_eq!(fs::read(folder.file()).expect("a file"), b"dear diary");
}

#[test]
fn a_damaged_store_is_refused_with_the_command_that_looks_at_it() {
    let folder = Folder::new();
    stop(folder.serve(&[]));
    let mut bytes = fs::read(folder.file()).expect("a file");
    for byte in &mut bytes[4_096..] {
        *byte ^= 0x55;
    }
    fs::write(folder.file(), &bytes).expect("our own");
    let said = refusal(serve(&folder.data(), &[]));
    let data = folder.data().display().to_string();
    assert!(said.contains(&format!("`switchboard check-data {data}`")), "{said}");
    let checked = folder.check(&[]);
    let said = String::from_utf8_lossy(&checked.stderr).into_owned();
    assert_eq!(checked.status.code(), Some(1));
    assert!(said.contains("This cannot be repaired"), "{said}");
    assert_eq!(fs::read(folder.file()).expect("a file"), bytes);
}

#[test]
fn a_second_server_on_the_same_port_makes_no_store() {
    let folder = Folder::new();
    let first = folder.serve(&[]);
    let other = Folder::new();
    let mut command = clean(std::process::Command::new(BINARY));
    command.args(["serve", "--listen", &first.addr.to_string(), "--data"]).arg(other.data());
    let said = refusal(command);
    assert!(said.contains(&format!("cannot listen on {}", first.addr)), "{said}");
    assert!(!other.data().exists());
}

#[test]
fn the_directory_is_made_for_its_owner_alone() {
    let folder = Folder::new();
    stop(folder.serve(&[]));
    let mode = |path| fs::metadata(path).expect("it is there").permissions().mode() & 0o777;
    assert_eq!((mode(folder.data()), mode(folder.file())), (0o700, 0o600));
}

#[test]
fn without_a_directory_nothing_is_written() {
    let folder = Folder::new();
    let mut command = crate::common::process::command(&["serve"]);
    command.current_dir(folder.path());
    stop(crate::common::process::Process::start(command));
    assert_eq!(fs::read_dir(folder.path()).expect("a folder").count(), 0);
}

#[test]
fn a_directory_that_everybody_may_write_to_is_warned_of_once() {
    let folder = Folder::new();
    fs::create_dir(folder.data()).expect("a folder");
    for (mode, warnings) in [(0o777, 1), (0o1777, 1), (0o775, 0), (0o700, 0)] {
        let permissions = fs::Permissions::from_mode(mode);
        fs::set_permissions(folder.data(), permissions).expect("our own");
        let mut server = folder.serve(&[]);
        server.signal("TERM");
        assert!(server.wait().success());
        let said = format!("may write to this directory (mode {mode:03o})");
        assert_eq!(server.log().matches(&said).count(), warnings, "{}", server.log());
    }
}
