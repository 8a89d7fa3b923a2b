//! Records that were dropped because a stream's manifest asks to keep less: what
//! a new stream says of it, and what whoever asks for them is told.

use axum::http::{HeaderName, StatusCode};
use headwater_client::types::NewStream;
use headwater_protocols::engine::LogStatus;
use headwater_protocols::limits::DEFAULT_CHUNK_LEVEL;

use super::problem::ApiError;
use crate::export::Selection;

/// Says from which index on records are kept, where that is not the first.
pub(super) const BEGINS_AT: HeaderName = HeaderName::from_static("headwater-begins-at");

/// How often an answer is begun anew because records that it was to have were
/// dropped meanwhile.
pub(super) const MAX_BEGINNINGS: usize = 4;

/// What is to be kept of a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Retained {
    /// Of records older than this many microseconds nothing; 0: whatever the age.
    pub(super) age_us: u64,
    /// This many of the latest records; 0: all.
    pub(super) records: u64,
    /// In chunks of 2^chunk_level records, which go as a whole.
    pub(super) chunk_level: u8,
}

impl Retained {
    /// What a new stream asks for.
    ///
    /// # Errors
    /// It contradicts itself.
    pub(super) fn of(new: &NewStream) -> Result<Self, ApiError> {
        if new.latest_only && new.retain_records > 1 {
            let records = new.retain_records;
            let text = format!(
                "latest_only keeps one record, and retain_records asks for {records}; leave one of them off"
            );
            return Err(ApiError::bad_request(text));
        }
        let (records, level) = match new.latest_only {
            // With more records in a chunk, as many would be kept.
            true => (1, 0),
            false => (new.retain_records, DEFAULT_CHUNK_LEVEL),
        };
        Ok(Self {
            age_us: new.retain_age_us,
            records,
            chunk_level: new.chunk_level.unwrap_or(level),
        })
    }
}

/// A selection below `size` as far as records are kept: from the beginning means
/// from the first one that is.
///
/// # Errors
/// Records are asked for by their indexes that are not.
pub(super) fn kept(
    status: &LogStatus,
    selection: Selection,
    size: u64,
) -> Result<Selection, ApiError> {
    let begin = status.begin.min(size);
    let to = selection.to.min(size);
    let selection = Selection { to, ..selection };
    let (from, to) = selection.needed();
    if from >= begin || from >= to {
        return Ok(selection);
    }
    if selection.from > 0 || to <= begin {
        return Err(dropped(status, from));
    }
    Ok(Selection {
        from: begin,
        ..selection
    })
}

/// Refuses to answer about a record that was dropped.
pub(super) fn require_kept(status: &LogStatus, index: u64) -> Result<(), ApiError> {
    match index < status.begin {
        true => Err(dropped(status, index)),
        false => Ok(()),
    }
}

/// The answer where a record was dropped.
pub(super) fn dropped(status: &LogStatus, index: u64) -> ApiError {
    let (log, begin) = (status.log, status.begin);
    ApiError::new(
        StatusCode::GONE,
        format!(
            "record {index} of stream {log} was dropped by the stream's retention: what is kept begins at \
             index {begin}; ask from there on"
        ),
    )
}

#[cfg(test)]
mod tests {
    use super::super::view::tests::status;
    use super::*;
    use crate::export::Order;

    #[test]
    fn the_beginning_is_the_first_record_that_is_kept_and_those_before_are_gone() {
        let mut status = status("x", 1, 100);
        status.begin = 40;
        let from = |from, to| {
            let kept = kept(&status, Selection::indexes(from, to), 100);
            kept.map(|kept| (kept.from, kept.to))
                .map_err(|error| error.problem().status)
        };
        assert_eq!(from(0, u64::MAX), Ok((40, 100)));
        assert_eq!(from(0, 41), Ok((40, 41)));
        assert_eq!(from(40, 60), Ok((40, 60)));
        // Nothing is asked for.
        assert_eq!(from(0, 0), Ok((0, 0)));
        for (first, to) in [(1, 60), (39, 40), (0, 40), (0, 1)] {
            assert_eq!(from(first, to), Err(410), "{first} to {to}");
        }
        let last = Selection {
            limit: Some(3),
            order: Order::Descending,
            ..Selection::indexes(5, 100)
        };
        assert_eq!(kept(&status, last, 100), Ok(last));
        assert!(require_kept(&status, 40).is_ok());
        let gone = require_kept(&status, 39).unwrap_err();
        assert!(gone.problem().detail.contains("retention"));
    }

    #[test]
    fn the_latest_record_alone_is_a_chunk_of_its_own() {
        let new = NewStream {
            latest_only: true,
            ..NewStream::default()
        };
        let retained = Retained::of(&new).unwrap();
        assert_eq!((retained.records, retained.chunk_level), (1, 0));
        let large = NewStream {
            chunk_level: Some(4),
            ..new.clone()
        };
        assert_eq!(Retained::of(&large).unwrap().chunk_level, 4);
        let more = NewStream {
            retain_records: 2,
            ..new
        };
        assert_eq!(Retained::of(&more).unwrap_err().problem().status, 400);
        let all = Retained::of(&NewStream::default()).unwrap();
        assert_eq!((all.age_us, all.records), (0, 0));
        assert_eq!(all.chunk_level, DEFAULT_CHUNK_LEVEL);
    }
}
