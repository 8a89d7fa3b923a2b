//! CSV files whose columns are named by their user, or by their stream: how they are
//! written.

use anyhow::Context;
use headwater_client::times::TimeForm;
use headwater_protocols::manifest::{ColumnType, ValueType};

use super::csv_header::{Headers, find, find_for, header};
use super::csv_input::Columns;
use super::csv_records::{RecordError, Records};
use super::delimiter::Delimiter;
use super::dialect::{Dialect, Said};
use super::file_source::Source;
use super::guess::{TimeCensus, ValueCensus};
use super::row::RowRules;
use super::value::ValueRules;

/// Where the columns are.
struct Place {
    delimiter: Delimiter,
    time: usize,
    /// Those of numbers, in which commas may be decimal signs.
    numbers: Vec<usize>,
}

/// Finds out what was not said. A file in the usual form is looked at no further
/// than its first row, because it is read to its end by those who check it.
///
/// # Errors
/// It cannot be read, has no such columns, or does not tell how it is written.
pub(crate) fn dialect(
    source: &Source,
    columns: &Columns,
    said: &Said,
    rules: &ValueRules,
) -> anyhow::Result<Dialect> {
    let headers = match columns {
        Columns::Table { headers, .. } => Some(headers),
        Columns::Named { .. } | Columns::Placed { .. } => None,
    };
    let place = place(source, &wanted(columns, rules)?, headers, said.delimiter)?;
    let form = match &said.form {
        Some(form) => Some(form.clone()),
        None => usual(source, &place)?,
    };
    let comma_may_be_decimal =
        !place.numbers.is_empty() && place.delimiter != Delimiter::COMMA && !said.decimal_comma;
    let read = match form {
        Some(form) if !comma_may_be_decimal => said.plain(place.delimiter, form),
        _ => {
            let (times, values) = census(source, &place)?;
            said.dialect(place.delimiter, &times, &values)
        }
    };
    read.map_err(anyhow::Error::msg)
}

/// The columns of a file that its stream does not have.
///
/// # Errors
/// It cannot be read.
pub(crate) fn not_read(
    source: &Source,
    columns: &Columns,
    delimiter: Delimiter,
    rules: &ValueRules,
) -> anyhow::Result<Vec<String>> {
    let names = header(&mut Records::new(source.open()?, delimiter.byte()))?;
    Ok(columns.not_read(&names, rules))
}

/// The names of the columns, that of the times first, and whether there are numbers in
/// each.
fn wanted<'a>(columns: &'a Columns, rules: &'a ValueRules) -> anyhow::Result<Vec<(&'a str, bool)>> {
    Ok(match columns {
        Columns::Named { time, value } => {
            let is_number = rules.value_type() == ValueType::Number;
            vec![(&**time, false), (&**value, is_number)]
        }
        Columns::Table { time, .. } => {
            let columns = rules.rows().map(RowRules::columns).unwrap_or_default();
            let columns = columns
                .iter()
                .map(|column| (&*column.name, column.column_type == ColumnType::Number));
            std::iter::once((&**time, false)).chain(columns).collect()
        }
        Columns::Placed { .. } => anyhow::bail!("its columns have no names"),
    })
}

/// The delimiter with which the header has all columns.
fn place(
    source: &Source,
    wanted: &[(&str, bool)],
    headers: Option<&Headers>,
    said: Option<Delimiter>,
) -> anyhow::Result<Place> {
    let delimiters = said.map_or(Delimiter::FOUND_OUT.to_vec(), |said| vec![said]);
    let mut best: Option<(usize, anyhow::Error)> = None;
    for delimiter in delimiters {
        let names = match header(&mut Records::new(source.open()?, delimiter.byte())) {
            Ok(names) => names,
            // Quotation marks may stand right with another delimiter.
            Err(error) if is_misquoted(&error) => {
                best.get_or_insert((0, error));
                continue;
            }
            Err(error) => return Err(error),
        };
        let places = wanted
            .iter()
            .enumerate()
            .map(|(at, (name, _))| match headers {
                Some(headers) if at > 0 => find_for(&names, name, headers),
                Some(_) | None => find(&names, name),
            });
        let error = match places.collect::<anyhow::Result<Vec<_>>>() {
            Ok(places) => {
                let numbers = places.iter().zip(wanted);
                let numbers = numbers.filter(|(_, (_, is_number))| *is_number);
                return Ok(Place {
                    delimiter,
                    time: places.first().copied().unwrap_or_default(),
                    numbers: numbers.map(|(&place, _)| place).collect(),
                });
            }
            Err(error) => error,
        };
        // The one that tells most names knows best which are there.
        if best.as_ref().is_none_or(|(most, _)| names.len() > *most) {
            best = Some((names.len(), error));
        }
    }
    let (_, error) = best.context("there is no delimiter to try")?;
    Err(error)
}

