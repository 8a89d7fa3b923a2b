//! Earlier heads of logs that have a recovery key: it picks a head that the owner has
//! signed, and the latest one may be a thief's. Each holder keeps some, the older the
//! fewer.

use prost::Message;

use super::Engine;
use super::log_state::LogState;
use crate::head::SignedHead;
use crate::id::LogId;
use crate::identity::PublicKey;
use crate::limits::{MAX_PAST_HEADS, PAST_HEAD_EVERY_US};
use crate::store::tables::{HeadKind, head_key};
use crate::store::{Batch, Durability, ReadError, Store, StoreError, Table};
use crate::time::Timestamp;
use crate::wire::v1;

/// The earlier heads that are kept of a log, the oldest first. What is damaged of them
/// is left out.
///
/// # Errors
/// The store fails.
pub fn past_heads<S: Store + ?Sized>(
    store: &S,
    number: u32,
    log: LogId,
    owner: &PublicKey,
) -> Result<Vec<SignedHead>, StoreError> {
    let heads = rows(store, number)?.heads.into_iter();
    let verified = heads.filter_map(|past| {
        let head = crate::head::UnverifiedHead::try_from(past.head).ok()?;
        head.verify(log, owner).ok()
    });
    Ok(verified.collect())
}

fn rows<S: Store + ?Sized>(store: &S, number: u32) -> Result<v1::PastHeads, StoreError> {
    let row = store.get(Table::Heads, &head_key(number, HeadKind::Past))?;
    Ok(row
        .and_then(|row| v1::PastHeads::decode(row).ok())
        .unwrap_or_default())
}

impl LogState {
    /// Whether one more head is to be kept when the system's clock shows `time`.
    fn keeps_past(&self, time: Timestamp) -> bool {
        let has_key = self
            .manifest()
            .is_some_and(|manifest| manifest.recovery.is_some());
        let is_due = (self.past_kept).is_none_or(|at| time.since(at) >= PAST_HEAD_EVERY_US);
        // A clock that was set back must not keep it from being done for ever.
        let is_ahead = (self.past_kept).is_some_and(|at| at > time.plus(PAST_HEAD_EVERY_US));
        has_key && !self.is_limited() && (is_due || is_ahead)
    }
}

impl<S: Store> Engine<S> {
    /// Keeps the head of a log that was just adopted or signed, if it is time to.
    pub(super) fn keep_past_head(&mut self, log: LogId, now: Timestamp) {
        let time = self.time(now);
        let Some(state) = self
            .logs
            .get_mut(&log)
            .filter(|state| state.keeps_past(time))
        else {
            return;
        };
        let Some(head) = state.signed_head().cloned() else {
            return;
        };
        let number = state.number();
        state.past_kept = Some(time);
        let kept = rows(&self.store, number).and_then(|mut past| {
            let last = past.heads.last();
            let is_there = last.is_some_and(|last| last.head == Some(head.to_wire()));
            let kept_us = last.map_or(0, |last| last.kept_us);
            let is_early = time.since(Timestamp(kept_us.cast_signed())) < PAST_HEAD_EVERY_US;
            if is_there || head.size == 0 || is_early && kept_us > 0 {
                return Ok(());
            }
            past.heads.push(v1::PastHead {
                head: Some(head.to_wire()),
                kept_us: u64::try_from(time.0).unwrap_or(0),
            });
            thin(&mut past.heads);
            let mut batch = Batch::new();
            let key = head_key(number, HeadKind::Past);
            batch.put(Table::Heads, key, past.encode_to_vec());
            self.store.commit(batch, Durability::Written)
        });
        if let Err(error) = kept {
            self.store_failed(log, &ReadError::Store(error));
        }
    }
}

/// Leaves out the one whose loss is felt least: that with the smallest gap around it,
/// compared with its age. So there are many of the last days, and some of each year; and
/// whoever has the owner's key adds one an hour, however many it signs.
fn thin(heads: &mut Vec<v1::PastHead>) {
    while heads.len() > MAX_PAST_HEADS {
        let newest = heads.last().map_or(0, |head| head.kept_us);
        let felt = |place: usize| {
            let gap = heads[place + 1]
                .kept_us
                .saturating_sub(heads[place - 1].kept_us);
            let age = newest.saturating_sub(heads[place].kept_us).max(1);
            u128::from(gap) * u128::from(u64::MAX) / u128::from(age)
        };
        let Some(least) = (1..heads.len() - 1).min_by_key(|&place| felt(place)) else {
            return;
        };
        heads.remove(least);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_and_the_last_stay_and_the_older_ones_get_fewer() {
        let hour = PAST_HEAD_EVERY_US;
        let mut heads = Vec::new();
        let hours = 3 * 365 * 24;
        for at in 0..hours {
            heads.push(v1::PastHead {
                head: None,
                kept_us: at * hour,
            });
            thin(&mut heads);
            assert!(heads.len() <= MAX_PAST_HEADS);
        }
        let last = (hours - 1) * hour;
        assert_eq!(
            (heads[0].kept_us, heads[heads.len() - 1].kept_us),
            (0, last)
        );
        // Whenever a thief began, there is one that is not much older than that.
        for ago in [2, 10, 24, 7 * 24, 30 * 24, 365 * 24] {
            let begun = last - ago * hour;
            let before = heads.iter().rev().find(|head| head.kept_us <= begun);
            let lost = begun - before.unwrap().kept_us;
            assert!(lost <= ago * hour / 2 + hour, "{ago} h: {} h", lost / hour);
        }
    }
}
