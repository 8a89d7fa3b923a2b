//! What makes a signed manifest one that everybody takes or nobody does.
//!
//! Whoever refuses a manifest that others take can never follow the stream, so
//! that here stands only what every implementation decides alike, for ever:
//! lengths, counts, the order of bytes, letters of ASCII. What depends on tables
//! that grow (letters of Unicode, names of licences) is asked of new manifests
//! alone (`new`).

use super::{Manifest, columns, media_type, tags, witnesses};
use crate::kind::{Kind, ValueType};
use crate::limits::{
    MAX_CHUNK_LEVEL, MAX_CONTENT_TYPE_BYTES, MAX_LICENCE_BYTES, MAX_LOG_SIZE, MAX_NAME_BYTES,
};

/// A field with a value that it cannot have.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the {field} of a manifest cannot be so: {why}")]
pub struct BadField {
    /// The field.
    pub field: &'static str,
    /// What is wrong with its value.
    pub why: String,
}

impl BadField {
    pub(super) fn new(field: &'static str, why: impl Into<String>) -> Self {
        let why = why.into();
        Self { field, why }
    }
}

/// Checks a manifest of which everything is understood.
pub(super) fn check(manifest: &Manifest) -> Result<(), BadField> {
    check_name(manifest)?;
    check_level(manifest.chunk_level)?;
    if manifest
        .prior
        .is_some_and(|prior| prior.size > MAX_LOG_SIZE)
    {
        return Err(BadField::new("prior", "no log is as large"));
    }
    columns::check(&manifest.columns).map_err(|why| BadField::new("columns", why))?;
    if !manifest.columns.is_empty() && manifest.value_type != ValueType::Json {
        let why = "records with columns are arrays of JSON, and the value type is another";
        return Err(BadField::new("columns", why));
    }
    if let Some(witnesses) = &manifest.witnesses {
        witnesses::check(witnesses).map_err(|why| BadField::new("witnesses", why))?;
    }
    tags::check(&manifest.tags).map_err(|why| BadField::new("tags", why))?;
    check_content_type(&manifest.content_type)?;
    check_licence(&manifest.licence)
}

fn check_name(manifest: &Manifest) -> Result<(), BadField> {
    let bytes = manifest.name.len();
    // That of a private stream is sealed; of other kinds of logs not all have one.
    let may_lack = manifest.private.is_some() || manifest.kind != Kind::Observations;
    if bytes > MAX_NAME_BYTES || (bytes == 0 && !may_lack) {
        let why = format!("it has {bytes} bytes, and 1 to {MAX_NAME_BYTES} are allowed");
        return Err(BadField::new("name", why));
    }
    Ok(())
}

pub(super) fn check_level(level: u8) -> Result<(), BadField> {
    if level > MAX_CHUNK_LEVEL {
        let why = format!("it is {level}, more than the {MAX_CHUNK_LEVEL} allowed");
        return Err(BadField::new("chunk level", why));
    }
    Ok(())
}

fn check_content_type(text: &str) -> Result<(), BadField> {
    let bad = |why: String| Err(BadField::new("content type", why));
    if text.len() > MAX_CONTENT_TYPE_BYTES {
        let bytes = text.len();
        return bad(format!(
            "it has {bytes} bytes, more than the {MAX_CONTENT_TYPE_BYTES} allowed"
        ));
    }
    if !text.is_empty() && !media_type::is_media_type(text) {
        let shown = text.escape_debug();
        return bad(format!("`{shown}` is no media type, such as text/csv"));
    }
    Ok(())
}

fn check_licence(text: &str) -> Result<(), BadField> {
    let bad = |why: String| Err(BadField::new("licence", why));
    if text.len() > MAX_LICENCE_BYTES {
        let bytes = text.len();
        return bad(format!(
            "it has {bytes} bytes, more than the {MAX_LICENCE_BYTES} allowed"
        ));
    }
    if !text.bytes().all(|byte| matches!(byte, b' '..=b'~')) || text.trim() != text {
        let shown = text.escape_debug();
        return bad(format!(
            "`{shown}` is no SPDX expression, such as CC-BY-4.0"
        ));
    }
    Ok(())
}
