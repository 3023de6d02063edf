//! The standard streams of a program that must not wait for them, each on a thread of its own.
//!
//! ```text
//!   stdin  --> thread --lines, at most 16--> the loop --texts--> thread --> stdout
//!                 '----- ring --> alarm --> wait <-- alarm <-- ring -----'
//! ```
//!
//! Threads, and not readiness: `epoll` refuses regular files, and making a terminal non-blocking
//! would change it for every other program that has it open.
//!
//! This module does not know what the lines mean.

use std::io::{self, BufRead, Read, Write};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, Sender, SyncSender, TryRecvError, channel, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

use super::client::Alarm;

/// What came from standard input.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Line {
    /// A line, without its end.
    Text(String),
    /// A line that is not UTF-8, or longer than [`LINE_MAX_BYTES`]; it was skipped.
    Unreadable,
    /// The end of input, or nothing more that can be read.
    End,
}

/// Standard input, line by line.
#[derive(Debug)]
pub struct Lines {
    lines: Receiver<Line>,
}

impl Lines {
    /// Begins to read; `alarm` rings for each line. Lines that nobody takes are not read.
    pub fn start(alarm: Alarm) -> Lines {
        let (sender, lines) = sync_channel(LINES_MAX);
        thread::spawn(move || read_lines(io::stdin().lock(), &sender, &alarm));
        Lines { lines }
    }

    /// The next line, if it has come.
    pub fn take(&mut self) -> Option<Line> {
        self.lines.try_recv().ok()
    }

    /// How many lines have come that nobody took, empty ones aside; they are gone then.
    pub fn left(&mut self) -> usize {
        // While they are counted others may come, from an input without end.
        let lines = self.lines.try_iter().take(LINES_MAX);
        let is_empty = |line: &Line| matches!(line, Line::Text(text) if text.trim().is_empty());
        lines.filter(|line| *line != Line::End && !is_empty(line)).count()
    }
}

fn read_lines(mut input: impl BufRead, lines: &SyncSender<Line>, alarm: &Alarm) {
    loop {
        let line = read_line(&mut input);
        let is_end = line == Line::End;
        if lines.send(line).is_err() {
            return;
        }
        alarm.ring();
        if is_end {
            return;
        }
    }
}

fn read_line(input: &mut impl BufRead) -> Line {
    let mut bytes = Vec::new();
    let mut limited = (&mut *input).take(LINE_MAX_BYTES as u64 + 1);
    match limited.read_until(b'\n', &mut bytes) {
        Ok(0) | Err(_) => return Line::End,
        Ok(_) => {}
    }
    if bytes.last() != Some(&b'\n') && bytes.len() > LINE_MAX_BYTES {
        return match input.skip_until(b'\n') {
            Ok(_) => Line::Unreadable,
            Err(_) => Line::End,
        };
    }
    while bytes.last().is_some_and(|last| matches!(last, b'\n' | b'\r')) {
        bytes.pop();
    }
    String::from_utf8(bytes).map_or(Line::Unreadable, Line::Text)
}

/// Standard output.
#[derive(Debug)]
pub struct Printer {
    texts: Sender<(String, usize)>,
    state: Arc<Printed>,
}

/// What the thread says.
#[derive(Debug, Default)]
struct Printed {
    waiting_bytes: AtomicUsize,
    /// Units that were printed and not asked for.
    units: Mutex<usize>,
    is_broken: AtomicBool,
}

impl Printer {
    /// Begins to print; `alarm` rings when something was printed.
    pub fn start(alarm: Alarm) -> Printer {
        let (texts, receiver) = channel();
        let state = Arc::new(Printed::default());
        let printed = Arc::clone(&state);
        thread::spawn(move || print(io::stdout(), &receiver, &printed, &alarm));
        Printer { texts, state }
    }

