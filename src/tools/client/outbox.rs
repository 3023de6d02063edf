//! The outbox: reliable frames until they are answered.
//!
//! ```text
//!   [17 sent][18 sent][19 to be sent again][ no number yet ][ no number yet ]
//!    '----------- numbered, at most 64 -----'
//! ```
//!
//! R1: a number is given when a frame is first sent. R3: a welcome settles what was answered while
//! nobody listened. R4: on a temporary refusal everything from one number on is sent again.
//!
//! This module does not know what time it is, or whether there is a connection.

use std::collections::VecDeque;

use super::wish::{Wish, WishKind};

/// A frame that is not answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Item {
    /// Its number, once it was sent.
    pub id: Option<u64>,
    pub wish: Wish,
    /// Sent on this connection, and not called back.
    pub is_sent: bool,
    /// It may not be sent any more: a ping goes under its number.
    pub is_void: bool,
}

/// Frames in the order in which they were wished for.
#[derive(Debug, Default)]
pub(super) struct Outbox {
    items: VecDeque<Item>,
    /// The highest number that was given, here or by what the server says.
    own: u64,
    bytes: usize,
}

/// The next thing to send.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Next {
    /// This frame.
    Frame(String),
    /// A frame is longer than the server takes, and has had no number: it is out of the outbox.
    TooLong(Wish),
}

impl Outbox {
    /// An outbox as it was kept.
    pub fn kept(items: Vec<(Option<u64>, Wish)>, own: u64) -> Outbox {
        let mut outbox = Outbox { own, ..Outbox::default() };
        for (id, wish) in items {
            outbox.bytes += wish.len();
            outbox.own = outbox.own.max(id.unwrap_or(0));
            outbox.items.push_back(Item { id, wish, is_sent: false, is_void: false });
        }
        outbox
    }

    pub fn items(&self) -> impl Iterator<Item = &Item> {
        self.items.iter()
    }

    pub fn len(&self) -> usize {
        self.items.len()
    }

    /// What all of it takes, in bytes.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    pub fn own(&self) -> u64 {
        self.own
    }

    /// The lowest id that may still be sent.
    pub fn next_id(&self) -> u64 {
        self.items.front().and_then(|item| item.id).unwrap_or(self.own + 1)
    }

    /// How many have a number.
    pub fn numbered(&self) -> usize {
        self.items.iter().take_while(|item| item.id.is_some()).count()
    }

    pub fn push(&mut self, wish: Wish) {
        self.bytes += wish.len();
        self.items.push_back(Item { id: None, wish, is_sent: false, is_void: false });
    }

    /// Before everything that has no number yet.
    pub fn push_early(&mut self, wish: Wish) {
        self.bytes += wish.len();
        let at = self.numbered();
        self.items.insert(at, Item { id: None, wish, is_sent: false, is_void: false });
    }

    /// Whether something that is on its way decides about a membership.
    pub fn decides(&self, group: &str) -> bool {
        self.items.iter().any(|item| match &item.wish.kind {
            WishKind::Leave(left) => item.id.is_some() && left == group,
            WishKind::Join(joined) => item.wish.given.is_empty() && joined == group,
            WishKind::Other => false,
        })
    }

    /// A new connection: nothing is sent on it yet.
    pub fn unsend(&mut self) {
        self.go_back(0);
    }

    /// Everything from `expect` on is sent again (R4).
    pub fn go_back(&mut self, expect: u64) {
        for item in &mut self.items {
            item.is_sent &= item.id.is_some_and(|id| id < expect);
        }
    }

    /// The next frame that may be sent, of at most `len_max` bytes.
    // R1: a number when it is first sent, and at most `INFLIGHT_MAX` unanswered.
    pub fn send(&mut self, len_max: u64) -> Option<Next> {
        let at = self.items.iter().position(|item| !item.is_sent)?;
        if at >= INFLIGHT_MAX {
            return None;
        }
        let item = &mut self.items[at];
        let id = item.id.unwrap_or(self.own + 1);
        let text = item.wish.text(id);
        let is_too_long = text.len() as u64 > len_max;
        if is_too_long && item.id.is_none() {
            // Refused before it is numbered: a number that is never sent would be waited for.
            let item = self.items.remove(at)?;
            self.bytes -= item.wish.len();
            return Some(Next::TooLong(item.wish));
        }
        self.own = self.own.max(id);
        item.id = Some(id);
        item.is_sent = true;
        item.is_void |= is_too_long;
        let ping = || format!(r#"{{"type":"ping","id":{id}}}"#);
        Some(Next::Frame(if item.is_void { ping() } else { text }))
    }

    /// The frame that is answered under this number: the first one, for answers leave in the order
    /// of the ids (R12).
    pub fn settle(&mut self, id: u64) -> Option<Item> {
        self.take_front(|item| item.id == Some(id) && item.is_sent)
    }

    /// The next frame that `last` settles (R3).
    pub fn settle_up_to(&mut self, last: u64) -> Option<Item> {
        self.own = self.own.max(last);
        self.take_front(|item| item.id.is_some_and(|id| id <= last))
    }

    fn take_front(&mut self, is_it: impl Fn(&Item) -> bool) -> Option<Item> {
        self.items.front().filter(|item| is_it(item))?;
        let item = self.items.pop_front()?;
        self.bytes -= item.wish.len();
        Some(item)
    }
}

