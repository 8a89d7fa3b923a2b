//! Publishes that were done, so that one that is sent again is answered and not
//! done again (idempotency). What names them is written in the same batch as their records:
//! either both survive a crash, or neither.
//!
//! They stand in a ring of rows, so that there is never more than
//! [`MAX_REPEATS`] of them and the oldest goes first.

use std::collections::{BTreeMap, btree_map};
use std::ops::ControlFlow;

use bytes::{BufMut, BytesMut};

use crate::limits::{MAX_REPEATS, REPEAT_US};
use crate::ranges::Interval;
use crate::store::around::scan_around;
use crate::store::tables::REPEATS;
use crate::store::{Batch, Store, StoreError, Table};
use crate::time::Timestamp;

/// What names a publish: hashes, so that each has the same size.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RequestKey {
    /// Of the name that the caller gave it.
    pub name: [u8; 32],
    /// Of everything that was asked for under that name.
    pub content: [u8; 32],
}

/// A publish that was done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Done {
    slot: u32,
    content: [u8; 32],
    interval: Interval,
    at: Timestamp,
}

/// Bytes of a row: log number, name, content, first index, end, time, and the
/// place in the ring's order.
const ROW_BYTES: usize = 4 + 32 + 32 + 8 + 8 + 8 + 8;

/// The publishes that are remembered.
#[derive(Debug, Default)]
pub(super) struct Repeats {
    /// By log number and name.
    done: BTreeMap<(u32, [u8; 32]), Done>,
    /// Who is in each row of the ring.
    slots: BTreeMap<u32, (u32, [u8; 32])>,
    /// How many were ever written; the next row of the ring follows from it.
    written: u64,
}

/// What is known of a publish.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Known {
    /// Nothing: it is to be done.
    New,
    /// It was done, with these indexes.
    Done(Interval),
    /// Something else was done under this name.
    Other,
}

impl Repeats {
    /// Reads what the store has.
    pub(super) fn load<S: Store>(store: &S) -> Result<Self, StoreError> {
        let mut rows = Vec::new();
        let (from, to) = (row_key(0), row_key(MAX_REPEATS));
        // One that is damaged is not remembered: the others are.
        scan_around(store, Table::Meta, &from, &to, &mut |key, row| {
            rows.extend(parse(key, row));
            ControlFlow::Continue(())
        })?;
        // The ring's rows do not stand in the order in which they were written.
        rows.sort_by_key(|&(_, _, order)| order);
        let mut repeats = Self::default();
        for (owner, done, order) in rows {
            repeats.written = order.saturating_add(1);
            repeats.keep(owner, done);
        }
        Ok(repeats)
    }

    /// What is known of a publish to the log with this number.
    pub(super) fn known(&self, number: u32, key: &RequestKey, now: Timestamp) -> Known {
        match self.done.get(&(number, key.name)) {
            Some(done) if done.at.plus(REPEAT_US) < now => Known::New,
            Some(done) if done.content == key.content => Known::Done(done.interval),
            Some(_) => Known::Other,
            None => Known::New,
        }
    }

    /// Writes down, in the batch of its records, that a publish was done.
    /// [`Repeats`] knows of it at once: a batch that fails stops the log.
    pub(super) fn put(
        &mut self,
        number: u32,
        key: &RequestKey,
        interval: Interval,
        now: Timestamp,
        batch: &mut Batch,
    ) {
        let order = self.written;
        self.written += 1;
        let done = Done {
            slot: (order % u64::from(MAX_REPEATS)) as u32,
            content: key.content,
            interval,
            at: now,
        };
        let mut row = BytesMut::with_capacity(ROW_BYTES);
        row.put_u32(number);
        row.put_slice(&key.name);
        row.put_slice(&key.content);
        row.put_u64(interval.from);
        row.put_u64(interval.to);
        row.put_i64(now.0);
        row.put_u64(order);
        batch.put(Table::Meta, row_key(done.slot), row.freeze());
        self.keep((number, key.name), done);
    }

    /// Forgets what was done under this name, because it was not.
    pub(super) fn forget(&mut self, number: u32, key: &RequestKey) {
        if let Some(done) = self.done.remove(&(number, key.name)) {
            self.slots.remove(&done.slot);
        }
    }

    fn keep(&mut self, owner: (u32, [u8; 32]), done: Done) {
        if let Some(evicted) = self.slots.insert(done.slot, owner)
            && evicted != owner
            && let btree_map::Entry::Occupied(entry) = self.done.entry(evicted)
            && entry.get().slot == done.slot
        {
            entry.remove();
        }
        if let Some(earlier) = self.done.insert(owner, done)
            && earlier.slot != done.slot
        {
            // A name that was used again after it had become too old: its
            // earlier row is overwritten when its turn comes.
            self.slots.remove(&earlier.slot);
        }
    }
}

