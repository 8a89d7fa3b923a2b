//! A Parquet file: what stands at its end, and which columns there are.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::sync::Arc;

use anyhow::{Context, bail, ensure};
use parquet::file::metadata::{ParquetMetaData, ParquetMetaDataReader, RowGroupMetaData};
use parquet::schema::types::TypePtr;

use super::super::limits::MAX_PARQUET_FOOTER_BYTES;
use super::kind::Kind;
use super::pages::unpacks;
use crate::wording::printable;
use headwater_export::caught;

/// The magic number, and how many bytes tell the length of what stands ahead of it.
const MAGIC: &[u8] = b"PAR1";
const TAIL: u64 = 8;

/// A Parquet file.
#[derive(Clone, Debug)]
pub(crate) struct ParquetFile {
    pub(super) file: Arc<File>,
    metadata: Arc<ParquetMetaData>,
}

/// A column of one.
#[derive(Clone, Debug)]
pub(super) struct Leaf {
    /// Its place among those that have bytes.
    pub(super) place: usize,
    pub(super) name: String,
    pub(super) kind: Kind,
}

impl ParquetFile {
    /// Reads what stands at its end.
    ///
    /// # Errors
    /// It is none, or damaged.
    pub(crate) fn open(file: Arc<File>) -> anyhow::Result<Self> {
        let length = file.metadata()?.len();
        ensure!(length > 2 * TAIL, "it is too short for a Parquet file");
        let mut tail = [0; TAIL as usize];
        file.read_exact_at(&mut tail, length - TAIL)?;
        let (bytes, magic) = tail.split_at(4);
        if magic == b"PARE" {
            bail!("it is an encrypted Parquet file; write it again without encryption");
        }
        ensure!(
            magic == MAGIC,
            "it begins as a Parquet file and does not end as one: it was not written, or not copied, to its end"
        );
        let bytes = u32::from_le_bytes(bytes.try_into()?) as usize;
        ensure!(
            bytes <= MAX_PARQUET_FOOTER_BYTES && bytes as u64 <= length - 2 * TAIL,
            "what stands at its end has {bytes} bytes, of at most {MAX_PARQUET_FOOTER_BYTES} and the file; write it \
             again with larger row groups"
        );
        let mut footer = vec![0; bytes];
        file.read_exact_at(&mut footer, length - TAIL - bytes as u64)?;
        let read = caught(|| ParquetMetaDataReader::decode_metadata(&footer));
        let metadata = Arc::new(read.context("what stands at its end cannot be read")?);
        Ok(Self { file, metadata })
    }

    fn fields(&self) -> &[TypePtr] {
        let schema = self.metadata.file_metadata().schema_descr();
        schema.root_schema().get_fields()
    }

    /// The names of all columns.
    pub(crate) fn names(&self) -> Vec<String> {
        let fields = self.fields().iter();
        fields.map(|field| field.name().to_owned()).collect()
    }

    pub(super) fn groups(&self) -> &[RowGroupMetaData] {
        self.metadata.row_groups()
    }

    /// How many rows it says to have.
    pub(super) fn rows(&self) -> u64 {
        let rows = self.metadata.file_metadata().num_rows();
        u64::try_from(rows).unwrap_or_default()
    }

    /// The column at this place.
    ///
    /// # Errors
    /// It has what no cell of a stream can be, or is packed in a way that is not known.
    pub(super) fn leaf(&self, at: usize) -> anyhow::Result<Leaf> {
        let field = self.fields().get(at).context("it has no such column")?;
        let name = field.name().to_owned();
        let shown = printable(&name.chars().take(64).collect::<String>());
        let kind = Kind::of(field).map_err(|why| anyhow::anyhow!("column `{shown}` {why}"))?;
        let schema = self.metadata.file_metadata().schema_descr();
        let place = (0..schema.num_columns())
            .find(|&leaf| schema.get_column_root_idx(leaf) == at)
            .context("it has no such column")?;
        for group in self.groups() {
            let chunk = group.columns().get(place);
            let chunk = chunk.context("it is damaged: a row group has too few columns")?;
            if let Err(codec) = unpacks(chunk.compression()) {
                bail!(
                    "column `{shown}` is packed with {codec}, which is not known here; write it again with Snappy, Zstandard \
                     or gzip: df.to_parquet(FILE, compression=\"zstd\")"
                );
            }
            ensure!(
                chunk.file_path().is_none(),
                "column `{shown}` stands in another file; write it again as one"
            );
        }
        Ok(Leaf { place, name, kind })
    }
}
