//! What the values of a stream are written as: one, or a row with a cell for each of
//! its columns.

use std::sync::Arc;

use headwater_client::cell::{Cell, TokenWriter, cell, rest};
use headwater_protocols::manifest::{ColumnType, Manifest, ValueType};
use headwater_protocols::row::RowReader;

/// What the values of a stream are.
#[derive(Clone, Debug)]
pub enum Shape {
    /// One value each.
    One(ValueType),
    /// Rows.
    Rows(Arc<Table>),
}

impl Shape {
    /// As the manifest says.
    #[must_use]
    pub fn of(manifest: &Manifest) -> Self {
        if manifest.columns.is_empty() {
            return Self::One(manifest.value_type);
        }
        let columns = manifest.columns.iter().enumerate();
        let columns = columns.map(|(place, column)| Shown {
            name: column.name.clone(),
            column_type: column.column_type,
            place,
        });
        let columns: Vec<_> = columns.collect();
        Self::Rows(Arc::new(Table {
            count: columns.len(),
            columns,
            has_rest: manifest.about.is_some(),
            has_token: true,
        }))
    }

    /// Some columns alone, in this order, and nothing of what they do not give back.
    ///
    /// # Errors
    /// One is not there, or said twice, or there are none; says which.
    pub fn chosen(&self, names: &[&str]) -> Result<Self, String> {
        let Self::Rows(all) = self else {
            return Err("the stream has one value a record, and no columns".to_owned());
        };
        let mut columns = Vec::<Shown>::new();
        let mut has_rest = false;
        for &name in names {
            if has_rest {
                return Err("`rest` stands behind all other columns".to_owned());
            }
            if columns.iter().any(|column| column.name == name) {
                return Err(format!("column `{name}` is said twice"));
            }
            match all.columns.iter().find(|column| column.name == name) {
                Some(column) => columns.push(column.clone()),
                None if name == "rest" && all.has_rest => has_rest = true,
                None => {
                    let known = all.names().collect::<Vec<_>>().join(", ");
                    return Err(format!("there is no column `{name}`; there are: {known}"));
                }
            }
        }
        Ok(Self::Rows(Arc::new(Table {
            columns,
            has_rest,
            has_token: false,
            ..**all
        })))
    }

    /// What the columns are called if not all of them are written.
    #[must_use]
    pub fn chosen_names(&self) -> Option<Vec<&str>> {
        match self {
            Self::One(_) => None,
            Self::Rows(table) => (!table.has_token).then(|| table.names().collect()),
        }
    }

    /// What a value is where it is not taken apart.
    #[must_use]
    pub fn value_type(&self) -> ValueType {
        match self {
            Self::One(value_type) => *value_type,
            Self::Rows(_) => ValueType::Json,
        }
    }
}

impl From<ValueType> for Shape {
    fn from(value_type: ValueType) -> Self {
        Self::One(value_type)
    }
}

/// The columns of rows.
#[derive(Debug)]
pub struct Table {
    columns: Vec<Shown>,
    /// How many the stream has.
    count: usize,
    /// Whether there is one for what stands behind the others.
    has_rest: bool,
    /// Whether there is one for values that the others do not give back.
    has_token: bool,
}

/// A column that is written.
#[derive(Clone, Debug)]
struct Shown {
    name: String,
    column_type: ColumnType,
    /// Where it is in the stream.
    place: usize,
}

impl Table {
    /// What its columns are called, the last one `rest` if there is such a column.
    pub(super) fn names(&self) -> impl Iterator<Item = &str> {
        let rest = self.has_rest.then_some("rest");
        self.columns.iter().map(|column| &*column.name).chain(rest)
    }

    /// What each of them has, that one too.
    pub(super) fn all_types(&self) -> impl Iterator<Item = ColumnType> {
        self.types()
            .chain(self.has_rest.then_some(ColumnType::Json))
    }

    /// The types of all but that one.
    pub(super) fn types(&self) -> impl Iterator<Item = ColumnType> {
        self.columns.iter().map(|column| column.column_type)
    }

    /// The same with what each is called, and where it is in the rows of the stream.
    pub(super) fn places(&self) -> impl Iterator<Item = (&str, usize, ColumnType)> {
        let columns = self.columns.iter();
        columns.map(|column| (&*column.name, column.place, column.column_type))
    }

    /// Whether there is one for what stands behind the others.
    pub(super) fn has_rest(&self) -> bool {
        self.has_rest
    }

    /// Whether there is one for values that the others do not give back.
    pub(super) fn has_token(&self) -> bool {
        self.has_token
    }
}

/// What takes the cells of a row, one after the other.
pub(super) trait Cells {
    /// The cell of a column; nothing where the row has none.
    fn cell(&mut self, place: usize, found: Option<Found<'_>>);
}

/// A cell.
#[derive(Clone, Copy, Debug)]
pub(super) struct Found<'a> {
    pub(super) cell: &'a Cell<'a>,
    /// The token that it was read from.
    pub(super) json: &'a str,
    /// Whether it is written as that token.
    pub(super) gives_back: bool,
}

/// What a row says beside its cells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Told {
    /// It is a row, and each of its tokens is a cell.
    pub(super) conforms: bool,
    /// The cells are written as the row, or nobody asked for more than they are.
    pub(super) gives_back: bool,
}

/// Reads rows, without new memory for each.
#[derive(Debug)]
pub(super) struct TableReader {
    table: Arc<Table>,
    reader: RowReader,
    tokens: TokenWriter,
}

impl TableReader {
    pub(super) fn new(table: Arc<Table>) -> Self {
        Self {
            table,
            reader: RowReader::default(),
            tokens: TokenWriter::default(),
        }
    }

    pub(super) fn table(&self) -> &Table {
        &self.table
    }

    /// Hands over the cells of a value, in the order of the columns; all of them are
    /// missing where it is no row.
    pub(super) fn read(&mut self, value: &[u8], cells: &mut impl Cells) -> Told {
        let Self {
            table,
            reader,
            tokens,
        } = self;
        let (shown, has_rest, is_all) = (table.columns.len(), table.has_rest, table.has_token);
        let Some(row) = reader.read(value) else {
            (0..shown + usize::from(has_rest)).for_each(|place| cells.cell(place, None));
            return Told {
                conforms: !is_all,
                gives_back: !is_all,
            };
        };
        let (mut conforms, mut gives_back) = (true, true);
        for (place, column) in table.columns.iter().enumerate() {
            let token = row.token(column.place);
            let found = token.and_then(|token| Some((token, cell(token, column.column_type)?)));
            match &found {
                Some((token, cell)) => {
                    let found = Found {
                        cell,
                        json: token.json,
                        gives_back: tokens.gives_back(cell, *token),
                    };
                    gives_back &= found.gives_back;
                    cells.cell(place, Some(found));
                }
                None => {
                    conforms = false;
                    cells.cell(place, None);
                }
            }
        }
        let more = match has_rest {
            true => rest(&row, table.count),
            false => None,
        };
        conforms &= row.len() <= table.count || more.is_some();
        if has_rest {
            let json = more.as_deref().unwrap_or_default();
            let cell = &Cell::Json(json);
            let found = Found {
                cell,
                json,
                gives_back: true,
            };
            cells.cell(shown, more.is_some().then_some(found));
        }
        Told {
            conforms: !is_all || conforms,
            gives_back: !is_all || conforms && gives_back,
        }
    }
}

#[cfg(test)]
mod tests;
