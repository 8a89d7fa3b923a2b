//! Rows of streams with columns, as they come in: objects with the names of columns,
//! arrays in their order, and the fields of files. What is kept of each is one array.
//!
//! Numbers and JSON keep the token that they are given. Texts, times and bytes are
//! written in one way, so that their cells say all of what is signed.

use headwater_client::base64;
use headwater_client::cell::{Cell, TokenWriter};
use headwater_client::json_value;
use headwater_client::times::{self, Moment, TimeError, TimeForm, Written};
use headwater_client::types::StreamView;
use headwater_protocols::limits::{MAX_ROW_DEPTH, MAX_ROW_TOKENS};
use headwater_protocols::manifest::{ColumnType, Manifest};
use headwater_protocols::number;
use headwater_protocols::row::RowReader;
use serde_json::value::RawValue;

use super::limits::MAX_LISTED_COLUMNS;
use super::number_text::{Look, with_point};
use super::time_zone::Zone;
use crate::wording::{counted, printable};

/// What the rows of a stream must be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct RowRules {
    columns: Vec<RowColumn>,
    /// Whether rows may be longer than the columns.
    takes_more: bool,
}

/// A column, as far as rows must fit it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct RowColumn {
    pub(crate) name: String,
    pub(crate) column_type: ColumnType,
}

/// How the fields of a file are written.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Fields<'a> {
    /// Numbers have a decimal comma.
    pub(super) decimal_comma: bool,
    /// Of the times without an offset; UTC, unless it is said.
    pub(super) zone: Option<&'a Zone>,
}

/// Bytes that most numbers need at most, and what stands between two: a row that finds its
/// room is not moved while it grows.
const NUMBER_BYTES: usize = 12;

/// A row that grows token by token.
#[derive(Debug)]
pub(super) struct Growing {
    row: Vec<u8>,
    tokens: TokenWriter,
}

impl RowRules {
    /// Those of a manifest; `None` where a record is one value.
    pub(crate) fn of(manifest: &Manifest) -> Option<Self> {
        let columns = manifest.columns.iter().map(|column| RowColumn {
            name: column.name.clone(),
            column_type: column.column_type,
        });
        Self::with(columns.collect(), manifest.about.is_some())
    }

    /// The same, of a stream as its node shows it.
    pub(crate) fn of_view(stream: &StreamView) -> Option<Self> {
        let columns = stream.manifest.columns.iter().map(|column| {
            let is_it = |known: &ColumnType| known.word() == column.column_type;
            Some(RowColumn {
                name: column.name.clone(),
                column_type: ColumnType::all().into_iter().find(is_it)?,
            })
        });
        Self::with(
            columns.collect::<Option<_>>()?,
            stream.manifest.about.is_some(),
        )
    }

    pub(super) fn with(columns: Vec<RowColumn>, takes_more: bool) -> Option<Self> {
        (!columns.is_empty()).then_some(Self {
            columns,
            takes_more,
        })
    }

    pub(crate) fn columns(&self) -> &[RowColumn] {
        &self.columns
    }

    /// Whether a field `value` of an object is the whole row: where no column has that
    /// name.
    pub(crate) fn has_whole_value(&self) -> bool {
        self.place("value").is_none()
    }

    /// Where a column is.
    pub(super) fn place(&self, name: &str) -> Option<usize> {
        self.columns.iter().position(|column| column.name == name)
    }

    /// The row of an array, which is JSON.
    pub(super) fn of_array(&self, json: &str) -> Result<Vec<u8>, String> {
        let tokens: Vec<&RawValue> = serde_json::from_str(json)
            .map_err(|error| format!("{} is no array: {error}", shown(json)))?;
        let (given, wanted) = (tokens.len(), self.columns.len());
        if given < wanted {
            return Err(format!(
                "it has {} for {} ({}); what is missing is null",
                counted(given as u64, "value"),
                counted(wanted as u64, "column"),
                self.listed()
            ));
        }
        let mut growing = Growing::of(self.columns.len());
        for (column, token) in self.columns.iter().zip(&tokens) {
            growing.json(column, token.get())?;
        }
        self.finish(growing, &tokens[wanted..])
    }

