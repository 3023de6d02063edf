//! Pending: what some users have, with what is in the journal about them.
//!
//! ```text
//!   tables    alice: 57, 59              found
//!   journal   17  Append alice 60        Found { 57, 59, 60 }
//!             18  Discard alice 57       Found { 59, 60 }
//! ```
//!
//! After a failure it has to be said what is kept while the disk may be full. This needs no room
//! on it, as putting the journal into the tables would.
//!
//! This module does not know who asks.

use std::collections::HashMap;

use foldhash::quality::RandomState;
use redb::ReadTransaction;

use super::Raw;
use super::journal::{self, unreadable};
use super::op::{Op, Ops};
use super::read::{Found, Kept};
use super::row::UserRow;
use crate::relay::log::{Seq, ServerState};

/// What some users have: `None` for one without a record.
#[derive(Debug)]
pub(super) struct Pending {
    pub server: ServerState,
    pub users: HashMap<String, Option<Found<Raw>>, RandomState>,
    /// The entry that came last, which several may get.
    last: Option<Raw>,
}

impl Pending {
    /// What the tables say.
    pub fn new(server: ServerState) -> Pending {
        Pending { server, users: HashMap::default(), last: None }
    }

    /// Adds what the journal says.
    pub fn read(&mut self, txn: &ReadTransaction) -> Result<(), redb::Error> {
        journal::each(txn, |number, bytes| {
            for op in Ops::of(bytes) {
                let done = op.ok().and_then(|op| self.apply(op));
                done.ok_or_else(|| unreadable(number))?;
            }
            Ok(())
        })
    }

    /// Carries out a change as the tables do; `None` if there is an entry in it that is none.
    fn apply(&mut self, op: Op<'_>) -> Option<()> {
        let user = match op {
            Op::Server(server) => {
                self.server = server;
                return Some(());
            }
            // Answers are asked for at the start only.
            Op::Answer { .. } | Op::ForgetAnswer { .. } => return Some(()),
            Op::Acknowledge { user, .. }
            | Op::Append { user, .. }
            | Op::Client { user, .. }
            | Op::Create { user, .. }
            | Op::Discard { user, .. }
            | Op::ForgetClient { user, .. }
            | Op::Join { user, .. }
            | Op::Leave { user, .. }
            | Op::Remove { user }
            | Op::Seen { user, .. } => user,
        };
        let Some(record) = self.users.get_mut(user) else { return Some(()) };
        match (op, record) {
            (Op::Create { dropped, .. }, record) => *record = Some(Found::empty(dropped)),
            (Op::Remove { .. }, record) => *record = None,
            (Op::Append { seq, entry, .. }, Some(found)) => {
                if self.last.as_ref().is_none_or(|last| last.seq != seq) {
                    let (raw, _) = Raw::read(entry).filter(|(_, head)| head.seq == seq)?;
                    self.last = Some(raw);
                }
                if let Err(at) = found.entries.binary_search_by_key(&seq, |entry| entry.seq) {
                    found.entries.splice(at..at, self.last.clone());
                }
            }
            (op, Some(found)) => found.change(op),
            (_, None) => {}
        }
        Some(())
    }
}

impl Found<Raw> {
    fn empty(dropped: Seq) -> Found<Raw> {
        let row = UserRow { dropped, ..UserRow::default() };
        Found { row, entries: Vec::new(), clients: Vec::new(), groups: Vec::new() }
    }

    /// Everything is in its order, as it is in the tables.
    fn change(&mut self, op: Op<'_>) {
        match op {
            Op::Acknowledge { acked, .. } => self.row.acked = acked,
            Op::Seen { at, .. } => self.row.seen = at,
            Op::Discard { dropped, .. } => {
                self.row.dropped = dropped;
                self.entries.retain(|entry| entry.seq > dropped);
            }
            Op::Client { client, row, .. } => match self.client(client) {
                Ok(at) => self.clients[at].1 = row,
                Err(at) => self.clients.insert(at, (client.to_owned(), row)),
            },
            Op::ForgetClient { client, .. } => {
                if let Ok(at) = self.client(client) {
                    self.clients.remove(at);
                }
            }
            Op::Join { group, .. } => {
                if let Err(at) = self.group(group) {
                    self.groups.insert(at, group.to_owned());
                }
            }
            Op::Leave { group, .. } => {
                if let Ok(at) = self.group(group) {
                    self.groups.remove(at);
                }
            }
            // Not about what a user has, or done already.
            Op::Answer { .. }
            | Op::Append { .. }
            | Op::Create { .. }
            | Op::ForgetAnswer { .. }
            | Op::Remove { .. }
            | Op::Server(_) => {}
        }
    }

    fn client(&self, client: &str) -> Result<usize, usize> {
        self.clients.binary_search_by(|(name, _)| (**name).cmp(client))
    }

    fn group(&self, group: &str) -> Result<usize, usize> {
        self.groups.binary_search_by(|name| (**name).cmp(group))
    }
}
