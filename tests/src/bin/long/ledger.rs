//! What the users of a stream were promised: which records were acknowledged, at
//! which indexes. Every value is sent once.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, MutexGuard, PoisonError};

use anyhow::{Context, Result, ensure};

/// A publish without an answer that can be sent again.
#[derive(Clone, Debug)]
pub(crate) struct Unanswered {
    pub(crate) key: String,
    pub(crate) values: Vec<u64>,
}

/// The promises of one stream.
#[derive(Debug, Default)]
pub(crate) struct Ledger(Mutex<Pages>);

#[derive(Debug, Default)]
struct Pages {
    /// The next value.
    next: u64,
    /// Values by index.
    acknowledged: BTreeMap<u64, u64>,
    unanswered: Vec<Unanswered>,
    /// What a violation of a promise is called that was seen at once.
    broken: Option<String>,
}

impl Ledger {
    fn pages(&self) -> MutexGuard<'_, Pages> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Values that were never sent.
    pub(crate) fn fresh(&self, count: u64) -> Vec<u64> {
        let mut pages = self.pages();
        let from = pages.next;
        pages.next += count;
        (from..pages.next).collect()
    }

    /// The node says that the values are safe from this index on.
    pub(crate) fn acknowledge(&self, from: u64, values: &[u64]) {
        let mut pages = self.pages();
        for (index, &value) in (from..).zip(values) {
            let earlier = pages.acknowledged.insert(index, value);
            if let Some(earlier) = earlier.filter(|&earlier| earlier != value) {
                let broken =
                    format!("index {index} was promised to {earlier}, and then to {value}");
                pages.broken.get_or_insert(broken);
            }
        }
    }

    /// There was no answer.
    pub(crate) fn leave_open(&self, unanswered: Unanswered) {
        self.pages().unanswered.push(unanswered);
    }

    /// What is to be sent again.
    pub(crate) fn take_open(&self) -> Vec<Unanswered> {
        std::mem::take(&mut self.pages().unanswered)
    }

    /// The index behind the last record that was acknowledged.
    pub(crate) fn size(&self) -> u64 {
        let pages = self.pages();
        let last = pages.acknowledged.last_key_value();
        last.map_or(0, |(index, _)| index + 1)
    }

    /// How many records were acknowledged.
    pub(crate) fn count(&self) -> u64 {
        self.pages().acknowledged.len() as u64
    }

    /// Compares rows with the promises: none lost, none changed, none twice,
    /// none that nobody sent. Those before `begin` need not be there.
    pub(crate) fn check(&self, rows: &Rows, begin: u64, size: u64) -> Result<()> {
        let pages = self.pages();
        if let Some(broken) = &pages.broken {
            anyhow::bail!("{broken}");
        }
        rows.ensure_whole(begin, size)?;
        for (&index, &value) in pages.acknowledged.range(begin..) {
            let found = rows.0.get(&index);
            let found = found.with_context(|| {
                format!("record {index} was acknowledged and is lost; there are {size}")
            })?;
            ensure!(*found == value, "record {index} was {value} and is {found}");
        }
        let mut seen = BTreeSet::new();
        for (index, &value) in &rows.0 {
            ensure!(
                seen.insert(value),
                "record {index}, {value}, is there twice"
            );
            ensure!(
                value < pages.next,
                "record {index}, {value}, was never sent"
            );
        }
        Ok(())
    }
}

/// The records of an export: values by index.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Rows(pub(crate) BTreeMap<u64, u64>);

impl Rows {
    /// Those of a CSV export.
    pub(crate) fn of_csv(csv: &str) -> Result<Self> {
        let mut lines = csv.lines();
        ensure!(lines.next() == Some("index,time,value"), "no header: {csv}");
        let row = |line: &str| {
            let mut fields = line.split(',');
            let index = fields.next()?.parse().ok()?;
            let value = fields.nth(1)?.parse().ok()?;
            Some((index, value))
        };
        let rows = lines.map(|line| row(line).with_context(|| format!("a wrong line: {line}")));
        let mut all = BTreeMap::new();
        for row in rows {
            let (index, value) = row?;
            ensure!(
                all.insert(index, value).is_none(),
                "index {index} is there twice"
            );
        }
        Ok(Self(all))
    }

    /// Checks that all indexes of `[begin, size)` are there, and no others.
    fn ensure_whole(&self, begin: u64, size: u64) -> Result<()> {
        let first = self.0.first_key_value().map_or(begin, |(&first, _)| first);
        let end = (self.0.last_key_value()).map_or(begin, |(&last, _)| last + 1);
        let count = self.0.len() as u64;
        ensure!(
            first == begin && end == size && count == size - begin,
            "the export has {count} records from {first} to {end}, and the stream {begin} to {size}"
        );
        Ok(())
    }

    /// Checks that whatever both have is the same.
    pub(crate) fn ensure_agreement(&self, other: &Self) -> Result<()> {
        for (index, value) in &self.0 {
            if let Some(others) = other.0.get(index) {
                ensure!(others == value, "record {index} is {value} and {others}");
            }
        }
        Ok(())
    }

    /// The values, in the order of the stream.
    pub(crate) fn values(&self) -> impl Iterator<Item = u64> {
        self.0.values().copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows(values: &[u64]) -> Rows {
        Rows((0..).zip(values.iter().copied()).collect())
    }

    #[test]
    fn what_was_promised_and_is_lost_changed_doubled_or_never_sent_is_found() {
        let ledger = Ledger::default();
        assert_eq!(ledger.fresh(4), [0, 1, 2, 3]);
        ledger.acknowledge(1, &[2, 3]);
        assert_eq!(ledger.size(), 3);
        let check = |values: &[u64]| {
            let size = values.len() as u64;
            let checked = ledger.check(&rows(values), 0, size);
            checked.map_err(|error| error.to_string())
        };
        assert_eq!(check(&[0, 2, 3]), Ok(()));
        assert_eq!(check(&[0, 2, 3, 1]), Ok(()));
        assert!(check(&[0, 2]).unwrap_err().contains("lost"));
        assert!(check(&[0, 3, 2]).unwrap_err().contains("was 2"));
        assert!(check(&[0, 2, 3, 0]).unwrap_err().contains("twice"));
        assert!(check(&[0, 2, 3, 9]).unwrap_err().contains("never sent"));
        assert!(ledger.check(&rows(&[0, 2, 3]), 0, 4).is_err());
        ledger.acknowledge(2, &[1]);
        assert!(check(&[0, 2, 3]).unwrap_err().contains("promised"));
    }

    #[test]
    fn an_export_is_read_or_refused() {
        let csv = "index,time,value\n5,2020-01-01T00:00:00Z,7\n6,2020-01-01T00:00:01Z,8\n";
        let read = Rows::of_csv(csv).unwrap();
        assert_eq!(read.0, BTreeMap::from([(5, 7), (6, 8)]));
        assert!(read.ensure_whole(5, 7).is_ok());
        assert!(read.ensure_whole(5, 8).is_err());
        assert!(read.ensure_whole(4, 7).is_err());
        assert!(Rows::of_csv(&csv[..csv.len() - 4]).is_err());
        assert!(Rows::of_csv("").is_err());
    }
}
