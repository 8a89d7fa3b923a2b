use std::fs;
use std::io::Write as _;

use headwater_protocols::limits::DEFAULT_CHUNK_LEVEL;
use parquet::basic::{Compression, GzipLevel, ZstdLevel};
use parquet::column::page::PageReader as _;
use parquet::data_type::{
    BoolType, ByteArrayType, DataType, DoubleType, FloatType, Int32Type, Int64Type,
};
use parquet::file::properties::{WriterProperties, WriterVersion};
use parquet::file::writer::{SerializedFileWriter, SerializedRowGroupWriter};
use parquet::schema::parser::parse_message_type;
use tempfile::NamedTempFile;

use super::super::csv_header::Headers;
use super::super::row::{RowColumn, RowRules};
use super::pages::Pages;
use super::*;

const SCHEMA: &str = "message rows {
    required int64 at (TIMESTAMP(MICROS,true));
    optional double number;
    optional float small;
    optional int64 whole;
    required int32 byte (INTEGER(8,false));
    optional binary text (STRING);
    optional boolean is;
    optional int64 seen (TIMESTAMP(MILLIS,false));
    optional int32 day (DATE);
    optional binary what (JSON);
    optional binary data;
    required int64 big (INTEGER(64,false));
}";

const COLUMNS: [(&str, ColumnType); 11] = [
    ("data", ColumnType::Bytes),
    ("number", ColumnType::Number),
    ("small", ColumnType::Number),
    ("whole", ColumnType::Integer),
    ("byte", ColumnType::Integer),
    ("text", ColumnType::Text),
    ("is", ColumnType::Bool),
    ("seen", ColumnType::Time),
    ("day", ColumnType::Time),
    ("what", ColumnType::Json),
    ("big", ColumnType::Number),
];

type Group<'a> = SerializedRowGroupWriter<'a, NamedTempFile>;

fn put<T: DataType>(group: &mut Group<'_>, values: &[T::T], levels: Option<&[i16]>) {
    let mut column = group.next_column().unwrap().unwrap();
    let typed = column.typed::<T>();
    typed.write_batch(values, levels, None).unwrap();
    column.close().unwrap();
}

/// Every row twice: in two row groups. The middle one of three has nothing.
fn put_all(group: &mut Group<'_>) {
    let levels = Some(&[1, 0, 1][..]);
    put::<Int64Type>(group, &[1_000_000, 2_000_000, 3_000_000], None);
    put::<DoubleType>(group, &[1.5, -0.0], levels);
    put::<FloatType>(group, &[0.1, f32::NAN], levels);
    put::<Int64Type>(group, &[9_007_199_254_740_993, -7], levels);
    put::<Int32Type>(group, &[255, 0, 1], None);
    put::<ByteArrayType>(group, &["".into(), " ü\"\n".into()], levels);
    put::<BoolType>(group, &[true, false], levels);
    put::<Int64Type>(group, &[1, 1_714_521_600_000], levels);
    put::<Int32Type>(group, &[0, 19_844], levels);
    put::<ByteArrayType>(group, &["{\"b\": [1.50]}".into(), "null".into()], levels);
    put::<ByteArrayType>(group, &[vec![0, 255].into(), vec![].into()], levels);
    put::<Int64Type>(group, &[-1, 0, 1], None);
}

const ROWS: [&str; 3] = [
    r#"["AP8=",1.5,0.10000000149011612,9007199254740993,255,"",true,"1970-01-01T00:00:00.001000Z","1970-01-01T00:00:00.000000Z",{"b": [1.50]},18446744073709551615]"#,
    "[null,null,null,null,0,null,null,null,null,null,0]",
    r#"["",-0,null,-7,1," ü\"\n",false,"2024-05-01T00:00:00.000000Z","2024-05-01T00:00:00.000000Z",null,1]"#,
];

