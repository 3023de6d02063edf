#![no_main]
use switchboard_fuzz::close_payload;
libfuzzer_sys::fuzz_target!(|input: &[u8]| close_payload::check(input));
