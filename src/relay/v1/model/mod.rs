//! The model test: random histories of a whole world, and a judge who knows the rules.
//!
//! ```text
//!   seed -> 500 steps: send, deliver, cut, crash, fail a commit, restore a copy, ...
//!        -> rest: everybody reconnects, everything is delivered
//!        -> nothing lost without a gap, nothing twice, order kept, results true
//! ```
//!
//! A failure prints its seed, and what happens in the shortest list of steps that was found to fail
//! as well. `SWITCHBOARD_SEEDS` says how many histories are tried, `SEED` which one alone.
//!
//! This module does not know how the server works.

mod client;
mod disk;
mod judge;
mod run_tests;
mod world;
