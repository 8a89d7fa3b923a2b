//! Where a file's bytes come from. A file is read more than once; what can be
//! read only once (stdin, a pipe) is put into a temporary file first.

use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::Arc;

use anyhow::{Context, bail};

use super::file_kind::{Expected, mistaken};
use super::limits::LOOK_BYTES;
use crate::wording::printable;

/// What stands for stdin.
const STDIN: &str = "-";

/// What Parquet files begin with.
const PARQUET: &[u8] = b"PAR1";

/// Spreadsheets begin a file with it.
const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

/// A file that can be read again and again.
#[derive(Clone, Debug)]
pub(crate) struct Source {
    /// What messages call it.
    pub(crate) name: String,
    kept: Kept,
    is_parquet: bool,
}

#[derive(Clone, Debug)]
enum Kept {
    /// Under this path. It is opened when its turn comes, because there may be
    /// more files than a process may have open.
    Path(std::path::PathBuf),
    /// A temporary file without a name.
    Spooled(Arc<File>),
}

/// What shows that a file was changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Fingerprint {
    length: u64,
    modified: Option<std::time::SystemTime>,
}

/// The bytes of a source, from its beginning.
pub(crate) type Bytes = io::Chain<io::Cursor<Vec<u8>>, Box<dyn Read + Send>>;

impl Source {
    /// A file, `-` for stdin, or a pipe.
    ///
    /// # Errors
    /// It cannot be read, or is plainly not what is expected.
    pub(crate) fn of(path: &Path, expected: Expected) -> anyhow::Result<Self> {
        if path.as_os_str() == STDIN {
            let spooled = spool(io::stdin().lock(), expected).context("cannot read stdin")?;
            return Self::new("stdin".to_owned(), Kept::Spooled(spooled));
        }
        let name = printable(&path.display().to_string());
        let cannot = || format!("cannot read {name}");
        let about = fs::metadata(path).with_context(cannot)?;
        if about.is_dir() {
            bail!("cannot read {name}: it is a folder");
        }
        let kept = if about.is_file() {
            let first = look(&mut File::open(path).with_context(cannot)?).with_context(cannot)?;
            refuse(&first, expected).with_context(cannot)?;
            Kept::Path(path.to_owned())
        } else {
            let once = File::open(path).with_context(cannot)?;
            Kept::Spooled(spool(once, expected).with_context(cannot)?)
        };
        Self::new(name, kept)
    }

    fn new(name: String, kept: Kept) -> anyhow::Result<Self> {
        let mut source = Self {
            name,
            kept,
            is_parquet: false,
        };
        let mut first = Vec::new();
        let most = PARQUET.len() as u64;
        source.open()?.take(most).read_to_end(&mut first)?;
        source.is_parquet = first == PARQUET;
        Ok(source)
    }

    /// Whether it is a Parquet file, by its first bytes.
    pub(crate) fn is_parquet(&self) -> bool {
        self.is_parquet
    }

    /// The file itself, for who reads it from any place.
    ///
    /// # Errors
    /// It cannot be opened.
    pub(crate) fn file(&self) -> io::Result<Arc<File>> {
        match &self.kept {
            Kept::Path(path) => File::open(path).map(Arc::new),
            Kept::Spooled(file) => Ok(Arc::clone(file)),
        }
    }

    /// Reads it from its beginning, behind a byte order mark.
    ///
    /// # Errors
    /// It cannot be opened.
    pub(crate) fn open(&self) -> anyhow::Result<Bytes> {
        let mut rest: Box<dyn Read + Send> = match &self.kept {
            Kept::Path(path) => Box::new(File::open(path)?),
            Kept::Spooled(file) => Box::new(Again {
                file: Arc::clone(file),
                at: 0,
            }),
        };
        let mut first = Vec::new();
        let mark = BYTE_ORDER_MARK.len() as u64;
        rest.by_ref().take(mark).read_to_end(&mut first)?;
        if first == BYTE_ORDER_MARK {
            first.clear();
        }
        Ok(io::Cursor::new(first).chain(rest))
    }

