//! Reads what is damaged here and there: what can be read of it, and of a table what
//! lies before and behind the damage.

use std::ops::ControlFlow;

use super::{Store, StoreError, Table, Visitor};

/// The part of a key that is counted on to get past the damage.
const COUNTED_BYTES: usize = 16;

/// Visits the keys in `[from, to)` that can be read, in order, and says whether
/// some of them could not. Where nothing can be read, less may be found than is
/// there.
///
/// # Errors
/// The store fails otherwise than by damage.
pub fn scan_around<S: Store + ?Sized>(
    store: &S,
    table: Table,
    from: &[u8],
    to: &[u8],
    visit: Visitor<'_>,
) -> Result<bool, StoreError> {
    let mut at = from.to_vec();
    let mut is_damaged = false;
    loop {
        let mut last = None;
        let mut is_over = false;
        let scanned = store.scan(table, &at, to, &mut |key, value| {
            last = Some(key.to_vec());
            is_over = visit(key, value).is_break();
            match is_over {
                true => ControlFlow::Break(()),
                false => ControlFlow::Continue(()),
            }
        });
        match scanned {
            Ok(()) => return Ok(is_damaged),
            Err(StoreError::Damaged(_)) if !is_over => is_damaged = true,
            Err(StoreError::Damaged(_)) => return Ok(true),
            Err(error) => return Err(error),
        }
        let bad = count(last.as_deref().unwrap_or(&at)).saturating_add(1);
        let Some(next) = readable_from(store, table, bad, to)? else {
            return Ok(true);
        };
        at = next;
    }
}

/// The first place found behind `bad` from where the table can be read again.
fn readable_from<S: Store + ?Sized>(
    store: &S,
    table: Table,
    bad: u128,
    to: &[u8],
) -> Result<Option<Vec<u8>>, StoreError> {
    let reads = |at: u128| {
        let read = store.scan(table, &at.to_be_bytes(), to, &mut |_, _| {
            ControlFlow::Break(())
        });
        match read {
            Ok(()) => Ok(true),
            Err(StoreError::Damaged(_)) => Ok(false),
            Err(error) => Err(error),
        }
    };
    let end = count(to);
    let (mut low, mut step) = (bad, 1_u128);
    let mut high = loop {
        let at = bad.saturating_add(step);
        if at >= end {
            break end;
        }
        if reads(at)? {
            break at;
        }
        (low, step) = (at, step.saturating_mul(2));
    };
    while low.saturating_add(1) < high {
        let middle = low + (high - low) / 2;
        match reads(middle)? {
            true => high = middle,
            false => low = middle,
        }
    }
    Ok((high < end).then(|| high.to_be_bytes().to_vec()))
}

fn count(key: &[u8]) -> u128 {
    let mut bytes = [0; COUNTED_BYTES];
    for (byte, of) in bytes.iter_mut().zip(key) {
        *byte = *of;
    }
    u128::from_be_bytes(bytes)
}

/// What cannot be read for damage is `None`.
///
/// # Errors
/// The store fails otherwise.
pub fn readable<T>(read: Result<T, StoreError>) -> Result<Option<T>, StoreError> {
    match read {
        Ok(read) => Ok(Some(read)),
        Err(StoreError::Damaged(_)) => Ok(None),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::{Batch, Durability, MemoryStore};

    #[test]
    fn what_lies_before_between_and_behind_damaged_rows_is_read() {
        let store = MemoryStore::new();
        let mut batch = Batch::new();
        let key =
            |index: u64| [index.wrapping_mul(0x9e37_79b9_7f4a_7c15).to_be_bytes(); 4].concat();
        for index in 0..100 {
            batch.put(Table::Logs, key(index), "row");
        }
        store.commit(batch, Durability::Synced).unwrap();
        let mut keys: Vec<_> = (0..100).map(key).collect();
        keys.sort();
        let bad = [0, 1, 17, 18, 19, 60, 99].map(|place: usize| keys[place].clone());
        assert_eq!(
            store.damage(Table::Logs, |key| bad.iter().any(|bad| bad == key)),
            7
        );
        let mut found = Vec::new();
        let visit = &mut |key: &[u8], _: &[u8]| {
            found.push(key.to_vec());
            ControlFlow::Continue(())
        };
        let damaged = scan_around(&store, Table::Logs, &[0; 32], &[0xff; 33], visit).unwrap();
        keys.retain(|key| !bad.contains(key));
        assert!(
            damaged && found == keys,
            "{} of {}",
            found.len(),
            keys.len()
        );
    }
}