fn row_key(slot: u32) -> Vec<u8> {
    [REPEATS, &slot.to_be_bytes()].concat()
}

fn parse(key: &[u8], row: &[u8]) -> Option<((u32, [u8; 32]), Done, u64)> {
    let slot = u32::from_be_bytes(key.strip_prefix(REPEATS)?.try_into().ok()?);
    let row: &[u8; ROW_BYTES] = row.try_into().ok()?;
    let number = |from: usize| Some(u64::from_be_bytes(*row.get(from..)?.first_chunk()?));
    let hash = |from: usize| row.get(from..)?.first_chunk::<32>().copied();
    let log = u32::from_be_bytes(*row.first_chunk()?);
    let done = Done {
        slot,
        content: hash(36)?,
        interval: Interval {
            from: number(68)?,
            to: number(76)?,
        },
        at: Timestamp(number(84)?.cast_signed()),
    };
    Some(((log, hash(4)?), done, number(92)?))
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;
    use crate::store::{Durability, MemoryStore};

    const NOW: Timestamp = Timestamp(1_000_000_000);

    fn key(name: u64, content: u8) -> RequestKey {
        let mut hash = [0; 32];
        hash[..8].copy_from_slice(&name.to_be_bytes());
        RequestKey {
            name: hash,
            content: [content; 32],
        }
    }

    fn run(at: u64) -> Interval {
        Interval {
            from: at,
            to: at + 1,
        }
    }

    #[test]
    fn a_publish_is_known_by_log_name_and_content_until_it_is_too_old() {
        let store = MemoryStore::new();
        let mut repeats = Repeats::load(&store).unwrap();
        let mut batch = Batch::new();
        assert_eq!(repeats.known(1, &key(7, 1), NOW), Known::New);
        repeats.put(1, &key(7, 1), run(5), NOW, &mut batch);
        store.commit(batch, Durability::Synced).unwrap();
        for repeats in [&repeats, &Repeats::load(&store).unwrap()] {
            assert_eq!(repeats.known(1, &key(7, 1), NOW), Known::Done(run(5)));
            assert_eq!(repeats.known(1, &key(7, 2), NOW), Known::Other);
            assert_eq!(repeats.known(2, &key(7, 1), NOW), Known::New);
            assert_eq!(repeats.known(1, &key(8, 1), NOW), Known::New);
            let late = NOW.plus(REPEAT_US);
            assert_eq!(repeats.known(1, &key(7, 1), late), Known::Done(run(5)));
            assert_eq!(repeats.known(1, &key(7, 1), late.plus(1)), Known::New);
        }
    }

    #[test]
    fn the_oldest_goes_when_the_ring_is_full_and_a_restart_goes_on_there() {
        let store = MemoryStore::new();
        let mut repeats = Repeats::load(&store).unwrap();
        let most = u64::from(MAX_REPEATS);
        let mut batch = Batch::new();
        for name in 0..most + 10 {
            repeats.put(1, &key(name, 1), run(name), NOW, &mut batch);
        }
        store.commit(batch, Durability::Synced).unwrap();
        let mut again = Repeats::load(&store).unwrap();
        for repeats in [&repeats, &again] {
            assert_eq!(repeats.done.len() as u64, most);
            assert_eq!(repeats.known(1, &key(9, 1), NOW), Known::New);
            assert_eq!(repeats.known(1, &key(10, 1), NOW), Known::Done(run(10)));
        }
        // A name that is used again takes one row, and leaves no trace.
        let late = NOW.plus(2 * REPEAT_US);
        for _ in 0..2 * most {
            again.put(1, &key(10, 1), run(10), late, &mut Batch::new());
        }
        assert_eq!((again.done.len(), again.slots.len()), (1, 1));
    }

    #[test]
    fn a_damaged_row_leaves_the_others() {
        let store = MemoryStore::new();
        let mut batch = Batch::new();
        let mut repeats = Repeats::default();
        let interval = Interval { from: 0, to: 1 };
        for name in 0..3 {
            let key = RequestKey {
                name: [name; 32],
                content: [7; 32],
            };
            repeats.put(1, &key, interval, Timestamp(0), &mut batch);
        }
        batch.put(Table::Meta, row_key(1), Bytes::from_static(b"short"));
        store.commit(batch, Durability::Synced).unwrap();
        assert_eq!(store.damage(Table::Meta, |key| key == row_key(2)), 1);
        let repeats = Repeats::load(&store).unwrap();
        assert_eq!(repeats.done.len(), 1);
    }
}
