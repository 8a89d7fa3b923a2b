//! Answers whose length and parts are asked for: written once into a file
//! without a name, and read from there by the requests that follow.
//!
//! A file stays for a while after its last use, although the stream grows: who
//! reads it in parts gets parts of this one ([`super::choice`]).
//!
//! A file is written by a task of its own, whoever hangs up: a client that times
//! out and asks again waits for the same file and starts no other.

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use headwater_protocols::id::LogId;
use tokio::runtime::Handle;
use tokio::sync::watch;

use super::limits::{BLOCK_BYTES, MAX_SPOOL_AGE, MAX_SPOOL_BYTES, MAX_SPOOLS, SPOOL_IDLE};
use super::places::Place;
use super::problem::ApiError;
use super::stream_body::{BlockWriter, WriteError};
use super::work::blocking;
use crate::store::Space;

/// What names an answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Name {
    /// The streams, by their ids, and what is asked about them.
    pub(super) resource: String,
    /// The entity tag.
    pub(super) tag: String,
}

/// An answer that is in a file.
#[derive(Clone, Debug)]
pub(super) struct Spool {
    file: Arc<File>,
    length: u64,
    /// Records that are left out of it.
    left_out: u64,
    /// Given back when the last one who reads the file is done with it.
    _room: Arc<Room>,
}

impl Spool {
    /// Writes an answer into a new file of this folder.
    fn write(
        spools: Arc<Spools>,
        dir: Option<&Path>,
        place: Place,
        write: impl FnOnce(&mut (dyn Write + Send)) -> Result<u64, WriteError>,
    ) -> Result<Self, ApiError> {
        let file = match dir {
            Some(dir) => tempfile::tempfile_in(dir),
            None => tempfile::tempfile(),
        };
        let file = file.map_err(|error| no_room(&error))?;
        let mut out = Noticing {
            out: BufWriter::with_capacity(BLOCK_BYTES, file),
            room: Room {
                used: spools.used.clone(),
                bytes: 0,
            },
            spools,
            dir: dir.map(Path::to_owned),
            unchecked: u64::MAX,
            place,
            runtime: Handle::current(),
            failure: None,
        };
        let left_out = match write(&mut out) {
            Ok(left_out) => left_out,
            Err(error) => {
                return Err(match (error, out.failure) {
                    // Encoders wrap what the file said.
                    (_, Some(failure)) => no_room(&failure),
                    (WriteError::Failed(error), None) => error,
                    (WriteError::Gone, None) => ApiError::internal("the answer was not written"),
                });
            }
        };
        let file = out.out.into_inner();
        let file = file.map_err(|error| no_room(error.error()))?;
        let length = file.metadata().map_err(|error| no_room(&error))?.len();
        Ok(Self {
            file: Arc::new(file),
            length,
            left_out,
            _room: Arc::new(out.room),
        })
    }

    /// Its bytes.
    pub(super) fn length(&self) -> u64 {
        self.length
    }

    /// How many records are left out of it.
    pub(super) fn left_out(&self) -> u64 {
        self.left_out
    }

    /// Writes the bytes `[from, to)`.
    pub(super) fn copy(&self, from: u64, to: u64, out: &mut BlockWriter) -> Result<(), WriteError> {
        let mut block = vec![0; BLOCK_BYTES];
        let mut at = from;
        while at < to {
            let room = (to - at).min(BLOCK_BYTES as u64) as usize;
            let block = &mut block[..room];
            let read = self.file.read_exact_at(block, at);
            read.map_err(|error| ApiError::internal(format!("reading an answer: {error}")))?;
            out.write_all(block)?;
            at += room as u64;
        }
        Ok(())
    }
}

/// The bytes of one file among those of all files.
#[derive(Debug)]
struct Room {
    used: Arc<AtomicU64>,
    bytes: u64,
}

