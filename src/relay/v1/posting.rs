//! Posting: into whose logs a message goes, and to whom at once.
//!
//! ```text
//!   bob (c8f3) -> alice    alice has a record     her log    her devices, plain ones too
//!                          she has none           -          whoever is online, else 404
//!                          ttl 0                  -          the same
//!              copy to bob another client of his  his log    his other devices
//!   bob -> room1           every member with a record: the same entry
//! ```
//!
//! Whoever sent it, the receiver decides whether a message is logged. Nothing leaves from here:
//! what goes to connections is held back with the batch, or read from the log behind it.
//!
//! This module does not know who may send what.

use std::rc::Rc;

use super::commit::Release;
use super::effect::{Effect, Posted};
use super::frame::{Destination, Life, Outgoing};
use super::numbering::{Outcome, Ruling, Sight};
use super::reply::Refused;
use super::{Health, Sessions};
use crate::hub::ConnId;
use crate::relay::log::{
    Appended, Draft, Echo, Entry, Keep, Receipt, Seq, Store, StoredAnswer, To, UserKey,
};
use crate::timer::Millis;

/// A plain connection that sends something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PlainSender<'a> {
    /// The connection, which does not get its own messages.
    pub conn: ConnId,
    /// Who the message is from.
    pub user: &'a str,
    /// Whether the devices of that user get it as well.
    pub copies: Copies,
}

/// A question of the push API.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Push<'a> {
    /// Who the message is from.
    pub sender: &'a str,
    /// Comes back with the answer.
    pub token: u64,
}

/// Who a message is from, as far as it matters where it goes.
struct Author<'a> {
    /// Who that is in the book, if anybody.
    key: Option<UserKey>,
    name: &'a str,
    client: &'a str,
    id: u64,
    /// The connection it came from.
    conn: Option<ConnId>,
    copies: Copies,
}

/// Whether the sender's own devices get what the sender sends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Copies {
    /// They do not: somebody else sends in the sender's name.
    None,
    /// All others do, but the one that sent it.
    Others,
}

impl<S: Store> Sessions<S> {
    pub(super) fn message(
        &mut self,
        from: ConnId,
        outgoing: &Outgoing<'_>,
        ruling: Ruling,
        now: Millis,
    ) {
        let Some(sight) = self.gate(from, outgoing.id, ruling, now) else { return };
        let Some(conn) = self.conns.get(from) else { return };
        let (name, client) = (Rc::clone(&conn.name), Rc::clone(&conn.client));
        let author = Author {
            key: Some(conn.user),
            name: &name,
            client: &client,
            id: outgoing.id.unwrap_or(0),
            conn: Some(from),
            copies: Copies::Others,
        };
        let outcome = match &outgoing.sender {
            Some(sender) if **sender != *name => Err(Refused::SENDER_MISMATCH),
            _ => self.post(&author, outgoing, sight, now),
        };
        let outcome = outcome.map(|posted| Outcome::Posted(posted, sight));
        self.settle(from, outgoing.id, outcome, now);
    }

    /// Takes a message from a plain connection; says at once if it is refused, and by
    /// [`Effect::Unsent`] if it was not committed in the end.
    ///
    /// # Errors
    ///
    /// Why it is refused.
    pub fn post_plain(
        &mut self,
        sender: PlainSender<'_>,
        outgoing: &Outgoing<'_>,
        now: Millis,
    ) -> Result<Posted, Refused> {
        let author = Author {
            key: self.book.find(sender.user),
            name: sender.user,
            client: "",
            id: 0,
            conn: Some(sender.conn),
            copies: sender.copies,
        };
        let posted = self.post_if_up(&author, outgoing, now)?;
        self.open.push(Release::PlainUnsent(sender.conn));
        Ok(posted)
    }

    /// Answers the push API, by [`Effect::Pushed`] without a `seq`, when everything that has
    /// happened until now is committed.
    pub fn confirm(&mut self, token: u64) {
        self.open.push(Release::Pushed { token, posted: Posted { seq: None, online: 0 } });
    }

    /// Takes a message from the push API; the answer is an [`Effect::Pushed`]. Returns what that
    /// will say unless the commit fails: for [`keep_answer`](Sessions::keep_answer).
    ///
    /// # Errors
    ///
    /// Why it is refused, which the effect says, too.
    pub fn push(
        &mut self,
        push: Push<'_>,
        outgoing: &Outgoing<'_>,
        now: Millis,
    ) -> Result<Posted, Refused> {
        let author = Author {
            key: self.book.find(push.sender),
            name: push.sender,
            client: "",
            id: 0,
            conn: None,
            copies: Copies::None,
        };
        let outcome = self.post_if_up(&author, outgoing, now);
        match outcome {
            Ok(posted) => self.open.push(Release::Pushed { token: push.token, posted }),
            Err(_) => self.effects.push(Effect::Pushed { token: push.token, outcome }),
        }
        outcome
    }

