//! Rows as Parquet: `index`, `time`, a typed column for each of theirs, and `token`, a
//! bounded row group at a time. In a file with a proof `token` has bytes, else text.

use std::io::{self, Write};
use std::sync::Arc;

use bytes::Bytes;
use headwater_client::cell::Cell;
use headwater_protocols::record::Record;
use parquet::basic::{LogicalType, Repetition, TimeUnit, Type as PhysicalType};
use parquet::data_type::{ByteArray, ByteArrayType, Int64Type};
use parquet::errors::ParquetError;
use parquet::file::metadata::KeyValue;
use parquet::file::writer::SerializedFileWriter;
use parquet::schema::types::{Type, TypePtr};

use super::arrow::TOKEN;
use super::exact::Sparse;
use super::limits::{ROW_GROUP_BYTES, TABLE_GROUP_CELLS};
use super::parquet::{PROOF_KEY, as_text, properties, to_io, write_column};
use super::parquet_cells::ParquetCells;
use super::table::{Cells, Found, Table, TableReader};

/// Writes rows as Parquet.
pub struct TableParquet<W: Write + Send> {
    out: SerializedFileWriter<W>,
    reader: TableReader,
    indexes: Vec<i64>,
    times: Vec<i64>,
    columns: Vec<ParquetCells>,
    tokens: Sparse<ByteArray>,
    /// Whether a token has the exact bytes.
    is_exact: bool,
    bytes: usize,
}

impl<W: Write + Send> std::fmt::Debug for TableParquet<W> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TableParquet").finish_non_exhaustive()
    }
}

/// The columns, as they take the cells of a value.
struct Row<'a> {
    value: &'a Bytes,
    columns: &'a mut [ParquetCells],
}

impl Cells for Row<'_> {
    fn cell(&mut self, place: usize, found: Option<Found<'_>>) {
        if let Some(column) = self.columns.get_mut(place) {
            let cell = found.map_or(&Cell::Missing, |found| found.cell);
            column.push(cell, self.value);
        }
    }
}

impl<W: Write + Send> TableParquet<W> {
    /// Writes what stands before the first row, with a proof in the metadata, if there
    /// is one.
    ///
    /// # Errors
    /// The writer fails.
    pub fn begin(table: Arc<Table>, proof: Option<&str>, out: W) -> io::Result<Self> {
        let schema = schema(&table, proof.is_some()).map_err(to_io)?;
        let mut out = SerializedFileWriter::new(out, schema, properties()).map_err(to_io)?;
        if let Some(proof) = proof {
            let entry = KeyValue::new(PROOF_KEY.to_owned(), proof.to_owned());
            out.append_key_value_metadata(entry);
        }
        Ok(Self {
            out,
            columns: table.all_types().map(ParquetCells::new).collect(),
            reader: TableReader::new(table),
            indexes: Vec::new(),
            times: Vec::new(),
            tokens: Sparse::default(),
            is_exact: proof.is_some(),
            bytes: 0,
        })
    }

    /// Takes one row.
    ///
    /// # Errors
    /// The writer fails.
    pub fn record(&mut self, index: u64, record: &Record) -> io::Result<()> {
        let value = &record.value();
        let columns = &mut self.columns;
        let told = self.reader.read(value, &mut Row { value, columns });
        if !told.gives_back {
            let token = match self.is_exact {
                true => value.clone().into(),
                false => as_text(value),
            };
            self.tokens.push(self.indexes.len(), token);
        }
        // Parquet keeps unsigned integers as the signed ones of the same bits.
        self.indexes.push(index.cast_signed());
        self.times.push(record.time().0);
        self.bytes += value.len();
        let cells = self.indexes.len() * self.columns.len();
        if cells >= TABLE_GROUP_CELLS || self.bytes >= ROW_GROUP_BYTES {
            self.write_group().map_err(to_io)?;
        }
        Ok(())
    }

    /// Writes the last row group and the metadata.
    ///
    /// # Errors
    /// The writer fails.
    pub fn finish(mut self) -> io::Result<()> {
        if !self.indexes.is_empty() {
            self.write_group().map_err(to_io)?;
        }
        self.out.finish().map_err(to_io)?;
        self.out.inner_mut().flush()
    }

    fn write_group(&mut self) -> Result<(), ParquetError> {
        let mut group = self.out.next_row_group()?;
        write_column::<Int64Type, W>(&mut group, &self.indexes, None)?;
        write_column::<Int64Type, W>(&mut group, &self.times, None)?;
        for column in &self.columns {
            column.write(&mut group)?;
        }
        if self.reader.table().has_token() {
            let levels = self.tokens.levels(self.indexes.len());
            write_column::<ByteArrayType, W>(&mut group, self.tokens.tokens(), Some(&levels))?;
        }
        group.close()?;
        self.indexes.clear();
        self.times.clear();
        self.columns.iter_mut().for_each(ParquetCells::clear);
        self.tokens.clear();
        self.bytes = 0;
        Ok(())
    }
}

fn schema(table: &Table, is_exact: bool) -> Result<TypePtr, ParquetError> {
    let time = Some(LogicalType::timestamp(true, TimeUnit::MICROS));
    let field = |name: &str, physical, logical, repetition| {
        let field = Type::primitive_type_builder(name, physical)
            .with_repetition(repetition)
            .with_logical_type(logical);
        Ok::<_, ParquetError>(Arc::new(field.build()?))
    };
    let index = Some(LogicalType::integer(64, false));
    let mut fields = vec![
        field("index", PhysicalType::INT64, index, Repetition::REQUIRED)?,
        field("time", PhysicalType::INT64, time, Repetition::REQUIRED)?,
    ];
    for (name, column_type) in table.names().zip(table.all_types()) {
        let (physical, logical) = ParquetCells::types(column_type);
        fields.push(field(name, physical, logical, Repetition::OPTIONAL)?);
    }
    if table.has_token() {
        let token = (!is_exact).then_some(LogicalType::String);
        let token = field(TOKEN, PhysicalType::BYTE_ARRAY, token, Repetition::OPTIONAL)?;
        fields.push(token);
    }
    let schema = Type::group_type_builder("rows").with_fields(fields);
    Ok(Arc::new(schema.build()?))
}
