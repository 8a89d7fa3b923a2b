//! `show`: all that is known of a stream, in words.

use std::time::Duration;

use clap::Args;
use headwater_client::types::{ManifestView, ReopeningView, RoleView, StreamView, ValueTypeView};

use super::output::{Output, bytes, counted, grouped, printable, short, signed_ago, span};
use super::stream::{name_of, state};
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
        .with_client(async |client| client.stream(&args.stream).await)
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
        .with_client(async |client| client.head(name).await)
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

/// Says which other streams have names that look like the one of this stream.
pub(super) fn say_lookalikes(out: Output, stream: &StreamView) {
    let others: Vec<&str> = stream.lookalikes.iter().map(|id| short(id)).collect();
    if !others.is_empty() {
        out.note(format!(
            "the name of {} looks like that of {}, written with other characters; the ids tell them apart",
            short(&stream.id),
            others.join(", ")
        ));
    }
}

/// Says whose stream was meant by a name that several have.
pub(super) fn say_namesakes(out: Output, text: &str, stream: &StreamView) {
    say_lookalikes(out, stream);
    let others: Vec<&str> = stream.namesakes.iter().map(|id| short(id)).collect();
    let whose = match (stream.role, &stream.alias) {
        _ if others.is_empty() => return,
        (_, Some(alias)) if alias == text => "the one that has this alias",
        (RoleView::Publisher, _) => "this node's own",
        (RoleView::Follower, _) => "the one",
    };
    out.note(format!(
        "`{}` is {}, {whose}; {} the name, too, and {} named by the id: {}",
        printable(text),
        short(&stream.id),
        match others.len() {
            1 => "another stream has".to_owned(),
            number => format!("{number} others have"),
        },
        if others.len() == 1 { "is" } else { "are" },
        others.join(", ")
    ));
}

