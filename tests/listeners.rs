//! Listeners of both kinds on one server: real sockets, TCP and Unix.
#![cfg(all(unix, feature = "server"))]
#![allow(clippy::unwrap_used)] // a helper of a test may fail the test

use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::sync::mpsc::channel;
use std::thread::JoinHandle;
use std::time::Duration;

use switchboard::engine::{Door, Remote};
use switchboard::net::{Handle, Listen, ListenAddress, ServerError};
use switchboard::wire::Response;
use switchboard::{ConnId, Context, Handler, Limits, Message, Request, Server, Verdict};

/// Says where somebody came from, and sends back what he says.
struct Where;

impl Handler for Where {
    fn on_request(
        &mut self,
        cx: &mut Context<'_>,
        _: ConnId,
        request: &Request<'_, '_>,
    ) -> Verdict {
        if request.upgrade.is_some() {
            return Verdict::Upgrade { protocol: None };
        }
        let from = match request.peer {
            Remote::Tcp(addr) => addr.ip().to_string(),
            Remote::Unix => "unix".to_owned(),
        };
        let stopping = if cx.is_stopping() { " stopping" } else { "" };
        let sum: u64 = request.body.iter().map(|byte| u64::from(*byte)).sum();
        let body = if sum > 0 { format!(" {} {sum}", request.body.len()) } else { String::new() };
        let text = format!("{from} {:?}{stopping}{body}", request.door);
        Verdict::Respond(Response::text(200, text))
    }

    fn on_message(&mut self, cx: &mut Context<'_>, from: ConnId, message: Message<'_>) {
        let _ = cx.send(from, message);
    }
}

struct Running {
    listeners: Vec<Listen>,
    handle: Handle<Where>,
    thread: Option<JoinHandle<()>>,
    folder: PathBuf,
}

