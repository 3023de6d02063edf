//! The authentication endpoint: what ties the relay, which asks, to the threads, which wait.
//!
//! ```text
//! Relay --ask--> Courier --> Asker's threads --> the application
//!   ^                             |
//!   +--- answered <-- Handle <----+
//! ```
//!
//! Neither knows the other: the relay knows no socket, and the threads know no user. The threads
//! are started when the server is there that hears of the answers, and end when its access is
//! configured anew.
//!
//! This module does not know what is asked, or what an answer means.

use std::io;
use std::sync::{Arc, OnceLock};
use std::thread;
use std::time::Duration;

use crate::config::Limits;
use crate::net::ask::{AskError, AskHeader, AskLimits, AskUrl, Asker, Reply};
use crate::net::{Handle, HandleError};
use crate::relay::Relay;
use crate::relay::access::Ask;
use crate::relay::access::endpoint::{Answer, Header, NotAsked, Ticket};

/// What asks an endpoint, once it is started.
#[derive(Clone, Debug)]
pub struct Courier {
    url: AskUrl,
    limits: AskLimits,
    asker: Arc<OnceLock<Asker<Ticket>>>,
}

impl Courier {
    /// A courier to an endpoint. Its clones are the same courier.
    pub fn new(url: AskUrl, limits: &Limits) -> Courier {
        let count = |limit| usize::try_from(limit).unwrap_or(usize::MAX);
        let limits = AskLimits {
            timeout_ms: limits.auth_endpoint_timeout_ms,
            threads_max: count(limits.auth_endpoint_asks_max),
            queue_max: count(limits.auth_endpoint_queue_max),
        };
        Courier { url, limits, asker: Arc::default() }
    }

    /// Starts it: from now on this server hears of the answers. The second time has no effect.
    ///
    /// # Errors
    ///
    /// If the operating system refuses a thread.
    pub fn start(&self, handle: Handle<Relay>) -> io::Result<()> {
        let done = move |ticket, reply| tell(&handle, ticket, Arc::new(answer(reply)));
        let asker = Asker::start(self.url.clone(), self.limits, done)?;
        // The one that is too many ends its threads here.
        let _ = self.asker.set(asker);
        Ok(())
    }
}

impl Ask for Courier {
    fn ask(&mut self, ticket: Ticket, headers: Vec<Header>) -> Result<(), NotAsked> {
        let asker = self.asker.get().ok_or(NotAsked::Busy)?;
        let header = |Header { name, value }| AskHeader { name, value };
        asker.ask(ticket, headers.into_iter().map(header).collect()).map_err(|error| match error {
            AskError::Unsendable => NotAsked::Unsendable,
            _ => NotAsked::Busy,
        })
    }
}

fn answer(reply: Result<Reply, AskError>) -> Answer {
    match reply {
        Ok(Reply { status, body }) => Answer::Reply { status, body },
        Err(error) => Answer::Nothing(error.to_string().into()),
    }
}

/// Has the event loop hear of an answer. Where it is too busy to take it soon, whoever waits for
/// it is told by a deadline of the event loop's own.
fn tell(handle: &Handle<Relay>, ticket: Ticket, answer: Arc<Answer>) {
    for _ in 0..TRIES {
        let answer = Arc::clone(&answer);
        match handle.call(move |relay, cx| relay.answered(cx, ticket, &answer)) {
            Ok(()) | Err(HandleError::Stopped) => return,
            Err(HandleError::Full) => thread::sleep(TRY_AGAIN_AFTER),
        }
    }
}

const TRIES: u32 = 1000;
const TRY_AGAIN_AFTER: Duration = Duration::from_millis(5);
