//! Checks exported files against the proof that they carry, without a node.
//!
//! First the proof is checked against the publisher's signature, then each run
//! of records against its hash. Last, the file is written again and compared:
//! what is in it beside the records, such as statistics that readers believe,
//! must be what follows from them.

use std::fs::File;
use std::io::{self, BufReader, Read, Write};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use headwater_client::proof::{ExportProof, ProofFileError, ProvedRuns};
use headwater_protocols::id::LogId;
use headwater_protocols::merkle::{CompactRange, Hash, Subtree};
use headwater_protocols::record::Record;

use super::rows::{ParquetRows, RowsError, csv_rows};
use super::{Encoder, Format, Shape};

/// Why an exported file is not what the publisher signed.
#[derive(Debug, thiserror::Error)]
pub enum ExportError {
    /// The proof proves nothing.
    #[error(transparent)]
    Proof(#[from] ProofFileError),
    /// There is no proof in it.
    #[error("the file carries no proof; export it with --with-proof")]
    NoProof,
    /// It cannot be read.
    #[error(transparent)]
    Rows(#[from] RowsError),
    /// The disk.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// A row is left out, is twice there, or is at another place.
    #[error("record {found} stands where record {expected} must be")]
    Order {
        /// The index that was to follow.
        expected: u64,
        /// The one that did.
        found: u64,
    },
    /// Rows behind the last one that was proved.
    #[error("the proof ends before record {0}, and the file does not")]
    TooMany(u64),
    /// Rows are missing at the end.
    #[error("the file ends before record {next}; the proof is about all up to {}", .to - 1)]
    TooFew {
        /// The record that was to follow.
        next: u64,
        /// The index behind the last one.
        to: u64,
    },
    /// A run of records is not the one that was signed.
    #[error("{} not what the publisher signed", run_text(*.0))]
    Changed(Subtree),
    /// The records hold, and something beside them does not.
    #[error(
        "the records are what the publisher signed, but byte {0} of the file is not what an export of them has there"
    )]
    Byte(u64),
}

fn run_text(run: Subtree) -> String {
    match run.len() {
        1 => format!("record {} is", run.begin()),
        _ => format!(
            "the records {} to {} are",
            run.begin(),
            run.end().saturating_sub(1)
        ),
    }
}

/// Checks a Parquet file that carries its proof.
///
/// # Errors
/// It is not what the publisher of the stream signed; the error says where.
pub fn verify_parquet(path: &Path, expected: Option<LogId>) -> Result<ProvedRuns, ExportError> {
    let rows = ParquetRows::open(File::open(path)?)?;
    let json = rows.proof().ok_or(ExportError::NoProof)?;
    let proof = ExportProof::from_json(json)?;
    let proved = proof.verify(expected)?;
    // The proof, too, is written again.
    let mut check = Check::new(&proved, path, Begin::Parquet(&proof.to_json()))?;
    rows.rows(Shape::of(&proved.manifest), |index, record| {
        check.record(index, &record)
    })?;
    check.finish(path)?;
    Ok(proved)
}

/// Checks a CSV file against the proof beside it.
///
/// # Errors
/// It is not what the publisher of the stream signed; the error says where.
pub fn verify_csv(
    path: &Path,
    proof: &str,
    expected: Option<LogId>,
) -> Result<ProvedRuns, ExportError> {
    let proved = ExportProof::from_json(proof)?.verify(expected)?;
    let mut check = Check::new(&proved, path, Begin::Csv)?;
    let shape = Shape::of(&proved.manifest);
    csv_rows(File::open(path)?, shape, |index, record| {
        check.record(index, &record)
    })?;
    check.finish(path)?;
    Ok(proved)
}

/// What the file is written as, to be compared.
enum Begin<'a> {
    Csv,
    /// With this proof.
    Parquet(&'a str),
}

/// A writer that writes nothing, and sees how far a file has the same bytes.
struct Comparing {
    file: BufReader<File>,
    block: Vec<u8>,
    same: Arc<AtomicU64>,
    differs: Arc<AtomicBool>,
}

impl Comparing {
    fn new(path: &Path) -> io::Result<Self> {
        Ok(Self {
            file: BufReader::with_capacity(1 << 16, File::open(path)?),
            block: Vec::new(),
            same: Arc::default(),
            differs: Arc::default(),
        })
    }
}

