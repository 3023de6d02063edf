//! As much of HTTP/1.1 as an opening handshake and a small API need.
//!
//! A WebSocket connection begins as an HTTP request (RFC 6455 §1.3). Its *head* is a request line
//! and header lines, each ended by CR LF, and then an empty line:
//!
//! ```text
//! GET /chat?user=alice HTTP/1.1 CR LF     method, target, version
//! Host: server.example.com CR LF          name, colon, value
//! Upgrade: websocket CR LF
//! CR LF                                   the head ends here
//! ```
//!
//! A server that is not asked to speak WebSocket still has to answer in HTTP, so responses are
//! here as well:
//!
//! ```text
//! HTTP/1.1 404 Not Found CR LF
//! Content-Length: 10 CR LF
//! CR LF
//! not found\n
//! ```
//!
//! Reading goes in two steps: [`HeadScanner`] finds the end of the head while bytes arrive, then
//! [`RequestHead::parse`] runs once over exactly that head. Header values are bytes, not text:
//! nothing promises that they are UTF-8.
//!
//! A body follows a head where one is allowed; [`BodyLength`] and [`BodyDecoder`] find its end.
//!
//! What this module does *not* know: what makes a request a WebSocket handshake (that is
//! [`super::handshake`]), and what comes after what on a connection.

mod authority;
mod body;
mod head;
mod response;
mod scanner;

pub use authority::{Authority, is_loopback_host, origin_is_loopback};
pub use body::{BodyDecoder, BodyError, BodyLength, CONTINUE, expects_continue};
pub use head::{HEADERS_MAX, HeaderSlots, HttpVersion, Plus, RequestHead, percent_decode};
pub(crate) use head::{check_lines, headers_named};
pub use response::{Body, InvalidHeader, Persistence, Response, write_header};
pub use scanner::HeadScanner;
