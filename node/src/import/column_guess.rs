//! The columns of a stream, as a file tells them: a JSON list says them, and of a CSV
//! file they are told by all of its rows.

use std::io::Read;

use anyhow::{Context, bail};
use headwater_client::json_value;
use headwater_client::object::Object;
use headwater_client::times;
use headwater_client::types::NewColumn;
use headwater_protocols::limits::MAX_COLUMNS;
use headwater_protocols::manifest::ColumnType;
use headwater_protocols::number;

use super::csv_header::{find, header};
use super::csv_records::{RecordError, Records};
use super::delimiter::Delimiter;
use super::file_source::{Bytes, Source};
use super::guess::ValueCensus;
use super::limits::{LOOK_BYTES, MAX_ROW_BYTES};
use super::number_text::with_point;
use super::parquet_input;
use crate::wording::{counted, printable};

/// The columns that were found, and what a person should look at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Guessed {
    pub(crate) columns: Vec<NewColumn>,
    /// A line for each, and one of the times.
    pub(crate) said: Vec<String>,
}

/// Reads a list of columns in JSON, or looks at all rows of a CSV file.
///
/// # Errors
/// It cannot be read, is no such list, or has no column of times that is told.
pub(crate) fn columns_of(
    source: &Source,
    time: Option<&str>,
    delimiter: Option<Delimiter>,
    decimal_comma: bool,
) -> anyhow::Result<Guessed> {
    let mut first = Vec::new();
    source
        .open()?
        .take(LOOK_BYTES as u64)
        .read_to_end(&mut first)?;
    match first.trim_ascii_start().first() {
        Some(b'[') => listed(source),
        _ => told_by_rows(source, time, delimiter, decimal_comma),
    }
}

/// Those of a Parquet file, which has their names and types.
///
/// # Errors
/// It cannot be read, or one of its columns can be none of a stream.
pub(crate) fn parquet_columns(source: &Source, time: Option<&str>) -> anyhow::Result<Guessed> {
    let (time, found) = parquet_input::columns_of(source.file()?, time)?;
    let mut said = vec![format!(
        "the times are in column {}; what the file says of the others:",
        time
    )];
    let mut columns = Vec::new();
    for (mut column, described) in found {
        unit_of(&column.name).clone_into(&mut column.unit);
        said.push(format!("{} (the file {described})", shown(&column)));
        columns.push(column);
    }
    Ok(Guessed { columns, said })
}

fn listed(source: &Source) -> anyhow::Result<Guessed> {
    let mut json = String::new();
    let most = MAX_ROW_BYTES as u64;
    source.open()?.take(most).read_to_string(&mut json)?;
    let columns: Vec<Object<NewColumn>> = serde_json::from_str(&json).context(
        "it is no list of columns, [{\"name\":…,\"type\":…,\"unit\":…,\"description\":…}]",
    )?;
    let columns: Vec<_> = columns.into_iter().map(|Object(column)| column).collect();
    let said = columns.iter().map(shown).collect();
    Ok(Guessed { columns, said })
}

fn shown(column: &NewColumn) -> String {
    let unit = match column.unit.is_empty() {
        true => String::new(),
        false => format!(" in {}", printable(&column.unit)),
    };
    let (name, word) = (printable(&column.name), printable(&column.column_type));
    format!("column {name}: {word}{unit}")
}

/// What the fields of a column can be.
#[derive(Clone, Debug)]
struct Seen {
    values: u64,
    first: Option<String>,
    is: [bool; 4],
}

/// In the order in which they are tried: what one of them is, is not of those behind it.
const TYPES: [ColumnType; 4] = [
    ColumnType::Integer,
    ColumnType::Number,
    ColumnType::Bool,
    ColumnType::Time,
];

impl Default for Seen {
    fn default() -> Self {
        Self {
            values: 0,
            first: None,
            is: [true; 4],
        }
    }
}

impl Seen {
    fn add(&mut self, field: &[u8], decimal_comma: bool) {
        let text = String::from_utf8_lossy(field);
        let text = text.trim();
        if text.is_empty() {
            return;
        }
        if text.eq_ignore_ascii_case("nan") {
            // So programs write a number that is none, and nothing else.
            for (is, column_type) in self.is.iter_mut().zip(TYPES) {
                *is &= matches!(column_type, ColumnType::Integer | ColumnType::Number);
            }
            return;
        }
        self.values += 1;
        if self.first.is_none() {
            self.first = Some(text.chars().take(32).collect());
        }
        for (is, column_type) in self.is.iter_mut().zip(TYPES) {
            *is = *is && fits(text, column_type, decimal_comma);
        }
    }

    fn column_type(&self) -> ColumnType {
        let is = self.is.into_iter().zip(TYPES).find(|(is, _)| *is);
        match (self.values, is) {
            (0, _) | (_, None) => ColumnType::Text,
            (_, Some((_, column_type))) => column_type,
        }
    }
}

