//! The book: all users with their mailboxes, and the numbers that the server counts for itself.
//!
//! ```text
//!   append(alice, 58)            room?   entries, bytes, bytes in all
//!     | no                         acknowledged ones go silently                  (R9)
//!     v                            alice online, or a group message: the oldest goes
//!   Full: 507 to the sender        alice offline, and it was promised to her: no
//! ```
//!
//! Everything here changes memory at once and notes the change in the store. What is shown to
//! anybody is held back until it is committed, and that is not decided here.

use std::collections::HashMap;
use std::rc::Rc;

use foldhash::quality::RandomState;
use slab::Slab;

use super::entry::Entry;
use super::mailbox::Mailbox;
use super::members::Members;
use super::numbers::Numbers;
use super::store::{BatchNumber, Change, ServerState, Store, Stored, StoredAnswer, StoredRecord};
use super::user::{Client, Device, Record, Touched, User, UserKey};
use super::{LogLimits, Seq, Stamp};
use crate::hub::ConnId;
use crate::relay::v1::rules::{Rule, holds};

/// All users who are online or have a record.
#[derive(Debug)]
pub struct Book<S> {
    pub(super) store: S,
    pub(super) users: Slab<User>,
    by_name: HashMap<Rc<str>, UserKey, RandomState>,
    pub(super) members: Members,
    pub(super) limits: LogLimits,
    /// The newest seq that was issued.
    counter: Seq,
    /// Up to here everything is committed.
    committed: Seq,
    floor: Seq,
    bytes: u64,
    records: usize,
    /// How many memberships are kept, of all users together.
    pub(super) kept: usize,
    /// The batch that is being collected.
    open: BatchNumber,
    touched: Vec<Touched>,
    is_changed: bool,
    /// Where the next sweep goes on.
    sweep_at: usize,
}

/// Whether an entry may push out what a user who is away was promised.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Keep {
    /// It may: the oldest entry goes, and that is announced.
    Newest,
    /// It may not: the sender is told that there is no room.
    Promised,
}

/// What became of an entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub enum Appended {
    /// There is no room yet: what fills the log is not committed, so nobody can have read it.
    Crowded,
    /// There is no room that may be made.
    Full,
    /// It is in the log, or was and has been pushed out, which will be announced.
    Logged,
}

/// A batch that was handed over.
#[derive(Debug)]
pub struct Sealed {
    /// Its number.
    pub number: BatchNumber,
    /// The newest seq that was issued before it was handed over.
    pub counter: Seq,
    /// About whom it changes something.
    pub touched: Vec<Touched>,
}

impl<S: Store> Book<S> {
    /// A book as the store has kept it.
    pub fn new(store: S, limits: LogLimits, stored: Stored) -> Book<S> {
        let ServerState { counter, floor, .. } = stored.server;
        let mut book = Book {
            store,
            users: Slab::new(),
            by_name: HashMap::default(),
            members: Members::default(),
            limits,
            counter,
            committed: counter,
            floor,
            bytes: 0,
            records: 0,
            kept: 0,
            open: BatchNumber(1),
            touched: Vec::new(),
            is_changed: false,
            sweep_at: 0,
        };
        for (name, record) in stored.users {
            book.restore_user(name, record);
        }
        book
    }

    /// The user of this name, if online or with a record.
    pub fn find(&self, name: &str) -> Option<UserKey> {
        self.by_name.get(name).copied()
    }

    /// The user about whom a batch changed something, if still in the book.
    pub fn find_touched(&self, touched: &Touched) -> Option<UserKey> {
        let user = self.users.get(touched.key.0);
        let is_same = user.is_some_and(|user| Rc::ptr_eq(&user.name, &touched.name));
        if is_same { Some(touched.key) } else { self.find(&touched.name) }
    }

    /// A user.
    pub fn user(&self, key: UserKey) -> &User {
        &self.users[key.0]
    }

    /// All users.
    pub fn users(&self) -> impl Iterator<Item = (UserKey, &User)> {
        self.users.iter().map(|(key, user)| (UserKey(key), user))
    }

    /// Whether nobody is in it.
    pub fn is_empty(&self) -> bool {
        self.users.is_empty()
    }

    /// The groups.
    pub fn members(&self) -> &Members {
        &self.members
    }

    /// The store.
    pub fn store(&self) -> &S {
        &self.store
    }

    /// The store, to be spoken to.
    pub fn store_mut(&mut self) -> &mut S {
        &mut self.store
    }

    /// Up to here everything is committed: the highest number that may be shown.
    pub fn committed(&self) -> Seq {
        self.committed
    }

    /// The newest number that was issued.
    pub fn counter(&self) -> Seq {
        self.counter
    }

    /// What all logs cost together, in bytes.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// How many users have a record.
    pub fn records(&self) -> usize {
        self.records
    }

