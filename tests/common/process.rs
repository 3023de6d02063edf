//! The real binary as a child process: started on a free port, watched, and ended with the test.
//!
//! What `/proc` knows is only asked where there is one; elsewhere those checks pass.

#![allow(dead_code)] // each test binary uses its own part of this file

use std::io::{BufRead, BufReader, Read};
use std::net::SocketAddr;
use std::process::{Child, ChildStderr, Command, ExitStatus, Stdio};
use std::sync::mpsc::channel;
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use super::client::WAIT;

/// A running server; killed when dropped.
pub struct Process {
    child: Child,
    pub addr: SocketAddr,
    /// Where the push API listens, if it does, and on TCP.
    pub admin: Option<SocketAddr>,
    /// What the greeting says about the connection limit.
    pub connections_max: usize,
    log: Arc<Mutex<String>>,
    /// Of a process whose log nobody reads: the other end must stay open.
    stderr: Option<BufReader<ChildStderr>>,
}

impl Process {
    /// `switchboard echo` with more arguments.
    pub fn echo(args: &[&str]) -> Process {
        Process::start(command(&[&["echo"], args].concat()))
    }

    /// The same after a line of shell, such as `ulimit -Hn 256`.
    pub fn echo_after(shell: &str, args: &[&str]) -> Process {
        let mut command = clean(Command::new("sh"));
        command.args(["-c", &format!("{shell} && exec \"$0\" \"$@\"")]);
        command.args([BINARY, "echo", "--listen", "127.0.0.1:0", "--log", "warn"]).args(args);
        Process::start(command)
    }

    /// Waits for the greeting. The command must listen on one address.
    pub fn start(command: Command) -> Process {
        let mut process = Process::start_unread(command);
        process.read_log();
        process
    }

    /// The same, but nobody reads what it logs until [`Process::read_log`].
    pub fn start_unread(mut command: Command) -> Process {
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().expect("the binary is built");
        let stdout = BufReader::new(child.stdout.take().expect("a pipe"));
        let stderr = child.stderr.take().map(BufReader::new);
        let log = Arc::default();
        let (sender, greeting) = channel();
        thread::spawn(move || {
            for line in stdout.lines().map_while(Result::ok) {
                let _ = sender.send(line);
            }
        });
        let addr = ([0, 0, 0, 0], 0).into();
        let mut process = Process { child, addr, admin: None, connections_max: 0, log, stderr };
        while process.connections_max == 0 {
            let Ok(line) = greeting.recv_timeout(WAIT) else {
                // Ended, so that its log does.
                let _ = process.child.kill();
                let mut log = String::new();
                let _ = process.stderr.take().map(|mut stderr| stderr.read_to_string(&mut log));
                panic!("no greeting: {log}");
            };
            if let Some((_, addr)) = line.split_once(" listening on ws://") {
                process.addr = addr.parse().expect("an address");
            }
            if let Some((_, addr)) = line.split_once(" push API on http://") {
                process.admin = Some(addr.parse().expect("an address"));
            }
            if let Some(rest) = line.strip_prefix("  up to ") {
                let number = rest.split(' ').next().and_then(|number| number.parse().ok());
                process.connections_max = number.expect("a number");
            }
        }
        process
    }

    /// Reads what it logs from now on, and what is in the pipe.
    pub fn read_log(&mut self) {
        let Some(mut stderr) = self.stderr.take() else { return };
        let written = Arc::clone(&self.log);
        thread::spawn(move || {
            let mut line = String::new();
            while stderr.read_line(&mut line).is_ok_and(|read| read > 0) {
                written.lock().expect("no panic while locked").push_str(&line);
                line.clear();
            }
        });
    }

    /// Sends a signal, by its name without `SIG`.
    pub fn signal(&self, name: &str) {
        let kill = format!("kill -{name} {}", self.child.id());
        let status = Command::new("sh").args(["-c", &kill]).status();
        assert!(status.is_ok_and(|status| status.success()), "{kill}");
    }

    /// Waits for its end.
    pub fn wait(&mut self) -> ExitStatus {
        let until = Instant::now() + WAIT;
        loop {
            if let Some(status) = self.child.try_wait().expect("our own child") {
                return status;
            }
            assert!(Instant::now() < until, "still running: {}", self.log());
            thread::sleep(STEP);
        }
    }

    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// What it has logged so far.
    pub fn log(&self) -> String {
        self.log.lock().expect("no panic while locked").clone()
    }

