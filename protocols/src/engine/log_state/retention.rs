//! The expiry of records: those that nobody has to keep any more, because the manifest
//! says so. Whole chunks of them go, the oldest first, in bounded steps between other
//! work.
//!
//! Of a log that is too new nothing is dropped: what its manifest says besides may be
//! that something is to be kept. What others need not keep is not asked for there
//! either, and only the room that the user allows bounds it.

mod by_age;
mod by_number;
mod within_chunk;

use std::collections::{BTreeMap, VecDeque};

use libp2p_identity::PeerId;

use crate::engine::log_state::LogState;
use crate::engine::{Engine, Output};
use crate::id::LogId;
use crate::limits::{DELETION_PAUSE_US, DELETION_RETRY_US, RECLAIM_DROPPED_BYTES};
use crate::manifest::SignedManifest;
use crate::ranges::{Interval, IntervalSet};
use crate::store::tables::{HeadKind, head_key};
use crate::store::{Batch, Durability, History, Store, StoreError, Table};
use crate::time::Timestamp;

/// Where what is kept of a log begins.
#[derive(Debug, Default)]
pub(in crate::engine) struct Kept {
    /// Nothing before this is kept, as was found out here. It only grows, unless
    /// it was found out by a clock that was ahead.
    from: u64,
    /// What the clock showed when something was last found to be too old.
    aged_at: Timestamp,
    /// That clock was ahead: what others have before `from` is fetched again.
    too_early: bool,
    /// Something is kept that is too old by the clock alone.
    holds_back: bool,
    /// Those who were asked say that nothing before this is kept. A liar may say
    /// so, too: nothing is dropped for it, what anybody has before it is fetched
    /// all the same, and it goes back as soon as somebody has more.
    told: u64,
    /// What each source says. Nobody else is in it.
    told_by: BTreeMap<PeerId, u64>,
    /// Peers that could not show that our tree has grown, and the least size from
    /// which they could not: that of our head, or the beginning of the chunk in
    /// which it ends.
    cannot_show: BTreeMap<PeerId, u64>,
    /// What newer records have freed, and when that was: where there is a recovery key,
    /// it is dropped a day later.
    freed: VecDeque<(Timestamp, u64)>,
    /// What they have freed up to now.
    freed_now: u64,
    /// Everything before this is gone.
    dropped: u64,
    /// What is stored of `from`, `told` and `aged_at`.
    stored: (u64, u64, Timestamp),
    /// When the next step is taken.
    due: Option<Timestamp>,
    /// There is something to do, and it is known when.
    is_stepping: bool,
    /// Bytes that were dropped, and whose room the disk was not told to give back.
    unreclaimed: u64,
}

impl Kept {
    fn has_work(&self) -> bool {
        self.dropped < self.from || self.stored != self.to_store()
    }

    fn to_store(&self) -> (u64, u64, Timestamp) {
        (self.from, self.told, self.aged_at)
    }
}

impl LogState {
    /// Where what is kept of it begins, as was found out here.
    pub(in crate::engine) fn kept_from(&self) -> u64 {
        self.kept.from
    }

    /// When something of it is to be dropped, or looked at.
    pub(in crate::engine) fn retention_due(&self) -> Option<Timestamp> {
        self.kept
            .due
            .into_iter()
            .chain(self.kept.release_due())
            .min()
    }

    /// Nothing is asked for that is not kept.
    pub(in crate::engine) fn plan_from_begin(&mut self) {
        self.scheduler.begin = self.kept.from;
    }

    /// The first record that is wanted.
    pub(in crate::engine) fn begin(&self) -> u64 {
        self.kept.from.max(self.kept.told)
    }

    /// The first record that is wanted once a head of this size is adopted.
    pub(in crate::engine) fn begin_at(&self, size: u64) -> u64 {
        let by_number = self.manifest().map(|m| m.begin_by_number(size));
        self.begin().max(by_number.unwrap_or(0))
    }

    /// Where what is kept begins, if a record is not held because nobody has to
    /// keep it, and nobody is known who does.
    pub(in crate::engine) fn dropped(&self, index: u64) -> Option<u64> {
        let has = |held: &IntervalSet| held.contains(index, index + 1);
        let mut sources = self.sources();
        let is_kept = index >= self.begin()
            || has(self.held())
            || index >= self.kept.from && sources.any(|(_, source)| has(&source.held));
        (!is_kept).then_some(self.begin())
    }
}

impl<S: Store> Engine<S> {
    /// Reads where what is kept of a log begins. What a crash left before that is
    /// dropped as soon as the engine runs.
    pub(in crate::engine) fn load_begin(&self, state: &mut LogState) -> Result<(), StoreError> {
        let key = head_key(state.number(), HeadKind::Begin);
        if let Some(row) = self.store.get(Table::Heads, &key)? {
            let (&[from, told], []) = row.as_chunks::<8>() else {
                return Err(damaged("where what is kept of a log begins"));
            };
            let [from, told] = [from, told].map(u64::from_be_bytes);
            let aged = head_key(state.number(), HeadKind::Aged);
            let aged_at = match self.store.get(Table::Heads, &aged)? {
                Some(row) => (row[..].try_into())
                    .map(i64::from_be_bytes)
                    .map_err(|_| damaged("when something of a log got too old"))?,
                // By which clock an older version found it out nobody knows.
                None => i64::MAX,
            };
            let kept = &mut state.kept;
            kept.from = kept.from.max(from);
            kept.told = told;
            kept.aged_at = Timestamp(aged_at);
            kept.stored = (from, told, kept.aged_at);
        }
        state.plan_from_begin();
        state.begin_by_last_head();
        Ok(())
    }

