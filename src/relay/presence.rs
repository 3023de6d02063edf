//! Presence: who comes to a group and goes, told to the connections that asked to hear it.
//!
//! ```text
//!   0 ms      100 ms                        200 ms
//!   |  +eve  -bob  +joe -joe  |               |
//!                             {"type":"presence","group":"g","joined":["eve"],"left":["bob"]}
//!
//!   |  10,000 leave           |
//!                             {"type":"presence","group":"g","joined":[],"left":[],"members":17}
//! ```
//!
//! What happens in one interval is one frame for each group, encoded once and shared by all who
//! hear it; who came and went again is not in it. If more have changed than are to be named, the
//! frame has no names but the number of members: so a crowd that comes or goes costs a step for
//! each of them, and a short frame for each listener, not a list of everybody for everybody.
//!
//! A connection hears a group while its user is a member. A group that nobody hears has no news.
//!
//! This module does not know why somebody comes or goes.

use std::collections::hash_map::Entry;
use std::collections::{HashMap, VecDeque};
use std::fmt::Write as _;
use std::rc::Rc;

use super::gap::Gaps;
use super::reply::push_escaped;
use super::routing::to_everybody;
use crate::engine::Context;
use crate::hub::ConnId;
use crate::hub::groups::{GroupKey, Groups};
use crate::hub::links::Links;
use crate::protocol::MessageKind;
use crate::timer::Tick;

/// What became of somebody in a group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Change {
    Joined,
    Left,
}

/// Who hears which groups, and what they have not heard yet.
pub(super) struct Presence {
    hearers: Links<ConnId, GroupKey>,
    /// Invariant: only of groups that somebody hears, which therefore have members.
    news: HashMap<GroupKey, News>,
    /// The groups with news, in the order in which they came up. One that is listed and has none
    /// is passed over.
    due: VecDeque<GroupKey>,
    is_timer_set: bool,
    interval_ms: u64,
    names_max: usize,
}

impl Presence {
    /// Nobody hears anything. A frame names at most `names_max` users.
    pub(super) fn new(interval_ms: u64, names_max: usize) -> Presence {
        Presence {
            hearers: Links::new(),
            news: HashMap::new(),
            due: VecDeque::new(),
            is_timer_set: false,
            interval_ms,
            names_max,
        }
    }

    /// How many connections hear a group, of all groups together.
    pub(super) fn hearing(&self) -> usize {
        self.hearers.len()
    }

    /// The connection hears the group from now on.
    pub(super) fn hear(&mut self, id: ConnId, group: GroupKey) {
        self.hearers.link(id, group);
    }

    /// The connection does not hear the group any more.
    pub(super) fn ignore(&mut self, id: ConnId, group: GroupKey) {
        self.hearers.unlink(id, group);
        self.forget_unheard(group);
    }

    /// The connection is gone, or somebody else's.
    pub(super) fn ignore_all(&mut self, id: ConnId) {
        if self.hearers.is_empty() {
            return;
        }
        for group in self.hearers.unlink_left(id) {
            self.forget_unheard(group);
        }
    }

    /// Somebody has joined or left a group, which still has its key.
    pub(super) fn note(&mut self, group: GroupKey, name: &Rc<str>, change: Change) {
        if self.hearers.is_empty() || self.hearers.of_right(group).is_empty() {
            return;
        }
        let news = match self.news.entry(group) {
            Entry::Occupied(news) => news.into_mut(),
            Entry::Vacant(place) => {
                self.due.push_back(group);
                place.insert(News::default())
            }
        };
        news.note(name, change, self.names_max);
    }

    /// Sees to it that `announce` is called at the end of the interval, if there are news.
    #[inline]
    pub(super) fn set_timer(&mut self, cx: &mut Context<'_>) {
        // Asked at the end of each tick, in nearly all of which there are none.
        if !self.due.is_empty() && !self.is_timer_set {
            self.begin_interval(cx);
        }
    }

    #[cold]
    fn begin_interval(&mut self, cx: &mut Context<'_>) {
        self.is_timer_set = true;
        // From the last tick of the wheel on, which has passed already: what is asked for is the
        // end of an interval, and not a tick later.
        let at = Tick::reached(cx.now()).after(self.interval_ms).millis();
        cx.set_timer(at.since(cx.now()), PRESENCE_TIMER);
    }

    /// The interval is over: tells what has happened, in at most `sends_max` messages or those of
    /// one group. The rest is told at the end of the next.
    pub(super) fn announce(
        &mut self,
        cx: &mut Context<'_>,
        groups: &Groups,
        gaps: &mut Gaps,
        scratch: &mut String,
        sends_max: usize,
    ) {
        self.is_timer_set = false;
        let mut sends = 0;
        while sends < sends_max
            && let Some(group) = self.due.pop_front()
        {
            let Some(news) = self.news.remove(&group) else { continue };
            if news.is_nothing() {
                continue;
            }
            news.write(groups.name(group), groups.members(group).len(), scratch);
            let hearers = self.hearers.of_right(group);
            sends += hearers.len();
            let parts = [scratch.as_bytes()];
            to_everybody(cx, gaps, hearers.iter().copied(), MessageKind::Text, &parts);
        }
        if self.due.is_empty() {
            self.due = VecDeque::new();
            self.news = HashMap::new();
        }
        self.set_timer(cx);
    }

