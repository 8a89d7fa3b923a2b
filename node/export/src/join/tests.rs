//! Joins against what the definition says, row by row.

use headwater_protocols::engine::LogStatus;
use headwater_protocols::manifest::ValueType;
use headwater_protocols::record::Record;
use headwater_protocols::store::MemoryStore;
use proptest::prelude::*;

use super::*;
use crate::published::Published;

/// Times and values of a stream, by index.
type Observations = Vec<(i64, u32)>;

fn published(streams: &[Observations]) -> Published {
    let records = |observations: &Observations| {
        let record = |(time, value): &(i64, u32)| {
            Record::new(Timestamp(*time), value.to_string().as_bytes())
        };
        observations.iter().map(record).collect()
    };
    let streams: Vec<_> = streams.iter().map(records).collect();
    Published::of(&streams)
}

fn joined_streams<'a>(
    stati: &'a [LogStatus],
    store: &'a MemoryStore,
) -> Vec<JoinedStream<'a, MemoryStore>> {
    let stream = |(number, status): (usize, &'a LogStatus)| JoinedStream {
        column: Column {
            name: format!("s{number}"),
            kind: Kind::Value(ValueType::Number),
        },
        records: Records::of(status, store).unwrap(),
    };
    stati.iter().enumerate().map(stream).collect()
}

fn joined(streams: &[Observations], how: &Join, format: Format) -> Result<Vec<u8>, JoinError> {
    joined_in(&Room::default(), streams, how, format)
}

fn joined_in(
    room: &Room,
    streams: &[Observations],
    how: &Join,
    format: Format,
) -> Result<Vec<u8>, JoinError> {
    let published = published(streams);
    let stati = published.stati();
    let streams = joined_streams(&stati, published.store());
    let mut out = Vec::new();
    join_in(room, &streams, how, format, &mut out).map(|()| out)
}

fn table(streams: &[Observations], how: &Join) -> Vec<String> {
    let text = joined(streams, how, Format::Csv).unwrap();
    let text = String::from_utf8(text).unwrap();
    text.lines().skip(1).map(str::to_owned).collect()
}

/// The same by the definition.
fn expected(streams: &[Observations], how: &Join) -> Vec<String> {
    let in_span = |time: &i64| {
        how.since.is_none_or(|since| *time >= since.0)
            && how.before.is_none_or(|before| *time < before.0)
    };
    let latest = |stream: &Observations, time: i64| {
        let known = (0_u64..).zip(stream).filter(|(_, (at, _))| *at <= time);
        known
            .max_by_key(|(index, (at, _))| (*at, *index))
            .map(|(_, found)| *found)
    };
    let shown = |time: i64, found: Option<(i64, u32)>| {
        let near = found.filter(|(at, _)| {
            let age = Timestamp(time).since(Timestamp(*at));
            how.tolerance_us.is_none_or(|tolerance| age <= tolerance)
        });
        near.map_or_else(String::new, |(_, value)| value.to_string())
    };
    let mut rows: Vec<(i64, Option<(i64, u32)>)> = match how.rows {
        Rows::On(on) => streams[on]
            .iter()
            .map(|found| (found.0, Some(*found)))
            .collect(),
        Rows::Every(step) => {
            let step = step as i64;
            let times = streams.iter().flatten().map(|(time, _)| *time);
            let first = how.since.map(|since| since.0).or(times.clone().min());
            let end = match how.before {
                Some(before) => Some(before.0),
                None => times.max().map(|last| last + step),
            };
            let steps = first
                .zip(end)
                .map(|(first, end)| (first..end).filter(|t| t.rem_euclid(step) == 0));
            steps
                .into_iter()
                .flatten()
                .map(|time| (time, None))
                .collect()
        }
    };
    // By time, those of one time by index.
    rows.sort_by_key(|(time, _)| *time);
    rows.retain(|(time, _)| in_span(time));
    let line = |(time, own): &(i64, Option<(i64, u32)>)| {
        let cell = |(place, stream)| match own {
            Some(own) if how.rows == Rows::On(place) => shown(*time, Some(*own)),
            _ => shown(*time, latest(stream, *time)),
        };
        let cells: Vec<_> = streams.iter().enumerate().map(cell).collect();
        format!(
            "{},{}",
            headwater_client::times::text::to_text(Timestamp(*time)),
            cells.join(",")
        )
    };
    rows.iter().map(line).collect()
}

fn on(place: usize) -> Join {
    Join {
        rows: Rows::On(place),
        since: None,
        before: None,
        tolerance_us: None,
    }
}