    /// How many memberships are kept, of all users together.
    pub fn kept(&self) -> usize {
        self.kept
    }

    /// The limits.
    pub fn limits(&self) -> &LogLimits {
        &self.limits
    }

    /// The next number. A number that is not used is a hole, which is normal.
    pub fn issue(&mut self) -> Seq {
        self.counter.0 += 1;
        self.is_changed = true;
        self.counter
    }

    /// The user of this name, who need not have been here before.
    pub fn enter(&mut self, name: &str) -> UserKey {
        if let Some(key) = self.find(name) {
            return key;
        }
        let name: Rc<str> = Rc::from(name);
        let key = UserKey(self.users.insert(User::new(Rc::clone(&name))));
        self.by_name.insert(name, key);
        key
    }

    /// Lets go of a user who is not here and of whom nothing is kept.
    pub fn forget_idle(&mut self, key: UserKey) {
        if !self.users[key.0].is_idle() {
            return;
        }
        self.leave_all(key);
        let user = self.users.remove(key.0);
        self.by_name.remove(&user.name);
    }

    /// A connection of the user speaks switchboard.v1.
    pub fn arrive(&mut self, key: UserKey, conn: ConnId, client: &Rc<str>) {
        let devices = &mut self.users[key.0].devices;
        reserve_one(devices);
        devices.push(Device { conn, client: Rc::clone(client) });
    }

    /// It is gone. The user stays; see [`Book::forget_idle`].
    pub fn depart(&mut self, key: UserKey, conn: ConnId, now: Stamp) {
        let user = &mut self.users[key.0];
        let Some(at) = user.devices.iter().position(|device| device.conn == conn) else { return };
        let device = user.devices.swap_remove(at);
        self.end_passing(key);
        let user = &mut self.users[key.0];
        let mut clients = user.record.iter_mut().flat_map(|record| &mut record.clients);
        if let Some(client) = clients.find(|kept| kept.name == device.client) {
            client.seen = client.seen.max(now);
        }
        self.see(key, now);
    }

    /// How many plain connections the user has now.
    pub fn set_plain(&mut self, key: UserKey, plain: u32, now: Stamp) {
        let before = std::mem::replace(&mut self.users[key.0].plain, plain);
        self.end_passing(key);
        if plain < before {
            self.see(key, now);
        }
    }

    /// The user was here until now.
    fn see(&mut self, key: UserKey, now: Stamp) {
        let user = &mut self.users[key.0];
        let Some(record) = &mut user.record else { return };
        record.seen = record.seen.max(now);
        let name = Rc::clone(&user.name);
        self.mark(key);
        self.store.note(Change::Seen { user: &name, at: now });
    }

    /// Sees to it that the user has a record; `false` if there are as many as there may be.
    pub fn open_record(&mut self, key: UserKey, now: Stamp) -> bool {
        if self.users[key.0].record.is_some() {
            return true;
        }
        if self.records >= self.limits.records_max {
            return false;
        }
        self.records += 1;
        self.mark(key);
        // R6: a user without a log has `dropped` = `floor`: what was in an earlier log is gone.
        let dropped = if holds(Rule::R6) { self.floor } else { Seq(0) };
        let user = &mut self.users[key.0];
        user.record = Some(Record::new(dropped, now));
        self.store.note(Change::Create { user: &user.name, dropped });
        self.store.note(Change::Seen { user: &user.name, at: now });
        true
    }

    /// Removes a user's record, with log, clients and memberships.
    pub fn remove_record(&mut self, key: UserKey) {
        self.leave_all(key);
        let Some(record) = self.users[key.0].record.take() else { return };
        self.mark(key);
        self.records -= 1;
        self.bytes -= record.mailbox.bytes();
        // R6: otherwise a device that comes back could not be told that it missed something.
        let newest = record.mailbox.newest();
        if newest > self.floor {
            self.floor = newest;
        }
        self.store.note(Change::Remove { user: &self.users[key.0].name });
    }

    /// Keeps what was decided of a client's frames; makes room for a new client by letting go of
    /// the one that is longest absent.
    pub fn keep_numbers(&mut self, key: UserKey, client: &Rc<str>, numbers: Numbers, now: Stamp) {
        self.mark(key);
        let user = &mut self.users[key.0];
        let Some(record) = &mut user.record else { return };
        let name = &user.name;
        self.store.note(Change::Client { user: name, client, numbers, seen: now });
        if let Some(kept) = record.clients.iter_mut().find(|kept| kept.name == *client) {
            kept.numbers = numbers;
            kept.seen = now;
            return;
        }
        let is_here = |kept: &Client| user.devices.iter().any(|here| here.client == kept.name);
        while record.clients.len() >= self.limits.clients_max {
            let away = record.clients.iter().enumerate().filter(|(_, kept)| !is_here(kept));
            let Some((at, _)) = away.min_by_key(|(_, kept)| kept.seen) else { break };
            let gone = record.clients.swap_remove(at);
            self.store.note(Change::ForgetClient { user: name, client: &gone.name });
        }
        reserve_one(&mut record.clients);
        record.clients.push(Client { name: Rc::clone(client), numbers, seen: now });
    }

