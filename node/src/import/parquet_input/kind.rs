//! What the columns of a Parquet file have: what of it a cell of a stream can be, and
//! what not, by name.

use headwater_client::times::text::{FIRST_RFC3339, LAST_RFC3339, to_text};
use headwater_protocols::manifest::ColumnType;
use headwater_protocols::time::Timestamp;
use parquet::basic::{ConvertedType, LogicalType, Repetition, TimeUnit, Type as PhysicalType};
use parquet::schema::types::Type;

use super::super::limits::MAX_ROW_BYTES;
use super::super::row_cells::Field;

/// Microseconds of a day.
const DAY_US: i64 = 86_400_000_000;

/// What a column has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Bool,
    Integer,
    Unsigned,
    Number,
    Text,
    Json,
    Bytes,
    /// Days since 1970.
    Date,
    /// Since 1970, in a unit.
    Timestamp {
        unit: Unit,
        /// Whether they are of UTC; else of a place that the file does not name.
        is_utc: bool,
    },
    /// Nothing in any row.
    Nothing,
}

/// What timestamps count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Unit {
    Millis,
    Micros,
    Nanos,
}

/// A value as it is kept.
#[derive(Clone, Copy, Debug)]
pub(super) enum Raw<'a> {
    Bool(bool),
    Integer(i64),
    Number(f64),
    Bytes(&'a [u8]),
}

const LIST: &str = "is a list, and a cell of a stream is one value; take it apart into columns or rows \
                    (df.explode), or write it as JSON text";
const MAP: &str = "is a map, and a cell of a stream is one value; take it apart into columns, or write it as JSON text";
const STRUCT: &str = "is a struct, and a cell of a stream is one value; take it apart into columns \
                      (pandas.json_normalize, df.unnest), or write it as JSON text";
const DECIMAL: &str = "has decimals, which no double has to the last digit; write them as text, or as doubles where that \
                       is meant: df[c].astype(str), df[c].astype(float)";
const CLOCK: &str = "has times of day without a date; write them as text, or with the date";
const OTHER: &str = "is of a kind that is not known here; write it as text, numbers or timestamps";

