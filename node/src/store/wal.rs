//! Looks through RocksDB's logs of writes before they are read for good. RocksDB
//! reads them up to the first place that is wrong, and takes what comes behind to
//! have never been written. That is right for the torn end that a crash leaves,
//! and wrong where whole records stand behind it: those were lost by the disk.

use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use super::log_format::{BLOCK_BYTES, Fragment, RECYCLED_HEADER_BYTES};

/// A log of writes in which something is missing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LostWrites {
    /// The file.
    pub file: PathBuf,
    /// Where it is wrong.
    pub at: u64,
    /// Bytes of whole records behind that, in this file and in later ones.
    pub behind: u64,
}

/// What is missing of the logs of writes in a folder, if something is: the first
/// place that is wrong and has whole records behind it. A torn end is none.
///
/// # Errors
/// A file cannot be read.
pub(super) fn lost_writes(dir: &Path) -> io::Result<Option<LostWrites>> {
    let mut lost: Option<LostWrites> = None;
    for file in logs(dir)? {
        let mut log = match File::open(&file) {
            // Another process has the folder open, and is done with this one: that it
            // is locked is found out by who opens it.
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            log => log?,
        };
        let seen = look_through(&mut log)?;
        match &mut lost {
            Some(lost) => lost.behind += seen.whole + seen.behind,
            None => {
                lost = seen.wrong_at.map(|at| LostWrites {
                    file,
                    at,
                    behind: seen.behind,
                });
            }
        }
    }
    Ok(lost.filter(|lost| lost.behind > 0))
}

/// The logs of writes in a folder, the oldest first.
pub(super) fn logs(dir: &Path) -> io::Result<Vec<PathBuf>> {
    let mut logs = Vec::new();
    for entry in fs::read_dir(dir)? {
        let path = entry?.path();
        let number = path
            .file_stem()
            .and_then(|stem| stem.to_str()?.parse::<u64>().ok());
        let is_log = path.extension().is_some_and(|extension| extension == "log");
        logs.extend(number.filter(|_| is_log).map(|number| (number, path)));
    }
    logs.sort();
    Ok(logs.into_iter().map(|(_, path)| path).collect())
}

/// What one file has.
#[derive(Debug, Default, PartialEq, Eq)]
struct Seen {
    /// Bytes of fragments before the first place that is wrong.
    whole: u64,
    wrong_at: Option<u64>,
    /// The first zeros in place of a fragment: room that was made and not written
    /// to, unless something stands behind them.
    zeros_at: Option<u64>,
    /// Bytes of whole fragments behind it.
    behind: u64,
}

fn look_through(file: &mut impl Read) -> io::Result<Seen> {
    let mut seen = Seen::default();
    let mut begin = 0;
    let mut block = Vec::with_capacity(BLOCK_BYTES);
    loop {
        block.clear();
        let read = file.take(BLOCK_BYTES as u64).read_to_end(&mut block)?;
        if read == 0 {
            return Ok(seen);
        }
        look_through_block(&block, begin, &mut seen);
        begin += read as u64;
    }
}

fn look_through_block(block: &[u8], begin: u64, seen: &mut Seen) {
    let mut at = 0;
    while let Some(fragment) = Fragment::at_begin_of(&block[at..]) {
        if fragment.is_blank() && block[at..].iter().all(|&byte| byte == 0) {
            // Where no header of the longer form has room, a block ends so.
            if at + RECYCLED_HEADER_BYTES <= block.len() {
                seen.zeros_at.get_or_insert(begin + at as u64);
            }
            return;
        }
        let bytes = fragment.bytes as u64;
        if fragment.is_whole && seen.wrong_at.is_none() {
            seen.wrong_at = seen.zeros_at;
        }
        match (fragment.is_whole, seen.wrong_at) {
            (true, None) => seen.whole += bytes,
            (true, Some(_)) => seen.behind += bytes,
            (false, None) => seen.wrong_at = Some(begin + at as u64),
            (false, Some(_)) => {}
        }
        if fragment.is_cut() {
            // Its length is wrong, too: the next block begins anew.
            return;
        }
        at += fragment.bytes;
    }
}

#[cfg(test)]
mod tests {
    use rocksdb::{DB, Options, WriteOptions};

    use super::super::log_format::put_record;
    use super::*;

    /// A log of writes as RocksDB leaves it after kill -9.
    fn written(values: usize) -> (tempfile::TempDir, PathBuf) {
        let dir = tempfile::tempdir().unwrap();
        let live = tempfile::tempdir().unwrap();
        let mut options = Options::default();
        options.create_if_missing(true);
        let db = DB::open(&options, live.path()).unwrap();
        for number in 0..values {
            let value = vec![b'v'; 1 + number * 37 % 5_000];
            db.put_opt(number.to_be_bytes(), value, &WriteOptions::default())
                .unwrap();
        }
        db.flush_wal(true).unwrap();
        let log = logs(live.path()).unwrap().pop().unwrap();
        let copy = dir.path().join(log.file_name().unwrap());
        fs::copy(&log, &copy).unwrap();
        (dir, copy)
    }

