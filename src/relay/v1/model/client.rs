//! A client that keeps its side of the rules: R1, R3, R4 and R5.
//!
//! ```text
//!   outbox   [17 sent][18 sent][ - ][ - ]        ids are given when a frame is first sent
//!   position (epoch 2, seq 41)                   stored together
//! ```
//!
//! This module does not know what is true; it tells the judge what it saw.

use std::collections::VecDeque;

use serde_json::Value;

use crate::relay::log::INFLIGHT_MAX;

/// What a client wants done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Wish {
    Direct { to: usize, echo: bool, live: bool },
    Group { group: usize, echo: bool },
    Join(usize),
    Leave(usize),
    Ping,
}

/// One frame to be sent until it is settled.
#[derive(Clone, Debug)]
pub struct Item {
    pub token: u64,
    pub wish: Wish,
    pub id: Option<u64>,
    is_sent: bool,
}

/// What a client saw.
#[derive(Clone, Debug)]
pub enum Seen {
    /// A position that replaces the one before, and the gap that came with it.
    Welcome {
        epoch: String,
        seq: u64,
        had_position: bool,
        gap: Option<(u64, u64)>,
    },
    Gap {
        after: u64,
        until: u64,
    },
    /// A logged message that it processed.
    Processed {
        epoch: String,
        seq: u64,
        token: u64,
    },
    /// The frames that are settled without saying more.
    Settled {
        token: u64,
        accepted: bool,
    },
    /// The server knows nothing of frames it may have taken.
    Forgotten(Vec<u64>),
    /// The answer that some id before this one has not come.
    Hole(String),
    Again,
    Full,
    Resumed,
    Retry,
    /// Something that a server that keeps the rules never says.
    Wrong(String),
}

/// How a client is switched to do wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    None,
    /// Against R5: a welcome does not replace a higher position.
    KeepsHigherSeq,
}

#[derive(Debug)]
pub struct Client {
    pub user: usize,
    pub name: String,
    pub outbox: VecDeque<Item>,
    pub is_welcome: bool,
    pub fault: Fault,
    position: Option<(String, u64)>,
    had_position: bool,
    /// The highest id it has given.
    own: u64,
    /// How often it has tried to connect.
    attempt: u64,
    /// It has been welcome under its name before.
    was_known: bool,
    /// Frames to wait before going back.
    pub pause: u32,
}

impl Client {
    pub fn new(user: usize, name: String, fault: Fault) -> Client {
        Client {
            user,
            name,
            outbox: VecDeque::new(),
            is_welcome: false,
            fault,
            position: None,
            had_position: false,
            own: 0,
            attempt: 0,
            was_known: false,
            pause: 0,
        }
    }

    pub fn want(&mut self, token: u64, wish: Wish) {
        self.outbox.push_back(Item { token, wish, id: None, is_sent: false });
    }

