//! One client of switchboard.v1, over any number of connections: the client's rules R1, R3, R4, R5.
//!
//! This module does not know sockets, clocks or files; [the module above](super) has the picture.

use std::collections::{BTreeSet, VecDeque};
use std::fmt::Write as _;
use std::rc::Rc;

use serde_json::Value;

use super::event::{Event, Fields, Position};
use super::outbox::{Item, Next, Outbox};
use super::snapshot::Snapshot;
use super::wish::{Wish, WishKind};
use crate::timer::Millis;

/// Who a client is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// What it calls itself, 1 to 32 of `A-Za-z0-9_-`; stable for as long as its outbox is.
    pub client: String,
    /// The user, if that is known before the server says so.
    pub user: Option<String>,
}

/// From where a client that has no position goes on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Start {
    /// From the oldest message that is kept.
    Kept,
    /// From now.
    #[default]
    Live,
}

/// What a server said that one that keeps the rules never says. The connection is of no use.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation(pub String);

/// A client of switchboard.v1.
#[derive(Debug)]
pub struct Session {
    identity: Identity,
    start: Start,
    outbox: Outbox,
    /// Groups that this client has joined, to join them again if the server has forgotten.
    groups: BTreeSet<String>,
    /// How often it has tried to connect.
    attempt: u64,
    /// Up to here messages came.
    heard: Option<Position>,
    /// Up to here they were processed: stored, and acknowledged.
    processed: Option<Position>,
    stage: Stage,
    /// It has been welcome under its name before.
    is_known: bool,
    /// Answers that are not sent before this moment (R4).
    pause: Option<Millis>,
    /// The server is about to stop, and said when to come back.
    drain_ms: Option<u64>,
    message_max_bytes: u64,
    acks: Acks,
    /// What leaves before any frame of the outbox.
    replies: VecDeque<String>,
    events: VecDeque<Event>,
    /// For each event that is not processed, what follows once it is.
    unprocessed: VecDeque<After>,
    /// Something changed that has to be stored.
    is_changed: bool,
}

/// Where a client is in the life of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    Away,
    Greeting,
    Welcome,
}

/// What follows from an event that was processed.
#[derive(Debug)]
enum After {
    Nothing,
    /// The position of messages moves on.
    Position(Position),
    /// Nobody has to be told of this answer any more.
    Told {
        accepted: bool,
        given: String,
        text: String,
    },
}

/// What is to be acknowledged.
#[derive(Debug, Default)]
struct Acks {
    /// The highest that was, on this connection.
    sent: u64,
    /// Messages since.
    count: u32,
    /// When it has to be.
    due: Option<Millis>,
}

impl Session {
    /// A client that has never been here.
    pub fn new(identity: Identity, start: Start) -> Session {
        Session::restored(Snapshot::new(identity), start)
    }

    /// A client that goes on where another process ended. Answers that nobody was told of are
    /// events at once.
    pub fn restored(snapshot: Snapshot, start: Start) -> Session {
        let Snapshot { client, user, attempt, own, is_known, position, groups, items, answers } =
            snapshot;
        let mut session = Session {
            identity: Identity { client, user },
            start,
            outbox: Outbox::kept(items, own),
            groups: groups.into_iter().collect(),
            attempt,
            heard: position.clone(),
            processed: position,
            stage: Stage::Away,
            is_known,
            pause: None,
            drain_ms: None,
            message_max_bytes: u64::MAX,
            acks: Acks::default(),
            replies: VecDeque::new(),
            events: VecDeque::new(),
            unprocessed: VecDeque::new(),
            is_changed: false,
        };
        for (accepted, given, text) in answers {
            session.answer(accepted, given, text);
        }
        session
    }

    /// Puts a frame into the outbox.
    pub fn want(&mut self, wish: Wish) {
        self.outbox.push(wish);
        self.is_changed = true;
    }

    /// A connection is open: it begins with hello.
    pub fn opened(&mut self) {
        self.lost();
        self.stage = Stage::Greeting;
        self.attempt += 1;
        self.is_changed = true;
        self.outbox.unsend();
        let hello = self.hello();
        self.replies.push_back(hello);
    }

    /// The connection is over.
    pub fn lost(&mut self) {
        self.stage = Stage::Away;
        self.pause = None;
        self.replies.clear();
        self.acks = Acks::default();
    }

    /// How long the server asked to stay away, in milliseconds; once.
    pub fn take_drain_ms(&mut self) -> Option<u64> {
        self.drain_ms.take()
    }