type Line = (&'static str, String);

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
        let kind = match value_type {
            ValueTypeView::Number => "number",
            ValueTypeView::Text => "text",
            ValueTypeView::Json => "json",
            ValueTypeView::Bytes => "bytes",
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

/// How it stands now.
fn standing(stream: &StreamView, out: Output) -> Vec<Line> {
    let followed = match (stream.role, stream.followed) {
        (RoleView::Publisher, _) => "this node publishes it".to_owned(),
        (RoleView::Follower, true) => "this node follows it".to_owned(),
        (RoleView::Follower, false) => "this node does not follow it".to_owned(),
    };
    let newer = stream.manifest.too_new.as_ref().map(|newer| {
        let what = format!(
            "its manifest has what this version does not know: {}; it is kept and served, and a newer \
             version of headwater reads it",
            printable(newer)
        );
        ("too new", out.bad(&what))
    });
    let mut lines = vec![
        ("role", followed),
        ("state", state(stream, out)),
        ("size", counted(stream.size, "record")),
        ("held", held(stream)),
        ("records", bytes(stream.record_bytes)),
    ];
    if stream.role == RoleView::Follower {
        lines.insert(4, ("lag", lag(stream)));
    }
    lines.extend(newer);
    let on_disk = stream.disk_bytes.map(bytes);
    lines.extend(on_disk.map(|bytes| ("disk", format!("about {bytes}"))));
    if stream.waits_for_room {
        let what = "the disk, or max_disk, leaves no room for what is missing; make room, delete \
                    streams, or allow more";
        lines.push(("no room", out.bad(what)));
    }
    lines.extend(stream.root.clone().map(|root| ("root", root)));
    if let (Some(time), Some(age_ms)) = (&stream.head_time, stream.head_age_ms) {
        lines.push(("head", format!("signed {time} ({})", signed_ago(age_ms))));
    }
    lines.extend(
        stream
            .sources
            .iter()
            .map(|source| ("source", source.clone())),
    );
    lines.extend(
        stream
            .known_peers
            .iter()
            .map(|peer| ("known peer", printable(peer))),
    );
    if let Some(end) = &stream.recovered {
        let next = match (&end.successor, end.contradicted) {
            (Some(id), _) => format!("; {id} continues it"),
            (None, true) => "; the key has said other things, too".to_owned(),
            (None, false) => String::new(),
        };
        let size = counted(end.size, "record");
        let what = format!("its recovery key has ended it with {size}{next}");
        lines.push(("recovered", out.bad(&what)));
    }
    if stream.closed {
        let next = match &stream.successor {
            Some(id) => format!("for good; {id} continues it"),
            None => "for good".to_owned(),
        };
        lines.push(("closed", next));
    }
    if stream.forked {
        let what = "the publisher signed two histories, or went on after the end; nothing more is \
                    taken from it";
        lines.push(("forked", out.bad(what)));
        let show = format!("headwater evidence show {}", stream.id);
        lines.push(("evidence", show));
    }
    if let Some(from) = stream.disputed_from {
        match stream.recovered.is_some() {
            true => {
                let count = counted(stream.size.saturating_sub(from), "record");
                lines.push((
                    "disowned",
                    out.bad(&format!("{count} from index {from} on")),
                ));
            }
            false => lines.push(("disputed", out.bad(&disputed(from, stream.size)))),
        }
    }
    lines.extend(stream.stopped.as_ref().map(|why| {
        let why = printable(why);
        let text = match &stream.stopped_since {
            Some(since) => {
                format!("since {since}: {why}; it goes on by itself when the disk works again")
            }
            None => why,
        };
        ("stopped", out.bad(&text))
    }));
    if let Some(reopening) = &stream.reopening {
        lines.push(("reopening", out.bad(&printable(&reopening.why))));
        lines.extend(reopening_lines(reopening));
    }
    lines
}

/// What was signed of a stream that is reopened, and what peers say of it.
pub(super) fn reopening_lines(reopening: &ReopeningView) -> Vec<(&'static str, String)> {
    let signed = reopening.signed_size.zip(reopening.signed_time.as_ref());
    let signed = signed.map(|(size, time)| {
        let records = counted(size, "record");
        ("signed here", format!("{records}, the last at {time}"))
    });
    let answers = reopening.answers.iter().map(|answer| {
        let records = counted(answer.size, "record");
        let word = match answer.counts {
            true => "counts",
            false => "does not count",
        };
        let (peer, time) = (&answer.peer_id, &answer.signed);
        (
            "answer",
            format!("{peer} has {records}, signed {time} ({word})"),
        )
    });
    signed.into_iter().chain(answers).collect()
}

/// Which records are disputed.
pub(super) fn disputed(from: u64, size: u64) -> String {
    match size.checked_sub(from) {
        None | Some(0) => format!("everything from index {from} on"),
        Some(count) => format!(
            "{} from index {from} on; those before are in both histories",
            counted(count, "record")
        ),
    }
}

fn held(stream: &StreamView) -> String {
    let count = counted(stream.held_records, "record");
    let count = match stream.begin {
        0 => count,
        begin => format!("{count} from index {begin} on; those before were dropped"),
    };
    match stream.missing_records {
        0 => count,
        missing => format!("{count}, {} missing", grouped(missing)),
    }
}

/// How far the stream is behind its sources.
fn lag(stream: &StreamView) -> String {
    let lag = &stream.lag;
    let behind = match (lag.records, lag.ms) {
        // How much there is nobody has said yet.
        _ if stream.head_time.is_none() => "not known".to_owned(),
        (0, _) => "none".to_owned(),
        (records, Some(ms)) if ms > 0 => {
            format!("{}, {}", counted(records, "record"), span(ms))
        }
        (records, _) => counted(records, "record"),
    };
    match stream.sources.len() {
        0 => behind,
        sources => format!(
            "{behind}; in step with {} of {}, {} complete",
            lag.synced_sources,
            counted(sources as u64, "source"),
            lag.full_sources
        ),
    }
}

/// Indexes that are not held, the first few intervals of them. What is disputed
/// is not waited for.
pub(super) fn gaps(stream: &StreamView) -> String {
    const LISTED: usize = 3;
    let mut gaps = Vec::new();
    let size = stream.usable_size();
    let mut at = stream.begin.min(size);
    for (from, to) in stream.held.iter().copied().chain([(size, size)]) {
        let from = from.min(size);
        if at < from {
            gaps.push(format!("{at} to {}", from - 1));
        }
        at = at.max(to);
    }
    let more = if gaps.len() > LISTED { ", …" } else { "" };
    gaps.truncate(LISTED);
    gaps.join(", ") + more
}

#[cfg(test)]
mod tests {
    use super::super::stream::tests::stream;
    use super::*;
    use headwater_client::types::LagView;

    #[test]
    fn what_others_wrote_is_shown_without_what_a_terminal_obeys() {
        let lines = described(&stream());
        assert!(lines.contains(&("description", "at\\u{1b}[2J the pier".to_owned())));
        assert!(lines.contains(&("values", "number, in chunks of 256 records".to_owned())));
        assert!(lines.contains(&("cadence", "1h".to_owned())));
    }

    #[test]
    fn the_lag_is_told_in_records_time_and_sources() {
        let mut stream = stream();
        stream.head_time = Some("2026-07-01T00:00:00.000000Z".to_owned());
        assert_eq!(
            lag(&stream),
            "1,020 records, 65 s; in step with 0 of 1 source, 1 complete"
        );
        stream.lag = LagView {
            ms: Some(0),
            synced_sources: 1,
            full_sources: 1,
            records: 0,
        };
        assert_eq!(lag(&stream), "none; in step with 1 of 1 source, 1 complete");
        stream.sources.clear();
        assert_eq!(lag(&stream), "none");
        stream.head_time = None;
        assert_eq!(lag(&stream), "not known");
    }

    #[test]
    fn what_is_missing_is_told_by_its_indexes() {
        let mut stream = stream();
        assert_eq!(gaps(&stream), "256 to 511, 8000 to 8758");
        stream.held = (0..10).map(|i| (2 * i + 1, 2 * i + 2)).collect();
        assert_eq!(gaps(&stream), "0 to 0, 2 to 2, 4 to 4, …");
        stream.held = vec![(0, 8_759)];
        assert_eq!(gaps(&stream), "");
        stream.held = vec![(0, 50), (120, 150)];
        stream.disputed_from = Some(100);
        assert_eq!(gaps(&stream), "50 to 99");
    }
}
