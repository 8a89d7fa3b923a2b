//! Against a model, killed processes, and disks that are full or fail.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::fs;
use std::io::{self, BufRead, BufReader, Write};
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::Instant;

use bytes::Bytes;
use headwater_protocols::store::tables::{index_key, level_key, log_range};
use headwater_protocols::store::{Batch, Durability, MemoryStore, Store, StoreError, Table};
use proptest::prelude::*;

use super::{FORMAT_VERSION, OpenError, RocksStore};

type Rows = Vec<(Vec<u8>, Vec<u8>)>;

fn rows(store: &dyn Store, table: Table, from: &[u8], to: &[u8]) -> Rows {
    let mut rows = Rows::new();
    let scanned = store.scan(table, from, to, &mut |key, value| {
        rows.push((key.to_vec(), value.to_vec()));
        ControlFlow::Continue(())
    });
    scanned.unwrap();
    rows
}

fn put(key: &[u8], value: impl Into<Bytes>) -> Batch {
    let mut batch = Batch::new();
    batch.put(Table::Chunks, key, value);
    batch
}

/// Bytes that do not compress.
fn noise(seed: u64, len: usize) -> Bytes {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut step = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()
    };
    let bytes: Vec<u8> = std::iter::repeat_with(&mut step)
        .take(len.div_ceil(8))
        .flatten()
        .collect();
    Bytes::from(bytes).slice(..len)
}

#[derive(Clone, Debug)]
enum Step {
    Commit(Batch, Durability),
    Scan(Table, Vec<u8>, Vec<u8>),
    Reopen,
}

fn table() -> impl Strategy<Value = Table> {
    prop::sample::select(vec![Table::Chunks, Table::Records, Table::Held])
}

fn key() -> impl Strategy<Value = Vec<u8>> {
    prop::collection::vec(prop::sample::select(vec![0_u8, 1, 2, 0xff]), 0..4)
}

fn batch() -> impl Strategy<Value = Batch> {
    let value = prop_oneof![
        (0..40_usize).boxed(),
        // More than a block, and what a chunk may have at most.
        prop::sample::select(vec![5_000, 1 << 20]).boxed()
    ];
    let change = prop_oneof![
        4 => (key(), any::<u64>(), value)
            .prop_map(|(key, seed, len)| (key, Vec::new(), Some(noise(seed, len)))),
        2 => key().prop_map(|key| (key, Vec::new(), None)),
        1 => (key(), key()).prop_map(|(from, mut to)| {
            to.push(1);
            (from, to, None)
        }),
    ];
    prop::collection::vec((table(), change), 0..6).prop_map(|changes| {
        let mut batch = Batch::new();
        for (table, (key, to, value)) in changes {
            match value {
                Some(value) => batch.put(table, key, value),
                None if to.is_empty() => batch.delete(table, key),
                None => batch.delete_range(table, key, to),
            }
        }
        batch
    })
}

