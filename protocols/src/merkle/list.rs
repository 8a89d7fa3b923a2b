//! Lists of hashes as they travel: end to end, 32 bytes each.

use bytes::{BufMut, Bytes, BytesMut};

use super::Hash;
use crate::wire::WireError;

/// Splits hashes that stand end to end.
///
/// # Errors
/// The length is no multiple of 32.
pub fn split_hashes(
    what: &'static str,
    field: &'static str,
    bytes: &[u8],
) -> Result<Vec<Hash>, WireError> {
    let (hashes, rest) = bytes.as_chunks::<32>();
    if !rest.is_empty() {
        return Err(WireError::BadField { what, field });
    }
    Ok(hashes.iter().copied().map(Hash).collect())
}

/// Puts hashes end to end.
#[must_use]
pub fn join_hashes<'a>(hashes: impl IntoIterator<Item = &'a Hash>) -> Bytes {
    let mut bytes = BytesMut::new();
    for hash in hashes {
        bytes.put_slice(&hash.0);
    }
    bytes.freeze()
}
