use headwater_protocols::identity::SigningKey;
use headwater_protocols::manifest::Visibility;
use proptest::prelude::*;

use super::*;

const NOW: Timestamp = Timestamp(77);

fn manifest(value_type: ValueType) -> Manifest {
    Manifest {
        publisher: SigningKey::from_secret(&mut [1; 32]).public(),
        name: "x".to_owned(),
        description: String::new(),
        source: String::new(),
        target: None,
        unit: String::new(),
        value_type,
        cadence_us: 0,
        chunk_level: 12,
        prior: None,
        visibility: Visibility::Public,
        retain_us: 0,
        retain_records: 0,
        created: NOW,
    }
}

fn read(form: Form, value_type: ValueType, body: &str) -> Result<Vec<Record>, ApiError> {
    observations(form, body.as_bytes(), &manifest(value_type), NOW)
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
    assert_eq!(error.problem().status, 400, "{item}");
    let [one] = &error.problem().errors[..] else {
        panic!("{item}: {:?}", error.problem());
    };
    assert_eq!(one.place, 0);
    one.detail.clone()
}

#[test]
fn an_object_an_array_and_lines_are_read_alike() {
    let number = ValueType::Number;
    assert_eq!(
        taken(Form::Json, number, r#" {"value": 1.50 } "#),
        [(77, b"1.50".to_vec())]
    );
    let both = [(1, b"-0".to_vec()), (-2_000_000, b"1e3".to_vec())];
    let array = r#"[{"time":1,"value":-0}, {"value":1e3,"time":"1969-12-31T23:59:58Z"}]"#;
    assert_eq!(taken(Form::Json, number, array), both);
    let lines =
        "{\"time\":1,\"value\":-0}\r\n\n  {\"value\":1e3,\"time\":\"1969-12-31T23:59:58Z\"}";
    assert_eq!(taken(Form::Ndjson, number, lines), both);
    assert_eq!(
        taken(Form::Json, number, r#"{"time":null,"value":5}"#)[0].0,
        77
    );
}

#[test]
fn the_token_of_a_value_is_kept_as_it_was_written() {
    let one = |value_type, body: &str| taken(Form::Json, value_type, body).remove(0).1;
    assert_eq!(one(ValueType::Number, r#"{"value":1016.60}"#), b"1016.60");
    // A field of a CSV file.
    assert_eq!(
        one(ValueType::Number, r#"{"value":" +007.50 "}"#),
        b"+007.50"
    );
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
        (Number, r#"{"value":"1e999"}"#, "is not a finite number"),
        (Number, r#"{"value":true}"#, "is not a number"),
        (Number, r#"{"value":null}"#, "is not a number"),
        (Number, r#"{"value":""}"#, "is not a number"),
        (Number, r#"{}"#, "missing field `value`"),
        (Number, r#"{"value":1,"tiem":5}"#, "unknown field `tiem`"),
        (Number, r#"{"value":1,"value":2}"#, "duplicate field"),
        (
            Number,
            r#"{"value":1,"time":1.5}"#,
            "neither an RFC 3339 string nor an integer",
        ),
        (
            Number,
            r#"{"value":1,"time":99999999999999999999}"#,
            "neither",
        ),
        (
            Number,
            r#"{"value":1,"time":"2024-05-01"}"#,
            "time of day is missing",
        ),
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
    let array_in_array = read(Form::Json, Number, r#"[["1970-01-01T00:00:00Z",5]]"#).unwrap_err();
    assert!(
        array_in_array.problem().errors[0]
            .detail
            .contains("is not an object")
    );
}

#[test]
fn every_bad_item_is_named_by_its_place_and_nothing_is_taken() {
    let lines = "{\"value\":1}\n\n{\"value\":\"x\"}\nnonsense\n{\"value\":2}\n{\"valu\":2}\n";
    let error = read(Form::Ndjson, ValueType::Number, lines).unwrap_err();
    let places: Vec<_> = error.problem().errors.iter().map(|e| e.place).collect();
    assert_eq!(places, [2, 3, 5]);
    assert!(
        error
            .problem()
            .detail
            .starts_with("3 of 5 observations are bad")
    );

    let many = "{}\n".repeat(MAX_LISTED_ERRORS + 5);
    let error = read(Form::Ndjson, ValueType::Number, &many).unwrap_err();
    assert_eq!(error.problem().errors.len(), MAX_LISTED_ERRORS);
    assert!(
        error.problem().detail.contains("1005 of 1005"),
        "{}",
        error.problem().detail
    );
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
        assert_eq!(error.problem().status, 400, "{body}");
        assert!(error.problem().detail.contains("not JSON"), "{body}");
    }
    for (form, body) in [
        (Form::Json, "[]"),
        (Form::Ndjson, ""),
        (Form::Ndjson, "\n \n"),
    ] {
        let error = read(form, ValueType::Number, body).unwrap_err();
        assert!(error.problem().detail.contains("no observations"));
    }
    let error = observations(Form::Json, b"[\xff", &manifest(ValueType::Text), NOW).unwrap_err();
    assert!(error.problem().detail.contains("not UTF-8 at byte 1"));
}

#[test]
fn more_than_one_request_may_carry_is_refused() {
    let status = |form, body: &str| match read(form, ValueType::Number, body) {
        Ok(records) => (201, records.len()),
        Err(error) => (error.problem().status, 0),
    };
    let item = "{\"value\":1}";
    let most = vec![item; MAX_PUBLISH_RECORDS];
    assert_eq!(
        status(Form::Ndjson, &most.join("\n")),
        (201, MAX_PUBLISH_RECORDS)
    );
    assert_eq!(
        status(Form::Json, &format!("[{}]", most.join(","))),
        (201, MAX_PUBLISH_RECORDS)
    );
    let more = vec![item; MAX_PUBLISH_RECORDS + 1];
    assert_eq!(status(Form::Ndjson, &more.join("\n")), (413, 0));
    // What follows is not read any more.
    assert_eq!(
        status(Form::Json, &format!("[{},nonsense", more.join(","))),
        (413, 0)
    );

    let mut large = manifest(ValueType::Text);
    large.chunk_level = 0;
    let megabyte = format!("{{\"value\":\"{}\"}}\n", "x".repeat(1 << 20));
    let error = observations(Form::Ndjson, megabyte.repeat(16).as_bytes(), &large, NOW);
    assert_eq!(error.unwrap_err().problem().status, 413);
    let fits = observations(Form::Ndjson, megabyte.repeat(15).as_bytes(), &large, NOW);
    assert_eq!(fits.unwrap().len(), 15);
}

#[test]
fn the_form_is_told_by_the_content_type() {
    assert_eq!(
        Form::of(Some("Application/X-NDJSON; charset=utf-8")),
        Form::Ndjson
    );
    assert_eq!(Form::of(Some("application/json")), Form::Json);
    assert_eq!(Form::of(None), Form::Json);
}

proptest! {
    /// What one node exports as NDJSON, another one publishes as it was.
    #[test]
    fn an_exported_value_comes_back_as_the_same_token(
        number in prop_oneof!["-?[0-9]{1,5}(\\.[0-9]{1,3})?(e-?[0-9])?", "\\+?0[0-9]{1,3}"],
        text in ".{0,20}",
        bytes in prop::collection::vec(any::<u8>(), 0..30),
        time in any::<i64>(),
    ) {
        for (value_type, value) in [
            (ValueType::Number, number.as_bytes()),
            (ValueType::Text, text.as_bytes()),
            (ValueType::Bytes, &bytes[..]),
        ] {
            let record = Record::new(Timestamp(time), value);
            let mut line = Vec::new();
            crate::export::RecordObject::new(value_type).put(&mut line, 0, &record);
            let line = String::from_utf8(line).unwrap().replacen("\"index\":0,", "", 1);
            prop_assert_eq!(read(Form::Json, value_type, &line), Ok(vec![record]));
        }
    }

    #[test]
    fn any_body_is_read_or_refused_without_panic(body in "[\\[\\]{}\":,a1valuetim\\\\ \n]{0,60}") {
        for form in [Form::Json, Form::Ndjson] {
            let _ = read(form, ValueType::Json, &body);
        }
    }
}
