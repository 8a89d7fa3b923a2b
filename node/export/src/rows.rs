//! Exported files, read back record by record as they were signed.

use std::fs::File;
use std::io::{self, BufReader, Read};

use headwater_client::base64;
use headwater_protocols::manifest::ValueType;
use headwater_protocols::record::Record;
use headwater_protocols::time::Timestamp;
use parquet::data_type::{ByteArray, ByteArrayType, DoubleType, Int64Type};
use parquet::errors::ParquetError;
use parquet::file::reader::{FileReader, RowGroupReader};
use parquet::file::serialized_reader::SerializedFileReader;

use super::caught::caught;
use super::exact::number_token;
use super::limits::ROW_GROUP_ROWS;
use super::parquet::PROOF_KEY;
use super::parquet_column::{column, require_small};
use super::table::Shape;
use super::table_csv::table_rows;
use super::table_rows::TableRows;

/// Why a file cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum RowsError {
    /// The disk.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// It is not of the form that is written here.
    #[error("{0}")]
    Form(String),
    /// A part of it is not.
    #[error("{part} cannot be read: {why}")]
    Part {
        /// Which part.
        part: String,
        /// What is wrong with it.
        why: String,
    },
}

/// Reads a CSV file.
///
/// # Errors
/// It cannot be read, or `take` fails.
pub fn csv_rows<E: From<RowsError>>(
    file: impl Read,
    shape: impl Into<Shape>,
    mut take: impl FnMut(u64, Record) -> Result<(), E>,
) -> Result<(), E> {
    let value_type = match shape.into() {
        Shape::One(value_type) => value_type,
        Shape::Rows(table) => return table_rows(file, &table, in_line, take),
    };
    let mut reader = csv::Reader::from_reader(BufReader::with_capacity(1 << 16, file));
    let mut row = csv::ByteRecord::new();
    loop {
        let at = reader.position().line() + 1;
        let wrong = |why: &str| in_line::<RowsError>(at, why.to_owned());
        match reader.read_byte_record(&mut row) {
            Ok(true) => {}
            Ok(false) => return Ok(()),
            Err(error) => return Err(wrong(&error.to_string()).into()),
        }
        let (index, record) = csv_row(&row, value_type).map_err(wrong)?;
        take(index, record)?;
    }
}

fn in_line<E: From<RowsError>>(line: u64, why: String) -> E {
    let part = format!("line {line}");
    RowsError::Part { part, why }.into()
}

fn csv_row(row: &csv::ByteRecord, value_type: ValueType) -> Result<(u64, Record), &'static str> {
    let text = |at| {
        row.get(at)
            .and_then(|field| std::str::from_utf8(field).ok())
    };
    let index = text(0).and_then(|index| index.parse().ok());
    let index = index.ok_or("its index is no whole number")?;
    let time = text(1).and_then(|time| headwater_client::times::exact(time).ok());
    let time = time.ok_or("its time is no RFC 3339 time")?;
    let value = row.get(2).ok_or("it has no value")?;
    let record = match value_type {
        ValueType::Number | ValueType::Text | ValueType::Json => Record::new(time, value),
        ValueType::Bytes => {
            let value = base64::decode(value).map_err(|_| "its value is no base64")?;
            Record::new(time, &value)
        }
    };
    Ok((index, record))
}

/// A Parquet file that carries its proof.
pub struct ParquetRows {
    reader: SerializedFileReader<File>,
}

impl std::fmt::Debug for ParquetRows {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ParquetRows").finish_non_exhaustive()
    }
}

impl ParquetRows {
    /// Reads the metadata.
    ///
    /// # Errors
    /// It is no Parquet file, or its metadata is damaged.
    pub fn open(file: File) -> Result<Self, RowsError> {
        let reader = caught(|| SerializedFileReader::new(file));
        let reader = reader.map_err(|error| RowsError::Part {
            part: "the metadata at the end of the file".to_owned(),
            why: error.to_string(),
        })?;
        Ok(Self { reader })
    }

    /// The proof that it carries.
    #[must_use]
    pub fn proof(&self) -> Option<&str> {
        let metadata = self.reader.metadata().file_metadata();
        let entries = metadata.key_value_metadata()?;
        let proof = entries.iter().find(|entry| entry.key == PROOF_KEY)?;
        proof.value.as_deref()
    }

