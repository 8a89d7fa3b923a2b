//! The rows of files on their way into a stream.

use anyhow::ensure;
use headwater_client::Patience;
use headwater_client::types::Published;
use indicatif::ProgressBar;
use serde::Serialize;
use tokio::sync::mpsc;

use super::Invocation;
use super::batch::{Batch, BatchWriter};
use super::delivery::{Delivery, Undelivered, interrupted, said};
use super::file_check::Checked;
use super::file_form::FileForm;
use super::of_node::is_backwards;
use super::output::{counted, grouped};
use super::progress;
use super::target::Target;
use crate::import::rows::RowError;
use crate::import::value::ValueRules;

/// Batches that wait while one is on its way.
const WAITING: usize = 2;

/// Where rows are that were published.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub(super) struct Appended {
    #[serde(flatten)]
    pub(super) published: Published,
    /// Records of others between them.
    #[serde(skip_serializing_if = "is_zero")]
    pub(super) others: u64,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes references")]
fn is_zero(number: &u64) -> bool {
    *number == 0
}

impl Appended {
    fn new(size: u64) -> Self {
        let published = Published {
            from: size,
            to: size,
        };
        Self {
            published,
            others: 0,
        }
    }

    fn records(&self) -> u64 {
        self.published.to - self.published.from - self.others
    }

    fn add(&mut self, batch: Published) {
        if self.records() == 0 {
            self.published = batch;
            self.others = 0;
        } else {
            self.others += batch.from - self.published.to;
            self.published.to = batch.to;
        }
    }

    /// For people.
    pub(super) fn said(&self) -> String {
        if self.others == 0 {
            return said(self.published);
        }
        let Published { from, to } = self.published;
        format!(
            "published {}, at the indexes {from} to {}, with {} of others between them",
            counted(self.records(), "record"),
            to - 1,
            counted(self.others, "record")
        )
    }
}

/// Publishes the rows of files without the first ones, of so many.
///
/// # Errors
/// They were changed since they were counted, or the node refuses them or is
/// lost.
pub(super) async fn append_all(
    invocation: &Invocation,
    target: &Target<'_>,
    form: &FileForm,
    skip: u64,
    good: u64,
) -> anyhow::Result<Appended> {
    let (batches, mut queue) = mpsc::channel(WAITING);
    let tell = |what: &str| invocation.out.note(what);
    let mut delivery = Delivery::new(target, Patience::new(form.timeout, &tell))?;
    let (again, rules) = (form.clone(), target.rules.clone());
    let batch = BatchWriter::new(rules.clone());
    tokio::task::spawn_blocking(move || make_batches(&again, rules, batch, skip, &batches));
    let bar = progress::records(good - skip);
    let mut appended = Appended::new(target.size);
    while let Some(batch) = queue.recv().await {
        let done = append(&mut delivery, form.again, batch, &mut appended, &bar).await;
        done.map_err(|error| {
            let done = skip + appended.records();
            let stopped = match is_backwards(&error) {
                true => overtaken(form, done, good),
                false => stopped(form, done, good),
            };
            error.context(stopped)
        })?;
    }
    bar.finish_and_clear();
    ensure!(
        appended.records() == good - skip,
        "{} changed while being read: there were {}, but {} published",
        form.files.name(),
        counted(good, "good row"),
        grouped(skip + appended.records())
    );
    Ok(appended)
}

async fn append(
    delivery: &mut Delivery<'_>,
    again: bool,
    batch: anyhow::Result<Batch>,
    appended: &mut Appended,
    bar: &ProgressBar,
) -> anyhow::Result<()> {
    let batch = batch?;
    let done = match again {
        true => delivery.append(&batch).await,
        false => delivery.append_unless_there(&batch).await,
    };
    let (published, ended) = match done {
        Ok(published) => (Some(published), Ok(())),
        Err(Undelivered::Interrupted(published)) => (published, Err(interrupted())),
        Err(Undelivered::Failed(error)) => return Err(error),
    };
    if let Some(published) = published {
        appended.add(published);
        bar.inc(published.to - published.from);
    }
    ended
}

fn stopped(form: &FileForm, done: u64, good: u64) -> String {
    let (name, done, good) = (form.files.name(), grouped(done), grouped(good));
    let flags = if form.again {
        "--again --resume"
    } else {
        "--resume"
    };
    format!(
        "stopped after {done} of {good} rows of {name}; run the same command with {flags} to go on"
    )
}

/// Where times never go back, somebody else has published a later one meanwhile.
fn overtaken(form: &FileForm, done: u64, good: u64) -> String {
    let (name, done, good) = (form.files.name(), grouped(done), grouped(good));
    format!(
        "stopped after {done} of {good} rows of {name}: somebody else has published a later time to the stream meanwhile, \
         and no option appends what is before it; put the other rows into another stream"
    )
}

