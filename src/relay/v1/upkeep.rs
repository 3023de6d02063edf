//! Upkeep: what happens by the clock, and at the end.
//!
//! ```text
//!   heard |----- 25 s -----| ping{seq} |----- 20 s -----| 4408
//!   drain   {"type":"drain","after":4200}   503 retry ...   pending commits answered   1012
//! ```
//!
//! This module does not know what time it is.

use super::effect::{Closing, Effect};
use super::reply::Reply;
use super::{Health, Sessions, Standing};
use crate::hub::ConnId;
use crate::relay::log::Store;
use crate::timer::Millis;

impl<S: Store> Sessions<S> {
    /// The network took something from a connection's outbox, so somebody is there.
    pub fn took(&mut self, id: ConnId, now: Millis) {
        if let Some(conn) = self.conns.get_mut(id) {
            conn.heard = conn.heard.max(now);
        }
    }

    /// Pings a connection that is silent, closes one that is so for too long, and says when to ask
    /// again; `None` if the connection is not known here.
    pub fn heartbeat(&mut self, id: ConnId, now: Millis) -> Option<Millis> {
        let (ping_ms, silence_max_ms) = (self.limits.ping_ms, self.limits.silence_max_ms);
        let conn = self.conns.get_mut(id)?;
        if now.since(conn.heard) >= silence_max_ms {
            self.close(id, Closing::TIMEOUT, now);
            return None;
        }
        let dead = conn.heard.after(silence_max_ms);
        let quiet = conn.heard.max(conn.pinged).after(ping_ms);
        if now < quiet || conn.greeting.is_some() {
            return Some(quiet.max(now.after(1)).min(dead));
        }
        conn.pinged = now;
        let seq = (conn.standing == Standing::Recorded).then_some(conn.written);
        self.reply(id, Reply::Ping { seq });
        Some(now.after(ping_ms).min(dead))
    }

    /// Lets go of what is too old, looking at up to `budget` users.
    pub fn sweep(&mut self, now: Millis, budget: usize) {
        if self.health == Health::Up {
            let stamp = self.stamp(now);
            self.book.sweep(stamp, budget);
        }
    }

    /// The server is about to stop: numbered frames are refused for now, and every client is told
    /// when to come back, each at another time within `spread_ms`.
    pub fn drain(&mut self, spread_ms: u64) {
        self.is_draining = true;
        if self.health == Health::Up {
            self.health = Health::Draining;
        }
        // Who waits for a welcome hears that first, or that the server has gone.
        let welcome = self.conns.iter().filter(|(_, conn)| conn.greeting.is_none());
        let ids: Vec<ConnId> = welcome.map(|(id, _)| id).collect();
        let count = ids.len() as u64;
        for (place, to) in ids.into_iter().enumerate() {
            // Evenly: at random, some moments get more than they need to.
            let after_ms = (spread_ms * place as u64).checked_div(count).unwrap_or(0);
            self.reply(to, Reply::Drain { after_ms });
        }
    }

    /// Whether everything that was taken is answered: then the server may go.
    pub fn is_settled(&self) -> bool {
        self.in_flight.is_empty() && self.open.is_empty()
    }

    /// Closes all connections.
    pub fn close_all(&mut self, now: Millis) {
        let ids: Vec<ConnId> = self.conns.iter().map(|(id, _)| id).collect();
        for conn in ids {
            self.effects.push(Effect::Close { conn, closing: Closing::RESTARTING });
            self.closed(conn, now);
        }
    }
}
