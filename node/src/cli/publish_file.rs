//! Publishing files: they are read twice, first to check every row, then to
//! publish them, so that memory does not grow with it.

use std::fs::{self, File};
use std::io::BufReader;
use std::iter::once;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, bail, ensure};
use indicatif::ProgressBar;
use tokio::sync::mpsc;

use super::Invocation;
use super::batch::{Batch, BatchWriter};
use super::csv_input::{Columns, CsvForm, CsvRows};
use super::delivery::{Delivery, Undelivered};
use super::line_input::{LineForm, LineRows};
use super::output::{counted, grouped};
use super::progress;
use super::publish::Target;
use super::publish_lines::interrupted;
use super::rows::{BadRows, Row, RowError, RowNotes};
use super::time_form::TimeForm;
use super::value::ValueRules;
use crate::api::types::Published;
use crate::client::Patience;
use crate::export::{GapFinder, Gaps};
use crate::runtime::wall_time;
use crate::times::Unit;

/// Bytes that are read at a time.
const BUFFER_BYTES: usize = 256 * 1024;

/// Batches that wait while one is on its way.
const WAITING: usize = 2;

/// Files that are published one behind the other, and how.
#[derive(Clone, Debug)]
pub(super) struct FileForm {
    pub(super) parts: Vec<FilePart>,
    pub(super) resume: bool,
    pub(super) skip_bad: bool,
    /// How long the node may stay away.
    pub(super) timeout: Option<Duration>,
}

/// A file, and how it is read.
#[derive(Clone, Debug)]
pub(super) struct FilePart {
    pub(super) path: PathBuf,
    /// Those of times and values in CSV; `None` for NDJSON.
    pub(super) columns: Option<Columns>,
    pub(super) time_form: TimeForm,
    /// That of times in NDJSON that are numbers, where a line says none.
    pub(super) time_unit: Option<Unit>,
}

type Rows = Box<dyn Iterator<Item = Result<Row, RowError>> + Send>;

impl FileForm {
    /// What messages call it.
    fn name(&self) -> String {
        match &self.parts[..] {
            [part] => part.path.display().to_string(),
            parts => counted(parts.len() as u64, "file"),
        }
    }

    /// The rows of all files. Each is opened when its turn comes, because there
    /// may be more of them than a process may have open.
    fn rows(&self, rules: ValueRules) -> Rows {
        let several = self.parts.len() > 1;
        let rows = self.parts.clone().into_iter().flat_map(move |part| {
            let rows = part.rows(rules);
            let rows = rows.unwrap_or_else(|error| Box::new(once(Err(RowError::Read(error)))));
            rows.map(move |row| match row {
                Err(RowError::Bad(mut row)) if several => {
                    row.what.push_str(&format!(" ({})", part.path.display()));
                    Err(RowError::Bad(row))
                }
                other => other,
            })
        });
        Box::new(rows)
    }
}

impl FilePart {
    fn rows(&self, rules: ValueRules) -> anyhow::Result<Rows> {
        let cannot = format!("cannot read {}", self.path.display());
        let rows = self.open(rules).with_context(|| cannot.clone())?;
        Ok(Box::new(rows.map(move |row| match row {
            Err(RowError::Read(error)) => Err(RowError::Read(error.context(cannot.clone()))),
            other => other,
        })))
    }

    fn open(&self, rules: ValueRules) -> anyhow::Result<Rows> {
        let file = File::open(&self.path)?;
        Ok(match &self.columns {
            Some(columns) => {
                let form = CsvForm {
                    columns: columns.clone(),
                    time_form: self.time_form.clone(),
                    rules,
                };
                Box::new(CsvRows::open(file, form)?)
            }
            None => {
                let form = LineForm {
                    ndjson: true,
                    rules,
                    time_unit: self.time_unit,
                };
                Box::new(LineRows::new(
                    BufReader::with_capacity(BUFFER_BYTES, file),
                    form,
                ))
            }
        })
    }
}

