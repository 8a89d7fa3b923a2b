//! Records as texts (CSV, NDJSON, JSON) and as columns (Arrow, Parquet), written
//! as they are read, so that memory does not grow with the
//! history.
//!
//! The same records give the same bytes on every node.

mod aggregate;
mod arrow;
mod arrow_cells;
mod caught;
mod csv;
mod csv_cell;
mod csv_line;
mod exact;
mod exact_sum;
mod gaps;
mod ipc;
mod join;
mod json;
mod kind;
pub mod limits;
mod ndjson;
mod parquet;
mod parquet_cells;
mod parquet_column;
mod proved_file;
pub mod rows;
mod summary;
mod table;
mod table_arrow;
mod table_csv;
mod table_parquet;
mod table_rows;
mod value;

use std::io::{self, Write};
use std::str::FromStr;

use headwater_protocols::record::Record;

pub use self::aggregate::Aggregate;
pub use self::arrow::ArrowEncoder;
pub use self::caught::caught;
pub use self::csv::CsvEncoder;
pub use self::ipc::Ipc;
pub use self::parquet::{LAYOUT, PROOF_KEY, ParquetEncoder};
pub use gaps::GapFinder;
pub use join::{Column, Join, JoinError, JoinedStream, Rows, TooManyRows, column_names, join};
pub use json::JsonEncoder;
pub use kind::Kind;
pub use ndjson::{NdjsonEncoder, RecordObject};
pub use proved_file::{ExportError, verify_csv, verify_parquet};
pub use summary::{Summary, SummaryError};
pub use table::{Shape, Table};
pub use table_arrow::TableArrow;
pub use table_parquet::TableParquet;
pub use value::put_json;

/// How records are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// `index,time,value`, or of rows `index,time`, their columns and `token`: a header
    /// first, RFC 4180 quoting, `\n` between lines.
    Csv,
    /// The same for spreadsheets: what these would run stands behind a `'`, so that
    /// it is no longer what was signed.
    SafeCsv,
    /// One JSON object a line.
    Ndjson,
    /// One array of the same objects.
    Json,
    /// An Arrow IPC stream.
    Arrow,
    /// An Arrow IPC file, which is called Feather, too.
    Feather,
    /// A Parquet file.
    Parquet,
}

/// A format that is not known.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a format; use csv, safe-csv, ndjson, json, arrow, feather or parquet")]
pub struct UnknownFormat(String);

impl FromStr for Format {
    type Err = UnknownFormat;

    fn from_str(text: &str) -> Result<Self, UnknownFormat> {
        match text {
            "csv" => Ok(Self::Csv),
            "safe-csv" => Ok(Self::SafeCsv),
            "ndjson" => Ok(Self::Ndjson),
            "json" => Ok(Self::Json),
            "arrow" => Ok(Self::Arrow),
            "feather" => Ok(Self::Feather),
            "parquet" => Ok(Self::Parquet),
            other => Err(UnknownFormat(other.chars().take(32).collect())),
        }
    }
}

impl Format {
    /// Its name, as it is asked for.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Csv => "csv",
            Self::SafeCsv => "safe-csv",
            Self::Ndjson => "ndjson",
            Self::Json => "json",
            Self::Arrow => "arrow",
            Self::Feather => "feather",
            Self::Parquet => "parquet",
        }
    }

    /// Whether the file of more records begins with the whole file of fewer.
    #[must_use]
    pub fn is_of_lines(self) -> bool {
        match self {
            Self::Csv | Self::SafeCsv | Self::Ndjson => true,
            Self::Json | Self::Arrow | Self::Feather | Self::Parquet => false,
        }
    }

    /// Its media type, as HTTP names it.
    #[must_use]
    pub fn media_type(self) -> &'static str {
        match self {
            Self::Csv | Self::SafeCsv => "text/csv; charset=utf-8; header=present",
            Self::Ndjson => "application/x-ndjson",
            Self::Json => "application/json",
            Self::Arrow => "application/vnd.apache.arrow.stream",
            Self::Feather => "application/vnd.apache.arrow.file",
            Self::Parquet => "application/vnd.apache.parquet",
        }
    }
}

