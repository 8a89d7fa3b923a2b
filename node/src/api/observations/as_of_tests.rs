//! What a stream said at a time, told by what is held of it.

use headwater_protocols::identity::SigningKey;
use headwater_protocols::manifest::{Manifest, NONCE_BYTES};
use headwater_protocols::ranges::IntervalSet;
use headwater_protocols::store::{LogKey, MemoryStore};

use super::*;
use crate::api::view::tests::{put_seconds, status};

const KEY: LogKey = LogKey {
    number: 1,
    chunk_level: 8,
};
const SIZE: u64 = 1_000;

/// A stream with a record a second, of which these are held.
fn held_of(ordered: bool, parts: &[(u64, u64)]) -> (LogStatus, MemoryStore) {
    let store = MemoryStore::new();
    let mut held = IntervalSet::new();
    for &(from, to) in parts {
        put_seconds(&store, KEY, &mut held, from, to);
    }
    let key = SigningKey::from_secret(&mut [3; 32]);
    let manifest = Manifest {
        ordered,
        chunk_level: KEY.chunk_level,
        ..Manifest::new(key.public(), "a", [7; NONCE_BYTES])
    };
    let status = LogStatus {
        manifest: Some(manifest.sign(&key).unwrap()),
        key: Some(KEY),
        held: held.intervals().collect(),
        held_records: held.len(),
        ..status("a", 3, SIZE)
    };
    (status, store)
}

/// The index of what is found at a second; or the status of the refusal.
fn at(second: i64, (status, store): &(LogStatus, MemoryStore)) -> Result<Option<u64>, u16> {
    let records = Records::of(status, store).unwrap();
    let time = Timestamp(second * 1_000_000);
    match answer(&records, Question::AtOrBefore(time)) {
        Ok(selection) if selection == Selection::default() => Ok(None),
        Ok(selection) => Ok(Some(selection.from)),
        Err(error) => Err(ApiError::from(error).problem().status),
    }
}

#[test]
fn of_a_stream_in_order_two_neighbours_that_are_held_tell_what_was_at_a_time() {
    let some = [(0, 2), (300, 310), (998, SIZE)];
    let ordered = held_of(true, &some);
    for (second, index) in [
        (-1, None),
        (0, Some(0)),
        (304, Some(304)),
        (308, Some(308)),
        (998, Some(998)),
        (999, Some(999)),
        (5_000, Some(999)),
    ] {
        assert_eq!(at(second, &ordered), Ok(index), "{second}");
    }
    // Another one may lie behind what is held.
    for second in [1, 200, 299, 309, 500, 997] {
        assert_eq!(at(second, &ordered), Err(409), "{second}");
    }
    let of_any_order = held_of(false, &some);
    for second in [-1, 0, 304, 999] {
        assert_eq!(at(second, &of_any_order), Err(409), "{second}");
    }
    let whole = held_of(false, &[(0, SIZE)]);
    assert_eq!(at(304, &whole), Ok(Some(304)));
    assert_eq!(at(-1, &whole), Ok(None));
}