impl Write for Comparing {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.differs.load(Ordering::Relaxed) {
            return Ok(bytes.len());
        }
        self.block.clear();
        let mut rest = (&mut self.file).take(bytes.len() as u64);
        rest.read_to_end(&mut self.block)?;
        let same = self.block.iter().zip(bytes).take_while(|(a, b)| a == b);
        let same = same.count();
        self.same.fetch_add(same as u64, Ordering::Relaxed);
        self.differs.store(same < bytes.len(), Ordering::Relaxed);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// The records of a file on their way past the proof.
struct Check<'a> {
    runs: std::slice::Iter<'a, (Subtree, Hash)>,
    /// The run that is being read, and what has been read of it.
    run: Option<(Subtree, Hash)>,
    read: CompactRange,
    next: u64,
    to: u64,
    encoder: Encoder<Comparing>,
    same: Arc<AtomicU64>,
    differs: Arc<AtomicBool>,
}

impl<'a> Check<'a> {
    fn new(proved: &'a ProvedRuns, path: &Path, begin: Begin<'_>) -> Result<Self, ExportError> {
        let again = Comparing::new(path)?;
        let (same, differs) = (again.same.clone(), again.differs.clone());
        let shape = Shape::of(&proved.manifest);
        let encoder = match begin {
            Begin::Parquet(proof) => Encoder::begin_proved(shape, proof, again)?,
            Begin::Csv => Encoder::begin(Format::Csv, shape, again)?,
        };
        Ok(Self {
            runs: proved.runs.iter(),
            run: None,
            read: CompactRange::empty(proved.from),
            next: proved.from,
            to: proved.to,
            encoder,
            same,
            differs,
        })
    }

    fn record(&mut self, index: u64, record: &Record) -> Result<(), ExportError> {
        let expected = self.next;
        if expected >= self.to {
            return Err(ExportError::TooMany(index));
        }
        if index != expected {
            let found = index;
            return Err(ExportError::Order { expected, found });
        }
        self.encoder.record(index, record)?;
        self.next += 1;
        let (run, hash) = match self.run {
            Some(run) => run,
            None => {
                self.read = CompactRange::empty(expected);
                let next = self.runs.next().copied();
                next.ok_or(ExportError::TooMany(index))?
            }
        };
        let appended = self.read.append_leaf(record.leaf(), &mut |_, _| ());
        appended.map_err(|error| ProofFileError::Path {
            field: "runs",
            error,
        })?;
        if self.next < run.end() {
            self.run = Some((run, hash));
            return Ok(());
        }
        self.run = None;
        match self.read.hashes() {
            [found] if *found == hash => Ok(()),
            _ => Err(ExportError::Changed(run)),
        }
    }

    fn finish(self, path: &Path) -> Result<(), ExportError> {
        if self.next < self.to {
            return Err(ExportError::TooFew {
                next: self.next,
                to: self.to,
            });
        }
        self.encoder.finish()?;
        let length = std::fs::metadata(path)?.len();
        let same = self.same.load(Ordering::Relaxed);
        match same == length && !self.differs.load(Ordering::Relaxed) {
            true => Ok(()),
            false => Err(ExportError::Byte(same)),
        }
    }
}

#[cfg(test)]
mod tests {
    use headwater_client::proof::prove_export;
    use headwater_protocols::manifest::ValueType;
    use headwater_protocols::store::History;
    use headwater_protocols::time::Timestamp;

    use super::super::published::Published;
    use super::*;

    /// The reader of Parquet panics on some of these files.
    #[test]
    fn an_exported_file_that_lacks_some_bytes_is_refused_wherever_they_were() {
        let records = (0..21).map(|i| Record::new(Timestamp(i), i.to_string().as_bytes()));
        let published = Published::of_type(ValueType::Number, &[records.collect()]);
        let stati = published.stati();
        let [status] = &stati[..] else { panic!() };
        let history = History::new(published.store(), status.key.unwrap());
        let proof = prove_export(status, &history, 3, 17).unwrap().to_json();
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("export.parquet");
        let file = std::fs::File::create(&path).unwrap();
        let mut encoder = Encoder::begin_proved(ValueType::Number, &proof, file).unwrap();
        for index in 3..17 {
            encoder
                .record(index, &history.record(index).unwrap())
                .unwrap();
        }
        encoder.finish().unwrap();
        assert!(verify_parquet(&path, Some(status.log)).is_ok());
        let whole = std::fs::read(&path).unwrap();
        for place in 0..whole.len() {
            let behind = &whole[whole.len().min(place + 15)..];
            std::fs::write(&path, [&whole[..place], behind].concat()).unwrap();
            assert!(verify_parquet(&path, None).is_err(), "byte {place}");
        }
    }
}