impl Kind {
    /// That of a column.
    ///
    /// # Errors
    /// It is none; says what the column is, and what to do.
    pub(super) fn of(field: &Type) -> Result<Self, &'static str> {
        let about = field.get_basic_info();
        let (logical, converted) = (about.logical_type_ref(), about.converted_type());
        if !field.is_primitive() {
            return Err(match (logical, converted) {
                (Some(LogicalType::List), _) | (_, ConvertedType::LIST) => LIST,
                (Some(LogicalType::Map), _) | (_, ConvertedType::MAP) => MAP,
                (_, ConvertedType::MAP_KEY_VALUE) => MAP,
                _ => STRUCT,
            });
        }
        if about.has_repetition() && about.repetition() == Repetition::REPEATED {
            return Err(LIST);
        }
        match logical {
            Some(logical) => Self::of_logical(logical, field),
            None => Self::of_converted(converted, field),
        }
    }

    fn of_logical(logical: &LogicalType, field: &Type) -> Result<Self, &'static str> {
        Ok(match logical {
            LogicalType::String | LogicalType::Enum => Self::Text,
            LogicalType::Json => Self::Json,
            LogicalType::Date => Self::Date,
            LogicalType::Integer(integer) if integer.is_signed => Self::Integer,
            LogicalType::Integer(_) => Self::Unsigned,
            LogicalType::Timestamp(timestamp) => Self::Timestamp {
                unit: match timestamp.unit {
                    TimeUnit::MILLIS => Unit::Millis,
                    TimeUnit::MICROS => Unit::Micros,
                    TimeUnit::NANOS => Unit::Nanos,
                },
                is_utc: timestamp.is_adjusted_to_u_t_c,
            },
            LogicalType::Unknown => Self::Nothing,
            LogicalType::Decimal(_) => return Err(DECIMAL),
            LogicalType::Time(_) => return Err(CLOCK),
            LogicalType::Uuid => {
                return Err("has UUIDs in binary; write them as text: df[c].astype(str)");
            }
            LogicalType::Float16 => {
                return Err("has numbers of 16 bits; write them as doubles: df[c].astype(float)");
            }
            _ => match field.get_physical_type() {
                PhysicalType::BYTE_ARRAY | PhysicalType::FIXED_LEN_BYTE_ARRAY => return Err(OTHER),
                _ => return Self::of_converted(ConvertedType::NONE, field),
            },
        })
    }

    fn of_converted(converted: ConvertedType, field: &Type) -> Result<Self, &'static str> {
        let utc = |unit| Self::Timestamp { unit, is_utc: true };
        Ok(match (converted, field.get_physical_type()) {
            (ConvertedType::UTF8 | ConvertedType::ENUM, _) => Self::Text,
            (ConvertedType::JSON, _) => Self::Json,
            (ConvertedType::DATE, _) => Self::Date,
            (ConvertedType::TIMESTAMP_MILLIS, _) => utc(Unit::Millis),
            (ConvertedType::TIMESTAMP_MICROS, _) => utc(Unit::Micros),
            (ConvertedType::DECIMAL, _) => return Err(DECIMAL),
            (ConvertedType::TIME_MILLIS | ConvertedType::TIME_MICROS, _) => return Err(CLOCK),
            (ConvertedType::INTERVAL | ConvertedType::BSON, _) => return Err(OTHER),
            (
                ConvertedType::UINT_8
                | ConvertedType::UINT_16
                | ConvertedType::UINT_32
                | ConvertedType::UINT_64,
                _,
            ) => Self::Unsigned,
            (_, PhysicalType::BOOLEAN) => Self::Bool,
            (_, PhysicalType::INT32 | PhysicalType::INT64) => Self::Integer,
            (_, PhysicalType::FLOAT | PhysicalType::DOUBLE) => Self::Number,
            (_, PhysicalType::BYTE_ARRAY) => Self::Bytes,
            (_, PhysicalType::FIXED_LEN_BYTE_ARRAY) => {
                // The schema was taken apart by a reader that takes any length.
                let Type::PrimitiveType { type_length, .. } = field else {
                    return Err(OTHER);
                };
                match usize::try_from(*type_length) {
                    Ok(1..=MAX_ROW_BYTES) => Self::Bytes,
                    Ok(_) | Err(_) => {
                        return Err("has values that are longer than any stream takes");
                    }
                }
            }
            (_, PhysicalType::INT96) => {
                return Err(
                    "has timestamps of 96 bits, which Parquet has given up; write them as timestamps in microseconds: \
                     coerce_timestamps=\"us\", without use_deprecated_int96_timestamps",
                );
            }
        })
    }

    /// The type of a stream's column that has the same.
    pub(super) fn column_type(self) -> ColumnType {
        match self {
            Self::Bool => ColumnType::Bool,
            Self::Integer | Self::Unsigned => ColumnType::Integer,
            Self::Number => ColumnType::Number,
            Self::Text | Self::Nothing => ColumnType::Text,
            Self::Json => ColumnType::Json,
            Self::Bytes => ColumnType::Bytes,
            Self::Date | Self::Timestamp { .. } => ColumnType::Time,
        }
    }

    /// Whether a stream's column of this type can take it. A text can say anything, as
    /// in CSV.
    pub(super) fn fits(self, column_type: ColumnType) -> bool {
        let is_whole = matches!(self, Self::Integer | Self::Unsigned);
        let is_time = matches!(self, Self::Date | Self::Timestamp { .. });
        match column_type {
            _ if matches!(self, Self::Text | Self::Nothing) => true,
            ColumnType::Number | ColumnType::Integer => is_whole || self == Self::Number,
            ColumnType::Text => matches!(self, Self::Json | Self::Bytes),
            ColumnType::Bool => self == Self::Bool,
            ColumnType::Time => is_time || is_whole,
            ColumnType::Json => is_whole || matches!(self, Self::Json | Self::Number | Self::Bool),
            ColumnType::Bytes => self == Self::Bytes,
        }
    }

    /// Whether the times of observations can be in it.
    pub(super) fn can_be_time(self) -> bool {
        match self {
            Self::Date | Self::Timestamp { .. } | Self::Text => true,
            Self::Integer | Self::Unsigned | Self::Number => true,
            Self::Bool | Self::Json | Self::Bytes | Self::Nothing => false,
        }
    }

    /// For people.
    pub(super) fn described(self) -> &'static str {
        match self {
            Self::Bool => "has bools",
            Self::Integer | Self::Unsigned => "has integers",
            Self::Number => "has floating-point numbers",
            Self::Text => "has text",
            Self::Json => "has JSON",
            Self::Bytes => "has bytes",
            Self::Date => "has dates",
            Self::Timestamp { is_utc: true, .. } => "has timestamps, in UTC",
            Self::Timestamp { is_utc: false, .. } => "has timestamps without a zone",
            Self::Nothing => "has no type and no values",
        }
    }

    /// What a value says.
    ///
    /// # Errors
    /// It says what a cell cannot.
    pub(super) fn field(self, raw: Raw<'_>) -> Result<Field<'_>, String> {
        Ok(match (self, raw) {
            (_, Raw::Bool(is)) => Field::Bool(is),
            (_, Raw::Number(number)) => Field::Number(number),
            (Self::Date, Raw::Integer(days)) => Field::Time(micros(days, DAY_US, false)?),
            (Self::Timestamp { unit, is_utc }, Raw::Integer(count)) => {
                Field::Time(timestamp(count, unit, is_utc)?)
            }
            (Self::Unsigned, Raw::Integer(number)) => Field::Unsigned(number.cast_unsigned()),
            (_, Raw::Integer(number)) => Field::Integer(number),
            (Self::Text, Raw::Bytes(bytes)) => Field::Text(text(bytes)?),
            (Self::Json, Raw::Bytes(bytes)) => Field::Json(text(bytes)?),
            (_, Raw::Bytes(bytes)) => Field::Bytes(bytes),
        })
    }
}

fn text(bytes: &[u8]) -> Result<&str, String> {
    std::str::from_utf8(bytes).map_err(|_| "it is not UTF-8".to_owned())
}

fn timestamp(count: i64, unit: Unit, is_utc: bool) -> Result<String, String> {
    match unit {
        Unit::Millis => micros(count, 1_000, is_utc),
        Unit::Micros => micros(count, 1, is_utc),
        Unit::Nanos if count % 1_000 == 0 => micros(count / 1_000, 1, is_utc),
        Unit::Nanos => {
            let shown = micros(count.div_euclid(1_000), 1, is_utc)?;
            Err(format!(
                "the time {shown} and {} nanoseconds is finer than a microsecond, and times are kept in microseconds; round \
                 it first: df[c].dt.floor(\"us\")",
                count.rem_euclid(1_000)
            ))
        }
    }
}

/// As RFC 3339; without a zone where it is not of UTC.
fn micros(count: i64, each: i64, is_utc: bool) -> Result<String, String> {
    let time = count.checked_mul(each).map(Timestamp);
    let time = time.filter(|time| (FIRST_RFC3339..=LAST_RFC3339).contains(time));
    let Some(time) = time else {
        return Err("it has a time outside of the years 0 to 9999".to_owned());
    };
    let mut text = to_text(time);
    if !is_utc {
        text.pop();
    }
    Ok(text)
}
