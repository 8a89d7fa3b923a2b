//! See `headwater_fuzz::chunks`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| headwater_fuzz::chunks(bytes));