/// What files hold.
#[derive(Debug)]
pub(super) struct Checked {
    pub(super) good: u64,
    pub(super) bad: BadRows,
    /// What was done to rows that were not quite as they are kept.
    pub(super) notes: Vec<String>,
    /// What their times say.
    pub(super) times: Gaps,
    /// Shows whether they were changed since.
    fingerprints: Vec<Fingerprint>,
}

pub(super) async fn publish(
    invocation: &Invocation,
    target: &Target<'_>,
    form: &FileForm,
) -> anyhow::Result<Published> {
    let finder = GapFinder::new(None, 0);
    let checked = check(form, target.rules, target.size, finder).await?;
    accept(invocation, form, &checked)?;
    publish_checked(invocation, target, form, &checked).await
}

/// Refuses bad rows, unless they are to be left out.
///
/// # Errors
/// There are some.
pub(super) fn accept(
    invocation: &Invocation,
    form: &FileForm,
    checked: &Checked,
) -> anyhow::Result<()> {
    (checked.notes.iter()).for_each(|note| invocation.out.note(note));
    if checked.bad.is_empty() {
        return Ok(());
    }
    let have = if form.parts.len() == 1 { "has" } else { "have" };
    let listed = format!("{} {have} {}", form.name(), checked.bad);
    ensure!(
        form.skip_bad,
        "{listed}\nnothing was published; correct the file, or leave such rows out with --skip-bad"
    );
    invocation
        .out
        .note(format!("leaving out bad rows: {listed}"));
    Ok(())
}

/// Publishes files that were checked.
///
/// # Errors
/// They were changed since, or the node refuses them or is lost.
pub(super) async fn publish_checked(
    invocation: &Invocation,
    target: &Target<'_>,
    form: &FileForm,
    checked: &Checked,
) -> anyhow::Result<Published> {
    let skip = match form.resume {
        true => resume_point(target, form, checked.good).await?,
        false => 0,
    };
    ensure!(
        Fingerprint::of_all(form)? == checked.fingerprints,
        "{} changed while being read; nothing was published",
        form.name()
    );
    append_all(invocation, target, form, skip, checked.good).await
}

/// Reads the files to their end. The first row has this index.
///
/// # Errors
/// One cannot be read.
pub(super) async fn check(
    form: &FileForm,
    rules: ValueRules,
    first: u64,
    mut finder: GapFinder,
) -> anyhow::Result<Checked> {
    let fingerprints = Fingerprint::of_all(form)?;
    let form = form.clone();
    let bar = progress::spinner("checking");
    let task = tokio::task::spawn_blocking(move || {
        let (mut good, mut bad) = (0, BadRows::default());
        let (mut notes, now) = (RowNotes::default(), wall_time());
        for row in form.rows(rules) {
            match row {
                Ok(row) => {
                    finder.observe(first + good, row.time, &row.value);
                    notes.add(&row, now);
                    good += 1;
                }
                Err(RowError::Bad(row)) => bad.add(row),
                Err(RowError::Read(error)) => return Err(error),
            }
            if good % 4_096 == 0 {
                bar.set_position(good);
            }
        }
        bar.finish_and_clear();
        let times = finder.finish();
        Ok(Checked {
            good,
            bad,
            notes: notes.fresh(),
            times,
            fingerprints,
        })
    });
    task.await?
}

/// How many rows of the file the stream has already: all of its records, which
/// must be the file's first rows.
async fn resume_point(target: &Target<'_>, form: &FileForm, good: u64) -> anyhow::Result<u64> {
    let size = target.size;
    if size == 0 {
        return Ok(0);
    }
    let name = form.name();
    ensure!(
        size <= good,
        "cannot resume: the stream has {}, but {name} only {}",
        counted(size, "record"),
        counted(good, "good row")
    );
    let (first, last) = first_and_last(form, target.rules, size).await?;
    for (index, row) in [(0, first), (size - 1, last)] {
        ensure!(
            target.stored(index).await? == row,
            "cannot resume: record {index} of the stream is not row {} of {name}; --resume is for a \
             stream that has nothing but the beginning of this file",
            index + 1
        );
    }
    Ok(size)
}

