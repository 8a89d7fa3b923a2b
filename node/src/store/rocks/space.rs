//! What the rows of a log take on the disk, and how it is given back.

use headwater_protocols::store::StoreError;
use headwater_protocols::store::tables::{OF_LOGS, log_range};
use rocksdb::CompactOptions;

use super::{RocksStore, store_error};

impl RocksStore {
    /// Gives back the room of the rows with this log number, which were deleted.
    /// Table files that hold nothing else go at once, and need no room for it;
    /// the others are written anew, which takes about as long as writing one
    /// of them: the calling thread waits.
    ///
    /// # Errors
    /// The disk fails. Compaction gives the room back some day all the same.
    pub fn reclaim(&self, log: u32) -> Result<(), StoreError> {
        let (from, to) = log_range(log);
        let mut options = CompactOptions::default();
        // Other work of the store must not wait for this.
        options.set_exclusive_manual_compaction(false);
        for table in OF_LOGS {
            let family = self.family(table)?;
            let dropped = self.db.delete_file_in_range_cf(family, &from, &to);
            dropped.map_err(|error| store_error(&error))?;
            let (from, to) = (Some(from.as_slice()), Some(to.as_slice()));
            self.db.compact_range_cf_opt(family, from, to, &options);
        }
        Ok(())
    }
}
