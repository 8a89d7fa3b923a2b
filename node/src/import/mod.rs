//! Files and uploads are read here, from bytes to rows with their lines and with
//! what is wrong with each; how a file is written is found out of all of its rows.
//! Nothing here knows a terminal, HTTP, a clock or the node.
//!
//! A file is a [`file_source`] of bytes, which [`csv_records`] or [`line_input`]
//! take apart. What nobody has said of it is told by [`guess`] and stands in a
//! [`dialect`]; [`old_csv`] and [`named_csv`] ask for that. A
//! Parquet file says it itself: [`parquet_input`]. [`files`] are what was
//! found out, and their [`rows`]. What is sent to the API is read by [`incoming`]
//! and [`unsigned_row`]. Rows of streams with columns are a [`row`] wherever they come
//! from.

pub(crate) mod column_guess;
pub(crate) mod csv_header;
pub(crate) mod csv_input;
mod csv_quotes;
mod csv_records;
pub(crate) mod delimiter;
pub(crate) mod dialect;
mod extra_column;
pub(crate) mod file_kind;
pub(crate) mod file_overlaps;
pub(crate) mod file_range;
pub(crate) mod file_repeats;
pub(crate) mod file_source;
pub(crate) mod files;
pub(crate) mod folds;
mod guess;
pub(crate) mod incoming;
pub(crate) mod limits;
pub(crate) mod line_input;
pub(crate) mod named_csv;
mod number_text;
pub(crate) mod old_csv;
pub(crate) mod old_layout;
pub(crate) mod parquet_input;
pub(crate) mod read_ahead;
pub(crate) mod row;
mod row_cells;
mod row_object;
pub(crate) mod rows;
pub(crate) mod time_order;
mod time_reader;
pub(crate) mod time_zone;
pub(crate) mod unclear;
pub(crate) mod unsigned_row;
pub(crate) mod value;
