use std::collections::BTreeMap;

use headwater_protocols::engine::LogStatus;
use headwater_protocols::head::{Head, Tree};
use headwater_protocols::id::LogId;
use headwater_protocols::identity::SigningKey;
use headwater_protocols::merkle::{Hash, empty_root};
use headwater_protocols::ranges::{Interval, IntervalSet};
use headwater_protocols::store::{
    Admission, Durability, History, LogKey, MemoryStore, ReadError, Store,
};
use headwater_protocols::time::Timestamp;
use proptest::prelude::*;
use serde_json::value::RawValue;

use super::*;

const KEY: LogKey = LogKey {
    number: 1,
    chunk_level: 2,
};

fn written(format: Format, value_type: ValueType, records: &[(i64, &[u8])]) -> String {
    let mut out = Vec::new();
    let mut encoder = Encoder::begin(format, value_type, &mut out).unwrap();
    for (index, (time, value)) in (0..).zip(records) {
        let record = Record::new(Timestamp(*time), value);
        encoder.record(index, &record).unwrap();
    }
    encoder.finish().unwrap();
    String::from_utf8(out).unwrap()
}

/// A store with these records; `held` says which of them.
fn store_with(records: &[Record], held: &[Interval]) -> (MemoryStore, IntervalSet) {
    let store = MemoryStore::new();
    let mut set = IntervalSet::default();
    for interval in held {
        let run = &records[interval.from as usize..interval.to as usize];
        let leaves: Vec<_> = run.iter().map(Record::leaf).collect();
        let mut admission = Admission::new(&store, KEY, &mut set);
        admission.put_records(interval.from, run, &leaves).unwrap();
        store
            .commit(admission.finish(), Durability::Synced)
            .unwrap();
    }
    (store, set)
}

fn status(size: u64, held: &IntervalSet) -> LogStatus {
    let log = LogId([1; 32]);
    let root = if size == 0 {
        empty_root()
    } else {
        Hash([2; 32])
    };
    let head = Head::of_tree(log, Tree { size, root }, Timestamp(0));
    LogStatus {
        log,
        manifest: None,
        key: Some(KEY),
        owned: false,
        followed: true,
        newest_first: false,
        head: Some(head.sign(&SigningKey::from_secret(&mut [1; 32])).into()),
        held: held.intervals().collect(),
        held_records: held.len(),
        begin: 0,
        synced_size: 0,
        served_records: 0,
        sources: Vec::new(),
        waits_for_room: false,
        holds_back: false,
        clock_ahead_us: None,
        lag: headwater_protocols::engine::Lag::default(),
        peers: Vec::new(),
        recovered: None,
        fork: None,
        disputed_from: None,
        damage: None,
        stopped_for_good: None,
        stopped: None,
        reopening: None,
        known_followers: 0,
    }
}

#[test]
fn csv_has_a_header_and_quotes_what_needs_it() {
    let records: &[(i64, &[u8])] = &[
        (0, b"1.50"),
        (-1, b"a,b"),
        (1, b"say \"no\"\nnow"),
        (2, b""),
    ];
    assert_eq!(
        written(Format::Csv, ValueType::Text, records),
        "index,time,value\n\
         0,1970-01-01T00:00:00.000000Z,1.50\n\
         1,1969-12-31T23:59:59.999999Z,\"a,b\"\n\
         2,1970-01-01T00:00:00.000001Z,\"say \"\"no\"\"\nnow\"\n\
         3,1970-01-01T00:00:00.000002Z,\"\"\n"
    );
    assert_eq!(
        written(Format::Csv, ValueType::Text, &[]),
        "index,time,value\n"
    );
}

#[test]
fn numbers_and_json_are_the_tokens_that_were_given_as_json_writes_them() {
    let numbers: &[(i64, &[u8])] = &[(0, b"1016.60"), (0, b"-1.5e3"), (0, b"+4"), (0, b"007")];
    assert_eq!(
        written(Format::Ndjson, ValueType::Number, numbers),
        "{\"index\":0,\"time\":\"1970-01-01T00:00:00.000000Z\",\"value\":1016.60}\n\
         {\"index\":1,\"time\":\"1970-01-01T00:00:00.000000Z\",\"value\":-1.5e3}\n\
         {\"index\":2,\"time\":\"1970-01-01T00:00:00.000000Z\",\"value\":4}\n\
         {\"index\":3,\"time\":\"1970-01-01T00:00:00.000000Z\",\"value\":7}\n"
    );
    let json: &[(i64, &[u8])] = &[(i64::MAX, b"{\"a\":\n [1.0,\r\n2]}")];
    assert_eq!(
        written(Format::Json, ValueType::Json, json),
        "[\n{\"index\":0,\"time\":9223372036854775807,\"time_unit\":\"us\",\"value\":{\"a\":  [1.0,  2]}}\n]\n"
    );
    assert_eq!(written(Format::Json, ValueType::Json, &[]), "[\n]\n");
    assert_eq!(
        written(Format::Csv, ValueType::Json, &[(i64::MIN, b"{\"a\":1}")]),
        "index,time,value\n0,-9223372036854775808,\"{\"\"a\"\":1}\"\n"
    );
}