fn file(
    schema: &str,
    properties: WriterProperties,
    groups: usize,
    put: impl Fn(&mut Group<'_>),
) -> NamedTempFile {
    let schema = Arc::new(parse_message_type(schema).unwrap());
    let out = NamedTempFile::new().unwrap();
    let mut out = SerializedFileWriter::new(out, schema, Arc::new(properties)).unwrap();
    for _ in 0..groups {
        let mut group = out.next_row_group().unwrap();
        put(&mut group);
        group.close().unwrap();
    }
    out.into_inner().unwrap()
}

fn open(file: &NamedTempFile) -> Arc<File> {
    Arc::new(File::open(file.path()).unwrap())
}

fn rules(columns: &[(&str, ColumnType)]) -> ValueRules {
    let columns = columns.iter().map(|&(name, column_type)| RowColumn {
        name: name.to_owned(),
        column_type,
    });
    let rows = RowRules::with(columns.collect(), false).unwrap();
    ValueRules::of_rows(rows, DEFAULT_CHUNK_LEVEL)
}

fn table(time: &str) -> Columns {
    Columns::Table {
        time: time.to_owned(),
        headers: Headers::default(),
    }
}

/// The values of the rows, and what is wrong with bad ones.
fn read_as(
    file: &NamedTempFile,
    columns: &Columns,
    rules: &ValueRules,
) -> anyhow::Result<Vec<Result<String, String>>> {
    let form = ParquetForm::of(&open(file), columns, &Said::default(), rules)?;
    let rows = ParquetRows::open(open(file), &form, rules.clone())?;
    rows.map(|row| match row {
        Ok(row) => Ok(Ok(String::from_utf8(row.value)?)),
        Err(RowError::Bad(row)) => Ok(Err(row.what)),
        Err(RowError::Read(error)) => Err(error),
    })
    .collect()
}

fn read(file: &NamedTempFile) -> anyhow::Result<Vec<Result<String, String>>> {
    read_as(file, &table("at"), &rules(&COLUMNS))
}

#[test]
fn cells_of_all_types_are_kept_as_the_rows_of_a_stream_whatever_packs_them() {
    // Others are written by the tests with Python: the writer here has none.
    for codec in [Compression::UNCOMPRESSED, Compression::SNAPPY] {
        for version in [WriterVersion::PARQUET_1_0, WriterVersion::PARQUET_2_0] {
            for dictionary in [true, false] {
                let properties = WriterProperties::builder()
                    .set_compression(codec)
                    .set_writer_version(version)
                    .set_dictionary_enabled(dictionary)
                    .set_column_encoding("text".into(), parquet::basic::Encoding::PLAIN)
                    .set_column_encoding("what".into(), parquet::basic::Encoding::PLAIN)
                    .set_column_encoding(
                        "data".into(),
                        parquet::basic::Encoding::DELTA_LENGTH_BYTE_ARRAY,
                    );
                let file = file(SCHEMA, properties.build(), 2, put_all);
                let wanted = ROWS.map(|row| Ok(row.to_owned()));
                let wanted = [wanted.clone(), wanted].concat();
                assert_eq!(read(&file).unwrap(), wanted, "{codec} {version:?}");
            }
        }
    }
}

#[test]
fn what_no_cell_can_be_is_refused_by_its_name() {
    for (column, why) in [
        (
            "optional group x (LIST) { repeated group list { optional int64 element; } }",
            "is a list",
        ),
        ("repeated int64 x", "is a list"),
        (
            "optional group x (MAP) { repeated group key_value { required binary key; optional int64 value; } }",
            "is a map",
        ),
        ("optional group x { optional int64 a; }", "is a struct"),
        ("optional int64 x (DECIMAL(18,2))", "has decimals"),
        ("optional int96 x", "timestamps of 96 bits"),
        ("optional int64 x (TIME(MICROS,true))", "times of day"),
        ("optional fixed_len_byte_array(16) x (UUID)", "UUIDs"),
        ("optional fixed_len_byte_array(2) x (FLOAT16)", "16 bits"),
        (
            "optional fixed_len_byte_array(12) x (INTERVAL)",
            "not known here",
        ),
    ] {
        let end = if column.ends_with('}') { "" } else { ";" };
        let schema =
            format!("message rows {{ required int64 at (TIMESTAMP(MICROS,true)); {column}{end} }}");
        let schema = parse_message_type(&schema).unwrap();
        let refused = Kind::of(&schema.get_fields()[1]).unwrap_err();
        assert!(refused.contains(why), "{column}: {refused}");
    }
}

#[test]
fn a_column_must_be_what_the_stream_takes() {
    let file = file(SCHEMA, WriterProperties::default(), 1, put_all);
    for (name, column_type, why) in [
        (
            "number",
            ColumnType::Text,
            "column `number` has floating-point numbers; the stream takes text",
        ),
        (
            "is",
            ColumnType::Number,
            "column `is` has bools; the stream takes number",
        ),
        ("seen", ColumnType::Integer, "column `seen` has timestamps"),
        ("nowhere", ColumnType::Text, "there is no column `nowhere`"),
    ] {
        let refused = read_as(&file, &table("at"), &rules(&[(name, column_type)])).unwrap_err();
        assert!(format!("{refused:#}").contains(why), "{refused:#}");
    }
    let refused = read_as(&file, &table("is"), &rules(&COLUMNS)).unwrap_err();
    assert!(refused.to_string().contains("no times"), "{refused}");
    // 2^64 - 1 and 1.5 are no integers, and text is what it says.
    let columns = [
        ("big", ColumnType::Integer),
        ("number", ColumnType::Integer),
    ];
    let rows = read_as(&file, &table("at"), &rules(&columns)).unwrap();
    let first = rows[0].clone().unwrap_err();
    assert!(
        first.contains("`18446744073709551615` is not an integer"),
        "{first}"
    );
    assert_eq!(rows[2], Ok("[1,0]".to_owned()));
}

const TIMES: &str = "message rows {
    required int64 at (TIMESTAMP(NANOS,true));
    optional int64 other (TIMESTAMP(NANOS,false));
    optional double v;
}";