    /// Keeps the answer to a request of a backend, which is looked for elsewhere.
    pub fn keep_answer(&mut self, request: &str, answer: &StoredAnswer) {
        self.is_changed = true;
        self.store.note(Change::Answer { request, answer });
    }

    /// Keeps it no longer.
    pub fn forget_answer(&mut self, request: &str) {
        self.is_changed = true;
        self.store.note(Change::ForgetAnswer { request });
    }

    /// Appends an entry to a user's log, after making room by the rules.
    ///
    /// # Panics
    ///
    /// If the user has no record: the caller's bug.
    pub fn append(&mut self, key: UserKey, entry: &Entry, keep: Keep) -> Appended {
        self.mark(key);
        let room = self.make_room(key, entry.cost(), keep);
        let user = &mut self.users[key.0];
        let record = user.record.as_mut().expect("invariant: only users with a record have a log");
        if room == Appended::Logged {
            self.bytes += entry.cost();
            record.mailbox.push(entry.clone());
            self.store.note(Change::Append { user: &user.name, entry });
        } else if keep == Keep::Newest {
            record.mailbox.miss(entry.seq());
            self.store.note(Change::Discard { user: &user.name, dropped: entry.seq() });
        } else {
            return room;
        }
        Appended::Logged
    }

    // R9: entries up to the highest `ack` may make room silently; entries above it of a user who
    // is away may not, unless a group message comes.
    fn make_room(&mut self, key: UserKey, cost: u64, keep: Keep) -> Appended {
        let user = &mut self.users[key.0];
        let is_here = user.online() > 0;
        let may_lose = keep == Keep::Newest || is_here;
        let Some(record) = &mut user.record else { return Appended::Full };
        let mailbox = &mut record.mailbox;
        let before = mailbox.dropped();
        let limits = &self.limits;
        // The last eighth is for those who are here: full mailboxes of users who never come must
        // not keep the others from talking.
        let total_max = limits.total_bytes_max;
        let total_max = if is_here { total_max } else { total_max / 8 * 7 };
        let room = loop {
            // A log has room for one entry however long it is, or the longest message would never
            // be taken.
            if mailbox.len() < limits.entries_max
                && (mailbox.is_empty() || mailbox.bytes() + cost <= limits.bytes_max)
                && self.bytes + cost <= total_max
            {
                break Appended::Logged;
            }
            let Some(oldest) = mailbox.oldest() else { break Appended::Full };
            if oldest.seq() > mailbox.acked() && !may_lose {
                break Appended::Full;
            }
            if oldest.seq() > self.committed && keep == Keep::Promised {
                break Appended::Crowded;
            }
            self.bytes -= oldest.cost();
            mailbox.discard();
        };
        let dropped = mailbox.dropped();
        if dropped > before {
            self.store.note(Change::Discard { user: &user.name, dropped });
        }
        room
    }

    /// Some device has processed everything up to `seq`. Returns what that newly acknowledges: all
    /// above the first and up to the second.
    pub fn acknowledge(&mut self, key: UserKey, client: &str, seq: Seq) -> Option<(Seq, Seq)> {
        let committed = self.committed;
        let user = &mut self.users[key.0];
        let mailbox = &mut user.record.as_mut()?.mailbox;
        let from = mailbox.acked();
        let mut acked = seq.max(from);
        // R11: what the client itself sent is not delivered to it, so it cannot acknowledge it; it
        // has it nevertheless. Without this, copies would fill the log of a user who only sends.
        while let Some(next) = mailbox.next(acked)
            && next.seq() <= committed
            && next.is_own(&user.name, client)
        {
            acked = next.seq();
        }
        if !mailbox.acknowledge(acked) {
            return None;
        }
        let name = Rc::clone(&user.name);
        self.mark(key);
        self.store.note(Change::Acknowledge { user: &name, acked });
        Some((from, acked))
    }

    /// Looks at up to `budget` users and lets go of what is too old: entries, and the records of
    /// users who have not been here. Where memory is nearly full, what is acknowledged goes too.
    pub fn sweep(&mut self, now: Stamp, budget: usize) {
        let places = self.users.capacity();
        for _ in 0..budget.min(places) {
            self.sweep_at = (self.sweep_at + 1) % places;
            let key = UserKey(self.sweep_at);
            if self.users.get(key.0).is_some_and(|user| user.record.is_some()) {
                self.expire(key, now);
            }
        }
    }

