#![no_main]
use switchboard_fuzz::engine_operations;
libfuzzer_sys::fuzz_target!(|input: &[u8]| engine_operations::check(input));
