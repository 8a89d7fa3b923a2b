//! Every bound that a key file can push against, with the reason for its number.

/// Bytes of a file that holds a recovery key: one has about 700, and one with a
/// reader key of a later kind (X-Wing: 1,216 bytes, in hex) not yet 4,000. The
/// rest is for remarks.
pub(super) const MAX_RECOVERY_FILE_BYTES: usize = 16 << 10;

/// Bytes of one key in it: the largest that is in sight, ML-DSA-87's public key,
/// has 2,592.
pub(super) const MAX_KEY_BYTES: usize = 4 << 10;

/// Bytes of a passphrase: a long sentence, not a file that was named by mistake.
pub(super) const MAX_PASSPHRASE_BYTES: usize = 1 << 10;

/// KiB of memory that a file may have its passphrase cost to read: sixteen times
/// what this version asks for. A file that somebody made up must not take a
/// machine's memory.
pub(super) const MAX_MEMORY_KIB: u32 = 1 << 20;

/// Passes over that memory.
pub(super) const MAX_PASSES: u32 = 64;

/// Lanes of it.
pub(super) const MAX_LANES: u32 = 64;

/// What this version has a passphrase cost: the second recommended option of RFC
/// 9106, as memory-constrained machines (64 MiB in KiB, passes, lanes) can do it,
/// too.
pub(super) const PASSPHRASE_COST: (u32, u32, u32) = (64 << 10, 3, 4);
