#![no_main]
use switchboard_fuzz::extension_header;
libfuzzer_sys::fuzz_target!(|input: &[u8]| extension_header::check(input));
