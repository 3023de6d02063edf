//! The whole engine under a seeded fake network and clock: see `common/sim/mod.rs`.
//!
//! `SWITCHBOARD_SEEDS=1000 cargo test --test simulation` runs more seeds than the default of 100;
//! a run that fails prints the command that repeats it.

#[path = "common/sim/mod.rs"]
mod sim;

use sim::{Switch, World, for_each_seed};
use switchboard::echo::Echo;

#[test]
fn chaos_with_echo() {
    for_each_seed("chaos_with_echo", |seed| World::new(seed, Echo).run(120));
}

#[test]
fn chaos_with_a_switch() {
    for_each_seed("chaos_with_a_switch", |seed| {
        let mut world = World::new(seed, Switch::default());
        world.run(150)?;
        let faults = world.inner().faults.join("\n");
        if faults.is_empty() { Ok(()) } else { Err(faults) }
    });
}
