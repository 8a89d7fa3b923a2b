//! How a stream stands now, in words.

use headwater_client::types::{ReopeningView, RoleView, StreamView};

use super::output::{Output, bytes, counted, grouped, printable, signed_ago, span};

/// What it is about, and what is said of that.
pub(super) type Line = (&'static str, String);

/// What its publisher calls it.
pub(super) fn name_of(stream: &StreamView) -> String {
    match stream.name.is_empty() {
        true => "(not known yet)".to_owned(),
        false => printable(&stream.name),
    }
}

/// How a stream stands, in a word.
pub(super) fn state(stream: &StreamView, out: Output) -> String {
    if stream.recovered.is_some() {
        out.bad("recovered")
    } else if stream.forked {
        out.bad("forked")
    } else if stream.manifest.too_new.is_some() {
        out.bad("too new")
    } else if stream.stopped.is_some() {
        out.bad("stopped")
    } else if stream.reopening.is_some() {
        out.bad("reopening")
    } else if stream.closed && (stream.synced || stream.role == RoleView::Publisher) {
        "closed".to_owned()
    } else if stream.synced {
        out.good("synced")
    } else if stream.waits_for_room {
        out.bad("no room")
    } else if stream.role == RoleView::Follower && !stream.followed {
        "not followed".to_owned()
    } else if stream.sources.is_empty() {
        "no source".to_owned()
    } else {
        "syncing".to_owned()
    }
}

/// How it stands now.
pub(super) fn standing(stream: &StreamView, out: Output) -> Vec<Line> {
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
    lines.extend(ends(stream, out));
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

/// How it has come to its end, and what of it does not count.
fn ends(stream: &StreamView, out: Output) -> Vec<Line> {
    let mut lines = Vec::new();
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
    let (usable, size) = (stream.usable_size(), stream.counted_size());
    let mut at = stream.begin.min(size);
    // What does not count is not there.
    let held = (stream.held.iter()).map(|&(from, to)| (from.min(usable), to.min(usable)));
    for (from, to) in held.filter(|(from, to)| from < to).chain([(size, size)]) {
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