impl Room {
    /// Takes so many more; false when all files together would have more than
    /// `most`.
    fn take(&mut self, bytes: u64, most: u64) -> bool {
        let more = |used: u64| used.checked_add(bytes).filter(|&used| used <= most);
        let order = Ordering::Relaxed;
        let taken = self.used.fetch_update(order, order, more).is_ok();
        self.bytes += if taken { bytes } else { 0 };
        taken
    }
}

impl Drop for Room {
    fn drop(&mut self) {
        self.used.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

/// A file that has a bound, and remembers why it could not be written: encoders
/// wrap errors.
struct Noticing {
    out: BufWriter<File>,
    room: Room,
    spools: Arc<Spools>,
    /// The folder that it is in, if that is the node's.
    dir: Option<PathBuf>,
    /// Bytes that were written since the disk was looked at.
    unchecked: u64,
    place: Place,
    runtime: Handle,
    failure: Option<io::Error>,
}

impl Noticing {
    /// An answer is nothing to fill the disk with: what the store needs is left.
    fn leave_room(&mut self, bytes: usize) -> io::Result<()> {
        self.unchecked = self.unchecked.saturating_add(bytes as u64);
        let Some(dir) = self.dir.as_ref().filter(|_| self.unchecked > CHECKED_EVERY) else {
            return Ok(());
        };
        self.unchecked = 0;
        let space = Space::of(dir)?;
        if space.free < space.reserve() {
            let detail = format!("the disk has {} bytes left", space.free);
            return Err(io::Error::new(io::ErrorKind::StorageFull, detail));
        }
        Ok(())
    }

    fn take_room(&mut self, bytes: usize) -> io::Result<()> {
        self.leave_room(bytes)?;
        while !self.room.take(bytes as u64, self.spools.most) {
            if !self.spools.forget_oldest() {
                let most = self.spools.most;
                let detail = format!("such files have at most {most} bytes together");
                return Err(io::Error::new(io::ErrorKind::QuotaExceeded, detail));
            }
        }
        Ok(())
    }
}

impl Write for Noticing {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        // Nobody is told to go who writes a file.
        let _ = self.place.take_turns(&self.runtime);
        let written = self.take_room(bytes.len());
        let written = written.and_then(|()| self.out.write_all(bytes));
        written.map(|()| bytes.len()).inspect_err(|error| {
            self.failure = Some(io::Error::new(error.kind(), error.to_string()));
        })
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}

/// How many bytes are written before the disk is looked at again.
const CHECKED_EVERY: u64 = 256 << 10;

fn no_room(error: &io::Error) -> ApiError {
    let detail = format!(
        "the answer could not be written into the data folder first, which its length and its \
         parts need: {error}; make room, or ask for the whole without HEAD and Range"
    );
    ApiError::new(axum::http::StatusCode::INSUFFICIENT_STORAGE, detail)
}

/// The answers that are in files, or are on their way there.
#[derive(Debug)]
pub(super) struct Spools {
    entries: Mutex<Vec<Entry>>,
    /// Bytes of all files together, those that are still read included.
    used: Arc<AtomicU64>,
    /// How many they may be.
    most: u64,
}

impl Default for Spools {
    fn default() -> Self {
        Self::with_most(MAX_SPOOL_BYTES)
    }
}

/// Nothing while it is written.
type Filled = Option<Result<Spool, ApiError>>;

/// What an entry is filled with, if that is still to be done, and from.
type Entered = (Option<watch::Sender<Filled>>, watch::Receiver<Filled>);

#[derive(Debug)]
struct Entry {
    name: Name,
    spool: watch::Receiver<Filled>,
    used: Instant,
    begun: Instant,
}

impl Entry {
    fn is_filled(&self) -> bool {
        self.spool.borrow().is_some()
    }

    /// Whether somebody may still come for it.
    fn is_wanted(&self) -> bool {
        let is_young = self.used.elapsed() < SPOOL_IDLE && self.begun.elapsed() < MAX_SPOOL_AGE;
        !self.is_filled() || is_young
    }
}

impl Spools {
    /// None yet; all files together may have `most` bytes.
    fn with_most(most: u64) -> Self {
        Self {
            entries: Mutex::default(),
            used: Arc::default(),
            most,
        }
    }

    /// The answer of this name. If there is none, it is written by a task that
    /// goes on, and keeps its place, when the request is given up.
    pub(super) async fn written(
        self: &Arc<Self>,
        name: &Name,
        dir: Option<Arc<Path>>,
        place: Place,
        write: impl FnOnce(&mut (dyn Write + Send)) -> Result<u64, WriteError> + Send + 'static,
    ) -> Result<Spool, ApiError> {
        let (filling, mut spool) = self.enter(name)?;
        match filling {
            // Whoever writes the file may need the turn that this would keep.
            None => drop(place),
            Some(filling) => {
                let (spools, name) = (self.clone(), name.clone());
                tokio::spawn(async move {
                    let to = spools.clone();
                    let spool =
                        blocking(move || Spool::write(to, dir.as_deref(), place, write)).await;
                    if spools.fill(&name, spool, filling) {
                        spools.forget_idle(&name).await;
                    }
                });
            }
        }
        let filled = spool.wait_for(Option::is_some).await;
        let filled = filled.ok().and_then(|spool| spool.clone());
        filled.unwrap_or_else(|| Err(ApiError::internal("writing an answer was cut off")))
    }

    /// The answer of this name, if it is in a file already.
    pub(super) fn find(&self, name: &Name) -> Option<Spool> {
        self.change(|entries| {
            let entry = entries.iter_mut().find(|entry| entry.name == *name)?;
            entry.used = Instant::now();
            let spool = entry.spool.borrow().clone();
            spool.and_then(Result::ok)
        })
    }

    /// Drops the answers about a stream; those who read them still have them
    /// open.
    pub(super) fn forget(&self, log: LogId) {
        let log = log.to_string();
        self.change(|entries| entries.retain(|entry| !entry.name.resource.contains(&log)));
    }

    /// The entry of this name; with what fills it, if it is new.
    fn enter(&self, name: &Name) -> Result<Entered, ApiError> {
        self.change(|entries| {
            if let Some(entry) = entries.iter_mut().find(|entry| entry.name == *name) {
                entry.used = Instant::now();
                return Ok((None, entry.spool.clone()));
            }
            if entries.len() >= MAX_SPOOLS && !forget_oldest(entries) {
                let text =
                    format!("{MAX_SPOOLS} answers are being written already; try again later");
                return Err(ApiError::busy(text));
            }
            let (filling, spool) = watch::channel(None);
            entries.push(Entry {
                name: name.clone(),
                spool: spool.clone(),
                used: Instant::now(),
                begun: Instant::now(),
            });
            Ok((Some(filling), spool))
        })
    }

    /// Tells those who wait; false when it could not be written, so that who
    /// asks next tries again.
    fn fill(
        &self,
        name: &Name,
        spool: Result<Spool, ApiError>,
        filling: watch::Sender<Filled>,
    ) -> bool {
        self.change(|entries| {
            let is_written = spool.is_ok();
            entries.retain(|entry| is_written || entry.name != *name);
            for entry in entries.iter_mut().filter(|entry| entry.name == *name) {
                entry.used = Instant::now();
            }
            filling.send_replace(Some(spool));
            // The channel has a hold on the file, too.
            drop(filling);
            is_written
        })
    }

    /// Ends when the entry of this name is gone, at the latest a while after its
    /// last use.
    async fn forget_idle(self: Arc<Self>, name: &Name) {
        let spools = Arc::downgrade(&self);
        drop(self);
        loop {
            tokio::time::sleep(SPOOL_IDLE).await;
            let Some(spools) = spools.upgrade() else {
                return;
            };
            let is_there = spools.change(|entries| {
                entries.retain(|entry| entry.name != *name || entry.is_wanted());
                entries.iter().any(|entry| entry.name == *name)
            });
            if !is_there {
                return;
            }
        }
    }

    fn forget_oldest(&self) -> bool {
        self.change(forget_oldest)
    }

    fn change<T>(&self, change: impl FnOnce(&mut Vec<Entry>) -> T) -> T {
        let mut entries = self.entries.lock().unwrap_or_else(PoisonError::into_inner);
        change(&mut entries)
    }
}

/// Forgets the file that was not used for the longest time; false when there is
/// none. Those who read it still have it open. What is being written stays: it
/// would go on, and nobody could join it.
fn forget_oldest(entries: &mut Vec<Entry>) -> bool {
    let filled = (0..entries.len()).filter(|&at| entries[at].is_filled());
    let oldest = filled.min_by_key(|&at| entries[at].used);
    oldest.map(|at| entries.remove(at)).is_some()
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;
    use std::time::Duration;

    use super::super::caller::Caller;
    use super::super::places::Places;
    use super::super::places::tests::client;
    use super::*;

    fn name(tag: &str) -> Name {
        Name {
            resource: "a stream".to_owned(),
            tag: tag.to_owned(),
        }
    }

    /// Spools with room for so many bytes, and the places of those who write.
    struct Fixture {
        spools: Arc<Spools>,
        places: Arc<Places>,
    }

    impl Fixture {
        fn new(most: u64) -> Self {
            Self::with_turns(most, 1_000)
        }

        fn with_turns(most: u64, turns: usize) -> Self {
            Self {
                spools: Arc::new(Spools::with_most(most)),
                places: Arc::new(Places::with_turns(turns)),
            }
        }

        fn write<F>(
            &self,
            tag: &str,
            write: F,
        ) -> impl Future<Output = Result<Spool, ApiError>> + Send + use<F>
        where
            F: FnOnce(&mut (dyn Write + Send)) -> Result<(), WriteError> + Send + 'static,
        {
            let (spools, name) = (self.spools.clone(), name(tag));
            let places = self.places.clone();
            async move {
                let place = places
                    .enter(&client("127.0.0.1", Caller::Unknown), 1)
                    .await?;
                let write = |out: &mut (dyn Write + Send)| write(out).map(|()| 0);
                spools.written(&name, None, place, write).await
            }
        }

        async fn bytes(&self, tag: &str, bytes: usize) -> Result<Spool, u16> {
            let written = self.write(tag, move |out| Ok(out.write_all(&vec![b'x'; bytes])?));
            written.await.map_err(|error| error.problem().status)
        }

        fn has(&self, tag: &str) -> bool {
            self.spools.find(&name(tag)).is_some()
        }
    }

    #[tokio::test]
    async fn who_hangs_up_and_asks_again_waits_for_the_same_file() {
        let fixture = Fixture::new(100);
        let (go, wait) = mpsc::channel();
        let (began, begun) = tokio::sync::oneshot::channel();
        let first = tokio::spawn(fixture.write("a", move |out| {
            let _ = began.send(());
            let _ = wait.recv();
            Ok(out.write_all(b"once")?)
        }));
        begun.await.unwrap();
        first.abort();
        assert!(first.await.unwrap_err().is_cancelled());
        // Its place is not free before it is written.
        assert_eq!(fixture.places.taken(), 1);
        let tries =
            (0..20).map(|_| tokio::spawn(fixture.write("a", |_| panic!("it is written twice"))));
        let tries: Vec<_> = tries.collect();
        go.send(()).unwrap();
        for written in tries {
            assert_eq!(written.await.unwrap().unwrap().length(), 4);
        }
        assert_eq!(fixture.spools.used.load(Ordering::Relaxed), 4);
    }

    #[tokio::test]
    async fn who_waits_for_a_file_leaves_the_turn_to_who_writes_it() {
        let fixture = Fixture::with_turns(100, 1);
        let (began, begun) = tokio::sync::oneshot::channel();
        // It takes several turns.
        let first = fixture.write("a", move |out| {
            let _ = began.send(());
            for _ in 0..20 {
                std::thread::sleep(Duration::from_millis(10));
                out.write_all(b"x")?;
            }
            Ok(())
        });
        let first = tokio::spawn(first);
        begun.await.unwrap();
        let others = [(), ()].map(|()| tokio::spawn(fixture.write("a", |_| panic!("twice"))));
        for written in others.into_iter().chain([first]) {
            let written = tokio::time::timeout(Duration::from_secs(10), written).await;
            let written = written.expect("nobody stands in the way").unwrap();
            assert_eq!(written.unwrap().length(), 20);
        }
    }

    #[tokio::test]
    async fn what_is_being_written_is_not_forgotten_and_no_more_is_begun_than_may_be_kept() {
        let fixture = Fixture::new(100);
        let mut writers = Vec::new();
        for i in 0..MAX_SPOOLS {
            let (go, wait) = mpsc::channel::<()>();
            let (began, begun) = tokio::sync::oneshot::channel();
            let write = fixture.write(&i.to_string(), move |out| {
                let _ = began.send(());
                let _ = wait.recv();
                Ok(out.write_all(b"x")?)
            });
            writers.push((tokio::spawn(write), go));
            begun.await.unwrap();
        }
        assert_eq!(fixture.bytes("more", 1).await.unwrap_err(), 503);
        // However long it takes to write.
        let is_wanted = fixture.spools.change(|entries| {
            let long_ago = Instant::now().checked_sub(2 * SPOOL_IDLE).unwrap();
            entries.iter_mut().for_each(|entry| entry.begun = long_ago);
            entries.iter_mut().for_each(|entry| entry.used = long_ago);
            entries.iter().all(Entry::is_wanted)
        });
        assert!(is_wanted);
        let (written, go) = writers.remove(3);
        drop(go);
        written.await.unwrap().unwrap();
        // Its time begins when it is there.
        let is_wanted = |entries: &mut Vec<Entry>| {
            let written = entries.iter().find(|entry| entry.is_filled());
            written.is_some_and(Entry::is_wanted)
        };
        assert!(fixture.spools.change(is_wanted));
        // However often it is asked for, it gets old.
        assert!(!fixture.spools.change(|entries| {
            let Some(written) = entries.iter_mut().find(|entry| entry.is_filled()) else {
                return true;
            };
            let begun = written.begun;
            written.begun = Instant::now().checked_sub(MAX_SPOOL_AGE).unwrap_or(begun);
            let is_wanted = written.is_wanted();
            written.begun = begun;
            is_wanted
        }));
        // Only it makes way for another.
        assert!(fixture.bytes("more", 1).await.is_ok());
        assert!(!fixture.has("3") && fixture.has("more"));
        for (written, go) in writers {
            drop(go);
            written.await.unwrap().unwrap();
        }
    }

    #[tokio::test]
    async fn all_files_together_are_bounded_and_older_ones_make_room() {
        let fixture = Fixture::new(100);
        assert_eq!(fixture.bytes("a", 101).await.unwrap_err(), 507);
        assert_eq!(fixture.spools.used.load(Ordering::Relaxed), 0);
        drop(fixture.bytes("b", 60).await.unwrap());
        let read = fixture.bytes("c", 40).await.unwrap();
        drop(fixture.bytes("d", 50).await.unwrap());
        assert!(!fixture.has("b") && fixture.has("c") && fixture.has("d"));
        // What is read takes its room although it is forgotten.
        assert_eq!(fixture.bytes("e", 61).await.unwrap_err(), 507);
        drop(read);
        assert!(fixture.bytes("e", 61).await.is_ok());
    }

    #[tokio::test]
    async fn what_could_not_be_written_is_tried_again() {
        let fixture = Fixture::new(100);
        let failed = fixture.write("a", |_| Err(ApiError::internal("a defect").into()));
        assert_eq!(failed.await.unwrap_err().problem().detail, "a defect");
        let failed = fixture.write("a", |_| panic!("a defect"));
        assert_eq!(failed.await.unwrap_err().problem().status, 500);
        assert_eq!(fixture.bytes("a", 3).await.unwrap().length(), 3);
    }
}
