//! A cell of a row as a field of CSV.

use std::io::Write;

use data_encoding::BASE64;
use headwater_client::cell::Cell;
use headwater_client::times::text::{TimeFormat, TimeText};

use super::csv_line::CsvLines;

/// Writes a field: of numbers as it was given, if it may be.
pub(super) fn put_cell<W: Write>(
    out: &mut CsvLines<W>,
    times: &mut TimeFormat,
    cell: &Cell<'_>,
    given: Option<&str>,
) {
    let written = match (cell, given) {
        (Cell::Missing, _) => return out.missing(),
        (Cell::Number(_) | Cell::Integer(_), Some(given)) => out.plain(given),
        (Cell::Number(number), None) => out.plain(number),
        (Cell::Integer(number), None) => out.plain(number),
        (Cell::Bool(is_so), _) => out.plain(is_so),
        (Cell::Text(text), _) => return out.field(text.as_bytes()),
        (Cell::Json(json), _) => return out.field(json.as_bytes()),
        (Cell::Bytes(bytes), _) => return out.field(BASE64.encode(bytes).as_bytes()),
        (Cell::Time(time), _) => match times.text(*time) {
            TimeText::Rfc3339(text) => out.plain(text),
            TimeText::Micros(micros) => out.plain(micros),
        },
    };
    debug_assert!(written.is_ok(), "memory takes any text");
}