    /// Prints a text. Once it is written it counts as so many units.
    pub fn print(&mut self, text: String, units: usize) {
        self.state.waiting_bytes.fetch_add(text.len(), Ordering::AcqRel);
        if self.texts.send((text, units)).is_err() {
            self.state.is_broken.store(true, Ordering::Release);
        }
    }

    /// How many units were written since this was last asked.
    pub fn take_units(&mut self) -> usize {
        std::mem::take(&mut *self.state.units.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// How much waits to be written, in bytes.
    pub fn waiting_bytes(&self) -> usize {
        self.state.waiting_bytes.load(Ordering::Acquire)
    }

    /// Whether nobody reads any more.
    pub fn is_broken(&self) -> bool {
        self.state.is_broken.load(Ordering::Acquire)
    }
}

fn print(
    mut output: impl Write,
    texts: &Receiver<(String, usize)>,
    state: &Printed,
    alarm: &Alarm,
) {
    while let Ok((mut text, mut units)) = texts.recv() {
        let mut ended = false;
        // One write for what has come together in the meantime.
        while text.len() < WRITE_BYTES && !ended {
            match texts.try_recv() {
                Ok((more, count)) => {
                    text.push_str(&more);
                    units += count;
                }
                Err(TryRecvError::Empty) => break,
                Err(TryRecvError::Disconnected) => ended = true,
            }
        }
        let written = output.write_all(text.as_bytes()).and_then(|()| output.flush());
        if written.is_err() {
            state.is_broken.store(true, Ordering::Release);
            alarm.ring();
            return;
        }
        *state.units.lock().unwrap_or_else(PoisonError::into_inner) += units;
        state.waiting_bytes.fetch_sub(text.len(), Ordering::AcqRel);
        alarm.ring();
    }
}

/// How long a line may be, in bytes.
pub const LINE_MAX_BYTES: usize = 4 << 20;

/// How many lines wait to be taken.
const LINES_MAX: usize = 16;
const WRITE_BYTES: usize = 64 * 1024;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::net::client::Clients;

    #[test]
    fn lines_are_read_whole_or_not_at_all() {
        let long = "x".repeat(LINE_MAX_BYTES + 1);
        let text = [b"a\r\n\nb\xff\n", long.as_bytes(), b"\nlast"].concat();
        let mut input = io::Cursor::new(text);
        let lines: Vec<Line> = (0..6).map(|_| read_line(&mut input)).collect();
        let text = |text: &str| Line::Text(text.to_owned());
        let wanted =
            [text("a"), text(""), Line::Unreadable, Line::Unreadable, text("last"), Line::End];
        assert_eq!(lines, wanted);
    }

    #[test]
    fn a_reader_that_is_gone_is_noticed_and_what_was_printed_is_counted() {
        struct Full(Vec<u8>);
        impl Write for Full {
            fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
                if self.0.len() > 4 {
                    return Err(io::Error::from(io::ErrorKind::BrokenPipe));
                }
                self.0.extend_from_slice(bytes);
                Ok(bytes.len())
            }
            fn flush(&mut self) -> io::Result<()> {
                Ok(())
            }
        }
        let alarm = Clients::new().unwrap().alarm().unwrap();
        let (sender, texts) = channel();
        let state = Printed::default();
        let print_all = |sender: Sender<(String, usize)>, output: &mut Full| {
            drop(sender);
            print(output, &texts, &state, &alarm);
        };
        sender.send(("one\n".to_owned(), 1)).unwrap();
        sender.send(("two\n".to_owned(), 2)).unwrap();
        let mut output = Full(Vec::new());
        let (again, more) = channel();
        print_all(sender, &mut output);
        assert_eq!((&output.0[..], *state.units.lock().unwrap()), (&b"one\ntwo\n"[..], 3));
        assert!(!state.is_broken.load(Ordering::Acquire));
        again.send(("three".to_owned(), 1)).unwrap();
        print(&mut output, &more, &state, &alarm);
        assert!(state.is_broken.load(Ordering::Acquire));
        assert_eq!(*state.units.lock().unwrap(), 3);
    }
}
