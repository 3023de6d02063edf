//! A client of switchboard.v1, as a machine without input and output.
//!
//! ```text
//!   want ------------> outbox --+                         +--> next_text --> to the server
//!   opened ----------> hello  --+-->      Session     ----+
//!   hear <frame> -----------------> welcome, ok, seq  ----+--> next_event -> to whoever listens
//!   processed <--------------------------------------------------- "that is done"
//!        '--> acks, position, snapshot
//! ```
//!
//! ```
//! use switchboard::timer::Millis;
//! use switchboard::tools::client::{Event, Identity, Session, Start, Wish};
//!
//! let identity = Identity { client: "c8f3".to_owned(), user: Some("bob".to_owned()) };
//! let mut bob = Session::new(identity, Start::Live);
//! bob.want(Wish::read(r#"{"receiver":"alice","content":"hi","tag":7}"#)?);
//! bob.opened();
//! let hello = r#"{"type":"hello","client":"c8f3","attempt":1,"next":1,"user":"bob"}"#;
//! assert_eq!(bob.next_text().as_deref(), Some(hello));
//! assert_eq!(bob.next_text(), None); // a frame has its number after the welcome
//!
//! let welcome = r#"{"type":"welcome","user":"bob","epoch":"9f","seq":41,"resumed":false,
//!                   "last":16,"refused":[],"ping":25}"#;
//! bob.hear(welcome, Millis(0)).expect("a good server");
//! let frame = r#"{"id":17,"content":"hi","receiver":"alice"}"#;
//! assert_eq!(bob.next_text().as_deref(), Some(frame));
//! bob.hear(r#"{"type":"ok","id":17}"#, Millis(1)).expect("a good server");
//! assert!(matches!(bob.next_event(), Some(Event::Welcome { .. })));
//! let Some(Event::Answer { accepted, given, .. }) = bob.next_event() else { panic!() };
//! assert_eq!((accepted, &*given), (true, r#""tag":7"#));
//! bob.processed(2, Millis(2));
//! # Ok::<(), switchboard::tools::client::WishError>(())
//! ```
//!
//! An event is *processed* when whoever listens has done with it (shown it, stored it). Only then
//! is a message acknowledged and the position behind it stored, and only then is an answer
//! forgotten. So a process that is killed is told some things twice, with the same `epoch` and
//! `seq` or the same `id`, but misses none; and as what leaves this machine is stored first,
//! nothing is sent twice.
//!
//! The rules are those of [the dialect](crate::relay#the-clients-rules). This module does not know
//! sockets, files or the time.

mod backoff;
mod event;
mod outbox;
mod session;
mod snapshot;
mod wish;

#[cfg(test)]
mod session_tests;

pub use self::backoff::{Backoff, End};
pub use self::event::{Event, Position};
pub use self::session::{Identity, Session, Start, Violation};
pub use self::snapshot::{Snapshot, SnapshotError};
pub use self::wish::{Wish, WishError, WishKind};