    /// # Errors
    /// It is gone.
    pub(crate) fn fingerprint(&self) -> anyhow::Result<Fingerprint> {
        let about = match &self.kept {
            Kept::Path(path) => fs::metadata(path),
            Kept::Spooled(file) => file.metadata(),
        };
        let about = about.with_context(|| format!("cannot read {}", self.name))?;
        Ok(Fingerprint {
            length: about.len(),
            modified: about.modified().ok(),
        })
    }
}

/// The first bytes of an input.
fn look(input: &mut impl Read) -> io::Result<Vec<u8>> {
    let mut first = Vec::new();
    input.take(LOOK_BYTES as u64).read_to_end(&mut first)?;
    Ok(first)
}

fn refuse(first: &[u8], expected: Expected) -> anyhow::Result<()> {
    match mistaken(first, expected) {
        Some(what) => bail!("it is {what}"),
        None => Ok(()),
    }
}

/// Puts an input into a temporary file, which goes with the process.
fn spool(mut input: impl Read, expected: Expected) -> anyhow::Result<Arc<File>> {
    let first = look(&mut input)?;
    refuse(&first, expected)?;
    let folder = std::env::temp_dir();
    let full = || {
        let folder = folder.display();
        format!("it is kept in {folder} while it is checked (TMPDIR names another folder)")
    };
    let mut file = tempfile::tempfile().with_context(full)?;
    file.write_all(&first).with_context(full)?;
    io::copy(&mut input, &mut file).with_context(full)?;
    Ok(Arc::new(file))
}

/// A file that is shared, read from a place of one's own.
struct Again {
    file: Arc<File>,
    at: u64,
}

impl Read for Again {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.file.read_at(buffer, self.at)?;
        self.at += read as u64;
        Ok(read)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(source: &Source) -> String {
        let mut text = String::new();
        source.open().unwrap().read_to_string(&mut text).unwrap();
        text
    }

    #[test]
    fn an_input_that_comes_once_can_be_read_again() {
        let rows = "ts,value\n".to_owned() + &"2024-01-01,1\n".repeat(20_000);
        let kept = Kept::Spooled(spool(rows.as_bytes(), Expected::Csv).unwrap());
        let spooled = Source::new("stdin".to_owned(), kept).unwrap();
        let mut begun = spooled.open().unwrap();
        begun.read_exact(&mut [0; 5]).unwrap();
        assert!(text(&spooled) == rows && text(&spooled) == rows);
        assert_eq!(
            spooled.fingerprint().unwrap(),
            spooled.fingerprint().unwrap()
        );
    }

    #[test]
    fn a_byte_order_mark_is_no_part_of_a_text() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.csv");
        for (written, read) in [("\u{feff}ts\n", "ts\n"), ("ts", "ts"), ("", ""), ("é", "é")] {
            fs::write(&path, written).unwrap();
            assert_eq!(text(&Source::of(&path, Expected::Csv).unwrap()), read);
        }
    }

    #[test]
    fn what_cannot_be_meant_is_named_without_its_bytes() {
        let folder = tempfile::tempdir().unwrap();
        let refused = |path: &Path| {
            let error = Source::of(path, Expected::Csv).unwrap_err();
            format!("{error:#}")
        };
        assert!(refused(folder.path()).contains("is a folder"));
        assert!(refused(&folder.path().join("none")).contains("cannot read"));
        let path = folder.path().join("a.csv");
        fs::write(&path, b"PAR1\x1b[2J\xff\xff").unwrap();
        let said = refused(&path);
        assert!(said.contains("Parquet") && !said.contains("PAR1"), "{said}");
        let spooled = spool(&b"\x1f\x8b\x08"[..], Expected::Csv).unwrap_err();
        assert!(spooled.to_string().contains("gzip"));
    }
}
