//! Columns, as they are named on a command line: `temperature:number:°C,sky:text`.

use headwater_client::types::NewColumn;
use headwater_protocols::manifest::ColumnType;

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