fn fits(text: &str, column_type: ColumnType, decimal_comma: bool) -> bool {
    match column_type {
        ColumnType::Integer => !leads_with_zeros(text) && text.parse::<i64>().is_ok(),
        ColumnType::Number => {
            let text = match decimal_comma {
                true => with_point(text).unwrap_or_default(),
                false => text.into(),
            };
            let token = number::json_token(&text);
            !leads_with_zeros(&text) && token.is_some_and(|token| json_value::is_finite(&token))
        }
        ColumnType::Bool => matches!(&*text.to_ascii_lowercase(), "true" | "false"),
        ColumnType::Time => {
            let is_dated = text.len() >= 10 && text.as_bytes().get(4) == Some(&b'-');
            let moment = times::of_text(text, None, None);
            is_dated && moment.is_ok_and(|moment| !moment.is_cut)
        }
        ColumnType::Text | ColumnType::Json | ColumnType::Bytes => true,
    }
}

/// Such as a house has on its door, or a town as its code: no count.
fn leads_with_zeros(text: &str) -> bool {
    let mut digits = text.trim_start_matches(['-', '+']).bytes();
    digits.next() == Some(b'0') && digits.next().is_some_and(|next| next.is_ascii_digit())
}

fn told_by_rows(
    source: &Source,
    time: Option<&str>,
    delimiter: Option<Delimiter>,
    decimal_comma: bool,
) -> anyhow::Result<Guessed> {
    let delimiter = match delimiter {
        Some(delimiter) => delimiter,
        None => most_columns(source)?,
    };
    let mut records = Records::new(source.open()?, delimiter.byte());
    let names = header(&mut records)?;
    if names.len() > MAX_COLUMNS + 1 {
        bail!(
            "it has {} columns, and a stream at most {MAX_COLUMNS}",
            names.len()
        );
    }
    let (rows, mut seen) = look(source, delimiter, names.len(), decimal_comma)?;
    let named = time.map(|time| find(&names, time)).transpose()?;
    let mut comma = "";
    if delimiter != Delimiter::COMMA && !decimal_comma {
        let (_, with_comma) = look(source, delimiter, names.len(), true)?;
        if have_decimal_commas(source, delimiter, named, &seen, &with_comma)? {
            seen = with_comma;
            comma = ", where numbers have a decimal comma";
        }
    }
    let is_time = |seen: &Seen| seen.values == rows && seen.column_type() == ColumnType::Time;
    let time = match named {
        Some(time) => time,
        None => seen
            .iter()
            .position(is_time)
            .context("no column has a time in each row; say which one has them: --time-column T")?,
    };
    let mut said = vec![format!(
        "the times are in column {}; found out of {}{comma}:",
        printable(&names[time]),
        counted(rows, "row")
    )];
    let mut columns = Vec::new();
    for (place, (name, seen)) in names.iter().zip(&seen).enumerate() {
        if place == time {
            continue;
        }
        let column = NewColumn {
            name: name.clone(),
            column_type: seen.column_type().word().to_owned(),
            unit: unit_of(name).to_owned(),
            description: String::new(),
        };
        let values = match &seen.first {
            None => "no values".to_owned(),
            Some(first) => {
                format!(
                    "{}, the first `{}`",
                    counted(seen.values, "value"),
                    printable(first)
                )
            }
        };
        said.push(format!("{} ({values})", shown(&column)));
        columns.push(column);
    }
    Ok(Guessed { columns, said })
}

/// How many rows there are, and what each column has, with points or commas in its
/// numbers.
fn look(
    source: &Source,
    delimiter: Delimiter,
    columns: usize,
    decimal_comma: bool,
) -> anyhow::Result<(u64, Vec<Seen>)> {
    let mut seen = vec![Seen::default(); columns];
    let rows = each_row(source, delimiter, |records| {
        for (seen, field) in seen.iter_mut().zip(records.fields()) {
            seen.add(field, decimal_comma);
        }
    })?;
    Ok((rows, seen))
}

/// Whether who publishes the file finds out that commas are its decimal signs, if the
/// columns are what they are with such commas; one of times that was named is none of
/// them.
fn have_decimal_commas(
    source: &Source,
    delimiter: Delimiter,
    time: Option<usize>,
    with_point: &[Seen],
    with_comma: &[Seen],
) -> anyhow::Result<bool> {
    let is_number = |seen: &Seen| seen.column_type() == ColumnType::Number;
    let others = (0..with_comma.len()).filter(|place| Some(*place) != time);
    let (numbers, others): (Vec<_>, Vec<_>) =
        others.partition(|&place| is_number(&with_comma[place]));
    if others.iter().any(|&place| is_number(&with_point[place])) {
        return Ok(false);
    }
    let mut values = ValueCensus::default();
    each_row(source, delimiter, |records| {
        for &place in &numbers {
            let field = records.get(place).unwrap_or_default();
            values.add(records.line(), String::from_utf8_lossy(field).trim());
        }
    })?;
    Ok(values.decimal_comma(delimiter == Delimiter::COMMA))
}