/// Writes records in one of the formats.
#[derive(Debug)]
pub enum Encoder<W: Write + Send> {
    /// CSV.
    Csv(Box<CsvEncoder<W>>),
    /// NDJSON.
    Ndjson(NdjsonEncoder<W>),
    /// JSON.
    Json(JsonEncoder<W>),
    /// Arrow, as a stream or as a file.
    Arrow(Box<ArrowEncoder<W>>),
    /// Parquet.
    Parquet(Box<ParquetEncoder<W>>),
    /// Rows as Arrow.
    TableArrow(Box<TableArrow<W>>),
    /// Rows as Parquet.
    TableParquet(Box<TableParquet<W>>),
}

impl<W: Write + Send> Encoder<W> {
    /// Begins: writes what stands before the first record.
    ///
    /// # Errors
    /// The writer fails.
    pub fn begin(format: Format, shape: impl Into<Shape>, out: W) -> io::Result<Self> {
        let shape = shape.into();
        Ok(match format {
            Format::Csv => Self::Csv(Box::new(CsvEncoder::begin(shape, out)?)),
            Format::SafeCsv => Self::Csv(Box::new(CsvEncoder::begin_safe(shape, out)?)),
            Format::Ndjson => Self::Ndjson(NdjsonEncoder::new(shape, out)),
            Format::Json => Self::Json(JsonEncoder::begin(shape, out)?),
            Format::Arrow => Self::arrow(Ipc::Stream, shape, out)?,
            Format::Feather => Self::arrow(Ipc::File, shape, out)?,
            Format::Parquet => Self::parquet(shape, None, out)?,
        })
    }

    fn arrow(ipc: Ipc, shape: Shape, out: W) -> io::Result<Self> {
        Ok(match shape {
            Shape::One(value_type) => {
                Self::Arrow(Box::new(ArrowEncoder::begin(ipc, value_type, out)?))
            }
            Shape::Rows(table) => Self::TableArrow(Box::new(TableArrow::begin(ipc, table, out)?)),
        })
    }

    fn parquet(shape: Shape, proof: Option<&str>, out: W) -> io::Result<Self> {
        Ok(match shape {
            Shape::One(value_type) => {
                Self::Parquet(Box::new(ParquetEncoder::begin(value_type, proof, out)?))
            }
            Shape::Rows(table) => {
                Self::TableParquet(Box::new(TableParquet::begin(table, proof, out)?))
            }
        })
    }

    /// Begins a Parquet file that carries its proof.
    ///
    /// # Errors
    /// The writer fails.
    pub fn begin_proved(shape: impl Into<Shape>, proof: &str, out: W) -> io::Result<Self> {
        Self::parquet(shape.into(), Some(proof), out)
    }

    /// Writes one record.
    ///
    /// # Errors
    /// The writer fails.
    pub fn record(&mut self, index: u64, record: &Record) -> io::Result<()> {
        match self {
            Self::Csv(encoder) => encoder.record(index, record),
            Self::Ndjson(encoder) => encoder.record(index, record),
            Self::Json(encoder) => encoder.record(index, record),
            Self::Arrow(encoder) => encoder.record(index, record),
            Self::Parquet(encoder) => encoder.record(index, record),
            Self::TableArrow(encoder) => encoder.record(index, record),
            Self::TableParquet(encoder) => encoder.record(index, record),
        }
    }

    /// Ends: writes what stands behind the last record, and flushes.
    ///
    /// # Errors
    /// The writer fails.
    pub fn finish(self) -> io::Result<()> {
        match self {
            Self::Csv(encoder) => encoder.finish(),
            Self::Ndjson(encoder) => encoder.finish(),
            Self::Json(encoder) => encoder.finish(),
            Self::Arrow(encoder) => encoder.finish(),
            Self::Parquet(encoder) => encoder.finish(),
            Self::TableArrow(encoder) => encoder.finish(),
            Self::TableParquet(encoder) => encoder.finish(),
        }
    }
}

#[cfg(test)]
mod published;

#[cfg(test)]
mod tests;

#[cfg(test)]
mod column_tests;
