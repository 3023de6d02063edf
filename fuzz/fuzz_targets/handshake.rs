#![no_main]
use switchboard_fuzz::handshake;
libfuzzer_sys::fuzz_target!(|input: &[u8]| handshake::check(input));
