//! Listening sockets: TCP addresses, and Unix sockets with their files.
//!
//! ```text
//!   127.0.0.1:8080      TCP
//!   unix:/run/sb.sock   a file of mode 0660: who may write to it may connect
//! ```
//!
//! The file of a Unix socket outlives a process that is killed. The next one to listen there finds
//! out who is at the other end: nobody, then the file is stale and removed; or somebody, then the
//! address is in use, as a port would be. What is no socket is never touched. At the end the file
//! is removed, if it is still the one that was made.
//!
//! This module does not know connections, nor what a [`Door`] is good for.

use std::fmt;
use std::fs;
use std::io;
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use mio::net::{TcpListener, UnixListener};
use mio::{Interest, Registry, Token};
use socket2::{Domain, Protocol, SockAddr, Socket, Type};

use super::transport::Transport;
use crate::engine::{Door, Remote};

/// Where to listen, and for whom.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listen {
    /// Where.
    pub address: ListenAddress,
    /// For whom.
    pub door: Door,
}

impl Listen {
    /// For everybody, at a TCP address.
    pub fn public(addr: SocketAddr) -> Listen {
        Listen { address: ListenAddress::Tcp(addr), door: Door::Public }
    }
}

/// An address to listen on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ListenAddress {
    /// An address and a port; port 0 takes any free one.
    Tcp(SocketAddr),
    /// The file of a Unix socket.
    Unix(PathBuf),
}

impl ListenAddress {
    /// The address and port; `None` for a Unix socket.
    pub fn tcp(&self) -> Option<SocketAddr> {
        match self {
            ListenAddress::Tcp(addr) => Some(*addr),
            ListenAddress::Unix(_) => None,
        }
    }
}

impl From<SocketAddr> for ListenAddress {
    fn from(addr: SocketAddr) -> ListenAddress {
        ListenAddress::Tcp(addr)
    }
}

/// As the command line takes it: `127.0.0.1:8080`, `unix:/run/sb.sock`.
impl fmt::Display for ListenAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ListenAddress::Tcp(addr) => addr.fmt(f),
            ListenAddress::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

/// A socket that is listened on.
#[derive(Debug)]
pub(super) struct Listener {
    socket: ListeningSocket,
    /// Where it really listens: with the port that was free.
    pub listen: Listen,
    /// There may be more to accept: the edge came, and `accept` has not said `WouldBlock` yet.
    pub pending: bool,
}

#[derive(Debug)]
enum ListeningSocket {
    Tcp(TcpListener),
    // The file goes first: as long as the socket is open, no other file is mistaken for it.
    Unix { _file: SocketFile, listener: UnixListener },
}

impl Listener {
    pub fn open(listen: &Listen) -> io::Result<Listener> {
        let (socket, address) = match &listen.address {
            ListenAddress::Tcp(addr) => {
                let listener = listen_tcp(*addr)?;
                let addr = listener.local_addr()?;
                (ListeningSocket::Tcp(listener), ListenAddress::Tcp(addr))
            }
            ListenAddress::Unix(path) => (listen_unix(path)?, listen.address.clone()),
        };
        Ok(Listener { socket, listen: Listen { address, door: listen.door }, pending: false })
    }

    pub fn register(&mut self, registry: &Registry, token: Token) -> io::Result<()> {
        match &mut self.socket {
            ListeningSocket::Tcp(socket) => registry.register(socket, token, Interest::READABLE),
            ListeningSocket::Unix { listener, .. } => {
                registry.register(listener, token, Interest::READABLE)
            }
        }
    }

    /// The next connection.
    pub fn accept(&self) -> io::Result<(Transport, Remote)> {
        match &self.socket {
            ListeningSocket::Tcp(socket) => {
                let (stream, peer) = socket.accept()?;
                Ok((Transport::Tcp(stream), Remote::Tcp(peer)))
            }
            ListeningSocket::Unix { listener, .. } => {
                let (stream, _) = listener.accept()?;
                Ok((Transport::Unix(stream), Remote::Unix))
            }
        }
    }
}

fn listen_tcp(addr: SocketAddr) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(addr), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_nonblocking(true)?;
    // Old connections in TIME_WAIT must not keep a restarted server from its port.
    socket.set_reuse_address(true)?;
    if addr.is_ipv6() {
        // One listener, one family: [::] and 0.0.0.0 can both be asked for.
        socket.set_only_v6(true)?;
    }
    socket.bind(&addr.into())?;
    socket.listen(BACKLOG)?;
    Ok(TcpListener::from_std(socket.into()))
}

fn listen_unix(path: &Path) -> io::Result<ListeningSocket> {
    // Both would name a socket without a file.
    if matches!(path.as_os_str().as_bytes(), [] | [0, ..]) {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "not the name of a file"));
    }
    let address = SockAddr::unix(path)?;
    let socket = Socket::new(Domain::UNIX, Type::STREAM, None)?;
    socket.set_nonblocking(true)?;
    if let Err(error) = socket.bind(&address) {
        if error.kind() != io::ErrorKind::AddrInUse {
            return Err(error);
        }
        remove_stale(path, &address)?;
        socket.bind(&address)?;
    }
    let file = SocketFile::new(path)?;
    // Nobody can connect before `listen`, whatever the file's mode was until now.
    fs::set_permissions(path, fs::Permissions::from_mode(MODE))?;
    socket.listen(BACKLOG)?;
    let listener = UnixListener::from_std(OwnedFd::from(socket).into());
    Ok(ListeningSocket::Unix { _file: file, listener })
}

