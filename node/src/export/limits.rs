//! Every bound of the column formats, with the reason for its number.

/// Rows of a row group of Parquet. Readers keep a row group in memory, and so
/// does the writer: 3 MB of numbers. Fewer rows would cost readers more
/// requests and the file more metadata.
pub const ROW_GROUP_ROWS: usize = 1 << 17;

/// Bytes of the values of a row group. A value has up to a mebibyte, and two
/// row groups' worth may be in memory: as read, and as encoded.
pub const ROW_GROUP_BYTES: usize = 16 << 20;

/// Rows of a record batch of Arrow: what a consumer gets at a time. The first
/// records are seen soon, and a batch's head costs 1 % of its bytes.
pub const BATCH_ROWS: usize = 1 << 15;

/// Bytes of the values of a record batch.
pub const BATCH_BYTES: usize = 8 << 20;
