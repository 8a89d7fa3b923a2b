//! Where a node keeps everything: the pure crate's `Store`, on disk.

mod log_format;
mod reserve;
mod rocks;
#[cfg(test)]
mod tests;
mod wal;

pub use reserve::{Reserve, Space};
pub use rocks::{FORMAT_VERSION, Lost, Mended, OpenError, PastCache, Patient, RocksStore};
pub use wal::LostWrites;

/// In the store's folder, and no part of the data.
pub(crate) const RESERVE_FILE: &str = "reserve";
