#![no_main]
use switchboard_fuzz::inflate;
libfuzzer_sys::fuzz_target!(|input: &[u8]| inflate::check(input));
