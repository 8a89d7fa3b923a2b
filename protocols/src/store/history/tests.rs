//! Histories against a plain list of records.

use std::collections::BTreeMap;
use std::sync::Arc;

use proptest::prelude::*;

use super::*;
use crate::limits::MAX_HELD_INTERVALS;
use crate::log::Node;
use crate::merkle::{MAX_LEVEL, RangeProof, cover, prove_range, verify_range};
use crate::record::{CheckedChunk, EncodedChunk};
use crate::store::{Admission, Batch, Durability, MemoryStore, remove_chunks};

const NUMBER: u32 = 7;

/// A log of these times, and what is held of it.
struct Model {
    key: LogKey,
    records: Vec<Record>,
    leaves: Vec<Hash>,
    store: Arc<MemoryStore>,
    held: IntervalSet,
    expected: IntervalSet,
}

/// How a range comes in.
#[derive(Clone, Copy, Debug)]
enum Way {
    /// As a delivery: the subtrees of at most a chunk, all in one write.
    Subtrees,
    /// The same, each in a write of its own, the last one first.
    Backwards,
    /// As an announcement: a run of records and the nodes, in one write.
    Run,
}

impl Model {
    fn new(chunk_level: u8, times: &[i64]) -> Self {
        let record = |(i, &time): (usize, &i64)| {
            Record::new(Timestamp(time), "x".repeat(i % 200).as_bytes())
        };
        let records: Vec<_> = times.iter().enumerate().map(record).collect();
        Self {
            key: LogKey {
                number: NUMBER,
                chunk_level,
            },
            leaves: records.iter().map(Record::leaf).collect(),
            records,
            store: Arc::new(MemoryStore::new()),
            held: IntervalSet::default(),
            expected: IntervalSet::default(),
        }
    }

    fn size(&self) -> u64 {
        self.records.len() as u64
    }

