//! What is here of a log, and what was here and is damaged.

use crate::engine::Damage;
use crate::engine::log_state::LogState;
use crate::engine::rows::put_held;
use crate::limits::MAX_INTERVALS;
use crate::ranges::{Interval, IntervalSet};
use crate::store::audit::{Findings, put_in_order};
use crate::store::{Admission, Batch, Durability, History, Store, StoreError, remove_chunks};

/// What is here of a log.
#[derive(Debug, Default)]
pub(in crate::engine) struct Holdings {
    held: IntervalSet,
    /// What was held and is not any more, because the disk has damaged it.
    damaged: IntervalSet,
    /// What else of it was damaged, in words, until it is right again.
    unreadable: Option<String>,
}

impl LogState {
    pub(in crate::engine) fn held(&self) -> &IntervalSet {
        &self.holdings.held
    }

    /// Whether all records of `[from, to)` are here.
    pub(in crate::engine) fn holds(&self, from: u64, to: u64) -> bool {
        self.holdings.held.contains(from, to)
    }

    /// What is here of what counts.
    pub(in crate::engine) fn counted(&self) -> IntervalSet {
        self.holdings.held.held(0, self.target()).collect()
    }

    /// Records that are held without a gap from where what is kept begins.
    pub(in crate::engine) fn held_size(&self) -> u64 {
        self.holdings.held.prefix(self.begin())
    }

    /// Everything that is wanted is held.
    pub(in crate::engine) fn is_complete(&self) -> bool {
        let target = self.target();
        self.adopted().is_some()
            && !self.is_unsure()
            && (target == 0 || self.holds(self.begin(), target))
    }

    /// The parts that are held, as far as they are told.
    pub(in crate::engine) fn told_held(&self) -> Vec<Interval> {
        self.holdings.held.intervals().take(MAX_INTERVALS).collect()
    }

    /// The way by which records come in, once it is known what the log is.
    pub(in crate::engine) fn admission<'a, S: Store + ?Sized>(
        &'a mut self,
        store: &'a S,
    ) -> Option<Admission<'a, S>> {
        let key = self.key()?;
        Some(Admission::new(store, key, &mut self.holdings.held))
    }

    /// Drops chunks that nobody has to keep: see [`remove_chunks`].
    pub(in crate::engine) fn remove_chunks<S: Store + ?Sized>(
        &mut self,
        store: &S,
        range: Interval,
        batch: &mut Batch,
    ) -> Result<u64, StoreError> {
        let Some(key) = self.key() else {
            return Ok(range.from);
        };
        remove_chunks(store, key, &mut self.holdings.held, range, batch)
    }

    /// Holds what the store says that is held.
    pub(in crate::engine) fn reload_held<S: Store + ?Sized>(
        &mut self,
        store: &S,
    ) -> Result<(), StoreError> {
        if let Some(key) = self.key() {
            self.holdings.held = History::new(store, key).held()?;
        }
        Ok(())
    }

    /// Holds this, which is stored.
    pub(in crate::engine) fn set_held(&mut self, held: IntervalSet) {
        self.holdings.held = held;
    }

    /// Holds this, and has that stored.
    pub(in crate::engine) fn store_held<S: Store + ?Sized>(
        &mut self,
        held: IntervalSet,
        store: &S,
    ) -> Result<(), StoreError> {
        let mut batch = Batch::new();
        put_held(&mut batch, self.number(), &held);
        self.holdings.held = held;
        store.commit(batch, Durability::Synced)
    }

    /// Does what follows for what is held from what an audit has found.
    pub(in crate::engine) fn hold_what_is_right<S: Store + ?Sized>(
        &mut self,
        store: &S,
        findings: &Findings,
        batch: &mut Batch,
    ) -> Result<(), StoreError> {
        let Some(key) = self.key() else {
            return Ok(());
        };
        put_in_order(store, key, &mut self.holdings.held, findings, batch)
    }

    /// Notes which of what was held `before` is damaged.
    pub(in crate::engine) fn note_damaged(&mut self, before: &IntervalSet, lost: Interval) {
        let to = lost.to.min(self.proved_size());
        for lost in before.held(lost.from, to) {
            let _ = self.holdings.damaged.insert(lost.from, lost.to);
        }
    }

    /// Notes that something else of it is damaged, in words.
    pub(in crate::engine) fn note_unreadable(&mut self, what: &str) {
        self.holdings.unreadable = Some(what.to_owned());
    }

    /// Whether nothing but records is known to be damaged of it.
    pub(in crate::engine) fn is_readable(&self) -> bool {
        self.holdings.unreadable.is_none()
    }

    /// What names and proves it is right again.
    pub(in crate::engine) fn is_right_again(&mut self) {
        self.holdings.unreadable = None;
    }

    /// Forgets damage whose records are back, or that nobody has to keep any more.
    pub(in crate::engine) fn forget_mended(&mut self) {
        if self.is_complete() && self.reopening().is_none() {
            self.is_right_again();
        }
        let (begin, proved) = (self.begin(), self.proved_size());
        let Holdings { held, damaged, .. } = &mut self.holdings;
        let lost: Vec<_> = damaged.intervals().collect();
        for Interval { from, to } in lost {
            for back in held.held(from, to) {
                let _ = damaged.remove(back.from, back.to);
            }
        }
        let _ = damaged.remove(0, begin);
        let _ = damaged.remove(proved, u64::MAX);
    }

    /// What is damaged of it.
    pub(in crate::engine) fn damage(&self) -> Option<Damage> {
        let Holdings {
            damaged,
            unreadable,
            ..
        } = &self.holdings;
        let first = damaged.intervals().next();
        if first.is_none() && unreadable.is_none() {
            return None;
        }
        Some(Damage {
            records: damaged.len(),
            first: first.map_or(0, |first| first.from),
            what: unreadable.clone(),
        })
    }

    /// What was damaged before it was read anew is damaged still.
    pub(in crate::engine) fn keep_damage(&mut self, old: Holdings) {
        self.holdings.damaged = old.damaged;
        self.holdings.unreadable = self.holdings.unreadable.take().or(old.unreadable);
    }
}
