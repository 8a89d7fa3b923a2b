//! What a stream ends with: rows that do not lie behind that may be in it already.

use anyhow::bail;
use headwater_protocols::time::Timestamp;

use super::coming_rows::ComingRows;
use super::file_range::Range;
use super::file_resume::place_of;
use super::publish::Target;
use super::publish_file::FileForm;
use super::rows::Row;
use crate::client::{Query, is_gone};
use crate::times::text::to_text;

/// The end of a stream.
#[derive(Debug)]
pub(super) struct StreamEnd {
    /// The record with the latest time that does not lie ahead of us: one of a
    /// clock that was not set is no end.
    pub(super) latest: Option<Row>,
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
        let query = Query {
            at_or_before: Some(to_text(soon)),
            ..Query::default()
        };
        let latest = match target.first_of(&query).await {
            Ok(latest) => latest.map(|(_, latest)| latest),
            Err(error) if is_gone(&error) => None,
            Err(error) => return Err(error),
        };
        Ok(Some(Self { latest }))
    }

    /// Refuses rows that the stream may have already: those that are not behind
    /// its end, and those far ahead of us that it has.
    ///
    /// # Errors
    /// There is one, or the node is lost.
    pub(super) async fn ensure_behind(
        &self,
        target: &Target<'_>,
        form: &FileForm,
        range: &Range,
        ahead: &mut ComingRows,
    ) -> anyhow::Result<()> {
        if form.again {
            return Ok(());
        }
        let earliest = range.earliest();
        let behind = |latest: &&Row| earliest.is_some_and(|earliest| earliest <= latest.time);
        if let Some(latest) = self.latest.as_ref().filter(behind) {
            return refuse(target, form, range, latest).await;
        }
        if let Some(met) = ahead.first_met(target, |met| !met.is_changed).await? {
            bail!(
                "{} has a row that the stream has already: that of {} in line {} is record {}; take it out, or append all \
                 rows with --again",
                form.name_of(met.row.place),
                met.time(),
                met.row.line,
                met.index
            );
        }
        Ok(())
    }
}

async fn refuse(
    target: &Target<'_>,
    form: &FileForm,
    range: &Range,
    latest: &Row,
) -> anyhow::Result<()> {
    let (name, ends) = (form.name(), to_text(latest.time));
    let known = match range.first() {
        Some(first) => place_of(target, first, false).await?,
        None => None,
    };
    if let Some(index) = known {
        bail!(
            "{name} begins before the end of the stream, so that its rows would be in it twice: the stream reaches to {ends}, \
             and its first row is record {index} of the stream; to go on behind those rows that the stream has, say --resume, \
             and to append all of them, --again"
        );
    }
    let earliest = range.earliest().map(to_text).unwrap_or_default();
    let only_new = "leave the rows in it that are new, or append all of them, out of order or twice, with --again";
    if form.resume {
        bail!(
            "cannot resume: the stream does not have the first row of {name}, but reaches to {ends}, and the earliest row of \
             {name} is of {earliest}; {only_new}"
        );
    }
    bail!(
        "{name} begins before the end of the stream, so that its rows would be in it out of order or twice: the stream reaches \
         to {ends}, and its earliest row is of {earliest}; {only_new}"
    );
}