    /// Has the next step taken if there is something to drop.
    pub(in crate::engine) fn drop_soon(&mut self, log: LogId, now: Timestamp) {
        let Some(state) = self.logs.get_mut(&log) else {
            return;
        };
        state.kept.note_freed(now);
        let drops = |m: &&SignedManifest| m.drops() && m.too_new().is_none();
        let Some(manifest) = state.manifest().filter(drops) else {
            return;
        };
        let kept = &state.kept;
        let is_open = state.is_writable() && !state.is_limited();
        let ages = manifest.retain_us > 0 && kept.due.is_none();
        if is_open
            && !kept.is_stepping
            && (kept.has_work() || ages)
            && let Some(state) = self.logs.get_mut(&log)
        {
            state.kept.is_stepping = true;
            state.kept.due = Some(now);
        }
    }

    /// Takes the next step, if it is due.
    pub(in crate::engine) fn retention_is_due(&mut self, log: LogId, now: Timestamp) {
        let Some(state) = self.logs.get_mut(&log) else {
            return;
        };
        if state.kept.release(now) {
            state.plan_from_begin();
            self.changed.insert(log);
            self.drop_soon(log, now);
        }
        let Some(state) = self.logs.get_mut(&log) else {
            return;
        };
        if state.kept.due.is_none_or(|due| due > now) {
            return;
        }
        state.kept.due = None;
        state.kept.is_stepping = false;
        if !state.is_writable() || state.is_limited() {
            return;
        }
        let from = state.kept.from;
        let looks = self.age_out(log, now);
        let looks = looks.and_then(|looks| match looks {
            Some(_) => self.write_clock(now).map(|()| looks),
            None => Ok(None),
        });
        let result = looks.and_then(|looks| self.drop_some(log).map(|()| looks));
        let Some(state) = self.logs.get_mut(&log) else {
            return;
        };
        let kept = &mut state.kept;
        kept.is_stepping = kept.has_work();
        kept.due = match result {
            Ok(_) if kept.is_stepping => Some(now.plus(DELETION_PAUSE_US)),
            Ok(looks) => looks,
            // The disk may have room, or be readable, in a while.
            Err(_) => {
                kept.is_stepping = true;
                Some(now.plus(DELETION_RETRY_US))
            }
        };
        if kept.from < from {
            self.schedule(log, now);
        }
    }

    /// Writes down how late it surely is, for the next start.
    fn write_clock(&mut self, now: Timestamp) -> Result<(), StoreError> {
        let mut batch = Batch::new();
        self.keep_clock(now, &mut batch);
        if batch.is_empty() {
            return Ok(());
        }
        self.store.commit(batch, Durability::Written)
    }

    /// Drops what a step may take, and writes down where what is kept begins.
    fn drop_some(&mut self, log: LogId) -> Result<(), StoreError> {
        let Some(state) = self.logs.get_mut(&log) else {
            return Ok(());
        };
        let Some(key) = state.key().filter(|_| state.kept.has_work()) else {
            return Ok(());
        };
        let history = History::new(&self.store, key);
        let bytes = history.bytes()?;
        let range = Interval {
            from: state.kept.dropped,
            to: state.kept.from,
        };
        let (mut batch, mut end) = (Batch::new(), range.to);
        if range.from < range.to {
            end = state.remove_chunks(&self.store, range, &mut batch)?;
        }
        let kept = &mut state.kept;
        let row = [kept.from, kept.told].map(u64::to_be_bytes).concat();
        batch.put(Table::Heads, head_key(key.number, HeadKind::Begin), row);
        let row = kept.aged_at.0.to_be_bytes().to_vec();
        batch.put(Table::Heads, head_key(key.number, HeadKind::Aged), row);
        if let Err(error) = self.store.commit(batch, Durability::Written) {
            self.reload_held(log);
            return Err(error);
        }
        kept.stored = kept.to_store();
        kept.dropped = end;
        kept.unreclaimed += bytes.saturating_sub(history.bytes()?);
        if kept.dropped == kept.from && kept.unreclaimed >= RECLAIM_DROPPED_BYTES {
            kept.unreclaimed = 0;
            let chunk = key.chunk_of(kept.from);
            self.outputs
                .push_back(Output::ReclaimChunks(key.number, chunk));
        }
        self.changed.insert(log);
        Ok(())
    }
}

fn damaged(what: &str) -> StoreError {
    StoreError::Damaged(what.to_owned())
}
