//! Observations, as they are published and read.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// The answer to a publish: the records are durable, and what was done to observations that were not quite as they are
/// kept.
#[derive(Clone, Debug, Serialize, PartialEq, Eq, ToSchema)]
pub struct PublishAnswer {
    /// Index of the first record.
    pub from: u64,
    /// Index after the last one: the stream's size.
    pub to: u64,
    /// What a person should know of them: times without a zone were taken as UTC,
    /// or rounded down to the microsecond, or lie far in the future; numbers are
    /// kept as JSON writes them. Absent where there is nothing to say.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub notes: Vec<String>,
}

/// An observation, as it is read.
#[derive(Clone, Debug, Serialize, Deserialize, PartialEq, ToSchema)]
pub struct Observation {
    /// Its place in the stream. A row of a span of time (`every`) has none.
    #[schema(required = false)]
    pub index: u64,
    /// RFC 3339 in UTC with microseconds; a number of microseconds since 1970
    /// where that cannot say it, with `time_unit` beside it.
    #[schema(value_type = String)]
    pub time: serde_json::Value,
    /// The token that was published; bytes are base64. Of a stream with columns it is
    /// absent, and they stand in its place.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub value: Option<serde_json::Value>,
    /// Of a stream with columns: the token of each, as it was published, and `null` where
    /// there is none of its type; `rest`, an array of those behind them, if the manifest
    /// has an `about`; and where the value is not as its manifest says, all of it as a
    /// text, `token`.
    #[serde(flatten)]
    pub columns: BTreeMap<String, serde_json::Value>,
}

/// An observation, as it is published.
#[derive(Clone, Debug, Serialize, Deserialize, PartialEq, ToSchema)]
pub struct NewObservation {
    /// RFC 3339 (UTC without an offset), a date, a number since 1970 in
    /// `time_unit`, or a span such as `1h`, which is so long ago; the present when
    /// absent. What is finer than a microsecond is rounded down. Before the year 1000
    /// only a number with its unit is taken.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub time: Option<serde_json::Value>,
    /// What a time that is a number counts: `s`, `ms`, `us` or `ns`. Without it,
    /// here or in the address, it must be microseconds from 1990 to 2100.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub time_unit: Option<String>,
    /// What fits the type of the stream. Of a stream with columns an object with their
    /// names, or an array in their order; or it is absent, and they stand in its place.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub value: Option<serde_json::Value>,
    /// Of a stream with columns: a value for some of them at least; `rest`, an array, for
    /// what follows on them.
    #[serde(flatten)]
    pub columns: BTreeMap<String, serde_json::Value>,
}

/// One observation or several.
#[derive(Clone, Debug, Serialize, Deserialize, PartialEq, ToSchema)]
#[serde(untagged)]
pub enum ObservationsBody {
    /// One.
    One(NewObservation),
    /// Several, which are stored together or not at all.
    Several(Vec<NewObservation>),
}
