//! Asking an HTTP endpoint, by a few threads of their own.
//!
//! ```text
//!   event loop        queue (bounded)        threads (few)             the application
//!      | ask(token, headers)   |                  |                          |
//!      |---------------------->|----------------->| GET /check HTTP/1.1      |
//!      |                       |                  |------------------------->|
//!      |                done(token, reply)        |   200 {"user":"alice"}   |
//!      |<-----------------------------------------|<-------------------------|
//! ```
//!
//! The event loop never waits: it asks, and hears of it. A thread is the plain way to do one thing
//! after the other; what makes it fit for a server is that everything has an end. A question has an
//! absolute deadline from when it was asked, the time in the queue included, and dripping bytes do
//! not extend it. The one wait without an end of ours is looking up a name, which an address in
//! the URL avoids; the event loop has a deadline of its own and does not depend on an answer.
//!
//! Each question is one TCP or Unix connection and one GET. There is no TLS: an endpoint that is
//! on this machine or in its private network needs none, and any other would have to be trusted
//! with everybody's cookies.
//!
//! This module does not know what is asked, or what an answer means.

mod reply;
mod url;

use std::collections::VecDeque;
use std::fmt;
use std::io::{self, Read, Write};
use std::net::ToSocketAddrs;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use socket2::{Domain, SockAddr, Socket, Type};

use self::reply::ReplyReader;
pub use self::url::{AskUrl, AskUrlError};

/// What an [`Asker`] keeps to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AskLimits {
    /// From the question to the last byte of the reply.
    pub timeout_ms: u64,
    /// How many questions are asked at once: so many threads there are.
    pub threads_max: usize,
    /// How many questions wait for a thread.
    pub queue_max: usize,
}

/// A header line that goes with a question.
#[derive(Clone, PartialEq, Eq)]
pub struct AskHeader {
    /// A token of HTTP.
    pub name: &'static str,
    /// Any bytes but controls; a tab is allowed.
    pub value: Vec<u8>,
}

/// What the endpoint says.
#[derive(Clone, PartialEq, Eq)]
pub struct Reply {
    /// The status code.
    pub status: u16,
    /// The body, complete, at most 64 KiB.
    pub body: Vec<u8>,
}

/// Its status and how long it is: it may be about anybody.
impl fmt::Debug for Reply {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Reply({}, {} bytes)", self.status, self.body.len())
    }
}

/// Asks one endpoint. `T` names a question in what is heard of it.
pub struct Asker<T> {
    shared: Arc<Shared<T>>,
}

struct Shared<T> {
    url: AskUrl,
    timeout: Duration,
    queue_max: usize,
    queue: Mutex<Queue<T>>,
    /// There is a question, or there will be none any more.
    changed: Condvar,
}

struct Queue<T> {
    waiting: VecDeque<Question<T>>,
    /// Threads that wait for a question.
    idle: usize,
    is_closed: bool,
}

struct Question<T> {
    token: T,
    headers: Vec<AskHeader>,
    deadline: Instant,
}

impl<T: Send + 'static> Asker<T> {
    /// Starts the threads. Each question that is taken is heard of by `done`, once, on one of them.
    ///
    /// # Errors
    ///
    /// If the operating system refuses a thread.
    pub fn start(
        url: AskUrl,
        limits: AskLimits,
        done: impl Fn(T, Result<Reply, AskError>) + Send + Sync + 'static,
    ) -> io::Result<Asker<T>> {
        let queue = Queue { waiting: VecDeque::new(), idle: 0, is_closed: false };
        let shared = Arc::new(Shared {
            url,
            timeout: Duration::from_millis(limits.timeout_ms),
            queue_max: limits.queue_max,
            queue: Mutex::new(queue),
            changed: Condvar::new(),
        });
        let done = Arc::new(done);
        // From here on the threads end if one of them cannot be started.
        let asker = Asker { shared };
        for number in 0..limits.threads_max {
            let (shared, done) = (Arc::clone(&asker.shared), Arc::clone(&done));
            let thread = thread::Builder::new().name(format!("ask-{number}"));
            thread.stack_size(STACK_BYTES).spawn(move || shared.work(&*done))?;
        }
        Ok(asker)
    }

    /// Asks, now or when a thread is free.
    ///
    /// # Errors
    ///
    /// [`AskError::Busy`] if too many questions wait, [`AskError::Unsendable`] if a header cannot
    /// be sent; `done` does not hear of it then.
    pub fn ask(&self, token: T, headers: Vec<AskHeader>) -> Result<(), AskError> {
        // RFC 9110 §5.5: a line end in a value would be the end of the line.
        let is_bad = |byte: &u8| byte.is_ascii_control() && *byte != b'\t';
        if headers.iter().any(|header| header.value.iter().any(is_bad)) {
            return Err(AskError::Unsendable);
        }
        let deadline = Instant::now() + self.shared.timeout;
        let mut queue = self.shared.lock();
        if queue.waiting.len() >= self.shared.queue_max + queue.idle {
            return Err(AskError::Busy);
        }
        queue.waiting.push_back(Question { token, headers, deadline });
        drop(queue);
        self.shared.changed.notify_one();
        Ok(())
    }
}

/// Ends the threads, each after the question it is at; those that wait are let go.
impl<T> Drop for Asker<T> {
    fn drop(&mut self) {
        let mut queue = self.shared.lock();
        queue.is_closed = true;
        queue.waiting.clear();
        drop(queue);
        self.shared.changed.notify_all();
    }
}

impl<T> fmt::Debug for Asker<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Asker({})", self.shared.url)
    }
}

