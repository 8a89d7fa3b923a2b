//! Summaries against what the definition says, span by span.

use std::collections::BTreeMap;

use headwater_client::times::text::to_text;
use headwater_protocols::identity::SigningKey;
use headwater_protocols::manifest::{Column as StreamColumn, Manifest, NONCE_BYTES};
use headwater_protocols::record::Record;
use proptest::prelude::*;

use super::*;
use crate::published::Published;

/// A stream with these times and values.
fn stream<V: AsRef<[u8]>>(records: &[(i64, V)]) -> Published {
    let record = |(time, value): &(i64, V)| Record::new(Timestamp(*time), value.as_ref());
    Published::of(&[records.iter().map(record).collect()])
}

/// The lines of the table behind its header, and how many records are left out.
fn lines<V: AsRef<[u8]>>(
    summary: &Summary,
    records: &[(i64, V)],
    selection: Selection,
) -> (Vec<String>, u64) {
    let published = stream(records);
    let stati = published.stati();
    let records = Records::of(&stati[0], published.store()).unwrap();
    let selection = Selection {
        to: selection.to.min(records.size()),
        ..selection
    };
    let mut out = Vec::new();
    let left_out = summary.write(&records, &selection, Format::Csv, &mut out);
    let text = String::from_utf8(out).unwrap();
    (text.lines().map(str::to_owned).collect(), left_out.unwrap())
}

fn everything() -> Selection {
    Selection::indexes(0, u64::MAX)
}

fn of(every_us: u64, how: Option<Aggregate>, shape: &Shape) -> Result<Summary, String> {
    Summary::of(every_us, how, shape, shape)
}

fn weather() -> Shape {
    let column = |(name, column_type): (&str, ColumnType)| StreamColumn {
        name: name.to_owned(),
        unit: String::new(),
        column_type,
        description: String::new(),
    };
    let columns = [
        ("wind", ColumnType::Number),
        ("n", ColumnType::Integer),
        ("sky", ColumnType::Text),
    ];
    Shape::of(&Manifest {
        columns: columns.map(column).to_vec(),
        value_type: ValueType::Json,
        ..Manifest::new(
            SigningKey::from_secret(&mut [1; 32]).public(),
            "weather",
            [7; NONCE_BYTES],
        )
    })
}

#[test]
fn each_column_of_a_row_has_one_value_for_those_of_its_span() {
    let rows = [
        (-1, "[1.50,3,\"a\"]"),
        (0, "[2.25,9007199254740993,\"b, c\"]"),
        (5, "[null,9007199254740993,null]"),
        (9, "[-1e2,null,null]"),
        // It is in none: a text where there are numbers, and rows of other lengths.
        (7, "[\"x\",1,\"no\"]"),
        (8, "[1,1]"),
        (8, "[1,1,\"no\",4]"),
        (8, "1"),
        // Of one time the index decides.
        (31, "[7,1,\"early\"]"),
        (31, "[8,2,\"late\"]"),
        // Nothing in any column.
        (44, "[null,null,null]"),
    ];
    let shape = weather();
    let table = |how| lines(&of(10, how, &shape).unwrap(), &rows, everything());
    let at = |micros| to_text(Timestamp(micros));
    for (how, expected) in [
        (
            None,
            [
                "1.5,3,a",
                "-48.875,9007199254740992,\"b, c\"",
                "7.5,1.5,late",
                ",,",
            ],
        ),
        (
            Some(Aggregate::First),
            [
                "1.50,3,a",
                "2.25,9007199254740993,\"b, c\"",
                "7,1,early",
                ",,",
            ],
        ),
        (
            Some(Aggregate::Last),
            [
                "1.50,3,a",
                "-1e2,9007199254740993,\"b, c\"",
                "8,2,late",
                ",,",
            ],
        ),
        (Some(Aggregate::Count), ["1,1,1", "2,2,1", "2,2,2", "0,0,0"]),
    ] {
        let starts = [-10, 0, 30, 40];
        let rows = starts.iter().zip(expected);
        let rows: Vec<_> = rows
            .map(|(start, row)| format!("{},{row}", at(*start)))
            .collect();
        let (found, left_out) = table(how);
        assert_eq!(found[0], "time,wind,n,sky");
        assert_eq!(found[1..], rows, "{how:?}");
        assert_eq!(left_out, 4);
    }
}

#[test]
fn some_columns_alone_are_compared_and_what_is_no_number_is_not() {
    let shape = weather();
    let two = shape.chosen(&["n", "wind"]).unwrap();
    let greatest = Summary::of(100, Some(Aggregate::Max), &shape, &two).unwrap();
    let rows = [
        (1, "[1.5,9007199254740992,\"a\"]"),
        (2, "[10,9007199254740993,null]"),
        (3, "[9.5,-1,\"b\"]"),
        // Its other column is none.
        (4, "[99,1,2]"),
    ];
    let (found, left_out) = lines(&greatest, &rows, everything());
    assert_eq!(found[0], "time,n,wind");
    assert_eq!(
        found[1],
        format!("{},9007199254740993,10", to_text(Timestamp(0)))
    );
    assert_eq!((found.len(), left_out), (2, 1));
    for how in [Aggregate::Mean, Aggregate::Min, Aggregate::Max] {
        let error = of(1, Some(how), &shape).unwrap_err();
        assert!(error.contains("column `sky`, which has texts"), "{error}");
        let error = of(1, Some(how), &Shape::One(ValueType::Bytes)).unwrap_err();
        assert!(error.contains("which has bytes"), "{error}");
    }
}

