//! RocksDB's list of its table files, the MANIFEST: where a file stands in it, and
//! how one is taken out of it. A table file that is damaged cannot be removed
//! through RocksDB, which would have to read all of it first.
//!
//! A MANIFEST is a log of edits (`store/log_format`); each edit is a list of tagged
//! fields (`db/version_edit.h`).

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use headwater_protocols::store::Table;

use crate::store::log_format::{put_record, records};

/// Tags of an edit's fields.
mod tag {
    pub(super) const COMPARATOR: u64 = 1;
    pub(super) const LOG_NUMBER: u64 = 2;
    pub(super) const NEXT_FILE: u64 = 3;
    pub(super) const LAST_SEQUENCE: u64 = 4;
    pub(super) const COMPACT_CURSOR: u64 = 5;
    pub(super) const DELETED_FILE: u64 = 6;
    pub(super) const PREVIOUS_LOG: u64 = 9;
    pub(super) const LEAST_LOG: u64 = 10;
    pub(super) const NEW_FILE: u64 = 103;
    pub(super) const FAMILY: u64 = 200;
    pub(super) const FAMILY_ADDED: u64 = 201;
    pub(super) const FAMILY_DROPPED: u64 = 202;
    pub(super) const LARGEST_FAMILY: u64 = 203;
    pub(super) const IN_GROUP: u64 = 300;
    /// From here on a field that is not known begins with its length.
    pub(super) const SKIPPABLE: u64 = 1 << 13;
}

/// Ends the list of a new file's further properties.
const NO_MORE: u64 = 1;

/// Where a table file stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Place {
    family: u64,
    level: u64,
}

/// The MANIFEST that CURRENT names.
pub(super) fn current(dir: &Path) -> Option<PathBuf> {
    let text = fs::read_to_string(dir.join("CURRENT")).ok()?;
    let name = text.strip_suffix('\n')?;
    number_of(name)?;
    let path = dir.join(name);
    path.is_file().then_some(path)
}

/// The MANIFEST with the largest number.
pub(super) fn newest(dir: &Path) -> io::Result<Option<String>> {
    let mut found: Vec<(u64, String)> = Vec::new();
    for entry in fs::read_dir(dir)? {
        let name = entry?.file_name().to_string_lossy().into_owned();
        if let Some(number) = number_of(&name) {
            found.push((number, name));
        }
    }
    Ok(found.into_iter().max().map(|(_, name)| name))
}

/// Has CURRENT name a MANIFEST.
pub(super) fn set_current(dir: &Path, name: &str) -> io::Result<()> {
    let temporary = dir.join("CURRENT.dbtmp");
    let mut file = File::create(&temporary)?;
    writeln!(file, "{name}")?;
    file.sync_all()?;
    fs::rename(&temporary, dir.join("CURRENT"))?;
    File::open(dir)?.sync_all()
}

fn number_of(name: &str) -> Option<u64> {
    name.strip_prefix("MANIFEST-")?.parse().ok()
}

