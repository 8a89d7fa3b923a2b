//! What is asked of a node, and how an address says it.

use super::encode;
use crate::times::Unit;

/// Which observations, and how they are written.
#[derive(Clone, Debug, Default)]
pub struct Query {
    /// The first index, or the earliest time (RFC 3339).
    pub from: Option<String>,
    /// The index behind the last one, or the time that all lie before.
    pub to: Option<String>,
    /// What they count since 1970 where they are numbers; else they are indexes.
    pub time_unit: Option<Unit>,
    /// The last one of the greatest time that is not after this one, instead.
    pub at_or_before: Option<String>,
    /// At most this many.
    pub limit: Option<u64>,
    /// `csv`, `ndjson`, …
    pub format: &'static str,
    /// Whether the file carries its proof; Parquet only.
    pub with_proof: bool,
    /// Of a stream with columns these alone, separated by commas.
    pub columns: Option<String>,
}

/// How observations are published.
#[derive(Clone, Copy, Debug, Default)]
pub struct Publishing {
    /// Only if the stream has this size.
    pub expect_size: Option<u64>,
    /// Times far ahead of now are meant, whatever follows from them.
    pub far_ahead: bool,
    /// What times count since 1970 where they are numbers and do not say it.
    pub time_unit: Option<Unit>,
}

impl Publishing {
    /// Where it is asked for, below the stream.
    pub(super) fn route(self) -> String {
        let mut route = "/observations".to_owned();
        let mut sign = '?';
        let mut say = |what: String| {
            route.push(sign);
            route.push_str(&what);
            sign = '&';
        };
        if let Some(size) = self.expect_size {
            say(format!("expect_size={size}"));
        }
        if self.far_ahead {
            say("far_ahead=true".to_owned());
        }
        if let Some(unit) = self.time_unit {
            say(format!("time_unit={}", unit.symbol()));
        }
        route
    }
}

/// Which streams are joined, and how.
#[derive(Clone, Debug, Default)]
pub struct JoinQuery {
    /// Their ids.
    pub streams: Vec<String>,
    /// The one whose observations make the rows; the first unless it is said.
    pub on: Option<String>,
    /// Or rows at steps of so many microseconds.
    pub every_us: Option<u64>,
    /// Values that are older by more microseconds are left out.
    pub tolerance_us: Option<u64>,
    /// The earliest time of a row (RFC 3339).
    pub from: Option<String>,
    /// The time that all rows lie before.
    pub to: Option<String>,
    /// What they count since 1970 where they are numbers.
    pub time_unit: Option<Unit>,
    /// `csv`, `ndjson`, …
    pub format: &'static str,
}

/// Where to look for gaps.
#[derive(Clone, Debug, Default)]
pub struct GapQuery {
    /// The first index, or the earliest time (RFC 3339).
    pub from: Option<String>,
    /// The index behind the last one, or the time that all lie before.
    pub to: Option<String>,
    /// What they count since 1970 where they are numbers; else they are indexes.
    pub time_unit: Option<Unit>,
    /// The usual microseconds between two observations, if not those of the
    /// manifest.
    pub cadence_us: Option<u64>,
    /// How many of each kind are listed.
    pub limit: usize,
}

/// Says in an address where a range begins and ends.
pub(super) fn put_range(
    path: &mut String,
    from: &Option<String>,
    to: &Option<String>,
    unit: Option<Unit>,
) {
    for (key, value) in [("from", from), ("to", to)] {
        if let Some(value) = value {
            path.push_str(&format!("&{key}={}", encode(value)));
        }
    }
    put_unit(path, unit);
}

/// Says in an address what times count that are numbers.
pub(super) fn put_unit(path: &mut String, unit: Option<Unit>) {
    if let Some(unit) = unit {
        path.push_str(&format!("&time_unit={}", unit.symbol()));
    }
}
