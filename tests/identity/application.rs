//! An application with an endpoint, as good or as bad as a test wants it.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

/// What the endpoint does with a question.
pub enum Reply {
    /// Answers with these bytes, as they are, and closes.
    Bytes(Vec<u8>),
    /// Says nothing until it is let go.
    Hang,
    /// Answers with one byte at a time, for ever.
    Drip(Vec<u8>),
}

impl Reply {
    /// A reply with this status and body.
    pub fn http(status: u16, body: &str) -> Reply {
        let len = body.len();
        let text = format!("HTTP/1.1 {status} X\r\nContent-Length: {len}\r\n\r\n{body}");
        Reply::Bytes(text.into_bytes())
    }
}

/// A running endpoint.
pub struct Application {
    pub addr: Option<SocketAddr>,
    heads: Arc<Mutex<Vec<String>>>,
    is_over: Arc<AtomicBool>,
}

impl Application {
    pub fn start(answer: impl Fn(&str) -> Reply + Send + Sync + 'static) -> Application {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let addr = listener.local_addr().expect("an address");
        let mut application = Application::new();
        application.addr = Some(addr);
        let serve = application.server(answer);
        thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                serve(Box::new(stream));
            }
        });
        application
    }

    pub fn start_at(path: &Path, answer: impl Fn(&str) -> Reply + Send + Sync + 'static) -> Self {
        let listener = UnixListener::bind(path).expect("a new socket");
        let application = Application::new();
        let serve = application.server(answer);
        thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                serve(Box::new(stream));
            }
        });
        application
    }

    /// The value of `--auth`.
    pub fn auth(&self) -> String {
        format!("http://{}/check?app=chat", self.addr.expect("TCP"))
    }

    /// Whoever hangs is let go without an answer.
    pub fn let_go(&self) {
        self.is_over.store(true, Ordering::Relaxed);
    }

    /// The heads of all questions so far.
    pub fn heads(&self) -> Vec<String> {
        self.heads.lock().expect("no panic while locked").clone()
    }

    fn new() -> Application {
        Application { addr: None, heads: Arc::default(), is_over: Arc::default() }
    }

    fn server(
        &self,
        answer: impl Fn(&str) -> Reply + Send + Sync + 'static,
    ) -> impl Fn(Box<dyn Stream>) + Send + 'static {
        let (heads, is_over) = (Arc::clone(&self.heads), Arc::clone(&self.is_over));
        let answer = Arc::new(answer);
        move |mut stream| {
            let (heads, is_over) = (Arc::clone(&heads), Arc::clone(&is_over));
            let answer = Arc::clone(&answer);
            thread::spawn(move || {
                let head = read_head(&mut *stream);
                heads.lock().expect("no panic while locked").push(head.clone());
                let go_on = || !is_over.load(Ordering::Relaxed);
                match answer(&head) {
                    Reply::Bytes(bytes) => drop(stream.write_all(&bytes)),
                    Reply::Hang => {
                        while go_on() {
                            thread::sleep(STEP);
                        }
                    }
                    Reply::Drip(bytes) => {
                        for byte in bytes.iter().cycle() {
                            if !go_on() || stream.write_all(&[*byte]).is_err() {
                                break;
                            }
                            thread::sleep(STEP);
                        }
                    }
                }
            });
        }
    }
}

impl Drop for Application {
    fn drop(&mut self) {
        self.let_go();
    }
}

pub trait Stream: Read + Write + Send {}

impl<T: Read + Write + Send> Stream for T {}

fn read_head(stream: &mut dyn Stream) -> String {
    let mut head = Vec::new();
    let mut byte = [0];
    while !head.ends_with(b"\r\n\r\n") && stream.read(&mut byte).is_ok_and(|read| read == 1) {
        head.push(byte[0]);
    }
    String::from_utf8_lossy(&head).into_owned()
}

const STEP: Duration = Duration::from_millis(20);