    /// Has the store keep the answer to a request of the push API, in the batch that is being
    /// collected: with what it answers, if that was taken just now.
    pub fn keep_answer(&mut self, request: &str, answer: &StoredAnswer) {
        self.book.keep_answer(request, answer);
        self.open.push(Release::Noted);
    }

    /// Has the store forget it, sooner or later.
    pub fn forget_answer(&mut self, request: &str) {
        self.book.forget_answer(request);
    }

    fn post_if_up(
        &mut self,
        author: &Author<'_>,
        outgoing: &Outgoing<'_>,
        now: Millis,
    ) -> Result<Posted, Refused> {
        self.check_up()?;
        self.post(author, outgoing, Sight::Hidden, now)
    }

    /// Whether anything is taken now that is to be committed.
    ///
    /// # Errors
    ///
    /// Why it is not.
    pub fn check_up(&self) -> Result<(), Refused> {
        match self.health {
            Health::Up if !self.is_held_up() => Ok(()),
            Health::Up | Health::Down => Err(Refused::STORE),
            Health::Draining => Err(Refused::DRAINING),
        }
    }

    fn post(
        &mut self,
        author: &Author<'_>,
        outgoing: &Outgoing<'_>,
        sight: Sight,
        now: Millis,
    ) -> Result<Posted, Refused> {
        match &outgoing.to {
            Destination::User(receiver) => self.direct(author, receiver, outgoing, sight, now),
            Destination::Everyone => {
                self.everybody.extend(self.book.users().map(|(key, _)| key));
                Ok(self.fan_out(author, "*", outgoing, now))
            }
            Destination::Group(group) => {
                let is_member = author.key.is_some_and(|key| self.book.is_member(key, group));
                // A backend need not be a member: whoever has the key may write to every group.
                // About who speaks plain the driver has decided.
                if !is_member && !author.client.is_empty() {
                    return Err(Refused::NOT_A_MEMBER);
                }
                if let Some(key) = self.book.members().find(group) {
                    self.everybody.extend(self.book.members().members(key));
                }
                Ok(self.fan_out(author, group, outgoing, now))
            }
        }
    }

    fn direct(
        &mut self,
        author: &Author<'_>,
        receiver: &str,
        outgoing: &Outgoing<'_>,
        sight: Sight,
        now: Millis,
    ) -> Result<Posted, Refused> {
        let key = outgoing.receiver.or_else(|| self.book.find(receiver));
        let key = key.ok_or(Refused::RECEIVER_OFFLINE)?;
        let user = self.book.user(key);
        let is_itself = receiver == author.name;
        let online = user.online() - u32::from(is_itself && author.conn.is_some());
        let is_logged = user.record().is_some() && outgoing.life == Life::Logged;
        let own_echo = u32::from(is_itself && outgoing.echo == Echo::Yes);
        if !is_logged && online + own_echo == 0 {
            return Err(Refused::RECEIVER_OFFLINE);
        }
        let seq = is_logged.then(|| self.book.issue());
        let receipt = if sight == Sight::Shown { outgoing.receipt } else { Receipt::Unasked };
        let entry = self.entry(author, To::User(receiver), outgoing, receipt, seq, now);
        if is_logged {
            match self.book.append(key, &entry, Keep::Promised) {
                Appended::Crowded => return Err(Refused::RECEIVER_CONGESTED),
                Appended::Full => return Err(Refused::MAILBOX_FULL),
                Appended::Logged => {
                    self.tally.open += 1;
                    self.plain(key, author, &entry);
                }
            }
        } else {
            self.live(key, author, &entry);
        }
        if !is_itself && author.copies == Copies::Others {
            self.copy(author, outgoing, &entry);
        }
        Ok(Posted { seq, online })
    }

    // R11: the sender's other clients get a copy, logged only if there is another client.
    fn copy(&mut self, author: &Author<'_>, outgoing: &Outgoing<'_>, entry: &Entry) {
        let Some(key) = author.key else { return };
        let sender = self.book.user(key);
        if !sender.has_client_beside(author.client) && outgoing.echo == Echo::No {
            return;
        }
        if sender.record().is_some() && entry.seq() != Seq(0) {
            // A copy promises nothing to anybody: the oldest goes, and is announced.
            let _ = self.book.append(key, entry, Keep::Newest);
        } else {
            self.live_to_devices(key, author, entry);
        }
    }

