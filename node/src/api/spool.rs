//! Answers whose length and parts are asked for: written once into a file
//! without a name, and read from there by the requests that follow.
//!
//! Clients of Parquet ask for the length or for the end, then for what they
//! need, and most name no entity tag with it: so whoever asked for the length
//! or the end of an answer gets parts of that one for a while, although the
//! stream grows.

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use tokio::sync::OnceCell;

use super::limits::{BLOCK_BYTES, MAX_SPOOL_CLIENTS, MAX_SPOOLS, SPOOL_IDLE};
use super::problem::ApiError;
use super::state::blocking;
use super::stream_body::{BlockWriter, WriteError};

/// What names an answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Name {
    /// The stream and what is asked about it.
    pub(super) resource: String,
    /// The entity tag.
    pub(super) tag: String,
}

/// An answer that is in a file.
#[derive(Clone, Debug)]
pub(super) struct Spool {
    file: Arc<File>,
    length: u64,
}

impl Spool {
    /// Writes an answer into a new file of this folder.
    fn write(
        dir: Option<&Path>,
        write: impl FnOnce(&mut (dyn Write + Send)) -> Result<(), WriteError>,
    ) -> Result<Self, ApiError> {
        let file = match dir {
            Some(dir) => tempfile::tempfile_in(dir),
            None => tempfile::tempfile(),
        };
        let file = file.map_err(|error| no_room(&error))?;
        let mut out = Noticing {
            out: BufWriter::with_capacity(BLOCK_BYTES, file),
            failure: None,
        };
        if let Err(error) = write(&mut out) {
            return Err(match (error, out.failure) {
                (WriteError::Failed(error), _) => error,
                (WriteError::Gone, Some(failure)) => no_room(&failure),
                (WriteError::Gone, None) => ApiError::internal("the answer was not written"),
            });
        }
        let file = out.out.into_inner();
        let file = file.map_err(|error| no_room(error.error()))?;
        let length = file.metadata().map_err(|error| no_room(&error))?.len();
        Ok(Self {
            file: Arc::new(file),
            length,
        })
    }

    /// Its bytes.
    pub(super) fn length(&self) -> u64 {
        self.length
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

/// A file that remembers why it could not be written: encoders wrap errors.
struct Noticing {
    out: BufWriter<File>,
    failure: Option<io::Error>,
}

impl Write for Noticing {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.out.write(bytes).inspect_err(|error| {
            self.failure = Some(io::Error::new(error.kind(), error.to_string()));
        })
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}

fn no_room(error: &io::Error) -> ApiError {
    let detail = format!(
        "the answer could not be written into the data folder first, which its length and its \
         parts need: {error}; make room, or ask for the whole without HEAD and Range"
    );
    ApiError::new(axum::http::StatusCode::INSUFFICIENT_STORAGE, detail)
}

/// The answers that are in files.
#[derive(Debug, Default)]
pub(super) struct Spools {
    entries: Mutex<Vec<Entry>>,
}

#[derive(Debug)]
struct Entry {
    name: Name,
    spool: Arc<OnceCell<Spool>>,
    /// Those who were told its length, and have asked for no other since.
    clients: Vec<String>,
    used: Instant,
}

impl Spools {
    /// The answer of this name; it is written if there is none.
    pub(super) async fn written(
        self: &Arc<Self>,
        name: &Name,
        dir: Option<Arc<Path>>,
        write: impl FnOnce(&mut (dyn Write + Send)) -> Result<(), WriteError> + Send + 'static,
    ) -> Result<Spool, ApiError> {
        let cell = self.cell(name);
        let write = || blocking(move || Spool::write(dir.as_deref(), write));
        let spool = cell.get_or_try_init(write).await.cloned();
        if spool.is_err() {
            self.change(|entries| entries.retain(|entry| entry.name != *name));
        }
        spool
    }

    /// The answer of this name, if it is in a file already.
    pub(super) fn find(&self, name: &Name) -> Option<Spool> {
        self.change(|entries| {
            let entry = entries.iter_mut().find(|entry| entry.name == *name)?;
            entry.used = Instant::now();
            entry.spool.get().cloned()
        })
    }

    /// The tag of the answer of which this client was told the length last.
    pub(super) fn told(&self, client: &str, resource: &str) -> Option<String> {
        self.change(|entries| {
            let told = |entry: &&Entry| {
                entry.name.resource == resource && entry.clients.iter().any(|c| c == client)
            };
            entries
                .iter()
                .find(told)
                .map(|entry| entry.name.tag.clone())
        })
    }

    /// Remembers of which answer a client knows the length.
    pub(super) fn tell(&self, client: &str, name: &Name) {
        self.change(|entries| {
            for entry in entries.iter_mut() {
                if entry.name.resource != name.resource {
                    continue;
                }
                entry.clients.retain(|known| known != client);
                if entry.name.tag == name.tag {
                    if entry.clients.len() >= MAX_SPOOL_CLIENTS {
                        entry.clients.remove(0);
                    }
                    entry.clients.push(client.to_owned());
                }
            }
        });
    }

    fn cell(self: &Arc<Self>, name: &Name) -> Arc<OnceCell<Spool>> {
        let known = self.change(|entries| {
            let entry = entries.iter_mut().find(|entry| entry.name == *name)?;
            entry.used = Instant::now();
            Some(entry.spool.clone())
        });
        if let Some(cell) = known {
            return cell;
        }
        let cell = Arc::new(OnceCell::new());
        self.change(|entries| {
            if entries.len() >= MAX_SPOOLS {
                // Those who read it still have it open.
                let oldest = (0..entries.len()).min_by_key(|&at| entries[at].used);
                oldest.map(|at| entries.remove(at));
            }
            entries.push(Entry {
                name: name.clone(),
                spool: cell.clone(),
                clients: Vec::new(),
                used: Instant::now(),
            });
        });
        let (spools, name) = (Arc::downgrade(self), name.clone());
        tokio::spawn(async move {
            loop {
                tokio::time::sleep(SPOOL_IDLE).await;
                let Some(spools) = spools.upgrade() else {
                    return;
                };
                let is_there = spools.change(|entries| {
                    entries.retain(|entry| entry.name != name || entry.used.elapsed() < SPOOL_IDLE);
                    entries.iter().any(|entry| entry.name == name)
                });
                if !is_there {
                    return;
                }
            }
        });
        cell
    }

    fn change<T>(&self, change: impl FnOnce(&mut Vec<Entry>) -> T) -> T {
        let mut entries = self.entries.lock().unwrap_or_else(PoisonError::into_inner);
        change(&mut entries)
    }
}
