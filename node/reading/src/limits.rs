//! Every bound of what waits while records are read, with the reason for its number.

/// Bytes of records that wait, of all streams of a join, until those before them
/// in time were read. In a stream whose times rise that is one chunk, up to
/// 1.5 MB with what tells its records apart; 40 of them fit, and more than a
/// thousand of numbers. A stream of numbers may run to and fro over 600,000
/// records.
pub const MAX_DISORDER_BYTES: usize = 64 << 20;

/// What a record that waits costs beside its value: its time, index, and place
/// in memory.
pub const WAITING_BYTES: usize = 96;
