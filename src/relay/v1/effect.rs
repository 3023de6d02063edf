//! Effects: what the sessions want done, in order.
//!
//! ```text
//!   frame ---> Sessions ---> [ Reply ok 17 to conn 3 | Deliver 58 to conn 9 | Close conn 4, 4409 ]
//! ```
//!
//! This module does not know sockets, nor who carries its effects out.

use std::rc::Rc;

use super::reply::{Refused, Reply};
use crate::hub::ConnId;
use crate::relay::log::{Entry, Seq};

/// Something to be done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Effect {
    /// Close a connection; it is not read any more.
    Close {
        /// Which.
        conn: ConnId,
        /// How.
        closing: Closing,
    },
    /// Send the text of an entry to a connection.
    Deliver {
        /// To which.
        to: ConnId,
        /// What.
        entry: Entry,
    },
    /// Send sender and content of an entry to the plain connections of one user.
    Plain {
        /// Whose connections.
        user: Rc<str>,
        /// The connection it came from, which does not get it.
        except: Option<ConnId>,
        /// What.
        entry: Entry,
    },
    /// Send sender, group and content of an entry to the plain connections of the members of its
    /// group, `*` being everyone.
    PlainGroup {
        /// The connection it came from, which does not get it.
        except: Option<ConnId>,
        /// What.
        entry: Entry,
    },
    /// Answer the push API.
    Pushed {
        /// Which question this answers.
        token: u64,
        /// How it went.
        outcome: Result<Posted, Refused>,
    },
    /// Send a reply to a connection of this dialect.
    Reply {
        /// To which.
        to: ConnId,
        /// What.
        reply: Reply,
    },
    /// Tell a plain connection that what it sent was not taken.
    Unsent {
        /// Which.
        to: ConnId,
        /// Why.
        refused: Refused,
    },
}

/// How a message was taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Posted {
    /// Its place in the log, if it is in one.
    pub seq: Option<Seq>,
    /// To how many connections it goes at once.
    pub online: u32,
}

/// How a connection is closed: 4000 and the code in the manner of HTTP's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Closing {
    /// The close code.
    pub code: u16,
    /// The close reason.
    pub reason: &'static str,
}

impl Closing {
    /// A frame that is none of this dialect, or before its time.
    pub const MALFORMED: Closing = Closing { code: 4400, reason: "malformed" };
    /// An id so old that nobody knows what became of it.
    pub const FORGOTTEN_ID: Closing = Closing { code: 4400, reason: "forgotten_id" };
    /// `hello.user` is another than the connection's.
    pub const WRONG_USER: Closing = Closing { code: 4403, reason: "wrong_user" };
    /// `hello.user` is the number of a guest who is connected.
    // Not 4409: that is for who was replaced, and takes another name for the client.
    pub const TAKEN: Closing = Closing { code: 4403, reason: "taken" };
    /// Nothing was heard for too long.
    pub const TIMEOUT: Closing = Closing { code: 4408, reason: "timeout" };
    /// The same client connected again: the newer connection wins.
    pub const REPLACED: Closing = Closing { code: 4409, reason: "replaced" };
    /// The user that `hello.user` names has as many connections as allowed.
    pub const TOO_MANY_CONNECTIONS: Closing =
        Closing { code: 4429, reason: "too_many_connections" };
    /// There are as many records as there may be.
    pub const TOO_MANY_USERS: Closing = Closing { code: 4429, reason: "too_many_users" };
    /// The server holds as many bytes as it may, and what this connection is owed is too much.
    pub const OVERLOADED: Closing = Closing { code: 4503, reason: "overloaded" };
    /// The server is restarting.
    pub const RESTARTING: Closing = Closing { code: 1012, reason: "restarting" };
}