/// How many frames may be sent and unanswered.
const INFLIGHT_MAX: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;

    fn wish(content: u32) -> Wish {
        Wish::read(&format!(r#"{{"receiver":"bob","content":{content}}}"#)).unwrap()
    }

    fn ids(outbox: &mut Outbox) -> Vec<u64> {
        let mut ids = Vec::new();
        while let Some(Next::Frame(text)) = outbox.send(u64::MAX) {
            let frame: serde_json::Value = serde_json::from_str(&text).unwrap();
            ids.push(frame["id"].as_u64().unwrap());
        }
        ids
    }

    #[test]
    fn sixty_four_are_sent_and_unanswered() {
        let mut outbox = Outbox::default();
        (0..100).for_each(|content| outbox.push(wish(content)));
        assert_eq!(ids(&mut outbox), (1..=64).collect::<Vec<u64>>());
        assert_eq!(outbox.settle(2), None);
        assert!(outbox.settle(1).is_some());
        assert_eq!((ids(&mut outbox), outbox.next_id()), (vec![65], 2));
    }

    #[test]
    fn a_refusal_for_now_goes_back_to_what_is_expected_and_no_further() {
        let mut outbox = Outbox::default();
        (0..5).for_each(|content| outbox.push(wish(content)));
        assert_eq!(ids(&mut outbox), [1, 2, 3, 4, 5]);
        outbox.go_back(3);
        assert_eq!(ids(&mut outbox), [3, 4, 5]);
        outbox.unsend();
        assert_eq!(ids(&mut outbox), [1, 2, 3, 4, 5]);
    }

    #[test]
    fn numbers_go_on_above_what_the_server_knows() {
        let mut outbox = Outbox::kept(vec![(Some(7), wish(0)), (None, wish(1))], 7);
        assert_eq!(outbox.next_id(), 7);
        assert!(outbox.settle_up_to(16).is_some());
        assert!(outbox.settle_up_to(16).is_none());
        assert_eq!((outbox.next_id(), ids(&mut outbox)), (17, vec![17]));
    }

    #[test]
    fn what_is_too_long_takes_no_number_and_what_has_one_becomes_a_ping() {
        let mut outbox = Outbox::kept(vec![(Some(3), wish(1)), (None, wish(2))], 3);
        let ping = Next::Frame(r#"{"type":"ping","id":3}"#.to_owned());
        assert_eq!(outbox.send(20), Some(ping));
        assert!(outbox.settle(3).is_some_and(|item| item.is_void));
        assert_eq!(outbox.send(20), Some(Next::TooLong(wish(2))));
        assert_eq!((outbox.next_id(), outbox.len(), outbox.bytes()), (4, 0, 0));
    }
}
