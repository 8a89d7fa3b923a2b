//! Where a node keeps everything: the pure crate's `Store`, on disk.

mod rocks;
#[cfg(test)]
mod tests;
mod wal;

pub use rocks::{FORMAT_VERSION, Lost, Mended, OpenError, PastCache, RocksStore};
pub use wal::LostWrites;
