//! What the address of a request may say behind its `?`, as the client writes it and
//! the server reads it.

mod observations;

use serde::{Deserialize, Serialize};
use utoipa::IntoParams;
use utoipa::openapi::schema::{ObjectBuilder, Schema, Type};

pub use self::observations::{FetchQuery, GapQuery, JoinQuery, LiveQuery, Publishing, Query};
use crate::times::Unit;

/// `GET /v1/streams`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct ListQuery {
    /// Say what each takes on the disk, which is looked up in the table files.
    #[serde(default)]
    pub disk: bool,
}

/// `GET /v1/streams/{id}`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct ShowQuery {
    /// Mean this node's own streams by what names it, as publishing does.
    #[serde(default)]
    pub own: bool,
}

/// `POST /v1/streams`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct CreateQuery {
    /// Answer with the stream of this node that has the name already, if it is as
    /// this one would be.
    #[serde(default)]
    pub if_not_exists: bool,
}

/// `DELETE /v1/streams/{id}`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct DeleteQuery {
    /// Even if this node publishes it: it can then only come back from peers
    /// that have all of it.
    #[serde(default)]
    pub own: bool,
}

/// `GET /v1/discover`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct DiscoverQuery {
    /// Words, each of which must be part of the name, description, source, unit
    /// or id, or a whole tag, or its key or value; without any all streams are found.
    #[serde(default)]
    pub q: String,
}

/// `GET /v1/streams/{id}/consistency`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct ConsistencyQuery {
    /// Size of the first tree.
    pub first: u64,
    /// Size of the second one; when absent, that of the adopted head, or of what
    /// of it is not disputed.
    pub second: Option<u64>,
}

/// `GET /v1/streams/{id}/export-proof`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct ExportProofQuery {
    /// The first record; 0 when absent.
    pub from: Option<u64>,
    /// The index behind the last one. When absent, the size of the adopted head,
    /// or of what of it is not disputed; when beyond the head, its size.
    pub to: Option<u64>,
}

/// `GET /v1/unsigned/{name}/observations`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct UnsignedQuery {
    /// How they are written: `csv` (`time,value,unsigned`) unless it is said, or
    /// `ndjson`.
    #[param(schema_with = text_format)]
    pub format: Option<TextFormat>,
}

/// A format of texts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum TextFormat {
    /// A header, then one line each.
    Csv,
    /// One JSON object a line.
    Ndjson,
}

/// `POST /v1/unsigned/{name}/walk`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct WalkQuery {
    /// What lies before this time is wanted (RFC 3339, a date, or a span such as
    /// `3d` before now); now unless it is said.
    pub before: Option<String>,
    /// `before` is a number of this unit since 1970: `s`, `ms`, `us` or `ns`.
    #[param(inline)]
    pub time_unit: Option<Unit>,
    /// How long the answers of a round are waited for: 5,000 unless it is said,
    /// at most 60,000.
    pub deadline_ms: Option<u64>,
}

fn text_format() -> Schema {
    one_of(&["csv", "ndjson"])
}

fn one_of(words: &[&'static str]) -> Schema {
    let words = words.iter().copied();
    ObjectBuilder::new()
        .schema_type(Type::String)
        .enum_values(Some(words))
        .build()
        .into()
}
