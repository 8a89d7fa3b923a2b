//! What a stream has of files already: so that nothing is in it twice, and a
//! broken publish goes on where it ended.

use anyhow::{Context, ensure};
use futures::TryStreamExt;
use headwater_client::Query;
use headwater_client::times::text::to_text;
use tokio::sync::mpsc;

use super::coming_rows::{ComingRows, Indexes, Met, within};
use super::file_form::FileForm;
use super::limits::{MAX_RUNS, ROWS_COMPARED};
use super::target::Target;
use crate::import::rows::{Row, RowError};
use crate::import::value::ValueRules;

/// Rows that are handed over at a time.
const ROWS_AT_ONCE: usize = 4_096;

/// How many rows of the files the stream has already. They stand in it in their
/// order; others may have published between them.
///
/// # Errors
/// Rows are missing between those that it has, or the node is lost.
pub(super) async fn resume_point(target: &Target<'_>, form: &FileForm) -> anyhow::Result<u64> {
    if target.size == 0 {
        return Ok(0);
    }
    let mut rows = FileRows::read(form, target.rules.clone());
    let Some((_, first)) = rows.peek().await?.cloned() else {
        return Ok(0);
    };
    let begin = match place_of(target, &first, form.again).await? {
        Some(index) => index,
        None if other_place_of(target, &first).await?.is_some() => {
            return Err(read_otherwise(form, &first));
        }
        None if target.begin == 0 || target.begin >= target.size => return Ok(0),
        // The first rows may have been dropped by the stream's retention.
        None => {
            let kept = target.stored(target.begin).await?;
            while rows.peek().await?.is_some_and(|(_, row)| *row != kept) {
                rows.next().await?;
            }
            target.begin
        }
    };
    if rows.peek().await?.is_none() {
        return Ok(0);
    }
    let matched = walk(target, form, &mut rows, begin).await?;
    let done = rows.taken;
    // With --again, what lies before is another copy.
    let from = if form.again { begin } else { 0 };
    ensure_new(target, form, &mut rows, (from, &matched)).await?;
    Ok(done)
}

/// Goes through the stream and the files together; returns the records that are
/// rows of the files.
async fn walk(
    target: &Target<'_>,
    form: &FileForm,
    rows: &mut FileRows,
    begin: u64,
) -> anyhow::Result<Indexes> {
    let query = Query {
        from: Some(begin.to_string()),
        ..Query::default()
    };
    let records = target.client.records(&target.id, &query).await?;
    let mut records = std::pin::pin!(records);
    let mut matched = Indexes::default();
    while let Some((_, row)) = rows.peek().await? {
        let Some(record) = records.try_next().await? else {
            break;
        };
        let stored = target.row_of(&record)?;
        if stored == *row {
            matched.push(record.index);
            rows.next().await?;
        } else if row.at_other_time().is_some_and(|row| row == stored) {
            return Err(read_otherwise(form, row));
        }
    }
    ensure!(
        matched.ranges() <= MAX_RUNS,
        "cannot resume: the rows of the file are in the stream with those of others between them in more than {MAX_RUNS} \
         places; leave the rows in it that are new"
    );
    Ok(matched)
}

/// Refuses the rows that are left where the stream has one of them, or another
/// value at the same time: then the files were changed.
async fn ensure_new(
    target: &Target<'_>,
    form: &FileForm,
    rows: &mut FileRows,
    (begin, matched): (u64, &Indexes),
) -> anyhow::Result<()> {
    let Some((place, first)) = rows.peek().await? else {
        return Ok(());
    };
    let first = (*place, first.line);
    loop {
        let mut coming = ComingRows::default();
        while coming.len() < ROWS_COMPARED
            && let Some((place, row)) = rows.next().await?
        {
            coming.push(place, &row);
        }
        if coming.len() == 0 {
            return Ok(());
        }
        let is_other = |met: &Met| met.index >= begin && !matched.contains(met.index);
        if let Some(met) = coming.first_met(target, is_other).await? {
            return Err(changed(form, first, &met));
        }
    }
}