/// Reads the files once more and hands over their good rows, without the first
/// `skip`, until nobody wants them any more.
fn make_batches(
    form: &FileForm,
    rules: ValueRules,
    mut batch: BatchWriter,
    skip: u64,
    batches: &mpsc::Sender<anyhow::Result<Batch>>,
) {
    let mut seen = 0;
    for row in form.files.rows(rules) {
        match row {
            Ok(row) => {
                seen += 1;
                if seen > skip {
                    batch.push(row);
                }
            }
            Err(RowError::Bad(_)) if form.skip_bad => {}
            Err(RowError::Bad(row)) => {
                let error = anyhow::anyhow!("the file was changed while it was read: {row}");
                let _ = batches.blocking_send(Err(error));
                return;
            }
            Err(RowError::Read(error)) => {
                let _ = batches.blocking_send(Err(error));
                return;
            }
        }
        if batch.is_full() && !send(&mut batch, batches) {
            return;
        }
    }
    send(&mut batch, batches);
}

/// False when nobody wants it any more.
fn send(batch: &mut BatchWriter, batches: &mpsc::Sender<anyhow::Result<Batch>>) -> bool {
    match batch.take() {
        Some(batch) => batches.blocking_send(Ok(batch)).is_ok(),
        None => true,
    }
}

/// Files that were checked, as NDJSON.
///
/// # Errors
/// They were changed since.
pub(super) async fn ndjson(
    form: &FileForm,
    rules: ValueRules,
    checked: &Checked,
) -> anyhow::Result<Vec<u8>> {
    let (batches, mut queue) = mpsc::channel(WAITING);
    let again = form.clone();
    let batch = BatchWriter::with_unit(rules.clone());
    tokio::task::spawn_blocking(move || make_batches(&again, rules, batch, 0, &batches));
    let (mut text, mut rows) = (Vec::new(), 0);
    while let Some(batch) = queue.recv().await {
        let batch = batch?;
        rows += batch.records as u64;
        text.extend_from_slice(&batch.ndjson);
    }
    checked.ensure_unchanged(form)?;
    ensure!(
        rows == checked.good,
        "{} changed while being read; nothing was stored",
        form.files.name()
    );
    Ok(text)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::super::file_form::tests::{csv, rules};
    use super::*;

    fn batches(form: &FileForm, skip: u64) -> Vec<anyhow::Result<Batch>> {
        let (sender, mut queue) = mpsc::channel(10);
        make_batches(form, rules(), BatchWriter::new(rules()), skip, &sender);
        drop(sender);
        std::iter::from_fn(|| queue.blocking_recv()).collect()
    }

    #[test]
    fn rows_before_the_point_of_resumption_are_left_out() {
        let folder = tempfile::tempdir().unwrap();
        let form = csv(
            folder.path(),
            "date,wind\n2010-01-01,1\n2010-01-02,2\n2010-01-03,3\n",
        );
        let all = batches(&form, 1);
        assert_eq!(all.len(), 1);
        let batch = all[0].as_ref().unwrap();
        assert_eq!(batch.records, 2);
        assert!(
            batch
                .ndjson
                .starts_with(b"{\"time\":1262390400000000,\"value\":2}\n")
        );
        assert!(batches(&form, 3).is_empty());
    }

    #[test]
    fn a_row_that_turned_bad_ends_it() {
        let folder = tempfile::tempdir().unwrap();
        let mut form = csv(folder.path(), "date,wind\n2010-01-01,1\nx,2\n");
        let last = batches(&form, 0).pop().unwrap();
        assert!(last.unwrap_err().to_string().contains("was changed"));
        form.skip_bad = true;
        assert_eq!(batches(&form, 0).pop().unwrap().unwrap().records, 1);
    }

    #[test]
    fn several_files_are_one_run_of_rows() {
        let folder = tempfile::tempdir().unwrap();
        let [mut form, two] = ["one", "two"].map(|name| {
            let folder = folder.path().join(name);
            fs::create_dir(&folder).unwrap();
            csv(&folder, "date,wind\n2010-01-01,1\nx,2\n2010-01-01,1\n")
        });
        form.files.parts.extend(two.files.parts);
        form.skip_bad = true;
        let read = batches(&form, 3);
        let rows: usize = read.iter().map(|b| b.as_ref().unwrap().records).sum();
        assert_eq!(rows, 1);
    }

    #[test]
    fn records_of_others_are_counted_apart() {
        let mut appended = Appended::new(5);
        assert_eq!(appended.said(), "nothing to publish");
        for (from, to) in [(6, 8), (8, 10), (12, 13)] {
            appended.add(Published { from, to });
        }
        assert_eq!((appended.records(), appended.others), (5, 2));
        let said = appended.said();
        assert_eq!(
            said,
            "published 5 records, at the indexes 6 to 12, with 2 records of others between them"
        );
    }
}
