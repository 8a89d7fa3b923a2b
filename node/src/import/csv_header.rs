//! The first row of a CSV file: which columns there are, and where those stand that are
//! read.

use std::io::Read;

use super::csv_records::Records;
use super::limits::MAX_LISTED_COLUMNS;
use super::row::RowRules;
use crate::wording::printable;

/// The names of the columns.
///
/// # Errors
/// There is no row.
pub(crate) fn header<R: Read>(records: &mut Records<R>) -> anyhow::Result<Vec<String>> {
    let advanced = records.advance().map_err(|error| {
        let line = error.bad_line();
        let error = anyhow::Error::new(error);
        match line {
            Some(line) => error.context(format!("the header in line {line} is bad")),
            None => error,
        }
    });
    anyhow::ensure!(advanced?, "it is empty");
    let names = records.fields();
    Ok(names
        .map(|name| String::from_utf8_lossy(name).trim().to_owned())
        .collect())
}

/// The place of a column.
///
/// # Errors
/// It is not there, or there twice.
pub(crate) fn find(names: &[String], wanted: &str) -> anyhow::Result<usize> {
    let mut found = names.iter().enumerate().filter(|(_, name)| *name == wanted);
    match (found.next(), found.next()) {
        (Some((at, _)), None) => Ok(at),
        (Some(_), Some(_)) => {
            anyhow::bail!(
                "two columns are called `{wanted}`; there are: {}",
                listed(names)
            )
        }
        (None, _) => anyhow::bail!(
            "there is no column `{wanted}`; there are: {}",
            listed(names)
        ),
    }
}

/// Where the columns of a stream are in a file.
///
/// # Errors
/// One is not there, or there twice, or there is another one.
pub(super) fn places_of(
    rows: &RowRules,
    names: &[String],
    time: usize,
) -> anyhow::Result<Vec<usize>> {
    let places = rows
        .columns()
        .iter()
        .map(|column| find(names, &column.name));
    let places = places.collect::<anyhow::Result<Vec<_>>>()?;
    let is_other = |place: &usize| *place != time && !places.contains(place);
    match (0..names.len()).find(is_other) {
        None => Ok(places),
        Some(other) => anyhow::bail!(
            "the stream has no column `{}`; it has: {}",
            printable(&names[other].chars().take(64).collect::<String>()),
            rows.listed()
        ),
    }
}

/// Names of columns, as far as a terminal takes them.
fn listed(names: &[String]) -> String {
    let short = |name: &String| name.chars().take(64).collect::<String>();
    let mut shown: Vec<_> = (names.iter().take(MAX_LISTED_COLUMNS))
        .map(|name| format!("`{}`", printable(&short(name))))
        .collect();
    if names.len() > shown.len() {
        shown.push(format!("and {} more", names.len() - shown.len()));
    }
    shown.join(", ")
}
