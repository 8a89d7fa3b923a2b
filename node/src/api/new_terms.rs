//! What a new stream says for good: tags, terms, order, and whose keys matter.

use data_encoding::HEXLOWER_PERMISSIVE;
use headwater_client::types::NewStream;
use headwater_protocols::id::LogId;
use headwater_protocols::manifest::{Cosigner, Manifest, Witnesses, enough_of};

use super::problem::ApiError;

/// Puts it into a manifest. What does not fit is refused when it is signed.
///
/// # Errors
/// Something cannot be read.
pub(super) fn put_terms(new: &NewStream, manifest: &mut Manifest) -> Result<(), ApiError> {
    manifest.ordered = new.ordered;
    manifest.tags = sorted(&new.tags);
    new.licence.clone_into(&mut manifest.licence);
    new.content_type.clone_into(&mut manifest.content_type);
    manifest.recovery = new.recovery.as_deref().map(hash).transpose()?;
    manifest.witnesses = witnesses(new)?;
    manifest.about = new.about.as_deref().map(page).transpose()?;
    Ok(())
}

/// The fields in which a stream that is there differs from what is said of a new
/// one; what is not said does not matter.
pub(super) fn differing(there: &Manifest, new: &Manifest) -> Vec<&'static str> {
    [
        ("ordered", !new.ordered || there.ordered),
        ("tags", new.tags.is_empty() || new.tags == there.tags),
        (
            "licence",
            new.licence.is_empty() || new.licence == there.licence,
        ),
        (
            "content_type",
            new.content_type.is_empty() || new.content_type == there.content_type,
        ),
        (
            "recovery",
            new.recovery.is_none() || new.recovery == there.recovery,
        ),
        (
            "witnesses",
            new.witnesses.is_none() || new.witnesses == there.witnesses,
        ),
        ("about", new.about.is_none() || new.about == there.about),
    ]
    .into_iter()
    .filter_map(|(field, same)| (!same).then_some(field))
    .collect()
}

/// Tags in the order in which they are signed.
fn sorted(tags: &[String]) -> Vec<String> {
    let mut tags = tags.to_vec();
    tags.sort();
    tags.dedup();
    tags
}

fn hash(text: &str) -> Result<[u8; 32], ApiError> {
    let bytes = HEXLOWER_PERMISSIVE.decode(text.as_bytes()).ok();
    bytes
        .and_then(|bytes| bytes.try_into().ok())
        .ok_or_else(|| {
            ApiError::bad_request(format!(
                "recovery: `{text}` is not the hash of a key, 64 digits of hexadecimal"
            ))
        })
}

fn page(text: &str) -> Result<LogId, ApiError> {
    text.parse().map_err(|error| {
        ApiError::bad_request(format!("about: `{text}` is no id of a page: {error}"))
    })
}

fn witnesses(new: &NewStream) -> Result<Option<Witnesses>, ApiError> {
    if new.witnesses.is_empty() {
        return match new.witnesses_needed {
            None => Ok(None),
            Some(_) => Err(ApiError::bad_request(
                "witnesses_needed says how many witnesses are enough, and none are named",
            )),
        };
    }
    let keys: Result<Vec<Cosigner>, _> = new.witnesses.iter().map(|key| key.parse()).collect();
    let keys = keys.map_err(|error| ApiError::bad_request(error.to_string()))?;
    let threshold = new.witnesses_needed.unwrap_or(enough_of(keys.len()));
    Ok(Some(Witnesses { keys, threshold }))
}
