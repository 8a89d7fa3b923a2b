//! Reading a lot once: what it reads does not drive out of memory what others
//! read often.

use bytes::Bytes;
use headwater_protocols::store::{Batch, Durability, Store, StoreError, Table, Visitor};
use rocksdb::ReadOptions;

use super::damage::rows_lost;
use super::opening::Tables;
use super::{RocksStore, store_error};

/// A store that is read past its cache, every block with its checksum.
#[derive(Clone, Copy, Debug)]
pub struct PastCache<'a>(pub &'a RocksStore);

fn options() -> ReadOptions {
    let mut options = ReadOptions::default();
    options.fill_cache(false);
    options.set_verify_checksums(true);
    options
}

impl Store for PastCache<'_> {
    fn get(&self, table: Table, key: &[u8]) -> Result<Option<Bytes>, StoreError> {
        self.0.get_with(table, key, &options())
    }

    fn scan(
        &self,
        table: Table,
        from: &[u8],
        to: &[u8],
        visit: Visitor<'_>,
    ) -> Result<(), StoreError> {
        if from >= to {
            return Ok(());
        }
        self.0.scan_with(table, from, to, options(), visit)
    }

    fn commit(&self, batch: Batch, durability: Durability) -> Result<(), StoreError> {
        self.0.commit(batch, durability)
    }
}

impl RocksStore {
    pub(super) fn get_with(
        &self,
        table: Table,
        key: &[u8],
        options: &ReadOptions,
    ) -> Result<Option<Bytes>, StoreError> {
        let tables = self.tables()?;
        match (tables.db).get_pinned_cf_opt(tables.family(table)?, key, options) {
            Ok(None) if self.lost_parts.may_have(table, key) => Err(rows_lost(table)),
            Ok(value) => Ok(value.map(|value| Bytes::copy_from_slice(&value))),
            Err(error) => Err(self.read_failed(&tables, table, key, &error)),
        }
    }

    pub(super) fn scan_with(
        &self,
        table: Table,
        from: &[u8],
        to: &[u8],
        mut options: ReadOptions,
        visit: Visitor<'_>,
    ) -> Result<(), StoreError> {
        options.set_iterate_range(from..to);
        let tables = self.tables()?;
        let mut rows = (tables.db).raw_iterator_cf_opt(tables.family(table)?, options);
        rows.seek_to_first();
        let lost = self.lost_parts.first(table, from, to);
        while let Some((key, value)) = rows.item() {
            if lost.as_ref().is_some_and(|lost| key > &lost.from[..]) {
                return Err(rows_lost(table));
            }
            if visit(key, value).is_break() {
                return Ok(());
            }
            rows.next();
        }
        if lost.is_some() {
            return Err(rows_lost(table));
        }
        rows.status()
            .map_err(|error| self.read_failed(&tables, table, from, &error))
    }

    fn read_failed(
        &self,
        tables: &Tables,
        table: Table,
        key: &[u8],
        error: &rocksdb::Error,
    ) -> StoreError {
        let failed = store_error(error);
        if tables.is_outdated(error) {
            return StoreError::Failed(failed.to_string());
        }
        if let StoreError::Damaged(why) = &failed {
            self.damage.notice(table, key, why);
        }
        failed
    }
}
