//! Replies: what the server itself says in the dialect switchboard.v1.
//!
//! ```text
//!   {"type":"welcome","user":"bob","epoch":"9f…","seq":41,"resumed":true,"last":16,...}
//!   {"type":"ok","id":17}
//!   {"type":"error","id":18,"code":503,"reason":"store","retry":true,"expect":18,"after":500}
//!   {"type":"gap","after":57,"until":90,"reason":"overflow"}
//! ```
//!
//! This module does not know when a reply is due.

use std::fmt::{self, Write};
use std::rc::Rc;

use crate::relay::decimal::Decimal;
use crate::relay::log::{Entry, INFLIGHT_MAX, Seq};
use crate::relay::reply::escape;

/// Why a frame was refused, for people and programs: a code in the manner of HTTP's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Refused {
    /// The code.
    pub code: u16,
    /// The reason.
    pub reason: &'static str,
}

impl Refused {
    /// An `ack` above what was written on its connection.
    pub const ACK_AHEAD: Refused = Refused { code: 400, reason: "ack_ahead" };
    /// No role of the sender's allows it, whether or not whom it concerns is there.
    pub const FORBIDDEN: Refused = Refused { code: 403, reason: "forbidden" };
    /// To a group the sender is not a member of, whether or not it exists.
    pub const NOT_A_MEMBER: Refused = Refused { code: 403, reason: "not_a_member" };
    /// `sender` is not who this connection is.
    pub const SENDER_MISMATCH: Refused = Refused { code: 403, reason: "sender_mismatch" };
    /// Nobody is there, and nothing is kept for the receiver.
    pub const RECEIVER_OFFLINE: Refused = Refused { code: 404, reason: "receiver_offline" };
    /// Some id before this one has not come.
    pub const EXPECTED: Refused = Refused { code: 409, reason: "expected" };
    /// This id was refused before; how, is not kept.
    pub const REFUSED: Refused = Refused { code: 410, reason: "refused" };
    /// The message is longer than the sender's roles allow.
    pub const TOO_LARGE: Refused = Refused { code: 413, reason: "message_too_large" };
    /// Too much at once: the same frame passes later.
    pub const RATE: Refused = Refused { code: 429, reason: "rate" };
    /// The user is in as many groups as one may be.
    pub const TOO_MANY_GROUPS: Refused = Refused { code: 429, reason: "too_many_groups" };
    /// As many users have a record as there may be.
    pub const TOO_MANY_USERS: Refused = Refused { code: 429, reason: "too_many_users" };
    /// The server is shutting down.
    pub const DRAINING: Refused = Refused { code: 503, reason: "draining" };
    /// The receiver's log is full of what is not committed yet.
    pub const RECEIVER_CONGESTED: Refused = Refused { code: 503, reason: "receiver_congested" };
    /// The store could not commit.
    pub const STORE: Refused = Refused { code: 503, reason: "store" };
    /// As many memberships are kept as may be, of all users together.
    pub const MEMBERSHIPS_FULL: Refused = Refused { code: 507, reason: "memberships_full" };
    /// The receiver is away, and the receiver's log is full of what was promised.
    pub const MAILBOX_FULL: Refused = Refused { code: 507, reason: "mailbox_full" };
}

/// Why messages may be missing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GapReason {
    /// The position is above what the server ever issued, so it is not this server's.
    Ahead,
    /// The position is of another epoch: the numbers mean something else now.
    Epoch,
    /// They were pushed out of a full log, or were too old.
    Overflow,
}

/// Messages above `after` and up to `until` may be missing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Gap {
    /// Where the client was.
    pub after: Seq,
    /// From where it goes on.
    pub until: Seq,
    /// Why.
    pub reason: GapReason,
}

/// The first frame of the server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Welcome {
    /// Who the connection is.
    pub user: Rc<str>,
    /// The epoch and the position from which delivery goes on; `None` for guests, who have no log.
    pub position: Option<(Rc<str>, Seq)>,
    /// Whether delivery goes on from the position the client gave.
    pub resumed: bool,
    /// The last id that was decided; `None` if nothing is known of this client.
    pub last: Option<u64>,
    /// The refused ids among the last 64.
    pub refused: Vec<u64>,
    /// What may be missing.
    pub gap: Option<Gap>,
    /// The interval of pings in seconds.
    pub ping_secs: u64,
    /// The longest message in bytes.
    pub message_max: u64,
}

