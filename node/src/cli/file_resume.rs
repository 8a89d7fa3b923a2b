//! What a stream has of files already: so that nothing is in it twice, and a
//! broken publish goes on where it ended.

use std::collections::HashSet;
use std::hash::{BuildHasher, RandomState};

use anyhow::{Context, bail, ensure};
use futures::TryStreamExt;
use headwater_protocols::time::Timestamp;
use tokio::sync::mpsc;

use super::file_range::Range;
use super::publish::Target;
use super::publish_file::FileForm;
use super::rows::{Row, RowError};
use super::value::ValueRules;
use crate::client::{ApiError, Query};
use crate::times::text::{LAST_RFC3339, to_text};

/// Rows that are handed over at a time.
const ROWS_AT_ONCE: usize = 4_096;

/// Records of others at the end of a stream that are looked for in the rest of
/// the files, eight bytes each.
const MAX_OTHERS: usize = 1 << 16;

/// What a stream ends with.
#[derive(Debug)]
pub(super) struct StreamEnd {
    /// The record with the latest time.
    pub(super) latest: Row,
}

impl StreamEnd {
    /// `None` where the stream has nothing, or keeps nothing.
    ///
    /// # Errors
    /// The node is lost.
    pub(super) async fn of(target: &Target<'_>) -> anyhow::Result<Option<Self>> {
        if target.size == 0 {
            return Ok(None);
        }
        let query = Query {
            at_or_before: Some(to_text(LAST_RFC3339)),
            ..Query::default()
        };
        let latest = match target.first_of(&query).await {
            Ok(Some((_, latest))) => Some(latest),
            Ok(None) => None,
            Err(error) if is_gone(&error) => None,
            Err(error) => return Err(error),
        };
        Ok(latest.map(|latest| Self { latest }))
    }

    /// Refuses rows that the stream may have already.
    ///
    /// # Errors
    /// The first of them is not behind the stream's end.
    pub(super) async fn ensure_behind(
        &self,
        target: &Target<'_>,
        form: &FileForm,
        range: &Range,
    ) -> anyhow::Result<()> {
        let (Some(earliest), Some(first)) = (range.earliest(), range.first()) else {
            return Ok(());
        };
        if form.again || earliest > self.latest.time {
            return Ok(());
        }
        let name = form.name();
        let known = match place_of(target, first, false).await? {
            Some(index) => format!("its first row is record {index} of the stream"),
            None => format!("its earliest row is of {}", to_text(earliest)),
        };
        let ends = to_text(self.latest.time);
        if form.resume {
            bail!(
                "cannot resume: the stream does not have the first row of {name}, and reaches to {ends} ({known}); to append \
                 all of it, say --again instead"
            );
        }
        bail!(
            "{name} begins before the end of the stream, so that its rows would be in it twice or out of order: the stream \
             reaches to {ends}, and {known}; to go on behind those rows that the stream has, say --resume, and to append all of \
             them, --again"
        );
    }
}

/// There is no such record.
fn is_gone(error: &anyhow::Error) -> bool {
    let refused = error.downcast_ref::<ApiError>();
    refused.is_some_and(|refused| matches!(refused.status(), 404 | 410))
}

/// How many rows of the files the stream has already. They stand in it in their
/// order; others may have published between them.
///
/// # Errors
/// Rows are missing between those that it has, or the node is lost.
pub(super) async fn resume_point(target: &Target<'_>, form: &FileForm) -> anyhow::Result<u64> {
    if target.size == 0 {
        return Ok(0);
    }
    let mut rows = FileRows::read(form, target.rules);
    let Some(first) = rows.peek().await?.cloned() else {
        return Ok(0);
    };
    let begin = match place_of(target, &first, form.again).await? {
        Some(index) => index,
        None if target.begin == 0 || target.begin >= target.size => return Ok(0),
        // The first rows may have been dropped by the stream's retention.
        None => {
            let kept = target.stored(target.begin).await?;
            while rows.peek().await?.is_some_and(|row| *row != kept) {
                rows.next().await?;
            }
            target.begin
        }
    };
    if rows.peek().await?.is_none() {
        return Ok(0);
    }
    walk(target, form, &mut rows, begin).await
}

/// Goes through the stream and the files together.
async fn walk(
    target: &Target<'_>,
    form: &FileForm,
    rows: &mut FileRows,
    begin: u64,
) -> anyhow::Result<u64> {
    let query = Query {
        from: Some(begin.to_string()),
        ..Query::default()
    };
    let records = target.client.records(&target.id, &query).await?;
    let mut records = std::pin::pin!(records);
    let hasher = RandomState::new();
    let mut others = HashSet::new();
    while let Some(row) = rows.peek().await? {
        let Some(record) = records.try_next().await? else {
            break;
        };
        let record = target.row_of(&record)?;
        if record == *row {
            rows.next().await?;
            others.clear();
        } else if others.len() < MAX_OTHERS {
            others.insert(hasher.hash_one((record.time.0, &record.value)));
        }
    }
    let done = rows.taken;
    if others.is_empty() {
        return Ok(done);
    }
    // What is not the next row may be one behind it.
    let mut at = done;
    while let Some(row) = rows.next().await? {
        at += 1;
        ensure!(
            !others.contains(&hasher.hash_one((row.time.0, &row.value))),
            "cannot resume: the stream has row {at} of {name}, but not row {}, and so {name} was changed since, or is not \
             what was published; --again appends all of it",
            done + 1,
            name = form.name()
        );
    }
    Ok(done)
}

/// Where the stream has this row: the first or the last such place.
async fn place_of(target: &Target<'_>, row: &Row, last: bool) -> anyhow::Result<Option<u64>> {
    let (from, to) = (row.time, Timestamp(row.time.0.saturating_add(1)));
    let mut query = Query::default();
    if to <= LAST_RFC3339 && to_text(from).ends_with('Z') {
        query.from = Some(to_text(from));
        query.to = Some(to_text(to));
    }
    let records = match target.client.records(&target.id, &query).await {
        Ok(records) => records,
        Err(error) if is_gone(&error) => return Ok(None),
        Err(error) => return Err(error),
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

/// The good rows of files, read by a thread.
struct FileRows {
    queue: mpsc::Receiver<anyhow::Result<Vec<Row>>>,
    ready: std::collections::VecDeque<Row>,
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

    async fn peek(&mut self) -> anyhow::Result<Option<&Row>> {
        while self.ready.is_empty() {
            match self.queue.recv().await {
                Some(rows) => self.ready.extend(rows?),
                None => return Ok(None),
            }
        }
        Ok(self.ready.front())
    }

    async fn next(&mut self) -> anyhow::Result<Option<Row>> {
        self.peek().await?;
        let row = self.ready.pop_front();
        self.taken += u64::from(row.is_some());
        Ok(row)
    }
}

fn hand_over(form: &FileForm, rules: ValueRules, queue: &mpsc::Sender<anyhow::Result<Vec<Row>>>) {
    let mut ready = Vec::new();
    for row in form.rows(rules) {
        match row {
            Ok(row) => ready.push(row),
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