    fn expire(&mut self, key: UserKey, now: Stamp) {
        let oldest = now.before(self.limits.age_max_ms);
        let is_tight = self.bytes > self.limits.total_bytes_max / 8 * 7;
        let user = &mut self.users[key.0];
        let is_here = user.online() > 0;
        let Some(record) = &mut user.record else { return };
        let mailbox = &mut record.mailbox;
        let before = mailbox.dropped();
        while mailbox.has_older_than(oldest)
            || (is_tight && mailbox.oldest().is_some_and(|entry| entry.seq() <= mailbox.acked()))
        {
            self.bytes -= mailbox.discard().map_or(0, |entry| entry.cost());
        }
        let (dropped, is_empty) = (mailbox.dropped(), mailbox.is_empty());
        let is_over = is_empty && record.seen < oldest && !is_here;
        // Whoever is here for as long as that has to be found by the next server, too, if this one
        // does not live to see the departure.
        let is_due = is_here && record.seen < now.before(self.limits.age_max_ms / 8);
        if is_due {
            record.seen = now;
        }
        let name = Rc::clone(&user.name);
        if is_due {
            self.mark(key);
            self.store.note(Change::Seen { user: &name, at: now });
        }
        if dropped > before {
            self.mark(key);
            self.store.note(Change::Discard { user: &name, dropped });
        }
        if is_over {
            self.remove_record(key);
            self.forget_idle(key);
        }
    }

    /// Ends the batch that is being collected, if something was noted.
    pub fn seal(&mut self, now: Stamp) -> Option<Sealed> {
        if !std::mem::take(&mut self.is_changed) {
            return None;
        }
        let (number, counter) = (self.open, self.counter);
        self.open.0 += 1;
        let server = ServerState { counter, floor: self.floor, stamp: now };
        self.store.note(Change::Server(server));
        Some(Sealed { number, counter, touched: std::mem::take(&mut self.touched) })
    }

    /// Takes back the list of a batch that is over, for the next one.
    pub fn recycle(&mut self, mut touched: Vec<Touched>) {
        touched.clear();
        if touched.capacity() > self.touched.capacity() && self.touched.is_empty() {
            self.touched = touched;
        }
    }

    /// Everything up to `seq` is committed.
    pub fn commit(&mut self, seq: Seq) {
        self.committed = self.committed.max(seq);
    }

    /// The batch that is being collected will never be handed over. Returns whom it touched.
    pub fn abandon(&mut self) -> Vec<Touched> {
        self.is_changed = false;
        // Whoever is touched from now on is touched in another batch.
        self.open.0 += 1;
        std::mem::take(&mut self.touched)
    }

    /// Takes what the store has about the users whose pending changes are void.
    pub fn restore(&mut self, stored: Stored) {
        // No seq that was issued is issued again: the counter stays. But what the store does not
        // know has never been shown, and must not be until it does.
        self.counter = self.counter.max(stored.server.counter);
        self.committed = self.committed.max(stored.server.counter);
        self.floor = stored.server.floor;
        for (name, record) in stored.users {
            self.restore_user(name, record);
        }
    }

    fn restore_user(&mut self, name: Rc<str>, stored: Option<StoredRecord>) {
        let key = self.enter(&name);
        let passing = &self.users[key.0].passing;
        let passing: Vec<_> =
            passing.iter().map(|group| self.members.name(*group).clone()).collect();
        self.leave_all(key);
        if let Some(void) = self.users[key.0].record.take() {
            self.records -= 1;
            self.bytes -= void.mailbox.bytes();
        }
        let groups = stored.iter().flat_map(|stored| &stored.groups);
        for group in groups {
            let (group, place) = self.members.add(key, group);
            self.users[key.0].groups.insert(group, place);
        }
        for group in &passing {
            self.enroll(key, group);
        }
        let Some(stored) = stored else { return self.forget_idle(key) };
        self.kept += stored.groups.len();
        let mailbox = Mailbox::restored(stored.dropped, stored.acked, stored.entries);
        let clients = stored.clients.into_iter();
        let clients = clients.map(|(name, numbers, seen)| Client { name, numbers, seen });
        self.records += 1;
        self.bytes += mailbox.bytes();
        let record = Record { mailbox, clients: clients.collect(), seen: stored.seen };
        self.users[key.0].record = Some(record);
    }

    /// Something about a user changes in the batch that is being collected.
    pub(super) fn mark(&mut self, key: UserKey) {
        self.is_changed = true;
        let user = &mut self.users[key.0];
        if user.touched != self.open {
            user.touched = self.open;
            self.touched.push(Touched { key, name: Rc::clone(&user.name) });
        }
    }
}

/// Room for one, where there is nothing: most users have one device, and a vector begins with four.
fn reserve_one<T>(list: &mut Vec<T>) {
    if list.is_empty() {
        list.reserve_exact(1);
    }
}
