//! What is not held of a stream.

use headwater_protocols::engine::LogStatus;
use headwater_protocols::limits::MAX_INTERVALS;
use headwater_protocols::ranges::{Interval, IntervalSet};
use headwater_protocols::store::{History, Store, StoreError};

/// The first part of `[from, to)` that is not held.
///
/// # Errors
/// The store fails; it is read only when there are more holes than the status
/// lists.
pub(super) fn missing<S: Store + ?Sized>(
    status: &LogStatus,
    history: &History<'_, S>,
    from: u64,
    to: u64,
) -> Result<Option<Interval>, StoreError> {
    Ok(held(status, history, to)?.first_missing(from, to))
}

/// How far everything from `from` on is held, at most up to the adopted head:
/// the first index that is not; `from` itself when it is not held.
///
/// # Errors
/// The store fails; it is read only when there are more holes than the status
/// lists.
pub(super) fn held_until<S: Store + ?Sized>(
    status: &LogStatus,
    history: &History<'_, S>,
    from: u64,
) -> Result<u64, StoreError> {
    let size = status.usable_size();
    if from >= size {
        return Ok(from);
    }
    Ok(held(status, history, size)?.prefix(from).min(size))
}

/// What is held, as far as it matters below `to`.
///
/// # Errors
/// The store fails; it is read only when there are more holes than the status
/// lists.
pub(super) fn held<S: Store + ?Sized>(
    status: &LogStatus,
    history: &History<'_, S>,
    to: u64,
) -> Result<IntervalSet, StoreError> {
    let listed_to = status.held.last().map_or(0, |last| last.to);
    if status.held.len() >= MAX_INTERVALS && listed_to < to {
        return history.held();
    }
    Ok(status.held.iter().copied().collect())
}