    pub fn hello(&mut self) -> String {
        self.is_welcome = false;
        self.pause = 0;
        self.had_position = self.position.is_some();
        for item in &mut self.outbox {
            item.is_sent = false;
        }
        let next = self.outbox.front().and_then(|item| item.id).unwrap_or(self.own + 1);
        let position = self
            .position
            .as_ref()
            .map_or(String::new(), |(epoch, seq)| format!(r#","epoch":"{epoch}","seq":{seq}"#));
        self.attempt += 1;
        let Client { name, user, attempt, .. } = self;
        let client = format!(r#""client":"{name}","attempt":{attempt}"#);
        format!(r#"{{"type":"hello",{client},"next":{next},"user":"u{user}"{position}}}"#)
    }

    /// It goes on from now when it connects next.
    pub fn forget_position(&mut self) {
        self.position = None;
    }

    pub fn ack(&self) -> Option<String> {
        let (_, seq) = self.position.as_ref().filter(|_| self.is_welcome)?;
        Some(format!(r#"{{"type":"ack","seq":{seq}}}"#))
    }

    /// The next frame to be sent, if there is one and it may go, with what it is.
    // R1: an id is given when a frame is first sent, and at most `inflight` are unanswered.
    pub fn send(&mut self) -> Option<(String, Item)> {
        if !self.is_welcome {
            return None;
        }
        if self.pause > 0 {
            self.pause -= 1;
            return None;
        }
        let at = self.outbox.iter().position(|item| !item.is_sent)?;
        if at as u64 >= INFLIGHT_MAX {
            return None;
        }
        let item = &mut self.outbox[at];
        item.is_sent = true;
        if item.id.is_none() {
            self.own += 1;
            item.id = Some(self.own);
        }
        let (id, token) = (item.id.unwrap_or_default(), item.token);
        let flag = |is_set: bool, text: &'static str| if is_set { text } else { "" };
        let text = match &item.wish {
            Wish::Direct { to, echo, live } => {
                let echo = flag(*echo, r#","echo":true"#);
                let live = flag(*live, r#","ttl":0"#);
                format!(r#"{{"id":{id},"receiver":"u{to}","content":{token}{echo}{live}}}"#)
            }
            Wish::Group { group, echo } => {
                let echo = flag(*echo, r#","echo":true"#);
                format!(r#"{{"id":{id},"group":"g{group}","content":{token}{echo}}}"#)
            }
            Wish::Join(group) => format!(r#"{{"type":"join","group":"g{group}","id":{id}}}"#),
            Wish::Leave(group) => format!(r#"{{"type":"leave","group":"g{group}","id":{id}}}"#),
            Wish::Ping => format!(r#"{{"type":"ping","id":{id}}}"#),
        };
        Some((text, item.clone()))
    }

    /// The lowest id that is sent and not answered.
    pub fn waits_for(&self) -> Option<u64> {
        let first = self.outbox.front().filter(|item| item.is_sent && self.is_welcome)?;
        first.id
    }

    pub fn hear(&mut self, text: &str) -> Vec<Seen> {
        let Ok(frame) = serde_json::from_str::<Value>(text) else {
            return vec![Seen::Wrong(format!("not JSON: {text}"))];
        };
        if frame.get("content").is_some() {
            return self.delivery(&frame).into_iter().collect();
        }
        match frame["type"].as_str() {
            Some("welcome") => self.welcome(&frame),
            Some("ok") => {
                let again = (frame["dup"] == true).then_some(Seen::Again);
                again.into_iter().chain([self.settle(number(&frame, "id"), true)]).collect()
            }
            Some("error") if frame["retry"] == true => {
                self.go_back(number(&frame, "expect"));
                let is_hole = frame["code"] == 409;
                vec![if is_hole { Seen::Hole(text.to_owned()) } else { Seen::Retry }]
            }
            Some("error") if frame.get("id").is_some() => {
                let full = (frame["code"] == 507).then_some(Seen::Full);
                full.into_iter().chain([self.settle(number(&frame, "id"), false)]).collect()
            }
            Some("gap") if frame.get("until").is_some() => {
                let (after, until) = (number(&frame, "after"), number(&frame, "until"));
                if let Some((_, seq)) = &mut self.position {
                    *seq = until;
                }
                vec![Seen::Gap { after, until }]
            }
            Some("gap" | "ping" | "drain" | "receipt") => Vec::new(),
            _ => vec![Seen::Wrong(format!("unexpected: {text}"))],
        }
    }

    /// R3: the welcome settles the outbox before anything is sent again. R5: it replaces the
    /// position, even by a lower one.
    fn welcome(&mut self, frame: &Value) -> Vec<Seen> {
        let mut seen = Vec::new();
        let last = frame["last"].as_u64();
        let refused: Vec<u64> =
            frame["refused"].as_array().into_iter().flatten().filter_map(Value::as_u64).collect();
        if let Some(last) = last {
            while let Some(item) = self.take_front(|item| item.id.is_some_and(|id| id <= last)) {
                let accepted = !refused.contains(&item.id.unwrap_or_default());
                seen.push(Seen::Settled { token: item.token, accepted });
            }
            self.own = self.own.max(last);
        } else if self.was_known {
            let unanswered = self.outbox.iter().filter(|item| item.id.is_some());
            seen.push(Seen::Forgotten(unanswered.map(|item| item.token).collect()));
        }
        self.was_known = true;
        seen.extend((frame["resumed"] == true).then_some(Seen::Resumed));
        self.is_welcome = true;
        let epoch = frame["epoch"].as_str().unwrap_or_default().to_owned();
        let seq = number(frame, "seq");
        let gap = frame.get("gap").map(|gap| (number(gap, "after"), number(gap, "until")));
        let higher = self.position.as_ref().map_or(0, |(_, seq)| *seq);
        let kept = if self.fault == Fault::KeepsHigherSeq { seq.max(higher) } else { seq };
        self.position = Some((epoch.clone(), kept));
        seen.push(Seen::Welcome { epoch, seq, had_position: self.had_position, gap });
        seen
    }

    /// R5: what is not above the position is dropped.
    fn delivery(&mut self, frame: &Value) -> Option<Seen> {
        let seq = frame["seq"].as_u64()?;
        let (epoch, position) = self.position.as_mut()?;
        if seq <= *position {
            return None;
        }
        *position = seq;
        let token = number(frame, "content");
        Some(Seen::Processed { epoch: epoch.clone(), seq, token })
    }

    /// R12: answers come in the order of the ids.
    fn settle(&mut self, id: u64, accepted: bool) -> Seen {
        match self.take_front(|item| item.id == Some(id) && item.is_sent) {
            Some(item) => Seen::Settled { token: item.token, accepted },
            None => Seen::Wrong(format!("an answer to {id} out of its turn")),
        }
    }

    fn take_front(&mut self, is_it: impl Fn(&Item) -> bool) -> Option<Item> {
        self.outbox.front().filter(|item| is_it(item))?;
        self.outbox.pop_front()
    }

    fn go_back(&mut self, expect: u64) {
        self.pause = 2;
        for item in &mut self.outbox {
            item.is_sent &= item.id.is_some_and(|id| id < expect);
        }
    }
}

fn number(frame: &Value, key: &str) -> u64 {
    frame[key].as_u64().unwrap_or(u64::MAX)
}
