//! Users: whoever is online or has a record.
//!
//! ```text
//!   User "alice"
//!     devices   conn=7 "c8f3", conn=9 "d001"      while they are connected
//!     plain     1                                 connections of the plain dialect
//!     groups    room1, room2
//!     record    mailbox, clients "c8f3" "d001" "e777", last seen      if there is one
//! ```
//!
//! This module does not know how long a record lasts, nor what is committed.

use std::rc::Rc;

use super::mailbox::Mailbox;
use super::members::{GroupKey, Places};
use super::numbers::Numbers;
use super::store::BatchNumber;
use super::{Seq, Stamp};
use crate::hub::ConnId;

/// The name of a user in the book for as long as the user is online or has a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct UserKey(pub(super) usize);

/// Whoever is online or has a record.
#[derive(Debug)]
pub struct User {
    pub(super) name: Rc<str>,
    pub(super) record: Option<Record>,
    pub(super) devices: Vec<Device>,
    pub(super) plain: u32,
    pub(super) groups: Places,
    /// Those of the groups that end with the user's last connection.
    pub(super) passing: Vec<GroupKey>,
    /// The batch in which something about the user was last changed.
    pub(super) touched: BatchNumber,
}

/// One connection of the dialect switchboard.v1.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Device {
    /// The connection.
    pub conn: ConnId,
    /// What the client calls itself.
    pub client: Rc<str>,
}

/// What is kept about a user.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Record {
    pub(super) mailbox: Mailbox,
    pub(super) clients: Vec<Client>,
    pub(super) seen: Stamp,
}

/// What is kept about one client of a user.
// R2: as long as the user's log lives.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Client {
    pub(super) name: Rc<str>,
    pub(super) numbers: Numbers,
    pub(super) seen: Stamp,
}

/// Somebody about whom a batch changes something.
#[derive(Clone, Debug)]
pub struct Touched {
    /// Who, if still in the book.
    pub key: UserKey,
    /// Who, for good: a key may by now be somebody else's.
    pub name: Rc<str>,
}

impl Touched {
    /// The name alone.
    pub fn into_name(self) -> Rc<str> {
        self.name
    }
}

impl User {
    pub(super) fn new(name: Rc<str>) -> User {
        User {
            name,
            record: None,
            devices: Vec::new(),
            plain: 0,
            groups: Places::default(),
            passing: Vec::new(),
            touched: BatchNumber::default(),
        }
    }

    /// The user's name.
    pub fn name(&self) -> &Rc<str> {
        &self.name
    }

    /// What is kept about the user, if anything.
    pub fn record(&self) -> Option<&Record> {
        self.record.as_ref()
    }

    /// The user's connections that speak switchboard.v1.
    pub fn devices(&self) -> &[Device] {
        &self.devices
    }

    /// How many plain connections the user has.
    pub fn plain(&self) -> u32 {
        self.plain
    }

    /// How many connections the user has.
    pub fn online(&self) -> u32 {
        self.plain + u32::try_from(self.devices.len()).unwrap_or(u32::MAX - self.plain)
    }

    /// Whether the user has other clients than this one, connected or not.
    pub fn has_client_beside(&self, client: &str) -> bool {
        let mut kept = self.record.iter().flat_map(|record| &record.clients);
        kept.any(|other| &*other.name != client)
            || self.devices.iter().any(|device| &*device.client != client)
    }

    /// Nobody is here and nothing is kept.
    pub(super) fn is_idle(&self) -> bool {
        self.record.is_none() && self.devices.is_empty() && self.plain == 0
    }
}

impl Record {
    /// An empty record, whose log begins above `dropped`.
    pub(super) fn new(dropped: Seq, seen: Stamp) -> Record {
        Record { mailbox: Mailbox::new(dropped), clients: Vec::new(), seen }
    }

    /// When the user was last here, as far as that is written down.
    pub fn seen(&self) -> Stamp {
        self.seen
    }

    /// The log.
    pub fn mailbox(&self) -> &Mailbox {
        &self.mailbox
    }

    /// What is kept about a client.
    pub fn client(&self, name: &str) -> Option<&Client> {
        // At most 64, and nearly always one or two.
        self.clients.iter().find(|client| &*client.name == name)
    }

    /// All clients.
    pub fn clients(&self) -> &[Client] {
        &self.clients
    }
}

impl Client {
    /// What the client calls itself.
    pub fn name(&self) -> &Rc<str> {
        &self.name
    }

    /// What has been decided of its frames.
    pub fn numbers(&self) -> Numbers {
        self.numbers
    }
}
