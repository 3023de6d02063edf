//! sockudo-ws: see `harness` for what it serves.

use bytes::BytesMut;
use harness::{Failure, Peer, TcpStream};
use sockudo_ws::handshake::{build_response, generate_accept_key, parse_request};
use sockudo_ws::protocol::Message;
use sockudo_ws::{Config, Error, WebSocketStream};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

struct Sockudo;

impl Peer for Sockudo {
    type Socket = WebSocketStream<TcpStream>;
    type Message = Message;
    type Error = Error;

    async fn open(mut stream: TcpStream) -> Result<(String, Self::Socket), Failure> {
        let mut head = BytesMut::with_capacity(1024);
        loop {
            if stream.read_buf(&mut head).await? == 0 {
                return Err("closed within the handshake".into());
            }
            let Some((request, _)) = parse_request(&head)? else { continue };
            let target = request.path.clone().into_owned();
            let accept = generate_accept_key(request.key);
            stream.write_all(&build_response(&accept, None, None)).await?;
            // No pings and no timeouts, as with all others here.
            let config = Config { auto_ping: false, idle_timeout: 0, ..Config::default() };
            return Ok((target, WebSocketStream::server(stream, config)));
        }
    }

    fn is_data(message: &Message) -> bool {
        matches!(message, Message::Text(_) | Message::Binary(_))
    }

    fn text(message: &Message) -> Option<&str> {
        message.as_text()
    }
}

fn main() {
    harness::serve::<Sockudo>();
}