fn step() -> impl Strategy<Value = Step> {
    let durability = prop::sample::select(vec![Durability::Written, Durability::Synced]);
    prop_oneof![
        10 => (batch(), durability).prop_map(|(batch, durability)| Step::Commit(batch, durability)),
        5 => (table(), key(), key()).prop_map(|(table, from, to)| Step::Scan(table, from, to)),
        1 => Just(Step::Reopen),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn the_store_on_disk_behaves_like_the_one_in_memory(
        steps in prop::collection::vec(step(), 1..40)
    ) {
        let dir = tempfile::tempdir().unwrap();
        let model = MemoryStore::new();
        let mut store = RocksStore::open(dir.path()).unwrap();
        for step in steps {
            match step {
                Step::Commit(batch, durability) => {
                    model.commit(batch.clone(), durability).unwrap();
                    store.commit(batch, durability).unwrap();
                }
                Step::Scan(table, from, to) => {
                    prop_assert_eq!(
                        rows(&store, table, &from, &to),
                        rows(&model, table, &from, &to)
                    );
                    prop_assert_eq!(store.get(table, &from), model.get(table, &from));
                }
                Step::Reopen => {
                    drop(store);
                    store = RocksStore::open(dir.path()).unwrap();
                }
            }
        }
        prop_assert!(store.fsyncs() <= model.syncs() + 1);
        for table in [Table::Chunks, Table::Records, Table::Held] {
            prop_assert_eq!(
                rows(&store, table, &[], &[0xff; 5]),
                rows(&model, table, &[], &[0xff; 5])
            );
        }
    }
}

#[test]
fn a_scan_stops_when_the_visitor_has_enough() {
    let dir = tempfile::tempdir().unwrap();
    let store = RocksStore::open(dir.path()).unwrap();
    for key in [b"a", b"b", b"c"] {
        store.commit(put(key, "1"), Durability::Written).unwrap();
    }
    let mut seen = 0;
    let scanned = store.scan(Table::Chunks, b"a", b"z", &mut |_, _| {
        seen += 1;
        match seen {
            2 => ControlFlow::Break(()),
            _ => ControlFlow::Continue(()),
        }
    });
    scanned.unwrap();
    assert_eq!(seen, 2);
}

#[test]
fn only_synced_commits_count_as_fsyncs() {
    let dir = tempfile::tempdir().unwrap();
    let store = RocksStore::open(dir.path()).unwrap();
    let before = store.fsyncs();
    store.commit(put(b"a", "1"), Durability::Written).unwrap();
    assert_eq!(store.fsyncs(), before);
    store.commit(put(b"b", "2"), Durability::Synced).unwrap();
    store.commit(Batch::new(), Durability::Synced).unwrap();
    assert_eq!(store.fsyncs(), before + 2);
}

#[test]
fn disk_bytes_grow_with_what_is_written() {
    let dir = tempfile::tempdir().unwrap();
    let store = RocksStore::open(dir.path()).unwrap();
    let before = store.disk_bytes().unwrap();
    store
        .commit(put(b"a", noise(1, 1 << 20)), Durability::Written)
        .unwrap();
    assert!(store.disk_bytes().unwrap() >= before + (1 << 20));
}

#[test]
fn a_folder_is_created_with_its_parents_and_opened_by_one_at_a_time() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path().join("deep/down");
    let store = RocksStore::open(&dir).unwrap();
    let refused = RocksStore::open(&dir).unwrap_err();
    assert!(matches!(refused, OpenError::Locked(_)), "{refused}");
    drop(store);
    RocksStore::open(&dir).unwrap();
}

#[test]
fn a_folder_of_another_format_is_refused_with_its_number() {
    for (found, expected) in [(FORMAT_VERSION + 1, "newer"), (0, "older")] {
        let dir = tempfile::tempdir().unwrap();
        set_format(dir.path(), &found.to_be_bytes());
        let refused = RocksStore::open(dir.path()).unwrap_err();
        assert!(matches!(
            refused,
            OpenError::Newer { found: of, .. } | OpenError::Older { found: of, .. } if of == found
        ));
        assert!(refused.to_string().contains(expected), "{refused}");
    }
}

#[test]
fn a_folder_of_version_0_1_0_is_one_of_today_from_its_first_start_on() {
    let dir = tempfile::tempdir().unwrap();
    set_format(dir.path(), &1_u32.to_be_bytes());
    for _ in 0..2 {
        let store = RocksStore::open(dir.path()).unwrap();
        let version = store.get(Table::Meta, b"format_version").unwrap().unwrap();
        assert_eq!(version[..], FORMAT_VERSION.to_be_bytes());
    }
}

#[test]
fn a_folder_with_unknown_tables_is_refused_as_newer() {
    let dir = tempfile::tempdir().unwrap();
    set_format(dir.path(), &7_u32.to_be_bytes());
    let names = Table::ALL.map(Table::name);
    let mut db = rocksdb::DB::open_cf(&rocksdb::Options::default(), dir.path(), names).unwrap();
    db.create_cf("later", &rocksdb::Options::default()).unwrap();
    drop(db);
    let refused = RocksStore::open(dir.path()).unwrap_err();
    assert!(
        matches!(
            refused,
            OpenError::Newer {
                found: 7,
                known: FORMAT_VERSION,
                ..
            }
        ),
        "{refused}"
    );
}

#[test]
fn a_folder_without_a_readable_format_is_damaged() {
    let dir = tempfile::tempdir().unwrap();
    set_format(dir.path(), b"one");
    let refused = RocksStore::open(dir.path()).unwrap_err();
    assert!(matches!(refused, OpenError::Damaged { .. }), "{refused}");
}

