//! Ring 2: one WebSocket connection, as a state machine over bytes.
//!
//! ```text
//!   bytes from the peer                                    bytes to the peer
//!          |                                                       ^
//!          v                                                       |
//!   Input<'b> --> Connection::advance --> Step<'b>         Outbox -+
//!                        |                                   ^
//!                        +-- Pong, Close ---------------------+
//! ```
//!
//! [`Connection::advance`] is *pulled*: each call takes what it needs from the input and says what
//! that was. A message that lies whole inside the input is unmasked where it lies and borrowed from
//! there, so the caller may do anything with the connection while holding it. Only a message that
//! was cut (by the end of a read, or into fragments) is collected and handed over as its own bytes.
//!
//! Both roles of RFC 6455 are here: an [`Endpoint`] is a server or a client.
//!
//! What this ring does not know: sockets, users, threads, and what time it is. It runs in a test, a
//! fuzzer or a browserless tutorial as it runs in the server:
//!
//! ```
//! use switchboard::outbox::Outbox;
//! use switchboard::protocol::{Connection, Endpoint, Input, Message, Step};
//!
//! // RFC 6455 §5.7: a single-frame masked text message, "Hello".
//! let mut bytes = *b"\x81\x85\x37\xfa\x21\x3d\x7f\x9f\x4d\x51\x58";
//! let server = Endpoint::server();
//! let (mut connection, mut outbox) = (Connection::new(), Outbox::new());
//! let mut input = Input::new(&mut bytes);
//! let step = connection.advance(&server, &mut input, &mut outbox);
//! let Step::Message(message) = step else { panic!("{step:?}") };
//! assert_eq!(message, Message::Text("Hello"));
//!
//! connection.send(&server, message, &mut outbox); // echo it: the server does not mask
//! assert_eq!(outbox.front(), b"\x81\x05Hello");
//! ```

mod connection;
mod deadline;
mod deflate;
mod endpoint;
mod input;
mod message;

pub use connection::{Connection, State, Step};
pub use deadline::{Clocks, Deadline, Deadlines, NEVER, Phase};
pub use deflate::DEFLATE_AVAILABLE;
pub use endpoint::{Endpoint, Role};
pub use input::Input;
pub use message::{Assembled, Message, MessageKind, borrow};
