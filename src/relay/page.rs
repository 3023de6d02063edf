//! The page: what a browser gets that asks for HTTP and not for WebSocket.
//!
//! ```text
//!   GET /                200 the chat page; it and its parts are inside the binary
//!   GET /chat.js         200 its script; /chat.css and /chat-….js likewise
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
        "/chat.css" => part("text/css; charset=utf-8", STYLE),
        "/chat.js" => part(JAVASCRIPT, PAGE),
        "/chat-history.js" => part(JAVASCRIPT, PAGE_HISTORY),
        "/chat-view.js" => part(JAVASCRIPT, PAGE_VIEW),
        "/chat-words.js" => part(JAVASCRIPT, PAGE_WORDS),
        // Pages of other origins may import it: a script from elsewhere needs to be shared, and
        // this one is the same for everybody. Who may connect is decided when they do.
        "/switchboard.js" => {
            part(JAVASCRIPT, CLIENT).with_header("Access-Control-Allow-Origin", b"*".as_slice())
        }
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

/// A file that the page asks for; asked for again each time, as it changes with the server.
fn part(media_type: &'static str, content: &'static [u8]) -> Response {
    Response::new(200, media_type, content).with_header("Cache-Control", b"no-cache".as_slice())
}

const JAVASCRIPT: &str = "text/javascript; charset=utf-8";

const CHAT: &str = include_str!("../web/chat.html");

const STYLE: &[u8] = include_bytes!("../web/chat.css");

const PAGE: &[u8] = include_bytes!("../web/chat.js");

const PAGE_HISTORY: &[u8] = include_bytes!("../web/chat-history.js");

const PAGE_VIEW: &[u8] = include_bytes!("../web/chat-view.js");

const PAGE_WORDS: &[u8] = include_bytes!("../web/chat-words.js");

const CLIENT: &[u8] = include_bytes!("../web/switchboard.js");

/// Two lines that cross, as a switchboard's do.
const ICON: &str = "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 16 16\">\
<rect width=\"16\" height=\"16\" rx=\"3\" fill=\"#1f4f8f\"/>\
<path d=\"M3 5h3l4 6h3M3 11h3l4-6h3\" fill=\"none\" stroke=\"#fff\" stroke-width=\"1.6\"/></svg>\n";

/// The page has its scripts, its style and its connections from where it came, and a `data:` icon;
/// in CSP `'self'` takes in `ws:` and `wss:` to the same host and port. Nothing inline is run: text
/// of others that became markup by mistake would do nothing.
const CONTENT_SECURITY_POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; \
img-src 'self' data:; connect-src 'self'; base-uri 'none'; form-action 'none'; \
frame-ancestors 'none'";
