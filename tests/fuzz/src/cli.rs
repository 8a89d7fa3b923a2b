//! The readers of CSV files, as `node` has them.

#[path = "../../../node/src/cli/csv_quotes.rs"]
mod csv_quotes;
#[path = "../../../node/src/cli/csv_records.rs"]
pub(crate) mod csv_records;
#[path = "../../../node/src/cli/limits.rs"]
pub(crate) mod limits;
#[path = "../../../node/src/cli/number_text.rs"]
pub(crate) mod number_text;
#[path = "../../../node/src/cli/output.rs"]
mod output;
#[path = "../../../node/src/cli/terminal.rs"]
mod terminal;
