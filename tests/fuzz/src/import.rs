//! The readers of CSV files, as `node` has them.

#[path = "../../../node/src/import/csv_quotes.rs"]
mod csv_quotes;
#[path = "../../../node/src/import/csv_records.rs"]
pub(crate) mod csv_records;
#[path = "../../../node/src/import/limits.rs"]
pub(crate) mod limits;
#[path = "../../../node/src/import/number_text.rs"]
pub(crate) mod number_text;
