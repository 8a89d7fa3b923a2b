use arrow_schema::{DataType, TimeUnit};
use headwater_protocols::id::LogId;
use headwater_protocols::identity::SigningKey;
use headwater_protocols::manifest::{Column, NONCE_BYTES};
use headwater_protocols::record::Record;
use headwater_protocols::time::Timestamp;
use proptest::prelude::*;

use super::*;
use crate::rows::{ParquetRows, RowsError, csv_rows};
use crate::{Encoder, Format};

fn shape(columns: &[(&str, ColumnType)], has_about: bool) -> Shape {
    let publisher = SigningKey::from_secret(&mut [1; 32]).public();
    let columns = columns.iter().map(|&(name, column_type)| Column {
        name: name.to_owned(),
        unit: String::new(),
        column_type,
        description: String::new(),
    });
    Shape::of(&Manifest {
        value_type: ValueType::Json,
        columns: columns.collect(),
        about: has_about.then_some(LogId([9; 32])),
        ..Manifest::new(publisher, "weather", [7; NONCE_BYTES])
    })
}

fn weather(has_about: bool) -> Shape {
    shape(
        &[
            ("temperature", ColumnType::Number),
            ("sky", ColumnType::Text),
            ("at", ColumnType::Time),
        ],
        has_about,
    )
}

fn written(format: Format, shape: &Shape, values: &[&[u8]]) -> Vec<u8> {
    let mut out = Vec::new();
    let mut encoder = Encoder::begin(format, shape.clone(), &mut out).unwrap();
    for (index, value) in (0..).zip(values) {
        let record = Record::new(Timestamp(0), value);
        encoder.record(index, &record).unwrap();
    }
    encoder.finish().unwrap();
    out
}

fn lines(format: Format, shape: &Shape, values: &[&[u8]]) -> Vec<String> {
    let text = String::from_utf8(written(format, shape, values)).unwrap();
    let short = text.replace("1970-01-01T00:00:00.000000Z", "T");
    short.lines().map(ToOwned::to_owned).collect()
}

/// The values that a CSV file has.
fn read_again(shape: &Shape, csv: &[u8]) -> Result<Vec<Vec<u8>>, RowsError> {
    let mut values = Vec::new();
    csv_rows(csv, shape.clone(), |index, record| {
        assert_eq!((index, record.time()), (values.len() as u64, Timestamp(0)));
        values.push(record.value().to_vec());
        Ok::<_, RowsError>(())
    })?;
    Ok(values)
}

/// The values that a Parquet file with a proof has.
fn through_parquet(shape: &Shape, values: &[&[u8]]) -> Result<Vec<Vec<u8>>, RowsError> {
    let mut file = tempfile::tempfile().unwrap();
    let mut encoder = Encoder::begin_proved(shape.clone(), "a proof", &mut file).unwrap();
    for (index, value) in (0..).zip(values) {
        let record = Record::new(Timestamp(-1), value);
        encoder.record(index, &record).unwrap();
    }
    encoder.finish().unwrap();
    std::io::Seek::rewind(&mut file).unwrap();
    let mut read = Vec::new();
    let file = ParquetRows::open(file)?;
    assert_eq!(file.proof(), Some("a proof"));
    file.rows(shape.clone(), |index, record| {
        assert_eq!((index, record.time()), (read.len() as u64, Timestamp(-1)));
        read.push(record.value().to_vec());
        Ok::<_, RowsError>(())
    })?;
    Ok(read)
}

