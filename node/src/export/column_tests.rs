//! The column formats, read back.

use std::fs::File;
use std::io::Write;

use headwater_protocols::time::Timestamp;
use proptest::prelude::*;
use sha2::{Digest, Sha256};

use super::limits::{ROW_GROUP_BYTES, ROW_GROUP_ROWS};
use super::rows::{ParquetRows, RowsError, csv_rows};
use super::*;

const TYPES: [ValueType; 4] = [
    ValueType::Number,
    ValueType::Text,
    ValueType::Json,
    ValueType::Bytes,
];

fn written(format: Format, value_type: ValueType, rows: &[(u64, Record)]) -> Vec<u8> {
    let mut out = Vec::new();
    let mut encoder = match format {
        Format::Parquet => Encoder::begin_proved(value_type, "a proof", &mut out),
        other => Encoder::begin(other, value_type, &mut out),
    }
    .unwrap();
    for (index, record) in rows {
        encoder.record(*index, record).unwrap();
    }
    encoder.finish().unwrap();
    out
}

fn opened(bytes: &[u8]) -> File {
    let mut file = tempfile::tempfile().unwrap();
    file.write_all(bytes).unwrap();
    std::io::Seek::rewind(&mut file).unwrap();
    file
}

fn read(format: Format, value_type: ValueType, bytes: &[u8]) -> Vec<(u64, Record)> {
    let mut rows = Vec::new();
    let take = |index, record| {
        rows.push((index, record));
        Ok::<_, RowsError>(())
    };
    match format {
        Format::Parquet => {
            let file = ParquetRows::open(opened(bytes)).unwrap();
            assert_eq!(file.proof(), Some("a proof"));
            file.rows(value_type, take).unwrap();
        }
        _ => csv_rows(opened(bytes), value_type, take).unwrap(),
    }
    rows
}

fn values() -> impl Strategy<Value = Vec<u8>> {
    let tokens = ["1.50", "1e3", "+4", "007", "-0", "1e999", "NaN", "", "21"];
    prop_oneof![
        prop::collection::vec(any::<u8>(), 0..20),
        any::<f64>().prop_map(|number| number.to_string().into_bytes()),
        prop::sample::select(tokens.to_vec()).prop_map(|token| token.as_bytes().to_vec()),
        ".*".prop_map(String::into_bytes),
    ]
}

proptest! {
    #[test]
    fn the_exact_records_are_read_back_whatever_was_signed(
        records in prop::collection::vec((any::<i64>(), values()), 0..40),
        from in any::<u32>(),
    ) {
        let rows: Vec<_> = (u64::from(from)..)
            .zip(records.iter().map(|(time, value)| Record::new(Timestamp(*time), value)))
            .collect();
        for value_type in TYPES {
            for format in [Format::Parquet, Format::Csv] {
                let bytes = written(format, value_type, &rows);
                prop_assert_eq!(&read(format, value_type, &bytes), &rows);
            }
        }
    }
}

#[test]
fn row_groups_are_bounded_by_rows_and_by_bytes() {
    let groups = |rows: &[(u64, Record)]| {
        let bytes = written(Format::Parquet, ValueType::Text, rows);
        ParquetRows::open(opened(&bytes)).unwrap().row_groups()
    };
    let small = |count: usize| -> Vec<_> {
        let record = Record::new(Timestamp(0), b"1");
        (0..count as u64).map(|i| (i, record.clone())).collect()
    };
    assert_eq!(groups(&small(0)), 0);
    assert_eq!(groups(&small(ROW_GROUP_ROWS)), 1);
    assert_eq!(groups(&small(ROW_GROUP_ROWS + 1)), 2);
    let large = Record::new(Timestamp(0), &vec![b'x'; ROW_GROUP_BYTES / 4]);
    let large: Vec<_> = (0..9).map(|i| (i, large.clone())).collect();
    assert_eq!(groups(&large), 3);
}

#[test]
fn the_same_records_give_the_bytes_that_the_layout_is_named_for() {
    let rows: Vec<_> = (0..ROW_GROUP_ROWS as u64 + 500)
        .map(|i| {
            let value = format!("{}.{}", i * 31 % 977, i % 10);
            (
                i,
                Record::new(Timestamp(i as i64 * 60_000_000), value.as_bytes()),
            )
        })
        .collect();
    let mut bytes = Vec::new();
    let mut encoder = Encoder::begin(Format::Parquet, ValueType::Number, &mut bytes).unwrap();
    for (index, record) in &rows {
        encoder.record(*index, record).unwrap();
    }
    encoder.finish().unwrap();
    let digest = data_encoding::HEXLOWER.encode(&Sha256::digest(&bytes));
    // When this changes, LAYOUT must change with it: files with proofs that
    // were exported before are not written again the same.
    assert_eq!(
        (LAYOUT, digest.as_str()),
        (
            "headwater parquet 1",
            "baeea70846721b8987e67ee8f977a335e46c0ca1b4287a9b7efe550e37195ced"
        )
    );
}

#[test]
fn a_value_that_is_no_number_is_left_out_of_the_numbers() {
    let rows = [(0, Record::new(Timestamp(0), b"NaN"))];
    let mut out = Vec::new();
    let mut encoder = Encoder::begin(Format::Arrow, ValueType::Number, &mut out).unwrap();
    encoder.record(0, &rows[0].1).unwrap();
    encoder.finish().unwrap();
    let mut batches = arrow_ipc::reader::StreamReader::try_new(&out[..], None).unwrap();
    let batch = batches.next().unwrap().unwrap();
    assert_eq!(batch.column(2).null_count(), 1);
    assert!(batches.next().is_none());
}
