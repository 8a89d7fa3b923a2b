//! Keeps the mark: notes what was signed before anybody hears of it, and syncs
//! the file once a second on a thread of its own.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use headwater_protocols::engine::{Input, Mark};
use headwater_protocols::id::LogId;

use tokio::sync::mpsc;

use super::worker::Worker;
use crate::handle::{Node, Severity};
use crate::mark::{MarkError, MarkFile};

/// What the loss of power may take away of the mark.
const SYNCED_EVERY: Duration = Duration::from_secs(1);

/// The trouble that there is no mark.
const TROUBLE: &str = "mark";

/// What to do about one that is another's.
const FOREIGN: &str = "move that file to the node that it belongs to, and put this node's own there; \
                       until then what protects a publisher from signing two histories is missing";

const ADVICE: &str = "what protects a publisher from signing two histories is missing; name a \
                      folder outside of the data folder, that no backup of it takes along, with \
                      --mark-dir or mark_dir in config.toml";

/// The mark before a node runs.
#[derive(Debug)]
pub(super) enum Found {
    /// It is here.
    File(MarkFile),
    /// Another process writes it, on another data folder.
    InUse(PathBuf),
    /// The file with its name is another's.
    Foreign(String),
    /// There is none, and why.
    Missing(String),
}

impl Found {
    /// Opens the mark in a folder, if one is named.
    pub(super) fn open(dir: Option<&Path>, node: &Node) -> Self {
        let Some(dir) = dir else {
            return Self::Missing("no folder is known for it".to_owned());
        };
        match MarkFile::open(dir, node.local_peer()) {
            Ok(file) => Self::File(file),
            Err(MarkError::InUse(path)) => Self::InUse(path),
            Err(error @ MarkError::Foreign { .. }) => Self::Foreign(error.to_string()),
            Err(error) => Self::Missing(error.to_string()),
        }
    }

    /// The file, if it can be read.
    pub(super) fn file(&self) -> Option<&MarkFile> {
        match self {
            Self::File(file) => Some(file),
            Self::InUse(_) | Self::Foreign(_) | Self::Missing(_) => None,
        }
    }

    /// What it says of the streams of this node.
    pub(super) fn marks(&self) -> BTreeMap<LogId, Mark> {
        self.file()
            .map_or_else(BTreeMap::new, |file| file.marks().clone())
    }
}

/// What the engine is told of a mark that was found late.
pub(super) type LateMarks = mpsc::Receiver<Input>;

/// Notes what is signed. Dropping it syncs what was noted.
#[derive(Debug)]
pub(super) struct MarkKeeper {
    kept: Arc<Mutex<Kept>>,
    _worker: Option<Worker<Sender<()>>>,
}

#[derive(Debug)]
struct Kept {
    node: Node,
    /// Whether anybody is told that it fails: a command says what it does itself.
    tells: bool,
    dir: Option<PathBuf>,
    starts: u64,
    file: Option<MarkFile>,
    /// What could not be written yet.
    pending: BTreeMap<LogId, Mark>,
    is_dirty: bool,
    /// Tells the engine what a mark says that could not be read at the start.
    late: mpsc::Sender<Input>,
    is_told: bool,
}

impl MarkKeeper {
    /// Begins with this start's number. Where there is no mark it is tried again
    /// once a second.
    ///
    /// # Errors
    /// The system gives no thread.
    pub(super) fn start(
        node: &Node,
        dir: Option<&Path>,
        found: Found,
        starts: u64,
        has_network: bool,
    ) -> anyhow::Result<(Self, LateMarks)> {
        let (late, told) = mpsc::channel(1);
        let mut kept = Kept {
            node: node.clone(),
            tells: has_network,
            dir: dir.map(Path::to_owned),
            starts,
            file: None,
            pending: BTreeMap::new(),
            is_dirty: false,
            late,
            is_told: false,
        };
        match found {
            Found::File(file) => kept.begin(file),
            Found::InUse(path) => {
                // It is the other one's. What is signed here is not noted.
                kept.dir = None;
                kept.fails(
                    Severity::Failure,
                    format!("a node with this one's key runs on another data folder: {} is in use", path.display()),
                    "two nodes with one key sign two histories; end one of them, and never run a copy",
                );
            }
            Found::Foreign(why) => kept.is_foreign(&why),
            Found::Missing(why) => kept.is_missing(&why),
        }
        let kept = Arc::new(Mutex::new(kept));
        let worker = if has_network {
            let (asks, asked) = channel();
            let work = {
                let kept = kept.clone();
                move || keep_synced(&kept, &asked)
            };
            Some(Worker::start("mark", "syncs the mark", asks, work)?)
        } else {
            None
        };
        let keeper = Self {
            kept,
            _worker: worker,
        };
        Ok((keeper, told))
    }

    /// Notes what was signed of a stream.
    pub(super) fn signed(&self, log: LogId, mark: Mark) {
        let mut kept = lock(&self.kept);
        kept.pending.insert(log, mark);
        kept.write();
    }
}

impl Drop for MarkKeeper {
    fn drop(&mut self) {
        self._worker = None;
        sync(&self.kept);
    }
}

