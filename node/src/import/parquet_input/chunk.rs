//! The values of one column of a row group, a few rows at a time.

use std::sync::Arc;

use parquet::basic::Type as PhysicalType;
use parquet::column::page::PageReader;
use parquet::column::reader::{ColumnReaderImpl, get_column_reader, get_typed_column_reader};
use parquet::data_type::{
    BoolType, ByteArray, ByteArrayType, DataType, DoubleType, FixedLenByteArray,
    FixedLenByteArrayType, FloatType, Int32Type, Int64Type,
};
use parquet::errors::{ParquetError, Result};
use parquet::file::metadata::RowGroupMetaData;

use super::file::{Leaf, ParquetFile};
use super::kind::{Kind, Raw};
use super::pages::{Pages, Room};

/// Values of a column, row by row.
pub(super) trait Cells: Send {
    /// Reads so many rows.
    fn read(&mut self, rows: usize) -> Result<()>;

    /// What the current row has.
    fn current(&self) -> Option<Raw<'_>>;

    /// Goes on to the next row.
    fn step(&mut self);
}

/// A column of a row group that is read.
struct Chunk<T: DataType> {
    reader: ColumnReaderImpl<T>,
    may_lack: bool,
    is_unsigned: bool,
    values: Vec<T::T>,
    /// Of each row, where it may have nothing: 1 where it has a value.
    levels: Vec<i16>,
    row: usize,
    value: usize,
}

/// Opens a column of a row group.
///
/// # Errors
/// The row group is damaged.
pub(super) fn open(
    file: &ParquetFile,
    group: &RowGroupMetaData,
    leaf: &Leaf,
    room: &Arc<Room>,
) -> Result<Box<dyn Cells>> {
    let damaged = || ParquetError::General("it is damaged: a row group lacks a column".to_owned());
    let chunk = group.columns().get(leaf.place).ok_or_else(damaged)?;
    let column = chunk.column_descr_ptr();
    let pages: Box<dyn PageReader> = Box::new(Pages::new(&file.file, chunk, room)?);
    let (may_lack, physical) = (column.max_def_level() > 0, column.physical_type());
    let is_unsigned = leaf.kind == Kind::Unsigned;
    let reader = get_column_reader(column, pages);
    macro_rules! chunk {
        ($type:ty) => {
            Box::new(Chunk::<$type> {
                reader: get_typed_column_reader(reader),
                may_lack,
                is_unsigned,
                values: Vec::new(),
                levels: Vec::new(),
                row: 0,
                value: 0,
            })
        };
    }
    Ok(match physical {
        PhysicalType::BOOLEAN => chunk!(BoolType),
        PhysicalType::INT32 => chunk!(Int32Type),
        PhysicalType::INT64 => chunk!(Int64Type),
        PhysicalType::FLOAT => chunk!(FloatType),
        PhysicalType::DOUBLE => chunk!(DoubleType),
        PhysicalType::BYTE_ARRAY => chunk!(ByteArrayType),
        PhysicalType::FIXED_LEN_BYTE_ARRAY => chunk!(FixedLenByteArrayType),
        PhysicalType::INT96 => return Err(damaged()),
    })
}

/// A value of any type.
trait AsRaw {
    fn raw(&self, is_unsigned: bool) -> Raw<'_>;
}

impl AsRaw for bool {
    fn raw(&self, _: bool) -> Raw<'_> {
        Raw::Bool(*self)
    }
}

impl AsRaw for i32 {
    fn raw(&self, is_unsigned: bool) -> Raw<'_> {
        Raw::Integer(match is_unsigned {
            true => i64::from(self.cast_unsigned()),
            false => i64::from(*self),
        })
    }
}

impl AsRaw for i64 {
    fn raw(&self, _: bool) -> Raw<'_> {
        Raw::Integer(*self)
    }
}

impl AsRaw for f32 {
    fn raw(&self, _: bool) -> Raw<'_> {
        Raw::Number(f64::from(*self))
    }
}

impl AsRaw for f64 {
    fn raw(&self, _: bool) -> Raw<'_> {
        Raw::Number(*self)
    }
}

impl AsRaw for ByteArray {
    fn raw(&self, _: bool) -> Raw<'_> {
        Raw::Bytes(self.data())
    }
}

impl AsRaw for FixedLenByteArray {
    fn raw(&self, _: bool) -> Raw<'_> {
        Raw::Bytes(self.data())
    }
}

impl<T: DataType> Cells for Chunk<T>
where
    T::T: AsRaw,
{
    fn read(&mut self, rows: usize) -> Result<()> {
        self.values.clear();
        self.levels.clear();
        (self.row, self.value) = (0, 0);
        let mut read = 0;
        while read < rows {
            let levels = self.may_lack.then_some(&mut self.levels);
            let (more, _, _) =
                self.reader
                    .read_records(rows - read, levels, None, &mut self.values)?;
            if more == 0 {
                return Err(ParquetError::General(
                    "it is damaged: a column ends before the others".to_owned(),
                ));
            }
            read += more;
        }
        Ok(())
    }

    fn current(&self) -> Option<Raw<'_>> {
        let has_one = !self.may_lack || self.levels.get(self.row) == Some(&1);
        let value = has_one.then(|| self.values.get(self.value)).flatten();
        value.map(|value| value.raw(self.is_unsigned))
    }

    fn step(&mut self) {
        let has_one = !self.may_lack || self.levels.get(self.row) == Some(&1);
        self.value += usize::from(has_one);
        self.row += 1;
    }
}