    fn history(&self) -> History<'_, MemoryStore> {
        History::new(&self.store, self.key)
    }

    fn naive(&self, subtree: Subtree) -> Hash {
        let leaves = &self.leaves[subtree.begin() as usize..subtree.end() as usize];
        subtree_root(leaves.to_vec())
    }

    /// The nodes that an offer of `[from, to)` proves.
    fn nodes(&self, from: u64, to: u64) -> Vec<Node> {
        let source = |subtree| Ok::<_, StoreError>(Some(self.naive(subtree)));
        let proof: RangeProof = prove_range(&source, from, to, self.size()).unwrap();
        let items: Vec<_> = cover(from, to, self.key.chunk_level)
            .map(|item| (item, self.naive(item)))
            .collect();
        let root = subtree_root(self.leaves.clone());
        let mut nodes = Vec::new();
        let visit = &mut |node, hash| nodes.push((node, hash));
        verify_range(from, to, self.size(), &items, &proof, root, visit).unwrap();
        nodes
    }

    fn admit(&mut self, from: u64, to: u64, way: Way) {
        let nodes = self.nodes(from, to);
        let subtrees: Vec<_> = cover(from, to, self.key.chunk_level).collect();
        match way {
            Way::Subtrees => {
                self.write(|admission| {
                    admission.put_nodes(&nodes);
                    Ok(())
                });
                self.put_subtrees(&subtrees);
            }
            Way::Backwards => {
                for subtree in subtrees.iter().rev() {
                    self.put_subtrees(&[*subtree]);
                }
                self.write(|admission| {
                    admission.put_nodes(&nodes);
                    Ok(())
                });
            }
            Way::Run => {
                let range = from as usize..to as usize;
                let records = self.records[range.clone()].to_vec();
                let leaves = self.leaves[range].to_vec();
                self.write(|admission| {
                    admission.put_records(from, &records, &leaves)?;
                    admission.put_nodes(&nodes);
                    Ok(())
                });
            }
        }
        let _ = self.expected.insert(from, to);
    }

    fn put_subtrees(&mut self, subtrees: &[Subtree]) {
        let chunks: Vec<_> = (subtrees.iter())
            .map(|&subtree| {
                let records = &self.records[subtree.begin() as usize..subtree.end() as usize];
                let bytes = EncodedChunk::of(records).bytes;
                let chunk = CheckedChunk::parse(bytes, subtree.len(), 1000).unwrap();
                (subtree, chunk, self.naive(subtree))
            })
            .collect();
        self.write(|admission| {
            for (subtree, chunk, hash) in &chunks {
                admission.put_subtree(*subtree, chunk, *hash)?;
            }
            Ok(())
        });
    }

    fn write(
        &mut self,
        put: impl FnOnce(&mut Admission<'_, MemoryStore>) -> Result<(), ReadError>,
    ) {
        let mut admission = Admission::new(&*self.store, self.key, &mut self.held);
        put(&mut admission).unwrap();
        let batch = admission.finish();
        self.store.commit(batch, Durability::Written).unwrap();
    }

    /// Removes the chunks that lie in a range, step by step.
    fn remove(&mut self, from: u64, to: u64) {
        let to = self.key.chunk_interval(self.key.chunk_of(to)).from;
        let mut from = self.key.chunk_interval(self.key.chunk_of(from)).from;
        while from < to {
            let mut batch = Batch::new();
            let range = Interval { from, to };
            let (store, held) = (&*self.store, &mut self.held);
            let end = remove_chunks(store, self.key, held, range, &mut batch).unwrap();
            assert!(end > from, "every step gets on");
            store.commit(batch, Durability::Written).unwrap();
            let _ = self.expected.remove(from, end);
            from = end;
        }
    }

    fn check(&self) {
        assert_eq!(self.held, self.expected);
        assert_eq!(self.history().held().unwrap(), self.expected);
        self.check_records();
        self.check_nodes();
        self.check_rows();
    }

    fn check_records(&self) {
        let history = self.history();
        let mut bytes = 0;
        for index in 0..self.size() {
            let record = &self.records[index as usize];
            if self.held.contains(index, index + 1) {
                assert_eq!(history.record(index).as_ref(), Ok(record));
                bytes += encoded_len(record.as_bytes()) as u64;
            } else {
                assert_eq!(history.record(index), Err(ReadError::NotHeld(index)));
            }
        }
        assert_eq!(history.bytes(), Ok(bytes));
        for interval in self.held.intervals() {
            let run = history.run(interval.from, interval.to).unwrap();
            let from = interval.from as usize;
            assert_eq!(run[..], self.records[from..from + run.len()]);
            for subtree in cover(interval.from, interval.to, self.key.chunk_level) {
                let records = &self.records[subtree.begin() as usize..subtree.end() as usize];
                let bytes = EncodedChunk::of(records).bytes;
                assert_eq!(history.subtree_bytes(subtree), Ok(bytes));
            }
        }
    }

    /// Every perfect subtree of what is held can be given as proof.
    fn check_nodes(&self) {
        let history = self.history();
        for level in 0..=MAX_LEVEL {
            for index in 0..self.size() >> level {
                let subtree = Subtree { level, index };
                let found = history.node(subtree).unwrap();
                if self.held.contains(subtree.begin(), subtree.end()) {
                    assert_eq!(found, Some(self.naive(subtree)), "{subtree:?}");
                } else if let Some(hash) = found {
                    assert_eq!(hash, self.naive(subtree), "{subtree:?}");
                }
            }
        }
    }

    /// No row is kept twice: whole chunks as one, the others record by record.
    fn check_rows(&self) {
        let rows = |table, from: Vec<u8>, to: Vec<u8>| {
            let mut rows = 0_u64;
            (self.store)
                .scan(table, &from, &to, &mut |_, _| {
                    rows += 1;
                    ControlFlow::Continue(())
                })
                .unwrap();
            rows
        };
        for chunk in 0..=self.key.chunk_of(self.size()) {
            let Interval { from, to } = self.key.chunk_interval(chunk);
            let whole = self.held.contains(from, to);
            let key = |index| index_key(NUMBER, index).to_vec();
            let edge = |chunk| edge_key(NUMBER, chunk, 0, 0).to_vec();
            let loose = rows(Table::Records, key(from), key(to));
            let edges = rows(Table::Edges, edge(chunk), edge(chunk + 1));
            assert_eq!(self.history().chunk(chunk).unwrap().is_some(), whole);
            if whole {
                assert_eq!((loose, edges), (0, 0), "chunk {chunk}");
            } else {
                assert_eq!(loose, self.held.covered(from, to), "chunk {chunk}");
            }
        }
    }

    fn check_search(&self, time: i64, size: u64) {
        let found = self.history().at_or_before(Timestamp(time), size).unwrap();
        let expected = (self.held.intervals())
            .flat_map(|interval| interval.from..interval.to)
            .filter(|&index| index < size)
            .map(|index| (self.records[index as usize].time(), index))
            .filter(|&(at, _)| at <= Timestamp(time))
            .max();
        assert_eq!(found, expected.map(|(time, index)| (index, time)));
    }
}