#[test]
fn a_path_that_is_a_file_cannot_be_opened() {
    let file = tempfile::NamedTempFile::new().unwrap();
    let refused = RocksStore::open(file.path()).unwrap_err();
    assert!(matches!(refused, OpenError::Failed { .. }), "{refused}");
}

fn set_format(dir: &Path, version: &[u8]) {
    let store = RocksStore::open(dir).unwrap();
    let mut batch = Batch::new();
    batch.put(Table::Meta, *b"format_version", version.to_vec());
    store.commit(batch, Durability::Synced).unwrap();
}

#[test]
fn a_damaged_table_gives_an_error_and_not_other_bytes() {
    let dir = tempfile::tempdir().unwrap();
    let store = RocksStore::open(dir.path()).unwrap();
    for index in 0..64 {
        let chunk = noise(index, 30_000);
        let batch = put(&index_key(1, index), chunk);
        store.commit(batch, Durability::Written).unwrap();
    }
    drop(store);
    // Opening writes the log's rows to table files; the next one reads those.
    drop(RocksStore::open(dir.path()).unwrap());
    let files: Vec<_> = fs::read_dir(dir.path())
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| {
            path.extension()
                .is_some_and(|kind| kind == "sst" || kind == "blob")
        })
        .collect();
    let largest = (files.iter())
        .max_by_key(|path| fs::metadata(path).unwrap().len())
        .unwrap();
    let mut bytes = fs::read(largest).unwrap();
    for at in (1_000..bytes.len() - 100_000).step_by(10_000) {
        bytes[at] ^= 1;
    }
    fs::write(largest, bytes).unwrap();

    let store = RocksStore::open(dir.path()).unwrap();
    let mut damaged = 0;
    for index in 0..64 {
        match store.get(Table::Chunks, &index_key(1, index)) {
            Ok(found) => assert_eq!(found, Some(noise(index, 30_000))),
            Err(StoreError::Damaged(_)) => damaged += 1,
            Err(error) => panic!("{error}"),
        }
    }
    assert!(damaged > 32, "{damaged}");
}

/// What a child process of the tests does, until it is killed.
#[derive(Clone, Copy, Debug)]
enum Role {
    /// Commits numbered batches to all tables and prints each number after it.
    Commits,
    /// Commits a million records, then prints `ready`.
    Fills,
}

const CHILD_DIR: &str = "HEADWATER_STORE_TEST_DIR";
const CHILD_ROLE: &str = "HEADWATER_STORE_TEST_ROLE";

/// This test binary, running one role in a folder.
struct Process {
    child: Child,
    lines: io::Lines<BufReader<ChildStdout>>,
}

impl Process {
    fn start(role: Role, dir: &Path) -> Self {
        let (_, module) = module_path!().split_once("::").unwrap();
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "--ignored", "--nocapture"])
            .arg(format!("{module}::child"))
            .env(CHILD_DIR, dir)
            .env(CHILD_ROLE, format!("{role:?}"))
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        Self { child, lines }
    }

    /// The next line of the role; those of the test harness end otherwise.
    fn line(&mut self) -> Option<String> {
        let is_said = |line: String| Some(line.split_once("said:")?.1.trim().to_owned());
        self.lines.by_ref().map_while(Result::ok).find_map(is_said)
    }

    fn wait_for(&mut self, expected: &str) {
        while self.line().expect("the child says more") != expected {}
    }

    /// Kills it, and returns what it had said until then.
    fn kill(mut self) -> Vec<String> {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
        std::iter::from_fn(|| self.line()).collect()
    }
}

fn say(what: impl std::fmt::Display) {
    let mut out = io::stdout().lock();
    writeln!(out, "said: {what}").unwrap();
    out.flush().unwrap();
}

#[test]
#[ignore = "a process that other tests start and kill"]
fn child() {
    let (Some(dir), Ok(role)) = (std::env::var_os(CHILD_DIR), std::env::var(CHILD_ROLE)) else {
        return;
    };
    let store = RocksStore::open(Path::new(&dir)).unwrap();
    if role == format!("{:?}", Role::Commits) {
        for number in 0.. {
            let batch = batch_for_all_tables(number);
            store.commit(batch, Durability::Written).unwrap();
            say(number);
        }
    } else {
        let bytes = fill(&store);
        say(format!("{bytes} bytes on disk"));
        say("ready");
        loop {
            std::thread::park();
        }
    }
}

