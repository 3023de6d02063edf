//! One HTTP exchange from a program that may wait: a request out, an answer in.
//!
//! ```text
//!   connect -> write the request -> read until the server closes -> the bytes of the answer
//!   |------------------------- one absolute deadline --------------------------------------|
//! ```
//!
//! It blocks, so it is for command-line tools and never for the event loop.
//!
//! This module does not know HTTP.

use std::fmt;
use std::io::{self, Read, Write};
use std::net::TcpStream;
#[cfg(unix)]
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use super::client::{ClientError, resolve};

/// Whom to ask.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Destination {
    /// A host by name or address (IPv6 without brackets), and a port.
    Tcp(String, u16),
    /// The file of a Unix socket.
    Unix(PathBuf),
}

/// Sends `request` and returns all that comes until the server closes, at most `answer_max_bytes`.
/// The request has to ask the server to close.
///
/// # Errors
///
/// [`ExchangeError`], which says whether the server can have seen the request.
pub fn exchange(
    to: &Destination,
    request: &[u8],
    answer_max_bytes: usize,
    timeout: Duration,
) -> Result<Vec<u8>, ExchangeError> {
    let until = Instant::now() + timeout;
    match to {
        Destination::Tcp(host, port) => {
            let addr = resolve(host, *port).map_err(ExchangeError::Resolve)?;
            let stream = TcpStream::connect_timeout(&addr, timeout);
            talk(stream.map_err(ExchangeError::Connect)?, request, answer_max_bytes, until)
        }
        #[cfg(unix)]
        Destination::Unix(path) => {
            let stream = UnixStream::connect(path).map_err(ExchangeError::Connect)?;
            talk(stream, request, answer_max_bytes, until)
        }
        #[cfg(not(unix))]
        Destination::Unix(_) => {
            Err(ExchangeError::Connect(io::Error::from(io::ErrorKind::Unsupported)))
        }
    }
}

/// A stream whose waits can be limited.
trait Timed: Read + Write {
    fn limit(&self, left: Duration) -> io::Result<()>;
}

impl Timed for TcpStream {
    fn limit(&self, left: Duration) -> io::Result<()> {
        self.set_read_timeout(Some(left))?;
        self.set_write_timeout(Some(left))
    }
}

#[cfg(unix)]
impl Timed for UnixStream {
    fn limit(&self, left: Duration) -> io::Result<()> {
        self.set_read_timeout(Some(left))?;
        self.set_write_timeout(Some(left))
    }
}

fn talk(
    mut stream: impl Timed,
    request: &[u8],
    answer_max_bytes: usize,
    until: Instant,
) -> Result<Vec<u8>, ExchangeError> {
    let mut rest = request;
    while !rest.is_empty() {
        limit(&stream, until)?;
        match stream.write(rest) {
            Ok(written) => rest = &rest[written..],
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            // Who refuses a request early closes, and has said why before.
            Err(error) if is_over(&error) => break,
            Err(error) => return Err(ExchangeError::Answer(timed_out(error))),
        }
    }
    let mut answer = Vec::new();
    let mut buffer = [0; 4096];
    loop {
        limit(&stream, until)?;
        match stream.read(&mut buffer) {
            Ok(0) => return Ok(answer),
            Ok(read) if answer.len() + read > answer_max_bytes => {
                return Err(ExchangeError::Answer(io::Error::from(io::ErrorKind::FileTooLarge)));
            }
            Ok(read) => answer.extend_from_slice(&buffer[..read]),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) if is_over(&error) && !answer.is_empty() => return Ok(answer),
            Err(error) => return Err(ExchangeError::Answer(timed_out(error))),
        }
    }
}

/// A timeout of zero would mean none.
fn limit(stream: &impl Timed, until: Instant) -> Result<(), ExchangeError> {
    let left = until.saturating_duration_since(Instant::now());
    if left.is_zero() {
        return Err(ExchangeError::Answer(io::Error::from(io::ErrorKind::TimedOut)));
    }
    stream.limit(left).map_err(ExchangeError::Answer)
}

fn is_over(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::BrokenPipe | io::ErrorKind::ConnectionReset)
}

/// What a timeout is called depends on the system.
fn timed_out(error: io::Error) -> io::Error {
    match error.kind() {
        io::ErrorKind::WouldBlock => io::Error::from(io::ErrorKind::TimedOut),
        _ => error,
    }
}

/// Why there is no answer.
#[derive(Debug)]
pub enum ExchangeError {
    /// The server was reached and may have done what was asked, but did not answer.
    Answer(io::Error),
    /// The server was not reached.
    Connect(io::Error),
    /// There is no such host.
    Resolve(ClientError),
}

impl fmt::Display for ExchangeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ExchangeError::Answer(error) => write!(f, "no answer: {error}"),
            ExchangeError::Connect(error) => write!(f, "cannot connect: {error}"),
            ExchangeError::Resolve(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for ExchangeError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            ExchangeError::Answer(error) | ExchangeError::Connect(error) => Some(error),
            ExchangeError::Resolve(error) => Some(error),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::TcpListener;
    use std::thread;

    /// A server that reads `len` bytes, answers and closes.
    fn server(len: usize, answer: &'static [u8]) -> Destination {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        thread::spawn(move || {
            let (mut peer, _) = listener.accept().unwrap();
            let mut request = vec![0; len];
            peer.read_exact(&mut request).unwrap();
            peer.write_all(answer).unwrap();
        });
        Destination::Tcp("127.0.0.1".to_owned(), port)
    }

    #[test]
    fn all_that_comes_until_the_end_is_the_answer() {
        let second = Duration::from_secs(10);
        let answer = exchange(&server(4, b"pong"), b"ping", 4, second);
        assert_eq!(answer.unwrap(), b"pong");
        let error = exchange(&server(4, b"pong!"), b"ping", 4, second).unwrap_err();
        assert!(matches!(error, ExchangeError::Answer(_)), "{error}");
    }

    #[test]
    fn who_says_nothing_is_not_waited_for_longer_than_the_deadline() {
        let silent = TcpListener::bind("127.0.0.1:0").unwrap();
        let to = Destination::Tcp("127.0.0.1".to_owned(), silent.local_addr().unwrap().port());
        let error = exchange(&to, b"ping", 4, Duration::from_millis(20)).unwrap_err();
        assert_eq!(error.to_string(), "no answer: timed out");
    }

    #[test]
    fn a_server_that_is_not_there_has_seen_nothing() {
        let nobody = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let nobody = Destination::Tcp("127.0.0.1".to_owned(), nobody);
        let nowhere = Destination::Unix("/nowhere/switchboard.sock".into());
        for to in [nobody, nowhere] {
            let error = exchange(&to, b"ping", 4, Duration::from_secs(10)).unwrap_err();
            assert!(matches!(error, ExchangeError::Connect(_)), "{error}");
        }
    }
}
