//! A folder of configuration files for the real binary.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};

use super::common::process::{BINARY, Process, clean, eventually};

/// A folder of one test; removed with it.
pub struct Folder(PathBuf);

impl Folder {
    pub fn new() -> Folder {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let name = format!("config-{}-{number}", std::process::id());
        let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(name);
        fs::create_dir_all(&folder).unwrap();
        Folder(folder)
    }

    pub fn path(&self, name: &str) -> String {
        self.0.join(name).to_str().unwrap().to_owned()
    }

    /// Writes a file that nobody else may read.
    pub fn write(&self, name: &str, text: &str) {
        // Replaced at once, as an editor does it: a reader sees the old one or the new one.
        let new = self.0.join("new");
        fs::write(&new, text).unwrap();
        fs::set_permissions(&new, fs::Permissions::from_mode(0o600)).unwrap();
        fs::rename(new, self.0.join(name)).unwrap();
    }

    /// The binary, told of `a.toml` in the folder.
    pub fn command(&self, args: &[&str]) -> Command {
        let mut command = clean(Command::new(BINARY));
        command.args(args).env("SWITCHBOARD_CONFIG", self.path("a.toml"));
        command
    }

    pub fn start(&self) -> Process {
        Process::start(self.command(&[]))
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// Sends SIGHUP and waits for so many lines that begin with the words, from the start on.
pub fn hang_up(server: &Process, wanted: &str, count: usize) {
    server.signal("HUP");
    eventually(wanted, || server.log().matches(wanted).count() == count);
}