fn batch_for_all_tables(number: u64) -> Batch {
    let mut batch = Batch::new();
    for table in Table::ALL {
        let len = match table {
            Table::Chunks => 25_800,
            _ => 40,
        };
        batch.put(table, index_key(7, number), noise(number, len));
    }
    batch
}

#[test]
fn what_was_written_survives_kill_9_and_batches_stay_whole() {
    let dir = tempfile::tempdir().unwrap();
    let mut child = Process::start(Role::Commits, dir.path());
    // Enough to have switched write buffers and logs.
    child.wait_for("3000");
    let refused = RocksStore::open(dir.path()).unwrap_err();
    assert!(matches!(refused, OpenError::Locked(_)), "{refused}");
    let said = child.kill();
    let acknowledged = said
        .last()
        .map_or(3_000, |number| number.parse::<u64>().unwrap());

    let store = RocksStore::open(dir.path()).unwrap();
    for number in 0..=acknowledged {
        for table in Table::ALL {
            let found = store.get(table, &index_key(7, number)).unwrap();
            assert!(found.is_some(), "{number} of {acknowledged} in {table:?}");
        }
    }
    // The one that it was at may be there: all of it, or nothing.
    for number in acknowledged + 1..acknowledged + 3 {
        let found = Table::ALL
            .map(|table| store.get(table, &index_key(7, number)).unwrap())
            .map(|value| value.is_some());
        let is_whole = found.iter().all(|&row| row == found[0]);
        assert!(is_whole, "{found:?}");
    }
}

const FULL_CHUNKS: u64 = 3_907;

/// A million records of 100 bytes, as a follower stores them.
fn fill(store: &RocksStore) -> u64 {
    for chunk in 0..FULL_CHUNKS {
        let mut batch = Batch::new();
        batch.put(Table::Chunks, index_key(1, chunk), noise(chunk, 25_800));
        for level in 0..=chunk.trailing_ones() {
            let key = level_key(1, 8 + level as u8, chunk >> level);
            batch.put(Table::Nodes, key, noise(chunk, 32));
            batch.put(Table::Times, key, noise(chunk, 24));
        }
        batch.put(
            Table::Held,
            index_key(1, 0),
            (chunk << 8).to_be_bytes().to_vec(),
        );
        store.commit(batch, Durability::Written).unwrap();
    }
    store.commit(Batch::new(), Durability::Synced).unwrap();
    store.disk_bytes().unwrap()
}

#[test]
fn a_million_records_are_open_again_soon_after_kill_9() {
    let dir = tempfile::tempdir().unwrap();
    let mut child = Process::start(Role::Fills, dir.path());
    child.wait_for("ready");
    child.kill();
    for ending in ["kill -9", "a clean close"] {
        let start = Instant::now();
        let store = RocksStore::open(dir.path()).unwrap();
        let opened = start.elapsed();
        let last = store.get(Table::Chunks, &index_key(1, FULL_CHUNKS - 1));
        assert_eq!(last, Ok(Some(noise(FULL_CHUNKS - 1, 25_800))));
        let bytes = store.disk_bytes().unwrap();
        say(format!(
            "opened in {opened:?} after {ending}, {bytes} bytes"
        ));
    }
}

#[test]
fn the_room_of_deleted_rows_is_given_back_and_others_keep_theirs() {
    let dir = tempfile::tempdir().unwrap();
    let store = RocksStore::open(dir.path()).unwrap();
    for chunk in 0..3_000 {
        let mut batch = Batch::new();
        for log in [1, 2] {
            let bytes = noise(2 * chunk + u64::from(log), 25_800);
            batch.put(Table::Chunks, index_key(log, chunk), bytes);
        }
        store.commit(batch, Durability::Written).unwrap();
    }
    store.commit(Batch::new(), Durability::Synced).unwrap();
    let before = store.disk_bytes().unwrap();
    let mut batch = Batch::new();
    let (from, to) = log_range(1);
    batch.delete_range(Table::Chunks, from, to);
    store.commit(batch, Durability::Synced).unwrap();
    store.reclaim(1).unwrap();
    let after = store.disk_bytes().unwrap();
    say(format!("{before} bytes before, {after} after"));
    // Half of the rows are gone; what the log of writes still holds is bounded.
    assert!(
        after < before - 40_000_000,
        "{before} before, {after} after"
    );
    let kept = store.get(Table::Chunks, &index_key(2, 2_999));
    assert_eq!(kept, Ok(Some(noise(6_000, 25_800))));
    assert_eq!(store.get(Table::Chunks, &index_key(1, 7)), Ok(None));
}

