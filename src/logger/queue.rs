//! Lines that wait for stderr, and the thread that writes them.
//!
//! ```text
//!  event loop ---push---> | line | line | line | ---run---> stderr
//!                         \___ at most 1 MiB __/
//! ```
//!
//! A pipe that nobody reads takes 64 KiB and then stops its writer for ever. That must not be the
//! event loop, so it only queues. Where the queue is full, lines are dropped and counted until half
//! of it is written; then `dropped_lines=N` stands where they would have been.
//!
//! This module does not know what a line says, but for that one.

use std::collections::VecDeque;
use std::io::Write;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// The queue between those who log and the one who writes.
#[derive(Debug)]
pub(super) struct Queue {
    state: Mutex<State>,
    /// There is a line.
    filled: Condvar,
    /// There is none, and none is being written.
    emptied: Condvar,
}

#[derive(Debug)]
struct State {
    lines: VecDeque<String>,
    /// Their lengths together.
    bytes: usize,
    /// Since the queue was full; as long as it is not 0, more are dropped.
    dropped: u64,
    /// The writer has a line in hand.
    writing: bool,
}

impl Queue {
    pub const fn new() -> Queue {
        Queue {
            state: Mutex::new(State {
                lines: VecDeque::new(),
                bytes: 0,
                dropped: 0,
                writing: false,
            }),
            filled: Condvar::new(),
            emptied: Condvar::new(),
        }
    }

    /// Queues a line, or counts it as dropped; never waits for the writer.
    pub fn push(&self, line: String) {
        let mut state = self.lock();
        if state.dropped > 0 || state.bytes + line.len() > QUEUED_MAX_BYTES {
            state.dropped += 1;
        } else {
            state.push(line);
            self.filled.notify_one();
        }
    }

    /// Writes line by line, each in one write, for ever. `report` makes the line that stands for
    /// dropped ones.
    ///
    /// What cannot be written is lost: a stderr that is gone is no reason to stop.
    pub fn run(&self, output: &mut impl Write, report: impl Fn(u64) -> String) -> ! {
        loop {
            let line = self.next();
            let _ = output.write_all(line.as_bytes());
            self.written(&report);
        }
    }

    /// Waits until all is written, or so long; `false` if something is left.
    pub fn wait_until_written(&self, timeout: Duration) -> bool {
        let waited = self.emptied.wait_timeout_while(self.lock(), timeout, |state| state.is_busy());
        !waited.unwrap_or_else(PoisonError::into_inner).1.timed_out()
    }

    fn next(&self) -> String {
        let mut state = self.lock();
        loop {
            if let Some(line) = state.lines.pop_front() {
                state.bytes -= line.len();
                state.writing = true;
                return line;
            }
            state = self.filled.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }

    fn written(&self, report: impl Fn(u64) -> String) {
        let mut state = self.lock();
        state.writing = false;
        // Not as soon as one line fits, or every other line would be such a report.
        if state.dropped > 0 && state.bytes <= QUEUED_MAX_BYTES / 2 {
            let report = report(std::mem::take(&mut state.dropped));
            state.push(report);
        }
        if !state.is_busy() {
            self.emptied.notify_all();
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Nothing is left half done where it could panic.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn push(&mut self, line: String) {
        self.bytes += line.len();
        self.lines.push_back(line);
    }

    fn is_busy(&self) -> bool {
        self.writing || !self.lines.is_empty()
    }
}

/// What may wait for stderr: some 8,000 lines, which is a burst of thousands of connections that
/// come at once. What waits longer than that is not read by anybody.
pub(super) const QUEUED_MAX_BYTES: usize = 1 << 20;

#[cfg(test)]
mod tests {
    use std::io;
    use std::sync::Arc;
    use std::sync::mpsc::{Receiver, Sender, channel};
    use std::thread;

    use super::*;

    /// Takes one write for each permit, and shows it.
    struct Gate {
        permits: Receiver<()>,
        taken: Sender<String>,
    }

    impl Write for Gate {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            // The test is over: as a pipe whose reader is gone.
            self.permits.recv().map_err(|_| io::ErrorKind::BrokenPipe)?;
            let _ = self.taken.send(String::from_utf8_lossy(bytes).into_owned());
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn start() -> (Arc<Queue>, Sender<()>, Receiver<String>) {
        let queue = Arc::new(Queue::new());
        let (permit, permits) = channel();
        let (taken, written) = channel();
        let running = Arc::clone(&queue);
        thread::spawn(move || {
            running.run(&mut Gate { permits, taken }, |count| format!("dropped {count}\n"))
        });
        (queue, permit, written)
    }

    const SHORT: Duration = Duration::from_millis(20);
    const LONG: Duration = Duration::from_secs(30);

    #[test]
    fn lines_are_written_in_order_one_by_one() {
        let (queue, permit, written) = start();
        assert!(queue.wait_until_written(SHORT), "nothing is queued");
        for number in 0..100 {
            queue.push(format!("{number}\n"));
        }
        assert!(!queue.wait_until_written(SHORT), "nothing may be written yet");
        for number in 0..100 {
            permit.send(()).unwrap();
            assert_eq!(written.recv_timeout(LONG), Ok(format!("{number}\n")));
        }
        assert!(queue.wait_until_written(LONG));
    }

    #[test]
    fn a_full_queue_drops_and_says_how_many() {
        let (queue, permit, written) = start();
        let line = "x".repeat(QUEUED_MAX_BYTES / 8);
        // One is in the writer's hand or the queue; then eight fill it, and the rest is dropped.
        queue.push("first".to_owned());
        while !queue.lock().writing {
            thread::yield_now();
        }
        for _ in 0..20 {
            queue.push(line.clone());
        }
        let counts = |state: MutexGuard<'_, State>| (state.dropped, state.lines.len());
        assert_eq!(counts(queue.lock()), (12, 8));
        permit.send(()).unwrap();
        assert_eq!(written.recv_timeout(LONG).as_deref(), Ok("first"));
        // One line is out of the queue, which is no room yet.
        queue.push("too early".to_owned());
        assert_eq!(counts(queue.lock()).0, 13);
        for _ in 0..8 {
            permit.send(()).unwrap();
            assert_eq!(written.recv_timeout(LONG).as_ref(), Ok(&line));
        }
        permit.send(()).unwrap();
        assert_eq!(written.recv_timeout(LONG).as_deref(), Ok("dropped 13\n"));
        queue.push("next".to_owned());
        permit.send(()).unwrap();
        assert_eq!(written.recv_timeout(LONG).as_deref(), Ok("next"));
        assert!(queue.wait_until_written(LONG));
    }

    #[test]
    fn an_output_that_fails_is_no_reason_to_stop() {
        let (queue, permit, _) = start();
        drop(permit);
        queue.push("lost".to_owned());
        assert!(queue.wait_until_written(LONG));
        queue.push("lost too".to_owned());
        assert!(queue.wait_until_written(LONG));
    }
}
