//! See `headwater_fuzz::ranges`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| headwater_fuzz::ranges(bytes));
