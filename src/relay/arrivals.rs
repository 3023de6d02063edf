//! Arrivals: who is let in and not here yet.
//!
//! ```text
//!   Verdict::Upgrade  -->  Arrival { alice, 192.0.2.7 }  -->  on_open: one of alice's connections
//!                          counts as if it were
//! ```
//!
//! Between the verdict and `on_open` there is usually nothing. But answers of the application may
//! come together, and the handshakes that they are about open after the last of them: each must
//! count for the next, or all would pass a limit of one.
//!
//! This module does not know how many may come.

use std::net::IpAddr;

use super::access::endpoint::Header;
use super::admission::Dialect;
use super::bearers::Bearer;
use crate::hub::ConnId;
use crate::timer::Millis;
use crate::wire::CloseCode;

/// Everybody who is between a `Verdict::Upgrade` and its `on_open`.
#[derive(Default)]
pub(super) struct Arrivals(Vec<Arrival>);

/// A connection that is about to open.
pub(super) struct Arrival {
    pub(super) id: ConnId,
    pub(super) path: Box<str>,
    pub(super) ip: Option<IpAddr>,
    pub(super) dialect: Dialect,
    pub(super) who: Who,
}

pub(super) enum Who {
    /// Nobody has to say who he is; perhaps he claims a name.
    Anybody(Option<Box<str>>),
    Bearer(Bearer),
    Stranger(Stranger),
    /// Somebody who may not come in, and whose program can only be told so by a Close.
    TurnedAway(CloseCode, &'static str),
}

/// A connection that has not said who it is.
pub(super) struct Stranger {
    pub(super) path: Box<str>,
    pub(super) claim: Option<Box<str>>,
    pub(super) dialect: Dialect,
    /// What it said, if that is to be answered when the endpoint has: a hello.
    pub(super) hello: Option<Box<str>>,
    /// Of which address it has a place.
    pub(super) ip: Option<IpAddr>,
    /// What the endpoint would be told.
    pub(super) forwarded: Vec<Header>,
    /// Until when it may be one.
    pub(super) until: Millis,
}

impl Arrivals {
    pub(super) fn push(&mut self, arrival: Arrival) {
        self.0.push(arrival);
    }

    /// Takes out whoever comes over this connection.
    pub(super) fn take(&mut self, id: ConnId) -> Option<Arrival> {
        let at = self.0.iter().position(|arrival| arrival.id == id)?;
        Some(self.0.swap_remove(at))
    }

    /// How many of them are this user's.
    pub(super) fn of_user(&self, user: &str) -> usize {
        self.0.iter().filter(|arrival| arrival.who.user() == Some(user)).count()
    }

    /// From where they come.
    pub(super) fn addresses(&self) -> impl Iterator<Item = IpAddr> {
        self.0.iter().filter_map(|arrival| arrival.ip)
    }
}

impl Who {
    /// The user who comes, as far as that is known.
    fn user(&self) -> Option<&str> {
        match self {
            Who::Anybody(claim) => claim.as_deref(),
            Who::Bearer(bearer) => Some(&bearer.identity.user),
            Who::Stranger(_) | Who::TurnedAway(..) => None,
        }
    }
}
