//! Whatever happens to an engine, in whatever order.
//!
//! ```text
//! input             read by `arbitrary` as a script: `cargo fuzz fmt` shows it
//! 00                which handler, which limits, how much one read brings
//! 00 00             Connect: client 0 sends its request
//! 03 00 01 05 00 00 Message: client 0 sends 5 bytes in one frame, which ask for an echo
//! 0a                Tick
//! ```
//!
//! A script is performed on a fake network with a clock that goes when it is told. What must hold
//! after every tick, and at the end:
//!
//! * No panic, and no assertion of the engine's fails.
//! * Memory is bounded: what the engine says it holds is what it holds, and within the limits.
//! * A client understands all that is sent to it, by the reference decoder; and by the plain
//!   inflater, where messages are compressed.
//! * What was accepted (`Delivery::Queued`) arrives once, in order,
//!   unless the TCP connection was dropped; then a beginning of it has arrived.
//! * What a client sends is delivered once, in order.
//! * `on_close` comes once for each `on_open`, and last; in the end nobody and nothing is left.

mod deflate;
mod handler;
mod network;
mod script;

use arbitrary::{Arbitrary, Unstructured};
use switchboard::relay::{Counts, Relay, RelayConfig};

use handler::{Ledger, Router};
use network::Network;
pub use script::{Behaviour, Coding, Operation, Script};

/// Performs the script that an input is read as.
pub fn check(input: &[u8]) {
    if let Ok(script) = Script::arbitrary(&mut Unstructured::new(input)) {
        perform(&script);
    }
}

/// Performs a script, and holds the rules above.
pub fn perform(script: &Script) {
    let limits = script.limits();
    assert_eq!(limits.validate(), Ok(()), "the limits are such as a user may set");
    if script.has_relay() {
        let relay = Relay::new(RelayConfig { limits, ..RelayConfig::default() });
        let network = run(Network::new(limits, script, relay), script);
        let nobody = Counts { users: 0, groups: 0, rooms: 0, kept: 0, hearing: 0 };
        assert_eq!(network.handler().counts(), nobody, "the relay remembers somebody");
    } else {
        run(Network::new(limits, script, Router::default()), script);
    }
}

fn run<H: Ledger>(mut network: Network<H>, script: &Script) -> Network<H> {
    for operation in &script.operations {
        network.perform(operation, script.has_relay());
    }
    network.settle();
    network.check_delivery();
    network.finish();
    network
}
