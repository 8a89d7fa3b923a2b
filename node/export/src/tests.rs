use std::collections::BTreeMap;

use headwater_protocols::manifest::ValueType;
use headwater_protocols::time::Timestamp;
use proptest::prelude::*;
use serde_json::value::RawValue;

use super::*;

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

proptest! {
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
