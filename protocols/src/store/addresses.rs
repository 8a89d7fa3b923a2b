//! Where the chunk with an address stands: in any number of places, in one log
//! or in several, a row for each. Whoever deletes one place leaves the others.

use std::ops::ControlFlow;

use bytes::Bytes;

use super::around::readable;
use super::tables::{address_key, index_key, place_of};
use super::{Batch, Store, StoreError, Table};
use crate::merkle::Hash;

/// Places at which a chunk is looked for: as many may be damaged, or just gone.
const PLACES_TRIED: usize = 16;

/// Notes a place of a chunk: log number and chunk.
pub fn put_place(batch: &mut Batch, address: &Hash, log: u32, chunk: u64) {
    let key = address_key(address, log, chunk);
    batch.put(Table::Addresses, key, Bytes::new());
}

/// Forgets a place of a chunk.
///
/// # Errors
/// The store fails.
pub fn delete_place<S: Store + ?Sized>(
    store: &S,
    batch: &mut Batch,
    address: &Hash,
    log: u32,
    chunk: u64,
) -> Result<(), StoreError> {
    batch.delete(Table::Addresses, address_key(address, log, chunk));
    // Stores of before this had one row an address, with its last place.
    let row = store.get(Table::Addresses, &address.0)?;
    if row.is_some_and(|place| *place == index_key(log, chunk)) {
        batch.delete(Table::Addresses, address.0);
    }
    Ok(())
}

/// The chunk with an address, from any place where it is held and can be read.
///
/// # Errors
/// The store fails.
pub fn chunk_at<S: Store + ?Sized>(store: &S, address: Hash) -> Result<Option<Bytes>, StoreError> {
    let to = address_key(&address, u32::MAX, u64::MAX);
    let mut places = Vec::new();
    store.scan(Table::Addresses, &address.0, &to, &mut |key, row| {
        places.extend(place_of(key, row).map(<[u8]>::to_vec));
        match places.len() < PLACES_TRIED {
            true => ControlFlow::Continue(()),
            false => ControlFlow::Break(()),
        }
    })?;
    for place in places {
        if let Some(Some(bytes)) = readable(store.get(Table::Chunks, &place))? {
            return Ok(Some(bytes));
        }
    }
    Ok(None)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::{Durability, MemoryStore};

    const ADDRESS: Hash = Hash([7; 32]);

    fn change(store: &MemoryStore, change: impl FnOnce(&mut Batch)) {
        let mut batch = Batch::new();
        change(&mut batch);
        store.commit(batch, Durability::Synced).unwrap();
    }

    fn put_chunk(batch: &mut Batch, log: u32, chunk: u64) {
        let bytes = Bytes::from_static(b"records");
        batch.put(Table::Chunks, index_key(log, chunk), bytes);
    }

    fn delete(store: &MemoryStore, log: u32, chunk: u64) {
        change(store, |batch| {
            delete_place(store, batch, &ADDRESS, log, chunk).unwrap();
            batch.delete(Table::Chunks, index_key(log, chunk));
        });
    }

    fn is_found(store: &MemoryStore) -> bool {
        chunk_at(store, ADDRESS).unwrap().is_some()
    }

    #[test]
    fn a_chunk_of_several_places_is_found_until_the_last_is_deleted() {
        let places = [(1, 5), (2, 0), (2, 9)];
        for first in 0..3 {
            let store = MemoryStore::new();
            for (log, chunk) in places {
                change(&store, |batch| {
                    put_place(batch, &ADDRESS, log, chunk);
                    put_chunk(batch, log, chunk);
                });
            }
            for turn in 0..3 {
                assert!(is_found(&store), "{first} {turn}");
                let (log, chunk) = places[(first + turn) % 3];
                delete(&store, log, chunk);
            }
            assert!(!is_found(&store));
            assert_eq!(store.len(Table::Addresses), 0);
        }
    }

    #[test]
    fn a_row_of_an_older_store_is_found_and_deleted_with_its_place_alone() {
        let store = MemoryStore::new();
        change(&store, |batch| {
            let place = Bytes::copy_from_slice(&index_key(3, 4));
            batch.put(Table::Addresses, ADDRESS.0, place);
            put_chunk(batch, 3, 4);
        });
        delete(&store, 3, 5);
        assert!(is_found(&store));
        delete(&store, 3, 4);
        assert!(!is_found(&store));
        assert_eq!(store.len(Table::Addresses), 0);
    }

    #[test]
    fn another_address_is_another_chunk() {
        let store = MemoryStore::new();
        change(&store, |batch| {
            let mut beside = ADDRESS;
            beside.0[31] += 1;
            put_place(batch, &beside, 1, 1);
            put_chunk(batch, 1, 1);
        });
        assert!(!is_found(&store));
    }
}
