#![no_main]
use switchboard_fuzz::http_request;
libfuzzer_sys::fuzz_target!(|input: &[u8]| http_request::check(input));
