use headwater_protocols::row::RowReader;

use super::*;

/// The cell of a token, and the token that it has.
fn read(column_type: ColumnType, json: &str) -> Option<(Cell<'static>, String)> {
    let mut reader = RowReader::default();
    let value = format!("[{json}]");
    let row = reader.read(value.as_bytes()).expect("it is a row");
    let cell = cell(row.token(0).unwrap(), column_type)?;
    let mut out = Vec::new();
    TokenWriter::default().put(&mut out, &cell);
    let cell = match cell {
        Cell::Text(text) => Cell::Text(text.into_owned().into()),
        Cell::Json(_) => Cell::Missing,
        Cell::Missing => Cell::Missing,
        Cell::Number(number) => Cell::Number(number),
        Cell::Integer(number) => Cell::Integer(number),
        Cell::Bool(is_so) => Cell::Bool(is_so),
        Cell::Time(time) => Cell::Time(time),
        Cell::Bytes(bytes) => Cell::Bytes(bytes),
    };
    Some((cell, String::from_utf8(out).unwrap()))
}

#[test]
fn a_token_is_the_cell_of_its_column_and_the_other_way_round() {
    for (column_type, token, cell) in [
        (ColumnType::Number, "12.5", Cell::Number(12.5)),
        (ColumnType::Number, "-0", Cell::Number(-0.0)),
        (
            ColumnType::Integer,
            "-9223372036854775808",
            Cell::Integer(i64::MIN),
        ),
        (
            ColumnType::Integer,
            "9007199254740993",
            Cell::Integer(9_007_199_254_740_993),
        ),
        (
            ColumnType::Text,
            r#""Süd \"7\"\n\u001f""#,
            Cell::Text("Süd \"7\"\n\u{1f}".into()),
        ),
        (ColumnType::Bool, "true", Cell::Bool(true)),
        (ColumnType::Bool, "false", Cell::Bool(false)),
        (
            ColumnType::Time,
            r#""2026-11-30T12:00:00.000000Z""#,
            Cell::Time(Timestamp(1_796_040_000_000_000)),
        ),
        (
            ColumnType::Time,
            "9223372036854775807",
            Cell::Time(Timestamp(i64::MAX)),
        ),
        (ColumnType::Bytes, r#""AP8=""#, Cell::Bytes(vec![0, 255])),
    ] {
        assert_eq!(read(column_type, token), Some((cell, token.to_owned())));
        assert_eq!(
            read(column_type, "null"),
            Some((Cell::Missing, "null".to_owned()))
        );
    }
    for json in ["1.50", r#""\u0041""#, "[1, 2]", r#"{"a":null}"#, "true"] {
        let (_, token) = read(ColumnType::Json, json).unwrap();
        assert_eq!(token, json);
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
    row: bool,
    #[serde(default)]
    cells: Vec<Option<String>>,
    about: bool,
    rest: Option<String>,
    conforms: Option<bool>,
    gives_back: Option<bool>,
}

/// What docs/vectors/rows.json says of a value.
#[derive(Debug, Default, PartialEq)]
struct Said {
    row: bool,
    cells: Vec<Option<String>>,
    rest: Option<String>,
    conforms: Option<bool>,
    gives_back: Option<bool>,
}

/// The same, as it is read here.
fn again(vector: &Vector) -> Said {
    let value = data_encoding::HEXLOWER
        .decode(vector.value.as_bytes())
        .unwrap();
    let mut reader = RowReader::default();
    let Some(row) = reader.read(&value) else {
        return Said::default();
    };
    let (mut writer, columns) = (TokenWriter::default(), vector.columns.len());
    let (mut cells, mut gives_back) = (Vec::new(), true);
    for (place, word) in vector.columns.iter().enumerate() {
        let is_it = |known: &ColumnType| known.word() == word;
        let column_type = ColumnType::all().into_iter().find(is_it).unwrap();
        let token = row.token(place);
        let found = token.and_then(|token| Some((token, cell(token, column_type)?)));
        gives_back &= found
            .as_ref()
            .is_some_and(|(token, cell)| writer.gives_back(cell, *token));
        cells.push(found.map(|(_, cell)| {
            let mut out = Vec::new();
            writer.put(&mut out, &cell);
            String::from_utf8(out).unwrap()
        }));
    }
    let rest = rest(&row, columns).filter(|_| vector.about);
    let is_whole = row.len() <= columns || rest.is_some();
    Said {
        row: true,
        conforms: Some(is_whole && cells.iter().all(Option::is_some)),
        gives_back: Some(is_whole && gives_back),
        cells,
        rest,
    }
}

#[test]
fn rows_are_read_as_the_document_says_and_others_read_them() {
    let vectors = include_str!("../../../../docs/vectors/rows.json");
    let vectors: Vectors = serde_json::from_str(vectors).unwrap();
    assert!(vectors.rows.len() > 200);
    for vector in &vectors.rows {
        let known = Said {
            row: vector.row,
            cells: vector.cells.clone(),
            rest: vector.rest.clone(),
            conforms: vector.conforms,
            gives_back: vector.gives_back,
        };
        assert_eq!(again(vector), known, "{}", vector.shown);
    }
}

#[test]
fn some_tokens_are_not_given_back() {
    for (column_type, token, other) in [
        (ColumnType::Number, "1.50", "1.5"),
        (ColumnType::Number, "9007199254740993", "9007199254740992"),
        (ColumnType::Number, "1e3", "1000"),
        (ColumnType::Integer, "-0", "0"),
        (ColumnType::Text, r#""\u0041""#, r#""A""#),
        (ColumnType::Text, r#""a\/b""#, r#""a/b""#),
        (
            ColumnType::Time,
            r#""2026-11-30T13:00:00+01:00""#,
            r#""2026-11-30T12:00:00.000000Z""#,
        ),
    ] {
        assert_eq!(read(column_type, token).unwrap().1, other);
    }
}

#[test]
fn what_is_of_another_type_is_no_cell() {
    for (column_type, token) in [
        (ColumnType::Number, "\"1\""),
        (ColumnType::Number, "1e400"),
        (ColumnType::Integer, "1.0"),
        (ColumnType::Integer, "1e3"),
        (ColumnType::Integer, "9223372036854775808"),
        (ColumnType::Text, "1"),
        (ColumnType::Bool, "1"),
        (ColumnType::Bool, "\"true\""),
        (ColumnType::Time, "\"yesterday\""),
        (ColumnType::Time, "\"2026-11-30\""),
        (ColumnType::Time, "1.5"),
        (ColumnType::Bytes, "\"AP8\""),
        (ColumnType::Bytes, "\"!\""),
    ] {
        assert_eq!(read(column_type, token), None, "{token}");
    }
}