/// What the server says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reply {
    /// It is shutting down.
    Drain {
        /// When to come back, in milliseconds: another number for everybody.
        after_ms: u64,
    },
    /// Unlogged messages were dropped.
    Dropped(u64),
    /// A frame was refused for good.
    Error {
        /// Its id, if it had one.
        id: Option<u64>,
        /// Why.
        refused: Refused,
    },
    /// A frame had been refused already.
    ErrorAgain {
        /// Its id.
        id: u64,
    },
    /// A frame was refused for good, for no role of the sender's allows it.
    Forbidden {
        /// Its id, if it had one.
        id: Option<u64>,
        /// The permission that it needs, as the policy writes it.
        missing: Box<str>,
    },
    /// Logged messages may be missing.
    Gap(Gap),
    /// A frame was accepted, and is committed.
    Ok {
        /// Its id.
        id: u64,
        /// To how many connections it goes at once, for those who may know.
        online: Option<u32>,
        /// Whether it was logged, for a message.
        logged: Option<Logged>,
    },
    /// A frame had been accepted already.
    OkAgain {
        /// Its id.
        id: u64,
    },
    /// Is somebody there? The answer is an `ack`.
    Ping {
        /// The position; `None` for guests.
        seq: Option<Seq>,
    },
    /// A message was acknowledged by its receiver.
    Receipt {
        /// The message.
        entry: Entry,
    },
    /// A frame was refused for now: all from `expect` on are to be sent again.
    Retry {
        /// Its id.
        id: u64,
        /// Why.
        refused: Refused,
        /// From which on to send again.
        expect: u64,
        /// After how many milliseconds.
        after_ms: u64,
    },
    /// A question was answered.
    Told {
        /// Its id.
        id: u64,
        /// The answer.
        facts: Facts,
    },
    /// A message was refused for good, for it is longer than the sender's roles allow.
    TooLarge {
        /// Its id, if it had one.
        id: Option<u64>,
        /// How long it may be, in bytes.
        max_bytes: u64,
    },
    /// The first frame.
    Welcome(Box<Welcome>),
}

/// What somebody asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Facts {
    /// Who is in a group and online.
    Members {
        /// Names, as a JSON array; perhaps not all.
        names: Box<str>,
        /// How many there are.
        count: usize,
    },
    /// Over how many connections a user is online.
    Online(usize),
}

/// Whether a message was logged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Logged {
    /// Only who was online got it.
    No,
    /// It is in the log of everybody it is for who has one.
    Yes,
}

impl Facts {
    /// About what they take while they wait.
    pub fn cost(&self) -> u64 {
        match self {
            Facts::Members { names, .. } => names.len() as u64,
            Facts::Online(_) => 0,
        }
    }
}

/// A text that is being written, to which digits are added as they are: nobody has to see that they
/// are UTF-8.
struct Text<'a>(&'a mut Vec<u8>);

impl Text<'_> {
    fn put(&mut self, bytes: &[u8]) {
        self.0.extend_from_slice(bytes);
    }
}

impl Write for Text<'_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.put(text.as_bytes());
        Ok(())
    }
}

impl Reply {
    /// Appends the frame's text.
    pub fn write(&self, out: &mut Vec<u8>) {
        let written = self.write_pieces(&mut Text(out));
        written.expect("invariant: a vector takes what is written to it");
    }