#[test]
fn each_row_has_the_latest_value_at_or_before_it() {
    let second = 1_000_000;
    let prices = vec![
        (2 * second, 7),
        (second, 5),
        (2 * second, 8),
        (9 * second, 1),
    ];
    let trades = vec![(0, 1), (2 * second, 2), (2 * second, 3), (5 * second, 4)];
    let text = joined(&[trades.clone(), prices.clone()], &on(0), Format::Ndjson).unwrap();
    let text = String::from_utf8(text).unwrap();
    assert_eq!(
        text,
        "{\"time\":\"1970-01-01T00:00:00.000000Z\",\"s0\":1,\"s1\":null}\n\
         {\"time\":\"1970-01-01T00:00:02.000000Z\",\"s0\":2,\"s1\":8}\n\
         {\"time\":\"1970-01-01T00:00:02.000000Z\",\"s0\":3,\"s1\":8}\n\
         {\"time\":\"1970-01-01T00:00:05.000000Z\",\"s0\":4,\"s1\":8}\n"
    );
    let every = Join {
        rows: Rows::Every(4 * second as u64),
        tolerance_us: Some(2 * second as u64),
        ..on(0)
    };
    assert_eq!(
        table(&[trades, prices], &every),
        [
            "1970-01-01T00:00:00.000000Z,1,",
            "1970-01-01T00:00:04.000000Z,3,8",
            "1970-01-01T00:00:08.000000Z,,",
            "1970-01-01T00:00:12.000000Z,,",
        ]
    );
}

#[test]
fn streams_without_records_make_empty_tables_and_columns() {
    let none = vec![Vec::new(), Vec::new()];
    assert_eq!(joined(&none, &on(0), Format::Csv).unwrap(), b"time,s0,s1\n");
    assert_eq!(joined(&none, &on(0), Format::Json).unwrap(), b"[]");
    let every = Join {
        rows: Rows::Every(1),
        ..on(0)
    };
    assert_eq!(table(&none, &every).len(), 0);
    let one = [vec![(5, 1)], Vec::new()];
    assert_eq!(table(&one, &on(0)), ["1970-01-01T00:00:00.000005Z,1,"]);
    assert_eq!(table(&one, &on(1)).len(), 0);
    for format in [Format::Arrow, Format::Parquet] {
        assert!(!joined(&none, &on(0), format).unwrap().is_empty());
    }
}

#[test]
fn a_table_that_would_never_end_is_refused() {
    let wide = [vec![(i64::MIN, 1), (i64::MAX, 2)]];
    let every = |step| Join {
        rows: Rows::Every(step),
        ..on(0)
    };
    let refused = joined(&wide, &every(1), Format::Csv).unwrap_err();
    assert!(matches!(refused, JoinError::TooManyRows(_)));
    // One record of the year 9999 makes eight thousand years of hours.
    const HOUR_US: u64 = 3_600_000_000;
    let year_9999 = 253_402_214_400_000_000;
    let streams = [vec![(5, 1)], vec![(7, 1), (year_9999, 2)]];
    let refused = |how: &Join| joined(&streams, how, Format::Csv).unwrap_err().to_string();
    assert_eq!(
        refused(&every(HOUR_US)),
        "that would be 70389504 rows, from 1970-01-01T00:00:00.000005Z (record 0 of stream `s0`) to \
         9999-12-31T00:00:00.000000Z (record 1 of stream `s1`), and 32000000 are the most where from and to do not say \
         both ends; make the steps longer, or say from and to"
    );
    let since = Some(Timestamp(0));
    let from_alone = refused(&Join {
        since,
        ..every(HOUR_US)
    });
    assert!(
        from_alone.contains("from 1970-01-01T00:00:00.000000Z to 9999"),
        "{from_alone}"
    );
    let both = refused(&Join {
        since,
        before: Some(Timestamp(year_9999)),
        ..every(HOUR_US / 2)
    });
    assert!(both.contains("100000000 are the most; make"), "{both}");
    let narrow = Join {
        before: Some(Timestamp(2 * HOUR_US as i64)),
        ..every(HOUR_US)
    };
    assert_eq!(table(&streams, &narrow).len(), 1);
    let wide = [vec![(i64::MIN, 1), (i64::MAX, 2)]];
    // The last step lies beyond the times that there are.
    assert_eq!(table(&wide, &every(1 << 62)).len(), 4);
    assert_eq!(table(&wide, &on(0)).len(), 2);
}

#[test]
fn times_that_run_to_and_fro_too_far_are_refused_and_a_narrower_join_is_not() {
    // Every chunk has a record of the very end.
    let far = |i: i64| if i % 4 == 3 { i64::MAX } else { i };
    let many: Observations = (0..2_000).map(|i| (far(i), 1)).collect();
    let rows = |how: &Join| {
        let room = Room::new(40_000);
        let table = joined_in(&room, std::slice::from_ref(&many), how, Format::Csv);
        table.map(|text| text.split(|byte| *byte == b'\n').count() - 2)
    };
    let refused = rows(&on(0)).unwrap_err();
    assert!(matches!(refused, JoinError::Disorder(name) if name == "s0"));
    let narrow = Join {
        before: Some(Timestamp(400)),
        ..on(0)
    };
    assert_eq!(rows(&narrow).unwrap(), 300);
}

