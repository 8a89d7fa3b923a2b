//! Stores of which files are flipped, cut, emptied or deleted.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::ops::ControlFlow;
use std::path::PathBuf;

use bytes::Bytes;
use headwater_protocols::store::tables::index_key;
use headwater_protocols::store::{Batch, Durability, Store};

use super::*;

const ROWS: u64 = 3_000;

fn row(index: u64) -> Bytes {
    let mut state = index.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let noise = std::iter::repeat_with(|| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state as u8
    });
    noise.take(200).collect()
}

/// A store with rows in a table file of two tables, and some in its log of writes.
fn store(dir: &Path) {
    let store = RocksStore::open(dir).unwrap();
    put(&store, 0, ROWS);
    store.flush().unwrap();
    put(&store, ROWS, ROWS + 10);
}

fn put(store: &RocksStore, from: u64, to: u64) {
    let mut batch = Batch::new();
    for index in from..to {
        batch.put(Table::Records, index_key(1, index), row(index));
        batch.put(Table::Held, index_key(1, index), row(index));
    }
    store.commit(batch, Durability::Synced).unwrap();
}

fn files(dir: &Path, is: impl Fn(&str) -> bool) -> Vec<PathBuf> {
    let entries = fs::read_dir(dir).unwrap().map(|entry| entry.unwrap());
    let is_file = |path: &PathBuf| is(&path.file_name().unwrap().to_string_lossy());
    let mut files: Vec<_> = entries.map(|entry| entry.path()).filter(is_file).collect();
    files.sort();
    files
}

fn tables(dir: &Path) -> Vec<PathBuf> {
    files(dir, |name| name.ends_with(".sst"))
}

fn flip(path: &Path, at: usize) {
    let mut bytes = fs::read(path).unwrap();
    bytes[at] ^= 4;
    fs::write(path, bytes).unwrap();
}

/// The rows that can be read, all of them right; and whether some cannot.
fn read(store: &RocksStore, table: Table) -> (u64, bool) {
    let (mut right, mut failed) = (0, false);
    for index in 0..ROWS + 10 {
        match store.get(table, &index_key(1, index)) {
            Ok(Some(found)) => {
                assert_eq!(found, row(index), "{index}");
                right += 1;
            }
            Ok(None) => {}
            Err(StoreError::Damaged(_)) => failed = true,
            Err(error) => panic!("{error}"),
        }
    }
    (right, failed)
}

fn is_scanned(store: &RocksStore, table: Table) -> bool {
    let [from, to] = [0, u64::MAX].map(|index| index_key(1, index));
    store
        .scan(table, &from, &to, &mut |_, _| ControlFlow::Continue(()))
        .is_ok()
}

#[test]
fn a_damaged_block_costs_its_rows_alone_and_the_store_goes_on() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path().join("store");
    store(&dir);
    for table in tables(&dir) {
        let middle = fs::metadata(&table).unwrap().len() as usize / 2;
        flip(&table, middle);
    }
    let store = RocksStore::open(&dir).unwrap();
    for table in [Table::Records, Table::Held] {
        let (right, failed) = read(&store, table);
        assert!(failed && right > ROWS - 200, "{right}");
        assert!(!is_scanned(&store, table));
    }
    assert!(store.wait_for_damage(std::time::Duration::ZERO));
    let mended = store.mend().unwrap().unwrap();
    assert_eq!(mended.what.len(), 2, "{mended:?}");
    assert!(mended.what[0].contains(".sst"), "{mended:?}");
    assert_eq!(mended.lost.len(), 2, "{mended:?}");
    let kept = tables(mended.kept.as_ref().unwrap());
    assert_eq!(kept.len(), 2);
    // Somebody has seen to what earlier repairs had lost.
    assert!(!store.forget_lost(mended.number - 1));
    for table in [Table::Records, Table::Held] {
        // What was lost is not said to be not there, until that is known.
        let (right, failed) = read(&store, table);
        assert!(failed && right > ROWS - 200, "{right}");
    }
    store.forget_lost(u64::MAX);
    for table in [Table::Records, Table::Held] {
        let (right, failed) = read(&store, table);
        assert!(
            !failed && (ROWS - 200..ROWS + 10).contains(&right),
            "{right}"
        );
        assert!(is_scanned(&store, table));
    }
    put(&store, 0, ROWS);
    assert_eq!(read(&store, Table::Held), (ROWS + 10, false));
    drop(store);
    let store = RocksStore::open(&dir).unwrap();
    assert_eq!(store.mended(), None);
    assert_eq!(read(&store, Table::Records), (ROWS + 10, false));
    for table in [Table::Records, Table::Held] {
        store.compact_all(table);
        assert!(is_scanned(&store, table));
    }
}

#[test]
fn background_work_that_meets_damage_stops_no_writes() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path().join("store");
    store(&dir);
    for table in tables(&dir) {
        let middle = fs::metadata(&table).unwrap().len() as usize / 2;
        flip(&table, middle);
    }
    let store = RocksStore::open(&dir).unwrap();
    store.compact_all(Table::Records);
    put(&store, ROWS + 10, ROWS + 20);
    put(&store, 0, ROWS);
    store.forget_lost(u64::MAX);
    assert_eq!(read(&store, Table::Records), (ROWS + 10, false));
}

