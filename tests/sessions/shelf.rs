//! A store whose commits wait until a test lets them through, or fail.
//!
//! ```text
//!   shelf.hold();   ... nothing is committed ...   shelf.go_on();  or  shelf.fail();
//! ```

use std::cell::RefCell;
use std::collections::{BTreeMap, VecDeque};
use std::rc::Rc;

use switchboard::relay::log::{
    BatchNumber, Change, Entry, Handed, Outcome, Seq, ServerState, Store, Stored, StoredRecord,
};

/// The test's end, and the server's.
#[derive(Clone, Debug, Default)]
pub struct Shelf(Rc<RefCell<Inner>>);

#[derive(Debug, Default)]
struct Inner {
    is_held: bool,
    server: ServerState,
    records: BTreeMap<Rc<str>, StoredRecord>,
    noted: Vec<Note>,
    handed: VecDeque<(BatchNumber, Vec<Note>)>,
    outcomes: VecDeque<Outcome>,
}

/// As much of a change as these tests have need of.
#[derive(Debug)]
enum Note {
    Append(Rc<str>, Entry),
    Create(Rc<str>, Seq),
    Join(Rc<str>, Rc<str>),
    Leave(Rc<str>, Rc<str>),
    Server(ServerState),
}

impl Shelf {
    /// Nothing is committed from now on.
    pub fn hold(&self) {
        self.0.borrow_mut().is_held = true;
    }

    /// Everything is, also what waits.
    pub fn go_on(&self) {
        let inner = &mut *self.0.borrow_mut();
        inner.is_held = false;
        while let Some((number, notes)) = inner.handed.pop_front() {
            inner.apply(notes);
            inner.outcomes.push_back(Outcome::Committed(number));
        }
    }

    /// What waits has failed; what comes is committed.
    pub fn fail(&self) {
        let inner = &mut *self.0.borrow_mut();
        inner.is_held = false;
        inner.handed.clear();
        inner.outcomes.push_back(Outcome::Failed);
    }
}

impl Inner {
    fn record(&mut self, user: Rc<str>) -> &mut StoredRecord {
        self.records.entry(user).or_default()
    }

    fn apply(&mut self, notes: Vec<Note>) {
        for note in notes {
            match note {
                Note::Append(user, entry) => self.record(user).entries.push(entry),
                Note::Create(user, dropped) => self.record(user).dropped = dropped,
                Note::Join(user, group) => self.record(user).groups.push(group),
                Note::Leave(user, group) => self.record(user).groups.retain(|own| *own != group),
                Note::Server(server) => self.server = server,
            }
        }
    }
}

impl Store for Shelf {
    fn note(&mut self, change: Change<'_>) {
        let note = match change {
            Change::Append { user, entry } => Note::Append(user.into(), entry.clone()),
            Change::Create { user, dropped } => Note::Create(user.into(), dropped),
            Change::Join { user, group, .. } => Note::Join(user.into(), group.into()),
            Change::Leave { user, group, .. } => Note::Leave(user.into(), group.into()),
            Change::Server(server) => Note::Server(server),
            _ => return,
        };
        self.0.borrow_mut().noted.push(note);
    }

    fn commit(&mut self, number: BatchNumber) -> Handed {
        let inner = &mut *self.0.borrow_mut();
        let notes = std::mem::take(&mut inner.noted);
        if inner.is_held {
            inner.handed.push_back((number, notes));
            return Handed::Pending;
        }
        inner.apply(notes);
        Handed::Committed
    }

    fn read_back(&mut self, users: &[Rc<str>]) {
        let inner = &mut *self.0.borrow_mut();
        inner.noted.clear();
        let users = users.iter().map(|user| (Rc::clone(user), inner.records.get(user).cloned()));
        let stored = Stored { server: inner.server, users: users.collect(), answers: vec![] };
        inner.outcomes.push_back(Outcome::Restored(stored));
    }

    fn poll(&mut self) -> Option<Outcome> {
        self.0.borrow_mut().outcomes.pop_front()
    }
}
