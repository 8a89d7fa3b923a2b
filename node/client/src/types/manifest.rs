//! What a manifest says: as it is asked for, and as it is shown.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::ValueTypeView;
use crate::object;

/// `POST /v1/streams`.
#[derive(Clone, Debug, Default, Serialize, Deserialize, PartialEq, Eq, ToSchema)]
#[serde(default, deny_unknown_fields)]
pub struct NewStream {
    /// A short name.
    pub name: String,
    /// What a reader should know.
    pub description: String,
    /// Where the values come from.
    pub source: String,
    /// Unit of the values.
    pub unit: String,
    /// What the values are; `number` when absent, and of rows nothing else than
    /// `json`.
    pub value_type: Option<ValueTypeView>,
    /// The columns of a stream whose records are rows, at most 64, in their order;
    /// absent: a record is one value.
    #[serde(
        deserialize_with = "object::list",
        skip_serializing_if = "Vec::is_empty"
    )]
    pub columns: Vec<NewColumn>,
    /// The usual time between two observations, such as `1h`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cadence: Option<String>,
    /// The same in microseconds; 0 or absent: not known.
    pub cadence_us: u64,
    /// A chunk is 2^chunk_level records; 8 when absent, at most 12.
    pub chunk_level: Option<u8>,
    /// The stream that this one predicts: its id, or what names it here.
    pub target: Option<String>,
    /// Everybody drops chunks whose records are all older than this, such as `30d`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub retain_age: Option<String>,
    /// The same in microseconds; 0 or absent: never.
    pub retain_age_us: u64,
    /// Everybody drops chunks behind which there are this many records; 0 or
    /// absent: never.
    pub retain_records: u64,
    /// Keep the latest record only. Then `chunk_level` is 0 when absent.
    pub latest_only: bool,
    /// Refuse observations of a time that is before the last one.
    pub ordered: bool,
    /// Words or `key=value` by which it is found, in any order.
    pub tags: Vec<String>,
    /// The terms of use, as an SPDX expression such as `CC-BY-4.0`.
    pub licence: String,
    /// The media type of a value, such as `image/png`.
    pub content_type: String,
    /// Hash of the type and the bytes of a key that is kept offline, 64 digits of
    /// hexadecimal; it is to have the last word on the stream.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub recovery: Option<String>,
    /// Keys of witnesses (`name+id+base64`) that are to cosign heads; this version
    /// only notes them.
    pub witnesses: Vec<String>,
    /// How many of them are enough; when absent, so many that fewer than a third
    /// may be bad: 1 of 1, 2 of 2 or 3, 3 of 4, 5 of 7.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub witnesses_needed: Option<u32>,
    /// Id of a page of this publisher that says what may change; it is not looked
    /// at.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub about: Option<String>,
}

/// A column of a stream that is to be created.
#[derive(Clone, Debug, Default, Serialize, Deserialize, PartialEq, Eq, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewColumn {
    /// Its name, which no other column has whatever the case; not `index`, `time`,
    /// `time_unit`, `token` or `rest`, and without `,` `:` `.`.
    pub name: String,
    /// `number`, `integer`, `text`, `bool`, `time`, `json` or `bytes`.
    #[serde(rename = "type")]
    pub column_type: String,
    /// The unit of its numbers.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub unit: String,
    /// What a reader should know.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub description: String,
}

/// What the manifest of a stream says beside the rest of its description.
#[derive(Clone, Debug, Default, Serialize, Deserialize, PartialEq, Eq, ToSchema)]
#[serde(default)]
pub struct ManifestView {
    /// What this version does not know of the manifest, and would have to: the
    /// stream is kept and served, and a newer version reads it.
    pub too_new: Option<String>,
    /// What its records are: `observations`, or what later versions know.
    pub kind: Option<String>,
    /// What the elements of a value are that is a JSON array.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub columns: Vec<ColumnView>,
    /// Whether its times never go back.
    pub ordered: bool,
    /// Words or `key=value`, sorted.
    pub tags: Vec<String>,
    /// The terms of use, as an SPDX expression.
    pub licence: Option<String>,
    /// The media type of a value.
    pub content_type: Option<String>,
    /// Hash of a key that is kept offline, 64 digits of hexadecimal.
    pub recovery_key: Option<String>,
    /// Who is asked to cosign, unless a reader knows better.
    pub witnesses: Option<WitnessesView>,
    /// Id of a page of the same publisher that says what may change.
    pub about: Option<String>,
}

/// A column of a stream of rows.
#[derive(Clone, Debug, Serialize, Deserialize, PartialEq, Eq, ToSchema)]
pub struct ColumnView {
    /// Its name.
    pub name: String,
    /// The unit of its numbers.
    pub unit: String,
    /// `number`, `integer`, `text`, `bool`, `time`, `json` or `bytes`.
    #[serde(rename = "type")]
    pub column_type: String,
    /// What a reader should know.
    pub description: String,
}

/// The witnesses that a publisher names.
#[derive(Clone, Debug, Serialize, Deserialize, PartialEq, Eq, ToSchema)]
pub struct WitnessesView {
    /// Their keys: `name+id+base64`.
    pub keys: Vec<String>,
    /// How many of them are enough.
    pub needed: u32,
}