/// A file system of its own, so that it can be full.
struct SmallDisk(PathBuf);

impl SmallDisk {
    /// `None`, and a word about it, if this machine does not let us.
    fn mount(dir: &Path, mib: u32) -> Option<Self> {
        Self::of_type("tmpfs", dir, &["-o", &format!("size={mib}m")])
    }

    fn of_type(name: &str, dir: &Path, options: &[&str]) -> Option<Self> {
        let mut mount = Command::new("mount");
        mount.args(["-t", name]).args(options).arg(name).arg(dir);
        match mount.output() {
            Ok(output) if output.status.success() => Some(Self(dir.to_owned())),
            other => {
                say(format!("SKIPPED: no {name} can be mounted here: {other:?}"));
                None
            }
        }
    }

    fn resize(&self, mib: u32) {
        let status = Command::new("mount")
            .args(["-o", &format!("remount,size={mib}m")])
            .arg(&self.0)
            .status();
        assert!(status.unwrap().success());
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("--lazy").arg(&self.0).status();
    }
}

#[test]
fn a_file_system_without_direct_io_does_as_well() {
    let dir = tempfile::tempdir().unwrap();
    let Some(_disk) = SmallDisk::of_type("ramfs", dir.path(), &[]) else {
        return;
    };
    let chunk = noise(1, 25_800);
    for _ in 0..2 {
        let store = RocksStore::open(dir.path()).unwrap();
        let mut batch = Batch::new();
        batch.put(Table::Chunks, index_key(1, 7), chunk.clone());
        store.commit(batch, Durability::Synced).unwrap();
        store.flush().unwrap();
        let kept = store.get(Table::Chunks, &index_key(1, 7));
        assert_eq!(kept, Ok(Some(chunk.clone())));
    }
}

/// A file system in an image on a small disk. When the small disk is full, this
/// one still takes writes, and fails when they are to be synced.
struct ThinDisk {
    mounted: PathBuf,
    under: SmallDisk,
}

impl ThinDisk {
    fn mount(dir: &Path) -> Option<Self> {
        let mounted = dir.join("mounted");
        let under = dir.join("under");
        fs::create_dir(&mounted).unwrap();
        fs::create_dir(&under).unwrap();
        let disk = Self {
            mounted,
            under: SmallDisk::mount(&under, 64)?,
        };
        let image = fs::File::create(disk.image()).unwrap();
        image.set_len(256 << 20).unwrap();
        let made = Command::new("mkfs.ext4")
            .arg("-q")
            .arg(disk.image())
            .output();
        if !made.as_ref().is_ok_and(|output| output.status.success()) || !disk.attach() {
            say(format!("SKIPPED: no image can be mounted here: {made:?}"));
            return None;
        }
        Some(disk)
    }

    fn image(&self) -> PathBuf {
        self.under.0.join("image")
    }

    fn attach(&self) -> bool {
        let mut mount = Command::new("mount");
        mount
            .args(["-o", "loop"])
            .arg(self.image())
            .arg(&self.mounted);
        mount.status().is_ok_and(|status| status.success())
    }

    fn detach(&self) -> bool {
        let status = Command::new("umount").arg(&self.mounted).status();
        status.is_ok_and(|status| status.success())
    }

    fn ballast(&self) -> PathBuf {
        self.under.0.join("ballast")
    }

    /// Takes what is left of the disk underneath.
    fn exhaust(&self) {
        let mut ballast = fs::File::create(self.ballast()).unwrap();
        while ballast.write_all(&[1; 4_096]).is_ok() {}
    }
}

impl Drop for ThinDisk {
    fn drop(&mut self) {
        self.detach();
    }
}

/// Commits chunks until it fails; the number of those that were acknowledged.
fn fill_up(store: &RocksStore, first: u64, durability: Durability) -> (u64, StoreError) {
    for number in first.. {
        if let Err(error) = store.commit(batch_for_all_tables(number), durability) {
            return (number, error);
        }
    }
    unreachable!("the disk is endless")
}