#[test]
fn values_that_are_not_what_the_manifest_says_are_counted_and_left_out() {
    let values: [(i64, &[u8]); 5] = [
        (0, b"1"),
        (0, b"x"),
        (0, b"NaN"),
        (0, b"1e999"),
        (0, b"\xff"),
    ];
    for (value_type, how, row, expected) in [
        (ValueType::Number, None, "1", 4),
        (ValueType::Text, Some(Aggregate::Count), "4", 1),
        (ValueType::Json, Some(Aggregate::Count), "1", 4),
        (ValueType::Bytes, Some(Aggregate::Last), "/w==", 0),
    ] {
        let summary = of(10, how, &Shape::One(value_type)).unwrap();
        let (found, left_out) = lines(&summary, &values, everything());
        assert_eq!(
            found[1],
            format!("{},{row}", to_text(Timestamp(0))),
            "{value_type:?}"
        );
        assert_eq!(left_out, expected, "{value_type:?}");
    }
}

#[test]
fn spans_of_the_ends_of_time_begin_where_times_do() {
    let records = [(i64::MIN, "1"), (i64::MAX, "2")];
    for every_us in [1, 86_400_000_000, u64::MAX] {
        let summary = of(every_us, None, &Shape::One(ValueType::Number)).unwrap();
        let (found, _) = lines(&summary, &records, everything());
        assert_eq!(found.len(), 3, "{found:?}");
        assert!(
            found[1].ends_with(",1") && found[2].ends_with(",2"),
            "{found:?}"
        );
    }
}

#[test]
fn times_that_run_to_and_fro_too_far_are_refused() {
    // What lies between the two halves of each chunk waits.
    let value = "1".repeat(200_000);
    let count = 800;
    let records: Vec<_> = (0..count)
        .map(|i| (i % 2 * 1_000_000 + i, value.as_str()))
        .collect();
    let published = stream(&records);
    let stati = published.stati();
    let records = Records::of(&stati[0], published.store()).unwrap();
    let summary = of(10, Some(Aggregate::Count), &Shape::One(ValueType::Text)).unwrap();
    let selection = Selection::indexes(0, records.size());
    let written = summary.write(&records, &selection, Format::Csv, Vec::new());
    assert!(
        matches!(written, Err(SummaryError::Disorder)),
        "{written:?}"
    );
    let some = Selection::indexes(100, 200);
    assert!(
        summary
            .write(&records, &some, Format::Csv, Vec::new())
            .is_ok()
    );
}

/// What a span of numbers has, by the definition: `(time, index, value)` of each.
fn expected(how: Aggregate, mut span: Vec<(i64, usize, i32)>) -> String {
    span.sort_unstable();
    let values = || span.iter().map(|(_, _, value)| *value);
    let found = match how {
        // Thirds of these have few digits before and behind the point.
        Aggregate::Mean => values().map(i64::from).sum::<i64>() as f64 / span.len() as f64,
        Aggregate::Min => values().min().unwrap().into(),
        Aggregate::Max => values().max().unwrap().into(),
        Aggregate::First => values().next().unwrap().into(),
        Aggregate::Last => values().next_back().unwrap().into(),
        Aggregate::Count => span.len() as f64,
    };
    found.to_string()
}

proptest! {
    #[test]
    fn a_summary_is_what_the_definition_says(
        records in prop::collection::vec((-60_i64..200, -1_000..1_000_i32), 0..60),
        every in 1_i64..70,
        (from, to) in (0_usize..70, 0_usize..70),
        (since, before) in (prop::option::of(-70_i64..210), prop::option::of(-70_i64..210)),
        limit in prop::option::of(0_u64..6),
    ) {
        let published: Vec<_> = records.iter().map(|(time, value)| (*time, value.to_string())).collect();
        for how in [
            Aggregate::Mean, Aggregate::Min, Aggregate::Max, Aggregate::First, Aggregate::Last, Aggregate::Count,
        ] {
            let mut spans = BTreeMap::<i64, Vec<_>>::new();
            for (index, &(time, value)) in records.iter().enumerate() {
                let is_in = (from..to).contains(&index)
                    && since.is_none_or(|since| time >= since)
                    && before.is_none_or(|before| time < before);
                if is_in {
                    spans.entry(time.div_euclid(every) * every).or_default().push((time, index, value));
                }
            }
            let rows = spans.into_iter().take(limit.unwrap_or(u64::MAX) as usize);
            let rows: Vec<_> = rows
                .map(|(start, span)| format!("{},{}", to_text(Timestamp(start)), expected(how, span)))
                .collect();
            let selection = Selection {
                since: since.map(Timestamp),
                before: before.map(Timestamp),
                limit,
                ..Selection::indexes(from as u64, to as u64)
            };
            let summary = of(every as u64, Some(how), &Shape::One(ValueType::Number)).unwrap();
            let (found, left_out) = lines(&summary, &published, selection);
            prop_assert_eq!(&found[1..], rows);
            prop_assert_eq!(left_out, 0);
        }
    }
}
