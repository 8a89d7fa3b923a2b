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

/// What a file calls columns of a stream, where that is another name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Headers(Vec<(String, String)>);

impl Headers {
    /// # Errors
    /// One of them is no column of the stream, or said twice.
    pub(crate) fn new(said: &[(String, String)], rows: &RowRules) -> Result<Self, String> {
        for (at, (name, _)) in said.iter().enumerate() {
            if rows.place(name).is_none() {
                let (name, has) = (printable(name), rows.listed());
                return Err(format!("the stream has no column `{name}`; it has: {has}"));
            }
            if said[..at].iter().any(|(before, _)| before == name) {
                return Err(format!("column `{}` is said twice", printable(name)));
            }
        }
        Ok(Self(said.to_vec()))
    }

    /// What the file calls this column.
    pub(super) fn of<'a>(&'a self, name: &'a str) -> &'a str {
        let mut said = self.0.iter();
        let header = said.find_map(|(known, header)| (known == name).then_some(header));
        header.map_or(name, |header| header)
    }
}

/// Where the columns of a stream are in a file.
///
/// # Errors
/// One is not there, or there twice.
pub(super) fn places_of(
    rows: &RowRules,
    names: &[String],
    headers: &Headers,
) -> anyhow::Result<Vec<usize>> {
    let columns = rows.columns().iter();
    let places = columns.map(|column| find_for(names, &column.name, headers));
    places.collect()
}

/// The place of a column of the stream.
///
/// # Errors
/// As [`find`]; says what to do where the file calls it otherwise.
pub(super) fn find_for(names: &[String], column: &str, headers: &Headers) -> anyhow::Result<usize> {
    let header = headers.of(column);
    find(names, header).map_err(|error| match header == column {
        true => error.context(format!(
            "the stream's column `{0}` is not found; if the file calls it otherwise, say --column {0}=HEADER",
            printable(column)
        )),
        false => error,
    })
}

/// The columns of a file that are not read.
pub(crate) fn left_out(
    rows: &RowRules,
    names: &[String],
    time: &str,
    headers: &Headers,
) -> Vec<String> {
    let is_read = |name: &str| {
        let mut columns = rows.columns().iter();
        name == time || columns.any(|column| headers.of(&column.name) == name)
    };
    let names = names.iter().filter(|name| !is_read(name));
    names.cloned().collect()
}

/// Names of columns, as far as a terminal takes them.
pub(crate) fn listed(names: &[String]) -> String {
    let short = |name: &String| name.chars().take(64).collect::<String>();
    let mut shown: Vec<_> = (names.iter().take(MAX_LISTED_COLUMNS))
        .map(|name| format!("`{}`", printable(&short(name))))
        .collect();
    if names.len() > shown.len() {
        shown.push(format!("and {} more", names.len() - shown.len()));
    }
    shown.join(", ")
}