fn assert_whole(store: &RocksStore, count: u64) {
    for number in 0..count {
        for table in Table::ALL {
            let found = store.get(table, &index_key(7, number)).unwrap();
            assert!(found.is_some(), "{number} of {count} in {table:?}");
        }
    }
}

#[test]
fn a_full_disk_is_said_and_loses_nothing_that_was_acknowledged() {
    for (mib, durability) in [
        (24, Durability::Written),
        (24, Durability::Synced),
        // Write buffers are being emptied when this one fills up.
        (150, Durability::Written),
    ] {
        let dir = tempfile::tempdir().unwrap();
        let Some(disk) = SmallDisk::mount(dir.path(), mib) else {
            return;
        };
        let store = RocksStore::open(dir.path()).unwrap();
        let (count, error) = fill_up(&store, 0, durability);
        assert!(matches!(error, StoreError::Full(_)), "{error}");
        assert!(count > 100, "{count}");

        // Reading goes on, the failed batch left no trace, and what follows
        // fails for the same reason.
        assert_whole(&store, count);
        assert_eq!(store.get(Table::Held, &index_key(7, count)), Ok(None));
        for (batch, durability) in [
            (put(b"a", "1"), Durability::Written),
            (put(b"b", "2"), Durability::Synced),
            (Batch::new(), Durability::Synced),
        ] {
            match store.commit(batch, durability) {
                Err(error) => assert!(matches!(error, StoreError::Full(_)), "{error}"),
                // What a failed flush gives back may be room enough.
                Ok(()) => assert!(mib > 24),
            }
        }
        drop(store);

        // It may not even open, but it must say why.
        match RocksStore::open(dir.path()) {
            Ok(store) => assert_whole(&store, count),
            Err(error) => assert!(matches!(error, OpenError::Full { .. }), "{error}"),
        }

        disk.resize(mib + 100);
        let store = RocksStore::open(dir.path()).unwrap();
        assert_whole(&store, count);
        let (more, _) = fill_up(&store, count, durability);
        assert!(more > count + count / 2, "{more}");
        assert_whole(&store, more);
    }
}

#[test]
fn a_failed_sync_acknowledges_nothing_and_loses_nothing_that_was() {
    for unsynced in [0, 100] {
        let dir = tempfile::tempdir().unwrap();
        let Some(disk) = ThinDisk::mount(dir.path()) else {
            return;
        };
        let folder = disk.mounted.join("store");
        let store = RocksStore::open(&folder).unwrap();
        let before = store.fsyncs();
        for number in 0..300 {
            let batch = batch_for_all_tables(number);
            store.commit(batch, Durability::Synced).unwrap();
        }
        disk.exhaust();
        let count = match unsynced {
            0 => fill_up(&store, 300, Durability::Synced).0,
            _ => {
                for number in 300..300 + unsynced {
                    let batch = batch_for_all_tables(number);
                    store.commit(batch, Durability::Written).unwrap();
                }
                300
            }
        };
        // The kernel says once that data was lost; a later sync must not
        // succeed in spite of it.
        for batch in [Batch::new(), put(b"a", "1"), Batch::new()] {
            store.commit(batch, Durability::Synced).unwrap_err();
        }
        assert_eq!(store.fsyncs(), before + count);
        assert_whole(&store, count + unsynced);
        let failed = index_key(7, count + unsynced);
        assert_eq!(store.get(Table::Held, &failed), Ok(None));
        assert!(store.failure().is_some());
        assert!(store.probe().is_err());
        assert_whole(&store, count);
        drop(store);

        // Only what reached the disk is there when it is mounted again.
        assert!(disk.detach());
        fs::remove_file(disk.ballast()).unwrap();
        assert!(disk.attach());
        let store = RocksStore::open(&folder).unwrap();
        assert_whole(&store, count);
        store.commit(put(b"a", "1"), Durability::Synced).unwrap();
    }
}