    /// The row of the tokens of an object, in the order of the columns, and of what
    /// stands behind them.
    pub(super) fn of_tokens(
        &self,
        tokens: &[Option<&str>],
        more: &[&RawValue],
    ) -> Result<Vec<u8>, String> {
        let mut growing = Growing::of(self.columns.len());
        for (column, token) in self.columns.iter().zip(tokens) {
            growing.json(column, token.unwrap_or("null"))?;
        }
        self.finish(growing, more)
    }

    /// The row of the fields of a file, in the order of the columns.
    ///
    /// # Errors
    /// One is not of the type of its column, or no text; says which and why.
    pub(super) fn of_fields<'a>(
        &self,
        fields: impl Iterator<Item = &'a [u8]>,
        written: &Fields<'_>,
    ) -> Result<Vec<u8>, String> {
        let mut growing = Growing::of(self.columns.len());
        for (column, field) in self.columns.iter().zip(fields) {
            let text = std::str::from_utf8(field)
                .map_err(|_| format!("column `{}` is not UTF-8", printable(&column.name)))?;
            growing.field(column, text, written)?;
        }
        self.finish(growing, &[])
    }

    pub(super) fn finish(
        &self,
        mut growing: Growing,
        more: &[&RawValue],
    ) -> Result<Vec<u8>, String> {
        if !more.is_empty() && !self.takes_more {
            return Err(format!(
                "it has {} for {} ({}); more are taken only where the stream names a page `about` \
                 that says what they are",
                counted((self.columns.len() + more.len()) as u64, "value"),
                counted(self.columns.len() as u64, "column"),
                self.listed()
            ));
        }
        for token in more {
            growing.more(token.get())?;
        }
        let mut row = growing.row;
        row.push(b']');
        let has_nested = |column: &RowColumn| column.column_type == ColumnType::Json;
        let may_be_none = !more.is_empty() || self.columns.iter().any(has_nested);
        if may_be_none && RowReader::default().read(&row).is_none() {
            return Err(format!(
                "it has more than {MAX_ROW_TOKENS} values, or one with more than {MAX_ROW_DEPTH} objects and arrays \
                 within each other"
            ));
        }
        Ok(row)
    }

    /// Appends the fields of an object that is a row, which was checked.
    pub(super) fn put_fields(&self, out: &mut Vec<u8>, value: &[u8]) {
        let mut reader = RowReader::default();
        let Some(row) = reader.read(value) else {
            return;
        };
        for (place, column) in self.columns.iter().enumerate() {
            let token = row.token(place).map_or("null", |token| token.json);
            if place > 0 {
                out.push(b',');
            }
            let written = serde_json::to_writer(&mut *out, &column.name);
            debug_assert!(written.is_ok(), "a string is always written to memory");
            out.push(b':');
            out.extend_from_slice(token.as_bytes());
        }
        if let Some(rest) = row.rest(self.columns.len()) {
            out.extend_from_slice(br#","rest":"#);
            out.extend_from_slice(rest.as_bytes());
        }
    }

    /// The names of the columns, as far as a terminal takes them.
    pub(crate) fn listed(&self) -> String {
        let mut names: Vec<_> = (self.columns.iter().take(MAX_LISTED_COLUMNS))
            .map(|column| printable(&column.name))
            .collect();
        if names.len() < self.columns.len() {
            names.push(format!("and {} more", self.columns.len() - names.len()));
        }
        names.join(", ")
    }
}

impl Growing {
    /// With room for so many numbers.
    pub(super) fn of(columns: usize) -> Self {
        Self {
            row: Vec::with_capacity(columns * NUMBER_BYTES),
            tokens: TokenWriter::default(),
        }
    }

    /// What stands before the next token.
    pub(super) fn begin(&mut self) {
        let sign = if self.row.is_empty() { b'[' } else { b',' };
        self.row.push(sign);
    }

