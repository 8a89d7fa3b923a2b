//! Audits of logs of which one thing is not what it was.

use super::*;
use crate::log::Appender;
use crate::record::Record;
use crate::store::{Admission, Durability, MemoryStore};
use crate::time::Timestamp;

const KEY: LogKey = LogKey {
    number: 3,
    chunk_level: 2,
};
const SIZE: u64 = 103;

/// A log that is held as a whole, or but for some records.
fn log(missing: Option<Interval>) -> (MemoryStore, IntervalSet, Tree) {
    let store = MemoryStore::new();
    let records: Vec<_> = (0..SIZE)
        .map(|index| Record::new(Timestamp(index as i64), b"value"))
        .collect();
    let leaves: Vec<_> = records.iter().map(Record::leaf).collect();
    let mut appender = Appender::new(CompactRange::empty(0));
    let mut nodes: Vec<_> = (leaves.iter().enumerate())
        .map(|(index, leaf)| (Subtree::leaf(index as u64), *leaf))
        .collect();
    nodes.extend(appender.append(leaves.iter().copied()));
    let mut held = IntervalSet::new();
    let all: IntervalSet = [Interval { from: 0, to: SIZE }].into_iter().collect();
    let mut wanted = all;
    if let Some(missing) = missing {
        let _ = wanted.remove(missing.from, missing.to);
    }
    for Interval { from, to } in wanted.intervals() {
        let mut admission = Admission::new(&store, KEY, &mut held);
        let (from, to) = (from as usize, to as usize);
        let put = admission.put_records(from as u64, &records[from..to], &leaves[from..to]);
        put.unwrap();
        admission.put_nodes(&nodes);
        store
            .commit(admission.finish(), Durability::Synced)
            .unwrap();
    }
    let tree = Tree {
        size: SIZE,
        root: appender.frontier().root().unwrap(),
    };
    (store, held, tree)
}

fn audit(store: &MemoryStore, held: &IntervalSet, tree: Tree) -> Findings {
    let mut audit = Audit::new(store, KEY, held, tree);
    for chunk in 0..=KEY.chunk_of(SIZE) {
        audit.chunk(chunk).unwrap();
    }
    audit.finish().unwrap()
}

fn mend(store: &MemoryStore, held: &mut IntervalSet, findings: &Findings) {
    let mut batch = Batch::new();
    put_in_order(store, KEY, held, findings, &mut batch).unwrap();
    store.commit(batch, Durability::Synced).unwrap();
}

#[test]
fn a_log_that_is_as_it_was_is_clean_whatever_of_it_is_held() {
    for missing in [None, Some((0, 1)), Some((5, 22)), Some((101, 102))] {
        let missing = missing.map(|(from, to)| Interval { from, to });
        let (store, held, tree) = log(missing);
        let findings = audit(&store, &held, tree);
        assert!(findings.is_clean(), "{missing:?}: {findings:?}");
        assert_eq!(findings.records, held.len());
    }
}

#[test]
fn each_row_that_is_lost_is_found_and_no_other() {
    for table in [Table::Chunks, Table::Records, Table::Nodes, Table::Times] {
        let (store, _, _) = log(None);
        let mut rows = Vec::new();
        let visit = &mut |key: &[u8], _: &[u8]| {
            rows.push(key.to_vec());
            ControlFlow::Continue(())
        };
        store.scan(table, &[], &[0xff; 32], visit).unwrap();
        assert!(rows.len() > 2, "{table:?}");
        for row in rows {
            let (store, mut held, tree) = log(None);
            assert_eq!(store.damage(table, |key| key == row), 1);
            let findings = audit(&store, &held, tree);
            assert!(!findings.is_clean(), "{table:?} {row:?}");
            let bad = usize::from(matches!(table, Table::Chunks | Table::Records));
            assert_eq!(findings.bad.len(), bad, "{table:?} {row:?}");
            mend(&store, &mut held, &findings);
            assert!(audit(&store, &held, tree).is_clean(), "{table:?} {row:?}");
            assert!(held.len() >= SIZE - 4);
        }
    }
}