    fn write_pieces(&self, out: &mut Text<'_>) -> fmt::Result {
        match self {
            Reply::Drain { after_ms } => write!(out, r#"{{"type":"drain","after":{after_ms}}}"#),
            Reply::Dropped(count) => write!(out, r#"{{"type":"gap","dropped":{count}}}"#),
            Reply::Error { id, refused } => {
                refused.write(*id, out)?;
                out.write_str("}")
            }
            Reply::ErrorAgain { id } => {
                let Refused { code, reason } = Refused::REFUSED;
                let opening = r#"{"type":"error","id":"#;
                write!(out, r#"{opening}{id},"code":{code},"reason":"{reason}","dup":true}}"#)
            }
            Reply::Forbidden { id, missing } => {
                Refused::FORBIDDEN.write(*id, out)?;
                let mut escaped = String::new();
                write!(out, r#","missing":"{}"}}"#, escape(missing, &mut escaped))
            }
            Reply::Gap(gap) => {
                out.put(br#"{"type":"gap","#);
                gap.write(out)
            }
            Reply::Ok { id, online, logged } => {
                // The most frequent: without the machinery of formatting.
                out.put(br#"{"type":"ok","id":"#);
                out.put(Decimal::of(*id).as_bytes());
                if let Some(online) = online {
                    out.put(br#","online":"#);
                    out.put(Decimal::of(u64::from(*online)).as_bytes());
                }
                if *logged == Some(Logged::No) {
                    out.put(br#","logged":false"#);
                }
                out.write_str("}")
            }
            Reply::OkAgain { id } => write!(out, r#"{{"type":"ok","id":{id},"dup":true}}"#),
            Reply::Ping { seq: Some(seq) } => write!(out, r#"{{"type":"ping","seq":{seq}}}"#),
            Reply::Ping { seq: None } => out.write_str(r#"{"type":"ping"}"#),
            Reply::Receipt { entry } => write_receipt(entry, out),
            Reply::Retry { id, refused: Refused { code, reason }, expect, after_ms } => {
                write!(out, r#"{{"type":"error","id":{id},"code":{code},"reason":"{reason}","#)?;
                write!(out, r#""retry":true,"expect":{expect},"after":{after_ms}}}"#)
            }
            Reply::Told { id, facts: Facts::Members { names, count } } => {
                write!(out, r#"{{"type":"ok","id":{id},"members":{names},"count":{count}}}"#)
            }
            Reply::Told { id, facts: Facts::Online(online) } => {
                write!(out, r#"{{"type":"ok","id":{id},"online":{online}}}"#)
            }
            Reply::TooLarge { id, max_bytes } => {
                Refused::TOO_LARGE.write(*id, out)?;
                write!(out, r#","max":{max_bytes}}}"#)
            }
            Reply::Welcome(welcome) => welcome.write(out),
        }
    }
}

impl Refused {
    /// Up to where more may follow, without the closing brace.
    fn write(self, id: Option<u64>, out: &mut Text<'_>) -> fmt::Result {
        out.put(br#"{"type":"error""#);
        if let Some(id) = id {
            write!(out, r#","id":{id}"#)?;
        }
        write!(out, r#","code":{},"reason":"{}""#, self.code, self.reason)
    }
}

impl Welcome {
    fn write(&self, out: &mut Text<'_>) -> fmt::Result {
        let mut escaped = String::new();
        write!(out, r#"{{"type":"welcome","user":"{}""#, escape(&self.user, &mut escaped))?;
        if let Some((epoch, seq)) = &self.position {
            write!(out, r#","epoch":"{epoch}","seq":{seq}"#)?;
        }
        write!(out, r#","resumed":{},"last":"#, self.resumed)?;
        match self.last {
            Some(last) => write!(out, "{last}")?,
            None => out.put(b"null"),
        }
        out.put(br#","refused":["#);
        for (at, id) in self.refused.iter().enumerate() {
            write!(out, "{}{id}", if at == 0 { "" } else { "," })?;
        }
        write!(out, r#"],"ping":{},"limits":{{"inflight":{INFLIGHT_MAX}"#, self.ping_secs)?;
        write!(out, r#","message":{}}}"#, self.message_max)?;
        if let Some(gap) = &self.gap {
            out.put(br#","gap":{"#);
            gap.write(out)?;
        }
        out.write_str("}")
    }
}

impl Gap {
    /// From behind the opening brace.
    fn write(&self, out: &mut Text<'_>) -> fmt::Result {
        let reason = match self.reason {
            GapReason::Ahead => "ahead",
            GapReason::Epoch => "epoch",
            GapReason::Overflow => "overflow",
        };
        let Gap { after, until, .. } = self;
        write!(out, r#""after":{after},"until":{until},"reason":"{reason}"}}"#)
    }
}

fn write_receipt(entry: &Entry, out: &mut Text<'_>) -> fmt::Result {
    use crate::relay::log::To;
    let (To::User(user) | To::Group(user)) = entry.to();
    let mut escaped = String::new();
    let (client, id, user) = (entry.client(), entry.id(), escape(user, &mut escaped));
    write!(out, r#"{{"type":"receipt","mid":"{client}:{id}","user":"{user}"}}"#)
}
