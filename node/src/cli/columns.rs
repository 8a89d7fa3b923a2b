//! Columns, as they are named on a command line: `temperature:number:°C,sky:text`, or
//! as a file has them.

use std::path::Path;

use anyhow::{Context, bail};
use headwater_client::types::NewColumn;
use headwater_protocols::manifest::ColumnType;

use super::Invocation;
use super::ask::{can_ask, is_yes};
use crate::import::column_guess::{columns_of, parquet_columns};
use crate::import::file_kind::Expected;
use crate::import::file_source::Source;

/// The columns of a new stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Columns(pub(super) Vec<NewColumn>);

/// Reads them; what a stream cannot have is refused when it is created.
///
/// # Errors
/// One has no name, or no type that is known.
pub(super) fn parse(text: &str) -> Result<Columns, String> {
    text.split(',')
        .map(column)
        .collect::<Result<_, _>>()
        .map(Columns)
}

/// Those of a file, which are shown before anything is signed.
///
/// # Errors
/// It cannot be read, does not tell, or they are not what is meant.
pub(super) async fn from_file(
    invocation: &Invocation,
    path: &Path,
    time_column: Option<&str>,
) -> anyhow::Result<Vec<NewColumn>> {
    let (path, time) = (path.to_owned(), time_column.map(ToOwned::to_owned));
    let find = move || {
        // It may be a list in JSON, too.
        let source = Source::of(&path, Expected::Columns)?;
        if source.is_parquet() {
            let found = parquet_columns(&source, time.as_deref());
            return found.with_context(|| format!("cannot tell the columns of {}", source.name));
        }
        let found = columns_of(&source, time.as_deref(), None, false);
        found.with_context(|| format!("cannot tell the columns of {}", source.name))
    };
    let guessed = tokio::task::spawn_blocking(find).await??;
    (guessed.said.iter()).for_each(|line| invocation.out.note(line));
    let question = "create the stream with these columns, for good?";
    if can_ask(invocation) && !is_yes(question.to_owned()).await? {
        bail!("nothing was created; say the columns with --columns, or as a list in JSON");
    }
    Ok(guessed.columns)
}

fn column(text: &str) -> Result<NewColumn, String> {
    let mut parts = text.splitn(3, ':').map(str::trim);
    let name = parts.next().unwrap_or_default();
    let types = || ColumnType::all().map(ColumnType::word).join(", ");
    if name.is_empty() {
        return Err(format!(
            "`{text}` has no name; a column is NAME:TYPE or NAME:TYPE:UNIT, the next one stands behind a comma"
        ));
    }
    let Some(column_type) = parts.next() else {
        return Err(format!(
            "column `{name}` has no type; say {name}: and one of {}",
            types()
        ));
    };
    if !ColumnType::all()
        .into_iter()
        .any(|known| known.word() == column_type)
    {
        return Err(format!(
            "column `{name}`: `{column_type}` is not a type of columns; these are {}",
            types()
        ));
    }
    Ok(NewColumn {
        name: name.to_owned(),
        column_type: column_type.to_owned(),
        unit: parts.next().unwrap_or_default().to_owned(),
        description: String::new(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_have_a_name_a_type_and_perhaps_a_unit() {
        let Columns(columns) = parse("temperature:number:°C, sky:text,ratio:number:m:s").unwrap();
        let shown: Vec<_> = columns
            .iter()
            .map(|column| (&*column.name, &*column.column_type, &*column.unit))
            .collect();
        assert_eq!(
            shown,
            [
                ("temperature", "number", "°C"),
                ("sky", "text", ""),
                ("ratio", "number", "m:s")
            ]
        );
    }

    #[test]
    fn what_is_no_column_is_refused_with_what_is_missing() {
        for (text, why) in [
            ("", "has no name"),
            (":number", "has no name"),
            ("a:number,", "has no name"),
            ("a", "column `a` has no type; say a: and one of number"),
            (
                "a:float",
                "`float` is not a type of columns; these are number, integer",
            ),
            ("a:", "`` is not a type"),
            ("a:Number", "`Number` is not a type"),
        ] {
            let refused = parse(text).unwrap_err();
            assert!(refused.contains(why), "{text}: {refused}");
        }
    }
}