/// The first row, and the last one of the first `count`.
async fn first_and_last(
    form: &FileForm,
    rules: ValueRules,
    count: u64,
) -> anyhow::Result<(Row, Row)> {
    let form = form.clone();
    let task = tokio::task::spawn_blocking(move || {
        let mut first = None;
        let mut last = None;
        let mut at = 0;
        for row in form.rows(rules).flatten() {
            at += 1;
            if at == 1 {
                first = Some(row.clone());
            }
            if at == count {
                last = Some(row);
                break;
            }
        }
        first
            .zip(last)
            .context("a file was changed while it was read")
    });
    task.await?
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
    tokio::task::spawn_blocking(move || make_batches(&again, rules, 0, &batches));
    let (mut text, mut rows) = (Vec::new(), 0);
    while let Some(batch) = queue.recv().await {
        let batch = batch?;
        rows += batch.records as u64;
        text.extend_from_slice(&batch.ndjson);
    }
    ensure!(
        rows == checked.good && Fingerprint::of_all(form)? == checked.fingerprints,
        "{} changed while being read; nothing was stored",
        form.name()
    );
    Ok(text)
}

async fn append_all(
    invocation: &Invocation,
    target: &Target<'_>,
    form: &FileForm,
    skip: u64,
    good: u64,
) -> anyhow::Result<Published> {
    let (batches, mut queue) = mpsc::channel(WAITING);
    let tell = |what: &str| invocation.out.note(what);
    let mut delivery = Delivery::new(target, Patience::new(form.timeout, &tell))?;
    let (form, rules) = (form.clone(), target.rules);
    let name = form.name();
    tokio::task::spawn_blocking(move || make_batches(&form, rules, skip, &batches));
    let bar = progress::records(good - skip);
    let from = target.size;
    let mut to = from;
    while let Some(batch) = queue.recv().await {
        let done = append(&mut delivery, batch, &mut to, &bar).await;
        done.with_context(|| stopped(&name, skip + (to - from), good, from == skip))?;
    }
    bar.finish_and_clear();
    ensure!(
        to - from == good - skip,
        "{name} changed while being read: there were {}, but {} published",
        counted(good, "good row"),
        grouped(skip + (to - from))
    );
    Ok(Published { from, to })
}

async fn append(
    delivery: &mut Delivery<'_>,
    batch: anyhow::Result<Batch>,
    to: &mut u64,
    bar: &ProgressBar,
) -> anyhow::Result<()> {
    let (published, ended) = match delivery.append_at(&batch?, *to).await {
        Ok(published) => (Some(published), Ok(())),
        Err(Undelivered::Interrupted(published)) => (published, Err(interrupted())),
        Err(Undelivered::Failed(error)) => return Err(error),
    };
    if let Some(published) = published {
        *to = published.to;
        bar.inc(published.to - published.from);
    }
    ended
}

fn stopped(name: &str, done: u64, good: u64, has_nothing_else: bool) -> String {
    let advice = match has_nothing_else {
        true => "run the same command with --resume to go on",
        false => {
            "the stream had other records before, so --resume cannot go on: see the end of the \
             stream, and publish the rest of the file"
        }
    };
    let (done, good) = (grouped(done), grouped(good));
    format!("stopped after {done} of {good} rows of {name}; {advice}")
}

