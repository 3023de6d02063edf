//! The store: where the log is kept, and who decides what has happened.
//!
//! ```text
//!   loop    note note note | commit 7 |  note note | commit 8 |        ...        | read_back
//!             alice 58, bob 59        :    alice 60           :                   :
//!   store                              `---- 7 is committed --'--- 8 has failed --'
//!                                            58 and 59 exist       60 never was
//! ```
//!
//! The loop never waits for a disk: it notes changes as it goes, hands them over as one batch at
//! the end of a tick, and goes on. Batches take effect wholly or not at all, and in their order.
//! Until the store says that one is committed, nothing of it is shown to anybody (R12). When one
//! failed, or nobody can tell, all that was handed over since is void, and the store is asked what
//! it really has.
//!
//! This module does not know what the changes mean.

use std::fmt;
use std::rc::Rc;

use super::entry::Entry;
use super::numbers::Numbers;
use super::{Seq, Stamp};

/// The number of a batch: ascending, from 1.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct BatchNumber(pub u64);

/// One change to what is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change<'a> {
    /// Some device of a user has acknowledged everything up to `acked`.
    Acknowledge {
        /// Whose log.
        user: &'a str,
        /// Up to where.
        acked: Seq,
    },
    /// A request of a backend was answered, and is to be answered the same when it is repeated.
    Answer {
        /// What it is known by, which means nothing here.
        request: &'a str,
        /// The answer; an earlier one to the same is gone.
        answer: &'a StoredAnswer,
    },
    /// An entry at the end of a user's log. A group message comes once for each member, one
    /// behind the other, always the same entry.
    Append {
        /// Whose log.
        user: &'a str,
        /// What.
        entry: &'a Entry,
    },
    /// What has been decided of a client's frames.
    Client {
        /// Whose client.
        user: &'a str,
        /// Which.
        client: &'a str,
        /// Its state from now on.
        numbers: Numbers,
        /// When it was last here.
        seen: Stamp,
    },
    /// A user has a record from now on, with an empty log.
    Create {
        /// Who.
        user: &'a str,
        /// Where the log begins.
        dropped: Seq,
    },
    /// Everything in a user's log up to `dropped` is gone.
    Discard {
        /// Whose log.
        user: &'a str,
        /// Up to where.
        dropped: Seq,
    },
    /// The answer to a request is not needed any more.
    ForgetAnswer {
        /// What the request is known by.
        request: &'a str,
    },
    /// A client's state is gone.
    ForgetClient {
        /// Whose client.
        user: &'a str,
        /// Which.
        client: &'a str,
    },
    /// A user is a member of a group from this place in the order of everything on.
    Join {
        /// Who.
        user: &'a str,
        /// Of what.
        group: &'a str,
        /// From where on.
        seq: Seq,
    },
    /// A user is a member no longer.
    Leave {
        /// Who.
        user: &'a str,
        /// Of what.
        group: &'a str,
        /// From where on.
        seq: Seq,
    },
    /// A user's record is gone: log, clients, memberships.
    Remove {
        /// Who.
        user: &'a str,
    },
    /// A user was here.
    Seen {
        /// Who.
        user: &'a str,
        /// When.
        at: Stamp,
    },
    /// The last change of every batch: how far the server's own numbers are.
    Server(ServerState),
}

/// The server's own numbers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ServerState {
    /// The newest seq that was issued.
    pub counter: Seq,
    /// The highest seq that a removed record knew of.
    pub floor: Seq,
    /// The newest moment that was written: time never goes behind it.
    pub stamp: Stamp,
}

/// What a store keeps about one user.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StoredRecord {
    /// The newest seq the log discarded.
    pub dropped: Seq,
    /// Up to where some device acknowledged.
    pub acked: Seq,
    /// When the user was last here.
    pub seen: Stamp,
    /// The log, oldest first. Entries that are in several logs should be shared.
    pub entries: Vec<Entry>,
    /// What was decided of each client's frames, and when the client was last here.
    pub clients: Vec<(Rc<str>, Numbers, Stamp)>,
    /// The groups the user is a member of.
    pub groups: Vec<Rc<str>>,
}

/// What a store keeps about a request of a backend.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredAnswer {
    /// When it was answered.
    pub at: Stamp,
    /// SHA-256 of the request's body.
    pub digest: [u8; 32],
    /// The status code of the answer.
    pub status: u16,
    /// The answer's body.
    pub body: Rc<str>,
}

/// What a store answers when it is asked what it has: at the start about everybody, after a
/// failure about those who are named in [`Store::read_back`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Stored {
    /// The server's own numbers.
    pub server: ServerState,
    /// The users, each with a record, or `None` for one who has none.
    pub users: Vec<(Rc<str>, Option<StoredRecord>)>,
    /// The answers to requests of backends, by what the requests are known by: at the start only,
    /// for nobody asks about single ones.
    pub answers: Vec<(Rc<str>, StoredAnswer)>,
}

/// Whether a batch is committed already.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub enum Handed {
    /// It is.
    Committed,
    /// The store says later what became of it.
    Pending,
}

/// Where the log is kept.
///
/// What became of a batch is said by [`Store::poll`], in the order of the batches. After a failure
/// the store throws away whatever it has been handed until [`Store::read_back`] asks it what it
/// has.
pub trait Store: fmt::Debug {
    /// Notes a change for the batch that is being collected.
    fn note(&mut self, change: Change<'_>);

    /// Hands over what was noted.
    fn commit(&mut self, number: BatchNumber) -> Handed;

    /// Asks what is kept about these users; what was noted and not handed over is void. The answer
    /// is [`Outcome::Restored`].
    fn read_back(&mut self, users: &[Rc<str>]);

    /// The next thing the store has to say, without waiting; `None` for nothing now. Whoever opened
    /// the store sees to it that the sessions are asked again when there is more.
    fn poll(&mut self) -> Option<Outcome> {
        None
    }
}

impl Store for Box<dyn Store> {
    fn note(&mut self, change: Change<'_>) {
        (**self).note(change);
    }

    fn commit(&mut self, number: BatchNumber) -> Handed {
        (**self).commit(number)
    }

    fn read_back(&mut self, users: &[Rc<str>]) {
        (**self).read_back(users);
    }

    fn poll(&mut self) -> Option<Outcome> {
        (**self).poll()
    }
}

/// What a store says when it is asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// All batches up to this one are committed.
    Committed(BatchNumber),
    /// A batch failed, or is in doubt, and with it all that were handed over since.
    Failed,
    /// What is kept about those [`Store::read_back`] named.
    Restored(Stored),
}

/// No store: everything is in memory alone, and committed when it is handed over.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Memory;

impl Store for Memory {
    fn note(&mut self, _change: Change<'_>) {}

    fn commit(&mut self, _number: BatchNumber) -> Handed {
        Handed::Committed
    }

    fn read_back(&mut self, _users: &[Rc<str>]) {
        // Nothing that is handed over here fails, so nobody asks.
    }
}