#[test]
fn arrow_has_a_typed_column_of_each() {
    let columns = [
        ("a", ColumnType::Number),
        ("n", ColumnType::Integer),
        ("text", ColumnType::Text),
        ("is", ColumnType::Bool),
        ("at", ColumnType::Time),
        ("what", ColumnType::Json),
        ("data", ColumnType::Bytes),
    ];
    let values: &[&[u8]] = &[
        br#"[12.5,9007199254740993,"a",true,"1970-01-01T00:00:00.000001Z",{"b": 1},"AP8="]"#,
        b"[1.50,null,7,null,null,null,null]",
    ];
    for (format, has_rest) in [(Format::Arrow, false), (Format::Feather, true)] {
        let bytes = written(format, &shape(&columns, has_rest), values);
        let read = std::io::Cursor::new(bytes);
        let batch = match format {
            Format::Arrow => {
                let reader = arrow_ipc::reader::StreamReader::try_new(read, None);
                reader.unwrap().next().unwrap().unwrap()
            }
            _ => {
                let reader = arrow_ipc::reader::FileReader::try_new(read, None);
                reader.unwrap().next().unwrap().unwrap()
            }
        };
        let schema = batch.schema();
        let fields = schema.fields().iter();
        let fields: Vec<_> = fields
            .map(|field| (&**field.name(), field.data_type().clone()))
            .collect();
        let time = || DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()));
        let mut wanted = vec![
            ("index", DataType::UInt64),
            ("time", time()),
            ("a", DataType::Float64),
            ("n", DataType::Int64),
            ("text", DataType::Utf8),
            ("is", DataType::Boolean),
            ("at", time()),
            ("what", DataType::Utf8),
            ("data", DataType::Binary),
            ("token", DataType::Utf8),
        ];
        if has_rest {
            wanted.insert(9, ("rest", DataType::Utf8));
        }
        assert_eq!(fields, wanted);
        let nulls: Vec<_> = batch.columns().iter().map(|c| c.null_count()).collect();
        assert_eq!(nulls[..9], [0, 0, 0, 1, 1, 1, 1, 1, 1]);
        // The first row is given back by its cells.
        assert_eq!(nulls.last(), Some(&1));
    }
}

#[test]
fn csv_has_a_field_for_each_cell_and_the_whole_row_where_these_are_not_enough() {
    let values: &[&[u8]] = &[
        br#"[12.5,"a \"b\"","2024-05-01T12:00:00.000000Z"]"#,
        br#"[1.50,"",null]"#,
        br#"[null,null,9223372036854775807]"#,
        br#"["warm","a","2024-05-01T14:00:00+02:00"]"#,
        br#"[1,"a"]"#,
        br#"[1,"a",null,2]"#,
        b"calm",
    ];
    assert_eq!(
        lines(Format::Csv, &weather(false), values),
        [
            "index,time,temperature,sky,at,token",
            r#"0,T,12.5,"a ""b""",2024-05-01T12:00:00.000000Z,"#,
            r#"1,T,1.5,"",,"[1.50,"""",null]""#,
            r#"2,T,,,9223372036854775807,"#,
            r#"3,T,,a,2024-05-01T12:00:00.000000Z,"[""warm"",""a"",""2024-05-01T14:00:00+02:00""]""#,
            r#"4,T,1,a,,"[1,""a""]""#,
            r#"5,T,1,a,,"[1,""a"",null,2]""#,
            "6,T,,,,calm",
        ]
    );
    let with_rest = lines(Format::Csv, &weather(true), values);
    assert_eq!(with_rest[0], "index,time,temperature,sky,at,rest,token");
    assert_eq!(
        with_rest[1],
        r#"0,T,12.5,"a ""b""",2024-05-01T12:00:00.000000Z,,"#
    );
    assert_eq!(with_rest[6], "5,T,1,a,,[2],");
    for has_about in [false, true] {
        let shape = weather(has_about);
        let csv = written(Format::Csv, &shape, values);
        assert_eq!(read_again(&shape, &csv).unwrap(), values);
    }
}

