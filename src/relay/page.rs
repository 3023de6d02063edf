//! The page: what a browser gets that asks for HTTP and not for WebSocket.
//!
//! ```text
//!   GET /                200 the chat page, one file inside the binary
//!   GET /switchboard.js  200 the client that it and other pages import
//!   GET /favicon.ico     200 its icon
//!   GET anything         404 in plain text, naming what there is
//!   POST anything        405 with Allow: GET, HEAD
//! ```
//!
//! HEAD is GET without a body; the engine leaves the body away.
//!
//! This module does not know what the page says to the server.

use crate::wire::{RequestHead, Response};

/// The answer to a request that asks for no upgrade.
pub fn respond(head: &RequestHead<'_, '_>) -> Response {
    if !matches!(head.method(), "GET" | "HEAD") {
        return Response::text(405, "method not allowed: this server answers GET and HEAD\n")
            .with_header("Allow", b"GET, HEAD".as_slice());
    }
    match head.path() {
        "/" => Response::html(CHAT)
            .with_header("Content-Security-Policy", CONTENT_SECURITY_POLICY.as_bytes())
            .with_header("Referrer-Policy", b"no-referrer".as_slice())
            .with_header("Cache-Control", b"no-cache".as_slice()),
        // Pages of other origins may import it: a script from elsewhere needs to be shared, and
        // this one is the same for everybody. Who may connect is decided when they do.
        "/switchboard.js" => Response::new(200, "text/javascript; charset=utf-8", CLIENT)
            .with_header("Access-Control-Allow-Origin", b"*".as_slice())
            .with_header("Cache-Control", b"no-cache".as_slice()),
        "/favicon.ico" => Response::new(200, "image/svg+xml", ICON.as_bytes())
            .with_header("Content-Security-Policy", b"default-src 'none'".as_slice())
            .with_header("Cache-Control", b"max-age=86400".as_slice()),
        _ => Response::text(
            404,
            "not found: / is the chat page, /switchboard.js the client; a WebSocket may be \
             opened on any path, the path is the room\n",
        ),
    }
}

const CHAT: &str = include_str!("../web/chat.html");

const CLIENT: &[u8] = include_bytes!("../web/switchboard.js");

/// Two lines that cross, as a switchboard's do.
const ICON: &str = "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 16 16\">\
<rect width=\"16\" height=\"16\" rx=\"3\" fill=\"#1f4f8f\"/>\
<path d=\"M3 5h3l4 6h3M3 11h3l4-6h3\" fill=\"none\" stroke=\"#fff\" stroke-width=\"1.6\"/></svg>\n";

/// The page is one file: its own script and style, a `data:` icon, the client beside it, and
/// connections to where it came from; in CSP `'self'` takes in `ws:` and `wss:` to the same host
/// and port.
const CONTENT_SECURITY_POLICY: &str = "default-src 'none'; script-src 'self' 'unsafe-inline'; \
style-src 'unsafe-inline'; img-src 'self' data:; connect-src 'self'; base-uri 'none'; \
form-action 'none'; frame-ancestors 'none'";
