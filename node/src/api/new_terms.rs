//! What a new stream says for good: columns, tags, terms, order, and whose keys matter.

use data_encoding::HEXLOWER_PERMISSIVE;
use headwater_client::types::{NewColumn, NewStream, ValueTypeView};
use headwater_protocols::id::LogId;
use headwater_protocols::manifest::{
    Column, ColumnType, Cosigner, Manifest, ValueType, Witnesses, enough_of,
};

use super::problem::ApiError;

/// Puts it into a manifest. What does not fit is refused when it is signed.
///
/// # Errors
/// Something cannot be read.
pub(super) fn put_terms(new: &NewStream, manifest: &mut Manifest) -> Result<(), ApiError> {
    manifest.columns = new.columns.iter().map(column).collect::<Result<_, _>>()?;
    manifest.value_type = value_type(new)?;
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
        ("value_type", new.value_type == there.value_type),
        (
            "columns",
            new.columns.is_empty() || new.columns == there.columns,
        ),
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

fn column(new: &NewColumn) -> Result<Column, ApiError> {
    let (name, word) = (&new.name, &new.column_type);
    let known = ColumnType::all();
    let found = known.into_iter().find(|known| known.word() == word);
    Ok(Column {
        name: name.clone(),
        unit: new.unit.clone(),
        column_type: found.ok_or_else(|| {
            let words = known.map(ColumnType::word).join(", ");
            ApiError::bad_request(format!(
                "column `{name}`: `{word}` is not a type of columns; these are {words}"
            ))
        })?,
        description: new.description.clone(),
    })
}

/// What the values are: of rows JSON.
fn value_type(new: &NewStream) -> Result<ValueType, ApiError> {
    match (new.columns.is_empty(), new.value_type) {
        (true, said) => Ok(said.map_or(ValueType::Number, ValueTypeView::into)),
        (false, None | Some(ValueTypeView::Json)) => Ok(ValueType::Json),
        (false, Some(_)) => Err(ApiError::bad_request(
            "value_type: the values of a stream with columns are rows, whose types the columns have; leave it off",
        )),
    }
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
