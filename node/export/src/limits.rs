//! Every bound of the column formats, with the reason for its number.

/// Rows of a row group of Parquet. Readers keep a row group in memory, and so
/// does the writer: 3 MB of numbers. Fewer rows would cost readers more
/// requests and the file more metadata.
pub const ROW_GROUP_ROWS: usize = 1 << 17;

/// Bytes of the values of a row group. A value has up to a mebibyte, and two
/// row groups' worth may be in memory: as read, and as encoded.
pub const ROW_GROUP_BYTES: usize = 16 << 20;

/// Bytes of the values of a row group that is read back: those of
/// [`ROW_GROUP_BYTES`], which the last value exceeds by up to a mebibyte, three
/// times as texts, where each byte that is no UTF-8 became U+FFFD, and once more
/// as exact tokens. A file of a few kilobytes may claim any number of them.
pub const MAX_READ_GROUP_BYTES: usize = 4 * (ROW_GROUP_BYTES + (1 << 20));

/// Bytes of a line of CSV that is read back: a value has up to a mebibyte, stands there
/// as cells and, where these do not give it back, once more whole, and of either all
/// may be quotation marks, which stand there twice.
pub const MAX_READ_LINE_BYTES: usize = 8 << 20;

/// Cells of a row group of rows, with which it ends: those of eight columns are as many
/// as there may be rows of one value, and 12 MB of numbers.
pub const TABLE_GROUP_CELLS: usize = 8 * ROW_GROUP_ROWS;

/// Rows of a row group of a join, at least, however many columns it has: each
/// column of each group is 150 bytes of metadata, which are in memory to the end.
/// With 256 columns and ten million rows that is 50 MB, and a row group 20 MB.
pub const MIN_JOINED_GROUP_ROWS: usize = 1 << 13;

/// Rows of a record batch of Arrow: what a consumer gets at a time. The first
/// records are seen soon, and a batch's head costs 1 % of its bytes.
pub const BATCH_ROWS: usize = 1 << 15;

/// Bytes of the values of a record batch.
pub const BATCH_BYTES: usize = 8 << 20;

/// Rows of a join in equal steps of which it was said where they begin and end: ten
/// years of every three seconds. A year in microseconds would be a mistake that
/// costs days.
pub const MAX_JOIN_ROWS: u64 = 100_000_000;

/// Such rows where a record of some publisher says where they begin or end, which
/// one of the year 9999 does, too: the seconds of a leap year, in half a minute.
pub const MAX_OPEN_JOIN_ROWS: u64 = 32_000_000;