/// Times that repeat and run backwards.
fn times(len: usize) -> impl Strategy<Value = Vec<i64>> {
    prop::collection::vec((-3_i64..40, any::<bool>()), len).prop_map(|steps| {
        let mut time = 0;
        let step = |(by, forwards): (i64, bool)| {
            time += if forwards { by } else { -by / 2 };
            time
        };
        steps.into_iter().map(step).collect()
    })
}

/// A range as parts of the log, whether it is cut to what is missing (as what
/// is asked of peers), and how it comes in.
type Step = (f64, f64, bool, Way);

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let way = prop_oneof![Just(Way::Subtrees), Just(Way::Backwards), Just(Way::Run)];
    prop::collection::vec((0.0..1.0, 0.0..0.6, any::<bool>(), way), 1..12)
}

/// A chunk level, the times of a log that has a few chunks of it, and what
/// comes in.
type Script = (u8, Vec<i64>, Vec<Step>);

fn scripts() -> impl Strategy<Value = Script> {
    let level = prop_oneof![
        Just((0, 40)),
        Just((1, 90)),
        Just((3, 260)),
        Just((8, 1100)),
    ];
    level.prop_flat_map(|(level, len)| (Just(level), times(len), steps()))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn a_history_is_what_came_in_whatever_the_order(
        (level, times, steps) in scripts(),
        searches in prop::collection::vec((-100_i64..3000, 0.0..1.1), 12),
        complete in any::<bool>(),
    ) {
        let mut model = Model::new(level, &times);
        let size = model.size();
        for (from, len, missing, way) in steps {
            let from = (from * size as f64) as u64;
            let to = (from + 1 + (len * size as f64) as u64).min(size);
            let range = Interval { from, to };
            let gap = model.held.first_missing(from, to).filter(|_| missing);
            let Interval { from, to } = gap.unwrap_or(range);
            model.admit(from, to, way);
        }
        if complete {
            model.admit(0, size, Way::Subtrees);
        }
        model.check();
        for (time, part) in searches {
            model.check_search(time, (part * size as f64) as u64);
        }
    }

    #[test]
    fn what_is_removed_is_gone_and_the_rest_is_as_if_it_had_never_been_there(
        (level, times, steps) in scripts(),
        removed in prop::collection::vec((0.0..1.0, 0.0..1.1), 1..6),
        searches in prop::collection::vec((-100_i64..3000, 0.0..1.1), 12),
    ) {
        let mut model = Model::new(level, &times);
        let size = model.size();
        let part = |part: f64| (part * size as f64) as u64;
        let mut removed = removed.into_iter();
        for (from, len, _, way) in steps {
            let from = part(from);
            model.admit(from, (from + 1 + part(len)).min(size), way);
            if let Some((from, len)) = removed.next() {
                model.remove(part(from), part(from + len));
                model.check();
            }
        }
        for (time, to) in searches {
            model.check_search(time, part(to));
        }
        let rest = model.store.copy();
        model.remove(0, 2 * size);
        prop_assert_eq!(model.history().bytes(), Ok(0));
        for table in [Table::Held, Table::Chunks, Table::Records, Table::Edges, Table::Times, Table::Addresses] {
            prop_assert_eq!(model.store.len(table), 0, "{} of {}", table.name(), rest.len(table));
        }
    }

    #[test]
    fn the_time_index_finds_records_far_apart(
        indexes in prop::collection::btree_map(far_indexes(), -50_i64..50, 1..40),
        order in any::<u64>(),
        searches in prop::collection::vec((-60_i64..60, far_indexes()), 20),
        removed in prop::option::of(far_indexes()),
    ) {
        let store = MemoryStore::new();
        let key = LogKey { number: NUMBER, chunk_level: 0 };
        let mut held = IntervalSet::default();
        let mut list: Vec<_> = indexes.into_iter().collect();
        let mut at = order;
        list.sort_by_cached_key(|_| {
            at = at.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            at >> 32
        });
        for part in list.chunks(3) {
            let mut admission = Admission::new(&store, key, &mut held);
            for &(index, time) in part {
                let record = Record::new(Timestamp(time), b"1");
                let leaves = [record.leaf()];
                admission.put_records(index, &[record], &leaves).unwrap();
            }
            store.commit(admission.finish(), Durability::Written).unwrap();
        }
        if let Some(end) = removed {
            let mut batch = Batch::new();
            let range = Interval { from: 0, to: end };
            remove_chunks(&store, key, &mut held, range, &mut batch).unwrap();
            store.commit(batch, Durability::Written).unwrap();
            list.retain(|(index, _)| *index >= end);
        }
        let history = History::new(&store, key);
        prop_assert_eq!(history.bytes(), Ok(list.len() as u64 * 10));
        for (time, size) in searches {
            let found = history.at_or_before(Timestamp(time), size).unwrap();
            let expected = (list.iter())
                .filter(|(index, at)| *index < size && *at <= time)
                .map(|&(index, at)| (Timestamp(at), index))
                .max();
            prop_assert_eq!(found, expected.map(|(time, index)| (index, time)));
        }
    }
}

