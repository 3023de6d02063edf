#![no_main]
use switchboard_fuzz::frame_stream;
libfuzzer_sys::fuzz_target!(|input: &[u8]| frame_stream::check(input));