/// Removes the file of a socket that nobody listens on.
fn remove_stale(path: &Path, address: &SockAddr) -> io::Result<()> {
    if !fs::symlink_metadata(path)?.file_type().is_socket() {
        let text = "the file exists and is not a socket";
        return Err(io::Error::new(io::ErrorKind::AlreadyExists, text));
    }
    let probe = Socket::new(Domain::UNIX, Type::STREAM, None)?;
    // A listener whose queue is full would let us wait.
    probe.set_nonblocking(true)?;
    match probe.connect(address).map_err(|error| (error.kind(), error)) {
        Err((io::ErrorKind::ConnectionRefused, _)) => fs::remove_file(path),
        Err((io::ErrorKind::NotFound, _)) => Ok(()),
        Err((io::ErrorKind::PermissionDenied, error)) => Err(error),
        Ok(()) | Err(_) => Err(io::Error::from(io::ErrorKind::AddrInUse)),
    }
}

/// The file of a Unix socket; it is removed with this value, unless another has taken its place.
#[derive(Debug)]
struct SocketFile {
    path: PathBuf,
    /// Device and inode.
    identity: (u64, u64),
}

impl SocketFile {
    fn new(path: &Path) -> io::Result<SocketFile> {
        Ok(SocketFile { path: path.to_owned(), identity: identity(path)? })
    }
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        if identity(&self.path).is_ok_and(|now| now == self.identity) {
            // Who stops does not mind if it was removed in this very moment.
            let _ = fs::remove_file(&self.path);
        }
    }
}

fn identity(path: &Path) -> io::Result<(u64, u64)> {
    fs::symlink_metadata(path).map(|file| (file.dev(), file.ino()))
}

/// Owner and group may connect, others not.
const MODE: u32 = 0o660;

/// Connections that the kernel completes before they are accepted.
const BACKLOG: i32 = 4096;

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::net::{UnixListener as StdListener, UnixStream};

    /// A folder of its own for each test, removed at the end.
    struct Folder(PathBuf);

    impl Folder {
        fn new(name: &str) -> Folder {
            let id = std::process::id();
            let path = std::env::temp_dir().join(format!("switchboard-{name}-{id}"));
            fs::create_dir_all(&path).unwrap();
            Folder(path)
        }

        fn listen(&self) -> Listen {
            Listen { address: ListenAddress::Unix(self.socket()), door: Door::Admin }
        }

        fn socket(&self) -> PathBuf {
            self.0.join("socket")
        }
    }

    impl Drop for Folder {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.0);
        }
    }

    fn kind(result: io::Result<Listener>) -> io::ErrorKind {
        result.expect_err("it cannot be listened on").kind()
    }

    #[test]
    fn a_socket_file_has_its_mode_and_goes_with_its_listener() {
        let folder = Folder::new("mode");
        let listener = Listener::open(&folder.listen()).unwrap();
        assert_eq!(listener.listen, folder.listen());
        let mode = fs::metadata(folder.socket()).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o660);
        let _client = UnixStream::connect(folder.socket()).unwrap();
        let (_, remote) = listener.accept().unwrap();
        assert_eq!(remote, Remote::Unix);
        drop(listener);
        assert!(!folder.socket().exists());
    }

    #[test]
    fn a_stale_socket_is_replaced_and_a_live_one_is_in_use() {
        let folder = Folder::new("stale");
        // Nobody removes its file, as when a process is killed.
        drop(StdListener::bind(folder.socket()).unwrap());
        assert!(folder.socket().exists());
        let listener = Listener::open(&folder.listen()).unwrap();
        assert_eq!(kind(Listener::open(&folder.listen())), io::ErrorKind::AddrInUse);
        let _client = UnixStream::connect(folder.socket()).unwrap();
        drop(listener);
        // One that accepts nothing, with a queue that is full, lives too.
        let socket = Socket::new(Domain::UNIX, Type::STREAM, None).unwrap();
        socket.bind(&SockAddr::unix(folder.socket()).unwrap()).unwrap();
        socket.listen(0).unwrap();
        let _first = UnixStream::connect(folder.socket()).unwrap();
        assert_eq!(kind(Listener::open(&folder.listen())), io::ErrorKind::AddrInUse);
    }

    #[test]
    fn what_is_no_socket_is_left_alone() {
        let folder = Folder::new("file");
        fs::write(folder.socket(), "precious").unwrap();
        assert_eq!(kind(Listener::open(&folder.listen())), io::ErrorKind::AlreadyExists);
        assert_eq!(fs::read_to_string(folder.socket()).unwrap(), "precious");
        // Nor is what a link points to.
        fs::remove_file(folder.socket()).unwrap();
        let other = folder.0.join("other");
        drop(StdListener::bind(&other).unwrap());
        std::os::unix::fs::symlink(&other, folder.socket()).unwrap();
        assert_eq!(kind(Listener::open(&folder.listen())), io::ErrorKind::AlreadyExists);
        assert!(other.exists());
    }

    #[test]
    fn a_file_that_took_the_place_of_ours_is_not_removed() {
        let folder = Folder::new("replaced");
        let listener = Listener::open(&folder.listen()).unwrap();
        fs::remove_file(folder.socket()).unwrap();
        let _successor = StdListener::bind(folder.socket()).unwrap();
        drop(listener);
        assert!(folder.socket().exists());
    }

    #[test]
    fn names_of_no_file_and_long_ones_are_refused() {
        for path in ["", "\0abstract", &"x".repeat(200)] {
            let address = ListenAddress::Unix(PathBuf::from(path));
            let listen = Listen { address, door: Door::Public };
            assert_eq!(kind(Listener::open(&listen)), io::ErrorKind::InvalidInput, "{path:?}");
        }
    }
}