impl<T> Shared<T> {
    fn lock(&self) -> MutexGuard<'_, Queue<T>> {
        // Nothing in here panics half-way through a change.
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The life of a thread.
    fn work(&self, done: &dyn Fn(T, Result<Reply, AskError>)) {
        while let Some(question) = self.next() {
            let reply = exchange(&self.url, &question.headers, question.deadline);
            done(question.token, reply);
        }
    }

    fn next(&self) -> Option<Question<T>> {
        let mut queue = self.lock();
        loop {
            if queue.is_closed {
                return None;
            }
            if let Some(question) = queue.waiting.pop_front() {
                return Some(question);
            }
            queue.idle += 1;
            queue = self.changed.wait(queue).unwrap_or_else(PoisonError::into_inner);
            queue.idle -= 1;
        }
    }
}

/// Why there is no reply.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AskError {
    /// Too many questions wait.
    Busy,
    /// No connection to the endpoint.
    Connect(io::ErrorKind),
    /// The connection ended before the reply.
    Cut,
    /// What came is not HTTP.
    Malformed,
    /// No address for the name in the URL.
    NameUnknown,
    /// The deadline passed.
    Timeout,
    /// The head or the body of the reply is too long.
    TooLarge,
    /// A header has an octet that it must not have.
    Unsendable,
}

impl fmt::Display for AskError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            AskError::Busy => "too many questions wait",
            AskError::Connect(kind) => return write!(f, "cannot connect: {kind}"),
            AskError::Cut => "the reply was cut short",
            AskError::Malformed => "the reply is not HTTP",
            AskError::NameUnknown => "no address for the name",
            AskError::Timeout => "no reply in time",
            AskError::TooLarge => "the reply is too long",
            AskError::Unsendable => "a header cannot be sent",
        })
    }
}

impl std::error::Error for AskError {}

/// One question and its reply.
fn exchange(url: &AskUrl, headers: &[AskHeader], deadline: Instant) -> Result<Reply, AskError> {
    let mut socket = connect(url, deadline)?;
    write_all(&mut socket, &request(url, headers), deadline)?;
    let mut reader = ReplyReader::new();
    let mut bytes = [0; READ_BYTES];
    loop {
        socket.set_read_timeout(Some(left(deadline)?)).map_err(|_| AskError::Cut)?;
        let read = match socket.read(&mut bytes) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) if is_timeout(&error) => return Err(AskError::Timeout),
            Err(_) => return Err(AskError::Cut),
            Ok(0) => return reader.finish(),
            Ok(read) => read,
        };
        if let Some(reply) = reader.receive(&bytes[..read])? {
            return Ok(reply);
        }
    }
}

/// The whole request: its head, for it has no body.
fn request(url: &AskUrl, headers: &[AskHeader]) -> Vec<u8> {
    let mut request = format!(
        "GET {} HTTP/1.1\r\nHost: {}\r\nConnection: close\r\nAccept: application/json\r\n\
         User-Agent: switchboard/{}\r\n",
        url.target(),
        url.host(),
        env!("CARGO_PKG_VERSION"),
    )
    .into_bytes();
    for AskHeader { name, value } in headers {
        for part in [name.as_bytes(), b": ", value, b"\r\n"] {
            request.extend_from_slice(part);
        }
    }
    request.extend_from_slice(b"\r\n");
    request
}

fn connect(url: &AskUrl, deadline: Instant) -> Result<Socket, AskError> {
    if let Some(path) = url.socket_path() {
        let address = SockAddr::unix(path).map_err(|error| AskError::Connect(error.kind()))?;
        return connect_to(Domain::UNIX, &address, deadline);
    }
    let addresses = url.address().to_socket_addrs().map_err(|_| AskError::NameUnknown)?;
    let mut last = AskError::NameUnknown;
    for address in addresses {
        match connect_to(Domain::for_address(address), &address.into(), deadline) {
            Ok(socket) => return Ok(socket),
            Err(error) => last = error,
        }
    }
    Err(last)
}

fn connect_to(domain: Domain, address: &SockAddr, deadline: Instant) -> Result<Socket, AskError> {
    let left = left(deadline)?;
    let socket = Socket::new(domain, Type::STREAM, None)
        .and_then(|socket| socket.connect_timeout(address, left).map(|()| socket));
    socket.map_err(|error| match error.kind() {
        io::ErrorKind::TimedOut => AskError::Timeout,
        kind => AskError::Connect(kind),
    })
}

fn write_all(socket: &mut Socket, mut bytes: &[u8], deadline: Instant) -> Result<(), AskError> {
    while !bytes.is_empty() {
        socket.set_write_timeout(Some(left(deadline)?)).map_err(|_| AskError::Cut)?;
        match socket.write(bytes) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) if is_timeout(&error) => return Err(AskError::Timeout),
            // It may have answered already; that is for the reader to see.
            Err(_) | Ok(0) => return Ok(()),
            Ok(written) => bytes = &bytes[written..],
        }
    }
    Ok(())
}

/// How long there is until the deadline. Never nothing: the operating system takes that for ever.
fn left(deadline: Instant) -> Result<Duration, AskError> {
    let left = deadline.saturating_duration_since(Instant::now());
    if left.is_zero() { Err(AskError::Timeout) } else { Ok(left.max(Duration::from_millis(1))) }
}

fn is_timeout(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::TimedOut | io::ErrorKind::WouldBlock)
}

const READ_BYTES: usize = 4 * 1024;

/// Looking up a name takes more than the rest.
const STACK_BYTES: usize = 512 * 1024;
