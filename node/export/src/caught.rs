//! A reader of others that panics on some damaged files: its panic becomes an
//! error, and nobody sees its words.

use std::cell::Cell;
use std::panic::{self, AssertUnwindSafe};
use std::sync::Once;

use parquet::errors::ParquetError;

thread_local! {
    /// Whether what panics on this thread is caught, and says so as an error.
    static IS_CAUGHT: Cell<bool> = const { Cell::new(false) };
}

/// Reads something that may be damaged in any way. What it leaves behind when it
/// panics must not be read again.
///
/// # Errors
/// The reader's; or it is damaged in a way that the reader does not bear.
pub fn caught<T>(read: impl FnOnce() -> Result<T, ParquetError>) -> Result<T, ParquetError> {
    be_silent_of_caught_panics();
    let before = IS_CAUGHT.replace(true);
    let result = panic::catch_unwind(AssertUnwindSafe(read));
    IS_CAUGHT.set(before);
    let damaged = || Err(ParquetError::General("it is damaged".to_owned()));
    result.unwrap_or_else(|_| damaged())
}

/// Every other panic is said as it was before.
fn be_silent_of_caught_panics() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let before = panic::take_hook();
        panic::set_hook(Box::new(move |what| {
            if !IS_CAUGHT.get() {
                before(what);
            }
        }));
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_of_a_reader_is_an_error_and_what_comes_after_it_is_not_caught() {
        let result: Result<(), _> = caught(|| panic!("range end index 65 out of range"));
        assert!(result.unwrap_err().to_string().contains("it is damaged"));
        assert!(!IS_CAUGHT.get());
        assert_eq!(caught(|| Ok(1)).unwrap(), 1);
    }
}
