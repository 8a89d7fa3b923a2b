//! See `headwater_fuzz::hostile_owner`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| headwater_fuzz::hostile_owner(bytes));
