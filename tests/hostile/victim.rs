//! The server under attack, and what must be true of it afterwards.

use std::ffi::OsString;
use std::io::{ErrorKind, Write};
use std::net::{SocketAddr, TcpStream};
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use crate::common::client::{Client, Event, WAIT, connect, handshake};
use crate::common::process::{BINARY, Process, clean, eventually};

/// A server with a neighbour who must not notice anything.
pub struct Victim {
    pub server: Process,
    neighbour: Neighbour,
    /// With the neighbour's connections, before the attack.
    descriptors: Option<usize>,
    memory_bytes: Option<u64>,
    memory_allowed: u64,
    checked: bool,
}

/// Who talks through the server while it is attacked.
enum Neighbour {
    Echo(Box<Client>),
    /// Two users of the relay: the first writes to the second.
    Pair(Box<[Client; 2]>),
}

impl Victim {
    /// `switchboard echo` with more arguments.
    pub fn echo(args: &[&str]) -> Victim {
        Victim::echo_of(Process::start(server(&[&["echo"], args].concat(), "warn")))
    }

    /// `switchboard echo` that may open so many descriptors.
    pub fn echo_with_descriptors(count: usize) -> Victim {
        let mut command = clean(Command::new("sh"));
        command.args([
            "-c",
            &format!("ulimit -Sn {count} && ulimit -Hn {count} && exec \"$0\" \"$@\""),
        ]);
        command.arg(binary()).args(["echo", "--listen", "127.0.0.1:0", "--log", "warn"]);
        Victim::echo_of(Process::start(command))
    }

    /// `switchboard serve` with more arguments.
    pub fn relay(args: &[&str]) -> Victim {
        Victim::relay_of(Process::start(server(&[&["serve"], args].concat(), "warn")))
    }

    /// `switchboard serve` that logs all it can.
    pub fn talkative_relay() -> Victim {
        Victim::relay_of(Process::start(server(&["serve"], "trace")))
    }

    fn echo_of(server: Process) -> Victim {
        let neighbour = Neighbour::Echo(Box::new(Client::connect(server.addr)));
        Victim::new(server, neighbour)
    }

    fn relay_of(server: Process) -> Victim {
        let join = |user| Client::try_connect(server.addr, &format!("/street?user={user}"));
        let neighbour =
            Neighbour::Pair(Box::new(["nina", "norbert"].map(|user| join(user).unwrap())));
        Victim::new(server, neighbour)
    }

    fn new(server: Process, mut neighbour: Neighbour) -> Victim {
        // Crowds of 500, of several tests at a time, are more than the usual 1,024.
        let _ = rlimit::increase_nofile_limit(u64::MAX);
        neighbour.speak();
        Victim {
            descriptors: server.descriptors(),
            memory_bytes: server.memory_bytes(),
            memory_allowed: MEMORY_ALLOWED_BYTES,
            checked: false,
            server,
            neighbour,
        }
    }

    /// Another bound for what the attack may cost at its height, above what there was before; half
    /// of it may be left afterwards.
    pub fn allowing(mut self, memory_allowed: u64) -> Victim {
        self.memory_allowed = memory_allowed;
        self
    }

    /// The neighbour gets an answer in time, in the middle of the attack.
    pub fn disturbs_nobody(&mut self) {
        let started = Instant::now();
        self.neighbour.speak();
        assert_prompt(started, "the neighbour's message");
    }