impl Kept {
    fn begin(&mut self, mut file: MarkFile) {
        if file.damaged() > 0 && self.tells {
            tracing::warn!(
                file = %file.path().display(),
                "parts of the mark cannot be read; what they said is not known"
            );
        }
        // A start that the store could not count must not make it less.
        let begun = file.begin(file.starts().unwrap_or(0).max(self.starts));
        let path = file.path().display().to_string();
        self.file = Some(file);
        if let Err(why) = begun {
            self.cannot_write(&path, &why);
        }
        self.is_dirty = true;
    }

    fn write(&mut self) {
        let Some(file) = &mut self.file else {
            return;
        };
        let mut failure = None;
        // One that finds no room keeps no other from its own.
        self.pending
            .retain(|&log, &mut mark| match file.set(log, mark) {
                Ok(()) => {
                    self.is_dirty = true;
                    false
                }
                Err(why) => {
                    failure = Some(why);
                    true
                }
            });
        if let Some(why) = failure {
            let path = file.path().display().to_string();
            self.cannot_write(&path, &why);
        } else if self.tells {
            self.node.trouble_ends(TROUBLE);
        }
    }

    /// Looks for the mark again where there was none, where it is gone, or where
    /// it could not be written.
    fn open(&mut self) {
        if let Some(file) = self.file.take_if(MarkFile::becomes_writable) {
            self.begin(file);
            self.write();
        }
        if self.file.as_ref().is_some_and(|file| !file.is_in_place()) {
            tracing::warn!("the mark was taken away while the node runs; it is written anew");
            self.file = None;
        }
        let (None, Some(dir)) = (&self.file, &self.dir) else {
            return;
        };
        let file = match MarkFile::open(dir, self.node.local_peer()) {
            Ok(file) => file,
            Err(error @ MarkError::Foreign { .. }) => return self.is_foreign(&error.to_string()),
            Err(error) => return self.is_missing(&error.to_string()),
        };
        let says_more = |(log, mark): (&LogId, &Mark)| {
            let status = self.node.stream(*log);
            let head = status.and_then(|status| status.head.clone());
            let size = head.as_ref().map_or(0, |head| head.size);
            let is_closed = head.is_some_and(|head| head.closing.is_some());
            // What was signed since the engine knows of it was decided on.
            let is_decided = self.is_told && self.pending.contains_key(log);
            (mark.size > size || mark.closed && !is_closed) && !is_decided
        };
        if file.starts() > Some(self.starts) || file.marks().iter().any(says_more) {
            if !self.is_told {
                let more: Vec<_> = (file.marks().iter())
                    .filter(|one| says_more(*one))
                    .map(|(log, _)| *log)
                    .collect();
                let told = self.late.try_send(Input::Marks(file.marks().clone()));
                self.is_told = told.is_ok();
                // What was noted before was noted by one who did not know of it.
                self.pending.retain(|log, _| !more.contains(log));
            }
            let why = format!("{} says more than the store", file.path().display());
            let advice = "it could not be read at the start; streams of which something is \
                          missing are stopped, as `headwater list` shows; restart the node if \
                          none is";
            return self.fails(Severity::Failure, why, advice);
        }
        self.begin(file);
        for status in self.node.streams() {
            if let Some(head) = status.head.as_ref().filter(|_| status.owned) {
                self.pending.entry(status.log).or_insert(Mark::of(head));
            }
        }
        self.write();
    }

    fn is_foreign(&self, why: &str) {
        self.fails(
            Severity::Failure,
            format!("what this node signs is not noted outside of its data folder: {why}"),
            FOREIGN,
        );
    }

    fn is_missing(&self, why: &str) {
        self.fails(
            Severity::Warning,
            format!("what this node signs is not noted outside of its data folder ({why})"),
            ADVICE,
        );
    }

    fn cannot_write(&self, path: &str, why: &io::Error) {
        self.fails(
            Severity::Warning,
            format!("what this node signs cannot be noted in {path} ({why})"),
            ADVICE,
        );
    }

    fn fails(&self, severity: Severity, what: String, advice: &str) {
        if self.tells {
            self.node.trouble_begins(TROUBLE, severity, what, advice);
        } else {
            tracing::debug!("{what}");
        }
    }
}

fn keep_synced(kept: &Mutex<Kept>, stop: &Receiver<()>) {
    while stop.recv_timeout(SYNCED_EVERY) == Err(RecvTimeoutError::Timeout) {
        {
            let mut kept = lock(kept);
            kept.open();
            if !kept.pending.is_empty() {
                kept.write();
            }
        }
        sync(kept);
    }
}

/// Syncs what was written, while more may be.
fn sync(kept: &Mutex<Kept>) {
    let (handle, path) = {
        let mut kept = lock(kept);
        if !std::mem::take(&mut kept.is_dirty) {
            return;
        }
        let Some(file) = &kept.file else {
            return;
        };
        (file.handle(), file.path().display().to_string())
    };
    if let Err(why) = handle.and_then(|file| file.sync_data()) {
        let mut kept = lock(kept);
        kept.is_dirty = true;
        kept.cannot_write(&path, &why);
    }
}

fn lock(kept: &Mutex<Kept>) -> MutexGuard<'_, Kept> {
    kept.lock().unwrap_or_else(PoisonError::into_inner)
}
