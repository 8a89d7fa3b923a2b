use headwater_client::cell::{cell, rest};
use proptest::prelude::*;

use super::super::row_object::Observation;
use super::*;

const EVERY: [(&str, ColumnType); 7] = [
    ("a", ColumnType::Number),
    ("n", ColumnType::Integer),
    ("text", ColumnType::Text),
    ("is", ColumnType::Bool),
    ("at", ColumnType::Time),
    ("what", ColumnType::Json),
    ("data", ColumnType::Bytes),
];

fn rules(columns: &[(&str, ColumnType)], takes_more: bool) -> RowRules {
    let columns = columns.iter().map(|&(name, column_type)| RowColumn {
        name: name.to_owned(),
        column_type,
    });
    RowRules::with(columns.collect(), takes_more).unwrap()
}

fn weather() -> RowRules {
    rules(
        &[
            ("temperature", ColumnType::Number),
            ("wind", ColumnType::Integer),
            ("sky", ColumnType::Text),
        ],
        false,
    )
}

fn of_json(rules: &RowRules, json: &str) -> Result<String, String> {
    let json = RawValue::from_string(json.to_owned()).unwrap();
    let row = rules.of_json(&json)?;
    assert!(conforms(rules, &row), "{}", String::from_utf8_lossy(&row));
    Ok(String::from_utf8(row).unwrap())
}

fn of_fields(rules: &RowRules, fields: &[&str]) -> Result<String, String> {
    let row = rules.of_fields(
        fields.iter().map(|field| field.as_bytes()),
        &Fields::default(),
    )?;
    assert!(conforms(rules, &row), "{}", String::from_utf8_lossy(&row));
    Ok(String::from_utf8(row).unwrap())
}

/// Whether a row is one that docs/formats.md lets be signed.
fn conforms(rules: &RowRules, row: &[u8]) -> bool {
    let mut reader = RowReader::default();
    let Some(row) = reader.read(row) else {
        return false;
    };
    let is_cell = |(place, column): (usize, &RowColumn)| {
        let token = row.token(place);
        token.is_some_and(|token| cell(token, column.column_type).is_some())
    };
    let count = rules.columns.len();
    let is_whole = row.len() <= count || rules.takes_more && rest(&row, count).is_some();
    is_whole && rules.columns.iter().enumerate().all(is_cell)
}

