//! From where to where the rows of a file go: shown before they are signed, so
//! that who sees what was not meant can stop it.

use headwater_client::times::text::to_text;
use headwater_protocols::manifest::ValueType;
use headwater_protocols::time::Timestamp;

use super::rows::Row;
use super::value::ValueRules;
use crate::wording::{counted, printable};

/// Characters of a value that are shown.
const SHOWN: usize = 40;

/// A number, and how it is written.
type Token = (f64, Vec<u8>);

/// The first and the last row, and the span of all of them.
#[derive(Clone, Debug)]
pub(crate) struct Range {
    value_type: ValueType,
    /// How many, if the rows have columns.
    columns: Option<usize>,
    /// What is later lies ahead of us.
    soon: Timestamp,
    rows: u64,
    first: Option<Row>,
    last: Option<Row>,
    times: Option<(Timestamp, Timestamp)>,
    earliest: Option<Timestamp>,
    /// The least and the greatest number, as they are written.
    numbers: Option<(Token, Token)>,
}

impl Range {
    pub(crate) fn new(rules: &ValueRules, soon: Timestamp) -> Self {
        Self {
            value_type: rules.value_type(),
            columns: rules.rows().map(|rows| rows.columns().len()),
            soon,
            rows: 0,
            first: None,
            last: None,
            times: None,
            earliest: None,
            numbers: None,
        }
    }

    pub(crate) fn add(&mut self, row: &Row) {
        self.rows += 1;
        let times = self
            .times
            .map(|(from, to)| (from.min(row.time), to.max(row.time)));
        self.times = Some(times.unwrap_or((row.time, row.time)));
        if row.time <= self.soon {
            let earliest = self.earliest.unwrap_or(row.time);
            self.earliest = Some(earliest.min(row.time));
        }
        match &mut self.last {
            Some(last) => last.clone_from(row),
            none => {
                self.first = Some(row.clone());
                *none = Some(row.clone());
            }
        }
        if self.value_type == ValueType::Number {
            self.number(&row.value);
        }
    }

    fn number(&mut self, token: &[u8]) {
        let Some(number) = std::str::from_utf8(token)
            .ok()
            .and_then(|text| text.parse::<f64>().ok())
        else {
            return;
        };
        match &mut self.numbers {
            None => self.numbers = Some(((number, token.to_vec()), (number, token.to_vec()))),
            Some((least, greatest)) => {
                if number < least.0 {
                    *least = (number, token.to_vec());
                }
                if number > greatest.0 {
                    *greatest = (number, token.to_vec());
                }
            }
        }
    }

    pub(crate) fn first(&self) -> Option<&Row> {
        self.first.as_ref()
    }

    /// The earliest time that does not lie ahead of us.
    pub(crate) fn earliest(&self) -> Option<Timestamp> {
        self.earliest
    }

    /// For people.
    pub(crate) fn described(&self) -> Vec<String> {
        let (Some(first), Some(last), Some((from, to))) = (&self.first, &self.last, self.times)
        else {
            return Vec::new();
        };
        let row = |row: &Row| {
            format!(
                "{} {}",
                to_text(row.time),
                shown(&row.value, self.value_type)
            )
        };
        let mut lines = vec![format!(
            "{} of {}: first {}, last {}",
            counted(self.rows, "row"),
            self.columns.map_or_else(
                || format!("type {}", type_name(self.value_type)),
                |columns| counted(columns as u64, "column")
            ),
            row(first),
            row(last)
        )];
        if (from, to) != (first.time, last.time) {
            lines.push(format!("times from {} to {}", to_text(from), to_text(to)));
        }
        if let Some(((_, least), (_, greatest))) = &self.numbers {
            let number = |token| shown(token, self.value_type);
            lines.push(format!(
                "values from {} to {}",
                number(least),
                number(greatest)
            ));
        }
        lines
    }
}

fn type_name(value_type: ValueType) -> &'static str {
    match value_type {
        ValueType::Number => "number",
        ValueType::Text => "text",
        ValueType::Json => "json",
        ValueType::Bytes => "bytes",
    }
}

fn shown(value: &[u8], value_type: ValueType) -> String {
    if value_type == ValueType::Bytes {
        return counted(value.len() as u64, "byte");
    }
    let text = String::from_utf8_lossy(value);
    let short: String = text.chars().take(SHOWN).collect();
    let dots = if short.len() < text.len() { "…" } else { "" };
    match value_type {
        ValueType::Text => format!("`{}{dots}`", printable(&short)),
        ValueType::Number | ValueType::Json | ValueType::Bytes => {
            format!("{}{dots}", printable(&short))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use headwater_client::times::Moment;

    fn described(value_type: ValueType, rows: &[(i64, &str)]) -> Vec<String> {
        let rules = ValueRules::new(value_type, 8);
        let mut range = Range::new(&rules, Timestamp(0));
        for (seconds, value) in rows {
            let moment = Moment::exact(Timestamp(seconds * 1_000_000));
            range.add(&Row::new(moment, rules.of_text(value).unwrap()));
        }
        range.described()
    }

    #[test]
    fn the_ends_of_the_rows_are_shown() {
        let numbers = described(ValueType::Number, &[(1, "2"), (0, "-1e3"), (3, "2.50")]);
        assert_eq!(
            numbers,
            [
                "3 rows of type number: first 1970-01-01T00:00:01.000000Z 2, last 1970-01-01T00:00:03.000000Z 2.50",
                "times from 1970-01-01T00:00:00.000000Z to 1970-01-01T00:00:03.000000Z",
                "values from -1e3 to 2.50",
            ]
        );
        let text = described(ValueType::Text, &[(0, "\u{1b}[2J")]);
        assert!(
            text.len() == 1 && text[0].ends_with("`\\u{1b}[2J`"),
            "{text:?}"
        );
        assert!(described(ValueType::Number, &[]).is_empty());
    }

    #[test]
    fn what_lies_ahead_is_no_beginning() {
        let rules = ValueRules::new(ValueType::Number, 8);
        let mut range = Range::new(&rules, Timestamp(5));
        for time in [9, 4, 3, 7] {
            let moment = Moment::exact(Timestamp(time));
            range.add(&Row::new(moment, rules.of_text("1").unwrap()));
        }
        assert_eq!(range.earliest(), Some(Timestamp(3)));
    }
}
