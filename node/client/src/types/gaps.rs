//! What is missing of a stream, by the times of its observations.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// What a look at the times of observations has found. Of each kind the first
/// ones are listed, and all are counted.
#[derive(Clone, Debug, Default, Serialize, Deserialize, PartialEq, Eq, ToSchema)]
pub struct Gaps {
    /// Observations that were looked at.
    pub records: u64,
    /// The earliest time, RFC 3339.
    pub earliest: Option<String>,
    /// The latest one.
    pub latest: Option<String>,
    /// Microseconds between two observations that count as usual; absent when
    /// nobody has said so, and then there are no gaps.
    pub cadence_us: Option<u64>,
    /// Places where time went on by at least one and a half cadences.
    pub gaps: u64,
    /// Observations that are missing there, if they come at that cadence.
    pub missing_in_gaps: u64,
    /// The first of these places.
    pub first_gaps: Vec<TimeGap>,
    /// Observations with the time of the latest one before them.
    pub duplicates: u64,
    /// Those of them whose value is the same, too.
    pub repeated: u64,
    /// The first of these.
    pub first_duplicates: Vec<Misplaced>,
    /// Observations that are earlier than one before them.
    pub out_of_order: u64,
    /// The first of these.
    pub first_out_of_order: Vec<Misplaced>,
    /// Observations whose time lies far ahead of those before and behind them,
    /// such as one of a clock that was not set. Nobody knows when they were, so
    /// that they count for nothing else here.
    #[serde(default)]
    pub outliers: u64,
    /// The first of these.
    #[serde(default)]
    pub first_outliers: Vec<Misplaced>,
}

/// A place where time went on by more than it should.
#[derive(Clone, Debug, Serialize, Deserialize, PartialEq, Eq, ToSchema)]
pub struct TimeGap {
    /// Index of the observation behind it.
    pub index: u64,
    /// The latest time before it, RFC 3339.
    pub from: String,
    /// The time behind it.
    pub to: String,
    /// Observations that are missing, at that cadence.
    pub missing: u64,
}

/// An observation that stands elsewhere than its time says.
#[derive(Clone, Debug, Serialize, Deserialize, PartialEq, Eq, ToSchema)]
pub struct Misplaced {
    /// Its index.
    pub index: u64,
    /// Its time, RFC 3339.
    pub time: String,
    /// The latest time before it.
    pub latest: String,
}