    /// The token of a column, as it is given.
    fn json(&mut self, column: &RowColumn, token: &str) -> Result<(), String> {
        self.begin();
        self.token(column.column_type, token)
            .map_err(|why| format!("column `{}`: {why}", printable(&column.name)))
    }

    fn token(&mut self, column_type: ColumnType, token: &str) -> Result<(), String> {
        let first = token.as_bytes().first().copied().unwrap_or_default();
        let is_number = first == b'-' || first.is_ascii_digit();
        match column_type {
            _ if token == "null" => self.copy(token),
            // Fields of CSV files come as strings.
            ColumnType::Number | ColumnType::Integer if first == b'"' => {
                let text = string(token)?;
                return self.text(column_type, text.trim());
            }
            ColumnType::Number if is_number && json_value::is_finite(token) => self.copy(token),
            ColumnType::Number if is_number => {
                return Err(format!("{} is beyond any double", shown(token)));
            }
            ColumnType::Integer if token.parse::<i64>().is_ok() => self.copy(token),
            ColumnType::Text if first == b'"' => self.put(&Cell::Text(string(token)?.into())),
            ColumnType::Bool if matches!(token, "true" | "false") => self.copy(token),
            ColumnType::Time if is_number || first == b'"' => {
                let moment = times::of_json(token, None, None);
                return self.moment(token, moment.map_err(|error| no_cell(&error))?);
            }
            ColumnType::Json => {
                json_value::check_token(token).map_err(|why| format!("{} {why}", shown(token)))?;
                self.in_one_line(token);
            }
            ColumnType::Bytes if first == b'"' => {
                return self.text(column_type, &string(token)?);
            }
            ColumnType::Number
            | ColumnType::Integer
            | ColumnType::Text
            | ColumnType::Bool
            | ColumnType::Time
            | ColumnType::Bytes => {
                return Err(format!("{} is {}", shown(token), no(column_type)));
            }
        }
        Ok(())
    }

    /// A field of a file. An empty one is nothing, and so is what programs write for a
    /// number that is none.
    pub(super) fn field(
        &mut self,
        column: &RowColumn,
        text: &str,
        written: &Fields<'_>,
    ) -> Result<(), String> {
        self.begin();
        let column_type = column.column_type;
        let text = match column_type {
            ColumnType::Text => text,
            _ => text.trim(),
        };
        let is_number = matches!(column_type, ColumnType::Number | ColumnType::Integer);
        if text.is_empty() || is_number && text.eq_ignore_ascii_case("nan") {
            self.put(&Cell::Missing);
            return Ok(());
        }
        let put = match (column_type, written.zone) {
            (ColumnType::Number, _) if written.decimal_comma => {
                with_point(text).and_then(|text| self.text(column_type, &text))
            }
            (ColumnType::Time, Some(zone)) => {
                moment_in(zone, text).and_then(|moment| self.moment(text, moment))
            }
            _ => self.text(column_type, text),
        };
        put.map_err(|why| {
            let advice = match Look::of(text) {
                _ if !is_number => None,
                Look::Missing => Some("where there is no value, leave the field empty"),
                // That is what was said.
                Look::TooLarge => None,
                look => look.advice(),
            };
            let advice = advice.map_or_else(String::new, |advice| format!("; {advice}"));
            format!("column `{}`: {why}{advice}", printable(&column.name))
        })
    }