    /// What must be true when the attack is over, whether the attackers have gone or not.
    pub fn after(mut self) {
        self.checked = true;
        self.disturbs_nobody();
        // Who was refused, or has gone, may still have its place for a moment.
        let addr = self.server.addr;
        self.wait("a newcomer is let in", |_| Client::try_connect(addr, "/").is_ok());
        let started = Instant::now();
        let mut newcomer = Client::connect(self.server.addr);
        match self.neighbour {
            Neighbour::Echo(_) => newcomer.round_trip("is anybody there?"),
            Neighbour::Pair(..) => {
                newcomer.send_text(r#"{"type":"ping"}"#);
                assert_eq!(newcomer.receive(), Event::Text(r#"{"type":"pong"}"#.into()));
            }
        }
        assert_prompt(started, "the newcomer's message");
        drop(newcomer);

        let before = self.descriptors;
        self.wait("the descriptors are closed", |server| server.descriptors() == before);
        self.wait("the server does nothing", Process::is_idle);
        if let Some(before) = self.memory_bytes {
            let above = |bytes: Option<u64>| bytes.unwrap_or(0).saturating_sub(before);
            let peak = above(self.server.memory_peak_bytes());
            assert!(peak <= self.memory_allowed, "{} KiB more at the height", peak / 1024);
            // Spare buffers are given back by and by; what lies between others' memory is kept by
            // the allocator for those who come next.
            let kept = self.memory_allowed / 2;
            let given_back = |server: &Process| above(server.memory_bytes()) <= kept;
            self.wait("the memory is given back", given_back);
        }
        // The neighbour was never disconnected: it is the same connection as before.
        self.neighbour.speak();
    }

    /// Waits until it is true of the server. The neighbour goes on talking, for it may be pinged.
    fn wait(&mut self, what: &str, holds: impl Fn(&Process) -> bool) {
        eventually(what, || {
            self.neighbour.speak();
            holds(&self.server)
        });
    }
}

impl Drop for Victim {
    fn drop(&mut self) {
        assert!(self.checked || thread::panicking(), "a test must end with `after`");
    }
}

impl Neighbour {
    fn speak(&mut self) {
        match self {
            Neighbour::Echo(client) => client.round_trip_between_pings("good morning"),
            Neighbour::Pair(pair) => {
                let [from, to] = &mut **pair;
                from.send_text(r#"{"receiver":"norbert","content":"good morning"}"#);
                let wanted = r#"{"sender":"nina","content":"good morning"}"#;
                assert_eq!(next_text(to), wanted);
            }
        }
    }
}

/// The next text, without the Pings before it.
pub fn next_text(client: &mut Client) -> String {
    loop {
        match client.receive() {
            Event::Ping(_) => {}
            Event::Text(text) => return text,
            event => panic!("{event:?} instead of a text"),
        }
    }
}

/// The server with these arguments, on a free port.
pub fn server(args: &[&str], log: &str) -> Command {
    let mut command = clean(Command::new(binary()));
    command.args(args).args(["--listen", "127.0.0.1:0", "--log", log]);
    command
}

/// The binary under attack: `SWITCHBOARD_BIN`, or the one that was built with the tests.
fn binary() -> OsString {
    std::env::var_os("SWITCHBOARD_BIN").unwrap_or_else(|| BINARY.into())
}

fn assert_prompt(started: Instant, what: &str) {
    let took = started.elapsed();
    assert!(took <= PROMPT, "{what} took {took:?}");
}

/// Ends the TCP connection with RST.
pub fn reset(stream: TcpStream) {
    // Closing a socket that does not linger discards what is unsent, and says so.
    let _ = socket2::SockRef::from(&stream).set_linger(Some(Duration::ZERO));
}

/// A new connection on which these bytes were sent.
pub fn sent(server: &Process, bytes: &[u8]) -> TcpStream {
    let mut stream = connect(server.addr);
    // A server that has refused it already may have closed it.
    let _ = stream.write_all(bytes);
    stream
}

/// An open connection that takes little before it says that it is full: most of what it does not
/// read waits in the server, not in the kernel.
pub fn narrow(addr: SocketAddr, target: &str) -> Client {
    let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
    socket.set_recv_buffer_size(4_096).unwrap();
    socket.connect(&addr.into()).unwrap();
    let mut stream = TcpStream::from(socket);
    stream.set_read_timeout(Some(WAIT)).unwrap();
    stream.write_all(&handshake(addr, target)).unwrap();
    Client::after_handshake(stream, addr).unwrap()
}

/// Writes until the server takes no more for a moment; says how many bytes that were.
pub fn stuff(stream: &TcpStream, bytes: &[u8]) -> usize {
    let mut writer = stream.try_clone().unwrap();
    writer.set_write_timeout(Some(Duration::from_millis(300))).unwrap();
    let mut taken = 0;
    while let Ok(written) = writer.write(bytes) {
        taken += written;
        if written < bytes.len() {
            break;
        }
    }
    taken
}

/// Goes on with that until each of them is ended, for a server that is only slow takes more later.
/// `taken` is what each has been sent of these bytes, again and again.
pub fn stuff_until_ended(streams: &[&TcpStream], bytes: &[u8], taken: &mut [usize]) {
    streams.iter().for_each(|stream| stream.set_nonblocking(true).unwrap());
    eventually("each is ended", || {
        let mut is_over = true;
        for (mut stream, taken) in streams.iter().copied().zip(&mut *taken) {
            match stream.write(&bytes[*taken % bytes.len()..]) {
                Ok(written) => *taken += written,
                Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                Err(_) => continue,
            }
            is_over = false;
        }
        is_over
    });
}

/// A good handshake for this target, with more lines.
pub fn upgrade(target: &str, lines: &str) -> String {
    format!(
        "GET {target} HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\n\
         Connection: Upgrade\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
         Sec-WebSocket-Version: 13\r\n{lines}\r\n"
    )
}

pub const MIB: u64 = 1 << 20;

/// No measure of speed: what is beyond this is not slow but stuck.
const PROMPT: Duration = Duration::from_secs(10);

/// What an attack may cost at its height, if the test says nothing else.
const MEMORY_ALLOWED_BYTES: u64 = 16 * MIB;
