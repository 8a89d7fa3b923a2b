//! The mark: what was signed last of each stream of this node's own, in a file
//! outside of the data folder. A store that says less has lost something, or is
//! an older one that was put back, and nothing tells that from inside of it.
//!
//! docs/formats.md draws the file, which says whose it is. It is written in place, a slot of 64 bytes a
//! stream, before anybody hears of what was signed, and synced once a second: a
//! publish waits for no second sync of the disk, and what the loss of power
//! takes away makes the mark say less, which does no harm.

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Read};
use std::os::unix::fs::{DirBuilderExt, FileExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use headwater_protocols::engine::Mark;
use headwater_protocols::id::LogId;
use headwater_protocols::time::Timestamp;
use libp2p::PeerId;
use libp2p::identity::{PublicKey, ed25519};
use sha2::{Digest, Sha256};

/// What the file begins with; another form of it would have another number.
const MAGIC: &[u8; 16] = b"headwater mark1\n";

/// A header or a slot. It divides a sector of a disk, so that it is written
/// whole or not at all.
const SLOT_BYTES: usize = 64;

/// What a slot says of a stream that was closed; 0 of others.
const CLOSED: u8 = 1;

/// What is checked of it, and the check behind: the beginning of its SHA-256.
const CHECKED_BYTES: usize = 56;

/// Streams that one file can say something about: four times as many as a node
/// is built for, 2.5 MB.
const MAX_SLOTS: usize = 40_000;

/// Why there is no mark.
#[derive(Debug, thiserror::Error)]
pub enum MarkError {
    /// Another process writes it: this node's key is in use elsewhere on this
    /// machine, on another data folder.
    #[error("{} is in use by another process with the same key", .0.display())]
    InUse(PathBuf),
    /// It has this node's name and is another's, which a copy or a new name has put
    /// there. What it says is nothing of this node's.
    #[error("{} is the mark of the node {owner}", .path.display())]
    Foreign {
        /// The file.
        path: PathBuf,
        /// Whose it is.
        owner: PeerId,
    },
    /// It cannot be read or written.
    #[error("{}: {why}", .path.display())]
    Failed {
        /// The file, or its folder.
        path: PathBuf,
        /// What the system says.
        why: io::Error,
    },
}

/// The mark of a node. Whoever has it is the only one to write it.
#[derive(Debug)]
pub struct MarkFile {
    file: File,
    path: PathBuf,
    /// Whose it is.
    peer: PeerId,
    /// Which slot each stream has.
    slots: BTreeMap<LogId, u64>,
    marks: BTreeMap<LogId, Mark>,
    starts: Option<u64>,
    /// Slots that there are, readable or not.
    places: u64,
    /// Parts that cannot be read.
    damaged: u64,
    /// Why it cannot be written, as the system numbers it.
    refused: Option<i32>,
}

impl MarkFile {
    /// Opens the mark of the node with this peer id, and makes an empty one if
    /// there is none.
    ///
    /// # Errors
    /// The folder cannot be used, or another process has it.
    pub fn open(dir: &Path, peer: PeerId) -> Result<Self, MarkError> {
        let path = dir.join(format!("{peer}.mark"));
        let failed = |why| MarkError::Failed {
            path: path.clone(),
            why,
        };
        let (mut file, refused) = open_file(dir, &path).map_err(failed)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(MarkError::InUse(path)),
            Err(TryLockError::Error(why)) => return Err(failed(why)),
        }
        let mut bytes = Vec::new();
        let most = (MAX_SLOTS + 1) * SLOT_BYTES;
        let read = (&mut file).take(most as u64).read_to_end(&mut bytes);
        read.map_err(failed)?;
        let mut mark = Self {
            file,
            path: path.clone(),
            peer,
            slots: BTreeMap::new(),
            marks: BTreeMap::new(),
            starts: None,
            places: 0,
            damaged: 0,
            refused,
        };
        match mark.read(&bytes) {
            Some(owner) if owner != peer => Err(MarkError::Foreign { path, owner }),
            _ => Ok(mark),
        }
    }

    /// Takes what the file says; whose it is, where it says that.
    fn read(&mut self, bytes: &[u8]) -> Option<PeerId> {
        let mut slots = bytes.chunks(SLOT_BYTES);
        let mut owner = None;
        match slots.next().map(|header| checked(header)) {
            None => return None,
            Some(Some(header)) if header[..16] == *MAGIC => {
                self.starts = Some(number(&header[16..24]));
                owner = owner_of(&header[24..CHECKED_BYTES]);
            }
            // Whatever this file is, its slots are looked at.
            Some(_) => self.damaged += 1,
        }
        for slot in slots {
            let place = self.places;
            self.places += 1;
            let known = checked(slot).and_then(|slot| {
                let log = LogId::from_slice(&slot[..32])?;
                let size = number(&slot[32..40]);
                let time = Timestamp(number(&slot[40..48]).cast_signed());
                let closed = slot[48] == CLOSED;
                Some((log, Mark { size, time, closed }))
            });
            match known {
                Some((log, mark)) => {
                    self.slots.insert(log, place);
                    self.marks.insert(log, mark);
                }
                // Its place is given to nobody else: it may be read one day.
                None => self.damaged += 1,
            }
        }
        owner
    }

    /// How often the node had been started when it was written last; `None` if
    /// that is not known.
    #[must_use]
    pub fn starts(&self) -> Option<u64> {
        self.starts
    }

    /// What was signed last of each stream.
    #[must_use]
    pub fn marks(&self) -> &BTreeMap<LogId, Mark> {
        &self.marks
    }

    /// Parts of the file that cannot be read: what they said is not known.
    #[must_use]
    pub fn damaged(&self) -> u64 {
        self.damaged
    }

    /// Where it lies.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Writes down how often the node was started.
    ///
    /// # Errors
    /// The disk fails.
    pub fn begin(&mut self, starts: u64) -> io::Result<()> {
        let mut header = [0; SLOT_BYTES];
        header[..16].copy_from_slice(MAGIC);
        header[16..24].copy_from_slice(&starts.to_be_bytes());
        if let Some(key) = key_of(&self.peer) {
            header[24..CHECKED_BYTES].copy_from_slice(&key);
        }
        seal(&mut header);
        self.write(&header, 0)?;
        if self.starts.is_none() {
            // A new file: its name must survive the loss of power, too.
            self.file.sync_all()?;
            File::open(self.path.parent().unwrap_or(Path::new(".")))?.sync_all()?;
        }
        self.starts = Some(starts);
        Ok(())
    }

    /// Writes down what was signed of a stream.
    ///
    /// # Errors
    /// The disk fails, or the file is full.
    pub fn set(&mut self, log: LogId, mark: Mark) -> io::Result<()> {
        let place = *self.slots.get(&log).unwrap_or(&self.places);
        if place >= MAX_SLOTS as u64 {
            let why = format!("there is room for {MAX_SLOTS} streams");
            return Err(io::Error::other(why));
        }
        let mut slot = [0; SLOT_BYTES];
        slot[..32].copy_from_slice(&log.0);
        slot[32..40].copy_from_slice(&mark.size.to_be_bytes());
        slot[40..48].copy_from_slice(&mark.time.0.to_be_bytes());
        slot[48] = if mark.closed { CLOSED } else { 0 };
        seal(&mut slot);
        let at = (place + 1) * SLOT_BYTES as u64;
        self.write(&slot, at)?;
        self.places = self.places.max(place + 1);
        self.slots.insert(log, place);
        self.marks.insert(log, mark);
        Ok(())
    }

    fn write(&self, slot: &[u8], at: u64) -> io::Result<()> {
        match self.refused {
            Some(code) => Err(io::Error::from_raw_os_error(code)),
            None => self.file.write_all_at(slot, at),
        }
    }

    /// Whether one that could only be read can be written now. Another file in its
    /// place was not read: it is opened like any other.
    pub fn becomes_writable(&mut self) -> bool {
        if self.refused.is_none() {
            return false;
        }
        let Ok(file) = OpenOptions::new().read(true).write(true).open(&self.path) else {
            return false;
        };
        let id = |file: &File| file.metadata().ok().map(|file| (file.dev(), file.ino()));
        if id(&file).is_none() || id(&file) != id(&self.file) {
            return false;
        }
        // Each handle has a lock of its own.
        if self.file.unlock().is_err() {
            return false;
        }
        if file.try_lock().is_err() {
            let _ = self.file.try_lock();
            return false;
        }
        (self.file, self.refused) = (file, None);
        true
    }

    /// Whether it is still the file that is found where it lies.
    #[must_use]
    pub fn is_in_place(&self) -> bool {
        let id = |file: &fs::Metadata| (file.dev(), file.ino());
        match (fs::metadata(&self.path), self.file.metadata()) {
            (Ok(there), Ok(here)) => id(&there) == id(&here),
            _ => false,
        }
    }

    /// Another handle, to sync what was written while more is.
    ///
    /// # Errors
    /// The process has no file descriptor left.
    pub fn handle(&self) -> io::Result<File> {
        self.file.try_clone()
    }
}