fn changed(form: &FileForm, first: (usize, u64), met: &Met) -> anyhow::Error {
    let name = form.files.name_of(met.row.place);
    let what = if met.is_changed {
        let (record, row) = met.values();
        format!(
            "line {} of {name} has {row} at {}, where record {} of the stream has {record}",
            met.row.line,
            met.time(),
            met.index
        )
    } else if first == (met.row.place, met.row.line) {
        format!(
            "line {} of {name} is record {} of the stream, where others of its rows stand behind or between",
            met.row.line, met.index
        )
    } else {
        format!(
            "the stream has line {} of {name} as record {}, but not line {} of {} before it",
            met.row.line,
            met.index,
            first.1,
            form.files.name_of(first.0)
        )
    };
    let advice = match form.files.order {
        None => "Leave the rows in it that are new, or append all of them with --again",
        Some(_) => {
            "Leave the rows in it that are new and not before the end of the stream, whose times never go back"
        }
    };
    anyhow::anyhow!(
        "cannot resume: {what}; {name} was changed since it was published, or is another one. {advice}"
    )
}

/// The stream has a row as it was read before, an hour away.
fn read_otherwise(form: &FileForm, row: &Row) -> anyhow::Error {
    let other = row.at_other_time().map_or(row.time, |other| other.time);
    anyhow::anyhow!(
        "cannot resume: the clocks showed the time of a row of {} twice, and it is {} now, while the stream has it as {}; \
         say --repeated-hour as before, or write the offset behind the times of the file",
        form.files.name(),
        to_text(row.time),
        to_text(other)
    )
}

async fn other_place_of(target: &Target<'_>, row: &Row) -> anyhow::Result<Option<u64>> {
    match row.at_other_time() {
        Some(other) => place_of(target, &other, false).await,
        None => Ok(None),
    }
}

/// Where the stream has this row: the first or the last such place.
///
/// # Errors
/// The node is lost.
pub(super) async fn place_of(
    target: &Target<'_>,
    row: &Row,
    last: bool,
) -> anyhow::Result<Option<u64>> {
    let query = within(row.time, row.time);
    let records = match target.client.records(&target.id, &query).await {
        Ok(records) => records,
        Err(error) if error.is_gone() => return Ok(None),
        Err(error) => return Err(error.into()),
    };
    let mut records = std::pin::pin!(records);
    let mut found = None;
    while let Some(record) = records.try_next().await? {
        if target.row_of(&record)? == *row {
            found = Some(record.index);
            if !last {
                break;
            }
        }
    }
    Ok(found)
}

/// A row, and the place of its file.
type PlacedRow = (usize, Row);

/// The good rows of files, read by a thread.
struct FileRows {
    queue: mpsc::Receiver<anyhow::Result<Vec<PlacedRow>>>,
    ready: std::collections::VecDeque<PlacedRow>,
    taken: u64,
}

impl FileRows {
    fn read(form: &FileForm, rules: ValueRules) -> Self {
        let (rows, queue) = mpsc::channel(2);
        let form = form.clone();
        tokio::task::spawn_blocking(move || hand_over(&form, rules, &rows));
        Self {
            queue,
            ready: std::collections::VecDeque::new(),
            taken: 0,
        }
    }

    async fn peek(&mut self) -> anyhow::Result<Option<&PlacedRow>> {
        while self.ready.is_empty() {
            match self.queue.recv().await {
                Some(rows) => self.ready.extend(rows?),
                None => return Ok(None),
            }
        }
        Ok(self.ready.front())
    }

    async fn next(&mut self) -> anyhow::Result<Option<PlacedRow>> {
        self.peek().await?;
        let row = self.ready.pop_front();
        self.taken += u64::from(row.is_some());
        Ok(row)
    }
}

fn hand_over(
    form: &FileForm,
    rules: ValueRules,
    queue: &mpsc::Sender<anyhow::Result<Vec<PlacedRow>>>,
) {
    let mut ready = Vec::new();
    for (place, row) in form.files.rows_by_part(rules) {
        match row {
            Ok(row) => ready.push((place, row)),
            Err(RowError::Bad(_)) => {}
            Err(RowError::Read(error)) => {
                let _ = queue.blocking_send(Err(error).context("while looking for where to go on"));
                return;
            }
        }
        if ready.len() >= ROWS_AT_ONCE
            && queue.blocking_send(Ok(std::mem::take(&mut ready))).is_err()
        {
            return;
        }
    }
    let _ = queue.blocking_send(Ok(ready));
}