/// Reads the files once more and hands over their good rows, without the first
/// `skip`, until nobody wants them any more.
fn make_batches(
    form: &FileForm,
    rules: ValueRules,
    skip: u64,
    batches: &mpsc::Sender<anyhow::Result<Batch>>,
) {
    let mut batch = BatchWriter::new(rules);
    let mut seen = 0;
    for row in form.rows(rules) {
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

/// What shows that a file was changed.
#[derive(Debug, PartialEq, Eq)]
struct Fingerprint {
    length: u64,
    modified: Option<std::time::SystemTime>,
}

impl Fingerprint {
    fn of_all(form: &FileForm) -> anyhow::Result<Vec<Self>> {
        form.parts.iter().map(|part| Self::of(&part.path)).collect()
    }

    fn of(path: &Path) -> anyhow::Result<Self> {
        let what = || format!("cannot read {}", path.display());
        let file = fs::metadata(path).with_context(what)?;
        if !file.is_file() {
            bail!(
                "{} is not a regular file, and cannot be checked before it is published; pipe it \
                 into stdin instead",
                path.display()
            );
        }
        Ok(Self {
            length: file.len(),
            modified: file.modified().ok(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use headwater_protocols::manifest::ValueType;

    fn rules() -> ValueRules {
        ValueRules::new(ValueType::Number, 8)
    }

    fn csv(folder: &Path, text: &str) -> FileForm {
        let path = folder.join("weather.csv");
        fs::write(&path, text).unwrap();
        let columns = Columns::Named {
            time: "date".to_owned(),
            value: "wind".to_owned(),
        };
        let part = FilePart {
            path,
            columns: Some(columns),
            time_form: TimeForm::Iso,
            time_unit: None,
        };
        FileForm {
            parts: vec![part],
            resume: false,
            skip_bad: false,
            timeout: None,
        }
    }

    fn batches(form: &FileForm, skip: u64) -> Vec<anyhow::Result<Batch>> {
        let (sender, mut queue) = mpsc::channel(10);
        make_batches(form, rules(), skip, &sender);
        drop(sender);
        std::iter::from_fn(|| queue.blocking_recv()).collect()
    }

    #[tokio::test]
    async fn a_file_is_checked_to_its_end() {
        let folder = tempfile::tempdir().unwrap();
        let form = csv(
            folder.path(),
            "date,wind\n2010-01-01,1\nx,2\n2010-01-02,3\n2010-01-03,y\n",
        );
        let finder = GapFinder::new(None, 0);
        let checked = check(&form, rules(), 5, finder).await.unwrap();
        assert_eq!((checked.good, checked.times.records), (2, 2));
        assert!(
            checked
                .bad
                .to_string()
                .starts_with("2 bad rows\n  line 3: ")
        );
        let (first, last) = first_and_last(&form, rules(), 2).await.unwrap();
        assert_eq!((&first.value[..], &last.value[..]), (&b"1"[..], &b"3"[..]));
        assert!(first_and_last(&form, rules(), 3).await.is_err());
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
                .starts_with(b"{\"time\":\"2010-01-02T00:00:00.000000Z\",\"value\":2}\n")
        );
        assert!(batches(&form, 3).is_empty());
    }

    #[tokio::test]
    async fn several_files_are_one_run_of_rows_and_bad_ones_name_theirs() {
        let folder = tempfile::tempdir().unwrap();
        let [one, two] = ["one", "two"].map(|name| {
            let folder = folder.path().join(name);
            fs::create_dir(&folder).unwrap();
            csv(&folder, "date,wind\n2010-01-01,1\nx,2\n2010-01-01,1\n")
        });
        let mut form = one.clone();
        form.parts.extend(two.parts);
        let finder = GapFinder::new(None, 1);
        let checked = check(&form, rules(), 10, finder).await.unwrap();
        assert_eq!((checked.good, checked.times.duplicates), (4, 3));
        assert_eq!(checked.times.first_duplicates[0].index, 11);
        let bad = checked.bad.to_string();
        assert!(
            bad.contains("one/weather.csv)") && bad.contains("two/weather.csv)"),
            "{bad}"
        );
        form.skip_bad = true;
        let again = form.clone();
        let read = tokio::task::spawn_blocking(move || batches(&again, 3));
        let read = read.await.unwrap();
        let rows: usize = read.iter().map(|b| b.as_ref().unwrap().records).sum();
        assert_eq!(rows, 1);
        form.parts[1].path = folder.path().join("none");
        let missing = check(&form, rules(), 0, GapFinder::new(None, 0)).await;
        assert!(missing.unwrap_err().to_string().contains("none"));
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
    fn only_a_regular_file_can_be_read_twice() {
        let folder = tempfile::tempdir().unwrap();
        let error = Fingerprint::of(folder.path()).unwrap_err().to_string();
        assert!(error.contains("is not a regular file"), "{error}");
        let error = Fingerprint::of(&folder.path().join("none")).unwrap_err();
        assert!(error.to_string().contains("cannot read"));
    }
}
