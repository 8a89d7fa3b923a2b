//! The column formats, read back.

use std::fs::File;
use std::io::Write;

use ::parquet::data_type::{ByteArray, ByteArrayType, Int64Type};
use ::parquet::file::metadata::ParquetMetaDataWriter;
use ::parquet::file::properties::WriterProperties;
use ::parquet::file::reader::FileReader;
use ::parquet::file::serialized_reader::SerializedFileReader;
use ::parquet::file::writer::SerializedFileWriter;
use ::parquet::schema::parser::parse_message_type;
use headwater_protocols::manifest::ValueType;
use headwater_protocols::time::Timestamp;
use proptest::prelude::*;
use sha2::{Digest, Sha256};

use super::limits::{MAX_READ_GROUP_BYTES, ROW_GROUP_BYTES, ROW_GROUP_ROWS};
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

/// Why a file of texts cannot be read.
fn refusal(bytes: &[u8]) -> String {
    let file = ParquetRows::open(opened(bytes)).unwrap();
    let read = file.rows(ValueType::Text, |_, _| Ok::<_, RowsError>(()));
    read.unwrap_err().to_string()
}

#[test]
fn a_file_that_claims_an_impossible_number_of_rows_is_refused() {
    let rows = [(0, Record::new(Timestamp(0), b"calm"))];
    let mut bytes = written(Format::Parquet, ValueType::Text, &rows);
    for claimed in [i64::MIN, -1, ROW_GROUP_ROWS as i64 + 1, i64::MAX] {
        let reader = SerializedFileReader::new(opened(&bytes)).unwrap();
        let mut metadata = reader.metadata().clone().into_builder();
        let groups = metadata.take_row_groups().into_iter();
        let groups = groups.map(|group| {
            let group = group.into_builder().set_num_rows(claimed);
            group.build().unwrap()
        });
        let metadata = metadata.set_row_groups(groups.collect()).build();
        // The places in it are those of the file before it.
        let mut end = Vec::new();
        let writer = ParquetMetaDataWriter::new(&mut end, &metadata);
        writer.finish().unwrap();
        bytes.extend(end);
        let refusal = refusal(&bytes);
        assert!(refusal.contains("row group 0"), "{claimed}: {refusal}");
        assert!(refusal.contains("too many rows"), "{claimed}: {refusal}");
    }
}

/// A file whose rows share one value of a mebibyte.
fn repeating(rows: usize) -> Vec<u8> {
    let schema = "message observations {
        required int64 index; required int64 time;
        required binary value (STRING); optional binary token; }";
    let schema = parse_message_type(schema).unwrap();
    let properties = WriterProperties::builder().set_dictionary_page_size_limit(4 << 20);
    let mut bytes = Vec::new();
    let mut out =
        SerializedFileWriter::new(&mut bytes, schema.into(), properties.build().into()).unwrap();
    let mut group = out.next_row_group().unwrap();
    for _ in 0..2 {
        let mut column = group.next_column().unwrap().unwrap();
        let numbers = vec![0; rows];
        let typed = column.typed::<Int64Type>();
        typed.write_batch(&numbers, None, None).unwrap();
        column.close().unwrap();
    }
    let value = ByteArray::from(vec![b'x'; 1 << 20]);
    let texts = (vec![value; rows], None);
    let tokens = (Vec::new(), Some(vec![0; rows]));
    for (values, levels) in [texts, tokens] {
        let mut column = group.next_column().unwrap().unwrap();
        let typed = column.typed::<ByteArrayType>();
        typed.write_batch(&values, levels.as_deref(), None).unwrap();
        column.close().unwrap();
    }
    group.close().unwrap();
    out.close().unwrap();
    bytes
}

#[test]
fn a_small_file_that_stands_for_many_bytes_is_refused_and_the_largest_of_ours_is_not() {
    let hostile = repeating(MAX_READ_GROUP_BYTES / (1 << 20) + 1);
    assert!(hostile.len() < 2 << 20, "{} bytes", hostile.len());
    let refusal = refusal(&hostile);
    assert!(refusal.contains("too many bytes"), "{refusal}");
    let few = ParquetRows::open(opened(&repeating(3))).unwrap();
    let take = |_, _| Ok::<_, RowsError>(());
    few.rows(ValueType::Text, take).unwrap();

    // One byte below the bound of a row group, then the longest value; nothing
    // of it is text.
    let value = |bytes: usize| Record::new(Timestamp(0), &vec![0xff; bytes]);
    let mut rows: Vec<_> = (0..15).map(|i| (i, value(1 << 20))).collect();
    rows.push((15, value((1 << 20) - 1)));
    rows.push((16, value(1 << 20)));
    let bytes = written(Format::Parquet, ValueType::Text, &rows);
    let file = ParquetRows::open(opened(&bytes)).unwrap();
    assert_eq!(file.row_groups(), 1);
    assert_eq!(read(Format::Parquet, ValueType::Text, &bytes), rows);
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
    let mut encoder = Encoder::begin_proved(ValueType::Number, "a proof", &mut bytes).unwrap();
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
            "dc42ce827914f360619d6c73cc9617b5815d909958def0854579f021fda50e06"
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
