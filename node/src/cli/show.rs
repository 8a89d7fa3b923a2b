//! `show`: all that is known of a stream, in words.

use std::time::Duration;

use clap::Args;
use headwater_client::types::{ManifestView, StreamView, ValueTypeView};

use super::namesakes::say_namesakes;
use super::output::{counted, printable};
use super::standing::{Line, name_of, standing};
use super::{Invocation, duration};

/// Show all that is known of a stream, and the invite for other machines
#[derive(Args, Debug)]
pub(crate) struct ShowArgs {
    /// The stream: id, part of it, or name
    stream: String,
    /// Only its signed head, as tools of transparency logs read it (a C2SP checkpoint)
    #[arg(long)]
    checkpoint: bool,
}

pub(super) async fn show(invocation: &Invocation, args: &ShowArgs) -> anyhow::Result<()> {
    if args.checkpoint {
        return checkpoint(invocation, &args.stream).await;
    }
    let stream = invocation
        .with_client(async |client| Ok(client.stream(&args.stream).await?))
        .await?;
    let out = invocation.out;
    say_namesakes(out, &args.stream, &stream);
    if out.json {
        return out.json(&stream);
    }
    out.line(out.bold(&name_of(&stream)))?;
    for (label, text) in described(&stream).into_iter().chain(standing(&stream, out)) {
        out.line(format!("  {} {text}", out.dim(&format!("{label:<12}"))))?;
    }
    out.line("To follow it on another machine:")?;
    // Quoted, because a shell would take `&` for an end.
    out.line(format!("  headwater follow '{}'", stream.invite))
}

/// Prints the signed head as a note; with `--json`, the key that opens it, too.
async fn checkpoint(invocation: &Invocation, name: &str) -> anyhow::Result<()> {
    let head = invocation
        .with_client(async |client| Ok(client.head(name).await?))
        .await?;
    let out = invocation.out;
    if out.json {
        return out.json(&head);
    }
    // It ends with a line's end, as is signed.
    out.line(head.checkpoint.trim_end_matches('\n'))?;
    out.note(format!("the key to open it: {}", head.verifier_key));
    Ok(())
}

/// What never changes.
fn described(stream: &StreamView) -> Vec<Line> {
    let mut lines = vec![("id", stream.id.clone())];
    lines.extend(stream.alias.clone().map(|alias| ("alias", alias)));
    lines.extend(
        stream
            .publisher
            .clone()
            .map(|publisher| ("publisher", publisher)),
    );
    for (label, text) in [
        ("description", &stream.description),
        ("source", &stream.source),
        ("unit", &stream.unit),
    ] {
        if !text.is_empty() {
            lines.push((label, printable(text)));
        }
    }
    if let (Some(value_type), Some(level)) = (stream.value_type, stream.chunk_level) {
        let columns = stream.manifest.columns.len() as u64;
        let kind = match value_type {
            _ if columns > 0 => format!("rows of {}", counted(columns, "column")),
            value_type => word(value_type).to_owned(),
        };
        let chunk = counted(1_u64.checked_shl(level.into()).unwrap_or(0), "record");
        lines.push(("values", format!("{kind}, in chunks of {chunk}")));
    }
    let cadence = stream.cadence_us.map(Duration::from_micros);
    lines.extend(cadence.map(|cadence| ("cadence", duration::text(cadence))));
    lines.extend(retention(stream).map(|what| ("keeps", what)));
    lines.extend(stream.target.clone().map(|target| ("predicts", target)));
    lines.extend(stream.prior.clone().map(|prior| ("continues", prior)));
    lines.extend(terms(&stream.manifest));
    lines.extend(stream.created.clone().map(|created| ("created", created)));
    lines
}

/// What one value is.
fn word(value_type: ValueTypeView) -> &'static str {
    match value_type {
        ValueTypeView::Number => "number",
        ValueTypeView::Text => "text",
        ValueTypeView::Json => "json",
        ValueTypeView::Bytes => "bytes",
    }
}

/// Terms, tags, and whose keys matter.
fn terms(manifest: &ManifestView) -> Vec<Line> {
    let mut lines = Vec::new();
    if manifest.ordered {
        lines.push(("order", "its times never go back".to_owned()));
    }
    if !manifest.tags.is_empty() {
        lines.push(("tags", printable(&manifest.tags.join(" "))));
    }
    for column in &manifest.columns {
        let unit = match column.unit.is_empty() {
            true => String::new(),
            false => format!(" in {}", column.unit),
        };
        let text = format!(
            "{} ({}{unit}) {}",
            column.name, column.column_type, column.description
        );
        lines.push(("column", printable(text.trim_end())));
    }
    for (label, text) in [
        ("licence", &manifest.licence),
        ("content", &manifest.content_type),
        ("about", &manifest.about),
        ("recovery", &manifest.recovery_key),
    ] {
        lines.extend(text.as_ref().map(|text| (label, printable(text))));
    }
    if let Some(witnesses) = &manifest.witnesses {
        let (needed, all) = (witnesses.needed, witnesses.keys.len());
        lines.push(("witnesses", format!("{needed} of {all} are enough")));
        lines.extend(witnesses.keys.iter().map(|key| ("witness", printable(key))));
    }
    lines
}

/// What is kept of it, if not everything.
fn retention(stream: &StreamView) -> Option<String> {
    let records = stream.retain_records.map(|records| match records {
        1 => "the latest record".to_owned(),
        records => format!("the latest {}", counted(records, "record")),
    });
    let age = stream.retain_age_us.map(Duration::from_micros);
    let age = age.map(|age| format!("records of the last {}", duration::text(age)));
    match (records, age) {
        (Some(records), Some(age)) => Some(format!("{records}, and of these {age}")),
        (records, age) => records.or(age),
    }
}

#[cfg(test)]
mod tests {
    use super::super::stream::tests::stream;
    use super::*;

    #[test]
    fn what_others_wrote_is_shown_without_what_a_terminal_obeys() {
        let lines = described(&stream());
        assert!(lines.contains(&("description", "at\\u{1b}[2J the pier".to_owned())));
        assert!(lines.contains(&("values", "number, in chunks of 256 records".to_owned())));
        assert!(lines.contains(&("cadence", "1h".to_owned())));
    }
}