    /// How many row groups it has.
    #[must_use]
    pub fn row_groups(&self) -> usize {
        self.reader.num_row_groups()
    }

    /// Reads the rows, a row group at a time.
    ///
    /// # Errors
    /// It cannot be read, or `take` fails.
    pub fn rows<E: From<RowsError>>(
        &self,
        shape: impl Into<Shape>,
        mut take: impl FnMut(u64, Record) -> Result<(), E>,
    ) -> Result<(), E> {
        let shape = shape.into();
        let mut row = 0_i64;
        for group in 0..self.reader.num_row_groups() {
            let rows = self.reader.metadata().row_group(group).num_rows();
            let last = row.saturating_add(rows).saturating_sub(1);
            let part = || format!("row group {group} (rows {row} to {last})");
            let wrong = |why: String| RowsError::Part { part: part(), why };
            let read = caught(|| {
                let group = self.reader.get_row_group(group)?;
                Ok(match &shape {
                    Shape::One(value_type) => Group::One(Columns::read(&*group, *value_type)?),
                    Shape::Rows(table) => Group::Rows(TableRows::read(&*group, table)?),
                })
            });
            match read.map_err(|error| wrong(error.to_string()))? {
                Group::One(columns) => columns.rows(&mut take)?,
                Group::Rows(rows) => rows.rows(&mut take)?,
            }
            row = row.saturating_add(rows);
        }
        Ok(())
    }
}

/// What a row group has.
enum Group {
    One(Columns),
    Rows(TableRows),
}

/// The columns of a row group.
struct Columns {
    indexes: Vec<i64>,
    times: Vec<i64>,
    /// The bytes that were signed.
    values: Vec<Vec<u8>>,
}

impl Columns {
    fn read(group: &dyn RowGroupReader, value_type: ValueType) -> Result<Self, ParquetError> {
        let rows = group.metadata().num_rows();
        let rows = usize::try_from(rows)
            .ok()
            .filter(|&rows| rows <= ROW_GROUP_ROWS);
        let rows = rows.ok_or_else(|| ParquetError::General("it has too many rows".to_owned()))?;
        let all = |column: Vec<Option<i64>>| -> Result<Vec<i64>, ParquetError> {
            let column: Option<Vec<_>> = column.into_iter().collect();
            column.ok_or_else(|| ParquetError::General("a row is empty".to_owned()))
        };
        let indexes = all(column::<Int64Type>(group, 0, rows)?)?;
        let times = all(column::<Int64Type>(group, 1, rows)?)?;
        let tokens = column::<ByteArrayType>(group, 3, rows)?;
        let mut digits = Vec::new();
        let values: Option<Vec<_>> = match value_type {
            ValueType::Number => {
                let numbers = column::<DoubleType>(group, 2, rows)?;
                require_small(tokens.iter())?;
                let number = |number: f64| number_token(number, &mut digits).to_vec();
                with_tokens(numbers, tokens, number).collect()
            }
            ValueType::Text | ValueType::Json | ValueType::Bytes => {
                let values = column::<ByteArrayType>(group, 2, rows)?;
                require_small(values.iter().chain(&tokens))?;
                with_tokens(values, tokens, |value| value.data().to_vec()).collect()
            }
        };
        let values = values.ok_or_else(|| ParquetError::General("a row is empty".to_owned()))?;
        Ok(Self {
            indexes,
            times,
            values,
        })
    }

    fn rows<E>(self, mut take: impl FnMut(u64, Record) -> Result<(), E>) -> Result<(), E> {
        let rows = self.indexes.into_iter().zip(self.times).zip(self.values);
        for ((index, time), value) in rows {
            take(index.cast_unsigned(), Record::new(Timestamp(time), &value))?;
        }
        Ok(())
    }
}

/// The token where there is one, else the value's own bytes.
fn with_tokens<T>(
    values: Vec<Option<T>>,
    tokens: Vec<Option<ByteArray>>,
    mut bytes: impl FnMut(T) -> Vec<u8>,
) -> impl Iterator<Item = Option<Vec<u8>>> {
    let rows = values.into_iter().zip(tokens);
    rows.map(move |(value, token)| match token {
        Some(token) => Some(token.data().to_vec()),
        None => value.map(&mut bytes),
    })
}