#[test]
fn bytes_are_base64_everywhere() {
    let records: &[(i64, &[u8])] = &[(0, b"\x00\xff"), (0, b"")];
    let csv = written(Format::Csv, ValueType::Bytes, records);
    assert!(csv.contains("Z,AP8=\n"), "{csv}");
    let ndjson = written(Format::Ndjson, ValueType::Bytes, records);
    assert!(ndjson.contains("\"value\":\"AP8=\"}\n"), "{ndjson}");
    assert!(ndjson.ends_with("\"value\":\"\"}\n"), "{ndjson}");
}

#[test]
fn what_readers_of_json_give_up_on_is_a_text_there() {
    let deep = "[".repeat(129) + &"]".repeat(129);
    for (value_type, values) in [
        (
            ValueType::Json,
            &[
                r#""\ud800""#,
                r#"{"a":1e400}"#,
                r#"{"a":1,"a":2}"#,
                &deep,
                "{",
                "",
            ][..],
        ),
        (ValueType::Number, &["1e400", "-1e999", "NaN", "x"]),
    ] {
        for value in values {
            let mut json = Vec::new();
            put_json(&mut json, value_type, value.as_bytes());
            let read: serde_json::Value = serde_json::from_slice(&json).unwrap();
            assert_eq!(read, **value, "it is no text");
        }
    }
    for (value_type, value) in [
        (ValueType::Json, r#"{"a":[1.50,"\ud83d\ude00"]}"#),
        (ValueType::Number, "1e300"),
        (ValueType::Number, "0.10"),
    ] {
        let mut json = Vec::new();
        put_json(&mut json, value_type, value.as_bytes());
        assert_eq!(json, value.as_bytes());
    }
}

#[test]
fn a_format_is_chosen_by_name() {
    assert_eq!("csv".parse(), Ok(Format::Csv));
    assert!("xls".parse::<Format>().is_err());
}

#[test]
fn a_hole_is_named_and_ends_what_is_held() {
    let records: Vec<_> = (0..20).map(|i| Record::new(Timestamp(i), b"1")).collect();
    let held = [Interval { from: 0, to: 6 }, Interval { from: 9, to: 20 }];
    let (store, set) = store_with(&records, &held);
    let history = History::new(&store, KEY);
    let status = status(18, &set);
    assert_eq!(missing(&status, &history, 0, 6), Ok(None));
    assert_eq!(
        missing(&status, &history, 2, 18),
        Ok(Some(Interval { from: 6, to: 9 }))
    );
    assert_eq!(held_until(&status, &history, 0), Ok(6));
    assert_eq!(held_until(&status, &history, 7), Ok(7));
    // Not beyond the head.
    assert_eq!(held_until(&status, &history, 9), Ok(18));
    assert_eq!(held_until(&status, &history, 18), Ok(18));
    assert_eq!(held_until(&status, &history, u64::MAX), Ok(u64::MAX));

    let all = Selection::indexes(4, 12);
    let read = visit(&history, &all, |_, _| Ok::<_, ReadError>(()));
    assert_eq!(read, Err(ReadError::NotHeld(6)));
}

#[test]
fn a_status_that_cannot_list_all_holes_is_completed_from_the_store() {
    let max = headwater_protocols::limits::MAX_INTERVALS as u64;
    let count = 2 * max + 10;
    let records: Vec<_> = (0..count)
        .map(|i| Record::new(Timestamp(i as i64), b"1"))
        .collect();
    let mut held: Vec<_> = (0..max)
        .map(|i| Interval {
            from: 2 * i,
            to: 2 * i + 1,
        })
        .collect();
    held.push(Interval {
        from: 2 * max,
        to: count,
    });
    let (store, set) = store_with(&records, &held);
    let mut status = status(count, &set);
    status.held.truncate(max as usize);
    let history = History::new(&store, KEY);
    assert_eq!(missing(&status, &history, 2 * max, count), Ok(None));
    assert_eq!(held_until(&status, &history, 2 * max + 1), Ok(count));
}

fn selections() -> impl Strategy<Value = Selection> {
    let time = prop::option::of((-40_i64..40).prop_map(Timestamp));
    let limit = prop::option::of(0_u64..60);
    (
        0_u64..70,
        0_u64..70,
        time.clone(),
        time,
        limit,
        any::<bool>(),
    )
        .prop_map(|(from, to, since, before, limit, descending)| Selection {
            from,
            to,
            since,
            before,
            limit,
            order: if descending {
                Order::Descending
            } else {
                Order::Ascending
            },
        })
}

/// What a selection means.
fn naive(records: &[Record], selection: &Selection) -> Vec<u64> {
    let mut found: Vec<u64> = (0..records.len() as u64)
        .filter(|&index| index >= selection.from && index < selection.to)
        .filter(|&index| {
            let time = records[index as usize].time();
            selection.since.is_none_or(|since| time >= since)
                && selection.before.is_none_or(|before| time < before)
        })
        .collect();
    if selection.order == Order::Descending {
        found.reverse();
    }
    found.truncate(selection.limit.unwrap_or(u64::MAX) as usize);
    found
}

proptest! {
    #[test]
    fn a_selection_reads_what_a_plain_filter_finds(
        times in prop::collection::vec(-40_i64..40, 0..70), selection in selections(),
    ) {
        let records: Vec<_> = (times.iter())
            .map(|&time| Record::new(Timestamp(time), time.to_string().as_bytes()))
            .collect();
        let size = records.len() as u64;
        let selection = Selection { to: selection.to.min(size), ..selection };
        let (store, set) = store_with(&records, &[Interval { from: 0, to: size }]);
        prop_assert_eq!(set.len(), size);
        let mut found = Vec::new();
        visit(&History::new(&store, KEY), &selection, |index, record| {
            assert_eq!(record, &records[index as usize]);
            found.push(index);
            Ok::<_, ReadError>(())
        }).unwrap();
        prop_assert_eq!(found, naive(&records, &selection));
    }

    #[test]
    fn only_what_is_needed_has_to_be_held(
        times in prop::collection::vec(-40_i64..40, 1..70), selection in selections(),
    ) {
        let records: Vec<_> = (times.iter())
            .map(|&time| Record::new(Timestamp(time), b"1"))
            .collect();
        let size = records.len() as u64;
        let selection = Selection { to: selection.to.min(size), ..selection };
        let (from, to) = selection.needed();
        let held: Vec<_> = Some(Interval { from, to }).filter(|i| !i.is_empty()).into_iter().collect();
        let (store, _) = store_with(&records, &held);
        let mut found = Vec::new();
        visit(&History::new(&store, KEY), &selection, |index, _| {
            found.push(index);
            Ok::<_, ReadError>(())
        }).unwrap();
        prop_assert_eq!(found, naive(&records, &selection));
    }

    #[test]
    fn csv_is_read_back_by_another_reader(
        values in prop::collection::vec((any::<i64>(), ".{0,20}"), 0..20),
    ) {
        let records: Vec<(i64, &[u8])> = values.iter().map(|(t, v)| (*t, v.as_bytes())).collect();
        let text = written(Format::Csv, ValueType::Text, &records);
        let mut reader = ::csv::Reader::from_reader(text.as_bytes());
        let mut place = 0;
        for row in reader.records() {
            let row = row.unwrap();
            prop_assert_eq!(&row[0], place.to_string());
            prop_assert_eq!(headwater_client::times::exact(&row[1]).unwrap().0, values[place].0);
            prop_assert_eq!(&row[2], &values[place].1);
            place += 1;
        }
        prop_assert_eq!(place, values.len());
    }

    /// Whatever a publisher signed, the document around it stays whole.
    #[test]
    fn any_bytes_as_any_type_are_one_line_of_valid_json(
        value in prop_oneof![
            prop::collection::vec(any::<u8>(), 0..30),
            "[-+0-9.eE \n]{0,8}".prop_map(String::into_bytes),
            "[\\[\\]{}\":,a1\n\r ]{0,10}".prop_map(String::into_bytes),
        ],
        time in any::<i64>(),
    ) {
        use ValueType::{Bytes, Json, Number, Text};
        for value_type in [Number, Text, Json, Bytes] {
            let text = written(Format::Ndjson, value_type, &[(time, &value)]);
            prop_assert_eq!(text.matches('\n').count(), 1);
            prop_assert!(!text.contains('\r'));
            let parsed: BTreeMap<String, &RawValue> = serde_json::from_str(&text).unwrap();
            prop_assert!(parsed.len() == 3 || parsed.contains_key("time_unit"));
            if value_type == Json && let Ok(json) = serde_json::from_slice::<serde_json::Value>(&value) {
                let back: serde_json::Value = serde_json::from_str(parsed["value"].get()).unwrap();
                prop_assert_eq!(back, json);
            }
        }
    }
}
