use proptest::prelude::*;
use serde_json::Value;

use super::*;
use crate::limits::MAX_ROW_DEPTH;

fn tokens(value: &str) -> Option<Vec<(TokenKind, String)>> {
    let mut reader = RowReader::default();
    let row = reader.read(value.as_bytes())?;
    let tokens = row.tokens();
    Some(
        tokens
            .map(|token| (token.kind, token.json.to_owned()))
            .collect(),
    )
}

fn texts(value: &str) -> Option<Vec<String>> {
    let tokens = tokens(value)?.into_iter();
    Some(tokens.map(|(_, json)| json).collect())
}

#[test]
fn a_row_is_read_as_the_tokens_that_were_given() {
    let row = r#"[12.50,-3,"S\u00fcd \"7\"",true,false,null,{"a":[1, 2]},[],1e-7]"#;
    let (kinds, texts): (Vec<_>, Vec<_>) = tokens(row).unwrap().into_iter().unzip();
    assert_eq!(
        texts,
        [
            "12.50",
            "-3",
            r#""S\u00fcd \"7\"""#,
            "true",
            "false",
            "null",
            r#"{"a":[1, 2]}"#,
            "[]",
            "1e-7"
        ]
    );
    use TokenKind::{False, Nested, Null, Number, Text, True};
    assert_eq!(
        kinds,
        [
            Number, Number, Text, True, False, Null, Nested, Nested, Number
        ]
    );
}

#[test]
fn what_is_no_row_is_none() {
    for value in [
        "",
        "1",
        "{}",
        "[]",
        "[",
        "[1",
        "[1,",
        "[1,]",
        "[,1]",
        "[1]]",
        "[1] ",
        " [1]",
        "[ 1]",
        "[1 ]",
        "[1, 2]",
        "[01]",
        "[+1]",
        "[.5]",
        "[1.]",
        "[1e]",
        "[-]",
        "[NaN]",
        "[nul]",
        "[truefalse]",
        "[\"a]",
        "[\"\u{1}\"]",
        "[\"\\x\"]",
        "[\"\\u12\"]",
        "[\"\\ud800\"]",
        "[\"\\udc00\"]",
        "[\"\\ud800\\u0041\"]",
        "[{]",
        "[{}}]",
        "[{\"a\"}]",
        "[{\"a\":}]",
        "[{1:2}]",
        "[{\"a\":\t1}]",
        "[[1\n]]",
        "[[\r]]",
        "[1]\n",
        "[{\"a\":1,}]",
        "[[1}]",
        "[[1,]]",
        "['a']",
    ] {
        assert_eq!(tokens(value), None, "{value}");
    }
    assert!(RowReader::default().read(b"[\"\xff\"]").is_none());
    assert!(tokens("[\"\\ud83d\\ude00\"]").is_some());
}

#[test]
fn arrays_and_objects_lie_in_each_other_as_deep_as_json_may() {
    let row = |depth: usize| format!("[{}1{}]", "[".repeat(depth), "]".repeat(depth));
    let most = MAX_ROW_DEPTH as usize;
    assert!(tokens(&row(most)).is_some());
    assert_eq!(tokens(&row(most + 1)), None);
    assert_eq!(tokens(&row(1 << 20)), None);
    let wide = format!("[[{}]]", vec!["[{}]"; 10_000].join(","));
    assert!(tokens(&wide).is_some(), "they lie beside each other");
}

#[test]
fn a_row_has_no_more_tokens_than_are_read() {
    let row = |count: usize| format!("[{}]", vec!["1"; count].join(","));
    assert_eq!(texts(&row(MAX_ROW_TOKENS)).unwrap().len(), MAX_ROW_TOKENS);
    assert_eq!(tokens(&row(MAX_ROW_TOKENS + 1)), None);
}

#[test]
fn what_stands_behind_the_columns_is_one_array() {
    let mut reader = RowReader::default();
    let row = reader.read(br#"[1,"a",[2,3],null]"#).unwrap();
    assert_eq!(row.len(), 4);
    assert_eq!(row.rest(0).unwrap(), r#"[1,"a",[2,3],null]"#);
    assert_eq!(row.rest(2).unwrap(), "[[2,3],null]");
    assert_eq!(row.rest(4), None);
    assert_eq!(row.token(4), None);
}

/// JSON of any kind, as another library writes it.
fn json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        any::<String>().prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 32, 6, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..6).prop_map(Value::from),
            prop::collection::btree_map(any::<String>(), inner, 0..6)
                .prop_map(|entries| Value::Object(entries.into_iter().collect())),
        ]
    })
}

proptest! {
    #[test]
    fn every_array_that_others_write_is_read_as_they_read_it(
        row in prop::collection::vec(json(), 1..12),
    ) {
        let written = serde_json::to_string(&row).unwrap();
        let read = texts(&written).expect("it is a row");
        let again: Vec<Value> = read.iter().map(|json| serde_json::from_str(json).unwrap()).collect();
        // Of what was written and not of what was meant: it reads doubles inexactly.
        let others: Vec<Value> = serde_json::from_str(&written).unwrap();
        prop_assert_eq!(again, others);
        prop_assert_eq!(format!("[{}]", read.join(",")), written);
    }

    #[test]
    fn what_is_read_of_any_bytes_is_json_to_others_too(
        value in "\\[[\\[\\]{}\",:0-9.eE+\\\\untrfalse d8C-]{0,24}\\]",
    ) {
        let others = serde_json::from_str::<Value>(&value);
        match texts(&value) {
            Some(read) => {
                // It looks at the size of numbers, which are only written here.
                let is_large = others.as_ref().is_err_and(|error| error.to_string().contains("out of range"));
                prop_assert!(others.is_ok() || is_large, "{value}");
                prop_assert_eq!(format!("[{}]", read.join(",")), value);
            }
            None => {
                let has_blanks = value.contains(' ');
                prop_assert!(others.is_err() || has_blanks || value == "[]", "{value}");
            }
        }
    }
}