#[test]
fn columns_of_one_name_are_told_apart() {
    let named = |name: &str, id: &str| (name.to_owned(), id.to_owned());
    let names = column_names(&[
        named("wind", "bafkre11111111"),
        named("rain", "bafkre22222222"),
        named("wind", "bafkre33333333"),
        named("time", "bafkre44444444"),
        named("", "x"),
    ]);
    let expected = [
        "wind_11111111",
        "rain",
        "wind_33333333",
        "time_44444444",
        "_x",
    ];
    assert_eq!(names, expected);
    // What another one's column is called then is no name any more, either.
    let names = column_names(&[
        named("wind", "bafkre11111111"),
        named("wind_11111111", "bafkre22222222"),
        named("wind", "bafkre33333333"),
        named("rain", "bafkre44444444"),
    ]);
    let expected = [
        "wind_11111111",
        "wind_11111111_22222222",
        "wind_33333333",
        "rain",
    ];
    assert_eq!(names, expected);
    // Nor is what looks the same.
    let names = column_names(&[
        named("wind", "bafkre11111111"),
        named("w\u{456}nd", "bafkre22222222"),
    ]);
    assert_eq!(names, ["wind_11111111", "w\u{456}nd_22222222"]);
}

fn observations() -> impl Strategy<Value = Observations> {
    prop::collection::vec((-20_i64..60, 0_u32..1_000), 0..60)
}

fn how(streams: usize) -> impl Strategy<Value = Join> {
    let rows = prop_oneof![
        (0..streams).prop_map(Rows::On),
        (1_u64..9).prop_map(Rows::Every),
    ];
    let time = || prop::option::of((-30_i64..70).prop_map(Timestamp));
    let tolerance = prop::option::of(0_u64..20);
    (rows, time(), time(), tolerance).prop_map(|(rows, since, before, tolerance_us)| Join {
        rows,
        since,
        before,
        tolerance_us,
    })
}

proptest! {
    #[test]
    fn a_join_is_what_the_definition_says(
        streams in prop::collection::vec(observations(), 3),
        how in how(3),
    ) {
        prop_assert_eq!(table(&streams, &how), expected(&streams, &how));
    }
}

/// What a joined table of numbers has in its column `token`.
fn tokens(format: Format, values: [[&[u8]; 3]; 2]) -> Vec<Option<String>> {
    let streams = values.map(|values| {
        let records = (0..)
            .zip(values)
            .map(|(time, value)| Record::new(Timestamp(time), value));
        records.collect::<Vec<_>>()
    });
    let published = Published::of(&streams);
    let stati = published.stati();
    let streams = joined_streams(&stati, published.store());
    let mut out = Vec::new();
    join(&streams, &on(0), format, &mut out).unwrap();
    if format == Format::Parquet {
        use ::parquet::file::reader::FileReader;
        use ::parquet::record::RowAccessor;
        let reader =
            ::parquet::file::serialized_reader::SerializedFileReader::new(Bytes::from(out));
        let reader = reader.unwrap();
        let rows = reader.get_row_iter(None).unwrap();
        return rows
            .map(|row| row.unwrap().get_string(3).ok().cloned())
            .collect();
    }
    let file = std::io::Cursor::new(out);
    let mut batches = arrow_ipc::reader::FileReader::try_new(file, None).unwrap();
    let batch = batches.next().unwrap().unwrap();
    let column = batch.column(3).as_any();
    let column = column.downcast_ref::<arrow_array::StringArray>().unwrap();
    column
        .iter()
        .map(|token| token.map(str::to_owned))
        .collect()
}

#[test]
fn numbers_that_a_double_rounds_stand_beside_the_row_as_they_were_published() {
    let values: [[&[u8]; 3]; 2] = [
        [b"1.50", b"9007199254740993", b"-9007199254740995"],
        [b"9007199254740992", b"0.1", b"1e400"],
    ];
    let wanted = [
        None,
        Some("{\"s0\":\"9007199254740993\"}".to_owned()),
        Some("{\"s0\":\"-9007199254740995\",\"s1\":\"1e400\"}".to_owned()),
    ];
    for format in [Format::Feather, Format::Parquet] {
        assert_eq!(tokens(format, values), wanted, "{format:?}");
    }
}

#[test]
fn a_stream_that_is_called_as_a_column_of_every_table_has_another_name_there() {
    let streams = ["wind", "time", "token"].map(|name| (name.to_owned(), "abcdefghij".to_owned()));
    assert_eq!(
        column_names(&streams),
        ["wind", "time_cdefghij", "token_cdefghij"]
    );
}