    /// Takes a text message of the server.
    ///
    /// # Errors
    ///
    /// [`Violation`] if the server breaks a rule: end the connection, and come back; what was not
    /// answered is settled by the next welcome.
    pub fn hear(&mut self, text: &str, now: Millis) -> Result<(), Violation> {
        let wrong = || Violation(text.chars().take(SHOWN_MAX).collect());
        let fields = Fields::read(text).ok_or_else(wrong)?;
        let kind = fields.text("type");
        match (self.stage, kind.as_deref()) {
            (Stage::Greeting, Some("welcome")) => self.welcome(text, &fields).ok_or_else(wrong),
            // The hello itself may be refused, and whoever waits may be told to go.
            (Stage::Greeting, Some("error" | "drain" | "ping")) => {
                self.notice(text, kind.as_deref(), &fields);
                Ok(())
            }
            (Stage::Greeting | Stage::Away, _) => Err(wrong()),
            (Stage::Welcome, _) if fields.has("content") => {
                self.delivery(text, &fields);
                Ok(())
            }
            (Stage::Welcome, Some("ok" | "error")) if fields.has("id") => {
                self.reply(text, kind.as_deref() == Some("ok"), &fields, now).ok_or_else(wrong)
            }
            (Stage::Welcome, Some("gap")) => {
                self.gap(text, fields.number("until"));
                Ok(())
            }
            (Stage::Welcome, Some("welcome")) => Err(wrong()),
            (Stage::Welcome, kind) => {
                self.notice(text, kind, &fields);
                Ok(())
            }
        }
    }

    /// What is to be done by the clock.
    pub fn tick(&mut self, now: Millis) {
        if self.acks.due.is_some_and(|due| due <= now) {
            self.acknowledge();
        }
        if self.pause.is_some_and(|until| until <= now) {
            self.pause = None;
        }
    }

    /// When to call [`tick`](Session::tick) next.
    pub fn deadline(&self) -> Option<Millis> {
        self.acks.due.into_iter().chain(self.pause).min()
    }

    /// The next text to send. What has [changed](Session::take_changed) must be stored before it
    /// leaves.
    pub fn next_text(&mut self) -> Option<String> {
        if let Some(text) = self.replies.pop_front() {
            return Some(text);
        }
        while self.stage == Stage::Welcome && self.pause.is_none() && self.drain_ms.is_none() {
            let next = self.outbox.send(self.message_max_bytes)?;
            self.is_changed = true;
            match next {
                Next::Frame(text) => return Some(text),
                Next::TooLong(wish) => {
                    let text = too_long(None, self.message_max_bytes);
                    self.answer(false, wish.given, text);
                }
            }
        }
        None
    }

    /// The next event. After it was processed, which may be later, it is to be
    /// [counted](Session::processed).
    pub fn next_event(&mut self) -> Option<Event> {
        self.events.pop_front()
    }

    /// The next `count` events were processed, in the order in which they came: their messages are
    /// acknowledged from now on, and not asked for again.
    pub fn processed(&mut self, count: usize, now: Millis) {
        for after in self.unprocessed.drain(..count.min(self.unprocessed.len())) {
            match after {
                After::Nothing => {}
                After::Told { .. } => self.is_changed = true,
                After::Position(position) => {
                    self.is_changed = true;
                    self.processed = Some(position);
                    self.acks.count += 1;
                }
            }
        }
        if self.to_acknowledge() <= self.acks.sent || self.stage != Stage::Welcome {
            return;
        }
        // At the latest after 32 messages or 250 ms.
        if self.acks.count >= ACK_MESSAGES {
            self.acknowledge();
        } else if self.acks.due.is_none() {
            self.acks.due = Some(now.after(ACK_MS));
        }
    }

    /// Acknowledges at once what was processed, if that was not done already.
    pub fn settle_acks(&mut self) {
        if self.stage == Stage::Welcome && self.to_acknowledge() > self.acks.sent {
            self.acknowledge();
        }
    }

    /// Whether something has to be stored since this was last asked.
    pub fn take_changed(&mut self) -> bool {
        std::mem::take(&mut self.is_changed)
    }

    /// What has to be stored for another process to go on.
    pub fn snapshot(&self) -> Snapshot {
        let answers = self.unprocessed.iter().filter_map(|after| match after {
            After::Told { accepted, given, text } => Some((*accepted, given.clone(), text.clone())),
            _ => None,
        });
        Snapshot {
            client: self.identity.client.clone(),
            user: self.identity.user.clone(),
            attempt: self.attempt,
            own: self.outbox.own(),
            is_known: self.is_known,
            position: self.processed.clone(),
            groups: self.groups.iter().cloned().collect(),
            items: self.outbox.items().map(|item| (item.id, item.wish.clone())).collect(),
            answers: answers.collect(),
        }
    }

