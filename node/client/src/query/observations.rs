//! What is asked about observations, and how they are published.

use serde::{Deserialize, Serialize};
use utoipa::IntoParams;
use utoipa::openapi::schema::Schema;

use super::one_of;
use crate::times::Unit;

/// `GET /v1/streams/{id}/observations`: which, and how they are written.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct Query {
    /// From this index, or this time, on: RFC 3339 (UTC without an offset), a
    /// date, or a span such as `3d`, which is so long before now (to a hundredth
    /// of it).
    pub from: Option<String>,
    /// Up to this index or time, which is left out.
    pub to: Option<String>,
    /// The last observation whose time is not after this one.
    pub at_or_before: Option<String>,
    /// `from`, `to` and `at_or_before` are numbers of this unit since 1970: `s`,
    /// `ms`, `us` or `ns`. Without it a whole number is an index.
    #[param(inline)]
    pub time_unit: Option<Unit>,
    /// At most so many; with `every` so many rows.
    pub limit: Option<u64>,
    /// `asc` (by index) or `desc`.
    #[param(schema_with = order)]
    pub order: Option<String>,
    /// `json`, `ndjson`, `csv`, `arrow` (a stream), `feather` (Arrow as a file) or
    /// `parquet`; else `Accept` decides.
    #[param(schema_with = format)]
    pub format: Option<String>,
    /// Whether a Parquet file carries its proof.
    pub with_proof: Option<bool>,
    /// Of a stream with columns these alone, in this order, their names separated by
    /// commas; and no `token` of what they do not give back.
    pub columns: Option<String>,
    /// A row for each span of this length in which there are observations, such as
    /// `1h`, in the order of time: `time`, where it begins, a multiple of it since
    /// 1970 (UTC), and `value` or the columns. Spans without observations are left out.
    pub every: Option<String>,
    /// The same in microseconds.
    pub every_us: Option<u64>,
    /// With `every`, what a row has of the values of its span: `mean`, `min` or `max` of
    /// numbers, `first`, `last`, or `count`; else the mean of numbers, and the last of
    /// what is none. Where there is no value (null) nothing counts.
    #[param(schema_with = aggregate)]
    pub agg: Option<String>,
}

/// `GET /v1/join`: which streams are joined, and how.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct JoinQuery {
    /// The streams, with commas between them: ids, parts of them, or names.
    pub streams: String,
    /// The stream whose observations make the rows; the first one unless it is
    /// said.
    pub on: Option<String>,
    /// Or a row for each multiple of this span since 1970, such as `1h`, up to the
    /// first one that has seen everything: 32,000,000 rows at most, unless `from` and
    /// `to` say both ends.
    pub every: Option<String>,
    /// The same in microseconds.
    pub every_us: Option<u64>,
    /// A value that is older than the row by more than this is left out: `3d`.
    pub tolerance: Option<String>,
    /// The same in microseconds.
    pub tolerance_us: Option<u64>,
    /// Rows from this time on: RFC 3339 (UTC without an offset), a date, or a span
    /// such as `3d`, which is so long before now (to a hundredth of it).
    pub from: Option<String>,
    /// Rows before this time.
    pub to: Option<String>,
    /// `from` and `to` are numbers of this unit since 1970: `s`, `ms`, `us` or
    /// `ns`.
    #[param(inline)]
    pub time_unit: Option<Unit>,
    /// `json`, `ndjson`, `csv`, `arrow` (a stream), `feather` (Arrow as a file) or
    /// `parquet`; else `Accept` decides.
    #[param(schema_with = format)]
    pub format: Option<String>,
}

/// `GET /v1/streams/{id}/gaps`: where to look for gaps.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct GapQuery {
    /// From this index, or this time, on: RFC 3339, a date, or a span such as
    /// `3d`, which is so long before now.
    pub from: Option<String>,
    /// Up to this index or time, which is left out.
    pub to: Option<String>,
    /// `from` and `to` are numbers of this unit since 1970: `s`, `ms`, `us` or
    /// `ns`. Without it a whole number is an index.
    #[param(inline)]
    pub time_unit: Option<Unit>,
    /// The usual time between two observations, such as `1h`; else the cadence of
    /// the manifest counts.
    pub cadence: Option<String>,
    /// The same in microseconds.
    pub cadence_us: Option<u64>,
    /// How many of each kind are listed: 100 unless it is said, at most 10,000.
    /// All are counted.
    pub limit: Option<usize>,
}

/// `POST /v1/streams/{id}/fetch`: which records are fetched before all others.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct FetchQuery {
    /// From this index, or this time, on (RFC 3339, a date, or a span such as `3d`,
    /// which is so long before now); else from the beginning.
    pub from: Option<String>,
    /// Up to this index or time, which is left out; else up to the end.
    pub to: Option<String>,
    /// `from` and `to` are numbers of this unit since 1970: `s`, `ms`, `us` or
    /// `ns`. Without it a whole number is an index.
    #[param(inline)]
    pub time_unit: Option<Unit>,
}

/// `GET /v1/streams/{id}/live`: where to begin.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct LiveQuery {
    /// From this index or time on (RFC 3339, a date, or a span such as `3d`, which
    /// is so long before now); else from what is new.
    pub from: Option<String>,
    /// `from` is a number of this unit since 1970: `s`, `ms`, `us` or `ns`.
    /// Without it a whole number is an index.
    #[param(inline)]
    pub time_unit: Option<Unit>,
}

/// `POST /v1/streams/{id}/observations`: how observations are published.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct Publishing {
    /// Publish only if the stream has this size, which makes a retry safe.
    pub expect_size: Option<u64>,
    /// What times that are numbers count since 1970, where an observation does not
    /// say it: `s`, `ms`, `us` or `ns`.
    #[param(inline)]
    pub time_unit: Option<Unit>,
    /// Times more than a day ahead of now are meant, in a stream whose times are
    /// ordered, too: nothing can be published behind them before then.
    #[serde(default)]
    #[param(required = false)]
    pub far_ahead: bool,
}

fn order() -> Schema {
    one_of(&["asc", "desc"])
}

fn aggregate() -> Schema {
    one_of(&["mean", "min", "max", "first", "last", "count"])
}

fn format() -> Schema {
    one_of(&[
        "json", "ndjson", "csv", "safe-csv", "arrow", "feather", "parquet",
    ])
}
