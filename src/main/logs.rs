//! Where messages are kept: the store that the plan asks for, opened before anybody is let in.
//!
//! ```text
//! --data DIR   DIR/switchboard.redb ---> what is in it, its epoch, and a thread
//! nothing      memory                                                   | committed, failed
//!                                              event loop <--- wake ----'
//! ```

use std::fmt::Display;
use std::sync::{Arc, OnceLock};

use switchboard::Relay;
use switchboard::cli::Plan;
use switchboard::net::Handle;
use switchboard::relay::Logs;

/// Has the event loop ask the store, once there is a loop.
#[derive(Clone)]
pub struct Wake(Arc<OnceLock<Handle<Relay>>>);

impl Wake {
    /// The loop is this one.
    pub fn set(&self, handle: Handle<Relay>) {
        // It is called once.
        let _ = self.0.set(handle);
    }

    /// Begins a tick, at the end of which the store is asked.
    #[cfg(feature = "durable")]
    fn call(&self) {
        if let Some(handle) = self.0.get() {
            // A loop that has ended asks no more.
            let _ = handle.call(|_relay, _cx| {});
        }
    }
}

/// Opens what the plan asks for.
pub fn open(plan: &Plan) -> Result<(Logs, Wake), Box<dyn Display>> {
    let wake = Wake(Arc::default());
    #[cfg(feature = "durable")]
    if let Some(dir) = &plan.data {
        let logs = durable(dir, plan.durability, wake.clone())?;
        return Ok((logs, wake));
    }
    let _ = plan;
    Ok((Logs::in_memory(), wake))
}

#[cfg(feature = "durable")]
fn durable(
    dir: &std::path::Path,
    durability: switchboard::config::Durability,
    wake: Wake,
) -> Result<Logs, Box<dyn Display>> {
    use log::{info, warn};
    use switchboard::store::{Durable, NewEpoch, Opened, Openness};

    let opened = Durable::open(dir, durability, move || wake.call());
    let opened = opened.map_err(|error| -> Box<dyn Display> { Box::new(error) })?;
    let Opened { store, stored, epoch, report } = opened;
    let (dir, tally) = (dir.display(), report.tally);
    let (users, messages, bytes) = (tally.users, tally.entries, tally.bytes);
    info!("opened data={dir} users={users} messages={messages} bytes={bytes} epoch={epoch}");
    if let Openness::Everybody(mode) = report.openness {
        warn!(
            "{dir}: every user here may write to this directory (mode {mode:03o}), and put another \
             file in the store's place"
        );
    }
    match report.new_epoch {
        None | Some(NewEpoch::First) => {}
        Some(why) => warn!(
            "the epoch is a new one: {why}; clients are told that they may have missed something"
        ),
    }
    Ok(Logs { store: Box::new(store), stored, epoch })
}
