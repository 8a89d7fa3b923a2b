//! Which log has which number, once more beside the rows of the logs: should these
//! and the heads be lost together, the rest of the store does not tell which logs
//! there were.

use std::collections::BTreeMap;
use std::ops::ControlFlow;

use super::Engine;
use super::log_state::{LogState, put_log};
use super::rows::{Name, forget_name, put_deletion, put_name};
use super::start::{LOST, Start};
use crate::store::around::scan_around;
use crate::store::tables::{NAMES, index_key, name_key};
use crate::store::{Batch, Store, StoreError, Table};
use crate::time::Timestamp;
use crate::wire::v1;
use crate::wire::v1::stored_log::Reopening as Stored;

impl<S: Store> Engine<S> {
    /// Begins logs anew of which nothing but their number and id is left, and writes
    /// down what is missing of these: older versions did not. `lost` says whether
    /// the rows of logs may be lost, without which none that is named is missing.
    pub(super) fn load_names(
        &mut self,
        lost: bool,
        start: &Start<'_>,
        now: Timestamp,
        batch: &mut Batch,
    ) -> Result<(), StoreError> {
        let names = self.names()?;
        for (log, state) in self.logs.iter() {
            let row = state.to_stored();
            let is_named = |name: &Name| {
                (name.log, name.followed, name.owned) == (log, row.followed, row.owned)
            };
            if !names.get(&state.number()).is_some_and(is_named) {
                put_name(batch, log, &row);
            }
        }
        if !lost {
            return Ok(());
        }
        for (&number, name) in &names {
            let is_known = self.logs.contains_key(&name.log) || self.deletions.is_deleted(name.log);
            if !is_known {
                self.begin_named(number, *name, start, now, batch);
            }
        }
        let known: Vec<_> = self.logs.iter().map(|(_, state)| state.number()).collect();
        self.forgotten = self.numbers_without(&known)?;
        Ok(())
    }

    /// Rows of so many logs are stored of which not even the id is known any more.
    #[must_use]
    pub fn forgotten(&self) -> usize {
        self.forgotten
    }

    /// The largest number that a name has.
    pub(super) fn last_named(&self) -> Result<Option<u32>, StoreError> {
        Ok(self.names()?.last_key_value().map(|(&last, _)| last))
    }

    fn names(&self) -> Result<BTreeMap<u32, Name>, StoreError> {
        let mut names = BTreeMap::new();
        let (from, to) = (name_key(0), [NAMES, &[0xff; 5]].concat());
        scan_around(&self.store, Table::Meta, &from, &to, &mut |key, row| {
            if let (Some(number), Some(name)) = (key.last_chunk(), Name::of_row(row)) {
                names.insert(u32::from_be_bytes(*number), name);
            }
            ControlFlow::Continue(())
        })?;
        Ok(names)
    }

    /// Without its head nothing is believed that is stored of it: all of it is
    /// fetched again, under another number. What is stored of a log of our own stays:
    /// nobody else may have it.
    fn begin_named(
        &mut self,
        number: u32,
        name: Name,
        start: &Start<'_>,
        now: Timestamp,
        batch: &mut Batch,
    ) {
        let mut state = LogState::new(self.take_number(batch));
        if name.followed || name.owned {
            state.follow();
        }
        state.note_unreadable(LOST);
        if name.owned {
            state.own();
            state.begin_as(Stored::Restored, start, 0, now);
        } else {
            let deletion = v1::StoredDeletion::default();
            put_deletion(batch, number, &deletion);
            self.deletions.begin(number, deletion, self.opened_at);
        }
        forget_name(batch, number);
        put_log(batch, name.log, &state);
        self.loaded(name.log, state);
    }

    /// How many numbers have something held, and no log.
    fn numbers_without(&self, known: &[u32]) -> Result<usize, StoreError> {
        let mut count = 0;
        let mut from = Some(0);
        while let Some(next) = from {
            let mut found = None;
            let visit = &mut |key: &[u8], _: &[u8]| {
                found = key.first_chunk().map(|number| u32::from_be_bytes(*number));
                ControlFlow::Break(())
            };
            scan_around(
                &self.store,
                Table::Held,
                &index_key(next, 0),
                &[0xff; 13],
                visit,
            )?;
            let Some(number) = found else {
                break;
            };
            let is_known = known.contains(&number)
                || self.deletions.numbers().any(|deleted| deleted == number);
            count += usize::from(!is_known);
            from = number.checked_add(1);
        }
        Ok(count)
    }
}
