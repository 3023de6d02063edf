//! `switchboard connect` as a child process: lines in, lines out.

use std::io::{BufRead, BufReader, Read, Write};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::thread;

use serde_json::Value;

use super::common::client::WAIT;
use super::common::process::{BINARY, clean};

/// A running client; killed when dropped.
pub struct Terminal {
    child: Child,
    stdin: Option<ChildStdin>,
    lines: Receiver<String>,
    /// Everything that it has printed and that was looked at.
    pub seen: Vec<String>,
}

impl Terminal {
    /// `switchboard connect` with these arguments.
    pub fn start(args: &[&str]) -> Terminal {
        let mut command = clean(Command::new(BINARY));
        command.arg("connect").args(args);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().expect("the binary is built");
        let stdout = BufReader::new(child.stdout.take().expect("a pipe"));
        let (sender, lines) = channel();
        thread::spawn(move || {
            for line in stdout.lines().map_while(Result::ok) {
                let _ = sender.send(line);
            }
        });
        let stdin = child.stdin.take();
        Terminal { child, stdin, lines, seen: Vec::new() }
    }

    /// The same for programs.
    pub fn json(args: &[&str]) -> Terminal {
        Terminal::start(&[args, &["--json"]].concat())
    }

    pub fn say(&mut self, line: &str) {
        let stdin = self.stdin.as_mut().expect("input is open");
        writeln!(stdin, "{line}").expect("it reads");
    }

    /// The end of input.
    pub fn end_input(&mut self) {
        self.stdin = None;
    }

    /// The next line of which this is true.
    pub fn wait_for(&mut self, what: &str, is_it: impl Fn(&str) -> bool) -> String {
        loop {
            let Ok(line) = self.lines.recv_timeout(WAIT) else {
                let log = self.stderr();
                panic!("waited in vain for {what}: {:#?} {log}", self.seen);
            };
            self.seen.push(line.clone());
            if is_it(&line) {
                return line;
            }
        }
    }

    /// The next line that has this in it.
    pub fn wait_for_text(&mut self, text: &str) -> String {
        self.wait_for(text, |line| line.contains(text))
    }

    /// The next event of this name.
    pub fn event(&mut self, name: &str) -> Value {
        let line = self.wait_for(name, |line| event(line)["event"] == name);
        event(&line)
    }

    pub fn signal(&self, name: &str) {
        let kill = format!("kill -{name} {}", self.child.id());
        let status = Command::new("sh").args(["-c", &kill]).status();
        assert!(status.is_ok_and(|status| status.success()), "{kill}");
    }

    /// Waits until it has read so many bytes at least, of whatever.
    #[cfg(target_os = "linux")]
    pub fn wait_until_read(&self, len: usize) {
        let path = format!("/proc/{}/io", self.child.id());
        let until = std::time::Instant::now() + WAIT;
        loop {
            let text = std::fs::read_to_string(&path).expect("the numbers of our own child");
            let read = text.lines().find_map(|line| line.strip_prefix("rchar: "));
            if read.is_some_and(|read| read.parse().is_ok_and(|read: usize| read > len)) {
                return;
            }
            assert!(std::time::Instant::now() < until, "it does not read: {text}");
            thread::yield_now();
        }
    }

    /// Its exit code, and what it said on standard error; the rest of its output is in `seen`.
    pub fn end(mut self) -> (Option<i32>, String, Vec<String>) {
        self.stdin = None;
        while let Ok(line) = self.lines.recv_timeout(WAIT) {
            self.seen.push(line);
        }
        let status = self.child.wait().expect("our own child");
        (status.code(), self.stderr(), std::mem::take(&mut self.seen))
    }

    /// Ends it at once, and returns all that it printed, but for a last line that was cut.
    pub fn kill(mut self) -> Vec<String> {
        let _ = self.child.kill();
        let _ = self.child.wait();
        while let Ok(line) = self.lines.recv_timeout(WAIT) {
            self.seen.push(line);
        }
        self.seen.pop_if(|line| serde_json::from_str::<Value>(line).is_err());
        std::mem::take(&mut self.seen)
    }

    fn stderr(&mut self) -> String {
        let mut text = String::new();
        let _ = self.child.kill();
        let stderr = self.child.stderr.take();
        let _ = stderr.map(|mut stderr| stderr.read_to_string(&mut text));
        text
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// What a line says to programs.
pub fn event(line: &str) -> Value {
    serde_json::from_str(line).unwrap_or_else(|error| panic!("{line}: {error}"))
}
