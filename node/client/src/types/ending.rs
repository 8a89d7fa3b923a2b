//! The JSON of streams that have come to their end.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// `POST /v1/streams/{id}/recovery`.
#[derive(Clone, Debug, Serialize, Deserialize, PartialEq, Eq, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Recover {
    /// A `SignedRecovery` of docs/formats.md, base64.
    pub statement: String,
}

/// What the recovery key of a stream has said: how much of it counts, whatever its
/// publisher's key has signed.
#[derive(Clone, Debug, Serialize, Deserialize, PartialEq, Eq, ToSchema)]
pub struct RecoveredView {
    /// Records that count. What comes behind them is disowned.
    pub size: u64,
    /// Root of the tree over them, lower-case hex.
    pub root: String,
    /// When that was said, RFC 3339.
    pub issued: String,
    /// Id of the stream that continues it.
    pub successor: Option<String>,
    /// The key has said other things, too: the smallest counts, and nothing continues the
    /// stream.
    pub contradicted: bool,
}

/// The data of the event `reset` of `GET /v1/streams/{id}/live`: the recovery key of the
/// stream has ended it.
#[derive(Clone, Debug, Default, Serialize, Deserialize, PartialEq, Eq, ToSchema)]
pub struct Reset {
    /// The first index that does not count; whoever has it, or what follows, should
    /// disown it.
    pub from: u64,
    /// Id of the stream that continues it.
    pub successor: Option<String>,
}

/// The data of the event `ended` of `GET /v1/streams/{id}/live`: the client has all that
/// counts, and nothing more comes, because the stream was closed by its publisher or ended
/// by its recovery key.
#[derive(Clone, Debug, Default, Serialize, Deserialize, PartialEq, Eq, ToSchema)]
pub struct Ended {
    /// Records that count.
    pub size: u64,
    /// Id of the stream that continues it.
    pub successor: Option<String>,
}

/// `POST /v1/streams/{id}/close`.
#[derive(Clone, Debug, Default, Serialize, Deserialize, PartialEq, Eq, ToSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Close {
    /// Whole id of the stream that continues this one.
    pub successor: Option<String>,
}