#[test]
fn a_row_is_an_object_in_any_order_or_an_array_in_that_of_the_columns() {
    let weather = weather();
    for json in [
        r#"{"temperature":1.50,"wind":3,"sky":"clear"}"#,
        r#"{ "sky" : "clear", "wind" : 3, "temperature" : 1.50 }"#,
        r#"{"s\u006by":"cl\u0065ar","wind":"3","temperature":"1.50"}"#,
        r#"[1.50,3,"clear"]"#,
        "[ 1.50 ,\n3, \"clear\" ]",
    ] {
        let row = of_json(&weather, json);
        assert_eq!(row.as_deref(), Ok(r#"[1.50,3,"clear"]"#), "{json}");
    }
    let row = of_json(&weather, r#"{"wind":-0,"sky":null}"#);
    assert_eq!(row.as_deref(), Ok("[null,-0,null]"));
    assert_eq!(
        of_json(&weather, "[null,null,null]").as_deref(),
        Ok("[null,null,null]")
    );
}

#[test]
fn numbers_and_json_keep_their_tokens_and_all_else_is_written_in_one_way() {
    let every = rules(&EVERY, false);
    let given = r#"{"a":1e-7,"n":9223372036854775807,"text":"S\u00fcd \/ \"7\"\u000a","is":false,
        "at":"2024-05-01T14:00:00.5+02:00","what":{"b":[1.50,
	2]},"data":"AP8\u003d"}"#;
    assert_eq!(
        of_json(&every, given).as_deref(),
        Ok(
            r#"[1e-7,9223372036854775807,"Süd / \"7\"\n",false,"2024-05-01T12:00:00.500000Z",{"b":[1.50, 	2]},"AP8="]"#
                .replace('\t', " ")
                .as_str()
        )
    );
    // A number is microseconds, if it can be meant so.
    let row = of_json(&every, r#"{"at":1714564800000000}"#).unwrap();
    assert!(row.contains("\"2024-05-01T12:00:00.000000Z\""), "{row}");
}

#[test]
fn what_does_not_fit_is_refused_with_the_column_and_the_reason() {
    let weather = weather();
    for (json, why) in [
        (
            r#"{"temperature":"warm"}"#,
            "column `temperature`: `warm` is not a number",
        ),
        (
            r#"{"temperature":true}"#,
            "column `temperature`: `true` is not a number",
        ),
        (r#"{"temperature":[1]}"#, "is not a number"),
        (r#"{"temperature":1e400}"#, "`1e400` is beyond any double"),
        (r#"{"temperature":"NaN"}"#, "`NaN` is not a number"),
        (
            r#"{"wind":1.0}"#,
            "column `wind`: `1.0` is not an integer of 64 bits",
        ),
        (r#"{"wind":9223372036854775808}"#, "is not an integer"),
        (r#"{"sky":7}"#, "column `sky`: `7` is not a text"),
        (r#"{"sky":"\ud800"}"#, "half of a surrogate pair"),
        (
            r#"{"rain":1}"#,
            "there is no column `rain`; there are: temperature, wind, sky",
        ),
        (r#"{"Wind":1}"#, "there is no column `Wind`"),
        (r#"{"wind":1,"w\u0069nd":2}"#, "it has `wind` twice"),
        ("{}", "it has no value for any column"),
        ("[]", "it has 0 values for 3 columns"),
        (
            "[1,2]",
            "it has 2 values for 3 columns (temperature, wind, sky); what is missing is null",
        ),
        (r#"[1,2,"a",4]"#, "it has 4 values for 3 columns"),
        (r#"{"wind":1,"rest":[4]}"#, "more are taken only where"),
        (r#"{"wind":1,"rest":4}"#, "`rest` is not an array"),
        (r#"{"wind":1,"time":"2024-05-01"}"#, "it has a `time`"),
        ("7", "it is no row"),
        (r#""a""#, "it is no row"),
    ] {
        let refused = of_json(&weather, json).unwrap_err();
        assert!(refused.contains(why), "{json}: {refused}");
    }
    let every = rules(&EVERY, false);
    let deep = format!(r#"{{"what":{}}}"#, "[".repeat(128) + &"]".repeat(128));
    for (json, why) in [
        (r#"{"is":"true"}"#, "neither true nor false"),
        (r#"{"is":1}"#, "neither true nor false"),
        (r#"{"at":"noon"}"#, "column `at`: "),
        (r#"{"at":"1h"}"#, "column `at`: "),
        (r#"{"at":1714564800}"#, "looks like seconds"),
        (
            r#"{"at":"2024-05-01T12:00:00.0000001Z"}"#,
            "finer than a microsecond",
        ),
        (r#"{"what":{"b":1,"b":2}}"#, "twice in one object"),
        (r#"{"what":[1e400]}"#, "beyond any double"),
        (&deep, "within each other"),
        (r#"{"data":"AP8"}"#, "is not base64"),
        (r#"{"data":7}"#, "is not base64"),
    ] {
        let refused = of_json(&every, json).unwrap_err();
        assert!(refused.contains(why), "{json}: {refused}");
    }
}

#[test]
fn more_than_the_columns_is_taken_where_a_page_says_what_it_is() {
    let more = rules(&[("a", ColumnType::Number)], true);
    for (json, row) in [
        ("[1]", "[1]"),
        ("[1,\"b\", [2 ,3],null]", "[1,\"b\",[2 ,3],null]"),
        (r#"{"a":1,"rest":["b",2.50]}"#, r#"[1,"b",2.50]"#),
        (r#"{"rest":[2]}"#, "[null,2]"),
        (r#"{"a":1,"rest":[]}"#, "[1]"),
    ] {
        assert_eq!(of_json(&more, json).as_deref(), Ok(row), "{json}");
    }
    for json in [
        r#"[1,{"b":1,"b":2}]"#,
        "[1,1e400]",
        &format!("[{}]", vec!["1"; MAX_ROW_TOKENS + 1].join(",")),
    ] {
        assert!(of_json(&more, json).is_err(), "{json}");
    }
}

#[test]
fn a_field_that_is_empty_is_null_and_others_are_read_by_their_columns() {
    let every = rules(&EVERY, false);
    assert_eq!(
        of_fields(
            &every,
            &[
                ".5",
                " 7.0 ",
                " a ",
                "TRUE",
                "2024-05-01",
                "{\"b\": 1}",
                "AP8="
            ]
        )
        .as_deref(),
        Ok(r#"[0.5,7," a ",true,"2024-05-01T00:00:00.000000Z",{"b": 1},"AP8="]"#)
    );
    for empty in [
        ["", "", "", "", "", "", ""],
        ["NaN", "nan", "", " ", "", "", " "],
    ] {
        let row = of_fields(&every, &empty);
        assert_eq!(row.as_deref(), Ok("[null,null,null,null,null,null,null]"));
    }
    let text = rules(&[("sky", ColumnType::Text)], false);
    assert_eq!(of_fields(&text, &["NaN"]).as_deref(), Ok("[\"NaN\"]"));
    for (place, field, why) in [
        (
            0,
            "n/a",
            "column `a`: `n/a` is not a number; where there is no value, leave the field empty",
        ),
        (0, "1,5", "say --decimal-comma"),
        (0, "1e400", "beyond any double"),
        (1, "7.5", "column `n`: `7.5` is not an integer of 64 bits"),
        (1, "7e2", "is not an integer"),
        (3, "yes", "neither true nor false"),
        (4, "yesterday", "column `at`"),
        (5, "{b}", "column `what`: `{b}` is not JSON"),
        (6, "AP8", "column `data`: `AP8` is not base64"),
    ] {
        let mut fields = [""; 7];
        fields[place] = field;
        let refused = of_fields(&every, &fields).unwrap_err();
        assert!(refused.contains(why), "{field}: {refused}");
    }
    let written = Fields {
        decimal_comma: true,
        ..Fields::default()
    };
    let comma = every.of_fields([&b"1,5"[..]; 1].into_iter().chain([&b""[..]; 6]), &written);
    assert!(comma.unwrap().starts_with(b"[1.5,"));
    let broken = every.of_fields([&b"\xff"[..]; 7].into_iter(), &Fields::default());
    assert!(broken.unwrap_err().contains("column `a` is not UTF-8"));
}

#[test]
fn a_time_without_an_offset_is_of_the_zone_that_was_said() {
    let times = rules(&[("at", ColumnType::Time)], false);
    let berlin: Zone = "Europe/Berlin".parse().unwrap();
    let read = |text: &str, zone| {
        let written = Fields {
            zone,
            ..Fields::default()
        };
        let row = times.of_fields([text.as_bytes()].into_iter(), &written)?;
        Ok::<_, String>(String::from_utf8(row).unwrap())
    };
    for (text, utc, there) in [
        ("2024-05-01 12:00", "2024-05-01T12:00", "2024-05-01T10:00"),
        ("2024-01-01", "2024-01-01T00:00", "2023-12-31T23:00"),
        ("2024-05-01T12:00Z", "2024-05-01T12:00", "2024-05-01T12:00"),
        (
            "2024-05-01T12:00-02:00",
            "2024-05-01T14:00",
            "2024-05-01T14:00",
        ),
        ("1714564800000000", "2024-05-01T12:00", "2024-05-01T12:00"),
    ] {
        let row = |time: &str| Ok(format!("[\"{time}:00.000000Z\"]"));
        assert_eq!(read(text, None), row(utc), "{text}");
        assert_eq!(read(text, Some(&berlin)), row(there), "{text}");
    }
    assert_eq!(read("", Some(&berlin)).as_deref(), Ok("[null]"));
    for (text, why) in [
        ("2024-10-27 02:30", "showed twice; write its offset"),
        ("2024-03-31 02:30", "does not exist in Europe/Berlin"),
        ("2024-05-01 12:00:00.0000001", "finer than a microsecond"),
    ] {
        let refused = read(text, Some(&berlin)).unwrap_err();
        assert!(
            refused.contains("column `at`") && refused.contains(why),
            "{text}: {refused}"
        );
    }
}

#[test]
fn what_a_number_counts_is_not_asked_of_a_column() {
    let times = rules(&[("at", ColumnType::Time)], false);
    for (number, why) in [
        ("1700000000", "looks like seconds"),
        ("1700000000123", "looks like milliseconds"),
        ("-1", "no time between 1990 and 2100"),
    ] {
        let quoted = format!("[\"{number}\"]");
        for refused in [
            of_json(&times, &format!("[{number}]")),
            of_json(&times, &quoted),
            of_fields(&times, &[number]),
        ] {
            let refused = refused.unwrap_err();
            assert!(
                refused.contains(why) && refused.contains("microseconds since 1970"),
                "{refused}"
            );
            // Nothing of the kind is heard here.
            assert!(
                !refused.contains("time_unit") && !refused.contains("--time-unit"),
                "{refused}"
            );
        }
    }
    let read = of_json(&times, "[1714564800000000]");
    assert_eq!(read.as_deref(), Ok("[\"2024-05-01T12:00:00.000000Z\"]"));
}

#[test]
fn an_observation_has_its_row_in_it_or_as_its_value() {
    let weather = weather();
    let row = |json: &str| {
        let read = Observation::parse(&weather, json)?;
        let time = read.time.map(|time| time.get().to_owned());
        Ok::<_, String>((time, String::from_utf8(read.row).unwrap()))
    };
    let expected = (Some("\"2024-05-01\"".to_owned()), "[1,2,null]".to_owned());
    for json in [
        r#"{"time":"2024-05-01","temperature":1,"wind":2}"#,
        r#"{"index":7,"wind":2,"temperature":1,"time":"2024-05-01"}"#,
        r#"{"time":"2024-05-01","value":[1,2,null]}"#,
        r#"{"time":"2024-05-01","value":{"temperature":1,"wind":2}}"#,
    ] {
        assert_eq!(row(json), Ok(expected.clone()), "{json}");
    }
    assert_eq!(row("[1,2,null]"), Ok((None, "[1,2,null]".to_owned())));
    for (json, why) in [
        (r#"{"time":"2024-05-01"}"#, "no value for any column"),
        (r#"{"value":[1,2,null],"wind":2}"#, "leave one off"),
        (r#"{"value":7}"#, "it is no row"),
        (r#"{"value":{"value":[1,2,null]}}"#, "no column `value`"),
        (r#"{"wind":2,"token":"x"}"#, "no column `token`"),
        (r#"{"wind":2,"time":1,"time":1}"#, "`time` twice"),
        (r#"{"wind":2,"time":1,"time_unit":"h"}"#, "time_unit: "),
        (r#"{"wind":2"#, "EOF"),
        ("x", "neither an object"),
    ] {
        let refused = row(json).unwrap_err();
        assert!(refused.contains(why), "{json}: {refused}");
    }
    // A column of that name is a column.
    let valued = rules(
        &[("value", ColumnType::Json), ("quality", ColumnType::Text)],
        false,
    );
    let read = Observation::parse(&valued, r#"{"value":[1,"a"]}"#).unwrap();
    assert_eq!(read.row, br#"[[1,"a"],null]"#);
    let mut fields = Vec::new();
    valued.put_fields(&mut fields, br#"[[1,"a"],"ok"]"#);
    assert_eq!(fields, br#""value":[1,"a"],"quality":"ok""#);
}

proptest! {
    #[test]
    fn whatever_is_taken_conforms(
        json in "[\\[{]([0-9.eE+-]{1,4}|\"[a-z\\\\u0-9é]{0,4}\"|,|:|\\[|\\]|null|true| |\"(a|n|text|is|at|what|data|rest)\":){0,12}[\\]}]",
        fields in prop::collection::vec("[0-9.eE+a-zT:Z=\"\\\\{}\\[\\] é-]{0,12}", 7),
    ) {
        let every = rules(&EVERY, true);
        if let Ok(json) = RawValue::from_string(json)
            && let Ok(row) = every.of_json(&json)
        {
            prop_assert!(conforms(&every, &row), "{}", json);
        }
        let fields: Vec<_> = fields.iter().map(String::as_str).collect();
        let _ = of_fields(&every, &fields);
    }
}

#[test]
fn a_record_that_is_shown_is_the_value_that_was_signed() {
    let more = rules(&[("a", ColumnType::Number), ("at", ColumnType::Time)], true);
    let signed = |shown: &str| {
        let shown = RawValue::from_string(shown.to_owned()).unwrap();
        String::from_utf8(more.as_signed(&shown).unwrap()).unwrap()
    };
    for (shown, row) in [
        (r#"{"a":1.50,"at":null,"rest":null}"#, "[1.50,null]"),
        (
            r#"{"a":1,"at":-1,"rest":[{"b": 1},2]}"#,
            r#"[1,-1,{"b": 1},2]"#,
        ),
        (
            r#"{"a":null,"at":null,"rest":null,"token":"[\"x\",1.5]"}"#,
            r#"["x",1.5]"#,
        ),
        (r#"{"a":null,"at":null,"token":"7"}"#, "7"),
    ] {
        assert_eq!(signed(shown), row);
    }
    let none = r#"{"a":1,"rest":null}"#;
    assert_eq!(of_json(&more, none).as_deref(), Ok("[1,null]"));
    assert!(of_json(&more, r#"{"rest":null}"#).is_err());
}
