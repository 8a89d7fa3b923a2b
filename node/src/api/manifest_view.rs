//! What a manifest says, as users see it.

use data_encoding::HEXLOWER;
use headwater_client::types::{ColumnView, ManifestView, WitnessesView};
use headwater_protocols::manifest::SignedManifest;

/// What is shown of a manifest beside the description of its stream.
#[must_use]
pub(super) fn manifest_view(manifest: Option<&SignedManifest>) -> ManifestView {
    let Some(manifest) = manifest else {
        return ManifestView::default();
    };
    let said = |text: &String| Some(text).filter(|text| !text.is_empty()).cloned();
    let is_read = manifest.too_new().is_none();
    ManifestView {
        too_new: manifest.too_new().map(ToString::to_string),
        kind: is_read.then(|| manifest.kind.word().to_owned()),
        columns: (manifest.columns.iter())
            .map(|column| ColumnView {
                name: column.name.clone(),
                unit: column.unit.clone(),
                column_type: column.column_type.word().to_owned(),
                description: column.description.clone(),
            })
            .collect(),
        ordered: manifest.ordered,
        tags: manifest.tags.clone(),
        licence: said(&manifest.licence),
        content_type: said(&manifest.content_type),
        recovery_key: manifest.recovery.map(|hash| HEXLOWER.encode(&hash)),
        witnesses: manifest.witnesses.as_ref().map(|witnesses| WitnessesView {
            keys: witnesses.keys.iter().map(ToString::to_string).collect(),
            needed: witnesses.threshold,
        }),
        about: manifest.about.map(|page| page.to_string()),
    }
}