    /// How many frames are not answered, and how many bytes they take.
    pub fn unanswered(&self) -> (usize, usize) {
        (self.outbox.len(), self.outbox.bytes())
    }

    /// How many events were not processed.
    pub fn unprocessed(&self) -> usize {
        self.unprocessed.len()
    }

    /// Who it is.
    pub fn identity(&self) -> &Identity {
        &self.identity
    }

    /// Whether the server has said welcome on this connection.
    pub fn is_welcome(&self) -> bool {
        self.stage == Stage::Welcome
    }

    /// The hello of the next connection.
    fn hello(&self) -> String {
        let Identity { client, user } = &self.identity;
        let (attempt, next) = (self.attempt, self.outbox.next_id());
        let mut hello =
            format!(r#"{{"type":"hello","client":"{client}","attempt":{attempt},"next":{next}"#);
        if let Some(user) = user {
            let _ = write!(hello, r#","user":{}"#, Value::from(user.as_str()));
        }
        // Where messages came to, not where they were processed to: those in between are still
        // here, and are not to come twice.
        match (&self.heard, self.start) {
            (Some(Position { epoch, seq }), _) => {
                let _ = write!(hello, r#","epoch":{},"seq":{seq}"#, Value::from(&**epoch));
            }
            (None, Start::Kept) => hello.push_str(r#","seq":0"#),
            (None, Start::Live) => {}
        }
        hello.push('}');
        hello
    }

    /// R3: the welcome settles the outbox before anything is sent again. R5: it replaces the
    /// position, even by a lower one.
    fn welcome(&mut self, text: &str, fields: &Fields<'_>) -> Option<()> {
        let (epoch, seq) = (fields.text("epoch"), fields.number("seq"));
        let position = match (epoch, seq) {
            (Some(epoch), Some(seq)) => Some(Position { epoch: Rc::from(epoch), seq }),
            // A guest: it has no log, and no name that it could come back under.
            (None, None) => None,
            _ => return None,
        };
        if position.is_some() {
            self.identity.user = Some(fields.text("user")?);
        }
        let last = fields.number("last");
        let limits = fields.raw("limits").and_then(Fields::read);
        self.message_max_bytes =
            limits.and_then(|limits| limits.number("message")).unwrap_or(u64::MAX);
        let uncertain = match last {
            None if self.is_known => self.outbox.numbered(),
            _ => 0,
        };
        (self.is_known, self.is_changed) = (true, true);
        (self.stage, self.drain_ms) = (Stage::Welcome, None);
        self.heard.clone_from(&position);
        let after = match position {
            // There is nothing that somebody could miss: whoever is killed now goes on from here,
            // and not from the moment of the next attempt.
            Some(position) if self.unprocessed.is_empty() && !fields.has("gap") => {
                self.processed = Some(position);
                After::Nothing
            }
            position => position.map_or(After::Nothing, After::Position),
        };
        self.tell(Event::Welcome { text: text.to_owned(), uncertain }, after);
        if let Some(gap) = fields.raw("gap").and_then(|gap| gap.strip_prefix('{')) {
            let comma = if gap.trim_start().starts_with('}') { "" } else { "," };
            self.tell(Event::Gap(format!(r#"{{"type":"gap"{comma}{gap}"#)), After::Nothing);
        }
        if let Some(last) = last {
            self.settle_up_to(last, &fields.numbers("refused"));
        }
        // R10: where the server may have forgotten the user, a client joins again.
        if !fields.is_set("resumed") {
            for group in self.groups.iter().rev() {
                if !self.outbox.decides(group) {
                    self.outbox.push_early(Wish::join(group));
                }
            }
        }
        Some(())
    }

    fn settle_up_to(&mut self, last: u64, refused: &[u64]) {
        while let Some(item) = self.outbox.settle_up_to(last) {
            let id = item.id.unwrap_or_default();
            let accepted = !refused.contains(&id);
            // What the server would answer if the frame were sent again.
            let text = if accepted {
                format!(r#"{{"type":"ok","id":{id},"dup":true}}"#)
            } else {
                let why = r#""code":410,"reason":"refused","dup":true"#;
                format!(r#"{{"type":"error","id":{id},{why}}}"#)
            };
            self.settled(item, accepted, text);
        }
    }

    /// `ok` or `error` to a numbered frame.
    fn reply(&mut self, text: &str, is_ok: bool, fields: &Fields<'_>, now: Millis) -> Option<()> {
        if !is_ok && fields.is_set("retry") {
            // R4: once, to what is expected, and not before it is time.
            self.outbox.go_back(fields.number("expect")?);
            self.pause = Some(now.after(fields.number("after").unwrap_or(0)));
            self.tell(Event::Notice(text.to_owned()), After::Nothing);
            return Some(());
        }
        let item = self.outbox.settle(fields.number("id")?)?;
        self.settled(item, is_ok, text.to_owned());
        Some(())
    }

    fn settled(&mut self, item: Item, accepted: bool, text: String) {
        let (accepted, text) = match item.is_void {
            true => (false, too_long(item.id, self.message_max_bytes)),
            false => (accepted, text),
        };
        match item.wish.kind {
            WishKind::Join(group) if accepted => drop(self.groups.insert(group)),
            WishKind::Leave(group) if accepted => drop(self.groups.remove(&group)),
            // A group that it was in before the server forgot, and may not enter any more.
            WishKind::Join(group) => drop(self.groups.remove(&group)),
            WishKind::Leave(_) | WishKind::Other => {}
        }
        self.answer(accepted, item.wish.given, text);
    }

    fn answer(&mut self, accepted: bool, given: String, text: String) {
        self.is_changed = true;
        let after = After::Told { accepted, given: given.clone(), text: text.clone() };
        self.tell(Event::Answer { accepted, given, text }, after);
    }

    /// R5: what is not above the position is dropped.
    fn delivery(&mut self, text: &str, fields: &Fields<'_>) {
        let position = match (fields.number("seq"), &mut self.heard) {
            (Some(seq), Some(heard)) if seq <= heard.seq => return,
            (Some(seq), Some(heard)) => {
                heard.seq = seq;
                Some(heard.clone())
            }
            _ => None,
        };
        let epoch = position.as_ref().map(|position| Rc::clone(&position.epoch));
        let after = position.map_or(After::Nothing, After::Position);
        self.tell(Event::Message { epoch, text: text.to_owned() }, after);
    }

    /// R5: a gap moves the position to its end.
    fn gap(&mut self, text: &str, until: Option<u64>) {
        let mut after = After::Nothing;
        if let (Some(until), Some(heard)) = (until, &mut self.heard) {
            heard.seq = until;
            after = After::Position(heard.clone());
        }
        self.tell(Event::Gap(text.to_owned()), after);
    }

    fn notice(&mut self, text: &str, kind: Option<&str>, fields: &Fields<'_>) {
        match kind {
            // Is somebody there? The answer is an ack of whatever is processed.
            Some("ping") => self.acknowledge(),
            Some("drain") => {
                self.drain_ms = Some(fields.number("after").unwrap_or(0));
                self.tell(Event::Notice(text.to_owned()), After::Nothing);
            }
            _ => self.tell(Event::Notice(text.to_owned()), After::Nothing),
        }
    }

    fn acknowledge(&mut self) {
        let seq = self.to_acknowledge().max(self.acks.sent);
        self.acks = Acks { sent: seq, count: 0, due: None };
        self.replies.push_back(format!(r#"{{"type":"ack","seq":{seq}}}"#));
    }

    /// Up to where it may say on this connection that messages are processed; 0 while those of an
    /// older epoch still are.
    fn to_acknowledge(&self) -> u64 {
        match (&self.processed, &self.heard) {
            (Some(processed), Some(heard)) if processed.epoch == heard.epoch => {
                processed.seq.min(heard.seq)
            }
            _ => 0,
        }
    }

    fn tell(&mut self, event: Event, after: After) {
        self.events.push_back(event);
        self.unprocessed.push_back(after);
    }
}

/// What the server says of messages that are too long for a user.
fn too_long(id: Option<u64>, max: u64) -> String {
    let id = id.map(|id| format!(r#""id":{id},"#)).unwrap_or_default();
    format!(r#"{{"type":"error",{id}"code":413,"reason":"message_too_large","max":{max}}}"#)
}

/// An acknowledgement is due after so many messages …
const ACK_MESSAGES: u32 = 32;
/// … or so many milliseconds.
const ACK_MS: u64 = 250;
/// How much of a frame that breaks a rule is shown, in characters.
const SHOWN_MAX: usize = 200;
