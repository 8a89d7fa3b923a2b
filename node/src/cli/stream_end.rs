//! What a stream ends with: rows that do not lie behind that may be in it already.

use anyhow::anyhow;
use headwater_client::Query;
use headwater_client::times::text::{LAST_RFC3339, to_text};
use headwater_protocols::time::Timestamp;

use super::coming_rows::ComingRows;
use super::file_form::FileForm;
use super::file_resume::place_of;
use super::limits::FEW_AHEAD;
use super::of_node::is_gone;
use super::target::Target;
use crate::import::file_range::Range;
use crate::import::rows::Row;
use crate::import::unclear::{Flag, unclear};

/// The end of a stream.
#[derive(Debug)]
pub(super) struct StreamEnd {
    /// The record with the latest time that does not lie ahead of us: one of a
    /// clock that was not set is no end.
    pub(super) latest: Option<Row>,
    /// The one with the latest time of all.
    last: Option<Row>,
}

impl StreamEnd {
    /// Up to a time behind which all lie ahead. `None` where the stream has
    /// nothing.
    ///
    /// # Errors
    /// The node is lost.
    pub(super) async fn of(target: &Target<'_>, soon: Timestamp) -> anyhow::Result<Option<Self>> {
        if target.size == 0 {
            return Ok(None);
        }
        let last = latest(target, LAST_RFC3339).await?;
        let latest = match last.as_ref().is_some_and(|last| last.time > soon) {
            true => latest(target, soon).await?,
            false => last.clone(),
        };
        Ok(Some(Self { latest, last }))
    }

    /// Refuses rows that the stream may have already: those that are not behind
    /// its end, and those far ahead of us that it has. It is known to have the first
    /// `skip` rows; where times never go back, the others must not be before the
    /// end, whatever was said.
    ///
    /// # Errors
    /// There is one, or the node is lost.
    pub(super) async fn ensure_behind(
        &self,
        target: &Target<'_>,
        form: &FileForm,
        skip: u64,
        (range, ahead): (&Range, &mut ComingRows),
    ) -> anyhow::Result<()> {
        if target.order.is_some() {
            self.ensure_order(target, form, range, skip).await?;
        }
        if form.again || skip > 0 {
            return Ok(());
        }
        if let Some(end) = reaching(self.latest.as_ref(), range.earliest()) {
            return refuse(target, form, range.first(), range.earliest(), end).await;
        }
        // So many are forecasts, and have an order like all others.
        let ahead_from = ahead.span().map(|(from, _)| from);
        if ahead.len() > FEW_AHEAD
            && let Some(end) = reaching(self.last.as_ref(), ahead_from)
        {
            return refuse(target, form, range.first(), ahead_from, end).await;
        }
        if let Some(met) = ahead.first_met(target, |met| !met.is_changed).await? {
            let error = anyhow!(
                "{} has a row that the stream has already: that of {} in line {} is record {}; take it out, or append all \
                 rows with --again",
                form.files.name_of(met.row.place),
                met.time(),
                met.row.line,
                met.index
            );
            return Err(unclear(Flag::Again, error));
        }
        Ok(())
    }
}

impl StreamEnd {
    /// Refuses rows that a stream whose times never go back cannot take.
    async fn ensure_order(
        &self,
        target: &Target<'_>,
        form: &FileForm,
        range: &Range,
        skip: u64,
    ) -> anyhow::Result<()> {
        let (Some(first), Some(end)) = (range.first(), &self.last) else {
            return Ok(());
        };
        if first.time >= end.time {
            return Ok(());
        }
        let (name, ends, begins) = (form.files.name(), to_text(end.time), to_text(first.time));
        if skip == 0
            && !form.resume
            && let Some(index) = place_of(target, first, false).await?
        {
            let error = anyhow!(
                "{name} begins before the end of the stream, whose times never go back: the stream reaches to {ends}, and \
                 the first row is record {index} of the stream; to go on behind those rows that the stream has, say --resume"
            );
            return Err(unclear(Flag::Resume, error));
        }
        let rows = match skip {
            0 => "begins",
            _ => "goes on, behind the rows that the stream has,",
        };
        Err(anyhow!(
            "{name} {rows} at {begins}, before the end of the stream, {ends}, and the times of the stream never go back: no \
             option appends such rows; leave only rows in the file that are not before the end, or put them into another \
             stream"
        ))
    }
}

/// The end of a stream, if rows from this time on do not lie behind it.
fn reaching(end: Option<&Row>, from: Option<Timestamp>) -> Option<&Row> {
    let (end, from) = end.zip(from)?;
    (from <= end.time).then_some(end)
}

/// The record with the latest time up to this one.
async fn latest(target: &Target<'_>, until: Timestamp) -> anyhow::Result<Option<Row>> {
    let query = Query {
        at_or_before: Some(to_text(until)),
        ..Query::default()
    };
    match target.first_of(&query).await {
        Ok(latest) => Ok(latest.map(|(_, latest)| latest)),
        Err(error) if is_gone(&error) => Ok(None),
        Err(error) => Err(error),
    }
}

async fn refuse(
    target: &Target<'_>,
    form: &FileForm,
    first: Option<&Row>,
    earliest: Option<Timestamp>,
    end: &Row,
) -> anyhow::Result<()> {
    let (name, ends) = (form.files.name(), to_text(end.time));
    let known = match first {
        Some(first) => place_of(target, first, false).await?,
        None => None,
    };
    if let Some(index) = known {
        let error = anyhow!(
            "{name} begins before the end of the stream, so that its rows would be in it twice: the stream reaches to {ends}, \
             and its first row is record {index} of the stream; to go on behind those rows that the stream has, say --resume, \
             and to append all of them, --again"
        );
        return Err(unclear(Flag::Resume, error));
    }
    let earliest = earliest.map(to_text).unwrap_or_default();
    let only_new = "leave the rows in it that are new, or append all of them, out of order or twice, with --again";
    let error = match form.resume {
        true => anyhow!(
            "cannot resume: the stream does not have the first row of {name}, but reaches to {ends}, and the earliest row of \
             {name} is of {earliest}; {only_new}"
        ),
        false => anyhow!(
            "{name} begins before the end of the stream, so that its rows would be in it out of order or twice: the stream \
             reaches to {ends}, and its earliest row is of {earliest}; {only_new}"
        ),
    };
    Err(unclear(Flag::Again, error))
}
