//! See `headwater_fuzz::manifests`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| headwater_fuzz::manifests(bytes));
