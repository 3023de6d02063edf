//! Switchboard is a WebSocket message server: one user's message reaches exactly one other user.
//! It is a program (`switchboard serve`), this library that the program is made of, and a text
//! to learn RFC 6455 from.
//!
//! # Ten lines to an echo server
//!
//! A server is a [`Handler`]: callbacks, called by one event loop on one thread.
//!
#![cfg_attr(feature = "server", doc = "```")]
#![cfg_attr(not(feature = "server"), doc = "```ignore")]
//! use switchboard::{ConnId, Context, Handler, Limits, Message, Server};
//!
//! struct Echo;
//!
//! impl Handler for Echo {
//!     fn on_message(&mut self, cx: &mut Context<'_>, from: ConnId, message: Message<'_>) {
//!         let _ = cx.send(from, message);
//!     }
//! }
//!
//! let server = Server::bind(Limits::echo(), &["127.0.0.1:0".parse()?], Echo)?;
//! println!("ws://{}", server.local_addrs()[0]);
//! let handle = server.handle(); // reaches the server from other threads
//! # handle.stop()?;
//! server.run()?; // until handle.stop()
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # Three rings
//!
//! ```text
//!            +-----------------------------------------------------------------+
//!  ring 3    | net      mio, sockets, the clock: reads, writes, knows no rule  |
//!            |   +---------------------------------------------------------+   |
//!  ring 2    |   | engine   many connections: the tick, Handler, Context   |   |
//!            |   |   hub, outbox, timer                                    |   |
//!            |   | protocol one connection: bytes -> messages -> bytes     |   |
//!            |   |   +-------------------------------------------------+   |   |
//!  ring 1    |   |   | wire     bytes <-> values: frame header, mask,  |   |   |
//!            |   |   |          UTF-8, close codes, HTTP heads         |   |   |
//!            |   |   +-------------------------------------------------+   |   |
//!            |   +---------------------------------------------------------+   |
//!            +-----------------------------------------------------------------+
//!  relay     the application: users, groups, rooms; written against Handler alone
//!  store     where the application's log is kept on disk, on a thread of its own
//! ```
//!
//! Imports point inward only, and a test holds that. [`wire`] and [`protocol`] work without a
//! server, a socket or a clock, in the server's and in the client's role: build with
//! `default-features = false` and they are all there is.
//!
//! # The tick
//!
//! ```text
//! poll -> 1 accept -> 2 read and deliver -> 3 inject -> 4 timers -> 5 before_flush
//!      -> 6 flush dirty -> 7 reap
//! ```
//!
//! **A [`Context`] call only queues; no callback is ever entered from another; closing is a mark,
//! reaping happens at the end of the tick; `on_close` runs exactly once and last.** Everything
//! that a tick sends to a connection leaves in one write. [`engine`] has the whole contract.
//!
//! # Where to begin reading
//!
//! 1. [`wire`]: eleven bytes, each with its meaning; then [`wire::header`], [`wire::mask`],
//!    [`wire::utf8`], [`wire::close`], [`wire::handshake`].
//! 2. [`protocol`]: what may follow what, and what happens when a peer does otherwise.
//! 3. [`outbox`] and [`engine`]: how thousands of connections share one thread.
//! 4. [`net`]: the event loop, which is short because it knows no rule.
//! 5. [`relay`]: what makes it a message server.
//! 6. [`store`]: how messages outlive the process.
//! 7. [`tools`]: what is run against a server: the load generator.
//! 8. [`performance`]: where the time goes, and what was tried and dropped.
//!
//! # Cargo features
//!
//! | feature | default | brings |
//! |---|---|---|
//! | `server` | yes | [`engine`], [`hub`], [`net`]: everything a [`Handler`] runs on |
//! | `relay` | yes | [`relay`]: users, groups, rooms, the chat page |
//! | `cli` | yes | the `switchboard` binary |
//! | `durable` | yes | [`store`]: messages kept on disk |
//! | `deflate` | yes | compression of messages: permessage-deflate (RFC 7692) |
//! | `simdutf8` | yes | UTF-8 validation at memory speed for multi-byte text |
//! | `jwt-asymmetric` | no | tokens signed with RS256, ES256 or EdDSA; HS256 is in `relay` |
//!
// What this build leaves out has no page to link to: the table says which feature brings it.
#![cfg_attr(not(feature = "server"), doc = "[`Context`]: #cargo-features")]
#![cfg_attr(not(feature = "server"), doc = "[`Handler`]: #cargo-features")]
#![cfg_attr(not(feature = "server"), doc = "[`engine`]: #cargo-features")]
#![cfg_attr(not(feature = "server"), doc = "[`hub`]: #cargo-features")]
#![cfg_attr(not(feature = "server"), doc = "[`net`]: #cargo-features")]
#![cfg_attr(not(feature = "relay"), doc = "[`relay`]: #cargo-features")]
#![cfg_attr(not(feature = "durable"), doc = "[`store`]: #cargo-features")]
#![cfg_attr(not(feature = "cli"), doc = "[`tools`]: #cargo-features")]
#![forbid(unsafe_code)]

#[cfg(feature = "cli")]
pub mod cli;
pub mod config;
#[cfg(feature = "server")]
pub mod echo;
#[cfg(feature = "server")]
pub mod engine;
#[cfg(feature = "server")]
pub mod hub;
#[cfg(feature = "cli")]
pub mod logger;
#[cfg(feature = "server")]
pub mod net;
pub mod outbox;
#[doc = include_str!("performance.md")]
pub mod performance {}
pub mod protocol;
#[cfg(feature = "relay")]
pub mod relay;
#[cfg(feature = "durable")]
pub mod store;
pub mod timer;
#[cfg(feature = "cli")]
pub mod tools;
pub mod wire;

pub use config::Limits;
#[cfg(feature = "server")]
pub use engine::{Closed, Context, Delivery, Door, Handler, Remote, Request, Verdict};
#[cfg(feature = "server")]
pub use hub::ConnId;
#[cfg(feature = "server")]
pub use net::Server;
pub use protocol::{Message, MessageKind};
#[cfg(feature = "relay")]
pub use relay::{Relay, RelayConfig};
