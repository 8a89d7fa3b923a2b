//! Records that were dropped because a stream's manifest asks to keep less: what
//! a new stream says of it, and what answers say of where the kept ones begin.

use axum::http::HeaderName;
use headwater_client::types::NewStream;
use headwater_protocols::limits::DEFAULT_CHUNK_LEVEL;

use super::problem::ApiError;

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

#[cfg(test)]
mod tests {
    use super::*;

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
