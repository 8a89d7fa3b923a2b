//! Publishing files: they are read twice, first to check every row, then to
//! publish them, so that memory does not grow with it.

use anyhow::anyhow;
use headwater_client::times::soon;
use headwater_export::GapFinder;

use super::Invocation;
use super::file_append::{Appended, append_all};
use super::file_check::{Checked, Looking, check};
use super::file_form::FileForm;
use super::file_resume::resume_point;
use super::stream_end::StreamEnd;
use super::target::Target;
use crate::import::csv_header::listed;
use crate::import::files::PartForm;
use crate::import::unclear::{Flag, unclear};
use crate::runtime::wall_time;

/// Publishes files to a stream.
///
/// # Errors
/// They cannot be read, a row is bad, or the stream may have the rows already;
/// or the node refuses them or is lost.
pub(super) async fn publish(
    invocation: &Invocation,
    target: &Target<'_>,
    form: &FileForm,
    finder: GapFinder,
) -> anyhow::Result<(Appended, Checked)> {
    let (skip, checked) = look_at(target, form, finder).await?;
    accept(invocation, form, &checked)?;
    let appended = publish_checked(invocation, target, form, skip, &checked).await?;
    Ok((appended, checked))
}

/// Checks files against the stream that they are for, and says how many of their
/// rows it has already.
///
/// # Errors
/// They cannot be read, or the stream may have their rows already.
pub(super) async fn look_at(
    target: &Target<'_>,
    form: &FileForm,
    finder: GapFinder,
) -> anyhow::Result<(u64, Checked)> {
    let end = StreamEnd::of(target, soon(wall_time())).await?;
    let skip = match form.resume {
        true => resume_point(target, form).await?,
        false => 0,
    };
    let looking = Looking {
        finder: match end.as_ref().and_then(|end| end.latest.as_ref()) {
            Some(latest) => finder.behind(latest.time, &latest.value),
            None => finder,
        },
        skip,
        first: target.size,
    };
    let mut checked = check(form, target.rules.clone(), looking).await?;
    let is_whole = checked.bad.is_empty() || form.skip_bad;
    if let Some(end) = end.filter(|_| is_whole) {
        let Checked { range, ahead, .. } = &mut checked;
        let rows = (&*range, ahead);
        end.ensure_behind(target, form, skip, rows).await?;
    }
    Ok((skip, checked))
}

/// Refuses bad rows, unless they are to be left out, and says what is about to be
/// published.
///
/// # Errors
/// There are bad rows.
pub(super) fn accept(
    invocation: &Invocation,
    form: &FileForm,
    checked: &Checked,
) -> anyhow::Result<()> {
    if !checked.bad.is_empty() {
        let have = if form.files.parts.len() == 1 {
            "has"
        } else {
            "have"
        };
        let listed = format!("{} {have} {}", form.files.name(), checked.bad);
        if !form.skip_bad {
            let error = anyhow!(
                "{listed}\nnothing was published; correct the file, or leave such rows out with --skip-bad"
            );
            return Err(unclear(Flag::SkipBad, error));
        }
        invocation
            .out
            .note(format!("leaving out bad rows: {listed}"));
    }
    checked.ensure_once(form)?;
    show(invocation, form, checked);
    Ok(())
}

/// Shows what was found out, and what the rows are.
pub(super) fn show(invocation: &Invocation, form: &FileForm, checked: &Checked) {
    let out = invocation.out;
    for part in &form.files.parts {
        let name = &part.source.name;
        match &part.form {
            PartForm::Csv(_, dialect) => out.note(format!("{name}: {dialect}")),
            PartForm::Parquet(form) => out.note(format!("{name}: {}", form.said)),
            PartForm::Ndjson { .. } => {}
        }
        if !part.left_out.is_empty() {
            let left_out = listed(&part.left_out);
            out.note(format!(
                "{name}: left out, because the stream has no such columns: {left_out}"
            ));
        }
    }
    let repeated = checked
        .repeated
        .as_ref()
        .map(|repeated| repeated.said(&form.files));
    let hours = form.files.repeated_hours();
    let hours = hours.map_or(Vec::new(), |hours| hours.described());
    let lines = checked.range.described().into_iter();
    let lines = lines.chain(checked.notes.clone()).chain(hours);
    for line in lines.chain(repeated) {
        out.note(format!("  {line}"));
    }
}

/// Publishes files that were checked, without the first rows.
///
/// # Errors
/// They were changed since, or the node refuses them or is lost.
pub(super) async fn publish_checked(
    invocation: &Invocation,
    target: &Target<'_>,
    form: &FileForm,
    skip: u64,
    checked: &Checked,
) -> anyhow::Result<Appended> {
    checked.ensure_unchanged(form)?;
    append_all(invocation, target, form, skip, checked.good).await
}
