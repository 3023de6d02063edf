//! The whole engine under a network and a clock that one number decides.
//!
//! ```text
//!   World ── chance, what happens next
//!     ├── Client ×8 ── the client role of the library, and bad habits
//!     │     ║ Link ── two byte queues, FIN, RST
//!     └── Driver ── the steps of net::reactor
//!           ├── Sockets ── the real thing, over links: reading, writing, closing
//!           └── Engine<Watched<H>> ── the real thing; Watched checks every callback
//! ```
//!
//! A run asserts nothing in the middle of a callback, for the engine catches panics there: faults
//! are collected, and looked at between ticks.

#![allow(dead_code, unused_imports, reason = "no test uses all of it")]

mod client;
mod driver;
mod handlers;
mod hesitant;
mod link;
mod random;
pub mod relay;
mod watch;
mod world;

use std::panic;

pub use client::{Client, Stage};
pub use driver::Driver;
pub use handlers::{Fountain, Panicky, Spot, Switch};
pub use hesitant::Hesitant;
pub use random::Random;
pub use watch::{Books, Ledger, Payload, Phase, Queued, Watched};
pub use world::{Pace, World};

/// What a handler panics with when it is told to; it is not worth a line in the test's output.
pub const PANIC: &str = "told to panic";

/// Silences the panics that are wanted. The others are still reported.
pub fn expect_panics() {
    static ONCE: std::sync::Once = std::sync::Once::new();
    ONCE.call_once(|| {
        let report = panic::take_hook();
        panic::set_hook(Box::new(move |info| {
            let text = info.payload().downcast_ref::<String>();
            let wanted = text.is_some_and(|text| text == PANIC);
            if !wanted {
                report(info);
            }
        }));
    });
}

/// Runs `run` for every seed: those from 0 to `SWITCHBOARD_SEEDS` (100), or the one in `SEED`.
///
/// # Panics
///
/// With the command that repeats the first run that went wrong.
pub fn for_each_seed(test: &str, run: impl Fn(u64) -> Result<(), String>) {
    expect_panics();
    let number = |name| std::env::var(name).ok().and_then(|value| value.parse::<u64>().ok());
    let seeds = match number("SEED") {
        Some(seed) => seed..seed + 1,
        None => 0..number("SWITCHBOARD_SEEDS").unwrap_or(100),
    };
    for seed in seeds {
        let again = format!("SEED={seed} cargo test --test simulation {test}");
        match panic::catch_unwind(panic::AssertUnwindSafe(|| run(seed))) {
            Ok(Ok(())) => {}
            Ok(Err(faults)) => panic!("{faults}\nrepeat with: {again}"),
            Err(_) => panic!("panicked, see above\nrepeat with: {again}"),
        }
    }
}