#[test]
fn whatever_becomes_of_a_table_file_the_store_opens_and_names_it() {
    for way in ["footer", "index", "cut", "emptied", "deleted"] {
        let dir = tempfile::tempdir().unwrap();
        let dir = dir.path().join("store");
        store(&dir);
        let bad = tables(&dir);
        for table in &bad {
            let length = fs::metadata(table).unwrap().len() as usize;
            match way {
                "footer" => flip(table, length - 5),
                "index" => flip(table, length - 300),
                "cut" => fs::write(table, &fs::read(table).unwrap()[..length / 2]).unwrap(),
                "emptied" => fs::write(table, b"").unwrap(),
                _ => fs::remove_file(table).unwrap(),
            }
        }
        let store = RocksStore::open(&dir).unwrap();
        let _ = (read(&store, Table::Records), read(&store, Table::Held));
        store.mend().unwrap();
        store.forget_lost(u64::MAX);
        let mended = store.take_repaired().pop().or(store.mended().cloned());
        let mended = mended.unwrap_or_default();
        let name = bad[0].file_name().unwrap().to_string_lossy();
        assert!(
            mended.what.iter().any(|what| what.contains(&*name)),
            "{way}: {mended:?}"
        );
        for table in [Table::Records, Table::Held] {
            assert!(is_scanned(&store, table), "{way}");
            let (right, failed) = read(&store, table);
            assert!(!failed && right >= 10, "{way}: {right}");
        }
        put(&store, 0, ROWS);
        drop(store);
        let store = RocksStore::open(&dir).unwrap();
        assert_eq!(read(&store, Table::Held), (ROWS + 10, false), "{way}");
    }
}

#[test]
fn whatever_becomes_of_current_nothing_is_lost() {
    for way in ["flipped", "cut", "emptied", "deleted"] {
        let dir = tempfile::tempdir().unwrap();
        let dir = dir.path().join("store");
        store(&dir);
        let current = dir.join("CURRENT");
        match way {
            "flipped" => flip(&current, 12),
            "cut" => fs::write(&current, b"MANIFEST").unwrap(),
            "emptied" => fs::write(&current, b"").unwrap(),
            _ => fs::remove_file(&current).unwrap(),
        }
        let store = RocksStore::open(&dir).unwrap();
        let mended = store.mended().unwrap();
        assert!(mended.what[0].contains("CURRENT"), "{way}: {mended:?}");
        assert!(mended.lost.is_empty() && !mended.is_rebuilt);
        for table in [Table::Records, Table::Held] {
            assert_eq!(read(&store, table), (ROWS + 10, false), "{way}");
        }
    }
}

#[test]
fn whatever_becomes_of_the_manifest_the_tables_and_the_log_of_writes_are_found() {
    for way in ["flipped", "flipped behind", "cut", "emptied", "deleted"] {
        for flushed in [true, false] {
            let dir = tempfile::tempdir().unwrap();
            let dir = dir.path().join("store");
            match flushed {
                true => store(&dir),
                false => put(&RocksStore::open(&dir).unwrap(), 0, ROWS + 10),
            }
            let manifest = manifest::current(&dir).unwrap();
            let length = fs::metadata(&manifest).unwrap().len() as usize;
            match way {
                "flipped" => flip(&manifest, 20),
                "flipped behind" => flip(&manifest, length - 20),
                "cut" => fs::write(&manifest, &fs::read(&manifest).unwrap()[..length / 2]).unwrap(),
                "emptied" => fs::write(&manifest, b"").unwrap(),
                _ => fs::remove_file(&manifest).unwrap(),
            }
            let store = RocksStore::open(&dir).unwrap();
            for table in [Table::Records, Table::Held] {
                let (right, failed) = read(&store, table);
                assert_eq!((right, failed), (ROWS + 10, false), "{way} {flushed}");
                assert!(is_scanned(&store, table));
            }
            put(&store, 0, 10);
            drop(store);
            let store = RocksStore::open(&dir).unwrap();
            assert_eq!(store.mended(), None);
            assert_eq!(
                read(&store, Table::Held),
                (ROWS + 10, false),
                "{way} {flushed}"
            );
        }
    }
}

#[test]
fn the_options_file_is_not_needed() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path().join("store");
    for way in ["flipped", "emptied", "deleted"] {
        store(&dir);
        for options in files(&dir, |name| {
            name.starts_with("OPTIONS") || name == "IDENTITY"
        }) {
            match way {
                "flipped" => flip(&options, 10),
                "emptied" => fs::write(&options, b"").unwrap(),
                _ => fs::remove_file(&options).unwrap(),
            }
        }
        let store = RocksStore::open(&dir).unwrap();
        assert_eq!(read(&store, Table::Held), (ROWS + 10, false), "{way}");
    }
}
