//! tokio-tungstenite: see `harness` for what it serves.

use harness::{Failure, Peer, TcpStream};
use tokio_tungstenite::tungstenite::handshake::server::{Request, Response};
use tokio_tungstenite::tungstenite::{Error, Message};
use tokio_tungstenite::{WebSocketStream, accept_hdr_async};

struct Tungstenite;

impl Peer for Tungstenite {
    type Socket = WebSocketStream<TcpStream>;
    type Message = Message;
    type Error = Error;

    async fn open(stream: TcpStream) -> Result<(String, Self::Socket), Failure> {
        let mut target = String::new();
        #[expect(clippy::result_large_err, reason = "the library's own signature")]
        let look = |request: &Request, response: Response| {
            target = request.uri().to_string();
            Ok(response)
        };
        let socket = accept_hdr_async(stream, look).await?;
        Ok((target, socket))
    }

    fn is_data(message: &Message) -> bool {
        message.is_text() || message.is_binary()
    }

    fn text(message: &Message) -> Option<&str> {
        message.to_text().ok()
    }
}

fn main() {
    harness::serve::<Tungstenite>();
}
