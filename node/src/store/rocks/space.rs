//! What the rows of a log take on the disk, and how it is given back.

use headwater_protocols::store::tables::{OF_LOGS, log_range};
use headwater_protocols::store::{History, LogKey, StoreError, Table};
use rocksdb::{CompactOptions, Range};

use super::{RocksStore, store_error};

impl RocksStore {
    /// About how many bytes the rows of a log take on the disk, compressed; the
    /// length of its records while all of them are in the log of writes only.
    ///
    /// # Errors
    /// The disk cannot be read.
    pub fn disk_bytes_of(&self, log: LogKey) -> Result<u64, StoreError> {
        let (from, to) = log_range(log.number);
        let mut bytes = 0;
        for table in OF_LOGS {
            let range = Range::new(&from, &to);
            let sizes = (self.db).get_approximate_sizes_cf(self.family(table)?, &[range]);
            bytes += sizes.iter().sum::<u64>();
        }
        match bytes {
            0 => History::new(self, log).bytes(),
            bytes => Ok(bytes),
        }
    }

    /// Writes table files of what is in memory and in the log of writes only.
    ///
    /// # Errors
    /// The disk fails.
    pub fn flush(&self) -> Result<(), StoreError> {
        for table in Table::ALL {
            let flushed = self.db.flush_cf(self.family(table)?);
            flushed.map_err(|error| store_error(&error))?;
        }
        Ok(())
    }

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