/// Opens the file, or makes it. What cannot be written is read all the same: what
/// it says counts. With it, why it cannot be written.
fn open_file(dir: &Path, path: &Path) -> io::Result<(File, Option<i32>)> {
    let mut options = OpenOptions::new();
    options.read(true).write(true).create(true).mode(0o600);
    if fs::metadata(path).is_ok_and(|there| !there.is_file()) {
        return Err(io::Error::other("it is no file"));
    }
    let made = fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(dir);
    match made.and_then(|()| options.open(path)) {
        Ok(file) => Ok((file, None)),
        Err(error) => match (File::open(path), error.raw_os_error()) {
            (Ok(file), Some(code)) => Ok((file, Some(code))),
            _ => Err(error),
        },
    }
}

fn seal(slot: &mut [u8; SLOT_BYTES]) {
    let check = Sha256::digest(&slot[..CHECKED_BYTES]);
    slot[CHECKED_BYTES..].copy_from_slice(&check[..SLOT_BYTES - CHECKED_BYTES]);
}

/// What a slot says, if it is as it was written.
fn checked(slot: &[u8]) -> Option<&[u8]> {
    let (said, check) = slot.split_at_checked(CHECKED_BYTES)?;
    let digest = Sha256::digest(said);
    (*check == digest[..SLOT_BYTES - CHECKED_BYTES]).then_some(said)
}

