//! tokio-websockets: see `harness` for what it serves.

use harness::{Failure, Peer, TcpStream};
use tokio_websockets::{Error, Message, ServerBuilder, WebSocketStream};

struct TokioWebSockets;

impl Peer for TokioWebSockets {
    type Socket = WebSocketStream<TcpStream>;
    type Message = Message;
    type Error = Error;

    async fn open(stream: TcpStream) -> Result<(String, Self::Socket), Failure> {
        let (request, socket) = ServerBuilder::new().accept(stream).await?;
        Ok((request.uri().to_string(), socket))
    }

    fn is_data(message: &Message) -> bool {
        message.is_text() || message.is_binary()
    }

    fn text(message: &Message) -> Option<&str> {
        message.as_text()
    }
}

fn main() {
    harness::serve::<TokioWebSockets>();
}
