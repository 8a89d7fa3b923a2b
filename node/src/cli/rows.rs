//! Rows of an input, checked one by one.

use std::fmt;

use headwater_protocols::time::Timestamp;

use super::output::{counted, grouped, printable};
use super::value::Taken;
use crate::times::{Moment, TimeNotes};

/// Bad rows that are listed; of a file in the wrong form the first ones tell
/// enough.
pub(crate) const MAX_LISTED: usize = 100;

/// An observation, ready to be published.
#[derive(Clone, Debug)]
pub(crate) struct Row {
    /// When it was observed.
    pub(crate) time: Timestamp,
    /// The bytes that are stored.
    pub(crate) value: Vec<u8>,
    moment: Moment,
    /// What was written instead of the token of a number that JSON has.
    rewritten: Option<Box<str>>,
}

impl Row {
    /// An observation as it was read.
    pub(crate) fn new(moment: Moment, value: Taken) -> Self {
        let Taken { bytes, rewritten } = value;
        Self {
            time: moment.time,
            value: bytes,
            moment,
            rewritten,
        }
    }
}

/// How a row was written is not what it is.
impl PartialEq for Row {
    fn eq(&self, other: &Self) -> bool {
        (self.time, &self.value) == (other.time, &other.value)
    }
}

impl Eq for Row {}

/// What was done to the rows of an input, so that it is said once.
#[derive(Clone, Debug, Default)]
pub(crate) struct RowNotes {
    times: TimeNotes,
    rewritten: u64,
    first: Option<String>,
    said: bool,
}

impl RowNotes {
    pub(crate) fn add(&mut self, row: &Row, now: Timestamp) {
        self.times.add(&row.moment, now);
        let Some(written) = &row.rewritten else {
            return;
        };
        self.rewritten += 1;
        if self.first.is_none() {
            let value = String::from_utf8_lossy(&row.value);
            self.first = Some(format!("`{}` is {value}", printable(written)));
        }
    }

    /// A sentence for each kind of thing that was not said yet.
    pub(crate) fn fresh(&mut self) -> Vec<String> {
        let mut all = self.times.fresh();
        if let (false, Some(first)) = (self.said, &self.first) {
            self.said = true;
            let (count, are, them) = match self.rewritten {
                1 => ("1 number".to_owned(), "is", "it"),
                count => (counted(count, "number"), "are", "them"),
            };
            all.push(format!("{count} {are} kept as JSON writes {them}: {first}"));
        }
        all
    }
}

/// A row that cannot be published.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct BadRow {
    /// The line on which it begins, from 1.
    pub(crate) line: u64,
    /// What is wrong with it.
    pub(crate) what: String,
}

impl fmt::Display for BadRow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}: {}", self.line, self.what)
    }
}

/// Why there is no row.
#[derive(Debug)]
pub(crate) enum RowError {
    /// It is bad; the next one may be good.
    Bad(BadRow),
    /// The input cannot be read any further.
    Read(anyhow::Error),
}

/// The bad rows of an input: the first ones, and how many there are.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct BadRows {
    first: Vec<BadRow>,
    count: u64,
}

impl BadRows {
    pub(crate) fn add(&mut self, row: BadRow) {
        self.count += 1;
        if self.first.len() < MAX_LISTED {
            self.first.push(row);
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.count == 0
    }

    pub(crate) fn count(&self) -> u64 {
        self.count
    }
}

impl fmt::Display for BadRows {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&counted(self.count, "bad row"))?;
        for row in &self.first {
            write!(f, "\n  {row}")?;
        }
        let more = self.count - self.first.len() as u64;
        if more > 0 {
            write!(f, "\n  and {} more", grouped(more))?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use headwater_protocols::manifest::ValueType;

    use super::super::value::ValueRules;
    use super::*;
    use crate::times::TimeForm;

    #[test]
    fn what_was_done_to_rows_is_said_once_of_each_kind() {
        let rules = ValueRules::new(ValueType::Number, 8);
        let row = |time, value| {
            let moment = TimeForm::Iso.read(time).unwrap();
            Row::new(moment, rules.of_text(value).unwrap())
        };
        let mut notes = RowNotes::default();
        let mut said_after = |rows: &[Row]| {
            rows.iter().for_each(|row| notes.add(row, Timestamp(0)));
            notes.fresh()
        };
        assert!(said_after(&[row("1970-01-01T00:00:00Z", "1.50")]).is_empty());
        let said = said_after(&[
            row("1970-01-01T00:00:00Z", "+3"),
            row("1970-01-01T00:00:00.1234567", "007"),
        ]);
        assert_eq!(
            said,
            [
                "1 time without a zone was taken as UTC",
                "1 time finer than a microsecond was rounded down to the microsecond",
                "2 numbers are kept as JSON writes them: `+3` is 3",
            ]
        );
        let said = said_after(&[row("2099-01-01", ".5")]);
        assert_eq!(
            said,
            ["1 time lies in the future: 2099-01-01T00:00:00.000000Z"]
        );
    }

    #[test]
    fn of_many_bad_rows_the_first_ones_are_listed() {
        let mut bad = BadRows::default();
        for line in 0..1_103 {
            let what = "wrong".to_owned();
            bad.add(BadRow { line, what });
        }
        let text = bad.to_string();
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines[0], "1,103 bad rows");
        assert_eq!(lines[1], "  line 0: wrong");
        assert_eq!(lines.len(), 2 + MAX_LISTED);
        assert_eq!(lines[1 + MAX_LISTED], "  and 1,003 more");
    }
}