#[test]
fn nanoseconds_finer_than_a_microsecond_are_bad_rows_and_infinity_too() {
    let file = file(TIMES, WriterProperties::default(), 1, |group| {
        let all = Some(&[1, 1, 1, 1][..]);
        put::<Int64Type>(group, &[1_000, 2_001, 3_000, 4_000], None);
        put::<Int64Type>(group, &[1_000, 1_000, -1, 5_000], all);
        put::<DoubleType>(group, &[1e300, 1.0, 1.0, f64::INFINITY], all);
    });
    let columns = [("other", ColumnType::Time), ("v", ColumnType::Number)];
    let rows = read_as(&file, &table("at"), &rules(&columns)).unwrap();
    assert!(rows[0].is_ok(), "{rows:?}");
    for (row, why) in rows[1..].iter().zip([
        "column `at`: the time 1970-01-01T00:00:00.000002Z and 1 nanoseconds is finer",
        "column `other`: the time 1969-12-31T23:59:59.999999 and 999 nanoseconds is finer",
        "column `v`: `inf`",
    ]) {
        let bad = row.clone().unwrap_err();
        assert!(bad.contains(why), "{bad}");
    }
}

#[test]
fn a_stream_of_single_values_reads_one_column_of_them() {
    let file = file(SCHEMA, WriterProperties::default(), 1, put_all);
    let value = |value: &str, value_type| {
        let columns = Columns::Named {
            time: "at".to_owned(),
            value: value.to_owned(),
        };
        let rules = ValueRules::new(value_type, DEFAULT_CHUNK_LEVEL);
        read_as(&file, &columns, &rules)
    };
    let wholes = value("whole", ValueType::Number).unwrap();
    assert_eq!(wholes[0], Ok("9007199254740993".to_owned()));
    assert_eq!(wholes[1], Err("column `whole`: it has no value".to_owned()));
    assert_eq!(
        value("number", ValueType::Number).unwrap()[2],
        Ok("-0".to_owned())
    );
    assert!(value("small", ValueType::Number).unwrap()[2].is_err());
    assert_eq!(
        value("text", ValueType::Text).unwrap()[2],
        Ok(" ü\"\n".to_owned())
    );
    assert!(value("number", ValueType::Text).is_err());
}