/// Indexes of every magnitude that a log can have.
fn far_indexes() -> impl Strategy<Value = u64> {
    (0_u32..62, 0.0..1.0_f64).prop_map(|(bits, part)| ((1_u64 << bits) as f64 * part) as u64)
}

#[test]
fn logs_do_not_see_each_other() {
    let store = MemoryStore::new();
    let mut sets = BTreeMap::new();
    for number in [0, 1, u32::MAX] {
        let key = LogKey {
            number,
            chunk_level: 1,
        };
        let held = sets.entry(number).or_insert_with(IntervalSet::default);
        let records: Vec<_> = (0..5)
            .map(|i| Record::new(Timestamp(i64::from(number) + i), b"v"))
            .collect();
        let leaves: Vec<_> = records.iter().map(Record::leaf).collect();
        let mut admission = Admission::new(&store, key, held);
        admission.put_records(0, &records, &leaves).unwrap();
        let batch = admission.finish();
        store.commit(batch, Durability::Written).unwrap();
    }
    for (number, held) in sets {
        let key = LogKey {
            number,
            chunk_level: 1,
        };
        let history = History::new(&store, key);
        assert_eq!(history.held().unwrap(), held);
        assert_eq!(history.bytes(), Ok(50));
        let time = history.record(3).unwrap().time();
        assert_eq!(time, Timestamp(i64::from(number) + 3));
    }
}

#[test]
fn a_commit_that_fails_leaves_what_was_held_before() {
    let mut model = Model::new(3, &[1; 40]);
    model.admit(0, 13, Way::Run);
    model
        .store
        .fail_after(0, StoreError::Full("0 bytes left".to_owned()));
    let mut admission = Admission::new(&*model.store, model.key, &mut model.held);
    admission
        .put_records(13, &model.records[13..20], &model.leaves[13..20])
        .unwrap();
    let batch = admission.finish();
    assert!(model.store.commit(batch, Durability::Written).is_err());
    model.held = model.history().held().unwrap();
    model.check();
    model.admit(13, 40, Way::Subtrees);
    model.check();
}

#[test]
fn what_would_be_one_interval_too_many_is_left_out_and_what_joins_some_is_kept() {
    let store = MemoryStore::default();
    let key = LogKey {
        number: 1,
        chunk_level: 0,
    };
    let mut held = IntervalSet::new();
    let put = |held: &mut IntervalSet, index: u64| {
        let record = Record::new(Timestamp(index as i64), b"1");
        let mut admission = Admission::new(&store, key, held);
        let leaf = record.leaf();
        admission.put_records(index, &[record], &[leaf]).unwrap();
        let batch = admission.finish();
        store.commit(batch, Durability::Written).unwrap();
    };
    let count = MAX_HELD_INTERVALS as u64;
    // As a publisher whose followers have every other record would have it.
    for index in 0..count + 100 {
        put(&mut held, 2 * index);
    }
    assert_eq!(held.interval_count(), MAX_HELD_INTERVALS);
    assert!(!held.contains(2 * count, 2 * count + 1));
    put(&mut held, 1);
    assert!(held.contains(0, 3));
    put(&mut held, 2 * count);
    assert_eq!(held.interval_count(), MAX_HELD_INTERVALS);
    // What is claimed is there, and nothing else is.
    let history = History::new(&store, key);
    assert_eq!(history.held().unwrap(), held);
    assert!(history.record(2 * count + 2).is_err());
}
