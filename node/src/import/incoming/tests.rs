use headwater_export::RecordObject;
use headwater_protocols::identity::SigningKey;
use headwater_protocols::manifest::NONCE_BYTES;
use proptest::prelude::*;

use super::*;

/// 2025-11-29T07:06:40Z.
const NOW: Timestamp = Timestamp(1_764_400_000_000_000);

fn manifest(value_type: ValueType) -> Manifest {
    let publisher = SigningKey::from_secret(&mut [1; 32]).public();
    Manifest {
        value_type,
        chunk_level: 12,
        created: NOW,
        ..Manifest::new(publisher, "x", [7; NONCE_BYTES])
    }
}

fn read(form: Form, value_type: ValueType, body: &str) -> Result<Vec<Record>, NotTaken> {
    incoming(form, value_type, body, None).map(|incoming| incoming.records)
}

fn incoming(
    form: Form,
    value_type: ValueType,
    body: &str,
    unit: Option<Unit>,
) -> Result<Incoming, NotTaken> {
    let terms = Terms {
        time_unit: unit,
        ..Terms::default()
    };
    observations(form, body.as_bytes(), &manifest(value_type), NOW, terms)
}

/// Times and values of what was read.
fn taken(form: Form, value_type: ValueType, body: &str) -> Vec<(i64, Vec<u8>)> {
    let records = read(form, value_type, body).unwrap();
    records
        .iter()
        .map(|r| (r.time().0, r.value().to_vec()))
        .collect()
}

/// The one complaint about one item.
fn complaint(value_type: ValueType, item: &str) -> String {
    let error = read(Form::Json, value_type, item).unwrap_err();
    assert_eq!(error.why, Why::Bad, "{item}");
    let [one] = &error.items[..] else {
        panic!("{item}: {error:?}");
    };
    assert_eq!(one.place, 0);
    one.detail.clone()
}

