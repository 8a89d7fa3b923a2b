//! How much a reader allocates.

/// What a reader may allocate whatever its input: the value itself, an error.
const FIXED_BYTES: u64 = 8 * 1024;

/// Runs a reader of `input` bytes, which may hold `times` as many at any moment.
pub(crate) fn bounded<T>(what: &str, input: usize, times: u64, read: impl FnOnce() -> T) -> T {
    let mut result = None;
    let used = allocation_counter::measure(|| result = Some(read()));
    let bound = input as u64 * times + FIXED_BYTES;
    assert!(
        used.bytes_max <= bound,
        "{what}: {input} bytes of input made {} bytes of memory, more than {bound}",
        used.bytes_max
    );
    result.expect("it was run")
}