/// Reads the rows behind the header; says how many there are.
fn each_row(
    source: &Source,
    delimiter: Delimiter,
    mut take: impl FnMut(&Records<Bytes>),
) -> anyhow::Result<u64> {
    let mut records = Records::new(source.open()?, delimiter.byte());
    header(&mut records)?;
    let mut rows = 0;
    loop {
        match records.advance() {
            Ok(true) => {}
            // Who publishes the file is told what is wrong with it.
            Err(RecordError::Misquoted { .. }) => continue,
            Ok(false) | Err(RecordError::Unclosed { .. }) => return Ok(rows),
            Err(error) => return Err(error.into()),
        }
        rows += 1;
        take(&records);
    }
}

/// The unit behind a name: `air (°C)`, `air [°C]`.
fn unit_of(name: &str) -> &str {
    let within = |open: char, close: char| {
        let (_, unit) = name.strip_suffix(close)?.rsplit_once(open)?;
        Some(unit.trim())
    };
    within('(', ')').or_else(|| within('[', ']')).unwrap_or("")
}

/// The delimiter that cuts the header into most names.
fn most_columns(source: &Source) -> anyhow::Result<Delimiter> {
    let mut best = (0, Delimiter::COMMA);
    for delimiter in Delimiter::FOUND_OUT {
        let mut records = Records::new(source.open()?, delimiter.byte());
        let Ok(names) = header(&mut records) else {
            continue;
        };
        if names.len() > best.0 {
            best = (names.len(), delimiter);
        }
    }
    Ok(best.1)
}

#[cfg(test)]
mod tests {
    use super::super::file_kind::Expected;
    use super::*;

    fn guessed(text: &str, time: Option<&str>) -> anyhow::Result<Vec<String>> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.csv");
        std::fs::write(&path, text).unwrap();
        let source = Source::of(&path, Expected::Ndjson)?;
        let found = columns_of(&source, time, None, false)?;
        let columns = found.columns.into_iter();
        let shown = |c: NewColumn| format!("{}:{}:{}", c.name, c.column_type, c.unit);
        Ok(columns.map(shown).collect())
    }

    #[test]
    fn the_types_of_columns_are_told_by_all_rows() {
        let text = "id,date,air (°C),count,wet,zip,at,none,late\n\
                    a1,2024-05-01,1,7,true,01234,2024-05-01T12:00:00Z,,\n\
                    7,2024-05-02,,-8,FALSE,11111,,,x\n\
                    7,2024-05-03T00:00:00Z,1.5,NaN,,22222,2024-05-01 13:00:00+02:00,,1\n";
        assert_eq!(
            guessed(text, None).unwrap(),
            [
                "id:text:",
                "air (°C):number:°C",
                "count:integer:",
                "wet:bool:",
                "zip:text:",
                "at:time:",
                "none:text:",
                "late:text:"
            ]
        );
        let other = guessed(&text.replace(',', ";"), Some("at")).unwrap();
        assert_eq!(other[1], "date:time:");
        let none = guessed("a,b\n1,2\n", None).unwrap_err();
        assert!(none.to_string().contains("--time-column"), "{none}");
        assert!(guessed("a,b\n1,2\n", Some("c")).is_err());
    }

    #[test]
    fn what_stands_for_no_number_stands_for_nothing_else() {
        let text = "t,yes,at,n,x,air\n\
                    2024-05-01,true,2024-05-01,nan,nan,nan\n\
                    2024-05-02,NaN,nan,1,nan,1.5\n";
        assert_eq!(
            guessed(text, None).unwrap(),
            [
                "yes:text:",
                "at:text:",
                "n:integer:",
                "x:text:",
                "air:number:"
            ]
        );
    }

    #[test]
    fn commas_are_decimal_signs_where_who_publishes_the_file_takes_them_for_those() {
        let columns = |rows: &str| guessed(&format!("t;a;b\n{rows}"), None).unwrap();
        let numbers = ["a:number:", "b:integer:"];
        assert_eq!(columns("2024-05-01;1,5;1\n2024-05-02;2;\n"), numbers);
        assert_eq!(columns("2024-05-01;1,500;1\n2024-05-02;2,5;\n"), numbers);
        for (rows, types) in [
            // Thousands, perhaps; a point beside it; a list.
            ("2024-05-01;1,500;1\n", ["a:text:", "b:integer:"]),
            ("2024-05-01;1,5;1.5\n", ["a:text:", "b:number:"]),
            ("2024-05-01;1,5;1,2,3\n", ["a:number:", "b:text:"]),
            ("2024-05-01;1.5;1,2,3\n", ["a:number:", "b:text:"]),
        ] {
            assert_eq!(columns(rows), types, "{rows}");
        }
        let quoted = guessed("t,a\n2024-05-01,\"1,5\"\n", None).unwrap();
        assert_eq!(quoted, ["a:text:"]);
    }

    #[test]
    fn a_list_of_columns_is_taken_as_it_is() {
        let list = r#" [{"name":"air","type":"number","unit":"°C"},
            {"name":"sky","type":"text","description":"what is seen"}]"#;
        assert_eq!(guessed(list, None).unwrap(), ["air:number:°C", "sky:text:"]);
        for wrong in [
            "[1]",
            r#"[{"name":"a"}]"#,
            r#"[{"name":"a","type":"text","x":1}]"#,
            "[[",
        ] {
            assert!(guessed(wrong, None).is_err(), "{wrong}");
        }
    }
}
