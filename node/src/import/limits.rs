//! Every bound that an input file can push against, with the reason for its
//! number.

/// Bytes of one row of a CSV file, without its quotation marks. A value has at
/// most 1 MiB, which is 1.4 MiB as base64; the other columns of the row may have
/// the rest. What is longer is no row: a quotation mark that is never closed, or
/// not CSV at all.
pub(crate) const MAX_ROW_BYTES: usize = 2 << 20;

/// Fields of one row, eight bytes each: four times what spreadsheets have.
pub(crate) const MAX_ROW_FIELDS: usize = 1 << 16;

/// Bytes of an input by which it is told what it is: a header and a few rows.
pub(crate) const LOOK_BYTES: usize = 64 * 1024;

/// Bytes that are read at a time.
pub(crate) const BUFFER_BYTES: usize = 256 * 1024;

/// Rows that are handed from whoever reads them to whoever looks at them: so many that
/// the handing over costs nothing, and all of them stay in the cache.
pub(crate) const MAX_ROWS_IN_HAND: usize = 1_024;

/// Bytes of their values, where these are long: three hands may be full.
pub(crate) const MAX_BYTES_IN_HAND: usize = 1 << 20;

/// Kinds of bad rows that are listed; of a file in the wrong form the first ones
/// tell enough.
pub(crate) const MAX_LISTED_KINDS: usize = 20;

/// Bad rows of one kind that are shown with what is wrong, each on a line of its
/// own, before they are put together in one.
pub(crate) const MAX_LISTED_APART: usize = 3;

/// Lines that are named of bad rows that are put together.
pub(crate) const MAX_LISTED_LINES: usize = 5;

/// Columns that are named where one is missing: a screenful.
pub(crate) const MAX_LISTED_COLUMNS: usize = 40;

/// Bytes of an id of a row of an old file: a few times those of a UUID or a hash
/// in hexadecimal digits.
pub(crate) const MAX_ID_BYTES: usize = 256;

/// Rows of a file that are remembered to notice those that are there twice, about
/// 150 bytes each. Of more rows a part is looked at.
pub(crate) const MAX_REMEMBERED_ROWS: usize = 1 << 14;

/// Hours that the clocks showed twice that are listed: those of a few years.
pub(crate) const MAX_LISTED_FOLDS: usize = 10;

/// Bad rows at the beginning of a file without a header behind which one is looked
/// for that tells its columns: what a program writes that was stopped while it began.
/// A file of which more are bad is another one.
pub(crate) const MAX_BAD_FIRST: usize = 16;

/// Bad items of an upload that are listed: enough to see what is wrong with a file,
/// and about 100 KB.
pub(crate) const MAX_LISTED_ERRORS: usize = 1_000;