#[test]
fn commits_succeed_again_when_there_is_room_again() {
    let dir = tempfile::tempdir().unwrap();
    let Some(disk) = SmallDisk::mount(dir.path(), 24) else {
        return;
    };
    let store = RocksStore::open(dir.path()).unwrap();
    let (count, error) = fill_up(&store, 0, Durability::Written);
    assert!(matches!(error, StoreError::Full(_)), "{error}");

    disk.resize(256);
    let start = Instant::now();
    let error = store.commit(put(b"early", "1"), Durability::Synced);
    assert!(matches!(error, Err(StoreError::Full(_))), "{error:?}");
    // Whoever reads goes on meanwhile.
    std::thread::scope(|scope| {
        let reads = scope.spawn(|| {
            let mut reads = 0;
            while store.failure().is_some() {
                assert_whole(&store, count);
                reads += 1;
            }
            reads
        });
        store.probe().unwrap();
        assert!(reads.join().unwrap() > 0);
    });
    say(format!("writes again after {:?}", start.elapsed()));
    assert_whole(&store, count);
    assert_eq!(store.get(Table::Chunks, b"early"), Ok(None));
    store
        .commit(put(b"later", "1"), Durability::Synced)
        .unwrap();
    assert_eq!(store.get(Table::Held, &index_key(7, count)), Ok(None));
    store.commit(Batch::new(), Durability::Synced).unwrap();
    drop(store);

    let store = RocksStore::open(dir.path()).unwrap();
    assert_whole(&store, count);
    for table in Table::ALL {
        assert_eq!(store.get(table, &index_key(7, count)), Ok(None));
    }
    let later = store.get(Table::Chunks, b"later").unwrap();
    assert_eq!(later, Some(Bytes::from_static(b"1")));
}

#[test]
fn a_table_file_that_could_not_be_written_before_is_noticed_before_the_next_write() {
    let dir = tempfile::tempdir().unwrap();
    let (folder, elsewhere) = (dir.path().join("store"), dir.path().join("elsewhere"));
    let store = RocksStore::open(&folder).unwrap();
    store.prove().unwrap();
    store.commit(put(b"a", "1"), Durability::Synced).unwrap();

    // The log of writes is open and can be written; a new file cannot be made.
    fs::rename(&folder, &elsewhere).unwrap();
    assert!(store.flush().is_err());
    fs::rename(&elsewhere, &folder).unwrap();
    assert_eq!(store.failure(), None);
    // Nobody has to be the first to write for it to be known.
    store.prove().unwrap_err();
    assert!(store.failure().is_some());

    store.probe().unwrap();
    assert_eq!(store.failure(), None);
    store.commit(put(b"b", "2"), Durability::Synced).unwrap();
    for (key, value) in [(b"a", "1"), (b"b", "2")] {
        let found = store.get(Table::Chunks, key).unwrap();
        assert_eq!(found, Some(Bytes::from(value)));
    }
}

#[test]
fn who_asks_whether_background_work_failed_hears_of_table_files_that_were_asked_for() {
    let dir = tempfile::tempdir().unwrap();
    let (folder, elsewhere) = (dir.path().join("store"), dir.path().join("elsewhere"));
    let store = RocksStore::open(&folder).unwrap();
    store.prove().unwrap();
    let before = store.background_errors();
    let mut batch = Batch::new();
    batch.put(Table::Logs, b"log".to_vec(), b"row".to_vec());
    store.commit(batch, Durability::Synced).unwrap();

    fs::rename(&folder, &elsewhere).unwrap();
    assert!(store.flush_known_logs().is_err());
    fs::rename(&elsewhere, &folder).unwrap();
    // Whoever writes next would be told.
    assert_eq!(store.failure(), None);
    assert!(store.background_errors() > before);
    store.prove().unwrap_err();
    store.probe().unwrap();
    store.flush_known_logs().unwrap();
}

#[test]
fn a_store_that_is_opened_anew_is_not_well_before_a_table_file_could_be_written() {
    let dir = tempfile::tempdir().unwrap();
    let (folder, elsewhere) = (dir.path().join("store"), dir.path().join("elsewhere"));
    let store = RocksStore::open(&folder).unwrap();
    fs::rename(&folder, &elsewhere).unwrap();
    // No failure is known, so that it is not opened anew, and the log of writes
    // takes what it is given.
    store.probe().unwrap_err();
    assert!(store.failure().is_some());
    fs::rename(&elsewhere, &folder).unwrap();
    store.probe().unwrap();
    assert_eq!(store.failure(), None);
}
