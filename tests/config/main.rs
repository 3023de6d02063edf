//! Configuration: the file, where values come from, and what the real binary makes of them.
#![cfg(feature = "cli")]

mod access;
mod check;
mod file;
mod print;
mod readme;
mod reload;
mod world;