impl Running {
    /// Listens at 127.0.0.1 and at a Unix socket, both times for everybody and for the operator.
    fn start(name: &str) -> Running {
        let folder = std::env::temp_dir().join(format!("sb-{name}-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let tcp = ListenAddress::Tcp("127.0.0.1:0".parse().unwrap());
        let unix = |name| ListenAddress::Unix(folder.join(name));
        let listen = [
            Listen { address: unix("public"), door: Door::Public },
            Listen { address: tcp.clone(), door: Door::Public },
            Listen { address: unix("admin"), door: Door::Admin },
            Listen { address: tcp, door: Door::Admin },
        ];
        let (tell, told) = channel();
        let thread = std::thread::spawn(move || {
            let server = Server::bind_listeners(Limits::relay(), &listen, Where).unwrap();
            let listeners = server.listeners().to_vec();
            let tcp: Vec<_> = listeners.iter().filter_map(|listen| listen.address.tcp()).collect();
            assert_eq!(server.local_addrs(), tcp);
            assert!(tcp.iter().all(|addr| addr.port() != 0));
            tell.send((listeners, server.handle())).unwrap();
            server.run().unwrap();
        });
        let (listeners, handle) = told.recv().unwrap();
        Running { listeners, handle, thread: Some(thread), folder }
    }

    fn tcp(&self, at: usize) -> TcpStream {
        let stream = TcpStream::connect(self.listeners[at].address.tcp().unwrap()).unwrap();
        stream.set_read_timeout(Some(WAIT)).unwrap();
        stream
    }

    fn unix(&self, at: usize) -> UnixStream {
        let ListenAddress::Unix(path) = &self.listeners[at].address else { panic!("unix") };
        let stream = UnixStream::connect(path).unwrap();
        stream.set_read_timeout(Some(WAIT)).unwrap();
        stream
    }

    fn join(&mut self) {
        if let Some(thread) = self.thread.take() {
            thread.join().unwrap();
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.handle.stop();
        self.join();
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

fn ask(mut stream: impl Read + Write) -> String {
    stream.write_all(b"GET / HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer.split_once("\r\n\r\n").map(|(_, body)| body.to_owned()).unwrap()
}

fn open(stream: &mut (impl Read + Write)) {
    stream
        .write_all(
            b"GET / HTTP/1.1\r\nHost: h\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
              Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n",
        )
        .unwrap();
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        stream.read_exact(&mut byte).unwrap();
        head.push(byte[0]);
    }
    assert!(head.starts_with(b"HTTP/1.1 101 "));
}

#[test]
fn a_request_says_by_which_listener_it_came() {
    let server = Running::start("doors");
    assert_eq!(ask(server.unix(0)), "unix Public");
    assert_eq!(ask(server.tcp(1)), "127.0.0.1 Public");
    assert_eq!(ask(server.unix(2)), "unix Admin");
    assert_eq!(ask(server.tcp(3)), "127.0.0.1 Admin");
}

/// Requests with bodies of every length, in both forms, all sent before the first answer is read.
#[test]
fn requests_with_bodies_follow_one_another_on_both_kinds_of_socket() {
    let server = Running::start("bodies");
    let lens = [0, 1, 1_000, 100_000, 1 << 20, 3, 1 << 20, 70_000];
    let mut text = Vec::new();
    for (at, len) in lens.into_iter().enumerate() {
        text.extend_from_slice(b"POST / HTTP/1.1\r\nHost: h\r\n");
        let body = vec![1; len];
        if at % 2 == 0 {
            text.extend_from_slice(format!("Content-Length: {len}\r\n\r\n").as_bytes());
            text.extend_from_slice(&body);
            continue;
        }
        text.extend_from_slice(b"Transfer-Encoding: chunked\r\n\r\n");
        for chunk in body.chunks(8_191) {
            text.extend_from_slice(format!("{:x}\r\n", chunk.len()).as_bytes());
            text.extend_from_slice(chunk);
            text.extend_from_slice(b"\r\n");
        }
        text.extend_from_slice(b"0\r\n\r\n");
    }
    let unix = server.unix(2);
    let unix_end = unix.try_clone().unwrap();
    let all = ask_all(unix, &text, || unix_end.shutdown(Shutdown::Write).unwrap());
    assert_eq!(all, wanted("unix", &lens));
    let tcp = server.tcp(3);
    let tcp_end = tcp.try_clone().unwrap();
    let all = ask_all(tcp, &text, || tcp_end.shutdown(Shutdown::Write).unwrap());
    assert_eq!(all, wanted("127.0.0.1", &lens));
}

/// Sends everything, and FIN; then the bodies of all answers.
fn ask_all(mut stream: impl Read + Write, text: &[u8], finish: impl Fn()) -> Vec<String> {
    stream.write_all(text).unwrap();
    finish();
    let mut answers = String::new();
    stream.read_to_string(&mut answers).unwrap();
    let heads = answers.matches("HTTP/1.1 200 OK\r\nConnection: keep-alive\r\n").count();
    let bodies: Vec<String> = answers
        .split("\r\n\r\n")
        .skip(1)
        .map(|part| part.split("HTTP/1.1").next().unwrap().to_owned())
        .collect();
    assert_eq!(heads, bodies.len());
    bodies
}

fn wanted(from: &str, lens: &[usize]) -> Vec<String> {
    let body = |len: &usize| if *len > 0 { format!(" {len} {len}") } else { String::new() };
    lens.iter().map(|len| format!("{from} Admin{}", body(len))).collect()
}

/// Short and long messages, many at once: whatever the socket does about them.
#[test]
fn messages_pass_through_a_unix_socket_unharmed() {
    let server = Running::start("messages");
    let mut stream = server.unix(0);
    open(&mut stream);
    let mut writer = stream.try_clone().unwrap();
    let sent: Vec<Vec<u8>> =
        (0..60_usize).map(|i| vec![i as u8; [5, 1_000, 70_000, 500_000][i % 4]]).collect();
    let frames: Vec<u8> = sent.iter().flat_map(|payload| frame(payload, true)).collect();
    let wanted: Vec<u8> = sent.iter().flat_map(|payload| frame(payload, false)).collect();
    let sender = std::thread::spawn(move || writer.write_all(&frames).unwrap());
    let mut received = vec![0; wanted.len()];
    stream.read_exact(&mut received).unwrap();
    assert!(received == wanted);
    sender.join().unwrap();
    // The closing handshake, and then FIN.
    stream.write_all(b"\x88\x80\0\0\0\0").unwrap();
    let mut rest = Vec::new();
    stream.read_to_end(&mut rest).unwrap();
    assert_eq!(rest, b"\x88\x00");
}

#[test]
fn an_address_that_cannot_be_listened_on_is_named_and_the_others_leave_no_file() {
    let server = Running::start("in-use");
    let first = ListenAddress::Unix(server.folder.join("first"));
    let listen = [
        Listen { address: first, door: Door::Public },
        Listen { address: server.listeners[0].address.clone(), door: Door::Public },
    ];
    let error = Server::bind_listeners(Limits::relay(), &listen, Where).err().unwrap();
    let ServerError::Listen { address, source } = &error else { panic!("{error}") };
    assert_eq!(*address, listen[1].address);
    assert_eq!(source.kind(), std::io::ErrorKind::AddrInUse);
    let text = error.to_string();
    assert!(text.starts_with("cannot listen on unix:") && text.contains("/public: "), "{text}");
    assert!(!server.folder.join("first").exists());
    assert_eq!(ask(server.unix(0)), "unix Public");
}

#[test]
fn while_it_stops_the_operator_is_let_in_and_at_the_end_no_file_is_left() {
    let mut server = Running::start("stop");
    let mut client = server.unix(0);
    open(&mut client);
    // Says nothing, and is not waited for.
    let silent = server.tcp(3);
    server.handle.stop().unwrap();
    let mut close = [0; 4];
    client.read_exact(&mut close).unwrap();
    assert_eq!(close[2..], 1001_u16.to_be_bytes());
    assert!(!server.folder.join("public").exists());
    assert!(TcpStream::connect(server.listeners[1].address.tcp().unwrap()).is_err());
    assert_eq!(ask(server.unix(2)), "unix Admin stopping");
    assert_eq!(ask(server.tcp(3)), "127.0.0.1 Admin stopping");
    drop(client);
    server.join();
    drop(silent);
    assert_eq!(std::fs::read_dir(&server.folder).unwrap().count(), 0);
}

/// A binary message; with a mask, as a client sends it, that changes nothing.
fn frame(payload: &[u8], masked: bool) -> Vec<u8> {
    let mask = if masked { 0x80 } else { 0 };
    let mut frame = vec![0x82];
    match payload.len() {
        len @ 0..126 => frame.push(mask | len as u8),
        len @ 126..0x1_0000 => {
            frame.push(mask | 126);
            frame.extend_from_slice(&(len as u16).to_be_bytes());
        }
        len => {
            frame.push(mask | 127);
            frame.extend_from_slice(&(len as u64).to_be_bytes());
        }
    }
    frame.extend_from_slice(if masked { &[0; 4] } else { &[] });
    frame.extend_from_slice(payload);
    frame
}

const WAIT: Duration = Duration::from_secs(10);
