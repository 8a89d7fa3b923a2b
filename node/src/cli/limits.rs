//! Every bound that the rows of a file can push against on their way into a stream,
//! with the reason for its number.

/// Rows of a file that are compared with a stream at a time, about 100 bytes each.
pub(crate) const ROWS_COMPARED: usize = 1 << 15;

/// Rows of a file whose time lies ahead of us and that are compared with the
/// stream one by one: more are no mistakes of a clock.
pub(crate) const MAX_ROWS_AHEAD: usize = 1 << 15;

/// Rows of a file whose time lies ahead of us and that may be mistakes of a clock;
/// more are forecasts.
pub(crate) const FEW_AHEAD: usize = 16;

/// Places in which the records of a file may be cut apart by those of others, 16
/// bytes each: batches of a file have thousands of rows.
pub(crate) const MAX_RUNS: usize = 1 << 20;
