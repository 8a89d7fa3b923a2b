//! How RocksDB is set up.

use headwater_protocols::store::{Durability, Table};
use rocksdb::{
    BlockBasedOptions, Cache, ColumnFamilyDescriptor, DBCompressionType, LogLevel, Options,
    WriteOptions,
};

/// Blocks, indexes and filters of all tables share this much memory.
const CACHE_BYTES: usize = 64 << 20;
/// Values that are not yet in a table file, of all tables together.
const WRITE_BUFFERS_BYTES: usize = 128 << 20;
/// A chunk's table fills 32 MiB in about 1,300 chunks of 25 KiB.
const CHUNK_BUFFER_BYTES: usize = 32 << 20;
const SMALL_BUFFER_BYTES: usize = 8 << 20;
/// Bounds what has to be read again after a crash: opening 10^6 records then
/// took 0.3 to 0.7 s, against 0.05 s after a clean close.
const MAX_WAL_BYTES: u64 = 64 << 20;
/// Threads that open the files of a table at the start. RocksDB starts them anew for
/// each table, sixteen if it is not told, which takes a command that only looks into a
/// folder longer than all else that it does.
const OPENING_THREADS: i32 = 2;
/// Well under the usual limit of 1,024 a process, which sockets need too.
const MAX_OPEN_FILES: i32 = 512;
/// Of these, one is in use, and writes wait when one of the others is left.
const MAX_WRITE_BUFFERS: i32 = 5;
/// Table files of the first level at which writes wait for compaction.
pub(super) const MAX_FIRST_LEVEL_FILES: i32 = 24;
/// Misses of a point lookup read nothing in 99 of 100 cases.
const FILTER_BITS_PER_KEY: f64 = 10.0;
/// Faster than 1, the lowest of zstd's usual levels.
const ZSTD_LEVEL: i32 = -1;
const SYNC_RANGE_BYTES: u64 = 1 << 20;

pub(super) fn families() -> [ColumnFamilyDescriptor; Table::ALL.len()] {
    let cache = Cache::new_lru_cache(CACHE_BYTES);
    Table::ALL.map(|table| ColumnFamilyDescriptor::new(table.name(), table_options(table, &cache)))
}

pub(super) fn write_options(durability: Durability) -> WriteOptions {
    let mut options = WriteOptions::default();
    options.set_sync(durability == Durability::Synced);
    // `RocksStore::write` waits instead.
    options.set_no_slowdown(true);
    options
}

pub(super) fn store_options() -> Options {
    let mut options = Options::default();
    options.create_if_missing(true);
    options.create_missing_column_families(true);

    options.set_max_background_jobs(2);
    options.set_db_write_buffer_size(WRITE_BUFFERS_BYTES);
    options.set_max_total_wal_size(MAX_WAL_BYTES);
    options.set_max_open_files(MAX_OPEN_FILES);
    options.set_max_file_opening_threads(OPENING_THREADS);
    // History is read from its beginning to its end: the system may read ahead.
    options.set_advise_random_on_open(false);
    // Written out as it comes, not in one burst at the next sync: the log of
    // writes, and table files where they cannot pass the system's cache by.
    options.set_bytes_per_sync(SYNC_RANGE_BYTES);
    options.set_wal_bytes_per_sync(SYNC_RANGE_BYTES);
    // Reads the properties of every file at the start, for statistics only.
    options.set_skip_stats_update_on_db_open(true);

    options.set_log_level(LogLevel::Warn);
    options.set_keep_log_file_num(4);
    options.set_max_log_file_size(1 << 20);
    options.set_stats_dump_period_sec(0);
    options.set_stats_persist_period_sec(0);
    options.set_max_manifest_file_size(8 << 20);
    options
}

fn table_options(table: Table, cache: &Cache) -> Options {
    let mut blocks = BlockBasedOptions::default();
    blocks.set_block_cache(cache);
    blocks.set_cache_index_and_filter_blocks(true);
    blocks.set_pin_l0_filter_and_index_blocks_in_cache(true);
    blocks.set_bloom_filter(FILTER_BITS_PER_KEY, false);

    let mut options = Options::default();
    options.set_compression_type(DBCompressionType::Lz4);
    // Writes wait in one place only, `RocksStore::write`: they are not slowed
    // down before they are stopped.
    options.set_level_zero_slowdown_writes_trigger(MAX_FIRST_LEVEL_FILES);
    options.set_level_zero_stop_writes_trigger(MAX_FIRST_LEVEL_FILES);
    options.set_soft_pending_compaction_bytes_limit(0);
    options.set_hard_pending_compaction_bytes_limit(0);
    options.set_max_write_buffer_number(MAX_WRITE_BUFFERS);
    match table {
        // One compression at all levels: files that do not overlap are moved down
        // as they are, so that history which comes in order is written twice in
        // all, once of it in the log of writes. zstd at level -1 makes JSON 0.15
        // of its size and bare numbers 0.56, lz4 0.22 and 0.68 at 1.3 times the
        // speed, zstd's usual level 0.14 and 0.47 at half of it. docs/benchmarks.md
        // says what else was measured. A block of the usual 4 KiB is one chunk;
        // larger ones read neighbours for nothing.
        Table::Chunks => {
            options.set_write_buffer_size(CHUNK_BUFFER_BYTES);
            options.set_compression_type(DBCompressionType::Zstd);
            // No window, strategy or dictionary of its own.
            options.set_compression_options(-14, ZSTD_LEVEL, 0, 0);
        }
        Table::Meta
        | Table::Logs
        | Table::Heads
        | Table::Held
        | Table::Records
        | Table::Nodes
        | Table::Edges
        | Table::Times
        | Table::Addresses
        | Table::Unsigned => {
            options.set_write_buffer_size(SMALL_BUFFER_BYTES);
        }
    }
    options.set_block_based_table_factory(&blocks);
    options
}