/// Whether the list was cut short: it ends within a record, and there are table
/// files, or tables, of which it says nothing. RocksDB would take it as it is,
/// remove the files, and pass over what the log of writes has of the tables.
///
/// # Errors
/// The folder cannot be read.
pub(super) fn is_cut(dir: &Path) -> io::Result<bool> {
    let Some(path) = current(dir) else {
        return Ok(false);
    };
    let bytes = fs::read(&path)?;
    // What is wrong otherwise RocksDB finds.
    let Ok((edits, end)) = records(&bytes) else {
        return Ok(false);
    };
    if bytes[end..].iter().all(|byte| *byte == 0) {
        return Ok(false);
    }
    let mut known = BTreeMap::new();
    let mut families = BTreeSet::new();
    for edit in &edits {
        let mut added = BTreeMap::new();
        read_edit(edit, &mut added, &mut families)?;
        known.extend(added);
    }
    if (Table::ALL.iter()).any(|table| !families.contains(table.name().as_bytes())) {
        return Ok(true);
    }
    for entry in fs::read_dir(dir)? {
        let name = entry?.file_name().to_string_lossy().into_owned();
        let number = name.strip_suffix(".sst").map(str::parse::<u64>);
        if let Some(Ok(number)) = number
            && !known.contains_key(&number)
        {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Takes table files out of the list. Nobody may have the folder open.
///
/// # Errors
/// The MANIFEST cannot be read or written, or has another form than is known
/// here.
pub(super) fn take_out(dir: &Path, files: &[u64]) -> io::Result<()> {
    let path = current(dir).ok_or_else(|| malformed("CURRENT names no MANIFEST"))?;
    let bytes = fs::read(&path)?;
    let (edits, end) = records(&bytes)?;
    let mut places = BTreeMap::new();
    for edit in &edits {
        read_edit(edit, &mut places, &mut BTreeSet::new())?;
    }
    let mut added = Vec::new();
    for file in files {
        let Some(place) = places.get(file) else {
            continue;
        };
        let mut edit = Vec::new();
        for part in [
            tag::DELETED_FILE,
            place.level,
            *file,
            tag::FAMILY,
            place.family,
        ] {
            put_varint(&mut edit, part);
        }
        let at = end + added.len();
        put_record(&mut added, at, &edit);
    }
    let mut file = OpenOptions::new().write(true).open(&path)?;
    // Zeros may stand behind the last record.
    file.set_len(end as u64)?;
    io::Seek::seek(&mut file, io::SeekFrom::End(0))?;
    file.write_all(&added)?;
    file.sync_all()
}

/// Notes what an edit adds and removes, and which tables it names.
fn read_edit(
    edit: &[u8],
    places: &mut BTreeMap<u64, Place>,
    families: &mut BTreeSet<Vec<u8>>,
) -> io::Result<()> {
    let mut fields = Fields(edit);
    let (mut family, mut added, mut deleted) = (0, Vec::new(), Vec::new());
    while !fields.0.is_empty() {
        match fields.varint()? {
            tag::COMPARATOR => {
                fields.prefixed()?;
            }
            tag::FAMILY_ADDED => {
                families.insert(fields.prefixed()?.to_vec());
            }
            tag::LOG_NUMBER
            | tag::NEXT_FILE
            | tag::LAST_SEQUENCE
            | tag::PREVIOUS_LOG
            | tag::LEAST_LOG
            | tag::LARGEST_FAMILY
            | tag::IN_GROUP => {
                fields.varint()?;
            }
            tag::COMPACT_CURSOR => {
                fields.varint()?;
                fields.prefixed()?;
            }
            tag::DELETED_FILE => {
                fields.varint()?;
                deleted.push(fields.varint()?);
            }
            tag::NEW_FILE => {
                let (level, number, _) = (fields.varint()?, fields.varint()?, fields.varint()?);
                // The first and the last key, and their sequence numbers.
                fields.prefixed()?;
                fields.prefixed()?;
                fields.varint()?;
                fields.varint()?;
                while fields.varint()? != NO_MORE {
                    fields.prefixed()?;
                }
                added.push((number, level));
            }
            tag::FAMILY => family = fields.varint()?,
            tag::FAMILY_DROPPED => {}
            tag if tag & tag::SKIPPABLE != 0 => {
                fields.prefixed()?;
            }
            tag => return Err(malformed(&format!("the field {tag} is not known"))),
        }
    }
    for number in deleted {
        places.remove(&number);
    }
    for (number, level) in added {
        places.insert(number, Place { family, level });
    }
    Ok(())
}

struct Fields<'a>(&'a [u8]);

impl<'a> Fields<'a> {
    fn varint(&mut self) -> io::Result<u64> {
        let (value, rest) = unsigned_varint::decode::u64(self.0)
            .map_err(|_| malformed("an edit ends too early"))?;
        self.0 = rest;
        Ok(value)
    }

    fn prefixed(&mut self) -> io::Result<&'a [u8]> {
        let length = usize::try_from(self.varint()?).unwrap_or(usize::MAX);
        let (field, rest) =
            (self.0.split_at_checked(length)).ok_or_else(|| malformed("an edit ends too early"))?;
        self.0 = rest;
        Ok(field)
    }
}

fn put_varint(bytes: &mut Vec<u8>, value: u64) {
    let mut buffer = unsigned_varint::encode::u64_buffer();
    bytes.extend_from_slice(unsigned_varint::encode::u64(value, &mut buffer));
}

fn malformed(why: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, why.to_owned())
}
