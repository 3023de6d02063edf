#![no_main]
use switchboard_fuzz::envelope;
libfuzzer_sys::fuzz_target!(|input: &[u8]| envelope::check(input));
