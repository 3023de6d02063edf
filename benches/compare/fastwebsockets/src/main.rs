//! fastwebsockets: echo alone. It writes each frame to the socket at once, so there is nothing to
//! flush later.

use fastwebsockets::upgrade::{UpgradeFut, upgrade};
use fastwebsockets::{FragmentCollector, OpCode, WebSocketError};
use harness::{Failure, TcpStream};
use http_body_util::Empty;
use hyper::body::{Bytes, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use tokio::task::{spawn_local, unconstrained};

fn main() {
    harness::listen(connection);
}

async fn connection(stream: TcpStream) -> Result<(), Failure> {
    let http = http1::Builder::new();
    http.serve_connection(TokioIo::new(stream), service_fn(open)).with_upgrades().await?;
    Ok(())
}

async fn open(mut request: Request<Incoming>) -> Result<Response<Empty<Bytes>>, WebSocketError> {
    let (response, upgraded) = upgrade(&mut request)?;
    spawn_local(unconstrained(async move { drop(echo(upgraded).await) }));
    Ok(response)
}

async fn echo(upgraded: UpgradeFut) -> Result<(), WebSocketError> {
    let mut socket = FragmentCollector::new(upgraded.await?);
    loop {
        let frame = socket.read_frame().await?;
        match frame.opcode {
            OpCode::Text | OpCode::Binary => socket.write_frame(frame).await?,
            OpCode::Close => return Ok(()),
            _ => {}
        }
    }
}
