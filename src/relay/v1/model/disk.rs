//! A disk that a test can fail, crash, copy and restore.
//!
//! ```text
//!   noted -> [batch 7][batch 8] -> tables          complete, fail, crash in between
//!            handed over           durable
//! ```
//!
//! This module does not know the rules: it applies what it is told.

use std::cell::RefCell;
use std::collections::{BTreeMap, VecDeque};
use std::rc::Rc;

use crate::relay::log::{
    BatchNumber, Change, Entry, Handed, Numbers, Seq, ServerState, Stamp, Store, Stored,
    StoredAnswer, StoredRecord,
};

/// What is durable.
#[derive(Clone, Debug, Default)]
pub struct Tables {
    pub server: ServerState,
    pub users: BTreeMap<Rc<str>, StoredRecord>,
    pub answers: BTreeMap<Rc<str>, StoredAnswer>,
}

/// A change that owns what it says.
#[derive(Clone, Debug)]
pub enum Note {
    Acknowledge(Rc<str>, Seq),
    Answer(Rc<str>, StoredAnswer),
    Append(Rc<str>, Entry),
    Client(Rc<str>, Rc<str>, Numbers, Stamp),
    Create(Rc<str>, Seq),
    Discard(Rc<str>, Seq),
    ForgetAnswer(Rc<str>),
    ForgetClient(Rc<str>, Rc<str>),
    Join(Rc<str>, Rc<str>),
    Leave(Rc<str>, Rc<str>),
    Remove(Rc<str>),
    Seen(Rc<str>, Stamp),
    Server(ServerState),
}

/// Whether commits take time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Durable,
    Volatile,
}

#[derive(Debug)]
pub struct DiskState {
    pub kind: Kind,
    pub tables: Tables,
    /// What has become durable and was not looked at.
    pub applied: Vec<Note>,
    pub handed: VecDeque<(BatchNumber, Vec<Note>)>,
    pub asked: Option<Vec<Rc<str>>>,
    noted: Vec<Note>,
}

/// The server's end of the disk.
#[derive(Clone, Debug)]
pub struct Disk(pub Rc<RefCell<DiskState>>);

impl Disk {
    pub fn new(kind: Kind) -> Disk {
        Disk(Rc::new(RefCell::new(DiskState {
            kind,
            tables: Tables::default(),
            applied: Vec::new(),
            handed: VecDeque::new(),
            asked: None,
            noted: Vec::new(),
        })))
    }
}

impl DiskState {
    /// The first of the batches becomes durable.
    pub fn apply_first(&mut self) -> Option<BatchNumber> {
        let (number, notes) = self.handed.pop_front()?;
        for note in notes {
            self.tables.apply(&note);
            self.applied.push(note);
        }
        Some(number)
    }

    /// Everything that is not durable is gone.
    pub fn forget_pending(&mut self) {
        self.handed.clear();
        self.noted.clear();
        self.asked = None;
    }

    /// Everything.
    pub fn stored(&self) -> Stored {
        let users = self.tables.users.iter();
        let users = users.map(|(name, record)| (Rc::clone(name), Some(record.clone())));
        let answers = self.tables.answers.iter();
        let answers = answers.map(|(request, answer)| (Rc::clone(request), answer.clone()));
        let answers = answers.collect();
        Stored { server: self.tables.server, users: users.collect(), answers }
    }

    /// What was asked for, if something was.
    pub fn answer(&mut self) -> Option<Stored> {
        let names = self.asked.take()?;
        let users = names.into_iter().map(|name| {
            let record = self.tables.users.get(&name).cloned();
            (name, record)
        });
        let answers = Vec::new();
        Some(Stored { server: self.tables.server, users: users.collect(), answers })
    }
}

impl Store for Disk {
    fn note(&mut self, change: Change<'_>) {
        self.0.borrow_mut().noted.push(Note::of(change));
    }

