#![no_main]
use switchboard_fuzz::engine_operations::{Script, perform};
libfuzzer_sys::fuzz_target!(|script: Script| perform(&script));