    /// A text that says what a column has.
    fn text(&mut self, column_type: ColumnType, text: &str) -> Result<(), String> {
        match column_type {
            ColumnType::Number => match number::json_token(text) {
                Some(token) if json_value::is_finite(&token) => self.copy(&token),
                Some(_) => return Err(format!("{} is beyond any double", shown(text))),
                None => return Err(format!("{} is {}", shown(text), no(column_type))),
            },
            ColumnType::Integer => {
                // Programs write whole numbers so where some of a column are missing.
                let whole = text.trim_end_matches('0').strip_suffix('.').unwrap_or(text);
                let number = whole.parse::<i64>();
                let number =
                    number.map_err(|_| format!("{} is {}", shown(text), no(column_type)))?;
                self.put(&Cell::Integer(number));
            }
            ColumnType::Text => self.put(&Cell::Text(text.into())),
            ColumnType::Bool => match text.to_ascii_lowercase().as_str() {
                word @ ("true" | "false") => self.copy(word),
                _ => return Err(format!("{} is {}", shown(text), no(column_type))),
            },
            ColumnType::Time => return self.moment(text, moment(text)?),
            ColumnType::Json => {
                json_value::check(text).map_err(|why| format!("{} {why}", shown(text)))?;
                self.in_one_line(text);
            }
            ColumnType::Bytes => {
                let bytes = base64::decode(text.as_bytes()).map_err(|error| {
                    format!(
                        "{} is not base64 with padding (RFC 4648, section 4): {error}",
                        shown(text)
                    )
                })?;
                self.put(&Cell::Bytes(bytes));
            }
        }
        Ok(())
    }

    fn moment(&mut self, given: &str, moment: Moment) -> Result<(), String> {
        if moment.is_cut {
            return Err(format!(
                "{} is finer than a microsecond; times are kept in microseconds, so leave off the digits after the sixth",
                shown(given)
            ));
        }
        self.put(&Cell::Time(moment.time));
        Ok(())
    }

    /// A token behind the columns, of which no type is known.
    fn more(&mut self, token: &str) -> Result<(), String> {
        self.begin();
        json_value::check_token(token).map_err(|why| format!("{} {why}", shown(token)))?;
        self.in_one_line(token);
        Ok(())
    }

    pub(super) fn put(&mut self, cell: &Cell<'_>) {
        self.tokens.put(&mut self.row, cell);
    }

    fn copy(&mut self, token: &str) {
        self.row.extend_from_slice(token.as_bytes());
    }

    /// In valid JSON a byte below that of a space is always white space between tokens.
    fn in_one_line(&mut self, json: &str) {
        let json = json.trim().bytes();
        self.row.extend(json.map(|byte| byte.max(b' ')));
    }
}

/// The time that a text says; it is UTC where it says no offset.
fn moment(text: &str) -> Result<Moment, String> {
    times::of_text(text, None, None).map_err(|error| no_cell(&error))
}

/// The same, but of this zone where it says no offset.
fn moment_in(zone: &Zone, text: &str) -> Result<Moment, String> {
    let moment = moment(text)?;
    match TimeForm::Iso.written(text) {
        Ok(Written::Local(local)) if moment.has_no_zone => zone.only(local, text),
        Ok(_) | Err(_) => Ok(moment),
    }
}

/// Why a column has no such time. What a number counts is said of the times of
/// observations alone.
fn no_cell(error: &TimeError) -> String {
    let TimeError::UnitUnsaid { text, looks_like } = error else {
        return error.to_string();
    };
    let looks = looks_like.map_or_else(
        || "is no time between 1990 and 2100 in any unit".to_owned(),
        |unit| format!("looks like {unit}"),
    );
    format!(
        "`{text}` {looks}; a number in a column of times is a whole number of microseconds since 1970: write that, or \
         RFC 3339, such as 2024-05-01T12:00:00Z"
    )
}

/// What another token is for a column of this type.
fn no(column_type: ColumnType) -> &'static str {
    match column_type {
        ColumnType::Number => "not a number",
        ColumnType::Integer => "not an integer of 64 bits",
        ColumnType::Text => "not a text, which stands in quotation marks",
        ColumnType::Bool => "neither true nor false",
        ColumnType::Time => "not a time",
        ColumnType::Json => "not JSON",
        ColumnType::Bytes => "not base64 in quotation marks",
    }
}

/// The characters of a token that is a string.
fn string(token: &str) -> Result<String, String> {
    serde_json::from_str(token).map_err(|_| {
        format!(
            "{} has half of a surrogate pair, which is no character",
            shown(token)
        )
    })
}

/// What an error quotes of a token.
fn shown(token: &str) -> String {
    let mut shown: String = token.chars().take(64).collect();
    if shown.len() < token.len() {
        shown.push('…');
    }
    format!("`{}`", printable(&shown))
}

#[cfg(test)]
mod tests;