    fn commit(&mut self, number: BatchNumber) -> Handed {
        let mut disk = self.0.borrow_mut();
        let notes = std::mem::take(&mut disk.noted);
        disk.handed.push_back((number, notes));
        match disk.kind {
            Kind::Durable => Handed::Pending,
            Kind::Volatile => {
                disk.apply_first();
                Handed::Committed
            }
        }
    }

    fn read_back(&mut self, users: &[Rc<str>]) {
        let mut disk = self.0.borrow_mut();
        disk.noted.clear();
        disk.handed.clear();
        disk.asked = Some(users.to_vec());
    }
}

impl Tables {
    fn apply(&mut self, note: &Note) {
        if let Note::Create(user, dropped) = note {
            let record = StoredRecord { dropped: *dropped, ..StoredRecord::default() };
            self.users.insert(Rc::clone(user), record);
        }
        let user = match note {
            Note::Server(server) => {
                self.server = *server;
                return;
            }
            Note::Remove(user) => {
                self.users.remove(user);
                return;
            }
            Note::Answer(request, answer) => {
                self.answers.insert(Rc::clone(request), answer.clone());
                return;
            }
            Note::ForgetAnswer(request) => {
                self.answers.remove(request);
                return;
            }
            Note::Acknowledge(user, _)
            | Note::Append(user, _)
            | Note::Client(user, ..)
            | Note::Create(user, _)
            | Note::Discard(user, _)
            | Note::ForgetClient(user, _)
            | Note::Join(user, _)
            | Note::Leave(user, _)
            | Note::Seen(user, _) => user,
        };
        if let Some(record) = self.users.get_mut(user) {
            record.apply(note);
        }
    }
}

impl StoredRecord {
    fn apply(&mut self, note: &Note) {
        match note {
            Note::Acknowledge(_, acked) => self.acked = *acked,
            Note::Append(_, entry) => self.entries.push(entry.clone()),
            Note::Client(_, client, numbers, seen) => {
                self.clients.retain(|(name, ..)| name != client);
                self.clients.push((Rc::clone(client), *numbers, *seen));
            }
            Note::Discard(_, dropped) => {
                self.dropped = *dropped;
                self.entries.retain(|entry| entry.seq() > *dropped);
            }
            Note::ForgetClient(_, client) => self.clients.retain(|(name, ..)| name != client),
            Note::Join(_, group) => self.groups.push(Rc::clone(group)),
            Note::Leave(_, group) => self.groups.retain(|name| name != group),
            Note::Seen(_, at) => self.seen = *at,
            Note::Answer(..)
            | Note::Create(..)
            | Note::ForgetAnswer(_)
            | Note::Remove(_)
            | Note::Server(_) => {}
        }
    }
}

impl Note {
    fn of(change: Change<'_>) -> Note {
        let own = |name: &str| Rc::from(name);
        match change {
            Change::Acknowledge { user, acked } => Note::Acknowledge(own(user), acked),
            Change::Answer { request, answer } => Note::Answer(own(request), answer.clone()),
            Change::Append { user, entry } => Note::Append(own(user), entry.clone()),
            Change::Client { user, client, numbers, seen } => {
                Note::Client(own(user), own(client), numbers, seen)
            }
            Change::Create { user, dropped } => Note::Create(own(user), dropped),
            Change::Discard { user, dropped } => Note::Discard(own(user), dropped),
            Change::ForgetAnswer { request } => Note::ForgetAnswer(own(request)),
            Change::ForgetClient { user, client } => Note::ForgetClient(own(user), own(client)),
            Change::Join { user, group, .. } => Note::Join(own(user), own(group)),
            Change::Leave { user, group, .. } => Note::Leave(own(user), own(group)),
            Change::Remove { user } => Note::Remove(own(user)),
            Change::Seen { user, at } => Note::Seen(own(user), at),
            Change::Server(server) => Note::Server(server),
        }
    }
}