    /// To everybody who is listed, which ends the list.
    fn fan_out(
        &mut self,
        author: &Author<'_>,
        group: &str,
        outgoing: &Outgoing<'_>,
        now: Millis,
    ) -> Posted {
        let everybody = std::mem::take(&mut self.everybody);
        let to = To::Group(group);
        let mut posted = Posted { seq: None, online: 0 };
        // Made when first needed: nearly always exactly one of the two is.
        let (mut logged, mut unlogged) = (None, None);
        for &key in &everybody {
            let user = self.book.user(key);
            let is_sender = Some(key) == author.key;
            let own = user.devices().iter().filter(|device| Some(device.conn) == author.conn);
            posted.online += narrow(user.devices().len() - own.count());
            if user.record().is_none() || outgoing.life == Life::Live {
                let entry = unlogged.get_or_insert_with(|| {
                    self.entry(author, to, outgoing, Receipt::Unasked, None, now)
                });
                self.live_to_devices(key, author, entry);
                continue;
            }
            // R11: for a sender without another client there is nobody to read it.
            if is_sender
                && !author.client.is_empty()
                && outgoing.echo == Echo::No
                && !user.has_client_beside(author.client)
            {
                continue;
            }
            let entry = self.logged_entry(author, to, outgoing, &mut logged, now);
            // R10: group messages drop the oldest, which is announced.
            let _ = self.book.append(key, &entry, Keep::Newest);
        }
        self.fanned_out += everybody.len() as u64;
        if outgoing.beside > 0 {
            posted.online += outgoing.beside;
            let entry = logged
                .clone()
                .or(unlogged)
                .unwrap_or_else(|| self.entry(author, to, outgoing, Receipt::Unasked, None, now));
            self.open.push(Release::PlainGroup { except: author.conn, entry });
        }
        posted.seq = logged.map(|entry: Entry| entry.seq());
        self.tally.open += u64::from(posted.seq.is_some());
        self.everybody = everybody;
        self.everybody.clear();
        posted
    }

    fn logged_entry(
        &mut self,
        author: &Author<'_>,
        to: To<'_>,
        outgoing: &Outgoing<'_>,
        logged: &mut Option<Entry>,
        now: Millis,
    ) -> Entry {
        if let Some(entry) = logged {
            return entry.clone();
        }
        let seq = Some(self.book.issue());
        let entry = self.entry(author, to, outgoing, Receipt::Unasked, seq, now);
        logged.insert(entry).clone()
    }

    fn entry(
        &self,
        author: &Author<'_>,
        to: To<'_>,
        outgoing: &Outgoing<'_>,
        receipt: Receipt,
        seq: Option<Seq>,
        now: Millis,
    ) -> Entry {
        let draft = Draft {
            seq,
            at: self.stamp(now),
            sender: author.name,
            client: author.client,
            id: author.id,
            to,
            content: outgoing.content,
            echo: outgoing.echo,
            receipt,
        };
        Entry::new(&draft)
    }

    /// To whoever is online, without a place in the log.
    fn live(&mut self, key: UserKey, author: &Author<'_>, entry: &Entry) {
        self.live_to_devices(key, author, entry);
        self.plain(key, author, entry);
    }

    fn live_to_devices(&mut self, key: UserKey, author: &Author<'_>, entry: &Entry) {
        // R13: behind what is logged for that user by now.
        let user = self.book.user(key);
        let after = user.record().map_or(Seq(0), |record| record.mailbox().newest());
        for device in user.devices() {
            let is_source = Some(device.conn) == author.conn && !entry.is_echoed();
            if !is_source && !entry.is_own(user.name(), &device.client) {
                let entry = entry.clone();
                self.open.push(Release::Live { to: device.conn, after, entry });
            }
        }
    }

    /// To the plain connections, as soon as it is committed.
    fn plain(&mut self, key: UserKey, author: &Author<'_>, entry: &Entry) {
        let user = self.book.user(key);
        if user.plain() > 0 {
            let (user, entry) = (Rc::clone(user.name()), entry.clone());
            self.open.push(Release::Plain { user, except: author.conn, entry });
        }
    }
}

/// # Panics
///
/// For more connections than there can be.
fn narrow(connections: usize) -> u32 {
    u32::try_from(connections).expect("invariant: connections are counted by 32 bits")
}
