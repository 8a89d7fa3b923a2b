//! Rows of an input, checked one by one.

use std::fmt;

use headwater_client::times::{Moment, TimeNotes};
use headwater_protocols::time::Timestamp;

use super::limits::{MAX_LISTED_APART, MAX_LISTED_KINDS, MAX_LISTED_LINES};
use super::value::Taken;
use crate::wording::{counted, grouped, printable};

/// An observation, ready to be published.
#[derive(Clone, Debug)]
pub(crate) struct Row {
    /// When it was observed.
    pub(crate) time: Timestamp,
    /// The bytes that are stored.
    pub(crate) value: Vec<u8>,
    /// The line of the input on which it begins, from 1; 0 for what was not read
    /// from one.
    pub(crate) line: u64,
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
            line: 0,
            moment,
            rewritten,
        }
    }

    /// The same row, which begins on this line.
    pub(crate) fn on_line(self, line: u64) -> Self {
        Self { line, ..self }
    }

    /// The same, read as the other one of two times that the clocks showed the
    /// same.
    pub(crate) fn at_other_time(&self) -> Option<Self> {
        let other = self.moment.other?;
        let mut row = self.clone();
        (row.time, row.moment.other) = (other, Some(row.time));
        Some(row)
    }
}

/// How and where a row was written is not what it is.
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
        write!(f, "line {}: {}", self.line, printable(&self.what))
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

/// The bad rows of an input: those in which the same is wrong are put together.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct BadRows {
    kinds: Vec<Kind>,
    count: u64,
    /// Those of kinds that are not listed.
    more: u64,
    /// They have numbers and no lines.
    are_numbered: bool,
}

/// Rows in which the same is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Kind {
    /// What is wrong, without what differs from row to row.
    key: String,
    first: Vec<BadRow>,
    count: u64,
}

impl BadRows {
    pub(crate) fn add(&mut self, row: BadRow) {
        self.count += 1;
        let key = key_of(&row.what);
        let known = self.kinds.iter().position(|kind| kind.key == key);
        if known.is_none() && self.kinds.len() == MAX_LISTED_KINDS {
            self.more += 1;
            return;
        }
        let kind = match known.and_then(|at| self.kinds.get_mut(at)) {
            Some(kind) => kind,
            None => self.kinds.push_mut(Kind {
                key,
                first: Vec::new(),
                count: 0,
            }),
        };
        kind.count += 1;
        if kind.first.len() < MAX_LISTED_LINES {
            kind.first.push(row);
        }
    }

    /// The same, of files whose rows are no lines: the number of each is named.
    pub(crate) fn numbered(self, are_numbered: bool) -> Self {
        Self {
            are_numbered,
            ..self
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.count == 0
    }

    pub(crate) fn count(&self) -> u64 {
        self.count
    }
}

/// What is wrong, without the texts that it quotes and the numbers that it names.
fn key_of(what: &str) -> String {
    let mut key = String::with_capacity(what.len());
    let mut quote = None;
    for c in what.chars() {
        match quote {
            Some(end) if c == end => quote = None,
            Some(_) => {}
            None if c == '`' || c == '"' => {
                quote = Some(c);
                key.push(c);
            }
            None if c.is_ascii_digit() => {
                if !key.ends_with('#') {
                    key.push('#');
                }
            }
            None => key.push(c),
        }
    }
    key
}

impl Kind {
    fn write(&self, f: &mut fmt::Formatter<'_>, word: &str) -> fmt::Result {
        if self.count <= MAX_LISTED_APART as u64 {
            return (self.first.iter()).try_for_each(|row| {
                write!(f, "\n  {word} {}: {}", row.line, printable(&row.what))
            });
        }
        let Some(first) = self.first.first() else {
            return Ok(());
        };
        let lines: Vec<_> = self.first.iter().map(|row| row.line.to_string()).collect();
        let more = self.count - lines.len() as u64;
        let lines = lines.join(", ");
        match more {
            0 => write!(f, "\n  {word}s {lines}: {}", printable(&first.what)),
            _ => write!(
                f,
                "\n  {word}s {lines} and {} more: {}",
                grouped(more),
                printable(&first.what)
            ),
        }
    }
}

impl fmt::Display for BadRows {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&counted(self.count, "bad row"))?;
        for kind in &self.kinds {
            kind.write(f, if self.are_numbered { "row" } else { "line" })?;
        }
        if self.more > 0 {
            write!(f, "\n  and {} more", grouped(self.more))?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use headwater_protocols::manifest::ValueType;

    use super::super::value::ValueRules;
    use super::*;
    use headwater_client::times::TimeForm;

    /// 2025-11-29T07:06:40Z.
    const NOW: Timestamp = Timestamp(1_764_400_000_000_000);

    #[test]
    fn what_was_done_to_rows_is_said_once_of_each_kind() {
        let rules = ValueRules::new(ValueType::Number, 8);
        let row = |time, value| {
            let moment = TimeForm::Iso.read(time).unwrap();
            Row::new(moment, rules.of_text(value).unwrap())
        };
        let mut notes = RowNotes::default();
        let mut said_after = |rows: &[Row]| {
            rows.iter().for_each(|row| notes.add(row, NOW));
            notes.fresh()
        };
        assert!(said_after(&[row("1990-01-01T00:00:00Z", "1.50")]).is_empty());
        let said = said_after(&[
            row("1990-01-01T00:00:00Z", "+3"),
            row("1990-01-01T00:00:00.1234567", "007"),
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

    fn bad(rows: impl IntoIterator<Item = (u64, String)>) -> String {
        let mut bad = BadRows::default();
        for (line, what) in rows {
            bad.add(BadRow { line, what });
        }
        bad.to_string()
    }

    #[test]
    fn bad_rows_in_which_the_same_is_wrong_are_one_line() {
        let wrong = |line: u64| match line {
            7 => (line, "it has 3 fields instead of 2".to_owned()),
            _ => (
                line,
                format!("value `x{line}` is not a number (\"{line}\")"),
            ),
        };
        assert_eq!(
            bad((2..1_105).map(wrong)),
            "1,103 bad rows\n  lines 2, 3, 4, 5, 6 and 1,097 more: value `x2` is not a number (\"2\")\n  line 7: it has 3 \
             fields instead of 2"
        );
        assert_eq!(
            bad([(2, "a `1`".to_owned()), (3, "a `2`".to_owned())]),
            "2 bad rows\n  line 2: a `1`\n  line 3: a `2`"
        );
    }

    #[test]
    fn of_many_kinds_the_first_ones_are_listed() {
        let kind = |line: u64| (line, "x".repeat(line as usize));
        let text = bad((1..=25).map(kind));
        assert_eq!(text.lines().count(), 2 + MAX_LISTED_KINDS);
        assert!(text.ends_with("\n  and 5 more"), "{text}");
        let escapes = bad([(1, "value `\u{1b}[2J` is not a number".to_owned())]);
        assert!(!escapes.contains('\u{1b}'), "{escapes}");
    }
}
