//! State: what a backend may ask for and change beside sending.
//!
//! ```text
//!   GET    /v1/users/alice               {"user":"alice","online":2,"groups":["team"],…}
//!   DELETE /v1/users/alice/connections   {"closed":2}, each with 4403
//!   GET    /v1/groups/team?limit=2       {"group":"team","count":3,"members":["a","b"],"next":"b"}
//!   PUT    /v1/groups/team/members/alice {"group":"team","user":"alice","member":true}
//!   GET    /v1/stats                     {"version":…,"connections":…,…}
//!   GET    /metrics                      the same for Prometheus
//! ```
//!
//! Nobody online and nobody in a group are answers and no errors. What is kept is answered when it
//! is committed.
//!
//! This module does not know who asks.

use std::collections::BinaryHeap;
use std::fmt::Write as _;

use serde_json::Value;

use super::failure::{Failure, Problem};
use super::metrics::{CONTENT_TYPE, Kind, Page};
use super::questions::{Membership, Question};
use super::{Outcome, json_response, route};
use crate::engine::{Context, Totals};
use crate::hub::ConnId;
use crate::relay::{MembershipError, Relay};
use crate::wire::{CloseCode, RequestHead, Response};

impl Relay {
    pub(super) fn about_user(&self, user: &str) -> Response {
        let (routes, book) = (self.identities.routes(), self.carrier.book());
        let here = routes.find(user);
        let known = book.find(user);
        let connections = here.map_or(&[][..], |key| routes.connections(key));
        let plain = connections.iter().filter(|&&id| self.carrier.is_plain(id)).count();
        let online = connections.len();
        let mut groups: Vec<&str> = match (here, known) {
            (Some(key), _) => self.identities.groups().names_of(key).collect(),
            (None, Some(key)) => book.groups(key).map(|group| &**group).collect(),
            (None, None) => Vec::new(),
        };
        groups.sort_unstable();
        let (name, groups, sessions) = (Value::from(user), Value::from(groups), online - plain);
        let mut body = format!(r#"{{"user":{name},"online":{online},"sessions":{sessions},"#);
        let _ = write!(body, r#""plain":{plain},"groups":{groups},"record":"#);
        match known.and_then(|key| book.user(key).record()) {
            Some(record) => {
                let log = record.mailbox();
                let (entries, bytes, acked) = (log.len(), log.bytes(), log.acked());
                let _ = write!(body, r#"true,"log":{{"entries":{entries},"bytes":{bytes},"#);
                let _ = write!(body, r#""acked":{acked}}}}}"#);
            }
            None => body.push_str("false}"),
        }
        json_response(200, body)
    }

    /// The members of a group who are online, in the order of their bytes, a page at a time: every
    /// page is one look at all of them, and keeps no more than it shows.
    pub(super) fn about_group(
        &self,
        group: &str,
        head: &RequestHead<'_, '_>,
    ) -> Result<Response, Failure> {
        let limit = read_limit(head)?;
        let after = head.query_value("after").map_err(|_| Problem::InvalidQuery)?;
        let name_max = self.push.limits.name_max;
        let after = after.map(|after| route::read_name("after", after, name_max)).transpose()?;
        let (routes, groups) = (self.identities.routes(), self.identities.groups());
        let members = groups.find(group).map_or(&[][..], |key| groups.members(key));
        let mut first: BinaryHeap<&str> = BinaryHeap::with_capacity(limit + 1);
        let names = members.iter().map(|&user| routes.name(user));
        let mut behind = 0;
        for name in names.filter(|name| after.as_ref().is_none_or(|after| *name > &**after)) {
            behind += 1;
            if first.len() < limit {
                first.push(name);
            } else if first.peek().is_some_and(|last| name < *last) {
                first.pop();
                first.push(name);
            }
        }
        let shown = first.into_sorted_vec();
        let next = shown.last().filter(|_| behind > shown.len()).map(|last| Value::from(*last));
        let (group, count) = (Value::from(group), members.len());
        let shown = Value::from(shown);
        let mut body = format!(r#"{{"group":{group},"count":{count},"members":{shown}"#);
        if let Some(next) = next {
            let _ = write!(body, r#","next":{next}"#);
        }
        body.push('}');
        Ok(json_response(200, body))
    }

    pub(super) fn kick(&mut self, cx: &mut Context<'_>, user: &str) -> Response {
        let routes = self.identities.routes();
        let connections = routes.find(user).map_or(&[][..], |key| routes.connections(key)).to_vec();
        let open = connections.iter().filter(|id| cx.is_open(**id)).count();
        for id in connections {
            self.sever(cx, id, KICKED, "kicked");
        }
        json_response(200, format!(r#"{{"closed":{open}}}"#))
    }

    pub(super) fn add(
        &mut self,
        cx: &mut Context<'_>,
        from: ConnId,
        group: &str,
        user: &str,
    ) -> Result<Outcome, Failure> {
        self.add_member(cx, user, group).map_err(unkept)?;
        Ok(self.answer_when_kept(from, group, user, Membership::Member))
    }

    pub(super) fn remove(
        &mut self,
        cx: &mut Context<'_>,
        from: ConnId,
        group: &str,
        user: &str,
    ) -> Result<Outcome, Failure> {
        // Whether there was one is no secret, but nothing that the backend has to know.
        self.remove_member(cx, user, group).map_err(unkept)?;
        Ok(self.answer_when_kept(from, group, user, Membership::None))
    }

    fn answer_when_kept(
        &mut self,
        from: ConnId,
        group: &str,
        user: &str,
        membership: Membership,
    ) -> Outcome {
        let (group, user) = (group.into(), user.into());
        let question = Question::Membership { from, group, user, membership };
        let token = self.push.questions.keep(question);
        self.carrier.sessions().confirm(token);
        Outcome::Later
    }

    pub(super) fn stats(&self, cx: &Context<'_>) -> Response {
        let mut body = format!(r#"{{"version":"{}""#, env!("CARGO_PKG_VERSION"));
        for Number { name, value, .. } in self.numbers(&cx.totals()) {
            let _ = write!(body, r#","{name}":{value}"#);
        }
        body.push('}');
        json_response(200, body)
    }

    pub(super) fn metrics(&self, cx: &Context<'_>) -> Response {
        let mut page = Page::default();
        let help = "Always 1; the label says which version this is.";
        page.metric(Kind::Gauge, "build_info", help);
        page.value(&[("version", &env!("CARGO_PKG_VERSION"))], 1);
        let totals = cx.totals();
        for Number { kind, name, help, value } in self.numbers(&totals) {
            page.single(kind, name, help, value);
        }
        let help = "WebSocket connections that ended, by what ended them.";
        page.metric(Kind::Counter, "websockets_closed", help);
        for (cause, count) in totals.closed() {
            page.value(&[("cause", &cause)], count);
        }
        let help = "Answers of the push API, by path and status.";
        page.metric(Kind::Counter, "push_answers", help);
        for ((path, code), count) in &self.push.tally.answers {
            page.value(&[("path", path), ("code", code)], count);
        }
        let help = "Messages of the push API, by destination and what became of them.";
        page.metric(Kind::Counter, "push_messages", help);
        for ((to, result), count) in &self.push.tally.messages {
            page.value(&[("to", to), ("result", result)], count);
        }
        Response::new(200, CONTENT_TYPE, page.finish().into_bytes())
            .with_header("Cache-Control", b"no-store".as_slice())
    }

    /// Every number that stands alone.
    fn numbers(&self, totals: &Totals) -> Vec<Number> {
        let here = self.counts();
        let counts = totals.counts;
        let (book, sessions) = (self.carrier.book(), self.carrier.counts());
        let gauges = [
            (
                "connections",
                "TCP connections, asking and closing ones included.",
                totals.connections,
            ),
            ("websockets", "WebSocket connections that are open.", totals.open),
            ("users", "Users online, guests included.", here.users as u64),
            ("groups", "Groups with a member.", here.groups as u64),
            ("rooms", "URL paths with a connection.", here.rooms as u64),
            ("sessions", "Connections that speak switchboard.v1.", sessions.connections as u64),
            ("records", "Users with a log.", book.records() as u64),
            ("log_bytes", "Bytes in all logs.", book.bytes()),
            ("memberships", "Memberships that are kept.", book.kept() as u64),
            (
                "commits_pending",
                "Batches that the store has not decided about.",
                sessions.commits_pending as u64,
            ),
            ("buffered_bytes", "Bytes held for all connections.", totals.buffered_bytes),
            (
                "push_idempotency_keys",
                "Idempotency keys that are remembered.",
                self.push.table.len() as u64,
            ),
        ];
        let counters = [
            ("connections_accepted", "TCP connections accepted.", totals.accepted),
            (
                "connections_turned_away",
                "TCP connections closed without an answer, for want of room.",
                totals.turned_away,
            ),
            (
                "requests_refused",
                "Requests refused before the application saw them.",
                totals.refused,
            ),
            ("websockets_opened", "WebSocket connections opened.", totals.opened),
            ("messages_received", "WebSocket messages received.", counts.messages_in),
            ("messages_sent", "WebSocket messages queued to be sent.", counts.messages_out),
            ("messages_congested", "Messages not queued: the receiver is slow.", totals.congested),
            ("messages_dropped", "Messages not queued: the server is full.", totals.dropped),
            ("messages_logged", "Messages committed to a log.", sessions.logged),
            ("gaps_announced", "Gaps announced in switchboard.v1.", sessions.gaps),
            ("received_bytes", "Bytes read, HTTP included.", counts.bytes_in),
            ("sent_bytes", "Bytes written, HTTP included.", counts.bytes_out),
        ];
        let number = |kind| move |(name, help, value)| Number { kind, name, help, value };
        let gauges = gauges.into_iter().map(number(Kind::Gauge));
        gauges.chain(counters.into_iter().map(number(Kind::Counter))).collect()
    }
}

/// A number without labels.
struct Number {
    kind: Kind,
    /// Without `switchboard_` before and `_total` behind.
    name: &'static str,
    help: &'static str,
    value: u64,
}

/// The answer to who is to be a member, or none.
pub(super) fn about_membership(group: &str, user: &str, membership: Membership) -> Response {
    let (group, user) = (Value::from(group), Value::from(user));
    let member = membership == Membership::Member;
    json_response(200, format!(r#"{{"group":{group},"user":{user},"member":{member}}}"#))
}

/// Why a membership is not what it was to be.
fn unkept(error: MembershipError) -> Failure {
    let problem = match error {
        MembershipError::Full => Problem::MembershipsFull,
        MembershipError::Stopping => Problem::Stopping,
        MembershipError::Store => Problem::Store,
        MembershipError::TooManyGroups => Problem::TooManyGroups,
        MembershipError::TooManyUsers => Problem::TooManyUsers,
    };
    problem.into()
}

/// `limit`: how many members are shown.
fn read_limit(head: &RequestHead<'_, '_>) -> Result<usize, Failure> {
    let Some(limit) = head.query_value("limit").map_err(|_| Problem::InvalidQuery)? else {
        return Ok(MEMBERS_SHOWN);
    };
    // Digits alone: `parse` would take a sign as well.
    let digits =
        std::str::from_utf8(&limit).ok().filter(|text| text.bytes().all(|b| b.is_ascii_digit()));
    let limit = digits.and_then(|text| text.parse().ok());
    limit.filter(|limit| (1..=MEMBERS_SHOWN_MAX).contains(limit)).ok_or_else(|| {
        let text = format!("limit: a number from 1 to {MEMBERS_SHOWN_MAX}");
        Failure::saying(Problem::InvalidQuery, text)
    })
}

/// 4403: forbidden, do not come back unchanged.
const KICKED: CloseCode =
    CloseCode::application(4403).expect("invariant: 4000 to 4999 are the applications'");

/// Members of a group that are shown if nothing else is asked for, and at most.
const MEMBERS_SHOWN: usize = 100;
const MEMBERS_SHOWN_MAX: usize = 1_000;