fn is_misquoted(error: &anyhow::Error) -> bool {
    matches!(
        error.downcast_ref(),
        Some(RecordError::Misquoted { .. } | RecordError::Unclosed { .. })
    )
}

/// The usual form of times, if the first row is of it, or there is none.
fn usual(source: &Source, place: &Place) -> anyhow::Result<Option<TimeForm>> {
    let mut records = Records::new(source.open()?, place.delimiter.byte());
    header(&mut records)?;
    match records.advance() {
        Ok(true) => {}
        // The rows behind it tell.
        Err(RecordError::Misquoted { .. }) => return Ok(None),
        Ok(false) | Err(_) => return Ok(Some(TimeForm::Iso)),
    }
    let time = String::from_utf8_lossy(records.get(place.time).unwrap_or_default());
    Ok(TimeForm::Iso.read(&time).is_ok().then_some(TimeForm::Iso))
}

fn census(source: &Source, place: &Place) -> anyhow::Result<(TimeCensus, ValueCensus)> {
    let (mut times, mut values) = (TimeCensus::default(), ValueCensus::default());
    let mut records = Records::new(source.open()?, place.delimiter.byte());
    header(&mut records)?;
    loop {
        match records.advance() {
            Ok(true) => {}
            // Who checks the rows says what is wrong with it.
            Err(RecordError::Misquoted { .. }) => continue,
            Ok(false) | Err(RecordError::Unclosed { .. }) => return Ok((times, values)),
            Err(error) => return Err(error.into()),
        }
        let field = |place: usize| {
            String::from_utf8_lossy(records.get(place).unwrap_or_default().trim_ascii())
        };
        times.add(records.line(), &field(place.time));
        for &number in &place.numbers {
            values.add(records.line(), &field(number));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::file_kind::Expected;
    use super::*;

    fn read(text: &str) -> anyhow::Result<Dialect> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.csv");
        std::fs::write(&path, text).unwrap();
        let columns = Columns::Named {
            time: "date".to_owned(),
            value: "wind".to_owned(),
        };
        let source = Source::of(&path, Expected::Csv).unwrap();
        let rules = ValueRules::new(ValueType::Number, 8);
        dialect(&source, &columns, &Said::default(), &rules)
    }

    #[test]
    fn the_delimiter_is_the_one_with_which_the_columns_are_there() {
        for (text, delimiter) in [
            ("date,wind\n2024-01-01,1\n", ","),
            ("\u{feff}id;date;wind\n1;2024-01-01;1\n", ";"),
            ("date\twind\n2024-01-01\t1\n", "tab"),
            ("date;wind\n", ";"),
            ("\"date\";\"wind\"\n\"2024-01-01\";\"1\"\n", ";"),
        ] {
            assert_eq!(
                read(text).unwrap().delimiter,
                delimiter.parse().unwrap(),
                "{text}"
            );
        }
        let error = read("date;speed\n2024-01-01;1\n").unwrap_err().to_string();
        assert_eq!(
            error,
            "there is no column `wind`; there are: `date`, `speed`"
        );
        assert_eq!(read("").unwrap_err().to_string(), "it is empty");
    }

    #[test]
    fn where_the_first_row_is_unusual_all_of_them_are_looked_at() {
        let decimal = read("date;wind\n2024-01-01;1,5\n2024-01-02;2,25\n").unwrap();
        assert!(decimal.decimal_comma && decimal.times.form == TimeForm::Iso);
        let millis = read("date,wind\n0,1\n1700000000123,2\n").unwrap();
        assert_eq!(millis.times.form, "unix-ms".parse().unwrap());
        assert!(
            read("date,wind\n0,1\n1,2\n")
                .unwrap_err()
                .to_string()
                .contains("--time-unit")
        );
        let late = read("date,wind\nn/a,1\n2024-01-01,2\n").unwrap();
        assert_eq!(late.times.form, TimeForm::Iso);
    }
}
