//! What is asked of a manifest before it is signed for good, beside what is
//! asked of everybody's. (Names have a file of their own.)

use super::bounds::BadField;
use super::{Manifest, columns, tags, witnesses};

pub(super) fn check(manifest: &Manifest) -> Result<(), BadField> {
    if manifest.nonce.is_none() {
        return Err(BadField::new("nonce", "a new one has 16 random bytes"));
    }
    if manifest.visibility.is_some() {
        let why = "only version 0.1.0 wrote it";
        return Err(BadField::new("visibility", why));
    }
    if manifest.kind.rules().is_none() || manifest.private.is_some() {
        let why = "this version does not write such logs yet";
        return Err(BadField::new("kind", why));
    }
    columns::check_new(&manifest.columns).map_err(|why| BadField::new("columns", why))?;
    if let Some(witnesses) = &manifest.witnesses {
        witnesses::check_new(witnesses).map_err(|why| BadField::new("witnesses", why))?;
    }
    tags::check_new(&manifest.tags).map_err(|why| BadField::new("tags", why))?;
    check_licence(&manifest.licence)
}

/// An expression whose licences have the names by which everybody knows them.
/// What is not on the list may be said as `LicenseRef-…`.
fn check_licence(text: &str) -> Result<(), BadField> {
    if text.is_empty() {
        return Ok(());
    }
    match spdx::Expression::parse(text) {
        Ok(_) => Ok(()),
        Err(error) => Err(BadField::new(
            "licence",
            format!(
                "`{text}` is no SPDX expression ({}); take one of https://spdx.org/licenses, such as \
                 CC-BY-4.0, or LicenseRef-NAME for terms of your own",
                error.reason
            ),
        )),
    }
}
