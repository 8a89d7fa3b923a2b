//! Rows of an input, checked one by one.

use std::fmt;

use headwater_protocols::time::Timestamp;

use super::output::{counted, grouped};

/// Bad rows that are listed; of a file in the wrong form the first ones tell
/// enough.
pub(crate) const MAX_LISTED: usize = 100;

/// An observation, ready to be published.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Row {
    /// When it was observed.
    pub(crate) time: Timestamp,
    /// The bytes that are stored.
    pub(crate) value: Vec<u8>,
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
    use super::*;

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