    fn forget_unheard(&mut self, group: GroupKey) {
        if self.hearers.of_right(group).is_empty() {
            self.news.remove(&group);
        }
    }
}

/// What has happened in a group since its last frame.
#[derive(Default)]
struct News {
    /// Each name once.
    changes: Vec<(Rc<str>, Change)>,
    /// Whether there was too much to keep: then `changes` is empty.
    is_long: bool,
}

impl News {
    fn note(&mut self, name: &Rc<str>, change: Change, names_max: usize) {
        if self.is_long {
            return;
        }
        // Somebody who is named has done the opposite: to come and to go takes turns.
        if let Some(at) = self.changes.iter().position(|(named, _)| named == name) {
            self.changes.remove(at);
        } else if self.changes.len() < names_max {
            self.changes.push((Rc::clone(name), change));
        } else {
            *self = News { changes: Vec::new(), is_long: true };
        }
    }

    fn is_nothing(&self) -> bool {
        self.changes.is_empty() && !self.is_long
    }

    fn write(&self, group: &str, members: usize, out: &mut String) {
        out.clear();
        out.push_str(r#"{"type":"presence","group":""#);
        push_escaped(group, out);
        out.push_str(r#"","joined":"#);
        write_names(self.names(Change::Joined), out);
        out.push_str(r#","left":"#);
        write_names(self.names(Change::Left), out);
        if self.is_long {
            write_count("members", members, out);
        }
        out.push('}');
    }

    fn names(&self, change: Change) -> impl Iterator<Item = &str> {
        let changed = self.changes.iter().filter(move |(_, own)| *own == change);
        changed.map(|(name, _)| &**name)
    }
}

/// The answer to `members`: the names, and how many there are if not all are named.
pub(super) fn write_members<'n>(
    group: &str,
    names: impl Iterator<Item = &'n str>,
    count: usize,
    out: &mut String,
) {
    out.clear();
    out.push_str(r#"{"type":"members","group":""#);
    push_escaped(group, out);
    out.push_str(r#"","members":"#);
    write_names(names, out);
    write_count("count", count, out);
    out.push('}');
}

/// Appends names as a JSON array.
pub(super) fn write_names<'n>(names: impl Iterator<Item = &'n str>, out: &mut String) {
    let mut mark = "[\"";
    for name in names {
        out.push_str(mark);
        push_escaped(name, out);
        mark = "\",\"";
    }
    out.push_str(if mark == "[\"" { "[]" } else { "\"]" });
}

fn write_count(key: &str, count: usize, out: &mut String) {
    let written = write!(out, r#","{key}":{count}"#);
    written.expect("invariant: a String takes what is written to it");
}

/// The key of the timer, which is no connection's.
pub(super) const PRESENCE_TIMER: u64 = u64::MAX;

#[cfg(test)]
mod tests {
    use super::*;

    fn news(changes: &[(&str, Change)], names_max: usize) -> News {
        let mut news = News::default();
        for (name, change) in changes {
            news.note(&Rc::from(*name), *change, names_max);
        }
        news
    }

    fn written(news: &News) -> String {
        let mut text = String::from("what was there before");
        news.write("g", 7, &mut text);
        text
    }

    #[test]
    fn who_came_and_went_again_is_not_named() {
        use Change::{Joined, Left};
        let some = news(&[("a", Joined), ("b", Left), ("c", Joined), ("a", Left)], 100);
        let text = r#"{"type":"presence","group":"g","joined":["c"],"left":["b"]}"#;
        assert_eq!(written(&some), text);
        assert!(news(&[("a", Left), ("a", Joined)], 100).is_nothing());
        let again = news(&[("a", Left), ("a", Joined), ("a", Left)], 100);
        let text = r#"{"type":"presence","group":"g","joined":[],"left":["a"]}"#;
        assert_eq!(written(&again), text);
    }

    #[test]
    fn more_names_than_allowed_become_a_number_and_are_not_kept() {
        use Change::{Joined, Left};
        let mut some = news(&[("a", Joined), ("b", Left)], 2);
        assert!(!some.is_long);
        some.note(&Rc::from("a\"b"), Joined, 2);
        assert!(some.is_long && some.changes.capacity() == 0);
        some.note(&Rc::from("d"), Joined, 2);
        let text = r#"{"type":"presence","group":"g","joined":[],"left":[],"members":7}"#;
        assert_eq!(written(&some), text);
        assert!(some.changes.is_empty() && !some.is_nothing());
    }

    #[test]
    fn names_are_written_as_json() {
        let mut text = String::new();
        write_members("a\"b", ["\\", "用户", "c"].into_iter(), 3, &mut text);
        let wanted = r#"{"type":"members","group":"a\"b","members":["\\","用户","c"],"count":3}"#;
        assert_eq!(text, wanted);
        write_members("g", std::iter::empty(), 10_000, &mut text);
        assert_eq!(text, r#"{"type":"members","group":"g","members":[],"count":10000}"#);
    }
}