#[test]
fn json_has_the_tokens_as_they_were_given_and_a_text_of_what_is_no_row() {
    let values: &[&[u8]] = &[
        br#"[1.50,"\u0041","2024-05-01T14:00:00+02:00"]"#,
        b"[null,null,null]",
        br#"["warm","a",null]"#,
        br#"[1,"a",null,{"b": 1}]"#,
        b"[1,",
        b"\xff\n",
    ];
    let shown = |line: &str, fields: &str| format!(r#"{{"index":{line},"time":"T",{fields}}}"#);
    assert_eq!(
        lines(Format::Ndjson, &weather(false), values),
        [
            shown(
                "0",
                r#""temperature":1.50,"sky":"\u0041","at":"2024-05-01T14:00:00+02:00""#
            ),
            shown("1", r#""temperature":null,"sky":null,"at":null"#),
            shown(
                "2",
                r#""temperature":null,"sky":"a","at":null,"token":"[\"warm\",\"a\",null]""#
            ),
            shown(
                "3",
                r#""temperature":1,"sky":"a","at":null,"token":"[1,\"a\",null,{\"b\": 1}]""#
            ),
            shown(
                "4",
                r#""temperature":null,"sky":null,"at":null,"token":"[1,""#
            ),
            shown(
                "5",
                "\"temperature\":null,\"sky\":null,\"at\":null,\"token\":\"\u{fffd}\\n\""
            ),
        ]
    );
    let with_rest = lines(Format::Ndjson, &weather(true), values);
    assert_eq!(
        with_rest[3],
        shown(
            "3",
            r#""temperature":1,"sky":"a","at":null,"rest":[{"b": 1}]"#
        )
    );
    assert_eq!(
        with_rest[1],
        shown(
            "1",
            r#""temperature":null,"sky":null,"at":null,"rest":null"#
        )
    );
    let json = written(Format::Json, &weather(true), values);
    let json: serde_json::Value = serde_json::from_slice(&json).unwrap();
    assert_eq!(json[3]["rest"][0]["b"], 1);
}

#[test]
fn some_columns_alone_are_written_in_the_order_in_which_they_are_named() {
    let values: &[&[u8]] = &[br#"[1.50,"a",null,2]"#, b"calm", b"[1]"];
    let chosen = |names: &[&str]| weather(true).chosen(names);
    let two = chosen(&["sky", "temperature"]).unwrap();
    assert_eq!(two.chosen_names(), Some(vec!["sky", "temperature"]));
    assert_eq!(weather(true).chosen_names(), None);
    assert_eq!(
        lines(Format::Csv, &two, values),
        ["index,time,sky,temperature", "0,T,a,1.5", "1,T,,", "2,T,,1"]
    );
    assert_eq!(
        lines(Format::Ndjson, &chosen(&["at", "rest"]).unwrap(), values),
        [
            r#"{"index":0,"time":"T","at":null,"rest":[2]}"#,
            r#"{"index":1,"time":"T","at":null,"rest":null}"#,
            r#"{"index":2,"time":"T","at":null,"rest":null}"#,
        ]
    );
    for (names, why) in [
        (
            &["rain"][..],
            "there is no column `rain`; there are: temperature, sky, at, rest",
        ),
        (&["sky", "sky"], "column `sky` is said twice"),
        (&["rest", "sky"], "`rest` stands behind"),
        (&[""], "no column ``"),
    ] {
        let refused = chosen(names).unwrap_err();
        assert!(refused.contains(why), "{names:?}: {refused}");
    }
    assert!(Shape::One(ValueType::Number).chosen(&["value"]).is_err());
}

#[test]
fn names_of_columns_are_quoted_where_they_must_be() {
    let shape = shape(&[("a \"b\",\n", ColumnType::Bool)], false);
    let csv = written(Format::Csv, &shape, &[b"[true]"]);
    assert!(csv.starts_with(b"index,time,\"a \"\"b\"\",\n\",token\n"));
    assert_eq!(read_again(&shape, &csv).unwrap(), [b"[true]"]);
    let json = written(Format::Ndjson, &shape, &[b"[true]"]);
    let json: serde_json::Value = serde_json::from_slice(&json).unwrap();
    assert_eq!(json["a \"b\",\n"], true);
}

#[test]
fn a_file_that_was_not_written_here_is_refused_with_its_line() {
    let shape = weather(false);
    let head = "index,time,temperature,sky,at,token\n";
    for (rest, why) in [
        (
            "0,1970-01-01T00:00:00Z,1,a",
            "line 2 cannot be read: it does not end",
        ),
        (
            "0,1970-01-01T00:00:00Z,\"1,a,,\n",
            "line 2 cannot be read: it does not end",
        ),
        (
            "x,1970-01-01T00:00:00Z,1,a,,\n",
            "line 2 cannot be read: its index",
        ),
        ("0,never,1,a,,\n", "line 2 cannot be read: its time"),
        (
            "0,1970-01-01T00:00:00Z,1,a,,,\n",
            "line 2 cannot be read: it has another number",
        ),
        (
            "0,1970-01-01T00:00:00Z,1,\"a\nb\",,\n1\n",
            "line 4 cannot be read: it has too few",
        ),
    ] {
        let refused = read_again(&shape, format!("{head}{rest}").as_bytes()).unwrap_err();
        assert!(refused.to_string().contains(why), "{rest}: {refused}");
    }
}

#[derive(serde::Deserialize)]
struct Vectors {
    rows: Vec<Vector>,
}

#[derive(serde::Deserialize)]
struct Vector {
    value: String,
    shown: String,
    columns: Vec<String>,
    about: bool,
    gives_back: Option<bool>,
}

#[test]
fn every_row_of_the_document_comes_back_from_csv_and_has_its_token_where_it_must() {
    let vectors = include_str!("../../../../docs/vectors/rows.json");
    let vectors: Vectors = serde_json::from_str(vectors).unwrap();
    for vector in &vectors.rows {
        let value = data_encoding::HEXLOWER
            .decode(vector.value.as_bytes())
            .unwrap();
        let names: Vec<_> = (0..vector.columns.len()).map(|n| format!("c{n}")).collect();
        let columns: Vec<_> = (names.iter().zip(&vector.columns))
            .map(|(name, word)| {
                let is_it = |known: &ColumnType| known.word() == word;
                (&**name, ColumnType::all().into_iter().find(is_it).unwrap())
            })
            .collect();
        let shape = shape(&columns, vector.about);
        let csv = written(Format::Csv, &shape, &[&value]);
        assert_eq!(
            read_again(&shape, &csv).unwrap(),
            [&*value],
            "{}",
            vector.shown
        );
        let read = through_parquet(&shape, &[&value]).unwrap();
        assert_eq!(read, [&*value], "{}", vector.shown);
        let has_token = !csv.ends_with(b",\n");
        assert_eq!(
            has_token,
            vector.gives_back != Some(true),
            "{}",
            vector.shown
        );
    }
}

proptest! {
    #[test]
    fn any_value_comes_back_from_csv_and_is_json_in_json(
        values in prop::collection::vec(
            prop_oneof![
                "\\[(-?[0-9.e]{1,5}|null),\"[ -~é]{0,8}\",(null|-?[0-9]{1,18})(,[0-9\"a\\[\\]]{0,4})?\\]".prop_map(String::into_bytes),
                prop::collection::vec(any::<u8>(), 0..20),
            ],
            0..5,
        ),
        has_about in any::<bool>(),
    ) {
        let shape = weather(has_about);
        let values: Vec<&[u8]> = values.iter().map(|value| &**value).collect();
        let csv = written(Format::Csv, &shape, &values);
        prop_assert_eq!(read_again(&shape, &csv).unwrap(), values.clone());
        prop_assert_eq!(through_parquet(&shape, &values).unwrap(), values.clone());
        let json = written(Format::Json, &shape, &values);
        let json: Vec<serde_json::Value> = serde_json::from_slice(&json).unwrap();
        prop_assert_eq!(json.len(), values.len());
    }
}