    /// Open descriptors; `None` where there is no `/proc`.
    pub fn descriptors(&self) -> Option<usize> {
        let entries = std::fs::read_dir(format!("/proc/{}/fd", self.child.id()));
        entries.ok().map(Iterator::count)
    }

    /// Waits until as many descriptors are open as there were.
    pub fn expect_descriptors(&self, wanted: Option<usize>) {
        eventually("the descriptors are released", || self.descriptors() == wanted);
    }

    /// The memory that is resident, in bytes.
    pub fn memory_bytes(&self) -> Option<u64> {
        self.memory("VmRSS:")
    }

    /// The most memory that was resident at any time, in bytes.
    pub fn memory_peak_bytes(&self) -> Option<u64> {
        self.memory("VmHWM:")
    }

    fn memory(&self, field: &str) -> Option<u64> {
        let status = self.proc("status")?;
        let line = status.lines().find_map(|line| line.strip_prefix(field))?;
        line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok().map(|kibibytes| kibibytes * 1024)
    }

    /// Processor time used so far.
    pub fn cpu(&self) -> Option<Duration> {
        let stat = self.proc("stat")?;
        // The name in parentheses may hold anything; utime and stime are the 12th and 13th behind.
        let (_, rest) = stat.rsplit_once(") ")?;
        let ticks: u64 = rest.split(' ').skip(11).take(2).flat_map(str::parse::<u64>).sum();
        Some(Duration::from_millis(ticks * 10))
    }

    /// Waits until it does next to nothing.
    pub fn expect_idle(&self) {
        eventually("the server is idle", || self.is_idle());
    }

    /// Whether it does next to nothing for a moment: whoever spins uses all of a window, whoever
    /// polls a part of each.
    pub fn is_idle(&self) -> bool {
        let ran = || self.ran().or_else(|| self.cpu());
        let Some(before) = ran() else { return true };
        thread::sleep(IDLE_WINDOW);
        let spent = ran().map(|after| after.saturating_sub(before));
        spent.is_none_or(|spent| spent <= IDLE_MAX)
    }

    /// For how long its threads have run so far, but for those that have ended. Unlike
    /// [`cpu`](Process::cpu), which counts in steps of 10 ms, to the nanosecond.
    fn ran(&self) -> Option<Duration> {
        let tasks = std::fs::read_dir(format!("/proc/{}/task", self.child.id())).ok()?;
        let nanoseconds = tasks.map_while(Result::ok).filter_map(|task| {
            let text = std::fs::read_to_string(task.path().join("schedstat")).ok()?;
            text.split(' ').next()?.parse::<u64>().ok()
        });
        nanoseconds.reduce(|sum, one| sum + one).map(Duration::from_nanos)
    }

    fn proc(&self, file: &str) -> Option<String> {
        let mut text = String::new();
        let path = format!("/proc/{}/{file}", self.child.id());
        std::fs::File::open(path).ok()?.read_to_string(&mut text).ok()?;
        Some(text)
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        let log = self.log();
        if thread::panicking() {
            eprintln!("the server's log:\n{log}");
        } else {
            assert!(!log.contains("panicked"), "{log}");
        }
    }
}

/// The binary with these arguments on a free port, and no variable of ours from outside.
pub fn command(args: &[&str]) -> Command {
    let mut command = clean(Command::new(BINARY));
    command.args(args).args(["--listen", "127.0.0.1:0", "--log", "warn"]);
    command
}

/// An echo server that logs so much.
pub fn logging(level: &str, args: &[&str]) -> Command {
    let mut command = clean(Command::new(BINARY));
    command.args(["echo", "--listen", "127.0.0.1:0", "--log", level]).args(args);
    command
}

/// The command without our variables.
pub fn clean(mut command: Command) -> Command {
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("SWITCHBOARD_") || name == "RUST_LOG" {
            command.env_remove(name);
        }
    }
    command
}

/// Waits until a condition holds.
pub fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    let until = Instant::now() + WAIT;
    while !holds() {
        assert!(Instant::now() < until, "waited in vain: {what}");
        thread::sleep(STEP);
    }
}

pub const BINARY: &str = env!("CARGO_BIN_EXE_switchboard");

const STEP: Duration = Duration::from_millis(10);
const IDLE_WINDOW: Duration = Duration::from_millis(200);
const IDLE_MAX: Duration = Duration::from_millis(6);
