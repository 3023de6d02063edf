#![no_main]
use switchboard_fuzz::sessions;
libfuzzer_sys::fuzz_target!(|input: &[u8]| sessions::check(input));
