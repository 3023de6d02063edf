//! What the peers on tokio have in common: one thread, three paths, and one flush per wake-up.
//!
//! | path | what a connection sends goes |
//! |---|---|
//! | `/` | back to it |
//! | `/room` | to all others on this path |
//! | `/relay?user=NAME` | to the user whom the JSON names as `receiver` |
//!
//! A library on tokio writes to its socket when it is flushed, and most examples flush after each
//! message. That costs a system call per message. Here a task takes everything that has come
//! before it flushes once, which is the best that can be had of these libraries.

use std::cell::RefCell;
use std::collections::HashMap;
use std::error::Error;
use std::net::Ipv4Addr;
use std::rc::Rc;

use futures_util::{FutureExt, Sink, SinkExt, Stream, StreamExt};
use serde::Deserialize;
pub use tokio::net::TcpStream;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::task::{LocalSet, spawn_local, unconstrained};

/// What went wrong with a connection. Nobody reads it: the load generator notices.
pub type Failure = Box<dyn Error>;

/// A library under test.
pub trait Peer: 'static {
    /// An open WebSocket.
    type Socket: Stream<Item = Result<Self::Message, Self::Error>>
        + Sink<Self::Message, Error = Self::Error>
        + Unpin;
    /// What is received and sent.
    type Message: Clone + 'static;
    /// Why a socket ends.
    type Error: Error + 'static;

    /// The opening handshake. Returns the request target with the socket.
    fn open(stream: TcpStream) -> impl Future<Output = Result<(String, Self::Socket), Failure>>;

    /// Whether it is a text or binary message.
    fn is_data(message: &Self::Message) -> bool;

    /// The text, if it is one.
    fn text(message: &Self::Message) -> Option<&str>;
}

/// Serves this library on the port that the command line names, for good.
pub fn serve<P: Peer>() {
    let hub = Rc::new(RefCell::new(Hub::<P::Message>::default()));
    listen(move |stream| connection::<P>(stream, Rc::clone(&hub)));
}

/// Accepts connections on the port that the command line names, for good.
pub fn listen<C>(connection: impl Fn(TcpStream) -> C + 'static)
where
    C: Future<Output = Result<(), Failure>> + 'static,
{
    let Some(port) = std::env::args().nth(1).and_then(|port| port.parse::<u16>().ok()) else {
        eprintln!("usage: PROGRAM PORT");
        std::process::exit(2);
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.expect("an event queue");
    LocalSet::new().block_on(&runtime, async move {
        let listener = tokio::net::TcpListener::bind((Ipv4Addr::LOCALHOST, port)).await;
        let listener = listener.expect("a free port");
        loop {
            let (stream, _) = listener.accept().await.expect("a descriptor");
            stream.set_nodelay(true).expect("a TCP socket");
            let connection = connection(stream);
            // Tokio would interrupt a task that has much to do; here that cuts batches.
            spawn_local(unconstrained(async move { drop(connection.await) }));
        }
    });
}

/// Who is there: connections in the room by number, users of the relay by name.
struct Hub<M> {
    next: u64,
    room: HashMap<u64, UnboundedSender<M>>,
    users: HashMap<String, UnboundedSender<M>>,
}

impl<M> Default for Hub<M> {
    fn default() -> Hub<M> {
        Hub { next: 0, room: HashMap::new(), users: HashMap::new() }
    }
}

/// What the server has to know of a message of the relay.
#[derive(Deserialize)]
struct Envelope<'a> {
    receiver: &'a str,
}

async fn connection<P: Peer>(
    stream: TcpStream,
    hub: Rc<RefCell<Hub<P::Message>>>,
) -> Result<(), Failure> {
    let (target, mut socket) = P::open(stream).await?;
    if let Some(name) = target.strip_prefix("/relay?user=") {
        let (sender, mut inbox) = unbounded_channel();
        hub.borrow_mut().users.insert(name.to_owned(), sender);
        let pass_on = |message: P::Message| {
            let envelope = P::text(&message).map(serde_json::from_str::<Envelope>);
            if let Some(Ok(Envelope { receiver })) = envelope
                && let Some(receiver) = hub.borrow().users.get(receiver)
            {
                let _ = receiver.send(message.clone());
            }
        };
        let result = exchange::<P>(&mut socket, &mut inbox, pass_on).await;
        hub.borrow_mut().users.remove(name);
        return result;
    }
    if target.starts_with("/room") {
        let (sender, mut inbox) = unbounded_channel();
        let number = hub.borrow().next;
        hub.borrow_mut().next += 1;
        hub.borrow_mut().room.insert(number, sender);
        let pass_on = |message: P::Message| {
            for (_, other) in hub.borrow().room.iter().filter(|(other, _)| **other != number) {
                let _ = other.send(message.clone());
            }
        };
        let result = exchange::<P>(&mut socket, &mut inbox, pass_on).await;
        hub.borrow_mut().room.remove(&number);
        return result;
    }
    echo::<P>(&mut socket).await
}

async fn echo<P: Peer>(socket: &mut P::Socket) -> Result<(), Failure> {
    let mut come = Vec::new();
    while let Some(first) = socket.next().await {
        // Some libraries flush when they are read, so nothing is sent before all is read.
        let mut next = Some(Some(first));
        while let Some(Some(message)) = next {
            come.push(message?);
            next = socket.next().now_or_never();
        }
        for message in come.drain(..).filter(P::is_data) {
            socket.feed(message).await?;
        }
        socket.flush().await?;
    }
    Ok(())
}

/// Passes on what the peer sends, and sends it what others have passed on.
async fn exchange<P: Peer>(
    socket: &mut P::Socket,
    inbox: &mut UnboundedReceiver<P::Message>,
    pass_on: impl Fn(P::Message),
) -> Result<(), Failure> {
    loop {
        tokio::select! {
            message = socket.next() => match message {
                Some(message) => {
                    let message = message?;
                    if P::is_data(&message) {
                        pass_on(message);
                    }
                }
                None => return Ok(()),
            },
            Some(message) = inbox.recv() => {
                socket.feed(message).await?;
                while let Ok(message) = inbox.try_recv() {
                    socket.feed(message).await?;
                }
                socket.flush().await?;
            }
        }
    }
}