#[test]
fn an_object_an_array_and_lines_are_read_alike() {
    let number = ValueType::Number;
    assert_eq!(
        taken(Form::Json, number, r#" {"value": 1.50 } "#),
        [(NOW.0, b"1.50".to_vec())]
    );
    let both = [(NOW.0 + 1, b"-0".to_vec()), (-2_000_000, b"1e3".to_vec())];
    let array =
        r#"[{"time":1764400000000001,"value":-0}, {"value":1e3,"time":"1969-12-31T23:59:58Z"}]"#;
    assert_eq!(taken(Form::Json, number, array), both);
    let lines = "{\"time\":1764400000000001,\"value\":-0}\r\n\n  {\"value\":1e3,\"time\":\"1969-12-31T23:59:58Z\"}";
    assert_eq!(taken(Form::Ndjson, number, lines), both);
}

#[test]
fn the_token_of_a_value_is_kept_as_it_was_written() {
    let one = |value_type, body: &str| taken(Form::Json, value_type, body).remove(0).1;
    assert_eq!(one(ValueType::Number, r#"{"value":1016.60}"#), b"1016.60");
    // A field of a CSV file.
    assert_eq!(one(ValueType::Number, r#"{"value":" 7.50 "}"#), b"7.50");
    assert_eq!(
        one(ValueType::Json, r#"{"value": {"b":1.0, "a" :[ ]}}"#),
        br#"{"b":1.0, "a" :[ ]}"#
    );
    assert_eq!(one(ValueType::Json, r#"{"value":null}"#), b"null");
    assert_eq!(one(ValueType::Json, r#"{"value":"5"}"#), br#""5""#);
    assert_eq!(
        one(ValueType::Text, r#"{"value":" a\n\u00e9\"😀 "}"#),
        " a\né\"😀 ".as_bytes()
    );
    assert_eq!(one(ValueType::Bytes, r#"{"value":"AP8="}"#), b"\x00\xff");
    assert_eq!(one(ValueType::Bytes, r#"{"value":""}"#), b"");
}

#[test]
fn a_bad_item_is_refused_with_what_is_wrong() {
    use ValueType::{Bytes, Json, Number, Text};
    for (value_type, item, what) in [
        (Number, r#"{"value":"x"}"#, "is not a number"),
        (
            Number,
            r#"{"value":"1e999"}"#,
            "is beyond the largest number",
        ),
        (Number, r#"{"value":true}"#, "is not a number"),
        (Number, r#"{"value":null}"#, "is not a number"),
        (Number, r#"{"value":""}"#, "is not a number"),
        (Number, r#"{}"#, "missing field `value`"),
        (Number, r#"{"value":1,"tiem":5}"#, "unknown field `tiem`"),
        (Number, r#"{"value":1,"value":2}"#, "duplicate field"),
        (
            Number,
            r#"{"value":1,"time":1764400000}"#,
            "the time `1764400000` looks like seconds",
        ),
        (
            Number,
            r#"{"value":1,"time":1764400000.5}"#,
            "looks like seconds",
        ),
        (
            Number,
            r#"{"value":1,"time":1764400000123}"#,
            "looks like milliseconds",
        ),
        (
            Number,
            r#"{"value":1,"time":1764400000123456789}"#,
            "looks like nanoseconds",
        ),
        (Number, r#"{"value":1,"time":0}"#, "no time between 1990"),
        (
            Number,
            r#"{"value":1,"time":null}"#,
            "the time is null, which is no time",
        ),
        (
            Number,
            r#"{"value":1,"time":true}"#,
            "the time `true` is neither",
        ),
        (
            Number,
            r#"{"value":1,"time":1,"time_unit":"h"}"#,
            "unknown variant `h`",
        ),
        (
            Number,
            r#"{"value":1,"time":99999999999999999999}"#,
            "no time between 1990",
        ),
        (
            Number,
            r#"{"value":1,"time":"2024-05-01T12:30:60Z"}"#,
            "second 60",
        ),
        (
            Number,
            r#"{"time":1,"time":2,"value":1}"#,
            "duplicate field",
        ),
        (Json, r#"{"value":{"a":1,"a":2}}"#, "key \"a\" twice"),
        (Json, r#"{"value":"\ud800"}"#, "half of a surrogate pair"),
        (
            Json,
            r#"{"value":[{"\udc00":1}]}"#,
            "half of a surrogate pair",
        ),
        (Json, r#"{"value":1e400}"#, "beyond any double"),
        (Json, r#"{"value":{"a":[-1e400]}}"#, "beyond any double"),
        (Number, r#"{"value":"NaN"}"#, "is not a finite number"),
        (Number, r#"{"value":"-Infinity"}"#, "is not a finite number"),
        (Number, "5", "is not an object"),
        (Text, r#"{"value":5}"#, "is not a JSON string"),
        (Text, r#"{"value":"\ud800"}"#, "is not a JSON string"),
        (Bytes, r#"{"value":"AP8"}"#, "is not base64"),
        (Bytes, r#"{"value":[1]}"#, "is not a JSON string"),
        (Json, r#"{"time":1}"#, "missing field `value`"),
    ] {
        let complaint = complaint(value_type, item);
        assert!(complaint.contains(what), "{item}: {complaint}");
        assert!(!complaint.contains("line 1"), "{item}: {complaint}");
    }
    // Chunks of 4,096 records take values of 256 bytes.
    let long = format!(r#"{{"value":"{}"}}"#, "x".repeat(257));
    assert!(complaint(Text, &long).contains("257 bytes, more than the 256"));
    // A struct could be read by the places of its fields.
    for (form, body) in [
        (Form::Json, r#"[["1970-01-01T00:00:00Z",5]]"#),
        (Form::Json, r#"[[1764400000000000,null,5]]"#),
        (Form::Ndjson, "[1764400000000000,5]"),
        (Form::Ndjson, r#"[1764400000000000,"us",5]"#),
    ] {
        let error = read(form, Number, body).unwrap_err();
        let detail = &error.items[0].detail;
        assert!(detail.contains("is not an object"), "{body}: {detail}");
    }
}

#[test]
fn every_bad_item_is_named_by_its_place_and_nothing_is_taken() {
    let lines = "{\"value\":1}\n\n{\"value\":\"x\"}\nnonsense\n{\"value\":2}\n{\"valu\":2}\n";
    let error = read(Form::Ndjson, ValueType::Number, lines).unwrap_err();
    let places: Vec<_> = error.items.iter().map(|e| e.place).collect();
    assert_eq!(places, [2, 3, 5]);
    assert!(error.detail.starts_with("3 of 5 observations are bad"));

    let many = "{}\n".repeat(MAX_LISTED_ERRORS + 5);
    let error = read(Form::Ndjson, ValueType::Number, &many).unwrap_err();
    assert_eq!(error.items.len(), MAX_LISTED_ERRORS);
    assert!(error.detail.contains("1005 of 1005"), "{}", error.detail);
}

#[test]
fn a_body_that_cannot_be_read_is_refused_as_a_whole() {
    for body in [
        "",
        "x",
        "[",
        r#"[{"value":1},]"#,
        r#"[{"value":1}] x"#,
        r#"{"value":1}{"value":2}"#,
    ] {
        let error = read(Form::Json, ValueType::Number, body).unwrap_err();
        assert_eq!(error.why, Why::Bad, "{body}");
        assert!(error.detail.contains("not JSON"), "{body}");
    }
    for (form, body) in [
        (Form::Json, "[]"),
        (Form::Ndjson, ""),
        (Form::Ndjson, "\n \n"),
    ] {
        let error = read(form, ValueType::Number, body).unwrap_err();
        assert!(error.detail.contains("no observations"));
    }
    let text = manifest(ValueType::Text);
    let error = observations(Form::Json, b"[\xff", &text, NOW, Terms::default()).unwrap_err();
    assert!(error.detail.contains("not UTF-8 at byte 1"));
}

#[test]
fn more_than_one_request_may_carry_is_refused() {
    let taken = |form, body: &str| {
        let read = read(form, ValueType::Number, body);
        read.map(|records| records.len()).map_err(|error| error.why)
    };
    let item = "{\"value\":1}";
    let most = vec![item; MAX_PUBLISH_RECORDS];
    assert_eq!(
        taken(Form::Ndjson, &most.join("\n")),
        Ok(MAX_PUBLISH_RECORDS)
    );
    assert_eq!(
        taken(Form::Json, &format!("[{}]", most.join(","))),
        Ok(MAX_PUBLISH_RECORDS)
    );
    let more = vec![item; MAX_PUBLISH_RECORDS + 1];
    assert_eq!(taken(Form::Ndjson, &more.join("\n")), Err(Why::TooLarge));
    // What follows is not read any more.
    assert_eq!(
        taken(Form::Json, &format!("[{},nonsense", more.join(","))),
        Err(Why::TooLarge)
    );

    let mut large = manifest(ValueType::Text);
    large.chunk_level = 0;
    let megabyte = format!("{{\"value\":\"{}\"}}\n", "x".repeat(1 << 20));
    let error = observations(
        Form::Ndjson,
        megabyte.repeat(16).as_bytes(),
        &large,
        NOW,
        Terms::default(),
    );
    assert_eq!(error.unwrap_err().why, Why::TooLarge);
    let fits = observations(
        Form::Ndjson,
        megabyte.repeat(15).as_bytes(),
        &large,
        NOW,
        Terms::default(),
    );
    assert_eq!(fits.unwrap().records.len(), 15);
}

#[test]
fn the_unit_of_times_is_said_by_the_item_or_by_the_address() {
    let times = |body: &str, unit| {
        let incoming = incoming(Form::Ndjson, ValueType::Number, body, unit).unwrap();
        let times = incoming.records.iter().map(|record| record.time().0);
        times.collect::<Vec<_>>()
    };
    let items = "{\"time\":1764400000.0000019,\"value\":1}\n\
                 {\"time\":1764400000123456789,\"time_unit\":\"ns\",\"value\":1}\n\
                 {\"time\":\"2025-11-29 07:06:40\",\"value\":1}\n{\"time\":\"1h\",\"value\":1}";
    let seconds = times(items, Some(Unit::Seconds));
    let expected = [1, 123_456, 0, -3_600_000_000].map(|us| NOW.0 + us);
    assert_eq!(seconds, expected);
}

#[test]
fn what_is_not_quite_kept_as_it_was_given_is_said_once() {
    let notes = |body: &str| {
        incoming(Form::Json, ValueType::Number, body, None)
            .unwrap()
            .notes
    };
    assert!(notes(r#"[{"value":1},{"time":"2025-11-30T00:00:00Z","value":"2"}]"#).is_empty());
    let said = notes(
        r#"[{"time":"2016-12-31T23:59:60.5","value":"+3"},{"time":"2099-01-01","value":".5"},
            {"time":"2024-05-01T12:00:00.0981234Z","value":1}]"#,
    );
    assert_eq!(said.len(), 5, "{said:?}");
    assert_eq!(said[0], "2 times without a zone were taken as UTC");
    assert_eq!(
        said[3],
        "1 time lies in the future: 2099-01-01T00:00:00.000000Z"
    );
    assert_eq!(said[4], "2 numbers are kept as JSON writes them");
}

#[test]
fn a_number_is_kept_as_json_writes_it() {
    for (given, kept) in [("+3", "3"), (" .5 ", "0.5"), ("007", "7"), ("-5.", "-5")] {
        let body = format!(r#"{{"value":"{given}"}}"#);
        let kept = kept.as_bytes().to_vec();
        assert_eq!(
            taken(Form::Json, ValueType::Number, &body)[0].1,
            kept,
            "{given}"
        );
    }
}

#[test]
fn a_byte_order_mark_is_no_part_of_a_body_and_gzip_is_named() {
    let body = "\u{feff}{\"value\":1}\n";
    for form in [Form::Json, Form::Ndjson] {
        assert_eq!(taken(form, ValueType::Number, body).len(), 1);
        let gzip = [0x1f, 0x8b, 8, 0, 0];
        let error = observations(
            form,
            &gzip,
            &manifest(ValueType::Text),
            NOW,
            Terms::default(),
        )
        .unwrap_err();
        assert_eq!(error.why, Why::OtherForm);
        assert!(error.detail.contains("gzip"));
    }
}

#[test]
fn json_that_is_too_deep_is_refused() {
    let long = Manifest {
        chunk_level: 0,
        ..manifest(ValueType::Json)
    };
    let read = |depth| {
        let (open, close) = ("[".repeat(depth), "]".repeat(depth));
        let body = format!("{{\"value\":{open}1{close}}}");
        observations(Form::Json, body.as_bytes(), &long, NOW, Terms::default())
    };
    assert!(read(128).is_ok());
    for depth in [129, 100_000] {
        let error = read(depth).unwrap_err();
        let detail = &error.items[0].detail;
        assert!(detail.contains("more than 128"), "{detail}");
    }
}

proptest! {
    #[test]
    fn any_body_is_read_or_refused_without_panic(body in "[\\[\\]{}\":,a1valuetim\\\\ \n]{0,60}") {
        for form in [Form::Json, Form::Ndjson] {
            let _ = read(form, ValueType::Json, &body);
        }
    }

    /// What one node exports as NDJSON, another one publishes as it was.
    #[test]
    fn an_exported_value_comes_back_as_the_same_token(
        number in "-?(0|[1-9][0-9]{0,4})(\\.[0-9]{1,3})?(e-?[0-9])?",
        text in ".{0,20}",
        bytes in prop::collection::vec(any::<u8>(), 0..30),
        // Beyond the year 9999 some look like other units, and are refused.
        // The texts of the years before 1000 need a number and its unit.
        time in prop_oneof![
            i64::MIN..-62_167_219_200_000_000,
            -30_610_224_000_000_000_i64..600_000_000_000_000_000,
            4_200_000_000_000_000_000_i64..,
        ],
    ) {
        for (value_type, value) in [
            (ValueType::Number, number.as_bytes()),
            (ValueType::Text, text.as_bytes()),
            (ValueType::Bytes, &bytes[..]),
        ] {
            let record = Record::new(Timestamp(time), value);
            let mut line = Vec::new();
            RecordObject::new(value_type).put(&mut line, 0, &record);
            let line = String::from_utf8(line).unwrap().replacen("\"index\":0,", "", 1);
            let read = read(Form::Json, value_type, &line);
            prop_assert_eq!(read.unwrap(), [record]);
        }
    }
}

#[test]
fn an_ordered_stream_takes_times_far_ahead_only_where_they_are_meant() {
    let mut ordered = manifest(ValueType::Number);
    let lines = r#"{"time":"2025-11-29T12:00:00Z","value":1}
{"value":2}
{"time":"2099-01-01","value":3}"#;
    let read = |manifest: &Manifest, far_ahead| {
        let time_unit = None;
        let terms = Terms {
            time_unit,
            far_ahead,
        };
        observations(Form::Ndjson, lines.as_bytes(), manifest, NOW, terms)
    };
    assert_eq!(read(&ordered, false).unwrap().records.len(), 3);
    ordered.ordered = true;
    let error = read(&ordered, false).unwrap_err();
    let [one] = &error.items[..] else {
        panic!("{error:?}");
    };
    assert_eq!((error.why, one.place), (Why::Bad, 2));
    assert!(one.detail.contains("2099-01-01") && one.detail.contains("far_ahead=true"));
    assert_eq!(read(&ordered, true).unwrap().records.len(), 3);
}
