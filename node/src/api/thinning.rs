//! Observations as fewer rows: what an address says of the spans of time that have one
//! row each, and how these are written.

use std::io::Write;

use axum::http::{HeaderName, StatusCode};
use headwater_protocols::engine::LogStatus;
use headwater_protocols::store::Store;

use super::bounds::positive_micros;
use super::problem::ApiError;
use super::state::not_come_yet;
use super::stream_body::WriteError;
use headwater_export::{Aggregate, Format, Shape, Summary, SummaryError};
use headwater_reading::{Records, Selection};

/// How many records are in none of the rows.
pub(super) const LEFT_OUT: HeaderName = HeaderName::from_static("headwater-left-out");

/// Mebibytes that are kept of the records, which are read in the order of their times: as
/// of one stream of a join.
pub(super) const SORTED_MEBIBYTES: usize = 4;

/// What an address says of spans.
#[derive(Clone, Copy, Debug)]
pub(super) struct Spans<'a> {
    pub(super) every: Option<&'a str>,
    pub(super) every_us: Option<u64>,
    pub(super) agg: Option<&'a str>,
    /// It also says what only records have.
    pub(super) is_of_records: bool,
}

/// The spans, and what they have of their values.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Thinning {
    every_us: u64,
    how: Option<Aggregate>,
}

impl Spans<'_> {
    /// Nothing where records are asked for as they are.
    pub(super) fn checked(self) -> Result<Option<Thinning>, ApiError> {
        let how = self.agg.map(str::parse::<Aggregate>).transpose();
        let how = how.map_err(|error| ApiError::bad_request(format!("agg: {error}")))?;
        let Some(every_us) = positive_micros("every", self.every, self.every_us)? else {
            return match how {
                None => Ok(None),
                Some(_) => Err(ApiError::bad_request(
                    "agg is of the spans of time that every says, such as every=1h; give both",
                )),
            };
        };
        match self.is_of_records {
            false => Ok(Some(Thinning { every_us, how })),
            true => Err(ApiError::bad_request(
                "a row of every stands for several records, by time: nobody signed it, so that it has no proof, \
                 nor another order; leave off every, or with_proof, at_or_before and order=desc",
            )),
        }
    }
}

impl Thinning {
    /// Of the columns that are shown of a stream.
    pub(super) fn summary(self, status: &LogStatus, shown: &Shape) -> Result<Summary, ApiError> {
        let manifest = status.manifest.as_ref();
        let all = Shape::of(manifest.ok_or_else(|| not_come_yet(status))?);
        let summary = Summary::of(self.every_us, self.how, &all, shown);
        summary.map_err(|why| ApiError::bad_request(format!("agg: {why}")))
    }
}

/// Writes the rows of a selection, of which the limit counts rows; how many records are in
/// none of them.
pub(super) fn thinned<S: Store, W: Write + Send>(
    summary: &Summary,
    records: &Records<'_, S>,
    selection: Selection,
    format: Format,
    out: W,
) -> Result<u64, WriteError> {
    let limit = selection.limit;
    let all = Selection {
        limit: None,
        ..selection
    };
    let selection = Selection {
        limit,
        ..records.answering(all)?
    };
    Ok(summary.write(records, &selection, format, out)?)
}

impl From<SummaryError> for WriteError {
    fn from(error: SummaryError) -> Self {
        let detail = error.to_string();
        match error {
            SummaryError::Disorder => {
                Self::Failed(ApiError::new(StatusCode::UNPROCESSABLE_ENTITY, detail))
            }
            SummaryError::Read(error) => error.into(),
            SummaryError::Io(error) => error.into(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn checked(every: Option<&str>, agg: Option<&str>, is_of_records: bool) -> Result<u64, String> {
        let spans = Spans {
            every,
            every_us: None,
            agg,
            is_of_records,
        };
        let checked = spans.checked();
        let every_us = checked.map(|thinning| thinning.map_or(0, |thinning| thinning.every_us));
        every_us.map_err(|error| error.problem().detail.clone())
    }

    #[test]
    fn spans_are_said_as_everywhere_and_what_cannot_be_is_refused_with_the_reason() {
        assert_eq!(checked(None, None, true), Ok(0));
        assert_eq!(checked(Some("1h"), None, false), Ok(3_600_000_000));
        assert_eq!(
            checked(Some("1h30m"), Some("count"), false),
            Ok(5_400_000_000)
        );
        for (every, agg, is_of_records, why) in [
            (Some("0s"), None, false, "longer than nothing"),
            (
                Some("1 hour"),
                None,
                false,
                "every: `1 hour` is not a duration",
            ),
            (
                Some("1h"),
                Some("median"),
                false,
                "agg: `median` is not known",
            ),
            (None, Some("mean"), false, "give both"),
            (Some("1h"), None, true, "no proof"),
        ] {
            let error = checked(every, agg, is_of_records).unwrap_err();
            assert!(error.contains(why), "{error}");
        }
    }
}
