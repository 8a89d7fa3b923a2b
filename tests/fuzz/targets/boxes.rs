//! See `headwater_fuzz::boxes`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| headwater_fuzz::boxes(bytes));
