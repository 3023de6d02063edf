#![no_main]
use switchboard_fuzz::differential;
libfuzzer_sys::fuzz_target!(|input: &[u8]| differential::check(input));
