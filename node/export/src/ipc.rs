//! Arrow's record batches as a stream, or as a file (Feather).

use std::io::{self, Write};

use arrow_array::{ArrayRef, RecordBatch};
use arrow_ipc::writer::{FileWriter, StreamWriter};
use arrow_schema::{ArrowError, SchemaRef};

/// Which of the two: a stream is read as it comes, a file in any order, because
/// its end says where everything stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ipc {
    /// `application/vnd.apache.arrow.stream`.
    Stream,
    /// `application/vnd.apache.arrow.file`, also called Feather, version 2.
    File,
}

/// Writes record batches.
pub(super) struct Batches<W: Write> {
    out: Out<W>,
    schema: SchemaRef,
}

enum Out<W: Write> {
    Stream(Box<StreamWriter<W>>),
    File(Box<FileWriter<W>>),
}

impl<W: Write> Batches<W> {
    /// Writes the schema.
    pub(super) fn begin(ipc: Ipc, schema: SchemaRef, out: W) -> io::Result<Self> {
        let out = match ipc {
            Ipc::Stream => {
                let writer = StreamWriter::try_new(out, &schema).map_err(to_io)?;
                Out::Stream(Box::new(writer))
            }
            Ipc::File => {
                let writer = FileWriter::try_new(out, &schema).map_err(to_io)?;
                Out::File(Box::new(writer))
            }
        };
        Ok(Self { out, schema })
    }

    /// Writes one batch.
    pub(super) fn write(&mut self, columns: Vec<ArrayRef>) -> io::Result<()> {
        let batch = RecordBatch::try_new(self.schema.clone(), columns).map_err(to_io)?;
        match &mut self.out {
            Out::Stream(out) => out.write(&batch),
            Out::File(out) => out.write(&batch),
        }
        .map_err(to_io)
    }

    /// Writes the end, and flushes.
    pub(super) fn finish(mut self) -> io::Result<()> {
        match &mut self.out {
            Out::Stream(out) => {
                out.finish().map_err(to_io)?;
                out.get_mut().flush()
            }
            Out::File(out) => {
                out.finish().map_err(to_io)?;
                out.get_mut().flush()
            }
        }
    }
}

fn to_io(error: ArrowError) -> io::Error {
    match error {
        ArrowError::IoError(_, error) => error,
        other => io::Error::other(other),
    }
}