    #[test]
    fn a_log_as_it_was_written_lacks_nothing_and_neither_does_one_with_a_torn_end() {
        let (dir, log) = written(300);
        let whole = fs::read(&log).unwrap();
        assert!(whole.len() > 5 * BLOCK_BYTES);
        let seen = look_through(&mut &whole[..]).unwrap();
        assert_eq!((seen.wrong_at, seen.behind), (None, 0));
        for cut in (0..whole.len()).step_by(997) {
            fs::write(&log, &whole[..cut]).unwrap();
            assert_eq!(lost_writes(dir.path()).unwrap(), None, "cut at {cut}");
        }
        // Room that the system had made for more.
        let mut longer = whole.clone();
        longer.resize(whole.len() + 3 * BLOCK_BYTES, 0);
        fs::write(&log, &longer).unwrap();
        assert_eq!(lost_writes(dir.path()).unwrap(), None);
    }

    #[test]
    fn a_wrong_bit_with_records_behind_it_is_found_wherever_it_is() {
        let (dir, log) = written(300);
        let whole = fs::read(&log).unwrap();
        // Whatever the bit is part of: checksum, length, kind, or the record.
        for place in (0..whole.len() - 3 * BLOCK_BYTES).step_by(101) {
            let mut bytes = whole.clone();
            bytes[place] ^= 1 << (place % 8);
            fs::write(&log, &bytes).unwrap();
            let lost = lost_writes(dir.path()).unwrap().expect("something is lost");
            assert_eq!(lost.file, log);
            // The record that is wrong, which is no longer than the longest.
            let place_in_record = (place as u64).checked_sub(lost.at);
            assert!(
                place_in_record.is_some_and(|at| at < 6_000),
                "{place}: {lost:?}"
            );
            let rest = (whole.len() - place) as u64;
            assert!(
                lost.behind > rest / 2 && lost.behind < rest + 8_000,
                "{place}: {lost:?}"
            );
        }
    }

    #[test]
    fn zeros_with_records_behind_them_are_no_room_that_was_made() {
        let (dir, log) = written(300);
        let whole = fs::read(&log).unwrap();
        for place in (0..whole.len() - 3 * BLOCK_BYTES).step_by(1009) {
            let mut bytes = whole.clone();
            let end = (place / BLOCK_BYTES + 1) * BLOCK_BYTES;
            bytes[place..end].fill(0);
            fs::write(&log, &bytes).unwrap();
            let lost = lost_writes(dir.path()).unwrap().expect("something is lost");
            assert!(lost.at <= place as u64, "{place}: {lost:?}");
            assert!(lost.behind > BLOCK_BYTES as u64, "{place}: {lost:?}");
        }
    }

    #[test]
    fn a_block_that_ends_with_too_few_bytes_for_a_header_lacks_nothing() {
        for left in 0..16 {
            let mut log = Vec::new();
            let header = super::super::log_format::HEADER_BYTES;
            put_record(&mut log, 0, &vec![b'v'; BLOCK_BYTES - header - left]);
            // RocksDB leaves what no header of the longer form fits into.
            if left < RECYCLED_HEADER_BYTES {
                log.resize(BLOCK_BYTES, 0);
            }
            let at = log.len();
            put_record(&mut log, at, b"the next one");
            let seen = look_through(&mut &log[..]).unwrap();
            assert_eq!((seen.wrong_at, seen.behind), (None, 0), "{left}: {seen:?}");
        }
    }

    #[test]
    fn only_logs_of_writes_are_looked_through() {
        let (dir, log) = written(20);
        for other in [
            "000007.sst",
            "MANIFEST-000004",
            "LOG",
            "x.log",
            "000008.log.old",
        ] {
            fs::write(dir.path().join(other), [7; 3 * BLOCK_BYTES]).unwrap();
        }
        assert_eq!(logs(dir.path()).unwrap(), [log]);
        assert_eq!(lost_writes(dir.path()).unwrap(), None);
    }

    #[test]
    fn what_later_logs_have_stands_behind_as_well() {
        let (dir, log) = written(20);
        fs::copy(&log, dir.path().join("999999.log")).unwrap();
        let length = fs::metadata(&log).unwrap().len();
        File::options()
            .write(true)
            .open(&log)
            .unwrap()
            .set_len(length - 3)
            .unwrap();
        let lost = lost_writes(dir.path()).unwrap().unwrap();
        assert_eq!((lost.file, lost.behind), (log, length));
    }
}
