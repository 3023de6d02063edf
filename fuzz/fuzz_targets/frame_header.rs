#![no_main]
use switchboard_fuzz::frame_header;
libfuzzer_sys::fuzz_target!(|input: &[u8]| frame_header::check(input));