#[test]
fn a_damaged_file_is_an_error_or_other_rows_and_never_a_panic() {
    let whole = file(SCHEMA, WriterProperties::default(), 1, put_all);
    let bytes = fs::read(whole.path()).unwrap();
    for length in (0..bytes.len()).step_by(7) {
        let mut cut = NamedTempFile::new().unwrap();
        cut.write_all(&bytes[..length]).unwrap();
        assert!(read(&cut).is_err(), "{length}");
    }
    for place in 0..bytes.len() {
        for flip in [0x01, 0x80, 0xff] {
            let mut changed = bytes.clone();
            changed[place] ^= flip;
            let mut file = NamedTempFile::new().unwrap();
            file.write_all(&changed).unwrap();
            let _ = read(&file);
        }
    }
}

#[test]
fn pages_take_no_more_room_than_there_is_and_give_it_back() {
    let room = Arc::new(Room::default());
    let half = super::super::limits::MAX_PAGES_BYTES / 2;
    let first = room.hold(half, 0).unwrap();
    let second = room.hold(half, 0).unwrap();
    let refused = room.hold(1, 0).err().unwrap().to_string();
    assert!(refused.contains("256 MiB at one time"), "{refused}");
    drop(first);
    assert!(room.hold(half, 0).is_ok());
    drop(second);
    assert!(room.hold(usize::MAX, usize::MAX).is_err());
    assert!(room.hold(2 * half, 0).is_ok());
}

/// A file whose only page says to be larger than it is.
#[test]
fn a_page_that_unpacks_to_more_than_it_says_is_refused() {
    let file = file(SCHEMA, WriterProperties::default(), 1, put_all);
    let parquet = ParquetFile::open(open(&file)).unwrap();
    let chunk = parquet.groups()[0].column(1);
    let room = Arc::default();
    let mut pages = Pages::new(&open(&file), chunk, &room).unwrap();
    assert!(pages.get_next_page().unwrap().is_some());
    let many = vec![0; 1 << 20];
    let packed = zstd_safe_bytes(&many);
    let zstd = Compression::ZSTD(ZstdLevel::default());
    let gzip = Compression::GZIP(GzipLevel::default());
    let mut zipped = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    zipped.write_all(&many).unwrap();
    let zipped = zipped.finish().unwrap();
    let snappy = snap::raw::Encoder::new().compress_vec(&many).unwrap();
    for (codec, packed) in [
        (zstd, &packed),
        (gzip, &zipped),
        (Compression::SNAPPY, &snappy),
        (Compression::UNCOMPRESSED, &many),
    ] {
        let mut out = Vec::new();
        assert!(pages::unpack(codec, packed, many.len(), &mut out).is_some());
        assert!(out == many, "{codec}");
        for wanted in [1, many.len() - 1, many.len() + 1] {
            let mut out = Vec::new();
            assert!(
                pages::unpack(codec, packed, wanted, &mut out).is_none(),
                "{codec} {wanted}"
            );
            assert!(out.capacity() < 2 * many.len() + 64, "{codec}");
        }
    }
}

fn zstd_safe_bytes(many: &[u8]) -> Vec<u8> {
    let mut packed = vec![0; zstd_safe::compress_bound(many.len())];
    let written = zstd_safe::compress(&mut packed[..], many, 1).unwrap();
    packed.truncate(written);
    packed
}
