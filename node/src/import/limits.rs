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

/// Bytes of what stands at the end of a Parquet file: about a hundred a column and
/// row group, so a hundred columns in a thousand row groups. In memory it takes some
/// times as much.
pub(crate) const MAX_PARQUET_FOOTER_BYTES: usize = 16 << 20;

/// Bytes of the pages of a Parquet file that are kept at one time, packed and unpacked,
/// of all columns that are read. Writers make pages of 1 MiB, some of a whole row group;
/// a page of a few bytes can unpack to gigabytes.
pub(crate) const MAX_PAGES_BYTES: usize = 256 << 20;

/// Bytes of the header of a page: a hundred, and the least and the greatest value of it.
pub(crate) const MAX_PAGE_HEADER_BYTES: usize = 4 << 20;

/// Texts of one page whose lengths are written as differences, four bytes each in
/// memory, which a few bytes of the file can stand for.
pub(crate) const MAX_DELTA_VALUES: u32 = 16 << 20;

/// Bytes of the cells that are read ahead of a Parquet file, as far as it says how long
/// its rows are.
pub(crate) const BATCH_BYTES: u64 = 8 << 20;

/// Rows of a Parquet file that are read ahead, at most: enough for what a batch costs
/// not to count.
pub(crate) const MAX_BATCH_ROWS: usize = 4096;
