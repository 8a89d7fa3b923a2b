//! Rows of a Parquet file, read back as what was signed.

use std::sync::Arc;

use headwater_client::cell::{Cell, TokenWriter};
use headwater_protocols::manifest::ColumnType;
use headwater_protocols::record::Record;
use headwater_protocols::time::Timestamp;
use parquet::data_type::{BoolType, ByteArray, ByteArrayType, DoubleType, Int64Type};
use parquet::errors::ParquetError;
use parquet::file::reader::RowGroupReader;

use super::limits::TABLE_GROUP_CELLS;
use super::parquet_column::{column, require_small};
use super::table::Table;

/// The columns of a row group.
pub(super) struct TableRows {
    table: Arc<Table>,
    indexes: Vec<Option<i64>>,
    times: Vec<Option<i64>>,
    cells: Vec<Column>,
    tokens: Vec<Option<ByteArray>>,
}

/// The cells of a column.
enum Column {
    Numbers(Vec<Option<f64>>),
    Integers(Vec<Option<i64>>),
    Times(Vec<Option<i64>>),
    Bools(Vec<Option<bool>>),
    Texts(Vec<Option<ByteArray>>),
    Json(Vec<Option<ByteArray>>),
    Bytes(Vec<Option<ByteArray>>),
}

impl TableRows {
    pub(super) fn read(
        group: &dyn RowGroupReader,
        table: &Arc<Table>,
    ) -> Result<Self, ParquetError> {
        let columns = table.all_types().count();
        let rows = usize::try_from(group.metadata().num_rows()).unwrap_or(usize::MAX);
        if rows.saturating_sub(1).saturating_mul(columns) >= TABLE_GROUP_CELLS {
            return Err(ParquetError::General("it has too many rows".to_owned()));
        }
        let cells = table.all_types().enumerate().map(|(place, column_type)| {
            let at = 2 + place;
            Ok::<_, ParquetError>(match column_type {
                ColumnType::Number => Column::Numbers(column::<DoubleType>(group, at, rows)?),
                ColumnType::Integer => Column::Integers(column::<Int64Type>(group, at, rows)?),
                ColumnType::Time => Column::Times(column::<Int64Type>(group, at, rows)?),
                ColumnType::Bool => Column::Bools(column::<BoolType>(group, at, rows)?),
                ColumnType::Text => Column::Texts(column::<ByteArrayType>(group, at, rows)?),
                ColumnType::Json => Column::Json(column::<ByteArrayType>(group, at, rows)?),
                ColumnType::Bytes => Column::Bytes(column::<ByteArrayType>(group, at, rows)?),
            })
        });
        let cells = cells.collect::<Result<Vec<_>, _>>()?;
        let tokens = column::<ByteArrayType>(group, 2 + columns, rows)?;
        let texts = cells.iter().filter_map(|column| match column {
            Column::Texts(cells) | Column::Json(cells) | Column::Bytes(cells) => Some(cells),
            Column::Numbers(_) | Column::Integers(_) | Column::Times(_) | Column::Bools(_) => None,
        });
        require_small(texts.flatten().chain(&tokens))?;
        Ok(Self {
            table: table.clone(),
            indexes: column::<Int64Type>(group, 0, rows)?,
            times: column::<Int64Type>(group, 1, rows)?,
            cells,
            tokens,
        })
    }

    /// Hands over the records, one after the other: of a row only its cells are kept.
    pub(super) fn rows<E>(
        self,
        mut take: impl FnMut(u64, Record) -> Result<(), E>,
    ) -> Result<(), E> {
        let (mut tokens, mut value) = (TokenWriter::default(), Vec::new());
        let rows = self.indexes.iter().zip(&self.times).zip(&self.tokens);
        for (row, ((index, time), token)) in rows.enumerate() {
            let index = index.unwrap_or_default().cast_unsigned();
            let time = Timestamp(time.unwrap_or_default());
            let record = match token {
                Some(token) => Record::new(time, token.data()),
                None => {
                    value.clear();
                    self.put(row, &mut value, &mut tokens);
                    Record::new(time, &value)
                }
            };
            take(index, record)?;
        }
        Ok(())
    }

    /// The value whose cells stand in a row. What is no text gives another one, which
    /// is not what was signed.
    fn put(&self, row: usize, value: &mut Vec<u8>, tokens: &mut TokenWriter) {
        let own = self.table.types().count();
        for (place, column) in self.cells.iter().enumerate() {
            let text = |cells: &[Option<ByteArray>]| {
                let bytes = cells.get(row)?.as_ref()?;
                str::from_utf8(bytes.data()).ok().map(ToOwned::to_owned)
            };
            let (text, cell) = match column {
                Column::Numbers(cells) => (None, at(cells, row).map(Cell::Number)),
                Column::Integers(cells) => (None, at(cells, row).map(Cell::Integer)),
                Column::Times(cells) => (None, at(cells, row).map(|us| Cell::Time(Timestamp(us)))),
                Column::Bools(cells) => (None, at(cells, row).map(Cell::Bool)),
                Column::Texts(cells) => (None, text(cells).map(|text| Cell::Text(text.into()))),
                Column::Json(cells) => (text(cells), None),
                Column::Bytes(cells) => {
                    let bytes = cells.get(row).and_then(Option::as_ref);
                    (None, bytes.map(|bytes| Cell::Bytes(bytes.data().to_vec())))
                }
            };
            let cell = cell.unwrap_or(Cell::Missing);
            let cell = text.as_deref().map_or(cell, Cell::Json);
            if place < own {
                value.push(if place == 0 { b'[' } else { b',' });
                tokens.put(value, &cell);
            } else if let Cell::Json(rest) = cell {
                // What stands behind the columns, without the bracket that opens it.
                value.push(b',');
                value.extend_from_slice(rest.strip_prefix('[').unwrap_or(rest).as_bytes());
                return;
            }
        }
        value.push(b']');
    }
}

/// The cell of a row.
fn at<T: Copy>(cells: &[Option<T>], row: usize) -> Option<T> {
    cells.get(row).copied().flatten()
}