/// The Ed25519 key that a peer id consists of. Nodes have no other ones.
fn key_of(peer: &PeerId) -> Option<[u8; 32]> {
    let encoded = peer.as_ref().digest();
    let key = PublicKey::try_decode_protobuf(encoded).ok()?;
    Some(key.try_into_ed25519().ok()?.to_bytes())
}

/// Whose mark it is. Zeros say nothing: a version before this wrote them.
fn owner_of(key: &[u8]) -> Option<PeerId> {
    if key.iter().all(|&byte| byte == 0) {
        return None;
    }
    let key = ed25519::PublicKey::try_from_bytes(key).ok()?;
    Some(PublicKey::from(key).to_peer_id())
}

fn number(bytes: &[u8]) -> u64 {
    bytes
        .iter()
        .fold(0, |sum, &byte| sum << 8 | u64::from(byte))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mark(size: u64) -> Mark {
        let time = Timestamp(-(size.cast_signed()));
        Mark {
            size,
            time,
            closed: size % 2 == 1,
        }
    }

    fn peer() -> PeerId {
        let key = libp2p::identity::Keypair::generate_ed25519();
        key.public().to_peer_id()
    }

    fn log(number: u8) -> LogId {
        LogId([number; 32])
    }

    #[test]
    fn what_was_written_last_is_read_again() {
        let dir = tempfile::tempdir().unwrap();
        let (folder, peer) = (dir.path().join("a/b"), PeerId::random());
        let mut file = MarkFile::open(&folder, peer).unwrap();
        assert_eq!((file.starts(), file.marks().len()), (None, 0));
        file.begin(7).unwrap();
        for (number, size) in [(1, 10), (2, 20), (1, 11), (3, 0), (1, 9)] {
            file.set(log(number), mark(size)).unwrap();
        }
        drop(file);
        let file = MarkFile::open(&folder, peer).unwrap();
        assert_eq!((file.starts(), file.damaged()), (Some(7), 0));
        let said: Vec<_> = file
            .marks()
            .iter()
            .map(|(&log, &mark)| (log, mark))
            .collect();
        let expected = [(log(1), mark(9)), (log(2), mark(20)), (log(3), mark(0))];
        assert_eq!(said, expected);
        assert_eq!(fs::metadata(file.path()).unwrap().len(), 4 * 64);
    }

    #[test]
    fn another_s_file_under_this_one_s_name_is_not_read_and_stays_as_it_is() {
        let dir = tempfile::tempdir().unwrap();
        let (ours, theirs) = (peer(), peer());
        let mut file = MarkFile::open(dir.path(), theirs).unwrap();
        file.begin(3).unwrap();
        file.set(log(1), mark(10)).unwrap();
        let (from, to) = (
            file.path().to_owned(),
            dir.path().join(format!("{ours}.mark")),
        );
        drop(file);
        fs::rename(&from, &to).unwrap();
        let bytes = fs::read(&to).unwrap();
        match MarkFile::open(dir.path(), ours) {
            Err(MarkError::Foreign { path, owner }) => {
                assert_eq!((path, owner), (to.clone(), theirs))
            }
            other => panic!("{other:?}"),
        }
        assert_eq!(fs::read(&to).unwrap(), bytes);
        // One of a version that did not say whose it is counts, and says it from
        // then on.
        let mut old = bytes;
        old[24..CHECKED_BYTES].fill(0);
        let check = Sha256::digest(&old[..CHECKED_BYTES]);
        old[CHECKED_BYTES..SLOT_BYTES].copy_from_slice(&check[..8]);
        fs::write(&to, old).unwrap();
        let mut file = MarkFile::open(dir.path(), ours).unwrap();
        assert_eq!((file.starts(), file.marks().len()), (Some(3), 1));
        file.begin(4).unwrap();
        drop(file);
        fs::rename(&to, &from).unwrap();
        let foreign = MarkFile::open(dir.path(), theirs);
        assert!(matches!(foreign, Err(MarkError::Foreign { .. })));
    }

    #[test]
    fn a_file_that_begins_otherwise_says_nothing_of_starts() {
        let dir = tempfile::tempdir().unwrap();
        let peer = peer();
        let mut file = MarkFile::open(dir.path(), peer).unwrap();
        file.begin(3).unwrap();
        file.set(log(1), mark(10)).unwrap();
        let path = file.path().to_owned();
        drop(file);
        let mut bytes = fs::read(&path).unwrap();
        bytes[..16].copy_from_slice(b"headwater mark2\n");
        let check = Sha256::digest(&bytes[..CHECKED_BYTES]);
        bytes[CHECKED_BYTES..SLOT_BYTES].copy_from_slice(&check[..8]);
        fs::write(&path, bytes).unwrap();
        let file = MarkFile::open(dir.path(), peer).unwrap();
        assert_eq!((file.starts(), file.damaged()), (None, 1));
        assert_eq!(file.marks().len(), 1);
    }

    #[test]
    fn there_is_an_end_to_the_streams_of_one_file() {
        let dir = tempfile::tempdir().unwrap();
        let peer = peer();
        let mut file = MarkFile::open(dir.path(), peer).unwrap();
        file.begin(1).unwrap();
        file.set(log(1), mark(10)).unwrap();
        // All other places are taken, by what cannot be read.
        file.file.set_len((MAX_SLOTS as u64 + 1) * 64).unwrap();
        drop(file);
        let mut file = MarkFile::open(dir.path(), peer).unwrap();
        assert_eq!(file.damaged(), MAX_SLOTS as u64 - 1);
        assert!(file.set(log(2), mark(1)).is_err());
        file.set(log(1), mark(11)).unwrap();
        assert_eq!(
            fs::metadata(file.path()).unwrap().len(),
            (MAX_SLOTS as u64 + 1) * 64
        );
    }

    #[test]
    fn one_that_could_only_be_read_is_written_once_it_can_be_and_no_other_in_its_place() {
        let dir = tempfile::tempdir().unwrap();
        let peer = peer();
        let mut file = MarkFile::open(dir.path(), peer).unwrap();
        file.begin(1).unwrap();
        assert!(!file.becomes_writable(), "it is writable");
        // As it is opened on a disk that is mounted for reading alone.
        let read_only = io::Error::from(io::ErrorKind::ReadOnlyFilesystem);
        let path = file.path().to_owned();
        file.file = File::open(&path).unwrap();
        file.file.try_lock().unwrap();
        file.refused = Some(read_only.raw_os_error().unwrap_or(30));
        assert!(file.set(log(1), mark(1)).is_err());
        let away = path.with_extension("away");
        fs::rename(&path, &away).unwrap();
        assert!(!file.is_in_place() && !file.becomes_writable());
        fs::copy(&away, &path).unwrap();
        assert!(!file.is_in_place() && !file.becomes_writable());
        fs::rename(&away, &path).unwrap();
        assert!(file.is_in_place() && file.becomes_writable());
        file.set(log(1), mark(1)).unwrap();
        let second = MarkFile::open(dir.path(), peer);
        assert!(matches!(second, Err(MarkError::InUse(_))), "{second:?}");
    }

    #[test]
    fn one_process_at_a_time_writes_it() {
        let dir = tempfile::tempdir().unwrap();
        let peer = PeerId::random();
        let _file = MarkFile::open(dir.path(), peer).unwrap();
        let second = MarkFile::open(dir.path(), peer);
        assert!(matches!(second, Err(MarkError::InUse(_))));
        MarkFile::open(dir.path(), PeerId::random()).unwrap();
    }

    #[test]
    fn a_bit_that_is_wrong_takes_one_stream_away_and_no_other() {
        let dir = tempfile::tempdir().unwrap();
        let peer = PeerId::random();
        let mut file = MarkFile::open(dir.path(), peer).unwrap();
        file.begin(1).unwrap();
        for number in 1..=3 {
            file.set(log(number), mark(u64::from(number))).unwrap();
        }
        let path = file.path().to_owned();
        drop(file);
        let whole = fs::read(&path).unwrap();
        for place in 0..whole.len() {
            let mut bytes = whole.clone();
            bytes[place] ^= 0x10;
            fs::write(&path, bytes).unwrap();
            let mut file = MarkFile::open(dir.path(), peer).unwrap();
            assert_eq!(file.damaged(), 1, "byte {place}");
            let header = usize::from(place < SLOT_BYTES);
            assert_eq!(file.starts().is_none(), header == 1);
            assert_eq!(file.marks().len(), 2 + header);
            assert!(
                file.marks()
                    .iter()
                    .all(|(log, said)| said.size == u64::from(log.0[0]))
            );
            // What is written now does no harm to what is there.
            file.begin(2).unwrap();
            file.set(log(9), mark(9)).unwrap();
            drop(file);
            let file = MarkFile::open(dir.path(), peer).unwrap();
            assert_eq!(file.marks().len(), 3 + header, "byte {place}");
        }
        // Cut at any place, it says less.
        for length in 0..whole.len() {
            fs::write(&path, &whole[..length]).unwrap();
            let file = MarkFile::open(dir.path(), peer).unwrap();
            assert_eq!(file.marks().len(), (length / 64).saturating_sub(1));
        }
    }
}
