//! What reading has met of damage: which table files, and where. Whoever reads is
//! told at once; whoever mends waits for it here.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use headwater_protocols::store::{StoreError, Table};

use super::mended::Lost;

/// Places that are kept until they are mended. There may be more of them.
const MAX_PLACES: usize = 64;

/// What was noticed since it was asked for last.
#[derive(Debug, Default)]
pub(super) struct Noticed {
    state: Mutex<Places>,
    changed: Condvar,
}

/// Damaged table files by their number, and keys that could not be read.
#[derive(Clone, Debug, Default)]
pub(super) struct Places {
    /// With what was said of each.
    pub(super) files: BTreeMap<u64, String>,
    /// Where no file was named.
    pub(super) keys: Vec<(Table, Vec<u8>, String)>,
}

impl Places {
    pub(super) fn is_empty(&self) -> bool {
        self.files.is_empty() && self.keys.is_empty()
    }
}

impl Noticed {
    /// Notes that a key, or what comes behind it, could not be read.
    pub(super) fn notice(&self, table: Table, key: &[u8], why: &str) {
        if self.notice_files(why) {
            return;
        }
        let mut state = self.lock();
        if state.keys.len() < MAX_PLACES {
            state.keys.push((table, key.to_vec(), why.to_owned()));
            self.changed.notify_all();
        }
    }

    /// Notes the table files that an error names; whether it does.
    pub(super) fn notice_files(&self, why: &str) -> bool {
        let files = files_named(why);
        let mut state = self.lock();
        for file in &files {
            if state.files.len() < MAX_PLACES {
                state.files.entry(*file).or_insert_with(|| why.to_owned());
            }
        }
        self.changed.notify_all();
        !files.is_empty()
    }

    /// Waits until there is something, or this time is over; whether there is.
    pub(super) fn wait(&self, time: Duration) -> bool {
        let waited = self
            .changed
            .wait_timeout_while(self.lock(), time, |state| state.is_empty());
        let (state, _) = waited.unwrap_or_else(PoisonError::into_inner);
        !state.is_empty()
    }

    /// What was taken could not be mended: it is still so.
    pub(super) fn put_back(&self, places: Places) {
        let mut state = self.lock();
        state.files.extend(places.files);
        state.keys.extend(places.keys);
        self.changed.notify_all();
    }

    pub(super) fn take(&self) -> Places {
        std::mem::take(&mut *self.lock())
    }

    fn lock(&self) -> MutexGuard<'_, Places> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Parts of tables of which rows were lost. Until somebody has made up for them,
/// whoever reads there is told so, and not that there is nothing.
#[derive(Debug, Default)]
pub(super) struct LostParts {
    known: Mutex<Known>,
    some: AtomicBool,
}

#[derive(Debug, Default)]
struct Known {
    /// Each with the repair that lost it.
    parts: Vec<(u64, Lost)>,
    last_repair: u64,
}

impl LostParts {
    /// Adds what a repair has lost. Their numbers rise.
    pub(super) fn add(&self, lost: &[Lost], repair: u64) {
        let mut known = self.lock();
        known.last_repair = repair;
        (known.parts).extend(lost.iter().map(|lost| (repair, lost.clone())));
        self.some.store(!known.parts.is_empty(), Ordering::Release);
    }

    /// Forgets what was lost up to this repair; whether it is the last one.
    pub(super) fn forget(&self, repair: u64) -> bool {
        let mut known = self.lock();
        known.parts.retain(|&(number, _)| number > repair);
        self.some.store(!known.parts.is_empty(), Ordering::Release);
        known.last_repair <= repair
    }

    /// Whether there are any.
    pub(super) fn are_some(&self) -> bool {
        self.some.load(Ordering::Acquire)
    }

    pub(super) fn last_repair(&self) -> u64 {
        self.lock().last_repair
    }

    fn lock(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The first part that a scan from `from` to `to` comes to.
    pub(super) fn first(&self, table: Table, from: &[u8], to: &[u8]) -> Option<Lost> {
        if !self.some.load(Ordering::Acquire) {
            return None;
        }
        let known = self.lock();
        let parts = known.parts.iter().map(|(_, part)| part);
        let of_table = parts.filter(|part| part.table == table);
        let met = of_table.filter(|part| from < &part.to[..] && &part.from[..] < to);
        met.min_by_key(|part| &part.from).cloned()
    }

    /// Whether a key that is not there may have been lost.
    pub(super) fn may_have(&self, table: Table, key: &[u8]) -> bool {
        let behind = [key, &[0]].concat();
        self.some.load(Ordering::Acquire) && self.first(table, key, &behind).is_some()
    }
}

pub(super) fn rows_lost(table: Table) -> StoreError {
    let table = table.name();
    StoreError::Damaged(format!(
        "rows of the table {table} were lost and are looked for"
    ))
}

/// The numbers of the table files that an error names: `…/000012.sst`.
fn files_named(why: &str) -> Vec<u64> {
    let mut numbers = Vec::new();
    for (at, _) in why.match_indices(".sst") {
        let before = &why[..at];
        let digits = before.trim_end_matches(|c: char| c.is_ascii_digit());
        numbers.extend(before[digits.len()..].parse::<u64>().ok());
    }
    numbers
}

/// Whether an error says that what is stored is not what was written: it cannot
/// be read back, or a table file is gone.
pub(super) fn is_damage(error: &rocksdb::Error) -> bool {
    let message = error.as_ref();
    let is_gone = message.contains("No such file or directory") && message.contains(".sst");
    error.kind() == rocksdb::ErrorKind::Corruption || is_gone
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_files_that_an_error_names_are_found() {
        let why = "Corruption: block checksum mismatch: stored = 1, computed = 2, type = 4 in \
                   /a/store/000123.sst offset 0 size 4";
        assert_eq!(files_named(why), [123]);
        assert_eq!(files_named("bad entry in block"), [0; 0]);
        assert_eq!(files_named("1.sst x.sst 02.sst"), [1, 2]);
    }
}
