//! One column of a row group of a Parquet file, read back.

use parquet::column::reader::get_typed_column_reader;
use parquet::data_type::{ByteArray, DataType};
use parquet::errors::ParquetError;
use parquet::file::reader::RowGroupReader;

use super::limits::MAX_READ_GROUP_BYTES;

/// Refuses to copy more bytes than a row group has that was written here: many
/// rows may share the bytes of one value.
pub(super) fn require_small<'a>(
    mut values: impl Iterator<Item = &'a Option<ByteArray>>,
) -> Result<(), ParquetError> {
    let bytes = values.try_fold(0_usize, |bytes, value| {
        let more = value.as_ref().map_or(0, |value| value.data().len());
        bytes
            .checked_add(more)
            .filter(|&bytes| bytes <= MAX_READ_GROUP_BYTES)
    });
    match bytes {
        Some(_) => Ok(()),
        None => Err(ParquetError::General(
            "its values have too many bytes".to_owned(),
        )),
    }
}

/// A column, with nothing in the rows that have no value.
pub(super) fn column<T: DataType>(
    group: &dyn RowGroupReader,
    at: usize,
    rows: usize,
) -> Result<Vec<Option<T::T>>, ParquetError> {
    if at >= group.num_columns() {
        return Err(ParquetError::General("it has too few columns".to_owned()));
    }
    let description = group.metadata().column(at).column_descr();
    if description.physical_type() != T::get_physical_type() {
        return Err(ParquetError::General(format!(
            "the column {} has another type",
            description.name()
        )));
    }
    let may_lack = description.max_def_level() > 0;
    let mut reader = get_typed_column_reader::<T>(group.get_column_reader(at)?);
    let (mut values, mut levels) = (Vec::new(), Vec::new());
    let mut read = 0;
    while read < rows {
        let levels = may_lack.then_some(&mut levels);
        let (records, _, _) = reader.read_records(rows - read, levels, None, &mut values)?;
        if records == 0 {
            return Err(ParquetError::General("it has too few rows".to_owned()));
        }
        read += records;
    }
    if !may_lack {
        return Ok(values.into_iter().map(Some).collect());
    }
    let mut values = values.into_iter();
    Ok(levels
        .into_iter()
        .map(|level| if level > 0 { values.next() } else { None })
        .collect())
}
